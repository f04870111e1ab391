/* SPDX-License-Identifier: BSD-2-Clause */
/* share.h: who of a pool takes new connections, and how large a share: what the options of the pool
 * make of its backends' own fates (backends that are backups, min_backends, max_connections,
 * slow_start). Pure. The backends of a pool are arrays: @conf and @in are of its first one;
 * @backends are config->n_backends, and pool @i is one of the configuration.
 */
#ifndef SLUICE_LB_SHARE_H
#define SLUICE_LB_SHARE_H

#include "lb/desired.h"

/* Whom a pool uses. */
enum pool_use {
	USE_ORDINARY, /* those that are no backups */
	USE_OVERFLOW, /* all of these are full: the backups as well */
	USE_BACKUPS,  /* fewer than min_backends, or none: the backups as well */
	USE_ALL,      /* fewer than min_backends: all, whatever their probes say */
	USE_NOBODY,   /* fewer than min_backends: nobody takes new ones */
	/* Fewer than panic_threshold pass their probes, which are more likely wrong than so many
	 * servers are: those that are no backups, whatever their probes say. Comes before
	 * min_backends, which believes the probes; but not where nobody passes and a backup does,
	 * here or in the backup_pool.
	 */
	USE_PANIC,
};

#define POOL_USE_NAMES                                                                             \
	{                                                                                          \
		"ordinary", "overflow", "backups", "all", "nobody", "panic"                        \
	}

/* pool_fates: of each backend of the pool. @ret_fates: pool->n_backends of them, or NULL. */
enum pool_use pool_fates(const struct config *config, const struct lb_backend *backends, uint32_t i,
			 struct fate *ret_fates);

/* pool_health: of the backends that are no backups, have a result, and are not disabled: *ret_n,
 * and how many of these do not fail their probes. Of those that are down, whom the operator drained
 * or the agent took out is not counted.
 */
uint32_t pool_health(const struct config_pool *pool, const struct config_backend *conf,
		     const struct lb_backend *in, uint32_t *ret_n);

/* pool_takes_new: does anybody of it take new connections? */
bool pool_takes_new(const struct config *config, const struct lb_backend *backends, uint32_t i);

/* pool_serving: the pool that serves the services of pool @i of the configuration: itself; or its
 * backup_pool, while nobody of its own takes new connections and somebody there does.
 */
uint32_t pool_serving(const struct config *config, const struct lb_backend *backends, uint32_t i);

/* backend_share: 1 .. SHARE_ALL; of a backend that takes new connections: less in a slow start, and
 * where its answers are slow or its agent wants less (message_health.weight).
 */
uint16_t backend_share(const struct lb_backend *in);

/* pool_starts: begin and go on with slow starts: sets usable_ms, start_ms and withheld_start. A
 * backend starts slowly when it becomes usable while another was usable for that long already:
 * otherwise everybody is new, and the first one would get all.
 * @served: connections may have come before now
 * @ret_starting: is a start under way?
 * Did a share change?
 */
bool pool_starts(const struct config_pool *pool, const struct config_backend *conf,
		 struct lb_backend *backends, uint64_t now_ms, bool served, bool *ret_starting);

/* limit_reached: is a backend full? Once it is, it has room again below 95 % of the limit.
 * @limit: 0 = none
 */
bool limit_reached(bool full, uint64_t live, uint32_t limit);

#endif
