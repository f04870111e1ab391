/* SPDX-License-Identifier: BSD-2-Clause */
/* test_probes_mail.c: what must hold of the deeper steps of the mail probes, of chat and of agent,
 * by scripted servers (talker.h).
 */
#include "healthcheck/line.h"
#include "tests/unit/healthcheck/talker.h"

#define LOGIN	   "user=alice\npassword_file=s3cret word"
#define PLAIN	   "AGFsaWNlAHMzY3JldCB3b3Jk" /* NUL alice NUL s3cret word */
#define EHLO	   "EHLO sluice.invalid\r\n"
#define LHLO	   "LHLO sluice.invalid\r\n"
#define CAPABILITY "* CAPABILITY IMAP4rev1\r\na1 OK\r\n"
#define SIEVE	   "\"IMPLEMENTATION\" \"x\"\r\n\"SIEVE\" \"fileinto\"\r\n\"SASL\" \"PLAIN\"\r\n"

/* ---- smtp, submission, lmtp ---- */

static void test_smtp_goes_up_to_rcpt_and_takes_it_back(void **state)
{
	(void)state;
	play("null sender", &probe_smtp, TLS_NONE, "rcpt_to=probe@example.org",
	     "220 x\r\n|250 y\r\n|250 ok\r\n|250 ok\r\n|250 flushed\r\n", "pass 220 x",
	     EHLO "MAIL FROM:<>\r\nRCPT TO:<probe@example.org>\r\nRSET\r\n");
	play("a sender alone", &probe_smtp, TLS_NONE, "mail_from=me@example.org",
	     "220 x\r\n|250 y\r\n|250 ok\r\n|250 flushed\r\n", "pass 220 x",
	     EHLO "MAIL FROM:<me@example.org>\r\nRSET\r\n");
	play("lmtp", &probe_lmtp, TLS_NONE, "rcpt_to=probe@example.org",
	     "220 x LMTP\r\n|250-y\r\n250 PIPELINING\r\n|250 ok\r\n|250 ok\r\n|250 ok\r\n",
	     "pass 220 x LMTP", LHLO "MAIL FROM:<>\r\nRCPT TO:<probe@example.org>\r\nRSET\r\n");
}

static void test_refused_recipient_fails_and_a_later_one_is_leaving(void **state)
{
	(void)state;
	play("unknown", &probe_smtp, TLS_NONE, "rcpt_to=a@b",
	     "220 x\r\n|250 y\r\n|250 ok\r\n|550-5.1.1 who\r\n550 5.1.1 is that\r\n",
	     "fail 550 5.1.1 is that", ANY);
	play("later", &probe_lmtp, TLS_NONE, "rcpt_to=a@b",
	     "220 x\r\n|250 y\r\n|250 ok\r\n|451 4.3.0 later\r\n", "leaving 451 4.3.0 later", ANY);
	play("full", &probe_smtp, TLS_NONE, "mail_from=a@b",
	     "220 x\r\n|250 y\r\n|452 4.3.1 Insufficient system storage\r\n",
	     "leaving 452 4.3.1 Insufficient system storage", ANY);
}

static void test_smtp_banner_must_match_in_one_of_its_lines(void **state)
{
	(void)state;
	play("postscreen's teaser, then the banner", &probe_smtp, TLS_NONE, "expect=^mx[0-9] ",
	     "220-please wait|\r\n|220 mx1 ESMTP\r\n|250 y\r\n", "pass 220 mx1 ESMTP", EHLO);
	play("another server", &probe_smtp, TLS_NONE, "expect=^mx[0-9] ", "220 old.mx1 ESMTP\r\n",
	     "fail 220 the greeting does not match: old.mx1 ESMTP", "");
}

static void test_smtp_login_takes_plain_else_login(void **state)
{
	(void)state;
	play("PLAIN", &probe_submission, TLS_STARTTLS, LOGIN,
	     "220 x\r\n|250 STARTTLS\r\n|220 go\r\n|TLS|250-y\r\n250 AUTH LOGIN PLAIN\r\n|235 in\r\n",
	     "pass 220 x", EHLO "STARTTLS\r\n" EHLO "AUTH PLAIN " PLAIN "\r\n");
	play("LOGIN", &probe_smtp, TLS_NONE, LOGIN,
	     "220 x\r\n|250-y\r\n250 AUTH=LOGIN\r\n|334 VXNlcm5hbWU6\r\n|334 UGFzc3dvcmQ6\r\n|235 in\r\n",
	     "pass 220 x", EHLO "AUTH LOGIN\r\nYWxpY2U=\r\nczNjcmV0IHdvcmQ=\r\n");
	play("and a recipient", &probe_smtp, TLS_NONE, LOGIN "\nrcpt_to=a@b",
	     "220 x\r\n|250 AUTH PLAIN\r\n|235 in\r\n|250 ok\r\n|250 ok\r\n|250 ok\r\n",
	     "pass 220 x",
	     EHLO "AUTH PLAIN " PLAIN "\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nRSET\r\n");
}

static void test_smtp_login_that_is_refused_fails_and_a_later_one_is_leaving(void **state)
{
	(void)state;
	play("wrong", &probe_smtp, TLS_NONE, LOGIN, "220 x\r\n|250 AUTH PLAIN\r\n|535 5.7.8 no\r\n",
	     "fail 535 5.7.8 no", ANY);
	play("temporary", &probe_smtp, TLS_NONE, LOGIN,
	     "220 x\r\n|250 AUTH PLAIN\r\n|454 4.7.0 later\r\n", "leaving 454 4.7.0 later", ANY);
	play("not offered", &probe_smtp, TLS_NONE, LOGIN, "220 x\r\n|250 AUTH GSSAPI PLAINER\r\n",
	     "fail 0 neither AUTH PLAIN nor AUTH LOGIN is offered", EHLO);
	play("offered before TLS only", &probe_submission, TLS_STARTTLS, LOGIN,
	     "220 x\r\n|250-STARTTLS\r\n250 AUTH PLAIN\r\n|220 go\r\n|TLS|250 y\r\n",
	     "fail 0 neither AUTH PLAIN nor AUTH LOGIN is offered", ANY);
	play("in too early", &probe_smtp, TLS_NONE, LOGIN,
	     "220 x\r\n|250 AUTH LOGIN\r\n|235 in\r\n",
	     "garbled 235 AUTH LOGIN has an end before it had a password", ANY);
	play("334 out of place", &probe_smtp, TLS_NONE, LOGIN,
	     "220 x\r\n|250 AUTH PLAIN\r\n|334 more\r\n", "fail 334 more", ANY);
}

static void test_421_is_leaving_wherever_it_comes(void **state)
{
	(void)state;
	play("STARTTLS", &probe_submission, TLS_STARTTLS, NULL,
	     "220 x\r\n|250 STARTTLS\r\n|421 4.3.2 shutting down\r\n",
	     "leaving 421 4.3.2 shutting down", ANY);
	play("RSET", &probe_smtp, TLS_NONE, "mail_from=a@b",
	     "220 x\r\n|250 y\r\n|250 ok\r\n|421 bye\r\n", "leaving 421 bye", ANY);
	play("lmtp", &probe_lmtp, TLS_NONE, NULL, "421 bye\r\n", "leaving 421 bye", "");
	play("postscreen's teaser, and then no smtpd", &probe_smtp, TLS_NONE, "expect=^mx1",
	     "220-mx1 ESMTP\r\n|421 4.3.2 All server ports are busy\r\n",
	     "leaving 421 4.3.2 All server ports are busy", "");
	play("postscreen's teaser, and then a block list", &probe_smtp, TLS_NONE, NULL,
	     "220-mx1 ESMTP\r\n|550 5.7.1 blocked\r\n", "fail 550 5.7.1 blocked", "");
	play("in the middle of the list", &probe_smtp, TLS_NONE, NULL,
	     "220 x\r\n|250-x\r\n250-SIZE\r\n421 4.3.2 shutting down\r\n",
	     "leaving 421 4.3.2 shutting down", EHLO);
}

static void test_lmtp_that_is_smtp_fails(void **state)
{
	(void)state;
	play("SMTP", &probe_lmtp, TLS_NONE, NULL, "220 x ESMTP\r\n|502 5.5.2 what?\r\n",
	     "fail 502 5.5.2 what?", LHLO);
	play("silent", &probe_lmtp, TLS_NONE, NULL, "220 x\r\n", "waits for answer to LHLO", LHLO);
	play("another protocol", &probe_lmtp, TLS_NONE, NULL, "+OK\r\n", "garbled 0 not LMTP: +OK",
	     "");
}

/* ---- pop3 ---- */

static void test_pop3_login_asks_for_the_mailbox(void **state)
{
	(void)state;
	play("good", &probe_pop3, TLS_NONE, LOGIN,
	     "+OK x\r\n|+OK\r\nUSER\r\n.\r\n|+OK\r\n|+OK Logged in.\r\n|+OK 0 0\r\n", "pass 0 x",
	     "CAPA\r\nUSER alice\r\nPASS s3cret word\r\nSTAT\r\n");
	play("older than CAPA", &probe_pop3, TLS_NONE, LOGIN,
	     "+OK x\r\n|-ERR\r\n|+OK\r\n|+OK\r\n|+OK 0 0\r\n", "pass 0 x", ANY);
	play("STLS", &probe_pop3, TLS_STARTTLS, LOGIN,
	     "+OK x\r\n|+OK go\r\n|TLS|+OK\r\n.\r\n|+OK\r\n|+OK\r\n|+OK 0 0\r\n", "pass 0 x",
	     "STLS\r\nCAPA\r\nUSER alice\r\nPASS s3cret word\r\nSTAT\r\n");
	play("the mailbox is another's, the password was right", &probe_pop3, TLS_NONE, LOGIN,
	     "+OK x\r\n|-ERR\r\n|+OK\r\n|-ERR [IN-USE] locked\r\n", "pass 0 x", ANY);
	play("too soon after the last time, the password was right", &probe_pop3, TLS_NONE, LOGIN,
	     "+OK x\r\n|-ERR\r\n|+OK\r\n|-ERR [LOGIN-DELAY] wait\r\n", "pass 0 x", ANY);
}

static void test_pop3_login_that_is_refused_fails_and_a_later_one_is_leaving(void **state)
{
	(void)state;
	play("wrong", &probe_pop3, TLS_NONE, LOGIN,
	     "+OK x\r\n|-ERR\r\n|+OK\r\n|-ERR [AUTH] Authentication failed.\r\n",
	     "fail 0 [AUTH] Authentication failed.", ANY);
	play("USER is refused", &probe_pop3, TLS_NONE, LOGIN,
	     "+OK x\r\n|-ERR\r\n|-ERR plaintext is disallowed\r\n",
	     "fail 0 plaintext is disallowed", "CAPA\r\nUSER alice\r\n");
	play("temporary", &probe_pop3, TLS_NONE, LOGIN,
	     "+OK x\r\n|-ERR\r\n|+OK\r\n|-ERR [SYS/TEMP] later\r\n", "leaving 0 [SYS/TEMP] later",
	     ANY);
	play("no mailbox", &probe_pop3, TLS_NONE, LOGIN,
	     "+OK x\r\n|-ERR\r\n|+OK\r\n|+OK\r\n|-ERR broken\r\n", "fail 0 broken", ANY);
	play("another greeting", &probe_pop3, TLS_NONE, "expect=^Dovecot", "+OK Cyrus\r\n",
	     "fail 0 the greeting does not match: Cyrus", "");
}

/* ---- imap ---- */

static void test_imap_login_asks_for_the_mailbox(void **state)
{
	(void)state;
	play("login alone", &probe_imap, TLS_NONE, LOGIN,
	     "* OK x\r\n|" CAPABILITY "|a2 OK [CAPABILITY IMAP4rev1] Logged in\r\n", "pass 0 x",
	     "a1 CAPABILITY\r\na2 LOGIN \"alice\" \"s3cret word\"\r\n");
	play("STATUS", &probe_imap, TLS_NONE, LOGIN "\nmailbox=INBOX",
	     "* OK x\r\n|" CAPABILITY "|a2 OK in\r\n|* STATUS INBOX (MESSAGES 3)\r\na3 OK done\r\n",
	     "pass 0 x",
	     "a1 CAPABILITY\r\na2 LOGIN \"alice\" \"s3cret word\"\r\na3 STATUS \"INBOX\" (MESSAGES)\r\n");
	play("SELECT", &probe_imap, TLS_NONE, LOGIN "\nmailbox=a \"b\\\nselect=true",
	     "* OK x\r\n|" CAPABILITY
	     "|a2 OK in\r\n|* FLAGS ()\r\n* 3 EXISTS\r\n* 0 RECENT\r\na3 OK [READ-WRITE] done\r\n",
	     "pass 0 x",
	     "a1 CAPABILITY\r\na2 LOGIN \"alice\" \"s3cret word\"\r\na3 SELECT \"a \\\"b\\\\\"\r\n");
	play("PREAUTH needs no login", &probe_imap, TLS_NONE, LOGIN "\nmailbox=INBOX",
	     "* PREAUTH x\r\n|" CAPABILITY "|* STATUS INBOX (MESSAGES 3)\r\na2 OK\r\n", "pass 0 x",
	     "a1 CAPABILITY\r\na2 STATUS \"INBOX\" (MESSAGES)\r\n");
}

static void test_imap_words_that_cannot_be_quoted_go_as_literals(void **state)
{
	(void)state;
	play("both", &probe_imap, TLS_NONE, "user=j\xc3\xbcrg\npassword_file=gr\xc3\xbc\xc3\x9f",
	     "* OK x\r\n|" CAPABILITY "|+ go on\r\n|+\r\n|a2 OK in\r\n", "pass 0 x",
	     "a1 CAPABILITY\r\na2 LOGIN {5}\r\nj\xc3\xbcrg {6}\r\ngr\xc3\xbc\xc3\x9f\r\n");
	play("the password alone", &probe_imap, TLS_NONE, "user=a\"b\npassword_file=\xff",
	     "* OK x\r\n|" CAPABILITY "|+ go on\r\n|a2 OK in\r\n", "pass 0 x",
	     "a1 CAPABILITY\r\na2 LOGIN \"a\\\"b\" {1}\r\n\xff\r\n");
	play("refused", &probe_imap, TLS_NONE, "user=a\npassword_file=\xff",
	     "* OK x\r\n|" CAPABILITY "|a2 BAD no literals\r\n", "fail 0 BAD no literals", ANY);
	play("answered too early", &probe_imap, TLS_NONE, "user=a\npassword_file=\xff",
	     "* OK x\r\n|" CAPABILITY "|a2 OK in\r\n", "garbled 0 LOGIN is answered before its end",
	     ANY);
	play("asked for without one", &probe_imap, TLS_NONE, LOGIN,
	     "* OK x\r\n|" CAPABILITY "|+ go on\r\n", "garbled 0 not IMAP: + go on", ANY);
}

static void test_imap_literal_of_the_server_is_no_line_of_its_own(void **state)
{
	(void)state;
	play("a mailbox's name", &probe_imap, TLS_NONE, LOGIN "\nmailbox=INBOX",
	     "* OK x\r\n|" CAPABILITY
	     "|a2 OK in\r\n|* STATUS {14}\r\n* BYE\r\na3 NO\r\n (MESSAGES 0)\r\na3 OK done\r\n",
	     "pass 0 x", ANY);
	play("an empty one, at the end", &probe_imap, TLS_NONE, NULL,
	     "* OK x\r\n|* LIST () NIL {0}\r\n\r\n" CAPABILITY, "pass 0 x", ANY);
	play("one that does not end", &probe_imap, TLS_NONE, NULL,
	     "* OK x\r\n|* X {999999999}\r\n" CAPABILITY, "waits for answer to CAPABILITY", ANY);
	play("no literals", &probe_imap, TLS_NONE, NULL,
	     "* OK x\r\n|* X {}\r\n* X 1}\r\n* X {a}\r\n* X }\r\n* X {+}\r\n" CAPABILITY,
	     "pass 0 x", ANY);
}

static void test_imap_login_that_is_refused_fails_and_a_later_one_is_leaving(void **state)
{
	(void)state;
	play("wrong", &probe_imap, TLS_NONE, LOGIN,
	     "* OK x\r\n|" CAPABILITY "|a2 NO [AUTHENTICATIONFAILED] no\r\n",
	     "fail 0 NO [AUTHENTICATIONFAILED] no", ANY);
	play("temporary", &probe_imap, TLS_NONE, LOGIN,
	     "* OK x\r\n|" CAPABILITY "|a2 NO [UNAVAILABLE] later\r\n",
	     "leaving 0 NO [UNAVAILABLE] later", ANY);
	play("after the login", &probe_imap, TLS_NONE, LOGIN "\nmailbox=INBOX",
	     "* OK x\r\n|" CAPABILITY "|a2 OK in\r\n* BYE Server shutting down.\r\n",
	     "leaving 0 BYE Server shutting down.", ANY);
	play("the password is not shown to a server that does not want it", &probe_imap, TLS_NONE,
	     LOGIN, "* OK x\r\n|* CAPABILITY IMAP4rev1 LOGINDISABLED\r\na1 OK\r\n",
	     "fail 0 LOGINDISABLED: no login without TLS", "a1 CAPABILITY\r\n");
	play("no such mailbox", &probe_imap, TLS_NONE, LOGIN "\nmailbox=x\nselect=true",
	     "* OK x\r\n|" CAPABILITY "|a2 OK in\r\n|a3 NO [NONEXISTENT] x\r\n",
	     "fail 0 NO [NONEXISTENT] x", ANY);
	play("nothing of the mailbox", &probe_imap, TLS_NONE, LOGIN "\nmailbox=x",
	     "* OK x\r\n|" CAPABILITY "|a2 OK in\r\n|a3 OK\r\n",
	     "garbled 0 nothing of the mailbox in the answer to STATUS", ANY);
}

/* ---- managesieve ---- */

static void test_managesieve_server_that_works_passes(void **state)
{
	(void)state;
	play("good", &probe_managesieve, TLS_NONE, NULL, SIEVE "OK \"Dovecot ready.\"\r\n",
	     "pass 0 Dovecot ready.", "");
	play("login", &probe_managesieve, TLS_NONE, LOGIN,
	     SIEVE "OK \"ready\"\r\n|OK \"Logged in.\"\r\n", "pass 0 ready",
	     "AUTHENTICATE \"PLAIN\" \"" PLAIN "\"\r\n");
	play("STARTTLS", &probe_managesieve, TLS_STARTTLS, LOGIN,
	     "\"SIEVE\" \"\"\r\n\"SASL\" \"\"\r\n\"STARTTLS\"\r\nOK \"ready\"\r\n|OK \"go\"\r\n|TLS|" SIEVE
	     "OK \"secured\"\r\n|OK\r\n",
	     "pass 0 ready", "STARTTLS\r\nAUTHENTICATE \"PLAIN\" \"" PLAIN "\"\r\n");
	play("literals", &probe_managesieve, TLS_NONE, "expect=^ready",
	     "\"IMPLEMENTATION\" {11}\r\nNO \"no\"\r\nNO\r\n" SIEVE "OK {5}\r\nready\r\n",
	     "pass 0 ready", "");
}

static void test_managesieve_server_that_asks_for_no_more_work_is_leaving(void **state)
{
	(void)state;
	play("BYE", &probe_managesieve, TLS_NONE, NULL, "BYE \"Server shutting down.\"\r\n",
	     "leaving 0 Server shutting down.", "");
	play("TRYLATER", &probe_managesieve, TLS_NONE, LOGIN,
	     SIEVE "OK\r\n|NO (TRYLATER) \"temporary\"\r\n", "leaving 0 temporary", ANY);
	play("TRYLATER, in a literal", &probe_managesieve, TLS_NONE, LOGIN,
	     SIEVE "OK\r\n|NO (TRYLATER) {9}\r\ntemporary\r\n", "leaving 0 temporary", ANY);
}

static void test_managesieve_server_that_says_no_fails(void **state)
{
	(void)state;
	play("wrong password", &probe_managesieve, TLS_NONE, LOGIN,
	     SIEVE "OK\r\n|NO \"Authentication failed.\"\r\n", "fail 0 Authentication failed.",
	     ANY);
	play("STARTTLS is not offered", &probe_managesieve, TLS_STARTTLS, NULL, SIEVE "OK\r\n",
	     "fail 0 STARTTLS is not offered", "");
	play("PLAIN is not offered", &probe_managesieve, TLS_NONE, LOGIN,
	     "\"SIEVE\" \"\"\r\n\"SASL\" \"GSSAPI\"\r\nOK\r\n", "fail 0 SASL PLAIN is not offered",
	     "");
	play("not that protocol", &probe_managesieve, TLS_NONE, NULL, "* OK ready\r\n",
	     "garbled 0 not ManageSieve: * OK ready", "");
	play("no capabilities", &probe_managesieve, TLS_NONE, NULL, "OK \"x\"\r\n",
	     "garbled 0 no capability \"SIEVE\" in the greeting", "");
	play("no capabilities under TLS", &probe_managesieve, TLS_STARTTLS, NULL,
	     "\"SIEVE\" \"\"\r\n\"STARTTLS\"\r\nOK\r\n|OK\r\n|TLS|",
	     "waits for list of capabilities under TLS", ANY);
}

/* ---- chat ---- */

static void test_chat_sends_and_expects_in_order(void **state)
{
	(void)state;
	play("good", &probe_chat, TLS_NONE, "dialogue=expect ^\\+OK~send QUIT",
	     "hello\r\n+OK ready\r\n", "pass 0 +OK ready", "QUIT\r\n");
	play("we begin", &probe_chat, TLS_NONE, "dialogue=send a~send b~expect x$", "y\r\nx\r\n",
	     "pass 0 x", "a\r\nb\r\n");
	play("the end of the dialogue is the end", &probe_chat, TLS_NONE,
	     "dialogue=expect 1~expect 2~expect 3", "1\r\n2\r\n3\r\n4\r\n", "pass 0 3", "");
	play("TLS", &probe_chat, TLS_STARTTLS, "dialogue=expect ^1~starttls~send x~expect ^2",
	     "1\r\n|TLS|2\r\n", "pass 0 2", "x\r\n");
	play("nothing that matches", &probe_chat, TLS_NONE, "dialogue=expect ^1~expect ^2",
	     "1\r\n1\r\n", "waits for line that matches \"^2\"", "");
}

/* ---- agent ---- */

static void test_agent_is_understood_as_haproxy_does(void **state)
{
	(void)state;
	play("up", &probe_agent, TLS_NONE, NULL, "up\r\n", "pass 0 up", "");
	play("asked first", &probe_agent, TLS_NONE, "send=state", "READY up\n", "pass 0 READY up",
	     "state\r\n");
	play("drain", &probe_agent, TLS_NONE, NULL, "drain, 75%\n", "leaving 0 drain, 75%", "");
	play("maint", &probe_agent, TLS_NONE, NULL, "up maint\n", "leaving 0 up maint", "");
	play("down, with a reason", &probe_agent, TLS_NONE, NULL, "up down#the disk is full\n",
	     "fail 0 the disk is full", "");
	play("a reason of words", &probe_agent, TLS_NONE, NULL, "fail disk full\n",
	     "fail 0 disk full", "");
	play("the worst counts", &probe_agent, TLS_NONE, NULL, "stopped ready drain\n",
	     "fail 0 stopped ready drain", "");
	play("no line's end", &probe_agent, TLS_NONE, NULL, "up\tmaxconn:30,50%|EOF",
	     "pass 0 up?maxconn:30,50%", "");
	play("only the first line", &probe_agent, TLS_NONE, NULL, "up\ndown\n", "pass 0 up", "");
}

static void test_agent_that_says_nothing_known_is_garbled(void **state)
{
	(void)state;
	play("another protocol", &probe_agent, TLS_NONE, NULL, "220 mx1 ESMTP\r\n",
	     "garbled 0 not an agent's word: 220 mx1 ESMTP", "");
	play("a reason alone", &probe_agent, TLS_NONE, NULL, "# up\n",
	     "garbled 0 not an agent's word: # up", "");
	play("nothing", &probe_agent, TLS_NONE, NULL, "\n", "garbled 0 not an agent's word: ", "");
	play("closed", &probe_agent, TLS_NONE, NULL, "EOF", "waits for line of the agent", "");
	play("a NUL", &probe_agent, TLS_NONE, NULL, "up@\n", "garbled 0 a NUL byte in a line", "");
	play("no percentage", &probe_agent, TLS_NONE, NULL, "7x%\n",
	     "garbled 0 not an agent's word: 7x%", "");
}

static void test_agent_weight_is_a_percentage(void **state)
{
	static const struct {
		const char *line;
		enum verdict_word word;
		int weight;
	} rows[] = {
		{"up\n", VERDICT_PASS, WEIGHT_UNSAID}, {"75%\n", VERDICT_PASS, 75},
		{"up 1%\n", VERDICT_PASS, 1},	       {"250%\n", VERDICT_PASS, 100},
		{"0%\n", VERDICT_LEAVING, 0},	       {"down 50%\n", VERDICT_FAIL, 50},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct talker *t = talker_new(&probe_agent, TLS_NONE, NULL);

		t->verdict.weight = WEIGHT_UNSAID;
		talker_hear(t, rows[i].line, strlen(rows[i].line));
		assert_int_equal(t->step, PROBE_DONE);
		assert_int_equal(t->verdict.word, rows[i].word);
		assert_int_equal(t->verdict.weight, rows[i].weight);
		talker_free(t);
	}
}

/* ---- all of them ---- */

static void test_server_without_end_is_ended(void **state)
{
	static const struct {
		const struct probe_ops *ops;
		const char *settings, *again, *text;
	} rows[] = {
		{&probe_lmtp, NULL, "220-x\r\n", "an endless answer"},
		{&probe_lmtp, NULL, "x", "an endless line"},
		{&probe_managesieve, NULL, "\"X\" \"y\"\r\n", "an endless answer"},
		{&probe_managesieve, NULL, "\"X\" {99999}\r\n", "an endless answer"},
		{&probe_managesieve, NULL, "x", "an endless line"},
		{&probe_chat, "dialogue=expect y", "xxxxxxxx\r\n", "an endless answer"},
		{&probe_chat, "dialogue=expect y", "x", "an endless line"},
		{&probe_agent, NULL, "up ", "an endless line"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_endless(rows[i].ops, rows[i].settings, rows[i].again, rows[i].text);
}

static void test_plain_text_after_the_go_ahead_for_tls_is_refused(void **state)
{
	static const struct {
		const struct probe_ops *ops;
		const char *settings, *bytes;
	} rows[] = {
		{&probe_submission, NULL, "220 x\r\n250 STARTTLS\r\n220 go\r\n250 injected\r\n"},
		{&probe_lmtp, NULL, "220 x\r\n250 STARTTLS\r\n220 go\r\n2"},
		{&probe_managesieve, NULL,
		 "\"SIEVE\" \"\"\r\n\"STARTTLS\"\r\nOK\r\nOK\r\n\"SIEVE\" \"\"\r\n"},
		{&probe_chat, "dialogue=expect a~starttls~expect b", "a\r\nb\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_injection_refused(rows[i].ops, rows[i].settings, rows[i].bytes);
}

static void test_setting_that_could_not_work_is_refused(void **state)
{
	static const struct {
		const struct probe_ops *ops;
		const char *key, *good, *bad;
	} rows[] = {
		{&probe_smtp, "mail_from", "a@b", "a b"},
		{&probe_smtp, "mail_from", "", "a>\r\nDATA"},
		{&probe_lmtp, "rcpt_to", "a+b@c", "<a@b>"},
		{&probe_smtp, "expect", "^mx", "("},
		{&probe_pop3, "expect", "a\\\\1", "(a)\\1"},
		{&probe_imap, "user", "j\xc3\xbcrg", "a\r\nb"},
		{&probe_imap, "mailbox", "INBOX", "a\r\nb"},
		{&probe_chat, "dialogue", "expect a\0send \0expect b\0starttls\0", "a"},
		{&probe_chat, "dialogue", "send a\0", "expect (\0"},
		{&probe_chat, "dialogue", "send a\0", "send a\r\nb\0"},
		{&probe_chat, "dialogue", "expect a\0starttls\0", "starttls\0expect a\0"},
		{&probe_chat, "dialogue", "expect a\0", "expect a\0starttls\0starttls\0"},
		{&probe_chat, "dialogue", "expect a\0starttls\0", "expect a\0send b\0starttls\0"},
		{&probe_agent, "send", "state please", "state\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_setting(rows[i].ops, rows[i].key, rows[i].good, rows[i].bad);
}

static void test_settings_that_contradict_each_other_are_refused(void **state)
{
	static const struct probe_ops *const with_login[] = {&probe_smtp, &probe_submission,
							     &probe_lmtp, &probe_pop3,
							     &probe_imap, &probe_managesieve};
	static const struct {
		const struct probe_ops *ops;
		const char *good, *bad;
	} rows[] = {
		{&probe_mysql, "user=alice", "password_file=x"},
		{&probe_postgresql, "user=alice", "password_file=x"},
		{&probe_redis, "password_file=x", "user=alice"},
		{&probe_http, "method=HEAD", "method=HEAD\nbody=well"},
		{&probe_ldap, "bind_dn=cn=a\npassword_file=x", "password_file=x"},
		/* RFC 4513 5.1.2: that would be an anonymous bind, which succeeds */
		{&probe_ldap, "base=dc=a", "bind_dn=cn=a"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(with_login) / sizeof(with_login[0]); i++) {
		assert_null(talker_wrong(with_login[i], TLS_NONE, PROXY_NONE, NULL));
		assert_null(talker_wrong(with_login[i], TLS_NONE, PROXY_NONE, LOGIN));
		assert_non_null(talker_wrong(with_login[i], TLS_NONE, PROXY_NONE, "user=alice"));
		assert_non_null(
			talker_wrong(with_login[i], TLS_NONE, PROXY_NONE, "password_file=x"));
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_null(talker_wrong(rows[i].ops, TLS_NONE, PROXY_NONE, NULL));
		assert_null(talker_wrong(rows[i].ops, TLS_NONE, PROXY_NONE, rows[i].good));
		assert_non_null(talker_wrong(rows[i].ops, TLS_NONE, PROXY_NONE, rows[i].bad));
	}
	assert_non_null(talker_wrong(&probe_imap, TLS_NONE, PROXY_NONE, "select=true"));
	assert_null(
		talker_wrong(&probe_chat, TLS_STARTTLS, PROXY_NONE, "dialogue=expect a~starttls"));
	assert_non_null(
		talker_wrong(&probe_chat, TLS_NONE, PROXY_NONE, "dialogue=expect a~starttls"));
	assert_non_null(
		talker_wrong(&probe_chat, TLS_IMPLICIT, PROXY_NONE, "dialogue=expect a~starttls"));
	assert_non_null(talker_wrong(&probe_chat, TLS_STARTTLS, PROXY_NONE, "dialogue=expect a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_smtp_goes_up_to_rcpt_and_takes_it_back),
		cmocka_unit_test(test_refused_recipient_fails_and_a_later_one_is_leaving),
		cmocka_unit_test(test_smtp_banner_must_match_in_one_of_its_lines),
		cmocka_unit_test(test_smtp_login_takes_plain_else_login),
		cmocka_unit_test(test_smtp_login_that_is_refused_fails_and_a_later_one_is_leaving),
		cmocka_unit_test(test_421_is_leaving_wherever_it_comes),
		cmocka_unit_test(test_lmtp_that_is_smtp_fails),
		cmocka_unit_test(test_pop3_login_asks_for_the_mailbox),
		cmocka_unit_test(test_pop3_login_that_is_refused_fails_and_a_later_one_is_leaving),
		cmocka_unit_test(test_imap_login_asks_for_the_mailbox),
		cmocka_unit_test(test_imap_words_that_cannot_be_quoted_go_as_literals),
		cmocka_unit_test(test_imap_literal_of_the_server_is_no_line_of_its_own),
		cmocka_unit_test(test_imap_login_that_is_refused_fails_and_a_later_one_is_leaving),
		cmocka_unit_test(test_managesieve_server_that_works_passes),
		cmocka_unit_test(test_managesieve_server_that_asks_for_no_more_work_is_leaving),
		cmocka_unit_test(test_managesieve_server_that_says_no_fails),
		cmocka_unit_test(test_chat_sends_and_expects_in_order),
		cmocka_unit_test(test_agent_is_understood_as_haproxy_does),
		cmocka_unit_test(test_agent_that_says_nothing_known_is_garbled),
		cmocka_unit_test(test_agent_weight_is_a_percentage),
		cmocka_unit_test(test_server_without_end_is_ended),
		cmocka_unit_test(test_plain_text_after_the_go_ahead_for_tls_is_refused),
		cmocka_unit_test(test_setting_that_could_not_work_is_refused),
		cmocka_unit_test(test_settings_that_contradict_each_other_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
