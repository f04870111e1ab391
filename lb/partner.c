/* SPDX-License-Identifier: BSD-2-Clause */
/* partner.c: see partner.h. Here: the table, the sessions, and ASK and SYNCED. */
#include "lb/partner.h"

#include <errno.h>
#include <event2/event.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/channel.h"
#include "base/log.h"
#include "lb/keys.h"
#include "lb/partner_kinds.h"
#include "lb/partner_pools.h"

enum { LAG_MOST_MS = 1000, CROWDED_ROOM = 128 /* packets */ };

static void on_ask(struct lb *lb, uint32_t peer, const uint8_t *bytes, size_t n);
static void on_synced(struct lb *lb, uint32_t peer, const uint8_t *bytes, size_t n);

static const struct partner_kind ask = {.type = PARTNER_ASK, .record = on_ask};
static const struct partner_kind synced = {.type = PARTNER_SYNCED, .record = on_synced};

/* In the order in which everything is said. */
static const struct partner_kind *const kinds[] = {
	&partner_node_kind,
	&ask,
	&partner_operator,
	&partner_live,
	&partner_slots_kind,
	&partner_flow_kind,
	&partner_embryo_kind,
	&partner_translation_kind,
	&partner_handover_kind,
	&partner_pools_kind,
	&synced,
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

struct peer {
	struct partner_node node;
	uint32_t kind; /* that is being said */
	uint64_t cursor;
};

struct partner {
	struct sync *sync;
	struct event *tick;
	uint8_t secret[32];
	struct partner_said own;
	struct key_number *keys; /* of all backends, in order */
	uint32_t n_keys;
	struct peer peers[CONFIG_NODES];
	bool in_sync, may_preempt;
};

/* ---- in sync ---- */

bool partner_in_sync(const struct lb *lb, uint32_t peer)
{
	struct sync_peer_state state;

	if (!lb->partner->peers[peer].node.synced)
		return false;
	sync_peer_state(lb->partner->sync, peer, &state);
	return state.up && state.lag_ms < LAG_MOST_MS;
}

static void in_sync_tell(struct lb *lb)
{
	const struct message_sync m = {.in_sync = lb->partner->may_preempt};

	if (lb->channel)
		channel_send(lb->channel, MESSAGE_SYNC, &m, -1);
}

/* We know what there is to know: from everybody who is there, and somebody is. Who has just started
 * may still find servers that others serve from unreachable: their connections would be lost by it.
 */
static void in_sync_look(struct lb *lb)
{
	bool any = false, all = true, may_preempt;

	for (uint32_t i = 0; i < CONFIG_NODES; i++) {
		struct partner_node *node = &lb->partner->peers[i].node;
		bool good;

		if (!sync_up(lb->partner->sync, i))
			continue;
		good = partner_in_sync(lb, i);
		any = any || good;
		all = all && good;
		if (good == node->in_sync)
			continue;
		node->in_sync = good;
		node->since_s = time(NULL);
	}
	lb->partner->in_sync = any && all;
	may_preempt = lb->partner->in_sync && lb->ready && !partner_pools_fewer(lb);
	if (lb->partner->may_preempt == may_preempt)
		return;
	lb->partner->may_preempt = may_preempt;
	in_sync_tell(lb);
}

static void synced_is(struct lb *lb, uint32_t peer, bool is)
{
	struct partner_node *node = &lb->partner->peers[peer].node;

	if (node->synced == is)
		return;
	node->synced = is;
	log_notice("partner %s: node=%s", is ? "in sync" : "not in sync", lb->config->nodes[peer]);
	in_sync_look(lb);
}

/* ---- sessions ---- */

static void on_record(void *owner, uint32_t peer, uint16_t type, const uint8_t *bytes, size_t n)
{
	struct lb *lb = owner;

	for (size_t i = 0; i < KINDS; i++) {
		if (kinds[i]->type == type && kinds[i]->record)
			kinds[i]->record(lb, peer, bytes, n);
	}
}

static bool on_fill(void *owner, uint32_t peer, bool first)
{
	struct lb *lb = owner;
	struct peer *p = &lb->partner->peers[peer];

	if (first) {
		p->kind = 0;
		p->cursor = 0;
	}
	if (kinds[p->kind]->fill && kinds[p->kind]->fill(lb, peer, &p->cursor))
		return true;
	p->cursor = 0;
	if (++p->kind < KINDS)
		return true;
	p->kind = 0;
	partner_send(lb, peer, PARTNER_SYNCED, "", 1);
	return false;
}

static void on_up(void *owner, uint32_t peer)
{
	struct lb *lb = owner;

	log_notice("partner heard: node=%s", lb->config->nodes[peer]);
}

static void on_down(void *owner, uint32_t peer)
{
	struct lb *lb = owner;
	struct partner_node *node = &lb->partner->peers[peer].node;

	if (peer < lb->config->n_nodes)
		log_warning("partner not heard any more: node=%s", lb->config->nodes[peer]);
	*node = (struct partner_node){.since_s = time(NULL)};
	for (size_t i = 0; i < KINDS; i++) {
		if (kinds[i]->down)
			kinds[i]->down(lb, peer);
	}
	in_sync_look(lb);
}

static void on_ask(struct lb *lb, uint32_t peer, const uint8_t *bytes, size_t n)
{
	(void)bytes;
	(void)n;
	sync_fill(lb->partner->sync, peer);
}

static void on_synced(struct lb *lb, uint32_t peer, const uint8_t *bytes, size_t n)
{
	(void)bytes;
	(void)n;
	synced_is(lb, peer, true);
}

void partner_node_heard(struct lb *lb, uint32_t peer, const struct partner_said *said)
{
	struct partner_node *node = &lb->partner->peers[peer].node;
	const struct partner_said *own = &lb->partner->own;
	bool same_secret = said->secret_print == own->secret_print;
	bool same_config = same_secret && said->config_print == own->config_print;

	if (same_secret)
		sync_key_known(lb->partner->sync, peer);
	if (same_secret && !same_config && (!node->told || node->same_config))
		log_warning("partner has another configuration: node=%s", lb->config->nodes[peer]);
	node->told = true;
	node->same_secret = same_secret;
	node->same_config = same_config;
	memcpy(node->version, said->version, sizeof(node->version));
}

/* ---- for the kinds ---- */

int partner_send(struct lb *lb, uint32_t peer, enum partner_type type, const void *bytes, size_t n)
{
	return lb->partner ? sync_send(lb->partner->sync, peer, (uint16_t)type, bytes, n)
			   : -ENOTCONN;
}

bool partner_row_due(bool changed, bool all, bool *unsure)
{
	bool due = all || changed || *unsure;

	*unsure = all && (changed || *unsure);
	return due;
}

int partner_rows_say(struct lb *lb, uint32_t peer, const struct partner_rows *rows, uint64_t *at,
		     bool all)
{
	uint8_t bytes[SYNC_RECORD_MOST];
	size_t n = 0;

	for (; *at < rows->n && n + rows->row_bytes <= sizeof(bytes); ++*at) {
		if (rows->put(lb, (uint32_t)*at, all, bytes + n))
			n += rows->row_bytes;
	}
	return n > 0 ? partner_send(lb, peer, rows->type, bytes, n) : 0;
}

bool partner_any(const struct lb *lb)
{
	for (uint32_t i = 0; lb->partner && i < CONFIG_NODES; i++) {
		if (sync_up(lb->partner->sync, i))
			return true;
	}
	return false;
}

/* Who lags too far to be in sync is not waited for: if its session ends, nothing is lost by that,
 * and others are told meanwhile.
 */
bool partner_crowded(const struct lb *lb)
{
	for (uint32_t i = 0; i < lb->config->n_nodes; i++) {
		struct sync_peer_state state;

		if (!sync_up(lb->partner->sync, i) ||
		    sync_room(lb->partner->sync, i) >= CROWDED_ROOM)
			continue;
		sync_peer_state(lb->partner->sync, i, &state);
		if (state.lag_ms < LAG_MOST_MS)
			return true;
	}
	return false;
}

bool partner_fills(const struct lb *lb)
{
	for (uint32_t i = 0; i < lb->config->n_nodes; i++) {
		struct sync_peer_state state;

		sync_peer_state(lb->partner->sync, i, &state);
		if (state.filling)
			return true;
	}
	return false;
}

bool partner_all_told(const struct lb *lb)
{
	for (uint32_t i = 0; i < lb->config->n_nodes; i++) {
		if (sync_is_peer(lb->partner->sync, i) && !partner_in_sync(lb, i))
			return false;
	}
	return !partner_fills(lb);
}

static uint64_t fnv(uint64_t h, const void *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3ULL;
	return h;
}

uint64_t partner_backend_key(const struct lb *lb, uint32_t i)
{
	const struct config_backend *b = config_backend(lb->config, i);
	const struct config_pool *pool = config_pool(lb->config, b->pool);
	uint64_t h = 0xcbf29ce484222325ULL;

	h = fnv(h, pool->name, strlen(pool->name) + 1);
	h = fnv(h, b->name, strlen(b->name) + 1);
	return fnv(h, &b->addr, sizeof(b->addr));
}

int partner_backend_find(const struct lb *lb, uint64_t key)
{
	uint32_t i = keys_find(lb->partner->keys, lb->partner->n_keys, key);

	return i == KEY_UNKNOWN ? -ENOENT : (int)i;
}

static void keys_make(struct lb *lb)
{
	struct partner *p = lb->partner;

	free(p->keys);
	p->keys = calloc(lb->config->n_backends + 1, sizeof(*p->keys));
	p->n_keys = p->keys ? lb->config->n_backends : 0;
	for (uint32_t i = 0; i < p->n_keys; i++)
		p->keys[i] = (struct key_number){partner_backend_key(lb, i), i};
	keys_order(p->keys, p->n_keys);
}

/* ---- what is known ---- */

const struct partner_said *partner_own(const struct lb *lb)
{
	return &lb->partner->own;
}

bool partner_node_in_sync(const struct lb *lb)
{
	return lb->partner->in_sync;
}

void partner_ready(struct lb *lb)
{
	in_sync_look(lb);
}

bool partner_may_preempt(const struct lb *lb)
{
	return lb->partner->may_preempt;
}

const struct partner_node *partner_node(const struct lb *lb, uint32_t peer)
{
	return &lb->partner->peers[peer].node;
}

const struct sync *partner_sync(const struct lb *lb)
{
	return lb->partner->sync;
}

/* ---- life ---- */

static const struct sync_ops ops = {
	.record = on_record, .fill = on_fill, .up = on_up, .down = on_down};

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct lb *lb = arg;

	(void)fd;
	(void)what;
	if (!lb->config || lb->stopping)
		return;
	for (size_t i = 0; i < KINDS; i++) {
		if (kinds[i]->tick)
			kinds[i]->tick(lb);
	}
	in_sync_look(lb);
}

int partner_new(struct lb *lb)
{
	struct partner *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	lb->partner = p;
	p->sync = sync_new(lb->loop, &ops, lb);
	p->tick = event_new(lb->loop, -1, EV_PERSIST, on_tick, lb);
	if (!p->sync || !p->tick) {
		partner_free(lb);
		return -ENOMEM;
	}
	event_add(p->tick, &(struct timeval){.tv_usec = PARTNER_TICK_MS * 1000});
	return 0;
}

void partner_free(struct lb *lb)
{
	struct partner *p = lb->partner;

	if (!p)
		return;
	sync_free(p->sync);
	if (p->tick)
		event_free(p->tick);
	for (size_t i = 0; i < KINDS; i++) {
		if (kinds[i]->fini)
			kinds[i]->fini(lb);
	}
	free(p->keys);
	explicit_bzero(p->secret, sizeof(p->secret));
	free(p);
	lb->partner = NULL;
}

void partner_key(struct lb *lb, const uint8_t secret[static 32])
{
	memcpy(lb->partner->secret, secret, sizeof(lb->partner->secret));
}

static uint64_t secret_print(const uint8_t secret[static 32])
{
	static const uint8_t label[] = "sluice sync print";
	uint8_t mac[EVP_MAX_MD_SIZE] = {0};

	HMAC(EVP_sha256(), secret, 32, label, sizeof(label) - 1, mac, NULL);
	return sync_get64(mac);
}

void partner_configure(struct lb *lb)
{
	struct partner *p = lb->partner;

	p->own = (struct partner_said){.config_print = partner_config_print(lb->config, p->secret),
				       .secret_print = secret_print(p->secret)};
	snprintf(p->own.version, sizeof(p->own.version), "%s", SLUICE_VERSION);
	keys_make(lb);
	for (size_t i = 0; i < KINDS; i++) {
		if (kinds[i]->configure)
			kinds[i]->configure(lb);
	}
	if (sync_configure(p->sync, lb->config, p->secret) < 0)
		log_err("partners are not told of anything: out of memory");
	for (uint32_t i = 0; i < CONFIG_NODES; i++) {
		if (!sync_up(p->sync, i))
			continue;
		partner_node_say(lb, i);
		partner_send(lb, i, PARTNER_ASK, "", 1); /* what named what we did not have */
		sync_fill(p->sync, i);
	}
	if (lb->config->sync.n_links > 0)
		in_sync_tell(lb);
}
