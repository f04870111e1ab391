/* SPDX-License-Identifier: BSD-2-Clause */
/* test_switch.c: what must hold of the message switch: what a child may not say reaches nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tests/unit/parent/stand_in.h"
#include "tests/unit/programs/block.h"

struct heard {
	uint32_t passed[ROLE_COUNT], refused, tallies, turns;
};

static struct heard heard; /* what the supervisor was asked for */

void supervisor_send(struct parent *p, enum parent_role to, enum message_type type,
		     const void *payload, int fd)
{
	(void)p;
	(void)payload;
	assert_int_equal(fd, -1);
	heard.tallies += type == MESSAGE_TALLY;
	heard.turns += type == MESSAGE_TURN;
	heard.passed[to]++;
}

void supervisor_answered(struct process *c)
{
	(void)c;
}

void upgrade_ask(struct parent *p, uint32_t request)
{
	(void)p;
	(void)request;
}

void supervisor_refuse(struct process *from, enum message_type type)
{
	(void)from;
	(void)type;
	heard.refused++;
}

static const struct child child = {.role = "child"};

static int setup(void **state)
{
	struct parent *p = calloc(1, sizeof(*p));
	struct block *block = block_new(true);

	p->config = &block->config;
	p->memory = memory_new();
	for (int role = 0; role < ROLE_COUNT; role++)
		p->processes[role] = (struct process){
			.parent = p, .child = &child, .role = (enum parent_role)role};
	heard = (struct heard){0};
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct parent *p = *state;

	memory_free(p->memory);
	free(p->config);
	free(p);
	return 0;
}

static struct message_health health(void)
{
	struct message_health m = {.pool = "mx",
				   .backend = "mx1",
				   .health = HEALTH_DOWN,
				   .weight = 100,
				   .since_s = 1,
				   .verdict = "fail",
				   .text = "421 bye"};

	return m;
}

static uint32_t said(struct parent *p, enum parent_role from, enum message_type type,
		     const void *payload)
{
	uint32_t before = heard.refused;

	switch_message(&p->processes[from], type, payload, -1);
	return heard.refused - before;
}

static void test_good_health_reaches_lb_and_programs(void **state)
{
	struct message_health m = health();

	assert_int_equal(said(*state, ROLE_HEALTHCHECK, MESSAGE_HEALTH, &m), 0);
	assert_int_equal(heard.passed[ROLE_LB], 1);
	assert_int_equal(heard.passed[ROLE_PROGRAMS], 1);
	strcpy(m.backend, "gone"); /* it crossed a reload */
	assert_int_equal(said(*state, ROLE_HEALTHCHECK, MESSAGE_HEALTH, &m), 0);
	assert_int_equal(heard.passed[ROLE_LB], 1);
}

static void test_health_that_would_harm_who_shows_it_is_refused(void **state)
{
	struct message_health wrong[10];
	uint32_t n = 0;

	for (size_t i = 0; i < 10; i++)
		wrong[i] = health();
	memset(wrong[n++].text, 'x', VERDICT_TEXT);
	strcpy(wrong[n++].text, "\033[2J");
	strcpy(wrong[n++].text, "\xff");
	strcpy(wrong[n++].verdict, "fail\nforged");
	strcpy(wrong[n++].said[SAYER_FLAP].text, "\r");
	wrong[n++].since_s = INT64_MIN;
	wrong[n++].since_s = INT64_MAX;
	wrong[n++].said[SAYER_PROBE].since_s = -1;
	wrong[n++].weight = 0;
	wrong[n++].health = 4;
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(said(*state, ROLE_HEALTHCHECK, MESSAGE_HEALTH, &wrong[i]), 1);
	assert_int_equal(heard.passed[ROLE_LB] + heard.passed[ROLE_PROGRAMS], 0);
}

static void test_no_child_speaks_for_another(void **state)
{
	struct message_vrrp vrrp = {.instance = "v4", .role = VRRP_ACTIVE};
	struct message_health m = health();
	struct message_reload reload = {0};

	assert_int_equal(said(*state, ROLE_HEALTHCHECK, MESSAGE_VRRP, &vrrp), 1);
	assert_int_equal(said(*state, ROLE_PROGRAMS, MESSAGE_HEALTH, &m), 1);
	assert_int_equal(said(*state, ROLE_HEALTHCHECK, MESSAGE_RELOAD, &reload), 1);
	assert_int_equal(said(*state, ROLE_HEALTHCHECK, MESSAGE_CONFIG, &reload), 1);
	assert_int_equal(said(*state, ROLE_VRRP, MESSAGE_VRRP, &vrrp), 0);
}

/* A brief tells each turn that is remembered: the last ones of each instance. */
static void test_last_turns_of_a_role_are_remembered(void **state)
{
	struct parent *p = *state;
	struct message_turn m = {.instance = "v4", .to = VRRP_ACTIVE, .at_ms = 1000};
	uint32_t before;

	for (m.number = 1; m.number <= 3 * TURNS; m.number++)
		assert_int_equal(said(p, ROLE_VRRP, MESSAGE_TURN, &m), 0);
	assert_int_equal(heard.turns, 3 * TURNS);
	before = heard.turns;
	switch_brief(&p->processes[ROLE_LB]);
	assert_int_equal(heard.turns - before, TURNS);
	m.to = VRRP_ACTIVE + 1;
	assert_int_equal(said(p, ROLE_VRRP, MESSAGE_TURN, &m), 1);
	m.to = VRRP_ACTIVE;
	assert_int_equal(said(p, ROLE_LB, MESSAGE_TURN, &m), 1);
	strcpy(m.reason, "\033");
	assert_int_equal(said(p, ROLE_VRRP, MESSAGE_TURN, &m), 1);
	strcpy(m.reason, "");
	m.at_ms = INT64_MIN;
	assert_int_equal(said(p, ROLE_VRRP, MESSAGE_TURN, &m), 1);
}

static void test_names_without_an_end_are_refused_of_everybody(void **state)
{
	struct message_probe probe = {.request = 1};
	struct message_failover failover = {0};
	struct message_run run = {.request = 1};
	struct message_dialogue line = {.text = "< \b\b"};

	memset(probe.pool, 'x', sizeof(probe.pool));
	memset(failover.instance, 'x', sizeof(failover.instance));
	memset(run.backend, 'x', sizeof(run.backend));
	assert_int_equal(said(*state, ROLE_LB, MESSAGE_PROBE, &probe), 1);
	assert_int_equal(said(*state, ROLE_LB, MESSAGE_FAILOVER, &failover), 1);
	strcpy(failover.instance, "v1");
	memset(failover.to, 'x', sizeof(failover.to));
	assert_int_equal(said(*state, ROLE_LB, MESSAGE_FAILOVER, &failover), 1);
	assert_int_equal(said(*state, ROLE_HEALTHCHECK, MESSAGE_RUN, &run), 1);
	assert_int_equal(said(*state, ROLE_HEALTHCHECK, MESSAGE_DIALOGUE, &line), 1);
}

static void test_end_of_a_program_that_no_program_has_is_refused(void **state)
{
	struct message_ran wrong[] = {
		{.error = INT32_MIN}, {.error = 1}, {.status = 256}, {.status = -1}};
	struct message_ran good = {.status = 137, .error = -62};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(said(*state, ROLE_PROGRAMS, MESSAGE_RAN, &wrong[i]), 1);
	assert_int_equal(heard.passed[ROLE_HEALTHCHECK], 0);
	assert_int_equal(said(*state, ROLE_PROGRAMS, MESSAGE_RAN, &good), 0);
	assert_int_equal(heard.passed[ROLE_HEALTHCHECK], 1);
}

static void test_names_that_are_not_configured_are_not_remembered(void **state)
{
	struct message_operator held = {.pool = "mx", .held = 1};
	struct message_vrrp vrrp = {.role = VRRP_ACTIVE};
	struct parent *p = *state;

	for (int i = 0; i < 100; i++) {
		snprintf(vrrp.instance, sizeof(vrrp.instance), "v%d", 100 + i);
		snprintf(held.backend, sizeof(held.backend), "other%d", i);
		assert_int_equal(said(p, ROLE_VRRP, MESSAGE_VRRP, &vrrp), 0);
		assert_int_equal(said(p, ROLE_LB, MESSAGE_OPERATOR, &held), 0);
	}
	heard = (struct heard){0};
	switch_brief(&p->processes[ROLE_PROGRAMS]);
	assert_int_equal(heard.passed[ROLE_PROGRAMS], 1); /* READY */
}

static void test_counts_are_told_to_an_lb_that_comes_back(void **state)
{
	struct message_tally heal = {.pool = "mx", .done = 1}, gone = {.hook = 3};
	struct parent *p = *state;
	uint32_t before;

	assert_int_equal(said(p, ROLE_PROGRAMS, MESSAGE_TALLY, &heal), 0);
	assert_int_equal(said(p, ROLE_PROGRAMS, MESSAGE_TALLY, &gone), 0);
	assert_int_equal(said(p, ROLE_HEALTHCHECK, MESSAGE_TALLY, &heal), 1);
	assert_int_equal(heard.passed[ROLE_LB], 1);
	before = heard.tallies;
	switch_brief(&p->processes[ROLE_LB]);
	assert_int_equal(heard.tallies, before + 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_good_health_reaches_lb_and_programs),
		TEST(test_health_that_would_harm_who_shows_it_is_refused),
		TEST(test_no_child_speaks_for_another),
		TEST(test_last_turns_of_a_role_are_remembered),
		TEST(test_names_without_an_end_are_refused_of_everybody),
		TEST(test_end_of_a_program_that_no_program_has_is_refused),
		TEST(test_counts_are_told_to_an_lb_that_comes_back),
		TEST(test_names_that_are_not_configured_are_not_remembered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
