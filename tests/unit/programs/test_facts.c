/* SPDX-License-Identifier: BSD-2-Clause */
/* test_facts.c: what must hold of the words that a program or a receiver is given, and of what a
 * receiver answers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/url.h"
#include "programs/change.h"
#include "programs/post.h"

static const char *value_of(const struct environment *e, const char *key)
{
	for (uint32_t i = 0; i < e->n; i++) {
		if (strncmp(e->strings[i], key, strlen(key)) == 0 &&
		    e->strings[i][strlen(key)] == '=')
			return e->strings[i] + strlen(key) + 1;
	}
	return NULL;
}

static struct change change_sample(void)
{
	struct change c = {.event = CHANGE_BACKEND,
			   .pool = "mx",
			   .name = "mx1",
			   .port = 25,
			   .from = "up",
			   .to = "down",
			   .by = "probe",
			   .reason = "4.3.2 \"bye\" $(rm -rf /) \\",
			   .active = true,
			   .since_s = 1700000000};

	assert_int_equal(addr_parse("192.0.2.1", &c.addr), 0);
	return c;
}

static void test_environment_has_the_facts_and_nothing_of_ours(void **state)
{
	struct change c = change_sample();
	struct environment e;
	struct facts f;

	(void)state;
	change_facts(&c, "lb1", &f);
	environment_init(&e, "alice", "/home/alice");
	environment_add(&e, &f);
	assert_string_equal(value_of(&e, "SLUICE_EVENT"), "backend");
	assert_string_equal(value_of(&e, "SLUICE_NODE"), "lb1");
	assert_string_equal(value_of(&e, "SLUICE_POOL"), "mx");
	assert_string_equal(value_of(&e, "SLUICE_BACKEND"), "mx1");
	assert_string_equal(value_of(&e, "SLUICE_ADDRESS"), "192.0.2.1");
	assert_string_equal(value_of(&e, "SLUICE_PORT"), "25");
	assert_string_equal(value_of(&e, "SLUICE_FROM"), "up");
	assert_string_equal(value_of(&e, "SLUICE_TO"), "down");
	assert_string_equal(value_of(&e, "SLUICE_BY"), "probe");
	assert_string_equal(value_of(&e, "SLUICE_ACTIVE"), "yes");
	assert_string_equal(value_of(&e, "SLUICE_SINCE"), "1700000000");
	assert_string_equal(value_of(&e, "SLUICE_REASON"), c.reason);
	assert_string_equal(value_of(&e, "HOME"), "/home/alice");
	assert_null(value_of(&e, "SLUICE_INSTANCE"));
	assert_null(e.strings[e.n]);
	assert_int_equal(e.n, f.n + 5);
}

static void test_json_escapes_a_strangers_words(void **state)
{
	struct change c = change_sample();
	char json[JSON_SIZE];
	struct facts f;
	size_t n;

	(void)state;
	change_facts(&c, "lb1", &f);
	n = facts_json(&f, json);
	assert_int_equal(n, strlen(json));
	assert_string_equal(json, "{\"event\":\"backend\",\"node\":\"lb1\",\"active\":\"yes\","
				  "\"pool\":\"mx\",\"backend\":\"mx1\",\"address\":\"192.0.2.1\","
				  "\"port\":25,\"from\":\"up\",\"to\":\"down\","
				  "\"reason\":\"4.3.2 \\\"bye\\\" $(rm -rf /) \\\\\","
				  "\"by\":\"probe\",\"since\":1700000000}\n");
}

static void test_what_is_not_printable_is_a_question_mark_and_what_is_long_is_cut(void **state)
{
	struct facts f = {0};
	struct environment e;
	char json[JSON_SIZE], long_text[1000];

	(void)state;
	facts_add(&f, "reason", "a\nb\x1b[m\xff\x7f");
	assert_string_equal(f.facts[0].value, "a?b?[m??");
	memset(long_text, '"', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	while (f.n < FACTS_MOST)
		facts_add(&f, "fifteen_letters", long_text);
	environment_init(&e, "nobody", "/");
	environment_add(&e, &f);
	assert_int_equal(e.n, FACTS_MOST + 5);
	assert_true(facts_json(&f, json) < JSON_SIZE);
}

static void test_vrrp_change_names_the_instance(void **state)
{
	struct change c = {.event = CHANGE_VRRP,
			   .name = "v4",
			   .from = "backup",
			   .to = "active",
			   .priority = 120};
	struct facts f;
	char json[JSON_SIZE];

	(void)state;
	change_facts(&c, "lb1", &f);
	facts_json(&f, json);
	assert_string_equal(json, "{\"event\":\"vrrp\",\"node\":\"lb1\",\"active\":\"no\","
				  "\"instance\":\"v4\",\"from\":\"backup\",\"to\":\"active\","
				  "\"reason\":\"\",\"priority\":120,\"since\":0}\n");
}

static void test_whose_word_it_is(void **state)
{
	struct message_health m = {.health = HEALTH_DOWN};

	(void)state;
	assert_string_equal(change_by(&m), "probe");
	m.said[SAYER_PROBE].health = HEALTH_UP;
	m.said[SAYER_FLAP].health = HEALTH_DOWN;
	assert_string_equal(change_by(&m), "flap");
	m.said[SAYER_PROBE].health = HEALTH_DOWN;
	assert_string_equal(change_by(&m), "probe");
	m.health = HEALTH_LEAVING;
	m.said[SAYER_AGENT].health = HEALTH_LEAVING;
	assert_string_equal(change_by(&m), "agent");
}

static void test_urls(void **state)
{
	static const struct {
		const char *text, *host, *authority, *path;
		uint16_t port;
		bool tls;
	} good[] = {
		{"http://a", "a", "a", "/", 80, false},
		{"https://a.example:8443/x?y=1#z", "a.example", "a.example:8443", "/x?y=1", 8443,
		 true},
		{"https://[fd00::1]/x", "fd00::1", "[fd00::1]", "/x", 443, true},
		{"http://[fd00::1]:81?q", "fd00::1", "[fd00::1]:81", "/?q", 81, false},
	};
	static const char *const bad[] = {
		"",
		"ftp://a",
		"http://",
		"http:///x",
		"http://u:p@a/",
		"http://a:0/",
		"http://a:x",
		"http://a:70000",
		"http://[a",
		"http://[::1]x/",
		"http://a/ b",
		"http://:80",
		"http://a/\r\nX",
		"HTTP://a/\t",
	};
	struct url url;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(url_parse(good[i].text, &url), 0);
		assert_string_equal(url.host, good[i].host);
		assert_string_equal(url.authority, good[i].authority);
		assert_string_equal(url.path, good[i].path);
		assert_int_equal(url.port, good[i].port);
		assert_int_equal(url.tls, good[i].tls);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(url_parse(bad[i], &url), -EINVAL);
}

static void test_answers_of_receivers(void **state)
{
	static const struct {
		const char *bytes;
		int code;
	} rows[] = {
		{"HTTP/1.1 204 No Content\r\n", 204},
		{"HTTP/1.0 500\r\n", 500},
		{"HTTP/1.1 200\n", 200},
		{"", -EAGAIN},
		{"HTT", -EAGAIN},
		{"HTTP/1.1 200 OK", -EAGAIN},
		{"HTTP/2 200\r\n", -EPROTO},
		{"220 mx ESMTP\r\n", -EPROTO},
		{"HTTP/1.1 2000\r\n", -EPROTO},
		{"HTTP/1.1 20\r\n", -EPROTO},
		{"HTTP/1.1\r\n", -EPROTO},
		{"HTTP/1.1 -20 x\r\n", -EPROTO},
		{"\n", -EPROTO},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(post_answer(rows[i].bytes, strlen(rows[i].bytes)), rows[i].code);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_environment_has_the_facts_and_nothing_of_ours),
		cmocka_unit_test(test_json_escapes_a_strangers_words),
		cmocka_unit_test(
			test_what_is_not_printable_is_a_question_mark_and_what_is_long_is_cut),
		cmocka_unit_test(test_vrrp_change_names_the_instance),
		cmocka_unit_test(test_whose_word_it_is),
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_answers_of_receivers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
