/* SPDX-License-Identifier: BSD-2-Clause */
/* link.c: see link.h. Addresses go through libnl, and are added as deprecated for IPv6 so that the
 * node never picks a virtual address as the source of its own connections.
 */
#include "vrrp/link.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/if_addr.h>
#include <linux/if_packet.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <stdlib.h>
#include <string.h>

static bool addr_of(const struct sockaddr *sa, struct addr *ret)
{
	struct addr addr = {.in6.s6_addr = {[10] = 0xff, [11] = 0xff}};

	if (sa->sa_family == AF_INET)
		memcpy(addr.in6.s6_addr + 12, &((const struct sockaddr_in *)sa)->sin_addr, 4);
	else if (sa->sa_family == AF_INET6)
		addr.in6 = ((const struct sockaddr_in6 *)sa)->sin6_addr;
	else
		return false;
	*ret = addr;
	return true;
}

/* May this address be the source of the instance's adverts (RFC 9568 5.1.1.1, 5.1.2.1)? */
static bool source_of(const struct config_instance *config, const struct sockaddr *sa,
		      struct addr *ret)
{
	if ((sa->sa_family == AF_INET6) != config->ipv6 || !addr_of(sa, ret))
		return false;
	if (config->unicast)
		return memcmp(ret, &config->source, sizeof(*ret)) == 0;
	return !config->ipv6 || IN6_IS_ADDR_LINKLOCAL(&ret->in6);
}

struct ifaddrs *link_snapshot(is_virtual_fn *is_virtual, void *owner)
{
	struct ifaddrs *all = NULL;
	struct addr addr;

	if (getifaddrs(&all) < 0)
		return NULL;
	for (struct ifaddrs *i = all; i; i = i->ifa_next) {
		if (i->ifa_addr && addr_of(i->ifa_addr, &addr) && is_virtual(owner, &addr))
			i->ifa_addr = NULL; /* freed as a whole all the same */
	}
	return all;
}

void link_read(const struct ifaddrs *all, const struct config_instance *config, struct link *link)
{
	struct link now = {0};
	struct addr addr;

	for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
		if (!i->ifa_addr || strcmp(i->ifa_name, config->interface) != 0)
			continue;
		if (i->ifa_addr->sa_family == AF_PACKET) {
			const struct sockaddr_ll *ll = (const struct sockaddr_ll *)i->ifa_addr;

			now.ifindex = ll->sll_ifindex;
			memcpy(now.mac, ll->sll_addr, sizeof(now.mac));
			now.up = (i->ifa_flags & IFF_UP) && (i->ifa_flags & IFF_RUNNING);
		} else if (source_of(config, i->ifa_addr, &addr) &&
			   (IN6_IS_ADDR_UNSPECIFIED(&now.primary.in6) ||
			    memcmp(&addr, &link->primary, sizeof(addr)) == 0)) {
			now.primary = addr;
		}
	}
	*link = now;
}

/* ---- addresses ---- */

static struct rtnl_addr *address_new(int ifindex, const struct config_vip *vip)
{
	bool ipv4 = addr_is_ipv4(&vip->addr);
	struct rtnl_addr *address = rtnl_addr_alloc();
	struct nl_addr *local = nl_addr_build(
		ipv4 ? AF_INET : AF_INET6, vip->addr.in6.s6_addr + (ipv4 ? 12 : 0), ipv4 ? 4 : 16);

	if (address && local) {
		nl_addr_set_prefixlen(local, vip->prefix_len);
		rtnl_addr_set_ifindex(address, ifindex);
		rtnl_addr_set_local(address, local);
		if (!ipv4) {
			rtnl_addr_set_flags(address, IFA_F_NODAD);
			rtnl_addr_set_preferred_lifetime(address, 0);
			rtnl_addr_set_valid_lifetime(address, 0xffffffffU);
		}
	} else if (address) {
		rtnl_addr_put(address);
		address = NULL;
	}
	nl_addr_put(local);
	return address;
}

static int address_add(struct nl_sock *netlink, int ifindex, const struct config_vip *vip)
{
	struct rtnl_addr *address = address_new(ifindex, vip);
	int r = address ? rtnl_addr_add(netlink, address, NLM_F_REPLACE) : -NLE_NOMEM;

	rtnl_addr_put(address);
	return r == -NLE_EXIST ? 0 : r;
}

int link_remove_address(struct nl_sock *netlink, int ifindex, const struct config_vip *vip)
{
	struct rtnl_addr *address = address_new(ifindex, vip);
	int r = address ? rtnl_addr_delete(netlink, address, 0) : -NLE_NOMEM;

	rtnl_addr_put(address);
	return r == -NLE_NOADDR ? 0 : r;
}

int link_add_addresses(struct nl_sock *netlink, int ifindex, const struct config_instance *config)
{
	int failed = 0;

	for (uint32_t i = 0; i < config->n_addresses; i++) {
		int r = address_add(netlink, ifindex, &config->addresses[i]);

		failed = r < 0 ? r : failed;
	}
	return failed;
}

int link_remove_addresses(struct nl_sock *netlink, int ifindex,
			  const struct config_instance *config)
{
	int failed = 0;

	for (uint32_t i = 0; i < config->n_addresses; i++) {
		int r = link_remove_address(netlink, ifindex, &config->addresses[i]);

		failed = r < 0 ? r : failed;
	}
	return failed;
}
