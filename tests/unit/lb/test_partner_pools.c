/* SPDX-License-Identifier: BSD-2-Clause */
/* test_partner_pools.c: what two nodes see of a pool (lb/partner_pools.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "lb/partner_kinds.h"
#include "lb/partner_pools.h"
#include "lb/words.h"
#include "tests/unit/lb/nodes.h"

enum { SKIP = 77, WAIT_MS = 10000, ROW_BYTES = 12, MX = 0, IN = 1 };

static struct event_base *loop;
static struct node *nodes[2];

#define WAIT_UNTIL(condition)                                                                      \
	do {                                                                                       \
		uint64_t until_ms = clock_ms() + WAIT_MS;                                          \
		while (!(condition) && clock_ms() < until_ms)                                      \
			nodes_pass(loop, 1);                                                       \
		assert_true(condition);                                                            \
	} while (0)

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
	(void)state;
	loop = event_base_new();
	nodes[0] = node_new(loop, "lb1", true);
	nodes[1] = node_new(loop, "lb2", true);
	WAIT_UNTIL(partner_in_sync(&nodes[0]->lb, 1) && partner_in_sync(&nodes[1]->lb, 0));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		node_free(nodes[i]);
		nodes[i] = NULL;
	}
	event_base_free(loop);
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
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_each_node_hears_what_the_other_sees),
		TEST(test_who_is_gone_sees_nothing),
		TEST(test_what_is_no_row_changes_nothing),
	};

	if (unshare(CLONE_NEWNET) < 0 || !nodes_lo_up()) {
		printf("a network namespace cannot be made (not root?)\n");
		return SKIP;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
