/* SPDX-License-Identifier: BSD-2-Clause */
/* config_read.h: typed reading of libconfig's settings, every mistake collected with its place.
 *
 * A getter that fails has told the reason and leaves its output as it was: the reader goes on to
 * find the next mistake, and what it builds is thrown away at the end. One mistake a line of a
 * file: what follows from a mistake is not told again.
 */
#ifndef SLUICE_BASE_CONFIG_READ_H
#define SLUICE_BASE_CONFIG_READ_H

#include <libconfig.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/config.h"

enum { MISTAKES_MOST = 1000 };

struct mistake {
	char *file;
	unsigned line;
	unsigned order; /* of files as they were met */
	char *text;
};

struct reader {
	struct mistake *mistakes;
	size_t n_mistakes, n_room;
	bool no_memory;
	bool unreadable; /* an included file: libconfig 1.5 would end the process over a folder */
};

void reader_fini(struct reader *r);
/* reader_print: the mistakes in file order to out. */
void reader_print(struct reader *r, FILE *out);

/* mistake_at: tell one; a second one at the same file and line is dropped. */
__attribute__((format(printf, 4, 5))) void mistake_at(struct reader *r, const char *file,
						      unsigned line, const char *format, ...);
/* mistake: at a setting. */
__attribute__((format(printf, 3, 4))) void mistake(struct reader *r, const config_setting_t *s,
						   const char *format, ...);

/* nearest: the word of a NULL-terminated list that @word may have meant, or NULL. */
const char *nearest(const char *word, const char *const *words);

/* keys_check: every member of the group is one of keys, else "is not known; did you mean". */
void keys_check(struct reader *r, const config_setting_t *group, const char *const *keys);

/* list_of_groups: the list by that name in the group (NULL where absent); each element that is not
 * a group is told, and has to be skipped by the caller (config_setting_is_group).
 */
config_setting_t *list_of_groups(struct reader *r, const config_setting_t *group, const char *key);

enum need { OPTIONAL, REQUIRED };

/* The getters return true when *ret was set. An absent key is told when it is REQUIRED. */
bool get_string(struct reader *r, const config_setting_t *group, const char *key, enum need need,
		char *ret, size_t size);
/* get_name: [A-Za-z0-9][A-Za-z0-9._-]*, up to 63 bytes. */
bool get_name(struct reader *r, const config_setting_t *group, const char *key,
	      char ret[static NAME_SIZE]);
bool get_bool(struct reader *r, const config_setting_t *group, const char *key, bool *ret);
bool get_int(struct reader *r, const config_setting_t *group, const char *key, enum need need,
	     int64_t least, int64_t most, int64_t *ret);
/* get_duration: "500ms", "2s", "5m", "1h", in milliseconds. */
bool get_duration(struct reader *r, const config_setting_t *group, const char *key,
		  uint32_t least_ms, uint32_t most_ms, uint32_t *ret_ms);
/* get_count: an integer, or "64K", "1M" (powers of 1,024). */
bool get_count(struct reader *r, const config_setting_t *group, const char *key, int64_t least,
	       int64_t most, int64_t *ret);
bool get_address(struct reader *r, const config_setting_t *group, const char *key,
		 struct addr *ret);
/* get_choice: one of a NULL-terminated list; its index. */
bool get_choice(struct reader *r, const config_setting_t *group, const char *key,
		const char *const *choices, int *ret);
/* element_int, element_string: of an array or list. */
bool element_int(struct reader *r, const config_setting_t *element, const char *key, int64_t least,
		 int64_t most, int64_t *ret);
const char *element_string(struct reader *r, const config_setting_t *element, const char *key);

/* prefix_parse: "192.0.2.10/24"; without a prefix length the address alone: /32, /128. */
bool prefix_parse(const char *text, struct config_vip *ret);

/* config_scan.c: tell every integer beyond 32 bits and every NUL of the file and those that it
 * includes: libconfig 1.5 would wrap the one and stop at the other. 0, or -errno of the file
 * itself.
 */
int scan_file(struct reader *r, const char *path);

#endif
