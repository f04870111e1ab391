/* SPDX-License-Identifier: BSD-2-Clause */
/* flows.c: see flows.h. */
#include "lb/flows.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "bpf/hash.h"

enum { FEW = 8 }; /* of PLANE_STATS_BATCH, that are read one by one */

/* What one pass finds. */
struct pass {
	uint32_t started_s, entries;
	uint32_t slots; /* of the tables, and bits in `foreign` */
	uint8_t has_flows[CURRENT_BACKENDS];
	uint32_t live[CURRENT_BACKENDS];
	struct {
		uint64_t opened, closed;
	} began[CURRENT_BACKENDS];
	uint8_t *foreign[POOL_MAX]; /* bits by slot */
};

struct flow_sweep {
	const struct plane *plane;
	const struct current *current;
	flow_pass_fn *on_pass;
	flow_lost_fn *on_lost;
	flow_seen_fn *on_seen; /* NULL = nobody watches */
	void *owner;
	struct event *timer;
	struct pass *running, *done; /* done->... is what facts point to */
	bool passing, any_done;
	bool again;	   /* begin the next pass when this one ends */
	bool adopted;	   /* flows were there before us, whose end we may have missed */
	uint32_t position; /* of the kernel's walk */
	bool at_start;
	uint32_t since_s; /* nothing counts as silent before we were there to see it */
	struct flow_facts facts;
	int64_t correction[CURRENT_BACKENDS];
	uint64_t expired[CURRENT_BACKENDS];
	uint64_t imported[CURRENT_BACKENDS]; /* opened by a partner's word; may go down */
	struct flow_key keys[SWEEP_BATCH];
	struct flow flows[SWEEP_BATCH];
};

/* ---- one entry ---- */

static uint32_t idle_timeout_of(const struct flow_sweep *w, const struct flow *f)
{
	uint32_t pool = w->current->backends[f->backend].plane.pool;

	return pool < POOL_MAX && w->current->pools[pool].used
		       ? w->current->pools[pool].idle_timeout_s
		       : 3600;
}

uint32_t flow_silent_s(const struct flow *f, uint32_t now_s)
{
	uint16_t epochs = (uint16_t)(FLOW_EPOCH(now_s) - f->seen);

	/* a packet may be a moment ahead of us */
	return epochs > UINT16_MAX / 2 ? 0 : epochs * EPOCH_SECONDS;
}

/* NULL: it is gone. */
static const struct current_service *service_of(const struct flow_sweep *w,
						const struct flow_key *key)
{
	const struct current_service *service =
		key->service < SERVICE_MAX ? &w->current->services[key->service] : NULL;

	return service && service->used ? service : NULL;
}

static struct tuple tuple_of(const struct flow_key *key, const struct current_service *service)
{
	struct tuple tuple = {
		.sport = key->sport, .dport = service->key.port, .protocol = service->key.protocol};

	memcpy(tuple.src, key->src, sizeof(tuple.src));
	memcpy(tuple.dst, service->key.addr, sizeof(tuple.dst));
	return tuple;
}

/* slot_find: of a flow, in the table of its service, which may have got another pool since; NULL:
 * no packet can come for it.
 */
static const struct slot *slot_find(const struct flow_sweep *w, const struct flow_key *key,
				    uint32_t *ret_pool, uint32_t *ret_slot)
{
	const struct settings *settings = &w->current->settings;
	const struct current_service *service = service_of(w, key);
	const struct table *t;
	struct tuple tuple;

	if (!service || service->plane.pool >= POOL_MAX)
		return NULL;
	tuple = tuple_of(key, service);
	t = &w->current->pools[service->plane.pool].table;
	*ret_pool = service->plane.pool;
	*ret_slot = flow_slot((const __u64 *)settings->hash_key, &tuple, service->plane.source_bits,
			      settings->slots);
	return *ret_slot < t->n ? &t->slots[*ret_slot] : NULL;
}

/* For how long is a flow kept whose end was seen? Anybody can send a FIN or a RST that looks like
 * the client's. Without its entry a flow goes to the previous owner of its slot, if the slot is in
 * transition; so one that lives elsewhere is kept as if it had not ended, while there is room.
 */
static uint32_t closing_timeout_of(const struct flow_sweep *w, const struct flow_key *key,
				   const struct flow *f)
{
	const struct current_service *service = service_of(w, key);
	const struct slot *slot;
	uint32_t pool, at;

	if (!service || service->plane.mode >= FORWARD_NAT ||
	    flow_sweep_used(w) > w->current->settings.flow_limit / 2)
		return CLOSING_S;
	slot = slot_find(w, key, &pool, &at);
	return slot && slot->owner & SLOT_TRANSITION && slot->previous != f->backend
		       ? idle_timeout_of(w, f)
		       : CLOSING_S;
}

bool flow_sweep_over(const struct flow_sweep *w, const struct flow_key *key, const struct flow *f,
		     uint32_t now_s)
{
	const struct current_backend *b = &w->current->backends[f->backend];
	uint32_t silent_s = flow_silent_s(f, now_s), running_s = now_s - w->since_s;

	if (silent_s > running_s)
		silent_s = running_s;
	if (!b->used || !(b->plane.flags & BACKEND_ALIVE))
		return true;
	if (f->flags & FLOW_CLOSING)
		return silent_s > closing_timeout_of(w, key, f);
	return silent_s > idle_timeout_of(w, f);
}

/* The slot of a flow that does not live at its owner stays in transition. */
static void foreign_mark(struct flow_sweep *w, const struct flow_key *key, const struct flow *f)
{
	uint32_t pool, at;
	const struct slot *slot = slot_find(w, key, &pool, &at);

	if (w->on_seen)
		w->on_seen(w->owner, key, f, slot, flow_sweep_last_s(w));
	if (!slot || !w->running->foreign[pool] || at >= w->running->slots ||
	    w->current->pools[pool].table.n != w->running->slots)
		return;
	if ((slot->owner & SLOT_BACKEND) != f->backend)
		w->running->foreign[pool][at / 8] |= (uint8_t)(1U << at % 8);
}

/* A live flow whose backend is gone, while its client may not know it. */
static void lost_tell(const struct flow_sweep *w, const struct flow_key *key, const struct flow *f)
{
	const struct current_service *service = service_of(w, key);
	struct tuple tuple;

	if (!service || !w->on_lost || w->current->backends[f->backend].plane.flags & BACKEND_ALIVE)
		return;
	tuple = tuple_of(key, service);
	w->on_lost(w->owner, &tuple, service);
}

static void entry_look(struct flow_sweep *w, const struct flow_key *key, const struct flow *f,
		       uint32_t now_s)
{
	struct pass *p = w->running;

	if (f->backend >= CURRENT_BACKENDS) {
		bpf_map_delete_elem(w->plane->maps[MAP_FLOWS], key);
		return;
	}
	if (flow_sweep_over(w, key, f, now_s)) {
		if (bpf_map_delete_elem(w->plane->maps[MAP_FLOWS], key) == 0 &&
		    !(f->flags & FLOW_CLOSING)) {
			w->expired[f->backend]++;
			lost_tell(w, key, f);
		}
		return;
	}
	p->entries++;
	p->has_flows[f->backend] = 1;
	p->live[f->backend] += !(f->flags & FLOW_CLOSING);
	foreign_mark(w, key, f);
}

/* ---- counters ---- */

typedef void counters_fn(struct flow_sweep *w, void *arg, uint32_t number,
			 const struct backend_stats *s);

/* Of each backend that is used: reading one is a system call, and so is reading 256. */
static void counters_each(struct flow_sweep *w, counters_fn *take, void *arg)
{
	struct backend_stats many[PLANE_STATS_BATCH], one;

	for (uint32_t first = 0; first < CURRENT_BACKENDS; first += PLANE_STATS_BATCH) {
		uint32_t size = first + PLANE_STATS_BATCH > CURRENT_BACKENDS
					? CURRENT_BACKENDS - first
					: PLANE_STATS_BATCH;
		const struct current_backend *backends = w->current->backends + first;
		uint32_t n = 0;
		bool read;

		for (uint32_t i = 0; i < size; i++)
			n += backends[i].used;
		read = n > FEW && plane_backend_stats_read(w->plane, first, size, many) == 0;
		for (uint32_t i = 0; n > 0 && i < size; i++) {
			if (!backends[i].used)
				continue;
			if (!read)
				one = plane_backend_stats(w->plane, first + i);
			take(w, arg, first + i, read ? &many[i] : &one);
		}
	}
}

static uint64_t live_of(const struct flow_sweep *w, uint32_t number, const struct backend_stats *s)
{
	int64_t live = (int64_t)(s->opened + w->imported[number] - s->closed - w->expired[number]) +
		       w->correction[number];

	return live > 0 ? (uint64_t)live : 0;
}

/* ---- one pass ---- */

static void began_set(struct flow_sweep *w, void *arg, uint32_t i, const struct backend_stats *s)
{
	struct pass *p = arg;

	p->began[i].opened = s->opened + w->imported[i];
	p->began[i].closed = s->closed + w->expired[i];
}

static void pass_reset(struct flow_sweep *w)
{
	struct pass *p = w->running;

	p->slots = w->current->settings.slots;
	for (uint32_t i = 0; i < POOL_MAX; i++) {
		free(p->foreign[i]);
		p->foreign[i] = w->current->pools[i].used ? calloc(1, p->slots / 8 + 1) : NULL;
	}
	memset(p->has_flows, 0, sizeof(p->has_flows));
	memset(p->live, 0, sizeof(p->live));
	counters_each(w, began_set, p);
	p->entries = 0;
	p->started_s = clock_now_s();
}

/* What was counted is exact for a backend to which nothing happened meanwhile; after an adoption it
 * is the best there is until then.
 */
static void correction_set(struct flow_sweep *w, void *arg, uint32_t i,
			   const struct backend_stats *s)
{
	const struct pass *p = arg;
	uint64_t opened = s->opened + w->imported[i], closed = s->closed + w->expired[i];

	if ((w->any_done || !w->adopted) &&
	    (opened != p->began[i].opened || closed != p->began[i].closed))
		return;
	w->correction[i] = (int64_t)p->live[i] - (int64_t)(opened - closed);
}

static void pass_end(struct flow_sweep *w)
{
	struct pass *ended = w->running;

	counters_each(w, correction_set, ended);
	w->running = w->done;
	w->done = ended;
	w->passing = false;
	w->any_done = true;
	w->facts = (struct flow_facts){.started_s = ended->started_s,
				       .slots = ended->slots,
				       .has_flows = ended->has_flows,
				       .foreign = (const uint8_t **)ended->foreign};
	event_add(w->timer, w->again ? &(struct timeval){0}
				     : &(struct timeval){.tv_sec = PASS_MS / 1000,
							 .tv_usec = PASS_MS % 1000 * 1000});
	w->again = false;
	w->on_pass(w->owner);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct flow_sweep *w = arg;
	uint32_t n = SWEEP_BATCH, now_s = clock_now_s();
	int r;

	(void)fd;
	(void)what;
	if (w->plane->maps[MAP_FLOWS] < 0) {
		event_add(w->timer, &(struct timeval){.tv_sec = 1});
		return;
	}
	if (!w->passing) {
		pass_reset(w);
		w->passing = w->at_start = true;
	}
	r = bpf_map_lookup_batch(w->plane->maps[MAP_FLOWS], w->at_start ? NULL : &w->position,
				 &w->position, w->keys, w->flows, &n, NULL);
	w->at_start = false;
	for (uint32_t i = 0; (r == 0 || r == -ENOENT) && i < n; i++)
		entry_look(w, &w->keys[i], &w->flows[i], now_s);
	if (r == 0) {
		event_add(w->timer, &(struct timeval){.tv_usec = SWEEP_TICK_MS * 1000});
		return;
	}
	if (r !=
	    -ENOENT) { /* the table was replaced meanwhile, or a bucket is larger than a batch */
		log_debug("sweep of the flow table began anew: error=%s", strerror(-r));
		w->passing = false;
		event_add(w->timer, &(struct timeval){.tv_sec = 1});
		return;
	}
	pass_end(w);
}

/* ---- outside ---- */

struct flow_sweep *flow_sweep_new(struct event_base *loop, const struct plane *plane,
				  const struct current *current, flow_pass_fn *on_pass,
				  flow_lost_fn *on_lost, void *owner)
{
	struct flow_sweep *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->plane = plane;
	w->current = current;
	w->on_pass = on_pass;
	w->on_lost = on_lost;
	w->owner = owner;
	w->adopted = current->settings.slots != 0;
	w->since_s = clock_now_s();
	w->running = calloc(1, sizeof(*w->running));
	w->done = calloc(1, sizeof(*w->done));
	w->timer = event_new(loop, -1, 0, on_tick, w);
	if (!w->running || !w->done || !w->timer) {
		flow_sweep_free(w);
		return NULL;
	}
	flow_sweep_soon(w);
	return w;
}

static void pass_free(struct pass *p)
{
	for (uint32_t i = 0; p && i < POOL_MAX; i++)
		free(p->foreign[i]);
	free(p);
}

void flow_sweep_free(struct flow_sweep *w)
{
	if (!w)
		return;
	if (w->timer)
		event_free(w->timer);
	pass_free(w->running);
	pass_free(w->done);
	free(w);
}

void flow_sweep_soon(struct flow_sweep *w)
{
	if (!w->passing)
		event_add(w->timer, &(struct timeval){.tv_usec = SWEEP_TICK_MS * 1000});
	w->again = w->passing;
}

void flow_sweep_restart(struct flow_sweep *w)
{
	w->passing = false;
	flow_sweep_soon(w);
}

const struct flow_facts *flow_sweep_facts(const struct flow_sweep *w)
{
	return w->any_done ? &w->facts : NULL;
}

void flow_sweep_new_backend(struct flow_sweep *w, uint32_t number)
{
	w->correction[number] = 0;
	w->expired[number] = w->imported[number] = 0;
}

void flow_sweep_watch(struct flow_sweep *w, flow_seen_fn *on_seen)
{
	w->on_seen = on_seen;
}

void flow_sweep_imported(struct flow_sweep *w, uint32_t number, int live)
{
	w->imported[number] += (uint64_t)(int64_t)live;
}

uint32_t flow_sweep_last_s(const struct flow_sweep *w)
{
	return w->any_done ? w->done->started_s : 0;
}

uint64_t flow_sweep_live(const struct flow_sweep *w, uint32_t number)
{
	struct backend_stats s = plane_backend_stats(w->plane, number);

	return live_of(w, number, &s);
}

static void live_set(struct flow_sweep *w, void *arg, uint32_t number,
		     const struct backend_stats *s)
{
	uint64_t *live = arg;

	live[number] = live_of(w, number, s);
}

void flow_sweep_live_all(struct flow_sweep *w, uint64_t *ret_live)
{
	memset(ret_live, 0, CURRENT_BACKENDS * sizeof(*ret_live));
	counters_each(w, live_set, ret_live);
}

uint64_t flow_sweep_expired(const struct flow_sweep *w, uint32_t number)
{
	return w->expired[number];
}

uint32_t flow_sweep_used(const struct flow_sweep *w)
{
	return w->any_done ? w->done->entries : 0;
}
