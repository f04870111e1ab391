/* SPDX-License-Identifier: BSD-2-Clause */
/* writer.c: the one place that prints: for people tables by libsmartcols, for machines the daemon's
 * JSON, with the same words in both. Colour only on a terminal, and not with NO_COLOR.
 */
#include <libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"

static bool colour(void)
{
	return isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
}

void print_json(const json_t *answer)
{
	json_dumpf(answer, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	putchar('\n');
}

void print_safe(const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		putchar(c < 0x20 || c >= 0x7f ? '?' : c); /* C1 and its UTF-8 form, too */
	}
}

void print_tone(enum tone tone, const char *text)
{
	static const char *const codes[] = {"", "\033[1m", "\033[32m", "\033[33m", "\033[31m"};

	if (colour() && tone != TONE_PLAIN)
		fputs(codes[tone], stdout);
	print_safe(text);
	if (colour() && tone != TONE_PLAIN)
		fputs("\033[0m", stdout);
}

/* Seconds of CLOCK_REALTIME as people read them: "3h12m" ago. */
static void since_text(json_int_t since, char *text, size_t size)
{
	long long s = since > 0 ? (long long)time(NULL) - since : -1;

	if (s < 0)
		snprintf(text, size, "-");
	else if (s < 60)
		snprintf(text, size, "%llds", s);
	else if (s < 3600)
		snprintf(text, size, "%lldm%02llds", s / 60, s % 60);
	else if (s < 86400)
		snprintf(text, size, "%lldh%02lldm", s / 3600, s / 60 % 60);
	else
		snprintf(text, size, "%lldd%02lldh", s / 86400, s / 3600 % 24);
}

/* The same, of a time to come: "in 4m10s". */
static void until_text(json_int_t until, char *text, size_t size)
{
	long long s = until - (long long)time(NULL);

	if (until <= 0 || s <= 0)
		snprintf(text, size, "-");
	else if (s < 3600)
		snprintf(text, size, "in %lldm%02llds", s / 60, s % 60);
	else
		snprintf(text, size, "in %lldh%02lldm", s / 3600, s / 60 % 60);
}

static bool ends_with(const char *key, const char *end)
{
	size_t n = strlen(key), m = strlen(end);

	return n >= m && strcmp(key + n - m, end) == 0;
}

static void value_text(const char *key, const json_t *value, char *text, size_t size)
{
	if (json_is_integer(value) && ends_with(key, "since"))
		since_text(json_integer_value(value), text, size);
	else if (json_is_integer(value) && ends_with(key, "until"))
		until_text(json_integer_value(value), text, size);
	else if (json_is_integer(value))
		snprintf(text, size, "%lld", (long long)json_integer_value(value));
	else if (json_is_boolean(value))
		snprintf(text, size, "%s", json_is_true(value) ? "yes" : "no");
	else
		snprintf(text, size, "%s", json_is_string(value) ? json_string_value(value) : "");
	for (char *c = text; *c; c++) {
		if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f)
			*c = '?';
	}
}

static const char *state_colour(const char *text)
{
	static const struct {
		const char *word, *colour;
	} words[] = {{"up", "green"},	    {"active", "green"},   {"down", "red"},
		     {"disabled", "red"},   {"init", "red"},	   {"no neighbour", "red"},
		     {"drain", "yellow"},   {"leaving", "yellow"}, {"unknown", "yellow"},
		     {"removed", "yellow"}, {"full", "yellow"},	   {"good", "green"},
		     {"failed", "red"},	    {"alive", "green"},	   {"dead", "red"},
		     {"gone", "red"},	    {"silent", "red"},	   {"differs", "red"}};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(words[i].word, text) == 0)
			return words[i].colour;
	}
	return NULL;
}

static void columns_make(struct libscols_table *table, json_t *row)
{
	const char *key;
	json_t *value;

	json_object_foreach(row, key, value)
	{
		char head[64];
		size_t i;

		for (i = 0; key[i] && i + 1 < sizeof(head); i++)
			head[i] =
				key[i] == '_' ? ' ' : (char)(key[i] & ~(key[i] >= 'a' ? 0x20 : 0));
		head[i] = '\0';
		scols_table_new_column(table, head, 0, json_is_integer(value) ? SCOLS_FL_RIGHT : 0);
	}
}

void print_rows(const json_t *rows)
{
	json_t *first = json_array_get(rows, 0), *row, *value;
	struct libscols_table *table;
	char text[1024];
	const char *key;
	size_t i;

	if (!first)
		return;
	table = scols_new_table();
	if (!table)
		return;
	scols_table_enable_colors(table, colour());
	columns_make(table, first);
	json_array_foreach(rows, i, row)
	{
		struct libscols_line *line = scols_table_new_line(table, NULL);
		size_t column = 0;

		json_object_foreach(first, key, value)
		{
			/* by name: not every row has something to say in each column */
			value_text(key, json_object_get(row, key), text, sizeof(text));
			if (scols_line_set_data(line, column, text) == 0 && state_colour(text))
				scols_cell_set_color(scols_line_get_cell(line, column),
						     state_colour(text));
			column++;
		}
	}
	scols_print_table(table);
	scols_unref_table(table);
}
