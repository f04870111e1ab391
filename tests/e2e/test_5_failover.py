# SPDX-License-Identifier: BSD-2-Clause
"""Losing a node goes unnoticed, planned or not."""
import time

from lab import clients
from lab.machine import wait_until
from lab.site import SLUICED, VIP, VIP6, Site


def site():
    lab = Site(interval="100ms")
    lab.up()
    return lab


def count_owners(lab):
    return sum(f"{VIP}/" in lab.machines[node].run("ip", "-4", "addr", "show", "dev", "eth0")
               for node in lab.nodes)


def test_planned_failover_loses_no_answer_and_is_not_taken_back(lab):
    sessions = [clients.imap_open(lab.client, host) for host in (VIP, VIP6) for _ in range(5)]
    pinger = clients.Pinger(lab.client, VIP)
    time.sleep(0.3)
    lab.sluice("lb1", "failover")
    wait_until(lambda: lab.active("lb2"), 5, "lb2 is active")
    time.sleep(1.5)
    gap_ms = pinger.end()
    assert gap_ms < 100, f"{gap_ms:.0f} ms without an answer"
    assert set(lab.roles("lb1").values()) == {"backup"}
    assert count_owners(lab) == 1
    assert all(clients.imap_works(session) for session in sessions)
    assert set(clients.http_servers(lab.client, VIP, 60)) == set(lab.backends)
    lab.sluice("lb2", "failover")
    wait_until(lambda: lab.active("lb1"), 5, "lb1 is active again")
    assert all(clients.imap_works(session) for session in sessions)
    print(f"    planned failover: longest time without an answer {gap_ms:.0f} ms")


def test_stopped_node_hands_over(lab):
    session = clients.imap_open(lab.client, VIP)
    pinger = clients.Pinger(lab.client, VIP)
    time.sleep(0.3)
    lab.lb1.kill(f"^{SLUICED}$", "TERM")
    wait_until(lambda: lab.active("lb2"), 5, "lb2 is active")
    time.sleep(1)
    gap_ms = pinger.end()
    assert gap_ms < 100, f"{gap_ms:.0f} ms without an answer"
    assert clients.imap_works(session)
    assert count_owners(lab) == 1
    lab.daemons["lb1"].wait()
    lab.daemons["lb1"] = lab.lb1.spawn(SLUICED, log="sluiced")
    lab.ready()
    assert clients.imap_works(session)


def test_dead_node_is_replaced_and_connections_go_on(lab):
    sessions = [clients.imap_open(lab.client, host) for host in (VIP, VIP6) for _ in range(10)]
    pinger = clients.Pinger(lab.client, VIP)
    time.sleep(0.3)
    lab.switch.run("ip link set p-lb1 down")
    lab.lb1.kill("sluiced", "KILL")
    wait_until(lambda: lab.active("lb2"), 5, "lb2 is active")
    time.sleep(0.5)
    gap_ms = pinger.end()
    assert gap_ms < 1000, f"{gap_ms:.0f} ms without an answer"
    assert all(clients.imap_works(session) for session in sessions)
    assert set(clients.http_servers(lab.client, VIP, 60)) == set(lab.backends)
    print(f"    master dead: longest time without an answer {gap_ms:.0f} ms (interval 100 ms)")
    lab.switch.run("ip link set p-lb1 up")
    lab.daemons["lb1"] = lab.lb1.spawn(SLUICED, log="sluiced")
    lab.ready()
    assert count_owners(lab) == 1
    assert all(clients.imap_works(session) for session in sessions)


def test_one_owner_after_the_processes_were_killed_and_started(lab):
    lab.lb1.kill("sluiced", "KILL")
    wait_until(lambda: lab.active("lb2"), 5, "lb2 is active")
    lab.daemons["lb1"] = lab.lb1.spawn(SLUICED, log="sluiced")
    lab.ready()
    wait_until(lambda: count_owners(lab) == 1, 5, "one node has the address")
