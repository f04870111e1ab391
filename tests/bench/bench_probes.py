#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What a probe costs, beside HAProxy's checks of the same servers at the same interval.

Thousands of addresses of one machine, where a small server speaks the protocol; a prober at another one. The CPU
is that of sluiced's healthcheck process, or of HAProxy, by the scheduler's own count, for each connection that the
prober's kernel opened (what the kernel does for it in the process's name included). The two take turns, each round
gives a ratio; medians. Asserts nothing.

usage: bench_probes.py [--servers N] [--rounds N] [--seconds S] [--json]"""
import argparse
import json
import os
import statistics
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "e2e"))
from lab import daemons  # noqa: E402
from lab.machine import wait_until  # noqa: E402
from lab.site import VIP, Site  # noqa: E402

HERE = os.path.dirname(os.path.realpath(__file__))
PORTS = {"tcp": 7001, "smtp": 7025, "pop3": 7110, "imap": 7143, "http": 7080, "tls": 7443, "https": 7444}
TLS = ("tls", "https")
PROBES = {"https": 'type = "http"; tls = "implicit";'}
INTERVAL_S = 2
CHECKS = {
    "tcp": "option tcp-check",
    "smtp": "option smtpchk EHLO sluice.invalid",
    "pop3": "option tcp-check\n  tcp-check expect string +OK\n  tcp-check send CAPA\\r\\n\n  tcp-check expect string +OK\n"
            "  tcp-check send QUIT\\r\\n",
    "imap": "option tcp-check\n  tcp-check expect string *\\ OK\n  tcp-check send a\\ CAPABILITY\\r\\n\n"
            "  tcp-check expect string a\\ OK\n  tcp-check send b\\ LOGOUT\\r\\n",
    "http": "option httpchk GET /",
    "tls": "option tcp-check",
    "https": "option httpchk GET /",
}


def address(i):
    return f"10.80.{i // 250}.{i % 250 + 1}"


def sluice_config(protocol, n):
    rows = ",\n    ".join(f'{{ name = "mx{i}"; address = "{address(i)}"; }}' for i in range(n))
    return f"""secret_file = "/etc/sluice/secret";
user = "nobody";
nodes = ( {{ name = "lb1"; interfaces = [ "eth0" ]; }} );
vrrp = ( {{ name = "v4"; vrid = 51; interval = "1s"; priorities = {{ lb1 = 200; }}; addresses = [ "{VIP}/24" ]; }} );
pools = ( {{ name = "p"; mode = "nat"; port = {PORTS[protocol]};
  probe = {{ {PROBES.get(protocol, f'type = "{protocol}";')} interval = "{INTERVAL_S}s"; timeout = "{INTERVAL_S}s"; }};
  backends = ( {rows} ); }} );
services = ( {{ name = "s"; vip = "{VIP}"; port = {PORTS[protocol]}; pool = "p"; }} );
"""


def haproxy_config(protocol, n):
    rows = "\n".join(f"  server mx{i} {address(i)}:{PORTS[protocol]}" for i in range(n))
    return f"""global
  nbthread 1
  spread-checks 50
  maxconn {2 * n + 100}
defaults
  mode tcp
  timeout connect {INTERVAL_S}s
  timeout client 30s
  timeout server 30s
  timeout check {INTERVAL_S}s
backend p
  {CHECKS[protocol]}
  default-server check{" check-ssl verify none" if protocol in TLS else ""} inter {INTERVAL_S}s fall 3 rise 2
{rows}
listen front
  bind 127.0.0.1:8080
  use_backend p
"""


class Sluice:
    name = "sluice"

    def __init__(self, lab):
        self.lab = lab

    def start(self, protocol, n):
        self.lab.config_write(sluice_config(protocol, n))
        self.lab.sluice_start("lb1")
        wait_until(lambda: (rows := self.lab.show("lb1", "pools")) and rows[0]["up"] == n, 90, "all servers are up")

    def stop(self):
        self.lab.sluice_stop("lb1")
        self.lab.sluice("lb1", "detach", check=False)

    def pids(self):
        return self.lab.lb1.pids("sluiced --child healthcheck")


class Haproxy:
    name = "HAProxy"

    def __init__(self, lab):
        self.lab = lab

    def start(self, protocol, n):
        self.lab.lb1.write("/etc/haproxy.cfg", haproxy_config(protocol, n))
        self.lab.lb1.run("haproxy -D -p /run/haproxy.pid -f /etc/haproxy.cfg")
        time.sleep(2 * INTERVAL_S)

    def stop(self):
        self.lab.lb1.kill("^haproxy")

    def pids(self):
        return self.lab.lb1.pids("^haproxy")


def site(n):
    """mx1 has all the addresses; one neighbour is enough, because they are behind it."""
    lab = Site(backends=1, nodes=("lb1",))
    lab.mx1.run("ip route add local 10.80.0.0/16 dev lo")
    lab.lb1.run("ip route add 10.80.0.0/16 via 10.77.0.21 && sysctl -qw net.ipv4.ip_local_port_range='1024 65000' "
                "net.ipv4.tcp_tw_reuse=1 net.ipv4.ip_forward=1")
    lab.mx1.run("sysctl -qw net.core.somaxconn=8192 net.ipv4.tcp_max_syn_backlog=8192")
    daemons.certificate_make(lab.mx1)
    lab.daemons["probed"] = lab.mx1.spawn(
        "python3", f"{HERE}/probed_server.py", daemons.CERTIFICATE, daemons.KEY,
        *[f"{p}:{PORTS[p]}" for p in PORTS], log="probed")
    wait_until(lambda: daemons.listens(lab.mx1, PORTS["http"]), 10, "the server listens")
    return lab


def opened(lab):
    """Connections that the prober's machine has opened so far."""
    names, values = [line.split() for line in lab.lb1.run("grep ^Tcp: /proc/net/snmp").splitlines()]
    return int(values[names.index("ActiveOpens")])


def ran_ns(lab, pids):
    total = 0
    for pid in pids:
        text = lab.lb1.run(f"cat /proc/{pid}/task/*/schedstat", check=False).stdout
        total += sum(int(line.split()[0]) for line in text.splitlines())
    return total


def measure(lab, prober, protocol, n, seconds):
    """CPU in microseconds a probe, and probes a second."""
    prober.start(protocol, n)
    try:
        pids = prober.pids()
        had, before, began = opened(lab), ran_ns(lab, pids), time.monotonic()
        time.sleep(seconds)
        took, spent = time.monotonic() - began, ran_ns(lab, pids) - before
        done = opened(lab) - had
    finally:
        prober.stop()
    return spent / 1000 / max(done, 1), done / took


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--servers", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--protocols", default=",".join(PORTS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    with site(options.servers) as lab:
        probers = (Sluice(lab), Haproxy(lab))
        for protocol in options.protocols.split(","):
            rounds = [[measure(lab, p, protocol, options.servers, options.seconds) for p in probers]
                      for _ in range(options.rounds)]
            ratio = statistics.median(r[0][0] / r[1][0] for r in rounds)
            for k, prober in enumerate(probers):
                costs = [r[k][0] for r in rounds]
                rows.append({"protocol": protocol, "prober": prober.name, "servers": options.servers,
                             "probes_per_s": round(statistics.median(r[k][1] for r in rounds)),
                             "cpu_us": round(statistics.median(costs), 1), "least": round(min(costs), 1),
                             "most": round(max(costs), 1), "cores_for_10000_at_2s": round(
                                 statistics.median(costs) * 5000 / 1e6, 2),
                             "to_haproxy": round(ratio, 2) if k == 0 else 1})
    if options.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print("  ".join(f"{key}={value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
