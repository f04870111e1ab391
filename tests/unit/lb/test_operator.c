/* SPDX-License-Identifier: BSD-2-Clause */
/* test_operator.c: what must hold of the file of the operator's states (lb/operator.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lb/operator.h"

static char folder[] = "/tmp/test_operator.XXXXXX";
static char path[64], aside[80];

static int folder_make(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/operator.json", folder);
	snprintf(aside, sizeof(aside), "%s.damaged", path);
	return 0;
}

static int folder_remove(void **state)
{
	(void)state;
	unlink(path);
	unlink(aside);
	return rmdir(folder);
}

static void test_states_survive_the_way_and_empty_ones_are_left_out(void **state)
{
	const struct operator_entry entries[] = {
		{"mx", "mx1", OPERATOR_DRAIN, WEIGHT_NONE, 1700000000, 0, 0},
		{"mx", "mx2", OPERATOR_ENABLED, WEIGHT_NONE, 0, 0, 0},
		{"imap", "mx2", OPERATOR_DISABLED, 0, 0, 0, 0},
		{"imap", "mx3", OPERATOR_ENABLED, 1000, 0, 0, 0},
	};
	struct operator_entry *read = NULL;
	uint32_t n = 0;

	(void)state;
	assert_int_equal(operator_save(path, entries, 4), 0);
	assert_int_equal(operator_load(path, &read, &n), 0);
	assert_int_equal(n, 3);
	assert_string_equal(read[0].backend, "mx1");
	assert_true(read[0].state == OPERATOR_DRAIN && read[0].weight == WEIGHT_NONE);
	assert_int_equal(read[0].since_s, 1700000000);
	assert_int_equal(read[1].since_s, 0);
	assert_true(read[1].state == OPERATOR_DISABLED && read[1].weight == 0);
	assert_true(read[2].state == OPERATOR_ENABLED && read[2].weight == 1000);
	free(read);
}

static void test_missing_file_has_no_states(void **state)
{
	struct operator_entry *read = NULL;
	uint32_t n = 9;

	(void)state;
	unlink(path);
	assert_int_equal(operator_load(path, &read, &n), 0);
	assert_true(n == 0 && !read);
}

static void test_damaged_file_is_set_aside(void **state)
{
	static const char *const damaged[] = {
		"",
		"{",
		"[]",
		"{\"backends\": 5}",
		"{\"backends\": [1]}",
		"{\"backends\": [{\"pool\": \"a\", \"backend\": \"b\", \"state\": \"asleep\"}]}",
		"{\"backends\": [{\"pool\": \"a\", \"backend\": \"b\", \"state\": \"drain\", \"weight\": 1001}]}",
		"{\"backends\": [{\"pool\": \"\", \"backend\": \"b\", \"state\": \"drain\"}]}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
		struct operator_entry *read = NULL;
		uint32_t n = 0;
		FILE *f = fopen(path, "w");

		fputs(damaged[i], f);
		fclose(f);
		assert_int_equal(operator_load(path, &read, &n), -EINVAL);
		assert_int_equal(access(path, F_OK), -1);
		assert_int_equal(access(aside, F_OK), 0);
	}
}

static void test_file_that_cannot_be_written_is_told_and_the_old_one_stays(void **state)
{
	const struct operator_entry entry = {"mx", "mx1", OPERATOR_DRAIN, WEIGHT_NONE, 0, 0, 0};

	(void)state;
	assert_int_equal(operator_save("/nonexistent/operator.json", &entry, 1), -ENOENT);
}

static struct operator_entry entry(const char *backend, enum operator_state state, int64_t s)
{
	struct operator_entry e = {
		.pool = "mx", .state = state, .weight = WEIGHT_NONE, .changed_ms = s * 1000};

	snprintf(e.backend, sizeof(e.backend), "%s", backend);
	e.node = 5;
	return e;
}

static void test_end_is_kept_until_it_is_old_and_told(void **state)
{
	struct operator_entry entries[] = {
		entry("old", OPERATOR_ENABLED, 1000), entry("drain", OPERATOR_DRAIN, 1000),
		entry("young", OPERATOR_ENABLED, 2000), entry("alone", OPERATOR_ENABLED, 2000)};

	(void)state;
	entries[3].node = 0; /* there was nobody to be told */
	assert_int_equal(operator_forget(entries, 4, 1000 + OPERATOR_END_KEEP_S, false), 3);
	assert_int_equal(operator_forget(entries, 3, 999 + OPERATOR_END_KEEP_S, true), 3);
	assert_int_equal(operator_forget(entries, 3, 1000 + OPERATOR_END_KEEP_S, true), 2);
	assert_string_equal(entries[0].backend, "drain");
	assert_string_equal(entries[1].backend, "young");
	assert_int_equal(operator_forget(entries, 2, 500, true), 2); /* by a clock gone wrong */
}

static void test_of_too_many_ends_the_oldest_go(void **state)
{
	enum { N = OPERATOR_ENDS_MOST + 20 };
	static struct operator_entry entries[N];
	char name[16];

	(void)state;
	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "b%d", i);
		entries[i] = entry(name, i % 100 == 0 ? OPERATOR_DRAIN : OPERATOR_ENABLED, i);
	}
	assert_int_equal(operator_forget(entries, N, 5000, false), N - 9);
	for (int i = 0; i < N - 9; i++) /* the oldest: b1 to b9 */
		assert_true(strlen(entries[i].backend) > 2 ||
			    strcmp(entries[i].backend, "b0") == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states_survive_the_way_and_empty_ones_are_left_out),
		cmocka_unit_test(test_missing_file_has_no_states),
		cmocka_unit_test(test_damaged_file_is_set_aside),
		cmocka_unit_test(test_end_is_kept_until_it_is_old_and_told),
		cmocka_unit_test(test_of_too_many_ends_the_oldest_go),
		cmocka_unit_test(test_file_that_cannot_be_written_is_told_and_the_old_one_stays),
	};

	return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
