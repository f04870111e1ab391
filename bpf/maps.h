/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* maps.h: the maps and the settings of the program; abi.h says what they hold.
 *
 * Sizes of `flows`, `embryos`, `recent` and of the inner map of `tables` are set by user space
 * before the program is loaded; here are the smallest that load. The inner map lacks
 * BPF_F_INNER_MAP on purpose: with a fixed size the kernel inlines its look-ups. User space writes
 * `backends` and `clock` through mmap.
 */
#ifndef SLUICE_BPF_MAPS_H
#define SLUICE_BPF_MAPS_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "bpf/abi.h"

/* Settings: one program for an interface. */
const volatile __u8 own_mac[8] __attribute__((aligned(8))) = {}; /* the last two bytes are 0 */
const volatile __u32 ifindex = 0;				 /* of that interface */
const volatile __u32 slots = SLOTS_DEFAULT;			 /* of every pool's table */
const volatile __u32 embryo_mask = EMBRYOS_DEFAULT - 1;		 /* max_entries of `embryos` - 1 */
const volatile __u32 features = 0;				 /* FEATURE_* */
const volatile __u32 vrids[VRID_BITS / 32] = {};		 /* FEATURE_VMAC */
const volatile __u32 seeing = 0;				 /* SEEING_* */
const volatile __u64 hash_key[HASH_KEY_WORDS] = {};
const volatile __u16 nat_port_first = 1024; /* fullnat: this node's source ports */
const volatile __u16 nat_port_last = 32767;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * SERVICE_MAX); /* and the VIPs' records */
	__type(key, struct service_key);
	__type(value, struct service);
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SERVICE_LINES);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct service_line);
} service_lines SEC(".maps");

struct slots_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * SLOTS_WORDS(SLOTS_DEFAULT));
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct slots4)); /* __type() is lost in an inner map */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, POOL_MAX);
	__type(key, __u32);
	__array(values, struct slots_map);
} tables SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BACKEND_MAX);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct backend);
} backends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct flow_key);
	__type(value, struct flow);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, EMBRYOS_DEFAULT);
	__type(key, __u32);
	__type(value, struct embryo);
} embryos SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FRAGMENTS);
	__type(key, __u32);
	__type(value, struct fragment);
} fragments SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RECENT_LINES); /* times the possible CPUs */
	__type(key, __u32);
	__type(value, struct recent64);
} recent SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct clock);
} clock SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SERVICE_MAX);
	__type(key, __u32);
	__type(value, struct service_stats);
} service_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, BACKEND_MAX);
	__type(key, __u32);
	__type(value, struct backend_stats);
} backend_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REASON_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} reasons SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EXCEPTIONS_BYTES);
} exceptions SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} exceptions_lost SEC(".maps");

/* Of an instance that tells of its packets; the program in service is loaded without these. */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct explanation);
} explanation SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct trace_filter);
} trace_filter SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, TRACE_RING_BYTES);
} trace_events SEC(".maps");

#endif
