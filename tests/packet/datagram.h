/* SPDX-License-Identifier: BSD-2-Clause */
/* datagram.h: whole packets, with right checksums, for tests of what changes packets.
 *
 * datagram_build() makes a frame to the node of what a struct datagram says; datagram_read() takes
 * one apart again and checks every length and checksum by computing it anew, so that what was
 * changed step by step is held against the definition. An ICMP error's payload is the packet that
 * it quotes.
 */
#ifndef SLUICE_TESTS_DATAGRAM_H
#define SLUICE_TESTS_DATAGRAM_H

#include <netinet/in.h>

#include "tests/packet/frame.h"
#include "tests/packet/plane.h"

enum { DATAGRAM_OPTIONS = 40, DATAGRAM_PAYLOAD = 160, TCP_URG = 0x20 };

struct datagram {
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];
	uint8_t protocol;
	uint8_t ttl; /* 0: 64 */
	uint16_t sport, dport;
	uint32_t seq, ack; /* TCP */
	uint16_t window, urgent;
	uint8_t flags;
	bool no_checksum;   /* UDP over IPv4 */
	bool df;	    /* IPv4 */
	bool more;	    /* a fragment that is not the last */
	uint16_t offset;    /* of a fragment, in bytes: no transport header */
	uint16_t id;	    /* likewise */
	uint8_t type, code; /* ICMP */
	uint8_t options_bytes;
	uint8_t options[DATAGRAM_OPTIONS];
	uint16_t payload_bytes;
	uint8_t payload[DATAGRAM_PAYLOAD];
};

void datagram_build(const struct datagram *w, struct frame *ret_frame);
/* datagram_quote: the payload of @error becomes the first @bytes of @about's packet. */
void datagram_quote(const struct datagram *about, uint16_t bytes, struct datagram *error);

/* datagram_read: fails the test when something does not fit. */
void datagram_read(const struct frame *frame, struct datagram *ret_datagram);
/* datagram_read_quoted: what an ICMP error quotes, without checksums of what is cut. */
void datagram_read_quoted(const struct datagram *error, struct datagram *ret_datagram);

/* datagram_run: build, run, read: the verdict. *ret_out is written unless the packet was dropped.
 */
int datagram_run(struct plane *plane, const struct datagram *w, struct datagram *ret_out);

/* datagram_network: a network of this process's own: forwarding is on, and 10.0.0.0/8 and
 * 2001:db8:1::/48 are behind another interface, where two clients, 10.0.0.7 and 2001:db8:1::7, are
 * known by the MAC `datagram_client_mac`. No more than 100 bytes fit on the way to 10.66.0.7, and
 * there is none to 10.77.0.0/16. Returns that interface's index.
 */
extern const uint8_t datagram_client_mac[6];
unsigned int datagram_network(void);

/* datagram_forwarding: of IPv4, in that network: on, or off. */
void datagram_forwarding(bool on);

#endif
