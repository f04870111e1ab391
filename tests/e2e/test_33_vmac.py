# SPDX-License-Identifier: BSD-2-Clause
"""The virtual router's own MAC (RFC 9568 7.3): whoever is active has it, so nobody's neighbour table has to change,
and a backup forwards as soon as the switch brings it the frames."""
import http.client
import socket
import struct
import time

from lab import clients, daemons
from lab.machine import wait_until
from lab.site import SLUICED, VIP, VIP6, Site, host_number

MACS = {VIP: "00:00:5e:00:01:33", VIP6: "00:00:5e:00:02:33"}
ETH_P_ALL = 3


def config(checksum="rfc9568", interval="100ms", more=""):
    pools, services = [], []
    for family, vip, net in (("", VIP, "10.77.0."), ("6", VIP6, "fd77::")):
        rows = ", ".join(f'{{ name = "{b}"; address = "{net}{host_number(b)}"; }}' for b in ("mx1", "mx2"))
        pools.append(f'{{ name = "http{family}"; port = 80; backends = ( {rows} ); '
                     'probe = { type = "http"; interval = "200ms"; timeout = "1s"; flap_limit = 0; }; }')
        services.append(f'{{ name = "http{family}"; vip = "{vip}"; port = 80; pool = "http{family}"; }}')
    common = (f'vrid = 51; interval = "{interval}"; virtual_mac = true; checksum = "{checksum}"; {more} '
              'priorities = { lb1 = 200; lb2 = 100; };')
    return f"""secret_file = "/etc/sluice/secret";
flow_limit = "64K";
user = "nobody";
nodes = ( {{ name = "lb1"; interfaces = [ "eth0" ]; }}, {{ name = "lb2"; interfaces = [ "eth0" ]; }} );
vrrp = ( {{ name = "v4"; {common} addresses = [ "{VIP}/24" ]; }},
         {{ name = "v6"; {common} addresses = [ "fe80::51/64", "{VIP6}/64" ]; }} );
pools = ( {", ".join(pools)} );
services = ( {", ".join(services)} );
"""


def site():
    lab = Site(backends=2)
    for name in lab.backends:
        daemons.nginx_start(lab.machines[name])
    lab.config_write(config())
    lab.sluice_start()
    lab.ready()
    lab.all_up("lb2")
    return lab


def macvlans(lab, node):
    """By name: is it up?"""
    lines = lab.machines[node].run("ip", "-o", "link", "show", "type", "macvlan").splitlines()
    return {line.split()[1].split("@")[0]: ",UP" in line.split("<")[1].split(">")[0] for line in lines}


def neighbour(lab, vip):
    words = lab.router.run(f"ip neigh show {vip} dev servers").split()
    return words[words.index("lladdr") + 1] if "lladdr" in words else None


def holds(lab, node):
    text = lab.machines[node].run("ip addr show")
    return [vip for vip in MACS if f" {vip}/" in text]


class Sniffer:
    """Frames that reach an interface of a machine."""

    def __init__(self, machine, dev):
        with machine.network():
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            self.sock.bind((dev, 0))
        self.sock.settimeout(0.05)

    def frames(self, seconds):
        end, found = time.monotonic() + seconds, []
        while time.monotonic() < end:
            try:
                found.append(self.sock.recv(2048))
            except OSError:
                pass
        return found


def is_advert(frame):
    kind = struct.unpack("!H", frame[12:14])[0]
    return (kind == 0x800 and frame[23] == 112) or (kind == 0x86dd and frame[20] == 112)


def mac_text(mac):
    return ":".join(f"{byte:02x}" for byte in mac)


def ping(lab, vip):
    lab.router.run(f"ping -c 1 -W 2 {vip}")


def test_active_node_alone_has_the_addresses_and_their_mac(lab):
    assert len(macvlans(lab, "lb1")) == 2 and all(macvlans(lab, "lb1").values())
    assert len(macvlans(lab, "lb2")) == 2 and not any(macvlans(lab, "lb2").values())
    assert holds(lab, "lb1") == list(MACS) and holds(lab, "lb2") == []
    assert [row["virtual_mac"] for row in lab.show("lb2", "vrrp")] == list(MACS.values())
    for vip, mac in MACS.items():
        lab.router.run(f"ip neigh flush {vip}")
        ping(lab, vip)
        assert neighbour(lab, vip) == mac, vip
    sources = {mac_text(frame[6:12]) for frame in Sniffer(lab.router, "servers").frames(0.5) if is_advert(frame)}
    assert sources == set(MACS.values()), sources


def test_no_other_address_of_the_nodes_has_it(lab):
    """ARP for the node's own address, and in the name of the VIP: the kernel's own ways to tell the wrong MAC."""
    lab.router.run("ip neigh flush dev servers")
    for own in ("10.77.0.2", "fd77::2"):
        lab.router.run(f"ping -c 1 -W 2 {own}")
        assert neighbour(lab, own) not in (None, *MACS.values()), own
    lab.lb1.run("ip neigh flush dev eth0")
    for vip, mac in MACS.items():
        ping(lab, vip)
        assert neighbour(lab, vip) == mac, vip
    for node in lab.nodes:
        for name in macvlans(lab, node):
            assert not [line for line in lab.machines[node].run(f"ip -6 addr show dev {name}").splitlines()
                        if "inet6" in line and "fe80::51/" not in line and VIP6 not in line]
    knows_all(lab)


def knows_all(lab):
    """lb1 knows the backends' MACs again, whom we made it forget: in the kernel, and what lb made of that."""
    def known():
        table = lab.lb1.run("ip neigh show dev eth0")
        return all(f"{address} lladdr" in table for b in lab.backends
                   for address in (f"10.77.0.{host_number(b)}", f"fd77::{host_number(b)}"))
    wait_until(known, 10, "lb1's kernel knows the backends again")
    time.sleep(1)  # lb looks at what has changed
    for vip in MACS:
        wait_until(lambda: set(clients.http_servers(lab.client, vip, 20)) == set(lab.backends), 10, "lb knows them, too")


def test_services_are_forwarded_through_it(lab):
    for vip in MACS:
        before = {row["counter"]: row["value"] for row in lab.show("lb1", "counters")}["pass_not_ours"]
        assert set(clients.http_servers(lab.client, vip, 60)) == set(lab.backends)
        after = {row["counter"]: row["value"] for row in lab.show("lb1", "counters")}["pass_not_ours"]
        assert after - before < 100


def test_failover_changes_nobodys_neighbour_table(lab):
    """What is static at the router can only be right if the MAC is the same at both nodes."""
    for vip, mac in MACS.items():
        lab.router.run(f"ip neigh replace {vip} lladdr {mac} dev servers nud permanent")
    try:
        for node, other in (("lb1", "lb2"), ("lb2", "lb1")):
            pinger = clients.Pinger(lab.client, VIP)
            time.sleep(0.3)
            lab.sluice(node, "failover")
            wait_until(lambda: lab.active(other), 5, f"{other} is active")
            wait_until(lambda: holds(lab, node) == [], 5, f"{node} has given them up")
            time.sleep(0.3)
            gap_ms = pinger.end()
            assert gap_ms < 100, f"{gap_ms:.0f} ms without an answer"
            assert not any(macvlans(lab, node).values()) and all(macvlans(lab, other).values())
            for vip in MACS:
                assert set(clients.http_servers(lab.client, vip, 60)) == set(lab.backends)
    finally:
        for vip in MACS:
            lab.router.run(f"ip neigh del {vip} dev servers")


def talk(lab, connection):
    connection.request("GET", "/")
    return connection.getresponse().read()


def test_backup_forwards_as_soon_as_the_switch_brings_it_the_frames(lab):
    """At an interval of 1 s it becomes active after more than 3 s; connections must not wait for that."""
    lab.config_write(config(interval="1s"))
    for node in lab.nodes:
        lab.sluice(node, "reload")
    time.sleep(1.2)
    with lab.client.network():
        connections = [http.client.HTTPConnection(vip, 80, timeout=10) for vip in MACS]
        for connection in connections:
            connection.connect()
    assert all(talk(lab, connection) for connection in connections)
    began = time.monotonic()
    lab.switch.run("ip link set p-lb1 down")
    assert all(talk(lab, connection) for connection in connections)
    took_ms = 1000 * (time.monotonic() - began)
    assert not lab.active("lb2"), "or nothing is proved"
    assert took_ms < 1500, f"{took_ms:.0f} ms"
    wait_until(lambda: lab.active("lb2"), 8, "lb2 is active")
    lab.switch.run("ip link set p-lb1 up")
    lab.config_write(config())
    for node in lab.nodes:
        lab.sluice(node, "reload")
    wait_until(lambda: lab.active("lb1") and holds(lab, "lb2") == [], 10, "lb1 is active again")
    print(f"    port of the active node down: connections went on after {took_ms:.0f} ms (interval 1 s)")


def test_killed_vrrp_goes_on_with_its_macvlan(lab):
    before = lab.lb1.pids("--child vrrp")
    links = lab.lb1.run("ip -o link show type macvlan | cut -d: -f1")
    pinger = clients.Pinger(lab.client, VIP)
    time.sleep(0.2)
    lab.lb1.kill("--child vrrp", "KILL")
    wait_until(lambda: (now := lab.lb1.pids("--child vrrp")) and now != before, 5, "another vrrp runs")
    wait_until(lambda: lab.active("lb1"), 5, "lb1 is active")
    time.sleep(0.3)
    assert pinger.end() < 100
    assert lab.lb1.run("ip -o link show type macvlan | cut -d: -f1") == links
    assert holds(lab, "lb1") == list(MACS)


def test_interface_of_somebody_else_is_left_alone(lab):
    """It has the name that the macvlan would have."""
    lab.sluice_stop("lb2")
    assert macvlans(lab, "lb2") == {}, "what is no longer wanted is removed"
    index = lab.lb2.run("cat /sys/class/net/eth0/ifindex").strip()
    lab.lb2.run(f"ip link add sl4.51.{index} type bridge")
    lab.sluice_start("lb2")
    wait_until(lambda: lab.roles("lb2") == {"v4": "init", "v6": "backup"}, 20, "v4 does not run")
    wait_until(lambda: "no macvlan for the virtual MAC" in lab.sluice("lb2", "status", check=False).stdout, 5,
               "and it is told why")
    assert "bridge" in lab.lb2.run(f"ip -d link show sl4.51.{index}")
    lab.lb2.run(f"ip link del sl4.51.{index}")
    wait_until(lambda: lab.roles("lb2") == {"v4": "backup", "v6": "backup"}, 10, "now it does")


KEEPALIVED = """global_defs {{
  router_id keepalived
  vrrp_garp_master_repeat 1
}}
vrrp_instance v4 {{
  version 3
  state BACKUP
  interface eth0
  use_vmac
  virtual_router_id 51
  priority {priority}
  advert_int 0.1
  virtual_ipaddress {{
    {vip}/24
  }}
}}
"""


def test_keepalived_with_use_vmac_in_both_roles(lab):
    lab.sluice_stop("lb2")
    lab.config_write(config(checksum="rfc5798"), ["lb1"])
    lab.sluice("lb1", "reload")
    lab.lb2.write("/etc/keepalived.conf", KEEPALIVED.format(vip=VIP, priority=150))
    lab.lb2.run("keepalived -f /etc/keepalived.conf -p /run/k.pid -r /run/kv.pid -c /run/kc.pid -l -D "
                "> /run/keepalived.log 2>&1")
    wait_until(lambda: "vrrp.51" in lab.lb2.run("ip link show"), 10, "keepalived has its macvlan")
    ping(lab, VIP)
    time.sleep(1)
    assert lab.roles("lb1")["v4"] == "active" and VIP not in holds(lab, "lb2")
    lab.sluice("lb1", "failover", "v4")
    wait_until(lambda: VIP in holds(lab, "lb2") and VIP not in holds(lab, "lb1"), 5, "keepalived is master")
    ping(lab, VIP)
    assert neighbour(lab, VIP) == MACS[VIP]
    lab.lb2.run("kill $(cat /run/k.pid)")
    wait_until(lambda: lab.roles("lb1")["v4"] == "active" and VIP in holds(lab, "lb1"), 5, "lb1 is active again")
    ping(lab, VIP)
    assert neighbour(lab, VIP) == MACS[VIP]
    assert set(clients.http_servers(lab.client, VIP, 60)) == set(lab.backends)
