/* SPDX-License-Identifier: BSD-2-Clause */
/* requests.c: questions to the parent and the other processes, and their answers (reconcile.h).
 *
 * A request has a number, which comes back with the answer. Who asked may go away before: then the
 * answer finds nobody.
 */
#include "lb/requests.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/channel.h"

struct request {
	struct request *next;
	struct lb *lb;
	uint32_t number;
	bool plan_only, upgrade;
	lb_reloaded_fn *reloaded; /* one of the two */
	lb_dialogue_fn *dialogue;
	void *owner;
	struct event *timer;
};

static void request_free(struct request *r)
{
	event_free(r->timer);
	free(r);
}

/* Take it out of the list; NULL = there is none (any more). */
static struct request *request_take(struct lb *lb, uint32_t number)
{
	for (struct request **at = &lb->requests; *at; at = &(*at)->next) {
		struct request *r = *at;

		if (r->number != number)
			continue;
		*at = r->next;
		return r;
	}
	return NULL;
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct message_dialogue late = {.last = 1, .text = "no answer"};
	struct request *r = arg;

	(void)fd;
	(void)what;
	request_take(r->lb, r->number);
	if (r->reloaded)
		r->reloaded(r->owner, -ETIMEDOUT, "no answer from the parent process", NULL);
	else
		r->dialogue(r->owner, &late);
	request_free(r);
}

/* request_new: listed; NULL with too many of them. */
static struct request *request_new(struct lb *lb, void *owner)
{
	const struct timeval limit = {.tv_sec = REQUEST_TIMEOUT_MS / 1000};
	struct request *r;
	unsigned n = 0;

	for (r = lb->requests; r; r = r->next)
		n++;
	r = n < REQUESTS_MOST ? calloc(1, sizeof(*r)) : NULL;
	if (!r)
		return NULL;
	r->timer = event_new(lb->loop, -1, 0, on_timeout, r);
	if (!r->timer) {
		free(r);
		return NULL;
	}
	event_add(r->timer, &limit);
	r->lb = lb;
	r->owner = owner;
	r->number = ++lb->last_request ? lb->last_request : ++lb->last_request; /* 0: SIGHUP's */
	r->next = lb->requests;
	lb->requests = r;
	return r;
}

static int request_send(struct request *r, enum message_type type, const void *message)
{
	int error = channel_send(r->lb->channel, type, message, -1);

	if (error < 0) {
		request_take(r->lb, r->number);
		request_free(r);
	}
	return error;
}

int lb_request_reload(struct lb *lb, bool plan_only, const char *path, lb_reloaded_fn *answer,
		      void *owner)
{
	struct message_reload m = {.plan_only = plan_only};
	struct request *r = request_new(lb, owner);

	if (!r)
		return -EBUSY;
	r->plan_only = plan_only;
	r->reloaded = answer;
	m.request = r->number;
	snprintf(m.path, sizeof(m.path), "%s", path ? path : "");
	return request_send(r, MESSAGE_RELOAD, &m);
}

int lb_request_upgrade(struct lb *lb, lb_reloaded_fn *answer, void *owner)
{
	struct message_upgrade m = {0};
	struct request *r = request_new(lb, owner);

	if (!r)
		return -EBUSY;
	r->upgrade = true;
	r->reloaded = answer;
	m.request = r->number;
	return request_send(r, MESSAGE_UPGRADE, &m);
}

int lb_request_probe(struct lb *lb, uint32_t i, lb_dialogue_fn *answer, void *owner)
{
	const struct config_backend *b = config_backend(lb->config, i);
	struct request *r = request_new(lb, owner);
	struct message_probe m = {0};

	if (!r)
		return -EBUSY;
	r->dialogue = answer;
	m.request = r->number;
	snprintf(m.pool, sizeof(m.pool), "%s", config_pool(lb->config, b->pool)->name);
	snprintf(m.backend, sizeof(m.backend), "%s", b->name);
	return request_send(r, MESSAGE_PROBE, &m);
}

int lb_request_failover(struct lb *lb, const char *instance, const char *to)
{
	struct message_failover m = {0};

	snprintf(m.instance, sizeof(m.instance), "%s", instance);
	snprintf(m.to, sizeof(m.to), "%s", to);
	return channel_send(lb->channel, MESSAGE_FAILOVER, &m, -1);
}

void lb_request_cancel(struct lb *lb, const void *owner)
{
	for (struct request **at = &lb->requests; *at;) {
		struct request *r = *at;

		if (r->owner != owner) {
			at = &r->next;
			continue;
		}
		*at = r->next;
		request_free(r);
	}
}

void requests_fini(struct lb *lb)
{
	while (lb->requests) {
		struct request *r = lb->requests;

		lb->requests = r->next;
		request_free(r);
	}
}

/* ---- answers ---- */

void requests_reloaded(struct lb *lb, const struct message_reloaded *m,
		       const struct plan_rows *rows)
{
	struct request *r = request_take(lb, m->request);
	const char *problem = lb_problem(lb);

	if (!r)
		return;
	if (r->reloaded && !r->upgrade && m->error == 0 && *problem)
		r->reloaded(r->owner, -ECANCELED, problem, NULL);
	else if (r->reloaded)
		r->reloaded(r->owner, m->error, m->text, m->error ? NULL : rows);
	request_free(r);
}

void requests_candidate(struct lb *lb, uint32_t number, const struct config *candidate)
{
	struct request *r = request_take(lb, number);
	struct plan_rows rows = {0};
	int error;

	if (!r)
		return;
	error = candidate ? lb_plan(lb, candidate, &rows) : -EPROTO;
	if (r->reloaded)
		r->reloaded(r->owner, error, error ? strerror(-error) : "", &rows);
	plan_rows_fini(&rows);
	request_free(r);
}

void requests_dialogue(struct lb *lb, const struct message_dialogue *m)
{
	struct request *r = lb->requests;

	while (r && r->number != m->request)
		r = r->next;
	if (!r || !r->dialogue)
		return;
	if (m->last)
		request_take(lb, r->number);
	r->dialogue(r->owner, m); /* may cancel, but not what was taken */
	if (m->last)
		request_free(r);
}
