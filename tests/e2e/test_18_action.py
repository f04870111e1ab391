# SPDX-License-Identifier: BSD-2-Clause
"""The right action: a server that dies or hangs under load is suspected by its packets, a backup pool takes over and
gives back, a pool without anybody rejects at once, and one whose probes must be wrong goes on."""
import json
import os
import re
import socket
import threading
import time

from lab import crowd
from lab.machine import wait_until
from lab.site import VIP, Site, host_number

MAIN, SPARE = ("mx1", "mx2", "mx3"), ("mx4",)
HEALTH_PORT = 8  # that a probe can ask instead, so that it fails while the server goes on
KNOCKERS = 4
GREETED = 'dialogue = [ "expect ^mx" ];'


def config(options="", probe="", interval="200ms", kind="tcp"):
    def rows(names):
        return ", ".join(f'{{ name = "{b}"; address = "10.77.0.{host_number(b)}"; }}' for b in names)

    return f"""secret_file = "/etc/sluice/secret";
flow_limit = "16K";
user = "nobody";
nodes = ( {{ name = "lb1"; interfaces = [ "eth0" ]; }} );
vrrp = ( {{ name = "v4"; vrid = 51; interval = "100ms"; priorities = {{ lb1 = 200; }}; addresses = [ "{VIP}/24" ]; }} );
pools = ( {{ name = "main"; port = {crowd.PORT}; {options}
            probe = {{ type = "{kind}"; {probe} interval = "{interval}"; fall = 3; rise = 2; }};
            backends = ( {rows(MAIN)} ); }},
          {{ name = "spare"; port = {crowd.PORT}; probe = {{ type = "tcp"; interval = "{interval}"; }};
            backends = ( {rows(SPARE)} ); }} );
services = ( {{ name = "echo"; vip = "{VIP}"; port = {crowd.PORT}; pool = "main"; }} );
"""


def site():
    lab = Site(backends=4, nodes=("lb1",))
    try:
        for name in MAIN + SPARE:
            serve(lab, name)
            serve(lab, name, HEALTH_PORT)
        lab.config_write(config())
        lab.sluice_start()
        lab.ready()
    except BaseException:
        lab.close()
        raise
    return lab


def serve(lab, name, port=crowd.PORT):
    machine = lab.machines[name]
    machine.spawn("/usr/bin/python3", "-B", os.path.join(os.path.dirname(crowd.__file__), "crowd_server.py"),
                  name, VIP, str(port), log="echo")
    wait_until(lambda: f":{port} " in machine.run("ss", "-ltn"), 15, f"{name} listens at {port}")


def stop(lab, name, port=crowd.PORT):
    lab.machines[name].kill(f"crowd_server.py {name} {VIP} {port}$")


def configure(lab, **options):
    lab.config_write(config(**options))
    lab.sluice("lb1", "reload")


def use(lab, pool="main"):
    return next((row["use"] for row in lab.show("lb1", "pools") if row["pool"] == pool), None)


def row(lab, backend, pool="main"):
    return next(r for r in lab.show("lb1", "backends") if (r["pool"], r["backend"]) == (pool, backend))


def problems(lab):
    return "\n".join(json.loads(lab.sluice("lb1", "status", "--json", check=False).stdout)["problems"])


def log(lab):
    with open(os.path.join(lab.logs, "lb1-sluiced.log"), errors="replace") as f:
        return f.read()


def servers_of(lab, n=20):
    """Who greets n new connections."""
    found = crowd.Crowd(lab.client, VIP, n)
    found.close()
    return set(found.servers)


class Knockers:
    """New connections all the time; when each was begun, and what came of it."""

    def __init__(self, machine, n=KNOCKERS, patience_s=5, pause_s=0.02):
        self.machine, self.seen = machine, []
        self.patience_s, self.pause_s = patience_s, pause_s
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(n)]
        for thread in self.threads:
            thread.start()

    def _once(self):
        try:
            with socket.create_connection((VIP, crowd.PORT), self.patience_s) as sock:
                greeting = sock.recv(64).strip().decode()
                sock.sendall(b"hello\n")
                sock.recv(64)
                return greeting
        except OSError as error:
            return type(error).__name__

    def _run(self):
        with self.machine.network():
            while not self.stop.is_set():
                began = time.monotonic()
                self.seen.append((began, self._once()))
                time.sleep(self.pause_s)

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(10)
        return self.seen


def test_server_killed_under_load_is_suspected_and_out_within_a_second(lab):
    configure(lab, interval="2s")
    lab.all_up("lb1")
    knockers = Knockers(lab.client)
    time.sleep(3)
    stop(lab, "mx2")
    killed = time.monotonic()
    wait_until(lambda: "backend mx2 suspected: pool=main" in log(lab), 3, "mx2 is suspected")
    took = time.monotonic() - killed
    time.sleep(2.5)
    seen = knockers.end()
    refused = [began - killed for began, what in seen if what == "ConnectionRefusedError"]
    crowd.tell(f"suspected after {took:.2f} s; {len(refused)} of {len(seen)} connections refused, "
               f"the last one begun after {max(refused):.2f} s")
    assert refused and took < 1
    counted = row(lab, "mx2")
    assert counted["half_open"] >= 8 and counted["syns"] >= counted["new"] + 8, counted
    assert "backend mx1 suspected" not in log(lab) and "backend mx3 suspected" not in log(lab)
    assert max(refused) < 1, refused[-5:]
    assert lab.out("lb1", "main", "mx2") or row(lab, "mx2")["state"] == "down"
    serve(lab, "mx2")
    configure(lab)
    lab.all_up("lb1")


def serve_apart(lab, name):
    """Not by spawn(): nsenter stops itself with what it started."""
    server = os.path.join(os.path.dirname(crowd.__file__), "crowd_server.py")
    lab.machines[name].run(f"setsid python3 -B {server} {name} {VIP} {crowd.PORT} < /dev/null > /dev/null 2>&1 &")
    wait_until(lambda: f":{crowd.PORT} " in lab.machines[name].run("ss", "-ltn"), 15, f"{name} listens")


def test_server_that_hangs_under_load_is_out_long_before_its_timeouts(lab):
    stop(lab, "mx2")
    serve_apart(lab, "mx2")
    configure(lab, kind="chat", probe=GREETED + ' timeout = "10s"; flap_limit = 0;')
    lab.all_up("lb1")
    knockers = Knockers(lab.client, n=30, patience_s=1, pause_s=0.2)
    mx2 = lab.machines["mx2"]
    pid = mx2.pids(f"crowd_server.py mx2 {VIP} {crowd.PORT}$")[0]
    try:
        time.sleep(10)  # until it is known what is usual
        downs = log(lab).count("backend mx2 down: pool=main")
        mx2.run(f"kill -STOP {pid}")
        hung = time.monotonic()
        wait_until(lambda: row(lab, "mx2")["state"] == "down", 8, "mx2 is out")
        took = time.monotonic() - hung
        mx2.run(f"kill -CONT {pid}")
        lab.all_up("lb1")
        mx2.run(f"for i in $(seq 50); do kill -STOP {pid}; sleep 0.06; kill -CONT {pid}; sleep 0.04; done")  # slow
    finally:
        mx2.run(f"kill -CONT {pid}")
        seen = knockers.end()
    crowd.tell(f"out after {took:.2f} s; {sum(what == 'TimeoutError' for _, what in seen)} of {len(seen)} "
               "connections not answered")
    assert took < 3.5
    assert log(lab).count("backend mx2 down: pool=main") == downs + 1
    assert "packets each, where" in log(lab)
    assert re.search(r"no line that matches .* in \d{3} ms", log(lab))
    assert "backend mx1 down" not in log(lab) and "backend mx3 down" not in log(lab)
    lab.all_up("lb1")
    stop(lab, "mx2")
    serve(lab, "mx2")
    configure(lab)
    lab.all_up("lb1")


def test_backup_pool_takes_over_and_gives_back_and_no_connection_breaks(lab):
    configure(lab, options='backup_pool = "spare";')
    lab.all_up("lb1")
    before = crowd.Crowd(lab.client, VIP, 60)
    assert set(before.servers) == set(MAIN)
    for name in MAIN:
        lab.sluice("lb1", "drain", name)
    assert use(lab) == "backup pool"
    assert servers_of(lab) == set(SPARE)
    during = crowd.Crowd(lab.client, VIP, 60)
    assert before.exchange(10) == (0, 0)
    assert "pool main has nobody to take connections; its backup, pool spare, serves" in problems(lab)
    assert "pool has nobody: pool=main; its backup serves: pool=spare" in log(lab)
    for name in MAIN:
        lab.sluice("lb1", "undrain", name)
    assert use(lab) == "ordinary"
    assert servers_of(lab) == set(MAIN)
    assert before.exchange(10) == (0, 0) and during.exchange(10) == (0, 0)
    assert set(during.servers) == set(SPARE)
    before.close()
    during.close()


def test_backup_pool_serves_when_all_servers_are_down(lab):
    configure(lab, options='backup_pool = "spare";')
    lab.all_up("lb1")
    told = log(lab).count("its backup serves: pool=spare")
    for name in MAIN:
        stop(lab, name)
    wait_until(lambda: log(lab).count("its backup serves: pool=spare") > told, 10, "the backup serves")
    assert servers_of(lab) == set(SPARE)
    for name in MAIN:
        serve(lab, name)
    lab.all_up("lb1")
    wait_until(lambda: "pool serves itself again: pool=main" in log(lab)[-2000:] and use(lab) == "ordinary", 10,
               "the servers serve again")
    assert servers_of(lab) == set(MAIN)


def connect(lab, timeout_s):
    """What comes of a new connection, and after how long."""
    began = time.monotonic()
    with lab.client.network():
        try:
            socket.create_connection((VIP, crowd.PORT), timeout_s).close()
            what = "connected"
        except OSError as error:
            what = type(error).__name__
    return what, time.monotonic() - began


def test_pool_without_anybody_says_so_and_rejects_at_once_where_that_is_wanted(lab):
    told = log(lab).count("pool has nobody: pool=main; it takes no new connections")
    for name in MAIN:
        lab.sluice("lb1", "drain", name)
    configure(lab)
    wait_until(lambda: connect(lab, 0.5)[0] == "TimeoutError", 5, "new connections are dropped")
    assert log(lab).count("pool has nobody: pool=main; it takes no new connections") == told + 1
    assert "pool main has nobody to take connections" in problems(lab)
    configure(lab, options='no_backend = "reject";')
    wait_until(lambda: connect(lab, 0.5)[0] == "ConnectionRefusedError", 5, "they are rejected")
    what, took = connect(lab, 5)
    assert what == "ConnectionRefusedError" and took < 0.2, (what, took)
    assert {r["counter"]: r["value"] for r in lab.show("lb1", "counters")}["reply_reset"] > 0
    for name in MAIN:
        lab.sluice("lb1", "undrain", name)
    wait_until(lambda: connect(lab, 1)[0] == "connected", 5, "they are served")
    wait_until(lambda: "pool serves itself again: pool=main" in log(lab)[-2000:], 5, "that is said, too")
    configure(lab)


def test_pool_whose_probes_must_be_wrong_goes_on_and_says_so(lab):
    configure(lab, options="panic_threshold = 50;", probe=f"port = {HEALTH_PORT};")
    lab.all_up("lb1")
    before = crowd.Crowd(lab.client, VIP, 60)
    for name in ("mx1", "mx2"):
        stop(lab, name, HEALTH_PORT)
    wait_until(lambda: use(lab) == "panic", 10, "the pool panics")
    assert [row(lab, name)["state"] for name in MAIN] == ["down", "down", "up"]
    wait_until(lambda: servers_of(lab, 40) == set(MAIN), 5, "all are used")
    assert "pool main panics: 1 of 3 backends pass their probes" in problems(lab)
    assert log(lab).count("pool panic: pool=main passed=1/3 panic_threshold=50") == 1
    serve(lab, "mx1", HEALTH_PORT)
    wait_until(lambda: use(lab) == "ordinary", 10, "2 of 3 are enough")
    wait_until(lambda: "pool panic over: pool=main passed=2/3" in log(lab), 5, "its end is told")
    wait_until(lambda: servers_of(lab, 40) == {"mx1", "mx3"}, 5, "mx2 is out")
    serve(lab, "mx2", HEALTH_PORT)
    lab.all_up("lb1")
    before.close()
    configure(lab)
