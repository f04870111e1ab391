/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/packet/dsr_site.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <bpf/bpf.h>
#include <cmocka.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

const struct frame_spec dsr_base4 = {
	.protocol = IPPROTO_TCP, .tcp_flags = TCP_ACK, .client = 7, .sport = 40000, .dport = 25};
const struct frame_spec dsr_base6 = {.ipv6 = true,
				     .protocol = IPPROTO_TCP,
				     .tcp_flags = TCP_ACK,
				     .client = 7,
				     .sport = 40000,
				     .dport = 25};

void dsr_table_fill(struct plane *p, uint16_t owner, uint16_t previous)
{
	uint16_t owners[DSR_SLOTS], before[DSR_SLOTS];

	for (int i = 0; i < DSR_SLOTS; i++) {
		owners[i] = owner;
		before[i] = previous;
	}
	plane_table_set(p, 0, owners, before);
}

static void vip_record(struct plane *p, const struct frame_spec *spec, uint8_t policy)
{
	const struct service vip = {.mode = policy};
	struct service_key key;

	frame_service_key(spec, &key);
	key.port = 0;
	key.protocol = 0;
	plane_record_set(p, &key, &vip);
}

int dsr_setup(void **state)
{
	struct plane *p = calloc(1, sizeof(*p));
	const struct plane_sizes sizes = {.slots = DSR_SLOTS,
					  .flows = 64,
					  .embryos = 1024,
					  .features = FEATURE_VIPS | FEATURE_SYNC};
	struct frame_spec udp = dsr_base4;

	assert_int_equal(plane_open(&sizes, p), 0);
	udp.protocol = IPPROTO_UDP;
	plane_service_set(p, &dsr_base4, DSR_SERVICE4, 0);
	plane_service_set(p, &udp, DSR_SERVICE4_UDP, 0);
	plane_service_set(p, &dsr_base6, DSR_SERVICE6, 0);
	vip_record(p, &dsr_base4, VIP_PASS);
	vip_record(p, &dsr_base6, VIP_PASS);
	for (uint32_t b = OWNER; b <= THIRD; b++)
		plane_backend_set(p, b, 1);
	dsr_table_fill(p, OWNER, BACKEND_NONE);
	plane_clock_set(p, 1000);
	*state = p;
	return 0;
}

int dsr_teardown(void **state)
{
	plane_close(*state);
	free(*state);
	return 0;
}

/* ---- running ---- */

static uint32_t backend_of(const struct frame *f)
{
	return (uint32_t)f->bytes[4] << 8 | f->bytes[5];
}

uint32_t dsr_forwarded(struct plane *p, const struct frame *frame)
{
	struct frame out = *frame;

	assert_int_equal(plane_run(p->fd, &out, NULL), XDP_TX);
	assert_int_equal(out.len_bytes, frame->len_bytes);
	assert_memory_equal(out.bytes + 12, frame->bytes + 12, frame->len_bytes - 12);
	return backend_of(&out);
}

struct frame_spec dsr_spec_of(uint8_t flags)
{
	struct frame_spec s = dsr_base4;

	s.tcp_flags = flags;
	return s;
}

uint32_t dsr_sent_to(struct plane *p, const struct frame_spec *spec)
{
	struct frame frame;

	frame_build(spec, &frame);
	return dsr_forwarded(p, &frame);
}

uint32_t dsr_send_flags(struct plane *p, uint8_t flags)
{
	struct frame_spec s = dsr_spec_of(flags);

	return dsr_sent_to(p, &s);
}

void dsr_stopped(struct plane *p, const struct frame *frame, int verdict, enum reason reason,
		 const char *what)
{
	uint64_t before = plane_reason(p, reason);
	struct frame out = *frame;
	int is = plane_run(p->fd, &out, NULL);

	if (is != verdict || plane_reason(p, reason) != before + 1)
		fail_msg("%s: verdict %d, reason not %d", what, is, (int)reason);
}

void bytes_insert(struct frame *f, uint32_t at, const void *bytes, uint32_t n)
{
	memmove(f->bytes + at + n, f->bytes + at, f->len_bytes - at);
	memcpy(f->bytes + at, bytes, n);
	f->len_bytes += n;
}

void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

uint32_t get16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}
