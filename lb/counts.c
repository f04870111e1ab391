/* SPDX-License-Identifier: BSD-2-Clause */
/* counts.c: the counters of reconcile.h, read on demand from the data plane and the sweep. */
#include <stdio.h>
#include <string.h>

#include "lb/current.h"
#include "lb/flows.h"
#include "lb/plane.h"
#include "lb/reconcile.h"
#include "lb/share.h"

uint64_t lb_live(struct lb *lb, uint32_t i)
{
	uint32_t number = lb->backends[i].number;

	return number < CURRENT_BACKENDS ? flow_sweep_live(lb->sweep, number) : 0;
}

/* The counters of other CPUs go on while they are read. */
static uint64_t half_open(const struct backend_stats *s)
{
	int64_t n = (int64_t)(s->syns - s->again - (s->opened - s->waiting));

	return n > 0 ? (uint64_t)n : 0;
}

static struct backend_counts counts_of(const struct lb *lb, uint32_t number)
{
	struct backend_stats s = plane_backend_stats(lb->plane, number);

	return (struct backend_counts){.packets = s.packets,
				       .bytes = s.bytes,
				       .opened = s.opened,
				       .closed = s.closed,
				       .syns = s.syns,
				       .again = s.again,
				       .resets = s.resets,
				       .half_open = half_open(&s),
				       .expired = flow_sweep_expired(lb->sweep, number),
				       .live = flow_sweep_live(lb->sweep, number)};
}

void lb_backend_counts(struct lb *lb, uint32_t i, struct backend_counts *ret_counts)
{
	uint32_t number = lb->backends[i].number;

	*ret_counts =
		number < CURRENT_BACKENDS ? counts_of(lb, number) : (struct backend_counts){0};
}

static uint64_t pool_live(struct lb *lb, uint32_t pool)
{
	const struct config_pool *p = config_pool(lb->config, pool);
	uint64_t live = 0;

	for (uint32_t i = p->first_backend; i < p->first_backend + p->n_backends; i++)
		live += lb_live(lb, i);
	return live;
}

void lb_service_counts(struct lb *lb, uint32_t i, struct service_counts *ret_counts)
{
	const struct config_service *s = config_service(lb->config, i);
	uint32_t serving = pool_serving(lb->config, lb->backends, s->pool);
	struct service_counts counts = {0};

	for (uint32_t id = 0; id < SERVICE_MAX; id++) {
		const struct current_service *c = &lb->current->services[id];

		if (!c->used || c->key.port != htons(s->port) || c->key.protocol != s->protocol ||
		    memcmp(c->key.addr, &s->vip, sizeof(c->key.addr)) != 0)
			continue;
		struct service_stats stats = plane_service_stats(lb->plane, id);

		counts = (struct service_counts){.packets = stats.packets,
						 .bytes = stats.bytes,
						 .syns = stats.syns,
						 .flows = stats.flows};
		break;
	}
	counts.live = pool_live(lb, s->pool);
	if (serving != s->pool)
		counts.live += pool_live(lb, serving);
	*ret_counts = counts;
}

void lb_reason_counts(struct lb *lb, uint64_t ret_counts[static REASON_COUNT])
{
	uint64_t forwarded = 0;

	plane_reasons(lb->plane, ret_counts);
	for (uint32_t i = 0; i < CURRENT_BACKENDS; i++) {
		if (lb->current->backends[i].used)
			forwarded += plane_backend_stats(lb->plane, i).packets;
	}
	ret_counts[REASON_FORWARDED] = forwarded;
}

void lb_flow_fill(const struct lb *lb, uint32_t *ret_used, uint32_t *ret_size)
{
	*ret_used = flow_sweep_used(lb->sweep);
	*ret_size = lb->current->settings.flow_limit;
}

uint32_t lb_retired(struct lb *lb, struct retired_backend *ret_retired, uint32_t most)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < CURRENT_BACKENDS; i++) {
		const struct current_backend *b = &lb->current->backends[i];

		/* without any, it only waits for its slots to settle */
		if (!b->used || !b->retired || flow_sweep_live(lb->sweep, i) == 0)
			continue;
		if (n < most) {
			struct retired_backend *r = &ret_retired[n];

			memcpy(r->pool, b->pool_name, sizeof(r->pool));
			memcpy(r->backend, b->name, sizeof(r->backend));
			memcpy(&r->addr, b->plane.addr, sizeof(r->addr));
			r->number = i;
			r->counts = counts_of(lb, i);
		}
		n++;
	}
	return n;
}

uint32_t lb_pool_transition(const struct lb *lb, uint32_t pool)
{
	int number = current_find_pool(lb->current, config_pool(lb->config, pool)->name);

	return number < 0 ? 0 : lb->current->pools[number].table.n_transition;
}
