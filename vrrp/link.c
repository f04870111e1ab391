/* SPDX-License-Identifier: BSD-2-Clause */
/* link.c: see link.h. */
#include "vrrp/link.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vrrp/vmac.h"

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

/* In ifa_flags: no flag of an interface. */
static const unsigned owned = 1U << 31;

/* What is left out is freed with the rest all the same: glibc has one block for all. */
void link_sources(struct ifaddrs *all, link_source_fn *what_is, void *owner)
{
	struct addr addr;

	for (struct ifaddrs *i = all, *before = NULL; i; i = i->ifa_next) {
		enum link_source what = LINK_SOURCE;

		if (i->ifa_addr && addr_of(i->ifa_addr, &addr))
			what = what_is(owner, i->ifa_name, &addr);
		if (what == LINK_OWNED)
			i->ifa_flags |= owned;
		if (what != LINK_NO_SOURCE)
			before = i;
		else if (before)
			before->ifa_next = i->ifa_next;
		else
			i->ifa_addr = NULL;
	}
}

bool link_forwards_ipv6(void)
{
	char c = '0';
	int fd = open("/proc/sys/net/ipv6/conf/all/forwarding", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	if (read(fd, &c, 1) != 1)
		c = '0';
	close(fd);
	return c != '0';
}

static void link_fill(const struct ifaddrs *i, struct link *link)
{
	const struct sockaddr_ll *ll = (const struct sockaddr_ll *)i->ifa_addr;

	link->ifindex = link->holder = ll->sll_ifindex;
	memcpy(link->mac, ll->sll_addr, sizeof(link->mac));
	link->up = (i->ifa_flags & IFF_UP) && (i->ifa_flags & IFF_RUNNING);
}

/* With a virtual MAC it is the macvlan that has the addresses; 0 = it is not there. */
static void holder_find(const struct ifaddrs *all, const struct config_instance *config,
			struct link *link)
{
	char name[IFNAMSIZ];

	link->holder = 0;
	vmac_of(config, link->mac);
	vmac_name(config, link->ifindex, name);
	for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
		const struct sockaddr_ll *ll = (const struct sockaddr_ll *)i->ifa_addr;

		if (ll && ll->sll_family == AF_PACKET && strcmp(i->ifa_name, name) == 0 &&
		    memcmp(ll->sll_addr, link->mac, sizeof(link->mac)) == 0)
			link->holder = ll->sll_ifindex;
	}
}

static bool is_own_vip(const struct config_instance *config, const struct addr *addr)
{
	for (uint32_t i = 0; i < config->n_addresses; i++) {
		if (memcmp(&config->addresses[i].addr, addr, sizeof(*addr)) == 0)
			return config->priority == UINT8_MAX;
	}
	return false;
}

void link_read(const struct ifaddrs *all, const struct config_instance *config, struct link *link)
{
	struct link now = {0};
	struct addr addr, vip = {0};

	for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
		if (!i->ifa_addr || strcmp(i->ifa_name, config->interface) != 0)
			continue;
		if (i->ifa_addr->sa_family == AF_PACKET)
			link_fill(i, &now);
		else if (!source_of(config, i->ifa_addr, &addr))
			continue;
		else if (i->ifa_flags & owned)
			vip = is_own_vip(config, &addr) ? addr : vip;
		else if (IN6_IS_ADDR_UNSPECIFIED(&now.primary.in6) ||
			 memcmp(&addr, &link->primary, sizeof(addr)) == 0)
			now.primary = addr;
	}
	if (IN6_IS_ADDR_UNSPECIFIED(&now.primary.in6))
		now.primary = vip;
	if (config->virtual_mac && now.ifindex)
		holder_find(all, config, &now);
	*link = now;
}
