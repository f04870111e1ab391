/* SPDX-License-Identifier: BSD-2-Clause */
/* watch.c: see watch.h. */
#include "programs/watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the set of backends ---- */

static int name_compare(const struct watched *b, const char *pool, const char *backend)
{
	int r = strcmp(b->pool, pool);

	return r ? r : strcmp(b->backend, backend);
}

static int watched_compare(const void *a, const void *b)
{
	const struct watched *x = *(struct watched *const *)a, *y = *(struct watched *const *)b;

	return name_compare(x, y->pool, y->backend);
}

struct watched *watch_find(const struct watch *w, const char *pool, const char *backend)
{
	uint32_t low = 0, high = w->n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int r = name_compare(w->all[middle], pool, backend);

		if (r == 0)
			return w->all[middle];
		if (r < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static struct watched *watched_new(const struct config_pool *pool,
				   const struct config_backend *backend)
{
	struct watched *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	memcpy(b->pool, pool->name, sizeof(b->pool));
	memcpy(b->backend, backend->name, sizeof(b->backend));
	return b;
}

/* all_choose: for each backend of @config the one that we have, marked, or a new one. */
static int all_choose(struct watch *w, const struct config *config, struct watched **chosen)
{
	for (uint32_t i = 0; i < config->n_backends; i++) {
		const struct config_backend *conf = config_backend(config, i);
		const struct config_pool *pool = config_pool(config, conf->pool);

		chosen[i] = watch_find(w, pool->name, conf->name);
		if (chosen[i])
			chosen[i]->kept = true;
		else
			chosen[i] = watched_new(pool, conf);
		if (!chosen[i])
			return -ENOMEM;
	}
	return 0;
}

/* all_forgo: after a failed all_choose(), as if nothing had been. */
static void all_forgo(struct watched **chosen, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (chosen[i] && chosen[i]->kept)
			chosen[i]->kept = false;
		else
			free(chosen[i]);
	}
}

static enum vrrp_role *roles_new(const struct watch *w, const struct config *config)
{
	enum vrrp_role *roles = calloc(config->n_instances + 1, sizeof(*roles));

	for (uint32_t i = 0; roles && w->config && i < config->n_instances; i++) {
		for (uint32_t k = 0; k < w->config->n_instances; k++) {
			if (strcmp(config_instance(config, i)->name,
				   config_instance(w->config, k)->name) == 0)
				roles[i] = w->roles[k];
		}
	}
	return roles;
}

int watch_configure(struct watch *w, const struct config *config,
		    void (*gone)(void *owner, struct watched *b), void *owner)
{
	struct watched **chosen = calloc(config->n_backends + 1, sizeof(*chosen));
	enum vrrp_role *roles = roles_new(w, config);

	if (!chosen || !roles || all_choose(w, config, chosen) < 0) {
		if (chosen)
			all_forgo(chosen, config->n_backends);
		free(chosen);
		free(roles);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < w->n; i++) {
		if (!w->all[i]->kept) {
			gone(owner, w->all[i]);
			free(w->all[i]);
		}
	}
	for (uint32_t i = 0; i < config->n_backends; i++) {
		chosen[i]->kept = false;
		chosen[i]->conf = config_backend(config, i);
		chosen[i]->pool_conf = config_pool(config, chosen[i]->conf->pool);
	}
	qsort(chosen, config->n_backends, sizeof(*chosen), watched_compare);
	free(w->all);
	free(w->roles);
	w->all = chosen;
	w->n = config->n_backends;
	w->roles = roles;
	w->config = config;
	return 0;
}

void watch_fini(struct watch *w, void (*gone)(void *owner, struct watched *b), void *owner)
{
	for (uint32_t i = 0; i < w->n; i++) {
		gone(owner, w->all[i]);
		free(w->all[i]);
	}
	free(w->all);
	free(w->roles);
	*w = (struct watch){0};
}

void watch_briefed(struct watch *w)
{
	w->briefed = true;
}

bool watch_active(const struct watch *w)
{
	if (!w->config || w->config->n_instances == 0)
		return true;
	for (uint32_t i = 0; i < w->config->n_instances; i++) {
		if (w->roles[i] == VRRP_ACTIVE)
			return true;
	}
	return false;
}

/* ---- what is news ---- */

static void sick_update(struct watched *b, const struct message_health *m)
{
	const struct said *probe = &m->said[SAYER_PROBE];
	bool spoke = probe->health != HEALTH_UNKNOWN;

	b->sick = (spoke ? probe->health == HEALTH_DOWN : m->health == HEALTH_DOWN) &&
		  m->said[SAYER_AGENT].health != HEALTH_DOWN;
	b->sick_since_s = spoke ? probe->since_s : m->since_s;
}

bool watch_health(struct watch *w, const struct message_health *m, struct change *ret_change)
{
	static const char *const names[] = HEALTH_NAMES;
	struct watched *b = watch_find(w, m->pool, m->backend);
	enum health before;

	if (!b || m->health > HEALTH_LEAVING)
		return false;
	before = b->health;
	b->health = (enum health)m->health;
	memcpy(b->text, m->text, sizeof(b->text));
	sick_update(b, m);
	if (!w->briefed || before == b->health ||
	    (before == HEALTH_UNKNOWN && b->health == HEALTH_UP))
		return false;
	*ret_change = (struct change){.event = CHANGE_BACKEND,
				      .addr = b->conf->addr,
				      .port = b->conf->port,
				      .active = watch_active(w),
				      .since_s = m->since_s};
	memcpy(ret_change->pool, b->pool, sizeof(ret_change->pool));
	memcpy(ret_change->name, b->backend, sizeof(ret_change->name));
	snprintf(ret_change->from, sizeof(ret_change->from), "%s", names[before]);
	snprintf(ret_change->to, sizeof(ret_change->to), "%s", names[b->health]);
	snprintf(ret_change->by, sizeof(ret_change->by), "%s", change_by(m));
	snprintf(ret_change->reason, sizeof(ret_change->reason), "%s", m->text);
	return true;
}

bool watch_vrrp(struct watch *w, const struct message_vrrp *m, struct change *ret_change)
{
	static const char *const names[] = VRRP_ROLE_NAMES;
	uint32_t n = w->config ? w->config->n_instances : 0, i = 0;
	enum vrrp_role before;

	while (i < n && strcmp(config_instance(w->config, i)->name, m->instance) != 0)
		i++;
	if (i == n || m->role > VRRP_ACTIVE)
		return false;
	before = w->roles[i];
	w->roles[i] = (enum vrrp_role)m->role;
	if (!w->briefed || before == w->roles[i])
		return false;
	*ret_change = (struct change){.event = CHANGE_VRRP,
				      .active = watch_active(w),
				      .priority = m->priority,
				      .since_s = m->since_s};
	memcpy(ret_change->name, config_instance(w->config, i)->name, sizeof(ret_change->name));
	snprintf(ret_change->from, sizeof(ret_change->from), "%s", names[before]);
	snprintf(ret_change->to, sizeof(ret_change->to), "%s", names[w->roles[i]]);
	snprintf(ret_change->reason, sizeof(ret_change->reason), "%s", m->reason);
	return true;
}
