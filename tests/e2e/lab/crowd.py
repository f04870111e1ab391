# SPDX-License-Identifier: BSD-2-Clause
"""Thousands of clients of crowd_server.py at once, and a steady stream of new ones."""
import errno
import os
import select
import socket
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
                stream.write(word)
                stream.flush()
                answer = stream.readline()
                if not answer.endswith(b"\n"):
                    raise OSError("closed")
                if answer != name.strip() + b" " + word:
                    raise Moved(f"another answer: {answer!r}")
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

    def end(self):
        self.stop.set()
        self.thread.join(self.timeout_s + 5)


def tell(text):
    """A figure, for whoever reads the run."""
    print(f"        {text}", file=sys.stdout, flush=True)
