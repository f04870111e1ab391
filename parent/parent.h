/* SPDX-License-Identifier: BSD-2-Clause */
/* parent.h: the objects of the parent process, shared by the files of parent/ only.
 *
 * main.c reads the options and runs the loop. supervisor.c starts the children and starts them
 * again. switch.c passes their messages and remembers (memory.h) what a child that comes back must
 * be told. upgrade.c puts another build in our place, which reads from state.c what we remembered.
 * reload.c turns the file into the configuration that all of them have.
 */
#ifndef SLUICE_PARENT_H
#define SLUICE_PARENT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
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
	/* The one that the parent before us started (upgrade.c), of another build: it serves, we do
	 * not speak to it, and it goes when ours answers. 0, -1 = none.
	 */
	pid_t before_pid;
	int before_fd;		     /* our end of its channel: closed, it would resign */
	struct event *before_speaks; /* on it */
	struct event *restart;	     /* timer */
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

/* A descriptor that lives as long as any of us, through upgrades: by name, "" = none. */
struct kept {
	char name[16];
	int fd;
};
enum { KEPT_MOST = 8 };

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
	char *const *argv;   /* as we were started */
	const char *binary;  /* where what is installed is: not /proc/self/exe, which is what was */
	uint32_t abi;	     /* of lb's data plane */
	uint64_t restart_until_ms; /* a SIGTERM until then is of a restart */
	struct event *upgrade;	   /* timer: an upgrade was granted */
	struct kept kept[KEPT_MOST];
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
/* supervisor_end: end this child now, in good order or not; what it had said is heard. */
void supervisor_end(struct process *c, bool in_good_order);
/* supervisor_drop: kill this child now; what it had said is not heard. */
void supervisor_drop(struct process *c);
/* supervisor_forget: no child is ours any more; ends the loop. */
void supervisor_forget(struct parent *p);
/* supervisor_answered: a child's PONG: the one before it is not needed any more. */
void supervisor_answered(struct process *c);
/* supervisor_send: to a child that runs; else nothing happens (it is told when it comes back). */
void supervisor_send(struct parent *p, enum parent_role to, enum message_type type,
		     const void *payload, int fd);

/* ---- upgrade.c ---- */

/* parent_keep: this descriptor, for those who come after us; it is inherited by children, too. */
void parent_keep(struct parent *p, const char *name, int fd);
/* parent_kept: by name; -1 = none. */
int parent_kept(const struct parent *p, const char *name);
/* upgrade_ask: put what is installed in our place if it can take it; request 0: by SIGUSR2. */
void upgrade_ask(struct parent *p, uint32_t request);
/* upgrade_announce: SIGUSR1: the SIGTERM that follows is of a restart, not of a stop. */
void upgrade_announce(struct parent *p);
/* upgrade_leave: at SIGTERM: true: all is done for who is started next, and vrrp goes on. */
bool upgrade_leave(struct parent *p);
/* upgrade_begin: at the start: take what the parent before us left, when there was one.
 * 1, 0 = there was none, or -errno, told.
 */
int upgrade_begin(struct parent *p);
/* upgrade_trial: `sluiced --trial FD`: would we take the place of who wrote that? The exit status.
 */
int upgrade_trial(struct parent *p, int state_fd);

/* ---- switch.c ---- */

/* switch_message: a child's message: check that it may say this, remember, pass on. */
void switch_message(struct process *from, enum message_type type, const void *payload, int fd);
/* switch_brief: tell a child that was just started all that it has to know, config first. */
void switch_brief(struct process *to);
/* switch_tell_process: a child's process changed: lb shows it. */
void switch_tell_process(struct process *of);

/* ---- reload.c ---- */

/* reload_first: read the configuration at the start; 0, or -errno with the reasons in the log. */
int reload_first(struct parent *p);
/* reload_try: would reload_first() be good? 0, or -errno with the reasons to @out.
 * @plane: is asked, too, whether the data plane can be had; NULL = nobody
 */
int reload_try(struct parent *p, FILE *out, int (*plane)(const struct config *config));
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
