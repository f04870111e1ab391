/* SPDX-License-Identifier: BSD-2-Clause */
/* advice.h: what an interface's frames ask of XDP, and what to do where they do not fit together;
 * what the kernel has to be told of so many neighbours.
 */
#ifndef SLUICE_LB_ADVICE_H
#define SLUICE_LB_ADVICE_H

#include "lb/neighbour.h"

enum { ADVICE_TEXT = 160 };

/* advice_long_frames: does a frame of the interface's MTU need more than one buffer? */
bool advice_long_frames(const char *interface);

/* advice_give: what the operator should do about the way in which the program is attached, from
 * what the interface says now; "" = nothing.
 */
void advice_give(const char *interface, enum attach_mode mode, char ret_text[static ADVICE_TEXT]);

/* advice_forwarding: does the kernel forward what comes in there, so that it knows the way back to
 * clients (nat, fullnat)? True where it cannot be read.
 */
bool advice_forwarding(const char *interface, bool ipv6);

/* advice_neighbours: has the kernel room for all next hops of a family? Beyond gc_thresh2 it throws
 * entries away, at gc_thresh3 it makes no more. The text is a shell's words; "" = it has.
 * @most: advice_neighbours_most(): gc_thresh2, UINT32_MAX where it cannot be read (a namespace)
 */
uint32_t advice_neighbours_most(bool ipv6);
void advice_neighbours(bool ipv6, struct neighbour_room room, uint32_t most,
		       char ret_text[static ADVICE_TEXT]);

#endif
