/* SPDX-License-Identifier: BSD-2-Clause */
/* syn_watch.h: syn_cookies = "auto": which services get more SYNs a second than their pool's
 * syn_rate. Cookies go on at once and off after SYN_CALM_S seconds below half of it, so that a
 * flood that comes in waves does not switch them each time.
 */
#ifndef SLUICE_LB_SYN_WATCH_H
#define SLUICE_LB_SYN_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "lb/state.h"

enum { SYN_CALM_S = 10 };

/* One service's state, for syn_judge(). */
struct syn_state {
	uint64_t syns; /* counted until the last look */
	uint32_t calm_s;
	bool looked, flooded;
};

/* syn_judge: after a second in which the counter reached @syns. True when `flooded` changed. */
bool syn_judge(struct syn_state *s, uint64_t syns, uint32_t rate);

struct syn_watch *syn_watch_new(struct lb *lb);
void syn_watch_free(struct syn_watch *watch);
/* syn_watch_flooded: by service id, SERVICE_MAX elements; good until the loop goes on. */
const uint8_t *syn_watch_flooded(const struct syn_watch *watch);

#endif
