/* SPDX-License-Identifier: BSD-2-Clause */
/* line.c: see line.h. */
#include "healthcheck/line.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

static int line_refuse(struct verdict *v, const char *why)
{
	probe_end(v, VERDICT_GARBLED, 0, "%s", why);
	return -EBADMSG;
}

int line_next(struct line_count *count, struct buf *in, struct line *ret_line, struct verdict *v)
{
	const char *head = buf_head(in);
	const char *end = memchr(head, '\n', buf_len(in));
	size_t len = end ? (size_t)(end - head) : buf_len(in);

	if (memchr(head, '\0', len))
		return line_refuse(v, "a NUL byte in a line");
	if (!end) {
		if (len >= in->size)
			return line_refuse(v, "an endless line");
		return 0;
	}
	count->lines++;
	count->bytes += (uint32_t)len + 1;
	if (count->lines > PROBE_LINES || count->bytes > PROBE_TOTAL_BYTES)
		return line_refuse(v, "an endless answer");
	buf_drop(in, len + 1);
	if (len > 0 && head[len - 1] == '\r')
		len--;
	*ret_line = (struct line){.text = head, .len = len};
	return 1;
}

enum probe_step lines_feed(struct line_count *count, line_fn *on_line, void *talk, const void *conf,
			   struct buf *in, struct buf *out, struct verdict *v)
{
	enum probe_step step = PROBE_MORE;

	while (step == PROBE_MORE) {
		struct line line;
		int r = line_next(count, in, &line, v);

		if (r < 0)
			return PROBE_DONE;
		if (r == 0)
			return PROBE_MORE;
		step = on_line(talk, conf, &line, out, v);
	}
	if (step == PROBE_START_TLS && buf_len(in) > 0)
		return probe_end(v, VERDICT_GARBLED, 0,
				 "plain text after the go-ahead for TLS: someone may inject it");
	return step;
}

bool line_starts(const struct line *line, const char *prefix)
{
	size_t n = strlen(prefix);

	return line->len >= n && strncasecmp(line->text, prefix, n) == 0;
}

static bool is_edge(char c)
{
	return c == ' ' || c == '[' || c == ']';
}

bool line_has(const struct line *line, const char *word)
{
	size_t n = strlen(word);

	for (size_t at = 0; at + n <= line->len; at++) {
		if (strncasecmp(line->text + at, word, n) == 0 &&
		    (at == 0 || is_edge(line->text[at - 1])) &&
		    (at + n == line->len || is_edge(line->text[at + n])))
			return true;
	}
	return false;
}

struct line line_rest(const struct line *line, size_t n)
{
	while (n < line->len && line->text[n] == ' ')
		n++;
	return (struct line){.text = line->text + n, .len = line->len - n};
}

bool line_word(const struct line *line, const char *word, struct line *ret_rest)
{
	size_t n = strlen(word);

	if (!line_starts(line, word) || (line->len > n && line->text[n] != ' '))
		return false;
	*ret_rest = line_rest(line, n);
	return true;
}

/* The number of "... {n}" or "... {n+}" at the end of the line; false = there is none. */
static bool literal_parse(const char *text, size_t len, uint32_t *ret_bytes)
{
	uint32_t n = 0, digit = 1;
	size_t at = len;

	if (at < 3 || text[--at] != '}')
		return false;
	if (text[at - 1] == '+')
		at--;
	len = at;
	for (; at > 0 && isdigit((unsigned char)text[at - 1]) && len - at < 9; at--) {
		n += digit * (uint32_t)(text[at - 1] - '0');
		digit *= 10;
	}
	if (at == len || at == 0 || text[at - 1] != '{')
		return false;
	*ret_bytes = n;
	return true;
}

bool literal_skip(struct literal *literal, const struct line_count *count, const struct line *line)
{
	uint32_t took = count->bytes - literal->seen;
	size_t from = 0;
	bool inside = literal->open;

	literal->seen = count->bytes;
	if (inside && took <= literal->left) {
		literal->left -= took;
		return true;
	}
	if (inside)
		from = literal->left < line->len ? literal->left : line->len;
	literal->open = literal_parse(line->text + from, line->len - from, &literal->left);
	return inside;
}

void words_keep(struct words *words, const struct line *line)
{
	words->len = line->len < sizeof(words->text) ? line->len : sizeof(words->text);
	memcpy(words->text, line->text, words->len);
}

bool reply_parse(const struct line *line, struct reply *ret_reply)
{
	const char *c = line->text;

	if (line->len < 3 || c[0] < '2' || c[0] > '5' || !isdigit((unsigned char)c[1]) ||
	    !isdigit((unsigned char)c[2]))
		return false;
	if (line->len > 3 && c[3] != ' ' && c[3] != '-')
		return false;
	ret_reply->code = (c[0] - '0') * 100 + (c[1] - '0') * 10 + (c[2] - '0');
	ret_reply->last = line->len == 3 || c[3] == ' ';
	ret_reply->text = line_rest(line, line->len > 3 ? 4 : 3);
	return true;
}
