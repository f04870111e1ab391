# SPDX-License-Identifier: BSD-2-Clause
"""Beyond one pair: three nodes that a router's ECMP spreads over, told by BIRD which of them can serve; no
connection breaks when one is added, drained, stopped or dies."""
import json
import os
import re
import time

from lab.crowd import Crowd, Newcomers, tell
from lab.ecmp import EcmpSite
from lab.machine import wait_until
from lab.site import ROOT, SLUICED, VIP, VIP6

CLIENTS = 1500
LB = "--child lb"


def site():
    lab = EcmpSite()
    for name in ("lb1", "lb2"):
        lab.bird_start(name)
        lab.node_start(name)
    lab.hops_wait("lb1", "lb2")
    lab.crowd = Crowd(lab.client, VIP, CLIENTS)
    return lab


def whys(lab, node):
    return {row["vip"]: (row["announced"], row["why"]) for row in lab.show(node, "routes")}


class Watched:
    """New connections all the while; at the end every connection of the crowd is asked."""

    def __init__(self, lab, what):
        self.lab, self.what = lab, what

    def __enter__(self):
        self.newcomers = Newcomers(self.lab.client, VIP, timeout_s=20)
        return self

    def __exit__(self, kind, *why):
        if not kind:
            good = self.newcomers.good
            wait_until(lambda: self.newcomers.good >= good + 50, 30, "new connections go on")
        self.newcomers.end()
        if kind:
            return
        broken, moved = self.lab.crowd.exchange()
        tell(f"{self.what}: {broken} of {CLIENTS} connections broken, {moved} at another backend; "
             f"{self.newcomers.good} new ones, {len(self.newcomers.failed)} failed, "
             f"the slowest {self.newcomers.slowest_s * 1000:.0f} ms")
        assert (broken, moved, self.newcomers.failed) == (0, 0, []), self.newcomers.failed[:3]


def test_router_spreads_over_all_that_announce(lab):
    for node in ("lb1", "lb2"):
        assert whys(lab, node) == {VIP: ("yes", ""), VIP6: ("yes", "")}
        assert lab.packets(node) > CLIENTS, f"{node} balances"
        status = json.loads(lab.sluice(node, "status", "--json"))
        assert status["problems"] == [] and len(status["routes"]) == 2, status
    assert lab.crowd.exchange() == (0, 0)
    newcomers = Newcomers(lab.client, VIP6)
    wait_until(lambda: newcomers.good >= 50, 20, "IPv6 goes the same way")
    newcomers.end()
    assert not newcomers.failed, newcomers.failed[:3]


def test_added_node_breaks_no_connection(lab):
    with Watched(lab, "a node added"):
        lab.bird_start("lb3")
        lab.node_start("lb3")
        lab.hops_wait("lb1", "lb2", "lb3")
    assert lab.packets("lb3") > CLIENTS / 6, "lb3 balances"


def test_drained_node_breaks_no_connection_and_stays_drained(lab):
    with Watched(lab, "a node drained"):
        lab.sluice("lb2", "drain", "--node")
        assert lab.routes("lb2") == []
        lab.hops_wait("lb1", "lb3")
    assert whys(lab, "lb2")[VIP] == ("no", "the node is drained")
    lab.sluice_stop("lb2")
    lab.sluice_start("lb2")
    wait_until(lambda: whys(lab, "lb2").get(VIP) == ("no", "the node is drained"), 15, "still drained")
    assert lab.routes("lb2") == []
    with Watched(lab, "the drain ended"):
        lab.sluice("lb2", "undrain", "--node")
        lab.hops_wait("lb1", "lb2", "lb3")


def test_stopped_node_withdraws_and_a_killed_lb_does_not(lab):
    with Watched(lab, "lb killed, then the node stopped and started"):
        before = lab.lb3.pids(LB)
        lab.lb3.kill(LB, "KILL")
        assert lab.routes("lb3") == [VIP, VIP6]
        wait_until(lambda: lab.show("lb3", "routes") and lab.lb3.pids(LB) != before, 15,
                   "another lb")
        assert lab.routes("lb3") == [VIP, VIP6] and lab.hops() == ["lb1", "lb2", "lb3"]
        lab.lb3.kill(f"^{SLUICED}$", "KILL")  # the parent alone: the others end with it
        wait_until(lambda: lab.routes("lb3") == [], 10, "withdrawn by lb")
        lab.node_start("lb3")
        lab.sluice_stop("lb3")
        assert lab.routes("lb3") == []
        lab.hops_wait("lb1", "lb2")
        lab.node_start("lb3")
        lab.hops_wait("lb1", "lb2", "lb3")


def test_detached_node_withdraws(lab):
    lab.sluice("lb3", "drain", "--node")
    lab.hops_wait("lb1", "lb2")
    with Watched(lab, "a drained node detached"):
        lab.sluice("lb3", "detach")
        lab.sluice("lb3", "undrain", "--node")
        assert lab.routes("lb3") == [] and whys(lab, "lb3")[VIP] == ("no", "detached by the operator")
        lab.sluice("lb3", "reload")
        wait_until(lambda: lab.routes("lb3") == [VIP, VIP6], 10, "announced again")
        lab.hops_wait("lb1", "lb2", "lb3")


def test_route_that_somebody_deletes_comes_back(lab):
    lab.lb3.run("ip route flush table 205 proto 205")
    wait_until(lambda: lab.routes("lb3") == [VIP, VIP6], 15, "both routes are there")
    lab.hops_wait("lb1", "lb2", "lb3")


def kill_all(lab, node):
    lab.machines[node].run("kill", "-KILL", *map(str, lab.machines[node].pids("parent/sluiced|--child")))
    wait_until(lambda: not lab.machines[node].pids("parent/sluiced|--child"), 10, "nobody is left")


def test_node_whose_processes_are_all_killed_goes_on(lab):
    with Watched(lab, "every process of a node killed"):
        kill_all(lab, "lb3")
        assert lab.routes("lb3") == [VIP, VIP6]
        assert lab.crowd.exchange() == (0, 0)
        lab.node_start("lb3")
        assert lab.hops() == ["lb1", "lb2", "lb3"]


def stop_post(result):
    """What systemd runs when the service has ended that way."""
    with open(os.path.join(ROOT, "etc", "sluiced.service.in")) as f:
        line = re.search(r"^ExecStopPost=-/bin/sh -c '(.*)'$", f.read(), re.M)[1]
    return f"export SERVICE_RESULT={result}; " + line.replace("$$", "$")


def test_what_died_without_a_word_is_withdrawn_by_systemd(lab):
    with Watched(lab, "every process killed, routes withdrawn"):
        kill_all(lab, "lb3")
        lab.lb3.run(stop_post("success"))
        assert lab.routes("lb3") == [VIP, VIP6]
        lab.lb3.run(stop_post("signal"))
        assert lab.routes("lb3") == []
        lab.hops_wait("lb1", "lb2")
    lab.node_start("lb3")
    lab.hops_wait("lb1", "lb2", "lb3")


def test_routes_are_found_again_that_another_configuration_left(lab):
    def others(table):
        return lab.lb3.run(f"ip -4 route show table {table}; ip -6 route show table {table}", check=False).stdout

    elsewhere = lab.config().replace('announce = "kernel"', 'announce = { to = "kernel"; table = 206; }')
    kill_all(lab, "lb3")
    lab.config_write(elsewhere, nodes=("lb3",))
    lab.sluice_start("lb3")
    wait_until(lambda: lab.routes("lb3") == [] and VIP in others(206) and VIP6 in others(206), 20, "in the other table")
    lab.hops_wait("lb1", "lb2")
    kill_all(lab, "lb3")
    vrrp = "vrrp = ( " + ", ".join(
        f'{{ name = "{name}"; vrid = 51; interval = "1s"; priorities = {{ lb3 = 100; }}; addresses = [ {vips} ]; }}'
        for name, vips in (("v4", f'"{VIP}/32"'), ("v6", f'"fe80::51/64", "{VIP6}/128"'))) + " );"
    lab.config_write(lab.config().replace('announce = "kernel";', vrrp), nodes=("lb3",))
    lab.sluice_start("lb3")
    wait_until(lambda: "205" not in others(206), 20, "withdrawn by who announces nothing")
    wait_until(lambda: lab.show("lb3", "pools"), 30, "it answers")
    lab.config_write(nodes=("lb3",))
    lab.sluice("lb3", "reload")
    wait_until(lambda: lab.routes("lb3") == [VIP, VIP6], 30, "announced again")
    lab.hops_wait("lb1", "lb2", "lb3")


def test_route_of_another_in_the_place_of_ours_is_told(lab):
    lab.lb3.run(f"ip route replace blackhole {VIP}/32 table 205 proto 3")
    wait_until(lambda: whys(lab, "lb3") == {VIP: ("no", "its route is not in the kernel yet"), VIP6: ("yes", "")}, 10, "told")
    status = json.loads(lab.sluice("lb3", "status", "--json", check=False).stdout)
    assert len(status["problems"]) == 1 and "table 205 has a route" in status["problems"][0], status["problems"]
    lab.hops_wait("lb1", "lb2", families=(False,))
    lab.lb3.run(f"ip route del blackhole {VIP}/32 table 205 proto 3")
    wait_until(lambda: whys(lab, "lb3")[VIP] == ("yes", "") and lab.routes("lb3") == [VIP, VIP6], 10, "announced again")
    lab.hops_wait("lb1", "lb2", "lb3")


def test_dead_node_breaks_no_connection(lab):
    with Watched(lab, "a node dead"):
        lab.lb1.run("ip link set eth0 down")
        lab.lb1.kill(".", "KILL")
        lab.hops_wait("lb2", "lb3")


def test_vip_of_vrrp_is_announced_by_the_active_node(lab):
    lab.config_write(lab.config(more=f'''vrrp = ( {{ name = "v4"; vrid = 51; interval = "100ms";
      priorities = {{ lb2 = 200; lb3 = 100; }}; addresses = [ "{VIP}/32" ]; }} );\n'''), nodes=("lb2", "lb3"))
    for node in ("lb2", "lb3"):
        lab.sluice(node, "reload")
    lab.hops_wait("lb2", families=(False,))
    lab.hops_wait("lb2", "lb3", families=(True,))
    assert whys(lab, "lb3") == {VIP: ("no", "another node is active"), VIP6: ("yes", "")}
    refused = lab.sluice("lb2", "drain", "--node", check=False)
    assert refused.returncode == 1 and f"{VIP} is of vrrp and active here" in refused.stderr, refused
    with Watched(lab, "VRRP's role handed over"):
        lab.sluice("lb2", "failover")
        lab.hops_wait("lb3", families=(False,))
    lab.sluice("lb2", "drain", "--node")
    lab.hops_wait("lb3")
    lab.sluice("lb3", "failover")  # the drained one is the only other one
    lab.hops_wait("lb2", families=(False,))
    assert whys(lab, "lb2") == {VIP: ("yes", ""), VIP6: ("no", "the node is drained")}
    lab.sluice("lb2", "undrain", "--node")
    lab.config_write(nodes=("lb2", "lb3"))
    for node in ("lb2", "lb3"):
        lab.sluice(node, "reload")
    lab.hops_wait("lb2", "lb3")


def was_reset(sock):
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_silent_clients_of_a_dead_backend_are_told_whichever_node_knows_first(lab):
    silent = [sock for sock, server in zip(lab.crowd.sockets, lab.crowd.servers) if server == "mx1"]
    assert len(silent) > CLIENTS / 5
    lab.mx1.run("ip link set eth0 down")
    wait_until(lambda: lab.state("lb2", "echo", "mx1") == lab.state("lb3", "echo", "mx1") == "down", 30, "mx1 is down")
    time.sleep(3)
    left = sum(not was_reset(sock) for sock in silent)
    tell(f"a backend dead: {left} of {len(silent)} silent clients not told")
    assert left <= len(silent) / 50, "a flow of which a node saw one packet only is not known to it"


def test_vip_without_a_backend_is_withdrawn(lab):
    for name in lab.backends:
        lab.machines[name].kill("crowd_server", "KILL")
    lab.hops_wait()
    assert whys(lab, "lb2")[VIP] == ("no", "no backend")
    lab.crowd.close()
