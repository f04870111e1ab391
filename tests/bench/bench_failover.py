#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""How long nobody answers for a virtual address when its node goes, with sluice and with keepalived, in turns.

Two nodes share an address; a client behind a router asks it by ICMP every millisecond. The active node's port goes
down, it hands over by command (sluice) or SIGTERM (keepalived), one of its processes or all of them are killed. Of
each try: the longest time without an answer, and how many questions were never answered. Asserts nothing.

usage: bench_failover.py [--tries N] [--interval 10ms|100ms|1s]... [--only FAULT]... [--json]"""
import argparse
import json
import os
import statistics
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "e2e"))
from lab import clients  # noqa: E402
from lab.machine import wait_until  # noqa: E402
from lab.site import SECRET, SLUICED, VIP, Site  # noqa: E402

INTERVALS = ("10ms", "100ms", "1s")
FAULTS = ("port down", "handed over", "one killed", "all killed")
SECOND_LINK = {"lb1": "10.79.0.1", "lb2": "10.79.0.2"}  # of sluice's sync; keepalived has no use for it


def sluice_config(interval):
    return f"""secret_file = "/etc/sluice/secret";
user = "nobody";
nodes = ( {{ name = "lb1"; interfaces = [ "eth0" ]; }}, {{ name = "lb2"; interfaces = [ "eth0" ]; }} );
vrrp = ( {{ name = "v4"; vrid = 51; interval = "{interval}"; priorities = {{ lb1 = 200; lb2 = 100; }};
           addresses = [ "{VIP}/24" ]; }} );
pools = ( {{ name = "mx"; port = 25; probe = "none"; backends = ( {{ name = "mx1"; address = "10.77.0.21"; }} ); }} );
services = ( {{ name = "smtp"; vip = "{VIP}"; port = 25; pool = "mx"; }} );
sync = {{ links = (
  {{ interface = "eth0"; addresses = {{ lb1 = "10.77.0.2"; lb2 = "10.77.0.3"; }}; }},
  {{ interface = "eth1"; addresses = {{ lb1 = "{SECOND_LINK['lb1']}"; lb2 = "{SECOND_LINK['lb2']}"; }}; }} ); }};
"""


def keepalived_config(interval, priority):
    seconds = float(interval[:-2]) / 1000 if interval.endswith("ms") else float(interval[:-1])
    return f"""global_defs {{ vrrp_version 3
  vrrp_rt_priority 10
  vrrp_no_swap
}}
vrrp_instance v4 {{ state BACKUP
  interface eth0
  virtual_router_id 51
  priority {priority}
  advert_int {seconds}
  virtual_ipaddress {{ {VIP}/24 }}
}}
"""


class Pair:
    """lb1 has the address, until something happens to it."""

    def __init__(self, lab, interval):
        self.lab = lab
        self.write(interval)
        for node in lab.nodes:
            self.start(node)
        self.settle()

    def owners(self):
        return [node for node in self.lab.nodes
                if f"{VIP}/" in self.lab.machines[node].run("ip", "-4", "addr", "show", "dev", "eth0")]

    def settle(self):
        wait_until(lambda: self.owners() == ["lb1"], 60, "lb1 alone has the address")
        time.sleep(self.rest_s)

    def kill(self, node, signal_name):
        """All at once: none sees another's end."""
        machine = self.lab.machines[node]
        pids = [str(pid) for pattern in self.patterns for pid in machine.pids(pattern)]
        machine.run("kill", f"-{signal_name}", *pids, check=False)

    def end(self):
        for node in self.lab.nodes:
            self.kill(node, "KILL")
            self.lab.machines[node].run(f"ip addr del {VIP}/24 dev eth0; tc qdisc del dev eth0 clsact; rm -rf /sys/fs/bpf/sluice; rm -f /run/*.pid",
                                        check=False)


class Sluice(Pair):
    patterns = ("^[^ ]*sluiced",)
    one = "--child vrrp"
    rest_s = 1.0

    def write(self, interval):
        for node in self.lab.nodes:
            self.lab.machines[node].write("/etc/sluice/sluice.conf", sluice_config(interval))
            self.lab.machines[node].write("/etc/sluice/secret", SECRET, mode="600")

    def start(self, node):
        self.lab.machines[node].spawn(SLUICED, log="sluiced")

    def hand_over(self):
        self.lab.sluice("lb1", "failover")

    def take_back(self):
        self.lab.sluice("lb2", "failover")


class Keepalived(Pair):
    patterns = ("^/usr/sbin/keepalived",)
    one = "^/usr/sbin/keepalived"  # and its child, the last
    rest_s = 1.0

    def write(self, interval):
        for node, priority in (("lb1", 200), ("lb2", 100)):
            self.lab.machines[node].write("/etc/keepalived/keepalived.conf", keepalived_config(interval, priority))

    def hand_over(self):
        self.kill("lb1", "TERM")

    def take_back(self):
        self.start("lb1")

    def start(self, node):
        machine = self.lab.machines[node]
        wait_until(lambda: not machine.pids(self.patterns[0]), 10, f"keepalived of {node} is gone")
        machine.run("rm -f /run/keepalived*.pid /run/keepalived/*.pid", check=False)
        machine.spawn("/usr/sbin/keepalived", "-n", "-l", "-D", log="keepalived")


def fault(pair, what):
    """It happens; and what undoes it, to be called later."""
    lab = pair.lab
    if what == "port down":
        lab.switch.run("ip link set p-lb1 down")
        lab.machines["lb1"].run("ip link set eth1 down")
        return lambda: (lab.machines["lb1"].run("ip link set eth1 up"), lab.switch.run("ip link set p-lb1 up"))
    if what == "handed over":
        pair.hand_over()
        return pair.take_back
    if what == "one killed":
        those = lab.lb1.pids(pair.one)
        lab.lb1.run("kill", "-KILL", str(those[-1]))
        return lambda: wait_until(lambda: len(lab.lb1.pids(pair.one)) == len(those), 60, "it was started again")
    pair.kill("lb1", "KILL")
    return lambda: pair.start("lb1")


def one_try(pair, what):
    pinger = clients.Pinger(pair.lab.client, VIP, interval_s=0.001)
    time.sleep(0.3)
    undo = fault(pair, what)
    if what != "one killed":
        wait_until(lambda: "lb2" in pair.owners(), 30, "lb2 has the address")
    time.sleep(0.5)
    gap_ms = pinger.end()
    undo()
    pair.settle()
    return gap_ms, pinger.lost()


def measure(lab, maker, interval, faults, tries):
    pair = maker(lab, interval)
    try:
        for what in faults:
            got = [one_try(pair, what) for _ in range(tries)]
            gaps, lost = zip(*got)
            yield {"interval": interval, "fault": what, "by": maker.__name__.lower(),
                   "median_ms": round(statistics.median(gaps), 1), "worst_ms": round(max(gaps), 1),
                   "lost_median": statistics.median(lost), "lost_worst": max(lost)}
    finally:
        pair.end()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tries", type=int, default=3)
    parser.add_argument("--only", action="append", choices=FAULTS)
    parser.add_argument("--interval", action="append", choices=INTERVALS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    with Site(backends=1) as lab:
        lab.cable(lab.lb1, "eth1", lab.lb2, "eth1")
        for node, address in SECOND_LINK.items():
            lab.machines[node].run(f"ip addr add {address}/24 dev eth1")
        for interval in options.interval or INTERVALS:
            for maker in (Sluice, Keepalived):
                for row in measure(lab, maker, interval, options.only or FAULTS, options.tries):
                    rows.append(row)
                    print(row, file=sys.stderr, flush=True)
    rows.sort(key=lambda row: (INTERVALS.index(row["interval"]), FAULTS.index(row["fault"]), row["by"] != "sluice"))
    if options.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
