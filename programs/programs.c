/* SPDX-License-Identifier: BSD-2-Clause */
/* programs.c: the process. Takes the parent's messages to those who act on them: script probes
 * (scripts.h), hooks (hooks.h), healing (healer.h).
 *
 * Confined with its first configuration, before it has run anything: the user `programs_user`, no
 * capability, none that could be got again, no_new_privs: neither it nor what it runs becomes
 * anybody else, by sudo or otherwise. A program that has to do what only root can asks somebody who
 * may: systemctl by a polkit rule, the backend by ssh. The reason: what runs here is given words of
 * strangers, and is written in a hurry. No seccomp, which its programs would inherit without
 * knowing it. Not dumpable: the configuration that it has mapped holds secrets of probes, and its
 * programs are the same user.
 */
#include "programs/programs.h"

#include <errno.h>
#include <event2/event.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/log.h"
#include "programs/healer.h"
#include "programs/hooks.h"
#include "programs/scripts.h"
#include "programs/watch.h"

enum { STOP_WAIT_MS = 2000, STOP_LOOK_MS = 20 };

struct process {
	struct event_base *loop;
	struct channel *channel;
	const struct config *config; /* in use; NULL = none yet */
	bool confined;
	char user[64], home[256];
	struct watch watch;
	struct hooks *hooks;
	struct healer *healer;
	struct scripts *scripts;
	struct event *stopping; /* timer: is what was begun at its end? */
	uint64_t stop_ms;
	int status; /* to exit with */
};

static void stop(struct process *p, int status)
{
	p->status = status;
	event_base_loopbreak(p->loop);
}

/* A queue that is full means a parent that hangs: then it is better to be started again. */
static void tell(struct process *p, enum message_type type, const void *payload)
{
	if (channel_send(p->channel, type, payload, -1) == -ENOBUFS) {
		log_err("the parent does not take our messages");
		stop(p, EXIT_FAILURE);
	}
}

static void tell_ran(void *owner, const struct message_ran *m)
{
	tell(owner, MESSAGE_RAN, m);
}

static void on_gone(void *owner, struct watched *b)
{
	healer_gone(owner, b);
}

/* ---- the configuration ---- */

/* confine: for good; and who we are then. 0 or -errno. */
static int confine(struct process *p, const struct config *config)
{
	static const int no_caps[] = {-1};
	const struct passwd *pw;
	int r;

	if (p->confined)
		return 0;
	tzset();
	r = child_confine(config->programs_user, no_caps);
	if (r == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		r = -errno;
	if (r < 0) {
		log_err("not confined: user=%s error=%s", config->programs_user, strerror(-r));
		return r;
	}
	pw = getpwuid(getuid());
	snprintf(p->user, sizeof(p->user), "%s", pw ? pw->pw_name : "nobody");
	snprintf(p->home, sizeof(p->home), "%s", pw ? pw->pw_dir : "/");
	p->confined = true;
	return 0;
}

static void config_use(struct process *p, int fd)
{
	const struct config *config = NULL;
	int r = config_map(fd, &config);

	if (r == 0 && p->config && strcmp(p->config->programs_user, config->programs_user) != 0) {
		log_notice("programs_user has changed: starting again as %s",
			   config->programs_user);
		config_unmap(config);
		stop(p, EXIT_SUCCESS);
		return;
	}
	if (r == 0)
		r = confine(p, config);
	if (r == 0)
		r = watch_configure(&p->watch, config, on_gone, p->healer);
	if (r < 0) {
		log_err("configuration not used: error=%s", strerror(-r));
		config_unmap(config);
		stop(p, EXIT_FAILURE);
		return;
	}
	hooks_configure(p->hooks, config);
	scripts_configure(p->scripts, config);
	healer_configured(p->healer);
	config_unmap(p->config);
	p->config = config;
}

/* ---- messages ---- */

static void health_heard(struct process *p, const struct message_health *m)
{
	struct watched *b = watch_find(&p->watch, m->pool, m->backend);
	struct change change;

	if (!b)
		return;
	if (watch_health(&p->watch, m, &change))
		hooks_tell(p->hooks, &change);
	healer_look(p->healer, b);
}

static void vrrp_heard(struct process *p, const struct message_vrrp *m)
{
	struct change change;

	if (watch_vrrp(&p->watch, m, &change))
		hooks_tell(p->hooks, &change);
}

static void operator_heard(struct process *p, const struct message_operator *m)
{
	struct watched *b = watch_find(&p->watch, m->pool, m->backend);

	if (b)
		b->held = m->held;
}

static void on_stopping(evutil_socket_t fd, short what, void *arg)
{
	struct process *p = arg;

	(void)fd;
	(void)what;
	if ((hooks_idle(p->hooks) && healer_idle(p->healer)) ||
	    clock_ms() - p->stop_ms >= STOP_WAIT_MS)
		stop(p, EXIT_SUCCESS);
}

/* What was begun may come to its end, for a moment; what waits is lost. */
static void stop_asked(struct process *p)
{
	const struct timeval look = {.tv_usec = STOP_LOOK_MS * 1000};

	hooks_stop(p->hooks);
	healer_stop(p->healer);
	p->stop_ms = clock_ms();
	if (event_add(p->stopping, &look) < 0)
		stop(p, EXIT_SUCCESS);
	on_stopping(-1, 0, p);
}

static void on_message(void *owner, enum message_type type, const void *payload, int fd)
{
	struct process *p = owner;

	switch (type) {
	case MESSAGE_CONFIG:
		config_use(p, fd);
		break;
	case MESSAGE_HEALTH:
		health_heard(p, payload);
		break;
	case MESSAGE_VRRP:
		vrrp_heard(p, payload);
		break;
	case MESSAGE_OPERATOR:
		operator_heard(p, payload);
		break;
	case MESSAGE_READY:
		watch_briefed(&p->watch);
		break;
	case MESSAGE_RUN:
		scripts_run(p->scripts, payload);
		break;
	case MESSAGE_PING:
		tell(p, MESSAGE_PONG, payload);
		break;
	case MESSAGE_STOP:
		stop_asked(p);
		break;
	default:
		log_debug("message not for us: type=%s", message_name(type));
	}
	if (fd >= 0)
		close(fd);
}

static void on_closed(void *owner)
{
	stop(owner, EXIT_SUCCESS); /* the parent is gone: so are we */
}

/* ---- life ---- */

static int process_init(struct process *p, int channel_fd)
{
	p->loop = event_base_new();
	if (!p->loop)
		return -ENOMEM;
	p->channel = channel_new(p->loop, channel_fd, on_message, on_closed, p);
	p->hooks = hooks_new(p->loop, p->user, p->home);
	p->healer = healer_new(p->loop, p->user, p->home, &p->watch);
	p->scripts = scripts_new(p->loop, p->user, p->home, tell_ran, p);
	p->stopping = event_new(p->loop, -1, EV_PERSIST, on_stopping, p);
	return p->channel && p->hooks && p->healer && p->scripts && p->stopping ? 0 : -ENOMEM;
}

static void process_fini(struct process *p)
{
	scripts_free(p->scripts);
	if (p->healer)
		watch_fini(&p->watch, on_gone, p->healer);
	healer_free(p->healer);
	hooks_free(p->hooks);
	channel_free(p->channel);
	if (p->stopping)
		event_free(p->stopping);
	if (p->loop)
		event_base_free(p->loop);
	config_unmap(p->config);
}

static int programs_run(int channel_fd)
{
	struct process p = {.status = EXIT_SUCCESS};
	int r;

	signal(SIGPIPE, SIG_IGN);
	r = process_init(&p, channel_fd);
	if (r == 0) {
		event_base_dispatch(p.loop);
	} else {
		log_err("not started: error=%s", strerror(-r));
		p.status = EXIT_FAILURE;
	}
	process_fini(&p);
	return p.status;
}

const struct child programs_child = {.role = "programs", .run = programs_run};
