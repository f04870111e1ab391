/* SPDX-License-Identifier: BSD-2-Clause */
/* queue.c: see queue.h. The rate is a bucket of milliseconds: a try costs COST_MS of them. */
#include "programs/queue.h"

#include <assert.h>
#include <stdlib.h>

struct queued {
	TAILQ_ENTRY(queued) next;
	struct change change;
};

enum { COST_MS = 1000 / QUEUE_RATE, CREDIT_MOST_MS = QUEUE_BURST * COST_MS };

void queue_init(struct queue *q, uint64_t now_ms)
{
	*q = (struct queue){.credit_ms = CREDIT_MOST_MS, .filled_ms = now_ms};
	TAILQ_INIT(&q->list);
}

/* first_remove: the first, or the second when @behind. */
static void first_remove(struct queue *q, bool behind)
{
	struct queued *gone = TAILQ_FIRST(&q->list);

	if (behind)
		gone = TAILQ_NEXT(gone, next);
	TAILQ_REMOVE(&q->list, gone, next);
	q->n--;
	free(gone);
}

void queue_fini(struct queue *q)
{
	while (q->n > 0)
		first_remove(q, false);
}

bool queue_add(struct queue *q, const struct change *c)
{
	struct queued *more = malloc(sizeof(*more));
	bool full = q->n >= QUEUE_MOST;

	if (!more) {
		q->dropped++;
		return true;
	}
	if (full) {
		/* not the one under way, nor one that was tried already: its end is told */
		bool behind = q->running || q->tries > 0;

		first_remove(q, behind);
		q->dropped++;
	}
	more->change = *c;
	TAILQ_INSERT_TAIL(&q->list, more, next);
	q->n++;
	return full;
}

static void credit_fill(struct queue *q, uint64_t now_ms)
{
	q->credit_ms += now_ms - q->filled_ms;
	q->filled_ms = now_ms;
	if (q->credit_ms > CREDIT_MOST_MS)
		q->credit_ms = CREDIT_MOST_MS;
}

const struct change *queue_next(struct queue *q, uint64_t now_ms, uint64_t *ret_wait_ms)
{
	*ret_wait_ms = UINT64_MAX;
	if (q->running || q->n == 0)
		return NULL;
	credit_fill(q, now_ms);
	if (now_ms < q->not_before_ms) {
		*ret_wait_ms = q->not_before_ms - now_ms;
		return NULL;
	}
	if (q->credit_ms < COST_MS) {
		*ret_wait_ms = COST_MS - q->credit_ms;
		return NULL;
	}
	q->credit_ms -= COST_MS;
	q->running = true;
	q->tries++;
	return &TAILQ_FIRST(&q->list)->change;
}

bool queue_ended(struct queue *q, enum queue_outcome outcome, uint64_t now_ms)
{
	assert(q->running);
	q->running = false;
	if (outcome == QUEUE_FAILED && q->tries < QUEUE_TRIES) {
		q->again++;
		q->not_before_ms =
			now_ms + (q->tries == 1 ? QUEUE_BACKOFF_MS : 5 * QUEUE_BACKOFF_MS);
		return false;
	}
	if (outcome == QUEUE_DONE)
		q->done++;
	else
		q->failed++;
	q->tries = 0;
	q->not_before_ms = 0;
	first_remove(q, false);
	return true;
}
