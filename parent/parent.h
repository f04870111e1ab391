/* SPDX-License-Identifier: BSD-2-Clause */
/* parent.h: the objects of the parent process, shared by the files of parent/ only.
 *
 * main.c reads the options and runs the loop. supervisor.c starts the children and starts them
 * again. switch.c passes their messages and remembers what a child that comes back must be told.
 * reload.c turns the file into the configuration that all of them have.
 */
#ifndef SLUICE_PARENT_H
#define SLUICE_PARENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/channel.h"
#include "base/child.h"
#include "base/config.h"

struct event;
struct event_base;
struct memory;

enum parent_role { ROLE_LB, ROLE_HEALTHCHECK, ROLE_VRRP, ROLE_PROGRAMS, ROLE_COUNT };

struct parent;

struct process {
	struct parent *parent;
	const struct child *child;
	enum parent_role role;
	pid_t pid; /* 0 = not running */
	struct channel *channel;
	struct event *restart; /* timer */
	uint32_t restarts;
	uint32_t unanswered; /* pings */
	uint32_t refused;    /* messages, of this pid */
	bool paused;	     /* not read: others have not taken yet what it said */
	uint32_t excused;    /* seconds of these in which it waited for a CPU */
	uint64_t waited_ms;  /* for a CPU, as of the last ping */
	uint64_t started_ms;
	int64_t since_s;   /* CLOCK_REALTIME */
	uint32_t delay_ms; /* before the next restart, when it does not live long */
};

struct parent {
	struct event_base *loop;
	struct config *config;
	uint32_t generation;
	uint8_t key[32];
	const char *config_path;
	const char *node; /* NULL: the host's name */
	bool debug;
	int heart_fd;	     /* the socket of heartbeats; < 0: none */
	uint16_t heart_port; /* that it is bound to, or should be; 0 = none */
	int lock_fd; /* held by us and our children: a new parent waits until all are gone */
	struct process processes[ROLE_COUNT];
	struct memory *memory;
	bool lb_ready; /* vrrp may start */
	bool stopping, detach;
};

/* ---- supervisor.c ---- */

/* supervisor_start: start every child; 0 or -errno. */
int supervisor_start(struct parent *p);
/* supervisor_reap: collect the children that ended (SIGCHLD), arrange for their return. */
void supervisor_reap(struct parent *p);
/* supervisor_ping: once a second: ask each, kill the one that does not answer. */
void supervisor_ping(struct parent *p);
/* supervisor_refuse: a message that it may not send; too many of them end it. */
void supervisor_refuse(struct process *from, enum message_type type);
/* supervisor_stop: vrrp resigns first, then the others go; ends the loop. Bounded in time. */
void supervisor_stop(struct parent *p);
/* supervisor_send: to a child that runs; else nothing happens (it is told when it comes back). */
void supervisor_send(struct parent *p, enum parent_role to, enum message_type type,
		     const void *payload, int fd);

/* ---- switch.c ---- */

struct memory *memory_new(void);
void memory_free(struct memory *m);
/* switch_message: a child's message: check that it may say this, remember, pass on. */
void switch_message(struct process *from, enum message_type type, const void *payload, int fd);
/* switch_brief: tell a child that was just started all that it has to know, config first. */
void switch_brief(struct process *to);
/* switch_tell_process: a child's process changed: lb shows it. */
void switch_tell_process(struct process *of);

/* ---- reload.c ---- */

/* reload_first: read the configuration at the start; 0, or -errno with the reasons in the log. */
int reload_first(struct parent *p);
/* reload_run: read it again and give it to the children; request 0: by SIGHUP. */
void reload_run(struct parent *p, uint32_t request);
/* reload_candidate: read a file for a plan only; "" = the one in use. */
void reload_candidate(struct parent *p, uint32_t request, const char *path);
/* reload_send_config: MESSAGE_CONFIG with the configuration in use. */
void reload_send_config(struct parent *p, enum parent_role to);

/* ---- heart.c ---- */

/* heart_take: the socket that the configuration in use wants. */
void heart_take(struct parent *p);
/* heart_send: MESSAGE_HEART, before MESSAGE_CONFIG. */
void heart_send(struct parent *p);

#endif
