/* SPDX-License-Identifier: BSD-2-Clause */
/* command_failover.c: failover, which vrrp does (vrrp/choice.h): what can be known to be in vain is
 * refused here, and the roles are looked at until it is done.
 */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "lb/control.h"
#include "lb/partner.h"
#include "lb/reconcile.h"

enum { LOOK_MS = 20, FAILOVER_MS = 5000 };

struct handing {
	struct client *client;
	struct event *timer;
	char instance[NAME_SIZE]; /* "" = every one */
	char to[NAME_SIZE];	  /* "" = nobody is named */
	bool here;		  /* `to` is this node: it waits to be active, not to be backup */
	uint64_t until_ms;
};

static void handing_free(void *owner)
{
	struct handing *h = owner;

	event_free(h->timer);
	free(h);
}

static bool meant(const struct lb *lb, uint32_t i, const char *instance)
{
	return !instance[0] || strcmp(config_instance(lb->config, i)->name, instance) == 0;
}

/* How many of them are active here, or are not, and their names: "mail4, mail6". */
static uint32_t count(const struct lb *lb, const char *instance, bool active, char *text,
		      size_t size)
{
	uint32_t n = 0;
	size_t at = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < lb->config->n_instances; i++) {
		if (!meant(lb, i, instance) ||
		    (lb->instances[i].vrrp.role == VRRP_ACTIVE) != active)
			continue;
		if (at < size)
			at += (size_t)snprintf(text + at, size - at, "%s%s", n ? ", " : "",
					       config_instance(lb->config, i)->name);
		n++;
	}
	return n;
}

static void late(const struct handing *h, const char *left)
{
	struct client *client = h->client;

	if (h->here)
		client_fail(
			client,
			"the active node did not hand over %s, and goes on; is it heard (sluice show heartbeats), and does it run this version (sluice show sync)?",
			left);
	else if (h->to[0])
		client_fail(
			client,
			"%s did not take over %s, this node goes on; there, sluice show vrrp says why it may not be active",
			h->to, left);
	else
		client_fail(client, "this node is still active: %s; see: sluice show vrrp", left);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct handing *h = arg;
	struct client *client = h->client;
	char left[256];

	(void)fd;
	(void)what;
	if (count(client_lb(client), h->instance, !h->here, left, sizeof(left)) == 0) {
		handing_free(h);
		client_done(client, json_pack("{s:o}", "vrrp", rows_of(client_lb(client), "vrrp")));
	} else if (clock_ms() >= h->until_ms) {
		late(h, left);
		handing_free(h);
	}
}

static bool instance_known(const struct lb *lb, const char *instance)
{
	for (uint32_t i = 0; i < lb->config->n_instances; i++) {
		if (meant(lb, i, instance))
			return true;
	}
	return !instance[0];
}

/* ---- --to ---- */

/* A partner by whom something can go wrong. Told when it can. */
static bool partner_good(struct client *client, uint32_t node)
{
	static const char *const lives[] = PARTNER_LIFE_NAMES;
	struct lb *lb = client_lb(client);
	uint32_t life = heart_of(lb, node, 0)->life;

	if (life != PARTNER_ALIVE)
		client_fail(client, "%s cannot be asked: it is %s (sluice show heartbeats)",
			    lb->config->nodes[node], lives[life <= PARTNER_DEAD ? life : 0]);
	else if (!partner_in_sync(lb, node))
		client_fail(
			client,
			"%s and this node are not in sync: connections would break (sluice show sync); sluice failover without --to does it all the same",
			lb->config->nodes[node]);
	else
		return true;
	return false;
}

/* The partner that is active for the instance; n_nodes = nobody says so. */
static uint32_t active_find(const struct lb *lb, uint32_t instance)
{
	uint32_t n = 0;

	while (n < lb->config->n_nodes &&
	       strcmp(lb->config->nodes[n], lb->instances[instance].vrrp.active) != 0)
		n++;
	return n;
}

/* This node asks those that are active. */
static bool here_good(struct client *client, const char *instance)
{
	struct lb *lb = client_lb(client);

	for (uint32_t i = 0; i < lb->config->n_instances; i++) {
		const struct message_vrrp *m = &lb->instances[i].vrrp;
		const char *name = config_instance(lb->config, i)->name;
		uint32_t node = active_find(lb, i);

		if (!meant(lb, i, instance) || m->role == VRRP_ACTIVE)
			continue;
		if (m->role == VRRP_INIT) {
			client_fail(client, "%s may not be active here: %s", name, m->reason);
			return false;
		}
		if (node == lb->config->n_nodes) {
			client_fail(
				client,
				"no partner says that it is active for %s: there is nobody to ask (sluice show vrrp)",
				name);
			return false;
		}
		if (!partner_good(client, node))
			return false;
	}
	return true;
}

/* Can the node that is named be the one that takes over? Told when not. */
static bool target_good(struct client *client, const char *instance, const char *to)
{
	struct lb *lb = client_lb(client);
	const struct config *config = lb->config;
	uint32_t i = 0;

	while (i < config->n_nodes && strcmp(config->nodes[i], to) != 0)
		i++;
	if (i == config->n_nodes)
		client_fail(client, "there is no node \"%.64s\" in the configuration", to);
	else if (config->sync.n_links > 0)
		return i == config->node_index ? here_good(client, instance)
					       : partner_good(client, i);
	else if (i == config->node_index)
		client_fail(
			client,
			"without \"sync\" the active node cannot be asked; run there: sluice failover");
	else if (config->n_nodes > 2)
		client_fail(
			client,
			"without \"sync\" the highest priority of the others takes over; give it to %.64s (vrrp priorities), or leave out --to",
			to);
	else
		return true;
	return false;
}

/* ---- the command ---- */

static bool request_good(struct client *client, const char *instance, const char *to, bool here)
{
	struct lb *lb = client_lb(client);
	char names[256];

	if (!instance_known(lb, instance)) {
		client_fail(client, "there is no vrrp instance \"%.64s\"; see: sluice show vrrp",
			    instance);
		return false;
	}
	if (to[0] && !target_good(client, instance, to))
		return false;
	if (count(lb, instance, !here, names, sizeof(names)) > 0)
		return true;
	client_fail(client,
		    here ? "nothing to take over: this node is active already"
			 : "nothing to hand over: this node is not active; see: sluice show vrrp");
	return false;
}

void command_failover(struct client *client, const json_t *request)
{
	const char *instance = json_string_value(json_object_get(request, "instance"));
	const char *to = json_string_value(json_object_get(request, "to"));
	struct lb *lb = client_lb(client);
	bool here = to && strcmp(to, lb->config->node.name) == 0;
	bool plain = lb->config->sync.n_links == 0; /* of two, the other one is the best */
	struct handing *h;
	int r;

	instance = instance ? instance : "";
	to = to ? to : "";
	if (!request_good(client, instance, to, here))
		return;
	h = calloc(1, sizeof(*h));
	if (h)
		h->timer = event_new(lb->loop, -1, EV_PERSIST, on_look, h);
	if (!h || !h->timer) {
		free(h);
		client_fail(client, "out of memory");
		return;
	}
	r = lb_request_failover(lb, instance, plain ? "" : to);
	if (r < 0) {
		handing_free(h);
		client_fail(client, "%s", strerror(-r));
		return;
	}
	h->client = client;
	h->here = here;
	strcpy(h->instance, instance); /* configured names: request_good() found them */
	strcpy(h->to, to);
	h->until_ms = clock_ms() + FAILOVER_MS;
	client_hold(client, handing_free, h);
	event_add(h->timer, &(struct timeval){.tv_usec = LOOK_MS * 1000});
}
