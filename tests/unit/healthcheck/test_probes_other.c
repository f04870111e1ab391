/* SPDX-License-Identifier: BSD-2-Clause */
/* test_probes_other.c: what must hold of the probes of DNS, ICMP and of the operator's programs. */
#include <stdio.h>

#include "healthcheck/ran.h"
#include "tests/unit/healthcheck/talker.h"

static void outcome(const struct probe_ops *ops, const char *settings, const char *bytes, size_t n,
		    const char *expect, uint8_t weight)
{
	struct talker *t = talker_new(ops, TLS_NONE, settings);
	char got[VERDICT_TEXT + 64] = "waits";

	t->verdict.weight = WEIGHT_UNSAID;
	talker_hear(t, bytes, n);
	if (t->step == PROBE_DONE)
		snprintf(got, sizeof(got), "%s %d %s", verdict_name(t->verdict.word),
			 t->verdict.code, t->verdict.text);
	assert_string_equal(got, expect);
	assert_int_equal(t->verdict.weight, weight);
	if (t->step == PROBE_MORE) /* a datagram that is not listened to leaves nothing behind */
		assert_int_equal(buf_len(&t->in), 0);
	talker_free(t);
}

/* ---- DNS; the id is 0, as a talk begins with zeroes here ---- */

#define QUESTION		  "\2mx\7example\0\0\x0f\0\1"
#define ANSWER(id, flags, counts) id flags counts "\0\0\0\0" QUESTION
#define DNS(expect, message)                                                                       \
	outcome(&probe_dns, "name=mx.example\nqtype=MX\nrcode=NOERROR,NXDOMAIN", message,          \
		sizeof(message) - 1, expect, WEIGHT_UNSAID)

static void test_dns_accepted_codes_pass_and_others_fail(void **state)
{
	(void)state;
	DNS("pass 0 NOERROR, answers: 2", ANSWER("\0\0", "\x81\x80", "\0\1\0\2"));
	DNS("pass 0 NOERROR, answers: 0, truncated", ANSWER("\0\0", "\x83\x80", "\0\1\0\0"));
	DNS("pass 3 NXDOMAIN, answers: 0", ANSWER("\0\0", "\x81\x83", "\0\1\0\0"));
	DNS("fail 2 SERVFAIL, answers: 0", ANSWER("\0\0", "\x81\x82", "\0\1\0\0"));
	DNS("fail 15 code 15, answers: 0", ANSWER("\0\0", "\x81\x8f", "\0\1\0\0"));
	DNS("fail 5 REFUSED, answers: 0", "\0\0\x81\x85\0\0\0\0\0\0\0\0");
	DNS("pass 0 NOERROR, answers: 1", "\0\0\x81\x80\0\1\0\1\0\0\0\0"
					  "\2MX\7eXample\0\0\x0f\0\1");
}

static void test_dns_forged_or_cut_datagram_is_not_listened_to(void **state)
{
	(void)state;
	DNS("waits", ANSWER("\0\1", "\x81\x80", "\0\1\0\2"));	   /* another id */
	DNS("waits", ANSWER("\0\0", "\x01\x80", "\0\1\0\2"));	   /* a question */
	DNS("waits", ANSWER("\0\0", "\x91\x80", "\0\1\0\2"));	   /* another operation */
	DNS("waits", ANSWER("\0\0", "\x81\x80", "\0\0\0\2"));	   /* an answer to nothing */
	DNS("waits", ANSWER("\0\0", "\x81\x80", "\0\2\0\2"));	   /* two questions */
	DNS("waits", "\0\0\x81\x80\0\1\0\1\0\0\0\0\2mx\7example"); /* cut */
	DNS("waits", "\0\0\x81\x80\0\1\0\1\0\0\0\0\2my\7example\0\0\x0f\0\1");
	DNS("waits", "\0\0\x81");
}

static void test_dns_over_tcp_has_a_length_and_must_be_right(void **state)
{
#define TCP_ANSWER "\0\x1c" ANSWER("\0\0", "\x81\x80", "\0\1\0\2")
	static const struct turn good[] = {TURN(TCP_ANSWER), {0}};
	static const struct turn forged[] = {TURN("\0\x1c" ANSWER("\1\0", "\x81\x80", "\0\1\0\2")),
					     {0}};
	static const struct turn small[] = {TURN("\0\3\0\0\0"), {0}};
	static const struct turn smtp[] = {TURN("220 x\r\n"), {0}};
	static const struct turn half[] = {TURN("\0\x1c\0\0\x81"), {0}};
	static const char sent[] = "\0\x1c\0\0\1\0\0\1\0\0\0\0\0\0" QUESTION;
	static const char *const settings = "name=mx.example.\nqtype=MX\ntransport=tcp";

	(void)state;
	play_turns("good", &probe_dns, TLS_NONE, settings, good, "pass 0 NOERROR, answers: 2", sent,
		   sizeof(sent) - 1);
	play_turns("TLS is over TCP", &probe_dns, TLS_IMPLICIT, "name=mx.example\nqtype=MX", good,
		   "pass 0 NOERROR, answers: 2", sent, sizeof(sent) - 1);
	play_turns("forged", &probe_dns, TLS_NONE, settings, forged,
		   "garbled 0 not an answer to the question", ANY, 0);
	play_turns("small", &probe_dns, TLS_NONE, settings, small,
		   "garbled 0 not DNS: an answer of 3 bytes", ANY, 0);
	play_turns("SMTP", &probe_dns, TLS_NONE, settings, smtp,
		   "garbled 0 not DNS: an answer of 12850 bytes", ANY, 0);
	play_turns("half", &probe_dns, TLS_NONE, settings, half, "waits for answer", ANY, 0);
}

static void test_dns_settings_are_checked(void **state)
{
	static const struct {
		const char *key, *good, *bad;
	} rows[] = {
		{"name", ".", ""},
		{"name", "a.b.c.", "a..b"},
		{"name", "xn--mx-x.example", "mx example"},
		{"name", "a123456789012345678901234567890123456789012345678901234567890ab.de",
		 "a123456789012345678901234567890123456789012345678901234567890abcd.de"},
		{"qtype", "AAAA", "aaaa"},
		{"rcode", "NOERROR,REFUSED", "NOERROR,"},
		{"rcode", "NXDOMAIN", "NXDOMAINS"},
		{"transport", "tcp", "TCP"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_setting(&probe_dns, rows[i].key, rows[i].good, rows[i].bad);
	assert_null(talker_wrong(&probe_dns, TLS_NONE, PROXY_NONE, NULL));
	assert_non_null(talker_wrong(&probe_dns, TLS_NONE, PROXY_V2, NULL));
	assert_null(talker_wrong(&probe_dns, TLS_NONE, PROXY_V2, "transport=tcp"));
	assert_null(talker_wrong(&probe_dns, TLS_IMPLICIT, PROXY_V2, NULL));
}

/* ---- ICMP ---- */

static void test_icmp_only_our_own_bytes_pass(void **state)
{
	char bytes[57] = {0};

	(void)state;
	outcome(&probe_icmp, NULL, bytes, 56, "pass 0 echo reply", WEIGHT_UNSAID);
	outcome(&probe_icmp, NULL, bytes, 57, "waits", WEIGHT_UNSAID);
	outcome(&probe_icmp, NULL, bytes, 8, "waits", WEIGHT_UNSAID);
	bytes[55] = 1;
	outcome(&probe_icmp, NULL, bytes, 56, "waits", WEIGHT_UNSAID);
	assert_true(probe_icmp.random_bytes == 56 && probe_icmp.talk_size >= 56);
}

/* ---- programs ---- */

#define RAN(text, weight, expect)                                                                  \
	outcome(&probe_script, NULL, text, sizeof(text) - 1, expect, weight)

static void test_script_exit_status_is_the_verdict(void **state)
{
	(void)state;
	RAN("exit 0\nall is well\nand more\n", WEIGHT_UNSAID, "pass 0 all is well");
	RAN("exit 0\n", WEIGHT_UNSAID, "pass 0 exit status 0");
	RAN("exit 1\nqueue is full", WEIGHT_UNSAID, "fail 1 queue is full");
	RAN("exit 2\nmaintenance\r\n", WEIGHT_UNSAID, "leaving 2 maintenance");
	RAN("exit 3\n\nno text\n", WEIGHT_UNSAID, "fail 3 exit status 3");
	RAN("exit 139\n\x1b[2J\n", WEIGHT_UNSAID, "fail 139 ?[2J");
	RAN("error 62\nhalf", WEIGHT_UNSAID, "timeout 0 the program was killed: it took too long");
	RAN("error 2\n", WEIGHT_UNSAID,
	    "unable 0 the program did not run: No such file or directory");
	RAN("exit\n", WEIGHT_UNSAID, "unable 0 what ran the program is not understood");
	RAN("exit 99999999\n", WEIGHT_UNSAID, "unable 0 what ran the program is not understood");
}

static void test_script_may_ask_for_a_part_of_its_weight(void **state)
{
	(void)state;
	RAN("exit 0\nok weight=50%\n", 50, "pass 0 ok weight=50%");
	RAN("exit 0\nok\nweight=0%", 0, "leaving 0 ok");
	RAN("exit 1\nno\nweight=0%", 0, "fail 1 no");
	RAN("exit 0\nweight=101% weight=7%\n", 7, "pass 0 weight=101% weight=7%");
	RAN("exit 0\noverweight=7%\n", WEIGHT_UNSAID, "pass 0 overweight=7%");
	RAN("exit 0\nweight=7\n", WEIGHT_UNSAID, "pass 0 weight=7");
	RAN("exit 0\nweight=", WEIGHT_UNSAID, "pass 0 weight=");
}

static void test_ran_is_read_as_it_was_written(void **state)
{
	char bytes[64];
	struct buf buf = {.bytes = bytes, .size = sizeof(bytes)};
	struct ran ran = {.status = 2, .output = "a\nb", .len = 3}, got;

	(void)state;
	assert_true(ran_write(&buf, &ran));
	assert_true(ran_read(&buf, &got));
	assert_int_equal(got.status, 2);
	assert_int_equal(got.len, 3);
	assert_memory_equal(got.output, "a\nb", 3);
	ran.len = sizeof(bytes);
	assert_false(ran_write(&buf, &ran));
	assert_int_equal(buf_len(&buf), 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dns_accepted_codes_pass_and_others_fail),
		cmocka_unit_test(test_dns_forged_or_cut_datagram_is_not_listened_to),
		cmocka_unit_test(test_dns_over_tcp_has_a_length_and_must_be_right),
		cmocka_unit_test(test_dns_settings_are_checked),
		cmocka_unit_test(test_icmp_only_our_own_bytes_pass),
		cmocka_unit_test(test_script_exit_status_is_the_verdict),
		cmocka_unit_test(test_script_may_ask_for_a_part_of_its_weight),
		cmocka_unit_test(test_ran_is_read_as_it_was_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
