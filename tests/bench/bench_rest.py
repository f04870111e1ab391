#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What sluiced costs when nothing happens: no packet, no change, only its probes and its clock.

sluiced on the site of the end-to-end tests, as the active node, with few and with many backends, probed not at
all or by TCP every 2 s (all of them are addresses of one machine, where nginx listens). The CPU is that of each
of its processes, by the scheduler's own count. Asserts nothing.

usage: bench_rest.py [--seconds S] [--json]"""
import argparse
import json
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "e2e"))
from lab import daemons  # noqa: E402
from lab.machine import wait_until  # noqa: E402
from lab.site import VIP, Site  # noqa: E402

SIZES, PROBES = (3, 1000), ("none", "tcp")
PROCESSES = ("parent", "lb", "healthcheck", "vrrp", "programs")
SETTLE_S = 4


def address(i):
    return f"10.80.{i // 250}.{i % 250 + 1}"


def config(n, probe):
    probe = '"none"' if probe == "none" else '{ type = "tcp"; interval = "2s"; timeout = "1s"; }'
    rows = ",\n    ".join(f'{{ name = "mx{i}"; address = "{address(i)}"; }}' for i in range(n))
    return f"""secret_file = "/etc/sluice/secret";
user = "nobody";
nodes = ( {{ name = "lb1"; interfaces = [ "eth0" ]; }} );
vrrp = ( {{ name = "v4"; vrid = 51; interval = "1s"; priorities = {{ lb1 = 200; }}; addresses = [ "{VIP}/24" ]; }} );
pools = ( {{ name = "http"; port = 80; probe = {probe};
  backends = ( {rows} ); }} );
services = ( {{ name = "http"; vip = "{VIP}"; port = 80; pool = "http"; }} );
"""


def site():
    """mx1 has all the addresses; as many neighbours need room in the kernel's table."""
    lab = Site(backends=1, nodes=("lb1",))
    batch = "".join(f"addr add {address(i)}/16 dev eth0\n" for i in range(max(SIZES)))
    lab.mx1.run("ip", "-batch", "-", text=batch)
    lab.lb1.run("ip addr add 10.80.255.1/16 dev eth0 && sysctl -qw net.ipv4.neigh.default.gc_thresh1=4096 "
                "net.ipv4.neigh.default.gc_thresh2=8192 net.ipv4.neigh.default.gc_thresh3=16384 2> /dev/null; true")
    daemons.nginx_start(lab.mx1)
    return lab


def spent_s(lab):
    """CPU seconds of each process of sluiced so far."""
    spent = {}
    for pid in lab.lb1.pids("^sluiced|parent/sluiced"):
        done = lab.lb1.run(f"cat /proc/{pid}/task/*/schedstat && tr '\\0' ' ' < /proc/{pid}/cmdline", check=False)
        *counts, command = done.stdout.splitlines() or [""]
        words = command.split()
        role = words[-1] if "--child" in words else "parent"
        spent[role] = spent.get(role, 0) + sum(int(line.split()[0]) for line in counts) / 1e9
    return spent


def measure(lab, n, probe, seconds):
    lab.config_write(config(n, probe))
    lab.sluice_start("lb1")
    try:
        lab.ready("lb1", 90)
        time.sleep(SETTLE_S)
        before, began = spent_s(lab), time.monotonic()
        time.sleep(seconds)
        after, took = spent_s(lab), time.monotonic() - began
    finally:
        lab.sluice("lb1", "detach", check=False)
        lab.sluice_stop("lb1")
    row = {"backends": n, "probe": probe}
    for role in PROCESSES:
        row[f"{role}_cpu_percent"] = round(100 * (after[role] - before[role]) / took, 3)
    row["all_cpu_percent"] = round(sum(row[f"{role}_cpu_percent"] for role in PROCESSES), 3)
    return row


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with site() as lab:
        rows = [measure(lab, n, probe, options.seconds) for n in SIZES for probe in PROBES]
    if options.json:
        print(json.dumps(rows))
        return
    print(f"CPU of sluiced at rest, in percent of one CPU, over {options.seconds} s\n"
          f"{'backends':>8}  {'probe':<6}" + "".join(f"{role:>12}" for role in (*PROCESSES, "all")))
    for row in rows:
        print(f"{row['backends']:8}  {row['probe']:<6}" +
              "".join(f"{row[f'{role}_cpu_percent']:12.3f}" for role in (*PROCESSES, "all")))


if __name__ == "__main__":
    main()
