/* SPDX-License-Identifier: BSD-2-Clause */
/* backend.h: all that is known of one backend's health: what its probe says and what its agent
 * says (check.h), how often that turned (flap.h), how long the answers take (times.h), when its
 * certificate expires; and what these come to, told by the engine's hook: when it changes, and
 * every BACKEND_TELL_MS for what is only shown.
 */
#ifndef SLUICE_HEALTHCHECK_BACKEND_H
#define SLUICE_HEALTHCHECK_BACKEND_H

#include "healthcheck/check.h"
#include "healthcheck/flap.h"
#include "healthcheck/times.h"

enum {
	BACKEND_TELL_MS = 30000,
	EXPIRY_AGAIN_S = 86400, /* between two warnings about the same certificate */
};

struct backend {
	struct asker *asker;
	struct check probe, agent;
	struct flap flap;
	struct times times;
	uint8_t weights[2];	    /* percent, as its probe and its agent said last */
	struct message_health told; /* kept up to date; last, or from the seed */
	struct event *tick;	    /* to tell again, or a hold's end */
	uint64_t told_ms;
	int64_t warned_s; /* of its certificate; CLOCK_REALTIME, 0 = not */
	bool kept;	  /* while engine_configure() works */
};

/* What a backend is asked. */
struct questions {
	struct question probe, agent;
};

/* backend_new: it does nothing before backend_begin(). NULL = out of memory. */
struct backend *backend_new(struct asker *asker, const struct questions *q);
void backend_free(struct backend *b);

bool backend_same(const struct backend *b, const struct questions *q);
void backend_begin(struct backend *b, const struct questions *q, uint32_t phase);

void backend_tell(struct backend *b);
void backend_seed(struct backend *b, const struct message_health *m);
void backend_suspect(struct backend *b, const struct message_suspect *m);

#endif
