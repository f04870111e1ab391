/* SPDX-License-Identifier: BSD-2-Clause */
/* flap.c: see flap.h. */
#include "healthcheck/flap.h"

/* How many of the turns in the ring are not older than the period. */
static uint32_t turns_within(const struct flap *f, uint32_t period_ms, uint64_t now_ms)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < f->n; i++)
		n += now_ms - f->turns_ms[i] < period_ms;
	return n;
}

bool flap_turn(struct flap *f, const struct flap_limits *limits, uint64_t now_ms)
{
	if (limits->limit == 0 || limits->hold_ms == 0)
		return false;
	f->turns_ms[f->next] = now_ms;
	f->next = (f->next + 1) % FLAP_TURNS;
	f->n += f->n < FLAP_TURNS;
	if (turns_within(f, limits->period_ms, now_ms) < limits->limit)
		return false;
	f->n = f->next = 0; /* the next hold needs turns of its own */
	if (f->times == 0 || f->until_ms + limits->period_ms <= now_ms)
		f->times = 1;
	else if (f->times < FLAP_LONGEST)
		f->times *= 2;
	f->until_ms = now_ms + (uint64_t)f->times * limits->hold_ms;
	return true;
}

bool flap_holds(const struct flap *f, uint64_t now_ms)
{
	return now_ms < f->until_ms;
}

void flap_restore(struct flap *f, const struct flap_limits *limits, uint64_t now_ms,
		  uint64_t until_ms)
{
	uint64_t most_ms = now_ms + (uint64_t)FLAP_LONGEST * limits->hold_ms;

	if (limits->limit == 0 || until_ms <= now_ms)
		return;
	f->until_ms = until_ms < most_ms ? until_ms : most_ms;
	f->times = 1;
}
