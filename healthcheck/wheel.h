/* SPDX-License-Identifier: BSD-2-Clause */
/* wheel.h: who is due when: the timers of all checks, in slots that one event of the loop turns.
 *
 * What is due at the same time is called in one turn of the loop: a probe that begins right after
 * another one costs about half as much as one for which the process must be woken. Setting a timer
 * costs the same for any number of them. Never early; late by a few milliseconds, because that is
 * how finely the loop's clock runs.
 */
#ifndef SLUICE_HEALTHCHECK_WHEEL_H
#define SLUICE_HEALTHCHECK_WHEEL_H

#include <event2/event.h>
#include <stdint.h>

struct wheel;

/* All zero, but for the first two: not set. */
struct wheel_timer {
	void (*due)(void *owner);
	void *owner;
	uint64_t at_ms;
	struct wheel_timer *next, **link; /* link NULL: not set */
};

/* wheel_new: NULL = out of memory. */
struct wheel *wheel_new(struct event_base *loop);
/* wheel_free: no timer is set any more. */
void wheel_free(struct wheel *w);

/* wheel_set: due at @at_ms (clock_ms()), instead of when it was; from the loop, never from here. */
void wheel_set(struct wheel *w, struct wheel_timer *t, uint64_t at_ms);
/* wheel_unset: also when it is not set. */
void wheel_unset(struct wheel_timer *t);

#endif
