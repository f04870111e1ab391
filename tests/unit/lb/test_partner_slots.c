/* SPDX-License-Identifier: BSD-2-Clause */
/* test_partner_slots.c: what must hold of statements about slots that several nodes make at once.
 * (The statements themselves: test_words.c.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lb/partner_flows.h"
#include "lb/partner_kinds.h"
#include "lb/words.h"
#include "tests/unit/lb/nodes.h"

enum { SKIP = 77, SLOTS = 251, MOST = 40, RECORDS = 64, DIGEST = 99 };

static struct event_base *loop;
static struct node *node;

struct record {
	uint8_t bytes[MOST];
	size_t n;
};

struct statement {
	struct record records[RECORDS];
	size_t n;
};

static int set_up(void **state)
{
	(void)state;
	loop = event_base_new();
	node = node_new(loop, "lb1", true);
	node->lb.current->settings.slots = SLOTS;
	node->lb.current->pools[0].used = true;
	strcpy(node->lb.current->pools[0].name, "mx");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	node_free(node);
	event_base_free(loop);
	return 0;
}

static int emit(void *owner, const uint8_t *bytes, size_t n)
{
	struct statement *s = owner;

	assert_true(s->n < RECORDS && n <= MOST);
	s->records[s->n].n = n;
	memcpy(s->records[s->n++].bytes, bytes, n);
	return 0;
}

/* statement_make: slots in transition, every @nth of them. */
static void statement_make(uint32_t nth, struct statement *ret)
{
	static uint64_t keys[BACKEND_NONE + 1];
	struct slot slots[SLOTS];
	struct table table = {.n = SLOTS, .slots = slots};

	keys[1] = 11;
	keys[2] = 12;
	for (uint32_t i = 0; i < SLOTS; i++)
		slots[i] = (struct slot){.owner = i % nth ? 2 : 2 | SLOT_TRANSITION,
					 .previous = i % nth ? BACKEND_NONE : 1};
	ret->n = 0;
	assert_int_equal(words_say(&table, keys, word_pool_key("mx"), DIGEST, MOST, emit, ret), 0);
	assert_true(ret->n > 1);
}

static void hear(uint32_t peer, const struct statement *s, size_t i)
{
	if (i < s->n)
		partner_slots_kind.record(&node->lb, peer, s->records[i].bytes, s->records[i].n);
}

static uint32_t in_transition(void)
{
	const struct words *words = partner_slots_words(&node->lb);
	uint32_t n = 0;

	for (uint32_t i = 0; words[0].at && i < SLOTS; i++)
		n += words[0].at[i] != (uint16_t)WORD_SETTLED;
	return n;
}

/* While the traffic goes from one to the other, both may speak. */
static void test_statements_of_two_nodes_are_not_mixed(void **state)
{
	struct statement many, few;

	(void)state;
	statement_make(2, &many);
	statement_make(3, &few);
	for (size_t i = 0; i < many.n; i++) {
		hear(1, &many, i);
		if (i + 1 < many.n) /* it ends first, and so does not have the last word */
			hear(2, &few, i);
	}
	assert_int_equal(in_transition(), (SLOTS + 1) / 2);
}

static void test_half_a_statement_ends_with_its_session(void **state)
{
	struct statement many;

	(void)state;
	statement_make(2, &many);
	hear(1, &many, 0);
	partner_slots_kind.down(&node->lb, 1);
	for (size_t i = 1; i < many.n; i++)
		hear(1, &many, i);
	assert_int_equal(in_transition(), 0);
	for (size_t i = 0; i < many.n; i++)
		hear(1, &many, i);
	assert_int_equal(in_transition(), (SLOTS + 1) / 2);
	partner_slots_kind.down(&node->lb, 2); /* somebody else */
	assert_int_equal(in_transition(), (SLOTS + 1) / 2);
	partner_slots_kind.down(&node->lb, 1);
	assert_int_equal(in_transition(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_statements_of_two_nodes_are_not_mixed, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_half_a_statement_ends_with_its_session, set_up,
						tear_down),
	};

	if (unshare(CLONE_NEWNET) < 0 || !nodes_lo_up()) {
		printf("a network namespace cannot be made (not root?)\n");
		return SKIP;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
