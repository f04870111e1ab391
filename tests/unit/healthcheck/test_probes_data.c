/* SPDX-License-Identifier: BSD-2-Clause */
/* test_probes_data.c: what must hold of the probes of LDAP, Redis and memcached, by scripted
 * servers.
 */
#include "tests/unit/healthcheck/talker.h"

static void test_redis_that_answers_passes(void **state)
{
	(void)state;
	play("PING", &probe_redis, TLS_NONE, NULL, "+PONG\r\n", "pass 0 PONG", "PING\r\n");
	play("password", &probe_redis, TLS_NONE, "password_file=s e", "+OK\r\n|+PONG\r\n",
	     "pass 0 PONG", "*2\r\n$4\r\nAUTH\r\n$3\r\ns e\r\nPING\r\n");
	play("user", &probe_redis, TLS_IMPLICIT, "user=al\npassword_file=s", "+OK\r\n|+PONG\r\n",
	     "pass 0 PONG", "*3\r\n$4\r\nAUTH\r\n$2\r\nal\r\n$1\r\ns\r\nPING\r\n");
	play("no login", &probe_redis, TLS_NONE, NULL, "-NOAUTH Authentication required.\r\n",
	     "pass 0 alive, it wants a login", ANY);
}

static void test_redis_must_have_the_role(void **state)
{
	static const char *const master = "+PONG\r\n|*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n";
	static const char *const replica = "+PONG\r\n|*5\r\n$5\r\nslave\r\n$2\r\nx\r\n";

	(void)state;
	play("master", &probe_redis, TLS_NONE, "role=master", master, "pass 0 its role is master",
	     "PING\r\nROLE\r\n");
	play("not the master", &probe_redis, TLS_NONE, "role=master", replica,
	     "fail 0 its role is slave", ANY);
	play("replica", &probe_redis, TLS_NONE, "role=replica", replica, "pass 0 its role is slave",
	     ANY);
	play("sentinel", &probe_redis, TLS_NONE, "role=replica",
	     "+PONG\r\n|*2\r\n$8\r\nsentinel\r\n", "fail 0 its role is sentinel", ANY);
	play("no login", &probe_redis, TLS_NONE, "role=master", "-NOAUTH x\r\n", "fail 0 NOAUTH x",
	     ANY);
}

static void test_redis_that_loads_or_is_full_is_leaving(void **state)
{
	(void)state;
	play("loads", &probe_redis, TLS_NONE, NULL, "-LOADING Redis is loading\r\n",
	     "leaving 0 LOADING Redis is loading", ANY);
	play("no master", &probe_redis, TLS_NONE, NULL, "-MASTERDOWN Link\r\n",
	     "leaving 0 MASTERDOWN Link", ANY);
	play("full", &probe_redis, TLS_NONE, NULL, "-ERR max number of clients reached\r\n",
	     "leaving 0 ERR max number of clients reached", ANY);
	play("wrong password", &probe_redis, TLS_NONE, "password_file=s", "-WRONGPASS no\r\n",
	     "fail 0 WRONGPASS no", ANY);
	play("ill", &probe_redis, TLS_NONE, NULL, "-MISCONF disk\r\n", "fail 0 MISCONF disk", ANY);
}

static void test_redis_another_protocol_is_garbled_and_silence_is_waited_for(void **state)
{
	struct talker *t = talker_new(&probe_redis, TLS_NONE, "password_file=s");

	(void)state;
	play("SMTP", &probe_redis, TLS_NONE, NULL, "220 x\r\n", "garbled 0 not Redis: 220 x", ANY);
	play("half", &probe_redis, TLS_NONE, NULL, "+PON", "waits for answer to PING", ANY);
	play("early role", &probe_redis, TLS_NONE, "role=master", "+PONG\r\n|$6\r\n",
	     "garbled 0 not Redis: $6", ANY);
	play("binary", &probe_redis, TLS_NONE, NULL, "J@@@", "garbled 0 a NUL byte in a line", ANY);
	assert_true(probe_redis.hides(t->talk));
	talker_hear(t, "+OK\r\n", 5);
	assert_false(probe_redis.hides(t->talk));
	talker_free(t);
}

static void test_memcached_tells_its_version(void **state)
{
	(void)state;
	play("good", &probe_memcached, TLS_NONE, NULL, "VERSION 1.6.18\r\n",
	     "pass 0 memcached 1.6.18", "version\r\n");
	play("full", &probe_memcached, TLS_NONE, NULL, "ERROR Too many open connections\r\n",
	     "leaving 0 ERROR Too many open connections", ANY);
	play("error", &probe_memcached, TLS_NONE, NULL, "SERVER_ERROR out of memory\r\n",
	     "fail 0 SERVER_ERROR out of memory", ANY);
	play("another", &probe_memcached, TLS_NONE, NULL, "+OK\r\n", "garbled 0 not memcached: +OK",
	     ANY);
	play("half", &probe_memcached, TLS_NONE, NULL, "VERSION 1", "waits for version", ANY);
}

/* ---- LDAP ---- */

#define BOUND	  TURN("0\x0c\2\1\2a\7\12\1\0\4\0\4\0")
#define ANONYMOUS "0\x0c\2\1\2`\7\2\1\3\4\0\x80\0"
#define UNBIND	  "0\5\2\1\4B\0"
#define SEARCH                                                                                     \
	"0\x31\2\1\3c,\4\7dc=mail\12\1\0\12\1\0\2\1\1\2\1\0\1\1\0\x87\x0bobjectClass0\5\4\3"       \
	"1.1"

static void test_ldap_bind_and_search_pass(void **state)
{
	static const struct turn bound[] = {BOUND, {0}};
	static const struct turn found[] = {BOUND,
					    TURN("0\x10\2\1\3d\x0b\4\7dc=mail0\0"
						 "0\x0c\2\1\3e\7\12\1\0\4\0\4\0"),
					    {0}};
	/* the same, with lengths in their long form, as Active Directory has them */
	static const struct turn long_form[] = {
		TURN("0\x84\0\0\0\x10\2\1\2a\x84\0\0\0\7\12\1\0\4\0\4\0"), {0}};
	static const char sent[] = ANONYMOUS UNBIND, searched[] = ANONYMOUS SEARCH UNBIND;
	static const char login[] = "0\x16\2\1\2`\x11\2\1\3\4\4cn=a\x80\6secret" UNBIND;

	(void)state;
	play_turns("anonymous", &probe_ldap, TLS_NONE, NULL, bound, "pass 0 bound anonymously",
		   sent, sizeof(sent) - 1);
	play_turns("login", &probe_ldap, TLS_NONE, "bind_dn=cn=a\npassword_file=secret", bound,
		   "pass 0 bound", login, sizeof(login) - 1);
	play_turns("search", &probe_ldap, TLS_NONE, "base=dc=mail", found, "pass 0 found", searched,
		   sizeof(searched) - 1);
	play_turns("long form", &probe_ldap, TLS_IMPLICIT, NULL, long_form,
		   "pass 0 bound anonymously", ANY, 0);
}

static void test_ldap_that_is_busy_or_unavailable_is_leaving(void **state)
{
	static const struct turn busy[] = {TURN("0\x10\2\1\2a\x0b\12\1\x33\4\0\4\4busy"), {0}};
	static const struct turn notice[] = {TURN("0\x24\2\1\0x\x1f\12\1\x34\4\0\4\0\x8a\x16"
						  "1.3.6.1.4.1.1466.20036"),
					     {0}};

	(void)state;
	play_turns("busy", &probe_ldap, TLS_NONE, NULL, busy, "leaving 51 busy", ANY, 0);
	play_turns("notice of disconnection", &probe_ldap, TLS_NONE, NULL, notice,
		   "leaving 52 result 52", ANY, 0);
}

static void test_ldap_that_says_no_fails(void **state)
{
	static const struct turn wrong[] = {TURN("0\x0c\2\1\2a\7\12\1\x31\4\0\4\0"), {0}};
	static const struct turn no_anonymous[] = {TURN("0\x0c\2\1\2a\7\12\1\x30\4\0\4\0"), {0}};
	static const struct turn no_plain[] = {TURN("0\x0c\2\1\2a\7\12\1\x0d\4\0\4\0"), {0}};
	static const struct turn missing[] = {BOUND, TURN("0\x0c\2\1\3e\7\12\1\x20\4\0\4\0"), {0}};
	static const struct turn empty[] = {BOUND, TURN("0\x0c\2\1\3e\7\12\1\0\4\0\4\0"), {0}};
	static const struct turn no_tls[] = {TURN("0\x0f\2\1\1x\x0a\12\1\2\4\0\4\3no!"), {0}};

	(void)state;
	play_turns("password", &probe_ldap, TLS_NONE, "bind_dn=cn=a", wrong,
		   "fail 49 result 49: wrong name or password", ANY, 0);
	play_turns("no anonymous bind is life", &probe_ldap, TLS_NONE, NULL, no_anonymous,
		   "pass 0 alive, it wants a login", ANY, 0);
	play_turns("no bind without TLS is life", &probe_ldap, TLS_NONE, NULL, no_plain,
		   "pass 0 alive, it wants a login", ANY, 0);
	play_turns("no bind without TLS", &probe_ldap, TLS_NONE, "bind_dn=cn=a", no_plain,
		   "fail 13 result 13", ANY, 0);
	play_turns("no anonymous bind, but a search", &probe_ldap, TLS_NONE, "base=dc=a",
		   no_anonymous, "fail 48 result 48", ANY, 0);
	play_turns("no such entry", &probe_ldap, TLS_NONE, "base=dc=a", missing,
		   "fail 32 result 32", ANY, 0);
	play_turns("nothing found", &probe_ldap, TLS_NONE, "base=dc=a", empty,
		   "fail 0 the entry of \"base\" was not found", ANY, 0);
	play_turns("StartTLS", &probe_ldap, TLS_STARTTLS, NULL, no_tls, "fail 2 no!", ANY, 0);
}

static void test_ldap_starttls_goes_on_under_tls_unless_something_is_injected(void **state)
{
#define GO_AHEAD "0\x0c\2\1\1x\7\12\1\0\4\0\4\0"
	static const struct turn good[] = {TURN(GO_AHEAD), TURN_TLS, BOUND, {0}};
	static const char sent[] = "0\x1d\2\1\1w\x18\x80\x16"
				   "1.3.6.1.4.1.1466.20037" ANONYMOUS UNBIND;
	struct talker *t = talker_new(&probe_ldap, TLS_STARTTLS, NULL);

	(void)state;
	play_turns("good", &probe_ldap, TLS_STARTTLS, NULL, good, "pass 0 bound anonymously", sent,
		   sizeof(sent) - 1);
	talker_hear(t, GO_AHEAD "0", sizeof(GO_AHEAD));
	assert_string_equal(t->verdict.text,
			    "plain text after the go-ahead for TLS: someone may inject it");
	talker_free(t);
}

static void test_ldap_another_protocol_is_garbled_and_silence_is_waited_for(void **state)
{
	static const struct turn smtp[] = {TURN("220 x\r\n"), {0}};
	static const struct turn indefinite[] = {TURN("0\x80\2\1\2"), {0}};
	static const struct turn huge[] = {TURN("0\x84\x7f\0\0\0\2\1\2"), {0}};
	static const struct turn beyond[] = {TURN("0\x0c\2\1\2a\x7f\12\1\0\4\0\4\0"), {0}};
	static const struct turn other[] = {TURN("0\x0c\2\1\x09"
						 "a\7\12\1\0\4\0\4\0"),
					    {0}};
	static const struct turn half[] = {TURN("0\x0c\2\1\2a\7"), {0}};
	struct talker *t = talker_new(&probe_ldap, TLS_NONE, "base=x");

	(void)state;
	play_turns("SMTP", &probe_ldap, TLS_NONE, NULL, smtp, "garbled 0 not LDAP", ANY, 0);
	play_turns("indefinite", &probe_ldap, TLS_NONE, NULL, indefinite, "garbled 0 not LDAP", ANY,
		   0);
	play_turns("huge", &probe_ldap, TLS_NONE, NULL, huge, "garbled 0 not LDAP", ANY, 0);
	play_turns("beyond", &probe_ldap, TLS_NONE, NULL, beyond, "garbled 0 not LDAP", ANY, 0);
	play_turns("not asked for", &probe_ldap, TLS_NONE, NULL, other,
		   "garbled 0 an answer that was not asked for", ANY, 0);
	play_turns("half", &probe_ldap, TLS_NONE, NULL, half, "waits for answer to the bind", ANY,
		   0);
	talker_hear(t, "0\x0c\2\1\2a\7\12\1\0\4\0\4\0", 14);
	for (int i = 0; i < 1000 && t->step == PROBE_MORE; i++)
		talker_hear(t, "0\x09\2\1\3d\4\4\0000\0", 11);
	assert_string_equal(t->verdict.text, "an endless answer");
	talker_free(t);
}

static void test_ldap_password_is_hidden(void **state)
{
	struct talker *t = talker_new(&probe_ldap, TLS_NONE, "bind_dn=cn=a\npassword_file=s");
	struct talker *anonymous = talker_new(&probe_ldap, TLS_NONE, "password_file=s");

	(void)state;
	assert_true(probe_ldap.hides(t->talk));
	assert_false(probe_ldap.hides(anonymous->talk));
	talker_free(t);
	talker_free(anonymous);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_redis_that_answers_passes),
		cmocka_unit_test(test_redis_must_have_the_role),
		cmocka_unit_test(test_redis_that_loads_or_is_full_is_leaving),
		cmocka_unit_test(test_redis_another_protocol_is_garbled_and_silence_is_waited_for),
		cmocka_unit_test(test_memcached_tells_its_version),
		cmocka_unit_test(test_ldap_bind_and_search_pass),
		cmocka_unit_test(test_ldap_that_is_busy_or_unavailable_is_leaving),
		cmocka_unit_test(test_ldap_that_says_no_fails),
		cmocka_unit_test(test_ldap_starttls_goes_on_under_tls_unless_something_is_injected),
		cmocka_unit_test(test_ldap_another_protocol_is_garbled_and_silence_is_waited_for),
		cmocka_unit_test(test_ldap_password_is_hidden),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
