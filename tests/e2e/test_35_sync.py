# SPDX-License-Identifier: BSD-2-Clause
"""Two nodes that tell each other what they know, over two links."""
import json
import re
import tempfile
import threading
import time

from lab import clients
from lab.machine import wait_until
from lab.site import SLUICED, VIP, Site

PORT = 5405
SYNC = """
sync = {
  port = %d;
  links = (
    { interface = "eth0"; addresses = { lb1 = "10.77.0.2"; lb2 = "10.77.0.3"; }; },
    { interface = "eth1"; addresses = { lb1 = "fd99::2"; lb2 = "fd99::3"; }; } ); };
""" % PORT


class Pair(Site):
    slots = 65537

    def _build(self, nodes, backends):
        super()._build(nodes, backends)
        self.cable(self.lb1, "eth1", self.lb2, "eth1")
        self.lb1.run("ip -6 addr add fd99::2/64 dev eth1 nodad")
        self.lb2.run("ip -6 addr add fd99::3/64 dev eth1 nodad")

    def config(self, **options):
        return super().config(**options) + SYNC

    def peer(self, node):
        rows = [row for row in self.show(node, "sync") if row["link"] == ""]
        return rows[0] if rows else {"up": False, "in_sync": False}

    def in_sync(self, *nodes):
        for node in nodes or self.nodes:
            try:
                wait_until(lambda: self.peer(node)["in_sync"], 10, f"{node} in sync")
            except AssertionError as late:
                raise AssertionError(f"{late}: {[self.show(n, 'sync') for n in self.nodes]}") from late

    def problems(self, node):
        status = self.sluice(node, "status", "--json", check=False)
        return json.loads(status.stdout)["problems"]

    def counter(self, node, name):
        return next(row["value"] for row in self.show(node, "counters") if row["counter"] == name)

    def log_count(self, node, words):
        with open(f"{self.logs}/{node}-sluiced.log", errors="replace") as f:
            return f.read().count(words)

    def row(self, node, pool, backend):
        return next(row for row in self.show(node, "backends")
                    if row["pool"] == pool and row["backend"] == backend)


def site():
    lab = Pair()
    lab.up()
    return lab


def same(lab, pool, backend, **wanted):
    for node in lab.nodes:
        wait_until(lambda: wanted.items() <= lab.row(node, pool, backend).items(), 5,
                   f"{pool}/{backend} {wanted} at {node}")


def test_nodes_are_in_sync_and_have_the_same_configuration(lab):
    lab.in_sync()
    for node in lab.nodes:
        peer = lab.peer(node)
        assert peer["config"] == "the same", peer
        links = [row["up"] for row in lab.show(node, "sync") if row["link"]]
        assert links == [True, True], links
        assert not [p for p in lab.problems(node) if "partner" in p], lab.problems(node)


def test_drain_and_weight_said_on_one_node_are_done_on_both(lab):
    lab.sluice("lb1", "drain", "mx1")
    same(lab, "smtp", "mx1", state="drain")
    same(lab, "imap6", "mx1", state="drain")
    lab.sluice("lb2", "weight", "mx2", "--pool", "smtp", "7")
    same(lab, "smtp", "mx2", weight=7)
    lab.sluice("lb2", "undrain", "mx1")
    same(lab, "smtp", "mx1", state="up")
    lab.sluice("lb1", "weight", "mx2", "--pool", "smtp", "default")
    same(lab, "smtp", "mx2", weight=100)


def test_words_said_on_both_at_once_end_the_same(lab):
    for turn in range(3):
        both = [threading.Thread(target=lab.sluice, args=("lb1", "weight", "mx3", "--pool", "http", str(10 + turn))),
                threading.Thread(target=lab.sluice, args=("lb2", "weight", "mx3", "--pool", "http", str(20 + turn)))]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
        time.sleep(0.3)
        wait_until(lambda: lab.row("lb1", "http", "mx3")["weight"] == lab.row("lb2", "http", "mx3")["weight"]
                   in (10 + turn, 20 + turn), 5, "one weight on both")
    lab.sluice("lb1", "weight", "mx3", "--pool", "http", "default")
    same(lab, "http", "mx3", weight=100)


def test_node_that_comes_back_is_given_everything(lab):
    lab.sluice("lb1", "drain", "mx2", "--pool", "imap")
    same(lab, "imap", "mx2", state="drain")
    lab.sluice_stop("lb2")
    wait_until(lambda: not lab.peer("lb1")["up"], 10, "lb2 is missed")
    assert [p for p in lab.problems("lb1") if "partner lb2 is not heard" in p]
    lab.sluice("lb1", "undrain", "mx2", "--pool", "imap")
    lab.sluice("lb1", "weight", "mx1", "--pool", "imap", "42")
    lab.sluice_start("lb2")
    lab.all_up("lb2")
    lab.in_sync()
    same(lab, "imap", "mx2", state="up")
    same(lab, "imap", "mx1", weight=42)
    lab.sluice("lb2", "weight", "mx1", "--pool", "imap", "default")
    same(lab, "imap", "mx1", weight=100)


def test_lb_that_was_killed_is_in_sync_again(lab):
    before = lab.lb1.pids("--child lb")
    lab.lb1.kill("--child lb", "KILL")
    wait_until(lambda: (now := lab.lb1.pids("--child lb")) and now != before, 10, "another lb runs")
    wait_until(lambda: lab.show("lb1", "sync"), 10, "it answers")
    lab.in_sync()
    lab.sluice("lb2", "drain", "mx1", "--pool", "pop3")
    same(lab, "pop3", "mx1", state="drain")
    lab.sluice("lb2", "undrain", "mx1", "--pool", "pop3")
    same(lab, "pop3", "mx1", state="up")


def test_link_that_was_pulled_is_gone_round(lab):
    lab.in_sync()
    for dev in ("eth1",):
        lab.lb1.run(f"ip link set {dev} down")
        lab.sluice("lb1", "drain", "mx3", "--pool", "smtp")
        same(lab, "smtp", "mx3", state="drain")
        wait_until(lambda: [p for p in lab.problems("lb2") if f"sync link at {dev}" in p], 5, "told")
        assert lab.peer("lb2")["up"]
        lab.lb1.run(f"ip link set {dev} up && ip -6 addr replace fd99::2/64 dev eth1 nodad")
        lab.sluice("lb2", "undrain", "mx3", "--pool", "smtp")
        same(lab, "smtp", "mx3", state="up")
        wait_until(lambda: not [p for p in lab.problems("lb2") if "sync link" in p], 5, "link is back")


def test_another_configuration_is_told(lab):
    text = lab.config(weights={"mx1": 50})
    lab.config_write(text, nodes=["lb2"])
    lab.sluice("lb2", "reload")
    for node, other in (("lb1", "lb2"), ("lb2", "lb1")):
        wait_until(lambda: [p for p in lab.problems(node) if f"partner {other} has another configuration" in p],
                   5, f"told at {node}")
    lab.config_write()
    lab.sluice("lb2", "reload")
    wait_until(lambda: not [p for p in lab.problems("lb1") if "configuration" in p], 5, "the same again")


def test_another_version_is_told(lab):
    with open(SLUICED, "rb") as f:
        build = re.sub(rb"(?<!_)0\.1\.0\0", b"0.9.9\0", f.read())
    with tempfile.NamedTemporaryFile() as other:
        other.write(build)
        other.flush()
        lab.lb2.run(f"cp {other.name} /run/sluiced && chmod 755 /run/sluiced")
    lab.sluice_stop("lb2")
    lab.daemons["lb2"] = lab.lb2.spawn("/run/sluiced", log="sluiced")
    lab.in_sync()
    for node, told in (("lb1", "partner lb2 runs sluice 0.9.9, this node 0.1.0"),
                       ("lb2", "partner lb1 runs sluice 0.1.0, this node 0.9.9")):
        wait_until(lambda: [p for p in lab.problems(node) if told in p], 10, f"told at {node}")
        assert lab.sluice(node, "status", check=False).returncode == 4
    lab.lb2.kill("^/run/sluiced$", "TERM")
    wait_until(lambda: not lab.lb2.pids("^sluiced|^/run/sluiced"), 10, "the other version stopped")
    lab.sluice_start("lb2")
    lab.all_up("lb2")
    lab.in_sync()
    wait_until(lambda: not [p for p in lab.problems("lb1") if "partner" in p], 10, "the same version again")


def test_what_is_shown_of_a_link_is_in_its_columns(lab):
    text = lab.sluice("lb1", "show", "sync")
    head, peer, *links = [line for line in text.splitlines() if line.strip()]
    rows = lab.show("lb1", "sync")
    assert len(links) == 2 and [line.split()[1:3] for line in links] == [["eth0", "yes"], ["eth1", "yes"]], text
    for line, row in zip(links, rows[1:]):
        assert not line[head.index("IN SYNC"):head.index("SENT")].strip(), text
        assert abs(int(line[head.index("WAITING") + len("WAITING"):head.index("SENT") + len("SENT")]) - row["sent"]) < 100, text


def test_new_secret_is_taken_without_losing_each_other(lab):
    lab.in_sync()
    missed = lab.log_count("lb1", "partner not heard")
    for node in lab.nodes:
        lab.machines[node].write("/etc/sluice/secret", "another secret, of 32 bytes at the least\n", mode="600")
        lab.sluice(node, "reload")
        lab.sluice("lb1", "weight", "mx2", "--pool", "smtp", "33")
        same(lab, "smtp", "mx2", weight=33)
        lab.sluice("lb2", "weight", "mx2", "--pool", "smtp", "default")
        same(lab, "smtp", "mx2", weight=100)
    time.sleep(1)
    assert lab.log_count("lb1", "partner not heard") == missed
    assert not [p for p in lab.problems("lb1") if "secret" in p]
    lab.config_write(nodes=["lb2"])  # the old one, at a node that has it newly: nobody knows it
    lab.lb2.run("sh", "-c", "printf 'a third secret, with its 32 bytes, too.\\n' > /etc/sluice/secret")
    lab.sluice_stop("lb2")
    lab.sluice_start("lb2")
    wait_until(lambda: [p for p in lab.problems("lb1") if "another secret" in p], 15, "told")
    lab.lb2.write("/etc/sluice/secret", "another secret, of 32 bytes at the least\n", mode="600")
    lab.sluice("lb2", "reload")
    lab.in_sync()


SEND = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND
s.bind(("10.77.0.3", %d))
for line in sys.stdin:
    s.sendto(bytes.fromhex(line.strip()), ("10.77.0.2", %d))
""" % (PORT, PORT)

LISTEN = """
import os, socket, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
s.bind(("eth0", 0x0800))
s.settimeout(0.2)
open("/run/listens", "w").close()
began = time.monotonic()
while time.monotonic() < began + (50 if os.path.exists("/run/listens") else 2):
    try:
        p = s.recv(4096)
    except TimeoutError:
        continue
    if p[9] == 17 and p[12:16] == bytes((10, 77, 0, 3)) and p[20:24] == bytes(((%d >> 8), %d & 255)) * 2:
        print(p[28:].hex())
""" % (PORT, PORT)


def test_forged_and_replayed_packets_are_counted_and_change_nothing(lab):
    lab.in_sync()
    heard = threading.Thread(target=lambda: noted.extend(lab.lb1.run("python3", "-c", LISTEN).split()))
    noted = []
    heard.start()
    wait_until(lambda: "listens" in lab.lb1.run("ls /run"), 10, "it is listened to")
    lab.sluice("lb2", "drain", "mx1", "--pool", "http")
    same(lab, "http", "mx1", state="drain")
    lab.sluice("lb2", "undrain", "mx1", "--pool", "http")
    same(lab, "http", "mx1", state="up")
    lab.lb1.run("rm /run/listens")
    heard.join()
    assert len(noted) > 5
    forged = [p[:-2] + f"{int(p[-2:], 16) ^ 1:02x}" for p in noted]
    lab.sluice_stop("lb2")  # whose address is used now
    wait_until(lambda: not lab.peer("lb1")["up"], 10, "lb2 is missed")
    before = {kind: lab.counter("lb1", f"sync_refused_{kind}") for kind in ("key", "session", "short", "magic", "version")}
    bad = [noted[0][:60], "00" * 100, noted[0][:8] + "07" + noted[0][10:]]
    lab.lb2.run("python3", "-c", SEND, text="\n".join(noted + forged + bad) + "\n")
    for kind, n in (("key", len(forged)), ("short", 1), ("magic", 1), ("version", 1), ("session", 1)):
        wait_until(lambda: lab.counter("lb1", f"sync_refused_{kind}") >= before[kind] + n, 5, f"{kind} counted")
    assert not lab.peer("lb1")["up"]
    assert lab.row("lb1", "http", "mx1")["state"] == "up"
    lab.sluice_start("lb2")
    lab.all_up("lb2")
    lab.in_sync()
    assert lab.row("lb2", "http", "mx1")["state"] == "up"


def test_node_that_is_not_in_sync_does_not_preempt(lab):
    lab.ready("lb1")
    lab.lb1.run("ip link set eth1 down")
    lab.sluice_stop("lb1")
    wait_until(lambda: lab.active("lb2"), 5, "lb2 is active")
    lab.lb1.run(f"nft add table ip t && nft add chain ip t in '{{ type filter hook input priority 0; }}' && "
                f"nft add rule ip t in udp dport {PORT} drop")
    lab.sluice_start("lb1")
    lab.all_up("lb1")
    time.sleep(2)
    assert set(lab.roles("lb1").values()) == {"backup"}
    assert {row["preempts"] for row in lab.show("lb1", "vrrp")} == {"not in sync"}
    assert [p for p in lab.problems("lb1") if "partner lb2" in p]
    lab.lb1.run("nft delete table ip t; ip link set eth1 up && ip -6 addr replace fd99::2/64 dev eth1 nodad")
    wait_until(lambda: lab.active("lb1"), 10, "lb1 is active: it is in sync")
    assert {row["preempts"] for row in lab.show("lb1", "vrrp")} == {"yes"}


def test_flows_that_are_told_are_counted_at_both_ends(lab):
    """Of slots in transition: they began since mx1 is drained."""
    lab.in_sync()
    lab.ready("lb1")
    lab.sluice("lb1", "drain", "mx1", "--pool", "imap")
    same(lab, "imap", "mx1", state="drain")
    before = lab.peer("lb2")["flows_taken"]
    sessions = [clients.imap_open(lab.client, VIP) for _ in range(40)]
    wait_until(lambda: lab.peer("lb1")["flows_told"] > 0 and lab.peer("lb2")["flows_taken"] > before, 15,
               "flows are told and taken")
    assert lab.counter("lb2", "sync_flows_taken") == lab.peer("lb2")["flows_taken"]
    assert lab.peer("lb1")["flows_lost"] == lab.peer("lb2")["flows_full"] == 0
    for imap in sessions:
        imap.logout()
    lab.sluice("lb1", "undrain", "mx1", "--pool", "imap")
    same(lab, "imap", "mx1", state="up")
