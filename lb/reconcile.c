/* SPDX-License-Identifier: BSD-2-Clause */
/* reconcile.c: inputs -> desired -> plan -> apply, and the questions about what is (reconcile.h).
 */
#include "lb/reconcile.h"

#include <errno.h>
#include <event2/event.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/channel.h"
#include "base/log.h"
#include "lb/advice.h"
#include "lb/announcer.h"
#include "lb/apply.h"
#include "lb/balance.h"
#include "lb/flows.h"
#include "lb/interface.h"
#include "lb/operator.h"
#include "lb/partner_flows.h"
#include "lb/reconciler.h"
#include "lb/syn_watch.h"
#include "lb/uses.h"

enum { RETRY_S = 2, RETRY_HELD_S = 30, PROBLEM_SIZE = 240 };
/* A plan for ten thousand backends takes its time; between two of them lb hears the others. */
enum { REST_MOST_MS = 500 };

struct reconciler {
	struct event *timer;
	struct event *retry; /* after something did not succeed */
	const char *why;     /* of the first that asked */
	uint32_t rest_ms;    /* before the next that something asks for: what the last has cost */
	struct table_cache *cache, *candidate_cache;
	struct plan_rows last; /* what the last reconcile did */
	int error;	       /* it was broken off */
	char problem[PROBLEM_SIZE];
	/* The configuration's settings were refused: these hold until another configuration comes,
	 * or the next retry.
	 */
	bool holds;
	uint32_t generation; /* that was refused */
	struct settings held;
	struct uses *uses;
	uint64_t key_print;
};

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct lb *lb = arg;

	(void)fd;
	(void)what;
	lb_reconcile_now(lb, lb->reconciler->why);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct lb *lb = arg;

	(void)fd;
	(void)what;
	lb->reconciler->holds = false;
	lb_reconcile_now(lb, "retry");
}

struct reconciler *reconciler_new(struct lb *lb)
{
	struct reconciler *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->timer = event_new(lb->loop, -1, 0, on_timer, lb);
	r->retry = event_new(lb->loop, -1, 0, on_retry, lb);
	r->cache = table_cache_new(0);
	r->candidate_cache = table_cache_new(1ULL << 62);
	r->uses = uses_new();
	r->rest_ms = RECONCILE_DELAY_MS;
	if (!r->timer || !r->retry || !r->cache || !r->candidate_cache || !r->uses) {
		reconciler_free(r);
		return NULL;
	}
	return r;
}

void reconciler_free(struct reconciler *r)
{
	if (!r)
		return;
	if (r->timer)
		event_free(r->timer);
	if (r->retry)
		event_free(r->retry);
	table_cache_free(r->cache);
	table_cache_free(r->candidate_cache);
	plan_rows_fini(&r->last);
	explicit_bzero(&r->held, sizeof(r->held));
	uses_free(r->uses);
	free(r);
}

void reconciler_key(struct reconciler *r, uint64_t key_print)
{
	r->key_print = key_print;
}

const struct plan_rows *reconciler_last(const struct reconciler *r)
{
	return &r->last;
}

bool reconciler_waits(const struct reconciler *r)
{
	return r->error < 0 && event_pending(r->retry, EV_TIMEOUT, NULL);
}

static __attribute__((format(printf, 2, 3))) void problem_tell(struct reconciler *r,
							       const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(r->problem, sizeof(r->problem), format, ap);
	va_end(ap);
}

void reconciler_refused(struct reconciler *r, int error)
{
	r->error = error;
	problem_tell(r, "the configuration was not taken: %s; cure: sluice reload",
		     strerror(-error));
}

const char *lb_problem(const struct lb *lb)
{
	return lb->reconciler->problem;
}

/* ---- planning ---- */

static uint64_t *live_by_number(const struct lb *lb)
{
	uint64_t *live = calloc(CURRENT_BACKENDS, sizeof(*live));

	if (live)
		flow_sweep_live_all(lb->sweep, live);
	return live;
}

/* plan_for: the plan from what is to these inputs. 0 or -errno; the caller has it to plan_fini().
 */
static int plan_for(struct lb *lb, const struct inputs *in, struct table_cache *cache,
		    struct plan *ret_plan)
{
	uint64_t *live = live_by_number(lb);
	struct plan_facts facts = {.now_s = clock_now_s(),
				   .unserved = !lb->served,
				   .words = in->config == lb->config ? partner_slots_words(lb)
								     : NULL,
				   .flows = flow_sweep_facts(lb->sweep),
				   .live = live,
				   .flooded = in->config == lb->config && lb->syn_watch
						      ? syn_watch_flooded(lb->syn_watch)
						      : NULL};
	struct desired desired;
	int r = desired_build(in, cache, &desired);

	if (r == 0) {
		r = plan_build(lb->current, &desired, &facts, ret_plan);
		desired_fini(&desired);
	}
	free(live);
	return r;
}

static struct inputs inputs_of(const struct lb *lb)
{
	struct inputs in = {.config = lb->config,
			    .backends = lb->backends,
			    .interfaces = lb->interfaces,
			    .key_print = lb->reconciler->key_print,
			    .detached = lb->detached};

	memcpy(in.hash_key, lb->hash_key, sizeof(in.hash_key));
	return in;
}

/* ---- applying ---- */

static void interface_tell(struct lb_interface *in, const char *problem)
{
	if (strcmp(in->problem, problem) == 0)
		return;
	snprintf(in->problem, sizeof(in->problem), "%s", problem);
	if (problem[0])
		log_warning("interface %s: %s", in->name, problem);
}

static void probe_problem(struct lb_interface *in, const char *problem)
{
	if (strcmp(in->probe_problem, problem) == 0)
		return;
	snprintf(in->probe_problem, sizeof(in->probe_problem), "%s", problem);
	if (problem[0])
		log_warning("interface %s: probes go to the backends' own addresses: %s", in->name,
			    problem);
	else
		log_notice("interface %s: probes go through the VIPs", in->name);
}

/* A program could not be attached; or that of the probes could. */
static void on_problem(void *owner, enum step_kind step, const char *interface, const char *problem)
{
	struct lb *lb = owner;

	for (uint32_t i = 0; i < lb->config->node.n_interfaces; i++) {
		struct lb_interface *in = &lb->interfaces[i];

		if (strcmp(in->name, interface) != 0)
			continue;
		if (step == STEP_PROBE_ATTACH)
			probe_problem(in, problem);
		else if (problem[0])
			interface_tell(in, problem);
	}
}

/* How the program is attached now, and what the operator should know of it. */
static void attachment_take(struct lb_interface *in, enum attach_mode mode)
{
	static const char *const names[] = ATTACH_NAMES;
	char advice[ADVICE_TEXT];

	if (mode != in->attached && mode != ATTACH_NONE)
		log_notice("interface %s: attached: xdp=%s", in->name, names[mode]);
	in->attached = mode;
	if (mode == ATTACH_NONE)
		return; /* why is told by whoever failed to */
	advice_give(in->name, mode, advice);
	interface_tell(in, advice);
}

/* What the inputs remember of the data plane: for status, and for the next adoption. */
static void outcome_take(struct lb *lb, const struct plan *plan)
{
	for (uint32_t i = 0; i < lb->config->n_backends; i++) {
		struct lb_backend *b = &lb->backends[i];
		uint32_t number = plan->numbers[i];
		const struct current_backend *c =
			number < CURRENT_BACKENDS ? &lb->current->backends[number] : NULL;

		b->number = c && c->used ? number : BACKEND_NONE;
		b->takes_new = c && c->used && c->takes_new;
		b->alive = c && c->used && (c->plane.flags & BACKEND_ALIVE);
	}
	for (uint32_t i = 0; i < lb->config->node.n_interfaces; i++) {
		int number = current_find_interface(lb->current, lb->interfaces[i].name);

		attachment_take(&lb->interfaces[i],
				number < 0 ? ATTACH_NONE : lb->current->interfaces[number].mode);
	}
}

/* New numbers start with nothing to correct; flows of a backend that is gone are to be found soon,
 * so that their clients are told.
 */
static void sweep_tell(struct lb *lb, const struct plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		const struct step *s = &plan->steps[i];

		if (s->kind == STEP_BACKEND_ADD)
			flow_sweep_new_backend(lb->sweep, s->number);
		else if (s->kind == STEP_BACKEND_LOSE && !(s->backend.plane.flags & BACKEND_ALIVE))
			flow_sweep_soon(lb->sweep);
		else if (s->kind == STEP_SETTINGS)
			flow_sweep_restart(lb->sweep);
	}
}

static void plan_log(const struct plan_rows *rows, const struct plan *plan, const char *why)
{
	if (rows->n == 0)
		return;
	if (strcmp(why, "retry") == 0 && strcmp(rows->rows[0].step, "attach") == 0)
		return; /* the interface's problem was told */
	log_info("plan applied: why=%s steps=%zu moved=%u", why, rows->n, plan->moved);
	for (size_t i = 0; i < rows->n; i++)
		log_debug("step %s: %s", rows->rows[i].step, rows->rows[i].what);
}

/* Is an interface that is there without the program it should have? */
static bool attach_is_due(const struct lb *lb)
{
	for (uint32_t i = 0; i < lb->config->node.n_interfaces && !lb->detached; i++) {
		if (lb->interfaces[i].ifindex && lb->interfaces[i].attached == ATTACH_NONE)
			return true;
	}
	return false;
}

/* One plan, made and carried out. @ret_refused: the settings that the kernel refused, if it did;
 * slots is 0 otherwise
 */
static int plan_carry_out(struct lb *lb, const struct inputs *in, const char *why,
			  struct settings *ret_refused)
{
	struct reconciler *r = lb->reconciler;
	struct plan plan;
	int error = plan_for(lb, in, r->cache, &plan);

	*ret_refused = (struct settings){0};
	if (error < 0) {
		log_err("no plan could be made: why=%s error=%s", why, strerror(-error));
		problem_tell(r, "no plan could be made: %s", strerror(-error));
		return error;
	}
	plan_rows_fini(&r->last);
	if (plan_rows(&plan, lb->current, &r->last) < 0)
		r->last = (struct plan_rows){0};
	sweep_tell(lb, &plan);
	error = plan_apply(&plan, lb->plane, lb->current, on_problem, lb);
	outcome_take(lb, &plan);
	partner_flows_applied(lb);
	partner_slots_applied(lb, &plan);
	uses_tell(r->uses, lb->config, lb->backends);
	if (error < 0) {
		log_err("plan not applied to its end: why=%s done=%zu of=%zu error=%s", why,
			plan.done, plan.n, strerror(-error));
		problem_tell(
			r,
			"the data plane is not as configured, step %zu of %zu failed: %s; it is "
			"tried again every %d s",
			plan.done + 1, plan.n, strerror(-error), RETRY_S);
		if (plan.done < plan.n && plan.steps[plan.done].kind == STEP_SETTINGS)
			*ret_refused = plan.steps[plan.done].settings;
	} else {
		plan_log(&r->last, &plan, why);
	}
	plan_fini(&plan);
	return error;
}

/* The settings were refused, and are as they were: what else is wanted is done with those. */
static int settings_fall_back(struct lb *lb, struct inputs *in, struct settings *refused, int error)
{
	struct reconciler *r = lb->reconciler;
	uint32_t flow_limit = lb->config->flow_limit, slots = lb->config->slots;
	int first = error;

	while (error < 0 && refused->slots &&
	       settings_hold(&lb->current->settings, refused, &r->held)) {
		in->held = &r->held;
		error = plan_carry_out(lb, in, "settings refused", refused);
	}
	explicit_bzero(refused, sizeof(*refused));
	if (error < 0 || !in->held)
		return error;
	r->holds = true;
	r->generation = lb->generation;
	problem_tell(r,
		     "the kernel refuses flow_limit %u with %u slots: %s; the settings of before "
		     "hold (flow_limit %u, %u slots), all else is done; cure: a smaller "
		     "flow_limit",
		     flow_limit, slots, strerror(-first), r->held.flow_limit, r->held.slots);
	log_err("%s", r->problem);
	return 0;
}

uint32_t reconcile_rest_ms(uint64_t cost_ms)
{
	if (cost_ms < RECONCILE_DELAY_MS)
		return RECONCILE_DELAY_MS;
	return cost_ms < REST_MOST_MS ? (uint32_t)cost_ms : REST_MOST_MS;
}

int lb_reconcile_now(struct lb *lb, const char *why)
{
	struct reconciler *r = lb->reconciler;
	uint64_t began_ms = clock_ms();
	struct settings refused;
	struct inputs in;

	event_del(r->timer);
	r->why = NULL;
	if (!lb->config || lb->stopping)
		return 0;
	balance_look(lb);
	if (lb->detached)
		announcer_look(lb); /* before the packets have nowhere to go */
	in = inputs_of(lb);
	r->holds = r->holds && r->generation == lb->generation;
	if (r->holds)
		in.held = &r->held;
	else
		r->problem[0] = '\0';
	r->error = plan_carry_out(lb, &in, why, &refused);
	if (r->error < 0)
		r->error = settings_fall_back(lb, &in, &refused, r->error);
	if (r->error < 0)
		r->holds = false;
	if (r->error < 0 || attach_is_due(lb))
		event_add(r->retry, &(struct timeval){.tv_sec = RETRY_S});
	else if (r->holds && !event_pending(r->retry, EV_TIMEOUT, NULL))
		event_add(r->retry, &(struct timeval){.tv_sec = RETRY_HELD_S});
	announcer_look(lb);
	r->rest_ms = reconcile_rest_ms(clock_ms() - began_ms);
	return r->error;
}

void lb_reconcile(struct lb *lb, const char *why)
{
	struct reconciler *r = lb->reconciler;

	if (r->why)
		return;
	r->why = why;
	event_add(r->timer, &(struct timeval){.tv_usec = (suseconds_t)r->rest_ms * 1000});
}

/* ---- a plan to print ---- */

/* The inputs that a candidate would start with: what is known of those that stay; who is new is
 * taken to be up, so that the plan shows what will move.
 */
static struct lb_backend *candidate_backends(const struct lb *lb, const struct config *candidate)
{
	struct lb_backend *backends = calloc(candidate->n_backends + 1, sizeof(*backends));

	for (uint32_t i = 0; backends && i < candidate->n_backends; i++) {
		const struct config_backend *b = config_backend(candidate, i);
		int pool = config_find_pool(lb->config, config_pool(candidate, b->pool)->name);
		int old = pool < 0 ? -1 : config_find_backend(lb->config, (uint32_t)pool, b->name);

		if (old >= 0 && memcmp(&config_backend(lb->config, (uint32_t)old)->addr, &b->addr,
				       sizeof(b->addr)) == 0) {
			backends[i] = lb->backends[old];
			continue;
		}
		backends[i].health.health = HEALTH_UP;
		backends[i].weight = WEIGHT_NONE;
		backends[i].neighbour.status = NEIGHBOUR_KNOWN;
		backends[i].neighbour.was_known = true;
		backends[i].number = BACKEND_NONE;
	}
	return backends;
}

int lb_plan(struct lb *lb, const struct config *candidate, struct plan_rows *ret_rows)
{
	struct lb_interface interfaces[CONFIG_INTERFACES] = {0};
	struct inputs in = inputs_of(lb);
	struct lb_backend *backends = NULL;
	struct plan plan;
	int r;

	if (candidate) {
		backends = candidate_backends(lb, candidate);
		if (!backends)
			return -ENOMEM;
		for (uint32_t i = 0; i < candidate->node.n_interfaces; i++) {
			memcpy(interfaces[i].name, candidate->node.interfaces[i],
			       sizeof(interfaces[i].name));
			interface_read(&interfaces[i]);
			interface_own(candidate, &interfaces[i]);
		}
		in.config = candidate;
		in.backends = backends;
		in.interfaces = interfaces;
		in.detached = false; /* a reload attaches */
	}
	r = plan_for(lb, &in, candidate ? lb->reconciler->candidate_cache : lb->reconciler->cache,
		     &plan);
	if (r == 0) {
		r = plan_rows(&plan, lb->current, ret_rows);
		plan_fini(&plan);
	}
	free(backends);
	return r;
}

int lb_detach(struct lb *lb)
{
	lb->detached = true;
	log_notice("detached by the operator");
	return lb_reconcile_now(lb, "detach");
}
