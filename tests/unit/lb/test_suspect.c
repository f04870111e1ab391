/* SPDX-License-Identifier: BSD-2-Clause */
/* test_suspect.c: which backends the packets make suspect, by counters and a clock that the test
 * moves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "lb/suspect.h"

enum { MOST = 10, TICK_MS = 200 };

/* A pool under load. */
struct load {
	uint32_t n;
	uint64_t now_ms;
	struct suspect_state states[MOST];
	struct suspect_counts counts[MOST];
	struct suspect found[MOST];
	/* of each backend, in a tick: new SYNs, those that come again, and connections */
	uint32_t syns[MOST], again[MOST], opens[MOST];
	uint32_t says[MOST]; /* packets to each of these */
};

static struct load load_of(uint32_t n, uint32_t a_tick)
{
	struct load l = {.n = n, .now_ms = 1000000};

	for (uint32_t i = 0; i < n; i++) {
		l.syns[i] = l.opens[i] = a_tick;
		l.says[i] = 5;
	}
	return l;
}

static uint32_t tick(struct load *l)
{
	struct suspect_state *states[MOST];

	for (uint32_t i = 0; i < l->n; i++) {
		states[i] = &l->states[i];
		l->counts[i].syns += l->syns[i] + l->again[i];
		l->counts[i].again += l->again[i];
		l->counts[i].connected += l->opens[i];
		l->counts[i].said += (uint64_t)l->opens[i] * l->says[i];
	}
	l->now_ms += TICK_MS;
	return suspect_pool(states, l->counts, l->n, l->now_ms, l->found);
}

/* So many ticks, in which nobody may be suspected. */
static void calm(struct load *l, uint32_t ticks)
{
	for (uint32_t i = 0; i < ticks; i++) {
		if (tick(l) == 0)
			continue;
		for (uint32_t k = 0; k < l->n; k++) {
			if (l->found[k].suspected)
				fail_msg("tick %u: backend %u: %s", i, k, l->found[k].text);
		}
	}
}

/* How many milliseconds until backend @i is suspected, and nobody else; 0 = not in 10 s. */
static uint32_t suspected_after_ms(struct load *l, uint32_t i)
{
	for (uint32_t ms = TICK_MS; ms <= 10000; ms += TICK_MS) {
		uint32_t n = tick(l);

		if (n == 0)
			continue;
		assert_int_equal(n, 1);
		assert_true(l->found[i].suspected);
		return ms;
	}
	return 0;
}

static void test_backend_that_goes_silent_under_load_is_suspected_within_a_second(void **state)
{
	struct load l = load_of(3, 10);

	(void)state;
	calm(&l, 20);
	l.opens[1] = 0;
	assert_in_range(suspected_after_ms(&l, 1), 1, 600);
	assert_string_equal(l.found[1].text, "20 SYNs in 400 ms, none became a connection");
}

static void test_one_that_opens_hardly_any_is_suspected_too(void **state)
{
	struct load l = load_of(3, 40);

	(void)state;
	calm(&l, 20);
	l.opens[2] = 2;
	assert_in_range(suspected_after_ms(&l, 2), 1, 600);
	assert_string_equal(l.found[2].text, "80 SYNs in 400 ms, 4 of them became connections");
}

/* There is nobody to compare it with, but that it did a moment before. */
static void test_only_backend_of_its_pool_is_suspected_too(void **state)
{
	struct load l = load_of(1, 10);

	(void)state;
	calm(&l, 20);
	l.opens[0] = 0;
	assert_in_range(suspected_after_ms(&l, 0), 1, 1000);
}

static void test_backends_that_all_go_silent_at_once_are_suspected(void **state)
{
	struct load l = load_of(4, 10);
	uint32_t n = 0;

	(void)state;
	calm(&l, 20);
	memset(l.opens, 0, sizeof(l.opens));
	for (uint32_t i = 0; i < 5; i++)
		n += tick(&l);
	assert_int_equal(n, 4);
}

static void test_few_syns_suspect_nobody_until_they_are_enough(void **state)
{
	struct load l = load_of(3, 1);

	(void)state;
	calm(&l, 20);
	l.opens[0] = 0;
	assert_in_range(suspected_after_ms(&l, 0), 8 * TICK_MS, 9 * TICK_MS);
}

static void test_silence_without_syns_is_no_reason(void **state)
{
	struct load l = load_of(3, 10);

	(void)state;
	calm(&l, 20);
	l.syns[1] = l.opens[1] = 0;
	calm(&l, 100);
	memset(l.syns, 0, sizeof(l.syns));
	memset(l.opens, 0, sizeof(l.opens));
	calm(&l, 100);
}

/* Clients at the other end of the world: their ACKs come a tick or two later. */
static void test_burst_of_slow_clients_suspects_nobody(void **state)
{
	struct load l = load_of(3, 0);

	(void)state;
	calm(&l, 20);
	for (uint32_t i = 0; i < 3; i++)
		l.syns[i] = 50;
	calm(&l, 2);
	for (uint32_t i = 0; i < 3; i++)
		l.opens[i] = 50;
	calm(&l, 20);
}

/* What was gathered before nobody looked, for want of traffic, is no part of what comes then. */
static void test_pause_between_two_looks_begins_anew(void **state)
{
	struct load l = load_of(3, 10);

	(void)state;
	calm(&l, 20);
	l.syns[1] = 5;
	l.opens[1] = 0;
	calm(&l, 1);
	l.now_ms += 20000;
	for (uint32_t i = 0; i < 3; i++)
		l.syns[i] = 50;
	calm(&l, 1);
}

/* Its last SYNs before it was down are no reason once it is back. */
static void test_backend_that_was_away_begins_anew(void **state)
{
	struct load l = load_of(3, 10);

	(void)state;
	calm(&l, 60);
	l.opens[1] = 0;
	assert_true(suspected_after_ms(&l, 1) > 0);
	l.counts[1].syns += 50;
	l.now_ms += 3000;
	l.states[1].away = true;
	l.opens[1] = 10;
	calm(&l, 20);
}

/* It was right to suspect it: the next time is no repetition. */
static void test_backend_that_dies_again_and_again_is_suspected_each_time(void **state)
{
	struct load l = load_of(3, 10);

	(void)state;
	calm(&l, 60);
	for (uint32_t i = 0; i < 10; i++) {
		l.opens[1] = 0;
		assert_in_range(suspected_after_ms(&l, 1), 1, 1000);
		l.states[1].away = true;
		l.opens[1] = 10;
		calm(&l, 10);
	}
}

/* From addresses that nobody has: none of them becomes a connection, at all backends alike, and
 * those of real clients go on.
 */
static void test_flood_of_syns_suspects_nobody(void **state)
{
	static const uint32_t real[] = {1, 10, 100};

	(void)state;
	for (size_t r = 0; r < sizeof(real) / sizeof(real[0]); r++) {
		struct load l = load_of(10, real[r]);

		calm(&l, 20);
		for (uint32_t i = 0; i < l.n; i++)
			l.syns[i] += 20000;
		calm(&l, 100);
		for (uint32_t i = 0; i < l.n; i++)
			l.syns[i] -= 20000;
		calm(&l, 100);
	}
}

static void test_flood_on_a_pool_without_other_traffic_suspects_nobody(void **state)
{
	struct load l = load_of(10, 0);

	(void)state;
	calm(&l, 20);
	for (uint32_t i = 0; i < l.n; i++)
		l.syns[i] = 20000;
	calm(&l, 100);
}

/* Each address is used again and again: SYNs come again, at all backends alike. */
static void test_flood_that_repeats_its_syns_suspects_nobody(void **state)
{
	struct load l = load_of(10, 5);

	(void)state;
	calm(&l, 20);
	for (uint32_t i = 0; i < l.n; i++)
		l.again[i] = 20000;
	calm(&l, 100);
}

/* The real connections of this one end, those of the others go on. */
static void test_backend_that_goes_silent_in_a_flood_is_suspected(void **state)
{
	struct load l = load_of(10, 5);

	(void)state;
	calm(&l, 20);
	for (uint32_t i = 0; i < l.n; i++)
		l.syns[i] += 20000;
	calm(&l, 20);
	l.opens[3] = 0;
	/* from the next run of it on: what was before is not none */
	assert_in_range(suspected_after_ms(&l, 3), 1, SUSPECT_MOST_MS + 1000);
}

static void test_syns_that_come_again_at_one_backend_make_it_suspect(void **state)
{
	struct load l = load_of(3, 10);

	(void)state;
	calm(&l, 20);
	l.again[0] = 12; /* while some get through */
	assert_in_range(suspected_after_ms(&l, 0), 1, 2 * SUSPECT_AGAIN_MS);
	assert_non_null(strstr(l.found[0].text, "SYNs in 1000 ms had come before"));
}

/* It is stopped: its kernel goes on with the handshakes, and nobody gets a greeting. */
static void test_backend_whose_clients_get_no_further_is_suspected_as_hung(void **state)
{
	struct load l = load_of(3, 10);

	(void)state;
	calm(&l, 61); /* to the end of SUSPECT_TALK_MS */
	l.says[1] = 1;
	/* by the window that was half over, and not by the one that began then */
	assert_in_range(suspected_after_ms(&l, 1), 1, SUSPECT_TALK_MS - 1);
	assert_true(l.found[1].hung);
	assert_string_equal(l.found[1].text,
			    "30 connections in 600 ms with 2.3 packets each, where 5.0 are usual");
}

/* What it said, or not, while it hung does not become what is usual. */
static void test_backend_that_hangs_again_and_again_is_suspected_each_time(void **state)
{
	struct load l = load_of(3, 10);

	(void)state;
	calm(&l, 60);
	for (uint32_t i = 0; i < 50; i++) {
		l.says[1] = 1;
		assert_in_range(suspected_after_ms(&l, 1), 1, 2 * SUSPECT_TALK_MS);
		for (uint32_t k = 0; k < 4; k++)
			tick(&l); /* until its probes have failed */
		l.states[1].away = true;
		l.says[1] = 5;
		calm(&l, 10);
	}
	assert_in_range(l.states[1].usual_x16, 16 * 3, 16 * 5);
}

/* Overload, or clients that only look who is there: it says nothing of one server. */
static void test_clients_that_say_little_to_all_backends_suspect_nobody(void **state)
{
	struct load l = load_of(3, 10);

	(void)state;
	calm(&l, 60);
	for (uint32_t i = 0; i < l.n; i++) {
		l.opens[i] = l.syns[i] = 100;
		l.says[i] = 1;
	}
	calm(&l, 100);
}

static void test_only_backend_of_its_pool_is_never_hung_by_its_packets(void **state)
{
	struct load l = load_of(1, 10);

	(void)state;
	calm(&l, 60);
	l.says[0] = 1;
	calm(&l, 100);
}

static void test_hung_backend_is_seen_among_others_of_other_habits(void **state)
{
	struct load l = load_of(4, 10);

	(void)state;
	l.says[0] = 3;
	l.says[1] = 400; /* large mails */
	calm(&l, 100);
	l.says[2] = 2;
	assert_in_range(suspected_after_ms(&l, 2), 1, 2 * SUSPECT_TALK_MS);
}

/* One in ten of its moments has a large mail in it, which is no reason to suspect the others. */
static void test_large_mail_now_and_then_makes_nothing_else_unusual(void **state)
{
	struct load l = load_of(3, 10);

	(void)state;
	for (uint32_t i = 0; i < 1000; i++) {
		l.says[1] = i % 10 == 0 ? 1500 : 5;
		calm(&l, 3);
	}
}

/* As when a pool begins to serve other clients, one backend after the other: it is told a few
 * times, then it is what is usual.
 */
static void test_what_stays_so_becomes_usual(void **state)
{
	struct load l = load_of(3, 10);
	uint32_t n = 0;

	(void)state;
	calm(&l, 60);
	l.says[1] = 2;
	for (uint32_t i = 0; i < 100; i++)
		n += tick(&l);
	assert_in_range(n, 1, 4);
	calm(&l, 1000);
}

static void test_hung_backend_with_few_connections_is_suspected_once_they_are_enough(void **state)
{
	struct load l = load_of(3, 1);

	(void)state;
	calm(&l, 200);
	l.says[0] = 1;
	/* those that were before the fault are in it */
	assert_in_range(suspected_after_ms(&l, 0), SUSPECT_TALKS * TICK_MS / 2,
			2 * (SUSPECT_TALKS * TICK_MS + SUSPECT_TALK_MS));
}

static void test_suspicion_that_goes_on_is_told_ever_more_seldom(void **state)
{
	struct load l = load_of(3, 10);
	uint64_t last_ms = 0, pause_ms = 0;
	uint32_t n = 0;

	(void)state;
	calm(&l, 20);
	l.opens[1] = 0;
	for (uint32_t i = 0; i < 3600 * 1000 / TICK_MS; i++) {
		if (tick(&l) == 0)
			continue;
		assert_true(last_ms == 0 || l.now_ms - last_ms >= SUSPECT_QUIET_MS);
		if (n > 1 && n < 6)
			assert_true(l.now_ms - last_ms > pause_ms);
		pause_ms = l.now_ms - last_ms;
		last_ms = l.now_ms;
		n++;
	}
	assert_in_range(n, 50, 80);
}

static void test_number_that_is_another_backends_now_begins_anew(void **state)
{
	struct load l = load_of(3, 10);

	(void)state;
	calm(&l, 20);
	l.counts[1] = (struct suspect_counts){0};
	calm(&l, 20);
}

static void test_counters_that_go_back_a_little_are_no_reason(void **state)
{
	struct load l = load_of(3, 10);

	(void)state;
	calm(&l, 20);
	l.counts[1].connected -= 15; /* `waiting` was read before `opened` */
	calm(&l, 1);
	l.counts[1].connected += 15;
	calm(&l, 20);
}

static void test_node_suspects_a_tenth_of_its_backends_a_second_at_most(void **state)
{
	(void)state;
	assert_int_equal(suspect_most(1), 1);
	assert_int_equal(suspect_most(59), 5);
	assert_int_equal(suspect_most(10000), 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_backend_that_goes_silent_under_load_is_suspected_within_a_second),
		cmocka_unit_test(test_one_that_opens_hardly_any_is_suspected_too),
		cmocka_unit_test(test_only_backend_of_its_pool_is_suspected_too),
		cmocka_unit_test(test_backends_that_all_go_silent_at_once_are_suspected),
		cmocka_unit_test(test_few_syns_suspect_nobody_until_they_are_enough),
		cmocka_unit_test(test_silence_without_syns_is_no_reason),
		cmocka_unit_test(test_burst_of_slow_clients_suspects_nobody),
		cmocka_unit_test(test_pause_between_two_looks_begins_anew),
		cmocka_unit_test(test_backend_that_was_away_begins_anew),
		cmocka_unit_test(test_backend_that_dies_again_and_again_is_suspected_each_time),
		cmocka_unit_test(test_flood_of_syns_suspects_nobody),
		cmocka_unit_test(test_flood_on_a_pool_without_other_traffic_suspects_nobody),
		cmocka_unit_test(test_flood_that_repeats_its_syns_suspects_nobody),
		cmocka_unit_test(test_backend_that_goes_silent_in_a_flood_is_suspected),
		cmocka_unit_test(test_syns_that_come_again_at_one_backend_make_it_suspect),
		cmocka_unit_test(test_backend_whose_clients_get_no_further_is_suspected_as_hung),
		cmocka_unit_test(test_backend_that_hangs_again_and_again_is_suspected_each_time),
		cmocka_unit_test(test_clients_that_say_little_to_all_backends_suspect_nobody),
		cmocka_unit_test(test_only_backend_of_its_pool_is_never_hung_by_its_packets),
		cmocka_unit_test(test_hung_backend_is_seen_among_others_of_other_habits),
		cmocka_unit_test(test_large_mail_now_and_then_makes_nothing_else_unusual),
		cmocka_unit_test(test_what_stays_so_becomes_usual),
		cmocka_unit_test(
			test_hung_backend_with_few_connections_is_suspected_once_they_are_enough),
		cmocka_unit_test(test_suspicion_that_goes_on_is_told_ever_more_seldom),
		cmocka_unit_test(test_number_that_is_another_backends_now_begins_anew),
		cmocka_unit_test(test_counters_that_go_back_a_little_are_no_reason),
		cmocka_unit_test(test_node_suspects_a_tenth_of_its_backends_a_second_at_most),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
