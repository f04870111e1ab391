/* SPDX-License-Identifier: BSD-2-Clause */
/* partner_operator.h: the operator's words, from node to node; for reconcile.c. */
#ifndef SLUICE_LB_PARTNER_OPERATOR_H
#define SLUICE_LB_PARTNER_OPERATOR_H

#include "lb/state.h"

/* partner_operator_stamp: it is said here and now: sets changed_ms and node. */
void partner_operator_stamp(struct lb *lb, struct operator_entry *e);
/* partner_operator_say: tell @peer, or PARTNER_ALL. */
void partner_operator_say(struct lb *lb, uint32_t peer, const struct operator_entry *e);
/* partner_operator_read: the entry of a record; false: it is none. Pure. */
bool partner_operator_read(const uint8_t *bytes, size_t n, struct operator_entry *ret);
/* partner_operator_wins: is @a the later word? */
bool partner_operator_wins(const struct operator_entry *a, const struct operator_entry *b);

#endif
