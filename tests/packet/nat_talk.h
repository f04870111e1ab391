/* SPDX-License-Identifier: BSD-2-Clause */
/* nat_talk.h: conversations of a client and a backend through fullnat, packet by packet. */
#ifndef SLUICE_TESTS_NAT_TALK_H
#define SLUICE_TESTS_NAT_TALK_H

#include "tests/packet/nat_site.h"

enum { CLIENT_ISN = 1000, SERVER_ISN = 9000 };

extern const struct datagram syn4;

struct datagram segment_of(struct datagram d, uint8_t flags, uint32_t seq, uint32_t ack);
/* in, back: @d goes to the backend, or to @client's sender, with its numbers as they are. */
struct datagram in(struct plane *p, const struct datagram *d);
void back(struct plane *p, const struct datagram *d, const struct datagram *client);
/* lost: @d is dropped, and counted by @reason. */
void lost(struct plane *p, const struct datagram *d, enum reason reason);
/* open_flow: the handshake; what the backend saw of the SYN. */
struct datagram open_flow(struct plane *p, const struct datagram *syn);
uint64_t live(struct plane *p, uint32_t backend);

#endif
