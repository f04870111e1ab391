# SPDX-License-Identifier: BSD-2-Clause
"""The command line: every error of a file, exit codes, machine-readable answers."""
import json

from lab.machine import wait_until
from lab.site import SLUICED, Site

BESIDE_OTHERS = True
TEN_MISTAKES = """on_stop = "kep";
slots = 65536;
flow_limit = 12;
nodes = ( { name = "lb1"; interfaces = [ "eth0" ]; } );
vrrp = ( { name = "m"; priorities = { lb1 = 200; };
  vrid = 256; addresses = [ "192.0.2.10/24" ]; } );
pools = ( { name = "mx"; port = 25;
  probe = "smpt";
  wieght = 5;
  backends = ( { name = "b"; address = "192.0.2.256"; },
    { name = "c"; address = "192.0.2.22"; weight = 1.5; } ); } );
services = ( { name = "s"; vip = "192.0.2.11";
  port = 4294967321; pool = "mx"; } );
"""


def site():
    lab = Site(backends=1, nodes=("lb1",))
    lab.up()
    return lab


def test_check_prints_every_mistake(lab):
    lab.lb1.write("/run/bad.conf", TEN_MISTAKES)
    done = lab.sluice("lb1", "check", "/run/bad.conf", check=False)
    lines = (done.stdout + done.stderr).splitlines()
    assert done.returncode == 1 and len(lines) == 10, done
    assert all(line.startswith("/run/bad.conf:") for line in lines), lines
    print("    " + "\n    ".join(lines))


def test_check_of_a_good_file_needs_no_daemon_and_says_so(lab):
    assert "good" in lab.sluice("lb1", "check")
    assert "good" in lab.sluice("lb1", "check", "-n", "lb2", "/etc/sluice/sluice.conf")
    assert lab.sluice("lb1", "check", "-n", "lb9", check=False).returncode == 1


def test_exit_codes(lab):
    assert lab.sluice("lb1", "status", check=False).returncode == 0
    assert lab.sluice("lb1", "drain", "nobody", check=False).returncode == 1
    assert lab.sluice("lb1", "drian", "mx1", check=False).returncode == 2
    assert lab.sluice("lb1", "show", check=False).returncode == 2
    assert lab.sluice("lb1", "drain", check=False).returncode == 2
    assert lab.sluice("lb1", "drain", "mx1", "--node", check=False).returncode == 2
    assert lab.sluice("lb1", "undrain", "--node", "lb1", check=False).returncode == 2
    done = lab.sluice("lb1", "drain", "--node", check=False)
    assert done.returncode == 1 and "sluice failover" in done.stderr, done
    assert lab.sluice("lb1", "check", "--node", "lb2").count("sluice.conf") == 1
    assert lab.sluice("lb1", "-s", "/nonexistent", "status", check=False).returncode == 3


def test_every_command_has_help_with_an_example(lab):
    for verb in ("status show drain undrain disable enable weight plan reload check failover probe detach explain trace").split():
        text = lab.sluice("lb1", verb, "--help")
        assert "Usage: sluice " + verb in text and "Example: sluice " in text, text


def test_each_kind_is_shown_in_words_and_in_json(lab):
    for what in ("services", "pools", "backends", "health", "vrrp", "counters", "config"):
        rows = json.loads(lab.sluice("lb1", "show", what, "--json"))[what]
        text = lab.sluice("lb1", "show", what)
        assert rows, what
        for key in rows[0]:
            assert key.upper().replace("_", " ") in text, (what, key, text)


def test_garbage_on_the_control_socket_is_refused_and_harmless(lab):
    send = ("import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect('/run/sluice/control.sock')\n"
            "s.settimeout(5)\ns.sendall(eval(sys.argv[1]))\nprint(s.recv(65536))")
    for data in ("b'garbage\\n'", "b'{}\\n'", "b'[1]\\n'", "b'{\"command\":1}\\n'", "b'\\0\\n'",
                 "b'{\"command\":\"drain\"}\\n'", "b'{\"command\":\"drain\",\"backend\":1}\\n'",
                 "b'{\"command\":\"show\",\"what\":\"x\",\"y\":1}\\n'", "b'['*60000+b'\\n'", "b'x'*70000"):
        assert '"ok":false' in lab.lb1.run("python3", "-c", send, data), data
    assert lab.sluice("lb1", "status", check=False).returncode == 0


def test_client_that_talks_on_while_it_waits_is_cut_off_and_harmless(lab):
    lab.lb1.run("python3", "-c",
                "import socket,time\nfor verb in (b'probe\",\"pool\":\"smtp', b'wait', b'plan'):\n"
                "  s=socket.socket(socket.AF_UNIX)\n  s.connect('/run/sluice/control.sock')\n"
                "  more = b',\"backend\":\"mx1\"' if verb != b'plan' else b''\n"
                "  s.sendall(b'{\"command\":\"'+verb+b'\"'+more+b'}\\n')\n"
                "  try:\n    s.sendall(b'x'*70000)\n  except OSError:\n    pass\n  s.close()\n"
                "time.sleep(0.5)")
    answer = json.loads(lab.sluice("lb1", "status", "--json", check=False).stdout)
    assert [p["restarts"] for p in answer["processes"]] == [0, 0, 0, 0], answer["processes"]


def test_undrain_does_not_end_what_another_disabled(lab):
    lab.sluice("lb1", "disable", "mx1", "--pool", "pop3")
    done = lab.sluice("lb1", "undrain", "mx1", check=False)
    assert done.returncode == 1 and "sluice enable ends that" in done.stderr, done
    assert lab.state("lb1", "pop3", "mx1") == "disabled"
    lab.sluice("lb1", "enable", "mx1", "--pool", "pop3")
    assert lab.sluice("lb1", "drain", "mx1", "--pool", b"\xff".decode(errors="surrogateescape"),
                      check=False).returncode == 2


def test_one_daemon_at_a_time(lab):
    done = lab.lb1.run(SLUICED, check=False, timeout=20)
    assert done.returncode == 1 and "another sluiced" in done.stderr, done


def test_detach_and_reload_attach_again(lab):
    lab.sluice("lb1", "detach")
    rows = {r["key"]: r["value"] for r in lab.show("lb1", "config")}
    assert "none" in rows["interface"], rows
    lab.sluice("lb1", "reload")
    wait_until(lambda: "native" in {r["key"]: r["value"] for r in lab.show("lb1", "config")}["interface"],
               5, "attached again")
