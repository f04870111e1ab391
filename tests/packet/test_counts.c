/* SPDX-License-Identifier: BSD-2-Clause */
/* test_counts.c: what the packets tell of a backend: SYNs, those that come again, RSTs, and which
 * connections got past the handshake; in each way that a packet may take.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/packet/nat_talk.h"

enum { COOKIES = SERVICE_SYN_COOKIES | SERVICE_COOKIES_OUT, OTHER = 5 };

static struct plane *opened(uint8_t mode, uint8_t flags)
{
	struct plane *p = calloc(1, sizeof(*p));

	site_open(p, mode, flags);
	return p;
}

static void closed(struct plane *p)
{
	plane_close(p);
	free(p);
}

/* "syns again resets opened waiting" of a backend. */
static const char *counts(struct plane *p, uint32_t backend)
{
	static char text[128];
	struct backend_stats s = plane_backend_stats(p, backend);

	snprintf(text, sizeof(text), "%lld %lld %lld %lld %lld", (long long)s.syns,
		 (long long)s.again, (long long)s.resets, (long long)s.opened,
		 (long long)s.waiting);
	return text;
}

/* It goes on its way, wherever that is. */
static void go(struct plane *p, struct datagram d, uint8_t flags)
{
	struct datagram out;

	d.flags = flags;
	assert_in_range(datagram_run(p, &d, &out), XDP_TX, XDP_REDIRECT);
}

static void table_set(struct plane *p, uint16_t owner, uint16_t previous)
{
	uint16_t owners[SITE_SLOTS], before[SITE_SLOTS];

	for (int i = 0; i < SITE_SLOTS; i++) {
		owners[i] = owner;
		before[i] = previous;
	}
	plane_table_set(p, SITE_FOUR, owners, before);
}

static const uint8_t stateless[] = {FORWARD_DSR, FORWARD_NAT};

static void test_syn_counts_once_and_what_comes_again_as_that(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(stateless); i++) {
		struct plane *p = opened(stateless[i], 0);
		struct datagram other = syn4, six = site_six(syn4), udp = site_udp(syn4);

		other.sport++;
		go(p, syn4, TCP_SYN);
		assert_string_equal(counts(p, SITE_FOUR), "1 0 0 0 0");
		go(p, syn4, TCP_SYN);
		go(p, syn4, TCP_SYN);
		assert_string_equal(counts(p, SITE_FOUR), "3 2 0 0 0");
		go(p, other, TCP_SYN);
		go(p, udp, 0);
		assert_string_equal(counts(p, SITE_FOUR), "4 2 0 0 0");
		go(p, six, TCP_SYN);
		assert_string_equal(counts(p, SITE_SIX), "1 0 0 0 0");
		closed(p);
	}
}

static void test_connection_that_got_past_the_handshake_is_opened(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(stateless); i++) {
		struct plane *p = opened(stateless[i], 0);

		go(p, syn4, TCP_SYN);
		go(p, syn4, TCP_ACK);
		go(p, syn4, TCP_ACK | TCP_PSH);
		assert_string_equal(counts(p, SITE_FOUR), "1 0 0 1 0");
		go(p, syn4, TCP_RST);
		go(p, syn4, TCP_SYN); /* a new one from the same port */
		assert_string_equal(counts(p, SITE_FOUR), "2 0 1 1 0");
		closed(p);
	}
}

static void test_slot_in_transition_counts_alike(void **state)
{
	struct plane *p = opened(FORWARD_DSR, 0);

	(void)state;
	plane_backend_set(p, OTHER, 1);
	table_set(p, SITE_FOUR | SLOT_TRANSITION, OTHER);
	go(p, syn4, TCP_SYN);
	go(p, syn4, TCP_SYN);
	assert_string_equal(counts(p, SITE_FOUR), "2 1 0 0 0");
	go(p, syn4, TCP_ACK);
	go(p, syn4, TCP_SYN); /* of a flow that lives: its server answers */
	assert_string_equal(counts(p, SITE_FOUR), "3 2 0 1 0");
	go(p, syn4, TCP_RST);
	assert_string_equal(counts(p, SITE_FOUR), "3 2 1 1 0");
	assert_string_equal(counts(p, OTHER), "0 0 0 0 0");
	closed(p);
}

/* The one before was sent elsewhere: for this backend it is the first. */
static void test_syn_that_comes_again_at_another_backend_is_new_there(void **state)
{
	struct plane *p = opened(FORWARD_DSR, 0);

	(void)state;
	go(p, syn4, TCP_SYN);
	plane_backend_set(p, OTHER, 1);
	table_set(p, OTHER, BACKEND_NONE);
	go(p, syn4, TCP_SYN);
	assert_string_equal(counts(p, OTHER), "1 0 0 0 0");
	closed(p);
}

static void test_reset_of_a_backend_counts_where_it_passes_the_node(void **state)
{
	struct plane *p = opened(FORWARD_NAT, 0);
	struct datagram out, d;

	(void)state;
	assert_int_equal(datagram_run(p, &syn4, &out), XDP_TX);
	d = site_answer(&out, TCP_RST | TCP_ACK, 0, CLIENT_ISN + 1);
	go(p, d, d.flags);
	assert_string_equal(counts(p, SITE_FOUR), "1 0 1 0 0");
	closed(p);
	p = opened(FORWARD_FULLNAT, 0);
	assert_int_equal(datagram_run(p, &syn4, &out), XDP_TX);
	d = site_answer(&out, TCP_RST | TCP_ACK, 0, CLIENT_ISN + 1);
	go(p, d, d.flags);
	assert_string_equal(counts(p, SITE_FOUR), "1 0 1 0 0");
	closed(p);
}

static void test_fullnat_counts_alike(void **state)
{
	struct plane *p = opened(FORWARD_FULLNAT, 0);
	struct datagram d;

	(void)state;
	go(p, syn4, TCP_SYN);
	go(p, syn4, TCP_SYN);
	assert_string_equal(counts(p, SITE_FOUR), "2 1 0 0 0");
	open_flow(p, &syn4);
	assert_string_equal(counts(p, SITE_FOUR), "3 2 0 1 0");
	d = segment_of(syn4, TCP_RST, CLIENT_ISN + 1, 0);
	go(p, d, TCP_RST);
	assert_string_equal(counts(p, SITE_FOUR), "3 2 1 1 0");
	closed(p);
}

/* The node has answered the SYN: that the backend has not, only `waiting` tells. */
static void test_cookies_connection_waits_until_its_backend_has_answered(void **state)
{
	struct plane *p = opened(FORWARD_FULLNAT, COOKIES);
	struct datagram cookie, seen, d;

	(void)state;
	assert_int_equal(datagram_run(p, &syn4, &cookie), XDP_TX);
	assert_string_equal(counts(p, SITE_FOUR), "0 0 0 0 0");
	d = segment_of(syn4, TCP_ACK, CLIENT_ISN + 1, cookie.seq + 1);
	assert_int_equal(datagram_run(p, &d, &seen), XDP_TX);
	assert_string_equal(counts(p, SITE_FOUR), "1 0 0 1 1");
	go(p, d, TCP_ACK); /* is its SYN once more */
	assert_string_equal(counts(p, SITE_FOUR), "2 1 0 1 1");
	d = site_answer(&seen, TCP_SYN | TCP_ACK, SERVER_ISN, CLIENT_ISN + 1);
	go(p, d, d.flags);
	assert_string_equal(counts(p, SITE_FOUR), "2 1 0 1 0");
	go(p, d, d.flags); /* the SYN-ACK once more changes nothing */
	assert_string_equal(counts(p, SITE_FOUR), "2 1 0 1 0");
	closed(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_syn_counts_once_and_what_comes_again_as_that),
		cmocka_unit_test(test_connection_that_got_past_the_handshake_is_opened),
		cmocka_unit_test(test_slot_in_transition_counts_alike),
		cmocka_unit_test(test_syn_that_comes_again_at_another_backend_is_new_there),
		cmocka_unit_test(test_reset_of_a_backend_counts_where_it_passes_the_node),
		cmocka_unit_test(test_fullnat_counts_alike),
		cmocka_unit_test(test_cookies_connection_waits_until_its_backend_has_answered),
	};

	if (!plane_permitted())
		return 77;
	datagram_network();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
