/* SPDX-License-Identifier: BSD-2-Clause */
/* probe_dns.c: one question of the DNS (RFC 1035 4), by UDP, by TCP or under TLS (RFC 7858).
 *
 * Passes when the answer's response code is in the accepted list; a truncated answer is one. What
 * has another identifier or question is not the answer: by UDP it may be forged, and is not
 * listened to. The question wants recursion, as a client's does.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "healthcheck/octets.h"
#include "healthcheck/probe.h"

enum { DNS_NAME_BYTES = 255, DNS_LABEL = 63, DNS_HEAD = 12, DNS_CLASS_IN = 1 };
enum { DNS_RESPONSE = 0x8000, DNS_OPCODE = 0x7800, DNS_TRUNCATED = 0x0200, DNS_RECURSE = 0x0100 };

struct dns_conf {
	struct probe_common common;
	char name[256];
	char qtype[8];
	char rcode[128]; /* "NOERROR,NXDOMAIN" */
	char transport[8];
};

struct dns_talk {
	uint8_t id[2]; /* random */
	bool stream;
};

/* ---- the settings ---- */

static const struct dns_type {
	const char *name;
	uint16_t number;
} types[] = {{"A", 1},	  {"NS", 2},	{"CNAME", 5}, {"SOA", 6}, {"PTR", 12},	  {"MX", 15},
	     {"TXT", 16}, {"AAAA", 28}, {"SRV", 33},  {"DS", 43}, {"DNSKEY", 48}, {"CAA", 257}};

static const char *const rcodes[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN",
				     "NOTIMP",	"REFUSED", "YXDOMAIN", "YXRRSET",
				     "NXRRSET", "NOTAUTH", "NOTZONE"};
enum { RCODES = sizeof(rcodes) / sizeof(rcodes[0]) };

static uint16_t type_number(const char *name) /* 0 = not known */
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (strcmp(types[i].name, name) == 0)
			return types[i].number;
	}
	return 0;
}

/* name_put: as labels; false when it is no name, or does not fit. */
static bool name_put(struct buf *out, const char *name)
{
	size_t before = buf_len(out);

	while (*name && strcmp(name, ".") != 0) {
		size_t n = strcspn(name, ".");

		if (n == 0 || n > DNS_LABEL || !put_be(out, (uint32_t)n, 1) ||
		    !buf_add(out, name, n))
			return false;
		name += n + (name[n] == '.');
	}
	return put_be(out, 0, 1) && buf_len(out) - before <= DNS_NAME_BYTES;
}

static const char *check_name(const char *value)
{
	char bytes[2 * DNS_NAME_BYTES];
	struct buf labels = {.bytes = bytes, .size = sizeof(bytes)};

	for (const char *c = value; *c; c++) {
		if (*c <= 0x20 || *c >= 0x7f || *c == '\\')
			return "has a character that is not known here; expected: a domain name";
	}
	return *value && name_put(&labels, value)
		       ? NULL
		       : "is no domain name; expected: one such as \"www.example.org\"";
}

static const char *check_qtype(const char *value)
{
	return type_number(value)
		       ? NULL
		       : "is not known; expected: \"A\", \"AAAA\", \"MX\", \"NS\", \"SOA\", \"TXT\", \"PTR\", \"SRV\", \"CNAME\", \"DS\", \"DNSKEY\" or \"CAA\"";
}

/* rcode_listed: @name stands in the list, between commas. */
static bool rcode_listed(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (; list; list = strchr(list, ',') ? strchr(list, ',') + 1 : NULL) {
		if (strncmp(list, name, n) == 0 && (list[n] == ',' || list[n] == '\0'))
			return true;
	}
	return false;
}

static const char *check_rcode(const char *value)
{
	for (const char *word = value; word;
	     word = strchr(word, ',') ? strchr(word, ',') + 1 : NULL) {
		size_t i = 0, n = strcspn(word, ",");

		while (i < RCODES && (strlen(rcodes[i]) != n || strncmp(rcodes[i], word, n) != 0))
			i++;
		if (i == RCODES)
			return "is no list of response codes; expected: one such as \"NOERROR,NXDOMAIN\"";
	}
	return NULL;
}

static const char *check_transport(const char *value)
{
	return strcmp(value, "udp") == 0 || strcmp(value, "tcp") == 0
		       ? NULL
		       : "is not known; expected: \"udp\" or \"tcp\"";
}

static const char *dns_check(const struct config_probe *probe)
{
	const struct dns_conf *c = (const void *)probe->conf;
	bool datagrams = probe->tls == TLS_NONE && strcmp(c->transport, "udp") == 0;

	return datagrams && probe->proxy != PROXY_NONE
		       ? "asks by UDP, where no PROXY header goes first; expected: transport = \"tcp\""
		       : NULL;
}

static const struct dns_conf dns_defaults = {
	.name = "localhost", .qtype = "A", .rcode = "NOERROR", .transport = "udp"};

static const struct config_key dns_keys[] = {
	PROBE_KEY_SNI(struct dns_conf),
	PROBE_KEY("name", struct dns_conf, name, check_name),
	PROBE_KEY("qtype", struct dns_conf, qtype, check_qtype),
	PROBE_KEY("rcode", struct dns_conf, rcode, check_rcode),
	PROBE_KEY("transport", struct dns_conf, transport, check_transport),
	{0},
};

/* ---- the conversation ---- */

static enum probe_transport dns_transport(const void *conf)
{
	return strcmp(((const struct dns_conf *)conf)->transport, "tcp") == 0 ? TRANSPORT_TCP
									      : TRANSPORT_UDP;
}

static void question_put(struct buf *out, const struct dns_conf *c)
{
	name_put(out, c->name);
	put_be(out, type_number(c->qtype), 2);
	put_be(out, DNS_CLASS_IN, 2);
}

static enum probe_step dns_start(void *talk, const void *conf, enum config_tls tls, struct buf *out,
				 struct verdict *v)
{
	char bytes[DNS_NAME_BYTES + 4];
	struct buf question = {.bytes = bytes, .size = sizeof(bytes)};
	struct dns_talk *t = talk;

	(void)v;
	question_put(&question, conf);
	t->stream = tls != TLS_NONE || dns_transport(conf) == TRANSPORT_TCP;
	if (t->stream)
		put_be(out, (uint32_t)(DNS_HEAD + buf_len(&question)), 2);
	buf_add(out, t->id, sizeof(t->id));
	put_be(out, DNS_RECURSE, 2);
	put_be(out, 1, 2); /* questions */
	put_be(out, 0, 4); /* answers, authorities */
	put_be(out, 0, 2); /* additional records */
	buf_add(out, bytes, buf_len(&question));
	return PROBE_MORE;
}

/* Is the same question in the answer, in whatever case? */
static bool question_is(const struct octets *o, const struct dns_conf *c)
{
	char bytes[DNS_NAME_BYTES + 4];
	struct buf question = {.bytes = bytes, .size = sizeof(bytes)};

	question_put(&question, c);
	if (o->left < buf_len(&question))
		return false;
	for (size_t i = 0; i < buf_len(&question); i++) {
		if (tolower(o->at[i]) != tolower((unsigned char)bytes[i]))
			return false;
	}
	return true;
}

/* message_judge: false = it is no answer to our question. */
static bool message_judge(const struct dns_talk *t, const struct dns_conf *c, struct octets o,
			  struct verdict *v)
{
	struct octets id = octets_take(&o, 2);
	uint32_t flags = octets_be(&o, 2), questions = octets_be(&o, 2), answers = octets_be(&o, 2);
	unsigned int rcode = flags & 15;
	char name[16];

	octets_take(&o, 4);
	if (o.bad || memcmp(id.at, t->id, sizeof(t->id)) != 0 || !(flags & DNS_RESPONSE) ||
	    flags & DNS_OPCODE)
		return false;
	/* An error may come without the question. */
	if (questions == 1 ? !question_is(&o, c) : questions != 0 || rcode == 0)
		return false;
	if (rcode < RCODES)
		snprintf(name, sizeof(name), "%s", rcodes[rcode]);
	else
		snprintf(name, sizeof(name), "code %u", rcode);
	probe_end(v, rcode_listed(c->rcode, name) ? VERDICT_PASS : VERDICT_FAIL, (int)rcode,
		  "%s, answers: %u%s", name, answers, flags & DNS_TRUNCATED ? ", truncated" : "");
	return true;
}

static enum probe_step datagram_feed(const struct dns_talk *t, const struct dns_conf *c,
				     struct buf *in, struct verdict *v)
{
	bool judged = message_judge(t, c, octets_of(buf_head(in), buf_len(in)), v);

	buf_drop(in, buf_len(in));
	return judged ? PROBE_DONE : PROBE_MORE;
}

static enum probe_step dns_feed(void *talk, const void *conf, struct buf *in, struct buf *out,
				struct verdict *v)
{
	const struct dns_talk *t = talk;
	struct octets o = octets_of(buf_head(in), buf_len(in));
	size_t length;

	(void)out;
	if (!t->stream)
		return datagram_feed(t, conf, in, v);
	if (o.left < 2)
		return PROBE_MORE;
	length = octets_be(&o, 2);
	if (length < DNS_HEAD || length > PROBE_IN_BYTES - 2)
		return probe_end(v, VERDICT_GARBLED, 0, "not DNS: an answer of %zu bytes", length);
	if (o.left < length)
		return PROBE_MORE;
	if (!message_judge(t, conf, octets_take(&o, length), v))
		return probe_end(v, VERDICT_GARBLED, 0, "not an answer to the question");
	return PROBE_DONE;
}

static const char *dns_waiting(const void *talk)
{
	(void)talk;
	return "answer";
}

const struct probe_ops probe_dns = {
	.schema = {.name = "dns",
		   .keys = dns_keys,
		   .defaults = &dns_defaults,
		   .conf_size = sizeof(struct dns_conf),
		   .can_tls = true,
		   .check = dns_check},
	.opening = OPENING_OURS,
	.talk_size = sizeof(struct dns_talk),
	.random_bytes = sizeof(((struct dns_talk *)0)->id),
	.transport = dns_transport,
	.start = dns_start,
	.feed = dns_feed,
	.waiting = dns_waiting,
};
