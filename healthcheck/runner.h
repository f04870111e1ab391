/* SPDX-License-Identifier: BSD-2-Clause */
/* runner.h: one conversation with one backend: socket, TLS, deadline and limits round a probe.
 *
 * Connects without blocking, lets the probe (probe.h) talk, and ends with exactly one verdict: the
 * probe's own, or the runner's when the connection fails or the time for the whole is over. A
 * server that sends a byte now and then gains no time by it. Uses no file.
 */
#ifndef SLUICE_HEALTHCHECK_RUNNER_H
#define SLUICE_HEALTHCHECK_RUNNER_H

#include <event2/event.h>
#include <openssl/ssl.h>

#include "healthcheck/dialogue.h"
#include "healthcheck/probe.h"
#include "healthcheck/via.h"

struct runner;

enum { RUNNER_BYTES = 256 << 10 }; /* that a server may send in one conversation, TLS included */

/* Called once, from the loop, never from runner_new(). The owner frees the runner, in it or later.
 */
typedef void runner_done_fn(void *owner, const struct verdict *v, uint32_t took_ms);

struct runner_request {
	struct event_base *loop;
	SSL_CTX *tls;
	const struct probe_ops *ops;
	const struct config_probe *probe; /* copied */
	struct addr addr;
	uint16_t port;
	struct via via;
	runner_done_fn *done;
	dialogue_line_fn *line; /* NULL = not wanted */
	void *owner;
};

/* runner_new: begin; 0 or -ENOMEM. What fails later, the network included, is a verdict. */
int runner_new(const struct runner_request *request, struct runner **ret_runner);
/* runner_free: also in the middle: closes the connection, tells nobody. */
void runner_free(struct runner *r);

#endif
