# SPDX-License-Identifier: BSD-2-Clause
"""Beyond one pair, with FRR: a node whose routes it imports is used, and is not when they are withdrawn."""
from lab.machine import wait_until
from lab.site import VIP
from test_30_ecmp import Watched, site  # noqa: F401: site() is this file's, too

SLOW_S = 60  # FRR begins its session anew when BFD comes up after it


def test_frr_announces_what_it_imports(lab):
    lab.bird_stop("lb2")
    lab.hops_wait("lb1")
    done = lab.frr_start("lb2")
    assert done.returncode == 0 and "nknown command" not in done.stdout + done.stderr, done
    with Watched(lab, "a node with FRR"):
        lab.hops_wait("lb1", "lb2", families=(False,), limit_s=SLOW_S)
        wait_until(lambda: "Status: up" in lab.lb2.run("vtysh -c 'show bfd peers'"), 15, "BFD is up")
        assert "T[205]" in lab.lb2.run(f"vtysh -c 'show ip route {VIP}' -c 'show ip route'")
    lab.sluice("lb2", "drain", "--node")
    lab.hops_wait("lb1", limit_s=SLOW_S)
    lab.sluice("lb2", "undrain", "--node")
    lab.hops_wait("lb1", "lb2", families=(False,), limit_s=SLOW_S)
    lab.frr_stop("lb2")
    lab.bird_start("lb2")
    lab.hops_wait("lb1", "lb2", limit_s=SLOW_S)
