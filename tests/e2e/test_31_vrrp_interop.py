# SPDX-License-Identifier: BSD-2-Clause
"""keepalived is the partner: lb1 is ours, lb2 is Debian's keepalived. Version 2 with and without a
password, version 3 over IPv4 and IPv6, each by multicast and by unicast, all at the same time, in both
roles."""
import collections
import json
import socket
import struct
import time

from lab.machine import wait_until
from lab.site import Site

OURS, THEIRS = "10.77.0.2", "10.77.0.3"
OURS6, THEIRS6 = "fd77::2", "fd77::3"
PASSWORD = "pa55word"
SO_TIMESTAMPNS = 35

# name, vrid, version, with password, IPv6, unicast
CASES = [("v2", 61, 2, False, False, False),
         ("v2-unicast", 62, 2, False, False, True),
         ("v2-password", 63, 2, True, False, False),
         ("v2-password-unicast", 64, 2, True, False, True),
         ("v3", 65, 3, False, False, False),
         ("v3-unicast", 66, 3, False, False, True),
         ("v6", 67, 3, False, True, False),
         ("v6-unicast", 68, 3, False, True, True)]
NAMES = sorted(case[0] for case in CASES)
ODD = 69  # where keepalived has an address more than we, and therefore never believes us
MANY = 70
MANY_ADDRESSES = [f"10.77.0.{n}/24" for n in range(201, 206)]


def addresses(vrid, ipv6):
    return [f"fe80::{vrid}/64", f"fd77::1:{vrid}/64"] if ipv6 else [f"10.77.0.{vrid + 100}/24"]


def ours(priority, password="/etc/sluice/password", odd=False, many=False):
    rows = []
    for name, vrid, version, with_password, ipv6, unicast in CASES:
        row = f'name = "{name}"; vrid = {vrid}; version = {version}; priority = {priority}; checksum = "rfc5798"; ' \
              f'interval = "{"1s" if version == 2 else "100ms"}"; addresses = {json.dumps(addresses(vrid, ipv6))}; '
        if with_password:
            row += f'authentication = "password"; password_file = "{password}"; '
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
    cases = CASES + ([("odd", ODD, 3, False, False, False)] if odd else []) + \
        ([("many", MANY, 3, False, False, False)] if many else [])
    for name, vrid, version, with_password, ipv6, unicast in cases:
        text += f"vrrp_instance {name} {{\n interface eth0\n state BACKUP\n virtual_router_id {vrid}\n" \
                f" version {version}\n priority {priority}\n advert_int {1 if version == 2 else 0.1}\n"
        if ipv6:
            text += " native_ipv6\n"
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
    """Whose addresses are there, by instance."""
    text = lab.machines[node].run("ip addr show dev eth0")
    return sorted(name for name, vrid, _, _, ipv6, _ in CASES
                  if all(f" {address}" in text for address in addresses(vrid, ipv6)))


def they_have(lab):
    return has_address(lab, "lb2")


def we_are(lab, role):
    return sorted(name for name, now in lab.roles("lb1").items() if now == role and name in NAMES)


def counters(lab):
    return {row["counter"]: row["value"] for row in lab.show("lb1", "counters")
            if row["counter"].startswith("vrrp_") and row["value"]}


def row_of(lab, instance):
    return next((row for row in lab.show("lb1", "vrrp") if row["instance"] == instance), {})


def problems(lab):
    return json.loads(lab.sluice("lb1", "status", "--json", check=False).stdout)["problems"]


def all_backup(lab, limit_s=8):
    wait_until(lambda: we_are(lab, "backup") == NAMES and they_have(lab) == NAMES and
               not has_address(lab, "lb1"), limit_s, "keepalived is active, we are backup, everywhere")


def all_active(lab, limit_s=8, alone=True):
    wait_until(lambda: we_are(lab, "active") == NAMES and has_address(lab, "lb1") == NAMES and
               (not alone or not they_have(lab)), limit_s, "we are active everywhere")


def reload(lab, text):
    lab.config_write(text, nodes=["lb1"])
    lab.sluice("lb1", "reload")


def test_we_are_backup_of_keepalived_and_believe_each_of_its_adverts(lab):
    all_backup(lab)
    before = {row["instance"]: row for row in lab.show("lb1", "vrrp")}

    def heard(row):
        return row["received"] >= before[row["instance"]]["received"] + (2 if row["instance"].startswith("v2") else 15)
    wait_until(lambda: all(heard(row) for row in lab.show("lb1", "vrrp")), 6, "each advert counts")
    for row in lab.show("lb1", "vrrp"):
        assert row["role"] == "backup" and row["bad"] == 0, row
        assert row["transitions"] == before[row["instance"]]["transitions"] and row["partner_priority"] == 200, row
    assert not counters(lab), counters(lab)


def test_we_take_over_when_keepalived_dies_and_step_back_when_it_returns(lab):
    lab.switch.run("ip link set p-lb2 down")
    began = time.monotonic()
    all_active(lab, alone=False)
    assert time.monotonic() - began > 0.3
    lab.switch.run("ip link set p-lb2 up")
    all_backup(lab)
    assert not counters(lab), counters(lab)


def test_we_take_over_at_once_when_keepalived_leaves(lab):
    began = time.monotonic()
    keepalived_end(lab)
    all_active(lab, 4)
    took_s = time.monotonic() - began
    keepalived_start(lab, priority=200)
    all_backup(lab)
    print(f"    keepalived stopped: active everywhere after {took_s:.1f} s")


def test_wrong_password_is_no_advert(lab):
    reload(lab, ours(100, password="/etc/sluice/wrong"))
    wait_until(lambda: we_are(lab, "active") == ["v2-password", "v2-password-unicast"], 8,
               "active where the password differs")
    assert set(counters(lab)) == {"vrrp_password"}
    reload(lab, ours(100))
    all_backup(lab)


def test_keepalived_is_our_backup(lab):
    reload(lab, ours(250))
    all_active(lab, 12)
    time.sleep(2)
    all_active(lab, 0)  # it believes our adverts
    assert all(row["splits"] == 0 for row in lab.show("lb1", "vrrp"))
    lab.switch.run("ip link set p-lb1 down")
    wait_until(lambda: they_have(lab) == NAMES, 8, "keepalived is active")
    lab.switch.run("ip link set p-lb1 up")
    all_active(lab, 12)
    lab.sluice("lb1", "failover")
    all_backup(lab)
    keepalived_end(lab)
    all_active(lab)


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


def announced(sniffer):
    """Gratuitous ARPs of MANY_ADDRESSES that came: when, in ms, and the address's last byte."""
    found = []
    while True:
        try:
            frame, control, *_ = sniffer.recvmsg(256, 256)
        except BlockingIOError:
            return found
        if frame[12:14] == b"\x08\x06" and frame[28:32] == frame[38:42] and frame[31] in range(201, 206):
            seconds, nanoseconds = struct.unpack("qq", control[0][2])
            found.append((seconds * 1e3 + nanoseconds / 1e6, frame[31]))


def test_who_stays_after_a_split_announces_at_once_on_schedule_and_paced(lab):
    keepalived_end(lab)
    reload(lab, ours(250, many=True))
    keepalived_start(lab, priority=100, many=True)
    wait_until(lambda: row_of(lab, "many").get("role") == "active", 5, "we are active")
    all_active(lab, 12)
    with lab.switch.network():
        sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        sniffer.bind(("p-lb1", 3))
        sniffer.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sniffer.setblocking(False)
    lab.switch.run("ip link set p-lb2 nomaster")
    wait_until(lambda: all(address in lab.lb2.run("ip addr show dev eth0") for address in MANY_ADDRESSES), 5,
               "two own the addresses")
    time.sleep(0.5)
    announced(sniffer)
    before = row_of(lab, "many")["splits"]
    lab.switch.run("ip link set p-lb2 master br0")
    wait_until(lambda: row_of(lab, "many")["splits"] == before + 1, 5, "the split is counted")
    time.sleep(1)
    frames = announced(sniffer)
    sniffer.close()
    assert [last for _, last in frames] == [201, 202, 203, 204, 205] * 2, frames
    gaps = [b[0] - a[0] for a, b in zip(frames, frames[1:])]
    assert all(gap > 10 for gap in gaps), gaps
    assert 450 < frames[5][0] - frames[0][0] < 700, frames
    assert row_of(lab, "many")["role"] == "active"
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
    (None, advert(77), "224.0.0.18", 255, THEIRS)]  # nobody's


def test_forged_packets_are_counted_by_kind_and_change_nothing(lab):
    lab.lb2.run("ip addr replace 10.77.0.99/24 dev eth0")
    all_active(lab, 12)
    before, was = counters(lab), {row["instance"]: row["transitions"] for row in lab.show("lb1", "vrrp")}
    with lab.lb2.network():
        for _, packet, to, ttl, source in FORGED:
            with socket.socket(socket.AF_INET, socket.SOCK_RAW, 112) as s:
                s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
                s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
                s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(THEIRS))
                s.bind((source, 0))
                s.sendto(packet, (to, 0))
    wanted = collections.Counter(f"vrrp_{kind}" for kind, *_ in FORGED if kind)

    def more():
        return {name: value - before.get(name, 0) for name, value in counters(lab).items()
                if value != before.get(name, 0)}
    wait_until(lambda: more() == wanted, 5, "each is counted by its kind")
    assert {row["instance"]: row["transitions"] for row in lab.show("lb1", "vrrp")} == was
    all_active(lab, 0)
