/* SPDX-License-Identifier: BSD-2-Clause */
/* announce.h: which VIPs this node announces, and why not the others; pure. announcer.h does it. */
#ifndef SLUICE_LB_ANNOUNCE_H
#define SLUICE_LB_ANNOUNCE_H

#include "lb/state.h"

enum announce_why {
	ANNOUNCED,
	WHY_DRAINED,  /* the node, by the operator */
	WHY_DETACHED, /* the program, by the operator */
	WHY_UNREADY,  /* no tables yet: a cold start */
	WHY_BARE,     /* an interface that has no program */
	WHY_BACKUP,   /* a VIP of VRRP, and another node is active */
	WHY_DEAD,     /* no backend behind it */
};
#define ANNOUNCE_WHYS                                                                              \
	{                                                                                          \
		"", "the node is drained", "detached by the operator",                             \
			"waiting for the first probes", "an interface does not balance",           \
			"another node is active", "no backend"                                     \
	}

struct announce_vip {
	struct addr addr;
	enum announce_why why;
	bool missing; /* it is to be announced, and the kernel has no route yet (announcer.h) */
};
#define ANNOUNCE_MISSING "its route is not in the kernel yet"

struct announce_node { /* what holds for all VIPs */
	bool drained, detached, served, attached;
};

/* announce_where: a VIP of VRRP is where it is active, another one anywhere. */
enum announce_where { WHERE_ANY, WHERE_HERE, WHERE_ELSEWHERE };
enum announce_where announce_where(const struct config *config, const struct lb_instance *instances,
				   const struct addr *vip);

/* announce_wanted: every VIP of the services once, ordered by address. A service has a backend when
 * one of its pool, or of that pool's backup, takes new connections, or keeps established ones and
 * is not called down by its probe: a pool that is drained for good keeps its VIP until the last
 * session has ended.
 * @backends, @instances: as in struct lb, after a reconcile
 * 0 or -ENOMEM; the caller frees *ret_vips.
 */
int announce_wanted(const struct config *config, const struct lb_backend *backends,
		    const struct lb_instance *instances, const struct announce_node *node,
		    struct announce_vip **ret_vips, uint32_t *ret_n);

#endif
