/* SPDX-License-Identifier: BSD-2-Clause */
/* test_engine_reload.c: what must hold of backends (engine.h) over another configuration and
 * another process, and of the probes that an operator asks for.
 */
#include "tests/unit/healthcheck/engine_bench.h"

#include <time.h>

/* ---- reload ---- */

static void test_reload_keeps_the_health_of_what_stays_and_tells_it(void **state)
{
	struct bench *b = *state;
	struct config_block *old = one_backend(b, "smtp", fast), *new = block_new();
	static const uint32_t other_timing[] = {200, 1000, 5, 5};
	int64_t since_s;

	engine_configure(b->engine, &old->config);
	assert_true(comes(b, "mx1", HEALTH_UP, LONG_MS));
	since_s = b->last.since_s;
	b->told = 0;
	block_pool(new, "web", "tcp", fast);
	block_backend(new, "web1", "127.0.0.1", b->server.port);
	block_pool(new, "mx", "smtp", other_timing);
	block_backend(new, "mx0", "127.0.0.1", b->server.port);
	block_backend(new, "mx1", "127.0.0.1", b->server.port);
	engine_configure(b->engine, &new->config);
	memset(old, 0xff, sizeof(*old)); /* nobody looks at it any more */
	free(old);
	assert_int_equal(b->told, 1);
	assert_string_equal(b->last.backend, "mx1");
	assert_int_equal(b->last.health, HEALTH_UP);
	assert_int_equal(b->last.since_s, since_s);
	assert_true(comes(b, "web1", HEALTH_UP, LONG_MS));
	free(new);
}

static void test_reload_keeps_what_was_counted(void **state)
{
	static const struct server_script broken = {.greeting = "554 no\r\n"};
	struct bench *b = *state;
	struct config_block *old = one_backend(b, "smtp", fast), *new;

	engine_configure(b->engine, &old->config);
	assert_true(comes(b, "mx1", HEALTH_UP, LONG_MS));
	b->server.script = &broken;
	b->server.accepted = 0;
	for (int turn = 0; turn < 10000 && b->server.accepted < 3; turn++)
		event_base_loop(b->loop, EVLOOP_ONCE);
	new = one_backend(b, "smtp", fast); /* two failures were counted: the third is on its way */
	engine_configure(b->engine, &new->config);
	free(old);
	assert_true(comes(b, "mx1", HEALTH_DOWN, LONG_MS));
	assert_int_equal(b->server.accepted, 3);
	free(new);
}

static void test_backend_that_is_asked_something_else_starts_as_unknown(void **state)
{
	struct bench *b = *state;
	struct config_block *old = one_backend(b, "smtp", fast), *new;

	for (int change = 0; change < 5; change++) {
		new = one_backend(b, change == 0 ? "tcp" : "smtp", fast);
		if (change == 1)
			new->pools[0].probe.conf[0] = 'x'; /* sni */
		if (change == 2)
			new->backends[0].port = server_port_closed();
		if (change == 3)
			new->pools[0].probe.tls = TLS_STARTTLS;
		if (change == 4)
			new->backends[0].addr.in6.s6_addr[15] = 2;
		engine_configure(b->engine, &old->config);
		assert_true(comes(b, "mx1", HEALTH_UP, LONG_MS));
		b->told = 0;
		engine_configure(b->engine, &new->config);
		assert_int_equal(b->told, 0);
		engine_configure(b->engine, &old->config);
		assert_int_equal(b->told, 0);
		free(new);
	}
	free(old);
}

static void test_seed_sets_the_health_without_telling_it(void **state)
{
	struct bench *b = *state;
	struct config_block *block = one_backend(b, "smtp", fast);
	struct message_health seed = {
		.pool = "mx", .backend = "mx1", .health = HEALTH_DOWN, .text = "as it was"};

	engine_configure(b->engine, &block->config);
	engine_seed(b->engine, &seed);
	snprintf(seed.backend, sizeof(seed.backend), "gone");
	engine_seed(b->engine, &seed);
	assert_int_equal(b->told, 0);
	engine_configure(b->engine, &block->config);
	assert_int_equal(b->told, 1);
	assert_int_equal(b->last.health, HEALTH_DOWN);
	assert_string_equal(b->last.text, "as it was");
	assert_true(comes(b, "mx1", HEALTH_UP, LONG_MS));
	assert_int_equal(b->last.agreeing, 2); /* by rise, not by one result */
	snprintf(seed.backend, sizeof(seed.backend), "mx1");
	engine_seed(b->engine, &seed); /* late: it has results of its own */
	engine_configure(b->engine, &block->config);
	assert_int_equal(b->last.health, HEALTH_UP);
	free(block);
}

static void test_seed_restores_who_said_what_and_a_hold(void **state)
{
	struct bench *b = *state;
	struct config_block *block = one_backend(b, "smtp", fast);
	struct message_health seed = {.pool = "mx",
				      .backend = "mx1",
				      .health = HEALTH_DOWN,
				      .said = {[SAYER_PROBE] = {.health = HEALTH_UP},
					       [SAYER_AGENT] = {.health = HEALTH_LEAVING},
					       [SAYER_FLAP] = {.health = HEALTH_DOWN}}};

	agent_add(block, server_port_closed());
	block->pools[0].probe.flap_limit = 3;
	block->pools[0].probe.flap_hold_ms = 60000;
	seed.said[SAYER_FLAP].until_s = time(NULL) + 2;
	engine_configure(b->engine, &block->config);
	engine_seed(b->engine, &seed);
	assert_false(comes(b, "mx1", HEALTH_UP, 3 * FAST));
	assert_true(comes(b, "mx1", HEALTH_LEAVING, LONG_MS)); /* let go: the agent's last word */
	assert_int_equal(b->last.said[SAYER_PROBE].health, HEALTH_UP);
	free(block);
}

static void test_seed_restores_the_weight_that_an_agent_asked_for(void **state)
{
	struct bench *b = *state;
	struct config_block *block = one_backend(b, "smtp", fast);
	struct message_health seed = {.pool = "mx",
				      .backend = "mx1",
				      .health = HEALTH_UP,
				      .weight = 20,
				      .slow = 1, /* 40 % by the agent, half of it by that */
				      .said = {[SAYER_PROBE] = {.health = HEALTH_UP},
					       [SAYER_AGENT] = {.health = HEALTH_UP}}};

	agent_add(block, server_port_closed()); /* its last word holds */
	engine_configure(b->engine, &block->config);
	engine_seed(b->engine, &seed);
	run_ms(b, 3 * FAST);
	engine_configure(b->engine, &block->config); /* tells all */
	assert_int_equal(b->last.health, HEALTH_UP);
	assert_int_equal(b->last.weight, 40);
	free(block);
}

/* ---- the operator's probe ---- */

static void test_asked_probe_tells_its_dialogue_and_turns_no_state(void **state)
{
	struct bench *b = *state;
	struct config_block *block = one_backend(b, "smtp", rarely);
	const struct message_probe ask = {.request = 7, .pool = "mx", .backend = "mx1"};

	engine_configure(b->engine, &block->config);
	engine_probe(b->engine, &ask);
	engine_probe(b->engine, &ask); /* one at a time */
	assert_true(b->ended);
	assert_int_equal(b->last_line.passed, 0);
	b->ended = false;
	b->dialogue[0] = '\0';
	assert_true(server_loop_until(b->loop, &b->ended, LONG_MS));
	assert_int_equal(b->last_line.request, 7);
	assert_int_equal(b->last_line.passed, 1);
	assert_string_equal(b->last_line.text, "220 mx1.example ESMTP");
	assert_non_null(strstr(b->dialogue, "> EHLO sluice.invalid\n< 250-mx1.example\n"));
	assert_int_equal(b->told, 0);
	assert_true(comes(b, "mx1", HEALTH_UP, LONG_MS)); /* its own goes on */
	free(block);
}

struct via_block {
	struct config_block block;
	_Alignas(8) struct config_service service;
};

/* What is said of a probe where there is a service to go through. */
static struct via_block *asked_via(struct bench *b, const char *type)
{
	struct config_block *block = one_backend(b, type, rarely);
	const struct message_probe ask = {.request = 9, .pool = "mx", .backend = "mx1"};
	struct via_block *v = calloc(1, sizeof(*v));

	v->block = *block;
	v->block.config.size_bytes = sizeof(*v);
	v->block.config.n_services = 1;
	v->block.config.services_at = offsetof(struct via_block, service);
	v->block.pools[0].probe.via = VIA_VIP;
	v->service = (struct config_service){.port = b->server.port, .mark = 1};
	assert_int_equal(addr_parse("127.0.0.2", &v->service.vip), 0);
	free(block);
	b->ended = false;
	b->dialogue[0] = '\0';
	assert_int_equal(engine_configure(b->engine, &v->block.config), 0);
	engine_probe(b->engine, &ask);
	assert_true(server_loop_until(b->loop, &b->ended, LONG_MS));
	return v;
}

/* Only TCP can go through a VIP: what asks by UDP asks the backend itself, and says nothing else.
 */
static void test_probe_by_udp_asks_the_address_where_others_go_through_the_vip(void **state)
{
	struct bench *b = *state;
	struct via_block *tcp = asked_via(b, "tcp"), *udp;

	assert_non_null(strstr(b->dialogue, "via 127.0.0.2"));
	udp = asked_via(b, "dns"); /* nobody listens there */
	assert_int_equal(b->last_line.passed, 0);
	assert_non_null(strstr(b->dialogue, "refused"));
	assert_null(strstr(b->dialogue, "via"));
	free(tcp);
	free(udp);
}

static void test_asked_probe_waits_for_the_one_that_is_on(void **state)
{
	static const uint32_t short_timeout[] = {FAST, 3 * FAST, 1, 1};
	struct bench *b = *state;
	struct config_block *block = one_backend(b, "smtp", short_timeout);
	const struct message_probe ask = {.request = 8, .pool = "mx", .backend = "mx1"};

	b->server.script = &server_silent;
	engine_configure(b->engine, &block->config);
	for (int turn = 0; turn < 1000 && b->server.open == 0; turn++)
		event_base_loop(b->loop, EVLOOP_ONCE);
	engine_probe(b->engine, &ask);
	assert_true(server_loop_until(b->loop, &b->ended, LONG_MS));
	assert_int_equal(b->last_line.passed, 0);
	assert_string_equal(b->last_line.text, "timeout: no greeting in 300 ms");
	assert_int_equal(b->server.most_open, 1);
	free(block);
}

static void test_asked_probe_that_cannot_be_made_is_answered(void **state)
{
	struct bench *b = *state;
	struct config_block *block = one_backend(b, "none", fast), *other;
	struct message_probe ask = {.request = 9, .pool = "mx", .backend = "mx1"};

	engine_configure(b->engine, &block->config);
	engine_probe(b->engine, &ask);
	assert_true(b->ended);
	assert_int_equal(b->last_line.passed, 1);
	snprintf(ask.backend, sizeof(ask.backend), "mx9");
	engine_probe(b->engine, &ask);
	assert_int_equal(b->last_line.passed, 0);
	assert_string_equal(b->last_line.text, "there is no such backend");
	/* a reload in the middle of one */
	other = one_backend(b, "smtp", fast);
	b->server.script = &server_silent;
	engine_configure(b->engine, &other->config);
	snprintf(ask.backend, sizeof(ask.backend), "mx1");
	engine_probe(b->engine, &ask);
	b->ended = false;
	engine_configure(b->engine, &block->config);
	assert_true(b->ended);
	assert_string_equal(b->last_line.text, "the configuration has changed; try again");
	free(other);
	free(block);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(test_reload_keeps_the_health_of_what_stays_and_tells_it),
		BENCH_TEST(test_reload_keeps_what_was_counted),
		BENCH_TEST(test_backend_that_is_asked_something_else_starts_as_unknown),
		BENCH_TEST(test_seed_sets_the_health_without_telling_it),
		BENCH_TEST(test_seed_restores_who_said_what_and_a_hold),
		BENCH_TEST(test_seed_restores_the_weight_that_an_agent_asked_for),
		BENCH_TEST(test_asked_probe_tells_its_dialogue_and_turns_no_state),
		BENCH_TEST(test_probe_by_udp_asks_the_address_where_others_go_through_the_vip),
		BENCH_TEST(test_asked_probe_waits_for_the_one_that_is_on),
		BENCH_TEST(test_asked_probe_that_cannot_be_made_is_answered),
	};

	bench_prepare();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
