/* SPDX-License-Identifier: BSD-2-Clause */
/* probe_site.h: a node that probes backends through VIPs, for packet tests: the program of tc
 * egress and that of XDP, which share `probe_returns`, as in service.
 */
#ifndef SLUICE_TESTS_PROBE_SITE_H
#define SLUICE_TESTS_PROBE_SITE_H

#include "bpf/abi_probe.h"
#include "tests/packet/datagram.h"

struct probe;

#define MARK (PROBE_MARK | 77)

enum { PORT = 40000, FAMILIES = 4 };

#define NODE4	 "192.0.2.2"
#define NODE6	 "2001:db8::2"
#define VIP4	 "192.0.2.10"
#define VIP6	 "2001:db8::10"
#define BACKEND4 "192.0.2.21"
#define BACKEND6 "2001:db8::21"

/* The node's address is of the VIP's family, which the backend's may differ from. */
struct probe_way {
	const char *node, *vip, *backend;
};
extern const struct probe_way probe_ways[FAMILIES];

struct probe_site {
	struct plane plane;
	struct probe *skel;
	struct probe_vip vip; /* of MARK */
};

void probe_site_open(struct probe_site *s, uint32_t features);
void probe_site_close(struct probe_site *s);
/* For cmocka: *state is the struct probe_site. */
int probe_site_setup(void **state);
int probe_site_teardown(void **state);

/* probe_vip_set: mode dsr, through @vip. */
void probe_vip_set(struct probe_site *s, const char *vip);
/* probe_vip_put: what was changed in s->vip holds. */
void probe_vip_put(struct probe_site *s);

/* probe_of: a packet of a probe of @backend, as the node's kernel makes it. */
struct datagram probe_of(const char *backend, uint8_t flags);
/* probe_answer: what the backend says to what came to it. */
struct datagram probe_answer(const struct datagram *came, uint8_t flags);

/* probe_egress: run the program of egress on a frame; its verdict. */
int probe_egress(struct probe_site *s, uint32_t mark, struct frame *frame);

void assert_same_talk(const struct datagram *a, const struct datagram *b);
/* The answer reaches the socket that is connected to @backend. */
void assert_comes_back(struct probe_site *s, const struct datagram *answer, const char *backend);

#endif
