/* SPDX-License-Identifier: BSD-2-Clause */
/* test_routes.c: what must hold of the routes that the kernel has of ours (lb/routes.h), with a
 * real one. Skipped (77) where that is not permitted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lb/routes.h"
#include "tests/unit/lb/world.h"

static const struct config_announce way = {.on = true, .table = 205, .protocol = 205};

static void run(const char *command)
{
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

/* The routes are these: n of them, in the order of addresses. */
static void set(struct routes *r, const struct config_announce *a, const char *const *vips,
		uint32_t n, uint32_t added, uint32_t removed)
{
	struct addr addrs[8] = {0};
	uint32_t changed[2];
	bool missing[8];

	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(addr_parse(vips[i], &addrs[i]), 0);
	assert_int_equal(routes_set(r, a, addrs, n, false, missing, changed), 0);
	for (uint32_t i = 0; i < n; i++)
		assert_false(missing[i]);
	assert_int_equal(changed[0], added);
	assert_int_equal(changed[1], removed);
}

static void test_routes_become_what_is_wanted_and_no_more_is_written(void **state)
{
	static const char *const vips[] = {"192.0.2.10", "192.0.2.11", "2001:db8::10"};
	struct routes *r = routes_new();

	(void)state;
	assert_non_null(r);
	set(r, &way, vips, 3, 3, 0);
	run("ip route show table 205 | grep -q '^blackhole 192.0.2.10 proto 205'");
	run("ip -6 route show table 205 | grep -q '^blackhole 2001:db8::10 .*proto 205'");
	set(r, &way, vips, 3, 0, 0);
	set(r, &way, vips + 1, 1, 0, 2);
	run("ip route flush table 205 proto 205");
	set(r, &way, vips, 2, 2, 0);
	set(r, &way, NULL, 0, 0, 2);
	routes_free(r);
}

static void test_routes_of_others_are_left_alone(void **state)
{
	static const char *const vips[] = {"192.0.2.10"};
	struct routes *r = routes_new();

	(void)state;
	run("ip route add blackhole 192.0.2.20/32 table 205 proto 3");
	run("ip route add blackhole 198.51.100.0/24 table 205 proto 205"); /* no VIP */
	run("ip route add blackhole 192.0.2.20/32 table 206 proto 205");
	set(r, &way, vips, 1, 1, 0);
	set(r, &way, NULL, 0, 0, 1);
	run("test $(ip route show table 205 | wc -l) = 2 && test $(ip route show table 206 | wc -l) = 1");
	routes_free(r);
}

/* In its place, ours cannot be: that is told, and the others are there. */
static void test_route_of_another_to_a_vip_is_told_and_not_replaced(void **state)
{
	static const char *const vips[] = {"192.0.2.10", "192.0.2.11", "2001:db8::10"};
	struct config_announce other = way;
	struct routes *r = routes_new();
	struct addr wanted[3];
	uint32_t changed[2];
	bool missing[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		addr_parse(vips[i], &wanted[i]);
	run("ip route add blackhole 192.0.2.10/32 table 207 proto 33");
	run("ip -6 route add blackhole 2001:db8::10/128 table 207 proto 33");
	other.table = 207;
	for (int turn = 0; turn < 2; turn++) {
		assert_int_equal(routes_set(r, &other, wanted, 3, false, missing, changed),
				 -EEXIST);
		assert_true(missing[0] && !missing[1] && missing[2]);
		assert_true(changed[0] == (turn == 0) && changed[1] == 0);
	}
	run("test $(ip route show table 207 | grep -c 'proto 33') = 1");
	run("ip route del blackhole 192.0.2.10/32 table 207 && ip -6 route flush table 207");
	set(r, &other, vips, 3, 2, 0);
	set(r, &other, NULL, 0, 0, 3);
	routes_free(r);
}

static void test_another_metric_or_table_is_another_route(void **state)
{
	static const char *const vips[] = {"192.0.2.10", "2001:db8::10"};
	struct config_announce other = way;
	struct routes *r = routes_new();

	(void)state;
	set(r, &way, vips, 2, 2, 0);
	other.metric = 50;
	set(r, &other, vips, 2, 2, 2);
	run("ip route show table 205 | grep -q 'metric 50'");
	other.table = 70000;
	set(r, &other, vips, 2, 2, 0);
	run("ip route show table 70000 | grep -q 192.0.2.10");
	set(r, &other, NULL, 0, 0, 2);
	other.table = 205;
	set(r, &other, NULL, 0, 0, 2);
	routes_free(r);
}

static void test_only_removing_adds_nothing_and_spares_what_is_wanted(void **state)
{
	static const char *const vips[] = {"192.0.2.10", "192.0.2.11"};
	struct addr wanted[2];
	struct routes *r = routes_new();
	uint32_t changed[2];
	bool missing[2];

	(void)state;
	set(r, &way, vips, 1, 1, 0);
	addr_parse("192.0.2.10", &wanted[0]);
	addr_parse("192.0.2.12", &wanted[1]);
	assert_int_equal(routes_set(r, &way, wanted, 2, true, missing, changed), 0);
	assert_true(!missing[0] && missing[1]);
	assert_true(changed[0] == 0 && changed[1] == 0);
	assert_int_equal(routes_set(r, &way, wanted + 1, 1, true, missing, changed), 0);
	assert_true(changed[0] == 0 && changed[1] == 1);
	routes_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_routes_become_what_is_wanted_and_no_more_is_written),
		cmocka_unit_test(test_routes_of_others_are_left_alone),
		cmocka_unit_test(test_route_of_another_to_a_vip_is_told_and_not_replaced),
		cmocka_unit_test(test_another_metric_or_table_is_another_route),
		cmocka_unit_test(test_only_removing_adds_nothing_and_spares_what_is_wanted),
	};
	int skipped = namespaces_enter();

	if (skipped)
		return skipped;
	run("ip link set lo up");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
