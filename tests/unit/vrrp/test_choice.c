/* SPDX-License-Identifier: BSD-2-Clause */
/* test_choice.c: what must hold when the operator names who is to be active (vrrp/choice.h): three
 * nodes, with the real machines and what they make of each other's records, over a network that
 * delays and loses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vrrp/heart_own.h"

enum {
	NODES = 3,
	FLIGHTS = 128, /* packets under way */
	DELAY_MS = 3,  /* at most */
	OF = 77,       /* the instance */
	LIVES_US = 40000,
	SETTLE_MS = 1500,
	AFTER_MS = 5000,
};

struct node {
	struct vrrp_machine machine;
	struct hearts hearts;
	uint32_t chosen;
	bool mute; /* of STATE: an older version, or links that are cut */
	uint64_t state_ms, sequence;
	uint64_t heard[NODES]; /* the last sequence: heart_stated() takes nothing older */
};

struct flight {
	uint64_t at_ms; /* 0 = free */
	int from, to;
	bool is_state;
	struct vrrp_advert advert;
	struct heart_record record;
	uint64_t sequence;
};

struct world {
	struct node nodes[NODES];
	struct flight flights[FLIGHTS];
	uint64_t now_ms;
	uint32_t loss; /* percent, of STATE */
	uint32_t chance;
};

static struct world *world; /* the ops have one owner: a node */

static uint64_t now_us(void)
{
	return world->now_ms * 1000;
}

static uint32_t chance(uint32_t below)
{
	world->chance = world->chance * 1664525 + 1013904223;
	return (world->chance >> 8) % below;
}

static void fly(const struct flight *f)
{
	for (int i = 0; i < FLIGHTS; i++) {
		if (world->flights[i].at_ms == 0) {
			world->flights[i] = *f;
			world->flights[i].at_ms = world->now_ms + 1 + chance(DELAY_MS);
			return;
		}
	}
	fail_msg("too many packets");
}

static int number(const struct node *n)
{
	return (int)(n - world->nodes);
}

static struct heart_record record_of(const struct node *n)
{
	struct heart_record r = {.instance = OF,
				 .vrid = 1,
				 .role = (uint8_t)n->machine.role,
				 .priority = n->machine.priority};

	if (vrrp_chooses(&n->machine, now_us()))
		r.chosen = n->chosen;
	memcpy(r.source, &n->machine.primary, sizeof(r.source));
	return r;
}

static void state_send(struct node *n)
{
	struct flight f = {.from = number(n), .is_state = true, .record = record_of(n)};

	f.sequence = ++n->sequence;
	n->state_ms = world->now_ms + HEART_STATE_MS;
	for (f.to = 0; f.to < NODES; f.to++) {
		if (f.to != f.from && !n->mute && !world->nodes[f.to].mute &&
		    chance(100) >= world->loss)
			fly(&f);
	}
}

static void step(struct node *n, enum vrrp_event event, const struct vrrp_advert *advert)
{
	struct flight f = {.from = number(n), .advert = {.vrid = 1, .ttl = 255}};
	enum vrrp_role before = n->machine.role;
	struct vrrp_actions a;

	n->machine.lives_until_us = heart_active(&n->hearts, OF) ? now_us() + LIVES_US : 0;
	vrrp_step(&n->machine, event, advert, now_us(), &a);
	f.advert.src = n->machine.primary;
	f.advert.priority = a.send_priority;
	f.advert.advert_cs = n->machine.advert_cs;
	for (f.to = 0; a.send && f.to < NODES; f.to++) {
		if (f.to != f.from)
			fly(&f);
	}
	if (n->machine.role != before)
		state_send(n);
}

static uint32_t on_instances(void *owner, const struct heart_key *key, struct heart_instance *ret)
{
	(void)key;
	ret[0] = (struct heart_instance){record_of(owner), "eth0"};
	return 1;
}

static void on_event(void *owner, uint64_t of, enum vrrp_event event,
		     const struct heart_record *about, uint32_t rank_ms)
{
	struct node *n = owner;

	assert_int_equal(of, OF);
	n->machine.rank_ms = rank_ms;
	if (event == VRRP_CHOICE || event == VRRP_CHOSEN || event == VRRP_PASSED_OVER)
		n->chosen = about->chosen;
	step(n, event, NULL);
}

static const struct heart_ops ops = {.instances = on_instances, .event = on_event};

static void land(struct flight *f)
{
	struct node *n = &world->nodes[f->to];

	f->at_ms = 0;
	if (!f->is_state) {
		step(n, VRRP_ADVERT, &f->advert);
		return;
	}
	if (f->sequence <= n->heard[f->from])
		return;
	n->heard[f->from] = f->sequence;
	said_look(&n->hearts);
	for (uint32_t i = 0; i < n->hearts.n_partners; i++) {
		if (n->hearts.partners[i].node == world->nodes[f->from].hearts.node &&
		    said_record(&n->hearts, &n->hearts.partners[i], &f->record))
			state_send(n);
	}
}

static uint32_t n_active(void)
{
	uint32_t n = 0;

	for (int i = 0; i < NODES; i++)
		n += world->nodes[i].machine.role == VRRP_ACTIVE;
	return n;
}

/* A node that hands over without a name lingers: it answers until another one is active. */
static bool answers(void)
{
	bool lingers = false;

	for (int i = 0; i < NODES; i++)
		lingers |= world->nodes[i].machine.lingering;
	return lingers || n_active() > 0;
}

/* Somebody answers all the while. */
static void run(uint64_t ms)
{
	for (uint64_t end = world->now_ms + ms; world->now_ms < end; world->now_ms++) {
		for (int i = 0; i < FLIGHTS; i++) {
			if (world->flights[i].at_ms && world->flights[i].at_ms <= world->now_ms)
				land(&world->flights[i]);
		}
		for (int i = 0; i < NODES; i++) {
			struct node *n = &world->nodes[i];
			uint64_t due_us = vrrp_due_us(&n->machine);

			if (due_us && now_us() >= due_us)
				step(n, VRRP_TIMER, NULL);
			if (world->now_ms >= n->state_ms)
				state_send(n);
		}
		assert_true(answers());
	}
}

static void node_make(int i, const uint8_t *priorities, uint16_t advert_cs)
{
	struct node *n = &world->nodes[i];
	char text[32];

	n->machine = (struct vrrp_machine){
		.priority = priorities[i], .advert_cs = advert_cs, .preempt = true};
	snprintf(text, sizeof(text), "192.0.2.%d", i + 1);
	addr_parse(text, &n->machine.primary);
	n->hearts = (struct hearts){.ops = &ops, .owner = n, .node = 1000 + 2 * (uint64_t)i};
	n->hearts.partners = calloc(NODES, sizeof(struct partner));
	assert_non_null(n->hearts.partners);
	for (int k = 0; k < NODES; k++) {
		struct partner *p = &n->hearts.partners[n->hearts.n_partners];

		if (k == i)
			continue;
		*p = (struct partner){.node = 1000 + 2 * (uint64_t)k, .life = PARTNER_ALIVE};
		n->hearts.n_partners++;
	}
}

static int world_new(void **state)
{
	(void)state;
	world = calloc(1, sizeof(*world));
	return world ? 0 : -1;
}

static int world_free(void **state)
{
	(void)state;
	for (int i = 0; i < NODES; i++)
		free(world->nodes[i].hearts.partners);
	free(world);
	return 0;
}

/* The first node is active, the others have heard it. */
static void begin(const uint8_t *priorities, uint16_t advert_cs, uint32_t loss, uint32_t seed)
{
	world_free(NULL);
	world_new(NULL);
	world->now_ms = 1000;
	world->chance = seed;
	for (int i = 0; i < NODES; i++)
		node_make(i, priorities, advert_cs);
	step(&world->nodes[0], VRRP_RESUME, NULL);
	for (int i = 1; i < NODES; i++)
		step(&world->nodes[i], VRRP_STARTUP, NULL);
	run(SETTLE_MS);
	assert_int_equal(world->nodes[0].machine.role, VRRP_ACTIVE);
	assert_int_equal(n_active(), 1);
	world->loss = loss;
}

/* As choice_take() does at that node. */
static void choose(int at, int chosen)
{
	struct node *n = &world->nodes[at];

	n->chosen = heart_chosen(world->nodes[chosen].hearts.node);
	step(n, VRRP_CHOICE, NULL);
	state_send(n);
}

static const struct {
	uint8_t priorities[NODES];
	uint16_t advert_cs;
} pairs[] = {{{200, 150, 100}, 1},  {{200, 150, 100}, 100}, {{254, 254, 254}, 1},
	     {{200, 100, 150}, 10}, {{255, 254, 1}, 1},	    {{255, 254, 1}, 100}};
enum { PAIRS = sizeof(pairs) / sizeof(pairs[0]), SEEDS = 10 };

static void assert_has_it(int who)
{
	for (int i = 0; i < NODES; i++)
		assert_int_equal(world->nodes[i].machine.role,
				 i == who ? VRRP_ACTIVE : VRRP_BACKUP);
}

/* At the active node, or at the one that wants to be; whatever the priorities. */
static void test_node_that_is_named_takes_over_and_keeps_it(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < PAIRS * SEEDS * 2; i++) {
		begin(pairs[i / 2 % PAIRS].priorities, pairs[i / 2 % PAIRS].advert_cs, 0, i);
		choose(i % 2 ? 0 : 2, 2);
		run(100);
		assert_has_it(2);
		run(AFTER_MS);
		assert_has_it(2);
		assert_int_equal(world->nodes[0].machine.splits, 0);
		assert_int_equal(world->nodes[2].machine.splits, 0);
	}
}

/* Half of what they say of it is lost: at the end one is active, and nobody answered never. */
static void test_lost_words_are_said_again(void **state)
{
	uint32_t chosen = 0, tries = 0;

	(void)state;
	for (uint32_t i = 0; i < PAIRS * SEEDS * 2; i++) {
		begin(pairs[i / 2 % PAIRS].priorities, pairs[i / 2 % PAIRS].advert_cs, 50, i);
		choose(i % 2 ? 0 : 2, 2);
		run(AFTER_MS);
		assert_int_equal(n_active(), 1);
		chosen += world->nodes[2].machine.role == VRRP_ACTIVE;
		tries++;
	}
	assert_true(chosen >= tries * 98 / 100);
}

/* A node that is deaf, or does not know the word. */
static void test_choice_that_is_not_heard_changes_nothing(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < PAIRS * 4; i++) {
		begin(pairs[i % PAIRS].priorities, pairs[i % PAIRS].advert_cs, 0, i);
		world->nodes[i % 4 < 2 ? 2 : 0].mute = true;
		choose(i % 2 ? 0 : 2, 2);
		run(AFTER_MS);
		assert_has_it(0);
	}
}

static void test_node_that_may_not_be_active_is_not_waited_for(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < PAIRS; i++) {
		begin(pairs[i].priorities, pairs[i].advert_cs, 0, i);
		step(&world->nodes[2], VRRP_LINK_LOST, NULL);
		choose(0, 2);
		run(AFTER_MS);
		assert_int_equal(world->nodes[0].machine.role, VRRP_ACTIVE);
		assert_int_equal(n_active(), 1);
	}
}

/* Two operators at once: the first word is carried out, or the last; one is active at the end. */
static void test_two_choices_at_once_end_with_one_active_node(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < PAIRS * SEEDS; i++) {
		begin(pairs[i % PAIRS].priorities, pairs[i % PAIRS].advert_cs, i % 2 ? 30 : 0, i);
		choose(0, 2);
		run(i % 5);
		choose(1, 1);
		run(AFTER_MS);
		assert_int_equal(n_active(), 1);
	}
}

/* What is said after it, without a name, counts. */
static void test_plain_failover_ends_a_choice(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < PAIRS * SEEDS; i++) {
		begin(pairs[i % PAIRS].priorities, pairs[i % PAIRS].advert_cs, 0, i);
		choose(0, 2);
		run(20);
		assert_has_it(2);
		step(&world->nodes[2], VRRP_FAILOVER, NULL);
		run(AFTER_MS);
		assert_int_equal(n_active(), 1);
		assert_int_equal(world->nodes[2].machine.role, VRRP_BACKUP);
	}
}

/* A node that was passed over takes the place of one that dies, as ever. */
static void test_passed_over_node_inherits(void **state)
{
	const struct heart_record about = {.instance = OF, .role = VRRP_ACTIVE};

	(void)state;
	for (uint32_t i = 0; i < PAIRS; i++) {
		begin(pairs[i].priorities, pairs[i].advert_cs, 0, i);
		choose(0, 2);
		run(2000);
		on_event(&world->nodes[0], OF, VRRP_PARTNER_DEAD, &about, 0);
		assert_int_equal(world->nodes[0].machine.role, VRRP_ACTIVE);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_new, world_free)
	const struct CMUnitTest tests[] = {
		TEST(test_node_that_is_named_takes_over_and_keeps_it),
		TEST(test_lost_words_are_said_again),
		TEST(test_choice_that_is_not_heard_changes_nothing),
		TEST(test_node_that_may_not_be_active_is_not_waited_for),
		TEST(test_two_choices_at_once_end_with_one_active_node),
		TEST(test_plain_failover_ends_a_choice),
		TEST(test_passed_over_node_inherits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
