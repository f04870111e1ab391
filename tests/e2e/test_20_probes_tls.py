# SPDX-License-Identifier: BSD-2-Clause
"""Postfix, Dovecot and nginx, each asked in ways that it refuses and in ways that it accepts: certificates,
PROXY headers, postscreen's teaser; servers that ask for no more work; and all of them stopped by a signal."""
import json
import os

from lab import daemons, secure
from lab.machine import wait_until
from lab.site import VIP, Site

BESIDE_OTHERS = True
LOGIN = 'user = "alice"; password_file = "/etc/sluice/password"; '
CA, OTHER = 'tls_verify = true; tls_ca = "/etc/sluice/ca.pem"; ', 'tls_verify = true; tls_ca = "/etc/sluice/other.pem"; '
NAME, WRONG_NAME = f'tls_name = "{secure.NAME}"; ', 'tls_name = "mx.example.org"; '
GOOD = CA + NAME
CERTIFICATE = 'tls_cert = "/etc/sluice/client.pem"; tls_key = "/etc/sluice/client.key"; '
SMTP, IMAP, HTTPS = 'tls = "starttls"; ', 'tls = "starttls"; ', 'tls = "implicit"; '
EXPIRED_IMAP = f'sni = "expired.{daemons.DOMAIN}"; '
NGINX_SEES = r'body = "^10\\.77\\.0\\.2 10\\.77\\.0\\.21"; '

PATIENT = 'timeout = "10s"; fall = 1; '

# pool: what is asked, at which port, how; what comes of it; words of it
VERIFIED = {
    "smtp-good": ("smtp", 25, SMTP + GOOD, "up", ""),
    "smtp-wrong-name": ("smtp", 25, SMTP + CA + WRONG_NAME, "down", "mx.example.org"),
    "smtp-unknown-ca": ("smtp", 25, SMTP + OTHER + NAME, "down", "unable to get local issuer"),
    "smtp-system-ca": ("smtp", 25, SMTP + NAME + "tls_verify = true; ", "down", "unable to get local issuer"),
    "smtp-expired": ("smtp", 2501, SMTP + GOOD, "down", "expired"),
    "smtps-good": ("smtp", 2503, 'tls = "implicit"; ' + GOOD, "up", ""),
    "imap-good": ("imap", 143, IMAP + GOOD, "up", ""),
    "imaps-wrong-name": ("imap", 993, HTTPS + CA + WRONG_NAME, "down", "mx.example.org"),
    "imap-unknown-ca": ("imap", 143, IMAP + OTHER + NAME, "down", "unable to get local issuer"),
    "imap-expired": ("imap", 143, IMAP + GOOD + EXPIRED_IMAP, "down", "expired"),
    "https-good": ("http", 443, HTTPS + GOOD + 'body = "^secure"; ', "up", ""),
    "https-by-address": ("http", 443, HTTPS + CA, "down", "10.77.0.21"),
    "https-unknown-ca": ("http", 443, HTTPS + OTHER + NAME, "down", "unable to get local issuer"),
    "https-expired": ("http", 444, HTTPS + GOOD, "down", "expired"),
    "tls-good": ("tls", 993, GOOD, "up", ""),
    "tls-expired": ("tls", 444, GOOD, "down", "expired"),
}
CLIENTS = {
    "smtp-cert": ("smtp", 2502, SMTP + GOOD + CERTIFICATE, "up", ""),
    "smtp-no-cert": ("smtp", 2502, SMTP + GOOD, "leaving", "No client certificate"),  # with 421
    "pop3-cert": ("pop3", 110, SMTP + GOOD + CERTIFICATE + LOGIN, "up", ""),
    "pop3-no-cert": ("pop3", 110, SMTP + GOOD + LOGIN, "down", "ertificate"),
    "https-cert": ("http", 445, HTTPS + GOOD + CERTIFICATE + 'body = "^CN=lb1"; ', "up", ""),
    "https-no-cert": ("http", 445, HTTPS + GOOD, "down", "400"),
}
WARNED = {
    "https-soon": ("http", 443, HTTPS + "tls_warn_days = 40; ", "up", "expires in 29 days"),
    "https-past": ("http", 444, HTTPS, "up", "has expired"),
    "smtp-past": ("smtp", 2501, SMTP, "up", "has expired"),
}
PROXIED = {
    f"{kind}-{port}-{proxy}": (kind, port, f'proxy = "{proxy}"; {keys}', without if proxy == "none" else "up", "")
    for kind, port, keys, without in (("smtp", 2504, SMTP, "leaving"), ("smtp", 2506, "", "leaving"),  # with 421
                                      ("imap", 1143, LOGIN, "down"), ("lmtp", 1024, "", "down"),
                                      ("http", 8081, NGINX_SEES, "down"))
    for proxy in ("none", "v1", "v2")
}
LEAVING = {
    "smtp-421": ("smtp", 2507, "", "leaving", "421 4.3.2"),
    "smtp-450": ("smtp", 2508, "", "leaving", "450 4.3.2"),
    "http-busy": ("http", 8082, 'path = "/busy"; ', "leaving", "503"),
    "http-broken": ("http", 8082, "", "down", "503"),
}
OTHERS = {
    "submission": ("submission", 587, LOGIN, "up", ""),
    "pop3": ("pop3", 110, SMTP + LOGIN + CERTIFICATE, "up", ""),
    "imap": ("imap", 143, SMTP + LOGIN, "up", ""),
    "managesieve": ("managesieve", 4190, SMTP + LOGIN, "up", ""),
    "lmtp": ("lmtp", 24, "", "up", ""),
    "imap-patient": ("imap", 143, PATIENT, "up", ""),
    "postscreen": ("smtp", 2505, 'expect = "ESMTP$"; ', "up", ""),
    "http": ("http", 80, "", "up", ""),
    "tcp": ("tcp", 25, "", "up", ""),
    "script": ("script", 0, 'command = [ "/etc/sluice/check", "an argument" ]; ', "up", ""),
}
POOLS = VERIFIED | CLIENTS | WARNED | PROXIED | LEAVING | OTHERS

CHECK = """#!/bin/sh
[ "$1" = "an argument" ] && [ "$SLUICE_ADDRESS" = 10.77.0.21 ] || exit 1
echo "the queue is short weight=75%"
"""


def config():
    pools, services = [], []
    for i, (pool, (kind, port, keys, _, _)) in enumerate(POOLS.items()):
        own = "" if kind == "script" else f'port = {port}; via = "address"; '
        own += "" if PATIENT in keys else 'timeout = "2s"; fall = 2; '
        pools.append(f'{{ name = "{pool}"; port = {10000 + i};\n  probe = {{ type = "{kind}"; {own}interval = "1s"; '
                     f'rise = 1; flap_limit = 0; {keys}}};\n'
                     '  backends = ( { name = "mx1"; address = "10.77.0.21"; } ); }')
        services.append(f'{{ name = "{pool}"; vip = "{VIP}"; port = {10000 + i}; pool = "{pool}"; }}')
    return f"""secret_file = "/etc/sluice/secret";
flow_limit = "64K";
slots = 251;
user = "nobody";
nodes = ( {{ name = "lb1"; interfaces = [ "eth0" ]; }} );
vrrp = ( {{ name = "v4"; vrid = 51; interval = "100ms"; priorities = {{ lb1 = 200; }}; addresses = [ "{VIP}/24" ]; }} );
pools = ( {(", ").join(pools)} );
services = ( {(", ").join(services)} );
"""


def site():
    lab = Site(backends=1, nodes=("lb1",))
    secure.start(lab.mx1)
    for name in ("ca.pem", "other.pem", "client.pem", "client.key"):
        lab.lb1.write(f"/etc/sluice/{name}", lab.mx1.run(f"cat {secure.TLS}/{name}"), mode="600")
    lab.lb1.write("/etc/sluice/password", daemons.PASSWORD + "\n", mode="600")
    lab.lb1.write("/etc/sluice/check", CHECK, mode="755")
    lab.config_write(config())
    lab.sluice_start()
    return lab


def rows(lab):
    return {row["pool"]: row for row in lab.show("lb1", "health")}


def problems(lab):
    return json.loads(lab.sluice("lb1", "status", "--json", check=False).stdout)["problems"]


def log(lab):
    with open(os.path.join(lab.logs, "lb1-sluiced.log"), errors="replace") as f:
        return f.read()


def are_as_wanted(lab, pools, whole=False):
    """Their states, and what `sluice probe` says of each; the whole of it, or its end, is printed."""
    lab.states_wait({pool: row[3] for pool, row in pools.items()})
    for pool, (_, _, _, state, words) in pools.items():
        done = lab.sluice("lb1", "probe", f"{pool}/mx1", "-v", check=False)
        said = done.stdout + done.stderr
        print(f"    --- {pool}: " + (said if whole else said.splitlines()[-1]).rstrip().replace("\n", "\n    "))
        assert (done.returncode == 0) == (state == "up"), f"{pool}: {said}"
        assert state == "up" or words in said.splitlines()[-1], f"{pool}: {words}: {said}"


def test_certificate_is_verified_against_authority_and_name(lab):
    are_as_wanted(lab, VERIFIED)


def test_server_that_wants_a_certificate_of_the_client_gets_it(lab):
    are_as_wanted(lab, CLIENTS)


def test_certificate_that_expires_is_told_and_its_server_stays_up(lab):
    are_as_wanted(lab, WARNED)
    told = problems(lab)
    for pool, (_, _, _, _, words) in WARNED.items():
        assert any(f"of pool {pool} {words}" in text for text in told), (pool, told)
    assert not any("of pool https-good " in text for text in told), "14 days are the default"
    now = rows(lab)
    assert (now["https-soon"]["tls_days"], now["https-past"]["tls_days"] < 0) == (29, True), now
    counters = {row["counter"]: row["value"] for row in lab.show("lb1", "counters")}
    expiring = [pool for pool, row in now.items() if row["tls_days"] is not None and row["tls_days"] < 0]
    assert set(expiring) >= {"https-past", "smtp-past"}
    assert counters["tls_expiring"] == len(expiring) + 1, (counters, expiring)


def test_proxy_header_comes_first_where_the_server_expects_it(lab):
    are_as_wanted(lab, PROXIED)


def test_server_that_asks_for_no_more_work_is_leaving(lab):
    are_as_wanted(lab, LEAVING, whole=True)
    now, said = rows(lab), log(lab)
    assert now["smtp-421"]["leaving"] > 0 and now["smtp-421"]["failed"] == 0, now["smtp-421"]
    assert now["http-broken"]["failed"] > 0 and now["http-broken"]["leaving"] == 0, now["http-broken"]
    assert "backend mx1 leaving: pool=smtp-421" in said and "backend mx1 down: pool=http-broken" in said
    told = problems(lab)
    assert any("pool smtp-421 is leaving" in text and "shutting down" in text for text in told), told


def test_postscreen_sees_no_probe_speak_before_its_time(lab):
    are_as_wanted(lab, OTHERS, whole=True)
    said = lab.sluice("lb1", "probe", "postscreen/mx1", "-v")
    assert said.index("220-mx1.example.test") < said.index("220 mx1.example.test") < said.index("EHLO"), said
    seen = lab.mx1.run("cat /var/log/mail.log")
    assert "PASS NEW" in seen, seen[-2000:]
    for complaint in ("PREGREET", "HANGUP", "COMMAND PIPELINING", "NON-SMTP"):
        assert complaint not in seen, [line for line in seen.splitlines() if complaint in line][:3]


def test_dovecot_that_says_bye_is_leaving_and_comes_back(lab):
    secure.dovecot_auth(lab.mx1, works=False)
    try:
        wait_until(lambda: "backend mx1 leaving: pool=imap-patient probe=imap verdict=leaving code=0 "
                           'text="BYE Auth process broken"' in log(lab), 20, "BYE is leaving")
        assert rows(lab)["lmtp"]["health"] == "up"
    finally:
        secure.dovecot_auth(lab.mx1, works=True)
    lab.states_wait(dict.fromkeys(("imap-patient", "imap", "pop3", "managesieve", "submission"), "up"), 30)


def test_stopped_servers_are_down_and_come_back(lab):
    """All but those that look at no answer: the kernel makes connections for a stopped process, too."""
    blind = ("script", "tcp")
    ups = [pool for pool, row in POOLS.items() if row[3] == "up" and row[0] not in blind and PATIENT not in row[2]]
    servers = "smtpd|/master|postscreen|dovecot|-login|nginx"
    for _ in range(2):  # those, too, that a master has started meanwhile
        lab.mx1.kill(servers, "STOP")
    lab.states_wait(dict.fromkeys(ups, "down"), 20)
    assert {rows(lab)[pool]["health"] for pool in blind} == {"up"}
    lab.mx1.kill(servers, "CONT")
    lab.states_wait(dict.fromkeys(ups, "up"), 20)
