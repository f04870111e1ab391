/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* abi_probe.h: what lb/, the XDP program and the one of tc egress (probe.bpf.c) share for probes
 * through a VIP; belongs to abi.h.
 *
 * A probe's socket is connected to the backend's own address and has a mark, which says through
 * which VIP and port it is to go. Leaving, its packets are given that VIP as destination, and go as
 * a client's would; what comes back from the VIP is given the backend's address as source again.
 */
#ifndef SLUICE_BPF_ABI_PROBE_H
#define SLUICE_BPF_ABI_PROBE_H

#include "bpf/abi.h"

/* Every mark of a probe has it, and nobody else's packets should. */
#define PROBE_MARK 0x80000000U

/* ---- probe_vips: HASH, mark -> struct probe_vip ---- */

#define PROBE_VIPS_MAX SERVICE_MAX

struct probe_vip {
	__u8 vip[16];
	__u8 own[16]; /* the node's, in the VIP's family, for packets of the other; 0 = none */
	/* tunnel: the outer source by the backend's family; 0 = the probe's own source */
	__u8 tunnel_src4[16], tunnel_src6[16];
	__be16 port;
	__be16 tunnel_port; /* as in struct backend, likewise the following */
	__u16 tunnel_mtu;
	__u16 timeout_s;		 /* that a conversation can last */
	__u8 tunnel_bits4, tunnel_bits6; /* host bits of the outer source that are the flow's */
	__u8 mode;			 /* FORWARD_DSR or FORWARD_TUNNEL */
	__u8 pad;
};
_Static_assert(sizeof(struct probe_vip) == 76, "probe_vip");

/* ---- probe_returns: LRU_HASH, struct tuple -> struct probe_return ----
 *
 * The tuple is the backend's view of the probe: src is the node, dst the VIP. Two probes of
 * different backends may have the same port of the node, because their sockets are connected to
 * different addresses; so the tuple's is another where that one is in use (PROBE_PORTS tries).
 */
#define PROBE_RETURNS	    65536U /* entries: what can hang at the same time, twice */
#define PROBE_PORTS	    16
#define PROBE_PORT(port, i) ((port) ^ ((i) << 11)) /* of a port above 32767 never a low one */
#define PROBE_PORT_LEAST    1024U
#define PROBE_LINGER_S	    2U /* after our FIN or RST */

struct probe_return {
	__u8 backend[16];
	__u8 node[16]; /* its address to which the socket is bound */
	__be16 port;   /* likewise */
	__u16 pad;
	__u32 until_s; /* CLOCK_MONOTONIC; then the tuple may be another's */
};
_Static_assert(sizeof(struct probe_return) == 40, "probe_return");

#endif
