/* SPDX-License-Identifier: BSD-2-Clause */
/* main.c: sluiced. As the parent it reads the configuration, starts the children and runs until it
 * is told to stop. As `sluiced --child ROLE`, started by the parent alone, it is that child. As
 * `sluiced -t` it only checks a file.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "healthcheck/healthcheck.h"
#include "lb/lb.h"
#include "parent/memory.h"
#include "parent/notify.h"
#include "parent/parent.h"
#include "programs/programs.h"
#include "vrrp/vrrp.h"

enum { EXIT_USAGE = 2, LOCK_WAIT_MS = 5000, SIGNALS = 6 };

static const struct child *const children[ROLE_COUNT] = {
	[ROLE_LB] = &lb_child,
	[ROLE_HEALTHCHECK] = &healthcheck_child,
	[ROLE_VRRP] = &vrrp_child,
	[ROLE_PROGRAMS] = &programs_child,
};

static const char usage[] =
	"Usage: sluiced [-d] [-c FILE] [-n NODE]    run in the foreground\n"
	"       sluiced -t [-n NODE] [FILE]         check a configuration, and exit 0 or 1\n"
	"\n"
	"  -c FILE  the configuration (default " CONFIG_DEFAULT_PATH ")\n"
	"  -n NODE  this node's name in it (default: the host's name)\n"
	"  -d       log what helps to debug\n"
	"  -V       print the version\n"
	"\n"
	"SIGHUP reads the configuration again; SIGUSR2 puts the installed version in the place of the\n"
	"running one; SIGTERM hands over to the partner and stops.\n";

struct options {
	const char *config, *node, *role, *trial;
	char **argv;
	bool check, debug;
};

/* Returns -1 to go on, else the exit status. */
static int options_parse(int argc, char **argv, struct options *o)
{
	static const struct option names[] = {
		{"child", required_argument, NULL, 'C'},
		{"help", no_argument, NULL, 'h'},
		{"trial", required_argument, NULL, 'T'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:n:tdhV", names, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->config = optarg;
			break;
		case 'n':
			o->node = optarg;
			break;
		case 't':
			o->check = true;
			break;
		case 'd':
			o->debug = true;
			break;
		case 'C':
			o->role = optarg;
			break;
		case 'T':
			o->trial = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		case 'V':
			puts("sluiced " SLUICE_VERSION);
			return EXIT_SUCCESS;
		default:
			fputs(usage, stderr);
			return EXIT_USAGE;
		}
	}
	if (o->check && optind < argc)
		o->config = argv[optind++];
	if (optind < argc) {
		fprintf(stderr, "sluiced: \"%s\" is not expected here\n%s", argv[optind], usage);
		return EXIT_USAGE;
	}
	return -1;
}

static int child_run(const struct options *o)
{
	char name[16];

	for (int role = 0; role < ROLE_COUNT; role++) {
		if (strcmp(children[role]->role, o->role) != 0)
			continue;
		snprintf(name, sizeof(name), "sluice-%s", o->role);
		prctl(PR_SET_NAME, name);
		log_init(children[role]->role, o->debug);
		return children[role]->run(CHILD_CHANNEL_FD);
	}
	fprintf(stderr, "sluiced: there is no child \"%s\"\n", o->role);
	return EXIT_USAGE;
}

static int check_run(const struct options *o)
{
	struct config *config = NULL;
	int r = config_load(o->config, o->node, healthcheck_schemas, stderr, &config);

	if (r == -ENOMEM)
		fputs("sluiced: out of memory\n", stderr);
	if (r < 0)
		return EXIT_FAILURE;
	printf("%s: good: node %s, %u vrrp instances, %u pools, %u backends, %u services\n",
	       o->config, config->node.name, config->n_instances, config->n_pools,
	       config->n_backends, config->n_services);
	config_free(config);
	return EXIT_SUCCESS;
}

/* run_dirs_make: what the control socket and the operator's states need; 0 or -errno. */
static int run_dirs_make(void)
{
	if ((mkdir(SLUICE_RUN_DIR, 0755) < 0 && errno != EEXIST) ||
	    (mkdir(SLUICE_STATE_DIR, 0700) < 0 && errno != EEXIST))
		return -errno;
	return 0;
}

/* lock_take: one sluiced at a time. The lock is inherited by the children, so that whoever comes
 * after a parent that was killed waits until its children have left too. The fd or -errno.
 */
static int lock_take(void)
{
	uint64_t until = clock_ms() + LOCK_WAIT_MS;
	int fd = open(SLUICE_RUN_DIR "/sluiced.lock", O_RDWR | O_CREAT, 0600);

	if (fd < 0)
		return -errno;
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (clock_ms() >= until) {
			close(fd);
			return -EBUSY;
		}
		usleep(10000);
	}
	return fd;
}

static void on_signal(evutil_socket_t signal_number, short what, void *arg)
{
	struct parent *p = arg;

	(void)what;
	switch (signal_number) {
	case SIGCHLD:
		supervisor_reap(p);
		break;
	case SIGHUP:
		reload_run(p, 0);
		break;
	case SIGUSR2:
		upgrade_ask(p, 0);
		break;
	case SIGUSR1:
		upgrade_announce(p);
		break;
	default:
		log_notice("stopping: signal=%s", strsignal((int)signal_number));
		notify("STOPPING=1");
		if (!upgrade_leave(p))
			supervisor_stop(p);
	}
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	supervisor_ping(arg);
}

static int parent_loop(struct parent *p)
{
	static const int signals[SIGNALS] = {SIGCHLD, SIGHUP, SIGUSR1, SIGUSR2, SIGTERM, SIGINT};
	struct event *events[SIGNALS + 1] = {0};
	sigset_t none;
	int r = -ENOMEM;

	for (size_t i = 0; i < SIGNALS; i++) {
		events[i] = evsignal_new(p->loop, signals[i], on_signal, p);
		if (!events[i] || event_add(events[i], NULL) < 0)
			goto out;
	}
	events[SIGNALS] = event_new(p->loop, -1, EV_PERSIST, on_second, p);
	if (!events[SIGNALS] || event_add(events[SIGNALS], &(struct timeval){.tv_sec = 1}) < 0)
		goto out;
	sigemptyset(&none); /* after an upgrade they wait */
	sigprocmask(SIG_SETMASK, &none, NULL);
	r = supervisor_start(p);
	if (r == 0) {
		notify("READY=1");
		event_base_dispatch(p->loop);
	}
	if (p->upgrade) /* granted, and overtaken by the end */
		event_free(p->upgrade);
out:
	for (size_t i = 0; i <= SIGNALS; i++) {
		if (events[i])
			event_free(events[i]);
	}
	return r;
}

/* binary_path: where a newer one of us will be: as we were called, symbolic links and all. */
static const char *binary_path(const char *called, char path[static PATH_MAX])
{
	ssize_t n;

	if (called[0] == '/')
		return called;
	n = readlink("/proc/self/exe", path, PATH_MAX - 1);
	if (n < 0)
		return called;
	path[n] = '\0';
	return path;
}

static void parent_init(struct parent *p, const struct options *o, char path[static PATH_MAX])
{
	*p = (struct parent){.config_path = o->config,
			     .node = o->node,
			     .debug = o->debug,
			     .argv = o->argv,
			     .binary = binary_path(o->argv[0], path),
			     .abi = lb_abi_version,
			     .heart_fd = -1};
	for (int role = 0; role < ROLE_COUNT; role++)
		p->processes[role] = (struct process){
			.parent = p, .child = children[role], .role = role, .before_fd = -1};
}

static int trial_run(const struct options *o)
{
	struct parent p;
	char path[PATH_MAX];

	parent_init(&p, o, path);
	if (reload_try(&p, stdout, lb_try) < 0)
		return EXIT_FAILURE;
	return upgrade_trial(&p, atoi(o->trial));
}

/* The lock is the children's, too. */
static int lock_keep(struct parent *p)
{
	int fd = parent_kept(p, "lock");

	if (fd < 0)
		fd = lock_take();
	else
		fcntl(fd, F_SETFD, 0);
	if (fd < 0)
		return fd;
	parent_keep(p, "lock", fd);
	return 0;
}

static int parent_run(const struct options *o)
{
	struct parent p;
	char path[PATH_MAX];
	bool upgraded = false;
	int r;

	log_init("parent", o->debug);
	signal(SIGPIPE, SIG_IGN);
	parent_init(&p, o, path);
	if (geteuid() != 0) {
		log_err("sluiced must be started as root: it loads BPF programs and sets addresses");
		return EXIT_FAILURE;
	}
	p.loop = event_base_new();
	p.memory = memory_new();
	r = p.loop && p.memory ? upgrade_begin(&p) : -ENOMEM;
	upgraded = r == 1;
	if (r >= 0 && reload_first(&p) < 0) {
		log_err("not started: file=%s has errors", o->config);
		r = -ECANCELED;
	}
	r = r < 0 ? r : run_dirs_make();
	r = r < 0 ? r : lock_keep(&p);
	if (r == 0) {
		heart_take(&p);
		log_notice("%s: version=%s node=%s file=%s", upgraded ? "upgraded" : "started",
			   SLUICE_VERSION, p.config->node.name, o->config);
		r = parent_loop(&p);
	}
	if (r < 0 && r != -ECANCELED)
		log_err("not started: error=%s%s", strerror(-r),
			r == -EBUSY ? "; is another sluiced running?" : "");
	memory_free(p.memory);
	if (p.loop)
		event_base_free(p.loop);
	config_free(p.config);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct options o = {.config = CONFIG_DEFAULT_PATH, .argv = argv};
	int status = options_parse(argc, argv, &o);

	if (status >= 0)
		return status;
	if (o.role)
		return child_run(&o);
	if (o.trial)
		return trial_run(&o);
	return o.check ? check_run(&o) : parent_run(&o);
}
