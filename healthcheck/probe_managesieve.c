/* SPDX-License-Identifier: BSD-2-Clause */
/* probe_managesieve.c: ManageSieve (RFC 5804): the greeting with the capabilities (1.7), STARTTLS
 * (2.2), AUTHENTICATE "PLAIN" (2.1).
 *
 * Passes when the server lists its capabilities and ends them with OK; with STARTTLS, when it
 * offers that, and does the same under TLS, unasked; and when the login is let in. BYE, and
 * (TRYLATER) (1.3), mean that it asks for no more work: leaving. A string may be a literal, also
 * the words of NO.
 */
#include <stdio.h>
#include <string.h>

#include "healthcheck/line.h"
#include "healthcheck/login.h"
#include "healthcheck/match.h"

enum sieve_at { SIEVE_GREETING, SIEVE_STARTTLS, SIEVE_GREETING_TLS, SIEVE_LOGIN };
enum sieve_status { SIEVE_OK, SIEVE_NO, SIEVE_BYE, SIEVE_OTHER };

struct sieve_conf {
	struct probe_common common;
	char expect[EXPRESSION_SIZE];
	struct login_conf login;
};

struct sieve_talk {
	struct line_count count;
	struct literal literal;
	enum sieve_at at;
	bool starttls; /* wanted */
	bool listed;   /* "SIEVE", which every server must have */
	bool offered;  /* STARTTLS */
	bool plain;
	bool in_words;		  /* a status whose words are a literal is at hand: */
	enum sieve_status status; /* this one */
	bool try_later;		  /* its code */
	struct words words;	  /* of the greeting */
};

static const char *sieve_check(const struct config_probe *probe)
{
	const struct sieve_conf *conf = (const void *)probe->conf;

	return login_check(&conf->login);
}

static const struct config_key sieve_keys[] = {
	PROBE_KEY_SNI(struct sieve_conf),
	PROBE_KEY("expect", struct sieve_conf, expect, match_check),
	LOGIN_KEYS(struct sieve_conf, login),
	{0},
};

static enum probe_step sieve_start(void *talk, const void *conf, enum config_tls tls,
				   struct buf *out, struct verdict *v)
{
	struct sieve_talk *t = talk;

	(void)conf;
	(void)out;
	(void)v;
	t->starttls = tls == TLS_STARTTLS;
	return PROBE_MORE;
}

static enum probe_step sieve_pass(const struct sieve_talk *t, struct verdict *v)
{
	return probe_end_words(v, VERDICT_PASS, 0, t->words.text, t->words.len);
}

static enum probe_step login_begin(struct sieve_talk *t, const struct sieve_conf *conf,
				   struct buf *out, struct verdict *v)
{
	if (!conf->login.user[0])
		return sieve_pass(t, v);
	if (!t->plain)
		return probe_end(v, VERDICT_FAIL, 0, "SASL PLAIN is not offered");
	buf_print(out, "AUTHENTICATE \"PLAIN\" \"");
	login_plain(&conf->login, out);
	buf_print(out, "\"\r\n");
	t->at = SIEVE_LOGIN;
	return PROBE_MORE;
}

/* The list of capabilities has come to its OK. */
static enum probe_step list_judge(struct sieve_talk *t, const struct sieve_conf *conf,
				  const struct line *words, struct buf *out, struct verdict *v)
{
	int r = t->at == SIEVE_GREETING ? match_line(conf->expect, words) : 1;

	if (!t->listed)
		return probe_end(v, VERDICT_GARBLED, 0, "no capability \"SIEVE\" in the greeting");
	if (r < 0)
		return probe_end(v, VERDICT_UNABLE, 0, "no memory to match the greeting");
	if (r == 0)
		return probe_end(v, VERDICT_FAIL, 0, "the greeting does not match: %.*s",
				 (int)words->len, words->text);
	if (t->at == SIEVE_GREETING)
		words_keep(&t->words, words);
	if (t->at == SIEVE_GREETING_TLS || !t->starttls)
		return login_begin(t, conf, out, v);
	if (!t->offered)
		return probe_end(v, VERDICT_FAIL, 0, "STARTTLS is not offered");
	buf_print(out, "STARTTLS\r\n");
	t->at = SIEVE_STARTTLS;
	return PROBE_MORE;
}

/* A status and its words are here. */
static enum probe_step status_judge(struct sieve_talk *t, const struct sieve_conf *conf,
				    const struct line *words, struct buf *out, struct verdict *v)
{
	bool leaving = t->status == SIEVE_BYE || t->try_later;

	t->in_words = false;
	if (t->status != SIEVE_OK)
		return probe_end_words(v, leaving ? VERDICT_LEAVING : VERDICT_FAIL, 0, words->text,
				       words->len);
	switch (t->at) {
	case SIEVE_GREETING:
	case SIEVE_GREETING_TLS:
		return list_judge(t, conf, words, out, v);
	case SIEVE_STARTTLS:
		return PROBE_START_TLS;
	case SIEVE_LOGIN:
		break;
	}
	return sieve_pass(t, v);
}

/* The words of `(TRYLATER) "text"`, without the quotation marks. */
static struct line status_words(struct sieve_talk *t, const struct line *rest)
{
	const char *end = memchr(rest->text, ')', rest->len);
	struct line words = *rest;

	t->try_later = line_starts(rest, "(TRYLATER)");
	if (rest->len > 0 && rest->text[0] == '(' && end)
		words = line_rest(rest, (size_t)(end - rest->text) + 1);
	if (words.len >= 2 && words.text[0] == '"' && words.text[words.len - 1] == '"') {
		words.text++;
		words.len -= 2;
	}
	return words;
}

/* `"STARTTLS"`, `"SASL" "PLAIN LOGIN"` */
static void capability_note(struct sieve_talk *t, const struct line *line)
{
	const char *mechanisms;
	struct line rest;

	t->listed = t->listed || line_starts(line, "\"SIEVE\"");
	t->offered = t->offered || line_starts(line, "\"STARTTLS\"");
	if (!line_word(line, "\"SASL\"", &rest))
		return;
	mechanisms = rest.text;
	if (rest.len >= 2 && *mechanisms == '"') {
		rest = (struct line){.text = mechanisms + 1, .len = rest.len - 2};
		t->plain = t->plain || line_has(&rest, "PLAIN");
	}
}

static enum probe_step sieve_line(void *talk, const void *conf, const struct line *line,
				  struct buf *out, struct verdict *v)
{
	static const char *const names[] = {"OK", "NO", "BYE"};
	struct sieve_talk *t = talk;
	struct line rest, words;

	if (literal_skip(&t->literal, &t->count, line))
		return t->in_words ? status_judge(t, conf, line, out, v) : PROBE_MORE;
	for (t->status = SIEVE_OK; t->status < SIEVE_OTHER; t->status++) {
		if (line_word(line, names[t->status], &rest))
			break;
	}
	if (t->status == SIEVE_OTHER) {
		if (line->len == 0 || line->text[0] != '"' || t->at == SIEVE_STARTTLS ||
		    t->at == SIEVE_LOGIN)
			return probe_end(v, VERDICT_GARBLED, 0, "not ManageSieve: %.*s",
					 (int)line->len, line->text);
		capability_note(t, line);
		return PROBE_MORE;
	}
	words = status_words(t, &rest);
	t->in_words = t->literal.open;
	return t->in_words ? PROBE_MORE : status_judge(t, conf, &words, out, v);
}

static enum probe_step sieve_feed(void *talk, const void *conf, struct buf *in, struct buf *out,
				  struct verdict *v)
{
	struct sieve_talk *t = talk;

	return lines_feed(&t->count, sieve_line, t, conf, in, out, v);
}

static enum probe_step sieve_secured(void *talk, const void *conf, struct buf *out,
				     struct verdict *v)
{
	struct sieve_talk *t = talk;

	(void)conf;
	(void)out;
	(void)v;
	t->at = SIEVE_GREETING_TLS;
	t->listed = t->plain = false;
	t->literal = (struct literal){.seen = t->count.bytes};
	return PROBE_MORE;
}

static const char *sieve_waiting(const void *talk)
{
	static const char *const names[] = {
		[SIEVE_GREETING] = "greeting",
		[SIEVE_STARTTLS] = "answer to STARTTLS",
		[SIEVE_GREETING_TLS] = "list of capabilities under TLS",
		[SIEVE_LOGIN] = "answer to AUTHENTICATE",
	};

	return names[((const struct sieve_talk *)talk)->at];
}

const struct probe_ops probe_managesieve = {
	.schema = {.name = "managesieve",
		   .keys = sieve_keys,
		   .conf_size = sizeof(struct sieve_conf),
		   .can_tls = true,
		   .can_starttls = true,
		   .check = sieve_check},
	.opening = OPENING_SERVERS,
	.talk_size = sizeof(struct sieve_talk),
	.start = sieve_start,
	.feed = sieve_feed,
	.secured = sieve_secured,
	.waiting = sieve_waiting,
	.bye = "LOGOUT\r\n",
};
