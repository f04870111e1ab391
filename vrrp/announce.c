/* SPDX-License-Identifier: BSD-2-Clause */
/* announce.c: gratuitous ARP and unsolicited neighbour advertisements, as frames (link.h). */
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <string.h>
#include <sys/socket.h>

#include "vrrp/link.h"

static uint8_t *put(uint8_t *at, const void *bytes, size_t n)
{
	memcpy(at, bytes, n);
	return at + n;
}

size_t announce_arp(const uint8_t mac[static 6], const struct addr *vip,
		    uint8_t frame[static ANNOUNCE_BYTES])
{
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, nobody[6] = {0};
	static const uint8_t arp[] = {0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1}; /* a request */
	const uint8_t *ip = vip->in6.s6_addr + 12;
	uint8_t *at = frame;

	at = put(at, broadcast, 6);
	at = put(at, mac, 6);
	at = put(at, arp, sizeof(arp));
	at = put(at, mac, 6);
	at = put(at, ip, 4);
	at = put(at, nobody, 6);
	at = put(at, ip, 4);
	return (size_t)(at - frame);
}

/* RFC 4443 2.3, over the pseudo-header and the message, both even in length. */
static uint16_t icmp6_checksum(const uint8_t *addresses, const uint8_t *message, size_t n)
{
	uint32_t sum = (uint32_t)n + IPPROTO_ICMPV6;

	for (size_t i = 0; i < 32; i += 2)
		sum += (uint32_t)addresses[i] << 8 | addresses[i + 1];
	for (size_t i = 0; i < n; i += 2)
		sum += (uint32_t)message[i] << 8 | message[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

size_t announce_na(const uint8_t mac[static 6], const struct addr *vip, bool router,
		   uint8_t frame[static ANNOUNCE_BYTES])
{
	static const uint8_t all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1};
	static const uint8_t all_nodes[16] = {0xff, 0x02, [15] = 1};
	const uint8_t ip6[] = {0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, IPPROTO_ICMPV6, 255};
	const uint8_t na[] = {ND_NEIGHBOR_ADVERT, 0, 0, 0, router ? 0xa0 : 0x20, 0, 0, 0};
	const uint8_t option[] = {ND_OPT_TARGET_LINKADDR, 1};
	uint8_t *at = frame, *addresses, *message;
	uint16_t sum;

	at = put(at, all_nodes_mac, 6);
	at = put(at, mac, 6);
	at = put(at, ip6, sizeof(ip6));
	addresses = at;
	at = put(at, vip->in6.s6_addr, 16);
	at = put(at, all_nodes, 16);
	message = at;
	at = put(at, na, sizeof(na));
	at = put(at, vip->in6.s6_addr, 16);
	at = put(at, option, sizeof(option));
	at = put(at, mac, 6);
	sum = icmp6_checksum(addresses, message, (size_t)(at - message));
	message[2] = (uint8_t)(sum >> 8);
	message[3] = (uint8_t)sum;
	return (size_t)(at - frame);
}

int link_announce(int packet_socket, const struct link *link, const struct config_instance *config,
		  uint32_t from, uint32_t to_before)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET, .sll_ifindex = link->ifindex, .sll_halen = 6};
	uint8_t frames[CONFIG_ADDRESSES][ANNOUNCE_BYTES];
	struct iovec iov[CONFIG_ADDRESSES];
	struct mmsghdr messages[CONFIG_ADDRESSES];
	uint32_t n = from;
	int r = 0;

	for (uint32_t i = from; i < to_before; i++) {
		const struct addr *vip = &config->addresses[i].addr;

		iov[i].iov_base = frames[i];
		iov[i].iov_len =
			config->ipv6 ? announce_na(link->mac, vip, link->forwards_ipv6, frames[i])
				     : announce_arp(link->mac, vip, frames[i]);
		messages[i].msg_hdr = (struct msghdr){.msg_name = &to,
						      .msg_namelen = sizeof(to),
						      .msg_iov = &iov[i],
						      .msg_iovlen = 1};
	}
	memcpy(to.sll_addr, frames[from], 6);
	while (n < to_before) {
		int sent = sendmmsg(packet_socket, messages + n, to_before - n, MSG_DONTWAIT);

		r = sent < 0 ? -errno : r;
		n += sent < 0 ? 1 : (uint32_t)sent;
	}
	return r;
}
