/* SPDX-License-Identifier: BSD-2-Clause */
/* test_queue.c: what must hold of a hook's queue, with a clock that the test moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "programs/queue.h"

static struct change numbered(int64_t n)
{
	return (struct change){.since_s = n};
}

static void add(struct queue *q, int64_t n)
{
	struct change c = numbered(n);

	queue_add(q, &c);
}

/* next_is: this change is to be tried at @now_ms. */
static void next_is(struct queue *q, uint64_t now_ms, int64_t n)
{
	uint64_t wait_ms;
	const struct change *c = queue_next(q, now_ms, &wait_ms);

	assert_non_null(c);
	assert_int_equal(c->since_s, n);
}

static void test_changes_are_told_in_order_one_at_a_time(void **state)
{
	struct queue q;
	uint64_t wait_ms;

	(void)state;
	queue_init(&q, 0);
	add(&q, 1);
	add(&q, 2);
	next_is(&q, 10, 1);
	assert_null(queue_next(&q, 10, &wait_ms));
	assert_true(wait_ms == UINT64_MAX);
	assert_true(queue_ended(&q, QUEUE_DONE, 20));
	next_is(&q, 20, 2);
	assert_true(queue_ended(&q, QUEUE_DONE, 30));
	assert_null(queue_next(&q, 40, &wait_ms));
	assert_int_equal(q.done, 2);
	assert_int_equal(q.again, 0);
	queue_fini(&q);
}

static void test_failed_try_is_made_again_later_and_given_up_after_three(void **state)
{
	struct queue q;
	uint64_t wait_ms;

	(void)state;
	queue_init(&q, 0);
	add(&q, 1);
	add(&q, 2);
	next_is(&q, 100, 1);
	assert_false(queue_ended(&q, QUEUE_FAILED, 100));
	assert_null(queue_next(&q, 1099, &wait_ms));
	assert_int_equal(wait_ms, 1);
	next_is(&q, 1100, 1);
	assert_false(queue_ended(&q, QUEUE_FAILED, 1100));
	assert_null(queue_next(&q, 6099, &wait_ms));
	next_is(&q, 6100, 1);
	assert_true(queue_ended(&q, QUEUE_FAILED, 6100));
	assert_int_equal(q.failed, 1);
	next_is(&q, 6100, 2); /* without waiting for the other's back-off */
	queue_fini(&q);
}

static void test_refused_change_is_not_tried_again(void **state)
{
	struct queue q;

	(void)state;
	queue_init(&q, 0);
	add(&q, 1);
	next_is(&q, 0, 1);
	assert_true(queue_ended(&q, QUEUE_REFUSED, 0));
	assert_int_equal(q.failed, 1);
	assert_int_equal(q.n, 0);
	queue_fini(&q);
}

static void test_full_queue_drops_the_oldest_that_waits_and_counts(void **state)
{
	struct queue q;

	(void)state;
	queue_init(&q, 0);
	add(&q, 0);
	next_is(&q, 0, 0);
	for (int64_t n = 1; n < QUEUE_MOST; n++)
		add(&q, n);
	assert_int_equal(q.dropped, 0);
	add(&q, QUEUE_MOST); /* drops 1: 0 is under way */
	assert_int_equal(q.dropped, 1);
	assert_int_equal(q.n, QUEUE_MOST);
	assert_false(queue_ended(&q, QUEUE_FAILED, 0));
	add(&q, QUEUE_MOST + 1); /* drops 2: 0 was tried */
	next_is(&q, 1000, 0);
	queue_ended(&q, QUEUE_DONE, 1000);
	next_is(&q, 1000, 3);
	queue_fini(&q);
}

static void test_rate_is_a_burst_and_then_ten_a_second(void **state)
{
	struct queue q;
	uint64_t wait_ms, now_ms = 5000;

	(void)state;
	queue_init(&q, now_ms);
	for (int64_t n = 0; n < QUEUE_BURST + 20; n++)
		add(&q, n);
	for (int64_t n = 0; n < QUEUE_BURST; n++) {
		next_is(&q, now_ms, n);
		queue_ended(&q, QUEUE_DONE, now_ms);
	}
	assert_null(queue_next(&q, now_ms, &wait_ms));
	assert_int_equal(wait_ms, 100);
	assert_null(queue_next(&q, now_ms + 99, &wait_ms));
	assert_int_equal(wait_ms, 1);
	now_ms += 1000;
	for (int64_t n = 0; n < QUEUE_RATE; n++) {
		next_is(&q, now_ms, QUEUE_BURST + n);
		queue_ended(&q, QUEUE_DONE, now_ms);
	}
	assert_null(queue_next(&q, now_ms, &wait_ms));
	queue_fini(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes_are_told_in_order_one_at_a_time),
		cmocka_unit_test(test_failed_try_is_made_again_later_and_given_up_after_three),
		cmocka_unit_test(test_refused_change_is_not_tried_again),
		cmocka_unit_test(test_full_queue_drops_the_oldest_that_waits_and_counts),
		cmocka_unit_test(test_rate_is_a_burst_and_then_ten_a_second),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
