/* SPDX-License-Identifier: BSD-2-Clause */
/* command_backend.c: what is done to backends: drain (and wait), undrain, disable, enable, weight,
 * probe. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

static json_t *request_new(const struct options *o, const char *command, const char *backend)
{
	json_t *request = json_pack("{s:s, s:s}", "command", command, "backend", backend);

	if (o->pool)
		json_object_set_new(request, "pool", json_string(o->pool));
	return request;
}

static enum cli_exit finish(const struct options *o, enum cli_exit status, json_t *answer,
			    const char *rows)
{
	if (answer && o->json)
		print_json(answer);
	else if (status == CLI_DONE)
		print_rows(json_object_get(answer, rows));
	json_decref(answer);
	return status;
}

static enum cli_exit change(const struct options *o, const char *command, const char *backend)
{
	json_t *answer;
	enum cli_exit status = ask(o, request_new(o, command, backend), NULL, NULL, &answer);

	return finish(o, status, answer, "changed");
}

/* ---- drain --wait ---- */

static bool live_tell(void *owner, const json_t *answer)
{
	const struct options *o = owner;
	long long live = (long long)json_integer_value(json_object_get(answer, "live"));

	if (o->json)
		print_json(answer);
	else if (isatty(STDOUT_FILENO))
		printf("\r%lld connections live \033[K", live);
	else
		printf("%lld connections live\n", live);
	fflush(stdout);
	return true;
}

static enum cli_exit wait_for(const struct options *o, const char *backend)
{
	json_t *request = request_new(o, "wait", backend), *answer;
	enum cli_exit status;

	if (o->wait_ms)
		json_object_set_new(request, "timeout_ms", json_integer(o->wait_ms));
	status = ask(o, request, live_tell, (void *)(uintptr_t)o, &answer);
	if (!o->json && isatty(STDOUT_FILENO))
		putchar('\n');
	if (answer && o->json)
		print_json(answer);
	else if (status == CLI_DONE)
		puts("no connection is left");
	json_decref(answer);
	return status;
}

/* A backend is named, or it is --node. */
static enum cli_exit target_check(const struct options *o, const char *command, int argc)
{
	if ((argc == 1 && !o->node) || (argc == 0 && o->node && !*o->node && !o->wait && !o->pool))
		return CLI_DONE;
	fprintf(stderr, "sluice: expected: sluice %s BACKEND, or sluice %s --node\n", command,
		command);
	return CLI_USAGE;
}

/* change_node: this node as a whole. */
static enum cli_exit change_node(const struct options *o, const char *command)
{
	json_t *answer;
	enum cli_exit status = ask(o, json_pack("{s:s}", "command", command), NULL, NULL, &answer);

	return finish(o, status, answer, "routes");
}

enum cli_exit cli_drain(const struct options *o, int argc, char **argv)
{
	enum cli_exit status = target_check(o, "drain", argc);

	if (status != CLI_DONE)
		return status;
	if (o->node)
		return change_node(o, "drain-node");
	status = change(o, "drain", argv[0]);
	return status == CLI_DONE && o->wait ? wait_for(o, argv[0]) : status;
}

enum cli_exit cli_undrain(const struct options *o, int argc, char **argv)
{
	enum cli_exit status = target_check(o, "undrain", argc);

	if (status != CLI_DONE)
		return status;
	return o->node ? change_node(o, "undrain-node") : change(o, "undrain", argv[0]);
}

enum cli_exit cli_disable(const struct options *o, int argc, char **argv)
{
	(void)argc;
	return change(o, "disable", argv[0]);
}

enum cli_exit cli_enable(const struct options *o, int argc, char **argv)
{
	(void)argc;
	return change(o, "enable", argv[0]);
}

enum cli_exit cli_weight(const struct options *o, int argc, char **argv)
{
	json_t *request = request_new(o, "weight", argv[0]), *answer;
	enum cli_exit status;
	char *end;
	long weight = strtol(argv[1], &end, 10);

	(void)argc;
	if (strcmp(argv[1], "default") == 0) {
		json_object_set_new(request, "weight", json_string("default"));
	} else if (*argv[1] && !*end) {
		json_object_set_new(request, "weight", json_integer(weight));
	} else {
		json_decref(request);
		fprintf(stderr,
			"sluice: \"%s\" is not a weight; expected: an integer, or default\n",
			argv[1]);
		return CLI_USAGE;
	}
	status = ask(o, request, NULL, NULL, &answer);
	return finish(o, status, answer, "changed");
}

/* ---- probe ---- */

static bool line_tell(void *owner, const json_t *answer)
{
	const struct options *o = owner;
	const char *text = json_string_value(json_object_get(answer, "text"));

	if (o->json) {
		print_json(answer);
	} else if (o->verbose) {
		printf("%6lld ms  ",
		       (long long)json_integer_value(json_object_get(answer, "at_ms")));
		print_safe(text ? text : "");
		putchar('\n');
	}
	fflush(stdout);
	return true;
}

enum cli_exit cli_probe(const struct options *o, int argc, char **argv)
{
	char *slash = strchr(argv[0], '/');
	enum cli_exit status;
	const char *text;
	json_t *answer;
	bool passed;

	(void)argc;
	if (!slash || slash == argv[0] || !slash[1]) {
		fprintf(stderr, "sluice: \"%s\" is not POOL/BACKEND\n", argv[0]);
		return CLI_USAGE;
	}
	*slash = '\0';
	status = ask(o,
		     json_pack("{s:s, s:s, s:s}", "command", "probe", "pool", argv[0], "backend",
			       slash + 1),
		     line_tell, (void *)(uintptr_t)o, &answer);
	passed = json_is_true(json_object_get(answer, "passed"));
	text = json_string_value(json_object_get(answer, "text"));
	if (answer && o->json) {
		print_json(answer);
	} else if (status == CLI_DONE) {
		print_tone(passed ? TONE_GOOD : TONE_BAD, passed ? "passed" : "failed");
		printf(" in %lld ms: ",
		       (long long)json_integer_value(json_object_get(answer, "at_ms")));
		print_safe(text ? text : "");
		putchar('\n');
	}
	json_decref(answer);
	return status == CLI_DONE && !passed ? CLI_REFUSED : status;
}
