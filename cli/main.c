/* SPDX-License-Identifier: BSD-2-Clause */
/* main.c: `sluice`: options, the table of commands, help. Options may stand before or after the
 * command. Adding a command is a function and a row.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/child.h"
#include "cli/cli.h"

static const struct command commands[] = {
	{"status", "", 0, 0,
	 "The node at a glance: virtual addresses, services, backends, and what is wrong.\n"
	 "Exits with 4 when anything is.\n\nExample: sluice status\n",
	 cli_status},
	{"show",
	 "services|pools|backends|health|hooks|vrrp|sync|tracks|heartbeats|routes|counters|config\n"
	 "       sluice show history [INSTANCE]\n"
	 "       sluice show flows [--backend NAME] [--client ADDR[/BITS]] [--service NAME] [--limit N]",
	 1, 2,
	 "One kind of thing, with all there is to tell.\n\n"
	 "Example: sluice show backends --json\n"
	 "Example: sluice show health\n"
	 "Example: sluice show history mail4\n"
	 "Example: sluice show flows --backend mx2 --client 203.0.113.0/24\n",
	 cli_show},
	{"explain",
	 "CLIENT:PORT VIP:PORT [--protocol tcp|udp] [--flags FLAG|FLAG...] [--interface NAME]", 2,
	 2,
	 "What the data plane would do with that packet and why, stage by stage. Changes nothing.\n"
	 "A SYN unless told otherwise; IPv6 as [2001:db8::1]:40000.\n\n"
	 "Example: sluice explain 203.0.113.9:40000 198.51.100.10:25 --flags ack\n",
	 cli_explain},
	{"trace",
	 "[--client ADDR[/BITS]] [--vip ADDR[/BITS]] [--port N] [--protocol tcp|udp]\n"
	 "              [--verdict pass|drop|tx] [--reason NAME] [--sample 1/N] [--count N] [--for TIME]",
	 0, 0,
	 "Follow real packets: filtered in the kernel, each with its verdict. Ends after --count\n"
	 "packets, after --for (5m), or with Ctrl-C. One trace at a time.\n\n"
	 "Example: sluice trace --client 203.0.113.9 --count 20\n",
	 cli_trace},
	{"drain",
	 "BACKEND [--pool POOL] [--wait[=TIMEOUT]]\n"
	 "       sluice drain --node",
	 0, 1,
	 "No new connections to the backend, in every pool that has it; those that are open go on.\n"
	 "Survives a reload and a restart. With --wait, until none is left.\n"
	 "--node: this node's routes are withdrawn; its connections go on at the other nodes.\n\n"
	 "Example: sluice drain mx2 --wait=30m\n",
	 cli_drain},
	{"undrain",
	 "BACKEND [--pool POOL]\n"
	 "       sluice undrain --node",
	 0, 1, "The end of drain: new connections come again.\n\nExample: sluice undrain mx2\n",
	 cli_undrain},
	{"disable", "BACKEND [--pool POOL]", 1, 1,
	 "Nothing to the backend any more, open connections included.\n\n"
	 "Example: sluice disable mx2 --pool imap\n",
	 cli_disable},
	{"enable", "BACKEND [--pool POOL]", 1, 1,
	 "The end of disable.\n\nExample: sluice enable mx2\n", cli_enable},
	{"weight", "BACKEND WEIGHT|default [--pool POOL]", 2, 2,
	 "Another share for the backend, 0 (no new connections) to 1000.\n\n"
	 "Example: sluice weight mx2 50\n",
	 cli_weight},
	{"plan", "[FILE]", 0, 1,
	 "What a reload of the file would do, step by step, without doing it.\n\n"
	 "Example: sluice plan /etc/sluice/sluice.conf.new\n",
	 cli_plan},
	{"reload", "", 0, 0,
	 "Read the configuration again and do what is needed. A file with an error changes nothing.\n\n"
	 "Example: sluice reload\n",
	 cli_reload},
	{"check", "[FILE] [-n NODE]", 0, 1,
	 "Every error of a configuration at once; needs no daemon.\n\n"
	 "Example: sluice check -n lb2 ./sluice.conf\n",
	 cli_check},
	{"failover", "[INSTANCE] [--to NODE]", 0, 1,
	 "Hand the virtual addresses to the partner, now. This node takes them back only when the\n"
	 "partner is gone, or at its own failover. --to names who of several takes over; it may be\n"
	 "this node, which then asks the active one. Nobody steps back before that one is active.\n\n"
	 "Example: sluice failover\nExample: sluice failover mail4 --to lb3\n",
	 cli_failover},
	{"upgrade", "", 0, 0,
	 "Put the sluiced that is installed now in the place of the one that runs: no packet is lost,\n"
	 "no address moves. One that cannot take over is refused, and nothing changes.\n\n"
	 "Example: sluice upgrade\n",
	 cli_upgrade},
	{"probe", "POOL/BACKEND [-v]", 1, 1,
	 "Probe the backend once, now; with -v the whole dialogue.\n\n"
	 "Example: sluice probe mx/mx2 -v\n",
	 cli_probe},
	{"detach", "", 0, 0,
	 "Take the XDP program off every interface: this node balances nothing, until a reload.\n\n"
	 "Example: sluice detach\n",
	 cli_detach},
};
enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void usage(FILE *out)
{
	fputs("Usage: sluice [OPTIONS] COMMAND [ARGUMENTS]\n\n", out);
	for (int i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].arguments);
	fputs("\n  --json               for machines\n"
	      "  -s, --socket PATH    of the daemon (default " SLUICE_CONTROL_SOCKET ")\n"
	      "  -h, --help           of a command, too: sluice drain --help\n"
	      "  --version\n",
	      out);
}

static void command_usage(const struct command *c, FILE *out)
{
	fprintf(out, "Usage: sluice %s %s\n\n%s", c->name, c->arguments, c->help);
}

/* The command whose name shares the most with the word; NULL when that is not much. */
static const char *meant(const char *word)
{
	size_t best = 1;
	const char *found = NULL;

	for (int i = 0; i < COMMANDS; i++) {
		const char *name = commands[i].name;
		size_t same = 0, n = strlen(name), m = strlen(word);

		while (same < n && same < m && name[same] == word[same])
			same++;
		for (size_t k = 1; same + k <= n && same + k <= m && name[n - k] == word[m - k];
		     k++)
			same++;
		if (same > best && 2 * same >= n) {
			best = same;
			found = name;
		}
	}
	return found;
}

static const struct command *command_find(const char *name)
{
	for (int i = 0; i < COMMANDS; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	fprintf(stderr, "sluice: \"%s\" is not a command", name);
	if (meant(name))
		fprintf(stderr, "; did you mean \"%s\"?", meant(name));
	fputs("\nsluice --help lists them\n", stderr);
	return NULL;
}

/* "30s", "5m", "2h" or seconds, in milliseconds; -1: not that. */
static long long timeout_parse(const char *text)
{
	char *end;
	long long n = strtoll(text, &end, 10);

	if (end == text || n <= 0 || n > 604800)
		return -1;
	if (strcmp(end, "ms") == 0)
		return n;
	if (!*end || strcmp(end, "s") == 0)
		return n * 1000;
	if (strcmp(end, "m") == 0)
		return n * 60000;
	return strcmp(end, "h") == 0 ? n * 3600000 : -1;
}

/* sluiced: beside us where we are installed, or in the build folder, else where it is installed. */
static const char *sluiced_find(char *path, size_t size)
{
	static const char *const places[] = {"/../parent/sluiced", "/../sbin/sluiced", "/sluiced"};
	char self[512];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	self[n > 0 ? n : 0] = '\0';
	slash = strrchr(self, '/');
	for (size_t i = 0; slash && i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(path, size, "%.*s%s", (int)(slash - self), self, places[i]);
		if (access(path, X_OK) == 0)
			return path;
	}
	return SLUICED_PATH;
}

enum {
	OPTION_JSON = 256,
	OPTION_POOL,
	OPTION_WAIT,
	OPTION_VERSION,
	OPTION_TEXT,   /* goes into the request under its own name */
	OPTION_NUMBER, /* likewise */
	OPTION_FOR,
};

static const struct option names[] = {
	{"json", no_argument, NULL, OPTION_JSON},
	{"socket", required_argument, NULL, 's'},
	{"pool", required_argument, NULL, OPTION_POOL},
	{"wait", optional_argument, NULL, OPTION_WAIT},
	{"verbose", no_argument, NULL, 'v'},
	{"node", optional_argument, NULL, 'n'},
	{"protocol", required_argument, NULL, OPTION_TEXT},
	{"flags", required_argument, NULL, OPTION_TEXT},
	{"interface", required_argument, NULL, OPTION_TEXT},
	{"backend", required_argument, NULL, OPTION_TEXT},
	{"client", required_argument, NULL, OPTION_TEXT},
	{"service", required_argument, NULL, OPTION_TEXT},
	{"vip", required_argument, NULL, OPTION_TEXT},
	{"verdict", required_argument, NULL, OPTION_TEXT},
	{"reason", required_argument, NULL, OPTION_TEXT},
	{"sample", required_argument, NULL, OPTION_TEXT},
	{"to", required_argument, NULL, OPTION_TEXT},
	{"limit", required_argument, NULL, OPTION_NUMBER},
	{"port", required_argument, NULL, OPTION_NUMBER},
	{"count", required_argument, NULL, OPTION_NUMBER},
	{"for", required_argument, NULL, OPTION_FOR},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, OPTION_VERSION},
	{0},
};

/* An option that goes into the request; false: told that it is none. */
static bool extra_set(struct options *o, int kind, const char *name, const char *text)
{
	char *end = NULL;
	long long n = kind == OPTION_FOR ? timeout_parse(text) : strtoll(text, &end, 10);

	if (kind == OPTION_TEXT) {
		json_object_set_new(o->extras, name, json_string(text));
	} else if (kind == OPTION_FOR && n > 0) {
		json_object_set_new(o->extras, "for_ms", json_integer(n));
	} else if (kind == OPTION_NUMBER && *text && !*end) {
		json_object_set_new(o->extras, name, json_integer(n));
	} else {
		fprintf(stderr, "sluice: \"%s\" of --%s is not a %s\n", text, name,
			kind == OPTION_FOR ? "time; expected: 30s, 5m, 1h" : "number");
		return false;
	}
	return true;
}

/* Is every such option one of the command's? Else told. */
static bool extras_good(const struct options *o, const struct command *command)
{
	const char *key;
	json_t *value;

	json_object_foreach(o->extras, key, value)
	{
		char option[64];

		snprintf(option, sizeof(option), "--%.*s ", (int)strcspn(key, "_"), key);
		if (strstr(command->arguments, option))
			continue;
		fprintf(stderr, "sluice: %shas no meaning with %s\n", option, command->name);
		return false;
	}
	return true;
}

/* Returns -1 to go on, else what to exit with. *ret_help: --help was there. */
static int options_parse(int argc, char **argv, struct options *o, bool *ret_help)
{
	int c, i = 0;

	while ((c = getopt_long(argc, argv, "s:vn:h", names, &i)) != -1) {
		switch (c) {
		case OPTION_JSON:
			o->json = true;
			break;
		case OPTION_POOL:
			o->pool = optarg;
			break;
		case OPTION_WAIT:
			o->wait = true;
			o->wait_ms = optarg ? timeout_parse(optarg) : 0;
			if (o->wait_ms >= 0)
				break;
			fprintf(stderr, "sluice: \"%s\" is not a time; expected: 30s, 5m, 2h\n",
				optarg);
			return CLI_USAGE;
		case OPTION_VERSION:
			puts("sluice " SLUICE_VERSION);
			return CLI_DONE;
		case OPTION_TEXT:
		case OPTION_NUMBER:
		case OPTION_FOR:
			if (!extra_set(o, c, names[i].name, optarg))
				return CLI_USAGE;
			break;
		case 's':
			o->socket = optarg;
			break;
		case 'v':
			o->verbose = true;
			break;
		case 'n':
			if (!optarg && optind < argc && argv[optind][0] != '-')
				optarg = argv[optind++];
			o->node = optarg ? optarg : "";
			break;
		case 'h':
			*ret_help = true;
			break;
		default:
			usage(stderr);
			return CLI_USAGE;
		}
	}
	return -1;
}

/* JSON has only UTF-8: another argument would be left out of the request, and widen it. */
static bool arguments_good(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		json_t *text = json_string(argv[i]);

		if (!text) {
			fprintf(stderr, "sluice: argument %d is not UTF-8\n", i);
			return false;
		}
		json_decref(text);
	}
	return true;
}

/* The command and its arguments, from argv[optind] on. */
static enum cli_exit command_run(const struct options *o, bool help, int argc, char **argv)
{
	const struct command *command;
	int n;

	if (optind == argc) {
		usage(help ? stdout : stderr);
		return help ? CLI_DONE : CLI_USAGE;
	}
	command = command_find(argv[optind++]);
	if (!command)
		return CLI_USAGE;
	if (help) {
		command_usage(command, stdout);
		return CLI_DONE;
	}
	n = argc - optind;
	if (!extras_good(o, command))
		return CLI_USAGE;
	if (n < command->least || n > command->most) {
		command_usage(command, stderr);
		return CLI_USAGE;
	}
	return command->run(o, n, argv + optind);
}

int main(int argc, char **argv)
{
	char path[1024];
	struct options o = {.socket = SLUICE_CONTROL_SOCKET,
			    .sluiced = sluiced_find(path, sizeof(path)),
			    .extras = json_object()};
	bool help = false;
	int status = arguments_good(argc, argv) ? options_parse(argc, argv, &o, &help) : CLI_USAGE;

	if (status < 0)
		status = (int)command_run(&o, help, argc, argv);
	json_decref(o.extras);
	return status;
}
