/* SPDX-License-Identifier: BSD-2-Clause */
/* test_secrets.c: a password is said to the server, and to nobody else: not in the dialogue, which
 * `sluice probe -v` prints, and not in the verdict, which is logged; whatever the server says
 * again.
 */
#include "tests/unit/healthcheck/talker.h"

#include <stdio.h>

#include "healthcheck/dialogue.h"
#include "healthcheck/runner.h"
#include "healthcheck/tls.h"
#include "healthcheck/veil.h"
#include "tests/unit/healthcheck/server.h"

#define LOGIN "user=alice\npassword_file=s3cr\"t"
#define PLAIN "AGFsaWNlAHMzY3IidA==" /* NUL alice NUL s3cr"t */

static const struct conversation {
	const char *type, *settings;
	struct server_script script;
	const char *heard; /* by the server: the secret was there */
	const char *told;  /* in the dialogue, in its place */
} conversations[] = {
	{"smtp",
	 LOGIN,
	 {.greeting = "220 x\r\n",
	  .answers = {{.to = "EHLO", .say = "250 AUTH PLAIN\r\n"},
		      {.to = "AUTH", .say = "500 what is AUTH PLAIN " PLAIN " for s3cr\"t?\r\n"}}},
	 "AUTH PLAIN " PLAIN,
	 "> AUTH PLAIN ***\n"},
	{"smtp",
	 LOGIN,
	 {.greeting = "220 x\r\n",
	  .answers = {{.to = "EHLO", .say = "250 AUTH LOGIN\r\n"},
		      {.to = "AUTH", .say = "334 s3cr\"t\r\n"},
		      {.to = "YWxpY2U=", .say = "334 go\r\n"},
		      {.to = "czNjciJ0", .say = "535 czNjciJ0\r\n"}}},
	 "czNjciJ0",
	 "> ***\n"},
	{"lmtp",
	 LOGIN,
	 {.greeting = "220 x\r\n",
	  .answers = {{.to = "LHLO", .say = "250 AUTH PLAIN\r\n"},
		      {.to = "AUTH", .say = "235 in\r\n"}}},
	 "AUTH PLAIN " PLAIN,
	 "> AUTH PLAIN ***\n"},
	{"pop3",
	 LOGIN,
	 {.greeting = "+OK s3cr\"t\r\n",
	  .answers = {{.to = "CAPA", .say = "-ERR\r\n"},
		      {.to = "USER", .say = "+OK\r\n"},
		      {.to = "PASS", .say = "-ERR PASS s3cr\"t is wrong\r\n"}}},
	 "PASS s3cr\"t",
	 "> PASS ***\n"},
	{"imap",
	 LOGIN,
	 {.greeting = "* OK x\r\n",
	  .answers = {{.to = "a1", .say = "* CAPABILITY x\r\na1 OK\r\n"},
		      {.to = "a2", .say = "a2 BAD LOGIN \"alice\" \"s3cr\\\"t\" or s3cr\"t\r\n"}}},
	 "a2 LOGIN \"alice\" \"s3cr\\\"t\"",
	 "> a2 LOGIN \"alice\" ***\n"},
	{"imap",
	 "user=alice\npassword_file=gr\xc3\xbc\xc3\x9f",
	 {.greeting = "* OK x\r\n",
	  .answers = {{.to = "a1", .say = "* CAPABILITY x\r\na1 OK\r\n"},
		      {.to = "a2", .say = "+ go\r\n"},
		      {.to = "gr", .say = "a2 NO gr\xc3\xbc\xc3\x9f\r\n"}}},
	 "gr\xc3\xbc\xc3\x9f",
	 "> ***\n"},
	{"managesieve",
	 LOGIN,
	 {.greeting = "\"SIEVE\" \"\"\r\n\"SASL\" \"PLAIN\"\r\nOK\r\n",
	  .answers = {{.to = "AUTH", .say = "NO \"not \\\"" PLAIN "\\\"\"\r\n"}}},
	 "AUTHENTICATE \"PLAIN\" \"" PLAIN,
	 "> AUTHENTICATE \"PLAIN\" \"***\"\n"},
};

static const char *const secrets[] = {"s3cr", "czNjciJ0", PLAIN, "gr\xc3", "gr\\xc3", "gr?"};

struct bench {
	struct runner *runner;
	bool done;
	struct verdict verdict;
	char told[4096];
};

static void on_done(void *owner, const struct verdict *v, uint32_t took_ms)
{
	struct bench *b = owner;

	(void)took_ms;
	b->done = true;
	b->verdict = *v;
}

static void on_line(void *owner, uint32_t at_ms, const char *text)
{
	struct bench *b = owner;
	size_t used = strlen(b->told);

	(void)at_ms;
	snprintf(b->told + used, sizeof(b->told) - used, "%s\n", text);
}

static void converse(const struct conversation *c, struct bench *b, struct server *server)
{
	struct event_base *loop = event_base_new();
	SSL_CTX *tls = tls_context_new();
	struct talker *t = talker_new(probe_find(c->type), TLS_NONE, c->settings);
	struct config_probe probe = {.timeout_ms = 5000};
	struct runner_request request = {.loop = loop,
					 .tls = tls,
					 .ops = t->ops,
					 .probe = &probe,
					 .done = on_done,
					 .line = on_line,
					 .owner = b};

	memcpy(probe.conf, t->conf, sizeof(probe.conf));
	talker_free(t);
	server_start(server, loop, "127.0.0.1", &c->script);
	request.addr = server->addr;
	request.port = server->port;
	assert_int_equal(runner_new(&request, &b->runner), 0);
	assert_true(server_loop_until(loop, &b->done, 5000));
	runner_free(b->runner);
	server_stop(server);
	SSL_CTX_free(tls);
	event_base_free(loop);
}

static void test_password_is_in_nothing_that_is_told(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(conversations) / sizeof(conversations[0]); i++) {
		const struct conversation *c = &conversations[i];
		struct bench b = {0};
		struct server server;

		converse(c, &b, &server);
		if (!strstr(server.heard, c->heard))
			fail_msg("%zu: the server heard only %s", i, server.heard);
		if (!strstr(b.told, c->told))
			fail_msg("%zu: told %s", i, b.told);
		for (size_t j = 0; j < sizeof(secrets) / sizeof(secrets[0]); j++) {
			if (strstr(b.told, secrets[j]) || strstr(b.verdict.text, secrets[j]))
				fail_msg("%zu: told %s verdict %s", i, b.told, b.verdict.text);
		}
	}
}

static void veiled(const char *secret, const char *text, size_t size, const char *expect)
{
	struct veil veil = {0};
	char *copy = calloc(1, size);

	snprintf(copy, size, "%s", text);
	veil_add(&veil, secret, strlen(secret));
	veil_cover(&veil, copy, size);
	assert_string_equal(copy, expect);
	free(copy);
}

static void test_veil_covers_every_form_and_place(void **state)
{
	(void)state;
	veiled("abcd", "abcdabcd xabcdx abc", 32, "****** x***x abc");
	veiled("abcd", "", 8, "");
	veiled("abcd", "abcd", 5, "***");
	veiled("a\\bc\xff", "a\\bc? a\\\\bc\\xff a\\bc\\xfe", 64, "*** *** a\\bc\\xfe");
	veiled("abcdefgh", "see abcdef", 11, "see ***");    /* cut where the text ends */
	veiled("abcdefgh", "see abcdef", 64, "see abcdef"); /* not cut */
	veiled("abc", "abc is too short", 64, "abc is too short");
}

/* The lines of a dialogue, one after the other. */
static void on_wrapped(void *owner, uint32_t at_ms, const char *text)
{
	char *told = owner;

	(void)at_ms;
	strcat(told, text + 2);
}

/* What is too long for one line of a dialogue goes on in the next one. */
static void test_secret_is_covered_where_a_line_is_broken(void **state)
{
	struct veil veil = {0};
	char text[600], told[4096];

	(void)state;
	veil_add(&veil, PLAIN, strlen(PLAIN));
	veil_add(&veil, "gr\xc3\xbc\xc3\x9f", 6);
	for (size_t at = MESSAGE_LINE - 60; at < MESSAGE_LINE; at++) {
		struct dialogue d = {.line = on_wrapped, .owner = told, .veil = &veil};
		size_t n = (size_t)snprintf(text, sizeof(text), "%0*d%s", (int)at, 0, PLAIN);

		told[0] = '\0';
		for (size_t i = 0; i < n; i++)
			dialogue_bytes(&d, 0, '<', text + i, 1);
		dialogue_bytes(&d, 0, '<', "gr\xc3\xbc\xc3\x9f AGF\n", 11);
		assert_int_equal(strspn(told, "0"), at);
		assert_string_equal(told + at, "****** AGF");
	}
}

static void test_veil_takes_no_more_than_it_can_hold(void **state)
{
	struct veil veil = {0};
	char secret[VEIL_BYTES], text[] = "abcd";

	(void)state;
	memset(secret, 'x', sizeof(secret));
	veil_add(&veil, secret, sizeof(secret) - 2);
	veil_add(&veil, "abcd", 4);
	veil_cover(&veil, text, sizeof(text));
	assert_string_equal(text, "abcd");
	for (int i = 0; i < 100; i++)
		veil_add(&veil, secret, sizeof(secret));
	assert_true(veil.used <= VEIL_BYTES && veil.n <= VEIL_SECRETS);
}

static void test_secret_of_a_buffer_moves_with_its_bytes(void **state)
{
	char bytes[16];
	struct buf b = {.bytes = bytes, .size = sizeof(bytes)};
	size_t at;

	(void)state;
	assert_true(buf_add(&b, "plain", 5));
	assert_int_equal(buf_secret_find(&b, &at), 0);
	assert_true(buf_secret(&b, "one", 3) && buf_add(&b, " ", 1) && buf_secret(&b, "two", 3));
	assert_int_equal(buf_secret_find(&b, &at), 7);
	assert_int_equal(at, 5);
	assert_false(buf_secret(&b, "too much", 8));
	buf_drop(&b, 4);
	buf_room(&b);
	assert_int_equal(buf_secret_find(&b, &at), 7);
	assert_memory_equal(buf_head(&b) + at, "one two", 7);
	buf_drop(&b, 3);
	assert_int_equal(buf_secret_find(&b, &at), 5);
	assert_int_equal(at, 0);
	buf_drop(&b, buf_len(&b));
	buf_room(&b);
	assert_int_equal(buf_secret_find(&b, &at), 0);
	buf_add(&b, "x", 1);
	assert_int_equal(buf_secret_find(&b, &at), 0);
	buf_secret_forget(&b);
	assert_int_equal(buf_secret_find(&b, &at), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_password_is_in_nothing_that_is_told),
		cmocka_unit_test(test_veil_covers_every_form_and_place),
		cmocka_unit_test(test_secret_is_covered_where_a_line_is_broken),
		cmocka_unit_test(test_veil_takes_no_more_than_it_can_hold),
		cmocka_unit_test(test_secret_of_a_buffer_moves_with_its_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
