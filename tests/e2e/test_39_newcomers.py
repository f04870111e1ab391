# SPDX-License-Identifier: BSD-2-Clause
"""Handshakes that are under way while the traffic moves from one node to the other: none is lost, but by a
crash. Slots are in transition all the time (mx1 is drained), so that the table alone does not know where they go."""
import time

from lab import crowd
from lab.machine import wait_until
from lab.site import VIP
from test_36_survive import FULLNAT_VIP, NAT_VIP, SERVICES, Pair

TURNS = 6
SILENT_MOST_MS = 400  # tens of them, but for what else runs here


def site():
    lab = Pair(backends=3)
    lab.up()
    lab.in_sync()
    lab.sluice("lb1", "drain", "mx1")
    for node in lab.nodes:
        wait_until(lambda: {lab.state(node, mode, "mx1") for mode, _, _ in SERVICES} == {"drain"}, 10, "mx1 is drained")
    lab.tables_same()
    return lab


class Watch:
    """Arrivals at each mode's VIP, and what became of them."""

    def __init__(self, lab):
        self.lab = lab
        self.arrivals = {vip: crowd.Arrivals(lab.client, vip) for vip in (VIP, FULLNAT_VIP, NAT_VIP)}
        self.begin()

    def begin(self):
        self.began, self.again = time.monotonic(), crowd.syns_again(self.lab.client)
        self.good = {vip: a.good for vip, a in self.arrivals.items()}
        self.handed = [handed_over(self.lab, node) for node in self.lab.nodes]
        for a in self.arrivals.values():
            a.slowest_s = 0.0

    def settle(self):
        """Whoever is in a handshake now has ended it, or given up."""
        now = time.monotonic()
        wait_until(lambda: all(a.oldest() > now for a in self.arrivals.values()), 20, "handshakes end")

    def tell(self, what):
        again = crowd.syns_again(self.lab.client) - self.again
        handed = [max(0, handed_over(self.lab, node) - before) for node, before in zip(self.lab.nodes, self.handed)]
        for vip, a in self.arrivals.items():
            slow, failed = a.since(self.began)
            crowd.tell(f"{what}, {vip}: new {a.good - self.good[vip]}, slowest {a.slowest_s * 1000:.0f} ms, slow "
                       f"{len(slow)}, failed {len(failed)}; SYNs again {again}; handed over {handed}")
        return again

    def none_lost(self, what):
        """A SYN that was lost is sent again, and makes a newcomer slow. (Others are sent again at once: a port that is
        used again, where the server has not heard of its end; and a machine that stands still makes slow ones.)"""
        self.settle()
        again = self.tell(what)
        for vip, a in self.arrivals.items():
            slow, failed = a.since(self.began)
            assert not failed and not (slow and again), (what, vip, again, slow, failed)

    def end(self):
        for a in self.arrivals.values():
            a.end()


def handed_over(lab, node):
    return sum(row["value"] for row in lab.show(node, "counters") if row["counter"] == "handed_over")


def test_answers_of_backends_that_go_by_the_other_node_are_handed_over(lab):
    """What a backend has not heard yet of a failover: its SYN-ACKs go to a node that knows nothing of the SYN."""
    mac = lab.lb2.run("cat", "/sys/class/net/eth0/address").strip()
    for name in lab.backends:
        lab.machines[name].run(f"ip neigh replace {FULLNAT_VIP} lladdr {mac} dev eth0 nud permanent")
    watch = Watch(lab)
    wait_until(lambda: watch.arrivals[FULLNAT_VIP].good > 200, 30, "newcomers are greeted")
    watch.none_lost("answers by lb2")
    assert handed_over(lab, "lb2") > watch.handed[1]
    watch.end()
    for name in lab.backends:
        lab.machines[name].run(f"ip neigh del {FULLNAT_VIP} dev eth0")


def test_planned_failovers_lose_no_handshake(lab):
    watch = Watch(lab)
    for turn in range(TURNS):
        for node, other in (("lb1", "lb2"), ("lb2", "lb1")):
            lab.sluice(node, "failover")
            lab.active_is(other)
            time.sleep(0.3)
    watch.none_lost(f"{2 * TURNS} planned failovers")
    watch.end()


def test_better_node_that_comes_back_loses_no_handshake(lab):
    watch = Watch(lab)
    lab.crash("lb1", [])
    lab.active_is("lb2")
    watch.settle()
    watch.tell("lb1 crashed")
    watch.begin()
    lab.revive("lb1")
    lab.active_is("lb1")
    watch.none_lost("lb1 is back")
    watch.end()


def silence(arrivals, moment):
    """The longest time since then in which nobody began who was greeted at once: its begin and its end."""
    began = sorted(at for at in arrivals.fast if at > moment - 0.1)
    return max(zip(began, began[1:]), key=lambda pair: pair[1] - pair[0])


def crashed(lab, watch, node, other):
    """Newcomers of the silence are lost, and no others."""
    watch.begin()
    moment = time.monotonic()
    lab.crash(node, [])
    lab.active_is(other)
    watch.settle()
    watch.tell(f"{node} crashed")
    for vip, arrivals in watch.arrivals.items():
        begin, end = silence(arrivals, moment)
        silent_ms = (end - begin) * 1000
        slow, failed = arrivals.since(end)
        crowd.tell(f"{node} crashed, {vip}: silent for {silent_ms:.0f} ms; of those that came later slow {len(slow)}, "
                   f"failed {len(failed)}")
        assert (slow, failed) == ([], []), (vip, slow, failed)
        assert silent_ms < SILENT_MOST_MS, (vip, silent_ms)


def test_crash_loses_the_newcomers_of_its_silence_alone(lab):
    watch = Watch(lab)
    time.sleep(0.3)
    crashed(lab, watch, "lb1", "lb2")
    lab.revive("lb1")
    lab.active_is("lb1")
    lab.sluice("lb1", "failover")
    lab.active_is("lb2")
    watch.settle()
    crashed(lab, watch, "lb2", "lb1")
    watch.end()
    lab.revive("lb2")
