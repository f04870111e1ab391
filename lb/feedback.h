/* SPDX-License-Identifier: BSD-2-Clause */
/* feedback.h: shares that even out the live connections of a pool's backends; pure.
 *
 * Long sessions stay where they are: after one of four servers was restarted it is empty, and with
 * equal shares of new connections it stays emptier for as long as a session lasts. Here the others
 * get less than their share of the new ones until the counts are even.
 */
#ifndef SLUICE_LB_FEEDBACK_H
#define SLUICE_LB_FEEDBACK_H

#include <stdbool.h>
#include <stdint.h>

enum { FEEDBACK_MS = 10000 }; /* between two rounds */

struct feedback_backend {
	uint32_t weight; /* 0 .. CONFIG_WEIGHT; 0 takes no part */
	bool takes_part; /* it takes new connections; else its share becomes the whole one */
	uint64_t live;	 /* connections */
	uint16_t share;	 /* in and out: 1 .. SHARE_ALL */
};

/* feedback_round: one step of the loop. Equal inputs give equal shares on every machine.
 * Did any share change?
 */
bool feedback_round(struct feedback_backend *backends, uint32_t n);

#endif
