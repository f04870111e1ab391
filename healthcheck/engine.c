/* SPDX-License-Identifier: BSD-2-Clause */
/* engine.c: see engine.h.
 *
 * A backend is idle (its timer runs), or in a conversation (`runner`): its own, or the operator's
 * (`asked`, when `asked_running`). An operator's that comes while the backend's own is on waits for
 * its end, and the other way round.
 */
#include "healthcheck/engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "healthcheck/judge.h"
#include "healthcheck/runner.h"
#include "healthcheck/schedule.h"

enum {
	BUSY_MS = 100,	   /* until a probe that could not begin is tried again */
	UNABLE_MS = 60000, /* between two complaints that we cannot ask */
};

struct backend {
	struct engine *engine;
	const struct config_pool *pool;
	const struct config_backend *conf;
	const struct probe_ops *ops; /* NULL: not probed, counts as up */
	struct judge judge;
	struct message_health told; /* last; or from the seed */
	uint32_t phase;
	uint64_t started_ms;
	struct event *timer;
	struct runner *runner;
	struct message_probe *asked;
	bool asked_running;
	struct via via; /* of the conversation */
	struct via_turn turn;
	bool kept; /* while engine_configure() works */
};

struct engine {
	struct event_base *loop;
	SSL_CTX *tls;
	struct engine_hooks hooks;
	uint32_t most_running, running;
	uint32_t phase_start;
	uint64_t complained_ms;
	struct vias *vias; /* NULL: nobody is probed through a VIP */
	bool via_forbidden;
	uint32_t n;
	struct backend **backends; /* sorted by pool and name */
};

/* ---- what is told ---- */

static void backend_tell(struct backend *b)
{
	b->engine->hooks.health(b->engine->hooks.owner, &b->told);
}

static void told_fill(struct backend *b, const struct verdict *v, uint32_t took_ms,
		      const struct judgement *judgement)
{
	b->told = (struct message_health){
		.health = b->judge.health,
		.weight = 100,
		.tls_days = TLS_DAYS_UNKNOWN,
		.code = v->code,
		.took_ms = took_ms,
		.agreeing = judgement->agreeing,
		.needed = judgement->needed,
		.since_s = time(NULL),
	};
	snprintf(b->told.pool, sizeof(b->told.pool), "%s", b->pool->name);
	snprintf(b->told.backend, sizeof(b->told.backend), "%s", b->conf->name);
	snprintf(b->told.verdict, sizeof(b->told.verdict), "%s", verdict_name(v->word));
	snprintf(b->told.text, sizeof(b->told.text), "%s", v->text);
}

/* The one line about a change: why, in the server's own words. */
static void change_log(const struct backend *b)
{
	static const char *const names[] = HEALTH_NAMES;
	const struct message_health *m = &b->told;
	char text[2 * VERDICT_TEXT];

	log_notice("backend %s %s: pool=%s probe=%s verdict=%s code=%d text=%s %s=%u/%u took_ms=%u",
		   m->backend, names[m->health], m->pool, b->pool->probe.type, m->verdict, m->code,
		   log_quote(m->text, strlen(m->text), text, sizeof(text)),
		   m->health == HEALTH_UP ? "passed" : "failed", m->agreeing, m->needed,
		   m->took_ms);
}

/* Not probed: up, and that at once. */
static void backend_assume(struct backend *b)
{
	struct verdict v = {.word = VERDICT_PASS,
			    .text = "not probed",
			    .weight = WEIGHT_UNSAID,
			    .tls_days = TLS_DAYS_UNKNOWN};
	struct judgement judgement = {.agreeing = 1, .needed = 1};

	b->judge.health = HEALTH_UP;
	told_fill(b, &v, 0, &judgement);
}

static void complain(struct engine *e, const struct backend *b, const char *why)
{
	uint64_t now_ms = clock_ms();

	if (e->complained_ms && now_ms - e->complained_ms < UNABLE_MS)
		return;
	e->complained_ms = now_ms;
	log_err("probe not made, health stays: pool=%s backend=%s error=\"%s\"", b->pool->name,
		b->conf->name, why);
}

/* ---- the operator's probe ---- */

static void answer(struct engine *e, uint32_t request, uint32_t passed, uint32_t at_ms,
		   const char *text)
{
	struct message_dialogue m = {
		.request = request, .last = 1, .passed = passed, .at_ms = at_ms};

	snprintf(m.text, sizeof(m.text), "%s", text);
	e->hooks.dialogue(e->hooks.owner, &m);
}

static void asked_line(void *owner, uint32_t at_ms, const char *text)
{
	struct backend *b = owner;
	struct message_dialogue m = {.request = b->asked->request, .at_ms = at_ms};

	snprintf(m.text, sizeof(m.text), "%s", text);
	b->engine->hooks.dialogue(b->engine->hooks.owner, &m);
}

static void asked_end(struct backend *b, uint32_t passed, uint32_t at_ms, const char *text)
{
	struct message_probe *asked = b->asked;

	b->asked = NULL;
	b->asked_running = false;
	answer(b->engine, asked->request, passed, at_ms, text);
	free(asked);
}

/* ---- conversations ---- */

static void conversation_end(struct backend *b)
{
	runner_free(b->runner);
	b->runner = NULL;
	b->engine->running--;
}

static int conversation_begin(struct backend *b, runner_done_fn *done, dialogue_line_fn *line)
{
	const struct config_probe *probe = &b->pool->probe;
	uint16_t port = probe->port ? probe->port : b->conf->port;
	struct runner_request request = {
		.loop = b->engine->loop,
		.tls = b->engine->tls,
		.ops = b->ops,
		.probe = probe,
		.addr = b->conf->addr,
		.port = port,
		.done = done,
		.line = line,
		.owner = b,
	};
	int r;

	if (b->engine->running >= b->engine->most_running)
		return -EBUSY;
	request.via = b->via = via_next(b->engine->vias, b->conf, port, &b->turn);
	r = runner_new(&request, &b->runner);
	if (r == 0)
		b->engine->running++;
	return r;
}

/* What the runner said, and through which VIP. */
static struct verdict verdict_via(struct backend *b, const struct verdict *said)
{
	struct verdict v = *said;

	via_turn_end(&b->turn, v.word);
	via_tell(&b->via, &v);
	return v;
}

static void on_asked_done(void *owner, const struct verdict *said, uint32_t took_ms)
{
	struct backend *b = owner;
	struct verdict told = verdict_via(b, said), *v = &told;
	bool passed = v->word == VERDICT_PASS;
	char text[MESSAGE_LINE], code[16] = "";

	conversation_end(b);
	if (v->code)
		snprintf(code, sizeof(code), "%d ", v->code);
	snprintf(text, sizeof(text), "%s%s%s%s", passed ? "" : verdict_name(v->word),
		 passed ? "" : ": ", code, v->text);
	asked_end(b, passed, took_ms, text);
}

static void asked_begin(struct backend *b)
{
	int r = conversation_begin(b, on_asked_done, asked_line);

	b->asked_running = r == 0;
	if (r < 0)
		asked_end(b, 0, 0, r == -EBUSY ? "too many probes at once" : strerror(-r));
}

static void timer_set(struct backend *b, uint64_t at_ms)
{
	uint64_t now_ms = clock_ms();
	uint64_t wait_ms = at_ms > now_ms ? at_ms - now_ms : 0;

	event_add(b->timer, &(struct timeval){.tv_sec = (time_t)(wait_ms / 1000),
					      .tv_usec = (suseconds_t)(wait_ms % 1000 * 1000)});
}

static void timer_set_next(struct backend *b)
{
	timer_set(b,
		  schedule_next(clock_ms(), b->started_ms, b->phase, b->pool->probe.interval_ms));
}

static void on_done(void *owner, const struct verdict *said, uint32_t took_ms)
{
	struct backend *b = owner;
	struct verdict told = verdict_via(b, said), *v = &told;
	const struct config_probe *probe = &b->pool->probe;
	struct judgement judgement = judge_verdict(&b->judge, probe->rise, probe->fall, v->word);

	conversation_end(b);
	timer_set_next(b);
	log_debug("probed: pool=%s backend=%s verdict=%s code=%d text=\"%s\" took_ms=%u",
		  b->pool->name, b->conf->name, verdict_name(v->word), v->code, v->text, took_ms);
	if (v->word == VERDICT_UNABLE)
		complain(b->engine, b, v->text);
	if (judgement.changed) {
		told_fill(b, v, took_ms, &judgement);
		change_log(b);
		backend_tell(b);
	}
	if (b->asked)
		asked_begin(b);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct backend *b = arg;
	int r;

	(void)fd;
	(void)what;
	if (b->runner) { /* the operator's */
		timer_set(b, clock_ms() + BUSY_MS);
		return;
	}
	r = conversation_begin(b, on_done, NULL);
	if (r < 0) {
		complain(b->engine, b, r == -EBUSY ? "too many at once" : strerror(-r));
		timer_set(b, clock_ms() + BUSY_MS);
		return;
	}
	b->started_ms = clock_ms();
}

/* ---- the set of backends ---- */

static int backend_compare_names(const struct backend *b, const char *pool, const char *name)
{
	int r = strcmp(b->pool->name, pool);

	return r ? r : strcmp(b->conf->name, name);
}

static int backend_compare(const void *a, const void *b)
{
	const struct backend *x = *(struct backend *const *)a, *y = *(struct backend *const *)b;

	return backend_compare_names(x, y->pool->name, y->conf->name);
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

static void backend_free(struct backend *b)
{
	if (!b)
		return;
	if (b->runner)
		conversation_end(b);
	if (b->asked)
		asked_end(b, 0, 0, "the configuration has changed; try again");
	if (b->timer)
		event_free(b->timer);
	free(b);
}

static struct backend *backend_new(struct engine *e, const struct config_pool *pool,
				   const struct config_backend *conf)
{
	struct backend *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	*b = (struct backend){
		.engine = e, .pool = pool, .conf = conf, .ops = probe_find(pool->probe.type)};
	b->timer = evtimer_new(e->loop, on_timer, b);
	if (!b->timer) {
		backend_free(b);
		return NULL;
	}
	return b;
}

/* Is it asked the same question? */
static bool backend_same(const struct backend *b, const struct config_pool *pool,
			 const struct config_backend *conf)
{
	const struct config_probe *x = &b->pool->probe, *y = &pool->probe;

	return memcmp(&b->conf->addr, &conf->addr, sizeof(conf->addr)) == 0 &&
	       (x->port ? x->port : b->conf->port) == (y->port ? y->port : conf->port) &&
	       strcmp(x->type, y->type) == 0 && x->tls == y->tls && x->via == y->via &&
	       memcmp(x->conf, y->conf, sizeof(x->conf)) == 0;
}

/* backends_choose: for each backend of @config the one that we have, marked, or a new one. */
static int backends_choose(struct engine *e, const struct config *config, struct backend **chosen)
{
	for (uint32_t i = 0; i < config->n_backends; i++) {
		const struct config_backend *conf = config_backend(config, i);
		const struct config_pool *pool = config_pool(config, conf->pool);
		struct backend *b = backend_find(e, pool->name, conf->name);

		if (b && backend_same(b, pool, conf)) {
			b->kept = true;
			chosen[i] = b;
			continue;
		}
		chosen[i] = backend_new(e, pool, conf);
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

/* backend_take_over: chosen for a configuration, it begins, or goes on with what may be new. */
static void backend_take_over(struct backend *b, const struct config_pool *pool,
			      const struct config_backend *conf, uint32_t phase)
{
	uint32_t interval_ms = pool->probe.interval_ms;
	bool begins = !b->kept || b->pool->probe.interval_ms != interval_ms;

	b->kept = false;
	b->pool = pool;
	b->conf = conf;
	if (!b->ops) {
		if (b->judge.health == HEALTH_UNKNOWN)
			backend_assume(b);
	} else if (begins) {
		b->phase = phase;
		if (!b->runner || b->asked_running)
			timer_set(b, schedule_first(clock_ms(), phase, interval_ms));
	}
}

int engine_configure(struct engine *e, const struct config *config)
{
	struct backend **chosen = calloc(config->n_backends + 1, sizeof(struct backend *));
	struct vias *vias = NULL;
	int r = chosen ? backends_choose(e, config, chosen) : -ENOMEM;

	if (r == 0 && !e->via_forbidden)
		r = vias_new(config, &vias);
	if (r < 0) {
		backends_forgo(chosen, chosen ? config->n_backends : 0);
		free(chosen);
		return r;
	}
	vias_free(e->vias);
	e->vias = vias;
	for (uint32_t i = 0; i < e->n; i++) {
		if (!e->backends[i]->kept)
			backend_free(e->backends[i]);
	}
	free(e->backends);
	e->backends = chosen;
	e->n = config->n_backends;
	for (uint32_t i = 0; i < e->n; i++) {
		const struct config_backend *conf = config_backend(config, i);

		backend_take_over(chosen[i], config_pool(config, conf->pool), conf,
				  schedule_phase(e->phase_start, i));
	}
	qsort(chosen, e->n, sizeof(struct backend *), backend_compare);
	for (uint32_t i = 0; i < e->n; i++) {
		if (chosen[i]->judge.health != HEALTH_UNKNOWN)
			backend_tell(chosen[i]);
	}
	return 0;
}

void engine_seed(struct engine *e, const struct message_health *m)
{
	struct backend *b = backend_find(e, m->pool, m->backend);

	if (!b || b->judge.health != HEALTH_UNKNOWN || m->health > HEALTH_LEAVING)
		return;
	b->judge.health = (enum health)m->health;
	b->told = *m;
}

void engine_probe(struct engine *e, const struct message_probe *m)
{
	struct backend *b = backend_find(e, m->pool, m->backend);

	if (!b) {
		answer(e, m->request, 0, 0, "there is no such backend");
		return;
	}
	if (!b->ops) {
		answer(e, m->request, 1, 0, "this pool's backends are not probed");
		return;
	}
	if (b->asked) {
		answer(e, m->request, 0, 0, "somebody else is probing it; try again");
		return;
	}
	b->asked = malloc(sizeof(*m));
	if (!b->asked) {
		answer(e, m->request, 0, 0, "out of memory");
		return;
	}
	*b->asked = *m;
	if (!b->runner)
		asked_begin(b);
}

struct engine *engine_new(struct event_base *loop, SSL_CTX *tls, const struct engine_hooks *hooks,
			  uint32_t most_running, uint32_t phase_start)
{
	struct engine *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	*e = (struct engine){.loop = loop,
			     .tls = tls,
			     .hooks = *hooks,
			     .most_running = most_running,
			     .phase_start = phase_start};
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
	free(e);
}
