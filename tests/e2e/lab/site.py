# SPDX-License-Identifier: BSD-2-Clause
"""The site under test: a client network behind a router, and a service network with two nodes and
some backends at one switch.

    client ── router ──┬── switch ── lb1, lb2
                       └──────────── mx1, mx2, mx3 (the VIPs on lo, answers go straight to the router)

What makes a veth behave like a cable to a NIC is said where it is done.
"""
import itertools
import os
import shutil
import subprocess
import tempfile

from . import clients, daemons
from .machine import Machine, at_once, wait_until

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
BUILD = os.environ.get("SLUICE_BUILD", os.path.join(ROOT, "build"))
SLUICED = os.path.join(BUILD, "parent", "sluiced")
SLUICE = os.path.join(BUILD, "cli", "sluice")

VIP, VIP6 = "10.77.0.10", "fd77::10"
CLIENT, CLIENT6 = "10.78.0.2", "fd78::2"
NODES = {"lb1": 2, "lb2": 3, "lb3": 4}
SECRET = "a secret of the laboratory, 32+ bytes long\n"


def host_number(name):
    return NODES.get(name) or 20 + int(name[2:])


class Site:
    slots = 4099  # a table is soon made; the default, 65537, where what is tested is the table

    def __init__(self, backends=3, nodes=("lb1", "lb2"), interval="100ms", machine_kinds=None):
        """machine_kinds: of machines that are something else than a Machine, by name."""
        self.interval, self.machine_kinds = interval, machine_kinds or {}
        self.logs = tempfile.mkdtemp(prefix="sluice-lab.")
        self.machines = {}
        self.daemons = {}
        self.extra = ""
        self.cables = itertools.count()
        try:
            self._build(nodes, [f"mx{i + 1}" for i in range(backends)])
        except BaseException:
            self.close()
            raise

    # ---- building ----

    def machine(self, name):
        machine = self.machine_kinds.get(name, Machine)(name)
        machine.log_dir = self.logs
        self.machines[name] = machine
        setattr(self, name, machine)
        return machine

    def cable(self, a, a_dev, b, b_dev):
        """A veth between two machines. Checksums and segments are finished by the sender (tx off):
        XDP would forward them unfinished."""
        n = next(self.cables)  # several are laid at once
        subprocess.run(["ip", "link", "add", "name", f"sl-a{n}", "netns", str(a.pid), "type", "veth",
                        "peer", "name", f"sl-b{n}", "netns", str(b.pid)], check=True)
        for machine, dev, was in ((a, a_dev, f"sl-a{n}"), (b, b_dev, f"sl-b{n}")):
            machine.run(f"ip link set {was} name {dev} && ip link set {dev} up && "
                        f"ethtool -K {dev} tx off gso off tso off > /dev/null && "
                        f"sysctl -qw net.ipv6.conf.{dev}.accept_dad=0 net.ipv6.conf.{dev}.accept_ra=0")

    def second_network(self):
        """eth1 of each node in a bridge of its own, br1 of the switch: 10.79.0.2 and on; its ports are q-NODE."""
        self.switch.run("ip link add br1 type bridge forward_delay 0 mcast_snooping 0 && ip link set br1 up")
        for node in self.nodes:
            self.cable(self.machines[node], "eth1", self.switch, f"q-{node}")
            self.switch.run(f"ip link set q-{node} master br1")
            self.machines[node].run(f"ip addr add 10.79.0.{NODES[node]}/24 dev eth1")

    def _build(self, nodes, backends):
        self.nodes, self.backends = list(nodes), backends
        for name in ("client", "router", "switch", *nodes, *backends):
            self.machine(name)
        self.switch.run("ip link add br0 type bridge forward_delay 0 mcast_snooping 0 && "
                        "ip link set br0 up; "
                        "sysctl -qw net.bridge.bridge-nf-call-iptables=0 2>/dev/null || true")
        self.cable(self.client, "eth0", self.router, "clients")
        self.plug("router", "servers")
        at_once(self._join, *nodes, *backends)
        self.client.run(f"ip addr add {CLIENT}/24 dev eth0 && ip -6 addr add {CLIENT6}/64 dev eth0 nodad && "
                        "ip route add default via 10.78.0.1 && ip -6 route add default via fd78::1")
        self.router.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 && "
                        "ip addr add 10.78.0.1/24 dev clients && ip -6 addr add fd78::1/64 dev clients nodad && "
                        "ip addr add 10.77.0.1/24 dev servers && ip -6 addr add fd77::1/64 dev servers nodad")

    def _join(self, name):
        """A node or a backend, in the service network."""
        self.plug(name, "eth0")
        self.address(self.machines[name])
        if name in self.backends:
            self.vip_on_lo(self.machines[name])

    def plug(self, name, dev):
        """Into the switch. The port of a node needs a program of its own: a veth flushes what its
        peer sends by XDP_TX only then."""
        port = f"p-{name}"
        self.cable(self.machines[name], dev, self.switch, port)
        self.switch.run(f"ip link set {port} master br0")
        if name in NODES:
            self.switch.run(f"ip link set dev {port} xdpdrv obj {BUILD}/bpf/pass.bpf.o sec xdp")

    def address(self, machine):
        n = host_number(machine.name)
        machine.run(f"ip addr add 10.77.0.{n}/24 dev eth0 && ip -6 addr add fd77::{n}/64 dev eth0 nodad && "
                    "ip route add default via 10.77.0.1 && ip -6 route add default via fd77::1 && "
                    "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0")

    def vip_on_lo(self, machine):
        machine.run("sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2 && "
                    f"ip addr add {VIP}/32 dev lo && ip -6 addr add {VIP6}/128 dev lo nodad")

    def mail_start(self, names=None):
        """Postfix, Dovecot and nginx on the backends."""
        def start(name):
            machine = self.machines[name]
            daemons.maildir_make(machine)
            daemons.postfix_start(machine)
            daemons.dovecot_start(machine)
            daemons.nginx_start(machine)

        at_once(start, *(names or self.backends))

    # ---- sluice ----

    def config(self, backends=None, weights=None, probes=None, extra_services=""):
        """The configuration of the pair; one file for both."""
        backends = backends or self.backends
        weights = weights or {}
        pools, services = [], []
        kinds = (("smtp", 25), ("imap", 143), ("pop3", 110), ("http", 80))
        for kind, port in kinds:
            for family, vip, net in (("", VIP, "10.77.0."), ("6", VIP6, "fd77::")):
                probe = (probes or {}).get(kind, f'{{ type = "{kind}"; interval = "200ms"; timeout = "1s"; }}')
                rows = ",\n    ".join(
                    f'{{ name = "{b}"; address = "{net}{host_number(b)}"; weight = {weights.get(b, 100)}; }}'
                    for b in backends)
                pools.append(f'{{ name = "{kind}{family}"; port = {port}; probe = {probe};\n'
                             f'  backends = ( {rows} ); }}')
                services.append(f'{{ name = "{kind}{family}"; vip = "{vip}"; port = {port}; '
                                f'pool = "{kind}{family}"; }}')
        return f"""secret_file = "/etc/sluice/secret";
flow_limit = "64K";
slots = {self.slots};
user = "nobody";
nodes = ( {{ name = "lb1"; interfaces = [ "eth0" ]; }}, {{ name = "lb2"; interfaces = [ "eth0" ]; }} );
vrrp = (
  {{ name = "v4"; vrid = 51; interval = "{self.interval}"; priorities = {{ lb1 = 200; lb2 = 100; }};
    addresses = [ "{VIP}/24" ]; }},
  {{ name = "v6"; vrid = 51; interval = "{self.interval}"; priorities = {{ lb1 = 200; lb2 = 100; }};
    addresses = [ "fe80::51/64", "{VIP6}/64" ]; }} );
pools = ( {(", ").join(pools)} );
services = ( {(", ").join(services)}{extra_services} );
"""

    def config_write(self, text=None, nodes=None):
        for name in nodes or self.nodes:
            self.machines[name].write("/etc/sluice/sluice.conf", text or self.config())
            self.machines[name].write("/etc/sluice/secret", SECRET, mode="600")

    def sluice_start(self, *nodes):
        for name in nodes or self.nodes:
            self.daemons[name] = self.machines[name].spawn(SLUICED, log="sluiced")

    def sluice_stop(self, *nodes):
        for name in nodes or self.nodes:
            self.machines[name].kill("parent/sluiced$", "TERM")
            wait_until(lambda: not self.machines[name].pids("^sluiced|parent/sluiced"), 10,
                       f"sluiced of {name} stopped")

    def sluice(self, node, *command, check=True):
        return self.machines[node].run(SLUICE, *command, check=check)

    def show(self, node, what):
        import json
        done = self.machines[node].run(SLUICE, "show", what, "--json", check=False)
        return json.loads(done.stdout)[what] if done.returncode == 0 else []

    def state(self, node, pool, backend):
        for row in self.show(node, "backends"):
            if row["pool"] == pool and row["backend"] == backend:
                return row["state"]
        return None

    def states_wait(self, wanted, limit_s=20, node="lb1"):
        """@wanted: by pool, what its probes say of its backend (of which it has one)."""
        def differ():
            now = {row["pool"]: (row["health"], row["text"]) for row in self.show(node, "health")}
            return {pool: now.get(pool) for pool, state in wanted.items() if now.get(pool, ("",))[0] != state}
        try:
            wait_until(lambda: not differ(), limit_s, "states")
        except AssertionError as error:
            raise AssertionError(f"{error}: {differ()}") from error

    def out(self, node, pool, backend):
        """Not up, and nothing new is sent there."""
        up = [row["up"] for row in self.show(node, "pools") if row["pool"] == pool]
        return self.state(node, pool, backend) not in ("up", None) and up == [len(self.backends) - 1]

    def live(self, node, pool, backend):
        return sum(row["live"] for row in self.show(node, "backends")
                   if row["pool"] == pool and row["backend"] == backend)

    def roles(self, node):
        return {row["instance"]: row["role"] for row in self.show(node, "vrrp")}

    def active(self, node):
        roles = self.roles(node)
        return bool(roles) and all(role == "active" for role in roles.values())

    def ready(self, node="lb1", limit_s=30):
        """Wait until the node is active and every backend is up."""
        wait_until(lambda: self.active(node), limit_s, f"{node} is active")
        self.all_up(node, limit_s)

    def all_up(self, node, limit_s=30):
        """Every backend of the configuration takes connections."""
        wait_until(lambda: (rows := self.show(node, "pools")) and
                   all(row["up"] == row["total"] for row in rows), limit_s, f"all up at {node}")

    def up(self, **options):
        """Mail, the pair, and everything ready."""
        self.mail_start()
        self.config_write(self.config(**options))
        self.sluice_start()
        self.ready()
        for node in self.nodes[1:]:
            self.all_up(node)

    # ---- the end ----

    def sanitizer_reports(self):
        """What ASan, UBSan or LSan said of our processes; "" is what must be."""
        found = []
        for name in sorted(os.listdir(self.logs)):
            with open(os.path.join(self.logs, name), errors="replace") as f:
                lines = f.read().splitlines()
            for i, line in enumerate(lines):
                if "Sanitizer" in line or "runtime error:" in line:
                    found.append(f"{name}:\n" + "\n".join(lines[i:i + 25]))
                    break
        return "\n".join(found)

    def is_told(self, node, secret):
        """Where a secret is seen that should not be: command lines, environments, all that was logged."""
        seen = self.machines[node].run("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2> /dev/null | tr '\\0' '\\n'; true")
        texts = [("processes", seen)]
        for name in sorted(os.listdir(self.logs)):
            with open(os.path.join(self.logs, name), errors="replace") as f:
                texts.append((name, f.read()))
        return [name for name, text in texts if secret in text]

    def log_text(self):
        text = []
        for name in sorted(os.listdir(self.logs)):
            with open(os.path.join(self.logs, name), errors="replace") as f:
                lines = f.read().splitlines()[-60:]
            text.append(f"--- {name}\n" + "\n".join(lines))
        return "\n".join(text)

    def close(self):
        for machine in self.machines.values():
            machine.cut_power()
        for machine in self.machines.values():
            machine.close()
        for process in self.daemons.values():
            process.wait()
        shutil.rmtree(self.logs, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.close()
