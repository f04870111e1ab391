# SPDX-License-Identifier: BSD-2-Clause
"""Sites of the modes that translate.

nat: the node is the backends' gateway, in a network of their own.

    client ── router ── switch ── lb1 ── back ── mx1, mx2

fullnat: everything as in Site, but that the VIPs are not on the backends.
"""
from .machine import wait_until
from .site import VIP, VIP6, Site, host_number

FORWARDING = ("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 "
              "net.ipv4.conf.all.accept_local=1")

# Without sluice's own probes in it, each daemon also listens at the next port but one.
PROXY_DOVECOT = """haproxy_trusted_networks = 10.0.0.0/8 fd00::/8
service imap-login {
  inet_listener imap {
    port = 143
    haproxy = yes
  }
  inet_listener imap-plain {
    port = 1143
  }
}
service pop3-login {
  inet_listener pop3 {
    port = 110
    haproxy = yes
  }
  inet_listener pop3-plain {
    port = 1110
  }
}
"""


class TranslatingSite(Site):
    mode, net, net6, options = "", "10.77.0.", "fd77::", ""
    kinds = (("smtp", 25, 25), ("imap", 143, 143), ("pop3", 110, 110), ("http", 80, 8080))
    probe_port = {}

    def vip_on_lo(self, machine):
        """They are not there."""

    def pool(self, kind, port, family):
        net = self.net6 if family else self.net
        rows = ", ".join(f'{{ name = "{b}"; address = "{net}{host_number(b)}"; }}' for b in self.backends)
        at = f" port = {self.probe_port[kind]};" if kind in self.probe_port else ""
        return (f'{{ name = "{kind}{family}"; port = {port}; mode = "{self.mode}"; {self.options} '
                f'probe = {{ type = "{kind}";{at} interval = "300ms"; timeout = "2s"; }}; '
                f'backends = ( {rows} ); }}')

    def config(self, **unused):
        pools, services = [], []
        for kind, port, backend_port in self.kinds:
            for family, vip in (("", VIP), ("6", VIP6)):
                pools.append(self.pool(kind, backend_port, family))
                services.append(f'{{ name = "{kind}{family}"; vip = "{vip}"; port = {port}; '
                                f'pool = "{kind}{family}"; }}')
        text = super().config(backends=["mx1"])
        return text[:text.index("pools = (")] + (f'pools = ( {", ".join(pools + self.more_pools())} );\n'
                                                 f'services = ( {", ".join(services + self.more_services())} );\n')

    def more_pools(self):
        return []

    def more_services(self):
        return []

    def nginx_change(self, listen, name):
        """Listen so; answer with the name, and with the client's address as @name has it."""
        for backend in self.backends:
            machine = self.machines[backend]
            machine.run(f"sed -i 's/listen 80; .*/{listen}/; s/return 200 .*/return 200 \"{backend} {name}\\\\n\"; }}/' "
                        "/etc/nginx/nginx.conf && nginx -s reload")

    def counter(self, name):
        return {row["counter"]: row["value"] for row in self.show("lb1", "counters")}[name]


class NatSite(TranslatingSite):
    mode, net, net6 = "nat", "10.79.0.", "fd79::"

    def _build(self, nodes, backends):
        super()._build(nodes, [])
        self.backends = backends
        for name in ("back", *backends):
            self.machine(name)
        self.back.run("ip link add br0 type bridge forward_delay 0 mcast_snooping 0 && ip link set br0 up; "
                      "sysctl -qw net.bridge.bridge-nf-call-iptables=0 2>/dev/null || true")
        for name in ("lb1", *backends):
            self.cable(self.machines[name], "eth1" if name == "lb1" else "eth0", self.back, f"p-{name}")
            self.back.run(f"ip link set p-{name} master br0")
        from .site import BUILD
        self.back.run(f"ip link set dev p-lb1 xdpdrv obj {BUILD}/bpf/pass.bpf.o sec xdp")
        self.lb1.run("ip addr add 10.79.0.1/24 dev eth1 && ip -6 addr add fd79::1/64 dev eth1 nodad && " + FORWARDING)
        for name in backends:
            n = host_number(name)
            self.machines[name].run(
                f"ip addr add 10.79.0.{n}/24 dev eth0 && ip -6 addr add fd79::{n}/64 dev eth0 nodad && "
                "ip route add default via 10.79.0.1 && ip -6 route add default via fd79::1")

    def config(self, **unused):
        return super().config().replace('name = "lb1"; interfaces = [ "eth0" ]',
                                        'name = "lb1"; interfaces = [ "eth0", "eth1" ]')


class FullnatSite(TranslatingSite):
    mode = "fullnat"

    def _build(self, nodes, backends):
        super()._build(nodes, backends)
        for name in nodes:
            self.machines[name].run(FORWARDING)


class ProxySite(FullnatSite):
    options = 'proxy = "v2";'
    kinds = (("smtp", 25, 25), ("imap", 143, 143), ("pop3", 110, 110), ("http", 80, 80))
    probe_port = {"smtp": 2525, "imap": 1143, "pop3": 1110, "http": 8080}

    def mail_start(self, names=None):
        super().mail_start(names)
        for name in names or self.backends:
            machine = self.machines[name]
            machine.run("cat >> /etc/dovecot/dovecot.conf", text=PROXY_DOVECOT)
            machine.run("sed -i 's/^protocols = .*/protocols = imap pop3/' /etc/dovecot/dovecot.conf && doveadm reload")
            machine.run("echo '2525 inet n - n - - smtpd -o smtpd_upstream_proxy_protocol=' >> /etc/postfix/master.cf && "
                        "postconf -e smtpd_upstream_proxy_protocol=haproxy && postfix reload")
            wait_until(lambda: all(f":{port} " in machine.run("ss", "-ltn") for port in (2525, 1143, 1110)),
                       15, f"{name} listens for probes")
        self.nginx_change("listen 80 proxy_protocol; listen [::]:80 proxy_protocol; listen 8080; listen [::]:8080;",
                          "$proxy_protocol_addr")
