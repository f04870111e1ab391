/* SPDX-License-Identifier: BSD-2-Clause */
/* command_sync.c: `show sync`: of each partner, and of each link to it, how well they know each
 * other; and what `status` and the counters say of it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "lb/control.h"
#include "lb/partner.h"
#include "lb/partner_flows.h"

#define I(value) json_integer((json_int_t)(value))

enum { LATELY_MS = 10000 };

static const char *const kinds[SYNC_VERDICT_COUNT] = {
	[SYNC_IS_SHORT] = "short",     [SYNC_IS_MAGIC] = "magic",
	[SYNC_IS_VERSION] = "version", [SYNC_IS_KEY] = "key",
	[SYNC_IS_FORM] = "form",       [SYNC_IS_STRANGER] = "stranger",
	[SYNC_IS_SESSION] = "session", [SYNC_IS_SEQUENCE] = "sequence",
};

/* ---- show ---- */

/* "key 3, session 5"; "" = nothing was refused. */
static void refused_text(const struct stream_counts *counts, char *text, size_t size)
{
	size_t n = 0;

	text[0] = '\0';
	for (int i = 0; i < SYNC_VERDICT_COUNT && n < size; i++) {
		if (kinds[i] && counts->refused[i] > 0)
			n += (size_t)snprintf(text + n, size - n, "%s%s %llu", n ? ", " : "",
					      kinds[i], (unsigned long long)counts->refused[i]);
	}
}

static const char *config_word(const struct partner_node *node)
{
	if (!node->told)
		return "";
	if (!node->same_secret)
		return "another secret";
	return node->same_config ? "the same" : "differs";
}

/* Of flows and translations: what all partners were told, and what this one said. */
static void flows_put(json_t *row, const struct lb *lb, uint32_t peer)
{
	const struct partner_flow_counts *counts = partner_flows_counts(lb);

	json_object_set_new(row, "flows_told", I(counts->told));
	json_object_set_new(row, "flows_repeated", I(counts->repeated));
	json_object_set_new(row, "flows_lost", I(counts->lost));
	json_object_set_new(row, "flows_taken", I(counts->heard[peer].taken));
	json_object_set_new(row, "flows_unknown", I(counts->heard[peer].unknown));
	json_object_set_new(row, "flows_full", I(counts->heard[peer].full));
}

/* Packets that the kernel did not send, over all links. */
static uint64_t failed_sum(const struct lb *lb, uint32_t peer)
{
	uint64_t failed = 0;

	for (uint32_t i = 0; i < lb->config->sync.n_links; i++) {
		struct sync_link_state state;

		sync_link_state(partner_sync(lb), peer, i, &state);
		failed += state.failed;
	}
	return failed;
}

static void peer_row(json_t *rows, struct lb *lb, uint32_t peer)
{
	const struct partner_node *node = partner_node(lb, peer);
	struct sync_peer_state state;
	json_t *row = json_object();
	char refused[256];

	sync_peer_state(partner_sync(lb), peer, &state);
	refused_text(&state.counts, refused, sizeof(refused));
	json_object_set_new(row, "node", json_string(lb->config->nodes[peer]));
	json_object_set_new(row, "link", json_string(""));
	json_object_set_new(row, "up", json_boolean(state.up));
	json_object_set_new(row, "in_sync", json_boolean(partner_in_sync(lb, peer)));
	json_object_set_new(row, "since", I(state.up ? node->since_s : state.since_s));
	json_object_set_new(row, "lag_ms", I(state.lag_ms));
	json_object_set_new(row, "waiting", I(state.waiting));
	json_object_set_new(row, "sent", I(state.counts.sent));
	json_object_set_new(row, "resent", I(state.counts.resent));
	json_object_set_new(row, "received", I(state.counts.received));
	json_object_set_new(row, "failed", I(failed_sum(lb, peer)));
	json_object_set_new(row, "overruns", I(state.counts.overruns));
	flows_put(row, lb, peer);
	json_object_set_new(row, "config", json_string(config_word(node)));
	json_object_set_new(row, "version", json_string(node->version));
	json_object_set_new(row, "refused", json_string(refused));
	json_array_append_new(rows, row);
}

static void link_row(json_t *rows, struct lb *lb, uint32_t peer, uint32_t link)
{
	const char *problem = sync_link_problem(partner_sync(lb), link);
	struct sync_link_state state;
	json_t *row = json_object();

	sync_link_state(partner_sync(lb), peer, link, &state);
	json_object_set_new(row, "node", json_string(lb->config->nodes[peer]));
	json_object_set_new(row, "link", json_string(lb->config->sync.links[link].interface));
	json_object_set_new(row, "up", json_boolean(state.up));
	json_object_set_new(row, "sent", I(state.sent));
	json_object_set_new(row, "received", I(state.received));
	json_object_set_new(row, "failed", I(state.failed));
	if (*problem)
		json_object_set_new(row, "refused", json_string(problem));
	json_array_append_new(rows, row);
}

json_t *sync_rows(struct lb *lb)
{
	json_t *rows = json_array();

	for (uint32_t i = 0; i < lb->config->n_nodes; i++) {
		if (!sync_is_peer(partner_sync(lb), i))
			continue;
		peer_row(rows, lb, i);
		for (uint32_t link = 0; link < lb->config->sync.n_links; link++)
			link_row(rows, lb, i, link);
	}
	return rows;
}

/* ---- status ---- */

static __attribute__((format(printf, 2, 3))) void problem(json_t *problems, const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	json_array_append_new(problems, json_string(text));
}

static bool is_lately(uint64_t ms)
{
	return ms && clock_ms() - ms < LATELY_MS;
}

static void absent_problem(json_t *problems, const char *name, const struct sync_peer_state *state)
{
	if (is_lately(state->key_ms))
		problem(problems,
			"partner %s has another secret, or somebody forges its packets; secret_file must be the same on all nodes",
			name);
	else if (is_lately(state->version_ms))
		problem(problems,
			"partner %s speaks another version of the sync protocol; nothing is synchronised until both run the same sluice",
			name);
	else
		problem(problems,
			"partner %s is not heard over any link of \"sync\": it does not know of drains and connections here; see: sluice show sync",
			name);
}

static void present_problems(json_t *problems, struct lb *lb, uint32_t peer)
{
	const struct partner_node *node = partner_node(lb, peer);
	const char *name = lb->config->nodes[peer];

	if (!partner_in_sync(lb, peer))
		problem(problems,
			"partner %s is not in sync: as long as it lives, this node takes nothing over from it; see: sluice show sync",
			name);
	if (!node->told)
		return;
	if (!node->same_secret)
		problem(problems,
			"partner %s does not have this node's new secret yet; reload it there, too",
			name);
	else if (!node->same_config)
		problem(problems,
			"partner %s has another configuration; give both the same file, and reload",
			name);
	if (strcmp(node->version, SLUICE_VERSION) != 0)
		problem(problems, "partner %s runs sluice %s, this node %s", name, node->version,
			SLUICE_VERSION);
}

static void link_problems(json_t *problems, const struct lb *lb, uint32_t peer)
{
	for (uint32_t i = 0; i < lb->config->sync.n_links; i++) {
		struct sync_link_state state;

		sync_link_state(partner_sync(lb), peer, i, &state);
		if (!state.up)
			problem(problems, "partner %s is not heard over the sync link at %s",
				lb->config->nodes[peer], lb->config->sync.links[i].interface);
	}
}

void sync_problems(json_t *problems, struct lb *lb)
{
	for (uint32_t i = 0; i < lb->config->n_nodes; i++) {
		struct sync_peer_state state;

		if (!sync_is_peer(partner_sync(lb), i))
			continue;
		sync_peer_state(partner_sync(lb), i, &state);
		if (heart_of(lb, i, 0)->life == PARTNER_GONE)
			problem(problems,
				"partner %s: its machine answers, but says that vrrp is dead or stuck there; see its log",
				lb->config->nodes[i]);
		if (!state.up) {
			absent_problem(problems, lb->config->nodes[i], &state);
			continue;
		}
		present_problems(problems, lb, i);
		link_problems(problems, lb, i);
	}
}

/* ---- counters ---- */

static void counter_row(json_t *rows, const char *name, const char *kind, uint64_t value,
			const char *meaning)
{
	char counter[64];
	json_t *row = json_object();

	snprintf(counter, sizeof(counter), "%s%s", name, kind);
	json_object_set_new(row, "counter", json_string(counter));
	json_object_set_new(row, "value", I(value));
	json_object_set_new(row, "meaning", json_string(meaning));
	json_array_append_new(rows, row);
}

static void flow_counters(json_t *rows, const struct lb *lb)
{
	const struct partner_flow_counts *counts = partner_flows_counts(lb);
	struct partner_flows_heard sum = {0};

	for (uint32_t i = 0; i < lb->config->n_nodes; i++) {
		sum.taken += counts->heard[i].taken;
		sum.unknown += counts->heard[i].unknown;
		sum.full += counts->heard[i].full;
	}
	counter_row(rows, "sync_flows_", "told", counts->told,
		    "flows and translations that partners were told at once");
	counter_row(rows, "sync_flows_", "repeated", counts->repeated,
		    "likewise by the sweeps, and to a partner that came");
	counter_row(rows, "sync_flows_", "lost", counts->lost,
		    "of which the ring had no room to tell; the next sweep does");
	counter_row(rows, "sync_flows_", "taken", sum.taken,
		    "flows and translations of partners that are here, too");
	counter_row(rows, "sync_flows_", "unknown", sum.unknown,
		    "of a service or backend that is not here; dropped");
	counter_row(rows, "sync_flows_", "full", sum.full,
		    "that found the flow table full; dropped");
}

void sync_counters(json_t *rows, const struct lb *lb)
{
	struct stream_counts sum = {0};

	if (lb->config->sync.n_links == 0)
		return;
	for (uint32_t i = 0; i < lb->config->n_nodes; i++) {
		struct sync_peer_state state;

		sync_peer_state(partner_sync(lb), i, &state);
		sum.sent += state.counts.sent;
		sum.resent += state.counts.resent;
		sum.received += state.counts.received;
		sum.overruns += state.counts.overruns;
		for (int k = 0; k < SYNC_VERDICT_COUNT; k++)
			sum.refused[k] += state.counts.refused[k];
	}
	sum.refused[SYNC_IS_STRANGER] += sync_strangers(partner_sync(lb));
	counter_row(rows, "sync_sent", "", sum.sent, "packets to partners");
	counter_row(rows, "sync_resent", "", sum.resent, "of them, sent again");
	counter_row(rows, "sync_received", "", sum.received, "good packets of partners");
	counter_row(rows, "sync_overruns", "", sum.overruns,
		    "sessions that began anew because too much waited");
	flow_counters(rows, lb);
	for (int k = 0; k < SYNC_VERDICT_COUNT; k++) {
		if (kinds[k])
			counter_row(rows, "sync_refused_", kinds[k], sum.refused[k],
				    sync_verdict_text((enum sync_verdict)k));
	}
}
