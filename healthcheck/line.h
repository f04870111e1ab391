/* SPDX-License-Identifier: BSD-2-Clause */
/* line.h: what SMTP, POP3, IMAP, HTTP and others have in common: lines, within limits (probe.h).
 * Pure.
 *
 * A line ends with LF or CR LF, is at most PROBE_IN_BYTES long with it, and holds no NUL. A probe's
 * .feed hands its lines to a line_fn until that is done, or no whole line is left.
 */
#ifndef SLUICE_HEALTHCHECK_LINE_H
#define SLUICE_HEALTHCHECK_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "healthcheck/probe.h"

struct line {
	const char *text; /* without its end, not NUL-terminated; valid until bytes are added */
	size_t len;
};

/* What a server has sent so far. */
struct line_count {
	uint32_t lines, bytes;
};

/* line_next: 1 and the next line, 0: there is no whole one yet, -EBADMSG: a limit or a NUL, the
 * verdict is filled in.
 */
int line_next(struct line_count *count, struct buf *in, struct line *ret_line, struct verdict *v);

typedef enum probe_step line_fn(void *talk, const void *conf, const struct line *line,
				struct buf *out, struct verdict *v);

/* lines_feed: a .feed made of a line_fn. When that starts TLS, nothing may be left in @in: bytes
 * that came before the handshake would be taken for bytes that came under TLS (RFC 3207 6,
 * CVE-2021-33515).
 */
enum probe_step lines_feed(struct line_count *count, line_fn *on_line, void *talk, const void *conf,
			   struct buf *in, struct buf *out, struct verdict *v);

/* line_starts: with @prefix, in any case. */
bool line_starts(const struct line *line, const char *prefix);
/* line_has: @word (letters in any case) stands somewhere between spaces, brackets or the ends. */
bool line_has(const struct line *line, const char *word);
/* line_word: the line begins with @word, in any case, and a space or nothing after it; the rest. */
bool line_word(const struct line *line, const char *word, struct line *ret_rest);
/* line_rest: the line without its first @n bytes and the spaces after them. */
struct line line_rest(const struct line *line, size_t n);

/* What IMAP and ManageSieve call a literal: a line that ends with "{n}" goes on after n bytes of
 * whatever there may be. Zeroes at first.
 */
struct literal {
	uint32_t seen, left;
	bool open;
};
/* literal_skip: for every line that line_next() gave: whether it is no line of its own, but the
 * bytes of a literal, or what follows them.
 */
bool literal_skip(struct literal *literal, const struct line_count *count, const struct line *line);

/* A greeting's words, kept for the verdict. */
struct words {
	size_t len;
	char text[VERDICT_TEXT];
};
void words_keep(struct words *words, const struct line *line);

/* reply_parse: "250-text" or "250 text" (RFC 5321 4.2.1; also LMTP, FTP). */
struct reply {
	int code; /* 200 .. 599 */
	bool last;
	struct line text;
};
bool reply_parse(const struct line *line, struct reply *ret_reply);

#endif
