/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* abi_nat.h: what lb/ and the XDP program share for nat and fullnat; belongs to abi.h.
 *
 * In nat nothing is remembered of a flow: `returns` tells whose answer a packet is. A service with
 * SERVICE_STATEFUL, and each of fullnat, has a translation for each flow, in two maps: by what the
 * client sends, and by what the backend answers. Of one packet, they are in `nascent` and `claims`,
 * which a flood may churn; what is more is in `translations` and `reverse`, which nothing evicts.
 * How old a translation is, `flows` knows: lb/ deletes those that have no entry there, but for the
 * UNCOUNTED ones.
 */
#ifndef SLUICE_BPF_ABI_NAT_H
#define SLUICE_BPF_ABI_NAT_H

#include "bpf/abi.h"

/* ---- returns: HASH, struct service_key of a backend's address, port, protocol -> return_to ----
 */

#define RETURNS_MAX    65536U
#define RETURN_ALONE   0x1U /* nat: whatever comes from there is for this one VIP and port */
#define RETURN_TRACKED 0x2U /* there may be translations */

struct return_to {
	__u8 vip[16];
	__be16 port; /* of the VIP */
	__u16 service;
	__u16 flags;   /* RETURN_* */
	__u16 backend; /* number; of several at the same address, one */
};
_Static_assert(sizeof(struct return_to) == 24, "return_to");

/* ---- nat_pools: ARRAY, pool -> where fullnat's packets come from ---- */

#define NAT_SOURCES_MOST 8U

struct nat_pool {
	__u8 source4[NAT_SOURCES_MOST][4];
	__u8 source6[NAT_SOURCES_MOST][16];
	__u8 n4, n6; /* 0: the VIP itself */
	__u8 pad[6];
};
_Static_assert(sizeof(struct nat_pool) == 168, "nat_pool");

/* ---- translations: HASH, nascent: LRU_HASH; struct flow_key -> struct translation ---- */

#define TRANSLATION_ANSWERED	 0x01U /* the backend has sent something */
#define TRANSLATION_CLIENT_FIN	 0x02U
#define TRANSLATION_BACKEND_FIN	 0x04U
#define TRANSLATION_CLOSING	 0x08U	/* FIN from both, or RST */
#define TRANSLATION_PROXY	 0x10U	/* a PROXY v2 header comes first */
#define TRANSLATION_ACKNOWLEDGED 0x20U	/* the backend has all of that header */
#define TRANSLATION_COOKIE	 0x40U	/* opened by a SYN cookie: the client knows another ISN */
#define TRANSLATION_WAITING	 0x80U	/* for the backend's SYN-ACK; only with COOKIE */
#define TRANSLATION_UNCOUNTED	 0x100U /* `flows` was full: its age is `seen` */
#define TRANSLATION_IMPORTED	 0x200U /* a partner's: the numbers may have gone on since */

struct translation {
	struct tuple back; /* what the backend sends: src and sport are its own */
	__u8 vip[16];
	__be16 vip_port;
	__u16 backend; /* number */
	__u16 service;
	__u16 seen;	   /* FLOW_EPOCH of the last packet */
	__u32 flags;	   /* TRANSLATION_* */
	__u32 client_isn;  /* sequence number of its SYN */
	__u32 server_next; /* the backend's number that the client expects, once ANSWERED; while
			      WAITING, as the client counts */
	__u32 server_more; /* COOKIE: added to the backend's numbers, for the client */
	__u16 mss;	   /* COOKIE: the client's */
	__u16 window;	   /* COOKIE: the client's, in its last packet before the backend's first */
	__u32 client_next; /* the client's number that the backend expects, by its last segment */
};
_Static_assert(sizeof(struct translation) == 88, "translation");

#define NASCENT_DEFAULT 65536U /* entries of nascent and claims */

/* ---- reverse: HASH, claims: LRU_HASH; struct tuple (translation.back) -> struct flow_key ---- */

#endif
