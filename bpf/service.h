/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* service.h: the second stage: whose packet is it? */
#ifndef SLUICE_BPF_SERVICE_H
#define SLUICE_BPF_SERVICE_H

#include "bpf/maps.h"
#include "bpf/parse.h"

static __always_inline void service_key_make(const struct packet *p, __u32 port_protocol,
					     struct service_key *ret_key)
{
	__u32 *addr = (__u32 *)ret_key->addr;

	if (!p->ipv6) {
		addr[0] = addr[1] = 0;
		addr[2] = MAPPED_PREFIX;
	} else {
		__builtin_memcpy(addr, p->dst, 12);
	}
	addr[3] = p->dst[3];
	*(__u32 *)&ret_key->port = port_protocol;
}

/* service_of: the record of the packet's destination and @port_protocol; NULL when there is none.
 *
 * An IPv6 packet to ::ffff:a.b.c.d is for none: such addresses do not exist on a wire (RFC 6890,
 * table 20) and would otherwise reach the services and flows of the IPv4 address.
 */
static __always_inline const struct service *service_of(const struct packet *p, __u32 port_protocol)
{
	const struct service_line *line;
	__u32 at, differs;

	if (likely(!p->ipv6))
		at = service_line_v4(hash_key, p->dst[3], port_protocol);
	else
		at = service_line_v6(hash_key, p->dst, port_protocol);
	line = bpf_map_lookup_elem(&service_lines, &at);
	if (unlikely(!line) || line->state == LINE_EMPTY)
		return NULL;
	differs = (line->addr[3] ^ p->dst[3]) | (line->port_protocol ^ port_protocol);
	if (likely(!p->ipv6))
		differs |= line->addr[2] ^ MAPPED_PREFIX;
	else if (unlikely(!(p->dst[0] | p->dst[1]) && p->dst[2] == MAPPED_PREFIX))
		return NULL;
	else
		differs |= (line->addr[0] ^ p->dst[0]) | (line->addr[1] ^ p->dst[1]) |
			   (line->addr[2] ^ p->dst[2]);
	if (likely(!differs && line->state == LINE_KEY))
		return &line->service;
	if (line->state == LINE_ASK) {
		struct service_key key; /* several services share the line */

		service_key_make(p, port_protocol, &key);
		return bpf_map_lookup_elem(&services, &key);
	}
	return NULL;
}

/* service_find: the service of a packet; NULL when it is for none. */
static __always_inline const struct service *service_find(const struct packet *p)
{
	return service_of(p, p->ports >> 16 | p->protocol << 16);
}

/* vip_find: the record of the VIP that a packet was sent to; NULL when it is not to one. */
static __always_inline const struct service *vip_find(const struct packet *p)
{
	return service_of(p, 0);
}

#endif
