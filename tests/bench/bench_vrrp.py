#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""How punctual adverts are, and how long a takeover takes, of sluice and of keepalived.

Two nodes at a switch, no traffic; a third machine takes down what both say, with the kernel's time stamps. Adverts
every 10 ms: how far the time between two is from that, idle and beside busy loops, four to a core. A takeover: the
active node's port goes down; counted from its last advert to the other's first gratuitous ARP (or neighbour
advertisement), and from the other's first frame, which is its decision, to its first and its last one and to the last
address that its kernel has. keepalived has real-time priority, too. Asserts nothing.

usage: bench_vrrp.py [--tries N] [--seconds N] [--json]"""
import argparse
import contextlib
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "e2e"))
from lab.machine import wait_until  # noqa: E402
from lab.site import Site  # noqa: E402

SO_TIMESTAMPNS, ETH_P_ALL, RTM_NEWADDR, RTMGRP_ADDRESSES = 35, 3, 20, 0x10 | 0x100
PRIORITIES = {"lb1": 200, "lb2": 100}


# ---- who is measured ----

def instances_of(n, addresses):
    """n of them, half of both families when there are many: (family, VRID, addresses)."""
    if n == 1:
        return [(4, 51, [f"10.77.1.{k + 1}/24" for k in range(addresses)])]
    half = n // 2
    return ([(4, v, [f"10.77.1.{v}/24"]) for v in range(1, half + 1)] +
            [(6, v, [f"fe80::51:{v:x}/64"]) for v in range(1, half + 1)])


class Sluice:
    name = "sluice"

    def __init__(self, lab, instances, interval_ms, more=""):
        rows = ", ".join(
            f'{{ name = "v{family}-{vrid}"; vrid = {vrid}; interval = "{interval_ms}ms"; {more} '
            f'priorities = {{ lb1 = {PRIORITIES["lb1"]}; lb2 = {PRIORITIES["lb2"]}; }}; '
            f'addresses = [ {", ".join(chr(34) + a + chr(34) for a in addresses)} ]; }}'
            for family, vrid, addresses in instances)
        self.lab = lab
        lab.config_write(f"""secret_file = "/etc/sluice/secret";
flow_limit = "64K";
user = "nobody";
nodes = ( {{ name = "lb1"; interfaces = [ "eth0" ]; }}, {{ name = "lb2"; interfaces = [ "eth0" ]; }} );
vrrp = ( {rows} );
pools = ( {{ name = "p"; port = 9; probe = {{ type = "tcp"; timeout = "500ms"; }};
  backends = ( {{ name = "b"; address = "10.77.0.99"; }} ); }} );
services = ( {{ name = "s"; vip = "10.77.1.1"; port = 9; pool = "p"; }} );
""")

    def start(self, *nodes):
        self.lab.sluice_start(*nodes)

    def stop(self):
        self.lab.sluice_stop()


class Keepalived:
    name = "keepalived"

    def __init__(self, lab, instances, interval_ms, more=""):
        del more
        self.lab = lab
        for node, priority in PRIORITIES.items():
            text = "global_defs {\n  vrrp_rt_priority 10\n  vrrp_garp_master_repeat 1\n}\n"
            for family, vrid, addresses in instances:
                text += (f"vrrp_instance v{family}_{vrid} {{\n  version 3\n  state BACKUP\n  interface eth0\n"
                         f"  virtual_router_id {vrid}\n  priority {priority}\n  advert_int {interval_ms / 1000}\n"
                         "  virtual_ipaddress {\n" + "".join(f"    {a}\n" for a in addresses) + "  }\n}\n")
            lab.machines[node].write("/etc/keepalived.conf", text)

    def start(self, *nodes):
        for node in nodes:
            self.lab.machines[node].run("keepalived -f /etc/keepalived.conf -p /run/k.pid -r /run/kv.pid -c /run/kc.pid "
                                        "> /run/keepalived.log 2>&1")

    def stop(self):
        for node in PRIORITIES:
            self.lab.machines[node].run("kill $(cat /run/k.pid) 2> /dev/null; while pgrep -x keepalived > /dev/null; "
                                        "do sleep 0.05; done; true")


# ---- what is seen ----

class Sniffer:
    """(time in s, kind, source) of each advert and announcement that reaches the router."""

    def __init__(self, lab):
        with lab.router.network():
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            self.sock.bind(("servers", 0))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 26)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.sock.settimeout(0.05)
        self.macs = {lab.machines[n].run("cat /sys/class/net/eth0/address").strip(): n for n in PRIORITIES}
        self.seen, self.ended = [], threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _kind(self, frame):
        ethertype = struct.unpack("!H", frame[12:14])[0]
        if ethertype == 0x0806:
            return "garp" if frame[28:32] == frame[38:42] else None
        if (ethertype == 0x0800 and frame[23] == 112) or (ethertype == 0x86dd and frame[20] == 112):
            at = 34 if ethertype == 0x0800 else 54
            return "leaves" if frame[at + 2] == 0 else "advert"
        return "garp" if ethertype == 0x86dd and frame[20] == 58 and frame[54] == 136 and frame[0] == 0x33 else None

    def _node(self, frame, kind):
        """By its MAC; a virtual one is either's, but an advert has its sender's address. None: not known."""
        if frame[6:10] != b"\0\0\x5e\0":
            return self.macs.get(":".join(f"{b:02x}" for b in frame[6:12]))
        return {2: "lb1", 3: "lb2"}.get(frame[29]) if kind == "advert" and frame[12] == 8 else None

    def _run(self):
        while not self.ended.is_set():
            try:
                frame, control, _, _ = self.sock.recvmsg(256, 256)
            except OSError:
                continue
            kind = self._kind(frame)
            node = self._node(frame, kind)
            if kind and control:
                sec, ns = struct.unpack("qq", control[0][2][:16])
                self.seen.append((sec + ns / 1e9, kind, node))

    def end(self):
        self.ended.set()
        self.thread.join()
        self.sock.close()
        return self.seen


class Addresses:
    """When the kernel of a node tells of each new address; in user space, so only good when it is idle."""

    def __init__(self, machine):
        with machine.network():
            self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
            self.sock.bind((0, RTMGRP_ADDRESSES))
        self.sock.settimeout(0.05)
        self.times, self.ended = [], threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.ended.is_set():
            try:
                message = self.sock.recv(4096)
            except OSError:
                continue
            if struct.unpack("=IH", message[:6])[1] == RTM_NEWADDR:
                self.times.append(time.time())

    def end(self):
        self.ended.set()
        self.thread.join()
        self.sock.close()
        return self.times


def count_virtual(machine):
    return machine.run("ip -o addr show; true").count("10.77.1.") + machine.run("ip -o addr show; true").count("fe80::51:")


@contextlib.contextmanager
def busy(n):
    loops = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(n)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


# ---- measured ----

def jitter(lab, maker, seconds, load):
    who = maker(lab, instances_of(1, 1), 10)
    who.start("lb1")
    try:
        wait_until(lambda: count_virtual(lab.lb1) == 1, 30, f"{who.name} is active")
        time.sleep(1)
        with busy(load):
            sniffer = Sniffer(lab)
            time.sleep(seconds)
            seen = sniffer.end()
    finally:
        who.stop()
    times = [t for t, kind, _ in seen if kind == "advert"]
    gaps = [b - a for a, b in zip(times, times[1:])]
    off = sorted(abs(gap - 0.010) * 1e6 for gap in gaps)
    n = len(off)
    return {"who": who.name, "busy_loops": load, "adverts": n + 1, "off_p50_us": round(off[n // 2]),
            "off_p99_us": round(off[n * 99 // 100]), "off_max_us": round(off[-1]),
            "gaps_over_30_ms": sum(gap > 0.030 for gap in gaps)}


def takeover_once(lab, n, expected):
    sniffer, addresses = Sniffer(lab), Addresses(lab.lb2)
    time.sleep(0.3)
    lab.switch.run("ip link set p-lb1 down")
    wait_until(lambda: count_virtual(lab.lb2) == expected, 20, "lb2 has the addresses")
    time.sleep(0.3)
    seen, added = sniffer.end(), addresses.end()
    first = min(t for t, kind, node in seen if node == "lb2")
    garps = sorted(t for t, kind, node in seen if node != "lb1" and kind == "garp" and t >= first)[:expected]
    added = [t for t in added if t > first - 1]
    return {"last_advert_to_garp_ms": 1000 * (garps[0] - max(t for t, kind, node in seen if node == "lb1")),
            "to_first_garp_us": 1e6 * (garps[0] - first), "to_last_garp_us": 1e6 * (garps[-1] - first),
            "to_last_address_us": 1e6 * (max(added) - first), "garps": len(garps)}


def takeover(lab, maker, n, addresses, interval_ms, tries, more=""):
    who = maker(lab, instances_of(n, addresses), interval_ms, more)
    expected = n * addresses
    who.start("lb1", "lb2")
    runs = []
    try:
        for _ in range(tries):
            wait_until(lambda: count_virtual(lab.lb1) == expected and count_virtual(lab.lb2) == 0, 60,
                       f"{who.name}: lb1 alone is active")
            time.sleep(1)
            runs.append(takeover_once(lab, n, expected))
            lab.switch.run("ip link set p-lb1 up")
    finally:
        who.stop()
    return {"who": who.name + (" vmac" if more else ""), "instances": n, "addresses": expected,
            "interval_ms": interval_ms, "tries": tries,
            **{key: round(statistics.median(run[key] for run in runs), 1) for key in runs[0]},
            "to_last_garp_worst_us": round(max(run["to_last_garp_us"] for run in runs))}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tries", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = {"punctuality": [], "takeover": []}
    with Site(backends=1) as lab:
        for load in (0, 8):
            for maker in (Sluice, Keepalived):
                rows["punctuality"].append(jitter(lab, maker, options.seconds, load))
                print(f"  {rows['punctuality'][-1]}", file=sys.stderr)
        cases = [(maker, *case) for case in ((1, 1, 10), (1, 64, 10), (256, 1, 100)) for maker in (Sluice, Keepalived)]
        cases += [(Sluice, *case, options.tries, "virtual_mac = true;") for case in ((1, 1, 10), (1, 64, 10))]
        for maker, n, addresses, interval_ms, *rest in cases:
            rows["takeover"].append(takeover(lab, maker, n, addresses, interval_ms, *(rest or [options.tries])))
            print(f"  {rows['takeover'][-1]}", file=sys.stderr)
    print(json.dumps(rows) if options.json else "\n".join(str(row) for table in rows.values() for row in table))


if __name__ == "__main__":
    main()
