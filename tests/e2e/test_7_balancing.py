# SPDX-License-Identifier: BSD-2-Clause
"""The balancing options of a pool: backups, min_backends, limits, on_down, slow start, feedback."""
import json

from lab import clients, daemons
from lab.machine import wait_until
from lab.site import VIP, Site

# A backend's health is a file, so that a probe can fail while its servers go on.
PROBE = '{ type = "http"; port = 80; path = "/big/ok"; interval = "200ms"; timeout = "1s"; fall = 1; rise = 1; flap_limit = 0; }'


def site():
    lab = Site(backends=3, nodes=("lb1",))
    for backend in lab.backends:
        healthy(lab, backend)
    lab.up(probes={"imap": PROBE, "http": PROBE})
    return lab


def healthy(lab, *backends):
    for backend in backends:
        lab.machines[backend].run("mkdir -p /var/www-big && touch /var/www-big/ok && chmod -R a+rX /var/www-big")


def ill(lab, *backends):
    for backend in backends:
        lab.machines[backend].run("rm /var/www-big/ok")


def configure(lab, kind, options, **backends):
    """Options of the pool, and of its backends."""
    port = {"imap": 143, "http": 80}[kind]
    text = lab.config(probes={"imap": PROBE, "http": PROBE})
    head = f'{{ name = "{kind}"; port = {port};'
    before, pool, after = text.partition(head)
    assert pool, text
    for backend, option in backends.items():
        after = after.replace(f'{{ name = "{backend}";', f'{{ name = "{backend}"; {option}', 1)
    lab.config_write(before + pool + options + after)
    lab.sluice("lb1", "reload")


def default(lab):
    lab.config_write(lab.config(probes={"imap": PROBE, "http": PROBE}))
    lab.sluice("lb1", "reload")
    lab.all_up("lb1")


def row(lab, pool, backend):
    return next(r for r in lab.show("lb1", "backends") if (r["pool"], r["backend"]) == (pool, backend))


def status(lab):
    done = lab.sluice("lb1", "status", "--json", check=False)
    return "\n".join(json.loads(done.stdout)["problems"])


def test_backup_serves_only_while_the_others_are_gone(lab):
    configure(lab, "http", "", mx3="backup = true;")
    wait_until(lambda: lab.state("lb1", "http", "mx3") == "backup", 10, "mx3 is a backup")
    assert set(clients.http_servers(lab.client, VIP, 40)) == {"mx1", "mx2"}
    ill(lab, "mx1", "mx2")
    wait_until(lambda: lab.state("lb1", "http", "mx3") == "up", 10, "the backup is used")
    assert set(clients.http_servers(lab.client, VIP, 20)) == {"mx3"}
    assert "pool http has no usable backends, and uses its backups" in status(lab)
    healthy(lab, "mx1", "mx2")
    wait_until(lambda: lab.state("lb1", "http", "mx3") == "backup", 10, "mx3 is a backup again")
    wait_until(lambda: set(clients.http_servers(lab.client, VIP, 20)) == {"mx1", "mx2"}, 10, "they serve again")
    default(lab)


def test_below_min_all_uses_who_fails_his_probe_and_reject_nobody(lab):
    configure(lab, "http", 'min_backends = 2; below_min = "all";')
    lab.all_up("lb1")
    ill(lab, "mx1", "mx2")
    wait_until(lambda: "pool http uses all backends whatever their probes say" in status(lab), 10, "all are used")
    assert lab.state("lb1", "http", "mx1") == "down"
    wait_until(lambda: set(clients.http_servers(lab.client, VIP, 60)) == {"mx1", "mx2", "mx3"}, 5, "all get connections")
    configure(lab, "http", 'min_backends = 2; below_min = "reject";')
    wait_until(lambda: "pool http rejects new connections" in status(lab), 10, "new ones are rejected")
    try:
        clients.http_get(lab.client, VIP, timeout=1)
        raise AssertionError("served below min_backends")
    except OSError:
        pass
    healthy(lab, "mx1", "mx2")
    default(lab)


def test_on_down_keeps_or_resets_sessions_of_a_backend_that_is_down(lab):
    for on_down, lives in (("keep", True), ("reset", False)):
        configure(lab, "imap", f'on_down = "{on_down}";')
        lab.all_up("lb1")
        session = clients.imap_open_at(lab.client, VIP, "mx2")
        assert clients.imap_works(session)
        ill(lab, "mx2")
        wait_until(lambda: lab.out("lb1", "imap", "mx2"), 10, "mx2 is out")
        try:
            works = clients.imap_works(session)
        except OSError:
            works = False
        except Exception as error:  # imaplib's own, for a session that ended
            assert "abort" in type(error).__name__, error
            works = False
        assert works == lives, on_down
        healthy(lab, "mx2")
        lab.all_up("lb1")
    default(lab)


def test_full_backend_gets_no_new_sessions_until_some_end(lab):
    configure(lab, "imap", "", mx1="max_connections = 3;")
    lab.all_up("lb1")
    sessions = [clients.imap_open_at(lab.client, VIP, "mx1") for _ in range(3)]
    wait_until(lambda: lab.state("lb1", "imap", "mx1") == "full" and
               row(lab, "imap", "mx1")["share"] == 0, 10, "mx1 is full")
    assert row(lab, "imap", "mx1")["limit"] == 3
    for _ in range(20):
        other = clients.imap_open(lab.client, VIP)
        assert other.server != "mx1"
        other.logout()
    assert all(clients.imap_works(session) for session in sessions)
    sessions.pop().logout()
    wait_until(lambda: lab.state("lb1", "imap", "mx1") == "up" and
               row(lab, "imap", "mx1")["share"] == 100, 10, "mx1 has room")
    sessions.append(clients.imap_open_at(lab.client, VIP, "mx1"))
    for session in sessions:
        assert clients.imap_works(session)
        session.logout()
    default(lab)


def test_backend_that_comes_up_starts_slowly(lab):
    configure(lab, "http", 'slow_start = "4s";')
    lab.all_up("lb1")
    lab.mx2.kill("nginx", "KILL")
    wait_until(lambda: lab.out("lb1", "http", "mx2"), 10, "the killed nginx is out")
    wait_until(lambda: lab.live("lb1", "http", "mx2") == 0, 10, "nobody is left")
    shares = []

    def whole():
        shares.append(row(lab, "http", "mx2")["share"])
        return shares[-1] == 100

    daemons.nginx_start(lab.mx2)
    wait_until(whole, 20, "mx2 has its whole share")
    assert shares == sorted(shares) and len({share for share in shares if 0 < share < 100}) >= 3, shares
    assert {row(lab, "http", other)["share"] for other in ("mx1", "mx3")} == {100}
    assert set(clients.http_servers(lab.client, VIP, 60)) == {"mx1", "mx2", "mx3"}
    default(lab)


def test_feedback_sends_new_sessions_where_few_are(lab):
    configure(lab, "imap", "feedback = true;")
    lab.all_up("lb1")
    for other in ("mx2", "mx3"):
        lab.sluice("lb1", "drain", other)
    sessions = [clients.imap_open(lab.client, VIP) for _ in range(100)]
    assert {session.server for session in sessions} == {"mx1"}
    for other in ("mx2", "mx3"):
        lab.sluice("lb1", "undrain", other)
    lab.all_up("lb1")
    wait_until(lambda: 0 < row(lab, "imap", "mx1")["share"] < 80, 60, "mx1 gets fewer new ones")
    assert {row(lab, "imap", other)["share"] for other in ("mx2", "mx3")} == {100}
    assert all(clients.imap_works(session) for session in sessions)
    for session in sessions:
        session.logout()
    default(lab)
    wait_until(lambda: row(lab, "imap", "mx1")["share"] == 100, 60, "without feedback the share is whole")
