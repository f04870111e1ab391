/* SPDX-License-Identifier: BSD-2-Clause */
/* facts.h: what a program is told: keys and values, as its environment or as JSON. Pure.
 *
 * A value may be a stranger's words: whatever is not printable ASCII becomes '?', and no shell ever
 * sees it unless the operator's own program gives it to one.
 */
#ifndef SLUICE_PROGRAMS_FACTS_H
#define SLUICE_PROGRAMS_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	FACTS_MOST = 20,
	FACT_KEY_BYTES = 15,   /* the longest key */
	FACT_SIZE = 256,       /* of a value, NUL included; longer ones are cut */
	ENVIRONMENT_MOST = 32, /* strings */
	ENVIRONMENT_SIZE = 8192,
	JSON_SIZE = 16384, /* holds any facts */
};

struct fact {
	const char *key; /* lower case, static */
	bool number;
	char value[FACT_SIZE];
};

struct facts {
	uint32_t n;
	struct fact facts[FACTS_MOST];
};

void facts_add(struct facts *f, const char *key, const char *value);
void facts_add_number(struct facts *f, const char *key, int64_t value);

struct environment { /* for execve() */
	uint32_t n;
	size_t used;
	char *strings[ENVIRONMENT_MOST + 1]; /* ends with NULL */
	char text[ENVIRONMENT_SIZE];
};

/* environment_init: PATH, HOME, USER, LOGNAME and LANG, nothing of our own. */
void environment_init(struct environment *e, const char *user, const char *home);
/* environment_add: each fact as SLUICE_KEY=value. */
void environment_add(struct environment *e, const struct facts *f);
/* facts_json: as one object with a newline, NUL-terminated; its length. */
size_t facts_json(const struct facts *f, char buf[static JSON_SIZE]);

#endif
