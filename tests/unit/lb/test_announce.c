/* SPDX-License-Identifier: BSD-2-Clause */
/* test_announce.c: what must hold of which VIPs are announced (lb/announce.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "lb/announce.h"
#include "tests/unit/lb/world.h"

/* Pool mx with backends 0 and 1, imap with 2; both at 192.0.2.10; imap at 198.51.100.1, too. */
#define POOL(name, port, backends)                                                                 \
	"{ name = \"" name "\"; port = " port                                                      \
	"; probe = { type = \"tcp\"; }; on_down = \"keep\"; "                                      \
	"backends = ( " backends " ); }"
#define BACKEND(name, address) "{ name = \"" name "\"; address = \"" address "\"; }"
#define SERVICE(name, vip, port, pool)                                                             \
	"{ name = \"" name "\"; vip = \"" vip "\"; port = " port "; pool = \"" pool "\"; }"

static const char pools[] = "pools = ( " POOL(
	"mx", "25",
	BACKEND("mx1", "192.0.2.21") ", " BACKEND(
		"mx2", "192.0.2.22")) ", " POOL("imap", "143", BACKEND("im1", "192.0.2.31")) " );";
static const char any[] =
	"services = ( " SERVICE("imap", "198.51.100.1", "143", "imap") ", " SERVICE(
		"smtp", "192.0.2.10", "25", "mx") ", " SERVICE("imap2", "192.0.2.10", "143",
							       "imap") " ); announce = \"kernel\";";

static const struct announce_node good = {.served = true, .attached = true};

struct bench {
	struct world *w;
	struct lb_instance instances[2];
};

static struct bench bench_new(const char *services)
{
	struct bench b = {.w = world_new()};

	world_configure(b.w, pools, services);
	for (uint32_t i = 0; i < 3; i++) {
		b.w->backends[i].health.health = HEALTH_UP;
		b.w->backends[i].takes_new = b.w->backends[i].alive = true;
	}
	b.instances[0].vrrp.role = VRRP_ACTIVE; /* the world's, of 192.0.2.10 */
	return b;
}

/* Why 192.0.2.10 is not announced, and 198.51.100.1: there are no others. */
static void assert_whys(const struct bench *b, const struct announce_node *node,
			enum announce_why first, enum announce_why second)
{
	struct announce_vip *vips;
	char text[INET6_ADDRSTRLEN];
	uint32_t n;

	assert_int_equal(
		announce_wanted(b->w->config, b->w->backends, b->instances, node, &vips, &n), 0);
	assert_int_equal(n, 2);
	assert_string_equal(addr_format(&vips[0].addr, text), "192.0.2.10");
	assert_int_equal(vips[0].why, first);
	assert_int_equal(vips[1].why, second);
	free(vips);
}

static void test_vip_is_announced_while_any_service_has_a_backend(void **state)
{
	struct bench b = bench_new(any);

	(void)state;
	assert_whys(&b, &good, ANNOUNCED, ANNOUNCED);
	b.w->backends[2].health.health = HEALTH_DOWN;
	b.w->backends[2].takes_new = false; /* on_down = "keep": it stays alive */
	assert_whys(&b, &good, ANNOUNCED, WHY_DEAD);
	b.w->backends[0].takes_new = b.w->backends[0].alive = false;
	assert_whys(&b, &good, ANNOUNCED, WHY_DEAD);
	b.w->backends[1].takes_new = b.w->backends[1].alive = false;
	assert_whys(&b, &good, WHY_DEAD, WHY_DEAD);
	world_free(b.w);
}

static void test_when_all_one_dead_service_withdraws_the_vip(void **state)
{
	struct bench b = bench_new(any);

	(void)state;
	b.w->config->announce.when = ANNOUNCE_ALL;
	assert_whys(&b, &good, ANNOUNCED, ANNOUNCED);
	b.w->backends[0].takes_new = b.w->backends[0].alive = false;
	assert_whys(&b, &good, ANNOUNCED, ANNOUNCED);
	b.w->backends[2].takes_new = b.w->backends[2].alive = false;
	assert_whys(&b, &good, WHY_DEAD, WHY_DEAD);
	world_free(b.w);
}

/* Else the sessions that a drain spares would have no way. */
static void test_pool_drained_or_full_keeps_its_vip(void **state)
{
	struct bench b = bench_new(any);

	(void)state;
	b.w->backends[2].takes_new = false;
	assert_whys(&b, &good, ANNOUNCED, ANNOUNCED);
	b.w->backends[2].health.health = HEALTH_LEAVING;
	assert_whys(&b, &good, ANNOUNCED, ANNOUNCED);
	b.w->backends[2].alive = false; /* disabled */
	assert_whys(&b, &good, ANNOUNCED, WHY_DEAD);
	world_free(b.w);
}

static void test_vip_of_vrrp_is_announced_by_the_active_node(void **state)
{
	struct bench b = bench_new(any);

	(void)state;
	b.instances[0].vrrp.role = VRRP_BACKUP;
	assert_whys(&b, &good, WHY_BACKUP, ANNOUNCED);
	world_free(b.w);
}

/* No other node does: as where its partners have died after the drain. */
static void test_drained_node_announces_what_vrrp_has_there_alone(void **state)
{
	struct bench b = bench_new(any);
	struct announce_node node = good;

	(void)state;
	node.drained = true;
	assert_whys(&b, &node, ANNOUNCED, WHY_DRAINED);
	b.instances[0].vrrp.role = VRRP_BACKUP;
	assert_whys(&b, &node, WHY_DRAINED, WHY_DRAINED);
	b.instances[0].vrrp.role = VRRP_ACTIVE;
	node.attached = false;
	assert_whys(&b, &node, WHY_BARE, WHY_DRAINED);
	world_free(b.w);
}

static void test_node_that_cannot_serve_announces_nothing(void **state)
{
	struct bench b = bench_new(any);
	struct announce_node node = good;

	(void)state;
	node.attached = false;
	assert_whys(&b, &node, WHY_BARE, WHY_BARE);
	node.served = false;
	assert_whys(&b, &node, WHY_UNREADY, WHY_UNREADY);
	node.detached = true;
	assert_whys(&b, &node, WHY_DETACHED, WHY_DETACHED);
	b.instances[0].vrrp.role = VRRP_BACKUP;
	node.drained = true;
	assert_whys(&b, &node, WHY_DRAINED, WHY_DRAINED);
	world_free(b.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vip_is_announced_while_any_service_has_a_backend),
		cmocka_unit_test(test_when_all_one_dead_service_withdraws_the_vip),
		cmocka_unit_test(test_pool_drained_or_full_keeps_its_vip),
		cmocka_unit_test(test_vip_of_vrrp_is_announced_by_the_active_node),
		cmocka_unit_test(test_drained_node_announces_what_vrrp_has_there_alone),
		cmocka_unit_test(test_node_that_cannot_serve_announces_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
