/* SPDX-License-Identifier: BSD-2-Clause */
/* command_heart.c: what vrrp tells of heartbeats (MESSAGE_PARTNER) and of the guard
 * (MESSAGE_GUARD), kept to be shown: `sluice show heartbeats`, a part of status, and counters.
 */
#include <string.h>

#include "lb/control.h"
#include "lb/inputs.h"
#include "lb/state.h"

void inputs_partner(struct lb *lb, const struct message_partner *m)
{
	for (uint32_t i = 0; lb->config && i < lb->config->n_nodes; i++) {
		if (strcmp(lb->config->nodes[i], m->node) == 0 && m->link < CONFIG_LINKS)
			lb->hearts[i][m->link] = *m;
	}
}

const struct message_partner *heart_of(const struct lb *lb, uint32_t node, uint32_t link)
{
	static const struct message_partner nothing;
	const struct message_partner *m = &lb->hearts[node][link];

	/* Since a reload, another node or link may have its number. */
	if (strcmp(m->node, lb->config->nodes[node]) != 0 ||
	    strcmp(m->interface, lb->config->sync.links[link].interface) != 0)
		return &nothing;
	return m;
}

json_t *heart_rows(struct lb *lb)
{
	static const char *const lives[] = PARTNER_LIFE_NAMES;
	json_t *rows = json_array();

	for (uint32_t i = 0; i < lb->config->n_nodes; i++) {
		for (uint32_t k = 0; k < lb->config->sync.n_links; k++) {
			const struct message_partner *m = heart_of(lb, i, k);

			if (i == lb->config->node_index)
				continue;
			json_array_append_new(
				rows,
				json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "partner",
					  lb->config->nodes[i], "interface",
					  lb->config->sync.links[k].interface, "state",
					  lives[m->life <= PARTNER_DEAD ? m->life : 0], "link",
					  m->fresh ? "heard" : "silent", "rtt_us",
					  (json_int_t)m->rtt_us, "asked", (json_int_t)m->asked,
					  "answered", (json_int_t)m->answered));
		}
	}
	return rows;
}

static const struct message_partner *newest(const struct lb *lb)
{
	for (uint32_t i = 0; i < lb->config->n_nodes; i++) {
		if (lb->hearts[i][0].node[0])
			return &lb->hearts[i][0];
	}
	return NULL;
}

void heart_counters(struct lb *lb,
		    void (*row)(json_t *rows, const char *name, uint64_t value,
				const char *meaning),
		    json_t *rows)
{
	/* As vrrp/heartbeat.h (HEART_VERDICTS, from its second) and bpf/abi_guard.h have them. */
	static const char *const names[][2] = {
		{"heartbeats_short", "heartbeats of another length than they say"},
		{"heartbeats_foreign", "heartbeats of another protocol or version"},
		{"heartbeats_forged", "heartbeats with a wrong keyed hash"},
		{"heartbeats_stranger", "heartbeats from or for another node"},
		{"heartbeats_unasked", "answers that were not asked for, or came twice"},
		{"heartbeats_old", "states of before, or of another session"},
	};
	const struct message_partner *m = newest(lb);

	if (lb->config->n_instances > 0) {
		row(rows, "arp_without_lease", lb->guard.arp,
		    "ARP for or from a VIP that this node may not answer for");
		row(rows, "nd_without_lease", lb->guard.nd, "likewise neighbour discovery");
		row(rows, "not_accepted", lb->guard.closed,
		    "packets to a VIP that accepts none (accept = false)");
	}
	if (!m)
		return;
	row(rows, "heartbeats_answered", m->guard[0], "questions that the kernel answered");
	for (int i = 1; i < HEART_KINDS_BAD; i++)
		row(rows, names[i - 1][0], m->bad[i] + (i < GUARD_KINDS_BAD ? m->guard[i] : 0),
		    names[i - 1][1]);
	row(rows, "heartbeats_unsent", lb->guard.unsent, "answers that could not be written");
}
