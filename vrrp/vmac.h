/* SPDX-License-Identifier: BSD-2-Clause */
/* vmac.h: the virtual router's own MAC (RFC 9568 7.3): 00-00-5E-00-01-VRID, for IPv6 -02-.
 *
 * Its addresses are on a macvlan of the instance's interface, which is up while they are there. It
 * is named by family, VRID and the interface's index, "sl4.51.2": short enough for every interface.
 * Mode bridge: in modes private and vepa's kin the kernel hands what comes from a partner that is
 * active beside us, from the same MAC, to the macvlan alone, and its adverts would be lost.
 *
 * Adverts and announcements are frames of a packet socket on the interface itself, with the virtual
 * MAC as their source: they need no macvlan that is up, and leave first. Unicast adverts go by the
 * kernel's own way, from the interface's MAC.
 *
 * The interface's filter has the MAC all the time: a backup's XDP program forwards what is sent to
 * it as soon as the switch brings it. Its kernel does not: the macvlan is down.
 *
 * What is on the interface itself answers ARP for its own addresses alone from then on (arp_ignore
 * 1), and never asks in the name of others (arp_announce 2): that would tell the link its own MAC.
 */
#ifndef SLUICE_VRRP_VMAC_H
#define SLUICE_VRRP_VMAC_H

#include "vrrp/link.h"

/* vmac_of: the MAC. vmac_name: of the macvlan. */
void vmac_of(const struct config_instance *config, uint8_t ret_mac[static 6]);
void vmac_name(const struct config_instance *config, int ifindex, char ret_name[static IFNAMSIZ]);

/* vmac_make: the macvlan as it must be, made when it is not there: link->holder. 0; -EEXIST:
 * another interface has its name, and is left alone; or another -errno.
 */
int vmac_make(struct nl_sock *netlink, const struct config_instance *config, struct link *link);
/* vmac_remove: it is no longer wanted. */
void vmac_remove(struct nl_sock *netlink, const struct config_instance *config, struct link *link);
/* vmac_remove_left: the interface, if it is a macvlan that vmac_make() would have made so. */
void vmac_remove_left(struct nl_sock *netlink, const char *name);

/* An advert as a frame: Ethernet, IPv4 or IPv6, @n bytes of VRRP, to the group. */
enum { VMAC_HEADERS = 14 + 40, VMAC_FRAME_MOST = VMAC_HEADERS + 8 + 255 * 16 };
size_t vmac_frame(const struct config_instance *config, const struct link *link,
		  const uint8_t *vrrp, size_t n, uint8_t ret_frame[static VMAC_FRAME_MOST]);

/* vmac_send: an advert from the virtual MAC; @packet_socket: an AF_PACKET one. 0 or -errno. */
int vmac_send(int packet_socket, const struct config_instance *config, const struct link *link,
	      uint8_t priority);

#endif
