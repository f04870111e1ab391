/* SPDX-License-Identifier: BSD-2-Clause */
/* test_engine.c: what must hold of all backends together (engine.h), against servers on loopback.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

#include "base/log.h"
#include "healthcheck/engine.h"
#include "healthcheck/tls_cache.h"
#include "tests/unit/healthcheck/config_block.h"
#include "tests/unit/healthcheck/server.h"

enum { LONG_MS = 5000, FAST = 100, HANGING = 1000 };

static const uint32_t fast[] = {FAST, LONG_MS, 2, 3};

struct bench {
	struct event_base *loop;
	struct tls_cache *tls;
	struct engine *engine;
	struct server server;
	int told; /* messages about health */
	struct message_health last;
	bool wanted; /* a message that the test waits for has come */
	const char *wanted_backend;
	uint32_t wanted_health;
	int lines; /* of a dialogue */
	char dialogue[2048];
	struct message_dialogue last_line;
	bool ended; /* it has */
};

static void on_health(void *owner, const struct message_health *m)
{
	struct bench *b = owner;

	b->told++;
	b->last = *m;
	if (b->wanted_backend && strcmp(m->backend, b->wanted_backend) == 0 &&
	    m->health == b->wanted_health)
		b->wanted = true;
}

static void on_dialogue(void *owner, const struct message_dialogue *m)
{
	struct bench *b = owner;
	size_t used = strlen(b->dialogue);

	b->lines++;
	b->last_line = *m;
	b->ended = m->last;
	snprintf(b->dialogue + used, sizeof(b->dialogue) - used, "%s\n", m->text);
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	const struct engine_hooks hooks = {
		.health = on_health, .dialogue = on_dialogue, .owner = b};

	b->loop = event_base_new();
	b->tls = tls_cache_new();
	b->engine = engine_new(b->loop, b->tls, &hooks, 2 * HANGING, 0);
	assert_non_null(b->engine);
	server_start(&b->server, b->loop, "127.0.0.1", &server_smtp);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	engine_free(b->engine);
	server_stop(&b->server);
	tls_cache_free(b->tls);
	event_base_free(b->loop);
	free(b);
	return 0;
}

static bool comes(struct bench *b, const char *backend, enum health health, uint32_t most_ms)
{
	b->wanted = false;
	b->wanted_backend = backend;
	b->wanted_health = health;
	return server_loop_until(b->loop, &b->wanted, most_ms);
}

/* Let it all run for a while. */
static void run_ms(struct bench *b, uint32_t ms)
{
	const bool never = false;

	server_loop_until(b->loop, &never, ms);
}

static struct config_block *one_backend(struct bench *b, const char *type,
					const uint32_t timing[static 4])
{
	struct config_block *block = block_new();

	block_pool(block, "mx", type, timing);
	block_backend(block, "mx1", "127.0.0.1", b->server.port);
	return block;
}

static void test_backend_is_up_after_one_result_and_told_once(void **state)
{
	struct bench *b = *state;
	struct config_block *block = one_backend(b, "smtp", fast);

	assert_int_equal(engine_configure(b->engine, &block->config), 0);
	assert_int_equal(b->told, 0);
	assert_true(comes(b, "mx1", HEALTH_UP, LONG_MS));
	assert_string_equal(b->last.pool, "mx");
	assert_string_equal(b->last.verdict, "pass");
	assert_string_equal(b->last.text, "mx1.example ESMTP");
	assert_int_equal(b->last.code, 220);
	assert_int_equal(b->last.agreeing, 1);
	assert_int_equal(b->last.needed, 1);
	assert_true(b->last.since_s > 0);
	run_ms(b, 3 * FAST);
	assert_true(b->server.accepted >= 3);
	assert_int_equal(b->told, 1);
	free(block);
}

static void test_backend_that_dies_is_down_after_fall_and_up_after_rise(void **state)
{
	static const struct server_script leaving = {.greeting = "421 4.3.2 shutting down\r\n"},
					  broken = {.greeting = "554 no\r\n"};
	struct bench *b = *state;
	struct config_block *block = one_backend(b, "smtp", fast);

	engine_configure(b->engine, &block->config);
	assert_true(comes(b, "mx1", HEALTH_UP, LONG_MS));
	b->server.script = &leaving;
	b->server.accepted = 0;
	assert_true(comes(b, "mx1", HEALTH_LEAVING, LONG_MS));
	assert_in_range(b->server.accepted, 3, 4); /* one may have been on its way */
	assert_string_equal(b->last.text, "4.3.2 shutting down");
	assert_int_equal(b->last.agreeing, 3);
	assert_int_equal(b->last.needed, 3);
	b->server.script = &broken;
	assert_true(comes(b, "mx1", HEALTH_DOWN, LONG_MS));
	b->server.script = &server_smtp;
	assert_true(comes(b, "mx1", HEALTH_UP, LONG_MS));
	assert_int_equal(b->last.needed, 2);
	free(block);
}

static void test_a_thousand_hanging_servers_delay_no_other(void **state)
{
	struct bench *b = *state;
	struct config_block *block = block_new();
	struct server hanging;
	char name[16];
	uint64_t begun_ms;

	server_start(&hanging, b->loop, "127.0.0.1", &server_silent);
	block_pool(block, "slow", "smtp", fast);
	for (int i = 0; i < HANGING; i++) {
		snprintf(name, sizeof(name), "slow%d", i);
		block_backend(block, name, "127.0.0.1", hanging.port);
	}
	engine_configure(b->engine, &block->config);
	for (int turn = 0; turn < 100000 && hanging.open < HANGING; turn++)
		event_base_loop(b->loop, EVLOOP_ONCE);
	assert_int_equal(hanging.open, HANGING);

	struct config_block *more = block_new();

	memcpy(more, block, sizeof(*block));
	block_pool(more, "good", "smtp", fast);
	block_backend(more, "good", "127.0.0.1", b->server.port);
	begun_ms = clock_ms();
	engine_configure(b->engine, &more->config);
	assert_true(comes(b, "good", HEALTH_UP, LONG_MS));
	b->server.accepted = 0;
	run_ms(b, 5 * FAST);
	assert_true(b->server.accepted >= 3);
	assert_true(clock_ms() - begun_ms < LONG_MS); /* all that before one of the others ended */
	assert_int_equal(hanging.accepted, HANGING);
	assert_int_equal(b->told, 1);
	server_stop(&hanging);
	free(block);
	engine_free(b->engine);
	b->engine = NULL;
	free(more);
}

static void test_a_backend_never_has_two_probes_at_once(void **state)
{
	static const uint32_t slower_than_its_interval[] = {FAST, 2 * FAST + 50, 2, 3};
	struct bench *b = *state;
	struct config_block *block = one_backend(b, "smtp", slower_than_its_interval);

	b->server.script = &server_silent;
	engine_configure(b->engine, &block->config);
	assert_true(comes(b, "mx1", HEALTH_DOWN, LONG_MS));
	run_ms(b, 8 * FAST);
	assert_in_range(b->server.accepted, 2, 4);
	assert_int_equal(b->server.most_open, 1);
	free(block);
}

static void test_limit_of_conversations_holds_and_the_rest_waits_its_turn(void **state)
{
	struct bench *b = *state;
	const struct engine_hooks hooks = {
		.health = on_health, .dialogue = on_dialogue, .owner = b};
	struct config_block *block = block_new();
	char name[16];

	engine_free(b->engine);
	b->engine = engine_new(b->loop, b->tls, &hooks, 1, 0);
	block_pool(block, "mx", "smtp", fast);
	for (int i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "mx%d", i);
		block_backend(block, name, "127.0.0.1", b->server.port);
	}
	engine_configure(b->engine, &block->config);
	for (int turn = 0; turn < 10000 && b->told < 5; turn++)
		event_base_loop(b->loop, EVLOOP_ONCE);
	assert_int_equal(b->told, 5);
	free(block);
}

/* ---- what the packets tell ---- */

static const uint32_t rarely[] = {3600000, LONG_MS, 2, 3};
static const struct message_suspect suspicion = {
	.pool = "mx", .backend = "mx1", .text = "32 SYNs, none became a connection"};

static void test_suspected_backend_that_is_dead_is_down_in_under_a_second(void **state)
{
	struct bench *b = *state;
	struct config_block *block = one_backend(b, "smtp", rarely);
	uint64_t begun_ms;

	engine_configure(b->engine, &block->config);
	assert_true(comes(b, "mx1", HEALTH_UP, LONG_MS));
	block->backends[0].port = server_port_closed(); /* as if it had died */
	begun_ms = clock_ms();
	engine_suspect(b->engine, &suspicion);
	assert_true(comes(b, "mx1", HEALTH_DOWN, 1000));
	assert_true(clock_ms() - begun_ms >= 200); /* not in one burst */
	assert_string_equal(b->last.verdict, "refused");
	assert_int_equal(b->last.agreeing, 3);
	free(block);
}

static void test_suspected_backend_that_is_well_is_probed_once_and_stays_up(void **state)
{
	struct bench *b = *state;
	struct config_block *block = one_backend(b, "smtp", rarely);

	engine_configure(b->engine, &block->config);
	assert_true(comes(b, "mx1", HEALTH_UP, LONG_MS));
	b->told = b->server.accepted = 0;
	for (int i = 0; i < 100; i++)
		engine_suspect(b->engine, &suspicion); /* heard once a second */
	run_ms(b, 4 * FAST);
	engine_suspect(b->engine, &suspicion);
	run_ms(b, FAST);
	assert_int_equal(b->server.accepted, 1);
	assert_int_equal(b->told, 0);
	free(block);
}

static void test_suspicion_of_what_is_not_there_or_not_up_is_nothing(void **state)
{
	static const struct message_suspect nobody = {.pool = "mx", .backend = "mx9"};
	struct bench *b = *state;
	struct config_block *block = one_backend(b, "smtp", rarely);

	block->backends[0].port = server_port_closed();
	engine_configure(b->engine, &block->config);
	engine_suspect(b->engine, &nobody);
	assert_true(comes(b, "mx1", HEALTH_DOWN, LONG_MS));
	b->told = 0;
	engine_suspect(b->engine, &suspicion);
	run_ms(b, 2 * FAST);
	assert_int_equal(b->told, 0);
	free(block);
}

/* ---- the agent; any probe does for one ---- */

static void agent_add(struct config_block *block, uint16_t port)
{
	struct config_pool *pool = &block->pools[0];

	pool->agent = pool->probe;
	pool->agent.port = port;
}

static void test_agent_can_make_it_leave_and_its_silence_changes_nothing(void **state)
{
	static const struct server_script leaving = {.greeting = "421 drain\r\n"};
	struct bench *b = *state;
	struct config_block *block = one_backend(b, "smtp", fast);
	struct server agent;

	server_start(&agent, b->loop, "127.0.0.1", &leaving);
	agent_add(block, agent.port);
	engine_configure(b->engine, &block->config);
	assert_true(comes(b, "mx1", HEALTH_LEAVING, LONG_MS));
	assert_string_equal(b->last.text, "drain");
	server_stop(&agent);
	run_ms(b, 5 * FAST);
	assert_int_equal(b->last.health, HEALTH_LEAVING);
	assert_int_equal(b->last.said[SAYER_AGENT].health, HEALTH_LEAVING);
	assert_int_equal(b->last.said[SAYER_PROBE].health, HEALTH_UP);
	free(block);
}

static void test_agent_that_never_spoke_keeps_nobody_out(void **state)
{
	struct bench *b = *state;
	struct config_block *block = one_backend(b, "smtp", fast);

	agent_add(block, server_port_closed());
	engine_configure(b->engine, &block->config);
	assert_true(comes(b, "mx1", HEALTH_UP, LONG_MS));
	run_ms(b, 3 * FAST);
	assert_int_equal(b->last.health, HEALTH_UP);
	assert_int_equal(b->last.said[SAYER_AGENT].health, HEALTH_UNKNOWN);
	free(block);
}

/* ---- flaps ---- */

static void test_flapping_backend_is_held_down_and_let_go(void **state)
{
	static const struct server_script broken = {.greeting = "554 no\r\n"};
	static const uint32_t at_once[] = {FAST, LONG_MS, 1, 1};
	struct bench *b = *state;
	struct config_block *block = one_backend(b, "smtp", at_once);
	struct config_probe *probe = &block->pools[0].probe;

	probe->flap_limit = 3;
	probe->flap_period_ms = 60000;
	probe->flap_hold_ms = 1500;
	engine_configure(b->engine, &block->config);
	assert_true(comes(b, "mx1", HEALTH_UP, LONG_MS));
	b->server.script = &broken;
	assert_true(comes(b, "mx1", HEALTH_DOWN, LONG_MS));
	b->server.script = &server_smtp;
	assert_true(comes(b, "mx1", HEALTH_UP, LONG_MS));
	b->server.script = &broken;
	assert_true(comes(b, "mx1", HEALTH_DOWN, LONG_MS));
	assert_false(comes(b, "mx1", HEALTH_UP, 2 * FAST));
	assert_int_equal(b->last.said[SAYER_FLAP].health, HEALTH_DOWN);
	assert_true(b->last.said[SAYER_FLAP].until_s > 0);
	b->server.script = &server_smtp;
	assert_false(comes(b, "mx1", HEALTH_UP, 4 * FAST));
	assert_int_equal(b->last.health, HEALTH_DOWN);
	assert_int_equal(b->last.said[SAYER_PROBE].health, HEALTH_UP);
	assert_true(comes(b, "mx1", HEALTH_UP, LONG_MS));
	assert_string_equal(b->last.verdict, "flap");
	assert_int_equal(b->last.said[SAYER_FLAP].health, HEALTH_UNKNOWN);
	assert_int_equal(b->last.turns, 4);
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

/* ---- what is shown ---- */

static void test_counts_and_times_of_the_probes_are_told(void **state)
{
	static const struct server_script broken = {.greeting = "554 no\r\n"};
	struct bench *b = *state;
	struct config_block *block = one_backend(b, "smtp", fast);

	engine_configure(b->engine, &block->config);
	assert_true(comes(b, "mx1", HEALTH_UP, LONG_MS));
	assert_int_equal(b->last.passed, 1);
	assert_int_equal(b->last.weight, 100);
	assert_int_equal(b->last.tls_days, TLS_DAYS_UNKNOWN);
	b->server.script = &broken;
	assert_true(comes(b, "mx1", HEALTH_DOWN, LONG_MS));
	assert_int_equal(b->last.failed, 3);
	assert_int_equal(b->last.turns, 1);
	assert_true(b->last.p50_ms <= b->last.p99_ms && b->last.p99_ms < LONG_MS);
	free(block);
}

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

static void test_backend_without_a_probe_is_up_at_once(void **state)
{
	struct bench *b = *state;
	struct config_block *block = one_backend(b, "none", fast);

	engine_configure(b->engine, &block->config);
	assert_int_equal(b->told, 1);
	assert_int_equal(b->last.health, HEALTH_UP);
	assert_string_equal(b->last.text, "not probed");
	run_ms(b, 2 * FAST);
	assert_int_equal(b->server.accepted, 0);
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
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_backend_is_up_after_one_result_and_told_once),
		TEST(test_backend_that_dies_is_down_after_fall_and_up_after_rise),
		TEST(test_a_thousand_hanging_servers_delay_no_other),
		TEST(test_a_backend_never_has_two_probes_at_once),
		TEST(test_limit_of_conversations_holds_and_the_rest_waits_its_turn),
		TEST(test_suspected_backend_that_is_dead_is_down_in_under_a_second),
		TEST(test_suspected_backend_that_is_well_is_probed_once_and_stays_up),
		TEST(test_suspicion_of_what_is_not_there_or_not_up_is_nothing),
		TEST(test_agent_can_make_it_leave_and_its_silence_changes_nothing),
		TEST(test_agent_that_never_spoke_keeps_nobody_out),
		TEST(test_flapping_backend_is_held_down_and_let_go),
		TEST(test_seed_restores_who_said_what_and_a_hold),
		TEST(test_counts_and_times_of_the_probes_are_told),
		TEST(test_reload_keeps_the_health_of_what_stays_and_tells_it),
		TEST(test_reload_keeps_what_was_counted),
		TEST(test_backend_that_is_asked_something_else_starts_as_unknown),
		TEST(test_seed_sets_the_health_without_telling_it),
		TEST(test_backend_without_a_probe_is_up_at_once),
		TEST(test_asked_probe_tells_its_dialogue_and_turns_no_state),
		TEST(test_probe_by_udp_asks_the_address_where_others_go_through_the_vip),
		TEST(test_asked_probe_waits_for_the_one_that_is_on),
		TEST(test_asked_probe_that_cannot_be_made_is_answered),
	};

	const struct rlimit descriptors = {.rlim_cur = 4096, .rlim_max = 4096};

	signal(SIGPIPE, SIG_IGN);
	setrlimit(RLIMIT_NOFILE, &descriptors);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
