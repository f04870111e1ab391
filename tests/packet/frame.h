/* SPDX-License-Identifier: BSD-2-Clause */
/* frame.h: frames as clients of a node would send them, for tests and benchmarks.
 *
 * The client is 10.x.y.z or 2001:db8:1::x:y:z, the VIP 192.0.2.10 or 2001:db8::10. Checksums are 0:
 * the program neither checks nor changes them.
 */
#ifndef SLUICE_TESTS_FRAME_H
#define SLUICE_TESTS_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"

enum {
	FRAME_SIZE = 256,
	FRAME_PAYLOAD = 20, /* bytes behind the TCP or UDP header */
	FRAME_IP_AT = 14,
};

enum { TCP_FIN = 0x01, TCP_SYN = 0x02, TCP_RST = 0x04, TCP_PSH = 0x08, TCP_ACK = 0x10 };

struct frame {
	uint32_t len_bytes;
	uint8_t bytes[FRAME_SIZE] __attribute__((aligned(8)));
};

struct frame_spec {
	bool ipv6;
	uint8_t protocol;  /* IPPROTO_TCP or IPPROTO_UDP */
	uint8_t tcp_flags; /* TCP_* */
	uint8_t options;   /* IPv4: words of options, all NOP; 0 .. 10 */
	uint32_t client;   /* the last 24 bits of its address */
	uint16_t sport, dport;
};

extern const uint8_t frame_node_mac[6], frame_router_mac[6];

void frame_build(const struct frame_spec *spec, struct frame *ret_frame);

/* What the program is expected to make of a spec. */
void frame_flow_key(const struct frame_spec *spec, uint16_t service, struct flow_key *ret_key);
void frame_tuple(const struct frame_spec *spec, struct tuple *ret_tuple);
void frame_service_key(const struct frame_spec *spec, struct service_key *ret_key);

#endif
