/* SPDX-License-Identifier: BSD-2-Clause */
/* test_plane_version.c: an upgrade: what another version left in the kernel, the real one, in
 * namespaces of its own. Skipped (77) where that is not permitted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <bpf/bpf.h>
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/unit/lb/world.h"

enum { FLOWS = 1024 };

static void test_link_of_another_version_is_taken_over(void **state)
{
	struct world *w = world_with_veth();
	struct plane *plane;
	uint32_t id;

	(void)state;
	assert_int_equal(plane_open(pins, &plane), 0);
	world_apply(w, plane);
	id = veth_link_id(plane);
	plane_free(plane);
	assert_int_equal(rename(PIN_FOLDER, "/sys/fs/bpf/sluice/v0"), 0);
	plane = world_reopen(w);
	assert_int_equal(plane_adopt(plane, w->now_s, w->current), 1);
	assert_int_equal(veth_link_id(plane), id);
	assert_int_equal(w->current->settings.slots, 0);
	world_apply(w, plane);
	assert_int_equal(veth_link_id(plane), id);
	assert_int_equal(access("/sys/fs/bpf/sluice/v0", F_OK), -1);
	plane_free(plane);
	world_free(w);
}

/* ---- an upgrade: what another version left ---- */

/* The flow table as version 1 had it. */
struct flow_key_1 {
	uint8_t src[16], dst[16];
	uint16_t sport, dport;
	uint8_t protocol, pad[3];
};

struct flow_1 {
	uint16_t backend, service;
	uint32_t flags, seen_s, slot;
};

static void flow_put_1(int fd, uint16_t port)
{
	const struct flow_key_1 key = {.src = {1}, .dst = {2}, .sport = port, .dport = 25};
	const struct flow_1 flow = {.backend = 1, .seen_s = port * EPOCH_SECONDS, .slot = 3};

	assert_int_equal(bpf_map_update_elem(fd, &key, &flow, BPF_ANY), 0);
}

static bool flow_is_there_now(const struct plane *plane, uint16_t port)
{
	struct flow_key key = {.src = {1}, .sport = port};
	struct flow flow;

	return bpf_map_lookup_elem(plane->maps[MAP_FLOWS], &key, &flow) == 0 && flow.seen == port &&
	       flow.backend == 1 && flow.flags == 0;
}

static void pin_replace(const char *name, int fd)
{
	char path[PLANE_PATH];

	assert_true(fd >= 0);
	snprintf(path, sizeof(path), "/sys/fs/bpf/sluice/v1/%s", name);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(bpf_obj_pin(fd, path), 0);
}

static int services_1(const struct plane *plane)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_HASH, "services", sizeof(struct service_key),
				sizeof(struct service), SERVICE_MAX, NULL);
	struct service_key key;
	struct service service;

	assert_int_equal(bpf_map_get_next_key(plane->maps[MAP_SERVICES], NULL, &key), 0);
	assert_int_equal(bpf_map_lookup_elem(plane->maps[MAP_SERVICES], &key, &service), 0);
	assert_int_equal(bpf_map_update_elem(fd, &key, &service, BPF_ANY), 0);
	return fd;
}

/* With records as short as they were then. */
static int names_1(const struct plane *plane)
{
	enum { BYTES = 144 };
	int fd = bpf_map_create(
		BPF_MAP_TYPE_HASH, "names", sizeof(uint32_t), BYTES, PLANE_NAMES,
		&(struct bpf_map_create_opts){.sz = sizeof(struct bpf_map_create_opts),
					      .map_flags = BPF_F_NO_PREALLOC});
	uint32_t key, next, *last = NULL;
	struct name_record record;

	while (bpf_map_get_next_key(plane->maps[MAP_NAMES], last, &next) == 0) {
		key = next;
		last = &key;
		assert_int_equal(bpf_map_lookup_elem(plane->maps[MAP_NAMES], &key, &record), 0);
		assert_int_equal(bpf_map_update_elem(fd, &key, &record, BPF_ANY), 0);
	}
	return fd;
}

/* Make of what is pinned what version 1 would have left, but for the program. @ret_flows: its flow
 * table, that its programs go on to use.
 */
static void become_version_1(struct plane *plane, int *ret_flows)
{
	int services = services_1(plane), names = names_1(plane);

	plane_free(plane);
	assert_int_equal(rename(PIN_FOLDER, "/sys/fs/bpf/sluice/v1"), 0);
	pin_replace("services", services);
	close(services);
	pin_replace("names", names);
	close(names);
	*ret_flows = bpf_map_create(BPF_MAP_TYPE_HASH, "flows", sizeof(struct flow_key_1),
				    sizeof(struct flow_1), FLOWS, NULL);
	pin_replace("flows", *ret_flows);
	assert_int_equal(unlink("/sys/fs/bpf/sluice/v1/service_lines"), 0);
	assert_int_equal(unlink("/sys/fs/bpf/sluice/v1/fragments"), 0);
}

/* drained_apply: a service of which one backend is drained; the same in memory in @same. */
static struct plane *drained_apply(struct world *w, struct world *same)
{
	struct plane *plane;

	assert_int_equal(plane_open(pins, &plane), 0);
	world_go(same);
	world_apply(w, plane);
	w->backends[1].by_operator = same->backends[1].by_operator = OPERATOR_DRAIN;
	world_go(same);
	world_apply(w, plane);
	return plane;
}

static void assert_pinned(const char *path, bool there)
{
	assert_int_equal(access(path, F_OK), there ? 0 : -1);
}

static void test_older_version_is_succeeded_without_a_gap(void **state)
{
	struct world *w = world_with_veth(), *same = world_with_veth();
	struct plane *plane;
	uint32_t link, program;
	int flows;

	(void)state;
	plane = drained_apply(w, same);
	link = veth_link_id(plane);
	program = veth_program_id(plane);
	become_version_1(plane, &flows);
	flow_put_1(flows, 7);

	plane = world_reopen(w);
	assert_pinned("/sys/fs/bpf/sluice/v1", false);
	assert_int_equal(plane_adopt(plane, w->now_s, w->current), 1);
	assert_int_equal(veth_link_id(plane), link);
	assert_int_equal(veth_program_id(plane),
			 program); /* it goes on, until ours has its tables */
	assert_same_table(&w->current->pools[0].table, &same->current->pools[0].table);
	assert_string_equal(w->current->backends[1].name, "mx2");
	assert_true(is_alive(w, 1));
	assert_string_equal(w->current->services[0].name, "smtp");

	flow_put_1(flows, 8); /* of the old program, meanwhile */
	world_apply(w, plane);
	assert_int_equal(veth_link_id(plane), link);
	assert_int_not_equal(veth_program_id(plane), program);
	assert_true(flow_is_there_now(plane, 7) && flow_is_there_now(plane, 8));
	assert_int_equal(plane->old_flows, -1);
	assert_pinned(PIN_FOLDER "/" PLANE_OLD_FLOWS, false);
	assert_same_table(&w->current->pools[0].table, &same->current->pools[0].table);
	close(flows);
	plane_free(plane);
	world_free(w);
	world_free(same);
}

/* Killed between taking over and the new programs: the next one goes on from there. */
static void test_takeover_that_was_broken_off_is_ended(void **state)
{
	struct world *w = world_with_veth();
	struct plane *plane;
	int flows;

	(void)state;
	assert_int_equal(plane_open(pins, &plane), 0);
	world_apply(w, plane);
	become_version_1(plane, &flows);
	flow_put_1(flows, 7);
	close(flows);
	assert_int_equal(plane_open(pins, &plane), 0);
	plane_free(plane);

	plane = world_reopen(w);
	assert_int_equal(plane_adopt(plane, w->now_s, w->current), 1);
	assert_int_equal(w->current->settings.slots, SLOTS);
	world_apply(w, plane);
	assert_true(flow_is_there_now(plane, 7));
	plane_free(plane);
	world_free(w);
}

/* Killed between two renames: what is in our folder already counts. */
static void test_takeover_that_was_killed_between_two_maps_is_ended(void **state)
{
	struct world *w = world_with_veth();
	struct plane *plane;
	int flows;

	(void)state;
	assert_int_equal(plane_open(pins, &plane), 0);
	world_apply(w, plane);
	become_version_1(plane, &flows);
	flow_put_1(flows, 7);
	close(flows);
	assert_int_equal(mkdir(PIN_FOLDER, 0700), 0);
	assert_int_equal(rename("/sys/fs/bpf/sluice/v1/tables", PIN_FOLDER "/tables"), 0);
	plane = world_reopen(w);
	assert_int_equal(plane_adopt(plane, w->now_s, w->current), 1);
	assert_int_equal(w->current->settings.slots, SLOTS);
	assert_int_equal(w->current->pools[0].table.n, SLOTS);
	world_apply(w, plane);
	assert_true(flow_is_there_now(plane, 7));
	plane_free(plane);
	world_free(w);
}

/* What cannot be taken for want of something is not thrown away. */
static void test_takeover_without_descriptors_is_tried_again(void **state)
{
	struct world *w = world_with_veth();
	struct rlimit had, few;
	struct plane *plane = NULL;
	int flows, lowest;

	(void)state;
	assert_int_equal(plane_open(pins, &plane), 0);
	world_apply(w, plane);
	become_version_1(plane, &flows);
	close(flows);
	lowest = dup(0);
	close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &had), 0);
	few = (struct rlimit){(rlim_t)lowest + 1, had.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(plane_open(pins, &plane), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &had), 0);
	assert_pinned("/sys/fs/bpf/sluice/v1/names", true);
	assert_pinned("/sys/fs/bpf/sluice/v1/link_sl%2e10", true);
	plane = world_reopen(w);
	assert_int_equal(plane_adopt(plane, w->now_s, w->current), 1);
	assert_int_equal(w->current->settings.slots, SLOTS);
	plane_free(plane);
	world_free(w);
}

/* Make of what is pinned what version 2 would have left: its counters of backends were shorter, and
 * it knew no probes through VIPs.
 */
static void become_version_2(struct plane *plane)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, "backend_stats", 4, 32, BACKEND_MAX,
				NULL);

	plane_free(plane);
	assert_int_equal(rename(PIN_FOLDER, "/sys/fs/bpf/sluice/v2"), 0);
	assert_int_equal(unlink("/sys/fs/bpf/sluice/v2/backend_stats"), 0);
	assert_int_equal(unlink("/sys/fs/bpf/sluice/v2/probe_vips"), 0);
	assert_int_equal(unlink("/sys/fs/bpf/sluice/v2/probe_returns"), 0);
	assert_int_equal(bpf_obj_pin(fd, "/sys/fs/bpf/sluice/v2/backend_stats"), 0);
	close(fd);
}

static void test_version_2_gives_all_but_its_counters(void **state)
{
	struct world *w = world_with_veth(), *same = world_with_veth();
	const struct flow_key key = {.src = {1}, .sport = 7};
	struct flow flow = {.backend = 1};
	struct plane *plane;
	uint32_t link;

	(void)state;
	plane = drained_apply(w, same);
	link = veth_link_id(plane);
	assert_int_equal(bpf_map_update_elem(plane->maps[MAP_FLOWS], &key, &flow, BPF_ANY), 0);
	become_version_2(plane);

	plane = world_reopen(w);
	assert_pinned("/sys/fs/bpf/sluice/v2", false);
	for (int map = 0; map < MAP_COUNT; map++)
		assert_int_equal(plane->maps[map] < 0,
				 map == MAP_BACKEND_STATS || map == MAP_REASONS ||
					 map == MAP_PROBE_RETURNS || map == MAP_PROBE_VIPS ||
					 map == MAP_EXCEPTIONS || map == MAP_EXCEPTIONS_LOST ||
					 map == MAP_HANDOVERS);
	assert_int_equal(plane_adopt(plane, w->now_s, w->current), 1);
	w->current->settings.hash_key[0] = 1; /* is not known: here ours would be alike, all 0 */
	assert_same_table(&w->current->pools[0].table, &same->current->pools[0].table);
	world_apply(w, plane);
	assert_int_equal(veth_link_id(plane), link);
	assert_same_table(&w->current->pools[0].table, &same->current->pools[0].table);
	assert_int_equal(bpf_map_lookup_elem(plane->maps[MAP_FLOWS], &key, &flow), 0);
	assert_int_equal(plane_map_info(plane->maps[MAP_BACKEND_STATS]).value_size,
			 sizeof(struct backend_stats));
	assert_true(plane->maps[MAP_PROBE_RETURNS] >= 0 && plane->maps[MAP_PROBE_VIPS] >= 0);
	plane_free(plane);
	world_free(w);
	world_free(same);
}

/* Nothing of the old maps can be trusted alone: only the link is kept. */
static void test_older_version_with_another_backend_record_gives_its_link_only(void **state)
{
	struct world *w = world_with_veth();
	struct plane *plane;
	uint32_t link;
	int flows, fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "backends", sizeof(uint32_t), 32,
				       BACKEND_MAX, NULL);

	(void)state;
	assert_int_equal(plane_open(pins, &plane), 0);
	world_apply(w, plane);
	link = veth_link_id(plane);
	become_version_1(plane, &flows);
	close(flows);
	pin_replace("backends", fd);
	close(fd);
	plane = world_reopen(w);
	assert_int_equal(plane_adopt(plane, w->now_s, w->current), 1);
	assert_int_equal(veth_link_id(plane), link);
	assert_int_equal(w->current->settings.slots, 0);
	assert_pinned(PIN_FOLDER "/names", false);
	world_apply(w, plane);
	assert_int_equal(veth_link_id(plane), link);
	plane_free(plane);
	world_free(w);
}

static void test_newer_version_is_refused_and_goes_on(void **state)
{
	struct world *w = world_with_veth();
	struct plane *plane;

	(void)state;
	assert_int_equal(plane_open(pins, &plane), 0);
	world_apply(w, plane);
	plane_free(plane);
	assert_int_equal(rename(PIN_FOLDER, "/sys/fs/bpf/sluice/v99"), 0);
	plane = NULL;
	assert_int_equal(plane_open(pins, &plane), -EEXIST);
	assert_null(plane);
	assert_pinned("/sys/fs/bpf/sluice/v99/link_sl%2e10", true);
	assert_pinned("/sys/fs/bpf/sluice/v99/flows", true);
	assert_int_equal(system("ip link show sl.10 | grep -q xdp"), 0);
	rmdir(PIN_FOLDER);
	assert_int_equal(rename("/sys/fs/bpf/sluice/v99", PIN_FOLDER), 0);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_link_of_another_version_is_taken_over, plane_clean),
		cmocka_unit_test_teardown(test_older_version_is_succeeded_without_a_gap,
					  plane_clean),
		cmocka_unit_test_teardown(test_takeover_that_was_broken_off_is_ended, plane_clean),
		cmocka_unit_test_teardown(test_takeover_that_was_killed_between_two_maps_is_ended,
					  plane_clean),
		cmocka_unit_test_teardown(test_takeover_without_descriptors_is_tried_again,
					  plane_clean),
		cmocka_unit_test_teardown(test_version_2_gives_all_but_its_counters, plane_clean),
		cmocka_unit_test_teardown(
			test_older_version_with_another_backend_record_gives_its_link_only,
			plane_clean),
		cmocka_unit_test_teardown(test_newer_version_is_refused_and_goes_on, plane_clean),
	};
	int skipped = namespaces_enter();

	log_init("test", false);
	return skipped ? skipped : cmocka_run_group_tests(tests, NULL, NULL);
}
