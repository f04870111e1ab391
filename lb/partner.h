/* SPDX-License-Identifier: BSD-2-Clause */
/* partner.h: what this node and its partners tell each other, over sync/sync.h.
 *
 * A kind of record is a `struct partner_kind`, a row of the table in partner.c, in a file
 * partner_*.c of its own. To add one: its number below, its struct in a file, its row in the table.
 * Whatever changes is said by partner_send(lb, PARTNER_ALL, ...) when it changes, whether anybody
 * is there or not; `fill` says all of it to a node that has come. So each record holds the whole
 * state of its thing, and a repeated one changes nothing.
 *
 * Both nodes read one file, but not at the same moment: a record that names what we do not have is
 * passed over, and a node that has read its file again asks for everything. Backends are named by
 * partner_backend_key(): 64 bits of pool, name and address.
 */
#ifndef SLUICE_LB_PARTNER_H
#define SLUICE_LB_PARTNER_H

#include "lb/state.h"
#include "sync/sync.h"

enum { PARTNER_ALL = SYNC_ALL };

/* On the wire: numbers are never used for something else. */
enum partner_type {
	PARTNER_NODE = 1,
	PARTNER_ASK = 2,    /* give me everything */
	PARTNER_SYNCED = 3, /* that was everything */
	PARTNER_OPERATOR = 4,
	PARTNER_LIVE = 5,
	PARTNER_POOLS = 6,
	PARTNER_FLOW = 16, /* 16 .. 31: partner_flows.c */
	PARTNER_SLOTS = 17,
	PARTNER_KEEP = 18,
	PARTNER_TRANSLATION = 19,
	PARTNER_TRANSLATION_END = 20,
	PARTNER_HANDOVER = 21,
	PARTNER_EMBRYO = 22, /* of partner_flows.c */
};

struct partner_kind {
	enum partner_type type;
	/* A record came. @bytes is what a node with our secret sent, of any length and content
	 * (another version, a bug): check it. @peer: its index in config->nodes. lb->config is
	 * there. NULL: none of this type comes.
	 */
	void (*record)(struct lb *lb, uint32_t peer, const uint8_t *bytes, size_t n);
	/* Say the next part of everything to @peer, at most about SYNC_FILL_ROOM / 2 packets (or
	 * until partner_send() fails). *cursor is 0 at first, and yours; true = there is more. What
	 * the cursor goes through may change in between: what changes is said anyway. NULL:
	 * nothing.
	 */
	bool (*fill)(struct lb *lb, uint32_t peer, uint64_t *cursor);
	/* Its session ended: what it told is no longer sure. May be NULL. */
	void (*down)(struct lb *lb, uint32_t peer);
	/* Every PARTNER_TICK_MS. May be NULL. */
	void (*tick)(struct lb *lb);
	/* lb->config is a new one; each partner is then asked for everything. May be NULL. */
	void (*configure)(struct lb *lb);
	/* The process ends. May be NULL. */
	void (*fini)(struct lb *lb);
};

enum { PARTNER_TICK_MS = 500 };

/* partner_new: as lb->partner. 0 or -ENOMEM. */
int partner_new(struct lb *lb);
void partner_free(struct lb *lb);
/* partner_key: the secret, as MESSAGE_CONFIG brings it; before partner_configure(). */
void partner_key(struct lb *lb, const uint8_t secret[static 32]);
/* partner_configure: lb->config is a new one. */
void partner_configure(struct lb *lb);

/* ---- for the kinds ---- */

/* partner_send: see sync_send(). Nobody there is no error to look at. */
int partner_send(struct lb *lb, uint32_t peer, enum partner_type type, const void *bytes, size_t n);
/* partner_rows_say: a record of rows from *at on, which goes on: of those that have changed, or
 * all. 0 or what partner_send() returned.
 */
struct partner_rows {
	enum partner_type type;
	uint64_t n;
	size_t row_bytes;
	/* put: write row @i, if it is due (partner_row_due()). */
	bool (*put)(struct lb *lb, uint32_t i, bool all, uint8_t *ret_row);
};
/* partner_row_due: is a row to be said? @changed: since it was said to everybody. One that had
 * changed when it was said to one node alone (@all rows) is said to everybody, too, even when it
 * has changed back: *unsure remembers that.
 */
bool partner_row_due(bool changed, bool all, bool *unsure);
int partner_rows_say(struct lb *lb, uint32_t peer, const struct partner_rows *rows, uint64_t *at,
		     bool all);
/* partner_any: is anybody there to be told? */
bool partner_any(const struct lb *lb);
/* partner_crowded: more cannot be said at once without ending the session of somebody who is not
 * far behind: who can wait, waits.
 */
bool partner_crowded(const struct lb *lb);
/* partner_all_told: each of the others is in sync and has been told everything. */
bool partner_all_told(const struct lb *lb);
/* partner_fills: somebody is being told everything. */
bool partner_fills(const struct lb *lb);
/* partner_node_in_sync: this node knows what there is to know. */
bool partner_node_in_sync(const struct lb *lb);
/* partner_ready: this node is, and what it may do is told before that is. */
void partner_ready(struct lb *lb);
/* partner_may_preempt: it knows, is ready, and sees no fewer backends up than the others. */
bool partner_may_preempt(const struct lb *lb);

/* partner_backend_key: of config index i; partner_backend_find: the index, or -ENOENT. */
uint64_t partner_backend_key(const struct lb *lb, uint32_t i);
int partner_backend_find(const struct lb *lb, uint64_t key);

/* ---- what is known of a partner ---- */

struct partner_node {
	bool told;   /* NODE came in this session */
	bool synced; /* SYNCED, too */
	bool in_sync;
	bool same_config, same_secret;
	int64_t since_s;  /* that it is in sync, or is not; CLOCK_REALTIME */
	char version[32]; /* of its sluice */
};
/* partner_node: of a peer (sync_is_peer()); a pointer that is good until the next turn. */
const struct partner_node *partner_node(const struct lb *lb, uint32_t peer);
/* partner_in_sync: this peer and we know what the other knows, to within a second. */
bool partner_in_sync(const struct lb *lb, uint32_t peer);
const struct sync *partner_sync(const struct lb *lb); /* for what is shown */

#endif
