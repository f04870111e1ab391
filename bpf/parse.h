/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* parse.h: the first stage: bytes of a frame in, struct packet out.
 *
 * Ethernet II, then IPv4 (RFC 791, options are skipped) or IPv6 (RFC 8200, no extension headers),
 * then TCP (RFC 9293) or UDP (RFC 768). Whatever else a node must answer for itself - ARP, ND,
 * ICMP, VRRP, fragments, frames for other MACs - is passed up. Dropped is only what no receiver
 * could accept: shorter than its own lengths say, or with a header that contradicts itself.
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

/* A stage returns NEXT, or the reason for which the packet goes no further. */
#define NEXT REASON_FORWARDED

#define IP_FRAGMENT_BITS 0x3fff		   /* more fragments, and the offset */
#define MAPPED_PREFIX	 bpf_htonl(0xffff) /* third word of ::ffff:a.b.c.d */

enum packet_kind {
	PACKET_OTHER, /* TCP with none of the flags below, and all UDP */
	PACKET_SYN,   /* opens a connection: SYN without ACK */
	PACKET_FIN,
	PACKET_RST,
};

/* Members are as on the wire; see flow_key for the meaning. */
struct packet {
	__u32 src[4], dst[4]; /* IPv4: only word 3 is written */
	__u32 ports;	      /* source port first */
	__u32 len_bytes;      /* of the frame */
	__u32 ipv6;
	__u32 protocol;
	__u32 kind; /* enum packet_kind */
};

/* What of the frame is not parsed yet. The claim of a header is checked against both ends: that of
 * the frame (for the verifier and for us), and that of the IP packet (a frame may be padded).
 */
struct cursor {
	void *at, *frame_end;
	__u32 left_bytes; /* of the IP packet */
};

static __always_inline __u32 tcp_kind(const struct tcphdr *tcp)
{
	if (unlikely(tcp->rst))
		return PACKET_RST;
	if (tcp->syn && !tcp->ack)
		return PACKET_SYN;
	return tcp->fin ? PACKET_FIN : PACKET_OTHER;
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
	p->kind = tcp_kind(tcp);
	return NEXT;
}

static __always_inline enum reason parse_udp(struct cursor c, struct packet *p)
{
	const struct udphdr *udp = c.at;
	__u32 len_bytes;

	if (unlikely((void *)(udp + 1) > c.frame_end || c.left_bytes < sizeof(*udp)))
		return REASON_DROP_TRUNCATED;
	len_bytes = bpf_ntohs(udp->len);
	if (unlikely(len_bytes < sizeof(*udp)))
		return REASON_DROP_BAD_HEADER;
	if (unlikely(len_bytes > c.left_bytes))
		return REASON_DROP_TRUNCATED;
	p->ports = *(const __u32 *)udp;
	p->kind = PACKET_OTHER;
	return NEXT;
}

static __always_inline enum reason parse_transport(struct cursor c, struct packet *p)
{
	if (likely(p->protocol == IPPROTO_TCP))
		return parse_tcp(c, p);
	if (p->protocol == IPPROTO_UDP)
		return parse_udp(c, p);
	return REASON_PASS_PROTOCOL;
}

static __always_inline enum reason parse_ipv4(struct cursor c, struct packet *p)
{
	const struct iphdr *ip = c.at;
	__u32 header_bytes, total_bytes;

	if (unlikely((void *)(ip + 1) > c.frame_end))
		return REASON_DROP_TRUNCATED;
	header_bytes = ip->ihl * 4U;
	total_bytes = bpf_ntohs(ip->tot_len);
	if (unlikely(ip->version != 4 || header_bytes < sizeof(*ip) || total_bytes < header_bytes))
		return REASON_DROP_BAD_HEADER;
	if (unlikely(total_bytes > c.left_bytes))
		return REASON_DROP_TRUNCATED;
	if (unlikely(ip->frag_off & bpf_htons(IP_FRAGMENT_BITS)))
		return REASON_PASS_FRAGMENT;
	p->ipv6 = 0;
	p->src[3] = ip->saddr;
	p->dst[3] = ip->daddr;
	p->protocol = ip->protocol;
	c.at += header_bytes;
	c.left_bytes = total_bytes - header_bytes;
	return parse_transport(c, p);
}

static __always_inline enum reason parse_ipv6(struct cursor c, struct packet *p)
{
	const struct ipv6hdr *ip = c.at;
	__u32 payload_bytes;

	if (unlikely((void *)(ip + 1) > c.frame_end))
		return REASON_DROP_TRUNCATED;
	if (unlikely(ip->version != 6))
		return REASON_DROP_BAD_HEADER;
	payload_bytes = bpf_ntohs(ip->payload_len);
	if (unlikely(payload_bytes > c.left_bytes - sizeof(*ip)))
		return REASON_DROP_TRUNCATED;
	if (unlikely(ip->nexthdr == IPPROTO_FRAGMENT))
		return REASON_PASS_FRAGMENT;
	p->ipv6 = 1;
	__builtin_memcpy(p->src, &ip->saddr, sizeof(p->src));
	__builtin_memcpy(p->dst, &ip->daddr, sizeof(p->dst));
	p->protocol = ip->nexthdr;
	c.at += sizeof(*ip);
	c.left_bytes = payload_bytes;
	return parse_transport(c, p);
}

/* parse: read the frame's headers.
 * @own_mac: only frames for this MAC are ours; 8 bytes, the last two 0, aligned to 8
 * NEXT: all of *p is written; otherwise *p is not to be used.
 */
static __always_inline enum reason parse(void *frame, void *frame_end,
					 const volatile __u64 *own_mac, struct packet *p)
{
	const struct ethhdr *eth = frame;
	struct cursor c = {.at = frame + sizeof(*eth), .frame_end = frame_end};

	if (unlikely(c.at > frame_end))
		return REASON_DROP_TRUNCATED;
	p->len_bytes = (__u32)((char *)frame_end - (char *)frame);
	c.left_bytes = p->len_bytes - (__u32)sizeof(*eth);
	if (unlikely((*(const __u64 *)frame ^ *own_mac) << 16))
		return REASON_PASS_NOT_OURS;
	if (likely(eth->h_proto == bpf_htons(ETH_P_IP)))
		return parse_ipv4(c, p);
	if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		return parse_ipv6(c, p);
	return REASON_PASS_NOT_OURS;
}

/* packet_hash: of the packet's flow; equal to flow_hash() of its flow_key. */
static __always_inline __u64 packet_hash(const volatile __u64 *key, const struct packet *p)
{
	if (p->ipv6)
		return flow_hash_v6(key, p->src, p->dst, p->ports, p->protocol);
	return flow_hash_v4(key, p->src[3], p->dst[3], p->ports, p->protocol);
}

#endif
