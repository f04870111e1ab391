/* SPDX-License-Identifier: BSD-2-Clause */
/* requests.h: the answers' side of the requests of reconcile.h: lb.c hands in what the parent
 * sends. */
#ifndef SLUICE_LB_REQUESTS_H
#define SLUICE_LB_REQUESTS_H

#include "lb/reconcile.h"

/* requests_reloaded: @rows: what the reload did, for an error of 0. The parent has read the file;
 * what the data plane could not do is told instead (lb_problem()).
 */
void requests_reloaded(struct lb *lb, const struct message_reloaded *m,
		       const struct plan_rows *rows);
/* requests_candidate: @candidate: NULL = it could not be mapped. */
void requests_candidate(struct lb *lb, uint32_t number, const struct config *candidate);
void requests_dialogue(struct lb *lb, const struct message_dialogue *m);
void requests_fini(struct lb *lb);

#endif
