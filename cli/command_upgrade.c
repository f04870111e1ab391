/* SPDX-License-Identifier: BSD-2-Clause */
/* command_upgrade.c: upgrade: the installed sluiced takes the place of the running one. The daemon
 * says whether it will; then whoever answers is replaced, and is asked until all of it was.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"

enum { REPLACED_S = 30, LOOK_US = 50000 };

/* The running one may have had to go on after all: then its lb is another, but not the version. */
static bool is_replaced(const json_t *status, const char *version, json_int_t lb_before)
{
	const char *runs = json_string_value(json_object_get(status, "version"));
	bool replaced = false;
	size_t i;
	json_t *row;

	if (!runs || !version || strcmp(runs, version) != 0)
		return false;
	json_array_foreach(json_object_get(status, "processes"), i, row)
	{
		const char *name = json_string_value(json_object_get(row, "process"));
		json_int_t pid = json_integer_value(json_object_get(row, "pid"));

		if (pid == 0 || json_integer_value(json_object_get(row, "before")) > 0)
			return false;
		if (name && strcmp(name, "lb") == 0)
			replaced = pid != lb_before;
	}
	return replaced;
}

static bool wait_replaced(const struct options *o, const char *version, json_int_t lb_before)
{
	time_t until = time(NULL) + REPLACED_S;
	struct options quiet = *o;
	bool replaced = false;

	quiet.quiet = true;
	while (!replaced && time(NULL) < until) {
		json_t *status;

		usleep(LOOK_US);
		ask(&quiet, json_pack("{s:s}", "command", "status"), NULL, NULL, &status);
		replaced = is_replaced(status, version, lb_before);
		json_decref(status);
	}
	return replaced;
}

enum cli_exit cli_upgrade(const struct options *o, int argc, char **argv)
{
	json_t *answer;
	enum cli_exit status =
		ask(o, json_pack("{s:s}", "command", "upgrade"), NULL, NULL, &answer);
	const char *version = json_string_value(json_object_get(answer, "version"));

	(void)argc;
	(void)argv;
	if (status == CLI_DONE &&
	    !wait_replaced(o, version, json_integer_value(json_object_get(answer, "pid")))) {
		fputs("sluice: not every process was replaced; see: sluice status, and the log\n",
		      stderr);
		status = CLI_REFUSED;
	}
	if (answer && o->json)
		print_json(answer);
	else if (status == CLI_DONE)
		printf("upgraded: sluiced %s runs\n", version ? version : "?");
	json_decref(answer);
	return status;
}
