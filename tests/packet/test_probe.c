/* SPDX-License-Identifier: BSD-2-Clause */
/* test_probe.c: a probe through a VIP: what leaves by the program of tc egress, and what of its
 * answer the XDP program passes up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <string.h>
#include <time.h>

#include "balancer.skel.h"
#include "tests/packet/nat_site.h"
#include "tests/packet/probe_site.h"

#define OTHER4 "192.0.2.22"

/* send_probe: a probe's packet; what leaves must be all right, or untouched. */
static int send_probe(struct probe_site *s, uint32_t mark, const struct datagram *w,
		      struct datagram *ret_out)
{
	struct frame frame;
	int verdict;

	datagram_build(w, &frame);
	verdict = probe_egress(s, mark, &frame);
	if (verdict != TC_ACT_SHOT)
		datagram_read(&frame, ret_out);
	return verdict;
}

static void assert_as_it_was(struct probe_site *s, uint32_t mark, const struct datagram *w)
{
	struct frame frame, was;

	datagram_build(w, &frame);
	was = frame;
	assert_int_equal(probe_egress(s, mark, &frame), TC_ACT_UNSPEC);
	assert_int_equal(frame.len_bytes, was.len_bytes);
	assert_memory_equal(frame.bytes, was.bytes, was.len_bytes);
}

/* ---- dsr ---- */

static void test_probe_goes_to_the_vip_and_its_answer_comes_from_the_backend(void **state)
{
	static const uint8_t flags[] = {TCP_SYN, TCP_ACK, TCP_ACK | TCP_PSH, TCP_ACK | TCP_FIN};
	struct probe_site *s = *state;

	for (size_t i = 0; i < FAMILIES; i++) {
		probe_vip_set(s, probe_ways[i].vip);
		for (size_t k = 0; k < sizeof(flags); k++) {
			struct datagram sent = probe_of(probe_ways[i].backend, flags[k]), out,
					answer;

			assert_int_equal(send_probe(s, MARK, &sent, &out), TC_ACT_UNSPEC);
			assert_string_equal(out.src, probe_ways[i].node);
			assert_string_equal(out.dst, probe_ways[i].vip);
			if (i < 2) /* the others meet these */
				assert_int_equal(out.sport, PORT);
			assert_int_equal(out.dport, 25);
			assert_same_talk(&out, &sent);
			answer = probe_answer(&out, flags[k] | TCP_ACK);
			assert_comes_back(s, &answer, probe_ways[i].backend);
		}
	}
}

static void test_refusal_comes_back_as_well(void **state)
{
	struct datagram sent = probe_of(BACKEND4, TCP_SYN), out, answer;
	struct probe_site *s = *state;

	probe_vip_set(s, VIP4);
	assert_int_equal(send_probe(s, MARK, &sent, &out), TC_ACT_UNSPEC);
	answer = probe_answer(&out, TCP_RST | TCP_ACK);
	assert_comes_back(s, &answer, BACKEND4);
}

static void test_answer_with_tags_keeps_them(void **state)
{
	static const uint8_t tags[] = {0x88, 0xa8, 0, 100, 0x81, 0, 0, 200};
	struct probe_site *s = *state;

	for (size_t i = 0; i < FAMILIES; i++) {
		for (uint32_t bytes = 4; bytes <= 8; bytes += 4) {
			struct datagram sent = probe_of(probe_ways[i].backend, TCP_SYN), out, up;
			const uint8_t *put = tags + sizeof(tags) - bytes;
			struct datagram answer;
			struct frame frame;

			probe_vip_set(s, probe_ways[i].vip);
			assert_int_equal(send_probe(s, MARK, &sent, &out), TC_ACT_UNSPEC);
			answer = probe_answer(&out, TCP_SYN | TCP_ACK);
			datagram_build(&answer, &frame);
			memmove(frame.bytes + 12 + bytes, frame.bytes + 12, frame.len_bytes - 12);
			memcpy(frame.bytes + 12, put, bytes);
			frame.len_bytes += bytes;
			assert_int_equal(plane_run(s->plane.fd, &frame, NULL), XDP_PASS);
			assert_memory_equal(frame.bytes, frame_node_mac, 6);
			assert_memory_equal(frame.bytes + 12, put, bytes);
			memmove(frame.bytes + 12, frame.bytes + 12 + bytes,
				frame.len_bytes - 12 - bytes);
			frame.len_bytes -= bytes;
			assert_int_equal(frame.bytes[12] == 0x86,
					 strchr(probe_ways[i].backend, ':') != NULL);
			datagram_read(&frame, &up);
			assert_string_equal(up.src, probe_ways[i].backend);
			assert_same_talk(&up, &answer);
		}
	}
}

/* ---- what is left alone ---- */

static void test_what_is_no_probe_leaves_as_it_was(void **state)
{
	struct datagram syn = probe_of(BACKEND4, TCP_SYN), d;
	struct probe_site *s = *state;

	probe_vip_set(s, VIP4);
	assert_as_it_was(s, 0, &syn);
	assert_as_it_was(s, 77, &syn);
	assert_as_it_was(s, PROBE_MARK | 78, &syn);
	d = syn;
	d.dport = 26;
	assert_as_it_was(s, MARK, &d);
	d = syn;
	strcpy(d.src, VIP4);
	assert_as_it_was(s, MARK, &d);
	d = syn;
	d.protocol = IPPROTO_UDP;
	assert_as_it_was(s, MARK, &d);
	d = probe_of(BACKEND6,
		     TCP_SYN); /* of the other family, and no address of ours in the VIP's */
	memset(s->vip.own, 0, sizeof(s->vip.own));
	probe_vip_put(s);
	assert_as_it_was(s, MARK, &d);
}

static void test_connection_that_began_without_the_program_ends_without_it(void **state)
{
	struct datagram middle = probe_of(BACKEND4, TCP_ACK | TCP_PSH),
			last = probe_of(BACKEND4, TCP_ACK | TCP_FIN);
	struct probe_site *s = *state;

	probe_vip_set(s, VIP4);
	assert_as_it_was(s, MARK, &middle);
	assert_as_it_was(s, MARK, &last);
}

static void test_what_answers_no_probe_is_passed_as_it_was(void **state)
{
	struct datagram sent = probe_of(BACKEND4, TCP_SYN), out, answer, up;
	struct probe_site *s = *state;

	probe_vip_set(s, VIP4);
	assert_int_equal(send_probe(s, MARK, &sent, &out), TC_ACT_UNSPEC);
	for (int i = 0; i < 4; i++) {
		answer = probe_answer(&out, i == 3 ? TCP_SYN : TCP_ACK);
		if (i == 0)
			answer.dport++;
		if (i == 1)
			answer.sport++;
		if (i == 2)
			strcpy(answer.src, BACKEND4);
		assert_int_equal(datagram_run(&s->plane, &answer, &up), XDP_PASS);
		assert_string_equal(up.src, answer.src);
		assert_int_equal(up.dport, answer.dport);
	}
	assert_int_equal(plane_reason(&s->plane, REASON_PASS_PROBE), 0);
	assert_int_equal(plane_reason(&s->plane, REASON_PASS_NO_SERVICE), 4);
}

static void test_icmp_error_about_a_probe_is_passed_as_it_was(void **state)
{
	struct datagram sent = probe_of(BACKEND4, TCP_SYN), out, up;
	struct datagram error = {
		.src = "192.0.2.1", .dst = NODE4, .protocol = IPPROTO_ICMP, .type = 3, .code = 1};
	struct probe_site *s = *state;

	probe_vip_set(s, VIP4);
	assert_int_equal(send_probe(s, MARK, &sent, &out), TC_ACT_UNSPEC);
	datagram_quote(&out, 28, &error);
	assert_int_equal(datagram_run(&s->plane, &error, &up), XDP_PASS);
	assert_string_equal(up.src, "192.0.2.1");
	assert_int_equal(plane_reason(&s->plane, REASON_PASS_PROBE), 0);
}

static void test_node_that_probes_by_address_only_does_not_look(void **state)
{
	struct datagram sent = probe_of(BACKEND4, TCP_SYN), out, answer, up;
	struct probe_site s = {0};

	(void)state;
	probe_site_open(&s, 0);
	probe_vip_set(&s, VIP4);
	assert_int_equal(send_probe(&s, MARK, &sent, &out), TC_ACT_UNSPEC);
	answer = probe_answer(&out, TCP_ACK);
	assert_int_equal(datagram_run(&s.plane, &answer, &up), XDP_PASS);
	assert_string_equal(up.src, VIP4);
	probe_site_close(&s);
}

/* ---- ports ---- */

static uint32_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint32_t)now.tv_sec;
}

static void test_probes_of_two_backends_from_one_port_are_told_apart(void **state)
{
	struct datagram one = probe_of(BACKEND4, TCP_SYN), two = probe_of(OTHER4, TCP_SYN);
	struct datagram first, second, answer;
	struct probe_site *s = *state;

	probe_vip_set(s, VIP4);
	assert_int_equal(send_probe(s, MARK, &one, &first), TC_ACT_UNSPEC);
	assert_int_equal(send_probe(s, MARK, &two, &second), TC_ACT_UNSPEC);
	assert_int_equal(first.sport, PORT);
	assert_int_not_equal(second.sport, PORT);
	assert_true(second.sport >= 32768);
	answer = probe_answer(&first, TCP_SYN | TCP_ACK);
	assert_comes_back(s, &answer, BACKEND4);
	answer = probe_answer(&second, TCP_SYN | TCP_ACK);
	assert_comes_back(s, &answer, OTHER4);
	two = probe_of(OTHER4, TCP_ACK | TCP_PSH); /* its next packet, and its SYN once more */
	assert_int_equal(send_probe(s, MARK, &two, &answer), TC_ACT_UNSPEC);
	assert_int_equal(answer.sport, second.sport);
	two = probe_of(OTHER4, TCP_SYN);
	assert_int_equal(send_probe(s, MARK, &two, &answer), TC_ACT_UNSPEC);
	assert_int_equal(answer.sport, second.sport);
}

/* Somebody else's, at every port that ours could have; in use for @left_s more. */
static void ports_take(struct probe_site *s, int32_t left_s)
{
	struct probe_return r = {.port = htons(PORT), .until_s = now_s() + (uint32_t)left_s};
	struct tuple key = {.protocol = IPPROTO_TCP, .dport = htons(25)};

	site_addr(r.backend, OTHER4);
	site_addr(r.node, NODE4);
	site_addr(key.src, NODE4);
	site_addr(key.dst, VIP4);
	for (int i = 0; i < PROBE_PORTS; i++) {
		key.sport = htons((uint16_t)PROBE_PORT(PORT, i));
		assert_int_equal(bpf_map_update_elem(bpf_map__fd(s->plane.skel->maps.probe_returns),
						     &key, &r, BPF_ANY),
				 0);
	}
}

static void test_probe_waits_while_all_its_ports_are_in_use(void **state)
{
	struct datagram syn = probe_of(BACKEND4, TCP_SYN), out, answer;
	struct probe_site *s = *state;

	probe_vip_set(s, VIP4);
	ports_take(s, 10);
	assert_int_equal(send_probe(s, MARK, &syn, &out), TC_ACT_SHOT);
	ports_take(s, -10);
	assert_int_equal(send_probe(s, MARK, &syn, &out), TC_ACT_UNSPEC);
	assert_int_equal(out.sport, PORT);
	answer = probe_answer(&out, TCP_SYN | TCP_ACK);
	assert_comes_back(s, &answer, BACKEND4);
}

static void test_port_is_free_again_soon_after_the_end(void **state)
{
	struct datagram syn = probe_of(BACKEND4, TCP_SYN), rst = probe_of(BACKEND4, TCP_RST);
	struct tuple key = {.protocol = IPPROTO_TCP, .sport = htons(PORT), .dport = htons(25)};
	struct probe_return r;
	struct datagram out;
	struct probe_site *s = *state;
	int map = bpf_map__fd(s->plane.skel->maps.probe_returns);

	probe_vip_set(s, VIP4);
	site_addr(key.src, NODE4);
	site_addr(key.dst, VIP4);
	assert_int_equal(send_probe(s, MARK, &syn, &out), TC_ACT_UNSPEC);
	assert_int_equal(bpf_map_lookup_elem(map, &key, &r), 0);
	assert_in_range(r.until_s - now_s(), 5, 5 + PROBE_LINGER_S);
	assert_int_equal(send_probe(s, MARK, &rst, &out), TC_ACT_UNSPEC);
	assert_int_equal(bpf_map_lookup_elem(map, &key, &r), 0);
	assert_in_range(r.until_s - now_s(), 0, PROBE_LINGER_S);
}

/* The node is a client of the VIP, too, while the partner has it: of a port that a probe had once.
 */
static void test_answer_at_a_port_that_a_probe_had_once_is_not_taken_from_the_node(void **state)
{
	struct datagram sent = probe_of(BACKEND4, TCP_SYN), out, answer, up;
	struct probe_site *s = *state;

	probe_vip_set(s, VIP4);
	assert_int_equal(send_probe(s, MARK, &sent, &out), TC_ACT_UNSPEC);
	answer = probe_answer(&out, TCP_SYN | TCP_ACK);
	ports_take(s, 5);
	assert_int_equal(datagram_run(&s->plane, &answer, &up), XDP_PASS);
	assert_string_equal(up.src, OTHER4);
	ports_take(s, -2);
	assert_int_equal(datagram_run(&s->plane, &answer, &up), XDP_PASS);
	assert_string_equal(up.src, VIP4);
	assert_same_talk(&up, &answer);
	assert_int_equal(plane_reason(&s->plane, REASON_PASS_NO_SERVICE), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, probe_site_setup, probe_site_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_probe_goes_to_the_vip_and_its_answer_comes_from_the_backend),
		TEST(test_refusal_comes_back_as_well),
		TEST(test_answer_with_tags_keeps_them),
		TEST(test_what_is_no_probe_leaves_as_it_was),
		TEST(test_connection_that_began_without_the_program_ends_without_it),
		TEST(test_what_answers_no_probe_is_passed_as_it_was),
		TEST(test_icmp_error_about_a_probe_is_passed_as_it_was),
		cmocka_unit_test(test_node_that_probes_by_address_only_does_not_look),
		TEST(test_probes_of_two_backends_from_one_port_are_told_apart),
		TEST(test_probe_waits_while_all_its_ports_are_in_use),
		TEST(test_port_is_free_again_soon_after_the_end),
		TEST(test_answer_at_a_port_that_a_probe_had_once_is_not_taken_from_the_node),
	};

	if (!plane_permitted())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
