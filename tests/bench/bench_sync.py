#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What telling the partner of each flow costs: mode fullnat, with "sync" and without it.

wrk with 64 clients at once, a new connection for each request, to nginx behind the active node of a pair, which
have a link of their own for sync. The CPU, by the scheduler's own count, is that of the active node's NAPI thread
(the program) and of its lb process, and of the partner's lb process; what is on the link, of its counters. Every
round measures both in turn; medians are compared. Then IDLE connections rest, and the partner's lb is killed: the
bytes of telling it everything. Asserts nothing.

usage: bench_sync.py [--rounds N] [--seconds S] [--idle N] [--json]"""
import argparse
import json
import os
import re
import statistics
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "e2e"))
from bench_connections import napi_threads, own_napi, ran_ns  # noqa: E402
from lab import crowd, daemons  # noqa: E402
from lab.machine import wait_until  # noqa: E402
from lab.nat import FORWARDING  # noqa: E402
from lab.site import VIP, Site, host_number  # noqa: E402

SYNC = """sync = { heartbeat = "1s"; dead_after = "10s"; links = ( { interface = "eth1"; addresses = { lb1 = "10.66.0.1"; lb2 = "10.66.0.2"; }; } ); };
"""


class Pair(Site):
    def _build(self, nodes, backends):
        super()._build(nodes, backends)
        self.cable(self.lb1, "eth1", self.lb2, "eth1")
        self.lb1.run("ip addr add 10.66.0.1/24 dev eth1")
        self.lb2.run("ip addr add 10.66.0.2/24 dev eth1")

    def vip_on_lo(self, machine):
        """Not in fullnat."""

    def config(self, synced=True, **unused):
        text = super().config()
        rows = ", ".join(f'{{ name = "{b}"; address = "10.77.0.{host_number(b)}"; }}' for b in self.backends)
        pools, services = [], []
        for name, port in (("http", 80), ("echo", crowd.PORT)):
            pools.append(f'{{ name = "{name}"; port = {port}; mode = "fullnat"; probe = "none"; backends = ( {rows} ); }}')
            services.append(f'{{ name = "{name}"; vip = "{VIP}"; port = {port}; pool = "{name}"; }}')
        return (text[:text.index("pools = (")] + f"pools = ( {', '.join(pools)} );\n"
                f"services = ( {', '.join(services)} );\n" + (SYNC if synced else ""))

    def peer(self, node):
        rows = [row for row in self.show(node, "sync") if row["link"] == ""]
        return rows[0] if rows else {"in_sync": False}

    def both_in_sync(self):
        for node in self.nodes:
            wait_until(lambda: self.peer(node)["in_sync"], 30, f"{node} in sync")


def site():
    lab = Pair(backends=3)
    for name in lab.backends:
        daemons.nginx_start(lab.machines[name])
        crowd.echo_start(lab.machines[name], f"10.77.0.{host_number(name)}")
    for name in lab.nodes:
        lab.machines[name].run(FORWARDING + " && ethtool -K eth0 gro on")  # a veth has NAPI then, before XDP
    ports = "sysctl -qw net.ipv4.ip_local_port_range='1024 65000' net.ipv4.tcp_tw_reuse=1"
    lab.client.run(ports)
    for machine in lab.machines.values():
        machine.run("for f in /sys/class/net/*/threaded; do echo 1 > $f 2> /dev/null; done; true")
    return lab


def lb_ns(machine):
    total = 0
    for pid in machine.pids("--child lb"):
        text = machine.run(f"cat /proc/{pid}/task/*/schedstat", check=False).stdout
        total += sum(int(line.split()[0]) for line in text.splitlines())
    return total


def link_counts(lab):
    """Bytes and packets on the link for sync, both ways, with their Ethernet headers."""
    names = [f"/sys/class/net/eth1/statistics/{way}_{what}" for what in ("bytes", "packets") for way in ("rx", "tx")]
    values = [int(value) for value in lab.lb1.run("cat", *names).split()]
    return values[0] + values[1], values[2] + values[3]


def start(lab, synced):
    lab.config_write(lab.config(synced=synced))
    lab.sluice_start()
    lab.ready()
    if synced:
        lab.both_in_sync()
    time.sleep(3)  # tables, and what a partner that comes is told


def stop(lab):
    for node in lab.nodes:
        lab.sluice(node, "detach", check=False)
    lab.sluice_stop()


def counts(lab, napi):
    return [ran_ns(napi), lb_ns(lab.lb1), lb_ns(lab.lb2), *link_counts(lab)]


def measure(lab, napi, synced, seconds):
    start(lab, synced)
    try:
        url = f"http://{VIP}/"
        lab.client.run(f"wrk -t1 -c8 -d1s -H 'Connection: close' {url}")
        before = counts(lab, napi)
        out = lab.client.run(f"wrk -t1 -c64 -d{seconds}s -H 'Connection: close' {url}")
        spent = [b - a for a, b in zip(before, counts(lab, napi))]
        flows = lab.peer("lb1") if synced else {}
    finally:
        stop(lab)
    done = max(int(re.search(r"(\d+) requests in", out).group(1)), 1)
    errors = re.search(r"Socket errors: (.*)", out)
    return {"per_s": float(re.search(r"Requests/sec:\s*([\d.]+)", out).group(1)),
            "napi_us": spent[0] / 1000 / done, "lb_us": spent[1] / 1000 / done, "partner_lb_us": spent[2] / 1000 / done,
            "wire_bytes": spent[3] / done, "wire_packets": spent[4] / done,
            "lost": flows.get("flows_lost", 0), "anew": flows.get("overruns", 0),
            "errors": errors.group(1) if errors else ""}


def rested(lab, n):
    """A partner that comes, while @n connections rest."""
    start(lab, True)
    try:
        clients = crowd.Crowd(lab.client, VIP, n)
        wait_until(lambda: lab.peer("lb1")["waiting"] == 0, 20, "all is told")
        told = lab.peer("lb1")["flows_repeated"]
        began, before = time.monotonic(), link_counts(lab)
        lab.lb2.kill("--child lb", "KILL")
        wait_until(lambda: lab.peer("lb1").get("flows_repeated", 0) >= told + n and
                   lab.peer("lb2").get("flows_taken", 0) >= n and lab.peer("lb2")["in_sync"], 60, "in sync")
        took, after = time.monotonic() - began, link_counts(lab)
        clients.close()
    finally:
        stop(lab)
    return {"connections": n, "took_ms": round(took * 1000), "bytes_each": (after[0] - before[0]) / n,
            "packets_each": (after[1] - before[1]) / n}


def row_of(name, results, off):
    row = {"sync": name}
    for key in ("per_s", "napi_us", "lb_us", "partner_lb_us", "wire_bytes", "wire_packets"):
        row[key] = statistics.median(r[key] for r in results)
    row["cpu_us"] = row["napi_us"] + row["lb_us"]
    row["lost"] = sum(r["lost"] for r in results)
    row["anew"] = sum(r["anew"] for r in results)
    row["per_s_to_off"] = round(row["per_s"] / (off or row)["per_s"], 2)
    row["cpu_to_off"] = round(row["cpu_us"] / (off or row)["cpu_us"], 2)
    row["errors"] = "; ".join(sorted({r["errors"] for r in results} - {""}))
    return row


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--idle", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results, others = {False: [], True: []}, set(napi_threads(None))
    with site() as lab:
        napi = own_napi(lab, set(napi_threads(lab)) - others)
        for _ in range(options.rounds):
            for synced in results:
                results[synced].append(measure(lab, napi, synced, options.seconds))
        joined = rested(lab, options.idle)
    off = row_of("off", results[False], None)
    rows = {"a connection": [off, row_of("on", results[True], off)], "a partner that comes": [joined]}
    if options.json:
        print(json.dumps(rows))
        return
    for name, some in rows.items():
        print(name)
        for row in some:
            print("  " + "  ".join(f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
                                   for key, value in row.items()))


if __name__ == "__main__":
    main()
