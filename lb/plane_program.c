/* SPDX-License-Identifier: BSD-2-Clause */
/* plane_program.c: one program for each interface, attached by a pinned bpf_link.
 *
 * A program has its interface's MAC and index and the settings in .rodata, and shares all maps. It
 * is replaced through its link: detaching would reset many NICs. Where the MTU is that of jumbo
 * frames, it says that it takes frames of several buffers.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "balancer.skel.h"
#include "base/log.h"
#include "lb/advice.h"
#include "lb/plane.h"

static int maps_reuse(const struct plane *plane, struct balancer *skel)
{
	for (int map = 0; map < MAP_NAMES; map++) {
		struct bpf_map *m;
		int r;

		if (plane->maps[map] < 0)
			continue;
		m = bpf_object__find_map_by_name(skel->obj, plane_map_names[map]);
		r = m ? bpf_map__reuse_fd(m, plane->maps[map]) : -ENOENT;
		if (r < 0)
			return r;
	}
	return 0;
}

static int sizes_set(const struct plane *plane, struct balancer *skel)
{
	int r = 0;

	if (plane->maps[MAP_FLOWS] < 0)
		r = bpf_map__set_max_entries(skel->maps.flows, plane->settings.flow_limit);
	if (r == 0 && plane->maps[MAP_TRANSLATIONS] < 0)
		r = bpf_map__set_max_entries(skel->maps.translations,
					     plane_translations(&plane->settings));
	if (r == 0 && plane->maps[MAP_REVERSE] < 0)
		r = bpf_map__set_max_entries(skel->maps.reverse,
					     plane_translations(&plane->settings));
	if (r == 0 && plane->maps[MAP_NASCENT] < 0)
		r = bpf_map__set_max_entries(skel->maps.nascent, plane_nascent(&plane->settings));
	if (r == 0 && plane->maps[MAP_CLAIMS] < 0)
		r = bpf_map__set_max_entries(skel->maps.claims, plane_nascent(&plane->settings));
	if (r == 0 && plane->maps[MAP_PROBE_RETURNS] < 0)
		r = bpf_map__set_max_entries(skel->maps.probe_returns,
					     plane_probe_returns(&plane->settings));
	if (r == 0 && plane->maps[MAP_EMBRYOS] < 0)
		r = bpf_map__set_max_entries(skel->maps.embryos, EMBRYOS_DEFAULT);
	if (r == 0 && plane->maps[MAP_RECENT] < 0)
		r = bpf_map__set_max_entries(skel->maps.recent, plane->cpus * RECENT_LINES);
	return r;
}

struct balancer *plane_skeleton(const struct plane *plane)
{
	struct balancer *skel = balancer__open();
	int r;

	if (!skel)
		return NULL;
	r = maps_reuse(plane, skel);
	if (r == 0)
		r = sizes_set(plane, skel);
	if (r < 0) {
		balancer__destroy(skel);
		errno = -r;
		return NULL;
	}
	/* of an instance that tells of its packets: who wants one brings its maps */
	bpf_map__set_autocreate(skel->maps.explanation, false);
	bpf_map__set_autocreate(skel->maps.trace_filter, false);
	bpf_map__set_autocreate(skel->maps.trace_events, false);
	skel->rodata->slots = plane->settings.slots;
	skel->rodata->features = plane->settings.features;
	skel->rodata->nat_port_first = plane->settings.nat_port_first;
	skel->rodata->nat_port_last = plane->settings.nat_port_last;
	skel->rodata->embryo_mask = EMBRYOS_DEFAULT - 1;
	memcpy((void *)(uintptr_t)skel->rodata->hash_key, plane->settings.hash_key,
	       sizeof(skel->rodata->hash_key));
	return skel;
}

static int map_bring(struct bpf_map *map, int fd)
{
	int r;

	if (fd < 0)
		return 0;
	r = bpf_map__set_autocreate(map, true);
	return r < 0 ? r : bpf_map__reuse_fd(map, fd);
}

static int seeing_set(struct balancer *skel, const struct seeing *seeing)
{
	int r = map_bring(skel->maps.explanation, seeing->explanation);

	skel->rodata->seeing = seeing->how;
	r = r < 0 ? r : map_bring(skel->maps.trace_filter, seeing->filter);
	return r < 0 ? r : map_bring(skel->maps.trace_events, seeing->events);
}

/* ---- the interface ---- */

/* The kernel lets a program see such frames only if it says that it can (since 5.18). */
static int frames_set(struct balancer *skel)
{
	struct bpf_program *program;
	int r = 0;

	skel->rodata->features |= FEATURE_FRAMES;
	bpf_object__for_each_program(program, skel->obj)
	{
		if (r == 0)
			r = bpf_program__set_flags(program, bpf_program__flags(program) |
								    BPF_F_XDP_HAS_FRAGS);
	}
	return r;
}

/* The kernel empties an array of programs that no process and no pin holds: so it is pinned, first
 * under a name that nobody else has, and in its place once its program is.
 */
#define TAIL_FRESH "%fresh"

static int tail_pin(const struct plane *plane, const struct balancer *skel)
{
	char path[PLANE_PATH];

	plane_tail_path(plane, TAIL_FRESH, path);
	unlink(path);
	return bpf_obj_pin(bpf_map__fd(skel->maps.programs), path) < 0 ? -errno : 0;
}

static int tail_settle(const struct plane *plane, const char *name)
{
	char from[PLANE_PATH], to[PLANE_PATH];

	plane_tail_path(plane, TAIL_FRESH, from);
	plane_tail_path(plane, name, to);
	return rename(from, to) < 0 ? -errno : 0;
}

/* An instance that explains or traces has its own, until it ends. */
static void seeing_name(const char *interface, uint32_t how, char ret_name[static IFNAMSIZ + 16])
{
	snprintf(ret_name, IFNAMSIZ + 16, "%%see%u%.15s", how, interface);
}

static int tail_settle_seeing(const struct plane *plane, const struct current_interface *interface,
			      const struct seeing *seeing)
{
	char name[IFNAMSIZ + 16];

	seeing_name(interface->name, seeing->how, name);
	return tail_settle(plane, name);
}

void plane_seeing_end(const struct plane *plane, const char *interface, uint32_t how)
{
	char name[IFNAMSIZ + 16], path[PLANE_PATH];

	seeing_name(interface, how, name);
	plane_tail_path(plane, name, path);
	unlink(path);
}

static void tail_discard(const struct plane *plane)
{
	char path[PLANE_PATH];

	plane_tail_path(plane, TAIL_FRESH, path);
	unlink(path);
}

static void macs_set(struct balancer *skel, const struct current_interface *interface)
{
	memcpy((void *)(uintptr_t)skel->rodata->own_mac, interface->mac, sizeof(interface->mac));
	for (uint32_t i = 0; i < VRID_BITS / 32; i++) {
		((uint32_t *)(uintptr_t)skel->rodata->vrids)[i] = interface->vrids[i];
		skel->rodata->features |= interface->vrids[i] ? FEATURE_VMAC : 0;
	}
}

int plane_program_load(const struct plane *plane, const struct current_interface *interface,
		       const struct seeing *seeing)
{
	struct balancer *skel = plane_skeleton(plane);
	int fd, r;

	if (!skel)
		return -errno;
	r = seeing ? seeing_set(skel, seeing) : 0;
	macs_set(skel, interface);
	skel->rodata->ifindex = interface->ifindex;
	if (r == 0 && advice_long_frames(interface->name))
		r = frames_set(skel);
	r = r < 0 ? r : balancer__load(skel);
	fd = r < 0 ? r : fcntl(bpf_program__fd(skel->progs.balancer), F_DUPFD_CLOEXEC, 3);
	if (r == 0 && fd < 0)
		fd = -errno;
	r = fd < 0 ? 0 : tail_pin(plane, skel);
	if (r == 0 && fd >= 0 && seeing)
		r = tail_settle_seeing(plane, interface, seeing);
	if (r < 0) {
		close(fd);
		fd = r;
	}
	balancer__destroy(skel);
	return fd;
}

int plane_try(uint32_t features)
{
	struct plane plane = {
		.cpus = 1,
		.settings = {.slots = SLOTS_LEAST, .flow_limit = 1, .features = features}};
	struct balancer *skel;
	struct bpf_map *map;
	int r = 0;

	for (int i = 0; i < MAP_COUNT; i++)
		plane.maps[i] = -1;
	for (uint32_t i = 0; i < POOL_MAX; i++)
		plane.tables[i] = -1;
	skel = plane_skeleton(&plane);
	if (!skel)
		return -errno;
	bpf_object__for_each_map(map, skel->obj)
	{
		if (r == 0 && !bpf_map__is_internal(map) &&
		    bpf_map__type(map) != BPF_MAP_TYPE_RINGBUF)
			r = bpf_map__set_max_entries(map, 1);
	}
	r = r < 0 ? r : balancer__load(skel);
	balancer__destroy(skel);
	return r;
}

/* The program in service at an interface; taken. What traced there, of this process or of one
 * before us, does no more.
 */
static void program_keep(struct plane *plane, uint32_t number, const char *name, int program)
{
	plane_seeing_end(plane, name, SEEING_EXPLAIN);
	plane_seeing_end(plane, name, SEEING_TRACE);
	if (plane->programs[number] >= 0)
		close(plane->programs[number]);
	plane->programs[number] = program;
	plane->programs_version++;
	plane_explain_fini(plane); /* it may hold maps that nobody needs any more */
}

static void pin_path(const struct plane *plane, const char *kind, const char *name,
		     char ret_path[static PLANE_PATH])
{
	int n = snprintf(ret_path, PLANE_PATH, "%.180s/%s_", plane->dir, kind);
	char *at = ret_path + n;

	for (; *name; name++)
		at += sprintf(at, *name == '.' || *name == '%' ? "%%%02x" : "%c", *name);
}

void plane_link_path(const struct plane *plane, const char *name, char ret_path[static PLANE_PATH])
{
	pin_path(plane, "link", name, ret_path);
}

void plane_tail_path(const struct plane *plane, const char *name, char ret_path[static PLANE_PATH])
{
	pin_path(plane, "tail", name, ret_path);
}

/* link_create: native, else generic; the link's descriptor or -errno. */
static int link_create(int program, const struct current_interface *interface,
		       enum attach_mode *ret_mode, char ret_problem[static PLANE_PROBLEM])
{
	LIBBPF_OPTS(bpf_link_create_opts, native, .flags = XDP_FLAGS_DRV_MODE);
	LIBBPF_OPTS(bpf_link_create_opts, generic, .flags = XDP_FLAGS_SKB_MODE);
	int ifindex = (int)interface->ifindex, fd;

	fd = bpf_link_create(program, ifindex, BPF_XDP, &native);
	if (fd >= 0) {
		*ret_mode = ATTACH_NATIVE;
		return fd;
	}
	if (fd == -EBUSY || fd == -EEXIST) {
		snprintf(
			ret_problem, PLANE_PROBLEM,
			"another XDP program is attached; cure: ip link set dev %s xdp off (or end "
			"the program that holds it)",
			interface->name);
		return fd;
	}
	fd = bpf_link_create(program, ifindex, BPF_XDP, &generic);
	if (fd >= 0)
		*ret_mode = ATTACH_GENERIC;
	else
		snprintf(ret_problem, PLANE_PROBLEM, "XDP cannot be attached: %s", strerror(-fd));
	return fd;
}

/* link_keep: pin it and the jump of its program; both or none. */
static int link_keep(const struct plane *plane, const char *name, int link)
{
	char path[PLANE_PATH];
	int r;

	plane_link_path(plane, name, path);
	unlink(path); /* of an interface that is gone */
	if (bpf_obj_pin(link, path) < 0)
		return -errno;
	r = tail_settle(plane, name);
	if (r < 0)
		unlink(path);
	return r;
}

int plane_attach(struct plane *plane, uint32_t number, const struct current_interface *interface,
		 enum attach_mode *ret_mode, char ret_problem[static PLANE_PROBLEM])
{
	int program = plane_program_load(plane, interface, NULL), link, r;

	ret_problem[0] = '\0';
	if (program < 0) {
		snprintf(ret_problem, PLANE_PROBLEM, "the program cannot be loaded: %s",
			 strerror(-program));
		return program;
	}
	link = link_create(program, interface, ret_mode, ret_problem);
	if (link < 0) {
		tail_discard(plane);
		close(program);
		return link;
	}
	r = link_keep(plane, interface->name, link);
	if (r < 0) { /* closing it takes the program off again */
		snprintf(ret_problem, PLANE_PROBLEM, "the program cannot be pinned: %s",
			 strerror(-r));
		tail_discard(plane);
		close(link);
		close(program);
		return r;
	}
	plane->links[number] = link;
	program_keep(plane, number, interface->name, program);
	return 0;
}

int plane_replace(struct plane *plane, uint32_t number, const struct current_interface *interface)
{
	int program = plane_program_load(plane, interface, NULL), r;

	if (program < 0)
		return program;
	r = bpf_link_update(plane->links[number], program, NULL);
	if (r < 0) {
		tail_discard(plane);
		close(program);
		return r;
	}
	program_keep(plane, number, interface->name, program);
	return tail_settle(plane, interface->name);
}

int plane_detach(struct plane *plane, uint32_t number, const char *name)
{
	char path[PLANE_PATH];
	uint32_t ifindex = if_nametoindex(name);

	if (ifindex)
		plane_probe_detach(ifindex);
	plane_link_path(plane, name, path);
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	plane_tail_path(plane, name, path);
	unlink(path);
	if (plane->links[number] >= 0)
		close(plane->links[number]);
	plane->links[number] = -1;
	program_keep(plane, number, name, -1);
	return 0;
}
