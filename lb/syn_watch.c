/* SPDX-License-Identifier: BSD-2-Clause */
/* syn_watch.c: see syn_watch.h. */
#include "lb/syn_watch.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "lb/plane.h"
#include "lb/reconcile.h"

struct syn_watch {
	struct lb *lb;
	struct event *timer;
	struct syn_state states[SERVICE_MAX];
	uint8_t flooded[SERVICE_MAX];
};

bool syn_judge(struct syn_state *s, uint64_t syns, uint32_t rate)
{
	uint64_t new = syns > s->syns ? syns - s->syns : 0;
	bool was = s->flooded, looked = s->looked;

	s->syns = syns;
	s->looked = true;
	if (!looked) /* what came before we looked did not come in a second */
		return false;
	if (new > rate) {
		s->flooded = true;
		s->calm_s = 0;
	} else if (new > rate / 2) {
		s->calm_s = 0;
	} else if (s->flooded && ++s->calm_s >= SYN_CALM_S) {
		s->flooded = false;
	}
	return s->flooded != was;
}

/* The pool of a service that is to be watched, or NULL. */
static const struct config_pool *pool_of(const struct lb *lb, const struct current_service *s)
{
	const struct config_pool *pool;
	int i;

	if (!s->used || !(s->plane.flags & SERVICE_COOKIES_OUT) || s->own_pool >= POOL_MAX)
		return NULL;
	i = config_find_pool(lb->config, lb->current->pools[s->own_pool].name);
	pool = i < 0 ? NULL : config_pool(lb->config, (uint32_t)i);
	return pool && pool->syn_cookies == SYN_COOKIES_AUTO ? pool : NULL;
}

static bool service_look(struct syn_watch *w, uint32_t id)
{
	const struct current_service *s = &w->lb->current->services[id];
	const struct config_pool *pool = pool_of(w->lb, s);
	struct syn_state *state = &w->states[id];

	if (!pool) {
		*state = (struct syn_state){0};
		w->flooded[id] = 0;
		return false;
	}
	if (!syn_judge(state, plane_service_stats(w->lb->plane, id).syns, pool->syn_rate))
		return false;
	w->flooded[id] = state->flooded;
	log_notice("syn cookies %s: service=%s syn_rate=%u", state->flooded ? "on" : "off", s->name,
		   pool->syn_rate);
	return true;
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
	struct syn_watch *w = arg;
	bool changed = false;

	(void)fd;
	(void)what;
	for (uint32_t id = 0; w->lb->config && id < SERVICE_MAX; id++)
		changed |= service_look(w, id);
	if (changed)
		lb_reconcile(w->lb, "syn rate");
}

struct syn_watch *syn_watch_new(struct lb *lb)
{
	struct syn_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->lb = lb;
	w->timer = event_new(lb->loop, -1, EV_PERSIST, on_second, w);
	if (!w->timer) {
		free(w);
		return NULL;
	}
	event_add(w->timer, &(struct timeval){.tv_sec = 1});
	return w;
}

void syn_watch_free(struct syn_watch *w)
{
	if (!w)
		return;
	event_free(w->timer);
	free(w);
}

const uint8_t *syn_watch_flooded(const struct syn_watch *w)
{
	return w->flooded;
}
