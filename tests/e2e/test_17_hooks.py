# SPDX-License-Identifier: BSD-2-Clause
"""The operator's own programs: told of each change, once; run to heal; never in anybody's way."""
import json
import time

from lab import daemons
from lab.machine import wait_until
from lab.site import Site

BESIDE_OTHERS = True
HOOK = """#!/bin/sh
echo "$SLUICE_EVENT ${SLUICE_POOL:+$SLUICE_POOL/$SLUICE_BACKEND }$SLUICE_INSTANCE $SLUICE_FROM $SLUICE_TO" >> /run/hooks/told
{ env | grep ^SLUICE_ | sort; id -un; } > /run/hooks/last
"""

# Somebody who may: on the backend, as root. (Its command line does not have the word that the tests kill by.)
STARTER = """
import socket, subprocess
s = socket.create_server(("10.77.0.21", 9999))
while True:
    c, _ = s.accept()
    if c.makefile().readline() == "start web\\n":
        subprocess.run(["ng" + "inx"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    c.sendall(b"done\\n")
    c.close()
"""

HEAL = """#!/bin/bash
exec 3<>/dev/tcp/$SLUICE_ADDRESS/9999 || exit 1
echo "start web" >&3
read -r answer <&3
echo "$SLUICE_BACKEND $SLUICE_ATTEMPT" >> /run/hooks/healed
[ "$answer" = "done" ]
"""

RECEIVER = """
import http.server, ssl, threading
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open("/run/posted" + self.path.split("?")[0].replace("/", "-"), "ab") as f:
            f.write(body)
        self.send_response(204)
        self.end_headers()
secure = http.server.ThreadingHTTPServer(("10.77.0.1", 8443), Receiver)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/run/alerts.pem")
secure.socket = context.wrap_socket(secure.socket, server_side=True)
threading.Thread(target=secure.serve_forever, daemon=True).start()
http.server.ThreadingHTTPServer(("10.77.0.1", 8080), Receiver).serve_forever()
"""

HOOKS = """on_change = ( { command = [ "/etc/sluice/hook" ]; },
  { url = "http://alerts:8080/sluice"; }, { url = "https://alerts:8443/tls?token=4711"; } );
"""


def site():
    lab = Site()
    text = lab.config().replace(
        '{ name = "http"; port = 80;',
        '{ name = "http"; port = 80; heal = { command = [ "/etc/sluice/heal" ]; after = "1s"; again = "30s"; };')
    for node in lab.nodes:
        machine = lab.machines[node]
        machine.write("/etc/sluice/hook", HOOK, mode="755")
        machine.write("/etc/sluice/heal", HEAL, mode="755")
        machine.run("mkdir -m 777 /run/hooks; echo '10.77.0.1 alerts' >> /etc/hosts")
    pem = lab.router.run("openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=alerts -addext subjectAltName=DNS:alerts "
                         "-keyout /run/alerts.pem -out /run/alerts.crt 2>/dev/null && cat /run/alerts.crt | "
                         "tee -a /run/alerts.pem")
    lab.lb1.write("/etc/ssl/certs/alerts.pem", pem)  # lb2 does not know it
    lab.lb1.run('cd /etc/ssl/certs && ln -sf alerts.pem "$(openssl x509 -hash -noout -in alerts.pem).0"')
    lab.router.spawn("python3", "-c", RECEIVER, log="receiver")
    lab.mx1.spawn("python3", "-c", STARTER, log="starter")
    wait_until(lambda: daemons.listens(lab.router, 8080) and daemons.listens(lab.mx1, 9999), 10,
               "the receiver and the starter listen")
    lab.mail_start()
    lab.config_write(HOOKS + text)
    lab.sluice_start()
    lab.ready()
    lab.all_up("lb2")
    return lab


def lines(machine, path):
    return machine.run(f"cat {path} 2>/dev/null || true").splitlines()


def told(lab, node="lb1", what=""):
    return [line for line in lines(lab.machines[node], "/run/hooks/told") if what in line]


def posted(lab, path="sluice", **wanted):
    return [event for event in map(json.loads, lines(lab.router, f"/run/posted-{path}"))
            if all(event.get(key) == value for key, value in wanted.items())]


def test_nobody_is_told_that_servers_are_up_at_the_start(lab):
    assert told(lab, what="backend") == [], told(lab)
    wait_until(lambda: "vrrp v4 backup active" in told(lab), 10, "the role was told")


def test_killed_nginx_is_told_to_the_hook_and_the_webhook_and_healed(lab):
    lab.mx1.kill("nginx", "KILL")
    wait_until(lambda: "backend http/mx1  up down" in told(lab), 15, "the hook was told")
    event = wait_until(lambda: posted(lab, node="lb1", pool="http", backend="mx1", to="down"), 15,
                       "the webhook was told")[0]
    assert event["event"] == "backend" and event["from"] == "up" and event["by"] == "probe", event
    assert event["address"] == "10.77.0.21" and event["port"] == 80 and event["active"] == "yes", event
    assert "refused" in event["reason"].lower() and abs(event["since"] - time.time()) < 60, event
    wait_until(lambda: lab.state("lb1", "http", "mx1") == "up", 15, "nginx was started and is up again")
    wait_until(lambda: "backend http/mx1  down up" in told(lab), 15, "that was told")
    assert lines(lab.lb1, "/run/hooks/healed") == ["mx1 1"]
    assert lines(lab.lb2, "/run/hooks/healed") == [], "of a pair only the active node heals"
    wait_until(lambda: posted(lab, node="lb2", pool="http", to="up", active="no"), 15,
               "the other node told it, too, and that it is not active")
    last = lines(lab.lb1, "/run/hooks/last")
    assert "SLUICE_NODE=lb1" in last and last[-1] == "nobody", last


def test_https_webhook_is_told_only_if_its_certificate_is_good(lab):
    wait_until(lambda: posted(lab, "tls", node="lb1", event="vrrp", to="active"), 15, "lb1 trusts it")
    wait_until(lambda: "TLS: self-signed certificate" in lab.lb2.run(f"cat {lab.logs}/lb2-sluiced.log"), 15,
               "lb2 does not, and says so")
    assert posted(lab, "tls", node="lb2") == []
    log = lab.lb2.run(f"cat {lab.logs}/lb2-sluiced.log")
    assert "run=https://alerts:8443 " in log and "4711" not in log, "an URL's secrets stay out of the log"


def counted(lab, node, hook):
    return next(row for row in lab.show(node, "hooks") if row["hook"] == hook)


def test_what_became_of_hooks_and_heals_is_shown(lab):
    wait_until(lambda: counted(lab, "lb1", "heal http")["done"] == 1, 10, "the heal is counted")
    row = wait_until(lambda: (r := counted(lab, "lb1", "1"))["done"] >= 3 and r, 10, "what the program was told is counted")
    assert row["run"] == "/etc/sluice/hook" and not row["failing"], row
    assert counted(lab, "lb1", "3")["run"] == "https://alerts:8443"
    row = wait_until(lambda: (r := counted(lab, "lb2", "3"))["failing"] and r, 15, "lb2's TLS webhook fails")
    assert row["done"] == 0 and row["again"] >= 2, row
    status = lab.sluice("lb2", "status", check=False).stdout
    assert "hook 3 (https://alerts:8443) could not tell its last change" in status and "4711" not in status, status
    counters = {row["counter"]: row["value"] for row in lab.show("lb1", "counters")}
    assert counters["heal_runs"] == 1 and counters["hook_changes_told"] >= 6, counters
    lab.lb1.kill("--child lb", "KILL")
    wait_until(lambda: lab.sluice("lb1", "status", check=False).returncode in (0, 4), 15, "lb is back")
    wait_until(lambda: counted(lab, "lb1", "heal http")["done"] == 1, 10, "and knows what was")
    lab.ready()


def test_drained_backend_is_not_healed(lab):
    n_down, healed = len(told(lab, what="http/mx1  up down")), lines(lab.lb1, "/run/hooks/healed")
    lab.sluice("lb1", "drain", "mx1")
    lab.mx1.kill("nginx", "KILL")
    wait_until(lambda: len(told(lab, what="http/mx1  up down")) == n_down + 1, 15, "it is down")
    time.sleep(2)
    assert lines(lab.lb1, "/run/hooks/healed") == healed
    lab.sluice("lb1", "undrain", "mx1")
    wait_until(lambda: lab.state("lb1", "http", "mx1") == "up", 15, "now it is healed")
    lab.all_up("lb1")


def programs(lab):
    """The process; a webhook under way is a fork of it."""
    return lab.lb1.run("pgrep", "-o", "-f", "--", "--child programs", check=False).stdout.strip()


def quiet(lab):
    """Wait until nothing more is told; how much was."""
    n = -1
    while n != len(told(lab)):
        n = len(told(lab))
        time.sleep(0.7)
    return n


def test_kill_of_programs_tells_nothing_twice_and_nothing_flaps(lab):
    before = quiet(lab)
    n_posted = len(posted(lab))
    downs = lab.lb1.run(f"grep -c ' down: ' {lab.logs}/lb1-sluiced.log || true")
    old = wait_until(lambda: programs(lab), 5, "it runs")
    lab.lb1.kill("--child programs", "KILL")
    wait_until(lambda: programs(lab) not in ("", old), 5, "it runs again")
    time.sleep(1.5)
    assert len(told(lab)) == before, told(lab)[before:]
    assert len(posted(lab)) == n_posted
    assert lab.lb1.run(f"grep -c ' down: ' {lab.logs}/lb1-sluiced.log || true") == downs
    assert lab.active("lb1")
    status = json.loads(lab.sluice("lb1", "status", "--json", check=False).stdout)
    assert [p["restarts"] for p in status["processes"] if p["process"] == "programs"] == [1], status
    lab.mx2.kill("nginx", "KILL")
    wait_until(lambda: told(lab, what="http/mx2  up down"), 15, "it goes on telling")
    daemons.nginx_start(lab.mx2)
    wait_until(lambda: told(lab, what="http/mx2  down up"), 15, "both ways")


def test_what_changed_while_programs_was_dead_is_told_once(lab):
    quiet(lab)
    for _ in range(8):  # each time it is started again later
        wait_until(lambda: programs(lab), 10, "it runs")
        lab.lb1.kill("--child programs", "KILL")
    lab.mx3.kill("nginx", "KILL")
    wait_until(lambda: lab.state("lb1", "http", "mx3") == "down", 15, "mx3 is down")
    was_dead = not programs(lab)
    wait_until(lambda: told(lab, what="http/mx3  up down"), 15, "that was told when it came back")
    assert was_dead, "it was back too early for this test to mean anything"
    quiet(lab)
    assert len(told(lab, what="http/mx3  up down")) == 1, told(lab)
    daemons.nginx_start(lab.mx3)
    wait_until(lambda: told(lab, what="http/mx3  down up"), 15, "it is up again")
    lab.all_up("lb1")


def test_stopped_programs_delays_nobody_and_is_replaced(lab):
    quiet(lab)
    before = len(told(lab, what="http/mx2  up down"))
    old = programs(lab)
    lab.lb1.run("kill", "-STOP", old)
    time.sleep(2.5)  # it is known that it does not answer
    lab.mx2.kill("nginx", "KILL")
    began = time.monotonic()
    wait_until(lambda: lab.out("lb1", "http", "mx2"), 10, "mx2 is out")
    assert time.monotonic() - began < 5
    wait_until(lambda: programs(lab) not in ("", old), 20, "a new one runs")
    assert lab.active("lb1")
    wait_until(lambda: len(told(lab, what="http/mx2  up down")) == before + 1, 15, "and tells what it missed")
    daemons.nginx_start(lab.mx2)
    lab.all_up("lb1")


def test_failover_is_told(lab):
    before = len(told(lab, "lb2", "vrrp v4 backup active"))
    lab.sluice("lb1", "failover")
    wait_until(lambda: len(told(lab, "lb2", "vrrp v4 backup active")) == before + 1, 15, "lb2 told it")
    wait_until(lambda: told(lab, "lb1", "vrrp v4 active backup"), 15, "lb1 told it")
