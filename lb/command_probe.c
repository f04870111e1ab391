/* SPDX-License-Identifier: BSD-2-Clause */
/* command_probe.c: probe, which healthcheck does. */
#include <string.h>

#include "lb/control.h"
#include "lb/reconcile.h"

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
