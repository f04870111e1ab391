/* SPDX-License-Identifier: BSD-2-Clause */
/* config_vrrp.c: the list "vrrp": instances of VRRP (RFC 9568, RFC 3768) and their virtual
 * addresses.
 */
#include <stdlib.h>
#include <string.h>

#include "base/config_build.h"

static const char *const instance_keys[] = {"name",	     "interface",
					    "vrid",	     "version",
					    "priority",	     "priorities",
					    "interval",	     "addresses",
					    "preempt",	     "preempt_delay",
					    "checksum",	     "accept",
					    "group",	     "virtual_mac",
					    "unicast",	     "authentication",
					    "password_file", "garp_count",
					    "garp_delay",    "garp_refresh",
					    "garp_pace",     NULL};

bool vip_taken(const struct builder *b, const struct addr *addr)
{
	for (uint32_t i = 0; i < b->n_instances; i++) {
		const struct config_instance *other = &b->instances[i].value;

		for (uint32_t j = 0; j < other->n_addresses; j++) {
			if (memcmp(&other->addresses[j].addr, addr, sizeof(*addr)) == 0)
				return true;
		}
	}
	return false;
}

/* Can one node have it, and others send to it there? */
static bool is_of_a_node(const struct addr *addr)
{
	const struct in6_addr *a = &addr->in6;

	if (addr_is_ipv4(addr))
		return a->s6_addr[12] != 0 && a->s6_addr[12] != 127 && a->s6_addr[12] < 224;
	return !IN6_IS_ADDR_UNSPECIFIED(a) && !IN6_IS_ADDR_LOOPBACK(a) && !IN6_IS_ADDR_MULTICAST(a);
}

static void address_add(struct builder *b, const config_setting_t *s, struct config_instance *i)
{
	const char *text = element_string(&b->reader, s, "addresses");
	struct config_vip vip;

	if (!text)
		return;
	if (!prefix_parse(text, &vip)) {
		b->vip_unread = true;
		mistake(&b->reader, s,
			"\"%.64s\" is not an address; expected: address/prefix length, as in \"192.0.2.10/24\"",
			text);
		return;
	}
	if (!is_of_a_node(&vip.addr)) {
		mistake(&b->reader, s,
			"address %.64s is a group's, or one that no node can have; a unicast address is expected",
			text);
		return;
	}
	if (vip_taken(b, &vip.addr)) {
		mistake(&b->reader, s, "address %.64s is there twice; one instance owns it", text);
		return;
	}
	if (i->n_addresses > 0 && addr_is_ipv4(&vip.addr) == i->ipv6) {
		mistake(&b->reader, s,
			"address %.64s is of another family than the instance's first; expected: an instance for each family",
			text);
		return;
	}
	if (i->n_addresses == 0) {
		i->ipv6 = !addr_is_ipv4(&vip.addr);
		if (i->ipv6 && !IN6_IS_ADDR_LINKLOCAL(&vip.addr.in6))
			mistake(&b->reader, s,
				"the first IPv6 address is not link-local (RFC 9568 5.2.9); expected: put e.g. \"fe80::1:%u/64\" before it",
				i->vrid);
	}
	i->addresses[i->n_addresses++] = vip;
}

static void addresses_build(struct builder *b, const config_setting_t *group,
			    struct config_instance *i)
{
	const config_setting_t *list = config_setting_get_member(group, "addresses");
	int n = list ? config_setting_length(list) : 0;

	if (!list || (!config_setting_is_array(list) && !config_setting_is_list(list)) || n < 1 ||
	    n > CONFIG_ADDRESSES) {
		mistake(&b->reader, list ? list : group,
			"\"addresses\" is not given; expected: 1 to %d, as in [ \"192.0.2.10/24\" ]",
			CONFIG_ADDRESSES);
		return;
	}
	for (int k = 0; k < n; k++)
		address_add(b, config_setting_get_elem(list, (unsigned)k), i);
}

/* One entry of priorities: { lb1 = 200; } or ( { node = "lb-1"; priority = 200; } ). */
static void priority_entry(struct builder *b, const config_setting_t *s, bool *found,
			   int64_t *priority)
{
	static const char *const keys[] = {"node", "priority", NULL};
	const char *node = config_setting_name(s);
	char name[NAME_SIZE];
	int64_t value;

	if (config_setting_is_group(s)) {
		keys_check(&b->reader, s, keys);
		if (!get_name(&b->reader, s, "node", name) ||
		    !get_int(&b->reader, s, "priority", REQUIRED, 1, 255, &value))
			return;
		node = name;
	} else if (!element_int(&b->reader, s, node ? node : "priorities", 1, 255, &value)) {
		return;
	}
	if (node_named(b, s, node ? node : "?") < 0)
		return;
	if (strcmp(node, b->node) == 0) {
		*found = true;
		*priority = value;
	}
}

static void priority_build(struct builder *b, const config_setting_t *group,
			   struct config_instance *i)
{
	const config_setting_t *list = config_setting_get_member(group, "priorities");
	int64_t priority = 100;
	bool found = false;

	if (!list) {
		if (get_int(&b->reader, group, "priority", OPTIONAL, 1, 255, &priority) ||
		    config_setting_get_member(group, "priority"))
			found = true;
	} else if (!config_setting_is_group(list) && !config_setting_is_list(list)) {
		mistake(&b->reader, list,
			"\"priorities\" is not a group; expected: { lb1 = 200; lb2 = 100; }");
		return;
	} else {
		for (int k = 0; k < config_setting_length(list); k++)
			priority_entry(b, config_setting_get_elem(list, (unsigned)k), &found,
				       &priority);
	}
	if (!found && b->head.node.name[0])
		mistake(&b->reader, list ? list : group,
			"no priority for node \"%.64s\"; expected: priorities = { NODE = 1 .. 255; ... }",
			b->node);
	i->priority = (uint8_t)priority;
}

static void interval_build(struct builder *b, const config_setting_t *s, struct config_instance *i)
{
	uint32_t ms = 1000, step = i->version == 2 ? 1000 : 10;

	if (get_duration(&b->reader, s, "interval", step, i->version == 2 ? 255000 : 40950, &ms) &&
	    ms % step != 0)
		mistake(&b->reader, config_setting_get_member(s, "interval"),
			i->version == 2
				? "\"interval\" is %ums; expected: whole seconds (version 2 counts these)"
				: "\"interval\" is %ums; expected: a multiple of 10ms (RFC 9568 counts centiseconds)",
			ms);
	i->advert_cs = (uint16_t)(ms / 10);
}

static void version_build(struct builder *b, const config_setting_t *s, struct config_instance *i)
{
	int64_t version = 3;

	get_int(&b->reader, s, "version", OPTIONAL, 2, 3, &version);
	i->version = (uint8_t)version;
	if (version == 2 && i->ipv6)
		mistake(&b->reader, config_setting_get_member(s, "version"),
			"version 2 has no IPv6 (RFC 3768); expected: version = 3");
}

static void authentication_build(struct builder *b, const config_setting_t *s,
				 const config_setting_t *root, struct config_instance *i)
{
	static const char *const kinds[] = {"none", "password", "sync", NULL};
	const config_setting_t *password = config_setting_get_member(s, "password_file");
	const config_setting_t *kind = config_setting_get_member(s, "authentication");
	int choice;

	if (get_choice(&b->reader, s, "authentication", kinds, &choice))
		i->authentication = (enum config_authentication)choice;
	if (i->authentication == AUTHENTICATION_PASSWORD) {
		if (i->version != 2)
			mistake(&b->reader, kind,
				"version 3 has no passwords (RFC 9568 9); expected: authentication = \"sync\", or version = 2");
		build_secret(b, s, "password_file", REQUIRED, i->password, sizeof(i->password));
	} else if (password) {
		mistake(&b->reader, password,
			"\"password_file\" is not used; expected: authentication = \"password\"");
	}
	if (i->authentication == AUTHENTICATION_SYNC && !config_setting_get_member(root, "sync"))
		mistake(&b->reader, kind,
			"authentication \"sync\" needs the links of \"sync\", which is not given");
}

static void garp_build(struct builder *b, const config_setting_t *s, struct config_garp *garp)
{
	uint32_t pace_ms = 0;
	int64_t n = 3;

	garp->delay_ms = 1000;
	get_int(&b->reader, s, "garp_count", OPTIONAL, 1, 60, &n);
	get_duration(&b->reader, s, "garp_delay", 10, 60000, &garp->delay_ms);
	get_duration(&b->reader, s, "garp_refresh", 0, 86400000, &garp->refresh_ms);
	get_duration(&b->reader, s, "garp_pace", 0, 1000, &pace_ms);
	garp->count = (uint32_t)n;
	garp->pace_us = pace_ms * 1000;
}

/* The partners' addresses, where adverts are not multicast. */
static void unicast_build(struct builder *b, const config_setting_t *s, struct config_instance *i)
{
	struct addr addresses[CONFIG_NODES] = {0};
	const config_setting_t *list = config_setting_get_member(s, "unicast");

	if (!list || !node_addresses(b, s, "unicast", addresses))
		return;
	if (addr_is_ipv4(&addresses[b->head.node_index]) == i->ipv6)
		mistake(&b->reader, list,
			"\"unicast\" is of another family than \"addresses\"; one is expected");
	for (uint32_t k = 0; k < b->head.n_nodes; k++) {
		if (vip_taken(b, &addresses[k]))
			mistake(&b->reader, list,
				"the address of node \"%s\" is a virtual one; one that stays with it is expected",
				b->head.nodes[k]);
	}
	i->unicast = true;
	i->source = addresses[b->head.node_index];
	for (uint32_t k = 0; k < b->head.n_nodes; k++) {
		if (k != b->head.node_index)
			i->peers[i->n_peers++] = addresses[k];
	}
}

static void duplicates_check(struct builder *b, const config_setting_t *s,
			     const struct config_instance *i)
{
	for (uint32_t k = 0; k + 1 < b->n_instances; k++) {
		const struct config_instance *other = &b->instances[k].value;

		if (i->name[0] && strcmp(other->name, i->name) == 0)
			mistake(&b->reader, s, "vrrp instance \"%s\" is there twice", i->name);
		if (i->vrid && other->vrid == i->vrid && other->ipv6 == i->ipv6 &&
		    strcmp(other->interface, i->interface) == 0)
			mistake(&b->reader, s,
				"vrid %u is there twice on interface %s, in \"%s\" too; one of its own is expected",
				i->vrid, i->interface, other->name);
	}
}

static void instance_build(struct builder *b, const config_setting_t *root,
			   const config_setting_t *s)
{
	static const char *const checksums[] = {"rfc9568", "rfc5798", NULL};
	struct built_instance *built;
	struct config_instance *i;
	struct reader *r = &b->reader;
	int64_t n;
	int choice;

	built = array_grow(b, &b->instances, &b->n_instances, sizeof(*built));
	if (!built)
		return;
	built->setting = s;
	i = &built->value;
	i->preempt = i->accept = true;
	keys_check(r, s, instance_keys);
	get_name(r, s, "name", i->name);
	if (config_setting_get_member(s, "group"))
		get_name(r, s, "group", i->group);
	get_string(r, s, "interface", OPTIONAL, i->interface, sizeof(i->interface));
	if (!i->interface[0] && !config_setting_get_member(s, "interface"))
		strcpy(i->interface, b->head.node.interfaces[0]);
	if (get_int(r, s, "vrid", REQUIRED, 1, 255, &n))
		i->vrid = (uint8_t)n;
	get_bool(r, s, "preempt", &i->preempt);
	get_duration(r, s, "preempt_delay", 0, 3600000, &i->preempt_delay_ms);
	get_bool(r, s, "accept", &i->accept);
	get_bool(r, s, "virtual_mac", &i->virtual_mac);
	if (get_choice(r, s, "checksum", checksums, &choice))
		i->checksum = (enum config_checksum)choice;
	priority_build(b, s, i);
	addresses_build(b, s, i);
	version_build(b, s, i);
	interval_build(b, s, i);
	authentication_build(b, s, root, i);
	garp_build(b, s, &i->garp);
	unicast_build(b, s, i);
	duplicates_check(b, s, i);
}

void build_vrrp(struct builder *b, const config_setting_t *root)
{
	const config_setting_t *list = list_of_groups(&b->reader, root, "vrrp");

	for (int i = 0; list && i < config_setting_length(list); i++) {
		const config_setting_t *s = config_setting_get_elem(list, (unsigned)i);

		if (!config_setting_is_group(s))
			continue;
		if (b->n_instances == CONFIG_INSTANCES) {
			mistake(&b->reader, s, "too many vrrp instances; at most %d are expected",
				CONFIG_INSTANCES);
			return;
		}
		instance_build(b, root, s);
	}
}
