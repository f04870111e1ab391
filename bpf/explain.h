/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* explain.h: what the stages tell of a packet, for `sluice explain` and `sluice trace`.
 *
 * In the program in service `seeing` is 0: the kernel then removes all of this as dead code when it
 * loads the program. A second instance tells, in `explanation`, what each stage found, where it
 * found it:
 *
 * SEEING_EXPLAIN: a dry run on the maps in service. Whoever writes to a map returns early when
 * dry_run(), so that nothing but `explanation` changes; a note_*() that a counter begins with says
 * whether to return. The one exception to "the same way" is what depends on such a write.
 *
 * SEEING_TRACE: packets go their way, counted as ever; note_end() sends the record of one that the
 * filter wants to `trace_events`.
 */
#ifndef SLUICE_BPF_EXPLAIN_H
#define SLUICE_BPF_EXPLAIN_H

#include "bpf/maps.h"
#include "bpf/parse.h"

static __always_inline int dry_run(void)
{
	return unlikely(seeing & SEEING_EXPLAIN);
}

/* noted: the record of the packet; NULL in service. */
static __always_inline struct explanation *noted(void)
{
	__u32 zero = 0;

	return unlikely(seeing) ? bpf_map_lookup_elem(&explanation, &zero) : NULL;
}

/* ---- the stages, in the order of a packet's way ----
 *
 * Each is a test of `seeing`, for the program in service, and a function that is not inlined, so
 * that the registers of the way of most packets do not feel it.
 */

static __noinline void note_packet_of(const struct packet *p)
{
	struct explanation *e = noted();
	__u32 *src, *dst;

	if (!e)
		return;
	__builtin_memset(e, 0, sizeof(*e));
	src = (__u32 *)e->tuple.src;
	dst = (__u32 *)e->tuple.dst;
	if (p->ipv6) {
		__builtin_memcpy(src, p->src, 12);
		__builtin_memcpy(dst, p->dst, 12);
	} else {
		src[2] = dst[2] = MAPPED_PREFIX;
	}
	src[3] = p->src[3];
	dst[3] = p->dst[3];
	e->tuple.sport = (__be16)p->ports;
	e->tuple.dport = (__be16)(p->ports >> 16);
	e->tuple.protocol = (__u8)p->protocol;
	e->len_bytes = p->len_bytes;
	e->kind = (__u8)p->kind;
	e->stages = STAGE_PARSED;
}

/* note_packet: a new record; every way of a packet begins with it. */
static __always_inline void note_packet(const struct packet *p)
{
	if (unlikely(seeing))
		note_packet_of(p);
}

static __noinline int note_service_of(const struct packet *p, __u32 id)
{
	struct explanation *e = noted();

	note_packet_of(p);
	if (e) {
		e->service = (__u16)id;
		e->stages |= STAGE_SERVICE;
	}
	return dry_run();
}

/* note_service: with note_packet(), as those who count a service do. 1: do not count. */
static __always_inline int note_service(const struct packet *p, __u32 id)
{
	return unlikely(seeing) ? note_service_of(p, id) : 0;
}

static __noinline int note_slot_of(__u64 hash, __u32 slot, __u32 owner, __u32 stamped)
{
	struct explanation *e = noted();

	if (!e)
		return 0;
	e->hash = hash;
	e->slot = slot;
	e->owner = (__u16)owner;
	e->stages |= STAGE_SLOT | (stamped ? STAGE_STAMPED : 0);
	return 0;
}

/* note_slot: @owner is its word; @stamp that of the flow's bucket */
static __always_inline void note_slot(__u64 hash, __u32 slot, __u32 owner, const __u8 *stamp,
				      const struct clock *now)
{
	if (unlikely(seeing))
		note_slot_of(hash, slot, owner, *stamp == now->stamp);
}

static __noinline int note_previous_of(__u32 previous, __u64 tag)
{
	struct explanation *e = noted();

	if (!e)
		return 0;
	e->previous = (__u16)previous;
	e->embryo = tag ? (__u16)tag : BACKEND_NONE;
	e->stages |= STAGE_PREVIOUS;
	return 0;
}

/* note_previous: the slot's previous owner, and the tag of the flow's embryo, or 0 */
static __always_inline void note_previous(__u32 previous, __u64 tag)
{
	if (unlikely(seeing))
		note_previous_of(previous, tag);
}

static __noinline int note_flow_of(const struct flow *f)
{
	struct explanation *e = noted();

	if (!e)
		return 0;
	e->stages |= STAGE_FLOWS;
	if (!f)
		return 0;
	e->stages |= STAGE_FLOW;
	e->flow_backend = f->backend;
	e->flow_seen = f->seen;
	e->flow_flags = (__u8)f->flags;
	return 0;
}

/* note_flow: what `flows` knew; NULL = nothing. */
static __always_inline void note_flow(const struct flow *f)
{
	if (unlikely(seeing))
		note_flow_of(f);
}

static __noinline int note_reason_of(__u32 reason)
{
	struct explanation *e = noted();

	if (e)
		e->reasons |= 1ULL << (reason & 63);
	return dry_run();
}

/* note_reason: one more reason is counted. 1: do not count. */
static __always_inline int note_reason(__u32 reason)
{
	return unlikely(seeing) ? note_reason_of(reason) : 0;
}

/* ---- the end ---- */

static __always_inline __u32 differ(const __u32 *a, const __u32 *b, const __u32 *mask)
{
	return ((a[0] ^ b[0]) & mask[0]) | ((a[1] ^ b[1]) & mask[1]) | ((a[2] ^ b[2]) & mask[2]) |
	       ((a[3] ^ b[3]) & mask[3]);
}

static __always_inline int trace_wants(const struct trace_filter *f, const struct explanation *e)
{
	if (differ((const __u32 *)e->tuple.src, f->client, f->client_mask) |
	    differ((const __u32 *)e->tuple.dst, f->vip, f->vip_mask))
		return 0;
	if ((f->port && f->port != e->tuple.dport) ||
	    (f->protocol && f->protocol != e->tuple.protocol) ||
	    (f->verdicts && !(f->verdicts & 1U << (e->verdict & 7))) ||
	    (f->reasons && !(f->reasons & e->reasons)))
		return 0;
	return f->sample < 2 || bpf_get_prandom_u32() % f->sample == 0;
}

/* Nobody is woken for a single event, which costs more than the rest together: user space looks by
 * itself some times a second.
 */
static __always_inline void trace_send(struct explanation *e)
{
	__u32 zero = 0;
	struct trace_filter *f = bpf_map_lookup_elem(&trace_filter, &zero);
	__u64 flags = BPF_RB_NO_WAKEUP;

	if (!f || !trace_wants(f, e))
		return;
	e->at_ns = bpf_ktime_get_ns();
	if (bpf_ringbuf_query(&trace_events, BPF_RB_AVAIL_DATA) > TRACE_WAKE_BYTES)
		flags = BPF_RB_FORCE_WAKEUP;
	if (bpf_ringbuf_output(&trace_events, e, sizeof(*e), flags))
		__sync_fetch_and_add(&f->lost, 1);
}

/* Global, so that the kernel verifies it once. */
__noinline int note_end_of(__u32 reason, __u32 backend, __u32 verdict)
{
	struct explanation *e = noted();

	if (!e)
		return 0;
	if (e->stages & STAGE_END) /* of another packet: no stage told of this one */
		__builtin_memset(e, 0, sizeof(*e));
	e->reason = (__u8)reason;
	e->reasons |= 1ULL << (reason & 63);
	e->backend = (__u16)backend;
	e->verdict = (__u8)verdict;
	e->stages |= STAGE_END;
	if (seeing & SEEING_TRACE)
		trace_send(e);
	return dry_run();
}

/* note_end: the packet's verdict is known. 1: do not count. */
static __always_inline int note_end(__u32 reason, __u32 backend, int verdict)
{
	return unlikely(seeing) ? note_end_of(reason, backend, (__u32)verdict) : 0;
}

#endif
