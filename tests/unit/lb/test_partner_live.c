/* SPDX-License-Identifier: BSD-2-Clause */
/* test_partner_live.c: what must hold of LIVE: that all nodes balance alike, whoever has the
 * traffic, whatever their clocks say.
 */
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "lb/flows.h"
#include "lb/partner_kinds.h"
#include "lb/partner_live.h"
#include "tests/unit/lb/nodes_case.h"

enum { SKIP = 77, ROW = 24, MX = 0, IN = 1, MX1 = 0, MX2 = 1, IN1 = 3 };

/* start: the first of them has the traffic of "mx", each has that of "in". */
static void start(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		nodes[i] = node_new(loop, node_names[i], true);
		node_role(nodes[i], i == 0 ? VRRP_ACTIVE : VRRP_BACKUP);
	}
	WAIT_UNTIL(nodes_all_in_sync(n));
	nodes_tick(nodes, n);
}

static struct lb_backend *backend(uint32_t node, uint32_t i)
{
	return &nodes[node]->lb.backends[i];
}

static void live_add(uint32_t node, uint32_t i, int n)
{
	struct lb *lb = &nodes[node]->lb;

	lb->current->backends[i].used = true;
	for (int k = 0; k < n; k++)
		flow_sweep_imported(lb->sweep, backend(node, i)->number, 1);
}

static void test_who_has_the_traffic_leads_and_the_others_follow(void **state)
{
	(void)state;
	start(3);
	backend(0, MX1)->gives = 1000;
	backend(0, MX2)->claims = 2000;
	backend(0, MX1)->full = true;
	nodes_tick(nodes, 3);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(partner_leads(&nodes[i]->lb, MX), i > 0);
		assert_int_equal(backend(i, MX1)->gives, 1000);
		assert_int_equal(backend(i, MX2)->claims, 2000);
		assert_true(backend(i, MX1)->full && !backend(i, MX2)->full);
	}
	backend(0, MX1)->full = false;
	nodes_tick(nodes, 3);
	assert_false(backend(2, MX1)->full);
}

static void test_lead_goes_with_the_traffic(void **state)
{
	(void)state;
	start(2);
	backend(0, MX1)->gives = 1000;
	nodes_tick(nodes, 2);
	node_role(nodes[0], VRRP_BACKUP);
	node_role(nodes[1], VRRP_ACTIVE);
	nodes_tick(nodes, 2);
	assert_true(partner_leads(&nodes[0]->lb, MX) && !partner_leads(&nodes[1]->lb, MX));
	assert_int_equal(backend(1, MX1)->gives, 1000); /* it goes on from there */
	backend(1, MX1)->gives = 1200;
	nodes_tick(nodes, 2);
	assert_int_equal(backend(0, MX1)->gives, 1200);
}

/* Of a VIP that each node has, the first node leads, by the sum over all. */
static void test_limit_and_feedback_count_connections_of_all_nodes(void **state)
{
	(void)state;
	start(3);
	for (uint32_t i = 0; i < 3; i++)
		live_add(i, IN1, 2 + (int)i);
	nodes_tick(nodes, 3);
	assert_int_equal(partner_live_sum(&nodes[0]->lb, IN1), 3 + 4);
	assert_int_equal(partner_live_sum(&nodes[1]->lb, IN1), 2 + 4);
	assert_false(partner_leads(&nodes[0]->lb, IN));
	assert_true(partner_leads(&nodes[1]->lb, IN) && partner_leads(&nodes[2]->lb, IN));
	/* what a backup still has of another pool is counted by nobody else */
	live_add(1, MX1, 5);
	nodes_tick(nodes, 3);
	assert_int_equal(partner_live_sum(&nodes[0]->lb, MX1), 0);
	/* and who is gone has none */
	node_free(nodes[2]);
	nodes[2] = NULL;
	WAIT_UNTIL(partner_live_sum(&nodes[0]->lb, IN1) == 3);
}

/* What is told of a slow start is for how long it has gone on. */
static void test_slow_start_goes_on_alike_where_clocks_differ(void **state)
{
	uint64_t began_ms = clock_ms() - 20000;

	(void)state;
	start(2);
	backend(0, MX1)->usable_ms = backend(1, MX1)->usable_ms = began_ms;
	backend(0, MX1)->start_ms = began_ms;
	nodes_tick(nodes, 2);
	assert_in_range(backend(1, MX1)->start_ms, began_ms - 1, began_ms + 500);
	backend(0, MX1)->start_ms = 0;
	nodes_tick(nodes, 2);
	assert_int_equal(backend(1, MX1)->start_ms, 0);
}

static void row_put(const struct lb *lb, uint32_t i, uint32_t since_ms, uint32_t flags, uint8_t *at)
{
	memset(at, 0, ROW);
	sync_put64(at, partner_backend_key(lb, i));
	sync_put32(at + 16, since_ms);
	sync_put32(at + 20, flags);
}

/* A node's clock is how long its machine has run. */
static void test_slow_start_that_is_older_than_the_machine_is_as_old(void **state)
{
	uint64_t now_ms = clock_ms();
	uint32_t since_ms = now_ms + 30000 < UINT32_MAX ? (uint32_t)now_ms + 30000 : UINT32_MAX;
	uint8_t row[ROW];

	(void)state;
	start(2);
	row_put(&nodes[1]->lb, MX1, since_ms, 1, row);
	partner_live.record(&nodes[1]->lb, 0, row, sizeof(row));
	partner_live.tick(&nodes[1]->lb);
	assert_int_not_equal(backend(1, MX1)->start_ms, 0);
	assert_in_range(clock_ms() - backend(1, MX1)->start_ms, since_ms - 1, since_ms + 5000);
}

/* It had the traffic when it was last told of, and reads its file again at that moment. */
static void test_traffic_that_went_with_a_reload_is_not_believed_for_ever(void **state)
{
	(void)state;
	start(2);
	backend(0, MX1)->full = true;
	live_add(0, MX1, 7);
	nodes_tick(nodes, 2);
	assert_true(partner_leads(&nodes[1]->lb, MX) && backend(1, MX1)->full);
	node_role(nodes[0], VRRP_BACKUP);
	assert_true(node_reload(nodes[0], true));
	WAIT_UNTIL(nodes_all_in_sync(2));
	nodes_tick(nodes, 2);
	assert_false(partner_leads(&nodes[1]->lb, MX));
	assert_int_equal(partner_live_sum(&nodes[1]->lb, MX1), 0);
}

static void test_who_died_leads_nobody(void **state)
{
	(void)state;
	start(2);
	backend(0, MX1)->gives = 1000;
	nodes_tick(nodes, 2);
	node_free(nodes[0]);
	nodes[0] = NULL;
	WAIT_UNTIL(!partner_leads(&nodes[1]->lb, MX));
	assert_int_equal(backend(1, MX1)->gives, 1000);
}

static void test_what_no_node_says_is_passed_over(void **state)
{
	uint8_t rows[3 * ROW];

	(void)state;
	start(2);
	backend(0, MX1)->gives = 1000;
	nodes_tick(nodes, 2);
	row_put(&nodes[1]->lb, MX1, 0, 1, rows);
	sync_put64(rows, 4711); /* nobody */
	row_put(&nodes[1]->lb, MX2, 0, 1, rows + ROW);
	sync_put16(rows + ROW + 12, 500);
	row_put(&nodes[1]->lb, MX1, 0, 1, rows + 2 * ROW);
	for (size_t n = 0; n < sizeof(rows); n++)
		partner_live.record(&nodes[1]->lb, 0, rows, n); /* the last is not whole */
	partner_live.tick(&nodes[1]->lb);
	assert_int_equal(backend(1, MX1)->gives, 1000);
	assert_int_equal(backend(1, MX2)->gives, 500);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, nodes_set_up, nodes_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_who_has_the_traffic_leads_and_the_others_follow),
		TEST(test_lead_goes_with_the_traffic),
		TEST(test_limit_and_feedback_count_connections_of_all_nodes),
		TEST(test_slow_start_goes_on_alike_where_clocks_differ),
		TEST(test_slow_start_that_is_older_than_the_machine_is_as_old),
		TEST(test_traffic_that_went_with_a_reload_is_not_believed_for_ever),
		TEST(test_who_died_leads_nobody),
		TEST(test_what_no_node_says_is_passed_over),
	};

	if (unshare(CLONE_NEWNET) < 0 || !nodes_lo_up()) {
		printf("a network namespace cannot be made (not root?)\n");
		return SKIP;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
