# SPDX-License-Identifier: BSD-2-Clause
"""Connections to the VIPs reach real servers; everything that is not a service is left alone."""
import socket

from lab import clients, daemons
from lab.machine import wait_until
from lab.site import VIP, VIP6, Site

UDP_ECHO = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("%s", 53))
while True:
    data, who = s.recvfrom(2048)
    s.sendto(b"%s " + data, who)
"""


def site():
    lab = Site()
    lab.slots = 65537
    udp = (f', {{ name = "dns"; vip = "{VIP}"; protocol = "udp"; port = 53; pool = "dns"; }}')
    text = lab.config(extra_services=udp).replace(
        "pools = ( ", 'pools = ( { name = "dns"; port = 53; probe = "none"; backends = ('
        '{ name = "mx1"; address = "10.77.0.21"; }, { name = "mx2"; address = "10.77.0.22"; } ); }, ', 1)
    lab.mail_start()
    for name in ("mx1", "mx2"):
        machine = lab.machines[name]
        machine.write("/run/echo.py", UDP_ECHO % (VIP, name))
        lab.daemons[f"udp-{name}"] = machine.spawn("python3", "/run/echo.py", log="udp")
    lab.config_write(text)
    lab.sluice_start()
    lab.ready()
    return lab


def test_mail_through_the_vip_is_delivered_by_all_backends(lab):
    before = sum(daemons.mail_count(lab.machines[b]) for b in lab.backends)
    servers = {clients.send_mail(lab.client, host) for host in (VIP, VIP6) for _ in range(15)}
    assert servers == {"mx1", "mx2", "mx3"}, servers
    wait_until(lambda: sum(daemons.mail_count(lab.machines[b]) for b in lab.backends) == before + 30,
               10, "30 mails are in the mailboxes")


def test_imap_pop3_and_http_work_over_both_families(lab):
    for host in (VIP, VIP6):
        imap = clients.imap_open(lab.client, host)
        assert clients.imap_works(imap)
        imap.logout()
        assert clients.pop3_server(lab.client, host) in lab.backends
        assert set(clients.http_servers(lab.client, host, 60)) == set(lab.backends)


def test_big_transfer_arrives_whole(lab):
    for backend in lab.backends:
        lab.machines[backend].run("mkdir -p /var/www-big && yes sluice | head -c 100000000 > /var/www-big/f")
    digest = lab.client.run(f"python3 -c \"import urllib.request,hashlib;"
                            f"print(hashlib.sha256(urllib.request.urlopen('http://{VIP}/big/f').read()).hexdigest())\"")
    assert digest == lab.mx1.run("sha256sum < /var/www-big/f").replace("  -", ""), digest


def test_udp_service_is_spread(lab):
    names = set()
    for _ in range(40):
        with lab.client.network(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(3)
            s.sendto(b"hello", (VIP, 53))
            names.add(s.recv(100).split()[0])
    assert names == {b"mx1", b"mx2"}, names


def test_what_is_no_service_passes_untouched(lab):
    lab.client.run(f"ping -c 3 -i 0.05 -W 2 {VIP}")
    lab.client.run(f"ping -c 3 -i 0.05 -W 2 {VIP6}")
    lab.client.run("ping -c 3 -i 0.05 -W 2 10.77.0.2")
    node = lab.lb1.spawn("python3", "-c",
                         "import socket\ns=socket.create_server(('10.77.0.2',2222))\n"
                         "c,_=s.accept()\nc.sendall(b'node')\nc.close()", log="ssh")
    wait_until(lambda: daemons.listens(lab.lb1, 2222), 5, "the node listens")
    with lab.client.network(), socket.create_connection(("10.77.0.2", 2222), 3) as s:
        assert s.recv(10) == b"node"
    node.wait(20)


def test_counters_tell_what_was_done(lab):
    before = {r["counter"]: r["value"] for r in lab.show("lb1", "counters")}
    flows = sum(r["flows"] for r in lab.show("lb1", "services") if r["service"] == "http")
    clients.http_servers(lab.client, VIP, 20)
    after = {r["counter"]: r["value"] for r in lab.show("lb1", "counters")}
    assert after["forwarded"] >= before["forwarded"] + 20 * 4, (before, after)
    assert sum(r["flows"] for r in lab.show("lb1", "services") if r["service"] == "http") == flows + 20
    assert after["drop_internal"] == 0 and after["drop_bad_header"] == 0


def test_native_xdp_is_used(lab):
    rows = {r["key"]: r["value"] for r in lab.show("lb1", "config")}
    assert "native" in rows["interface"], rows
