/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_probe.c: a server that says anything, to every probe type.
 *
 * An input is three bytes and what the server says: the probe (the table below), TLS ('0' none, '1'
 * STARTTLS, '2' implicit; '3' to '5' the same with a login and whatever else goes deeper, as those
 * with a letter always have it), and how the bytes are cut in pieces; a datagram is not cut.
 * Whatever comes, the probe keeps within its buffers, and its verdict is printable and does not
 * depend on the pieces (but for STARTTLS, where the end of a piece is where the handshake begins).
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "healthcheck/probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__,          \
				#condition);                                                       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static const struct row {
	char letter;
	const struct probe_ops *ops;
} rows[] = {
	{'0', &probe_tcp},    {'1', &probe_smtp},	 {'2', &probe_pop3},
	{'3', &probe_imap},   {'4', &probe_http},	 {'5', &probe_submission},
	{'6', &probe_lmtp},   {'7', &probe_managesieve}, {'8', &probe_chat},
	{'9', &probe_agent},  {'t', &probe_tls},	 {'i', &probe_icmp},
	{'d', &probe_dns},    {'c', &probe_memcached},	 {'l', &probe_ldap},
	{'m', &probe_mysql},  {'p', &probe_postgresql},	 {'r', &probe_redis},
	{'s', &probe_script},
};

struct talk {
	const struct probe_ops *ops;
	_Alignas(8) char conf[PROBE_CONF_SIZE];
	void *state;
	struct buf in, out;
	char *in_bytes, *out_bytes; /* blocks of their own: the sanitizer guards their ends */
	struct verdict verdict;
	enum probe_step step;
	bool datagrams;
};

/* What a key is set to; @deep: only then. */
static const struct setting {
	const char *key, *value;
	size_t len;
	bool deep;
} settings[] = {
	{"body", "all (is )?well|x{3}$", 20, false},
	{"dialogue", "expect ^a\0send b\0expect c", 26, false},
	{"user", "alice", 5, true},
	{"password_file", "s3cr\xfft", 6, true},
	{"rcpt_to", "a@b", 3, true},
	{"mailbox", "INBOX", 5, true},
	{"expect", "e|x", 3, true},
	{"send", "state", 5, true},
	{"bind_dn", "cn=alice", 8, true},
	{"base", "dc=example", 10, true},
	{"query", "SELECT 1", 8, true},
	{"role", "master", 6, true},
	{"name", "example", 7, true},
};

static void conf_fill(struct talk *t, enum config_tls tls, bool deep)
{
	static const char secured[] = "expect ^a\0send b\0starttls\0expect c";

	memset(t->conf, 0, sizeof(t->conf));
	if (t->ops->schema.defaults)
		memcpy(t->conf, t->ops->schema.defaults, t->ops->schema.conf_size);
	for (const struct config_key *key = t->ops->schema.keys; key->name; key++) {
		for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
			if (strcmp(key->name, settings[i].key) == 0 && (deep || !settings[i].deep))
				memcpy(t->conf + key->offset, settings[i].value, settings[i].len);
		}
		if (strcmp(key->name, "dialogue") == 0 && tls == TLS_STARTTLS)
			memcpy(t->conf + key->offset, secured, sizeof(secured));
	}
}

static void talk_begin(struct talk *t, const struct probe_ops *ops, enum config_tls tls, bool deep)
{
	*t = (struct talk){.ops = ops};
	conf_fill(t, tls, deep);
	t->state = calloc(1, ops->talk_size ? ops->talk_size : 1);
	t->in_bytes = malloc(PROBE_IN_BYTES);
	t->out_bytes = malloc(PROBE_OUT_BYTES);
	t->in = (struct buf){.bytes = t->in_bytes, .size = PROBE_IN_BYTES};
	t->out = (struct buf){.bytes = t->out_bytes, .size = PROBE_OUT_BYTES};
	t->datagrams =
		tls == TLS_NONE && ops->transport && ops->transport(t->conf) != TRANSPORT_TCP;
	t->step = ops->start(t->state, t->conf, tls, &t->out, &t->verdict);
}

static void talk_end(struct talk *t)
{
	free(t->state);
	free(t->in_bytes);
	free(t->out_bytes);
}

/* What the runner does: takes what is to be sent, makes TLS. */
static void step_take(struct talk *t)
{
	buf_drop(&t->out, buf_len(&t->out));
	if (t->step != PROBE_START_TLS)
		return;
	MUST(buf_len(&t->in) == 0);
	t->step = t->ops->secured(t->state, t->conf, &t->out, &t->verdict);
	MUST(t->step != PROBE_START_TLS);
}

static void talk_hear(struct talk *t, const uint8_t *bytes, size_t n, uint32_t pieces)
{
	while (n > 0 && t->step == PROBE_MORE) {
		size_t room = buf_room(&t->in), part = 1 + pieces % 61;

		MUST(room > 0);
		part = t->datagrams ? n : part;
		part = part < n ? part : n;
		part = part < room ? part : room;
		MUST(buf_add(&t->in, bytes, part));
		bytes += part;
		n -= part;
		pieces = pieces * 1103515245u + 12345u * (pieces > 0);
		t->step = t->ops->feed(t->state, t->conf, &t->in, &t->out, &t->verdict);
		step_take(t);
		if (t->datagrams)
			buf_drop(&t->in, buf_len(&t->in));
	}
	if (t->step == PROBE_MORE && t->ops->closed)
		t->step = t->ops->closed(t->state, t->conf, &t->verdict);
}

static void verdict_check(const struct talk *t)
{
	const char *c = t->verdict.text;

	if (t->step == PROBE_MORE) {
		MUST(strlen(t->ops->waiting(t->state)) > 0);
		return;
	}
	MUST(t->step == PROBE_DONE);
	MUST(strlen(verdict_name(t->verdict.word)) > 0);
	MUST(memchr(c, '\0', sizeof(t->verdict.text)));
	for (; *c; c++)
		MUST(*c >= 0x20 && *c < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	const struct row *row;
	struct talk one, other;
	enum config_tls tls;
	bool deep;

	if (n < 3)
		return 0;
	tls = (enum config_tls)((uint8_t)(bytes[1] - '0') % 3);
	deep = (uint8_t)(bytes[1] - '0') / 3 % 2;
	row = &rows[bytes[0] % (sizeof(rows) / sizeof(rows[0]))];
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		row = rows[i].letter == (char)bytes[0] ? &rows[i] : row;
	deep = deep || row->letter > '9';
	if ((tls == TLS_STARTTLS && !row->ops->schema.can_starttls) ||
	    (tls == TLS_IMPLICIT && !row->ops->schema.can_tls))
		tls = TLS_NONE; /* as the reader of configurations insists */
	talk_begin(&one, row->ops, tls, deep);
	talk_begin(&other, one.ops, tls, deep);
	talk_hear(&one, bytes + 3, n - 3, bytes[2]);
	talk_hear(&other, bytes + 3, n - 3, 0);
	verdict_check(&one);
	verdict_check(&other);
	if (tls != TLS_STARTTLS) {
		MUST(one.step == other.step);
		MUST(memcmp(&one.verdict, &other.verdict, sizeof(one.verdict)) == 0 ||
		     (one.verdict.word == other.verdict.word &&
		      one.verdict.code == other.verdict.code &&
		      strcmp(one.verdict.text, other.verdict.text) == 0));
	}
	talk_end(&one);
	talk_end(&other);
	return 0;
}
