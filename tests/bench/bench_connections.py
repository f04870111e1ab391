#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Whole connections a second, and what one costs the balancer.

wrk with 64 clients at once, a new connection for each request, to nginx behind what is in the middle; on the
site of the end-to-end tests. The CPU is that of the balancer's NAPI thread (its interface has threaded NAPI)
and of its processes, by the scheduler's own count. Every round measures all of them in turn; medians are
compared. Asserts nothing.

usage: bench_connections.py [--rounds N] [--seconds S] [--json]"""
import argparse
import json
import os
import re
import statistics
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "e2e"))
from lab import daemons  # noqa: E402
from lab.machine import wait_until  # noqa: E402
from lab.site import BUILD, VIP, Site  # noqa: E402

SERVER, NODE, GATEWAY = "10.77.0.21", "10.77.0.2", "10.77.0.1"
FULLNAT_VIP, SOURCES = "10.77.0.11", [f"10.77.0.{n}" for n in range(31, 39)]
ROUTED, DNAT, REWRITTEN = "10.99.0.1", "10.99.0.2", "10.99.0.3"

HAPROXY = f"""global
  nbthread 1
  maxconn 4000
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen web
  bind {NODE}:8080
  server mx1 {SERVER}:80
"""


class Middle:
    """One way from the clients to nginx; `processes`: whose CPU counts beside the NAPI thread."""
    processes = None

    def __init__(self, lab):
        self.lab = lab

    def start(self):
        pass

    def stop(self):
        pass


class Direct(Middle):
    name, host = "direct", SERVER


class Sluice(Middle):
    name, host, processes = "sluice, dsr", VIP, "sluiced"

    def start(self):
        self.lab.sluice_start("lb1")
        self.lab.ready()
        time.sleep(3)  # it builds its tables at the start: not what a connection costs

    def stop(self):
        self.lab.sluice("lb1", "detach")
        self.lab.sluice_stop("lb1")


class Fullnat(Sluice):
    """Many sources: a port rests for a minute after its connection."""
    name, host, sync = "sluice, fullnat", FULLNAT_VIP, ""

    def start(self):
        text = self.lab.plain.replace(f'"{VIP}/24"', ", ".join(f'"{a}/24"' for a in (VIP, FULLNAT_VIP, *SOURCES)))
        text = text[:text.index("pools = (")].replace('flow_limit = "64K"', 'flow_limit = "512K"')
        sources = ", ".join(f'"{a}"' for a in SOURCES)
        self.lab.config_write(f"""{text}pools = ( {{ name = "http"; port = 80; mode = "fullnat"; probe = "none"; nat_sources = [ {sources} ];
  backends = ( {{ name = "mx1"; address = "{SERVER}"; }} ); }} );
services = ( {{ name = "http"; vip = "{FULLNAT_VIP}"; port = 80; pool = "http"; }} );
{self.sync}""")
        super().start()

    def stop(self):
        super().stop()
        self.lab.config_write(self.lab.plain)


class FullnatTold(Fullnat):
    """Each connection is told to the partner."""
    name = "sluice, fullnat, sync"
    sync = 'sync = { links = ( { interface = "eth0"; addresses = { lb1 = "10.77.0.2"; lb2 = "10.77.0.3"; }; } ); };'

    def start(self):
        super().start()
        self.lab.sluice_start("lb2")
        wait_until(lambda: any(row["in_sync"] for row in self.lab.show("lb1", "sync") if row["link"] == ""), 30, "in sync")

    def stop(self):
        self.lab.sluice_stop("lb2")
        super().stop()


class Rewriting(Middle):
    """The least that XDP can do: what of the cost is the rig's."""
    name, host = "XDP, bare MAC rewriting", REWRITTEN

    def start(self):
        macs = [m.run("cat /sys/class/net/eth0/address").strip() for m in (self.lab.lb1, self.lab.mx1)]
        self.lab.router.run(f"ip route replace 10.99.0.0/24 via {NODE}")
        self.lab.mx1.run(f"ip addr replace {REWRITTEN}/32 dev lo")
        self.lab.lb1.spawn(f"{BUILD}/tests/bench/bench_rewrite", "eth0", *macs, log="rewrite")
        wait_until(lambda: "prog/xdp" in self.lab.lb1.run("ip link show dev eth0"), 10, "the program is there")

    def stop(self):
        self.lab.lb1.kill("bench_rewrite")


class Routing(Middle):
    name, host = "kernel routing", ROUTED

    def start(self):
        self.lab.router.run(f"ip route replace 10.99.0.0/24 via {NODE}")
        self.lab.lb1.run(f"ip route replace {ROUTED} via {SERVER}")
        self.lab.mx1.run(f"ip addr replace {ROUTED}/32 dev lo")


class Dnat(Middle):
    """The answers come back by the balancer, which is the server's gateway."""
    name, host = "nftables DNAT", DNAT

    def start(self):
        self.lab.router.run(f"ip route replace 10.99.0.0/24 via {NODE}")
        self.lab.mx1.run(f"ip route replace default via {NODE}")
        self.lab.lb1.run("nft 'table ip nat { chain pre { type nat hook prerouting priority dstnat; "
                         f"ip daddr {DNAT} dnat to {SERVER}; }}; }}'")

    def stop(self):
        self.lab.lb1.run("nft delete table ip nat; conntrack -F > /dev/null 2>&1; true")
        self.lab.mx1.run(f"ip route replace default via {GATEWAY}")


class Haproxy(Middle):
    name, host, processes = "HAProxy, tcp", f"{NODE}:8080", "haproxy"

    def start(self):
        self.lab.lb1.write("/etc/haproxy.cfg", HAPROXY)
        self.lab.lb1.run("haproxy -D -p /run/haproxy.pid -f /etc/haproxy.cfg")
        wait_until(lambda: daemons.listens(self.lab.lb1, 8080), 10, "HAProxy listens")

    def stop(self):
        self.lab.lb1.kill("^haproxy")


MIDDLES = (Direct, Rewriting, Sluice, Fullnat, FullnatTold, Routing, Dnat, Haproxy)


def site():
    lab = Site(backends=1)
    daemons.nginx_start(lab.mx1)
    text = lab.config()
    lab.plain = re.sub(r"probe = \{[^}]*\}", 'probe = "none"', text)
    lab.config_write(lab.plain)
    lab.lb1.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0 "
                "net.ipv4.conf.eth0.send_redirects=0 net.ipv4.conf.all.rp_filter=0 && ethtool -K eth0 gro on && "
                "sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_time_wait=1 2> /dev/null; "
                "sysctl -qw net.ipv4.ip_local_port_range='1024 65000' net.ipv4.tcp_tw_reuse=1")
    lab.client.run("sysctl -qw net.ipv4.ip_local_port_range='1024 65000' net.ipv4.tcp_tw_reuse=1")
    lab.router.run("sysctl -qw net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.servers.send_redirects=0")
    for machine in (lab.client, lab.router, lab.switch, lab.lb1, lab.mx1):
        machine.run("for f in /sys/class/net/*/threaded; do echo 1 > $f 2> /dev/null; done; true")
    return lab


def napi_threads(lab):
    """Of the balancer's interface; kernel threads are in nobody's PID namespace but the first."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as f:
                name = f.read().strip()
        except OSError:
            continue
        if name.startswith("napi/eth0-"):
            found.append(int(pid))
    return found


def ran_ns(pid):
    try:
        with open(f"/proc/{pid}/schedstat") as f:
            return int(f.read().split()[0])
    except OSError:
        return 0


def processes_ns(lab, pattern):
    total = 0
    for pid in lab.lb1.pids(pattern) if pattern else []:
        text = lab.lb1.run(f"cat /proc/{pid}/task/*/schedstat", check=False).stdout
        total += sum(int(line.split()[0]) for line in text.splitlines())
    return total


def own_napi(lab, threads):
    """Which of the eth0 threads is the balancer's: the one that works when it is spoken to."""
    before = {pid: ran_ns(pid) for pid in threads}
    lab.lb1.run(f"ping -f -c 2000 -q {GATEWAY}", check=False)
    worked = {pid: ran_ns(pid) - before[pid] for pid in threads}
    return max(worked, key=worked.get)


def measure(lab, middle, napi, seconds):
    middle.start()
    try:
        url = f"http://{middle.host}/"
        lab.client.run(f"wrk -t1 -c8 -d1s -H 'Connection: close' {url}")
        before = ran_ns(napi) + processes_ns(lab, middle.processes)
        out = lab.client.run(f"wrk -t1 -c64 -d{seconds}s -H 'Connection: close' {url}")
        spent = ran_ns(napi) + processes_ns(lab, middle.processes) - before
    finally:
        middle.stop()
    done = int(re.search(r"(\d+) requests in", out).group(1))
    errors = re.search(r"Socket errors: (.*)", out)
    took = float(re.search(r"Requests/sec:\s*([\d.]+)", out).group(1))
    return took, spent / 1000 / max(done, 1), errors.group(1) if errors else ""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with site() as lab:
        napi = own_napi(lab, napi_threads(lab))
        middles = [kind(lab) for kind in MIDDLES]
        results = {m.name: [] for m in middles}
        for _ in range(options.rounds):
            for m in middles:
                results[m.name].append(measure(lab, m, napi, options.seconds))
    rows = []
    for m in middles:
        rates = [r[0] for r in results[m.name]]
        costs = [r[1] for r in results[m.name]]
        rows.append({"middle": m.name, "per_s": statistics.median(rates), "least": min(rates), "most": max(rates),
                     "cpu_us": statistics.median(costs), "cpu_least": min(costs), "cpu_most": max(costs),
                     "errors": "; ".join(sorted({r[2] for r in results[m.name]} - {""}))})
    dnat = next(r for r in rows if r["middle"] == Dnat.name)
    for row in rows:
        row["to_direct"] = round(row["per_s"] / rows[0]["per_s"], 2)
        row["cpu_to_dnat"] = round(row["cpu_us"] / dnat["cpu_us"], 2)
    if options.json:
        print(json.dumps(rows))
        return
    print(f"whole connections, nginx behind, 64 clients at once; {options.rounds} rounds of {options.seconds} s, medians\n"
          f"{'in the middle':<24} {'per s':>8}  {'least..most':<15} {'to direct':>9}   {'CPU us':>7}  "
          f"{'least..most':<13} {'to DNAT':>7}")
    for row in rows:
        cpu = "" if row["middle"] == "direct" else (
            f"{row['cpu_us']:7.1f}  {row['cpu_least']:5.1f}..{row['cpu_most']:<5.1f}  {row['cpu_to_dnat']:7.2f}")
        print(f"{row['middle']:<24} {row['per_s']:8.0f}  {row['least']:6.0f}..{row['most']:<6.0f}  "
              f"{row['to_direct']:9.2f}   {cpu}  {row['errors']}")


if __name__ == "__main__":
    main()
