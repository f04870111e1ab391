/* SPDX-License-Identifier: BSD-2-Clause */
/* partner_flows_own.h: what partner_flows.c and partner_flows_heard.c share: the records, and who
 * is who in them.
 *
 *   0  client (16)  VIP (16)  client's port (2)  VIP's port (2)  protocol (1)  flags (1)
 *  38  backend: word_key() (8)  silent for s (4)
 *  50  TRANSLATION: source towards the backend (16)  its port (2)  backend's port (2)  flags (4)
 *  74  client_isn (4)  client_next (4)  server_next (4)  server_more (4)  mss (2)  window (2)
 */
#ifndef SLUICE_LB_PARTNER_FLOWS_OWN_H
#define SLUICE_LB_PARTNER_FLOWS_OWN_H

#include "lb/partner_flows.h"
#include "lb/partner_kinds.h"

enum { FLOW_BYTES = 50, TRANSLATION_BYTES = 94 };

/* Of a translation's flags, what is the connection's. */
#define TRANSLATION_FINS (TRANSLATION_CLIENT_FIN | TRANSLATION_BACKEND_FIN)
#define FLAG_NASCENT	 0x80000000U /* on the wire: its handshake is not over */
#define FLAGS_TOLD                                                                                 \
	(TRANSLATION_ANSWERED | TRANSLATION_FINS | TRANSLATION_CLOSING | TRANSLATION_PROXY |       \
	 TRANSLATION_ACKNOWLEDGED | TRANSLATION_COOKIE | TRANSLATION_WAITING)

/* flows_backend: the number of word_key() @key; BACKEND_NONE when it is not here. */
uint32_t flows_backend(struct lb *lb, uint64_t key);
/* flows_service: of a flow; NULL when it is not there any more. */
const struct current_service *flows_service(const struct lb *lb, const struct flow_key *key);
/* flows_tracked: has each flow of the service a translation? */
bool flows_tracked(const struct service *s);
/* flows_slot: where its packets look; NULL when there is no table. */
const struct slot *flows_slot(const struct lb *lb, const struct flow_key *key,
			      const struct current_service *s);
struct partner_flows_heard *flows_heard(const struct lb *lb, uint32_t peer);

/* ---- partner_flows_heard.c: as struct partner_kind has it ---- */

void flows_flow_record(struct lb *lb, uint32_t peer, const uint8_t *bytes, size_t n);
void flows_embryo_record(struct lb *lb, uint32_t peer, const uint8_t *bytes, size_t n);
void flows_translation_record(struct lb *lb, uint32_t peer, const uint8_t *bytes, size_t n);

#endif
