/* SPDX-License-Identifier: BSD-2-Clause */
/* engine.c: see engine.h. The set of backends; what one of them does is in backend.c and check.c.
 */
#include "healthcheck/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "healthcheck/backend.h"
#include "healthcheck/schedule.h"
#include "healthcheck/tls_cache.h"

struct engine {
	struct asker asker;
	struct tls_cache *tls;
	uint32_t phase_start;
	struct vias *vias; /* asker.vias; NULL: nobody is probed through a VIP */
	bool via_forbidden;
	uint32_t n;
	struct backend **backends; /* sorted by pool and name */
};

/* ---- by name ---- */

static int backend_compare_names(const struct backend *b, const char *pool, const char *name)
{
	int r = strcmp(b->told.pool, pool);

	return r ? r : strcmp(b->told.backend, name);
}

static int backend_compare(const void *a, const void *b)
{
	const struct backend *x = *(struct backend *const *)a, *y = *(struct backend *const *)b;

	return backend_compare_names(x, y->told.pool, y->told.backend);
}

static struct backend *backend_find(const struct engine *e, const char *pool, const char *name)
{
	uint32_t low = 0, high = e->n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int r = backend_compare_names(e->backends[middle], pool, name);

		if (r == 0)
			return e->backends[middle];
		if (r < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* ---- a configuration ---- */

/* The TLS contexts of each pool's probe and agent; NULL: no TLS. */
struct contexts {
	SSL_CTX *probe, *agent;
};

static void contexts_free(struct contexts *contexts, uint32_t n)
{
	for (uint32_t i = 0; contexts && i < n; i++) {
		SSL_CTX_free(contexts[i].probe);
		SSL_CTX_free(contexts[i].agent);
	}
	free(contexts);
}

static int context_get(struct engine *e, const struct config *config,
		       const struct config_pool *pool, const struct config_probe *probe,
		       SSL_CTX **ret_context)
{
	int r = 0;

	if (probe->tls != TLS_NONE)
		r = tls_cache_get(e->tls, config, &probe->certificate, ret_context);
	if (r == -EINVAL)
		log_err("certificate or key not usable: pool=%s probe=%s", pool->name, probe->type);
	return r;
}

static int contexts_make(struct engine *e, const struct config *config,
			 struct contexts **ret_contexts)
{
	struct contexts *contexts = calloc(config->n_pools + 1, sizeof(*contexts));
	int r = contexts ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < config->n_pools && r == 0; i++) {
		const struct config_pool *pool = config_pool(config, i);

		r = context_get(e, config, pool, &pool->probe, &contexts[i].probe);
		if (r == 0)
			r = context_get(e, config, pool, &pool->agent, &contexts[i].agent);
	}
	if (r < 0) {
		contexts_free(contexts, config->n_pools);
		return r;
	}
	*ret_contexts = contexts;
	return 0;
}

static struct questions questions_of(const struct config *config, const struct contexts *contexts,
				     uint32_t i)
{
	const struct config_backend *backend = config_backend(config, i);
	const struct config_pool *pool = config_pool(config, backend->pool);

	return (struct questions){
		.probe = {.pool = pool,
			  .backend = backend,
			  .probe = &pool->probe,
			  .tls = contexts[backend->pool].probe},
		.agent = {.pool = pool,
			  .backend = backend,
			  .probe = &pool->agent,
			  .tls = contexts[backend->pool].agent},
	};
}

/* backends_choose: for each backend of @config the one that we have, marked, or a new one. */
static int backends_choose(struct engine *e, const struct config *config,
			   const struct contexts *contexts, struct backend **chosen)
{
	for (uint32_t i = 0; i < config->n_backends; i++) {
		const struct questions q = questions_of(config, contexts, i);
		struct backend *b = backend_find(e, q.probe.pool->name, q.probe.backend->name);

		if (b && backend_same(b, &q)) {
			b->kept = true;
			chosen[i] = b;
			continue;
		}
		chosen[i] = backend_new(&e->asker, &q);
		if (!chosen[i])
			return -ENOMEM;
	}
	return 0;
}

/* After a failed backends_choose(): as if nothing had been. */
static void backends_forgo(struct backend **chosen, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (chosen[i] && chosen[i]->kept)
			chosen[i]->kept = false;
		else
			backend_free(chosen[i]);
	}
}

/* Those that were chosen are the ones that we have. */
static void backends_take(struct engine *e, const struct config *config,
			  const struct contexts *contexts, struct backend **chosen)
{
	for (uint32_t i = 0; i < e->n; i++) {
		if (!e->backends[i]->kept)
			backend_free(e->backends[i]);
	}
	free(e->backends);
	e->backends = chosen;
	e->n = config->n_backends;
	for (uint32_t i = 0; i < e->n; i++) {
		const struct questions q = questions_of(config, contexts, i);

		backend_begin(chosen[i], &q, schedule_phase(e->phase_start, i));
	}
	qsort(chosen, e->n, sizeof(struct backend *), backend_compare);
}

int engine_configure(struct engine *e, const struct config *config)
{
	struct backend **chosen = calloc(config->n_backends + 1, sizeof(struct backend *));
	struct contexts *contexts = NULL;
	struct vias *vias = NULL;
	int r = chosen ? contexts_make(e, config, &contexts) : -ENOMEM;

	if (r == 0)
		r = backends_choose(e, config, contexts, chosen);
	if (r == 0 && !e->via_forbidden)
		r = vias_new(config, &vias);
	if (r < 0) {
		if (chosen)
			backends_forgo(chosen, config->n_backends);
		free(chosen);
		contexts_free(contexts, config->n_pools);
		return r;
	}
	vias_free(e->vias);
	e->asker.vias = e->vias = vias;
	backends_take(e, config, contexts, chosen);
	contexts_free(contexts, config->n_pools);
	tls_cache_sweep(e->tls);
	for (uint32_t i = 0; i < e->n; i++)
		backend_tell(e->backends[i]);
	return 0;
}

/* ---- messages ---- */

void engine_seed(struct engine *e, const struct message_health *m)
{
	struct backend *b = backend_find(e, m->pool, m->backend);

	if (b)
		backend_seed(b, m);
}

void engine_suspect(struct engine *e, const struct message_suspect *m)
{
	struct backend *b = backend_find(e, m->pool, m->backend);

	if (b)
		backend_suspect(b, m);
}

void engine_probe(struct engine *e, const struct message_probe *m)
{
	struct backend *b = backend_find(e, m->pool, m->backend);

	if (!b)
		check_answer(&e->asker, m->request, 0, 0, "there is no such backend");
	else if (!b->probe.ops)
		check_answer(&e->asker, m->request, 1, 0, "this pool's backends are not probed");
	else
		check_ask(&b->probe, m);
}

/* ---- the beginning and the end ---- */

struct engine *engine_new(struct event_base *loop, struct tls_cache *tls,
			  const struct engine_hooks *hooks, uint32_t most_running,
			  uint32_t phase_start)
{
	struct engine *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	*e = (struct engine){
		.asker = {.loop = loop,
			  .wheel = wheel_new(loop),
			  .hooks = *hooks,
			  .most_running = most_running},
		.tls = tls,
		.phase_start = phase_start,
	};
	if (!e->asker.wheel) {
		free(e);
		return NULL;
	}
	return e;
}

void engine_via_forbid(struct engine *e)
{
	e->via_forbidden = true;
}

void engine_free(struct engine *e)
{
	if (!e)
		return;
	for (uint32_t i = 0; i < e->n; i++)
		backend_free(e->backends[i]);
	free(e->backends);
	vias_free(e->vias);
	wheel_free(e->asker.wheel);
	free(e);
}
