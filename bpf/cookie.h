/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cookie.h: SYN cookies: the node answers a SYN, and only who got that answer reaches a backend.
 *
 *	client          node             backend
 *	 SYN      -->
 *	          <--   SYN-ACK, whose number is the cookie; nothing is remembered
 *	 ACK      -->   the cookie is right: a translation, WAITING
 *	                SYN             -->   with the client's number and MSS
 *	                                <--   SYN-ACK: the difference of both ISNs is remembered
 *	                ACK             -->   with the PROXY header, where there is one
 *	 data    <-->   numbers shifted <-->
 *
 * The cookies are the kernel's (bpf_tcp_raw_gen_syncookie_*), which keep a class of MSS and live
 * for two minutes. Window scaling, SACK and timestamps are not offered: a cookie has no room for
 * them. What the client sends before the backend has answered is dropped; it repeats it, and each
 * packet of it repeats the SYN, should that have been lost.
 */
#ifndef SLUICE_BPF_COOKIE_H
#define SLUICE_BPF_COOKIE_H

#include "bpf/proxy.h"
#include "bpf/reply.h"
#include "bpf/track.h"

#define COOKIE_WINDOW 16384 /* until the backend says its own */
#define COOKIE_MSS4   1460
#define COOKIE_MSS6   1440

/* cookie_headers: IP to s->was, TCP to s->front, for the helpers. */
static __always_inline int cookie_headers(struct xdp_md *ctx, struct scratch *s)
{
	__u32 bytes = s->header_bytes;

	if (bytes < 20 || bytes > 60)
		return 0;
	if (s->p.ipv6 ? bpf_xdp_load_bytes(ctx, s->p.ip_at, s->was, sizeof(struct ipv6hdr))
		      : bpf_xdp_load_bytes(ctx, s->p.ip_at, s->was, sizeof(struct iphdr)))
		return 0;
	return !bpf_xdp_load_bytes(ctx, s->p.transport_at, s->front, bytes);
}

static __always_inline __s64 cookie_generate(struct scratch *s, __u32 bytes)
{
	if (bytes < 20 || bytes > 60)
		return -1;
	if (s->p.ipv6)
		return bpf_tcp_raw_gen_syncookie_ipv6((void *)s->was, (void *)s->front, bytes);
	return bpf_tcp_raw_gen_syncookie_ipv4((void *)s->was, (void *)s->front, bytes);
}

/* cookie_answer: the SYN becomes a SYN-ACK to its sender. */
__noinline int cookie_answer(struct xdp_md *ctx, struct scratch *s)
{
	struct segment_text text = {.flags = TCP_FLAG_SYN | TCP_FLAG_ACK, .window = COOKIE_WINDOW};
	struct ethhdr *eth;
	__s64 cookie;
	int done;

	if (!s || !cookie_headers(ctx, s))
		return REASON_DROP_INTERNAL;
	cookie = cookie_generate(s, s->header_bytes);
	if (cookie < 0)
		return REASON_DROP_INTERNAL;
	text.seq = (__u32)cookie;
	text.ack = s->seq + 1;
	text.mss = s->p.ipv6 ? COOKIE_MSS6 : COOKIE_MSS4;
	if (s->service.flags & SERVICE_PROXY_V2)
		text.mss -= proxy_bytes(s);
	__builtin_memcpy(s->to.src, s->p.dst, sizeof(s->to.src));
	__builtin_memcpy(s->to.dst, s->p.src, sizeof(s->to.dst));
	s->to.ports = s->p.ports >> 16 | s->p.ports << 16;
	s->keep_ttl = 1;
	done = segment_make(ctx, s, &text);
	if (!done || rewrite(ctx, s) != NEXT)
		return REASON_DROP_INTERNAL;
	eth = packet_at(ctx, 0, sizeof(*eth));
	if (!eth)
		return REASON_DROP_INTERNAL;
	reply_macs(eth, eth);
	return REASON_REPLY_COOKIE;
}

/* cookie_valid: does this segment acknowledge a cookie of ours? */
__noinline int cookie_valid(struct xdp_md *ctx, struct scratch *s)
{
	long error;

	if (!s || !(s->service.flags & SERVICE_COOKIES_OUT) || !(s->flags & TCP_FLAG_ACK) ||
	    !cookie_headers(ctx, s))
		return 0;
	error = s->p.ipv6 ? bpf_tcp_raw_check_syncookie_ipv6((void *)s->was, (void *)s->front)
			  : bpf_tcp_raw_check_syncookie_ipv4((void *)s->was, (void *)s->front);
	return !error;
}

/* cookie_mss: the check does not tell it; the cookie made anew for each class of MSS does, unless
 * a minute has begun since: then the class that suits nearly every path.
 */
static __always_inline __u32 cookie_mss(struct scratch *s)
{
	const __u16 classes[2][4] = {{1460, 1440, 1300, 536}, {8940, 1440, 1420, 1220}};
	__be32 *word = (__be32 *)s->front;

	word[1] = bpf_htonl(s->seq - 1);
	((__u16 *)word)[6] = bpf_htons(0x6002);
	for (int i = 0; i < 4; i++) {
		__u32 mss = classes[!!s->p.ipv6][i];

		word[5] = bpf_htonl(OPTION_MSS << 24 | 4 << 16 | mss);
		if ((__u32)cookie_generate(s, 24) == s->ack - 1)
			return mss;
	}
	return s->p.ipv6 ? 1220 : 1300;
}

/* cookie_syn: the client's packet becomes its SYN to the backend. */
__noinline int cookie_syn(struct xdp_md *ctx, struct scratch *s, const struct translation *t)
{
	struct segment_text text = {.flags = TCP_FLAG_SYN};

	if (!s || !t)
		return REASON_DROP_INTERNAL;
	if (s->p.kind == PACKET_RST)
		return REASON_DROP_EARLY;
	text.seq = t->client_isn;
	text.window = t->window;
	text.mss = t->mss;
	return segment_make(ctx, s, &text) ? NEXT : REASON_DROP_INTERNAL;
}

/* cookie_keep: a translation for a client that was shown to be there. */
__noinline int cookie_keep(struct scratch *s)
{
	enum reason reason;
	__u32 mss;

	if (!s)
		return REASON_DROP_INTERNAL;
	mss = cookie_mss(s);
	s->seq--; /* the client's ISN */
	reason = (enum reason)track_new(s);
	if (reason != NEXT)
		return (int)reason;
	s->fresh.flags |= TRANSLATION_COOKIE | TRANSLATION_WAITING | TRANSLATION_ANSWERED;
	s->fresh.server_next = s->ack;
	s->fresh.mss = (__u16)mss;
	s->fresh.window = (__u16)s->window;
	reason = (enum reason)track_keep(s);
	if (reason == NEXT)
		count_waiting(s->fresh.backend, 1);
	return (int)reason;
}

/* cookie_answered: a segment of the backend's that the client does not get: the SYN-ACK becomes
 * the ACK that ends the handshake. NEXT with XDP_PASS: the segment is to go on to the client.
 */
__noinline int cookie_answered(struct xdp_md *ctx, struct scratch *s, struct translation *t)
{
	struct segment_text text = {.flags = TCP_FLAG_ACK};
	const struct backend *to;
	__u32 number;

	if (!s || !t)
		return REASON_DROP_INTERNAL;
	number = t->backend;
	to = bpf_map_lookup_elem(&backends, &number);
	if (!to)
		return REASON_DROP_INTERNAL;
	if (s->p.kind == PACKET_RST) {
		/* it answers the SYN, or is not the backend's (RFC 9293 3.10.7.3) */
		if (!(s->flags & TCP_FLAG_ACK) || s->ack != t->client_next)
			return REASON_DROP_EARLY;
		/* it has no number of its own yet: the client expects this one */
		if (!dry_run())
			t->server_more = t->server_next - s->seq;
		return NEXT;
	}
	if (!(s->flags & TCP_FLAG_SYN) || !(s->flags & TCP_FLAG_ACK))
		return REASON_DROP_EARLY;
	if ((t->flags & TRANSLATION_WAITING) && !dry_run()) {
		t->server_more = t->server_next - 1 - s->seq;
		t->server_next = s->seq + 1;
		if (__sync_fetch_and_and(&t->flags, ~TRANSLATION_WAITING) & TRANSLATION_WAITING)
			count_waiting(t->backend, -1);
		exception_tell(&s->key, EXCEPTION_TRANSLATION);
	}
	text.seq = t->client_isn + 1;
	text.ack = s->seq + 1;
	text.window = t->window;
	__builtin_memcpy(s->to.src, s->p.dst, sizeof(s->to.src));
	__builtin_memcpy(s->to.dst, s->p.src, sizeof(s->to.dst));
	s->to.ports = s->p.ports >> 16 | s->p.ports << 16;
	s->keep_ttl = 1;
	s->flags = TCP_FLAG_ACK;
	if (!segment_make(ctx, s, &text))
		return REASON_DROP_INTERNAL;
	if (t->flags & TRANSLATION_PROXY && !(t->flags & TRANSLATION_ACKNOWLEDGED) &&
	    !proxy_insert(ctx, s, t))
		return REASON_DROP_INTERNAL;
	if (rewrite(ctx, s) != NEXT)
		return REASON_DROP_INTERNAL;
	s->backend = number; /* that it is counted for */
	return (int)leave_to(ctx, s, to);
}

#endif
