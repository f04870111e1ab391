/* SPDX-License-Identifier: BSD-2-Clause */
/* nodes_case.h: nodes (nodes.h) for test cases of cmocka: up to three of them, in one loop, which a
 * test starts as it needs them.
 */
#ifndef SLUICE_TESTS_NODES_CASE_H
#define SLUICE_TESTS_NODES_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "tests/unit/lb/nodes.h"

enum { NODES = 3, NODES_WAIT_MS = 10000 };

extern struct event_base *loop;
extern struct node *nodes[NODES];
extern const char *const node_names[NODES];

#define WAIT_UNTIL(condition)                                                                      \
	do {                                                                                       \
		uint64_t until_ms = clock_ms() + NODES_WAIT_MS;                                    \
		while (!(condition) && clock_ms() < until_ms)                                      \
			nodes_pass(loop, 1);                                                       \
		assert_true(condition);                                                            \
	} while (0)

/* nodes_set_up: a loop, and no node yet. */
int nodes_set_up(void **state);
int nodes_tear_down(void **state);
/* nodes_in_sync: do both know all that the other knows? */
bool nodes_in_sync(uint32_t i, uint32_t k);
/* nodes_all_in_sync: the first @n of them. */
bool nodes_all_in_sync(uint32_t n);
/* nodes_start: the first @n of them, with "sync"; they are in sync. */
void nodes_start(uint32_t n);

#endif
