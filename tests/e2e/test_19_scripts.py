# SPDX-License-Identifier: BSD-2-Clause
"""Script probes by the real programs process: its own user, limited in time and output; and what becomes of
the backends when that process is killed or stopped: nothing."""
import time

from lab import daemons
from lab.machine import wait_until
from lab.site import Site

BESIDE_OTHERS = True
# What each backend's probe is to do is in a file; a pool "http6" is always well.
SCRIPT = """#!/bin/bash
id -un > /run/scripts/user
echo >> "/run/scripts/runs-$SLUICE_POOL-$SLUICE_BACKEND"
case $(cat "/run/scripts/$SLUICE_POOL-$SLUICE_BACKEND" 2>/dev/null) in
fails) echo "disk is full"; exit 1 ;;
hangs) trap '' TERM INT HUP; sleep 1000 & echo "about to hang"; sleep 1000; wait ;;
floods) exec yes "much to tell" ;;
quiet) exec >&- 2>&-; sleep 0.1; exit 0 ;;
forks) setsid sleep 3 & disown; exit 0 ;;
esac
exec 3<>"/dev/tcp/$SLUICE_ADDRESS/$SLUICE_PORT" || exit 1
echo fine
"""
PROBE = """{ type = "script"; command = [ "/etc/sluice/script" ]; interval = "500ms"; timeout = "2s"; rise = 1; fall = 2;
                     flap_limit = 0; }"""


def site():
    lab = Site(nodes=("lb1",))
    lab.lb1.write("/etc/sluice/script", SCRIPT, mode="755")
    lab.lb1.run("mkdir -m 777 /run/scripts")
    lab.mail_start()
    text = lab.config().replace('{ type = "http"; interval = "200ms"; timeout = "1s"; }', PROBE)
    lab.config_write('programs_user = "daemon";\n' + text)
    lab.sluice_start()
    lab.ready()
    return lab


def mode(lab, backend, what):
    lab.lb1.write(f"/run/scripts/http-{backend}", what)


def row(lab, backend, pool="http"):
    return next(r for r in lab.show("lb1", "health") if (r["pool"], r["backend"]) == (pool, backend))


def turns(lab):
    """How often each backend of a script probe turned, but for mx2, which the tests turn."""
    return {(r["pool"], r["backend"]): r["turns"] for r in lab.show("lb1", "health")
            if r["pool"].startswith("http") and (r["pool"], r["backend"]) != ("http", "mx2")}


def runs(lab):
    """Of mx1's probe; `show health` has its counts only every 30 s."""
    return int(lab.lb1.run("wc -l < /run/scripts/runs-http-mx1"))


def programs(lab):
    return lab.lb1.run("pgrep", "-o", "-f", "--", "--child programs", check=False).stdout.strip()


def rss_kb(lab):
    return int(lab.lb1.run(f"awk '/^VmRSS/ {{ print $2 }}' /proc/{programs(lab)}/status"))


def is_down(lab, backend="mx2", text=""):
    found = row(lab, backend)
    return found["health"] == "down" and text in found["text"] and found


def back(lab):
    mode(lab, "mx2", "")
    wait_until(lambda: lab.state("lb1", "http", "mx2") == "up", 20, "mx2 is up again")


def test_healthy_script_runs_as_its_own_user_and_its_backend_is_up(lab):
    lab.all_up("lb1")
    assert lab.lb1.run("cat /run/scripts/user").strip() == "daemon"
    assert row(lab, "mx1")["text"] == "fine"


def test_script_that_fails_says_why_and_its_backend_alone_is_out(lab):
    before = turns(lab)
    mode(lab, "mx2", "fails")
    wait_until(lambda: is_down(lab, text="disk is full"), 20, "mx2 is down, in the script's words")
    wait_until(lambda: lab.out("lb1", "http", "mx2"), 5, "nothing new goes there")
    back(lab)
    assert turns(lab) == before


def test_script_that_hangs_is_killed_with_what_it_started_and_delays_no_other(lab):
    before = turns(lab)
    mode(lab, "mx2", "hangs")
    wait_until(lambda: is_down(lab, text="took too long"), 30, "mx2 is down")
    n, began = runs(lab), time.monotonic()
    wait_until(lambda: runs(lab) >= n + 5, 20, "mx1 goes on to be probed")
    assert time.monotonic() - began < 8, "every 500 ms, as before"
    sleeping = int(lab.lb1.run("pgrep -u daemon -c -x sleep || true"))
    assert sleeping <= 4, f"{sleeping} are left of the killed ones"
    back(lab)
    wait_until(lambda: lab.lb1.run("pgrep -u daemon -x sleep || true").strip() == "", 10, "all are gone")
    assert turns(lab) == before


def test_script_that_writes_without_end_costs_nothing(lab):
    before, kb = turns(lab), rss_kb(lab)
    mode(lab, "mx2", "floods")
    wait_until(lambda: is_down(lab, text="much to tell"), 20, "mx2 is down")
    time.sleep(2)
    assert rss_kb(lab) < kb + 4096, "what it writes is not kept"
    back(lab)
    assert turns(lab) == before


def test_script_that_closes_its_output_or_leaves_a_daemon_passes(lab):
    for what in ("quiet", "forks"):
        mode(lab, "mx2", "fails")
        wait_until(lambda: is_down(lab), 20, "mx2 is down")
        mode(lab, "mx2", what)
        wait_until(lambda: lab.state("lb1", "http", "mx2") == "up", 20, f"{what}: mx2 is up")
    back(lab)


def test_nothing_flaps_when_programs_is_killed_while_scripts_run(lab):
    mode(lab, "mx2", "hangs")
    wait_until(lambda: is_down(lab), 30, "mx2 is down")
    before, n_mx2 = turns(lab), row(lab, "mx2")["turns"]
    for _ in range(4):
        old = wait_until(lambda: programs(lab), 10, "programs runs")
        time.sleep(0.3)  # some script is at work
        lab.lb1.kill("--child programs", "KILL")
        wait_until(lambda: programs(lab) not in ("", old), 15, "it runs again")
    n = runs(lab)
    wait_until(lambda: runs(lab) >= n + 3, 20, "probes go on")
    assert turns(lab) == before
    assert row(lab, "mx2")["turns"] == n_mx2 and is_down(lab), "who was down stays so"
    back(lab)


def test_nothing_flaps_when_programs_is_stopped_and_it_is_replaced(lab):
    before, old = turns(lab), programs(lab)
    n_mx2 = row(lab, "mx2")["turns"]
    lab.lb1.run("kill", "-STOP", old)
    wait_until(lambda: programs(lab) not in ("", old), 30, "a new one runs")
    n = runs(lab)
    wait_until(lambda: runs(lab) >= n + 3, 20, "probes go on")
    assert turns(lab) == before and row(lab, "mx2")["turns"] == n_mx2
    lab.mx2.kill("nginx", "KILL")
    wait_until(lambda: is_down(lab), 20, "and a real failure is found")
    daemons.nginx_start(lab.mx2)
    lab.all_up("lb1")


def test_reload_in_the_middle_of_runs_harms_nobody(lab):
    """The pool is renamed while its scripts are at work, and back; other pools do not notice."""
    others = {key: n for key, n in turns(lab).items() if key[0] == "http6"}
    text = lab.lb1.run("cat /etc/sluice/sluice.conf")
    mode(lab, "mx2", "hangs")
    wait_until(lambda: is_down(lab), 30, "mx2 hangs")
    renamed = text.replace('name = "http"; port', 'name = "web"; port').replace('pool = "http";', 'pool = "web";')
    assert renamed != text
    lab.config_write(renamed)
    lab.sluice("lb1", "reload")
    wait_until(lambda: lab.state("lb1", "web", "mx1") == "up" and lab.state("lb1", "web", "mx2") == "up", 20,
               "the new name's servers are probed")
    lab.config_write(text)
    mode(lab, "mx2", "")
    lab.sluice("lb1", "reload")
    lab.all_up("lb1")
    assert {key: n for key, n in turns(lab).items() if key[0] == "http6"} == others
    assert lab.lb1.run(f"grep -c 'child ended.*programs.*status' {lab.logs}/lb1-sluiced.log || true").strip() == "0"
