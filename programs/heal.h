/* SPDX-License-Identifier: BSD-2-Clause */
/* heal.h: when a backend that is down is to be healed. Pure: the clock is given.
 *
 * Down for after_ms: due. Each run sets the next: again_ms later, then twice that, up to
 * HEAL_WAIT_MOST_MS. Up, or no longer configured: nothing is due.
 *
 * A process that comes back knows for how long a backend has been down, and so which runs were
 * due before: those count as made. One run too few is better than a server that is restarted
 * twice at once.
 */
#ifndef SLUICE_PROGRAMS_HEAL_H
#define SLUICE_PROGRAMS_HEAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"

enum { HEAL_WAIT_MOST_MS = 24 * 3600 * 1000 };

struct heal {
	bool down;
	uint64_t next_ms; /* of the clock that was given */
	uint32_t runs;
};

/* heal_down: it is down since @elapsed_ms; nothing when that was known.
 * @recalled: it was known to a process before us
 */
void heal_down(struct heal *h, const struct config_heal *conf, uint64_t elapsed_ms, uint64_t now_ms,
	       bool recalled);
void heal_up(struct heal *h);
bool heal_due(const struct heal *h, uint64_t now_ms);
/* heal_ran: a run begins, or is left to the partner. */
void heal_ran(struct heal *h, const struct config_heal *conf, uint64_t now_ms);

#endif
