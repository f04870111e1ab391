/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* service.h: the second stage: whose packet is it? */
#ifndef SLUICE_BPF_SERVICE_H
#define SLUICE_BPF_SERVICE_H

#include "bpf/maps.h"
#include "bpf/parse.h"

/* service_find: the service of a packet, NULL when it is for none.
 *
 * An IPv6 packet to ::ffff:a.b.c.d is for none: such addresses do not exist on a wire (RFC 6890,
 * table 20) and would otherwise reach the services and flows of the IPv4 address.
 */
static __always_inline const struct service *service_find(const struct packet *p)
{
	struct service_key key;
	__u32 *addr = (__u32 *)key.addr;

	if (likely(!p->ipv6)) {
		addr[0] = addr[1] = 0;
		addr[2] = MAPPED_PREFIX;
	} else {
		__builtin_memcpy(addr, p->dst, 12);
		if (unlikely(!(addr[0] | addr[1]) && addr[2] == MAPPED_PREFIX))
			return NULL;
	}
	addr[3] = p->dst[3];
	key.port = (__be16)(p->ports >> 16);
	key.protocol = (__u8)p->protocol;
	key.pad = 0;
	return bpf_map_lookup_elem(&services, &key);
}

#endif
