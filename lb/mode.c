/* SPDX-License-Identifier: BSD-2-Clause */
/* mode.c: see mode.h. */
#include "lb/mode.h"

#include <arpa/inet.h>
#include <string.h>

enum { SOURCE_BITS_MOST = 64 }; /* of a tunnel's source, that a flow's hash can fill */

struct mode {
	uint8_t forward; /* enum forward_mode */
	bool routed;
	uint32_t features; /* that the program needs for it */
	void (*backend_fill)(const struct desired_backend *b, struct backend *plane);
};

/* Where the outer source is taken from: a prefix of the backend's family, or our own address. */
static void tunnel_fill(const struct desired_backend *b, struct backend *plane)
{
	const struct config_tunnel *t = &b->pool->tunnel;
	bool ipv4 = addr_is_ipv4(&b->conf->addr);
	const struct config_vip *from = &t->sources[ipv4 ? 0 : 1];
	unsigned bits = (ipv4 ? 32U : 128U) - from->prefix_len;
	const struct addr *source = from->prefix_len ? &from->addr : &b->source;

	memcpy(plane->tunnel_src, source, sizeof(plane->tunnel_src));
	if (from->prefix_len)
		plane->tunnel_bits = (uint8_t)(bits < SOURCE_BITS_MOST ? bits : SOURCE_BITS_MOST);
	plane->tunnel_port = t->type == TUNNEL_GUE ? htons(t->port) : 0;
	plane->tunnel_mtu = t->mtu;
	plane->tunnel_clamp = t->clamp_mss;
}

static const struct mode modes[] = {
	[MODE_DSR] = {.forward = FORWARD_DSR},
	[MODE_TUNNEL] = {.forward = FORWARD_TUNNEL, .routed = true, .backend_fill = tunnel_fill},
	[MODE_NAT] = {.forward = FORWARD_NAT, .routed = true, .features = FEATURE_RETURN},
	[MODE_FULLNAT] = {.forward = FORWARD_FULLNAT, .routed = true, .features = FEATURE_RETURN},
};

bool mode_is_routed(enum config_mode mode)
{
	return modes[mode].routed;
}

/* A SYN cookie's connection has numbers of its own: nat must remember it. */
static uint8_t cookie_flags(const struct config_pool *pool, const struct config_service *s)
{
	uint8_t flags = SERVICE_COOKIES_OUT;

	if (s->protocol != IPPROTO_TCP || pool->syn_cookies == SYN_COOKIES_NEVER ||
	    (pool->mode != MODE_NAT && pool->mode != MODE_FULLNAT))
		return 0;
	if (pool->mode == MODE_NAT)
		flags |= SERVICE_STATEFUL;
	if (pool->syn_cookies == SYN_COOKIES_ALWAYS)
		flags |= SERVICE_SYN_COOKIES;
	return flags;
}

struct nat_pool mode_pool(const struct config_pool *pool)
{
	struct nat_pool nat = {0};

	for (uint32_t i = 0; pool->mode == MODE_FULLNAT && i < pool->n_nat_sources; i++) {
		const uint8_t *addr = pool->nat_sources[i].in6.s6_addr;

		if (addr_is_ipv4(&pool->nat_sources[i]))
			memcpy(nat.source4[nat.n4++], addr + 12, 4);
		else
			memcpy(nat.source6[nat.n6++], addr, 16);
	}
	return nat;
}

/* What belongs to the servers is of the pool that they are in; the rest, of the service's own: a
 * connection that was there before must find what it had.
 */
struct service mode_service(const struct config *c, const struct config_service *s,
			    uint32_t serving)
{
	const struct config_pool *pool = config_pool(c, s->pool);
	struct service service = {.mode = modes[pool->mode].forward};

	if (pool->on_down == ON_DOWN_RESET)
		service.flags |= SERVICE_RESET;
	if (pool->no_backend == NO_BACKEND_REJECT)
		service.flags |= SERVICE_REJECT;
	if (pool->mode == MODE_FULLNAT && config_pool(c, serving)->proxy_v2)
		service.flags |= SERVICE_PROXY_V2;
	service.flags |= cookie_flags(pool, s);
	service.source_bits = addr_is_ipv4(&s->vip) ? pool->persist_bits4 : pool->persist_bits6;
	return service;
}

void mode_backend_fill(const struct desired_backend *b, struct backend *plane)
{
	if (modes[b->pool->mode].backend_fill)
		modes[b->pool->mode].backend_fill(b, plane);
}

uint32_t mode_features(const struct config *c)
{
	uint32_t features = c->no_service == NO_SERVICE_PASS ? 0 : FEATURE_VIPS;

	if (c->sync.n_links > 0)
		features |= FEATURE_SYNC;

	for (uint32_t i = 0; i < c->n_pools; i++)
		features |= modes[config_pool(c, i)->mode].features;
	for (uint32_t i = 0; i < c->n_services; i++)
		features |= config_service(c, i)->mark ? FEATURE_PROBES : 0;
	return features;
}

uint32_t mode_needs(uint8_t forward)
{
	uint32_t features = 0;

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (modes[i].forward == forward)
			features |= modes[i].features;
	}
	return features;
}

uint32_t mode_vip_policy(const struct config *c)
{
	switch (c->no_service) {
	case NO_SERVICE_REJECT:
		return VIP_REJECT;
	case NO_SERVICE_DROP:
		return VIP_DROP;
	case NO_SERVICE_PASS:
		break;
	}
	return VIP_PASS;
}
