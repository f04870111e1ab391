/* SPDX-License-Identifier: BSD-2-Clause */
/* healer.c: see healer.h. A run outlives its backend's removal from the configuration as little as
 * possible: healer_gone() ends it.
 */
#include "programs/healer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "programs/command.h"

struct healer {
	struct event_base *loop;
	const char *user, *home;
	struct watch *watch;
	struct event *tick;
	uint32_t n_down; /* backends that have a heal schedule */
	uint32_t n_running;
	bool stopped;
	bool news; /* for healer_report() */
};

/* What on_done needs of one run: its backend stays where it is (watch.h), or healer_gone() frees
 * the command first.
 */
struct run {
	struct healer *healer;
	struct watched *b;
};

/* ---- one run ---- */

static void on_done(void *owner, const struct command_end *end)
{
	struct run *run = owner;
	char text[256];

	log_notice("heal ended: pool=%s backend=%s error=\"%s\" status=%d output=%s took_ms=%u",
		   run->b->pool, run->b->backend, end->error ? strerror(-end->error) : "",
		   end->status,
		   log_quote(end->output, strcspn(end->output, "\r\n"), text, sizeof(text)),
		   end->took_ms);
	run->healer->n_running--;
	run->healer->news = true;
	run->b->heal_failing = end->error != 0 || end->status != 0;
	if (run->b->heal_failing)
		run->b->heals_failed++;
	else
		run->b->heals_done++;
	run->b->healing = NULL;
	run->b->healing_run = NULL;
	free(run);
}

static void heal_facts(const struct healer *h, const struct watched *b, struct facts *f)
{
	char address[INET6_ADDRSTRLEN];

	f->n = 0;
	facts_add(f, "event", "heal");
	facts_add(f, "node", h->watch->config->node.name);
	facts_add(f, "pool", b->pool);
	facts_add(f, "backend", b->backend);
	facts_add(f, "address", addr_format(&b->conf->addr, address));
	if (b->conf->port)
		facts_add_number(f, "port", b->conf->port);
	facts_add(f, "reason", b->text);
	facts_add_number(f, "since", b->sick_since_s);
	facts_add_number(f, "attempt", b->heal.runs);
}

static int run_start(struct healer *h, struct watched *b)
{
	const struct config_command *command = &b->pool_conf->heal.command;
	struct run *run = malloc(sizeof(*run));
	struct environment environment;
	struct facts facts;
	int r;

	if (!run)
		return -ENOMEM;
	*run = (struct run){.healer = h, .b = b};
	heal_facts(h, b, &facts);
	environment_init(&environment, h->user, h->home);
	environment_add(&environment, &facts);
	r = command_start(&(struct command_request){.loop = h->loop,
						    .words = command->words,
						    .environment = &environment,
						    .timeout_ms = command->timeout_ms,
						    .done = on_done,
						    .owner = run},
			  &b->healing);
	if (r < 0) {
		free(run);
		return r;
	}
	b->healing_run = run;
	b->heals_again += b->heal.runs > 1;
	h->n_running++;
	return 0;
}

/* ---- what is due ---- */

static void heal_now(struct healer *h, struct watched *b)
{
	int r;

	heal_ran(&b->heal, &b->pool_conf->heal, clock_ms());
	if (!watch_active(h->watch)) {
		log_info("heal left to the active node: pool=%s backend=%s", b->pool, b->backend);
		return;
	}
	r = run_start(h, b);
	if (r < 0)
		log_err("heal not run: pool=%s backend=%s error=%s", b->pool, b->backend,
			strerror(-r));
	else
		log_notice("heal begun: pool=%s backend=%s run=%s attempt=%u", b->pool, b->backend,
			   b->pool_conf->heal.command.words, b->heal.runs);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct healer *h = arg;
	uint64_t now_ms = clock_ms();

	(void)fd;
	(void)what;
	for (uint32_t i = 0; i < h->watch->n && !h->stopped; i++) {
		struct watched *b = h->watch->all[i];

		if (h->n_running < HEALS_AT_ONCE && !b->healing && !b->held &&
		    heal_due(&b->heal, now_ms))
			heal_now(h, b);
	}
}

static uint64_t elapsed_ms(const struct watched *b)
{
	int64_t now_s = time(NULL);

	return now_s > b->sick_since_s ? (uint64_t)(now_s - b->sick_since_s) * 1000 : 0;
}

/* The tick is there only while somebody is down. */
static void tick_set(struct healer *h)
{
	const struct timeval interval = {.tv_usec = HEAL_TICK_MS * 1000};

	if (h->n_down > 0 && !event_pending(h->tick, EV_TIMEOUT, NULL))
		event_add(h->tick, &interval);
	else if (h->n_down == 0)
		event_del(h->tick);
}

void healer_look(struct healer *h, struct watched *b)
{
	bool was = b->heal.down, wanted = b->sick && b->pool_conf->heal.command.words[0];

	if (wanted && !was)
		heal_down(&b->heal, &b->pool_conf->heal, elapsed_ms(b), clock_ms(),
			  !h->watch->briefed);
	else if (!wanted && was)
		heal_up(&b->heal);
	h->n_down += b->heal.down;
	h->n_down -= was;
	h->news = h->news || b->heal.down != was;
	tick_set(h);
}

void healer_configured(struct healer *h)
{
	for (uint32_t i = 0; i < h->watch->n; i++)
		healer_look(h, h->watch->all[i]);
}

void healer_gone(struct healer *h, struct watched *b)
{
	if (b->healing) {
		command_free(b->healing);
		free(b->healing_run);
		h->n_running--;
	}
	b->healing = NULL;
	h->n_down -= b->heal.down;
	tick_set(h);
}

/* ---- what is told of it ---- */

static void pool_report(const struct healer *h, uint32_t pool, struct life *life)
{
	struct message_tally m = {0};

	memcpy(m.pool, config_pool(h->watch->config, pool)->name, sizeof(m.pool));
	for (uint32_t i = 0; i < h->watch->n; i++) {
		const struct watched *b = h->watch->all[i];

		if (b->conf->pool != pool)
			continue;
		m.waiting += b->heal.down;
		m.done += b->heals_done;
		m.failed += b->heals_failed;
		m.again += b->heals_again;
		m.failing = m.failing || b->heal_failing;
	}
	life_tell(life, MESSAGE_TALLY, &m);
}

void healer_report(struct healer *h, struct life *life, bool all)
{
	const struct config *config = h->watch->config;

	for (uint32_t i = 0; config && (h->news || all) && i < config->n_pools; i++) {
		if (config_pool(config, i)->heal.command.words[0])
			pool_report(h, i, life);
	}
	h->news = false;
}

/* ---- life ---- */

struct healer *healer_new(struct event_base *loop, const char *user, const char *home,
			  struct watch *watch)
{
	struct healer *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	*h = (struct healer){.loop = loop, .user = user, .home = home, .watch = watch};
	h->tick = event_new(loop, -1, EV_PERSIST, on_tick, h);
	if (h->tick)
		return h;
	free(h);
	return NULL;
}

void healer_free(struct healer *h)
{
	if (!h)
		return;
	event_free(h->tick);
	free(h);
}

void healer_stop(struct healer *h)
{
	h->stopped = true;
}

bool healer_idle(const struct healer *h)
{
	return h->n_running == 0;
}
