/* SPDX-License-Identifier: BSD-2-Clause */
/* config_pools.c: the list "pools" and their backends. How they are probed:
 * config_probe.c; their forward mode and balancing options: config_modes.c.
 */
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/config_build.h"

static const char *const pool_keys[] = {
	"name", "port", "mode", "idle_timeout", "backends", "weight",
	/* config_probe.c */
	"probe", "agent", "heal",
	/* config_modes.c */
	"tunnel", "proxy", "nat_sources", "syn_cookies", "syn_rate", "persistence", "source_prefix",
	"source_prefix6", "min_backends", "below_min", "max_connections", "slow_start", "feedback",
	"on_down", "panic_threshold", "backup_pool", "no_backend", NULL};
static const char *const backend_keys[] = {"name",   "address",		"port", "weight",
					   "backup", "max_connections", NULL};

/* ---- backends ---- */

static int name_compare(const void *a, const void *b)
{
	const struct built_backend *x = a, *y = b;

	if (x->value.pool != y->value.pool)
		return x->value.pool < y->value.pool ? -1 : 1;
	return strcmp(x->value.name, y->value.name);
}

static int address_compare(const void *a, const void *b)
{
	const struct built_backend *x = a, *y = b;

	if (x->value.pool != y->value.pool)
		return x->value.pool < y->value.pool ? -1 : 1;
	if (x->value.port != y->value.port)
		return x->value.port < y->value.port ? -1 : 1;
	return memcmp(&x->value.addr, &y->value.addr, sizeof(x->value.addr));
}

/* Put it in the tree; the one that was there, or NULL. */
static const struct built_backend *tree_add(struct builder *b, void **tree,
					    struct built_backend *backend,
					    int (*compare)(const void *, const void *))
{
	struct built_backend **node = tsearch(backend, tree, compare);

	if (!node) {
		b->reader.no_memory = true;
		return NULL;
	}
	return *node == backend ? NULL : *node;
}

static void backend_build(struct builder *b, const config_setting_t *s, struct built_pool *pool,
			  uint16_t weight)
{
	struct built_backend *new = calloc(1, sizeof(*new)), **slot;
	const struct built_backend *other;
	struct reader *r = &b->reader;
	bool named, addressed;
	int64_t n;

	slot = new ? array_grow(b, &b->backends, &b->n_backends, sizeof(*slot)) : NULL;
	if (!slot) {
		r->no_memory = true;
		free(new);
		return;
	}
	*slot = new;
	pool->value.n_backends++;
	new->setting = s;
	new->value.pool = (uint32_t)(pool - b->pools);
	new->value.weight = weight;
	new->value.port = pool->port;
	new->value.max_connections = pool->max_connections;
	keys_check(r, s, backend_keys);
	named = get_name(r, s, "name", new->value.name);
	addressed = get_address(r, s, "address", &new->value.addr);
	if (get_int(r, s, "port", OPTIONAL, 1, 65535, &n))
		new->value.port = (uint16_t)n;
	if (get_int(r, s, "weight", OPTIONAL, 0, CONFIG_WEIGHT, &n))
		new->value.weight = (uint16_t)n;
	get_bool(r, s, "backup", &new->value.backup);
	if (get_count(r, s, "max_connections", 0, CONFIG_CONNECTIONS, &n))
		new->value.max_connections = (uint32_t)n;
	if (new->value.port == 0 && pool->value.probe.port == 0 && !pool->portless &&
	    !config_setting_get_member(s, "port"))
		mistake(r, s,
			"backend \"%s\" has no port; expected: port = 25; in its pool, or here",
			new->value.name);
	other = named ? tree_add(b, &b->backend_names, new, name_compare) : NULL;
	if (other)
		mistake(r, s,
			"backend \"%s\" is in pool \"%s\" twice, at line %u too; another name is expected",
			new->value.name, pool->value.name,
			config_setting_source_line(other->setting));
	other = addressed ? tree_add(b, &b->backend_addresses, new, address_compare) : NULL;
	if (other)
		mistake(r, s,
			"backend \"%s\" has the address and port of \"%s\"; a server is expected once in a pool",
			new->value.name, other->value.name);
}

static void backends_build(struct builder *b, const config_setting_t *s, struct built_pool *pool,
			   uint16_t weight)
{
	const config_setting_t *list = list_of_groups(&b->reader, s, "backends");

	pool->value.first_backend = b->n_backends;
	for (int i = 0; list && i < config_setting_length(list); i++) {
		const config_setting_t *backend = config_setting_get_elem(list, (unsigned)i);

		if (!config_setting_is_group(backend))
			continue;
		if (b->n_backends == CONFIG_BACKENDS) {
			mistake(&b->reader, backend, "too many backends; at most %d are expected",
				CONFIG_BACKENDS);
			return;
		}
		backend_build(b, backend, pool, weight);
	}
	if (!config_setting_get_member(s, "backends") || (list && config_setting_length(list) == 0))
		mistake(&b->reader, list ? list : s,
			"pool \"%s\" has no backends; expected: backends = ( { name = \"mx1\"; address = \"192.0.2.21\"; } )",
			pool->value.name);
}

/* ---- pools ---- */

static void pool_build(struct builder *b, const config_setting_t *s)
{
	struct built_pool *pool = array_grow(b, &b->pools, &b->n_pools, sizeof(*pool));
	struct reader *r = &b->reader;
	uint32_t idle_ms = 3600000;
	uint16_t weight = 100;
	int64_t n;

	if (!pool)
		return;
	pool->setting = s;
	keys_check(r, s, pool_keys);
	if (get_name(r, s, "name", pool->value.name)) {
		for (uint32_t i = 0; i + 1 < b->n_pools; i++) {
			if (strcmp(b->pools[i].value.name, pool->value.name) == 0)
				mistake(r, s,
					"pool \"%s\" is there twice, at line %u too; another name is expected",
					pool->value.name,
					config_setting_source_line(b->pools[i].setting));
		}
	}
	build_mode(b, s, pool);
	build_balancing(b, s, pool);
	get_duration(r, s, "idle_timeout", 60000, 86400000, &idle_ms);
	pool->value.idle_timeout_s = idle_ms / 1000;
	if (get_int(r, s, "port", OPTIONAL, 1, 65535, &n))
		pool->port = (uint16_t)n;
	if (get_int(r, s, "weight", OPTIONAL, 0, CONFIG_WEIGHT, &n))
		weight = (uint16_t)n;
	build_probe(b, s, pool);
	build_agent(b, s, pool);
	build_heal(b, s, pool);
	backends_build(b, s, pool, weight);
	build_modes_check(b, pool);
}

void build_pools(struct builder *b, const config_setting_t *root)
{
	const config_setting_t *list = list_of_groups(&b->reader, root, "pools");

	for (int i = 0; list && i < config_setting_length(list); i++) {
		const config_setting_t *s = config_setting_get_elem(list, (unsigned)i);

		if (!config_setting_is_group(s))
			continue;
		if (b->n_pools == CONFIG_POOLS) {
			mistake(&b->reader, s, "too many pools; at most %d are expected",
				CONFIG_POOLS);
			return;
		}
		pool_build(b, s);
	}
}
