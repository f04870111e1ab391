/* SPDX-License-Identifier: BSD-2-Clause */
/* test_watch.c: what must hold of what is news, and of who is to be healed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "programs/watch.h"
#include "tests/unit/programs/block.h"

static uint32_t n_gone;

static void on_gone(void *owner, struct watched *b)
{
	(void)owner;
	(void)b;
	n_gone++;
}

struct bench {
	struct block *block;
	struct watch watch;
	struct change change;
};

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	b->block = block_new(true);
	n_gone = 0;
	*state = b;
	return watch_configure(&b->watch, &b->block->config, on_gone, NULL);
}

static int teardown(void **state)
{
	struct bench *b = *state;

	watch_fini(&b->watch, on_gone, NULL);
	free(b->block);
	free(b);
	return 0;
}

static bool health(struct bench *b, const char *backend, enum health health)
{
	struct message_health m = {.pool = "mx", .health = health, .text = "why", .since_s = 7};

	snprintf(m.backend, sizeof(m.backend), "%s", backend);
	return watch_health(&b->watch, &m, &b->change);
}

static bool vrrp(struct bench *b, enum vrrp_role role)
{
	struct message_vrrp m = {.instance = "v4", .role = role, .reason = "because"};

	return watch_vrrp(&b->watch, &m, &b->change);
}

static void test_what_was_known_before_is_no_news(void **state)
{
	struct bench *b = *state;

	assert_false(health(b, "mx1", HEALTH_DOWN));
	assert_false(vrrp(b, VRRP_ACTIVE));
	watch_briefed(&b->watch);
	assert_false(health(b, "mx1", HEALTH_DOWN));
	assert_false(vrrp(b, VRRP_ACTIVE));
}

static void test_each_difference_is_told_once_with_its_facts(void **state)
{
	struct bench *b = *state;

	watch_briefed(&b->watch);
	assert_false(health(b, "mx1", HEALTH_UP)); /* the first good word */
	assert_true(health(b, "mx1", HEALTH_DOWN));
	assert_string_equal(b->change.from, "up");
	assert_string_equal(b->change.to, "down");
	assert_string_equal(b->change.reason, "why");
	assert_string_equal(b->change.by, "probe");
	assert_int_equal(b->change.port, 25);
	assert_false(b->change.active);
	assert_false(health(b, "mx1", HEALTH_DOWN));
	assert_true(health(b, "mx1", HEALTH_UP));
	assert_true(health(b, "mx2", HEALTH_LEAVING)); /* the first word, a bad one */
	assert_string_equal(b->change.from, "unknown");
	assert_false(health(b, "mx9", HEALTH_DOWN));
	assert_true(vrrp(b, VRRP_BACKUP));
	assert_true(vrrp(b, VRRP_ACTIVE));
	assert_true(b->change.active);
	assert_string_equal(b->change.from, "backup");
	assert_string_equal(b->change.reason, "because");
	assert_false(vrrp(b, VRRP_ACTIVE));
}

static void test_reload_keeps_what_is_known_and_forgets_who_is_gone(void **state)
{
	struct bench *b = *state;
	struct block *more = block_new(true);

	watch_briefed(&b->watch);
	health(b, "mx1", HEALTH_DOWN);
	health(b, "mx2", HEALTH_DOWN);
	vrrp(b, VRRP_ACTIVE);
	strcpy(more->backends[1].name, "mx0");
	assert_int_equal(watch_configure(&b->watch, &more->config, on_gone, NULL), 0);
	free(b->block);
	b->block = more;
	assert_int_equal(n_gone, 1);
	assert_false(health(b, "mx1", HEALTH_DOWN));
	assert_false(vrrp(b, VRRP_ACTIVE));
	assert_null(watch_find(&b->watch, "mx", "mx2"));
	assert_non_null(watch_find(&b->watch, "mx", "mx0"));
}

static void test_only_who_is_down_by_his_probe_is_sick(void **state)
{
	struct bench *b = *state;
	struct message_health m = {.pool = "mx", .backend = "mx1", .health = HEALTH_DOWN};
	const struct watched *w = watch_find(&b->watch, "mx", "mx1");

	watch_health(&b->watch, &m, &b->change);
	assert_true(w->sick);
	m.said[SAYER_PROBE] = (struct said){.health = HEALTH_UP};
	m.said[SAYER_FLAP] = (struct said){.health = HEALTH_DOWN};
	watch_health(&b->watch, &m, &b->change);
	assert_false(w->sick);
	m.said[SAYER_PROBE] = (struct said){.health = HEALTH_DOWN, .since_s = 99};
	watch_health(&b->watch, &m, &b->change);
	assert_true(w->sick);
	assert_int_equal(w->sick_since_s, 99);
	m.said[SAYER_AGENT] = (struct said){.health = HEALTH_DOWN};
	watch_health(&b->watch, &m, &b->change);
	assert_false(w->sick);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_what_was_known_before_is_no_news),
		TEST(test_each_difference_is_told_once_with_its_facts),
		TEST(test_reload_keeps_what_is_known_and_forgets_who_is_gone),
		TEST(test_only_who_is_down_by_his_probe_is_sick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
