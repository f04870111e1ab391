/* SPDX-License-Identifier: BSD-2-Clause */
/* talker.c: see talker.h. */
#include "tests/unit/healthcheck/talker.h"

#include <stdio.h>
#include <stdlib.h>

const struct config_key *talker_key(const struct probe_ops *ops, const char *name)
{
	for (const struct config_key *key = ops->schema.keys; key->name; key++) {
		if (strcmp(key->name, name) == 0)
			return key;
	}
	fail_msg("%s has no key %s", ops->schema.name, name);
	return NULL;
}

/* As the reader of configurations has it; a list's words are separated by '~'. */
static void setting_use(struct talker *t, const struct config_key *key, char *value)
{
	char *member = t->conf + key->offset;
	size_t n = strlen(value);

	assert_true(n + 1 < key->size || key->type == KEY_BOOL || key->type == KEY_INT);
	if (key->type == KEY_BOOL) {
		*(bool *)member = strcmp(value, "true") == 0;
		return;
	}
	if (key->type == KEY_INT) {
		*(int32_t *)member = atoi(value);
		return;
	}
	memset(member, 0, key->size);
	memcpy(member, value, n);
	for (size_t i = 0; key->type == KEY_LIST && i < n; i++)
		member[i] = (char)(value[i] == '~' ? '\0' : value[i]);
	if (key->check)
		assert_null(key->check(member));
}

static void settings_use(struct talker *t, const char *settings)
{
	char *copy = strdup(settings), *save;

	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *value = strchr(line, '=');

		assert_non_null(value);
		*value++ = '\0';
		setting_use(t, talker_key(t->ops, line), value);
	}
	free(copy);
}

struct talker *talker_new(const struct probe_ops *ops, enum config_tls tls, const char *settings)
{
	struct talker *t = calloc(1, sizeof(*t));

	t->ops = ops;
	t->talk = calloc(1, ops->talk_size ? ops->talk_size : 1);
	t->in = (struct buf){.bytes = t->in_bytes, .size = sizeof(t->in_bytes)};
	t->out = (struct buf){.bytes = t->out_bytes, .size = sizeof(t->out_bytes)};
	assert_true(ops->schema.conf_size <= sizeof(t->conf));
	if (ops->schema.defaults)
		memcpy(t->conf, ops->schema.defaults, ops->schema.conf_size);
	if (settings)
		settings_use(t, settings);
	t->step = ops->start(t->talk, t->conf, tls, &t->out, &t->verdict);
	return t;
}

void talker_free(struct talker *t)
{
	free(t->talk);
	free(t);
}

void talker_hear(struct talker *t, const char *bytes, size_t n)
{
	if (t->step != PROBE_MORE || n == 0)
		return;
	assert_true(buf_add(&t->in, bytes, n));
	t->step = t->ops->feed(t->talk, t->conf, &t->in, &t->out, &t->verdict);
}

static void turn_play(struct talker *t, const char *turn, size_t n, size_t cut)
{
	char bytes[PROBE_IN_BYTES];
	size_t first = cut > 1 && cut - 1 < n ? cut - 1 : n;

	if (n == 3 && memcmp(turn, "TLS", 3) == 0) {
		assert_int_equal(t->step, PROBE_START_TLS);
		assert_int_equal(buf_len(&t->in), 0);
		t->step = t->ops->secured(t->talk, t->conf, &t->out, &t->verdict);
		return;
	}
	if (n == 3 && memcmp(turn, "EOF", 3) == 0) {
		if (t->step == PROBE_MORE && t->ops->closed)
			t->step = t->ops->closed(t->talk, t->conf, &t->verdict);
		return;
	}
	for (size_t i = 0; i < n; i++)
		bytes[i] = (char)(turn[i] == '@' ? '\0' : turn[i]);
	if (cut == 1) {
		for (size_t i = 0; i < n; i++)
			talker_hear(t, bytes + i, 1);
	} else {
		talker_hear(t, bytes, first);
		talker_hear(t, bytes + first, n - first);
	}
}

/* @cut: 0 = turns as they are, 1 = byte by byte, else in two at cut - 1. */
static void script_play(struct talker *t, const char *script, size_t cut)
{
	while (*script) {
		size_t n = strcspn(script, "|");

		turn_play(t, script, n, cut);
		script += n + (script[n] == '|');
	}
}

static void outcome_check(const char *name, const struct talker *t, const char *expect,
			  const char *sent, size_t sent_n)
{
	char got[VERDICT_TEXT + 64];

	if (t->step == PROBE_MORE)
		snprintf(got, sizeof(got), "waits for %s", t->ops->waiting(t->talk));
	else if (t->step == PROBE_DONE)
		snprintf(got, sizeof(got), "%s %d %s", verdict_name(t->verdict.word),
			 t->verdict.code, t->verdict.text);
	else
		snprintf(got, sizeof(got), "starts TLS");
	if (strcmp(got, expect) != 0)
		fail_msg("%s %s: got \"%s\", expected \"%s\"", t->ops->schema.name, name, got,
			 expect);
	if (sent && (buf_len(&t->out) != sent_n || memcmp(buf_head(&t->out), sent, sent_n) != 0))
		fail_msg("%s %s: sent \"%.*s\", expected \"%s\"", t->ops->schema.name, name,
			 (int)buf_len(&t->out), buf_head(&t->out), sent);
}

void play(const char *name, const struct probe_ops *ops, enum config_tls tls, const char *settings,
	  const char *script, const char *expect, const char *sent)
{
	for (size_t cut = 0; cut <= strlen(script); cut++) {
		struct talker *t = talker_new(ops, tls, settings);

		script_play(t, script, cut);
		outcome_check(name, t, expect, sent, sent ? strlen(sent) : 0);
		talker_free(t);
	}
}

/* As script_play() cuts them. */
static void turns_play(struct talker *t, const struct turn *turns, size_t cut)
{
	for (; turns->n > 0; turns++) {
		size_t first = cut > 1 && cut - 1 < turns->n ? cut - 1 : turns->n;

		if (!turns->bytes) {
			assert_int_equal(t->step, PROBE_START_TLS);
			assert_int_equal(buf_len(&t->in), 0);
			t->step = t->ops->secured(t->talk, t->conf, &t->out, &t->verdict);
		} else if (cut == 1) {
			for (size_t i = 0; i < turns->n; i++)
				talker_hear(t, turns->bytes + i, 1);
		} else {
			talker_hear(t, turns->bytes, first);
			talker_hear(t, turns->bytes + first, turns->n - first);
		}
	}
}

void play_turns(const char *name, const struct probe_ops *ops, enum config_tls tls,
		const char *settings, const struct turn *turns, const char *expect,
		const char *sent, size_t sent_n)
{
	size_t longest = 0;

	for (const struct turn *turn = turns; turn->n > 0; turn++)
		longest = turn->n > longest ? turn->n : longest;
	for (size_t cut = 0; cut <= longest + 1; cut++) {
		struct talker *t = talker_new(ops, tls, settings);

		turns_play(t, turns, cut);
		outcome_check(name, t, expect, sent, sent_n);
		talker_free(t);
	}
}

const char *talker_wrong(const struct probe_ops *ops, enum config_tls tls, enum config_proxy proxy,
			 const char *settings)
{
	struct talker *t = talker_new(ops, tls, settings);
	struct config_probe probe = {.tls = tls, .proxy = proxy};

	_Static_assert(sizeof(probe.conf) == sizeof(t->conf), "one is a copy of the other");
	memcpy(probe.conf, t->conf, sizeof(probe.conf));
	talker_free(t);
	return ops->schema.check(&probe);
}

size_t talker_feed_for_ever(const struct probe_ops *ops, const char *settings, const char *first,
			    const char *again, struct verdict *ret_verdict)
{
	enum { FOR_EVER = 1 << 20 };
	struct talker *t = talker_new(ops, TLS_NONE, settings);
	size_t fed = 0;

	talker_hear(t, first, strlen(first));
	for (; t->step == PROBE_MORE && fed < FOR_EVER; fed += strlen(again))
		talker_hear(t, again, strlen(again));
	assert_int_equal(t->step, PROBE_DONE);
	*ret_verdict = t->verdict;
	talker_free(t);
	return fed;
}

void assert_endless(const struct probe_ops *ops, const char *settings, const char *again,
		    const char *text)
{
	struct verdict v;

	assert_true(talker_feed_for_ever(ops, settings, "", again, &v) <=
		    PROBE_TOTAL_BYTES + strlen(again));
	assert_int_equal(v.word, VERDICT_GARBLED);
	assert_string_equal(v.text, text);
}

void assert_injection_refused(const struct probe_ops *ops, const char *settings, const char *bytes)
{
	struct talker *t = talker_new(ops, TLS_STARTTLS, settings);

	talker_hear(t, bytes, strlen(bytes));
	assert_int_equal(t->step, PROBE_DONE);
	assert_int_equal(t->verdict.word, VERDICT_GARBLED);
	assert_non_null(strstr(t->verdict.text, "inject"));
	talker_free(t);
}

void assert_setting(const struct probe_ops *ops, const char *key, const char *good, const char *bad)
{
	assert_null(talker_key(ops, key)->check(good));
	assert_non_null(talker_key(ops, key)->check(bad));
}
