/* SPDX-License-Identifier: BSD-2-Clause */
/* machine.h: the state machine of one virtual router (RFC 9568 6.4). Pure: an event and the time go
 * in, actions come out; whoever calls does them in the order in which struct vrrp_actions has them.
 *
 * Beyond the RFC:
 * - A node that hands over (VRRP_FAILOVER, or VRRP_SHUTDOWN as active) sends priority 0 and
 * *lingers*: it keeps the addresses until it hears the partner as active, or a time has passed, so
 * that in between somebody answers.
 * - After a failover a node is *yielding*: it does not preempt the partner, whatever the
 *   priorities, as long as it hears it, and hears of no lower priority than before (a track).
 * - preempt_delay: how long a better node that came up waits before it preempts.
 * - An active node repeats its gratuitous ARPs after 1 s and 5 s, and when it learns that another
 *   one was active beside it.
 */
#ifndef SLUICE_VRRP_MACHINE_H
#define SLUICE_VRRP_MACHINE_H

#include "base/message.h"
#include "vrrp/packet.h"

struct vrrp_machine {
	/* settings; may change at any time */
	uint8_t priority;
	uint16_t advert_cs;
	bool preempt;
	uint32_t preempt_delay_ms;
	struct addr primary; /* our source address: breaks ties */
	/* state */
	enum vrrp_role role;
	uint16_t active_advert_cs; /* learned from the active node */
	bool lingering, yielding;
	uint8_t yielded_to;	  /* the active node's priority as last heard while yielding */
	uint64_t timer_ms;	  /* when VRRP_TIMER is due; 0 = never */
	uint64_t announce_ms;	  /* when to announce again; 0 = never */
	uint8_t announces;	  /* done so far */
	uint64_t better_since_ms; /* we could preempt since then; 0 = no */
	uint64_t sent_ms;	  /* our last advert */
};

enum vrrp_event {
	VRRP_STARTUP,  /* the interface is usable, the node is ready */
	VRRP_RESUME,   /* the same, and the process that died was active */
	VRRP_SHUTDOWN, /* resign */
	VRRP_FAILOVER, /* hand over, and stay backup */
	VRRP_LINK_LOST,
	VRRP_GROUP_ACTIVE, /* another instance of the group became active */
	VRRP_GROUP_BACKUP, /* another one stepped back: hand over as well */
	VRRP_TIMER,	   /* timer_ms or announce_ms has come */
	VRRP_ADVERT,
};

struct vrrp_actions {
	bool add_addresses;
	bool send;
	uint8_t send_priority;
	bool announce;
	bool remove_addresses;
	const char *reason; /* of a change of role; NULL = none changed */
};

/* vrrp_step: @advert only with VRRP_ADVERT: one that is good and has our vrid. */
void vrrp_step(struct vrrp_machine *m, enum vrrp_event event, const struct vrrp_advert *advert,
	       uint64_t now_ms, struct vrrp_actions *ret_actions);

/* vrrp_due_ms: when the next VRRP_TIMER is due; 0 = never. */
uint64_t vrrp_due_ms(const struct vrrp_machine *m);

#endif
