/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "lb/maglev.h"

enum { SLOTS = 65537, MOST = 1000 };

struct pool {
	struct maglev_backend backends[MOST];
	struct maglev_use uses[MOST];
	uint32_t n;
	uint16_t base[SLOTS], owners[SLOTS];
	uint32_t owned[MOST], none;
};

static struct pool *pool_new(uint32_t n)
{
	struct pool *p = calloc(1, sizeof(*p));
	char name[32];

	assert_non_null(p);
	p->n = n;
	for (uint32_t i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "mx%u", i + 1);
		p->backends[i] = (struct maglev_backend){maglev_seed("mx", name), 100, false};
		p->uses[i].share = SHARE_ALL;
	}
	return p;
}

static void pool_build(struct pool *p)
{
	assert_int_equal(maglev_build(p->backends, p->n, SLOTS, p->base), 0);
}

static void pool_repair(struct pool *p)
{
	assert_int_equal(maglev_repair(p->backends, p->uses, p->n, SLOTS, p->base, p->owners), 0);
	memset(p->owned, 0, sizeof(p->owned));
	p->none = 0;
	for (uint32_t s = 0; s < SLOTS; s++) {
		if (p->owners[s] == BACKEND_NONE)
			p->none++;
		else
			p->owned[p->owners[s]]++;
	}
}

/* Is each share of those that take new flows within a part of what its weight promises? */
static void assert_shares(const struct pool *p, const uint32_t *owned, double slots, double most)
{
	double sum = 0;

	for (uint32_t i = 0; i < p->n; i++)
		sum += p->uses[i].share ? p->backends[i].weight : 0;
	for (uint32_t i = 0; i < p->n; i++) {
		double wanted = p->uses[i].share ? slots * p->backends[i].weight / sum : 0;
		double off = (double)owned[i] - wanted;

		if (off > most * wanted + 1 || off < -most * wanted - 1)
			fail_msg("backend %u: %u slots instead of %.1f", i, owned[i], wanted);
	}
}

static void test_equal_weights_share_equally(void **state)
{
	struct pool *p = pool_new(10);

	(void)state;
	pool_build(p);
	pool_repair(p);
	assert_memory_equal(p->base, p->owners, sizeof(p->base));
	assert_shares(p, p->owned, SLOTS, 0.01);
	free(p);
}

static void test_shares_follow_unequal_weights(void **state)
{
	static const uint32_t weights[] = {1, 10, 100, 300, 1000, 7, 33};
	struct pool *p = pool_new(7);

	(void)state;
	for (uint32_t i = 0; i < p->n; i++)
		p->backends[i].weight = weights[i];
	pool_build(p);
	pool_repair(p);
	assert_shares(p, p->owned, SLOTS, 0.01);
	free(p);
}

static void test_weight_zero_owns_nothing(void **state)
{
	struct pool *p = pool_new(4);

	(void)state;
	p->backends[2].weight = 0;
	p->uses[0].share = 0;
	pool_build(p);
	pool_repair(p);
	assert_int_equal(p->owned[2], 0);
	assert_int_equal(p->owned[0], 0);
	assert_int_equal(p->none, 0);
	free(p);
}

static void test_only_slots_of_the_gone_move_and_come_back(void **state)
{
	struct pool *p = pool_new(20), *before = pool_new(20);

	(void)state;
	pool_build(p);
	p->uses[3].share = 0; /* one is out already */
	pool_repair(p);
	*before = *p;
	p->uses[7].share = 0;
	pool_repair(p);
	for (uint32_t s = 0; s < SLOTS; s++) {
		if (before->owners[s] != 7)
			assert_int_equal(p->owners[s], before->owners[s]);
		else
			assert_true(p->owners[s] != 7 && p->owners[s] != BACKEND_NONE);
	}
	p->uses[7].share = SHARE_ALL;
	pool_repair(p);
	assert_memory_equal(p->owners, before->owners, sizeof(p->owners));
	free(p);
	free(before);
}

static void test_moved_slots_spread_by_weight(void **state)
{
	struct pool *p = pool_new(5);
	uint32_t moved[MOST] = {0}, all = 0;

	(void)state;
	for (uint32_t i = 0; i < p->n; i++)
		p->backends[i].weight = 100 * (i + 1);
	p->uses[4].share = 0;
	pool_build(p);
	pool_repair(p);
	for (uint32_t s = 0; s < SLOTS; s++) {
		if (p->base[s] == 4) {
			moved[p->owners[s]]++;
			all++;
		}
	}
	/* by chance, with a standard deviation of 2 % for the smallest share */
	assert_shares(p, moved, all, 0.06);
	assert_shares(p, p->owned, SLOTS, 0.03);
	free(p);
}

static void test_every_slot_is_owned_while_anyone_is_up(void **state)
{
	struct pool *p = pool_new(30);

	(void)state;
	pool_build(p);
	for (uint32_t i = 1; i < p->n; i++) {
		p->uses[i].share = 0;
		pool_repair(p);
		assert_int_equal(p->none, 0);
	}
	assert_int_equal(p->owned[0], SLOTS);
	p->uses[0].share = 0;
	pool_repair(p);
	assert_int_equal(p->none, SLOTS);
	free(p);
}

static void test_one_backend_owns_all_and_none_owns_nothing(void **state)
{
	struct pool *p = pool_new(1);

	(void)state;
	pool_build(p);
	pool_repair(p);
	assert_int_equal(p->owned[0], SLOTS);
	p->n = 0;
	pool_build(p);
	pool_repair(p);
	assert_int_equal(p->none, SLOTS);
	free(p);
}

static void test_order_of_backends_does_not_matter(void **state)
{
	struct pool *a = pool_new(50), *b = pool_new(50);

	(void)state;
	for (uint32_t i = 0; i < 50; i++)
		b->backends[i] = a->backends[49 - i];
	a->uses[10].share = b->uses[39].share = 0;
	pool_build(a);
	pool_build(b);
	pool_repair(a);
	pool_repair(b);
	for (uint32_t s = 0; s < SLOTS; s++)
		assert_int_equal(a->owners[s], 49 - b->owners[s]);
	free(a);
	free(b);
}

/* Slots of @after that are the backend's there and were not before; none may have moved otherwise.
 */
static uint32_t gained(const struct pool *before, const struct pool *after, uint16_t backend)
{
	uint32_t n = 0;

	for (uint32_t s = 0; s < SLOTS; s++) {
		if (before->owners[s] == after->owners[s])
			continue;
		assert_int_equal(after->owners[s], backend);
		n++;
	}
	return n;
}

static void test_larger_share_only_gains_slots(void **state)
{
	struct pool *p = pool_new(10), *before = pool_new(10);
	uint32_t all;

	(void)state;
	pool_build(p);
	p->uses[8].share = SHARE_ALL / 2; /* another one holds back, too */
	pool_repair(p);
	all = p->owned[3];
	p->uses[3].share = 0;
	pool_repair(p);
	for (uint32_t tenth = 1; tenth <= 10; tenth++) {
		uint32_t part = all * tenth / 10;

		*before = *p;
		p->uses[3].share = (uint16_t)(SHARE_ALL * tenth / 10);
		pool_repair(p);
		assert_true(gained(before, p, 3) > 0);
		/* a tenth is 655 slots, with a standard deviation of 4 % */
		assert_in_range(p->owned[3], part - part / 10 - 100, part + part / 10 + 100);
	}
	assert_int_equal(p->owned[3], all);
	free(p);
	free(before);
}

static void test_slots_held_back_go_to_others_by_weight_and_share(void **state)
{
	struct pool *p = pool_new(4);
	uint32_t moved[MOST] = {0}, all = 0;

	(void)state;
	p->backends[1].weight = 200;
	p->uses[0].share = SHARE_ALL / 4;
	p->uses[2].share = SHARE_ALL / 2;
	pool_build(p);
	pool_repair(p);
	for (uint32_t s = 0; s < SLOTS; s++) {
		if (p->base[s] != 0 || p->owners[s] == 0)
			continue;
		moved[p->owners[s]]++;
		all++;
	}
	assert_in_range(all, SLOTS / 5 * 3 / 4 - 400, SLOTS / 5 * 3 / 4 + 400);
	/* 200 : 50 : 100 */
	assert_in_range(moved[1], all * 4 / 7 - 300, all * 4 / 7 + 300);
	assert_in_range(moved[2], all * 1 / 7 - 300, all * 1 / 7 + 300);
	free(p);
}

static void test_given_slots_go_to_those_who_claim_and_nothing_else_moves(void **state)
{
	struct pool *p = pool_new(10), *before = pool_new(10);
	uint32_t given = 0, all;

	(void)state;
	p->uses[9].share = 0;
	pool_build(p);
	pool_repair(p);
	*before = *p;
	for (uint32_t i = 0; i < 7; i++)
		p->uses[i].gives = SHARE_ALL / 10;
	pool_repair(p); /* nobody claims */
	assert_memory_equal(p->owners, before->owners, sizeof(p->owners));
	p->uses[7].claims = SHARE_ALL;
	p->uses[8].claims = SHARE_ALL / 3;
	pool_repair(p);
	for (uint32_t s = 0; s < SLOTS; s++) {
		if (p->owners[s] == before->owners[s])
			continue;
		assert_true(before->owners[s] == p->base[s] && p->base[s] < 7);
		assert_true(p->owners[s] == 7 || p->owners[s] == 8);
		given++;
	}
	all = SLOTS / 10 * 7 / 10;
	assert_in_range(given, all - 300, all + 300);
	assert_in_range(p->owned[7] - before->owned[7], all * 3 / 4 - 300, all * 3 / 4 + 300);
	*before = *p;
	p->uses[3].gives = SHARE_ALL / 5; /* who gives more only loses */
	pool_repair(p);
	for (uint32_t s = 0; s < SLOTS; s++)
		assert_true(p->owners[s] == before->owners[s] || before->owners[s] == 3);
	assert_true(p->owned[3] < before->owned[3]);
	free(p);
	free(before);
}

static void test_the_only_one_takes_all_whatever_its_share(void **state)
{
	struct pool *p = pool_new(3);

	(void)state;
	p->uses[0].share = 1;
	p->uses[1].share = p->uses[2].share = 0;
	pool_build(p);
	pool_repair(p);
	assert_int_equal(p->owned[0], SLOTS);
	free(p);
}

static void test_backup_takes_only_slots_of_others(void **state)
{
	struct pool *p = pool_new(4);

	(void)state;
	p->backends[3].backup = true;
	p->uses[3].share = 0;
	pool_build(p);
	pool_repair(p);
	assert_shares(p, p->owned, SLOTS, 0.01);
	p->uses[3].share = SHARE_ALL;
	pool_repair(p);
	assert_int_equal(p->owned[3], 0); /* nobody has a slot to give */
	p->uses[0].share = 0;
	pool_repair(p);
	assert_in_range(p->owned[3], SLOTS / 9 - 400, SLOTS / 9 + 400);
	p->uses[1].share = p->uses[2].share = 0;
	pool_repair(p);
	assert_int_equal(p->owned[3], SLOTS);
	free(p);
}

/* The partner may run another build of sluice: this very table is part of the protocol. */
static void test_table_is_the_same_on_all_machines(void **state)
{
	struct pool *p = pool_new(16);
	uint64_t h = 0;

	(void)state;
	for (uint32_t i = 0; i < p->n; i++)
		p->backends[i].weight = 1 + i * i;
	p->uses[5].share = p->uses[15].share = 0;
	pool_build(p);
	pool_repair(p);
	for (uint32_t s = 0; s < SLOTS; s++)
		h = (h ^ p->owners[s]) * 0x100000001b3ULL;
	assert_int_equal(h, 0xc5c9a2a806263e15);
	free(p);
}

static void test_thousand_backends_lose_one_percent_in_time(void **state)
{
	struct pool *p = pool_new(1000);
	uint32_t moved = 0;
	uint64_t start_ms;

	(void)state;
	pool_build(p);
	pool_repair(p);
	assert_shares(p, p->owned, SLOTS, 0.01);
	for (uint32_t i = 0; i < 10; i++)
		p->uses[i * 97].share = 0;
	start_ms = clock_ms();
	pool_repair(p);
	print_message("repair: %u ms\n", (unsigned)(clock_ms() - start_ms));
	for (uint32_t s = 0; s < SLOTS; s++)
		moved += p->owners[s] != p->base[s];
	assert_in_range(moved, 10 * 65, 10 * 66);
	free(p);
}

/* ---- again ---- */

/* What a random event makes of one backend. */
static struct maglev_use use_random(unsigned *seed)
{
	static const uint16_t shares[] = {0, 0, SHARE_ALL, SHARE_ALL, SHARE_ALL, 6553, 32768};
	struct maglev_use use = {.share = shares[(unsigned)rand_r(seed) % 7]};

	if (rand_r(seed) % 4 == 0)
		use.gives = (uint16_t)(rand_r(seed) & 0xffff);
	if (rand_r(seed) % 4 == 0)
		use.claims = (uint16_t)(rand_r(seed) & 0xff);
	return use;
}

static void again_check(struct pool *p, const struct maglev_before *before)
{
	static uint16_t again[SLOTS];

	assert_int_equal(
		maglev_repair_again(p->backends, p->uses, p->n, SLOTS, p->base, before, again), 0);
	pool_repair(p);
	assert_memory_equal(again, p->owners, sizeof(again));
}

static void test_repair_again_gives_what_a_whole_repair_gives(void **state)
{
	static const uint32_t sizes[] = {1, 2, 3, 40};
	static struct maglev_use uses[MOST];
	static uint16_t owners[SLOTS];
	const struct maglev_before before = {.uses = uses, .owners = owners};
	unsigned seed = 4;

	(void)state;
	for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
		struct pool *p = pool_new(sizes[k]);

		for (uint32_t i = 0; i < p->n; i++) {
			p->backends[i].weight = (uint32_t)rand_r(&seed) % 4 * 100;
			p->backends[i].backup = rand_r(&seed) % 8 == 0;
		}
		pool_build(p);
		pool_repair(p);
		for (int step = 0; step < 60; step++) {
			uint32_t n = 1 + (uint32_t)rand_r(&seed) % (step % 3 == 0 ? p->n : 2);

			memcpy(uses, p->uses, sizeof(uses));
			memcpy(owners, p->owners, sizeof(owners));
			for (uint32_t i = 0; i < n; i++)
				p->uses[(uint32_t)rand_r(&seed) % p->n] = use_random(&seed);
			again_check(p, &before);
		}
		free(p);
	}
}

static void test_pool_that_goes_and_comes_back_is_repaired_right(void **state)
{
	static struct maglev_use uses[MOST];
	static uint16_t owners[SLOTS];
	const struct maglev_before before = {.uses = uses, .owners = owners};
	struct pool *p = pool_new(50);

	(void)state;
	pool_build(p);
	pool_repair(p);
	for (uint32_t step = 0; step < 2 * p->n; step++) {
		memcpy(uses, p->uses, sizeof(uses));
		memcpy(owners, p->owners, sizeof(owners));
		p->uses[step % p->n].share = step < p->n ? 0 : SHARE_ALL;
		again_check(p, &before);
	}
	assert_memory_equal(p->owners, p->base, sizeof(p->owners));
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equal_weights_share_equally),
		cmocka_unit_test(test_shares_follow_unequal_weights),
		cmocka_unit_test(test_weight_zero_owns_nothing),
		cmocka_unit_test(test_only_slots_of_the_gone_move_and_come_back),
		cmocka_unit_test(test_moved_slots_spread_by_weight),
		cmocka_unit_test(test_every_slot_is_owned_while_anyone_is_up),
		cmocka_unit_test(test_one_backend_owns_all_and_none_owns_nothing),
		cmocka_unit_test(test_order_of_backends_does_not_matter),
		cmocka_unit_test(test_larger_share_only_gains_slots),
		cmocka_unit_test(test_slots_held_back_go_to_others_by_weight_and_share),
		cmocka_unit_test(test_given_slots_go_to_those_who_claim_and_nothing_else_moves),
		cmocka_unit_test(test_the_only_one_takes_all_whatever_its_share),
		cmocka_unit_test(test_backup_takes_only_slots_of_others),
		cmocka_unit_test(test_table_is_the_same_on_all_machines),
		cmocka_unit_test(test_thousand_backends_lose_one_percent_in_time),
		cmocka_unit_test(test_repair_again_gives_what_a_whole_repair_gives),
		cmocka_unit_test(test_pool_that_goes_and_comes_back_is_repaired_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
