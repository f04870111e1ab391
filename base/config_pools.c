/* SPDX-License-Identifier: BSD-2-Clause */
/* config_pools.c: the list "pools": backends and their probe. Their forward mode and their
 * balancing options: config_modes.c.
 */
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/config_build.h"

static const char *const pool_keys[] = {
	"name", "port", "mode", "idle_timeout", "probe", "backends", "weight",
	/* config_modes.c */
	"tunnel", "proxy", "nat_sources", "syn_cookies", "syn_rate", "persistence", "source_prefix",
	"source_prefix6", "min_backends", "below_min", "max_connections", "slow_start", "feedback",
	"on_down", NULL};
static const char *const backend_keys[] = {"name",   "address",		"port", "weight",
					   "backup", "max_connections", NULL};

/* ---- probe ---- */

enum { PROBE_KEYS_MOST = 40 };

static const char *const common_keys[] = {"type",    "tls",  "port", "interval",
					  "timeout", "rise", "fall", NULL};

static const struct probe_schema none = {.name = "none"};

static const struct probe_schema *schema_find(struct builder *b, const config_setting_t *at,
					      const char *what, const char *type)
{
	const char *names[32] = {none.name};
	const char *meant;
	int n = 1;

	if (strcmp(type, none.name) == 0)
		return &none;
	for (const struct probe_schema *const *s = b->schemas; *s && n < 31; s++) {
		if (strcmp((*s)->name, type) == 0)
			return *s;
		names[n++] = (*s)->name;
	}
	meant = nearest(type, names);
	if (meant)
		mistake(&b->reader, at,
			"%s: probe type \"%.32s\" is not known; did you mean \"%s\"?", what, type,
			meant);
	else
		mistake(&b->reader, at, "%s: probe type \"%.32s\" is not known; see sluice.conf(5)",
			what, type);
	return NULL;
}

/* A probe's group may have the common keys and those of its type. */
static void probe_keys_check(struct builder *b, const config_setting_t *s,
			     const struct probe_schema *schema)
{
	const char *keys[PROBE_KEYS_MOST + 1] = {NULL};
	int n = 0;

	for (; common_keys[n]; n++)
		keys[n] = common_keys[n];
	for (const struct config_key *k = schema->keys; k && k->name && n < PROBE_KEYS_MOST; k++)
		keys[n++] = k->name;
	keys_check(&b->reader, s, keys);
}

static void own_key(struct builder *b, const config_setting_t *s, const struct config_key *k,
		    uint8_t *conf)
{
	enum need need = k->required ? REQUIRED : OPTIONAL;
	const char *wrong;
	bool flag;
	int64_t n;

	switch (k->type) {
	case KEY_STRING:
		if (!get_string(&b->reader, s, k->name, need, (char *)conf + k->offset, k->size))
			return;
		wrong = k->check ? k->check((char *)conf + k->offset) : NULL;
		if (wrong)
			mistake(&b->reader, config_setting_get_member(s, k->name), "\"%s\" %s",
				k->name, wrong);
		return;
	case KEY_BOOL:
		if (get_bool(&b->reader, s, k->name, &flag))
			memcpy(conf + k->offset, &flag, sizeof(flag));
		return;
	case KEY_INT:
		if (get_int(&b->reader, s, k->name, need, k->least, k->most, &n)) {
			int32_t value = (int32_t)n;

			memcpy(conf + k->offset, &value, sizeof(value));
		}
		return;
	}
}

static void tls_build(struct builder *b, const config_setting_t *s,
		      const struct probe_schema *schema, struct config_probe *p)
{
	static const char *const tls[] = {"none", "starttls", "implicit", NULL};
	int choice;

	if (!get_choice(&b->reader, s, "tls", tls, &choice))
		return;
	p->tls = (enum config_tls)choice;
	if ((p->tls == TLS_STARTTLS && !schema->can_starttls) ||
	    (p->tls == TLS_IMPLICIT && !schema->can_tls))
		mistake(&b->reader, config_setting_get_member(s, "tls"),
			"a probe of type \"%s\" has no tls \"%s\"; expected: \"none\"%s%s",
			schema->name, tls[choice], schema->can_starttls ? ", \"starttls\"" : "",
			schema->can_tls ? ", \"implicit\"" : "");
}

static void probe_group(struct builder *b, const config_setting_t *s,
			const struct probe_schema *schema, struct config_probe *p)
{
	int64_t n;

	probe_keys_check(b, s, schema);
	tls_build(b, s, schema, p);
	get_duration(&b->reader, s, "interval", 100, 3600000, &p->interval_ms);
	p->timeout_ms = p->interval_ms; /* so that a hanging server is down after fall x interval */
	get_duration(&b->reader, s, "timeout", 50, 600000, &p->timeout_ms);
	if (get_int(&b->reader, s, "port", OPTIONAL, 1, 65535, &n))
		p->port = (uint16_t)n;
	if (get_int(&b->reader, s, "rise", OPTIONAL, 1, 100, &n))
		p->rise = (uint8_t)n;
	if (get_int(&b->reader, s, "fall", OPTIONAL, 1, 100, &n))
		p->fall = (uint8_t)n;
	for (const struct config_key *k = schema->keys; k && k->name; k++)
		own_key(b, s, k, p->conf);
}

void build_probe(struct builder *b, const config_setting_t *pool, struct built_pool *built)
{
	config_setting_t *s = config_setting_get_member(pool, "probe");
	struct config_probe *p = &built->value.probe;
	const struct probe_schema *schema;
	char what[NAME_SIZE + 16];
	char type[64] = "tcp";

	*p = (struct config_probe){.interval_ms = 2000, .timeout_ms = 2000, .rise = 2, .fall = 3};
	snprintf(what, sizeof(what), "pool \"%s\"", built->value.name);
	if (s && config_setting_is_group(s)) {
		if (!get_string(&b->reader, s, "type", REQUIRED, type, sizeof(type)))
			return;
	} else if (s) {
		if (!get_string(&b->reader, pool, "probe", OPTIONAL, type, sizeof(type)))
			return;
	}
	schema = schema_find(b, s ? s : pool, what, type);
	if (!schema)
		return;
	snprintf(p->type, sizeof(p->type), "%s", schema->name);
	if (schema->defaults)
		memcpy(p->conf, schema->defaults,
		       schema->conf_size < PROBE_CONF_SIZE ? schema->conf_size : PROBE_CONF_SIZE);
	if (s && config_setting_is_group(s))
		probe_group(b, s, schema, p);
}

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
	if (new->value.port == 0 && pool->value.probe.port == 0 &&
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
