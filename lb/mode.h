/* SPDX-License-Identifier: BSD-2-Clause */
/* mode.h: what a pool's forward mode puts into the records of its services and backends, and what
 * of the program a configuration needs. A mode's part is one function in mode.c and a row of its
 * table.
 */
#ifndef SLUICE_LB_MODE_H
#define SLUICE_LB_MODE_H

#include "lb/desired.h"

/* mode_is_routed: may its backends be behind a gateway? */
bool mode_is_routed(enum config_mode mode);

/* mode_service: all of the record but its numbers.
 * @serving: the pool that serves it now: its own, or the backup of that
 */
struct service mode_service(const struct config *c, const struct config_service *s,
			    uint32_t serving);

/* mode_backend_fill: the members of @plane that are the mode's own; the others stay. */
void mode_backend_fill(const struct desired_backend *b, struct backend *plane);

/* mode_pool: where packets to its backends come from. */
struct nat_pool mode_pool(const struct config_pool *pool);

/* mode_needs: FEATURE_* that a service's record needs of the program. @forward: FORWARD_* */
uint32_t mode_needs(uint8_t forward);
uint32_t mode_features(const struct config *c);	  /* FEATURE_* */
uint32_t mode_vip_policy(const struct config *c); /* VIP_* */

#endif
