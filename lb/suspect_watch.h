/* SPDX-License-Identifier: BSD-2-Clause */
/* suspect_watch.h: looks at what the packets tell of the backends of pools that have traffic, five
 * times a second, and tells healthcheck, by way of the parent, whom suspect.h finds.
 */
#ifndef SLUICE_LB_SUSPECT_WATCH_H
#define SLUICE_LB_SUSPECT_WATCH_H

#include "lb/state.h"

struct suspect_watch *suspect_watch_new(struct lb *lb); /* NULL: out of memory */
void suspect_watch_free(struct suspect_watch *watch);

/* suspect_watch_look: once, now; what the timer does. How many were suspected. */
uint32_t suspect_watch_look(struct suspect_watch *watch, uint64_t now_ms);

#endif
