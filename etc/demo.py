#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""./run demo: a mail site in namespaces, and what sluice does when things happen to it."""
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "tests", "e2e"))

from lab import clients, daemons  # noqa: E402
from lab.machine import wait_until  # noqa: E402
from lab.site import SLUICE, SLUICED, VIP, VIP6, Site  # noqa: E402

PICTURE = f"""
    client ── router ──┬── switch ──┬── lb1  active   VIPs {VIP} and {VIP6}
                       │            └── lb2  backup   take over when lb1 is gone
                       └── mx1, mx2, mx3: Postfix, Dovecot, nginx; answers go straight to the client
"""


def colour(code, text):
    return f"\033[{code}m{text}\033[0m" if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else text


class Tale:
    """Tells each step, what was measured, and whether it went as promised."""

    def __init__(self):
        self.failed = 0
        self.began = time.monotonic()

    def say(self, text):
        print(text, flush=True)

    def step(self, title, action):
        print(colour("1", f"\n▸ {title}"), flush=True)
        began = time.monotonic()
        try:
            figures = action()
            print(f"  {colour('32', 'passed')}  {figures}  ({time.monotonic() - began:.1f} s)", flush=True)
        except Exception as error:  # told, counted, and the tale goes on
            self.failed += 1
            print(f"  {colour('31', 'FAILED')}  {error}", flush=True)


def spread(counts):
    return ", ".join(f"{name} {counts[name]}" for name in sorted(counts))


def deliver(lab, n=20):
    counts = {}
    for i in range(n):
        server = clients.send_mail(lab.client, VIP if i % 2 else VIP6)
        counts[server] = counts.get(server, 0) + 1
    return counts


def mail(lab):
    before = sum(daemons.mail_count(lab.machines[b]) for b in lab.backends)
    counts = deliver(lab)
    wait_until(lambda: sum(daemons.mail_count(lab.machines[b]) for b in lab.backends) == before + 20,
               10, "20 messages are in the mailboxes")
    assert set(counts) == set(lab.backends), f"not all backends were used: {counts}"
    return f"20 messages delivered over IPv4 and IPv6: {spread(counts)}"


def others(lab):
    counts = clients.http_servers(lab.client, VIP, 60)
    imap = clients.imap_open(lab.client, VIP)
    assert clients.imap_works(imap)
    imap.logout()
    pop = clients.pop3_server(lab.client, VIP6)
    return f"IMAP at {imap.server}, POP3 at {pop}; 60 web requests: {spread(counts)}"


def killed(lab):
    lab.mx2.kill("smtpd|/master", "STOP")
    began = time.monotonic()
    wait_until(lambda: lab.state("lb1", "smtp", "mx2") == "down", 15, "mx2 is down")
    took = time.monotonic() - began
    wait_until(lambda: lab.out("lb1", "smtp", "mx2") and lab.out("lb1", "smtp6", "mx2"), 5, "mx2 is out")
    counts = deliver(lab, 10)
    assert "mx2" not in counts, counts
    return f"detected in {took:.2f} s (3 probes of 0.4 s, every 0.2 s); 10 messages: {spread(counts)}"


def healed(lab):
    lab.mx2.kill("smtpd|/master", "CONT")
    began = time.monotonic()
    wait_until(lambda: lab.state("lb1", "smtp", "mx2") == "up" and lab.state("lb1", "smtp6", "mx2") == "up",
               20, "mx2 is up")
    took = time.monotonic() - began
    wait_until(lambda: "mx2" in deliver(lab, 6), 10, "mx2 gets mail")
    return f"back in {took:.2f} s, and gets mail"


def drained(lab):
    session = clients.imap_open_at(lab.client, VIP, "mx3")
    lab.sluice("lb1", "drain", "mx3")
    waiting = lab.lb1.spawn(SLUICE, "drain", "mx3", "--pool", "imap", "--wait=60s", log="wait")
    counts = clients.http_servers(lab.client, VIP, 30)
    assert "mx3" not in counts, counts
    assert clients.imap_works(session) and waiting.poll() is None
    session.logout()
    began = time.monotonic()
    assert waiting.wait(10) == 0
    took = time.monotonic() - began
    lab.sluice("lb1", "undrain", "mx3")
    return (f"the open IMAP session went on, 30 new requests: {spread(counts)}; "
            f"`drain --wait` returned {took:.2f} s after the session's end")


def planned(lab):
    session = clients.imap_open(lab.client, VIP)
    pinger = clients.Pinger(lab.client, VIP, 0.002)
    time.sleep(0.3)
    lab.sluice("lb1", "failover")
    wait_until(lambda: lab.active("lb2"), 5, "lb2 is active")
    time.sleep(1)
    gap_ms = pinger.end()
    assert clients.imap_works(session)
    lab.sluice("lb2", "failover")
    wait_until(lambda: lab.active("lb1"), 5, "lb1 is active again")
    return f"longest time without an answer {gap_ms:.0f} ms; the open IMAP session goes on"


def dead(lab):
    session = clients.imap_open(lab.client, VIP)
    pinger = clients.Pinger(lab.client, VIP, 0.002)
    time.sleep(0.3)
    lab.switch.run("ip link set p-lb1 down")
    lab.lb1.kill("sluiced", "KILL")
    wait_until(lambda: lab.active("lb2"), 5, "lb2 is active")
    time.sleep(0.5)
    gap_ms = pinger.end()
    assert gap_ms < 2000, f"{gap_ms:.0f} ms without an answer"
    assert clients.imap_works(session), "the open session broke"
    counts = deliver(lab, 6)
    return (f"lb2 answered after {gap_ms:.0f} ms (VRRP interval {lab.interval}); the open IMAP session "
            f"goes on; 6 messages: {spread(counts)}")


def returned(lab):
    lab.switch.run("ip link set p-lb1 up")
    lab.daemons["lb1"] = lab.lb1.spawn(SLUICED, log="sluiced")
    lab.ready()
    return f"lb1 is active again; mail: {spread(deliver(lab, 6))}"


def keep(lab):
    names = list(lab.machines)
    for name in names:
        with open(f"/tmp/sluice-demo.{name}", "w") as f:
            f.write(str(lab.machines[name].pid))
    try:
        print(f"""
It goes on running. In another terminal:
    ./run shell lb1          then: sluice status, sluice show backends, sluice drain mx2 --wait,
                             sluice probe smtp/mx1 -v, sluice plan, sluice failover, sluice --help
    ./run shell client       then: nc {VIP} 25, curl http://{VIP}/
Ctrl-C here ends it and removes everything.""", flush=True)
        signal.pause()
    finally:
        for name in names:
            os.unlink(f"/tmp/sluice-demo.{name}")


def main():
    if sys.argv[1:] not in ([], ["--keep"]):
        print("Usage: ./run demo [--keep]", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    tale = Tale()
    tale.say(colour("1", "sluice: a mail site, and what happens to it") + PICTURE)
    tale.say("Making eight machines from namespaces, with real Postfix, Dovecot and nginx...")
    with Site() as lab:
        lab.up(probes={"smtp": '{ type = "smtp"; interval = "200ms"; timeout = "400ms"; }'})
        tale.say(f"Ready after {time.monotonic() - tale.began:.1f} s.\n\n" +
                 lab.sluice("lb1", "status", check=False).stdout)
        tale.step("Mail through the virtual addresses", lambda: mail(lab))
        tale.step("IMAP, POP3 and the web, too", lambda: others(lab))
        tale.step("mx2's Postfix hangs: accepts, and never speaks", lambda: killed(lab))
        tale.step("mx2's Postfix comes back", lambda: healed(lab))
        tale.step("mx3 is drained while somebody reads mail on it", lambda: drained(lab))
        tale.step("Planned failover to lb2, and back", lambda: planned(lab))
        tale.step("lb1 dies: cable out, every process killed", lambda: dead(lab))
        tale.step("lb1 returns", lambda: returned(lab))
        took = time.monotonic() - tale.began
        tale.say(f"\n{colour('31', f'{tale.failed} steps FAILED') if tale.failed else colour('32', 'Every step passed')}"
                 f", in {took:.0f} s.")
        if tale.failed:
            tale.say(lab.log_text())
        if sys.argv[1:] == ["--keep"]:
            keep(lab)
        else:
            tale.say("\nNext: ./run demo --keep, then ./run shell lb1 and sluice status; "
                     "etc/sluice.conf.example; man ./doc/sluice.conf.5")
    return 1 if tale.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nended; everything was removed")
        sys.exit(130)
