/* SPDX-License-Identifier: BSD-2-Clause */
/* suspect_watch.c: see suspect_watch.h.
 *
 * Reading a per-CPU counter is a system call, and there may be 32,000 backends: only those of pools
 * are read whose services have got a SYN in the last seconds, 256 by one call where many are wanted
 * of so many numbers; and what a look has cost, times 20, passes until the next.
 */
#include "lb/suspect_watch.h"

#include <event2/event.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/channel.h"
#include "base/log.h"
#include "lb/plane.h"
#include "lb/suspect.h"

enum {
	LOOK_MS = 200,
	IDLE_LOOK_MS = 1000, /* while there is no traffic */
	LOOK_MOST_MS = 2000,
	LOOK_COST = 20,	  /* times what it cost until the next: five percent of the time */
	ACTIVE_MS = 5000, /* after its last SYN */
	FEW = 8,	  /* of a batch, that are read one by one */
	BLOCKS = (CURRENT_BACKENDS + PLANE_STATS_BATCH - 1) / PLANE_STATS_BATCH,
};

struct suspect_watch {
	struct lb *lb;
	struct event *timer;
	uint64_t syns[SERVICE_MAX];   /* of each service, as of the last look */
	uint64_t active_ms[POOL_MAX]; /* until then a pool has traffic */
	uint8_t wanted[CURRENT_BACKENDS + PLANE_STATS_BATCH];
	struct suspect_counts counts[CURRENT_BACKENDS];
	struct suspect_state states[CURRENT_BACKENDS];
	uint64_t second_ms; /* in which `told` were told */
	uint32_t told;
	uint32_t first_pool; /* that is looked at: another one each time */
};

/* ---- which pools have traffic ---- */

static void service_take(struct suspect_watch *w, uint32_t id, uint64_t syns, uint64_t now_ms)
{
	uint32_t pool = w->lb->current->services[id].plane.pool;

	if (syns != w->syns[id] && pool < POOL_MAX)
		w->active_ms[pool] = now_ms + ACTIVE_MS;
	w->syns[id] = syns;
}

static bool is_tcp(const struct current_service *s)
{
	return s->used && s->key.protocol == IPPROTO_TCP;
}

static void services_block(struct suspect_watch *w, uint32_t first, uint64_t now_ms)
{
	const struct current_service *services = w->lb->current->services;
	struct service_stats stats[PLANE_STATS_BATCH];
	uint32_t n = 0;

	for (uint32_t i = 0; i < PLANE_STATS_BATCH; i++)
		n += is_tcp(&services[first + i]);
	if (n == 0 || (n > FEW &&
		       plane_service_stats_read(w->lb->plane, first, PLANE_STATS_BATCH, stats) < 0))
		return;
	for (uint32_t i = 0; i < PLANE_STATS_BATCH; i++) {
		if (!is_tcp(&services[first + i]))
			continue;
		if (n <= FEW)
			stats[i] = plane_service_stats(w->lb->plane, first + i);
		service_take(w, first + i, stats[i].syns, now_ms);
	}
}

static void services_look(struct suspect_watch *w, uint64_t now_ms)
{
	for (uint32_t first = 0; first < SERVICE_MAX; first += PLANE_STATS_BATCH)
		services_block(w, first, now_ms);
}
_Static_assert(SERVICE_MAX % PLANE_STATS_BATCH == 0, "services_look");

/* ---- the counters of their backends ---- */

/* One that is down, or takes no new ones, is not suspected of anything. */
static bool is_watched(const struct lb_backend *b)
{
	return b->takes_new && b->health.health == HEALTH_UP;
}

static bool is_active(const struct suspect_watch *w, const struct config_pool *pool,
		      uint64_t now_ms)
{
	int number = current_find_pool(w->lb->current, pool->name);

	return number >= 0 && w->active_ms[number] > now_ms &&
	       strcmp(pool->probe.type, "none") != 0;
}

/* Whom to look at; are there any? */
static bool backends_want(struct suspect_watch *w, uint64_t now_ms)
{
	const struct config *config = w->lb->config;
	bool any = false;

	memset(w->wanted, 0, sizeof(w->wanted));
	for (uint32_t i = 0; i < config->n_pools; i++) {
		const struct config_pool *pool = config_pool(config, i);
		uint32_t end = pool->first_backend + pool->n_backends;

		if (!is_active(w, pool, now_ms))
			continue;
		for (uint32_t k = pool->first_backend; k < end; k++) {
			uint32_t number = w->lb->backends[k].number;

			if (number >= CURRENT_BACKENDS)
				continue;
			w->wanted[number] = is_watched(&w->lb->backends[k]);
			w->states[number].away |= !w->wanted[number];
			any |= w->wanted[number];
		}
	}
	return any;
}

static void counts_take(struct suspect_watch *w, uint32_t number, const struct backend_stats *s)
{
	w->counts[number] = (struct suspect_counts){.syns = s->syns,
						    .again = s->again,
						    .connected = s->opened - s->waiting,
						    .said = s->packets - s->syns};
}

static void backends_block(struct suspect_watch *w, uint32_t first)
{
	uint32_t size = first + PLANE_STATS_BATCH > CURRENT_BACKENDS ? CURRENT_BACKENDS - first
								     : PLANE_STATS_BATCH;
	struct backend_stats stats[PLANE_STATS_BATCH];
	uint32_t n = 0;

	for (uint32_t i = 0; i < size; i++)
		n += w->wanted[first + i];
	if (n == 0 || (n > FEW && plane_backend_stats_read(w->lb->plane, first, size, stats) < 0))
		return;
	for (uint32_t i = 0; i < size; i++) {
		if (!w->wanted[first + i])
			continue;
		if (n <= FEW)
			stats[i] = plane_backend_stats(w->lb->plane, first + i);
		counts_take(w, first + i, &stats[i]);
	}
}

/* ---- the judgement ---- */

/* No more a second than suspect_most(). */
static bool may_tell(struct suspect_watch *w, uint64_t now_ms)
{
	if (now_ms - w->second_ms >= 1000) {
		w->second_ms = now_ms;
		w->told = 0;
	}
	if (w->told >= suspect_most(w->lb->config->n_backends))
		return false;
	w->told++;
	return true;
}

static void tell(struct suspect_watch *w, const struct config_backend *b,
		 const struct suspect *found)
{
	struct message_suspect m = {.hung = found->hung};

	memcpy(m.pool, config_pool(w->lb->config, b->pool)->name, sizeof(m.pool));
	memcpy(m.backend, b->name, sizeof(m.backend));
	snprintf(m.text, sizeof(m.text), "%s", found->text);
	log_notice("backend %s suspected: pool=%s packets=\"%s\"", m.backend, m.pool, m.text);
	channel_send(w->lb->channel, MESSAGE_SUSPECT, &m, -1);
}

/* What is worked with, of one pool. */
struct work {
	struct suspect_state **states;
	struct suspect_counts *counts;
	struct suspect *found;
	uint32_t *backends; /* config index */
};

static uint32_t pool_look(struct suspect_watch *w, const struct config_pool *pool,
			  const struct work *work, uint64_t now_ms)
{
	uint32_t n = 0, suspected = 0;

	for (uint32_t k = pool->first_backend; k < pool->first_backend + pool->n_backends; k++) {
		uint32_t number = w->lb->backends[k].number;

		if (number >= CURRENT_BACKENDS || !w->wanted[number])
			continue;
		work->states[n] = &w->states[number];
		work->counts[n] = w->counts[number];
		work->backends[n++] = k;
	}
	if (n == 0 || suspect_pool(work->states, work->counts, n, now_ms, work->found) == 0)
		return 0;
	for (uint32_t i = 0; i < n; i++) {
		if (!work->found[i].suspected || !may_tell(w, now_ms))
			continue;
		tell(w, config_backend(w->lb->config, work->backends[i]), &work->found[i]);
		suspected++;
	}
	return suspected;
}

static uint32_t pools_look(struct suspect_watch *w, uint64_t now_ms)
{
	const struct config *config = w->lb->config;
	uint32_t most = config->n_backends, suspected = 0;
	struct work work = {.states = calloc(most, sizeof(*work.states)),
			    .counts = calloc(most, sizeof(*work.counts)),
			    .found = calloc(most, sizeof(*work.found)),
			    .backends = calloc(most, sizeof(*work.backends))};
	bool good = work.states && work.counts && work.found && work.backends;

	w->first_pool++;
	for (uint32_t i = 0; good && i < config->n_pools; i++)
		suspected +=
			pool_look(w, config_pool(config, (w->first_pool + i) % config->n_pools),
				  &work, now_ms);
	free(work.states);
	free(work.counts);
	free(work.found);
	free(work.backends);
	return suspected;
}

/* ---- the timer ---- */

static uint32_t look(struct suspect_watch *w, uint64_t now_ms, bool *ret_traffic)
{
	*ret_traffic = false;
	if (!w->lb->config || w->lb->stopping || w->lb->plane->maps[MAP_BACKEND_STATS] < 0)
		return 0;
	services_look(w, now_ms);
	*ret_traffic = backends_want(w, now_ms);
	if (!*ret_traffic)
		return 0;
	for (uint32_t i = 0; i < BLOCKS; i++)
		backends_block(w, i * PLANE_STATS_BATCH);
	return pools_look(w, now_ms);
}

uint32_t suspect_watch_look(struct suspect_watch *w, uint64_t now_ms)
{
	bool traffic;

	return look(w, now_ms, &traffic);
}

static void timer_set(struct suspect_watch *w, uint64_t ms)
{
	event_add(w->timer, &(struct timeval){.tv_sec = (time_t)(ms / 1000),
					      .tv_usec = (suseconds_t)(ms % 1000 * 1000)});
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct suspect_watch *w = arg;
	uint64_t began_ms = clock_ms(), next_ms;
	bool traffic;

	(void)fd;
	(void)what;
	look(w, began_ms, &traffic);
	next_ms = (clock_ms() - began_ms) * LOOK_COST;
	if (next_ms < (traffic ? LOOK_MS : IDLE_LOOK_MS))
		next_ms = traffic ? LOOK_MS : IDLE_LOOK_MS;
	timer_set(w, next_ms < LOOK_MOST_MS ? next_ms : LOOK_MOST_MS);
}

struct suspect_watch *suspect_watch_new(struct lb *lb)
{
	struct suspect_watch *w = calloc(1, sizeof(*w)); /* zero pages until they are used */

	if (!w)
		return NULL;
	w->lb = lb;
	w->timer = event_new(lb->loop, -1, 0, on_timer, w);
	if (!w->timer) {
		free(w);
		return NULL;
	}
	timer_set(w, LOOK_MS);
	return w;
}

void suspect_watch_free(struct suspect_watch *w)
{
	if (!w)
		return;
	event_free(w->timer);
	free(w);
}
