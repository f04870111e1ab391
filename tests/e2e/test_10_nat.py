# SPDX-License-Identifier: BSD-2-Clause
"""Mode nat: the node is the backends' gateway; real daemons, both families, another port behind."""
import functools
import hashlib
import socket
import urllib.request

from lab import clients
from lab.machine import wait_until
from lab.nat import NatSite
from lab.site import CLIENT, CLIENT6, VIP, VIP6

MEGABYTES = 100
LOSS = """table inet loss {
  chain in { type filter hook ingress device "%s" priority 0; numgen random mod 100 < 2 drop; }
}
"""
ECHO = """
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
s.bind(("::", 5300))
while True:
    data, who = s.recvfrom(20000)
    s.sendto(who[0].encode() + b" " + data, who)
"""


class Site(NatSite):
    def more_pools(self):
        return [f'{{ name = "dns{f}"; port = 5300; mode = "nat"; probe = "none"; backends = '
                f'( {{ name = "mx1"; address = "{self.net6 if f else self.net}21"; }} ); }}' for f in ("", "6")]

    def more_services(self):
        return [f'{{ name = "dns{f}"; vip = "{vip}"; protocol = "udp"; port = 53; pool = "dns{f}"; }}'
                for f, vip in (("", VIP), ("6", VIP6))]


def site():
    lab = Site(backends=2, nodes=("lb1",))
    lab.mail_start()
    lab.nginx_change("listen 8080; listen [::]:8080;", "$remote_addr")
    lab.mx1.write("/run/echo.py", ECHO)
    lab.daemons["echo"] = lab.mx1.spawn("python3", "/run/echo.py", log="echo")
    lab.config_write(lab.config())
    lab.sluice_start()
    lab.ready()
    return lab


def test_every_daemon_answers_over_both_families(lab):
    for host in (VIP, VIP6):
        assert {clients.send_mail(lab.client, host) for _ in range(15)} == set(lab.backends)
        assert {clients.pop3_server(lab.client, host) for _ in range(15)} == set(lab.backends)
        imap = clients.imap_open(lab.client, host)
        assert clients.imap_works(imap)
        imap.logout()
    assert lab.counter("returned") > 0 and lab.counter("drop_internal") == 0


def test_backend_sees_the_clients_address_at_its_own_port(lab):
    for host, client in ((VIP, CLIENT), (VIP6, CLIENT6)):
        answers = {clients.http_get(lab.client, host) for _ in range(15)}
        assert answers == {f"{b} {client}" for b in lab.backends}, answers


def test_udp_reaches_the_backend_and_comes_back(lab):
    for family, host, client in ((socket.AF_INET, VIP, "::ffff:" + CLIENT), (socket.AF_INET6, VIP6, CLIENT6)):
        for size in (5, 5000):  # the second one in fragments, both ways
            with lab.client.network(), socket.socket(family, socket.SOCK_DGRAM) as s:
                s.settimeout(5)
                s.connect((host, 53))
                s.send(b"x" * size)
                assert s.recv(20000) == client.encode() + b" " + b"x" * size


def big_file(lab):
    for name in lab.backends:
        lab.machines[name].run(
            f"mkdir -p /var/www-big && test -f /var/www-big/f || seq 1 99999999 | head -c {MEGABYTES << 20} > /var/www-big/f")
    return lab.mx1.run("sha256sum < /var/www-big/f").split()[0]


def download(lab, host):
    name = f"[{host}]" if ":" in host else host
    digest = hashlib.sha256()
    with lab.client.network(), urllib.request.urlopen(f"http://{name}/big/f", timeout=60) as page:
        while block := page.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@functools.cache
def message_of(megabytes):
    return b"Subject: big\r\n\r\n" + b"".join(
        hashlib.sha256(b"%d" % i).hexdigest().encode() + b"\r\n" for i in range(megabytes * (1 << 20) // 66))


def upload(lab, host, megabytes=MEGABYTES):
    """By APPEND, and back by FETCH."""
    message = message_of(megabytes)
    imap = clients.imap_open(lab.client, host, timeout=60)
    ok, why = imap.append("INBOX", None, None, message)
    assert ok == "OK", why
    assert imap.select("INBOX")[0] == "OK"
    found = imap.search(None, "SUBJECT", "big")[1][0].split()
    ok, got = imap.fetch(found[-1], "(BODY.PEEK[])")
    assert ok == "OK" and got[0][1] == message, len(got[0][1])
    imap.store(found[-1], "+FLAGS", "\\Deleted")
    imap.expunge()
    imap.logout()


def test_100_mb_arrive_whole_in_either_direction(lab):
    digest = big_file(lab)
    for host in (VIP, VIP6):
        assert download(lab, host) == digest
        upload(lab, host)


def lossy(lab, on):
    for machine in (lab.client, *(lab.machines[b] for b in lab.backends)):
        machine.run("nft -f -" if on else "nft delete table inet loss", text=LOSS % "eth0" if on else None)


def test_transfers_survive_loss_on_both_sides(lab):
    lossy(lab, True)
    try:
        for host in (VIP, VIP6):
            upload(lab, host, 5)
    finally:
        lossy(lab, False)


def test_path_mtu_of_a_client_reaches_the_backend(lab):
    """The router says that it does not fit: the node brings that to the backend."""
    digest = big_file(lab)
    lab.router.run("ip link set clients mtu 1300")
    try:
        for host in (VIP, VIP6):
            assert download(lab, host) == digest
    finally:
        lab.router.run("ip link set clients mtu 1500")


def test_unresolved_next_hop_loses_nothing(lab):
    """The kernel resolves it, with the translated packet."""
    lab.lb1.run("ip neigh flush dev eth0; ip -6 neigh flush dev eth0")
    for host in (VIP, VIP6):
        assert clients.http_get(lab.client, host, timeout=3).startswith("mx")


def test_killed_balancer_process_cuts_nothing(lab):
    """Also what jumps to the second program is still there."""
    imap = clients.imap_open(lab.client, VIP)
    lab.lb1.kill("--child lb", "KILL")
    assert clients.imap_works(imap)
    assert clients.http_get(lab.client, VIP).startswith("mx")
    wait_until(lambda: lab.show("lb1", "pools"), 20, "lb is back")
    lab.all_up("lb1")
    assert clients.imap_works(imap)
    imap.logout()
