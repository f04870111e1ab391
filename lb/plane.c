/* SPDX-License-Identifier: BSD-2-Clause */
/* plane.c: the pinned maps: opened, written, counted. See plane.h.
 *
 * `backends` and `clock` are written through mmap. A backend's record is written with its flags
 * last, so that a packet that sees BACKEND_ALIVE sees the MAC that belongs to it.
 */
#include "lb/plane.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/log.h"

const char *const plane_map_names[MAP_COUNT] = {
	[MAP_SERVICES] = "services",
	[MAP_SERVICE_LINES] = "service_lines",
	[MAP_TABLES] = "tables",
	[MAP_BACKENDS] = "backends",
	[MAP_FLOWS] = "flows",
	[MAP_EMBRYOS] = "embryos",
	[MAP_FRAGMENTS] = "fragments",
	[MAP_RECENT] = "recent",
	[MAP_CLOCK] = "clock",
	[MAP_SERVICE_STATS] = "service_stats",
	[MAP_BACKEND_STATS] = "backend_stats",
	[MAP_REASONS] = "reasons",
	[MAP_RETURNS] = "returns",
	[MAP_NAT_POOLS] = "nat_pools",
	[MAP_TRANSLATIONS] = "translations",
	[MAP_REVERSE] = "reverse",
	[MAP_NASCENT] = "nascent",
	[MAP_CLAIMS] = "claims",
	[MAP_PROBE_RETURNS] = "probe_returns",
	[MAP_EXCEPTIONS] = "exceptions",
	[MAP_EXCEPTIONS_LOST] = "exceptions_lost",
	[MAP_HANDOVERS] = "handovers",
	[MAP_NAMES] = "names",
	[MAP_PROBE_VIPS] = "probe_vips",
};

/* ---- pins ---- */

void plane_map_path(const struct plane *plane, const char *name, char ret_path[static PLANE_PATH])
{
	snprintf(ret_path, PLANE_PATH, "%.200s/%.50s", plane->dir, name);
}

static void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int maps_open(struct plane *plane)
{
	char path[PLANE_PATH];

	for (int map = 0; map < MAP_COUNT; map++) {
		plane_map_path(plane, plane_map_names[map], path);
		plane->maps[map] = bpf_obj_get(path);
		if (plane->maps[map] < 0 && errno != ENOENT)
			return -errno;
	}
	plane_map_path(plane, PLANE_OLD_FLOWS, path);
	plane->old_flows = bpf_obj_get(path);
	if (plane->old_flows < 0)
		plane->old_flows = -1;
	return plane_maps_mmap(plane);
}

static int folder_make(struct plane *plane)
{
	char parent[PLANE_PATH];
	struct statfs fs;

	snprintf(parent, sizeof(parent), "%s", plane->base);
	*strrchr(parent, '/') = '\0';
	if (statfs(parent, &fs) < 0 || fs.f_type != BPF_FS_MAGIC) {
		log_err("no BPF file system: path=%s; cure: mount -t bpf bpf %s", parent, parent);
		return -ENODEV;
	}
	if ((mkdir(plane->base, 0700) < 0 && errno != EEXIST) ||
	    (mkdir(plane->dir, 0700) < 0 && errno != EEXIST))
		return -errno;
	return 0;
}

int plane_open(const char *base, struct plane **ret_plane)
{
	struct plane *plane = calloc(1, sizeof(*plane));
	int r, cpus = libbpf_num_possible_cpus();

	if (!plane)
		return -ENOMEM;
	for (int i = 0; i < MAP_COUNT; i++)
		plane->maps[i] = -1;
	for (uint32_t i = 0; i < POOL_MAX; i++)
		plane->tables[i] = -1;
	for (int i = 0; i < CURRENT_INTERFACES; i++)
		plane->links[i] = plane->programs[i] = -1;
	plane->old_flows = plane->old_translations = plane->old_reverse = -1;
	plane->cpus = cpus > 0 ? (uint32_t)cpus : 1;
	snprintf(plane->base, sizeof(plane->base), "%.200s", base);
	snprintf(plane->dir, sizeof(plane->dir), "%.200s/v%d", base, SLUICE_ABI_VERSION);
	r = strchr(plane->base, '/') ? folder_make(plane) : -EINVAL;
	if (r == 0 && plane->cpus > CPU_MAX)
		r = -E2BIG;
	if (r == 0)
		r = plane_versions_take(plane);
	if (r == 0)
		r = maps_open(plane);
	if (r < 0) {
		plane_free(plane);
		return r;
	}
	*ret_plane = plane;
	return 0;
}

void plane_free(struct plane *plane)
{
	if (!plane)
		return;
	if (plane->backends)
		munmap(plane->backends, BACKEND_MAX * sizeof(*plane->backends));
	if (plane->clock)
		munmap(plane->clock, sizeof(*plane->clock));
	if (plane->lines)
		munmap(plane->lines, SERVICE_LINES * sizeof(*plane->lines));
	for (int i = 0; i < MAP_COUNT; i++)
		fd_close(&plane->maps[i]);
	for (uint32_t i = 0; i < POOL_MAX; i++)
		fd_close(&plane->tables[i]);
	for (int i = 0; i < CURRENT_INTERFACES; i++) {
		fd_close(&plane->links[i]);
		fd_close(&plane->programs[i]);
	}
	fd_close(&plane->old_flows);
	plane_explain_fini(plane);
	fd_close(&plane->old_translations);
	fd_close(&plane->old_reverse);
	explicit_bzero(&plane->settings, sizeof(plane->settings));
	free(plane);
}

void plane_remove(struct plane *plane)
{
	char path[2 * PLANE_PATH];
	struct dirent *e;
	DIR *dir = opendir(plane->dir);

	while (dir && (e = readdir(dir)) != NULL) {
		snprintf(path, sizeof(path), "%s/%s", plane->dir, e->d_name);
		if (e->d_name[0] != '.' && unlink(path) < 0)
			log_err("pin not removed: path=%s error=%s", path, strerror(errno));
	}
	if (dir)
		closedir(dir);
	rmdir(plane->dir);
	rmdir(plane->base);
	for (int i = 0; i < CURRENT_INTERFACES; i++) {
		fd_close(&plane->links[i]);
		fd_close(&plane->programs[i]);
	}
}

/* ---- elements ---- */

int plane_name_set(struct plane *plane, enum name_kind kind, uint32_t number,
		   const struct name_record *record)
{
	uint32_t key = NAME_KEY(kind, number);

	return bpf_map_update_elem(plane->maps[MAP_NAMES], &key, record, BPF_ANY);
}

int plane_name_clear(struct plane *plane, enum name_kind kind, uint32_t number)
{
	uint32_t key = NAME_KEY(kind, number);
	int r = bpf_map_delete_elem(plane->maps[MAP_NAMES], &key);

	return r == -ENOENT ? 0 : r;
}

/* The record in words, as the program reads it: both MACs are in words 0 and 1, with the interface
 * in word 1; the flags are in word 2. Each is written at once, the flags last.
 *
 * What is in more than one word, of a backend that packets go to: a MAC of ours that changes with
 * the interface (a packet in between has a source or a destination that nobody has there: it is
 * lost, as those before it were), and a tunnel's source (of either prefix; both are the node's).
 * The address never changes: another one is another backend.
 */
enum { WORD_FLAGS = 2, WORDS = sizeof(struct backend) / sizeof(uint64_t) };
_Static_assert(sizeof(struct backend) % sizeof(uint64_t) == 0, "backend in words");
_Static_assert(offsetof(struct backend, flags) == WORD_FLAGS * sizeof(uint64_t), "WORD_FLAGS");

static void record_write(struct backend *at, const struct backend *record)
{
	uint64_t words[WORDS], *to = (uint64_t *)(void *)at;

	memcpy(words, record, sizeof(words));
	for (size_t i = 0; i < WORDS; i++) {
		if (i != WORD_FLAGS)
			__atomic_store_n(&to[i], words[i], __ATOMIC_RELAXED);
	}
	__atomic_store_n(&to[WORD_FLAGS], words[WORD_FLAGS], __ATOMIC_RELEASE);
}

int plane_backend_set(struct plane *plane, uint32_t number, const struct current_backend *b)
{
	struct backend *at = &plane->backends[number];
	struct name_record record = {0};
	int r;

	memcpy(record.pool, b->pool_name, sizeof(record.pool));
	memcpy(record.name, b->name, sizeof(record.name));
	r = plane_name_set(plane, NAME_BACKEND, number, &record);
	if (r < 0)
		return r;
	if (!(b->plane.flags & BACKEND_ALIVE))
		__atomic_store_n(&at->flags, 0, __ATOMIC_SEQ_CST);
	record_write(at, &b->plane);
	return 0;
}

int plane_stats_zero(struct plane *plane, enum plane_map map, uint32_t key, size_t size)
{
	void *zeroes = calloc(plane->cpus, size);
	int r = zeroes ? bpf_map_update_elem(plane->maps[map], &key, zeroes, BPF_ANY) : -ENOMEM;

	free(zeroes);
	return r;
}

int plane_backend_new(struct plane *plane, uint32_t number, const struct current_backend *b)
{
	int r = plane_stats_zero(plane, MAP_BACKEND_STATS, number, sizeof(struct backend_stats));

	return r < 0 ? r : plane_backend_set(plane, number, b);
}

int plane_backend_clear(struct plane *plane, uint32_t number)
{
	memset(&plane->backends[number], 0, sizeof(plane->backends[number]));
	return plane_name_clear(plane, NAME_BACKEND, number);
}

int plane_table_new(const struct table *table, int *ret_fd)
{
	uint32_t n = 2 * SLOTS_WORDS(table->n), written = n;
	struct slots4 *words = calloc(n, sizeof(*words));
	uint32_t *keys = calloc(n, sizeof(*keys));
	int fd = -1, r = words && keys ? 0 : -ENOMEM;

	if (r == 0) {
		table_write(table, words);
		for (uint32_t i = 0; i < n; i++)
			keys[i] = i;
		fd = plane_slots_create(table->n);
		r = fd < 0 ? fd : bpf_map_update_batch(fd, keys, words, &written, NULL);
	}
	free(words);
	free(keys);
	if (r < 0)
		fd_close(&fd);
	else
		*ret_fd = fd;
	return r;
}

int plane_pool_set(struct plane *plane, uint32_t number, const struct current_pool *pool,
		   const struct table *table)
{
	struct name_record record = {.idle_timeout_s = pool->idle_timeout_s};
	int fd, r;

	memcpy(record.name, pool->name, sizeof(record.name));
	r = plane_name_set(plane, NAME_POOL, number, &record);
	if (r == 0)
		r = bpf_map_update_elem(plane->maps[MAP_NAT_POOLS], &number, &pool->nat, BPF_ANY);
	if (r < 0 || !table)
		return r;
	r = plane_table_new(table, &fd);
	if (r < 0)
		return r;
	r = bpf_map_update_elem(plane->maps[MAP_TABLES], &number, &fd, BPF_ANY);
	if (r < 0) {
		close(fd);
		return r;
	}
	fd_close(&plane->tables[number]);
	plane->tables[number] = fd;
	return 0;
}

/* The previous owner first: a packet that sees the slot in transition finds it. */
int plane_slot_set(const struct plane *plane, uint32_t pool, const struct table *table,
		   uint32_t slot)
{
	uint32_t first = slot / 4 * 4, owners_at = slot / 4,
		 previous_at = SLOTS_WORDS(table->n) + slot / 4;
	struct slots4 owners = {0}, previous = {0};
	int r;

	if (plane->tables[pool] < 0)
		return -ENOENT;
	for (uint32_t i = first; i < first + 4 && i < table->n; i++) {
		owners.slot[i % 4] = table->slots[i].owner;
		previous.slot[i % 4] = table->slots[i].previous;
	}
	r = bpf_map_update_elem(plane->tables[pool], &previous_at, &previous, BPF_EXIST);
	return r < 0 ? r : bpf_map_update_elem(plane->tables[pool], &owners_at, &owners, BPF_EXIST);
}

int plane_pool_clear(struct plane *plane, uint32_t number)
{
	int r = bpf_map_delete_elem(plane->maps[MAP_TABLES], &number);

	if (r < 0 && r != -ENOENT)
		return r;
	fd_close(&plane->tables[number]);
	return plane_name_clear(plane, NAME_POOL, number);
}

/* ---- counters ---- */

/* Every counter is an array of __u64: add the CPUs' up. */
static void stats_sum(const struct plane *plane, enum plane_map map, uint32_t key, uint32_t words,
		      uint64_t *ret_sums)
{
	uint64_t *values = calloc((size_t)plane->cpus * words, sizeof(*values));

	memset(ret_sums, 0, words * sizeof(*ret_sums));
	if (values && plane->maps[map] >= 0 &&
	    bpf_map_lookup_elem(plane->maps[map], &key, values) == 0) {
		for (uint32_t i = 0; i < plane->cpus * words; i++)
			ret_sums[i % words] += values[i];
	}
	free(values);
}

struct backend_stats plane_backend_stats(const struct plane *plane, uint32_t number)
{
	struct backend_stats s;

	stats_sum(plane, MAP_BACKEND_STATS, number, sizeof(s) / 8, (uint64_t *)&s);
	return s;
}

struct service_stats plane_service_stats(const struct plane *plane, uint32_t id)
{
	struct service_stats s;

	stats_sum(plane, MAP_SERVICE_STATS, id, sizeof(s) / 8, (uint64_t *)&s);
	return s;
}

/* The same of many keys. */
static int stats_sum_many(const struct plane *plane, enum plane_map map, uint32_t first, uint32_t n,
			  uint32_t words, uint64_t *ret_sums)
{
	uint32_t of_all = plane->cpus * words, before = first - 1, at, count = n;
	uint64_t *values = calloc((size_t)of_all * n, sizeof(*values));
	uint32_t *keys = calloc(n, sizeof(*keys));
	int r = values && keys ? 0 : -ENOMEM;

	if (r == 0)
		r = bpf_map_lookup_batch(plane->maps[map], first > 0 ? &before : NULL, &at, keys,
					 values, &count, NULL);
	if (r == -ENOENT) /* its end */
		r = 0;
	memset(ret_sums, 0, (size_t)words * n * sizeof(*ret_sums));
	for (uint32_t k = 0; r == 0 && k < count; k++) {
		uint64_t *sums = ret_sums + (size_t)(keys[k] - first) * words;

		for (uint32_t i = 0; i < of_all; i++)
			sums[i % words] += values[(size_t)k * of_all + i];
	}
	free(values);
	free(keys);
	return r;
}

int plane_backend_stats_read(const struct plane *plane, uint32_t first, uint32_t n,
			     struct backend_stats *ret_stats)
{
	return stats_sum_many(plane, MAP_BACKEND_STATS, first, n, sizeof(*ret_stats) / 8,
			      (uint64_t *)ret_stats);
}

int plane_service_stats_read(const struct plane *plane, uint32_t first, uint32_t n,
			     struct service_stats *ret_stats)
{
	return stats_sum_many(plane, MAP_SERVICE_STATS, first, n, sizeof(*ret_stats) / 8,
			      (uint64_t *)ret_stats);
}

void plane_reasons(const struct plane *plane, uint64_t ret_counts[static REASON_COUNT])
{
	for (uint32_t i = 0; i < REASON_COUNT; i++)
		stats_sum(plane, MAP_REASONS, i, 1, &ret_counts[i]);
}
