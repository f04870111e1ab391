/* SPDX-License-Identifier: BSD-2-Clause */
/* plane_service.c: the maps `services` and `service_lines`, and the records of the VIPs.
 *
 * `services` is the truth, `service_lines` its front: a line is empty, or the record of the one
 * service whose key hashes to it, or it says that `services` is to be asked. A packet reads a line
 * without a lock: so its state is written last, its service is one word, and it is given another
 * key only after every packet that may be reading the old one is through: one wait for all lines
 * that were cleared before it.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bpf/hash.h"
#include "lb/plane.h"

/* packets_wait: until the packets that are in the program now are through it. A program runs within
 * an RCU read section, and this is synchronize_rcu().
 */
static void packets_wait(struct plane *plane)
{
	syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
	plane->lines_cleared = false;
}

static uint32_t port_protocol_of(const struct service_key *key)
{
	return key->port | (uint32_t)key->protocol << 16;
}

static bool line_is_of(const struct service_line *line, const struct service_key *key)
{
	return memcmp(line->addr, key->addr, sizeof(line->addr)) == 0 &&
	       line->port_protocol == port_protocol_of(key);
}

static bool line_is_blank(const struct service_line *line)
{
	const struct service_line blank = {0};

	return memcmp(line->addr, blank.addr, sizeof(blank.addr)) == 0;
}

static void line_service_set(struct service_line *line, const struct service *service)
{
	uint64_t word;

	memcpy(&word, service, sizeof(word));
	__atomic_store_n((uint64_t *)(void *)&line->service, word, __ATOMIC_RELEASE);
}

static void line_state_set(struct service_line *line, uint32_t state)
{
	__atomic_store_n(&line->state, state, __ATOMIC_RELEASE);
}

static struct service_line *line_of(const struct plane *plane, const struct service_key *key)
{
	return &plane->lines[service_line_of((const __u64 *)plane->settings.hash_key, key)];
}

static void line_set(struct plane *plane, const struct service_key *key,
		     const struct service *service)
{
	struct service_line *line = line_of(plane, key);
	bool same = line_is_of(line, key);

	if (line->state == LINE_ASK)
		return;
	if (line->state == LINE_KEY && !same) {
		line_state_set(line, LINE_ASK);
		return;
	}
	if (!same && !line_is_blank(line) && plane->lines_cleared)
		packets_wait(plane);
	if (!same) {
		memcpy(line->addr, key->addr, sizeof(line->addr));
		line->port_protocol = port_protocol_of(key);
	}
	line_service_set(line, service);
	line_state_set(line, LINE_KEY);
}

/* A line that several shared goes on to say so: asking for one that is not there is right, too. */
static void line_clear(struct plane *plane, const struct service_key *key)
{
	struct service_line *line = line_of(plane, key);

	if (line->state != LINE_KEY || !line_is_of(line, key))
		return;
	line_state_set(line, LINE_EMPTY);
	plane->lines_cleared = true;
}

/* ---- records ---- */

static int record_set(struct plane *plane, const struct service_key *key,
		      const struct service *service)
{
	int r = bpf_map_update_elem(plane->maps[MAP_SERVICES], key, service, BPF_ANY);

	if (r == 0)
		line_set(plane, key, service);
	return r;
}

static int record_clear(struct plane *plane, const struct service_key *key)
{
	int r = bpf_map_delete_elem(plane->maps[MAP_SERVICES], key);

	if (r < 0 && r != -ENOENT)
		return r;
	line_clear(plane, key);
	return 0;
}

void plane_lines_fill(struct plane *plane)
{
	struct service_key key, next, *from = NULL;
	struct service value;

	while (bpf_map_get_next_key(plane->maps[MAP_SERVICES], from, &next) == 0) {
		key = next;
		from = &key;
		if (bpf_map_lookup_elem(plane->maps[MAP_SERVICES], &key, &value) == 0)
			line_set(plane, &key, &value);
	}
}

/* ---- services ---- */

int plane_service_set(struct plane *plane, const struct current_service *s)
{
	struct name_record record = {0};
	int r;

	memcpy(record.name, s->name, sizeof(record.name));
	r = plane_name_set(plane, NAME_SERVICE, s->plane.id, &record);
	return r < 0 ? r : record_set(plane, &s->key, &s->plane);
}

int plane_service_new(struct plane *plane, const struct current_service *s)
{
	int r = plane_stats_zero(plane, MAP_SERVICE_STATS, s->plane.id,
				 sizeof(struct service_stats));

	return r < 0 ? r : plane_service_set(plane, s);
}

int plane_service_clear(struct plane *plane, const struct current_service *s)
{
	int r = record_clear(plane, &s->key);

	return r < 0 ? r : plane_name_clear(plane, NAME_SERVICE, s->plane.id);
}

/* ---- VIPs ---- */

static bool is_vip_record(const struct service_key *key)
{
	return key->protocol == 0 && key->port == 0;
}

/* The addresses of all services, each once, in order. */
struct vips {
	struct service_key *keys;
	size_t n;
};

static int key_compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct service_key));
}

static int vips_of(const struct current *c, struct vips *ret)
{
	struct service_key *keys = calloc(SERVICE_MAX, sizeof(*keys));
	size_t n = 0, unique = 0;

	if (!keys)
		return -ENOMEM;
	for (uint32_t i = 0; i < SERVICE_MAX; i++) {
		if (!c->services[i].used)
			continue;
		memcpy(keys[n++].addr, c->services[i].key.addr, sizeof(keys->addr));
	}
	qsort(keys, n, sizeof(*keys), key_compare);
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || key_compare(&keys[i], &keys[i - 1]) != 0)
			keys[unique++] = keys[i];
	}
	*ret = (struct vips){keys, unique};
	return 0;
}

static void vips_trim(struct plane *plane, const struct vips *vips)
{
	struct service_key key, next, *from = NULL;

	while (bpf_map_get_next_key(plane->maps[MAP_SERVICES], from, &next) == 0) {
		key = next;
		if (is_vip_record(&key) &&
		    !bsearch(&key, vips->keys, vips->n, sizeof(key), key_compare)) {
			record_clear(plane, &key); /* and begin again: it was our place */
			from = NULL;
			continue;
		}
		from = &key;
	}
}

int plane_vips_set(struct plane *plane, const struct current *c)
{
	const struct service want = {.mode = (uint8_t)c->settings.vip_policy};
	struct vips vips;
	int r = vips_of(c, &vips);

	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < vips.n; i++) {
		struct service have;

		if (bpf_map_lookup_elem(plane->maps[MAP_SERVICES], &vips.keys[i], &have) < 0 ||
		    memcmp(&have, &want, sizeof(have)) != 0)
			r = record_set(plane, &vips.keys[i], &want);
	}
	vips_trim(plane, &vips);
	free(vips.keys);
	return r;
}
