/* SPDX-License-Identifier: BSD-2-Clause */
/* test_heal.c: what must hold of when a backend is healed, with a clock that the test moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "programs/heal.h"

static const struct config_heal minute = {.after_ms = 60000, .again_ms = 600000};

static void test_due_once_after_the_time_and_again_with_doubling(void **state)
{
	struct heal h = {0};

	(void)state;
	heal_down(&h, &minute, 0, 1000, false);
	assert_false(heal_due(&h, 60999));
	assert_true(heal_due(&h, 61000));
	heal_ran(&h, &minute, 61000);
	assert_false(heal_due(&h, 61000 + 599999));
	assert_true(heal_due(&h, 61000 + 600000));
	heal_ran(&h, &minute, 661000);
	assert_false(heal_due(&h, 661000 + 1199999));
	assert_true(heal_due(&h, 661000 + 1200000));
}

static void test_wait_grows_to_a_day_and_no_further(void **state)
{
	struct heal h = {0};
	uint64_t now_ms = 60000;

	(void)state;
	heal_down(&h, &minute, 0, 0, false);
	for (int i = 0; i < 100; i++) {
		assert_true(heal_due(&h, now_ms));
		heal_ran(&h, &minute, now_ms);
		now_ms = h.next_ms;
	}
	heal_ran(&h, &minute, now_ms);
	assert_int_equal(h.next_ms - now_ms, HEAL_WAIT_MOST_MS);
}

static void test_up_cancels_and_the_next_time_begins_anew(void **state)
{
	struct heal h = {0};

	(void)state;
	heal_down(&h, &minute, 0, 0, false);
	heal_ran(&h, &minute, 60000);
	heal_up(&h);
	assert_false(heal_due(&h, 10000000));
	heal_down(&h, &minute, 0, 10000000, false);
	assert_false(heal_due(&h, 10059999));
	assert_true(heal_due(&h, 10060000));
	assert_int_equal(h.runs, 0);
}

static void test_down_told_twice_changes_nothing(void **state)
{
	struct heal h = {0};

	(void)state;
	heal_down(&h, &minute, 0, 0, false);
	heal_down(&h, &minute, 30000, 30000, false);
	heal_down(&h, &minute, 0, 50000, false);
	assert_true(heal_due(&h, 60000));
}

static void test_process_that_comes_back_repeats_no_run(void **state)
{
	struct heal h = {0};

	(void)state;
	heal_down(&h, &minute, 30000, 0, true); /* not run yet */
	assert_false(heal_due(&h, 29999));
	assert_true(heal_due(&h, 30000));
	assert_int_equal(h.runs, 0);
	heal_up(&h);
	heal_down(&h, &minute, 61000, 0, true); /* run a second ago */
	assert_int_equal(h.runs, 1);
	assert_false(heal_due(&h, 598999));
	assert_true(heal_due(&h, 599000));
	heal_up(&h);
	heal_down(&h, &minute, (uint64_t)400 * 24 * 3600 * 1000, 0, true); /* since ever */
	assert_false(heal_due(&h, 0));
	assert_true(h.next_ms <= HEAL_WAIT_MOST_MS);
}

static void test_heal_that_is_newly_configured_is_due_for_who_is_down_already(void **state)
{
	struct heal h = {0};

	(void)state;
	heal_down(&h, &minute, 3600000, 500, false);
	assert_true(heal_due(&h, 500));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_due_once_after_the_time_and_again_with_doubling),
		cmocka_unit_test(test_wait_grows_to_a_day_and_no_further),
		cmocka_unit_test(test_up_cancels_and_the_next_time_begins_anew),
		cmocka_unit_test(test_down_told_twice_changes_nothing),
		cmocka_unit_test(test_process_that_comes_back_repeats_no_run),
		cmocka_unit_test(test_heal_that_is_newly_configured_is_due_for_who_is_down_already),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
