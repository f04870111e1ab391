# SPDX-License-Identifier: BSD-2-Clause
"""The probes of data servers against the real ones: healthy, stopped, full, shutting down."""
import json
import socket

from lab import data
from lab.machine import wait_until
from lab.site import SLUICE, VIP, VIP6, Site

BESIDE_OTHERS = True
SECRET, WRONG = "/etc/sluice/probe.secret", "/etc/sluice/probe.wrong"
LOGIN = f'user = "{data.USER}"; password_file = "{SECRET}";'
BIND = f'bind_dn = "cn=admin,{data.SUFFIX}"; password_file = "{SECRET}";'

# pool: port, type, its keys
POOLS = {
    "mysql": (3306, "mysql", f'{LOGIN} query = "SELECT 1";'),
    "mysql-tls": (3306, "mysql", f'tls = "starttls"; {LOGIN}'),
    "mysql-no-login": (3306, "mysql", ""),
    "mysql-no-row": (3306, "mysql", f'{LOGIN} query = "SELECT 1 FROM DUAL WHERE 1 = 2";'),
    "mysql-wrong": (3306, "mysql", f'user = "{data.USER}"; password_file = "{WRONG}";'),
    "pg": (5432, "postgresql", f'{LOGIN} database = "postgres"; query = "SELECT 1";'),
    "pg-tls": (5432, "postgresql", f'tls = "starttls"; {LOGIN} database = "postgres";'),
    "pg-no-login": (5432, "postgresql", ""),
    "pg-no-row": (5432, "postgresql", f'{LOGIN} database = "postgres"; query = "SELECT 1 WHERE false";'),
    "pg-wrong": (5432, "postgresql", f'user = "{data.USER}"; password_file = "{WRONG}";'),
    "ldap": (389, "ldap", f'{BIND} base = "{data.SUFFIX}";'),
    "ldap-tls": (389, "ldap", f'tls = "starttls"; {BIND}'),
    "ldap-no-login": (389, "ldap", ""),
    "ldap-no-entry": (389, "ldap", f'{BIND} base = "ou=none,{data.SUFFIX}";'),
    "ldap-wrong": (389, "ldap", f'bind_dn = "cn=admin,{data.SUFFIX}"; password_file = "{WRONG}";'),
    "redis": (6379, "redis", f'password_file = "{SECRET}"; role = "master";'),
    "redis-no-login": (6379, "redis", ""),
    "redis-replica": (6379, "redis", f'password_file = "{SECRET}"; role = "replica";'),
    "redis-wrong": (6379, "redis", f'password_file = "{WRONG}";'),
    "memcached": (11211, "memcached", ""),
    "dns": (53, "dns", 'name = "mx.example.test";'),
    "dns-tcp": (53, "dns", 'name = "mx.example.test"; transport = "tcp";'),
    "dns-none": (53, "dns", 'name = "none.example.test";'),
    "dns-none-accepted": (53, "dns", 'name = "none.example.test"; rcode = "NXDOMAIN";'),
    "ping": (0, "icmp", ""),
    "ping6": (0, "icmp", ""),
}
FAILS = {"mysql-no-row": "no row", "mysql-wrong": "1045", "pg-no-row": "no row", "pg-wrong": "28P01",
         "ldap-no-entry": "32", "ldap-wrong": "49", "redis-replica": "master", "redis-wrong": "WRONGPASS",
         "dns-none": "NXDOMAIN"}
# two of a kind, that clients reach, too
PAIR = """{ name = "pair"; port = 6379;
  probe = { type = "redis"; password_file = "%s"; interval = "100ms"; timeout = "2s"; slow_ms = 80; };
  backends = ( { name = "mx1"; address = "10.77.0.21"; }, { name = "mx2"; address = "10.77.0.22"; } ); }""" % SECRET
HEALTHY = [name for name in POOLS if name not in FAILS]


def config(lab):
    text = lab.config()
    pools, services = [], []
    for i, (name, (port, kind, keys)) in enumerate(POOLS.items()):
        server, vip = ("fd77::21", VIP6) if name == "ping6" else ("10.77.0.21", VIP)
        own = 'timeout = "1s"; ' if kind == "icmp" else f'timeout = "2s"; port = {port}; via = "address"; '
        pools.append(f'{{ name = "{name}"; probe = {{ type = "{kind}"; interval = "300ms"; flap_limit = 0; '
                     f'fall = 2; rise = 1; {own}{keys} }};\n'
                     f'  backends = ( {{ name = "mx1"; address = "{server}"; }} ); }}')
        services.append(f'{{ name = "{name}"; vip = "{vip}"; port = {20000 + i}; pool = "{name}"; }}')
    pools.append(PAIR)
    services.append(f'{{ name = "pair"; vip = "{VIP}"; port = 6379; pool = "pair"; }}')
    head = text[:text.index("pools = (")]
    return head + f"pools = ( {', '.join(pools)} );\nservices = ( {', '.join(services)} );\n"


def site():
    lab = Site(backends=2, nodes=("lb1",))
    data.certificate_make(lab.mx1)
    for start in (data.mariadb_start, data.postgresql_start, data.slapd_start, data.redis_start,
                  data.memcached_start, data.unbound_start):
        start(lab.mx1)
    data.redis_start(lab.mx2)
    lab.config_write(config(lab))
    lab.lb1.write(SECRET, data.PASSWORD + "\n", mode="600")
    lab.lb1.write(WRONG, "wr0ng-of-the-lab\n", mode="600")
    lab.sluice_start()
    states_wait(lab, HEALTHY, "up", 30)
    return lab


def states_wait(lab, pools, state, limit_s=20):
    lab.states_wait(dict.fromkeys(pools, state), limit_s)


def of(kind):
    return [name for name in HEALTHY if POOLS[name][1] == kind]


def test_healthy_servers_pass_and_no_password_is_told(lab):
    told = ""
    for pool in HEALTHY:
        done = lab.sluice("lb1", "probe", f"{pool}/mx1", "-v")
        assert "passed" in done, done
        told += f"--- {pool}\n{done}"
    print("    " + told.replace("\n", "\n    "))
    assert data.PASSWORD not in told and "wr0ng" not in told, told
    for word in (data.PASSWORD, "wr0ng"):
        assert not lab.is_told("lb1", word), (word, lab.is_told("lb1", word))
    assert "***" in told


def test_wrong_login_and_missing_rows_fail_with_the_servers_words(lab):
    states_wait(lab, list(FAILS), "down")
    for pool, words in FAILS.items():
        done = lab.lb1.run(SLUICE, "probe", f"{pool}/mx1", "-v", check=False)
        assert done.returncode == 1 and words in done.stdout + done.stderr, f"{pool}: {done}"
        assert data.PASSWORD not in done.stdout and "wr0ng" not in done.stdout


def test_probes_do_not_get_the_node_blocked(lab):
    """max_connect_errors is 100 by default; the probes without and with a wrong login went on for a while."""
    for _ in range(120):
        lab.sluice("lb1", "probe", "mysql-no-login/mx1")
    states_wait(lab, of("mysql"), "up")


def test_full_servers_are_leaving(lab):
    data.hold(lab.mx1, 3306, 24)
    states_wait(lab, of("mysql"), "leaving")
    data.hold_end(lab.mx1)
    states_wait(lab, of("mysql"), "up")
    data.hold(lab.mx1, 5432, 24, data.postgresql_startup())  # some meet a probe in the last place
    states_wait(lab, of("postgresql"), "leaving")
    data.hold_end(lab.mx1)
    states_wait(lab, of("postgresql"), "up")
    data.hold(lab.mx1, 11211, 80)
    states_wait(lab, of("memcached"), "leaving")
    data.hold_end(lab.mx1)
    states_wait(lab, of("memcached"), "up")
    data.hold(lab.mx1, 6379, 1)
    wait_until(lambda: data.redis_is_held(lab.mx1), 10, "it is held")
    data.redis_command(lab.mx1, "CONFIG", "SET", "maxclients", "1")
    states_wait(lab, of("redis"), "leaving")
    data.hold_end(lab.mx1)
    wait_until(lambda: "OK" in lab.mx1.run("redis-cli", "--no-auth-warning", "-a", data.PASSWORD, "CONFIG", "SET",
                                           "maxclients", "1000", check=False).stdout, 10, "it has room again")
    states_wait(lab, of("redis"), "up")


def test_postgresql_that_shuts_down_is_leaving_and_then_down(lab):
    data.postgresql_session(lab.mx1)
    data.postgresql_stop_smart(lab.mx1)
    states_wait(lab, of("postgresql"), "leaving")
    data.hold_end(lab.mx1)
    states_wait(lab, of("postgresql"), "down")
    data.postgresql_start_slowly(lab.mx1)
    states_wait(lab, of("postgresql"), "leaving")
    assert "starting up" in lab.sluice("lb1", "probe", "pg/mx1", check=False).stdout
    lab.mx1.run("rm /run/lab-pg.wait")
    states_wait(lab, of("postgresql"), "up")


def of_pair(lab):
    return {row["backend"]: row for row in lab.show("lb1", "backends") if row["pool"] == "pair"}


def connections_new(lab, n):
    """How many of n connections of clients each of the pair gets; its kernel makes them, however busy it is."""
    before = of_pair(lab)
    with lab.client.network():
        for _ in range(n):
            socket.create_connection((VIP, 6379), 20).close()
    wait_until(lambda: sum(row["new"] - before[name]["new"] for name, row in of_pair(lab).items()) >= n, 20, "all are counted")
    return {name: row["new"] - before[name]["new"] for name, row in of_pair(lab).items()}


def test_slow_server_gets_half_of_its_weight_until_it_is_fast_again(lab):
    wait_until(lambda: [row["share"] for row in of_pair(lab).values()] == [100, 100], 10, "both have their weight")
    data.redis_slow_down(lab.mx2)
    wait_until(lambda: of_pair(lab)["mx2"]["share"] == 50, 20, "mx2 is slow")
    assert {row["state"] for row in of_pair(lab).values()} == {"up"}
    told = json.loads(lab.sluice("lb1", "status", "--json", check=False).stdout)["problems"]
    assert any("backend mx2 of pool pair is slow" in text for text in told), told
    assert not any("backend mx1 of pool pair is slow" in text for text in told), told
    row = next(r for r in lab.show("lb1", "health") if (r["pool"], r["backend"]) == ("pair", "mx2"))
    assert row["slow"] and row["weight"] == 50 and row["p99_ms"] > 80, row
    got = connections_new(lab, 400)
    assert got["mx1"] + got["mx2"] == 400 and got["mx2"] < 0.75 * got["mx1"], got
    data.hold_end(lab.mx2)
    wait_until(lambda: of_pair(lab)["mx2"]["share"] == 100, 20, "mx2 is fast again")
    row = next(r for r in lab.show("lb1", "health") if (r["pool"], r["backend"]) == ("pair", "mx2"))
    assert not row["slow"] and row["turns"] == 0, row


def test_killed_servers_are_down_and_come_back(lab):
    rows = (("mariadbd", data.mariadb_start, "mysql"), ("slapd", data.slapd_start, "ldap"),
            ("redis-server", data.redis_start, "redis"), ("memcached", data.memcached_start, "memcached"),
            ("unbound", data.unbound_start, "dns"))
    for pattern, start, kind in rows:
        lab.mx1.kill(pattern, "KILL")
        states_wait(lab, of(kind), "down")
        start(lab.mx1)
        states_wait(lab, of(kind), "up")


def test_stopped_servers_are_down_and_come_back(lab):
    servers = {"mysql": "mariadbd", "postgresql": "bin/postgres -D", "ldap": "slapd", "redis": "redis-server",
               "memcached": "memcached", "dns": "unbound"}
    for pattern in servers.values():
        lab.mx1.kill(pattern, "STOP")
    for kind in servers:
        states_wait(lab, of(kind), "down")
    for pattern in servers.values():
        lab.mx1.kill(pattern, "CONT")
    states_wait(lab, HEALTHY, "up", 30)


def test_server_that_answers_no_ping_is_down(lab):
    lab.mx1.run("sysctl -qw net.ipv4.icmp_echo_ignore_all=1")
    states_wait(lab, ["ping"], "down")
    states_wait(lab, ["ping6"], "up")
    lab.mx1.run("sysctl -qw net.ipv4.icmp_echo_ignore_all=0 net.ipv6.icmp.echo_ignore_all=1")
    states_wait(lab, ["ping6"], "down")
    states_wait(lab, ["ping"], "up")
    lab.mx1.run("sysctl -qw net.ipv6.icmp.echo_ignore_all=0")
    states_wait(lab, ["ping6"], "up")
