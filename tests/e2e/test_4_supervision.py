# SPDX-License-Identifier: BSD-2-Clause
"""Any process may die: forwarding goes on, no connection breaks, no failover happens."""
import json
import time

from lab import clients, daemons
from lab.machine import wait_until
from lab.site import SLUICED, VIP, Site


def site():
    lab = Site(interval="1s")
    lab.up()
    return lab


def process(lab, role):
    answer = json.loads(lab.sluice("lb1", "status", "--json", check=False).stdout or "{}")
    rows = [p for p in answer.get("processes", []) if p["process"] == role and p["pid"] > 0]
    return rows[0] if rows else None


def kill_child(lab, role):
    before = wait_until(lambda: process(lab, role), 10, f"{role} runs")
    load = clients.Load(lab.client, VIP)
    time.sleep(0.5)
    lab.lb1.kill(f"--child {role}", "KILL")
    began = time.monotonic()
    wait_until(lambda: lab.lb1.pids(f"--child {role}"), 3, f"{role} runs again")
    took = time.monotonic() - began
    time.sleep(1.5)
    good, broken = load.end()
    assert broken == 0, (good, broken, load.errors)
    assert good > 50
    assert took < 1, f"{role} was back after {took:.2f} s"
    wait_until(lambda: lab.active("lb1"), 5, "lb1 is active")
    assert set(lab.roles("lb2").values()) == {"backup"}, lab.roles("lb2")
    after = wait_until(lambda: process(lab, role), 10, f"{role} is shown")
    assert after["restarts"] == before["restarts"] + 1, (before, after)


def test_kill_of_lb_breaks_nothing(lab):
    kill_child(lab, "lb")
    wait_until(lambda: all(r["state"] == "up" for r in lab.show("lb1", "backends")), 10, "all up")
    wait_until(lambda: lab.sluice("lb1", "plan", "--json").count('"step"') == 0, 10, "nothing to do")


def test_kill_of_healthcheck_breaks_nothing_and_nothing_flaps(lab):
    before = lab.lb1.run(f"grep -c ' down: ' {lab.logs}/lb1-sluiced.log || true")
    kill_child(lab, "healthcheck")
    assert lab.lb1.run(f"grep -c ' down: ' {lab.logs}/lb1-sluiced.log || true") == before


def test_stopped_healthcheck_is_noticed_and_replaced_and_nothing_flaps(lab):
    """SIGSTOP: it lives, and does nothing. What was known holds, and what changed meanwhile is seen by the next."""
    def downs():
        return lab.lb1.run(f"grep -c ' down: \\| leaving: ' {lab.logs}/lb1-sluiced.log || true")

    before, known = process(lab, "healthcheck"), downs()
    load = clients.Load(lab.client, VIP)
    lab.lb1.run("kill", "-STOP", str(before["pid"]))
    after = wait_until(lambda: (p := process(lab, "healthcheck")) and p["pid"] != before["pid"] and p, 20,
                       "another healthcheck runs")
    assert all(row["state"] == "up" for row in lab.show("lb1", "backends"))
    time.sleep(1.5)
    good, broken = load.end()
    assert broken == 0 and good > 50, (good, broken, load.errors)
    assert after["restarts"] == before["restarts"] + 1 and downs() == known
    assert lab.active("lb1")
    lab.mx1.kill("nginx", "KILL")
    wait_until(lambda: lab.state("lb1", "http", "mx1") == "down", 10, "it probes")
    daemons.nginx_start(lab.mx1)
    wait_until(lambda: lab.state("lb1", "http", "mx1") == "up", 10, "nginx is up again")


def test_kill_of_vrrp_is_no_failover(lab):
    transitions = {r["instance"]: r["transitions"] for r in lab.show("lb2", "vrrp")}
    kill_child(lab, "vrrp")
    assert {r["instance"]: r["transitions"] for r in lab.show("lb2", "vrrp")} == transitions


def test_drained_session_survives_a_killed_lb(lab):
    session = clients.imap_open_at(lab.client, VIP, "mx2")
    lab.sluice("lb1", "drain", "mx2")
    lab.lb1.kill("--child lb", "KILL")
    wait_until(lambda: lab.state("lb1", "imap", "mx2") == "drain", 10, "still drained")
    for _ in range(10):
        assert clients.imap_works(session)
        assert clients.http_get(lab.client, VIP) != "mx2"
    wait_until(lambda: lab.live("lb1", "imap", "mx2") == 1, 20, "the session is counted again")
    session.logout()
    lab.sluice("lb1", "undrain", "mx2")
    wait_until(lambda: lab.state("lb1", "imap", "mx2") == "up", 5, "mx2 is up")


def test_killed_parent_breaks_nothing_and_a_new_one_takes_its_place(lab):
    load = clients.Load(lab.client, VIP)
    time.sleep(0.3)
    lab.lb1.kill(f"^{SLUICED}$", "KILL")
    wait_until(lambda: lab.active("lb2"), 5, "the partner takes over")
    time.sleep(0.5)
    lab.daemons["lb1"] = lab.lb1.spawn(SLUICED, log="sluiced")
    lab.ready()
    time.sleep(0.5)
    good, broken = load.end()
    assert broken == 0, (good, broken, load.errors)
    assert good > 50
