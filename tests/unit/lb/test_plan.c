/* SPDX-License-Identifier: BSD-2-Clause */
/* test_plan.c: inputs in, steps out: desired.c and plan.c together, without a kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tests/unit/lb/world.h"

#define STEPS_OF_A_START                                                                           \
	"settings, backend add, backend add, backend add, pool add, service add, attach"

static void test_start_adds_backends_then_table_then_service_then_attaches(void **state)
{
	struct world *w = world_new();

	(void)state;
	assert_string_equal(world_go(w), STEPS_OF_A_START);
	assert_int_equal(owned(w, 0, 0) + owned(w, 0, 1) + owned(w, 0, 2), SLOTS);
	assert_int_equal(w->current->pools[0].table.n_transition, 0);
	assert_string_equal(world_go(w), "");
	world_free(w);
}

static void test_drain_moves_slots_and_undrain_moves_them_back(void **state)
{
	struct world *w = world_new();
	uint16_t before[SLOTS];
	struct plan plan;
	uint32_t share;

	(void)state;
	world_go(w);
	share = owned(w, 0, 1);
	for (uint32_t i = 0; i < SLOTS; i++)
		before[i] = w->current->pools[0].table.slots[i].owner;
	w->backends[1].by_operator = OPERATOR_DRAIN;
	plan = world_plan(w);
	assert_int_equal(plan.moved, share);
	plan_fini(&plan);
	assert_string_equal(world_go(w), "table, backend change");
	assert_int_equal(owned(w, 0, 1), 0);
	assert_true(is_alive(w, 1));
	assert_int_equal(w->current->pools[0].table.n_transition, share);

	w->backends[1].by_operator = OPERATOR_ENABLED;
	assert_string_equal(world_go(w), "backend change, table");
	for (uint32_t i = 0; i < SLOTS; i++)
		assert_int_equal(w->current->pools[0].table.slots[i].owner & SLOT_BACKEND,
				 before[i]);
	assert_int_equal(w->current->pools[0].table.n_transition, share);
	w->now_s += IDLE_S;
	assert_string_equal(world_go(w), "table");
	assert_int_equal(w->current->pools[0].table.n_transition, 0);
	world_free(w);
}

static void test_backend_down_is_cut_after_its_slots_moved(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_go(w);
	w->backends[2].health.health = HEALTH_DOWN;
	assert_string_equal(world_go(w), "table, backend change");
	assert_false(is_alive(w, 2));
	assert_int_equal(w->current->pools[0].table.n_transition, 0);
	w->backends[2].health.health = HEALTH_UP;
	assert_string_equal(world_go(w), "backend change, table");
	assert_true(is_alive(w, 2));
	assert_true(w->current->pools[0].table.n_transition > 0);
	world_free(w);
}

static void test_disabled_backend_is_cut(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_go(w);
	w->backends[0].by_operator = OPERATOR_DISABLED;
	assert_string_equal(world_go(w), "table, backend change");
	assert_false(is_alive(w, 0));
	world_free(w);
}

static void test_fate_follows_health_operator_weight_and_neighbour(void **state)
{
	static const struct {
		enum health health;
		bool kept;
		enum operator_state by_operator;
		int32_t weight;
		enum neighbour_status neighbour;
		bool was_known, takes_new, alive;
	} rows[] = {
		{HEALTH_UP, 0, OPERATOR_ENABLED, WEIGHT_NONE, NEIGHBOUR_KNOWN, 1, 1, 1},
		{HEALTH_UP, 0, OPERATOR_ENABLED, 7, NEIGHBOUR_KNOWN, 1, 1, 1},
		{HEALTH_UP, 0, OPERATOR_ENABLED, 0, NEIGHBOUR_KNOWN, 1, 0, 1},
		{HEALTH_UP, 0, OPERATOR_DRAIN, WEIGHT_NONE, NEIGHBOUR_KNOWN, 1, 0, 1},
		{HEALTH_UP, 0, OPERATOR_DISABLED, WEIGHT_NONE, NEIGHBOUR_KNOWN, 1, 0, 0},
		{HEALTH_UP, 0, OPERATOR_ENABLED, WEIGHT_NONE, NEIGHBOUR_UNKNOWN, 0, 0, 0},
		{HEALTH_UP, 0, OPERATOR_ENABLED, WEIGHT_NONE, NEIGHBOUR_UNKNOWN, 1, 0, 1},
		{HEALTH_UP, 0, OPERATOR_ENABLED, WEIGHT_NONE, NEIGHBOUR_GATEWAY, 0, 0, 0},
		{HEALTH_LEAVING, 0, OPERATOR_ENABLED, WEIGHT_NONE, NEIGHBOUR_KNOWN, 1, 0, 1},
		{HEALTH_DOWN, 0, OPERATOR_ENABLED, WEIGHT_NONE, NEIGHBOUR_KNOWN, 1, 0, 0},
		{HEALTH_DOWN, 1, OPERATOR_DRAIN, WEIGHT_NONE, NEIGHBOUR_KNOWN, 1, 0, 0},
		{HEALTH_UNKNOWN, 0, OPERATOR_ENABLED, WEIGHT_NONE, NEIGHBOUR_KNOWN, 1, 0, 0},
		{HEALTH_UNKNOWN, 1, OPERATOR_ENABLED, WEIGHT_NONE, NEIGHBOUR_KNOWN, 1, 1, 1},
		{HEALTH_UNKNOWN, 1, OPERATOR_DRAIN, WEIGHT_NONE, NEIGHBOUR_KNOWN, 1, 0, 1},
	};
	const struct config_backend conf = {.weight = 100};
	const struct config_pool pool = {.probe.type = "tcp"};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lb_backend in = {
			.health.health = rows[i].health,
			.by_operator = rows[i].by_operator,
			.weight = rows[i].weight,
			.kept_alive = rows[i].kept,
			.kept_takes_new = rows[i].kept,
			.neighbour = {.status = rows[i].neighbour, .was_known = rows[i].was_known}};
		struct fate fate = backend_fate(&pool, &conf, &in);

		if (fate.takes_new != rows[i].takes_new || fate.alive != rows[i].alive)
			fail_msg("row %zu: takes_new %d alive %d", i, fate.takes_new, fate.alive);
	}
}

static void test_backend_of_a_pool_without_probe_is_up(void **state)
{
	const struct config_backend conf = {.weight = 100};
	const struct config_pool pool = {.probe.type = "none"};
	struct lb_backend in = {.weight = WEIGHT_NONE,
				.neighbour = {.status = NEIGHBOUR_KNOWN, .was_known = true}};

	(void)state;
	assert_true(backend_fate(&pool, &conf, &in).takes_new);
}

static void test_removed_backend_goes_on_until_its_flows_ended(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_go(w);
	w->has_flows[2] = 1;
	world_configure(w, mx_12, smtp_to_mx);
	assert_string_equal(world_go(w), "table, backend retire");
	assert_true(is_alive(w, 2) && w->current->backends[2].retired);
	w->now_s += IDLE_S; /* slots settle, but for the one whose flow lives there */
	w->foreign[0] = 0xff;
	world_go(w);
	assert_true(w->current->backends[2].used);
	w->has_flows[2] = 0;
	assert_string_equal(world_go(w), ""); /* a slot still names it */
	memset(w->foreign, 0, sizeof(w->foreign));
	assert_string_equal(world_go(w), "table, backend free");
	assert_false(w->current->backends[2].used);
	world_free(w);
}

static void test_number_is_not_freed_without_a_whole_sweep(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_go(w);
	world_configure(w, mx_12, smtp_to_mx);
	world_go(w);
	w->swept = false;
	w->now_s += 10 * IDLE_S;
	assert_string_equal(world_go(w), "");
	assert_true(w->current->backends[2].used);
	world_free(w);
}

static void test_backend_with_another_address_is_another_backend(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_go(w);
	world_configure(w, mx_2_is_another, smtp_to_mx);
	assert_string_equal(world_go(w), "backend add, table, backend retire");
	assert_true(is_alive(w, 1) && w->current->backends[1].retired);
	assert_int_equal(owned(w, 0, 1), 0);
	assert_true(owned(w, 0, 3) > 0);
	assert_true(w->current->pools[0].table.n_transition > 0);
	world_free(w);
}

static void test_removed_and_added_again_is_the_same_backend(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_go(w);
	world_configure(w, mx_12, smtp_to_mx);
	world_go(w);
	world_configure(w, mx_123, smtp_to_mx);
	assert_string_equal(world_go(w), "backend change, table");
	assert_false(w->current->backends[2].retired);
	world_free(w);
}

static void test_service_is_removed_before_its_table_and_backends(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_go(w);
	world_configure(w, in_12, smtp_to_in);
	/* the service stays, with another pool; what it leaves goes last */
	assert_string_equal(world_go(w),
			    "backend add, backend add, pool add, service change, "
			    "backend retire, backend retire, backend retire, pool remove");
	assert_int_equal(w->current->services[0].plane.pool, 1);
	world_free(w);
}

static void test_flows_of_a_service_that_gets_another_pool_are_looked_up(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_go(w);
	world_configure(w, in_12, smtp_to_in);
	world_go(w);
	assert_int_equal(w->current->pools[1].table.n_transition, SLOTS);
	w->now_s += IDLE_S;
	world_go(w);
	assert_int_equal(w->current->pools[1].table.n_transition, 0);
	world_free(w);
}

static void test_new_secret_takes_all_slots_into_transition(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_go(w);
	w->key_print = 2;
	assert_string_equal(world_go(w), "settings, table, program");
	assert_int_equal(w->current->pools[0].table.n_transition, SLOTS);
	world_free(w);
}

static void test_new_mac_changes_only_the_backend(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_go(w);
	w->backends[0].neighbour.mac[0] = 6;
	assert_string_equal(world_go(w), "backend change");
	assert_int_equal(w->current->backends[0].plane.l2_dst[0], 6);
	world_free(w);
}

static void test_virtual_macs_are_of_the_program_of_their_interface(void **state)
{
	static const uint32_t none[VRID_BITS / 32], vrid_1[VRID_BITS / 32] = {1U << 1};
	struct world *w = world_new();
	struct config_instance *instance =
		(struct config_instance *)(uintptr_t)config_instance(w->config, 0);

	(void)state;
	world_go(w);
	assert_memory_equal(w->current->interfaces[0].vrids, none, sizeof(none));
	instance->virtual_mac = true;
	assert_string_equal(world_go(w), "program");
	assert_memory_equal(w->current->interfaces[0].vrids, vrid_1, sizeof(vrid_1));
	assert_string_equal(world_go(w), "");
	strcpy(instance->interface, "eth1");
	assert_string_equal(world_go(w), "program");
	assert_memory_equal(w->current->interfaces[0].vrids, none, sizeof(none));
	world_free(w);
}

static void test_interface_that_comes_back_is_attached_again(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_go(w);
	w->interfaces[0].mac[0] = 6;
	assert_string_equal(world_go(w), "program");
	w->interfaces[0].ifindex = 0;
	assert_string_equal(world_go(w), "detach");
	w->interfaces[0].ifindex = 7;
	assert_string_equal(world_go(w), "attach");
	w->interfaces[0].ifindex = 8;
	assert_string_equal(world_go(w), "detach, attach");
	world_free(w);
}

static void test_weight_zero_by_operator_gives_the_slots_back_later(void **state)
{
	struct world *w = world_new();
	uint32_t share;

	(void)state;
	world_go(w);
	share = owned(w, 0, 0);
	w->backends[0].weight = 0;
	world_go(w);
	assert_int_equal(owned(w, 0, 0), 0);
	assert_true(is_alive(w, 0));
	w->backends[0].weight = WEIGHT_NONE;
	world_go(w);
	assert_int_equal(owned(w, 0, 0), share);
	w->backends[0].weight = 300; /* against 100 and 100 */
	world_go(w);
	assert_in_range(owned(w, 0, 0), SLOTS * 3 / 5 - 1, SLOTS * 3 / 5 + 1);
	world_free(w);
}

static void test_plan_tells_live_connections_concerned(void **state)
{
	struct world *w = world_new();
	struct plan_rows rows;
	struct plan plan;

	(void)state;
	world_go(w);
	w->live[1] = 1234;
	w->backends[1].by_operator = OPERATOR_DRAIN;
	plan = world_plan(w);
	assert_int_equal(plan_rows(&plan, w->current, &rows), 0);
	assert_int_equal(rows.n, 2);
	assert_int_equal(rows.rows[0].live, 1234);
	assert_int_equal(rows.rows[1].live, 1234);
	assert_string_equal(rows.rows[1].what,
			    "mx/mx2 (192.0.2.22): keeps established connections only");
	plan_rows_fini(&rows);
	plan_fini(&plan);
	world_free(w);
}

/* ---- settings, and programs that have to be able to do what services need ---- */

static const char mx_nat[] =
	"pools = ( { name = \"mx\"; port = 25; mode = \"nat\"; probe = { type = \"tcp\"; }; "
	"idle_timeout = \"60s\"; backends = ( { name = \"mx1\"; address = \"192.0.2.21\"; }, { name = "
	"\"mx2\"; address = \"192.0.2.22\"; }, { name = \"mx3\"; address = \"192.0.2.23\"; } ); } );";

/* The kernel refuses what comes after the settings. */
static void break_off_after_settings(struct world *w)
{
	struct plan plan = world_plan(w);

	assert_int_equal(plan.steps[0].kind, STEP_SETTINGS);
	step_commit(&plan.steps[0], w->current);
	plan_fini(&plan);
}

static void test_plan_broken_off_after_new_slots_takes_all_into_transition_yet(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_go(w);
	w->config->slots = 509;
	break_off_after_settings(w);
	assert_string_equal(world_go(w), "table, program");
	assert_int_equal(w->current->pools[0].table.n_transition, 509);
	w->swept = false;
	assert_string_equal(world_go(w), ""); /* once */
	world_free(w);
}

static void test_plan_broken_off_after_new_secret_takes_all_into_transition_yet(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_go(w);
	w->key_print = 2;
	break_off_after_settings(w);
	assert_string_equal(world_go(w), "table, program");
	assert_int_equal(w->current->pools[0].table.n_transition, SLOTS);
	world_free(w);
}

static void test_program_learns_nat_before_the_first_service_needs_it(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_go(w);
	world_configure(w, mx_nat, smtp_to_mx);
	assert_string_equal(world_go(w), "settings, program, service change");
	assert_true(w->current->settings.features & FEATURE_RETURN);
	assert_string_equal(world_go(w), "");
	world_configure(w, mx_123, smtp_to_mx);
	assert_string_equal(world_go(w), "service change, settings, program");
	assert_false(w->current->settings.features & FEATURE_RETURN);
	assert_string_equal(world_go(w), "");
	world_free(w);
}

static void test_program_that_forgets_nat_does_so_last_even_with_other_tables(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_configure(w, mx_nat, smtp_to_mx);
	world_go(w);
	world_configure(w, mx_123, smtp_to_mx);
	w->config->slots = 509;
	assert_string_equal(world_go(w), "settings, table, program, service change, program");
	assert_int_equal(w->current->settings.features & FEATURE_RETURN, 0);
	assert_true(w->current->interfaces[0].loaded);
	world_free(w);
}

static size_t step_find(const struct plan *plan, enum step_kind kind, uint32_t number)
{
	for (size_t i = 0; i < plan->n; i++) {
		if (plan->steps[i].kind == kind && plan->steps[i].number == number)
			return i;
	}
	return plan->n;
}

/* After a restart, the program of before has its own lines until it is replaced. */
static void test_program_of_before_meets_no_service_without_a_table(void **state)
{
	struct world *w = world_new();
	struct plan plan;

	(void)state;
	world_go(w);
	w->current->settings.features = 0; /* as adopted: the key is another to us */
	w->current->settings.hash_key[0] = 1;
	w->current->interfaces[0].loaded = false;
	world_configure(w, in_12, smtp_to_in);
	plan = world_plan(w);
	assert_int_equal(plan.steps[0].kind, STEP_SETTINGS);
	assert_true(step_find(&plan, STEP_POOL_ADD, 1) < step_find(&plan, STEP_PROGRAM, 0));
	assert_true(step_find(&plan, STEP_PROGRAM, 0) < step_find(&plan, STEP_SERVICE_CHANGE, 0));
	assert_true(step_find(&plan, STEP_PROGRAM, 0) < step_find(&plan, STEP_POOL_REMOVE, 0));
	assert_true(step_find(&plan, STEP_POOL_REMOVE, 0) < plan.n);
	plan_fini(&plan);
	world_free(w);
}

/* And the new one, in tables of another size, finds the pool that the service still names. */
static void test_service_that_moves_with_other_slots_has_a_table_all_the_way(void **state)
{
	struct world *w = world_new();
	struct plan plan;
	size_t at;

	(void)state;
	world_go(w);
	world_configure(w, in_12, smtp_to_in);
	w->config->slots = 509;
	plan = world_plan(w);
	at = step_find(&plan, STEP_TABLE, 0);
	assert_true(at < step_find(&plan, STEP_PROGRAM, 0));
	assert_true(plan.steps[at].differs);
	assert_int_equal(plan.steps[at].pool.table.n, 509);
	assert_int_equal(plan.steps[at].pool.table.n_transition, 509);
	assert_true(step_find(&plan, STEP_PROGRAM, 0) < step_find(&plan, STEP_SERVICE_CHANGE, 0));
	plan_fini(&plan);
	world_go(w);
	assert_false(w->current->pools[0].used);
	assert_int_equal(w->current->services[0].plane.pool, 1);
	world_free(w);
}

/* ---- settings that the kernel refuses ---- */

static void test_refused_sizes_are_left_as_they_are_and_then_everything(void **state)
{
	const struct settings have = {.slots = 251, .flow_limit = 1024, .hash_key = {1}};
	struct settings want = have, held;

	(void)state;
	want.flow_limit = 1 << 20;
	want.features = FEATURE_RETURN;
	assert_true(settings_hold(&have, &want, &held));
	assert_int_equal(held.flow_limit, 1024);
	assert_int_equal(held.features, FEATURE_RETURN);
	want = held;
	assert_true(settings_hold(&have, &want, &held));
	assert_int_equal(held.features, 0);
	want = held;
	assert_false(settings_hold(&have, &want, &held));
	assert_false(settings_hold(&(struct settings){0}, &want, &held)); /* a cold start */
}

static void test_service_whose_mode_the_programs_cannot_do_stays_as_it_is(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_go(w);
	w->held = w->current->settings;
	w->is_held = true;
	world_configure(w, mx_nat, smtp_to_mx);
	w->backends[1].by_operator = OPERATOR_DRAIN; /* the rest goes on */
	assert_string_equal(world_go(w), "table, backend change");
	assert_int_equal(w->current->services[0].plane.mode, FORWARD_DSR);
	w->config->slots = 509;
	assert_string_equal(world_go(w), "");
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start_adds_backends_then_table_then_service_then_attaches),
		cmocka_unit_test(test_drain_moves_slots_and_undrain_moves_them_back),
		cmocka_unit_test(test_backend_down_is_cut_after_its_slots_moved),
		cmocka_unit_test(test_disabled_backend_is_cut),
		cmocka_unit_test(test_fate_follows_health_operator_weight_and_neighbour),
		cmocka_unit_test(test_backend_of_a_pool_without_probe_is_up),
		cmocka_unit_test(test_removed_backend_goes_on_until_its_flows_ended),
		cmocka_unit_test(test_number_is_not_freed_without_a_whole_sweep),
		cmocka_unit_test(test_backend_with_another_address_is_another_backend),
		cmocka_unit_test(test_removed_and_added_again_is_the_same_backend),
		cmocka_unit_test(test_service_is_removed_before_its_table_and_backends),
		cmocka_unit_test(test_flows_of_a_service_that_gets_another_pool_are_looked_up),
		cmocka_unit_test(test_new_secret_takes_all_slots_into_transition),
		cmocka_unit_test(test_new_mac_changes_only_the_backend),
		cmocka_unit_test(test_virtual_macs_are_of_the_program_of_their_interface),
		cmocka_unit_test(test_interface_that_comes_back_is_attached_again),
		cmocka_unit_test(test_weight_zero_by_operator_gives_the_slots_back_later),
		cmocka_unit_test(test_plan_tells_live_connections_concerned),
		cmocka_unit_test(
			test_plan_broken_off_after_new_slots_takes_all_into_transition_yet),
		cmocka_unit_test(
			test_plan_broken_off_after_new_secret_takes_all_into_transition_yet),
		cmocka_unit_test(test_program_learns_nat_before_the_first_service_needs_it),
		cmocka_unit_test(test_program_that_forgets_nat_does_so_last_even_with_other_tables),
		cmocka_unit_test(test_program_of_before_meets_no_service_without_a_table),
		cmocka_unit_test(test_service_that_moves_with_other_slots_has_a_table_all_the_way),
		cmocka_unit_test(test_refused_sizes_are_left_as_they_are_and_then_everything),
		cmocka_unit_test(test_service_whose_mode_the_programs_cannot_do_stays_as_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
