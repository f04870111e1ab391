/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tell.h: user space hears of flows that a partner could not know by itself. Dead code without
 * FEATURE_SYNC; with it, off the way of established packets.
 */
#ifndef SLUICE_BPF_TELL_H
#define SLUICE_BPF_TELL_H

#include "bpf/explain.h"
#include "bpf/maps.h"

/* exception_tell: what became of the flow, user space reads from its map. The ring wakes its reader
 * only when that has read all: under load it does so at intervals of its own.
 */
static __always_inline void exception_tell(const struct flow_key *key, __u16 what)
{
	struct exception e = {.key = *key, .what = what};
	__u32 zero = 0;
	__u64 *lost;

	if (!(features & FEATURE_SYNC) || dry_run())
		return;
	if (!bpf_ringbuf_output(&exceptions, &e, sizeof(e), 0) || what == EXCEPTION_NASCENT)
		return;
	lost = bpf_map_lookup_elem(&exceptions_lost, &zero);
	if (lost)
		++*lost;
}

/* embryo_tell: of a SYN. A flood of them leaves the ring to what must not be lost. */
static __always_inline void embryo_tell(const struct flow_key *key, __u32 backend)
{
	struct exception e = {.key = *key, .what = EXCEPTION_EMBRYO, .backend = (__u16)backend};

	if (!(features & FEATURE_SYNC) || dry_run() ||
	    bpf_ringbuf_query(&exceptions, BPF_RB_AVAIL_DATA) >= EMBRYOS_BYTES)
		return;
	bpf_ringbuf_output(&exceptions, &e, sizeof(e), 0);
}

#endif
