/* SPDX-License-Identifier: BSD-2-Clause */
/* test_plane_settings.c: settings that change, and those that the kernel refuses; with the real
 * kernel, as test_plane.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <bpf/bpf.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "lb/apply.h"
#include "tests/unit/lb/world.h"

enum { FLOWS = 1024, TOO_MANY = 0xffffffffU };

static struct plane *plane_opened(void)
{
	struct plane *plane;

	assert_int_equal(plane_open(pins, &plane), 0);
	return plane;
}

static uint32_t lines_filled(const struct plane *plane)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < SERVICE_LINES; i++)
		n += plane->lines[i].state != LINE_EMPTY;
	return n;
}

static int apply_only(struct world *w, struct plane *plane)
{
	struct plan plan = world_plan(w);
	char problem[PLANE_PROBLEM] = "";
	int r = plan_apply(&plan, plane, w->current, problem_take, problem);

	plan_fini(&plan);
	return r;
}

static void test_refused_flow_limit_leaves_everything_as_it_was(void **state)
{
	struct world *w = world_with_veth();
	struct plane *plane = plane_opened();
	uint32_t good = w->config->flow_limit;
	struct plane before;
	struct plan plan;

	(void)state;
	world_apply(w, plane);
	veth_flow_put(plane, 7);
	before = *plane;
	w->config->flow_limit = TOO_MANY;
	assert_true(apply_only(w, plane) < 0);
	assert_memory_equal(plane->maps, before.maps, sizeof(before.maps));
	assert_memory_equal(&plane->settings, &before.settings, sizeof(before.settings));
	assert_ptr_equal(plane->lines, before.lines);
	assert_int_equal(plane->old_flows, -1);
	assert_int_equal(w->current->settings.flow_limit, good);

	w->config->flow_limit = good; /* and back: nothing is to be done */
	plan = world_plan(w);
	assert_int_equal(plan.n, 0);
	plan_fini(&plan);
	world_apply(w, plane);
	assert_true(veth_flow_is_there(plane, 7));
	plane_free(plane);
	plane = plane_opened(); /* what is pinned */
	assert_true(veth_flow_is_there(plane, 7));
	plane_free(plane);
	world_free(w);
}

/* After a restart the key is new to this process, and with it which line is whose. */
static void test_services_are_served_when_settings_are_taken_after_a_refusal(void **state)
{
	struct world *w = world_with_veth();
	struct plane *plane = plane_opened();
	struct settings settings;
	uint32_t n;

	(void)state;
	world_apply(w, plane);
	n = lines_filled(plane);
	assert_true(n > 0);
	plane_free(plane);
	plane = plane_opened();
	settings = w->current->settings;
	settings.hash_key[0] = 77;
	settings.flow_limit = TOO_MANY;
	assert_true(plane_settings_set(plane, &settings) < 0);
	assert_int_equal(lines_filled(plane), n); /* still those of the key before */
	settings.flow_limit = w->current->settings.flow_limit;
	assert_int_equal(plane_settings_set(plane, &settings), 0);
	assert_int_equal(lines_filled(plane), n);
	plane_settled(plane);
	plane_free(plane);
	world_free(w);
}

/* ---- copies ---- */

static void flow_put_at(int fd, uint16_t port, uint16_t backend, uint16_t seen)
{
	struct flow_key key = {.sport = port};
	struct flow flow = {.backend = backend, .seen = seen};

	assert_int_equal(bpf_map_update_elem(fd, &key, &flow, BPF_ANY), 0);
}

static uint16_t flow_backend(const struct plane *plane, uint16_t port)
{
	struct flow_key key = {.sport = port};
	struct flow flow;

	if (bpf_map_lookup_elem(plane->maps[MAP_FLOWS], &key, &flow) < 0)
		return BACKEND_NONE;
	return flow.backend;
}

static void test_flows_of_old_programs_are_copied_again_but_replace_no_newer_one(void **state)
{
	struct world *w = world_with_veth();
	struct plane *plane = plane_opened();
	struct settings settings;
	uint16_t now;

	(void)state;
	world_apply(w, plane);
	now = FLOW_EPOCH(plane->clock->now_s);
	flow_put_at(plane->maps[MAP_FLOWS], 1, 1, (uint16_t)(now - 100));
	flow_put_at(plane->maps[MAP_FLOWS], 2, 1, now);
	settings = w->current->settings;
	settings.flow_limit = 4 * FLOWS;
	assert_int_equal(plane_settings_set(plane, &settings), 0);
	flow_put_at(plane->old_flows, 3, 1, now);	/* an old program's */
	flow_put_at(plane->maps[MAP_FLOWS], 2, 2, now); /* a new program's */
	assert_int_equal(flow_backend(plane, 1), 1);
	assert_int_equal(flow_backend(plane, 3), BACKEND_NONE);
	plane_settled(plane);
	assert_int_equal(flow_backend(plane, 1), 1);
	assert_int_equal(flow_backend(plane, 2), 2);
	assert_int_equal(flow_backend(plane, 3), 1);
	assert_int_equal(plane->old_flows, -1);
	plane_free(plane);
	world_free(w);
}

/* A copy is a turn of the event loop, and the parent waits for it. */
static void test_copy_ends_with_the_time_of_its_plan(void **state)
{
	struct world *w = world_with_veth();
	struct plane *plane = plane_opened();
	struct settings settings;

	(void)state;
	world_apply(w, plane);
	veth_flow_put(plane, 7);
	settings = w->current->settings;
	settings.flow_limit = 4 * FLOWS;
	plane->copy_until_ms = 1;
	assert_int_equal(plane_settings_set(plane, &settings), 0);
	assert_false(veth_flow_is_there(plane, 7));
	plane->copy_until_ms = 0; /* time again: what was left out is not taken for copied */
	plane_settled(plane);
	assert_true(veth_flow_is_there(plane, 7));
	plane_free(plane);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_refused_flow_limit_leaves_everything_as_it_was,
					  plane_clean),
		cmocka_unit_test_teardown(
			test_services_are_served_when_settings_are_taken_after_a_refusal,
			plane_clean),
		cmocka_unit_test_teardown(
			test_flows_of_old_programs_are_copied_again_but_replace_no_newer_one,
			plane_clean),
		cmocka_unit_test_teardown(test_copy_ends_with_the_time_of_its_plan, plane_clean),
	};
	int skipped = namespaces_enter();

	log_init("test", false);
	return skipped ? skipped : cmocka_run_group_tests(tests, NULL, NULL);
}
