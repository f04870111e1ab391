/* SPDX-License-Identifier: BSD-2-Clause */
/* programs.c: the process. Takes the parent's messages to those who act on them: script probes
 * (scripts.h), hooks (hooks.h), healing (healer.h), tracks by script (tracks.h).
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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/life.h"
#include "base/log.h"
#include "programs/healer.h"
#include "programs/hooks.h"
#include "programs/scripts.h"
#include "programs/tracks.h"
#include "programs/watch.h"

enum { STOP_WAIT_MS = 2000, STOP_LOOK_MS = 20 };

struct process {
	struct life life;
	bool confined;
	char user[64], home[256];
	struct watch watch;
	struct hooks *hooks;
	struct healer *healer;
	struct scripts *scripts;
	struct track_runner *tracks;
	struct event *stopping; /* timer: is what was begun at its end? */
	uint64_t stop_ms;
};

static void tell_ran(void *owner, const struct message_ran *m)
{
	struct process *p = owner;

	life_tell(&p->life, MESSAGE_RAN, m);
}

static void tell_track(void *owner, const struct message_track *m)
{
	struct process *p = owner;

	life_tell(&p->life, MESSAGE_TRACK, m);
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

static void report(struct process *p, bool all)
{
	hooks_report(p->hooks, &p->life, all);
	healer_report(p->healer, &p->life, all);
}

static int config_use(void *owner, const struct config *config)
{
	struct process *p = owner;
	const struct config *before = p->life.config;
	int r;

	if (before && strcmp(before->programs_user, config->programs_user) != 0) {
		log_notice("programs_user has changed: starting again as %s",
			   config->programs_user);
		life_end(&p->life, EXIT_SUCCESS);
		return 1;
	}
	r = confine(p, config);
	if (r == 0)
		r = watch_configure(&p->watch, config, on_gone, p->healer);
	if (r < 0)
		return r;
	hooks_configure(p->hooks, config);
	scripts_configure(p->scripts, config);
	r = track_runner_configure(p->tracks, config);
	if (r < 0)
		return r;
	healer_configured(p->healer);
	report(p, true);
	return 0;
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
		life_end(&p->life, EXIT_SUCCESS);
}

/* What was begun may come to its end, for a moment; what waits is lost. */
static void stop_asked(struct process *p)
{
	const struct timeval look = {.tv_usec = STOP_LOOK_MS * 1000};

	hooks_stop(p->hooks);
	healer_stop(p->healer);
	p->stop_ms = clock_ms();
	if (event_add(p->stopping, &look) < 0)
		life_end(&p->life, EXIT_SUCCESS);
	on_stopping(-1, 0, p);
}

static void on_message(void *owner, enum message_type type, const void *payload, int fd)
{
	struct process *p = owner;

	switch (type) {
	case MESSAGE_CONFIG:
		life_config(&p->life, fd, config_use, p);
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
	case MESSAGE_TRACK:
		track_runner_recall(p->tracks, payload);
		break;
	case MESSAGE_READY:
		watch_briefed(&p->watch);
		break;
	case MESSAGE_RUN:
		scripts_run(p->scripts, payload);
		break;
	case MESSAGE_PING:
		report(p, false);
		life_hear(&p->life, type, payload);
		break;
	case MESSAGE_STOP:
		stop_asked(p);
		break;
	default:
		life_hear(&p->life, type, payload);
	}
	if (fd >= 0)
		close(fd);
}

static void on_closed(void *owner)
{
	struct process *p = owner;

	life_end(&p->life, EXIT_SUCCESS); /* the parent is gone: so are we */
}

/* ---- life ---- */

static int process_begin(void *owner, int channel_fd)
{
	struct process *p = owner;
	struct life *l = &p->life;

	l->loop = event_base_new();
	if (!l->loop)
		return -ENOMEM;
	l->channel = channel_new(l->loop, channel_fd, on_message, on_closed, p);
	p->hooks = hooks_new(l->loop, p->user, p->home);
	p->healer = healer_new(l->loop, p->user, p->home, &p->watch);
	p->scripts = scripts_new(l->loop, p->user, p->home, tell_ran, p);
	p->tracks = track_runner_new(l->loop, p->user, p->home, tell_track, p);
	p->stopping = event_new(l->loop, -1, EV_PERSIST, on_stopping, p);
	return l->channel && p->hooks && p->healer && p->scripts && p->tracks && p->stopping
		       ? 0
		       : -ENOMEM;
}

static void process_finish(void *owner)
{
	struct process *p = owner;

	track_runner_free(p->tracks);
	scripts_free(p->scripts);
	if (p->healer)
		watch_fini(&p->watch, on_gone, p->healer);
	healer_free(p->healer);
	hooks_free(p->hooks);
	if (p->stopping)
		event_free(p->stopping);
	life_fini(&p->life);
}

static int programs_run(int channel_fd)
{
	struct process p = {0};

	return life_run(&p.life, process_begin, process_finish, &p, channel_fd);
}

const struct child programs_child = {.role = "programs", .run = programs_run};
