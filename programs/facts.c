/* SPDX-License-Identifier: BSD-2-Clause */
/* facts.c: see facts.h. */
#include "programs/facts.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

_Static_assert(FACTS_MOST *(8 + FACT_KEY_BYTES + FACT_SIZE) + 1600 < ENVIRONMENT_SIZE,
	       "an environment holds any facts");
_Static_assert(FACTS_MOST *(8 + FACT_KEY_BYTES + 2 * FACT_SIZE) + 8 < JSON_SIZE,
	       "JSON holds any facts");

static struct fact *fact_new(struct facts *f, const char *key)
{
	struct fact *fact = &f->facts[f->n++];

	assert(f->n <= FACTS_MOST && strlen(key) <= FACT_KEY_BYTES);
	*fact = (struct fact){.key = key};
	return fact;
}

void facts_add(struct facts *f, const char *key, const char *value)
{
	struct fact *fact = fact_new(f, key);
	size_t n = 0;

	for (; value[n] && n < FACT_SIZE - 1; n++)
		fact->value[n] = value[n] >= ' ' && value[n] <= '~' ? value[n] : '?';
	fact->value[n] = '\0';
}

void facts_add_number(struct facts *f, const char *key, int64_t value)
{
	struct fact *fact = fact_new(f, key);

	fact->number = true;
	snprintf(fact->value, sizeof(fact->value), "%" PRId64, value);
}

/* ---- as an environment ---- */

static void string_add(struct environment *e, const char *prefix, const char *key,
		       const char *value)
{
	size_t room = sizeof(e->text) - e->used;
	char *at = e->text + e->used;
	int n = snprintf(at, room, "%s%s=%s", prefix, key, value);

	if (n < 0 || (size_t)n >= room || e->n == ENVIRONMENT_MOST)
		return; /* a home folder of many kilobytes */
	for (char *c = at; *c != '='; c++)
		*c = (char)toupper((unsigned char)*c);
	e->strings[e->n++] = at;
	e->strings[e->n] = NULL;
	e->used += (size_t)n + 1;
}

void environment_init(struct environment *e, const char *user, const char *home)
{
	e->n = 0;
	e->used = 0;
	e->strings[0] = NULL;
	string_add(e, "", "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	string_add(e, "", "LANG", "C.UTF-8");
	string_add(e, "", "USER", user);
	string_add(e, "", "LOGNAME", user);
	string_add(e, "", "HOME", strlen(home) < 512 ? home : "/");
}

void environment_add(struct environment *e, const struct facts *f)
{
	for (uint32_t i = 0; i < f->n; i++)
		string_add(e, "SLUICE_", f->facts[i].key, f->facts[i].value);
}

/* ---- as JSON (RFC 8259) ---- */

static char *json_string(char *at, const char *text)
{
	*at++ = '"';
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			*at++ = '\\';
		*at++ = *text;
	}
	*at++ = '"';
	return at;
}

size_t facts_json(const struct facts *f, char buf[static JSON_SIZE])
{
	char *at = buf;

	*at++ = '{';
	for (uint32_t i = 0; i < f->n; i++) {
		const struct fact *fact = &f->facts[i];

		if (i > 0)
			*at++ = ',';
		at = json_string(at, fact->key);
		*at++ = ':';
		if (fact->number)
			at = stpcpy(at, fact->value);
		else
			at = json_string(at, fact->value);
	}
	at = stpcpy(at, "}\n");
	return (size_t)(at - buf);
}
