/* SPDX-License-Identifier: BSD-2-Clause */
/* announce_kept.h: what "announce" keeps over restarts and reboots, as files in a folder: that the
 * node is drained, and where there may be routes of ours, so that those are found again which
 * another configuration, or all processes' death, has left.
 */
#ifndef SLUICE_LB_ANNOUNCE_KEPT_H
#define SLUICE_LB_ANNOUNCE_KEPT_H

#include "base/config.h"

#define KEPT_DRAINED "node-drained" /* is there while the node is drained */
#define KEPT_PLACE   "announced"    /* TABLE PROTOCOL */

/* kept_drained_s: CLOCK_REALTIME, when the drain began; 0 = the node is not drained. */
int64_t kept_drained_s(const char *folder);
/* kept_drain: 0, or -errno: then it is as before. */
int kept_drain(const char *folder, bool drained);

/* kept_place: false: none was kept; else *ret has table and protocol, and is on. */
bool kept_place(const char *folder, struct config_announce *ret);
/* kept_place_set: @way not on: there are no routes. 0 or -errno. */
int kept_place_set(const char *folder, const struct config_announce *way);

#endif
