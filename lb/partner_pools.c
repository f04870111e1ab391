/* SPDX-License-Identifier: BSD-2-Clause */
/* partner_pools.c: see partner_pools.h. What a partner said holds as long as its session.
 *
 *   rows of  0  pool: word_pool_key() (8)  backends that are up (4)
 */
#include "lb/partner_pools.h"

#include <stdlib.h>
#include <string.h>

#include "lb/partner_kinds.h"
#include "lb/share.h"
#include "lb/words.h"

enum { ROW_BYTES = 12, RECORD_ROWS = SYNC_RECORD_MOST / ROW_BYTES };

struct pool_row {
	uint64_t key;
	uint32_t own; /* as it was said last */
	uint32_t peers[CONFIG_NODES];
};

struct partner_pools {
	uint32_t n;
	struct pool_row *rows; /* by config index */
};

/* ---- saying ---- */

static uint32_t own_good(const struct lb *lb, uint32_t i)
{
	const struct config_pool *pool = config_pool(lb->config, i);
	uint32_t n;

	return pool_health(pool, config_backend(lb->config, pool->first_backend),
			   lb->backends + pool->first_backend, &n);
}

/* A record of rows from *at on: those that have changed, or all. */
static int say(struct lb *lb, uint32_t peer, uint64_t *at, bool all)
{
	struct partner_pools *p = lb->partner_pools;
	uint8_t bytes[RECORD_ROWS * ROW_BYTES];
	size_t n = 0;

	for (; *at < p->n && n < RECORD_ROWS; ++*at) {
		struct pool_row *row = &p->rows[*at];
		uint32_t good = own_good(lb, (uint32_t)*at);

		if (!all && good == row->own)
			continue;
		row->own = good;
		sync_put64(bytes + n * ROW_BYTES, row->key);
		sync_put32(bytes + n * ROW_BYTES + 8, good);
		n++;
	}
	return n > 0 ? partner_send(lb, peer, PARTNER_POOLS, bytes, n * ROW_BYTES) : 0;
}

static void tick(struct lb *lb)
{
	for (uint64_t at = 0; lb->partner_pools && lb->ready && at < lb->partner_pools->n;)
		say(lb, PARTNER_ALL, &at, false);
}

static bool fill(struct lb *lb, uint32_t peer, uint64_t *cursor)
{
	if (!lb->partner_pools || !lb->ready)
		return false; /* each is said with its first result */
	return say(lb, peer, cursor, true) == 0 && *cursor < lb->partner_pools->n;
}

/* ---- hearing ---- */

static void record(struct lb *lb, uint32_t peer, const uint8_t *bytes, size_t n)
{
	struct partner_pools *p = lb->partner_pools;

	for (; p && n >= ROW_BYTES; bytes += ROW_BYTES, n -= ROW_BYTES) {
		for (uint32_t i = 0; i < p->n; i++) {
			if (p->rows[i].key == sync_get64(bytes))
				p->rows[i].peers[peer] = sync_get32(bytes + 8);
		}
	}
}

static void down(struct lb *lb, uint32_t peer)
{
	struct partner_pools *p = lb->partner_pools;

	for (uint32_t i = 0; p && i < p->n; i++)
		p->rows[i].peers[peer] = 0;
}

uint32_t partner_pools_best(const struct lb *lb, uint32_t pool, uint32_t *ret_peer)
{
	const struct partner_pools *p = lb->partner_pools;
	uint32_t best = 0;

	for (uint32_t i = 0; p && pool < p->n && i < CONFIG_NODES; i++) {
		if (p->rows[pool].peers[i] > best) {
			best = p->rows[pool].peers[i];
			*ret_peer = i;
		}
	}
	return best;
}

/* ---- life ---- */

static void fini(struct lb *lb)
{
	if (lb->partner_pools)
		free(lb->partner_pools->rows);
	free(lb->partner_pools);
	lb->partner_pools = NULL;
}

/* What partners said before is said again. */
static void configure(struct lb *lb)
{
	struct partner_pools *p;

	fini(lb);
	p = calloc(1, sizeof(*p));
	if (p)
		p->rows = calloc(lb->config->n_pools + 1, sizeof(*p->rows));
	if (!p || !p->rows) {
		free(p);
		return;
	}
	p->n = lb->config->n_pools;
	for (uint32_t i = 0; i < p->n; i++)
		p->rows[i].key = word_pool_key(config_pool(lb->config, i)->name);
	lb->partner_pools = p;
}

const struct partner_kind partner_pools_kind = {.type = PARTNER_POOLS,
						.record = record,
						.fill = fill,
						.down = down,
						.tick = tick,
						.configure = configure,
						.fini = fini};
