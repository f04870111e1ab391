/* SPDX-License-Identifier: BSD-2-Clause */
/* feedback.c: a damped proportional loop over the part of new connections that changes hands.
 *
 * Each backend has its part of the connections by its weight, and a margin around that: 5 %, or
 * three times what chance does to a count (its standard deviation is its root). Who has less than
 * his margin allows is short, who has more is over.
 * - The short ones are to get twice of what they lack, as a part: an empty server three times its
 *   part. The others give it, each the same fraction (less near the margin, none beyond it).
 * - Who is over gives at least twice of what he is over, up to 90 % of his part.
 * - It is claimed by the third power of what lacks to the upper margin: by the short ones if there
 *   are any, by all that are not over if not, without a border between the two.
 * So only slots that are to have another owner move, in a pool of two as in one of a thousand.
 *
 * Why it settles: sessions that are long against FEEDBACK_MS make the counts integrate what is
 * given, and proportional control of an integrator approaches without overshoot. Sessions that are
 * short make the counts follow at once, which with a gain of 2 would oscillate: so each round goes
 * only an eighth of the way. Small steps are not taken at all: each moves slots, and a slot that
 * moved is in transition for idle_timeout.
 */
#include "lb/feedback.h"

#include "lb/maglev.h"

enum {
	GAIN = 2,
	DAMPING = 8, /* a round goes the 8th part of the way */
	GIVES_MOST = SHARE_ALL / 10 * 9,
	STEP_LEAST = SHARE_ALL / 500, /* and an eighth of the goal: smaller ways are not gone */
	CLAIM_LEAST = SHARE_ALL / 256,
	MEAN_LEAST = 20, /* connections of a backend; fewer are chance */
};

/* Of the pool, in connections. */
struct balance_sheet {
	uint64_t live, weights, parts;
	uint64_t lacks;	     /* of the short ones, beyond their margins */
	uint64_t givers;     /* what the others' weights promise them */
	uint64_t claim_most; /* the greatest claim_of() */
	bool uneven;	     /* somebody is short or over */
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

static bool takes_part(const struct feedback_backend *b)
{
	return b->takes_part && b->weight > 0;
}

static uint64_t expected_of(const struct balance_sheet *sheet, const struct feedback_backend *b)
{
	return sheet->live * b->weight / sheet->weights;
}

static uint64_t margin_of(uint64_t expected)
{
	uint64_t part = expected / 20, chance = 3 * root(expected);

	return part > chance ? part : chance;
}

/* Connections that it lacks, or has too many, beyond its margin. */
static uint64_t lack_of(uint64_t live, uint64_t expected)
{
	uint64_t margin = margin_of(expected);

	return live + margin < expected ? expected - live - margin : 0;
}

static uint64_t excess_of(uint64_t live, uint64_t expected)
{
	uint64_t margin = margin_of(expected);

	return live > expected + margin ? live - expected - margin : 0;
}

static uint64_t part_of(uint64_t n, uint64_t whole)
{
	return whole > 0 ? SHARE_ALL * n / whole : 0;
}

/* What may be asked of it: all of its part down to half of the margin, nothing beyond the whole. */
static uint64_t giver_of(uint64_t live, uint64_t expected)
{
	uint64_t margin = margin_of(expected), room = live + margin;

	if (room <= expected)
		return 0;
	room = 2 * (room - expected);
	return room < margin ? expected * room / margin : expected;
}

/* Up to its upper margin, as a part of what it should have. */
static uint64_t claim_of(uint64_t live, uint64_t expected)
{
	uint64_t upper = expected + margin_of(expected);

	return live < upper ? part_of(upper - live, expected) : 0;
}

static struct balance_sheet sheet_of(const struct feedback_backend *backends, uint32_t n)
{
	struct balance_sheet sheet = {0};

	for (uint32_t i = 0; i < n; i++) {
		if (!takes_part(&backends[i]))
			continue;
		sheet.live += backends[i].live;
		sheet.weights += backends[i].weight;
		sheet.parts++;
	}
	for (uint32_t i = 0; i < n && sheet.live >= sheet.parts * MEAN_LEAST; i++) {
		uint64_t live = backends[i].live, expected, lack, claim;

		if (!takes_part(&backends[i]))
			continue;
		expected = expected_of(&sheet, &backends[i]);
		lack = lack_of(live, expected);
		claim = claim_of(live, expected);
		sheet.lacks += lack;
		sheet.givers += giver_of(live, expected);
		sheet.claim_most = claim > sheet.claim_most ? claim : sheet.claim_most;
		sheet.uneven = sheet.uneven || lack > 0 || excess_of(live, expected) > 0;
	}
	return sheet;
}

static uint64_t gives_goal(const struct balance_sheet *sheet, uint64_t live, uint64_t expected)
{
	uint64_t even = GAIN * part_of(sheet->lacks, sheet->givers);
	uint64_t own = GAIN * part_of(excess_of(live, expected), expected);
	uint64_t goal;

	even = expected > 0 ? even * giver_of(live, expected) / expected : 0;
	goal = own > even ? own : even;
	return goal < GIVES_MOST ? goal : GIVES_MOST;
}

static uint64_t claims_goal(const struct balance_sheet *sheet, uint64_t live, uint64_t expected)
{
	uint64_t part = part_of(claim_of(live, expected), sheet->claim_most);
	uint64_t goal = part * part / SHARE_ALL * part / SHARE_ALL;

	return goal >= CLAIM_LEAST ? goal : 0;
}

static uint16_t step_to(uint16_t value, uint64_t goal)
{
	int64_t way = (int64_t)goal - value, least = (int64_t)goal / 8;

	if (least < STEP_LEAST)
		least = STEP_LEAST;
	if (way > -least && way < least)
		return goal == 0 ? 0 : value;
	return (uint16_t)(value + way / DAMPING);
}

static uint16_t gives_next(const struct balance_sheet *sheet, const struct feedback_backend *b)
{
	if (!takes_part(b))
		return 0;
	return step_to(b->gives,
		       sheet->uneven ? gives_goal(sheet, b->live, expected_of(sheet, b)) : 0);
}

/* While the last of what was given is taken back, it is of those who had it. */
static uint16_t claims_next(const struct balance_sheet *sheet, const struct feedback_backend *b)
{
	uint64_t goal;

	if (!takes_part(b))
		return 0;
	if (!sheet->uneven)
		return b->claims;
	goal = claims_goal(sheet, b->live, expected_of(sheet, b));
	return b->claims == 0 ? (uint16_t)goal : step_to(b->claims, goal);
}

bool feedback_round(struct feedback_backend *backends, uint32_t n)
{
	const struct balance_sheet sheet = sheet_of(backends, n);
	bool changed = false, given = false;

	for (uint32_t i = 0; i < n; i++) {
		uint16_t gives = gives_next(&sheet, &backends[i]);

		changed = changed || gives != backends[i].gives;
		given = given || gives > 0;
		backends[i].gives = gives;
	}
	for (uint32_t i = 0; i < n; i++) {
		uint16_t claims = given ? claims_next(&sheet, &backends[i]) : 0;

		changed = changed || claims != backends[i].claims;
		backends[i].claims = claims;
	}
	return changed;
}
