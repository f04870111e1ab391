/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tcp.h: TCP segments read, changed and made anew (RFC 9293), each time with the right checksum.
 *
 *	segment_read()	into scratch: numbers, flags, lengths
 *	segment_patch()	another sequence and acknowledgement number
 *	segment_make()	the packet becomes a segment without data: for SYN cookies
 *	options_edit()	the MSS lowered, Fast Open taken out, SACK blocks moved
 */
#ifndef SLUICE_BPF_TCP_H
#define SLUICE_BPF_TCP_H

#include "bpf/nat.h"

#define OPTION_END	 0
#define OPTION_NOP	 1
#define OPTION_MSS	 2
#define OPTION_SACK	 5
#define OPTION_FAST_OPEN 34
#define OPTIONS_MOST	 40U
#define SEGMENT_TTL	 64

/* segment_read: of a TCP packet; for others all is 0. */
static __always_inline int segment_read(struct xdp_md *ctx, struct scratch *s)
{
	const struct tcphdr *tcp;

	s->seq = s->ack = s->flags = s->window = s->header_bytes = s->payload_bytes = 0;
	if (s->p.protocol != IPPROTO_TCP || s->p.kind == PACKET_ICMP)
		return 1;
	tcp = packet_at(ctx, s->p.transport_at, sizeof(*tcp));
	if (!tcp)
		return 0;
	s->seq = bpf_ntohl(tcp->seq);
	s->ack = bpf_ntohl(tcp->ack_seq);
	s->flags = TCP_FLAGS(tcp);
	s->window = bpf_ntohs(tcp->window);
	s->header_bytes = tcp->doff * 4U;
	s->payload_bytes =
		(__u32)s->p.ip_bytes - (__u32)(s->p.transport_at - s->p.ip_at) - s->header_bytes;
	return 1;
}

static __always_inline int segment_patch(struct xdp_md *ctx, struct scratch *s, __u32 seq,
					 __u32 ack)
{
	struct tcphdr *tcp = packet_at(ctx, s->p.transport_at, sizeof(*tcp));
	__u64 change;

	if (!tcp)
		return 0;
	seq = bpf_htonl(seq);
	ack = bpf_htonl(ack);
	change = sum_replace(sum_replace(0, tcp->seq, seq), tcp->ack_seq, ack);
	tcp->seq = seq;
	tcp->ack_seq = ack;
	tcp->check = checksum_update(tcp->check, change);
	return 1;
}

/* ip_resize: the IP header says that its packet has @bytes; with @ttl, it begins to live anew. */
static __always_inline int ip_resize(struct xdp_md *ctx, struct scratch *s, __u32 bytes, __u32 ttl)
{
	struct ipv6hdr *six;
	struct iphdr *ip;
	__u16 len, was;
	__u64 change;

	if (s->p.ipv6) {
		six = packet_at(ctx, s->p.ip_at, sizeof(*six));
		if (!six)
			return 0;
		six->payload_len = bpf_htons((__u16)(bytes - sizeof(*six)));
		if (ttl)
			six->hop_limit = (__u8)ttl;
	} else {
		ip = packet_at(ctx, s->p.ip_at, sizeof(*ip));
		if (!ip)
			return 0;
		len = bpf_htons((__u16)bytes);
		change = sum_replace(0, ip->tot_len, len);
		ip->tot_len = len;
		was = *(__u16 *)&ip->ttl;
		if (ttl)
			ip->ttl = (__u8)ttl;
		change = sum_replace(change, was, *(__u16 *)&ip->ttl);
		ip->check = checksum_update(ip->check, change);
	}
	s->p.ip_bytes = (__u16)bytes;
	return 1;
}

/* What segment_make() is to write. */
struct segment_text {
	__u32 seq, ack, flags, window;
	__u32 mss; /* 0: no option */
};

static __always_inline int segment_write(struct xdp_md *ctx, struct scratch *s,
					 const struct segment_text *text, __u32 bytes)
{
	__be32 *word = packet_at(ctx, s->p.transport_at, 20);
	__be32 *option;
	__u64 sum;

	if (!word)
		return 0;
	word[1] = bpf_htonl(text->seq);
	word[2] = bpf_htonl(text->ack);
	word[3] = bpf_htonl(bytes / 4 << 28 | text->flags << 16 | text->window);
	word[4] = 0;
	sum = sum_words(bpf_htonl(bytes) + (__u64)bpf_htonl(IPPROTO_TCP), word, 5);
	sum += (__u64)s->p.src[3] + s->p.dst[3];
	for (__u32 i = 0; s->p.ipv6 && i < 3; i++)
		sum += (__u64)s->p.src[i] + s->p.dst[i];
	if (text->mss) {
		option = packet_at(ctx, s->p.transport_at + 20U, 4);
		if (!option)
			return 0;
		*option = bpf_htonl(OPTION_MSS << 24 | 4 << 16 | text->mss);
		sum += *option;
	}
	word = packet_at(ctx, s->p.transport_at, 20);
	if (!word)
		return 0;
	((struct tcphdr *)word)->check = checksum_of(sum);
	return 1;
}

/* segment_pad: what is behind the segment in a frame of the least length: nothing of what was there
 * before.
 */
static __always_inline int segment_pad(struct xdp_md *ctx, __u32 at)
{
	__u64 zeros = 0;

	if (at >= FRAME_LEAST || at + sizeof(zeros) < FRAME_LEAST)
		return 0;
	return (int)bpf_xdp_store_bytes(ctx, at, &zeros, FRAME_LEAST - at);
}

/* segment_make: a segment without data, with the packet's own ends. */
__noinline int segment_make(struct xdp_md *ctx, struct scratch *s, const struct segment_text *text)
{
	__u32 bytes, ip_bytes, had, has;

	if (!s || !text)
		return 0;
	bytes = text->mss ? 24 : 20;
	ip_bytes = (__u32)(s->p.transport_at - s->p.ip_at) + bytes;
	had = (__u32)bpf_xdp_get_buff_len(ctx);
	has = s->p.ip_at + ip_bytes;
	if (has < FRAME_LEAST && had >= FRAME_LEAST)
		has = FRAME_LEAST;
	if (bpf_xdp_adjust_tail(ctx, (int)(has - had)))
		return 0;
	if (has != s->p.ip_at + ip_bytes && segment_pad(ctx, s->p.ip_at + ip_bytes))
		return 0;
	s->p.flags &= (__u16)~PACKET_FIRST_FRAGMENT;
	s->header_bytes = bytes;
	s->payload_bytes = 0;
	return ip_resize(ctx, s, ip_bytes, SEGMENT_TTL) && segment_write(ctx, s, text, bytes);
}

/* ---- options ---- */

/* What options_edit() does. */
struct options_change {
	__u32 mss_less;	  /* bytes off the MSS */
	__u32 sack_first; /* SACK edges behind this are moved down by sack_less, but not before it
			   */
	__u32 sack_less;
	__u32 sack_all; /* wherever they are */
	__u32 no_fast_open;
};

static __always_inline __u32 option_get32(const __u8 *at)
{
	return (__u32)at[0] << 24 | (__u32)at[1] << 16 | (__u32)at[2] << 8 | at[3];
}

static __always_inline void option_put32(__u8 *at, __u32 v)
{
	at[0] = (__u8)(v >> 24);
	at[1] = (__u8)(v >> 16);
	at[2] = (__u8)(v >> 8);
	at[3] = (__u8)v;
}

/* number_down: a number in what has @less bytes more behind @first than the other side knows. It
 * has to be within 2 GiB of @first.
 */
static __always_inline __u32 number_down(__u32 n, __u32 first, __u32 less)
{
	if ((__s32)(n - first) <= 0)
		return n;
	return (__s32)(n - first - less) <= 0 ? first : n - less;
}

/* sack_edit: the edges of the option at @i. */
static __always_inline void sack_edit(struct scratch *s, const struct options_change *c, __u32 i,
				      __u32 len)
{
#pragma clang loop unroll(disable)
	for (__u32 j = 2; j + 4 <= len && j < 34; j += 4) {
		__u32 at = i + j, n;
		__u8 *edge;

		if (at > OPTIONS_MOST)
			break;
		edge = &s->becomes[at & 63];
		n = option_get32(edge);
		n = c->sack_all ? n - c->sack_less : number_down(n, c->sack_first, c->sack_less);
		option_put32(edge, n);
	}
}

/* option_edit: the one at @i of s->becomes; the index of the next. */
__noinline int option_edit(struct scratch *s, const struct options_change *c, __u32 i)
{
	__u32 kind, len, mss;
	__u8 *at;

	if (!s || !c || i >= OPTIONS_MOST)
		return OPTIONS_MOST;
	at = &s->becomes[i];
	kind = at[0];
	if (kind == OPTION_END)
		return OPTIONS_MOST;
	if (kind == OPTION_NOP)
		return (int)i + 1;
	len = at[1];
	if (len < 2 || i + len > OPTIONS_MOST)
		return OPTIONS_MOST;
	if (kind == OPTION_MSS && len == 4) {
		mss = (__u32)at[2] << 8 | at[3];
		if (mss > 2 * c->mss_less)
			mss -= c->mss_less;
		at[2] = (__u8)(mss >> 8);
		at[3] = (__u8)mss;
	}
	if (kind == OPTION_FAST_OPEN && c->no_fast_open) {
#pragma clang loop unroll(disable)
		for (__u32 j = 0; j < 18 && j < len; j++) {
			at[j] = OPTION_NOP;
			__asm__ __volatile__("" ::: "memory"); /* no call of memset() */
		}
	}
	if (kind == OPTION_SACK && c->sack_less)
		sack_edit(s, c, i, len);
	return (int)(i + len);
}

/* options_edit: in the packet; its numbers and lengths stay. 0: it could not be. */
__noinline int options_edit(struct xdp_md *ctx, struct scratch *s, const struct options_change *c)
{
	__u32 bytes, i = 0;
	struct tcphdr *tcp;
	__u64 change = 0;

	if (!s || !c)
		return 0;
	if (s->header_bytes <= 20)
		return 1;
	bytes = s->header_bytes - 20;
	if (bytes > OPTIONS_MOST)
		return 0;
	__builtin_memset(s->was, 0, sizeof(s->was));
	if (bpf_xdp_load_bytes(ctx, s->p.transport_at + 20U, s->was, bytes))
		return 0;
	__builtin_memcpy(s->becomes, s->was, sizeof(s->becomes));
#pragma clang loop unroll(disable)
	for (int n = 0; n < (int)OPTIONS_MOST && i < bytes; n++)
		i = (__u32)option_edit(s, c, i);
#pragma clang loop unroll(disable)
	for (i = 0; i < OPTIONS_MOST; i += 4)
		change = sum_replace(change, *(__u32 *)&s->was[i], *(__u32 *)&s->becomes[i]);
	bytes = s->header_bytes - 20;
	if (bytes > OPTIONS_MOST || bytes < 1)
		return 0;
	if (bpf_xdp_store_bytes(ctx, s->p.transport_at + 20U, s->becomes, bytes))
		return 0;
	tcp = packet_at(ctx, s->p.transport_at, sizeof(*tcp));
	if (!tcp)
		return 0;
	tcp->check = checksum_update(tcp->check, change);
	return 1;
}

#endif
