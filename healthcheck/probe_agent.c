/* SPDX-License-Identifier: BSD-2-Clause */
/* probe_agent.c: one line from an agent on the backend, which says how the backend is.
 *
 * What HAProxy's agent-check understands is understood here: words between spaces, tabs or commas,
 * in any order and case, up to the end of the line or of the connection:
 *
 *	up, ready			pass
 *	drain, maint			leaving: no new connections, the established ones stay
 *	down, fail, stopped		fail
 *	75%				its part of the configured weight; 0% is drain
 *	maxconn:30			is skipped: limits are in sluice.conf
 *
 * Of several the worst counts. The first word that is none of them, or one with '#', begins the
 * reason, which is what the verdict says.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "healthcheck/line.h"

enum { AGENT_BYTES = 512 }; /* of the line */

struct agent_conf {
	struct probe_common common;
	char send[128]; /* sent first, with CR LF; "" = nothing */
};

struct agent_talk {
	size_t len;
	char text[AGENT_BYTES];
};

/* What was understood so far. */
struct agent_said {
	bool anything;
	enum verdict_word word;
	uint8_t weight;
};

static const char *check_line(const char *value)
{
	for (const char *c = value; *c; c++) {
		if (*c < 0x20 || *c >= 0x7f)
			return "is no line; expected: printable ASCII, without its end";
	}
	return NULL;
}

static const struct config_key agent_keys[] = {
	PROBE_KEY_SNI(struct agent_conf),
	PROBE_KEY("send", struct agent_conf, send, check_line),
	{0},
};

static enum probe_step agent_start(void *talk, const void *conf, enum config_tls tls,
				   struct buf *out, struct verdict *v)
{
	const struct agent_conf *c = conf;

	(void)talk;
	(void)tls;
	(void)v;
	if (c->send[0])
		buf_print(out, "%s\r\n", c->send);
	return PROBE_MORE;
}

static bool is_gap(char c)
{
	return c == ' ' || c == '\t' || c == ',';
}

/* "75%": the number, at most 100; -1 = it is none. */
static int percent_parse(const struct line *word)
{
	int n = 0;

	if (word->len < 2 || word->len > 7 || word->text[word->len - 1] != '%')
		return -1;
	for (size_t i = 0; i + 1 < word->len; i++) {
		if (!isdigit((unsigned char)word->text[i]))
			return -1;
		n = n * 10 + (word->text[i] - '0');
	}
	return n < 100 ? n : 100;
}

static void word_take(struct agent_said *said, enum verdict_word word)
{
	if (said->word == VERDICT_FAIL || (said->word == VERDICT_LEAVING && word == VERDICT_PASS))
		return;
	said->word = word;
}

/* word_parse: false: it is no word of an agent's. */
static bool word_parse(struct agent_said *said, const struct line *word)
{
	static const struct {
		const char *name;
		enum verdict_word word;
	} words[] = {{"up", VERDICT_PASS},	 {"ready", VERDICT_PASS},
		     {"drain", VERDICT_LEAVING}, {"maint", VERDICT_LEAVING},
		     {"down", VERDICT_FAIL},	 {"fail", VERDICT_FAIL},
		     {"stopped", VERDICT_FAIL}};
	int percent = percent_parse(word);

	if (percent >= 0) {
		said->weight = (uint8_t)percent;
		if (percent == 0)
			word_take(said, VERDICT_LEAVING);
		return true;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strlen(words[i].name) == word->len && line_starts(word, words[i].name)) {
			word_take(said, words[i].word);
			return true;
		}
	}
	return word->len > 8 && line_starts(word, "maxconn:");
}

/* The words of the line into @said; returns the reason, empty when there is none. */
static struct line words_parse(const struct line *line, struct agent_said *said)
{
	size_t at = 0;

	while (at < line->len) {
		struct line word = {.text = line->text + at};

		while (at + word.len < line->len && !is_gap(word.text[word.len]) &&
		       word.text[word.len] != '#')
			word.len++;
		if (word.len > 0 && !word_parse(said, &word))
			break;
		said->anything = said->anything || word.len > 0;
		at += word.len;
		if (at < line->len && line->text[at] == '#')
			return line_rest(line, at + 1);
		at += at < line->len;
	}
	return (struct line){.text = line->text + at, .len = line->len - at};
}

/* The line is here. */
static enum probe_step agent_judge(const struct line *line, struct verdict *v)
{
	struct agent_said said = {.word = VERDICT_PASS, .weight = WEIGHT_UNSAID};
	struct line reason;

	if (memchr(line->text, '\0', line->len))
		return probe_end(v, VERDICT_GARBLED, 0, "a NUL byte in a line");
	reason = words_parse(line, &said);
	if (!said.anything)
		return probe_end(v, VERDICT_GARBLED, 0, "not an agent's word: %.*s", (int)line->len,
				 line->text);
	v->weight = said.weight;
	if (reason.len == 0)
		reason = *line;
	return probe_end_words(v, said.word, 0, reason.text, reason.len);
}

/* Kept here and not in @in: the connection's end, which is told without it, may be the line's. */
static enum probe_step agent_feed(void *talk, const void *conf, struct buf *in, struct buf *out,
				  struct verdict *v)
{
	struct agent_talk *t = talk;
	const char *head = buf_head(in), *end = memchr(head, '\n', buf_len(in));
	size_t n = end ? (size_t)(end - head) : buf_len(in);
	struct line line = {.text = t->text};

	(void)conf;
	(void)out;
	if (n > sizeof(t->text) - t->len)
		return probe_end(v, VERDICT_GARBLED, 0, "an endless line");
	memcpy(t->text + t->len, head, n);
	t->len += n;
	buf_drop(in, n);
	if (!end)
		return PROBE_MORE;
	line.len = t->len;
	if (line.len > 0 && line.text[line.len - 1] == '\r')
		line.len--;
	return agent_judge(&line, v);
}

static enum probe_step agent_closed(void *talk, const void *conf, struct verdict *v)
{
	const struct agent_talk *t = talk;
	struct line line = {.text = t->text, .len = t->len};

	(void)conf;
	return t->len > 0 ? agent_judge(&line, v) : PROBE_MORE;
}

static const char *agent_waiting(const void *talk)
{
	(void)talk;
	return "line of the agent";
}

const struct probe_ops probe_agent = {
	.schema = {.name = "agent",
		   .keys = agent_keys,
		   .conf_size = sizeof(struct agent_conf),
		   .can_tls = true},
	.talk_size = sizeof(struct agent_talk),
	.start = agent_start,
	.feed = agent_feed,
	.closed = agent_closed,
	.waiting = agent_waiting,
};
