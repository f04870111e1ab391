/* SPDX-License-Identifier: BSD-2-Clause */
/* healthcheck.c: the process. Prepares what needs root or files, takes the parent's messages to the
 * engine and the engine's to the parent, and is confined before it has spoken to any server: own
 * user, no capability but CAP_NET_RAW, which marking packets needs (via.h), seccomp (confine.h).
 */
#include "healthcheck/healthcheck.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/life.h"
#include "base/log.h"
#include "healthcheck/confine.h"
#include "healthcheck/engine.h"
#include "healthcheck/tls_cache.h"
#include "healthcheck/via.h"
#include "healthcheck/wire.h"

enum { OTHER_DESCRIPTORS = 64, ASKED_MOST = 64 };

struct process {
	struct life life;
	struct tls_cache *tls;
	struct wires wires;
	struct engine *engine;
	bool confined;
};

static void tell(struct process *p, enum message_type type, const void *payload)
{
	life_tell(&p->life, type, payload);
}

static void tell_health(void *owner, const struct message_health *m)
{
	tell(owner, MESSAGE_HEALTH, m);
}

static void tell_dialogue(void *owner, const struct message_dialogue *m)
{
	tell(owner, MESSAGE_DIALOGUE, m);
}

static void tell_run(void *owner, const struct message_run *m)
{
	tell(owner, MESSAGE_RUN, m);
}

/* confine: for good, with the first configuration, which names the user. 0 or -errno. */
static int confine(struct process *p, const struct config *config)
{
	static const int caps[] = {CAP_NET_RAW, -1};
	int r;

	if (p->confined)
		return 0;
	tzset(); /* reads a file, for the log's times */
	r = child_confine(config->user, caps);
	if (r == 0)
		r = confine_filter();
	if (r < 0)
		log_err("not confined: user=%s error=%s", config->user, strerror(-r));
	p->confined = r == 0;
	if (r == 0 && via_permitted() < 0) {
		log_warning("probes do not go through the VIPs, but to the backends' own "
			    "addresses: the kernel lets only CAP_NET_ADMIN mark packets; cure: "
			    "Linux 5.17 or newer");
		engine_via_forbid(p->engine);
	}
	return r;
}

static int config_use(void *owner, const struct config *config)
{
	struct process *p = owner;
	int r = confine(p, config);

	return r < 0 ? r : engine_configure(p->engine, config);
}

static void on_message(void *owner, enum message_type type, const void *payload, int fd)
{
	struct process *p = owner;

	switch (type) {
	case MESSAGE_CONFIG:
		life_config(&p->life, fd, config_use, p);
		break;
	case MESSAGE_HEALTH:
		engine_seed(p->engine, payload);
		break;
	case MESSAGE_SUSPECT:
		engine_suspect(p->engine, payload);
		break;
	case MESSAGE_PROBE:
		engine_probe(p->engine, payload);
		break;
	case MESSAGE_RAN:
		programs_ran(p->wires.programs, payload);
		break;
	case MESSAGE_STOP:
		life_end(&p->life, EXIT_SUCCESS);
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

/* A conversation adds and removes its events several times between two waits: with the list of
 * changes the kernel is told the outcome only, which halves the calls of epoll_ctl(). One thread
 * needs no locks.
 */
static struct event_base *loop_new(void)
{
	struct event_config *config = event_config_new();
	struct event_base *loop = NULL;

	if (config && event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST |
							    EVENT_BASE_FLAG_NOLOCK) == 0)
		loop = event_base_new_with_config(config);
	if (config)
		event_config_free(config);
	return loop;
}

static int process_begin(void *owner, int channel_fd)
{
	struct process *p = owner;
	struct life *l = &p->life;
	const struct engine_hooks hooks = {
		.health = tell_health, .dialogue = tell_dialogue, .owner = p, .wires = &p->wires};
	uint32_t descriptors = confine_limits(CONFIG_BACKENDS + ASKED_MOST + OTHER_DESCRIPTORS);
	uint32_t phase_start = 0;

	if (getrandom(&phase_start, sizeof(phase_start), 0) < 0)
		log_warning("no random start: error=%s", strerror(errno));
	l->loop = loop_new();
	p->tls = tls_cache_new();
	if (!l->loop || !p->tls)
		return -ENOMEM;
	p->wires.icmp = icmp_new(l->loop, phase_start ^ (uint32_t)getpid() << 16);
	p->wires.programs = programs_new(tell_run, p);
	l->channel = channel_new(l->loop, channel_fd, on_message, on_closed, p);
	p->engine = engine_new(l->loop, p->tls, &hooks,
			       descriptors > 2 * OTHER_DESCRIPTORS ? descriptors - OTHER_DESCRIPTORS
								   : OTHER_DESCRIPTORS,
			       phase_start);
	return l->channel && p->engine && p->wires.icmp && p->wires.programs ? 0 : -ENOMEM;
}

static void process_finish(void *owner)
{
	struct process *p = owner;

	engine_free(p->engine);
	programs_free(p->wires.programs);
	icmp_free(p->wires.icmp);
	tls_cache_free(p->tls);
	life_fini(&p->life);
}

static int healthcheck_run(int channel_fd)
{
	struct process p = {0};
	int status = life_run(&p.life, process_begin, process_finish, &p, channel_fd);

	if (p.confined)
		_exit(status); /* what runs at exit (a leak check) would miss its system calls */
	return status;
}

const struct child healthcheck_child = {.role = "healthcheck", .run = healthcheck_run};
