/* SPDX-License-Identifier: BSD-2-Clause */
/* track.c: see track.h. */
#include "vrrp/track.h"

#include <stdio.h>
#include <string.h>

enum { OWNER = 255, LEAST = 1 };

/* Does it look at the same thing? Weight and instances may differ. */
static bool same(const struct config_track *a, const struct config_track *b)
{
	return strcmp(a->name, b->name) == 0 && a->type == b->type &&
	       strcmp(a->interface, b->interface) == 0 &&
	       memcmp(&a->route.addr, &b->route.addr, sizeof(a->route.addr)) == 0 &&
	       a->route.prefix_len == b->route.prefix_len &&
	       memcmp(a->command.words, b->command.words, sizeof(a->command.words)) == 0;
}

void tracks_configure(struct tracks *t, const struct config *config)
{
	struct tracks before = *t;

	t->n = config->n_tracks;
	for (uint32_t i = 0; i < t->n; i++) {
		t->all[i] = (struct track){.config = *config_track(config, i)};
		for (uint32_t k = 0; k < before.n; k++) {
			if (!same(&before.all[k].config, &t->all[i].config))
				continue;
			t->all[i].failed = before.all[k].failed;
			memcpy(t->all[i].text, before.all[k].text, sizeof(t->all[i].text));
		}
	}
}

bool track_set(struct track *track, bool failed, const char *text)
{
	bool turned = track->failed != failed;

	track->failed = failed;
	snprintf(track->text, sizeof(track->text), "%s", text);
	return turned;
}

struct track *tracks_find(struct tracks *t, const char *name)
{
	for (uint32_t i = 0; i < t->n; i++) {
		if (strcmp(t->all[i].config.name, name) == 0)
			return &t->all[i];
	}
	return NULL;
}

static void why_add(char *why, const char *name)
{
	size_t n = strlen(why);

	snprintf(why + n, VERDICT_TEXT - n, "%s%s", n ? ", " : "failed: ", name);
}

static bool concerns(const struct track *track, const uint64_t instances[CONFIG_INSTANCES / 64])
{
	for (size_t i = 0; i < CONFIG_INSTANCES / 64; i++) {
		if (track->config.instances[i] & instances[i])
			return true;
	}
	return false;
}

uint8_t tracks_weigh(const struct tracks *t, const uint64_t instances[static CONFIG_INSTANCES / 64],
		     uint8_t priority, bool *ret_out, char ret_why[static VERDICT_TEXT])
{
	uint32_t weight = 0;

	*ret_out = false;
	ret_why[0] = '\0';
	for (uint32_t i = 0; i < t->n; i++) {
		const struct track *track = &t->all[i];

		if (!track->failed || !concerns(track, instances))
			continue;
		if (track->config.weight == 0) {
			snprintf(ret_why, VERDICT_TEXT, "track %s failed: %.80s",
				 track->config.name, track->text);
			*ret_out = true;
			return priority;
		}
		weight += track->config.weight;
		why_add(ret_why, track->config.name);
	}
	if (priority == OWNER)
		return OWNER;
	return priority > weight + LEAST ? (uint8_t)(priority - weight) : LEAST;
}
