/* SPDX-License-Identifier: BSD-2-Clause */
/* nodes_case.c: see nodes_case.h. */
#include "tests/unit/lb/nodes_case.h"

struct event_base *loop;
struct node *nodes[NODES];
const char *const node_names[NODES] = {"lb1", "lb2", "lb3"};

int nodes_set_up(void **state)
{
	(void)state;
	loop = event_base_new();
	return loop ? 0 : -1;
}

int nodes_tear_down(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < NODES; i++) {
		node_free(nodes[i]);
		nodes[i] = NULL;
	}
	event_base_free(loop);
	return 0;
}

bool nodes_in_sync(uint32_t i, uint32_t k)
{
	return partner_in_sync(&nodes[i]->lb, k) && partner_in_sync(&nodes[k]->lb, i);
}

bool nodes_all_in_sync(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		for (uint32_t k = i + 1; k < n; k++) {
			if (!nodes_in_sync(i, k))
				return false;
		}
	}
	return true;
}

void nodes_start(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		nodes[i] = node_new(loop, node_names[i], true);
	WAIT_UNTIL(nodes_all_in_sync(n));
}
