/* SPDX-License-Identifier: BSD-2-Clause */
/* scripts.h: script probes: runs what a pool's probe names, for healthcheck.
 *
 * SCRIPTS_AT_ONCE run at a time, SCRIPTS_OF_A_POOL of the same pool, so that one whose servers all
 * hang leaves room for the others; SCRIPTS_WAITING more wait, for their probe's timeout at most.
 * Each request has exactly one answer; whom there was no room for gets -EAGAIN.
 */
#ifndef SLUICE_PROGRAMS_SCRIPTS_H
#define SLUICE_PROGRAMS_SCRIPTS_H

#include <event2/event.h>

#include "base/config.h"
#include "base/message.h"

enum { SCRIPTS_AT_ONCE = 128, SCRIPTS_OF_A_POOL = 64, SCRIPTS_WAITING = 1024 };

struct scripts;
typedef void scripts_ran_fn(void *owner, const struct message_ran *m);

struct scripts *scripts_new(struct event_base *loop, const char *user, const char *home,
			    scripts_ran_fn *ran, void *owner);
void scripts_free(struct scripts *s);
/* scripts_configure: what waits and runs goes on; @config is used by the next ones. */
void scripts_configure(struct scripts *s, const struct config *config);
void scripts_run(struct scripts *s, const struct message_run *m);

#endif
