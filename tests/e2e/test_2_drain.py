# SPDX-License-Identifier: BSD-2-Clause
"""Changes break no connection: drain, a backend added, a weight changed, a reload."""
import json

from lab import clients
from lab.machine import wait_until
from lab.site import SLUICE, VIP, Site


def site():
    lab = Site(backends=3)
    lab.up(backends=["mx1", "mx2"])
    return lab


def test_drained_backend_keeps_its_session_and_gets_no_new_ones(lab):
    session = clients.imap_open_at(lab.client, VIP, "mx2")
    wait_until(lambda: lab.live("lb1", "imap", "mx2") == 1, 5, "the session is counted")
    lab.sluice("lb1", "drain", "mx2")
    assert lab.state("lb1", "imap", "mx2") == "drain"
    waiting = lab.lb1.spawn(SLUICE, "drain", "mx2", "--pool", "imap", "--wait=60s", log="wait")
    for _ in range(20):
        assert clients.imap_works(session)
        assert clients.http_get(lab.client, VIP) == "mx1"
        other = clients.imap_open(lab.client, VIP)
        assert other.server == "mx1"
        other.logout()
    assert waiting.poll() is None, "--wait ended while a session was open"
    session.logout()
    assert waiting.wait(10) == 0
    lab.sluice("lb1", "undrain", "mx2")
    lab.all_up("lb1")
    assert set(clients.http_servers(lab.client, VIP, 30)) == {"mx1", "mx2"}


def test_wait_tells_at_its_timeout_how_many_are_left(lab):
    session = clients.imap_open_at(lab.client, VIP, "mx2")
    wait_until(lambda: lab.live("lb1", "imap", "mx2") == 1, 5, "the session is counted")
    done = lab.sluice("lb1", "drain", "mx2", "--pool", "imap", "--wait=1s", check=False)
    assert done.returncode == 1 and "1 connections are left" in done.stderr, done
    assert clients.imap_works(session)
    lab.sluice("lb1", "undrain", "mx2")
    session.logout()


def test_added_backend_takes_its_share_and_breaks_nobody(lab):
    sessions = [clients.imap_open(lab.client, VIP) for _ in range(20)]
    lab.config_write(lab.config(backends=["mx1", "mx2", "mx3"]))
    plan = json.loads(lab.sluice("lb1", "plan", "--json"))["steps"]
    assert any(step["moved"] for step in plan), plan
    lab.sluice("lb1", "reload")
    lab.all_up("lb1")
    assert all(clients.imap_works(session) for session in sessions)
    assert set(clients.http_servers(lab.client, VIP, 60)) == {"mx1", "mx2", "mx3"}
    lab.sluice("lb1", "weight", "mx1", "1")
    assert all(clients.imap_works(session) for session in sessions)
    counts = clients.http_servers(lab.client, VIP, 100)
    assert counts.get("mx1", 0) < 10, counts
    lab.sluice("lb1", "weight", "mx1", "default")
    assert all(clients.imap_works(session) for session in sessions)
    lab.config_write(lab.config(backends=["mx1", "mx2"]))
    lab.sluice("lb1", "reload")
    assert all(clients.imap_works(session) for session in sessions)
    for session in sessions:
        session.logout()


def test_reload_that_changes_nothing_has_an_empty_plan(lab):
    wait_until(lambda: json.loads(lab.sluice("lb1", "plan", "--json"))["steps"] == [], 15,
               "nothing is left to do")
    lab.lb1.kill("parent/sluiced$", "HUP")
    assert set(clients.http_servers(lab.client, VIP, 20)) <= {"mx1", "mx2"}


def test_file_with_an_error_changes_nothing(lab):
    lab.config_write(lab.config(backends=["mx1"]).replace('pool = "http"', 'pool = "htpp"'))
    done = lab.sluice("lb1", "reload", check=False)
    assert done.returncode == 1 and 'did you mean "http"?' in done.stderr, done
    assert lab.state("lb1", "imap", "mx2") == "up"
    lab.config_write(lab.config(backends=["mx1", "mx2"]))
    lab.sluice("lb1", "reload")


def test_drain_survives_a_reload_and_a_restart(lab):
    lab.sluice("lb1", "drain", "mx1", "--pool", "pop3")
    lab.sluice("lb1", "reload")
    assert lab.state("lb1", "pop3", "mx1") == "drain"
    lab.sluice_stop("lb1")
    lab.sluice_start("lb1")
    wait_until(lambda: lab.state("lb1", "pop3", "mx1") == "drain", 15, "still drained")
    lab.sluice("lb1", "undrain", "mx1")
    lab.ready()
