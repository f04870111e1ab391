/* SPDX-License-Identifier: BSD-2-Clause */
/* engine.h: every backend of the configuration, probed in time and judged.
 *
 * Each backend has a timer (schedule.h), at most one conversation (runner.h) and a judge
 * (judge.h). A server that hangs costs its own conversation and delays nobody else's. What comes
 * out are the messages of base/message.h, by the two hooks, called from the loop and from
 * engine_configure(), engine_seed() and engine_probe().
 */
#ifndef SLUICE_HEALTHCHECK_ENGINE_H
#define SLUICE_HEALTHCHECK_ENGINE_H

#include <event2/event.h>
#include <openssl/ssl.h>

#include "base/message.h"

struct engine;

struct engine_hooks {
	void (*health)(void *owner, const struct message_health *m);
	void (*dialogue)(void *owner, const struct message_dialogue *m);
	void *owner;
};

/* engine_new: NULL = out of memory.
 * @most_running: conversations at the same time; a probe beyond that waits for an end
 * @phase_start: at random, for schedule_phase()
 */
struct engine *engine_new(struct event_base *loop, SSL_CTX *tls, const struct engine_hooks *hooks,
			  uint32_t most_running, uint32_t phase_start);
void engine_free(struct engine *e);

/* engine_configure: probe the backends of @config from now on; 0, or -ENOMEM and nothing changed.
 *
 * A backend that is asked the same question as before (pool, name, address, port, type, TLS and
 * settings of the probe; interval, timeout, rise and fall may differ) keeps its health and its
 * history; another starts as unknown; one that is not in @config any more is forgotten. Then each
 * health that is not unknown is told. @config must stay valid until the next call or engine_free().
 */
int engine_configure(struct engine *e, const struct config *config);

/* engine_via_forbid: probe by the backends' own addresses only; before the first configuration. */
void engine_via_forbid(struct engine *e);

/* engine_seed: the last known health, of a backend that has had no result yet. Told to nobody. */
void engine_seed(struct engine *e, const struct message_health *m);

/* engine_probe: one conversation now, told line by line; its verdict turns no state. */
void engine_probe(struct engine *e, const struct message_probe *m);

#endif
