/* SPDX-License-Identifier: BSD-2-Clause */
/* test_operators.c: what must hold of the operator's words on several nodes, in a network and a
 * place for operator.json of our own. (The file itself: test_operator.c.)
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lb/operator.h"
#include "lb/partner_operator.h"
#include "lb/reconcile.h"
#include "lb/reconciler.h"
#include "tests/unit/lb/nodes_case.h"

enum { SKIP = 77, MX1 = 0, MX2 = 1, TOLD_TURNS = 60000 / PARTNER_TICK_MS };

static void start(uint32_t i, bool synced)
{
	nodes[i] = node_new(loop, node_names[i], synced);
}

static void set(uint32_t node, uint32_t i, enum operator_state state)
{
	assert_int_equal(lb_set_operator(&nodes[node]->lb, i, state, WEIGHT_NONE), 0);
}

static enum operator_state state_of(uint32_t node, uint32_t i)
{
	return nodes[node]->lb.backends[i].by_operator;
}

/* The file of a node that is stopped; it is started with it again. */
static struct operator_entry *file_take(uint32_t i, uint32_t *ret_n)
{
	struct operator_entry *kept = calloc(nodes[i]->lb.n_operators + 1, sizeof(*kept));

	*ret_n = nodes[i]->lb.n_operators;
	memcpy(kept, nodes[i]->lb.operators, *ret_n * sizeof(*kept));
	node_free(nodes[i]);
	nodes[i] = NULL;
	return kept;
}

static void start_with(uint32_t i, struct operator_entry *kept, uint32_t n)
{
	start(i, true);
	nodes[i]->lb.operators = kept;
	nodes[i]->lb.n_operators = n;
	operators_take(&nodes[i]->lb);
}

static void test_word_is_done_on_all_three_and_kept(void **state)
{
	struct operator_entry *read = NULL;
	uint32_t n = 0;

	(void)state;
	for (uint32_t i = 0; i < 3; i++)
		start(i, true);
	WAIT_UNTIL(nodes_in_sync(0, 1) && nodes_in_sync(0, 2) && nodes_in_sync(1, 2));
	set(1, MX1, OPERATOR_DRAIN);
	WAIT_UNTIL(state_of(0, MX1) == OPERATOR_DRAIN && state_of(2, MX1) == OPERATOR_DRAIN);
	operators_keep(&nodes[0]->lb);
	assert_int_equal(operator_load(OPERATOR_FILE, &read, &n), 0);
	assert_true(n == 1 && read[0].state == OPERATOR_DRAIN);
	free(read);
}

/* However far a node's clock is behind: who sees a state and changes it wins. */
static void test_word_wins_over_the_one_it_changes_whatever_the_clock_says(void **state)
{
	(void)state;
	start(0, true);
	start(1, true);
	WAIT_UNTIL(nodes_in_sync(0, 1));
	set(0, MX1, OPERATOR_DRAIN);
	WAIT_UNTIL(state_of(1, MX1) == OPERATOR_DRAIN);
	for (uint32_t i = 0; i < 2; i++) /* said by a clock that is a year ahead */
		nodes[i]->lb.operators[0].changed_ms += 365LL * 86400 * 1000;
	set(1, MX1, OPERATOR_ENABLED);
	WAIT_UNTIL(state_of(0, MX1) == OPERATOR_ENABLED);
}

static void test_drain_that_ended_meanwhile_is_not_brought_back(void **state)
{
	struct operator_entry *kept;
	uint32_t n;

	(void)state;
	start(0, true);
	start(1, true);
	WAIT_UNTIL(nodes_in_sync(0, 1));
	set(0, MX1, OPERATOR_DRAIN);
	set(0, MX2, OPERATOR_DRAIN);
	WAIT_UNTIL(state_of(1, MX2) == OPERATOR_DRAIN);
	kept = file_take(1, &n);
	set(0, MX1, OPERATOR_ENABLED);
	for (int i = 0; i < 2 * TOLD_TURNS; i++)
		operators_keep(&nodes[0]->lb);
	assert_int_equal(nodes[0]->lb.n_operators, 2);
	start_with(1, kept, n);
	WAIT_UNTIL(nodes_in_sync(0, 1));
	WAIT_UNTIL(state_of(1, MX1) == OPERATOR_ENABLED);
	assert_true(state_of(0, MX1) == OPERATOR_ENABLED && state_of(0, MX2) == OPERATOR_DRAIN);
}

static void test_end_goes_once_it_is_old_and_known_to_all(void **state)
{
	struct lb *lb;

	(void)state;
	start(0, true);
	start(1, true);
	start(2, true);
	WAIT_UNTIL(nodes_in_sync(0, 1) && nodes_in_sync(0, 2));
	lb = &nodes[0]->lb;
	set(0, MX1, OPERATOR_DRAIN);
	set(0, MX1, OPERATOR_ENABLED);
	set(0, MX2, OPERATOR_DRAIN);
	for (uint32_t k = 0; k < lb->n_operators; k++)
		lb->operators[k].changed_ms -= (OPERATOR_END_KEEP_S + 10) * 1000LL;
	nodes_pass(loop, 100);
	for (int i = 0; i < TOLD_TURNS - 1; i++)
		operators_keep(lb);
	assert_int_equal(lb->n_operators, 2); /* a partner may not have it in its file yet */
	operators_keep(lb);
	assert_int_equal(lb->n_operators, 1);
	assert_true(lb->operators[0].state == OPERATOR_DRAIN); /* no drain ends by itself */

	set(0, MX1, OPERATOR_DRAIN);
	set(0, MX1, OPERATOR_ENABLED);
	for (uint32_t k = 0; k < lb->n_operators; k++)
		lb->operators[k].changed_ms -= (OPERATOR_END_KEEP_S + 10) * 1000LL;
	node_free(nodes[2]); /* one is away */
	nodes[2] = NULL;
	WAIT_UNTIL(!partner_in_sync(lb, 2));
	for (int i = 0; i < 2 * TOLD_TURNS; i++)
		operators_keep(lb);
	assert_int_equal(lb->n_operators, 2);
}

static void test_word_from_before_there_were_partners_is_told(void **state)
{
	(void)state;
	start(0, false);
	set(0, MX1, OPERATOR_DRAIN);
	assert_int_equal(nodes[0]->lb.operators[0].node, 0);
	start(1, true);
	assert_true(node_reload(nodes[0], true));
	WAIT_UNTIL(nodes_in_sync(0, 1));
	WAIT_UNTIL(state_of(1, MX1) == OPERATOR_DRAIN);
	set(1, MX1, OPERATOR_ENABLED);
	WAIT_UNTIL(state_of(0, MX1) == OPERATOR_ENABLED);
}

/* Both said something before they knew of each other. */
static void test_words_from_before_there_were_partners_end_the_same(void **state)
{
	(void)state;
	start(0, false);
	start(1, false);
	assert_int_equal(lb_set_operator(&nodes[0]->lb, MX1, OPERATOR_ENABLED, 10), 0);
	assert_int_equal(lb_set_operator(&nodes[1]->lb, MX1, OPERATOR_ENABLED, 20), 0);
	assert_true(node_reload(nodes[0], true) && node_reload(nodes[1], true));
	WAIT_UNTIL(nodes_in_sync(0, 1));
	WAIT_UNTIL(nodes[0]->lb.backends[MX1].weight == nodes[1]->lb.backends[MX1].weight);
}

static void test_names_that_are_gone_make_room(void **state)
{
	struct operator_entry said = {.pool = "mx", .state = OPERATOR_DRAIN, .weight = WEIGHT_NONE};
	struct lb *lb;

	(void)state;
	start(0, true);
	lb = &nodes[0]->lb;
	lb->operators = calloc(OPERATOR_ENTRIES_MOST, sizeof(*lb->operators));
	lb->n_operators = OPERATOR_ENTRIES_MOST;
	for (uint32_t k = 0; k < OPERATOR_ENTRIES_MOST; k++) {
		lb->operators[k] = said;
		snprintf(lb->operators[k].backend, NAME_SIZE, "gone%u", k);
		lb->operators[k].changed_ms = 1000 + k;
		lb->operators[k].node = 5;
	}
	set(0, MX1, OPERATOR_DRAIN);
	assert_int_equal(state_of(0, MX1), OPERATOR_DRAIN);
	assert_int_equal(lb->n_operators, OPERATOR_ENTRIES_MOST);
	assert_string_equal(lb->operators[0].backend, "mx1");
	/* one that has ended goes before one that has not, also when a partner says something */
	lb->operators[7000].state = OPERATOR_ENABLED;
	snprintf(said.backend, NAME_SIZE, "mx2");
	said.changed_ms = 99999999;
	assert_true(operator_take(lb, &said));
	assert_string_equal(lb->operators[7000].backend, "mx2");
	assert_string_equal(lb->operators[1].backend, "gone1");
}

static void test_file_that_could_not_be_written_is_written_later(void **state)
{
	const struct operator_entry said = {.pool = "mx",
					    .backend = "mx1",
					    .state = OPERATOR_DRAIN,
					    .weight = WEIGHT_NONE,
					    .changed_ms = 5,
					    .node = 5};
	struct operator_entry *read = NULL;
	uint32_t n = 0;

	(void)state;
	start(0, true);
	assert_int_equal(mkdir(OPERATOR_FILE ".new", 0700), 0);
	assert_true(operator_take(&nodes[0]->lb, &said));
	operators_keep(&nodes[0]->lb);
	assert_true(nodes[0]->lb.operators_unkept);
	assert_int_equal(rmdir(OPERATOR_FILE ".new"), 0);
	operators_keep(&nodes[0]->lb);
	assert_false(nodes[0]->lb.operators_unkept);
	assert_int_equal(operator_load(OPERATOR_FILE, &read, &n), 0);
	assert_int_equal(n, 1);
	free(read);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, nodes_set_up, nodes_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_word_is_done_on_all_three_and_kept),
		TEST(test_word_wins_over_the_one_it_changes_whatever_the_clock_says),
		TEST(test_drain_that_ended_meanwhile_is_not_brought_back),
		TEST(test_end_goes_once_it_is_old_and_known_to_all),
		TEST(test_word_from_before_there_were_partners_is_told),
		TEST(test_words_from_before_there_were_partners_end_the_same),
		TEST(test_names_that_are_gone_make_room),
		TEST(test_file_that_could_not_be_written_is_written_later),
	};

	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 || !nodes_lo_up() ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", "/var/lib", "tmpfs", 0, NULL) < 0 || mkdir(SLUICE_STATE_DIR, 0700) < 0) {
		printf("namespaces cannot be made (not root?)\n");
		return SKIP;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
