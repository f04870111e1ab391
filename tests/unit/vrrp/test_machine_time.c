/* SPDX-License-Identifier: BSD-2-Clause */
/* test_machine_time.c: the machine's time at the shortest interval: nothing before it is due, and
 * nothing lost in rounding.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vrrp/machine.h"

static struct vrrp_machine machine(uint8_t priority)
{
	struct vrrp_machine m = {.priority = priority, .advert_cs = 1, .preempt = true};

	addr_parse("192.0.2.1", &m.primary);
	return m;
}

static struct vrrp_actions step(struct vrrp_machine *m, enum vrrp_event event, uint64_t now_us)
{
	struct vrrp_actions a;

	vrrp_step(m, event, NULL, now_us, &a);
	return a;
}

static void hear(struct vrrp_machine *m, uint8_t priority, uint64_t now_us)
{
	struct vrrp_advert advert = {.vrid = 1, .priority = priority, .advert_cs = 1};
	struct vrrp_actions a;

	addr_parse("192.0.2.2", &advert.src);
	vrrp_step(m, VRRP_ADVERT, &advert, now_us, &a);
}

/* Down = 30 + 156 * 10 / 256 = 36.094 ms from the last good advert. */
static void test_shortest_interval_is_kept(void **state)
{
	struct vrrp_machine m = machine(100);
	int sent = 0;

	(void)state;
	step(&m, VRRP_STARTUP, 1000000);
	for (uint64_t t = 1005000; t < 2000000; t += 10000) {
		hear(&m, 200, t);
		for (uint64_t k = 0; k < 10000; k += 1000)
			assert_false(step(&m, VRRP_TIMER, t + k).send);
	}
	assert_int_equal(vrrp_due_us(&m), 1995000 + 36094);
	for (uint64_t t = 2005000; t < 3032000; t += 1000)
		sent += step(&m, VRRP_TIMER, t).send;
	assert_int_equal(sent, 100);
}

/* Whole milliseconds would make both wait for 31. */
static void test_better_priority_goes_first(void **state)
{
	struct vrrp_machine better = machine(254), worse = machine(253);

	(void)state;
	step(&better, VRRP_STARTUP, 1000000);
	step(&worse, VRRP_STARTUP, 1000000);
	assert_int_equal(vrrp_due_us(&better), 1000000 + 30079);
	assert_int_equal(vrrp_due_us(&worse), 1000000 + 30118);
}

/* Each is up to 0.3 ms late, the last by 25 ms. */
static void test_adverts_keep_their_rhythm(void **state)
{
	struct vrrp_machine m = machine(200);
	uint64_t sent_us;

	(void)state;
	step(&m, VRRP_RESUME, 1000000);
	for (uint64_t i = 1; i <= 100; i++) {
		assert_int_equal(vrrp_due_us(&m), 1000000 + i * 10000);
		assert_true(step(&m, VRRP_TIMER, vrrp_due_us(&m) + i % 4 * 100).send);
	}
	sent_us = vrrp_due_us(&m) + 25000; /* no burst makes up for what was missed */
	assert_true(step(&m, VRRP_TIMER, sent_us).send);
	assert_int_equal(vrrp_due_us(&m), sent_us + 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shortest_interval_is_kept),
		cmocka_unit_test(test_better_priority_goes_first),
		cmocka_unit_test(test_adverts_keep_their_rhythm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
