/* SPDX-License-Identifier: BSD-2-Clause */
/* told.c: what the parent and the log are told of an instance (instance.h). */
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "vrrp/instance.h"

void instance_tell(struct instance *i, bool always)
{
	const char *active = heart_active(i->process->heart, i->beat);
	struct message_vrrp m = {.role = i->machine.role,
				 .vrid = i->config.vrid,
				 .since_s = i->since_s,
				 .transitions = (uint32_t)i->transitions,
				 .priority = i->machine.priority,
				 .yielding = i->machine.yielding,
				 .marks = !i->unmarked,
				 .urgent = i->urgent,
				 .partner_priority = i->partner_priority,
				 .partner = i->partner,
				 .adverts_sent = i->sent,
				 .adverts_received = i->received,
				 .splits = i->machine.splits,
				 .split = vrrp_is_split(&i->machine, clock_us()),
				 .split_ms = vrrp_split_us(&i->machine) / 1000,
				 .withheld = i->machine.withheld};

	memcpy(m.bad, i->bad, sizeof(m.bad));
	for (int v = VRRP_GOOD + 1; v < VRRP_VERDICT_COUNT; v++)
		m.adverts_bad += v == VRRP_ADDRESSES_DIFFER ? 0 : i->bad[v];
	snprintf(m.instance, sizeof(m.instance), "%s", i->config.name);
	snprintf(m.reason, sizeof(m.reason), "%s", i->reason);
	if (active && i->machine.role != VRRP_ACTIVE)
		memcpy(m.active, active, sizeof(m.active));
	if (!always && memcmp(&m, &i->told, sizeof(m)) == 0)
		return;
	i->told = m;
	channel_send(i->process->parent, MESSAGE_VRRP, &m, -1);
}

void instance_say(struct vrrp_process *process)
{
	process->says = true;
	event_active(process->late, 0, 0);
}

void instance_turned(struct instance *i, enum vrrp_role before, uint64_t began_us, uint64_t done_us)
{
	struct message_turn m = {.number = (uint32_t)i->transitions,
				 .from = before,
				 .to = i->machine.role,
				 .priority = i->machine.priority,
				 .silence_ms = SILENCE_UNKNOWN,
				 .took_us = (uint32_t)(done_us - began_us)};
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	m.at_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	if (i->right.heard_us && (began_us - i->right.heard_us) / 1000 < SILENCE_UNKNOWN)
		m.silence_ms = (uint32_t)((began_us - i->right.heard_us) / 1000);
	snprintf(m.instance, sizeof(m.instance), "%s", i->config.name);
	snprintf(m.reason, sizeof(m.reason), "%s", i->reason);
	i->turn = m;
	i->untold = true;
	event_active(i->process->after, 0, 0);
}

void instance_split(struct instance *i, const struct vrrp_advert *advert)
{
	i->split_by = advert->src;
	i->split_priority = advert->priority;
	i->split_untold = true;
	event_active(i->process->after, 0, 0);
}

static void log_split(struct instance *i)
{
	char text[INET6_ADDRSTRLEN];

	if (i->split_untold)
		log_warning(
			"vrrp %s split: another node is active, too: node=%s priority=%u ours=%u",
			i->config.name, addr_format(&i->split_by, text), i->split_priority,
			i->machine.priority);
	i->split_untold = false;
}

static void log_change(const struct instance *i)
{
	static const char *const names[] = VRRP_ROLE_NAMES;

	log_notice("vrrp %s %s: was=%s vrid=%u interface=%s priority=%u reason=\"%s\"",
		   i->config.name, names[i->turn.to], names[i->turn.from], i->config.vrid,
		   i->config.interface, i->turn.priority, i->turn.reason);
}

void instance_flush(struct instance *i)
{
	log_split(i);
	if (!i->untold)
		return;
	i->untold = false;
	log_change(i);
	instance_tell(i, true);
	if (i->turn.number > 0)
		channel_send(i->process->parent, MESSAGE_TURN, &i->turn, -1);
}
