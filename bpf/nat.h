/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* nat.h: addresses and ports translated, and the way back to the client.
 *
 *	rewrite()	a packet gets other ends: addresses, ports, the checksums that cover them
 *			(RFC 1624), and one hop less to live; an ICMP error also in the packet that
 *			it quotes (RFC 5508)
 *	nat_in()	mode nat: a client's packet to its backend
 *	nat_back()	and what comes from there to the client
 *	route_look()	the next hop to a client, as the kernel routes
 *	route_take()	and there the packet goes
 *
 * All of it runs in a program of its own (translate.h), with what is known of a packet in `scratch`
 * instead of the short stack. The functions are global: the kernel verifies each once, by itself.
 */
#ifndef SLUICE_BPF_NAT_H
#define SLUICE_BPF_NAT_H

#include <linux/bpf.h>

#include "bpf/abi_nat.h"
#include "bpf/checksum.h"
#include "bpf/count.h"
#include "bpf/flow.h"
#include "bpf/forward.h"
#include "bpf/fragment.h"
#include "bpf/parse.h"
#include "bpf/reply.h"
#include "bpf/service.h"

#define FAMILY_INET  2
#define FAMILY_INET6 10

/* Both ends of a packet, as in struct packet. */
struct ends {
	__u32 src[4], dst[4];
	__u32 ports;
};

#define FRONT_MOST 256U /* bytes of the headers that may have to be moved */

/* What the program knows of its packet. One for each CPU: no packet interrupts another. */
struct scratch {
	struct packet p;
	struct service service;
	__u32 backend;
	__u32 verdict; /* of XDP */
	__u32 keep_ttl;
	__u32 opens;   /* a translation was made for it */
	__u32 to_node; /* a backend's packet that was sent to an address of the node's: fullnat */
	struct ends to;
	struct flow_key key;
	struct tuple back;
	struct translation fresh;
	struct bpf_fib_lookup fib;
	/* TCP */
	__u32 seq, ack, flags, window;
	__u32 header_bytes, payload_bytes;
	__u32 inner_seq_more; /* ICMP: added to the quoted sequence number */
	__u32 cookie, mss;
	/* options; alignment lets them be read in words */
	__u8 was[64] __attribute__((aligned(8))), becomes[64] __attribute__((aligned(8)));
	__u8 front[FRONT_MOST];
	__u8 proxy[64] __attribute__((aligned(8)));
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, RETURNS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct service_key);
	__type(value, struct return_to);
} returns SEC(".maps");

/* packet_at: @bytes at @offset of the frame; NULL when they are not there. */
static __always_inline void *packet_at(struct xdp_md *ctx, __u32 offset, __u32 bytes)
{
	void *at = (void *)(long)ctx->data;

	if (offset > 0x3fff)
		return NULL;
	at += offset;
	return at + bytes > (void *)(long)ctx->data_end ? NULL : at;
}

/* ---- rewriting ---- */

static __always_inline __u64 ends_change(const struct scratch *s)
{
	__u64 change = sum_replace(0, s->p.src[3], s->to.src[3]);

	change = sum_replace(change, s->p.dst[3], s->to.dst[3]);
	for (__u32 i = 0; s->p.ipv6 && i < 3; i++) {
		change = sum_replace(change, s->p.src[i], s->to.src[i]);
		change = sum_replace(change, s->p.dst[i], s->to.dst[i]);
	}
	return change;
}

static __always_inline void addr_put(void *at, const __u32 *addr)
{
	__u32 *word = at;

	word[0] = addr[0];
	word[1] = addr[1];
	word[2] = addr[2];
	word[3] = addr[3];
}

static __always_inline int addr_same(const void *at, const __u32 *addr)
{
	const __u32 *word = at;

	return !((word[0] ^ addr[0]) | (word[1] ^ addr[1]) | (word[2] ^ addr[2]) |
		 (word[3] ^ addr[3]));
}

/* rewrite_ip4: the header's addresses and time to live. */
static __always_inline enum reason rewrite_ip4(struct iphdr *ip, __u32 src, __u32 dst,
					       __u32 keep_ttl)
{
	__u16 was = *(__u16 *)&ip->ttl;
	__u64 change = sum_replace(0, ip->saddr, src);

	if (!keep_ttl && ip->ttl <= 1)
		return REASON_DROP_TTL;
	change = sum_replace(change, ip->daddr, dst);
	if (!keep_ttl)
		ip->ttl--;
	change = sum_replace(change, was, *(__u16 *)&ip->ttl);
	ip->saddr = src;
	ip->daddr = dst;
	ip->check = checksum_update(ip->check, change);
	return NEXT;
}

static __always_inline enum reason rewrite_ip(struct xdp_md *ctx, const struct scratch *s)
{
	struct ipv6hdr *six;
	struct iphdr *ip;

	if (!s->p.ipv6) {
		ip = packet_at(ctx, s->p.ip_at, sizeof(*ip));
		return ip ? rewrite_ip4(ip, s->to.src[3], s->to.dst[3], s->keep_ttl)
			  : REASON_DROP_INTERNAL;
	}
	six = packet_at(ctx, s->p.ip_at, sizeof(*six));
	if (!six)
		return REASON_DROP_INTERNAL;
	if (!s->keep_ttl) {
		if (six->hop_limit <= 1)
			return REASON_DROP_TTL;
		six->hop_limit--;
	}
	addr_put(&six->saddr, s->to.src);
	addr_put(&six->daddr, s->to.dst);
	return NEXT;
}

static __always_inline enum reason rewrite_transport(struct xdp_md *ctx, const struct scratch *s)
{
	__u64 change = sum_replace(ends_change(s), s->p.ports, s->to.ports);
	struct tcphdr *tcp;
	struct udphdr *udp;

	if (s->p.protocol == IPPROTO_TCP) {
		tcp = packet_at(ctx, s->p.transport_at, sizeof(*tcp));
		if (!tcp)
			return REASON_DROP_INTERNAL;
		*(__u32 *)tcp = s->to.ports;
		tcp->check = checksum_update(tcp->check, change);
		return NEXT;
	}
	udp = packet_at(ctx, s->p.transport_at, sizeof(*udp));
	if (!udp)
		return REASON_DROP_INTERNAL;
	*(__u32 *)udp = s->to.ports;
	udp->check = checksum_update_udp(udp->check, change);
	return NEXT;
}

/* rewrite_quoted: what an ICMP error quotes of a TCP or UDP header. Its own checksum follows only
 * where it is quoted. @change: of the addresses. Returns the change of all the quoted words.
 */
static __always_inline __u64 rewrite_quoted(struct xdp_md *ctx, const struct scratch *s, __u32 at,
					    __u64 change)
{
	__u32 ports = s->to.ports >> 16 | s->to.ports << 16, seq = 0, was, *word;
	__u16 check, *field;
	__u64 sum;

	word = packet_at(ctx, at, 8);
	if (!word)
		return 0;
	sum = sum_replace(0, word[0], ports);
	word[0] = ports;
	if (s->p.protocol == IPPROTO_TCP && s->inner_seq_more) {
		seq = bpf_htonl(bpf_ntohl(word[1]) + s->inner_seq_more);
		sum = sum_replace(sum, word[1], seq);
		word[1] = seq;
	}
	field = packet_at(ctx, at + (s->p.protocol == IPPROTO_TCP ? 16 : 6), 2);
	was = (__u32)(s->p.ip_at + s->p.ip_bytes);
	if (!field || at + (s->p.protocol == IPPROTO_TCP ? 18 : 8) > was)
		return sum;
	check = s->p.protocol == IPPROTO_TCP ? checksum_update(*field, change + sum)
					     : checksum_update_udp(*field, change + sum);
	sum = sum_replace(sum, *field, check);
	*field = check;
	return sum;
}

/* The quoted packet went the other way: its source is our destination. */
static __always_inline __u64 rewrite_quoted_ip4(struct xdp_md *ctx, const struct scratch *s)
{
	__u32 at = s->p.transport_at + ICMP_BYTES;
	struct iphdr *ip = packet_at(ctx, at, sizeof(*ip));

	if (!ip)
		return 0;
	/* its own checksum follows, so its words' sum stays as it was */
	rewrite_ip4(ip, s->to.dst[3], s->to.src[3], 1);
	return rewrite_quoted(ctx, s, at + ip->ihl * 4U, ends_change(s));
}

static __always_inline __u64 rewrite_quoted_ip6(struct xdp_md *ctx, const struct scratch *s)
{
	__u32 at = s->p.transport_at + ICMP_BYTES;
	struct ipv6hdr *ip = packet_at(ctx, at, sizeof(*ip));

	if (!ip)
		return 0;
	addr_put(&ip->saddr, s->to.dst);
	addr_put(&ip->daddr, s->to.src);
	return ends_change(s) + rewrite_quoted(ctx, s, s->p.quoted_at, ends_change(s));
}

/* rewrite_icmp: an error's destination, what it quotes, and its checksum. Its source is whoever
 * noticed, unless that is the end that is to be hidden.
 */
__noinline int rewrite_icmp(struct xdp_md *ctx, struct scratch *s)
{
	struct ipv6hdr *six;
	struct iphdr *ip;
	__u64 change;
	__u16 *check;

	if (!s)
		return REASON_DROP_INTERNAL;
	change = s->p.ipv6 ? rewrite_quoted_ip6(ctx, s) : rewrite_quoted_ip4(ctx, s);
	if (!s->p.ipv6) {
		ip = packet_at(ctx, s->p.ip_at, sizeof(*ip));
		if (!ip)
			return REASON_DROP_INTERNAL;
		if (rewrite_ip4(ip, ip->saddr == s->p.src[3] ? s->to.src[3] : ip->saddr,
				s->to.dst[3], s->keep_ttl) != NEXT)
			return REASON_DROP_TTL;
	} else {
		six = packet_at(ctx, s->p.ip_at, sizeof(*six));
		if (!six)
			return REASON_DROP_INTERNAL;
		for (int i = 0; i < 4; i++)
			change = sum_replace(change, s->p.dst[i], s->to.dst[i]);
		addr_put(&six->daddr, s->to.dst);
		if (addr_same(&six->saddr, s->p.src)) {
			for (int i = 0; i < 4; i++)
				change = sum_replace(change, s->p.src[i], s->to.src[i]);
			addr_put(&six->saddr, s->to.src);
		}
		if (!s->keep_ttl) {
			if (six->hop_limit <= 1)
				return REASON_DROP_TTL;
			six->hop_limit--;
		}
	}
	check = packet_at(ctx, s->p.transport_at + 2U, 2);
	if (!check)
		return REASON_DROP_INTERNAL;
	*check = checksum_update(*check, change);
	return NEXT;
}

/* rewrite: s->p gets the ends s->to. */
__noinline int rewrite(struct xdp_md *ctx, struct scratch *s)
{
	enum reason reason;

	if (!s)
		return REASON_DROP_INTERNAL;
	reason = rewrite_ip(ctx, s);
	if (reason != NEXT || s->p.kind == PACKET_FRAGMENT)
		return (int)reason;
	return (int)rewrite_transport(ctx, s);
}

static __always_inline enum reason rewrite_any(struct xdp_md *ctx, struct scratch *s)
{
	if (s->p.kind == PACKET_ICMP)
		return (enum reason)rewrite_icmp(ctx, s);
	return (enum reason)rewrite(ctx, s);
}

/* ---- the way ---- */

/* leave_to: the frame goes to this backend's next hop. */
static __always_inline enum reason leave_to(struct xdp_md *ctx, struct scratch *s,
					    const struct backend *to)
{
	enum reason reason = forward_macs(ctx, to);

	s->verdict = XDP_TX;
	if (to->ifindex != ifindex)
		s->verdict = (__u32)bpf_redirect(to->ifindex, 0);
	return reason;
}

/* route_ask: what the kernel's routing says of a packet with the ends s->to. */
static __always_inline long route_ask(struct xdp_md *ctx, struct scratch *s)
{
	struct bpf_fib_lookup *fib = &s->fib;

	__builtin_memset(fib, 0, sizeof(*fib));
	fib->family = s->p.ipv6 ? FAMILY_INET6 : FAMILY_INET;
	fib->l4_protocol = (__u8)s->p.protocol;
	fib->tot_len = s->p.ip_bytes;
	fib->ifindex = ctx->ingress_ifindex;
	if (s->p.ipv6) {
		addr_put(fib->ipv6_src, s->to.src);
		addr_put(fib->ipv6_dst, s->to.dst);
	} else {
		fib->ipv4_src = s->to.src[3];
		fib->ipv4_dst = s->to.dst[3];
	}
	return bpf_fib_lookup(ctx, fib, sizeof(*fib), 0);
}

/* macs_put: s->fib's. */
static __always_inline enum reason macs_put(struct xdp_md *ctx, const struct scratch *s)
{
	struct ethhdr *eth = packet_at(ctx, 0, sizeof(*eth));

	if (!eth)
		return REASON_DROP_INTERNAL;
	__builtin_memcpy(eth->h_dest, s->fib.dmac, sizeof(eth->h_dest));
	__builtin_memcpy(eth->h_source, s->fib.smac, sizeof(eth->h_source));
	return NEXT;
}

/* ttl_over: does the packet's time to live end at this node? */
static __always_inline int ttl_over(struct xdp_md *ctx, const struct scratch *s)
{
	const __u8 *ttl = packet_at(ctx, s->p.ip_at + (s->p.ipv6 ? 7U : 8U), 1);

	return ttl && *ttl <= 1;
}

/* route_refuse: a packet that cannot go on, of which its sender is to know. The kernel does that,
 * but not where the packet is addressed to the node: its TCP would answer by a RST.
 */
static __always_inline enum reason route_refuse(struct xdp_md *ctx, const struct scratch *s,
						enum reason reply)
{
	const struct place at = place_of(&s->p);

	if (s->to_node)
		return (enum reason)reply_icmp(ctx, &at, reply, s->fib.mtu_result);
	return s->p.kind == PACKET_ICMP && reply == REASON_REPLY_TTL ? REASON_DROP_TTL
								     : REASON_PASS_NO_SERVICE;
}

/* route_look: the way to the client, by the kernel's routes, while the packet is still as it came.
 * NEXT: route_take() it.
 *
 * What the kernel is to answer (too big, no time left, unreachable) or to take itself (our own
 * probes' answers, also where forwarding is disabled and no route is looked up) it gets as it came;
 * but see route_refuse().
 */
__noinline int route_look(struct xdp_md *ctx, struct scratch *s)
{
	long way;

	if (!s)
		return REASON_DROP_INTERNAL;
	s->verdict = XDP_PASS;
	way = route_ask(ctx, s);
	if (way == BPF_FIB_LKUP_RET_FRAG_NEEDED && s->p.flags & PACKET_DONT_FRAGMENT)
		return (int)route_refuse(ctx, s, REASON_REPLY_TOO_BIG);
	s->keep_ttl = way != BPF_FIB_LKUP_RET_SUCCESS;
	if (s->keep_ttl && way != BPF_FIB_LKUP_RET_NO_NEIGH &&
	    way != BPF_FIB_LKUP_RET_FRAG_NEEDED && way != BPF_FIB_LKUP_RET_UNSUPP_LWT)
		return s->to_node ? REASON_DROP_NO_ROUTE : REASON_PASS_NO_SERVICE;
	return ttl_over(ctx, s) ? (int)route_refuse(ctx, s, REASON_REPLY_TTL) : NEXT;
}

/* route_take: translate, and send to the client.
 *
 * Where the next hop's MAC is not known, the translated packet is passed up: the kernel sends it
 * and resolves the MAC; its own decrement of the time to live is enough.
 */
__noinline int route_take(struct xdp_md *ctx, struct scratch *s)
{
	enum reason reason;

	if (!s)
		return REASON_DROP_INTERNAL;
	reason = rewrite_any(ctx, s);
	if (reason != NEXT)
		return (int)reason;
	count_reason(REASON_RETURNED);
	if (s->keep_ttl)
		return NEXT;
	s->verdict = XDP_TX;
	if (s->fib.ifindex != ctx->ingress_ifindex)
		s->verdict = (__u32)bpf_redirect(s->fib.ifindex, 0);
	return (int)macs_put(ctx, s);
}

/* ---- mode nat ---- */

static __always_inline void addr_get(__u32 *to, const __u8 *addr)
{
	const __u32 *word = (const __u32 *)addr;

	to[0] = word[0];
	to[1] = word[1];
	to[2] = word[2];
	to[3] = word[3];
}

/* nat_in: to the backend that was picked. */
__noinline int nat_in(struct xdp_md *ctx, struct scratch *s)
{
	const struct backend *to;
	enum reason reason;
	__u32 number, port;

	if (!s)
		return REASON_DROP_INTERNAL;
	number = s->backend;
	to = bpf_map_lookup_elem(&backends, &number);
	if (!to || !(to->flags & BACKEND_ALIVE))
		return REASON_DROP_NO_BACKEND;
	port = to->port ? to->port : s->p.ports >> 16;
	__builtin_memcpy(s->to.src, s->p.src, sizeof(s->to.src));
	addr_get(s->to.dst, to->addr);
	s->to.ports = (s->p.ports & 0xffff) | port << 16;
	reason = rewrite_any(ctx, s);
	if (reason == NEXT)
		reason = leave_to(ctx, s, to);
	return (int)reason;
}

/* return_find: whose answers come from this packet's source? */
static __always_inline struct return_to *return_find(const struct packet *p, __u32 port)
{
	struct service_key key = {.port = (__be16)port, .protocol = (__u8)p->protocol};
	__u32 *addr = (__u32 *)key.addr;

	if (p->ipv6) {
		__builtin_memcpy(addr, p->src, 12);
	} else {
		addr[0] = addr[1] = 0;
		addr[2] = MAPPED_PREFIX;
	}
	addr[3] = p->src[3];
	return bpf_map_lookup_elem(&returns, &key);
}

/* nat_back_remember: later fragments have no ports: what the first one had is kept where its
 * service's record has the pool.
 */
static __always_inline void nat_back_remember(const struct scratch *s)
{
	const struct service record = {
		.pool = (__u16)s->p.ports, .mode = FORWARD_NAT, .flags = SERVICE_RETURN};

	fragment_remember(&s->p, &record, BACKEND_NONE);
}

/* nat_back: from a backend, which answers for one VIP and port only. @port: the backend's */
__noinline int nat_back(struct xdp_md *ctx, struct scratch *s, __u32 port)
{
	const struct return_to *to;
	enum reason reason;

	if (!s)
		return REASON_DROP_INTERNAL;
	to = return_find(&s->p, port);
	if (!to || !(to->flags & RETURN_ALONE))
		return REASON_DROP_NO_FLOW;
	if (s->p.kind == PACKET_RST)
		count_reset(to->backend);
	addr_get(s->to.src, to->vip);
	__builtin_memcpy(s->to.dst, s->p.dst, sizeof(s->to.dst));
	s->to.ports = (s->p.ports & 0xffff0000) | to->port;
	if (s->p.flags & PACKET_FIRST_FRAGMENT)
		nat_back_remember(s);
	s->to_node = 0;
	reason = (enum reason)route_look(ctx, s);
	return reason == NEXT ? route_take(ctx, s) : (int)reason;
}

#endif
