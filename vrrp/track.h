/* SPDX-License-Identifier: BSD-2-Clause */
/* track.h: the tracks of the configuration, as they are now, and what they leave of an instance's
 * priority. Pure: who finds out whether a track fails is somebody else (vrrp/rights.h: interfaces
 * and routes; programs and lb: scripts, pools, the plane).
 *
 * A track that nobody has spoken of yet does not fail. The weight of one that fails is taken off
 * the priority, down to 1; one without a weight takes the instance out. An instance of priority 255
 * owns its addresses (RFC 9568 5.2.4): no weight lowers that, but it can be taken out.
 */
#ifndef SLUICE_VRRP_TRACK_H
#define SLUICE_VRRP_TRACK_H

#include "base/message.h"

struct track {
	struct config_track config;
	bool failed;
	char text[VERDICT_TEXT]; /* why, or what is there; printable */
};

struct tracks {
	uint32_t n;
	struct track all[CONFIG_TRACKS];
};

/* tracks_configure: those of @config; one that stays what it is keeps its state. */
void tracks_configure(struct tracks *t, const struct config *config);
/* track_set: true when it turned. */
bool track_set(struct track *track, bool failed, const char *text);
struct track *tracks_find(struct tracks *t, const char *name);

/* tracks_weigh: what is left of @priority for these instances together, by their numbers in the
 * configuration.
 * @ret_why: the tracks that lower it, or the first that takes it out; "" = nothing does
 * @ret_out: an instance that is taken out has no right to be active
 */
uint8_t tracks_weigh(const struct tracks *t, const uint64_t instances[static CONFIG_INSTANCES / 64],
		     uint8_t priority, bool *ret_out, char ret_why[static VERDICT_TEXT]);

#endif
