/* SPDX-License-Identifier: BSD-2-Clause */
/* test_flows.c: the sweep, over a real flow table in namespaces of its own. Skipped (77) where that
 * is not permitted.
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
#include <string.h>

#include "base/log.h"
#include "bpf/hash.h"
#include "lb/flows.h"
#include "tests/unit/lb/world.h"

enum { LIMIT_S = 5 };

struct bench {
	struct world *w;
	struct plane *plane;
	struct event_base *loop;
	struct flow_sweep *sweep;
	struct tuple lost; /* the last one */
	uint32_t n_lost;
};

static void on_pass(void *owner)
{
	event_base_loopbreak(((struct bench *)owner)->loop);
}

static void on_lost(void *owner, const struct tuple *flow, const struct current_service *service)
{
	struct bench *b = owner;

	assert_true(service->used);
	b->lost = *flow;
	b->n_lost++;
}

/* A world without an interface: only the maps matter. */
static int bench_up(void **state)
{
	static struct bench b;

	b.n_lost = 0;
	b.w = world_new();
	b.w->interfaces[0].ifindex = 0;
	if (plane_open("/sys/fs/bpf/sluice", &b.plane) < 0)
		return -1;
	world_apply(b.w, b.plane);
	b.loop = event_base_new();
	b.sweep = flow_sweep_new(b.loop, b.plane, b.w->current, on_pass, on_lost, &b);
	*state = &b;
	return b.sweep ? 0 : -1;
}

static int bench_down(void **state)
{
	struct bench *b = *state;

	flow_sweep_free(b->sweep);
	event_base_free(b->loop);
	plane_remove(b->plane);
	plane_free(b->plane);
	world_free(b->w);
	return 0;
}

static const struct flow_facts *pass(struct bench *b)
{
	flow_sweep_soon(b->sweep);
	event_base_loopexit(b->loop, &(struct timeval){.tv_sec = LIMIT_S});
	event_base_dispatch(b->loop);
	assert_non_null(flow_sweep_facts(b->sweep));
	return flow_sweep_facts(b->sweep);
}

/* Of the only service, with id 0. */
static struct flow_key key_of(uint16_t port)
{
	struct flow_key key = {.src = {[10] = 0xff, 0xff, 198, 51, 100, 7}, .sport = htons(port)};

	return key;
}

/* As the program computes it. */
static uint32_t slot_of(const struct bench *b, uint16_t port)
{
	static const __u64 hash_key[HASH_KEY_WORDS];
	const struct tuple tuple = {.src = {[10] = 0xff, 0xff, 198, 51, 100, 7},
				    .dst = {[10] = 0xff, 0xff, 192, 0, 2, 10},
				    .sport = htons(port),
				    .dport = htons(25),
				    .protocol = IPPROTO_TCP};

	return flow_slot(hash_key, &tuple, 0, b->w->current->settings.slots);
}

static uint16_t owner_of(const struct bench *b, uint32_t pool, uint16_t port)
{
	return b->w->current->pools[pool].table.slots[slot_of(b, port)].owner & SLOT_BACKEND;
}

/* As packets count it. */
static void opened_add(const struct bench *b, uint32_t backend, uint64_t n)
{
	struct backend_stats stats[CPU_MAX] = {0};
	int map = b->plane->maps[MAP_BACKEND_STATS];

	assert_int_equal(bpf_map_lookup_elem(map, &backend, stats), 0);
	stats[0].opened += n;
	assert_int_equal(bpf_map_update_elem(map, &backend, stats, BPF_ANY), 0);
}

static void flow_put(const struct bench *b, uint16_t port, uint16_t backend, uint32_t flags)
{
	struct flow_key key = key_of(port);
	struct flow flow = {.backend = backend, .flags = flags, .seen = FLOW_EPOCH(clock_now_s())};

	assert_int_equal(bpf_map_update_elem(b->plane->maps[MAP_FLOWS], &key, &flow, BPF_ANY), 0);
	opened_add(b, backend, 1);
}

static bool bit(const uint8_t *bits, uint32_t i)
{
	return bits[i / 8] >> (i % 8) & 1;
}

static uint32_t bits_set(const uint8_t *bits)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < SLOTS; i++)
		n += bit(bits, i);
	return n;
}

static void test_flow_elsewhere_marks_its_slot(void **state)
{
	struct bench *b = *state;
	uint16_t elsewhere = (uint16_t)((owner_of(b, 0, 1001) + 1) % 3);
	const struct flow_facts *facts;

	flow_put(b, 1000, owner_of(b, 0, 1000), 0);
	flow_put(b, 1001, elsewhere, 0);
	facts = pass(b);
	assert_int_equal(facts->slots, SLOTS);
	assert_true(bit(facts->foreign[0], slot_of(b, 1001)));
	assert_int_equal(bits_set(facts->foreign[0]), 1);
	assert_true(facts->has_flows[elsewhere]);
}

static void test_flow_of_the_pool_before_marks_the_slot_of_the_new_one(void **state)
{
	struct bench *b = *state;
	const struct flow_facts *facts;

	flow_put(b, 1000, 2, 0); /* of pool mx */
	world_configure(b->w, in_12, smtp_to_in);
	world_apply(b->w, b->plane);
	facts = pass(b);
	assert_true(bit(facts->foreign[1], slot_of(b, 1000)));
	assert_null(facts->foreign[0]);
}

static void test_flow_of_dead_backend_is_deleted_and_no_longer_live(void **state)
{
	struct bench *b = *state;
	struct flow_key key = key_of(1000);
	struct flow flow;

	flow_put(b, 1000, 1, 0);
	pass(b);
	assert_int_equal(flow_sweep_live(b->sweep, 1), 1);
	b->w->backends[1].health.health = HEALTH_DOWN;
	world_apply(b->w, b->plane);
	assert_int_equal(pass(b)->has_flows[1], 0);
	assert_int_equal(flow_sweep_live(b->sweep, 1), 0);
	assert_int_equal(flow_sweep_expired(b->sweep, 1), 1);
	assert_int_equal(bpf_map_lookup_elem(b->plane->maps[MAP_FLOWS], &key, &flow), -ENOENT);
}

static void test_client_of_a_lost_flow_is_told_once_and_no_other(void **state)
{
	struct bench *b = *state;

	flow_put(b, 1000, 1, 0);
	flow_put(b, 1001, 1, FLOW_CLOSING);
	flow_put(b, 1002, 2, 0);
	pass(b);
	assert_int_equal(b->n_lost, 0);
	b->w->backends[1].health.health = HEALTH_DOWN;
	world_apply(b->w, b->plane);
	pass(b);
	pass(b);
	assert_int_equal(b->n_lost, 1);
	assert_int_equal(ntohs(b->lost.sport), 1000);
	assert_int_equal(ntohs(b->lost.dport), 25);
	assert_int_equal(b->lost.protocol, IPPROTO_TCP);
}

static void test_live_is_counted_anew_after_a_restart(void **state)
{
	struct bench *b = *state;

	flow_put(b, 1000, 1, 0);
	flow_put(b, 1001, 1, FLOW_CLOSING); /* not live, but there */
	opened_add(b, 1, 40);		    /* expired before the restart: nobody knows */
	pass(b);
	assert_int_equal(flow_sweep_live(b->sweep, 1), 1);
	assert_int_equal(flow_sweep_used(b->sweep), 2);
	opened_add(b, 1, 1);
	assert_int_equal(flow_sweep_live(b->sweep, 1), 2);
}

/* One by one where they are few, in batches where they are many. */
static void test_live_of_all_is_what_it_is_of_each(void **state)
{
	static uint64_t live[CURRENT_BACKENDS];
	struct bench *b = *state;

	for (uint32_t n = 3; n <= 600; n += 597) {
		for (uint32_t i = 3; i < n; i++)
			b->w->current->backends[i].used = true;
		opened_add(b, n - 1, n);
		opened_add(b, n, 7); /* nobody's */
		flow_sweep_live_all(b->sweep, live);
		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(live[i], flow_sweep_live(b->sweep, i));
		assert_true(live[n - 1] >= n);
		assert_int_equal(live[n], 0);
	}
}

static void test_sweep_of_tables_of_another_size_is_not_used(void **state)
{
	struct bench *b = *state;

	assert_int_equal(pass(b)->slots, SLOTS);
	b->w->config->slots = 65537;
	world_apply(b->w, b->plane); /* would read beyond the marks */
	flow_put(b, 1000, (uint16_t)((owner_of(b, 0, 1000) + 1) % 3), 0);
	assert_true(bit(pass(b)->foreign[0], slot_of(b, 1000)));
}

/* A position in the old table is beyond the end of the new one, which looks like the end of a pass.
 */
static void test_pass_begins_anew_when_the_table_is_replaced(void **state)
{
	enum { FLOWS = 6000 };
	struct bench *b = *state;

	b->w->config->flow_limit = 65536;
	world_apply(b->w, b->plane);
	for (uint16_t port = 1000; port < 1000 + FLOWS; port++)
		flow_put(b, port, owner_of(b, 0, port), 0);
	flow_sweep_soon(b->sweep);
	event_base_loop(b->loop, EVLOOP_ONCE); /* one batch, of SWEEP_BATCH */
	assert_null(flow_sweep_facts(b->sweep));
	b->w->config->flow_limit = 8192;
	world_apply(b->w, b->plane);
	flow_sweep_restart(b->sweep);
	pass(b);
	assert_int_equal(flow_sweep_used(b->sweep), FLOWS);
}

#define BENCH_TEST(test) cmocka_unit_test_setup_teardown(test, bench_up, bench_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(test_flow_elsewhere_marks_its_slot),
		BENCH_TEST(test_flow_of_the_pool_before_marks_the_slot_of_the_new_one),
		BENCH_TEST(test_flow_of_dead_backend_is_deleted_and_no_longer_live),
		BENCH_TEST(test_client_of_a_lost_flow_is_told_once_and_no_other),
		BENCH_TEST(test_live_is_counted_anew_after_a_restart),
		BENCH_TEST(test_live_of_all_is_what_it_is_of_each),
		BENCH_TEST(test_sweep_of_tables_of_another_size_is_not_used),
		BENCH_TEST(test_pass_begins_anew_when_the_table_is_replaced),
	};
	int skipped = namespaces_enter();

	log_init("test", false);
	return skipped ? skipped : cmocka_run_group_tests(tests, NULL, NULL);
}
