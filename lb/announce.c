/* SPDX-License-Identifier: BSD-2-Clause */
/* announce.c: see announce.h. */
#include "lb/announce.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lb/share.h"

static bool pool_serves(const struct config_pool *pool, const struct lb_backend *backends)
{
	for (uint32_t i = pool->first_backend; i < pool->first_backend + pool->n_backends; i++) {
		const struct lb_backend *b = &backends[i];

		if (b->takes_new || (b->alive && backend_health(pool, b) != HEALTH_DOWN))
			return true;
	}
	return false;
}

static bool pool_or_backup_serves(const struct config *config, const struct lb_backend *backends,
				  uint32_t pool)
{
	return pool_serves(config_pool(config, pool), backends) ||
	       pool_serves(config_pool(config, pool_serving(config, backends, pool)), backends);
}

enum announce_where announce_where(const struct config *config, const struct lb_instance *instances,
				   const struct addr *vip)
{
	for (uint32_t i = 0; i < config->n_instances; i++) {
		const struct config_instance *instance = config_instance(config, i);

		for (uint32_t k = 0; k < instance->n_addresses; k++) {
			if (memcmp(&instance->addresses[k].addr, vip, sizeof(*vip)) == 0)
				return instances[i].vrrp.role == VRRP_ACTIVE ? WHERE_HERE
									     : WHERE_ELSEWHERE;
		}
	}
	return WHERE_ANY;
}

/* What VRRP has here no other node announces: a drain cannot mean it. */
static enum announce_why node_why(const struct announce_node *node, enum announce_where where)
{
	if (node->drained && where != WHERE_HERE)
		return WHY_DRAINED;
	if (node->detached)
		return WHY_DETACHED;
	if (!node->served)
		return WHY_UNREADY;
	return node->attached ? ANNOUNCED : WHY_BARE;
}

struct row {
	struct announce_vip vip;
	bool serves;
};

static int row_compare(const void *a, const void *b)
{
	return memcmp(&((const struct row *)a)->vip.addr, &((const struct row *)b)->vip.addr,
		      sizeof(struct addr));
}

static bool *pools_serve(const struct config *config, const struct lb_backend *backends)
{
	bool *serve = calloc(config->n_pools + 1, sizeof(*serve));

	for (uint32_t i = 0; serve && i < config->n_pools; i++)
		serve[i] = pool_or_backup_serves(config, backends, i);
	return serve;
}

int announce_wanted(const struct config *config, const struct lb_backend *backends,
		    const struct lb_instance *instances, const struct announce_node *node,
		    struct announce_vip **ret_vips, uint32_t *ret_n)
{
	struct row *rows = calloc(config->n_services + 1, sizeof(*rows));
	struct announce_vip *vips = calloc(config->n_services + 1, sizeof(*vips));
	bool *serve = pools_serve(config, backends), all = config->announce.when == ANNOUNCE_ALL;
	uint32_t n = 0;

	if (!rows || !vips || !serve) {
		free(rows);
		free(vips);
		free(serve);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < config->n_services; i++) {
		const struct config_service *service = config_service(config, i);

		rows[i] = (struct row){{.addr = service->vip}, serve[service->pool]};
	}
	qsort(rows, config->n_services, sizeof(*rows), row_compare);
	for (uint32_t i = 0, next; i < config->n_services; i = next) {
		enum announce_where where = announce_where(config, instances, &rows[i].vip.addr);
		bool serves = rows[i].serves;

		for (next = i + 1; next < config->n_services && !row_compare(&rows[i], &rows[next]);
		     next++)
			serves = all ? serves && rows[next].serves : serves || rows[next].serves;
		vips[n] = rows[i].vip;
		vips[n].why = node_why(node, where);
		if (vips[n].why == ANNOUNCED && where == WHERE_ELSEWHERE)
			vips[n].why = WHY_BACKUP;
		if (vips[n].why == ANNOUNCED && !serves)
			vips[n].why = WHY_DEAD;
		n++;
	}
	free(rows);
	free(serve);
	*ret_vips = vips;
	*ret_n = n;
	return 0;
}
