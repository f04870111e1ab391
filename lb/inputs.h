/* SPDX-License-Identifier: BSD-2-Clause */
/* inputs.h: what changes the inputs of a reconcile, beside the operator: the configuration, health,
 * neighbours and interfaces. Used by lb.c only.
 */
#ifndef SLUICE_LB_INPUTS_H
#define SLUICE_LB_INPUTS_H

#include "lb/state.h"

/* inputs_config: a new configuration in the place of the old one (which is unmapped): what is known
 * of backends and instances that stay is kept. Takes @config. 0 or -ENOMEM (nothing was changed).
 */
int inputs_config(struct lb *lb, const struct config *config);
/* inputs_key: the hash key from the secret's (HMAC-SHA256 with a label). 0 or -ENOMEM. */
int inputs_key(struct lb *lb, const uint8_t key[static 32]);
void inputs_health(struct lb *lb, const struct message_health *m);
void inputs_partner(struct lb *lb, const struct message_partner *m);
void inputs_vrrp(struct lb *lb, const struct message_vrrp *m);
void inputs_turn(struct lb *lb, const struct message_turn *m);
void inputs_tally(struct lb *lb, const struct message_tally *m);
void inputs_process(struct lb *lb, const struct message_child *m);
/* inputs_ways: neighbours and interfaces as they are now; true when any of them changed. */
bool inputs_ways(struct lb *lb);
/* inputs_complete: every backend has a result, or the time for its first one is over. */
bool inputs_complete(const struct lb *lb);

#endif
