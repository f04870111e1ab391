/* SPDX-License-Identifier: BSD-2-Clause */
/* choice.c: see choice.h. */
#include "vrrp/choice.h"

#include <string.h>

#include "base/log.h"

static bool meant(const struct instance *i, struct instance *const *instances, uint32_t n,
		  const char *name)
{
	for (uint32_t k = 0; name[0] && k < n; k++) {
		if (strcmp(instances[k]->config.name, name) == 0)
			return rights_together(i, instances[k]);
	}
	return !name[0];
}

/* Of an instance that is active elsewhere, only that it is to be active here. */
static void choose(struct instance *i, uint32_t chosen, bool own)
{
	if (i->machine.role != (own ? VRRP_BACKUP : VRRP_ACTIVE))
		return;
	i->chosen = chosen;
	instance_event(i, VRRP_CHOICE);
}

void choice_take(struct vrrp_process *process, struct instance *const *instances, uint32_t n,
		 const struct message_failover *m)
{
	bool own = false;
	uint32_t chosen = m->to[0] ? heart_choice(process->heart, m->to, &own) : 0;

	if (m->to[0] && !chosen) {
		log_warning("failover refused: node=%s is not heard by heartbeats", m->to);
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		if (!meant(instances[i], instances, n, m->instance))
			continue;
		if (chosen)
			choose(instances[i], chosen, own);
		else
			instance_event(instances[i], VRRP_FAILOVER);
	}
	if (chosen)
		heart_tell(process->heart);
	log_notice("failover: by=operator instance=%s to=%s", m->instance[0] ? m->instance : "all",
		   m->to[0] ? m->to : "the best");
}
