/* SPDX-License-Identifier: BSD-2-Clause */
/* command.h: one run of a program: started, limited, collected, on a libevent loop.
 *
 * It has a session and process group of its own, no input, no descriptor of ours, a clean
 * environment, and limits (COMMAND_*). Its standard output and error are one pipe: the beginning is
 * kept, what follows is read and forgotten up to OUTPUT_MOST, and then the pipe is closed, so that
 * somebody who writes without end gets SIGPIPE and costs us nothing. At the timeout, and when the
 * program itself ends, everything in its process group is killed; what is to stay (a daemon) makes
 * a session of its own, as daemons do. When our process is killed, so is the
 * program, but not what it has started itself.
 */
#ifndef SLUICE_PROGRAMS_COMMAND_H
#define SLUICE_PROGRAMS_COMMAND_H

#include <event2/event.h>
#include <stdint.h>

#include "base/message.h"
#include "programs/facts.h"

enum {
	COMMAND_WORDS = CONFIG_LIST_SIZE / 2, /* as many as a list can have */
	COMMAND_PROCESSES = 512,	      /* RLIMIT_NPROC: of the user, all in all */
	COMMAND_FILES = 1024,		      /* RLIMIT_NOFILE */
	OUTPUT_MOST = 64 << 10,
};

struct command;

struct command_end {
	int error;  /* 0; -errno: not run; -ETIME: killed at the timeout */
	int status; /* exit status, or 128 + signal */
	uint32_t took_ms;
	char output[RAN_OUTPUT]; /* NUL-terminated; as it came, without NULs */
};

/* Called once, from the loop. The command is gone when it returns. */
typedef void command_done_fn(void *owner, const struct command_end *end);

struct command_request {
	struct event_base *loop;
	const char *words; /* as config_command.words; NULL: */
	/* inside: run in the forked process instead of a program; its result is the status. What it
	 * writes to descriptor 1 is the output.
	 */
	int (*inside)(const void *arg);
	const void *arg;
	const struct environment *environment;
	uint32_t timeout_ms;
	command_done_fn *done;
	void *owner;
};

/* command_start: 0, or -errno: no process could be made, nobody will be told. What goes wrong
 * later, a program that is not there included, is told to done(). Everything in the request may be
 * gone when this returns.
 */
int command_start(const struct command_request *request, struct command **ret_command);
/* command_free: also in the middle: kills it, tells nobody. */
void command_free(struct command *c);

#endif
