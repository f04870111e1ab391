/* SPDX-License-Identifier: BSD-2-Clause */
/* partner_pools.h: POOLS: how many backends of each pool are up, as each node's own probes have it.
 */
#ifndef SLUICE_LB_PARTNER_POOLS_H
#define SLUICE_LB_PARTNER_POOLS_H

#include "lb/state.h"

/* partner_pools_best: the most that a partner sees up in config pool @pool, and who it is (index in
 * config->nodes); 0 when nobody says anything.
 */
uint32_t partner_pools_best(const struct lb *lb, uint32_t pool, uint32_t *ret_peer);

/* partner_pools_fewer: does a partner of the same configuration see more backends up than this
 * node, in any pool?
 */
bool partner_pools_fewer(const struct lb *lb);

#endif
