# SPDX-License-Identifier: BSD-2-Clause
"""A group of two nodes that know of each other by heartbeats over one member's network: it goes as fast as one instance."""
import json
import time

from lab.machine import wait_until, within
from lab.site import Site

NETS = {"a": ("eth0", "10.77.0.10"), "b": ("eth1", "10.79.0.10")}

CONFIG = """secret_file = "/etc/sluice/secret";
flow_limit = "64K";
nodes = ( { name = "lb1"; interfaces = [ "eth0" ]; }, { name = "lb2"; interfaces = [ "eth0" ]; } );
vrrp = (
  { name = "a"; group = "mail"; vrid = 51; interface = "eth0"; interval = "1s"; preempt = false;
    priorities = { lb1 = 200; lb2 = 100; }; addresses = [ "10.77.0.10/24" ]; },
  { name = "b"; group = "mail"; vrid = 52; interface = "eth1"; interval = "1s"; preempt = false;
    priorities = { lb1 = 200; lb2 = 100; }; addresses = [ "10.79.0.10/24" ]; } );
sync = { links = ( { interface = "eth0"; addresses = { lb1 = "10.77.0.2"; lb2 = "10.77.0.3"; }; } ); };
"""


def site():
    lab = Site(backends=1)
    lab.second_network()
    lab.config_write(CONFIG)
    lab.sluice_start()
    return lab


def owns(lab, node):
    return all(f"{vip}/" in lab.machines[node].run("ip", "-4", "addr", "show", "dev", dev) for dev, vip in NETS.values())


def has_none(lab, node):
    return not any(f"{vip}/" in lab.machines[node].run("ip", "-4", "addr", "show", "dev", dev) for dev, vip in NETS.values())


def goes(lab, node, other):
    wait_until(lambda: owns(lab, node) and has_none(lab, other), 10, f"{node} has the group")
    wait_until(lambda: all(row["state"] == "alive" for n in lab.nodes for row in lab.show(n, "heartbeats")), 10,
               "the nodes hear each other")


def pid(lab, node, role):
    status = json.loads(lab.sluice(node, "status", "--json", check=False).stdout)
    return next(row["pid"] for row in status["processes"] if row["process"] == role)


def test_planned_failover_moves_the_group_at_once(lab):
    goes(lab, "lb1", "lb2")
    lab.sluice("lb1", "failover", "b")
    goes(lab, "lb2", "lb1")
    lab.sluice("lb2", "failover", "a")
    goes(lab, "lb1", "lb2")


def test_killed_processes_move_the_group_in_less_than_an_interval(lab):
    goes(lab, "lb1", "lb2")
    lab.machines["lb1"].run("kill -9 $(pgrep -x sluice-vrrp) $(pgrep sluice)", check=False)
    began = time.monotonic()
    within(lambda: owns(lab, "lb2"), 0.9, "lb2 has both instances")
    print(f"    all processes killed: lb2 has both after {1000 * (time.monotonic() - began):.0f} ms (interval 1 s)")
    lab.sluice_start("lb1")
    goes(lab, "lb2", "lb1")


def test_a_stuck_vrrp_gives_up_the_group_that_the_partner_has_taken(lab):
    goes(lab, "lb2", "lb1")
    lab.machines["lb2"].run(f"kill -STOP {pid(lab, 'lb2', 'vrrp')}")
    wait_until(lambda: owns(lab, "lb1"), 12, "lb1 has taken over")
    lab.machines["lb2"].run(f"kill -CONT {pid(lab, 'lb2', 'vrrp')}", check=False)
    goes(lab, "lb1", "lb2")
