/* SPDX-License-Identifier: BSD-2-Clause */
/* test_partner_pools.c: what two nodes see of a pool (lb/partner_pools.h). */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "lb/partner_kinds.h"
#include "lb/partner_pools.h"
#include "lb/words.h"
#include "tests/unit/lb/nodes_case.h"

enum { SKIP = 77, ROW_BYTES = 12, MX = 0, IN = 1 };

static void up(uint32_t node, uint32_t n)
{
	for (uint32_t i = 0; i < 4; i++) /* the last is that of "in" */
		nodes[node]->lb.backends[i].health.health = i < n ? HEALTH_UP : HEALTH_DOWN;
	nodes[node]->lb.ready = true;
	nodes_tick(nodes, 2);
}

static uint32_t best(uint32_t node, uint32_t pool)
{
	uint32_t peer = UINT32_MAX;
	uint32_t n = partner_pools_best(&nodes[node]->lb, pool, &peer);

	assert_int_equal(peer, n > 0 ? 1 - node : UINT32_MAX);
	return n;
}

static int set_up(void **state)
{
	if (nodes_set_up(state) < 0)
		return -1;
	nodes_start(2);
	return 0;
}

static void test_each_node_hears_what_the_other_sees(void **state)
{
	(void)state;
	assert_int_equal(best(0, MX), 0);
	up(1, 3);
	WAIT_UNTIL(best(0, MX) == 3);
	up(1, 1);
	WAIT_UNTIL(best(0, MX) == 1);
	assert_int_equal(best(0, IN), 0);
	assert_int_equal(best(1, MX), 0); /* lb1 has no result yet, and says nothing */
	assert_int_equal(partner_pools_best(&nodes[0]->lb, 99, &(uint32_t){0}), 0);
}

/* Said to one node alone, as it asked for everything, and other again before everybody was told. */
static void test_what_one_node_was_told_in_between_is_put_right(void **state)
{
	(void)state;
	up(1, 0);
	for (uint32_t i = 0; i < 3; i++)
		nodes[1]->lb.backends[i].health.health = HEALTH_UP;
	assert_true(node_reload(nodes[0], true));
	WAIT_UNTIL(nodes_in_sync(0, 1) && best(0, MX) == 3);
	up(1, 0);
	WAIT_UNTIL(best(0, MX) == 0);
}

static bool fewer(uint32_t node)
{
	return partner_pools_fewer(&nodes[node]->lb);
}

static void test_who_sees_fewer_than_another_knows_it(void **state)
{
	(void)state;
	up(0, 3);
	up(1, 3);
	WAIT_UNTIL(best(0, MX) == 3 && best(1, MX) == 3);
	assert_false(fewer(0) || fewer(1));
	up(0, 2);
	WAIT_UNTIL(best(1, MX) == 2);
	assert_true(fewer(0) && !fewer(1));
	up(1, 1);
	WAIT_UNTIL(best(0, MX) == 1);
	assert_true(!fewer(0) && fewer(1));
	node_free(nodes[1]);
	nodes[1] = NULL;
	up(0, 0);
	WAIT_UNTIL(best(0, MX) == 0);
	assert_false(fewer(0));
}

static bool may_preempt_now(uint32_t node, bool ready, uint32_t sees)
{
	struct lb *lb = &nodes[node]->lb;

	up(node, sees);
	lb->ready = ready;
	partner_ready(lb);
	return partner_may_preempt(lb);
}

/* At the moment at which it is ready, not only at the next tick: it would have preempted by then.
 */
static void test_who_is_ready_knows_whether_it_may_preempt(void **state)
{
	(void)state;
	up(0, 3);
	up(1, 3);
	WAIT_UNTIL(nodes_in_sync(0, 1) && best(1, MX) == 3);
	assert_false(may_preempt_now(1, false, 3));
	assert_true(may_preempt_now(1, true, 3));
	assert_false(may_preempt_now(1, false, 2));
	assert_false(may_preempt_now(1, true, 2));
}

static void test_who_is_gone_sees_nothing(void **state)
{
	(void)state;
	up(1, 3);
	WAIT_UNTIL(best(0, MX) == 3);
	node_free(nodes[1]);
	nodes[1] = NULL;
	WAIT_UNTIL(best(0, MX) == 0);
}

static void test_what_is_no_row_changes_nothing(void **state)
{
	uint8_t bytes[2 * ROW_BYTES] = {0};

	(void)state;
	sync_put64(bytes, word_pool_key("mx"));
	sync_put32(bytes + 8, 2);
	sync_put64(bytes + ROW_BYTES, 4711);
	sync_put32(bytes + ROW_BYTES + 8, 9);
	for (size_t n = 0; n < ROW_BYTES; n++)
		partner_pools_kind.record(&nodes[0]->lb, 1, bytes, n);
	assert_int_equal(best(0, MX), 0);
	partner_pools_kind.record(&nodes[0]->lb, 1, bytes, sizeof(bytes));
	assert_int_equal(best(0, MX), 2);
	assert_int_equal(best(0, IN), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, nodes_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_each_node_hears_what_the_other_sees),
		TEST(test_what_one_node_was_told_in_between_is_put_right),
		TEST(test_who_sees_fewer_than_another_knows_it),
		TEST(test_who_is_ready_knows_whether_it_may_preempt),
		TEST(test_who_is_gone_sees_nothing),
		TEST(test_what_is_no_row_changes_nothing),
	};

	if (unshare(CLONE_NEWNET) < 0 || !nodes_lo_up()) {
		printf("a network namespace cannot be made (not root?)\n");
		return SKIP;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
