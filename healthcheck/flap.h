/* SPDX-License-Identifier: BSD-2-Clause */
/* flap.h: the damping of flaps: a backend that turns again and again is held down. Pure; times are
 * CLOCK_MONOTONIC milliseconds.
 *
 * A turn is a change of what the probe says between up and not up. `limit` of them within period_ms
 * hold the backend for hold_ms; the next hold is twice as long, up to FLAP_LONGEST times hold_ms,
 * unless period_ms have passed since the last one ended. Turns go on being counted while it is
 * held: when these reach the limit, it is held from then on, for longer.
 */
#ifndef SLUICE_HEALTHCHECK_FLAP_H
#define SLUICE_HEALTHCHECK_FLAP_H

#include <stdbool.h>
#include <stdint.h>

enum {
	FLAP_TURNS = 100,  /* the greatest flap_limit */
	FLAP_LONGEST = 16, /* times hold_ms */
};

struct flap_limits {	/* as in struct config_probe */
	uint32_t limit; /* 0 = nothing is held */
	uint32_t period_ms, hold_ms;
};

struct flap {
	uint64_t turns_ms[FLAP_TURNS]; /* the last ones, a ring */
	uint32_t n, next;	       /* how many are in it; where the next one goes */
	uint32_t times;		       /* hold_ms: the last hold's length; 0 = there was none */
	uint64_t until_ms;	       /* when the last hold ends, or ended */
};

/* flap_turn: it turned. Does that begin a hold, or make it longer? */
bool flap_turn(struct flap *f, const struct flap_limits *limits, uint64_t now_ms);

bool flap_holds(const struct flap *f, uint64_t now_ms);

/* flap_restore: of a process before us: what was held is, until then at the latest. */
void flap_restore(struct flap *f, const struct flap_limits *limits, uint64_t now_ms,
		  uint64_t until_ms);

#endif
