/* SPDX-License-Identifier: BSD-2-Clause */
/* track.c: see track.h. */
#include "lb/track.h"

#include <bpf/libbpf.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/channel.h"
#include "lb/interface.h"
#include "lb/partner_pools.h"
#include "lb/share.h"

enum {
	TICK_MS = 50,
	XDP_TICKS = 20, /* the program is looked for once a second */
	FEWER_TICKS =
		5 * 20, /* each node probes by itself, and hears of a change at its own time */
};

struct tracker {
	struct lb *lb;
	struct event *tick;
	uint32_t ticks, n;
	bool xdp_gone[CONFIG_INTERFACES]; /* though we have attached it */
	struct tracked all[CONFIG_TRACKS];
	uint32_t fewer_ticks[CONFIG_TRACKS]; /* for which a partner has seen more */
};

static void take(struct tracked *t, bool failed, const char *text)
{
	if (!t->known || t->failed != failed)
		t->since_s = time(NULL);
	t->known = true;
	t->failed = failed;
	snprintf(t->text, sizeof(t->text), "%s", text);
}

static void tell(const struct tracker *t, const struct tracked *tracked)
{
	struct message_track m = {.failed = tracked->failed};

	memcpy(m.track, tracked->name, sizeof(m.track));
	memcpy(m.text, tracked->text, sizeof(m.text));
	channel_send(t->lb->channel, MESSAGE_TRACK, &m, -1);
}

static void find(struct tracker *t, struct tracked *tracked, bool failed, const char *text)
{
	if (tracked->known && tracked->failed == failed && strcmp(tracked->text, text) == 0)
		return;
	take(tracked, failed, text);
	tell(t, tracked);
}

/* ---- pool ---- */

bool pool_fails(const char *pool, uint32_t good, uint32_t n, uint32_t least_percent,
		char ret_text[static VERDICT_TEXT])
{
	snprintf(ret_text, VERDICT_TEXT, "%u of %u backends of pool %.48s are up (least %u %%)",
		 good, n, pool, least_percent);
	return (uint64_t)good * 100 < (uint64_t)least_percent * n;
}

/* Does a partner see more, for long enough? */
static bool pool_is_worse(struct tracker *t, uint32_t i, uint32_t good, uint32_t n,
			  char text[VERDICT_TEXT])
{
	const struct config_track *track = config_track(t->lb->config, i);
	uint32_t peer = 0, best = track->fewer ? partner_pools_best(t->lb, track->pool, &peer) : 0;

	if (best <= good) {
		t->fewer_ticks[i] = 0;
		return false;
	}
	if (t->fewer_ticks[i] < FEWER_TICKS && ++t->fewer_ticks[i] < FEWER_TICKS)
		return false;
	snprintf(text, VERDICT_TEXT, "%u of %u backends of pool %.32s are up, %u at %.32s", good, n,
		 config_pool(t->lb->config, track->pool)->name, best, t->lb->config->nodes[peer]);
	return true;
}

static void pool_find(struct tracker *t, uint32_t i)
{
	const struct config_track *track = config_track(t->lb->config, i);
	const struct lb *lb = t->lb;
	const struct config_pool *pool = config_pool(lb->config, track->pool);
	char text[VERDICT_TEXT];
	uint32_t n, good;
	bool fails;

	if (!lb->ready)
		return;
	good = pool_health(pool, config_backend(lb->config, pool->first_backend),
			   lb->backends + pool->first_backend, &n);
	fails = pool_fails(pool->name, good, n, track->least_percent, text);
	find(t, &t->all[i], fails || pool_is_worse(t, i, good, n, text), text);
}

/* ---- plane ---- */

static void xdp_look(struct tracker *t)
{
	const struct lb *lb = t->lb;

	for (uint32_t i = 0; i < lb->config->node.n_interfaces; i++) {
		const struct lb_interface *in = &lb->interfaces[i];
		uint32_t id;

		t->xdp_gone[i] = in->attached != ATTACH_NONE && in->ifindex &&
				 bpf_xdp_query_id((int)in->ifindex, 0, &id) == 0 && id == 0;
	}
}

/* What is wrong with the interface; false: nothing. */
static bool interface_fails(const struct tracker *t, uint32_t i, char text[VERDICT_TEXT])
{
	const struct lb_interface *in = &t->lb->interfaces[i];
	struct lb_interface now = *in;

	interface_read(&now);
	if (!now.ifindex)
		snprintf(text, VERDICT_TEXT, "there is no interface %s", in->name);
	else if (!now.up)
		snprintf(text, VERDICT_TEXT, "interface %s has no carrier", in->name);
	else if (in->attached == ATTACH_NONE || t->xdp_gone[i])
		snprintf(text, VERDICT_TEXT, "the XDP program is not attached at %s", in->name);
	else
		return false;
	return true;
}

static void plane_find(struct tracker *t, struct tracked *tracked)
{
	const struct config_node *node = &t->lb->config->node;
	char text[VERDICT_TEXT] = "attached, and every interface has a carrier";
	bool failed = false;

	if (!t->lb->served)
		return;
	for (uint32_t i = 0; i < node->n_interfaces && !failed; i++)
		failed = interface_fails(t, i, text);
	find(t, tracked, failed, text);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct tracker *t = arg;
	bool look = t->ticks++ % XDP_TICKS == 0;

	(void)fd;
	(void)what;
	for (uint32_t i = 0; i < t->n; i++) {
		const struct config_track *track = config_track(t->lb->config, i);

		if (track->type == TRACK_POOL)
			pool_find(t, i);
		if (track->type != TRACK_PLANE)
			continue;
		if (look)
			xdp_look(t);
		look = false;
		plane_find(t, &t->all[i]);
	}
}

/* ---- the others', and the configuration ---- */

static struct tracked *by_name(struct tracker *t, const char *name)
{
	for (uint32_t i = 0; i < t->n; i++) {
		if (strcmp(t->all[i].name, name) == 0)
			return &t->all[i];
	}
	return NULL;
}

static bool is_ours(enum config_track_type type)
{
	return type == TRACK_POOL || type == TRACK_PLANE;
}

void tracker_hear(struct tracker *t, const struct message_track *m)
{
	struct tracked *tracked = by_name(t, m->track);

	if (tracked && (!is_ours(tracked->type) || !tracked->known))
		take(tracked, m->failed, m->text);
}

const struct tracked *tracker_of(const struct tracker *t, uint32_t i)
{
	return &t->all[i];
}

void tracker_configure(struct tracker *t)
{
	const struct config *config = t->lb->config;
	struct tracker before = *t;
	bool any = false;

	memset(t->all, 0, sizeof(t->all));
	memset(t->xdp_gone, 0, sizeof(t->xdp_gone));
	memset(t->fewer_ticks, 0, sizeof(t->fewer_ticks));
	t->n = config->n_tracks;
	for (uint32_t i = 0; i < t->n; i++) {
		const struct config_track *track = config_track(config, i);
		const struct tracked *old = by_name(&before, track->name);
		struct tracked *new = &t->all[i];

		if (old && old->type == track->type)
			*new = *old;
		memcpy(new->name, track->name, sizeof(new->name));
		new->type = track->type;
		if (!is_ours(track->type))
			continue;
		any = true;
		if (new->known)
			tell(t, new);
	}
	event_del(t->tick);
	if (any)
		event_add(t->tick, &(struct timeval){.tv_usec = TICK_MS * 1000});
}

struct tracker *tracker_new(struct lb *lb)
{
	struct tracker *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->lb = lb;
	t->tick = event_new(lb->loop, -1, EV_PERSIST, on_tick, t);
	if (!t->tick) {
		free(t);
		return NULL;
	}
	return t;
}

void tracker_free(struct tracker *t)
{
	if (!t)
		return;
	event_free(t->tick);
	free(t);
}
