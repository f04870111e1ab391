# SPDX-License-Identifier: BSD-2-Clause
"""Instances of a group go together; what a node's right to be active depends on; how it came to be so."""
import json
import time

from lab import daemons
from lab.machine import wait_until
from lab.site import SLUICE, Site

NETS = {"a": ("eth0", "10.77.0.10"), "b": ("eth1", "10.79.0.10")}

CHECK = "#!/bin/sh\n[ ! -e /run/broken ] || { echo the cable smells; exit 3; }\n"
HOOK = ('#!/bin/sh\n[ "$SLUICE_EVENT" = vrrp ] || exit 0\n'
        'echo "$SLUICE_INSTANCE $SLUICE_FROM $SLUICE_TO $SLUICE_PRIORITY $SLUICE_REASON" >> /run/hooks/told\n')

CONFIG = """secret_file = "/etc/sluice/secret";
flow_limit = "64K";
user = "nobody";
on_change = ( { command = [ "/etc/sluice/hook" ]; } );
nodes = ( { name = "lb1"; interfaces = [ "eth0" ]; }, { name = "lb2"; interfaces = [ "eth0" ]; } );
vrrp = (
  { name = "a"; group = "mail"; vrid = 51; interface = "eth0"; interval = "100ms";
    priorities = { lb1 = 200; lb2 = 100; }; addresses = [ "10.77.0.10/24" ]; },
  { name = "b"; group = "mail"; vrid = 52; interface = "eth1"; interval = "100ms";
    priorities = { lb1 = 120; lb2 = 150; }; addresses = [ "10.79.0.10/24" ]; } );
track = (
  { name = "uplink"; type = "route"; route = "10.99.0.0/16"; weight = 50; },
  { name = "check"; type = "script"; command = [ "/etc/sluice/check" ]; interval = "200ms"; rise = 1; fall = 2; weight = 50; },
  { name = "web"; type = "pool"; pool = "web"; least = 60; weight = 50; },
  { name = "cable"; type = "interface"; interface = "eth2"; weight = 50; instances = [ "a" ]; },
  { name = "xdp"; type = "plane"; } );
pools = ( { name = "web"; port = 80; probe = { type = "tcp"; interval = "200ms"; timeout = "200ms"; flap_limit = 0; };
  backends = ( { name = "mx1"; address = "10.77.0.21"; }, { name = "mx2"; address = "10.77.0.22"; } ); } );
services = ( { name = "web"; vip = "10.77.0.10"; port = 80; pool = "web"; } );
"""

# The same facts once more, for an instance of its own: what is a weight for the group is a fault for it, and the reverse.
ALONE = """track = (
  { name = "uplink-fault"; type = "route"; route = "10.99.0.0/16"; instances = [ "c" ]; },
  { name = "check-fault"; type = "script"; command = [ "/etc/sluice/check" ]; interval = "200ms"; rise = 1; fall = 2; instances = [ "c" ]; },
  { name = "web-fault"; type = "pool"; pool = "web"; least = 60; instances = [ "c" ]; },
  { name = "cable-fault"; type = "interface"; interface = "eth2"; instances = [ "c" ]; },
  { name = "xdp-weight"; type = "plane"; weight = 150; instances = [ "c" ]; },"""
CONFIG_ALONE = CONFIG.replace('addresses = [ "10.79.0.10/24" ]; } );', """addresses = [ "10.79.0.10/24" ]; },
  { name = "c"; vrid = 53; interface = "eth0"; interval = "100ms"; priorities = { lb1 = 200; lb2 = 100; };
    addresses = [ "10.77.0.11/24" ]; } );""").replace("track = (", ALONE).replace(
    'weight = 50; },', 'weight = 50; instances = [ "a" ]; },').replace(
    'name = "xdp"; type = "plane"; }', 'name = "xdp"; type = "plane"; instances = [ "a" ]; }')


def site():
    lab = Site(backends=2)
    lab.switch.run("ip link add br1 type bridge forward_delay 0 mcast_snooping 0 && ip link set br1 up")
    for n, node in enumerate(lab.nodes):
        machine = lab.machines[node]
        for dev, port in (("eth1", f"q-{node}"), ("eth2", f"r-{node}")):
            lab.cable(machine, dev, lab.switch, port)
        lab.switch.run(f"ip link set q-{node} master br1")
        machine.run(f"ip addr add 10.79.0.{3 - n}/24 dev eth1 && ip route add 10.99.0.0/16 via 10.79.0.1; mkdir -m 777 /run/hooks")
        machine.write("/etc/sluice/check", CHECK, mode="755")
        machine.write("/etc/sluice/hook", HOOK, mode="755")
    for name in lab.backends:
        daemons.nginx_start(lab.machines[name])
    lab.config_write(CONFIG)
    lab.sluice_start()
    lab.ready()
    lab.all_up("lb2")
    wait_until(lambda: states(lab, "lb1") == states(lab, "lb2") == {"good"}, 5, "every track is good")
    return lab


def states(lab, node):
    return {row["state"] for row in lab.show(node, "tracks")}


def row(lab, node, what, name):
    return next((r for r in lab.show(node, what) if name in r.values()), {})


def is_alone(lab, node):
    """Every instance is active here, none there, and the addresses are where the roles say."""
    other = "lb2" if node == "lb1" else "lb1"
    if not lab.active(node) or "active" in lab.roles(other).values():
        return False
    for dev, vip in NETS.values():
        if f"{vip}/" not in lab.machines[node].run("ip", "addr", "show", "dev", dev):
            return False
        if f"{vip}/" in lab.machines[other].run("ip", "addr", "show", "dev", dev):
            return False
    return True


def goes(lab, node, why):
    wait_until(lambda: is_alone(lab, node), 6, f"both instances are active at {node} alone: {why}")


def transitions(lab):
    return [r["transitions"] for node in lab.nodes for r in lab.show(node, "vrrp")]


def problems(lab, node):
    return "\n".join(json.loads(lab.sluice(node, "status", "--json", check=False).stdout)["problems"])


def test_group_has_one_priority_and_one_node(lab):
    goes(lab, "lb1", "120 is more than 100, at every member")
    assert [r["effective"] for r in lab.show("lb1", "vrrp")] == [120, 120]
    assert [r["effective"] for r in lab.show("lb2", "vrrp")] == [100, 100]
    turns = [r["transitions"] for r in lab.show("lb1", "vrrp") + lab.show("lb2", "vrrp")]
    time.sleep(1.5)
    assert turns == [r["transitions"] for r in lab.show("lb1", "vrrp") + lab.show("lb2", "vrrp")]


def test_one_lost_interface_moves_all_and_its_return_brings_all_back(lab):
    began = time.monotonic()
    lab.switch.run("ip link set q-lb1 down")
    wait_until(lambda: lab.active("lb2"), 5, "lb2 is active")
    took_ms = (time.monotonic() - began) * 1000
    goes(lab, "lb2", "lb1 has lost eth1")
    assert set(lab.roles("lb1").values()) == {"init"}
    reason = row(lab, "lb1", "vrrp", "a")["reason"]
    assert "mail" in reason and " b: " in reason and "interface" in reason, reason
    lab.switch.run("ip link set q-lb1 up")
    goes(lab, "lb1", "eth1 is back")
    print(f"    one interface lost: both instances active at the other node after {took_ms:.0f} ms")


def test_a_silent_network_alone_moves_nothing(lab):
    before = lab.show("lb1", "vrrp") + lab.show("lb2", "vrrp")
    lab.switch.run("ip link set q-lb1 nomaster")
    time.sleep(2)
    after = lab.show("lb1", "vrrp") + lab.show("lb2", "vrrp")
    lab.switch.run("ip link set q-lb1 master br1")
    assert [r["transitions"] for r in after] == [r["transitions"] for r in before], after
    goes(lab, "lb1", "nothing happened")


def test_equals_that_were_split_agree_though_their_networks_do_not(lab):
    """On eth0 lb2 has the higher address, on eth1 lb1 does."""
    lab.config_write(CONFIG.replace("lb1 = 200; lb2 = 100", "lb1 = 100; lb2 = 100").replace("lb1 = 120; lb2 = 150", "lb1 = 100; lb2 = 100"))
    for node in lab.nodes:
        lab.sluice(node, "reload")
    goes(lab, "lb1", "equal priorities move nothing")
    lab.switch.run("ip link set p-lb1 nomaster; ip link set q-lb1 nomaster")
    wait_until(lambda: lab.active("lb2"), 5, "both nodes are active")
    assert lab.active("lb1")
    before = transitions(lab)
    lab.switch.run("ip link set q-lb1 master br1; ip link set p-lb1 master br0")
    goes(lab, "lb2", "by their addresses at the first member")
    time.sleep(1)
    assert is_alone(lab, "lb2")
    assert sum(transitions(lab)) - sum(before) <= 12, (before, transitions(lab))
    print(f"    equal nodes that were split: {sum(transitions(lab)) - sum(before)} changes of role until they agree")
    lab.config_write(CONFIG)
    for node in lab.nodes:
        lab.sluice(node, "reload")
    goes(lab, "lb1", "it is better again")


def test_route_script_pool_and_interface_are_weighed_or_a_fault(lab):
    lab.config_write(CONFIG_ALONE)
    for node in lab.nodes:
        lab.sluice(node, "reload")
    wait_until(lambda: all(states(lab, node) == {"good"} and len(lab.roles(node)) == 3 for node in lab.nodes), 5,
               "every track is good")
    block = ("nft 'add table ip t; add chain ip t i { type filter hook input priority 0; }; "
             "add rule ip t i ip saddr 10.77.0.2 tcp dport 80 reject with tcp reset'")
    for track, machines, breaks, heals in (
            ("uplink", ["lb1"], "ip route del 10.99.0.0/16", "ip route add 10.99.0.0/16 via 10.79.0.1"),
            ("check", ["lb1"], "touch /run/broken", "rm /run/broken"),
            ("web", ["mx1", "mx2"], block, "nft delete table ip t"),
            ("cable", ["switch"], "ip link set r-lb1 down", "ip link set r-lb1 up")):
        for name in machines:
            lab.machines[name].run(breaks)
        goes(lab, "lb2", f"track {track} failed at lb1")
        assert [r["effective"] for r in lab.show("lb1", "vrrp")] == [70, 70, 200], lab.show("lb1", "vrrp")
        assert track in row(lab, "lb1", "vrrp", "a")["tracks_failed"]
        assert lab.roles("lb1") == {"a": "backup", "b": "backup", "c": "init"}
        assert f"track {track}-fault failed" in row(lab, "lb1", "vrrp", "c")["reason"]
        assert row(lab, "lb1", "tracks", track)["state"] == "failed"
        assert f"track {track} failed" in problems(lab, "lb1")
        for name in machines:
            lab.machines[name].run(heals)
        goes(lab, "lb1", f"track {track} is good again")
    assert "the cable smells" in lab.log_text()


def test_plane_is_a_fault_or_weighed(lab):
    lab.sluice("lb1", "detach")
    goes(lab, "lb2", "lb1 does not balance")
    assert lab.roles("lb1") == {"a": "init", "b": "init", "c": "backup"}
    assert row(lab, "lb1", "vrrp", "c")["effective"] == 50
    assert "track xdp failed" in row(lab, "lb1", "vrrp", "b")["reason"]
    assert "track xdp failed" in problems(lab, "lb1")
    lab.sluice("lb1", "reload")
    goes(lab, "lb1", "it balances again")
    lab.config_write(CONFIG)
    for node in lab.nodes:
        lab.sluice(node, "reload")


def test_failover_of_one_moves_all_and_is_kept_over_a_crash(lab):
    lab.sluice("lb1", "failover", "b", "--to", "lb2")
    goes(lab, "lb2", "handed over")
    lab.lb1.kill("--child vrrp", "KILL")
    wait_until(lambda: set(lab.roles("lb1").values()) == {"backup"} and lab.lb1.pids("--child vrrp"), 5, "vrrp is back")
    time.sleep(1.5)
    assert is_alone(lab, "lb2"), "it was taken back"
    for node, word in (("lb1", "run there"), ("lb9", "no node")):
        refused = lab.lb1.run(f"{SLUICE} failover --to {node} 2>&1; true")
        assert word in refused, refused
    lab.sluice("lb2", "failover")
    goes(lab, "lb1", "handed back")


def test_a_script_that_failed_is_not_forgotten_by_a_crash(lab):
    lab.lb1.write("/run/broken", "")
    goes(lab, "lb2", "the script fails")
    for role in ("programs", "lb", "vrrp"):
        lab.lb1.kill(f"--child {role}", "KILL")
        wait_until(lambda: row(lab, "lb1", "tracks", "check").get("state") == "failed", 5, "known again")
    end = time.monotonic() + 1
    while time.monotonic() < end:
        assert "active" not in lab.roles("lb1").values()
    lab.lb1.run("rm /run/broken")
    goes(lab, "lb1", "it is good again")


def test_history_and_hooks_tell_why(lab):
    history = lab.show("lb1", "history")
    of_a = [r for r in history if r["instance"] == "a"]
    assert 5 < len(of_a) <= 32 and history == sorted(history, key=lambda r: r["at"])
    assert any("group mail: b" in r["why"] for r in of_a), of_a
    assert any("operator" in r["why"] for r in history if r["instance"] == "b")
    assert all(0 < r["took_us"] < 1000000 for r in history if r["to"] == "active")
    lab.lb1.kill("--child vrrp", "KILL")
    lab.lb1.kill("--child lb", "KILL")
    wait_until(lambda: [r for r in lab.show("lb1", "history") if r in of_a] == of_a, 10, "history is known again")
    one = json.loads(lab.sluice("lb1", "show", "history", "b", "--json"))["history"]
    assert {r["instance"] for r in one} == {"b"}
    goes(lab, "lb1", "nothing moved")
    told = lab.lb1.run("cat /run/hooks/told")
    assert "a active backup 120 hands over, told by the operator" in told, told
    assert "a active init" in told and "track xdp failed" in told
