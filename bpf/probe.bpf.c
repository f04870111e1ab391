// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* probe.bpf.c: tc egress: a probe through a VIP leaves as a client's packet would.
 *
 * The probe's socket is connected to the backend's own address, so the kernel has chosen the way,
 * the MAC and the source. Its mark says which VIP is meant (abi_probe.h): the packet is addressed
 * to that, in mode tunnel put into another one to the backend, and what the way back has to know is
 * noted (probe_back.h). Packets without the mark cost one comparison; everything is written by
 * helpers, because a program with direct writes would make the kernel copy every packet's headers
 * before it.
 *
 * Only a SYN opens a passage. Packets of other connections with a mark are passed as they are: they
 * began before this program was there, and go to the backend's own address to their end. So are
 * packets of a kind that a probe's socket does not send (tagged in the frame itself, IPv4 options).
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

#include "bpf/checksum.h"
#include "bpf/outer.h"
#include "bpf/parse.h"
#include "bpf/probe_map.h"

#define IP_HEADER_AT   ((__u32)sizeof(struct ethhdr))
#define ETHERTYPE_LAST 12

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PROBE_VIPS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct probe_vip);
} probe_vips SEC(".maps");

/* A packet as the socket sent it; addresses as in the maps. */
struct passage {
	__u8 node[16], backend[16];
	__be16 sport, dport;
	__u32 ipv6;
	__u32 tos, ttl;
	__u32 transport_at; /* bytes from the frame's start */
	__u32 flags;	    /* of TCP */
	__be16 port;	    /* its source port from now on */
};

static __always_inline void map_address(__u8 addr[static 16], __be32 four)
{
	__u32 *word = (__u32 *)addr;

	word[0] = word[1] = 0;
	word[2] = MAPPED_PREFIX;
	word[3] = four;
}

static __always_inline int same_address(const __u8 a[static 16], const __u8 b[static 16])
{
	const __u32 *x = (const __u32 *)a, *y = (const __u32 *)b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]));
}

static __always_inline int is_none(const __u8 addr[static 16])
{
	const __u32 *word = (const __u32 *)addr;

	return !(word[0] | word[1] | word[2] | word[3]);
}

/* ---- what is it? ---- */

static __always_inline int read4(struct __sk_buff *skb, struct passage *g)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, IP_HEADER_AT, &ip, sizeof(ip)) || ip.version != 4 ||
	    ip.ihl != 5 || ip.protocol != IPPROTO_TCP || ip.frag_off & bpf_htons(IP_FRAGMENT_BITS))
		return 0;
	map_address(g->node, ip.saddr);
	map_address(g->backend, ip.daddr);
	g->tos = ip.tos;
	g->ttl = ip.ttl;
	g->transport_at = IP_HEADER_AT + (__u32)sizeof(ip);
	return 1;
}

static __always_inline int read6(struct __sk_buff *skb, struct passage *g)
{
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, IP_HEADER_AT, &ip, sizeof(ip)) || ip.version != 6 ||
	    ip.nexthdr != IPPROTO_TCP)
		return 0;
	__builtin_memcpy(g->node, &ip.saddr, 16);
	__builtin_memcpy(g->backend, &ip.daddr, 16);
	g->tos = (bpf_ntohs(*(const __be16 *)&ip) >> 4) & 0xff;
	g->ttl = ip.hop_limit;
	g->transport_at = IP_HEADER_AT + (__u32)sizeof(ip);
	return 1;
}

static __noinline int passage_read(struct __sk_buff *skb, struct passage *g)
{
	struct tcphdr tcp;

	g->ipv6 = skb->protocol == bpf_htons(ETH_P_IPV6);
	if (g->ipv6 ? !read6(skb, g) : skb->protocol != bpf_htons(ETH_P_IP) || !read4(skb, g))
		return 0;
	if (bpf_skb_load_bytes(skb, g->transport_at, &tcp, sizeof(tcp)))
		return 0;
	g->sport = g->port = tcp.source;
	g->dport = tcp.dest;
	g->flags = TCP_FLAGS(&tcp);
	return 1;
}

/* ---- who is it? ---- */

static __always_inline int is_opening(const struct passage *g)
{
	return (g->flags & (TCP_FLAG_SYN | TCP_FLAG_ACK)) == TCP_FLAG_SYN;
}

/* passage_find: the port that the passage has; 0 = it has none. *ret_free: one that it could have,
 * 0 = all are in use.
 */
static __always_inline __be16 passage_find(const struct passage *g, struct tuple *key, __u32 now,
					   const struct probe_vip *vip, __be16 *ret_free)
{
	__u32 sport = bpf_ntohs(g->sport);

	*ret_free = 0;
	for (__u32 i = 0; i < PROBE_PORTS; i++) {
		__u32 port = PROBE_PORT(sport, i);
		struct probe_return *r;

		key->sport = bpf_htons((__u16)port);
		r = bpf_map_lookup_elem(&probe_returns, key);
		if (r && r->port == g->sport && same_address(r->backend, g->backend) &&
		    same_address(r->node, g->node)) {
			if (g->flags & (TCP_FLAG_FIN | TCP_FLAG_RST))
				r->until_s = now + PROBE_LINGER_S;
			else if (is_opening(g))
				r->until_s = now + vip->timeout_s + PROBE_LINGER_S;
			return key->sport;
		}
		if (!*ret_free && (i == 0 || port >= PROBE_PORT_LEAST) &&
		    (!r || probe_is_over(r, now)))
			*ret_free = key->sport;
	}
	return 0;
}

/* passage_open: g->port. 1: go on; 0: pass the packet as it is; -1: drop it, it will come again. */
static __noinline int passage_open(struct passage *g, const struct probe_vip *vip)
{
	struct tuple key = {.protocol = IPPROTO_TCP, .dport = vip->port};
	struct probe_return fresh = {.port = g->sport};
	__u32 now = probe_now_s();
	__be16 port, free;

	__builtin_memcpy(key.dst, vip->vip, 16);
	if (g->ipv6 == (__u32)!addr_is_mapped(vip->vip))
		__builtin_memcpy(key.src, g->node, 16);
	else
		__builtin_memcpy(key.src, vip->own, 16);
	port = passage_find(g, &key, now, vip, &free);
	if (!port && !is_opening(g))
		return 0;
	if (!port) {
		if (!free)
			return -1;
		port = key.sport = free;
		__builtin_memcpy(fresh.backend, g->backend, 16);
		__builtin_memcpy(fresh.node, g->node, 16);
		fresh.until_s = now + vip->timeout_s + PROBE_LINGER_S;
		if (bpf_map_update_elem(&probe_returns, &key, &fresh, BPF_ANY))
			return -1;
	}
	g->port = port;
	return 1;
}

/* ---- to the VIP ---- */

/* IPv4 addresses in word 3, the others 0: sums need no cases. */
static __always_inline void sum_address(__u32 word[static 4], const __u8 addr[static 16])
{
	__builtin_memcpy(word, addr, 16);
	if (addr_is_mapped(addr))
		word[2] = 0;
}

/* The IP header with the VIP, of @bytes with what follows. */
static __always_inline int header_store(struct __sk_buff *skb, const struct passage *g,
					const __u8 *src, const __u8 *dst, __u32 ipv6)
{
	__u32 bytes = skb->len - IP_HEADER_AT;
	__be32 ip[10];

	if (ipv6) {
		bytes -= (__u32)sizeof(struct ipv6hdr);
		ip[0] = bpf_htonl(0x60000000 | g->tos << 20);
		ip[1] = bpf_htonl(bytes << 16 | IPPROTO_TCP << 8 | g->ttl);
		__builtin_memcpy(ip + 2, src, 16);
		__builtin_memcpy(ip + 6, dst, 16);
		return bpf_skb_store_bytes(skb, IP_HEADER_AT, ip, sizeof(struct ipv6hdr), 0) == 0;
	}
	ip[0] = bpf_htonl(0x45000000 | g->tos << 16 | (bytes & 0xffff));
	ip[1] = bpf_htonl(IP_DONT_FRAGMENT);
	ip[2] = bpf_htonl(g->ttl << 24 | IPPROTO_TCP << 16);
	ip[3] = ((const __u32 *)src)[3];
	ip[4] = ((const __u32 *)dst)[3];
	((struct iphdr *)ip)->check = checksum_of(sum_words(0, (const __u32 *)ip, 5));
	return bpf_skb_store_bytes(skb, IP_HEADER_AT, ip, sizeof(struct iphdr), 0) == 0;
}

/* The checksum of TCP: of the addresses (as far as it covers them only, where the device does the
 * rest), and of the port.
 */
static __always_inline int tcp_store(struct __sk_buff *skb, const struct passage *g, __u32 at,
				     const __u8 *src, const __u8 *dst)
{
	__u32 was[8], is[8];
	__s64 change;

	sum_address(was, g->node);
	sum_address(was + 4, g->backend);
	sum_address(is, src);
	sum_address(is + 4, dst);
	change = bpf_csum_diff((__be32 *)was, sizeof(was), (__be32 *)is, sizeof(is), 0);
	if (change < 0 || bpf_l4_csum_replace(skb, at + __builtin_offsetof(struct tcphdr, check), 0,
					      (__u64)change, BPF_F_PSEUDO_HDR))
		return 0;
	if (g->port == g->sport)
		return 1;
	return bpf_l4_csum_replace(skb, at + __builtin_offsetof(struct tcphdr, check), g->sport,
				   g->port, sizeof(g->port)) == 0 &&
	       bpf_skb_store_bytes(skb, at, &g->port, sizeof(g->port), 0) == 0;
}

static __always_inline int ethertype_store(struct __sk_buff *skb, __u32 ipv6)
{
	__be16 ethertype = bpf_htons(ipv6 ? ETH_P_IPV6 : ETH_P_IP);

	return bpf_skb_store_bytes(skb, ETHERTYPE_LAST, &ethertype, sizeof(ethertype), 0) == 0;
}

static __noinline int turn(struct __sk_buff *skb, const struct passage *g,
			   const struct probe_vip *vip)
{
	__u32 ipv6 = !addr_is_mapped(vip->vip);
	__u32 at =
		IP_HEADER_AT + (ipv6 ? (__u32)sizeof(struct ipv6hdr) : (__u32)sizeof(struct iphdr));
	__u8 src[16];

	if (ipv6 == g->ipv6) {
		__builtin_memcpy(src, g->node, 16);
	} else {
		__builtin_memcpy(src, vip->own, 16);
		if (bpf_skb_change_proto(skb, bpf_htons(ipv6 ? ETH_P_IPV6 : ETH_P_IP), 0) ||
		    !ethertype_store(skb, ipv6))
			return 0;
	}
	return header_store(skb, g, src, vip->vip, ipv6) && tcp_store(skb, g, at, src, vip->vip);
}

/* ---- mode tunnel ---- */

static __always_inline void outer_fill(struct backend *to, const struct passage *g,
				       const struct probe_vip *vip)
{
	const __u8 *source = g->ipv6 ? vip->tunnel_src6 : vip->tunnel_src4;

	__builtin_memcpy(to->addr, g->backend, 16);
	__builtin_memcpy(to->tunnel_src, source, 16);
	to->tunnel_bits = g->ipv6 ? vip->tunnel_bits6 : vip->tunnel_bits4;
	if (is_none(source)) {
		__builtin_memcpy(to->tunnel_src, g->node, 16);
		to->tunnel_bits = 0;
	}
	to->tunnel_port = vip->tunnel_port;
}

static __noinline int cover(struct __sk_buff *skb, const struct passage *g,
			    const struct probe_vip *vip)
{
	__be32 outer[(sizeof(struct ipv6hdr) + GUE_BYTES) / 4];
	__u32 inner_bytes = skb->len - IP_HEADER_AT, overhead;
	__u32 inner = addr_is_mapped(vip->vip) ? IPPROTO_IPIP : IPPROTO_IPV6;
	__u64 flags = g->ipv6 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV4;
	struct backend to = {};
	__u64 hash;

	outer_fill(&to, g, vip);
	overhead = tunnel_overhead(&to);
	if (to.tunnel_port)
		flags |= BPF_F_ADJ_ROOM_ENCAP_L4_UDP;
	if (skb->gso_segs <= 1 && inner_bytes + overhead > vip->tunnel_mtu)
		return 0;
	hash = hash_mix((__u64)g->port << 32 | ((const __u32 *)g->backend)[3]);
	if (!tunnel_write(outer, (void *)outer + sizeof(outer), &to, hash, g->tos,
			  inner_bytes & 0xffff, inner) ||
	    bpf_skb_adjust_room(skb, (__s32)overhead, BPF_ADJ_ROOM_MAC, flags) ||
	    !ethertype_store(skb, g->ipv6))
		return 0;
	/* a size that the verifier knows */
	if (to.tunnel_port)
		return bpf_skb_store_bytes(skb, IP_HEADER_AT, outer,
					   g->ipv6 ? sizeof(struct ipv6hdr) + GUE_BYTES
						   : sizeof(struct iphdr) + GUE_BYTES,
					   0) == 0;
	return bpf_skb_store_bytes(skb, IP_HEADER_AT, outer,
				   g->ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr), 0) == 0;
}

SEC("tc")
int probe(struct __sk_buff *skb)
{
	const struct probe_vip *vip;
	struct passage g = {};
	__u32 mark = skb->mark;
	int open;

	if (likely(!(mark & PROBE_MARK)))
		return TC_ACT_UNSPEC;
	vip = bpf_map_lookup_elem(&probe_vips, &mark);
	if (!vip || !passage_read(skb, &g) || g.dport != vip->port ||
	    same_address(g.node, vip->vip))
		return TC_ACT_UNSPEC;
	if (g.ipv6 == (__u32)addr_is_mapped(vip->vip) && is_none(vip->own))
		return TC_ACT_UNSPEC;
	open = passage_open(&g, vip);
	if (open == 0)
		return TC_ACT_UNSPEC;
	if (open < 0 || !turn(skb, &g, vip))
		return TC_ACT_SHOT;
	if (vip->mode == FORWARD_TUNNEL && !cover(skb, &g, vip))
		return TC_ACT_SHOT;
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
