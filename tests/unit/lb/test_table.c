/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "lb/table.h"

/* One slot followed over time; the table has others, which must stay as they are. */
enum { SLOTS = 7, WATCHED = 3, OTHERS = 9, IDLE_S = 100 };
enum { A, B, C, D, NOBODY = BACKEND_NONE };

struct act {
	uint32_t now_s;
	uint16_t owner;
	const char *dead;     /* letters of those that are not alive */
	bool foreign, unseen; /* the sweep saw a flow elsewhere, or has not looked */
	uint32_t old_sweep;   /* how many seconds ago it began */
	bool unsettle, unserved;
	/* what must come of it */
	uint16_t want_owner, want_previous;
	bool want_transition;
};

static const uint16_t numbers[] = {A, B, C, D, [OTHERS] = OTHERS};

static void act_run(struct table *t, const struct act *act)
{
	uint16_t owners[SLOTS] = {OTHERS, OTHERS, OTHERS, OTHERS, OTHERS, OTHERS, OTHERS};
	uint8_t alive[BACKEND_MAX], foreign[1] = {0};
	struct table_wish wish = {.n = SLOTS,
				  .owners = owners,
				  .numbers = numbers,
				  .alive = alive,
				  .idle_timeout_s = IDLE_S,
				  .now_s = act->now_s,
				  .foreign = act->unseen ? NULL : foreign,
				  .swept_s = act->now_s - act->old_sweep,
				  .unsettle = act->unsettle,
				  .unserved = act->unserved};
	struct table_change change;
	struct table next;

	memset(alive, 1, sizeof(alive));
	for (const char *dead = act->dead; dead && *dead; dead++)
		alive[*dead - 'A'] = 0;
	owners[WATCHED] = act->owner;
	foreign[0] = (uint8_t)(act->foreign << WATCHED);
	assert_int_equal(table_next(t, &wish, &next, &change), 0);
	table_fini(t);
	*t = next;
}

static void acts_go_on(struct table *t, const struct act *acts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct act *act = &acts[i];
		const struct slot *s;

		act_run(t, act);
		s = &t->slots[WATCHED];
		if ((s->owner & SLOT_BACKEND) != act->want_owner ||
		    s->previous != act->want_previous ||
		    !(s->owner & SLOT_TRANSITION) != !act->want_transition)
			fail_msg("act %zu: owner %u previous %u", i, s->owner, s->previous);
		assert_int_equal(t->slots[0].owner & SLOT_BACKEND, OTHERS);
	}
}

static void acts_run(const struct act *acts, size_t n)
{
	struct table t = {0};

	acts_go_on(&t, acts, n);
	table_fini(&t);
}

#define ACTS_RUN(...)                                                                              \
	do {                                                                                       \
		static const struct act acts[] = {__VA_ARGS__};                                    \
		acts_run(acts, sizeof(acts) / sizeof(acts[0]));                                    \
	} while (0)

#define SETTLED(backend) .want_owner = backend, .want_previous = NOBODY
#define MOVING(to, from) .want_owner = to, .want_previous = from, .want_transition = true

static void test_first_table_is_settled(void **state)
{
	(void)state;
	ACTS_RUN({1, A, SETTLED(A)}, {2, A, SETTLED(A)});
}

/* Else a partner's flows, begun by the final table, would be sent to whom this node meant first. */
static void test_node_that_never_served_has_no_transition(void **state)
{
	(void)state;
	ACTS_RUN({1, NOBODY, .unserved = true, SETTLED(NOBODY)},
		 {2, A, .unserved = true, SETTLED(A)}, {3, B, .unserved = true, SETTLED(B)},
		 {4, C, MOVING(C, B)});
}

static void test_drained_owner_stays_the_previous_one(void **state)
{
	(void)state;
	ACTS_RUN({1, A, SETTLED(A)}, {10, B, MOVING(B, A)}, {109, B, MOVING(B, A)});
}

static void test_slot_settles_after_idle_timeout(void **state)
{
	(void)state;
	ACTS_RUN({1, A, SETTLED(A)}, {10, B, MOVING(B, A)}, {109, B, MOVING(B, A)},
		 {110, B, SETTLED(B)});
}

static void test_known_flow_elsewhere_keeps_slot_in_transition(void **state)
{
	(void)state;
	ACTS_RUN({1, A, SETTLED(A)}, {10, B, MOVING(B, A)}, {500, B, .foreign = true, MOVING(B, A)},
		 {501, B, .unseen = true, MOVING(B, A)}, {510, B, SETTLED(B)});
}

static void test_sweep_that_began_too_early_settles_nothing(void **state)
{
	(void)state;
	ACTS_RUN({1, A, SETTLED(A)}, {10, B, MOVING(B, A)}, {115, B, .old_sweep = 6, MOVING(B, A)},
		 {116, B, .old_sweep = 6, SETTLED(B)});
}

static void test_slot_of_dead_owner_settles_at_once(void **state)
{
	(void)state;
	ACTS_RUN({1, A, SETTLED(A)}, {10, B, .dead = "A", SETTLED(B)});
}

static void test_death_of_previous_owner_settles(void **state)
{
	(void)state;
	ACTS_RUN({1, A, SETTLED(A)}, {10, B, MOVING(B, A)}, {20, B, .dead = "A", SETTLED(B)});
}

static void test_second_change_keeps_first_previous(void **state)
{
	(void)state;
	ACTS_RUN({1, A, SETTLED(A)}, {10, B, MOVING(B, A)}, {20, C, MOVING(C, A)},
		 {119, C, MOVING(C, A)}, {120, C, SETTLED(C)});
}

static void test_owner_in_between_keeps_transition_while_alive(void **state)
{
	(void)state;
	ACTS_RUN({1, A, SETTLED(A)}, {10, B, MOVING(B, A)}, {20, C, MOVING(C, A)},
		 {30, C, .dead = "A", MOVING(C, A)}, {40, C, .dead = "AB", SETTLED(C)});
}

static void test_undrained_owner_waits_for_flows_in_between(void **state)
{
	(void)state;
	ACTS_RUN({1, A, SETTLED(A)}, {10, B, MOVING(B, A)}, {20, A, MOVING(A, A)},
		 {119, A, MOVING(A, A)}, {120, A, SETTLED(A)});
	ACTS_RUN({1, A, SETTLED(A)}, {10, B, MOVING(B, A)}, {20, A, MOVING(A, A)},
		 {30, A, .dead = "B", SETTLED(A)});
}

static void test_many_in_between_settle_by_time_only(void **state)
{
	(void)state;
	ACTS_RUN({1, A, SETTLED(A)}, {10, B, MOVING(B, A)}, {20, C, MOVING(C, A)},
		 {30, D, MOVING(D, A)}, {40, D, .dead = "ABC", MOVING(D, A)},
		 {130, D, .dead = "ABC", SETTLED(D)});
}

static void test_pool_without_owner_serves_drained_ones(void **state)
{
	(void)state;
	ACTS_RUN({1, A, SETTLED(A)}, {10, NOBODY, MOVING(NOBODY, A)},
		 {20, NOBODY, .dead = "A", SETTLED(NOBODY)}, {30, A, SETTLED(A)});
}

static void test_unsettled_table_waits_for_flows_from_elsewhere(void **state)
{
	(void)state;
	ACTS_RUN({1, A, SETTLED(A)}, {10, A, .unsettle = true, MOVING(A, A)},
		 {20, A, .dead = "BCD", MOVING(A, A)}, {110, A, SETTLED(A)});
	ACTS_RUN({1, A, SETTLED(A)}, {10, B, MOVING(B, A)}, {20, B, .unsettle = true, MOVING(B, A)},
		 {30, B, .dead = "A", MOVING(B, A)}, {120, B, SETTLED(B)});
}

/* A flow is told of before the table is changed: it is looked up until all is as it was told. */
static void test_flow_that_is_told_of_unsettles_its_slot(void **state)
{
	const struct act begin = {1000, A, SETTLED(A)};
	const struct act later[] = {
		{1002, A, MOVING(A, A), .foreign = true},
		{1003, B, MOVING(B, A), .foreign = true},
		{1004, B, SETTLED(B), .dead = "A"},
	};
	struct table t = {0};

	(void)state;
	acts_go_on(&t, &begin, 1);
	assert_false(table_unsettle(&t, WATCHED, A, IDLE_S, 1001));
	assert_true(table_unsettle(&t, WATCHED, B, IDLE_S, 1001));
	assert_false(table_unsettle(&t, WATCHED, C, IDLE_S, 1001)); /* it is looked up already */
	assert_int_equal(t.n_transition, 1);
	assert_int_equal(t.settles_s, 1001 + IDLE_S);
	acts_go_on(&t, later, sizeof(later) / sizeof(later[0]));
	table_fini(&t);
}

static void test_restart_adopts_transitions(void **state)
{
	static const struct act drain[] = {{1, A, SETTLED(A)}, {10, B, MOVING(B, A)}};
	struct slots4 words[2 * SLOTS_WORDS(SLOTS)], again[2 * SLOTS_WORDS(SLOTS)];
	struct table t = {0}, adopted;

	(void)state;
	act_run(&t, &drain[0]);
	act_run(&t, &drain[1]);
	table_write(&t, words);
	assert_int_equal(table_adopt(words, SLOTS, IDLE_S, 1000, &adopted), 0);
	assert_int_equal(adopted.n_transition, 1);
	assert_int_equal(adopted.settles_s, 1000 + IDLE_S);
	table_write(&adopted, again);
	assert_memory_equal(words, again, sizeof(words));
	/* who was in between is not known: the death of the previous owner does not settle it */
	act_run(&adopted, &(struct act){.now_s = 1010, .owner = B, .dead = "A"});
	assert_int_equal(adopted.slots[WATCHED].owner, B | SLOT_TRANSITION);
	act_run(&adopted, &(struct act){.now_s = 1100, .owner = B});
	assert_int_equal(adopted.slots[WATCHED].owner, B);
	table_fini(&t);
	table_fini(&adopted);
}

static void test_change_is_counted(void **state)
{
	uint16_t owners[SLOTS] = {A, A, A, A, B, B, B};
	uint8_t alive[BACKEND_MAX], foreign[1] = {0};
	struct table_wish wish = {.n = SLOTS,
				  .owners = owners,
				  .numbers = numbers,
				  .alive = alive,
				  .idle_timeout_s = IDLE_S,
				  .now_s = 1,
				  .foreign = foreign,
				  .swept_s = 1};
	struct table t = {0}, next;
	struct table_change change;

	(void)state;
	memset(alive, 1, sizeof(alive));
	assert_int_equal(table_next(&t, &wish, &next, &change), 0);
	assert_int_equal(change.moved, SLOTS);
	t = next;
	assert_int_equal(table_next(&t, &wish, &next, &change), 0);
	assert_false(change.differs);
	table_fini(&next);
	owners[0] = owners[1] = B;
	assert_int_equal(table_next(&t, &wish, &next, &change), 0);
	assert_true(change.differs);
	assert_int_equal(change.moved, 2);
	assert_int_equal(next.n_transition, 2);
	table_fini(&t);
	t = next;
	wish.now_s = wish.swept_s = 1000;
	assert_int_equal(table_next(&t, &wish, &next, &change), 0);
	assert_int_equal(change.moved, 0);
	assert_int_equal(change.settled, 2);
	assert_int_equal(next.n_transition, 0);
	table_fini(&t);
	table_fini(&next);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_table_is_settled),
		cmocka_unit_test(test_node_that_never_served_has_no_transition),
		cmocka_unit_test(test_drained_owner_stays_the_previous_one),
		cmocka_unit_test(test_slot_settles_after_idle_timeout),
		cmocka_unit_test(test_known_flow_elsewhere_keeps_slot_in_transition),
		cmocka_unit_test(test_sweep_that_began_too_early_settles_nothing),
		cmocka_unit_test(test_slot_of_dead_owner_settles_at_once),
		cmocka_unit_test(test_death_of_previous_owner_settles),
		cmocka_unit_test(test_second_change_keeps_first_previous),
		cmocka_unit_test(test_owner_in_between_keeps_transition_while_alive),
		cmocka_unit_test(test_undrained_owner_waits_for_flows_in_between),
		cmocka_unit_test(test_many_in_between_settle_by_time_only),
		cmocka_unit_test(test_pool_without_owner_serves_drained_ones),
		cmocka_unit_test(test_unsettled_table_waits_for_flows_from_elsewhere),
		cmocka_unit_test(test_flow_that_is_told_of_unsettles_its_slot),
		cmocka_unit_test(test_restart_adopts_transitions),
		cmocka_unit_test(test_change_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
