/* SPDX-License-Identifier: BSD-2-Clause */
/* link.h: an interface as vrrp needs it: its state and own addresses, its virtual addresses, and
 * the frames that tell the others where those are.
 *
 * Only addresses of the configuration are ever added, and only those are removed that carry our
 * mark (IFA_PROTO, like the protocol of a route): what the operator put there himself stays.
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

/* May the address be the source of adverts? Virtual ones may not, nor may those that the kernel
 * does not send from (yet). One that a node owns (priority 255) is, where it is the only one there.
 */
enum link_source { LINK_SOURCE, LINK_OWNED, LINK_NO_SOURCE };
typedef enum link_source link_source_fn(void *owner, const char *interface,
					const struct addr *addr);

/* link_sources: take from a list of getifaddrs(), which is read once for all instances, what is no
 * source. It is freed as a whole all the same.
 */
void link_sources(struct ifaddrs *all, link_source_fn *what_is, void *owner);

/* link_read: the interface of the instance as it is in that list. The source of adverts stays
 * the one that *link has as long as the interface has it; unicast has the one of the configuration.
 */
void link_read(const struct ifaddrs *all, const struct config_instance *config, struct link *link);

/* link_add_addresses, link_remove_addresses: those of the instance. What is there (or gone) already
 * is fine. 0, or the last -errno of those that failed; the rest is done all the same.
 * @held: a bit for each that was added by us, and not by somebody else; those alone are removed
 */
int link_add_addresses(struct nl_sock *netlink, const struct link *link,
		       const struct config_instance *config, uint64_t *held);
int link_remove_addresses(struct nl_sock *netlink, const struct link *link,
			  const struct config_instance *config, uint64_t *held);
int link_remove_address(struct nl_sock *netlink, const struct link *link,
			const struct config_vip *vip);

/* One address that is there. @ours: it has our mark; @waits: the kernel does not send from it yet.
 */
struct link_address {
	int ifindex;
	struct config_vip vip;
	bool ours, waits;
};
/* link_addresses: each address of the node. 0 or -errno; -EOPNOTSUPP: this kernel has no marks. */
int link_addresses(struct nl_sock *netlink,
		   void (*tell)(void *owner, const struct link_address *address), void *owner);
/* link_promote: an IPv4 address that goes must not take those with it that the kernel counts as its
 * secondaries: they are other instances'.
 */
void link_promote(struct nl_sock *netlink, const struct link *link);

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
