/* SPDX-License-Identifier: BSD-2-Clause */
/* runner.h: one conversation with one backend: wire, TLS, deadline and limits round a probe.
 *
 * Connects (or whatever else the probe's transport is: wire.h) without blocking, lets the probe
 * (probe.h) talk, and ends with exactly one verdict: the probe's own, or the runner's when the
 * connection fails or the time for the whole is over. A server that sends a byte now and then gains
 * no time by it. Uses no file.
 */
#ifndef SLUICE_HEALTHCHECK_RUNNER_H
#define SLUICE_HEALTHCHECK_RUNNER_H

#include <event2/event.h>
#include <openssl/ssl.h>

#include "healthcheck/dialogue.h"
#include "healthcheck/probe.h"
#include "healthcheck/via.h"
#include "healthcheck/wire.h"

struct runner;

enum { RUNNER_BYTES = 256 << 10 }; /* that a server may send in one conversation, TLS included */

/* Called once, from the loop, never from runner_new(). The owner frees the runner, in it or later.
 */
typedef void runner_done_fn(void *owner, const struct verdict *v, uint32_t took_ms);

/* Less of it than the probe's timeout, which bounds the whole all the same. 0 = no less. */
struct patience {
	uint32_t connect_ms; /* for the connection alone */
	uint32_t silence_ms; /* for the next byte, once it is there; not of datagrams, programs */
};

struct runner_request {
	struct event_base *loop;
	SSL_CTX *tls; /* of tls_cache.h; NULL where the probe speaks no TLS */
	const struct probe_ops *ops;
	const struct config_probe *probe; /* copied */
	const struct wires *wires;	  /* NULL: no ICMP and no programs */
	const char *pool, *backend;	  /* their names, for a program */
	struct addr addr;
	uint16_t port;
	struct patience patience;
	struct via via; /* of TCP; all zero for others */
	runner_done_fn *done;
	dialogue_line_fn *line; /* NULL = not wanted */
	void *owner;
};

/* runner_new: begin; 0 or -ENOMEM. What fails later, the network included, is a verdict. */
int runner_new(const struct runner_request *request, struct runner **ret_runner);
/* runner_hurry: from now on; for the connection, since its beginning. What is 0 stays as it was. */
void runner_hurry(struct runner *r, const struct patience *patience);
/* runner_free: also in the middle: closes the connection, tells nobody. */
void runner_free(struct runner *r);

#endif
