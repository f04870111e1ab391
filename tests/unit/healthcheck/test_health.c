/* SPDX-License-Identifier: BSD-2-Clause */
/* test_health.c: what must hold of what verdicts come to: agents, who has the last word, which
 * interval is due (judge.h, schedule.h), the damping of flaps (flap.h), slow answers (times.h), and
 * a PROXY header (proxy.h). No clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "healthcheck/flap.h"
#include "healthcheck/judge.h"
#include "healthcheck/proxy.h"
#include "healthcheck/schedule.h"
#include "healthcheck/times.h"

#define UNKNOWN HEALTH_UNKNOWN
#define UP	HEALTH_UP
#define DOWN	HEALTH_DOWN
#define LEAVING HEALTH_LEAVING

/* ---- who says what ---- */

static void test_down_wins_then_leaving_then_the_probe(void **state)
{
	static const struct {
		enum health said[SAYERS], health;
	} rows[] = {
		{{UP, UNKNOWN, UNKNOWN}, UP},
		{{UP, UP, UNKNOWN}, UP},
		{{UP, DOWN, UNKNOWN}, DOWN},
		{{UP, LEAVING, UNKNOWN}, LEAVING},
		{{UP, UP, DOWN}, DOWN},
		{{LEAVING, DOWN, UNKNOWN}, DOWN},
		{{DOWN, LEAVING, UNKNOWN}, DOWN},
		{{LEAVING, UP, UNKNOWN}, LEAVING},
		{{UNKNOWN, UP, UNKNOWN}, UNKNOWN},
		{{UNKNOWN, DOWN, UNKNOWN}, DOWN},
		{{UNKNOWN, UNKNOWN, DOWN}, DOWN},
		{{LEAVING, LEAVING, DOWN}, DOWN},
		{{UNKNOWN, LEAVING, UNKNOWN}, LEAVING},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (health_combine(rows[i].said) != rows[i].health)
			fail_msg("row %zu", i);
	}
}

static void test_agents_word_counts_at_once_and_its_silence_for_nothing(void **state)
{
	static const enum verdict_word silences[] = {
		VERDICT_TIMEOUT, VERDICT_REFUSED, VERDICT_RESET, VERDICT_CLOSED,
		VERDICT_GARBLED, VERDICT_UNABLE,  VERDICT_TLS,	 VERDICT_UNREACHABLE};
	struct judge j = {0};

	(void)state;
	assert_true(judge_agent(&j, VERDICT_LEAVING, WEIGHT_UNSAID).changed);
	for (size_t i = 0; i < sizeof(silences) / sizeof(silences[0]); i++) {
		assert_int_equal(judge_agent(&j, silences[i], WEIGHT_UNSAID).needed, 0);
		assert_int_equal(j.health, HEALTH_LEAVING);
	}
	assert_true(judge_agent(&j, VERDICT_PASS, 75).changed);
	assert_int_equal(j.health, HEALTH_UP);
	assert_true(judge_agent(&j, VERDICT_FAIL, WEIGHT_UNSAID).changed);
	assert_int_equal(j.health, HEALTH_DOWN);
	assert_true(judge_agent(&j, VERDICT_PASS, 0).changed);
	assert_int_equal(j.health, HEALTH_LEAVING); /* 0 % */
}

static void test_interval_is_that_of_the_state_and_of_doubt(void **state)
{
	static const struct config_probe probe = {.interval_ms = 1000,
						  .interval_down_ms = 5000,
						  .interval_rising_ms = 200,
						  .interval_falling_ms = 300};
	struct judge j = {0};

	(void)state;
#define DUE() schedule_interval(&probe, j.health, judge_unsure(&j))
	assert_int_equal(DUE(), 5000); /* unknown: it could not be asked */
	judge_verdict(&j, 2, 2, VERDICT_PASS);
	assert_int_equal(DUE(), 1000);
	judge_verdict(&j, 2, 2, VERDICT_FAIL);
	assert_int_equal(DUE(), 300);
	judge_verdict(&j, 2, 2, VERDICT_PASS);
	assert_int_equal(DUE(), 1000);
	judge_verdict(&j, 2, 2, VERDICT_LEAVING);
	assert_int_equal(DUE(), 300);
	judge_verdict(&j, 2, 2, VERDICT_PASS);
	judge_verdict(&j, 2, 2, VERDICT_FAIL);
	judge_verdict(&j, 2, 2, VERDICT_FAIL);
	assert_int_equal(DUE(), 5000);
	judge_verdict(&j, 2, 2, VERDICT_LEAVING); /* may turn to that */
	assert_int_equal(DUE(), 200);
	judge_verdict(&j, 2, 2, VERDICT_PASS);
	assert_int_equal(DUE(), 200);
	judge_verdict(&j, 2, 2, VERDICT_PASS);
	assert_int_equal(DUE(), 1000);
#undef DUE
}

static void test_patience_is_ten_times_what_nearly_all_took(void **state)
{
	struct times t = {0};

	(void)state;
	for (int i = 0; i < TIMES_LEAST; i++) {
		assert_int_equal(times_patience(&t), 0);
		times_add(&t, 1, 0);
	}
	assert_int_equal(times_patience(&t), 500);
	for (int i = 0; i < 50; i++)
		times_add(&t, 80, 0);
	assert_int_equal(times_patience(&t), 800);
	for (int i = 0; i < 3; i++)
		times_add(&t, 6000, 0); /* postscreen */
	assert_int_equal(times_patience(&t), 60000);
}

/* ---- flaps ---- */

static const struct flap_limits limits = {.limit = 5, .period_ms = 600000, .hold_ms = 300000};

static void test_fifth_turn_within_the_period_holds(void **state)
{
	struct flap f = {0};

	(void)state;
	for (uint64_t i = 0; i < 4; i++)
		assert_false(flap_turn(&f, &limits, 1000 + i * 1000));
	assert_false(flap_holds(&f, 5000));
	assert_true(flap_turn(&f, &limits, 5000));
	assert_true(flap_holds(&f, 5000));
	assert_true(flap_holds(&f, 304999));
	assert_false(flap_holds(&f, 305000));
}

static void test_turns_that_are_far_apart_hold_nobody(void **state)
{
	struct flap f = {0};

	(void)state;
	for (uint64_t i = 0; i < 1000; i++)
		assert_false(flap_turn(&f, &limits, 1000 + i * 150001));
}

static void five_turns(struct flap *f, uint64_t from_ms)
{
	for (uint64_t i = 0; i < 4; i++)
		assert_false(flap_turn(f, &limits, from_ms + i));
	assert_true(flap_turn(f, &limits, from_ms + 4));
}

static void test_hold_doubles_while_it_goes_on_and_is_bounded(void **state)
{
	static const uint32_t times[] = {1, 2, 4, 8, 16, 16, 16};
	struct flap f = {0};
	uint64_t now_ms = 1000;

	(void)state;
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		five_turns(&f, now_ms);
		assert_int_equal(f.until_ms, now_ms + 4 + (uint64_t)times[i] * limits.hold_ms);
		now_ms = f.until_ms + 1;
	}
	/* a quiet period after the last one */
	now_ms = f.until_ms + limits.period_ms;
	five_turns(&f, now_ms);
	assert_int_equal(f.until_ms, now_ms + 4 + limits.hold_ms);
}

static void test_turns_while_held_make_it_longer(void **state)
{
	struct flap f = {0};

	(void)state;
	five_turns(&f, 1000);
	five_turns(&f, 2000);
	assert_int_equal(f.until_ms, 2004 + 2 * (uint64_t)limits.hold_ms);
}

static void test_damping_can_be_turned_off(void **state)
{
	static const struct flap_limits off = {.period_ms = 1000, .hold_ms = 1000};
	struct flap f = {0};

	(void)state;
	for (uint64_t i = 0; i < 200; i++)
		assert_false(flap_turn(&f, &off, i));
	flap_restore(&f, &off, 5, 500);
	assert_false(flap_holds(&f, 6));
}

static void test_restored_hold_is_no_longer_than_one_can_be(void **state)
{
	struct flap f = {0};

	(void)state;
	flap_restore(&f, &limits, 1000, 5000);
	assert_true(flap_holds(&f, 4999));
	assert_false(flap_holds(&f, 5000));
	flap_restore(&f, &limits, 1000, UINT64_MAX);
	assert_int_equal(f.until_ms, 1000 + (uint64_t)FLAP_LONGEST * limits.hold_ms);
}

/* ---- slow ---- */

static void test_slow_begins_above_and_ends_well_below(void **state)
{
	struct times t = {0};

	(void)state;
	for (int i = 0; i < TIMES_LEAST - 1; i++)
		assert_false(times_add(&t, 500, 100));
	assert_true(times_add(&t, 500, 100)); /* enough of them */
	assert_true(t.slow);
	for (int i = 0; i < 100; i++)
		assert_false(times_add(&t, 90, 100)); /* in between */
	assert_true(t.slow);
	for (int i = 0; i < TIMES_RECENT / 2 - 1; i++)
		assert_false(times_add(&t, 79, 100));
	assert_true(times_add(&t, 79, 100));
	assert_false(t.slow);
	for (int i = 0; i < 100; i++)
		assert_false(times_add(&t, 100, 100)); /* in between */
	assert_false(t.slow);
}

static void test_a_few_outliers_make_nobody_slow(void **state)
{
	struct times t = {0};

	(void)state;
	for (int i = 0; i < 200; i++)
		assert_false(times_add(&t, i % 3 == 0 ? 10000 : 10, 100));
}

static void test_slow_ends_when_it_is_no_longer_asked_for(void **state)
{
	struct times t = {0};

	(void)state;
	for (int i = 0; i < TIMES_LEAST; i++)
		times_add(&t, 500, 100);
	assert_true(t.slow);
	assert_true(times_add(&t, 500, 0));
	assert_false(t.slow);
}

static void test_percentiles_are_of_the_last_hundred(void **state)
{
	struct times t = {0};

	(void)state;
	assert_int_equal(times_percentile(&t, 50), 0);
	times_add(&t, 7, 0);
	assert_int_equal(times_percentile(&t, 50), 7);
	assert_int_equal(times_percentile(&t, 99), 7);
	for (uint32_t i = 0; i < 150; i++)
		times_add(&t, 100000, 0);
	for (uint32_t i = 100; i > 0; i--)
		times_add(&t, i, 0);
	assert_int_equal(times_percentile(&t, 50), 50);
	assert_int_equal(times_percentile(&t, 99), 99);
	assert_int_equal(times_percentile(&t, 100), 100);
	assert_int_equal(times_percentile(&t, 0), 1);
	assert_int_equal(times_median(&t), 10); /* of the last twenty: 1 .. 20 */
}

/* ---- the PROXY header ---- */

static struct addr addr_of(const char *text)
{
	struct addr addr;

	assert_int_equal(addr_parse(text, &addr), 0);
	return addr;
}

static void test_proxy_headers_are_those_of_the_specification(void **state)
{
	static const char v2[] =
		"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\1\xc0\0\2\x15\x9c\x40\0\x19";
	static const char v2_ipv6[] = "\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24";
	const struct addr from = addr_of("192.0.2.1"), to = addr_of("192.0.2.21");
	const struct addr from6 = addr_of("2001:db8::1"), to6 = addr_of("2001:db8::21");
	const struct addr longest = addr_of("2001:db8:1111:2222:3333:4444:5555:6666");
	char h[PROXY_HEADER_SIZE];
	size_t n;

	(void)state;
	assert_int_equal(proxy_header(PROXY_NONE, &from, 40000, &to, 25, h), 0);
	n = proxy_header(PROXY_V1, &from, 40000, &to, 25, h);
	assert_int_equal(n, strlen("PROXY TCP4 192.0.2.1 192.0.2.21 40000 25\r\n"));
	assert_memory_equal(h, "PROXY TCP4 192.0.2.1 192.0.2.21 40000 25\r\n", n);
	n = proxy_header(PROXY_V1, &from6, 65535, &to6, 25, h);
	assert_memory_equal(h, "PROXY TCP6 2001:db8::1 2001:db8::21 65535 25\r\n", n);
	assert_true(proxy_header(PROXY_V1, &longest, 65535, &longest, 65535, h) > 90);
	n = proxy_header(PROXY_V2, &from, 40000, &to, 25, h);
	assert_int_equal(n, 28);
	assert_memory_equal(h, v2, n);
	n = proxy_header(PROXY_V2, &from6, 40000, &to6, 25, h);
	assert_int_equal(n, 52);
	assert_memory_equal(h, v2_ipv6, 16);
	assert_memory_equal(h + 16, &from6, 16);
	assert_memory_equal(h + 32, &to6, 16);
	assert_memory_equal(h + 48, "\x9c\x40\0\x19", 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_down_wins_then_leaving_then_the_probe),
		cmocka_unit_test(test_agents_word_counts_at_once_and_its_silence_for_nothing),
		cmocka_unit_test(test_interval_is_that_of_the_state_and_of_doubt),
		cmocka_unit_test(test_patience_is_ten_times_what_nearly_all_took),
		cmocka_unit_test(test_fifth_turn_within_the_period_holds),
		cmocka_unit_test(test_turns_that_are_far_apart_hold_nobody),
		cmocka_unit_test(test_hold_doubles_while_it_goes_on_and_is_bounded),
		cmocka_unit_test(test_turns_while_held_make_it_longer),
		cmocka_unit_test(test_damping_can_be_turned_off),
		cmocka_unit_test(test_restored_hold_is_no_longer_than_one_can_be),
		cmocka_unit_test(test_slow_begins_above_and_ends_well_below),
		cmocka_unit_test(test_a_few_outliers_make_nobody_slow),
		cmocka_unit_test(test_slow_ends_when_it_is_no_longer_asked_for),
		cmocka_unit_test(test_percentiles_are_of_the_last_hundred),
		cmocka_unit_test(test_proxy_headers_are_those_of_the_specification),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
