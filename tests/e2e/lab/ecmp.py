# SPDX-License-Identifier: BSD-2-Clause
"""Three nodes side by side: the router spreads over all that announce the VIPs, by BGP and BFD. Nobody speaks
VRRP. The daemons' configurations are the examples of etc/, with the lab's addresses."""
import os
import re

from .crowd import PORT, echo_start
from .machine import wait_until
from .site import ROOT, VIP, VIP6, Site, host_number

HASH = "sysctl -qw net.ipv4.fib_multipath_hash_policy=1 net.ipv6.fib_multipath_hash_policy=1"
BFD = (("multiplier 3", "multiplier 20"),)  # a busy machine of the lab is not a dead one


def example(path, replaced):
    """A file of etc/ with other addresses; each word must be in it."""
    with open(os.path.join(ROOT, "etc", path)) as f:
        text = f.read()
    for word, other in replaced:
        assert word in text, f"{path} has no {word}"
        text = text.replace(word, other)
    return text


class EcmpSite(Site):
    """`echo` at every backend; mode dsr."""

    def __init__(self, backends=3):
        super().__init__(backends=backends, nodes=("lb1", "lb2", "lb3"))
        self.router.run(HASH)
        for name in self.backends:
            echo_start(self.machines[name], VIP)
        self.config_write()
        self.bird_start("router")

    def config(self, backends=None, more="", **unused):
        pools, services = [], []
        for family, vip, net in (("", VIP, "10.77.0."), ("6", VIP6, "fd77::")):
            rows = ", ".join(f'{{ name = "{b}"; address = "{net}{host_number(b)}"; }}'
                             for b in backends or self.backends)
            pools.append(f'{{ name = "echo{family}"; port = {PORT}; probe = {{ type = "tcp"; interval = "200ms"; '
                         f'timeout = "1s"; flap_limit = 0; }}; backends = ( {rows} ); }}')
            services.append(f'{{ name = "echo{family}"; vip = "{vip}"; port = {PORT}; pool = "echo{family}"; }}')
        nodes = ", ".join(f'{{ name = "{n}"; interfaces = [ "eth0" ]; }}' for n in self.nodes)
        return (f'secret_file = "/etc/sluice/secret";\nflow_limit = "64K";\nuser = "nobody";\nnodes = ( {nodes} );\n'
                f'pools = ( {", ".join(pools)} );\nservices = ( {", ".join(services)} );\n'
                f'announce = "kernel";\n{more}')

    # ---- routing daemons ----

    def bird_start(self, name):
        if name == "router":
            text = example("bird/router.conf", (
                ("192.0.2.", "10.77.0."), ("2001:db8:10::/64{", "fd77::10/128{"), ("2001:db8::", "fd77::"),
                ("198.51.100.0/24{", f"{VIP}/32{{"), *BFD))
        else:
            n = host_number(name)
            text = example("bird/node.conf", (
                ("192.0.2.2", f"10.77.0.{n}"), ("192.0.2.1", "10.77.0.1"), ("2001:db8::2", f"fd77::{n}"),
                ("2001:db8::1", "fd77::1"), *BFD))
        self.machines[name].write("/etc/bird.conf", text)
        self.machines[name].spawn("bird", "-f", "-c", "/etc/bird.conf", "-s", "/run/bird.ctl", log="bird")

    def bird_stop(self, name):
        self.machines[name].kill("^bird ", "TERM")
        wait_until(lambda: not self.machines[name].pids("^bird "), 10, f"BIRD of {name} stopped")

    def frr_start(self, name):
        machine = self.machines[name]
        machine.write("/run/frr.conf", example("frr/frr.conf", (
            ("192.0.2.2", f"10.77.0.{host_number(name)}"), ("192.0.2.1", "10.77.0.1"),
            ("198.51.100.0/24 ge 32", f"{VIP}/32"), *BFD)))
        machine.run("install -d -o frr -g frr /run/frr && mkdir -p /etc/frr && touch /etc/frr/vtysh.conf")
        for daemon in ("zebra", "bgpd", "bfdd"):
            machine.spawn(f"/usr/lib/frr/{daemon}", "-f", "/dev/null", "--log", "stdout", log=daemon)
            if daemon == "zebra":  # the others look for it every 10 s
                wait_until(lambda: "zserv" in machine.run("ls /run/frr"), 15, "zebra listens")
        wait_until(lambda: machine.run("vtysh -c 'show daemons'", check=False).stdout.split() ==
                   ["zebra", "bgpd", "bfdd"], 15, f"FRR of {name} runs")
        return machine.run("vtysh", "-f", "/run/frr.conf", check=False)

    def frr_stop(self, name):
        self.machines[name].kill("^/usr/lib/frr/", "TERM")
        wait_until(lambda: not self.machines[name].pids("^/usr/lib/frr/"), 10, f"FRR of {name} stopped")

    # ---- who announces, and to whom the router sends ----

    def hops(self, ipv6=False):
        """The nodes that the router sends the VIP's packets to."""
        text = self.router.run("ip", "-6" if ipv6 else "-4", "route", "show", VIP6 if ipv6 else VIP)
        found = re.findall(r"via fd77::(\w+)" if ipv6 else r"via 10\.77\.0\.(\d+)", text)
        return sorted(name for name in self.nodes if str(host_number(name)) in found)

    def hops_wait(self, *nodes, limit_s=20, families=(False, True)):
        wait_until(lambda: all(self.hops(f) == sorted(nodes) for f in families), limit_s,
                   f"the router sends to {', '.join(nodes) or 'nobody'}")

    def routes(self, node):
        """What the kernel of the node has for its routing daemon."""
        run = self.machines[node].run
        found = (run("ip -4 route show table 205 2> /dev/null || true") +
                 run("ip -6 route show table 205 2> /dev/null || true"))
        return sorted(line.split()[1] for line in found.splitlines() if " proto 205 " in line + " ")

    def node_start(self, name):
        self.sluice_start(name)
        wait_until(lambda: self.routes(name) == [VIP, VIP6], 30, f"{name} announces")
        self.all_up(name)

    def packets(self, node):
        return sum(row["packets"] for row in self.show(node, "services"))
