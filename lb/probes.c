/* SPDX-License-Identifier: BSD-2-Clause */
/* probes.c: see probes.h. */
#include "lb/probes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <stdlib.h>
#include <string.h>

#include "lb/state.h"

enum { SOURCE_BITS_MOST = 64 }; /* as in mode.c */

static int entry_compare(const void *a, const void *b)
{
	const struct probe_entry *x = a, *y = b;

	return (x->mark > y->mark) - (x->mark < y->mark);
}

void probe_list_sort(struct probe_list *list)
{
	if (list->n)
		qsort(list->entries, list->n, sizeof(*list->entries), entry_compare);
}

void probe_list_fini(struct probe_list *list)
{
	free(list->entries);
	*list = (struct probe_list){0};
}

int probe_list_copy(const struct probe_list *list, struct probe_list *ret_list)
{
	struct probe_list copy = {.n = list->n};

	copy.entries = calloc(list->n + 1, sizeof(*copy.entries));
	if (!copy.entries)
		return -ENOMEM;
	if (list->n)
		memcpy(copy.entries, list->entries, list->n * sizeof(*copy.entries));
	*ret_list = copy;
	return 0;
}

bool probe_list_equal(const struct probe_list *a, const struct probe_list *b)
{
	return a->n == b->n &&
	       (a->n == 0 || memcmp(a->entries, b->entries, a->n * sizeof(*a->entries)) == 0);
}

/* ---- what is wanted ---- */

static uint8_t bits_of(const struct config_vip *from, unsigned family_bits)
{
	unsigned bits = family_bits - from->prefix_len;

	return (uint8_t)(bits < SOURCE_BITS_MOST ? bits : SOURCE_BITS_MOST);
}

static void tunnel_fill(const struct config_tunnel *t, struct probe_vip *v)
{
	v->mode = FORWARD_TUNNEL;
	v->tunnel_port = t->type == TUNNEL_GUE ? htons(t->port) : 0;
	v->tunnel_mtu = t->mtu;
	if (t->sources[0].prefix_len) {
		memcpy(v->tunnel_src4, &t->sources[0].addr, sizeof(v->tunnel_src4));
		v->tunnel_bits4 = bits_of(&t->sources[0], 32);
	}
	if (t->sources[1].prefix_len) {
		memcpy(v->tunnel_src6, &t->sources[1].addr, sizeof(v->tunnel_src6));
		v->tunnel_bits6 = bits_of(&t->sources[1], 128);
	}
}

static const struct addr *own_of(const struct config *c, const struct lb_interface *interfaces,
				 bool ipv4)
{
	static const struct addr none;

	for (uint32_t i = 0; i < c->node.n_interfaces; i++) {
		const struct addr *own = ipv4 ? &interfaces[i].own4 : &interfaces[i].own6;

		if (memcmp(own, &none, sizeof(none)) != 0)
			return own;
	}
	return &none;
}

static struct probe_entry entry_of(const struct config *c, const struct lb_interface *interfaces,
				   const struct config_service *s)
{
	const struct config_pool *pool = config_pool(c, s->pool);
	struct probe_entry e = {.mark = s->mark};

	memcpy(e.vip.vip, &s->vip, sizeof(e.vip.vip));
	memcpy(e.vip.own, own_of(c, interfaces, addr_is_ipv4(&s->vip)), sizeof(e.vip.own));
	e.vip.port = htons(s->port);
	e.vip.timeout_s = (uint16_t)(pool->probe.timeout_ms / 1000 + 1);
	e.vip.mode = FORWARD_DSR;
	if (pool->mode == MODE_TUNNEL)
		tunnel_fill(&pool->tunnel, &e.vip);
	return e;
}

int probe_list_init(const struct config *config, const struct lb_interface *interfaces,
		    struct probe_list *ret_list)
{
	struct probe_list list = {.entries = calloc(config->n_services + 1, sizeof(*list.entries))};

	if (!list.entries)
		return -ENOMEM;
	for (uint32_t i = 0; i < config->n_services; i++) {
		const struct config_service *s = config_service(config, i);

		if (s->mark)
			list.entries[list.n++] = entry_of(config, interfaces, s);
	}
	probe_list_sort(&list);
	*ret_list = list;
	return 0;
}

/* ---- the node's addresses ---- */

static bool is_vip(const struct config *c, const struct addr *addr)
{
	for (uint32_t i = 0; i < c->n_instances; i++) {
		const struct config_instance *instance = config_instance(c, i);

		for (uint32_t k = 0; k < instance->n_addresses; k++) {
			if (memcmp(&instance->addresses[k].addr, addr, sizeof(*addr)) == 0)
				return true;
		}
	}
	for (uint32_t i = 0; i < c->n_services; i++) {
		if (memcmp(&config_service(c, i)->vip, addr, sizeof(*addr)) == 0)
			return true;
	}
	return false;
}

static bool families_differ(const struct config *c)
{
	for (uint32_t i = 0; i < c->n_services; i++) {
		const struct config_service *s = config_service(c, i);
		const struct config_pool *pool = config_pool(c, s->pool);

		for (uint32_t k = 0; s->mark && k < pool->n_backends; k++) {
			const struct config_backend *b = config_backend(c, pool->first_backend + k);

			if (addr_is_ipv4(&b->addr) != addr_is_ipv4(&s->vip))
				return true;
		}
	}
	return false;
}

static bool addr_take(const struct sockaddr *sa, struct addr *ret_addr)
{
	struct addr addr = {.in6.s6_addr = {[10] = 0xff, [11] = 0xff}};

	if (sa && sa->sa_family == AF_INET)
		memcpy(addr.in6.s6_addr + 12,
		       &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
	else if (sa && sa->sa_family == AF_INET6)
		addr.in6 = ((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
	else
		return false;
	if (IN6_IS_ADDR_LINKLOCAL(&addr.in6))
		return false;
	*ret_addr = addr;
	return true;
}

void interface_own(const struct config *config, struct lb_interface *interface)
{
	struct ifaddrs *all = NULL;

	memset(&interface->own4, 0, sizeof(interface->own4));
	memset(&interface->own6, 0, sizeof(interface->own6));
	if (!families_differ(config) || getifaddrs(&all) < 0)
		return;
	for (const struct ifaddrs *at = all; at; at = at->ifa_next) {
		struct addr addr, *own;

		if (strcmp(at->ifa_name, interface->name) != 0 || !addr_take(at->ifa_addr, &addr))
			continue;
		own = addr_is_ipv4(&addr) ? &interface->own4 : &interface->own6;
		if (IN6_IS_ADDR_UNSPECIFIED(&own->in6) && !is_vip(config, &addr))
			*own = addr;
	}
	freeifaddrs(all);
}
