/* SPDX-License-Identifier: BSD-2-Clause */
/* check.c: see check.h. */
#include "healthcheck/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "healthcheck/schedule.h"

enum {
	BUSY_MS = 100,	   /* until a probe that could not begin is tried again */
	UNABLE_MS = 60000, /* between two complaints that we cannot ask */
};

static void complain(const struct check *c, const char *why)
{
	uint64_t now_ms = clock_ms();

	if (c->asker->complained_ms && now_ms - c->asker->complained_ms < UNABLE_MS)
		return;
	c->asker->complained_ms = now_ms;
	log_err("probe not made, health stays: pool=%s backend=%s error=\"%s\"",
		c->question.pool->name, c->question.backend->name, why);
}

/* ---- conversations ---- */

static uint16_t question_port(const struct question *q)
{
	return q->probe->port ? q->probe->port : q->backend->port;
}

static void conversation_end(struct check *c)
{
	runner_free(c->runner);
	c->runner = NULL;
	c->asker->running--;
}

/* Only packets of TCP can go through a VIP (bpf/abi_probe.h). */
static struct via via_of(struct check *c)
{
	const struct config_probe *probe = c->question.probe;

	if (probe->via != VIA_VIP || probe_transport_of(c->ops, probe) != TRANSPORT_TCP)
		return (struct via){0};
	return via_next(c->asker->vias, c->question.backend, question_port(&c->question), &c->turn);
}

static int conversation_begin(struct check *c, runner_done_fn *done, dialogue_line_fn *line)
{
	struct runner_request request = {
		.loop = c->asker->loop,
		.tls = c->question.tls,
		.ops = c->ops,
		.probe = c->question.probe,
		.wires = c->asker->hooks.wires,
		.pool = c->question.pool->name,
		.backend = c->question.backend->name,
		.addr = c->question.backend->addr,
		.port = question_port(&c->question),
		.patience = c->suspected && !line ? c->patience : (struct patience){0},
		.done = done,
		.line = line,
		.owner = c,
	};
	int r;

	if (c->asker->running >= c->asker->most_running)
		return -EBUSY;
	request.via = c->via = via_of(c);
	r = runner_new(&request, &c->runner);
	if (r == 0)
		c->asker->running++;
	return r;
}

/* What the runner said, and through which VIP. */
static struct verdict verdict_via(struct check *c, const struct verdict *said)
{
	struct verdict v = *said;

	via_turn_end(&c->turn, v.word);
	via_tell(&c->via, &v);
	return v;
}

/* ---- the operator's ---- */

void check_answer(const struct asker *asker, uint32_t request, uint32_t passed, uint32_t at_ms,
		  const char *text)
{
	struct message_dialogue m = {
		.request = request, .last = 1, .passed = passed, .at_ms = at_ms};

	snprintf(m.text, sizeof(m.text), "%s", text);
	asker->hooks.dialogue(asker->hooks.owner, &m);
}

static void asked_line(void *owner, uint32_t at_ms, const char *text)
{
	struct check *c = owner;
	struct message_dialogue m = {.request = c->asked->request, .at_ms = at_ms};

	snprintf(m.text, sizeof(m.text), "%s", text);
	c->asker->hooks.dialogue(c->asker->hooks.owner, &m);
}

static void asked_end(struct check *c, uint32_t passed, uint32_t at_ms, const char *text)
{
	struct message_probe *asked = c->asked;

	c->asked = NULL;
	c->asked_running = false;
	check_answer(c->asker, asked->request, passed, at_ms, text);
	free(asked);
}

static void on_asked_done(void *owner, const struct verdict *said, uint32_t took_ms)
{
	struct check *c = owner;
	struct verdict told = verdict_via(c, said), *v = &told;
	bool passed = v->word == VERDICT_PASS;
	char text[MESSAGE_LINE], code[16] = "";

	conversation_end(c);
	if (v->code)
		snprintf(code, sizeof(code), "%d ", v->code);
	snprintf(text, sizeof(text), "%s%s%s%s", passed ? "" : verdict_name(v->word),
		 passed ? "" : ": ", code, v->text);
	asked_end(c, passed, took_ms, text);
}

static void asked_begin(struct check *c)
{
	int r = conversation_begin(c, on_asked_done, asked_line);

	c->asked_running = r == 0;
	if (r < 0)
		asked_end(c, 0, 0, r == -EBUSY ? "too many probes at once" : strerror(-r));
}

void check_ask(struct check *c, const struct message_probe *m)
{
	if (c->asked) {
		check_answer(c->asker, m->request, 0, 0, "somebody else is probing it; try again");
		return;
	}
	c->asked = malloc(sizeof(*m));
	if (!c->asked) {
		check_answer(c->asker, m->request, 0, 0, "out of memory");
		return;
	}
	*c->asked = *m;
	if (!c->runner)
		asked_begin(c);
}

/* ---- its own ---- */

static void timer_set(struct check *c, uint64_t at_ms)
{
	wheel_set(c->asker->wheel, &c->timer, at_ms);
}

static void timer_set_next(struct check *c)
{
	uint32_t interval_ms =
		schedule_interval(c->question.probe, c->judge.health, judge_unsure(&c->judge));

	if (c->suspected)
		timer_set(c, c->started_ms + SCHEDULE_SUSPECT_MS);
	else
		timer_set(c, schedule_next(clock_ms(), c->started_ms, c->phase, interval_ms));
}

static void on_done(void *owner, const struct verdict *said, uint32_t took_ms)
{
	struct check *c = owner;
	struct verdict told = verdict_via(c, said), *v = &told;

	conversation_end(c);
	log_debug("probed: pool=%s backend=%s verdict=%s code=%d text=\"%s\" took_ms=%u",
		  c->question.pool->name, c->question.backend->name, verdict_name(v->word), v->code,
		  v->text, took_ms);
	if (v->word == VERDICT_UNABLE)
		complain(c, v->text);
	c->on_verdict(c, v, took_ms);
	if (v->word == VERDICT_PASS || c->judge.health != HEALTH_UP)
		c->suspected = false;
	timer_set_next(c);
	if (c->asked)
		asked_begin(c);
}

static void on_timer(void *owner)
{
	struct check *c = owner;
	int r;

	if (c->runner) { /* the operator's */
		timer_set(c, clock_ms() + BUSY_MS);
		return;
	}
	c->started_ms = clock_ms();
	r = conversation_begin(c, on_done, NULL);
	if (r < 0) {
		complain(c, r == -EBUSY ? "too many at once" : strerror(-r));
		timer_set(c, clock_ms() + BUSY_MS);
	}
}

bool check_suspect(struct check *c, uint32_t silence_ms)
{
	uint64_t now_ms = clock_ms();

	if (!c->ops || c->judge.health != HEALTH_UP ||
	    (c->suspected_ms && now_ms - c->suspected_ms < SUSPECT_AGAIN_MS))
		return false;
	c->suspected_ms = now_ms;
	if (!c->suspected || silence_ms)
		c->patience.silence_ms = silence_ms;
	c->suspected = true;
	if (c->runner && !c->asked_running)
		runner_hurry(c->runner, &c->patience);
	else
		timer_set(c, now_ms);
	return true;
}

/* ---- what it is ---- */

/* The configuration's, or a copy of another one: @tls is held for as long as it is needed. */
static void question_set(struct check *c, const struct question *q)
{
	if (q->tls)
		SSL_CTX_up_ref(q->tls);
	SSL_CTX_free(c->question.tls);
	c->question = *q;
}

void check_init(struct check *c, struct asker *asker, const struct question *q,
		check_judge_fn *on_verdict, void *owner)
{
	*c = (struct check){.asker = asker,
			    .patience = {.connect_ms = SUSPECT_CONNECT_MS},
			    .ops = probe_find(q->probe->type),
			    .on_verdict = on_verdict,
			    .owner = owner,
			    .timer = {.due = on_timer, .owner = c}};
	question_set(c, q);
}

void check_fini(struct check *c)
{
	if (c->runner)
		conversation_end(c);
	if (c->asked)
		asked_end(c, 0, 0, "the configuration has changed; try again");
	wheel_unset(&c->timer);
	SSL_CTX_free(c->question.tls);
}

bool check_same(const struct check *c, const struct question *q)
{
	const struct config_probe *x = c->question.probe, *y = q->probe;

	return memcmp(&c->question.backend->addr, &q->backend->addr, sizeof(q->backend->addr)) ==
		       0 &&
	       question_port(&c->question) == question_port(q) && strcmp(x->type, y->type) == 0 &&
	       x->tls == y->tls && x->proxy == y->proxy && x->via == y->via &&
	       c->question.tls == q->tls && x->certificate.verify == y->certificate.verify &&
	       strcmp(x->certificate.name, y->certificate.name) == 0 &&
	       memcmp(x->conf, y->conf, sizeof(x->conf)) == 0;
}

static bool intervals_equal(const struct config_probe *x, const struct config_probe *y)
{
	return x->interval_ms == y->interval_ms && x->interval_down_ms == y->interval_down_ms &&
	       x->interval_rising_ms == y->interval_rising_ms &&
	       x->interval_falling_ms == y->interval_falling_ms;
}

void check_begin(struct check *c, const struct question *q, uint32_t phase)
{
	bool goes_on = c->begun && intervals_equal(c->question.probe, q->probe);

	question_set(c, q);
	c->begun = true;
	if (!c->ops || goes_on)
		return;
	c->phase = phase;
	if (!c->runner || c->asked_running)
		timer_set(c, schedule_first(clock_ms(), phase, q->probe->interval_ms));
}
