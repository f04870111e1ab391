/* SPDX-License-Identifier: BSD-2-Clause */
/* memory.h: what the parent remembers for a child that comes back, and for the parent that takes
 * its place (upgrade.c): the last message of each kind, by name.
 */
#ifndef SLUICE_PARENT_MEMORY_H
#define SLUICE_PARENT_MEMORY_H

#include <stddef.h>

#include "base/message.h"

struct memory {
	void *health;		  /* tsearch tree of struct message_health, by pool and backend */
	void *vrrp;		  /* of struct message_vrrp, by instance */
	void *turns;		  /* of struct message_turn, by instance, the last TURNS of each */
	void *held;		  /* of struct message_operator, by pool and backend */
	void *tracks;		  /* of struct message_track, by name */
	struct message_sync sync; /* of this lb */
	void *tally;		  /* of struct message_tally, by hook and pool */
	void *missed_health, *missed_vrrp; /* by programs: as it was before that */
};

int health_compare(const void *a, const void *b);
int vrrp_compare(const void *a, const void *b);
int turn_compare(const void *a, const void *b);
int held_compare(const void *a, const void *b);
int track_compare(const void *a, const void *b);
int tally_compare(const void *a, const void *b);

struct memory *memory_new(void);
void memory_free(struct memory *m);

/* remember: @value of @size bytes in place of the one that compares equal. Without memory the old
 * one stays: the child that comes back starts from something older.
 */
void remember(void **tree, const void *value, size_t size,
	      int (*compare)(const void *, const void *));
/* missed_forget: programs knows all that is remembered. */
void missed_forget(struct memory *m);

#endif
