# SPDX-License-Identifier: BSD-2-Clause
"""accept = false: an address is there for its services alone (RFC 9568 6.1, Accept_Mode)."""
from lab.machine import wait_until
from lab.site import Site

OPEN, CLOSED, OWNED = "10.77.0.101", "10.77.0.102", "10.77.0.103"
OPEN6, CLOSED6 = "fd77::101", "fd77::102"


def config(accept="false"):
    rows = ", ".join(
        f'{{ name = "i{vrid}"; vrid = {vrid}; interval = "100ms"; priority = {priority}; accept = {accepted}; '
        f'addresses = [ {addresses} ]; }}'
        for vrid, priority, accepted, addresses in (
            (1, 100, "true", f'"{OPEN}/24"'), (2, 100, accept, f'"{CLOSED}/24"'), (3, 255, "false", f'"{OWNED}/24"'),
            (4, 100, "true", f'"fe80::4/64", "{OPEN6}/64"'), (5, 100, accept, f'"fe80::5/64", "{CLOSED6}/64"')))
    return f"""secret_file = "/etc/sluice/secret";
flow_limit = "4K";
user = "nobody";
nodes = ( {{ name = "lb1"; interfaces = [ "eth0" ]; }} );
vrrp = ( {rows} );
"""


def site():
    lab = Site(backends=0, nodes=("lb1",))
    lab.config_write(config())
    lab.sluice_start()
    wait_until(lambda: lab.active("lb1"), 20, "lb1 is active")
    return lab


def answers(lab, address):
    return lab.router.run("ping", "-n", "-c1", "-W1", address, check=False).returncode == 0


def is_neighbour(lab, address):
    return "lladdr" in lab.router.run(f"ip neigh show {address} dev servers")


def test_address_that_accepts_nothing_is_a_neighbour_and_silent(lab):
    for address in (OPEN, OPEN6, OWNED):
        assert answers(lab, address), address
    for address in (CLOSED, CLOSED6):
        assert not answers(lab, address), address
        assert is_neighbour(lab, address), address
    # The router asks again, by unicast, whether its neighbour is still there.
    lab.router.run(f"ip neigh change {CLOSED6} dev servers nud probe && ip neigh change {CLOSED} dev servers nud probe")
    for address in (CLOSED, CLOSED6):
        wait_until(lambda: "REACHABLE" in lab.router.run(f"ip neigh show {address} dev servers"), 5, f"{address} answers")


def test_reload_opens_and_closes_it(lab):
    for accept, there in (("true", True), ("false", False)):
        lab.config_write(config(accept))
        lab.sluice("lb1", "reload")
        for address in (CLOSED, CLOSED6):
            wait_until(lambda: answers(lab, address) == there, 5, f"{address}: accept = {accept}")
