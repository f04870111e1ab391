/* SPDX-License-Identifier: BSD-2-Clause */
/* test_feedback.c: that the loop evens out live connections, settles, and does not oscillate: with
 * simulated sessions that arrive where the real table sends them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/hash.h"
#include "lb/feedback.h"
#include "lb/maglev.h"

enum { SLOTS = 4093, SERVERS = 4 };

/* A round is FEEDBACK_MS long. */
struct pool {
	struct maglev_backend backends[SERVERS];
	uint32_t weights[SERVERS];
	uint16_t shares[SERVERS], base[SLOTS], owners[SLOTS];
	double live[SERVERS];
	double arrivals;	   /* a round */
	double lifetimes[SERVERS]; /* of sessions, in rounds, mean */
	uint64_t seed;		   /* of chance; 0 = everything goes as expected */
	uint32_t changes;	   /* rounds in which a share changed */
};

static void table_build(struct pool *p)
{
	assert_int_equal(maglev_repair(p->backends, p->shares, SERVERS, SLOTS, p->base, p->owners),
			 0);
}

static struct pool *pool_new(const uint32_t weights[static SERVERS], double arrivals,
			     double lifetime)
{
	struct pool *p = calloc(1, sizeof(*p));
	uint32_t sum = 0;
	char name[8];

	assert_non_null(p);
	for (uint32_t i = 0; i < SERVERS; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		p->weights[i] = weights[i];
		p->backends[i] =
			(struct maglev_backend){maglev_seed("imap", name), weights[i], false};
		p->shares[i] = SHARE_ALL;
		sum += weights[i];
	}
	for (uint32_t i = 0; i < SERVERS; i++) {
		p->live[i] = arrivals * lifetime * weights[i] / sum;
		p->lifetimes[i] = lifetime;
	}
	p->arrivals = arrivals;
	assert_int_equal(maglev_build(p->backends, SERVERS, SLOTS, p->base), 0);
	table_build(p);
	return p;
}

/* How many of n are to go somewhere that has this part of the slots: n * part, and with chance. */
static double some_of(struct pool *p, double n, double part)
{
	uint32_t hits = 0;

	if (!p->seed)
		return n * part;
	for (uint32_t i = 0; i < (uint32_t)n; i++) {
		p->seed += 0x9e3779b97f4a7c15ULL;
		hits += (double)(hash_mix(p->seed) >> 11) / 9007199254740992.0 < part;
	}
	return hits;
}

static void round_pass(struct pool *p, bool feedback)
{
	struct feedback_backend rows[SERVERS];
	uint32_t owned[SERVERS] = {0};

	for (uint32_t s = 0; s < SLOTS; s++)
		owned[p->owners[s]]++;
	for (uint32_t i = 0; i < SERVERS; i++) {
		p->live[i] -= some_of(p, p->live[i], 1 / p->lifetimes[i]);
		p->live[i] += some_of(p, p->arrivals, (double)owned[i] / SLOTS);
		rows[i] = (struct feedback_backend){p->weights[i], true, (uint64_t)p->live[i],
						    p->shares[i]};
	}
	if (!feedback || !feedback_round(rows, SERVERS))
		return;
	for (uint32_t i = 0; i < SERVERS; i++) {
		int32_t step = (int32_t)rows[i].share - (int32_t)p->shares[i];

		assert_in_range(step + SHARE_ALL / 10, 0, SHARE_ALL / 5);
		assert_in_range(rows[i].share, SHARE_ALL / 10, SHARE_ALL);
		p->shares[i] = rows[i].share;
	}
	p->changes++;
	table_build(p);
}

static void rounds_pass(struct pool *p, uint32_t n, bool feedback)
{
	while (n-- > 0)
		round_pass(p, feedback);
}

/* The greatest distance from what the weights promise, in its parts. */
static double spread(const struct pool *p)
{
	double live = 0, weights = 0, most = 0;

	for (uint32_t i = 0; i < SERVERS; i++) {
		live += p->live[i];
		weights += p->weights[i];
	}
	for (uint32_t i = 0; i < SERVERS; i++) {
		double off = p->live[i] * weights / (live * p->weights[i]) - 1;

		off = off < 0 ? -off : off;
		most = off > most ? off : most;
	}
	return most;
}

static const uint32_t equal[SERVERS] = {100, 100, 100, 100};
static const uint32_t unequal[SERVERS] = {100, 50, 200, 150};

static bool all_whole(const struct pool *p)
{
	for (uint32_t i = 0; i < SERVERS; i++) {
		if (p->shares[i] != SHARE_ALL)
			return false;
	}
	return true;
}

/* 12,000 sessions of more than an hour; one of four servers was restarted. What the loop ignores,
 * 5 % above the mean at three of them, is some 15 % below it at the fourth.
 */
static void restarted_server_fills(const uint32_t weights[static SERVERS], uint32_t server,
				   uint64_t seed)
{
	struct pool *with = pool_new(weights, 24, 500), *without = pool_new(weights, 24, 500);
	double last = 1;

	with->seed = without->seed = seed;
	with->live[server] = without->live[server] = 0;
	for (uint32_t i = 1; i <= 20; i++) {
		double now;

		rounds_pass(with, 20, true);
		rounds_pass(without, 20, false);
		now = spread(with);
		if (now > last + 0.01 && now > 0.2)
			fail_msg("after %u rounds: %.3f, after %.3f", 20 * i, now, last);
		if (i == 10 && now > spread(without) / 2)
			fail_msg("half way: %.3f, without feedback %.3f", now, spread(without));
		last = now;
	}
	assert_true(last < 0.2);
	rounds_pass(with, 400, true);
	with->changes = 0;
	rounds_pass(with, 400, true);
	assert_true(spread(with) < 0.2);
	if (with->changes > (seed ? 20U : 0U) || (!seed && !all_whole(with)))
		fail_msg("not settled: %u rounds of 400 changed a share", with->changes);
	free(with);
	free(without);
}

static void test_restarted_server_fills_and_shares_settle(void **state)
{
	(void)state;
	restarted_server_fills(equal, 1, 0);
	restarted_server_fills(unequal, 2, 0);
}

static void test_chance_does_not_keep_shares_moving(void **state)
{
	(void)state;
	restarted_server_fills(equal, 1, 1);
	restarted_server_fills(unequal, 2, 7);
}

/* Where sessions are not longer than a round, the counts follow the shares at once. At one server
 * they take half as long again (it is slow, say): it is to have a steady smaller share.
 */
static void test_short_sessions_do_not_oscillate(void **state)
{
	(void)state;
	for (double lifetime = 1; lifetime < 40; lifetime *= 3) {
		struct pool *p = pool_new(equal, 10000, lifetime);

		p->lifetimes[2] *= 1.5;
		rounds_pass(p, 400, false);
		assert_true(spread(p) > 0.3);
		rounds_pass(p, 400, true);
		p->changes = 0;
		rounds_pass(p, 100, true);
		if (p->changes > 0 || spread(p) > 0.2)
			fail_msg("lifetime %g: %u changes, spread %.3f", lifetime, p->changes,
				 spread(p));
		assert_in_range(p->shares[2], SHARE_ALL / 2, SHARE_ALL * 9 / 10);
		assert_int_equal(p->shares[0], SHARE_ALL);
		free(p);
	}
}

/* A server that takes half of what its weight says (say, clients stay longer there). */
static void test_lasting_unevenness_gets_a_steady_share(void **state)
{
	struct feedback_backend rows[] = {{100, true, 4000, SHARE_ALL},
					  {100, true, 2000, SHARE_ALL},
					  {100, true, 2000, SHARE_ALL}};
	uint16_t steady;

	(void)state;
	for (int i = 0; i < 30; i++)
		feedback_round(rows, 3);
	steady = rows[0].share;
	/* expected 2,666; 1,333 above, less a margin of 133: 4 * 45 % less */
	assert_in_range(steady, SHARE_ALL / 10, SHARE_ALL / 10 + SHARE_ALL / 50);
	assert_false(feedback_round(rows, 3));
	assert_int_equal(rows[1].share, SHARE_ALL);
}

static void test_small_deviations_and_few_connections_change_nothing(void **state)
{
	struct feedback_backend near[] = {{100, true, 10400, SHARE_ALL},
					  {100, true, 9600, SHARE_ALL},
					  {200, true, 20000, SHARE_ALL}};
	struct feedback_backend few[] = {{100, true, 39, SHARE_ALL}, {100, true, 0, SHARE_ALL}};
	struct feedback_backend none[] = {{100, true, 0, SHARE_ALL}, {0, true, 0, SHARE_ALL}};

	(void)state;
	assert_false(feedback_round(near, 3));
	assert_false(feedback_round(few, 2));
	assert_false(feedback_round(none, 2));
	assert_false(feedback_round(NULL, 0));
}

static void test_who_takes_no_part_is_not_counted_and_begins_whole(void **state)
{
	struct feedback_backend rows[] = {{100, true, 1000, SHARE_ALL},
					  {100, true, 1000, SHARE_ALL},
					  {100, false, 90000, SHARE_ALL / 3}};

	(void)state;
	assert_true(feedback_round(rows, 3));
	assert_true(rows[0].share == SHARE_ALL && rows[1].share == SHARE_ALL);
	assert_int_equal(rows[2].share, SHARE_ALL);
}

static void test_order_of_backends_does_not_matter(void **state)
{
	struct feedback_backend a[] = {{100, true, 3000, SHARE_ALL},
				       {50, true, 10, SHARE_ALL / 2},
				       {300, true, 3100, SHARE_ALL / 5}};
	struct feedback_backend b[] = {a[2], a[0], a[1]};

	(void)state;
	assert_true(feedback_round(a, 3));
	assert_true(feedback_round(b, 3));
	assert_int_equal(a[0].share, b[1].share);
	assert_int_equal(a[1].share, b[2].share);
	assert_int_equal(a[2].share, b[0].share);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_restarted_server_fills_and_shares_settle),
		cmocka_unit_test(test_chance_does_not_keep_shares_moving),
		cmocka_unit_test(test_short_sessions_do_not_oscillate),
		cmocka_unit_test(test_lasting_unevenness_gets_a_steady_share),
		cmocka_unit_test(test_small_deviations_and_few_connections_change_nothing),
		cmocka_unit_test(test_who_takes_no_part_is_not_counted_and_begins_whole),
		cmocka_unit_test(test_order_of_backends_does_not_matter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
