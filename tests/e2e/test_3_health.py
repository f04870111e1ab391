# SPDX-License-Identifier: BSD-2-Clause
"""A failed backend is taken out and a healed one comes back, without anybody's help."""
import time

from lab import clients, daemons
from lab.machine import wait_until
from lab.site import VIP, VIP6, Site


def site():
    lab = Site()
    lab.up(probes={"smtp": '{ type = "smtp"; interval = "200ms"; timeout = "400ms"; fall = 3; rise = 2; }'})
    return lab


def serves(lab, backend):
    try:
        return backend in clients.http_servers(lab.client, VIP, 10, timeout=3)
    except OSError:
        return False


def test_stopped_postfix_is_down_after_fall_times_interval_and_up_again(lab):
    lab.mx2.kill("smtpd|/master", "STOP")
    began = time.monotonic()
    wait_until(lambda: lab.state("lb1", "smtp", "mx2") == "down", 10, "the stopped Postfix is down")
    took = time.monotonic() - began
    wait_until(lambda: lab.out("lb1", "smtp", "mx2"), 5, "mx2 is out")
    assert took < 3 * (0.2 + 0.4) + 1.5, f"took {took:.1f} s"
    assert lab.state("lb1", "imap", "mx2") == "up"
    assert {clients.send_mail(lab.client, VIP) for _ in range(15)} == {"mx1", "mx3"}
    assert lab.sluice("lb1", "status", check=False).returncode == 4
    lab.mx2.kill("smtpd|/master", "CONT")
    wait_until(lambda: lab.state("lb1", "smtp", "mx2") == "up", 15, "the continued Postfix is up")
    wait_until(lambda: "mx2" in {clients.send_mail(lab.client, VIP) for _ in range(5)}, 10, "mx2 gets mail")


def test_killed_nginx_is_out_and_back(lab):
    lab.mx1.kill("nginx", "KILL")
    wait_until(lambda: lab.out("lb1", "http", "mx1"), 10, "the killed nginx is out")
    assert set(clients.http_servers(lab.client, VIP, 30)) == {"mx2", "mx3"}
    daemons.nginx_start(lab.mx1)
    wait_until(lambda: lab.state("lb1", "http", "mx1") == "up", 10, "nginx is up again")


def test_probe_prints_the_real_dialogue(lab):
    done = lab.sluice("lb1", "probe", "smtp/mx1", "-v")
    assert "220 mx1.example.test ESMTP" in done and "EHLO" in done and "passed" in done, done
    lab.mx1.kill("nginx", "KILL")
    assert lab.sluice("lb1", "probe", "http/mx1", check=False).returncode == 1
    daemons.nginx_start(lab.mx1)
    wait_until(lambda: lab.state("lb1", "http", "mx1") == "up", 10, "nginx is up again")


def test_who_says_what_of_a_backend_is_shown(lab):
    def row():
        return next(r for r in lab.show("lb1", "health") if (r["pool"], r["backend"]) == ("http", "mx1"))

    wait_until(lambda: row()["probe"] == "up", 10, "its probe has passed")
    lab.sluice("lb1", "drain", "mx1", "--pool", "http")
    now = row()
    assert (now["operator"], now["health"], now["agent"], now["flap"]) == ("drain", "up", "", ""), now
    assert abs(now["operator_since"] - time.time()) < 60 and now["probe_since"] > 0, now
    lab.sluice("lb1", "undrain", "mx1", "--pool", "http")
    lab.mx1.kill("nginx", "KILL")
    wait_until(lambda: row()["health"] == "down", 10, "the killed nginx is down")
    now = row()
    assert now["probe"] == "down" and now["failed"] >= 1 and now["turns"] >= 1 and now["passed"] >= 1, now
    assert "refused" in lab.sluice("lb1", "show", "health").lower()
    daemons.nginx_start(lab.mx1)
    wait_until(lambda: row()["health"] == "up", 10, "nginx is up again")


def test_flapping_backend_is_held_down_and_status_says_until_when(lab):
    def row():
        return next(r for r in lab.show("lb1", "health") if (r["pool"], r["backend"]) == ("smtp", "mx1"))

    for turn in range(3):
        lab.mx1.kill("smtpd|/master", "STOP")
        wait_until(lambda: row()["probe"] == "down", 10, "the stopped Postfix is down")
        lab.mx1.kill("smtpd|/master", "CONT")
        wait_until(lambda: row()["probe"] == "up", 15, "the continued Postfix passes")
        if row()["flap"] == "down":
            break
    now = row()
    assert now["flap"] == "down" and now["health"] == "down" and now["flap_until"] > time.time(), now
    assert "held down until" in lab.sluice("lb1", "status", check=False).stdout
    assert lab.out("lb1", "smtp", "mx1")


def test_backend_with_a_new_nic_is_found(lab):
    for node in ("lb1", "router"):
        dev = "eth0" if node == "lb1" else "servers"
        lab.machines[node].run(f"sysctl -qw net.ipv4.neigh.{dev}.base_reachable_time_ms=2000 "
                               f"net.ipv6.neigh.{dev}.base_reachable_time_ms=2000")
    lab.mx3.run("ip link set eth0 down && ip link set eth0 address 02:00:00:00:33:33 && ip link set eth0 up && "
                "ip route replace default via 10.77.0.1 && ip -6 addr replace fd77::23/64 dev eth0 nodad && "
                "ip -6 route replace default via fd77::1")
    wait_until(lambda: serves(lab, "mx3"), 60, "mx3 serves with its new MAC")


def test_silent_client_of_a_dead_backend_is_told_at_once(lab):
    """on_down = "reset": an IMAP client in IDLE, which would say nothing for half an hour, has to
    reconnect now; those of other backends notice nothing."""
    lost = [clients.imap_open_at(lab.client, host, "mx2") for host in (VIP, VIP6)]
    other = clients.imap_open_at(lab.client, VIP, "mx1")
    lab.switch.run("ip link set p-mx2 down")
    try:
        began = time.monotonic()
        for imap in lost:
            imap.sock.settimeout(20)
            try:
                assert imap.sock.recv(1) == b"", "a dead server spoke"
            except ConnectionResetError:
                pass
        print(f"    silent clients of a dead backend are reset after {time.monotonic() - began:.1f} s")
        assert clients.imap_works(other)
    finally:
        lab.switch.run("ip link set p-mx2 up")
    wait_until(lambda: lab.state("lb1", "imap", "mx2") == "up", 60, "it is back")


def test_unplugged_backend_is_taken_out(lab):
    lab.switch.run("ip link set p-mx2 down")
    wait_until(lambda: lab.out("lb1", "http", "mx2"), 15, "the unplugged backend is out")
    assert set(clients.http_servers(lab.client, VIP, 20)) <= {"mx1", "mx3"}
    lab.switch.run("ip link set p-mx2 up")
    wait_until(lambda: lab.state("lb1", "http", "mx2") == "up", 60, "it is back")
