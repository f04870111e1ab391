/* SPDX-License-Identifier: BSD-2-Clause */
/* cli.h: the parts of the `sluice` command: options and table of commands (main.c), the
 * conversation with the daemon (connection.c), printing (writer.c), and the commands themselves
 * (command_*.c).
 */
#ifndef SLUICE_CLI_H
#define SLUICE_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum cli_exit {
	CLI_DONE = 0,
	CLI_REFUSED = 1, /* or failed */
	CLI_USAGE = 2,
	CLI_NO_DAEMON = 3,
	CLI_DEGRADED = 4, /* status only */
};

struct options {
	const char *socket;
	const char *node; /* check: -n; "" = --node without a name: drain, undrain */
	const char *pool; /* --pool */
	bool json, verbose;
	bool quiet; /* what goes wrong with asking is not told: it is asked again */
	bool wait;
	long long wait_ms;   /* 0 = for ever */
	const char *sluiced; /* where it is, for check */
	json_t *extras;	     /* options that go into the request as they are, by name */
};

struct command {
	const char *name;
	const char
		*arguments; /* for the usage line; an extra option that is not in it is refused */
	int least, most;    /* how many arguments */
	const char *help;   /* what it does, with an example */
	enum cli_exit (*run)(const struct options *o, int argc, char **argv);
};

/* ---- connection.c ---- */

/* Called for each answer but the last ("more": true); false: stop listening. */
typedef bool answer_fn(void *owner, const json_t *answer);

/* ask: send the request (taken), hear the answers, give the last one: an object, to json_decref().
 * CLI_DONE, or what to exit with: the reason was told on stderr. With "ok": false it is
 * CLI_REFUSED, the error was told, and *ret_answer is set all the same.
 */
enum cli_exit ask(const struct options *o, json_t *request, answer_fn *more, void *owner,
		  json_t **ret_answer);

/* ---- writer.c ---- */

/* print_json: the whole answer, for machines. */
void print_json(const json_t *answer);
/* print_rows: an array of flat objects as a table, its keys as the columns. */
void print_rows(const json_t *rows);
/* print_safe: text of others without what a terminal would obey. */
void print_safe(const char *text);
/* print_line: a title or a sentence; bold or coloured on a terminal. */
enum tone { TONE_PLAIN, TONE_TITLE, TONE_GOOD, TONE_WARNING, TONE_BAD };
void print_tone(enum tone tone, const char *text);

/* ---- command_*.c ---- */

enum cli_exit cli_status(const struct options *o, int argc, char **argv);
enum cli_exit cli_show(const struct options *o, int argc, char **argv);
enum cli_exit cli_drain(const struct options *o, int argc, char **argv);
enum cli_exit cli_undrain(const struct options *o, int argc, char **argv);
enum cli_exit cli_disable(const struct options *o, int argc, char **argv);
enum cli_exit cli_enable(const struct options *o, int argc, char **argv);
enum cli_exit cli_weight(const struct options *o, int argc, char **argv);
enum cli_exit cli_plan(const struct options *o, int argc, char **argv);
enum cli_exit cli_reload(const struct options *o, int argc, char **argv);
enum cli_exit cli_check(const struct options *o, int argc, char **argv);
enum cli_exit cli_failover(const struct options *o, int argc, char **argv);
enum cli_exit cli_explain(const struct options *o, int argc, char **argv);
enum cli_exit cli_show_flows(const struct options *o);
enum cli_exit cli_trace(const struct options *o, int argc, char **argv);
enum cli_exit cli_probe(const struct options *o, int argc, char **argv);
enum cli_exit cli_upgrade(const struct options *o, int argc, char **argv);
enum cli_exit cli_detach(const struct options *o, int argc, char **argv);

#endif
