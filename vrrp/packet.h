/* SPDX-License-Identifier: BSD-2-Clause */
/* packet.h: VRRP advertisements as bytes: version 3 (RFC 9568 5.2) for IPv4 and IPv6, version 2
 * (RFC 3768 5.3, with the simple password of RFC 2338) for IPv4. Pure.
 *
 * Over IPv4 two checksums of version 3 are in use: RFC 9568 (and Cisco, Juniper, Arista) leave the
 * pseudo-header out, RFC 5798 as keepalived and FRR read it puts it in. Both are accepted; which is
 * sent is the operator's choice. Version 2 has no pseudo-header.
 *
 * vrrp_decode() says whether bytes are an advert, vrrp_judge() whether it is one for an instance.
 */
#ifndef SLUICE_VRRP_PACKET_H
#define SLUICE_VRRP_PACKET_H

#include "base/config.h"
#include "base/message.h"

enum {
	VRRP_PROTOCOL = 112,
	VRRP_TTL = 255,
	VRRP_HEADER = 8,
	VRRP_PACKET_MOST = VRRP_HEADER + 255 * 16,
	VRRP_AUTH_SIZE = 8, /* version 2: after the addresses, even without a password */
	VRRP_AUTH_NONE = 0,
	VRRP_AUTH_PASSWORD = 1,
};

struct vrrp_advert {
	struct addr src, dst; /* of the packet */
	uint8_t ttl;	      /* or hop limit, as received */
	bool ipv6;
	uint8_t version; /* 2 or 3 */
	uint8_t vrid;
	uint8_t priority;   /* 0: its sender leaves */
	uint16_t advert_cs; /* 1 .. 4095; version 2: 100, 200 .. 25500 */
	uint8_t auth_type;  /* version 2: VRRP_AUTH_*, or what else was sent */
	uint8_t auth[VRRP_AUTH_SIZE];
	uint8_t n_addresses;
	struct addr addresses[255];
};

const char *vrrp_verdict_text(enum vrrp_verdict verdict);

/* vrrp_is_for: has the packet this vrid, whatever else it may be? Others' packets are not even
 * counted. */
bool vrrp_is_for(const uint8_t *bytes, size_t len_bytes, uint8_t vrid);

/* vrrp_decode: @bytes is what follows the IP header; src, dst, ttl and ipv6 of *advert are filled
 * in by the caller from that header, and version: the one that is expected. The rest is filled in
 * by us, completely, when the verdict is VRRP_GOOD.
 */
enum vrrp_verdict vrrp_decode(const uint8_t *bytes, size_t len_bytes, struct vrrp_advert *advert);

/* vrrp_judge: is a decoded advert one that the instance believes? VRRP_ADDRESSES_DIFFER is to be
 * counted and said, but the advert is good (RFC 9568 7.1: it may be checked): two nodes that know
 * different addresses are better off with one of them active than with both.
 */
enum vrrp_verdict vrrp_judge(const struct vrrp_advert *advert,
			     const struct config_instance *config);

/* vrrp_advert_fill: an advert of the instance: all but src and dst. */
void vrrp_advert_fill(const struct config_instance *config, uint8_t priority,
		      struct vrrp_advert *ret_advert);

/* vrrp_encode: the advert as bytes, for the addresses src and dst; the number of bytes. */
size_t vrrp_encode(const struct vrrp_advert *advert, enum config_checksum checksum,
		   uint8_t ret_bytes[static VRRP_PACKET_MOST]);

#endif
