/* SPDX-License-Identifier: BSD-2-Clause */
/* flow_import.h: what a partner knows of flows, into our maps. Nothing of ours makes room for it.
 */
#ifndef SLUICE_LB_FLOW_IMPORT_H
#define SLUICE_LB_FLOW_IMPORT_H

#include "bpf/abi_nat.h"
#include "lb/flows.h"

/* flow_import: 0, 1 when there was nothing to do, -E2BIG (no room), or -errno.
 * @f: with `seen` of our clock; an entry of ours only becomes younger by it
 * @ours: the traffic comes here: what is known here of a flow is right
 */
int flow_import(const struct plane *plane, struct flow_sweep *sweep, const struct flow_key *key,
		const struct flow *f, bool ours);
/* embryo_import: the flow of this hash, of which a partner saw the SYN; likewise. */
int embryo_import(const struct plane *plane, uint64_t hash, uint16_t backend, bool ours);
/* embryo_forget: it has become a flow: an embryo beside that would prove a later SYN. */
void embryo_forget(const struct plane *plane, uint64_t hash);
/* translation_import: likewise, with its flow. */
int translation_import(const struct plane *plane, struct flow_sweep *sweep,
		       const struct flow_key *key, const struct translation *t, bool ours);
/* nascent_import: one whose handshake is not over; a flood may churn it. */
int nascent_import(const struct plane *plane, struct flow_sweep *sweep, const struct flow_key *key,
		   const struct translation *t, bool ours);

#endif
