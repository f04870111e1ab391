/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* decap.h: the memory that decap.bpf.c and sluice-decap share. */
#ifndef SLUICE_BPF_DECAP_H
#define SLUICE_BPF_DECAP_H

#include <linux/types.h>

/* ---- own: HASH of struct decap_addr: what packets must be sent to ---- */
struct decap_addr {
	__u8 addr[16]; /* IPv6, or ::ffff:a.b.c.d */
};

/* ---- from: LPM_TRIE: what they must come from ---- */
struct decap_prefix {
	__u32 bits; /* of all 128: an IPv4 prefix has 96 more */
	__u8 addr[16];
};
_Static_assert(sizeof(struct decap_prefix) == 20, "decap_prefix");

#define DECAP_OWN_MOST	64U
#define DECAP_FROM_MOST 64U

/* ---- counters: PERCPU_ARRAY of __u64 ---- */
#define DECAP_COUNTERS(X)                                                                          \
	X(TAKEN, taken, "packets taken out of a tunnel")                                           \
	X(DROP_SOURCE, drop_source, "tunnel packets from an address that may not send any")        \
	X(DROP_BAD, drop_bad, "tunnel packets with nothing sensible in them")                      \
	X(DROP_ECN, drop_ecn, "congestion was marked outside, the inner packet cannot be")         \
	X(PASS_FRAGMENT, pass_fragment, "fragments of tunnel packets; the kernel has them")

enum decap_counter {
#define DECAP_ENUM(upper, lower, text) DECAP_##upper,
	DECAP_COUNTERS(DECAP_ENUM)
#undef DECAP_ENUM
		DECAP_COUNTER_COUNT
};

#endif
