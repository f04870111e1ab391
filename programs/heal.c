/* SPDX-License-Identifier: BSD-2-Clause */
/* heal.c: see heal.h. */
#include "programs/heal.h"

/* wait_after: from the run with this number, 1, 2, ..., to the next. */
static uint64_t wait_after(const struct config_heal *conf, uint32_t runs)
{
	uint64_t wait_ms = conf->again_ms;

	while (runs-- > 1 && wait_ms < HEAL_WAIT_MOST_MS)
		wait_ms *= 2;
	if (wait_ms < 1000)
		wait_ms = 1000;
	return wait_ms < HEAL_WAIT_MOST_MS ? wait_ms : HEAL_WAIT_MOST_MS;
}

void heal_down(struct heal *h, const struct config_heal *conf, uint64_t elapsed_ms, uint64_t now_ms,
	       bool recalled)
{
	uint64_t due_ms = conf->after_ms; /* since it went down */

	if (h->down)
		return;
	*h = (struct heal){.down = true};
	while (recalled && due_ms <= elapsed_ms && h->runs < UINT16_MAX)
		due_ms += wait_after(conf, ++h->runs);
	h->next_ms = due_ms > elapsed_ms ? now_ms + (due_ms - elapsed_ms) : now_ms;
}

void heal_up(struct heal *h)
{
	*h = (struct heal){0};
}

bool heal_due(const struct heal *h, uint64_t now_ms)
{
	return h->down && now_ms >= h->next_ms;
}

void heal_ran(struct heal *h, const struct config_heal *conf, uint64_t now_ms)
{
	h->runs++;
	h->next_ms = now_ms + wait_after(conf, h->runs);
}
