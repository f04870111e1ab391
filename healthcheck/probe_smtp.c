/* SPDX-License-Identifier: BSD-2-Clause */
/* probe_smtp.c: SMTP greeting and EHLO (RFC 5321 3.1, 4.2), STARTTLS (RFC 3207).
 *
 * Passes when the server greets with 2xx and answers EHLO with 2xx; with STARTTLS, when it offers
 * that, and answers EHLO with 2xx under TLS. 4xx to either of them (421 "shutting down", "too many
 * connections") means that it asks for no more work: leaving.
 */
#include "healthcheck/line.h"

enum smtp_at { SMTP_GREETING, SMTP_EHLO, SMTP_STARTTLS, SMTP_EHLO_TLS };

struct smtp_conf {
	struct probe_common common;
	char helo[256];
};

struct smtp_talk {
	struct line_count count;
	enum smtp_at at;
	bool starttls;	    /* wanted */
	bool offered;	    /* by the server */
	int code;	    /* of the reply that has begun; 0 = none */
	int greeting;	    /* its code */
	struct words words; /* of the greeting */
};

/* A name that cannot be anybody's (RFC 6761 6.4): servers log it. */
static const struct smtp_conf smtp_defaults = {.helo = "sluice.invalid"};

static const struct config_key smtp_keys[] = {
	PROBE_KEY_SNI(struct smtp_conf),
	PROBE_KEY("helo", struct smtp_conf, helo, probe_check_host),
	{0},
};

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

static enum probe_step ehlo_send(struct smtp_talk *t, const struct smtp_conf *conf, enum smtp_at at,
				 struct buf *out)
{
	buf_print(out, "EHLO %s\r\n", conf->helo);
	t->at = at;
	return PROBE_MORE;
}

static enum probe_step smtp_refused(const struct smtp_talk *t, const struct reply *reply,
				    struct verdict *v)
{
	bool leaving = reply->code / 100 == 4 && t->at != SMTP_STARTTLS;

	return probe_end_words(v, leaving ? VERDICT_LEAVING : VERDICT_FAIL, reply->code,
			       reply->text.text, reply->text.len);
}

/* A whole reply is here; @reply is its last line. */
static enum probe_step smtp_reply(struct smtp_talk *t, const struct smtp_conf *conf,
				  const struct reply *reply, struct buf *out, struct verdict *v)
{
	if (reply->code / 100 != 2)
		return smtp_refused(t, reply, v);
	switch (t->at) {
	case SMTP_GREETING:
		t->greeting = reply->code;
		words_keep(&t->words, &reply->text);
		return ehlo_send(t, conf, SMTP_EHLO, out);
	case SMTP_EHLO:
		if (!t->starttls)
			break;
		if (!t->offered)
			return probe_end(v, VERDICT_FAIL, reply->code, "STARTTLS is not offered");
		buf_print(out, "STARTTLS\r\n");
		t->at = SMTP_STARTTLS;
		return PROBE_MORE;
	case SMTP_STARTTLS:
		return PROBE_START_TLS;
	case SMTP_EHLO_TLS:
		break;
	}
	return probe_end_words(v, VERDICT_PASS, t->greeting, t->words.text, t->words.len);
}

static enum probe_step smtp_line(void *talk, const void *conf, const struct line *line,
				 struct buf *out, struct verdict *v)
{
	struct smtp_talk *t = talk;
	struct reply reply;

	if (!reply_parse(line, &reply))
		return probe_end(v, VERDICT_GARBLED, 0, "not SMTP: %.*s", (int)line->len,
				 line->text);
	if (t->code != 0 && reply.code != t->code)
		return probe_end(v, VERDICT_GARBLED, reply.code,
				 "a reply that begins with %d goes on with %d", t->code,
				 reply.code);
	t->code = reply.last ? 0 : reply.code;
	if (t->at == SMTP_EHLO && line_has(&reply.text, "STARTTLS"))
		t->offered = true;
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
	return ehlo_send(talk, conf, SMTP_EHLO_TLS, out);
}

static const char *smtp_waiting(const void *talk)
{
	static const char *const names[] = {
		[SMTP_GREETING] = "greeting",
		[SMTP_EHLO] = "answer to EHLO",
		[SMTP_STARTTLS] = "answer to STARTTLS",
		[SMTP_EHLO_TLS] = "answer to EHLO under TLS",
	};

	return names[((const struct smtp_talk *)talk)->at];
}

const struct probe_ops probe_smtp = {
	.schema = {.name = "smtp",
		   .keys = smtp_keys,
		   .defaults = &smtp_defaults,
		   .conf_size = sizeof(struct smtp_conf),
		   .can_tls = true,
		   .can_starttls = true},
	.talk_size = sizeof(struct smtp_talk),
	.start = smtp_start,
	.feed = smtp_feed,
	.secured = smtp_secured,
	.waiting = smtp_waiting,
	.bye = "QUIT\r\n",
};
