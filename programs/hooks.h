/* SPDX-License-Identifier: BSD-2-Clause */
/* hooks.h: the operator's on_change hooks: each has a queue (queue.h) and at most one process. */
#ifndef SLUICE_PROGRAMS_HOOKS_H
#define SLUICE_PROGRAMS_HOOKS_H

#include <event2/event.h>

#include "base/config.h"
#include "base/life.h"
#include "programs/change.h"

struct hooks;

struct hooks *hooks_new(struct event_base *loop, const char *user, const char *home);
void hooks_free(struct hooks *h);
/* hooks_configure: a hook that is the same keeps its queue. */
void hooks_configure(struct hooks *h, const struct config *config);
/* hooks_tell: every hook; never waits. */
void hooks_tell(struct hooks *h, const struct change *c);
/* hooks_report: MESSAGE_TALLY of each hook whose counts have changed, or of @all. */
void hooks_report(struct hooks *h, struct life *life, bool all);
/* hooks_stop: begin nothing more. hooks_idle: nothing is under way. */
void hooks_stop(struct hooks *h);
bool hooks_idle(const struct hooks *h);

#endif
