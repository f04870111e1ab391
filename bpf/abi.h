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

#define SLUICE_ABI_VERSION 3

/* A backend's number: an index into `backends` and `backend_stats`, given out by lb/. 15 bits,
 * because a slot keeps one bit for itself. The last one means "none".
 */
#define BACKEND_MAX  32767U
#define BACKEND_NONE 0x7fffU

#define SERVICE_MAX 16384U
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
	__u16 id;	  /* index into service_stats */
	__u16 pool;	  /* index into tables */
	__u8 mode;	  /* enum forward_mode */
	__u8 flags;	  /* SERVICE_* */
	__u8 source_bits; /* 0: the slot is of the whole flow; else of so many bits of its source */
	__u8 pad;
};
_Static_assert(sizeof(struct service) == 8, "service");

#define SERVICE_RESET	    0x01U /* a flow whose backend is gone is answered by RST */
#define SERVICE_STATEFUL    0x02U /* nat: what comes back cannot be told by the backend alone */
#define SERVICE_PROXY_V2    0x04U /* fullnat: a PROXY v2 header before the first byte */
#define SERVICE_SYN_COOKIES 0x08U /* nat, fullnat: SYNs are answered by the node, now */
#define SERVICE_COOKIES_OUT 0x10U /* or were so: an unknown ACK may bring back a cookie */
#define SERVICE_REJECT	    0x20U /* what no backend takes is answered by RST or ICMP */
#define SERVICE_RETURN	    0x80U /* only of a fragment: it comes from a backend; see nat.h */

/* The record of a VIP stands among the services, with protocol 0 and port 0: what becomes of a
 * packet to it for which there is no service.
 */
#define VIP_PASS   0U /* service.mode of such a record */
#define VIP_REJECT 1U
#define VIP_DROP   2U

enum forward_mode {
	FORWARD_DSR = 0, /* rewrite the MAC, answers bypass the node */
	FORWARD_TUNNEL = 1,
	FORWARD_NAT = 2,
	FORWARD_FULLNAT = 3,
};

/* ---- service_lines: ARRAY of struct service_line: the front of `services` ----
 *
 * Direct-mapped by a keyed hash of the key (hash.h). It answers nearly every look-up with one
 * cache line: no service has this hash, or this is the one, or (two share the line) ask `services`.
 * A line is never given another key while a packet may still be reading it.
 */
#define SERVICE_LINES_BITS 16U
#define SERVICE_LINES	   (1U << SERVICE_LINES_BITS)

#define LINE_EMPTY 0U
#define LINE_KEY   1U /* `key` and `service` are one of `services` */
#define LINE_ASK   2U

struct service_line {
	__u32 addr[4];	     /* as in the key */
	__u32 port_protocol; /* its last word, with pad 0 */
	__u32 state;	     /* LINE_*; written last */
	struct service service;
};
_Static_assert(sizeof(struct service_line) == 32, "service_line");

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
	__be16 port;	/* nat, fullnat: where the backend listens */
	__u16 pool;
	__u8 addr[16];	     /* of the backend: all modes but dsr */
	__u8 tunnel_src[16]; /* tunnel: the outer source; the flow's hash fills its host bits */
	__be16 tunnel_port;  /* GUE: outer destination port; 0 = IPIP */
	__u16 tunnel_mtu;    /* bytes of the outer packet that fit on the way to the backend */
	__u8 tunnel_bits;    /* how many host bits of tunnel_src are to be filled */
	__u8 tunnel_clamp;   /* 1: the MSS of SYNs is lowered to what fits */
	__u8 room[2];
};
_Static_assert(sizeof(struct backend) == 64, "backend");

/* ---- flows: HASH, struct flow_key -> struct flow: what nothing evicts ----
 *
 * With the kernel's own 48 bytes an entry and its bucket are 96 bytes, for IPv6 as for IPv4: the
 * VIP, its port and the protocol are told by the service.
 */
struct flow_key {
	__u8 src[16]; /* the client; IPv4 as ::ffff:a.b.c.d */
	__be16 sport;
	__u16 service; /* its id */
};
_Static_assert(sizeof(struct flow_key) == 20, "flow_key");

#define FLOW_CLOSING 0x1U /* the client's FIN was seen; no longer counted as live */

struct flow {
	__u32 flags; /* FLOW_* */
	__u16 backend;
	__u16 seen; /* FLOW_EPOCH of its last packet, set at most once an epoch */
};
_Static_assert(sizeof(struct flow) == 8, "flow");

#define FLOW_EPOCH(now_s) ((__u16)((now_s) / EPOCH_SECONDS))

/* What tells a connection from all others, and what its hash is of (hash.h). */
struct tuple {
	__u8 src[16]; /* the client */
	__u8 dst[16]; /* the VIP */
	__be16 sport;
	__be16 dport;
	__u8 protocol;
	__u8 pad[3];
};
_Static_assert(sizeof(struct tuple) == 40, "tuple");

/* ---- embryos: ARRAY of struct embryo: flows of which one packet was seen ----
 *
 * A flow's hash tells one place, and it may be in the neighbouring one (of an even and an odd
 * number) as well: bpf/embryo.h. Overwritten freely: a flood churns here and nowhere else.
 */
struct embryo {
	__u64 tag; /* EMBRYO_TAG(hash) | backend number; 0 = empty */
};
_Static_assert(sizeof(struct embryo) == 8, "embryo");

#define EMBRYO_TAG(hash) ((hash) & ~0xffffULL)

/* Instead of a backend's number: this UDP flow is in `flows`, and was refreshed in this epoch. UDP
 * has no SYN that would tell a new flow from the others of its bucket (see `recent`), so it is told
 * here.
 */
#define EMBRYO_KNOWN 0x8000U
#define EMBRYO_KNOWN_AT(hash, now_s)                                                               \
	(EMBRYO_TAG(hash) | EMBRYO_KNOWN | (FLOW_EPOCH(now_s) & 0x7fffU))
#define EMBRYOS_DEFAULT (1U << 20)

/* ---- fragments: ARRAY of struct fragment: where first fragments went ----
 *
 * Direct-mapped by a hash of addresses, protocol and identification: only the first fragment has
 * ports. Overwritten freely, like the embryos.
 */
#define FRAGMENTS_BITS 16U
#define FRAGMENTS      (1U << FRAGMENTS_BITS)

struct fragment {
	__u64 tag; /* FRAGMENT_TAG(hash) | backend number; 0 = empty; FRAGMENT_WRITING */
	struct service service;
};
_Static_assert(sizeof(struct fragment) == 16, "fragment");

#define FRAGMENT_TAG(hash) ((hash) & ~0xffffULL)
#define FRAGMENT_WRITING   0x8000ULL /* no backend's number has this bit */

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
	/* Of TCP only. A SYN that is never answered is one of `syns` and no more: syns - again -
	 * (opened - waiting) are the connections that never got past the handshake.
	 */
	__u64 syns;    /* sent to it */
	__u64 again;   /* of these, such as had come before */
	__u64 resets;  /* RSTs of clients; nat, fullnat: of the backend, too */
	__u64 waiting; /* opened by a SYN cookie, before the backend has answered; goes down, too */
};
_Static_assert(sizeof(struct backend_stats) == 64, "backend_stats");

/* Why a packet was dropped, or passed up to the kernel's stack: reasons[enum reason], PERCPU_ARRAY
 * of __u64. The names are what the operator sees (`sluice show counters`).
 */
#define REASONS(X)                                                                                 \
	X(FORWARDED, forwarded, "sent to a backend that is there now")                             \
	X(PASS_NOT_OURS, pass_not_ours, "not for this node's MAC, or neither IPv4 nor IPv6")       \
	X(PASS_NO_SERVICE, pass_no_service, "no service at this address and port")                 \
	X(PASS_PROTOCOL, pass_protocol,                                                            \
	  "neither TCP nor UDP nor a whole ICMP error (VRRP, ping, ...)")                          \
	X(PASS_FRAGMENT, pass_fragment, "an IP fragment, not for a VIP")                           \
	X(PASS_PROBE, pass_probe, "a backend's answer to a probe through its VIP")                 \
	X(DROP_TRUNCATED, drop_truncated, "shorter than its headers say")                          \
	X(DROP_BAD_HEADER, drop_bad_header, "inconsistent IP or TCP header")                       \
	X(DROP_BAD_FLAGS, drop_bad_flags, "TCP flags that contradict each other")                  \
	X(DROP_BAD_ADDRESS, drop_bad_address, "a source that no packet on a wire may have")        \
	X(DROP_BAD_FRAGMENT, drop_bad_fragment, "a fragment that overlaps or reaches too far")     \
	X(DROP_EXTENSIONS, drop_extensions, "too many IPv6 extension headers, or one forbidden")   \
	X(DROP_FRAGMENT, drop_fragment,                                                            \
	  "a fragment to a VIP whose first one was not seen, or in a mode that has no way for it") \
	X(DROP_NOT_SERVED, drop_not_served, "to a VIP, but no service listens there")              \
	X(DROP_NO_BACKEND, drop_no_backend, "the pool has no backend that takes connections")      \
	X(DROP_TOO_BIG, drop_too_big,                                                              \
	  "does not fit on its way; the sender was told, or may not be")                           \
	X(DROP_TTL, drop_ttl, "time to live is over; the sender was told, or may not be")          \
	X(DROP_REPLY_LIMIT, drop_reply_limit,                                                      \
	  "an answer of the node's own was due, but too many were")                                \
	X(DROP_NO_FLOW, drop_no_flow, "of no connection that fullnat (or a stateful nat) knows")   \
	X(DROP_FLOWS_FULL, drop_flows_full,                                                        \
	  "a new connection in fullnat, but there are flow_limit of them")                         \
	X(DROP_NO_PORT, drop_no_port, "fullnat: no source port is free for this backend")          \
	X(DROP_NO_ROUTE, drop_no_route,                                                            \
	  "fullnat: no way back to the client: is forwarding enabled (net.ipv4.ip_forward)?")      \
	X(DROP_EARLY, drop_early,                                                                  \
	  "data behind a SYN cookie, before the backend has answered: the client repeats it")      \
	X(DROP_INTERNAL, drop_internal, "a table was missing: our bug")                            \
	X(FLOW_TABLE_FULL, flow_table_full, "forwarded, but not remembered: flow table full")      \
	X(FLOW_MOVED, flow_moved, "its backend is gone: sent to the slot's owner instead")         \
	X(FLOW_PREVIOUS, flow_previous,                                                            \
	  "unknown flow of a slot in transition: to the previous owner")                           \
	X(RETURNED, returned, "from a backend, sent back to a client (nat, fullnat)")              \
	X(COOKIE_VALID, cookie_valid, "a connection opened by the right SYN cookie")               \
	X(REPLY_RESET, reply_reset,                                                                \
	  "answered by RST: its backend is gone, nobody listens, or its pool has nobody")          \
	X(REPLY_UNREACHABLE, reply_unreachable,                                                    \
	  "answered by ICMP: nobody listens there, or its pool has nobody")                        \
	X(REPLY_TOO_BIG, reply_too_big, "answered by ICMP: packet too big for its way")            \
	X(REPLY_TTL, reply_ttl, "answered by ICMP: time exceeded")                                 \
	X(REPLY_COOKIE, reply_cookie, "a SYN answered by a SYN cookie")                            \
	X(HANDED_OVER, handed_over, "of a flow that the partner may have seen begin: sent to it")  \
	X(PORT_REUSED, port_reused, "fullnat: by the port of a connection that has ended")

enum reason {
#define REASON_ENUM(upper, lower, text) REASON_##upper,
	REASONS(REASON_ENUM)
#undef REASON_ENUM
		REASON_COUNT
};

/* ---- explanation: PERCPU_ARRAY of one: what an instance of the program that tells of its packets
 * found, stage by stage (explain.h) ----
 *
 * Each instance, or those of one trace, have one of their own.
 */

/* Settings of such an instance: `seeing`; 0 is the program in service, which tells nothing. */
#define SEEING_EXPLAIN 0x1U /* a dry run: no other map is written */
#define SEEING_TRACE   0x2U /* what the filter wants goes to `trace_events` */

#define STAGE_PARSED   0x01U /* `tuple`, `kind` and `len_bytes` are set: as far as could be read */
#define STAGE_SERVICE  0x02U /* `service` is */
#define STAGE_SLOT     0x04U /* `hash`, `slot` and `owner` are */
#define STAGE_STAMPED  0x08U /* its bucket was stamped in this epoch (on this CPU) */
#define STAGE_PREVIOUS 0x10U /* `previous` (in transition) and `embryo` were looked at */
#define STAGE_FLOWS    0x20U /* `flows` was asked */
#define STAGE_FLOW     0x40U /* and knew it: `flow_*` are set */
#define STAGE_END      0x80U /* the rest is set; nothing of this record is of a later packet */

/* What a packet is to its flow. */
enum packet_kind {
	PACKET_OTHER, /* TCP with none of the flags below, and all UDP */
	PACKET_SYN,   /* opens a connection: SYN without ACK */
	PACKET_FIN,
	PACKET_RST,
	PACKET_ICMP,	 /* an ICMP error about a packet that a backend sent to the client */
	PACKET_FRAGMENT, /* not the first of its packet: it has no ports */
};

struct explanation {
	__u64 at_ns; /* trace: CLOCK_MONOTONIC */
	__u64 hash;
	__u64 reasons; /* 1 << enum reason: all that were counted */
	struct tuple tuple;
	__u32 len_bytes; /* of the frame */
	__u32 slot;
	__u32 stages;  /* STAGE_*: those reached */
	__u16 service; /* its id */
	__u16 owner;   /* its word in the table */
	__u16 previous;
	__u16 embryo; /* backend number or BACKEND_NONE */
	__u16 flow_backend;
	__u16 flow_seen; /* as in struct flow */
	__u16 backend;	 /* that it was sent to, or BACKEND_NONE */
	__u8 flow_flags; /* FLOW_* */
	__u8 kind;	 /* enum packet_kind */
	__u8 verdict;	 /* XDP_* */
	__u8 reason;	 /* enum reason */
	__u8 pad[2];
};
_Static_assert(sizeof(struct explanation) == 96, "explanation");
_Static_assert(REASON_COUNT <= 64, "explanation.reasons");

/* ---- trace_filter: ARRAY of one; trace_events: RINGBUF of struct explanation ----
 *
 * Both exist while a trace runs.
 */
struct trace_filter {
	__u32 client[4], client_mask[4]; /* as in the tuple; a bit of the mask: it must be alike */
	__u32 vip[4], vip_mask[4];
	__u64 reasons; /* 1 << enum reason: one of them; 0 = all */
	__u64 lost;    /* counted by the program: the ring was full */
	__u32 sample;  /* one of so many; 0 or 1 = each */
	__be16 port;   /* of the VIP; 0 = all */
	__u8 protocol; /* 0 = all */
	__u8 verdicts; /* 1 << XDP_*: one of them; 0 = all */
};
_Static_assert(sizeof(struct trace_filter) == 88, "trace_filter");

#define TRACE_RING_BYTES (1U << 20)
#define TRACE_WAKE_BYTES (1U << 18) /* that wait before user space is woken */

/* ---- exceptions: RINGBUF of struct exception: what a partner does not know by itself ----
 *
 * With FEATURE_SYNC only. exceptions_lost: PERCPU_ARRAY of one __u64: the ring was full.
 */
#define EXCEPTION_FLOW	      1U /* it began elsewhere than at the previous owner of its slot */
#define EXCEPTION_TRANSLATION 2U /* it was confirmed, learned its numbers, or ended */
#define EXCEPTION_NASCENT     3U /* TCP: the backend has answered; may be lost */
#define EXCEPTION_EMBRYO      4U /* a SYN went elsewhere than to the previous owner; may be lost */

struct exception {
	struct flow_key key;
	__u16 what;    /* EXCEPTION_* */
	__u16 backend; /* EMBRYO: its number; else 0 */
};
_Static_assert(sizeof(struct exception) == 24, "exception");

#define EXCEPTIONS_BYTES (1U << 20)
#define EMBRYOS_BYTES	 (EXCEPTIONS_BYTES / 16) /* that wait, and no EMBRYO is added */

/* ---- handovers: HASH, ifindex -> struct handover: who may know of a flow what this node does not
 * ----
 *
 * Of an interface of a virtual router, with FEATURE_SYNC: the node that has the traffic, or had it
 * until a moment ago. See handover.h.
 */
#define HANDOVERS_MAX 64U

struct handover {
	__u64 until_ns;		     /* CLOCK_MONOTONIC */
	__u8 mac[6];		     /* that node's, on this link */
	__u16 port_first, port_last; /* fullnat's source ports, of all nodes */
	__u8 pad[6];
};
_Static_assert(sizeof(struct handover) == 24, "handover");

/* ---- settings: .rodata of the program, set before it is loaded, one program for an interface ----
 */

/* What of the program is needed: the rest is dead code, removed when it is loaded. */
#define FEATURE_FRAMES 0x1U /* frames of several buffers (jumbo) may come */
#define FEATURE_RETURN                                                                             \
	0x2U		     /* there are pools of nat or fullnat: their backends' answers come by \
			      */
#define FEATURE_VIPS   0x4U  /* what no service wants is not always passed up */
#define FEATURE_PROBES 0x10U /* backends are probed through VIPs: see abi_probe.h */
#define FEATURE_SYNC   0x40U /* partners are to be told of flows */
#define FEATURE_VMAC   0x20U /* frames for the MACs of virtual routers are for us, too */

/* A bit for each virtual router of the interface: those of IPv4 by their VRID, then those of IPv6.
 */
#define VRID_BITS 512U

/* Words of the flow hash's key; see bpf/hash.h. Derived from the secret that both nodes share. */
#define HASH_KEY_WORDS 12U

#endif
