/* SPDX-License-Identifier: BSD-2-Clause */
/* command_config.c: check, plan, reload; and failover, detach. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

/* check needs no daemon: it is sluiced that knows how to read the file. */
enum cli_exit cli_check(const struct options *o, int argc, char **argv)
{
	const char *args[] = {o->sluiced, "-t", NULL, NULL, NULL, NULL};
	int n = 2;

	if (o->node) {
		args[n++] = "-n";
		args[n++] = o->node;
	}
	if (argc > 0)
		args[n] = argv[0];
	fflush(stdout);
	execv(o->sluiced, (char *const *)(uintptr_t)args);
	fprintf(stderr, "sluice: %s cannot be run: %s\n", o->sluiced, strerror(errno));
	return CLI_REFUSED;
}

static enum cli_exit steps(const struct options *o, json_t *request, const char *none)
{
	json_t *answer, *rows;
	enum cli_exit status = ask(o, request, NULL, NULL, &answer);

	rows = json_object_get(answer, "steps");
	if (answer && o->json)
		print_json(answer);
	else if (status == CLI_DONE && json_array_size(rows) == 0)
		puts(none);
	else if (status == CLI_DONE)
		print_rows(rows);
	json_decref(answer);
	return status;
}

enum cli_exit cli_plan(const struct options *o, int argc, char **argv)
{
	json_t *request = json_pack("{s:s}", "command", "plan");

	if (argc > 0) {
		char *path = realpath(argv[0], NULL);

		if (!path) {
			fprintf(stderr, "sluice: %s: %s\n", argv[0], strerror(errno));
			json_decref(request);
			return CLI_REFUSED;
		}
		json_object_set_new(request, "path", json_string(path));
		free(path);
	}
	return steps(o, request, "nothing would change");
}

enum cli_exit cli_reload(const struct options *o, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return steps(o, json_pack("{s:s}", "command", "reload"), "reloaded; nothing changed");
}

static enum cli_exit plain(const struct options *o, json_t *request, const char *done)
{
	json_t *answer;
	enum cli_exit status = ask(o, request, NULL, NULL, &answer);

	if (answer && o->json)
		print_json(answer);
	else if (status == CLI_DONE)
		puts(done);
	json_decref(answer);
	return status;
}

enum cli_exit cli_failover(const struct options *o, int argc, char **argv)
{
	json_t *request = json_pack("{s:s}", "command", "failover");
	const char *to = json_string_value(json_object_get(o->extras, "to"));
	char done[96];

	if (argc > 0)
		json_object_set_new(request, "instance", json_string(argv[0]));
	json_object_update(request, o->extras);
	if (to)
		snprintf(done, sizeof(done), "%.64s is active now", to);
	return plain(o, request, to ? done : "handed over to the partner");
}

enum cli_exit cli_detach(const struct options *o, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return plain(o, json_pack("{s:s}", "command", "detach"),
		     "detached: this node balances nothing until sluice reload");
}
