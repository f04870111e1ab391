/* SPDX-License-Identifier: BSD-2-Clause */
/* queue.h: the changes that one hook still has to be told, in their order. Pure: the clock is
 * given, nothing is run here.
 *
 * One at a time. At most QUEUE_MOST wait; then the oldest that waits is dropped, and counted. Tries
 * are limited in rate: QUEUE_BURST at once, QUEUE_RATE a second after that. A try that failed is
 * made again after QUEUE_BACKOFF_MS, then five times that, QUEUE_TRIES in all; what comes later
 * waits meanwhile, because a receiver that reads "up" before "down" would end with the wrong one.
 */
#ifndef SLUICE_PROGRAMS_QUEUE_H
#define SLUICE_PROGRAMS_QUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "programs/change.h"

enum {
	QUEUE_MOST = 1024,
	QUEUE_RATE = 10,
	QUEUE_BURST = 100,
	QUEUE_TRIES = 3,
	QUEUE_BACKOFF_MS = 1000,
};

enum queue_outcome {
	QUEUE_DONE,
	QUEUE_FAILED,  /* may go better another time */
	QUEUE_REFUSED, /* will not */
};

struct queued;

struct queue {
	TAILQ_HEAD(queued_list, queued) list;
	uint32_t n;		/* in the list, the first may be under way */
	bool running;		/* the first is */
	uint32_t tries;		/* of the first */
	uint64_t not_before_ms; /* its next try */
	uint64_t credit_ms;	/* of the rate, as of filled_ms */
	uint64_t filled_ms;
	uint64_t done, failed, dropped; /* changes, since the beginning */
	uint64_t again;			/* tries that were to be made again */
};

void queue_init(struct queue *q, uint64_t now_ms);
void queue_fini(struct queue *q);
/* queue_add: true = an older one was dropped for it (or it was, without memory). */
bool queue_add(struct queue *q, const struct change *c);
/* queue_next: what to try now, valid until queue_ended(); NULL = nothing, and then *ret_wait_ms is
 * for how long (UINT64_MAX: until something is added or ends).
 */
const struct change *queue_next(struct queue *q, uint64_t now_ms, uint64_t *ret_wait_ms);
/* queue_ended: the try; true = it is over with this change, false = there will be another. */
bool queue_ended(struct queue *q, enum queue_outcome outcome, uint64_t now_ms);

#endif
