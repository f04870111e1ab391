/* SPDX-License-Identifier: BSD-2-Clause */
/* backend.c: see backend.h.
 *
 * Each verdict changes what one sayer says (`told.said`); then backend_settle() works out what all
 * of them come to, and writes the one line of the log about a change. The probe's own words stay
 * those of the change that it made.
 */
#include "healthcheck/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"

static const char *const health_names[] = HEALTH_NAMES;
static const char *const sayer_names[] = SAYER_NAMES;

/* ---- what is told ---- */

static void tick_set(struct backend *b)
{
	uint64_t now_ms = clock_ms(), at_ms = b->told_ms + BACKEND_TELL_MS, wait_ms;

	if (flap_holds(&b->flap, now_ms) && b->flap.until_ms < at_ms)
		at_ms = b->flap.until_ms;
	wait_ms = at_ms > now_ms ? at_ms - now_ms : 0;
	event_add(b->tick, &(struct timeval){.tv_sec = (time_t)(wait_ms / 1000),
					     .tv_usec = (suseconds_t)(wait_ms % 1000 * 1000)});
}

void backend_tell(struct backend *b)
{
	if (b->told.health == HEALTH_UNKNOWN)
		return;
	b->told.p50_ms = times_percentile(&b->times, 50);
	b->told.p99_ms = times_percentile(&b->times, 99);
	b->told_ms = clock_ms();
	tick_set(b);
	b->asker->hooks.health(b->asker->hooks.owner, &b->told);
}

/* ---- what all of them come to ---- */

static struct flap_limits limits_of(const struct backend *b)
{
	const struct config_probe *p = b->probe.question.probe;

	return (struct flap_limits){
		.limit = p->flap_limit, .period_ms = p->flap_period_ms, .hold_ms = p->flap_hold_ms};
}

static uint32_t weight_of(const struct backend *b)
{
	uint32_t weight = (uint32_t)b->weights[SAYER_PROBE] * b->weights[SAYER_AGENT] *
			  (b->times.slow ? SLOW_WEIGHT : 100) / 10000;

	return weight > 0 ? weight : 1; /* 0 % is "leaving" (judge_agent()) */
}

/* What @sayer asks for, if anything; the last word holds. Did the weight change? */
static bool weight_take(struct backend *b, enum sayer sayer, const struct verdict *v)
{
	uint32_t weight;

	if (v->weight != WEIGHT_UNSAID)
		b->weights[sayer] = v->weight;
	weight = weight_of(b);
	if (weight == b->told.weight)
		return false;
	b->told.weight = weight;
	log_notice("backend %s weight: pool=%s by=%s weight=%u%%", b->told.backend, b->told.pool,
		   sayer_names[sayer], weight);
	return true;
}

static enum health health_of(const struct backend *b)
{
	enum health said[SAYERS];

	for (int i = 0; i < SAYERS; i++)
		said[i] = (enum health)b->told.said[i].health;
	return health_combine(said);
}

static void say(struct backend *b, enum sayer sayer, enum health health, const char *text)
{
	struct said *said = &b->told.said[sayer];

	said->health = health;
	said->since_s = time(NULL);
	said->until_s = 0;
	snprintf(said->text, sizeof(said->text), "%s", text);
}

/* Why, in the words of who said so last. */
static void why_set(struct backend *b, enum sayer sayer, const struct verdict *v, uint32_t took_ms,
		    const struct judgement *judgement)
{
	struct message_health *m = &b->told;

	m->code = v ? v->code : 0;
	m->took_ms = took_ms;
	m->agreeing = judgement->agreeing;
	m->needed = judgement->needed;
	snprintf(m->verdict, sizeof(m->verdict), "%s",
		 sayer == SAYER_PROBE && v ? verdict_name(v->word) : sayer_names[sayer]);
	snprintf(m->text, sizeof(m->text), "%s", m->said[sayer].text);
}

static void change_log(const struct backend *b, enum sayer sayer)
{
	const struct message_health *m = &b->told;
	char text[2 * VERDICT_TEXT];

	log_quote(m->text, strlen(m->text), text, sizeof(text));
	if (sayer == SAYER_PROBE)
		log_notice(
			"backend %s %s: pool=%s probe=%s verdict=%s code=%d text=%s %s=%u/%u took_ms=%u",
			m->backend, health_names[m->health], m->pool, b->probe.question.probe->type,
			m->verdict, m->code, text, m->health == HEALTH_UP ? "passed" : "failed",
			m->agreeing, m->needed, m->took_ms);
	else
		log_notice("backend %s %s: pool=%s by=%s text=%s", m->backend,
			   health_names[m->health], m->pool, sayer_names[sayer], text);
}

/* Who keeps it from what @sayer says. */
static enum sayer keeper_of(const struct backend *b, enum sayer sayer)
{
	for (int i = SAYERS - 1; i > 0; i--) {
		if (i != (int)sayer && b->told.said[i].health == b->told.health)
			return (enum sayer)i;
	}
	return SAYER_PROBE;
}

/* @sayer has changed its mind. */
static void backend_settle(struct backend *b, enum sayer sayer, const struct verdict *v,
			   uint32_t took_ms, const struct judgement *judgement)
{
	enum health health = health_of(b);
	const struct said *said = &b->told.said[sayer];

	if (health != (enum health)b->told.health) {
		b->told.turns += b->told.health != HEALTH_UNKNOWN;
		b->told.health = health;
		b->told.since_s = time(NULL);
		why_set(b, sayer, v, took_ms, judgement);
		change_log(b, sayer);
	} else if (said->health != b->told.health && said->health != HEALTH_UNKNOWN) {
		log_info("backend %s stays %s: pool=%s by=%s %s=%s", b->told.backend,
			 health_names[health], b->told.pool, sayer_names[keeper_of(b, sayer)],
			 sayer_names[sayer], health_names[said->health]);
	}
}

/* ---- flaps ---- */

static void flap_hold(struct backend *b)
{
	const struct flap_limits limits = limits_of(b);
	const struct judgement judgement = {0};
	struct said *said = &b->told.said[SAYER_FLAP];
	uint64_t now_ms = clock_ms();
	bool before = said->health == HEALTH_DOWN;
	int64_t since_s = said->since_s;
	char text[VERDICT_TEXT];

	snprintf(text, sizeof(text), "turned %u times within %u s, held down for %u s",
		 limits.limit, limits.period_ms / 1000,
		 (uint32_t)((b->flap.until_ms - now_ms) / 1000));
	log_warning("backend %s held down: pool=%s turns=%u period_s=%u hold_s=%u", b->told.backend,
		    b->told.pool, limits.limit, limits.period_ms / 1000,
		    (uint32_t)((b->flap.until_ms - now_ms) / 1000));
	say(b, SAYER_FLAP, HEALTH_DOWN, text);
	if (before)
		said->since_s = since_s;
	said->until_s = time(NULL) + (int64_t)((b->flap.until_ms - now_ms + 999) / 1000);
	backend_settle(b, SAYER_FLAP, NULL, 0, &judgement);
}

/* Is a hold over? Then somebody else has the word again. */
static bool flap_release(struct backend *b)
{
	const struct judgement judgement = {0};

	if (b->told.said[SAYER_FLAP].health != HEALTH_DOWN || flap_holds(&b->flap, clock_ms()))
		return false;
	say(b, SAYER_FLAP, HEALTH_UNKNOWN, "no longer held down");
	backend_settle(b, SAYER_FLAP, NULL, 0, &judgement);
	return true;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct backend *b = arg;

	(void)fd;
	(void)what;
	if (flap_release(b) || clock_ms() - b->told_ms >= BACKEND_TELL_MS)
		backend_tell(b);
	else
		tick_set(b);
}

/* ---- its probe ---- */

/* Once, and again each day: nothing else follows from it. */
static void expiry_watch(struct backend *b, const struct verdict *v)
{
	uint32_t warn_days = b->probe.question.probe->certificate.warn_days;
	int64_t now_s = time(NULL);

	if (v->tls_days == TLS_DAYS_UNKNOWN)
		return;
	b->told.tls_days = v->tls_days;
	if (warn_days == 0 || v->tls_days >= (int64_t)warn_days) {
		b->warned_s = 0;
		return;
	}
	if (b->warned_s && now_s - b->warned_s < EXPIRY_AGAIN_S)
		return;
	b->warned_s = now_s;
	log_warning("certificate of backend %s %s: pool=%s days=%d", b->told.backend,
		    v->tls_days < 0 ? "has expired" : "expires soon", b->told.pool, v->tls_days);
}

/* What is counted of each verdict. Did its speed turn? One that comes back from a stop takes for
 * its first answer as long as it was away: that is no answer of its kind (times_patience()).
 */
static bool verdict_count(struct backend *b, const struct verdict *v, uint32_t took_ms,
			  enum health before)
{
	uint32_t slow_ms = b->probe.question.probe->slow_ms;

	expiry_watch(b, v);
	if (v->word == VERDICT_UNABLE)
		return false;
	b->told.failed += v->word != VERDICT_PASS && v->word != VERDICT_LEAVING;
	b->told.left += v->word == VERDICT_LEAVING;
	if (v->word != VERDICT_PASS)
		return false;
	b->told.passed++;
	if (before == HEALTH_DOWN || !times_add(&b->times, took_ms, slow_ms))
		return false;
	b->told.slow = b->times.slow;
	b->told.weight = weight_of(b);
	log_notice("backend %s %s: pool=%s median_ms=%u slow_ms=%u weight=%u%%", b->told.backend,
		   b->times.slow ? "slow" : "no longer slow", b->told.pool, times_median(&b->times),
		   slow_ms, b->told.weight);
	return true;
}

static void on_probe(struct check *c, const struct verdict *v, uint32_t took_ms)
{
	struct backend *b = c->owner;
	const struct config_probe *probe = c->question.probe;
	const struct flap_limits limits = limits_of(b);
	enum health before = c->judge.health;
	struct judgement judgement = judge_verdict(&c->judge, probe->rise, probe->fall, v->word);
	bool changed = verdict_count(b, v, took_ms, before) || judgement.changed;

	changed = weight_take(b, SAYER_PROBE, v) || changed;
	b->told.took_ms = took_ms;
	if (judgement.changed) {
		bool up = c->judge.health == HEALTH_UP;
		bool held = before != HEALTH_UNKNOWN && up != (before == HEALTH_UP) &&
			    flap_turn(&b->flap, &limits, clock_ms());

		say(b, SAYER_PROBE, c->judge.health, v->text);
		if (held && up)
			flap_hold(b); /* so that it never comes back */
		backend_settle(b, SAYER_PROBE, v, took_ms, &judgement);
		if (held && !up)
			flap_hold(b);
	}
	changed = flap_release(b) || changed;
	if (changed)
		backend_tell(b);
}

/* ---- its agent ---- */

static void on_agent(struct check *c, const struct verdict *v, uint32_t took_ms)
{
	struct backend *b = c->owner;
	struct judgement judgement = judge_agent(&c->judge, v->word, v->weight);
	bool changed = judgement.changed;

	if (changed) {
		say(b, SAYER_AGENT, c->judge.health, v->text);
		backend_settle(b, SAYER_AGENT, v, took_ms, &judgement);
	}
	changed = weight_take(b, SAYER_AGENT, v) || changed;
	if (changed)
		backend_tell(b);
}

/* ---- from outside ---- */

static bool is_health(uint32_t health)
{
	return health <= HEALTH_LEAVING;
}

/* Of a hold: CLOCK_REALTIME is all that outlives a process. */
static void flap_seed(struct backend *b, const struct said *said)
{
	const struct flap_limits limits = limits_of(b);
	int64_t left_s = said->until_s - time(NULL);
	uint64_t now_ms = clock_ms();

	if (said->health != HEALTH_DOWN || left_s <= 0 || left_s > INT32_MAX)
		return;
	flap_restore(&b->flap, &limits, now_ms, now_ms + (uint64_t)left_s * 1000);
	if (flap_holds(&b->flap, now_ms))
		b->told.said[SAYER_FLAP] = *said;
}

/* What the agent of a process before us asked for. */
static uint8_t weight_seed(const struct message_health *m)
{
	uint32_t weight = m->slow ? m->weight * 100 / SLOW_WEIGHT : m->weight;

	return (uint8_t)(weight > 0 && weight < 100 ? weight : 100);
}

void backend_seed(struct backend *b, const struct message_health *m)
{
	const struct said *probe = &m->said[SAYER_PROBE], *agent = &m->said[SAYER_AGENT];

	if (!b->probe.ops || b->told.health != HEALTH_UNKNOWN || !is_health(m->health) ||
	    m->health == HEALTH_UNKNOWN)
		return;
	b->told = *m;
	b->told.passed = b->told.failed = b->told.left = 0; /* of this process */
	b->told.slow = 0;
	memset(b->told.said, 0, sizeof(b->told.said));
	b->told.said[SAYER_PROBE] =
		is_health(probe->health) && probe->health != HEALTH_UNKNOWN
			? *probe
			: (struct said){.health = m->health, .since_s = m->since_s};
	b->probe.judge.health = (enum health)b->told.said[SAYER_PROBE].health;
	if (b->agent.ops && is_health(agent->health)) {
		b->told.said[SAYER_AGENT] = *agent;
		b->agent.judge.health = (enum health)agent->health;
		b->weights[SAYER_AGENT] = weight_seed(m);
	}
	b->told.weight = weight_of(b);
	flap_seed(b, &m->said[SAYER_FLAP]);
	b->told.health = health_of(b);
	b->told_ms = clock_ms();
	tick_set(b);
}

void backend_suspect(struct backend *b, const struct message_suspect *m)
{
	char text[2 * VERDICT_TEXT];

	if (check_suspect(&b->probe, m->hung ? times_patience(&b->times) : 0))
		log_notice("backend %s suspected, probed at once: pool=%s text=%s", b->told.backend,
			   b->told.pool, log_quote(m->text, strlen(m->text), text, sizeof(text)));
}

/* ---- what it is ---- */

struct backend *backend_new(struct asker *asker, const struct questions *q)
{
	struct backend *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->asker = asker;
	b->weights[SAYER_PROBE] = b->weights[SAYER_AGENT] = 100;
	b->told.weight = 100;
	b->told.tls_days = TLS_DAYS_UNKNOWN;
	snprintf(b->told.pool, sizeof(b->told.pool), "%s", q->probe.pool->name);
	snprintf(b->told.backend, sizeof(b->told.backend), "%s", q->probe.backend->name);
	b->tick = evtimer_new(asker->loop, on_tick, b);
	if (!b->tick) {
		free(b);
		return NULL;
	}
	check_init(&b->probe, asker, &q->probe, on_probe, b);
	check_init(&b->agent, asker, &q->agent, on_agent, b);
	return b;
}

void backend_free(struct backend *b)
{
	if (!b)
		return;
	check_fini(&b->probe);
	check_fini(&b->agent);
	if (b->tick)
		event_free(b->tick);
	free(b);
}

bool backend_same(const struct backend *b, const struct questions *q)
{
	return check_same(&b->probe, &q->probe) && check_same(&b->agent, &q->agent);
}

/* Not probed: up, and that at once. */
static void backend_assume(struct backend *b)
{
	const struct verdict v = {.word = VERDICT_PASS, .text = "not probed"};
	const struct judgement judgement = {.agreeing = 1, .needed = 1};

	b->probe.judge.health = HEALTH_UP;
	say(b, SAYER_PROBE, HEALTH_UP, v.text);
	b->told.health = health_of(b);
	b->told.since_s = time(NULL);
	why_set(b, SAYER_PROBE, &v, 0, &judgement);
}

void backend_begin(struct backend *b, const struct questions *q, uint32_t phase)
{
	if (!b->kept)
		/* those that begin together are not told again together */
		b->told_ms = clock_ms() - ((uint64_t)phase * BACKEND_TELL_MS >> 32);
	b->kept = false;
	check_begin(&b->probe, &q->probe, phase);
	check_begin(&b->agent, &q->agent, phase);
	if (q->probe.probe->flap_limit == 0)
		b->flap = (struct flap){0};
	if (!b->probe.ops && b->probe.judge.health == HEALTH_UNKNOWN)
		backend_assume(b);
}
