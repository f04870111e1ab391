/* SPDX-License-Identifier: BSD-2-Clause */
/* partner_handover.c: HANDOVER: at which MAC a node takes what another hands over (bpf/handover.h),
 * on the link of each instance, and where it is active. The others hand over to whom they heard to
 * be active last: while they are backup, and for AFTER_MS once they took over from it. By then it
 * has told all that it knows. Who is dead is handed nothing.
 *
 *   rows of  0  instance: word_pool_key() of its name (8)  MAC (6; 0: none)  flags (2): active
 */
#include <bpf/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "lb/partner_flows.h"
#include "lb/partner_kinds.h"
#include "lb/plane.h"
#include "lb/words.h"

enum {
	ROW_BYTES = 16,
	ACTIVE = 1,
	AFTER_MS = 500,
	BACKUP_MS = 6 * PARTNER_TICK_MS, /* renewed by each tick: nothing lasts without us */
};

struct place {
	uint8_t mac[6];
	bool active;
};

struct handed { /* of an instance */
	uint64_t key;
	struct place own; /* as it was said last, to everybody */
	bool unsure;	  /* see partner_row_due() */
	uint8_t macs[CONFIG_NODES][6];
	uint32_t last; /* the node that was heard to be active last; CONFIG_NODES = none */
	uint32_t role; /* ours, enum vrrp_role */
	uint64_t until_ms;
};

struct partner_handover {
	uint32_t n;
	struct handed instances[];
};

/* ---- saying ---- */

static const struct lb_interface *interface_of(const struct lb *lb, uint32_t instance)
{
	const char *name = config_instance(lb->config, instance)->interface;

	for (uint32_t i = 0; i < lb->config->node.n_interfaces; i++) {
		if (strcmp(lb->interfaces[i].name, name) == 0)
			return &lb->interfaces[i];
	}
	return NULL;
}

/* A node that stops and takes its program away says so when it resigns. */
static struct place own_place(const struct lb *lb, uint32_t i)
{
	const struct lb_interface *in = interface_of(lb, i);
	uint32_t role = lb->instances[i].vrrp.role;
	struct place own = {.active = role == VRRP_ACTIVE};

	if (in && in->ifindex && in->attached != ATTACH_NONE &&
	    !(role == VRRP_INIT && lb->config->on_stop == ON_STOP_DETACH))
		memcpy(own.mac, in->mac, sizeof(own.mac));
	return own;
}

static bool row_put(struct lb *lb, uint32_t i, bool all, uint8_t *ret_row)
{
	struct handed *h = &lb->partner_handover->instances[i];
	struct place own = own_place(lb, i);

	if (!partner_row_due(memcmp(&own, &h->own, sizeof(own)) != 0, all, &h->unsure))
		return false;
	if (!all)
		h->own = own;
	sync_put64(ret_row, h->key);
	memcpy(ret_row + 8, own.mac, sizeof(own.mac));
	sync_put16(ret_row + 14, own.active ? ACTIVE : 0);
	return true;
}

static int say(struct lb *lb, uint32_t peer, uint64_t *at, bool all)
{
	const struct partner_rows rows = {.type = PARTNER_HANDOVER,
					  .n = lb->partner_handover->n,
					  .row_bytes = ROW_BYTES,
					  .put = row_put};

	return partner_rows_say(lb, peer, &rows, at, all);
}

static void changes_say(struct lb *lb)
{
	for (uint64_t at = 0; at < lb->partner_handover->n;)
		say(lb, PARTNER_ALL, &at, false);
}

static bool fill(struct lb *lb, uint32_t peer, uint64_t *cursor)
{
	if (!lb->partner_handover)
		return false;
	return say(lb, peer, cursor, true) == 0 && *cursor < lb->partner_handover->n;
}

/* ---- doing ---- */

static bool is_known(const struct lb *lb, const struct handed *h)
{
	static const uint8_t none[6];

	return h->last < lb->config->n_nodes && sync_up(partner_sync(lb), h->last) &&
	       memcmp(h->macs[h->last], none, sizeof(none)) != 0;
}

/* All nodes' source ports: each has as many as this one, in the order of config->nodes. */
static void ports_set(const struct config *c, struct handover *to)
{
	uint32_t share = (uint32_t)c->nat_port_last - c->nat_port_first + 1;
	uint32_t first = c->nat_port_first - c->node_index * share;

	to->port_first = (uint16_t)first;
	to->port_last = (uint16_t)(first + c->n_nodes * share - 1);
}

/* What the program of that interface is to have; until_ns 0: nothing. */
static struct handover handover_of(const struct lb *lb, const struct lb_interface *in)
{
	const struct partner_handover *p = lb->partner_handover;
	uint64_t now_ms = clock_ms(), most_ms = now_ms;
	struct handover to = {0};

	for (uint32_t i = 0; i < p->n; i++) {
		const struct handed *h = &p->instances[i];
		uint64_t until_ms = h->role == VRRP_ACTIVE ? h->until_ms : now_ms + BACKUP_MS;

		if (interface_of(lb, i) != in || until_ms <= most_ms || !is_known(lb, h))
			continue;
		most_ms = until_ms;
		to.until_ns = until_ms * 1000000;
		memcpy(to.mac, h->macs[h->last], sizeof(to.mac));
	}
	ports_set(lb->config, &to);
	return to;
}

static void apply(struct lb *lb)
{
	int map = lb->plane->maps[MAP_HANDOVERS];

	for (uint32_t i = 0; map >= 0 && i < lb->config->node.n_interfaces; i++) {
		const struct lb_interface *in = &lb->interfaces[i];
		struct handover to;

		if (!in->ifindex)
			continue;
		to = handover_of(lb, in);
		if (to.until_ns == 0)
			bpf_map_delete_elem(map, &in->ifindex);
		else
			bpf_map_update_elem(map, &in->ifindex, &to, BPF_ANY);
	}
}

void partner_handover_role(struct lb *lb, uint32_t i)
{
	const struct message_vrrp *m = &lb->instances[i].vrrp;
	struct handed *h = lb->partner_handover ? &lb->partner_handover->instances[i] : NULL;

	if (!h || h->role == m->role)
		return;
	h->role = m->role;
	h->until_ms = m->urgent ? 0 : clock_ms() + AFTER_MS;
	apply(lb);
	changes_say(lb);
}

static void tick(struct lb *lb)
{
	if (!lb->partner_handover)
		return;
	changes_say(lb);
	apply(lb);
}

/* ---- hearing ---- */

static void row_take(struct partner_handover *p, uint32_t peer, const uint8_t *row)
{
	uint64_t key = sync_get64(row);

	for (uint32_t i = 0; i < p->n; i++) {
		struct handed *h = &p->instances[i];

		if (h->key != key)
			continue;
		memcpy(h->macs[peer], row + 8, sizeof(h->macs[peer]));
		if (sync_get16(row + 14) & ACTIVE)
			h->last = peer;
	}
}

static void record(struct lb *lb, uint32_t peer, const uint8_t *bytes, size_t n)
{
	if (!lb->partner_handover)
		return;
	for (; n >= ROW_BYTES; bytes += ROW_BYTES, n -= ROW_BYTES)
		row_take(lb->partner_handover, peer, bytes);
	apply(lb);
}

static void down(struct lb *lb, uint32_t peer)
{
	struct partner_handover *p = lb->partner_handover;

	for (uint32_t i = 0; p && i < p->n; i++)
		memset(p->instances[i].macs[peer], 0, sizeof(p->instances[i].macs[peer]));
	if (p)
		apply(lb);
}

/* ---- life ---- */

static void fini(struct lb *lb)
{
	free(lb->partner_handover);
	lb->partner_handover = NULL;
}

/* What partners said of the instances before is said again. */
static void configure(struct lb *lb)
{
	uint32_t n = lb->config->n_instances;
	struct partner_handover *p = calloc(1, sizeof(*p) + n * sizeof(p->instances[0]));

	fini(lb);
	lb->partner_handover = p;
	if (!p)
		return;
	p->n = n;
	for (uint32_t i = 0; i < n; i++)
		p->instances[i] =
			(struct handed){.key = word_pool_key(config_instance(lb->config, i)->name),
					.last = CONFIG_NODES,
					.role = lb->instances[i].vrrp.role};
}

const struct partner_kind partner_handover_kind = {.type = PARTNER_HANDOVER,
						   .record = record,
						   .fill = fill,
						   .down = down,
						   .tick = tick,
						   .configure = configure,
						   .fini = fini};
