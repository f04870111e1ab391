# SPDX-License-Identifier: BSD-2-Clause
"""Every VRID there is, in both families, on two interfaces: 510 instances, each adverts, none flaps, all go together."""
import os
import time

from lab.machine import wait_until
from lab.site import Site

INTERFACES = {"eth0": range(1, 129), "eth1": range(129, 256)}
NETS = {"eth0": "10.77.1", "eth1": "10.79.1"}
CONFIG = """secret_file = "/etc/sluice/secret";
flow_limit = "4K";
user = "nobody";
nodes = ( {{ name = "lb1"; interfaces = [ "eth0" ]; }}, {{ name = "lb2"; interfaces = [ "eth0" ]; }} );
vrrp = ( {instances} );
sync = {{ links = (
  {{ interface = "eth0"; addresses = {{ lb1 = "10.77.0.2"; lb2 = "10.77.0.3"; }}; }},
  {{ interface = "eth1"; addresses = {{ lb1 = "10.79.0.2"; lb2 = "10.79.0.3"; }}; }} ); }};
"""


def config():
    rows = [f'{{ name = "v{family}-{vrid}"; interface = "{dev}"; vrid = {vrid}; priorities = {{ lb1 = 200; lb2 = 100; }}; '
            f'addresses = [ "{address}" ]; }}'
            for dev, vrids in INTERFACES.items() for vrid in vrids
            for family, address in ((4, f"{NETS[dev]}.{vrid}/24"), (6, f"fe80::51:{vrid:x}/64"))]
    return len(rows), CONFIG.format(instances=",\n  ".join(rows))


N, TEXT = config()


def site():
    lab = Site(backends=0)
    lab.second_network()
    lab.config_write(TEXT)
    lab.sluice_start()
    settled(lab)
    return lab


def count(lab, node):
    """Virtual addresses that are there."""
    return int(lab.machines[node].run(r"ip -o addr show | grep -cE ' (10\.7[79]\.1\.|fe80::51:)'; true"))


def settled(lab):
    wait_until(lambda: count(lab, "lb1") == N and count(lab, "lb2") == 0, 30, "lb1 alone has all addresses")
    wait_until(lambda: set(lab.roles("lb2").values()) == {"backup"} and len(lab.roles("lb1")) == N, 10, "lb2 is backup of all")
    wait_until(lambda: {row["state"] for node in lab.nodes for row in lab.show(node, "heartbeats")} == {"alive"}, 10,
               "the nodes hear each other")


def transitions(lab):
    return [{row["instance"]: row["transitions"] for row in lab.show(node, "vrrp")} for node in lab.nodes]


def cpu_s(lab, node):
    """Of vrrp, so far."""
    pid = lab.machines[node].pids("--child vrrp")[0]
    numbers = lab.machines[node].run(f"cat /proc/{pid}/stat").rsplit(") ", 1)[1].split()
    return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")


def test_all_are_heard_and_none_flaps(lab):
    before, heard = transitions(lab), {row["instance"]: row["received"] for row in lab.show("lb2", "vrrp")}
    began, used = time.monotonic(), {node: cpu_s(lab, node) for node in lab.nodes}
    time.sleep(3)
    took = time.monotonic() - began
    share = {node: 100 * (cpu_s(lab, node) - used[node]) / took for node in lab.nodes}
    assert transitions(lab) == before
    rows = lab.show("lb2", "vrrp")
    assert all(row["received"] - heard[row["instance"]] >= 2 and row["bad"] == 0 for row in rows), rows
    assert all(percent < 60 for percent in share.values()), share
    print(f"    {N} instances at 1 s: vrrp takes {share['lb1']:.0f} % of a CPU as active, {share['lb2']:.0f} % as backup")


def test_all_go_at_once_and_once(lab):
    before = transitions(lab)
    began = time.monotonic()
    for port in ("p-lb1", "q-lb1"):
        lab.switch.run(f"ip link set {port} down")
    wait_until(lambda: count(lab, "lb2") == N, 10, "lb2 has all addresses")
    took_s = time.monotonic() - began
    wait_until(lambda: set(lab.roles("lb1").values()) == {"init"} and count(lab, "lb1") == 0, 5, "lb1 has none")
    wait_until(lambda: set(lab.roles("lb2").values()) == {"active"}, 5, "lb2 is active for all")
    after = transitions(lab)
    assert all(after[1][name] == n + 1 for name, n in before[1].items()), "each once"
    for port in ("p-lb1", "q-lb1"):
        lab.switch.run(f"ip link set {port} up")
    settled(lab)
    began = time.monotonic()
    lab.sluice("lb1", "failover")
    wait_until(lambda: count(lab, "lb2") == N and count(lab, "lb1") == 0, 10, "lb2 has all addresses")
    planned_s = time.monotonic() - began
    print(f"    {N} instances at 1 s: both links lost, all addresses at lb2 after {took_s:.2f} s; failover, {planned_s:.2f} s")
    lab.sluice("lb2", "failover")
    settled(lab)
    assert transitions(lab)[1] == {name: n + 4 for name, n in before[1].items()}, "active, backup, active, backup"
