/* SPDX-License-Identifier: BSD-2-Clause */
/* prod_again.h: prods (prod.h) that are repeated once, where other nodes have the same VIPs.
 *
 * The client's answer goes by whichever node the router chooses. Where that one has not found out
 * yet, the answer is lost at the dead backend; and when it does find out, within the next 500 ms,
 * its own prod is not answered any more (tcp_invalid_ratelimit of Linux).
 */
#ifndef SLUICE_LB_PROD_AGAIN_H
#define SLUICE_LB_PROD_AGAIN_H

#include "lb/prod.h"

struct event_base;
struct prod_again;

enum { PROD_AGAIN_MS = 1000, PROD_AGAIN_MOST = 16384 /* that wait; more are not repeated */ };

/* prod_again_new: @prod is borrowed. NULL: out of memory */
struct prod_again *prod_again_new(struct event_base *loop, struct prod *prod);
void prod_again_free(struct prod_again *p);
void prod_again_add(struct prod_again *p, const struct tuple *flow);

#endif
