/* SPDX-License-Identifier: BSD-2-Clause */
/* config_scan.c: what libconfig 1.5 does not tell, found in the text before it is parsed: integers
 * beyond 32 bits (it wraps them), and NULs (it stops). Knows just enough of the syntax: strings,
 * comments and @include.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/config_read.h"

enum { FILE_MOST = 64 << 20, INCLUDE_MOST = 10, INCLUDES_MOST = 1000 };

struct scan {
	struct reader *r;
	const char *folder; /* of the first file: what includes are relative to */
	const char *file;
	const char *at, *end;
	unsigned line;
	unsigned depth;
	unsigned *n_included;
};

static int scan_text_of(struct scan *from, const char *path, const char *name);

/* file_read: the whole file; the caller frees. 0 or -errno. */
static int file_read(const char *path, char **ret_text, size_t *ret_bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	char *text = NULL;
	size_t n = 0;
	int r = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || S_ISDIR(st.st_mode) || !S_ISREG(st.st_mode))
		r = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	else if (st.st_size > FILE_MOST)
		r = -EFBIG;
	else if (!(text = malloc((size_t)st.st_size + 1)))
		r = -ENOMEM;
	while (r == 0 && n < (size_t)st.st_size) {
		ssize_t got = read(fd, text + n, (size_t)st.st_size - n);

		if (got == 0)
			break;
		if (got < 0)
			r = -errno;
		else
			n += (size_t)got;
	}
	close(fd);
	if (r < 0) {
		free(text);
		return r;
	}
	text[n] = '\0';
	*ret_text = text;
	*ret_bytes = n;
	return 0;
}

static void skip_line(struct scan *s)
{
	while (s->at < s->end && *s->at != '\n')
		s->at++;
}

static void skip_comment(struct scan *s)
{
	for (s->at += 2; s->at < s->end; s->at++) {
		if (*s->at == '\n')
			s->line++;
		if (*s->at == '*' && s->at + 1 < s->end && s->at[1] == '/') {
			s->at += 2;
			return;
		}
	}
}

static void skip_string(struct scan *s)
{
	for (s->at++; s->at < s->end && *s->at != '"'; s->at++) {
		if (*s->at == '\n')
			s->line++;
		if (*s->at == '\\' && s->at + 1 < s->end)
			s->at++;
	}
	if (s->at < s->end)
		s->at++;
}

/* An integer literal in [start, at): decimal or 0x, with or without L. */
static void number_check(struct scan *s, const char *start)
{
	char text[40];
	size_t n = (size_t)(s->at - start);
	bool hex = n > 2 && start[0] == '0' && (start[1] == 'x' || start[1] == 'X');
	unsigned long long value;
	char *end;

	if (n < sizeof(text)) {
		memcpy(text, start, n);
		text[n] = '\0';
		errno = 0;
		value = strtoull(text, &end, hex ? 16 : 10);
		while (*end == 'L')
			end++;
		if (*end != '\0' || (!errno && value <= INT32_MAX))
			return;
	}
	mistake_at(s->r, s->file, s->line, "%.*s is beyond 32 bits; expected: an integer up to %d",
		   n < 40 ? (int)n : 40, start, INT32_MAX);
}

static void scan_word(struct scan *s)
{
	const char *start = s->at;

	while (s->at < s->end && (isalnum((unsigned char)*s->at) || strchr("_.-*", *s->at)) &&
	       *s->at)
		s->at++;
	if (isdigit((unsigned char)*start) && !memchr(start, '.', (size_t)(s->at - start)))
		number_check(s, start);
}

static void scan_include(struct scan *s)
{
	char path[4096], included[2048];
	const char *name, *quote;
	unsigned line = s->line;
	int r;

	s->at += strlen("@include");
	while (s->at < s->end && (*s->at == ' ' || *s->at == '\t'))
		s->at++;
	if (s->at >= s->end || *s->at != '"')
		return; /* libconfig tells it better */
	name = s->at + 1;
	quote = memchr(name, '"', (size_t)(s->end - name));
	if (!quote || quote - name > 2000)
		return;
	skip_string(s);
	if (s->depth >= INCLUDE_MOST || ++*s->n_included > INCLUDES_MOST)
		return;
	snprintf(included, sizeof(included), "%.*s", (int)(quote - name), name);
	snprintf(path, sizeof(path), "%s%s%s", *name == '/' ? "" : s->folder,
		 *name == '/' ? "" : "/", included);
	r = scan_text_of(s, path, included);
	if (r < 0)
		mistake_at(s->r, s->file, line,
			   "\"%.200s\" cannot be included: %s; expected: a text file", included,
			   strerror(-r));
	s->r->unreadable = s->r->unreadable || r < 0;
}

static void scan_text(struct scan *s)
{
	while (s->at < s->end) {
		char c = *s->at;

		if (c == '\0') {
			mistake_at(s->r, s->file, s->line, "a NUL byte; expected: text");
			return;
		}
		if (c == '#' || (c == '/' && s->at + 1 < s->end && s->at[1] == '/'))
			skip_line(s);
		else if (c == '/' && s->at + 1 < s->end && s->at[1] == '*')
			skip_comment(s);
		else if (c == '"')
			skip_string(s);
		else if (c == '@' && strncmp(s->at, "@include", 8) == 0)
			scan_include(s);
		else if (isalnum((unsigned char)c))
			scan_word(s);
		else {
			s->line += c == '\n';
			s->at++;
		}
	}
}

/* scan_text_of: @name is how libconfig will call the file in its messages. */
static int scan_text_of(struct scan *from, const char *path, const char *name)
{
	struct scan s = *from;
	char *text = NULL;
	size_t bytes = 0;
	int r = file_read(path, &text, &bytes);

	if (r < 0)
		return r;
	s.file = name;
	s.at = text;
	s.end = text + bytes;
	s.line = 1;
	s.depth++;
	scan_text(&s);
	free(text);
	return 0;
}

int scan_file(struct reader *r, const char *path)
{
	unsigned n_included = 0;
	char copy[4096];
	struct scan s = {.r = r, .n_included = &n_included};

	if (strlen(path) >= sizeof(copy))
		return -ENAMETOOLONG;
	strcpy(copy, path);
	s.folder = dirname(copy);
	return scan_text_of(&s, path, path);
}
