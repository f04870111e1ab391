/* SPDX-License-Identifier: BSD-2-Clause */
/* partner_pools.c: see partner_pools.h. What a partner said holds as long as its session.
 *
 *   rows of  0  pool: word_pool_key() (8)  backends that are up (4)
 */
#include "lb/partner_pools.h"

#include <stdlib.h>
#include <string.h>

#include "lb/partner.h"
#include "lb/partner_kinds.h"
#include "lb/share.h"
#include "lb/words.h"

enum { ROW_BYTES = 12 };

struct pool_row {
	uint64_t key;
	uint32_t own; /* as it was said last, to everybody */
	bool unsure;  /* see partner_row_due() */
	uint32_t peers[CONFIG_NODES];
};

struct partner_pools {
	uint32_t n;
	struct pool_row rows[]; /* by config index */
};

/* ---- saying ---- */

static uint32_t own_good(const struct lb *lb, uint32_t i)
{
	const struct config_pool *pool = config_pool(lb->config, i);
	uint32_t n;

	return pool_health(pool, config_backend(lb->config, pool->first_backend),
			   lb->backends + pool->first_backend, &n);
}

static bool row_put(struct lb *lb, uint32_t i, bool all, uint8_t *ret_row)
{
	struct pool_row *row = &lb->partner_pools->rows[i];
	uint32_t good = own_good(lb, i);

	if (!partner_row_due(good != row->own, all, &row->unsure))
		return false;
	if (!all)
		row->own = good;
	sync_put64(ret_row, row->key);
	sync_put32(ret_row + 8, good);
	return true;
}

static int say(struct lb *lb, uint32_t peer, uint64_t *at, bool all)
{
	const struct partner_rows rows = {.type = PARTNER_POOLS,
					  .n = lb->partner_pools->n,
					  .row_bytes = ROW_BYTES,
					  .put = row_put};

	return partner_rows_say(lb, peer, &rows, at, all);
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

static bool says_more(const struct lb *lb, uint32_t i, uint32_t good)
{
	for (uint32_t peer = 0; peer < CONFIG_NODES; peer++) {
		if (lb->partner_pools->rows[i].peers[peer] > good &&
		    partner_node(lb, peer)->same_config)
			return true;
	}
	return false;
}

bool partner_pools_fewer(const struct lb *lb)
{
	for (uint32_t i = 0; lb->partner_pools && i < lb->partner_pools->n; i++) {
		if (says_more(lb, i, own_good(lb, i)))
			return true;
	}
	return false;
}

/* ---- life ---- */

static void fini(struct lb *lb)
{
	free(lb->partner_pools);
	lb->partner_pools = NULL;
}

/* What partners said before is said again. */
static void configure(struct lb *lb)
{
	uint32_t n = lb->config->n_pools;
	struct partner_pools *p = calloc(1, sizeof(*p) + n * sizeof(p->rows[0]));

	fini(lb);
	lb->partner_pools = p;
	if (!p)
		return;
	p->n = n;
	for (uint32_t i = 0; i < n; i++)
		p->rows[i].key = word_pool_key(config_pool(lb->config, i)->name);
}

const struct partner_kind partner_pools_kind = {.type = PARTNER_POOLS,
						.record = record,
						.fill = fill,
						.down = down,
						.tick = tick,
						.configure = configure,
						.fini = fini};
