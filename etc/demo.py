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
from lab.site import NODES, SLUICE, VIP, VIP6, Site  # noqa: E402

INTERVAL = "1s"

PICTURE = f"""
    client ── router ──┬── switch ──┬── lb1  active  ┐ a cable between the two, and the switch: over both
                       │            └── lb2  backup  ┘ they hear of each other, and of each other's connections
                       └── mx1, mx2, mx3: Postfix, Dovecot, nginx; answers go straight to the client

    The virtual addresses, {VIP} and {VIP6}, are where the active node is (VRRP, every {INTERVAL}).
"""


class Pair(Site):
    """With `sync`, over two links."""

    def __init__(self):
        super().__init__(interval=INTERVAL)
        self.cable(self.lb1, "eth1", self.lb2, "eth1")
        for name in self.nodes:
            self.sync_address(name)

    def sync_address(self, name):
        self.machines[name].run(f"ip addr replace 10.79.0.{NODES[name]}/24 dev eth1")

    def config(self, **options):
        links = [f'{{ interface = "{dev}"; addresses = {{ lb1 = "{net}2"; lb2 = "{net}3"; }}; }}'
                 for dev, net in (("eth0", "10.77.0."), ("eth1", "10.79.0."))]
        return super().config(**options) + f"sync = {{ links = ( {', '.join(links)} ); }};\n"

    def in_sync(self):
        """Both know what the other knows, and hear each other by both links."""
        for node in self.nodes:
            wait_until(lambda: [row["in_sync"] for row in self.show(node, "sync") if not row["link"]] == [True] and
                       {row["link"] for row in self.show(node, "heartbeats")} == {"heard"}, 15, f"{node} is in sync")


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


class Readers:
    """People who read mail all the while: each has an IMAP session open."""

    def __init__(self, lab, n=30):
        self.sessions = [clients.imap_open(lab.client, VIP) for _ in range(n)]

    def check(self):
        """How many of them go on; all must."""
        good = 0
        for session in self.sessions:
            try:
                good += clients.imap_works(session)
            except (OSError, session.error):
                pass
        assert good == len(self.sessions), f"{len(self.sessions) - good} of {len(self.sessions)} sessions broke"
        return f"{good} of {len(self.sessions)} open IMAP sessions go on"

    def end(self):
        for session in self.sessions:
            session.shutdown()


def watched(lab, node, act, limit_s=8):
    """The longest time without an answer, and pings lost, while @act makes @node the active one."""
    pinger = clients.Pinger(lab.client, VIP, 0.002)
    time.sleep(0.3)
    act()
    wait_until(lambda: lab.active(node), limit_s, f"{node} is active")
    time.sleep(0.5)
    gap_ms = pinger.end()
    return gap_ms, pinger.lost()


def planned(lab, readers):
    gap_ms, lost = watched(lab, "lb2", lambda: lab.sluice("lb1", "failover"))
    back_ms, lost_back = watched(lab, "lb1", lambda: lab.sluice("lb1", "failover", "--to", "lb1"))
    return (f"{lost + lost_back} pings lost, longest time between two answers {max(gap_ms, back_ms):.0f} ms; "
            f"{readers.check()}")


def power_cut(lab):
    lab.lb2.run("ip link set eth1 down")  # the cable between the two; lb1's port at the switch
    lab.switch.run("ip link set p-lb1 down")
    lab.lb1.kill("sluice", "KILL")


def dead(lab, readers):
    lab.sluice("lb1", "drain", "mx3")
    wait_until(lambda: {lab.state("lb2", pool, "mx3") for pool in ("imap", "http")} == {"drain"}, 5, "lb2 knows of the drain")
    gap_ms, _ = watched(lab, "lb2", lambda: power_cut(lab))
    assert gap_ms < 500, f"{gap_ms:.0f} ms without an answer"
    counts = clients.http_servers(lab.client, VIP, 30)
    assert "mx3" not in counts, counts
    return (f"lb2 answered after {gap_ms:.0f} ms, though VRRP alone waits for 3 s; {readers.check()}, "
            f"those on mx3, too; 30 new requests: {spread(counts)}")


def returned(lab, readers):
    lab.daemons["lb1"].wait()
    lab.switch.run("ip link set p-lb1 up")
    lab.lb2.run("ip link set eth1 up")
    for node in lab.nodes:
        lab.sync_address(node)
    _, lost = watched(lab, "lb1", lambda: lab.sluice_start("lb1"), 30)
    lab.in_sync()
    assert lab.state("lb1", "imap", "mx3") == "drain", "lb1 was not told of the drain"
    lab.sluice("lb2", "undrain", "mx3")
    return f"lb2 told it all there was to know, and handed over: {lost} pings lost; {readers.check()}"


def status(lab):
    """Without what is the same for each of the many backends."""
    page = lab.sluice("lb1", "status", check=False).stdout
    head, _, rest = page.partition("\nBackends\n")
    rows = rest.split("\n\n")[0].splitlines()[1:]
    up = sum(" up " in row for row in rows)
    return "".join(f"  {line}\n" for line in (head + f"\n(and {len(rows)} backends, of which {up} are up)").splitlines())


def history(lab):
    return "\n".join("    " + line for line in lab.sluice("lb2", "show", "history", "v4").splitlines())


def keep(lab):
    names = list(lab.machines)
    for name in names:
        with open(f"/tmp/sluice-demo.{name}", "w") as f:
            f.write(str(lab.machines[name].pid))
    try:
        print(f"""
It goes on running. In another terminal:
    ./run shell lb1          then: sluice status, sluice show backends, sluice drain mx2 --wait,
                             sluice probe smtp/mx1 -v, sluice plan, sluice failover, sluice show history,
                             sluice show sync, sluice --help
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
    with Pair() as lab:
        lab.up(probes={"smtp": '{ type = "smtp"; interval = "200ms"; timeout = "400ms"; }'})
        lab.in_sync()
        tale.say(f"Ready after {time.monotonic() - tale.began:.1f} s. What lb1 says (sluice status):\n\n{status(lab)}")
        tale.step("Mail through the virtual addresses", lambda: mail(lab))
        tale.step("IMAP, POP3 and the web, too", lambda: others(lab))
        tale.step("mx2's Postfix hangs: accepts, and never speaks", lambda: killed(lab))
        tale.step("mx2's Postfix comes back", lambda: healed(lab))
        tale.step("mx3 is drained while somebody reads mail on it", lambda: drained(lab))
        readers = Readers(lab)
        tale.step("Planned failover to lb2, and back", lambda: planned(lab, readers))
        tale.step("lb1 dies in the middle of a drain: cables out, every process killed", lambda: dead(lab, readers))
        tale.step("lb1 returns, in the middle of the drain", lambda: returned(lab, readers))
        readers.end()
        tale.say("\n  What lb2 says of it (sluice show history v4):\n" + history(lab))
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
