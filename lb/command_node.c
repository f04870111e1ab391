/* SPDX-License-Identifier: BSD-2-Clause */
/* command_node.c: drain --node and undrain --node: shall this node announce its VIPs? And the rows
 * that say whether it does.
 */
#include <string.h>

#include "base/child.h"
#include "lb/announcer.h"
#include "lb/control.h"

json_t *route_rows(struct lb *lb)
{
	static const char *const whys[] = ANNOUNCE_WHYS;
	json_t *rows = json_array();
	const int64_t *since_s;
	uint32_t n;
	const struct announce_vip *vips = announcer_vips(lb->announcer, &since_s, &n);

	for (uint32_t i = 0; i < n; i++) {
		bool announced = vips[i].why == ANNOUNCED && !vips[i].missing;
		const char *why = vips[i].why == ANNOUNCED && vips[i].missing ? ANNOUNCE_MISSING
									      : whys[vips[i].why];
		char text[INET6_ADDRSTRLEN];

		json_array_append_new(rows, json_pack("{s:s, s:s, s:I, s:s}", "vip",
						      addr_format(&vips[i].addr, text), "announced",
						      announced ? "yes" : "no", "since",
						      (json_int_t)since_s[i], "why", why));
	}
	return rows;
}

static void change(struct client *client, bool drained)
{
	struct lb *lb = client_lb(client);
	int r = announcer_drain(lb, drained);

	if (r < 0)
		client_fail(client, "not changed, it could not be kept in " SLUICE_STATE_DIR ": %s",
			    strerror(-r));
	else if (*announcer_problem(lb->announcer))
		client_fail(client, "kept, but not done yet: %s", announcer_problem(lb->announcer));
	else
		client_done(client, json_pack("{s:o}", "routes", route_rows(lb)));
}

/* The first VIP that only this node announces, as VRRP has it here; NULL = none. */
static const struct announce_vip *only_here(const struct lb *lb)
{
	const int64_t *since_s;
	uint32_t n;
	const struct announce_vip *vips = announcer_vips(lb->announcer, &since_s, &n);

	for (uint32_t i = 0; i < n; i++) {
		if (announce_where(lb->config, lb->instances, &vips[i].addr) == WHERE_HERE)
			return &vips[i];
	}
	return NULL;
}

void command_drain_node(struct client *client, const json_t *request)
{
	const struct lb *lb = client_lb(client);
	const struct announce_vip *vip = only_here(lb);
	char text[INET6_ADDRSTRLEN];

	(void)request;
	if (lb->config->announce.on && vip)
		client_fail(
			client,
			"%s is of vrrp and active here: no other node announces it; first: sluice failover",
			addr_format(&vip->addr, text));
	else if (lb->config->announce.on)
		change(client, true);
	else
		client_fail(
			client,
			"this node announces nothing (\"announce\" in sluice.conf); of VRRP's addresses: sluice failover");
}

void command_undrain_node(struct client *client, const json_t *request)
{
	(void)request;
	change(client, false);
}
