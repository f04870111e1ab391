#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Every benchmark, one after the other: a table of each on standard output, and all of it as JSON in a file.

A benchmark is a program that prints its rows as JSON: a list of flat objects, or several lists by name. The keys,
in their order, are the columns' names, in the table as in the file. Asserts nothing; fails when one of them cannot run.

usage: run_bench.py [--json FILE] [--long] [NAME...]"""
import argparse
import json
import os
import platform
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
BUILD = os.environ["SLUICE_BUILD"]

# name: what it measures, options by default, options with --long; a program of the build or a script of this folder
BENCHES = {
    "packet": ("ns a packet over an empty XDP_TX program, by BPF_PROG_TEST_RUN",
               ["--calls", "20000", "--rounds", "5"], []),
    "pps": ("packets a second, one core for what is in the middle",
            ["--rounds", "9", "--ms", "200"], ["--rounds", "31", "--ms", "300"]),
    "connections": ("whole connections, nginx behind, 64 clients at once",
                    ["--rounds", "3", "--seconds", "2"], ["--rounds", "7", "--seconds", "5"]),
    "tables": ("slots that a change moves, time to make a table, memory of each map",
               [], ["--rounds", "101"]),
    "ecmp": ("connections that an event breaks, in percent; 16 nodes, 1,000 backends, 10 million flows",
             [], ["--rounds", "21"]),
    "probes": ("CPU of a probe, beside HAProxy's checks of the same servers",
               ["--rounds", "3", "--seconds", "6"], ["--rounds", "5", "--seconds", "20"]),
    "detect": ("time until a failed server gets no new connection; interval = 2 s, fall = 3",
               ["--tries", "3"], ["--tries", "20"]),
    "scale": ("10,000 backends probed every 2 s: their cost, when each is asked, what mass failures do",
              ["--seconds", "10"], ["--seconds", "30"]),
    "failover": ("time without an answer when the active node goes, beside keepalived, in milliseconds",
                 ["--tries", "3"], ["--tries", "20"]),
    "vrrp": ("adverts every 10 ms: how punctual; takeover of 1 and 64 addresses, 256 instances; beside keepalived",
             ["--tries", "3", "--seconds", "5"], ["--tries", "20", "--seconds", "60"]),
    "sync": ("fullnat: what telling the partner of each connection costs, and how many bytes that is",
             ["--rounds", "3", "--seconds", "2"], ["--rounds", "9", "--seconds", "4", "--idle", "10000"]),
    "rest": ("CPU of sluiced when nothing happens, in percent of one CPU",
             ["--seconds", "6"], ["--seconds", "20"]),
}


def run(name, options):
    """Its rows, or None when it could not run; what it says goes to standard error."""
    script = os.path.join(HERE, f"bench_{name}.py")
    command = (["/usr/bin/python3", "-B", script] if os.path.exists(script)
               else [os.path.join(BUILD, "tests", "bench", f"bench_{name}")])
    done = subprocess.run([*command, "--json", *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        return json.loads(done.stdout) if done.returncode == 0 else None
    except ValueError:
        return None


def text(value):
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return "" if value is None else str(value)


def table(rows):
    keys = list(rows[0])
    numeric = {key: all(isinstance(row[key], (int, float)) for row in rows) for key in keys}
    width = {key: max(len(key), *(len(text(row[key])) for row in rows)) for key in keys}

    def line(cells):
        return "  ".join(cells[key].rjust(width[key]) if numeric[key] else cells[key].ljust(width[key])
                         for key in keys).rstrip()

    print("  " + line({key: key for key in keys}))
    for row in rows:
        print("  " + line({key: text(row[key]) for key in keys}))


def tables(rows):
    if isinstance(rows, list):
        return table(rows)
    for name, some in rows.items():
        print(f" {name}")
        table(some)


def machine():
    """What a figure is worth without."""
    with open("/proc/cpuinfo") as f:
        model = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), "")
    return {"kernel": platform.release(), "cpu": model, "cpus": os.cpu_count(),
            "load": os.getloadavg()[0], "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def main():
    parser = argparse.ArgumentParser(prog="./run bench", description="Measure; assert nothing.")
    parser.add_argument("--json", default=os.path.join(BUILD, "bench.json"), help="where the rows go (%(default)s)")
    parser.add_argument("--long", action="store_true", help="more rounds: half an hour instead of some minutes")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these of {', '.join(BENCHES)}")
    options = parser.parse_args()
    unknown = set(options.names) - set(BENCHES)
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    results, failed = {"machine": machine()}, []
    for name, (title, few, many) in BENCHES.items():
        if options.names and name not in options.names:
            continue
        began = time.monotonic()
        rows = run(name, many if options.long else few)
        print(f"{name}: {title}" + ("" if rows else ": could not run"), flush=True)
        if not rows:
            failed.append(name)
            continue
        results[name] = rows
        tables(rows)
        print(f"  ({time.monotonic() - began:.0f} s)\n", flush=True)
    with open(options.json, "w") as f:
        json.dump(results, f, indent=1)
        f.write("\n")
    print(f"written: {options.json}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
