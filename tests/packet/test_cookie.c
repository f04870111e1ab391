/* SPDX-License-Identifier: BSD-2-Clause */
/* test_cookie.c: SYN cookies: the handshake with the client, that with the backend, and the numbers
 * of both afterwards.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "tests/packet/nat_site.h"

enum { ISN = 1000, SERVER_ISN = 9000, COOKIES = SERVICE_SYN_COOKIES | SERVICE_COOKIES_OUT };

static const struct datagram syn4 = {
	.src = SITE_CLIENT4,
	.dst = SITE_VIP4,
	.protocol = IPPROTO_TCP,
	.sport = 40000,
	.dport = 25,
	.seq = ISN,
	.flags = TCP_SYN,
	.window = 500,
	.options_bytes = 4,
	.options = {2, 4, 1300 >> 8, 1300 & 0xff},
};

static int setup(void **state)
{
	struct plane *p = calloc(1, sizeof(*p));

	site_open(p, FORWARD_FULLNAT, COOKIES);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	plane_close(*state);
	free(*state);
	return 0;
}

static struct datagram segment_of(struct datagram d, uint8_t flags, uint32_t seq, uint32_t ack)
{
	d.options_bytes = 0;
	d.flags = flags;
	d.seq = seq;
	d.ack = ack;
	return d;
}

static struct datagram run(struct plane *p, const struct datagram *d, int verdict)
{
	struct datagram out;

	assert_int_equal(datagram_run(p, d, &out), verdict);
	return out;
}

static struct datagram cookie_of(struct plane *p, const struct datagram *syn)
{
	struct datagram out = run(p, syn, XDP_TX);

	assert_string_equal(out.src, syn->dst);
	assert_string_equal(out.dst, syn->src);
	assert_int_equal(out.sport, syn->dport);
	assert_int_equal(out.dport, syn->sport);
	assert_int_equal(out.flags, TCP_SYN | TCP_ACK);
	assert_int_equal(out.ack, syn->seq + 1);
	assert_int_equal(out.payload_bytes, 0);
	return out;
}

/* Both handshakes; *ret_seen: the SYN that the backend got; returns the cookie. */
static uint32_t open_flow(struct plane *p, const struct datagram *syn, struct datagram *ret_seen,
			  struct datagram *ret_ack)
{
	uint32_t cookie = cookie_of(p, syn).seq;
	struct datagram d = segment_of(*syn, TCP_ACK, syn->seq + 1, cookie + 1);

	d.window = 4321;
	*ret_seen = run(p, &d, XDP_TX);
	d = site_answer(ret_seen, TCP_SYN | TCP_ACK, SERVER_ISN, syn->seq + 1);
	*ret_ack = run(p, &d, XDP_TX);
	return cookie;
}

static void test_syn_is_answered_and_forgotten(void **state)
{
	struct plane *p = *state;
	struct datagram syn6 = site_six(syn4), out;

	out = cookie_of(p, &syn4);
	assert_int_equal(out.options[2] << 8 | out.options[3], 1460);
	out = cookie_of(p, &syn6);
	assert_int_equal(out.options[2] << 8 | out.options[3], 1440);
	assert_int_equal(plane_reason(p, REASON_REPLY_COOKIE), 2);
	assert_int_equal(plane_backend_stats(p, SITE_FOUR).packets, 0);
}

/* An Ethernet frame has 60 bytes at least; what fills it up is nobody's old data. */
static void test_answer_fills_the_least_frame_with_zeros(void **state)
{
	static const uint8_t zeros[2];
	struct plane *p = *state;
	struct datagram syn = syn4;
	struct frame frame;

	syn.options_bytes = 12;
	memset(syn.options + 4, 1, 8);
	datagram_build(&syn, &frame);
	assert_int_equal(frame.len_bytes, 66);
	assert_int_equal(plane_run(p->fd, &frame, NULL), XDP_TX);
	assert_int_equal(frame.len_bytes, 60);
	assert_memory_equal(frame.bytes + 58, zeros, 2);
}

static void test_source_that_is_no_host_gets_no_cookie(void **state)
{
	static const char *const bad[] = {"127.0.0.1", "224.0.0.1", "255.255.255.255", SITE_VIP4};
	struct datagram d = syn4;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		strcpy(d.src, bad[i]);
		run(*state, &d, XDP_DROP);
		assert_int_equal(plane_reason(*state, REASON_DROP_BAD_ADDRESS), i + 1);
	}
}

static void test_answer_goes_back_where_the_syn_came_from(void **state)
{
	struct plane *p = *state;
	struct frame frame;

	datagram_build(&syn4, &frame);
	assert_int_equal(plane_run(p->fd, &frame, NULL), XDP_TX);
	assert_memory_equal(frame.bytes, frame_router_mac, 6);
	assert_memory_equal(frame.bytes + 6, frame_node_mac, 6);
}

static void test_right_ack_becomes_a_syn_to_the_backend(void **state)
{
	struct datagram syns[] = {syn4, site_six(syn4)}, seen, ack;

	for (int i = 0; i < 2; i++) {
		open_flow(*state, &syns[i], &seen, &ack);
		assert_string_equal(seen.dst, i ? SITE_BACKEND6 : SITE_BACKEND4);
		assert_int_equal(seen.dport, 2525);
		assert_int_equal(seen.flags, TCP_SYN);
		assert_int_equal(seen.seq, ISN);
		assert_int_equal(seen.window, 4321);
		assert_int_equal(seen.options_bytes, 4);
		assert_int_equal(seen.options[0], 2);
		if (!i)
			assert_int_equal(seen.options[2] << 8 | seen.options[3], 1300);
	}
}

static void test_backends_answer_is_acknowledged_by_the_node(void **state)
{
	struct datagram seen, ack;

	open_flow(*state, &syn4, &seen, &ack);
	assert_string_equal(ack.src, seen.src);
	assert_string_equal(ack.dst, SITE_BACKEND4);
	assert_int_equal(ack.sport, seen.sport);
	assert_int_equal(ack.dport, 2525);
	assert_int_equal(ack.flags, TCP_ACK);
	assert_int_equal(ack.seq, ISN + 1);
	assert_int_equal(ack.ack, SERVER_ISN + 1);
	assert_int_equal(ack.window, 4321);
	assert_int_equal(plane_reason(*state, REASON_COOKIE_VALID), 1);
}

static void test_numbers_of_both_fit_afterwards(void **state)
{
	struct plane *p = *state;
	struct datagram syns[] = {syn4, site_six(syn4)}, seen, d, out;

	for (int i = 0; i < 2; i++) {
		uint32_t cookie = open_flow(p, &syns[i], &seen, &d);

		d = site_answer(&seen, TCP_ACK | TCP_PSH, SERVER_ISN + 1, ISN + 1);
		d.payload_bytes = 20;
		out = run(p, &d, XDP_REDIRECT);
		assert_int_equal(out.seq, cookie + 1);
		assert_int_equal(out.ack, ISN + 1);
		d = segment_of(syns[i], TCP_ACK | TCP_PSH, ISN + 1, cookie + 21);
		d.payload_bytes = 3;
		out = run(p, &d, XDP_TX);
		assert_int_equal(out.seq, ISN + 1);
		assert_int_equal(out.ack, SERVER_ISN + 21);
	}
}

static void test_wrong_ack_reaches_nobody(void **state)
{
	struct plane *p = *state;
	uint32_t cookie = cookie_of(p, &syn4).seq;

	for (uint32_t i = 2; i < 200; i++) {
		struct datagram d = segment_of(syn4, TCP_ACK, ISN + 1, cookie + i * 7919), out;

		assert_int_equal(datagram_run(p, &d, &out), XDP_DROP);
	}
	assert_int_equal(plane_backend_stats(p, SITE_FOUR).packets, 0);
}

static void test_data_before_the_backends_answer_repeats_the_syn(void **state)
{
	struct plane *p = *state;
	uint32_t cookie = cookie_of(p, &syn4).seq;
	struct datagram d = segment_of(syn4, TCP_ACK, ISN + 1, cookie + 1), first, out;

	first = run(p, &d, XDP_TX);
	d.payload_bytes = 30;
	out = run(p, &d, XDP_TX);
	assert_int_equal(out.flags, TCP_SYN);
	assert_int_equal(out.seq, ISN);
	assert_int_equal(out.payload_bytes, 0);
	assert_int_equal(out.sport, first.sport);
}

static void test_data_may_bring_the_cookie(void **state)
{
	struct plane *p = *state;
	uint32_t cookie = cookie_of(p, &syn4).seq;
	struct datagram d = segment_of(syn4, TCP_ACK | TCP_PSH, ISN + 1, cookie + 1), out;

	d.payload_bytes = 30;
	out = run(p, &d, XDP_TX);
	assert_int_equal(out.flags, TCP_SYN);
	assert_int_equal(out.payload_bytes, 0);
}

static void test_repeated_answer_of_the_backend_is_acknowledged_again(void **state)
{
	struct datagram seen, ack, d, again;

	open_flow(*state, &syn4, &seen, &ack);
	d = site_answer(&seen, TCP_SYN | TCP_ACK, SERVER_ISN, ISN + 1);
	again = run(*state, &d, XDP_TX);
	assert_memory_equal(&again, &ack, sizeof(ack));
}

static void test_refusal_of_the_backend_resets_the_client(void **state)
{
	struct plane *p = *state;
	uint32_t cookie = cookie_of(p, &syn4).seq;
	struct datagram d = segment_of(syn4, TCP_ACK, ISN + 1, cookie + 1), seen, out;

	seen = run(p, &d, XDP_TX);
	d = site_answer(&seen, TCP_RST | TCP_ACK, 0, ISN + 1);
	out = run(p, &d, XDP_REDIRECT);
	assert_int_equal(out.flags, TCP_RST | TCP_ACK);
	assert_int_equal(out.seq, cookie + 1);
}

static void test_refusal_that_does_not_answer_the_syn_is_not_the_backends(void **state)
{
	struct plane *p = *state;
	uint32_t cookie = cookie_of(p, &syn4).seq;
	struct datagram d = segment_of(syn4, TCP_ACK, ISN + 1, cookie + 1), seen;
	struct backend_stats s;

	seen = run(p, &d, XDP_TX);
	d = site_answer(&seen, TCP_RST, 77, 0);
	run(p, &d, XDP_DROP);
	d = site_answer(&seen, TCP_RST | TCP_ACK, 0, ISN + 2);
	run(p, &d, XDP_DROP);
	s = plane_backend_stats(p, SITE_FOUR);
	assert_int_equal(s.opened - s.closed, 1);
	d = site_answer(&seen, TCP_RST | TCP_ACK, 0, ISN + 1);
	run(p, &d, XDP_REDIRECT);
	s = plane_backend_stats(p, SITE_FOUR);
	assert_int_equal(s.opened - s.closed, 0);
}

/* The backend's SYN-ACK was what it expects so far. */
static void test_clients_reset_behind_the_handshakes_closes_the_flow(void **state)
{
	struct plane *p = *state;
	struct datagram seen, d;
	struct backend_stats s;

	open_flow(p, &syn4, &seen, &d);
	d = segment_of(syn4, TCP_RST, ISN + 1, 0);
	run(p, &d, XDP_TX);
	s = plane_backend_stats(p, SITE_FOUR);
	assert_int_equal(s.opened - s.closed, 0);
}

static void test_ack_of_the_nodes_own_is_counted_for_the_backend(void **state)
{
	struct plane *p = *state;
	struct datagram seen, d;

	open_flow(p, &syn4, &seen, &d);
	assert_int_equal(plane_backend_stats(p, SITE_FOUR).packets, 2); /* SYN, ACK */
}

static void test_proxy_header_comes_with_the_nodes_ack(void **state)
{
	struct plane *p = *state;
	struct datagram seen, ack, d, out;
	uint32_t cookie;

	site_flags(p, FORWARD_FULLNAT, COOKIES | SERVICE_PROXY_V2);
	out = cookie_of(p, &syn4);
	assert_int_equal(out.options[2] << 8 | out.options[3], 1460 - 28);
	cookie = open_flow(p, &syn4, &seen, &ack);
	assert_int_equal(ack.payload_bytes, 28);
	assert_memory_equal(ack.payload, "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\14\12\0\0\7", 20);
	d = site_answer(&seen, TCP_ACK, SERVER_ISN + 1, ISN + 1 + 28);
	out = run(p, &d, XDP_REDIRECT);
	assert_int_equal(out.seq, cookie + 1);
	assert_int_equal(out.ack, ISN + 1);
	d = segment_of(syn4, TCP_ACK, ISN + 1, cookie + 1);
	d.payload_bytes = 9;
	out = run(p, &d, XDP_TX);
	assert_int_equal(out.seq, ISN + 1 + 28);
	assert_int_equal(out.ack, SERVER_ISN + 1);
	assert_int_equal(out.payload_bytes, 9);
}

static void test_cookie_is_good_after_they_were_switched_off(void **state)
{
	struct plane *p = *state;
	uint32_t cookie = cookie_of(p, &syn4).seq;
	struct datagram d = segment_of(syn4, TCP_ACK, ISN + 1, cookie + 1);

	site_flags(p, FORWARD_FULLNAT, SERVICE_COOKIES_OUT);
	assert_int_equal(run(p, &d, XDP_TX).flags, TCP_SYN);
}

static void test_nat_keeps_the_clients_address(void **state)
{
	struct plane *p = *state;
	struct datagram seen, ack;

	site_flags(p, FORWARD_NAT, COOKIES | SERVICE_STATEFUL);
	open_flow(p, &syn4, &seen, &ack);
	assert_string_equal(seen.src, SITE_CLIENT4);
	assert_int_equal(seen.sport, 40000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
		TEST(syn_is_answered_and_forgotten),
		TEST(answer_fills_the_least_frame_with_zeros),
		TEST(source_that_is_no_host_gets_no_cookie),
		TEST(answer_goes_back_where_the_syn_came_from),
		TEST(right_ack_becomes_a_syn_to_the_backend),
		TEST(backends_answer_is_acknowledged_by_the_node),
		TEST(numbers_of_both_fit_afterwards),
		TEST(wrong_ack_reaches_nobody),
		TEST(data_before_the_backends_answer_repeats_the_syn),
		TEST(data_may_bring_the_cookie),
		TEST(repeated_answer_of_the_backend_is_acknowledged_again),
		TEST(refusal_of_the_backend_resets_the_client),
		TEST(refusal_that_does_not_answer_the_syn_is_not_the_backends),
		TEST(clients_reset_behind_the_handshakes_closes_the_flow),
		TEST(ack_of_the_nodes_own_is_counted_for_the_backend),
		TEST(proxy_header_comes_with_the_nodes_ack),
		TEST(cookie_is_good_after_they_were_switched_off),
		TEST(nat_keeps_the_clients_address),
	};

	if (!plane_permitted())
		return 77;
	datagram_network();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
