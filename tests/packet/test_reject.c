/* SPDX-License-Identifier: BSD-2-Clause */
/* test_reject.c: no_backend: what becomes of packets of a pool that has nobody, in every mode. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "tests/packet/nat_talk.h"

static const uint8_t modes[] = {FORWARD_DSR, FORWARD_TUNNEL, FORWARD_NAT, FORWARD_FULLNAT};

/* Services whose pools have nobody. */
static struct plane *opened(uint8_t mode, uint8_t flags)
{
	struct plane *p = calloc(1, sizeof(*p));
	uint16_t none[SITE_SLOTS];

	site_open(p, mode, flags);
	for (int i = 0; i < SITE_SLOTS; i++)
		none[i] = BACKEND_NONE;
	plane_table_set(p, SITE_FOUR, none, none);
	plane_table_set(p, SITE_SIX, none, none);
	return p;
}

static void closed(struct plane *p)
{
	plane_close(p);
	free(p);
}

static void assert_reset(struct plane *p, const struct datagram *syn)
{
	uint64_t before = plane_reason(p, REASON_REPLY_RESET);
	struct datagram out;

	assert_int_equal(datagram_run(p, syn, &out), XDP_TX);
	assert_string_equal(out.src, syn->dst);
	assert_string_equal(out.dst, syn->src);
	assert_true(out.sport == syn->dport && out.dport == syn->sport);
	assert_int_equal(out.flags, TCP_RST | TCP_ACK);
	assert_int_equal(out.ack, syn->seq + 1);
	assert_int_equal(plane_reason(p, REASON_REPLY_RESET), before + 1);
}

static void assert_unreachable(struct plane *p, const struct datagram *d)
{
	uint64_t before = plane_reason(p, REASON_REPLY_UNREACHABLE);
	bool ipv6 = strchr(d->src, ':');
	struct datagram out;

	assert_int_equal(datagram_run(p, d, &out), XDP_TX);
	assert_string_equal(out.dst, d->src);
	assert_int_equal(out.protocol, ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	assert_int_equal(out.type, ipv6 ? 1 : 3);
	assert_int_equal(out.code, ipv6 ? 4 : 3);
	assert_int_equal(plane_reason(p, REASON_REPLY_UNREACHABLE), before + 1);
}

static void test_pool_without_anybody_rejects_at_once_in_every_mode(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(modes); i++) {
		struct plane *p = opened(modes[i], SERVICE_REJECT);
		struct datagram six = site_six(syn4), udp = site_udp(syn4);
		struct datagram udp6 = site_six(udp);

		assert_reset(p, &syn4);
		assert_reset(p, &six);
		assert_unreachable(p, &udp);
		assert_unreachable(p, &udp6);
		assert_int_equal(plane_reason(p, REASON_DROP_NO_BACKEND), 0);
		closed(p);
	}
}

static void test_pool_without_anybody_drops_unless_told_otherwise(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(modes); i++) {
		struct plane *p = opened(modes[i], 0);
		struct datagram udp = site_udp(syn4);

		lost(p, &syn4, REASON_DROP_NO_BACKEND);
		lost(p, &udp, REASON_DROP_NO_BACKEND);
		closed(p);
	}
}

static void test_reset_is_not_answered_when_nobody_is_there(void **state)
{
	struct datagram d = segment_of(syn4, TCP_RST, CLIENT_ISN, 0);
	struct plane *p = opened(FORWARD_DSR, SERVICE_REJECT);

	(void)state;
	lost(p, &d, REASON_DROP_NO_BACKEND);
	closed(p);
	p = opened(FORWARD_NAT, SERVICE_REJECT);
	lost(p, &d, REASON_DROP_NO_BACKEND);
	closed(p);
}

static void test_pool_that_has_somebody_rejects_nothing(void **state)
{
	struct plane *p = calloc(1, sizeof(*p));
	struct datagram udp = site_udp(syn4);

	(void)state;
	site_open(p, FORWARD_FULLNAT, SERVICE_REJECT);
	open_flow(p, &syn4);
	in(p, &udp);
	assert_int_equal(plane_reason(p, REASON_REPLY_RESET), 0);
	closed(p);
}

static void test_rejections_are_as_many_as_other_answers(void **state)
{
	struct plane *p = opened(FORWARD_DSR, SERVICE_REJECT);
	struct datagram d = syn4, out;
	uint32_t n = 0;

	(void)state;
	for (d.sport = 1; plane_reason(p, REASON_DROP_REPLY_LIMIT) == 0 && n < 100000; n++) {
		d.sport++;
		datagram_run(p, &d, &out);
	}
	assert_in_range(n, 10001, 10001 * (uint64_t)p->cpus);
	closed(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pool_without_anybody_rejects_at_once_in_every_mode),
		cmocka_unit_test(test_pool_without_anybody_drops_unless_told_otherwise),
		cmocka_unit_test(test_reset_is_not_answered_when_nobody_is_there),
		cmocka_unit_test(test_pool_that_has_somebody_rejects_nothing),
		cmocka_unit_test(test_rejections_are_as_many_as_other_answers),
	};

	if (!plane_permitted())
		return 77;
	datagram_network();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
