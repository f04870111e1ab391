/* SPDX-License-Identifier: BSD-2-Clause */
/* test_wheel.c: what must hold of the timers of checks (wheel.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/log.h"
#include "healthcheck/wheel.h"

enum { MANY = 50, SOON_MS = 30, ROUND_MS = 4096, LATE_MS = 500 };

struct one {
	struct wheel_timer timer;
	struct bench *bench;
	int called;
	uint64_t called_ms;
	struct one *unsets; /* in its call */
	bool again;	    /* sets itself at once, once */
};

struct bench {
	struct event_base *loop;
	struct wheel *wheel;
	int called;
	struct one ones[MANY];
};

static void on_due(void *owner)
{
	struct one *one = owner;

	assert_null(one->timer.link);
	one->called++;
	one->called_ms = clock_ms();
	one->bench->called++;
	if (one->unsets)
		wheel_unset(&one->unsets->timer);
	if (one->again) {
		one->again = false;
		wheel_set(one->bench->wheel, &one->timer, 0);
	}
}

static int set_up(void **state)
{
	static struct bench b;

	memset(&b, 0, sizeof(b));
	b.loop = event_base_new();
	b.wheel = wheel_new(b.loop);
	assert_true(b.loop && b.wheel);
	for (int i = 0; i < MANY; i++)
		b.ones[i] =
			(struct one){.timer = {.due = on_due, .owner = &b.ones[i]}, .bench = &b};
	*state = &b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	wheel_free(b->wheel);
	event_base_free(b->loop);
	return 0;
}

/* Turn the loop until @n calls were made, or for so long; how many of its turns made any. */
static int turns_with_calls(struct bench *b, int n, uint64_t until_ms)
{
	int turns = 0;

	while (b->called < n && clock_ms() < until_ms) {
		int before = b->called;

		event_base_loop(b->loop, EVLOOP_ONCE);
		turns += b->called > before;
	}
	return turns;
}

static void test_all_of_one_time_are_called_in_one_turn_and_never_early(void **state)
{
	struct bench *b = *state;
	uint64_t at_ms = clock_ms() + SOON_MS;

	for (int i = 0; i < MANY; i++)
		wheel_set(b->wheel, &b->ones[i].timer, at_ms);
	assert_int_equal(turns_with_calls(b, MANY, at_ms + LATE_MS), 1);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(b->ones[i].called, 1);
		assert_true(b->ones[i].called_ms >= at_ms);
	}
}

static void test_the_same_slot_of_a_later_round_is_not_due(void **state)
{
	struct bench *b = *state;
	uint64_t at_ms = clock_ms() + SOON_MS;

	wheel_set(b->wheel, &b->ones[0].timer, at_ms + ROUND_MS);
	wheel_set(b->wheel, &b->ones[1].timer, at_ms);
	wheel_set(b->wheel, &b->ones[2].timer, at_ms + SOON_MS);
	turns_with_calls(b, 2, at_ms + LATE_MS);
	assert_int_equal(b->ones[0].called, 0);
	assert_int_equal(b->ones[1].called, 1);
	assert_int_equal(b->ones[2].called, 1);
	turns_with_calls(b, 3, at_ms + ROUND_MS + LATE_MS);
	assert_int_equal(b->ones[0].called, 1);
	assert_true(b->ones[0].called_ms >= at_ms + ROUND_MS);
}

static void test_a_timer_that_is_set_again_moves_also_forward(void **state)
{
	struct bench *b = *state;
	uint64_t now_ms = clock_ms();

	wheel_set(b->wheel, &b->ones[0].timer, now_ms + ROUND_MS);
	wheel_set(b->wheel, &b->ones[0].timer, now_ms + SOON_MS);
	turns_with_calls(b, 1, now_ms + LATE_MS);
	assert_int_equal(b->ones[0].called, 1);
}

static void test_what_one_call_unsets_is_not_called(void **state)
{
	struct bench *b = *state;
	uint64_t at_ms = clock_ms() + SOON_MS;

	for (int i = 0; i < 2; i++) {
		b->ones[i].unsets = &b->ones[1 - i];
		wheel_set(b->wheel, &b->ones[i].timer, at_ms);
	}
	b->ones[2].again = true;
	wheel_set(b->wheel, &b->ones[2].timer, at_ms);
	turns_with_calls(b, 3, at_ms + LATE_MS);
	assert_int_equal(b->ones[0].called + b->ones[1].called, 1);
	assert_int_equal(b->ones[2].called, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_all_of_one_time_are_called_in_one_turn_and_never_early, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(test_the_same_slot_of_a_later_round_is_not_due,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_timer_that_is_set_again_moves_also_forward,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_one_call_unsets_is_not_called, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
