/* SPDX-License-Identifier: BSD-2-Clause */
/* choice.h: the operator's word on who is active: `sluice failover`, and `--to NODE`.
 *
 * Without --to this node resigns, and the best of the others takes over (VRRP_FAILOVER). With it,
 * nobody resigns before the one that is named is active. All is said in the records of STATE
 * (heartbeat.h), so it is authenticated, no replay is believed, and what is lost is said again:
 *
 *   named      | says                    | then
 *   a partner  | this node, active: chosen| it becomes active and says so; this node hears that and
 *              |                         | steps back; the others hear it and yield
 *   this node  | it, backup: chosen      | the active node names it, too, and so on as above
 *
 * A choice is said for a second. Where nothing comes of it (the one that is named may not be
 * active, is dead, does not know the word), the active node goes on as if there had been none.
 */
#ifndef SLUICE_VRRP_CHOICE_H
#define SLUICE_VRRP_CHOICE_H

#include "vrrp/instance.h"

/* choice_take: of the instance that is named, or all; a group goes as a whole. */
void choice_take(struct vrrp_process *process, struct instance *const *instances, uint32_t n,
		 const struct message_failover *m);

#endif
