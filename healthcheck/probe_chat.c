/* SPDX-License-Identifier: BSD-2-Clause */
/* probe_chat.c: the operator's own dialogue of lines, for protocols that have no probe here.
 *
 * The dialogue is a list of steps: "expect REGEX" waits for a line that matches, and skips those
 * that do not, within the limits of line.h and the probe's timeout; "send LINE" sends it with CR
 * LF; "starttls" makes the handshake. Passes when every step is done; what it was waiting for when
 * it was not is said in the verdict.
 */
#include <stdio.h>
#include <string.h>

#include "healthcheck/line.h"
#include "healthcheck/match.h"

struct chat_conf {
	struct probe_common common;
	char dialogue[CONFIG_LIST_SIZE]; /* KEY_LIST */
};

struct chat_talk {
	struct line_count count;
	size_t at; /* the step, in the list */
	struct words words;
	char waiting[96]; /* for what, in words */
};

static const char expect_word[] = "expect ", send_word[] = "send ", starttls_word[] = "starttls";

/* The step's argument when it begins with @word, else NULL. */
static const char *step_is(const char *step, const char *word)
{
	size_t n = strlen(word);

	return strncmp(step, word, n) == 0 ? step + n : NULL;
}

static bool is_starttls(const char *step)
{
	return strcmp(step, starttls_word) == 0;
}

static const char *check_send(const char *line)
{
	for (; *line; line++) {
		if (*line == '\r' || *line == '\n')
			return "has a line to send with a line break; expected: one \"send\" for each line";
	}
	return NULL;
}

static const char *check_dialogue(const char *value)
{
	const char *argument, *wrong = NULL;
	bool answered = false; /* the step before expects something */
	int n_tls = 0;

	for (const char *step = value; !wrong && *step; step += strlen(step) + 1) {
		if ((argument = step_is(step, expect_word)))
			wrong = match_check(argument);
		else if ((argument = step_is(step, send_word)))
			wrong = check_send(argument);
		else if (!is_starttls(step))
			wrong = "has a step that is none; expected: \"expect REGEX\", \"send LINE\", or \"starttls\"";
		else if (!answered || n_tls++ > 0)
			wrong = "has \"starttls\" twice, or not behind an \"expect\"; expected: once, behind the server's go-ahead";
		answered = step_is(step, expect_word);
	}
	return wrong;
}

static const char *chat_check(const struct config_probe *probe)
{
	const struct chat_conf *conf = (const void *)probe->conf;
	bool found = false;

	for (const char *step = conf->dialogue; *step; step += strlen(step) + 1)
		found = found || is_starttls(step);
	if (found != (probe->tls == TLS_STARTTLS))
		return "has \"starttls\" either in its dialogue or as its tls; expected: both, or neither";
	return NULL;
}

static const struct config_key chat_keys[] = {
	PROBE_KEY_SNI(struct chat_conf),
	{.name = "dialogue",
	 .type = KEY_LIST,
	 .offset = offsetof(struct chat_conf, dialogue),
	 .size = CONFIG_LIST_SIZE,
	 .required = true,
	 .check = check_dialogue},
	{0},
};

/* chat_go_on: from step t->at to one that has to wait. */
static enum probe_step chat_go_on(struct chat_talk *t, const struct chat_conf *conf,
				  struct buf *out, struct verdict *v)
{
	const char *step, *argument;

	for (; *(step = conf->dialogue + t->at); t->at += strlen(step) + 1) {
		if ((argument = step_is(step, expect_word))) {
			snprintf(t->waiting, sizeof(t->waiting), "line that matches \"%s\"",
				 argument);
			return PROBE_MORE;
		}
		if ((argument = step_is(step, send_word))) {
			buf_print(out, "%s\r\n", argument);
			continue;
		}
		t->at += strlen(step) + 1;
		return PROBE_START_TLS;
	}
	return probe_end_words(v, VERDICT_PASS, 0, t->words.text, t->words.len);
}

static enum probe_step chat_start(void *talk, const void *conf, enum config_tls tls,
				  struct buf *out, struct verdict *v)
{
	(void)tls;
	return chat_go_on(talk, conf, out, v);
}

static enum probe_step chat_line(void *talk, const void *conf, const struct line *line,
				 struct buf *out, struct verdict *v)
{
	const struct chat_conf *c = conf;
	struct chat_talk *t = talk;
	const char *step = c->dialogue + t->at;
	int r = match_line(step + strlen(expect_word), line);

	if (r < 0)
		return probe_end(v, VERDICT_UNABLE, 0, "no memory to match a line");
	if (r == 0)
		return PROBE_MORE;
	words_keep(&t->words, line);
	t->at += strlen(step) + 1;
	return chat_go_on(t, c, out, v);
}

static enum probe_step chat_feed(void *talk, const void *conf, struct buf *in, struct buf *out,
				 struct verdict *v)
{
	struct chat_talk *t = talk;

	return lines_feed(&t->count, chat_line, t, conf, in, out, v);
}

static enum probe_step chat_secured(void *talk, const void *conf, struct buf *out,
				    struct verdict *v)
{
	return chat_go_on(talk, conf, out, v);
}

static const char *chat_waiting(const void *talk)
{
	return ((const struct chat_talk *)talk)->waiting;
}

const struct probe_ops probe_chat = {
	.schema = {.name = "chat",
		   .keys = chat_keys,
		   .conf_size = sizeof(struct chat_conf),
		   .can_tls = true,
		   .can_starttls = true,
		   .check = chat_check},
	.talk_size = sizeof(struct chat_talk),
	.start = chat_start,
	.feed = chat_feed,
	.secured = chat_secured,
	.waiting = chat_waiting,
};
