/* SPDX-License-Identifier: BSD-2-Clause */
/* command_see.c: what there is to see of packets and flows: explain, show flows, trace. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"

/* The request with the options that were given: their names are the arguments'. */
static json_t *with_options(const struct options *o, json_t *request)
{
	json_object_update(request, o->extras);
	return request;
}

static long long integer(const json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

/* ---- explain ---- */

enum cli_exit cli_explain(const struct options *o, int argc, char **argv)
{
	json_t *request = json_pack("{s:s, s:s, s:s}", "command", "explain", "client", argv[0],
				    "vip", argv[1]);
	json_t *answer;
	enum cli_exit status = ask(o, with_options(o, request), NULL, NULL, &answer);

	(void)argc;
	if (answer && o->json)
		print_json(answer);
	else if (status == CLI_DONE)
		print_rows(json_object_get(answer, "stages"));
	json_decref(answer);
	return status;
}

/* ---- show flows ---- */

static bool rows_gather(void *owner, const json_t *answer)
{
	return json_array_extend(owner, json_object_get(answer, "flows")) == 0;
}

enum cli_exit cli_show_flows(const struct options *o)
{
	json_t *request = json_pack("{s:s, s:s}", "command", "show", "what", "flows");
	json_t *rows = json_array(), *answer;
	enum cli_exit status = ask(o, with_options(o, request), rows_gather, rows, &answer);

	if (answer && o->json) {
		json_object_set(answer, "flows", rows);
		print_json(answer);
	} else if (status == CLI_DONE) {
		print_rows(rows);
		printf("%lld shown, %lld that match, %lld in the table\n", integer(answer, "shown"),
		       integer(answer, "matched"), integer(answer, "total"));
	}
	json_decref(rows);
	json_decref(answer);
	return status;
}

/* ---- trace ---- */

static void time_print(long long at_us)
{
	time_t at_s = (time_t)(at_us / 1000000);
	struct tm tm;
	char text[16];

	if (!localtime_r(&at_s, &tm) || strftime(text, sizeof(text), "%H:%M:%S", &tm) == 0)
		strcpy(text, "?");
	printf("%s.%06lld", text, at_us % 1000000);
}

static void word_print(const json_t *event, const char *key, int width)
{
	const char *word = json_string_value(json_object_get(event, key));
	int n = word && *word ? (int)strlen(word) : 1;

	putchar(' ');
	print_safe(word && *word ? word : "-");
	for (; n < width; n++)
		putchar(' ');
}

static void event_print(const json_t *event)
{
	json_t *counted;
	size_t i;

	time_print(integer(event, "at_us"));
	word_print(event, "protocol", 4);
	word_print(event, "client", 21);
	printf(" ->");
	word_print(event, "vip", 21);
	word_print(event, "kind", 11);
	printf(" %5lld", integer(event, "bytes"));
	word_print(event, "service", 8);
	word_print(event, "backend", 12);
	word_print(event, "verdict", 4);
	word_print(event, "reason", 0);
	json_array_foreach(json_object_get(event, "counted"), i, counted)
	{
		printf(", ");
		print_safe(json_string_value(counted) ? json_string_value(counted) : "");
	}
	putchar('\n');
}

static bool events_print(void *owner, const json_t *answer)
{
	const struct options *o = owner;
	json_t *event;
	size_t i;

	if (json_object_get(answer, "interfaces"))
		fprintf(stderr, "tracing at %lld interface(s); Ctrl-C ends it\n",
			integer(answer, "interfaces"));
	json_array_foreach(json_object_get(answer, "events"), i, event)
	{
		if (o->json) {
			json_dumpf(event, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
			putchar('\n');
		} else {
			event_print(event);
		}
	}
	fflush(stdout);
	return !ferror(stdout);
}

enum cli_exit cli_trace(const struct options *o, int argc, char **argv)
{
	json_t *answer;
	enum cli_exit status = ask(o, with_options(o, json_pack("{s:s}", "command", "trace")),
				   events_print, (void *)(uintptr_t)o, &answer);

	(void)argc;
	(void)argv;
	if (answer && o->json) {
		json_dumpf(answer, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
		putchar('\n');
	} else if (status == CLI_DONE) {
		fprintf(stderr, "%lld seen, %lld lost\n", integer(answer, "seen"),
			integer(answer, "lost"));
	}
	json_decref(answer);
	return status;
}
