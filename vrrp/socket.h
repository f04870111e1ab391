/* SPDX-License-Identifier: BSD-2-Clause */
/* socket.h: the raw socket of one instance: adverts in and out of one interface. */
#ifndef SLUICE_VRRP_SOCKET_H
#define SLUICE_VRRP_SOCKET_H

#include "vrrp/link.h"
#include "vrrp/packet.h"

/* vrrp_socket_open: bound to the interface, in its group or, for unicast, bound to the source;
 * non-blocking. The kernel passes it packets of the instance's vrid alone. The fd or -errno.
 */
int vrrp_socket_open(const struct config_instance *config, const struct link *link);

/* vrrp_socket_receive: one packet, decoded and judged; *ret_verdict says whether *ret_advert is
 * one. 0, -ENOMSG when it was of another vrid, -EAGAIN when there is none, or another -errno.
 */
int vrrp_socket_receive(int fd, const struct config_instance *config,
			struct vrrp_advert *ret_advert, enum vrrp_verdict *ret_verdict);

/* vrrp_socket_send: an advert of this priority to the group, or to each of the peers. 0, or the
 * last -errno; never blocks.
 */
int vrrp_socket_send(int fd, const struct config_instance *config, const struct link *link,
		     uint8_t priority);

#endif
