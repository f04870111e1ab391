/* SPDX-License-Identifier: BSD-2-Clause */
/* partner_flows_heard.c: FLOW, EMBRYO and TRANSLATION of a partner, into our maps (flow_import.h)
 * and, where our table would have sent the flow elsewhere, into that.
 */
#include <netinet/in.h>
#include <string.h>

#include <bpf/bpf.h>

#include "bpf/hash.h"
#include "lb/flow_import.h"
#include "lb/partner_flows_own.h"

struct heard {
	struct flow_key key;
	struct flow flow;
	bool ours;
};

/* False: of what is not here. @translated: it has a translation; in another mode it is no flow. */
static bool flow_get(struct lb *lb, uint32_t peer, const uint8_t *bytes, bool translated,
		     struct heard *ret)
{
	uint32_t silent_s = sync_get32(bytes + 46),
		 backend = flows_backend(lb, sync_get64(bytes + 38));
	struct service_key key = {.protocol = bytes[36]};
	struct service service;

	memcpy(key.addr, bytes + 16, 16);
	memcpy(&key.port, bytes + 34, 2);
	if (key.port == 0 || backend == BACKEND_NONE || lb->plane->maps[MAP_SERVICES] < 0 ||
	    bpf_map_lookup_elem(lb->plane->maps[MAP_SERVICES], &key, &service) < 0 ||
	    flows_tracked(&service) != translated) {
		flows_heard(lb, peer)->unknown++;
		return false;
	}
	if (silent_s > EPOCH_SECONDS * INT16_MAX)
		silent_s = EPOCH_SECONDS * INT16_MAX;
	*ret = (struct heard){
		.key = {.service = service.id},
		.flow = {.flags = bytes[37] & FLOW_CLOSING,
			 .backend = (uint16_t)backend,
			 .seen = (uint16_t)(FLOW_EPOCH(clock_now_s()) - silent_s / EPOCH_SECONDS)},
		.ours = partner_vip_here(lb, key.addr)};
	memcpy(ret->key.src, bytes, 16);
	memcpy(&ret->key.sport, bytes + 32, 2);
	return true;
}

static void outcome_count(struct lb *lb, uint32_t peer, int r)
{
	struct partner_flows_heard *heard = flows_heard(lb, peer);

	heard->taken += r >= 0;
	heard->full += r < 0;
}

static uint64_t heard_hash(const struct lb *lb, const uint8_t *bytes)
{
	struct tuple tuple = {.protocol = bytes[36]};

	memcpy(tuple.src, bytes, 16);
	memcpy(tuple.dst, bytes + 16, 16);
	memcpy(&tuple.sport, bytes + 32, 2);
	memcpy(&tuple.dport, bytes + 34, 2);
	return flow_hash((const __u64 *)lb->current->settings.hash_key, &tuple);
}

/* The partner's table is another one for now (a change that is not carried out here yet, a server
 * that one node reaches only): where a flow is told to live elsewhere than at the owner of its
 * slot, the slot's packets are looked up, should they come here.
 */
static void slot_unsettle(struct lb *lb, const struct heard *h)
{
	const struct current_service *s = flows_service(lb, &h->key);
	struct current_pool *pool = s ? &lb->current->pools[s->plane.pool] : NULL;
	const struct slot *slot = s ? flows_slot(lb, &h->key, s) : NULL;
	uint32_t at;

	if (!slot)
		return;
	at = (uint32_t)(slot - pool->table.slots);
	if (table_unsettle(&pool->table, at, h->flow.backend, pool->idle_timeout_s, clock_now_s()))
		plane_slot_set(lb->plane, s->plane.pool, &pool->table, at);
}

void flows_flow_record(struct lb *lb, uint32_t peer, const uint8_t *bytes, size_t n)
{
	struct heard h;

	if (n < FLOW_BYTES || !flow_get(lb, peer, bytes, false, &h))
		return;
	outcome_count(lb, peer, flow_import(lb->plane, lb->sweep, &h.key, &h.flow, h.ours));
	slot_unsettle(lb, &h);
	if (!h.ours)
		embryo_forget(lb->plane, heard_hash(lb, bytes));
}

void flows_embryo_record(struct lb *lb, uint32_t peer, const uint8_t *bytes, size_t n)
{
	struct heard h;

	if (n < FLOW_BYTES || !flow_get(lb, peer, bytes, false, &h))
		return;
	outcome_count(lb, peer,
		      embryo_import(lb->plane, heard_hash(lb, bytes), h.flow.backend, h.ours));
	slot_unsettle(lb, &h);
}

void flows_translation_record(struct lb *lb, uint32_t peer, const uint8_t *bytes, size_t n)
{
	struct translation t;
	struct heard h;

	if (n < TRANSLATION_BYTES || !flow_get(lb, peer, bytes, true, &h) ||
	    lb->plane->maps[MAP_TRANSLATIONS] < 0)
		return;
	t = (struct translation){.back = {.protocol = bytes[36]},
				 .backend = h.flow.backend,
				 .service = h.key.service,
				 .seen = h.flow.seen,
				 .flags = sync_get32(bytes + 70) & FLAGS_TOLD,
				 .client_isn = sync_get32(bytes + 74),
				 .client_next = sync_get32(bytes + 78),
				 .server_next = sync_get32(bytes + 82),
				 .server_more = sync_get32(bytes + 86),
				 .mss = sync_get16(bytes + 90),
				 .window = sync_get16(bytes + 92)};
	memcpy(t.back.src, lb->current->backends[h.flow.backend].plane.addr, 16);
	memcpy(t.back.dst, bytes + 50, 16);
	memcpy(&t.back.dport, bytes + 66, 2);
	memcpy(&t.back.sport, bytes + 68, 2);
	memcpy(t.vip, bytes + 16, 16);
	memcpy(&t.vip_port, bytes + 34, 2);
	if (sync_get32(bytes + 70) & FLAG_NASCENT)
		outcome_count(lb, peer, nascent_import(lb->plane, lb->sweep, &h.key, &t, h.ours));
	else
		outcome_count(lb, peer,
			      translation_import(lb->plane, lb->sweep, &h.key, &t, h.ours));
}
