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
 * - A node that is *behind* (does not know what its partners know) likewise.
 * - When the active node is dead, each packet that still goes there is lost, and our data plane
 *   takes them as soon as they come: adverts and announcements before the addresses (`urgent`).
 *   When it is alive (it resigned, or is preempted), or its kernel is, it answers until then: the
 *   addresses come first.
 * - The operator's *choice* of a partner (vrrp/choice.h): that one becomes active while this node
 *   still is, and then this node steps back. As long as the choice is carried out both ignore
 *   adverts of other active nodes, which are each other's; the nodes that were not chosen yield.
 * - preempt_delay: how long a better node that came up waits before it preempts.
 * - An active node repeats its gratuitous ARPs as config_garp says.
 * - A *split*: an active node that stays so hears another active one, longer than a handover takes.
 *   It announces at once, and its repetitions begin anew; splits and their time are counted.
 * - An owner (priority 255) never steps back, and preempts whatever "preempt" and "preempt_delay"
 *   say (RFC 9568 6.1); only an operator's failover makes it yield. It hears the others for the
 *   split's sake alone (RFC 9568 7.1 has an owner discard them).
 * - Two adverts that answer another active node's are ANSWER_LEAST_US apart at least.
 * - A partner whose heartbeats are heard (vrrp/heart.h) is not taken over from because its adverts
 *   are not (`withheld`): the timer is due again when what was heard of it holds no longer. One
 *   that is dead, or says that it steps back, is taken over from at once, whatever the interval.
 * - Adverts keep their rhythm: one that leaves late does not delay the next one.
 *
 * Times are microseconds of CLOCK_MONOTONIC, cut off; skew is rounded up to the next: nothing is
 * done before its time, and a priority that is better by one has less skew (39 us at 10 ms). What
 * others count in milliseconds is so by name.
 */
#ifndef SLUICE_VRRP_MACHINE_H
#define SLUICE_VRRP_MACHINE_H

#include "base/message.h"
#include "vrrp/packet.h"

struct vrrp_machine {
	/* settings; may change at any time */
	uint8_t version; /* 2: its skew does not depend on the interval; else 3 */
	uint8_t priority;
	uint16_t advert_cs;
	bool preempt;
	struct config_garp garp;
	bool behind; /* not in sync with partners */
	uint32_t preempt_delay_ms;
	struct addr primary; /* our source address: breaks ties */
	/* of the partners, by the caller before each step */
	uint64_t lives_until_us; /* the active one, unless more is heard of it; 0 = not known */
	uint32_t rank_ms;	 /* PARTNER_DEAD, PARTNER_LEAVES: better candidates go first */
	bool group_urgent;	 /* GROUP_ACTIVE: as the other one's `urgent` was */
	/* state */
	enum vrrp_role role;
	const char *heir;    /* takes over when the timer is due, as it was told why; else NULL */
	uint64_t overdue_us; /* the timer was due then, and is withheld since; 0 = not */
	uint64_t withheld;   /* silences that were, as the active node is a living partner */
	uint16_t active_advert_cs; /* learned from the active node */
	bool lingering, yielding;
	bool resigned;		  /* the active node said that it leaves: it still answers */
	bool gone;		  /* its processes are dead: its kernel still answers */
	uint8_t yielded_to;	  /* the active node's priority as last heard while yielding */
	uint64_t chosen_until_us; /* the operator's choice is being carried out; 0 = none */
	uint64_t timer_us;	  /* when VRRP_TIMER is due; 0 = never */
	uint64_t announce_us;	  /* when to announce again; 0 = never */
	uint32_t announces;	  /* done so far */
	uint64_t better_since_us; /* we could preempt since then; 0 = no */
	uint64_t sent_us;	  /* our last advert */
	uint64_t active_us;	  /* active since then */
	uint64_t split_from_us;	  /* the split that goes on, if any: first and last advert */
	uint64_t split_heard_us;  /* of another active node; 0 = none */
	uint64_t split_most_us;	  /* silence after which it is over */
	/* counted */
	uint32_t splits;
	uint64_t split_us; /* of those that are over */
};

enum vrrp_event {
	VRRP_STARTUP,  /* the interface is usable, the node is ready */
	VRRP_RESUME,   /* the same, and the process that died was active */
	VRRP_SHUTDOWN, /* resign */
	VRRP_FAILOVER, /* hand over, and stay backup */
	VRRP_LINK_LOST,
	VRRP_GROUP_ACTIVE, /* another instance of the group became active */
	VRRP_GROUP_BACKUP, /* another one stepped back: hand over as well */
	VRRP_TIMER,	   /* timer_us or announce_us has come */
	VRRP_ADVERT,
	VRRP_PARTNER_DEAD,   /* the active node was a partner: it is dead */
	VRRP_PARTNER_GONE,   /* likewise: its processes are, its kernel is not */
	VRRP_PARTNER_LEAVES, /* likewise: it is not active any more */
	VRRP_PARTNER_ACTIVE, /* a partner says so */
	VRRP_STUCK,	     /* we did nothing for longer than our lease, and a partner is active */
	VRRP_CHOICE,	     /* active: a partner is to take over; backup: this node asks to */
	VRRP_CHOSEN,	     /* the active partner wants this node to take over */
	VRRP_SUCCEEDED,	     /* the partner that was chosen is active */
	VRRP_PASSED_OVER,    /* a partner is active by the operator's choice, or about to be */
};

struct vrrp_actions {
	bool add_addresses;
	bool send;
	uint8_t send_priority;
	bool announce;
	bool urgent; /* nobody answers for the addresses: they are added last */
	bool remove_addresses;
	bool split;	    /* one begins: to be shouted */
	const char *reason; /* of a change of role; NULL = none changed */
};

/* vrrp_step: @advert only with VRRP_ADVERT: one that is good and has our vrid. */
void vrrp_step(struct vrrp_machine *m, enum vrrp_event event, const struct vrrp_advert *advert,
	       uint64_t now_us, struct vrrp_actions *ret_actions);

/* vrrp_is_split: is another node active beside this one, as far as it was heard? */
bool vrrp_is_split(const struct vrrp_machine *m, uint64_t now_us);
/* vrrp_split_us: for how long that was, in all. */
uint64_t vrrp_split_us(const struct vrrp_machine *m);

/* vrrp_chooses: is the operator's choice being carried out? */
bool vrrp_chooses(const struct vrrp_machine *m, uint64_t now_us);

/* vrrp_overdue_us: since when the active node's adverts are missing for too long; 0 = they are not,
 * or that says nothing, as it had resigned.
 */
uint64_t vrrp_overdue_us(const struct vrrp_machine *m, uint64_t now_us);

/* vrrp_due_us: when the next VRRP_TIMER is due; 0 = never. */
uint64_t vrrp_due_us(const struct vrrp_machine *m);

#endif
