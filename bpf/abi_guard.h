/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* abi_guard.h: what vrrp/ and guard.bpf.c share: maps, and heartbeats as they are on the wire.
 *
 * A change of a size or of a meaning raises GUARD_VERSION (pins) or HEART_VERSION (wire).
 */
#ifndef SLUICE_BPF_ABI_GUARD_H
#define SLUICE_BPF_ABI_GUARD_H

#include <linux/types.h>

#define GUARD_VERSION 1

/* ---- leases: ARRAY, mmapable, of __u64: until when, in nanoseconds of CLOCK_MONOTONIC ----
 *
 * LEASE_LIFE: until when vrrp is taken as alive. The others: of an instance, while it is active.
 */
#define LEASES	   1024U
#define LEASE_LIFE 0U

/* ---- guarded: HASH, struct guard_vip_key -> __u32, the instance's lease, and a bit ---- */
#define GUARDED_MAX    65536U
#define GUARDED_CLOSED 0x80000000U /* what is sent to it is not for this node (accept = false) */

struct guard_vip_key {
	__u32 addr[4]; /* IPv6, or ::ffff:a.b.c.d */
};

/* ---- pairs: HASH, struct guard_pair -> __u64, the partner's node ---- */
#define GUARD_PAIRS 256U

struct guard_pair {
	__u8 partner[16], own[16]; /* IPv6, or ::ffff:a.b.c.d */
};
_Static_assert(sizeof(struct guard_pair) == 32, "guard_pair");

/* ---- settings: ARRAY of one, mmapable ---- */
struct guard_settings {
	__u64 key[2];
	__u64 node;  /* this one */
	__be16 port; /* of heartbeats; 0 = none: leases alone count */
	__u16 pad[3];
};
_Static_assert(sizeof(struct guard_settings) == 32, "guard_settings");

/* The heartbeats' socket has this SO_PRIORITY, which only CAP_NET_ADMIN can set: so none of
 * somebody else's is taken for ours.
 */
#define HEART_PRIORITY 7

/* ---- counts: ARRAY, mmapable, of __u64 ---- */
enum guard_count {
	GUARD_ANSWERED,
	GUARD_SHORT,	/* of another length */
	GUARD_FOREIGN,	/* of another protocol or version */
	GUARD_FORGED,	/* the keyed hash is wrong */
	GUARD_STRANGER, /* from or for another node */
	GUARD_UNSENT,	/* an answer that could not be written */
	GUARD_ARP,	/* for or from a VIP, without a lease: it went no further */
	GUARD_ND,	/* likewise neighbour discovery */
	GUARD_CLOSED,	/* packets to a VIP that accepts none */
	GUARD_COUNTS
};

/* ---- on the wire: the payload of UDP; numbers as siphash.h has them ---- */

#define HEART_MAGIC   0x62686c73U /* "slhb" */
#define HEART_VERSION 1

enum heart_kind { HEART_REQUEST = 1, HEART_ANSWER, HEART_STATE };

#define HEART_SOCKET 0x01U /* ANSWER: one of the node's processes holds the socket */
#define HEART_LIVES  0x02U /* ANSWER: vrrp's lease runs */

struct heart {
	__u32 magic;
	__u8 version;
	__u8 kind;
	__u8 flags;
	__u8 pad;
	__u64 from, to; /* nodes */
	__u64 nonce;	/* of the REQUEST */
	__u32 left_ms;	/* ANSWER: how long vrrp's lease still runs */
	__u32 pad2;
	__u64 hash; /* of all before */
};
_Static_assert(sizeof(struct heart) == 48, "heart");

#define HEART_HASHED_WORDS 5U /* of struct heart */

#endif
