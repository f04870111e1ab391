#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What systemd does for a service of Type=notify with a store of descriptors: restarter.py PROGRAM

SIGUSR1: restart it, as the unit does: SIGUSR1 (ExecStop), SIGTERM, wait, start it with what it had
stored. SIGTERM: stop it, and end."""
import array
import os
import signal
import socket
import subprocess
import sys

NOTIFY = "/run/notify"


class Service:
    def __init__(self, program):
        self.program = program
        self.store = []  # of (name, fd)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(NOTIFY)
        self.socket.settimeout(0.05)
        self.process, self.asked = None, None

    def start(self):
        fds = [os.dup2(fd, 100 + i, inheritable=False) for i, (_, fd) in enumerate(self.store)]

        def arrange():
            for i, fd in enumerate(fds):
                os.dup2(fd, 3 + i)
            os.environ["NOTIFY_SOCKET"] = NOTIFY
            if fds:
                os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)),
                                  LISTEN_FDNAMES=":".join(name for name, _ in self.store))
            os.execv(self.program, [self.program])

        self.process = subprocess.Popen([self.program], preexec_fn=arrange)
        for fd in fds:
            os.close(fd)

    def hear(self):
        try:
            text, control, _, _ = self.socket.recvmsg(4096, 256)
        except TimeoutError:
            return
        fds = array.array("i")
        for _, _, data in control:
            fds.frombytes(data)
        said = dict(line.split("=", 1) for line in text.decode().splitlines())
        print("restarter:", said, list(fds), flush=True)
        if "FDSTORE" in said:
            self.store += [(said["FDNAME"], fd) for fd in fds]
        else:
            for fd in fds:
                os.close(fd)
        if "FDSTOREREMOVE" in said:
            for name, fd in self.store:
                if name == said["FDNAME"]:
                    os.close(fd)
            self.store = [kept for kept in self.store if kept[0] != said["FDNAME"]]

    def end(self, *signals):
        for number in signals:
            self.process.send_signal(number)
        while self.process.poll() is None:
            self.hear()

    def run(self):
        for number in (signal.SIGUSR1, signal.SIGTERM):
            signal.signal(number, lambda number, frame: setattr(self, "asked", number))
        self.start()
        while self.asked != signal.SIGTERM:
            self.hear()
            if self.asked == signal.SIGUSR1:
                self.asked = None
                self.end(signal.SIGUSR1, signal.SIGTERM)
                self.start()
        self.end(signal.SIGTERM)


Service(sys.argv[1]).run()
