/* SPDX-License-Identifier: BSD-2-Clause */
/* test_spoofed.c: segments that anybody can send with a client's address and ports, in mode dsr,
 * and what they do to its established flow. In a slot in transition: owner 1, previous owner 2, and
 * the flow lives at 3, which owned the slot in between.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>

#include "balancer.skel.h"
#include "tests/packet/dsr_site.h"

static uint32_t sent(struct plane *p, uint8_t flags)
{
	struct frame_spec s = dsr_base4;
	struct frame f;

	s.tcp_flags = flags;
	frame_build(&s, &f);
	return dsr_forwarded(p, &f);
}

static bool flow_get(struct plane *p, struct flow *ret)
{
	struct flow_key key;

	frame_flow_key(&dsr_base4, DSR_SERVICE4, &key);
	return bpf_map_lookup_elem(bpf_map__fd(p->skel->maps.flows), &key, ret) == 0;
}

/* A flow is opened at 3, then the slot moves on to 1. */
static void established(struct plane *p)
{
	dsr_table_fill(p, THIRD | SLOT_TRANSITION, PREVIOUS);
	sent(p, TCP_SYN);
	sent(p, TCP_ACK);
	dsr_table_fill(p, OWNER | SLOT_TRANSITION, PREVIOUS);
	assert_int_equal(sent(p, TCP_ACK), THIRD);
}

static uint64_t live(struct plane *p, uint32_t backend)
{
	struct backend_stats s = plane_backend_stats(p, backend);

	return s.opened - s.closed;
}

static void test_spoofed_fin_and_syn_do_not_move_a_flow_in_transition(void **state)
{
	static const uint8_t spoofed[] = {TCP_FIN | TCP_ACK, TCP_SYN, TCP_SYN, TCP_FIN | TCP_ACK,
					  TCP_SYN};
	struct plane *p = *state;
	struct flow f;

	established(p);
	for (size_t i = 0; i < sizeof(spoofed); i++) {
		assert_int_equal(sent(p, spoofed[i]), THIRD);
		if (i != 2) /* twice the SYN without a packet in between */
			assert_int_equal(sent(p, TCP_ACK), THIRD);
		assert_true(flow_get(p, &f) && f.backend == THIRD);
	}
	assert_true(f.flags == 0); /* it is live, as before */
	assert_int_equal(live(p, THIRD), 1);
	assert_int_equal(live(p, OWNER), 0);
}

static void test_port_used_again_in_transition_is_a_new_flow_where_the_old_one_was(void **state)
{
	struct plane *p = *state;
	struct flow f;

	established(p);
	sent(p, TCP_FIN | TCP_ACK);
	assert_int_equal(live(p, THIRD), 0);
	assert_int_equal(sent(p, TCP_SYN), THIRD);
	assert_int_equal(sent(p, TCP_ACK), THIRD);
	assert_true(flow_get(p, &f) && f.backend == THIRD && f.flags == 0);
	assert_int_equal(live(p, THIRD), 1);
	assert_int_equal(plane_backend_stats(p, THIRD).opened, 2);
}

static void test_port_used_again_leaves_a_backend_that_is_gone(void **state)
{
	struct plane *p = *state;
	struct flow f;

	established(p);
	sent(p, TCP_FIN | TCP_ACK);
	p->backends[THIRD].flags = 0;
	assert_int_equal(sent(p, TCP_SYN), OWNER);
	assert_int_equal(sent(p, TCP_ACK), OWNER);
	assert_true(flow_get(p, &f) && f.backend == OWNER && f.flags == 0);
	assert_int_equal(live(p, OWNER), 1);
	assert_int_equal(live(p, THIRD), 0);
}

static void test_spoofed_segments_do_not_move_a_flow_of_a_settled_slot(void **state)
{
	static const uint8_t spoofed[] = {TCP_SYN, TCP_FIN | TCP_ACK, TCP_SYN, TCP_RST};
	struct plane *p = *state;

	sent(p, TCP_SYN);
	for (size_t i = 0; i < sizeof(spoofed); i++) {
		assert_int_equal(sent(p, TCP_ACK), OWNER);
		assert_int_equal(sent(p, spoofed[i]), OWNER);
	}
	assert_int_equal(sent(p, TCP_ACK), OWNER);
}

#define SPOOFED(test) cmocka_unit_test_setup_teardown(test, dsr_setup, dsr_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SPOOFED(test_spoofed_fin_and_syn_do_not_move_a_flow_in_transition),
		SPOOFED(test_port_used_again_in_transition_is_a_new_flow_where_the_old_one_was),
		SPOOFED(test_port_used_again_leaves_a_backend_that_is_gone),
		SPOOFED(test_spoofed_segments_do_not_move_a_flow_of_a_settled_slot),
	};

	if (!plane_permitted())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
