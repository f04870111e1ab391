/* SPDX-License-Identifier: BSD-2-Clause */
/* supervisor.c: the children's lives.
 *
 * A child that ends is started again at once when it had lived for STEADY_MS; else after a delay
 * that doubles up to DELAY_MOST_MS. A child that leaves UNANSWERED_MOST pings without an answer is
 * killed, which starts it again. A second in which it mostly waited for a CPU does not count,
 * EXCUSED_MOST times: it would have to do the same again, and no faster.
 *
 * A child that a stranger took over may send as fast as it can. It harms itself alone: while more
 * than CROWDED_BYTES wait for anybody, nobody who says something is read until the next second, so
 * that no queue overflows; and one that was refused REFUSED_MOST times is killed.
 */
#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "parent/parent.h"

enum {
	STEADY_MS = 10000,
	DELAY_LEAST_MS = 50,
	DELAY_MOST_MS = 5000,
	UNANSWERED_MOST = 10,
	REFUSED_MOST = 100,
	CROWDED_BYTES = 4 << 20,
	EXCUSED_MOST = 50,
	UNREAD_TURN = 64,    /* messages of the build before */
	STARVED_MS = 500,    /* of the second since the last ping */
	STOP_VRRP_MS = 3000, /* to resign */
	STOP_MS = 5000,	     /* for the others */
};

static bool crowded(const struct parent *p)
{
	for (int role = 0; role < ROLE_COUNT; role++) {
		const struct channel *c = p->processes[role].channel;

		if (c && channel_waiting(c) > CROWDED_BYTES)
			return true;
	}
	return false;
}

static void on_message(void *owner, enum message_type type, const void *payload, int fd)
{
	struct process *c = owner;

	switch_message(c, type, payload, fd);
	if (c->channel && !c->paused && crowded(c->parent)) {
		c->paused = true;
		channel_pause(c->channel, true);
	}
}

/* The process is ending, or sent nonsense: SIGCHLD brings it back, after a kill for the latter. */
static void on_closed(void *owner)
{
	struct process *c = owner;

	channel_free(c->channel);
	c->channel = NULL;
	if (c->pid > 0 && !c->parent->stopping)
		kill(c->pid, SIGKILL);
}

void supervisor_send(struct parent *p, enum parent_role to, enum message_type type,
		     const void *payload, int fd)
{
	struct process *c = &p->processes[to];
	int r;

	if (!c->channel)
		return;
	r = channel_send(c->channel, type, payload, fd);
	if (r == -ENOBUFS && c->pid > 0) {
		log_err("child does not take its messages, killing it: role=%s", c->child->role);
		kill(c->pid, SIGKILL);
	}
}

void supervisor_refuse(struct process *from, enum message_type type)
{
	log_err("message refused: from=%s type=%s", from->child->role, message_name(type));
	if (++from->refused != REFUSED_MOST || from->pid <= 0)
		return;
	log_err("child says too much that it may not, killing it: role=%s pid=%d",
		from->child->role, (int)from->pid);
	kill(from->pid, SIGKILL);
	channel_pause(from->channel, true);
}

static void __attribute__((noreturn)) child_exec(struct process *c, int fd)
{
	char role[32];
	char *argv[] = {"sluiced", "--child", role, c->parent->debug ? "-d" : NULL, NULL};
	sigset_t none;

	snprintf(role, sizeof(role), "%s", c->child->role);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpgid(0, 0); /* Ctrl-C is the parent's to hear */
	if (fd != CHILD_CHANNEL_FD && dup2(fd, CHILD_CHANNEL_FD) < 0)
		_exit(EXIT_FAILURE);
	execv("/proc/self/exe", argv);
	_exit(EXIT_FAILURE);
}

static int process_start(struct process *c)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		int r = -errno;

		close(pair[0]);
		close(pair[1]);
		return r;
	}
	if (pid == 0)
		child_exec(c, pair[1]);
	close(pair[1]);
	c->channel = channel_new(c->parent->loop, pair[0], on_message, on_closed, c);
	c->pid = pid;
	c->unanswered = c->refused = c->excused = 0;
	c->paused = false;
	c->waited_ms = 0;
	c->started_ms = clock_ms();
	c->since_s = time(NULL);
	if (!c->channel) {
		kill(pid, SIGKILL);
		return -ENOMEM;
	}
	switch_brief(c);
	if (c->before_pid > 0) /* its answer ends the one before: supervisor_answered() */
		supervisor_send(c->parent, c->role, MESSAGE_PING, &(struct message_ping){0}, -1);
	return 0;
}

/* before_end: @by: SIGKILL, or 0: it hears that we are gone, and leaves in good order. */
static void before_end(struct process *c, int by)
{
	if (c->before_pid <= 0)
		return;
	if (by)
		kill(c->before_pid, by);
	if (c->before_speaks)
		event_free(c->before_speaks);
	c->before_speaks = NULL;
	close(c->before_fd);
	c->before_fd = -1;
	c->before_pid = 0;
}

/* What it says is another build's, and goes unread: it may serve for long, and would keep all of it
 * in its memory. Its end is seen here, too: after a restart by systemd it is no child of ours, and
 * its number may become another's.
 */
static void on_before_speaks(evutil_socket_t fd, short what, void *arg)
{
	struct process *c = arg;
	char unread[8];
	ssize_t n = 1;

	(void)what;
	for (int turn = 0; turn < UNREAD_TURN && n > 0; turn++)
		n = recv(fd, unread, sizeof(unread), MSG_DONTWAIT);
	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	log_warning("child of the build before ended: role=%s pid=%d", c->child->role,
		    (int)c->before_pid);
	before_end(c, 0);
	switch_tell_process(c);
}

static int before_hear(struct process *c)
{
	if (c->before_pid <= 0)
		return 0;
	c->before_speaks =
		event_new(c->parent->loop, c->before_fd, EV_READ | EV_PERSIST, on_before_speaks, c);
	return c->before_speaks && event_add(c->before_speaks, NULL) == 0 ? 0 : -ENOMEM;
}

void supervisor_answered(struct process *c)
{
	if (c->before_pid <= 0)
		return;
	log_notice("child replaced: role=%s pid=%d before=%d", c->child->role, (int)c->pid,
		   (int)c->before_pid);
	before_end(c, SIGKILL);
	switch_tell_process(c);
}

static void process_start_again(evutil_socket_t fd, short what, void *arg)
{
	struct process *c = arg;
	int r;

	(void)fd;
	(void)what;
	if (c->parent->stopping || c->pid > 0)
		return;
	c->restarts++;
	r = process_start(c);
	if (r < 0) {
		log_err("child not started: role=%s error=%s", c->child->role, strerror(-r));
		event_add(c->restart, &(struct timeval){.tv_sec = 1});
		return;
	}
	log_notice("child started again: role=%s pid=%d restarts=%u", c->child->role, (int)c->pid,
		   c->restarts);
}

/* 0: at once. */
static uint32_t delay_next(struct process *c)
{
	if (clock_ms() - c->started_ms >= STEADY_MS)
		c->delay_ms = 0;
	else if (c->delay_ms == 0)
		c->delay_ms = DELAY_LEAST_MS;
	else if (c->delay_ms < DELAY_MOST_MS)
		c->delay_ms *= 2;
	return c->delay_ms;
}

static void process_ended(struct process *c, int status)
{
	uint32_t delay_ms = delay_next(c);

	if (c->channel) {
		channel_free(c->channel);
		c->channel = NULL;
	}
	c->pid = 0;
	c->since_s = time(NULL);
	if (c->parent->stopping)
		return;
	if (WIFSIGNALED(status))
		log_warning("child ended: role=%s signal=%s again_in_ms=%u", c->child->role,
			    strsignal(WTERMSIG(status)), delay_ms);
	else
		log_warning("child ended: role=%s status=%d again_in_ms=%u", c->child->role,
			    WEXITSTATUS(status), delay_ms);
	switch_tell_process(c);
	if (delay_ms == 0) {
		process_start_again(-1, 0, c);
		return;
	}
	event_add(c->restart,
		  &(struct timeval){.tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000});
}

void supervisor_reap(struct parent *p)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (int role = 0; role < ROLE_COUNT; role++) {
			struct process *c = &p->processes[role];

			if (c->pid == pid)
				process_ended(c, status);
			else if (c->before_pid == pid)
				before_end(c, 0);
		}
	}
}

/* Did it wait for a CPU for most of the time since it was asked last? */
static bool is_starved(struct process *c)
{
	uint64_t before_ms = c->waited_ms;

	c->waited_ms = child_waited_ms(c->pid);
	return c->waited_ms > before_ms + STARVED_MS;
}

void supervisor_ping(struct parent *p)
{
	for (int role = 0; role < ROLE_COUNT; role++) {
		struct process *c = &p->processes[role];
		struct message_ping ping = {.sequence = c->unanswered};

		if (c->pid <= 0)
			continue;
		if (c->paused && c->channel && !crowded(p)) {
			c->paused = false;
			channel_pause(c->channel, false);
		}
		if (c->paused)
			continue; /* its answer could not be heard */
		if (is_starved(c) && c->unanswered > 0 && c->excused < EXCUSED_MOST) {
			c->excused++;
			continue;
		}
		if (c->unanswered++ >= UNANSWERED_MOST) {
			log_warning("child does not answer, killing it: role=%s pid=%d",
				    c->child->role, (int)c->pid);
			kill(c->pid, SIGKILL);
			continue;
		}
		supervisor_send(p, role, MESSAGE_PING, &ping, -1);
	}
}

int supervisor_start(struct parent *p)
{
	for (int role = 0; role < ROLE_COUNT; role++) {
		struct process *c = &p->processes[role];
		int r;

		c->restart = event_new(p->loop, -1, 0, process_start_again, c);
		if (!c->restart)
			return -ENOMEM;
		r = before_hear(c);
		r = r < 0 ? r : process_start(c);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Wait for this child to end, @limit_ms at most, then kill it. */
static void process_wait(struct process *c, int limit_ms)
{
	uint64_t until = clock_ms() + (uint64_t)limit_ms;

	while (c->pid > 0 && waitpid(c->pid, NULL, WNOHANG) == 0) {
		if (clock_ms() >= until) {
			log_warning("child does not stop, killing it: role=%s", c->child->role);
			kill(c->pid, SIGKILL);
			waitpid(c->pid, NULL, 0);
			break;
		}
		poll(NULL, 0, 2);
	}
	c->pid = 0;
}

static void process_stop(struct process *c)
{
	struct message_stop stop = {.detach = c->parent->detach};

	if (c->channel) {
		channel_send(c->channel, MESSAGE_STOP, &stop, -1);
		channel_flush(c->channel, 1000);
	}
}

void supervisor_forget(struct parent *p)
{
	for (int role = 0; role < ROLE_COUNT; role++) {
		channel_free(p->processes[role].channel);
		p->processes[role].channel = NULL;
		before_end(&p->processes[role], 0);
		if (p->processes[role].restart)
			event_free(p->processes[role].restart);
		p->processes[role].restart = NULL;
	}
	event_base_loopbreak(p->loop);
}

void supervisor_end(struct process *c, bool in_good_order)
{
	if (in_good_order)
		process_stop(c);
	else if (c->pid > 0)
		kill(c->pid, SIGKILL);
	process_wait(c, STOP_MS);
	while (c->channel)
		channel_hear(c->channel); /* nobody writes any more: it ends */
}

void supervisor_drop(struct process *c)
{
	if (c->pid > 0)
		kill(c->pid, SIGKILL);
	process_wait(c, STOP_MS);
	channel_free(c->channel);
	c->channel = NULL;
}

void supervisor_stop(struct parent *p)
{
	p->stopping = true;
	for (int role = 0; role < ROLE_COUNT; role++)
		before_end(&p->processes[role], 0);
	process_stop(&p->processes[ROLE_VRRP]);
	process_wait(&p->processes[ROLE_VRRP], STOP_VRRP_MS);
	process_stop(&p->processes[ROLE_HEALTHCHECK]);
	process_stop(&p->processes[ROLE_LB]);
	process_stop(&p->processes[ROLE_PROGRAMS]);
	process_wait(&p->processes[ROLE_HEALTHCHECK], STOP_MS);
	process_wait(&p->processes[ROLE_LB], STOP_MS);
	process_wait(&p->processes[ROLE_PROGRAMS], STOP_MS);
	supervisor_forget(p);
}
