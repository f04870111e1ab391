/* SPDX-License-Identifier: BSD-2-Clause */
/* test_plane.c: the kernel's side, with the real kernel, in network and mount namespaces of its own
 * with a BPF file system of its own. Skipped (77) where that is not permitted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "lb/apply.h"
#include "tests/unit/lb/world.h"

enum { FLOWS = 1024 };

/* What a process leaves behind that is killed in the middle of a drain. */
static uint32_t killed_process(void)
{
	int status, ids[2];
	uint32_t id;
	pid_t pid;

	assert_int_equal(pipe(ids), 0);
	pid = fork();
	if (pid == 0) {
		struct world *w = world_with_veth();
		struct plane *plane;

		if (plane_open(pins, &plane) < 0)
			_exit(1);
		world_apply(w, plane);
		w->backends[1].by_operator = OPERATOR_DRAIN;
		world_apply(w, plane);
		veth_flow_put(plane, 7);
		id = veth_link_id(plane);
		if (write(ids[1], &id, sizeof(id)) != sizeof(id))
			_exit(1);
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(read(ids[0], &id, sizeof(id)), sizeof(id));
	close(ids[0]);
	close(ids[1]);
	return id;
}

static void test_killed_process_is_succeeded_without_a_gap(void **state)
{
	struct world *w, *same = world_with_veth();
	struct plane *plane;
	uint32_t id;

	(void)state;
	world_go(same); /* in memory: what must be found */
	same->backends[1].by_operator = OPERATOR_DRAIN;
	world_go(same);
	id = killed_process();

	w = world_with_veth();
	assert_int_equal(plane_open(pins, &plane), 0);
	assert_int_equal(plane_adopt(plane, w->now_s, w->current), 1);
	assert_int_equal(w->current->settings.slots, SLOTS);
	assert_same_table(&w->current->pools[0].table, &same->current->pools[0].table);
	assert_string_equal(w->current->backends[1].name, "mx2");
	assert_true(is_alive(w, 1));
	assert_false(w->current->backends[1].takes_new);
	assert_true(w->current->backends[0].takes_new);
	assert_memory_equal(&w->current->backends[2].plane, &same->current->backends[2].plane,
			    sizeof(struct backend));
	assert_string_equal(w->current->services[0].name, "smtp");
	assert_string_equal(w->current->interfaces[0].name, "sl.10");
	assert_int_equal(veth_link_id(plane), id);
	assert_true(veth_flow_is_there(plane, 7));

	/* with the same inputs only the program is replaced, through its link */
	w->backends[1].by_operator = OPERATOR_DRAIN;
	id = veth_program_id(plane);
	assert_string_equal(world_go(w), "program");
	w->current->interfaces[0].loaded = false;
	world_apply(w, plane);
	assert_int_not_equal(veth_program_id(plane), id);
	assert_string_equal(world_go(w), ""); /* the slots in transition are only remembered */
	plane_free(plane);
	world_free(w);
	world_free(same);
}

static void test_program_is_attached_natively_and_detached(void **state)
{
	struct world *w = world_with_veth();
	char path[PLANE_PATH];
	struct plane *plane;

	(void)state;
	assert_int_equal(plane_open(pins, &plane), 0);
	world_apply(w, plane);
	assert_int_equal(w->current->interfaces[0].mode, ATTACH_NATIVE);
	plane_link_path(plane, "sl.10", path);
	assert_string_equal(path, PIN_FOLDER "/link_sl%2e10");
	assert_int_equal(access(path, F_OK), 0);
	w->interfaces[0].ifindex = 0;
	world_apply(w, plane);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_not_equal(system("ip link show sl.10 | grep -q xdp"), 0);
	plane_free(plane);
	world_free(w);
}

static void test_foreign_program_is_told_and_stops_nothing(void **state)
{
	struct world *w = world_with_veth(), *other = world_with_veth();
	struct plane *plane, *foreign;
	char problem[PLANE_PROBLEM] = "";
	struct plan plan;

	(void)state;
	assert_int_equal(plane_open("/sys/fs/bpf/other", &foreign), 0);
	world_apply(other, foreign);
	assert_int_equal(plane_open(pins, &plane), 0);
	plan = world_plan(w);
	assert_int_equal(plan_apply(&plan, plane, w->current, problem_take, problem), 0);
	assert_non_null(strstr(problem, "another XDP program is attached"));
	plan_fini(&plan);
	assert_false(w->current->interfaces[0].used);
	assert_true(w->current->services[0].used);
	plane_remove(foreign);
	world_apply(w, plane); /* and now it can */
	assert_true(w->current->interfaces[0].used);
	plane_free(foreign);
	plane_free(plane);
	world_free(w);
	world_free(other);
}

static void test_resized_flow_table_keeps_its_flows(void **state)
{
	struct world *w = world_with_veth();
	struct plane *plane;

	(void)state;
	assert_int_equal(plane_open(pins, &plane), 0);
	world_apply(w, plane);
	for (uint16_t port = 1; port <= FLOWS; port++)
		veth_flow_put(plane, port);
	w->config->flow_limit = 4 * FLOWS;
	world_apply(w, plane);
	assert_true(veth_flow_is_there(plane, 1) && veth_flow_is_there(plane, FLOWS));
	for (uint16_t port = 1; port <= 2 * FLOWS; port++)
		veth_flow_put(plane, port);
	plane_free(plane);
	assert_int_equal(plane_open(pins, &plane), 0); /* what is pinned */
	assert_true(veth_flow_is_there(plane, 2 * FLOWS));
	plane_free(plane);
	world_free(w);
}

static void test_other_number_of_slots_makes_new_tables(void **state)
{
	struct world *w = world_with_veth();
	struct plane *plane;

	(void)state;
	assert_int_equal(plane_open(pins, &plane), 0);
	world_apply(w, plane);
	w->config->slots = 509;
	world_apply(w, plane);
	assert_int_equal(w->current->pools[0].table.n, 509);
	assert_int_equal(w->current->pools[0].table.n_transition, 509);
	plane_free(plane);
	plane = world_reopen(w);
	assert_int_equal(plane_adopt(plane, w->now_s, w->current), 1);
	assert_int_equal(w->current->pools[0].table.n, 509);
	plane_free(plane);
	world_free(w);
}

static void test_place_without_bpf_file_system_is_refused(void **state)
{
	struct plane *plane = NULL;

	(void)state;
	assert_int_equal(plane_open("/tmp/sluice", &plane), -ENODEV);
	assert_null(plane);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_killed_process_is_succeeded_without_a_gap,
					  plane_clean),
		cmocka_unit_test_teardown(test_program_is_attached_natively_and_detached,
					  plane_clean),
		cmocka_unit_test_teardown(test_foreign_program_is_told_and_stops_nothing,
					  plane_clean),
		cmocka_unit_test_teardown(test_resized_flow_table_keeps_its_flows, plane_clean),
		cmocka_unit_test_teardown(test_other_number_of_slots_makes_new_tables, plane_clean),
		cmocka_unit_test(test_place_without_bpf_file_system_is_refused),
	};
	int skipped = namespaces_enter();

	log_init("test", false);
	return skipped ? skipped : cmocka_run_group_tests(tests, NULL, NULL);
}
