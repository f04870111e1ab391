/* SPDX-License-Identifier: BSD-2-Clause */
/* sync.h: the streams to all other nodes, over UDP: a socket for each link of "sync", bound to this
 * node's address and interface there. An address or interface that is not there yet is waited for.
 *
 * Peers are named by their index in config.nodes. Who is told `up` has a peer that knows nothing:
 * `fill` is then called, again and again as there is room, until it has said everything. What
 * changes meanwhile is said at once, in between; so records must be idempotent: the last word about
 * a thing wins, and they arrive in order.
 *
 * Callbacks may call sync_send(), sync_fill() and whatever asks, but neither sync_configure() nor
 * sync_free().
 */
#ifndef SLUICE_SYNC_SYNC_H
#define SLUICE_SYNC_SYNC_H

#include "base/config.h"
#include "sync/stream.h"

struct event_base;
struct sync;

enum { SYNC_ALL = UINT32_MAX };

struct sync_ops {
	void (*record)(void *owner, uint32_t peer, uint16_t type, const uint8_t *bytes, size_t n);
	/* The next part of everything, some packets' worth of it, by sync_send(); false = that was
	 * all. Called with room for SYNC_FILL_ROOM packets. @first: begin from the start.
	 */
	bool (*fill)(void *owner, uint32_t peer, bool first);
	void (*up)(void *owner, uint32_t peer);
	void (*down)(void *owner, uint32_t peer);
};

/* Packets that a part of `fill` may take; what is said in between has as many at least. */
enum { SYNC_FILL_ROOM = STREAM_WINDOW / 2 };

struct sync *sync_new(struct event_base *loop, const struct sync_ops *ops, void *owner);
void sync_free(struct sync *sync); /* NULL is fine */

/* sync_configure: first of all, and after each reload: the peers and links are those of @config,
 * which need not live on. Sessions go on where the nodes stay the same.
 * @secret: of config_secret_load()
 * 0 or -ENOMEM.
 */
int sync_configure(struct sync *sync, const struct config *config, const uint8_t secret[static 32]);

/* sync_send: queue a record for a peer, or SYNC_ALL that are up.
 * 0; -ENOTCONN: it is not up (it will be given everything); -ENOBUFS: too much waits (likewise);
 * -EMSGSIZE. Nobody needs to look at it but `fill`, which stops.
 * @n_bytes: 1 .. SYNC_RECORD_MOST
 */
int sync_send(struct sync *sync, uint32_t peer, uint16_t type, const void *bytes, size_t n_bytes);
/* sync_room: packets that fit before too much waits; 0 = it is not up. */
uint32_t sync_room(const struct sync *sync, uint32_t peer);
/* sync_fill: give it everything (again), from the start. */
void sync_fill(struct sync *sync, uint32_t peer);
/* sync_key_known: it has our secret; see stream_key_known(). */
void sync_key_known(struct sync *sync, uint32_t peer);

bool sync_is_peer(const struct sync *sync, uint32_t peer);
bool sync_up(const struct sync *sync, uint32_t peer);

/* What is shown. */
struct sync_peer_state {
	bool up, filling;
	int64_t since_s; /* CLOCK_REALTIME: of up, or of not; 0 = never yet */
	uint32_t lag_ms, waiting;
	uint64_t key_ms; /* CLOCK_MONOTONIC: the last refused for its key, or its version; 0 */
	uint64_t version_ms;
	struct stream_counts counts;
};
struct sync_link_state {
	bool up; /* the peer was heard over it lately */
	uint64_t sent, received;
	uint64_t failed; /* the kernel did not send it */
};
void sync_peer_state(const struct sync *sync, uint32_t peer, struct sync_peer_state *ret_state);
void sync_link_state(const struct sync *sync, uint32_t peer, uint32_t link,
		     struct sync_link_state *ret_state);
/* sync_link_problem: why a link of ours has no socket; "" = it has. */
const char *sync_link_problem(const struct sync *sync, uint32_t link);
/* sync_strangers: packets from addresses of no other node. */
uint64_t sync_strangers(const struct sync *sync);

#endif
