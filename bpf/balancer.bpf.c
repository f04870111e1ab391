// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* balancer.bpf.c: a packet's way through the node, a stage at a time.
 *
 * One program is loaded for each interface, with its settings in .rodata (maps.h); all share their
 * maps. A stage is one function in one header and returns NEXT or the reason for which the packet
 * goes no further; the reason decides between passing up and dropping. doc/architecture.md tells
 * the same way in words.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "bpf/count.h"
#include "bpf/explain.h"
#include "bpf/flow.h"
#include "bpf/forward.h"
#include "bpf/fragment.h"
#include "bpf/handover.h"
#include "bpf/maps.h"
#include "bpf/parse.h"
#include "bpf/probe_back.h"
#include "bpf/reply.h"
#include "bpf/service.h"

static __always_inline int stop(enum reason reason)
{
	int verdict = reason < REASON_DROP_TRUNCATED ? XDP_PASS : XDP_DROP;

	if (reason >= REASON_REPLY_RESET)
		verdict = XDP_TX;
	count_reason(reason);
	note_end(reason, BACKEND_NONE, verdict);
	return verdict;
}

/* refuse: a packet of a pool that has nobody for it, to whom that is to be said at once. */
static __noinline int refuse(struct xdp_md *ctx, const struct packet *p)
{
	struct place at = place_of(p);
	int reason = p->protocol == IPPROTO_TCP ? reply_reset(ctx, &at)
						: reply_icmp(ctx, &at, REASON_REPLY_UNREACHABLE, 0);

	return reason == REASON_DROP_NOT_SERVED ? REASON_DROP_NO_BACKEND : reason;
}

static __always_inline int is_refused(const struct service *service, enum reason reason)
{
	return reason == REASON_DROP_NO_BACKEND && service->flags & SERVICE_REJECT;
}

/* send: the last two stages. */
static __always_inline int send(struct xdp_md *ctx, const struct packet *p,
				const struct service *service, __u32 backend)
{
	int verdict = XDP_DROP;
	enum reason reason = forward(ctx, service, p, backend, &verdict);

	if (unlikely(reason != NEXT)) {
		if (is_refused(service, reason))
			reason = (enum reason)refuse(ctx, p);
		return stop(reason);
	}
	if (note_end(NEXT, backend, verdict))
		return verdict;
	count_backend(p, backend);
	return verdict;
}

static __always_inline __u32 frame_bytes_of(struct xdp_md *ctx)
{
	if (features & FEATURE_FRAMES)
		return (__u32)bpf_xdp_get_buff_len(ctx);
	return (__u32)(ctx->data_end - ctx->data);
}

/* These two are global, so that the kernel verifies each once and not for each way through the
 * rest.
 */
__noinline int look_inside(struct xdp_md *ctx, struct packet *p)
{
	if (!p)
		return REASON_DROP_INTERNAL;
	return (int)parse_quoted((void *)(long)ctx->data, (void *)(long)ctx->data_end, p);
}

__noinline int look_closer(struct xdp_md *ctx, struct packet *ret_packet)
{
	int reason;

	if (!ret_packet)
		return REASON_DROP_INTERNAL;
	reason = (int)parse_closely((void *)(long)ctx->data, (void *)(long)ctx->data_end,
				    frame_bytes_of(ctx), ret_packet);
	return reason == LOOK_INSIDE ? look_inside(ctx, ret_packet) : reason;
}

/* A packet that goes no further than the first stage: what can be read of it is told all the same.
 */
static __always_inline void note_unparsed(struct xdp_md *ctx, struct packet *p)
{
	if (likely(!seeing))
		return;
	look_closer(ctx, p);
	note_packet(p);
}

/* A fragment that is not the first of its packet. */
static __noinline int balance_fragment(struct xdp_md *ctx, const struct packet *p)
{
	__u32 backend = BACKEND_NONE;
	struct service service;
	enum reason reason;

	note_packet(p);
	reason = fragment_find(p, &service, &backend);
	if (reason != NEXT)
		return stop(reason);
	count_service(p, service.id);
	return send(ctx, p, &service, backend);
}

/* A packet for which there is no service. */
static __always_inline int balance_unserved(struct xdp_md *ctx, const struct packet *p)
{
	const struct service *vip;
	struct place at;

	note_packet(p);
	if (features & FEATURE_PROBES) {
		enum reason reason = (enum reason)probe_back(ctx, p);

		if (reason != NEXT)
			return stop(reason);
	}
	if (!(features & FEATURE_VIPS))
		return stop(REASON_PASS_NO_SERVICE);
	vip = vip_find(p);
	if (!vip || vip->mode == VIP_PASS)
		return stop(REASON_PASS_NO_SERVICE);
	if (vip->mode != VIP_REJECT)
		return stop(REASON_DROP_NOT_SERVED);
	if (source_bad(p))
		return stop(REASON_DROP_BAD_ADDRESS);
	at = place_of(p);
	if (p->protocol == IPPROTO_TCP)
		return stop((enum reason)reply_reset(ctx, &at));
	return stop((enum reason)reply_icmp(ctx, &at, REASON_REPLY_UNREACHABLE, 0));
}

#include "bpf/translate.h"

SEC("xdp")
int balancer(struct xdp_md *ctx)
{
	__u32 backend = BACKEND_NONE;
	const struct service *service;
	struct packet p;
	enum reason reason;

	reason = parse((void *)(long)ctx->data, (void *)(long)ctx->data_end, frame_bytes_of(ctx),
		       (const volatile __u64 *)own_mac, features & FEATURE_VMAC ? vrids : 0, &p);
	if (unlikely(reason == LOOK_CLOSER))
		reason = (enum reason)look_closer(ctx, &p);
	if (unlikely(reason != NEXT)) {
		note_unparsed(ctx, &p);
		return stop(reason);
	}
	if (unlikely(p.kind == PACKET_FRAGMENT))
		return features & FEATURE_RETURN ? translate(ctx) : balance_fragment(ctx, &p);
	service = service_find(&p);
	if (!service)
		return features & FEATURE_RETURN ? translate(ctx) : balance_unserved(ctx, &p);
	if (unlikely(service->mode >= FORWARD_NAT))
		return translate(ctx);
	count_service(&p, service->id);
	reason = flow_pick(&p, service, &backend);
	if (unlikely(reason == REASON_REPLY_RESET)) {
		struct place at = place_of(&p);

		reason = (enum reason)reply_reset(ctx, &at);
	}
	if (unlikely(reason == REASON_HANDED_OVER) && !hand_over(ctx))
		reason = NEXT;
	if (unlikely(reason != NEXT))
		return stop(reason);
	if (unlikely(p.flags & PACKET_FIRST_FRAGMENT))
		fragment_remember(&p, service, backend);
	return send(ctx, &p, service, backend);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
