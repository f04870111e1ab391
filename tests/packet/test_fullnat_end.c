/* SPDX-License-Identifier: BSD-2-Clause */
/* test_fullnat_end.c: what ends a flow of fullnat, and what only looks like it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "tests/packet/nat_talk.h"

enum { RESET_WINDOW = 1 << 18 }; /* as in bpf/track.h */

static int setup(void **state)
{
	struct plane *p = calloc(1, sizeof(*p));

	site_open(p, FORWARD_FULLNAT, 0);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	plane_close(*state);
	free(*state);
	return 0;
}

static void test_fins_of_both_close_the_flow(void **state)
{
	struct plane *p = *state;
	struct datagram seen = open_flow(p, &syn4), d;

	d = segment_of(syn4, TCP_ACK | TCP_FIN, CLIENT_ISN + 1, SERVER_ISN + 1);
	in(p, &d);
	assert_int_equal(live(p, SITE_FOUR), 1);
	d = site_answer(&seen, TCP_ACK | TCP_FIN, SERVER_ISN + 1, CLIENT_ISN + 2);
	back(p, &d, &syn4);
	assert_int_equal(live(p, SITE_FOUR), 0);
	d = segment_of(syn4, TCP_ACK, CLIENT_ISN + 2, SERVER_ISN + 2);
	assert_int_equal(in(p, &d).sport, seen.sport); /* the last ACK still arrives */
}

static void ended(struct plane *p, struct datagram *seen)
{
	struct datagram d;

	*seen = open_flow(p, &syn4);
	d = segment_of(syn4, TCP_ACK | TCP_FIN, CLIENT_ISN + 1, SERVER_ISN + 1);
	in(p, &d);
	d = site_answer(seen, TCP_ACK | TCP_FIN, SERVER_ISN + 1, CLIENT_ISN + 2);
	back(p, &d, &syn4);
}

/* Its ports may have begun anew at another node: the server would answer by RST what came by the
 * old way. Anybody can send such a segment, so it changes nothing.
 */
static void test_segment_of_another_connection_does_not_go_by_the_one_that_ended(void **state)
{
	static const uint8_t flags[] = {TCP_ACK, TCP_ACK | TCP_FIN, TCP_RST};
	struct plane *p = *state;
	struct datagram seen, d;

	ended(p, &seen);
	for (size_t i = 0; i < sizeof(flags); i++) {
		d = segment_of(syn4, flags[i], CLIENT_ISN + (1U << 30), SERVER_ISN + (1U << 30));
		lost(p, &d, REASON_DROP_NO_FLOW);
	}
	d = segment_of(syn4, TCP_ACK, CLIENT_ISN + 2, SERVER_ISN + 2);
	assert_int_equal(in(p, &d).sport, seen.sport);
}

static void test_reset_from_either_side_closes_the_flow(void **state)
{
	struct plane *p = *state;
	struct datagram seen = open_flow(p, &syn4), d;

	d = site_answer(&seen, TCP_RST, SERVER_ISN + 1, 0);
	back(p, &d, &syn4);
	assert_int_equal(live(p, SITE_FOUR), 0);
	d = syn4;
	d.sport++;
	open_flow(p, &d);
	d = segment_of(d, TCP_RST, CLIENT_ISN + 1, 0);
	in(p, &d);
	assert_int_equal(live(p, SITE_FOUR), 0);
}

/* RFC 5961 3.2: a server believes a RST only if it has the very number that it expects. */
static void test_reset_with_another_number_closes_nothing(void **state)
{
	static const int32_t off[] = {-1, -70000, RESET_WINDOW, 1 << 30};
	struct plane *p = *state;
	struct datagram seen = open_flow(p, &syn4), d;

	for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
		d = segment_of(syn4, TCP_RST, CLIENT_ISN + 1 + (uint32_t)off[i], 0);
		assert_int_equal(in(p, &d).sport, seen.sport); /* it answers by a challenge */
		assert_int_equal(live(p, SITE_FOUR), 1);
	}
	d = site_answer(&seen, TCP_ACK, SERVER_ISN + 1, CLIENT_ISN + 101);
	back(p, &d, &syn4);
	d = segment_of(syn4, TCP_RST, CLIENT_ISN + 1, 0); /* right, a hundred bytes ago */
	in(p, &d);
	assert_int_equal(live(p, SITE_FOUR), 1);
	d = segment_of(syn4, TCP_RST, CLIENT_ISN + 101, 0);
	in(p, &d);
	assert_int_equal(live(p, SITE_FOUR), 0);
}

/* Who sends them needs to know neither number, only that there is a port for each flow. */
static void test_backends_reset_with_another_number_closes_nothing(void **state)
{
	static const int32_t off[] = {-1, -70000, RESET_WINDOW, 1 << 30};
	struct plane *p = *state;
	struct datagram seen = open_flow(p, &syn4), d;

	for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
		d = site_answer(&seen, TCP_RST, SERVER_ISN + 1 + (uint32_t)off[i], 0);
		back(p, &d, &syn4); /* the client answers by a challenge */
		assert_int_equal(live(p, SITE_FOUR), 1);
	}
	d = segment_of(syn4, TCP_ACK, CLIENT_ISN + 1, SERVER_ISN + 101);
	in(p, &d);
	d = site_answer(&seen, TCP_RST, SERVER_ISN + 1, 0); /* right, a hundred bytes ago */
	back(p, &d, &syn4);
	assert_int_equal(live(p, SITE_FOUR), 1);
	d = site_answer(&seen, TCP_RST, SERVER_ISN + 101, 0);
	back(p, &d, &syn4);
	assert_int_equal(live(p, SITE_FOUR), 0);
}

/* So that no one can say first which number is expected. */
static void test_segment_from_far_away_does_not_move_what_is_expected(void **state)
{
	struct plane *p = *state;
	struct datagram seen = open_flow(p, &syn4), d;

	d = segment_of(syn4, TCP_ACK, CLIENT_ISN + (2U << 24), 7000000);
	in(p, &d);
	d = site_answer(&seen, TCP_RST, 7000000, 0);
	back(p, &d, &syn4);
	assert_int_equal(live(p, SITE_FOUR), 1);
	d = site_answer(&seen, TCP_ACK, SERVER_ISN + (2U << 24), 7000000);
	back(p, &d, &syn4);
	d = site_answer(&seen, TCP_ACK | TCP_SYN, 7000000, CLIENT_ISN + 1);
	back(p, &d, &syn4);
	d = site_answer(&seen, TCP_RST, 7000001, 0);
	back(p, &d, &syn4);
	d = segment_of(syn4, TCP_RST, 7000000, 0);
	in(p, &d);
	assert_int_equal(live(p, SITE_FOUR), 1);
}

/* The other side may have that data, or may answer by a challenge. */
static void test_reset_behind_data_on_its_way_counts_unless_more_follows(void **state)
{
	struct plane *p = *state;
	struct datagram seen = open_flow(p, &syn4), d;

	for (int side = 0; side < 2; side++) {
		d = segment_of(syn4, TCP_RST, CLIENT_ISN + 1001, 0);
		if (side)
			d = site_answer(&seen, TCP_RST, SERVER_ISN + 1001, 0);
		if (side)
			back(p, &d, &syn4);
		else
			in(p, &d);
		assert_int_equal(live(p, SITE_FOUR), 0);
		plane_clock_set(p, 2000 + 1000U * (uint32_t)side);
		d = segment_of(syn4, TCP_ACK, CLIENT_ISN + 1, SERVER_ISN + 1);
		in(p, &d);
		assert_int_equal(live(p, SITE_FOUR), 1);
	}
}

static void test_fins_of_no_number_of_the_connection_close_nothing(void **state)
{
	struct plane *p = *state;
	struct datagram seen = open_flow(p, &syn4), d;

	d = segment_of(syn4, TCP_ACK | TCP_FIN, CLIENT_ISN + (2U << 24), SERVER_ISN + 1);
	in(p, &d);
	d = site_answer(&seen, TCP_ACK | TCP_FIN, SERVER_ISN + 1, CLIENT_ISN + 1);
	back(p, &d, &syn4);
	assert_int_equal(live(p, SITE_FOUR), 1);
	d = syn4;
	d.sport++;
	seen = open_flow(p, &d);
	d = segment_of(d, TCP_ACK | TCP_FIN, CLIENT_ISN + 1001, SERVER_ISN + 1);
	in(p, &d);
	d = site_answer(&seen, TCP_ACK | TCP_FIN, SERVER_ISN - (2U << 24), CLIENT_ISN + 1);
	assert_int_equal(datagram_run(p, &d, &seen), XDP_REDIRECT);
	assert_int_equal(live(p, SITE_FOUR), 2);
}

static void test_packet_without_time_left_says_nothing_of_the_flow(void **state)
{
	struct plane *p = *state;
	struct datagram d;

	open_flow(p, &syn4);
	d = segment_of(syn4, TCP_RST, CLIENT_ISN + 1, 0);
	d.ttl = 1;
	lost(p, &d, REASON_DROP_TTL);
	assert_int_equal(live(p, SITE_FOUR), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
		TEST(fins_of_both_close_the_flow),
		TEST(segment_of_another_connection_does_not_go_by_the_one_that_ended),
		TEST(reset_from_either_side_closes_the_flow),
		TEST(reset_with_another_number_closes_nothing),
		TEST(backends_reset_with_another_number_closes_nothing),
		TEST(segment_from_far_away_does_not_move_what_is_expected),
		TEST(reset_behind_data_on_its_way_counts_unless_more_follows),
		TEST(fins_of_no_number_of_the_connection_close_nothing),
		TEST(packet_without_time_left_says_nothing_of_the_flow),
	};

	if (!plane_permitted())
		return 77;
	datagram_network();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
