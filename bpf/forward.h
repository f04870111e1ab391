/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* forward.h: the stage that sends a packet to its backend.
 *
 * dsr: only the Ethernet addresses change, so that the backend sees the client's packet and answers
 * it itself. Every other mode is a function in a header of its own, and a case here; those
 * functions are not inlined, so that they cost dsr nothing.
 */
#ifndef SLUICE_BPF_FORWARD_H
#define SLUICE_BPF_FORWARD_H

#include "bpf/maps.h"
#include "bpf/parse.h"
#include "bpf/tunnel.h"

#define MAC_PAIR 12 /* bytes: both addresses of a frame, in its order */
_Static_assert(__builtin_offsetof(struct backend, l2_src) == 6, "l2_dst and l2_src in one copy");

/* forward_macs: address the frame to the backend's next hop. The frame's Ethernet header was
 * checked by parse(); the verifier wants to see it again.
 */
static __always_inline enum reason forward_macs(struct xdp_md *ctx, const struct backend *to)
{
	void *frame = (void *)(long)ctx->data;
	const struct {
		__u64 a;
		__u32 b;
	} *macs = (const void *)to;

	if (unlikely(frame + MAC_PAIR > (void *)(long)ctx->data_end))
		return REASON_DROP_TRUNCATED;
	*(__u64 *)frame = macs->a;
	*(__u32 *)(frame + 8) = macs->b;
	return NEXT;
}

/* forward_mode: what a mode other than dsr does to the packet before it gets its addresses. */
static __always_inline enum reason forward_mode(struct xdp_md *ctx, const struct service *service,
						const struct packet *p, const struct backend *to)
{
	struct place at = place_of(p);

	switch (service->mode) {
	case FORWARD_TUNNEL:
		return (enum reason)tunnel(ctx, &at, to, packet_hash(hash_key, p));
	default:
		return REASON_DROP_INTERNAL;
	}
}

/* forward: rewrite the frame for backend @number and set the XDP verdict. */
static __always_inline enum reason forward(struct xdp_md *ctx, const struct service *service,
					   const struct packet *p, __u32 number, int *ret_verdict)
{
	const struct backend *to = bpf_map_lookup_elem(&backends, &number);
	enum reason reason = NEXT;

	if (unlikely(!to || !(to->flags & BACKEND_ALIVE)))
		return REASON_DROP_NO_BACKEND;
	if (unlikely(service->mode != FORWARD_DSR))
		reason = forward_mode(ctx, service, p, to);
	if (likely(reason == NEXT))
		reason = forward_macs(ctx, to);
	if (unlikely(reason != NEXT))
		return reason;
	*ret_verdict = XDP_TX;
	if (to->ifindex != ifindex)
		*ret_verdict = (int)bpf_redirect(to->ifindex, 0);
	return NEXT;
}

#endif
