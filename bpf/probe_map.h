/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* probe_map.h: the map that probe.bpf.c writes and probe_back.h reads. */
#ifndef SLUICE_BPF_PROBE_MAP_H
#define SLUICE_BPF_PROBE_MAP_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "bpf/abi_probe.h"

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PROBE_RETURNS);
	__type(key, struct tuple);
	__type(value, struct probe_return);
} probe_returns SEC(".maps");

static __always_inline __u32 probe_now_s(void)
{
	return (__u32)(bpf_ktime_get_ns() / 1000000000ULL);
}

/* probe_is_over: its tuple may be another's. */
static __always_inline int probe_is_over(const struct probe_return *r, __u32 now_s)
{
	return (__s32)(now_s - r->until_s) > 0;
}

#endif
