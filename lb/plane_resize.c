/* SPDX-License-Identifier: BSD-2-Clause */
/* plane_resize.c: maps that get another size: a new one takes the place of the old one, whose
 * entries are copied; again when all programs have changed over, for what the old ones still put
 * there.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "lb/plane.h"

enum { COPY_BATCH = 4096, COPY_LIMIT_MS = 5000 };

static uint32_t map_entries(int fd)
{
	struct bpf_map_info info = {0};
	uint32_t size = sizeof(info);

	return fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &size) == 0 ? info.max_entries : 0;
}

uint32_t plane_translations(const struct settings *settings)
{
	return settings->features & FEATURE_RETURN ? settings->flow_limit : 1;
}

uint32_t plane_nascent(const struct settings *settings)
{
	return settings->features & FEATURE_RETURN ? NASCENT_DEFAULT : 1;
}

uint32_t plane_probe_returns(const struct settings *settings)
{
	return settings->features & FEATURE_PROBES ? PROBE_RETURNS : 1;
}

/* A map of another size is replaced: the old one is kept until its entries are copied. */
void plane_map_outgrow(struct plane *plane, enum plane_map map, uint32_t entries, int *old)
{
	if (plane->maps[map] < 0 || map_entries(plane->maps[map]) == entries)
		return;
	if (*old >= 0)
		close(*old);
	*old = plane->maps[map];
	plane->maps[map] = -1;
}

/* Of any kind, one by one: there are few when fullnat begins to be used, and it is rare. */
static void map_copy(int from, int to, uint32_t key_bytes, uint32_t value_bytes)
{
	uint8_t key[64], next[64], value[128], *at = NULL;
	uint64_t until = clock_ms() + COPY_LIMIT_MS;

	if (from < 0 || key_bytes > sizeof(key) || value_bytes > sizeof(value))
		return;
	while (clock_ms() < until && bpf_map_get_next_key(from, at, next) == 0) {
		memcpy(key, next, key_bytes);
		at = key;
		if (bpf_map_lookup_elem(from, key, value) == 0)
			bpf_map_update_elem(to, key, value, BPF_NOEXIST);
	}
}

void plane_translations_copy(const struct plane *plane)
{
	map_copy(plane->old_reverse, plane->maps[MAP_REVERSE], sizeof(struct tuple),
		 sizeof(struct flow_key));
	map_copy(plane->old_translations, plane->maps[MAP_TRANSLATIONS], sizeof(struct flow_key),
		 sizeof(struct translation));
}

/* As in version 1. */
struct flow_key_1 {
	uint8_t src[16], dst[16];
	__be16 sport, dport;
	uint8_t protocol, pad[3];
};
_Static_assert(sizeof(struct flow_key_1) == 40, "flow_key_1");

struct flow_1 {
	uint16_t backend, service;
	uint32_t flags, seen_s, slot;
};
_Static_assert(sizeof(struct flow_1) == 16, "flow_1");

struct bpf_map_info plane_map_info(int fd)
{
	struct bpf_map_info info = {0};
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &size) < 0)
		memset(&info, 0, sizeof(info));
	return info;
}

bool plane_flows_older(const struct bpf_map_info *info)
{
	return info->type == BPF_MAP_TYPE_HASH && info->key_size == sizeof(struct flow_key_1) &&
	       info->value_size == sizeof(struct flow_1);
}

static void flow_of_1(const struct flow_key_1 *key_1, const struct flow_1 *flow_1,
		      struct flow_key *ret_key, struct flow *ret_flow)
{
	*ret_key = (struct flow_key){.sport = key_1->sport, .service = flow_1->service};
	memcpy(ret_key->src, key_1->src, sizeof(ret_key->src));
	*ret_flow = (struct flow){.flags = flow_1->flags & FLOW_CLOSING,
				  .backend = flow_1->backend,
				  .seen = FLOW_EPOCH(flow_1->seen_s)};
}

/* copy_batch: how many of @n entries are in @to then. */
static uint32_t copy_batch(int to, bool layout_1, const void *keys, const void *flows, uint32_t n)
{
	uint32_t copied = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct flow_key key;
		struct flow flow;
		int r;

		if (layout_1) {
			flow_of_1((const struct flow_key_1 *)keys + i,
				  (const struct flow_1 *)flows + i, &key, &flow);
		} else {
			key = ((const struct flow_key *)keys)[i];
			flow = ((const struct flow *)flows)[i];
		}
		r = bpf_map_update_elem(to, &key, &flow, BPF_NOEXIST);
		copied += r == 0 || r == -EEXIST;
	}
	return copied;
}

/* Bounded in time: a flow that is left out is sent to its slot's owner with its next packet, or in
 * transition to the previous owner.
 */
void plane_flows_copy(struct plane *plane)
{
	int from = plane->old_flows, to = plane->maps[MAP_FLOWS];
	struct bpf_map_info info = plane_map_info(from);
	void *keys = calloc(COPY_BATCH, info.key_size ? info.key_size : 1);
	void *flows = calloc(COPY_BATCH, info.value_size ? info.value_size : 1);
	uint64_t until = clock_ms() + COPY_LIMIT_MS;
	uint32_t position, n, copied = 0, seen = 0;
	int r = !keys || !flows ? -ENOMEM : info.key_size ? 0 : -EBADF;

	for (bool first = true; r == 0 && clock_ms() < until; first = false) {
		n = COPY_BATCH;
		r = bpf_map_lookup_batch(from, first ? NULL : &position, &position, keys, flows, &n,
					 NULL);
		if (r < 0 && r != -ENOENT)
			break;
		copied += copy_batch(to, plane_flows_older(&info), keys, flows, n);
		seen += n;
	}
	free(keys);
	free(flows);
	if (r == -ENOENT && copied == seen)
		log_info("flow table copied: flows=%u", copied);
	else
		log_warning("flow table copied in part: flows=%u of=%u%s", copied, seen,
			    r == -ENOENT ? "" : "+");
}
