# SPDX-License-Identifier: BSD-2-Clause
"""Mode fullnat, with the PROXY v2 header: what Postfix, Dovecot and nginx log is the client's address."""
import http.client
import imaplib
import threading

from lab import clients
from lab.machine import wait_until
from lab.nat import ProxySite
from lab.site import CLIENT, CLIENT6, VIP, VIP6
from test_10_nat import big_file, download, lossy, upload


def site():
    lab = ProxySite(backends=2)
    lab.up()
    return lab


def test_every_daemon_takes_the_header_over_both_families(lab):
    for host in (VIP, VIP6):
        assert {clients.send_mail(lab.client, host) for _ in range(15)} == set(lab.backends)
        assert {clients.pop3_server(lab.client, host) for _ in range(15)} == set(lab.backends)
        imap = clients.imap_open(lab.client, host)
        assert clients.imap_works(imap)
        imap.logout()
    assert lab.counter("drop_internal") == 0


def test_daemons_know_the_clients_address(lab):
    for host, client in ((VIP, CLIENT), (VIP6, CLIENT6)):
        answers = {clients.http_get(lab.client, host) for _ in range(15)}
        assert answers == {f"{b} {client}" for b in lab.backends}, answers
        clients.send_mail(lab.client, host)
        clients.imap_open(lab.client, host).logout()
        for log in ("/var/log/mail.log", "/var/log/dovecot.log"):
            wait_until(lambda: any(f"[{client}]" in text or f"rip={client}" in text for text in
                                   (lab.machines[b].run(f"cat {log}") for b in lab.backends)),
                       10, f"{client} is in {log}")


def test_backend_sees_the_nodes_address_on_the_wire(lab):
    imap = clients.imap_open(lab.client, VIP)
    peers = lab.machines[imap.server].run("ss -Htn state established '( sport = :143 )'").split()
    assert VIP in peers[-1], peers
    imap.logout()


def test_live_connections_are_counted_until_their_end(lab):
    sessions = [clients.imap_open(lab.client, VIP) for _ in range(6)]
    total = lambda: sum(lab.live("lb1", "imap", b) for b in lab.backends)
    wait_until(lambda: total() == 6, 10, "six live")
    for imap in sessions:
        imap.logout()
    wait_until(lambda: total() == 0, 10, "none live")


def test_drained_backend_keeps_its_session(lab):
    imap = clients.imap_open_at(lab.client, VIP, "mx1")
    lab.sluice("lb1", "drain", "mx1")
    try:
        wait_until(lambda: {clients.http_get(lab.client, VIP) for _ in range(5)} == {f"mx2 {CLIENT}"}, 10,
                   "new connections go to mx2")
        assert clients.imap_works(imap)
    finally:
        lab.sluice("lb1", "undrain", "mx1")
    imap.logout()
    lab.all_up("lb1")


def test_100_mb_arrive_whole_in_either_direction(lab):
    digest = big_file(lab)
    for host in (VIP, VIP6):
        assert download(lab, host) == digest
        upload(lab, host)


def test_transfers_and_openings_survive_loss_on_both_sides(lab):
    """Two in a hundred packets, each way, at the client and at the backends."""
    broken = []

    def talk(host):
        try:
            for _ in range(20):
                clients.http_get(lab.client, host, timeout=30)
                imap = clients.imap_open(lab.client, host, timeout=30)
                assert clients.imap_works(imap)
                imap.logout()
        except (OSError, AssertionError, EOFError, imaplib.IMAP4.error, http.client.HTTPException) as error:
            broken.append(f"{host}: {error!r}")

    lossy(lab, True)
    try:
        threads = [threading.Thread(target=talk, args=(host,)) for host in (VIP, VIP6) * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert not broken, broken
        for host in (VIP, VIP6):
            upload(lab, host, 3)
    finally:
        lossy(lab, False)


def cookies(lab, value):
    lab.config_write(lab.config().replace('proxy = "v2";', f'proxy = "v2"; {value}'))
    lab.sluice("lb1", "reload")


def test_syn_cookies_open_connections_to_every_daemon(lab):
    cookies(lab, 'syn_cookies = "always";')
    try:
        before = lab.counter("cookie_valid")
        for host in (VIP, VIP6):
            assert {clients.send_mail(lab.client, host) for _ in range(15)} == set(lab.backends)
            assert {clients.http_get(lab.client, host) for _ in range(10)}
            imap = clients.imap_open(lab.client, host)
            assert clients.imap_works(imap)
            imap.logout()
            upload(lab, host, 5)
        assert lab.counter("cookie_valid") > before + 50
    finally:
        cookies(lab, "")


def test_cookies_begin_with_a_flood_and_end_after_it(lab):
    """Two thousand SYNs a second, from anywhere."""
    cookies(lab, 'syn_cookies = "auto"; syn_rate = 200;')
    try:
        before = lab.counter("reply_cookie")
        flood = lab.client.spawn("hping3", "-i", "u500", "--rand-source", "-S", "-p", "80", VIP, log="flood")
        try:
            wait_until(lambda: lab.counter("reply_cookie") > before + 1000, 15, "SYNs are answered by the node")
            for _ in range(5):
                assert clients.http_get(lab.client, VIP, timeout=30).startswith("mx")
        finally:
            lab.client.kill("^hping3", "KILL")
            flood.wait()
        def calm():
            was = lab.counter("reply_cookie")
            clients.http_get(lab.client, VIP)
            return lab.counter("reply_cookie") == was
        wait_until(calm, 30, "no cookies in quiet times")
    finally:
        cookies(lab, "")


def test_explain_finds_the_flow_and_changes_nothing(lab):
    imap = clients.imap_open(lab.client, VIP)
    port = imap.sock.getsockname()[1]
    told = lab.sluice("lb1", "explain", f"{CLIENT}:{port}", f"{VIP}:143")
    assert imap.server in told, told
    told = lab.sluice("lb1", "explain", f"{CLIENT}:9", f"{VIP}:143", "--flags", "ack")
    assert "reply_reset" in told, told
    assert clients.imap_works(imap)
    imap.logout()
