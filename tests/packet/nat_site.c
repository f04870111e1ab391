/* SPDX-License-Identifier: BSD-2-Clause */
/* nat_site.c: see nat_site.h. */
#include "tests/packet/nat_site.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "balancer.skel.h"

enum { OWN_IFINDEX = 1 };

void site_addr(uint8_t ret_addr[static 16], const char *text)
{
	memset(ret_addr, 0, 16);
	if (inet_pton(AF_INET6, text, ret_addr) == 1)
		return;
	ret_addr[10] = ret_addr[11] = 0xff;
	assert_int_equal(inet_pton(AF_INET, text, ret_addr + 12), 1);
}

static void service_put(struct plane *p, const char *vip, const char *backend, uint8_t protocol,
			const struct service *service)
{
	struct service_key key = {.port = htons(25), .protocol = protocol};
	bool tracked = service->mode == FORWARD_FULLNAT || service->flags & SERVICE_STATEFUL;
	struct return_to to = {.port = htons(25),
			       .service = service->id,
			       .flags = tracked ? RETURN_TRACKED : RETURN_ALONE,
			       .backend = service->id};

	site_addr(key.addr, vip);
	plane_record_set(p, &key, service);
	site_addr(to.vip, vip);
	site_addr(key.addr, backend);
	key.port = htons(2525);
	assert_int_equal(
		bpf_map_update_elem(bpf_map__fd(p->skel->maps.returns), &key, &to, BPF_ANY), 0);
}

static void family_put(struct plane *p, const char *vip, const char *backend, uint16_t number,
		       uint8_t mode, uint8_t flags)
{
	const struct service service = {.id = number, .pool = number, .mode = mode, .flags = flags};

	service_put(p, vip, backend, IPPROTO_TCP, &service);
	service_put(p, vip, backend, IPPROTO_UDP, &service);
}

static void backend_put(struct plane *p, const char *backend, uint16_t number)
{
	uint16_t owners[SITE_SLOTS], none[SITE_SLOTS];

	plane_backend_set(p, number, OWN_IFINDEX);
	site_addr(p->backends[number].addr, backend);
	p->backends[number].port = htons(2525);
	for (int i = 0; i < SITE_SLOTS; i++) {
		owners[i] = number;
		none[i] = BACKEND_NONE;
	}
	plane_table_set(p, number, owners, none);
}

void site_flags(struct plane *plane, uint8_t mode, uint8_t flags)
{
	memset(plane->lines, 0, SERVICE_LINES * sizeof(*plane->lines));
	family_put(plane, SITE_VIP4, SITE_BACKEND4, SITE_FOUR, mode, flags);
	family_put(plane, SITE_VIP6, SITE_BACKEND6, SITE_SIX, mode, flags);
}

void site_open(struct plane *ret_plane, uint8_t mode, uint8_t flags)
{
	site_open_ports(ret_plane, mode, flags, 0);
}

void site_open_ports(struct plane *ret_plane, uint8_t mode, uint8_t flags, uint16_t nat_ports)
{
	const struct plane_sizes sizes = {.slots = SITE_SLOTS,
					  .flows = SITE_FLOWS,
					  .embryos = 1024,
					  .features = FEATURE_RETURN | FEATURE_SYNC,
					  .nat_ports = nat_ports};

	assert_int_equal(plane_open(&sizes, ret_plane), 0);
	site_flags(ret_plane, mode, flags);
	backend_put(ret_plane, SITE_BACKEND4, SITE_FOUR);
	backend_put(ret_plane, SITE_BACKEND6, SITE_SIX);
	plane_clock_set(ret_plane, 1000);
}

static const char *six_of(const char *four)
{
	if (strcmp(four, SITE_VIP4) == 0)
		return SITE_VIP6;
	if (strcmp(four, SITE_BACKEND4) == 0)
		return SITE_BACKEND6;
	assert_string_equal(four, SITE_CLIENT4);
	return SITE_CLIENT6;
}

struct datagram site_six(struct datagram d)
{
	strcpy(d.src, six_of(d.src));
	strcpy(d.dst, six_of(d.dst));
	return d;
}

struct datagram site_udp(struct datagram d)
{
	d.protocol = IPPROTO_UDP;
	d.seq = d.ack = 0;
	d.flags = 0;
	d.window = 0;
	return d;
}

struct datagram site_answer(const struct datagram *got, uint8_t flags, uint32_t seq, uint32_t ack)
{
	struct datagram d = {.protocol = got->protocol,
			     .sport = got->dport,
			     .dport = got->sport,
			     .flags = flags,
			     .seq = seq,
			     .ack = ack,
			     .window = 60000};

	strcpy(d.src, got->dst);
	strcpy(d.dst, got->src);
	return d;
}
