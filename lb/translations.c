/* SPDX-License-Identifier: BSD-2-Clause */
/* translations.c: see translations.h. */
#include "lb/translations.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

/* A translation is there a moment before its flow is. */
enum { YOUNG_EPOCHS = 2 };

struct walk {
	uint32_t position;
	bool begun;
	struct flow_key keys[TRANSLATIONS_BATCH];
	struct translation values[TRANSLATIONS_BATCH];
};

struct translation_sweep {
	const struct plane *plane;
	const struct flow_sweep *flows;
	struct event *timer;
	struct walk walk;
	translation_seen_fn *on_seen; /* NULL = nobody watches */
	void *owner;
	uint32_t started_s, last_s; /* of this pass, and of the last */
};

static bool is_over(const struct plane *plane, const struct flow_sweep *flows,
		    const struct flow_key *key, const struct translation *t, uint32_t now_s)
{
	struct flow flow = {.flags = t->flags & TRANSLATION_CLOSING ? FLOW_CLOSING : 0,
			    .backend = t->backend,
			    .seen = t->seen};

	if (t->flags & TRANSLATION_UNCOUNTED && t->backend < CURRENT_BACKENDS)
		return flow_sweep_over(flows, key, &flow, now_s);
	if ((uint16_t)(FLOW_EPOCH(now_s) - t->seen) < YOUNG_EPOCHS)
		return false;
	return bpf_map_lookup_elem(plane->maps[MAP_FLOWS], key, &flow) == -ENOENT;
}

bool translation_delete(const struct plane *plane, const struct flow_key *key,
			const struct tuple *back)
{
	struct flow_key has;

	if (bpf_map_lookup_elem(plane->maps[MAP_REVERSE], back, &has) == 0 &&
	    memcmp(&has, key, sizeof(has)) == 0)
		bpf_map_delete_elem(plane->maps[MAP_REVERSE], back);
	return bpf_map_delete_elem(plane->maps[MAP_TRANSLATIONS], key) == 0;
}

/* One batch. @sweep: who tells of those that stay; NULL = nobody is told. 1 = there is more, 0 =
 * that was all, or -errno. */
static int walk_step(const struct plane *plane, const struct flow_sweep *flows, struct walk *w,
		     uint32_t now_s, const struct translation_sweep *sweep, int *deleted)
{
	uint32_t n = TRANSLATIONS_BATCH;
	int r = bpf_map_lookup_batch(plane->maps[MAP_TRANSLATIONS], w->begun ? &w->position : NULL,
				     &w->position, w->keys, w->values, &n, NULL);

	if (r < 0 && r != -ENOENT)
		return r;
	w->begun = true;
	for (uint32_t i = 0; i < n; i++) {
		if (!is_over(plane, flows, &w->keys[i], &w->values[i], now_s)) {
			if (sweep && sweep->on_seen)
				sweep->on_seen(sweep->owner, &w->keys[i], &w->values[i],
					       sweep->last_s);
			continue;
		}
		*deleted += translation_delete(plane, &w->keys[i], &w->values[i].back);
	}
	return r == 0;
}

int translations_pass(const struct plane *plane, const struct flow_sweep *flows, uint32_t now_s)
{
	struct walk *w = calloc(1, sizeof(*w));
	int deleted = 0, r;

	if (!w)
		return -ENOMEM;
	do {
		r = walk_step(plane, flows, w, now_s, NULL, &deleted);
	} while (r > 0);
	free(w);
	return r < 0 ? r : deleted;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct translation_sweep *w = arg;
	uint32_t next_ms = TRANSLATIONS_PASS_MS;
	int deleted = 0, r = 0;

	(void)fd;
	(void)what;
	if (!w->walk.begun) {
		w->last_s = w->started_s;
		w->started_s = clock_now_s();
	}
	if (w->plane->maps[MAP_TRANSLATIONS] >= 0 && w->plane->maps[MAP_FLOWS] >= 0)
		r = walk_step(w->plane, w->flows, &w->walk, clock_now_s(), w, &deleted);
	if (r > 0)
		next_ms = TRANSLATIONS_TICK_MS;
	else
		w->walk.begun = false;
	event_add(w->timer,
		  &(struct timeval){.tv_sec = next_ms / 1000, .tv_usec = next_ms % 1000 * 1000});
}

struct translation_sweep *translation_sweep_new(struct event_base *loop, const struct plane *plane,
						const struct flow_sweep *flows)
{
	struct translation_sweep *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->plane = plane;
	w->flows = flows;
	w->timer = event_new(loop, -1, 0, on_tick, w);
	if (!w->timer) {
		free(w);
		return NULL;
	}
	event_add(w->timer, &(struct timeval){.tv_sec = TRANSLATIONS_PASS_MS / 1000});
	return w;
}

void translation_sweep_watch(struct translation_sweep *w, translation_seen_fn *on_seen, void *owner)
{
	w->on_seen = on_seen;
	w->owner = owner;
}

void translation_sweep_free(struct translation_sweep *w)
{
	if (!w)
		return;
	event_free(w->timer);
	free(w);
}
