/* SPDX-License-Identifier: BSD-2-Clause */
/* nat_talk.c: see nat_talk.h. */
#include "tests/packet/nat_talk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <linux/bpf.h>
#include <string.h>

const struct datagram syn4 = {
	.src = SITE_CLIENT4,
	.dst = SITE_VIP4,
	.protocol = IPPROTO_TCP,
	.sport = 40000,
	.dport = 25,
	.seq = CLIENT_ISN,
	.flags = TCP_SYN,
	.window = 500,
};

struct datagram segment_of(struct datagram d, uint8_t flags, uint32_t seq, uint32_t ack)
{
	d.flags = flags;
	d.seq = seq;
	d.ack = ack;
	return d;
}

struct datagram in(struct plane *p, const struct datagram *d)
{
	struct datagram out;

	assert_int_equal(datagram_run(p, d, &out), XDP_TX);
	assert_string_equal(out.dst, strchr(d->src, ':') ? SITE_BACKEND6 : SITE_BACKEND4);
	assert_int_equal(out.dport, 2525);
	assert_int_equal(out.seq, d->seq);
	assert_int_equal(out.ack, d->ack);
	assert_int_equal(out.payload_bytes, d->payload_bytes);
	return out;
}

void back(struct plane *p, const struct datagram *d, const struct datagram *client)
{
	struct datagram out;

	assert_int_equal(datagram_run(p, d, &out), XDP_REDIRECT);
	assert_string_equal(out.src, client->dst);
	assert_string_equal(out.dst, client->src);
	assert_int_equal(out.sport, client->dport);
	assert_int_equal(out.dport, client->sport);
	assert_int_equal(out.seq, d->seq);
	assert_int_equal(out.ack, d->ack);
}

void lost(struct plane *p, const struct datagram *d, enum reason reason)
{
	uint64_t before = plane_reason(p, reason);
	struct datagram out;

	assert_int_equal(datagram_run(p, d, &out), XDP_DROP);
	assert_int_equal(plane_reason(p, reason), before + 1);
}

struct datagram open_flow(struct plane *p, const struct datagram *syn)
{
	struct datagram seen = in(p, syn), synack, ack;

	synack = site_answer(&seen, TCP_SYN | TCP_ACK, SERVER_ISN, syn->seq + 1);
	back(p, &synack, syn);
	ack = segment_of(*syn, TCP_ACK, syn->seq + 1, SERVER_ISN + 1);
	assert_int_equal(in(p, &ack).sport, seen.sport);
	return seen;
}

uint64_t live(struct plane *p, uint32_t backend)
{
	struct backend_stats s = plane_backend_stats(p, backend);

	return s.opened - s.closed;
}
