/* SPDX-License-Identifier: BSD-2-Clause */
/* healer.h: runs a pool's `heal` program for backends that stay down (heal.h says when).
 *
 * Not for one that the operator holds (drained, disabled: what is due waits until he lets go), nor
 * one whose agent says down. Of a pair only the active node heals: a run that is due at the other
 * one counts as made there. HEALS_AT_ONCE run at a time; one that is no longer needed is not
 * ended, as nobody knows what it is in the middle of.
 */
#ifndef SLUICE_PROGRAMS_HEALER_H
#define SLUICE_PROGRAMS_HEALER_H

#include <event2/event.h>

#include "base/life.h"
#include "programs/watch.h"

enum { HEALS_AT_ONCE = 8, HEAL_TICK_MS = 200 };

struct healer;

struct healer *healer_new(struct event_base *loop, const char *user, const char *home,
			  struct watch *watch);
void healer_free(struct healer *h);
/* healer_look: this backend's health or its pool's settings may have changed. */
void healer_look(struct healer *h, struct watched *b);
/* healer_configured: look at all. */
void healer_configured(struct healer *h);
/* healer_gone: it is about to be freed. */
void healer_gone(struct healer *h, struct watched *b);
/* healer_report: MESSAGE_TALLY of each pool that heals, if anything has changed, or of @all. */
void healer_report(struct healer *h, struct life *life, bool all);
void healer_stop(struct healer *h); /* begin nothing more */
bool healer_idle(const struct healer *h);

#endif
