/* SPDX-License-Identifier: BSD-2-Clause */
/* command_show.c: `show`: what is, as rows. A kind of row is a function and a row of `kinds`; the
 * keys, in their order, are the columns that people see.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lb/control.h"
#include "lb/maglev.h"
#include "lb/partner.h"
#include "lb/reconcile.h"
#include "lb/share.h"

#define I(value) json_integer((json_int_t)(value))

static const char *const health_names[] = HEALTH_NAMES;
static const char *const role_names[] = VRRP_ROLE_NAMES;

static const char *const neighbour_names[] = NEIGHBOUR_NAMES;

static void set(json_t *row, const char *key, json_t *value)
{
	json_object_set_new(row, key, value);
}

static void set_text(json_t *row, const char *key, const char *text)
{
	json_object_set_new(row, key, json_string(text));
}

static void set_addr(json_t *row, const char *key, const struct addr *addr)
{
	char text[INET6_ADDRSTRLEN];

	set_text(row, key, IN6_IS_ADDR_UNSPECIFIED(&addr->in6) ? "" : addr_format(addr, text));
}

/* ---- backends ---- */

const char *backend_state(const struct lb *lb, uint32_t i)
{
	const struct lb_backend *b = &lb->backends[i];

	if (b->by_operator == OPERATOR_DISABLED)
		return "disabled";
	if (b->by_operator == OPERATOR_DRAIN)
		return "drain";
	if (b->health.health == HEALTH_UP && b->neighbour.status != NEIGHBOUR_KNOWN)
		return "no neighbour";
	if (b->full)
		return "full";
	if (b->health.health == HEALTH_UP && config_backend(lb->config, i)->backup && !b->takes_new)
		return "backup";
	return health_names[b->health.health <= HEALTH_LEAVING ? b->health.health : 0];
}

static int backend_weight(const struct lb *lb, uint32_t i)
{
	const struct lb_backend *b = &lb->backends[i];

	return b->weight == WEIGHT_NONE ? config_backend(lb->config, i)->weight : b->weight;
}

/* How much of what its weight promises it gets of the new connections, in percent. */
static uint32_t backend_percent(const struct lb_backend *b)
{
	uint64_t share = (uint64_t)backend_share(b) * (SHARE_ALL - b->gives) / SHARE_ALL;

	return b->takes_new ? (uint32_t)((share * 100 + SHARE_ALL / 2) / SHARE_ALL) : 0;
}

/* Why it is in the state it is in: the server's words, or ours. */
static void backend_why(const struct lb *lb, uint32_t i, char *text, size_t size)
{
	const struct lb_backend *b = &lb->backends[i];
	const struct message_health *h = &b->health;

	if (h->said[SAYER_FLAP].health == HEALTH_DOWN)
		snprintf(text, size, "flap: %s", h->said[SAYER_FLAP].text);
	else if (b->neighbour.status != NEIGHBOUR_KNOWN)
		snprintf(text, size, "neighbour: %s", neighbour_names[b->neighbour.status]);
	else if (h->health == HEALTH_UNKNOWN)
		snprintf(text, size, "no result yet");
	else if (h->text[0])
		snprintf(text, size, "%s: %s", h->verdict, h->text);
	else
		snprintf(text, size, "%s", h->verdict);
}

static void set_counts(json_t *row, const struct backend_counts *counts)
{
	set(row, "new", I(counts->opened));
	set(row, "packets", I(counts->packets));
	set(row, "bytes", I(counts->bytes));
	set(row, "syns", I(counts->syns));
	set(row, "again", I(counts->again));
	set(row, "half_open", I(counts->half_open));
	set(row, "resets", I(counts->resets));
}

static void backend_row(json_t *rows, struct lb *lb, uint32_t i)
{
	const struct config_backend *config = config_backend(lb->config, i);
	struct backend_counts counts;
	json_t *row = json_object();
	char why[VERDICT_TEXT + 64];

	lb_backend_counts(lb, i, &counts);
	backend_why(lb, i, why, sizeof(why));
	set_text(row, "pool", config_pool(lb->config, config->pool)->name);
	set_text(row, "backend", config->name);
	set_addr(row, "address", &config->addr);
	set(row, "port", I(config->port));
	set_text(row, "state", backend_state(lb, i));
	set_text(row, "health", health_names[lb->backends[i].health.health & 3]);
	set(row, "weight", I(backend_weight(lb, i)));
	set(row, "share", I(backend_percent(&lb->backends[i])));
	set(row, "live", I(counts.live));
	set(row, "limit", I(config->max_connections));
	set_counts(row, &counts);
	set(row, "since", I(lb->backends[i].health.since_s));
	set_text(row, "why", why);
	json_array_append_new(rows, row);
}

static void retired_row(json_t *rows, const struct retired_backend *retired)
{
	json_t *row = json_object();

	set_text(row, "pool", retired->pool);
	set_text(row, "backend", retired->backend);
	set_addr(row, "address", &retired->addr);
	set(row, "port", I(0));
	set_text(row, "state", "removed");
	set_text(row, "health", health_names[HEALTH_UNKNOWN]);
	set(row, "weight", I(0));
	set(row, "share", I(0));
	set(row, "live", I(retired->counts.live));
	set(row, "limit", I(0));
	set_counts(row, &retired->counts);
	set(row, "since", I(0));
	set_text(row, "why", "no longer in the configuration; its connections go on");
	json_array_append_new(rows, row);
}

enum { RETIRED_MOST = 256 };

static json_t *backends(struct lb *lb)
{
	struct retired_backend *retired = calloc(RETIRED_MOST, sizeof(*retired));
	uint32_t n = retired ? lb_retired(lb, retired, RETIRED_MOST) : 0;
	json_t *rows = json_array();

	for (uint32_t i = 0; i < lb->config->n_backends; i++)
		backend_row(rows, lb, i);
	for (uint32_t i = 0; i < n && i < RETIRED_MOST; i++)
		retired_row(rows, &retired[i]);
	free(retired);
	return rows;
}

/* ---- pools and services ---- */

struct pool_sum {
	uint32_t up, total;
	uint64_t live;
};

static struct pool_sum pool_sum(struct lb *lb, uint32_t pool)
{
	const struct config_pool *p = config_pool(lb->config, pool);
	struct pool_sum sum = {.total = p->n_backends};

	for (uint32_t i = p->first_backend; i < p->first_backend + p->n_backends; i++) {
		sum.up += lb->backends[i].takes_new;
		sum.live += lb_live(lb, i);
	}
	return sum;
}

static const char *pool_use_name(const struct lb *lb, uint32_t i)
{
	static const char *const names[] = POOL_USE_NAMES;

	if (pool_serving(lb->config, lb->backends, i) != i)
		return "backup pool";
	return names[pool_fates(lb->config, lb->backends, i, NULL)];
}

static json_t *pools(struct lb *lb)
{
	static const char *const modes[] = CONFIG_MODE_NAMES;
	json_t *rows = json_array();

	for (uint32_t i = 0; i < lb->config->n_pools; i++) {
		const struct config_pool *p = config_pool(lb->config, i);
		struct pool_sum sum = pool_sum(lb, i);
		json_t *row = json_object();

		set_text(row, "pool", p->name);
		set_text(row, "mode", modes[p->mode]);
		set_text(row, "probe", p->probe.type);
		set_text(row, "use", pool_use_name(lb, i));
		set(row, "up", I(sum.up));
		set(row, "total", I(sum.total));
		set(row, "live", I(sum.live));
		set(row, "slots", I(lb->config->slots));
		set(row, "transition", I(lb_pool_transition(lb, i)));
		json_array_append_new(rows, row);
	}
	return rows;
}

static json_t *services(struct lb *lb)
{
	json_t *rows = json_array();

	for (uint32_t i = 0; i < lb->config->n_services; i++) {
		const struct config_service *s = config_service(lb->config, i);
		uint32_t serving = pool_serving(lb->config, lb->backends, s->pool);
		struct pool_sum sum = pool_sum(lb, serving);
		struct service_counts counts;
		json_t *row = json_object();
		char up[32];

		lb_service_counts(lb, i, &counts);
		snprintf(up, sizeof(up), "%u/%u up", sum.up, sum.total);
		set_text(row, "service", s->name);
		set_addr(row, "vip", &s->vip);
		set(row, "port", I(s->port));
		set_text(row, "protocol", s->protocol == IPPROTO_TCP ? "tcp" : "udp");
		set_text(row, "pool", config_pool(lb->config, serving)->name);
		set_text(row, "backends", up);
		set(row, "live", I(counts.live));
		set(row, "packets", I(counts.packets));
		set(row, "bytes", I(counts.bytes));
		set(row, "syns", I(counts.syns));
		set(row, "flows", I(counts.flows));
		json_array_append_new(rows, row);
	}
	return rows;
}

/* ---- vrrp, counters, configuration ---- */

static void set_virtual_mac(json_t *row, const struct config_instance *config)
{
	char text[18] = "";

	if (config->virtual_mac)
		snprintf(text, sizeof(text), "00:00:5e:00:%02x:%02x", config->ipv6 ? 2 : 1,
			 config->vrid);
	set_text(row, "virtual_mac", text);
}

/* Would it take over from an active node of less priority that it hears? */
static const char *preempts(const struct lb *lb, const struct config_instance *config)
{
	if (lb->config->sync.n_links > 0 && !partner_node_in_sync(lb))
		return "not in sync";
	if (lb->config->sync.n_links > 0 && !lb->ready)
		return "not ready";
	if (lb->config->sync.n_links > 0 && !partner_may_preempt(lb))
		return "sees fewer up";
	return config->preempt ? "yes" : "no";
}

/* Who is active: a node; or the address of one that only adverts tell of. */
static void set_active(json_t *row, const struct lb *lb, uint32_t i)
{
	const struct message_vrrp *m = &lb->instances[i].vrrp;

	if (m->role == VRRP_ACTIVE)
		set_text(row, "active", lb->config->node.name);
	else if (m->active[0])
		set_text(row, "active", m->active);
	else
		set_addr(row, "active", &m->partner);
}

static json_t *vrrp(struct lb *lb)
{
	json_t *rows = json_array();

	for (uint32_t i = 0; i < lb->config->n_instances; i++) {
		const struct config_instance *config = config_instance(lb->config, i);
		const struct message_vrrp *m = &lb->instances[i].vrrp;
		json_t *row = json_object();
		char failed[256];

		set_text(row, "instance", config->name);
		set(row, "vrid", I(config->vrid));
		set_text(row, "interface", config->interface);
		set_virtual_mac(row, config);
		set_text(row, "role", role_names[m->role <= VRRP_ACTIVE ? m->role : 0]);
		set_active(row, lb, i);
		set(row, "priority", I(config->priority));
		set(row, "effective", I(lb->instances[i].heard ? m->priority : config->priority));
		tracks_failed(lb, i, failed, sizeof(failed));
		set_text(row, "tracks_failed", failed);
		set_text(row, "preempts", preempts(lb, config));
		set_text(row, "group", config->group);
		set(row, "since", I(m->since_s));
		set(row, "transitions", I(m->transitions));
		set_addr(row, "partner", &m->partner);
		set(row, "partner_priority", I(m->partner_priority));
		set(row, "sent", I(m->adverts_sent));
		set(row, "received", I(m->adverts_received));
		set(row, "bad", I(m->adverts_bad));
		set(row, "splits", I(m->splits));
		set(row, "split_ms", I(m->split_ms));
		set(row, "withheld", I(m->withheld));
		set(row, "yielding", json_boolean(m->yielding));
		set_text(row, "reason", m->reason);
		json_array_append_new(rows, row);
	}
	return rows;
}

static void counter_row(json_t *rows, const char *name, uint64_t value, const char *meaning)
{
	json_t *row = json_object();

	set_text(row, "counter", name);
	set(row, "value", I(value));
	set_text(row, "meaning", meaning);
	json_array_append_new(rows, row);
}

static void hook_counters(json_t *rows, const struct lb *lb)
{
	struct message_tally hooks, heals;

	hook_sums(lb, &hooks, &heals);
	counter_row(rows, "hook_changes_told", hooks.done,
		    "changes that on_change hooks were told");
	counter_row(rows, "hook_changes_failed", hooks.failed, "changes that a hook was not told");
	counter_row(rows, "hook_changes_dropped", hooks.dropped,
		    "changes that found a hook's queue full");
	counter_row(rows, "hook_changes_waiting", hooks.waiting, "changes in the hooks' queues");
	counter_row(rows, "hook_tries_again", hooks.again, "tries of hooks after the first");
	counter_row(rows, "heal_runs", heals.done, "runs of heal programs that ended well");
	counter_row(rows, "heal_runs_failed", heals.failed, "runs of heal programs that did not");
}

/* What was no advert, or an odd one, by its kind, of all instances. */
static void vrrp_counters(json_t *rows, const struct lb *lb)
{
	static const struct {
		const char *name, *meaning;
	} kinds[] = {
#define VERDICT_ROW(upper, lower, text) {"vrrp_" #lower, text},
		VRRP_VERDICTS(VERDICT_ROW)
#undef VERDICT_ROW
	};

	for (int v = VRRP_GOOD + 1; v < VRRP_VERDICT_COUNT; v++) {
		uint64_t sum = 0;

		for (uint32_t i = 0; i < lb->config->n_instances; i++)
			sum += lb->instances[i].vrrp.bad[v];
		counter_row(rows, kinds[v].name, sum, kinds[v].meaning);
	}
}

static json_t *counters(struct lb *lb)
{
	static const struct {
		const char *name, *meaning;
	} reasons[] = {
#define REASON_ROW(upper, lower, text) {#lower, text},
		REASONS(REASON_ROW)
#undef REASON_ROW
	};
	uint64_t counts[REASON_COUNT] = {0};
	json_t *rows = json_array();
	uint32_t used, size;

	lb_reason_counts(lb, counts);
	for (int i = 0; i < REASON_COUNT; i++)
		counter_row(rows, reasons[i].name, counts[i], reasons[i].meaning);
	lb_flow_fill(lb, &used, &size);
	counter_row(rows, "flow_table_used", used,
		    "entries of the flow table, as of the last sweep");
	counter_row(rows, "flow_table_size", size, "how many there may be (flow_limit)");
	counter_row(rows, "tls_expiring", health_expiring(lb),
		    "backends whose certificate expires within tls_warn_days, or has");
	hook_counters(rows, lb);
	vrrp_counters(rows, lb);
	heart_counters(lb, counter_row, rows);
	sync_counters(rows, lb);
	return rows;
}

static void config_row(json_t *rows, const char *key, const char *value)
{
	json_t *row = json_object();

	set_text(row, "key", key);
	set_text(row, "value", value);
	json_array_append_new(rows, row);
}

static void config_number(json_t *rows, const char *key, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	config_row(rows, key, text);
}

static json_t *config(struct lb *lb)
{
	static const char *const attached[] = ATTACH_NAMES;
	static const char *const no_service[] = {"pass", "reject", "drop"};
	const struct config *c = lb->config;
	json_t *rows = json_array();
	char text[256];

	config_row(rows, "file", c->path);
	config_number(rows, "generation", lb->generation);
	config_row(rows, "node", c->node.name);
	config_number(rows, "nodes", c->n_nodes);
	for (uint32_t i = 0; i < c->node.n_interfaces; i++) {
		snprintf(text, sizeof(text), "%s: %s %s", lb->interfaces[i].name,
			 attached[lb->interfaces[i].attached], lb->interfaces[i].problem);
		config_row(rows, "interface", text);
	}
	config_row(rows, "on_stop", c->on_stop == ON_STOP_KEEP ? "keep" : "detach");
	config_row(rows, "no_service", no_service[c->no_service]);
	snprintf(text, sizeof(text), "%u-%u", c->nat_port_first, c->nat_port_last);
	config_row(rows, "nat_ports", text);
	config_number(rows, "slots", c->slots);
	config_number(rows, "flow_limit", c->flow_limit);
	config_number(rows, "vrrp_instances", c->n_instances);
	config_number(rows, "pools", c->n_pools);
	config_number(rows, "backends", c->n_backends);
	config_number(rows, "services", c->n_services);
	return rows;
}

static const struct {
	const char *name;
	json_t *(*rows)(struct lb *lb);
} kinds[] = {{"services", services},	 {"pools", pools},	 {"backends", backends},
	     {"health", health_rows},	 {"hooks", hook_rows},	 {"vrrp", vrrp},
	     {"counters", counters},	 {"config", config},	 {"routes", route_rows},
	     {"heartbeats", heart_rows}, {"tracks", track_rows}, {"sync", sync_rows}};

json_t *rows_of(struct lb *lb, const char *what)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].name, what) == 0)
			return kinds[i].rows(lb);
	}
	return NULL;
}

void command_show(struct client *client, const json_t *request)
{
	const char *what = json_string_value(json_object_get(request, "what"));
	json_t *rows;

	if (strcmp(what, "flows") == 0) {
		show_flows(client, request);
		return;
	}
	if (strcmp(what, "history") == 0) {
		show_history(client, request);
		return;
	}
	if (json_object_size(request) > 2) { /* command and what */
		client_fail(client, "only flows can be filtered");
		return;
	}
	rows = rows_of(client_lb(client), what);
	if (!rows)
		client_fail(
			client,
			"\"%.64s\" cannot be shown; expected: services, pools, backends, health, hooks, vrrp, sync, tracks, history, heartbeats, routes, counters, config or flows",
			what);
	else
		client_done(client, json_pack("{s:o}", what, rows));
}
