/* SPDX-License-Identifier: BSD-2-Clause */
/* returns.h: whose answers come from which backend: the map `returns` of nat and fullnat, and which
 * services of nat cannot be told by the backend alone.
 */
#ifndef SLUICE_LB_RETURNS_H
#define SLUICE_LB_RETURNS_H

#include "base/config.h"
#include "lb/plane.h"

/* returns_ambiguous: @ret_ambiguous[i] becomes 1 for every service of nat one of whose backends
 * serves another VIP or port from the same address, port and protocol. It has c->n_services
 * elements, all 0. 0 or -ENOMEM.
 */
int returns_ambiguous(const struct config *c, uint8_t *ret_ambiguous);

/* plane_returns_set: the map as the services and backends of @c want it. 0 or -errno; -E2BIG when
 * there are more than RETURNS_MAX.
 */
int plane_returns_set(struct plane *plane, const struct current *c);

/* plane_returns_add_service, plane_returns_add_backend: what one that is about to be put in place
 * needs, so that no answer comes before it is known whose it is. What is not needed any more stays
 * until plane_returns_set().
 */
int plane_returns_add_service(struct plane *plane, const struct current *c,
			      const struct current_service *s);
int plane_returns_add_backend(struct plane *plane, const struct current *c, uint32_t number,
			      const struct current_backend *b);

#endif
