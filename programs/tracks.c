/* SPDX-License-Identifier: BSD-2-Clause */
/* tracks.c: see tracks.h. */
#include "programs/tracks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "programs/command.h"

struct scripted {
	struct track_runner *runner;
	struct config_track config;
	struct track_judge judge;
	char text[VERDICT_TEXT]; /* of the last run that counted */
	struct event *timer;
	struct command *running;
	uint64_t began_ms;
};

struct track_runner {
	struct event_base *loop;
	const char *user, *home;
	track_tell_fn *tell;
	void *owner;
	const struct config *config;
	uint32_t n;
	struct scripted *all[CONFIG_TRACKS];
};

bool track_judge(struct track_judge *j, const struct config_track *config, bool passed)
{
	bool was_known = j->known, before = j->failed;

	j->known = true;
	j->passed = passed ? (uint16_t)(j->passed + (j->passed < UINT16_MAX)) : 0;
	j->missed = passed ? 0 : (uint16_t)(j->missed + (j->missed < UINT16_MAX));
	if (!j->failed && j->missed >= config->fall)
		j->failed = true;
	else if (j->failed && j->passed >= config->rise)
		j->failed = false;
	return !was_known || before != j->failed;
}

static void tell(const struct scripted *s)
{
	struct message_track m = {.failed = s->judge.failed};

	memcpy(m.track, s->config.name, sizeof(m.track));
	memcpy(m.text, s->text, sizeof(m.text));
	s->runner->tell(s->runner->owner, &m);
}

/* ---- one run ---- */

/* The first line of what it wrote, or how it ended. */
static void end_say(struct scripted *s, const struct command_end *end)
{
	size_t n = strcspn(end->output, "\r\n");

	if (end->error == -ETIME)
		snprintf(s->text, sizeof(s->text), "killed after %u ms",
			 s->config.command.timeout_ms);
	else if (end->error)
		snprintf(s->text, sizeof(s->text), "not run: %s", strerror(-end->error));
	else if (n > 0)
		snprintf(s->text, sizeof(s->text), "exit %d: %.*s", end->status,
			 (int)(n < 128 ? n : 128), end->output);
	else
		snprintf(s->text, sizeof(s->text), "exit %d", end->status);
	for (char *c = s->text; *c; c++)
		*c = *c >= ' ' && *c <= '~' ? *c : '?';
}

/* Could nothing be run, whatever it is? */
static bool for_want_of_means(int error)
{
	return error == -EAGAIN || error == -ENOMEM || error == -EMFILE || error == -ENFILE;
}

static void next_at(struct scripted *s)
{
	uint64_t due_ms = s->began_ms + s->config.interval_ms, now_ms = clock_ms();
	uint64_t wait_ms = due_ms > now_ms ? due_ms - now_ms : 0;

	event_add(s->timer, &(struct timeval){.tv_sec = (time_t)(wait_ms / 1000),
					      .tv_usec = (suseconds_t)(wait_ms % 1000 * 1000)});
}

static void on_done(void *owner, const struct command_end *end)
{
	struct scripted *s = owner;

	s->running = NULL;
	next_at(s);
	if (for_want_of_means(end->error))
		return;
	end_say(s, end);
	if (track_judge(&s->judge, &s->config, end->error == 0 && end->status == 0))
		tell(s);
}

static void on_due(evutil_socket_t fd, short what, void *arg)
{
	struct scripted *s = arg;
	struct track_runner *r = s->runner;
	struct environment environment;
	struct facts facts = {0};
	int failed;

	(void)fd;
	(void)what;
	facts_add(&facts, "event", "track");
	facts_add(&facts, "node", r->config->node.name);
	facts_add(&facts, "track", s->config.name);
	facts_add_number(&facts, "timeout_ms", s->config.command.timeout_ms);
	environment_init(&environment, r->user, r->home);
	environment_add(&environment, &facts);
	s->began_ms = clock_ms();
	failed = command_start(&(struct command_request){.loop = r->loop,
							 .words = s->config.command.words,
							 .environment = &environment,
							 .timeout_ms = s->config.command.timeout_ms,
							 .done = on_done,
							 .owner = s},
			       &s->running);
	if (failed) {
		log_debug("track %s not run: error=%s", s->config.name, strerror(-failed));
		next_at(s);
	}
}

/* ---- the configuration ---- */

static bool same(const struct config_track *a, const struct config_track *b)
{
	return strcmp(a->name, b->name) == 0 &&
	       memcmp(a->command.words, b->command.words, sizeof(a->command.words)) == 0;
}

static void scripted_free(struct scripted *s)
{
	if (!s)
		return;
	command_free(s->running);
	if (s->timer)
		event_free(s->timer);
	free(s);
}

static struct scripted *scripted_new(struct track_runner *r, const struct config_track *config)
{
	struct scripted *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	*s = (struct scripted){.runner = r, .config = *config};
	s->timer = event_new(r->loop, -1, 0, on_due, s);
	if (!s->timer || event_add(s->timer, &(struct timeval){0}) < 0) {
		scripted_free(s);
		return NULL;
	}
	return s;
}

/* take: the one of before that runs the same, else a new one; NULL: out of memory. */
static struct scripted *take(struct track_runner *r, struct scripted **before, uint32_t n,
			     const struct config_track *config)
{
	for (uint32_t i = 0; i < n; i++) {
		struct scripted *s = before[i];

		if (!s || !same(&s->config, config))
			continue;
		before[i] = NULL;
		s->config = *config;
		return s;
	}
	return scripted_new(r, config);
}

/* One that runs something else now, of which the old one's failure is still believed. */
static bool was_told(struct scripted *const *before, uint32_t n, const char *name)
{
	for (uint32_t i = 0; i < n; i++) {
		if (before[i] && strcmp(before[i]->config.name, name) == 0)
			return before[i]->judge.known;
	}
	return false;
}

int track_runner_configure(struct track_runner *r, const struct config *config)
{
	struct scripted *before[CONFIG_TRACKS];
	uint32_t n = r->n;
	int failed = 0;

	memcpy(before, r->all, sizeof(before));
	r->n = 0;
	r->config = config;
	for (uint32_t i = 0; i < config->n_tracks; i++) {
		const struct config_track *track = config_track(config, i);
		struct scripted *s;

		if (track->type != TRACK_SCRIPT)
			continue;
		s = take(r, before, n, track);
		if (!s) {
			failed = -ENOMEM;
			continue;
		}
		r->all[r->n++] = s;
		if (s->judge.known || was_told(before, n, track->name))
			tell(s);
	}
	for (uint32_t i = 0; i < n; i++)
		scripted_free(before[i]);
	return failed;
}

void track_runner_recall(struct track_runner *r, const struct message_track *m)
{
	for (uint32_t i = 0; i < r->n; i++) {
		struct scripted *s = r->all[i];

		if (strcmp(s->config.name, m->track) != 0 || s->judge.known)
			continue;
		s->judge.known = true;
		s->judge.failed = m->failed;
		memcpy(s->text, m->text, sizeof(s->text));
	}
}

struct track_runner *track_runner_new(struct event_base *loop, const char *user, const char *home,
				      track_tell_fn *tell_fn, void *owner)
{
	struct track_runner *r = calloc(1, sizeof(*r));

	if (r)
		*r = (struct track_runner){
			.loop = loop, .user = user, .home = home, .tell = tell_fn, .owner = owner};
	return r;
}

void track_runner_free(struct track_runner *r)
{
	if (!r)
		return;
	for (uint32_t i = 0; i < r->n; i++)
		scripted_free(r->all[i]);
	free(r);
}
