/* SPDX-License-Identifier: BSD-2-Clause */
/* test_engine.c: what must hold of all backends together (engine.h), against servers on loopback.
 */
#include "tests/unit/healthcheck/engine_bench.h"

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
	const struct engine_hooks hooks = bench_hooks(b);
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

static const struct message_suspect hung = {
	.pool = "mx", .backend = "mx1", .hung = 1, .text = "20 connections get no further"};

/* It is up, and its probe was answered @times times; then it answers like @script. */
static struct config_block *turns_to(struct bench *b, int times, const struct server_script *script)
{
	static const uint32_t timing[] = {FAST, LONG_MS, 1, 3};
	struct config_block *block = one_backend(b, "smtp", timing);

	b->server.accepted = 0;
	engine_configure(b->engine, &block->config);
	assert_true(comes(b, "mx1", HEALTH_UP, LONG_MS));
	for (int turn = 0; turn < 10000 && b->server.accepted <= times; turn++)
		event_base_loop(b->loop, EVLOOP_ONCE);
	b->server.script = script;
	run_ms(b, 2 * FAST); /* so that it is asked */
	engine_suspect(b->engine, &hung);
	return block;
}

static void test_hung_backend_is_down_soon_whatever_its_timeout(void **state)
{
	struct bench *b = *state;
	struct config_block *block = turns_to(b, 6, &server_silent);

	assert_true(comes(b, "mx1", HEALTH_DOWN, 2500));
	assert_string_equal(b->last.text, "no greeting in 500 ms");
	free(block);
}

/* What one conversation takes it says little of what another may take. */
static void test_hung_backend_of_which_little_is_known_has_its_timeout(void **state)
{
	struct bench *b = *state;
	struct config_block *block = turns_to(b, 1, &server_silent);

	b->told = 0;
	run_ms(b, 2500);
	assert_int_equal(b->told, 0);
	free(block);
}

/* What answered while it was down may have waited for it to come back. */
static void test_answers_of_a_backend_that_was_down_are_no_measure_of_patience(void **state)
{
	static const struct message_health down = {
		.pool = "mx", .backend = "mx1", .health = HEALTH_DOWN};
	static const uint32_t timing[] = {FAST, LONG_MS, 8, 3};
	struct bench *b = *state;
	struct config_block *block = one_backend(b, "smtp", timing);

	engine_configure(b->engine, &block->config);
	engine_seed(b->engine, &down);
	assert_true(comes(b, "mx1", HEALTH_UP, LONG_MS));
	b->server.script = &server_silent;
	engine_suspect(b->engine, &hung);
	b->told = 0;
	run_ms(b, 2500);
	assert_int_equal(b->told, 0);
	free(block);
}

/* Its greeting takes far longer than ten of its conversations did. */
static void test_suspected_backend_that_goes_on_speaking_stays_up(void **state)
{
	static const struct server_script slow = {.trick = SERVER_DRIBBLES};
	struct bench *b = *state;
	struct config_block *block = turns_to(b, 6, &slow);

	b->told = 0;
	run_ms(b, 2500);
	assert_int_equal(b->told, 0);
	free(block);
}

/* ---- the agent ---- */

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

static void test_weight_that_the_probe_itself_asks_for_counts(void **state)
{
	static const struct server_script half = {.greeting = "up 50%\n"},
					  all = {.greeting = "up 100%\n"};
	struct bench *b = *state;
	struct config_block *block = one_backend(b, "agent", fast);

	b->server.script = &half;
	engine_configure(b->engine, &block->config);
	assert_true(comes(b, "mx1", HEALTH_UP, LONG_MS));
	assert_int_equal(b->last.weight, 50);
	b->server.script = &all;
	assert_true(comes(b, "mx1", HEALTH_UP, LONG_MS));
	assert_int_equal(b->last.weight, 100);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(test_backend_is_up_after_one_result_and_told_once),
		BENCH_TEST(test_backend_that_dies_is_down_after_fall_and_up_after_rise),
		BENCH_TEST(test_a_thousand_hanging_servers_delay_no_other),
		BENCH_TEST(test_a_backend_never_has_two_probes_at_once),
		BENCH_TEST(test_limit_of_conversations_holds_and_the_rest_waits_its_turn),
		BENCH_TEST(test_suspected_backend_that_is_dead_is_down_in_under_a_second),
		BENCH_TEST(test_suspected_backend_that_is_well_is_probed_once_and_stays_up),
		BENCH_TEST(test_suspicion_of_what_is_not_there_or_not_up_is_nothing),
		BENCH_TEST(test_hung_backend_is_down_soon_whatever_its_timeout),
		BENCH_TEST(test_hung_backend_of_which_little_is_known_has_its_timeout),
		BENCH_TEST(test_answers_of_a_backend_that_was_down_are_no_measure_of_patience),
		BENCH_TEST(test_suspected_backend_that_goes_on_speaking_stays_up),
		BENCH_TEST(test_agent_can_make_it_leave_and_its_silence_changes_nothing),
		BENCH_TEST(test_agent_that_never_spoke_keeps_nobody_out),
		BENCH_TEST(test_weight_that_the_probe_itself_asks_for_counts),
		BENCH_TEST(test_flapping_backend_is_held_down_and_let_go),
		BENCH_TEST(test_counts_and_times_of_the_probes_are_told),
		BENCH_TEST(test_backend_without_a_probe_is_up_at_once),
	};

	bench_prepare();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
