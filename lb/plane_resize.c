/* SPDX-License-Identifier: BSD-2-Clause */
/* plane_resize.c: maps that get another size: a new one takes the place of the old one, whose
 * entries are copied; again when all programs have changed over, for what the old ones still put
 * there.
 *
 * All of it happens in one turn of the event loop, so all copies of a plan have one deadline, well
 * below the 10 s after which the parent takes us for dead. The first copy is of everything, into a
 * map that nobody uses yet; the second one is beside the new programs, whose entries are newer: it
 * takes only what was seen since the first, and replaces nothing.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "lb/plane.h"

enum { COPY_BATCH = 4096 };

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

/* One map into another. */
struct copy {
	int from, to;
	bool fresh;		       /* nobody uses @to yet */
	bool layout_1;		       /* @from is a flow table of version 1 */
	size_t key_bytes, value_bytes; /* of @to */
	size_t seen_at;		       /* of the FLOW_EPOCH in a value; beyond it: there is none */
	uint16_t since;		       /* unless fresh: what was not seen since then is there */
	uint8_t *keys, *values;	       /* COPY_BATCH, as @from has them */
	uint8_t *to_keys, *to_values;
};

struct copied {
	uint32_t seen, there; /* entries that were read, and that @to has now */
	bool whole;
};

static int copy_init(struct copy *c)
{
	struct bpf_map_info from = plane_map_info(c->from), to = plane_map_info(c->to);

	if (!from.key_size || !to.key_size)
		return -EBADF;
	c->layout_1 = plane_flows_older(&from);
	if (!c->layout_1 && (from.key_size != to.key_size || from.value_size != to.value_size))
		return -EPROTO;
	c->key_bytes = to.key_size;
	c->value_bytes = to.value_size;
	c->keys = calloc(COPY_BATCH, from.key_size);
	c->values = calloc(COPY_BATCH, from.value_size);
	c->to_keys = c->layout_1 ? calloc(COPY_BATCH, to.key_size) : c->keys;
	c->to_values = c->layout_1 ? calloc(COPY_BATCH, to.value_size) : c->values;
	return c->keys && c->values && c->to_keys && c->to_values ? 0 : -ENOMEM;
}

static void copy_fini(struct copy *c)
{
	if (c->to_keys != c->keys)
		free(c->to_keys);
	if (c->to_values != c->values)
		free(c->to_values);
	free(c->keys);
	free(c->values);
}

/* Into one that nobody uses: how many of @n are there. */
static uint32_t batch_put(const struct copy *c, uint32_t n)
{
	uint32_t put = n;

	if (bpf_map_update_batch(c->to, c->to_keys, c->to_values, &put, NULL) < 0)
		return put < n ? put : 0;
	return n;
}

static bool is_older(const struct copy *c, const uint8_t *value)
{
	uint16_t seen;

	if (c->seen_at + sizeof(seen) > c->value_bytes)
		return false;
	memcpy(&seen, value + c->seen_at, sizeof(seen));
	return (int16_t)(uint16_t)(seen - c->since) < 0;
}

/* Beside programs that use it: likewise. */
static uint32_t batch_add(const struct copy *c, uint32_t n)
{
	uint32_t there = 0;

	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *value = c->to_values + i * c->value_bytes;
		int r = is_older(c, value)
				? -EEXIST
				: bpf_map_update_elem(c->to, c->to_keys + i * c->key_bytes, value,
						      BPF_NOEXIST);

		there += r == 0 || r == -EEXIST;
	}
	return there;
}

static uint32_t copy_batch(const struct copy *c, uint32_t n)
{
	for (uint32_t i = 0; c->layout_1 && i < n; i++)
		flow_of_1((const struct flow_key_1 *)(void *)c->keys + i,
			  (const struct flow_1 *)(void *)c->values + i,
			  (struct flow_key *)(void *)c->to_keys + i,
			  (struct flow *)(void *)c->to_values + i);
	return c->fresh ? batch_put(c, n) : batch_add(c, n);
}

/* A map that is full takes no more: what it would not take is not tried. */
static struct copied copy_run(struct copy *c, uint64_t until_ms)
{
	struct copied done = {0};
	uint32_t position, n;
	int r = copy_init(c);

	for (bool first = true; r == 0 && done.seen == done.there; first = false) {
		if (clock_ms() >= until_ms)
			break;
		n = COPY_BATCH;
		r = bpf_map_lookup_batch(c->from, first ? NULL : &position, &position, c->keys,
					 c->values, &n, NULL);
		if (r < 0 && r != -ENOENT)
			break;
		done.there += copy_batch(c, n);
		done.seen += n;
	}
	done.whole = r == -ENOENT && done.seen == done.there;
	copy_fini(c);
	return done;
}

void plane_copies_begin(struct plane *plane)
{
	plane->copy_until_ms = clock_ms() + PLANE_COPY_MS;
}

/* What is copied without a plan around it has a time of its own. */
static uint64_t copy_until_ms(const struct plane *plane, bool fresh)
{
	uint64_t until = plane->copy_until_ms ? plane->copy_until_ms : clock_ms() + PLANE_COPY_MS;

	return until + (fresh ? 0 : PLANE_COPY_AGAIN_MS);
}

static uint16_t epoch_now(const struct plane *plane)
{
	return plane->clock ? FLOW_EPOCH(plane->clock->now_s) : 0;
}

/* A flow that is left out is sent to its slot's owner with its next packet, or in transition to the
 * previous owner.
 */
void plane_flows_copy(struct plane *plane, bool fresh)
{
	uint16_t began = epoch_now(plane);
	struct copy c = {.from = plane->old_flows,
			 .to = plane->maps[MAP_FLOWS],
			 .fresh = fresh,
			 .seen_at = plane->copied ? offsetof(struct flow, seen) : SIZE_MAX / 2,
			 .since = plane->copied_epoch};
	struct copied done = copy_run(&c, copy_until_ms(plane, fresh));

	if (fresh) {
		plane->copied = done.whole;
		plane->copied_epoch = (uint16_t)(began - 1);
	}
	if (done.whole)
		log_info("flow table copied: flows=%u", done.there);
	else
		log_warning("flow table copied in part: flows=%u of=%u+", done.there, done.seen);
}

void plane_translations_copy(struct plane *plane, bool fresh)
{
	struct copy back = {.from = plane->old_reverse,
			    .to = plane->maps[MAP_REVERSE],
			    .fresh = fresh,
			    .seen_at = SIZE_MAX / 2};
	struct copy there = {.from = plane->old_translations,
			     .to = plane->maps[MAP_TRANSLATIONS],
			     .fresh = fresh,
			     .seen_at = SIZE_MAX / 2};

	if (plane->old_reverse >= 0)
		copy_run(&back, copy_until_ms(plane, fresh));
	if (plane->old_translations >= 0 && !copy_run(&there, copy_until_ms(plane, fresh)).whole)
		log_warning("translations copied in part");
}
