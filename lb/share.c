/* SPDX-License-Identifier: BSD-2-Clause */
/* share.c: see share.h. */
#include "lb/share.h"

#include "lb/maglev.h"

enum { START_STEPS = 10, SINCE_EVER = 1 };

/* ---- whom a pool uses ---- */

uint16_t backend_share(const struct lb_backend *in)
{
	uint32_t share = in->withheld_start < SHARE_ALL ? SHARE_ALL - in->withheld_start : 1;

	/* 0: no probe has said anything */
	if (in->health.weight > 0 && in->health.weight < 100)
		share = share * in->health.weight / 100;
	return share > 0 ? (uint16_t)share : 1;
}

static enum pool_use use_of(const struct config_pool *pool, uint32_t n_up, uint32_t n_room)
{
	uint32_t least = pool->min_backends > 0 ? pool->min_backends : 1;

	if (n_up >= least)
		return n_room > 0 ? USE_ORDINARY : USE_OVERFLOW;
	switch (pool->below_min) {
	case BELOW_MIN_ALL:
		return USE_ALL;
	case BELOW_MIN_REJECT:
		return USE_NOBODY;
	case BELOW_MIN_BACKUP:
		break;
	}
	return USE_BACKUPS;
}

/* As if its probe had passed; one that has no result yet waits for it as always. */
static struct fate fate_as_up(const struct config_pool *pool, const struct config_backend *conf,
			      const struct lb_backend *in)
{
	struct lb_backend up = *in;

	if (up.health.health != HEALTH_UNKNOWN)
		up.health.health = HEALTH_UP;
	return backend_fate(pool, conf, &up);
}

static struct fate fate_in(enum pool_use use, const struct config_pool *pool,
			   const struct config_backend *conf, const struct lb_backend *in)
{
	struct fate fate =
		use == USE_ALL ? fate_as_up(pool, conf, in) : backend_fate(pool, conf, in);

	if (in->full || use == USE_NOBODY || (use == USE_ORDINARY && conf->backup))
		fate.takes_new = false;
	fate.share = fate.takes_new ? backend_share(in) : 0;
	return fate;
}

enum pool_use pool_fates(const struct config_pool *pool, const struct config_backend *conf,
			 const struct lb_backend *in, struct fate *ret_fates)
{
	uint32_t n_up = 0, n_room = 0;
	enum pool_use use;

	for (uint32_t i = 0; i < pool->n_backends; i++) {
		if (conf[i].backup || !backend_fate(pool, &conf[i], &in[i]).takes_new)
			continue;
		n_up++;
		n_room += !in[i].full;
	}
	use = use_of(pool, n_up, n_room);
	for (uint32_t i = 0; ret_fates && i < pool->n_backends; i++)
		ret_fates[i] = fate_in(use, pool, &conf[i], &in[i]);
	return use;
}

/* ---- slow start ---- */

/* Its server is there; a drain or a weight of 0 does not change that. */
static bool is_usable(const struct config_pool *pool, const struct lb_backend *in)
{
	enum health health = backend_health(pool, in);

	if (in->by_operator == OPERATOR_DISABLED || !in->neighbour.was_known)
		return false;
	return health == HEALTH_UP || (health == HEALTH_UNKNOWN && in->kept_alive);
}

static bool is_warm(const struct config_pool *pool, const struct config_backend *conf,
		    const struct lb_backend *in, uint64_t now_ms)
{
	if (conf->backup || !is_usable(pool, in) || in->usable_ms == 0 || in->start_ms > 0)
		return false;
	return in->usable_ms == SINCE_EVER || in->usable_ms + pool->slow_start_ms <= now_ms;
}

/* It became usable. */
static void start_begin(struct lb_backend *b, uint64_t now_ms, bool served, bool slowly)
{
	/* what the data plane of a process before us had was there all the time */
	bool ever = !served || b->health.health == HEALTH_UNKNOWN;

	b->usable_ms = ever ? SINCE_EVER : now_ms;
	b->start_ms = !ever && slowly ? now_ms : 0;
}

static void start_go_on(const struct config_pool *pool, struct lb_backend *b, uint64_t now_ms)
{
	uint64_t step = START_STEPS;

	if (b->start_ms > 0 && pool->slow_start_ms > 0)
		step = (now_ms - b->start_ms) * START_STEPS / pool->slow_start_ms + 1;
	if (step >= START_STEPS) {
		b->start_ms = 0;
		b->withheld_start = 0;
		return;
	}
	b->withheld_start = (uint16_t)(SHARE_ALL * (START_STEPS - step) / START_STEPS);
}

bool pool_starts(const struct config_pool *pool, const struct config_backend *conf,
		 struct lb_backend *backends, uint64_t now_ms, bool served, bool *ret_starting)
{
	bool warm = false, starting = false, changed = false;

	for (uint32_t i = 0; i < pool->n_backends; i++)
		warm = warm || is_warm(pool, &conf[i], &backends[i], now_ms);
	for (uint32_t i = 0; i < pool->n_backends; i++) {
		struct lb_backend *b = &backends[i];
		uint16_t before = b->withheld_start;

		if (!is_usable(pool, b))
			b->usable_ms = b->start_ms = 0;
		else if (b->usable_ms == 0)
			start_begin(b, now_ms, served, warm && !conf[i].backup);
		start_go_on(pool, b, now_ms);
		starting = starting || b->start_ms > 0;
		changed = changed || b->withheld_start != before;
	}
	*ret_starting = starting;
	return changed;
}

/* ---- limits ---- */

bool limit_reached(bool full, uint64_t live, uint32_t limit)
{
	if (limit == 0)
		return false;
	return full ? live * 100 >= (uint64_t)limit * 95 : live >= limit;
}
