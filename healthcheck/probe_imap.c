/* SPDX-License-Identifier: BSD-2-Clause */
/* probe_imap.c: IMAP greeting and CAPABILITY (RFC 9051 7.1.4, 6.1.1), STARTTLS (6.2.1), LOGIN
 * (6.2.3), STATUS (6.3.11) or SELECT (6.3.2) of a mailbox.
 *
 * Passes when the server greets with OK or PREAUTH and lists its capabilities; with STARTTLS, when
 * it offers that, and lists them again under TLS; and when it does what the settings ask for then.
 * BYE, and [UNAVAILABLE] (RFC 5530), mean that it asks for no more work: leaving.
 *
 * LOGIN's words go as quoted strings, or as literals when they have bytes that those may not have:
 * the server asks for each literal with "+".
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "healthcheck/line.h"
#include "healthcheck/login.h"
#include "healthcheck/match.h"

enum imap_at {
	IMAP_GREETING,
	IMAP_CAPABILITY,
	IMAP_STARTTLS,
	IMAP_CAPABILITY_TLS,
	IMAP_LOGIN,
	IMAP_STATUS,
	IMAP_SELECT,
};

enum { LOGIN_WORDS = 2 }; /* of LOGIN: the user's name, the password */

struct imap_conf {
	struct probe_common common;
	char expect[EXPRESSION_SIZE];
	struct login_conf login;
	char mailbox[256]; /* "" = none is asked for */
	bool select;	   /* it, instead of its status */
};

struct imap_talk {
	struct line_count count;
	struct literal literal; /* the server's */
	enum imap_at at;
	int tag;       /* of the last command */
	bool starttls; /* wanted */
	bool preauth;
	bool listed;		      /* what the command asks for */
	bool offered, login_disabled; /* of the capabilities */
	int login_word;		      /* the next one to be sent */
	bool login_literal;	      /* it is announced, and waits for the server's "+" */
	struct words words;	      /* of the greeting */
};

/* ---- the settings ---- */

static const char *check_mailbox(const char *value)
{
	for (const char *c = value; *c; c++) {
		if (*c < 0x20 || *c >= 0x7f)
			return "is no mailbox; expected: printable ASCII (modified UTF-7, RFC 3501 5.1.3)";
	}
	return NULL;
}

static const char *imap_check(const struct config_probe *probe)
{
	const struct imap_conf *conf = (const void *)probe->conf;

	if (conf->select && !conf->mailbox[0])
		return "has \"select\" and no mailbox; expected: mailbox = \"INBOX\"";
	return login_check(&conf->login);
}

static const struct config_key imap_keys[] = {
	PROBE_KEY_SNI(struct imap_conf),
	PROBE_KEY("expect", struct imap_conf, expect, match_check),
	LOGIN_KEYS(struct imap_conf, login),
	PROBE_KEY("mailbox", struct imap_conf, mailbox, check_mailbox),
	{.name = "select",
	 .type = KEY_BOOL,
	 .offset = offsetof(struct imap_conf, select),
	 .size = 1},
	{0},
};

/* ---- what is sent ---- */

static enum probe_step imap_start(void *talk, const void *conf, enum config_tls tls,
				  struct buf *out, struct verdict *v)
{
	struct imap_talk *t = talk;

	(void)conf;
	(void)out;
	(void)v;
	t->starttls = tls == TLS_STARTTLS;
	return PROBE_MORE;
}

/* @end: "\r\n", or " " when the command's words follow. */
static enum probe_step imap_send(struct imap_talk *t, const char *command, enum imap_at at,
				 struct buf *out, const char *end)
{
	t->at = at;
	t->listed = false;
	buf_print(out, "a%d %s%s", ++t->tag, command, end);
	return PROBE_MORE;
}

static bool is_quotable(const char *word)
{
	for (; *word; word++) {
		if (*word < 0x20 || *word >= 0x7f)
			return false;
	}
	return true;
}

static void quoted_add(const char *word, bool secret, struct buf *out)
{
	char quoted[2 * 256 + 3];
	size_t n = 0;

	quoted[n++] = '"';
	for (; *word && n + 3 < sizeof(quoted); word++) {
		if (*word == '"' || *word == '\\')
			quoted[n++] = '\\';
		quoted[n++] = *word;
	}
	quoted[n++] = '"';
	if (secret)
		buf_secret(out, quoted, n);
	else
		buf_add(out, quoted, n);
	explicit_bzero(quoted, sizeof(quoted));
}

/* LOGIN's words, up to its end or to the next literal that the server has to ask for. */
static enum probe_step login_go_on(struct imap_talk *t, const struct login_conf *login,
				   struct buf *out)
{
	while (t->login_word < LOGIN_WORDS) {
		bool secret = t->login_word > 0;
		const char *word = secret ? login->password : login->user;

		if (is_quotable(word)) {
			quoted_add(word, secret, out);
		} else if (!t->login_literal) {
			t->login_literal = true;
			buf_print(out, "{%zu}\r\n", strlen(word));
			return PROBE_MORE;
		} else {
			t->login_literal = false;
			if (secret)
				buf_secret(out, word, strlen(word));
			else
				buf_add(out, word, strlen(word));
		}
		t->login_word++;
		buf_print(out, t->login_word < LOGIN_WORDS ? " " : "\r\n");
	}
	return PROBE_MORE;
}

static enum probe_step imap_pass(const struct imap_talk *t, struct verdict *v)
{
	return probe_end_words(v, VERDICT_PASS, 0, t->words.text, t->words.len);
}

static enum probe_step mailbox_begin(struct imap_talk *t, const struct imap_conf *conf,
				     struct buf *out, struct verdict *v)
{
	if (!conf->mailbox[0])
		return imap_pass(t, v);
	imap_send(t, conf->select ? "SELECT" : "STATUS", conf->select ? IMAP_SELECT : IMAP_STATUS,
		  out, " ");
	quoted_add(conf->mailbox, false, out);
	buf_print(out, "%s\r\n", conf->select ? "" : " (MESSAGES)");
	return PROBE_MORE;
}

static enum probe_step login_begin(struct imap_talk *t, const struct imap_conf *conf,
				   struct buf *out, struct verdict *v)
{
	if (!conf->login.user[0] || t->preauth)
		return mailbox_begin(t, conf, out, v);
	if (t->login_disabled)
		return probe_end(v, VERDICT_FAIL, 0, "LOGINDISABLED: no login without TLS");
	imap_send(t, "LOGIN", IMAP_LOGIN, out, " ");
	return login_go_on(t, &conf->login, out);
}

/* ---- what is heard ---- */

/* "OK [CODE] words": the first word of a greeting or an answer, and what follows it. */
enum imap_status { IMAP_OK, IMAP_NO, IMAP_BAD, IMAP_PREAUTH, IMAP_BYE, IMAP_OTHER };

static enum imap_status imap_status(const struct line *text, struct line *ret_words)
{
	static const char *const names[] = {"OK", "NO", "BAD", "PREAUTH", "BYE"};
	enum imap_status status = IMAP_OK;

	while (status < IMAP_OTHER && !line_word(text, names[status], ret_words))
		status++;
	return status;
}

static bool imap_leaving(enum imap_status status, const struct line *words)
{
	return status == IMAP_BYE || (status != IMAP_OTHER && line_starts(words, "[UNAVAILABLE]"));
}

/* The words that a person wants of "[CAPABILITY IMAP4rev1 ...] Dovecot ready." */
static struct line code_skip(const struct line *words)
{
	const char *end = memchr(words->text, ']', words->len);

	if (words->len == 0 || words->text[0] != '[' || !end)
		return *words;
	return line_rest(words, (size_t)(end - words->text) + 1);
}

static enum probe_step imap_greeting(struct imap_talk *t, const struct imap_conf *conf,
				     enum imap_status status, const struct line *words,
				     struct buf *out, struct verdict *v)
{
	struct line said = code_skip(words);
	int r = match_line(conf->expect, &said);

	t->preauth = status == IMAP_PREAUTH;
	if (t->preauth && t->starttls)
		return probe_end(v, VERDICT_FAIL, 0, "PREAUTH: too late for STARTTLS");
	if (r < 0)
		return probe_end(v, VERDICT_UNABLE, 0, "no memory to match the greeting");
	if (r == 0)
		return probe_end(v, VERDICT_FAIL, 0, "the greeting does not match: %.*s",
				 (int)said.len, said.text);
	words_keep(&t->words, &said);
	return imap_send(t, "CAPABILITY", IMAP_CAPABILITY, out, "\r\n");
}

/* Is it what the command asks for? */
static void listed_note(struct imap_talk *t, const struct line *text)
{
	struct line words;

	if (line_word(text, "CAPABILITY", &words)) {
		t->listed = t->listed || t->at == IMAP_CAPABILITY || t->at == IMAP_CAPABILITY_TLS;
		t->offered = line_has(&words, "STARTTLS");
		t->login_disabled = line_has(&words, "LOGINDISABLED");
	} else if (t->at == IMAP_STATUS && line_word(text, "STATUS", &words)) {
		t->listed = true;
	} else if (t->at == IMAP_SELECT && text->len > 0 && isdigit((unsigned char)text->text[0]) &&
		   line_has(text, "EXISTS")) {
		t->listed = true;
	}
}

static enum probe_step imap_untagged(struct imap_talk *t, const struct imap_conf *conf,
				     const struct line *text, struct buf *out, struct verdict *v)
{
	struct line words = *text;
	enum imap_status status = imap_status(text, &words);

	if (imap_leaving(status, &words))
		return probe_end_words(v, VERDICT_LEAVING, 0, text->text, text->len);
	if (t->at == IMAP_GREETING) {
		if (status == IMAP_OK || status == IMAP_PREAUTH)
			return imap_greeting(t, conf, status, &words, out, v);
		return probe_end(v, VERDICT_GARBLED, 0, "not IMAP: * %.*s", (int)text->len,
				 text->text);
	}
	listed_note(t, text);
	return PROBE_MORE;
}

/* The command is done, and OK. */
static enum probe_step imap_good(struct imap_talk *t, const struct imap_conf *conf, struct buf *out,
				 struct verdict *v)
{
	switch (t->at) {
	case IMAP_STARTTLS:
		return PROBE_START_TLS;
	case IMAP_LOGIN:
		return mailbox_begin(t, conf, out, v);
	case IMAP_STATUS:
	case IMAP_SELECT:
		if (!t->listed)
			return probe_end(v, VERDICT_GARBLED, 0,
					 "nothing of the mailbox in the answer to %s",
					 conf->select ? "SELECT" : "STATUS");
		return imap_pass(t, v);
	default:
		break;
	}
	if (!t->listed)
		return probe_end(v, VERDICT_GARBLED, 0, "no list in the answer to CAPABILITY");
	if (t->at == IMAP_CAPABILITY_TLS || !t->starttls)
		return login_begin(t, conf, out, v);
	if (!t->offered)
		return probe_end(v, VERDICT_FAIL, 0, "STARTTLS is not offered");
	return imap_send(t, "STARTTLS", IMAP_STARTTLS, out, "\r\n");
}

static enum probe_step imap_tagged(struct imap_talk *t, const struct imap_conf *conf,
				   const struct line *text, struct buf *out, struct verdict *v)
{
	struct line words = *text;
	enum imap_status status = imap_status(text, &words);

	if (imap_leaving(status, &words))
		return probe_end_words(v, VERDICT_LEAVING, 0, text->text, text->len);
	if (status != IMAP_OK)
		return probe_end_words(v, VERDICT_FAIL, 0, text->text, text->len);
	if (t->at == IMAP_LOGIN && t->login_word < LOGIN_WORDS)
		return probe_end(v, VERDICT_GARBLED, 0, "LOGIN is answered before its end");
	return imap_good(t, conf, out, v);
}

static enum probe_step imap_line(void *talk, const void *conf, const struct line *line,
				 struct buf *out, struct verdict *v)
{
	const struct imap_conf *c = conf;
	struct imap_talk *t = talk;
	struct line text;
	char tag[16];

	if (literal_skip(&t->literal, &t->count, line))
		return PROBE_MORE;
	if (line_word(line, "*", &text))
		return imap_untagged(t, c, &text, out, v);
	if (t->login_literal && line_word(line, "+", &text))
		return login_go_on(t, &c->login, out);
	snprintf(tag, sizeof(tag), "a%d", t->tag);
	if (t->at != IMAP_GREETING && line_word(line, tag, &text))
		return imap_tagged(t, c, &text, out, v);
	return probe_end(v, VERDICT_GARBLED, 0, "not IMAP: %.*s", (int)line->len, line->text);
}

static enum probe_step imap_feed(void *talk, const void *conf, struct buf *in, struct buf *out,
				 struct verdict *v)
{
	struct imap_talk *t = talk;

	return lines_feed(&t->count, imap_line, t, conf, in, out, v);
}

static enum probe_step imap_secured(void *talk, const void *conf, struct buf *out,
				    struct verdict *v)
{
	struct imap_talk *t = talk;

	(void)conf;
	(void)v;
	t->login_disabled = false;
	t->literal = (struct literal){.seen = t->count.bytes};
	return imap_send(t, "CAPABILITY", IMAP_CAPABILITY_TLS, out, "\r\n");
}

static const char *imap_waiting(const void *talk)
{
	static const char *const names[] = {
		[IMAP_GREETING] = "greeting",
		[IMAP_CAPABILITY] = "answer to CAPABILITY",
		[IMAP_STARTTLS] = "answer to STARTTLS",
		[IMAP_CAPABILITY_TLS] = "answer to CAPABILITY under TLS",
		[IMAP_LOGIN] = "answer to LOGIN",
		[IMAP_STATUS] = "answer to STATUS",
		[IMAP_SELECT] = "answer to SELECT",
	};

	return names[((const struct imap_talk *)talk)->at];
}

const struct probe_ops probe_imap = {
	.schema = {.name = "imap",
		   .keys = imap_keys,
		   .conf_size = sizeof(struct imap_conf),
		   .can_tls = true,
		   .can_starttls = true,
		   .check = imap_check},
	.opening = OPENING_SERVERS,
	.talk_size = sizeof(struct imap_talk),
	.start = imap_start,
	.feed = imap_feed,
	.secured = imap_secured,
	.waiting = imap_waiting,
	.bye = "a9 LOGOUT\r\n",
};
