/* SPDX-License-Identifier: BSD-2-Clause */
/* test_machine.c: what must hold of the state machine, with a clock of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "vrrp/machine.h"

static struct vrrp_machine machine(uint8_t priority)
{
	struct vrrp_machine m = {.priority = priority,
				 .advert_cs = 100,
				 .preempt = true,
				 .garp = {.count = 3, .delay_ms = 1000}};

	addr_parse("192.0.2.1", &m.primary);
	return m;
}

static struct vrrp_advert heard(uint8_t priority, const char *src)
{
	struct vrrp_advert a = {.vrid = 1, .priority = priority, .advert_cs = 100};

	addr_parse(src, &a.src);
	return a;
}

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

static struct vrrp_actions step_when_due(struct vrrp_machine *m)
{
	return step_us(m, VRRP_TIMER, vrrp_due_us(m));
}

static struct vrrp_actions hear(struct vrrp_machine *m, uint8_t priority, const char *src,
				uint64_t now_ms)
{
	struct vrrp_advert advert = heard(priority, src);
	struct vrrp_actions a;

	vrrp_step(m, VRRP_ADVERT, &advert, now_ms * 1000, &a);
	return a;
}

/* RFC 9568 6.1: down = 3 * interval + (256 - 100) * interval / 256 = 3,609.375 ms. */
static void test_backup_takes_over_after_the_down_interval_and_not_before(void **state)
{
	struct vrrp_machine m = machine(100);
	struct vrrp_actions a;

	(void)state;
	step(&m, VRRP_STARTUP, 1000);
	assert_int_equal(m.role, VRRP_BACKUP);
	assert_int_equal(vrrp_due_us(&m), 1000000 + 3609375);
	a = step_us(&m, VRRP_TIMER, 4609374);
	assert_true(m.role == VRRP_BACKUP && !a.send && !a.add_addresses);
	a = step_us(&m, VRRP_TIMER, 4609375);
	assert_int_equal(m.role, VRRP_ACTIVE);
	assert_true(a.add_addresses && a.send && a.send_priority == 100 && a.announce);
	assert_false(a.remove_addresses);
	assert_int_equal(vrrp_due_us(&m), 5609375);
}

/* Who still answers must not lose the traffic before the addresses are there. */
static void test_addresses_come_last_only_when_nobody_answers_for_them(void **state)
{
	static const struct {
		uint8_t priority, last; /* of the active node; its last advert */
		bool urgent;
	} rows[] = {{200, 200, true}, {200, 0, false}, {50, 50, false}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vrrp_machine m = machine(100);
		struct vrrp_actions a;

		step(&m, VRRP_STARTUP, 1000);
		hear(&m, rows[i].priority, "192.0.2.2", 1500);
		hear(&m, rows[i].last, "192.0.2.2", 2000);
		a = step_when_due(&m);
		assert_int_equal(m.role, VRRP_ACTIVE);
		assert_true(a.add_addresses && a.announce);
		assert_int_equal(a.urgent, rows[i].urgent);
	}
}

static void test_node_that_resigned_and_died_later_is_dead(void **state)
{
	struct vrrp_machine m = machine(100);

	(void)state;
	step(&m, VRRP_STARTUP, 1000);
	hear(&m, 0, "192.0.2.2", 1500);
	hear(&m, 200, "192.0.2.2", 1600);
	assert_true(step_when_due(&m).urgent);
}

static void test_backup_adopts_the_interval_of_the_active_node(void **state)
{
	struct vrrp_machine m = machine(100);
	struct vrrp_advert fast = heard(200, "192.0.2.2");
	struct vrrp_actions a;

	(void)state;
	step(&m, VRRP_STARTUP, 1000);
	fast.advert_cs = 10;
	vrrp_step(&m, VRRP_ADVERT, &fast, 2000000, &a);
	assert_int_equal(vrrp_due_us(&m), 2000000 + 360938);
}

static void test_priority_zero_shortens_the_wait_to_the_skew(void **state)
{
	struct vrrp_machine m = machine(100);

	(void)state;
	step(&m, VRRP_STARTUP, 1000);
	hear(&m, 200, "192.0.2.2", 1500);
	hear(&m, 0, "192.0.2.2", 2000);
	assert_int_equal(vrrp_due_us(&m), 2000000 + 609375);
}

static void test_better_node_preempts_only_when_it_may(void **state)
{
	(void)state;
	for (int preempt = 0; preempt < 2; preempt++) {
		struct vrrp_machine m = machine(200);

		m.preempt = preempt;
		step(&m, VRRP_STARTUP, 0);
		for (uint64_t t = 100; t < 20000; t += 1000) {
			hear(&m, 100, "192.0.2.2", t);
			step(&m, VRRP_TIMER, t + 500);
		}
		assert_int_equal(m.role, preempt ? VRRP_ACTIVE : VRRP_BACKUP);
	}
}

static void test_preempt_delay_holds_a_better_node_back(void **state)
{
	struct vrrp_machine m = machine(200);
	uint64_t t;

	(void)state;
	m.preempt_delay_ms = 10000;
	step(&m, VRRP_STARTUP, 0);
	for (t = 1000; m.role != VRRP_ACTIVE && t < 60000; t += 1000) {
		hear(&m, 100, "192.0.2.2", t);
		step(&m, VRRP_TIMER, t + 999);
	}
	assert_true(t >= 11000 && t <= 16000);
}

static void test_preempt_delay_does_not_delay_a_dead_partner(void **state)
{
	struct vrrp_machine m = machine(200);

	(void)state;
	m.preempt_delay_ms = 3600000;
	step(&m, VRRP_STARTUP, 0);
	hear(&m, 100, "192.0.2.2", 1000);
	step_when_due(&m);
	assert_int_equal(m.role, VRRP_ACTIVE);
}

static void test_active_steps_back_for_a_better_node_and_for_the_higher_address(void **state)
{
	static const struct {
		uint8_t priority;
		const char *src;
		enum vrrp_role role;
	} rows[] = {
		{101, "192.0.2.0", VRRP_BACKUP}, {100, "192.0.2.2", VRRP_BACKUP},
		{100, "192.0.2.0", VRRP_ACTIVE}, {99, "192.0.2.2", VRRP_ACTIVE},
		{0, "192.0.2.2", VRRP_ACTIVE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vrrp_machine m = machine(100);
		struct vrrp_actions a;

		step(&m, VRRP_STARTUP, 0);
		step_when_due(&m);
		a = hear(&m, rows[i].priority, rows[i].src, 10000);
		assert_int_equal(m.role, rows[i].role);
		assert_int_equal(a.remove_addresses, rows[i].role == VRRP_BACKUP);
		assert_int_equal(a.send, rows[i].role == VRRP_ACTIVE);
	}
}

static void test_flood_of_worse_adverts_is_not_answered_one_by_one(void **state)
{
	struct vrrp_machine m = machine(100);
	int sent = 0;

	(void)state;
	step(&m, VRRP_RESUME, 1000);
	for (int i = 0; i < 1000; i++)
		sent += hear(&m, 1, "192.0.2.9", 2000 + (uint64_t)i / 100).send;
	for (int i = 0; i < 1000; i++)
		sent += hear(&m, 0, "192.0.2.9", 2500 + (uint64_t)i / 1000).send;
	assert_int_equal(sent, 2);
	assert_int_equal(m.role, VRRP_ACTIVE);
}

static void test_owner_is_active_at_once(void **state)
{
	struct vrrp_machine m = machine(255);

	(void)state;
	assert_true(step(&m, VRRP_STARTUP, 0).add_addresses);
	assert_int_equal(m.role, VRRP_ACTIVE);
}

static void test_resumed_process_goes_on_as_active_with_an_advert(void **state)
{
	struct vrrp_machine m = machine(100);
	struct vrrp_actions a = step(&m, VRRP_RESUME, 5000);

	(void)state;
	assert_true(m.role == VRRP_ACTIVE && a.send && a.add_addresses && a.announce);
}

static void test_resigning_node_answers_until_the_partner_is_heard(void **state)
{
	struct vrrp_machine m = machine(200);
	struct vrrp_actions a;

	(void)state;
	step(&m, VRRP_RESUME, 1000);
	a = step(&m, VRRP_SHUTDOWN, 2000);
	assert_true(a.send && a.send_priority == 0 && !a.remove_addresses && m.lingering);
	assert_int_equal(m.role, VRRP_INIT);
	a = hear(&m, 100, "192.0.2.2", 2010);
	assert_true(a.remove_addresses && !m.lingering && !a.send);
	assert_int_equal(vrrp_due_us(&m), 0);
}

static void test_resigning_node_does_not_wait_for_ever(void **state)
{
	struct vrrp_machine m = machine(200);

	(void)state;
	step(&m, VRRP_RESUME, 1000);
	step(&m, VRRP_SHUTDOWN, 2000);
	assert_true(vrrp_due_us(&m) <= 4000000);
	assert_true(step_when_due(&m).remove_addresses);
	assert_false(m.lingering);
}

static void test_failover_is_not_taken_back_while_the_partner_lives(void **state)
{
	struct vrrp_machine m = machine(200);
	struct vrrp_actions a;
	uint64_t t;

	(void)state;
	step(&m, VRRP_RESUME, 1000);
	a = step(&m, VRRP_FAILOVER, 2000);
	assert_true(a.send && a.send_priority == 0 && m.role == VRRP_BACKUP && m.lingering);
	for (t = 2500; t < 60000; t += 1000) {
		a = hear(&m, 100, "192.0.2.2", t);
		assert_int_equal(a.remove_addresses, t == 2500);
		step(&m, VRRP_TIMER, t + 999);
		assert_int_equal(m.role, VRRP_BACKUP);
	}
	step_when_due(&m);
	assert_int_equal(m.role, VRRP_ACTIVE);
}

static void test_failover_without_a_partner_comes_back(void **state)
{
	struct vrrp_machine m = machine(200);

	(void)state;
	step(&m, VRRP_RESUME, 1000);
	step(&m, VRRP_FAILOVER, 2000);
	step_when_due(&m);
	assert_int_equal(m.role, VRRP_ACTIVE);
}

static void test_lost_link_ends_the_role_and_the_addresses(void **state)
{
	struct vrrp_machine m = machine(200);
	struct vrrp_actions a;

	(void)state;
	step(&m, VRRP_RESUME, 1000);
	a = step(&m, VRRP_LINK_LOST, 2000);
	assert_true(a.remove_addresses && !a.send && m.role == VRRP_INIT);
	assert_int_equal(vrrp_due_us(&m), 0);
	step(&m, VRRP_STARTUP, 3000);
	assert_int_equal(m.role, VRRP_BACKUP);
}

static void test_announcements_are_repeated_and_end(void **state)
{
	struct vrrp_machine m = machine(200);
	int announced = 0;

	(void)state;
	announced += step(&m, VRRP_RESUME, 0).announce;
	for (uint64_t t = 1; t < 60000; t++)
		announced += step(&m, VRRP_TIMER, t).announce;
	assert_int_equal(announced, 3);
}

static void test_announcements_follow_the_schedule(void **state)
{
	static const struct {
		struct config_garp garp;
		uint64_t at[6]; /* after the first */
	} rows[] = {
		{{.count = 3, .delay_ms = 1000}, {1000, 3000}},
		{{.count = 4, .delay_ms = 10}, {10, 30, 60}},
		{{.count = 1, .delay_ms = 1000}, {0}},
		{{.count = 2, .delay_ms = 100, .refresh_ms = 5000}, {100, 5100, 10100, 15100}},
		{{.count = 1, .delay_ms = 1000, .refresh_ms = 6000}, {6000, 12000, 18000}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vrrp_machine m = machine(200);
		size_t n = 0;

		m.garp = rows[i].garp;
		assert_true(step(&m, VRRP_RESUME, 1).announce);
		for (uint64_t t = 2; t < 20000; t++) {
			if (step(&m, VRRP_TIMER, t).announce)
				assert_int_equal(t - 1, rows[i].at[n++]);
		}
		assert_int_equal(rows[i].at[n], 0);
	}
}

/* RFC 3768 6.1: skew = (256 - priority) / 256 s, whatever the interval. */
static void test_version_2_skew_does_not_depend_on_the_interval(void **state)
{
	struct vrrp_machine m = machine(100);

	(void)state;
	m.version = 2;
	m.advert_cs = 500;
	step(&m, VRRP_STARTUP, 1000);
	assert_int_equal(vrrp_due_us(&m), 1000000 + 15000000 + 609375);
}

/* RFC 9568 6.1: the owner always preempts; 7.1: nobody's advert makes it step back. */
static void test_owner_never_waits_and_never_steps_back(void **state)
{
	struct vrrp_machine m = machine(255);
	struct vrrp_actions a;

	(void)state;
	step(&m, VRRP_STARTUP, 0);
	a = hear(&m, 255, "192.0.2.9", 10000);
	assert_true(m.role == VRRP_ACTIVE && a.send && a.split);
	/* An operator made it so while it was a backup that may not preempt. */
	m = machine(100);
	m.preempt = false;
	m.preempt_delay_ms = 3600000;
	step(&m, VRRP_STARTUP, 0);
	hear(&m, 200, "192.0.2.9", 1000);
	m.priority = 255;
	for (uint64_t t = 2000; t < 8000 && m.role != VRRP_ACTIVE; t += 1000) {
		hear(&m, 200, "192.0.2.9", t);
		step(&m, VRRP_TIMER, t + 999);
	}
	assert_int_equal(m.role, VRRP_ACTIVE);
}

static void test_operators_failover_makes_even_an_owner_yield(void **state)
{
	struct vrrp_machine m = machine(255);

	(void)state;
	step(&m, VRRP_STARTUP, 0);
	step(&m, VRRP_FAILOVER, 1000);
	for (uint64_t t = 1100; t < 20000; t += 1000) {
		hear(&m, 100, "192.0.2.9", t);
		step(&m, VRRP_TIMER, t + 500);
	}
	assert_int_equal(m.role, VRRP_BACKUP);
}

static void test_split_is_announced_at_once_and_on_schedule_and_counted(void **state)
{
	struct vrrp_machine m = machine(200);
	struct vrrp_actions a;
	uint64_t announced[8] = {0};
	size_t n = 0;

	(void)state;
	step(&m, VRRP_RESUME, 1000);
	for (uint64_t t = 1001; t < 60000; t++)
		step(&m, VRRP_TIMER, t);
	a = hear(&m, 100, "192.0.2.9", 60000);
	assert_true(a.split && a.announce && a.send && vrrp_is_split(&m, 60000000));
	assert_int_equal(vrrp_due_us(&m), 61000000);
	for (uint64_t t = 60001; t < 80000; t++) {
		a = step(&m, VRRP_TIMER, t);
		if (a.announce && n < 8)
			announced[n++] = t;
		if (t == 60500)
			assert_false(hear(&m, 100, "192.0.2.9", t).split); /* the same one */
	}
	assert_true(n == 2 && announced[0] == 61000 && announced[1] == 63000);
	assert_false(vrrp_is_split(&m, 80000000));
	assert_int_equal(m.splits, 1);
	assert_int_equal(vrrp_split_us(&m), 501000);
	assert_true(hear(&m, 100, "192.0.2.9", 80000).split);
	hear(&m, 201, "192.0.2.8", 80100);
	assert_int_equal(m.role, VRRP_BACKUP);
	assert_int_equal(m.splits, 2);
	assert_int_equal(vrrp_split_us(&m), 502000);
}

/* The old active node's last adverts cross the first of the new one. */
static void test_handover_is_no_split(void **state)
{
	struct vrrp_machine m = machine(200);

	(void)state;
	step(&m, VRRP_STARTUP, 1000);
	for (uint64_t t = 1500; m.role != VRRP_ACTIVE; t++) {
		if (t % 1000 == 500)
			hear(&m, 100, "192.0.2.9", t);
		step(&m, VRRP_TIMER, t);
	}
	hear(&m, 100, "192.0.2.9", m.active_us / 1000 + 3);
	assert_int_equal(m.splits, 0);
}

/* Two nodes on a wire that delays by up to 20 ms and loses one advert in ten: after start, a crash
 * of the better and its return there is one active node, and two only within a second of the crash
 * or the return.
 */
static void test_two_nodes_agree_on_one_active_over_a_bad_wire(void **state)
{
	struct vrrp_machine m[2];
	struct {
		uint64_t at;
		uint8_t priority;
		int to;
	} wire[64] = {0};
	unsigned seed = 1;
	uint64_t both_ms = 0, none_ms = 0;

	(void)state;
	m[0] = machine(200);
	m[1] = machine(100);
	addr_parse("192.0.2.2", &m[1].primary);
	step(&m[0], VRRP_STARTUP, 1);
	step(&m[1], VRRP_STARTUP, 1);
	for (uint64_t t = 2; t < 120000; t++) {
		if (t == 40000)
			m[0].role = VRRP_INIT, m[0].timer_us = m[0].announce_us = 0; /* crash */
		if (t == 80000)
			step(&m[0], VRRP_STARTUP, t);
		for (int i = 0; i < 2; i++) {
			struct vrrp_actions a = step(&m[i], VRRP_TIMER, t);

			for (int k = 0; k < 64; k++) {
				if (wire[k].at == t && wire[k].to == i && m[i].role != VRRP_INIT) {
					struct vrrp_actions b =
						hear(&m[i], wire[k].priority,
						     i ? "192.0.2.1" : "192.0.2.2", t);
					if (b.send)
						a = b;
				}
			}
			if (a.send && rand_r(&seed) % 10 != 0) {
				int k = rand_r(&seed) % 64;

				wire[k].at = t + 1 + (uint64_t)rand_r(&seed) % 20;
				wire[k].priority = a.send_priority;
				wire[k].to = 1 - i;
			}
		}
		both_ms += m[0].role == VRRP_ACTIVE && m[1].role == VRRP_ACTIVE;
		none_ms += m[0].role != VRRP_ACTIVE && m[1].role != VRRP_ACTIVE;
	}
	assert_true(m[0].role == VRRP_ACTIVE && m[1].role == VRRP_BACKUP);
	assert_true(both_ms < 1500);
	assert_true(none_ms < 3300 + 3700); /* the start, and the crash */
}

static void test_group_takes_a_backup_along_and_hands_over_without_a_gap(void **state)
{
	struct vrrp_machine m = machine(100);
	struct vrrp_actions a;

	(void)state;
	step(&m, VRRP_GROUP_ACTIVE, 500);
	assert_int_equal(m.role, VRRP_INIT); /* it does not run */
	step(&m, VRRP_STARTUP, 1000);
	a = step(&m, VRRP_GROUP_ACTIVE, 1001);
	assert_int_equal(m.role, VRRP_ACTIVE);
	assert_true(a.add_addresses && a.announce && a.send && a.send_priority == 100);
	assert_false(a.urgent);
	a = step(&m, VRRP_GROUP_BACKUP, 2000);
	assert_int_equal(m.role, VRRP_BACKUP);
	assert_true(a.send && a.send_priority == 0 && !a.remove_addresses && !m.yielding);
	a = hear(&m, 200, "192.0.2.2", 2001);
	assert_true(a.remove_addresses);
	m.group_urgent = true;
	a = step(&m, VRRP_GROUP_ACTIVE, 2100);
	assert_true(a.urgent);
	step(&m, VRRP_GROUP_BACKUP, 2200);
	a = step(&m, VRRP_STUCK, 2201); /* the partner has it already */
	assert_true(a.remove_addresses && !m.lingering);
}

static void test_yielding_ends_when_the_active_node_gets_worse(void **state)
{
	struct vrrp_machine m = machine(200);
	uint64_t t = 1000;

	(void)state;
	step(&m, VRRP_STARTUP, 0);
	step(&m, VRRP_FAILOVER, 1);
	for (; t < 20000; t += 1000)
		hear(&m, 120, "192.0.2.2", t);
	assert_true(m.yielding && m.role == VRRP_BACKUP);
	hear(&m, 70, "192.0.2.2", t); /* a track of it failed */
	assert_false(m.yielding);
	step_when_due(&m);
	assert_int_equal(m.role, VRRP_ACTIVE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses_come_last_only_when_nobody_answers_for_them),
		cmocka_unit_test(test_node_that_resigned_and_died_later_is_dead),
		cmocka_unit_test(test_backup_takes_over_after_the_down_interval_and_not_before),
		cmocka_unit_test(test_backup_adopts_the_interval_of_the_active_node),
		cmocka_unit_test(test_priority_zero_shortens_the_wait_to_the_skew),
		cmocka_unit_test(test_better_node_preempts_only_when_it_may),
		cmocka_unit_test(test_preempt_delay_holds_a_better_node_back),
		cmocka_unit_test(test_preempt_delay_does_not_delay_a_dead_partner),
		cmocka_unit_test(
			test_active_steps_back_for_a_better_node_and_for_the_higher_address),
		cmocka_unit_test(test_flood_of_worse_adverts_is_not_answered_one_by_one),
		cmocka_unit_test(test_owner_is_active_at_once),
		cmocka_unit_test(test_resumed_process_goes_on_as_active_with_an_advert),
		cmocka_unit_test(test_resigning_node_answers_until_the_partner_is_heard),
		cmocka_unit_test(test_resigning_node_does_not_wait_for_ever),
		cmocka_unit_test(test_failover_is_not_taken_back_while_the_partner_lives),
		cmocka_unit_test(test_failover_without_a_partner_comes_back),
		cmocka_unit_test(test_lost_link_ends_the_role_and_the_addresses),
		cmocka_unit_test(test_announcements_are_repeated_and_end),
		cmocka_unit_test(test_announcements_follow_the_schedule),
		cmocka_unit_test(test_version_2_skew_does_not_depend_on_the_interval),
		cmocka_unit_test(test_owner_never_waits_and_never_steps_back),
		cmocka_unit_test(test_operators_failover_makes_even_an_owner_yield),
		cmocka_unit_test(test_split_is_announced_at_once_and_on_schedule_and_counted),
		cmocka_unit_test(test_handover_is_no_split),
		cmocka_unit_test(test_two_nodes_agree_on_one_active_over_a_bad_wire),
		cmocka_unit_test(test_group_takes_a_backup_along_and_hands_over_without_a_gap),
		cmocka_unit_test(test_yielding_ends_when_the_active_node_gets_worse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
