/* SPDX-License-Identifier: BSD-2-Clause */
/* test_share.c: what must hold of backups, min_backends, limits, on_down and slow starts; desired.c
 * and plan.c included, without a kernel.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "lb/maglev.h"
#include "lb/share.h"
#include "tests/unit/lb/world.h"

/* Three ordinary backends, 0 to 2, and a backup, 3. */
#define POOLS(options)                                                                                        \
	"pools = ( { name = \"mx\"; port = 25; probe = { type = \"tcp\"; }; idle_timeout = \"60s\"; " options \
	" backends = ( { name = \"mx1\"; address = \"192.0.2.21\"; }, { name = \"mx2\"; address = "           \
	"\"192.0.2.22\"; }, { name = \"mx3\"; address = \"192.0.2.23\"; }, { name = \"spare\"; "              \
	"address = \"192.0.2.24\"; backup = true; } ); } );"

static struct world *world_of(const char *pools)
{
	struct world *w = world_new();

	world_configure(w, pools, smtp_to_mx);
	world_go(w);
	return w;
}

static enum pool_use use_of(const struct world *w, struct fate ret_fates[static 4])
{
	return pool_fates(w->config, w->backends, 0, ret_fates);
}

/* Which backends take new connections, and which are alive, as "1001 1111" in their order. */
static const char *fates_text(const struct world *w)
{
	static char text[10];
	struct fate fates[4];

	use_of(w, fates);
	for (int i = 0; i < 4; i++) {
		text[i] = fates[i].takes_new ? '1' : '0';
		text[5 + i] = fates[i].alive ? '1' : '0';
		assert_int_equal(fates[i].share > 0, fates[i].takes_new);
	}
	text[4] = ' ';
	return text;
}

static void health_set(struct world *w, const enum health health[static 4])
{
	for (int i = 0; i < 4; i++)
		w->backends[i].health.health = health[i];
}

#define UP   HEALTH_UP
#define DOWN HEALTH_DOWN
#define NEW  HEALTH_UNKNOWN
#define LEAV HEALTH_LEAVING

static void test_pool_below_its_minimum_does_as_configured(void **state)
{
	static const struct {
		const char *pools;
		enum health health[4];
		enum pool_use use;
		const char *fates;
	} rows[] = {
		{POOLS(""), {UP, UP, UP, UP}, USE_ORDINARY, "1110 1111"},
		{POOLS(""), {UP, DOWN, DOWN, UP}, USE_ORDINARY, "1000 1001"},
		{POOLS(""), {DOWN, LEAV, NEW, UP}, USE_BACKUPS, "0001 0101"},
		{POOLS(""), {DOWN, DOWN, DOWN, DOWN}, USE_BACKUPS, "0000 0000"},
		{POOLS("min_backends = 2;"), {UP, UP, DOWN, UP}, USE_ORDINARY, "1100 1101"},
		{POOLS("min_backends = 2;"), {UP, DOWN, DOWN, UP}, USE_BACKUPS, "1001 1001"},
		{POOLS("min_backends = 2; below_min = \"all\";"),
		 {UP, UP, DOWN, DOWN},
		 USE_ORDINARY,
		 "1100 1100"},
		{POOLS("min_backends = 2; below_min = \"all\";"),
		 {UP, DOWN, LEAV, DOWN},
		 USE_ALL,
		 "1111 1111"},
		{POOLS("min_backends = 2; below_min = \"all\";"),
		 {UP, DOWN, NEW, NEW}, /* those without a result are not forced */
		 USE_ALL,
		 "1100 1100"},
		{POOLS("min_backends = 2; below_min = \"reject\";"),
		 {UP, DOWN, LEAV, UP},
		 USE_NOBODY,
		 "0000 1011"},
		{POOLS("on_down = \"keep\";"), {UP, DOWN, LEAV, DOWN}, USE_ORDINARY, "1000 1111"},
	};
	struct fate fates[4];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world *w = world_of(rows[i].pools);

		health_set(w, rows[i].health);
		if (use_of(w, fates) != rows[i].use || strcmp(fates_text(w), rows[i].fates) != 0)
			fail_msg("row %zu: use %d, fates %s", i, (int)use_of(w, fates),
				 fates_text(w));
		world_free(w);
	}
}

static void test_operator_has_the_last_word_over_below_min(void **state)
{
	struct world *w = world_of(POOLS("min_backends = 3; below_min = \"all\";"));

	(void)state;
	health_set(w, (enum health[4]){DOWN, DOWN, DOWN, DOWN});
	w->backends[0].by_operator = OPERATOR_DISABLED;
	w->backends[1].by_operator = OPERATOR_DRAIN;
	assert_string_equal(fates_text(w), "0011 0111");
	world_free(w);
}

static void test_full_backend_keeps_its_connections_and_gets_no_new_ones(void **state)
{
	struct world *w = world_of(POOLS("max_connections = 10;"));
	uint32_t share = owned(w, 0, 1);
	struct fate fates[4];

	(void)state;
	assert_int_equal(owned(w, 0, 3), 0);
	w->backends[1].full = true;
	assert_string_equal(world_go(w), "table, backend change");
	assert_int_equal(owned(w, 0, 1), 0);
	assert_int_equal(w->current->pools[0].table.n_transition, share);
	assert_true(is_alive(w, 1));
	w->backends[0].full = w->backends[2].full = true;
	assert_int_equal(use_of(w, fates), USE_OVERFLOW);
	world_go(w);
	assert_int_equal(owned(w, 0, 3), SLOTS);
	w->backends[3].full = true;
	world_go(w);
	assert_int_equal(owned(w, 0, BACKEND_NONE), SLOTS);
	assert_string_equal(fates_text(w), "0000 1111");
	w->backends[1].full = false;
	world_go(w);
	assert_int_equal(owned(w, 0, 1), SLOTS);
	world_free(w);
}

/* Full backends are not missing: min_backends is about those that are gone. */
static void test_full_backends_count_for_min_backends(void **state)
{
	struct world *w = world_of(POOLS("min_backends = 3; below_min = \"reject\";"));
	struct fate fates[4];

	(void)state;
	w->backends[0].full = w->backends[1].full = true;
	assert_int_equal(use_of(w, fates), USE_ORDINARY);
	assert_string_equal(fates_text(w), "0010 1111");
	world_free(w);
}

static void test_full_ends_below_95_percent(void **state)
{
	(void)state;
	assert_false(limit_reached(false, 1000000, 0));
	assert_false(limit_reached(true, 1000000, 0));
	assert_false(limit_reached(false, 999, 1000));
	assert_true(limit_reached(false, 1000, 1000));
	assert_true(limit_reached(true, 950, 1000));
	assert_false(limit_reached(true, 949, 1000));
	assert_false(limit_reached(true, 0, 1));
	assert_true(limit_reached(true, 1, 1));
	assert_true(limit_reached(true, UINT32_MAX, UINT32_MAX));
}

/* ---- panic ---- */

#define PANIC(options) POOLS("panic_threshold = 50; " options)

static void test_pool_below_its_panic_threshold_does_not_believe_the_probes(void **state)
{
	static const struct {
		const char *pools;
		enum health health[4];
		enum pool_use use;
		const char *fates;
	} rows[] = {
		{PANIC(""), {UP, UP, DOWN, UP}, USE_ORDINARY, "1100 1101"},
		{PANIC(""), {UP, DOWN, DOWN, UP}, USE_PANIC, "1110 1111"},
		{PANIC(""), {DOWN, DOWN, DOWN, DOWN}, USE_PANIC, "1110 1111"},
		/* the backup passes: it is not the probes */
		{PANIC(""), {DOWN, DOWN, DOWN, UP}, USE_BACKUPS, "0001 0001"},
		/* a server that asks for no more work has answered */
		{PANIC(""), {UP, LEAV, DOWN, UP}, USE_ORDINARY, "1000 1101"},
		{PANIC(""), {LEAV, DOWN, DOWN, UP}, USE_PANIC, "0110 1111"},
		/* one without a result says nothing, and is not forced */
		{PANIC(""), {NEW, UP, DOWN, UP}, USE_ORDINARY, "0100 0101"},
		{PANIC(""), {NEW, NEW, NEW, NEW}, USE_BACKUPS, "0000 0000"},
		{PANIC("min_backends = 2; below_min = \"reject\";"),
		 {UP, DOWN, DOWN, UP},
		 USE_PANIC,
		 "1110 1111"},
		{POOLS("panic_threshold = 100;"), {UP, UP, DOWN, UP}, USE_PANIC, "1110 1111"},
		{POOLS("panic_threshold = 33;"), {UP, DOWN, DOWN, UP}, USE_ORDINARY, "1000 1001"},
		{POOLS("panic_threshold = 34;"), {UP, DOWN, DOWN, UP}, USE_PANIC, "1110 1111"},
	};
	struct fate fates[4];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world *w = world_of(rows[i].pools);

		health_set(w, rows[i].health);
		if (use_of(w, fates) != rows[i].use || strcmp(fates_text(w), rows[i].fates) != 0)
			fail_msg("row %zu: use %d, fates %s", i, (int)use_of(w, fates),
				 fates_text(w));
		world_free(w);
	}
}

static void test_panic_leaves_the_operators_and_the_agents_word(void **state)
{
	struct world *w = world_of(PANIC(""));
	struct fate fates[4];

	(void)state;
	health_set(w, (enum health[4]){UP, DOWN, DOWN, DOWN});
	w->backends[1].by_operator = OPERATOR_DISABLED; /* and is not counted: 1 of 2 */
	assert_int_equal(use_of(w, fates), USE_ORDINARY);
	w->backends[0].health.health = DOWN;
	assert_int_equal(use_of(w, fates), USE_PANIC);
	assert_string_equal(fates_text(w), "1010 1011");
	w->backends[2].health.said[SAYER_AGENT].health = DOWN;
	assert_string_equal(fates_text(w), "1000 1001");
	w->backends[1].by_operator = OPERATOR_ENABLED;
	w->backends[0].by_operator = OPERATOR_DRAIN;
	assert_string_equal(fates_text(w), "0100 1101");
	w->backends[2].health.said[SAYER_AGENT].health = LEAV; /* and its probe fails */
	assert_string_equal(fates_text(w), "0100 1111");
	world_free(w);
}

/* Whoever drains a server may switch it off then: that is no news of the others' probes. */
static void test_drained_servers_that_are_down_make_no_panic(void **state)
{
	struct world *w = world_of(PANIC(""));
	struct fate fates[4];

	(void)state;
	health_set(w, (enum health[4]){UP, DOWN, DOWN, UP});
	assert_int_equal(use_of(w, fates), USE_PANIC);
	w->backends[2].by_operator = OPERATOR_DRAIN;
	assert_int_equal(use_of(w, fates), USE_ORDINARY); /* 1 of 2 */
	assert_string_equal(fates_text(w), "1000 1001");
	w->backends[2].by_operator = OPERATOR_ENABLED;
	w->backends[2].weight = 0;
	assert_int_equal(use_of(w, fates), USE_ORDINARY);
	/* one that passes shows that the probes do work */
	w->backends[2].health.health = UP;
	w->backends[0].health.health = DOWN;
	assert_int_equal(use_of(w, fates), USE_PANIC); /* 1 of 3 */
	w->backends[1].health.health = UP;
	assert_int_equal(use_of(w, fates), USE_ORDINARY); /* 2 of 3 */
	world_free(w);
}

static void test_agent_has_a_word_where_probes_are_not_believed(void **state)
{
	struct world *w = world_of(POOLS("min_backends = 3; below_min = \"all\";"));

	(void)state;
	health_set(w, (enum health[4]){DOWN, DOWN, DOWN, DOWN});
	w->backends[0].health.said[SAYER_AGENT].health = DOWN;
	w->backends[1].health.said[SAYER_AGENT].health = LEAV;
	w->backends[2].health.said[SAYER_AGENT].health = UP;
	assert_string_equal(fates_text(w), "0011 0111");
	world_free(w);
}

static void test_leaving_panic_moves_the_slots_back(void **state)
{
	struct world *w = world_of(PANIC(""));
	uint32_t share = owned(w, 0, 1);

	(void)state;
	w->backends[1].health.health = w->backends[2].health.health = DOWN;
	assert_string_equal(world_go(w), "");
	assert_int_equal(owned(w, 0, 1), share);
	w->backends[1].health.health = UP;
	assert_string_equal(world_go(w), "table, backend change");
	assert_int_equal(owned(w, 0, 2), 0);
	assert_false(is_alive(w, 2));
	world_free(w);
}

/* ---- slow start ---- */

#define SLOW POOLS("slow_start = \"60s\";")

/* At this time. Is a start under way? */
static bool starts_at(struct world *w, uint64_t now_s, bool served)
{
	bool starting;

	pool_starts(config_pool(w->config, 0), config_backend(w->config, 0), w->backends,
		    now_s * 1000, served, &starting);
	return starting;
}

/* A pool that has served for long, in which backend 1 came up at second 1000. */
static struct world *one_came_up(const char *pools)
{
	struct world *w = world_of(pools);

	w->backends[1].health.health = HEALTH_DOWN;
	starts_at(w, 1, false);
	w->backends[1].health.health = HEALTH_UP;
	starts_at(w, 1000, true);
	return w;
}

static void test_share_rises_in_ten_steps_after_coming_up(void **state)
{
	struct world *w = one_came_up(SLOW);
	uint32_t last = 0, steps = 0;

	(void)state;
	for (uint64_t s = 1000; s <= 1060; s++) {
		uint32_t share;

		assert_int_equal(starts_at(w, s, true), s < 1054);
		share = backend_share(&w->backends[1]);
		assert_true(share >= last);
		steps += share > last;
		if (s == 1000)
			assert_in_range(share, SHARE_ALL / 10 - 1, SHARE_ALL / 10 + 1);
		last = share;
	}
	assert_int_equal(last, SHARE_ALL);
	assert_int_equal(steps, 10);
	assert_int_equal(backend_share(&w->backends[0]), SHARE_ALL);
	world_free(w);
}

static void test_each_step_moves_slots_only_to_who_starts(void **state)
{
	struct world *w = one_came_up(SLOW);
	uint16_t before[SLOTS];
	uint32_t had = 0;

	(void)state;
	world_go(w);
	for (uint64_t s = 1006; s <= 1060; s += 6) {
		for (uint32_t i = 0; i < SLOTS; i++)
			before[i] = w->current->pools[0].table.slots[i].owner & SLOT_BACKEND;
		had = owned(w, 0, 1);
		starts_at(w, s, true);
		world_go(w);
		for (uint32_t i = 0; i < SLOTS; i++) {
			uint16_t owner = w->current->pools[0].table.slots[i].owner & SLOT_BACKEND;

			assert_true(owner == before[i] || owner == 1);
		}
		assert_true(owned(w, 0, 1) >= had);
	}
	assert_in_range(owned(w, 0, 1), SLOTS / 3, SLOTS / 3 + 1);
	world_free(w);
}

static void test_nobody_starts_slowly_at_a_cold_start(void **state)
{
	struct world *w = world_of(SLOW);

	(void)state;
	health_set(w, (enum health[4]){UP, NEW, NEW, NEW});
	starts_at(w, 1, false);
	health_set(w, (enum health[4]){UP, UP, UP, UP});
	assert_false(starts_at(w, 3, false));
	assert_false(starts_at(w, 4, true));
	world_free(w);
}

static void test_nobody_starts_slowly_when_nobody_was_up_for_long(void **state)
{
	struct world *w = world_of(SLOW);

	(void)state;
	starts_at(w, 1, false);
	health_set(w, (enum health[4]){DOWN, DOWN, DOWN, UP});
	starts_at(w, 1000, true);
	health_set(w, (enum health[4]){UP, DOWN, DOWN, UP}); /* the backup does not count */
	assert_false(starts_at(w, 2000, true));
	health_set(w, (enum health[4]){UP, UP, DOWN, UP});
	assert_false(starts_at(w, 2001, true));
	health_set(w, (enum health[4]){UP, UP, UP, UP});
	assert_true(starts_at(w, 2060, true));
	world_free(w);
}

static void test_drain_and_weight_and_backup_start_at_once(void **state)
{
	struct world *w = world_of(SLOW);

	(void)state;
	health_set(w, (enum health[4]){UP, UP, UP, DOWN});
	starts_at(w, 1, false);
	w->backends[0].by_operator = OPERATOR_DRAIN;
	w->backends[1].weight = 0;
	starts_at(w, 1000, true);
	w->backends[0].by_operator = OPERATOR_ENABLED;
	w->backends[1].weight = WEIGHT_NONE;
	w->backends[3].health.health = HEALTH_UP;
	assert_false(starts_at(w, 2000, true));
	w->backends[0].by_operator = OPERATOR_DISABLED;
	starts_at(w, 3000, true);
	w->backends[0].by_operator = OPERATOR_ENABLED;
	assert_true(starts_at(w, 4000, true)); /* who was disabled may have been restarted */
	world_free(w);
}

static void test_restart_of_lb_starts_nobody(void **state)
{
	struct world *w = world_of(SLOW);

	(void)state;
	health_set(w, (enum health[4]){NEW, NEW, NEW, NEW});
	for (int i = 0; i < 3; i++)
		w->backends[i].kept_alive = w->backends[i].kept_takes_new = i != 2;
	assert_false(starts_at(w, 5, true));
	health_set(w, (enum health[4]){UP, UP, NEW, UP});
	assert_false(starts_at(w, 6, true));
	/* the third was down before the restart */
	health_set(w, (enum health[4]){UP, UP, UP, UP});
	assert_true(starts_at(w, 7, true));
	assert_int_equal(backend_share(&w->backends[0]), SHARE_ALL);
	assert_true(backend_share(&w->backends[2]) < SHARE_ALL);
	world_free(w);
}

static void test_start_is_over_when_it_goes_down_or_is_turned_off(void **state)
{
	struct world *w = one_came_up(SLOW);

	(void)state;
	w->backends[1].health.health = HEALTH_DOWN;
	assert_false(starts_at(w, 1010, true));
	w->backends[1].health.health = HEALTH_UP;
	assert_true(starts_at(w, 1020, true));
	world_configure(w, mx_123, smtp_to_mx); /* no slow_start there */
	w->backends[1].start_ms = 1020000;
	assert_false(starts_at(w, 1021, true));
	assert_int_equal(backend_share(&w->backends[1]), SHARE_ALL);
	world_free(w);
}

static void test_slow_backend_gets_that_part_of_its_share_and_the_rest_moves_nowhere(void **state)
{
	struct world *w = world_of(POOLS(""));
	uint32_t before = owned(w, 0, 1), others = owned(w, 0, 0) + owned(w, 0, 2);

	(void)state;
	w->backends[1].health.weight = 50;
	assert_in_range(backend_share(&w->backends[1]), SHARE_ALL / 2 - 1, SHARE_ALL / 2);
	assert_string_equal(world_go(w), "table");
	assert_in_range(owned(w, 0, 1), before / 3, before * 2 / 3);
	assert_true(owned(w, 0, 0) + owned(w, 0, 2) > others);
	assert_true(is_alive(w, 1));
	w->backends[1].health.weight = 100;
	world_go(w);
	assert_int_equal(owned(w, 0, 1), before);
	world_free(w);
}

static void test_least_weight_of_health_still_is_a_share(void **state)
{
	struct lb_backend b = {.health.weight = 1, .withheld_start = SHARE_ALL - 1};

	(void)state;
	assert_int_equal(backend_share(&b), 1);
	b = (struct lb_backend){0}; /* no probe has said anything */
	assert_int_equal(backend_share(&b), SHARE_ALL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pool_below_its_minimum_does_as_configured),
		cmocka_unit_test(test_operator_has_the_last_word_over_below_min),
		cmocka_unit_test(test_full_backend_keeps_its_connections_and_gets_no_new_ones),
		cmocka_unit_test(test_full_backends_count_for_min_backends),
		cmocka_unit_test(test_pool_below_its_panic_threshold_does_not_believe_the_probes),
		cmocka_unit_test(test_panic_leaves_the_operators_and_the_agents_word),
		cmocka_unit_test(test_drained_servers_that_are_down_make_no_panic),
		cmocka_unit_test(test_agent_has_a_word_where_probes_are_not_believed),
		cmocka_unit_test(test_leaving_panic_moves_the_slots_back),
		cmocka_unit_test(test_full_ends_below_95_percent),
		cmocka_unit_test(test_share_rises_in_ten_steps_after_coming_up),
		cmocka_unit_test(test_each_step_moves_slots_only_to_who_starts),
		cmocka_unit_test(test_nobody_starts_slowly_at_a_cold_start),
		cmocka_unit_test(test_nobody_starts_slowly_when_nobody_was_up_for_long),
		cmocka_unit_test(test_drain_and_weight_and_backup_start_at_once),
		cmocka_unit_test(test_restart_of_lb_starts_nobody),
		cmocka_unit_test(
			test_slow_backend_gets_that_part_of_its_share_and_the_rest_moves_nowhere),
		cmocka_unit_test(test_least_weight_of_health_still_is_a_share),
		cmocka_unit_test(test_start_is_over_when_it_goes_down_or_is_turned_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
