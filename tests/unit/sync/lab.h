/* SPDX-License-Identifier: BSD-2-Clause */
/* lab.h: up to three nodes that speak by real sockets, over two links of a namespace of their own.
 * Between any two of them stands a relay: a node knows each other one by an address of the relay,
 * which passes packets on, or loses, repeats, delays, changes or keeps them. Each node has things
 * with values, and says them to the others.
 */
#ifndef SLUICE_TESTS_SYNC_LAB_H
#define SLUICE_TESTS_SYNC_LAB_H

#include "sync/sync.h"

enum { NODES = 3, LINKS = 2, PORT = 5405, THINGS = 150000, NOTED = 20000, VALUE = 3 };

struct node {
	struct sync *sync;
	uint32_t i, n_things;
	uint32_t *own, *heard[NODES];
	uint32_t cursor[NODES], ups[NODES], downs[NODES];
};

struct noted {
	uint32_t link, from, to;
	size_t n;
	uint8_t bytes[SYNC_PACKET_MOST];
};

struct lab {
	struct event_base *loop;
	struct node nodes[NODES];
	uint32_t n_nodes, rate;
	uint8_t secret[NODES][32];
	/* the relay; [link][to whom][from whom] */
	int sockets[LINKS][NODES][NODES];
	struct event *events[LINKS][NODES][NODES];
	bool dead_link[LINKS], cut[NODES]; /* what comes from a node, and goes to it */
	uint32_t loss_percent, twice_percent, late_percent;
	uint32_t seed;
	struct noted late, *noted;
	uint32_t n_noted;
	bool notes;
	void (*change)(uint8_t *bytes, size_t *n);
};
extern struct lab lab;

int lab_set_up(void **state);
int lab_tear_down(void **state);
bool lab_lo_up(void); /* in a network namespace of our own */
/* lab_start: @n_nodes of them, with so many things each. */
void lab_start(uint32_t n_nodes, uint32_t n_things);
void node_start(uint32_t i);
void node_stop(uint32_t i);
void node_configure(uint32_t i); /* with lab.secret[i], of lab.n_nodes */
void lab_pass(uint32_t ms);
uint32_t lab_chance(uint32_t n);
struct addr lab_addr(uint32_t link, uint32_t last);
struct addr node_addr(uint32_t link, uint32_t node);
/* lab_deliver: to p->to, as if p->from had sent it. */
void lab_deliver(const struct noted *p);

void value_set(uint32_t i, uint32_t thing, uint32_t value);
bool is_up(uint32_t i, uint32_t peer);
bool knows(uint32_t i, uint32_t peer); /* does @i know all that @peer has to say? */
bool all_know(void);
struct sync_peer_state state_of(uint32_t i, uint32_t peer);

#endif
