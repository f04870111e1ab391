/* SPDX-License-Identifier: BSD-2-Clause */
/* probe_memcached.c: memcached's text protocol (doc/protocol.txt of memcached): `version`.
 *
 * Passes when it tells its version. "ERROR Too many open connections" (-o maxconns_fast) means that
 * it asks for no more work.
 */
#include "healthcheck/line.h"

struct memcached_conf {
	struct probe_common common;
};

struct memcached_talk {
	struct line_count count;
};

static const struct config_key memcached_keys[] = {
	PROBE_KEY_SNI(struct memcached_conf),
	{0},
};

static enum probe_step memcached_start(void *talk, const void *conf, enum config_tls tls,
				       struct buf *out, struct verdict *v)
{
	(void)talk;
	(void)conf;
	(void)tls;
	(void)v;
	buf_print(out, "version\r\n");
	return PROBE_MORE;
}

static enum probe_step memcached_line(void *talk, const void *conf, const struct line *line,
				      struct buf *out, struct verdict *v)
{
	struct line rest;

	(void)talk;
	(void)conf;
	(void)out;
	if (line_word(line, "VERSION", &rest))
		return probe_end(v, VERDICT_PASS, 0, "memcached %.*s", (int)rest.len, rest.text);
	if (line_starts(line, "ERROR Too many open connections"))
		return probe_end_words(v, VERDICT_LEAVING, 0, line->text, line->len);
	if (line_word(line, "ERROR", &rest) || line_word(line, "CLIENT_ERROR", &rest) ||
	    line_word(line, "SERVER_ERROR", &rest))
		return probe_end_words(v, VERDICT_FAIL, 0, line->text, line->len);
	return probe_end(v, VERDICT_GARBLED, 0, "not memcached: %.*s", (int)line->len, line->text);
}

static enum probe_step memcached_feed(void *talk, const void *conf, struct buf *in, struct buf *out,
				      struct verdict *v)
{
	struct memcached_talk *t = talk;

	return lines_feed(&t->count, memcached_line, t, conf, in, out, v);
}

static const char *memcached_waiting(const void *talk)
{
	(void)talk;
	return "version";
}

const struct probe_ops probe_memcached = {
	.schema = {.name = "memcached",
		   .keys = memcached_keys,
		   .conf_size = sizeof(struct memcached_conf),
		   .can_tls = true},
	.opening = OPENING_OURS,
	.talk_size = sizeof(struct memcached_talk),
	.start = memcached_start,
	.feed = memcached_feed,
	.waiting = memcached_waiting,
	.bye = "quit\r\n",
};
