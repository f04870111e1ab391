/* SPDX-License-Identifier: BSD-2-Clause */
/* config_read.c: see config_read.h. */
#include "base/config_read.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- mistakes ---- */

void reader_fini(struct reader *r)
{
	for (size_t i = 0; i < r->n_mistakes; i++) {
		free(r->mistakes[i].file);
		free(r->mistakes[i].text);
	}
	free(r->mistakes);
	*r = (struct reader){0};
}

static int mistake_compare(const void *a, const void *b)
{
	const struct mistake *x = a, *y = b;

	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return x->line < y->line ? -1 : x->line > y->line;
}

void reader_print(struct reader *r, FILE *out)
{
	if (r->n_mistakes > 1)
		qsort(r->mistakes, r->n_mistakes, sizeof(*r->mistakes), mistake_compare);
	for (size_t i = 0; i < r->n_mistakes; i++)
		fprintf(out, "%s:%u: %s\n", r->mistakes[i].file, r->mistakes[i].line,
			r->mistakes[i].text);
	if (r->n_mistakes == MISTAKES_MOST)
		fprintf(out, "%s:0: that is enough; more than %d mistakes are not listed\n",
			r->mistakes[0].file, MISTAKES_MOST);
	if (r->no_memory)
		fputs("out of memory while reading\n", out);
}

/* Where a mistake of this file stands among the others; false: this line has one already. */
static bool mistake_order(const struct reader *r, const char *file, unsigned line, unsigned *ret)
{
	unsigned order = 0;

	for (size_t i = 0; i < r->n_mistakes; i++) {
		const struct mistake *m = &r->mistakes[i];

		if (strcmp(m->file, file) == 0) {
			if (m->line == line)
				return false;
			*ret = m->order;
			order = UINT32_MAX;
		} else if (order != UINT32_MAX && m->order >= order) {
			order = m->order + 1;
		}
	}
	if (order != UINT32_MAX)
		*ret = order;
	return true;
}

static void mistake_add(struct reader *r, const char *file, unsigned line, const char *format,
			va_list ap)
{
	unsigned order = 0;
	char *text = NULL;
	char *copy;

	if (r->n_mistakes == MISTAKES_MOST || !mistake_order(r, file, line, &order))
		return;
	if (r->n_mistakes == r->n_room) {
		size_t room = r->n_room ? 2 * r->n_room : 16;
		struct mistake *more = realloc(r->mistakes, room * sizeof(*more));

		if (!more) {
			r->no_memory = true;
			return;
		}
		r->mistakes = more;
		r->n_room = room;
	}
	copy = strdup(file);
	if (!copy || vasprintf(&text, format, ap) < 0) {
		free(copy);
		r->no_memory = true;
		return;
	}
	r->mistakes[r->n_mistakes++] =
		(struct mistake){.file = copy, .line = line, .order = order, .text = text};
}

void mistake_at(struct reader *r, const char *file, unsigned line, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	mistake_add(r, file, line, format, ap);
	va_end(ap);
}

void mistake(struct reader *r, const config_setting_t *s, const char *format, ...)
{
	const char *file = config_setting_source_file(s);
	va_list ap;

	va_start(ap, format);
	mistake_add(r, file ? file : "?", config_setting_source_line(s), format, ap);
	va_end(ap);
}

/* ---- did you mean ---- */

/* Damerau's distance with adjacent transpositions, of words up to 31 bytes; a large number beyond.
 */
static unsigned distance(const char *a, const char *b)
{
	enum { WORD = 32 };
	size_t n = strlen(a), m = strlen(b);
	unsigned d[WORD][WORD];

	if (n >= WORD || m >= WORD)
		return WORD;
	for (size_t i = 0; i <= n; i++)
		d[i][0] = (unsigned)i;
	for (size_t j = 0; j <= m; j++)
		d[0][j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		for (size_t j = 1; j <= m; j++) {
			unsigned best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);

			if (d[i - 1][j] + 1 < best)
				best = d[i - 1][j] + 1;
			if (d[i][j - 1] + 1 < best)
				best = d[i][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < best)
				best = d[i - 2][j - 2] + 1;
			d[i][j] = best;
		}
	}
	return d[n][m];
}

const char *nearest(const char *word, const char *const *words)
{
	unsigned best = 1 + (unsigned)strlen(word) / 3;
	const char *found = NULL;

	for (; *words; words++) {
		unsigned d = distance(word, *words);

		if (d <= best && (!found || d < best)) {
			best = d;
			found = *words;
		}
	}
	return found;
}

void keys_check(struct reader *r, const config_setting_t *group, const char *const *keys)
{
	for (int i = 0; i < config_setting_length(group); i++) {
		config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
		const char *name = config_setting_name(s), *meant;
		bool known = false;

		for (const char *const *key = keys; *key; key++)
			known = known || strcmp(*key, name) == 0;
		if (known)
			continue;
		meant = nearest(name, keys);
		if (meant)
			mistake(r, s, "\"%.64s\" is not known here; did you mean \"%s\"?", name,
				meant);
		else
			mistake(r, s, "\"%.64s\" is not known here; see sluice.conf(5)", name);
	}
}

/* ---- getters ---- */

static const char *type_word(const config_setting_t *s)
{
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		return "an integer";
	case CONFIG_TYPE_FLOAT:
		return "a number with a fraction";
	case CONFIG_TYPE_STRING:
		return "a string";
	case CONFIG_TYPE_BOOL:
		return "true or false";
	case CONFIG_TYPE_GROUP:
		return "a group { }";
	case CONFIG_TYPE_LIST:
		return "a list ( )";
	case CONFIG_TYPE_ARRAY:
		return "an array [ ]";
	default:
		return "nothing";
	}
}

static config_setting_t *member(struct reader *r, const config_setting_t *group, const char *key,
				enum need need)
{
	config_setting_t *s = config_setting_get_member(group, key);

	if (!s && need == REQUIRED)
		mistake(r, group, "\"%s\" is missing; see sluice.conf(5)", key);
	return s;
}

config_setting_t *list_of_groups(struct reader *r, const config_setting_t *group, const char *key)
{
	config_setting_t *list = config_setting_get_member(group, key);

	if (!list)
		return NULL;
	if (!config_setting_is_list(list)) {
		mistake(r, list, "\"%s\" is %s; a list is expected: ( { ... }, { ... } )", key,
			type_word(list));
		return NULL;
	}
	for (int i = 0; i < config_setting_length(list); i++) {
		config_setting_t *s = config_setting_get_elem(list, (unsigned)i);

		if (!config_setting_is_group(s))
			mistake(r, s, "an element of \"%s\" is %s; a group is expected: { ... }",
				key, type_word(s));
	}
	return list;
}

const char *element_string(struct reader *r, const config_setting_t *s, const char *key)
{
	if (config_setting_type(s) != CONFIG_TYPE_STRING) {
		mistake(r, s, "\"%s\" is %s; a string in quotes is expected", key, type_word(s));
		return NULL;
	}
	return config_setting_get_string(s);
}

bool get_string(struct reader *r, const config_setting_t *group, const char *key, enum need need,
		char *ret, size_t size)
{
	config_setting_t *s = member(r, group, key, need);
	const char *text = s ? element_string(r, s, key) : NULL;

	if (!text)
		return false;
	if (strlen(text) >= size) {
		mistake(r, s, "\"%s\" has %zu bytes; at most %zu are expected", key, strlen(text),
			size - 1);
		return false;
	}
	strcpy(ret, text);
	return true;
}

static bool name_is_good(const char *name)
{
	if (!isalnum((unsigned char)*name) || strlen(name) >= NAME_SIZE)
		return false;
	for (; *name; name++) {
		if (!isalnum((unsigned char)*name) && !strchr("._-", *name))
			return false;
	}
	return true;
}

bool get_name(struct reader *r, const config_setting_t *group, const char *key,
	      char ret[static NAME_SIZE])
{
	config_setting_t *s = member(r, group, key, REQUIRED);
	const char *text = s ? element_string(r, s, key) : NULL;

	if (!text)
		return false;
	if (!name_is_good(text)) {
		mistake(r, s,
			"\"%.70s\" is not a name; expected: letters, digits, \".\", \"_\", \"-\", a "
			"letter or digit first, at most %d bytes",
			text, NAME_SIZE - 1);
		return false;
	}
	strcpy(ret, text);
	return true;
}

bool get_bool(struct reader *r, const config_setting_t *group, const char *key, bool *ret)
{
	config_setting_t *s = member(r, group, key, OPTIONAL);

	if (!s)
		return false;
	if (config_setting_type(s) != CONFIG_TYPE_BOOL) {
		mistake(r, s, "\"%s\" is %s; true or false is expected", key, type_word(s));
		return false;
	}
	*ret = config_setting_get_bool(s);
	return true;
}

bool element_int(struct reader *r, const config_setting_t *s, const char *key, int64_t least,
		 int64_t most, int64_t *ret)
{
	int64_t value;

	if (config_setting_type(s) != CONFIG_TYPE_INT &&
	    config_setting_type(s) != CONFIG_TYPE_INT64) {
		mistake(r, s, "\"%s\" is %s; an integer is expected, %lld to %lld", key,
			type_word(s), (long long)least, (long long)most);
		return false;
	}
	value = config_setting_get_int64(s);
	if (value < least || value > most) {
		mistake(r, s, "\"%s\" is %lld, out of range; expected: %lld to %lld", key,
			(long long)value, (long long)least, (long long)most);
		return false;
	}
	*ret = value;
	return true;
}

bool get_int(struct reader *r, const config_setting_t *group, const char *key, enum need need,
	     int64_t least, int64_t most, int64_t *ret)
{
	config_setting_t *s = member(r, group, key, need);

	return s && element_int(r, s, key, least, most, ret);
}

struct unit {
	const char *name;
	int64_t factor;
};

/* A decimal number and a unit; -1 when it is not that, or beyond 2^40. */
static int64_t with_unit(const char *text, const struct unit *units)
{
	char *end;
	long long n;

	if (!isdigit((unsigned char)*text))
		return -1;
	errno = 0;
	n = strtoll(text, &end, 10);
	if (errno || n > 1LL << 40)
		return -1;
	for (; units->name; units++) {
		if (strcmp(end, units->name) == 0)
			return n > (1LL << 40) / units->factor ? -1 : n * units->factor;
	}
	return -1;
}

static const char *duration_text(uint32_t ms, char buf[static 24])
{
	if (ms % 3600000 == 0)
		snprintf(buf, 24, "%uh", ms / 3600000);
	else if (ms % 1000 == 0)
		snprintf(buf, 24, "%us", ms / 1000);
	else
		snprintf(buf, 24, "%ums", ms);
	return buf;
}

bool get_duration(struct reader *r, const config_setting_t *group, const char *key,
		  uint32_t least_ms, uint32_t most_ms, uint32_t *ret_ms)
{
	static const struct unit units[] = {
		{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {NULL, 0}};
	config_setting_t *s = member(r, group, key, OPTIONAL);
	char least[24], most[24];
	int64_t ms;

	if (!s)
		return false;
	duration_text(least_ms, least);
	duration_text(most_ms, most);
	if (config_setting_type(s) != CONFIG_TYPE_STRING) {
		mistake(r, s,
			"\"%s\" is %s; a duration is expected, a string with a unit: \"500ms\", "
			"\"2s\", \"5m\", \"1h\"",
			key, type_word(s));
		return false;
	}
	ms = with_unit(config_setting_get_string(s), units);
	if (ms < 0) {
		mistake(r, s,
			"\"%s\" is \"%.32s\", not a duration; expected: a number and a unit, as in "
			"\"500ms\", \"2s\", \"5m\", \"1h\"",
			key, config_setting_get_string(s));
		return false;
	}
	if (ms < least_ms || ms > most_ms) {
		mistake(r, s, "\"%s\" is %s, out of range; expected: %s to %s", key,
			config_setting_get_string(s), least, most);
		return false;
	}
	*ret_ms = (uint32_t)ms;
	return true;
}

bool get_count(struct reader *r, const config_setting_t *group, const char *key, int64_t least,
	       int64_t most, int64_t *ret)
{
	static const struct unit units[] = {{"", 1}, {"K", 1024}, {"M", 1024 * 1024}, {NULL, 0}};
	config_setting_t *s = member(r, group, key, OPTIONAL);
	int64_t n;

	if (!s)
		return false;
	if (config_setting_type(s) != CONFIG_TYPE_STRING)
		return element_int(r, s, key, least, most, ret);
	n = with_unit(config_setting_get_string(s), units);
	if (n < least || n > most) {
		mistake(r, s,
			"\"%s\" is \"%.32s\"; expected: %lld to %lld, as an integer or \"64K\", \"1M\"",
			key, config_setting_get_string(s), (long long)least, (long long)most);
		return false;
	}
	*ret = n;
	return true;
}

bool get_address(struct reader *r, const config_setting_t *group, const char *key, struct addr *ret)
{
	config_setting_t *s = member(r, group, key, REQUIRED);
	const char *text = s ? element_string(r, s, key) : NULL;

	if (!text)
		return false;
	if (addr_parse(text, ret) < 0) {
		mistake(r, s, "\"%s\" is \"%.64s\"; an IPv4 or IPv6 address is expected", key,
			text);
		return false;
	}
	return true;
}

bool prefix_parse(const char *text, struct config_vip *ret)
{
	char address[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	struct config_vip vip = {0};
	unsigned long most, len;
	char *end;

	if (n >= sizeof(address))
		return false;
	memcpy(address, text, n);
	address[n] = '\0';
	if (addr_parse(address, &vip.addr) < 0)
		return false;
	most = addr_is_ipv4(&vip.addr) ? 32 : 128;
	len = most;
	if (slash) {
		if (slash[1] < '0' || slash[1] > '9')
			return false;
		len = strtoul(slash + 1, &end, 10);
		if (*end || len < 1 || len > most)
			return false;
	}
	vip.prefix_len = (uint8_t)len;
	*ret = vip;
	return true;
}

bool get_choice(struct reader *r, const config_setting_t *group, const char *key,
		const char *const *choices, int *ret)
{
	config_setting_t *s = member(r, group, key, OPTIONAL);
	const char *text = s ? element_string(r, s, key) : NULL;
	char list[256] = "";
	const char *meant;
	size_t n = 0;

	if (!text)
		return false;
	for (int i = 0; choices[i]; i++) {
		if (strcmp(choices[i], text) == 0) {
			*ret = i;
			return true;
		}
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s\"%s\"", i ? ", " : "",
				      choices[i]);
		if (n >= sizeof(list))
			n = sizeof(list) - 1;
	}
	meant = nearest(text, choices);
	if (meant)
		mistake(r, s, "%s \"%.32s\" is not known; did you mean \"%s\"?", key, text, meant);
	else
		mistake(r, s, "%s \"%.32s\" is not known; expected: %s", key, text, list);
	return false;
}
