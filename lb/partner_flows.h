/* SPDX-License-Identifier: BSD-2-Clause */
/* partner_flows.h: so that connections survive a failover: what a partner could not know by itself
 * of flows, their translations and the tables' slots.
 *
 *	partner_slots.c		SLOTS: which slots are in transition, and whose they were (words.h)
 *	partner_flows.c		FLOW, TRANSLATION: of the program's ring, the sweeps, and all of it
 *	partner_flows_heard.c	those of a partner
 *	flow_import.c		a partner's flows and translations, into our maps
 *	partner_handover.c	HANDOVER: to whom the program sends on what it does not know yet
 *
 * The node that has the traffic of a VIP speaks of it; who has it, too, takes only what it does not
 * know.
 */
#ifndef SLUICE_LB_PARTNER_FLOWS_H
#define SLUICE_LB_PARTNER_FLOWS_H

#include "bpf/abi_nat.h"
#include "lb/partner.h"
#include "lb/plan.h"

struct partner_flows *partner_flows_new(struct lb *lb);
void partner_flows_free(struct partner_flows *flows);

/* ---- partner_slots.c ---- */

struct partner_slots *partner_slots_new(struct lb *lb);
void partner_slots_free(struct partner_slots *slots);
/* partner_slots_words: what is to be believed now, for struct plan_facts. */
const struct words *partner_slots_words(struct lb *lb);
/* partner_slots_applied: the plan was carried out, as far as it was. */
void partner_slots_applied(struct lb *lb, const struct plan *plan);
/* partner_vip_here: does this node have the traffic of this VIP? Of one that is of no instance,
 * each node has.
 */
bool partner_vip_here(const struct lb *lb, const uint8_t vip[static 16]);

/* ---- partner_handover.c ---- */

/* partner_handover_role: vrrp has told of config instance i. */
void partner_handover_role(struct lb *lb, uint32_t i);

/* ---- partner_flows.c ---- */

/* partner_flows_seen: the sweep found a flow that stays; @slot: its own, or NULL.
 * @last_s: when the last whole pass began
 */
void partner_flows_seen(struct lb *lb, const struct flow_key *key, const struct flow *f,
			const struct slot *slot, uint32_t last_s);
/* partner_translation_seen: likewise. */
void partner_translation_seen(struct lb *lb, const struct flow_key *key,
			      const struct translation *t, uint32_t last_s);
/* partner_flows_applied: numbers of backends may be others'. */
void partner_flows_applied(struct lb *lb);

struct partner_flow_counts { /* records of flows and translations */
	uint64_t told;	     /* of the ring, to all partners */
	uint64_t repeated;   /* by the sweeps to all, and to whom came */
	uint64_t lost;	     /* the ring was full: said by the next sweep */
	struct partner_flows_heard {
		uint64_t taken;	  /* into our tables, or they had it */
		uint64_t unknown; /* of a service or backend that is not here */
		uint64_t full;	  /* no room */
	} heard[CONFIG_NODES];
};
const struct partner_flow_counts *partner_flows_counts(const struct lb *lb);

#endif
