/* SPDX-License-Identifier: BSD-2-Clause */
/* packet.h: VRRPv3 advertisements as bytes (RFC 9568 5.2), for IPv4 and IPv6. Pure.
 *
 * Over IPv4 two checksums are in use: RFC 9568 (and Cisco, Juniper, Arista) leave the pseudo-header
 * out, RFC 5798 as keepalived and FRR read it puts it in. Both are accepted; which is sent is the
 * operator's choice.
 */
#ifndef SLUICE_VRRP_PACKET_H
#define SLUICE_VRRP_PACKET_H

#include "base/config.h"

enum {
	VRRP_PROTOCOL = 112,
	VRRP_TTL = 255,
	VRRP_HEADER = 8,
	VRRP_PACKET_MOST = VRRP_HEADER + 255 * 16,
};

struct vrrp_advert {
	struct addr src, dst; /* of the packet */
	uint8_t ttl;	      /* or hop limit, as received */
	bool ipv6;
	uint8_t vrid;
	uint8_t priority;   /* 0: its sender leaves */
	uint16_t advert_cs; /* 1 .. 4095 */
	uint8_t n_addresses;
	struct addr addresses[255];
};

/* Why a packet was no advert for us; counted by kind. */
#define VRRP_VERDICTS(V)                                                                           \
	V(GOOD, "good")                                                                            \
	V(SHORT, "shorter than its header and addresses")                                          \
	V(BAD_TTL, "TTL or hop limit is not 255")                                                  \
	V(VERSION, "not version 3")                                                                \
	V(TYPE, "not an advertisement")                                                            \
	V(CHECKSUM, "checksum is wrong")                                                           \
	V(VRID, "vrid 0")                                                                          \
	V(ADDRESSES, "no address, or more bytes than addresses")                                   \
	V(INTERVAL, "interval 0")                                                                  \
	V(NOT_LINK_LOCAL, "IPv6 sender or first address is not link-local")

enum vrrp_verdict {
#define VRRP_VERDICT_ENUM(name, text) VRRP_##name,
	VRRP_VERDICTS(VRRP_VERDICT_ENUM)
#undef VRRP_VERDICT_ENUM
		VRRP_VERDICT_COUNT
};

const char *vrrp_verdict_text(enum vrrp_verdict verdict);

/* vrrp_is_for: has the packet this vrid, whatever else it may be? Others' packets are not even
 * counted. */
bool vrrp_is_for(const uint8_t *bytes, size_t len_bytes, uint8_t vrid);

/* vrrp_decode: @bytes is what follows the IP header; src, dst, ttl and ipv6 of *advert are filled
 * in by the caller from that header, the rest by us, completely, when the verdict is VRRP_GOOD.
 */
enum vrrp_verdict vrrp_decode(const uint8_t *bytes, size_t len_bytes, struct vrrp_advert *advert);

/* vrrp_encode: the advert as bytes, for the addresses src and dst; the number of bytes. */
size_t vrrp_encode(const struct vrrp_advert *advert, enum config_checksum checksum,
		   uint8_t ret_bytes[static VRRP_PACKET_MOST]);

#endif
