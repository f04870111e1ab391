/* SPDX-License-Identifier: BSD-2-Clause */
/* flows.h: what of the flow table user space does: its age, and the count of what lives where.
 *
 * The sweep walks the table in batches, a batch a tick, a pass every PASS_MS or when asked. It
 * deletes flows that were silent for their pool's idle_timeout, that were closing for CLOSING_S, or
 * whose backend is gone. What a whole pass saw (struct flow_facts) lets slots settle and numbers be
 * used again.
 *
 * live of a backend = opened - closed (counted by packets) - expired (by the sweep), corrected by
 * what a pass counts while nothing else happened to that backend, and by the first pass after a
 * restart.
 */
#ifndef SLUICE_LB_FLOWS_H
#define SLUICE_LB_FLOWS_H

#include "lb/plan.h"
#include "lb/plane.h"

enum { SWEEP_BATCH = 4096, SWEEP_TICK_MS = 20, PASS_MS = 10000, CLOSING_S = 60 };

/* Called at the end of each whole pass. */
typedef void flow_pass_fn(void *owner);
/* Called for each live flow that is deleted because its backend is gone; may be NULL. */
typedef void flow_lost_fn(void *owner, const struct tuple *flow,
			  const struct current_service *service);

/* Called for each flow that a pass leaves; @slot: its own, NULL = none; @last_s: when the last
 * whole pass began, 0 = there was none.
 */
typedef void flow_seen_fn(void *owner, const struct flow_key *key, const struct flow *f,
			  const struct slot *slot, uint32_t last_s);

/* flow_silent_s: for how long it has sent nothing, in steps of EPOCH_SECONDS. */
uint32_t flow_silent_s(const struct flow *f, uint32_t now_s);

/* flow_sweep_new: over plane's table, by current's backends and pools; both outlive it. */
struct flow_sweep *flow_sweep_new(struct event_base *loop, const struct plane *plane,
				  const struct current *current, flow_pass_fn *on_pass,
				  flow_lost_fn *on_lost, void *owner);
void flow_sweep_free(struct flow_sweep *sweep);
void flow_sweep_watch(struct flow_sweep *sweep, flow_seen_fn *on_seen);
/* flow_sweep_imported: user space put @live live flows into the table, -1: took one. */
void flow_sweep_imported(struct flow_sweep *sweep, uint32_t number, int live);
uint32_t flow_sweep_last_s(const struct flow_sweep *sweep);
/* flow_sweep_soon: begin a pass now, or, when one is running, as soon as it ends. */
void flow_sweep_soon(struct flow_sweep *sweep);
/* flow_sweep_restart: the table may be another one: what the pass under way saw is no whole pass.
 */
void flow_sweep_restart(struct flow_sweep *sweep);
/* flow_sweep_facts: of the last whole pass; NULL = none yet. Good until the next one ends. */
const struct flow_facts *flow_sweep_facts(const struct flow_sweep *sweep);
/* flow_sweep_new_backend: a number is given out again: its corrections start at 0. */
void flow_sweep_new_backend(struct flow_sweep *sweep, uint32_t number);
uint64_t flow_sweep_live(const struct flow_sweep *sweep, uint32_t number);
/* flow_sweep_live_all: by number, CURRENT_BACKENDS of them; 0 of those that are not used. */
void flow_sweep_live_all(struct flow_sweep *sweep, uint64_t *ret_live);
uint64_t flow_sweep_expired(const struct flow_sweep *sweep, uint32_t number);
/* flow_sweep_over: may this entry of `flows` be deleted? */
bool flow_sweep_over(const struct flow_sweep *sweep, const struct flow_key *key,
		     const struct flow *f, uint32_t now_s);
uint32_t flow_sweep_used(const struct flow_sweep *sweep); /* entries, as of the last pass */

/* clock_writer: writes struct clock every second, a new epoch every EPOCH_SECONDS. */
struct clock_writer *clock_writer_new(struct event_base *loop, const struct plane *plane);
void clock_writer_free(struct clock_writer *clock);
/* clock_now_s: what is written there: seconds of CLOCK_MONOTONIC. */
uint32_t clock_now_s(void);

#endif
