/* SPDX-License-Identifier: BSD-2-Clause */
/* probe_ldap.c: LDAP (RFC 4511): StartTLS if asked for, a simple bind, and a search for one entry.
 *
 * Passes when the bind succeeds and, with `base`, the server has that entry. An anonymous bind that
 * the server does not allow (48, 8, 13) proves that it lives. busy (51), unavailable (52) and the
 * notice of disconnection with one of these mean that it asks for no more work.
 *
 * BER (X.690) as RFC 4511 5.1 bounds it: definite lengths, here of at most four bytes, of elements
 * that fit into the input's limit.
 */
#include <string.h>

#include "healthcheck/octets.h"
#include "healthcheck/probe.h"

enum ber_tag {
	BER_BOOLEAN = 0x01,
	BER_INTEGER = 0x02,
	BER_OCTETS = 0x04,
	BER_ENUMERATED = 0x0a,
	BER_SEQUENCE = 0x30,
	LDAP_BIND = 0x60,
	LDAP_BOUND = 0x61,
	LDAP_UNBIND = 0x42,
	LDAP_SEARCH = 0x63,
	LDAP_ENTRY = 0x64,
	LDAP_SEARCHED = 0x65,
	LDAP_REFERENCE = 0x73,
	LDAP_EXTENDED = 0x77,
	LDAP_EXTENDED_RESULT = 0x78,
	LDAP_SIMPLE = 0x80,  /* of a bind */
	LDAP_OID = 0x80,     /* of an extended request */
	LDAP_PRESENT = 0x87, /* of a filter */
};

enum { LDAP_MESSAGES = 50 /* of a server, in one conversation */ };

enum ldap_at { LDAP_AT_TLS, LDAP_AT_BIND, LDAP_AT_SEARCH };

#define STARTTLS_OID "1.3.6.1.4.1.1466.20037"

struct ldap_conf {
	struct probe_common common;
	char bind_dn[256], password[256];
	char base[256]; /* "" = no search */
};

struct ldap_talk {
	enum ldap_at at;
	uint32_t messages;
	bool secret, found;
};

static const char *ldap_check(const struct config_probe *probe)
{
	const struct ldap_conf *c = (const void *)probe->conf;

	/* with a name alone it would be anonymous, and succeed (RFC 4513 5.1.2) */
	return !c->bind_dn[0] == !c->password[0]
		       ? NULL
		       : "has only one of \"bind_dn\" and \"password_file\"; expected: both, or none";
}

static const struct config_key ldap_keys[] = {
	PROBE_KEY_SNI(struct ldap_conf),
	PROBE_KEY("bind_dn", struct ldap_conf, bind_dn, NULL),
	PROBE_KEY_SECRET("password_file", struct ldap_conf, password),
	PROBE_KEY("base", struct ldap_conf, base, NULL),
	{0},
};

/* ---- what we say ---- */

/* Elements are written from the last to the first: then the length of what is inside is known. */
struct ber {
	uint8_t bytes[1024];
	size_t at; /* where they begin */
};

static struct ber ber_empty(void)
{
	return (struct ber){.at = sizeof(((struct ber *)0)->bytes)};
}

static void ber_before(struct ber *b, const void *bytes, size_t n)
{
	if (n > b->at) /* what is written is bounded by the settings' sizes */
		n = b->at;
	b->at -= n;
	memcpy(b->bytes + b->at, bytes, n);
}

/* ber_wrap: what was written since there were @end bytes left becomes the value of @tag. */
static void ber_wrap(struct ber *b, enum ber_tag tag, size_t end)
{
	size_t n = end - b->at;
	uint8_t head[4] = {(uint8_t)tag, 0x82, (uint8_t)(n >> 8), (uint8_t)n};

	if (n < 0x80)
		head[1] = (uint8_t)n;
	ber_before(b, head, n < 0x80 ? 2 : 4);
}

static void ber_value(struct ber *b, enum ber_tag tag, const void *bytes, size_t n)
{
	size_t end = b->at;

	ber_before(b, bytes, n);
	ber_wrap(b, tag, end);
}

static void ber_text(struct ber *b, enum ber_tag tag, const char *text)
{
	ber_value(b, tag, text, strlen(text));
}

static void ber_number(struct ber *b, enum ber_tag tag, uint8_t number)
{
	ber_value(b, tag, &number, 1);
}

static void message_put(struct ber *b, uint8_t id, struct buf *out)
{
	ber_number(b, BER_INTEGER, id);
	ber_wrap(b, BER_SEQUENCE, sizeof(b->bytes));
	buf_add(out, b->bytes + b->at, sizeof(b->bytes) - b->at);
}

/* The number of a request, so that an answer to another is known: one of each kind. */
static uint8_t request_id(enum ldap_at at)
{
	return (uint8_t)(at + 1);
}

static enum probe_step starttls_say(struct ldap_talk *t, struct buf *out)
{
	struct ber b = ber_empty();
	size_t end = b.at;

	ber_text(&b, LDAP_OID, STARTTLS_OID);
	ber_wrap(&b, LDAP_EXTENDED, end);
	t->at = LDAP_AT_TLS;
	message_put(&b, request_id(t->at), out);
	return PROBE_MORE;
}

static enum probe_step bind_say(struct ldap_talk *t, const struct ldap_conf *c, struct buf *out)
{
	struct ber b = ber_empty();
	size_t end = b.at;

	ber_text(&b, LDAP_SIMPLE, c->bind_dn[0] ? c->password : "");
	ber_text(&b, BER_OCTETS, c->bind_dn);
	ber_number(&b, BER_INTEGER, 3);
	ber_wrap(&b, LDAP_BIND, end);
	t->at = LDAP_AT_BIND;
	t->secret = c->bind_dn[0] && c->password[0];
	message_put(&b, request_id(t->at), out);
	return PROBE_MORE;
}

/* The base object alone, with whatever class, without its attributes ("1.1", RFC 4511 4.5.1.8). */
static enum probe_step search_say(struct ldap_talk *t, const struct ldap_conf *c, struct buf *out)
{
	struct ber b = ber_empty();
	size_t end = b.at;

	ber_text(&b, BER_OCTETS, "1.1");
	ber_wrap(&b, BER_SEQUENCE, end);
	ber_text(&b, LDAP_PRESENT, "objectClass");
	ber_number(&b, BER_BOOLEAN, 0);	   /* typesOnly */
	ber_number(&b, BER_INTEGER, 0);	   /* timeLimit: none */
	ber_number(&b, BER_INTEGER, 1);	   /* sizeLimit */
	ber_number(&b, BER_ENUMERATED, 0); /* never dereference aliases */
	ber_number(&b, BER_ENUMERATED, 0); /* scope: baseObject */
	ber_text(&b, BER_OCTETS, c->base);
	ber_wrap(&b, LDAP_SEARCH, end);
	t->at = LDAP_AT_SEARCH;
	message_put(&b, request_id(t->at), out);
	return PROBE_MORE;
}

static void unbind_say(struct buf *out)
{
	struct ber b = ber_empty();

	ber_value(&b, LDAP_UNBIND, "", 0);
	message_put(&b, LDAP_AT_SEARCH + 2, out);
}

/* ---- what we hear ---- */

/* ber_head: a tag and a length; bad when it is no such thing, or not all of it has come. */
static uint8_t ber_head(struct octets *o, size_t *ret_length)
{
	uint8_t tag = (uint8_t)octets_be(o, 1);
	size_t length = octets_be(o, 1), n = length & 0x7f;

	if (length >= 0x80) {
		if (n == 0 || n > 4)
			o->bad = true;
		length = o->bad ? 0 : octets_be(o, n);
	}
	*ret_length = length;
	return tag;
}

/* ber_next: the value of the next element, which must be of @tag. */
static struct octets ber_next(struct octets *o, enum ber_tag tag)
{
	size_t length;

	if (ber_head(o, &length) != tag)
		o->bad = true;
	return octets_take(o, length);
}

static uint32_t ber_int(struct octets *o, enum ber_tag tag)
{
	struct octets value = ber_next(o, tag);

	if (value.left < 1 || value.left > 4)
		o->bad = true;
	return octets_be(&value, value.left);
}

/* message_next: 1 and what is in the message, 0: not all of it has come, -1: it is none. */
static int message_next(struct buf *in, struct octets *ret_message)
{
	struct octets o = octets_of(buf_head(in), buf_len(in)), head = o;
	size_t length;

	if (o.left == 0)
		return 0;
	if (o.at[0] != BER_SEQUENCE || (o.left > 1 && o.at[1] > 0x84) ||
	    (o.left > 1 && o.at[1] == 0x80))
		return -1;
	ber_head(&head, &length);
	if (head.bad)
		return 0;
	if (length > PROBE_IN_BYTES - 6)
		return -1;
	if (head.left < length)
		return 0;
	*ret_message = octets_take(&head, length);
	buf_drop(in, buf_len(in) - head.left);
	return 1;
}

struct result {
	uint32_t code;
	struct octets words;
};

/* What of it says how a conversation ends; `result` as in RFC 4511 4.1.9. */
static enum probe_step result_end(struct ldap_talk *t, const struct result *r, struct buf *out,
				  struct verdict *v)
{
	bool leaving = r->code == 51 || r->code == 52;

	unbind_say(out);
	t->secret = false;
	if (r->words.left > 0)
		return probe_end_words(v, leaving ? VERDICT_LEAVING : VERDICT_FAIL, (int)r->code,
				       (const char *)r->words.at, r->words.left);
	return probe_end(v, leaving ? VERDICT_LEAVING : VERDICT_FAIL, (int)r->code, "result %u%s",
			 r->code, r->code == 49 ? ": wrong name or password" : "");
}

static enum probe_step ldap_pass(const char *text, struct buf *out, struct verdict *v)
{
	unbind_say(out);
	return probe_end(v, VERDICT_PASS, 0, "%s", text);
}

static enum probe_step bound(struct ldap_talk *t, const struct ldap_conf *c, const struct result *r,
			     struct buf *out, struct verdict *v)
{
	bool wants_login = r->code == 48 || r->code == 8 || r->code == 13;

	if (!c->bind_dn[0] && !c->base[0] && wants_login)
		return ldap_pass("alive, it wants a login", out, v);
	if (r->code != 0)
		return result_end(t, r, out, v);
	if (c->base[0])
		return search_say(t, c, out);
	return ldap_pass(c->bind_dn[0] ? "bound" : "bound anonymously", out, v);
}

static enum probe_step result_take(struct ldap_talk *t, const struct ldap_conf *c, uint8_t tag,
				   const struct result *r, struct buf *out, struct verdict *v)
{
	if (t->at == LDAP_AT_BIND && tag == LDAP_BOUND)
		return bound(t, c, r, out, v);
	if (t->at == LDAP_AT_TLS && tag == LDAP_EXTENDED_RESULT)
		return r->code == 0 ? PROBE_START_TLS : result_end(t, r, out, v);
	if (t->at == LDAP_AT_SEARCH && tag == LDAP_SEARCHED) {
		if (r->code != 0)
			return result_end(t, r, out, v);
		if (t->found)
			return ldap_pass("found", out, v);
		unbind_say(out);
		return probe_end(v, VERDICT_FAIL, 0, "the entry of \"base\" was not found");
	}
	return probe_end(v, VERDICT_GARBLED, 0, "an answer that was not asked for");
}

static enum probe_step message_take(struct ldap_talk *t, const struct ldap_conf *c, struct octets o,
				    struct buf *out, struct verdict *v)
{
	uint32_t id = ber_int(&o, BER_INTEGER);
	struct result r = {0};
	size_t length;
	uint8_t tag = ber_head(&o, &length);
	struct octets op = octets_take(&o, length);

	if (!o.bad && t->at == LDAP_AT_SEARCH && id == request_id(t->at) &&
	    (tag == LDAP_ENTRY || tag == LDAP_REFERENCE)) {
		t->found |= tag == LDAP_ENTRY;
		return PROBE_MORE;
	}
	r.code = ber_int(&op, BER_ENUMERATED);
	ber_next(&op, BER_OCTETS); /* matchedDN */
	r.words = ber_next(&op, BER_OCTETS);
	if (o.bad || op.bad || r.code > 0xffff)
		return probe_end(v, VERDICT_GARBLED, 0, "not LDAP");
	if (id == 0 && tag == LDAP_EXTENDED_RESULT) /* notice of disconnection, RFC 4511 4.4.1 */
		return result_end(t, &r, out, v);
	if (id != request_id(t->at))
		return probe_end(v, VERDICT_GARBLED, 0, "an answer that was not asked for");
	return result_take(t, c, tag, &r, out, v);
}

static enum probe_step ldap_feed(void *talk, const void *conf, struct buf *in, struct buf *out,
				 struct verdict *v)
{
	enum probe_step step = PROBE_MORE;
	struct ldap_talk *t = talk;
	struct octets message;

	t->secret = false;
	while (step == PROBE_MORE) {
		int r = message_next(in, &message);

		if (r == 0)
			return PROBE_MORE;
		if (r < 0 || ++t->messages > LDAP_MESSAGES)
			return probe_end(v, VERDICT_GARBLED, 0,
					 r < 0 ? "not LDAP" : "an endless answer");
		step = message_take(t, conf, message, out, v);
	}
	if (step == PROBE_START_TLS && buf_len(in) > 0)
		return probe_end(v, VERDICT_GARBLED, 0,
				 "plain text after the go-ahead for TLS: someone may inject it");
	return step;
}

static enum probe_step ldap_start(void *talk, const void *conf, enum config_tls tls,
				  struct buf *out, struct verdict *v)
{
	(void)v;
	return tls == TLS_STARTTLS ? starttls_say(talk, out) : bind_say(talk, conf, out);
}

static enum probe_step ldap_secured(void *talk, const void *conf, struct buf *out,
				    struct verdict *v)
{
	(void)v;
	return bind_say(talk, conf, out);
}

static const char *ldap_waiting(const void *talk)
{
	static const char *const names[] = {
		[LDAP_AT_TLS] = "answer to StartTLS",
		[LDAP_AT_BIND] = "answer to the bind",
		[LDAP_AT_SEARCH] = "end of the search",
	};

	return names[((const struct ldap_talk *)talk)->at];
}

static bool ldap_hides(const void *talk)
{
	return ((const struct ldap_talk *)talk)->secret;
}

const struct probe_ops probe_ldap = {
	.schema = {.name = "ldap",
		   .keys = ldap_keys,
		   .conf_size = sizeof(struct ldap_conf),
		   .can_tls = true,
		   .can_starttls = true,
		   .check = ldap_check},
	.opening = OPENING_OURS,
	.talk_size = sizeof(struct ldap_talk),
	.start = ldap_start,
	.feed = ldap_feed,
	.secured = ldap_secured,
	.waiting = ldap_waiting,
	.hides = ldap_hides,
};
