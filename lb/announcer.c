/* SPDX-License-Identifier: BSD-2-Clause */
/* announcer.c: see announcer.h. */
#include "lb/announcer.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "lb/announce_kept.h"
#include "lb/reconcile.h"
#include "lb/reconciler.h"
#include "lb/routes.h"

enum { LOOK_S = 2, TOLD_MOST = 16, PROBLEM_SIZE = 256 };

struct announcer {
	char folder[CONFIG_PATH_SIZE]; /* announce_kept.h */
	struct routes *routes;
	struct event *timer;
	struct config_announce way;  /* where our routes are; on = there may be some */
	struct config_announce kept; /* as the file has it */
	struct announce_vip *vips;
	int64_t *since_s;
	uint32_t n;
	int64_t drained_s;
	char problem[PROBLEM_SIZE];
};

/* ---- the node's drain ---- */

int announcer_drain(struct lb *lb, bool drained)
{
	struct announcer *a = lb->announcer;
	int r;

	if (drained == (a->drained_s != 0))
		return 0;
	r = kept_drain(a->folder, drained);
	if (r < 0)
		return r;
	a->drained_s = drained ? time(NULL) : 0;
	log_notice("operator: node=%s state=%s", lb->config->node.name,
		   drained ? "drain" : "enabled");
	announcer_look(lb);
	return 0;
}

int64_t announcer_drained_s(const struct announcer *a)
{
	return a ? a->drained_s : 0;
}

/* ---- what is wanted ---- */

static struct announce_node node_of(const struct lb *lb)
{
	struct announce_node node = {.drained = lb->announcer->drained_s != 0,
				     .detached = lb->detached,
				     .served = lb->served,
				     .attached = true};

	for (uint32_t i = 0; i < lb->config->node.n_interfaces; i++)
		node.attached = node.attached && lb->interfaces[i].attached != ATTACH_NONE;
	return node;
}

static const struct announce_vip *vip_find(const struct announcer *a, const void *vip)
{
	uint32_t low = 0, high = a ? a->n : 0;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order = memcmp(&a->vips[middle].addr, vip, sizeof(struct addr));

		if (order == 0)
			return &a->vips[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

bool announcer_has(const struct announcer *a, const uint8_t vip[static 16])
{
	const struct announce_vip *v = vip_find(a, vip);

	return v && v->why == ANNOUNCED && !v->missing;
}

const struct announce_vip *announcer_vips(const struct announcer *a, const int64_t **ret_since_s,
					  uint32_t *ret_n)
{
	*ret_since_s = a ? a->since_s : NULL;
	*ret_n = a ? a->n : 0;
	return a ? a->vips : NULL;
}

static void change_tell(const struct announce_vip *v, uint32_t nth)
{
	static const char *const whys[] = ANNOUNCE_WHYS;
	char text[INET6_ADDRSTRLEN];

	if (nth > TOLD_MOST)
		return; /* routes_set()'s count is told */
	addr_format(&v->addr, text);
	if (v->why == ANNOUNCED)
		log_notice("announced: vip=%s", text);
	else
		log_notice("withdrawn: vip=%s why=\"%s\"", text, whys[v->why]);
}

/* vips_take: @vips are what is wanted now. Takes them. */
static int vips_take(struct announcer *a, struct announce_vip *vips, uint32_t n)
{
	int64_t *since_s = calloc(n + 1, sizeof(*since_s)), now_s = time(NULL);
	uint32_t told = 0;

	if (!since_s) {
		free(vips);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < n; i++) {
		const struct announce_vip *old = vip_find(a, &vips[i].addr);

		since_s[i] = old ? a->since_s[old - a->vips] : now_s;
		vips[i].missing = !old || old->missing || old->why != ANNOUNCED;
		if (old && old->why == vips[i].why)
			continue;
		if (!old || (old->why == ANNOUNCED) != (vips[i].why == ANNOUNCED)) {
			since_s[i] = now_s;
			if (old || vips[i].why == ANNOUNCED)
				change_tell(&vips[i], ++told);
		}
	}
	free(a->vips);
	free(a->since_s);
	a->vips = vips;
	a->since_s = since_s;
	a->n = n;
	return 0;
}

/* ---- what is done ---- */

static void problem_take(struct announcer *a, const struct config_announce *way, int error)
{
	char text[PROBLEM_SIZE] = "";

	if (error == -EEXIST)
		snprintf(
			text, sizeof(text),
			"table %u has a route to a virtual address that is not of protocol %u, in the place of ours: delete it (ip route show table %u), or give \"announce\" another metric or table",
			way->table, way->protocol, way->table);
	else if (error < 0)
		snprintf(
			text, sizeof(text),
			"the routes of table %u are not all as wanted: %s; it is tried again every %d s",
			way->table, strerror(-error), LOOK_S);
	if (error < 0 && strcmp(text, a->problem) != 0)
		log_err("%s", text);
	memcpy(a->problem, text, sizeof(text));
}

const char *announcer_problem(const struct announcer *a)
{
	return a ? a->problem : "";
}

/* set: the routes become those VIPs that are announced, or none. */
static int set(struct announcer *a, const struct config_announce *way, bool none, bool only_remove)
{
	struct addr *vips = calloc(a->n + 1, sizeof(*vips));
	bool *missing = calloc(a->n + 1, sizeof(*missing));
	uint32_t n = 0, changed[2];
	int r;

	if (!vips || !missing) {
		free(vips);
		free(missing);
		return -ENOMEM;
	}
	if (!a->routes)
		a->routes = routes_new();
	for (uint32_t i = 0; i < a->n && !none; i++) {
		if (a->vips[i].why != ANNOUNCED)
			continue;
		missing[n] = a->vips[i].missing; /* until it is known */
		vips[n++] = a->vips[i].addr;
	}
	r = a->routes ? routes_set(a->routes, way, vips, n, only_remove, missing, changed) : -errno;
	for (uint32_t i = 0, k = 0; a->routes && i < a->n && k < n; i++) {
		if (a->vips[i].why == ANNOUNCED)
			a->vips[i].missing = missing[k++];
	}
	if (a->routes && changed[0] + changed[1])
		log_info("routes: table=%u added=%u removed=%u", way->table, changed[0],
			 changed[1]);
	free(vips);
	free(missing);
	return r;
}

static bool same_place(const struct config_announce *a, const struct config_announce *b)
{
	return a->table == b->table && a->protocol == b->protocol;
}

/* place_keep: before there is a route of ours there, and after there is none. */
static void place_keep(struct announcer *a, const struct config_announce *way)
{
	int r;

	if (a->kept.on == way->on && (!way->on || same_place(&a->kept, way)))
		return;
	r = kept_place_set(a->folder, way);
	if (r < 0)
		log_warning("not kept where the routes are: folder=%s error=\"%s\"", a->folder,
			    strerror(-r));
	a->kept = *way;
}

/* Those that there may be; true: there is none any more. */
static bool all_withdraw(struct announcer *a, const struct config_announce *way)
{
	if (set(a, way, true, true) == 0)
		return true;
	log_err("routes of table %u not withdrawn", way->table);
	return false;
}

void announcer_withdraw(struct announcer *a)
{
	if (!a || !a->way.on)
		return;
	if (all_withdraw(a, &a->way))
		place_keep(a, &(struct config_announce){.on = false});
	a->way.on = false;
	event_del(a->timer);
}

void announcer_look(struct lb *lb)
{
	struct announcer *a = lb->announcer;
	struct config_announce before;
	struct announce_vip *vips;
	struct announce_node node;
	uint32_t n;
	int r;

	if (!a || !lb->config || lb->stopping)
		return;
	before = a->way;
	a->way = lb->config->announce;
	if (!a->way.on) {
		if (before.on && all_withdraw(a, &before))
			place_keep(a, &a->way);
		a->n = 0;
		a->problem[0] = '\0';
		return;
	}
	place_keep(a, &a->way);
	node = node_of(lb);
	r = announce_wanted(lb->config, lb->backends, lb->instances, &node, &vips, &n);
	r = r < 0 ? r : vips_take(a, vips, n);
	r = r < 0 ? r : set(a, &a->way, false, reconciler_waits(lb->reconciler));
	problem_take(a, &a->way, r);
	if (before.on && !same_place(&before, &a->way))
		all_withdraw(a, &before);
	event_add(a->timer, &(struct timeval){.tv_sec = LOOK_S});
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	announcer_look(arg);
}

struct announcer *announcer_new(struct lb *lb, const char *folder)
{
	struct announcer *a = calloc(1, sizeof(*a));

	if (a)
		a->timer = event_new(lb->loop, -1, 0, on_timer, lb);
	if (!a || !a->timer || strlen(folder) >= sizeof(a->folder)) {
		announcer_free(a);
		return NULL;
	}
	strcpy(a->folder, folder);
	a->drained_s = kept_drained_s(folder);
	if (kept_place(folder, &a->kept))
		a->way = a->kept;
	return a;
}

void announcer_free(struct announcer *a)
{
	if (!a)
		return;
	if (a->timer)
		event_free(a->timer);
	routes_free(a->routes);
	free(a->vips);
	free(a->since_s);
	free(a);
}
