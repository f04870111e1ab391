/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* count.h: the last stage, and the counters that other stages touch: per CPU, so plain additions.
 *
 * A packet that is not forwarded adds one to exactly one of the reasons pass_* and drop_*; the
 * other reasons tell what else happened to a forwarded one. A service counts what arrived for it, a
 * backend what was sent to it; user space adds the backends' up to tell how many were forwarded, to
 * spare each of them a counter.
 */
#ifndef SLUICE_BPF_COUNT_H
#define SLUICE_BPF_COUNT_H

#include "bpf/explain.h"
#include "bpf/maps.h"
#include "bpf/parse.h"

static __always_inline void count_reason(__u32 reason)
{
	__u64 *packets;

	if (note_reason(reason))
		return;
	packets = bpf_map_lookup_elem(&reasons, &reason);
	if (packets)
		++*packets;
}

static __always_inline void count_service(const struct packet *p, __u32 id)
{
	struct service_stats *stats;

	if (note_service(p, id))
		return;
	stats = bpf_map_lookup_elem(&service_stats, &id);
	if (!stats)
		return;
	stats->packets++;
	stats->bytes += p->len_bytes;
	if (p->kind == PACKET_SYN)
		stats->syns++;
}

static __always_inline void count_backend(const struct packet *p, __u32 backend)
{
	struct backend_stats *stats = bpf_map_lookup_elem(&backend_stats, &backend);

	if (!stats)
		return;
	stats->packets++;
	stats->bytes += p->len_bytes;
}

/* count_syn: a SYN for @backend, if that is one. @again: it had come before
 *
 * Not inlined, as little of what packets do comes here.
 */
static __noinline void count_syn(__u32 backend, __u32 again)
{
	struct backend_stats *stats;

	if (dry_run())
		return;
	stats = bpf_map_lookup_elem(&backend_stats, &backend);
	if (!stats)
		return;
	stats->syns++;
	stats->again += !!again;
}

static __noinline void count_reset(__u32 backend)
{
	struct backend_stats *stats;

	if (dry_run())
		return;
	stats = bpf_map_lookup_elem(&backend_stats, &backend);
	if (stats)
		stats->resets++;
}

/* count_waiting: by @more, which may be -1: of the sum over the CPUs only is it true. */
static __always_inline void count_waiting(__u32 backend, __s64 more)
{
	struct backend_stats *stats;

	if (dry_run())
		return;
	stats = bpf_map_lookup_elem(&backend_stats, &backend);
	if (stats)
		stats->waiting += (__u64)more;
}

/* An entry was put into `flows`. */
static __always_inline void count_opened(__u32 service, __u32 backend)
{
	struct service_stats *of_service;
	struct backend_stats *of_backend;

	if (dry_run())
		return;
	of_service = bpf_map_lookup_elem(&service_stats, &service);
	of_backend = bpf_map_lookup_elem(&backend_stats, &backend);
	if (of_service)
		of_service->flows++;
	if (of_backend)
		of_backend->opened++;
}

/* An entry of `flows` stopped being live. */
static __always_inline void count_closed(__u32 backend)
{
	struct backend_stats *stats;

	if (dry_run())
		return;
	stats = bpf_map_lookup_elem(&backend_stats, &backend);
	if (stats)
		stats->closed++;
}

#endif
