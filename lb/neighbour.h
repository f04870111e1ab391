/* SPDX-License-Identifier: BSD-2-Clause */
/* neighbour.h: the way to each backend: which interface, which next hop, its MAC. The kernel
 * resolves; we ask it to keep the entries fresh (managed entries, Linux 5.16) and listen to what
 * changes.
 */
#ifndef SLUICE_LB_NEIGHBOUR_H
#define SLUICE_LB_NEIGHBOUR_H

#include "lb/state.h"

/* Something about neighbours, routes, links or their qdiscs and filters changed: look again at all
 * that is wanted.
 */
typedef void neighbours_changed_fn(void *owner);

/* neighbours_new: NULL with errno. */
struct neighbours *neighbours_new(struct event_base *loop, neighbours_changed_fn *changed,
				  void *owner);
/* neighbours_free: the kernel's entries stay: a successor uses them. */
void neighbours_free(struct neighbours *n);

/* neighbours_want: these addresses, and no others; duplicates are fine. Entries that we made for
 * others are removed. 0 or -ENOMEM.
 */
int neighbours_want(struct neighbours *n, const struct addr *addrs, uint32_t n_addrs);

/* neighbours_find: of a wanted address; NULL = not wanted. Good until the next neighbours_want().
 * @routed: a gateway will do, and its MAC is the one to use; else such a way is NEIGHBOUR_GATEWAY
 */
const struct neighbour *neighbours_find(const struct neighbours *n, const struct addr *addr,
					bool routed);

/* What the kernel's table has to have room for. */
struct neighbour_room {
	uint32_t wanted; /* next hops: backends on a link of ours, and gateways */
	bool refused;	 /* it has not */
};
struct neighbour_room neighbours_room(const struct neighbours *n, bool ipv6);

/* neighbours_probe: have the kernel ask for it again, now. */
void neighbours_probe(struct neighbours *n, const struct addr *addr);

#endif
