/* SPDX-License-Identifier: BSD-2-Clause */
/* partner_slots.c: SLOTS: a pool's statement (words.h) whenever its table changes, and to whoever
 * comes. Only a node that has the traffic of one of its services knows which flows there are; so it
 * speaks, and the others believe it.
 */
#include "lb/partner_flows.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "lb/partner_kinds.h"
#include "lb/reconcile.h"

enum { SAY_MS = 2, WAIT_MS = 20 };

struct partner_slots {
	struct event *timer;
	uint64_t serial;
	bool due[POOL_MAX], here[POOL_MAX];
	struct words said[POOL_MAX];
	/* Of each node: two may speak of one pool at once. NULL = nobody spoke of it yet. */
	struct words *coming[POOL_MAX];
	uint32_t peer[POOL_MAX]; /* who said it */
	uint64_t keys[BACKEND_NONE + 1];
};

/* ---- who has the traffic ---- */

static bool has_vip(const struct config_instance *instance, const uint8_t vip[static 16])
{
	for (uint32_t k = 0; k < instance->n_addresses; k++) {
		if (memcmp(&instance->addresses[k].addr, vip, 16) == 0)
			return true;
	}
	return false;
}

bool partner_vip_here(const struct lb *lb, const uint8_t vip[static 16])
{
	bool any = false;

	for (uint32_t i = 0; lb->config && i < lb->config->n_instances; i++) {
		if (!has_vip(config_instance(lb->config, i), vip))
			continue;
		if (lb->instances[i].vrrp.role == VRRP_ACTIVE)
			return true;
		any = true;
	}
	return !any;
}

static void pools_here(const struct lb *lb, bool ret_here[static POOL_MAX])
{
	memset(ret_here, 0, POOL_MAX * sizeof(*ret_here));
	for (uint32_t i = 0; i < SERVICE_MAX; i++) {
		const struct current_service *s = &lb->current->services[i];

		if (s->used && s->plane.pool < POOL_MAX && !ret_here[s->plane.pool])
			ret_here[s->plane.pool] = partner_vip_here(lb, s->key.addr);
	}
}

/* ---- saying ---- */

struct to {
	struct lb *lb;
	uint32_t peer;
};

static int emit(void *owner, const uint8_t *bytes, size_t n)
{
	const struct to *to = owner;

	return partner_send(to->lb, to->peer, PARTNER_SLOTS, bytes, n);
}

static void pool_say(struct lb *lb, uint32_t number, uint32_t peer)
{
	struct partner_slots *p = lb->partner_slots;
	const struct current_pool *pool = &lb->current->pools[number];
	struct to to = {lb, peer};

	if (!pool->used || pool->table.n == 0)
		return;
	current_keys(lb->current, p->keys);
	words_say(&pool->table, p->keys, word_pool_key(pool->name),
		  words_digest_table(&pool->table, p->keys, lb->current->settings.key_print),
		  SYNC_RECORD_MOST, emit, &to);
}

/* A statement fits into what `fill` may take; what changes fast waits for the rest to go. */
static bool has_room(const struct lb *lb)
{
	for (uint32_t i = 0; i < CONFIG_NODES; i++) {
		uint32_t room = sync_up(partner_sync(lb), i) ? sync_room(partner_sync(lb), i)
							     : STREAM_WINDOW;

		if (room < SYNC_FILL_ROOM)
			return false;
	}
	return true;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct lb *lb = arg;
	struct partner_slots *p = lb->partner_slots;

	(void)fd;
	(void)what;
	pools_here(lb, p->here);
	for (uint32_t i = 0; i < POOL_MAX; i++) {
		if (!p->due[i])
			continue;
		if (!has_room(lb)) {
			event_add(p->timer, &(struct timeval){.tv_usec = WAIT_MS * 1000});
			return;
		}
		p->due[i] = false;
		if (p->here[i])
			pool_say(lb, i, PARTNER_ALL);
	}
}

static void say_soon(struct lb *lb)
{
	if (partner_any(lb) && !event_pending(lb->partner_slots->timer, EV_TIMEOUT, NULL))
		event_add(lb->partner_slots->timer, &(struct timeval){.tv_usec = SAY_MS * 1000});
}

void partner_slots_applied(struct lb *lb, const struct plan *plan)
{
	bool any = false;

	for (size_t i = 0; lb->partner_slots && i < plan->done; i++) {
		const struct step *s = &plan->steps[i];

		if ((s->kind != STEP_TABLE && s->kind != STEP_POOL_ADD) || !s->differs)
			continue;
		lb->partner_slots->due[s->number] = any = true;
	}
	if (any)
		say_soon(lb);
}

/* Whose traffic has come here is ours to speak of. */
static void tick(struct lb *lb)
{
	struct partner_slots *p = lb->partner_slots;
	bool had[POOL_MAX], any = false;

	memcpy(had, p->here, sizeof(had));
	pools_here(lb, p->here);
	for (uint32_t i = 0; i < POOL_MAX; i++) {
		if (p->here[i] && !had[i])
			p->due[i] = any = true;
	}
	if (any)
		say_soon(lb);
}

static bool fill(struct lb *lb, uint32_t peer, uint64_t *cursor)
{
	pools_here(lb, lb->partner_slots->here);
	while (*cursor < POOL_MAX) {
		uint32_t i = (uint32_t)(*cursor)++;

		if (!lb->partner_slots->here[i] || !lb->current->pools[i].used)
			continue;
		pool_say(lb, i, peer);
		break;
	}
	return *cursor < POOL_MAX;
}

/* ---- hearing ---- */

static int pool_find(const struct lb *lb, uint64_t key)
{
	for (uint32_t i = 0; i < POOL_MAX; i++) {
		if (lb->current->pools[i].used && word_pool_key(lb->current->pools[i].name) == key)
			return (int)i;
	}
	return -ENOENT;
}

static struct words *coming_of(struct partner_slots *p, int pool, uint32_t peer)
{
	if (!p->coming[pool])
		p->coming[pool] = calloc(CONFIG_NODES, sizeof(*p->coming[pool]));
	return p->coming[pool] ? &p->coming[pool][peer] : NULL;
}

static void record(struct lb *lb, uint32_t peer, const uint8_t *bytes, size_t n)
{
	struct partner_slots *p = lb->partner_slots;
	int i = pool_find(lb, words_pool(bytes, n));
	struct words *coming = i < 0 ? NULL : coming_of(p, i, peer);

	if (!coming || words_hear(coming, lb->current->settings.slots, bytes, n) <= 0)
		return;
	words_fini(&p->said[i]);
	p->said[i] = *coming;
	p->said[i].serial = ++p->serial;
	*coming = (struct words){0};
	p->peer[i] = peer;
	lb_reconcile(lb, "partner");
}

static void down(struct lb *lb, uint32_t peer)
{
	struct partner_slots *p = lb->partner_slots;

	for (uint32_t i = 0; i < POOL_MAX; i++) {
		if (p->coming[i])
			words_fini(&p->coming[i][peer]);
		if (p->peer[i] == peer)
			words_fini(&p->said[i]);
	}
}

const struct words *partner_slots_words(struct lb *lb)
{
	struct partner_slots *p = lb->partner_slots;
	bool here[POOL_MAX];

	if (!p)
		return NULL;
	pools_here(lb, here);
	for (uint32_t i = 0; i < POOL_MAX; i++) {
		if (here[i] || !lb->current->pools[i].used)
			words_fini(&p->said[i]);
	}
	return p->said;
}

const struct partner_kind partner_slots_kind = {
	.type = PARTNER_SLOTS, .record = record, .fill = fill, .down = down, .tick = tick};

/* ---- life ---- */

struct partner_slots *partner_slots_new(struct lb *lb)
{
	struct partner_slots *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->timer = event_new(lb->loop, -1, 0, on_timer, lb);
	if (!p->timer) {
		free(p);
		return NULL;
	}
	return p;
}

void partner_slots_free(struct partner_slots *p)
{
	if (!p)
		return;
	for (uint32_t i = 0; i < POOL_MAX; i++) {
		words_fini(&p->said[i]);
		for (uint32_t peer = 0; p->coming[i] && peer < CONFIG_NODES; peer++)
			words_fini(&p->coming[i][peer]);
		free(p->coming[i]);
	}
	event_free(p->timer);
	free(p);
}
