/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* reply.h: answers of the node itself: the frame becomes its own answer and leaves as it came.
 *
 *	reply_reset()	a RST for a TCP segment that nobody takes (RFC 9293 3.10.7.1)
 *	reply_icmp()	an ICMP error about a packet (RFC 792, RFC 1191, RFC 4443): port
 *			unreachable, time exceeded, fragmentation needed or packet too big
 *
 * Answers come from the VIP, quote at most QUOTE_MOST bytes, keep VLAN tags and have checksums of
 * their own. Nobody can make a node shout: ICMP errors, fragments other than the first one and RSTs
 * are never answered (RFC 1122 3.2.2, RFC 4443 2.4 e), nor is a source that cannot be one host, and
 * a CPU gives at most REPLIES_A_SECOND.
 *
 * The functions are global, so that the kernel verifies each once and by itself; they know of a
 * packet what struct place says, because the stack is short.
 */
#ifndef SLUICE_BPF_REPLY_H
#define SLUICE_BPF_REPLY_H

#include "bpf/maps.h"
#include "bpf/parse.h"

#define REPLIES_A_SECOND 10000U
#define QUOTE_MOST	 256U /* bytes of the packet in an ICMP error; a multiple of 4 */
#define REPLY_TTL_SENT	 64
#define FRAME_LEAST	 60U /* bytes of an Ethernet frame, less its checksum */

#define IP_AT_MOST   (sizeof(struct ethhdr) + 4 * VLAN_TAGS_MOST)
#define ETHERTYPE_AT 12 /* the tags, if any, begin here, too */

/* Where in its frame a packet lies. */
struct place {
	__u16 ip_at, transport_at, ip_bytes; /* as in struct packet */
	__u8 ipv6;
	__u8 kind; /* enum packet_kind */
};

static __always_inline struct place place_of(const struct packet *p)
{
	return (struct place){
		.ip_at = p->ip_at,
		.transport_at = p->transport_at,
		.ip_bytes = p->ip_bytes,
		.ipv6 = (__u8)p->ipv6,
		.kind = (__u8)p->kind,
	};
}

/* This program's: each CPU's answers in this second. */
struct budget {
	__u32 now_s, spent;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct budget);
} replies SEC(".maps");

/* ---- checksums (RFC 1071) ---- */

static __always_inline __u16 checksum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

/* checksum_words: of @n words that the caller has checked to be there. */
static __always_inline __u64 checksum_words(const void *at, __u32 n)
{
	const __u32 *word = at;
	__u64 sum = 0;

	for (__u32 i = 0; i < n; i++)
		sum += word[i];
	return sum;
}

/* ---- may it be answered? ---- */

/* reply_source_bad: "this host", loopback, multicast, broadcast and reserved (RFC 6890) are not the
 * address of one other host; nor is one that is not there.
 */
static __always_inline int reply_source_bad(const void *ip, const void *frame_end, __u32 ipv6)
{
	const struct ipv6hdr *six = ip;
	const struct iphdr *four = ip;
	const __u32 *word = (const __u32 *)&six->saddr;
	__u32 first;

	if (!ipv6) {
		if ((const void *)(four + 1) > frame_end)
			return 1;
		first = bpf_ntohl(four->saddr) >> 24;
		return first == 0 || first == 127 || first >= 224;
	}
	if ((const void *)(six + 1) > frame_end)
		return 1;
	if (!(word[0] | word[1] | word[2]))
		return !(word[3] & bpf_htonl(0xfffffffe)); /* :: and ::1 */
	return (word[0] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000);
}

static __always_inline int reply_spend(void)
{
	__u32 zero = 0;
	struct budget *b = bpf_map_lookup_elem(&replies, &zero);
	const struct clock *now = bpf_map_lookup_elem(&clock, &zero);

	if (!b || !now)
		return 0;
	if (b->now_s != now->now_s) {
		b->now_s = now->now_s;
		b->spent = 0;
	}
	if (b->spent >= REPLIES_A_SECOND)
		return 0;
	b->spent++;
	return 1;
}

/* reply_due: NEXT, or why there is none. @otherwise: what it is when no answer is allowed */
static __always_inline enum reason reply_due(struct xdp_md *ctx, const struct place *at,
					     enum reason otherwise)
{
	const void *ip = (void *)(long)ctx->data + at->ip_at;

	if (at->kind == PACKET_ICMP || at->kind == PACKET_FRAGMENT || at->kind == PACKET_RST)
		return otherwise;
	if (at->ip_at > IP_AT_MOST)
		return REASON_DROP_INTERNAL;
	if (reply_source_bad(ip, (void *)(long)ctx->data_end, at->ipv6))
		return REASON_DROP_BAD_ADDRESS;
	return reply_spend() ? NEXT : REASON_DROP_REPLY_LIMIT;
}

/* ---- the answer's headers ---- */

/* reply_cut: make the frame so long. It never was shorter. */
static __always_inline int reply_cut(struct xdp_md *ctx, __u32 bytes)
{
	return (int)bpf_xdp_adjust_tail(ctx, (int)(bytes - (__u32)bpf_xdp_get_buff_len(ctx)));
}

/* reply_ip4, reply_ip6: the header of the answer to @from, which may lie in the same place. */
static __always_inline void reply_ip4(void *to, const void *from, __u32 bytes, __u32 protocol)
{
	const struct iphdr *question = from;
	__be32 src = question->daddr, dst = question->saddr;
	struct iphdr *ip = to;

	*(__be32 *)ip = bpf_htonl(0x45000000 | (__u32)(sizeof(*ip) + bytes));
	((__be32 *)ip)[1] = bpf_htonl(IP_DONT_FRAGMENT); /* its identification is free (RFC 6864) */
	((__be32 *)ip)[2] = bpf_htonl(REPLY_TTL_SENT << 24 | protocol << 16);
	ip->saddr = src;
	ip->daddr = dst;
	ip->check = checksum_fold(checksum_words(ip, sizeof(*ip) / 4));
}

static __always_inline void reply_ip6(void *to, const void *from, __u32 bytes, __u32 protocol)
{
	const __u64 *question = from + __builtin_offsetof(struct ipv6hdr, saddr);
	__u64 dst0 = question[0], dst1 = question[1], src0 = question[2], src1 = question[3];
	__be32 *ip = to;
	__u64 *addr = to + __builtin_offsetof(struct ipv6hdr, saddr);

	ip[0] = bpf_htonl(0x60000000);
	ip[1] = bpf_htonl(bytes << 16 | protocol << 8 | REPLY_TTL_SENT);
	addr[0] = src0;
	addr[1] = src1;
	addr[2] = dst0;
	addr[3] = dst1;
}

/* reply_pseudo: the sum of the pseudo-header (RFC 9293 3.1, RFC 8200 8.1). */
static __always_inline __u64 reply_pseudo(const void *ip, __u32 ipv6, __u32 bytes, __u32 protocol)
{
	__u64 sum = bpf_htonl(bytes) + (__u64)bpf_htonl(protocol);

	if (ipv6)
		return sum + checksum_words(ip + 8, 8);
	return sum + checksum_words(ip + 12, 2);
}

/* From our own MAC, even where the question was for a virtual router's: a reply of a backup must
 * not teach the switch that this is here.
 */
static __always_inline void reply_macs(void *to, const void *from)
{
	const __u16 *question = from;
	const volatile __u16 *own = (const volatile __u16 *)own_mac;
	__u16 *mac = to;

	mac[0] = question[3];
	mac[1] = question[4];
	mac[2] = question[5];
	mac[3] = own[0];
	mac[4] = own[1];
	mac[5] = own[2];
}

/* reply_tags: the VLAN tags and the ethertype. Always as many bytes as they can have: the IP
 * header comes over what is too much.
 */
static __always_inline void reply_tags(void *to, const void *from)
{
	__u16 *out = to + ETHERTYPE_AT;
	const __u16 *in = from + ETHERTYPE_AT;

	for (int i = 0; i < (int)(IP_AT_MOST - ETHERTYPE_AT) / 2; i++)
		out[i] = in[i];
}

/* ---- RST ---- */

/* A segment as it matters here, and what answers it. In the host's byte order but for the ports. */
struct segment {
	__u32 ports, seq, ack, flags;
};

/* segment_answer: RFC 9293 3.10.7.1: with the number that it acknowledged, or else acknowledging
 * all of it.
 */
static __always_inline void segment_answer(struct segment *s, __u32 payload_bytes)
{
	s->ports = s->ports >> 16 | s->ports << 16;
	if (s->flags & TCP_FLAG_ACK) {
		s->seq = s->ack;
		s->ack = 0;
		s->flags = TCP_FLAG_RST;
		return;
	}
	s->ack = s->seq + payload_bytes + !!(s->flags & TCP_FLAG_SYN) + (s->flags & TCP_FLAG_FIN);
	s->seq = 0;
	s->flags = TCP_FLAG_RST | TCP_FLAG_ACK;
}
_Static_assert(TCP_FLAG_FIN == 1, "it is added as the one number that it takes");

/* reset_read: what to answer, of the segment at @at. */
static __always_inline int reset_read(struct xdp_md *ctx, const struct place *at,
				      struct segment *ret_answer)
{
	const void *frame = (void *)(long)ctx->data;
	__u32 transport_at = at->transport_at, bytes;
	const struct tcphdr *tcp;

	if (transport_at > TRANSPORT_AT_MOST)
		return 0;
	tcp = frame + transport_at;
	if ((void *)(tcp + 1) > (void *)(long)ctx->data_end)
		return 0;
	*ret_answer = (struct segment){
		.ports = *(const __u32 *)tcp,
		.seq = bpf_ntohl(tcp->seq),
		.ack = bpf_ntohl(tcp->ack_seq),
		.flags = TCP_FLAGS(tcp),
	};
	bytes = (__u32)at->ip_bytes - (transport_at - at->ip_at) - tcp->doff * 4U;
	segment_answer(ret_answer, bytes);
	return 1;
}

static __always_inline void reset_write(void *tcp_at, const void *ip, __u32 ipv6,
					const struct segment *s)
{
	__be32 *tcp = tcp_at;
	__u64 sum;

	tcp[0] = s->ports;
	tcp[1] = bpf_htonl(s->seq);
	tcp[2] = bpf_htonl(s->ack);
	tcp[3] = bpf_htonl(0x50000000 | s->flags << 16); /* five words, window 0 */
	tcp[4] = 0;
	sum = reply_pseudo(ip, ipv6, sizeof(struct tcphdr), IPPROTO_TCP) + checksum_words(tcp, 5);
	((struct tcphdr *)tcp_at)->check = checksum_fold(sum);
}

/* reset_pad: what is behind the packet in a frame of the least length. */
static __always_inline void reset_pad(void *at, const void *frame_end)
{
	__u16 *word = at;

	for (int i = 0; i < 4 && (void *)(word + i + 1) <= frame_end; i++)
		word[i] = 0;
}

/* reply_reset: the frame becomes a RST to its sender. REASON_REPLY_RESET, or why not. */
__noinline int reply_reset(struct xdp_md *ctx, const struct place *at)
{
	__u32 ip_at, header_bytes, bytes;
	struct segment answer;
	enum reason reason;
	void *frame, *ip, *frame_end;

	if (!at)
		return REASON_DROP_INTERNAL;
	reason = reply_due(ctx, at, REASON_DROP_NOT_SERVED);
	if (reason != NEXT)
		return (int)reason;
	ip_at = at->ip_at;
	header_bytes = at->ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	bytes = ip_at + header_bytes + (__u32)sizeof(struct tcphdr);
	if (!reset_read(ctx, at, &answer))
		return REASON_DROP_INTERNAL;
	if (bytes < FRAME_LEAST && bpf_xdp_get_buff_len(ctx) >= FRAME_LEAST)
		bytes = FRAME_LEAST;
	if (reply_cut(ctx, bytes) || ip_at > IP_AT_MOST)
		return REASON_DROP_INTERNAL;
	frame = (void *)(long)ctx->data;
	frame_end = (void *)(long)ctx->data_end;
	ip = frame + ip_at;
	if (frame + ETHERTYPE_AT > frame_end ||
	    ip + sizeof(struct iphdr) + sizeof(struct tcphdr) > frame_end)
		return REASON_DROP_INTERNAL;
	reply_macs(frame, frame);
	if (at->ipv6) {
		if (ip + sizeof(struct ipv6hdr) + sizeof(struct tcphdr) > frame_end)
			return REASON_DROP_INTERNAL;
		reply_ip6(ip, ip, sizeof(struct tcphdr), IPPROTO_TCP);
		reset_write(ip + sizeof(struct ipv6hdr), ip, 1, &answer);
	} else {
		reply_ip4(ip, ip, sizeof(struct tcphdr), IPPROTO_TCP);
		reset_write(ip + sizeof(struct iphdr), ip, 0, &answer);
		reset_pad(ip + sizeof(struct iphdr) + sizeof(struct tcphdr), frame_end);
	}
	return REASON_REPLY_RESET;
}

/* ---- ICMP errors ---- */

#define ICMP_IN_IP4 ((__u32)sizeof(struct iphdr) + ICMP_BYTES)
#define ICMP_IN_IP6 ((__u32)sizeof(struct ipv6hdr) + ICMP_BYTES)

/* icmp_first_word: type and code, of each reason to answer. */
static __always_inline __be32 icmp_first_word(enum reason reply, __u32 ipv6)
{
	if (reply == REASON_REPLY_TOO_BIG)
		return ipv6 ? bpf_htonl(0x02000000) : bpf_htonl(0x03040000);
	if (reply == REASON_REPLY_TTL)
		return ipv6 ? bpf_htonl(0x03000000) : bpf_htonl(0x0b000000);
	return ipv6 ? bpf_htonl(0x01040000) : bpf_htonl(0x03030000); /* port unreachable */
}

/* icmp_otherwise: what a packet is that may not be answered. */
static __always_inline enum reason icmp_otherwise(enum reason reply)
{
	if (reply == REASON_REPLY_TOO_BIG)
		return REASON_DROP_TOO_BIG;
	return reply == REASON_REPLY_TTL ? REASON_DROP_TTL : REASON_DROP_NOT_SERVED;
}

/* icmp_sum: of the message, which reaches to the frame's end and is so many whole words. */
static __always_inline __u64 icmp_sum(const void *icmp, const void *frame_end)
{
	const __u32 *word = icmp;
	__u64 sum = 0;

	for (__u32 i = 0; i < (ICMP_BYTES + QUOTE_MOST) / 4; i++) {
		if ((const void *)(word + i + 1) > frame_end)
			break;
		sum += word[i];
	}
	return sum;
}

/* icmp_write: the headers before the quoted packet, which is in its place already. */
static __always_inline int icmp_write(void *ip, const void *frame_end, __u32 bytes, __be32 first,
				      __be32 second, int ipv6)
{
	__u32 header_bytes = ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	__u32 protocol = ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	__be32 *icmp = ip + header_bytes;
	void *quote = icmp + 2;
	__u64 sum = 0;

	if (quote + header_bytes > frame_end)
		return 0;
	if (ipv6) {
		reply_ip6(ip, quote, bytes, protocol);
		sum = reply_pseudo(ip, 1, bytes, protocol);
	} else {
		reply_ip4(ip, quote, bytes, protocol);
	}
	icmp[0] = first;
	icmp[1] = second;
	((__u16 *)icmp)[1] = checksum_fold(sum + icmp_sum(icmp, frame_end));
	return 1;
}

/* reply_icmp: the frame becomes an ICMP error to its sender.
 * @reply: which one, REASON_REPLY_*; also what is returned, unless there may be none
 * @mtu: of REASON_REPLY_TOO_BIG
 */
__noinline int reply_icmp(struct xdp_md *ctx, const struct place *at, __u32 reply, __u32 mtu)
{
	__u32 ip_at, added, quoted;
	void *frame, *frame_end;
	enum reason reason;
	__be32 first;
	int done;

	if (!at)
		return REASON_DROP_INTERNAL;
	reason = reply_due(ctx, at, icmp_otherwise(reply));
	if (reason != NEXT)
		return (int)reason;
	ip_at = at->ip_at;
	added = at->ipv6 ? ICMP_IN_IP6 : ICMP_IN_IP4;
	quoted = at->ip_bytes < QUOTE_MOST ? at->ip_bytes & ~3U : QUOTE_MOST;
	if (reply_cut(ctx, ip_at + quoted) || bpf_xdp_adjust_head(ctx, -(int)added) ||
	    ip_at > IP_AT_MOST)
		return REASON_DROP_INTERNAL;
	frame = (void *)(long)ctx->data;
	frame_end = (void *)(long)ctx->data_end;
	if (frame + ICMP_IN_IP6 + IP_AT_MOST > frame_end)
		return REASON_DROP_INTERNAL;
	reply_macs(frame, frame + added);
	reply_tags(frame, frame + added);
	first = icmp_first_word(reply, at->ipv6);
	done = at->ipv6 ? icmp_write(frame + ip_at, frame_end, quoted + ICMP_BYTES, first,
				     bpf_htonl(mtu), 1)
			: icmp_write(frame + ip_at, frame_end, quoted + ICMP_BYTES, first,
				     bpf_htonl(mtu), 0);
	return done ? (int)reply : REASON_DROP_INTERNAL;
}

#endif
