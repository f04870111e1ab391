# SPDX-License-Identifier: BSD-2-Clause
"""keepalived is the partner: lb1 is ours, lb2 is Debian's keepalived. Version 2 with and without a
password, version 3 over IPv4 and IPv6, each by multicast and by unicast, with the interface's MAC and with
the virtual one, all at the same time, in both roles; printed as a table."""
import collections
import contextlib
import json
import socket
import struct
import threading
import time

from lab.machine import wait_until, within
from lab.site import SLUICED, Site

OURS, THEIRS = "10.77.0.2", "10.77.0.3"
OURS6, THEIRS6 = "fd77::2", "fd77::3"
PASSWORD = "pa55word"
SO_TIMESTAMPNS = 35

Case = collections.namedtuple("Case", "name vrid version password ipv6 unicast vmac")
OURS_ALONE, THEIRS_ALONE, BOTH = ("ours",), ("theirs",), ("ours", "theirs")  # whose addresses have the virtual MAC
CASES = [Case("v2", 61, 2, False, False, False, ()),
         Case("v2-unicast", 62, 2, False, False, True, ()),
         Case("v2-password", 63, 2, True, False, False, ()),
         Case("v2-password-unicast", 64, 2, True, False, True, ()),
         Case("v3", 65, 3, False, False, False, ()),
         Case("v3-unicast", 66, 3, False, False, True, ()),
         Case("v6", 67, 3, False, True, False, ()),
         Case("v6-unicast", 68, 3, False, True, True, ()),
         Case("v2-vmac", 71, 2, False, False, False, BOTH),
         Case("v2-vmac-unicast", 72, 2, False, False, True, BOTH),
         Case("v3-vmac", 73, 3, False, False, False, BOTH),
         Case("v3-vmac-unicast", 74, 3, False, False, True, BOTH),
         Case("v6-vmac", 75, 3, False, True, False, BOTH),
         Case("v6-vmac-unicast", 76, 3, False, True, True, BOTH),
         Case("v3-vmac-ours", 77, 3, False, False, False, OURS_ALONE),
         Case("v3-vmac-theirs", 78, 3, False, False, False, THEIRS_ALONE)]
NAMES = sorted(case.name for case in CASES)
ODD = 69  # where keepalived has an address more than we, and therefore never believes us
MANY = 70
MANY_ADDRESSES = ["10.77.0.201/24", "10.77.0.202/24", "10.77.0.203/26", "10.77.0.204/29", "10.77.0.205/32"]
TABLE = collections.OrderedDict()  # what was seen of each case: column -> name -> text


def addresses(vrid, ipv6):
    return [f"fe80::{vrid}/64", f"fd77::1:{vrid}/64"] if ipv6 else [f"10.77.0.{vrid + 100}/24"]


def ours(priority, password="/etc/sluice/password", odd=False, many=False):
    rows = []
    for name, vrid, version, with_password, ipv6, unicast, vmac in CASES:
        row = f'name = "{name}"; vrid = {vrid}; version = {version}; priority = {priority}; checksum = "rfc5798"; ' \
              f'interval = "{"1s" if version == 2 else "100ms"}"; addresses = {json.dumps(addresses(vrid, ipv6))}; '
        if with_password:
            row += f'authentication = "password"; password_file = "{password}"; '
        if "ours" in vmac:
            row += "virtual_mac = true; "
        if unicast:
            a, b = (OURS6, THEIRS6) if ipv6 else (OURS, THEIRS)
            row += f'unicast = {{ lb1 = "{a}"; lb2 = "{b}"; }}; '
        rows.append(f"{{ {row}}}")
    if odd:
        rows.append(f'{{ name = "odd"; vrid = {ODD}; priority = {priority}; interval = "1s"; checksum = "rfc5798"; '
                    f'addresses = {json.dumps(addresses(ODD, False))}; }}')
    if many:
        rows.append(f'{{ name = "many"; vrid = {MANY}; priority = {priority}; interval = "100ms"; checksum = "rfc5798"; '
                    'garp_count = 2; garp_delay = "500ms"; garp_pace = "20ms"; '
                    f'addresses = {json.dumps(MANY_ADDRESSES)}; }}')
    return f"""secret_file = "/etc/sluice/secret";
flow_limit = "4K";
user = "nobody";
nodes = ( {{ name = "lb1"; interfaces = [ "eth0" ]; }}, {{ name = "lb2"; interfaces = [ "eth0" ]; }} );
vrrp = ( {", ".join(rows)} );
"""


def theirs(priority=100, odd=False, many=False):
    text = "global_defs {\n vrrp_garp_master_delay 1\n}\n"
    cases = CASES + ([Case("odd", ODD, 3, False, False, False, ())] if odd else []) + \
        ([Case("many", MANY, 3, False, False, False, ())] if many else [])
    for name, vrid, version, with_password, ipv6, unicast, vmac in cases:
        text += f"vrrp_instance {name} {{\n interface eth0\n state BACKUP\n virtual_router_id {vrid}\n" \
                f" version {version}\n priority {priority}\n advert_int {1 if version == 2 else 0.1}\n"
        if ipv6:
            text += " native_ipv6\n"
        if "theirs" in vmac:
            text += " use_vmac\n" + (" vmac_xmit_base\n" if unicast else "")
        if with_password:
            text += f" authentication {{\n  auth_type PASS\n  auth_pass {PASSWORD}\n }}\n"
        if unicast:
            a, b = (OURS6, THEIRS6) if ipv6 else (OURS, THEIRS)
            text += f" unicast_src_ip {b}\n unicast_peer {{\n  {a}\n }}\n"
            if ipv6:  # it would send 64, which we do not take
                text += " unicast_ttl 255\n"
        known = MANY_ADDRESSES if name == "many" else addresses(vrid, ipv6)
        lines = "".join(f"  {address}\n" for address in known + (["10.77.0.199/24"] if name == "odd" else []))
        text += f" virtual_ipaddress {{\n{lines} }}\n}}\n"
    return text


def keepalived_start(lab, **options):
    lab.lb2.write("/etc/keepalived.conf", theirs(**options))
    lab.daemons["lb2"] = lab.lb2.spawn("/usr/sbin/keepalived", "-n", "-l", "-f", "/etc/keepalived.conf",
                                       log="keepalived")


def keepalived_end(lab, signal="TERM"):
    lab.lb2.kill("^/usr/sbin/keepalived", signal)
    wait_until(lambda: not lab.lb2.pids("^/usr/sbin/keepalived"), 10, "keepalived ended")
    lab.daemons["lb2"].wait()


def site():
    lab = Site(backends=0)
    lab.lb1.write("/etc/sluice/password", PASSWORD + "\n", mode="600")
    lab.lb1.write("/etc/sluice/wrong", "wrong\n", mode="600")
    lab.config_write(ours(100), nodes=["lb1"])
    keepalived_start(lab, priority=200)
    wait_until(lambda: they_have(lab) == NAMES, 10, "keepalived is active")
    lab.sluice_start("lb1")
    wait_until(lambda: len(lab.show("lb1", "vrrp")) == len(CASES), 10, "sluice is there")
    return lab


def has_address(lab, node):
    """Whose addresses are there, by instance, on the interface or on a macvlan of it, as it should be."""
    rows = [line.split() for line in lab.machines[node].run("ip -o addr show").splitlines()]
    there = {(row[3], row[1] == "eth0") for row in rows}
    who = "ours" if node == "lb1" else "theirs"
    return sorted(case.name for case in CASES
                  if all((address, who not in case.vmac) in there for address in addresses(case.vrid, case.ipv6)))


def they_have(lab):
    return has_address(lab, "lb2")


def we_are(lab, role):
    return sorted(name for name, now in lab.roles("lb1").items() if now == role and name in NAMES)


def counters(lab, before=()):
    """What is not 0 (since then)."""
    now = {row["counter"]: row["value"] for row in lab.show("lb1", "counters") if row["counter"].startswith("vrrp_")}
    return {name: value - dict(before).get(name, 0) for name, value in now.items() if value != dict(before).get(name, 0)}


def row_of(lab, instance):
    return next((row for row in lab.show("lb1", "vrrp") if row["instance"] == instance), {})


def problems(lab):
    return json.loads(lab.sluice("lb1", "status", "--json", check=False).stdout)["problems"]


def times(now, limit_s, what):
    """Until every case is among those of now(): when each was so first, in seconds."""
    began, found = time.monotonic(), {}

    def all_are():
        names = now()
        for name in names:
            found.setdefault(name, time.monotonic() - began)
        return names == NAMES
    within(all_are, limit_s, what)
    return found


def all_backup(lab, limit_s=8):
    return times(lambda: sorted(set(we_are(lab, "backup")) & set(they_have(lab)) - set(has_address(lab, "lb1"))), limit_s,
                 "keepalived is active, we are backup, everywhere")


def all_active(lab, limit_s=8, alone=True):
    def now():
        others = set(they_have(lab)) if alone else set()
        return sorted(set(we_are(lab, "active")) & set(has_address(lab, "lb1")) - others)
    return times(now, limit_s, "we are active everywhere")


def column(name, found):
    TABLE[name] = {case: value if isinstance(value, str) else f"{value:.1f} s" for case, value in found.items()}


def table_print():
    print("    keepalived is our partner:".ljust(34) + "".join(name.rjust(14) for name in TABLE))
    for case in CASES:
        print(f"    {case.name}".ljust(34) + "".join(TABLE[name].get(case.name, "").rjust(14) for name in TABLE))


def macs_are_right(lab):
    """We are active, and the router asks for an address of each case anew. (A keepalived that has several virtual MACs
    in one network answers with another one's.)"""
    asked = {case: addresses(case.vrid, case.ipv6)[-1].split("/")[0] for case in CASES}
    lab.router.run("ip neigh flush dev servers; for a in " + " ".join(asked.values()) +
                   "; do ping -n -c1 -W2 $a > /dev/null & done; wait")
    rows = [line.split() for line in lab.router.run("ip neigh show dev servers").splitlines()]
    known = {row[0]: row[2] for row in rows if row[1] == "lladdr"}
    real = lab.lb1.run("cat /sys/class/net/eth0/address").strip()
    for case, address in asked.items():
        virtual = f"00:00:5e:00:0{2 if case.ipv6 else 1}:{case.vrid:02x}"
        assert known.get(address) == (virtual if "ours" in case.vmac else real), (case.name, known.get(address))


def reload(lab, text):
    lab.config_write(text, nodes=["lb1"])
    lab.sluice("lb1", "reload")


def test_we_are_backup_of_keepalived_and_believe_each_of_its_adverts(lab):
    all_backup(lab)
    before = {row["instance"]: row for row in lab.show("lb1", "vrrp")}

    def heard(row):
        return row["received"] >= before[row["instance"]]["received"] + (2 if row["instance"].startswith("v2") else 15)
    wait_until(lambda: all(heard(row) for row in lab.show("lb1", "vrrp")), 6, "each advert counts")
    after = lab.show("lb1", "vrrp")
    for row in after:
        assert row["role"] == "backup" and row["bad"] == 0, row
        assert row["transitions"] == before[row["instance"]]["transitions"] and row["partner_priority"] == 200, row
    assert not counters(lab), counters(lab)
    column("adverts taken", {row["instance"]: str(row["received"]) for row in after})


@contextlib.contextmanager
def garbage(lab):
    """Adverts with a wrong checksum for each instance that listens to the group, every 30 ms."""
    ended = threading.Event()

    def send():
        with lab.router.network(), socket.socket(socket.AF_INET, socket.SOCK_RAW, 112) as s:
            s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
            s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.77.0.1"))
            while not ended.wait(0.03):
                for case in CASES:
                    if not case.ipv6 and not case.unicast:
                        s.sendto(advert(case.vrid, case.version, spoil=1), ("224.0.0.18", 0))
    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_we_take_over_when_keepalived_dies_and_step_back_when_it_returns(lab):
    """Whatever else comes for the instances meanwhile: only a valid advert touches a timer."""
    before = counters(lab)
    lab.switch.run("ip link set p-lb2 down")
    with garbage(lab):
        found = all_active(lab, alone=False)
    assert max(found.values()) > 0.3
    column("it died", found)
    lab.switch.run("ip link set p-lb2 up")
    all_backup(lab)
    assert counters(lab, before).keys() == {"vrrp_checksum"}, counters(lab, before)


def test_we_take_over_at_once_when_keepalived_leaves(lab):
    keepalived_end(lab)
    column("it left", all_active(lab, 4))
    keepalived_start(lab, priority=200)
    all_backup(lab)


def test_wrong_password_is_no_advert(lab):
    before = counters(lab)
    reload(lab, ours(100, password="/etc/sluice/wrong"))
    wait_until(lambda: we_are(lab, "active") == ["v2-password", "v2-password-unicast"], 8,
               "active where the password differs")
    assert set(counters(lab, before)) == {"vrrp_password"}
    reload(lab, ours(100))
    all_backup(lab)


def test_keepalived_is_our_backup(lab):
    reload(lab, ours(250))
    all_active(lab, 12)
    macs_are_right(lab)
    time.sleep(2)
    column("it obeys", dict.fromkeys(all_active(lab, 0), "2 s"))
    assert all(row["splits"] == 0 for row in lab.show("lb1", "vrrp"))
    lab.switch.run("ip link set p-lb1 down")
    column("we died", times(lambda: they_have(lab), 8, "keepalived is active"))
    lab.switch.run("ip link set p-lb1 up")
    all_active(lab, 12)
    lab.sluice("lb1", "failover")
    column("handed over", all_backup(lab))
    keepalived_end(lab)
    all_active(lab)


def test_killed_parent_is_no_wait_for_keepalived(lab):
    """vrrp, which lives on, resigns: keepalived has to wait for the skew alone."""
    keepalived_start(lab, priority=200)
    wait_until(lambda: len(lab.lb2.pids("^/usr/sbin/keepalived")) >= 2, 5, "keepalived runs")
    time.sleep(0.5)
    all_active(lab, 0)
    lab.lb1.kill(f"^{SLUICED}$", "KILL")
    column("parent killed", times(lambda: they_have(lab), 2.5, "keepalived is active before its timers ran out"))
    table_print()
    keepalived_end(lab)
    lab.daemons["lb1"].wait()
    lab.sluice_start("lb1")
    all_active(lab, 20)


def test_partner_that_knows_other_addresses_is_a_split_that_is_shouted(lab):
    """keepalived ignores who announces other addresses: both stay active, and we say so. (Our interval is
    longer there: each packet for its vrid, good or bad, starts keepalived's advert timer anew.)"""
    keepalived_end(lab)
    reload(lab, ours(250, odd=True))
    keepalived_start(lab, priority=100, odd=True)

    def odd():
        return row_of(lab, "odd")
    wait_until(lambda: odd().get("split_ms", 0) > 500, 10, "the split is counted")
    assert odd()["role"] == "active" and odd()["splits"] == 1, odd()
    assert counters(lab).get("vrrp_addresses_differ"), counters(lab)
    assert "vrrp instance odd: another node is active, too; see: sluice show vrrp" in problems(lab)
    keepalived_end(lab)
    wait_until(lambda: not [text for text in problems(lab) if "another node" in text], 10, "the split is over")


def announced(sniffer, mac):
    """Gratuitous ARPs of MANY_ADDRESSES that came from there: when, in ms, and the address's last byte."""
    found = []
    while True:
        try:
            frame, control, *_ = sniffer.recvmsg(256, 256)
        except BlockingIOError:
            return found
        if frame[6:14] == mac + b"\x08\x06" and frame[28:32] == frame[38:42] and frame[31] in range(201, 206):
            seconds, nanoseconds = struct.unpack("qq", control[0][2])
            found.append((seconds * 1e3 + nanoseconds / 1e6, frame[31]))


def test_who_stays_after_a_split_announces_at_once_on_schedule_and_paced(lab):
    """keepalived hears nothing for a while, and is heard: whatever came first of both, it would step back at once."""
    keepalived_end(lab)
    reload(lab, ours(250, many=True))
    keepalived_start(lab, priority=100, many=True)
    wait_until(lambda: row_of(lab, "many").get("role") == "active", 5, "we are active")
    all_active(lab, 12)
    wait_until(lambda: len(lab.lb2.pids("^/usr/sbin/keepalived")) >= 2, 5, "keepalived runs")
    time.sleep(0.5)
    mac = bytes.fromhex(lab.lb1.run("cat /sys/class/net/eth0/address").strip().replace(":", ""))
    with lab.switch.network():
        sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        sniffer.bind(("p-lb1", 3))
        sniffer.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sniffer.setblocking(False)
    before = row_of(lab, "many")["splits"]
    frames = []  # but for the rest of a round that was under way

    def hear():
        frames.extend(announced(sniffer, mac))
        while frames and frames[0][1] != 201:
            frames.pop(0)
        return len(frames) >= 10
    lab.lb2.run("nft 'add table inet deaf; add chain inet deaf in { type filter hook input priority 0; }; "
                "add rule inet deaf in meta l4proto 112 drop'")
    wait_until(hear, 5, "it is announced, twice")
    lab.lb2.run("nft delete table inet deaf")
    sniffer.close()
    frames = frames[:10]
    wait_until(lambda: row_of(lab, "many")["splits"] == before + 1, 5, "the split is counted")
    assert [last for _, last in frames] == [201, 202, 203, 204, 205] * 2, frames
    gaps = [b[0] - a[0] for a, b in zip(frames, frames[1:])]
    assert all(gap > 10 for gap in gaps), gaps
    assert 450 < frames[5][0] - frames[0][0] < 700, frames
    assert row_of(lab, "many")["role"] == "active"
    there = lab.lb1.run("ip addr show dev eth0")
    assert all(f" {address} " in there for address in MANY_ADDRESSES), there
    wait_until(lambda: not [address for address in MANY_ADDRESSES
                            if address in lab.lb2.run("ip addr show dev eth0")], 5, "one owns the addresses")
    keepalived_end(lab)
    reload(lab, ours(250))


def advert(vrid, version=2, priority=255, auth=0, password=b"", interval=1, spoil=0, cut=0):
    """As bytes, with the right checksum; spoil is added to it."""
    lead = bytes([version << 4 | 1, vrid, priority, 1, auth if version == 2 else 0, interval])
    tail = bytes([10, 77, 0, vrid + 100]) + (password.ljust(8, b"\0") if version == 2 else b"")
    total = sum(struct.unpack(f"!{(len(lead) + len(tail)) // 2}H", lead + tail))
    total = (total & 0xffff) + (total >> 16)
    packet = lead + struct.pack("!H", (~total & 0xffff) ^ spoil) + tail
    return packet[:len(packet) - cut]


FORGED = [  # counter, packet, destination, TTL, source
    ("ttl", advert(61), "224.0.0.18", 254, THEIRS),
    ("ttl", advert(62), OURS, 64, THEIRS),
    ("version", advert(61, version=3), "224.0.0.18", 255, THEIRS),
    ("version", advert(65, version=2), "224.0.0.18", 255, THEIRS),
    ("checksum", advert(61, spoil=1), "224.0.0.18", 255, THEIRS),
    ("short", advert(61, cut=1), "224.0.0.18", 255, THEIRS),
    ("interval_differs", advert(61, interval=2), "224.0.0.18", 255, THEIRS),
    ("auth_type", advert(61, auth=1, password=b"x"), "224.0.0.18", 255, THEIRS),
    ("auth_type", advert(63), "224.0.0.18", 255, THEIRS),
    ("password", advert(63, auth=1, password=b"pa55wor"), "224.0.0.18", 255, THEIRS),
    ("stranger", advert(62), OURS, 255, "10.77.0.99"),
    ("destination", advert(61), OURS, 255, THEIRS),
    (None, advert(99), "224.0.0.18", 255, THEIRS)]  # nobody's


def test_forged_packets_are_counted_by_kind_and_change_nothing(lab):
    """They come every 50 ms, at half of the interval: a timer that they touched would never run out."""
    lab.lb2.run("ip addr replace 10.77.0.99/24 dev eth0")
    all_active(lab, 12)
    before, was = counters(lab), {row["instance"]: row for row in lab.show("lb1", "vrrp")}
    rounds = 24
    with lab.lb2.network():
        for _ in range(rounds):
            for _, packet, to, ttl, source in FORGED:
                with socket.socket(socket.AF_INET, socket.SOCK_RAW, 112) as s:
                    s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
                    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
                    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(THEIRS))
                    s.bind((source, 0))
                    s.sendto(packet, (to, 0))
            time.sleep(0.05)
    wanted = {f"vrrp_{kind}": rounds * n for kind, n in collections.Counter(kind for kind, *_ in FORGED if kind).items()}
    wait_until(lambda: counters(lab, before) == wanted, 5, "each is counted by its kind")
    now = {row["instance"]: row for row in lab.show("lb1", "vrrp")}
    assert {name: row["transitions"] for name, row in now.items()} == {name: row["transitions"] for name, row in was.items()}
    for name in ("v2", "v2-unicast", "v2-password", "v3"):
        least = rounds * 0.05 / (1 if name.startswith("v2") else 0.1) - 1
        assert now[name]["sent"] - was[name]["sent"] >= least, (name, was[name]["sent"], now[name]["sent"])
    all_active(lab, 0)
