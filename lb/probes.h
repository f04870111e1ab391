/* SPDX-License-Identifier: BSD-2-Clause */
/* probes.h: which VIPs backends are probed through, as a list: what a configuration wants in the
 * map `probe_vips` (bpf/abi_probe.h), and what is there.
 */
#ifndef SLUICE_LB_PROBES_H
#define SLUICE_LB_PROBES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"
#include "bpf/abi_probe.h"

struct lb_interface;

struct probe_entry {
	uint32_t mark;
	struct probe_vip vip;
};

struct probe_list { /* sorted by mark */
	struct probe_entry *entries;
	uint32_t n;
};

/* probe_list_init: what @config wants. Pure. @interfaces: of config->node. 0 or -ENOMEM. */
int probe_list_init(const struct config *config, const struct lb_interface *interfaces,
		    struct probe_list *ret_list);
void probe_list_fini(struct probe_list *list);
int probe_list_copy(const struct probe_list *list, struct probe_list *ret_list);
bool probe_list_equal(const struct probe_list *a, const struct probe_list *b);
/* probe_list_sort: after entries were put there. */
void probe_list_sort(struct probe_list *list);

/* interface_own: own4 and own6 of @interface: an address of each family that is no VIP of @config;
 * looked up only where a VIP and a backend are of different families.
 */
void interface_own(const struct config *config, struct lb_interface *interface);

#endif
