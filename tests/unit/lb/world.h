/* SPDX-License-Identifier: BSD-2-Clause */
/* world.h: a node's inputs and the data plane that its plans lead to, for tests. */
#ifndef SLUICE_TESTS_WORLD_H
#define SLUICE_TESTS_WORLD_H

#include "lb/apply.h"
#include "lb/plan.h"

enum { SLOTS = 251, IDLE_S = 60 };

/* A node's inputs, and the data plane that its plans lead to. */
struct world {
	struct config *config;
	struct lb_backend backends[8];
	struct lb_interface interfaces[1];
	struct table_cache *cache;
	struct current *current;
	uint64_t key_print;
	uint32_t now_s;
	bool is_held; /* these settings instead of the configuration's: */
	struct settings held;
	bool swept; /* the sweep has been through the flow table: */
	uint8_t has_flows[BACKEND_MAX];
	uint8_t foreign[SLOTS / 8 + 1]; /* the same for every pool */
	uint64_t live[BACKEND_MAX];
};

/* Pools and services for world_configure(). */
extern const char mx_123[], mx_12[], mx_2_is_another[], in_12[];
extern const char smtp_to_mx[], smtp_to_in[];

/* world_new: one interface, backends mx1 to mx3 up, nothing applied yet. */
struct world *world_new(void);
void world_free(struct world *w);
/* world_configure: every backend is up then. @services may have settings of the node, too. */
void world_configure(struct world *w, const char *pools, const char *services);
struct plan world_plan(struct world *w);
/* world_go: apply what is to be done, in memory only; the names of the steps, one after the other.
 */
const char *world_go(struct world *w);

/* world_apply: with a real kernel; every step and attaching must succeed. */
void world_apply(struct world *w, struct plane *plane);
/* problem_take: for plan_apply(): into char[PLANE_PROBLEM]. */
void problem_take(void *problem, enum step_kind step, const char *interface, const char *text);
/* namespaces_enter: a network and a BPF file system of our own. 0, or the exit status of a test
 * that is skipped; what is missing was said.
 */
int namespaces_enter(void);

/* Below `pins`, what this version pins. */
#define TEXT_OF(number) #number
#define FOLDER(number)	"/sys/fs/bpf/sluice/v" TEXT_OF(number)
#define PIN_FOLDER	FOLDER(SLUICE_ABI_VERSION)

extern const char pins[]; /* a place for plane_open(), in a BPF file system of our own */
/* world_with_veth: a world whose interface is there: a veth, with a dot in its name. */
struct world *world_with_veth(void);
/* world_reopen: as another process does, that knows nothing but what is pinned. */
struct plane *world_reopen(struct world *w);
/* veth_flow_put, veth_flow_is_there: a flow that is told from others by its port alone. */
void veth_flow_put(const struct plane *plane, uint16_t port);
bool veth_flow_is_there(const struct plane *plane, uint16_t port);
uint32_t veth_link_id(const struct plane *plane);
uint32_t veth_program_id(const struct plane *plane); /* that is attached */
int plane_clean(void **state);			     /* a teardown: nothing is left at `pins` */

void assert_same_table(const struct table *a, const struct table *b);
uint32_t owned(const struct world *w, uint32_t pool, uint32_t backend);
bool is_alive(const struct world *w, uint32_t backend);

#endif
