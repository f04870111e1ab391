/* SPDX-License-Identifier: BSD-2-Clause */
/* routes.h: the kernel's routes of our own protocol number, in one table: read, compared, changed.
 *
 * A VIP is a route to it alone (/32, /128) of type blackhole: it needs no interface, a routing
 * daemon imports it as any other, and whoever looked it up by mistake would forward nothing.
 */
#ifndef SLUICE_LB_ROUTES_H
#define SLUICE_LB_ROUTES_H

#include "base/config.h"

struct routes;

struct routes *routes_new(void); /* NULL with errno */
void routes_free(struct routes *r);

/* routes_set: those of the protocol in the table become these.
 * @vips: ordered, each once
 * @only_remove: add nothing
 * @ret_missing: n: the kernel has no route of ours to that one; untouched where that is not known
 * @ret_n: how many were added, and removed; set in any case
 * 0, or -errno of the first that failed: the others were tried all the same. -EEXIST: another's
 * route is in its place.
 */
int routes_set(struct routes *r, const struct config_announce *way, const struct addr *vips,
	       uint32_t n, bool only_remove, bool *ret_missing, uint32_t ret_n[static 2]);

#endif
