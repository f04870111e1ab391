/* SPDX-License-Identifier: BSD-2-Clause */
/* wheel.c: see wheel.h. A hashed wheel (Varghese and Lauck, 1987, scheme 6): a slot holds what is
 * due in its few milliseconds, of this round or of a later one.
 */
#include "healthcheck/wheel.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/log.h"

enum {
	SLOT_MS =
		4, /* also a multiple of what the loop's coarse clock moves by at 250 Hz or more */
	SLOTS = 1024,
	ROUND_MS = SLOT_MS * SLOTS,
};

struct wheel {
	struct event_base *loop;
	struct event *turn;
	uint64_t turned_ms; /* what was due until then has been called */
	uint64_t next_ms;   /* when the event comes */
	bool turning;
	struct wheel_timer *slots[SLOTS];
};

static struct wheel_timer **slot_of(struct wheel *w, uint64_t at_ms)
{
	return &w->slots[at_ms / SLOT_MS % SLOTS];
}

static void link_to(struct wheel_timer **list, struct wheel_timer *t)
{
	t->next = *list;
	t->link = list;
	if (t->next)
		t->next->link = &t->next;
	*list = t;
}

void wheel_unset(struct wheel_timer *t)
{
	if (!t->link)
		return;
	*t->link = t->next;
	if (t->next)
		t->next->link = t->link;
	t->link = NULL;
}

/* The loop's clock is as coarse as the kernel's tick: a time that is no multiple of it would wake
 * the process twice.
 */
static void turn_at(struct wheel *w, uint64_t at_ms)
{
	uint64_t now_ms = clock_ms();
	uint64_t left_ms = at_ms > now_ms ? (at_ms - now_ms + 2 * SLOT_MS - 1) & ~3ULL : 0;

	w->next_ms = at_ms;
	event_base_update_cache_time(w->loop);
	event_add(w->turn, &(struct timeval){.tv_sec = (time_t)(left_ms / 1000),
					     .tv_usec = (suseconds_t)(left_ms % 1000 * 1000)});
}

/* The earliest of the round that begins at turned_ms; its end when there is none. */
static uint64_t next_of(struct wheel *w)
{
	uint64_t end_ms = w->turned_ms + ROUND_MS;

	for (uint64_t at_ms = w->turned_ms; at_ms < end_ms; at_ms += SLOT_MS) {
		uint64_t least_ms = UINT64_MAX;

		for (const struct wheel_timer *t = *slot_of(w, at_ms); t; t = t->next) {
			if (t->at_ms / SLOT_MS == at_ms / SLOT_MS && t->at_ms < least_ms)
				least_ms = t->at_ms;
		}
		if (least_ms != UINT64_MAX)
			return least_ms;
	}
	return end_ms - SLOT_MS;
}

static void due_take(struct wheel *w, uint64_t now_ms, struct wheel_timer **due)
{
	uint64_t from_ms = now_ms - w->turned_ms < ROUND_MS ? w->turned_ms : now_ms - ROUND_MS;

	for (uint64_t slot = from_ms / SLOT_MS; slot <= now_ms / SLOT_MS; slot++) {
		struct wheel_timer *next;

		for (struct wheel_timer *t = w->slots[slot % SLOTS]; t; t = next) {
			next = t->next;
			if (t->at_ms > now_ms)
				continue;
			wheel_unset(t);
			link_to(due, t);
		}
	}
	w->turned_ms = now_ms;
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct wheel *w = arg;
	struct wheel_timer *due = NULL;

	(void)fd;
	(void)what;
	due_take(w, clock_ms(), &due);
	w->turning = true;
	while (due) {
		struct wheel_timer *t = due;

		wheel_unset(t);
		t->due(t->owner);
	}
	w->turning = false;
	turn_at(w, next_of(w));
}

void wheel_set(struct wheel *w, struct wheel_timer *t, uint64_t at_ms)
{
	wheel_unset(t);
	t->at_ms = at_ms > w->turned_ms ? at_ms : w->turned_ms;
	link_to(slot_of(w, t->at_ms), t);
	if (!w->turning && t->at_ms < w->next_ms)
		turn_at(w, t->at_ms);
}

struct wheel *wheel_new(struct event_base *loop)
{
	struct wheel *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	*w = (struct wheel){.loop = loop, .turned_ms = clock_ms(), .next_ms = UINT64_MAX};
	w->turn = evtimer_new(loop, on_turn, w);
	if (!w->turn) {
		free(w);
		return NULL;
	}
	return w;
}

void wheel_free(struct wheel *w)
{
	if (!w)
		return;
	event_free(w->turn);
	free(w);
}
