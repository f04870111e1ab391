/* SPDX-License-Identifier: BSD-2-Clause */
/* test_probes.c: what must hold of every probe type, by scripted servers (talker.h). */
#include "tests/unit/healthcheck/talker.h"

#define HTTP_FIELDS                                                                                \
	"User-Agent: sluice/" SLUICE_VERSION "\r\nAccept: */*\r\nConnection: close\r\n\r\n"

static void test_smtp_server_that_works_passes(void **state)
{
	(void)state;
	play("good", &probe_smtp, TLS_NONE, NULL,
	     "220 mx1.example ESMTP\r\n|250-mx1.example\r\n250-SIZE\r\n250 HELP\r\n",
	     "pass 220 mx1.example ESMTP", "EHLO sluice.invalid\r\n");
	play("multi-line banner, bare LF, no text", &probe_smtp, TLS_NONE, NULL,
	     "220-mx1\n220-wait\n220\n|250\n", "pass 220 ", "EHLO sluice.invalid\r\n");
	play("another name", &probe_smtp, TLS_IMPLICIT, "helo=lb.example", "220 x\r\n|250 y\r\n",
	     "pass 220 x", "EHLO lb.example\r\n");
	play("STARTTLS", &probe_smtp, TLS_STARTTLS, NULL,
	     "220 x\r\n|250-y\r\n250-starttls\r\n250 DSN\r\n|220 go\r\n|TLS|250-y\r\n250 AUTH PLAIN\r\n",
	     "pass 220 x", "EHLO sluice.invalid\r\nSTARTTLS\r\nEHLO sluice.invalid\r\n");
}

static void test_smtp_server_that_asks_for_no_more_work_is_leaving(void **state)
{
	(void)state;
	play("421 greeting", &probe_smtp, TLS_NONE, NULL, "421 4.3.2 shutting down\r\n",
	     "leaving 421 4.3.2 shutting down", "");
	play("450 to EHLO", &probe_smtp, TLS_NONE, NULL, "220 x\r\n|450 later\r\n",
	     "leaving 450 later", ANY);
}

static void test_smtp_server_that_says_no_fails(void **state)
{
	(void)state;
	play("STARTTLS is not offered", &probe_smtp, TLS_STARTTLS, NULL,
	     "220 x\r\n|250-XSTARTTLS\r\n250 STARTTLSX\r\n", "fail 250 STARTTLS is not offered",
	     ANY);
	play("STARTTLS is refused", &probe_smtp, TLS_STARTTLS, NULL,
	     "220 x\r\n|250 STARTTLS\r\n|454 4.7.0 no TLS now\r\n", "fail 454 4.7.0 no TLS now",
	     ANY);
	play("554 greeting", &probe_smtp, TLS_NONE, NULL, "554-no\r\n554 service\r\n",
	     "fail 554 service", "");
	play("502 to EHLO", &probe_smtp, TLS_NONE, NULL, "220 x\r\n|502 what?\r\n",
	     "fail 502 what?", ANY);
	play("354 greeting", &probe_smtp, TLS_NONE, NULL, "354 go on\r\n", "fail 354 go on", ANY);
	play("escape sequences are not passed on", &probe_smtp, TLS_NONE, NULL,
	     "554 \x1b[2J\x07\xff\r\n", "fail 554 ?[2J??", "");
}

static void test_smtp_answer_out_of_order_is_garbled(void **state)
{
	(void)state;
	play("not that protocol", &probe_smtp, TLS_NONE, NULL, "SSH-2.0-OpenSSH_9.2\r\n",
	     "garbled 0 not SMTP: SSH-2.0-OpenSSH_9.2", "");
	play("codes that change", &probe_smtp, TLS_NONE, NULL, "220-x\r\n250 y\r\n",
	     "garbled 250 a reply that begins with 220 goes on with 250", "");
	play("a number is not a code", &probe_smtp, TLS_NONE, NULL, "2200 x\r\n",
	     "garbled 0 not SMTP: 2200 x", "");
	play("a NUL", &probe_smtp, TLS_NONE, NULL, "220 a@b\r\n", "garbled 0 a NUL byte in a line",
	     "");
	play("binary without a line", &probe_smtp, TLS_NONE, NULL, "J@@@",
	     "garbled 0 a NUL byte in a line", "");
}

static void test_smtp_server_that_says_too_little_is_waited_for(void **state)
{
	(void)state;
	play("silent", &probe_smtp, TLS_NONE, NULL, "", "waits for greeting", "");
	play("silent after EHLO", &probe_smtp, TLS_NONE, NULL, "220 x\r\n|250-y\r\n",
	     "waits for answer to EHLO", ANY);
	play("half a line", &probe_smtp, TLS_NONE, NULL, "220 x", "waits for greeting", "");
	play("closes early", &probe_smtp, TLS_NONE, NULL, "220-x\r\n|EOF", "waits for greeting",
	     "");
}

static void test_pop3_server_that_works_passes(void **state)
{
	(void)state;
	play("good", &probe_pop3, TLS_NONE, NULL,
	     "+OK Dovecot ready.\r\n|+OK\r\nUIDL\r\nSTLS\r\n.\r\n", "pass 0 Dovecot ready.",
	     "CAPA\r\n");
	play("older than CAPA", &probe_pop3, TLS_IMPLICIT, NULL, "+OK <1.2>\r\n|-ERR unknown\r\n",
	     "pass 0 <1.2>", "CAPA\r\n");
	play("STLS", &probe_pop3, TLS_STARTTLS, NULL, "+OK x\r\n|+OK go\r\n|TLS|+OK\r\n.\r\n",
	     "pass 0 x", "STLS\r\nCAPA\r\n");
}

static void test_pop3_server_that_asks_for_no_more_work_is_leaving(void **state)
{
	(void)state;
	play("SYS/TEMP", &probe_pop3, TLS_NONE, NULL, "-ERR [SYS/TEMP] later\r\n",
	     "leaving 0 [SYS/TEMP] later", "");
	play("IN-USE", &probe_pop3, TLS_NONE, NULL, "-ERR [in-use] busy\r\n",
	     "leaving 0 [in-use] busy", "");
	play("SYS/TEMP to CAPA", &probe_pop3, TLS_NONE, NULL, "+OK\r\n|-ERR [SYS/TEMP] later\r\n",
	     "leaving 0 [SYS/TEMP] later", ANY);
}

static void test_pop3_server_that_says_no_fails(void **state)
{
	(void)state;
	play("STLS is refused", &probe_pop3, TLS_STARTTLS, NULL, "+OK x\r\n|-ERR no\r\n",
	     "fail 0 no", ANY);
	play("SYS/PERM", &probe_pop3, TLS_NONE, NULL, "-ERR [SYS/PERM] broken\r\n",
	     "fail 0 [SYS/PERM] broken", "");
}

static void test_pop3_answer_out_of_order_is_garbled(void **state)
{
	(void)state;
	play("not that protocol", &probe_pop3, TLS_NONE, NULL, "220 mx1 ESMTP\r\n",
	     "garbled 0 not POP3: 220 mx1 ESMTP", "");
	play("nearly", &probe_pop3, TLS_NONE, NULL, "+OKAY\r\n", "garbled 0 not POP3: +OKAY", "");
	play("a NUL in the list", &probe_pop3, TLS_NONE, NULL, "+OK\r\n|+OK\r\n@\r\n",
	     "garbled 0 a NUL byte in a line", ANY);
}

static void test_pop3_server_that_says_too_little_is_waited_for(void **state)
{
	(void)state;
	play("silent", &probe_pop3, TLS_NONE, NULL, "", "waits for greeting", "");
	play("no end of the list", &probe_pop3, TLS_NONE, NULL, "+OK\r\n|+OK\r\nUIDL\r\n",
	     "waits for end of the answer to CAPA", ANY);
	play("closes early", &probe_pop3, TLS_NONE, NULL, "+OK\r\n|EOF", "waits for answer to CAPA",
	     ANY);
}

static void test_imap_server_that_works_passes(void **state)
{
	(void)state;
	play("good", &probe_imap, TLS_NONE, NULL,
	     "* OK [CAPABILITY IMAP4rev1 IDLE] Dovecot ready.\r\n|* CAPABILITY IMAP4rev1 STARTTLS\r\na1 OK done\r\n",
	     "pass 0 Dovecot ready.", "a1 CAPABILITY\r\n");
	play("PREAUTH, talks in between", &probe_imap, TLS_NONE, NULL,
	     "* PREAUTH hello\r\n|* OK Waiting\r\n* capability x\r\nA1 ok\r\n", "pass 0 hello",
	     "a1 CAPABILITY\r\n");
	play("STARTTLS", &probe_imap, TLS_STARTTLS, NULL,
	     "* OK x\r\n|* CAPABILITY IMAP4rev1 STARTTLS\r\na1 OK\r\n|a2 OK go\r\n|TLS|* CAPABILITY IMAP4rev1\r\na3 OK\r\n",
	     "pass 0 x", "a1 CAPABILITY\r\na2 STARTTLS\r\na3 CAPABILITY\r\n");
}

static void test_imap_server_that_asks_for_no_more_work_is_leaving(void **state)
{
	(void)state;
	play("BYE", &probe_imap, TLS_NONE, NULL, "* BYE Too many connections\r\n",
	     "leaving 0 BYE Too many connections", "");
	play("BYE later", &probe_imap, TLS_NONE, NULL, "* OK x\r\n|* BYE Server shutting down.\r\n",
	     "leaving 0 BYE Server shutting down.", ANY);
	play("UNAVAILABLE", &probe_imap, TLS_NONE, NULL, "* OK x\r\n|a1 NO [UNAVAILABLE] later\r\n",
	     "leaving 0 NO [UNAVAILABLE] later", ANY);
}

static void test_imap_server_that_says_no_fails(void **state)
{
	(void)state;
	play("STARTTLS is not offered", &probe_imap, TLS_STARTTLS, NULL,
	     "* OK x\r\n|* CAPABILITY IMAP4rev1\r\na1 OK\r\n", "fail 0 STARTTLS is not offered",
	     ANY);
	play("STARTTLS is refused", &probe_imap, TLS_STARTTLS, NULL,
	     "* OK x\r\n|* CAPABILITY STARTTLS\r\na1 OK\r\n|a2 BAD no\r\n", "fail 0 BAD no", ANY);
	play("PREAUTH is too late for STARTTLS", &probe_imap, TLS_STARTTLS, NULL, "* PREAUTH x\r\n",
	     "fail 0 PREAUTH: too late for STARTTLS", "");
	play("NO", &probe_imap, TLS_NONE, NULL, "* OK\r\n|a1 NO [SERVERBUG]\r\n",
	     "fail 0 NO [SERVERBUG]", ANY);
}

static void test_imap_answer_out_of_order_is_garbled(void **state)
{
	(void)state;
	play("no list", &probe_imap, TLS_NONE, NULL, "* OK x\r\n|a1 OK\r\n",
	     "garbled 0 no list in the answer to CAPABILITY", ANY);
	play("not that protocol", &probe_imap, TLS_NONE, NULL, "+OK POP3\r\n",
	     "garbled 0 not IMAP: +OK POP3", "");
	play("NO greeting", &probe_imap, TLS_NONE, NULL, "* NO x\r\n", "garbled 0 not IMAP: * NO x",
	     "");
	play("a tag before any command", &probe_imap, TLS_NONE, NULL, "a0 OK\r\n",
	     "garbled 0 not IMAP: a0 OK", "");
	play("a NUL", &probe_imap, TLS_NONE, NULL, "* OK @\r\n", "garbled 0 a NUL byte in a line",
	     "");
}

static void test_imap_server_that_says_too_little_is_waited_for(void **state)
{
	(void)state;
	play("silent", &probe_imap, TLS_NONE, NULL, "", "waits for greeting", "");
	play("closes early", &probe_imap, TLS_NONE, NULL, "* OK x\r\n|EOF",
	     "waits for answer to CAPABILITY", ANY);
}

static void test_http_server_that_works_passes(void **state)
{
	(void)state;
	play("good", &probe_http, TLS_NONE, NULL, "HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\n",
	     "pass 200 OK", "GET / HTTP/1.1\r\nHost: localhost\r\n" HTTP_FIELDS);
	play("another request", &probe_http, TLS_IMPLICIT,
	     "method=HEAD\npath=/health?x=1\nhost=www.example", "HTTP/1.0 301\r\n\r\n", "pass 301 ",
	     "HEAD /health?x=1 HTTP/1.1\r\nHost: www.example\r\n" HTTP_FIELDS);
	play("404 may be expected", &probe_http, TLS_NONE, "status=200,400-404",
	     "HTTP/1.1 404 Not Found\r\n\r\n", "pass 404 Not Found", ANY);
	play("interim answers", &probe_http, TLS_NONE, NULL,
	     "HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "pass 200 OK", ANY);
	play("body by its length", &probe_http, TLS_NONE, "body=^all (is )?well$",
	     "HTTP/1.1 200 OK\r\nContent-Length: 8 \r\n\r\nall well and more", "pass 200 OK", ANY);
	play("body in chunks", &probe_http, TLS_NONE, "body=^all well$",
	     "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\nall\r\n05\r\n well\r\n0\r\n\r\n",
	     "pass 200 OK", ANY);
	play("body to the end", &probe_http, TLS_NONE, "body=well",
	     "HTTP/1.0 200 OK\r\n\r\nall is well\n|EOF", "pass 200 OK", ANY);
	play("body with a NUL", &probe_http, TLS_NONE, "body=well",
	     "HTTP/1.0 200 OK\r\nContent-Length: 8\r\n\r\nall@well", "pass 200 OK", ANY);
	play("body of no length", &probe_http, TLS_NONE, "body=^$",
	     "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "pass 200 OK", ANY);
}

static void test_http_server_that_asks_for_no_more_work_is_leaving(void **state)
{
	(void)state;
	play("503 with Retry-After", &probe_http, TLS_NONE, NULL,
	     "HTTP/1.1 503 Later\r\nretry-after: 120\r\n\r\n", "leaving 503 Later", ANY);
}

static void test_http_server_that_says_no_fails(void **state)
{
	(void)state;
	play("404", &probe_http, TLS_NONE, NULL, "HTTP/1.1 404 Not Found\r\n\r\n",
	     "fail 404 Not Found", ANY);
	play("503", &probe_http, TLS_NONE, NULL, "HTTP/1.1 503 Broken\r\n\r\n", "fail 503 Broken",
	     ANY);
	play("101 is not interim", &probe_http, TLS_NONE, NULL, "HTTP/1.1 101 Other\r\n\r\n",
	     "fail 101 Other", ANY);
	play("body that does not match", &probe_http, TLS_NONE, "body=^well",
	     "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nall well",
	     "fail 200 the body does not match: all well", ANY);
	play("no body", &probe_http, TLS_NONE, "body=x", "HTTP/1.1 204 Empty\r\n\r\n",
	     "fail 204 the body does not match: ", ANY);
}

static void test_http_answer_out_of_order_is_garbled(void **state)
{
	(void)state;
	play("two lengths", &probe_http, TLS_NONE, NULL,
	     "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nContent-Length: 9\r\n\r\n",
	     "garbled 200 Content-Length: 9", ANY);
	play("length that would wrap", &probe_http, TLS_NONE, NULL,
	     "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551617\r\n\r\n",
	     "garbled 200 Content-Length: 18446744073709551617", ANY);
	play("length below zero", &probe_http, TLS_NONE, NULL,
	     "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "garbled 200 Content-Length: -1",
	     ANY);
	play("chunk size that is none", &probe_http, TLS_NONE, "body=x",
	     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
	     "garbled 200 not the size of a chunk: zz", ANY);
	play("chunk size that would wrap", &probe_http, TLS_NONE, "body=x",
	     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1ffffffffffffffff\r\n",
	     "garbled 200 not the size of a chunk: 1ffffffffffffffff", ANY);
	play("chunk without an end", &probe_http, TLS_NONE, "body=x",
	     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n",
	     "garbled 200 a chunk has no end", ANY);
	play("unknown coding", &probe_http, TLS_NONE, NULL,
	     "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
	     "garbled 200 Transfer-Encoding: gzip", ANY);
	play("not that protocol", &probe_http, TLS_NONE, NULL, "220 mx1 ESMTP\r\n",
	     "garbled 0 not HTTP: 220 mx1 ESMTP", ANY);
	play("a NUL", &probe_http, TLS_NONE, NULL, "HTTP/1.1 200 OK\r\nX: @\r\n\r\n",
	     "garbled 0 a NUL byte in a line", ANY);
}

static void test_http_server_that_says_too_little_is_waited_for(void **state)
{
	(void)state;
	play("silent", &probe_http, TLS_NONE, NULL, "", "waits for answer",
	     "GET / HTTP/1.1\r\nHost: localhost\r\n" HTTP_FIELDS);
	play("closes in the headers", &probe_http, TLS_NONE, NULL, "HTTP/1.1 200 OK\r\n|EOF",
	     "waits for end of the headers", ANY);
	play("closes in the body", &probe_http, TLS_NONE, "body=x",
	     "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx|EOF", "waits for end of the body", ANY);
	play("closes in a chunk", &probe_http, TLS_NONE, "body=x",
	     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nx|EOF",
	     "waits for end of the body", ANY);
}

static void test_tcp_passes_when_connected(void **state)
{
	(void)state;
	play("connected", &probe_tcp, TLS_NONE, NULL, "", "pass 0 connected", "");
	play("TLS", &probe_tcp, TLS_IMPLICIT, NULL, "", "pass 0 connected, TLS", "");
}

/* ---- without end ---- */

static void test_endless_line_is_ended_when_the_buffer_is_full(void **state)
{
	static const struct probe_ops *const all[] = {&probe_smtp, &probe_pop3, &probe_imap,
						      &probe_http};
	struct verdict v;

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		assert_int_equal(talker_feed_for_ever(all[i], NULL, "", "x", &v), PROBE_IN_BYTES);
		assert_int_equal(v.word, VERDICT_GARBLED);
		assert_string_equal(v.text, "an endless line");
	}
}

static void test_endless_answer_is_ended(void **state)
{
	static const struct {
		const struct probe_ops *ops;
		const char *first, *again;
	} answers[] = {
		{&probe_smtp, "", "220-wait\r\n"},
		{&probe_smtp, "220 x\r\n", "250-x\r\n"},
		{&probe_pop3, "+OK\r\n", "+OK\r\n"},
		{&probe_pop3, "+OK\r\n+OK\r\n", "X-CAPABILITY\r\n"},
		{&probe_imap, "* OK x\r\n", "* OK still here\r\n"},
		{&probe_http, "HTTP/1.1 200 OK\r\n", "X: y\r\n"},
		{&probe_http, "", "HTTP/1.1 100 Go on\r\n\r\n"},
	};
	struct verdict v;

	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		size_t fed = talker_feed_for_ever(answers[i].ops, NULL, answers[i].first,
						  answers[i].again, &v);

		assert_true(fed <= PROBE_TOTAL_BYTES);
		assert_int_equal(v.word, VERDICT_GARBLED);
		assert_string_equal(v.text, "an endless answer");
	}
}

static void test_long_lines_are_limited_in_all(void **state)
{
	char line[2048];
	struct verdict v;

	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line, "220-", 4);
	memcpy(line + sizeof(line) - 3, "\r\n", 3);
	assert_in_range(talker_feed_for_ever(&probe_smtp, NULL, "", line, &v), PROBE_TOTAL_BYTES,
			PROBE_TOTAL_BYTES + sizeof(line));
	assert_string_equal(v.text, "an endless answer");
}

static void test_endless_body_is_judged_by_its_beginning(void **state)
{
	static const char *const heads[] = {
		"HTTP/1.1 200 OK\r\n\r\nwell ",
		"HTTP/1.1 200 OK\r\nContent-Length: 999999999999999\r\n\r\nwell ",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\nwell ",
	};
	static const char well[] = "body=^well", ill[] = "body=ill";
	struct verdict v;

	(void)state;
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		assert_in_range(talker_feed_for_ever(&probe_http, well, heads[i], "x", &v), 1,
				4096);
		assert_int_equal(v.word, VERDICT_PASS);
		talker_feed_for_ever(&probe_http, ill, heads[i], "x", &v);
		assert_int_equal(v.word, VERDICT_FAIL);
	}
	talker_feed_for_ever(&probe_http, ill,
			     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n",
			     &v);
	assert_int_equal(v.word, VERDICT_FAIL);
}

/* ---- injection, settings ---- */

static void test_plain_text_after_the_go_ahead_for_tls_is_refused(void **state)
{
	static const struct {
		const struct probe_ops *ops;
		const char *bytes;
	} injected[] = {
		{&probe_smtp, "220 x\r\n250 STARTTLS\r\n220 go\r\n250 injected\r\n"},
		{&probe_smtp, "220 x\r\n250 STARTTLS\r\n220 go\r\n2"},
		{&probe_pop3, "+OK\r\n+OK go\r\n+OK injected\r\n"},
		{&probe_imap, "* OK\r\n* CAPABILITY STARTTLS\r\na1 OK\r\na2 OK\r\n* BYE\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(injected) / sizeof(injected[0]); i++)
		assert_injection_refused(injected[i].ops, NULL, injected[i].bytes);
}

static void test_setting_that_could_not_work_is_refused(void **state)
{
	static const struct {
		const struct probe_ops *ops;
		const char *key, *good, *bad;
	} settings[] = {
		{&probe_smtp, "helo", "[192.0.2.1]", "a b"},
		{&probe_smtp, "helo", "mx-1.example", ""},
		{&probe_smtp, "helo", "x", "x\r\nDATA"},
		{&probe_smtp, "sni", "", "a b"},
		{&probe_http, "method", "HEAD", "POST"},
		{&probe_http, "path", "/a?b=c%20d", "a"},
		{&probe_http, "path", "/", "/ HTTP/1.0\r\nX: y"},
		{&probe_http, "host", "localhost", ""},
		{&probe_http, "status", "200", ""},
		{&probe_http, "status", "100-599,200", "200-"},
		{&probe_http, "status", "200-200", "300-200"},
		{&probe_http, "status", "404,500-503", "99"},
		{&probe_http, "status", "200", "600"},
		{&probe_http, "status", "200", "2000"},
		{&probe_http, "status", "200", "-200"},
		{&probe_http, "status", "200", "200;300"},
		{&probe_http, "body", "a|b", "(a"},
		{&probe_http, "body", "a\\\\1", "(a)\\1"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		assert_setting(settings[i].ops, settings[i].key, settings[i].good, settings[i].bad);
}

static void test_every_probe_is_found_by_its_name_and_keeps_within_its_settings(void **state)
{
	static const char *const names[] = {"tcp",	  "smtp", "pop3",	 "imap", "http",
					    "submission", "lmtp", "managesieve", "chat", "agent"};

	(void)state;
	assert_null(probe_find("none"));
	assert_null(probe_find(""));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct probe_ops *ops = probe_find(names[i]);

		assert_non_null(ops);
		assert_true(ops->schema.conf_size <= PROBE_CONF_SIZE);
		assert_true(!ops->schema.can_starttls || ops->secured);
		for (const struct config_key *key = ops->schema.keys; key->name; key++) {
			const char *defaults = ops->schema.defaults;

			assert_true(key->offset + key->size <= ops->schema.conf_size);
			if (key->check)
				assert_null(key->check(defaults ? defaults + key->offset : ""));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_smtp_server_that_works_passes),
		cmocka_unit_test(test_smtp_server_that_asks_for_no_more_work_is_leaving),
		cmocka_unit_test(test_smtp_server_that_says_no_fails),
		cmocka_unit_test(test_smtp_answer_out_of_order_is_garbled),
		cmocka_unit_test(test_smtp_server_that_says_too_little_is_waited_for),
		cmocka_unit_test(test_pop3_server_that_works_passes),
		cmocka_unit_test(test_pop3_server_that_asks_for_no_more_work_is_leaving),
		cmocka_unit_test(test_pop3_server_that_says_no_fails),
		cmocka_unit_test(test_pop3_answer_out_of_order_is_garbled),
		cmocka_unit_test(test_pop3_server_that_says_too_little_is_waited_for),
		cmocka_unit_test(test_imap_server_that_works_passes),
		cmocka_unit_test(test_imap_server_that_asks_for_no_more_work_is_leaving),
		cmocka_unit_test(test_imap_server_that_says_no_fails),
		cmocka_unit_test(test_imap_answer_out_of_order_is_garbled),
		cmocka_unit_test(test_imap_server_that_says_too_little_is_waited_for),
		cmocka_unit_test(test_http_server_that_works_passes),
		cmocka_unit_test(test_http_server_that_asks_for_no_more_work_is_leaving),
		cmocka_unit_test(test_http_server_that_says_no_fails),
		cmocka_unit_test(test_http_answer_out_of_order_is_garbled),
		cmocka_unit_test(test_http_server_that_says_too_little_is_waited_for),
		cmocka_unit_test(test_tcp_passes_when_connected),
		cmocka_unit_test(test_endless_line_is_ended_when_the_buffer_is_full),
		cmocka_unit_test(test_endless_answer_is_ended),
		cmocka_unit_test(test_long_lines_are_limited_in_all),
		cmocka_unit_test(test_endless_body_is_judged_by_its_beginning),
		cmocka_unit_test(test_plain_text_after_the_go_ahead_for_tls_is_refused),
		cmocka_unit_test(test_setting_that_could_not_work_is_refused),
		cmocka_unit_test(
			test_every_probe_is_found_by_its_name_and_keeps_within_its_settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
