/* SPDX-License-Identifier: BSD-2-Clause */
/* channel.h: one end of the socketpair between the parent and a child, on a libevent loop.
 *
 * A message is one packet: its type, its payload, at most one file descriptor. Sending never
 * blocks: what the socket does not take is queued in order, up to CHANNEL_QUEUE_BYTES.
 */
#ifndef SLUICE_BASE_CHANNEL_H
#define SLUICE_BASE_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/message.h"

struct event_base;
struct channel;

enum { CHANNEL_QUEUE_BYTES = 64 << 20 };

/* Called with a whole, length-checked payload, valid during the call. The callee owns fd (-1:
 * none). May free the channel.
 */
typedef void channel_message_fn(void *owner, enum message_type type, const void *payload, int fd);
/* The other end is gone, or sent nonsense. Called once. May free the channel. */
typedef void channel_closed_fn(void *owner);

/* channel_new: takes ownership of fd. NULL with errno on failure (fd is closed then too). */
struct channel *channel_new(struct event_base *loop, int fd, channel_message_fn *on_message,
			    channel_closed_fn *on_closed, void *owner);
void channel_free(struct channel *c);

/* channel_send: payload is the struct that message.h declares for the type.
 * @fd: -1, or a descriptor to pass; duplicated, the caller keeps its own
 * 0, -ENOBUFS when the queue is full, -EPIPE when the other end is gone.
 */
int channel_send(struct channel *c, enum message_type type, const void *payload, int fd);

/* channel_waiting: bytes that the socket did not take yet. */
size_t channel_waiting(const struct channel *c);
/* channel_pause: do not read what comes (a turn that has begun ends), or do so again. */
void channel_pause(struct channel *c, bool pause);

/* channel_hear: read all that has come, and the end when there is one, without waiting for the
 * loop.
 */
void channel_hear(struct channel *c);
/* channel_fd: still ours. */
int channel_fd(const struct channel *c);

/* channel_flush: block until what is queued was taken, @timeout_ms at most; for the last words. */
int channel_flush(struct channel *c, int timeout_ms);

size_t message_size(enum message_type type); /* of the payload */
const char *message_name(enum message_type type);

#endif
