# SPDX-License-Identifier: BSD-2-Clause
"""Mode tunnel: backends in another subnet, behind a router, with sluice-decap; every combination of
families, IPIP and GUE, each with a real daemon behind it; all links have an MTU of 1500."""
import hashlib
import os
import smtplib
import socket
import time
import urllib.request

from lab import clients, daemons
from lab.machine import wait_until
from lab.site import BUILD, VIP, VIP6, Site, host_number
from test_10_nat import message_of

DECAP = os.path.join(BUILD, "decap", "sluice-decap")
GUE = 'tunnel = { type = "gue"; sources = [ "10.9.0.0/16", "fd09::/64" ]; };'
# pool, port, VIP, network of the backends, tunnel, overhead
POOLS = (("smtp", 25, VIP, "10.79.0.", "", 20),        # 4 in 4
         ("smtp6", 25, VIP6, "fd79::", "", 40),        # 6 in 6
         ("http", 80, VIP, "fd79::", "", 40),          # 4 in 6
         ("http6", 80, VIP6, "10.79.0.", "", 20),      # 6 in 4
         ("imap", 143, VIP, "10.79.0.", GUE, 32),      # the same, in GUE
         ("imap6", 143, VIP6, "fd79::", GUE, 52),
         ("pop3", 110, VIP, "fd79::", GUE, 52),
         ("pop36", 110, VIP6, "10.79.0.", GUE, 32))
MEGABYTES = 100


class RoutedSite(Site):
    """client ── router ──┬── switch ── lb1, lb2
                          └── far ──── mx1, mx2"""

    def _build(self, nodes, backends):
        super()._build(nodes, [])
        self.backends = backends
        self.machine("far").run("ip link add br0 type bridge forward_delay 0 mcast_snooping 0 && "
                                "ip link set br0 up; "
                                "sysctl -qw net.bridge.bridge-nf-call-iptables=0 2>/dev/null || true")
        for name in ("router", *backends):
            machine = self.router if name == "router" else self.machine(name)
            self.cable(machine, "far" if name == "router" else "eth0", self.far, f"p-{name}")
            self.far.run(f"ip link set p-{name} master br0")
        # outer sources are routed as the nodes' addresses are
        self.router.run("ip addr add 10.79.0.1/24 dev far && ip -6 addr add fd79::1/64 dev far nodad && "
                        "ip route add 10.9.0.0/16 via 10.77.0.2 && ip -6 route add fd09::/64 via fd77::2")
        for name in backends:
            machine, n = self.machines[name], host_number(name)
            machine.run(f"ip addr add 10.79.0.{n}/24 dev eth0 && ip -6 addr add fd79::{n}/64 dev eth0 nodad && "
                        "ip route add default via 10.79.0.1 && ip -6 route add default via fd79::1 && "
                        "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0")
            self.vip_on_lo(machine)
            machine.run(DECAP, "attach", "-f", "10.9.0.0/16", "-f", "fd09::/64", "-f", "10.77.0.0/24",
                        "-f", "fd77::/64", "-p", "6080", "eth0")

    def config(self, **unused):
        pools, services = [], []
        for name, port, vip, net, tunnel, _ in POOLS:
            kind = name.rstrip("6")
            rows = ", ".join(f'{{ name = "{b}"; address = "{net}{host_number(b)}"; }}' for b in self.backends)
            pools.append(f'{{ name = "{name}"; port = {port}; mode = "tunnel"; {tunnel} probe = '
                         f'{{ type = "{kind}"; interval = "300ms"; timeout = "2s"; }}; backends = ( {rows} ); }}')
            services.append(f'{{ name = "{name}"; vip = "{vip}"; port = {port}; pool = "{name}"; }}')
        text = super().config(backends=["mx1"])
        return text[:text.index("pools = (")] + (f'no_service = "reject";\npools = ( {", ".join(pools)} );\n'
                                                 f'services = ( {", ".join(services)} );\n')


def site():
    lab = RoutedSite(backends=2)
    lab.up()
    return lab


def counter(lab, name):
    return {row["counter"]: row["value"] for row in lab.show("lb1", "counters")}[name]


def taken(lab):
    total = 0
    for name in lab.backends:
        rows = dict(line.split() for line in lab.machines[name].run(DECAP, "show", "eth0").splitlines())
        assert rows["drop_bad"] == rows["drop_source"] == rows["pass_fragment"] == "0", rows
        total += int(rows["taken"])
    return total


def test_every_daemon_answers_through_every_kind_of_tunnel(lab):
    before = taken(lab)
    for host in (VIP, VIP6):
        assert {clients.send_mail(lab.client, host) for _ in range(15)} == set(lab.backends)
        assert set(clients.http_servers(lab.client, host, 60)) == set(lab.backends)
        assert {clients.pop3_server(lab.client, host) for _ in range(15)} == set(lab.backends)
        for _ in range(5):
            imap = clients.imap_open(lab.client, host)
            assert clients.imap_works(imap)
            imap.logout()
    assert taken(lab) > before + 2 * 50 * 4
    assert counter(lab, "drop_internal") == 0


def test_client_learns_what_fits(lab):
    """The first big packet of a connection does not fit; the node says so, and the rest is smaller."""
    for name, port, vip, _, _, overhead in POOLS:
        lab.client.run("ip route flush cache; ip -6 route flush cache")
        before = counter(lab, "reply_too_big")
        with lab.client.network(), socket.create_connection((vip, port), 5) as s:
            s.sendall(b"x" * 3000)
            wait_until(lambda: f"mtu {1500 - overhead}" in lab.client.run(f"ip route get {vip}"), 10,
                       f"the client knows the MTU of {name}'s tunnel")
        assert counter(lab, "reply_too_big") > before, name


def test_upload_and_download_of_100_mb_arrive_whole(lab):
    """Up by APPEND and down by FETCH, through Dovecot: what the client sends travels in the tunnel."""
    message = message_of(MEGABYTES)
    for host in (VIP, VIP6):
        imap = clients.imap_open(lab.client, host, timeout=60)
        ok, why = imap.append("INBOX", None, None, message)
        assert ok == "OK", why
        assert imap.select("INBOX")[0] == "OK"
        found = imap.search(None, "SUBJECT", "big")[1][0].split()
        ok, got = imap.fetch(found[-1], "(BODY.PEEK[])")
        assert ok == "OK" and hashlib.sha256(got[0][1]).digest() == hashlib.sha256(message).digest(), len(got[0][1])
        imap.store(found[-1], "+FLAGS", "\\Deleted")
        imap.expunge()
        imap.logout()


def mail_of_1_mb(lab, host, timeout):
    with lab.client.network(), smtplib.SMTP(timeout=timeout) as smtp:
        smtp.connect(host, 25)
        smtp.sendmail(f"bob@{daemons.DOMAIN}", [f"{daemons.USER}@{daemons.DOMAIN}"],
                      "Subject: one\r\n\r\n" + ("x" * 70 + "\r\n") * 14000)


def test_advmss_of_the_backends_helps_clients_that_hear_no_icmp(lab):
    """As etc/backend/README says. The router lets no ICMP from the VIPs through."""
    deaf = (f"ip rule %s from {VIP} ipproto icmp pref 10 blackhole; "
            f"ip -6 rule %s from {VIP6} ipproto ipv6-icmp pref 10 blackhole")
    advmss = ("ip route change default via 10.79.0.1 %s; ip -6 route change default via fd79::1 %s")
    lab.client.run("ip route flush cache; ip -6 route flush cache")
    lab.router.run(deaf % ("add", "add"))
    try:
        for host in (VIP, VIP6):
            try:
                mail_of_1_mb(lab, host, 3)
                raise AssertionError(f"it went through to {host}: what does this test prove?")
            except (OSError, smtplib.SMTPException):
                pass
        for name in lab.backends:
            lab.machines[name].run(advmss % ("advmss 1440", "advmss 1400"))
        for host in (VIP, VIP6):
            mail_of_1_mb(lab, host, 20)
    finally:
        for name in lab.backends:
            lab.machines[name].run(advmss % ("", ""))
        lab.router.run(deaf % ("del", "del"))


def test_mail_of_8_mb_arrives_whole(lab):
    body = "\r\n".join(hashlib.sha256(b"%d" % i).hexdigest() for i in range(8 * (1 << 20) // 66))
    for n, host in enumerate((VIP, VIP6)):
        with lab.client.network(), smtplib.SMTP(timeout=60) as smtp:
            smtp.connect(host, 25)
            smtp.sendmail(f"bob@{daemons.DOMAIN}", [f"{daemons.USER}@{daemons.DOMAIN}"],
                          f"Subject: eight{n}\r\n\r\n{body}\r\n")
        digest = hashlib.sha256(body.encode().replace(b"\r\n", b"\n") + b"\n").hexdigest()
        find = (f"for f in $(grep -l '^Subject: eight{n}' {daemons.MAILDIR}/new/* {daemons.MAILDIR}/cur/* 2>/dev/null); "
                "do sed '1,/^$/d' $f | sha256sum; done")
        wait_until(lambda: any(digest in lab.machines[b].run(find) for b in lab.backends), 30,
                   "the mail is in a mailbox, as it was sent")


def test_big_page_arrives_whole(lab):
    for backend in lab.backends:
        lab.machines[backend].run(
            f"mkdir -p /var/www-big && openssl enc -aes-128-ctr -K 00 -iv 00 -in /dev/zero 2>/dev/null | "
            f"head -c {MEGABYTES << 20} > /var/www-big/f")
    digest = lab.mx1.run("sha256sum < /var/www-big/f").split()[0]
    for host in (VIP, f"[{VIP6}]"):
        with lab.client.network():
            body = urllib.request.urlopen(f"http://{host}/big/f", timeout=60).read()
        assert len(body) == MEGABYTES << 20 and hashlib.sha256(body).hexdigest() == digest, len(body)


def test_outer_sources_are_spread(lab):
    """As the router sees it: the outer source and GUE's source port are others for each connection."""
    with lab.router.network():
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    tap.bind(("servers", 0x0800))
    tap.settimeout(0.2)
    sessions = [clients.imap_open(lab.client, VIP) for _ in range(8)]
    sources, ports = set(), set()
    end = time.monotonic() + 10
    while time.monotonic() < end and len(sources) < 7:
        for imap in sessions:
            imap.noop()
        for _ in range(50):
            try:
                frame = tap.recv(2048)
            except TimeoutError:
                break
            if frame[23] == 17 and frame[36:38] == (6080).to_bytes(2, "big"):
                sources.add(socket.inet_ntoa(frame[26:30]))
                ports.add(frame[34:36])
    tap.close()
    for imap in sessions:
        imap.logout()
    assert len(sources) >= 7 and all(s.startswith("10.9.") for s in sources), sources
    assert len(ports) >= 7, ports


def test_what_nobody_serves_is_refused_at_once(lab):
    for host, family in ((VIP, socket.AF_INET), (VIP6, socket.AF_INET6)):
        with lab.client.network():
            tcp = socket.socket(family, socket.SOCK_STREAM)
            udp = socket.socket(family, socket.SOCK_DGRAM)
        tcp.settimeout(5)
        try:
            tcp.connect((host, 9999))
            raise AssertionError("connected to nobody")
        except ConnectionRefusedError:
            pass
        udp.settimeout(5)
        udp.connect((host, 9999))
        udp.send(b"hello")
        try:
            udp.recv(10)
            raise AssertionError("an answer from nobody")
        except ConnectionRefusedError:
            pass
        tcp.close()
        udp.close()
    assert counter(lab, "reply_reset") >= 2 and counter(lab, "reply_unreachable") >= 2


def test_restarted_lb_finds_the_tunnels_as_they_are(lab):
    imap = clients.imap_open(lab.client, VIP)
    before = lab.lb1.pids("--child lb")
    lab.lb1.kill("--child lb", "KILL")
    wait_until(lambda: (now := lab.lb1.pids("--child lb")) and now != before, 10, "another lb runs")
    wait_until(lambda: lab.show("lb1", "pools"), 20, "it answers")
    lab.all_up("lb1")
    assert "nothing would change" in lab.sluice("lb1", "plan")
    assert clients.imap_works(imap)
    imap.logout()
    assert clients.http_get(lab.client, VIP) in lab.backends


def test_probes_go_through_every_kind_of_tunnel(lab):
    for node in lab.nodes:
        for name, _, vip, _, _, _ in POOLS:
            done = lab.sluice(node, "probe", f"{name}/mx1", "-v")
            assert f"via {vip} " in done and "passed" in done, (node, name, done)


def mark(vip, port):
    """As base/config_services.c has it."""
    packed = socket.inet_pton(socket.AF_INET6, vip if ":" in vip else f"::ffff:{vip}")
    value = 2166136261
    for byte in (*packed, port & 0xff, port >> 8, 0):
        value = ((value ^ byte) * 16777619) & 0xffffffff
    return 0x80000000 | (value ^ value >> 16)


def test_long_question_of_a_probe_comes_in_segments_that_fit(lab):
    """The kernel hands over many segments at once; they are cut after they were put into the tunnel.
    nginx answers a request with a header of 7 KB; Dovecot takes a message of 100 KB."""
    socket_mark = 36
    for name, port, vip, net, tunnel, overhead in POOLS:
        if port not in (80, 143):
            continue
        key = " ".join(f"{byte:#x}" for byte in mark(vip, port).to_bytes(4, "little"))
        lab.lb1.run(f"bpftool map lookup pinned /sys/fs/bpf/sluice/v*/probe_vips key {key}")  # it is that
        with lab.lb1.network():
            s = socket.socket(socket.AF_INET6 if ":" in net else socket.AF_INET)
        s.settimeout(10)
        s.setsockopt(socket.SOL_SOCKET, socket_mark, mark(vip, port) - (1 << 32))
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1500 - overhead - (60 if ":" in vip else 40))
        s.connect((f"{net}21", port))
        if port == 80:
            s.sendall(b"GET / HTTP/1.0\r\nX-Long: " + b"x" * 7000 + b"\r\n\r\n")
            assert s.recv(1000).startswith(b"HTTP/1.1 200"), name
        else:
            stream = s.makefile("rwb")
            stream.readline()
            stream.write(b"a LOGIN " + f"{daemons.USER} {daemons.PASSWORD}".encode() + b"\r\n")
            stream.flush()
            assert stream.readline().startswith(b"a OK"), name
            stream.write(b"b APPEND INBOX {100000+}\r\n" + b"y" * 100000 + b"\r\n")
            stream.flush()
            assert stream.readline().startswith(b"b OK"), name
        s.close()


def test_backend_without_a_decapsulator_is_down_on_both_nodes_and_comes_back(lab):
    """Its own address answers well all the time."""
    lab.mx2.run(DECAP, "detach", "eth0")
    try:
        for node in lab.nodes:
            for name, _, _, _, _, _ in POOLS:
                wait_until(lambda: lab.state(node, name, "mx2") == "down", 20, f"{name} is down at {node}")
            status = lab.sluice(node, "status", check=False).stdout
            assert all(f"pool {name} is down: no connection in 2000 ms via {vip};" in status
                       for name, _, vip, _, _, _ in POOLS), status
            assert {lab.state(node, name, "mx1") for name, *_ in POOLS} == {"up"}
        assert set(clients.http_servers(lab.client, VIP, 10)) == {"mx1"}
    finally:
        lab.mx2.run(DECAP, "attach", "-p", "6080", "eth0")
    for node in lab.nodes:
        lab.all_up(node)


def test_detached_backend_takes_no_more_tunnels(lab):
    """sluice-decap off and on again: it is the only way in."""
    for name in lab.backends:
        lab.machines[name].run(DECAP, "detach", "eth0")
    try:
        try:
            clients.http_get(lab.client, VIP, timeout=1)
            raise AssertionError("answered without a way in")
        except OSError:
            pass
    finally:
        for name in lab.backends:
            lab.machines[name].run(DECAP, "attach", "-p", "6080", "eth0")
    assert clients.http_get(lab.client, VIP) in lab.backends
