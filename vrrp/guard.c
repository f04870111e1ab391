/* SPDX-License-Identifier: BSD-2-Clause */
/* guard.c: see guard.h. */
#include "vrrp/guard.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "guard.skel.h"

enum {
	FILTER_PRIORITY = 0x51cf,
	FILTER_HANDLE = 1,
	INTERFACES = CONFIG_INSTANCES + CONFIG_LINKS,
	PATH_BYTES = 256,
	LOOKS = 16, /* a second */
};

enum hook { HOOK_IN, HOOK_OUT, HOOKS };

static const enum bpf_tc_attach_point points[HOOKS] = {BPF_TC_INGRESS, BPF_TC_EGRESS};

enum guard_map { MAP_LEASES, MAP_GUARDED, MAP_PAIRS, MAP_SETTINGS, MAP_COUNTS, MAP_COUNT };

static const char *const map_names[MAP_COUNT] = {"leases", "guarded", "pairs", "settings",
						 "counts"};

struct interface {
	char name[IFNAMSIZ];
	uint32_t ifindex; /* where it is attached; 0 = nowhere */
	bool wanted;
	int error; /* that was logged */
};

struct guard {
	char dir[PATH_BYTES];
	int programs[HOOKS], maps[MAP_COUNT];
	uint64_t *leases, *counts;
	struct guard_settings *settings;
	struct interface interfaces[INTERFACES];
	uint32_t n_interfaces, looked;
};

/* ---- loading ---- */

static void map_path(const struct guard *g, enum guard_map map, char ret[static PATH_BYTES])
{
	snprintf(ret, PATH_BYTES, "%.200s/%s", g->dir, map_names[map]);
}

/* map_adopt: the pinned one, or the new one is pinned when it is there. */
static void map_adopt(const struct guard *g, struct bpf_map *map, enum guard_map i)
{
	char path[PATH_BYTES];
	int fd;

	map_path(g, i, path);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return;
	if (bpf_map__reuse_fd(map, fd) < 0)
		unlink(path);
	close(fd);
}

static int maps_take(struct guard *g, struct bpf_map *const *maps)
{
	char path[PATH_BYTES];

	for (int i = 0; i < MAP_COUNT; i++) {
		map_path(g, i, path);
		if (access(path, F_OK) < 0 && bpf_obj_pin(bpf_map__fd(maps[i]), path) < 0)
			return -errno;
		g->maps[i] = dup(bpf_map__fd(maps[i]));
		if (g->maps[i] < 0)
			return -errno;
	}
	return 0;
}

static void *map_mmap(const struct guard *g, enum guard_map map, size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, g->maps[map], 0);

	return at == MAP_FAILED ? NULL : at;
}

static int guard_load(struct guard *g)
{
	struct guard_bpf *skel = guard_bpf__open();
	int r;

	if (!skel)
		return -errno;
	struct bpf_map *maps[MAP_COUNT] = {skel->maps.leases, skel->maps.guarded, skel->maps.pairs,
					   skel->maps.settings, skel->maps.counts};

	for (int i = 0; i < MAP_COUNT; i++)
		map_adopt(g, maps[i], i);
	r = guard_bpf__load(skel);
	if (r == 0)
		r = maps_take(g, maps);
	if (r == 0) {
		g->programs[HOOK_IN] = dup(bpf_program__fd(skel->progs.guard));
		g->programs[HOOK_OUT] = dup(bpf_program__fd(skel->progs.guard_out));
		r = g->programs[HOOK_IN] < 0 || g->programs[HOOK_OUT] < 0 ? -EMFILE : 0;
	}
	guard_bpf__destroy(skel);
	if (r < 0)
		return r;
	g->leases = map_mmap(g, MAP_LEASES, LEASES * sizeof(*g->leases));
	g->counts = map_mmap(g, MAP_COUNTS, GUARD_COUNTS * sizeof(*g->counts));
	g->settings = map_mmap(g, MAP_SETTINGS, sizeof(*g->settings));
	return g->leases && g->counts && g->settings ? 0 : -ENOMEM;
}

struct guard *guard_open(const char *base)
{
	struct guard *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return NULL;
	g->programs[HOOK_IN] = g->programs[HOOK_OUT] = -1;
	for (int i = 0; i < MAP_COUNT; i++)
		g->maps[i] = -1;
	snprintf(g->dir, sizeof(g->dir), "%.150s/guard_v%d", base, GUARD_VERSION);
	if ((mkdir(base, 0700) < 0 && errno != EEXIST) ||
	    (mkdir(g->dir, 0700) < 0 && errno != EEXIST))
		r = -errno;
	else
		r = guard_load(g);
	if (r == 0)
		return g;
	log_warning(
		"no guard: error=\"%s\" pins=%s; a node whose processes are dead answers for its addresses, and partners are known by adverts alone",
		strerror(-r), g->dir);
	guard_close(g, false);
	return NULL;
}

/* ---- the filters ---- */

static struct bpf_tc_hook hook_of(uint32_t ifindex, enum hook hook)
{
	return (struct bpf_tc_hook){.sz = sizeof(struct bpf_tc_hook),
				    .ifindex = (int)ifindex,
				    .attach_point = points[hook]};
}

/* libbpf prints what the kernel answers, even if it was to be expected. */
static bool is_attached(uint32_t ifindex)
{
	libbpf_print_fn_t print = libbpf_set_print(NULL);
	int r = 0;

	for (int i = 0; r == 0 && i < HOOKS; i++) {
		struct bpf_tc_hook hook = hook_of(ifindex, i);
		LIBBPF_OPTS(bpf_tc_opts, opts, .handle = FILTER_HANDLE,
			    .priority = FILTER_PRIORITY);

		r = bpf_tc_query(&hook, &opts);
	}
	libbpf_set_print(print);
	return r == 0;
}

static int filter_attach(const struct guard *g, uint32_t ifindex)
{
	libbpf_print_fn_t print = libbpf_set_print(NULL);
	int r = 0;

	for (int i = 0; r == 0 && i < HOOKS; i++) {
		struct bpf_tc_hook hook = hook_of(ifindex, i);
		LIBBPF_OPTS(bpf_tc_opts, opts, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY,
			    .flags = BPF_TC_F_REPLACE, .prog_fd = g->programs[i]);

		r = bpf_tc_hook_create(&hook);
		if (r == 0 || r == -EEXIST)
			r = bpf_tc_attach(&hook, &opts);
	}
	libbpf_set_print(print);
	return r;
}

static void filter_detach(struct interface *in)
{
	libbpf_print_fn_t print = libbpf_set_print(NULL);

	for (int i = 0; in->ifindex && i < HOOKS; i++) {
		struct bpf_tc_hook hook = hook_of(in->ifindex, i);
		LIBBPF_OPTS(bpf_tc_opts, opts, .handle = FILTER_HANDLE,
			    .priority = FILTER_PRIORITY);

		bpf_tc_detach(&hook, &opts);
	}
	libbpf_set_print(print);
	in->ifindex = 0;
}

static void interface_attach(const struct guard *g, struct interface *in)
{
	uint32_t ifindex = if_nametoindex(in->name);
	int r = ifindex ? filter_attach(g, ifindex) : 0;

	in->ifindex = r == 0 ? ifindex : 0;
	if (r < 0 && r != in->error)
		log_warning(
			"interface %s: no guard at tc: error=\"%s\"; are sch_ingress and cls_bpf there (modprobe sch_ingress cls_bpf)?",
			in->name, strerror(-r));
	in->error = r;
}

void guard_interface(struct guard *g, const char *name)
{
	struct interface *in;
	uint32_t i = 0;

	while (g && i < g->n_interfaces && strcmp(g->interfaces[i].name, name) != 0)
		i++;
	if (!g || i == INTERFACES)
		return;
	in = &g->interfaces[i];
	if (i == g->n_interfaces) {
		*in = (struct interface){0};
		snprintf(in->name, sizeof(in->name), "%s", name);
		g->n_interfaces++;
	}
	in->wanted = true;
}

void guard_interfaces_end(struct guard *g)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; g && i < g->n_interfaces; i++) {
		struct interface in = g->interfaces[i];

		if (!in.wanted) {
			filter_detach(&in);
			continue;
		}
		if (!in.ifindex)
			interface_attach(g, &in);
		in.wanted = false;
		g->interfaces[kept++] = in;
	}
	if (g)
		g->n_interfaces = kept;
}

/* Each question costs the kernel's lock and a socket: of many interfaces, some at a time. */
void guard_look(struct guard *g)
{
	for (uint32_t n = 0; g && n < g->n_interfaces; n++) {
		uint32_t i = (g->looked + n) % g->n_interfaces;
		struct interface *in = &g->interfaces[i];
		uint32_t ifindex = if_nametoindex(in->name);

		if (ifindex && ifindex == in->ifindex && (n >= LOOKS || is_attached(ifindex)))
			continue;
		if (ifindex && ifindex == in->ifindex)
			log_warning("interface %s: somebody took the guard away at tc", in->name);
		interface_attach(g, in);
	}
	if (g)
		g->looked += LOOKS;
}

/* ---- the maps ---- */

void guard_set(struct guard *g, const struct guard_settings *settings)
{
	if (g)
		*g->settings = *settings;
}

struct guard_settings guard_get(const struct guard *g)
{
	return g ? *g->settings : (struct guard_settings){0};
}

uint32_t guard_lease_find(const struct guard *g, const struct addr *vip)
{
	uint32_t lease;

	if (!g || bpf_map_lookup_elem(g->maps[MAP_GUARDED], vip, &lease) < 0)
		return 0;
	return lease & ~GUARDED_CLOSED;
}

static int by_address(const void *a, const void *b)
{
	const struct guard_vip *x = a, *y = b;

	return memcmp(&x->vip, &y->vip, sizeof(x->vip));
}

/* The maps are written while adverts wait: not every address is compared with every other. */
void guard_vips(struct guard *g, struct guard_vip *vips, uint32_t n)
{
	struct guard_vip key;
	struct addr next;
	int r;

	if (!g)
		return;
	qsort(vips, n, sizeof(*vips), by_address);
	for (uint32_t i = 0; i < n; i++)
		bpf_map_update_elem(g->maps[MAP_GUARDED], &vips[i].vip, &vips[i].lease, BPF_ANY);
	r = bpf_map_get_next_key(g->maps[MAP_GUARDED], NULL, &next);
	while (r == 0) {
		key.vip = next;
		r = bpf_map_get_next_key(g->maps[MAP_GUARDED], &key.vip, &next);
		if (!bsearch(&key, vips, n, sizeof(key), by_address))
			bpf_map_delete_elem(g->maps[MAP_GUARDED], &key.vip);
	}
}

void guard_partners(struct guard *g, const struct guard_partner *partners, uint32_t n)
{
	struct guard_pair pair, next;
	int r;

	if (!g)
		return;
	for (uint32_t i = 0; i < n; i++)
		bpf_map_update_elem(g->maps[MAP_PAIRS], &partners[i].pair, &partners[i].node,
				    BPF_ANY);
	r = bpf_map_get_next_key(g->maps[MAP_PAIRS], NULL, &next);
	while (r == 0) {
		uint32_t i = 0;

		pair = next;
		r = bpf_map_get_next_key(g->maps[MAP_PAIRS], &pair, &next);
		while (i < n && memcmp(&partners[i].pair, &pair, sizeof(pair)) != 0)
			i++;
		if (i == n)
			bpf_map_delete_elem(g->maps[MAP_PAIRS], &pair);
	}
}

void guard_lease(struct guard *g, uint32_t lease, uint64_t until_ns)
{
	if (g && lease < LEASES)
		__atomic_store_n(&g->leases[lease], until_ns, __ATOMIC_RELAXED);
}

uint64_t guard_lease_until(const struct guard *g, uint32_t lease)
{
	return g && lease < LEASES ? g->leases[lease] : 0;
}

uint64_t guard_count(const struct guard *g, enum guard_count count)
{
	return g ? g->counts[count] : 0;
}

/* ---- the end ---- */

static void pins_remove(const struct guard *g)
{
	char path[PATH_BYTES];

	for (int i = 0; i < MAP_COUNT; i++) {
		map_path(g, i, path);
		unlink(path);
	}
	rmdir(g->dir);
}

void guard_close(struct guard *g, bool remove)
{
	if (!g)
		return;
	for (uint32_t i = 0; remove && i < g->n_interfaces; i++)
		filter_detach(&g->interfaces[i]);
	if (remove)
		pins_remove(g);
	if (g->leases)
		munmap(g->leases, LEASES * sizeof(*g->leases));
	if (g->counts)
		munmap(g->counts, GUARD_COUNTS * sizeof(*g->counts));
	if (g->settings)
		munmap(g->settings, sizeof(*g->settings));
	for (int i = 0; i < MAP_COUNT; i++) {
		if (g->maps[i] >= 0)
			close(g->maps[i]);
	}
	for (int i = 0; i < HOOKS; i++) {
		if (g->programs[i] >= 0)
			close(g->programs[i]);
	}
	free(g);
}
