/* SPDX-License-Identifier: BSD-2-Clause */
/* stream.h: records from one node to another and back, whole, in order, once; or told that some
 * were lost. Pure: bytes, events and a time go in, packets and records come out.
 *
 * A session is a number that each side draws by chance when it begins. A side is taken as there
 * once it has answered our latest challenge, which no packet of before can do; from then on only
 * what names both sessions counts, in the order of its sequence. So a replayed packet changes
 * nothing, whenever it was recorded.
 *
 * The other is taken as there as long as something comes that only it can say, and only now: an
 * answer to our challenge, the next packet, a new acknowledgement.
 *
 * Up to STREAM_WINDOW packets wait for being acknowledged; the first of them is sent again after a
 * time that doubles, over the next link that anything was heard on lately, and all behind it once
 * that is acknowledged. More than that are refused (-ENOBUFS): the session then begins anew, and
 * whoever is told `up` gives everything from the start. Memory is bounded by that.
 *
 * After a change of the secret both keys open packets. The old one seals until the other node is
 * known to have the new one (by a packet of its own, or stream_key_known()); then it is forgotten.
 */
#ifndef SLUICE_SYNC_STREAM_H
#define SLUICE_SYNC_STREAM_H

#include "sync/packet.h"

enum {
	STREAM_WINDOW = 1024, /* packets */
	STREAM_BURST = 64,    /* of them at a time */
	STREAM_LINKS = 4,
	STREAM_HELLO_MS = 200,	 /* twice that while it is up */
	STREAM_IDLE_MS = 500,	 /* an ACK at least so often */
	STREAM_SILENT_MS = 3000, /* nothing heard for so long: it is not there */
	STREAM_LINK_SILENT_MS = 1500,
	STREAM_RESEND_LEAST_MS = 40,
	STREAM_RESEND_MOST_MS = 1000,
	STREAM_KEYS = 2, /* ours, and the one before */
};

struct stream_ops { /* none may free the stream; record, up and down may say records */
	/* A packet to be sent over link @link. */
	void (*send)(void *owner, uint32_t link, const uint8_t *bytes, size_t n_bytes);
	/* The next record of the other node; good until the call returns. */
	void (*record)(void *owner, uint16_t type, const uint8_t *bytes, size_t n_bytes);
	/* A session began: nothing of what was said before is known there. */
	void (*up)(void *owner);
	void (*down)(void *owner);
	uint64_t (*chance)(void *owner); /* 64 random bits */
};

struct stream_settings {
	uint64_t own_node, other_node; /* sync_node() */
	uint32_t n_links;	       /* 1 .. STREAM_LINKS */
	uint32_t rate_packets_s;
	uint8_t keys[STREAM_KEYS][SYNC_KEY_BYTES]; /* ours, and the one before */
	uint32_t n_keys;
};

struct stream_counts {
	uint64_t sent, resent, received, records_sent, records_received;
	uint64_t overruns; /* sessions that began anew because too much waited */
	uint64_t refused[SYNC_VERDICT_COUNT];
};

struct stream;

/* stream_new: not yet up. NULL: out of memory. */
struct stream *stream_new(const struct stream_settings *settings, const struct stream_ops *ops,
			  void *owner, uint64_t now_ms);
void stream_free(struct stream *s);
/* stream_settle: other keys, links or rate; the session goes on. */
void stream_settle(struct stream *s, const struct stream_settings *settings);
/* stream_key_known: the other node has our new key. */
void stream_key_known(struct stream *s);

/* stream_record: say it; sent with the next stream_tick() or when a packet is full. 0; -ENOTCONN:
 * no session (nothing is lost: `up` will come); -ENOBUFS: too much waits, the session will begin
 * anew.
 */
int stream_record(struct stream *s, uint16_t type, const void *bytes, size_t n_bytes,
		  uint64_t now_ms);
/* stream_room: packets that can be filled before too much waits. */
uint32_t stream_room(const struct stream *s);
/* stream_receive: a packet that came over link @link; what became of it. */
enum sync_verdict stream_receive(struct stream *s, uint32_t link, const uint8_t *bytes,
				 size_t n_bytes, uint64_t now_ms);
/* stream_tick: send what is due; when it is to be called again, at the latest. */
uint64_t stream_tick(struct stream *s, uint64_t now_ms);

bool stream_up(const struct stream *s);
/* stream_link_up: something good came over it lately. */
bool stream_link_up(const struct stream *s, uint32_t link, uint64_t now_ms);
/* stream_lag_ms: how long the oldest packet waits for being acknowledged; 0 = none does. */
uint32_t stream_lag_ms(const struct stream *s, uint64_t now_ms);
uint32_t stream_waiting(const struct stream *s); /* packets */
const struct stream_counts *stream_counts(const struct stream *s);

#endif
