/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* flood.h: what flood.c tells the program that makes its packets. */
#ifndef SLUICE_TESTS_FLOOD_H
#define SLUICE_TESTS_FLOOD_H

#include <linux/types.h>

#define FLOOD_BYTES	74 /* of a frame: 20 behind TCP's header; a multiple of 8 behind IP's */
#define FLOOD_ACKS_EACH 3

enum flood_kind {
	FLOOD_SYN,
	FLOOD_ACK,	 /* each packet of another flow */
	FLOOD_ACKS,	 /* FLOOD_ACKS_EACH packets of each flow */
	FLOOD_UDP,	 /* flows of one packet */
	FLOOD_FRAGMENTS, /* of UDP packets that are never whole */
};

struct flood {
	__u8 dst_mac[6], src_mac[6];
	__be32 vip;
	__u32 kind; /* enum flood_kind */
	__be16 port;
	__u8 pad[6];
	__u64 salt; /* other flows than those of another run */
};

#endif
