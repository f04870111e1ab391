# SPDX-License-Identifier: BSD-2-Clause
"""Each mail protocol is probed as its clients use it, against the real server: with logins, TLS, recipients;
a wrong password fails, and no password is told to anybody."""
import base64

from lab import daemons
from lab.machine import wait_until
from lab.site import VIP, Site

BESIDE_OTHERS = True
WRONG = "not-the-Password"
LOGIN = 'user = "alice"; password_file = "/etc/sluice/password"; '
RCPT = 'rcpt_to = "alice@example.test"; '
# pool: what is asked, at which port, how
PROBES = {
    "smtp": ("smtp", 25, 'expect = "ESMTP$"; ' + RCPT),
    "smtp-tls": ("smtp", 25, 'tls = "starttls"; '),
    "submission": ("submission", 587, LOGIN + RCPT),
    "lmtp": ("lmtp", 24, RCPT),
    "lmtp-tls": ("lmtp", 24, 'tls = "starttls"; '),
    "imap": ("imap", 143, LOGIN + 'mailbox = "INBOX"; '),
    "imap-tls": ("imap", 143, LOGIN + 'tls = "starttls"; mailbox = "INBOX"; select = true; '),
    "imaps": ("imap", 993, LOGIN + 'tls = "implicit"; '),
    "pop3": ("pop3", 110, LOGIN),
    "pop3-tls": ("pop3", 110, LOGIN + 'tls = "starttls"; '),
    "managesieve": ("managesieve", 4190, LOGIN),
    "managesieve-tls": ("managesieve", 4190, LOGIN + 'tls = "starttls"; '),
    "chat": ("chat", 110, r'dialogue = [ "expect ^\\+OK", "send QUIT", "expect ^\\+OK" ]; '),
    "chat-tls": ("chat", 110, r'tls = "starttls"; dialogue = [ "expect ^\\+OK", "send STLS", "expect ^\\+OK", '
                              r'"starttls", "send CAPA", "expect ^SASL", "send QUIT" ]; '),
    "agent": ("agent", 9777, ""),
}
WITH_LOGIN = [pool for pool, (_, _, keys) in PROBES.items() if LOGIN in keys]


def config():
    pools, services = [], []
    rows = [(pool, *row) for pool, row in PROBES.items()]
    rows += [(f"{pool}-wrong", PROBES[pool][0], PROBES[pool][1],
              PROBES[pool][2].replace("sluice/password", "sluice/wrong")) for pool in WITH_LOGIN]
    for i, (pool, kind, port, keys) in enumerate(rows):
        interval = "1h" if pool.endswith("-wrong") else "1s"
        pools.append(f'{{ name = "{pool}"; port = {10000 + i};\n  probe = {{ type = "{kind}"; port = {port}; '
                     f'via = "address"; interval = "{interval}"; timeout = "8s"; rise = 1; fall = 2; {keys}}};\n'
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


AGENT = r"""
import socket
s = socket.create_server(("", 9777))
while True:
    c, _ = s.accept()
    c.sendall(open("/run/agent.says", "rb").read())
    c.close()
"""


def mail_start(machine):
    daemons.maildir_make(machine)
    daemons.certificate_make(machine)
    daemons.postfix_start(machine, more=True)
    daemons.dovecot_start(machine, more=True)


def agent_says(machine, line):
    machine.write("/run/agent.new", line)
    machine.run("mv /run/agent.new /run/agent.says")


def site():
    lab = Site(backends=1, nodes=("lb1",))
    mail_start(lab.mx1)
    agent_says(lab.mx1, "up 75%\n")
    lab.mx1.spawn("python3", "-c", AGENT, log="agent")
    lab.lb1.write("/etc/sluice/password", daemons.PASSWORD + "\n", mode="600")
    lab.lb1.write("/etc/sluice/wrong", WRONG + "\n", mode="600")
    lab.config_write(config())
    lab.sluice_start()
    lab.states_wait(dict.fromkeys(PROBES, "up"), 30)
    return lab


def probe(lab, pool):
    done = lab.sluice("lb1", "probe", f"{pool}/mx1", "-v", check=False)
    return done.returncode, done.stdout + done.stderr


def test_each_server_passes_as_its_clients_use_it(lab):
    for pool in PROBES:
        status, said = probe(lab, pool)
        print("    " + said.rstrip().replace("\n", "\n    "))
        assert status == 0 and "passed" in said, f"{pool}: {said}"
        assert (pool in WITH_LOGIN) == ("***" in said), said
        assert pool not in WITH_LOGIN or daemons.PASSWORD not in said, said


def test_wrong_password_fails_and_is_told_to_nobody(lab):
    for pool in WITH_LOGIN:
        status, said = probe(lab, f"{pool}-wrong")
        assert status == 1 and "fail" in said and "***" in said, f"{pool}: {said}"
        assert WRONG not in said, said
    lab.states_wait({f"{pool}-wrong": "down" for pool in WITH_LOGIN})
    assert WRONG not in lab.log_text()


def test_no_password_is_in_a_process_list_or_a_log(lab):
    """As it is, or as AUTH sends it."""
    assert lab.is_told("lb1", "backend mx1"), "the log is read"
    assert lab.is_told("lb1", "--child"), "the processes are"
    for word in (daemons.PASSWORD, WRONG):
        for form in (word.encode(), base64.b64encode(word.encode()), base64.b64encode(b"\0alice\0" + word.encode())):
            assert not lab.is_told("lb1", form.decode()), (form, lab.is_told("lb1", form.decode()))


def test_probes_leave_the_servers_politely(lab):
    log = lab.mx1.run("cat /var/log/mail.log /var/log/dovecot.log")
    for complaint in ("lost connection", "Connection reset", "improper command pipelining", "SSL_accept error"):
        lines = [line for line in log.splitlines() if complaint in line]
        assert not lines, lines[:5]


def test_agent_that_says_drain_is_leaving_and_comes_back(lab):
    agent_says(lab.mx1, "drain the disk is being replaced\n")
    lab.states_wait({"agent": "leaving"})
    agent_says(lab.mx1, "down#gone\n")
    lab.states_wait({"agent": "down"})
    agent_says(lab.mx1, "ready up\n")
    lab.states_wait({"agent": "up"})


def test_postfix_that_says_421_is_leaving_and_a_stopped_one_is_down(lab):
    lab.mx1.run("postconf -e smtpd_client_connection_rate_limit=1 smtpd_client_event_limit_exceptions= && "
                "postfix reload > /run/postfix.out 2>&1")
    wait_until(lambda: probe(lab, "smtp")[1].count("421"), 15, "Postfix says 421")
    assert "leaving" in probe(lab, "smtp")[1]
    lab.states_wait({"smtp": "leaving"})
    lab.mx1.run("postfix stop > /run/postfix.out 2>&1", timeout=30)
    lab.states_wait({"smtp": "down"})
    assert probe(lab, "submission")[0] == 1
    daemons.postfix_start(lab.mx1, more=True)
    lab.states_wait({"smtp": "up"})


def test_stopped_dovecot_is_down_in_each_of_its_protocols(lab):
    pools = ("imap", "pop3", "lmtp", "managesieve", "imaps")
    lab.mx1.run("doveadm stop")
    lab.states_wait(dict.fromkeys(pools, "down"))
    daemons.dovecot_start(lab.mx1, more=True)
    lab.states_wait(dict.fromkeys(pools, "up"))
