/* SPDX-License-Identifier: BSD-2-Clause */
/* test_log.c: a stranger's words in a log line (base/log.h), and addresses (base/config.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/config.h"
#include "base/log.h"

static void test_quoted_words_are_printable_and_bounded(void **state)
{
	static const struct {
		const char *in;
		size_t len, size;
		const char *out;
	} rows[] = {
		{"220 ok", 6, 64, "\"220 ok\""},
		{"say \"hi\"\\", 9, 64, "\"say \\\"hi\\\"\\\\\""},
		{"\x1b[2J\r\n", 6, 64, "\"\\x1b[2J\\x0d\\x0a\""},
		{"a\0b", 3, 64, "\"a\\x00b\""},
		{"\xff\xfe", 2, 64, "\"\\xff\\xfe\""},
		{"", 0, 64, "\"\""},
		{"0123456789abcdefghij", 20, 16, "\"012345...\""},
		{"x", 1, 4, ""},
	};
	char buf[64];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memset(buf, 'Z', sizeof(buf));
		assert_string_equal(log_quote(rows[i].in, rows[i].len, buf, rows[i].size),
				    rows[i].out);
	}
}

static void test_quote_never_writes_beyond_its_buffer(void **state)
{
	char in[300], buf[80];

	(void)state;
	for (int c = 0; c < 256; c++) {
		memset(in, c, sizeof(in));
		for (size_t size = 0; size <= 64; size++) {
			memset(buf, 'Z', sizeof(buf));
			log_quote(in, sizeof(in), buf, size);
			for (size_t i = size; i < sizeof(buf); i++)
				assert_int_equal(buf[i], 'Z');
		}
	}
}

static void test_address_survives_text_and_back(void **state)
{
	static const char *const good[] = {"192.0.2.1", "0.0.0.0", "2001:db8::1", "fe80::1", "::"};
	static const char *const bad[] = {
		"",  "192.0.2",	   "192.0.2.256", "::ffff:1.2.3.4", "mx1.example", "192.0.2.1/24",
		"1", "2001:db8::g"};
	char buf[INET6_ADDRSTRLEN];
	struct addr addr;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(addr_parse(good[i], &addr), 0);
		assert_string_equal(addr_format(&addr, buf), good[i]);
		assert_int_equal(addr_is_ipv4(&addr), strchr(good[i], ':') == NULL);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_true(addr_parse(bad[i], &addr) < 0);
}

/* One that waited would never come back: nobody else reads the pipe. */
static void test_hasty_process_loses_lines_rather_than_wait_and_says_how_many(void **state)
{
	int pipes[2], kept = dup(STDERR_FILENO);
	char text[1 << 17];
	ssize_t n;

	(void)state;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	dup2(pipes[1], STDERR_FILENO);
	log_never_wait();
	for (int i = 0; i < 5000; i++)
		log_err("%0100d", i);
	n = read(pipes[0], text, sizeof(text) - 1);
	log_err("the end");
	assert_true(n > 0);
	n = read(pipes[0], text, sizeof(text) - 1);
	dup2(kept, STDERR_FILENO);
	close(kept);
	close(pipes[0]);
	close(pipes[1]);
	text[n > 0 ? n : 0] = '\0';
	assert_non_null(strstr(text, " lines before this one are lost\n"));
	assert_non_null(strstr(text, "the end\n"));
	assert_true(strstr(text, "lost") < strstr(text, "the end"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quoted_words_are_printable_and_bounded),
		cmocka_unit_test(test_quote_never_writes_beyond_its_buffer),
		cmocka_unit_test(test_address_survives_text_and_back),
		cmocka_unit_test(test_hasty_process_loses_lines_rather_than_wait_and_says_how_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
