#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Ten thousand backends, probed by SMTP every 2 s: what they cost, when each is asked, and what happens when many
of them fail at once.

sluiced on the site of the end-to-end tests, as the active node; all backends are addresses of one machine, where one
small server (scale_server.c) answers and notes when it was asked. The lag of a probe is by how much it came later
than its backend's earliest one, modulo the interval. Behind a router (nat: one neighbour), in one pool and in ten, and
as ten thousand neighbours of one network (dsr, probed through the VIP, where nobody sees which backend was asked).
Asserts nothing.

usage: bench_scale.py [--backends N] [--seconds S] [--shapes NAMES] [--json]"""
import argparse
import array
import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "e2e"))
from lab.machine import wait_until  # noqa: E402
from lab.site import BUILD, SLUICE, VIP, Site  # noqa: E402

SERVER = os.path.join(BUILD, "tests", "bench", "scale_server")
# name: pools, forward mode, neighbours instead of a router
SHAPES = {"one pool": (1, "nat", False), "ten pools": (10, "nat", False), "one network": (10, "dsr", True)}
PORT, INTERVAL_US, HANGING, BIN_US, EARLY_US = 7025, 2_000_000, 1000, 100_000, 100_000
PROCESSES = ("parent", "lb", "healthcheck")
UP = r"backend mx\d+ up: "


def address(i):
    return f"10.80.{(i + 1) >> 8}.{(i + 1) & 255}"


def config(n, pools, mode, extra="", less=0):
    each, lists, services = n // pools, [], []
    for p in range(pools):
        rows = ",\n    ".join(f'{{ name = "mx{i}"; address = "{address(i)}"; }}'
                              for i in range(p * each, (p + 1) * each - less // pools))
        lists.append(f"""{{ name = "p{p}"; mode = "{mode}"; port = {PORT + p}; {extra}
  probe = {{ type = "smtp"; interval = "2s"; timeout = "1900ms"; flap_limit = 0; }};
  backends = ( {rows} ); }}""")
        services.append(f'{{ name = "s{p}"; vip = "{VIP}"; port = {PORT + p}; pool = "p{p}"; }}')
    return f"""secret_file = "/etc/sluice/secret";
user = "nobody";
nodes = ( {{ name = "lb1"; interfaces = [ "eth0" ]; }} );
vrrp = ( {{ name = "v4"; vrid = 51; interval = "1s"; priorities = {{ lb1 = 200; }}; addresses = [ "{VIP}/24" ]; }} );
pools = ( {", ".join(lists)} );
services = ( {", ".join(services)} );
"""


class Servers:
    def __init__(self, lab, pools):
        self.path = os.path.join(lab.logs, "asked")
        self.process = subprocess.Popen([*lab.mx1.enter, SERVER, str(PORT), str(pools)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.order("serve")

    def order(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def take(self):
        """[(at in microseconds, address)] since the last time."""
        self.order(f"take {self.path}")
        words = array.array("Q")
        with open(self.path, "rb") as f:
            words.frombytes(f.read())
        return list(zip(words[::2], (w & 0xffffffff for w in words[1::2])))

    def close(self):
        self.process.stdin.close()
        self.process.wait()


@contextlib.contextmanager
def room_for_neighbours(n):
    """In the kernel's table, which is one for all namespaces; afterwards as it was."""
    paths = [] if n == 0 else [f"/proc/sys/net/ipv4/neigh/default/gc_thresh{i}" for i in (3, 2, 1)]
    before = []
    try:
        for k, path in enumerate(paths):
            with open(path, "r+") as f:
                before.append((path, f.read()))
                f.seek(0)
                f.write(str((8 * n) >> k))
        yield
    finally:
        for path, text in reversed(before):
            with open(path, "w") as f:
                f.write(text)


def site(neighbours):
    lab = Site(backends=1, nodes=("lb1",))
    lab.mx1.run("ip route add local 10.80.0.0/16 dev lo && sysctl -qw net.core.somaxconn=16384 "
                "net.ipv4.tcp_max_syn_backlog=16384 net.ipv4.conf.all.arp_ignore=0")
    if neighbours:
        lab.lb1.run("ip route add 10.80.0.0/16 dev eth0")
    else:
        lab.lb1.run("ip route add 10.80.0.0/16 via 10.77.0.21 && sysctl -qw net.ipv4.ip_forward=1")
    return lab


# ---- what is seen of sluiced ----

class Log:
    """sluiced's, from when it was made."""

    def __init__(self, lab):
        self.path = os.path.join(lab.logs, "lb1-sluiced.log")
        self.at = os.path.getsize(self.path) if os.path.exists(self.path) else 0

    def text(self):
        with open(self.path, errors="replace") as f:
            f.seek(self.at)
            return f.read()

    def count(self, pattern):
        return len(re.findall(pattern, self.text(), re.M))

    def times_until(self, pattern, n, limit_s):
        """When half and when all of n lines were there, in seconds from now; None = not within the limit."""
        began, half = time.monotonic(), None
        while (now := time.monotonic() - began) < limit_s:
            found = self.count(pattern)
            if half is None and found >= n / 2:
                half = now
            if found >= n:
                return half, now
            time.sleep(0.05)
        return half, None


def roles(lab):
    """pid outside of the machine by role."""
    found = {}
    for pid in os.listdir("/proc"):
        try:
            if not pid.isdigit() or os.stat(f"/proc/{pid}/ns/net").st_ino != os.fstat(lab.lb1.net_fd).st_ino:
                continue
            with open(f"/proc/{pid}/cmdline") as f:
                words = f.read().split("\0")[:-1]
        except OSError:
            continue
        if words and os.path.basename(words[0]) == "sluiced":
            found[words[2] if "--child" in words else "parent"] = int(pid)
    return found


def spent_s(pids):
    spent = {}
    for role in PROCESSES:
        with open(f"/proc/{pids[role]}/schedstat") as f:
            spent[role] = int(f.read().split()[0]) / 1e9
    return spent


def resident_mb(pid, what="VmRSS"):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(what)) / 1024


class Watcher(threading.Thread):
    """Descriptors of healthcheck, and how long lb takes to answer, at their most."""

    def __init__(self, lab, pids):
        super().__init__(daemon=True)
        self.lab, self.pids, self.over = lab, pids, threading.Event()
        self.descriptors = self.answer_ms = 0
        self.start()

    def run(self):
        while not self.over.wait(0.1):
            self.descriptors = max(self.descriptors, len(os.listdir(f"/proc/{self.pids['healthcheck']}/fd")))
            began = time.monotonic()
            self.lab.sluice("lb1", "show", "vrrp", check=False)
            self.answer_ms = max(self.answer_ms, 1000 * (time.monotonic() - began))

    def end(self):
        self.over.set()
        self.join()


class Stretch:
    """What was spent while something else happened."""

    def __init__(self, lab):
        self.log, self.pids = Log(lab), roles(lab)
        self.watcher = Watcher(lab, self.pids)
        self.before, self.began = spent_s(self.pids), time.monotonic()

    def end(self):
        took, after = time.monotonic() - self.began, spent_s(self.pids)
        self.watcher.end()
        row = {f"{role}_cpu_percent": round(100 * (after[role] - self.before[role]) / took, 1) for role in PROCESSES}
        row["descriptors_most"] = self.watcher.descriptors
        row["lb_answers_within_ms"] = round(self.watcher.answer_ms)
        row["plans"] = self.log.count("plan applied")
        row["killed"] = self.log.count("killing it|child ended")
        return row


# ---- when the backends were asked ----

def percentile(values, percent):
    return values[min(len(values) - 1, int(len(values) * percent / 100))] if values else 0


def lags_ms(asked, earliest):
    """By how much later than at its backend's earliest, for those in `earliest`."""
    return sorted(max(0, (at - earliest[who] + EARLY_US) % INTERVAL_US - EARLY_US) / 1000
                  for at, who in asked if who in earliest)


def earliest_of(asked):
    """The moment of each backend's earliest probe, seen from the others of the same backend. A probe that is a little
    early must not look like one that is two seconds late."""
    first, least = {}, {}
    for at, who in asked:
        off = (at - first.setdefault(who, at) + INTERVAL_US // 2) % INTERVAL_US - INTERVAL_US // 2
        least[who] = min(least.get(who, 0), off)
    return {who: first[who] + least[who] for who in first}


def evenness(asked):
    bins = {}
    for at, _ in asked:
        bins[at // BIN_US] = bins.get(at // BIN_US, 0) + 1
    whole = sorted(bins)[1:-1]
    counts = [bins.get(k, 0) for k in range(whole[0], whole[-1] + 1)]
    return max(counts) * len(counts) / sum(counts)


def lag_row(lags):
    return {f"lag_{name}_ms": round(percentile(lags, percent), 1) for name, percent in (("p50", 50), ("p99", 99))} | {
        "lag_most_ms": round(lags[-1], 1) if lags else 0}


# ---- what happens ----

def start(lab, n):
    log, began = Log(lab), time.monotonic()
    lab.sluice_start("lb1")
    wait_until(lambda: log.count("data plane ready"), 120, "ready")
    ready = time.monotonic() - began
    log.times_until(UP, n, 120)
    return {"ready_s": round(ready, 2), "all_up_s": round(time.monotonic() - began, 2)}


def rest(lab, servers, seconds, seen):
    servers.take()
    stretch = Stretch(lab)
    time.sleep(seconds)
    row, asked = stretch.end(), servers.take()
    earliest = earliest_of(asked) if seen else {}
    row |= {"probes_per_s": round(len(asked) / seconds), "most_to_mean_100ms": round(evenness(asked), 2)}
    row |= lag_row(lags_ms(asked, earliest))
    row |= {f"{role}_mb": round(resident_mb(stretch.pids[role])) for role in PROCESSES}
    return row, earliest


def reload(lab, text):
    lab.config_write(text)
    stretch, began = Stretch(lab), time.monotonic()
    lab.sluice("lb1", "reload")
    took = time.monotonic() - began
    time.sleep(2)
    return {"took_s": round(took, 2)} | stretch.end()


def failure(lab, servers, order, n, state, earliest, seconds):
    """The order, and until n backends are in the state; lags of those that it does not concern."""
    servers.take()
    stretch = Stretch(lab)
    servers.order(order)
    half, most = stretch.log.times_until(rf"backend mx\d+ {state}: ", n, seconds)
    time.sleep(max(0, seconds - (time.monotonic() - stretch.began)))
    row, asked = stretch.end(), servers.take()
    return {"half_s": half and round(half, 2), "all_s": most and round(most, 2)} | row | lag_row(lags_ms(asked, earliest))


def measure(shape, n, seconds):
    pools, mode, neighbours = SHAPES[shape]
    with room_for_neighbours(n if neighbours else 0), site(neighbours) as lab:
        servers = Servers(lab, pools)
        try:
            lab.config_write(config(n, pools, mode))
            started = start(lab, n)
            time.sleep(4)
            at_rest, earliest = rest(lab, servers, seconds, mode == "nat")
            hanging = {(10 << 24) + (80 << 16) + 1 + i for i in range(HANGING)}
            others = {who: at for who, at in earliest.items() if who not in hanging}
            whole, part = config(n, pools, mode), config(n, pools, mode, less=HANGING)
            events = {"reload, nothing new": reload(lab, whole), "1,000 removed": reload(lab, part),
                      "1,000 added": reload(lab, whole)}
            time.sleep(4)
            if mode == "nat":
                events["1,000 hang"] = failure(lab, servers, f"hang {HANGING}", HANGING, "down", others, 16)
                events["and are back"] = failure(lab, servers, "serve", HANGING, "up", others, 12)
            events["all fail"] = failure(lab, servers, "refuse", n, "down", {}, 20)
            events["and are back "] = failure(lab, servers, "serve", n, "up", {}, 20)
            lab.config_write(config(n, pools, mode, "panic_threshold = 50;"))
            lab.sluice("lb1", "reload")
            events["all fail, panic_threshold"] = failure(lab, servers, "refuse", n, "down", {}, 20)
            events["and are back  "] = failure(lab, servers, "serve", n, "up", {}, 20)
            end = {f"{role}_most_mb": round(resident_mb(pid, "VmHWM")) for role, pid in roles(lab).items()
                   if role in PROCESSES}
            lab.sluice_stop("lb1")
        except BaseException:
            sys.stderr.write(lab.log_text()[-4000:])
            raise
        finally:
            servers.close()
    rows = [{"shape": shape, "what": what.strip(), **row} for what, row in events.items()]
    return {"shape": shape, "backends": n, **started, **at_rest, **end}, rows


def same_keys(rows):
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return [{key: row.get(key) for key in keys} for row in rows]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--backends", type=int, default=10000)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    at_rest, events = [], []
    for shape in options.shapes.split(","):
        row, rows = measure(shape, options.backends, options.seconds)
        at_rest.append(row)
        events += rows
    if options.json:
        print(json.dumps({"at rest": same_keys(at_rest), "events": same_keys(events)}))
        return
    for row in at_rest + events:
        print("  ".join(f"{key}={value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
