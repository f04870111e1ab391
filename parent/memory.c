/* SPDX-License-Identifier: BSD-2-Clause */
/* memory.c: see memory.h. */
#include "parent/memory.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

int health_compare(const void *a, const void *b)
{
	const struct message_health *x = a, *y = b;
	int r = strcmp(x->pool, y->pool);

	return r ? r : strcmp(x->backend, y->backend);
}

int vrrp_compare(const void *a, const void *b)
{
	const struct message_vrrp *x = a, *y = b;

	return strcmp(x->instance, y->instance);
}

int turn_compare(const void *a, const void *b)
{
	const struct message_turn *x = a, *y = b;
	uint32_t m = x->number % TURNS, n = y->number % TURNS;
	int r = strcmp(x->instance, y->instance);

	return r ? r : (m > n) - (m < n);
}

int held_compare(const void *a, const void *b)
{
	const struct message_operator *x = a, *y = b;
	int r = strcmp(x->pool, y->pool);

	return r ? r : strcmp(x->backend, y->backend);
}

int track_compare(const void *a, const void *b)
{
	const struct message_track *x = a, *y = b;

	return strcmp(x->track, y->track);
}

int tally_compare(const void *a, const void *b)
{
	const struct message_tally *x = a, *y = b;

	return x->hook == y->hook ? strcmp(x->pool, y->pool) : x->hook < y->hook ? -1 : 1;
}

struct memory *memory_new(void)
{
	return calloc(1, sizeof(struct memory));
}

void missed_forget(struct memory *m)
{
	tdestroy(m->missed_health, free);
	tdestroy(m->missed_vrrp, free);
	m->missed_health = m->missed_vrrp = NULL;
}

void memory_free(struct memory *m)
{
	if (!m)
		return;
	tdestroy(m->health, free);
	tdestroy(m->vrrp, free);
	tdestroy(m->turns, free);
	tdestroy(m->held, free);
	tdestroy(m->tracks, free);
	tdestroy(m->tally, free);
	missed_forget(m);
	free(m);
}

void remember(void **tree, const void *value, size_t size,
	      int (*compare)(const void *, const void *))
{
	void **node = tfind(value, tree, compare);
	void *copy;

	if (node) {
		memcpy(*node, value, size);
		return;
	}
	copy = malloc(size);
	if (!copy)
		return;
	memcpy(copy, value, size);
	if (!tsearch(copy, tree, compare))
		free(copy);
}
