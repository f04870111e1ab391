/* SPDX-License-Identifier: BSD-2-Clause */
/* probe_http.c: one HTTP/1.1 request, its status and, if asked for, its body (RFC 9110, RFC 9112).
 *
 * Passes when the status is in the expected list and the body matches. 503 with Retry-After
 * (RFC 9110 10.2.3) means that the server asks for no more work: leaving. A body is read whole, by
 * its length, in chunks or to the end of the connection, but only HTTP_BODY_BYTES of it are looked
 * at.
 */
#include <ctype.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "healthcheck/line.h"
#include "healthcheck/match.h"

/* regexec() may take time in proportion to the square of the body: 30 ms for this much. */
enum { HTTP_BODY_BYTES = 4096, HTTP_LENGTH_DIGITS = 15 };

enum http_at { HTTP_STATUS, HTTP_HEADER, HTTP_BODY, HTTP_CHUNK_SIZE, HTTP_CHUNK, HTTP_CHUNK_END };

struct http_conf {
	struct probe_common common;
	char method[8];
	char path[256];
	char host[256];
	char status[64]; /* "200-399,401" */
	char body[128];	 /* extended regular expression; "" = any body */
};

struct http_talk {
	struct line_count count;
	enum http_at at;
	int code;
	bool chunked, sized, retry_after;
	uint64_t left; /* bytes of the body, when sized, or of the chunk */
	struct words words;
	size_t body_len;
	char body[HTTP_BODY_BYTES + 1]; /* always ends with a NUL */
};

/* ---- the settings ---- */

/* The next range of the list at *list: false when it is none. Moves *list to the next or to "". */
static bool status_range(const char **list, int *ret_from, int *ret_to)
{
	int n = 0;

	if (sscanf(*list, "%3d-%3d%n", ret_from, ret_to, &n) < 2 || n == 0) {
		n = 0;
		if (sscanf(*list, "%3d%n", ret_from, &n) < 1)
			return false;
		*ret_to = *ret_from;
	}
	if (!isdigit((unsigned char)**list) || *ret_from < 100 || *ret_to > 599 ||
	    *ret_to < *ret_from || ((*list)[n] != '\0' && (*list)[n] != ','))
		return false;
	*list += n;
	if (**list == ',')
		(*list)++;
	return true;
}

static const char *check_status(const char *value)
{
	const char *list = value;
	int from, to;

	do {
		if (!status_range(&list, &from, &to))
			return "is no list of codes; expected: one such as \"200-399,401\"";
	} while (*list);
	return NULL;
}

static bool status_expected(const char *list, int code)
{
	int from, to;

	while (*list && status_range(&list, &from, &to)) {
		if (code >= from && code <= to)
			return true;
	}
	return false;
}

static const char *check_method(const char *value)
{
	return strcmp(value, "GET") == 0 || strcmp(value, "HEAD") == 0
		       ? NULL
		       : "is not known; expected: \"GET\" or \"HEAD\"";
}

static const char *check_path(const char *value)
{
	for (const char *c = value; *c; c++) {
		if (*c <= 0x20 || *c >= 0x7f)
			return "has a character that no path has; expected: printable ASCII without spaces";
	}
	return value[0] == '/' ? NULL : "is no path; expected: one that begins with \"/\"";
}

static const char *http_check(const struct config_probe *probe)
{
	const struct http_conf *c = (const void *)probe->conf;

	return c->body[0] && strcmp(c->method, "HEAD") == 0
		       ? "has \"body\", and a method whose answer has none; expected: method = \"GET\""
		       : NULL;
}

static const struct http_conf http_defaults = {
	.method = "GET", .path = "/", .host = "localhost", .status = "200-399"};

static const struct config_key http_keys[] = {
	PROBE_KEY_SNI(struct http_conf),
	PROBE_KEY("method", struct http_conf, method, check_method),
	PROBE_KEY("path", struct http_conf, path, check_path),
	PROBE_KEY("host", struct http_conf, host, probe_check_host),
	PROBE_KEY("status", struct http_conf, status, check_status),
	PROBE_KEY("body", struct http_conf, body, match_check),
	{0},
};

/* ---- the conversation ---- */

static enum probe_step http_start(void *talk, const void *conf, enum config_tls tls,
				  struct buf *out, struct verdict *v)
{
	const struct http_conf *c = conf;

	(void)talk;
	(void)tls;
	(void)v;
	buf_print(out,
		  "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: sluice/" SLUICE_VERSION
		  "\r\nAccept: */*\r\nConnection: close\r\n\r\n",
		  c->method, c->path, c->host);
	return PROBE_MORE;
}

static enum probe_step http_pass(const struct http_talk *t, struct verdict *v)
{
	return probe_end_words(v, VERDICT_PASS, t->code, t->words.text, t->words.len);
}

/* The body is here, or as much of it as is looked at. */
static enum probe_step body_judge(struct http_talk *t, const struct http_conf *conf,
				  struct verdict *v)
{
	regmatch_t range = {.rm_so = 0, .rm_eo = (regoff_t)t->body_len};
	regex_t regex;
	int r;

	r = regcomp(&regex, conf->body, REG_EXTENDED | REG_NOSUB);
	if (r != 0)
		return probe_end(v, VERDICT_UNABLE, t->code, "no memory to match the body");
	r = regexec(&regex, t->body, 1, &range, REG_STARTEND);
	regfree(&regex);
	if (r == REG_ESPACE)
		return probe_end(v, VERDICT_UNABLE, t->code, "no memory to match the body");
	if (r != 0)
		return probe_end(v, VERDICT_FAIL, t->code, "the body does not match: %.*s",
				 (int)t->body_len, t->body);
	return http_pass(t, v);
}

static enum probe_step status_line(struct http_talk *t, const struct line *line, struct verdict *v)
{
	const char *c = line->text;

	if (line->len < 12 || strncmp(c, "HTTP/1.", 7) != 0 || !isdigit((unsigned char)c[7]) ||
	    c[8] != ' ' || c[9] < '1' || c[9] > '5' || !isdigit((unsigned char)c[10]) ||
	    !isdigit((unsigned char)c[11]) || (line->len > 12 && c[12] != ' '))
		return probe_end(v, VERDICT_GARBLED, 0, "not HTTP: %.*s", (int)line->len, c);
	t->code = (c[9] - '0') * 100 + (c[10] - '0') * 10 + (c[11] - '0');
	struct line reason = line_rest(line, 12);

	words_keep(&t->words, &reason);
	t->at = HTTP_HEADER;
	return PROBE_MORE;
}

/* A number of at most HTTP_LENGTH_DIGITS digits and nothing else; false = it is not one. */
static bool length_parse(const struct line *text, uint64_t *ret_length)
{
	uint64_t length = 0;

	if (text->len == 0 || text->len > HTTP_LENGTH_DIGITS)
		return false;
	for (size_t i = 0; i < text->len; i++) {
		if (!isdigit((unsigned char)text->text[i]))
			return false;
		length = length * 10 + (uint64_t)(text->text[i] - '0');
	}
	*ret_length = length;
	return true;
}

/* header_is: the field is @name; its value. */
static bool header_is(const struct line *line, const char *name, struct line *ret_value)
{
	size_t n = strlen(name);

	if (!line_starts(line, name) || line->len == n || line->text[n] != ':')
		return false;
	*ret_value = line_rest(line, n + 1);
	while (ret_value->len > 0 && isspace((unsigned char)ret_value->text[ret_value->len - 1]))
		ret_value->len--;
	return true;
}

static enum probe_step header_line(struct http_talk *t, const struct line *line, struct verdict *v)
{
	struct line value;
	uint64_t length;

	if (header_is(line, "Content-Length", &value)) {
		if (!length_parse(&value, &length) || (t->sized && length != t->left))
			return probe_end(v, VERDICT_GARBLED, t->code, "Content-Length: %.*s",
					 (int)value.len, value.text);
		t->sized = true;
		t->left = length;
	} else if (header_is(line, "Transfer-Encoding", &value)) {
		if (value.len != 7 || !line_starts(&value, "chunked"))
			return probe_end(v, VERDICT_GARBLED, t->code, "Transfer-Encoding: %.*s",
					 (int)value.len, value.text);
		t->chunked = true;
	} else if (header_is(line, "Retry-After", &value)) {
		t->retry_after = true;
	}
	return PROBE_MORE;
}

/* The empty line after the headers. */
static enum probe_step headers_end(struct http_talk *t, const struct http_conf *conf,
				   struct verdict *v)
{
	if (t->code / 100 == 1 && t->code != 101) { /* interim: the answer is still to come */
		t->at = HTTP_STATUS;
		t->chunked = t->sized = t->retry_after = false;
		return PROBE_MORE;
	}
	if (!status_expected(conf->status, t->code)) {
		bool leaving = t->code == 503 && t->retry_after;

		return probe_end_words(v, leaving ? VERDICT_LEAVING : VERDICT_FAIL, t->code,
				       t->words.text, t->words.len);
	}
	if (!conf->body[0])
		return http_pass(t, v);
	if (strcmp(conf->method, "HEAD") == 0 || t->code == 204 || t->code == 304)
		return body_judge(t, conf, v);
	t->at = t->chunked ? HTTP_CHUNK_SIZE : HTTP_BODY;
	if (!t->chunked && t->sized && t->left == 0)
		return body_judge(t, conf, v);
	return PROBE_MORE;
}

static enum probe_step chunk_size_line(struct http_talk *t, const struct http_conf *conf,
				       const struct line *line, struct verdict *v)
{
	uint64_t size = 0;
	size_t n = 0;

	for (; n < line->len && n < 12 && isxdigit((unsigned char)line->text[n]); n++) {
		char digit[2] = {line->text[n], '\0'};

		size = size * 16 + strtoul(digit, NULL, 16);
	}
	if (n == 0 || (n < line->len && !strchr("; \t", line->text[n])))
		return probe_end(v, VERDICT_GARBLED, t->code, "not the size of a chunk: %.*s",
				 (int)line->len, line->text);
	if (size == 0)
		return body_judge(t, conf, v);
	t->left = size;
	t->at = HTTP_CHUNK;
	t->count = (struct line_count){0}; /* from here the body's size is the limit */
	return PROBE_MORE;
}

static enum probe_step http_line(void *talk, const void *conf, const struct line *line,
				 struct buf *out, struct verdict *v)
{
	struct http_talk *t = talk;

	(void)out;
	switch (t->at) {
	case HTTP_STATUS:
		return status_line(t, line, v);
	case HTTP_HEADER:
		if (line->len == 0)
			return headers_end(t, conf, v);
		return header_line(t, line, v);
	case HTTP_CHUNK_END:
		if (line->len != 0)
			return probe_end(v, VERDICT_GARBLED, t->code, "a chunk has no end");
		t->at = HTTP_CHUNK_SIZE;
		return PROBE_MORE;
	default:
		return chunk_size_line(t, conf, line, v);
	}
}

/* Bytes of the body, or of a chunk of it. */
static enum probe_step body_feed(struct http_talk *t, const struct http_conf *conf, struct buf *in,
				 struct verdict *v)
{
	bool counted = t->at == HTTP_CHUNK || t->sized;
	size_t n = buf_len(in);

	if (counted && n > t->left)
		n = (size_t)t->left;
	if (n > HTTP_BODY_BYTES - t->body_len)
		n = HTTP_BODY_BYTES - t->body_len;
	memcpy(t->body + t->body_len, buf_head(in), n);
	t->body_len += n;
	buf_drop(in, n);
	if (counted)
		t->left -= n;
	if (t->body_len == HTTP_BODY_BYTES)
		return body_judge(t, conf, v);
	if (!counted || t->left > 0)
		return PROBE_MORE;
	if (t->at == HTTP_BODY)
		return body_judge(t, conf, v);
	t->at = HTTP_CHUNK_END;
	return PROBE_MORE;
}

static enum probe_step http_feed(void *talk, const void *conf, struct buf *in, struct buf *out,
				 struct verdict *v)
{
	struct http_talk *t = talk;
	enum probe_step step = PROBE_MORE;

	while (step == PROBE_MORE) {
		if (t->at == HTTP_BODY || t->at == HTTP_CHUNK) {
			if (buf_len(in) == 0)
				return PROBE_MORE;
			step = body_feed(t, conf, in, v);
			continue;
		}
		struct line line;
		int r = line_next(&t->count, in, &line, v);

		if (r < 0)
			return PROBE_DONE;
		if (r == 0)
			return PROBE_MORE;
		step = http_line(t, conf, &line, out, v);
	}
	return step;
}

static enum probe_step http_closed(void *talk, const void *conf, struct verdict *v)
{
	struct http_talk *t = talk;

	if (t->at == HTTP_BODY && !t->sized)
		return body_judge(t, conf, v);
	return PROBE_MORE;
}

static const char *http_waiting(const void *talk)
{
	static const char *const names[] = {
		[HTTP_STATUS] = "answer",	  [HTTP_HEADER] = "end of the headers",
		[HTTP_BODY] = "end of the body",  [HTTP_CHUNK_SIZE] = "end of the body",
		[HTTP_CHUNK] = "end of the body", [HTTP_CHUNK_END] = "end of the body",
	};

	return names[((const struct http_talk *)talk)->at];
}

const struct probe_ops probe_http = {
	.schema = {.name = "http",
		   .keys = http_keys,
		   .defaults = &http_defaults,
		   .conf_size = sizeof(struct http_conf),
		   .can_tls = true,
		   .check = http_check},
	.opening = OPENING_OURS,
	.talk_size = sizeof(struct http_talk),
	.start = http_start,
	.feed = http_feed,
	.closed = http_closed,
	.waiting = http_waiting,
};
