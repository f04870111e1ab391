// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* decap.bpf.c: takes packets out of a balancer's tunnel, on a backend without a tunnel device.
 *
 * IPIP in all four combinations of families, and GUE (UDP, variant 0, with options that are
 * skipped). The outer destination must be one of the backend's own addresses and the outer source
 * one that may send: whoever can reach this program can put any packet before the kernel. All else
 * is passed as it came. ECN is carried inside as RFC 6040 4.2 says. VLAN tags stay.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "bpf/decap.h"
#include "bpf/parse.h"

const volatile __u16 gue_port = 0;  /* 0: no GUE */
const volatile __u8 any_source = 0; /* 1: `from` is not asked */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, DECAP_OWN_MOST);
	__type(key, struct decap_addr);
	__type(value, __u8);
} own SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, DECAP_FROM_MOST);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct decap_prefix);
	__type(value, __u8);
} from SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DECAP_COUNTER_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

#define FRAME_HEADER_MOST (sizeof(struct ethhdr) + 4 * VLAN_TAGS_MOST)
#define GUE_LEAST	  4
#define GUE_VARIANT	  0xc0
#define GUE_CONTROL	  0x20
#define GUE_HLEN	  0x1f

#define ECN_MASK    3
#define ECN_NOT_ECT 0
#define ECN_CE	    3

/* What is known of the outer packet. */
struct outer {
	__u32 ip_at;	/* bytes from the frame's start */
	__u32 inner_at; /* likewise; 0 = it is none of ours */
	__u32 protocol; /* of what is inside */
	__u32 end_at;	/* where the outer packet ends */
	__u32 tos;
};

static __always_inline int count(__u32 counter, int verdict)
{
	__u64 *packets = bpf_map_lookup_elem(&counters, &counter);

	if (packets)
		++*packets;
	return verdict;
}

static __always_inline void mapped(__u8 addr[static 16], __be32 four)
{
	__u32 *word = (__u32 *)addr;

	word[0] = word[1] = 0;
	word[2] = MAPPED_PREFIX;
	word[3] = four;
}

/* ip_at: behind the Ethernet header and its tags; *ret_ethertype is the last one. */
static __always_inline __u32 ip_at_of(void *frame, void *frame_end, __be16 *ret_ethertype)
{
	struct ethhdr *eth = frame;
	__u32 at = sizeof(*eth);

	if ((void *)(eth + 1) > frame_end)
		return 0;
	*ret_ethertype = eth->h_proto;
	for (int i = 0; i < VLAN_TAGS_MOST && is_vlan(*ret_ethertype); i++) {
		const __be16 *tag = frame + at;

		if ((void *)(tag + 2) > frame_end)
			return 0;
		*ret_ethertype = tag[1];
		at += 4;
	}
	return at;
}

/* outer_read: addresses and what follows the outer IP header. 0: not even an IP packet for us. */
static __always_inline int outer_read4(const struct iphdr *ip, void *frame_end, struct outer *o,
				       struct decap_addr *ret_dst, struct decap_prefix *ret_src)
{
	if ((void *)(ip + 1) > frame_end || ip->version != 4 || ip->ihl < 5)
		return 0;
	mapped(ret_dst->addr, ip->daddr);
	mapped(ret_src->addr, ip->saddr);
	o->protocol = ip->protocol;
	o->tos = ip->tos;
	o->inner_at = o->ip_at + ip->ihl * 4U;
	o->end_at = o->ip_at + bpf_ntohs(ip->tot_len);
	return 1;
}

static __always_inline int outer_read6(const struct ipv6hdr *ip, void *frame_end, struct outer *o,
				       struct decap_addr *ret_dst, struct decap_prefix *ret_src)
{
	if ((void *)(ip + 1) > frame_end || ip->version != 6)
		return 0;
	__builtin_memcpy(ret_dst->addr, &ip->daddr, 16);
	__builtin_memcpy(ret_src->addr, &ip->saddr, 16);
	o->protocol = ip->nexthdr;
	o->tos = (bpf_ntohs(*(const __be16 *)ip) >> 4) & 0xff;
	o->inner_at = o->ip_at + (__u32)sizeof(*ip);
	o->end_at = o->inner_at + bpf_ntohs(ip->payload_len);
	return 1;
}

/* gue_read: over the UDP and GUE headers. 0: not GUE; -1: not of a kind that carries packets. */
static __always_inline int gue_read(void *frame, void *frame_end, struct outer *o)
{
	const struct udphdr *udp;
	const __u8 *gue;

	if (o->inner_at > 128)
		return 0;
	udp = frame + o->inner_at;
	gue = (const void *)(udp + 1);
	if ((void *)(gue + GUE_LEAST) > frame_end || udp->dest != bpf_htons(gue_port))
		return 0;
	if (gue[0] & (GUE_VARIANT | GUE_CONTROL))
		return -1;
	o->inner_at += (__u32)sizeof(*udp) + GUE_LEAST + (gue[0] & GUE_HLEN) * 4U;
	o->protocol = gue[1];
	return 1;
}

/* ecn_merge: RFC 6040 4.2: congestion met outside is told inside; 0: that cannot be. */
static __always_inline int ecn_merge4(struct iphdr *ip, __u32 outer_tos)
{
	__u32 sum, was = ip->tos;

	if ((outer_tos & ECN_MASK) != ECN_CE || (was & ECN_MASK) == ECN_CE)
		return 1;
	if ((was & ECN_MASK) == ECN_NOT_ECT)
		return 0;
	ip->tos = (__u8)(was | ECN_CE);
	/* RFC 1624: the checksum goes down by what was added to the first word */
	sum = bpf_ntohs(ip->check) + 0xffffU - ((was | ECN_CE) - was);
	ip->check = bpf_htons((__u16)((sum & 0xffff) + (sum >> 16)));
	return 1;
}

static __always_inline int ecn_merge6(struct ipv6hdr *ip, __u32 outer_tos)
{
	__u8 *second = (__u8 *)ip + 1; /* the upper half of it is the lower half of the class */
	__u32 inner = *second >> 4 & ECN_MASK;

	if ((outer_tos & ECN_MASK) != ECN_CE || inner == ECN_CE)
		return 1;
	if (inner == ECN_NOT_ECT)
		return 0;
	*second |= ECN_CE << 4;
	return 1;
}

/* inner_check: whole, and of the family that was announced. @room: what the outer one holds */
static __always_inline int inner_check(void *ip, void *frame_end, __u32 protocol, __u32 room,
				       __u32 tos)
{
	struct ipv6hdr *six = ip;
	struct iphdr *four = ip;

	if ((void *)(four + 1) > frame_end)
		return DECAP_DROP_BAD;
	if (protocol == IPPROTO_IPIP) {
		if (four->version != 4 || four->ihl < 5 || bpf_ntohs(four->tot_len) > room)
			return DECAP_DROP_BAD;
		return ecn_merge4(four, tos) ? DECAP_TAKEN : DECAP_DROP_ECN;
	}
	if ((void *)(six + 1) > frame_end || six->version != 6 ||
	    bpf_ntohs(six->payload_len) + sizeof(*six) > room)
		return DECAP_DROP_BAD;
	return ecn_merge6(six, tos) ? DECAP_TAKEN : DECAP_DROP_ECN;
}

/* uncover: cut the outer headers out; the Ethernet header and the tags go before the inner one. */
static __always_inline int uncover(struct xdp_md *ctx, const struct outer *o, __be16 ethertype)
{
	__u16 kept[FRAME_HEADER_MOST / 2], *word = (void *)(long)ctx->data;

	if ((void *)word + FRAME_HEADER_MOST > (void *)(long)ctx->data_end)
		return 0;
	for (__u32 i = 0; i < FRAME_HEADER_MOST / 2; i++)
		kept[i] = word[i];
	for (__u32 i = 6; i < FRAME_HEADER_MOST / 2; i += 2)
		if (o->ip_at == 2 * i + 2)
			kept[i] = ethertype;
	if (bpf_xdp_adjust_head(ctx, (int)(o->inner_at - o->ip_at)))
		return 0;
	word = (void *)(long)ctx->data;
	if ((void *)word + FRAME_HEADER_MOST > (void *)(long)ctx->data_end)
		return 0;
	for (__u32 i = 0; i < FRAME_HEADER_MOST / 2; i++)
		if (2 * i < o->ip_at)
			word[i] = kept[i];
	return 1;
}

static __always_inline int is_tunnel(__u32 protocol)
{
	return protocol == IPPROTO_IPIP || protocol == IPPROTO_IPV6;
}

SEC("xdp")
int decap(struct xdp_md *ctx)
{
	void *frame = (void *)(long)ctx->data, *frame_end = (void *)(long)ctx->data_end;
	struct decap_prefix src = {.bits = 128};
	struct decap_addr dst;
	struct outer o = {0};
	__be16 ethertype = 0;
	int fragment = 0, known, counter;

	o.ip_at = ip_at_of(frame, frame_end, &ethertype);
	if (!o.ip_at)
		return XDP_PASS;
	if (ethertype == bpf_htons(ETH_P_IP)) {
		const struct iphdr *ip = frame + o.ip_at;

		if (!outer_read4(ip, frame_end, &o, &dst, &src))
			return XDP_PASS;
		fragment = ip->frag_off & bpf_htons(IP_FRAGMENT_BITS);
	} else if (ethertype == bpf_htons(ETH_P_IPV6)) {
		if (!outer_read6(frame + o.ip_at, frame_end, &o, &dst, &src))
			return XDP_PASS;
	} else {
		return XDP_PASS;
	}
	known = is_tunnel(o.protocol);
	if (o.protocol == IPPROTO_UDP && gue_port && !fragment)
		known = gue_read(frame, frame_end, &o);
	if (!known || !bpf_map_lookup_elem(&own, &dst))
		return XDP_PASS;
	if (!any_source && !bpf_map_lookup_elem(&from, &src))
		return count(DECAP_DROP_SOURCE, XDP_DROP);
	if (fragment)
		return count(DECAP_PASS_FRAGMENT, XDP_PASS);
	if (known < 0 || !is_tunnel(o.protocol) || o.inner_at > 256 || o.end_at < o.inner_at)
		return count(DECAP_DROP_BAD, XDP_DROP);
	counter = inner_check(frame + o.inner_at, frame_end, o.protocol, o.end_at - o.inner_at,
			      o.tos);
	if (counter == DECAP_TAKEN &&
	    !uncover(ctx, &o, bpf_htons(o.protocol == IPPROTO_IPIP ? ETH_P_IP : ETH_P_IPV6)))
		counter = DECAP_DROP_BAD;
	return count((__u32)counter, counter == DECAP_TAKEN ? XDP_PASS : XDP_DROP);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
