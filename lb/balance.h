/* SPDX-License-Identifier: BSD-2-Clause */
/* balance.h: what moves the inputs of balancing in time: slow starts, limits, feedback.
 *
 * One timer, which runs only while a pool has an option that needs it. It sets the members of
 * struct lb_backend that share.h reads, and calls lb_reconcile() when one of them changed.
 */
#ifndef SLUICE_LB_BALANCE_H
#define SLUICE_LB_BALANCE_H

#include "lb/state.h"

enum { BALANCE_MS = 200 };

struct balance *balance_new(struct lb *lb); /* NULL: out of memory */
void balance_free(struct balance *balance);
/* balance_look: begin the slow starts that are due; before a reconcile looks at the inputs. */
void balance_look(struct lb *lb);

#endif
