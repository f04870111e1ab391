# SPDX-License-Identifier: BSD-2-Clause
"""Nothing dies of an upgrade: reload, another build in the place of the running one, on the active node as on
its backup, while there are open connections, new ones, datagrams and pings: none is lost, no node takes over, and
none is taken for dead."""
import json
import os
import re
import socket
import tempfile
import threading
import time

from lab import crowd
from lab.machine import wait_until
from lab.site import SLUICED, VIP, Site, host_number
from test_13_upgrade import Datagrams

INSTALLED = "/run/bin/sluiced"
PARENT = r"^/[^ ]*/sluiced$"
RESTARTER = os.path.join(os.path.dirname(crowd.__file__), "restarter.py")  # systemd does not run here
SESSIONS = 200


def config(interval, more=""):
    rows = ", ".join(f'{{ name = "{b}"; address = "10.77.0.{host_number(b)}"; }}' for b in ("mx1", "mx2"))
    return f"""secret_file = "/etc/sluice/secret";
flow_limit = "16K";
user = "nobody";
nodes = ( {{ name = "lb1"; interfaces = [ "eth0" ]; }}, {{ name = "lb2"; interfaces = [ "eth0" ]; }} );
vrrp = ( {{ name = "v4"; vrid = 51; interval = "{interval}"; priorities = {{ lb1 = 200; lb2 = 100; }};
            addresses = [ "{VIP}/24" ]; }} );
sync = {{ links = ( {{ interface = "eth0"; addresses = {{ lb1 = "10.77.0.2"; lb2 = "10.77.0.3"; }}; }} ); }};
pools = ( {{ name = "echo"; port = {crowd.PORT};
             probe = {{ type = "tcp"; interval = "500ms"; timeout = "5s"; flap_limit = 0; }}; backends = ( {rows} ); }} );
services = ( {{ name = "echo"; vip = "{VIP}"; port = {crowd.PORT}; pool = "echo"; }},
             {{ name = "datagrams"; vip = "{VIP}"; protocol = "udp"; port = {crowd.PORT}; pool = "echo"; }}{more} );
"""


def install(lab, node, path):
    """As a package does: a new file in the old one's place."""
    lab.machines[node].run(f"mkdir -p /run/bin && cp {path} {INSTALLED}.new && chmod 755 {INSTALLED}.new && "
                           f"mv {INSTALLED}.new {INSTALLED}")


def next_version(path):
    """The same build under another version's name (which is also part of a library's symbol)."""
    with open(SLUICED, "rb") as f:
        build = re.sub(rb"(?<!_)0\.1\.0\0", b"0.9.9\0", f.read())
    with open(path, "wb") as f:
        f.write(build)


def site():
    lab = Site(backends=2, interval="100ms")
    try:
        lab.client.run("sysctl -qw net.ipv4.ping_group_range='0 0'")
        for name in lab.backends:
            crowd.echo_start(lab.machines[name], VIP)
        lab.config_write(config("100ms"))
        for node in lab.nodes:
            install(lab, node, SLUICED)
            lab.daemons[node] = lab.machines[node].spawn("/usr/bin/python3", "-B", RESTARTER, INSTALLED, log="sluiced")
        lab.ready()
        lab.all_up("lb2")
    except BaseException:
        lab.close()
        raise
    return lab


class Echoes:
    """A ping each millisecond, each with its number."""

    def __init__(self, machine, host):
        with machine.network():
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
        self.sock.connect((host, 0))
        self.sock.settimeout(0.2)
        self.sent, self.answered = 0, set()
        self.stop, self.done = threading.Event(), threading.Event()
        self.threads = [threading.Thread(target=f, daemon=True) for f in (self._send, self._receive)]
        for thread in self.threads:
            thread.start()

    def _send(self):
        while not self.stop.is_set():
            self.sock.send(b"\x08\0\0\0\0\0" + (self.sent & 0xFFFF).to_bytes(2, "big"))
            self.sent += 1
            time.sleep(0.001)

    def _receive(self):
        while not self.done.is_set():
            try:
                self.answered.add(int.from_bytes(self.sock.recv(64)[6:8], "big"))
            except TimeoutError:
                pass

    def end(self):
        self.stop.set()
        self.threads[0].join()
        time.sleep(0.3)
        self.done.set()
        self.threads[1].join()
        self.sock.close()
        assert self.sent < 0x10000
        return [number for number in range(self.sent) if number not in self.answered]


def status(lab, node):
    return json.loads(lab.sluice(node, "status", "--json", check=False).stdout or "{}")


def own_problems(now):
    """Not of another version than the partner's, or of one that is about to be in sync."""
    return [told for told in now["problems"] if not told.startswith("partner ")]


def facts(lab, node):
    """What must be the same afterwards: roles, since when, how many changes."""
    rows = {row["instance"]: (row["role"], row["since"], row["transitions"]) for row in lab.show(node, "vrrp")}
    restarts = {row["process"]: row["restarts"] for row in status(lab, node)["processes"]}
    return rows, restarts


def deaths(lab):
    """How often a node took its partner for dead."""
    return {node: lab.machines[node].run(f"grep -cE 'partner lb[0-9]+ (dead|gone)' {lab.logs}/{node}-sluiced.log || true")
            for node in lab.nodes}


class Unnoticed:
    """Traffic of all kinds around a change, of which nothing may be seen."""

    def __init__(self, lab, what, restarted=None, killed=None):
        """restarted: a node; killed: a node and children of its."""
        self.lab, self.what, self.restarted, self.killed = lab, what, restarted, killed

    def __enter__(self):
        self.before = {node: facts(self.lab, node) for node in self.lab.nodes}
        for child in (self.killed or ())[1:]:
            self.before[self.killed[0]][1][child] += 1
        self.parents = {node: self.lab.machines[node].pids(PARENT) for node in self.lab.nodes}
        self.deaths = deaths(self.lab)
        self.crowd = crowd.Crowd(self.lab.client, VIP, SESSIONS)
        self.datagrams = Datagrams(self.lab.client, VIP, pause_s=0.001)
        self.newcomers = crowd.Newcomers(self.lab.client, VIP, pause_s=0.002, timeout_s=5)
        self.echoes = Echoes(self.lab.client, VIP)
        time.sleep(0.3)
        self.began = time.monotonic()
        return self

    def __exit__(self, failed, *why):
        took = time.monotonic() - self.began
        time.sleep(0.5)
        self.newcomers.end()
        unanswered = self.echoes.end()
        lost = self.datagrams.end()
        broken, moved = self.crowd.exchange(10)
        self.crowd.close()
        if failed:
            return
        crowd.tell(f"{self.what}: {took * 1000:.0f} ms; pings {self.echoes.sent}, {len(unanswered)} lost; datagrams "
                   f"{self.datagrams.sent}, {len(lost)} lost; sessions {SESSIONS}, {broken} broken, {moved} moved; new "
                   f"connections {self.newcomers.good}, {len(self.newcomers.failed)} failed")
        assert self.echoes.sent > 200 and self.datagrams.sent > 200 and self.newcomers.good > 20
        assert (unanswered, lost, self.newcomers.failed, broken, moved) == ([], [], [], 0, 0)
        for node in self.lab.nodes:
            assert facts(self.lab, node) == self.before[node], (node, facts(self.lab, node), self.before[node])
            assert (self.lab.machines[node].pids(PARENT) == self.parents[node]) == (node != self.restarted)
            assert len(self.lab.machines[node].pids("^sluiced --child")) == 4
        assert deaths(self.lab) == self.deaths


def descriptors(lab, node):
    """What the parent has open, without the numbers."""
    parent = lab.machines[node].pids(PARENT)[0]
    found = lab.machines[node].run(f"find /proc/{parent}/fd -type l -printf '%l\\n'").split()
    return sorted(re.sub(r"\d+", "N", what) for what in found)


def upgrade(lab, node, path, version):
    install(lab, node, path)
    told = lab.sluice(node, "upgrade")
    assert told == f"upgraded: sluiced {version} runs\n", told
    now = status(lab, node)
    assert now["version"] == version and own_problems(now) == [], now


def test_reload_by_signal_is_not_noticed(lab):
    more = f', {{ name = "more"; vip = "{VIP}"; port = 3000; pool = "echo"; }}'
    with Unnoticed(lab, "SIGHUP"):
        lab.config_write(config("100ms", more), nodes=["lb1"])
        lab.lb1.kill(f"^{INSTALLED}$", "HUP")
        wait_until(lambda: len(lab.show("lb1", "services")) == 3, 5, "the new service is there")
        lab.config_write(config("100ms"), nodes=["lb1"])
        lab.lb1.kill(f"^{INSTALLED}$", "HUP")
        wait_until(lambda: len(lab.show("lb1", "services")) == 2, 5, "it has gone")


def intervals_set(lab, interval):
    """The backup first: it goes by what the active node says."""
    lab.config_write(config(interval))
    for node in reversed(lab.nodes):
        lab.sluice(node, "reload")


def test_other_intervals_are_not_noticed(lab):
    with Unnoticed(lab, "intervals of 10 ms, 300 ms, 100 ms"):
        for interval in ("10ms", "300ms", "100ms"):
            intervals_set(lab, interval)
            time.sleep(0.7)


def test_upgrade_is_not_noticed(lab):
    with tempfile.NamedTemporaryFile() as other:
        next_version(other.name)
        for interval, nodes in (("100ms", ["lb1"]), ("10ms", ["lb1", "lb2"])):
            intervals_set(lab, interval)
            for node in nodes:
                with Unnoticed(lab, f"upgrade of {node} and back, interval {interval}"):
                    before = descriptors(lab, node)
                    upgrade(lab, node, other.name, "0.9.9")
                    upgrade(lab, node, SLUICED, "0.1.0")
                    assert descriptors(lab, node) == before
    intervals_set(lab, "100ms")


def test_restart_is_not_noticed(lab):
    """As systemd does it, which keeps the descriptors over it."""
    with tempfile.NamedTemporaryFile() as other:
        next_version(other.name)
        for node, path, version in (("lb1", other.name, "0.9.9"), ("lb1", SLUICED, "0.1.0"), ("lb2", other.name, "0.9.9")):
            with Unnoticed(lab, f"restart of {node} as {version}", restarted=node):
                vrrp = lab.machines[node].pids("--child vrrp")
                install(lab, node, path)
                lab.machines[node].kill("restarter.py", "USR1")
                wait_until(lambda: (now := status(lab, node)).get("version") == version and own_problems(now) == [], 20,
                           "the other version runs")
                assert not set(lab.machines[node].pids("--child vrrp")) & set(vrrp)


def test_upgrade_before_the_last_one_has_ended_is_not_noticed(lab):
    """Twice at once; and again while the new vrrp hangs and the old one serves: that one goes on."""
    def row():
        return next((r for r in status(lab, "lb1").get("processes", []) if r["process"] == "vrrp"), {"before": 0, "pid": 0})

    with Unnoticed(lab, "upgrades of lb1 while another is under way"):
        serves = row()["pid"]
        frost = "while :; do for pid in $(pgrep -f '^sluiced --child vrrp'); do " \
                f"[ $pid = {serves} ] || kill -STOP $pid; done; done"
        lab.lb1.spawn("sh", "-c", frost, log="frost")
        for _ in range(2):
            lb = lab.lb1.pids("^sluiced --child lb")
            lab.lb1.kill(PARENT, "USR2")
            lab.lb1.kill(PARENT, "USR2")
            wait_until(lambda: row()["before"] == serves and not set(lab.lb1.pids("^sluiced --child lb")) & set(lb), 20,
                       "the next one runs, the old vrrp serves")
            time.sleep(0.3)
            assert row()["before"] == serves
        lab.lb1.kill("^sh -c while", "KILL")
        lab.lb1.kill("^sluiced --child vrrp", "CONT")
        wait_until(lambda: row()["before"] == 0 and row()["pid"] not in (0, serves), 20, "the new vrrp serves")
        assert serves not in lab.lb1.pids("^sluiced --child vrrp")


def test_file_that_breaks_after_the_trial_ends_nothing(lab):
    """The parent has ended those who can be missed when it sees that the next one could not start: they come back."""
    log = f"{lab.logs}/lb1-sluiced.log"
    with Unnoticed(lab, "a file that breaks after the trial", killed=("lb1", "lb", "healthcheck", "programs")):
        vrrp, lb = (lab.lb1.pids(f"^sluiced --child {role}") for role in ("vrrp", "lb"))
        lab.lb1.write("/etc/sluice/broken", config("100ms").replace('"tcp"', '"smpt"'))
        breaker = f"seen=$(grep -c upgrading: {log}); until [ $(grep -c upgrading: {log}) -gt $seen ]; do :; done; " \
                  "cp /etc/sluice/broken /etc/sluice/sluice.conf"
        lab.lb1.spawn("sh", "-c", breaker, log="breaker")
        time.sleep(0.5)
        lab.lb1.kill(PARENT, "USR2")
        wait_until(lambda: (now := lab.lb1.pids("^sluiced --child lb")) and now != lb and
                   "problems" in (seen := status(lab, "lb1")) and own_problems(seen) == [], 20, "lb is back")
        assert lab.lb1.pids("^sluiced --child vrrp") == vrrp
        lab.config_write(config("100ms"))
    assert "not upgraded: binary=" in lab.lb1.run("tail", "-n", "100", log)


def test_upgrade_by_signal_keeps_what_the_operator_said(lab):
    lab.sluice("lb1", "drain", "mx2")
    lab.sluice("lb1", "failover")
    wait_until(lambda: lab.active("lb2"), 5, "lb2 is active")
    with Unnoticed(lab, "SIGUSR2 at a node that was told to hand over"):
        pids = lab.lb1.pids("--child vrrp")
        lab.lb1.kill(f"^{INSTALLED}$", "USR2")
        wait_until(lambda: (now := lab.lb1.pids("--child vrrp")) and not set(now) & set(pids), 20, "vrrp was replaced")
        wait_until(lambda: lab.state("lb1", "echo", "mx2") == "drain", 10, "drained")
        time.sleep(1)
    lab.sluice("lb1", "undrain", "mx2")
    lab.sluice("lb2", "failover")
    wait_until(lambda: lab.active("lb1"), 5, "lb1 is active")


def refused(lab, why):
    before = (lab.lb1.pids("sluiced"), status(lab, "lb1")["processes"])
    done = lab.sluice("lb1", "upgrade", check=False)
    assert done.returncode == 1 and why in done.stderr, (done.returncode, done.stderr)
    assert (lab.lb1.pids("sluiced"), status(lab, "lb1")["processes"]) == before


def test_what_cannot_take_over_is_refused_and_nothing_changes(lab):
    with Unnoticed(lab, "refused upgrades"):
        lab.lb1.write("/etc/sluice/sluice.conf", config("100ms").replace('"tcp"', '"smpt"'))
        refused(lab, 'type "smpt" is not known')
        lab.lb1.write("/etc/sluice/sluice.conf", config("100ms"))
        lab.lb1.write("/run/older", "#!/bin/sh\necho 'Usage: sluiced' >&2\nexit 2\n")
        install(lab, "lb1", "/run/older")
        refused(lab, "or older than upgrades")
        lab.lb1.write("/run/crashes", "#!/bin/sh\necho 1.0\nkill -SEGV $$\n")
        install(lab, "lb1", "/run/crashes")
        refused(lab, "it is broken")
        lab.lb1.write("/run/hangs", "#!/bin/sh\nexec sleep 1000 > /dev/null 2>&1\n")
        install(lab, "lb1", "/run/hangs")
        refused(lab, "it is broken")
        with tempfile.NamedTemporaryFile() as other, open(SLUICED, "rb") as build:
            other.write(build.read().replace(b".relxdp\0", b".relfoo\0"))  # its program is of no kind that there is
            other.flush()
            install(lab, "lb1", other.name)
            refused(lab, "this kernel does not take its data plane")
        lab.lb1.run("rm", INSTALLED)
        refused(lab, "No such file")
        install(lab, "lb1", SLUICED)
