/* SPDX-License-Identifier: BSD-2-Clause */
/* probe.c: the table of probe types, and what they share. Pure. */
#include "healthcheck/probe.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "healthcheck/healthcheck.h"

/* One row for each probe type. */
static const struct probe_ops *const probes[] = {
	&probe_tcp,	   &probe_smtp,	 &probe_pop3,	     &probe_imap,   &probe_http,
	&probe_submission, &probe_lmtp,	 &probe_managesieve, &probe_chat,   &probe_agent,
	&probe_tls,	   &probe_icmp,	 &probe_dns,	     &probe_redis,  &probe_memcached,
	&probe_ldap,	   &probe_mysql, &probe_postgresql,  &probe_script,
};

const struct probe_schema *const healthcheck_schemas[] = {
	&probe_tcp.schema,	 &probe_smtp.schema,
	&probe_pop3.schema,	 &probe_imap.schema,
	&probe_http.schema,	 &probe_submission.schema,
	&probe_lmtp.schema,	 &probe_managesieve.schema,
	&probe_chat.schema,	 &probe_agent.schema,
	&probe_tls.schema,	 &probe_icmp.schema,
	&probe_dns.schema,	 &probe_redis.schema,
	&probe_memcached.schema, &probe_ldap.schema,
	&probe_mysql.schema,	 &probe_postgresql.schema,
	&probe_script.schema,	 NULL,
};

_Static_assert(sizeof(probes) / sizeof(probes[0]) + 1 ==
		       sizeof(healthcheck_schemas) / sizeof(healthcheck_schemas[0]),
	       "every probe has its schema");

enum probe_transport probe_transport_of(const struct probe_ops *ops,
					const struct config_probe *probe)
{
	if (probe->tls != TLS_NONE || !ops->transport)
		return TRANSPORT_TCP;
	return ops->transport(probe->conf);
}

const struct probe_ops *probe_find(const char *type)
{
	for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++) {
		if (strcmp(probes[i]->schema.name, type) == 0)
			return probes[i];
	}
	return NULL;
}

const char *verdict_name(enum verdict_word word)
{
	static const char *const names[] = {
#define VERDICT_WORD(name, word) word,
		VERDICTS(VERDICT_WORD)
#undef VERDICT_WORD
	};

	return names[word];
}

/* @more: bytes that may stand in it beside letters and digits. */
static bool is_name(const char *value, const char *more)
{
	for (const char *c = value; *c; c++) {
		if (!isalnum((unsigned char)*c) && !strchr(more, *c))
			return false;
	}
	return true;
}

const char *probe_check_host(const char *value)
{
	return *value && is_name(value, "-._:[]")
		       ? NULL
		       : "is no host name; expected: a name, or an address in brackets";
}

const char *probe_check_sni(const char *value)
{
	return is_name(value, "-._")
		       ? NULL
		       : "is no host name; expected: letters, digits, dots and hyphens";
}

enum probe_step probe_end_words(struct verdict *v, enum verdict_word word, int code,
				const char *words, size_t len_bytes)
{
	size_t n = 0;

	v->word = word;
	v->code = code;
	for (; n < len_bytes && n < sizeof(v->text) - 1; n++)
		v->text[n] = (char)(words[n] >= 0x20 && words[n] < 0x7f ? words[n] : '?');
	v->text[n] = '\0';
	return PROBE_DONE;
}

enum probe_step probe_end(struct verdict *v, enum verdict_word word, int code, const char *format,
			  ...)
{
	char text[VERDICT_TEXT];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	return probe_end_words(v, word, code, text, strlen(text));
}
