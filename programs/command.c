/* SPDX-License-Identifier: BSD-2-Clause */
/* command.c: see command.h. The end of the process is told by a pidfd; that execve() failed, and
 * why, by a second pipe that a good execve() closes.
 */
#include "programs/command.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"

struct command {
	pid_t pid;
	int pid_fd, output_fd, failure_fd;
	struct event *ended, *readable, *timeout;
	command_done_fn *done;
	void *owner;
	uint64_t started_ms;
	size_t kept, seen;
	struct command_end end;
};

/* ---- in the child ---- */

static void limit_set(int what, rlim_t value)
{
	struct rlimit limit;

	if (getrlimit(what, &limit) < 0)
		return;
	if (limit.rlim_max > value)
		limit.rlim_max = value;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(what, &limit);
}

static void child_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* child_descriptors: 0 is empty, 1 and 2 the output, 3 the failure, and no other. Where that fails,
 * 3 may still be what our process has there: *ret_failure_fd is where to tell it.
 */
static int child_descriptors(int output_fd, int failure_fd, int *ret_failure_fd)
{
	/* out of the way of 0 to 3 */
	int output = fcntl(output_fd, F_DUPFD, 10), failure = fcntl(failure_fd, F_DUPFD, 10);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	*ret_failure_fd = failure < 0 ? failure_fd : failure;
	if (output < 0 || failure < 0 || null < 0 || dup2(null, 0) < 0 || dup2(output, 1) < 0 ||
	    dup2(output, 2) < 0 || dup3(failure, 3, O_CLOEXEC) < 0)
		return -errno;
	*ret_failure_fd = 3;
	return syscall(SYS_close_range, 4U, ~0U, 0U) < 0 ? -errno : 0;
}

static void __attribute__((noreturn))
child_run(const struct command_request *request, char *const *argv, pid_t parent, int output_fd,
	  int failure_fd)
{
	int told_by, error = child_descriptors(output_fd, failure_fd, &told_by);

	child_signals();
	setsid();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_FAILURE); /* it died before that */
	limit_set(RLIMIT_CORE, 0);
	limit_set(RLIMIT_NPROC, COMMAND_PROCESSES);
	limit_set(RLIMIT_NOFILE, COMMAND_FILES);
	umask(022);
	if (error == 0 && chdir("/") < 0)
		error = -errno;
	if (error == 0 && !argv[0])
		_exit(request->inside(request->arg));
	if (error == 0) {
		execve(argv[0], argv, request->environment->strings);
		error = -errno;
	}
	if (write(told_by, &error, sizeof(error)) < 0)
		_exit(126);
	_exit(127);
}

/* ---- in the parent ---- */

static void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void command_free(struct command *c)
{
	if (!c)
		return;
	if (c->pid > 0) {
		kill(-c->pid, SIGKILL);
		kill(c->pid, SIGKILL); /* it may not have its group yet */
		waitpid(c->pid, NULL, 0);
	}
	if (c->ended)
		event_free(c->ended);
	if (c->readable)
		event_free(c->readable);
	if (c->timeout)
		event_free(c->timeout);
	fd_close(&c->pid_fd);
	fd_close(&c->output_fd);
	fd_close(&c->failure_fd);
	free(c);
}

static void output_keep(struct command *c, const char *bytes, size_t n)
{
	c->seen += n;
	for (size_t i = 0; i < n && c->kept < sizeof(c->end.output) - 1; i++) {
		if (bytes[i])
			c->end.output[c->kept++] = bytes[i];
	}
}

/* output_read: what is there; false: no more will come, or no more is wanted. */
static bool output_read(struct command *c)
{
	char bytes[4096];

	while (c->seen < OUTPUT_MOST) {
		ssize_t n = read(c->output_fd, bytes, sizeof(bytes));

		if (n > 0)
			output_keep(c, bytes, (size_t)n);
		else
			return n < 0 && (errno == EAGAIN || errno == EINTR);
	}
	return false;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct command *c = arg;

	(void)fd;
	(void)what;
	if (output_read(c))
		return;
	event_free(c->readable);
	c->readable = NULL;
	fd_close(&c->output_fd);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct command *c = arg;

	(void)fd;
	(void)what;
	c->end.error = -ETIME;
	kill(-c->pid, SIGKILL);
	kill(c->pid, SIGKILL);
}

static void on_ended(evutil_socket_t fd, short what, void *arg)
{
	struct command *c = arg;
	int status = 0, failure;

	(void)fd;
	(void)what;
	/* not reaped yet: its number still means this group */
	kill(-c->pid, SIGKILL);
	if (c->output_fd >= 0)
		output_read(c);
	waitpid(c->pid, &status, 0);
	c->pid = 0;
	if (c->end.error == 0 && read(c->failure_fd, &failure, sizeof(failure)) == sizeof(failure))
		c->end.error = failure;
	c->end.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	c->end.took_ms = (uint32_t)(clock_ms() - c->started_ms);
	c->done(c->owner, &c->end);
	command_free(c);
}

static int command_watch(struct command *c, struct event_base *loop, uint32_t timeout_ms)
{
	const struct timeval limit = {.tv_sec = timeout_ms / 1000,
				      .tv_usec = timeout_ms % 1000 * 1000};

	c->pid_fd = (int)syscall(SYS_pidfd_open, c->pid, 0);
	if (c->pid_fd < 0)
		return -errno;
	fcntl(c->output_fd, F_SETFL, O_NONBLOCK);
	fcntl(c->failure_fd, F_SETFL, O_NONBLOCK);
	c->ended = event_new(loop, c->pid_fd, EV_READ, on_ended, c);
	c->readable = event_new(loop, c->output_fd, EV_READ | EV_PERSIST, on_readable, c);
	c->timeout = evtimer_new(loop, on_timeout, c);
	if (!c->ended || !c->readable || !c->timeout || event_add(c->ended, NULL) < 0 ||
	    event_add(c->readable, NULL) < 0 || event_add(c->timeout, &limit) < 0)
		return -ENOMEM;
	return 0;
}

/* words_split: pointers into @words; the first is NULL where there are none. */
static void words_split(const char *words, char *argv[static COMMAND_WORDS + 1])
{
	int n = 0;

	for (; words && *words && n < COMMAND_WORDS; words += strlen(words) + 1)
		argv[n++] = (char *)(uintptr_t)words;
	argv[n] = NULL;
}

/* process_fork: with its two pipes. */
static int process_fork(struct command *c, const struct command_request *request)
{
	char *argv[COMMAND_WORDS + 1];
	int output[2] = {-1, -1}, failure[2] = {-1, -1}, r = 0;
	pid_t parent = getpid();

	words_split(request->words, argv);
	if (!argv[0] && !request->inside)
		return -EINVAL;
	if (pipe2(output, O_CLOEXEC) < 0 || pipe2(failure, O_CLOEXEC) < 0)
		r = -errno;
	c->output_fd = output[0];
	c->failure_fd = failure[0];
	if (r == 0) {
		c->pid = fork();
		if (c->pid == 0)
			child_run(request, argv, parent, output[1], failure[1]);
		if (c->pid < 0)
			r = -errno;
	}
	fd_close(&output[1]);
	fd_close(&failure[1]);
	return r;
}

int command_start(const struct command_request *request, struct command **ret_command)
{
	struct command *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	*c = (struct command){.pid_fd = -1,
			      .output_fd = -1,
			      .failure_fd = -1,
			      .done = request->done,
			      .owner = request->owner,
			      .started_ms = clock_ms()};
	r = process_fork(c, request);
	if (r == 0)
		r = command_watch(c, request->loop, request->timeout_ms);
	if (r < 0) {
		command_free(c);
		return r;
	}
	*ret_command = c;
	return 0;
}
