/* SPDX-License-Identifier: BSD-2-Clause */
/* command_probe.c: the commands that another process does: probe (healthcheck) and failover (vrrp).
 */
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "lb/control.h"
#include "lb/reconcile.h"

/* ---- probe ---- */

static void on_dialogue(void *owner, const struct message_dialogue *line)
{
	struct client *client = owner;

	if (!line->last) {
		client_more(client,
			    json_pack("{s:i, s:s}", "at_ms", (int)line->at_ms, "text", line->text));
		return;
	}
	client_done(client, json_pack("{s:b, s:i, s:s}", "passed", (int)line->passed, "at_ms",
				      (int)line->at_ms, "text", line->text));
}

static void probe_cancel(void *owner)
{
	lb_request_cancel(client_lb(owner), owner);
}

void command_probe(struct client *client, const json_t *request)
{
	const char *pool_name = json_string_value(json_object_get(request, "pool"));
	const char *name = json_string_value(json_object_get(request, "backend"));
	struct lb *lb = client_lb(client);
	int pool = config_find_pool(lb->config, pool_name);
	int backend = pool < 0 ? -1 : config_find_backend(lb->config, (uint32_t)pool, name);
	int r;

	if (backend < 0) {
		client_fail(client,
			    "there is no backend \"%.64s/%.64s\"; see: sluice show backends",
			    pool_name, name);
		return;
	}
	r = lb_request_probe(lb, (uint32_t)backend, on_dialogue, client);
	if (r < 0)
		client_fail(client, "%s", strerror(-r));
	else
		client_hold(client, probe_cancel, client);
}

/* ---- failover ---- */

enum { LOOK_MS = 20, FAILOVER_MS = 5000 };

struct handing {
	struct client *client;
	struct event *timer;
	char instance[NAME_SIZE]; /* "" = every one */
	uint64_t until_ms;
};

static void handing_free(void *owner)
{
	struct handing *h = owner;

	event_free(h->timer);
	free(h);
}

static uint32_t count_active(const struct lb *lb, const char *instance)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < lb->config->n_instances; i++) {
		if (!instance[0] || strcmp(config_instance(lb->config, i)->name, instance) == 0)
			n += lb->instances[i].vrrp.role == VRRP_ACTIVE;
	}
	return n;
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct handing *h = arg;
	struct client *client = h->client;

	(void)fd;
	(void)what;
	if (count_active(client_lb(client), h->instance) == 0) {
		handing_free(h);
		client_done(client, json_pack("{s:o}", "vrrp", rows_of(client_lb(client), "vrrp")));
	} else if (clock_ms() >= h->until_ms) {
		handing_free(h);
		client_fail(client, "this node is still active; see: sluice show vrrp");
	}
}

static bool instance_known(const struct lb *lb, const char *instance)
{
	for (uint32_t i = 0; i < lb->config->n_instances; i++) {
		if (strcmp(config_instance(lb->config, i)->name, instance) == 0)
			return true;
	}
	return !instance[0];
}

/* May the node that is named be the one that takes over? Who does when there are several is decided
 * by their priorities, which this node does not know. Told when not.
 */
static bool target_good(struct client *client, const char *to)
{
	const struct config *config = client_lb(client)->config;
	uint32_t i = 0;

	while (i < config->n_nodes && strcmp(config->nodes[i], to) != 0)
		i++;
	if (i == config->n_nodes)
		client_fail(client, "there is no node \"%.64s\" in the configuration", to);
	else if (i == config->node_index)
		client_fail(
			client,
			"%.64s is this node: it takes over when the one that is active hands over; run there: sluice failover",
			to);
	else if (config->n_nodes > 2)
		client_fail(
			client,
			"with more than two nodes the one with the highest priority takes over; give it to %.64s (vrrp priorities), or leave out --to",
			to);
	else
		return true;
	return false;
}

void command_failover(struct client *client, const json_t *request)
{
	const char *instance = json_string_value(json_object_get(request, "instance"));
	const char *to = json_string_value(json_object_get(request, "to"));
	struct lb *lb = client_lb(client);
	struct handing *h;
	int r;

	instance = instance ? instance : "";
	if (to && !target_good(client, to))
		return;
	if (!instance_known(lb, instance)) {
		client_fail(client, "there is no vrrp instance \"%.64s\"; see: sluice show vrrp",
			    instance);
		return;
	}
	if (count_active(lb, instance) == 0) {
		client_fail(client,
			    "nothing to hand over: this node is not active; see: sluice show vrrp");
		return;
	}
	h = calloc(1, sizeof(*h));
	if (h)
		h->timer = event_new(lb->loop, -1, EV_PERSIST, on_look, h);
	if (!h || !h->timer) {
		free(h);
		client_fail(client, "out of memory");
		return;
	}
	r = lb_request_failover(lb, instance[0] ? instance : NULL);
	if (r < 0) {
		handing_free(h);
		client_fail(client, "%s", strerror(-r));
		return;
	}
	h->client = client;
	strcpy(h->instance, instance);
	h->until_ms = clock_ms() + FAILOVER_MS;
	client_hold(client, handing_free, h);
	event_add(h->timer, &(struct timeval){.tv_usec = LOOK_MS * 1000});
}
