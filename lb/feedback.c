/* SPDX-License-Identifier: BSD-2-Clause */
/* feedback.c: a damped proportional loop.
 *
 * A backend's goal is its whole share while it has no more connections than its weight promises,
 * and below that in proportion to how far it is above, down to 10 %. Nobody is above the mean
 * without somebody below, so there is always one with its whole share.
 *
 * Why it settles: sessions that are long against FEEDBACK_MS make the counts integrate the shares,
 * and proportional control of an integrator approaches without overshoot. Sessions that are short
 * make the counts follow the shares at once, which with a gain of 4 would oscillate: so a share
 * goes only an eighth of its way each round (1 - (1 + 4) / 8 is above 0), a tenth of the whole at
 * most. What chance does to a count (its standard deviation is its root) is below the margin, and
 * small steps are not taken at all: each moves slots, and a slot that moved is in transition for
 * idle_timeout.
 */
#include "lb/feedback.h"

#include "lb/maglev.h"

enum {
	GAIN = 4,		      /* a quarter above what is expected: hardly any new ones */
	DAMPING = 8,		      /* a round goes the 8th part of the way */
	SHARE_LEAST = SHARE_ALL / 10, /* of a backend that is far above */
	STEP_MOST = SHARE_ALL / 10,
	STEP_LEAST = SHARE_ALL / 50,
	MEAN_LEAST = 20, /* connections of a backend; fewer are chance */
};

static uint64_t root(uint64_t n)
{
	uint64_t r = 0;

	for (uint64_t bit = 1ULL << 31; bit > 0; bit >>= 1) {
		if ((r + bit) * (r + bit) <= n)
			r += bit;
	}
	return r;
}

static uint64_t margin_of(uint64_t expected)
{
	uint64_t part = expected / 20, chance = 2 * root(expected);

	return part > chance ? part : chance;
}

static int64_t goal(uint64_t live, uint64_t expected)
{
	uint64_t margin = margin_of(expected), less;

	if (live <= expected + margin)
		return SHARE_ALL;
	less = GAIN * SHARE_ALL * (live - expected - margin) / (expected > 0 ? expected : 1);
	return less < SHARE_ALL - SHARE_LEAST ? (int64_t)(SHARE_ALL - less) : SHARE_LEAST;
}

static uint16_t share_next(uint16_t share, int64_t wanted)
{
	int64_t way = wanted - share, step = way / DAMPING;

	if (way > -STEP_LEAST && way < STEP_LEAST)
		return wanted == SHARE_ALL ? SHARE_ALL : share;
	if (step > STEP_MOST)
		step = STEP_MOST;
	if (step < -STEP_MOST)
		step = -STEP_MOST;
	return (uint16_t)(share + step);
}

bool feedback_round(struct feedback_backend *backends, uint32_t n)
{
	uint64_t live = 0, weights = 0, parts = 0;
	bool changed = false;

	for (uint32_t i = 0; i < n; i++) {
		if (!backends[i].takes_part || backends[i].weight == 0)
			continue;
		live += backends[i].live;
		weights += backends[i].weight;
		parts++;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct feedback_backend *b = &backends[i];
		uint16_t share = SHARE_ALL;

		if (b->takes_part && b->weight > 0 && live >= parts * MEAN_LEAST)
			share = share_next(b->share, goal(b->live, live * b->weight / weights));
		else if (b->takes_part && b->weight > 0)
			share = share_next(b->share, SHARE_ALL);
		changed = changed || share != b->share;
		b->share = share;
	}
	return changed;
}
