/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* parse.h: the first stage: bytes of a frame in, struct packet out.
 *
 * Ethernet II with up to two VLAN tags (802.1Q, 802.1ad), which stay where they are; IPv4 (RFC 791,
 * options are skipped) or IPv6 (RFC 8200, up to EXTENSIONS_MOST extension headers); then TCP (RFC
 * 9293), UDP (RFC 768), or an ICMP error (RFC 792, RFC 4443), which is about a flow and is given
 * that flow's addresses and ports. Of a fragment only the first has ports: the others are
 * PACKET_FRAGMENT.
 *
 * Whatever else a node must answer for itself - ARP, ND, ping, VRRP, frames for other MACs - is
 * passed up. Dropped is only what no receiver could accept.
 *
 * Nothing here knows of BPF: the same code is compiled natively for tests and fuzzing. Every bounds
 * check is next to the access that it allows.
 */
#ifndef SLUICE_BPF_PARSE_H
#define SLUICE_BPF_PARSE_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/types.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>

#include "bpf/abi.h"
#include "bpf/hash.h"

#ifndef likely
#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#endif

#ifndef __noinline
#define __noinline __attribute__((noinline))
#endif

/* A stage returns NEXT, or the reason for which the packet goes no further. */
#define NEXT REASON_FORWARDED

/* parse() reads what nearly every packet is: no tag, no option, no fragment, TCP or UDP. What is
 * not gives LOOK_CLOSER there and is to be read by parse_closely(), so that the short way stays
 * short. Both are made of the same functions, told by `closely`.
 */
#define LOOK_CLOSER REASON_COUNT

/* It is ICMP: parse_quoted() is to read whether it is an error, and about which flow. */
#define LOOK_INSIDE (REASON_COUNT + 1)

#define VLAN_TAGS_MOST	2
#define EXTENSIONS_MOST 6
#define QUOTED_MOST	6 /* extension headers in a packet that an ICMP error quotes */

#define IP_OFFSET	  0x1fff
#define IP_MORE_FRAGMENTS 0x2000
#define IP_DONT_FRAGMENT  0x4000
#define IP_FRAGMENT_BITS  (IP_MORE_FRAGMENTS | IP_OFFSET)
#define MAPPED_PREFIX	  bpf_htonl(0xffff) /* third word of ::ffff:a.b.c.d */

/* Bytes of a frame before TCP, UDP, ICMP: more than the headers that are walked can have. */
#define TRANSPORT_AT_MOST 0x3fff

#define PACKET_FIRST_FRAGMENT 0x1U /* flags: the first fragment of a packet of several */
#define PACKET_DONT_FRAGMENT  0x2U

/* Addresses and ports are as on the wire; see flow_key for the meaning. Of a PACKET_ICMP they are
 * those of the flow that it is about, as if the client had sent it.
 */
struct packet {
	__u32 src[4], dst[4]; /* IPv4: only word 3 is written */
	__u32 ports;	      /* source port first */
	__u32 len_bytes;      /* of the frame */
	__u32 ipv6;
	__u32 protocol;
	__u32 kind;	    /* enum packet_kind */
	__u32 fragment_id;  /* of a fragment: its identification, as on the wire */
	__u16 flags;	    /* PACKET_* */
	__u16 ip_at;	    /* bytes from the frame's start to the IP header */
	__u16 transport_at; /* and to that of TCP, UDP, ICMP */
	__u16 ip_bytes;	    /* of the IP packet, headers included */
	__u16 quoted_at;    /* only of a PACKET_ICMP: to the quoted TCP or UDP header */
	__u16 pad;
};

/* What of the frame is not parsed yet. The claim of a header is checked against both ends: that of
 * the frame (for the verifier and for us), and that of the IP packet (a frame may be padded).
 */
struct cursor {
	void *at, *frame_end;
	__u32 left_bytes; /* of the IP packet */
	__u32 offset;	  /* of `at`, in the frame */
};

/* ---- TCP, UDP ---- */

#define TCP_FLAGS(tcp)	  (((const __u8 *)(tcp))[13])
#define TCP_FLAG_FIN	  0x01
#define TCP_FLAG_SYN	  0x02
#define TCP_FLAG_RST	  0x04
#define TCP_FLAG_ACK	  0x10
#define TCP_FLAGS_OPENING (TCP_FLAG_FIN | TCP_FLAG_SYN | TCP_FLAG_RST)

/* The kind of a TCP segment; its flags were checked to be consistent where they matter. */
static __always_inline enum reason parse_tcp_kind(__u32 flags, struct packet *p)
{
	p->kind = PACKET_OTHER;
	if (likely(!(flags & TCP_FLAGS_OPENING)))
		return likely(flags & TCP_FLAG_ACK) ? NEXT : REASON_DROP_BAD_FLAGS;
	if (flags & TCP_FLAG_SYN) {
		if (unlikely(flags & (TCP_FLAG_FIN | TCP_FLAG_RST)))
			return REASON_DROP_BAD_FLAGS;
		if (!(flags & TCP_FLAG_ACK))
			p->kind = PACKET_SYN;
		return NEXT;
	}
	p->kind = flags & TCP_FLAG_RST ? PACKET_RST : PACKET_FIN;
	return NEXT;
}

static __always_inline enum reason parse_tcp(struct cursor c, struct packet *p)
{
	const struct tcphdr *tcp = c.at;

	if (unlikely((void *)(tcp + 1) > c.frame_end || c.left_bytes < sizeof(*tcp)))
		return REASON_DROP_TRUNCATED;
	if (unlikely(tcp->doff < 5))
		return REASON_DROP_BAD_HEADER;
	if (unlikely(tcp->doff * 4U > c.left_bytes))
		return REASON_DROP_TRUNCATED;
	p->ports = *(const __u32 *)tcp;
	return parse_tcp_kind(TCP_FLAGS(tcp), p);
}

static __always_inline enum reason parse_udp(struct cursor c, struct packet *p)
{
	const struct udphdr *udp = c.at;
	__u32 len_bytes;

	if (unlikely((void *)(udp + 1) > c.frame_end || c.left_bytes < sizeof(*udp)))
		return REASON_DROP_TRUNCATED;
	len_bytes = (__u32)bpf_ntohs(udp->len);
	if (unlikely(len_bytes < sizeof(*udp)))
		return REASON_DROP_BAD_HEADER;
	if (unlikely(len_bytes > c.left_bytes && !(p->flags & PACKET_FIRST_FRAGMENT)))
		return REASON_DROP_TRUNCATED;
	p->ports = *(const __u32 *)udp;
	p->kind = PACKET_OTHER;
	return NEXT;
}

/* ---- IPv6 extension headers ---- */

struct extension {
	__u8 next, len; /* of 8 bytes, without the first; of AH of 4, without the first two */
	__be16 offset;	/* of a fragment: and 3 bits, the last of which is "more" */
	__be32 id;
};

#define EXTENSION_HOPS	  0
#define EXTENSION_ROUTING 43
#define EXTENSION_AUTH	  51
#define EXTENSION_OPTIONS 60

static __always_inline int is_extension(__u32 header)
{
	return header == EXTENSION_HOPS || header == EXTENSION_ROUTING ||
	       header == EXTENSION_OPTIONS || header == EXTENSION_AUTH ||
	       header == IPPROTO_FRAGMENT;
}

/* One step of the walk: over one extension header.
 * @ret_offset: of a fragment: its offset in bytes and, in the last bit, whether more follow
 * A routing header that still has a way to go is not for us: the obsolete type 0 is dropped (RFC
 * 5095), others are passed up.
 */
static __always_inline enum reason parse_extension(struct cursor *c, struct packet *p,
						   __u32 *ret_offset)
{
	const struct extension *x = c->at;
	__u32 header = p->protocol, bytes = 8;

	if (unlikely((void *)(x + 1) > c->frame_end || c->left_bytes < sizeof(*x)))
		return REASON_DROP_TRUNCATED;
	p->protocol = x->next;
	if (header == EXTENSION_AUTH)
		bytes = (x->len + 2U) * 4;
	else if (header != IPPROTO_FRAGMENT)
		bytes = (x->len + 1U) * 8;
	if (unlikely(bytes > c->left_bytes))
		return REASON_DROP_TRUNCATED;
	/* bytes 2 and 3: routing type, and segments left */
	if (header == EXTENSION_ROUTING && (bpf_ntohs(x->offset) & 0xff))
		return bpf_ntohs(x->offset) >> 8 ? REASON_PASS_PROTOCOL : REASON_DROP_EXTENSIONS;
	if (header == IPPROTO_FRAGMENT) {
		*ret_offset = (__u32)bpf_ntohs(x->offset) & 0xfff9;
		p->fragment_id = x->id;
	}
	c->at += bytes;
	c->offset += bytes;
	c->left_bytes -= bytes;
	return NEXT;
}

/* ---- ICMP errors ---- */

#define ICMP_BYTES 8 /* the header, before the packet that the error is about */

static __always_inline int icmp_is_error(__u32 type, __u32 ipv6)
{
	if (ipv6) /* unreachable, too big, time exceeded, parameter problem */
		return type >= 1 && type <= 4;
	return type == 3 || type == 11 || type == 12;
}

/* The ports of the packet that the error is about, exchanged: that one went to the client. */
static __always_inline enum reason parse_icmp_ports(struct cursor c, struct packet *p)
{
	const __u16 *port = c.at;

	if (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP)
		return REASON_PASS_PROTOCOL;
	if (unlikely((void *)(port + 2) > c.frame_end || c.left_bytes < 4))
		return REASON_DROP_TRUNCATED;
	p->ports = port[1] | (__u32)port[0] << 16;
	p->quoted_at = (__u16)c.offset;
	p->kind = PACKET_ICMP;
	return NEXT;
}

/* An error about a packet that did not come from the address that the error was sent to is
 * nobody's.
 */
static __always_inline enum reason parse_icmp4(struct cursor c, struct packet *p)
{
	const struct iphdr *ip = c.at + ICMP_BYTES;
	__u32 header_bytes;

	if (unlikely((void *)(ip + 1) > c.frame_end || c.left_bytes < ICMP_BYTES + sizeof(*ip)))
		return REASON_PASS_PROTOCOL;
	if (!icmp_is_error(*(const __u8 *)c.at, 0))
		return REASON_PASS_PROTOCOL;
	header_bytes = ip->ihl * 4U;
	if (unlikely(ip->version != 4 || header_bytes < sizeof(*ip)))
		return REASON_DROP_BAD_HEADER;
	if (ip->saddr != p->dst[3] || (ip->frag_off & bpf_htons(IP_OFFSET)))
		return REASON_PASS_PROTOCOL;
	p->src[3] = ip->daddr;
	p->protocol = ip->protocol;
	c.at += ICMP_BYTES + header_bytes;
	c.offset += ICMP_BYTES + header_bytes;
	if (unlikely(c.left_bytes < ICMP_BYTES + header_bytes))
		return REASON_DROP_TRUNCATED;
	c.left_bytes -= ICMP_BYTES + header_bytes;
	return parse_icmp_ports(c, p);
}

/* The quoted packet may have extension headers: one that its sender fragmented, or was told to
 * (RFC 6946), has. Only a first fragment has ports.
 */
static __always_inline enum reason parse_quoted_extensions(struct cursor c, struct packet *p)
{
	__u32 offset = 0;

	for (int i = 0; i < QUOTED_MOST && is_extension(p->protocol); i++) {
		enum reason reason = parse_extension(&c, p, &offset);

		if (unlikely(reason != NEXT))
			return reason;
		if (offset & 0xfff8)
			return REASON_PASS_PROTOCOL;
	}
	return parse_icmp_ports(c, p);
}

static __always_inline enum reason parse_icmp6(struct cursor c, struct packet *p)
{
	const struct ipv6hdr *ip = c.at + ICMP_BYTES;
	__u32 from[4];

	if (unlikely((void *)(ip + 1) > c.frame_end || c.left_bytes < ICMP_BYTES + sizeof(*ip)))
		return REASON_PASS_PROTOCOL;
	if (!icmp_is_error(*(const __u8 *)c.at, 1))
		return REASON_PASS_PROTOCOL;
	if (unlikely(ip->version != 6))
		return REASON_DROP_BAD_HEADER;
	__builtin_memcpy(from, &ip->saddr, sizeof(from));
	if ((from[0] ^ p->dst[0]) | (from[1] ^ p->dst[1]) | (from[2] ^ p->dst[2]) |
	    (from[3] ^ p->dst[3]))
		return REASON_PASS_PROTOCOL;
	__builtin_memcpy(p->src, &ip->daddr, sizeof(p->src));
	p->protocol = ip->nexthdr;
	c.at += ICMP_BYTES + sizeof(*ip);
	c.offset += ICMP_BYTES + (__u32)sizeof(*ip);
	c.left_bytes -= ICMP_BYTES + (__u32)sizeof(*ip);
	return parse_quoted_extensions(c, p);
}

/* parse_quoted: *p is what parse_closely() wrote with LOOK_INSIDE. A function of its own, so that
 * the kernel verifies this walk once, and not for each way to it.
 */
static __always_inline enum reason parse_quoted(void *frame, void *frame_end, struct packet *p)
{
	struct cursor c = {.at = frame + p->transport_at,
			   .frame_end = frame_end,
			   .offset = p->transport_at,
			   .left_bytes = p->ip_bytes - ((__u32)p->transport_at - p->ip_at)};

	if (p->transport_at > TRANSPORT_AT_MOST)
		return REASON_DROP_INTERNAL;
	return p->ipv6 ? parse_icmp6(c, p) : parse_icmp4(c, p);
}

/* ---- TCP, UDP, or to look inside ---- */

static __always_inline enum reason parse_transport(struct cursor c, struct packet *p, int closely)
{
	p->transport_at = (__u16)c.offset;
	if (likely(p->protocol == IPPROTO_TCP))
		return parse_tcp(c, p);
	if (p->protocol == IPPROTO_UDP)
		return parse_udp(c, p);
	if (!closely)
		return LOOK_CLOSER;
	return p->protocol == (p->ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP) ? LOOK_INSIDE
									: REASON_PASS_PROTOCOL;
}

/* ---- fragments ---- */

/* @offset, @bytes: where in the whole payload this one lies; @more: it is not the last.
 * What reaches beyond the longest packet (ping of death), splits what must not be split, or starts
 * in the middle of a TCP header that another one has (RFC 1858, 3128) no receiver accepts.
 */
static __always_inline enum reason parse_fragment(struct cursor c, struct packet *p, __u32 offset,
						  __u32 more)
{
	__u32 bytes = c.left_bytes;

	if (unlikely(offset + bytes > 65535 || (more && bytes % 8) || bytes == 0))
		return REASON_DROP_BAD_FRAGMENT;
	if (unlikely(p->protocol == IPPROTO_TCP && offset > 0 && offset < sizeof(struct tcphdr)))
		return REASON_DROP_BAD_FRAGMENT;
	/* of an ICMP error only the first would tell whose it is; none needs more than one */
	if (unlikely(p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP))
		return REASON_PASS_PROTOCOL;
	if (offset == 0) {
		enum reason reason;

		p->flags |= PACKET_FIRST_FRAGMENT;
		reason = parse_transport(c, p, 1);
		/* the headers that tell the flow must be in the first one (RFC 7112) */
		return reason == REASON_DROP_TRUNCATED ? REASON_DROP_BAD_FRAGMENT : reason;
	}
	p->transport_at = (__u16)c.offset;
	p->ports = 0;
	p->kind = PACKET_FRAGMENT;
	return NEXT;
}

/* ---- IP ---- */

static __always_inline enum reason parse_ipv4(struct cursor c, struct packet *p, int closely)
{
	const struct iphdr *ip = c.at;
	__u32 header_bytes, total_bytes;

	if (unlikely((void *)(ip + 1) > c.frame_end))
		return REASON_DROP_TRUNCATED;
	if (!closely &&
	    unlikely(*(const __u8 *)ip != 0x45 || ip->frag_off & bpf_htons(IP_FRAGMENT_BITS)))
		return LOOK_CLOSER;
	header_bytes = closely ? ip->ihl * 4U : sizeof(*ip);
	total_bytes = (__u32)bpf_ntohs(ip->tot_len);
	if (unlikely(ip->version != 4 || header_bytes < sizeof(*ip) || total_bytes < header_bytes))
		return REASON_DROP_BAD_HEADER;
	if (unlikely(total_bytes > c.left_bytes))
		return REASON_DROP_TRUNCATED;
	p->ipv6 = 0;
	p->src[3] = ip->saddr;
	p->dst[3] = ip->daddr;
	p->protocol = ip->protocol;
	p->ip_at = (__u16)c.offset;
	p->ip_bytes = (__u16)total_bytes;
	p->flags = ip->frag_off & bpf_htons(IP_DONT_FRAGMENT) ? PACKET_DONT_FRAGMENT : 0;
	c.at += header_bytes;
	c.offset += header_bytes;
	c.left_bytes = total_bytes - header_bytes;
	if (closely && ip->frag_off & bpf_htons(IP_FRAGMENT_BITS)) {
		__u32 bits = (__u32)bpf_ntohs(ip->frag_off);

		p->fragment_id = ip->id;
		return parse_fragment(c, p, (bits & IP_OFFSET) * 8, bits & IP_MORE_FRAGMENTS);
	}
	return parse_transport(c, p, closely);
}

/* parse_extensions: walk to the transport header, or to the fragment header of a real fragment:
 * behind that, only the first one's headers could be read on.
 */
static __always_inline enum reason parse_extensions(struct cursor c, struct packet *p)
{
	__u32 offset = 0;

	for (int i = 0; i < EXTENSIONS_MOST && is_extension(p->protocol) && !offset; i++) {
		enum reason reason = parse_extension(&c, p, &offset);

		if (unlikely(reason != NEXT))
			return reason;
	}
	if (unlikely(is_extension(p->protocol)))
		return REASON_DROP_EXTENSIONS;
	if (offset)
		return parse_fragment(c, p, offset & 0xfff8, offset & 1);
	return parse_transport(c, p, 1);
}

static __always_inline enum reason parse_ipv6(struct cursor c, struct packet *p, int closely)
{
	const struct ipv6hdr *ip = c.at;
	__u32 payload_bytes;

	if (unlikely((void *)(ip + 1) > c.frame_end || c.left_bytes < sizeof(*ip)))
		return REASON_DROP_TRUNCATED;
	if (unlikely(ip->version != 6))
		return REASON_DROP_BAD_HEADER;
	payload_bytes = (__u32)bpf_ntohs(ip->payload_len);
	if (unlikely(payload_bytes > c.left_bytes - sizeof(*ip)))
		return REASON_DROP_TRUNCATED;
	p->ipv6 = 1;
	__builtin_memcpy(p->src, &ip->saddr, sizeof(p->src));
	__builtin_memcpy(p->dst, &ip->daddr, sizeof(p->dst));
	p->protocol = ip->nexthdr;
	p->ip_at = (__u16)c.offset;
	p->ip_bytes = (__u16)(payload_bytes + sizeof(*ip));
	p->flags = PACKET_DONT_FRAGMENT;
	c.at += sizeof(*ip);
	c.offset += (__u32)sizeof(*ip);
	c.left_bytes = payload_bytes;
	if (closely && is_extension(p->protocol))
		return parse_extensions(c, p);
	return parse_transport(c, p, closely);
}

/* ---- Ethernet ---- */

static __always_inline int is_vlan(__be16 ethertype)
{
	return ethertype == bpf_htons(ETH_P_8021Q) || ethertype == bpf_htons(ETH_P_8021AD);
}

static __always_inline enum reason parse_ip(struct cursor c, struct packet *p, __be16 ethertype,
					    int closely)
{
	if (likely(ethertype == bpf_htons(ETH_P_IP)))
		return parse_ipv4(c, p, closely);
	if (ethertype == bpf_htons(ETH_P_IPV6))
		return parse_ipv6(c, p, closely);
	return is_vlan(ethertype) && !closely ? LOOK_CLOSER : REASON_PASS_NOT_OURS;
}

/* parse_closely: everything that the page's head lists; *ret_packet is wholly written. LOOK_INSIDE:
 * parse_quoted() is to go on.
 */
static __always_inline enum reason parse_closely(void *frame, void *frame_end, __u32 frame_bytes,
						 struct packet *ret_packet)
{
	const struct ethhdr *eth = frame;
	struct cursor c = {
		.at = frame + sizeof(*eth), .frame_end = frame_end, .offset = sizeof(*eth)};
	__be16 ethertype;

	__builtin_memset(ret_packet, 0, sizeof(*ret_packet));
	if (c.at > frame_end)
		return REASON_DROP_TRUNCATED;
	ret_packet->len_bytes = frame_bytes;
	ethertype = eth->h_proto;
	for (int i = 0; i < VLAN_TAGS_MOST && is_vlan(ethertype); i++) {
		const __be16 *tag = c.at; /* the tag's value, then the next ethertype */

		if ((void *)(tag + 2) > frame_end)
			return REASON_DROP_TRUNCATED;
		ethertype = tag[1];
		c.at += 4;
		c.offset += 4;
	}
	c.left_bytes = frame_bytes - c.offset;
	return parse_ip(c, ret_packet, ethertype, 1);
}

/* is_virtual: is it the MAC of a virtual router whose bit is set (RFC 9568 7.3)?
 * 00-00-5E-00-01-VRID, and with -02- for IPv6.
 */
static __always_inline int is_virtual(const void *frame, const volatile __u32 *vrids)
{
	const __u8 *mac = frame;
	__u32 bit = (mac[4] - 1U) << 8 | mac[5];

	return *(const __u32 *)frame == bpf_htonl(0x00005e00) && bit < VRID_BITS &&
	       vrids[bit / 32] >> bit % 32 & 1;
}

/* parse: read the frame's headers.
 * @frame_bytes: of the whole frame, which may go on behind @frame_end (multi-buffer)
 * @own_mac: only frames for this MAC are ours; 8 bytes, the last two 0, aligned to 8
 * @vrids: and those for these virtual routers: VRID_BITS bits; 0 = none
 * NEXT: all of *p is written; LOOK_CLOSER: the frame is for us, and parse_closely() is to read it;
 * otherwise *p is not to be used.
 */
static __always_inline enum reason parse(void *frame, void *frame_end, __u32 frame_bytes,
					 const volatile __u64 *own_mac, const volatile __u32 *vrids,
					 struct packet *p)
{
	const struct ethhdr *eth = frame;
	struct cursor c = {.at = frame + sizeof(*eth),
			   .frame_end = frame_end,
			   .left_bytes = frame_bytes - (__u32)sizeof(*eth),
			   .offset = sizeof(*eth)};

	if (unlikely(c.at > frame_end))
		return REASON_DROP_TRUNCATED;
	p->len_bytes = frame_bytes;
	p->fragment_id = 0;
	if (unlikely((*(const __u64 *)frame ^ *own_mac) << 16) &&
	    !(vrids && is_virtual(frame, vrids)))
		return REASON_PASS_NOT_OURS;
	return parse_ip(c, p, eth->h_proto, 0);
}

/* source_bad: "this host", loopback, multicast, broadcast and reserved addresses, and the address
 * that the packet was sent to, are not the source of a packet on a wire (RFC 6890, RFC
 * 1122 3.2.1.3).
 */
static __always_inline int source_bad(const struct packet *p)
{
	__u32 first = bpf_ntohl(p->ipv6 ? p->src[0] : p->src[3]) >> 24;

	if (likely(!p->ipv6))
		return first == 0 || first == 127 || first >= 224 || p->src[3] == p->dst[3];
	if (!(p->src[0] | p->src[1] | p->src[2]) && bpf_ntohl(p->src[3]) <= 1)
		return 1;
	return first == 0xff || !((p->src[0] ^ p->dst[0]) | (p->src[1] ^ p->dst[1]) |
				  (p->src[2] ^ p->dst[2]) | (p->src[3] ^ p->dst[3]));
}

/* packet_hash: of the packet's flow; equal to flow_hash() of its flow_key. */
static __always_inline __u64 packet_hash(const volatile __u64 *key, const struct packet *p)
{
	if (p->ipv6)
		return flow_hash_v6(key, p->src, p->dst, p->ports, p->protocol);
	return flow_hash_v4(key, p->src[3], p->dst[3], p->ports, p->protocol);
}

/* fragment_hash: of what all fragments of one packet share. */
static __always_inline __u64 fragment_hash(const volatile __u64 *key, const struct packet *p)
{
	/* an IPv6 fragment's protocol is that of the first header behind the fragment header: alike
	 */
	if (p->ipv6)
		return flow_hash_v6(key, p->src, p->dst, p->fragment_id, p->protocol | 0x100);
	return flow_hash_v4(key, p->src[3], p->dst[3], p->fragment_id, p->protocol | 0x100);
}

#endif
