/* SPDX-License-Identifier: BSD-2-Clause */
/* plan.h: the ordered list of changes from what the data plane has to what is wanted; pure.
 *
 * A step carries the new value of one element of struct current; applying it is writing that value
 * into the kernel's maps and into the element. The order is safe at every step: a packet never
 * meets a service without a table, or a table with an owner that is not there.
 */
#ifndef SLUICE_LB_PLAN_H
#define SLUICE_LB_PLAN_H

#include "lb/current.h"
#include "lb/desired.h"
#include "lb/reconcile.h"
#include "lb/words.h"

/* In the order in which they are applied; but settings and programs that can do less than services
 * still need come after these (plan_program.c).
 */
enum step_kind {
	STEP_PROBE_DETACH, /* the program of tc egress that sends probes through the VIPs */
	STEP_DETACH,
	STEP_SETTINGS,
	STEP_SERVICE_REMOVE,
	STEP_BACKEND_ADD,
	STEP_BACKEND_CHANGE, /* gains: alive, a MAC */
	STEP_POOL_ADD,
	STEP_TABLE,
	STEP_PROGRAM, /* replace it, through its link */
	STEP_SERVICE_ADD,
	STEP_SERVICE_CHANGE,
	STEP_BACKEND_LOSE, /* new connections, or all of them */
	STEP_BACKEND_RETIRE,
	STEP_PROBE_VIPS, /* through which probes go */
	STEP_ATTACH,
	STEP_PROBE_ATTACH,
	STEP_POOL_REMOVE,  /* no program names it any more */
	STEP_BACKEND_FREE, /* its number; likewise */
};

struct step {
	enum step_kind kind;
	bool silent;	 /* not worth a word */
	bool differs;	 /* STEP_TABLE: the words of the table; silent and not: only we know */
	uint32_t number; /* of the element: backend, pool, service id, interface */
	uint32_t moved, settled;
	uint64_t live; /* connections concerned */
	union {	       /* the element's new value */
		struct settings settings;
		struct current_backend backend;
		struct current_pool pool; /* owns its table, until it is applied */
		struct current_service service;
		struct current_interface interface;
		struct probe_list probes; /* likewise owned */
	};
};

struct plan {
	struct step *steps;
	size_t n, room;
	uint32_t moved;	   /* slots, over all pools */
	uint16_t *numbers; /* of the configuration's backends */
	size_t done;	   /* steps that plan_apply() carried out */
};

/* What the last whole pass of the sweep found in the flow table. */
struct flow_facts {
	uint32_t started_s;	  /* when that pass began */
	uint32_t slots;		  /* of the tables then: what `foreign` has room for */
	const uint8_t *has_flows; /* by backend number */
	const uint8_t **foreign;  /* by pool number: see struct table_wish; NULL = none looked at */
};

struct plan_facts {
	uint32_t now_s;
	const struct flow_facts *flows; /* NULL = no whole pass yet */
	const uint64_t *live;		/* connections by backend number; NULL = not asked */
	const uint8_t *flooded;		/* by service id: too many SYNs; NULL = none */
	bool unserved;		   /* this node has not served anybody yet: see struct table_wish */
	const struct words *words; /* by pool number; NULL = no partner has the traffic */
};

/* plan_build: 0, -ENOMEM, or -ENOSPC when the numbers of backends, pools or services do not suffice
 * because too many that were removed still have connections.
 */
int plan_build(const struct current *current, const struct desired *desired,
	       const struct plan_facts *facts, struct plan *ret_plan);
void plan_fini(struct plan *plan);

/* settings_hold: with what to go on when the kernel refused a plan's settings: the sizes that are
 * there, with all else; when that was it already, all that is there. False: nothing is left.
 */
bool settings_hold(const struct settings *have, const struct settings *refused,
		   struct settings *ret_held);

/* step_commit: the step was applied: put its value into *current. Moves a table out of the step. */
void step_commit(struct step *step, struct current *current);

/* plan_rows: the steps in words. 0 or -ENOMEM. */
int plan_rows(const struct plan *plan, const struct current *current, struct plan_rows *ret_rows);

#endif
