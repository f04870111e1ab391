/* SPDX-License-Identifier: BSD-2-Clause */
/* reconciler.h: what reconcile.c keeps between its turns, for lb.c, which makes it. */
#ifndef SLUICE_LB_RECONCILER_H
#define SLUICE_LB_RECONCILER_H

#include "lb/neighbour.h"
#include "lb/reconcile.h"

struct reconciler *reconciler_new(struct lb *lb); /* NULL: out of memory */
void reconciler_free(struct reconciler *r);
/* reconciler_key: the mark of the hash key in use. */
void reconciler_key(struct reconciler *r, uint64_t key_print);
/* reconciler_last: what the last reconcile did. */
const struct plan_rows *reconciler_last(const struct reconciler *r);
/* reconciler_waits: the last one was broken off, and the next try has its time. */
bool reconciler_waits(const struct reconciler *r);
/* reconciler_refused: a configuration came that could not be taken. */
void reconciler_refused(struct reconciler *r, int error);
/* operators_take: put the operator's rows into the inputs; after a configuration came. */
void operators_take(struct lb *lb);
/* operators_tell: tell the parent whom the operator holds; likewise. */
void operators_tell(struct lb *lb);
/* operator_take: another node's word, if it is the later one (else false); kept soon. */
bool operator_take(struct lb *lb, const struct operator_entry *said);
/* operators_keep: every PARTNER_TICK_MS: write the file where it lacks something, and forget ends
 * (operator.h).
 */
void operators_keep(struct lb *lb);
/* operators_stamp: a configuration came: words from before there were partners become words that
 * can be compared.
 */
void operators_stamp(struct lb *lb);

#endif
