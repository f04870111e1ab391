/* SPDX-License-Identifier: BSD-2-Clause */
/* apply.h: carry a plan out: the only code that changes the data plane. */
#ifndef SLUICE_LB_APPLY_H
#define SLUICE_LB_APPLY_H

#include "lb/plan.h"
#include "lb/plane.h"

/* An interface could not be attached, or is generic only (STEP_ATTACH); or its probes do not go
 * through the VIPs (STEP_PROBE_ATTACH). "" = nothing to tell.
 */
typedef void apply_problem_fn(void *owner, enum step_kind step, const char *interface,
			      const char *problem);

/* plan_apply: step by step; what was applied is committed to *current.
 * plan->done says how many that are.
 * @on_problem: told for each interface that the plan attaches
 * 0, or the -errno of the step that failed: the steps after it are not done. That an interface
 * cannot be attached stops nothing; it is in the next plan again.
 */
int plan_apply(struct plan *plan, struct plane *plane, struct current *current,
	       apply_problem_fn *on_problem, void *owner);

#endif
