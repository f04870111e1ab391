/* SPDX-License-Identifier: BSD-2-Clause */
/* healthcheck.c: the process. Prepares what needs root or files, takes the parent's messages to the
 * engine and the engine's to the parent, and is confined before it has spoken to any server: own
 * user, no capability but CAP_NET_RAW, which marking packets needs (via.h), seccomp (confine.h).
 */
#include "healthcheck/healthcheck.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/log.h"
#include "healthcheck/confine.h"
#include "healthcheck/engine.h"
#include "healthcheck/tls_cache.h"
#include "healthcheck/via.h"
#include "healthcheck/wire.h"

enum { OTHER_DESCRIPTORS = 64, ASKED_MOST = 64 };

struct process {
	struct event_base *loop;
	struct tls_cache *tls;
	struct channel *channel;
	struct wires wires;
	struct engine *engine;
	const struct config *config; /* in use; NULL = none yet */
	bool confined;
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
	int r = channel_send(p->channel, type, payload, -1);

	if (r == -ENOBUFS) {
		log_err("the parent does not take our messages");
		stop(p, EXIT_FAILURE);
	}
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

static void config_use(struct process *p, int fd)
{
	const struct config *config = NULL;
	int r = config_map(fd, &config);

	if (r == 0)
		r = confine(p, config);
	if (r == 0)
		r = engine_configure(p->engine, config);
	if (r < 0) {
		log_err("configuration not used: error=%s", strerror(-r));
		if (config)
			config_unmap(config);
		stop(p, EXIT_FAILURE);
		return;
	}
	if (p->config)
		config_unmap(p->config);
	p->config = config;
}

static void on_message(void *owner, enum message_type type, const void *payload, int fd)
{
	struct process *p = owner;

	switch (type) {
	case MESSAGE_CONFIG:
		config_use(p, fd);
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
	case MESSAGE_PING:
		tell(p, MESSAGE_PONG, payload);
		break;
	case MESSAGE_STOP:
		stop(p, EXIT_SUCCESS);
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

static int process_init(struct process *p, int channel_fd)
{
	const struct engine_hooks hooks = {
		.health = tell_health, .dialogue = tell_dialogue, .owner = p, .wires = &p->wires};
	uint32_t descriptors = confine_limits(CONFIG_BACKENDS + ASKED_MOST + OTHER_DESCRIPTORS);
	uint32_t phase_start = 0;

	if (getrandom(&phase_start, sizeof(phase_start), 0) < 0)
		log_warning("no random start: error=%s", strerror(errno));
	p->loop = loop_new();
	p->tls = tls_cache_new();
	if (!p->loop || !p->tls)
		return -ENOMEM;
	p->wires.icmp = icmp_new(p->loop, phase_start ^ (uint32_t)getpid() << 16);
	p->wires.programs = programs_new(tell_run, p);
	p->channel = channel_new(p->loop, channel_fd, on_message, on_closed, p);
	p->engine = engine_new(p->loop, p->tls, &hooks,
			       descriptors > 2 * OTHER_DESCRIPTORS ? descriptors - OTHER_DESCRIPTORS
								   : OTHER_DESCRIPTORS,
			       phase_start);
	return p->channel && p->engine && p->wires.icmp && p->wires.programs ? 0 : -ENOMEM;
}

static void process_fini(struct process *p)
{
	engine_free(p->engine);
	programs_free(p->wires.programs);
	icmp_free(p->wires.icmp);
	channel_free(p->channel);
	tls_cache_free(p->tls);
	if (p->loop)
		event_base_free(p->loop);
	if (p->config)
		config_unmap(p->config);
}

static int healthcheck_run(int channel_fd)
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
	if (p.confined)
		_exit(p.status); /* what runs at exit (a leak check) would miss its system calls */
	return p.status;
}

const struct child healthcheck_child = {.role = "healthcheck", .run = healthcheck_run};
