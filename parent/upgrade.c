/* SPDX-License-Identifier: BSD-2-Clause */
/* upgrade.c: another build takes our place: without a packet lost, without a failover.
 *
 * We are the old one: SIGUSR2 or `sluice upgrade` asks. What is installed now is tried first
 * (`sluiced --trial`): it reads the configuration, the secret and what we remember (state.h), and
 * says why not, or its version. Any other end of it (an older build does not know the word) is a
 * refusal, and nothing has changed. Then programs ends in good order, healthcheck and lb are
 * killed, what they had said is heard, and we exec it: the same process for systemd, the same
 * parent for vrrp, whose channel stays open and who goes on as it was.
 *
 * We are the new one: UPGRADE_STATE in the environment says where the state is. All children are
 * started; vrrp beside the one of the build before, to whom we do not speak, since its messages may
 * be others. Two of the same node that send the same adverts harm nobody. When ours has answered,
 * and so has taken up its roles and sent its adverts, the old one is killed (supervisor.c). If ours
 * never comes up, the old one serves on.
 *
 * `systemctl restart` is the same, with systemd between: SIGUSR1 says that the SIGTERM that follows
 * is of a restart, and the state and the descriptors wait in systemd's store for who is started.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "parent/memory.h"
#include "parent/notify.h"
#include "parent/parent.h"
#include "parent/state.h"

#define UPGRADE_STATE "SLUICE_UPGRADE_STATE"

/* Names in systemd's store; the kept ones have their own. */
#define STORED_STATE   "state"
#define STORED_CHANNEL "vrrp"

enum {
	TRIAL_MS = 15000,
	GRANTED_MS = 100,     /* for lb, to tell who asked */
	RESTART_MS = 10000,   /* from SIGUSR1 to SIGTERM */
	STORE_WAIT_MS = 3000, /* for systemd */
};

/* ---- descriptors ---- */

void parent_keep(struct parent *p, const char *name, int fd)
{
	for (int i = 0; i < KEPT_MOST; i++) {
		struct kept *kept = &p->kept[i];

		if (kept->name[0] && strcmp(kept->name, name) != 0)
			continue;
		snprintf(kept->name, sizeof(kept->name), "%s", name);
		kept->fd = fd;
		return;
	}
	log_err("descriptor not kept, too many: name=%s", name);
}

int parent_kept(const struct parent *p, const char *name)
{
	for (int i = 0; i < KEPT_MOST; i++) {
		if (strcmp(p->kept[i].name, name) == 0)
			return p->kept[i].fd;
	}
	return -1;
}

/* Those that the next one needs. */
static void inherit_all(const struct parent *p, int flag)
{
	for (int i = 0; i < KEPT_MOST; i++) {
		if (p->kept[i].name[0])
			fcntl(p->kept[i].fd, F_SETFD, flag);
	}
	for (int role = 0; role < ROLE_COUNT; role++) {
		const struct process *c = &p->processes[role];

		if (c->channel)
			fcntl(channel_fd(c->channel), F_SETFD, flag);
		if (c->before_pid > 0)
			fcntl(c->before_fd, F_SETFD, flag);
	}
}

/* ---- the trial of what is installed ---- */

static void __attribute__((noreturn)) trial_exec(const struct parent *p, int state_fd, int out)
{
	char state[16];
	const char *argv[] = {p->binary, "--trial", state, "-c", p->config_path, NULL, NULL, NULL};
	sigset_t none;

	if (p->node) {
		argv[5] = "-n";
		argv[6] = p->node;
	}
	snprintf(state, sizeof(state), "%d", state_fd);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(out, STDOUT_FILENO) < 0)
		_exit(EXIT_FAILURE);
	execv(p->binary, (char *const *)(uintptr_t)argv);
	dprintf(STDOUT_FILENO, "%s cannot be run: %s\n", p->binary, strerror(errno));
	_exit(EXIT_FAILURE);
}

/* Its exit status, or -1; what goes on is killed. */
static int trial_end(pid_t pid, uint64_t until_ms)
{
	int status = 0;
	pid_t ended;

	while ((ended = waitpid(pid, &status, WNOHANG)) == 0 && clock_ms() < until_ms)
		poll(NULL, 0, 2);
	if (ended == 0) {
		kill(pid, SIGKILL);
		ended = waitpid(pid, &status, 0);
	}
	return ended == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* What it says, until it ends or the time is over; its exit status, or -1. */
static int trial_hear(pid_t pid, int in, char text[static MESSAGE_TEXT])
{
	uint64_t until_ms = clock_ms() + TRIAL_MS;
	struct pollfd poll_in = {.fd = in, .events = POLLIN};
	size_t n = 0;

	while (clock_ms() < until_ms) {
		char more[512];
		ssize_t got = 0;

		if (poll(&poll_in, 1, (int)(until_ms - clock_ms())) <= 0)
			continue;
		got = read(in, more, sizeof(more));
		if (got == 0 || (got < 0 && errno != EINTR))
			break;
		for (ssize_t i = 0; i < got && n < MESSAGE_TEXT - 1; i++)
			text[n++] = more[i];
	}
	text[n] = '\0';
	return trial_end(pid, until_ms);
}

/* trial: 0 with the version's name in @text, or -errno with the reasons there, a line each. */
static int trial(const struct parent *p, char text[static MESSAGE_TEXT])
{
	int out[2], status, state_fd = state_write(p);
	pid_t pid;

	if (state_fd < 0)
		return state_fd;
	if (pipe2(out, O_CLOEXEC) < 0) {
		close(state_fd);
		return -errno;
	}
	pid = fork();
	if (pid == 0)
		trial_exec(p, state_fd, out[1]);
	close(out[1]);
	close(state_fd);
	status = pid < 0 ? -1 : trial_hear(pid, out[0], text);
	close(out[0]);
	if (status == EXIT_SUCCESS && *text) {
		text[strcspn(text, "\n")] = '\0';
		return 0;
	}
	if (status != EXIT_FAILURE || !*text)
		snprintf(text, MESSAGE_TEXT,
			 "%s does not say whether it can take over (exit status %d): it is broken, "
			 "or older than upgrades; cure: install another, or restart the service, "
			 "which hands over to the partner",
			 p->binary, status);
	return -ECANCELED;
}

int upgrade_trial(struct parent *p, int state_fd)
{
	char why[STATE_WHY];
	int r;

	p->memory = memory_new();
	r = p->memory ? state_read(state_fd, p, why) : -ENOMEM;
	if (r == 0)
		puts(SLUICE_VERSION);
	else
		puts(r == -EPROTO ? why : strerror(-r));
	memory_free(p->memory);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- the old one ---- */

static void answer(struct parent *p, uint32_t request, int error, const char *text)
{
	struct message_reloaded m = {.request = request, .error = error};

	if (request == 0)
		return;
	snprintf(m.text, sizeof(m.text), "%s", text);
	supervisor_send(p, ROLE_LB, MESSAGE_RELOADED, &m, -1);
}

/* It could not be done after all: those that were ended come back. */
static void go_on(struct parent *p)
{
	inherit_all(p, FD_CLOEXEC);
	unsetenv(UPGRADE_STATE);
	for (int role = 0; role < ROLE_COUNT; role++) {
		if (p->processes[role].pid == 0)
			event_active(p->processes[role].restart, EV_TIMEOUT, 0);
	}
}

/* Those that can be missed; what all of them had said is heard. A vrrp that has not answered yet
 * can be missed, too: the one before it serves on.
 */
static void children_end(struct parent *p)
{
	struct process *vrrp = &p->processes[ROLE_VRRP];

	supervisor_end(&p->processes[ROLE_PROGRAMS], true);
	supervisor_end(&p->processes[ROLE_HEALTHCHECK], false);
	supervisor_end(&p->processes[ROLE_LB], false);
	if (vrrp->channel)
		channel_hear(vrrp->channel);
	if (vrrp->before_pid > 0)
		supervisor_drop(vrrp);
}

/* Our end of the channel of the vrrp that serves; -1 = none does. */
static int serving_fd(const struct parent *p)
{
	const struct process *vrrp = &p->processes[ROLE_VRRP];

	if (vrrp->before_pid > 0)
		return vrrp->before_fd;
	return vrrp->channel ? channel_fd(vrrp->channel) : -1;
}

/* Signals wait until the next one can take them. */
static void replace(struct parent *p)
{
	sigset_t all, before;
	char number[16];
	int fd, r;

	children_end(p);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	r = reload_try(p, stderr, NULL); /* since the trial, somebody may have begun to edit it */
	fd = r < 0 ? r : state_write(p);
	r = fd;
	if (fd >= 0) {
		snprintf(number, sizeof(number), "%d", fd);
		setenv(UPGRADE_STATE, number, 1);
		inherit_all(p, 0);
		execv(p->binary, p->argv);
		r = -errno;
		close(fd);
	}
	log_err("not upgraded: binary=%s error=%s", p->binary, strerror(-r));
	sigprocmask(SIG_SETMASK, &before, NULL);
	go_on(p);
}

static void on_granted(evutil_socket_t fd, short what, void *arg)
{
	struct parent *p = arg;

	(void)fd;
	(void)what;
	event_free(p->upgrade);
	p->upgrade = NULL;
	if (!p->stopping)
		replace(p);
}

void upgrade_ask(struct parent *p, uint32_t request)
{
	char text[MESSAGE_TEXT] = "";
	int r = 0;

	if (p->upgrade) {
		r = -EALREADY;
		snprintf(text, sizeof(text), "an upgrade is under way");
	} else {
		r = trial(p, text);
	}
	if (r == 0) {
		p->upgrade = evtimer_new(p->loop, on_granted, p);
		r = p->upgrade ? 0 : -ENOMEM;
	}
	if (r == 0) {
		event_add(p->upgrade, &(struct timeval){.tv_usec = GRANTED_MS * 1000});
		log_notice("upgrading: binary=%s version=%s was=%s", p->binary, text,
			   SLUICE_VERSION);
	} else {
		log_warning("not upgraded: binary=%s why=\"%s\"", p->binary,
			    *text ? text : strerror(-r));
	}
	answer(p, request, r, text);
}

/* ---- a restart by systemd ---- */

void upgrade_announce(struct parent *p)
{
	p->restart_until_ms = clock_ms() + RESTART_MS;
}

/* vrrp goes on until the next one's has answered; false: nobody keeps its channel. */
static bool store_all(const struct parent *p)
{
	int fd = state_write(p);
	bool stored = fd >= 0 && notify_store(STORED_STATE, fd);

	for (int i = 0; i < KEPT_MOST; i++) {
		if (p->kept[i].name[0])
			stored = stored && notify_store(p->kept[i].name, p->kept[i].fd);
	}
	/* Last, so that it is never there without the others. */
	stored = stored && notify_store(STORED_CHANNEL, serving_fd(p));
	stored = notify_wait(STORE_WAIT_MS) && stored;
	if (fd >= 0)
		close(fd);
	return stored;
}

bool upgrade_leave(struct parent *p)
{
	char text[MESSAGE_TEXT] = "";

	if (clock_ms() >= p->restart_until_ms || serving_fd(p) < 0)
		return false;
	if (trial(p, text) < 0) {
		log_warning("restarted with a failover: binary=%s why=\"%s\"", p->binary, text);
		return false;
	}
	children_end(p);
	if (serving_fd(p) < 0 || !store_all(p)) {
		log_warning(
			"restarted with a failover: why=\"systemd does not keep vrrp's channel\"");
		return false;
	}
	log_notice("leaving to version=%s; vrrp goes on", text);
	supervisor_forget(p);
	return true;
}

/* What systemd kept has other numbers than those in the state. The state's fd, or -1. */
static int stored_take(struct parent *p, int *ret_channel)
{
	struct stored stored[KEPT_MOST + 2];
	int n = notify_stored(stored, KEPT_MOST + 2), state_fd = -1;

	for (int i = 0; i < n; i++) {
		if (strcmp(stored[i].name, STORED_STATE) == 0)
			state_fd = stored[i].fd;
		else if (strcmp(stored[i].name, STORED_CHANNEL) == 0)
			*ret_channel = stored[i].fd;
		else
			parent_keep(p, stored[i].name, stored[i].fd);
	}
	return state_fd;
}

/* Nobody is at the other end: it resigned, and its number may be another's by now. */
static bool is_closed(int channel)
{
	struct pollfd p = {.fd = channel};

	return channel < 0 || poll(&p, 1, 0) != 0;
}

/* ---- the new one ---- */

/* Of a restart by systemd. 1, 0 when there is nothing (any more), or -errno. */
static int stored_read(struct parent *p, char why[static STATE_WHY])
{
	struct process *vrrp = &p->processes[ROLE_VRRP];
	struct kept kept[KEPT_MOST];
	int channel = -1, r = 0, fd = stored_take(p, &channel);

	if (fd >= 0 && !is_closed(channel)) {
		memcpy(kept, p->kept, sizeof(kept));
		r = state_read(fd, p, why);
		memcpy(p->kept, kept, sizeof(kept));
		vrrp->before_fd = channel;
		channel = -1;
		r = r < 0 ? r : 1;
	}
	if (channel >= 0)
		close(channel);
	if (fd >= 0)
		close(fd);
	return r;
}

/* Of an exec. */
static int inherited_read(struct parent *p, char why[static STATE_WHY])
{
	const char *number = getenv(UPGRADE_STATE);
	int r, fd;

	if (!number)
		return 0;
	fd = atoi(number);
	unsetenv(UPGRADE_STATE);
	r = state_read(fd, p, why);
	close(fd);
	return r < 0 ? r : 1;
}

int upgrade_begin(struct parent *p)
{
	char why[STATE_WHY] = "out of memory";
	int r = stored_read(p, why);

	if (r == 0)
		r = inherited_read(p, why);
	if (r == 0)
		return 0;
	if (r < 0) {
		log_err("not taken over: why=\"%s\"", why);
		return r;
	}
	for (int i = 0; i < KEPT_MOST; i++) {
		if (p->kept[i].name[0])
			fcntl(p->kept[i].fd, F_SETFD, FD_CLOEXEC);
	}
	for (int role = 0; role < ROLE_COUNT; role++) {
		if (p->processes[role].before_pid > 0)
			fcntl(p->processes[role].before_fd, F_SETFD, FD_CLOEXEC);
	}
	return 1;
}
