# SPDX-License-Identifier: BSD-2-Clause
"""Three nodes that know of each other: the operator names who is to be active. That one takes over whatever the
priorities are, no other does, and nobody stops answering before."""
import json
import time

from lab import clients
from lab.machine import wait_until
from lab.site import NODES, SLUICE, VIP, Site

VIPS = {"a": VIP, "b": "10.77.0.11", "c": "10.77.0.12"}  # a and b are a group
DOWN_S = 4.5  # an interval of 1 s: who may preempt has done it then

CONFIG = """secret_file = "/etc/sluice/secret";
flow_limit = "64K";
user = "nobody";
nodes = ( { name = "lb1"; interfaces = [ "eth0" ]; }, { name = "lb2"; interfaces = [ "eth0" ]; },
  { name = "lb3"; interfaces = [ "eth0" ]; } );
track = ( { name = "xdp"; type = "plane"; } );
"""


def config():
    group = {"a": 'group = "mail";', "b": 'group = "mail";', "c": ""}
    rows = [f'{{ name = "{name}"; vrid = {51 + i}; interval = "1s"; {group[name]} '
            f'priorities = {{ lb1 = 200; lb2 = 150; lb3 = 100; }}; addresses = [ "{vip}/24" ]; }}'
            for i, (name, vip) in enumerate(VIPS.items())]
    links = [f'{{ interface = "{dev}"; addresses = {{ ' + " ".join(f'{n} = "{net}{NODES[n]}";' for n in NODES) + " }; }"
             for dev, net in (("eth0", "10.77.0."), ("eth1", "10.79.0."))]
    return CONFIG + f"vrrp = ( {', '.join(rows)} );\nsync = {{ links = ( {', '.join(links)} ); }};\n"


def site():
    lab = Site(backends=1, nodes=tuple(NODES))
    lab.second_network()
    lab.config_write(config())
    lab.sluice_start()
    settled(lab, "lb1")
    return lab


def active(lab, name):
    return [node for node in lab.nodes if lab.roles(node).get(name) == "active"]


def holders(lab, vip):
    return [node for node in lab.nodes if f"{vip}/" in lab.machines[node].run("ip -4 addr show dev eth0")]


def settled(lab, *nodes):
    """a (with b) is active at the first, c at the last; all know each other, and all that there is to know."""
    where = {"a": nodes[0], "b": nodes[0], "c": nodes[-1]}
    wait_until(lambda: all(active(lab, name) == [node] for name, node in where.items()), 20, f"active: {where}")
    for node in lab.nodes:
        wait_until(lambda: {row["state"] for row in lab.show(node, "heartbeats")} == {"alive"}, 15, f"{node} hears all")
        wait_until(lambda: [row["in_sync"] for row in lab.show(node, "sync") if not row["link"]] == [True, True], 15,
                   f"{node} is in sync")
        wait_until(lambda: {row["instance"]: row["active"] for row in lab.show(node, "vrrp")} == where, 5,
                   f"{node} knows who is active")
    for name, vip in VIPS.items():
        assert holders(lab, vip) == [where[name]], (name, holders(lab, vip))


class Unnoticed:
    """A ping every other millisecond to each address; what is under way while an address moves may be lost."""

    def __init__(self, lab, what, most=1):
        self.lab, self.what, self.most = lab, what, most

    def __enter__(self):
        self.pingers = [clients.Pinger(self.lab.client, vip, interval_s=0.002) for vip in VIPS.values()]
        time.sleep(0.3)

    def __exit__(self, kind, *why):
        time.sleep(0.5)
        gaps = [pinger.end() for pinger in self.pingers]
        lost = [pinger.lost() for pinger in self.pingers]
        if kind:
            return
        print(f"    {self.what}: {sum(lost)} of {sum(p.sent for p in self.pingers)} pings lost, "
              f"longest time without an answer {max(gaps):.0f} ms")
        assert max(lost) <= self.most, lost


def refused(lab, node, *command):
    done = lab.machines[node].run(SLUICE, "failover", *command, check=False)
    assert done.returncode == 1, done
    return done.stderr


def test_node_that_is_named_takes_over_and_the_better_one_does_not(lab):
    with Unnoticed(lab, "lb1 hands over to lb3"):
        assert lab.sluice("lb1", "failover", "--to", "lb3") == "lb3 is active now\n"
        settled(lab, "lb3")
    time.sleep(DOWN_S)
    settled(lab, "lb3")
    for node, why in (("lb1", "handed over to the operator's choice"), ("lb3", "chosen by the operator")):
        assert why in lab.show(node, "vrrp")[2]["reason"], lab.show(node, "vrrp")
        assert why in lab.sluice(node, "show", "history", "c")
    assert [row["yielding"] for row in lab.show("lb2", "vrrp")] == [True] * 3
    assert [row["splits"] for node in lab.nodes for row in lab.show(node, "vrrp")] == [0] * 9


def test_a_node_asks_for_itself(lab):
    with Unnoticed(lab, "lb2 asks lb3"):
        assert lab.sluice("lb2", "failover", "--to", "lb2") == "lb2 is active now\n"
        settled(lab, "lb2")
    time.sleep(DOWN_S)
    settled(lab, "lb2")


def test_an_instance_goes_with_its_group_alone(lab):
    with Unnoticed(lab, "lb2 hands over a group to lb1"):
        lab.sluice("lb2", "failover", "b", "--to", "lb1")
        settled(lab, "lb1", "lb2")
    with Unnoticed(lab, "lb1 asks lb2 for the rest"):
        lab.sluice("lb1", "failover", "--to", "lb1")
        settled(lab, "lb1")


def test_choice_outlives_the_processes(lab):
    lab.sluice("lb1", "failover", "--to", "lb3")
    settled(lab, "lb3")
    for node in lab.nodes:
        lab.machines[node].kill("--child vrrp", "KILL")
    time.sleep(DOWN_S)
    settled(lab, "lb3")
    lab.sluice("lb1", "failover", "--to", "lb1")
    settled(lab, "lb1")


def test_what_is_in_vain_is_refused_and_says_why(lab):
    assert "no node \"lb9\"" in refused(lab, "lb1", "--to", "lb9")
    assert "active already" in refused(lab, "lb1", "--to", "lb1")
    assert "not active" in refused(lab, "lb2", "--to", "lb3")
    assert "no vrrp instance" in refused(lab, "lb1", "x", "--to", "lb2")
    lab.sluice("lb3", "detach")
    wait_until(lambda: set(lab.roles("lb3").values()) == {"init"}, 5, "lb3 may not be active")
    with Unnoticed(lab, "lb3 may not be active", most=0):
        assert "lb3 did not take over a, b, c, this node goes on" in refused(lab, "lb1", "--to", "lb3")
    assert "may not be active here: track xdp failed" in refused(lab, "lb3", "--to", "lb3")
    assert active(lab, "a") == active(lab, "c") == ["lb1"]
    lab.sluice("lb3", "reload")
    settled(lab, "lb1")
    lab.sluice_stop("lb3")
    wait_until(lambda: "alive" not in {row["state"] for row in lab.show("lb1", "heartbeats") if row["partner"] == "lb3"},
               5, "lb3 is missed")
    assert "lb3 cannot be asked" in refused(lab, "lb1", "--to", "lb3")
    lab.sluice_start("lb3")
    settled(lab, "lb1")


def test_status_says_who_is_active_at_each_node(lab):
    lab.sluice("lb1", "failover", "--to", "lb2")
    settled(lab, "lb2")
    for node in lab.nodes:
        page = lab.sluice(node, "status", check=False)
        assert json.loads(lab.sluice(node, "status", "--json"))["problems"] == []
        head = next(line for line in page.stdout.splitlines() if line.startswith("INSTANCE"))
        rows = [line for line in page.stdout.splitlines() if line.startswith(("a ", "b ", "c "))]
        assert head.split()[:3] == ["INSTANCE", "ROLE", "ACTIVE"] and len(rows) == 3, page.stdout
        assert all(line.split()[2] == "lb2" for line in rows), page.stdout
    lab.sluice("lb1", "failover", "--to", "lb1")
    settled(lab, "lb1")


def test_a_named_node_that_dies_is_replaced_by_the_best(lab):
    lab.sluice("lb1", "failover", "--to", "lb3")
    settled(lab, "lb3")
    lab.lb3.run("kill -9 $(pgrep -x sluice-vrrp) $(pgrep sluice)", check=False)
    wait_until(lambda: active(lab, "a") == active(lab, "c") == ["lb1"], 3, "the best of the others is active")
    lab.daemons["lb3"].wait()
    lab.sluice_start("lb3")
    settled(lab, "lb1")
