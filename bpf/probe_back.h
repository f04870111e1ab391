/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* probe_back.h: the answer of a backend that is probed through its VIP.
 *
 * It comes from the VIP and its port, for a port of the node's own. `probe_returns`, written by
 * probe.bpf.c when the probe left, says which backend that is: the packet gets its address as
 * source again and is passed up, to the socket that is connected to it. What comes after the
 * probe's time is not its: the node may be a client of the VIP itself, from the same port. This has
 * to come before the kernel's stack: on the active node the VIP is a local address, and packets
 * from it are refused. Where VIP and backend are of different families (mode tunnel), the IP header
 * is another one.
 */
#ifndef SLUICE_BPF_PROBE_BACK_H
#define SLUICE_BPF_PROBE_BACK_H

#include "bpf/checksum.h"
#include "bpf/maps.h"
#include "bpf/outer.h"
#include "bpf/parse.h"
#include "bpf/probe_map.h"
#include "bpf/reply.h"

#define PROBE_TTL 64

/* What the packet becomes. IPv4 addresses are in word 3, the others 0: so sums need no cases. */
struct probe_face {
	__u32 src[4], dst[4];
	__u32 ipv6;
};

static __always_inline void probe_words(__u32 word[static 4], const __u8 addr[static 16],
					__u32 ipv6)
{
	__builtin_memcpy(word, addr, 16);
	if (!ipv6)
		word[0] = word[1] = word[2] = 0;
}

static __always_inline void probe_mapped(__u8 addr[static 16], const __u32 word[static 4],
					 __u32 ipv6)
{
	__u32 *to = (__u32 *)addr;

	to[0] = ipv6 ? word[0] : 0;
	to[1] = ipv6 ? word[1] : 0;
	to[2] = ipv6 ? word[2] : MAPPED_PREFIX;
	to[3] = word[3];
}

static __always_inline __u64 probe_sum(__u64 sum, const struct packet *p,
				       const struct probe_face *is)
{
	for (int i = 0; i < 4; i++) {
		__u32 src = p->ipv6 || i == 3 ? p->src[i] : 0;
		__u32 dst = p->ipv6 || i == 3 ? p->dst[i] : 0;

		sum = sum_replace(sum_replace(sum, src, is->src[i]), dst, is->dst[i]);
	}
	return sum;
}

/* probe_tcp: the node's port, and the checksum. */
static __always_inline int probe_tcp(struct xdp_md *ctx, const struct packet *p,
				     const struct probe_face *is, __be16 port)
{
	struct tcphdr *tcp = (void *)(long)ctx->data + p->transport_at;

	if (p->transport_at > TRANSPORT_AT_MOST || (void *)(tcp + 1) > (void *)(long)ctx->data_end)
		return 0;
	tcp->check = checksum_update(tcp->check, probe_sum(sum_replace(0, tcp->dest, port), p, is));
	tcp->dest = port;
	return 1;
}

/* probe_room: the IP header of @was bytes gives way to one of @is; what is before it stays. */
static __always_inline int probe_room(struct xdp_md *ctx, __u32 ip_at, __u32 was, __u32 is,
				      __be16 ethertype)
{
	__u16 kept[IP_AT_MOST / 2], *word = (void *)(long)ctx->data;

	if ((void *)word + IP_AT_MOST > (void *)(long)ctx->data_end)
		return 0;
	for (__u32 i = 0; i < IP_AT_MOST / 2; i++)
		kept[i] = word[i];
	for (__u32 i = ETHERTYPE_AT / 2; i < IP_AT_MOST / 2; i += 2)
		if (ip_at == 2 * i + 2)
			kept[i] = ethertype;
	if (was != is && bpf_xdp_adjust_head(ctx, (int)was - (int)is))
		return 0;
	word = (void *)(long)ctx->data;
	if ((void *)word + IP_AT_MOST > (void *)(long)ctx->data_end)
		return 0;
	for (__u32 i = 0; i < IP_AT_MOST / 2; i++)
		if (2 * i < ip_at)
			word[i] = kept[i];
	return 1;
}

/* probe_header: a new IP header, before @bytes of TCP. */
static __always_inline int probe_header(struct xdp_md *ctx, __u32 ip_at, __u32 bytes,
					const struct probe_face *is)
{
	__be32 *ip = (void *)(long)ctx->data + ip_at;

	if (ip_at > IP_AT_MOST || (void *)(ip + 10) > (void *)(long)ctx->data_end)
		return 0;
	if (is->ipv6) {
		ip[0] = bpf_htonl(0x60000000);
		ip[1] = bpf_htonl(bytes << 16 | IPPROTO_TCP << 8 | PROBE_TTL);
		__builtin_memcpy(ip + 2, is->src, 16);
		__builtin_memcpy(ip + 6, is->dst, 16);
		return 1;
	}
	ip[0] = bpf_htonl(0x45000000 | (bytes + (__u32)sizeof(struct iphdr)));
	ip[1] = bpf_htonl(IP_DONT_FRAGMENT);
	ip[2] = bpf_htonl(PROBE_TTL << 24 | IPPROTO_TCP << 16);
	ip[3] = is->src[3];
	ip[4] = is->dst[3];
	((struct iphdr *)ip)->check = checksum_of(sum_words(0, (const __u32 *)ip, 5));
	return 1;
}

/* probe_back: REASON_PASS_PROBE; NEXT: it is no answer to a probe, and as it was. */
static __noinline int probe_back(struct xdp_md *ctx, const struct packet *p)
{
	struct tuple key = {.protocol = IPPROTO_TCP};
	const struct probe_return *to;
	struct probe_face is = {};
	__u32 was, header;

	if (p->protocol != IPPROTO_TCP || p->kind == PACKET_ICMP || p->kind == PACKET_SYN ||
	    p->flags & PACKET_FIRST_FRAGMENT)
		return NEXT;
	probe_mapped(key.src, p->dst, p->ipv6);
	probe_mapped(key.dst, p->src, p->ipv6);
	key.sport = (__be16)(p->ports >> 16);
	key.dport = (__be16)p->ports;
	to = bpf_map_lookup_elem(&probe_returns, &key);
	if (!to || probe_is_over(to, probe_now_s()))
		return NEXT;
	is.ipv6 = !addr_is_mapped(to->backend);
	probe_words(is.src, to->backend, is.ipv6);
	probe_words(is.dst, to->node, is.ipv6);
	was = (__u32)p->transport_at - p->ip_at;
	header = is.ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	if (!probe_tcp(ctx, p, &is, to->port) ||
	    !probe_room(ctx, p->ip_at, was, header, bpf_htons(is.ipv6 ? ETH_P_IPV6 : ETH_P_IP)) ||
	    !probe_header(ctx, p->ip_at, p->ip_bytes - was, &is))
		return REASON_DROP_INTERNAL;
	return REASON_PASS_PROBE;
}

#endif
