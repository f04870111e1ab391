/* SPDX-License-Identifier: BSD-2-Clause */
/* command_vrrp.c: `show tracks` and `show history`: what the right to be active depends on, and how
 * the roles have changed; and what `status` says of tracks.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lb/control.h"
#include "lb/track.h"

#define I(value) json_integer((json_int_t)(value))

static void set_text(json_t *row, const char *key, const char *text)
{
	json_object_set_new(row, key, json_string(text));
}

static bool concerns(const struct config_track *track, uint32_t instance)
{
	return track->instances[instance / 64] >> instance % 64 & 1;
}

static void word_add(char *text, size_t size, const char *word)
{
	size_t n = strlen(text);

	snprintf(text + n, size - n, "%s%s", n ? ", " : "", word);
}

/* ---- tracks ---- */

/* What it looks at. */
static void subject(const struct lb *lb, const struct config_track *track, char *text, size_t size)
{
	char address[INET6_ADDRSTRLEN];

	switch (track->type) {
	case TRACK_INTERFACE:
		snprintf(text, size, "%s", track->interface);
		break;
	case TRACK_ROUTE:
		snprintf(text, size, "%s/%u", addr_format(&track->route.addr, address),
			 track->route.prefix_len);
		break;
	case TRACK_SCRIPT:
		snprintf(text, size, "%s", track->command.words);
		break;
	case TRACK_POOL:
		snprintf(text, size, "%s", config_pool(lb->config, track->pool)->name);
		break;
	case TRACK_PLANE:
		snprintf(text, size, "XDP");
	}
}

static void instances_of(const struct lb *lb, const struct config_track *track, char *text,
			 size_t size)
{
	bool all = true;

	text[0] = '\0';
	for (uint32_t i = 0; i < lb->config->n_instances; i++) {
		all &= concerns(track, i);
		if (concerns(track, i))
			word_add(text, size, config_instance(lb->config, i)->name);
	}
	if (all)
		snprintf(text, size, "all");
}

json_t *track_rows(struct lb *lb)
{
	static const char *const types[] = CONFIG_TRACK_NAMES;
	json_t *rows = json_array();
	char text[CONFIG_LIST_SIZE];

	for (uint32_t i = 0; i < lb->config->n_tracks; i++) {
		const struct config_track *track = config_track(lb->config, i);
		const struct tracked *t = tracker_of(lb->tracker, i);
		json_t *row = json_object();

		set_text(row, "track", track->name);
		set_text(row, "type", types[track->type]);
		subject(lb, track, text, sizeof(text));
		set_text(row, "what", text);
		set_text(row, "state", !t->known ? "unknown" : t->failed ? "failed" : "good");
		json_object_set_new(row, "weight", I(track->weight));
		instances_of(lb, track, text, sizeof(text));
		set_text(row, "instances", text);
		json_object_set_new(row, "since", I(t->since_s));
		set_text(row, "why", t->known ? t->text : "not looked at yet; does not fail");
		json_array_append_new(rows, row);
	}
	return rows;
}

void tracks_failed(const struct lb *lb, uint32_t instance, char *text, size_t size)
{
	text[0] = '\0';
	for (uint32_t i = 0; i < lb->config->n_tracks; i++) {
		const struct config_track *track = config_track(lb->config, i);

		if (concerns(track, instance) && tracker_of(lb->tracker, i)->failed)
			word_add(text, size, track->name);
	}
}

void track_problems(json_t *problems, const struct lb *lb)
{
	char instances[256], text[640];

	for (uint32_t i = 0; i < lb->config->n_tracks; i++) {
		const struct config_track *track = config_track(lb->config, i);
		const struct tracked *t = tracker_of(lb->tracker, i);

		if (!t->failed)
			continue;
		instances_of(lb, track, instances, sizeof(instances));
		if (track->weight)
			snprintf(
				text, sizeof(text),
				"track %s failed: %s; it takes %u off the priority (instances: %s)",
				track->name, t->text, track->weight, instances);
		else
			snprintf(text, sizeof(text),
				 "track %s failed: %s; this node is not active (instances: %s)",
				 track->name, t->text, instances);
		json_array_append_new(problems, json_string(text));
	}
}

/* ---- history ---- */

static int by_time(const void *a, const void *b)
{
	const struct message_turn *const *x = a, *const *y = b;

	if ((*x)->at_ms != (*y)->at_ms)
		return (*x)->at_ms < (*y)->at_ms ? -1 : 1;
	return ((*x)->number > (*y)->number) - ((*x)->number < (*y)->number);
}

static json_t *turn_row(const struct message_turn *m)
{
	static const char *const roles[] = VRRP_ROLE_NAMES;
	time_t at_s = (time_t)(m->at_ms / 1000);
	char when[32], text[40] = "";
	json_t *row = json_object();
	struct tm tm;

	if (localtime_r(&at_s, &tm) && strftime(when, sizeof(when), "%F %T", &tm) > 0)
		snprintf(text, sizeof(text), "%s.%03d", when, (int)(m->at_ms % 1000));
	set_text(row, "instance", m->instance);
	set_text(row, "at", text);
	set_text(row, "from", roles[m->from <= VRRP_ACTIVE ? m->from : 0]);
	set_text(row, "to", roles[m->to <= VRRP_ACTIVE ? m->to : 0]);
	json_object_set_new(row, "priority", I(m->priority));
	json_object_set_new(row, "silence_ms",
			    m->silence_ms == SILENCE_UNKNOWN ? json_null() : I(m->silence_ms));
	json_object_set_new(row, "took_us", I(m->took_us));
	set_text(row, "why", m->reason);
	return row;
}

void show_history(struct client *client, const json_t *request)
{
	const char *instance = json_string_value(json_object_get(request, "instance"));
	const struct lb *lb = client_lb(client);
	size_t n = 0, most = (size_t)lb->config->n_instances * TURNS;
	const struct message_turn **turns = calloc(most + 1, sizeof(const struct message_turn *));
	json_t *rows = json_array();
	bool found = !instance;

	for (uint32_t i = 0; turns && i < lb->config->n_instances; i++) {
		if (instance && strcmp(config_instance(lb->config, i)->name, instance) != 0)
			continue;
		found = true;
		for (uint32_t k = 0; k < TURNS; k++) {
			if (lb->instances[i].turns[k].instance[0])
				turns[n++] = &lb->instances[i].turns[k];
		}
	}
	if (turns)
		qsort(turns, n, sizeof(*turns), by_time);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(rows, turn_row(turns[i]));
	free(turns);
	if (found) {
		client_done(client, json_pack("{s:o}", "history", rows));
		return;
	}
	json_decref(rows);
	client_fail(client, "there is no vrrp instance \"%.64s\"; see: sluice show vrrp", instance);
}
