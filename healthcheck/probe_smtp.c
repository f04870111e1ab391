/* SPDX-License-Identifier: BSD-2-Clause */
/* probe_smtp.c: SMTP (RFC 5321), submission (RFC 6409) and LMTP (RFC 2033).
 *
 * The greeting, EHLO or LHLO, STARTTLS (RFC 3207), and as deep as the settings go: AUTH (RFC 4954),
 * MAIL, RCPT and RSET. There is no DATA, so no message. Passes when each is answered with 2xx. 4xx
 * (421 "shutting down", "too many connections", 454 "temporary authentication failure") means that
 * the server asks for no more work now: leaving; but to STARTTLS only 421 does, since without TLS
 * it is of no use. The three types differ in the word of the hello, and in submission's TLS.
 */
#include <string.h>

#include "healthcheck/line.h"
#include "healthcheck/login.h"
#include "healthcheck/match.h"

enum smtp_at {
	SMTP_GREETING,
	SMTP_HELLO,
	SMTP_STARTTLS,
	SMTP_HELLO_TLS,
	SMTP_AUTH,	    /* PLAIN, in one step */
	SMTP_AUTH_LOGIN,    /* the server asks for the user's name, */
	SMTP_AUTH_USER,	    /* and for the password */
	SMTP_AUTH_PASSWORD, /* it has got it */
	SMTP_MAIL,
	SMTP_RCPT,
	SMTP_RSET,
};

struct smtp_conf {
	struct probe_common common;
	char helo[256];
	char expect[EXPRESSION_SIZE];
	char mail_from[256]; /* "" = the null sender, where rcpt_to is given */
	char rcpt_to[256];
	struct login_conf login;
};

struct smtp_talk {
	struct line_count count;
	enum smtp_at at;
	bool lmtp;
	bool starttls;	      /* wanted */
	bool offers_starttls; /* what the server says it can; again after each hello */
	bool offers_plain, offers_login;
	bool matched;	    /* a line of the greeting, by `expect` */
	int code;	    /* of the reply that has begun; 0 = none */
	int greeting;	    /* its code */
	struct words words; /* of the greeting */
};

/* ---- the settings ---- */

/* What may stand between < and > without being anything else: RFC 5321's quoted local parts with
 * spaces are left out.
 */
static const char *check_mailbox(const char *value)
{
	for (const char *c = value; *c; c++) {
		if (*c <= 0x20 || *c >= 0x7f || *c == '<' || *c == '>')
			return "is no address; expected: one such as \"probe@example.org\"";
	}
	return NULL;
}

static const char *smtp_check(const struct config_probe *probe)
{
	const struct smtp_conf *conf = (const void *)probe->conf;

	return login_check(&conf->login);
}

/* A name that cannot be anybody's (RFC 6761 6.4): servers log it. */
static const struct smtp_conf smtp_defaults = {.helo = "sluice.invalid"};

static const struct config_key smtp_keys[] = {
	PROBE_KEY_SNI(struct smtp_conf),
	PROBE_KEY("helo", struct smtp_conf, helo, probe_check_host),
	PROBE_KEY("expect", struct smtp_conf, expect, match_check),
	PROBE_KEY("mail_from", struct smtp_conf, mail_from, check_mailbox),
	PROBE_KEY("rcpt_to", struct smtp_conf, rcpt_to, check_mailbox),
	LOGIN_KEYS(struct smtp_conf, login),
	{0},
};

/* ---- the conversation ---- */

static enum probe_step smtp_start(void *talk, const void *conf, enum config_tls tls,
				  struct buf *out, struct verdict *v)
{
	struct smtp_talk *t = talk;

	(void)conf;
	(void)out;
	(void)v;
	t->starttls = tls == TLS_STARTTLS;
	return PROBE_MORE;
}

static enum probe_step lmtp_start(void *talk, const void *conf, enum config_tls tls,
				  struct buf *out, struct verdict *v)
{
	((struct smtp_talk *)talk)->lmtp = true;
	return smtp_start(talk, conf, tls, out, v);
}

static enum probe_step smtp_send(struct smtp_talk *t, enum smtp_at at, struct buf *out,
				 const char *command, const char *argument, const char *end)
{
	buf_print(out, "%s%s%s\r\n", command, argument, end);
	t->at = at;
	return PROBE_MORE;
}

static enum probe_step hello_send(struct smtp_talk *t, const struct smtp_conf *conf,
				  enum smtp_at at, struct buf *out)
{
	t->offers_starttls = t->offers_plain = t->offers_login = false;
	return smtp_send(t, at, out, t->lmtp ? "LHLO " : "EHLO ", conf->helo, "");
}

static enum probe_step smtp_pass(const struct smtp_talk *t, struct verdict *v)
{
	return probe_end_words(v, VERDICT_PASS, t->greeting, t->words.text, t->words.len);
}

static enum probe_step greeting_judge(struct smtp_talk *t, const struct smtp_conf *conf,
				      const struct reply *reply, struct buf *out, struct verdict *v)
{
	t->greeting = reply->code;
	words_keep(&t->words, &reply->text);
	if (!t->matched)
		return probe_end(v, VERDICT_FAIL, reply->code, "the greeting does not match: %.*s",
				 (int)reply->text.len, reply->text.text);
	return hello_send(t, conf, SMTP_HELLO, out);
}

static enum probe_step mail_begin(struct smtp_talk *t, const struct smtp_conf *conf,
				  struct buf *out, struct verdict *v)
{
	if (!conf->mail_from[0] && !conf->rcpt_to[0])
		return smtp_pass(t, v);
	return smtp_send(t, SMTP_MAIL, out, "MAIL FROM:<", conf->mail_from, ">");
}

static enum probe_step auth_begin(struct smtp_talk *t, const struct smtp_conf *conf,
				  struct buf *out, struct verdict *v)
{
	if (!conf->login.user[0])
		return mail_begin(t, conf, out, v);
	if (t->offers_plain) {
		buf_print(out, "AUTH PLAIN ");
		login_plain(&conf->login, out);
		return smtp_send(t, SMTP_AUTH, out, "", "", "");
	}
	if (t->offers_login)
		return smtp_send(t, SMTP_AUTH_LOGIN, out, "AUTH LOGIN", "", "");
	return probe_end(v, VERDICT_FAIL, 0, "neither AUTH PLAIN nor AUTH LOGIN is offered");
}

/* The server's 334 asks for what AUTH LOGIN goes on with. */
static enum probe_step login_go_on(struct smtp_talk *t, const struct smtp_conf *conf,
				   struct buf *out)
{
	bool password = t->at == SMTP_AUTH_USER;

	login_base64(password ? conf->login.password : conf->login.user, password, out);
	return smtp_send(t, password ? SMTP_AUTH_PASSWORD : SMTP_AUTH_USER, out, "", "", "");
}

static enum probe_step smtp_refused(const struct smtp_talk *t, const struct reply *reply,
				    struct verdict *v)
{
	bool leaving = reply->code == 421 || (reply->code / 100 == 4 && t->at != SMTP_STARTTLS);

	return probe_end_words(v, leaving ? VERDICT_LEAVING : VERDICT_FAIL, reply->code,
			       reply->text.text, reply->text.len);
}

/* 2xx to the hello, the last one that there is before TLS or what follows. */
static enum probe_step hello_judge(struct smtp_talk *t, const struct smtp_conf *conf,
				   const struct reply *reply, struct buf *out, struct verdict *v)
{
	if (t->at == SMTP_HELLO_TLS || !t->starttls)
		return auth_begin(t, conf, out, v);
	if (!t->offers_starttls)
		return probe_end(v, VERDICT_FAIL, reply->code, "STARTTLS is not offered");
	return smtp_send(t, SMTP_STARTTLS, out, "STARTTLS", "", "");
}

/* A whole reply is here; @reply is its last line. */
static enum probe_step smtp_reply(struct smtp_talk *t, const struct smtp_conf *conf,
				  const struct reply *reply, struct buf *out, struct verdict *v)
{
	if (reply->code == 334 && (t->at == SMTP_AUTH_LOGIN || t->at == SMTP_AUTH_USER))
		return login_go_on(t, conf, out);
	if (reply->code / 100 != 2)
		return smtp_refused(t, reply, v);
	switch (t->at) {
	case SMTP_GREETING:
		return greeting_judge(t, conf, reply, out, v);
	case SMTP_HELLO:
	case SMTP_HELLO_TLS:
		return hello_judge(t, conf, reply, out, v);
	case SMTP_STARTTLS:
		return PROBE_START_TLS;
	case SMTP_AUTH_LOGIN:
	case SMTP_AUTH_USER:
		return probe_end(v, VERDICT_GARBLED, reply->code,
				 "AUTH LOGIN has an end before it had a password");
	case SMTP_AUTH:
	case SMTP_AUTH_PASSWORD:
		return mail_begin(t, conf, out, v);
	case SMTP_MAIL:
		if (conf->rcpt_to[0])
			return smtp_send(t, SMTP_RCPT, out, "RCPT TO:<", conf->rcpt_to, ">");
		return smtp_send(t, SMTP_RSET, out, "RSET", "", "");
	case SMTP_RCPT:
		return smtp_send(t, SMTP_RSET, out, "RSET", "", "");
	case SMTP_RSET:
		break;
	}
	return smtp_pass(t, v);
}

/* A line of the answer to the hello. "AUTH=" is what was before RFC 2554. */
static void offers_note(struct smtp_talk *t, const struct line *text)
{
	struct line words;

	if (line_has(text, "STARTTLS"))
		t->offers_starttls = true;
	if (line_starts(text, "AUTH="))
		words = line_rest(text, strlen("AUTH="));
	else if (!line_word(text, "AUTH", &words))
		return;
	t->offers_plain = t->offers_plain || line_has(&words, "PLAIN");
	t->offers_login = t->offers_login || line_has(&words, "LOGIN");
}

/* Something of the line @reply, whose reply may go on. */
static enum probe_step reply_note(struct smtp_talk *t, const struct smtp_conf *conf,
				  const struct reply *reply, struct verdict *v)
{
	int r;

	if (t->at == SMTP_HELLO || t->at == SMTP_HELLO_TLS)
		offers_note(t, &reply->text);
	if (t->at != SMTP_GREETING || t->matched)
		return PROBE_MORE;
	r = match_line(conf->expect, &reply->text);
	if (r < 0)
		return probe_end(v, VERDICT_UNABLE, 0, "no memory to match the greeting");
	t->matched = r > 0;
	return PROBE_MORE;
}

static enum probe_step smtp_line(void *talk, const void *conf, const struct line *line,
				 struct buf *out, struct verdict *v)
{
	struct smtp_talk *t = talk;
	struct reply reply;

	if (!reply_parse(line, &reply))
		return probe_end(v, VERDICT_GARBLED, 0, "not %s: %.*s", t->lmtp ? "LMTP" : "SMTP",
				 (int)line->len, line->text);
	/* "220-" and then "421": postscreen's teaser, which has found no smtpd behind it */
	if (t->code != 0 && reply.code != t->code && !(t->code < 400 && reply.code >= 400))
		return probe_end(v, VERDICT_GARBLED, reply.code,
				 "a reply that begins with %d goes on with %d", t->code,
				 reply.code);
	t->code = reply.last ? 0 : reply.code;
	if (reply_note(t, conf, &reply, v) == PROBE_DONE)
		return PROBE_DONE;
	return reply.last ? smtp_reply(t, conf, &reply, out, v) : PROBE_MORE;
}

static enum probe_step smtp_feed(void *talk, const void *conf, struct buf *in, struct buf *out,
				 struct verdict *v)
{
	struct smtp_talk *t = talk;

	return lines_feed(&t->count, smtp_line, t, conf, in, out, v);
}

static enum probe_step smtp_secured(void *talk, const void *conf, struct buf *out,
				    struct verdict *v)
{
	(void)v;
	return hello_send(talk, conf, SMTP_HELLO_TLS, out);
}

static const char *smtp_waiting(const void *talk)
{
	static const char *const names[] = {
		[SMTP_GREETING] = "greeting",
		[SMTP_HELLO] = "answer to EHLO",
		[SMTP_STARTTLS] = "answer to STARTTLS",
		[SMTP_HELLO_TLS] = "answer to EHLO under TLS",
		[SMTP_AUTH] = "answer to AUTH",
		[SMTP_AUTH_LOGIN] = "answer to AUTH",
		[SMTP_AUTH_USER] = "answer to the user's name",
		[SMTP_AUTH_PASSWORD] = "answer to the password",
		[SMTP_MAIL] = "answer to MAIL",
		[SMTP_RCPT] = "answer to RCPT",
		[SMTP_RSET] = "answer to RSET",
	};
	const struct smtp_talk *t = talk;

	if (t->lmtp && t->at == SMTP_HELLO)
		return "answer to LHLO";
	if (t->lmtp && t->at == SMTP_HELLO_TLS)
		return "answer to LHLO under TLS";
	return names[t->at];
}

/* @by_starttls: TLS as long as nothing else is said. */
#define SMTP_OPS(type, by_starttls, how_to_start)                                                  \
	{                                                                                          \
		.schema = {.name = (type),                                                         \
			   .keys = smtp_keys,                                                      \
			   .defaults = &smtp_defaults,                                             \
			   .conf_size = sizeof(struct smtp_conf),                                  \
			   .can_tls = true,                                                        \
			   .can_starttls = true,                                                   \
			   .wants_starttls = (by_starttls),                                        \
			   .check = smtp_check},                                                   \
		.opening = OPENING_SERVERS, .talk_size = sizeof(struct smtp_talk),                 \
		.start = (how_to_start), .feed = smtp_feed, .secured = smtp_secured,               \
		.waiting = smtp_waiting, .bye = "QUIT\r\n",                                        \
	}

const struct probe_ops probe_smtp = SMTP_OPS("smtp", false, smtp_start);
const struct probe_ops probe_submission = SMTP_OPS("submission", true, smtp_start);
const struct probe_ops probe_lmtp = SMTP_OPS("lmtp", false, lmtp_start);
