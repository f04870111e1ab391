/* SPDX-License-Identifier: BSD-2-Clause */
/* balance.c: see balance.h. */
#include "lb/balance.h"

#include <event2/event.h>
#include <stdlib.h>

#include "base/log.h"
#include "lb/feedback.h"
#include "lb/partner_live.h"
#include "lb/reconcile.h"
#include "lb/share.h"

struct balance {
	struct event *timer;
	bool starts;	 /* a slow start is under way */
	uint64_t fed_ms; /* CLOCK_MONOTONIC: the last round of feedback */
};

/* ---- slow starts ---- */

/* Did a share change? */
static bool starts_step(struct lb *lb)
{
	uint64_t now_ms = clock_ms();
	bool changed = false;

	lb->balance->starts = false;
	for (uint32_t i = 0; i < lb->config->n_pools; i++) {
		const struct config_pool *pool = config_pool(lb->config, i);
		bool starting;

		if (pool_starts(pool, config_backend(lb->config, pool->first_backend),
				lb->backends + pool->first_backend, now_ms, lb->served, &starting))
			changed = true;
		lb->balance->starts = lb->balance->starts || starting;
	}
	return changed;
}

/* ---- limits ---- */

/* On all nodes that have the traffic. */
static uint64_t live_of(struct lb *lb, uint32_t i)
{
	return lb_live(lb, i) + partner_live_sum(lb, i);
}

static bool limits_step(struct lb *lb)
{
	bool changed = false;

	for (uint32_t i = 0; i < lb->config->n_backends; i++) {
		uint32_t limit = config_backend(lb->config, i)->max_connections;
		struct lb_backend *b = &lb->backends[i];
		bool full = limit > 0 && limit_reached(b->full, live_of(lb, i), limit);

		if (partner_leads(lb, config_backend(lb->config, i)->pool))
			continue;
		changed = changed || full != b->full;
		b->full = full;
	}
	return changed;
}

/* ---- feedback ---- */

static bool pool_feed(struct lb *lb, const struct config_pool *pool)
{
	struct feedback_backend *rows = calloc(pool->n_backends, sizeof(*rows));
	struct lb_backend *b = lb->backends + pool->first_backend;
	bool changed;

	if (!rows)
		return false; /* the next round may have memory */
	for (uint32_t i = 0; i < pool->n_backends; i++) {
		const struct config_backend *conf =
			config_backend(lb->config, pool->first_backend + i);

		rows[i] = (struct feedback_backend){
			.weight = b[i].weight == WEIGHT_NONE ? conf->weight : (uint32_t)b[i].weight,
			.takes_part = pool->feedback && (b[i].takes_new || b[i].full),
			.gives = b[i].gives,
			.claims = b[i].claims};
		if (rows[i].takes_part)
			rows[i].live = live_of(lb, pool->first_backend + i);
	}
	changed = feedback_round(rows, pool->n_backends);
	for (uint32_t i = 0; i < pool->n_backends; i++) {
		b[i].gives = rows[i].gives;
		b[i].claims = rows[i].claims;
	}
	free(rows);
	return changed;
}

/* A pool whose feedback was turned off gives the shares back. */
static bool feedback_step(struct lb *lb)
{
	uint64_t now_ms = clock_ms();
	bool changed = false;

	if (now_ms < lb->balance->fed_ms + FEEDBACK_MS)
		return false;
	lb->balance->fed_ms = now_ms;
	for (uint32_t i = 0; i < lb->config->n_pools; i++)
		changed = (!partner_leads(lb, i) && pool_feed(lb, config_pool(lb->config, i))) ||
			  changed;
	return changed;
}

/* ---- the timer ---- */

static bool is_needed(const struct lb *lb)
{
	bool needed = lb->balance->starts;

	for (uint32_t i = 0; i < lb->config->n_backends && !needed; i++)
		needed = config_backend(lb->config, i)->max_connections > 0 ||
			 lb->backends[i].full || lb->backends[i].gives > 0;
	for (uint32_t i = 0; i < lb->config->n_pools && !needed; i++)
		needed = config_pool(lb->config, i)->feedback;
	return needed;
}

static void timer_set(struct lb *lb)
{
	if (!event_pending(lb->balance->timer, EV_TIMEOUT, NULL) && is_needed(lb))
		event_add(lb->balance->timer, &(struct timeval){.tv_usec = BALANCE_MS * 1000});
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct lb *lb = arg;

	(void)fd;
	(void)what;
	if (!lb->config || lb->stopping)
		return;
	if (starts_step(lb))
		lb_reconcile(lb, "slow start");
	if (limits_step(lb))
		lb_reconcile(lb, "max_connections");
	if (feedback_step(lb))
		lb_reconcile(lb, "feedback");
	timer_set(lb);
}

void balance_look(struct lb *lb)
{
	starts_step(lb);
	timer_set(lb);
}

struct balance *balance_new(struct lb *lb)
{
	struct balance *b = calloc(1, sizeof(*b));

	if (b)
		b->timer = event_new(lb->loop, -1, 0, on_tick, lb);
	if (b && !b->timer) {
		free(b);
		return NULL;
	}
	return b;
}

void balance_free(struct balance *balance)
{
	if (!balance)
		return;
	event_free(balance->timer);
	free(balance);
}
