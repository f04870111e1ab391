/* SPDX-License-Identifier: BSD-2-Clause */
/* via.h: probes through a VIP (via = "vip"): which one is next, and what the socket needs for it.
 *
 * A backend is asked through every VIP that has a TCP service of its pool at the port that is
 * probed. They take turns; the next one's turn comes only after a pass, so that a VIP that is
 * missing on the backend goes on failing until that is sure. The socket is connected to the
 * backend's own address as always, and has the service's mark: the data plane does the rest
 * (bpf/abi_probe.h). Where that is not there, the same probe asks by the backend's address.
 *
 * vias_*() and via_next() are pure.
 */
#ifndef SLUICE_HEALTHCHECK_VIA_H
#define SLUICE_HEALTHCHECK_VIA_H

#include "base/config.h"
#include "healthcheck/probe.h"

enum { VIA_TEXT = INET6_ADDRSTRLEN + 8 };

/* How one probe goes. */
struct via {
	uint32_t mark; /* 0 = by the backend's own address */
	uint16_t mss;  /* of TCP, so that its segments fit into the tunnel; 0 = as they are */
	struct addr vip;
};

/* A backend's place in the turn. All zero: its first probe. */
struct via_turn {
	struct addr vip;
	bool passed; /* through that one */
};

/* The services of a configuration that are probed through, by pool and port. */
struct vias;

/* vias_new: borrows @config. 0 or -ENOMEM. */
int vias_new(const struct config *config, struct vias **ret_vias);
void vias_free(struct vias *v);

/* via_next: how backend @b is asked at @port now. @turn is changed. @v: NULL = always by address */
struct via via_next(const struct vias *v, const struct config_backend *b, uint16_t port,
		    struct via_turn *turn);
/* via_turn_end: what came of it. What we could not ask is asked again. */
void via_turn_end(struct via_turn *turn, enum verdict_word word);

/* via_text: " via 192.0.2.10", or "". */
const char *via_text(const struct via *via, char buf[static VIA_TEXT]);
/* via_tell: a verdict that is no pass names the VIP. */
void via_tell(const struct via *via, struct verdict *v);

/* via_mark: a socket that is not connected yet. */
void via_mark(const struct via *via, int fd);
/* via_permitted: will the kernel let this process mark a socket? 0 or -errno. */
int via_permitted(void);

#endif
