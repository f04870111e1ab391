/* SPDX-License-Identifier: BSD-2-Clause */
/* plane_settings.c: the maps of the settings: created, and replaced where their size or meaning
 * changes.
 *
 * All or nothing: every new map is made and filled while the old ones stay open, then all are
 * pinned in their places; where anything fails, the old ones are there again, and so are the
 * settings.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "balancer.skel.h"
#include "base/log.h"
#include "lb/plane.h"

#define FIRST_MULTIPLIER 0x9e3779b97f4a7c15ULL /* odd; the clock's writer takes another soon */

static void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- mapped memory ---- */

static void *map_mmap(int fd, size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return at == MAP_FAILED ? NULL : at;
}

int plane_maps_mmap(struct plane *plane)
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

/* What is mapped now and was not then: no more. */
static void memory_restore(void **now, void *then, size_t bytes)
{
	if (*now && *now != then)
		munmap(*now, bytes);
	*now = then;
}

/* ---- new maps ---- */

int plane_slots_create(uint32_t slots)
{
	return bpf_map_create(BPF_MAP_TYPE_ARRAY, "slots", sizeof(uint32_t), sizeof(struct slots4),
			      2 * SLOTS_WORDS(slots), NULL);
}

/* Not by the skeleton: libbpf 1.1 cannot resize an inner map before it is loaded. */
static int tables_create(struct plane *plane)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);
	int inner, fd;

	if (plane->maps[MAP_TABLES] >= 0)
		return 0;
	inner = plane_slots_create(plane->settings.slots);
	if (inner < 0)
		return inner;
	opts.inner_map_fd = (uint32_t)inner;
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "tables", sizeof(uint32_t),
			    sizeof(uint32_t), POOL_MAX, &opts);
	close(inner);
	plane->maps[MAP_TABLES] = fd < 0 ? -1 : fd;
	return fd < 0 ? fd : 0;
}

static int names_create(struct plane *plane)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_NO_PREALLOC);
	int fd;

	if (plane->maps[MAP_NAMES] >= 0)
		return 0;
	fd = bpf_map_create(BPF_MAP_TYPE_HASH, "names", sizeof(uint32_t),
			    sizeof(struct name_record), PLANE_NAMES, &opts);
	plane->maps[MAP_NAMES] = fd < 0 ? -1 : fd;
	return fd < 0 ? fd : 0;
}

/* Loading the skeleton creates every map that plane->maps does not have: keep those. */
static int skeleton_create(struct plane *plane)
{
	struct balancer *skel = plane_skeleton(plane);
	int r;

	if (!skel)
		return -errno;
	r = balancer__load(skel);
	for (int map = 0; r == 0 && map < MAP_NAMES; map++) {
		struct bpf_map *m;
		int fd;

		if (plane->maps[map] >= 0)
			continue;
		m = bpf_object__find_map_by_name(skel->obj, plane_map_names[map]);
		fd = m ? fcntl(bpf_map__fd(m), F_DUPFD_CLOEXEC, 3) : -1;
		r = !m ? -ENOENT : fd < 0 ? -errno : 0;
		plane->maps[map] = fd < 0 ? -1 : fd;
	}
	balancer__destroy(skel);
	return r;
}

static int maps_create(struct plane *plane)
{
	bool blank = plane->maps[MAP_SERVICE_LINES] < 0;
	int r = tables_create(plane);

	if (r == 0)
		r = names_create(plane);
	if (r == 0)
		r = plane_probes_create(plane);
	if (r == 0)
		r = skeleton_create(plane);
	if (r == 0)
		r = plane_maps_mmap(plane);
	if (r == 0 && blank)
		plane_lines_fill(plane);
	return r;
}

/* ---- from the old ones to the new ones, or back ---- */

/* What plane_settings_set() changes, as it was. */
struct before {
	int maps[MAP_COUNT];
	uint32_t pinned; /* bits: in whose place the new one is pinned */
	struct backend *backends;
	struct clock *clock;
	struct service_line *lines;
	struct settings settings;
};
_Static_assert(MAP_COUNT <= 32, "before.pinned");

static struct before before_of(const struct plane *plane)
{
	struct before before = {.backends = plane->backends,
				.clock = plane->clock,
				.lines = plane->lines,
				.settings = plane->settings};

	memcpy(before.maps, plane->maps, sizeof(before.maps));
	return before;
}

/* Pin @fd in the place of what is pinned under that name. */
static int map_pin(const struct plane *plane, enum plane_map map, int fd)
{
	char path[PLANE_PATH], fresh[PLANE_PATH];

	plane_map_path(plane, plane_map_names[map], path);
	plane_map_path(plane, "fresh", fresh);
	unlink(fresh);
	if (bpf_obj_pin(fd, fresh) < 0)
		return -errno;
	return rename(fresh, path) < 0 ? -errno : 0;
}

static int maps_pin(const struct plane *plane, struct before *before)
{
	int r = 0;

	for (int map = 0; r == 0 && map < MAP_COUNT; map++) {
		if (plane->maps[map] == before->maps[map])
			continue;
		r = map_pin(plane, map, plane->maps[map]);
		if (r == 0)
			before->pinned |= 1U << map;
	}
	return r;
}

static void pin_restore(const struct plane *plane, enum plane_map map, int fd)
{
	char path[PLANE_PATH];
	int r = 0;

	plane_map_path(plane, plane_map_names[map], path);
	if (fd >= 0)
		r = map_pin(plane, map, fd);
	else if (unlink(path) < 0)
		r = -errno;
	if (r < 0)
		log_err("pin not put back: path=%s error=%s", path, strerror(-r));
}

static void before_restore(struct plane *plane, const struct before *before)
{
	memory_restore((void **)&plane->backends, before->backends,
		       BACKEND_MAX * sizeof(*plane->backends));
	memory_restore((void **)&plane->clock, before->clock, sizeof(*plane->clock));
	memory_restore((void **)&plane->lines, before->lines,
		       SERVICE_LINES * sizeof(*plane->lines));
	for (int map = 0; map < MAP_COUNT; map++) {
		if (before->pinned & 1U << map)
			pin_restore(plane, map, before->maps[map]);
		if (plane->maps[map] != before->maps[map])
			fd_close(&plane->maps[map]);
		plane->maps[map] = before->maps[map];
	}
	plane->settings = before->settings;
}

/* Those that the settings make another of are missing from now on. */
static void maps_outgrow(struct plane *plane, const struct settings *settings)
{
	const struct {
		enum plane_map map;
		uint32_t entries;
	} sizes[] = {{MAP_FLOWS, settings->flow_limit},
		     {MAP_TRANSLATIONS, plane_translations(settings)},
		     {MAP_REVERSE, plane_translations(settings)},
		     {MAP_NASCENT, plane_nascent(settings)},
		     {MAP_CLAIMS, plane_nascent(settings)},
		     {MAP_PROBE_RETURNS, plane_probe_returns(settings)}};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int *fd = &plane->maps[sizes[i].map];

		if (*fd >= 0 && plane_map_info(*fd).max_entries != sizes[i].entries)
			*fd = -1;
	}
	if (plane->settings.slots != settings->slots)
		plane->maps[MAP_TABLES] = -1;
	if (memcmp(plane->settings.hash_key, settings->hash_key, sizeof(settings->hash_key))) {
		plane->maps[MAP_SERVICE_LINES] = -1; /* the key says which line is whose */
		plane->lines = NULL;
	}
}

/* The old ones are closed, but those whose entries are still to be copied. */
static void before_drop(struct plane *plane, struct before *before)
{
	bool fresh = plane->maps[MAP_FLOWS] != before->maps[MAP_FLOWS];

	if (fresh && plane->old_flows >= 0 && before->maps[MAP_FLOWS] >= 0) {
		plane_flows_copy(plane, true); /* of a plan that was broken off */
		fd_close(&plane->old_flows);
	}
	for (int map = 0; map < MAP_COUNT; map++) {
		int *old = map == MAP_FLOWS	     ? &plane->old_flows
			   : map == MAP_TRANSLATIONS ? &plane->old_translations
			   : map == MAP_REVERSE	     ? &plane->old_reverse
						     : NULL;

		if (plane->maps[map] == before->maps[map] || before->maps[map] < 0)
			continue;
		if (!old) {
			fd_close(&before->maps[map]);
			continue;
		}
		fd_close(old);
		*old = before->maps[map];
	}
	if (before->lines && before->lines != plane->lines)
		munmap(before->lines, SERVICE_LINES * sizeof(*before->lines));
	if (plane->old_flows >= 0)
		plane_flows_copy(plane, fresh);
	plane_translations_copy(plane, plane->maps[MAP_REVERSE] != before->maps[MAP_REVERSE]);
}

int plane_settings_set(struct plane *plane, const struct settings *settings)
{
	struct name_record record = {.slots = settings->slots,
				     .key_print = settings->key_print,
				     .nat_port_first = settings->nat_port_first,
				     .nat_port_last = settings->nat_port_last};
	struct before before = before_of(plane);
	int r;

	maps_outgrow(plane, settings);
	plane->settings = *settings;
	r = maps_create(plane);
	if (r == 0)
		r = maps_pin(plane, &before);
	if (r == 0)
		r = plane_name_set(plane, NAME_SETTINGS, 0, &record);
	if (r < 0)
		before_restore(plane, &before);
	else
		before_drop(plane, &before);
	explicit_bzero(&before.settings, sizeof(before.settings));
	return r;
}

void plane_settled(struct plane *plane)
{
	char path[PLANE_PATH];

	if (plane->maps[MAP_FLOWS] < 0)
		return;
	/* what the old programs still put there */
	if (plane->old_flows >= 0) {
		plane_flows_copy(plane, false);
		fd_close(&plane->old_flows);
		plane_map_path(plane, PLANE_OLD_FLOWS, path);
		unlink(path);
	}
	plane_translations_copy(plane, false);
	fd_close(&plane->old_translations);
	fd_close(&plane->old_reverse);
}
