/* SPDX-License-Identifier: BSD-2-Clause */
/* partner_live.h: what balancing does as a partner says; for balance.c. */
#ifndef SLUICE_LB_PARTNER_LIVE_H
#define SLUICE_LB_PARTNER_LIVE_H

#include "lb/state.h"

/* partner_leads: a partner has the traffic of the pool, and says what feedback and limits come to.
 */
bool partner_leads(const struct lb *lb, uint32_t pool);
/* partner_live_sum: connections of backend i at partners that have its traffic. */
uint64_t partner_live_sum(const struct lb *lb, uint32_t i);

#endif
