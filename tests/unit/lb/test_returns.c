/* SPDX-License-Identifier: BSD-2-Clause */
/* test_returns.c: whose answers come from where, in the real map, in namespaces of its own. Skipped
 * (77) where that is not permitted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <cmocka.h>
#include <string.h>

#include "base/log.h"
#include "lb/plane.h"
#include "lb/returns.h"
#include "tests/unit/lb/world.h"

/* Backends 0 and 1, and 2 in the backup pool. */
static const char pools[] =
	"pools = ( { name = \"mx\"; port = 2525; mode = \"nat\"; backup_pool = \"spare\"; "
	"probe = { type = \"tcp\"; }; idle_timeout = \"60s\"; "
	"backends = ( { name = \"mx1\"; address = \"192.0.2.21\"; }, "
	"{ name = \"mx2\"; address = \"192.0.2.22\"; } ); }, "
	"{ name = \"spare\"; port = 2525; mode = \"nat\"; "
	"probe = { type = \"tcp\"; }; idle_timeout = \"60s\"; "
	"backends = ( { name = \"s1\"; address = \"192.0.2.31\"; } ); } );";

struct bench {
	struct world *w;
	struct plane *plane;
};

static int bench_up(void **state)
{
	static struct bench b;

	*state = &b;
	b.w = world_new();
	b.w->interfaces[0].ifindex = 0;
	world_configure(b.w, pools, smtp_to_mx);
	if (plane_open("/sys/fs/bpf/sluice", &b.plane) < 0)
		return -1;
	world_apply(b.w, b.plane);
	return 0;
}

static int bench_down(void **state)
{
	struct bench *b = *state;

	plane_remove(b->plane);
	plane_free(b->plane);
	world_free(b->w);
	return 0;
}

/* The backend's answers go to the one client of the one service. */
static void assert_returns(const struct bench *b, uint32_t backend)
{
	struct service_key key = {.port = htons(2525), .protocol = IPPROTO_TCP};
	struct return_to to;

	memcpy(key.addr, b->w->current->backends[backend].plane.addr, sizeof(key.addr));
	assert_int_equal(bpf_map_lookup_elem(b->plane->maps[MAP_RETURNS], &key, &to), 0);
	assert_int_equal(to.backend, backend);
	assert_int_equal(to.flags, RETURN_ALONE);
	assert_int_equal(to.port, htons(25));
}

static void test_answers_of_both_pools_return_whoever_serves(void **state)
{
	struct bench *b = *state;

	for (uint32_t i = 0; i < 3; i++)
		assert_returns(b, i);
	b->w->backends[0].by_operator = b->w->backends[1].by_operator = OPERATOR_DRAIN;
	world_apply(b->w, b->plane);
	assert_int_equal(b->w->current->services[0].plane.pool, 1);
	for (uint32_t i = 0; i < 3; i++)
		assert_returns(b, i);
	b->w->backends[0].by_operator = OPERATOR_ENABLED;
	world_apply(b->w, b->plane);
	assert_int_equal(b->w->current->services[0].plane.pool, 0);
	for (uint32_t i = 0; i < 3; i++)
		assert_returns(b, i);
}

/* Which pools a service has is not in the maps: it is known again after the first plan. */
static void test_restarted_lb_loses_no_way_back(void **state)
{
	struct bench *b = *state;

	b->w->backends[0].by_operator = b->w->backends[1].by_operator = OPERATOR_DRAIN;
	world_apply(b->w, b->plane);
	current_free(b->w->current);
	b->w->current = current_new();
	assert_int_equal(plane_adopt(b->plane, b->w->now_s, b->w->current), 1);
	assert_int_equal(b->w->current->services[0].plane.pool, 1);
	for (uint32_t i = 0; i < 3; i++)
		assert_returns(b, i);
	world_apply(b->w, b->plane);
	assert_int_equal(b->w->current->services[0].own_pool, 0);
	assert_int_equal(b->w->current->services[0].backup_pool, 1);
	for (uint32_t i = 0; i < 3; i++)
		assert_returns(b, i);
}

/* Each that went is looked at once, however many stay. */
static void test_ways_back_of_many_that_are_gone_are_removed(void **state)
{
	struct bench *b = *state;
	struct service_key key = {.protocol = IPPROTO_TCP}, next;
	struct return_to to = {0};
	int n = 0;

	for (uint16_t port = 3000; port < 4000; port++) {
		key.port = htons(port);
		assert_int_equal(
			bpf_map_update_elem(b->plane->maps[MAP_RETURNS], &key, &to, BPF_ANY), 0);
	}
	assert_int_equal(plane_returns_set(b->plane, b->w->current), 0);
	for (uint32_t i = 0; i < 3; i++)
		assert_returns(b, i);
	for (bool more = bpf_map_get_next_key(b->plane->maps[MAP_RETURNS], NULL, &key) == 0; more;
	     n++) {
		more = bpf_map_get_next_key(b->plane->maps[MAP_RETURNS], &key, &next) == 0;
		key = next;
	}
	assert_int_equal(n, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ways_back_of_many_that_are_gone_are_removed,
						bench_up, bench_down),
		cmocka_unit_test_setup_teardown(test_answers_of_both_pools_return_whoever_serves,
						bench_up, bench_down),
		cmocka_unit_test_setup_teardown(test_restarted_lb_loses_no_way_back, bench_up,
						bench_down),
	};
	int skipped = namespaces_enter();

	log_init("test", false);
	return skipped ? skipped : cmocka_run_group_tests(tests, NULL, NULL);
}
