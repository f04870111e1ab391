# SPDX-License-Identifier: BSD-2-Clause
"""Jumbo frames: with an MTU of 9,000 a frame is in several buffers, and is forwarded as it is."""
import os

from lab import clients
from lab.site import VIP, VIP6, Site

MTU = 9000
MESSAGE_BYTES = 3_000_000


def site():
    lab = Site(nodes=("lb1",))
    for machine in lab.machines.values():
        machine.run("for dev in $(ls /sys/class/net | grep -vw lo); do ip link set dev $dev xdp off 2> /dev/null; "
                    f"ip link set dev $dev mtu {MTU}; done; true")
    # a bridge port's program sees whole frames only if it says that it can; GRO does for its peer's XDP_TX
    lab.switch.run("ethtool -K p-lb1 gro on")
    lab.up()
    return lab


def test_native_xdp_takes_an_interface_of_mtu_9000(lab):
    rows = {row["key"]: row["value"] for row in lab.show("lb1", "config")}
    assert "native" in rows["interface"], rows
    assert lab.lb1.run("cat /sys/class/net/eth0/mtu").strip() == str(MTU)


def test_uploads_in_jumbo_frames_arrive_whole(lab):
    before = counters(lab)
    for host in (VIP, VIP6):
        imap = clients.imap_open(lab.client, host)
        text = os.urandom(MESSAGE_BYTES // 2).hex().encode()
        lines = b"\r\n".join(text[i:i + 76] for i in range(0, len(text), 76))
        message = b"Subject: big\r\n\r\n" + lines + b"\r\n"
        assert imap.append("INBOX", None, None, message)[0] == "OK"
        imap.select("INBOX")
        found = imap.fetch(str(int(imap.search(None, "ALL")[1][0].split()[-1])), "(BODY.PEEK[])")[1][0][1]
        assert found == message, (len(found), len(message))
        imap.logout()
    packets = counters(lab)["forwarded"] - before["forwarded"]
    assert packets < 2 * 2 * MESSAGE_BYTES / 3000, f"{packets} packets: they were not large"
    assert counters(lab)["drop_truncated"] == before["drop_truncated"]


def counters(lab):
    return {row["counter"]: row["value"] for row in lab.show("lb1", "counters")}
