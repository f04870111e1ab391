/* SPDX-License-Identifier: BSD-2-Clause */
/* config_block.h: a configuration of a few pools, built by hand, for the tests. */
#ifndef SLUICE_TESTS_CONFIG_BLOCK_H
#define SLUICE_TESTS_CONFIG_BLOCK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "healthcheck/probe.h"

enum { BLOCK_POOLS = 8, BLOCK_BACKENDS = 1056 };

struct config_block {
	struct config config;
	_Alignas(8) struct config_pool pools[BLOCK_POOLS];
	_Alignas(8) struct config_backend backends[BLOCK_BACKENDS];
	_Alignas(8) uint32_t by_name[BLOCK_BACKENDS]; /* which nobody asks here */
};

static inline struct config_block *block_new(void)
{
	struct config_block *b = calloc(1, sizeof(*b));

	b->config.size_bytes = sizeof(*b);
	b->config.instances_at = b->config.services_at = b->config.files_at = b->config.tracks_at =
		offsetof(struct config_block, pools);
	b->config.pools_at = offsetof(struct config_block, pools);
	b->config.backends_at = offsetof(struct config_block, backends);
	b->config.by_name_at = offsetof(struct config_block, by_name);
	snprintf(b->config.user, sizeof(b->config.user), "nobody");
	return b;
}

/* block_pool: its backends are added next. @timing: interval, timeout in ms, rise, fall. */
static inline struct config_pool *block_pool(struct config_block *b, const char *name,
					     const char *type, const uint32_t timing[static 4])
{
	const struct probe_ops *ops = probe_find(type);
	struct config_pool *pool = &b->pools[b->config.n_pools++];

	snprintf(pool->name, sizeof(pool->name), "%s", name);
	snprintf(pool->probe.type, sizeof(pool->probe.type), "%s", type);
	pool->first_backend = b->config.n_backends;
	pool->probe.interval_ms = pool->probe.interval_down_ms = pool->probe.interval_rising_ms =
		pool->probe.interval_falling_ms = timing[0];
	pool->probe.timeout_ms = timing[1];
	pool->probe.rise = (uint8_t)timing[2];
	pool->probe.fall = (uint8_t)timing[3];
	if (ops && ops->schema.defaults)
		memcpy(pool->probe.conf, ops->schema.defaults, ops->schema.conf_size);
	return pool;
}

static inline void block_backend(struct config_block *b, const char *name, const char *addr,
				 uint16_t port)
{
	struct config_backend *backend = &b->backends[b->config.n_backends++];

	snprintf(backend->name, sizeof(backend->name), "%s", name);
	backend->pool = b->config.n_pools - 1;
	backend->port = port;
	backend->weight = 100;
	if (addr_parse(addr, &backend->addr) < 0)
		abort();
	b->pools[b->config.n_pools - 1].n_backends++;
}

#endif
