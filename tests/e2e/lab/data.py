# SPDX-License-Identifier: BSD-2-Clause
"""The real daemons of a data server: MariaDB, PostgreSQL, OpenLDAP, Redis, memcached and Unbound, each for
one machine, and how each is filled up with clients."""
from .machine import wait_until

USER, PASSWORD, SUFFIX = "alice", "s3cret-of-the-lab", "dc=example,dc=test"
PG_BIN, PG_DATA = "/usr/lib/postgresql/15/bin", "/run/lab-pg"

SLAPD = f"""include /etc/ldap/schema/core.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile /run/lab-slapd.pid
argsfile /run/lab-slapd.args
TLSCertificateFile /run/lab.crt
TLSCertificateKeyFile /run/lab.key
database mdb
maxsize 16777216
suffix "{SUFFIX}"
rootdn "cn=admin,{SUFFIX}"
rootpw {PASSWORD}
directory /run/lab-ldap
"""

LDIF = f"""dn: {SUFFIX}
objectClass: dcObject
objectClass: organization
dc: example
o: example
"""

UNBOUND = """server:
  interface: 0.0.0.0
  interface: ::0
  access-control: 0.0.0.0/0 allow
  access-control: ::/0 allow
  do-daemonize: yes
  username: ""
  chroot: ""
  pidfile: /run/lab-unbound.pid
  logfile: /run/lab-unbound.log
  use-syslog: no
  local-zone: "example.test." static
  local-data: "mx.example.test. A 10.77.0.21"
remote-control:
  control-enable: no
"""

# Connections that say what is given and then stay, until the program is killed.
HOLD = """import socket, sys, time
port, n, first = int(sys.argv[1]), int(sys.argv[2]), bytes.fromhex(sys.argv[3] if len(sys.argv) > 3 else "")
held = []
for i in range(n):
    s = socket.create_connection(("127.0.0.1", port))
    s.sendall(first)
    held.append(s)
time.sleep(600)
"""


def listens(machine, port, udp=False):
    return f":{port} " in machine.run("ss", "-lun" if udp else "-ltn")


def listens_wait(machine, name, port, udp=False):
    wait_until(lambda: listens(machine, port, udp), 30, f"{name} of {machine.name} listens")


def certificate_make(machine):
    machine.run("openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=$(hostname) -keyout /run/lab.key "
                "-out /run/lab.crt 2>/dev/null && chmod 644 /run/lab.key")


def hold(machine, port, n, first=b""):
    """n clients that stay; hold_end() ends them."""
    machine.write("/run/lab-hold.py", HOLD)
    return machine.spawn("python3", "/run/lab-hold.py", str(port), str(n), first.hex(), log="hold")


def hold_end(machine):
    machine.kill("lab-hold.py|psql|lab-redis.lua", "KILL")
    machine.kill("postgres: .* SELECT", "TERM")


def mariadb_start(machine):
    if "ibdata1" not in machine.run("ls /run/lab-mysql 2>/dev/null || true"):
        machine.run("mkdir -p /run/lab-mysql && chown mysql /run/lab-mysql && "
                    "mariadb-install-db --no-defaults --user=mysql --datadir=/run/lab-mysql --skip-test-db "
                    "--innodb-log-file-size=8M > /run/lab-mysql.out 2>&1", timeout=90)
        machine.write("/run/lab-mysql.sql", f"CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\n")
    machine.run("cp /run/lab.key /run/lab-mysql.key && chown mysql /run/lab-mysql.key")
    # not by spawn(): its nsenter stops with a process that is stopped, and is not continued with it
    machine.run("mariadbd --no-defaults --user=mysql --datadir=/run/lab-mysql --socket=/run/lab-mysql/s "
                "--pid-file=/run/lab-mysql/pid --innodb-log-file-size=8M --skip-name-resolve --max-connections=20 "
                "--connect-timeout=120 --init-file=/run/lab-mysql.sql --ssl-cert=/run/lab.crt "
                "--ssl-key=/run/lab-mysql.key --bind-address='*' >> /run/lab-mysql.out 2>&1 &")
    listens_wait(machine, "MariaDB", 3306)


def postgresql_start(machine, flag="-w"):
    if "PG_VERSION" not in machine.run(f"ls {PG_DATA} 2>/dev/null || true"):
        machine.write("/run/lab-pg.password", PASSWORD + "\n")
        machine.run(f"install -d -o postgres -m 700 {PG_DATA} && chown postgres /run/lab-pg.password && "
                    f"cd / && su postgres -s /bin/sh -c '{PG_BIN}/initdb -D {PG_DATA} -U {USER} "
                    "-A scram-sha-256 --no-sync --pwfile=/run/lab-pg.password' > /run/lab-pg.out 2>&1 && "
                    f"echo 'host all all all scram-sha-256' >> {PG_DATA}/pg_hba.conf && "
                    f"cp /run/lab.crt {PG_DATA}/server.crt && cp /run/lab.key {PG_DATA}/server.key && "
                    f"chown postgres {PG_DATA}/server.* && chmod 600 {PG_DATA}/server.key", timeout=90)
    machine.run(f"rm -f {PG_DATA}/postmaster.pid; cd / && su postgres -s /bin/sh -c '{PG_BIN}/pg_ctl -D {PG_DATA} "
                f"-l {PG_DATA}/log {flag} -o \"-c listen_addresses=* -c unix_socket_directories={PG_DATA} "
                "-c max_connections=4 -c superuser_reserved_connections=0 -c max_wal_senders=0 -c ssl=on "
                "-c authentication_timeout=300 -c fsync=off\" start' > /run/lab-pg.out 2>&1", timeout=60)
    listens_wait(machine, "PostgreSQL", 5432)


def postgresql_start_slowly(machine):
    """It recovers from an archive, and waits there for as long as /run/lab-pg.wait exists."""
    machine.run(f"touch /run/lab-pg.wait && install -o postgres /dev/null {PG_DATA}/recovery.signal && "
                "echo \"restore_command = 'while [ -e /run/lab-pg.wait ]; do sleep 0.05; done; false'\" >> "
                f"{PG_DATA}/postgresql.auto.conf")
    postgresql_start(machine, "-W")


def postgresql_session(machine):
    """A client that has work for ten minutes, or until hold_end()."""
    machine.spawn("psql", f"postgresql://{USER}:{PASSWORD}@127.0.0.1/postgres", "-c", "SELECT pg_sleep(600)",
                  log="hold")
    wait_until(lambda: machine.pids("postgres: .* SELECT"), 10, "a client works")


def postgresql_stop_smart(machine):
    """It waits for its clients to leave, and takes no new ones."""
    machine.run(f"cd / && su postgres -s /bin/sh -c '{PG_BIN}/pg_ctl -D {PG_DATA} -m smart -W stop' > /run/lab-pg.out 2>&1")


def postgresql_startup():
    """What a client says first; then it would have to log in."""
    words = b"\0".join([b"user", USER.encode(), b"database", b"postgres", b"", b""])
    return (len(words) + 8).to_bytes(4, "big") + (3 << 16).to_bytes(4, "big") + words


def slapd_start(machine):
    machine.write("/run/lab-slapd.conf", SLAPD)
    machine.write("/run/lab.ldif", LDIF)
    machine.run("[ -d /run/lab-ldap ] || { mkdir /run/lab-ldap && "
                "slapadd -f /run/lab-slapd.conf -l /run/lab.ldif > /run/lab-slapd.out 2>&1; }")
    machine.run("slapd -f /run/lab-slapd.conf -h ldap:/// > /run/lab-slapd.out 2>&1", timeout=30)
    listens_wait(machine, "slapd", 389)


def redis_start(machine):
    machine.run(f"redis-server --port 6379 --bind '* -::*' --requirepass {PASSWORD} --save '' --daemonize yes "
                "--dir /run --pidfile /run/lab-redis.pid > /run/lab-redis.out 2>&1")
    listens_wait(machine, "Redis", 6379)


def redis_command(machine, *words):
    return machine.run("redis-cli", "--no-auth-warning", "-a", PASSWORD, *words)


def redis_is_held(machine):
    """By hold(): a client of this machine other than redis-cli; probes come from elsewhere."""
    return any(" addr=127.0.0.1:" in line and " cmd=client" not in line
               for line in redis_command(machine, "CLIENT", "LIST").splitlines())


def redis_slow_down(machine):
    """It is busy with something else for most of the time; until it is stopped by hold_end()."""
    busy = ("local from = redis.call('TIME') repeat local now = redis.call('TIME') "
            "until (now[1] - from[1]) * 1000000 + now[2] - from[2] > 150000")
    machine.write("/run/lab-redis.lua", busy)
    machine.spawn("redis-cli", "--no-auth-warning", "-a", PASSWORD, "-r", "-1", "--eval", "/run/lab-redis.lua",
                  log="hold")


def memcached_start(machine):
    machine.run("memcached -d -u memcache -p 11211 -l 0.0.0.0 -c 64")
    listens_wait(machine, "memcached", 11211)


def unbound_start(machine):
    machine.write("/run/lab-unbound.conf", UNBOUND)
    machine.run("unbound -c /run/lab-unbound.conf > /run/lab-unbound.out 2>&1", timeout=30)
    listens_wait(machine, "Unbound", 53, udp=True)
