/* SPDX-License-Identifier: BSD-2-Clause */
/* wire.h: whole packets for tests of what the node builds itself: addresses, lengths and checksums
 * as a sender makes them, by code that shares nothing with bpf/.
 */
#ifndef SLUICE_TESTS_WIRE_H
#define SLUICE_TESTS_WIRE_H

#include <stdbool.h>
#include <stdint.h>

enum { WIRE_SIZE = 2048 };

struct wire {
	uint32_t len;
	uint8_t b[WIRE_SIZE];
};

/* Addresses are 16 bytes, of which IPv4 takes the last 4. */
struct wire_ip {
	bool ipv6, fragment, more; /* fragment: not whole, IPv4 only */
	uint16_t offset;	   /* of a fragment, in units of 8 bytes */
	bool df;
	uint8_t tos, ttl, protocol;
	uint8_t options; /* IPv4: words of NOPs */
	uint32_t label;	 /* IPv6 */
	const uint8_t *src, *dst;
};

struct wire_tcp {
	uint16_t sport, dport, window;
	uint32_t seq, ack;
	uint8_t flags;
	uint8_t option_bytes; /* a multiple of 4 */
	uint8_t options[40];
};

/* Each appends to @w; @payload bytes are to follow it and are counted in lengths. */
void wire_eth(struct wire *w, const uint8_t dst[6], const uint8_t src[6], int tags, bool ipv6);
void wire_ip(struct wire *w, const struct wire_ip *ip, uint32_t payload);
void wire_add(struct wire *w, const void *bytes, uint32_t n);
/* wire_fill: a pattern */
void wire_fill(struct wire *w, uint32_t n);
/* With @payload bytes of pattern. */
void wire_tcp(struct wire *w, const struct wire_ip *ip, const struct wire_tcp *tcp,
	      uint32_t payload);
void wire_udp(struct wire *w, const struct wire_ip *ip, uint16_t sport, uint16_t dport,
	      uint32_t payload);
/* wire_icmp: the message with @quoted bytes of @quote behind its 8. */
void wire_icmp(struct wire *w, const struct wire_ip *ip, uint8_t type, uint8_t code, uint32_t value,
	       const void *quote, uint32_t quoted);

/* wire_sum: the Internet checksum, of a whole packet part with its checksum in it: 0 when right. */
uint16_t wire_sum(uint32_t seed, const uint8_t *bytes, uint32_t n);

/* wire_run: one packet through the program; @w becomes what comes out. The XDP verdict. */
int wire_run(int program_fd, struct wire *w);

void wire_assert_equal(const char *what, const struct wire *is, const struct wire *expected);

#endif
