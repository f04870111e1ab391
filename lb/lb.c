/* SPDX-License-Identifier: BSD-2-Clause */
/* lb.c: the lb process (lb.h): makes its parts, hears the parent, and dies without a trace: what is
 * in the kernel stays there, pinned, for the next one to adopt.
 */
#include "lb/lb.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/log.h"
#include "lb/announcer.h"
#include "lb/balance.h"
#include "lb/control.h"
#include "lb/flows.h"
#include "lb/inputs.h"
#include "lb/mode.h"
#include "lb/operator.h"
#include "lb/partner.h"
#include "lb/partner_flows.h"
#include "lb/plane.h"
#include "lb/prod_again.h"
#include "lb/reconciler.h"
#include "lb/requests.h"
#include "lb/suspect_watch.h"
#include "lb/syn_watch.h"
#include "lb/track.h"
#include "lb/translations.h"

/* libcap's headers of Debian 12 know them; the kernel's may not. */
enum { PERFMON = 38, BPF = 39, READY_LOOK_MS = 50 };

struct lb_process_parts {
	struct lb lb;
	struct event *ready_look;
};

/* ---- ready ---- */

static void on_ready_look(evutil_socket_t fd, short what, void *arg)
{
	struct lb *lb = arg;
	struct message_ready m;

	(void)fd;
	(void)what;
	if (!lb->config || lb->ready || lb->stopping || !inputs_complete(lb) ||
	    reconciler_waits(lb->reconciler))
		return;
	if (lb_reconcile_now(lb, "ready") < 0)
		return; /* told; it is tried again by itself */
	lb->ready = lb->served = true;
	partner_ready(lb);
	m = (struct message_ready){.generation = lb->generation};
	channel_send(lb->channel, MESSAGE_READY, &m, -1);
}

/* ---- messages ---- */

static void config_message(struct lb *lb, const struct message_config *m, int fd)
{
	const struct config *config = NULL;
	int r = fd < 0 ? -EPROTO : config_map(fd, &config);

	if (r == 0)
		r = inputs_key(lb, m->key);
	if (r == 0)
		r = inputs_config(lb, config);
	if (r < 0) {
		config_unmap(config);
		log_err("configuration not taken: error=%s", strerror(-r));
		reconciler_refused(lb->reconciler, r);
		return;
	}
	tracker_configure(lb->tracker);
	lb->generation = m->generation;
	partner_key(lb, m->key);
	partner_configure(lb);
	lb_reconcile_now(lb, "configuration"); /* what it cannot do: requests_reloaded() */
}

static void candidate_message(struct lb *lb, const struct message_candidate *m, int fd)
{
	const struct config *candidate = NULL;

	if (fd < 0 || config_map(fd, &candidate) < 0)
		candidate = NULL;
	requests_candidate(lb, m->request, candidate);
	config_unmap(candidate);
}

static void stop(struct lb *lb, bool detach)
{
	announcer_withdraw(lb->announcer);
	if (detach || (lb->config && lb->config->on_stop == ON_STOP_DETACH)) {
		lb->detached = true;
		lb_reconcile_now(lb, "stop");
		plane_remove(lb->plane);
		log_notice("detached");
	}
	lb->stopping = true;
	event_base_loopbreak(lb->loop);
}

static void on_message(void *owner, enum message_type type, const void *payload, int fd)
{
	struct lb *lb = owner;

	switch (type) {
	case MESSAGE_CONFIG:
		config_message(lb, payload, fd);
		break;
	case MESSAGE_CANDIDATE:
		candidate_message(lb, payload, fd);
		break;
	case MESSAGE_RELOADED:
		requests_reloaded(lb, payload, reconciler_last(lb->reconciler));
		break;
	case MESSAGE_HEALTH:
		inputs_health(lb, payload);
		break;
	case MESSAGE_VRRP:
		inputs_vrrp(lb, payload);
		break;
	case MESSAGE_PARTNER:
		inputs_partner(lb, payload);
		break;
	case MESSAGE_GUARD:
		lb->guard = *(const struct message_guard *)payload;
		break;
	case MESSAGE_TURN:
		inputs_turn(lb, payload);
		break;
	case MESSAGE_TRACK:
		tracker_hear(lb->tracker, payload);
		break;
	case MESSAGE_TALLY:
		inputs_tally(lb, payload);
		break;
	case MESSAGE_CHILD:
		inputs_process(lb, payload);
		break;
	case MESSAGE_DIALOGUE:
		requests_dialogue(lb, payload);
		break;
	case MESSAGE_PING:
		channel_send(lb->channel, MESSAGE_PONG, payload, -1);
		break;
	case MESSAGE_STOP:
		stop(lb, ((const struct message_stop *)payload)->detach);
		break;
	default:
		log_err("message refused: type=%s", message_name(type));
	}
	if (fd >= 0)
		close(fd);
}

/* The parent was killed: everything stays as it is, for whoever comes next; but no node asks for
 * traffic whose backends nobody watches.
 */
static void on_closed(void *owner)
{
	struct lb *lb = owner;

	announcer_withdraw(lb->announcer);
	lb->stopping = true;
	event_base_loopbreak(lb->loop);
}

/* ---- other events ---- */

static void on_ways(void *owner)
{
	struct lb *lb = owner;

	if (inputs_ways(lb))
		lb_reconcile(lb, "neighbour");
	if (plane_probes_look(lb->current))
		lb_reconcile(lb, "filter");
}

/* A pass may let slots settle and numbers go: worth a look only where some wait for that. */
static void on_pass(void *owner)
{
	struct lb *lb = owner;
	bool waits = false;

	for (uint32_t i = 0; i < POOL_MAX && !waits; i++)
		waits = lb->current->pools[i].used && lb->current->pools[i].table.n_transition > 0;
	for (uint32_t i = 0; i < CURRENT_BACKENDS && !waits; i++)
		waits = lb->current->backends[i].used && lb->current->backends[i].retired;
	if (waits)
		lb_reconcile(lb, "sweep");
}

static bool vip_is_here(const struct lb *lb, const uint8_t vip[static 16])
{
	if (announcer_has(lb->announcer, vip))
		return true;
	for (uint32_t i = 0; lb->config && i < lb->config->n_instances; i++) {
		const struct config_instance *instance = config_instance(lb->config, i);

		if (lb->instances[i].vrrp.role != VRRP_ACTIVE)
			continue;
		for (uint32_t k = 0; k < instance->n_addresses; k++) {
			if (memcmp(&instance->addresses[k].addr, vip, 16) == 0)
				return true;
		}
	}
	return false;
}

/* on_down = "reset": the client is to learn at once that it has to reconnect. */
static void on_lost(void *owner, const struct tuple *flow, const struct current_service *service)
{
	struct lb *lb = owner;

	if (!lb->prod || flow->protocol != IPPROTO_TCP || !(service->plane.flags & SERVICE_RESET) ||
	    !vip_is_here(lb, flow->dst))
		return;
	prod_send(lb->prod, flow);
	if (announcer_has(lb->announcer, flow->dst))
		prod_again_add(lb->prod_again, flow);
}

static void on_seen(void *owner, const struct flow_key *key, const struct flow *f,
		    const struct slot *slot, uint32_t last_s)
{
	partner_flows_seen(owner, key, f, slot, last_s);
}

static void on_translation_seen(void *owner, const struct flow_key *key,
				const struct translation *t, uint32_t last_s)
{
	partner_translation_seen(owner, key, t, last_s);
}

/* ---- life ---- */

static int operators_load(struct lb *lb)
{
	int r = operator_load(OPERATOR_FILE, &lb->operators, &lb->n_operators);

	if (r == -EINVAL)
		return 0; /* told, set aside */
	if (r < 0)
		log_err("operator's states not read: file=%s error=%s", OPERATOR_FILE,
			strerror(-r));
	return r;
}

/* What needs root's powers: adopting opens inner maps by their ids. */
static int plane_take(struct lb *lb)
{
	int r;

	lb->current = current_new();
	if (!lb->current)
		return -ENOMEM;
	r = plane_open(SLUICE_PIN_DIR, &lb->plane);
	if (r < 0)
		return r;
	r = plane_adopt(lb->plane, clock_now_s(), lb->current);
	if (r > 0)
		log_notice("data plane adopted");
	lb->served = r > 0;
	return r < 0 ? r : 0;
}

static int parts_make(struct lb_process_parts *parts, int channel_fd)
{
	struct lb *lb = &parts->lb;
	int r;

	lb->since_s = time(NULL);
	lb->loop = event_base_new();
	if (!lb->loop)
		return -ENOMEM;
	lb->channel = channel_new(lb->loop, channel_fd, on_message, on_closed, lb);
	lb->neighbours = neighbours_new(lb->loop, on_ways, lb);
	lb->sweep = flow_sweep_new(lb->loop, lb->plane, lb->current, on_pass, on_lost, lb);
	lb->translations = translation_sweep_new(lb->loop, lb->plane, lb->sweep);
	lb->syn_watch = syn_watch_new(lb);
	lb->suspects = suspect_watch_new(lb);
	lb->clock = clock_writer_new(lb->loop, lb->plane);
	lb->reconciler = reconciler_new(lb);
	lb->balance = balance_new(lb);
	lb->prod_again = prod_again_new(lb->loop, lb->prod);
	lb->announcer = announcer_new(lb, SLUICE_STATE_DIR);
	lb->tracker = tracker_new(lb);
	lb->partner_slots = partner_slots_new(lb);
	lb->partner_flows = partner_flows_new(lb);
	parts->ready_look = event_new(lb->loop, -1, EV_PERSIST, on_ready_look, lb);
	if (!lb->channel || !lb->neighbours || !lb->sweep || !lb->clock || !lb->translations ||
	    !lb->syn_watch || !lb->suspects || !lb->reconciler || !lb->balance || !lb->announcer ||
	    !lb->prod_again || !lb->tracker || !lb->partner_slots || !lb->partner_flows ||
	    partner_new(lb) < 0 || !parts->ready_look)
		return -ENOMEM;
	flow_sweep_watch(lb->sweep, on_seen);
	translation_sweep_watch(lb->translations, on_translation_seen, lb);
	r = operators_load(lb);
	if (r < 0)
		return r;
	lb->control = control_new(lb, SLUICE_CONTROL_SOCKET);
	if (!lb->control) {
		r = -errno;
		log_err("no control socket: path=%s error=%s", SLUICE_CONTROL_SOCKET, strerror(-r));
		return r;
	}
	event_add(parts->ready_look, &(struct timeval){.tv_usec = READY_LOOK_MS * 1000});
	return 0;
}

static void parts_free(struct lb_process_parts *parts)
{
	struct lb *lb = &parts->lb;

	control_free(lb->control);
	requests_fini(lb);
	if (parts->ready_look)
		event_free(parts->ready_look);
	tracker_free(lb->tracker);
	announcer_free(lb->announcer);
	partner_free(lb);
	partner_slots_free(lb->partner_slots);
	partner_flows_free(lb->partner_flows);
	balance_free(lb->balance);
	reconciler_free(lb->reconciler);
	clock_writer_free(lb->clock);
	suspect_watch_free(lb->suspects);
	syn_watch_free(lb->syn_watch);
	translation_sweep_free(lb->translations);
	flow_sweep_free(lb->sweep);
	prod_again_free(lb->prod_again);
	prod_free(lb->prod);
	neighbours_free(lb->neighbours);
	channel_free(lb->channel);
	if (lb->loop)
		event_base_free(lb->loop);
	plane_free(lb->plane);
	current_free(lb->current);
	config_unmap(lb->config);
	free(lb->backends);
	free(lb->instances);
	free(lb->heals);
	free(lb->operators);
	explicit_bzero(lb->hash_key, sizeof(lb->hash_key));
	libevent_global_shutdown();
}

static int lb_run(int channel_fd)
{
	static const int caps[] = {BPF, CAP_NET_ADMIN, PERFMON, -1};
	struct lb_process_parts parts = {0};
	int r = plane_take(&parts.lb);

	signal(SIGPIPE, SIG_IGN);
	parts.lb.prod = prod_new();
	if (!parts.lb.prod)
		log_warning("clients of a backend that goes down are not told: error=%s",
			    strerror(errno));
	r = r < 0 ? r : child_confine(NULL, caps);
	r = r < 0 ? r : parts_make(&parts, channel_fd);
	if (r == 0)
		event_base_dispatch(parts.lb.loop);
	else
		log_err("not started: error=%s", strerror(-r));
	parts_free(&parts);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int lb_try(const struct config *config)
{
	return plane_try(mode_features(config));
}

const uint32_t lb_abi_version = SLUICE_ABI_VERSION;

const struct child lb_child = {.role = "lb", .run = lb_run};
