/* SPDX-License-Identifier: BSD-2-Clause */
/* block.h: a configuration of one pool with script probe, hooks and heal, built by hand. */
#ifndef SLUICE_TESTS_PROGRAMS_BLOCK_H
#define SLUICE_TESTS_PROGRAMS_BLOCK_H

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"

enum { BLOCK_BACKENDS = 4 };

struct block {
	struct config config;
	_Alignas(8) struct config_pool pool, other;
	_Alignas(8) struct config_backend backends[BLOCK_BACKENDS];
	_Alignas(8) struct config_instance instance;
	_Alignas(8) struct config_service service;
	_Alignas(8) uint32_t by_name[BLOCK_BACKENDS];
};

/* words_set: up to three words as KEY_LIST. */
static inline void words_set(char *list, const char *a, const char *b, const char *c)
{
	const char *words[] = {a, b, c};

	memset(list, 0, CONFIG_LIST_SIZE);
	for (int i = 0; i < 3 && words[i]; i++) {
		strcpy(list, words[i]);
		list += strlen(words[i]) + 1;
	}
}

/* block_new: pool "mx" with mx1 and mx2, 192.0.2.1 and .2, port 25; instance "v4" when @vrrp. */
static inline struct block *block_new(bool vrrp)
{
	struct block *b = calloc(1, sizeof(*b));

	b->config.size_bytes = sizeof(*b);
	b->config.pools_at = b->config.files_at = b->config.tracks_at =
		offsetof(struct block, pool);
	b->config.backends_at = offsetof(struct block, backends);
	b->config.instances_at = offsetof(struct block, instance);
	b->config.services_at = offsetof(struct block, service);
	b->config.by_name_at = offsetof(struct block, by_name);
	b->config.n_pools = b->config.n_services = 1;
	b->config.n_instances = vrrp;
	b->config.n_backends = b->pool.n_backends = 2;
	strcpy(b->config.node.name, "lb1");
	strcpy(b->config.programs_user, "nobody");
	strcpy(b->pool.name, "mx");
	b->pool.probe.timeout_ms = 2000;
	b->pool.probe.command_at = 256;
	for (int i = 0; i < 2; i++) {
		snprintf(b->backends[i].name, NAME_SIZE, "mx%d", i + 1);
		b->backends[i].port = 25;
		b->by_name[i] = (uint32_t)i;
	}
	if (addr_parse("192.0.2.1", &b->backends[0].addr) < 0 ||
	    addr_parse("192.0.2.2", &b->backends[1].addr) < 0 ||
	    addr_parse("192.0.2.10", &b->service.vip) < 0)
		abort();
	strcpy(b->instance.name, "v4");
	return b;
}

static inline void block_probe(struct block *b, const char *script)
{
	words_set((char *)b->pool.probe.conf + b->pool.probe.command_at, "/bin/sh", "-c", script);
}

/* block_second_pool: as the first is now, with one backend. */
static inline void block_second_pool(struct block *b, const char *name, const char *backend)
{
	b->other = b->pool;
	snprintf(b->other.name, NAME_SIZE, "%s", name);
	b->other.first_backend = 2;
	b->other.n_backends = 1;
	b->backends[2] = b->backends[0];
	b->backends[2].pool = 1;
	snprintf(b->backends[2].name, NAME_SIZE, "%s", backend);
	b->config.n_pools = 2;
	b->config.n_backends = 3;
}

static inline void block_command(struct config_command *c, const char *script)
{
	words_set(c->words, "/bin/sh", "-c", script);
	c->timeout_ms = 5000;
}

#endif
