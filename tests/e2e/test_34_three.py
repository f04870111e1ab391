# SPDX-License-Identifier: BSD-2-Clause
"""Three nodes of ours: whoever dies or leaves, the best of the others follows, and he alone."""
import time

from lab.machine import wait_until
from lab.site import SLUICED, VIP, Site

CONFIG = f"""secret_file = "/etc/sluice/secret";
flow_limit = "4K";
user = "nobody";
nodes = ( {{ name = "lb1"; interfaces = [ "eth0" ]; }}, {{ name = "lb2"; interfaces = [ "eth0" ]; }},
          {{ name = "lb3"; interfaces = [ "eth0" ]; }} );
vrrp = ( {{ name = "v4"; vrid = 51; interval = "1s"; priorities = {{ lb1 = 200; lb2 = 150; lb3 = 100; }};
            addresses = [ "{VIP}/24" ]; }} );
sync = {{ links = ( {{ interface = "eth0"; addresses = {{ lb1 = "10.77.0.2"; lb2 = "10.77.0.3"; lb3 = "10.77.0.4"; }}; }} ); }};
"""


def site():
    lab = Site(backends=1, nodes=("lb1", "lb2", "lb3"))
    lab.config_write(CONFIG)
    lab.sluice_start()
    settled(lab, "lb1", lab.nodes)
    return lab


def settled(lab, owner, nodes):
    wait_until(lambda: [node for node in nodes if lab.active(node)] == [owner], 20, f"{owner} is active, alone")
    wait_until(lambda: all(sum(row["state"] == "alive" for row in lab.show(node, "heartbeats")) == len(nodes) - 1
                           for node in nodes), 10, "all hear each other")
    wait_until(lambda: owners(lab, nodes) == [owner], 5, f"{owner} has the address, alone")


def owners(lab, nodes):
    return [node for node in nodes if f" {VIP}/" in lab.machines[node].run("ip -4 addr show dev eth0")]


def transitions(lab, node):
    return lab.show(node, "vrrp")[0]["transitions"]


def test_the_best_follows_a_dead_node_and_the_third_does_not_stir(lab):
    before = transitions(lab, "lb3")
    began = time.monotonic()
    lab.lb1.run("ip link set eth0 down; kill -9 $(pgrep -x sluice-vrrp) $(pgrep sluice)", check=False)
    wait_until(lambda: lab.active("lb2"), 2.5, "lb2 is active, long before the down interval")
    print(f"    one of three dead: the best is active after {1000 * (time.monotonic() - began):.0f} ms (interval 1 s)")
    settled(lab, "lb2", ("lb2", "lb3"))
    time.sleep(4)  # longer than the down interval
    assert transitions(lab, "lb3") == before and set(lab.roles("lb3").values()) == {"backup"}


def test_the_last_one_follows_and_each_that_comes_back_takes_its_place(lab):
    lab.lb2.kill(f"^{SLUICED}$", "TERM")
    wait_until(lambda: lab.active("lb3"), 2.5, "lb3 is active")
    lab.daemons["lb2"].wait()
    assert owners(lab, ("lb2", "lb3")) == ["lb3"]
    lab.sluice_start("lb2")
    settled(lab, "lb2", ("lb2", "lb3"))
    lab.daemons["lb1"].wait()
    lab.lb1.run("ip link set eth0 up; ip route replace default via 10.77.0.1")
    lab.sluice_start("lb1")
    settled(lab, "lb1", lab.nodes)


def test_failover_goes_to_the_best_of_the_others(lab):
    lab.sluice("lb1", "failover")
    settled(lab, "lb2", lab.nodes)
    lab.sluice("lb2", "failover")
    wait_until(lambda: not lab.active("lb2"), 5, "lb2 has handed over")
    wait_until(lambda: len(owners(lab, lab.nodes)) == 1, 10, "one has the address")
