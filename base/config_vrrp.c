/* SPDX-License-Identifier: BSD-2-Clause */
/* config_vrrp.c: the list "vrrp": instances of VRRPv3 (RFC 9568) and their virtual addresses. */
#include <stdlib.h>
#include <string.h>

#include "base/config_build.h"

static const char *const instance_keys[] = {"name",	     "interface", "vrid",      "priority",
					    "priorities",    "interval",  "addresses", "preempt",
					    "preempt_delay", "checksum",  NULL};

/* Is the address in this instance (it is in the array already), or one before? */
static bool vip_taken(const struct builder *b, const struct addr *addr)
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

static bool node_known(const struct builder *b, const char *name)
{
	for (const char *const *node = b->nodes; *node; node++) {
		if (strcmp(*node, name) == 0)
			return true;
	}
	return false;
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
		    !get_int(&b->reader, s, "priority", REQUIRED, 1, 254, &value))
			return;
		node = name;
	} else if (!element_int(&b->reader, s, node ? node : "priorities", 1, 254, &value)) {
		return;
	}
	if (!node || !node_known(b, node)) {
		const char *meant = node ? nearest(node, b->nodes) : NULL;

		mistake(&b->reader, s, "node \"%.64s\" is not in \"nodes\"%s%s%s",
			node ? node : "?",
			meant ? "; did you mean \"" : "; expected: one of its names",
			meant ? meant : "", meant ? "\"?" : "");
		return;
	}
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
		if (get_int(&b->reader, group, "priority", OPTIONAL, 1, 254, &priority) ||
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
	if (!found && node_known(b, b->node))
		mistake(&b->reader, list ? list : group,
			"no priority for node \"%.64s\"; expected: priorities = { NODE = 1 .. 254; ... }",
			b->node);
	i->priority = (uint8_t)priority;
}

static void interval_build(struct builder *b, const config_setting_t *s, struct config_instance *i)
{
	uint32_t ms = 1000;

	if (get_duration(&b->reader, s, "interval", 10, 40950, &ms) && ms % 10 != 0)
		mistake(&b->reader, config_setting_get_member(s, "interval"),
			"\"interval\" is %ums; expected: a multiple of 10ms (RFC 9568 counts centiseconds)",
			ms);
	i->advert_cs = (uint16_t)(ms / 10);
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

static void instance_build(struct builder *b, const config_setting_t *s)
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
	i->preempt = true;
	keys_check(r, s, instance_keys);
	get_name(r, s, "name", i->name);
	get_string(r, s, "interface", OPTIONAL, i->interface, sizeof(i->interface));
	if (!i->interface[0] && !config_setting_get_member(s, "interface"))
		strcpy(i->interface, b->head.node.interfaces[0]);
	if (get_int(r, s, "vrid", REQUIRED, 1, 255, &n))
		i->vrid = (uint8_t)n;
	interval_build(b, s, i);
	get_bool(r, s, "preempt", &i->preempt);
	get_duration(r, s, "preempt_delay", 0, 3600000, &i->preempt_delay_ms);
	if (get_choice(r, s, "checksum", checksums, &choice))
		i->checksum = (enum config_checksum)choice;
	priority_build(b, s, i);
	addresses_build(b, s, i);
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
		instance_build(b, s);
	}
}
