/* SPDX-License-Identifier: BSD-2-Clause */
/* test_translations.c: what user space does for nat and fullnat: when SYN cookies are due, whose
 * answers are ambiguous, and which translations are over.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lb/syn_watch.h"
#include "lb/translations.h"

enum { SKIP = 77 };

static void test_cookies_begin_above_the_rate(void **state)
{
	struct syn_state s = {0};

	(void)state;
	assert_false(syn_judge(&s, 1000000, 100)); /* counted before we looked */
	assert_false(syn_judge(&s, 1000100, 100));
	assert_false(s.flooded);
	assert_true(syn_judge(&s, 1000201, 100));
	assert_true(s.flooded);
	assert_false(syn_judge(&s, 1000401, 100));
}

static void test_cookies_end_when_it_was_calm_for_a_while(void **state)
{
	struct syn_state s = {.looked = true};
	uint64_t syns = 1000;

	(void)state;
	assert_true(syn_judge(&s, syns, 100));
	for (int wave = 0; wave < 3; wave++) {
		for (int i = 0; i < SYN_CALM_S - 1; i++)
			assert_false(syn_judge(&s, syns += 10, 100));
		assert_false(syn_judge(&s, syns += 80, 100)); /* below the rate, not calm */
	}
	for (int i = 0; i < SYN_CALM_S - 1; i++)
		assert_false(syn_judge(&s, syns += 50, 100));
	assert_true(syn_judge(&s, syns += 50, 100));
	assert_false(s.flooded);
}

static void test_counter_that_begins_anew_is_no_flood(void **state)
{
	struct syn_state s = {.looked = true, .syns = 1000000};

	(void)state;
	assert_false(syn_judge(&s, 5, 100));
	assert_false(s.flooded);
}

static int map_new(const char *name, uint32_t key, uint32_t value)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_HASH, name, key, value, 4096, NULL);

	assert_true(fd >= 0);
	return fd;
}

static void put(const struct plane *p, uint16_t port, uint16_t seen, bool with_flow)
{
	struct flow_key key = {.sport = port, .service = 1};
	struct translation t = {.back = {.dport = port, .protocol = 6}, .seen = seen};
	struct flow flow = {.backend = 1};

	assert_int_equal(bpf_map_update_elem(p->maps[MAP_TRANSLATIONS], &key, &t, 0), 0);
	assert_int_equal(bpf_map_update_elem(p->maps[MAP_REVERSE], &t.back, &key, 0), 0);
	if (with_flow)
		assert_int_equal(bpf_map_update_elem(p->maps[MAP_FLOWS], &key, &flow, 0), 0);
}

static uint32_t count(int map)
{
	uint8_t key[64], next[64], *from = NULL;
	uint32_t n = 0;

	for (; bpf_map_get_next_key(map, from, next) == 0; n++) {
		memcpy(key, next, sizeof(key));
		from = key;
	}
	return n;
}

static struct plane maps_open(void)
{
	struct plane p = {0};

	p.maps[MAP_TRANSLATIONS] =
		map_new("translations", sizeof(struct flow_key), sizeof(struct translation));
	p.maps[MAP_REVERSE] = map_new("reverse", sizeof(struct tuple), sizeof(struct flow_key));
	p.maps[MAP_FLOWS] = map_new("flows", sizeof(struct flow_key), sizeof(struct flow));
	return p;
}

static void maps_close(const struct plane *p)
{
	close(p->maps[MAP_TRANSLATIONS]);
	close(p->maps[MAP_REVERSE]);
	close(p->maps[MAP_FLOWS]);
}

static void test_translation_goes_after_its_flow(void **state)
{
	struct plane p = maps_open();
	uint32_t now_s = 100 * EPOCH_SECONDS;

	(void)state;
	for (uint16_t i = 0; i < 3000; i++)
		put(&p, i, 10, i % 3 == 0); /* silent, some with a flow */
	put(&p, 5000, 100, false);	    /* its flow comes in a moment */
	assert_int_equal(translations_pass(&p, NULL, now_s), 2000);
	assert_int_equal(count(p.maps[MAP_TRANSLATIONS]), 1001);
	assert_int_equal(count(p.maps[MAP_REVERSE]), 1001);
	assert_int_equal(count(p.maps[MAP_FLOWS]), 1000);
	assert_int_equal(translations_pass(&p, NULL, now_s), 0);
	maps_close(&p);
}

static void test_way_back_that_is_another_flows_by_now_stays(void **state)
{
	struct flow_key other = {.sport = 2, .service = 1}, has;
	const struct tuple back = {.dport = 1, .protocol = 6};
	struct plane p = maps_open();

	(void)state;
	put(&p, 1, 10, false);
	assert_int_equal(bpf_map_update_elem(p.maps[MAP_REVERSE], &back, &other, 0), 0);
	assert_int_equal(translations_pass(&p, NULL, 100 * EPOCH_SECONDS), 1);
	assert_int_equal(bpf_map_lookup_elem(p.maps[MAP_REVERSE], &back, &has), 0);
	assert_memory_equal(&has, &other, sizeof(has));
	maps_close(&p);
}

static void put_uncounted(const struct plane *p, uint16_t port, uint32_t flags, uint32_t seen_s)
{
	struct flow_key key = {.sport = port, .service = 1};
	struct translation t = {.back = {.dport = port, .protocol = 6},
				.backend = 1,
				.flags = TRANSLATION_UNCOUNTED | flags,
				.seen = FLOW_EPOCH(seen_s)};

	assert_int_equal(bpf_map_update_elem(p->maps[MAP_TRANSLATIONS], &key, &t, 0), 0);
	assert_int_equal(bpf_map_update_elem(p->maps[MAP_REVERSE], &t.back, &key, 0), 0);
}

/* `flows` had no room for it. */
static void test_uncounted_translation_lives_for_its_pools_idle_timeout(void **state)
{
	struct plane p = maps_open();
	struct current *current = calloc(1, sizeof(*current));
	struct event_base *loop = event_base_new();
	uint32_t now_s = clock_now_s() + 5000;
	struct flow_sweep *flows;

	(void)state;
	assert_non_null(current);
	current->backends[1].used = true;
	current->backends[1].plane.flags = BACKEND_ALIVE;
	current->pools[0].used = true;
	current->pools[0].idle_timeout_s = 600;
	flows = flow_sweep_new(loop, &p, current, NULL, NULL, NULL);
	assert_non_null(flows);
	put_uncounted(&p, 1, 0, now_s - 500);
	put_uncounted(&p, 2, 0, now_s - 700);
	put_uncounted(&p, 3, TRANSLATION_CLOSING, now_s - 100);
	put_uncounted(&p, 4, TRANSLATION_CLOSING, now_s - 20);
	assert_int_equal(translations_pass(&p, flows, now_s), 2);
	assert_int_equal(count(p.maps[MAP_REVERSE]), 2);
	current->backends[1].plane.flags = 0;
	assert_int_equal(translations_pass(&p, flows, now_s), 2);
	flow_sweep_free(flows);
	event_base_free(loop);
	free(current);
	maps_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cookies_begin_above_the_rate),
		cmocka_unit_test(test_cookies_end_when_it_was_calm_for_a_while),
		cmocka_unit_test(test_counter_that_begins_anew_is_no_flood),
		cmocka_unit_test(test_translation_goes_after_its_flow),
		cmocka_unit_test(test_way_back_that_is_another_flows_by_now_stays),
		cmocka_unit_test(test_uncounted_translation_lives_for_its_pools_idle_timeout),
	};

	if (geteuid() != 0) {
		fprintf(stderr, "skipped: not root\n");
		return SKIP;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
