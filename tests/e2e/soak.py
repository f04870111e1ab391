# SPDX-License-Identifier: BSD-2-Clause
"""A pair under load, and everything that can happen to it, by chance, for as long as one likes: ./run soak MINUTES

Many connections stay open and say something after every event, others come and go all the time. Processes and nodes
are killed, links pulled, servers drained, killed and added, weights changed, the configuration is read again, the
addresses are handed over. In the end every connection is accounted for: it lives where it always did, or its own
server was killed. Anything else is a failure, and the seed that is printed makes the same events again."""
import os
import random
import resource
import signal
import sys
import time

from lab import crowd
from lab.machine import wait_until
from lab.site import SLUICED, VIP, Site, host_number

SERVERS = ("mx1", "mx2", "mx3", "mx4")
CONNECTIONS = int(os.environ.get("SLUICE_SOAK_CONNECTIONS", "400"))
SECOND_LINK = {"lb1": "10.79.0.1", "lb2": "10.79.0.2"}


class Soak:
    def __init__(self, lab, seed):
        self.lab, self.chance = lab, random.Random(seed)
        self.weights = dict.fromkeys(SERVERS, 100)
        self.configured = list(SERVERS[:3])
        self.drained = set()
        self.counts = {}  # event -> how often
        self.own_deaths = self.broken = self.moved = 0
        self.slowest_s = 0.0

    # ---- the pair ----

    def config(self):
        rows = ", ".join(f'{{ name = "{b}"; address = "10.77.0.{host_number(b)}"; weight = {self.weights[b]}; }}'
                         for b in self.configured)
        links = ", ".join(f'{{ interface = "{dev}"; addresses = {{ lb1 = "{one}"; lb2 = "{two}"; }}; }}'
                          for dev, one, two in (("eth0", "10.77.0.2", "10.77.0.3"),
                                                ("eth1", SECOND_LINK["lb1"], SECOND_LINK["lb2"])))
        return f"""secret_file = "/etc/sluice/secret";
flow_limit = "64K";
user = "nobody";
nodes = ( {{ name = "lb1"; interfaces = [ "eth0" ]; }}, {{ name = "lb2"; interfaces = [ "eth0" ]; }} );
sync = {{ links = ( {links} ); }};
vrrp = ( {{ name = "v4"; vrid = 51; interval = "100ms"; priorities = {{ lb1 = 200; lb2 = 100; }};
           addresses = [ "{VIP}/24" ]; }} );
pools = ( {{ name = "echo"; port = {crowd.PORT}; idle_timeout = "1h";
  probe = {{ type = "tcp"; interval = "300ms"; timeout = "2s"; flap_limit = 0; }};
  backends = ( {rows} ); }} );
services = ( {{ name = "echo"; vip = "{VIP}"; port = {crowd.PORT}; pool = "echo"; }} );
"""

    def start(self):
        for name in SERVERS:
            crowd.echo_start(self.lab.machines[name], VIP)
        self.lab.config_write(self.config())
        self.lab.sluice_start()
        self.quiet()

    def quiet(self):
        """One node has the address, both have everything in place."""
        wait_until(lambda: sum(self.lab.active(node) for node in self.lab.nodes) == 1, 60, "one node is active")
        for node in self.lab.nodes:
            wait_until(lambda: [row for row in self.lab.show(node, "pools") if row["up"] + len(self.drained) >= row["total"]],
                       60, f"every server is known at {node}")

    def active(self):
        return next((node for node in self.lab.nodes if self.lab.active(node)), self.lab.nodes[0])

    def other(self, node):
        return next(name for name in self.lab.nodes if name != node)

    def each(self, *command):
        for node in self.lab.nodes:
            self.lab.sluice(node, *command, check=False)

    # ---- what happens; each leaves the pair whole ----

    def process_killed(self):
        node, child = self.chance.choice(self.lab.nodes), self.chance.choice(("lb", "healthcheck", "vrrp", "programs"))
        self.lab.machines[node].kill(f"^sluiced --child {child}", "KILL")

    def parent_killed(self):
        node = self.chance.choice(self.lab.nodes)
        self.lab.machines[node].kill(f"^{SLUICED}$", "KILL")
        time.sleep(0.5)
        self.lab.sluice_start(node)

    def all_killed(self):
        node = self.active()
        machine = self.lab.machines[node]
        machine.run("pkill -KILL -f sluiced", check=False)
        wait_until(lambda: self.lab.active(self.other(node)), 30, "the other node is active")
        self.lab.sluice_start(node)

    def node_dead(self):
        node = self.active()
        self.lab.switch.run(f"ip link set p-{node} down")
        self.lab.machines[node].run("ip link set eth1 down; pkill -KILL -f sluiced", check=False)
        wait_until(lambda: self.lab.active(self.other(node)), 30, "the other node is active")
        time.sleep(self.chance.uniform(0.2, 2))
        self.lab.machines[node].run("ip link set eth1 up")
        self.lab.switch.run(f"ip link set p-{node} up")
        self.lab.sluice_start(node)

    def link_flaps(self):
        node = self.chance.choice(self.lab.nodes)
        for _ in range(self.chance.randint(1, 3)):
            self.lab.switch.run(f"ip link set p-{node} down")
            time.sleep(self.chance.uniform(0.02, 0.5))
            self.lab.switch.run(f"ip link set p-{node} up")
            time.sleep(0.3)

    def handed_over(self):
        self.lab.sluice(self.active(), "failover", check=False)

    def drain(self):
        name = self.chance.choice(self.configured)
        if len(self.drained) < len(self.configured) - 1:
            self.drained.add(name)
            self.each("drain", name)

    def undrain(self):
        for name in list(self.drained):
            self.each("undrain", name)
        self.drained.clear()

    def weight(self):
        self.weights[self.chance.choice(self.configured)] = self.chance.choice((50, 100, 200))
        self.reload()

    def server_added_or_removed(self):
        """One that is removed keeps its connections, as long as it lives."""
        if "mx4" in self.configured:
            self.drained.discard("mx4")
            self.configured.remove("mx4")
        else:
            self.configured.append("mx4")
        self.reload()

    def reload(self):
        self.lab.config_write(self.config())
        self.each("reload")

    def server_killed(self):
        name = self.chance.choice(self.configured)
        machine = self.lab.machines[name]
        machine.kill(f"crowd_server.py {name}", "KILL")
        self.dead_server = name
        time.sleep(self.chance.uniform(0.5, 3))
        crowd.echo_start(machine, VIP)

    EVENTS = ((process_killed, 4), (parent_killed, 1), (all_killed, 1), (node_dead, 2), (link_flaps, 2),
              (handed_over, 3), (drain, 3), (undrain, 3), (weight, 2), (server_added_or_removed, 1), (reload, 2),
              (server_killed, 2))

    # ---- the account ----

    def account(self, people, event):
        """People who are answered by their server are well; those of a server that was killed come back."""
        began = time.monotonic()
        word = b"%d\n" % time.monotonic_ns()
        for sock in people.sockets:
            try:
                sock.send(word)
            except OSError:
                pass  # told by the missing answer
        answers = people._read(people.sockets, 30)
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        lost = []
        for i, (answer, server) in enumerate(zip(answers, people.servers)):
            if answer.endswith(word) and answer.split()[0].decode() == server:
                continue
            lost.append(i)
            if server == self.dead_server:
                self.own_deaths += 1
            elif answer.endswith(word):
                self.moved += 1
                crowd.tell(f"!! moved from {server} by {event}: {answer!r}")
            else:
                self.broken += 1
                crowd.tell(f"!! broken at {server} by {event}: {answer!r}")
        for i in reversed(lost):
            people.sockets.pop(i).close()
            people.servers.pop(i)
        if lost:
            fresh = crowd.Crowd(self.lab.client, VIP, len(lost))
            people.sockets += fresh.sockets
            people.servers += fresh.servers

    def run(self, minutes):
        events, weights = zip(*self.EVENTS)
        people = crowd.Crowd(self.lab.client, VIP, CONNECTIONS)
        newcomers = crowd.Newcomers(self.lab.client, VIP, timeout_s=15)
        end = time.monotonic() + 60 * minutes
        while time.monotonic() < end:
            event = self.chance.choices(events, weights)[0]
            self.dead_server = None
            self.counts[event.__name__] = self.counts.get(event.__name__, 0) + 1
            event(self)
            time.sleep(self.chance.uniform(0, 1))
            self.quiet()
            self.account(people, event.__name__)
        newcomers.end()
        self.tell(newcomers, minutes)
        return self.broken + self.moved == 0 and not self.lab.sanitizer_reports()

    def tell(self, newcomers, minutes):
        for name, n in sorted(self.counts.items()):
            crowd.tell(f"{n:5} {name}")
        # One that was opened at a server that is killed a moment later is refused: it comes again.
        crowd.tell(f"{minutes} minutes, {CONNECTIONS} connections that stay: {self.broken} broken, {self.moved} moved, "
                   f"{self.own_deaths} whose server was killed; slowest answer {self.slowest_s:.1f} s")
        crowd.tell(f"new connections: {newcomers.good} good, {len(newcomers.failed)} failed, "
                   f"slowest {newcomers.slowest_s:.1f} s")
        for line in newcomers.failed[:20]:
            crowd.tell(f"   {line}")


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
            good = soak.run(minutes)
        except BaseException:
            print(lab.log_text(), flush=True)
            raise
        if not good:
            print(lab.log_text() + lab.sanitizer_reports(), flush=True)
    print(f"soak: {'every connection is accounted for' if good else 'FAILED'}; seed {seed}", flush=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
