/* SPDX-License-Identifier: BSD-2-Clause */
/* suspect.h: what the packets tell of a backend that has gone silent, before its probes can. Pure.
 *
 * Of a server that is up, SYNs become connections. It is suspected when it gets SUSPECT_SYNS or
 * more new ones, fewer than a tenth of them become connections, and it is this backend and not all
 * of them:
 *
 * - the others of its pool open connections as ever; or
 * - it opened so many a moment before that there should have been SUSPECT_EXPECTED by now, and
 *   there is not one. That holds for a pool of one backend, and when many fail at once.
 *
 * Or when more than half of the SYNs of a second have come before, and not those of the others.
 *
 * Or when it is hung: of a server that is stopped the kernel goes on completing handshakes, but its
 * clients wait for a word and have nothing to answer. Of SUSPECT_TALKS connections or more in a
 * window of SUSPECT_TALK_MS (two such windows overlap by half), the packets behind the SYNs are
 * fewer than half of what is usual for it, and those of the others of its pool are as usual: with
 * nobody to compare it with, more clients at once than can be served would look alike. What is
 * usual goes down by an eighth of the difference (a thirty-second where it is so little that it may
 * be a fault), and up by a sixteenth of itself at most: one large mail or download is worth no more
 * than one that has twice the usual.
 *
 * A flood of SYNs from addresses that nobody has looks alike at all backends, and between its SYNs
 * the connections of real clients go on: neither of the two holds. What a stranger can make of it
 * is that a probe comes earlier: it is bounded for a backend (SUSPECT_QUIET_MS, which doubles while
 * it goes on and the backend stays) and for the node (suspect_most()).
 *
 * Datagrams have no SYN: a backend of both TCP and UDP services that opens many flows of UDP hides
 * behind them that it opens none of TCP.
 */
#ifndef SLUICE_LB_SUSPECT_H
#define SLUICE_LB_SUSPECT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/message.h"

enum {
	SUSPECT_SYNS = 8,
	SUSPECT_EXPECTED = 4,
	SUSPECT_RUN_MS = 350,	/* at least so long: a handshake takes its time */
	SUSPECT_MOST_MS = 5000, /* SYNs of longer ago do not count */
	SUSPECT_AGAIN_MS = 1000,
	SUSPECT_TALKS = 8,
	SUSPECT_TALK_MS = 600,
	SUSPECT_WINDOWS = 2,
	SUSPECT_TALK_KNOWN = 10, /* times SUSPECT_TALK_MS, to know what is usual */
	SUSPECT_QUIET_MS = 1000,
	SUSPECT_QUIET_MOST_MS = 60000,
};

/* Counters of a backend, as bpf/abi.h has them. */
struct suspect_counts {
	uint64_t syns, again;
	uint64_t connected; /* opened - waiting */
	uint64_t said;	    /* packets that are no SYNs */
};

/* What is remembered of a backend; begins as zeroes. */
struct suspect_state {
	uint64_t last_ms; /* of the last look; 0 = none */
	bool away;	  /* set by the caller: it did not take connections at a look since then */
	struct suspect_counts run; /* when its connections ended, or at the last look */
	uint64_t run_ms;
	uint32_t run_new; /* SYNs of the run until the last look */
	struct suspect_counts second;
	uint64_t second_ms;
	uint32_t rate_x16;			     /* connections a second, before the run */
	struct suspect_counts talk[SUSPECT_WINDOWS]; /* when each window began */
	uint64_t talk_ms[SUSPECT_WINDOWS];
	uint32_t usual_x16; /* packets to a connection */
	uint32_t usual_of;  /* how often that was learnt */
	/* Of the last seconds, the older the less: to compare with others'. Times 16. */
	uint32_t recent_new, recent_connected, recent_syns, recent_again;
	struct suspect_counts last;
	uint64_t suspected_ms;
	uint32_t quiet_ms;
};

struct suspect {
	bool suspected;
	bool hung;		 /* as message_suspect.hung */
	char text[VERDICT_TEXT]; /* "32 SYNs in 400 ms, none became a connection" */
};

/* suspect_pool: a look at the backends of a pool that take new connections; a few times a second
 * while it has traffic.
 * @states, @now, @ret: @n each, of the same backend
 * The number of them that are suspected.
 */
uint32_t suspect_pool(struct suspect_state *const *states, const struct suspect_counts *now,
		      uint32_t n, uint64_t now_ms, struct suspect *ret);

/* suspect_most: how many of a node's backends may be suspected in a second. */
uint32_t suspect_most(uint32_t n_backends);

#endif
