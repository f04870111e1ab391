/* SPDX-License-Identifier: BSD-2-Clause */
/* plane_probe.c: probes through VIPs: the map of the VIPs, and bpf/probe.bpf.c at tc egress.
 *
 * A filter of tc has no link that could be pinned, and needs none: the kernel keeps it, and with it
 * its program, until it is taken away. Ours is known by its priority and handle, which nobody else
 * has; a process that comes after us replaces it there in one step. Nothing keeps others from
 * taking clsact away with all its filters: that is looked at when the kernel says that something
 * changed.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/pkt_sched.h>
#include <net/if.h>
#include <netlink/netlink.h>
#include <netlink/route/qdisc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "lb/plane.h"
#include "probe.skel.h"

enum { FILTER_PRIORITY = 0x51ce, FILTER_HANDLE = 1 };

int plane_probes_create(struct plane *plane)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_NO_PREALLOC);
	int fd;

	if (plane->maps[MAP_PROBE_VIPS] >= 0)
		return 0;
	fd = bpf_map_create(BPF_MAP_TYPE_HASH, "probe_vips", sizeof(uint32_t),
			    sizeof(struct probe_vip), PROBE_VIPS_MAX, &opts);
	plane->maps[MAP_PROBE_VIPS] = fd < 0 ? -1 : fd;
	return fd < 0 ? fd : 0;
}

/* ---- the map ---- */

static bool list_has(const struct probe_list *probes, uint32_t mark)
{
	uint32_t low = 0, high = probes->n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (probes->entries[middle].mark == mark)
			return true;
		if (probes->entries[middle].mark < mark)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

static void map_trim(int map, const struct probe_list *probes)
{
	uint32_t mark, next;
	int r = bpf_map_get_next_key(map, NULL, &next);

	while (r == 0) {
		mark = next;
		r = bpf_map_get_next_key(map, &mark, &next); /* while it is there */
		if (!list_has(probes, mark))
			bpf_map_delete_elem(map, &mark);
	}
}

int plane_probes_set(struct plane *plane, const struct probe_list *probes)
{
	int map = plane->maps[MAP_PROBE_VIPS], r = 0;

	map_trim(map, probes);
	for (uint32_t i = 0; r == 0 && i < probes->n; i++)
		r = bpf_map_update_elem(map, &probes->entries[i].mark, &probes->entries[i].vip,
					BPF_ANY);
	return r;
}

void plane_probes_adopt(const struct plane *plane, struct probe_list *ret_probes)
{
	int map = plane->maps[MAP_PROBE_VIPS];
	struct probe_list list = {.entries = calloc(PROBE_VIPS_MAX, sizeof(*list.entries))};
	uint32_t mark, next, *from = NULL;

	while (map >= 0 && list.entries && list.n < PROBE_VIPS_MAX &&
	       bpf_map_get_next_key(map, from, &next) == 0) {
		mark = next;
		from = &mark;
		list.entries[list.n].mark = mark;
		list.n += bpf_map_lookup_elem(map, &mark, &list.entries[list.n].vip) == 0;
	}
	probe_list_sort(&list);
	*ret_probes = list;
}

/* ---- the program ---- */

static struct probe *program_load(const struct plane *plane)
{
	struct probe *skel = probe__open();
	int r;

	if (!skel)
		return NULL;
	r = bpf_map__reuse_fd(skel->maps.probe_vips, plane->maps[MAP_PROBE_VIPS]);
	if (r == 0)
		r = bpf_map__reuse_fd(skel->maps.probe_returns, plane->maps[MAP_PROBE_RETURNS]);
	if (r == 0)
		r = probe__load(skel);
	if (r < 0) {
		probe__destroy(skel);
		errno = -r;
		return NULL;
	}
	return skel;
}

static struct bpf_tc_hook hook_of(uint32_t ifindex)
{
	return (struct bpf_tc_hook){.sz = sizeof(struct bpf_tc_hook),
				    .ifindex = (int)ifindex,
				    .attach_point = BPF_TC_EGRESS};
}

/* has_clsact: an `ingress` qdisc has the same place, and takes filters of egress without a word,
 * for what comes in.
 */
static bool has_clsact(uint32_t ifindex)
{
	struct nl_sock *sock = nl_socket_alloc();
	struct nl_cache *cache = NULL;
	bool found = false;

	if (sock && nl_connect(sock, NETLINK_ROUTE) == 0 &&
	    rtnl_qdisc_alloc_cache(sock, &cache) == 0) {
		struct rtnl_qdisc *qdisc =
			rtnl_qdisc_get_by_parent(cache, (int)ifindex, TC_H_CLSACT);

		found = qdisc && strcmp(rtnl_tc_get_kind(TC_CAST(qdisc)), "clsact") == 0;
		rtnl_qdisc_put(qdisc);
	}
	nl_cache_free(cache);
	nl_socket_free(sock);
	return found;
}

/* libbpf prints what the kernel answers, even if it was to be expected. */
static int hook_create(struct bpf_tc_hook *hook)
{
	libbpf_print_fn_t print = libbpf_set_print(NULL);
	int r = bpf_tc_hook_create(hook);

	libbpf_set_print(print);
	if (r == -EEXIST)
		r = has_clsact((uint32_t)hook->ifindex) ? 0 : -EBUSY;
	return r;
}

int plane_probe_attach(struct plane *plane, const struct current_interface *interface,
		       char ret_problem[static PLANE_PROBLEM])
{
	struct bpf_tc_hook hook = hook_of(interface->ifindex);
	struct probe *skel = program_load(plane);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY,
		    .flags = BPF_TC_F_REPLACE);
	int r = skel ? 0 : -errno;

	ret_problem[0] = '\0';
	if (r < 0) {
		snprintf(ret_problem, PLANE_PROBLEM, "the program cannot be loaded: %s",
			 strerror(-r));
		return r;
	}
	r = hook_create(&hook);
	if (r == -EBUSY) {
		snprintf(ret_problem, PLANE_PROBLEM,
			 "an ingress qdisc has clsact's place; cure: tc qdisc del dev %s ingress",
			 interface->name);
	} else if (r < 0) {
		snprintf(ret_problem, PLANE_PROBLEM,
			 "no clsact at tc: %s; is sch_ingress there (modprobe sch_ingress)?",
			 strerror(-r));
	} else {
		opts.prog_fd = bpf_program__fd(skel->progs.probe);
		r = bpf_tc_attach(&hook, &opts);
		if (r < 0)
			snprintf(ret_problem, PLANE_PROBLEM,
				 "tc refuses the program: %s; is cls_bpf there (modprobe cls_bpf)?",
				 strerror(-r));
	}
	probe__destroy(skel);
	return r;
}

bool plane_probe_attached(uint32_t ifindex)
{
	struct bpf_tc_hook hook = hook_of(ifindex);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY);
	libbpf_print_fn_t print = libbpf_set_print(NULL);
	int r = bpf_tc_query(&hook, &opts);

	libbpf_set_print(print);
	return r == 0;
}

bool plane_probes_look(struct current *c)
{
	bool gone = false;

	for (uint32_t i = 0; i < CURRENT_INTERFACES; i++) {
		struct current_interface *interface = &c->interfaces[i];

		if (!interface->used || !interface->probe_attached ||
		    if_nametoindex(interface->name) != interface->ifindex ||
		    plane_probe_attached(interface->ifindex))
			continue;
		log_warning("interface %s: somebody took away the filter of probes at tc egress",
			    interface->name);
		interface->probe_attached = interface->probe_loaded = false;
		gone = true;
	}
	return gone;
}

int plane_probe_detach(uint32_t ifindex)
{
	struct bpf_tc_hook hook = hook_of(ifindex);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY);

	if (!plane_probe_attached(ifindex))
		return 0;
	return bpf_tc_detach(&hook, &opts);
}
