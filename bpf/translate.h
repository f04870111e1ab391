/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* translate.h: the second program: what nat and fullnat do with a packet.
 *
 * The first one jumps here (a tail call) with packets of services of these modes, and, where there
 * are such services, with fragments and with what no service wants, which may be a backend's
 * answer. So dsr and tunnel pay nothing for it, and it has a stack of its own; the packet is parsed
 * again, into `scratch`. Included by balancer.bpf.c behind the functions that both use.
 */
#ifndef SLUICE_BPF_TRANSLATE_H
#define SLUICE_BPF_TRANSLATE_H

#include "bpf/fullnat.h"
#include "bpf/nat.h"

static __always_inline int leave(const struct scratch *s, enum reason reason)
{
	if (reason != NEXT)
		return stop(reason);
	if (note_end(NEXT, s->backend, (int)s->verdict))
		return (int)s->verdict;
	if (s->backend != BACKEND_NONE)
		count_backend(&s->p, s->backend);
	return (int)s->verdict;
}

/* leave_in: of a client's packet: the client may be told. */
static __always_inline int leave_in(struct xdp_md *ctx, const struct scratch *s, enum reason reason)
{
	struct place at = place_of(&s->p);

	if (reason == REASON_DROP_TTL)
		reason = (enum reason)reply_icmp(ctx, &at, REASON_REPLY_TTL, 0);
	else if (reason == REASON_REPLY_RESET)
		reason = (enum reason)reply_reset(ctx, &at);
	else if (is_refused(&s->service, reason))
		reason = (enum reason)refuse(ctx, &s->p);
	return leave(s, reason);
}

static __always_inline int is_tracked(const struct service *service)
{
	return service->mode == FORWARD_FULLNAT || service->flags & SERVICE_STATEFUL;
}

/* A fragment that is not the first: addresses only, as the first one went. */
static __always_inline int translate_fragment(struct xdp_md *ctx, struct scratch *s)
{
	enum reason reason;

	note_packet(&s->p);
	reason = fragment_find(&s->p, &s->service, &s->backend);
	if (reason != NEXT)
		return stop(reason);
	if (s->service.flags & SERVICE_RETURN)
		return leave(s, (enum reason)nat_back(ctx, s, s->service.pool));
	count_service(&s->p, s->service.id);
	if (s->service.mode == FORWARD_FULLNAT)
		return stop(REASON_DROP_FRAGMENT);
	if (s->service.mode == FORWARD_NAT)
		return leave_in(ctx, s, (enum reason)nat_in(ctx, s));
	return send(ctx, &s->p, &s->service, s->backend);
}

/* A packet to a service of ours. */
static __always_inline int translate_in(struct xdp_md *ctx, struct scratch *s)
{
	enum reason reason;

	count_service(&s->p, s->service.id);
	if (is_tracked(&s->service)) {
		if (s->p.flags & PACKET_FIRST_FRAGMENT)
			return stop(REASON_DROP_FRAGMENT);
		return leave_in(ctx, s, (enum reason)tracked_in(ctx, s));
	}
	reason = flow_pick(&s->p, &s->service, &s->backend);
	if (reason == REASON_HANDED_OVER && !hand_over(ctx))
		reason = NEXT;
	if (reason != NEXT)
		return leave_in(ctx, s, reason);
	if (s->p.flags & PACKET_FIRST_FRAGMENT)
		fragment_remember(&s->p, &s->service, s->backend);
	return leave_in(ctx, s, (enum reason)nat_in(ctx, s));
}

/* A packet for which there is no service. */
static __always_inline int translate_back(struct xdp_md *ctx, struct scratch *s)
{
	__u32 port = s->p.ports & 0xffff;
	const struct return_to *to = return_find(&s->p, port);
	enum reason reason;

	note_packet(&s->p);
	if (!to)
		return balance_unserved(ctx, &s->p);
	if (to->flags & RETURN_TRACKED) {
		reason = (enum reason)tracked_back(ctx, s);
		if (reason != REASON_DROP_NO_FLOW)
			return leave(s, reason);
		if (!(to->flags & RETURN_ALONE))
			return leave(s, (enum reason)unknown_back(ctx, s));
	}
	return leave(s, (enum reason)nat_back(ctx, s, port));
}

SEC("xdp")
int translator(struct xdp_md *ctx)
{
	const struct service *service;
	enum reason reason;
	struct scratch *s;
	__u32 zero = 0;

	s = bpf_map_lookup_elem(&scratch, &zero);
	if (!(features & FEATURE_RETURN) || !s)
		return stop(REASON_DROP_INTERNAL);
	s->keep_ttl = 0;
	s->inner_seq_more = 0;
	s->opens = 0;
	s->backend = BACKEND_NONE;
	reason = (enum reason)look_closer(ctx, &s->p);
	note_packet(&s->p);
	if (reason != NEXT)
		return stop(reason);
	if (s->p.kind == PACKET_FRAGMENT)
		return translate_fragment(ctx, s);
	service = service_find(&s->p);
	if (!service)
		return translate_back(ctx, s);
	s->service = *service;
	if (s->service.mode < FORWARD_NAT) /* it was changed a moment ago */
		return stop(REASON_DROP_INTERNAL);
	return translate_in(ctx, s);
}

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
	__array(values, int(struct xdp_md *));
} programs SEC(".maps") = {.values = {[0] = (void *)&translator}};

/* translate: go on there. */
static __always_inline int translate(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &programs, 0);
	return stop(REASON_DROP_INTERNAL);
}

#endif
