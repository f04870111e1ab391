# SPDX-License-Identifier: BSD-2-Clause
"""No flood can touch it: 10,000 established connections live through each of them, at their
backends, with a flow table that is little larger; and honest connections still come in.

SLUICE_FLOOD_SECONDS (4) and SLUICE_FLOOD_RATE (100000 packets/s: what two cores leave to a whole site)
make it longer and harder."""
import os
import resource
import socket
import subprocess
import threading
import time

from lab.machine import wait_until
from lab.site import BUILD, VIP, Site

CONNECTIONS = 10000
FLOW_LIMIT = 16384
SECONDS = float(os.environ.get("SLUICE_FLOOD_SECONDS", "4"))
RATE = int(os.environ.get("SLUICE_FLOOD_RATE", "100000"))
PORT = 7777
ECHO = os.path.join(os.path.dirname(__file__), "lab", "echo.py")


class Crowd:
    """Connections that are open and say nothing, until asked whether they still live where they did."""

    def __init__(self, machine, n):
        self.machine = machine
        self.members = []
        for _ in range(n):
            sock = connect(machine)
            self.members.append((sock, ask(sock)))

    def look(self):
        """How many are broken, and how many have another server now."""
        broken = moved = 0
        for sock, server in self.members:
            try:
                moved += ask(sock) != server
            except OSError:
                broken += 1
        return broken, moved

    def close(self):
        for sock, _ in self.members:
            sock.close()


def connect(machine, limit_s=15):
    with machine.network():
        return socket.create_connection((VIP, PORT), limit_s)


def ask(sock):
    sock.sendall(b"who\n")
    answer = sock.recv(100)
    if not answer:
        raise OSError("closed")
    return answer.split()[0]


class Honest:
    """A new connection every 50 ms."""

    def __init__(self, machine):
        self.machine, self.good, self.failed = machine, 0, 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.stop.is_set():
            try:
                sock = connect(self.machine)
                ask(sock)
                sock.close()
                self.good += 1
            except OSError:
                self.failed += 1
            time.sleep(0.05)

    def end(self):
        self.stop.set()
        self.thread.join(20)
        return self.good, self.failed


def site():
    resource.setrlimit(resource.RLIMIT_NOFILE, (19000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    lab = Site(nodes=("lb1",))
    echo = f', {{ name = "echo"; vip = "{VIP}"; port = {PORT}; pool = "echo"; }}'
    udp = f', {{ name = "echo-udp"; vip = "{VIP}"; protocol = "udp"; port = {PORT}; pool = "echo"; }}'
    rows = ", ".join(f'{{ name = "mx{i}"; address = "10.77.0.{20 + i}"; }}' for i in (1, 2, 3))
    pool = (f'pools = ( {{ name = "echo"; port = {PORT}; probe = {{ type = "tcp"; interval = "1s"; timeout = "5s"; }}; '
            f'backends = ( {rows} ); }}, ')
    text = lab.config(extra_services=echo + udp).replace("pools = ( ", pool, 1).replace(
        'flow_limit = "64K"', f"flow_limit = {FLOW_LIMIT}")
    for mode in ("smtp", "imap", "pop3", "http"):
        text = text.replace(f'{{ type = "{mode}"; interval = "200ms"; timeout = "1s"; }}', '"none"')
    for name in lab.backends:
        machine = lab.machines[name]
        machine.run("sysctl -qw net.core.somaxconn=4096 net.ipv4.tcp_max_syn_backlog=4096")
        lab.daemons[f"echo-{name}"] = machine.spawn("python3", ECHO, name, str(PORT), log="echo")
    lab.router.run("ip route add unreachable 172.16.0.0/12 && sysctl -qw net.ipv4.icmp_ratelimit=1000")
    lab.switch.run("ethtool -K p-router gro on")
    lab.config_write(text)
    lab.sluice_start()
    lab.ready()
    lab.crowd = Crowd(lab.client, CONNECTIONS)
    return lab


def flood(lab, kind):
    mac = lab.lb1.run("cat /sys/class/net/eth0/address").strip()
    honest = Honest(lab.client)
    before = counters(lab)
    done = lab.router.run(f"{BUILD}/tests/e2e/flood/flood", kind, "servers", mac, VIP, str(PORT), str(SECONDS),
                          str(RATE), timeout=SECONDS + 30)
    good, failed = honest.end()
    after = counters(lab)
    broken, moved = lab.crowd.look()
    print(f"    {kind}: {done.strip()}; honest connections: {good} good, {failed} failed; of {CONNECTIONS} "
          f"established: {broken} broken, {moved} moved; flow table {after['flow_table_used']} of "
          f"{after['flow_table_size']}")
    assert int(done.split()[0]) > RATE * SECONDS / 10, "the flood was none"
    assert (broken, moved) == (0, 0)
    assert good > 10 * failed and good > SECONDS
    assert after["flow_table_size"] == FLOW_LIMIT and after["flow_table_used"] <= FLOW_LIMIT
    return before, after


def counters(lab):
    wait_until(lambda: lab.show("lb1", "counters"), 20, "the node answers")
    return {row["counter"]: row["value"] for row in lab.show("lb1", "counters")}


def test_syn_flood_breaks_and_moves_nothing(lab):
    flood(lab, "syn")


def test_ack_flood_breaks_and_moves_nothing(lab):
    flood(lab, "ack")


def test_flood_of_udp_flows_of_one_packet_breaks_and_moves_nothing(lab):
    flood(lab, "udp")


def test_flood_of_fragments_breaks_and_moves_nothing(lab):
    flood(lab, "fragments")


def test_flood_that_fills_the_flow_table_breaks_and_moves_nothing(lab):
    before, after = flood(lab, "acks")
    assert after["flow_table_full"] > before["flow_table_full"], "the table was not filled"


def test_change_after_the_floods_breaks_and_moves_nothing(lab):
    lab.sluice("lb1", "drain", "mx2", "--pool", "echo")
    assert lab.crowd.look() == (0, 0)
    assert {ask(connect(lab.client)) for _ in range(20)} == {b"mx1", b"mx3"}
    lab.sluice("lb1", "undrain", "mx2", "--pool", "echo")
    assert lab.crowd.look() == (0, 0)
    lab.crowd.close()
