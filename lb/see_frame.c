/* SPDX-License-Identifier: BSD-2-Clause */
/* see_frame.c: the packet that explain asks about, as a client's NIC would send it. */
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <string.h>

#include "lb/see.h"

enum { TTL = 64, WINDOW = 65535 };

static uint32_t sum_add(uint32_t sum, const void *bytes, size_t n)
{
	const uint8_t *b = bytes;

	for (size_t i = 0; i < n; i++)
		sum += i % 2 ? b[i] : (uint32_t)b[i] << 8;
	return sum;
}

/* RFC 1071; as it stands in a header. */
static uint16_t sum_end(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* The pseudo-header of RFC 9293 and RFC 8200: IPv4 addresses in their mapped form would add up to
 * another sum.
 */
static uint32_t sum_pseudo(const struct see_packet *p, uint32_t bytes)
{
	size_t from = addr_is_ipv4(&p->src) ? 12 : 0;
	uint32_t sum = sum_add(0, p->src.in6.s6_addr + from, 16 - from);

	return sum_add(sum, p->dst.in6.s6_addr + from, 16 - from) + p->protocol + bytes;
}

static uint32_t put_transport(const struct see_packet *p, uint8_t *at)
{
	struct tcphdr tcp = {.source = htons(p->sport),
			     .dest = htons(p->dport),
			     .doff = sizeof(tcp) / 4,
			     .window = htons(WINDOW)};
	struct udphdr udp = {
		.source = htons(p->sport), .dest = htons(p->dport), .len = htons(sizeof(udp))};
	uint16_t check;

	if (p->protocol == IPPROTO_UDP) {
		check = sum_end(sum_add(sum_pseudo(p, sizeof(udp)), &udp, sizeof(udp)));
		udp.check = check ? check : 0xffff; /* 0 is "none" (RFC 768) */
		memcpy(at, &udp, sizeof(udp));
		return sizeof(udp);
	}
	memcpy(at, &tcp, sizeof(tcp));
	at[13] = p->tcp_flags;
	check = sum_end(sum_add(sum_pseudo(p, sizeof(tcp)), at, sizeof(tcp)));
	memcpy(at + 16, &check, sizeof(check));
	return sizeof(tcp);
}

static uint32_t put_ipv4(const struct see_packet *p, uint8_t *at)
{
	uint32_t bytes =
		(uint32_t)sizeof(struct iphdr) + put_transport(p, at + sizeof(struct iphdr));
	struct iphdr ip = {.version = 4,
			   .ihl = sizeof(ip) / 4,
			   .tot_len = htons((uint16_t)bytes),
			   .frag_off = htons(0x4000),
			   .ttl = TTL,
			   .protocol = p->protocol};

	memcpy(&ip.saddr, p->src.in6.s6_addr + 12, sizeof(ip.saddr));
	memcpy(&ip.daddr, p->dst.in6.s6_addr + 12, sizeof(ip.daddr));
	ip.check = sum_end(sum_add(0, &ip, sizeof(ip)));
	memcpy(at, &ip, sizeof(ip));
	return bytes;
}

static uint32_t put_ipv6(const struct see_packet *p, uint8_t *at)
{
	uint32_t bytes = put_transport(p, at + sizeof(struct ipv6hdr));
	struct ipv6hdr ip = {.version = 6,
			     .payload_len = htons((uint16_t)bytes),
			     .nexthdr = p->protocol,
			     .hop_limit = TTL};

	memcpy(&ip.saddr, &p->src, sizeof(ip.saddr));
	memcpy(&ip.daddr, &p->dst, sizeof(ip.daddr));
	memcpy(at, &ip, sizeof(ip));
	return (uint32_t)sizeof(ip) + bytes;
}

uint32_t see_frame_build(const struct see_packet *p, uint8_t ret_frame[static SEE_FRAME])
{
	static const uint8_t somebody[6] = {0x02};
	bool ipv4 = addr_is_ipv4(&p->src);
	struct ethhdr eth = {.h_proto = htons(ipv4 ? ETH_P_IP : ETH_P_IPV6)};

	memset(ret_frame, 0, SEE_FRAME);
	memcpy(eth.h_dest, p->to_mac, sizeof(eth.h_dest));
	memcpy(eth.h_source, somebody, sizeof(eth.h_source));
	memcpy(ret_frame, &eth, sizeof(eth));
	return (uint32_t)sizeof(eth) +
	       (ipv4 ? put_ipv4(p, ret_frame + sizeof(eth)) : put_ipv6(p, ret_frame + sizeof(eth)));
}
