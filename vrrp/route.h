/* SPDX-License-Identifier: BSD-2-Clause */
/* route.h: is there a route? The kernel's main table, by netlink: listed once, then followed.
 *
 * A prefix is there while the table has a unicast route for exactly it, of any metric, with a next
 * hop whose link works. What is added is believed at once; after anything else (one of ours goes, a
 * link changes: the kernel tells nobody of the routes that this costs, or we lost messages) the
 * table is listed anew, piece by piece as the loop reads it, so that a table of a million routes
 * does not hold up an advert.
 */
#ifndef SLUICE_VRRP_ROUTE_H
#define SLUICE_VRRP_ROUTE_H

#include <linux/netlink.h>

#include "base/config.h"

struct event_base;
struct route_watch;

/* Called when it is known, or may have changed, whether the prefix of that number is there. */
typedef void route_fn(void *owner, uint32_t number, bool there);

/* route_watch_new: NULL with errno. */
struct route_watch *route_watch_new(struct event_base *loop, route_fn *tell, void *owner);
void route_watch_free(struct route_watch *w);
/* route_watch_want: follow these, n up to CONFIG_TRACKS, numbered as they stand; copied. */
void route_watch_want(struct route_watch *w, const struct config_vip *prefixes, uint32_t n);
/* route_watch_list: list them anew, soon: a link has changed. */
void route_watch_list(struct route_watch *w);

/* route_is: a message of the kernel: is it a route of the main table for that prefix? Pure.
 * @ret_usable: a unicast one, with a next hop whose link works
 */
bool route_is(const struct nlmsghdr *message, const struct config_vip *prefix, bool *ret_usable);

#endif
