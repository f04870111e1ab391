/* SPDX-License-Identifier: BSD-2-Clause */
/* dsr_site.h: services of mode dsr for packet tests, TCP and UDP of IPv4 and TCP of IPv6, port 25,
 * in one pool. All slots are alike: owner 1, and in transition the previous owner 2.
 */
#ifndef SLUICE_TESTS_DSR_SITE_H
#define SLUICE_TESTS_DSR_SITE_H

#include "tests/packet/plane.h"

enum {
	DSR_SLOTS = 251,
	OWNER = 1,
	PREVIOUS = 2,
	THIRD = 3,
	DSR_SERVICE4 = 3,
	DSR_SERVICE4_UDP = 4,
	DSR_SERVICE6 = 5,
	IP4_AT = 14,
	L4_IN_IP4 = 20,
	L4_IN_IP6 = 40,
};

/* A packet of an established connection. */
extern const struct frame_spec dsr_base4, dsr_base6;

/* For cmocka: *state is the struct plane. */
int dsr_setup(void **state);
int dsr_teardown(void **state);
void dsr_table_fill(struct plane *p, uint16_t owner, uint16_t previous);

/* dsr_forwarded: it is, and nothing but its MACs is changed; the backend. */
uint32_t dsr_forwarded(struct plane *p, const struct frame *frame);
/* dsr_spec_of: of dsr_base4's connection, with these flags of TCP. */
struct frame_spec dsr_spec_of(uint8_t flags);
/* dsr_sent_to, dsr_send_flags: the backend that it went to. */
uint32_t dsr_sent_to(struct plane *p, const struct frame_spec *spec);
uint32_t dsr_send_flags(struct plane *p, uint8_t flags);
/* dsr_stopped: by this verdict, for this reason. @what: the row of the test */
void dsr_stopped(struct plane *p, const struct frame *frame, int verdict, enum reason reason,
		 const char *what);

/* bytes_insert: before offset @at of the frame. */
void bytes_insert(struct frame *f, uint32_t at, const void *bytes, uint32_t n);
/* In network byte order. */
void put16(uint8_t *at, uint32_t value);
uint32_t get16(const uint8_t *at);

#endif
