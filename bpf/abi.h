/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* abi.h: the memory that the XDP program and lb/ share, and nothing else.
 *
 * Every struct has fixed-width members, explicit padding that both sides zero, and a size that is
 * asserted. A change of a size or of a meaning raises SLUICE_ABI_VERSION: maps pinned by another
 * version are not adopted.
 *
 * Byte order: members named __be are as on the wire; all others are the host's.
 * Time: whole seconds of CLOCK_MONOTONIC, written once a second by lb/ into `clock` (a packet
 * never asks the kernel for the time).
 */
#ifndef SLUICE_BPF_ABI_H
#define SLUICE_BPF_ABI_H

#include <linux/types.h>

#define SLUICE_ABI_VERSION 1

/* A backend's number: an index into `backends` and `backend_stats`, given out by lb/. 15 bits,
 * because a slot keeps one bit for itself. The last one means "none".
 */
#define BACKEND_MAX  32767U
#define BACKEND_NONE 0x7fffU

#define SERVICE_MAX 4096U
#define POOL_MAX    1024U
#define CPU_MAX	    512U

/* ---- services: HASH, struct service_key -> struct service ---- */

struct service_key {
	__u8 addr[16]; /* IPv6, or ::ffff:a.b.c.d */
	__be16 port;
	__u8 protocol; /* IPPROTO_TCP or IPPROTO_UDP */
	__u8 pad;
};
_Static_assert(sizeof(struct service_key) == 20, "service_key");

struct service {
	__u16 id;   /* index into service_stats */
	__u16 pool; /* index into tables */
	__u8 mode;  /* enum forward_mode */
	__u8 pad[3];
};
_Static_assert(sizeof(struct service) == 8, "service");

enum forward_mode {
	FORWARD_DSR = 0, /* rewrite the MAC, answers bypass the node */
	FORWARD_TUNNEL = 1,
	FORWARD_NAT = 2,
	FORWARD_FULLNAT = 3,
};

/* ---- tables: ARRAY_OF_MAPS, pool -> ARRAY of struct slots4 ----
 *
 * One inner map is one generation of a pool's table, complete when it is put in place: a packet
 * sees the old table or the new one. It has two regions of `SLOTS_WORDS(slots)` words each, four
 * slots to a word: the owners first, then the previous owners, which only packets of a slot in
 * transition read.
 */
struct slots4 {
	__u16 slot[4];
};
_Static_assert(sizeof(struct slots4) == 8, "slots4");

#define SLOTS_WORDS(slots) (((slots) + 3U) / 4U)
#define SLOTS_DEFAULT	   65537U
#define SLOTS_LEAST	   251U
#define SLOTS_MOST	   1048573U

/* An owner's word: backend number, and whether the slot is in transition (then every packet looks
 * its flow up). A previous owner's word is a backend number or BACKEND_NONE.
 */
#define SLOT_TRANSITION 0x8000U
#define SLOT_BACKEND	0x7fffU

/* ---- backends: ARRAY, number -> struct backend ---- */

#define BACKEND_ALIVE 0x1U /* established flows may still be sent here */

struct backend {
	__u8 l2_dst[6]; /* the next hop's MAC */
	__u8 l2_src[6]; /* our MAC on `ifindex` */
	__u32 ifindex;	/* where it leaves */
	__u32 flags;	/* BACKEND_* */
	__be16 port;	/* for the modes that translate */
	__u16 pool;
	__u8 addr[16];	     /* of the backend, for the modes that need it */
	__u8 tunnel_src[16]; /* room for tunnel, nat and fullnat */
	__u8 room[8];
};
_Static_assert(sizeof(struct backend) == 64, "backend");

/* ---- flows: HASH, struct flow_key -> struct flow: what nothing evicts ---- */

struct flow_key {
	__u8 src[16]; /* the client */
	__u8 dst[16]; /* the VIP */
	__be16 sport;
	__be16 dport;
	__u8 protocol;
	__u8 pad[3];
};
_Static_assert(sizeof(struct flow_key) == 40, "flow_key");

#define FLOW_CLOSING 0x1U /* the client's FIN was seen; no longer counted as live */

struct flow {
	__u16 backend;
	__u16 service;
	__u32 flags;  /* FLOW_* */
	__u32 seen_s; /* refreshed at most once an epoch */
	__u32 slot;   /* in its pool's table */
};
_Static_assert(sizeof(struct flow) == 16, "flow");

/* ---- embryos: ARRAY of struct embryo: flows of which one packet was seen ----
 *
 * Direct-mapped by the flow's hash, overwritten freely: a flood churns here and nowhere else.
 */
struct embryo {
	__u64 tag; /* EMBRYO_TAG(hash) | backend number; 0 = empty */
};
_Static_assert(sizeof(struct embryo) == 8, "embryo");

#define EMBRYO_TAG(hash) ((hash) & ~0xffffULL)
#define EMBRYOS_DEFAULT	 (1U << 20)

/* ---- recent: ARRAY of struct recent64, one region of RECENT_LINES for each CPU ----
 *
 * A byte for each bucket of flows: equal to the epoch's stamp when a flow of that bucket was
 * refreshed in this epoch. Which flows share a bucket changes with every epoch.
 */
#define RECENT_BITS                                                                                \
	16U /* at most so many look-ups an epoch and CPU, however many flows there are */
#define RECENT_LINES ((1U << RECENT_BITS) / 64U)

struct recent64 {
	__u8 stamp[64];
};
_Static_assert(sizeof(struct recent64) == 64, "recent64");

#define EPOCH_SECONDS 16U

/* ---- clock: ARRAY of one struct clock, written by lb/ every second ---- */

struct clock {
	__u64 bucket_multiplier; /* odd, new with every epoch: bucket = (hash * it) >> (64 -
				    RECENT_BITS) */
	__u32 now_s;
	__u8 stamp; /* of this epoch; 1 to 255, 0 is "never" */
	__u8 pad[3];
};
_Static_assert(sizeof(struct clock) == 16, "clock");

/* ---- counters: PERCPU_ARRAYs ---- */

struct service_stats { /* service_stats[service.id] */
	__u64 packets;
	__u64 bytes; /* of frames, as received */
	__u64 syns;  /* TCP: SYNs, again and again included; UDP: 0 */
	__u64 flows; /* new flows: became more than one packet */
};
_Static_assert(sizeof(struct service_stats) == 32, "service_stats");

struct backend_stats { /* backend_stats[backend number] */
	__u64 packets;
	__u64 bytes;
	__u64 opened; /* entries put into flows */
	__u64 closed; /* entries that stopped being live: FIN, RST, backend gone (seen by a packet)
		       */
};
_Static_assert(sizeof(struct backend_stats) == 32, "backend_stats");

/* Why a packet was dropped, or passed up to the kernel's stack: reasons[enum reason], PERCPU_ARRAY
 * of __u64. The names are what the operator sees (`sluice show counters`).
 */
#define REASONS(X)                                                                                 \
	X(FORWARDED, forwarded,                                                                    \
	  "sent to a backend: what arrived for services, less what was dropped")                   \
	X(PASS_NOT_OURS, pass_not_ours, "not for this node's MAC, or neither IPv4 nor IPv6")       \
	X(PASS_NO_SERVICE, pass_no_service, "no service at this address and port")                 \
	X(PASS_PROTOCOL, pass_protocol, "neither TCP nor UDP (ICMP, VRRP, ...)")                   \
	X(PASS_FRAGMENT, pass_fragment, "an IP fragment")                                          \
	X(DROP_TRUNCATED, drop_truncated, "shorter than its headers say")                          \
	X(DROP_BAD_HEADER, drop_bad_header, "inconsistent IP or TCP header")                       \
	X(DROP_NO_BACKEND, drop_no_backend, "the pool has no backend that takes connections")      \
	X(DROP_INTERNAL, drop_internal, "a table was missing: our bug")                            \
	X(FLOW_TABLE_FULL, flow_table_full, "forwarded, but not remembered: flow table full")      \
	X(FLOW_MOVED, flow_moved, "its backend is gone: sent to the slot's owner instead")         \
	X(FLOW_PREVIOUS, flow_previous,                                                            \
	  "unknown flow of a slot in transition: to the previous owner")

enum reason {
#define REASON_ENUM(upper, lower, text) REASON_##upper,
	REASONS(REASON_ENUM)
#undef REASON_ENUM
		REASON_COUNT
};

/* ---- settings: .rodata of the program, set before it is loaded, one program for an interface ----
 */

/* Words of the flow hash's key; see bpf/hash.h. Derived from the secret that both nodes share. */
#define HASH_KEY_WORDS 12U

#endif
