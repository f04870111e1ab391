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

/* The agent on a server knows why it says down; a probe, or that it flaps, may be our side's. */
static bool is_failed(const struct config_pool *pool, const struct lb_backend *in)
{
	return backend_health(pool, in) == HEALTH_DOWN &&
	       in->health.said[SAYER_AGENT].health != HEALTH_DOWN;
}

/* Nobody misses it: what the operator takes out of use may well be switched off then. */
static bool is_held(const struct config_backend *conf, const struct lb_backend *in)
{
	return in->by_operator != OPERATOR_ENABLED || in->weight == 0 ||
	       (in->weight == WEIGHT_NONE && conf->weight == 0);
}

static bool has_a_say(const struct config_pool *pool, const struct config_backend *conf,
		      const struct lb_backend *in)
{
	enum health health = backend_health(pool, in);

	if (conf->backup || in->by_operator == OPERATOR_DISABLED)
		return false;
	if (health == HEALTH_UNKNOWN)
		return in->kept_alive;
	return health != HEALTH_DOWN || (is_failed(pool, in) && !is_held(conf, in));
}

uint32_t pool_health(const struct config_pool *pool, const struct config_backend *conf,
		     const struct lb_backend *in, uint32_t *ret_n)
{
	uint32_t n = 0, good = 0;

	for (uint32_t i = 0; i < pool->n_backends; i++) {
		if (!has_a_say(pool, &conf[i], &in[i]))
			continue;
		n++;
		good += !is_failed(pool, &in[i]);
	}
	*ret_n = n;
	return good;
}

/* No probe of it has ended yet: it is too early to say that nobody is there. */
static bool is_new(const struct config *config, const struct lb_backend *backends, uint32_t i)
{
	const struct config_pool *pool = config_pool(config, i);

	for (uint32_t k = pool->first_backend; k < pool->first_backend + pool->n_backends; k++) {
		if (backend_health(pool, &backends[k]) != HEALTH_UNKNOWN || backends[k].kept_alive)
			return false;
	}
	return true;
}

/* Does anybody of the pool pass who could take new connections? @only_backups: of its backups */
static bool anybody_passes(const struct config *config, const struct lb_backend *backends,
			   uint32_t i, bool only_backups)
{
	const struct config_pool *pool = config_pool(config, i);

	for (uint32_t k = pool->first_backend; k < pool->first_backend + pool->n_backends; k++) {
		const struct config_backend *conf = config_backend(config, k);

		if ((conf->backup || !only_backups) &&
		    backend_fate(pool, conf, &backends[k]).takes_new)
			return true;
	}
	return false;
}

/* Somebody else passes, who can be used instead: so it is not the probes. */
static bool has_backup(const struct config *config, const struct lb_backend *backends, uint32_t i)
{
	int32_t backup = config_pool(config, i)->backup_pool;

	return anybody_passes(config, backends, i, true) ||
	       (backup >= 0 && (anybody_passes(config, backends, (uint32_t)backup, false) ||
				is_new(config, backends, (uint32_t)backup)));
}

static bool is_panic(const struct config *config, const struct lb_backend *backends, uint32_t i)
{
	const struct config_pool *pool = config_pool(config, i);
	uint32_t n = 0, good = 0;

	if (pool->panic_percent)
		good = pool_health(pool, config_backend(config, pool->first_backend),
				   backends + pool->first_backend, &n);
	return (uint64_t)good * 100 < (uint64_t)pool->panic_percent * n &&
	       (good > 0 || !has_backup(config, backends, i));
}

static enum pool_use use_by_count(const struct config_pool *pool, uint32_t n_up, uint32_t n_room)
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

/* As if its probe had passed; its agent's word holds, and one that has no result yet waits for it
 * as always.
 */
static struct fate fate_as_up(const struct config_pool *pool, const struct config_backend *conf,
			      const struct lb_backend *in)
{
	enum health agent = (enum health)in->health.said[SAYER_AGENT].health;
	bool objects = agent == HEALTH_DOWN || agent == HEALTH_LEAVING;
	struct lb_backend up = *in;

	if (up.health.health != HEALTH_UNKNOWN)
		up.health.health = objects ? agent : HEALTH_UP;
	return backend_fate(pool, conf, &up);
}

static struct fate fate_in(enum pool_use use, const struct config_pool *pool,
			   const struct config_backend *conf, const struct lb_backend *in)
{
	bool as_up = use == USE_ALL || (use == USE_PANIC && is_failed(pool, in));
	struct fate fate = as_up ? fate_as_up(pool, conf, in) : backend_fate(pool, conf, in);

	if (in->full || use == USE_NOBODY ||
	    ((use == USE_ORDINARY || use == USE_PANIC) && conf->backup))
		fate.takes_new = false;
	fate.share = fate.takes_new ? backend_share(in) : 0;
	return fate;
}

static enum pool_use use_of(const struct config *config, const struct lb_backend *backends,
			    uint32_t i)
{
	const struct config_pool *pool = config_pool(config, i);
	uint32_t n_up = 0, n_room = 0;

	if (is_panic(config, backends, i))
		return USE_PANIC;
	for (uint32_t k = pool->first_backend; k < pool->first_backend + pool->n_backends; k++) {
		const struct config_backend *conf = config_backend(config, k);

		if (conf->backup || !backend_fate(pool, conf, &backends[k]).takes_new)
			continue;
		n_up++;
		n_room += !backends[k].full;
	}
	return use_by_count(pool, n_up, n_room);
}

enum pool_use pool_fates(const struct config *config, const struct lb_backend *backends, uint32_t i,
			 struct fate *ret_fates)
{
	const struct config_pool *pool = config_pool(config, i);
	enum pool_use use = use_of(config, backends, i);

	for (uint32_t k = 0; ret_fates && k < pool->n_backends; k++)
		ret_fates[k] = fate_in(use, pool, config_backend(config, pool->first_backend + k),
				       &backends[pool->first_backend + k]);
	return use;
}

/* ---- the backup pool ---- */

bool pool_takes_new(const struct config *config, const struct lb_backend *backends, uint32_t i)
{
	const struct config_pool *pool = config_pool(config, i);
	enum pool_use use = use_of(config, backends, i);

	for (uint32_t k = pool->first_backend; k < pool->first_backend + pool->n_backends; k++) {
		if (fate_in(use, pool, config_backend(config, k), &backends[k]).takes_new)
			return true;
	}
	return false;
}

uint32_t pool_serving(const struct config *config, const struct lb_backend *backends, uint32_t i)
{
	int32_t backup = config_pool(config, i)->backup_pool;

	if (backup < 0 || pool_takes_new(config, backends, i) || is_new(config, backends, i))
		return i;
	return pool_takes_new(config, backends, (uint32_t)backup) ? (uint32_t)backup : i;
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
