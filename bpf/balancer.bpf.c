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
#include "bpf/flow.h"
#include "bpf/forward.h"
#include "bpf/maps.h"
#include "bpf/parse.h"
#include "bpf/service.h"

static __always_inline int stop(enum reason reason)
{
	count_reason(reason);
	return reason < REASON_DROP_TRUNCATED ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int balancer(struct xdp_md *ctx)
{
	const struct service *service;
	struct packet p;
	enum reason reason;
	__u32 backend = BACKEND_NONE;
	int verdict = XDP_DROP;

	reason = parse((void *)(long)ctx->data, (void *)(long)ctx->data_end,
		       (const volatile __u64 *)own_mac, &p);
	if (unlikely(reason != NEXT))
		return stop(reason);
	service = service_find(&p);
	if (!service)
		return stop(REASON_PASS_NO_SERVICE);
	count_service(&p, service->id);
	reason = flow_pick(&p, service, &backend);
	if (unlikely(reason != NEXT))
		return stop(reason);
	reason = forward(ctx, service, backend, &verdict);
	if (unlikely(reason != NEXT))
		return stop(reason);
	count_backend(&p, backend);
	return verdict;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
