/* SPDX-License-Identifier: BSD-2-Clause */
/* plane.c: the pinned maps: created, resized, written, counted. See plane.h.
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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "balancer.skel.h"
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
	[MAP_NAMES] = "names",
	[MAP_PROBE_VIPS] = "probe_vips",
};

/* ---- pins ---- */

static void map_path(const struct plane *plane, const char *name, char path[static PLANE_PATH])
{
	snprintf(path, PLANE_PATH, "%.200s/%.50s", plane->dir, name);
}

static void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Pin @fd in the place of what is pinned under that name. */
static int map_pin(const struct plane *plane, enum plane_map map, int fd)
{
	char path[PLANE_PATH], fresh[PLANE_PATH];

	map_path(plane, plane_map_names[map], path);
	map_path(plane, "fresh", fresh);
	unlink(fresh);
	if (bpf_obj_pin(fd, fresh) < 0)
		return -errno;
	return rename(fresh, path) < 0 ? -errno : 0;
}

static void *map_mmap(int fd, size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return at == MAP_FAILED ? NULL : at;
}

#define FIRST_MULTIPLIER 0x9e3779b97f4a7c15ULL /* odd; the clock's writer takes another soon */

/* Those that are there. */
static int maps_mmap(struct plane *plane)
{
	if (!plane->backends && plane->maps[MAP_BACKENDS] >= 0 &&
	    !(plane->backends =
		      map_mmap(plane->maps[MAP_BACKENDS], BACKEND_MAX * sizeof(*plane->backends))))
		return -errno;
	if (!plane->clock && plane->maps[MAP_CLOCK] >= 0 &&
	    !(plane->clock = map_mmap(plane->maps[MAP_CLOCK], sizeof(*plane->clock))))
		return -errno;
	if (!plane->lines && plane->maps[MAP_SERVICE_LINES] >= 0 &&
	    !(plane->lines = map_mmap(plane->maps[MAP_SERVICE_LINES],
				      SERVICE_LINES * sizeof(*plane->lines))))
		return -errno;
	/* Stamp 0 is "never": a clock that has not begun would take every flow for refreshed. */
	if (plane->clock && plane->clock->stamp == 0) {
		plane->clock->bucket_multiplier = FIRST_MULTIPLIER;
		plane->clock->now_s = (uint32_t)(clock_ms() / 1000);
		plane->clock->stamp = 1;
	}
	return 0;
}

static int maps_open(struct plane *plane)
{
	char path[PLANE_PATH];

	for (int map = 0; map < MAP_COUNT; map++) {
		map_path(plane, plane_map_names[map], path);
		plane->maps[map] = bpf_obj_get(path);
		if (plane->maps[map] < 0 && errno != ENOENT)
			return -errno;
	}
	map_path(plane, PLANE_OLD_FLOWS, path);
	plane->old_flows = bpf_obj_get(path);
	if (plane->old_flows < 0)
		plane->old_flows = -1;
	return maps_mmap(plane);
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

static void lines_munmap(struct plane *plane)
{
	if (plane->lines)
		munmap(plane->lines, SERVICE_LINES * sizeof(*plane->lines));
	plane->lines = NULL;
}

void plane_free(struct plane *plane)
{
	if (!plane)
		return;
	if (plane->backends)
		munmap(plane->backends, BACKEND_MAX * sizeof(*plane->backends));
	if (plane->clock)
		munmap(plane->clock, sizeof(*plane->clock));
	lines_munmap(plane);
	for (int i = 0; i < MAP_COUNT; i++)
		fd_close(&plane->maps[i]);
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

/* ---- settings ---- */

/* fd is a new map's, or -errno: pin and keep it. */
int plane_map_keep(struct plane *plane, enum plane_map map, int fd)
{
	int r = fd < 0 ? fd : map_pin(plane, map, fd);

	if (r == 0)
		plane->maps[map] = fd;
	else
		fd_close(&fd);
	return r;
}

static int names_create(struct plane *plane)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_NO_PREALLOC);

	if (plane->maps[MAP_NAMES] >= 0)
		return 0;
	return plane_map_keep(plane, MAP_NAMES,
			      bpf_map_create(BPF_MAP_TYPE_HASH, "names", sizeof(uint32_t),
					     sizeof(struct name_record), PLANE_NAMES, &opts));
}

static int inner_create(uint32_t slots)
{
	return bpf_map_create(BPF_MAP_TYPE_ARRAY, "slots", sizeof(uint32_t), sizeof(struct slots4),
			      2 * SLOTS_WORDS(slots), NULL);
}

/* Not by the skeleton: libbpf 1.1 cannot resize an inner map before it is loaded. */
static int tables_create(struct plane *plane)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);
	int r, inner;

	if (plane->maps[MAP_TABLES] >= 0)
		return 0;
	inner = inner_create(plane->settings.slots);
	if (inner < 0)
		return inner;
	opts.inner_map_fd = (uint32_t)inner;
	r = plane_map_keep(plane, MAP_TABLES,
			   bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "tables", sizeof(uint32_t),
					  sizeof(uint32_t), POOL_MAX, &opts));
	close(inner);
	return r;
}

/* Loading the skeleton creates every map that plane->maps does not have; keep and pin those. */
static int maps_create(struct plane *plane)
{
	struct balancer *skel = plane_skeleton(plane);
	int r;

	if (!skel)
		return -errno;
	r = balancer__load(skel);
	for (int map = 0; r == 0 && map < MAP_NAMES; map++) {
		struct bpf_map *m;

		if (plane->maps[map] >= 0)
			continue;
		m = bpf_object__find_map_by_name(skel->obj, plane_map_names[map]);
		r = m ? plane_map_keep(plane, map, fcntl(bpf_map__fd(m), F_DUPFD_CLOEXEC, 3))
		      : -ENOENT;
	}
	balancer__destroy(skel);
	return r;
}

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

/* What has not begun yet may begin again: nothing is copied. */
static void nascent_drop(struct plane *plane, const struct settings *settings)
{
	int old = -1;

	plane_map_outgrow(plane, MAP_NASCENT, plane_nascent(settings), &old);
	plane_map_outgrow(plane, MAP_CLAIMS, plane_nascent(settings), &old);
	plane_map_outgrow(plane, MAP_PROBE_RETURNS, plane_probe_returns(settings), &old);
	fd_close(&old);
}

int plane_settings_set(struct plane *plane, const struct settings *settings)
{
	struct name_record record = {.slots = settings->slots,
				     .key_print = settings->key_print,
				     .nat_port_first = settings->nat_port_first,
				     .nat_port_last = settings->nat_port_last};
	bool new_key = memcmp(plane->settings.hash_key, settings->hash_key,
			      sizeof(settings->hash_key)) != 0;
	int old_tables = -1, r;

	plane_map_outgrow(plane, MAP_FLOWS, settings->flow_limit, &plane->old_flows);
	plane_map_outgrow(plane, MAP_TRANSLATIONS, plane_translations(settings),
			  &plane->old_translations);
	nascent_drop(plane, settings);
	plane_map_outgrow(plane, MAP_REVERSE, plane_translations(settings), &plane->old_reverse);
	if (plane->settings.slots != settings->slots) {
		old_tables = plane->maps[MAP_TABLES];
		plane->maps[MAP_TABLES] = -1;
	}
	if (new_key) { /* it says which line is whose */
		lines_munmap(plane);
		fd_close(&plane->maps[MAP_SERVICE_LINES]);
	}
	plane->settings = *settings;
	r = tables_create(plane);
	fd_close(&old_tables);
	if (r == 0)
		r = names_create(plane);
	if (r == 0)
		r = plane_probes_create(plane);
	if (r == 0)
		r = maps_create(plane);
	if (r == 0)
		r = maps_mmap(plane);
	if (r == 0 && new_key)
		plane_lines_fill(plane);
	if (r == 0 && plane->old_flows >= 0)
		plane_flows_copy(plane);
	if (r == 0)
		plane_translations_copy(plane);
	return r < 0 ? r : plane_name_set(plane, NAME_SETTINGS, 0, &record);
}

void plane_settled(struct plane *plane)
{
	char path[PLANE_PATH];

	plane_translations_copy(plane);
	fd_close(&plane->old_translations);
	fd_close(&plane->old_reverse);
	if (plane->old_flows < 0)
		return;
	/* what the old programs still put there */
	plane_flows_copy(plane);
	fd_close(&plane->old_flows);
	map_path(plane, PLANE_OLD_FLOWS, path);
	unlink(path);
}

/* ---- elements ---- */

int plane_backend_set(struct plane *plane, uint32_t number, const struct current_backend *b)
{
	volatile struct backend *at = &plane->backends[number];
	struct name_record record = {0};
	int r;

	memcpy(record.pool, b->pool_name, sizeof(record.pool));
	memcpy(record.name, b->name, sizeof(record.name));
	r = plane_name_set(plane, NAME_BACKEND, number, &record);
	if (r < 0)
		return r;
	if (!(b->plane.flags & BACKEND_ALIVE))
		at->flags = 0;
	__atomic_thread_fence(__ATOMIC_RELEASE);
	memcpy((void *)(uintptr_t)at->l2_dst, b->plane.l2_dst, sizeof(at->l2_dst));
	memcpy((void *)(uintptr_t)at->l2_src, b->plane.l2_src, sizeof(at->l2_src));
	memcpy((void *)(uintptr_t)at->addr, b->plane.addr, sizeof(at->addr));
	at->ifindex = b->plane.ifindex;
	at->port = b->plane.port;
	at->pool = b->plane.pool;
	memcpy((void *)(uintptr_t)at->tunnel_src, b->plane.tunnel_src, sizeof(at->tunnel_src));
	at->tunnel_port = b->plane.tunnel_port;
	at->tunnel_mtu = b->plane.tunnel_mtu;
	at->tunnel_bits = b->plane.tunnel_bits;
	at->tunnel_clamp = b->plane.tunnel_clamp;
	__atomic_thread_fence(__ATOMIC_RELEASE);
	at->flags = b->plane.flags;
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

static int table_create(const struct table *table, int *ret_fd)
{
	uint32_t n = 2 * SLOTS_WORDS(table->n), written = n;
	struct slots4 *words = calloc(n, sizeof(*words));
	uint32_t *keys = calloc(n, sizeof(*keys));
	int fd = -1, r = words && keys ? 0 : -ENOMEM;

	if (r == 0) {
		table_write(table, words);
		for (uint32_t i = 0; i < n; i++)
			keys[i] = i;
		fd = inner_create(table->n);
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
	r = table_create(table, &fd);
	if (r < 0)
		return r;
	r = bpf_map_update_elem(plane->maps[MAP_TABLES], &number, &fd, BPF_ANY);
	close(fd);
	return r;
}

int plane_pool_clear(struct plane *plane, uint32_t number)
{
	int r = bpf_map_delete_elem(plane->maps[MAP_TABLES], &number);

	if (r < 0 && r != -ENOENT)
		return r;
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

void plane_reasons(const struct plane *plane, uint64_t ret_counts[static REASON_COUNT])
{
	for (uint32_t i = 0; i < REASON_COUNT; i++)
		stats_sum(plane, MAP_REASONS, i, 1, &ret_counts[i]);
}
