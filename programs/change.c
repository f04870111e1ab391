/* SPDX-License-Identifier: BSD-2-Clause */
/* change.c: see change.h. */
#include "programs/change.h"

const char *change_by(const struct message_health *m)
{
	static const char *const names[] = SAYER_NAMES;
	int by = SAYER_PROBE;

	if (m->health == HEALTH_UP || m->said[SAYER_PROBE].health == m->health)
		return names[by];
	for (int i = 0; i < SAYERS; i++) {
		if (m->said[i].health == m->health)
			by = i;
	}
	return names[by];
}

static void backend_facts(const struct change *c, struct facts *f)
{
	char address[INET6_ADDRSTRLEN];

	facts_add(f, "pool", c->pool);
	facts_add(f, "backend", c->name);
	facts_add(f, "address", addr_format(&c->addr, address));
	if (c->port)
		facts_add_number(f, "port", c->port);
}

void change_facts(const struct change *c, const char *node, struct facts *ret_facts)
{
	struct facts *f = ret_facts;

	f->n = 0;
	facts_add(f, "event", c->event == CHANGE_BACKEND ? "backend" : "vrrp");
	facts_add(f, "node", node);
	facts_add(f, "active", c->active ? "yes" : "no");
	if (c->event == CHANGE_BACKEND)
		backend_facts(c, f);
	else
		facts_add(f, "instance", c->name);
	facts_add(f, "from", c->from);
	facts_add(f, "to", c->to);
	facts_add(f, "reason", c->reason);
	if (c->event == CHANGE_VRRP)
		facts_add_number(f, "priority", c->priority);
	if (c->by[0])
		facts_add(f, "by", c->by);
	facts_add_number(f, "since", c->since_s);
}
