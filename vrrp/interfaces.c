/* SPDX-License-Identifier: BSD-2-Clause */
/* interfaces.c: see interfaces.h.
 *
 * getifaddrs() does not tell whose an address is, nor whether the kernel sends from it yet: the
 * addresses are listed a second time. That comes after, for one that is new in between is not in
 * the first list then; nor may it be left out while all instances run, for an interface that went
 * and came back in one moment has its addresses, and none of IPv6 that sends.
 */
#include "vrrp/interfaces.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/if_packet.h>
#include <netlink/netlink.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "vrrp/instance.h"
#include "vrrp/vmac.h"

enum { WAITING_MOST = 64 };

struct virtual
{
	struct addr addr;
	struct instance *of;
	uint32_t number; /* in its configuration */
};

struct interfaces {
	struct vrrp_process *process;
	struct nl_sock *netlink;
	struct ifaddrs *all;
	struct virtual *virtuals; /* sorted */
	size_t n_virtuals, n_instances;
	struct instance *const *instances;
	struct {
		char interface[IFNAMSIZ];
		struct addr addr;
	} waiting[WAITING_MOST]; /* the kernel does not send from these yet */
	uint32_t n_waiting;
};

/* ---- virtual addresses ---- */

static int by_address(const void *a, const void *b)
{
	const struct virtual *x = a, *y = b;

	return memcmp(&x->addr, &y->addr, sizeof(x->addr));
}

static const struct virtual *virtual_find(const struct interfaces *in, const struct addr *addr)
{
	const struct virtual key = {.addr = *addr};

	return in->n_virtuals ? bsearch(&key, in->virtuals, in->n_virtuals, sizeof(key), by_address)
			      : NULL;
}

/* Each of many instances looks at each address of its interface: a table makes that bearable. */
void interfaces_configure(struct interfaces *in, struct instance *const *instances, uint32_t n)
{
	size_t most = 1;

	interfaces_forget(in);
	free(in->virtuals);
	in->instances = instances;
	in->n_instances = n;
	in->n_virtuals = 0;
	for (uint32_t i = 0; i < n; i++)
		most += instances[i]->config.n_addresses;
	in->virtuals = calloc(most, sizeof(*in->virtuals));
	for (uint32_t i = 0; i < n && in->virtuals; i++) {
		const struct config_instance *config = &instances[i]->config;

		for (uint32_t k = 0; k < config->n_addresses; k++)
			in->virtuals[in->n_virtuals++] =
				(struct virtual){config->addresses[k].addr, instances[i], k};
	}
	if (in->n_virtuals)
		qsort(in->virtuals, in->n_virtuals, sizeof(*in->virtuals), by_address);
}

/* Is it where the instance has its addresses? Or, of IPv4, a label of that ("eth0:1"). */
static bool is_holder(const struct instance *i, const char *interface)
{
	size_t n = strcspn(interface, ":");
	char name[IFNAMSIZ];

	if (i->config.virtual_mac)
		vmac_name(&i->config, i->link.ifindex, name);
	else
		memcpy(name, i->config.interface, sizeof(name));
	return strlen(name) == n && memcmp(name, interface, n) == 0;
}

/* ---- reading ---- */

static void address_take(void *owner, const struct link_address *address)
{
	struct interfaces *in = owner;
	const struct virtual *found = virtual_find(in, &address->vip.addr);

	if (found && address->ours &&
	    found->of->config.addresses[found->number].prefix_len == address->vip.prefix_len)
		found->of->marked[found->number] = address->ifindex;
	if (!found && address->waits && in->n_waiting < WAITING_MOST &&
	    if_indextoname((unsigned)address->ifindex, in->waiting[in->n_waiting].interface))
		in->waiting[in->n_waiting++].addr = address->vip.addr;
}

static void addresses_read(struct interfaces *in)
{
	in->n_waiting = 0;
	for (size_t i = 0; i < in->n_instances; i++)
		memset(in->instances[i]->marked, 0, sizeof(in->instances[i]->marked));
	in->process->unmarked = link_addresses(in->netlink, address_take, in) < 0;
}

static bool waits(const struct interfaces *in, const char *interface, const struct addr *addr)
{
	for (uint32_t i = 0; i < in->n_waiting; i++) {
		if (strcmp(in->waiting[i].interface, interface) == 0 &&
		    memcmp(&in->waiting[i].addr, addr, sizeof(*addr)) == 0)
			return true;
	}
	return false;
}

static enum link_source what_is(void *owner, const char *interface, const struct addr *addr)
{
	const struct interfaces *in = owner;
	const struct virtual *found = virtual_find(in, addr);

	if (!found)
		return waits(in, interface, addr) ? LINK_NO_SOURCE : LINK_SOURCE;
	if (is_holder(found->of, interface))
		found->of->there |= 1ULL << found->number;
	return found->of->config.priority == UINT8_MAX ? LINK_OWNED : LINK_NO_SOURCE;
}

void interfaces_forget(struct interfaces *in)
{
	if (in->all)
		freeifaddrs(in->all);
	in->process->interfaces = in->all = NULL;
}

void interfaces_read(struct interfaces *in)
{
	if (in->all)
		return;
	for (size_t i = 0; i < in->n_instances; i++) {
		in->instances[i]->had = instance_has_addresses(in->instances[i]);
		in->instances[i]->there = 0;
	}
	if (getifaddrs(&in->all) < 0)
		in->all = NULL;
	addresses_read(in);
	link_sources(in->all, what_is, in);
	in->process->interfaces = in->all;
	in->process->forwards_ipv6 = link_forwards_ipv6();
}

/* ---- what was left ---- */

static void address_sweep(void *owner, const struct link_address *address)
{
	const struct interfaces *in = owner;
	const struct virtual *found = virtual_find(in, &address->vip.addr);
	const struct link link = {.ifindex = address->ifindex, .holder = address->ifindex};
	char text[INET6_ADDRSTRLEN];

	if (!address->ours ||
	    (found && found->of->link.holder == address->ifindex &&
	     found->of->config.addresses[found->number].prefix_len == address->vip.prefix_len))
		return;
	log_notice("address %s removed: it was left by a vrrp before this one",
		   addr_format(&address->vip.addr, text));
	link_remove_address(in->process->netlink, &link, &address->vip);
}

static bool is_wanted(const struct interfaces *in, const char *macvlan)
{
	for (size_t i = 0; i < in->n_instances; i++) {
		if (in->instances[i]->config.virtual_mac && is_holder(in->instances[i], macvlan))
			return true;
	}
	return false;
}

void interfaces_sweep(struct interfaces *in)
{
	link_addresses(in->netlink, address_sweep, in);
	for (const struct ifaddrs *i = in->all; i; i = i->ifa_next) {
		if (i->ifa_addr && i->ifa_addr->sa_family == AF_PACKET &&
		    !is_wanted(in, i->ifa_name))
			vmac_remove_left(in->process->netlink, i->ifa_name);
	}
}

/* ---- life ---- */

struct interfaces *interfaces_new(struct vrrp_process *process)
{
	struct interfaces *in = calloc(1, sizeof(*in));

	if (!in)
		return NULL;
	in->process = process;
	in->netlink = nl_socket_alloc();
	if (!in->netlink || nl_connect(in->netlink, NETLINK_ROUTE) < 0) {
		interfaces_free(in);
		return NULL;
	}
	return in;
}

void interfaces_free(struct interfaces *in)
{
	if (!in)
		return;
	interfaces_forget(in);
	nl_socket_free(in->netlink);
	free(in->virtuals);
	free(in);
}
