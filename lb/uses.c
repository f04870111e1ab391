/* SPDX-License-Identifier: BSD-2-Clause */
/* uses.c: see uses.h. Pools are known by their names, as they outlive a configuration. */
#include "lb/uses.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

struct told {
	char pool[NAME_SIZE];
	bool panics, on_backup;
	bool served, is_empty; /* somebody took new connections; nobody does any more */
};

struct uses {
	struct told *told;
	uint32_t n;
};

struct uses *uses_new(void)
{
	return calloc(1, sizeof(struct uses));
}

void uses_free(struct uses *u)
{
	if (!u)
		return;
	free(u->told);
	free(u);
}

/* What was told last of the pool that is number @i now. */
static struct told told_before(const struct uses *u, const char *pool, uint32_t i)
{
	if (i < u->n && strcmp(u->told[i].pool, pool) == 0)
		return u->told[i];
	for (uint32_t k = 0; k < u->n; k++) {
		if (strcmp(u->told[k].pool, pool) == 0)
			return u->told[k];
	}
	return (struct told){0};
}

static void panic_tell(const struct config_pool *pool, const struct config_backend *conf,
		       const struct lb_backend *in, bool panics)
{
	uint32_t n, good = pool_health(pool, conf, in, &n);

	if (panics)
		log_warning("pool panic: pool=%s passed=%u/%u panic_threshold=%u; its probes are "
			    "taken for wrong, and all of its backends are used",
			    pool->name, good, n, pool->panic_percent);
	else
		log_notice("pool panic over: pool=%s passed=%u/%u", pool->name, good, n);
}

static struct told pool_tell(const struct uses *u, const struct config *config,
			     const struct lb_backend *backends, uint32_t i)
{
	const struct config_pool *pool = config_pool(config, i);
	const struct config_backend *conf = config_backend(config, pool->first_backend);
	const struct lb_backend *in = backends + pool->first_backend;
	enum pool_use use = pool_fates(config, backends, i, NULL);
	struct told before = told_before(u, pool->name, i), now = {0};

	memcpy(now.pool, pool->name, sizeof(now.pool));
	now.panics = use == USE_PANIC;
	now.on_backup = pool_serving(config, backends, i) != i;
	now.served = now.on_backup || pool_takes_new(config, backends, i);
	now.is_empty = !now.served && (before.served || before.is_empty) && use != USE_OVERFLOW;
	if (now.panics != before.panics)
		panic_tell(pool, conf, in, now.panics);
	if (now.on_backup && !before.on_backup)
		log_warning("pool has nobody: pool=%s; its backup serves: pool=%s", pool->name,
			    config_pool(config, (uint32_t)pool->backup_pool)->name);
	else if (now.is_empty && !before.is_empty)
		log_warning("pool has nobody: pool=%s; it takes no new connections", pool->name);
	else if (now.served && !now.on_backup && (before.on_backup || before.is_empty))
		log_notice("pool serves itself again: pool=%s", pool->name);
	return now;
}

void uses_tell(struct uses *u, const struct config *config, const struct lb_backend *backends)
{
	struct told *now = calloc(config->n_pools + 1, sizeof(*now));

	if (!now)
		return; /* the next one tells it */
	for (uint32_t i = 0; i < config->n_pools; i++)
		now[i] = pool_tell(u, config, backends, i);
	free(u->told);
	u->told = now;
	u->n = config->n_pools;
}
