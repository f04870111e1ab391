/* SPDX-License-Identifier: BSD-2-Clause */
/* probe_imap.c: IMAP greeting and CAPABILITY (RFC 9051 7.1.4, 6.1.1), STARTTLS (6.2.1).
 *
 * Passes when the server greets with OK or PREAUTH and lists its capabilities; with STARTTLS, when
 * it offers that, and lists them again under TLS. BYE, and [UNAVAILABLE] (RFC 5530), mean that it
 * asks for no more work: leaving.
 */
#include <stdio.h>
#include <string.h>

#include "healthcheck/line.h"

enum imap_at { IMAP_GREETING, IMAP_CAPABILITY, IMAP_STARTTLS, IMAP_CAPABILITY_TLS };

struct imap_conf {
	struct probe_common common;
};

struct imap_talk {
	struct line_count count;
	enum imap_at at;
	int tag;       /* of the last command */
	bool starttls; /* wanted */
	bool listed, offered;
	struct words words; /* of the greeting */
};

static const struct config_key imap_keys[] = {
	PROBE_KEY_SNI(struct imap_conf),
	{0},
};

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

static enum probe_step imap_send(struct imap_talk *t, const char *command, enum imap_at at,
				 struct buf *out)
{
	t->at = at;
	t->listed = false;
	buf_print(out, "a%d %s\r\n", ++t->tag, command);
	return PROBE_MORE;
}

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

static enum probe_step imap_greeting(struct imap_talk *t, enum imap_status status,
				     const struct line *words, struct buf *out, struct verdict *v)
{
	struct line said = code_skip(words);

	if (status == IMAP_PREAUTH && t->starttls)
		return probe_end(v, VERDICT_FAIL, 0, "PREAUTH: too late for STARTTLS");
	words_keep(&t->words, &said);
	return imap_send(t, "CAPABILITY", IMAP_CAPABILITY, out);
}

static enum probe_step imap_untagged(struct imap_talk *t, const struct line *text, struct buf *out,
				     struct verdict *v)
{
	struct line words = *text;
	enum imap_status status = imap_status(text, &words);

	if (imap_leaving(status, &words))
		return probe_end_words(v, VERDICT_LEAVING, 0, text->text, text->len);
	if (t->at == IMAP_GREETING) {
		if (status == IMAP_OK || status == IMAP_PREAUTH)
			return imap_greeting(t, status, &words, out, v);
		return probe_end(v, VERDICT_GARBLED, 0, "not IMAP: * %.*s", (int)text->len,
				 text->text);
	}
	if (line_word(text, "CAPABILITY", &words)) {
		t->listed = true;
		t->offered = line_has(&words, "STARTTLS");
	}
	return PROBE_MORE;
}

static enum probe_step imap_tagged(struct imap_talk *t, const struct line *text, struct buf *out,
				   struct verdict *v)
{
	struct line words = *text;
	enum imap_status status = imap_status(text, &words);

	if (imap_leaving(status, &words))
		return probe_end_words(v, VERDICT_LEAVING, 0, text->text, text->len);
	if (status != IMAP_OK)
		return probe_end_words(v, VERDICT_FAIL, 0, text->text, text->len);
	if (t->at == IMAP_STARTTLS)
		return PROBE_START_TLS;
	if (!t->listed)
		return probe_end(v, VERDICT_GARBLED, 0, "no list in the answer to CAPABILITY");
	if (t->at == IMAP_CAPABILITY && t->starttls) {
		if (!t->offered)
			return probe_end(v, VERDICT_FAIL, 0, "STARTTLS is not offered");
		return imap_send(t, "STARTTLS", IMAP_STARTTLS, out);
	}
	return probe_end_words(v, VERDICT_PASS, 0, t->words.text, t->words.len);
}

static enum probe_step imap_line(void *talk, const void *conf, const struct line *line,
				 struct buf *out, struct verdict *v)
{
	struct imap_talk *t = talk;
	struct line text;
	char tag[16];

	(void)conf;
	if (line_word(line, "*", &text))
		return imap_untagged(t, &text, out, v);
	snprintf(tag, sizeof(tag), "a%d", t->tag);
	if (t->at != IMAP_GREETING && line_word(line, tag, &text))
		return imap_tagged(t, &text, out, v);
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
	(void)conf;
	(void)v;
	return imap_send(talk, "CAPABILITY", IMAP_CAPABILITY_TLS, out);
}

static const char *imap_waiting(const void *talk)
{
	static const char *const names[] = {
		[IMAP_GREETING] = "greeting",
		[IMAP_CAPABILITY] = "answer to CAPABILITY",
		[IMAP_STARTTLS] = "answer to STARTTLS",
		[IMAP_CAPABILITY_TLS] = "answer to CAPABILITY under TLS",
	};

	return names[((const struct imap_talk *)talk)->at];
}

const struct probe_ops probe_imap = {
	.schema = {.name = "imap",
		   .keys = imap_keys,
		   .conf_size = sizeof(struct imap_conf),
		   .can_tls = true,
		   .can_starttls = true},
	.talk_size = sizeof(struct imap_talk),
	.start = imap_start,
	.feed = imap_feed,
	.secured = imap_secured,
	.waiting = imap_waiting,
	.bye = "a9 LOGOUT\r\n",
};
