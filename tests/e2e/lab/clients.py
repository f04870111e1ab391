# SPDX-License-Identifier: BSD-2-Clause
"""What the users of the site do, from the client's machine: mail, mailboxes, pages, and a steady
load that counts what breaks."""
import http.client
import imaplib
import poplib
import smtplib
import socket
import struct
import threading
import time

from .daemons import DOMAIN, PASSWORD, USER


def send_mail(machine, host, subject="hello", timeout=20):
    """Deliver one message; the server's name, as its banner says it."""
    with machine.network(), smtplib.SMTP(timeout=timeout) as smtp:
        _, banner = smtp.connect(host, 25)
        smtp.sendmail(f"bob@{DOMAIN}", [f"{USER}@{DOMAIN}"],
                      f"Subject: {subject}\r\nFrom: bob@{DOMAIN}\r\n\r\nbody\r\n")
        return banner.decode().split(".")[0]


def imap_open(machine, host, timeout=20):
    """A session that is logged in; `server` is the name in its greeting."""
    with machine.network():
        imap = imaplib.IMAP4(host, 143, timeout=timeout)
        imap.login(USER, PASSWORD)
    imap.server = imap.welcome.decode().split("] ")[-1].split()[0]
    return imap


def imap_works(imap):
    return imap.noop()[0] == "OK" and imap.select("INBOX")[0] == "OK"


def imap_open_at(machine, host, server, tries=200):
    """A session with this very backend; others that come up on the way are closed."""
    for _ in range(tries):
        imap = imap_open(machine, host)
        if imap.server == server:
            return imap
        imap.logout()
    raise AssertionError(f"no session at {server} in {tries} tries")


def pop3_server(machine, host, timeout=20):
    with machine.network():
        pop = poplib.POP3(host, 110, timeout=timeout)
        server = pop.getwelcome().decode().split()[1]
        pop.user(USER)
        pop.pass_(PASSWORD)
        pop.stat()
        pop.quit()
        return server


def http_get(machine, host, timeout=10):
    with machine.network():
        connection = http.client.HTTPConnection(host, 80, timeout=timeout)
        try:
            connection.request("GET", "/")
            return connection.getresponse().read().decode().strip()
        finally:
            connection.close()


def http_servers(machine, host, n, timeout=10):
    """Which servers answer n connections, and how often. That each of three is among them takes 60, or chance
    leaves one out once in a while (of 20: in 1 of 1,000 runs)."""
    counts = {}
    for _ in range(n):
        name = http_get(machine, host, timeout)
        counts[name] = counts.get(name, 0) + 1
    return counts


class Load:
    """New connections all the time and open sessions that keep talking; counts what breaks."""

    def __init__(self, machine, host, sessions=10):
        self.machine, self.host = machine, host
        self.good = self.broken = 0
        self.errors = []
        self.stop = threading.Event()
        self.sessions = [imap_open(machine, host) for _ in range(sessions)]
        self.threads = [threading.Thread(target=self._connect, daemon=True),
                        threading.Thread(target=self._talk, daemon=True)]
        for thread in self.threads:
            thread.start()

    def _note(self, error):
        self.broken += 1
        self.errors.append(f"{time.strftime('%H:%M:%S')} {error!r}")

    def _connect(self):
        while not self.stop.is_set():
            try:
                http_get(self.machine, self.host, timeout=3)
                self.good += 1
            except OSError as error:
                self._note(error)
            time.sleep(0.01)

    def _talk(self):
        while not self.stop.is_set():
            for imap in self.sessions:
                try:
                    if imap.noop()[0] != "OK":
                        raise OSError("NOOP refused")
                    self.good += 1
                except (OSError, imaplib.IMAP4.error) as error:
                    self._note(error)
                    self.sessions.remove(imap)
                    break
            time.sleep(0.05)

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(10)
        for imap in self.sessions:
            imap.shutdown()
        return self.good, self.broken


class Pinger:
    """ICMP echo to an address every few milliseconds; knows the longest time without an answer."""
    LAST_S = 0.2

    def __init__(self, machine, host, interval_s=0.005):
        with machine.network():
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self.sock.settimeout(0.2)
        self.host, self.interval_s = host, interval_s
        self.answers, self.answered = [], set()  # when; sequence numbers
        self.sent = 0
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self._send, daemon=True),
                        threading.Thread(target=self._receive, daemon=True)]
        for thread in self.threads:
            thread.start()

    @staticmethod
    def _echo(sequence):
        header = struct.pack("!BBHHH", 8, 0, 0, 0x51C3, sequence & 0xFFFF)
        total = sum(struct.unpack("!4H", header))
        total = (total & 0xFFFF) + (total >> 16)
        return header[:2] + struct.pack("!H", ~total & 0xFFFF) + header[4:]

    def _send(self):
        while not self.stop.is_set():
            try:
                self.sock.sendto(self._echo(self.sent), (self.host, 0))
            except OSError:
                pass
            self.sent += 1
            time.sleep(self.interval_s)

    def _receive(self):
        """What was asked last has its time for an answer, too."""
        while not self.stop.is_set() or time.monotonic() < self.stopped_s + self.LAST_S:
            try:
                packet = self.sock.recv(256)
            except OSError:
                continue
            if packet[20] == 0 and packet[24:26] == b"\x51\xc3" and packet[12:16] == socket.inet_aton(self.host):
                self.answers.append(time.monotonic())
                self.answered.add(int.from_bytes(packet[26:28], "big"))

    def lost(self):
        """How many were never answered; good after end(), for up to 65,536 of them."""
        return self.sent - len(self.answered)

    def end(self):
        """The longest gap between two answers, in milliseconds."""
        self.stopped_s = time.monotonic()
        self.stop.set()
        for thread in self.threads:
            thread.join(5)
        self.sock.close()
        gaps = [b - a for a, b in zip(self.answers, self.answers[1:])]
        return 1000 * max(gaps) if gaps else float("inf")
