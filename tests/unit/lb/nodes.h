/* SPDX-License-Identifier: BSD-2-Clause */
/* nodes.h: lb processes' state without their processes: up to three nodes of one configuration in
 * one event loop, which speak to each other by real sockets over lo. Their reconcilers are stopping
 * already and change no data plane; time passes by nodes_tick().
 */
#ifndef SLUICE_TESTS_NODES_H
#define SLUICE_TESTS_NODES_H

#include <event2/event.h>

#include "lb/partner.h"
#include "lb/plane.h"
#include "lb/state.h"

struct node {
	struct lb lb;
	struct plane plane; /* no maps: whoever wants some puts them there */
};

/* A pool "mx" with mx1, mx2 and mx3 of mode MODE, its service at 192.0.2.10, which is virtual; a
 * pool "in" whose service's VIP is each node's own.
 */
extern const char nodes_text[];
/* nodes_lo_up: in a network namespace of our own: true = lo is there. */
bool nodes_lo_up(void);
/* node_new: @name: lb1, lb2 or lb3. @synced: with "sync". NULL: what is missing was printed. */
struct node *node_new(struct event_base *loop, const char *name, bool synced);
/* node_reload: the same configuration again, with "sync" or without it. */
bool node_reload(struct node *node, bool synced);
void node_free(struct node *node); /* NULL is fine */
/* node_role: of the only virtual router. */
void node_role(struct node *node, enum vrrp_role role);
/* nodes_pass: the loop goes round for so long. */
void nodes_pass(struct event_base *loop, uint32_t ms);
/* nodes_tick: the ticks of all kinds, until each has said and done what there was. */
void nodes_tick(struct node *const *nodes, uint32_t n);

#endif
