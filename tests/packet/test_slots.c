/* SPDX-License-Identifier: BSD-2-Clause */
/* test_slots.c: what the program does with flows, in settled slots and in those in transition. All
 * slots are alike, so that every flow meets the case that a test is about: owner 1, previous
 * owner 2.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "balancer.skel.h"
#include "bpf/hash.h"
#include "tests/packet/dsr_site.h"

enum { FLOWS = 64 /* as in dsr_site.c */ };

static void settle(struct plane *p)
{
	dsr_table_fill(p, OWNER, BACKEND_NONE);
}

static void transition(struct plane *p)
{
	dsr_table_fill(p, OWNER | SLOT_TRANSITION, PREVIOUS);
}

static uint16_t service_id(const struct frame_spec *spec)
{
	return spec->protocol == IPPROTO_UDP ? DSR_SERVICE4_UDP : DSR_SERVICE4;
}

static bool flow_get(struct plane *p, const struct frame_spec *spec, struct flow *ret)
{
	struct flow_key key;

	frame_flow_key(spec, service_id(spec), &key);
	return bpf_map_lookup_elem(bpf_map__fd(p->skel->maps.flows), &key, ret) == 0;
}

static void flow_put(struct plane *p, const struct frame_spec *spec, uint16_t backend,
		     uint32_t flags)
{
	struct flow f = {.backend = backend, .flags = flags, .seen = 1};
	struct flow_key key;

	frame_flow_key(spec, service_id(spec), &key);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(p->skel->maps.flows), &key, &f, BPF_ANY),
			 0);
}

static bool flow_there(struct plane *p)
{
	struct flow f;

	return flow_get(p, &dsr_base4, &f);
}

static void dead(struct plane *p, uint32_t backend)
{
	p->backends[backend].flags = 0;
}

/* ---- settled slots ---- */

static void test_flow_is_remembered_once_it_is_more_than_a_syn(void **state)
{
	struct plane *p = *state;
	struct flow f;

	assert_int_equal(dsr_send_flags(p, TCP_SYN), OWNER);
	assert_false(flow_there(p));
	assert_int_equal(dsr_send_flags(p, TCP_ACK), OWNER);
	assert_true(flow_get(p, &dsr_base4, &f));
	assert_true(f.backend == OWNER && f.flags == 0 && f.seen == FLOW_EPOCH(1000));
}

static void test_one_packet_flows_never_reach_the_flow_table(void **state)
{
	struct plane *p = *state;

	for (uint32_t i = 0; i < 1000; i++) {
		struct frame_spec s = dsr_spec_of(i & 1 ? TCP_SYN : TCP_ACK);

		s.client = i;
		if (i % 3 == 0)
			s.protocol = IPPROTO_UDP;
		assert_int_equal(dsr_sent_to(p, &s), OWNER);
	}
	assert_int_equal(plane_backend_stats(p, OWNER).opened, 0);
}

static void test_flow_is_refreshed_once_an_epoch(void **state)
{
	struct plane *p = *state;
	struct flow f;

	dsr_send_flags(p, TCP_SYN);
	dsr_send_flags(p, TCP_ACK);
	plane_clock_set(p, 1003); /* the same epoch: 992 .. 1007 */
	dsr_send_flags(p, TCP_ACK);
	assert_true(flow_get(p, &dsr_base4, &f) && f.seen == FLOW_EPOCH(1000));
	plane_clock_set(p, 1008);
	dsr_send_flags(p, TCP_ACK);
	assert_true(flow_get(p, &dsr_base4, &f) && f.seen == FLOW_EPOCH(1008));
}

static void test_fin_ends_being_live_once_and_rst_deletes(void **state)
{
	struct plane *p = *state;
	struct flow f;

	dsr_send_flags(p, TCP_SYN);
	dsr_send_flags(p, TCP_ACK);
	dsr_send_flags(p, TCP_FIN | TCP_ACK);
	dsr_send_flags(p, TCP_FIN | TCP_ACK);
	assert_true(flow_get(p, &dsr_base4, &f) && f.flags == FLOW_CLOSING);
	assert_int_equal(plane_backend_stats(p, OWNER).closed, 1);
	dsr_send_flags(p, TCP_RST);
	assert_false(flow_there(p));
	assert_int_equal(plane_backend_stats(p, OWNER).closed, 1);
}

static void test_new_connection_from_a_closing_port_is_a_new_flow(void **state)
{
	struct plane *p = *state;
	struct flow f;

	dsr_send_flags(p, TCP_SYN);
	dsr_send_flags(p, TCP_ACK);
	dsr_send_flags(p, TCP_FIN | TCP_ACK);
	dsr_send_flags(p, TCP_SYN);
	dsr_send_flags(p, TCP_ACK);
	dsr_send_flags(p, TCP_ACK);
	assert_true(flow_get(p, &dsr_base4, &f) && f.flags == 0);
	assert_int_equal(plane_backend_stats(p, OWNER).opened, 2);
	assert_int_equal(plane_backend_stats(p, OWNER).closed, 1);
}

static void test_stale_flow_of_another_backend_is_forgotten_in_a_settled_slot(void **state)
{
	struct plane *p = *state;

	flow_put(p, &dsr_base4, PREVIOUS, 0);
	assert_int_equal(dsr_send_flags(p, TCP_ACK), OWNER);
	assert_false(flow_there(p));
	assert_int_equal(plane_backend_stats(p, PREVIOUS).closed, 1);
	assert_int_equal(plane_reason(p, REASON_FLOW_MOVED), 1);
}

/* A service that resets flows whose backend is gone. */
static void resets(struct plane *p)
{
	const struct service service = {
		.id = DSR_SERVICE4, .mode = FORWARD_DSR, .flags = SERVICE_RESET};
	struct service_key key;

	frame_service_key(&dsr_base4, &key);
	plane_record_set(p, &key, &service);
}

static void test_flow_of_a_dead_backend_is_reset_and_the_next_of_its_port_is_not(void **state)
{
	struct plane *p = *state;
	struct frame frame;
	struct flow f;

	resets(p);
	dead(p, PREVIOUS);
	flow_put(p, &dsr_base4, PREVIOUS, 0);
	frame_build(&dsr_base4, &frame);
	dsr_stopped(p, &frame, XDP_TX, REASON_REPLY_RESET, "flow of a dead backend");
	flow_put(p, &dsr_base4, PREVIOUS, 0);
	assert_int_equal(dsr_send_flags(p, TCP_SYN), OWNER);
	assert_int_equal(dsr_send_flags(p, TCP_ACK), OWNER);
	assert_true(flow_get(p, &dsr_base4, &f) && f.backend == OWNER);
}

/* Its backend lives, and the slot is settled: it ended where another node saw it, and what comes
 * now is another flow, which began there.
 */
static void test_flow_of_a_living_backend_in_a_settled_slot_is_another_one_by_now(void **state)
{
	struct plane *p = *state;

	resets(p);
	flow_put(p, &dsr_base4, PREVIOUS, 0);
	assert_int_equal(dsr_send_flags(p, TCP_ACK), OWNER);
	assert_false(flow_there(p));
}

static void test_full_flow_table_still_forwards(void **state)
{
	struct plane *p = *state;
	uint64_t opened;

	for (uint32_t i = 0; i < 4 * FLOWS; i++) {
		struct frame_spec s = dsr_base4;

		s.client = 5000 + i;
		s.tcp_flags = TCP_SYN;
		assert_int_equal(dsr_sent_to(p, &s), OWNER);
		s.tcp_flags = TCP_ACK;
		assert_int_equal(dsr_sent_to(p, &s), OWNER);
	}
	opened = plane_backend_stats(p, OWNER).opened;
	assert_true(opened >= FLOWS && opened < 4 * FLOWS);
	assert_int_equal(plane_reason(p, REASON_FLOW_TABLE_FULL) + opened, 4 * FLOWS);
}

/* ---- slots in transition ---- */

static void test_drained_backend_keeps_established_flow(void **state)
{
	struct plane *p = *state;

	dsr_table_fill(p, PREVIOUS, BACKEND_NONE);
	dsr_send_flags(p, TCP_SYN);
	dsr_send_flags(p, TCP_ACK);
	transition(p);
	for (int i = 0; i < 3; i++)
		assert_int_equal(dsr_send_flags(p, TCP_ACK), PREVIOUS);
	assert_int_equal(dsr_send_flags(p, TCP_FIN | TCP_ACK), PREVIOUS);
	assert_int_equal(dsr_send_flags(p, TCP_ACK), PREVIOUS); /* the last ACKs, too */
}

static void test_new_connection_in_transition_goes_to_the_owner_and_stays(void **state)
{
	struct plane *p = *state;

	transition(p);
	assert_int_equal(dsr_send_flags(p, TCP_SYN), OWNER);
	assert_int_equal(dsr_send_flags(p, TCP_ACK), OWNER);
	assert_int_equal(dsr_send_flags(p, TCP_ACK), OWNER);
	assert_true(flow_there(p));
}

static void test_silent_flow_that_is_not_known_belongs_to_the_previous_owner(void **state)
{
	struct plane *p = *state;
	struct flow f;

	transition(p);
	assert_int_equal(dsr_send_flags(p, TCP_ACK), PREVIOUS);
	assert_int_equal(plane_reason(p, REASON_FLOW_PREVIOUS), 1);
	assert_int_equal(dsr_send_flags(p, TCP_ACK), PREVIOUS);
	assert_true(flow_get(p, &dsr_base4, &f) && f.backend == PREVIOUS);
}

static void test_unknown_udp_flow_in_transition_is_new(void **state)
{
	struct plane *p = *state;
	struct frame_spec s = dsr_base4;

	s.protocol = IPPROTO_UDP;
	transition(p);
	assert_int_equal(dsr_sent_to(p, &s), OWNER);
	assert_int_equal(dsr_sent_to(p, &s), OWNER);
}

/* UDP has no SYN that clears the bucket's stamp: a flow that begins in an epoch in which another
 * one of its bucket was refreshed must be remembered all the same, or a change would move it.
 */
static void test_udp_flow_of_a_stamped_bucket_is_remembered_from_its_second_packet(void **state)
{
	struct plane *p = *state;
	struct frame_spec s = dsr_base4;
	struct flow f;

	assert_int_equal(plane_stamp_all(p), 0);
	s.protocol = IPPROTO_UDP;
	for (int i = 0; i < 4; i++)
		assert_int_equal(dsr_sent_to(p, &s), OWNER);
	assert_true(flow_get(p, &s, &f) && f.backend == OWNER);
	assert_int_equal(plane_backend_stats(p, OWNER).opened, 1);
	dsr_table_fill(p, THIRD | SLOT_TRANSITION, OWNER);
	assert_int_equal(dsr_sent_to(p, &s), OWNER);
}

static void test_dead_previous_owner_gets_nothing(void **state)
{
	struct plane *p = *state;

	transition(p);
	dead(p, PREVIOUS);
	flow_put(p, &dsr_base4, PREVIOUS, 0);
	assert_int_equal(dsr_send_flags(p, TCP_ACK), OWNER); /* whose RST tells the client */
	assert_false(flow_there(p));
	assert_int_equal(plane_backend_stats(p, PREVIOUS).closed, 1);
	assert_int_equal(dsr_send_flags(p, TCP_ACK), OWNER);
}

static void test_syn_of_a_live_flow_goes_where_the_flow_lives(void **state)
{
	struct plane *p = *state;
	struct flow f;

	transition(p);
	flow_put(p, &dsr_base4, THIRD, 0);
	assert_int_equal(dsr_send_flags(p, TCP_SYN), THIRD);
	assert_true(flow_get(p, &dsr_base4, &f) && f.backend == THIRD);
	assert_int_equal(dsr_send_flags(p, TCP_ACK), THIRD);
}

static void test_handshake_that_began_before_a_change_ends_where_it_began(void **state)
{
	struct plane *p = *state;

	dsr_table_fill(p, PREVIOUS, BACKEND_NONE);
	dsr_send_flags(p, TCP_SYN);
	transition(p);
	assert_int_equal(dsr_send_flags(p, TCP_ACK), PREVIOUS);
	assert_true(flow_there(p));
}

/* Ports of clients whose flows have the same two places for their embryos, and others. */
static void ports_of_one_place(const struct plane *p, uint16_t *ret_ports, int n)
{
	struct frame_spec s = dsr_base4;
	struct tuple tuple;
	uint32_t place = 0;
	int have = 0;

	for (uint32_t port = 1024; port < 65536 && have < n; port++) {
		uint32_t its;

		s.sport = (uint16_t)port;
		frame_tuple(&s, &tuple);
		its = (uint32_t)flow_hash((const __u64 *)p->key, &tuple) & 1023 & ~1U;
		place = have ? place : its;
		if (its == place)
			ret_ports[have++] = (uint16_t)port;
	}
	assert_int_equal(have, n);
}

static uint32_t send_from(struct plane *p, uint16_t port, uint8_t flags)
{
	struct frame_spec s = dsr_spec_of(flags);

	s.sport = port;
	return dsr_sent_to(p, &s);
}

static void test_handshakes_at_the_same_place_do_not_lose_each_other(void **state)
{
	struct plane *p = *state;
	uint16_t port[3];

	transition(p);
	ports_of_one_place(p, port, 3);
	send_from(p, port[0], TCP_SYN);
	send_from(p, port[1], TCP_SYN);
	assert_int_equal(send_from(p, port[0], TCP_ACK), OWNER);
	assert_int_equal(send_from(p, port[1], TCP_ACK), OWNER);
	for (int i = 0; i < 2; i++)
		send_from(p, port[i], TCP_RST);
	/* of three the one is lost whose SYN was not seen for the longest time */
	send_from(p, port[0], TCP_SYN);
	send_from(p, port[1], TCP_SYN);
	send_from(p, port[0], TCP_SYN);
	send_from(p, port[2], TCP_SYN);
	assert_int_equal(send_from(p, port[0], TCP_ACK), OWNER);
	assert_int_equal(send_from(p, port[2], TCP_ACK), OWNER);
	assert_int_equal(send_from(p, port[1], TCP_ACK), PREVIOUS);
}

/* Two ports of clients whose flows share a bucket in this epoch. */
static void ports_of_one_bucket(const struct plane *p, uint16_t ret_ports[static 2])
{
	static uint16_t by_bucket[1U << RECENT_BITS];
	struct frame_spec s = dsr_base4;
	struct tuple tuple;

	memset(by_bucket, 0, sizeof(by_bucket));
	for (uint32_t port = 1024; port < 65536; port++) {
		uint32_t bucket;

		s.sport = (uint16_t)port;
		frame_tuple(&s, &tuple);
		bucket = (uint32_t)((flow_hash((const __u64 *)p->key, &tuple) *
				     p->clock->bucket_multiplier) >>
				    (64 - RECENT_BITS));
		ret_ports[0] = by_bucket[bucket];
		ret_ports[1] = by_bucket[bucket] = (uint16_t)port;
		if (ret_ports[0])
			return;
	}
	fail_msg("no two flows share a bucket");
}

static void test_handshakes_of_one_bucket_are_all_remembered(void **state)
{
	struct plane *p = *state;
	uint16_t port[2];
	struct flow f;

	settle(p);
	ports_of_one_bucket(p, port);
	for (int i = 0; i < 2; i++)
		send_from(p, port[i], TCP_SYN);
	for (int i = 0; i < 2; i++)
		send_from(p, port[i], TCP_ACK);
	for (int i = 0; i < 2; i++) {
		struct frame_spec s = dsr_base4;

		s.sport = port[i];
		assert_true(flow_get(p, &s, &f));
	}
}

static void test_flow_of_an_owner_in_between_is_followed(void **state)
{
	struct plane *p = *state;

	dsr_table_fill(p, THIRD | SLOT_TRANSITION, PREVIOUS);
	dsr_send_flags(p, TCP_SYN);
	dsr_send_flags(p, TCP_ACK);
	transition(p);
	assert_int_equal(dsr_send_flags(p, TCP_ACK), THIRD);
}

static void test_transition_counts_each_flow_once_over_its_life(void **state)
{
	struct plane *p = *state;

	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		struct frame_spec s = dsr_base4;
		uint64_t opened = plane_backend_stats(p, OWNER).opened;
		uint64_t closed = plane_backend_stats(p, OWNER).closed;

		s.ipv6 = ipv6;
		transition(p);
		for (size_t i = 0; i < 6; i++) {
			static const uint8_t life[] = {TCP_SYN, TCP_SYN, TCP_ACK,
						       TCP_ACK, TCP_FIN, TCP_RST};
			s.tcp_flags = life[i];
			assert_int_equal(dsr_sent_to(p, &s), OWNER);
		}
		assert_int_equal(plane_backend_stats(p, OWNER).opened, opened + 1);
		assert_int_equal(plane_backend_stats(p, OWNER).closed, closed + 1);
		settle(p);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, dsr_setup, dsr_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_flow_is_remembered_once_it_is_more_than_a_syn),
		TEST(test_one_packet_flows_never_reach_the_flow_table),
		TEST(test_flow_is_refreshed_once_an_epoch),
		TEST(test_fin_ends_being_live_once_and_rst_deletes),
		TEST(test_new_connection_from_a_closing_port_is_a_new_flow),
		TEST(test_stale_flow_of_another_backend_is_forgotten_in_a_settled_slot),
		TEST(test_flow_of_a_dead_backend_is_reset_and_the_next_of_its_port_is_not),
		TEST(test_flow_of_a_living_backend_in_a_settled_slot_is_another_one_by_now),
		TEST(test_full_flow_table_still_forwards),
		TEST(test_drained_backend_keeps_established_flow),
		TEST(test_new_connection_in_transition_goes_to_the_owner_and_stays),
		TEST(test_silent_flow_that_is_not_known_belongs_to_the_previous_owner),
		TEST(test_unknown_udp_flow_in_transition_is_new),
		TEST(test_udp_flow_of_a_stamped_bucket_is_remembered_from_its_second_packet),
		TEST(test_dead_previous_owner_gets_nothing),
		TEST(test_syn_of_a_live_flow_goes_where_the_flow_lives),
		TEST(test_handshake_that_began_before_a_change_ends_where_it_began),
		TEST(test_handshakes_at_the_same_place_do_not_lose_each_other),
		TEST(test_handshakes_of_one_bucket_are_all_remembered),
		TEST(test_flow_of_an_owner_in_between_is_followed),
		TEST(test_transition_counts_each_flow_once_over_its_life),
	};

	if (!plane_permitted())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
