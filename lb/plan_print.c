/* SPDX-License-Identifier: BSD-2-Clause */
/* plan_print.c: a plan's steps in words, as `sluice plan` and the log have them. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lb/plan.h"

static const char *const vip_policies[] = {"pass", "reject", "drop"}; /* VIP_* */

static const char *const step_names[] = {
	[STEP_DETACH] = "detach",
	[STEP_SERVICE_REMOVE] = "service remove",
	[STEP_SETTINGS] = "settings",
	[STEP_BACKEND_ADD] = "backend add",
	[STEP_BACKEND_CHANGE] = "backend change",
	[STEP_POOL_ADD] = "pool add",
	[STEP_TABLE] = "table",
	[STEP_SERVICE_ADD] = "service add",
	[STEP_SERVICE_CHANGE] = "service change",
	[STEP_BACKEND_LOSE] = "backend change",
	[STEP_BACKEND_RETIRE] = "backend retire",
	[STEP_POOL_REMOVE] = "pool remove",
	[STEP_BACKEND_FREE] = "backend free",
	[STEP_PROGRAM] = "program",
	[STEP_ATTACH] = "attach",
	[STEP_PROBE_VIPS] = "probe vips",
	[STEP_PROBE_ATTACH] = "probe attach",
	[STEP_PROBE_DETACH] = "probe detach",
};

/* Where words are put, cut at the end. */
struct text {
	char *at;
	size_t room;
};

__attribute__((format(printf, 2, 3))) static void say(struct text *t, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(t->at, t->room, format, args);
	va_end(args);
	if (n > 0) {
		size_t used = (size_t)n < t->room ? (size_t)n : t->room - 1;

		t->at += used;
		t->room -= used;
	}
}

static const char *use_of(const struct current_backend *b)
{
	if (!(b->plane.flags & BACKEND_ALIVE))
		return "not used";
	return b->takes_new ? "takes new connections" : "keeps established connections only";
}

static void say_backend(struct text *t, const struct current_backend *b)
{
	struct addr addr;
	char buf[INET6_ADDRSTRLEN];

	memcpy(&addr.in6, b->plane.addr, sizeof(addr.in6));
	say(t, "%s/%s (%s)", b->pool_name, b->name, addr_format(&addr, buf));
}

static void say_backend_change(struct text *t, const struct current_backend *have,
			       const struct current_backend *want)
{
	const uint8_t *mac = want->plane.l2_dst;

	say_backend(t, want);
	say(t, ": %s", use_of(want));
	if ((have->plane.flags & want->plane.flags & BACKEND_ALIVE) &&
	    memcmp(have->plane.l2_dst, mac, sizeof(have->plane.l2_dst)) != 0)
		say(t, ", now at %02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
		    mac[4], mac[5]);
}

static void say_service(struct text *t, const struct current_service *s)
{
	struct addr addr;
	char buf[INET6_ADDRSTRLEN];
	const char *protocol = s->key.protocol == IPPROTO_UDP ? "udp" : "tcp";

	memcpy(&addr.in6, s->key.addr, sizeof(addr.in6));
	say(t, addr_is_ipv4(&addr) ? "%s: %s:%u/%s" : "%s: [%s]:%u/%s", s->name,
	    addr_format(&addr, buf), ntohs(s->key.port), protocol);
}

static void say_table(struct text *t, const struct step *s, const struct current_pool *have)
{
	const struct table *table = &s->pool.table;

	say(t, "%s: %u of %u slots move (%.1f %%)", s->pool.name, s->moved, table->n,
	    100.0 * s->moved / table->n);
	if (s->settled > 0)
		say(t, ", %u settle", s->settled);
	if (have->idle_timeout_s != s->pool.idle_timeout_s)
		say(t, ", idle_timeout %us", s->pool.idle_timeout_s);
}

/* The pool of a service, which may be one that the plan adds. */
static const char *pool_name(const struct plan *plan, const struct current *current,
			     uint32_t number)
{
	for (size_t i = 0; i < plan->n; i++) {
		if (plan->steps[i].kind == STEP_POOL_ADD && plan->steps[i].number == number)
			return plan->steps[i].pool.name;
	}
	return current->pools[number].name;
}

static void say_step(struct text *t, const struct plan *plan, const struct step *s,
		     const struct current *current)
{
	switch (s->kind) {
	case STEP_DETACH:
		say(t, "%s: packets are no longer balanced here",
		    current->interfaces[s->number].name);
		break;
	case STEP_ATTACH:
		say(t, "%s", s->interface.name);
		break;
	case STEP_PROBE_VIPS:
		say(t, "%u services are probed through their VIPs", s->probes.n);
		break;
	case STEP_PROBE_ATTACH:
		say(t, "%s: probes leave for the VIPs", s->interface.name);
		break;
	case STEP_PROBE_DETACH:
		say(t, "%s: probes leave for the backends' own addresses", s->interface.name);
		break;
	case STEP_PROGRAM:
		say(t, "%s: replaced through its link", s->interface.name);
		break;
	case STEP_SETTINGS:
		say(t, "%u slots, %u flows, no_service %s", s->settings.slots,
		    s->settings.flow_limit, vip_policies[s->settings.vip_policy]);
		break;
	case STEP_BACKEND_ADD:
	case STEP_BACKEND_CHANGE:
	case STEP_BACKEND_LOSE:
		say_backend_change(t, &current->backends[s->number], &s->backend);
		break;
	case STEP_BACKEND_RETIRE:
		say_backend(t, &s->backend);
		say(t, ": removed, its connections go on until they end");
		break;
	case STEP_BACKEND_FREE:
		say_backend(t, &current->backends[s->number]);
		say(t, ": its last connection ended");
		break;
	case STEP_POOL_ADD:
		say(t, "%s: %u slots, idle_timeout %us", s->pool.name, s->pool.table.n,
		    s->pool.idle_timeout_s);
		break;
	case STEP_TABLE:
		say_table(t, s, &current->pools[s->number]);
		break;
	case STEP_POOL_REMOVE:
		say(t, "%s", current->pools[s->number].name);
		break;
	case STEP_SERVICE_ADD:
	case STEP_SERVICE_CHANGE:
		say_service(t, &s->service);
		say(t, ", pool %s", pool_name(plan, current, s->service.plane.pool));
		break;
	case STEP_SERVICE_REMOVE:
		say_service(t, &current->services[s->number]);
		break;
	}
}

int plan_rows(const struct plan *plan, const struct current *current, struct plan_rows *ret_rows)
{
	struct plan_rows rows = {.rows = calloc(plan->n ? plan->n : 1, sizeof(*rows.rows))};

	if (!rows.rows)
		return -ENOMEM;
	for (size_t i = 0; i < plan->n; i++) {
		const struct step *s = &plan->steps[i];
		struct plan_row *row = &rows.rows[rows.n];
		struct text t = {row->what, sizeof(row->what)};

		if (s->silent)
			continue;
		row->step = step_names[s->kind];
		row->moved = s->moved;
		row->live = s->live;
		say_step(&t, plan, s, current);
		rows.n++;
	}
	*ret_rows = rows;
	return 0;
}

void plan_rows_fini(struct plan_rows *rows)
{
	free(rows->rows);
	*rows = (struct plan_rows){0};
}
