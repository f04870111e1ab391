# SPDX-License-Identifier: BSD-2-Clause
"""The package, and the unit that is in it, under systemd: reload, restart, an upgrade of the package and a downgrade lose
nothing and are no failover."""
import os
import subprocess
import tempfile
import time

import test_37_upgrade
from lab import crowd
from lab.booted import Booted
from lab.machine import wait_until
from lab.site import BUILD, ROOT, SLUICED, Site
from test_37_upgrade import Unnoticed, config, next_version, own_problems, status


def packages(folder):
    """Of this build, and of the same under a later version's name."""
    def run(*command):
        quick = {**os.environ, "DPKG_DEB_COMPRESSOR_TYPE": "gzip", "DPKG_DEB_COMPRESSOR_LEVEL": "1"}
        return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, env=quick).stdout.strip()

    one, other, tree = run(f"{ROOT}/etc/deb/pack", BUILD, folder), f"{folder}/other.deb", f"{folder}/tree"
    run("dpkg-deb", "--raw-extract", one, tree)
    next_version(run("find", tree, "-name", "sluiced", "-type", "f"))
    run("sed", "-i", "s/^Version: .*/Version: 0.9.9/", f"{tree}/DEBIAN/control")
    run("dpkg-deb", "--root-owner-group", "--build", tree, other)
    return one, other


def service_start(lab):
    """Installed and configured, as a node's operator does it; its log where the others' are."""
    env = " ".join(f"{name}={os.environ[name]}" for name in ("UBSAN_OPTIONS", "ASAN_OPTIONS") if name in os.environ)
    lab.lb1.write("/etc/systemd/system/sluiced.service.d/lab.conf",
                  f"[Service]\nStandardError=append:{lab.logs}/lb1-sluiced.log\nEnvironment={env}\n")
    lab.lb1.run("dpkg", "--no-triggers", "-i", lab.packages[0])
    lab.lb1.systemctl("start", "sluiced")


def site():
    lab = Site(backends=2, interval="100ms", machine_kinds={"lb1": Booted})
    try:
        lab.folder = tempfile.TemporaryDirectory()
        lab.packages = packages(lab.folder.name)
        lab.client.run("sysctl -qw net.ipv4.ping_group_range='0 0'")
        for name in lab.backends:
            crowd.echo_start(lab.machines[name], test_37_upgrade.VIP)
        lab.config_write(config("100ms"))
        service_start(lab)
        lab.daemons["lb2"] = lab.lb2.spawn(SLUICED, log="sluiced")
        lab.ready()
        lab.all_up("lb2")
    except BaseException:
        lab.close()
        raise
    return lab


def main_pid(lab):
    return lab.lb1.systemctl("show", "sluiced", "-P", "MainPID").strip()


def is_up(lab, version):
    now = status(lab, "lb1")
    return now.get("version") == version and own_problems(now) == [] and all(
        row["pid"] and not row["before"] for row in now["processes"])


def test_unit_and_package_are_as_they_should_be(lab):
    said = lab.lb1.run("systemd-analyze verify --man=no sluiced.service 2>&1; true")
    assert "sluiced" not in said, said
    conffiles = lab.lb1.run("dpkg-query", "-W", "-f", "${Conffiles}", "sluice")
    assert "/etc/sluice/sluice.conf.example " in conffiles, conffiles
    assert lab.lb1.run("id -un sluice").strip() == "sluice"
    assert lab.lb1.run("dpkg --verify sluice") == ""


def test_reload_is_not_noticed_and_says_what_is_wrong(lab):
    with Unnoticed(lab, "systemctl reload"):
        pid = main_pid(lab)
        lab.lb1.systemctl("reload", "sluiced")
        lab.lb1.write("/etc/sluice/sluice.conf", config("100ms").replace('"tcp"', '"smpt"'))
        failed = lab.lb1.run("systemctl", "reload", "sluiced", check=False)
        lab.config_write(config("100ms"))
        lab.lb1.systemctl("reload", "sluiced")
        assert failed.returncode != 0 and main_pid(lab) == pid


def test_restart_is_not_noticed(lab):
    """Also two at once: the second comes before the first one's vrrp may have taken over."""
    with Unnoticed(lab, "systemctl restart, twice", restarted="lb1"):
        pid, vrrp = main_pid(lab), lab.lb1.pids("--child vrrp")
        lab.lb1.systemctl("restart", "sluiced")
        lab.lb1.systemctl("restart", "sluiced")
        wait_until(lambda: is_up(lab, "0.1.0"), 20, "it runs again")
        assert main_pid(lab) != pid and not set(lab.lb1.pids("--child vrrp")) & set(vrrp)
        assert lab.lb1.systemctl("show", "sluiced", "-P", "NFileDescriptorStore").strip() == "0"


def test_killed_lb_comes_back_with_what_the_unit_allows(lab):
    with Unnoticed(lab, "lb killed", killed=("lb1", "lb")):
        lab.lb1.kill("^sluiced --child lb", "KILL")
        wait_until(lambda: is_up(lab, "0.1.0"), 20, "lb is back")


def test_package_upgrade_and_downgrade_are_not_noticed(lab):
    for package, version in ((lab.packages[1], "0.9.9"), (lab.packages[0], "0.1.0")):
        with Unnoticed(lab, f"dpkg -i of {version}"):
            pid = main_pid(lab)
            lab.lb1.run("dpkg", "--no-triggers", "-i", package)
            assert status(lab, "lb1")["version"] == version and main_pid(lab) == pid
            wait_until(lambda: is_up(lab, version), 10, f"all of {version} runs")


def test_stop_hands_over_and_leaves_nobody(lab):
    lab.lb1.systemctl("stop", "sluiced")
    assert not lab.lb1.pids("sluiced")
    wait_until(lambda: lab.active("lb2"), 5, "lb2 is active")
    lab.lb1.systemctl("start", "sluiced")
    lab.ready()
    time.sleep(0.5)
    lab.lb1.run("dpkg", "--purge", "sluice")
    assert not lab.lb1.pids("sluiced") and not lab.lb1.run("find /var/lib/sluice 2> /dev/null; true")
