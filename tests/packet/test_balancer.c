/* SPDX-License-Identifier: BSD-2-Clause */
/* test_balancer.c: what the program does with a packet, by BPF_PROG_TEST_RUN: frame and maps in,
 * frame, verdict and maps out: what is forwarded and where to, what is not and why, and the counts.
 * What becomes of flows is test_slots.c's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/hash.h"
#include "tests/packet/dsr_site.h"

enum { ELSEWHERE = 4, OWN_IFINDEX = 1 };

/* As dsr_setup(), without records of VIPs, and with a backend behind another interface. */
static int setup(void **state)
{
	struct plane *p = calloc(1, sizeof(*p));
	const struct plane_sizes sizes = {.slots = DSR_SLOTS, .flows = 64, .embryos = 1024};
	struct frame_spec udp = dsr_base4;

	assert_int_equal(plane_open(&sizes, p), 0);
	udp.protocol = IPPROTO_UDP;
	plane_service_set(p, &dsr_base4, DSR_SERVICE4, 0);
	plane_service_set(p, &udp, DSR_SERVICE4_UDP, 0);
	plane_service_set(p, &dsr_base6, DSR_SERVICE6, 0);
	for (uint32_t b = OWNER; b <= THIRD; b++)
		plane_backend_set(p, b, OWN_IFINDEX);
	plane_backend_set(p, ELSEWHERE, 77);
	dsr_table_fill(p, OWNER, BACKEND_NONE);
	plane_clock_set(p, 1000);
	*state = p;
	return 0;
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
			struct frame_spec spec = dsr_base4;
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
		struct frame_spec s = dsr_base4;

		s.options = options;
		assert_int_equal(dsr_sent_to(*state, &s), OWNER);
	}
}

static void test_mapped_ipv6_address_does_not_reach_the_ipv4_service(void **state)
{
	static const uint8_t mapped[16] = {[10] = 0xff, 0xff, 192, 0, 2, 10};
	struct frame_spec s = dsr_base4;
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
	struct frame_spec other = dsr_base4;

	dsr_table_fill(p, BACKEND_NONE, BACKEND_NONE);
	frame_build(&dsr_base4, &frame);
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

	dsr_table_fill(p, ELSEWHERE, BACKEND_NONE);
	frame_build(&dsr_base4, &frame);
	assert_int_equal(plane_run(p->fd, &frame, NULL), XDP_REDIRECT);
	assert_int_equal(frame.bytes[5], ELSEWHERE);
	assert_int_equal(frame.bytes[11], 77);
}

static void test_counters_of_service_backend_and_reason_agree(void **state)
{
	struct plane *p = *state;
	struct service_stats s;
	struct backend_stats b;

	dsr_send_flags(p, TCP_SYN);
	dsr_send_flags(p, TCP_ACK);
	dsr_send_flags(p, TCP_ACK | TCP_PSH);
	s = plane_service_stats(p, 3);
	b = plane_backend_stats(p, OWNER);
	assert_true(s.packets == 3 && s.syns == 1 && s.flows == 1 && s.bytes == 3 * 74);
	assert_true(b.packets == 3 && b.bytes == s.bytes && b.opened == 1 && b.closed == 0);
}

/* Both nodes, and user space, must agree on the slot of a flow: hash.h compiled natively. */
static void test_program_and_user_space_choose_the_same_slot(void **state)
{
	struct plane *p = *state;
	uint16_t owners[DSR_SLOTS], before[DSR_SLOTS];

	for (uint16_t i = 0; i < DSR_SLOTS; i++) {
		owners[i] = (uint16_t)(100 + i);
		before[i] = BACKEND_NONE;
		plane_backend_set(p, owners[i], OWN_IFINDEX);
	}
	plane_table_set(p, 0, owners, before);
	for (uint32_t i = 0; i < 2000; i++) {
		struct frame_spec s = dsr_base4;
		const volatile __u64 *key_words = (const volatile __u64 *)p->key;
		struct tuple tuple;

		s.client = i * 31;
		s.sport = (uint16_t)(1024 + i);
		s.ipv6 = i & 1;
		frame_tuple(&s, &tuple);
		assert_int_equal(dsr_sent_to(p, &s),
				 100 + flow_slot(key_words, &tuple, 0, DSR_SLOTS));
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, dsr_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_each_frame_that_is_not_forwarded_is_counted_by_its_reason),
		TEST(test_no_prefix_of_a_frame_is_forwarded),
		TEST(test_ipv4_options_are_skipped),
		TEST(test_mapped_ipv6_address_does_not_reach_the_ipv4_service),
		TEST(test_pool_without_backends_and_missing_table_are_told_apart),
		TEST(test_backend_at_another_interface_is_redirected_to),
		TEST(test_counters_of_service_backend_and_reason_agree),
		TEST(test_program_and_user_space_choose_the_same_slot),
	};

	if (!plane_permitted())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
