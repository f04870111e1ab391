/* SPDX-License-Identifier: BSD-2-Clause */
/* config_services.c: the list "services", and what only the whole file can tell. A group of ports
 * in the file becomes one service for each port.
 */
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/config_build.h"

static const char *const service_keys[] = {"name",  "vip",  "protocol", "port",
					   "ports", "pool", NULL};

static int key_compare(const void *a, const void *b)
{
	const struct config_service *x = &((const struct built_service *)a)->value;
	const struct config_service *y = &((const struct built_service *)b)->value;

	if (x->port != y->port)
		return x->port < y->port ? -1 : 1;
	if (x->protocol != y->protocol)
		return x->protocol < y->protocol ? -1 : 1;
	return memcmp(&x->vip, &y->vip, sizeof(x->vip));
}

static void service_add(struct builder *b, const config_setting_t *s,
			const struct config_service *value)
{
	struct built_service *new = calloc(1, sizeof(*new)), **slot, **node;
	char text[INET6_ADDRSTRLEN];

	if (b->n_services == CONFIG_SERVICES) {
		mistake(&b->reader, s, "too many services; at most %d ports are expected",
			CONFIG_SERVICES);
		free(new);
		return;
	}
	slot = new ? array_grow(b, &b->services, &b->n_services, sizeof(*slot)) : NULL;
	if (!slot) {
		b->reader.no_memory = true;
		free(new);
		return;
	}
	*slot = new;
	new->value = *value;
	new->setting = s;
	node = tsearch(new, &b->service_keys, key_compare);
	if (!node)
		b->reader.no_memory = true;
	else if (*node != new)
		mistake(&b->reader, s,
			"service \"%s\": %s port %u is served by \"%s\" already (line %u); one service is expected",
			value->name, addr_format(&value->vip, text), value->port,
			(*node)->value.name, config_setting_source_line((*node)->setting));
}

static void ports_add(struct builder *b, const config_setting_t *s, struct config_service *value)
{
	const config_setting_t *list = config_setting_get_member(s, "ports");
	int n = list ? config_setting_length(list) : 0;
	int64_t port;

	if (!list) {
		if (get_int(&b->reader, s, "port", OPTIONAL, 1, 65535, &port)) {
			value->port = (uint16_t)port;
			service_add(b, s, value);
		} else if (!config_setting_get_member(s, "port")) {
			mistake(&b->reader, s,
				"service \"%s\" has no port; expected: port = 25; or ports = [ 25, 587 ];",
				value->name);
		}
		return;
	}
	if (config_setting_get_member(s, "port"))
		mistake(&b->reader, list, "\"port\" and \"ports\" are both there; one is expected");
	if ((!config_setting_is_array(list) && !config_setting_is_list(list)) || n < 1 ||
	    n > CONFIG_PORTS) {
		mistake(&b->reader, list,
			"\"ports\" is not a list of ports; expected: 1 to %d, as in [ 25, 587 ]",
			CONFIG_PORTS);
		return;
	}
	for (int i = 0; i < n; i++) {
		const config_setting_t *element = config_setting_get_elem(list, (unsigned)i);

		if (!element_int(&b->reader, element, "ports", 1, 65535, &port))
			continue;
		value->port = (uint16_t)port;
		service_add(b, element, value);
	}
}

static void service_build(struct builder *b, const config_setting_t *s)
{
	static const char *const protocols[] = {"tcp", "udp", NULL};
	struct config_service value = {.protocol = IPPROTO_TCP};
	struct reader *r = &b->reader;
	bool good;
	int choice, pool;

	keys_check(r, s, service_keys);
	good = get_name(r, s, "name", value.name);
	good = get_address(r, s, "vip", &value.vip) && good;
	if (get_choice(r, s, "protocol", protocols, &choice))
		value.protocol = choice == 0 ? IPPROTO_TCP : IPPROTO_UDP;
	pool = pool_named(b, s, "pool");
	if (!good || pool < 0)
		return;
	value.pool = (uint32_t)pool;
	b->pools[pool].used = true;
	ports_add(b, s, &value);
}

void build_services(struct builder *b, const config_setting_t *root)
{
	const config_setting_t *list = list_of_groups(&b->reader, root, "services");

	for (int i = 0; list && i < config_setting_length(list); i++) {
		const config_setting_t *s = config_setting_get_elem(list, (unsigned)i);

		if (config_setting_is_group(s))
			service_build(b, s);
	}
}

/* ---- the whole ---- */

static bool vip_owned(const struct builder *b, const struct addr *vip)
{
	for (uint32_t i = 0; i < b->n_instances; i++) {
		const struct config_instance *instance = &b->instances[i].value;

		for (uint32_t j = 0; j < instance->n_addresses; j++) {
			if (memcmp(&instance->addresses[j].addr, vip, sizeof(*vip)) == 0)
				return true;
		}
	}
	return false;
}

/* @pool: the service's, or the backup of that. */
static void service_pool_check(struct builder *b, const struct built_service *s,
			       struct built_pool *pool)
{
	static const char *const modes[] = CONFIG_MODE_NAMES;
	const struct config_pool *p = &pool->value;

	if (p->proxy_v2 && s->value.protocol != IPPROTO_TCP)
		mistake(&b->reader, s->setting,
			"service \"%s\": pool \"%s\" has proxy \"v2\", which is for tcp; expected: a pool without it",
			s->value.name, p->name);
	for (uint32_t i = p->first_backend; i < p->first_backend + p->n_backends; i++) {
		const struct built_backend *backend = b->backends[i];

		if (IN6_IS_ADDR_UNSPECIFIED(&backend->value.addr.in6))
			continue; /* told where it was read */
		if (!pool->mode_unread && p->mode != MODE_TUNNEL &&
		    addr_is_ipv4(&backend->value.addr) != addr_is_ipv4(&s->value.vip)) {
			mistake(&b->reader, s->setting,
				"service \"%s\": vip and backend \"%s\" are of different families, which mode %s cannot serve; expected: a pool for each family",
				s->value.name, backend->value.name, modes[p->mode]);
			return;
		}
		if (memcmp(&backend->value.addr, &s->value.vip, sizeof(s->value.vip)) == 0)
			mistake(&b->reader, backend->setting,
				"backend \"%s\" has the address of a vip; expected: the server's own address",
				backend->value.name);
		if (backend->value.port == s->value.port)
			pool->port_served = true;
	}
}

static void service_check(struct builder *b, const struct built_service *s)
{
	struct built_pool *pool = &b->pools[s->value.pool];
	char text[INET6_ADDRSTRLEN];

	bool owned = b->vip_unread || vip_owned(b, &s->value.vip);

	if (!owned && b->head.announce.on)
		build_announce_check(b, s);
	else if (!owned)
		mistake(&b->reader, s->setting,
			"service \"%s\": vip %s is in no vrrp instance; expected: one of their addresses, or \"announce\"",
			s->value.name, addr_format(&s->value.vip, text));
	service_pool_check(b, s, pool);
	if (pool->value.backup_pool >= 0)
		service_pool_check(b, s, &b->pools[pool->value.backup_pool]);
}

/* In dsr and tunnel the packet keeps its port: a pool whose port no service has is a slip of the
 * pen, unless its probe asks a port of its own.
 */
static void pool_check(struct builder *b, const struct built_pool *p)
{
	static const char *const modes[] = CONFIG_MODE_NAMES;

	if (p->value.mode == MODE_NAT || p->value.mode == MODE_FULLNAT)
		return;
	if (p->used && !p->port_served && p->port && p->value.probe.port == 0)
		mistake(&b->reader, p->setting,
			"pool \"%s\": no service of it has port %u, and mode %s does not translate ports; expected: the services' port, or a port in the probe",
			p->value.name, p->port, modes[p->value.mode]);
}

/* ---- marks of probes through a VIP ---- */

#define MARK_BIT 0x80000000U /* PROBE_MARK of bpf/abi_probe.h */

/* Of address and port alone (FNV-1a), so that a reload changes no mark but of those that @turn
 * keeps apart.
 */
static uint32_t mark_of(const struct config_service *s, uint32_t turn)
{
	uint32_t hash = 2166136261U;

	for (size_t i = 0; i < sizeof(s->vip); i++)
		hash = (hash ^ s->vip.in6.s6_addr[i]) * 16777619U;
	hash = (hash ^ (s->port & 0xff)) * 16777619U;
	hash = (hash ^ (s->port >> 8)) * 16777619U;
	hash = (hash ^ turn) * 16777619U;
	return MARK_BIT | (hash ^ hash >> 16);
}

static int mark_compare(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void keep_mark(void *mark)
{
	(void)mark;
}

static void marks_give(struct builder *b)
{
	void *marks = NULL;

	for (uint32_t i = 0; i < b->n_services; i++) {
		struct config_service *s = &b->services[i]->value;
		const struct config_pool *pool = &b->pools[s->pool].value;
		uint32_t **node;

		if (pool->probe.via != VIA_VIP || s->protocol != IPPROTO_TCP)
			continue;
		for (uint32_t turn = 0;; turn++) {
			s->mark = mark_of(s, turn);
			node = tsearch(&s->mark, &marks, mark_compare);
			if (!node || *node == &s->mark)
				break;
		}
		b->reader.no_memory = b->reader.no_memory || !node;
	}
	tdestroy(marks, keep_mark);
}

void build_check(struct builder *b)
{
	build_backup_pools(b);
	for (uint32_t i = 0; i < b->n_services; i++)
		service_check(b, b->services[i]);
	if (b->reader.n_mistakes > 0)
		return; /* what follows would only repeat them */
	for (uint32_t i = 0; i < b->n_pools; i++)
		pool_check(b, &b->pools[i]);
	marks_give(b);
}
