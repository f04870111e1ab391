/* SPDX-License-Identifier: BSD-2-Clause */
/* reconcile.h: the calls that change an input, and those that tell what is.
 *
 * An input changes, somebody calls lb_reconcile(), and some milliseconds later what is wanted is
 * computed anew, compared with what is, and the difference applied: one way for a probe's result, a
 * command, a reload, a new MAC. The commands of control.c use this header and state.h, nothing else
 * of lb/.
 */
#ifndef SLUICE_LB_RECONCILE_H
#define SLUICE_LB_RECONCILE_H

#include "lb/state.h"

enum { RECONCILE_DELAY_MS = 10 }; /* a burst of changes makes one plan */
/* reconcile_rest_ms: what passes until the next plan that an input asks for, by what the last one
 * has cost: lb hears the parent in between, half of the time.
 */
uint32_t reconcile_rest_ms(uint64_t cost_ms);

/* lb_reconcile: compute, compare and apply, soon.
 * @why: for the log line, a static string: "health", "operator", "reload", ...
 */
void lb_reconcile(struct lb *lb, const char *why);
/* lb_reconcile_now: at once, in this call. 0 or -errno (told in the log). 0 as well when the kernel
 * refused the settings and all else was done with those of before: see lb_problem().
 */
int lb_reconcile_now(struct lb *lb, const char *why);
/* lb_problem: what the last reconcile could not do, a sentence for the operator; "" = nothing. */
const char *lb_problem(const struct lb *lb);

/* ---- plans as rows, to print ---- */

struct plan_row {
	const char *step; /* static: "backend add", "table", "service remove", ... */
	char what[320];	  /* "pool mx: 6,554 of 65,537 slots move (10.0 %)" */
	uint32_t moved;	  /* slots */
	uint64_t live;	  /* connections that live at what the step touches */
};

struct plan_rows {
	struct plan_row *rows;
	size_t n;
};

void plan_rows_fini(struct plan_rows *rows);

/* lb_plan: what a configuration would change, without doing it.
 * @candidate: NULL = the one in use: what is still to be done
 * 0 or -errno; the caller has *ret_rows to plan_rows_fini().
 */
int lb_plan(struct lb *lb, const struct config *candidate, struct plan_rows *ret_rows);

/* ---- the operator's states ---- */

/* lb_set_operator: for the backend of config index i; kept in operator.json, reconciled.
 * @weight: 0 .. CONFIG_WEIGHT, or WEIGHT_NONE
 * 0; 1 when it is kept, but the data plane could not be changed to its end, see lb_problem(); or
 * -errno when the file could not be written: then nothing was changed.
 */
int lb_set_operator(struct lb *lb, uint32_t i, enum operator_state state, int32_t weight);

/* lb_detach: take the program off every interface, until the next reload or start. 0 or -errno. */
int lb_detach(struct lb *lb);

/* ---- counters: sums over the CPUs, read from the kernel now ---- */

/* lb_live: connections that live at the backend of config index i. */
uint64_t lb_live(struct lb *lb, uint32_t i);
void lb_backend_counts(struct lb *lb, uint32_t i, struct backend_counts *ret_counts);
/* lb_service_counts: of the service of config index i. */
void lb_service_counts(struct lb *lb, uint32_t i, struct service_counts *ret_counts);
/* lb_reason_counts: packets by enum reason of bpf/abi.h. */
void lb_reason_counts(struct lb *lb, uint64_t ret_counts[static REASON_COUNT]);
/* lb_flow_fill: entries in the flow table as of the last sweep, and its size. */
void lb_flow_fill(const struct lb *lb, uint32_t *ret_used, uint32_t *ret_size);

/* Backends that are no longer in the configuration, but still have connections. */
struct retired_backend {
	char pool[NAME_SIZE], backend[NAME_SIZE];
	struct addr addr;
	uint32_t number;
	struct backend_counts counts;
};
/* lb_retired: up to @most of them (0: ret_retired may be NULL); how many there are. */
uint32_t lb_retired(struct lb *lb, struct retired_backend *ret_retired, uint32_t most);

/* lb_pool_slots: of the pool of config index i: its slots that are in transition now. */
uint32_t lb_pool_transition(const struct lb *lb, uint32_t pool);

/* ---- questions to the other processes, by way of the parent ----
 *
 * The callback comes later, in another turn of the loop; never after lb_request_cancel(). A
 * request without an answer fails with -ETIMEDOUT after REQUEST_TIMEOUT_MS.
 */
enum { REQUESTS_MOST = 64, REQUEST_TIMEOUT_MS = 120000 };

/* @error: 0, or -errno with @text (lines) telling why; @rows: what was (plan: would be) done. */
typedef void lb_reloaded_fn(void *owner, int error, const char *text, const struct plan_rows *rows);
/* Called for each line; `last` ends it. */
typedef void lb_dialogue_fn(void *owner, const struct message_dialogue *line);

/* lb_request_reload: read the file again, and use it, or (plan_only) only say what it would do.
 * @path: NULL = the file in use; another one only with plan_only
 * 0, -EBUSY with too many open requests, or -errno of the channel.
 */
int lb_request_reload(struct lb *lb, bool plan_only, const char *path, lb_reloaded_fn *answer,
		      void *owner);
/* lb_request_upgrade: put the installed version in the place of this one. With an error of 0 @text
 * is its name, and this process is about to be ended.
 */
int lb_request_upgrade(struct lb *lb, lb_reloaded_fn *answer, void *owner);
/* lb_request_probe: probe the backend of config index i once, now. */
int lb_request_probe(struct lb *lb, uint32_t i, lb_dialogue_fn *answer, void *owner);
/* lb_request_failover: the answer is seen in lb->instances. "" = every one, whoever is the best. */
int lb_request_failover(struct lb *lb, const char *instance, const char *to);
/* lb_request_cancel: forget every request of @owner. */
void lb_request_cancel(struct lb *lb, const void *owner);

#endif
