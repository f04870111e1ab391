/* SPDX-License-Identifier: BSD-2-Clause */
/* test_runner.c: what must hold of a conversation over a real socket (runner.h), with real TLS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "healthcheck/runner.h"
#include "healthcheck/tls.h"
#include "tests/unit/healthcheck/server.h"

enum { LONG_MS = 5000, SHORT_MS = 80 };

struct bench {
	struct event_base *loop;
	SSL_CTX *tls;
	struct server server;
	struct config_probe probe;
	struct runner *runner;
	bool done;
	struct verdict verdict;
	uint32_t took_ms;
	char dialogue[4096];
};

static void on_done(void *owner, const struct verdict *v, uint32_t took_ms)
{
	struct bench *b = owner;

	assert_false(b->done);
	b->done = true;
	b->verdict = *v;
	b->took_ms = took_ms;
	runner_free(b->runner);
	b->runner = NULL;
}

static void on_dialogue(void *owner, uint32_t at_ms, const char *text)
{
	struct bench *b = owner;
	size_t used = strlen(b->dialogue);

	(void)at_ms;
	snprintf(b->dialogue + used, sizeof(b->dialogue) - used, "%s\n", text);
}

static void bench_init(struct bench *b, const char *addr, const struct server_script *script,
		       const char *type, enum config_tls tls, uint32_t timeout_ms)
{
	const struct probe_schema *schema = &probe_find(type)->schema;

	memset(b, 0, sizeof(*b));
	b->loop = event_base_new();
	b->tls = tls_context_new();
	assert_true(b->loop && b->tls);
	b->probe.tls = tls;
	b->probe.timeout_ms = timeout_ms;
	snprintf(b->probe.type, sizeof(b->probe.type), "%s", type);
	if (schema->defaults)
		memcpy(b->probe.conf, schema->defaults, schema->conf_size);
	server_start(&b->server, b->loop, addr, script);
}

static void bench_begin(struct bench *b, const struct addr *addr, uint16_t port)
{
	struct runner_request request = {
		.loop = b->loop,
		.tls = b->tls,
		.ops = probe_find(b->probe.type),
		.probe = &b->probe,
		.addr = *addr,
		.port = port,
		.done = on_done,
		.line = on_dialogue,
		.owner = b,
	};

	assert_int_equal(runner_new(&request, &b->runner), 0);
	assert_false(b->done);
}

static void bench_fini(struct bench *b)
{
	server_stop(&b->server);
	event_base_free(b->loop);
	SSL_CTX_free(b->tls);
}

/* A whole conversation: its verdict's word and code, its words, how long it may have taken. */
static void expect(struct bench *b, const char *word, int code, const char *text, uint32_t most_ms)
{
	bench_begin(b, &b->server.addr, b->server.port);
	assert_true(server_loop_until(b->loop, &b->done, LONG_MS));
	assert_string_equal(verdict_name(b->verdict.word), word);
	assert_int_equal(b->verdict.code, code);
	assert_string_equal(b->verdict.text, text);
	assert_in_range(b->took_ms, 0, most_ms);
}

static void test_smtp_server_passes_and_is_left_politely(void **state)
{
	struct bench b;
	char want[256];

	(void)state;
	bench_init(&b, "127.0.0.1", &server_smtp, "smtp", TLS_NONE, LONG_MS);
	expect(&b, "pass", 220, "mx1.example ESMTP", LONG_MS - 1);
	for (int turn = 0; turn < 100 && b.server.open > 0; turn++)
		event_base_loop(b.loop, EVLOOP_ONCE);
	assert_string_equal(b.server.heard, "EHLO sluice.invalid\nQUIT\n");
	snprintf(want, sizeof(want), "* connected to 127.0.0.1 port %u in ", b.server.port);
	assert_memory_equal(b.dialogue, want, strlen(want));
	assert_string_equal(strchr(b.dialogue, '\n') + 1,
			    "< 220-mx1.example\n< 220 mx1.example ESMTP\n> EHLO sluice.invalid\n"
			    "< 250-mx1.example\n< 250 SIZE\n> QUIT\n");
	bench_fini(&b);
}

static void test_starttls_goes_on_under_tls(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, "127.0.0.1", &server_smtp_starttls, "smtp", TLS_STARTTLS, LONG_MS);
	expect(&b, "pass", 220, "mx1.example ESMTP", LONG_MS - 1);
	for (int turn = 0; turn < 100 && b.server.open > 0; turn++)
		event_base_loop(b.loop, EVLOOP_ONCE);
	assert_string_equal(b.server.heard,
			    "EHLO sluice.invalid\nSTARTTLS\nEHLO sluice.invalid\nQUIT\n");
	assert_non_null(strstr(b.dialogue, "< 220 go\n* TLS: TLSv1.3 TLS_"));
	bench_fini(&b);
}

static void test_implicit_tls_over_ipv6_passes(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, "::1", &server_imap_tls, "imap", TLS_IMPLICIT, LONG_MS);
	expect(&b, "pass", 0, "ready", LONG_MS - 1);
	assert_string_equal(b.server.sni, "");
	bench_fini(&b);
}

static void test_tls_1_2_passes_and_1_1_does_not(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, "127.0.0.1", &server_imap_tls, "imap", TLS_IMPLICIT, LONG_MS);
	SSL_CTX_set_max_proto_version(b.server.tls, TLS1_2_VERSION);
	expect(&b, "pass", 0, "ready", LONG_MS - 1);
	assert_non_null(strstr(b.dialogue, "* TLS: TLSv1.2 "));
	bench_fini(&b);
	bench_init(&b, "127.0.0.1", &server_imap_tls, "imap", TLS_IMPLICIT, LONG_MS);
	SSL_CTX_set_security_level(b.server.tls, 0);
	SSL_CTX_set_min_proto_version(b.server.tls, TLS1_1_VERSION);
	SSL_CTX_set_max_proto_version(b.server.tls, TLS1_1_VERSION);
	bench_begin(&b, &b.server.addr, b.server.port);
	assert_true(server_loop_until(b.loop, &b.done, LONG_MS));
	assert_int_equal(b.verdict.word, VERDICT_TLS);
	bench_fini(&b);
}

static void test_server_name_is_sent_when_it_is_given(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, "127.0.0.1", &server_imap_tls, "tcp", TLS_IMPLICIT, LONG_MS);
	snprintf((char *)b.probe.conf, sizeof(b.probe.conf), "imap.example");
	expect(&b, "pass", 0, "connected, TLS", LONG_MS - 1);
	assert_string_equal(b.server.sni, "imap.example");
	bench_fini(&b);
}

static void test_each_broken_connection_has_its_own_word(void **state)
{
	static const struct server_script resets = {.trick = SERVER_RESETS},
					  closes = {.trick = SERVER_CLOSES},
					  closes_later = {.greeting = "220 x\r\n",
							  .answers = {{.to = "EHLO",
								       .say = "250-x\r\n",
								       .then_close = true}}};
	struct bench b;

	(void)state;
	bench_init(&b, "127.0.0.1", &resets, "smtp", TLS_NONE, LONG_MS);
	bench_begin(&b, &b.server.addr, b.server.port);
	assert_true(server_loop_until(b.loop, &b.done, LONG_MS));
	assert_string_equal(verdict_name(b.verdict.word), "reset");
	assert_memory_equal(b.verdict.text, "Connection reset by peer (no ", 29);
	bench_fini(&b);
	bench_init(&b, "127.0.0.1", &closes, "smtp", TLS_NONE, LONG_MS);
	expect(&b, "closed", 0, "the server closed the connection (no greeting)", LONG_MS - 1);
	bench_fini(&b);
	bench_init(&b, "127.0.0.1", &closes_later, "smtp", TLS_NONE, LONG_MS);
	expect(&b, "closed", 0, "the server closed the connection (no answer to EHLO)",
	       LONG_MS - 1);
	bench_fini(&b);
	bench_init(&b, "127.0.0.1", &closes, "imap", TLS_IMPLICIT, LONG_MS);
	expect(&b, "tls", 0, "the server closed the connection (no TLS handshake)", LONG_MS - 1);
	bench_fini(&b);
}

static void test_refused_and_unreachable_have_their_own_word(void **state)
{
	struct bench b;
	struct addr nowhere;

	(void)state;
	bench_init(&b, "127.0.0.1", &server_silent, "tcp", TLS_NONE, LONG_MS);
	bench_begin(&b, &b.server.addr, server_port_closed());
	assert_true(server_loop_until(b.loop, &b.done, LONG_MS));
	assert_string_equal(verdict_name(b.verdict.word), "refused");
	assert_string_equal(b.verdict.text, "Connection refused (no connection)");
	bench_fini(&b);
	/* No TCP to the broadcast address: connect() itself says so. */
	assert_int_equal(addr_parse("255.255.255.255", &nowhere), 0);
	bench_init(&b, "127.0.0.1", &server_silent, "tcp", TLS_NONE, LONG_MS);
	bench_begin(&b, &nowhere, 25);
	assert_true(server_loop_until(b.loop, &b.done, LONG_MS));
	assert_string_equal(verdict_name(b.verdict.word), "unreachable");
	assert_string_equal(b.verdict.text, "Network is unreachable (no connection)");
	bench_fini(&b);
}

static void test_deadline_ends_silence_dribble_and_hanging_handshake(void **state)
{
	static const struct server_script dribbles = {.trick = SERVER_DRIBBLES, .greeting = "220-"};
	struct bench b;

	(void)state;
	bench_init(&b, "127.0.0.1", &server_silent, "smtp", TLS_NONE, SHORT_MS);
	expect(&b, "timeout", 0, "no greeting in 80 ms", LONG_MS - 1);
	assert_in_range(b.took_ms, SHORT_MS - 1, LONG_MS - 1);
	bench_fini(&b);
	bench_init(&b, "127.0.0.1", &dribbles, "smtp", TLS_NONE, SHORT_MS);
	expect(&b, "timeout", 0, "no greeting in 80 ms", LONG_MS - 1);
	bench_fini(&b);
	bench_init(&b, "127.0.0.1", &server_silent, "imap", TLS_IMPLICIT, SHORT_MS);
	expect(&b, "timeout", 0, "no TLS handshake in 80 ms", LONG_MS - 1);
	bench_fini(&b);
}

static void test_flood_is_ended_long_before_the_deadline(void **state)
{
	static const struct server_script plain = {.trick = SERVER_FLOODS},
					  tls = {.trick = SERVER_FLOODS, .tls = true};
	struct bench b;

	(void)state;
	bench_init(&b, "127.0.0.1", &plain, "smtp", TLS_NONE, LONG_MS);
	expect(&b, "garbled", 0, "an endless line", LONG_MS / 2);
	bench_fini(&b);
	bench_init(&b, "127.0.0.1", &tls, "http", TLS_IMPLICIT, LONG_MS);
	expect(&b, "garbled", 0, "an endless line", LONG_MS / 2);
	bench_fini(&b);
	bench_init(&b, "127.0.0.1", &plain, "http", TLS_IMPLICIT, LONG_MS);
	bench_begin(&b, &b.server.addr, b.server.port);
	assert_true(server_loop_until(b.loop, &b.done, LONG_MS / 2));
	assert_int_equal(b.verdict.word, VERDICT_TLS);
	bench_fini(&b);
}

static void test_plain_text_after_the_go_ahead_is_refused_on_the_wire_too(void **state)
{
	static const struct server_script injects = {
		.greeting = "220 x\r\n",
		.answers = {{.to = "EHLO", .say = "250 STARTTLS\r\n"},
			    {.to = "STARTTLS",
			     .say = "220 go\r\n250 injected\r\n",
			     .then_tls = true}},
	};
	struct bench b;

	(void)state;
	bench_init(&b, "127.0.0.1", &injects, "smtp", TLS_STARTTLS, LONG_MS);
	expect(&b, "garbled", 0, "plain text after the go-ahead for TLS: someone may inject it",
	       LONG_MS - 1);
	assert_null(strstr(b.dialogue, "* TLS"));
	bench_fini(&b);
}

static void test_plain_text_beyond_a_full_buffer_is_refused_too(void **state)
{
	static char go_ahead[PROBE_IN_BYTES + 64];
	const struct server_script injects = {
		.greeting = "220 x\r\n",
		.answers = {{.to = "EHLO", .say = "250 STARTTLS\r\n"},
			    {.to = "STARTTLS", .say = go_ahead, .then_tls = true}},
	};
	struct bench b;

	/* The reply fills what the probe is given exactly; more comes in the same read. */
	(void)state;
	memset(go_ahead, 'x', PROBE_IN_BYTES);
	memcpy(go_ahead, "220-", 4);
	memcpy(go_ahead + PROBE_IN_BYTES - 10, "\r\n220 go\r\n250 injected\r\n", 25);
	bench_init(&b, "127.0.0.1", &injects, "smtp", TLS_STARTTLS, LONG_MS);
	expect(&b, "garbled", 0, "plain text after the go-ahead for TLS: someone may inject it",
	       LONG_MS - 1);
	bench_fini(&b);
}

static void test_body_without_a_length_ends_with_the_connection(void **state)
{
	static const struct server_script web = {
		.answers = {{.to = "Connection: close",
			     .say = "HTTP/1.0 200 OK\r\n\r\nall is well\n",
			     .then_close = true}},
	};
	struct bench b;
	const struct config_key *key = probe_http.schema.keys;

	(void)state;
	bench_init(&b, "127.0.0.1", &web, "http", TLS_NONE, LONG_MS);
	while (strcmp(key->name, "body") != 0)
		key++;
	snprintf((char *)b.probe.conf + key->offset, key->size, "is well$|is well\n$");
	expect(&b, "pass", 200, "OK", LONG_MS - 1);
	bench_fini(&b);
}

static int descriptors_open(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void test_conversation_that_is_given_up_leaves_nothing_behind(void **state)
{
	struct bench b;
	int before;

	(void)state;
	bench_init(&b, "127.0.0.1", &server_smtp_starttls, "smtp", TLS_STARTTLS, LONG_MS);
	event_base_loop(b.loop, EVLOOP_NONBLOCK);
	before = descriptors_open();
	/* Given up after 0, 1, 2, ... turns of the loop: at every point of the conversation. */
	for (int turns = 0; turns < 40 && !b.done; turns++) {
		bench_begin(&b, &b.server.addr, b.server.port);
		for (int turn = 0; turn < turns && !b.done; turn++)
			event_base_loop(b.loop, EVLOOP_ONCE);
		runner_free(b.runner);
		b.runner = NULL;
		while (b.server.open > 0 || b.server.accepted <= turns)
			event_base_loop(b.loop, EVLOOP_ONCE);
		assert_int_equal(descriptors_open(), before);
	}
	assert_true(b.done);
	bench_fini(&b);
}

static void test_dialogue_is_printable_and_bounded(void **state)
{
	struct bench b = {0};
	struct dialogue d = {.line = on_dialogue, .owner = &b};
	char flood[2000];

	(void)state;
	dialogue_bytes(&d, 0, '<', "250-a\r\n25", 9);
	dialogue_bytes(&d, 0, '<', "0 \x1b[2J\\\0\r\n\n", 11);
	dialogue_bytes(&d, 0, '<', "half", 4);
	dialogue_bytes(&d, 0, '>', "QUIT\r\n", 6);
	dialogue_note(&d, 0, "end %d", 1);
	assert_string_equal(b.dialogue,
			    "< 250-a\n< 250 \\x1b[2J\\\\\\x00\n< \n< half\n> QUIT\n* end 1\n");
	b.dialogue[0] = '\0';
	memset(flood, 0xff, sizeof(flood));
	for (int i = 0; i < 100; i++)
		dialogue_bytes(&d, 0, '<', flood, sizeof(flood));
	memset(flood, '\n', sizeof(flood));
	dialogue_bytes(&d, 0, '<', flood, sizeof(flood));
	assert_true(d.lines > DIALOGUE_LINES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_smtp_server_passes_and_is_left_politely),
		cmocka_unit_test(test_starttls_goes_on_under_tls),
		cmocka_unit_test(test_implicit_tls_over_ipv6_passes),
		cmocka_unit_test(test_tls_1_2_passes_and_1_1_does_not),
		cmocka_unit_test(test_server_name_is_sent_when_it_is_given),
		cmocka_unit_test(test_each_broken_connection_has_its_own_word),
		cmocka_unit_test(test_refused_and_unreachable_have_their_own_word),
		cmocka_unit_test(test_deadline_ends_silence_dribble_and_hanging_handshake),
		cmocka_unit_test(test_flood_is_ended_long_before_the_deadline),
		cmocka_unit_test(test_plain_text_after_the_go_ahead_is_refused_on_the_wire_too),
		cmocka_unit_test(test_plain_text_beyond_a_full_buffer_is_refused_too),
		cmocka_unit_test(test_body_without_a_length_ends_with_the_connection),
		cmocka_unit_test(test_conversation_that_is_given_up_leaves_nothing_behind),
		cmocka_unit_test(test_dialogue_is_printable_and_bounded),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
