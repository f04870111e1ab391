/* SPDX-License-Identifier: BSD-2-Clause */
/* lease.h: which instances have which leases of the guard (guard.h), how long they run, and what is
 * said of the instances to the partners (heart.h).
 */
#ifndef SLUICE_VRRP_LEASE_H
#define SLUICE_VRRP_LEASE_H

#include "vrrp/instance.h"

/* lease_give: to a new instance, before anything else is done with it: the one that guarded its
 * first address before, or one that is free.
 */
void lease_give(struct instance *new, struct instance *const *instances, uint32_t n);
/* lease_config: after each change of the instances: addresses, interfaces, the leases' time. */
void lease_config(struct vrrp_process *process, const struct config *c,
		  struct instance *const *instances, uint32_t n);
/* lease_turn: renew all. After a time in which this process did nothing for longer than they run,
 * what a partner has taken over is given up first.
 */
void lease_turn(struct vrrp_process *process, struct instance *const *instances, uint32_t n);
/* lease_records: struct heart_ops' instances(). */
uint32_t lease_records(const struct heart_key *key, struct instance *const *instances, uint32_t n,
		       struct heart_instance *ret);

#endif
