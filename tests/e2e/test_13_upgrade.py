# SPDX-License-Identifier: BSD-2-Clause
"""Changes without loss: while datagrams with sequence numbers, open connections and new ones flow, the tables,
the services, the program and its process are replaced. Every datagram is answered, by a backend that it may go to;
no connection breaks."""
import os
import select
import shutil
import socket
import threading
import time

from lab import crowd
from lab.machine import wait_until
from lab.site import BUILD, SLUICED, VIP, Site, host_number

BACKENDS = ("mx1", "mx2", "mx3")
SENDERS = 64  # flows of datagrams
SESSIONS = 300


def config(weights=None, services="", slots=65537, pools="", datagrams="echo"):
    rows = ", ".join(f'{{ name = "{b}"; address = "10.77.0.{host_number(b)}"; weight = {(weights or {}).get(b, 100)}; }}'
                     for b in BACKENDS)
    return f"""secret_file = "/etc/sluice/secret";
flow_limit = "16K";
slots = {slots};
user = "nobody";
on_stop = "keep";
nodes = ( {{ name = "lb1"; interfaces = [ "eth0" ]; }} );
vrrp = ( {{ name = "v4"; vrid = 51; interval = "100ms"; priorities = {{ lb1 = 200; }}; addresses = [ "{VIP}/24" ]; }} );
pools = ( {{ name = "echo"; port = {crowd.PORT}; probe = {{ type = "tcp"; interval = "500ms"; timeout = "5s"; }};
            backends = ( {rows} ); }}{pools} );
services = ( {{ name = "echo"; vip = "{VIP}"; port = {crowd.PORT}; pool = "echo"; }},
             {{ name = "datagrams"; vip = "{VIP}"; protocol = "udp"; port = {crowd.PORT}; pool = "{datagrams}"; }}{services} );
"""


def pool(name, mode="dsr"):
    """Another pool of the same machines."""
    rows = ", ".join(f'{{ name = "{b}"; address = "10.77.0.{host_number(b)}"; }}' for b in BACKENDS)
    return f""",
          {{ name = "{name}"; port = {crowd.PORT}; mode = "{mode}"; probe = {{ type = "tcp"; interval = "500ms"; timeout = "5s"; }};
            backends = ( {rows} ); }}"""


class Datagrams:
    """A steady stream over many flows, each datagram numbered; who answered which."""

    def __init__(self, machine, host, pause_s=0.0005):
        self.host, self.pause_s = host, pause_s
        self.sent = 0
        self.answers = {}  # number -> server
        self.stray = []
        with machine.network():
            self.sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(SENDERS)]
        for sock in self.sockets:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            sock.connect((host, crowd.PORT))
            sock.setblocking(False)
        self.stop, self.done = threading.Event(), threading.Event()
        self.threads = [threading.Thread(target=self._send, daemon=True),
                        threading.Thread(target=self._receive, daemon=True)]
        for thread in self.threads:
            thread.start()

    def _send(self):
        while not self.stop.is_set():
            self.sockets[self.sent % SENDERS].send(b"%d\n" % self.sent)
            self.sent += 1
            time.sleep(self.pause_s)

    def _receive(self):
        with select.epoll() as poll:
            by_fd = {sock.fileno(): sock for sock in self.sockets}
            for fd in by_fd:
                poll.register(fd, select.EPOLLIN)
            while not self.done.is_set():
                for fd, _ in poll.poll(0.1):
                    server, number = by_fd[fd].recv(256).decode().split()
                    if int(number) in self.answers:
                        self.stray.append(number)
                    self.answers[int(number)] = server

    def end(self):
        self.stop.set()
        self.threads[0].join(5)
        end = time.monotonic() + 20
        while len(self.answers) < self.sent and time.monotonic() < end:
            time.sleep(0.05)
        self.done.set()
        self.threads[1].join(5)
        for sock in self.sockets:
            sock.close()
        return [number for number in range(self.sent) if number not in self.answers]

    def moves(self):
        """How often a flow's datagrams went on at another server."""
        last, moves = {}, 0
        for number in sorted(self.answers):
            flow, server = number % SENDERS, self.answers[number]
            moves += last.get(flow, server) != server
            last[flow] = server
        return moves


def site():
    lab = Site(backends=len(BACKENDS), nodes=("lb1",))
    try:
        for name in BACKENDS:
            crowd.echo_start(lab.machines[name], VIP)
        lab.config_write(config())
        lab.sluice_start()
        lab.ready()
    except BaseException:
        lab.close()
        raise
    return lab


class Traffic:
    """All three kinds at once, around a change: what must hold for each is asserted at its end."""

    def __init__(self, lab, what):
        self.lab, self.what = lab, what

    def __enter__(self):
        self.crowd = crowd.Crowd(self.lab.client, VIP, SESSIONS)
        self.datagrams = Datagrams(self.lab.client, VIP)
        self.newcomers = crowd.Newcomers(self.lab.client, VIP, pause_s=0.002, timeout_s=5)
        time.sleep(0.5)
        return self

    def __exit__(self, failed, *why):
        time.sleep(0.5)
        self.newcomers.end()
        lost = self.datagrams.end()
        broken, moved = self.crowd.exchange(10)
        self.crowd.close()
        if failed:
            return
        self.moves = self.datagrams.moves()
        crowd.tell(f"{self.what}: datagrams {self.datagrams.sent} sent, {len(lost)} lost, {self.moves} flows changed "
                   f"their server; sessions {SESSIONS}: broken {broken}, moved {moved}; new connections: "
                   f"{self.newcomers.good} good, {len(self.newcomers.failed)} failed")
        assert self.datagrams.sent > 200 and self.newcomers.good > 20
        assert lost == [] and self.datagrams.stray == [], (lost[:20], self.datagrams.stray[:20])
        assert (broken, moved) == (0, 0)
        assert self.newcomers.failed == []


def program_id(lab):
    """Of the program at the node's interface."""
    text = lab.lb1.run("ip -d link show eth0")
    return int(text.split("prog/xdp id ")[1].split()[0])


def test_new_tables_lose_nothing(lab):
    with Traffic(lab, "drain, undrain, weights") as traffic:
        for _ in range(3):
            lab.sluice("lb1", "drain", "mx2")
            time.sleep(0.2)
            lab.sluice("lb1", "undrain", "mx2")
            lab.sluice("lb1", "weight", "mx1", "10")
            time.sleep(0.2)
            lab.sluice("lb1", "weight", "mx1", "default")
    assert traffic.moves == 0  # a flow that is known stays where it is


def test_drained_backend_gets_no_new_connection_from_the_moment_on(lab):
    lab.sluice("lb1", "drain", "mx2")
    with Traffic(lab, "drained") as traffic:
        pass
    assert "mx2" not in traffic.newcomers.servers and "mx2" not in traffic.datagrams.answers.values()
    lab.sluice("lb1", "undrain", "mx2")


def test_new_and_removed_service_lose_nothing_of_the_others(lab):
    more = ", ".join(f'{{ name = "more{i}"; vip = "{VIP}"; port = {3000 + i}; pool = "echo"; }}' for i in range(50))
    with Traffic(lab, "50 services added and removed") as traffic:
        for _ in range(2):
            lab.config_write(config(services=", " + more))
            lab.sluice("lb1", "reload")
            lab.config_write(config())
            lab.sluice("lb1", "reload")
    assert traffic.moves == 0


def test_other_number_of_slots_loses_nothing(lab):
    """Every table, the slot of every flow and the program change at once."""
    with Traffic(lab, "another number of slots") as traffic:
        before = program_id(lab)
        lab.config_write(config(slots=131071))
        lab.sluice("lb1", "reload")
        assert program_id(lab) != before
        time.sleep(0.5)
        lab.config_write(config())
        lab.sluice("lb1", "reload")
    assert traffic.moves == 0


def test_first_pool_of_nat_and_a_service_that_moves_lose_nothing(lab):
    """The program learns to translate, and a service gets another pool, while packets of all flow; and back."""
    nat = f', {{ name = "translated"; vip = "{VIP}"; port = 3000; pool = "translated"; }}'
    with Traffic(lab, "first pool of nat, a service moved") as traffic:
        for slots in (65537, 131071):
            before = program_id(lab)
            lab.config_write(config(services=nat, pools=pool("translated", "nat") + pool("other"), datagrams="other",
                                    slots=slots))
            lab.sluice("lb1", "reload")
            assert program_id(lab) != before
            time.sleep(1)  # the new pools' probes
            lab.config_write(config())
            lab.sluice("lb1", "reload")
            time.sleep(0.5)
    del traffic


def test_killed_lb_and_its_new_program_lose_nothing(lab):
    with Traffic(lab, "lb killed") as traffic:
        before = program_id(lab)
        lab.lb1.kill("--child lb", "KILL")
        wait_until(lambda: program_id(lab) != before, 20, "the program was replaced")
        lab.all_up("lb1")
    assert traffic.moves == 0


def test_upgraded_sluiced_loses_nothing(lab):
    """The old one is stopped and keeps its program attached, another build takes its place."""
    other = os.path.join(lab.logs, "upgraded")
    shutil.copy(SLUICED, other)
    with Traffic(lab, "sluiced replaced") as traffic:
        before = program_id(lab)
        lab.sluice_stop("lb1")
        assert program_id(lab) == before
        # vrrp gave the address back: the router's neighbour entry is what keeps the packets coming
        lab.daemons["lb1"] = lab.lb1.spawn(other, log="sluiced")
        wait_until(lambda: program_id(lab) != before, 20, "the program was replaced")
        lab.ready()
    assert traffic.moves == 0
    lab.lb1.kill(f"^{other}$", "TERM")
    wait_until(lambda: not lab.lb1.pids(f"^{other}|sluiced"), 15, "the other one has stopped")
    lab.sluice_start()
    lab.ready()
