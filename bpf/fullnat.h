/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fullnat.h: flows of which the node remembers how they were translated: all of mode fullnat, and
 * those of nat whose backend answers for several services or was opened by a SYN cookie.
 *
 *	tracked_in()	what a client sends: its translation is found, made, confirmed, used
 *	tracked_back()	what a backend answers
 *
 * A translation begins in `nascent`, with its backward tuple in `claims`, and moves to
 * `translations` and `reverse` when the client has shown that it got the backend's SYN-ACK (UDP:
 * any answer and another packet): by then it is in `flows`, too, which counts it and tells its age.
 * So a flood of SYNs, from whatever sources, churns in two LRUs of fixed size and takes no port for
 * good. FINs from both sides or a RST close it; lb/ takes it away a minute later. Anybody can send
 * those: they have to have numbers that fit (track_reset(), track_fin()).
 */
#ifndef SLUICE_BPF_FULLNAT_H
#define SLUICE_BPF_FULLNAT_H

#include "bpf/cookie.h"
#include "bpf/proxy.h"
#include "bpf/track.h"

/* ---- from the client ---- */

/* client_marks: what the segment says of the connection's life. */
static __always_inline void client_marks(struct scratch *s, struct translation *t)
{
	if (s->p.kind == PACKET_ICMP || dry_run())
		return;
	track_refresh(s, t);
	/* of a cookie's connection, each packet is the SYN until the backend has answered */
	if (s->p.kind == PACKET_SYN || t->flags & TRANSLATION_WAITING)
		count_syn(t->backend, !s->opens);
	if (s->p.kind == PACKET_RST) {
		count_reset(t->backend);
		track_reset(s, t, t->client_next);
	}
	if (s->p.kind == PACKET_FIN)
		track_fin(s, t, TRANSLATION_CLIENT_FIN, t->client_next);
	/* of these, only confirmed ones come here */
	if (s->p.kind == PACKET_OTHER && s->flags & TCP_FLAG_ACK &&
	    !(t->flags & TRANSLATION_WAITING) && track_near(s->seq, t->client_next))
		t->server_next = s->ack - t->server_more;
}

/* client_edit: numbers, and the PROXY header. */
static __always_inline enum reason client_edit(struct xdp_md *ctx, struct scratch *s,
					       struct translation *t)
{
	if (s->p.kind == PACKET_ICMP || s->p.protocol != IPPROTO_TCP) {
		s->inner_seq_more = 0U - t->server_more;
		return NEXT;
	}
	if (t->flags & TRANSLATION_WAITING)
		return (enum reason)cookie_syn(ctx, s, t);
	if ((t->flags & TRANSLATION_COOKIE) && s->flags & TCP_FLAG_ACK) {
		s->ack -= t->server_more;
		if (!segment_patch(ctx, s, s->seq, s->ack))
			return REASON_DROP_INTERNAL;
	}
	if ((t->flags & TRANSLATION_PROXY) && !proxy_in(ctx, s, t))
		return REASON_DROP_EARLY;
	return NEXT;
}

/* client_send: by its translation, to the backend. */
__noinline int client_send(struct xdp_md *ctx, struct scratch *s, struct translation *t)
{
	const struct backend *to;
	enum reason reason;
	__u32 number;

	if (!s || !t)
		return REASON_DROP_INTERNAL;
	s->backend = number = t->backend;
	to = bpf_map_lookup_elem(&backends, &number);
	if (!to)
		return REASON_DROP_INTERNAL;
	if (ttl_over(ctx, s))
		return REASON_DROP_TTL;
	client_marks(s, t);
	addr_get(s->to.src, t->back.dst);
	addr_get(s->to.dst, t->back.src);
	s->to.ports = t->back.dport | (__u32)t->back.sport << 16;
	reason = client_edit(ctx, s, t);
	if (reason == NEXT)
		reason = rewrite_any(ctx, s);
	if (reason == NEXT)
		reason = leave_to(ctx, s, to);
	return (int)reason;
}

/* confirms: does the packet show that its sender got what the backend answered? A spoofed ACK would
 * have to guess the backend's ISN.
 */
static __always_inline int confirms(const struct scratch *s, const struct translation *t)
{
	if (s->p.kind != PACKET_OTHER || !(t->flags & TRANSLATION_ANSWERED))
		return 0;
	return s->p.protocol != IPPROTO_TCP || s->ack - t->server_next < CONFIRM_WINDOW;
}

/* unknown_in: a packet of a flow that is not known: it opens one, or it is lost. */
__noinline int unknown_in(struct xdp_md *ctx, struct scratch *s)
{
	struct translation *t;
	enum reason reason;

	if (!s)
		return REASON_DROP_INTERNAL;
	if (s->p.kind == PACKET_ICMP)
		return REASON_DROP_NO_FLOW;
	if (source_bad(&s->p))
		return REASON_DROP_BAD_ADDRESS;
	if (s->p.protocol == IPPROTO_TCP && s->p.kind != PACKET_SYN) {
		if (s->p.kind == PACKET_OTHER && cookie_valid(ctx, s)) {
			reason = (enum reason)cookie_keep(s);
			if (reason != NEXT)
				return (int)reason;
			count_reason(REASON_COOKIE_VALID);
			t = track_kept(s);
			return t ? client_send(ctx, s, t) : REASON_DROP_INTERNAL;
		}
		if (hand_over(ctx))
			return REASON_HANDED_OVER;
		return s->service.flags & SERVICE_RESET && s->p.kind != PACKET_RST
			       ? REASON_REPLY_RESET
			       : REASON_DROP_NO_FLOW;
	}
	if (s->p.protocol == IPPROTO_TCP && s->service.flags & SERVICE_SYN_COOKIES)
		return cookie_answer(ctx, s);
	reason = (enum reason)track_new(s);
	if (reason != NEXT)
		return (int)reason;
	t = dry_run() ? &s->fresh : bpf_map_lookup_elem(&nascent, &s->key);
	return t ? client_send(ctx, s, t) : REASON_DROP_INTERNAL;
}

/* nascent_in: a packet of a flow of which not much was seen. */
__noinline int nascent_in(struct xdp_md *ctx, struct scratch *s, struct translation *t)
{
	enum reason reason;

	if (!s || !t)
		return REASON_DROP_INTERNAL;
	if (!track_backend_good(t) || (s->p.kind == PACKET_SYN && t->client_isn != s->seq) ||
	    (s->p.kind == PACKET_SYN && s->service.flags & SERVICE_SYN_COOKIES))
		return unknown_in(ctx, s);
	s->back = t->back;
	if (!track_owned(s))
		return unknown_in(ctx, s); /* another flow took its port */
	if (!confirms(s, t)) {
		if (s->p.protocol == IPPROTO_TCP && s->p.kind == PACKET_OTHER)
			return unknown_in(ctx, s);
		return client_send(ctx, s, t);
	}
	s->fresh = *t;
	reason = (enum reason)track_keep(s);
	if (reason != NEXT)
		return (int)reason;
	t = track_kept(s);
	return t ? client_send(ctx, s, t) : REASON_DROP_INTERNAL;
}

/* reopens: after a connection that ended, from the same port. */
static __always_inline int reopens(struct xdp_md *ctx, struct scratch *s,
				   const struct translation *t)
{
	if (s->p.protocol != IPPROTO_TCP || !(t->flags & TRANSLATION_CLOSING))
		return 0;
	return s->p.kind == PACKET_SYN || (s->p.kind == PACKET_OTHER && cookie_valid(ctx, s));
}

/* is_stranger: its numbers are far from those of the connection from these ports that has ended: a
 * partner has seen the next one begin, and has not told of it yet.
 */
static __always_inline int is_stranger(const struct scratch *s, const struct translation *t)
{
	return t->flags & TRANSLATION_CLOSING && s->p.protocol == IPPROTO_TCP &&
	       s->p.kind != PACKET_ICMP && !track_near(s->seq, t->client_next);
}

/* tracked_in: a client's packet to a service whose flows are tracked. */
__noinline int tracked_in(struct xdp_md *ctx, struct scratch *s)
{
	struct translation *t;

	if (!s)
		return REASON_DROP_INTERNAL;
	if (!segment_read(ctx, s))
		return REASON_DROP_INTERNAL;
	flow_key_make(&s->p, s->service.id, &s->key);
	t = bpf_map_lookup_elem(&translations, &s->key);
	if (t) {
		if (track_backend_good(t) && !reopens(ctx, s, t))
			return is_stranger(s, t) ? unknown_in(ctx, s) : client_send(ctx, s, t);
		track_forget(s, t);
		return unknown_in(ctx, s);
	}
	t = bpf_map_lookup_elem(&nascent, &s->key);
	return t ? nascent_in(ctx, s, t) : unknown_in(ctx, s);
}

/* ---- from the backend ---- */

/* backend_reset: while the backend has no number, its RST has to acknowledge the client's SYN. */
static __always_inline void backend_reset(struct scratch *s, struct translation *t)
{
	__u32 numbered = t->flags & (TRANSLATION_ANSWERED | TRANSLATION_WAITING);

	if (numbered == TRANSLATION_ANSWERED)
		track_reset(s, t, t->server_next);
	else if (s->flags & TCP_FLAG_ACK && s->ack == t->client_next)
		track_close(s, t);
}

static __always_inline void backend_marks(struct scratch *s, struct translation *t)
{
	if (s->p.kind == PACKET_ICMP || dry_run())
		return;
	track_refresh(s, t);
	if (s->p.protocol != IPPROTO_TCP) {
		if (!(t->flags & TRANSLATION_ANSWERED))
			__sync_fetch_and_or(&t->flags, TRANSLATION_ANSWERED);
		return;
	}
	if (s->flags & TCP_FLAG_SYN && !track_is_kept(s, t)) {
		t->server_next = s->seq + 1;
		if (!(__sync_fetch_and_or(&t->flags, TRANSLATION_ANSWERED) & TRANSLATION_ANSWERED))
			exception_tell(&s->key, EXCEPTION_NASCENT);
	}
	if (s->p.kind == PACKET_RST) {
		count_reset(t->backend);
		backend_reset(s, t);
	}
	if (t->flags & TRANSLATION_IMPORTED && s->flags & TCP_FLAG_ACK && s->p.kind != PACKET_RST) {
		__sync_fetch_and_and(&t->flags, ~TRANSLATION_IMPORTED);
		t->server_next = s->seq;
	}
	if (s->p.kind == PACKET_FIN)
		track_fin(s, t, TRANSLATION_BACKEND_FIN, t->server_next);
	if (s->flags & TCP_FLAG_ACK && s->p.kind != PACKET_RST &&
	    track_near(s->seq, t->server_next))
		t->client_next = t->flags & TRANSLATION_PROXY ? proxy_down(s, t, s->ack) : s->ack;
}

static __always_inline enum reason backend_edit(struct xdp_md *ctx, struct scratch *s,
						struct translation *t)
{
	if (s->p.protocol != IPPROTO_TCP)
		return NEXT;
	if (s->p.kind == PACKET_ICMP) {
		if (t->flags & TRANSLATION_PROXY)
			s->inner_seq_more = proxy_quoted(ctx, s, t);
		return NEXT;
	}
	if ((t->flags & TRANSLATION_PROXY) && !proxy_back(ctx, s, t))
		return REASON_DROP_INTERNAL;
	if (!(t->flags & TRANSLATION_COOKIE))
		return NEXT;
	/* proxy_back() may have changed the acknowledgement */
	if (!segment_read(ctx, s) || !segment_patch(ctx, s, s->seq + t->server_more, s->ack))
		return REASON_DROP_INTERNAL;
	return NEXT;
}

/* backend_send: by its translation, to the client. */
__noinline int backend_send(struct xdp_md *ctx, struct scratch *s, struct translation *t)
{
	enum reason reason;

	if (!s || !t)
		return REASON_DROP_INTERNAL;
	if ((t->flags & TRANSLATION_COOKIE) && s->p.kind != PACKET_ICMP &&
	    (t->flags & TRANSLATION_WAITING || s->flags & TCP_FLAG_SYN)) {
		reason = (enum reason)cookie_answered(ctx, s, t);
		if (reason != NEXT || s->verdict != XDP_PASS)
			return (int)reason;
	}
	addr_get(s->to.src, t->vip);
	addr_get(s->to.dst, s->key.src);
	s->to.ports = t->vip_port | (__u32)s->key.sport << 16;
	s->to_node = !addr_same(t->back.dst, (const __u32 *)s->key.src);
	reason = (enum reason)route_look(ctx, s);
	if (reason != NEXT)
		return (int)reason;
	backend_marks(s, t);
	reason = backend_edit(ctx, s, t);
	return reason == NEXT ? route_take(ctx, s) : (int)reason;
}

/* unknown_back: from a backend, but of no flow: what another node has opened is handed over; to the
 * node itself (our own probes' answers), it goes up.
 */
__noinline int unknown_back(struct xdp_md *ctx, struct scratch *s)
{
	if (!s)
		return REASON_DROP_INTERNAL;
	if (handover_has(bpf_ntohs((__be16)(s->p.ports >> 16))) && hand_over(ctx))
		return REASON_HANDED_OVER;
	__builtin_memcpy(s->to.src, s->p.src, sizeof(s->to.src));
	__builtin_memcpy(s->to.dst, s->p.dst, sizeof(s->to.dst));
	if (route_ask(ctx, s) == BPF_FIB_LKUP_RET_NOT_FWDED)
		return REASON_PASS_NO_SERVICE;
	return hand_over(ctx) ? REASON_HANDED_OVER : REASON_DROP_NO_FLOW;
}

/* tracked_back: from a backend of such services. What goes to a port that another node gives out is
 * that node's to translate, while it can be asked: it may have given it to another flow since.
 */
__noinline int tracked_back(struct xdp_md *ctx, struct scratch *s)
{
	const struct flow_key *key;
	struct translation *t;

	if (!s || !segment_read(ctx, s))
		return REASON_DROP_INTERNAL;
	track_tuple(&s->p, &s->back);
	s->verdict = XDP_PASS;
	if (handover_has(bpf_ntohs(s->back.dport)) && hand_over(ctx))
		return REASON_HANDED_OVER;
	key = bpf_map_lookup_elem(&reverse, &s->back);
	if (key) {
		s->key = *key;
		t = bpf_map_lookup_elem(&translations, &s->key);
		if (t)
			return backend_send(ctx, s, t);
	}
	key = bpf_map_lookup_elem(&claims, &s->back);
	if (!key)
		return REASON_DROP_NO_FLOW;
	s->key = *key;
	t = bpf_map_lookup_elem(&nascent, &s->key);
	if (!t || !track_same(&t->back, &s->back))
		return REASON_DROP_NO_FLOW;
	return backend_send(ctx, s, t);
}

#endif
