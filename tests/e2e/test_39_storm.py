# SPDX-License-Identifier: BSD-2-Clause
"""Reconnect storms: a backend dies, and all of its clients come back at once. The survivors get them in proportion
to their weights."""
import math

from lab import crowd
from lab.machine import wait_until
from lab.site import VIP
from test_36_survive import FULLNAT_VIP, NAT_PORT, Pair

SESSIONS = 600
WEIGHTS = {"mx1": 100, "mx2": 50, "mx3": 150, "mx4": 300}
SIGMAS = 4.5  # of a share of so many: once in 5,000 runs one of the 28 is further away by chance


class Weighted(Pair):
    def config(self, **options):
        text = super().config(**options)
        text = text.replace('interval = "200ms"; ', 'interval = "200ms"; flap_limit = 0; ')  # mx4 dies often here
        for name, weight in WEIGHTS.items():
            text = text.replace(f'name = "{name}"; ', f'name = "{name}"; weight = {weight}; ')
        return text


def site():
    lab = Weighted(backends=4)
    lab.up()
    lab.in_sync()
    return lab


def shares(what, servers, weights):
    """The share of each, beside its weight; what is further away than chance takes it."""
    n, total = sum(servers.values()), sum(weights.values())
    odd = {}
    for name, weight in weights.items():
        wanted = weight / total
        sigma = math.sqrt(wanted * (1 - wanted) / n)
        got = servers.get(name, 0) / n
        crowd.tell(f"{what}: {name} {servers.get(name, 0)} of {n}: {100 * got:.1f} %, by weight {100 * wanted:.1f} "
                   f"(+- {100 * SIGMAS * sigma:.1f})")
        if abs(got - wanted) > SIGMAS * sigma:
            odd[name] = got, wanted
    return odd


def storm(lab, host, what, kill):
    """mx4 dies; its clients come back."""
    idle = crowd.Crowd(lab.client, host, SESSIONS)
    # Only told: a port that mx4's connections had when it died the last time is taken for theirs, until the sweep.
    shares(f"{what}, {host}, before", {name: idle.at(name) for name in WEIGHTS}, WEIGHTS)
    theirs = [sock for sock, server in zip(idle.sockets, idle.servers) if server == "mx4"]
    others = [(sock, server) for sock, server in zip(idle.sockets, idle.servers) if server != "mx4"]
    back = crowd.Storm(lab.client, host, theirs)
    kill()
    took_s = back.run(30)
    crowd.tell(f"{what}, {host}: {len(theirs)} are back in {took_s * 1000:.0f} ms; refused {back.refused}, "
               f"unanswered {back.unanswered}")
    assert back.unanswered <= 1, "but for a handshake that the dying server forgot"
    odd = shares(f"{what}, {host}, back", back.servers, {name: w for name, w in WEIGHTS.items() if name != "mx4"})
    assert not odd and "mx4" not in back.servers, (odd, back.servers)
    idle.sockets, idle.servers = [sock for sock, _ in others], [server for _, server in others]
    assert idle.exchange() == (0, 0)
    idle.close()
    back.close()


def servers_start(lab):
    for port in (crowd.PORT, NAT_PORT):
        crowd.echo_start(lab.mx4, VIP, port)
    for node in lab.nodes:
        lab.all_up(node)


def test_clients_of_a_killed_server_are_spread_by_weight(lab):
    """Its kernel ends the connections: the clients are back before any probe has failed."""
    for host in (VIP, FULLNAT_VIP):
        storm(lab, host, "killed", lambda: lab.mx4.kill("crowd_server"))
        servers_start(lab)


def test_clients_of_a_machine_that_died_are_spread_by_weight(lab):
    """Nobody ends them but the nodes, which tell the clients."""
    for host in (VIP, FULLNAT_VIP):
        storm(lab, host, "machine dead", lambda: lab.switch.run("ip link set p-mx4 down"))
        lab.switch.run("ip link set p-mx4 up")
        lab.mx4.kill("crowd_server")  # what it still has are connections of before
        wait_until(lambda: not lab.mx4.pids("crowd_server"), 5, "mx4 has ended its connections")
        servers_start(lab)
