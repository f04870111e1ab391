/* SPDX-License-Identifier: BSD-2-Clause */
/* test_group.c: what must hold of groups, whatever the members' own priorities and networks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vrrp/group.h"

enum { NOW = 100000 };

static void test_least_priority_is_everybodys(void **state)
{
	const struct group_member members[] = {
		{.priority = 200}, {.priority = 50}, {.priority = 255}};

	(void)state;
	assert_int_equal(group_priority(members, 3), 50);
	assert_int_equal(group_priority(members, 1), 200);
	assert_int_equal(group_priority(members + 2, 1), 255);
}

static void test_one_that_is_out_is_found(void **state)
{
	struct group_member members[] = {{.priority = 1}, {.priority = 1}, {.priority = 1}};

	(void)state;
	assert_null(group_out(members, 3));
	members[1].out = members[2].out = true;
	assert_ptr_equal(group_out(members, 3), &members[1]);
}

static void test_a_member_that_hears_holds_one_that_does_not(void **state)
{
	struct group_member members[] = {{.held_until_us = NOW - 1}, {.held_until_us = NOW + 250}};

	(void)state;
	assert_int_equal(group_held_until_us(members, 2, NOW), NOW + 250);
	assert_int_equal(group_held_until_us(members, 2, NOW + 250), 0);
	assert_int_equal(group_held_until_us(members, 1, NOW), 0);
}

static void test_priority_zero_at_one_member_frees_all(void **state)
{
	struct group_member members[] = {{.told_of_end = true}, {.held_until_us = NOW + 250}};

	(void)state;
	assert_int_equal(group_held_until_us(members, 2, NOW), 0);
}

static void test_first_member_that_hears_decides_between_equals(void **state)
{
	struct group_member members[] = {{.heard_until_us = NOW - 1},
					 {.heard_until_us = NOW + 1},
					 {.heard_until_us = NOW + 9}};

	(void)state;
	assert_ptr_equal(group_arbiter(members, 3, NOW), &members[1]);
	members[0].heard_until_us = NOW + 1;
	assert_ptr_equal(group_arbiter(members, 3, NOW), &members[0]);
	assert_null(group_arbiter(members, 3, NOW + 9));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_least_priority_is_everybodys),
		cmocka_unit_test(test_one_that_is_out_is_found),
		cmocka_unit_test(test_a_member_that_hears_holds_one_that_does_not),
		cmocka_unit_test(test_priority_zero_at_one_member_frees_all),
		cmocka_unit_test(test_first_member_that_hears_decides_between_equals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
