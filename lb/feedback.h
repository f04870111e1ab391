/* SPDX-License-Identifier: BSD-2-Clause */
/* feedback.h: evens out the live connections of a pool's backends; pure.
 *
 * Long sessions stay where they are: after one of four servers was restarted it is empty, and with
 * equal shares of new connections it stays emptier for as long as a session lasts. Here the others
 * give it a part of theirs until the counts are even.
 */
#ifndef SLUICE_LB_FEEDBACK_H
#define SLUICE_LB_FEEDBACK_H

#include <stdbool.h>
#include <stdint.h>

enum { FEEDBACK_MS = 10000 }; /* between two rounds */

struct feedback_backend {
	uint32_t weight; /* 0 .. CONFIG_WEIGHT; 0 takes no part */
	bool takes_part; /* it takes new connections, or would if it were not full */
	uint64_t live;	 /* connections */
	/* In: of the round before, at first 0. Out: as in struct maglev_use. */
	uint16_t gives, claims;
};

/* feedback_round: one step of the loop. Equal inputs give equal outputs on every machine.
 * Did any output change?
 */
bool feedback_round(struct feedback_backend *backends, uint32_t n);

#endif
