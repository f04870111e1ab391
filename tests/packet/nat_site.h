/* SPDX-License-Identifier: BSD-2-Clause */
/* nat_site.h: services of nat and fullnat for packet tests: VIP port 25, backend's port 2525. */
#ifndef SLUICE_TESTS_NAT_SITE_H
#define SLUICE_TESTS_NAT_SITE_H

#include "bpf/abi_nat.h"
#include "tests/packet/datagram.h"

enum { SITE_SLOTS = 251, SITE_FLOWS = 64, SITE_FOUR = 1, SITE_SIX = 2 };

#define SITE_VIP4     "192.0.2.10"
#define SITE_VIP6     "2001:db8::10"
#define SITE_BACKEND4 "198.51.100.1"
#define SITE_BACKEND6 "2001:db8:2::1"
#define SITE_CLIENT4  "10.0.0.7"
#define SITE_CLIENT6  "2001:db8:1::7"

/* site_open: VIPs of both families, TCP and UDP, each family's services with one backend, whose
 * number, pool and service id are SITE_FOUR or SITE_SIX. @flags: SERVICE_*
 */
void site_open(struct plane *ret_plane, uint8_t mode, uint8_t flags);
/* site_open_ports: with @nat_ports source ports of fullnat; 0 = as many as usual. */
void site_open_ports(struct plane *ret_plane, uint8_t mode, uint8_t flags, uint16_t nat_ports);
/* site_flags: other flags for all services. */
void site_flags(struct plane *plane, uint8_t mode, uint8_t flags);
void site_addr(uint8_t ret_addr[static 16], const char *text);

/* site_six: the same packet of IPv6. */
struct datagram site_six(struct datagram d);
/* site_udp: the same of UDP. */
struct datagram site_udp(struct datagram d);
/* site_answer: the ends of what came out, exchanged. */
struct datagram site_answer(const struct datagram *got, uint8_t flags, uint32_t seq, uint32_t ack);

#endif
