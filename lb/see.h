/* SPDX-License-Identifier: BSD-2-Clause */
/* see.h: what explain, trace and show flows have in common. Pure: texts in, values out, and the
 * other way round.
 */
#ifndef SLUICE_LB_SEE_H
#define SLUICE_LB_SEE_H

#include <jansson.h>

#include "lb/current.h"

enum { SEE_ADDR = INET6_ADDRSTRLEN + 16, SEE_FRAME = 256 };

/* ---- see_parse.c: words of the operator's; 0 or -EINVAL ---- */

/* see_endpoint_parse: "192.0.2.1:25" or "[2001:db8::1]:25". */
int see_endpoint_parse(const char *text, struct addr *ret_addr, uint16_t *ret_port);
/* see_prefix_parse: an address, or "192.0.2.0/24"; in words as on the wire. */
int see_prefix_parse(const char *text, uint32_t ret_addr[static 4], uint32_t ret_mask[static 4]);
int see_protocol_parse(const char *text, uint8_t *ret_protocol); /* "tcp", "udp" */
/* see_flags_parse: names of TCP flags, with | or , between them. */
int see_flags_parse(const char *text, uint8_t *ret_flags);
/* see_sample_parse: "1/100", or "100" for the same. */
int see_sample_parse(const char *text, uint32_t *ret_sample);
int see_reason_parse(const char *text, __u64 *ret_reasons);
int see_verdict_parse(const char *text, uint8_t *ret_verdicts); /* "pass", "drop", "tx" */

/* ---- see_frame.c ---- */

struct see_packet {
	uint8_t to_mac[6];
	struct addr src, dst; /* of one family */
	uint16_t sport, dport;
	uint8_t protocol;
	uint8_t tcp_flags;
};

/* see_frame_build: as a client would send it, without payload; its bytes. */
uint32_t see_frame_build(const struct see_packet *packet, uint8_t ret_frame[static SEE_FRAME]);

/* ---- see_tell.c: words for the operator ---- */

const char *see_reason_name(uint32_t reason);
const char *see_reason_meaning(uint32_t reason);
const char *see_verdict_name(uint32_t verdict); /* "tx" for a redirect, too */
const char *see_kind_name(const struct explanation *e);
/* see_endpoint: "192.0.2.1:25"; @port as on the wire. Returns @text. */
const char *see_endpoint(const uint8_t addr[static 16], uint16_t port, char text[static SEE_ADDR]);
const char *see_protocol_name(uint8_t protocol, char text[static 16]);
/* see_backend: "pool/backend", or "none". */
const char *see_backend(const struct current *c, uint32_t number, char text[static 2 * NAME_SIZE]);
/* see_why: why the packet went to its backend. */
const char *see_why(const struct explanation *e);

/* What is known besides the program's own record. */
struct see_more {
	const char *interface; /* that the packet came in by */
	const uint8_t *mac;    /* that it would leave with; NULL = it does not leave */
	const char *out;       /* the interface that it would leave by */
	uint32_t now_s;
	bool in_table; /* what the flow table has, asked or not */
	struct flow flow;
};

/* see_explanation: the answer to explain: "explanation", an object, and "stages", rows. */
json_t *see_explanation(const struct current *c, const struct explanation *e,
			const struct see_more *more);
/* see_event: an event of a trace, a row. */
json_t *see_event(const struct current *c, const struct explanation *e, int64_t at_us);

#endif
