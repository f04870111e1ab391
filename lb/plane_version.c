/* SPDX-License-Identifier: BSD-2-Clause */
/* plane_version.c: an upgrade under load: what an older version's process left, in a folder of its
 * own beside ours (plane.h), becomes ours without a packet noticing.
 *
 * Its links are taken over, and the programs go on until plane_replace() puts ours in their place.
 * Its maps are taken as they are, where the version is known here and their shapes are the same:
 * then the old programs and ours share them. `flows` may have an older layout; the entries are
 * copied, and again what the old programs put there until they were replaced. What is left goes.
 *
 * A newer version's folder is not touched: we cannot know what it means. Its programs go on.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "balancer.skel.h"
#include "base/log.h"
#include "lb/plane.h"

#define BIT(map) (1U << (map))

/* Without any of these the others say nothing. */
#define CORE (BIT(MAP_NAMES) | BIT(MAP_SERVICES) | BIT(MAP_TABLES) | BIT(MAP_BACKENDS))

/* Their sizes are settings, as that of the flow table is. */
#define TRANSLATED (BIT(MAP_TRANSLATIONS) | BIT(MAP_REVERSE) | BIT(MAP_NASCENT) | BIT(MAP_CLAIMS))

/* Which of an older version's maps mean what they mean here, if their shapes are the same. */
static const struct {
	int version;
	uint32_t kept;
} known[] = {
	/* had no service_lines and no fragments, and other reasons */
	{1, CORE | BIT(MAP_FLOWS) | BIT(MAP_EMBRYOS) | BIT(MAP_RECENT) | BIT(MAP_CLOCK) |
		    BIT(MAP_SERVICE_STATS)},
	/* had shorter backend_stats, which begin anew, other reasons, and no probes through VIPs */
	{2, CORE | BIT(MAP_SERVICE_LINES) | BIT(MAP_FLOWS) | BIT(MAP_EMBRYOS) | BIT(MAP_FRAGMENTS) |
		    BIT(MAP_RECENT) | BIT(MAP_CLOCK) | BIT(MAP_SERVICE_STATS) | BIT(MAP_RETURNS) |
		    BIT(MAP_NAT_POOLS) | TRANSLATED},
};

/* ---- an older version's maps ---- */

struct older {
	struct plane *plane;
	struct balancer *skel; /* has the shapes of ours */
	int version;
	uint32_t kept;
	char dir[PLANE_PATH];
	uint32_t links, maps; /* taken */
};

static void older_path(const struct older *o, const char *name, char ret_path[static PLANE_PATH])
{
	snprintf(ret_path, PLANE_PATH, "%.190s/%.50s", o->dir, name);
}

static void own_path(const struct plane *plane, const char *name, char ret_path[static PLANE_PATH])
{
	snprintf(ret_path, PLANE_PATH, "%.200s/%.50s", plane->dir, name);
}

/* Of a map as ours would be. */
static struct bpf_map_info shape_of(const struct older *o, enum plane_map map)
{
	struct bpf_map_info shape = {.type = BPF_MAP_TYPE_HASH,
				     .key_size = sizeof(uint32_t),
				     .value_size = sizeof(struct name_record),
				     .max_entries = PLANE_NAMES,
				     .map_flags = BPF_F_NO_PREALLOC};
	struct bpf_map *m;

	if (map == MAP_NAMES)
		return shape;
	m = bpf_object__find_map_by_name(o->skel->obj, plane_map_names[map]);
	shape = (struct bpf_map_info){.type = bpf_map__type(m),
				      .key_size = bpf_map__key_size(m),
				      .value_size = bpf_map__value_size(m),
				      .max_entries = bpf_map__max_entries(m),
				      .map_flags = bpf_map__map_flags(m)};
	if (map == MAP_RECENT)
		shape.max_entries *= o->plane->cpus;
	return shape;
}

enum likeness { OTHER, ENTRIES_ALIKE, ALIKE };

/* The size of the tables of flows is a setting; an array's is what the program was made for.
 * Records of `names` only grow at their end.
 */
static enum likeness compare(const struct older *o, enum plane_map map, int fd)
{
	struct bpf_map_info have = plane_map_info(fd), want = shape_of(o, map);

	if (map == MAP_FLOWS && plane_flows_older(&have))
		return ENTRIES_ALIKE;
	if (map == MAP_NAMES && have.key_size == want.key_size && have.value_size < want.value_size)
		return ENTRIES_ALIKE;
	if (have.type != want.type || have.key_size != want.key_size ||
	    have.value_size != want.value_size)
		return OTHER;
	if (map == MAP_FLOWS || map == MAP_NAMES || TRANSLATED & BIT(map))
		return ALIKE;
	if (have.map_flags != want.map_flags)
		return OTHER;
	if (have.max_entries != want.max_entries)
		return map == MAP_SERVICES ? ENTRIES_ALIKE : OTHER;
	return ALIKE;
}

/* 0 or -errno; a map that is not there is like none. */
static int likeness_of(const struct older *o, enum plane_map map, enum likeness *ret_likeness)
{
	char path[PLANE_PATH];
	int fd;

	*ret_likeness = OTHER;
	older_path(o, plane_map_names[map], path);
	if (!(o->kept & BIT(map)))
		return 0;
	fd = bpf_obj_get(path);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	*ret_likeness = compare(o, map, fd);
	close(fd);
	return 0;
}

/* Into one of our shape; what its records have more is 0. */
static int entries_copy(int from, int to)
{
	uint8_t key[64], next[64], value[256] = {0}, *last = NULL;
	struct bpf_map_info had = plane_map_info(from), has = plane_map_info(to);
	int r = 0;

	if (had.key_size != has.key_size || had.key_size > sizeof(key) ||
	    had.value_size > has.value_size || has.value_size > sizeof(value))
		return -EPROTO;
	while (r == 0 && bpf_map_get_next_key(from, last, next) == 0) {
		memcpy(key, next, sizeof(key));
		last = key;
		if (bpf_map_lookup_elem(from, key, value) == 0)
			r = bpf_map_update_elem(to, key, value, BPF_ANY);
	}
	return r;
}

/* `services` or `names`: a copy of our shape is pinned as ours. */
static int map_copy(const struct older *o, enum plane_map map, const char *from, const char *to)
{
	struct bpf_map_info shape = shape_of(o, map);
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = shape.map_flags);
	int old = bpf_obj_get(from);
	int fd = bpf_map_create(shape.type, plane_map_names[map], shape.key_size, shape.value_size,
				shape.max_entries, &opts);
	int r = old < 0 ? old : fd < 0 ? fd : entries_copy(old, fd);

	if (r == 0 && bpf_obj_pin(fd, to) < 0)
		r = -errno;
	if (old >= 0)
		close(old);
	if (fd >= 0)
		close(fd);
	return r;
}

/* Whoever was killed while taking over had it. */
static bool is_taken(const struct older *o, enum plane_map map)
{
	char path[PLANE_PATH];

	own_path(o->plane, plane_map_names[map], path);
	return access(path, F_OK) == 0;
}

/* 1 when it was taken, 0 when it cannot be, or -errno. */
static int map_take(const struct older *o, enum plane_map map)
{
	char from[PLANE_PATH], to[PLANE_PATH];
	enum likeness likeness;
	int r = likeness_of(o, map, &likeness);

	if (r < 0 || likeness == OTHER || is_taken(o, map))
		return r;
	older_path(o, plane_map_names[map], from);
	own_path(o->plane, plane_map_names[map], to);
	if (likeness == ENTRIES_ALIKE && map != MAP_FLOWS) {
		r = map_copy(o, map, from, to);
		return r < 0 ? r : 1;
	}
	if (likeness == ENTRIES_ALIKE)
		own_path(o->plane, PLANE_OLD_FLOWS, to);
	return rename(from, to) < 0 ? -errno : 1;
}

static int maps_take(struct older *o)
{
	for (int map = 0; map < MAP_COUNT; map++) {
		enum likeness likeness;
		int r = CORE & BIT(map) ? likeness_of(o, map, &likeness) : 0;

		if (r < 0)
			return r;
		if (CORE & BIT(map) && likeness == OTHER && !is_taken(o, map))
			return 0;
	}
	for (int map = 0; map < MAP_COUNT; map++) {
		int r = map_take(o, map);

		if (r < 0)
			return r;
		o->maps += (uint32_t)r;
	}
	return 0;
}

/* ---- folders ---- */

static bool is_link(const char *name)
{
	return strncmp(name, "link_", 5) == 0 || strncmp(name, "tail_", 5) == 0;
}

/* The links, and an end to what was not taken. */
static void folder_empty(struct older *o)
{
	char from[PLANE_PATH], to[PLANE_PATH];
	DIR *dir = opendir(o->dir);
	struct dirent *e;

	while (dir && (e = readdir(dir)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		older_path(o, e->d_name, from);
		own_path(o->plane, e->d_name, to);
		if (is_link(e->d_name) && rename(from, to) == 0)
			o->links++;
		else
			unlink(from);
	}
	if (dir)
		closedir(dir);
	rmdir(o->dir);
}

/* 0 or -errno: then all that is left stays where it is, for the next try. */
static int version_take(struct plane *plane, int version, const char *folder)
{
	struct older o = {.plane = plane, .version = version};
	int r;

	snprintf(o.dir, sizeof(o.dir), "%.150s/%.20s", plane->base, folder);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (known[i].version == version)
			o.kept = known[i].kept;
	}
	o.skel = o.kept ? balancer__open() : NULL;
	r = o.kept && !o.skel ? -errno : 0;
	if (o.skel)
		r = maps_take(&o);
	balancer__destroy(o.skel);
	if (r < 0) {
		log_err("not taken over from an older version, it goes on: abi=%d path=%s error=%s",
			version, o.dir, strerror(-r));
		return r;
	}
	folder_empty(&o);
	log_notice("taken over from an older version: abi=%d links=%u maps=%u path=%s", version,
		   o.links, o.maps, o.dir);
	return 0;
}

/* The number in a folder's name, or -1. */
static int version_of(const char *folder)
{
	char *end;
	unsigned long version;

	if (folder[0] != 'v' || folder[1] < '0' || folder[1] > '9')
		return -1;
	version = strtoul(folder + 1, &end, 10);
	return *end || version > INT_MAX ? -1 : (int)version;
}

/* The highest version below @below, with its folder's name; -1 when there is none. */
static int version_next(const struct plane *plane, int below, char ret_folder[static 21])
{
	DIR *dir = opendir(plane->base);
	struct dirent *e;
	int highest = -1;

	while (dir && (e = readdir(dir)) != NULL) {
		int version = version_of(e->d_name);

		if (version > highest && version < below) {
			highest = version;
			snprintf(ret_folder, 21, "%.20s", e->d_name);
		}
	}
	if (dir)
		closedir(dir);
	return highest;
}

int plane_versions_take(struct plane *plane)
{
	char folder[21];
	int version = version_next(plane, INT_MAX, folder);

	if (version > SLUICE_ABI_VERSION) {
		log_err("the data plane of a newer version is there and goes on: path=%s/%s abi=%d "
			"ours=%d; cure: start that version again, or end its data plane, and with "
			"it what it knows of connections: rm -r %s/%s",
			plane->base, folder, version, SLUICE_ABI_VERSION, plane->base, folder);
		return -EEXIST;
	}
	while ((version = version_next(plane, SLUICE_ABI_VERSION, folder)) >= 0) {
		int r = version_take(plane, version, folder);

		if (r < 0)
			return r;
		if (version_next(plane, version + 1, folder) == version)
			return -EEXIST; /* it could not be removed */
	}
	return 0;
}
