/* SPDX-License-Identifier: BSD-2-Clause */
/* test_track.c: when a pool fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lb/track.h"

static void test_a_pool_fails_below_its_least_share(void **state)
{
	static const struct {
		uint32_t good, n, least;
		bool fails;
	} rows[] = {
		{3, 3, 100, false},
		{2, 3, 100, true},
		{1, 3, 30, false},
		{0, 3, 1, true},
		{1, 1000, 1, true},
		{10, 1000, 1, false},
		{0, 0, 100, false},
		{3000000000U, 4000000000U, 75, false},
		{2999999999U, 4000000000U, 75, true},
	};
	char text[VERDICT_TEXT];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(pool_fails("mx", rows[i].good, rows[i].n, rows[i].least, text),
				 rows[i].fails);
	pool_fails("mx", 1, 3, 50, text);
	assert_string_equal(text, "1 of 3 backends of pool mx are up (least 50 %)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_pool_fails_below_its_least_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
