/* SPDX-License-Identifier: BSD-2-Clause */
/* scripts.c: see scripts.h. */
#include "programs/scripts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/log.h"
#include "programs/command.h"

struct script {
	TAILQ_ENTRY(script) next;
	struct scripts *scripts;
	struct message_run asked;
	uint64_t asked_ms;
	struct command *running;
};

TAILQ_HEAD(script_list, script);

struct scripts {
	struct event_base *loop;
	const char *user, *home;
	scripts_ran_fn *ran;
	void *owner;
	const struct config *config;
	struct script_list running, waiting;
	uint32_t n_running, n_waiting;
};

static void answer(struct scripts *s, const struct message_run *asked,
		   const struct command_end *end)
{
	struct message_ran m = {.request = asked->request,
				.asker = asked->asker,
				.error = end->error,
				.status = end->status};

	memcpy(m.output, end->output, sizeof(m.output));
	s->ran(s->owner, &m);
}

static void answer_error(struct scripts *s, const struct message_run *asked, int error)
{
	answer(s, asked, &(struct command_end){.error = error});
}

/* vip_of: the first service of the pool, whose address a script may want; NULL = none. */
static const struct config_service *vip_of(const struct config *config, uint32_t pool)
{
	for (uint32_t i = 0; i < config->n_services; i++) {
		if (config_service(config, i)->pool == pool)
			return config_service(config, i);
	}
	return NULL;
}

static void script_facts(const struct config *config, uint32_t pool, uint32_t backend,
			 struct facts *f)
{
	const struct config_pool *p = config_pool(config, pool);
	const struct config_backend *b = config_backend(config, backend);
	const struct config_service *vip = vip_of(config, pool);
	uint16_t port = p->probe.port ? p->probe.port : b->port;
	char address[INET6_ADDRSTRLEN];

	f->n = 0;
	facts_add(f, "event", "probe");
	facts_add(f, "node", config->node.name);
	facts_add(f, "pool", p->name);
	facts_add(f, "backend", b->name);
	facts_add(f, "address", addr_format(&b->addr, address));
	if (port)
		facts_add_number(f, "port", port);
	if (vip)
		facts_add(f, "vip", addr_format(&vip->vip, address));
	facts_add_number(f, "timeout_ms", p->probe.timeout_ms);
}

/* ---- one run ---- */

static void go_on(struct scripts *s);

static void on_done(void *owner, const struct command_end *end)
{
	struct script *script = owner;
	struct scripts *s = script->scripts;

	TAILQ_REMOVE(&s->running, script, next);
	s->n_running--;
	answer(s, &script->asked, end);
	free(script);
	go_on(s);
}

/* script_start: 0, or -errno: it is the caller's to answer. */
static int script_start(struct script *script)
{
	struct scripts *s = script->scripts;
	int pool = config_find_pool(s->config, script->asked.pool);
	int backend =
		pool < 0 ? pool
			 : config_find_backend(s->config, (uint32_t)pool, script->asked.backend);
	const struct config_probe *probe;
	struct environment environment;
	struct facts facts;

	if (backend < 0)
		return -ENOENT; /* crossed a reload */
	probe = &config_pool(s->config, (uint32_t)pool)->probe;
	if (clock_ms() - script->asked_ms >= probe->timeout_ms)
		return -EAGAIN;
	script_facts(s->config, (uint32_t)pool, (uint32_t)backend, &facts);
	environment_init(&environment, s->user, s->home);
	environment_add(&environment, &facts);
	return command_start(&(struct command_request){.loop = s->loop,
						       .words = config_probe_command(probe),
						       .environment = &environment,
						       .timeout_ms = probe->timeout_ms,
						       .done = on_done,
						       .owner = script},
			     &script->running);
}

static bool pool_full(const struct scripts *s, const char *pool)
{
	const struct script *script;
	uint32_t n = 0;

	TAILQ_FOREACH(script, &s->running, next)
	{
		n += strcmp(script->asked.pool, pool) == 0;
	}
	return n >= SCRIPTS_OF_A_POOL;
}

/* begin: it waits no longer: it runs, or is answered. */
static void begin(struct script *script)
{
	struct scripts *s = script->scripts;
	int r = script_start(script);

	TAILQ_REMOVE(&s->waiting, script, next);
	s->n_waiting--;
	if (r == 0) {
		TAILQ_INSERT_TAIL(&s->running, script, next);
		s->n_running++;
		return;
	}
	answer_error(s, &script->asked, r);
	free(script);
}

/* go_on: begin what waits, as far as there is room. */
static void go_on(struct scripts *s)
{
	const char *full = ""; /* the last pool that was found so */
	struct script *script, *after;

	for (script = TAILQ_FIRST(&s->waiting); script && s->n_running < SCRIPTS_AT_ONCE;
	     script = after) {
		after = TAILQ_NEXT(script, next);
		if (strcmp(script->asked.pool, full) == 0)
			continue;
		if (pool_full(s, script->asked.pool))
			full = script->asked.pool;
		else
			begin(script);
	}
}

void scripts_run(struct scripts *s, const struct message_run *m)
{
	struct script *script;

	if (!s->config || s->n_waiting >= SCRIPTS_WAITING) {
		answer_error(s, m, -EAGAIN);
		return;
	}
	script = malloc(sizeof(*script));
	if (!script) {
		answer_error(s, m, -ENOMEM);
		return;
	}
	*script = (struct script){.scripts = s, .asked = *m, .asked_ms = clock_ms()};
	TAILQ_INSERT_TAIL(&s->waiting, script, next);
	s->n_waiting++;
	go_on(s);
}

/* ---- life ---- */

void scripts_configure(struct scripts *s, const struct config *config)
{
	s->config = config;
}

struct scripts *scripts_new(struct event_base *loop, const char *user, const char *home,
			    scripts_ran_fn *ran, void *owner)
{
	struct scripts *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	*s = (struct scripts){.loop = loop, .user = user, .home = home, .ran = ran, .owner = owner};
	TAILQ_INIT(&s->running);
	TAILQ_INIT(&s->waiting);
	return s;
}

static void list_free(struct script_list *list)
{
	struct script *script;

	while ((script = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, script, next);
		command_free(script->running);
		free(script);
	}
}

void scripts_free(struct scripts *s)
{
	if (!s)
		return;
	list_free(&s->running);
	list_free(&s->waiting);
	free(s);
}
