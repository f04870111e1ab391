/* SPDX-License-Identifier: BSD-2-Clause */
/* test_wire_tcp.c: what must hold of a connection that spares packets and turns of the loop
 * (wire_tcp.c). On loopback a packet has been answered when the call that sent it returns.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "healthcheck/runner.h"
#include "tests/unit/healthcheck/server.h"

enum { LONG_MS = 5000, SHORT_MS = 300, CONNECT_MS = 40 };

struct bench {
	struct event_base *loop;
	struct server server;
	struct config_probe probe;
	struct runner *runner;
	bool done;
	struct verdict verdict;
};

static void on_done(void *owner, const struct verdict *v, uint32_t took_ms)
{
	struct bench *b = owner;

	(void)took_ms;
	b->done = true;
	b->verdict = *v;
	runner_free(b->runner);
	b->runner = NULL;
}

static void bench_init(struct bench *b, const char *type, uint32_t timeout_ms)
{
	const struct probe_schema *schema = &probe_find(type)->schema;

	*b = (struct bench){.loop = event_base_new(), .probe.timeout_ms = timeout_ms};
	snprintf(b->probe.type, sizeof(b->probe.type), "%s", type);
	if (schema->defaults)
		memcpy(b->probe.conf, schema->defaults, schema->conf_size);
}

/* Nobody reads the dialogue, as with every probe that no operator has asked for. */
static void bench_begin(struct bench *b, uint16_t port, uint32_t connect_ms)
{
	struct runner_request request = {.loop = b->loop,
					 .ops = probe_find(b->probe.type),
					 .probe = &b->probe,
					 .port = port,
					 .patience = {.connect_ms = connect_ms},
					 .done = on_done,
					 .owner = b};

	assert_int_equal(addr_parse("127.0.0.1", &request.addr), 0);
	assert_int_equal(runner_new(&request, &b->runner), 0);
}

static void expect(struct bench *b, const char *word, const char *text)
{
	assert_true(server_loop_until(b->loop, &b->done, LONG_MS));
	assert_string_equal(verdict_name(b->verdict.word), word);
	assert_string_equal(b->verdict.text, text);
}

static int listen_begin(uint16_t *ret_port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t size = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, size), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &size), 0);
	*ret_port = ntohs(sin.sin_port);
	return fd;
}

static void test_server_program_never_hears_of_a_tcp_probe(void **state)
{
	struct bench b;
	uint16_t port;
	int fd = listen_begin(&port);

	(void)state;
	bench_init(&b, "tcp", LONG_MS);
	bench_begin(&b, port, 0);
	expect(&b, "pass", "connected");
	assert_int_equal(accept(fd, NULL, NULL), -1);
	close(fd);
	event_base_free(b.loop);
}

static void test_request_comes_with_the_handshake(void **state)
{
	struct bench b;
	uint16_t port;
	int fd = listen_begin(&port), client = -1;
	char bytes[64] = "";

	(void)state;
	bench_init(&b, "http", LONG_MS);
	bench_begin(&b, port, 0);
	assert_int_equal(accept(fd, NULL, NULL), -1);
	for (int turn = 0; turn < 10 && client < 0; turn++) {
		event_base_loop(b.loop, EVLOOP_ONCE);
		client = accept(fd, NULL, NULL);
	}
	assert_true(client >= 0);
	assert_true(recv(client, bytes, sizeof(bytes) - 1, MSG_DONTWAIT) > 0);
	assert_memory_equal(bytes, "GET ", 4);
	runner_free(b.runner);
	close(client);
	close(fd);
	event_base_free(b.loop);
}

static void test_server_that_speaks_first_need_not_wait_for_us(void **state)
{
	struct bench b;
	uint16_t port;
	int fd = listen_begin(&port), client;

	(void)state;
	bench_init(&b, "smtp", LONG_MS);
	bench_begin(&b, port, 0);
	client = accept(fd, NULL, NULL);
	assert_true(client >= 0);
	runner_free(b.runner);
	close(client);
	close(fd);
	event_base_free(b.loop);
}

static void test_what_was_missing_is_known_though_the_connection_went_unseen(void **state)
{
	static const struct server_script resets = {.trick = SERVER_RESETS},
					  closes = {.trick = SERVER_CLOSES};
	static const struct {
		const struct server_script *script;
		const char *word, *text;
	} rows[] = {
		{&server_smtp, "pass", "mx1.example ESMTP"},
		{&server_silent, "timeout", "no greeting in 300 ms"},
		{&closes, "closed", "the server closed the connection (no greeting)"},
		{&resets, "reset", "Connection reset by peer (no greeting)"},
		{NULL, "refused", "Connection refused (no connection)"},
	};
	struct bench b;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bench_init(&b, "smtp", SHORT_MS);
		if (rows[i].script)
			server_start(&b.server, b.loop, "127.0.0.1", rows[i].script);
		bench_begin(&b, rows[i].script ? b.server.port : server_port_closed(), 0);
		expect(&b, rows[i].word, rows[i].text);
		if (rows[i].script)
			server_stop(&b.server);
		event_base_free(b.loop);
	}
}

static void test_connection_in_time_has_the_time_of_the_whole(void **state)
{
	struct bench b;

	(void)state;
	for (int hurried_later = 0; hurried_later < 2; hurried_later++) {
		bench_init(&b, "smtp", SHORT_MS);
		server_start(&b.server, b.loop, "127.0.0.1", &server_silent);
		bench_begin(&b, b.server.port, hurried_later ? 0 : CONNECT_MS);
		if (hurried_later)
			runner_hurry(b.runner, &(const struct patience){.connect_ms = CONNECT_MS});
		expect(&b, "timeout", "no greeting in 300 ms");
		server_stop(&b.server);
		event_base_free(b.loop);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_server_program_never_hears_of_a_tcp_probe),
		cmocka_unit_test(test_request_comes_with_the_handshake),
		cmocka_unit_test(test_server_that_speaks_first_need_not_wait_for_us),
		cmocka_unit_test(test_what_was_missing_is_known_though_the_connection_went_unseen),
		cmocka_unit_test(test_connection_in_time_has_the_time_of_the_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
