/* SPDX-License-Identifier: BSD-2-Clause */
/* probe_pop3.c: POP3 greeting and CAPA (RFC 1939 4, RFC 2449 5), STLS (RFC 2595 4).
 *
 * Passes when the server greets with +OK and answers CAPA: with its list, or with -ERR when it is
 * older than that command. [SYS/TEMP] (RFC 3206) and [IN-USE] mean that it asks for no more work.
 */
#include "healthcheck/line.h"

enum pop3_at { POP3_GREETING, POP3_STLS, POP3_CAPA, POP3_LIST };

struct pop3_conf {
	struct probe_common common;
};

struct pop3_talk {
	struct line_count count;
	enum pop3_at at;
	bool starttls;	    /* wanted */
	struct words words; /* of the greeting */
};

static const struct config_key pop3_keys[] = {
	PROBE_KEY_SNI(struct pop3_conf),
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

static enum probe_step pop3_good(struct pop3_talk *t, const struct line *text, struct buf *out)
{
	switch (t->at) {
	case POP3_GREETING:
		words_keep(&t->words, text);
		if (t->starttls)
			return pop3_send(t, "STLS", POP3_STLS, out);
		return pop3_send(t, "CAPA", POP3_CAPA, out);
	case POP3_STLS:
		return PROBE_START_TLS;
	case POP3_CAPA:
	case POP3_LIST:
		t->at = POP3_LIST;
		break;
	}
	return PROBE_MORE;
}

static enum probe_step pop3_bad(const struct pop3_talk *t, const struct line *text,
				struct verdict *v)
{
	bool leaving = line_starts(text, "[SYS/TEMP]") || line_starts(text, "[IN-USE]");

	if (t->at == POP3_CAPA && !leaving)
		return pop3_pass(t, v);
	return probe_end_words(v, leaving ? VERDICT_LEAVING : VERDICT_FAIL, 0, text->text,
			       text->len);
}

static enum probe_step pop3_line(void *talk, const void *conf, const struct line *line,
				 struct buf *out, struct verdict *v)
{
	struct pop3_talk *t = talk;
	struct line text;

	(void)conf;
	if (t->at == POP3_LIST)
		return line->len == 1 && line->text[0] == '.' ? pop3_pass(t, v) : PROBE_MORE;
	if (line_word(line, "+OK", &text))
		return pop3_good(t, &text, out);
	if (line_word(line, "-ERR", &text))
		return pop3_bad(t, &text, v);
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
		[POP3_GREETING] = "greeting",
		[POP3_STLS] = "answer to STLS",
		[POP3_CAPA] = "answer to CAPA",
		[POP3_LIST] = "end of the answer to CAPA",
	};

	return names[((const struct pop3_talk *)talk)->at];
}

const struct probe_ops probe_pop3 = {
	.schema = {.name = "pop3",
		   .keys = pop3_keys,
		   .conf_size = sizeof(struct pop3_conf),
		   .can_tls = true,
		   .can_starttls = true},
	.talk_size = sizeof(struct pop3_talk),
	.start = pop3_start,
	.feed = pop3_feed,
	.secured = pop3_secured,
	.waiting = pop3_waiting,
	.bye = "QUIT\r\n",
};
