/* SPDX-License-Identifier: BSD-2-Clause */
/* probe_redis.c: Redis and what speaks like it (RESP2): AUTH if there is a password, PING, and ROLE
 * if a role is asked for.
 *
 * Passes when PING is answered with PONG and the role is the right one. Without a password, a
 * server that wants one (-NOAUTH) is alive all the same. -LOADING, -MASTERDOWN and too many clients
 * mean that it asks for no more work.
 */
#include <string.h>

#include "healthcheck/line.h"

enum redis_at { REDIS_AUTH, REDIS_PING, REDIS_ROLE, REDIS_ROLE_LENGTH, REDIS_ROLE_NAME };

struct redis_conf {
	struct probe_common common;
	char user[128], password[256];
	char role[16]; /* "" = any */
};

struct redis_talk {
	struct line_count count;
	enum redis_at at;
	bool secret;
};

static const char *check_role(const char *value)
{
	return strcmp(value, "master") == 0 || strcmp(value, "replica") == 0
		       ? NULL
		       : "is not known; expected: \"master\" or \"replica\"";
}

static const char *redis_check(const struct config_probe *probe)
{
	const struct redis_conf *c = (const void *)probe->conf;

	return c->user[0] && !c->password[0]
		       ? "has \"user\" and no \"password_file\"; expected: both, \"password_file\", or none"
		       : NULL;
}

static const struct config_key redis_keys[] = {
	PROBE_KEY_SNI(struct redis_conf),
	PROBE_KEY("user", struct redis_conf, user, NULL),
	PROBE_KEY_SECRET("password_file", struct redis_conf, password),
	PROBE_KEY("role", struct redis_conf, role, check_role),
	{0},
};

static enum probe_step redis_say(struct redis_talk *t, const char *command, enum redis_at at,
				 struct buf *out)
{
	buf_print(out, "%s\r\n", command);
	t->at = at;
	return PROBE_MORE;
}

static enum probe_step redis_start(void *talk, const void *conf, enum config_tls tls,
				   struct buf *out, struct verdict *v)
{
	const struct redis_conf *c = conf;
	struct redis_talk *t = talk;

	(void)tls;
	(void)v;
	if (!c->password[0])
		return redis_say(t, "PING", REDIS_PING, out);
	/* An array of strings with their lengths: a password may hold anything. */
	buf_print(out, "*%d\r\n$4\r\nAUTH\r\n", c->user[0] ? 3 : 2);
	if (c->user[0])
		buf_print(out, "$%zu\r\n%s\r\n", strlen(c->user), c->user);
	buf_print(out, "$%zu\r\n%s\r\n", strlen(c->password), c->password);
	t->secret = true;
	t->at = REDIS_AUTH;
	return PROBE_MORE;
}

static enum probe_step redis_error(const struct redis_talk *t, const struct redis_conf *c,
				   const struct line *words, struct verdict *v)
{
	struct line rest;

	if (line_word(words, "LOADING", &rest) || line_word(words, "MASTERDOWN", &rest) ||
	    line_starts(words, "ERR max number of clients reached"))
		return probe_end_words(v, VERDICT_LEAVING, 0, words->text, words->len);
	if (t->at == REDIS_PING && !c->password[0] && !c->role[0] &&
	    line_word(words, "NOAUTH", &rest))
		return probe_end(v, VERDICT_PASS, 0, "alive, it wants a login");
	return probe_end_words(v, VERDICT_FAIL, 0, words->text, words->len);
}

static enum probe_step role_judge(const struct redis_conf *c, const struct line *name,
				  struct verdict *v)
{
	struct line rest;
	bool master = line_word(name, "master", &rest);
	bool right = strcmp(c->role, "master") == 0 ? master : line_word(name, "slave", &rest);

	return probe_end(v, right ? VERDICT_PASS : VERDICT_FAIL, 0, "its role is %.*s",
			 (int)name->len, name->text);
}

static enum probe_step redis_line(void *talk, const void *conf, const struct line *line,
				  struct buf *out, struct verdict *v)
{
	const struct redis_conf *c = conf;
	struct redis_talk *t = talk;
	struct line rest;

	t->secret = false;
	if (line_starts(line, "-") && t->at <= REDIS_ROLE) {
		rest = line_rest(line, 1);
		return redis_error(t, c, &rest, v);
	}
	if (t->at == REDIS_AUTH && line_word(line, "+OK", &rest))
		return redis_say(t, "PING", REDIS_PING, out);
	if (t->at == REDIS_PING && line_word(line, "+PONG", &rest))
		return c->role[0] ? redis_say(t, "ROLE", REDIS_ROLE, out)
				  : probe_end(v, VERDICT_PASS, 0, "PONG");
	if (t->at == REDIS_ROLE_NAME)
		return role_judge(c, line, v);
	if ((t->at == REDIS_ROLE && line_starts(line, "*")) ||
	    (t->at == REDIS_ROLE_LENGTH && line_starts(line, "$"))) {
		t->at++;
		return PROBE_MORE;
	}
	return probe_end(v, VERDICT_GARBLED, 0, "not Redis: %.*s", (int)line->len, line->text);
}

static enum probe_step redis_feed(void *talk, const void *conf, struct buf *in, struct buf *out,
				  struct verdict *v)
{
	struct redis_talk *t = talk;

	return lines_feed(&t->count, redis_line, t, conf, in, out, v);
}

static const char *redis_waiting(const void *talk)
{
	static const char *const names[] = {
		[REDIS_AUTH] = "answer to AUTH",
		[REDIS_PING] = "answer to PING",
		[REDIS_ROLE] = "answer to ROLE",
		[REDIS_ROLE_LENGTH] = "end of the answer to ROLE",
		[REDIS_ROLE_NAME] = "end of the answer to ROLE",
	};

	return names[((const struct redis_talk *)talk)->at];
}

static bool redis_hides(const void *talk)
{
	return ((const struct redis_talk *)talk)->secret;
}

const struct probe_ops probe_redis = {
	.schema = {.name = "redis",
		   .keys = redis_keys,
		   .conf_size = sizeof(struct redis_conf),
		   .can_tls = true,
		   .check = redis_check},
	.opening = OPENING_OURS,
	.talk_size = sizeof(struct redis_talk),
	.start = redis_start,
	.feed = redis_feed,
	.waiting = redis_waiting,
	.hides = redis_hides,
	.bye = "QUIT\r\n",
};
