/* SPDX-License-Identifier: BSD-2-Clause */
/* probe_pop3.c: POP3 greeting and CAPA (RFC 1939 4, RFC 2449 5), STLS (RFC 2595 4), login.
 *
 * Passes when the server greets with +OK and answers CAPA: with its list, or with -ERR when it is
 * older than that command; with a login, when it lets USER and PASS in and answers STAT.
 *
 * [SYS/TEMP] (RFC 3206) means that it asks for no more work: leaving. So does [IN-USE] (RFC 2449
 * 8.1.2) where there is no mailbox yet; but to PASS it says that the password was right and another
 * session has the mailbox, such as the other node's probe: nothing is wrong with the server. Nor is
 * it when [LOGIN-DELAY] (8.1.1) says that this user was there too short a time ago.
 */
#include <string.h>

#include "healthcheck/line.h"
#include "healthcheck/login.h"
#include "healthcheck/match.h"

enum pop3_at { POP3_GREETING, POP3_STLS, POP3_CAPA, POP3_LIST, POP3_USER, POP3_PASS, POP3_STAT };

struct pop3_conf {
	struct probe_common common;
	char expect[EXPRESSION_SIZE];
	struct login_conf login;
};

struct pop3_talk {
	struct line_count count;
	enum pop3_at at;
	bool starttls;	    /* wanted */
	struct words words; /* of the greeting */
};

static const char *pop3_check(const struct config_probe *probe)
{
	const struct pop3_conf *conf = (const void *)probe->conf;

	return login_check(&conf->login);
}

static const struct config_key pop3_keys[] = {
	PROBE_KEY_SNI(struct pop3_conf),
	PROBE_KEY("expect", struct pop3_conf, expect, match_check),
	LOGIN_KEYS(struct pop3_conf, login),
	{0},
};

static enum probe_step pop3_start(void *talk, const void *conf, enum config_tls tls,
				  struct buf *out, struct verdict *v)
{
	struct pop3_talk *t = talk;

	(void)conf;
	(void)out;
	(void)v;
	t->starttls = tls == TLS_STARTTLS;
	return PROBE_MORE;
}

static enum probe_step pop3_send(struct pop3_talk *t, const char *command, enum pop3_at at,
				 struct buf *out)
{
	buf_print(out, "%s\r\n", command);
	t->at = at;
	return PROBE_MORE;
}

static enum probe_step pop3_pass(const struct pop3_talk *t, struct verdict *v)
{
	return probe_end_words(v, VERDICT_PASS, 0, t->words.text, t->words.len);
}

static enum probe_step greeting_judge(struct pop3_talk *t, const struct pop3_conf *conf,
				      const struct line *text, struct buf *out, struct verdict *v)
{
	int r = match_line(conf->expect, text);

	words_keep(&t->words, text);
	if (r < 0)
		return probe_end(v, VERDICT_UNABLE, 0, "no memory to match the greeting");
	if (r == 0)
		return probe_end(v, VERDICT_FAIL, 0, "the greeting does not match: %.*s",
				 (int)text->len, text->text);
	if (t->starttls)
		return pop3_send(t, "STLS", POP3_STLS, out);
	return pop3_send(t, "CAPA", POP3_CAPA, out);
}

/* The answer to CAPA is over, whatever it was. */
static enum probe_step login_begin(struct pop3_talk *t, const struct pop3_conf *conf,
				   struct buf *out, struct verdict *v)
{
	if (!conf->login.user[0])
		return pop3_pass(t, v);
	buf_print(out, "USER ");
	return pop3_send(t, conf->login.user, POP3_USER, out);
}

static enum probe_step pop3_good(struct pop3_talk *t, const struct pop3_conf *conf,
				 const struct line *text, struct buf *out, struct verdict *v)
{
	switch (t->at) {
	case POP3_GREETING:
		return greeting_judge(t, conf, text, out, v);
	case POP3_STLS:
		return PROBE_START_TLS;
	case POP3_CAPA:
	case POP3_LIST:
		t->at = POP3_LIST;
		break;
	case POP3_USER:
		buf_print(out, "PASS ");
		buf_secret(out, conf->login.password, strlen(conf->login.password));
		return pop3_send(t, "", POP3_PASS, out);
	case POP3_PASS:
		return pop3_send(t, "STAT", POP3_STAT, out);
	case POP3_STAT:
		return pop3_pass(t, v);
	}
	return PROBE_MORE;
}

static enum probe_step pop3_bad(struct pop3_talk *t, const struct pop3_conf *conf,
				const struct line *text, struct buf *out, struct verdict *v)
{
	bool in_use = line_starts(text, "[IN-USE]");
	bool in = in_use || line_starts(text, "[LOGIN-DELAY]");
	bool leaving = in_use || line_starts(text, "[SYS/TEMP]");

	if (t->at == POP3_CAPA && !leaving)
		return login_begin(t, conf, out, v);
	if (t->at == POP3_PASS && in)
		return pop3_pass(t, v);
	return probe_end_words(v, leaving ? VERDICT_LEAVING : VERDICT_FAIL, 0, text->text,
			       text->len);
}

static enum probe_step pop3_line(void *talk, const void *conf, const struct line *line,
				 struct buf *out, struct verdict *v)
{
	struct pop3_talk *t = talk;
	struct line text;

	if (t->at == POP3_LIST && line->len == 1 && line->text[0] == '.')
		return login_begin(t, conf, out, v);
	if (t->at == POP3_LIST)
		return PROBE_MORE;
	if (line_word(line, "+OK", &text))
		return pop3_good(t, conf, &text, out, v);
	if (line_word(line, "-ERR", &text))
		return pop3_bad(t, conf, &text, out, v);
	return probe_end(v, VERDICT_GARBLED, 0, "not POP3: %.*s", (int)line->len, line->text);
}

static enum probe_step pop3_feed(void *talk, const void *conf, struct buf *in, struct buf *out,
				 struct verdict *v)
{
	struct pop3_talk *t = talk;

	return lines_feed(&t->count, pop3_line, t, conf, in, out, v);
}

static enum probe_step pop3_secured(void *talk, const void *conf, struct buf *out,
				    struct verdict *v)
{
	(void)conf;
	(void)v;
	return pop3_send(talk, "CAPA", POP3_CAPA, out);
}

static const char *pop3_waiting(const void *talk)
{
	static const char *const names[] = {
		[POP3_GREETING] = "greeting",	[POP3_STLS] = "answer to STLS",
		[POP3_CAPA] = "answer to CAPA", [POP3_LIST] = "end of the answer to CAPA",
		[POP3_USER] = "answer to USER", [POP3_PASS] = "answer to PASS",
		[POP3_STAT] = "answer to STAT",
	};

	return names[((const struct pop3_talk *)talk)->at];
}

const struct probe_ops probe_pop3 = {
	.schema = {.name = "pop3",
		   .keys = pop3_keys,
		   .conf_size = sizeof(struct pop3_conf),
		   .can_tls = true,
		   .can_starttls = true,
		   .check = pop3_check},
	.opening = OPENING_SERVERS,
	.talk_size = sizeof(struct pop3_talk),
	.start = pop3_start,
	.feed = pop3_feed,
	.secured = pop3_secured,
	.waiting = pop3_waiting,
	.bye = "QUIT\r\n",
};
