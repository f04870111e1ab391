/* SPDX-License-Identifier: BSD-2-Clause */
/* test_judge.c: what must hold of rise and fall (judge.h), and of the times of probes (schedule.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "healthcheck/judge.h"
#include "healthcheck/schedule.h"

/* p pass, f fail, t timeout, l leaving, u unable */
static enum verdict_word word_of(char c)
{
	switch (c) {
	case 'p':
		return VERDICT_PASS;
	case 'f':
		return VERDICT_FAIL;
	case 't':
		return VERDICT_TIMEOUT;
	case 'l':
		return VERDICT_LEAVING;
	default:
		return VERDICT_UNABLE;
	}
}

/* Play @verdicts; the health after each as U up, D down, L leaving, ? unknown. */
static void judge_play(struct judge *j, unsigned int rise, unsigned int fall, const char *verdicts,
		       char *ret_healths)
{
	static const char letters[] = {'?', 'U', 'D', 'L'};

	for (; *verdicts; verdicts++) {
		enum health before = j->health;
		struct judgement judgement = judge_verdict(j, rise, fall, word_of(*verdicts));

		assert_int_equal(judgement.changed, before != j->health);
		if (judgement.changed)
			assert_int_equal(judgement.agreeing, judgement.needed);
		*ret_healths++ = letters[j->health];
	}
	*ret_healths = '\0';
}

static void test_health_turns_by_rise_and_fall(void **state)
{
	static const struct {
		const char *what;
		unsigned int rise, fall;
		const char *verdicts, *healths;
	} rows[] = {
		{"one result ends unknown", 2, 3, "p", "U"},
		{"one failure ends unknown", 2, 3, "f", "D"},
		{"one 421 ends unknown", 2, 3, "l", "L"},
		{"up to down after fall in a row", 2, 3, "pfff", "UUUD"},
		{"a pass in between begins anew", 2, 3, "pffpfff", "UUUUUUD"},
		{"different failures agree", 2, 3, "pftf", "UUUD"},
		{"down to up after rise in a row", 2, 3, "fpp", "DDU"},
		{"a failure in between begins anew", 3, 3, "fppfppp", "DDDDDDU"},
		{"rise and fall of one", 1, 1, "pfpf", "UDUD"},
		{"up to leaving after fall", 2, 3, "plll", "UUUL"},
		{"the last one says which: leaving", 2, 3, "pffl", "UUUL"},
		{"the last one says which: down", 2, 3, "pllf", "UUUD"},
		{"leaving to up after rise", 2, 3, "lpp", "LLU"},
		{"leaving to down after fall that agree", 2, 3, "lfflfff", "LLLLLLD"},
		{"down to leaving after fall that agree", 2, 2, "fllf", "DDLL"},
		{"unable counts for nothing", 2, 2, "uupufuuf", "??UUUUUD"},
	};
	char healths[32];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct judge j = {0};

		judge_play(&j, rows[i].rise, rows[i].fall, rows[i].verdicts, healths);
		if (strcmp(healths, rows[i].healths) != 0)
			fail_msg("%s: %s gave %s", rows[i].what, rows[i].verdicts, healths);
	}
}

static void test_judge_goes_on_from_a_known_health(void **state)
{
	struct judge j = {.health = HEALTH_DOWN};
	char healths[8];

	(void)state;
	judge_play(&j, 2, 3, "pp", healths);
	assert_string_equal(healths, "DU");
	j = (struct judge){.health = HEALTH_UP};
	judge_play(&j, 2, 3, "fff", healths);
	assert_string_equal(healths, "UUD");
}

static void test_counts_do_not_wrap(void **state)
{
	struct judge j = {.health = HEALTH_DOWN, .failed = UINT16_MAX, .alike = UINT16_MAX};

	(void)state;
	judge_verdict(&j, 2, 3, VERDICT_FAIL);
	assert_int_equal(j.failed, UINT16_MAX);
	assert_int_equal(j.health, HEALTH_DOWN);
}

/* ---- the times of probes ---- */

static void test_probes_are_spread_evenly_over_the_interval(void **state)
{
	static const uint32_t many[] = {10, 100, 1000, 32000};
	enum { INTERVAL_MS = 2000, PARTS = 10 };

	(void)state;
	for (size_t k = 0; k < sizeof(many) / sizeof(many[0]); k++) {
		uint32_t in_part[PARTS] = {0};

		for (uint32_t i = 0; i < many[k]; i++) {
			uint32_t phase = schedule_phase(12345, i);
			uint64_t next = schedule_next(50000, 49000, phase, INTERVAL_MS);

			in_part[next % INTERVAL_MS / (INTERVAL_MS / PARTS)]++;
		}
		for (int part = 0; part < PARTS; part++)
			assert_in_range(in_part[part], many[k] / PARTS - 1, many[k] / PARTS + 2);
	}
}

static void test_probes_begin_in_slots_whatever_the_interval(void **state)
{
	static const uint32_t intervals_ms[] = {100, 250, 2000, 3600000};

	(void)state;
	for (size_t k = 0; k < sizeof(intervals_ms) / sizeof(intervals_ms[0]); k++) {
		for (uint32_t i = 0; i < 1000; i++) {
			uint64_t next = schedule_next(4000000, 3999990, schedule_phase(5, i),
						      intervals_ms[k]);

			assert_int_equal(next % intervals_ms[k] % SCHEDULE_SLOT_MS, 0);
		}
	}
}

static void test_first_probe_is_soon_whatever_the_interval(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 1000; i++) {
		uint32_t phase = schedule_phase(777, i);

		assert_in_range(schedule_first(5000, phase, 3600000), 5000,
				5000 + SCHEDULE_FIRST_MS - 1);
		assert_in_range(schedule_first(5000, phase, 100), 5000, 5099);
	}
}

static void test_probes_of_a_backend_keep_their_interval(void **state)
{
	enum { INTERVAL_MS = 2000, TOOK_MS = 30 };

	(void)state;
	for (uint32_t i = 0; i < 1000; i++) {
		uint32_t phase = schedule_phase(99, i);
		uint64_t at = schedule_first(100000, phase, INTERVAL_MS), next;

		next = schedule_next(at + TOOK_MS, at, phase, INTERVAL_MS);
		assert_in_range(next - at, INTERVAL_MS / 2, INTERVAL_MS * 3 / 2);
		for (int turn = 0; turn < 5; turn++) {
			at = next;
			next = schedule_next(at + TOOK_MS, at, phase, INTERVAL_MS);
			assert_int_equal(next - at, INTERVAL_MS);
		}
	}
}

static void test_probe_longer_than_the_interval_is_followed_by_the_next_turn(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 1000; i++) {
		uint32_t phase = schedule_phase(4, i);
		uint64_t next = schedule_next(105000, 100000, phase, 2000);

		assert_in_range(next, 105000, 106999);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_health_turns_by_rise_and_fall),
		cmocka_unit_test(test_judge_goes_on_from_a_known_health),
		cmocka_unit_test(test_counts_do_not_wrap),
		cmocka_unit_test(test_probes_are_spread_evenly_over_the_interval),
		cmocka_unit_test(test_probes_begin_in_slots_whatever_the_interval),
		cmocka_unit_test(test_first_probe_is_soon_whatever_the_interval),
		cmocka_unit_test(test_probes_of_a_backend_keep_their_interval),
		cmocka_unit_test(test_probe_longer_than_the_interval_is_followed_by_the_next_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
