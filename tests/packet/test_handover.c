/* SPDX-License-Identifier: BSD-2-Clause */
/* test_handover.c: packets of flows that a partner may have seen begin (bpf/handover.h): which are
 * sent to it, and which never are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "balancer.skel.h"
#include "tests/packet/dsr_site.h"
#include "tests/packet/nat_talk.h"

enum { OWN_IFINDEX = 1, SRC_AT = 6 };

static const uint8_t partner_mac[6] = {0x02, 0, 0, 0, 0x99, 1};

static void partner_set(struct plane *p, uint64_t until_ns)
{
	struct handover to = {.until_ns = until_ns, .port_first = 1024, .port_last = 65000};
	uint32_t key = OWN_IFINDEX;

	memcpy(to.mac, partner_mac, sizeof(to.mac));
	assert_int_equal(
		bpf_map_update_elem(bpf_map__fd(p->skel->maps.handovers), &key, &to, BPF_ANY), 0);
}

/* The frame goes to the partner as it came. */
static void handed_over(struct plane *p, const struct frame *frame)
{
	uint64_t before = plane_reason(p, REASON_HANDED_OVER);
	struct frame out = *frame;

	assert_int_equal(plane_run(p->fd, &out, NULL), XDP_TX);
	assert_int_equal(out.len_bytes, frame->len_bytes);
	assert_memory_equal(out.bytes, partner_mac, sizeof(partner_mac));
	assert_memory_equal(out.bytes + SRC_AT, frame_node_mac, sizeof(frame_node_mac));
	assert_memory_equal(out.bytes + 12, frame->bytes + 12, frame->len_bytes - 12);
	assert_int_equal(plane_reason(p, REASON_HANDED_OVER), before + 1);
}

/* ---- dsr, in transition ---- */

static struct frame frame_of(uint8_t flags)
{
	struct frame_spec spec = dsr_base4;
	struct frame frame;

	spec.tcp_flags = flags;
	frame_build(&spec, &frame);
	return frame;
}

static int setup(void **state)
{
	dsr_setup(state);
	dsr_table_fill(*state, OWNER | SLOT_TRANSITION, PREVIOUS);
	partner_set(*state, UINT64_MAX);
	return 0;
}

static void test_ack_of_a_handshake_that_the_partner_saw_begin_is_handed_over(void **state)
{
	const uint8_t kinds[] = {TCP_ACK, TCP_ACK | TCP_PSH, TCP_ACK | TCP_FIN, TCP_RST};

	for (size_t i = 0; i < sizeof(kinds); i++) {
		struct frame frame = frame_of(kinds[i]);

		handed_over(*state, &frame);
		handed_over(*state, &frame); /* and nothing was remembered */
	}
}

static void test_flow_that_begins_here_stays_here(void **state)
{
	struct frame syn = frame_of(TCP_SYN), ack = frame_of(TCP_ACK);

	assert_int_equal(dsr_forwarded(*state, &syn), OWNER);
	assert_int_equal(dsr_forwarded(*state, &ack), OWNER);
	assert_int_equal(dsr_forwarded(*state, &ack), OWNER);
	assert_int_equal(plane_reason(*state, REASON_HANDED_OVER), 0);
}

static void test_what_the_partner_sends_is_not_sent_back(void **state)
{
	struct frame ack = frame_of(TCP_ACK);

	memcpy(ack.bytes + SRC_AT, partner_mac, sizeof(partner_mac));
	assert_int_equal(dsr_forwarded(*state, &ack), PREVIOUS);
	assert_int_equal(plane_reason(*state, REASON_HANDED_OVER), 0);
}

static void test_settled_slot_hands_nothing_over(void **state)
{
	struct frame ack = frame_of(TCP_ACK);

	dsr_table_fill(*state, OWNER, BACKEND_NONE);
	assert_int_equal(dsr_forwarded(*state, &ack), OWNER);
}

static void test_once_the_time_is_over_it_goes_to_the_previous_owner(void **state)
{
	struct frame ack = frame_of(TCP_ACK);

	partner_set(*state, 1);
	assert_int_equal(dsr_forwarded(*state, &ack), PREVIOUS);
}

static void test_udp_is_not_handed_over(void **state)
{
	struct frame_spec spec = dsr_base4;
	struct frame frame;

	spec.protocol = IPPROTO_UDP;
	frame_build(&spec, &frame);
	assert_int_equal(dsr_forwarded(*state, &frame), OWNER);
}

/* ---- fullnat ---- */

static int fullnat_setup(void **state)
{
	struct plane *p = calloc(1, sizeof(*p));

	site_open(p, FORWARD_FULLNAT, SERVICE_RESET);
	partner_set(p, UINT64_MAX);
	*state = p;
	return 0;
}

static void datagram_handed(struct plane *p, const struct datagram *d)
{
	struct frame frame;

	datagram_build(d, &frame);
	handed_over(p, &frame);
}

static void test_ack_of_a_translation_that_is_not_known_is_handed_over(void **state)
{
	struct datagram ack = segment_of(syn4, TCP_ACK, CLIENT_ISN + 1, SERVER_ISN + 1);

	datagram_handed(*state, &ack);
	ack = site_six(ack);
	datagram_handed(*state, &ack);
}

static struct datagram synack_to(uint16_t port)
{
	struct datagram d = {.src = SITE_BACKEND4,
			     .dst = SITE_VIP4,
			     .protocol = IPPROTO_TCP,
			     .sport = 2525,
			     .dport = port,
			     .seq = SERVER_ISN,
			     .ack = CLIENT_ISN + 1,
			     .flags = TCP_SYN | TCP_ACK,
			     .window = 500};

	return d;
}

static void test_synack_to_a_port_of_the_partner_is_handed_over(void **state)
{
	struct datagram d = synack_to(40000);

	datagram_handed(*state, &d);
	d = site_six(d);
	datagram_handed(*state, &d);
}

static void test_synack_to_a_port_of_nobody_is_for_this_node(void **state)
{
	struct datagram d = synack_to(65001), out;
	struct plane *p = *state;

	assert_int_equal(datagram_run(p, &d, &out), XDP_PASS);
	d = synack_to(2000); /* ours, of no flow */
	assert_int_equal(datagram_run(p, &d, &out), XDP_PASS);
	assert_int_equal(plane_reason(p, REASON_HANDED_OVER), 0);
}

static void test_handshake_that_is_all_here_is_not_handed_over(void **state)
{
	struct plane *p = *state;

	open_flow(p, &syn4);
	assert_int_equal(plane_reason(p, REASON_HANDED_OVER), 0);
	assert_int_equal(live(p, SITE_FOUR), 1);
}

/* What is remembered of a port that the partner gives out may be over there. */
static void test_answer_to_a_port_of_the_partner_is_handed_over_though_a_flow_has_it(void **state)
{
	struct plane *p = *state;
	int translations = bpf_map__fd(p->skel->maps.translations);
	int reverse = bpf_map__fd(p->skel->maps.reverse);
	struct datagram d = synack_to(40000);
	struct translation t;
	struct flow_key key;
	struct frame frame;

	open_flow(p, &syn4);
	assert_int_equal(bpf_map_get_next_key(translations, NULL, &key), 0);
	assert_int_equal(bpf_map_lookup_elem(translations, &key, &t), 0);
	assert_int_equal(bpf_map_delete_elem(reverse, &t.back), 0);
	t.back.dport = htons(40000);
	assert_int_equal(bpf_map_update_elem(reverse, &t.back, &key, BPF_ANY), 0);
	datagram_handed(p, &d);
	d.flags = TCP_ACK | TCP_PSH;
	datagram_handed(p, &d);
	/* From the partner itself it goes its way. */
	datagram_build(&d, &frame);
	memcpy(frame.bytes + SRC_AT, partner_mac, sizeof(partner_mac));
	plane_run(p->fd, &frame, NULL);
	assert_int_equal(plane_reason(p, REASON_HANDED_OVER), 2);
}

static void test_unknown_flow_from_the_partner_is_reset(void **state)
{
	struct datagram ack = segment_of(syn4, TCP_ACK, CLIENT_ISN + 1, SERVER_ISN + 1);
	struct plane *p = *state;
	struct frame frame;

	datagram_build(&ack, &frame);
	memcpy(frame.bytes + SRC_AT, partner_mac, sizeof(partner_mac));
	assert_int_equal(plane_run(p->fd, &frame, NULL), XDP_TX);
	assert_int_equal(plane_reason(p, REASON_REPLY_RESET), 1);
}

int main(void)
{
#define DSR(name) cmocka_unit_test_setup_teardown(name, setup, dsr_teardown)
#define NAT(name) cmocka_unit_test_setup_teardown(name, fullnat_setup, dsr_teardown)
	const struct CMUnitTest tests[] = {
		DSR(test_ack_of_a_handshake_that_the_partner_saw_begin_is_handed_over),
		DSR(test_flow_that_begins_here_stays_here),
		DSR(test_what_the_partner_sends_is_not_sent_back),
		DSR(test_settled_slot_hands_nothing_over),
		DSR(test_once_the_time_is_over_it_goes_to_the_previous_owner),
		DSR(test_udp_is_not_handed_over),
		NAT(test_ack_of_a_translation_that_is_not_known_is_handed_over),
		NAT(test_synack_to_a_port_of_the_partner_is_handed_over),
		NAT(test_synack_to_a_port_of_nobody_is_for_this_node),
		NAT(test_handshake_that_is_all_here_is_not_handed_over),
		NAT(test_answer_to_a_port_of_the_partner_is_handed_over_though_a_flow_has_it),
		NAT(test_unknown_flow_from_the_partner_is_reset),
	};

	if (!plane_permitted())
		return 77;
	datagram_network();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
