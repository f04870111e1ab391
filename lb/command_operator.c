/* SPDX-License-Identifier: BSD-2-Clause */
/* command_operator.c: what the operator wants of a backend: drain, undrain, disable, enable,
 * weight; and wait, until it has no connection left. A backend's name means it in every pool that
 * has it, or in the one that is named.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "base/child.h"
#include "base/log.h"
#include "lb/control.h"
#include "lb/partner_live.h"
#include "lb/reconcile.h"

static const char *text_of(const json_t *request, const char *key)
{
	return json_string_value(json_object_get(request, key));
}

static bool meant(const struct lb *lb, uint32_t i, const char *backend, const char *pool)
{
	const struct config_backend *b = config_backend(lb->config, i);

	return strcmp(b->name, backend) == 0 &&
	       (!pool || strcmp(config_pool(lb->config, b->pool)->name, pool) == 0);
}

/* How many are meant; 0 is told to the client. */
static uint32_t count_meant(struct client *client, const char *backend, const char *pool)
{
	const struct lb *lb = client_lb(client);
	uint32_t n = 0;

	for (uint32_t i = 0; i < lb->config->n_backends; i++)
		n += meant(lb, i, backend, pool);
	if (n == 0 && pool)
		client_fail(
			client,
			"there is no backend \"%.64s\" in a pool \"%.64s\"; see: sluice show backends",
			backend, pool);
	else if (n == 0)
		client_fail(client, "there is no backend \"%.64s\"; see: sluice show backends",
			    backend);
	return n;
}

static json_t *changed_row(struct lb *lb, uint32_t i)
{
	const struct config_backend *b = config_backend(lb->config, i);

	return json_pack("{s:s, s:s, s:s, s:i, s:I}", "pool",
			 config_pool(lb->config, b->pool)->name, "backend", b->name, "state",
			 backend_state(lb, i), "weight",
			 lb->backends[i].weight == WEIGHT_NONE ? (int)b->weight
							       : (int)lb->backends[i].weight,
			 "live", (json_int_t)lb_live(lb, i));
}

/* change: set what is not NULL of every backend that is meant. */
static void change(struct client *client, const json_t *request, const enum operator_state *state,
		   const int32_t *weight)
{
	const char *backend = text_of(request, "backend"), *pool = text_of(request, "pool");
	struct lb *lb = client_lb(client);
	bool undone = false;
	json_t *rows;

	if (count_meant(client, backend, pool) == 0)
		return;
	rows = json_array();
	for (uint32_t i = 0; i < lb->config->n_backends; i++) {
		int r;

		if (!meant(lb, i, backend, pool))
			continue;
		r = lb_set_operator(lb, i, state ? *state : lb->backends[i].by_operator,
				    weight ? *weight : lb->backends[i].weight);
		if (r < 0) {
			json_decref(rows);
			client_fail(client,
				    "not changed, it could not be kept in " SLUICE_STATE_DIR ": %s",
				    strerror(-r));
			return;
		}
		undone |= r > 0;
		json_array_append_new(rows, changed_row(lb, i));
	}
	if (undone) {
		json_decref(rows);
		client_fail(client, "kept, but not done yet: %s", lb_problem(lb));
		return;
	}
	client_done(client, json_pack("{s:o}", "changed", rows));
}

static void change_state(struct client *client, const json_t *request, enum operator_state state)
{
	change(client, request, &state, NULL);
}

void command_drain(struct client *client, const json_t *request)
{
	change_state(client, request, OPERATOR_DRAIN);
}

/* end: the end of one state; a backend that is in the other is refused: somebody else put it there.
 */
static void end(struct client *client, const json_t *request, enum operator_state other,
		const char *command)
{
	const char *backend = text_of(request, "backend"), *pool = text_of(request, "pool");
	const struct lb *lb = client_lb(client);

	for (uint32_t i = 0; i < lb->config->n_backends; i++) {
		if (meant(lb, i, backend, pool) && lb->backends[i].by_operator == other) {
			client_fail(
				client, "%s is %s in pool %s; sluice %s ends that", backend,
				backend_state(lb, i),
				config_pool(lb->config, config_backend(lb->config, i)->pool)->name,
				command);
			return;
		}
	}
	change_state(client, request, OPERATOR_ENABLED);
}

void command_undrain(struct client *client, const json_t *request)
{
	end(client, request, OPERATOR_DISABLED, "enable");
}

void command_disable(struct client *client, const json_t *request)
{
	change_state(client, request, OPERATOR_DISABLED);
}

void command_enable(struct client *client, const json_t *request)
{
	end(client, request, OPERATOR_DRAIN, "undrain");
}

void command_weight(struct client *client, const json_t *request)
{
	const json_t *value = json_object_get(request, "weight");
	int32_t weight = WEIGHT_NONE;

	if (json_is_integer(value) && json_integer_value(value) >= 0 &&
	    json_integer_value(value) <= CONFIG_WEIGHT) {
		weight = (int32_t)json_integer_value(value);
	} else if (!json_is_string(value) || strcmp(json_string_value(value), "default") != 0) {
		client_fail(client, "a weight is 0 to %d, or \"default\" for the configured one",
			    CONFIG_WEIGHT);
		return;
	}
	change(client, request, NULL, &weight);
}

/* ---- wait ---- */

enum { LOOK_MS = 100, TELL_MS = 1000 };

struct waiting {
	struct client *client;
	struct event *timer;
	char backend[NAME_SIZE], pool[NAME_SIZE];
	uint64_t until_ms, told_ms; /* until 0 = for ever */
	uint64_t told_live;
};

static void waiting_free(void *owner)
{
	struct waiting *w = owner;

	event_free(w->timer);
	free(w);
}

/* Those that a reload took out of the configuration meanwhile still have their connections. */
static uint64_t retired_live(struct waiting *w)
{
	struct lb *lb = client_lb(w->client);
	struct retired_backend *retired;
	uint32_t n = lb_retired(lb, NULL, 0);
	uint64_t live = 0;

	retired = calloc(n + 1, sizeof(*retired));
	n = retired ? lb_retired(lb, retired, n) : 0;
	for (uint32_t i = 0; i < n; i++) {
		if (strcmp(retired[i].backend, w->backend) == 0 &&
		    (!w->pool[0] || strcmp(retired[i].pool, w->pool) == 0))
			live += retired[i].counts.live;
	}
	free(retired);
	return live;
}

static uint64_t waiting_live(struct waiting *w, uint32_t *ret_found)
{
	struct lb *lb = client_lb(w->client);
	uint64_t live = retired_live(w);
	uint32_t found = 0;

	for (uint32_t i = 0; i < lb->config->n_backends; i++) {
		if (meant(lb, i, w->backend, w->pool[0] ? w->pool : NULL)) {
			live += lb_live(lb, i) + partner_live_sum(lb, i);
			found++;
		}
	}
	*ret_found = found;
	return live;
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct waiting *w = arg;
	struct client *client = w->client;
	uint64_t now_ms = clock_ms();
	uint32_t found;
	uint64_t live = waiting_live(w, &found);

	(void)fd;
	(void)what;
	if (live == 0) {
		waiting_free(w);
		client_done(client, json_pack("{s:i, s:i}", "live", 0, "backends", (int)found));
	} else if (w->until_ms && now_ms >= w->until_ms) {
		waiting_free(w);
		client_fail(client, "%llu connections are left", (unsigned long long)live);
	} else if (live != w->told_live || now_ms - w->told_ms >= TELL_MS) {
		w->told_live = live;
		w->told_ms = now_ms;
		client_more(client, json_pack("{s:I}", "live", (json_int_t)live));
	}
}

void command_wait(struct client *client, const json_t *request)
{
	const char *backend = text_of(request, "backend"), *pool = text_of(request, "pool");
	json_int_t timeout_ms = json_integer_value(json_object_get(request, "timeout_ms"));
	struct waiting *w;

	if (count_meant(client, backend, pool) == 0)
		return;
	if (timeout_ms < 0 || timeout_ms > 7LL * 86400 * 1000) {
		client_fail(client, "a timeout is at most a week, and not negative");
		return;
	}
	w = calloc(1, sizeof(*w));
	if (w)
		w->timer = event_new(client_lb(client)->loop, -1, EV_PERSIST, on_look, w);
	if (!w || !w->timer) {
		free(w);
		client_fail(client, "out of memory");
		return;
	}
	w->client = client;
	w->told_live = UINT64_MAX;
	w->until_ms = timeout_ms ? clock_ms() + (uint64_t)timeout_ms : 0;
	strcpy(w->backend, backend); /* its length is a configured name's: count_meant() found it */
	if (pool)
		strcpy(w->pool, pool);
	client_hold(client, waiting_free, w);
	event_add(w->timer, &(struct timeval){.tv_usec = LOOK_MS * 1000});
}
