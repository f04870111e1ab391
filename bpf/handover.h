/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* handover.h: packets of flows that this node does not know, and a partner may.
 *
 * While traffic moves from one node to the other, a handshake's packets are divided between them,
 * faster than lb/ can tell: the SYN went by one, the SYN-ACK (fullnat) or the client's ACK comes by
 * the other. What would be answered by a RST, or guessed, is sent on to the node that saw the SYN:
 * by the active one for a moment after it took over, by a backup always (`handovers`). The data
 * plane of both is armed, so it goes its way there. A packet that came from the partner is never
 * sent back. Packets whose flow is known do not get here.
 */
#ifndef SLUICE_BPF_HANDOVER_H
#define SLUICE_BPF_HANDOVER_H

#include <linux/if_ether.h>

#include "bpf/maps.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HANDOVERS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct handover);
} handovers SEC(".maps");

/* handover_now: whom this node would ask now; NULL = nobody. */
static __always_inline const struct handover *handover_now(void)
{
	__u32 key = ifindex;
	const struct handover *to;

	if (!(features & FEATURE_SYNC))
		return NULL;
	to = bpf_map_lookup_elem(&handovers, &key);
	return to && to->until_ns > bpf_ktime_get_ns() ? to : NULL;
}

/* hand_over: the frame, as it came, gets the partner's MAC. 0: it did not, nothing is changed. */
static __always_inline int hand_over(struct xdp_md *ctx)
{
	__u16 *mac = (void *)(long)ctx->data;
	const volatile __u16 *own = (const volatile __u16 *)own_mac;
	const struct handover *to = handover_now();
	const __u16 *partner;

	if (!to || (void *)(mac + 6) > (void *)(long)ctx->data_end)
		return 0;
	partner = (const __u16 *)to->mac;
	if (!((mac[3] ^ partner[0]) | (mac[4] ^ partner[1]) | (mac[5] ^ partner[2])))
		return 0;
	for (int i = 0; i < 3; i++) {
		mac[i] = partner[i];
		mac[i + 3] = own[i];
	}
	return 1;
}

/* handover_has: is @port (host order) one of those that other nodes give out as sources? */
static __always_inline int handover_has(__u32 port)
{
	const struct handover *to;

	if (port >= nat_port_first && port <= nat_port_last)
		return 0; /* most of them: nothing is looked up */
	to = handover_now();
	return to && port >= to->port_first && port <= to->port_last;
}

#endif
