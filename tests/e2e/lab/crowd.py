# SPDX-License-Identifier: BSD-2-Clause
"""Thousands of clients of crowd_server.py at once, and a steady stream of new ones."""
import errno
import os
import select
import socket
import struct
import sys
import threading
import time

from .machine import wait_until

PORT = 7


def echo_start(machine, address, port=PORT):
    machine.spawn("/usr/bin/python3", "-B", os.path.join(os.path.dirname(__file__), "crowd_server.py"),
                  machine.name, address, str(port), log="echo")
    wait_until(lambda: f":{port} " in machine.run("ss", "-ltn"), 15, f"{machine.name} listens")


class Crowd:
    """Connections that stay open. `servers`: who greeted each of them. Descriptors up to the hard limit
    were allowed by run_tests.py."""

    def __init__(self, machine, host, n, at_once=500):
        self.sockets, self.servers = [], []
        with machine.network():
            while len(self.sockets) < n:
                self._connect(host, min(at_once, n - len(self.sockets)))

    def _connect(self, host, n):
        fresh = [socket.socket() for _ in range(n)]
        for sock in fresh:
            sock.setblocking(False)
            if sock.connect_ex((host, PORT)) not in (0, errno.EINPROGRESS):
                raise AssertionError("no connection could be begun")
        got = self.read_lines(fresh, 30)
        assert all(got), f"{got.count(b'')} of {n} connections were not greeted"
        self.sockets += fresh
        self.servers += [greeting.strip().decode() for greeting in got]

    @staticmethod
    def read_lines(sockets, limit_s):
        """A line from each; b"" where none came, or an error."""
        lines = {sock.fileno(): b"" for sock in sockets}
        order = {sock.fileno(): sock for sock in sockets}
        waiting = set(lines)
        end = time.monotonic() + limit_s
        with select.epoll() as poll:
            for fd in waiting:
                poll.register(fd, select.EPOLLIN)
            while waiting and time.monotonic() < end:
                for fd, _ in poll.poll(0.5):
                    try:
                        more = order[fd].recv(256)
                    except OSError:
                        more = b""
                    lines[fd] += more
                    if not more:
                        lines[fd] = b""
                    if not more or lines[fd].endswith(b"\n"):
                        poll.unregister(fd)
                        waiting.discard(fd)
        return [b"" if sock.fileno() in waiting else lines[sock.fileno()] for sock in sockets]

    def exchange(self, limit_s=30):
        """Bytes there and back on each connection: how many are broken, how many were answered by
        somebody else."""
        word = b"%d\n" % time.monotonic_ns()
        for sock in self.sockets:
            try:
                sock.send(word)
            except OSError:
                pass  # told by the missing answer
        answers = self.read_lines(self.sockets, limit_s)
        broken = sum(not answer.endswith(word) for answer in answers)
        moved = sum(answer.endswith(word) and answer.split()[0].decode() != server
                    for answer, server in zip(answers, self.servers))
        return broken, moved

    def at(self, server):
        return self.servers.count(server)

    def close(self):
        for sock in self.sockets:
            sock.close()


class Moved(OSError):
    """Somebody else went on with a connection."""


def talk(stream, server, word):
    """A word to it, and its answer; OSError when it is closed, Moved when it is not that server's."""
    stream.write(word)
    stream.flush()
    answer = stream.readline()
    if not answer.endswith(b"\n"):
        raise OSError("closed")
    if answer != server.encode() + b" " + word:
        raise Moved(f"another answer: {answer[:40]!r}")


class Newcomers:
    """One new connection after the other: greeted, bytes there and back, closed."""

    def __init__(self, machine, host, pause_s=0.005, timeout_s=10):
        self.machine, self.host, self.pause_s, self.timeout_s = machine, host, pause_s, timeout_s
        self.good = 0
        self.failed, self.servers = [], {}
        self.greeted_by = ""  # the one that is open now
        self.slowest_s = 0.0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _once(self):
        self.greeted_by = ""
        with socket.create_connection((self.host, PORT), self.timeout_s) as sock:
            stream = sock.makefile("rwb")
            name = stream.readline()
            self.greeted_by = name.strip().decode()
            for word in (b"one\n", b"two\n"):
                talk(stream, self.greeted_by, word)
        return self.greeted_by

    def lost(self, began, error):
        """One that failed; it began then."""
        self.failed.append(f"{time.strftime('%H:%M:%S')} {error!r}")

    def _run(self):
        with self.machine.network():
            while not self.stop.is_set():
                began = time.monotonic()
                try:
                    name = self._once()
                    self.servers[name] = self.servers.get(name, 0) + 1
                    self.good += 1
                except OSError as error:
                    self.lost(began, error)
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                time.sleep(self.pause_s)

    def settle(self):
        """Whoever is under way now has ended: a handshake that lost a packet takes a second."""
        n = self.good + len(self.failed)
        wait_until(lambda: self.good + len(self.failed) > n + 1, 20, "newcomers go on")

    def end(self):
        self.stop.set()
        self.thread.join(self.timeout_s + 5)


CUT_OFF = struct.pack("ii", 1, 0)  # SO_LINGER: by RST, so that no port waits


class Arrivals:
    """New connections without end, `at_once` of them at a time: greeted, then cut off. A handshake that lost a
    packet takes a second, as its SYN is sent again then; others begin beside those that wait."""
    SLOW_S, WAITS_S, MOST = 0.9, 0.03, 500

    def __init__(self, machine, host, at_once=4, limit_s=5):
        self.machine, self.host, self.at_once, self.limit_s = machine, host, at_once, limit_s
        self.good, self.slowest_s = 0, 0.0
        self.fast = []  # when it began, time.monotonic()
        self.slow, self.failed = [], []  # when it began, what
        self.under_way = {}  # descriptor: socket, when it began
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _begin(self, poll):
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CUT_OFF)
        sock.connect_ex((self.host, PORT))
        self.under_way[sock.fileno()] = sock, time.monotonic()
        poll.register(sock, select.EPOLLIN)

    def _room(self):
        if self.stop.is_set() or len(self.under_way) >= self.MOST:
            return 0
        waited = time.monotonic() - self.WAITS_S
        return max(0, self.at_once - sum(began > waited for _, began in self.under_way.values()))

    def _end(self, poll, fd, error):
        sock, began = self.under_way.pop(fd)
        name = "" if error is None else repr(error)
        took_s = time.monotonic() - began
        poll.unregister(sock)
        if name:
            self.failed.append((began, f"{name} from port {sock.getsockname()[1]} after {took_s * 1000:.0f} ms"))
        else:
            self.good += 1
            self.slowest_s = max(self.slowest_s, took_s)
            if took_s > self.SLOW_S:
                self.slow.append((began, f"{took_s * 1000:.0f} ms from port {sock.getsockname()[1]}"))
            else:
                self.fast.append(began)
        sock.close()

    def _greeted(self, fd):
        try:
            return None if self.under_way[fd][0].recv(64) else OSError("closed")
        except OSError as error:
            return error

    def _run(self):
        with self.machine.network(), select.epoll() as poll:
            while not self.stop.is_set() or self.under_way:
                for _ in range(self._room()):
                    self._begin(poll)
                for fd, _ in poll.poll(0.005):
                    self._end(poll, fd, self._greeted(fd))
                late = [fd for fd, (_, began) in self.under_way.items() if time.monotonic() - began > self.limit_s]
                for fd in late:
                    self._end(poll, fd, TimeoutError("not greeted"))

    def oldest(self):
        """When the oldest of those under way began."""
        return min([began for _, began in list(self.under_way.values())], default=time.monotonic())

    def since(self, moment):
        """What of those that began since then were slow, and what failed."""
        return ([what for began, what in self.slow if began >= moment],
                [what for began, what in self.failed if began >= moment])

    def end(self):
        self.stop.set()
        self.thread.join(self.limit_s + 5)


def syns_again(machine):
    """SYNs that its clients had to repeat."""
    names, values = [line.split() for line in machine.run("cat", "/proc/net/netstat").splitlines()[:2]]
    return int(values[names.index("TCPSynRetrans")])


class Storm:
    """Clients of one server whose connections end: each connects anew at once, again and again until it is
    greeted. `servers`: by whom, and how many. `unanswered`: those who heard nothing for PATIENCE_S, and began anew:
    the server may end in the middle of a handshake, and forget it."""
    PATIENCE_S = 5

    def __init__(self, machine, host, sockets):
        self.host, self.servers, self.refused = host, {}, 0
        self.poll, self.at = select.epoll(), {}
        self.cut, self.waits = {}, []  # sockets that connect, and since when
        self.unanswered = 0
        self.first_s = self.last_s = None
        for sock in sockets:
            self._watch(sock)
        self.machine, self.left = machine, len(sockets)

    def _watch(self, sock):
        self.at[sock.fileno()] = sock
        self.poll.register(sock, select.EPOLLIN)

    def _connect(self):
        sock = socket.socket()
        sock.setblocking(False)
        self.cut[sock.fileno()] = time.monotonic()
        sock.connect_ex((self.host, PORT))
        self._watch(sock)

    def _ended(self, sock, again):
        fd = sock.fileno()
        self.poll.unregister(sock)
        del self.at[fd]
        self.cut.pop(fd, None)
        sock.close()
        if again:
            self.refused += 1
            self.waits.append(time.monotonic() + 0.01)
        else:
            self.first_s = self.first_s or time.monotonic()
            self._connect()

    def _event(self, fd):
        sock = self.at[fd]
        try:
            got = sock.recv(256)
        except OSError:
            got = b""
        if not got:
            self._ended(sock, fd in self.cut)
        elif fd in self.cut:
            name = got.split()[0].decode()
            self.servers[name] = self.servers.get(name, 0) + 1
            del self.cut[fd]
            self.left -= 1
            self.last_s = time.monotonic()

    def run(self, limit_s):
        """Until the last one is back; seconds since the first was cut."""
        end = time.monotonic() + limit_s
        with self.machine.network():
            while self.left:
                assert time.monotonic() < end, f"{self.left} are not back; {self.servers}"
                for fd, _ in self.poll.poll(0.02):
                    self._event(fd)
                for fd in [fd for fd, began in self.cut.items() if time.monotonic() - began > self.PATIENCE_S]:
                    self.unanswered += 1
                    self._ended(self.at[fd], True)
                due = [at for at in self.waits if at <= time.monotonic()]
                self.waits = [at for at in self.waits if at > time.monotonic()]
                for _ in due:
                    self._connect()
        return self.last_s - self.first_s

    def close(self):
        for sock in self.at.values():
            sock.close()
        self.poll.close()


def tell(text):
    """A figure, for whoever reads the run."""
    print(f"        {text}", file=sys.stdout, flush=True)
