/* SPDX-License-Identifier: BSD-2-Clause */
/* probe_mysql.c: MySQL's and MariaDB's client/server protocol, version 10 ("Connection Phase" of
 * their manuals): greeting, SSLRequest if asked for, login, one query, COM_QUIT.
 *
 * Passes when the login succeeds, and with `query` when that gives a row or is no query for rows.
 * Without `user` the probe logs in as "sluice", without a password, and if there is no `query` it
 * passes as well when that is refused: a server counts a connection that ends before the login's
 * end against max_connect_errors and in the end blocks the host (1129), but a login that it refused
 * it does not. 1040 (too many connections) and 1053 (shutdown) mean that it asks for no more work.
 *
 * The password itself is only sent under TLS; else its hash, by mysql_native_password or the short
 * way of caching_sha2_password, for which the server must have seen the user log in before.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "healthcheck/octets.h"
#include "healthcheck/probe.h"

enum {
	MYSQL_PROTOCOL = 10,
	MYSQL_SCRAMBLE = 20,
	MYSQL_PACKETS = 200, /* of a server, in one conversation */
	MYSQL_PACKET_MOST = 1 << 24,
	MYSQL_UTF8 = 33,
};

enum mysql_capability {
	MYSQL_LONG_PASSWORD = 0x1,
	MYSQL_PROTOCOL_41 = 0x200,
	MYSQL_TLS = 0x800,
	MYSQL_TRANSACTIONS = 0x2000,
	MYSQL_SECURE = 0x8000, /* the hash has a length */
	MYSQL_PLUGINS = 0x80000,
};

enum mysql_head {
	MYSQL_OK = 0x00,
	MYSQL_MORE = 0x01,
	MYSQL_FILE = 0xfb,
	MYSQL_EOF = 0xfe,
	MYSQL_ERR = 0xff
};
enum mysql_hash { MYSQL_FAST_DONE = 3, MYSQL_FAST_FAILED = 4 };
enum mysql_at {
	MYSQL_GREETING,
	MYSQL_LOGIN,
	MYSQL_QUERY,
	MYSQL_COLUMNS,
	MYSQL_COLUMNS_END,
	MYSQL_ROW
};

struct mysql_conf {
	struct probe_common common;
	char user[64], password[256];
	char query[512]; /* "" = none */
};

struct mysql_talk {
	enum mysql_at at;
	bool starttls, tls, secret;
	uint8_t sequence; /* of our next packet */
	uint32_t packets, capabilities, columns;
	char version[32], plugin[32];
	uint8_t scramble[MYSQL_SCRAMBLE];
};

static const char *mysql_check(const struct config_probe *probe)
{
	const struct mysql_conf *c = (const void *)probe->conf;

	return c->password[0] && !c->user[0]
		       ? "has \"password_file\" and no \"user\"; expected: both, \"user\", or none"
		       : NULL;
}

static const struct config_key mysql_keys[] = {
	PROBE_KEY_SNI(struct mysql_conf),
	PROBE_KEY("user", struct mysql_conf, user, NULL),
	PROBE_KEY_SECRET("password_file", struct mysql_conf, password),
	PROBE_KEY("query", struct mysql_conf, query, NULL),
	{0},
};

/* Is a server that wants a login all that is asked for? */
static bool life_is_enough(const struct mysql_conf *c)
{
	return !c->user[0] && !c->query[0];
}

static enum probe_step garbled(struct verdict *v)
{
	return probe_end(v, VERDICT_GARBLED, 0, "not MySQL");
}

/* ---- what we say ---- */

static void packet_put(struct mysql_talk *t, const void *bytes, size_t n, struct buf *out)
{
	put_le(out, (uint32_t)n, 3);
	put_le(out, t->sequence++, 1);
	buf_add(out, bytes, n);
}

static void quit_say(struct mysql_talk *t, struct buf *out)
{
	t->secret = false;
	t->sequence = 0;
	packet_put(t, "\x01", 1, out);
}

static enum probe_step mysql_pass(struct mysql_talk *t, const char *how, struct buf *out,
				  struct verdict *v)
{
	quit_say(t, out);
	return probe_end(v, VERDICT_PASS, 0, "%s%s", t->version, how);
}

static enum probe_step mysql_fail(struct mysql_talk *t, const char *why, struct buf *out,
				  struct verdict *v)
{
	quit_say(t, out);
	return probe_end(v, VERDICT_FAIL, 0, "%s", why);
}

static enum probe_step query_say(struct mysql_talk *t, const char *query, struct buf *out)
{
	char bytes[1 + sizeof(((struct mysql_conf *)0)->query)];
	int n = snprintf(bytes, sizeof(bytes), "\x03%s", query);

	t->sequence = 0;
	packet_put(t, bytes, (size_t)n, out);
	t->at = MYSQL_QUERY;
	return PROBE_MORE;
}

/* ---- the password's hashes ---- */

static void digest2(const EVP_MD *md, const void *a, size_t a_len, const void *b, size_t b_len,
		    uint8_t *ret_digest)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	if (!context || EVP_DigestInit_ex(context, md, NULL) != 1 ||
	    EVP_DigestUpdate(context, a, a_len) != 1 || EVP_DigestUpdate(context, b, b_len) != 1 ||
	    EVP_DigestFinal_ex(context, ret_digest, NULL) != 1)
		memset(ret_digest, 0, (size_t)EVP_MD_get_size(md)); /* a login that fails */
	EVP_MD_CTX_free(context);
}

/* hash_make: h(password) XOR h(scramble h(h(password))), or for SHA-256 h(h(h(password)) scramble).
 * Its length; 0 for no password.
 */
static size_t hash_make(const struct mysql_talk *t, const char *password, bool sha256,
			uint8_t ret_hash[static 32])
{
	const EVP_MD *md = sha256 ? EVP_sha256() : EVP_sha1();
	size_t size = sha256 ? 32 : 20;
	uint8_t once[32], twice[32];

	if (!password[0])
		return 0;
	digest2(md, password, strlen(password), "", 0, once);
	digest2(md, once, size, "", 0, twice);
	if (sha256)
		digest2(md, twice, size, t->scramble, MYSQL_SCRAMBLE, ret_hash);
	else
		digest2(md, t->scramble, MYSQL_SCRAMBLE, twice, size, ret_hash);
	for (size_t i = 0; i < size; i++)
		ret_hash[i] ^= once[i];
	return size;
}

/* proof_make: what t->plugin wants to see; its length, or -1: it is not known here. */
static int proof_make(const struct mysql_talk *t, const struct mysql_conf *c,
		      uint8_t ret_proof[static 257])
{
	if (strcmp(t->plugin, "mysql_native_password") == 0)
		return (int)hash_make(t, c->password, false, ret_proof);
	if (strcmp(t->plugin, "caching_sha2_password") == 0)
		return (int)hash_make(t, c->password, true, ret_proof);
	if (strcmp(t->plugin, "mysql_clear_password") == 0 && t->tls) {
		memcpy(ret_proof, c->password, strlen(c->password) + 1);
		return (int)strlen(c->password) + 1;
	}
	return -1;
}

/* ---- the login ---- */

static void login_head(const struct mysql_talk *t, uint32_t more, struct buf *text)
{
	uint32_t ours = MYSQL_LONG_PASSWORD | MYSQL_PROTOCOL_41 | MYSQL_TRANSACTIONS | MYSQL_SECURE;

	ours |= t->capabilities & MYSQL_PLUGINS;
	put_le(text, ours | more, 4);
	put_le(text, MYSQL_PACKET_MOST, 4);
	put_le(text, MYSQL_UTF8, 1);
	for (int i = 0; i < 23; i++)
		put_le(text, 0, 1);
}

static enum probe_step login_say(struct mysql_talk *t, const struct mysql_conf *c, struct buf *out)
{
	char bytes[PROBE_OUT_BYTES / 2];
	struct buf text = {.bytes = bytes, .size = sizeof(bytes)};
	uint8_t proof[257];
	int n = proof_make(t, c, proof);

	if (n < 0 || n > 32) { /* the server says what it wants instead */
		snprintf(t->plugin, sizeof(t->plugin), "mysql_native_password");
		n = proof_make(t, c, proof);
	}
	login_head(t, t->tls ? MYSQL_TLS : 0, &text);
	put_text(&text, c->user[0] ? c->user : "sluice");
	put_le(&text, (uint32_t)n, 1);
	buf_add(&text, proof, (size_t)n);
	if (t->capabilities & MYSQL_PLUGINS)
		put_text(&text, t->plugin);
	t->secret = n > 0;
	t->at = MYSQL_LOGIN;
	packet_put(t, bytes, buf_len(&text), out);
	return PROBE_MORE;
}

static enum probe_step tls_say(struct mysql_talk *t, struct buf *out, struct verdict *v)
{
	char bytes[32];
	struct buf text = {.bytes = bytes, .size = sizeof(bytes)};

	if (!(t->capabilities & MYSQL_TLS))
		return probe_end(v, VERDICT_FAIL, 0, "TLS is not offered");
	login_head(t, MYSQL_TLS, &text);
	packet_put(t, bytes, buf_len(&text), out);
	return PROBE_START_TLS;
}

static enum probe_step greeting_take(struct mysql_talk *t, const struct mysql_conf *c,
				     struct octets o, struct buf *out, struct verdict *v)
{
	uint32_t protocol = octets_le(&o, 1);
	struct octets version = octets_text(&o), one, two, plugin;
	const char *name = (const char *)version.at;

	octets_take(&o, 4); /* the thread */
	one = octets_take(&o, 8);
	octets_take(&o, 1);
	t->capabilities = octets_le(&o, 2);
	octets_take(&o, 3); /* character set, status */
	t->capabilities |= octets_le(&o, 2) << 16;
	octets_take(&o, 11); /* the scramble's length, which is 21; reserved */
	two = octets_take(&o, 12);
	octets_take(&o, 1);
	if (o.bad || protocol != MYSQL_PROTOCOL || !(t->capabilities & MYSQL_PROTOCOL_41))
		return garbled(v);
	memcpy(t->scramble, one.at, 8);
	memcpy(t->scramble + 8, two.at, 12);
	if (strncmp(name, "5.5.5-", 6) == 0) /* MariaDB 10 says so first, for old replicas */
		name += 6;
	snprintf(t->version, sizeof(t->version), "%s", name);
	plugin = octets_text(&o); /* some forget its NUL: then the default */
	snprintf(t->plugin, sizeof(t->plugin), "%.*s",
		 plugin.left < sizeof(t->plugin) ? (int)plugin.left : 0,
		 plugin.left ? (const char *)plugin.at : "");
	return t->starttls ? tls_say(t, out, v) : login_say(t, c, out);
}

/* The server wants another hash, with another scramble. */
static enum probe_step switch_take(struct mysql_talk *t, const struct mysql_conf *c,
				   struct octets o, struct buf *out, struct verdict *v)
{
	struct octets plugin = octets_text(&o), scramble = octets_take(&o, MYSQL_SCRAMBLE);
	uint8_t proof[257];
	int n;

	if (plugin.bad || plugin.left >= sizeof(t->plugin))
		return mysql_fail(t, "it wants a kind of login that is not known here", out, v);
	memcpy(t->plugin, plugin.at, plugin.left + 1);
	if (!scramble.bad)
		memcpy(t->scramble, scramble.at, MYSQL_SCRAMBLE);
	n = proof_make(t, c, proof);
	if (n >= 0) {
		t->secret = n > 0;
		packet_put(t, proof, (size_t)n, out);
		return PROBE_MORE;
	}
	if (life_is_enough(c))
		return mysql_pass(t, ", alive: it wants a login", out, v);
	quit_say(t, out);
	return probe_end(v, VERDICT_FAIL, 0, "it wants a login by %s%s", t->plugin,
			 t->tls ? "" : "; with TLS more is possible");
}

/* caching_sha2_password: the server knows the hash, or wants the password itself. */
static enum probe_step hash_more(struct mysql_talk *t, const struct mysql_conf *c, struct octets o,
				 struct buf *out, struct verdict *v)
{
	uint32_t what = octets_le(&o, 1);

	if (what == MYSQL_FAST_DONE)
		return PROBE_MORE;
	if (o.bad || what != MYSQL_FAST_FAILED)
		return garbled(v);
	if (!t->tls)
		return mysql_fail(t, "it wants the password itself: not sent without TLS", out, v);
	t->secret = true;
	packet_put(t, c->password, strlen(c->password) + 1, out);
	return PROBE_MORE;
}

/* ---- answers ---- */

static enum probe_step error_take(struct mysql_talk *t, const struct mysql_conf *c, struct octets o,
				  struct buf *out, struct verdict *v)
{
	int code = (int)octets_le(&o, 2);
	bool leaving = code == 1040 || code == 1053;
	bool login = code == 1045 || code == 1698 || code == 1251 || code == 1130 || code == 1862 ||
		     code == 3159 /* not without TLS */;

	if (o.bad)
		return garbled(v);
	if (o.left >= 6 && o.at[0] == '#') /* the SQL state */
		octets_take(&o, 6);
	if (life_is_enough(c) && t->at <= MYSQL_LOGIN && login)
		return probe_end(v, VERDICT_PASS, code, "%s%salive: it wants a login", t->version,
				 t->version[0] ? ", " : "");
	if (t->at > MYSQL_LOGIN)
		quit_say(t, out);
	return probe_end_words(v, leaving ? VERDICT_LEAVING : VERDICT_FAIL, code,
			       o.left ? (const char *)o.at : "", o.left);
}

static enum probe_step login_take(struct mysql_talk *t, const struct mysql_conf *c, uint32_t head,
				  struct octets o, struct buf *out, struct verdict *v)
{
	switch (head) {
	case MYSQL_OK:
		return c->query[0] ? query_say(t, c->query, out) : mysql_pass(t, "", out, v);
	case MYSQL_MORE:
		return hash_more(t, c, o, out, v);
	case MYSQL_EOF:
		return switch_take(t, c, o, out, v);
	}
	return garbled(v);
}

/* The columns of the answer to a query, an end, then rows. */
static enum probe_step result_take(struct mysql_talk *t, uint32_t head, struct octets o,
				   struct buf *out, struct verdict *v)
{
	bool end = head == MYSQL_EOF && o.left < 8;

	switch (t->at) {
	case MYSQL_QUERY:
		if (head == MYSQL_OK)
			return mysql_pass(t, "", out, v);
		if (head >= MYSQL_FILE)
			return garbled(v);
		t->columns = head;
		t->at = MYSQL_COLUMNS;
		return PROBE_MORE;
	case MYSQL_COLUMNS:
		if (--t->columns == 0)
			t->at = MYSQL_COLUMNS_END;
		return end ? garbled(v) : PROBE_MORE;
	case MYSQL_COLUMNS_END:
		t->at = MYSQL_ROW;
		return end ? PROBE_MORE : garbled(v);
	default:
		return end ? mysql_fail(t, "the query gave no row", out, v)
			   : mysql_pass(t, "", out, v);
	}
}

static enum probe_step packet_take(struct mysql_talk *t, const struct mysql_conf *c,
				   struct octets o, struct buf *out, struct verdict *v)
{
	struct octets whole = o;
	uint32_t head = octets_le(&o, 1);

	t->secret = false;
	if (o.bad)
		return garbled(v);
	if (head == MYSQL_ERR)
		return error_take(t, c, o, out, v);
	if (t->at == MYSQL_GREETING)
		return greeting_take(t, c, whole, out, v);
	if (t->at == MYSQL_LOGIN)
		return login_take(t, c, head, o, out, v);
	return result_take(t, head, o, out, v);
}

static enum probe_step mysql_feed(void *talk, const void *conf, struct buf *in, struct buf *out,
				  struct verdict *v)
{
	enum probe_step step = PROBE_MORE;
	struct mysql_talk *t = talk;

	while (step == PROBE_MORE && buf_len(in) >= 4) {
		struct octets o = octets_of(buf_head(in), buf_len(in));
		size_t length = octets_le(&o, 3);
		bool row = t->at == MYSQL_ROW && length > 64;

		t->sequence = (uint8_t)(octets_le(&o, 1) + 1);
		if (length > PROBE_IN_BYTES - 4 && !row)
			return probe_end(v, VERDICT_GARBLED, 0, "%s",
					 t->at == MYSQL_GREETING ? "not MySQL"
								 : "a packet that is too long");
		if (row) /* of whatever length: its beginning is enough, but for an error */
			length = length < 512 ? length : 512;
		if (o.left < length)
			return PROBE_MORE;
		if (++t->packets > MYSQL_PACKETS + 250)
			return probe_end(v, VERDICT_GARBLED, 0, "an endless answer");
		step = packet_take(t, conf, octets_take(&o, length), out, v);
		buf_drop(in, length + 4);
	}
	if (step == PROBE_START_TLS && buf_len(in) > 0)
		return probe_end(v, VERDICT_GARBLED, 0,
				 "plain text after the go-ahead for TLS: someone may inject it");
	return step;
}

static enum probe_step mysql_start(void *talk, const void *conf, enum config_tls tls,
				   struct buf *out, struct verdict *v)
{
	struct mysql_talk *t = talk;

	(void)conf;
	(void)out;
	(void)v;
	t->starttls = tls == TLS_STARTTLS;
	return PROBE_MORE;
}

static enum probe_step mysql_secured(void *talk, const void *conf, struct buf *out,
				     struct verdict *v)
{
	struct mysql_talk *t = talk;

	(void)v;
	t->tls = true;
	return login_say(t, conf, out);
}

static const char *mysql_waiting(const void *talk)
{
	static const char *const names[] = {
		[MYSQL_GREETING] = "greeting",
		[MYSQL_LOGIN] = "answer to the login",
		[MYSQL_QUERY] = "answer to the query",
		[MYSQL_COLUMNS] = "end of the columns",
		[MYSQL_COLUMNS_END] = "end of the columns",
		[MYSQL_ROW] = "row",
	};

	return names[((const struct mysql_talk *)talk)->at];
}

static bool mysql_hides(const void *talk)
{
	return ((const struct mysql_talk *)talk)->secret;
}

const struct probe_ops probe_mysql = {
	.schema = {.name = "mysql",
		   .keys = mysql_keys,
		   .conf_size = sizeof(struct mysql_conf),
		   .can_starttls = true,
		   .check = mysql_check},
	.opening = OPENING_SERVERS,
	.talk_size = sizeof(struct mysql_talk),
	.start = mysql_start,
	.feed = mysql_feed,
	.secured = mysql_secured,
	.waiting = mysql_waiting,
	.hides = mysql_hides,
};
