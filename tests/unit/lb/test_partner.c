/* SPDX-License-Identifier: BSD-2-Clause */
/* test_partner.c: what must hold between nodes, whatever they have to say (lb/partner.h). */
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "lb/partner_kinds.h"
#include "tests/unit/lb/nodes_case.h"

enum { SKIP = 77, NODE_BYTES = 48 };

static struct sync_peer_state state_of(uint32_t i, uint32_t peer)
{
	struct sync_peer_state state;

	sync_peer_state(partner_sync(&nodes[i]->lb), peer, &state);
	return state;
}

static int said(uint32_t i)
{
	static const uint8_t bytes[64]; /* of nobody: passed over */

	return partner_send(&nodes[i]->lb, PARTNER_ALL, PARTNER_FLOW, bytes, sizeof(bytes));
}

static void test_nodes_of_one_file_have_the_same_configuration_and_know_all(void **state)
{
	(void)state;
	nodes_start(3);
	for (uint32_t i = 0; i < 3; i++) {
		const struct partner_node *other = partner_node(&nodes[i]->lb, (i + 1) % 3);

		assert_true(other->told && other->same_config && other->same_secret);
		assert_string_equal(other->version, SLUICE_VERSION);
		WAIT_UNTIL(partner_all_told(&nodes[i]->lb));
	}
}

static void test_who_is_not_in_sync_says_so(void **state)
{
	(void)state;
	nodes_start(2);
	assert_true(partner_node_in_sync(&nodes[0]->lb));
	node_free(nodes[1]);
	nodes[1] = NULL;
	WAIT_UNTIL(!partner_node_in_sync(&nodes[0]->lb));
	assert_false(partner_all_told(&nodes[0]->lb));
}

/* A burst that would end the session waits, as long as somebody acknowledges it. */
static void test_burst_waits_before_it_ends_the_session(void **state)
{
	uint32_t held = 0;

	(void)state;
	nodes_start(2);
	for (uint32_t i = 0; i < 200000; i++) {
		if (partner_crowded(&nodes[0]->lb)) {
			held++;
			nodes_pass(loop, 1);
			continue;
		}
		assert_int_equal(said(0), 0);
	}
	assert_true(held > 0);
	WAIT_UNTIL(state_of(0, 1).waiting == 0);
	assert_false(partner_crowded(&nodes[0]->lb));
	assert_int_equal(state_of(0, 1).counts.overruns, 0);
	assert_true(nodes_in_sync(0, 1));
}

/* Who is dead is waited for by nobody: the third is told at once. */
static void test_burst_does_not_wait_for_the_dead(void **state)
{
	uint64_t until_ms;

	(void)state;
	nodes_start(3);
	node_free(nodes[2]);
	nodes[2] = NULL;
	while (!partner_crowded(&nodes[0]->lb))
		said(0);
	until_ms = clock_ms() + 2500;
	while (partner_crowded(&nodes[0]->lb) && clock_ms() < until_ms)
		nodes_pass(loop, 1);
	assert_false(partner_crowded(&nodes[0]->lb));
	assert_true(state_of(0, 2).up && state_of(0, 1).up); /* it is not missed yet */
}

static void test_node_that_read_its_file_again_is_given_everything(void **state)
{
	uint64_t before;

	(void)state;
	nodes_start(2);
	before = state_of(0, 1).counts.records_received;
	assert_true(node_reload(nodes[0], true));
	WAIT_UNTIL(state_of(0, 1).counts.records_received >= before + 2);
	WAIT_UNTIL(nodes_in_sync(0, 1));
	assert_int_equal(state_of(0, 1).counts.overruns, 0);
}

static void test_what_another_says_it_is_can_be_printed(void **state)
{
	uint8_t bytes[NODE_BYTES];

	(void)state;
	nodes_start(2);
	memset(bytes, 0x1b, sizeof(bytes));
	for (size_t n = 0; n < sizeof(bytes); n++)
		partner_node_kind.record(&nodes[0]->lb, 1, bytes, n);
	assert_string_equal(partner_node(&nodes[0]->lb, 1)->version, SLUICE_VERSION);
	partner_node_kind.record(&nodes[0]->lb, 1, bytes, sizeof(bytes));
	assert_string_equal(partner_node(&nodes[0]->lb, 1)->version,
			    "???????????????????????????????");
	assert_false(partner_node(&nodes[0]->lb, 1)->same_config);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, nodes_set_up, nodes_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_nodes_of_one_file_have_the_same_configuration_and_know_all),
		TEST(test_who_is_not_in_sync_says_so),
		TEST(test_burst_waits_before_it_ends_the_session),
		TEST(test_burst_does_not_wait_for_the_dead),
		TEST(test_node_that_read_its_file_again_is_given_everything),
		TEST(test_what_another_says_it_is_can_be_printed),
	};

	if (unshare(CLONE_NEWNET) < 0 || !nodes_lo_up()) {
		printf("a network namespace cannot be made (not root?)\n");
		return SKIP;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
