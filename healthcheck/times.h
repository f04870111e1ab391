/* SPDX-License-Identifier: BSD-2-Clause */
/* times.h: how long a backend's answers take: the last hundred conversations that passed. Pure.
 *
 * It is slow once the median of the last TIMES_RECENT (of at least TIMES_LEAST) is above slow_ms,
 * and no longer when that is below SLOW_BACK percent of it: what lies in between changes nothing,
 * so that a server at the limit does not go to and fro.
 */
#ifndef SLUICE_HEALTHCHECK_TIMES_H
#define SLUICE_HEALTHCHECK_TIMES_H

#include <stdbool.h>
#include <stdint.h>

enum {
	TIMES_KEPT = 100,
	TIMES_RECENT = 20,
	TIMES_LEAST = 5,
	SLOW_BACK = 80,	  /* percent of slow_ms */
	SLOW_WEIGHT = 50, /* percent, of a slow backend's weight */
	TIMES_PATIENCE_MS = 500,
};

struct times {
	uint32_t ms[TIMES_KEPT]; /* a ring */
	uint32_t n, next;
	bool slow;
};

/* times_add: one that passed. @slow_ms: 0 = nothing is slow. Did .slow change? */
bool times_add(struct times *t, uint32_t took_ms, uint32_t slow_ms);

/* times_median: of the last TIMES_RECENT; 0 = none has passed. */
uint32_t times_median(const struct times *t);

/* times_percentile: of all that are kept: the nearest rank; 0 = none has passed. */
uint32_t times_percentile(const struct times *t, uint32_t percent);

/* times_patience: for how long to wait for a word of a server that something else says is hung: ten
 * times as long as nearly all of its whole conversations took, and TIMES_PATIENCE_MS at least. 0:
 * too few are known to say.
 */
uint32_t times_patience(const struct times *t);

#endif
