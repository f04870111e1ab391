/* SPDX-License-Identifier: BSD-2-Clause */
/* prod.c: see prod.h. */
#include "lb/prod.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IPV6_HDRINCL
#define IPV6_HDRINCL 36 /* since Linux 4.5 */
#endif

enum { PROD_TTL = 64 };

struct prod {
	int ipv4, ipv6; /* sockets; -1 = the family is not there */
};

/* ---- the packet ---- */

static bool is_mapped(const struct tuple *flow)
{
	return IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)(const void *)flow->dst);
}

static uint32_t sum_add(uint32_t sum, const void *bytes, size_t n)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)(at[i] << 8 | at[i + 1]);
	return sum;
}

static uint16_t sum_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* @addr_bytes: 4 or 16: how much of the addresses the pseudo header has */
static struct tcphdr tcp_of(const struct tuple *flow, uint32_t seq, uint32_t ack, size_t addr_bytes)
{
	struct tcphdr tcp = {.source = flow->dport,
			     .dest = flow->sport,
			     .seq = htonl(seq),
			     .ack_seq = htonl(ack),
			     .doff = sizeof(tcp) / 4,
			     .ack = 1};
	uint32_t sum = IPPROTO_TCP + sizeof(tcp);

	sum = sum_add(sum, flow->src + 16 - addr_bytes, addr_bytes);
	sum = sum_add(sum, flow->dst + 16 - addr_bytes, addr_bytes);
	tcp.check = sum_fold(sum_add(sum, &tcp, sizeof(tcp)));
	return tcp;
}

size_t prod_build(const struct tuple *flow, uint32_t seq, uint32_t ack,
		  uint8_t ret_packet[static PROD_BYTES])
{
	struct tcphdr tcp = tcp_of(flow, seq, ack, is_mapped(flow) ? 4 : 16);

	if (is_mapped(flow)) {
		struct iphdr ip = {.version = 4,
				   .ihl = 5,
				   .ttl = PROD_TTL,
				   .protocol = IPPROTO_TCP,
				   .tot_len = htons(sizeof(ip) + sizeof(tcp)),
				   .frag_off = htons(IP_DF)};

		memcpy(&ip.saddr, flow->dst + 12, 4);
		memcpy(&ip.daddr, flow->src + 12, 4);
		ip.check = sum_fold(sum_add(0, &ip, sizeof(ip)));
		memcpy(ret_packet, &ip, sizeof(ip));
		memcpy(ret_packet + sizeof(ip), &tcp, sizeof(tcp));
		return sizeof(ip) + sizeof(tcp);
	}
	struct ip6_hdr ip = {.ip6_flow = htonl(6U << 28),
			     .ip6_plen = htons(sizeof(tcp)),
			     .ip6_nxt = IPPROTO_TCP,
			     .ip6_hlim = PROD_TTL};

	memcpy(&ip.ip6_src, flow->dst, 16);
	memcpy(&ip.ip6_dst, flow->src, 16);
	memcpy(ret_packet, &ip, sizeof(ip));
	memcpy(ret_packet + sizeof(ip), &tcp, sizeof(tcp));
	return sizeof(ip) + sizeof(tcp);
}

/* ---- the sockets ---- */

static int raw_socket(int family)
{
	int one = 1;
	int fd = socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);

	if (fd >= 0 && family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_HDRINCL, &one, sizeof(one)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

struct prod *prod_new(void)
{
	struct prod *prod = calloc(1, sizeof(*prod));

	if (!prod)
		return NULL;
	prod->ipv4 = raw_socket(AF_INET);
	prod->ipv6 = raw_socket(AF_INET6);
	if (prod->ipv4 < 0 && prod->ipv6 < 0) {
		prod_free(prod);
		return NULL;
	}
	return prod;
}

void prod_free(struct prod *prod)
{
	if (!prod)
		return;
	if (prod->ipv4 >= 0)
		close(prod->ipv4);
	if (prod->ipv6 >= 0)
		close(prod->ipv6);
	free(prod);
}

void prod_send(struct prod *prod, const struct tuple *flow)
{
	struct sockaddr_in to4 = {.sin_family = AF_INET};
	struct sockaddr_in6 to6 = {.sin6_family = AF_INET6};
	uint8_t packet[PROD_BYTES];
	uint32_t numbers[2];
	size_t n;

	/* anywhere: that it lies within the window is unlikely, and would do no harm */
	if (getrandom(numbers, sizeof(numbers), GRND_NONBLOCK) != sizeof(numbers))
		return;
	n = prod_build(flow, numbers[0], numbers[1], packet);
	if (is_mapped(flow)) {
		memcpy(&to4.sin_addr, flow->src + 12, 4);
		sendto(prod->ipv4, packet, n, MSG_DONTWAIT, (struct sockaddr *)&to4, sizeof(to4));
		return;
	}
	memcpy(&to6.sin6_addr, flow->src, 16);
	sendto(prod->ipv6, packet, n, MSG_DONTWAIT, (struct sockaddr *)&to6, sizeof(to6));
}
