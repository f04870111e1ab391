/* SPDX-License-Identifier: BSD-2-Clause */
/* interface.h: what the kernel says of the node's interfaces. */
#ifndef SLUICE_LB_INTERFACE_H
#define SLUICE_LB_INTERFACE_H

#include "lb/state.h"

/* interface_read: index, MAC and state of the interface by that name, as they are now; zeroes when
 * there is none. The other members stay.
 */
void interface_read(struct lb_interface *interface);
/* interface_mac: of an interface by its index; false: it has none of Ethernet. */
bool interface_mac(uint32_t ifindex, uint8_t ret_mac[static 6]);

#endif
