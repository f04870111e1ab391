/* SPDX-License-Identifier: BSD-2-Clause */
/* config_sync.c: "sync": the links over which the nodes know of each other, and addresses of nodes.
 */
#include <string.h>

#include "base/config_build.h"

enum { SYNC_PORT = 5405, HEARTBEAT_MS = 5, DEAD_AFTER_MS = 40, RATE = 20000, MISSES_LEAST = 4 };

int node_named(struct builder *b, const config_setting_t *s, const char *name)
{
	const char *meant;

	for (uint32_t i = 0; i < b->head.n_nodes; i++) {
		if (strcmp(b->head.nodes[i], name) == 0)
			return (int)i;
	}
	meant = nearest(name, b->nodes);
	mistake(&b->reader, s, "node \"%.64s\" is not in \"nodes\"%s%s%s", name,
		meant ? "; did you mean \"" : "; expected: one of its names", meant ? meant : "",
		meant ? "\"?" : "");
	return -1;
}

/* One entry: { lb1 = "192.0.2.2"; } or ( { node = "lb-1"; address = "192.0.2.2"; } ). */
static void address_entry(struct builder *b, const config_setting_t *s, const char *key,
			  struct addr addresses[static CONFIG_NODES])
{
	static const char *const keys[] = {"node", "address", NULL};
	const char *node = config_setting_name(s), *text;
	char name[NAME_SIZE];
	struct addr addr;
	int i;

	if (config_setting_is_group(s)) {
		keys_check(&b->reader, s, keys);
		if (!get_name(&b->reader, s, "node", name) ||
		    !get_address(&b->reader, s, "address", &addr))
			return;
		node = name;
	} else {
		text = element_string(&b->reader, s, node ? node : key);
		if (!text)
			return;
		if (addr_parse(text, &addr) < 0) {
			mistake(&b->reader, s, "\"%.64s\" is no address; IPv4 or IPv6 is expected",
				text);
			return;
		}
	}
	i = node_named(b, s, node ? node : "?");
	if (i >= 0)
		addresses[i] = addr;
}

static bool addresses_good(struct builder *b, const config_setting_t *s,
			   const struct addr addresses[static CONFIG_NODES])
{
	for (uint32_t i = 0; i < b->head.n_nodes; i++) {
		if (IN6_IS_ADDR_UNSPECIFIED(&addresses[i].in6)) {
			mistake(&b->reader, s, "node \"%s\" has no address here; each needs one",
				b->head.nodes[i]);
			return false;
		}
		if (addr_is_ipv4(&addresses[i]) != addr_is_ipv4(&addresses[0])) {
			mistake(&b->reader, s, "addresses of two families; one is expected");
			return false;
		}
		for (uint32_t k = 0; k < i; k++) {
			if (memcmp(&addresses[i], &addresses[k], sizeof(addresses[i])) == 0) {
				mistake(&b->reader, s,
					"two nodes have the same address; each its own is expected");
				return false;
			}
		}
	}
	return true;
}

bool node_addresses(struct builder *b, const config_setting_t *group, const char *key,
		    struct addr ret_addresses[static CONFIG_NODES])
{
	config_setting_t *list = config_setting_get_member(group, key);
	struct addr addresses[CONFIG_NODES] = {0};
	size_t before = b->reader.n_mistakes;

	if (!list || (!config_setting_is_group(list) && !config_setting_is_list(list))) {
		mistake(&b->reader, list ? list : group,
			"\"%s\" is no group; expected: { lb1 = \"192.0.2.2\"; lb2 = \"192.0.2.3\"; }",
			key);
		return false;
	}
	for (int i = 0; i < config_setting_length(list); i++)
		address_entry(b, config_setting_get_elem(list, (unsigned)i), key, addresses);
	if (b->reader.n_mistakes > before || !addresses_good(b, list, addresses))
		return false;
	memcpy(ret_addresses, addresses, sizeof(addresses));
	return true;
}

static void link_build(struct builder *b, const config_setting_t *s, struct config_link *link)
{
	static const char *const keys[] = {"interface", "addresses", NULL};

	keys_check(&b->reader, s, keys);
	get_string(&b->reader, s, "interface", REQUIRED, link->interface, sizeof(link->interface));
	node_addresses(b, s, "addresses", link->addresses);
	for (uint32_t i = 0; i < b->head.n_nodes; i++) {
		if (vip_taken(b, &link->addresses[i]))
			mistake(&b->reader, s,
				"the address of node \"%s\" is a virtual one; one that stays with it is expected",
				b->head.nodes[i]);
	}
}

void build_sync(struct builder *b, const config_setting_t *root)
{
	static const char *const keys[] = {"port",	 "links", "heartbeat",
					   "dead_after", "rate",  NULL};
	const config_setting_t *s = config_setting_get_member(root, "sync"), *links;
	struct config_sync *sync = &b->head.sync;
	int64_t port = SYNC_PORT, rate = RATE;

	if (!s)
		return;
	if (!config_setting_is_group(s)) {
		mistake(&b->reader, s, "\"sync\" is not a group; expected: { links = ( ... ); }");
		return;
	}
	keys_check(&b->reader, s, keys);
	get_int(&b->reader, s, "port", OPTIONAL, 1, 65534, &port);
	get_int(&b->reader, s, "rate", OPTIONAL, 100, 1000000, &rate);
	sync->port = (uint16_t)port;
	sync->rate_packets_s = (uint32_t)rate;
	sync->heartbeat_ms = HEARTBEAT_MS;
	sync->dead_after_ms = DEAD_AFTER_MS;
	get_duration(&b->reader, s, "heartbeat", 1, 1000, &sync->heartbeat_ms);
	if (get_duration(&b->reader, s, "dead_after", 10, 60000, &sync->dead_after_ms) &&
	    sync->dead_after_ms < MISSES_LEAST * sync->heartbeat_ms)
		mistake(&b->reader, config_setting_get_member(s, "dead_after"),
			"\"dead_after\" is %ums, \"heartbeat\" %ums; expected: %d times as long at least",
			sync->dead_after_ms, sync->heartbeat_ms, MISSES_LEAST);
	if (b->head.n_nodes < 2)
		mistake(&b->reader, s, "\"sync\" needs another node; \"nodes\" has %u",
			b->head.n_nodes);
	links = list_of_groups(&b->reader, s, "links");
	if (!links || config_setting_length(links) < 1 ||
	    config_setting_length(links) > CONFIG_LINKS) {
		mistake(&b->reader, links ? links : s,
			"\"links\" of \"sync\" is not given; expected: 1 to %d, as in ( { interface = \"eth1\"; addresses = { lb1 = \"10.0.0.1\"; lb2 = \"10.0.0.2\"; }; } )",
			CONFIG_LINKS);
		return;
	}
	for (int i = 0; i < config_setting_length(links); i++) {
		const config_setting_t *link = config_setting_get_elem(links, (unsigned)i);

		if (config_setting_is_group(link))
			link_build(b, link, &sync->links[sync->n_links++]);
	}
}
