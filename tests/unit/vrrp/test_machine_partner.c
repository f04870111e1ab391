/* SPDX-License-Identifier: BSD-2-Clause */
/* test_machine_partner.c: what the machine makes of what is known of partners beside adverts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "vrrp/machine.h"

enum { ACTIVE_PRIORITY = 200, OURS = 100, WORSE = 50 };

static struct vrrp_actions step_us(struct vrrp_machine *m, enum vrrp_event event, uint64_t now_us)
{
	struct vrrp_actions a;

	vrrp_step(m, event, NULL, now_us, &a);
	return a;
}

static struct vrrp_actions step(struct vrrp_machine *m, enum vrrp_event event, uint64_t now_ms)
{
	return step_us(m, event, now_ms * 1000);
}

static void hear(struct vrrp_machine *m, uint8_t priority, uint64_t now_ms)
{
	struct vrrp_advert advert = {.vrid = 1, .priority = priority, .advert_cs = 100};
	struct vrrp_actions a;

	addr_parse("192.0.2.2", &advert.src);
	vrrp_step(m, VRRP_ADVERT, &advert, now_ms * 1000, &a);
}

/* machine: in that role, with an active node of that priority. */
static struct vrrp_machine machine(enum vrrp_role role, uint8_t active)
{
	struct vrrp_machine m = {.priority = OURS, .advert_cs = 100, .preempt = true};

	addr_parse("192.0.2.1", &m.primary);
	if (role == VRRP_ACTIVE)
		step(&m, VRRP_RESUME, 1000);
	if (role == VRRP_BACKUP) {
		step(&m, VRRP_STARTUP, 1000);
		hear(&m, active, 1000);
	}
	return m;
}

/* The timer of a backup: heard, preempting, told by a partner, with each witness. */
static void test_down_timer_asks_the_witness(void **state)
{
	static const struct {
		bool lives;
		uint8_t active;
		bool heir;
		enum vrrp_role role;
		uint32_t withheld;
		const char *reason;
	} rows[] = {
		{false, ACTIVE_PRIORITY, false, VRRP_ACTIVE, 0, "the active node is not heard"},
		{true, ACTIVE_PRIORITY, false, VRRP_BACKUP, 1, NULL},
		{false, WORSE, false, VRRP_ACTIVE, 0, "preempts a worse node"},
		{true, WORSE, false, VRRP_ACTIVE, 0, "preempts a worse node"},
		{false, ACTIVE_PRIORITY, true, VRRP_ACTIVE, 0, "the partner is dead"},
		{true, ACTIVE_PRIORITY, true, VRRP_ACTIVE, 0, "the partner is dead"},
		{false, WORSE, true, VRRP_ACTIVE, 0, "the partner is dead"},
		{true, WORSE, true, VRRP_ACTIVE, 0, "the partner is dead"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vrrp_machine m = machine(VRRP_BACKUP, rows[i].active);
		struct vrrp_actions a;
		uint64_t due;

		m.lives_until_us = rows[i].lives ? UINT64_MAX : 0;
		m.rank_ms = 10;
		if (rows[i].heir)
			assert_null(step(&m, VRRP_PARTNER_DEAD, 1500).reason);
		due = vrrp_due_us(&m);
		a = step_us(&m, VRRP_TIMER, due - 1);
		assert_int_equal(m.role, VRRP_BACKUP);
		a = step_us(&m, VRRP_TIMER, due);
		assert_int_equal(m.role, rows[i].role);
		assert_int_equal(m.withheld, rows[i].withheld);
		assert_true(a.reason == rows[i].reason || strcmp(a.reason, rows[i].reason) == 0);
		assert_true(vrrp_due_us(&m) > due);
	}
}

/* Not a whole down interval after it, and not before. */
static void test_withheld_takeover_comes_when_the_witness_is_gone(void **state)
{
	struct vrrp_machine m = machine(VRRP_BACKUP, ACTIVE_PRIORITY);
	uint64_t due_us = vrrp_due_us(&m), until_us = due_us;

	(void)state;
	for (int i = 0; i < 3; i++) {
		m.lives_until_us = until_us + 5000;
		step_us(&m, VRRP_TIMER, until_us);
		until_us += 5000;
		assert_int_equal(vrrp_due_us(&m), until_us);
		assert_int_equal(vrrp_overdue_us(&m, until_us), due_us);
	}
	assert_int_equal(m.withheld, 1); /* one silence */
	step_us(&m, VRRP_TIMER, until_us);
	assert_int_equal(m.role, VRRP_ACTIVE);
	assert_int_equal(vrrp_overdue_us(&m, until_us), 0);
}

/* Who is no longer asked does not hold it for ever. */
static void test_withheld_takeover_is_looked_at_again_after_another_down_interval(void **state)
{
	struct vrrp_machine m = machine(VRRP_BACKUP, ACTIVE_PRIORITY);
	uint64_t due_us = vrrp_due_us(&m);

	(void)state;
	m.lives_until_us = UINT64_MAX;
	step_us(&m, VRRP_TIMER, due_us);
	assert_int_equal(vrrp_due_us(&m), due_us + 3609375);
	m.lives_until_us = 0;
	step_us(&m, VRRP_TIMER, due_us + 3609375);
	assert_int_equal(m.role, VRRP_ACTIVE);
}

/* Adverts say that the active node is silent when they are missing, and only then. */
static void test_silence_begins_anew_with_each_advert(void **state)
{
	struct vrrp_machine m = machine(VRRP_BACKUP, ACTIVE_PRIORITY);
	uint64_t due_us = vrrp_due_us(&m);

	(void)state;
	assert_int_equal(vrrp_overdue_us(&m, due_us - 1), 0);
	assert_int_equal(vrrp_overdue_us(&m, due_us + 7), due_us);
	m.lives_until_us = UINT64_MAX;
	step_us(&m, VRRP_TIMER, due_us);
	hear(&m, ACTIVE_PRIORITY, 5000);
	assert_int_equal(vrrp_overdue_us(&m, 5000000), 0);
	step_us(&m, VRRP_TIMER, vrrp_due_us(&m));
	assert_int_equal(m.withheld, 2);
	hear(&m, 0, 9000); /* it resigns, or somebody forges that: it was heard just now */
	assert_int_equal(vrrp_overdue_us(&m, vrrp_due_us(&m)), 0);
	step_us(&m, VRRP_TIMER, vrrp_due_us(&m));
	assert_int_equal(m.role, VRRP_BACKUP);
}

/* Each event in each role: only a backup inherits; at once when nobody is better. */
static void test_partner_that_goes_is_replaced_by_a_backup_at_once(void **state)
{
	static const enum vrrp_event events[] = {VRRP_PARTNER_DEAD, VRRP_PARTNER_GONE,
						 VRRP_PARTNER_LEAVES};
	static const enum vrrp_role roles[] = {VRRP_INIT, VRRP_BACKUP, VRRP_ACTIVE};

	(void)state;
	for (size_t i = 0; i < 3 * 3; i++) {
		struct vrrp_machine m = machine(roles[i % 3], ACTIVE_PRIORITY);
		struct vrrp_actions a;

		m.lives_until_us = UINT64_MAX; /* of another partner, or not judged yet */
		a = step(&m, events[i / 3], 1500);
		if (roles[i % 3] == VRRP_BACKUP) {
			assert_int_equal(m.role, VRRP_ACTIVE);
			assert_true(a.add_addresses && a.send && a.send_priority == OURS &&
				    a.announce && a.reason);
			/* a dead one's place is taken before we can answer: nobody else does */
			assert_int_equal(a.urgent, events[i / 3] == VRRP_PARTNER_DEAD);
		} else {
			assert_int_equal(m.role, roles[i % 3]);
			assert_false(a.add_addresses || a.send || a.remove_addresses || a.reason);
		}
	}
}

static void test_better_candidate_goes_first_and_ends_our_turn(void **state)
{
	struct vrrp_machine m = machine(VRRP_BACKUP, ACTIVE_PRIORITY);

	(void)state;
	m.rank_ms = 10;
	step(&m, VRRP_PARTNER_DEAD, 1500);
	assert_int_equal(vrrp_due_us(&m), 1510000);
	hear(&m, 150, 1505); /* its advert */
	step(&m, VRRP_TIMER, 1510);
	assert_int_equal(m.role, VRRP_BACKUP);
	step(&m, VRRP_PARTNER_DEAD, 1600);
	step(&m, VRRP_PARTNER_ACTIVE, 1605); /* or its STATE */
	m.lives_until_us = UINT64_MAX;
	step(&m, VRRP_TIMER, 1610);
	assert_int_equal(m.role, VRRP_BACKUP);
}

static void test_preempt_delay_and_failover_do_not_delay_a_dead_partner(void **state)
{
	struct vrrp_machine m = machine(VRRP_BACKUP, WORSE);

	(void)state;
	m.preempt_delay_ms = 3600000;
	m.yielding = true;
	step(&m, VRRP_PARTNER_DEAD, 1500);
	assert_int_equal(m.role, VRRP_ACTIVE);
}

static void test_lingering_ends_when_the_partner_says_that_it_is_active(void **state)
{
	static const enum vrrp_event ends[] = {VRRP_FAILOVER, VRRP_SHUTDOWN};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct vrrp_machine m = machine(VRRP_ACTIVE, 0);

		step(&m, ends[i], 2000);
		assert_true(m.lingering);
		assert_true(step(&m, VRRP_PARTNER_ACTIVE, 2002).remove_addresses);
		assert_false(m.lingering);
		assert_false(step(&m, VRRP_PARTNER_ACTIVE, 2100).remove_addresses);
	}
}

static void test_stuck_active_node_steps_back_and_nobody_else(void **state)
{
	struct vrrp_machine m = machine(VRRP_ACTIVE, 0);
	struct vrrp_actions a = step(&m, VRRP_STUCK, 5000);

	(void)state;
	assert_int_equal(m.role, VRRP_BACKUP);
	assert_true(a.remove_addresses && !a.send && a.reason);
	assert_null(step(&m, VRRP_STUCK, 5001).reason);
	m = machine(VRRP_INIT, 0);
	assert_null(step(&m, VRRP_STUCK, 5000).reason);
	assert_int_equal(m.role, VRRP_INIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_down_timer_asks_the_witness),
		cmocka_unit_test(test_withheld_takeover_comes_when_the_witness_is_gone),
		cmocka_unit_test(
			test_withheld_takeover_is_looked_at_again_after_another_down_interval),
		cmocka_unit_test(test_silence_begins_anew_with_each_advert),
		cmocka_unit_test(test_partner_that_goes_is_replaced_by_a_backup_at_once),
		cmocka_unit_test(test_better_candidate_goes_first_and_ends_our_turn),
		cmocka_unit_test(test_preempt_delay_and_failover_do_not_delay_a_dead_partner),
		cmocka_unit_test(test_lingering_ends_when_the_partner_says_that_it_is_active),
		cmocka_unit_test(test_stuck_active_node_steps_back_and_nobody_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
