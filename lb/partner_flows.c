/* SPDX-License-Identifier: BSD-2-Clause */
/* partner_flows.c: FLOW and TRANSLATION, said: flows that a partner could not find by its tables,
 * and how those of fullnat and of a tracked nat are translated. (Heard: partner_flows_heard.c.)
 *
 * The program tells of them by a ring (bpf/tell.h); what they are is read from its maps. The ring
 * wakes us once, then we look every LOOK_MS while there is something. The sweeps repeat them in
 * each third of their idle_timeout, so that they do not grow old at the partner, and say those
 * whose slot has changed. Ends of FLOWs are not told, they age. EMBRYO is a FLOW of which there was
 * a SYN.
 */
#include "lb/partner_flows_own.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "bpf/hash.h"
#include "lb/flows.h"
#include "lb/keys.h"

enum {
	LOOK_MS = 2,
	FLOWS_A_PART = 4096,
	TRANSLATIONS_A_PART = 2048,
	NASCENT_A_SECOND = 5000,	      /* more are a flood, whose nascent ones are no loss */
	ALL_AGAIN_S = 2 * PASS_MS / 1000 + 5, /* in it there is a whole pass */
};

struct partner_flows {
	struct ring_buffer *ring;
	struct event *readable, *look;
	struct partner_flow_counts counts;
	uint64_t lost; /* as last read */
	uint32_t all_until_s;
	uint32_t nascent_s, nascents; /* how many were told in that second */
	bool stale;		      /* keys and index are of other backends */
	uint64_t keys[BACKEND_NONE + 1];
	struct key_number index[CURRENT_BACKENDS]; /* of those used, in order */
	uint32_t n_index;
	union {
		struct {
			struct flow_key keys[FLOWS_A_PART];
			struct flow values[FLOWS_A_PART];
		} flows;
		struct {
			struct flow_key keys[TRANSLATIONS_A_PART];
			struct translation values[TRANSLATIONS_A_PART];
		} translations;
	} batch;
};

const struct partner_flow_counts *partner_flows_counts(const struct lb *lb)
{
	return &lb->partner_flows->counts;
}

struct partner_flows_heard *flows_heard(const struct lb *lb, uint32_t peer)
{
	return &lb->partner_flows->counts.heard[peer];
}

/* ---- whose number is whose ---- */

static void index_make(struct lb *lb)
{
	struct partner_flows *p = lb->partner_flows;

	if (!p->stale)
		return;
	p->stale = false;
	current_keys(lb->current, p->keys);
	p->n_index = 0;
	for (uint32_t i = 0; i < CURRENT_BACKENDS; i++) {
		if (p->keys[i])
			p->index[p->n_index++] = (struct key_number){p->keys[i], i};
	}
	keys_order(p->index, p->n_index);
}

uint32_t flows_backend(struct lb *lb, uint64_t key)
{
	struct partner_flows *p = lb->partner_flows;
	uint32_t number;

	index_make(lb);
	number = keys_find(p->index, p->n_index, key);
	return number == KEY_UNKNOWN ? BACKEND_NONE : number;
}

void partner_flows_applied(struct lb *lb)
{
	if (lb->partner_flows)
		lb->partner_flows->stale = true;
}

/* ---- saying ---- */

const struct current_service *flows_service(const struct lb *lb, const struct flow_key *key)
{
	const struct current_service *s =
		key->service < SERVICE_MAX ? &lb->current->services[key->service] : NULL;

	return s && s->used ? s : NULL;
}

bool flows_tracked(const struct service *s)
{
	return s->mode == FORWARD_FULLNAT || s->flags & SERVICE_STATEFUL;
}

/* What both records begin with. */
static void flow_put(struct lb *lb, const struct flow_key *key, const struct current_service *s,
		     const struct flow *f, uint8_t *bytes)
{
	index_make(lb);
	memcpy(bytes, key->src, 16);
	memcpy(bytes + 16, s->key.addr, 16);
	memcpy(bytes + 32, &key->sport, 2);
	memcpy(bytes + 34, &s->key.port, 2);
	bytes[36] = s->key.protocol;
	bytes[37] = (uint8_t)f->flags;
	sync_put64(bytes + 38, lb->partner_flows->keys[f->backend & SLOT_BACKEND]);
	sync_put32(bytes + 46, flow_silent_s(f, clock_now_s()));
}

static int flow_say(struct lb *lb, uint32_t peer, enum partner_type type,
		    const struct flow_key *key, const struct flow *f)
{
	const struct current_service *s = flows_service(lb, key);
	uint8_t bytes[FLOW_BYTES];

	if (!s)
		return 0;
	flow_put(lb, key, s, f, bytes);
	return partner_send(lb, peer, type, bytes, sizeof(bytes));
}

static int translation_say(struct lb *lb, uint32_t peer, const struct flow_key *key,
			   const struct translation *t, uint32_t more_flags)
{
	const struct current_service *s = flows_service(lb, key);
	const struct flow f = {.backend = t->backend,
			       .seen = t->seen,
			       .flags = t->flags & TRANSLATION_CLOSING ? FLOW_CLOSING : 0};
	uint8_t bytes[TRANSLATION_BYTES];

	if (!s)
		return 0;
	flow_put(lb, key, s, &f, bytes);
	memcpy(bytes + 50, t->back.dst, 16);
	memcpy(bytes + 66, &t->back.dport, 2);
	memcpy(bytes + 68, &t->back.sport, 2);
	sync_put32(bytes + 70, (t->flags & FLAGS_TOLD) | more_flags);
	sync_put32(bytes + 74, t->client_isn);
	sync_put32(bytes + 78, t->client_next);
	sync_put32(bytes + 82, t->server_next);
	sync_put32(bytes + 86, t->server_more);
	sync_put16(bytes + 90, t->mss);
	sync_put16(bytes + 92, t->window);
	return partner_send(lb, peer, PARTNER_TRANSLATION, bytes, sizeof(bytes));
}

/* ---- the ring ---- */

static bool nascent_is_told(struct lb *lb)
{
	struct partner_flows *p = lb->partner_flows;

	if (p->nascent_s != clock_now_s()) {
		p->nascent_s = clock_now_s();
		p->nascents = 0;
	}
	return p->nascents++ < NASCENT_A_SECOND;
}

/* -EAGAIN: it was taken, but nothing more fits now. The ring keeps the rest; when it is full, the
 * sweeps say what it had no room for.
 */
static int on_exception(void *owner, void *record, size_t n)
{
	struct lb *lb = owner;
	const struct exception *e = record;
	struct translation t;
	struct flow f;

	if (n < sizeof(*e) || !partner_any(lb))
		return 0;
	if (e->what == EXCEPTION_TRANSLATION) {
		if (bpf_map_lookup_elem(lb->plane->maps[MAP_TRANSLATIONS], &e->key, &t) == 0)
			translation_say(lb, PARTNER_ALL, &e->key, &t, 0);
	} else if (e->what == EXCEPTION_NASCENT) {
		if (nascent_is_told(lb) &&
		    bpf_map_lookup_elem(lb->plane->maps[MAP_NASCENT], &e->key, &t) == 0)
			translation_say(lb, PARTNER_ALL, &e->key, &t, FLAG_NASCENT);
	} else if (e->what == EXCEPTION_EMBRYO) {
		f = (struct flow){.backend = e->backend, .seen = FLOW_EPOCH(clock_now_s())};
		if (nascent_is_told(lb))
			flow_say(lb, PARTNER_ALL, PARTNER_EMBRYO, &e->key, &f);
	} else if (bpf_map_lookup_elem(lb->plane->maps[MAP_FLOWS], &e->key, &f) == 0) {
		flow_say(lb, PARTNER_ALL, PARTNER_FLOW, &e->key, &f);
	}
	lb->partner_flows->counts.told++;
	return partner_crowded(lb) ? -EAGAIN : 0;
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct lb *lb = arg;
	struct partner_flows *p = lb->partner_flows;
	int r = ring_buffer__consume(p->ring);

	(void)fd;
	(void)what;
	if (r > 0 || r == -EAGAIN)
		event_add(p->look, &(struct timeval){.tv_usec = LOOK_MS * 1000});
	else
		event_add(p->readable, NULL);
}

/* The map is there once the first plan was carried out. */
static void ring_open(struct lb *lb)
{
	struct partner_flows *p = lb->partner_flows;

	if (p->ring || lb->config->sync.n_links == 0 || lb->plane->maps[MAP_EXCEPTIONS] < 0)
		return;
	p->ring = ring_buffer__new(lb->plane->maps[MAP_EXCEPTIONS], on_exception, lb, NULL);
	if (!p->ring)
		return;
	p->readable = event_new(lb->loop, ring_buffer__epoll_fd(p->ring), EV_READ, on_look, lb);
	if (!p->readable) {
		ring_buffer__free(p->ring);
		p->ring = NULL;
		return;
	}
	on_look(-1, 0, lb); /* what had come before gives no sign */
}

static void lost_look(struct lb *lb)
{
	struct partner_flows *p = lb->partner_flows;
	uint64_t lost[CPU_MAX] = {0}, sum = 0;
	uint32_t zero = 0;

	if (!p->ring || lb->plane->cpus > CPU_MAX ||
	    bpf_map_lookup_elem(lb->plane->maps[MAP_EXCEPTIONS_LOST], &zero, lost) < 0)
		return;
	for (uint32_t i = 0; i < lb->plane->cpus; i++)
		sum += lost[i];
	if (sum > p->lost)
		p->all_until_s = clock_now_s() + ALL_AGAIN_S;
	p->counts.lost += sum - p->lost;
	p->lost = sum;
}

static void tick(struct lb *lb)
{
	ring_open(lb);
	lost_look(lb);
}

/* ---- the sweeps ---- */

static uint32_t idle_timeout_of(const struct lb *lb, uint32_t backend)
{
	uint32_t pool =
		backend < CURRENT_BACKENDS ? lb->current->backends[backend].plane.pool : POOL_MAX;

	return pool < POOL_MAX && lb->current->pools[pool].used
		       ? lb->current->pools[pool].idle_timeout_s
		       : 3600;
}

/* Each flow at its own time in a third of its idle_timeout, if it had packets in that. */
static bool is_due(const struct lb *lb, const struct flow_key *key, const struct flow *f,
		   uint32_t last_s)
{
	uint32_t third_s = idle_timeout_of(lb, f->backend) / 3 + 1, now_s = clock_now_s();
	uint32_t shift_s = (uint32_t)key->sport * 2654435761U % third_s;

	if ((int32_t)(lb->partner_flows->all_until_s - now_s) > 0)
		return true;
	return (now_s + shift_s) / third_s != (last_s + shift_s) / third_s &&
	       flow_silent_s(f, now_s) <= third_s + EPOCH_SECONDS + (now_s - last_s);
}

static bool is_in_transition(const struct slot *slot)
{
	return slot && slot->owner & SLOT_TRANSITION;
}

/* To who comes: it may remember an older flow of the same ports, where one can have begun at the
 * previous owner (bpf/flow.h, flow_insert()).
 */
static bool is_for_a_newcomer(const struct flow *f, const struct slot *slot)
{
	return is_in_transition(slot) &&
	       (f->backend != slot->previous || (slot->owner & SLOT_BACKEND) == slot->previous);
}

/* Would a partner that was told of no flow send it elsewhere: now, or after another change of the
 * slot (its previous owner lives again, it has another owner)? For then it is too late to say so.
 */
static bool is_exception(const struct current_service *s, const struct flow *f,
			 const struct slot *slot)
{
	uint16_t untold;

	if (!is_in_transition(slot))
		return false;
	untold = s->key.protocol == IPPROTO_TCP ? slot->previous : slot->owner & SLOT_BACKEND;
	return untold != f->backend;
}

static bool is_ours_to_say(const struct lb *lb, const struct current_service *s)
{
	return s && lb->partner_flows && partner_any(lb) && partner_vip_here(lb, s->key.addr);
}

void partner_flows_seen(struct lb *lb, const struct flow_key *key, const struct flow *f,
			const struct slot *slot, uint32_t last_s)
{
	const struct current_service *s = flows_service(lb, key);

	if (!is_ours_to_say(lb, s) || flows_tracked(&s->plane) || !is_exception(s, f, slot) ||
	    (slot->since_s < last_s && !is_due(lb, key, f, last_s)))
		return;
	flow_say(lb, PARTNER_ALL, PARTNER_FLOW, key, f);
	lb->partner_flows->counts.repeated++;
}

void partner_translation_seen(struct lb *lb, const struct flow_key *key,
			      const struct translation *t, uint32_t last_s)
{
	const struct flow f = {.backend = t->backend, .seen = t->seen};

	if (!is_ours_to_say(lb, flows_service(lb, key)) || !is_due(lb, key, &f, last_s))
		return;
	translation_say(lb, PARTNER_ALL, key, t, 0);
	lb->partner_flows->counts.repeated++;
}

/* ---- everything, to who comes ---- */

/* A batch of the kernel's walk: *cursor is 0, or its position, above a bit that is set. */
static bool walk(int map, uint64_t *cursor, void *keys, void *values, uint32_t *n)
{
	uint32_t position = (uint32_t)(*cursor >> 1);
	int r = map < 0 ? -ENOENT
			: bpf_map_lookup_batch(map, *cursor ? &position : NULL, &position, keys,
					       values, n, NULL);

	if (r < 0 && r != -ENOENT)
		log_warning("not all flows are told to the partner: error=%s", strerror(-r));
	if (map < 0 || (r < 0 && r != -ENOENT))
		*n = 0;
	*cursor = (uint64_t)position << 1 | 1;
	return r == 0;
}

const struct slot *flows_slot(const struct lb *lb, const struct flow_key *key,
			      const struct current_service *s)
{
	const struct settings *settings = &lb->current->settings;
	const struct table *t = &lb->current->pools[s->plane.pool].table;
	struct tuple tuple = {
		.sport = key->sport, .dport = s->key.port, .protocol = s->key.protocol};
	uint32_t at;

	memcpy(tuple.src, key->src, sizeof(tuple.src));
	memcpy(tuple.dst, s->key.addr, sizeof(tuple.dst));
	at = flow_slot((const __u64 *)settings->hash_key, &tuple, s->plane.source_bits,
		       settings->slots);
	return at < t->n ? &t->slots[at] : NULL;
}

static bool flows_fill(struct lb *lb, uint32_t peer, uint64_t *cursor)
{
	struct partner_flows *p = lb->partner_flows;
	uint32_t n = FLOWS_A_PART;
	bool more = walk(lb->plane->maps[MAP_FLOWS], cursor, p->batch.flows.keys,
			 p->batch.flows.values, &n);

	for (uint32_t i = 0; i < n; i++) {
		const struct flow_key *key = &p->batch.flows.keys[i];
		const struct flow *f = &p->batch.flows.values[i];
		const struct current_service *s = flows_service(lb, key);

		if (!is_ours_to_say(lb, s) || flows_tracked(&s->plane) ||
		    !is_for_a_newcomer(f, flows_slot(lb, key, s)))
			continue;
		if (flow_say(lb, peer, PARTNER_FLOW, key, f) < 0)
			return false;
		p->counts.repeated++;
	}
	return more;
}

static bool translations_fill(struct lb *lb, uint32_t peer, uint64_t *cursor)
{
	struct partner_flows *p = lb->partner_flows;
	uint32_t n = TRANSLATIONS_A_PART;
	bool more = walk(lb->plane->maps[MAP_TRANSLATIONS], cursor, p->batch.translations.keys,
			 p->batch.translations.values, &n);

	for (uint32_t i = 0; i < n; i++) {
		const struct flow_key *key = &p->batch.translations.keys[i];

		if (!is_ours_to_say(lb, flows_service(lb, key)))
			continue;
		if (translation_say(lb, peer, key, &p->batch.translations.values[i], 0) < 0)
			return false;
		p->counts.repeated++;
	}
	return more;
}

const struct partner_kind partner_flow_kind = {
	.type = PARTNER_FLOW, .record = flows_flow_record, .fill = flows_fill, .tick = tick};
const struct partner_kind partner_embryo_kind = {.type = PARTNER_EMBRYO,
						 .record = flows_embryo_record};
const struct partner_kind partner_translation_kind = {
	.type = PARTNER_TRANSLATION, .record = flows_translation_record, .fill = translations_fill};

/* ---- life ---- */

struct partner_flows *partner_flows_new(struct lb *lb)
{
	struct partner_flows *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->stale = true;
	p->look = event_new(lb->loop, -1, 0, on_look, lb);
	if (!p->look) {
		free(p);
		return NULL;
	}
	return p;
}

void partner_flows_free(struct partner_flows *p)
{
	if (!p)
		return;
	event_free(p->look);
	if (p->readable)
		event_free(p->readable);
	ring_buffer__free(p->ring);
	free(p);
}
