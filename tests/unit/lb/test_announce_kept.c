/* SPDX-License-Identifier: BSD-2-Clause */
/* test_announce_kept.c: what must hold of what "announce" keeps (lb/announce_kept.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "lb/announce_kept.h"

static char folder[] = "/tmp/sluice-kept.XXXXXX";

static void write_place(const char *text)
{
	char path[sizeof(folder) + sizeof("/" KEPT_PLACE)];
	FILE *f;

	snprintf(path, sizeof(path), "%s/" KEPT_PLACE, folder);
	f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void test_drain_is_kept_with_its_time_until_it_ends(void **state)
{
	(void)state;
	assert_int_equal(kept_drained_s(folder), 0);
	assert_int_equal(kept_drain(folder, true), 0);
	assert_in_range(kept_drained_s(folder), time(NULL) - 60, time(NULL) + 60);
	assert_int_equal(kept_drain(folder, false), 0);
	assert_int_equal(kept_drained_s(folder), 0);
	assert_int_equal(kept_drain(folder, false), 0);
}

static void test_without_a_folder_nothing_is_kept_and_that_is_told(void **state)
{
	struct config_announce way = {.on = true, .table = 205, .protocol = 205};

	(void)state;
	assert_true(kept_drain("/nonexistent", true) < 0);
	assert_int_equal(kept_drained_s("/nonexistent"), 0);
	assert_true(kept_place_set("/nonexistent", &way) < 0);
	assert_false(kept_place("/nonexistent", &way));
}

static void test_place_is_kept_until_there_is_none(void **state)
{
	static const struct config_announce none = {.on = false};
	struct config_announce way = {.on = true, .table = 2147483647, .protocol = 255}, got;

	(void)state;
	assert_false(kept_place(folder, &got));
	assert_int_equal(kept_place_set(folder, &way), 0);
	assert_true(kept_place(folder, &got));
	assert_true(got.on && got.table == way.table && got.protocol == way.protocol);
	way.table = 7;
	assert_int_equal(kept_place_set(folder, &way), 0);
	assert_true(kept_place(folder, &got) && got.table == 7);
	assert_int_equal(kept_place_set(folder, &none), 0);
	assert_false(kept_place(folder, &got));
}

/* No route of somebody's is removed by what was never written. */
static void test_what_is_no_place_is_none(void **state)
{
	static const char *const texts[] = {
		"",	 "205",	  "x 205",  "0 205",	       "205 256",
		"205 0", "205 4", "-1 205", "99999999999 205", "205 -3"};
	struct config_announce got;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		write_place(texts[i]);
		assert_false(kept_place(folder, &got));
	}
	assert_int_equal(kept_place_set(folder, &(struct config_announce){.on = false}), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drain_is_kept_with_its_time_until_it_ends),
		cmocka_unit_test(test_without_a_folder_nothing_is_kept_and_that_is_told),
		cmocka_unit_test(test_place_is_kept_until_there_is_none),
		cmocka_unit_test(test_what_is_no_place_is_none),
	};
	int failed;

	if (!mkdtemp(folder))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	return failed;
}
