/* SPDX-License-Identifier: BSD-2-Clause */
/* announcer.h: keeps the VIPs of healthy services as routes of the kernel ("announce"), beside the
 * plan: it looks after each reconcile at what the data plane has become, and every few seconds at
 * what the kernel has. A route is added only when all that was wanted of the data plane is done,
 * and withdrawn at once.
 */
#ifndef SLUICE_LB_ANNOUNCER_H
#define SLUICE_LB_ANNOUNCER_H

#include "lb/announce.h"

struct announcer;

/* announcer_new: @folder: SLUICE_STATE_DIR. NULL: out of memory */
struct announcer *announcer_new(struct lb *lb, const char *folder);
void announcer_free(struct announcer *a);

/* announcer_look: compare, and change; nothing without an announcer or a configuration. */
void announcer_look(struct lb *lb);
/* announcer_withdraw: every route, for good: the process ends. */
void announcer_withdraw(struct announcer *a);
/* announcer_drain: begin or end of the node's drain; kept over restarts. 0, or -errno when it could
 * not be kept: then nothing was changed.
 */
int announcer_drain(struct lb *lb, bool drained);

/* announcer_drained_s: CLOCK_REALTIME, when the drain began; 0 = the node is not drained. */
int64_t announcer_drained_s(const struct announcer *a);
bool announcer_has(const struct announcer *a, const uint8_t vip[static 16]);
/* announcer_vips: as of the last look, and since when each is as it is. */
const struct announce_vip *announcer_vips(const struct announcer *a, const int64_t **ret_since_s,
					  uint32_t *ret_n);
/* announcer_problem: a sentence for the operator; "" = none. */
const char *announcer_problem(const struct announcer *a);

#endif
