/* SPDX-License-Identifier: BSD-2-Clause */
/* probe_postgresql.c: PostgreSQL's frontend/backend protocol 3.0 ("Message Flow" and "Message
 * Formats" of its manual): SSLRequest if asked for, startup, login (SCRAM-SHA-256, MD5; the
 * password itself only under TLS), one simple query, Terminate.
 *
 * Passes when the server is ready for a query, and with `query` when that gives a row or is no
 * query for rows. Without both, one that refuses the login is alive all the same. Starting up
 * (57P03), shutting down (57P01, 57P02) and too many connections (53300) mean that it asks for no
 * more work.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "healthcheck/octets.h"
#include "healthcheck/probe.h"
#include "healthcheck/scram.h"

enum {
	PG_SSL_REQUEST = 80877103,
	PG_PROTOCOL = 196608,
	PG_MESSAGES = 200, /* of a server, in one conversation */
};

enum pg_at { PG_TLS, PG_LOGIN, PG_SASL, PG_READY, PG_QUERY };

enum pg_auth {
	PG_AUTH_OK = 0,
	PG_AUTH_PASSWORD = 3,
	PG_AUTH_MD5 = 5,
	PG_AUTH_SASL = 10,
	PG_AUTH_SASL_MORE = 11,
	PG_AUTH_SASL_FINAL = 12,
};

struct pg_conf {
	struct probe_common common;
	char user[64], password[256], database[64];
	char query[512]; /* "" = none */
};

struct pg_talk {
	uint8_t random[SCRAM_RANDOM];
	enum pg_at at;
	uint32_t messages;
	bool tls, secret, proven;
	struct scram scram;
	char version[32];
};

static const char *pg_check(const struct config_probe *probe)
{
	const struct pg_conf *c = (const void *)probe->conf;

	return c->password[0] && !c->user[0]
		       ? "has \"password_file\" and no \"user\"; expected: both, \"user\", or none"
		       : NULL;
}

static const struct config_key pg_keys[] = {
	PROBE_KEY_SNI(struct pg_conf),
	PROBE_KEY("user", struct pg_conf, user, NULL),
	PROBE_KEY_SECRET("password_file", struct pg_conf, password),
	PROBE_KEY("database", struct pg_conf, database, NULL),
	PROBE_KEY("query", struct pg_conf, query, NULL),
	{0},
};

/* ---- what we say ---- */

/* Is a server that wants a login all that is asked for? */
static bool life_is_enough(const struct pg_conf *c)
{
	return !c->user[0] && !c->query[0];
}

static void message_put(struct buf *out, char type, const void *bytes, size_t n)
{
	buf_add(out, &type, 1);
	put_be(out, (uint32_t)n + 4, 4);
	buf_add(out, bytes, n);
}

static enum probe_step startup_say(struct pg_talk *t, const struct pg_conf *c, struct buf *out)
{
	const char *user = c->user[0] ? c->user : "sluice";
	const char *words[] = {
		"user",	 user, "database", c->database[0] ? c->database : user, "application_name",
		"sluice"};
	char bytes[PROBE_OUT_BYTES / 2];
	struct buf text = {.bytes = bytes, .size = sizeof(bytes)};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		put_text(&text, words[i]);
	put_text(&text, "");
	put_be(out, (uint32_t)buf_len(&text) + 8, 4);
	put_be(out, PG_PROTOCOL, 4);
	buf_add(out, bytes, buf_len(&text));
	t->at = PG_LOGIN;
	return PROBE_MORE;
}

/* The end, politely: Terminate. */
static void terminate_say(struct pg_talk *t, struct buf *out)
{
	t->secret = false;
	message_put(out, 'X', "", 0);
}

static enum probe_step pg_pass(struct pg_talk *t, const char *how, struct buf *out,
			       struct verdict *v)
{
	terminate_say(t, out);
	return probe_end(v, VERDICT_PASS, 0, "PostgreSQL%s%s%s", t->version[0] ? " " : "",
			 t->version, how);
}

static enum probe_step pg_fail(struct pg_talk *t, const char *why, struct buf *out,
			       struct verdict *v)
{
	terminate_say(t, out);
	return probe_end(v, VERDICT_FAIL, 0, "%s", why);
}

static enum probe_step garbled(struct verdict *v)
{
	return probe_end(v, VERDICT_GARBLED, 0, "not PostgreSQL");
}

/* ---- the login ---- */

/* "md5" md5(md5(password user) salt), in hexadecimal digits. */
static bool md5_hex(const void *bytes, size_t n, char ret_hex[static 33])
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned int size = 0;

	if (EVP_Digest(bytes, n, digest, &size, EVP_md5(), NULL) != 1 || size != 16)
		return false;
	for (size_t i = 0; i < size; i++)
		snprintf(ret_hex + 2 * i, 3, "%02x", digest[i]);
	return true;
}

static enum probe_step md5_say(struct pg_talk *t, const struct pg_conf *c, struct octets *salt,
			       struct buf *out, struct verdict *v)
{
	char text[sizeof(c->password) + sizeof(c->user)], hex[33], answer[36] = "md5";
	struct octets four = octets_take(salt, 4);
	size_t n = (size_t)snprintf(text, sizeof(text), "%s%s", c->password, c->user);

	if (four.bad)
		return garbled(v);
	if (!md5_hex(text, n, hex))
		return probe_end(v, VERDICT_UNABLE, 0, "MD5 is not allowed on this node");
	memcpy(text, hex, 32);
	memcpy(text + 32, four.at, 4);
	md5_hex(text, 36, answer + 3);
	t->secret = true;
	message_put(out, 'p', answer, sizeof(answer));
	return PROBE_MORE;
}

static enum probe_step password_say(struct pg_talk *t, const struct pg_conf *c, struct buf *out,
				    struct verdict *v)
{
	if (!t->tls)
		return pg_fail(t, "it wants the password itself: not sent without TLS", out, v);
	t->secret = true;
	message_put(out, 'p', c->password, strlen(c->password) + 1);
	return PROBE_MORE;
}

static enum probe_step sasl_say(struct pg_talk *t, struct octets *mechanisms, struct buf *out,
				struct verdict *v)
{
	char message[SCRAM_MESSAGE], bytes[SCRAM_MESSAGE + 32];
	struct buf text = {.bytes = bytes, .size = sizeof(bytes)};
	bool offered = false;

	while (mechanisms->left > 1 && !mechanisms->bad) {
		struct octets name = octets_text(mechanisms);

		offered |= octets_are(&name, "SCRAM-SHA-256");
	}
	if (!offered)
		return pg_fail(t, "it does not offer SCRAM-SHA-256", out, v);
	scram_first(&t->scram, t->random, message);
	put_text(&text, "SCRAM-SHA-256");
	put_be(&text, (uint32_t)strlen(message), 4);
	buf_add(&text, message, strlen(message));
	message_put(out, 'p', bytes, buf_len(&text));
	t->at = PG_SASL;
	return PROBE_MORE;
}

static enum probe_step sasl_go_on(struct pg_talk *t, const struct pg_conf *c,
				  const struct octets *first, struct buf *out, struct verdict *v)
{
	char message[SCRAM_MESSAGE];
	const char *wrong = t->at != PG_SASL
				    ? "a SCRAM challenge that was not asked for"
				    : scram_final(&t->scram, c->password, (const char *)first->at,
						  first->left, message);

	if (wrong)
		return pg_fail(t, wrong, out, v);
	t->secret = true;
	message_put(out, 'p', message, strlen(message));
	t->at = PG_LOGIN;
	t->proven = false;
	return PROBE_MORE;
}

static enum probe_step auth_take(struct pg_talk *t, const struct pg_conf *c, struct octets o,
				 struct buf *out, struct verdict *v)
{
	uint32_t kind = octets_be(&o, 4);

	if (o.bad || t->at > PG_SASL)
		return garbled(v);
	if (kind == PG_AUTH_OK) {
		/* one that has begun SCRAM must have shown that it knows the password */
		if (t->scram.nonce[0] && !t->proven)
			return pg_fail(t, "it did not prove that it knows the password", out, v);
		t->at = PG_READY;
		return PROBE_MORE;
	}
	if (life_is_enough(c))
		return pg_pass(t, ", alive: it wants a login", out, v);
	if (kind == PG_AUTH_SASL_FINAL) {
		t->proven = scram_proven(&t->scram, (const char *)o.at, o.left);
		return t->proven ? PROBE_MORE
				 : pg_fail(t, "it does not know the password itself", out, v);
	}
	if (kind == PG_AUTH_SASL_MORE)
		return sasl_go_on(t, c, &o, out, v);
	if (!c->password[0])
		return pg_fail(t, "it wants a password, and there is no \"password_file\"", out, v);
	switch (kind) {
	case PG_AUTH_PASSWORD:
		return password_say(t, c, out, v);
	case PG_AUTH_MD5:
		return md5_say(t, c, &o, out, v);
	case PG_AUTH_SASL:
		return sasl_say(t, &o, out, v);
	}
	return pg_fail(t, "it wants a kind of login that is not known here", out, v);
}

/* ---- errors ---- */

static enum probe_step error_take(struct pg_talk *t, const struct pg_conf *c, struct octets o,
				  struct buf *out, struct verdict *v)
{
	static const char *const leaving[] = {"57P01", "57P02", "57P03", "53300"};
	struct octets state = {0}, words = {0};
	char code[6] = "";
	bool login;

	while (o.left > 1 && !o.bad) {
		char field = (char)octets_be(&o, 1);
		struct octets text = octets_text(&o);

		if (field == 'C')
			state = text;
		else if (field == 'M')
			words = text;
	}
	if (o.bad || state.left != 5)
		return garbled(v);
	memcpy(code, state.at, 5);
	login = strncmp(code, "28", 2) == 0 || strcmp(code, "3D000") == 0;
	if (life_is_enough(c) && t->at <= PG_SASL && login)
		return pg_pass(t, ", alive: it wants a login", out, v);
	terminate_say(t, out);
	v->word = VERDICT_FAIL;
	for (size_t i = 0; i < sizeof(leaving) / sizeof(leaving[0]); i++) {
		if (strcmp(code, leaving[i]) == 0)
			v->word = VERDICT_LEAVING;
	}
	return probe_end(v, v->word, 0, "%s %.*s", code,
			 (int)(words.left < VERDICT_TEXT ? words.left : VERDICT_TEXT),
			 words.left ? (const char *)words.at : "");
}

/* ---- messages ---- */

static void parameter_take(struct pg_talk *t, struct octets o)
{
	struct octets name = octets_text(&o), value = octets_text(&o);

	if (!o.bad && octets_are(&name, "server_version"))
		snprintf(t->version, sizeof(t->version), "%.*s",
			 (int)strcspn((const char *)value.at, " "), (const char *)value.at);
}

static enum probe_step ready(struct pg_talk *t, const struct pg_conf *c, struct buf *out,
			     struct verdict *v)
{
	if (t->at != PG_READY)
		return garbled(v);
	if (!c->query[0])
		return pg_pass(t, "", out, v);
	message_put(out, 'Q', c->query, strlen(c->query) + 1);
	t->at = PG_QUERY;
	return PROBE_MORE;
}

static enum probe_step query_done(struct pg_talk *t, struct octets o, struct buf *out,
				  struct verdict *v)
{
	struct octets tag = octets_text(&o);

	if (t->at != PG_QUERY || o.bad)
		return garbled(v);
	if (octets_are(&tag, "SELECT 0"))
		return pg_fail(t, "the query gave no row", out, v);
	return pg_pass(t, "", out, v);
}

static enum probe_step message_take(struct pg_talk *t, const struct pg_conf *c, char type,
				    struct octets o, struct buf *out, struct verdict *v)
{
	t->secret = false;
	switch (type) {
	case 'R':
		return auth_take(t, c, o, out, v);
	case 'E':
		return error_take(t, c, o, out, v);
	case 'S':
		parameter_take(t, o);
		return PROBE_MORE;
	case 'N': /* a notice */
	case 'K': /* the key for a cancellation */
	case 'v': /* an older protocol is offered */
		return PROBE_MORE;
	case 'Z':
		return ready(t, c, out, v);
	case 'T': /* the columns */
	case 'I': /* an empty query */
		return t->at == PG_QUERY ? PROBE_MORE : garbled(v);
	case 'D':
		return t->at == PG_QUERY ? pg_pass(t, "", out, v) : garbled(v);
	case 'C':
		return query_done(t, o, out, v);
	}
	return garbled(v);
}

/* The answer to SSLRequest is one byte, and nothing may come behind it (CVE-2021-23222); an error
 * of a server that has no room for us is a message.
 */
static enum probe_step tls_answer(struct buf *in, struct verdict *v)
{
	char answer = *buf_head(in);
	bool more = buf_len(in) > 1;

	if (answer != 'S' && answer != 'N')
		return garbled(v);
	buf_drop(in, 1);
	if (answer == 'N')
		return probe_end(v, VERDICT_FAIL, 0, "TLS is not offered");
	if (more)
		return probe_end(v, VERDICT_GARBLED, 0,
				 "plain text after the go-ahead for TLS: someone may inject it");
	return PROBE_START_TLS;
}

static enum probe_step pg_feed(void *talk, const void *conf, struct buf *in, struct buf *out,
			       struct verdict *v)
{
	enum probe_step step = PROBE_MORE;
	struct pg_talk *t = talk;

	if (t->at == PG_TLS && buf_len(in) > 0 && *buf_head(in) != 'E')
		return tls_answer(in, v);
	while (step == PROBE_MORE && buf_len(in) >= 5) {
		struct octets o = octets_of(buf_head(in), buf_len(in));
		char type = (char)octets_be(&o, 1);
		size_t length = octets_be(&o, 4);

		if (length < 4 || ++t->messages > PG_MESSAGES)
			return garbled(v);
		length -= 4;
		if (type == 'D' && t->at == PG_QUERY) /* a row, of whatever length */
			return message_take(t, conf, type, octets_of(o.at, 0), out, v);
		if (length > PROBE_IN_BYTES - 5)
			return probe_end(v, VERDICT_GARBLED, 0, "a message of %zu bytes", length);
		if (o.left < length) {
			t->messages--;
			return PROBE_MORE;
		}
		step = message_take(t, conf, type, octets_take(&o, length), out, v);
		buf_drop(in, length + 5);
	}
	return step;
}

static enum probe_step pg_start(void *talk, const void *conf, enum config_tls tls, struct buf *out,
				struct verdict *v)
{
	(void)v;
	if (tls != TLS_STARTTLS)
		return startup_say(talk, conf, out);
	put_be(out, 8, 4);
	put_be(out, PG_SSL_REQUEST, 4);
	return PROBE_MORE;
}

static enum probe_step pg_secured(void *talk, const void *conf, struct buf *out, struct verdict *v)
{
	struct pg_talk *t = talk;

	(void)v;
	t->tls = true;
	return startup_say(t, conf, out);
}

static const char *pg_waiting(const void *talk)
{
	static const char *const names[] = {
		[PG_TLS] = "answer to SSLRequest",  [PG_LOGIN] = "answer to the login",
		[PG_SASL] = "SCRAM challenge",	    [PG_READY] = "end of the login",
		[PG_QUERY] = "answer to the query",
	};

	return names[((const struct pg_talk *)talk)->at];
}

static bool pg_hides(const void *talk)
{
	return ((const struct pg_talk *)talk)->secret;
}

const struct probe_ops probe_postgresql = {
	.schema = {.name = "postgresql",
		   .keys = pg_keys,
		   .conf_size = sizeof(struct pg_conf),
		   .can_starttls = true,
		   .check = pg_check},
	.opening = OPENING_OURS,
	.talk_size = sizeof(struct pg_talk),
	.random_bytes = SCRAM_RANDOM,
	.start = pg_start,
	.feed = pg_feed,
	.secured = pg_secured,
	.waiting = pg_waiting,
	.hides = pg_hides,
};
