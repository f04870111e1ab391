/* SPDX-License-Identifier: BSD-2-Clause */
/* test_balancer.c: what the program does with a packet, by BPF_PROG_TEST_RUN: frame and maps in,
 * frame, verdict and maps out. A small table is used, all of whose slots are alike, so that every
 * flow meets the case that a test is about: owner 1, previous owner 2.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "balancer.skel.h"
#include "bpf/hash.h"
#include "tests/packet/plane.h"

enum {
	SLOTS = 251,
	FLOWS = 64,
	OWNER = 1,
	PREVIOUS = 2,
	THIRD = 3,
	ELSEWHERE = 4,
	OWN_IFINDEX = 1
};

static const struct frame_spec base4 = {
	.protocol = IPPROTO_TCP, .tcp_flags = TCP_ACK, .client = 7, .sport = 40000, .dport = 25};

static void table_fill(struct plane *p, uint16_t owner, uint16_t previous)
{
	uint16_t owners[SLOTS], before[SLOTS];

	for (int i = 0; i < SLOTS; i++) {
		owners[i] = owner;
		before[i] = previous;
	}
	plane_table_set(p, 0, owners, before);
}

static int setup(void **state)
{
	struct plane *p = calloc(1, sizeof(*p));
	const struct plane_sizes sizes = {.slots = SLOTS, .flows = FLOWS, .embryos = 1024};
	struct frame_spec udp = base4, six = base4;

	assert_int_equal(plane_open(&sizes, p), 0);
	udp.protocol = IPPROTO_UDP;
	six.ipv6 = true;
	plane_service_set(p, &base4, 3, 0);
	plane_service_set(p, &udp, 4, 0);
	plane_service_set(p, &six, 5, 0);
	for (uint32_t b = OWNER; b <= THIRD; b++)
		plane_backend_set(p, b, OWN_IFINDEX);
	plane_backend_set(p, ELSEWHERE, 77);
	table_fill(p, OWNER, BACKEND_NONE);
	plane_clock_set(p, 1000);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	plane_close(*state);
	free(*state);
	return 0;
}

static void settle(struct plane *p)
{
	table_fill(p, OWNER, BACKEND_NONE);
}

static void transition(struct plane *p)
{
	table_fill(p, OWNER | SLOT_TRANSITION, PREVIOUS);
}

static struct frame_spec spec_of(uint8_t flags)
{
	struct frame_spec s = base4;

	s.tcp_flags = flags;
	return s;
}

/* Send it; the backend that it went to, by the MAC that came out. */
static uint32_t sent_to(struct plane *p, const struct frame_spec *spec)
{
	struct frame frame, before;

	frame_build(spec, &frame);
	before = frame;
	assert_int_equal(plane_run(p->fd, &frame, NULL), XDP_TX);
	assert_int_equal(frame.len_bytes, before.len_bytes);
	assert_memory_equal(frame.bytes + 12, before.bytes + 12, frame.len_bytes - 12);
	return (uint32_t)frame.bytes[4] << 8 | frame.bytes[5];
}

static uint32_t send_flags(struct plane *p, uint8_t flags)
{
	struct frame_spec s = spec_of(flags);

	return sent_to(p, &s);
}

/* As setup() numbers them. */
static uint16_t service_id(const struct frame_spec *spec)
{
	if (spec->ipv6)
		return 5;
	return spec->protocol == IPPROTO_UDP ? 4 : 3;
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

	return flow_get(p, &base4, &f);
}

static void dead(struct plane *p, uint32_t backend)
{
	p->backends[backend].flags = 0;
}

/* ---- what is passed up or dropped, and counted by its name ---- */

struct edit {
	const char *what;
	struct frame_spec spec;
	struct {
		uint8_t at, value;
	} bytes[4];
	uint32_t len; /* 0 = as built */
	int verdict;
	enum reason reason;
};

#define TCP4                                                                                       \
	{                                                                                          \
		.protocol = IPPROTO_TCP, .tcp_flags = TCP_ACK, .dport = 25, .sport = 1             \
	}
#define TCP6                                                                                       \
	{                                                                                          \
		.ipv6 = true, .protocol = IPPROTO_TCP, .tcp_flags = TCP_ACK, .dport = 25,          \
		.sport = 1                                                                         \
	}

static const struct edit edits[] = {
	{"another node's MAC", TCP4, {{5, 0x55}}, 0, XDP_PASS, REASON_PASS_NOT_OURS},
	{"broadcast", TCP4, {{0, 0xff}}, 0, XDP_PASS, REASON_PASS_NOT_OURS},
	{"ARP", TCP4, {{12, 0x08}, {13, 0x06}}, 0, XDP_PASS, REASON_PASS_NOT_OURS},
	{"802.1Q", TCP4, {{12, 0x81}, {13, 0x00}}, 0, XDP_PASS, REASON_PASS_NOT_OURS},
	{"no service",
	 {.protocol = IPPROTO_TCP, .tcp_flags = TCP_ACK, .dport = 22},
	 {{0, 2}},
	 0,
	 XDP_PASS,
	 REASON_PASS_NO_SERVICE},
	{"not the VIP", TCP4, {{33, 11}}, 0, XDP_PASS, REASON_PASS_NO_SERVICE},
	{"ICMP", TCP4, {{23, 1}}, 0, XDP_PASS, REASON_PASS_PROTOCOL},
	{"VRRP", TCP4, {{23, 112}}, 0, XDP_PASS, REASON_PASS_PROTOCOL},
	{"ICMPv6", TCP6, {{20, 58}}, 0, XDP_PASS, REASON_PASS_PROTOCOL},
	{"later fragment, no VIP", TCP4, {{21, 0x10}}, 0, XDP_PASS, REASON_PASS_FRAGMENT},
	{"version 5", TCP4, {{14, 0x55}}, 0, XDP_DROP, REASON_DROP_BAD_HEADER},
	{"ihl 4", TCP4, {{14, 0x44}}, 0, XDP_DROP, REASON_DROP_BAD_HEADER},
	{"total below header", TCP4, {{17, 19}}, 0, XDP_DROP, REASON_DROP_BAD_HEADER},
	{"total beyond frame", TCP4, {{16, 0x10}}, 0, XDP_DROP, REASON_DROP_TRUNCATED},
	{"doff 4", TCP4, {{46, 0x40}}, 0, XDP_DROP, REASON_DROP_BAD_HEADER},
	{"doff beyond packet", TCP4, {{46, 0xf0}}, 0, XDP_DROP, REASON_DROP_TRUNCATED},
	{"IPv6 version 4", TCP6, {{14, 0x40}}, 0, XDP_DROP, REASON_DROP_BAD_HEADER},
	{"IPv6 payload beyond frame", TCP6, {{18, 0x10}}, 0, XDP_DROP, REASON_DROP_TRUNCATED},
	{"UDP length 7",
	 {.protocol = IPPROTO_UDP, .dport = 25},
	 {{38, 0}, {39, 7}},
	 0,
	 XDP_DROP,
	 REASON_DROP_BAD_HEADER},
	{"UDP length beyond",
	 {.protocol = IPPROTO_UDP, .dport = 25},
	 {{38, 1}},
	 0,
	 XDP_DROP,
	 REASON_DROP_TRUNCATED},
};

static void test_each_frame_that_is_not_forwarded_is_counted_by_its_reason(void **state)
{
	struct plane *p = *state;

	for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
		const struct edit *e = &edits[i];
		uint64_t before = plane_reason(p, e->reason);
		struct frame frame;
		int verdict;

		frame_build(&e->spec, &frame);
		for (int k = 0; k < 4; k++) {
			if (e->bytes[k].at || e->bytes[k].value)
				frame.bytes[e->bytes[k].at] = e->bytes[k].value;
		}
		verdict = plane_run(p->fd, &frame, NULL);
		if (verdict != e->verdict || plane_reason(p, e->reason) != before + 1)
			fail_msg("%s: verdict %d", e->what, verdict);
	}
}

/* An Ethernet frame may be padded: the program trusts the IP length, never the frame's alone. */
static void test_no_prefix_of_a_frame_is_forwarded(void **state)
{
	struct plane *p = *state;

	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		for (int udp = 0; udp < 2; udp++) {
			struct frame_spec spec = base4;
			struct frame whole;

			spec.ipv6 = ipv6;
			spec.protocol = udp ? IPPROTO_UDP : IPPROTO_TCP;
			frame_build(&spec, &whole);
			for (uint32_t len = 14; len < whole.len_bytes; len++) {
				struct frame frame = whole;

				frame.len_bytes = len;
				assert_int_equal(plane_run(p->fd, &frame, NULL), XDP_DROP);
			}
		}
	}
	for (uint32_t id = 3; id <= 5; id++)
		assert_int_equal(plane_service_stats(p, id).packets, 0);
}

static void test_ipv4_options_are_skipped(void **state)
{
	for (uint8_t options = 0; options <= 10; options++) {
		struct frame_spec s = base4;

		s.options = options;
		assert_int_equal(sent_to(*state, &s), OWNER);
	}
}

static void test_mapped_ipv6_address_does_not_reach_the_ipv4_service(void **state)
{
	static const uint8_t mapped[16] = {[10] = 0xff, 0xff, 192, 0, 2, 10};
	struct frame_spec s = base4;
	struct frame frame;

	s.ipv6 = true;
	frame_build(&s, &frame);
	memcpy(frame.bytes + 14 + 24, mapped, 16);
	assert_int_equal(plane_run(((struct plane *)*state)->fd, &frame, NULL), XDP_PASS);
}

static void test_pool_without_backends_and_missing_table_are_told_apart(void **state)
{
	struct plane *p = *state;
	struct frame frame;
	struct frame_spec other = base4;

	table_fill(p, BACKEND_NONE, BACKEND_NONE);
	frame_build(&base4, &frame);
	assert_int_equal(plane_run(p->fd, &frame, NULL), XDP_DROP);
	assert_int_equal(plane_reason(p, REASON_DROP_NO_BACKEND), 1);
	other.dport = 26;
	plane_service_set(p, &other, 6, 9);
	frame_build(&other, &frame);
	assert_int_equal(plane_run(p->fd, &frame, NULL), XDP_DROP);
	assert_int_equal(plane_reason(p, REASON_DROP_INTERNAL), 1);
}

static void test_backend_at_another_interface_is_redirected_to(void **state)
{
	struct plane *p = *state;
	struct frame frame;

	table_fill(p, ELSEWHERE, BACKEND_NONE);
	frame_build(&base4, &frame);
	assert_int_equal(plane_run(p->fd, &frame, NULL), XDP_REDIRECT);
	assert_int_equal(frame.bytes[5], ELSEWHERE);
	assert_int_equal(frame.bytes[11], 77);
}

static void test_counters_of_service_backend_and_reason_agree(void **state)
{
	struct plane *p = *state;
	struct service_stats s;
	struct backend_stats b;

	send_flags(p, TCP_SYN);
	send_flags(p, TCP_ACK);
	send_flags(p, TCP_ACK | TCP_PSH);
	s = plane_service_stats(p, 3);
	b = plane_backend_stats(p, OWNER);
	assert_true(s.packets == 3 && s.syns == 1 && s.flows == 1 && s.bytes == 3 * 74);
	assert_true(b.packets == 3 && b.bytes == s.bytes && b.opened == 1 && b.closed == 0);
}

/* Both nodes, and user space, must agree on the slot of a flow: hash.h compiled natively. */
static void test_program_and_user_space_choose_the_same_slot(void **state)
{
	struct plane *p = *state;
	uint16_t owners[SLOTS], before[SLOTS];

	for (uint16_t i = 0; i < SLOTS; i++) {
		owners[i] = (uint16_t)(100 + i);
		before[i] = BACKEND_NONE;
		plane_backend_set(p, owners[i], OWN_IFINDEX);
	}
	plane_table_set(p, 0, owners, before);
	for (uint32_t i = 0; i < 2000; i++) {
		struct frame_spec s = base4;
		const volatile __u64 *key_words = (const volatile __u64 *)p->key;
		struct tuple tuple;

		s.client = i * 31;
		s.sport = (uint16_t)(1024 + i);
		s.ipv6 = i & 1;
		frame_tuple(&s, &tuple);
		assert_int_equal(sent_to(p, &s), 100 + flow_slot(key_words, &tuple, 0, SLOTS));
	}
}

/* ---- settled slots ---- */

static void test_flow_is_remembered_once_it_is_more_than_a_syn(void **state)
{
	struct plane *p = *state;
	struct flow f;

	assert_int_equal(send_flags(p, TCP_SYN), OWNER);
	assert_false(flow_there(p));
	assert_int_equal(send_flags(p, TCP_ACK), OWNER);
	assert_true(flow_get(p, &base4, &f));
	assert_true(f.backend == OWNER && f.flags == 0 && f.seen == FLOW_EPOCH(1000));
}

static void test_one_packet_flows_never_reach_the_flow_table(void **state)
{
	struct plane *p = *state;

	for (uint32_t i = 0; i < 1000; i++) {
		struct frame_spec s = spec_of(i & 1 ? TCP_SYN : TCP_ACK);

		s.client = i;
		if (i % 3 == 0)
			s.protocol = IPPROTO_UDP;
		assert_int_equal(sent_to(p, &s), OWNER);
	}
	assert_int_equal(plane_backend_stats(p, OWNER).opened, 0);
}

static void test_flow_is_refreshed_once_an_epoch(void **state)
{
	struct plane *p = *state;
	struct flow f;

	send_flags(p, TCP_SYN);
	send_flags(p, TCP_ACK);
	plane_clock_set(p, 1003); /* the same epoch: 992 .. 1007 */
	send_flags(p, TCP_ACK);
	assert_true(flow_get(p, &base4, &f) && f.seen == FLOW_EPOCH(1000));
	plane_clock_set(p, 1008);
	send_flags(p, TCP_ACK);
	assert_true(flow_get(p, &base4, &f) && f.seen == FLOW_EPOCH(1008));
}

static void test_fin_ends_being_live_once_and_rst_deletes(void **state)
{
	struct plane *p = *state;
	struct flow f;

	send_flags(p, TCP_SYN);
	send_flags(p, TCP_ACK);
	send_flags(p, TCP_FIN | TCP_ACK);
	send_flags(p, TCP_FIN | TCP_ACK);
	assert_true(flow_get(p, &base4, &f) && f.flags == FLOW_CLOSING);
	assert_int_equal(plane_backend_stats(p, OWNER).closed, 1);
	send_flags(p, TCP_RST);
	assert_false(flow_there(p));
	assert_int_equal(plane_backend_stats(p, OWNER).closed, 1);
}

static void test_new_connection_from_a_closing_port_is_a_new_flow(void **state)
{
	struct plane *p = *state;
	struct flow f;

	send_flags(p, TCP_SYN);
	send_flags(p, TCP_ACK);
	send_flags(p, TCP_FIN | TCP_ACK);
	send_flags(p, TCP_SYN);
	send_flags(p, TCP_ACK);
	send_flags(p, TCP_ACK);
	assert_true(flow_get(p, &base4, &f) && f.flags == 0);
	assert_int_equal(plane_backend_stats(p, OWNER).opened, 2);
	assert_int_equal(plane_backend_stats(p, OWNER).closed, 1);
}

static void test_stale_flow_of_another_backend_is_forgotten_in_a_settled_slot(void **state)
{
	struct plane *p = *state;

	flow_put(p, &base4, PREVIOUS, 0);
	assert_int_equal(send_flags(p, TCP_ACK), OWNER);
	assert_false(flow_there(p));
	assert_int_equal(plane_backend_stats(p, PREVIOUS).closed, 1);
	assert_int_equal(plane_reason(p, REASON_FLOW_MOVED), 1);
}

static void test_full_flow_table_still_forwards(void **state)
{
	struct plane *p = *state;
	uint64_t opened;

	for (uint32_t i = 0; i < 4 * FLOWS; i++) {
		struct frame_spec s = base4;

		s.client = 5000 + i;
		s.tcp_flags = TCP_SYN;
		assert_int_equal(sent_to(p, &s), OWNER);
		s.tcp_flags = TCP_ACK;
		assert_int_equal(sent_to(p, &s), OWNER);
	}
	opened = plane_backend_stats(p, OWNER).opened;
	assert_true(opened >= FLOWS && opened < 4 * FLOWS);
	assert_int_equal(plane_reason(p, REASON_FLOW_TABLE_FULL) + opened, 4 * FLOWS);
}

/* ---- slots in transition ---- */

static void test_drained_backend_keeps_established_flow(void **state)
{
	struct plane *p = *state;

	table_fill(p, PREVIOUS, BACKEND_NONE);
	send_flags(p, TCP_SYN);
	send_flags(p, TCP_ACK);
	transition(p);
	for (int i = 0; i < 3; i++)
		assert_int_equal(send_flags(p, TCP_ACK), PREVIOUS);
	assert_int_equal(send_flags(p, TCP_FIN | TCP_ACK), PREVIOUS);
	assert_int_equal(send_flags(p, TCP_ACK), PREVIOUS); /* the last ACKs, too */
}

static void test_new_connection_in_transition_goes_to_the_owner_and_stays(void **state)
{
	struct plane *p = *state;

	transition(p);
	assert_int_equal(send_flags(p, TCP_SYN), OWNER);
	assert_int_equal(send_flags(p, TCP_ACK), OWNER);
	assert_int_equal(send_flags(p, TCP_ACK), OWNER);
	assert_true(flow_there(p));
}

static void test_silent_flow_that_is_not_known_belongs_to_the_previous_owner(void **state)
{
	struct plane *p = *state;
	struct flow f;

	transition(p);
	assert_int_equal(send_flags(p, TCP_ACK), PREVIOUS);
	assert_int_equal(plane_reason(p, REASON_FLOW_PREVIOUS), 1);
	assert_int_equal(send_flags(p, TCP_ACK), PREVIOUS);
	assert_true(flow_get(p, &base4, &f) && f.backend == PREVIOUS);
}

static void test_unknown_udp_flow_in_transition_is_new(void **state)
{
	struct plane *p = *state;
	struct frame_spec s = base4;

	s.protocol = IPPROTO_UDP;
	transition(p);
	assert_int_equal(sent_to(p, &s), OWNER);
	assert_int_equal(sent_to(p, &s), OWNER);
}

/* UDP has no SYN that clears the bucket's stamp: a flow that begins in an epoch in which another
 * one of its bucket was refreshed must be remembered all the same, or a change would move it.
 */
static void test_udp_flow_of_a_stamped_bucket_is_remembered_from_its_second_packet(void **state)
{
	struct plane *p = *state;
	struct frame_spec s = base4;
	struct flow f;

	for (uint32_t line = 0; line < RECENT_LINES * p->cpus; line++) {
		struct recent64 all;

		memset(all.stamp, p->clock->stamp, sizeof(all.stamp));
		assert_int_equal(bpf_map_update_elem(bpf_map__fd(p->skel->maps.recent), &line, &all,
						     BPF_ANY),
				 0);
	}
	s.protocol = IPPROTO_UDP;
	for (int i = 0; i < 4; i++)
		assert_int_equal(sent_to(p, &s), OWNER);
	assert_true(flow_get(p, &s, &f) && f.backend == OWNER);
	assert_int_equal(plane_backend_stats(p, OWNER).opened, 1);
	table_fill(p, THIRD | SLOT_TRANSITION, OWNER);
	assert_int_equal(sent_to(p, &s), OWNER);
}

static void test_dead_previous_owner_gets_nothing(void **state)
{
	struct plane *p = *state;

	transition(p);
	dead(p, PREVIOUS);
	flow_put(p, &base4, PREVIOUS, 0);
	assert_int_equal(send_flags(p, TCP_ACK), OWNER); /* whose RST tells the client */
	assert_false(flow_there(p));
	assert_int_equal(plane_backend_stats(p, PREVIOUS).closed, 1);
	assert_int_equal(send_flags(p, TCP_ACK), OWNER);
}

static void test_syn_of_a_live_flow_goes_where_the_flow_lives(void **state)
{
	struct plane *p = *state;
	struct flow f;

	transition(p);
	flow_put(p, &base4, THIRD, 0);
	assert_int_equal(send_flags(p, TCP_SYN), THIRD);
	assert_true(flow_get(p, &base4, &f) && f.backend == THIRD);
	assert_int_equal(send_flags(p, TCP_ACK), THIRD);
}

static void test_handshake_that_began_before_a_change_ends_where_it_began(void **state)
{
	struct plane *p = *state;

	table_fill(p, PREVIOUS, BACKEND_NONE);
	send_flags(p, TCP_SYN);
	transition(p);
	assert_int_equal(send_flags(p, TCP_ACK), PREVIOUS);
	assert_true(flow_there(p));
}

static void test_flow_of_an_owner_in_between_is_followed(void **state)
{
	struct plane *p = *state;

	table_fill(p, THIRD | SLOT_TRANSITION, PREVIOUS);
	send_flags(p, TCP_SYN);
	send_flags(p, TCP_ACK);
	transition(p);
	assert_int_equal(send_flags(p, TCP_ACK), THIRD);
}

static void test_transition_counts_each_flow_once_over_its_life(void **state)
{
	struct plane *p = *state;

	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		struct frame_spec s = base4;
		uint64_t opened = plane_backend_stats(p, OWNER).opened;
		uint64_t closed = plane_backend_stats(p, OWNER).closed;

		s.ipv6 = ipv6;
		transition(p);
		for (size_t i = 0; i < 6; i++) {
			static const uint8_t life[] = {TCP_SYN, TCP_SYN, TCP_ACK,
						       TCP_ACK, TCP_FIN, TCP_RST};
			s.tcp_flags = life[i];
			assert_int_equal(sent_to(p, &s), OWNER);
		}
		assert_int_equal(plane_backend_stats(p, OWNER).opened, opened + 1);
		assert_int_equal(plane_backend_stats(p, OWNER).closed, closed + 1);
		settle(p);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_each_frame_that_is_not_forwarded_is_counted_by_its_reason),
		TEST(test_no_prefix_of_a_frame_is_forwarded),
		TEST(test_ipv4_options_are_skipped),
		TEST(test_mapped_ipv6_address_does_not_reach_the_ipv4_service),
		TEST(test_pool_without_backends_and_missing_table_are_told_apart),
		TEST(test_backend_at_another_interface_is_redirected_to),
		TEST(test_counters_of_service_backend_and_reason_agree),
		TEST(test_program_and_user_space_choose_the_same_slot),
		TEST(test_flow_is_remembered_once_it_is_more_than_a_syn),
		TEST(test_one_packet_flows_never_reach_the_flow_table),
		TEST(test_flow_is_refreshed_once_an_epoch),
		TEST(test_fin_ends_being_live_once_and_rst_deletes),
		TEST(test_new_connection_from_a_closing_port_is_a_new_flow),
		TEST(test_stale_flow_of_another_backend_is_forgotten_in_a_settled_slot),
		TEST(test_full_flow_table_still_forwards),
		TEST(test_drained_backend_keeps_established_flow),
		TEST(test_new_connection_in_transition_goes_to_the_owner_and_stays),
		TEST(test_silent_flow_that_is_not_known_belongs_to_the_previous_owner),
		TEST(test_unknown_udp_flow_in_transition_is_new),
		TEST(test_udp_flow_of_a_stamped_bucket_is_remembered_from_its_second_packet),
		TEST(test_dead_previous_owner_gets_nothing),
		TEST(test_syn_of_a_live_flow_goes_where_the_flow_lives),
		TEST(test_handshake_that_began_before_a_change_ends_where_it_began),
		TEST(test_flow_of_an_owner_in_between_is_followed),
		TEST(test_transition_counts_each_flow_once_over_its_life),
	};
	const char *why;

	if (plane_permitted(&why) < 0) {
		puts(why);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
