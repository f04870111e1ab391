/* SPDX-License-Identifier: BSD-2-Clause */
/* partner_kinds.h: the rows of the table in partner.c. */
#ifndef SLUICE_LB_PARTNER_KINDS_H
#define SLUICE_LB_PARTNER_KINDS_H

#include "lb/partner.h"

extern const struct partner_kind partner_node_kind; /* partner_node.c */
extern const struct partner_kind partner_operator;  /* partner_operator.c */
extern const struct partner_kind partner_slots_kind;
extern const struct partner_kind partner_flow_kind, partner_embryo_kind, partner_translation_kind;
extern const struct partner_kind partner_live; /* partner_live.c */
extern const struct partner_kind partner_handover_kind;
extern const struct partner_kind partner_pools_kind; /* partner_pools.c */

/* what the record of a node holds. */
struct partner_said {
	uint64_t config_print, secret_print;
	char version[32];
};
const struct partner_said *partner_own(const struct lb *lb); /* ours */
/* partner_node_say: tell @peer who we are. */
void partner_node_say(struct lb *lb, uint32_t peer);
/* partner_node_heard: @peer told who it is. */
void partner_node_heard(struct lb *lb, uint32_t peer, const struct partner_said *said);
/* partner_config_print: 64 bits that are equal on all nodes that read the same file, keyed by the
 * secret; 0: out of memory.
 */
uint64_t partner_config_print(const struct config *config, const uint8_t secret[static 32]);

#endif
