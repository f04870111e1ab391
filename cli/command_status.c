/* SPDX-License-Identifier: BSD-2-Clause */
/* command_status.c: status and show. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

/* The columns of a table that fit an operator's first look; `show` has all. */
static json_t *columns(const json_t *rows, const char *const *keys)
{
	json_t *picked = json_array(), *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		json_t *few = json_object();

		for (const char *const *key = keys; *key; key++) {
			json_t *value = json_object_get(row, *key);

			if (value)
				json_object_set(few, *key, value);
		}
		json_array_append_new(picked, few);
	}
	return picked;
}

static void part(const json_t *answer, const char *title, const char *name, const char *const *keys)
{
	json_t *rows = columns(json_object_get(answer, name), keys);

	if (json_array_size(rows) > 0) {
		putchar('\n');
		print_tone(TONE_TITLE, title);
		putchar('\n');
		print_rows(rows);
	}
	json_decref(rows);
}

static void problems(const json_t *answer)
{
	const json_t *all = json_object_get(answer, "problems");
	json_t *one;
	size_t i;

	json_array_foreach(all, i, one)
	{
		print_tone(TONE_BAD, "! ");
		print_safe(json_string_value(one) ? json_string_value(one) : "");
		putchar('\n');
	}
}

static void page(const json_t *answer, bool degraded)
{
	static const char *const vrrp[] = {"instance",	"role",	 "active", "priority",
					   "effective", "since", "reason", NULL};
	static const char *const routes[] = {"vip", "announced", "since", "why", NULL};
	static const char *const hearts[] = {"partner", "interface", "state",
					     "link",	"rtt_us",    NULL};
	static const char *const services[] = {"service",  "vip",  "port",  "pool",
					       "backends", "live", "flows", NULL};
	static const char *const backends[] = {"pool", "backend", "address", "state", "weight",
					       "live", "since",	  "why",     NULL};
	static const char *const hooks[] = {"hook",   "run",   "waiting", "done",
					    "failed", "again", "dropped", NULL};
	static const char *const processes[] = {"process", "pid", "restarts", "since", NULL};
	const char *node = json_string_value(json_object_get(answer, "node"));
	const char *version = json_string_value(json_object_get(answer, "version"));

	print_tone(TONE_TITLE, node ? node : "?");
	printf("  sluice ");
	print_safe(version ? version : "?");
	printf("  ");
	print_tone(degraded ? TONE_BAD : TONE_GOOD, degraded ? "degraded" : "good");
	putchar('\n');
	problems(answer);
	part(answer, "Virtual addresses", "vrrp", vrrp);
	part(answer, "Routes", "routes", routes);
	part(answer, "Partners", "heartbeats", hearts);
	part(answer, "Services", "services", services);
	part(answer, "Backends", "backends", backends);
	part(answer, "Hooks", "hooks", hooks);
	part(answer, "Processes", "processes", processes);
}

enum cli_exit cli_status(const struct options *o, int argc, char **argv)
{
	json_t *answer;
	enum cli_exit status = ask(o, json_pack("{s:s}", "command", "status"), NULL, NULL, &answer);
	bool degraded = json_is_true(json_object_get(answer, "degraded"));

	(void)argc;
	(void)argv;
	if (answer && o->json)
		print_json(answer);
	else if (status == CLI_DONE)
		page(answer, degraded);
	json_decref(answer);
	return status == CLI_DONE && degraded ? CLI_DEGRADED : status;
}

enum cli_exit cli_show(const struct options *o, int argc, char **argv)
{
	json_t *answer;
	enum cli_exit status;
	json_t *request;

	if (argc > 1 && strcmp(argv[0], "history") != 0) {
		fprintf(stderr, "sluice: \"%s\" is too much: only history can be of one instance\n",
			argv[1]);
		return CLI_USAGE;
	}
	if (strcmp(argv[0], "flows") == 0)
		return cli_show_flows(o);
	if (json_object_size(o->extras) > 0) {
		fprintf(stderr, "sluice: only flows can be filtered\n");
		return CLI_USAGE;
	}
	request = json_pack("{s:s, s:s}", "command", "show", "what", argv[0]);
	if (argc > 1)
		json_object_set_new(request, "instance", json_string(argv[1]));
	status = ask(o, request, NULL, NULL, &answer);
	if (answer && o->json)
		print_json(answer);
	else if (status == CLI_DONE)
		print_rows(json_object_get(answer, argv[0]));
	json_decref(answer);
	return status;
}
