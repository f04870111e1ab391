/* SPDX-License-Identifier: BSD-2-Clause */
/* test_apply.c: plans that are broken off, records that change under packets, and what an instance
 * leaves behind; with the real kernel, as test_plane.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <bpf/bpf.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "bpf/hash.h"
#include "lb/apply.h"
#include "tests/unit/lb/world.h"

enum { FLIPS = 200000 };

static struct plane *plane_opened(void)
{
	struct plane *plane;

	assert_int_equal(plane_open(pins, &plane), 0);
	return plane;
}

static bool vip_is_known(const struct world *w, const struct plane *plane)
{
	struct service_key key = {0};
	struct service service;

	memcpy(key.addr, w->current->services[0].key.addr, sizeof(key.addr));
	return bpf_map_lookup_elem(plane->maps[MAP_SERVICES], &key, &service) == 0;
}

static void test_vips_are_written_though_a_later_step_failed(void **state)
{
	struct world *w = world_with_veth();
	struct plane *plane = plane_opened();
	char problem[PLANE_PROBLEM] = "";
	struct plan plan = world_plan(w);

	(void)state;
	plan.steps[plan.n - 1].kind = (enum step_kind)99;
	assert_int_equal(plan_apply(&plan, plane, w->current, problem_take, problem), -EINVAL);
	assert_int_equal(plan.done, plan.n - 1);
	plan_fini(&plan);
	assert_true(w->current->services[0].used);
	assert_true(vip_is_known(w, plane));
	assert_false(plane->vips_due || plane->returns_due);
	plane_free(plane);
	world_free(w);
}

/* ---- records ---- */

static void *macs_write(void *owner)
{
	struct plane *plane = owner;
	struct current_backend b = {.used = true, .plane.flags = BACKEND_ALIVE};

	for (int i = 0; i < FLIPS; i++) {
		memset(b.plane.l2_dst, i & 1 ? 0x55 : 0xaa, sizeof(b.plane.l2_dst));
		plane_backend_set(plane, 1, &b);
	}
	return NULL;
}

static void test_mac_of_a_living_backend_is_never_half_written(void **state)
{
	struct world *w = world_with_veth();
	struct plane *plane = plane_opened();
	const uint64_t macs[] = {0x555555555555, 0xaaaaaaaaaaaa}; /* of either byte order */
	uint64_t *word, seen;
	uint32_t torn = 0;
	pthread_t writer;

	(void)state;
	world_apply(w, plane);
	memset(&plane->backends[1], 0, sizeof(plane->backends[1]));
	memset(plane->backends[1].l2_dst, 0x55, sizeof(plane->backends[1].l2_dst));
	word = (uint64_t *)(void *)&plane->backends[1];
	assert_int_equal(pthread_create(&writer, NULL, macs_write, plane), 0);
	do {
		seen = __atomic_load_n(word, __ATOMIC_RELAXED);
		torn += seen != macs[0] && seen != macs[1];
	} while (pthread_tryjoin_np(writer, NULL) != 0);
	assert_int_equal(torn, 0);
	plane_free(plane);
	world_free(w);
}

static struct current_service service_at(uint32_t i)
{
	return (struct current_service){
		.used = true,
		.key = {.addr = {[0] = 1, [14] = (uint8_t)(i >> 8), [15] = (uint8_t)i},
			.protocol = 6,
			.port = (uint16_t)(i >> 16)},
		.plane.id = 9};
}

/* Another service that has the line of this one. */
static struct current_service sharer_of(const struct plane *plane, const struct current_service *s)
{
	const __u64 *key = (const __u64 *)plane->settings.hash_key;

	for (uint32_t i = 1000;; i++) {
		struct current_service other = service_at(i);

		if (service_line_of(key, &other.key) == service_line_of(key, &s->key))
			return other;
	}
}

static const struct service_line *line_at(const struct plane *plane,
					  const struct current_service *s)
{
	return &plane->lines[service_line_of((const __u64 *)plane->settings.hash_key, &s->key)];
}

static void test_one_wait_is_enough_for_all_lines_that_were_cleared(void **state)
{
	struct world *w = world_with_veth();
	struct plane *plane = plane_opened();
	struct current_service a = service_at(1), b = service_at(2), other;

	(void)state;
	world_apply(w, plane);
	for (uint32_t i = 0; i < HASH_KEY_WORDS; i++) /* with none, all share one line */
		plane->settings.hash_key[i] = 0x9e3779b97f4a7c15 * (2 * i + 1);
	assert_int_equal(plane_service_set(plane, &a), 0);
	assert_int_equal(plane_service_set(plane, &b), 0);
	assert_int_equal(plane_service_clear(plane, &a), 0);
	assert_int_equal(plane_service_clear(plane, &b), 0);
	assert_true(plane->lines_cleared);
	other = sharer_of(plane, &a);
	assert_int_equal(plane_service_set(plane, &other), 0);
	assert_false(plane->lines_cleared);
	assert_int_equal(line_at(plane, &a)->state, LINE_KEY);
	assert_memory_equal(line_at(plane, &a)->addr, other.key.addr, sizeof(other.key.addr));
	plane_free(plane);
	world_free(w);
}

/* ---- programs and their pins ---- */

static void test_attaching_that_fails_at_its_last_pin_is_told_and_undone(void **state)
{
	struct world *w = world_with_veth();
	struct plane *plane = plane_opened();
	char problem[PLANE_PROBLEM] = "", link[PLANE_PATH], tail[PLANE_PATH];
	struct plan plan = world_plan(w);

	(void)state;
	plane_link_path(plane, "sl.10", link);
	plane_tail_path(plane, "sl.10", tail);
	assert_int_equal(mkdir(tail, 0700), 0);
	assert_int_equal(plan_apply(&plan, plane, w->current, problem_take, problem), 0);
	plan_fini(&plan);
	if (!strstr(problem, "cannot be pinned"))
		fail_msg("told: %s", problem);
	assert_int_equal(access(link, F_OK), -1);
	assert_int_equal(plane->links[0], -1);
	assert_false(w->current->interfaces[0].used);
	assert_int_equal(rmdir(tail), 0);
	world_apply(w, plane);
	assert_true(w->current->interfaces[0].used);
	plane_free(plane);
	world_free(w);
}

static uint32_t seeing_pins(void)
{
	FILE *pipe = popen("ls /sys/fs/bpf/sluice/v*/ | grep -c see", "r");
	uint32_t n = UINT32_MAX;

	assert_non_null(pipe);
	assert_int_equal(fscanf(pipe, "%u", &n), 1);
	pclose(pipe);
	return n;
}

static void test_explaining_and_tracing_leave_no_pin(void **state)
{
	struct world *w = world_with_veth();
	struct plane *plane = plane_opened();
	struct trace_filter filter = {0};
	struct explanation explanation;
	struct plane_trace trace;
	uint8_t frame[2048] = {0};
	uint32_t len = 64;

	(void)state;
	world_apply(w, plane);
	plane_explain(plane, 0, &w->current->interfaces[0], frame, &len, sizeof(frame),
		      &explanation);
	assert_int_equal(seeing_pins(), 1);
	plane_explain_fini(plane);
	assert_int_equal(seeing_pins(), 0);
	assert_int_equal(plane_trace_init(&filter, &trace), 0);
	assert_int_equal(plane_trace_attach(plane, w->current, &trace), 1);
	assert_int_equal(seeing_pins(), 1);
	plane_trace_fini(plane, &trace);
	assert_int_equal(seeing_pins(), 0);

	assert_int_equal(plane_trace_init(&filter, &trace), 0); /* the interface goes meanwhile */
	assert_int_equal(plane_trace_attach(plane, w->current, &trace), 1);
	assert_int_equal(plane_detach(plane, 0, "sl.10"), 0);
	assert_int_equal(seeing_pins(), 0);
	plane_trace_fini(plane, &trace);
	plane_free(plane);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_vips_are_written_though_a_later_step_failed,
					  plane_clean),
		cmocka_unit_test_teardown(test_mac_of_a_living_backend_is_never_half_written,
					  plane_clean),
		cmocka_unit_test_teardown(test_one_wait_is_enough_for_all_lines_that_were_cleared,
					  plane_clean),
		cmocka_unit_test_teardown(
			test_attaching_that_fails_at_its_last_pin_is_told_and_undone, plane_clean),
		cmocka_unit_test_teardown(test_explaining_and_tracing_leave_no_pin, plane_clean),
	};
	int skipped = namespaces_enter();

	log_init("test", false);
	return skipped ? skipped : cmocka_run_group_tests(tests, NULL, NULL);
}
