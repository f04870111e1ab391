/* SPDX-License-Identifier: BSD-2-Clause */
/* config_backup.c: pools that others are named by: "pool" of a service, "backup_pool" of a pool.
 *
 * A pool's backup serves its services as they are, so it has the same mode; and it has no backup of
 * its own: so there are no rings, and a pool's services are served by one of two pools.
 */
#include <string.h>

#include "base/config_build.h"

int pool_named(struct builder *b, const config_setting_t *s, const char *key)
{
	const char *names[CONFIG_POOLS + 1] = {NULL};
	char name[NAME_SIZE];
	const char *meant;

	if (!get_name(&b->reader, s, key, name))
		return -1;
	for (uint32_t i = 0; i < b->n_pools; i++) {
		names[i] = b->pools[i].value.name;
		if (strcmp(names[i], name) == 0)
			return (int)i;
	}
	meant = nearest(name, names);
	if (meant)
		mistake(&b->reader, config_setting_get_member(s, key),
			"pool \"%s\" is not there; did you mean \"%s\"?", name, meant);
	else
		mistake(&b->reader, config_setting_get_member(s, key),
			"pool \"%s\" is not there; expected: the name of one of \"pools\"", name);
	return -1;
}

static void backup_check(struct builder *b, const struct built_pool *pool,
			 const struct built_pool *backup)
{
	static const char *const modes[] = CONFIG_MODE_NAMES;
	const config_setting_t *at = config_setting_get_member(pool->setting, "backup_pool");
	const char *name = pool->value.name, *other = backup->value.name;

	if (pool == backup)
		mistake(&b->reader, at,
			"pool \"%s\" is its own backup; expected: another pool's name", name);
	else if (config_setting_get_member(backup->setting, "backup_pool"))
		mistake(&b->reader, at,
			"pool \"%s\": its backup \"%s\" has a \"backup_pool\", too; expected: a pool without one",
			name, other);
	else if (!pool->mode_unread && !backup->mode_unread &&
		 pool->value.mode != backup->value.mode)
		mistake(&b->reader, at,
			"pool \"%s\" has mode %s and its backup \"%s\" mode %s; expected: the same",
			name, modes[pool->value.mode], other, modes[backup->value.mode]);
}

void build_backup_pools(struct builder *b)
{
	for (uint32_t i = 0; i < b->n_pools; i++) {
		struct built_pool *pool = &b->pools[i];
		int backup;

		if (!config_setting_get_member(pool->setting, "backup_pool"))
			continue;
		backup = pool_named(b, pool->setting, "backup_pool");
		if (backup < 0)
			continue;
		backup_check(b, pool, &b->pools[backup]);
		pool->value.backup_pool = backup;
		b->pools[backup].used = b->pools[backup].used || pool->used;
	}
}
