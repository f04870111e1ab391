/* SPDX-License-Identifier: BSD-2-Clause */
/* hooks.c: see hooks.h. */
#include "programs/hooks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "programs/command.h"
#include "programs/post.h"
#include "programs/queue.h"

enum { COMPLAIN_MS = 60000 }; /* between two lines about what was dropped */

struct hook {
	struct hooks *hooks;
	uint32_t number; /* from 1, as in the file */
	struct config_hook conf;
	char name[CONFIG_PATH_SIZE]; /* config_hook_name() */
	struct queue queue;
	struct event *timer; /* for the queue's next try */
	struct command *running;
	uint64_t dropped_told, complained_ms;
	bool failing;		     /* the last change could not be told */
	struct message_tally report; /* the last */
};

struct hooks {
	struct event_base *loop;
	const char *user, *home;
	char node[NAME_SIZE];
	bool stopped;
	uint32_t n;
	struct hook *all[CONFIG_HOOKS];
};

/* ---- its tries ---- */

static void hook_go_on(struct hook *h);

static void failure_log(const struct hook *h, const struct command_end *end, bool over)
{
	char text[256];
	size_t n = strcspn(end->output, "\r\n");

	log_warning("hook %s: hook=%u run=%s error=\"%s\" status=%d output=%s took_ms=%u",
		    over ? "failed, change not told" : "failed, will be tried again", h->number,
		    h->name, end->error ? strerror(-end->error) : "", end->status,
		    log_quote(end->output, n, text, sizeof(text)), end->took_ms);
}

static void try_ended(struct hook *h, const struct command_end *end)
{
	enum queue_outcome outcome = QUEUE_FAILED;
	bool over;

	if (end->error == 0 && end->status == 0)
		outcome = QUEUE_DONE;
	else if (h->conf.url[0] && end->error == 0 && end->status == POST_REFUSED)
		outcome = QUEUE_REFUSED;
	over = queue_ended(&h->queue, outcome, clock_ms());
	if (over)
		h->failing = outcome != QUEUE_DONE;
	if (outcome != QUEUE_DONE)
		failure_log(h, end, over);
	else
		log_debug("hook told: hook=%u run=%s took_ms=%u", h->number, h->name, end->took_ms);
}

static void on_done(void *owner, const struct command_end *end)
{
	struct hook *h = owner;

	h->running = NULL;
	try_ended(h, end);
	hook_go_on(h);
}

static int try_start(struct hook *h, const struct change *c)
{
	struct environment environment;
	struct facts facts;
	struct post post = {.facts = &facts, .timeout_ms = h->conf.command.timeout_ms};
	struct command_request request = {
		.loop = h->hooks->loop,
		.words = h->conf.command.words,
		.environment = &environment,
		.timeout_ms = h->conf.command.timeout_ms,
		.done = on_done,
		.owner = h,
	};

	change_facts(c, h->hooks->node, &facts);
	environment_init(&environment, h->hooks->user, h->hooks->home);
	environment_add(&environment, &facts);
	if (h->conf.url[0]) {
		if (url_parse(h->conf.url, &post.url) < 0)
			return -EINVAL;
		request.words = NULL;
		request.inside = post_inside;
		request.arg = &post;
	}
	return command_start(&request, &h->running);
}

static void timer_set(struct hook *h, uint64_t wait_ms)
{
	event_add(h->timer, &(struct timeval){.tv_sec = (time_t)(wait_ms / 1000),
					      .tv_usec = (suseconds_t)(wait_ms % 1000 * 1000)});
}

/* hook_go_on: begin what may begin now, or wait until it may. */
static void hook_go_on(struct hook *h)
{
	const struct change *c;
	uint64_t wait_ms;
	int r;

	if (h->hooks->stopped)
		return;
	while ((c = queue_next(&h->queue, clock_ms(), &wait_ms)) != NULL) {
		r = try_start(h, c);
		if (r == 0)
			return;
		try_ended(h, &(struct command_end){.error = r});
	}
	if (wait_ms != UINT64_MAX)
		timer_set(h, wait_ms);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	hook_go_on(arg);
}

/* ---- all of them ---- */

static void dropped_log(struct hook *h)
{
	uint64_t now_ms = clock_ms();

	if (h->complained_ms && now_ms - h->complained_ms < COMPLAIN_MS)
		return;
	log_warning(
		"hook is too slow, the oldest changes were dropped: hook=%u run=%s dropped=%llu",
		h->number, h->name, (unsigned long long)(h->queue.dropped - h->dropped_told));
	h->complained_ms = now_ms;
	h->dropped_told = h->queue.dropped;
}

void hooks_tell(struct hooks *h, const struct change *c)
{
	for (uint32_t i = 0; i < h->n; i++) {
		if (queue_add(&h->all[i]->queue, c))
			dropped_log(h->all[i]);
		hook_go_on(h->all[i]);
	}
}

void hooks_report(struct hooks *h, struct life *life, bool all)
{
	for (uint32_t i = 0; i < h->n; i++) {
		struct hook *hook = h->all[i];
		const struct queue *q = &hook->queue;
		struct message_tally m = {.hook = hook->number,
					  .waiting = q->n,
					  .done = q->done,
					  .failed = q->failed,
					  .again = q->again,
					  .dropped = q->dropped,
					  .failing = hook->failing};

		if (!all && memcmp(&m, &hook->report, sizeof(m)) == 0)
			continue;
		hook->report = m;
		life_tell(life, MESSAGE_TALLY, &m);
	}
}

static void hook_free(struct hook *h)
{
	if (!h)
		return;
	command_free(h->running);
	queue_fini(&h->queue);
	if (h->timer)
		event_free(h->timer);
	free(h);
}

static struct hook *hook_new(struct hooks *hooks, uint32_t number, const struct config_hook *conf)
{
	struct hook *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	*h = (struct hook){.hooks = hooks, .number = number, .conf = *conf};
	config_hook_name(conf, h->name);
	queue_init(&h->queue, clock_ms());
	h->timer = evtimer_new(hooks->loop, on_timer, h);
	if (h->timer)
		return h;
	hook_free(h);
	return NULL;
}

void hooks_configure(struct hooks *h, const struct config *config)
{
	struct hook *before[CONFIG_HOOKS] = {NULL};

	memcpy(before, h->all, h->n * sizeof(before[0]));
	memcpy(h->node, config->node.name, sizeof(h->node));
	h->n = 0;
	for (uint32_t i = 0; i < config->n_hooks; i++) {
		struct hook *hook = NULL;

		for (uint32_t k = 0; k < CONFIG_HOOKS && !hook; k++) {
			if (before[k] && memcmp(&before[k]->conf, &config->hooks[i],
						sizeof(before[k]->conf)) == 0) {
				hook = before[k];
				before[k] = NULL;
			}
		}
		if (!hook)
			hook = hook_new(h, i + 1, &config->hooks[i]);
		if (!hook) {
			log_err("hook not used, out of memory: hook=%u", i + 1);
			continue;
		}
		hook->number = i + 1;
		h->all[h->n++] = hook;
	}
	for (uint32_t k = 0; k < CONFIG_HOOKS; k++)
		hook_free(before[k]);
}

struct hooks *hooks_new(struct event_base *loop, const char *user, const char *home)
{
	struct hooks *h = calloc(1, sizeof(*h));

	if (h)
		*h = (struct hooks){.loop = loop, .user = user, .home = home};
	return h;
}

void hooks_free(struct hooks *h)
{
	if (!h)
		return;
	for (uint32_t i = 0; i < h->n; i++)
		hook_free(h->all[i]);
	free(h);
}

void hooks_stop(struct hooks *h)
{
	h->stopped = true;
}

bool hooks_idle(const struct hooks *h)
{
	for (uint32_t i = 0; i < h->n; i++) {
		if (h->all[i]->running)
			return false;
	}
	return true;
}
