# SPDX-License-Identifier: BSD-2-Clause
"""What a node's kernel says of the VIPs while nobody of ours is alive, and what vrrp does when others meddle with its
interface: operators, network managers, killed predecessors."""
import json
import socket
import struct
import time

from lab.machine import wait_until, within
from lab.site import SLUICED, Site

A, B, C, SIX = "10.77.0.101", "198.51.100.1", "198.51.100.2", "fd77::101"
ROWS = {"a": (1, f'"{A}/24"'), "b": (2, f'"{B}/24"'), "c": (3, f'"{C}/24"'),
        "v6": (4, f'"fe80::4/64", "{SIX}/64"')}
SYNC = 'sync = { links = ( { interface = "eth0"; addresses = { lb1 = "10.77.0.2"; lb2 = "10.77.0.3"; }; } ); };\n'


def config(names=tuple(ROWS), more=""):
    rows = ", ".join(f'{{ name = "{name}"; vrid = {ROWS[name][0]}; interval = "100ms"; addresses = [ {ROWS[name][1]} ]; {more}'
                     "priorities = { lb1 = 200; lb2 = 100; }; }" for name in names)
    return f"""secret_file = "/etc/sluice/secret";
flow_limit = "4K";
user = "nobody";
nodes = ( {{ name = "lb1"; interfaces = [ "eth0" ]; }}, {{ name = "lb2"; interfaces = [ "eth0" ]; }} );
vrrp = ( {rows} );
"""


def site():
    lab = Site(backends=1)
    lab.router.run("ip addr add 198.51.100.254/24 dev servers")
    lab.config_write(config())
    lab.sluice_start("lb1")
    wait_until(lambda: lab.active("lb1"), 20, "lb1 is active")
    return lab


def held(lab, node="lb1"):
    text = lab.machines[node].run("ip addr show dev eth0")
    return [vip for vip in (A, B, C, SIX) if f" {vip}/" in text]


def reload(lab, text):
    lab.config_write(text, ["lb1"])
    lab.sluice("lb1", "reload")


def counter(lab, name):
    return next((row["value"] for row in lab.show("lb1", "counters") if row["counter"] == name), None)


def kill_all(lab):
    lab.lb1.run("kill -9 $(pgrep -x sluice-vrrp) $(pgrep sluice)", check=False)
    lab.daemons["lb1"].wait()


def start(lab):
    lab.sluice_start("lb1")
    wait_until(lambda: lab.active("lb1"), 20, "lb1 is active")


def answers(lab, vip):
    """Asked anew who has it."""
    lab.router.run(f"ip neigh flush {vip} dev servers")
    return lab.router.run("ping", "-n", "-c1", "-W1", vip, check=False).returncode == 0


def mac(lab, name, dev="eth0"):
    return lab.machines[name].run(f"cat /sys/class/net/{dev}/address").strip()


def packet_socket(machine, dev):
    with machine.network():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sock.bind((dev, 3))
    sock.settimeout(0.05)
    return sock


def frames(sock, seconds):
    found, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            found.append(sock.recv(2000))
        except socket.timeout:
            pass
    return found


def says_where(frame, vips):
    """Does who hears it learn where one of the VIPs is?"""
    if frame[12:14] == b"\x08\x06":
        return frame[28:32] in [socket.inet_aton(vip) for vip in vips if ":" not in vip]
    if frame[12:14] != b"\x86\xdd" or frame[20] != 58 or not 133 <= frame[54] <= 137:
        return False
    about = frame[62:78] if frame[54] == 136 else frame[22:38]
    return about in [socket.inet_pton(socket.AF_INET6, vip) for vip in vips if ":" in vip]


def priority_tagged_question(lab, sock, vip):
    """An ARP request in a frame with a tag of VLAN 0: a priority and nothing else (IEEE 802.1Q)."""
    own = bytes.fromhex(mac(lab, "router", "servers").replace(":", ""))
    sock.send(b"\xff" * 6 + own + b"\x81\x00\x60\x00\x08\x06" + struct.pack("!HHBBH", 1, 0x800, 6, 4, 1) + own +
              socket.inet_aton("10.77.0.1") + b"\0" * 6 + socket.inet_aton(vip))


def provoke(lab):
    """All that makes a node's kernel speak of its addresses; the frames that say where they are."""
    lab.mx1.run("ip neigh flush dev eth0")
    sock = packet_socket(lab.router, "servers")
    for vip, to in ((A, "10.77.0.21"), (SIX, "fd77::21")):
        lab.lb1.run(f"ip neigh flush dev eth0; ping -n -c1 -W1 -I {vip} {to}", check=False)
        answers(lab, vip)
    priority_tagged_question(lab, sock, A)
    lab.router.run("ip neigh flush dev servers")
    found = [frame for frame in frames(sock, 0.5) if frame[6:12].hex(":") == mac(lab, "lb1")]
    sock.close()
    return [frame for frame in found if says_where(frame, (A, B, C, SIX))]


def is_question(frame):
    return frame[20:22] == b"\0\1" if frame[12:14] == b"\x08\x06" else frame[54] == 135


def test_dead_node_says_nothing_of_its_addresses_and_a_live_one_does(lab):
    before = provoke(lab)
    kinds = {(len(frame) > 60, is_question(frame)) for frame in before}
    assert kinds == {(False, True), (False, False), (True, True), (True, False)}, "in both families it asks, and answers"
    sock = packet_socket(lab.router, "servers")
    priority_tagged_question(lab, sock, A)
    assert [f for f in frames(sock, 0.5) if says_where(f, (A,)) and not is_question(f)], "VLAN 0 is no VLAN"
    kill_all(lab)
    time.sleep(1.2)  # the lease
    assert held(lab) == [A, B, C, SIX]
    assert provoke(lab) == []
    for vip in (A, SIX):
        assert not answers(lab, vip), vip
    # It is a link that comes back, too: then a kernel may announce what it has.
    lab.lb1.run("sysctl -qw net.ipv4.conf.eth0.arp_notify=1 net.ipv6.conf.eth0.ndisc_notify=1")
    lab.lb1.run("ip link set eth0 down; ip link set eth0 up")
    assert not [frame for frame in frames(sock, 1) if says_where(frame, (A, B, C, SIX)) and
                frame[6:12].hex(":") == mac(lab, "lb1")]
    sock.close()
    lab.lb1.run("sysctl -qw net.ipv4.conf.eth0.arp_notify=0 net.ipv6.conf.eth0.ndisc_notify=0; "
                "ip -6 addr add fd77::2/64 dev eth0 nodad; ip route replace default via 10.77.0.1; "
                "ip -6 route replace default via fd77::1")
    start(lab)
    for vip in (A, SIX):
        assert answers(lab, vip), vip
    wait_until(lambda: counter(lab, "arp_without_lease") > 0 and counter(lab, "nd_without_lease") > 0, 5, "it is counted")


def filters(lab):
    return [hook for hook in ("ingress", "egress") if "bpf" in lab.lb1.run(f"tc filter show dev eth0 {hook}")]


def test_detach_is_of_the_balancer_and_leaves_vrrp_its_guard(lab):
    lab.sluice("lb1", "detach")
    assert "xdp" not in lab.lb1.run("ip link show dev eth0")
    time.sleep(1.2)
    assert filters(lab) == ["ingress", "egress"] and lab.active("lb1")
    assert answers(lab, A) and answers(lab, SIX)
    lab.sluice("lb1", "reload")
    wait_until(lambda: "xdp" in lab.lb1.run("ip link show dev eth0"), 5, "attached again")


def test_orderly_stop_takes_guard_and_addresses_away(lab):
    lab.sluice_stop("lb1")
    assert filters(lab) == [] and held(lab) == []
    assert "guard" not in lab.lb1.run("ls /sys/fs/bpf/sluice 2>/dev/null; true")
    start(lab)


def test_address_that_somebody_takes_away_is_put_back(lab):
    lab.lb1.run(f"ip addr del {A}/24 dev eth0; ip addr del {SIX}/64 dev eth0")
    within(lambda: held(lab) == [A, B, C, SIX], 3, "all are there again")
    assert answers(lab, A) and answers(lab, SIX)
    assert lab.active("lb1") and "somebody took addresses away" in lab.log_text()


def test_instance_that_goes_leaves_the_others_of_its_network_their_addresses(lab):
    """To the kernel the second address of a network is the first one's secondary, and goes with it."""
    reload(lab, config(("a", "c", "v6")))
    end = time.monotonic() + 1
    while time.monotonic() < end:
        assert C in held(lab)
    assert held(lab) == [A, C, SIX] and answers(lab, C)
    reload(lab, config())
    wait_until(lambda: lab.active("lb1") and held(lab) == [A, B, C, SIX], 5, "it is back")


def test_address_of_the_operators_own_stays(lab):
    lab.sluice_stop("lb1")
    lab.lb1.run(f"ip addr add {A}/24 dev eth0; ip addr add {SIX}/64 dev eth0 nodad")
    start(lab)
    assert held(lab) == [A, B, C, SIX]
    assert f"address {A} was there already, not by us" in lab.log_text()
    lab.lb1.kill("--child vrrp", "KILL")
    wait_until(lambda: lab.active("lb1") and lab.lb1.pids("--child vrrp"), 5, "vrrp is back")
    lab.sluice_stop("lb1")
    assert held(lab) == [A, SIX]
    lab.lb1.run(f"ip addr del {A}/24 dev eth0; ip addr del {SIX}/64 dev eth0")
    start(lab)


def test_what_a_killed_vrrp_left_and_nobody_wants_is_removed(lab):
    reload(lab, config(more="virtual_mac = true; "))
    wait_until(lambda: lab.active("lb1"), 5, "lb1 is active")
    assert "sl4.1." in lab.lb1.run("ip link")
    kill_all(lab)
    lab.config_write(config(("a", "v6")), ["lb1"])
    start(lab)
    wait_until(lambda: "macvlan" not in lab.lb1.run("ip -d link"), 5, "its macvlans are gone")
    assert held(lab) == [A, SIX]
    reload(lab, config())
    wait_until(lambda: lab.active("lb1") and held(lab) == [A, B, C, SIX], 5, "lb1 is active")
    kill_all(lab)
    lab.config_write(config(("a", "v6")), ["lb1"])
    start(lab)
    wait_until(lambda: held(lab) == [A, SIX], 5, "its addresses are gone")
    reload(lab, config())
    wait_until(lambda: lab.active("lb1"), 5, "lb1 is active")


def test_new_mac_of_the_interface_is_announced(lab):
    was, other = mac(lab, "lb1"), "02:00:00:00:77:01"
    for now in (other, was):
        assert answers(lab, A) and answers(lab, SIX)
        lab.lb1.run(f"ip link set eth0 address {now}")
        for vip in (A, SIX):
            within(lambda: now in lab.router.run(f"ip neigh show {vip} dev servers"), 3, f"{vip} is at {now}")
    wait_until(lambda: lab.active("lb1"), 5, "lb1 is active")


def mute_as_long_as_it_waits(lab):
    """It is seen waiting more than 3 times, and not as the active one."""
    waited, end = 0, time.monotonic() + 8
    while time.monotonic() < end:
        role = lab.roles("lb1").get("v6")
        if "tentative" in lab.lb1.run("ip -6 addr show dev eth0 scope link"):
            assert role != "active", "active, and mute"
            waited += 1
        elif role == "active":
            break
    assert waited > 3, "or nothing is proved"


def test_ipv6_waits_until_the_kernel_sends_from_its_source(lab):
    """Before duplicate address detection is done no advert would leave: the partner would stay active beside us. And
    so it is when vrrp sees the interface only after it came back."""
    lab.lb1.run("sysctl -qw net.ipv6.conf.eth0.accept_dad=1 net.ipv6.conf.eth0.dad_transmits=2")
    for unseen in (False, True):
        if unseen:
            lab.lb1.kill("--child vrrp", "STOP")
        lab.lb1.run("ip link set eth0 down && ip link set eth0 up")
        if unseen:
            lab.lb1.kill("--child vrrp", "CONT")
        within(lambda: lab.roles("lb1").get("v6") != "active", 0.5, "it has noticed")
        mute_as_long_as_it_waits(lab)
        wait_until(lambda: lab.roles("lb1").get("v6") == "active", 5, "it may send, and is active")
    lab.lb1.run("sysctl -qw net.ipv6.conf.eth0.accept_dad=0; ip -6 addr add fd77::2/64 dev eth0 nodad; "
                "ip route replace default via 10.77.0.1; ip -6 route replace default via fd77::1")
    wait_until(lambda: lab.active("lb1"), 5, "lb1 is active")
    assert answers(lab, SIX)


def test_node_that_has_no_port_for_heartbeats_answers_all_the_same(lab):
    thief = lab.lb1.spawn("python3", "-c", "import socket, time; s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); "
                          "s.bind(('::', 5406)); time.sleep(600)", log="thief")
    wait_until(lambda: "5406" in lab.lb1.run("ss -lun"), 5, "somebody has the port")
    reload(lab, config() + SYNC)
    wait_until(lambda: "no heartbeats: port=5406" in lab.log_text(), 5, "it is said")
    time.sleep(0.3)
    assert lab.active("lb1") and answers(lab, A) and answers(lab, SIX)
    thief.kill()
    thief.wait()
    lab.lb1.run("pkill -f 5406", check=False)
    reload(lab, config())
    assert answers(lab, A)


def test_paced_announcements_reach_the_last_address_whatever_repeats_them(lab):
    vips = [f"10.77.0.{n}" for n in range(201, 206)]
    many = f"""{{ name = "many"; vrid = 9; interval = "100ms"; priorities = {{ lb1 = 200; lb2 = 100; }};
      garp_pace = "100ms"; garp_count = 3; garp_delay = "60ms"; addresses = {json.dumps([f"{vip}/24" for vip in vips])}; }}"""
    sock = packet_socket(lab.router, "servers")
    reload(lab, config().replace("vrrp = (", f"vrrp = ( {many},"))
    told = [f[31] for f in frames(sock, 2.5) if f[12:14] == b"\x08\x06" and f[28:32] == f[38:42] and f[31] > 200]
    sock.close()
    assert told == [201, 202, 203, 204, 205] * 3, told
    reload(lab, config())


def test_interface_that_is_removed_or_renamed_and_comes_back(lab):
    """Its instance alone is concerned; what comes back is another interface to the kernel, with the same name."""
    def wire():
        lab.cable(lab.lb1, "eth1", lab.switch, "q-lb1")
        lab.lb1.run("ip addr add 10.79.0.2/24 dev eth1")

    def runs():
        wait_until(lambda: lab.roles("lb1").get("d") == "active" and " 10.79.0.10/" in lab.lb1.run("ip addr show dev eth1"), 5, "d is active")
        wait_until(lambda: all("bpf" in lab.lb1.run(f"tc filter show dev eth1 {hook}") for hook in ("ingress", "egress")), 3, "it is guarded")
    wire()
    reload(lab, config().replace("vrrp = (", 'vrrp = ( { name = "d"; vrid = 8; interface = "eth1"; interval = "100ms"; priority = 100; '
                                 'addresses = [ "10.79.0.10/24" ]; },'))
    runs()
    before = {row["instance"]: row["transitions"] for row in lab.show("lb1", "vrrp") if row["instance"] != "d"}
    lab.lb1.run("ip link del eth1")
    wait_until(lambda: lab.roles("lb1").get("d") == "init", 3, "d has lost its interface")
    wire()
    runs()
    lab.lb1.run("ip link set eth1 down && ip link set eth1 name other && ip link set other up")
    wait_until(lambda: lab.roles("lb1").get("d") == "init" and "10.79.0.10" not in lab.lb1.run("ip addr show dev other"), 3, "d has given up")
    lab.lb1.run("ip link set other down && ip link set other name eth1 && ip link set eth1 mtu 1400 && ip link set eth1 up")
    runs()
    assert before == {row["instance"]: row["transitions"] for row in lab.show("lb1", "vrrp") if row["instance"] != "d"}
    assert "addresses not removed" not in lab.log_text()
    reload(lab, config())
    lab.lb1.run("ip link del eth1")


def test_our_own_advert_that_comes_back_is_counted_and_changes_nothing(lab):
    """Over IPv6: the kernel drops what has one of its own IPv4 addresses as its source."""
    before = counter(lab, "vrrp_own")
    sock = packet_socket(lab.router, "servers")
    advert = next(frame for frame in frames(sock, 1) if frame[12:14] == b"\x86\xdd" and frame[20] == 112)
    own = bytes.fromhex(mac(lab, "router", "servers").replace(":", ""))
    for _ in range(5):
        sock.send(advert[:6] + own + advert[12:])
    sock.close()
    wait_until(lambda: counter(lab, "vrrp_own") == before + 5, 5, "each is counted")
    assert lab.active("lb1") and all(row["splits"] == 0 for row in lab.show("lb1", "vrrp"))


def test_what_vrrp_may_have_to_run_is_in_memory(lab):
    """A page of its text that is on a disk only would be read in the middle of a takeover."""
    pid = next(p["pid"] for p in json.loads(lab.sluice("lb1", "status", "--json", check=False).stdout)["processes"]
               if p["process"] == "vrrp")
    size = resident = 0
    text = False
    for line in lab.lb1.run(f"cat /proc/{pid}/smaps").splitlines():
        words = line.split()
        if "-" in words[0] and len(words) >= 5:
            text = words[1].startswith("r-xp") and SLUICED in line
        elif text and words[0] == "Size:":
            size += int(words[1])
        elif text and words[0] == "Rss:":
            resident += int(words[1])
    assert size > 0 and resident == size, (size, resident)


# ---- what happens between a decision and its announcements ----

MUST_NOT = ("write", "writev", "mmap", "munmap", "brk", "madvise", "mremap", "futex", "openat", "read", "nanosleep", "poll",
            "connect", "socket", "ioctl")


def test_nothing_is_logged_allocated_or_waited_for_before_the_announcements(lab):
    lab.config_write(config(), ["lb2"])
    lab.sluice_start("lb2")
    wait_until(lambda: set(lab.roles("lb2").values()) == {"backup"}, 20, "lb2 is backup")
    time.sleep(0.5)
    pid = lab.lb2.pids("--child vrrp")[0]
    trace = lab.lb2.spawn("strace", "-qq", "-p", str(pid), "-o", "/run/trace", log="strace")
    wait_until(lambda: "epoll_wait" in lab.lb2.run("cat /run/trace 2>/dev/null; true"), 5, "it is traced")
    lab.switch.run("ip link set p-lb1 down")
    wait_until(lambda: lab.active("lb2"), 8, "lb2 is active")
    lab.lb2.kill("^strace", "TERM")
    trace.wait()
    lab.switch.run("ip link set p-lb1 up")
    calls = [line.split("(")[0].split()[-1] for line in lab.lb2.run("cat /run/trace").splitlines() if "(" in line]
    announced = [n for n, call in enumerate(calls) if call == "sendmmsg"]
    assert len(announced) >= len(ROWS), calls
    for n in announced[:len(ROWS)]:
        began = max(k for k in range(n) if calls[k] == "epoll_wait")
        between = calls[began + 1:n]
        assert not [call for call in between if call in MUST_NOT], between
    wait_until(lambda: set(lab.roles("lb2").values()) == {"backup"} and lab.active("lb1"), 10, "as before")
    lab.sluice_stop("lb2")
