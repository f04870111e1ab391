/* SPDX-License-Identifier: BSD-2-Clause */
/* link.h: an interface as vrrp needs it: its state and own addresses, its virtual addresses, and
 * the frames that tell the others where those are.
 *
 * Only addresses of the configuration are ever added or removed.
 */
#ifndef SLUICE_VRRP_LINK_H
#define SLUICE_VRRP_LINK_H

#include "base/config.h"

struct ifaddrs;
struct nl_sock;

struct link {
	int ifindex; /* 0 = not there */
	int holder; /* that has the virtual addresses: the interface, or a macvlan of it (vmac.h) */
	bool up;    /* administratively, and with a carrier */
	bool forwards_ipv6;
	uint8_t mac[6];	     /* of the virtual addresses */
	struct addr primary; /* the source of adverts; unspecified = none yet */
};

/* link_forwards_ipv6: is the node a router, as its neighbour advertisements have to say? */
bool link_forwards_ipv6(void);

/* Is the address a virtual one, of any instance? Those are never the source of adverts. */
typedef bool is_virtual_fn(void *owner, const struct addr *addr);

/* link_snapshot: all interfaces and addresses as they are now, without the virtual ones: read once
 * for all instances. freeifaddrs() it; NULL when it cannot be had.
 */
struct ifaddrs *link_snapshot(is_virtual_fn *is_virtual, void *owner);

/* link_read: the interface of the instance as it is in the snapshot. The source of adverts stays
 * the one that *link has as long as the interface has it; unicast has the one of the configuration.
 */
void link_read(const struct ifaddrs *all, const struct config_instance *config, struct link *link);

/* link_add_addresses, link_remove_addresses: those of the instance. What is there (or gone) already
 * is fine. 0, or the last -errno of those that failed; the rest is done all the same.
 */
int link_add_addresses(struct nl_sock *netlink, const struct link *link,
		       const struct config_instance *config);
int link_remove_addresses(struct nl_sock *netlink, const struct link *link,
			  const struct config_instance *config);
int link_remove_address(struct nl_sock *netlink, const struct link *link,
			const struct config_vip *vip);

enum { ANNOUNCE_BYTES = 96 };

/* announce_arp: a gratuitous ARP request (RFC 5227 3) for an IPv4 address; the frame's bytes. */
size_t announce_arp(const uint8_t mac[static 6], const struct addr *vip,
		    uint8_t ret_frame[static ANNOUNCE_BYTES]);
/* announce_na: an unsolicited neighbour advertisement (RFC 4861 7.2.6), override set. */
size_t announce_na(const uint8_t mac[static 6], const struct addr *vip, bool router,
		   uint8_t ret_frame[static ANNOUNCE_BYTES]);

/* link_announce: send them for the addresses from .. to_before - 1, in one system call;
 * packet_socket is an AF_PACKET one. 0 or -errno.
 */
int link_announce(int packet_socket, const struct link *link, const struct config_instance *config,
		  uint32_t from, uint32_t to_before);

#endif
