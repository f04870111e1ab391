#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""How long a backend that fails goes on getting new connections.

SMTP servers behind sluice in mode dsr, interval = 2 s, fall = 3, rise = 1. One of them is killed, stopped
(SIGSTOP), unplugged, or begins to greet with 421; what is measured is the time until no new connection is sent to it,
asked of the control socket every few milliseconds. With clients that connect all the time, whether they are answered
or not, it is one of three; without them, several that nobody uses fail side by side, each at a moment of its own, as
they have nothing to do with each other. Asserts nothing.

usage: bench_detect.py [--tries N] [--rate CONNECTIONS-A-SECOND] [--only FAULT]... [--json]"""
import argparse
import asyncio
import concurrent.futures
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
from lab.site import VIP, Site, host_number  # noqa: E402

HERE = os.path.dirname(os.path.realpath(__file__))
INTERVAL_S = 2
LEARN_S, SETTLE_S = 15, 3  # until it is known what is usual; between two faults of the same server
KINDS = ("killed", "stopped", "unplugged", "421")
USED, IDLE = ("mx1", "mx2", "mx3"), ("mx4", "mx5", "mx6", "mx7", "mx8")
PORTS = {**dict.fromkeys(USED, 25), **dict.fromkeys(IDLE, 2525)}


def pool(name, backends, port):
    rows = ", ".join(f'{{ name = "{b}"; address = "10.77.0.{host_number(b)}"; }}' for b in backends)
    return f"""{{ name = "{name}"; port = {port};
  probe = {{ type = "smtp"; interval = "{INTERVAL_S}s"; rise = 1; fall = 3; interval_down = "200ms"; flap_limit = 0; }};
  backends = ( {rows} ); }}"""


def config():
    return f"""secret_file = "/etc/sluice/secret";
user = "nobody";
nodes = ( {{ name = "lb1"; interfaces = [ "eth0" ]; }} );
vrrp = ( {{ name = "v4"; vrid = 51; interval = "1s"; priorities = {{ lb1 = 200; }}; addresses = [ "{VIP}/24" ]; }} );
pools = ( {pool("used", USED, 25)}, {pool("idle", IDLE, 2525)} );
services = ( {{ name = "used"; vip = "{VIP}"; port = 25; pool = "used"; }},
             {{ name = "idle"; vip = "{VIP}"; port = 2525; pool = "idle"; }} );
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
    """Clients that connect, greet and go: so many a second begin, whatever becomes of those before."""

    def __init__(self, machine, rate):
        self.machine, self.rate, self.stop = machine, rate, threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    async def _client(self):
        try:
            async with asyncio.timeout(1):
                reader, writer = await asyncio.open_connection(VIP, 25)
                try:
                    await reader.readline()
                    writer.write(b"QUIT\r\n")
                    await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            pass

    async def _clients(self):
        clients, n, began = set(), 0, asyncio.get_running_loop().time()
        while not self.stop.is_set():
            task = asyncio.create_task(self._client())
            clients.add(task)
            task.add_done_callback(clients.discard)
            n += 1
            await asyncio.sleep(max(0, began + n / self.rate - asyncio.get_running_loop().time()))
        await asyncio.gather(*clients)

    def _run(self):
        with self.machine.network():
            asyncio.run(self._clients())

    def end(self):
        self.stop.set()
        self.thread.join(5)


def server_start(lab, name):
    """Not by spawn(): nsenter stops itself with what it started, and the machine would never end."""
    port = PORTS[name]
    lab.machines[name].run(f"setsid python3 {HERE}/fault_server.py {port} < /dev/null > /run/fault.log 2>&1 &")
    wait_until(lambda: daemons.listens(lab.machines[name], port), 10, f"{name} listens")


def fault_make(lab, victim, kind):
    if kind == "unplugged":
        lab.switch.run(f"ip link set p-{victim} down")
    else:
        lab.machines[victim].kill("fault_server.py", {"killed": "KILL", "stopped": "STOP", "421": "USR1"}[kind])


def fault_end(lab, victim, kind):
    if kind == "unplugged":
        lab.switch.run(f"ip link set p-{victim} up")
    elif kind == "killed":
        server_start(lab, victim)
    else:
        lab.machines[victim].kill("fault_server.py", {"stopped": "CONT", "421": "USR2"}[kind])


def detect(lab, victim, kind, tries):
    """Milliseconds of each try; a minute when it was not noticed."""
    control, times = Control(lab.lb1), []
    for _ in range(tries):
        time.sleep(SETTLE_S + random.uniform(0, INTERVAL_S))  # anywhere between two probes
        began = time.monotonic()
        fault_make(lab, victim, kind)
        while control.takes_new(victim) > 0 and time.monotonic() < began + 60:
            time.sleep(0.005)
        times.append((time.monotonic() - began) * 1000)
        fault_end(lab, victim, kind)
        wait_until(lambda: control.takes_new(victim) > 0, 60, f"{victim} is back")
    return times


def detect_idle(lab, kind, tries):
    each = -(-tries // len(IDLE))
    with concurrent.futures.ThreadPoolExecutor(len(IDLE)) as pool_of_threads:
        found = pool_of_threads.map(lambda victim: detect(lab, victim, kind, each), IDLE)
        return [ms for times in found for ms in times]


def row(kind, rate, times):
    times.sort()
    n = len(times)
    return {"server": kind, "connections_per_s": rate, "tries": n, "p50_ms": round(times[(n - 1) // 2]),
            "p99_ms": round(times[(n * 99 + 99) // 100 - 1]), "least_ms": round(times[0])}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tries", type=int, default=5)
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--only", choices=KINDS, action="append")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    with Site(backends=len(PORTS), nodes=("lb1",)) as lab:
        for name in lab.backends:
            server_start(lab, name)
        lab.config_write(config())
        lab.sluice_start("lb1")
        lab.ready("lb1")
        traffic = Traffic(lab.client, options.rate)
        time.sleep(LEARN_S)
        for kind in options.only or KINDS:
            rows.append(row(kind, options.rate, detect(lab, USED[1], kind, options.tries)))
            print(f"  {rows[-1]}", file=sys.stderr)
        traffic.end()
        for kind in options.only or KINDS:
            rows.append(row(kind, 0, detect_idle(lab, kind, options.tries)))
            print(f"  {rows[-1]}", file=sys.stderr)
    print(json.dumps(rows) if options.json else "\n".join(str(row) for row in rows))


if __name__ == "__main__":
    main()
