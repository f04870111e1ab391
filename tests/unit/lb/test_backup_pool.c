/* SPDX-License-Identifier: BSD-2-Clause */
/* test_backup_pool.c: what must hold of a pool that serves in the place of another one; without a
 * kernel.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "lb/mode.h"
#include "lb/share.h"
#include "tests/unit/lb/world.h"

/* Pool 0 with backends 0 and 1, whose backup is pool 1 with 2 and 3. */
#define POOLS(mode, first, second)                                                                 \
	"pools = ( { name = \"mx\"; port = 25; " mode first                                        \
	" backup_pool = \"spare\"; probe = { type = \"tcp\"; }; idle_timeout = \"60s\"; "          \
	"backends = ( { name = \"mx1\"; address = \"192.0.2.21\"; }, "                             \
	"{ name = \"mx2\"; address = \"192.0.2.22\"; } ); }, "                                     \
	"{ name = \"spare\"; port = 25; " mode second                                              \
	" probe = { type = \"tcp\"; }; idle_timeout = \"60s\"; "                                   \
	"backends = ( { name = \"s1\"; address = \"192.0.2.31\"; }, "                              \
	"{ name = \"s2\"; address = \"192.0.2.32\"; } ); } );"

static struct world *world_of(const char *pools)
{
	struct world *w = world_new();

	world_configure(w, pools, smtp_to_mx);
	world_go(w);
	return w;
}

static void health_set(struct world *w, uint32_t first, enum health health)
{
	w->backends[first].health.health = w->backends[first + 1].health.health = health;
}

static const struct service *service(const struct world *w)
{
	return &w->current->services[0].plane;
}

static uint32_t in_transition(const struct world *w, uint32_t pool)
{
	return w->current->pools[pool].table.n_transition;
}

static void test_backup_pool_takes_over_and_gives_back(void **state)
{
	struct world *w = world_of(POOLS("", "", ""));

	(void)state;
	assert_int_equal(service(w)->pool, 0);
	w->backends[0].health.health = HEALTH_DOWN;
	world_go(w);
	assert_int_equal(service(w)->pool, 0);
	health_set(w, 0, HEALTH_DOWN);
	world_go(w);
	assert_int_equal(service(w)->pool, 1);
	health_set(w, 0, HEALTH_UP);
	world_go(w);
	assert_int_equal(service(w)->pool, 0);
	world_free(w);
}

/* So that each packet is looked up: an established connection goes on where it lives. */
static void test_all_slots_of_the_pool_that_takes_over_are_in_transition(void **state)
{
	struct world *w = world_of(POOLS("", "", ""));

	(void)state;
	health_set(w, 0, HEALTH_LEAVING);
	assert_int_equal(in_transition(w, 1), 0);
	world_go(w);
	assert_int_equal(service(w)->pool, 1);
	assert_int_equal(in_transition(w, 1), SLOTS);
	assert_true(is_alive(w, 0) && is_alive(w, 1));
	w->now_s += IDLE_S + 1;
	w->foreign[0] = 1; /* a connection of slot 0 is still at mx1 */
	world_go(w);
	assert_int_equal(in_transition(w, 1), 1);
	w->foreign[0] = 0;
	health_set(w, 0, HEALTH_UP);
	world_go(w);
	assert_int_equal(service(w)->pool, 0);
	assert_int_equal(in_transition(w, 0), SLOTS);
	assert_true(is_alive(w, 2) && is_alive(w, 3));
	world_free(w);
}

static void test_pool_is_served_by_its_backup_only_if_that_has_somebody(void **state)
{
	struct world *w = world_of(POOLS("", "", ""));

	(void)state;
	health_set(w, 0, HEALTH_DOWN);
	health_set(w, 2, HEALTH_DOWN);
	assert_int_equal(pool_serving(w->config, w->backends, 0), 0);
	w->backends[3].health.health = HEALTH_UP;
	assert_int_equal(pool_serving(w->config, w->backends, 0), 1);
	assert_int_equal(pool_serving(w->config, w->backends, 1), 1);
	world_free(w);
}

static void test_pool_without_any_result_yet_is_waited_for(void **state)
{
	struct world *w = world_of(POOLS("", "", ""));

	(void)state;
	health_set(w, 0, HEALTH_UNKNOWN);
	assert_int_equal(pool_serving(w->config, w->backends, 0), 0);
	w->backends[0].health.health = HEALTH_DOWN;
	assert_int_equal(pool_serving(w->config, w->backends, 0), 1);
	world_free(w);
}

static void test_drained_or_full_pool_goes_to_its_backup(void **state)
{
	struct world *w = world_of(POOLS("", "", ""));

	(void)state;
	w->backends[0].by_operator = OPERATOR_DRAIN;
	w->backends[1].full = true;
	assert_int_equal(pool_serving(w->config, w->backends, 0), 1);
	w->backends[1].full = false;
	assert_int_equal(pool_serving(w->config, w->backends, 0), 0);
	world_free(w);
}

static void test_pool_with_nobody_left_prefers_its_backup_to_panic(void **state)
{
	struct world *w = world_of(POOLS("", "panic_threshold = 100;", ""));

	(void)state;
	w->backends[0].health.health = HEALTH_DOWN;
	assert_int_equal(pool_serving(w->config, w->backends, 0), 0);
	assert_string_equal(world_go(w), ""); /* panic: as it was */
	w->backends[1].health.health = HEALTH_DOWN;
	world_go(w);
	assert_int_equal(service(w)->pool, 1);
	assert_false(is_alive(w, 0));
	world_free(w);
}

/* Everybody fails, here and there: that is the probes, and not all of the servers. */
static void test_pool_whose_backup_has_nobody_either_panics(void **state)
{
	struct world *w = world_of(POOLS("", "panic_threshold = 100;", "panic_threshold = 100;"));

	(void)state;
	health_set(w, 0, HEALTH_DOWN);
	health_set(w, 2, HEALTH_UNKNOWN);
	assert_int_equal(pool_fates(w->config, w->backends, 0, NULL), USE_BACKUPS);
	health_set(w, 2, HEALTH_DOWN);
	assert_int_equal(pool_fates(w->config, w->backends, 0, NULL), USE_PANIC);
	world_go(w);
	assert_int_equal(service(w)->pool, 0);
	assert_true(is_alive(w, 0) && is_alive(w, 1));
	assert_int_equal(owned(w, 0, BACKEND_NONE), 0);
	w->backends[3].health.health = HEALTH_UP;
	world_go(w);
	assert_int_equal(service(w)->pool, 1);
	world_free(w);
}

/* The servers of each pool expect a header, or do not; what the node does is the service's. */
static void test_service_keeps_its_own_options_but_for_the_servers(void **state)
{
	struct world *w = world_of(POOLS("mode = \"fullnat\"; ",
					 "on_down = \"keep\"; no_backend = \"reject\"; persistence "
					 "= \"source\"; ",
					 "proxy = \"v2\"; "));

	(void)state;
	assert_int_equal(service(w)->flags, SERVICE_REJECT);
	health_set(w, 0, HEALTH_DOWN);
	world_go(w);
	assert_int_equal(service(w)->pool, 1);
	assert_int_equal(service(w)->flags, SERVICE_REJECT | SERVICE_PROXY_V2);
	assert_int_equal(service(w)->source_bits, 32);
	world_free(w);
}

/* A client whose SYN was answered cannot be rejected any more. */
static void test_cookies_end_while_connections_are_rejected(void **state)
{
	struct world *w = world_of(POOLS("mode = \"fullnat\"; ",
					 "syn_cookies = \"always\"; no_backend = \"reject\";", ""));

	(void)state;
	assert_true(service(w)->flags & SERVICE_SYN_COOKIES);
	health_set(w, 0, HEALTH_DOWN);
	world_go(w);
	assert_true(service(w)->flags & SERVICE_SYN_COOKIES); /* its backup serves */
	health_set(w, 2, HEALTH_DOWN);
	world_go(w);
	assert_false(service(w)->flags & SERVICE_SYN_COOKIES);
	assert_true(service(w)->flags & SERVICE_COOKIES_OUT);
	health_set(w, 0, HEALTH_UP);
	world_go(w);
	assert_true(service(w)->flags & SERVICE_SYN_COOKIES);
	world_free(w);
}

/* Its record does not change with who serves, or connections of nat would be cut. */
static void test_service_remembers_both_its_pools(void **state)
{
	struct world *w = world_of(POOLS("mode = \"nat\"; ", "", ""));
	uint8_t flags = service(w)->flags;

	(void)state;
	assert_int_equal(w->current->services[0].own_pool, 0);
	assert_int_equal(w->current->services[0].backup_pool, 1);
	health_set(w, 0, HEALTH_DOWN);
	world_go(w);
	assert_int_equal(w->current->services[0].own_pool, 0);
	assert_int_equal(w->current->services[0].backup_pool, 1);
	assert_int_equal(service(w)->flags, flags);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_backup_pool_takes_over_and_gives_back),
		cmocka_unit_test(test_all_slots_of_the_pool_that_takes_over_are_in_transition),
		cmocka_unit_test(test_pool_is_served_by_its_backup_only_if_that_has_somebody),
		cmocka_unit_test(test_pool_without_any_result_yet_is_waited_for),
		cmocka_unit_test(test_drained_or_full_pool_goes_to_its_backup),
		cmocka_unit_test(test_pool_with_nobody_left_prefers_its_backup_to_panic),
		cmocka_unit_test(test_pool_whose_backup_has_nobody_either_panics),
		cmocka_unit_test(test_service_keeps_its_own_options_but_for_the_servers),
		cmocka_unit_test(test_cookies_end_while_connections_are_rejected),
		cmocka_unit_test(test_service_remembers_both_its_pools),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
