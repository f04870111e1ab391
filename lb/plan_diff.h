/* SPDX-License-Identifier: BSD-2-Clause */
/* plan_diff.h: the comparison while it is made, shared by plan.c, plan_number.c, plan_program.c
 * and plan_probe.c only.
 */
#ifndef SLUICE_LB_PLAN_DIFF_H
#define SLUICE_LB_PLAN_DIFF_H

#include "lb/plan.h"

/* What the comparison has at hand. Arrays by number have one element for each possible one. */
struct diff {
	const struct current *current;
	const struct desired *desired;
	const struct plan_facts *facts;
	struct plan *plan;
	uint16_t *pools;     /* number of each configured pool */
	uint16_t *services;  /* id of each configured service */
	uint8_t *kept;	     /* backend numbers that the configuration has */
	uint8_t *kept_pools; /* pool numbers likewise */
	uint8_t *kept_services;
	uint8_t *alive;	      /* by backend number, as it will be */
	uint8_t *unsettle;    /* by pool number */
	uint64_t *keys;	      /* by backend number; NULL = not asked for yet */
	struct settings wide; /* the wanted ones, but able to do what services need now */
	bool settings_differ; /* from the wide ones */
	bool slots_differ;
};

/* diff_number: give everything wanted its number: fills plan->numbers, pools, services and kept*.
 * 0, -ENOMEM or -ENOSPC.
 */
int diff_number(struct diff *d);

/* number_free: the next one of @most numbers from @from on, going round, that is not taken; or
 * @most.
 */
uint32_t number_free(const uint8_t *taken, uint32_t most, uint32_t from);

/* step_add: a step at the plan's end, with nothing in it yet; NULL: out of memory. */
struct step *step_add(struct diff *d, enum step_kind kind, uint32_t number);

/* ---- plan_words.c ---- */

/* pool_words: what a partner says of pool @number; NULL = nothing. */
const struct words *pool_words(const struct diff *d, uint32_t number);
/* words_apply: that, if it is of the owners that are wished. 0 or -ENOMEM; the caller frees
 * *ret_words, which may be NULL.
 */
int words_apply(struct diff *d, uint32_t number, const struct table_wish *wish,
		uint16_t **ret_words);

/* ---- plan_program.c; stages of plan_build() return 0 or -errno ---- */

void settings_compare(struct diff *d);
/* settings_change: does the plan have a step of settings? */
bool settings_change(const struct diff *d);
const struct desired_interface *interface_wanted(const struct diff *d, const char *name);
/* interface_stays: or another one has its name by now, or none is wanted. */
bool interface_stays(const struct diff *d, const struct current_interface *have);
int interfaces_detach(struct diff *d);
int settings_widen(struct diff *d);
int programs_widen(struct diff *d);
int settings_narrow(struct diff *d);
int programs_narrow(struct diff *d);
int interfaces_attach(struct diff *d);

/* ---- plan_probe.c; likewise ---- */

bool probes_wanted(const struct diff *d);
int probes_detach(struct diff *d);
int probes_compare(struct diff *d);
int probes_attach(struct diff *d);

struct service_key service_key_of(const struct config_service *s);
/* service_wanted: of the configuration's service @i; after diff_number(). */
struct current_service service_wanted(const struct diff *d, uint32_t i);

#endif
