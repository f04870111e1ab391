/* SPDX-License-Identifier: BSD-2-Clause */
/* guard.h: bpf/guard.bpf.c at tc ingress and egress of the interfaces of instances and of "sync":
 * its maps and where it is attached.
 *
 * It is loaded with root's powers, before vrrp confines itself; after that its descriptors are
 * enough: maps are written through mmap or by descriptor, filters are attached by netlink. Maps are
 * pinned, so that leases go on while vrrp is restarted, and when all of us are dead. An orderly end
 * takes all of it away.
 */
#ifndef SLUICE_VRRP_GUARD_H
#define SLUICE_VRRP_GUARD_H

#include "base/config.h"
#include "bpf/abi_guard.h"

struct guard;

/* guard_open: load, adopt what is pinned below @base. NULL: it cannot be had, which was logged;
 * every function takes that, and does nothing.
 */
struct guard *guard_open(const char *base);
/* guard_close: @remove: take filters and pins away. */
void guard_close(struct guard *g, bool remove);

void guard_set(struct guard *g, const struct guard_settings *settings);
struct guard_settings guard_get(const struct guard *g);

/* guard_lease_find: the lease that guards the address since before; 0 = none. */
uint32_t guard_lease_find(const struct guard *g, const struct addr *vip);

/* The whole of it, in place of what was there; guard_vips() sorts its argument. */
struct guard_vip {
	struct addr vip;
	uint32_t lease; /* or GUARDED_CLOSED */
};
void guard_vips(struct guard *g, struct guard_vip *vips, uint32_t n);
struct guard_partner {
	struct guard_pair pair;
	uint64_t node;
};
void guard_partners(struct guard *g, const struct guard_partner *partners, uint32_t n);

/* guard_interface: this one too, from now until guard_interfaces_end() without it. What cannot be
 * is logged once.
 */
void guard_interface(struct guard *g, const char *name);
void guard_interfaces_end(struct guard *g);
/* guard_look: attach again where somebody took it away, or the interface is another one. */
void guard_look(struct guard *g);

/* guard_lease: a store, no system call. @until_ns: CLOCK_MONOTONIC; 0 = over */
void guard_lease(struct guard *g, uint32_t lease, uint64_t until_ns);
uint64_t guard_lease_until(const struct guard *g, uint32_t lease);
uint64_t guard_count(const struct guard *g, enum guard_count count);

#endif
