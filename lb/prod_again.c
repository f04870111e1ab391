/* SPDX-License-Identifier: BSD-2-Clause */
/* prod_again.c: see prod_again.h. */
#include "lb/prod_again.h"

#include <event2/event.h>
#include <stdlib.h>

#include "base/log.h"

enum { AT_ONCE = 256, BREAK_MS = 5 };

struct again {
	struct tuple flow;
	uint64_t due_ms;
};

struct prod_again {
	struct prod *prod;
	struct event *timer;
	uint32_t first, n;
	struct again *ring; /* PROD_AGAIN_MOST, once there was one */
};

static void wait_ms(struct prod_again *p, uint64_t ms)
{
	event_add(p->timer, &(struct timeval){.tv_sec = (time_t)(ms / 1000),
					      .tv_usec = (suseconds_t)(ms % 1000 * 1000)});
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct prod_again *p = arg;
	uint64_t now_ms = clock_ms();

	(void)fd;
	(void)what;
	for (int i = 0; i < AT_ONCE && p->n && p->ring[p->first].due_ms <= now_ms; i++) {
		prod_send(p->prod, &p->ring[p->first].flow);
		p->first = (p->first + 1) % PROD_AGAIN_MOST;
		p->n--;
	}
	if (p->n)
		wait_ms(p, p->ring[p->first].due_ms > now_ms ? p->ring[p->first].due_ms - now_ms
							     : BREAK_MS);
}

struct prod_again *prod_again_new(struct event_base *loop, struct prod *prod)
{
	struct prod_again *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->prod = prod;
	p->timer = event_new(loop, -1, 0, on_timer, p);
	if (!p->timer) {
		free(p);
		return NULL;
	}
	return p;
}

void prod_again_free(struct prod_again *p)
{
	if (!p)
		return;
	event_free(p->timer);
	free(p->ring);
	free(p);
}

void prod_again_add(struct prod_again *p, const struct tuple *flow)
{
	if (!p->ring)
		p->ring = calloc(PROD_AGAIN_MOST, sizeof(*p->ring));
	if (!p->ring || p->n == PROD_AGAIN_MOST)
		return;
	p->ring[(p->first + p->n) % PROD_AGAIN_MOST] =
		(struct again){.flow = *flow, .due_ms = clock_ms() + PROD_AGAIN_MS};
	if (p->n++ == 0)
		wait_ms(p, PROD_AGAIN_MS);
}
