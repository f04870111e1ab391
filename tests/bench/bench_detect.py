#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""How long a backend that fails goes on getting new connections.

Three SMTP servers behind sluice in mode dsr, interval = 2 s, fall = 3, rise = 1. One of them is killed, stopped
(SIGSTOP), unplugged, or begins to greet with 421; what is measured is the time until no new connection is sent to it,
asked of the control socket every few milliseconds. Each is tried with and without clients that connect all the
time. Asserts nothing.

usage: bench_detect.py [--tries N] [--rate CONNECTIONS-A-SECOND] [--json]"""
import argparse
import json
import os
import random
import socket
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "e2e"))
from lab import daemons  # noqa: E402
from lab.machine import wait_until  # noqa: E402
from lab.site import VIP, Site  # noqa: E402

HERE = os.path.dirname(os.path.realpath(__file__))
INTERVAL_S, VICTIM = 2, "mx2"


def config():
    rows = ", ".join(f'{{ name = "mx{i}"; address = "10.77.0.{20 + i}"; }}' for i in (1, 2, 3))
    return f"""secret_file = "/etc/sluice/secret";
user = "nobody";
nodes = ( {{ name = "lb1"; interfaces = [ "eth0" ]; }} );
vrrp = ( {{ name = "v4"; vrid = 51; interval = "1s"; priorities = {{ lb1 = 200; }}; addresses = [ "{VIP}/24" ]; }} );
pools = ( {{ name = "smtp"; port = 25;
  probe = {{ type = "smtp"; interval = "{INTERVAL_S}s"; rise = 1; fall = 3; interval_down = "200ms"; flap_limit = 0; }};
  backends = ( {rows} ); }} );
services = ( {{ name = "smtp"; vip = "{VIP}"; port = 25; pool = "smtp"; }} );
"""


class Control:
    """The control socket of a machine's sluiced."""

    def __init__(self, machine):
        path = f"/proc/{machine.pid}/root/run/sluice/control.sock"
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.lines = self.sock.makefile("r")

    def takes_new(self, name):
        """Of its share of new connections, in percent."""
        self.sock.sendall(b'{"command": "show", "what": "backends"}\n')
        rows = json.loads(self.lines.readline())["backends"]
        return next(row["share"] for row in rows if row["backend"] == name)


class Traffic:
    """Clients that connect, greet and go."""

    def __init__(self, machine, rate):
        self.machine, self.rate, self.stop = machine, rate, threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(4)]
        for thread in self.threads:
            thread.start()

    def _run(self):
        while not self.stop.is_set():
            try:
                with self.machine.network():
                    sock = socket.create_connection((VIP, 25), 0.5)
                sock.settimeout(0.5)
                sock.recv(100)
                sock.sendall(b"QUIT\r\n")
                sock.close()
            except OSError:
                pass
            time.sleep(random.expovariate(self.rate / len(self.threads)))

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(5)


def server_start(lab, name):
    """Not by spawn(): nsenter stops itself with what it started, and the machine would never end."""
    lab.machines[name].run(f"setsid python3 {HERE}/fault_server.py 25 < /dev/null > /run/fault.log 2>&1 &")
    wait_until(lambda: daemons.listens(lab.machines[name], 25), 10, f"{name} listens")


def fault_make(lab, kind):
    machine = lab.machines[VICTIM]
    if kind == "unplugged":
        lab.switch.run(f"ip link set p-{VICTIM} down")
    else:
        machine.kill("fault_server.py", {"killed": "KILL", "stopped": "STOP", "421": "USR1"}[kind])


def fault_end(lab, kind):
    machine = lab.machines[VICTIM]
    if kind == "unplugged":
        lab.switch.run(f"ip link set p-{VICTIM} up")
    elif kind == "killed":
        server_start(lab, VICTIM)
    else:
        machine.kill("fault_server.py", {"stopped": "CONT", "421": "USR2"}[kind])


def detect(lab, control, kind):
    """Milliseconds; None when it was not noticed in a minute."""
    time.sleep(random.uniform(0.5, 0.5 + INTERVAL_S))  # anywhere between two probes
    began = time.monotonic()
    fault_make(lab, kind)
    while control.takes_new(VICTIM) > 0 and time.monotonic() < began + 60:
        time.sleep(0.004)
    took = time.monotonic() - began
    fault_end(lab, kind)
    wait_until(lambda: control.takes_new(VICTIM) > 0, 60, f"{VICTIM} is back")
    return took * 1000


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tries", type=int, default=5)
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    with Site(nodes=("lb1",)) as lab:
        for name in lab.backends:
            server_start(lab, name)
        lab.config_write(config())
        lab.sluice_start("lb1")
        lab.ready("lb1")
        control = Control(lab.lb1)
        for rate in (0, options.rate):
            traffic = Traffic(lab.client, rate) if rate else None
            for kind in ("killed", "stopped", "unplugged", "421"):
                times = sorted(detect(lab, control, kind) for _ in range(options.tries))
                rows.append({"server": kind, "connections_per_s": rate, "tries": len(times),
                             "p50_ms": round(times[len(times) // 2]), "p99_ms": round(times[-1]),
                             "least_ms": round(times[0])})
                print(f"  {rows[-1]}", file=sys.stderr)
            if traffic:
                traffic.end()
    print(json.dumps(rows) if options.json else "\n".join(str(row) for row in rows))


if __name__ == "__main__":
    main()
