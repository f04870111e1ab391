/* SPDX-License-Identifier: BSD-2-Clause */
/* switch.c: the parent as the middle of the star.
 *
 * Each message that a child may send is a row of `routes`; anything else from it is refused and
 * logged: a child that a stranger took over cannot speak for another. The last health of every
 * backend, the last role of every VRRP instance and whom the operator holds are remembered
 * (memory.h), by name, for the child that comes back.
 *
 * `programs` tells the operator's hooks what changed, so it also has to know what changed while it
 * was not there, or hung: `missed` has what it knew before that. A programs that comes back is told
 * that, then READY, then what it is now; one that answers again has taken it all by itself. What
 * came in the first second or two of a hang is taken as told: rather once too few than twice.
 */
#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "parent/check.h"
#include "parent/memory.h"
#include "parent/parent.h"

enum { UNANSWERED_STUCK = 2 /* pings, a second each */, ERRNO_MOST = 4095 };

/* programs_deaf: it is not there, or does not answer. */
static bool programs_deaf(const struct parent *p)
{
	const struct process *programs = &p->processes[ROLE_PROGRAMS];

	return !programs->channel || programs->unanswered >= UNANSWERED_STUCK;
}

/* missed: programs does not hear @now; keep what it knew, unless it missed more before.
 * @unknown: what it takes as the state before the first
 */
static void missed(void **tree, void *const *known, const void *now, const void *unknown,
		   size_t size, int (*compare)(const void *, const void *))
{
	void *const *before = tfind(now, known, compare);

	if (!tfind(now, tree, compare))
		remember(tree, before ? *before : unknown, size, compare);
}

/* ---- what a child may say ---- */

static void health_missed(struct memory *memory, const struct message_health *m)
{
	struct message_health unknown = {.health = HEALTH_UNKNOWN, .weight = 100};

	memcpy(unknown.pool, m->pool, sizeof(unknown.pool));
	memcpy(unknown.backend, m->backend, sizeof(unknown.backend));
	missed(&memory->missed_health, &memory->health, m, &unknown, sizeof(unknown),
	       health_compare);
}

/* backend_is: it is in the configuration; else the message has crossed a reload. */
static bool backend_is(const struct parent *p, const char *pool, const char *backend)
{
	int i = config_find_pool(p->config, pool);

	return i >= 0 && config_find_backend(p->config, (uint32_t)i, backend) >= 0;
}

static bool instance_is(const struct parent *p, const char *name)
{
	uint32_t i = 0;

	while (i < p->config->n_instances && strcmp(config_instance(p->config, i)->name, name) != 0)
		i++;
	return i < p->config->n_instances;
}

static bool health_pass(struct parent *p, const void *payload)
{
	const struct message_health *m = payload;

	if (!health_good(m))
		return false;
	if (!backend_is(p, m->pool, m->backend))
		return true;
	if (programs_deaf(p))
		health_missed(p->memory, m);
	remember(&p->memory->health, m, sizeof(*m), health_compare);
	supervisor_send(p, ROLE_LB, MESSAGE_HEALTH, m, -1);
	supervisor_send(p, ROLE_PROGRAMS, MESSAGE_HEALTH, m, -1);
	return true;
}

static bool dialogue_pass(struct parent *p, const void *payload)
{
	const struct message_dialogue *m = payload;

	if (!printable(m->text, sizeof(m->text)))
		return false;
	supervisor_send(p, ROLE_LB, MESSAGE_DIALOGUE, m, -1);
	return true;
}

static bool vrrp_pass(struct parent *p, const void *payload)
{
	const struct message_vrrp *m = payload;

	if (!vrrp_good(m))
		return false;
	if (!instance_is(p, m->instance))
		return true;
	if (programs_deaf(p)) {
		struct message_vrrp unknown = {.role = VRRP_INIT};

		memcpy(unknown.instance, m->instance, sizeof(unknown.instance));
		missed(&p->memory->missed_vrrp, &p->memory->vrrp, m, &unknown, sizeof(unknown),
		       vrrp_compare);
	}
	remember(&p->memory->vrrp, m, sizeof(*m), vrrp_compare);
	supervisor_send(p, ROLE_LB, MESSAGE_VRRP, m, -1);
	supervisor_send(p, ROLE_PROGRAMS, MESSAGE_VRRP, m, -1);
	return true;
}

static bool turn_pass(struct parent *p, const void *payload)
{
	const struct message_turn *m = payload;

	if (!turn_good(m))
		return false;
	if (!instance_is(p, m->instance))
		return true;
	remember(&p->memory->turns, m, sizeof(*m), turn_compare);
	supervisor_send(p, ROLE_LB, MESSAGE_TURN, m, -1);
	return true;
}

static bool operator_pass(struct parent *p, const void *payload)
{
	const struct message_operator *m = payload;

	if (!held_good(m))
		return false;
	if (!backend_is(p, m->pool, m->backend))
		return true;
	remember(&p->memory->held, m, sizeof(*m), held_compare);
	supervisor_send(p, ROLE_PROGRAMS, MESSAGE_OPERATOR, m, -1);
	return true;
}

/* A programs that is not there, or does not answer, holds no probe: it is told so at once. */
static bool run_pass(struct parent *p, const void *payload)
{
	struct message_run m = *(const struct message_run *)payload;
	struct message_ran busy = {.request = m.request, .error = -EAGAIN};

	if (!terminated(m.pool, sizeof(m.pool)) || !terminated(m.backend, sizeof(m.backend)))
		return false;
	m.asker = p->processes[ROLE_HEALTHCHECK].restarts;
	if (programs_deaf(p))
		supervisor_send(p, ROLE_HEALTHCHECK, MESSAGE_RAN, &busy, -1);
	else
		supervisor_send(p, ROLE_PROGRAMS, MESSAGE_RUN, &m, -1);
	return true;
}

static bool ran_pass(struct parent *p, const void *payload)
{
	const struct message_ran *m = payload;

	if (!terminated(m->output, sizeof(m->output)) || m->error > 0 || m->error < -ERRNO_MOST ||
	    m->status < 0 || m->status > UINT8_MAX)
		return false;
	if (m->asker == p->processes[ROLE_HEALTHCHECK].restarts)
		supervisor_send(p, ROLE_HEALTHCHECK, MESSAGE_RAN, m, -1);
	return true;
}

static bool tally_pass(struct parent *p, const void *payload)
{
	const struct message_tally *m = payload;

	if (!tally_good(m))
		return false;
	if (m->hook > p->config->n_hooks || (m->hook > 0 && m->pool[0]) ||
	    (m->hook == 0 && config_find_pool(p->config, m->pool) < 0))
		return true; /* it has crossed a reload */
	remember(&p->memory->tally, m, sizeof(*m), tally_compare);
	supervisor_send(p, ROLE_LB, MESSAGE_TALLY, m, -1);
	return true;
}

static bool ready_pass(struct parent *p, const void *payload)
{
	if (!p->lb_ready)
		log_info("data plane ready");
	p->lb_ready = true;
	supervisor_send(p, ROLE_VRRP, MESSAGE_READY, payload, -1);
	return true;
}

static bool reload_asked(struct parent *p, const void *payload)
{
	const struct message_reload *m = payload;

	if (!terminated(m->path, sizeof(m->path)))
		return false;
	if (m->plan_only)
		reload_candidate(p, m->request, m->path);
	else
		reload_run(p, m->request);
	return true;
}

static bool upgrade_asked(struct parent *p, const void *payload)
{
	upgrade_ask(p, ((const struct message_upgrade *)payload)->request);
	return true;
}

static bool probe_pass(struct parent *p, const void *payload)
{
	const struct message_probe *m = payload;
	struct message_dialogue gone = {.request = m->request, .last = 1};

	if (!terminated(m->pool, sizeof(m->pool)) || !terminated(m->backend, sizeof(m->backend)))
		return false;
	if (p->processes[ROLE_HEALTHCHECK].pid > 0) {
		supervisor_send(p, ROLE_HEALTHCHECK, MESSAGE_PROBE, m, -1);
		return true;
	}
	snprintf(gone.text, sizeof(gone.text),
		 "the healthcheck process is being restarted; try again");
	supervisor_send(p, ROLE_LB, MESSAGE_DIALOGUE, &gone, -1);
	return true;
}

/* Nothing is lost with one that comes while nobody probes: lb goes on seeing what it sees. */
static bool suspect_pass(struct parent *p, const void *payload)
{
	const struct message_suspect *m = payload;

	if (!terminated(m->pool, sizeof(m->pool)) || !terminated(m->backend, sizeof(m->backend)) ||
	    !printable(m->text, sizeof(m->text)))
		return false;
	supervisor_send(p, ROLE_HEALTHCHECK, MESSAGE_SUSPECT, m, -1);
	return true;
}

static bool failover_pass(struct parent *p, const void *payload)
{
	const struct message_failover *m = payload;

	if (!terminated(m->instance, sizeof(m->instance)) || !terminated(m->to, sizeof(m->to)))
		return false;
	supervisor_send(p, ROLE_VRRP, MESSAGE_FAILOVER, m, -1);
	return true;
}

/* @from: only who knows of such a track may tell. */
static bool track_told_by(const struct parent *p, const char *name, enum parent_role from)
{
	static const enum parent_role by[] = {[TRACK_INTERFACE] = ROLE_VRRP,
					      [TRACK_ROUTE] = ROLE_VRRP,
					      [TRACK_SCRIPT] = ROLE_PROGRAMS,
					      [TRACK_POOL] = ROLE_LB,
					      [TRACK_PLANE] = ROLE_LB};

	for (uint32_t i = 0; i < p->config->n_tracks; i++) {
		if (strcmp(config_track(p->config, i)->name, name) == 0)
			return by[config_track(p->config, i)->type] == from;
	}
	return false; /* crossed a reload */
}

static bool track_pass(struct parent *p, const struct message_track *m, enum parent_role from)
{
	if (!track_good(m))
		return false;
	if (!track_told_by(p, m->track, from))
		return true;
	remember(&p->memory->tracks, m, sizeof(*m), track_compare);
	supervisor_send(p, from == ROLE_VRRP ? ROLE_LB : ROLE_VRRP, MESSAGE_TRACK, m, -1);
	if (from == ROLE_PROGRAMS)
		supervisor_send(p, ROLE_LB, MESSAGE_TRACK, m, -1);
	return true;
}

static bool track_of_lb(struct parent *p, const void *payload)
{
	return track_pass(p, payload, ROLE_LB);
}

static bool track_of_programs(struct parent *p, const void *payload)
{
	return track_pass(p, payload, ROLE_PROGRAMS);
}

static bool track_of_vrrp(struct parent *p, const void *payload)
{
	return track_pass(p, payload, ROLE_VRRP);
}

static bool partner_pass(struct parent *p, const void *payload)
{
	const struct message_partner *m = payload;

	if (!terminated(m->node, sizeof(m->node)) ||
	    !terminated(m->interface, sizeof(m->interface)) || m->life > PARTNER_DEAD ||
	    m->fresh > 1 || m->link >= CONFIG_LINKS)
		return false;
	supervisor_send(p, ROLE_LB, MESSAGE_PARTNER, m, -1);
	return true;
}

static bool guard_pass(struct parent *p, const void *payload)
{
	supervisor_send(p, ROLE_LB, MESSAGE_GUARD, payload, -1);
	return true;
}

static bool sync_pass(struct parent *p, const void *payload)
{
	const struct message_sync *m = payload;

	if (m->in_sync > 1)
		return false;
	p->memory->sync = *m;
	supervisor_send(p, ROLE_VRRP, MESSAGE_SYNC, m, -1);
	return true;
}

static const struct route {
	enum parent_role from;
	enum message_type type;
	/* Passes it on, or away when it has crossed a reload; false: it is refused. */
	bool (*pass)(struct parent *p, const void *payload);
} routes[] = {
	{ROLE_HEALTHCHECK, MESSAGE_HEALTH, health_pass},
	{ROLE_HEALTHCHECK, MESSAGE_DIALOGUE, dialogue_pass},
	{ROLE_HEALTHCHECK, MESSAGE_RUN, run_pass},
	{ROLE_PROGRAMS, MESSAGE_RAN, ran_pass},
	{ROLE_PROGRAMS, MESSAGE_TALLY, tally_pass},
	{ROLE_VRRP, MESSAGE_VRRP, vrrp_pass},
	{ROLE_VRRP, MESSAGE_PARTNER, partner_pass},
	{ROLE_VRRP, MESSAGE_GUARD, guard_pass},
	{ROLE_VRRP, MESSAGE_TURN, turn_pass},
	{ROLE_LB, MESSAGE_OPERATOR, operator_pass},
	{ROLE_LB, MESSAGE_READY, ready_pass},
	{ROLE_LB, MESSAGE_RELOAD, reload_asked},
	{ROLE_LB, MESSAGE_UPGRADE, upgrade_asked},
	{ROLE_LB, MESSAGE_PROBE, probe_pass},
	{ROLE_LB, MESSAGE_SUSPECT, suspect_pass},
	{ROLE_LB, MESSAGE_FAILOVER, failover_pass},
	{ROLE_LB, MESSAGE_SYNC, sync_pass},
	{ROLE_LB, MESSAGE_TRACK, track_of_lb},
	{ROLE_PROGRAMS, MESSAGE_TRACK, track_of_programs},
	{ROLE_VRRP, MESSAGE_TRACK, track_of_vrrp},
};

void switch_message(struct process *from, enum message_type type, const void *payload, int fd)
{
	if (fd >= 0)
		close(fd); /* no child has one to give */
	if (type == MESSAGE_PONG) {
		from->unanswered = from->excused = 0;
		supervisor_answered(from);
		if (from->role == ROLE_PROGRAMS)
			missed_forget(from->parent->memory);
		return;
	}
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		if (routes[i].from == from->role && routes[i].type == type &&
		    routes[i].pass(from->parent, payload))
			return;
	}
	supervisor_refuse(from, type);
}

/* ---- what a child that comes back is told ---- */

static void recall_to(const void *node, VISIT visit, void *to_process, enum message_type type)
{
	struct process *to = to_process;

	if (visit == preorder || visit == leaf)
		supervisor_send(to->parent, to->role, type, *(void *const *)node, -1);
}

static void recall_health(const void *node, VISIT visit, void *to)
{
	recall_to(node, visit, to, MESSAGE_HEALTH);
}

static void recall_vrrp(const void *node, VISIT visit, void *to)
{
	recall_to(node, visit, to, MESSAGE_VRRP);
}

static void recall_turn(const void *node, VISIT visit, void *to)
{
	recall_to(node, visit, to, MESSAGE_TURN);
}

static void recall_track(const void *node, VISIT visit, void *to)
{
	recall_to(node, visit, to, MESSAGE_TRACK);
}

static void recall_held(const void *node, VISIT visit, void *to)
{
	recall_to(node, visit, to, MESSAGE_OPERATOR);
}

static void recall_tally(const void *node, VISIT visit, void *to)
{
	recall_to(node, visit, to, MESSAGE_TALLY);
}

/* recall_missed: what is now, of one that programs knows only as it was before. */
static void recall_missed(const void *node, VISIT visit, struct process *to, void *const *known,
			  enum message_type type, int (*compare)(const void *, const void *))
{
	void *const *now;

	if (visit != preorder && visit != leaf)
		return;
	now = tfind(*(void *const *)node, known, compare);
	if (now)
		supervisor_send(to->parent, to->role, type, *now, -1);
}

static void recall_missed_health(const void *node, VISIT visit, void *to_process)
{
	struct process *to = to_process;

	recall_missed(node, visit, to, &to->parent->memory->health, MESSAGE_HEALTH, health_compare);
}

static void recall_missed_vrrp(const void *node, VISIT visit, void *to_process)
{
	struct process *to = to_process;

	recall_missed(node, visit, to, &to->parent->memory->vrrp, MESSAGE_VRRP, vrrp_compare);
}

/* What it knew comes last of what is recalled, and so is what it takes as known. */
static void brief_programs(struct process *to)
{
	struct memory *memory = to->parent->memory;
	struct message_ready ready = {.generation = to->parent->generation};

	twalk_r(memory->held, recall_held, to);
	twalk_r(memory->missed_health, recall_health, to);
	twalk_r(memory->missed_vrrp, recall_vrrp, to);
	supervisor_send(to->parent, ROLE_PROGRAMS, MESSAGE_READY, &ready, -1);
	twalk_r(memory->missed_health, recall_missed_health, to);
	twalk_r(memory->missed_vrrp, recall_missed_vrrp, to);
	missed_forget(memory);
}

void switch_tell_process(struct process *of)
{
	struct message_child m = {.pid = of->pid,
				  .restarts = of->restarts,
				  .before = of->before_pid,
				  .since_s = of->since_s};

	snprintf(m.role, sizeof(m.role), "%s", of->child->role);
	supervisor_send(of->parent, ROLE_LB, MESSAGE_CHILD, &m, -1);
}

void switch_brief(struct process *to)
{
	struct parent *p = to->parent;
	struct message_ready ready = {.generation = p->generation};

	reload_send_config(p, to->role);
	if (to->role != ROLE_VRRP)
		twalk_r(p->memory->health, recall_health, to);
	if (to->role != ROLE_HEALTHCHECK) { /* tracks first: they say what a role may be */
		twalk_r(p->memory->tracks, recall_track, to);
		twalk_r(p->memory->vrrp, recall_vrrp, to);
	}
	if (to->role == ROLE_LB)
		twalk_r(p->memory->turns, recall_turn, to);
	if (to->role == ROLE_VRRP)
		supervisor_send(p, ROLE_VRRP, MESSAGE_SYNC, &p->memory->sync, -1);
	if (to->role == ROLE_PROGRAMS)
		brief_programs(to);
	if (to->role == ROLE_VRRP && p->lb_ready)
		supervisor_send(p, ROLE_VRRP, MESSAGE_READY, &ready, -1);
	if (to->role == ROLE_LB) {
		twalk_r(p->memory->tally, recall_tally, to);
		for (int role = 0; role < ROLE_COUNT; role++)
			switch_tell_process(&p->processes[role]);
	} else {
		switch_tell_process(to);
	}
}
