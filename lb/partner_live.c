/* SPDX-License-Identifier: BSD-2-Clause */
/* partner_live.c: LIVE: what a node that has a pool's traffic knows of its backends: their live
 * connections, and what feedback, limits and slow starts came to. So that all nodes have the same
 * tables, one of those that have the traffic leads: the first in config->nodes; the others do as it
 * says (balance.c asks partner_leads()). What it counts is the sum over all of them.
 *
 * A node has the traffic of a pool when a service that uses it has a VIP that is not virtual, or
 * whose instance is active here: the flows that a backup still remembers live on at its partner.
 *
 *   rows of  0  backend (8)  live (4)  gives (2)  claims (2)  ms since its slow start began (4)
 *           20  flags (4): has the traffic, is full
 */
#include "lb/partner_live.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "lb/partner_kinds.h"
#include "lb/reconcile.h"

enum {
	ROW_BYTES = 24,
	TICKS = 2, /* it is said every second of them */
	RECORDS_A_TICK = 100,
	HAS_TRAFFIC = 1,
	IS_FULL = 2,
};

struct live_word { /* all of a backend's row, but its key */
	uint32_t live;
	uint16_t gives, claims;
	uint64_t start_ms; /* in this node's CLOCK_MONOTONIC, also before it began; 0 = none */
	bool has, full;
};

struct live_row {
	struct live_word own;	 /* as it was said last, to everybody */
	bool unsure;		 /* see partner_row_due() */
	struct live_word *peers; /* of each node; NULL = nobody said anything */
};

struct partner_live {
	uint32_t n_backends, n_pools, n_services;
	struct live_row *rows;
	bool *has;	    /* of each pool: this node has the traffic */
	int32_t *instances; /* of each service: where its VIP is; -1 = it is not virtual */
	uint32_t ticks, at; /* where the next tick goes on */
};

/* ---- whose traffic it is ---- */

struct vip {
	struct addr addr;
	int32_t instance;
};

static int vip_compare(const void *a, const void *b)
{
	return memcmp(&((const struct vip *)a)->addr, &((const struct vip *)b)->addr,
		      sizeof(struct addr));
}

static void instances_find(const struct config *c, int32_t *instances)
{
	struct vip *vips = calloc((size_t)c->n_instances * CONFIG_ADDRESSES + 1, sizeof(*vips));
	size_t n = 0;

	for (uint32_t i = 0; vips && i < c->n_instances; i++) {
		const struct config_instance *instance = config_instance(c, i);

		for (uint32_t k = 0; k < instance->n_addresses; k++)
			vips[n++] = (struct vip){instance->addresses[k].addr, (int32_t)i};
	}
	if (n > 0)
		qsort(vips, n, sizeof(*vips), vip_compare);
	for (uint32_t i = 0; i < c->n_services; i++) {
		const struct vip wanted = {.addr = config_service(c, i)->vip};
		const struct vip *found =
			n > 0 ? bsearch(&wanted, vips, n, sizeof(wanted), vip_compare) : NULL;

		instances[i] = found ? found->instance : -1;
	}
	free(vips);
}

static void traffic_look(const struct lb *lb, struct partner_live *l)
{
	memset(l->has, 0, l->n_pools);
	for (uint32_t i = 0; i < l->n_services; i++) {
		uint32_t pool = config_service(lb->config, i)->pool;
		int32_t backup = config_pool(lb->config, pool)->backup_pool;

		if (l->instances[i] >= 0 && lb->instances[l->instances[i]].vrrp.role != VRRP_ACTIVE)
			continue;
		l->has[pool] = true;
		if (backup >= 0)
			l->has[backup] = true;
	}
}

/* The first of the others that has the backend's traffic; -1 = none. */
static int first_of(const struct lb *lb, uint32_t i)
{
	const struct live_row *row = &lb->live->rows[i];

	for (uint32_t peer = 0; row->peers && peer < lb->config->n_nodes; peer++) {
		if (row->peers[peer].has)
			return (int)peer;
	}
	return -1;
}

static int leader_of(const struct lb *lb, uint32_t i)
{
	int peer = lb->live ? first_of(lb, i) : -1;

	if (peer >= 0 && lb->live->has[config_backend(lb->config, i)->pool] &&
	    (uint32_t)peer > lb->config->node_index)
		return -1;
	return peer;
}

bool partner_leads(const struct lb *lb, uint32_t pool)
{
	const struct config_pool *p = config_pool(lb->config, pool);

	return p->n_backends > 0 && leader_of(lb, p->first_backend) >= 0;
}

uint64_t partner_live_sum(const struct lb *lb, uint32_t i)
{
	const struct live_row *row = lb->live ? &lb->live->rows[i] : NULL;
	uint64_t sum = 0;

	for (uint32_t peer = 0; row && row->peers && peer < lb->config->n_nodes; peer++) {
		if (row->peers[peer].has)
			sum += row->peers[peer].live;
	}
	return sum;
}

/* ---- saying it ---- */

static struct live_word word_of(struct lb *lb, uint32_t i)
{
	const struct lb_backend *b = &lb->backends[i];
	uint64_t live;

	if (!lb->live->has[config_backend(lb->config, i)->pool])
		return (struct live_word){0};
	live = lb_live(lb, i);
	return (struct live_word){.live = live < UINT32_MAX ? (uint32_t)live : UINT32_MAX,
				  .gives = b->gives,
				  .claims = b->claims,
				  .start_ms = b->start_ms,
				  .has = true,
				  .full = b->full};
}

static bool word_equal(const struct live_word *a, const struct live_word *b)
{
	return a->live == b->live && a->gives == b->gives && a->claims == b->claims &&
	       a->start_ms == b->start_ms && a->has == b->has && a->full == b->full;
}

static void word_write(const struct lb *lb, uint32_t i, const struct live_word *w, uint8_t *at)
{
	uint64_t since_ms = w->start_ms ? clock_ms() - w->start_ms + 1 : 0;

	sync_put64(at, partner_backend_key(lb, i));
	sync_put32(at + 8, w->live);
	sync_put16(at + 12, w->gives);
	sync_put16(at + 14, w->claims);
	sync_put32(at + 16, since_ms < UINT32_MAX ? (uint32_t)since_ms : UINT32_MAX);
	sync_put32(at + 20, (w->has ? HAS_TRAFFIC : 0) | (w->full ? IS_FULL : 0));
}

/* Said to one node: also those whose traffic is not here, as it may have been when they were said
 * last, before a reload.
 */
static bool row_put(struct lb *lb, uint32_t i, bool all, uint8_t *ret_row)
{
	struct live_row *row = &lb->live->rows[i];
	struct live_word now = word_of(lb, i);

	if (!partner_row_due(!word_equal(&now, &row->own), all, &row->unsure))
		return false;
	word_write(lb, i, &now, ret_row);
	if (!all)
		row->own = now;
	return true;
}

static void say(struct lb *lb, uint32_t peer, uint64_t *at, bool all)
{
	const struct partner_rows rows = {.type = PARTNER_LIVE,
					  .n = lb->live->n_backends,
					  .row_bytes = ROW_BYTES,
					  .put = row_put};

	partner_rows_say(lb, peer, &rows, at, all);
}

static bool fill(struct lb *lb, uint32_t peer, uint64_t *cursor)
{
	if (!lb->live)
		return false;
	say(lb, peer, cursor, true);
	return *cursor < lb->live->n_backends;
}

/* ---- doing it ---- */

/* Do as the leader says. Did anything change? */
static bool follow(struct lb *lb, uint32_t i)
{
	int leader = leader_of(lb, i);
	struct lb_backend *b = &lb->backends[i];
	const struct live_word *w;
	bool changed;

	if (leader < 0)
		return false;
	w = &lb->live->rows[i].peers[leader];
	changed = b->gives != w->gives || b->claims != w->claims || b->full != w->full ||
		  (b->usable_ms && (b->start_ms == 0) != (w->start_ms == 0));
	b->gives = w->gives;
	b->claims = w->claims;
	b->full = w->full;
	if (b->usable_ms)
		b->start_ms = w->start_ms;
	return changed;
}

static void follow_all(struct lb *lb)
{
	bool changed = false;

	for (uint32_t i = 0; i < lb->live->n_backends; i++)
		changed = follow(lb, i) || changed;
	if (changed)
		lb_reconcile(lb, "partner");
}

static void row_take(struct lb *lb, uint32_t peer, const uint8_t *at)
{
	int i = partner_backend_find(lb, sync_get64(at));
	uint32_t since_ms = sync_get32(at + 16), flags = sync_get32(at + 20);
	uint64_t now_ms = clock_ms();
	struct live_row *row;

	if (i < 0)
		return;
	row = &lb->live->rows[i];
	if (!row->peers && !(flags & HAS_TRAFFIC))
		return;
	if (!row->peers)
		row->peers = calloc(CONFIG_NODES, sizeof(*row->peers));
	if (!row->peers)
		return;
	row->peers[peer] = (struct live_word){.live = sync_get32(at + 8),
					      .gives = sync_get16(at + 12),
					      .claims = sync_get16(at + 14),
					      .start_ms = since_ms > 0 ? now_ms - since_ms + 1 : 0,
					      .has = flags & HAS_TRAFFIC,
					      .full = flags & IS_FULL};
}

static void on_live(struct lb *lb, uint32_t peer, const uint8_t *bytes, size_t n)
{
	for (size_t at = 0; lb->live && at + ROW_BYTES <= n; at += ROW_BYTES)
		row_take(lb, peer, bytes + at);
}

static void down(struct lb *lb, uint32_t peer)
{
	for (uint32_t i = 0; lb->live && i < lb->live->n_backends; i++) {
		if (lb->live->rows[i].peers)
			lb->live->rows[i].peers[peer] = (struct live_word){0};
	}
}

static void tick(struct lb *lb)
{
	struct partner_live *l = lb->live;
	uint64_t at;

	if (!l || lb->config->sync.n_links == 0)
		return;
	traffic_look(lb, l);
	follow_all(lb);
	if (++l->ticks % TICKS != 0 || !partner_any(lb))
		return;
	at = l->at < l->n_backends ? l->at : 0;
	for (int i = 0; i < RECORDS_A_TICK && at < l->n_backends; i++)
		say(lb, PARTNER_ALL, &at, false);
	l->at = (uint32_t)at;
}

/* ---- life ---- */

static void fini(struct lb *lb)
{
	struct partner_live *l = lb->live;

	if (!l)
		return;
	for (uint32_t i = 0; l->rows && i < l->n_backends; i++)
		free(l->rows[i].peers);
	free(l->rows);
	free(l->has);
	free(l->instances);
	free(l);
	lb->live = NULL;
}

/* What the others said is asked for again. Out of memory: each node is on its own. */
static void configure(struct lb *lb)
{
	const struct config *c = lb->config;
	struct partner_live *l;

	fini(lb);
	if (c->sync.n_links == 0)
		return;
	l = lb->live = calloc(1, sizeof(*l));
	if (!l)
		return;
	l->n_backends = c->n_backends;
	l->n_pools = c->n_pools;
	l->n_services = c->n_services;
	l->rows = calloc(c->n_backends + 1, sizeof(*l->rows));
	l->has = calloc(c->n_pools + 1, sizeof(*l->has));
	l->instances = calloc(c->n_services + 1, sizeof(*l->instances));
	if (!l->rows || !l->has || !l->instances) {
		fini(lb);
		return;
	}
	instances_find(c, l->instances);
	traffic_look(lb, l);
}

const struct partner_kind partner_live = {.type = PARTNER_LIVE,
					  .record = on_live,
					  .fill = fill,
					  .down = down,
					  .tick = tick,
					  .configure = configure,
					  .fini = fini};
