# SPDX-License-Identifier: BSD-2-Clause
"""Probes through the VIP: a backend whose own address answers, but which cannot serve what clients
send to it, is down, at the active node and at the backup, and says through which VIP."""
import json

from lab import clients
from lab.machine import wait_until
from lab.site import VIP, VIP6, Site

BESIDE_OTHERS = True
VIPS = {"": VIP, "6": VIP6}
# here a backend turns more often than flap_limit lets it
PROBES = {kind: f'{{ type = "{kind}"; interval = "200ms"; timeout = "1s"; fall = 2; flap_limit = 0; }}'
          for kind in ("smtp", "imap", "pop3", "http")}


def site():
    lab = Site(backends=2)
    lab.up(probes=PROBES)
    return lab


def row(lab, node, pool, backend):
    for one in lab.show(node, "backends"):
        if one["pool"] == pool and one["backend"] == backend:
            return one
    return {}


def problems(lab, node):
    return json.loads(lab.sluice(node, "status", "--json", check=False).stdout)["problems"]


def counter(lab, node, name):
    return {one["counter"]: one["value"] for one in lab.show(node, "counters")}[name]


def is_told(lab, node, pool, backend, vip):
    return any(f"backend {backend} of pool {pool} is down" in text and f"via {vip}" in text
               for text in problems(lab, node))


def test_probes_of_both_nodes_go_through_the_vips(lab):
    for node in lab.nodes:
        before = counter(lab, node, "pass_probe")
        wait_until(lambda: counter(lab, node, "pass_probe") > before + 50, 10, "answers come through the VIPs")
        assert not [text for text in problems(lab, node) if "own addresses" in text]
        done = lab.sluice(node, "probe", "smtp/mx1", "-v")
        assert f"via {VIP}" in done and "passed" in done, done
        done = lab.sluice(node, "probe", "http6/mx2", "-v")
        assert f"via {VIP6}" in done and "passed" in done, done


def vip_set(lab, backend, family, there):
    what = f"ip addr {'add' if there else 'del'} {VIP}/32 dev lo" if not family else \
        f"ip -6 addr {'add' if there else 'del'} {VIP6}/128 dev lo {'nodad' if there else ''}"
    lab.machines[backend].run(what)


def test_backend_without_the_vip_is_down_on_both_nodes_and_comes_back(lab):
    for family, vip in VIPS.items():
        other = "6" if not family else ""
        vip_set(lab, "mx2", family, False)
        for node in lab.nodes:
            for pool in ("smtp", "imap", "pop3", "http"):
                wait_until(lambda: lab.state(node, pool + family, "mx2") == "down", 15,
                           f"{pool}{family} is down at {node}")
                assert lab.state(node, pool + other, "mx2") == "up"
            wait_until(lambda: is_told(lab, node, "smtp" + family, "mx2", vip), 5, "and why")
        wait_until(lambda: lab.out("lb1", "http" + family, "mx2"), 5, "mx2 is out")
        assert set(clients.http_servers(lab.client, vip, 10)) == {"mx1"}
        vip_set(lab, "mx2", family, True)
        for node in lab.nodes:
            for pool in ("smtp", "imap", "pop3", "http"):
                wait_until(lambda: lab.state(node, pool + family, "mx2") == "up", 15,
                           f"{pool}{family} is up again at {node}")


def test_its_own_address_answers_well_all_the_time(lab):
    """Without this the test above would prove nothing: the failure is seen through the VIP only."""
    vip_set(lab, "mx2", "", False)
    try:
        with lab.lb1.network():
            import socket
            with socket.create_connection(("10.77.0.22", 25), 5) as s:
                assert s.recv(100).startswith(b"220")
        wait_until(lambda: lab.state("lb1", "smtp", "mx2") == "down", 15, "but through the VIP it is down")
    finally:
        vip_set(lab, "mx2", "", True)
    lab.all_up("lb1")
    lab.all_up("lb2")


def test_backend_that_refuses_at_the_vip_only_is_down(lab):
    """A daemon that listens at its own address, not at the VIP."""
    lab.mx1.run(f"nft 'add table ip t; add chain ip t c {{ type filter hook input priority 0; }}; "
                f"add rule ip t c ip daddr {VIP} tcp dport 80 reject with tcp reset'")
    try:
        for node in lab.nodes:
            wait_until(lambda: lab.state(node, "http", "mx1") == "down", 10, f"down at {node}")
            wait_until(lambda: is_told(lab, node, "http", "mx1", VIP), 5, "and why")
            assert any("refused" in text.lower() for text in problems(lab, node))
    finally:
        lab.mx1.run("nft delete table ip t")
    for node in lab.nodes:
        lab.all_up(node)


def test_wrong_mac_of_a_backend_is_a_failed_probe(lab):
    """ARP for mx2's address is answered by somebody else: probes go where clients' packets would."""
    mac = lab.mx1.run("cat /sys/class/net/eth0/address").strip()
    for node in lab.nodes:
        lab.machines[node].run(f"ip neigh replace 10.77.0.22 lladdr 02:00:00:00:99:99 dev eth0 nud permanent")
    try:
        for node in lab.nodes:
            wait_until(lambda: lab.state(node, "smtp", "mx2") == "down", 10, f"down at {node}")
            wait_until(lambda: is_told(lab, node, "smtp", "mx2", VIP), 5, "and why")
    finally:
        for node in lab.nodes:
            lab.machines[node].run("ip neigh del 10.77.0.22 dev eth0")
    assert mac
    for node in lab.nodes:
        lab.all_up(node)


def test_killed_lb_changes_nothing(lab):
    downs = lab.lb1.run(f"grep -c ' down: ' {lab.logs}/lb1-sluiced.log || true")
    before = lab.lb1.pids("--child lb")
    lab.lb1.kill("--child lb", "KILL")
    wait_until(lambda: (now := lab.lb1.pids("--child lb")) and now != before, 10, "another lb runs")
    wait_until(lambda: lab.show("lb1", "pools"), 20, "it answers")
    lab.all_up("lb1")
    assert "nothing would change" in lab.sluice("lb1", "plan")
    assert lab.lb1.run("tc filter show dev eth0 egress | grep -c 'handle 0x1.* probe'").strip() == "1"
    passed = counter(lab, "lb1", "pass_probe")
    wait_until(lambda: counter(lab, "lb1", "pass_probe") > passed + 20, 10, "probes go on through the VIPs")
    assert lab.lb1.run(f"grep -c ' down: ' {lab.logs}/lb1-sluiced.log || true") == downs


def test_failover_changes_nothing(lab):
    """The VIP becomes a local address of lb2, and none of lb1's."""
    downs = [lab.machines[node].run(f"grep -c ' down: ' {lab.logs}/{node}-sluiced.log || true")
             for node in lab.nodes]
    lab.sluice("lb1", "failover")
    wait_until(lambda: lab.active("lb2"), 10, "lb2 is active")
    for node in lab.nodes:
        passed = counter(lab, node, "pass_probe")
        wait_until(lambda: counter(lab, node, "pass_probe") > passed + 50, 10, "probes go on through the VIPs")
    vip_set(lab, "mx1", "", False)
    for node in lab.nodes:
        wait_until(lambda: lab.state(node, "http", "mx1") == "down", 10, f"without the VIP it is down at {node}")
    vip_set(lab, "mx1", "", True)
    for node in lab.nodes:
        lab.all_up(node)
    assert downs != ["0", "0"] or True
    lab.sluice("lb2", "failover")
    wait_until(lambda: lab.active("lb1"), 10, "lb1 is active")


def test_detached_node_probes_by_address_and_a_reload_goes_back(lab):
    lab.sluice("lb2", "detach")
    assert " probe" not in lab.lb2.run("tc filter show dev eth0 egress")
    vip_set(lab, "mx1", "", False)
    try:
        wait_until(lambda: lab.state("lb1", "http", "mx1") == "down", 10, "down where it is probed through the VIP")
        assert lab.state("lb2", "http", "mx1") == "up"
        lab.sluice("lb2", "reload")
        wait_until(lambda: lab.state("lb2", "http", "mx1") == "down", 10, "and at lb2 again")
    finally:
        vip_set(lab, "mx1", "", True)
    for node in lab.nodes:
        lab.all_up(node)


def test_filter_that_somebody_takes_away_is_put_back(lab):
    """Without it probes would go by address, and nobody would know."""
    lab.lb1.run("tc qdisc del dev eth0 clsact")
    wait_until(lambda: " probe" in lab.lb1.run("tc filter show dev eth0 egress"), 5, "it is there again")
    passed = counter(lab, "lb1", "pass_probe")
    wait_until(lambda: counter(lab, "lb1", "pass_probe") > passed + 20, 10, "probes go through the VIPs")
    assert "took away the filter" in lab.lb1.run(f"cat {lab.logs}/lb1-sluiced.log")
    lab.all_up("lb1")


def test_what_tc_refuses_is_told_and_probes_go_by_address(lab):
    """Another qdisc in the place of clsact: the program cannot be attached."""
    lab.sluice("lb2", "detach")
    lab.lb2.run("tc qdisc del dev eth0 clsact && tc qdisc add dev eth0 ingress")
    lab.sluice("lb2", "reload")
    wait_until(lambda: any("own addresses" in text for text in problems(lab, "lb2")), 5, "it is told")
    lab.all_up("lb2")
    by_address = {kind: text.replace("}", 'via = "address"; }') for kind, text in PROBES.items()}
    lab.config_write(lab.config(probes=by_address), ["lb2"])
    lab.sluice("lb2", "reload")
    assert not any("own addresses" in text for text in problems(lab, "lb2")), "none is to go through a VIP"
    lab.config_write(lab.config(probes=PROBES), ["lb2"])
    lab.sluice("lb2", "reload")
    wait_until(lambda: any("own addresses" in text for text in problems(lab, "lb2")), 5, "it is told again")
    lab.lb2.run("tc qdisc del dev eth0 ingress")
    lab.sluice("lb2", "reload")
    wait_until(lambda: not any("own addresses" in text for text in problems(lab, "lb2")), 5, "it is gone")
    passed = counter(lab, "lb2", "pass_probe")
    wait_until(lambda: counter(lab, "lb2", "pass_probe") > passed + 20, 10, "probes go through the VIPs")
