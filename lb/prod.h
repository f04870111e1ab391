/* SPDX-License-Identifier: BSD-2-Clause */
/* prod.h: make the client of a lost flow speak.
 *
 * A client whose backend is gone learns it only when it sends something, and the client of an idle
 * IMAP session sends nothing for half an hour. The node does not know the connection's sequence
 * numbers, so it cannot reset it; but a segment that lies outside of the window must be answered by
 * an ACK (RFC 9293 3.10.7.4), and that ACK goes the way of all packets: to a server that does not
 * know it and answers with the right RST. So a client is prodded with an empty segment, and
 * reconnects at once.
 */
#ifndef SLUICE_LB_PROD_H
#define SLUICE_LB_PROD_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

enum { PROD_BYTES = 60 }; /* the greatest: IPv6 and TCP */

/* prod_build: the packet, from the VIP to the client: an ACK without payload.
 * @flow: as the client sends
 * Returns its length in bytes.
 */
size_t prod_build(const struct tuple *flow, uint32_t seq, uint32_t ack,
		  uint8_t ret_packet[static PROD_BYTES]);

struct prod;

/* prod_new: needs CAP_NET_RAW, which may be given up afterwards. NULL with errno. */
struct prod *prod_new(void);
void prod_free(struct prod *prod);
/* prod_send: to the client of @flow, now or, when the socket is full, never: it is a courtesy. */
void prod_send(struct prod *prod, const struct tuple *flow);

#endif
