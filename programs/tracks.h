/* SPDX-License-Identifier: BSD-2-Clause */
/* tracks.h: tracks by script: runs each every `interval` (or as soon as the last run has ended) and
 * says, by `rise` and `fall`, whether it fails. Until it has been run nothing is said: it does not
 * fail. A run that could not be made for want of processes or memory counts for nothing.
 */
#ifndef SLUICE_PROGRAMS_TRACKS_H
#define SLUICE_PROGRAMS_TRACKS_H

#include <event2/event.h>

#include "base/message.h"

struct track_runner;
typedef void track_tell_fn(void *owner, const struct message_track *m);

/* track_runner_new: NULL when out of memory. @user, @home: may change until the first run */
struct track_runner *track_runner_new(struct event_base *loop, const char *user, const char *home,
				      track_tell_fn *tell, void *owner);
void track_runner_free(struct track_runner *r);
/* track_runner_configure: those of @config, which lives until the next; a track that runs the same
 * keeps its state. Tells all that is known. 0 or -ENOMEM.
 */
int track_runner_configure(struct track_runner *r, const struct config *config);
/* track_runner_recall: what a process before us has said last. */
void track_runner_recall(struct track_runner *r, const struct message_track *m);

/* ---- pure ---- */

struct track_judge {
	bool known, failed;
	uint16_t passed, missed; /* in a row; one of them is 0 */
};

/* track_judge: a run has passed or not: true when it turned, or was the first. */
bool track_judge(struct track_judge *j, const struct config_track *config, bool passed);

#endif
