/* SPDX-License-Identifier: BSD-2-Clause */
/* test_suspect_watch.c: whom the watch reads and what it tells, with counters in real maps, in
 * namespaces of its own. Skipped (77) where that is not permitted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <cmocka.h>
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/channel.h"
#include "base/log.h"
#include "lb/plane.h"
#include "lb/suspect_watch.h"
#include "tests/unit/lb/world.h"

enum { TICK_MS = 200, BACKENDS = 3 };

/* An lb that has its data plane, and the parent's end of its channel. */
struct bench {
	struct lb lb;
	struct world *w;
	struct suspect_watch *watch;
	struct channel *parent;
	uint64_t now_ms;
	uint32_t told;
	struct message_suspect last;
};

static void on_message(void *owner, enum message_type type, const void *payload, int fd)
{
	struct bench *b = owner;

	assert_int_equal(type, MESSAGE_SUSPECT);
	assert_int_equal(fd, -1);
	b->last = *(const struct message_suspect *)payload;
	b->told++;
}

static void on_closed(void *owner)
{
	(void)owner;
}

static int bench_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	int ends[2];

	*state = b;
	b->w = world_new();
	b->w->interfaces[0].ifindex = 0;
	if (plane_open("/sys/fs/bpf/sluice", &b->lb.plane) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0)
		return -1;
	world_apply(b->w, b->lb.plane);
	b->lb.loop = event_base_new();
	b->lb.channel = channel_new(b->lb.loop, ends[0], on_message, on_closed, b);
	b->parent = channel_new(b->lb.loop, ends[1], on_message, on_closed, b);
	b->lb.config = b->w->config;
	b->lb.backends = b->w->backends;
	b->lb.current = b->w->current;
	for (uint32_t i = 0; i < BACKENDS; i++) {
		b->w->backends[i].number = i;
		b->w->backends[i].takes_new = true;
	}
	b->watch = suspect_watch_new(&b->lb);
	b->now_ms = 1000000;
	return b->lb.channel && b->parent && b->watch ? 0 : -1;
}

static int bench_down(void **state)
{
	struct bench *b = *state;

	suspect_watch_free(b->watch);
	channel_free(b->lb.channel);
	channel_free(b->parent);
	event_base_free(b->lb.loop);
	plane_remove(b->lb.plane);
	plane_free(b->lb.plane);
	world_free(b->w);
	free(b);
	return 0;
}

/* Counted on the last CPU, so that sums are needed. */
static void counts_add(const struct bench *b, enum plane_map map, uint32_t key, size_t size,
		       const void *more)
{
	uint64_t *values = calloc(b->lb.plane->cpus, size);
	uint64_t *at = values + (b->lb.plane->cpus - 1) * size / 8;
	const uint64_t *add = more;

	assert_int_equal(bpf_map_lookup_elem(b->lb.plane->maps[map], &key, values), 0);
	for (size_t i = 0; i < size / 8; i++)
		at[i] += add[i];
	assert_int_equal(bpf_map_update_elem(b->lb.plane->maps[map], &key, values, BPF_ANY), 0);
	free(values);
}

/* 200 ms of traffic: ten SYNs for each backend, which become connections but for those of @dead. */
static uint32_t tick(struct bench *b, uint32_t dead)
{
	const struct service_stats service = {.syns = 10 * BACKENDS};
	uint32_t n;

	for (uint32_t i = 0; i < BACKENDS; i++) {
		const struct backend_stats s = {.syns = 10, .opened = i == dead ? 0 : 10};

		counts_add(b, MAP_BACKEND_STATS, i, sizeof(s), &s);
	}
	counts_add(b, MAP_SERVICE_STATS, 0, sizeof(service), &service);
	b->now_ms += TICK_MS;
	n = suspect_watch_look(b->watch, b->now_ms);
	event_base_loop(b->lb.loop, EVLOOP_NONBLOCK);
	return n;
}

static uint32_t ticks(struct bench *b, uint32_t n, uint32_t dead)
{
	uint32_t told = 0;

	for (uint32_t i = 0; i < n; i++)
		told += tick(b, dead);
	return told;
}

enum { NOBODY = BACKENDS };

static void test_silent_backend_is_told_to_the_parent_by_its_name(void **state)
{
	struct bench *b = *state;

	assert_int_equal(ticks(b, 20, NOBODY), 0);
	assert_int_equal(ticks(b, 4, 1), 1);
	assert_int_equal(b->told, 1);
	assert_string_equal(b->last.pool, "mx");
	assert_string_equal(b->last.backend, "mx2");
	assert_string_equal(b->last.text, "20 SYNs in 400 ms, none became a connection");
}

static void test_backend_that_takes_no_new_ones_or_is_down_is_not_watched(void **state)
{
	struct bench *b = *state;

	assert_int_equal(ticks(b, 20, NOBODY), 0);
	b->w->backends[1].takes_new = false;
	assert_int_equal(ticks(b, 10, 1), 0);
	b->w->backends[1].takes_new = true;
	b->w->backends[1].health.health = HEALTH_DOWN;
	assert_int_equal(ticks(b, 10, 1), 0);
}

static void test_pool_without_traffic_is_not_read(void **state)
{
	const struct backend_stats s = {.syns = 10};
	struct bench *b = *state;

	ticks(b, 20, NOBODY);
	b->now_ms += 60000;
	for (uint32_t i = 0; i < 20; i++) {
		counts_add(b, MAP_BACKEND_STATS, 1, sizeof(s), &s);
		b->now_ms += TICK_MS;
		assert_int_equal(suspect_watch_look(b->watch, b->now_ms), 0);
	}
}

static void test_many_counters_are_read_by_one_call(void **state)
{
	struct bench *b = *state;
	const struct plane *plane = b->lb.plane;
	struct backend_stats all[PLANE_STATS_BATCH];
	const struct backend_stats s = {.packets = 1, .syns = 7, .waiting = 3};

	counts_add(b, MAP_BACKEND_STATS, 300, sizeof(s), &s);
	counts_add(b, MAP_BACKEND_STATS, BACKEND_MAX - 1, sizeof(s), &s);
	assert_int_equal(plane_backend_stats_read(plane, 256, PLANE_STATS_BATCH, all), 0);
	for (uint32_t i = 0; i < PLANE_STATS_BATCH; i++)
		assert_int_equal(all[i].syns, i == 44 ? 7 : 0);
	assert_int_equal(all[44].waiting, 3);
	assert_int_equal(plane_backend_stats_read(plane, BACKEND_MAX - 10, 10, all), 0);
	assert_int_equal(all[9].syns, 7);
	assert_int_equal(plane_backend_stats_read(plane, 0, 2, all), 0);
	assert_int_equal(all[0].syns, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_silent_backend_is_told_to_the_parent_by_its_name, bench_up,
			bench_down),
		cmocka_unit_test_setup_teardown(
			test_backend_that_takes_no_new_ones_or_is_down_is_not_watched, bench_up,
			bench_down),
		cmocka_unit_test_setup_teardown(test_pool_without_traffic_is_not_read, bench_up,
						bench_down),
		cmocka_unit_test_setup_teardown(test_many_counters_are_read_by_one_call, bench_up,
						bench_down),
	};
	int skipped = namespaces_enter();

	log_init("test", false);
	return skipped ? skipped : cmocka_run_group_tests(tests, NULL, NULL);
}
