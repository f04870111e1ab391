/* SPDX-License-Identifier: BSD-2-Clause */
/* engine.h: every backend of the configuration, probed in time and judged.
 *
 * Each backend (backend.h) has a check (check.h) for its probe, and one for its agent if its pool
 * has any: a timer, at most one conversation and a judge. A server that hangs costs its own
 * conversation and delays nobody else's. What comes out are the messages of base/message.h, by the
 * two hooks, called from the loop and from engine_configure(), engine_seed() and engine_probe().
 */
#ifndef SLUICE_HEALTHCHECK_ENGINE_H
#define SLUICE_HEALTHCHECK_ENGINE_H

#include <event2/event.h>

#include "base/message.h"

struct engine;
struct tls_cache;

struct engine_hooks {
	void (*health)(void *owner, const struct message_health *m);
	void (*dialogue)(void *owner, const struct message_dialogue *m);
	void *owner;
	const struct wires *wires; /* wire.h; NULL: no ICMP and no programs; must last */
};

/* engine_new: NULL = out of memory.
 * @most_running: conversations at the same time; a probe beyond that waits for an end
 * @phase_start: at random, for schedule_phase()
 */
struct engine *engine_new(struct event_base *loop, struct tls_cache *tls,
			  const struct engine_hooks *hooks, uint32_t most_running,
			  uint32_t phase_start);
void engine_free(struct engine *e);

/* engine_configure: probe the backends of @config from now on; 0, or -ENOMEM (-EINVAL: of
 * tls_cache_get()) and nothing changed.
 *
 * A backend that is asked the same questions as before (pool, name; address, port, type, TLS and
 * settings of the probe and the agent; times, rise, fall and the limits of flaps may differ) keeps
 * its health and its history; another starts as unknown; one that is not in @config any more is
 * forgotten. Then each health that is not unknown is told. @config must stay valid until the next
 * call or engine_free().
 */
int engine_configure(struct engine *e, const struct config *config);

/* engine_via_forbid: probe by the backends' own addresses only; before the first configuration. */
void engine_via_forbid(struct engine *e);

/* engine_seed: the last known health, of a backend that has had no result yet. Told to nobody. */
void engine_seed(struct engine *e, const struct message_health *m);

/* engine_suspect: the packets make a backend look dead: it is probed at once, and again until that
 * is sure; heard once a second and backend at most.
 */
void engine_suspect(struct engine *e, const struct message_suspect *m);

/* engine_probe: one conversation now, told line by line; its verdict turns no state. */
void engine_probe(struct engine *e, const struct message_probe *m);

#endif
