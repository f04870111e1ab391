/* SPDX-License-Identifier: BSD-2-Clause */
/* track.h: the tracks: those of pools and of the plane are found out here, 20 times a second where
 * there are any, and told to vrrp; what the others say is kept to be shown.
 *
 * A pool's share is that of its probes: whom the operator holds, or keeps as a backup, has no say.
 * It is not judged before every backend has had its chance of a result.
 */
#ifndef SLUICE_LB_TRACK_H
#define SLUICE_LB_TRACK_H

#include "lb/state.h"

struct tracked {
	char name[NAME_SIZE];
	enum config_track_type type;
	bool known, failed;
	int64_t since_s; /* CLOCK_REALTIME: failed or not since then; 0 = not known */
	char text[VERDICT_TEXT];
};

struct tracker;

/* tracker_new: NULL when out of memory. */
struct tracker *tracker_new(struct lb *lb);
void tracker_free(struct tracker *t);
/* tracker_configure: after lb->config has changed; what is known of a track that stays, stays. */
void tracker_configure(struct tracker *t);
/* tracker_hear: another process's track, or what an lb before us has said. */
void tracker_hear(struct tracker *t, const struct message_track *m);
/* tracker_of: the track of that number in the configuration. */
const struct tracked *tracker_of(const struct tracker *t, uint32_t i);

/* ---- pure ---- */

/* pool_fails: @good of @n are up. @ret_text: in words */
bool pool_fails(const char *pool, uint32_t good, uint32_t n, uint32_t least_percent,
		char ret_text[static VERDICT_TEXT]);

#endif
