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

/* May this address be the source of the instance's adverts (RFC 9568 5.1.1.1, 5.1.2.1)? */
static bool source_of(const struct config_instance *config, const struct sockaddr *sa,
		      struct addr *ret)
{
	struct addr addr = {.in6.s6_addr = {[10] = 0xff, [11] = 0xff}};

	if (sa->sa_family == AF_INET && !config->ipv6) {
		memcpy(addr.in6.s6_addr + 12, &((const struct sockaddr_in *)sa)->sin_addr, 4);
	} else if (sa->sa_family == AF_INET6 && config->ipv6) {
		addr.in6 = ((const struct sockaddr_in6 *)sa)->sin6_addr;
		if (!IN6_IS_ADDR_LINKLOCAL(&addr.in6))
			return false;
	} else {
		return false;
	}
	*ret = addr;
	return true;
}

/* ---- all interfaces, read once for all instances ---- */

struct links {
	struct ifaddrs *all;
	bool forwards_ipv6;
};

static bool forwards_ipv6(void)
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

struct links *links_read(void)
{
	struct links *links = calloc(1, sizeof(*links));

	if (links && getifaddrs(&links->all) < 0) {
		free(links);
		return NULL;
	}
	if (links)
		links->forwards_ipv6 = forwards_ipv6();
	return links;
}

void links_free(struct links *links)
{
	if (!links)
		return;
	freeifaddrs(links->all);
	free(links);
}

static void link_fill(const struct ifaddrs *i, struct link *link)
{
	const struct sockaddr_ll *ll = (const struct sockaddr_ll *)i->ifa_addr;

	link->ifindex = link->holder = ll->sll_ifindex;
	memcpy(link->mac, ll->sll_addr, sizeof(link->mac));
	link->up = (i->ifa_flags & IFF_UP) && (i->ifa_flags & IFF_RUNNING);
}

/* With a virtual MAC it is the macvlan that has the addresses; 0 = it is not there. */
static void holder_find(const struct links *links, const struct config_instance *config,
			struct link *link)
{
	char name[IFNAMSIZ];

	link->holder = 0;
	vmac_of(config, link->mac);
	vmac_name(config, link->ifindex, name);
	for (const struct ifaddrs *i = links->all; i; i = i->ifa_next) {
		const struct sockaddr_ll *ll = (const struct sockaddr_ll *)i->ifa_addr;

		if (ll && ll->sll_family == AF_PACKET && strcmp(i->ifa_name, name) == 0 &&
		    memcmp(ll->sll_addr, link->mac, sizeof(link->mac)) == 0)
			link->holder = ll->sll_ifindex;
	}
}

void link_read(const struct links *links, const struct config_instance *config,
	       is_virtual_fn *is_virtual, void *owner, struct link *link)
{
	struct link now = {.forwards_ipv6 = links->forwards_ipv6};
	struct addr addr;

	for (const struct ifaddrs *i = links->all; i; i = i->ifa_next) {
		if (strcmp(i->ifa_name, config->interface) != 0 || !i->ifa_addr)
			continue;
		if (i->ifa_addr->sa_family == AF_PACKET)
			link_fill(i, &now);
		else if (source_of(config, i->ifa_addr, &addr) &&
			 (IN6_IS_ADDR_UNSPECIFIED(&now.primary.in6) ||
			  memcmp(&addr, &link->primary, sizeof(addr)) == 0) &&
			 !is_virtual(owner, &addr))
			now.primary = addr;
	}
	if (config->virtual_mac && now.ifindex)
		holder_find(links, config, &now);
	*link = now;
}
