# SPDX-License-Identifier: BSD-2-Clause
"""A pair under load, and everything that can happen to it, by chance, for as long as one likes: ./run soak MINUTES

At a VIP of dsr and at one of fullnat, many connections stay open and say something after every event, some never
rest, others come and go all the time. Processes and nodes are killed, links pulled, servers drained, killed and
added, weights changed, the configuration is read again, sluiced replaced, the addresses handed over; some of it in
the middle of something else. In the end every connection is accounted for (lab/ledger.py), and the seed that is
printed makes the same events again."""
import collections
import contextlib
import os
import random
import resource
import signal
import socket
import sys
import threading
import time

from e2e import end_well
from lab import crowd
from lab.ledger import OUTCOMES, Journal, Ledger, table
from lab.machine import wait_until
from lab.nat import FORWARDING
from lab.site import SLUICED, VIP, Site, host_number

SERVERS = ("mx1", "mx2", "mx3", "mx4")
CONNECTIONS = int(os.environ.get("SLUICE_SOAK_CONNECTIONS", "400"))  # that stay, at each VIP
BUSY = 20
FULLNAT_VIP = "10.77.0.11"
SECOND_LINK = {"lb1": "10.79.0.1", "lb2": "10.79.0.2"}
PATIENCE_S = 30
LOGS_TOLD = 3
IN_THE_MIDDLE = 0.3  # of the events come in the middle of a change


# ---- the load ----

class Idle:
    """Connections that say something when they are asked."""

    def __init__(self, lab, host, ledger):
        self.lab, self.host, self.ledger = lab, host, ledger
        self.crowd = crowd.Crowd(lab.client, host, CONNECTIONS)
        self.ledger.open(CONNECTIONS)
        self.well_s = time.monotonic()

    def ask(self):
        word = b"%d\n" % time.monotonic_ns()
        for sock in self.crowd.sockets:
            with contextlib.suppress(OSError):  # told by the missing answer
                sock.send(word)
        asked_s = time.monotonic()
        answers = self.crowd.read_lines(self.crowd.sockets, PATIENCE_S)
        lost = []
        for i, (answer, server) in enumerate(zip(answers, self.crowd.servers)):
            if answer == server.encode() + b" " + word:
                continue
            lost.append(i)
            self.ledger.lose(server, self.well_s, f"answer {answer!r}", moved=answer.endswith(word))
        for i in reversed(lost):
            self.crowd.sockets.pop(i).close()
            self.crowd.servers.pop(i)
        self.well_s = asked_s
        if lost:
            fresh = crowd.Crowd(self.lab.client, self.host, len(lost))
            self.ledger.open(len(lost))
            self.crowd.sockets += fresh.sockets
            self.crowd.servers += fresh.servers

    def end(self):
        self.ledger.close(len(self.crowd.sockets))
        self.crowd.close()
        self.crowd.sockets, self.crowd.servers = [], []

    def n_open(self):
        return len(self.crowd.sockets)


class Busy:
    """Connections that never rest, each answer compared byte by byte."""

    def __init__(self, lab, host, ledger):
        self.lab, self.host, self.ledger = lab, host, ledger
        self.live = []  # [stream, server, when it was last well]; of the thread
        self.answers, self.slowest_s = 0, 0.0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _open(self):
        began = time.monotonic()
        self.ledger.open()
        try:
            stream = socket.create_connection((self.host, crowd.PORT), PATIENCE_S).makefile("rwb")
            server = stream.readline().strip().decode()
            if not server:
                raise OSError("closed before the greeting")
            self.live.append([stream, server, time.monotonic()])
        except OSError as error:
            self.ledger.lose("", began, repr(error), new=True)
            time.sleep(0.1)

    def _talk(self, one):
        stream, server, well_s = one
        word = os.urandom(400).hex().encode() + b"\n"
        began = time.monotonic()
        try:
            crowd.talk(stream, server, word)
            self.answers += 1
            one[2] = began
        except OSError as error:
            self.ledger.lose(server, well_s, repr(error), moved=isinstance(error, crowd.Moved))
            self.live.remove(one)
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)

    def _run(self):
        with self.lab.client.network():
            while not self.stop.is_set():
                if len(self.live) < BUSY:
                    self._open()
                for one in list(self.live):
                    self._talk(one)
                time.sleep(0.005)

    def ask(self):
        before = self.answers
        wait_until(lambda: self.answers >= before + BUSY, 2 * PATIENCE_S, f"those that never rest go on at {self.host}")

    def end(self):
        self.stop.set()
        self.thread.join(2 * PATIENCE_S)
        self.ledger.close(len(self.live))
        self.live.clear()

    def n_open(self):
        return len(self.live)


class New(crowd.Newcomers):
    """One after the other, for as long as the soak lasts."""

    def __init__(self, lab, host, ledger):
        self.ledger = ledger
        super().__init__(lab.client, host, timeout_s=PATIENCE_S)

    def _once(self):
        self.ledger.open()
        name = super()._once()
        self.ledger.close()
        return name

    def lost(self, began, error):
        self.ledger.lose(self.greeted_by, began, repr(error), moved=isinstance(error, crowd.Moved), new=True)

    def ask(self):
        before = self.good
        wait_until(lambda: self.good > before, 2 * PATIENCE_S, f"new connections are served at {self.host}")

    def n_open(self):
        return 0


# ---- the pair ----

class Soak:
    def __init__(self, lab, seed):
        self.lab, self.chance = lab, random.Random(seed)
        self.weights = dict.fromkeys(SERVERS, 100)
        self.configured = list(SERVERS[:3])
        self.drained = set()
        self.journal = Journal()
        self.people = []
        self.events = {}  # name -> [times, longest s until all were answered, connections lost with a server, faults]
        self.latest = collections.deque(maxlen=6)  # events
        self.logs_told = 0
        self.began_s = time.monotonic()

    def config(self):
        rows = ", ".join(f'{{ name = "{b}"; address = "10.77.0.{host_number(b)}"; weight = {self.weights[b]}; }}'
                         for b in self.configured)
        links = ", ".join(f'{{ interface = "{dev}"; addresses = {{ lb1 = "{one}"; lb2 = "{two}"; }}; }}'
                          for dev, one, two in (("eth0", "10.77.0.2", "10.77.0.3"),
                                                ("eth1", SECOND_LINK["lb1"], SECOND_LINK["lb2"])))
        pools = ", ".join(f"""{{ name = "{mode}"; port = {crowd.PORT}; mode = "{mode}"; idle_timeout = "1h";
  probe = {{ type = "tcp"; interval = "300ms"; timeout = "2s"; flap_limit = 0; }};
  backends = ( {rows} ); }}""" for mode in ("dsr", "fullnat"))
        services = ", ".join(f'{{ name = "{mode}"; vip = "{vip}"; port = {crowd.PORT}; pool = "{mode}"; }}'
                             for mode, vip in (("dsr", VIP), ("fullnat", FULLNAT_VIP)))
        return f"""secret_file = "/etc/sluice/secret";
flow_limit = "64K";
user = "nobody";
nodes = ( {{ name = "lb1"; interfaces = [ "eth0" ]; }}, {{ name = "lb2"; interfaces = [ "eth0" ]; }} );
sync = {{ links = ( {links} ); }};
vrrp = ( {{ name = "v4"; vrid = 51; interval = "100ms"; priorities = {{ lb1 = 200; lb2 = 100; }};
           addresses = [ "{VIP}/24", "{FULLNAT_VIP}/24" ]; }} );
pools = ( {pools} );
services = ( {services} );
"""

    def start(self):
        for name in SERVERS:
            crowd.echo_start(self.lab.machines[name], VIP)
        for node in self.lab.nodes:
            self.lab.machines[node].run(FORWARDING)
        self.lab.config_write(self.config())
        self.lab.sluice_start()
        self.quiet()
        for mode, host in (("dsr", VIP), ("fullnat", FULLNAT_VIP)):
            for kind in (Idle, Busy, New):
                self.people.append(kind(self.lab, host, Ledger(f"{mode}, {kind.__name__.lower()}", self.journal)))

    def quiet(self):
        """One node has the addresses, both know everything, of the servers and of each other."""
        wait_until(lambda: sum(self.lab.active(node) for node in self.lab.nodes) == 1, 60, "one node is active")
        for node in self.lab.nodes:
            wait_until(lambda: (rows := self.lab.show(node, "pools")) and
                       all(row["up"] + len(self.drained) >= row["total"] for row in rows), 60,
                       f"every server is known at {node}")
            wait_until(lambda: any(row["in_sync"] for row in self.lab.show(node, "sync") if row["link"] == ""), 60,
                       f"{node} is in sync")

    def active(self):
        return next((node for node in self.lab.nodes if self.lab.active(node)), self.lab.nodes[0])

    def other(self, node):
        return next(name for name in self.lab.nodes if name != node)

    # ---- changes; they say what is to be and go on ----

    def drain(self):
        """Said at one node; the other hears of it."""
        name = self.chance.choice(self.configured)
        if len(self.drained) < len(self.configured) - 1:
            self.drained.add(name)
            self.lab.sluice(self.chance.choice(self.lab.nodes), "drain", name)
            self.known("drain", {name})

    def undrain(self):
        for name in sorted(self.drained):
            self.lab.sluice(self.chance.choice(self.lab.nodes), "undrain", name)
        self.drained.clear()
        self.known("drain", set())

    def known(self, state, names):
        """At both nodes, of these at least, or of nobody."""
        for node in self.lab.nodes:
            wait_until(lambda: (rows := self.lab.show(node, "backends")) and
                       (got := {row["backend"] for row in rows if row["state"] == state}) >= names and
                       (names or not got), 20, f"{state} of {names or 'nobody'} at {node}")

    def weight(self):
        self.weights[self.chance.choice(self.configured)] = self.chance.choice((50, 100, 200))
        self.reload()

    def server_added_or_removed(self):
        """One that is removed keeps its connections, as long as it lives."""
        if "mx4" in self.configured:
            if "mx4" in self.drained or self.drained >= set(self.configured) - {"mx4"}:  # somebody has to be left
                self.undrain()
            self.configured.remove("mx4")
        else:
            self.configured.append("mx4")
        self.reload()

    def reload(self):
        self.lab.config_write(self.config())
        for node in self.lab.nodes:
            self.lab.sluice(node, "reload")

    # ---- blows; each leaves the pair whole ----

    def moves(self, does):
        """A context: what is done moves the role, or it does not."""
        return self.journal.move() if does else contextlib.nullcontext()

    def node_back(self, node):
        """With everything known, it takes the role by its priority."""
        with self.journal.move():
            self.lab.sluice_start(node)
            self.quiet()

    def process_killed(self):
        node, child = self.chance.choice(self.lab.nodes), self.chance.choice(("lb", "healthcheck", "vrrp", "programs"))
        self.lab.machines[node].kill(f"^sluiced --child {child}", "KILL")

    def parent_killed(self):
        node = self.chance.choice(self.lab.nodes)
        with self.moves(self.lab.active(node)):
            self.lab.machines[node].kill(f"^{SLUICED}$", "KILL")
            wait_until(lambda: not self.lab.machines[node].pids("sluiced"), 20, f"{node} has stopped")
            wait_until(lambda: self.lab.active(self.other(node)), 30, "the other node is active")
        self.node_back(node)

    def kill_all(self, node):
        machine = self.lab.machines[node]
        machine.kill("sluiced", "KILL")
        wait_until(lambda: not machine.pids("sluiced"), 20, f"all of {node} are dead")

    def all_killed(self):
        node = self.chance.choice(self.lab.nodes)
        with self.moves(self.lab.active(node)):
            self.kill_all(node)
            wait_until(lambda: self.lab.active(self.other(node)), 30, "the other node is active")
        self.node_back(node)

    def links(self, node, state, *names):
        if "data" in names:
            self.lab.switch.run(f"ip link set p-{node} {state}")
        if "sync" in names:
            self.lab.machines[node].run(f"ip link set eth1 {state}")

    def node_dead(self):
        node = self.chance.choice(self.lab.nodes)
        with self.moves(self.lab.active(node)):
            self.links(node, "down", "data", "sync")
            self.kill_all(node)
            wait_until(lambda: self.lab.active(self.other(node)), 30, "the other node is active")
        time.sleep(self.chance.uniform(0.2, 2))
        self.links(node, "up", "data", "sync")
        self.node_back(node)

    def links_flap(self, *names):
        """The link to the clients takes the role from the active node; a backup that hears nobody takes it."""
        node = self.chance.choice(self.lab.nodes)
        does = "data" in names and ("sync" in names or self.lab.active(node))
        for _ in range(self.chance.randint(1, 3)):
            with self.moves(does):
                self.links(node, "down", *names)
                time.sleep(self.chance.uniform(0.02, 0.5))
            with self.moves(does):
                self.links(node, "up", *names)
                time.sleep(0.3)
        with self.moves(does):
            self.quiet()

    def data_link_flaps(self):
        self.links_flap("data")

    def sync_link_flaps(self):
        self.links_flap("sync")

    def both_links_flap(self):
        self.links_flap("data", "sync")

    def handed_over(self):
        node = self.active()
        with self.journal.move():
            self.lab.sluice(node, "failover")
            wait_until(lambda: self.lab.active(self.other(node)), 30, "the other node is active")

    def upgraded(self):
        """By another one of the same build. Whoever asks a lb that ends is told to try again (3)."""
        node = self.chance.choice(self.lab.nodes)

        def done():
            told = self.lab.sluice(node, "upgrade", check=False)
            assert told.returncode in (0, 3), told
            return told.returncode == 0
        wait_until(done, 60, f"{node} is upgraded")

    def server_killed(self):
        name = self.chance.choice(self.configured)
        machine = self.lab.machines[name]
        with self.journal.death(name):
            machine.kill(f"crowd_server.py {name}", "KILL")
            time.sleep(self.chance.uniform(0.5, 3))
            crowd.echo_start(machine, VIP)
            time.sleep(0.5)  # it may not have been noticed yet
            self.quiet()

    CHANGES = ((drain, 3), (undrain, 3), (weight, 2), (server_added_or_removed, 1), (reload, 2))
    BLOWS = ((process_killed, 4), (parent_killed, 1), (all_killed, 1), (node_dead, 2), (data_link_flaps, 2),
             (sync_link_flaps, 1), (both_links_flap, 1), (handed_over, 3), (upgraded, 1), (server_killed, 2))

    # ---- the account ----

    def pick(self, rows):
        events, weights = zip(*rows)
        return self.chance.choices(events, weights)[0]

    def happen(self):
        """Something; its name."""
        if self.chance.random() < IN_THE_MIDDLE:
            change, blow = self.pick(self.CHANGES), self.pick(self.BLOWS)
            change(self)
            time.sleep(0.1)
            blow(self)
            return f"{change.__name__}, then {blow.__name__}"
        event = self.pick(self.CHANGES + self.BLOWS)
        event(self)
        return event.__name__

    def counts(self):
        """Lost with their server; faults."""
        ledgers = [people.ledger for people in self.people]
        return sum(ledger.ended["its server died"] for ledger in ledgers), sum(l.fault_count() for l in ledgers)

    def run(self, minutes):
        end = time.monotonic() + 60 * minutes
        while time.monotonic() < end:
            died, faults = self.counts()
            began = time.monotonic()
            name = self.happen()
            time.sleep(self.chance.uniform(0, 1))
            self.quiet()
            for people in self.people:
                people.ask()
            row = self.events.setdefault(name, [0, 0.0, 0, 0])
            row[0] += 1
            row[1] = max(row[1], time.monotonic() - began)
            now_died, now_faults = self.counts()
            row[2] += now_died - died
            row[3] += now_faults - faults
            if now_faults > faults:
                crowd.tell(f"!! {now_faults - faults} by {name}, at {time.strftime('%H:%M:%S')}, after " +
                           "; ".join(self.latest) + f"; of {', '.join(self.configured)} drained: {sorted(self.drained)}")
                self.logs_tell()
            self.latest.append(name)

    def logs_tell(self):
        """What the nodes said just now; of the first faults only."""
        if self.logs_told < LOGS_TOLD:
            self.logs_told += 1
            for node in self.lab.nodes:
                print(f"--- {node}\n" + self.lab.machines[node].run(f"tail -40 {self.lab.logs}/{node}-sluiced.log"), flush=True)

    def end(self):
        for people in self.people:
            people.end()

    def tell(self):
        """The account, as it is now; is all well?"""
        events = [[name, *row[:1], f"{row[1]:.1f}", *row[2:]] for name, row in sorted(self.events.items())]
        print(table(["event", "times", "longest s", "lost with a server", "faults"], events))
        print()
        people = [(p.ledger, p.n_open()) for p in self.people]
        print(table(["connections", "opened", *OUTCOMES], [ledger.row(n_open) for ledger, n_open in people]))
        for ledger, _ in people:
            for fault, n in ledger.faults.items():
                print(f"   {fault}" + (f" (and {n - 1} alike)" if n > 1 else ""))
        print(f"\n{sum(row[0] for row in self.events.values())} events in {(time.monotonic() - self.began_s) / 60:.1f} "
              "minutes; slowest answer to those that never rest " +
              ", ".join(f"{p.slowest_s:.1f} s" for p in self.people if isinstance(p, Busy)) + "; slowest new connection " +
              ", ".join(f"{p.slowest_s:.1f} s" for p in self.people if isinstance(p, New)))
        odd = [ledger.name for ledger, n_open in people if not ledger.adds_up(n_open)]
        if odd:
            print(f"does not add up: {', '.join(odd)}")
        sys.stdout.flush()
        return not odd and not any(ledger.fault_count() for ledger, _ in people)


def main():
    minutes = float(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 31)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(f"soak: seed {seed}", flush=True)
    with Site(backends=len(SERVERS)) as lab:
        lab.cable(lab.lb1, "eth1", lab.lb2, "eth1")
        for node, address in SECOND_LINK.items():
            lab.machines[node].run(f"ip addr add {address}/24 dev eth1")
        soak = Soak(lab, seed)
        try:
            soak.start()
            soak.run(minutes)
            soak.end()
        except BaseException:
            soak.tell()
            print(lab.log_text(), flush=True)
            raise
        good, reports = soak.tell(), end_well(lab)
        if not good or reports:
            print(lab.log_text() + reports, flush=True)
            good = False
    print(f"soak: {'every connection is accounted for' if good else 'FAILED'}; seed {seed}", flush=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
