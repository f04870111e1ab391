/* SPDX-License-Identifier: BSD-2-Clause */
/* times.c: see times.h. */
#include "healthcheck/times.h"

/* The last @n, in order of size: a hundred numbers that change by one at a time are few. */
static uint32_t times_sorted(const struct times *t, uint32_t n, uint32_t ret[static TIMES_KEPT])
{
	if (n > t->n)
		n = t->n;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t ms = t->ms[(t->next + TIMES_KEPT - 1 - i) % TIMES_KEPT], at = i;

		for (; at > 0 && ret[at - 1] > ms; at--)
			ret[at] = ret[at - 1];
		ret[at] = ms;
	}
	return n;
}

uint32_t times_median(const struct times *t)
{
	uint32_t sorted[TIMES_KEPT];
	uint32_t n = times_sorted(t, TIMES_RECENT, sorted);

	return n ? sorted[(n - 1) / 2] : 0;
}

uint32_t times_percentile(const struct times *t, uint32_t percent)
{
	uint32_t sorted[TIMES_KEPT];
	uint32_t n = times_sorted(t, TIMES_KEPT, sorted);
	uint32_t rank = (n * percent + 99) / 100;

	return n ? sorted[rank > 0 ? rank - 1 : 0] : 0;
}

bool times_add(struct times *t, uint32_t took_ms, uint32_t slow_ms)
{
	bool before = t->slow;
	uint32_t median;

	t->ms[t->next] = took_ms;
	t->next = (t->next + 1) % TIMES_KEPT;
	t->n += t->n < TIMES_KEPT;
	if (slow_ms == 0) {
		t->slow = false;
		return before;
	}
	median = times_median(t);
	if (t->n >= TIMES_LEAST && median > slow_ms)
		t->slow = true;
	else if ((uint64_t)median * 100 < (uint64_t)slow_ms * SLOW_BACK)
		t->slow = false;
	return t->slow != before;
}

uint32_t times_patience(const struct times *t)
{
	uint64_t ms = 10ULL * times_percentile(t, 95);

	if (t->n < TIMES_LEAST)
		return 0;
	return ms < TIMES_PATIENCE_MS ? TIMES_PATIENCE_MS : ms < UINT32_MAX ? (uint32_t)ms : 0;
}
