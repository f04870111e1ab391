/* SPDX-License-Identifier: BSD-2-Clause */
/* test_probes_sql.c: what must hold of the probes of MySQL and PostgreSQL, by scripted servers. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/healthcheck/talker.h"

/* ---- MySQL ---- */

enum { PACKETS = 64 };
static char packets[PACKETS][PROBE_IN_BYTES];
static int packet_next;

static struct turn framed(const char *head, size_t head_n, const char *bytes, size_t n)
{
	char *at = packets[packet_next++ % PACKETS];

	assert_true(head_n + n <= PROBE_IN_BYTES);
	memcpy(at, head, head_n);
	memcpy(at + head_n, bytes, n);
	return (struct turn){at, head_n + n};
}

static struct turn packet(int sequence, const char *bytes, size_t n)
{
	char head[4] = {(char)n, (char)(n >> 8), (char)(n >> 16), (char)sequence};

	return framed(head, sizeof(head), bytes, n);
}
#define PACKET(sequence, string) packet((sequence), string, sizeof(string) - 1)

#define SCRAMBLE_8  "\1\2\3\4\5\6\7\10"
#define SCRAMBLE_12 "\11\12\13\14\15\16\17\20\21\22\23\24"
#define HELLO(version, capabilities, plugin)                                                       \
	PACKET(0, "\12" version "\0\5\0\0\0" SCRAMBLE_8 "\0" capabilities                          \
		  "\x21\2\0\x08\0\x15\0\0\0\0\0\0\0\0\0\0" SCRAMBLE_12 "\0" plugin "\0")
#define PLAIN	      "\0\xa2"
#define WITH_TLS      "\0\xaa"
#define NATIVE_PLUGIN "mysql_native_password"
#define SHA2_PLUGIN   "caching_sha2_password"
#define GOOD	      PACKET(2, "\0\0\0\2\0\0\0")

/* "secret" with the scramble 1, 2, ... 20 */
#define NATIVE "\xb3\x2b\xb3\xa5\x83\xe1\x34\x0c\x0a\x11\x08\xd5\x8b\x1b\xe4\x97\x81\xad\x8c\x2f"
#define SHA2                                                                                       \
	"\x74\x6e\xbe\x20\x5d\x56\xa0\x70\x7a\xcb\x3e\x79\x6e\x83\x4e\x0d\xd7\xb1\xd6\x17"         \
	"\x43\xb2\x6b\xd5\x20\x2c\x7a\x62\x32\x30\xc7\xc9"
#define QUIT "\1\0\0\0\1"
#define LOGIN(length, sequence, capabilities)                                                      \
	length "\0\0" sequence "\1" capabilities "\x08\0\0\0\0\1\x21"                              \
	       "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"

static void test_mysql_login_that_succeeds_passes_and_is_left_politely(void **state)
{
	struct turn native[] = {HELLO("8.0.36", PLAIN, NATIVE_PLUGIN), GOOD, {0}};
	struct turn sha2[] = {HELLO("8.0.36", PLAIN, SHA2_PLUGIN), PACKET(2, "\1\3"), GOOD, {0}};
	static const char native_sent[] =
		LOGIN("\x51", "\1", "\xa2") "alice\0\x14" NATIVE "mysql_native_password\0" QUIT;
	static const char sha2_sent[] =
		LOGIN("\x5d", "\1", "\xa2") "alice\0\x20" SHA2 "caching_sha2_password\0" QUIT;

	(void)state;
	play_turns("native", &probe_mysql, TLS_NONE, "user=alice\npassword_file=secret", native,
		   "pass 0 8.0.36", native_sent, sizeof(native_sent) - 1);
	play_turns("caching_sha2", &probe_mysql, TLS_NONE, "user=alice\npassword_file=secret", sha2,
		   "pass 0 8.0.36", sha2_sent, sizeof(sha2_sent) - 1);
}

static void test_mysql_server_may_want_another_hash(void **state)
{
	struct turn turns[] = {HELLO("5.5.5-10.11.6-MariaDB", PLAIN, "auth_gssapi"),
			       PACKET(2, "\xfemysql_native_password\0" SCRAMBLE_8 SCRAMBLE_12 "\0"),
			       GOOD,
			       {0}};
	struct turn unknown[] = {HELLO("x", PLAIN, NATIVE_PLUGIN),
				 PACKET(2, "\xfe"
					   "client_ed25519\0" SCRAMBLE_8 SCRAMBLE_12),
				 {0}};

	(void)state;
	play_turns("switch", &probe_mysql, TLS_NONE, "user=alice\npassword_file=secret", turns,
		   "pass 0 10.11.6-MariaDB", ANY, 0);
	play_turns("unknown", &probe_mysql, TLS_NONE, "user=alice\npassword_file=secret", unknown,
		   "fail 0 it wants a login by client_ed25519; with TLS more is possible", ANY, 0);
	play_turns("unknown, a query", &probe_mysql, TLS_NONE, "query=SELECT 1", unknown,
		   "fail 0 it wants a login by client_ed25519; with TLS more is possible", ANY, 0);
	play_turns("unknown, no user", &probe_mysql, TLS_NONE, NULL, unknown,
		   "pass 0 x, alive: it wants a login", ANY, 0);
}

static void test_mysql_password_itself_is_only_sent_under_tls(void **state)
{
	struct turn plain[] = {HELLO("8", PLAIN, SHA2_PLUGIN), PACKET(2, "\1\4"), {0}};
	struct turn clear[] = {
		HELLO("8", PLAIN, NATIVE_PLUGIN), PACKET(2, "\xfemysql_clear_password\0"), {0}};
	struct turn tls[] = {
		HELLO("8", WITH_TLS, SHA2_PLUGIN), TURN_TLS, PACKET(3, "\1\4"), GOOD, {0}};
	struct turn none[] = {HELLO("8", PLAIN, NATIVE_PLUGIN), {0}};
	static const char *const settings = "user=alice\npassword_file=secret";

	(void)state;
	play_turns("plain", &probe_mysql, TLS_NONE, settings, plain,
		   "fail 0 it wants the password itself: not sent without TLS", ANY, 0);
	play_turns("clear", &probe_mysql, TLS_NONE, settings, clear,
		   "fail 0 it wants a login by mysql_clear_password; with TLS more is possible",
		   ANY, 0);
	play_turns("TLS", &probe_mysql, TLS_STARTTLS, settings, tls, "pass 0 8", ANY, 0);
	play_turns("no TLS", &probe_mysql, TLS_STARTTLS, settings, none,
		   "fail 0 TLS is not offered", "", 0);
}

static void test_mysql_without_a_user_a_refused_login_is_life(void **state)
{
	struct turn refused[] = {HELLO("8.0.36", PLAIN, NATIVE_PLUGIN),
				 PACKET(2, "\xff\x15\x04#28000Access denied"),
				 {0}};
	struct turn no_plain[] = {
		HELLO("8", WITH_TLS, SHA2_PLUGIN),
		PACKET(2, "\xff\x57\x0c#HY000Connections using insecure transport are prohibited"),
		{0}};
	struct turn blocked[] = {PACKET(0, "\xff\x69\x04Host is blocked"), {0}};

	(void)state;
	play_turns("1045", &probe_mysql, TLS_NONE, NULL, refused,
		   "pass 1045 8.0.36, alive: it wants a login", ANY, 0);
	play_turns("1045 with a user", &probe_mysql, TLS_NONE, "user=alice", refused,
		   "fail 1045 Access denied", ANY, 0);
	play_turns("require_secure_transport", &probe_mysql, TLS_NONE, NULL, no_plain,
		   "pass 3159 8, alive: it wants a login", ANY, 0);
	play_turns("1045 with a query, which was not made", &probe_mysql, TLS_NONE,
		   "query=SELECT 1", refused, "fail 1045 Access denied", ANY, 0);
	play_turns("1129", &probe_mysql, TLS_NONE, NULL, blocked, "fail 1129 Host is blocked", "",
		   0);
}

static void test_mysql_server_that_is_full_or_shuts_down_is_leaving(void **state)
{
	struct turn full[] = {PACKET(0, "\xff\x10\x04Too many connections"), {0}};
	struct turn stops[] = {HELLO("8", PLAIN, NATIVE_PLUGIN),
			       PACKET(2, "\xff\x1d\x04#08S01Server shutdown in progress"),
			       {0}};

	(void)state;
	play_turns("1040", &probe_mysql, TLS_NONE, NULL, full, "leaving 1040 Too many connections",
		   "", 0);
	play_turns("1053", &probe_mysql, TLS_NONE, NULL, stops,
		   "leaving 1053 Server shutdown in progress", ANY, 0);
}

static void test_mysql_query_must_give_a_row_or_be_none_for_rows(void **state)
{
	struct turn row[] = {HELLO("8", PLAIN, NATIVE_PLUGIN),
			     GOOD,
			     PACKET(1, "\1"),
			     PACKET(2, "\3def\0"),
			     PACKET(3, "\xfe\0\0\2\0"),
			     PACKET(4, "\1x"),
			     {0}};
	struct turn empty[] = {HELLO("8", PLAIN, NATIVE_PLUGIN),
			       GOOD,
			       PACKET(1, "\1"),
			       PACKET(2, "\3def\0"),
			       PACKET(3, "\xfe\0\0\2\0"),
			       PACKET(4, "\xfe\0\0\2\0"),
			       {0}};
	struct turn error[] = {HELLO("8", PLAIN, NATIVE_PLUGIN),
			       GOOD,
			       PACKET(1, "\xff\x7a\x04#42S02No such table"),
			       {0}};
	struct turn done[] = {HELLO("8", PLAIN, NATIVE_PLUGIN), GOOD, GOOD, {0}};
	static const char *const settings = "user=alice\nquery=SELECT 1";

	(void)state;
	play_turns("row", &probe_mysql, TLS_NONE, settings, row, "pass 0 8", ANY, 0);
	play_turns("no row", &probe_mysql, TLS_NONE, settings, empty,
		   "fail 0 the query gave no row", ANY, 0);
	play_turns("error", &probe_mysql, TLS_NONE, settings, error, "fail 1146 No such table", ANY,
		   0);
	play_turns("OK", &probe_mysql, TLS_NONE, settings, done, "pass 0 8", ANY, 0);
}

static void test_mysql_another_protocol_is_garbled_and_silence_is_waited_for(void **state)
{
	const struct turn smtp[] = {TURN("220 mx1.example ESMTP\r\n"), {0}};
	const struct turn version9[] = {PACKET(0, "\11"
						  "3.20\0\1\0\0\0xxxxxxxx\0"),
					{0}};
	const struct turn half[] = {TURN("\x4a\0\0\0\12"
					 "8.0"),
				    {0}};
	const struct turn cut[] = {PACKET(0, "\12"
					     "8.0.36\0\5\0\0\0" SCRAMBLE_8),
				   {0}};
	struct turn injects[] = {HELLO("8", WITH_TLS, NATIVE_PLUGIN), {0}};
	char both[512];

	(void)state;
	play_turns("SMTP", &probe_mysql, TLS_NONE, NULL, smtp, "garbled 0 not MySQL", "", 0);
	play_turns("protocol 9", &probe_mysql, TLS_NONE, NULL, version9, "garbled 0 not MySQL", "",
		   0);
	play_turns("half", &probe_mysql, TLS_NONE, NULL, half, "waits for greeting", "", 0);
	play_turns("cut", &probe_mysql, TLS_NONE, NULL, cut, "garbled 0 not MySQL", "", 0);
	memcpy(both, injects[0].bytes, injects[0].n);
	memcpy(both + injects[0].n, "\1\0\0\1\0", 5);

	struct talker *t = talker_new(&probe_mysql, TLS_STARTTLS, NULL);

	talker_hear(t, both, injects[0].n + 5);
	assert_int_equal(t->step, PROBE_DONE);
	assert_int_equal(t->verdict.word, VERDICT_GARBLED);
	talker_free(t);
}

static void test_mysql_what_holds_a_secret_is_hidden(void **state)
{
	struct turn hello = HELLO("8", PLAIN, NATIVE_PLUGIN), good = GOOD;
	struct talker *t = talker_new(&probe_mysql, TLS_NONE, "user=alice\npassword_file=secret");

	(void)state;
	assert_false(probe_mysql.hides(t->talk));
	talker_hear(t, hello.bytes, hello.n);
	assert_true(probe_mysql.hides(t->talk));
	talker_hear(t, good.bytes, good.n);
	assert_false(probe_mysql.hides(t->talk));
	talker_free(t);
}

/* ---- PostgreSQL ---- */

static struct turn message(char type, const char *bytes, size_t n)
{
	char head[5] = {type, 0, 0, (char)((n + 4) >> 8), (char)(n + 4)};

	return framed(head, sizeof(head), bytes, n);
}
#define MESSAGE(type, string) message((type), string, sizeof(string) - 1)
#define AUTH_OK		      MESSAGE('R', "\0\0\0\0")
#define VERSION                                                                                    \
	MESSAGE('S', "server_version\0"                                                            \
		     "15.18 (Debian)\0")
#define READY		     MESSAGE('Z', "I")
#define PG_ERROR(code, text) MESSAGE('E', "SFATAL\0VFATAL\0C" code "\0M" text "\0\0")
#define TERMINATE	     "X\0\0\0\4"

static const char *const pg_login = "user=alice\npassword_file=secret\ndatabase=mail";

static void test_postgresql_that_is_ready_passes_and_is_left_politely(void **state)
{
	struct turn trust[] = {AUTH_OK, VERSION, MESSAGE('K', "\0\0\0\1\0\0\0\2"), READY, {0}};
	static const char sent[] = "\0\0\0\x3d\0\3\0\0user\0sluice\0database\0sluice\0"
				   "application_name\0sluice\0\0" TERMINATE;

	(void)state;
	play_turns("trust", &probe_postgresql, TLS_NONE, NULL, trust, "pass 0 PostgreSQL 15.18",
		   sent, sizeof(sent) - 1);
}

static void test_postgresql_scram_proves_both_sides(void **state)
{
	struct turn good[] = {
		MESSAGE('R', "\0\0\0\12SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"),
		MESSAGE('R',
			"\0\0\0\13r=AAAAAAAAAAAAAAAAAAAAAAAAsrv,s=c2FsdHNhbHRzYWx0c2FsdA==,i=4096"),
		MESSAGE('R', "\0\0\0\14v=bXzdd2jqUJ0GDb0HiwQ9R+n5ls6yVL7ezvxz/g4efME="),
		AUTH_OK,
		READY,
		{0}};
	struct turn forged[] = {
		good[0],
		good[1],
		MESSAGE('R', "\0\0\0\14v=AXzdd2jqUJ0GDb0HiwQ9R+n5ls6yVL7ezvxz/g4efME="),
		{0}};
	struct turn skipped[] = {good[0], good[1], AUTH_OK, READY, {0}};
	struct turn work[] = {
		good[0],
		MESSAGE('R', "\0\0\0\13r=AAAAAAAAAAAAAAAAAAAAAAAAsrv,s=c2FsdA==,i=99999999"),
		{0}};
	struct turn no_number[] = {
		good[0],
		MESSAGE('R', "\0\0\0\13r=AAAAAAAAAAAAAAAAAAAAAAAAsrv,s=c2FsdA==,i=x000000"),
		{0}};
	struct turn other[] = {good[0], MESSAGE('R', "\0\0\0\13r=BBBB,s=c2FsdA==,i=4096"), {0}};
	struct talker *t;

	(void)state;
	play_turns("good", &probe_postgresql, TLS_NONE, pg_login, good, "pass 0 PostgreSQL", ANY,
		   0);
	play_turns("forged", &probe_postgresql, TLS_NONE, pg_login, forged,
		   "fail 0 it does not know the password itself", ANY, 0);
	play_turns("skipped", &probe_postgresql, TLS_NONE, pg_login, skipped,
		   "fail 0 it did not prove that it knows the password", ANY, 0);
	play_turns("too much work", &probe_postgresql, TLS_NONE, pg_login, work,
		   "fail 0 it wants more than 32768 iterations of SCRAM", ANY, 0);
	play_turns("no number", &probe_postgresql, TLS_NONE, pg_login, no_number,
		   "fail 0 its SCRAM challenge is not understood", ANY, 0);
	play_turns("another nonce", &probe_postgresql, TLS_NONE, pg_login, other,
		   "fail 0 its SCRAM challenge is not for us", ANY, 0);
	t = talker_new(&probe_postgresql, TLS_NONE, pg_login);
	talker_hear(t, good[0].bytes, good[0].n);
	buf_drop(&t->out, buf_len(&t->out));
	talker_hear(t, good[1].bytes, good[1].n);
	assert_true(probe_postgresql.hides(t->talk));
	assert_int_equal(buf_len(&t->out), 5 + 9 + 27 + 3 + 44);
	assert_memory_equal(
		buf_head(&t->out) + 5,
		"c=biws,r=AAAAAAAAAAAAAAAAAAAAAAAAsrv,p=VD4zKI4+iDeFZSaKdTCugRXzGcJt1Dk28z87aMcKq9M=",
		9 + 27 + 3 + 44);
	talker_free(t);
}

static void test_postgresql_md5_and_password_under_tls(void **state)
{
	struct turn md5[] = {MESSAGE('R', "\0\0\0\5salt"), AUTH_OK, READY, {0}};
	struct turn clear[] = {MESSAGE('R', "\0\0\0\3"), AUTH_OK, READY, {0}};
	struct turn tls[] = {TURN("S"), TURN_TLS, clear[0], AUTH_OK, READY, {0}};
	struct turn gss[] = {MESSAGE('R', "\0\0\0\7"), {0}};
	struct talker *t;

	(void)state;
	play_turns("md5", &probe_postgresql, TLS_NONE, pg_login, md5, "pass 0 PostgreSQL", ANY, 0);
	play_turns("clear", &probe_postgresql, TLS_NONE, pg_login, clear,
		   "fail 0 it wants the password itself: not sent without TLS", ANY, 0);
	play_turns("under TLS", &probe_postgresql, TLS_STARTTLS, pg_login, tls, "pass 0 PostgreSQL",
		   ANY, 0);
	play_turns("GSS", &probe_postgresql, TLS_NONE, pg_login, gss,
		   "fail 0 it wants a kind of login that is not known here", ANY, 0);
	t = talker_new(&probe_postgresql, TLS_NONE, pg_login);
	buf_drop(&t->out, buf_len(&t->out));
	talker_hear(t, md5[0].bytes, md5[0].n);
	assert_memory_equal(buf_head(&t->out) + 5, "md5986e2194384c07f4fd1df4b1351b3e68", 36);
	assert_true(probe_postgresql.hides(t->talk));
	talker_free(t);
}

static void test_postgresql_tls_refused_or_injected_fails(void **state)
{
	const struct turn refuses[] = {TURN("N"), {0}};
	const struct turn full[] = {PG_ERROR("53300", "sorry, too many clients already"), {0}};
	struct talker *t = talker_new(&probe_postgresql, TLS_STARTTLS, NULL);

	(void)state;
	assert_memory_equal(buf_head(&t->out), "\0\0\0\x08\x04\xd2\x16\x2f", 8);
	talker_hear(t, "SR\0\0\0\x08\0\0\0\0", 10);
	assert_string_equal(t->verdict.text,
			    "plain text after the go-ahead for TLS: someone may inject it");
	talker_free(t);
	play_turns("N", &probe_postgresql, TLS_STARTTLS, NULL, refuses, "fail 0 TLS is not offered",
		   ANY, 0);
	play_turns("no room", &probe_postgresql, TLS_STARTTLS, NULL, full,
		   "leaving 0 53300 sorry, too many clients already", ANY, 0);
}

static void test_postgresql_that_starts_stops_or_is_full_is_leaving(void **state)
{
	struct turn starts[] = {PG_ERROR("57P03", "the database system is starting up"), {0}};
	struct turn stops[] = {AUTH_OK, PG_ERROR("57P01", "terminating connection"), {0}};

	(void)state;
	play_turns("57P03", &probe_postgresql, TLS_NONE, NULL, starts,
		   "leaving 0 57P03 the database system is starting up", ANY, 0);
	play_turns("57P01", &probe_postgresql, TLS_NONE, NULL, stops,
		   "leaving 0 57P01 terminating connection", ANY, 0);
}

static void test_postgresql_without_a_user_a_refused_login_is_life(void **state)
{
	struct turn refused[] = {PG_ERROR("28000", "no pg_hba.conf entry"), {0}};
	struct turn asks[] = {MESSAGE('R', "\0\0\0\5salt"), {0}};
	struct turn broken[] = {PG_ERROR("XX000", "internal error"), {0}};

	(void)state;
	play_turns("28000", &probe_postgresql, TLS_NONE, NULL, refused,
		   "pass 0 PostgreSQL, alive: it wants a login", ANY, 0);
	play_turns("asks", &probe_postgresql, TLS_NONE, NULL, asks,
		   "pass 0 PostgreSQL, alive: it wants a login", ANY, 0);
	play_turns("28000 with a query, which was not made", &probe_postgresql, TLS_NONE,
		   "query=SELECT 1", refused, "fail 0 28000 no pg_hba.conf entry", ANY, 0);
	play_turns("asks, with a query", &probe_postgresql, TLS_NONE, "query=SELECT 1", asks,
		   "fail 0 it wants a password, and there is no \"password_file\"", ANY, 0);
	play_turns("28000 with a user", &probe_postgresql, TLS_NONE, pg_login, refused,
		   "fail 0 28000 no pg_hba.conf entry", ANY, 0);
	play_turns("another error", &probe_postgresql, TLS_NONE, NULL, broken,
		   "fail 0 XX000 internal error", ANY, 0);
}

static void test_postgresql_query_must_give_a_row_or_be_none_for_rows(void **state)
{
	struct turn row[] = {AUTH_OK, READY, MESSAGE('T', "\0\0"), TURN("D\0\1\0\0"), {0}};
	struct turn empty[] = {
		AUTH_OK, READY, MESSAGE('T', "\0\0"), MESSAGE('C', "SELECT 0\0"), {0}};
	struct turn done[] = {AUTH_OK, READY, MESSAGE('C', "SET\0"), {0}};
	struct turn error[] = {AUTH_OK, READY, PG_ERROR("42P01", "no such table"), {0}};
	static const char *const settings = "user=alice\nquery=SELECT 1";

	(void)state;
	play_turns("a row of 64 KiB", &probe_postgresql, TLS_NONE, settings, row,
		   "pass 0 PostgreSQL", ANY, 0);
	play_turns("no row", &probe_postgresql, TLS_NONE, settings, empty,
		   "fail 0 the query gave no row", ANY, 0);
	play_turns("SET", &probe_postgresql, TLS_NONE, settings, done, "pass 0 PostgreSQL", ANY, 0);
	play_turns("error", &probe_postgresql, TLS_NONE, settings, error,
		   "fail 0 42P01 no such table", ANY, 0);
}

static void test_postgresql_another_protocol_is_garbled_and_silence_is_waited_for(void **state)
{
	const struct turn smtp[] = {TURN("220 mx1.example ESMTP\r\n"), {0}};
	const struct turn huge[] = {TURN("R\x7f\0\0\0"), {0}};
	const struct turn small[] = {TURN("R\0\0\0\3"), {0}};
	const struct turn early[] = {READY, {0}};
	const struct turn half[] = {TURN("R\0\0\0\x08\0\0"), {0}};
	struct talker *t = talker_new(&probe_postgresql, TLS_NONE, NULL);

	(void)state;
	play_turns("SMTP", &probe_postgresql, TLS_NONE, NULL, smtp,
		   "garbled 0 a message of 842014825 bytes", ANY, 0);
	play_turns("huge", &probe_postgresql, TLS_NONE, NULL, huge,
		   "garbled 0 a message of 2130706428 bytes", ANY, 0);
	play_turns("too short", &probe_postgresql, TLS_NONE, NULL, small,
		   "garbled 0 not PostgreSQL", ANY, 0);
	play_turns("out of order", &probe_postgresql, TLS_NONE, NULL, early,
		   "garbled 0 not PostgreSQL", ANY, 0);
	play_turns("half", &probe_postgresql, TLS_NONE, NULL, half, "waits for answer to the login",
		   ANY, 0);
	for (int i = 0; i < 1000 && t->step == PROBE_MORE; i++)
		talker_hear(t, "N\0\0\0\4", 5);
	assert_int_equal(t->verdict.word, VERDICT_GARBLED);
	talker_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mysql_login_that_succeeds_passes_and_is_left_politely),
		cmocka_unit_test(test_mysql_server_may_want_another_hash),
		cmocka_unit_test(test_mysql_password_itself_is_only_sent_under_tls),
		cmocka_unit_test(test_mysql_without_a_user_a_refused_login_is_life),
		cmocka_unit_test(test_mysql_server_that_is_full_or_shuts_down_is_leaving),
		cmocka_unit_test(test_mysql_query_must_give_a_row_or_be_none_for_rows),
		cmocka_unit_test(test_mysql_another_protocol_is_garbled_and_silence_is_waited_for),
		cmocka_unit_test(test_mysql_what_holds_a_secret_is_hidden),
		cmocka_unit_test(test_postgresql_that_is_ready_passes_and_is_left_politely),
		cmocka_unit_test(test_postgresql_scram_proves_both_sides),
		cmocka_unit_test(test_postgresql_md5_and_password_under_tls),
		cmocka_unit_test(test_postgresql_tls_refused_or_injected_fails),
		cmocka_unit_test(test_postgresql_that_starts_stops_or_is_full_is_leaving),
		cmocka_unit_test(test_postgresql_without_a_user_a_refused_login_is_life),
		cmocka_unit_test(test_postgresql_query_must_give_a_row_or_be_none_for_rows),
		cmocka_unit_test(
			test_postgresql_another_protocol_is_garbled_and_silence_is_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
