/* SPDX-License-Identifier: BSD-2-Clause */
/* desired.c: inputs to intent: which backends are used, and who owns which slot.
 *
 * | health   | new connections | established ones |
 * | up       | yes             | go on            |
 * | leaving  | no              | go on            |
 * | down     | no              | are cut, or go on (on_down) |
 * | unknown  | as the data plane had it before a restart; a new backend waits |
 *
 * Less than that: drain and weight 0 take no new ones; disabled cuts; without a known neighbour
 * there are no new ones, and established ones go on at its last known MAC if there is one. What the
 * pool's options make of that: share.h.
 */
#include "lb/desired.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lb/mode.h"
#include "lb/returns.h"
#include "lb/share.h"

enum health backend_health(const struct config_pool *pool, const struct lb_backend *in)
{
	if (strcmp(pool->probe.type, "none") == 0)
		return HEALTH_UP;
	return (enum health)in->health.health;
}

struct fate backend_fate(const struct config_pool *pool, const struct config_backend *conf,
			 const struct lb_backend *in)
{
	struct fate fate = {0};

	switch (backend_health(pool, in)) {
	case HEALTH_UP:
		fate = (struct fate){.takes_new = true, .alive = true};
		break;
	case HEALTH_LEAVING:
		fate.alive = true;
		break;
	case HEALTH_UNKNOWN:
		fate = (struct fate){.takes_new = in->kept_takes_new,
				     .alive = in->kept_alive || in->fresh};
		break;
	case HEALTH_DOWN:
		fate.alive = pool->on_down == ON_DOWN_KEEP;
		break;
	}
	if (in->by_operator != OPERATOR_ENABLED)
		fate.takes_new = false;
	if (in->by_operator == OPERATOR_DISABLED)
		fate.alive = false;
	if (in->weight == 0 || (in->weight == WEIGHT_NONE && conf->weight == 0))
		fate.takes_new = false;
	if (in->neighbour.status != NEIGHBOUR_KNOWN)
		fate.takes_new = false;
	if (!in->neighbour.was_known)
		fate.alive = false;
	return fate;
}

/* ---- tables ---- */

/* All that a backend's slots depend on. */
struct member {
	struct addr addr; /* another address is another backend */
	struct maglev_backend maglev;
	struct maglev_use use;
};

struct cached_table {
	char pool[NAME_SIZE];
	uint32_t slots, n;
	struct member *members;
	uint16_t *base, *owners;
	uint64_t version;
	struct cached_table *next;
};

struct table_cache {
	struct cached_table *first;
	uint64_t last_version;
};

struct table_cache *table_cache_new(uint64_t first_version)
{
	struct table_cache *cache = calloc(1, sizeof(*cache));

	if (cache)
		cache->last_version = first_version;
	return cache;
}

static void cached_table_free(struct cached_table *t)
{
	if (!t)
		return;
	free(t->members);
	free(t->base);
	free(t->owners);
	free(t);
}

void table_cache_free(struct table_cache *cache)
{
	if (!cache)
		return;
	for (struct cached_table *t = cache->first, *next; t; t = next) {
		next = t->next;
		cached_table_free(t);
	}
	free(cache);
}

/* Drop what no pool of the configuration needs. */
static void cache_trim(struct table_cache *cache, const struct config *config)
{
	for (struct cached_table **at = &cache->first; *at;) {
		struct cached_table *t = *at;

		if (config_find_pool(config, t->pool) >= 0) {
			at = &t->next;
			continue;
		}
		*at = t->next;
		cached_table_free(t);
	}
}

static struct cached_table *cache_find(struct table_cache *cache, const char *pool)
{
	for (struct cached_table *t = cache->first; t; t = t->next) {
		if (strcmp(t->pool, pool) == 0)
			return t;
	}
	return NULL;
}

static bool same_base(const struct cached_table *a, const struct cached_table *b)
{
	if (a->slots != b->slots || a->n != b->n)
		return false;
	for (uint32_t i = 0; i < a->n; i++) {
		if (a->members[i].maglev.seed != b->members[i].maglev.seed ||
		    a->members[i].maglev.weight != b->members[i].maglev.weight ||
		    a->members[i].maglev.backup != b->members[i].maglev.backup)
			return false;
	}
	return true;
}

static bool same_owners(const struct cached_table *a, const struct cached_table *b)
{
	for (uint32_t i = 0; i < a->n; i++) {
		if (memcmp(&a->members[i].use, &b->members[i].use, sizeof(struct maglev_use)) !=
			    0 ||
		    memcmp(&a->members[i].addr, &b->members[i].addr, sizeof(struct addr)) != 0)
			return false;
	}
	return true;
}

/* Fill base and owners of @t; @old (may be NULL) has the same base, or not. */
static int cached_table_build(struct cached_table *t, const struct cached_table *old)
{
	struct maglev_backend *backends = calloc(t->n ? t->n : 1, sizeof(*backends));
	struct maglev_use *uses = calloc(2 * (size_t)t->n + 1, sizeof(*uses));
	struct maglev_use *uses_before = uses ? uses + t->n : NULL;
	struct maglev_before before = {.uses = uses_before};
	bool again = old && same_base(t, old);
	int r = 0;

	t->base = calloc(t->slots, sizeof(*t->base));
	t->owners = calloc(t->slots, sizeof(*t->owners));
	if (!backends || !uses || !t->base || !t->owners)
		r = -ENOMEM;
	for (uint32_t i = 0; r == 0 && i < t->n; i++) {
		backends[i] = t->members[i].maglev;
		uses[i] = t->members[i].use;
		if (again)
			uses_before[i] = old->members[i].use;
	}
	if (again)
		before.owners = old->owners;
	if (r == 0 && again)
		memcpy(t->base, old->base, t->slots * sizeof(*t->base));
	else if (r == 0)
		r = maglev_build(backends, t->n, t->slots, t->base);
	if (r == 0)
		r = maglev_repair_again(backends, uses, t->n, t->slots, t->base,
					again ? &before : NULL, t->owners);
	free(backends);
	free(uses);
	return r;
}

static struct cached_table *cached_table_new(const char *pool, uint32_t slots, uint32_t n)
{
	struct cached_table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	memcpy(t->pool, pool, sizeof(t->pool));
	t->slots = slots;
	t->n = n;
	t->members = calloc(n ? n : 1, sizeof(*t->members));
	if (!t->members) {
		free(t);
		return NULL;
	}
	return t;
}

/* cache_put: the table of these members, built if they differ from the last time. Owns @t. */
static int cache_put(struct table_cache *cache, struct cached_table *t,
		     const struct cached_table **ret_table)
{
	struct cached_table *old = cache_find(cache, t->pool), swap;
	int r;

	if (old && same_base(t, old) && same_owners(t, old)) {
		cached_table_free(t);
		*ret_table = old;
		return 0;
	}
	r = cached_table_build(t, old);
	if (r < 0) {
		cached_table_free(t);
		return r;
	}
	t->version = ++cache->last_version;
	if (!old) {
		t->next = cache->first;
		cache->first = t;
		*ret_table = t;
		return 0;
	}
	swap = *old;
	*old = *t;
	old->next = swap.next;
	*t = swap;
	cached_table_free(t);
	*ret_table = old;
	return 0;
}

/* ---- all of it ---- */

static void desired_backend_init(const struct inputs *in, uint32_t i, const struct fate *fate,
				 struct desired_backend *ret)
{
	const struct config_backend *conf = config_backend(in->config, i);
	const struct config_pool *pool = config_pool(in->config, conf->pool);
	const struct neighbour *neighbour = &in->backends[i].neighbour;

	*ret = (struct desired_backend){.conf = conf,
					.pool = pool,
					.takes_new = fate->takes_new,
					.alive = fate->alive,
					.use = {.share = fate->share},
					.ifindex = neighbour->ifindex};
	if (fate->takes_new) {
		ret->use.gives = in->backends[i].gives;
		ret->use.claims = in->backends[i].claims;
	}
	memcpy(ret->mac, neighbour->mac, sizeof(ret->mac));
	memcpy(ret->own_mac, neighbour->own_mac, sizeof(ret->own_mac));
	ret->source = neighbour->source;
}

/* Every pool's backends. 0 or -ENOMEM. */
static int desired_backends_init(const struct inputs *in, struct desired_backend *ret)
{
	const struct config *config = in->config;
	struct fate *fates = calloc(config->n_backends ? config->n_backends : 1, sizeof(*fates));

	if (!fates)
		return -ENOMEM;
	for (uint32_t i = 0; i < config->n_pools; i++)
		pool_fates(config, in->backends, i, fates + config_pool(config, i)->first_backend);
	for (uint32_t i = 0; i < config->n_backends; i++)
		desired_backend_init(in, i, &fates[i], &ret[i]);
	free(fates);
	return 0;
}

/* The operator's weight 0 leaves the slots where they return to. */
static uint32_t weight_of(const struct config_backend *conf, const struct lb_backend *in)
{
	return in->weight > 0 ? (uint32_t)in->weight : conf->weight;
}

static int desired_pool_init(const struct inputs *in, struct table_cache *cache, uint32_t slots,
			     const struct desired_backend *backends, uint32_t i,
			     struct desired_pool *ret)
{
	const struct config_pool *pool = config_pool(in->config, i);
	const struct cached_table *table;
	struct cached_table *t = cached_table_new(pool->name, slots, pool->n_backends);
	int r;

	if (!t)
		return -ENOMEM;
	for (uint32_t k = 0; k < pool->n_backends; k++) {
		const struct config_backend *conf =
			config_backend(in->config, pool->first_backend + k);

		t->members[k].addr = conf->addr;
		t->members[k].use = backends[pool->first_backend + k].use;
		t->members[k].maglev = (struct maglev_backend){
			.seed = maglev_seed(pool->name, conf->name),
			.weight = weight_of(conf, &in->backends[pool->first_backend + k]),
			.backup = conf->backup};
	}
	r = cache_put(cache, t, &table);
	if (r < 0)
		return r;
	*ret = (struct desired_pool){.conf = pool,
				     .owners = table->owners,
				     .version = table->version,
				     .nat = mode_pool(pool),
				     .serving = pool_serving(in->config, in->backends, i)};
	for (uint32_t k = 0; k < pool->n_backends; k++)
		ret->takes_new = ret->takes_new || backends[pool->first_backend + k].takes_new;
	return 0;
}

/* A backup's program takes their MACs, too: as soon as the switch sends it those frames, it
 * forwards them.
 */
static void vrids_set(const struct config *config, struct desired_interface *ret)
{
	for (uint32_t i = 0; i < config->n_instances; i++) {
		const struct config_instance *instance = config_instance(config, i);
		uint32_t bit = (instance->ipv6 ? VRID_BITS / 2 : 0) + instance->vrid;

		if (instance->virtual_mac && strcmp(instance->interface, ret->name) == 0)
			ret->vrids[bit / 32] |= 1U << bit % 32;
	}
}

static void desired_interfaces_init(const struct inputs *in, struct desired *ret)
{
	for (uint32_t i = 0; i < in->config->node.n_interfaces && !in->detached; i++) {
		const struct lb_interface *from = &in->interfaces[i];
		struct desired_interface *to = &ret->interfaces[ret->n_interfaces];

		if (from->ifindex == 0)
			continue;
		memcpy(to->name, from->name, sizeof(to->name));
		memcpy(to->mac, from->mac, sizeof(to->mac));
		to->ifindex = from->ifindex;
		vrids_set(in->config, to);
		ret->n_interfaces++;
	}
}

int desired_build(const struct inputs *in, struct table_cache *cache, struct desired *ret_desired)
{
	const struct config *config = in->config;
	struct desired d = {
		.config = config,
		.settings = {.slots = config->slots,
			     .flow_limit = config->flow_limit,
			     .features = mode_features(config),
			     .vip_policy = mode_vip_policy(config),
			     .nat_port_first = config->nat_port_first,
			     .nat_port_last = config->nat_port_last,
			     .key_print = in->key_print},
		.backends =
			calloc(config->n_backends ? config->n_backends : 1, sizeof(*d.backends)),
		.pools = calloc(config->n_pools ? config->n_pools : 1, sizeof(*d.pools)),
		.ambiguous = calloc(config->n_services ? config->n_services : 1, 1)};
	int r = d.backends && d.pools && d.ambiguous ? 0 : -ENOMEM;

	if (r == 0)
		r = returns_ambiguous(config, d.ambiguous);

	memcpy(d.settings.hash_key, in->hash_key, sizeof(d.settings.hash_key));
	if (in->held)
		d.settings = *in->held;
	desired_interfaces_init(in, &d);
	if (r == 0)
		r = desired_backends_init(in, d.backends);
	if (r == 0)
		r = probe_list_init(config, in->interfaces, &d.probes);
	cache_trim(cache, config);
	for (uint32_t i = 0; r == 0 && i < config->n_pools; i++)
		r = desired_pool_init(in, cache, d.settings.slots, d.backends, i, &d.pools[i]);
	if (r < 0) {
		desired_fini(&d);
		return r;
	}
	*ret_desired = d;
	return 0;
}

void desired_fini(struct desired *d)
{
	free(d->backends);
	free(d->pools);
	free(d->ambiguous);
	probe_list_fini(&d->probes);
	explicit_bzero(&d->settings, sizeof(d->settings));
	*d = (struct desired){0};
}
