/* SPDX-License-Identifier: BSD-2-Clause */
/* config_announce.c: "announce": VIPs as routes of the kernel, for a routing daemon to tell. */
#include <string.h>

#include "base/config_build.h"

/* Both are free in iproute2's and the daemons' lists; FRR imports tables up to 252 only. */
enum { TABLE = 205, PROTOCOL = 205, PROTOCOL_LEAST = 5, TABLE_DEFAULT = 253, TABLE_LOCAL = 255 };

void build_announce(struct builder *b, const config_setting_t *root)
{
	static const char *const keys[] = {"to", "table", "protocol", "metric", "when", NULL};
	static const char *const ways[] = {"kernel", NULL}, *const whens[] = {"any", "all", NULL};
	const config_setting_t *s = config_setting_get_member(root, "announce");
	int64_t table = TABLE, protocol = PROTOCOL, metric = 0;
	struct reader *r = &b->reader;
	int way, when = 0;

	if (!s)
		return;
	b->head.announce.on = true;
	if (config_setting_type(s) == CONFIG_TYPE_STRING) {
		get_choice(r, root, "announce", ways, &way);
	} else if (!config_setting_is_group(s)) {
		mistake(r, s, "\"announce\" is no group; expected: { to = \"kernel\"; }");
		return;
	} else {
		keys_check(r, s, keys);
		if (!config_setting_get_member(s, "to"))
			mistake(r, s, "\"to\" is not given; expected: to = \"kernel\"");
		get_choice(r, s, "to", ways, &way);
		get_choice(r, s, "when", whens, &when);
		get_int(r, s, "table", OPTIONAL, 1, INT32_MAX, &table);
		get_int(r, s, "protocol", OPTIONAL, PROTOCOL_LEAST, 255, &protocol);
		get_int(r, s, "metric", OPTIONAL, 0, INT32_MAX, &metric);
	}
	if (table == TABLE_DEFAULT || table == TABLE_LOCAL)
		mistake(r, config_setting_get_member(s, "table"),
			"\"table\" is %lld, which is the kernel's own; expected: one of its own, as 205, or 254 (main)",
			(long long)table);
	b->head.announce.table = (uint32_t)table;
	b->head.announce.protocol = (uint8_t)protocol;
	b->head.announce.metric = (uint32_t)metric;
	b->head.announce.when = (enum config_announce_when)when;
}

/* Every node has a part of the connections only: what counts them would make a table of its own at
 * each, and a connection that changes its node would change its backend.
 */
void build_announce_check(struct builder *b, const struct built_service *s)
{
	const struct config_pool *p = &b->pools[s->value.pool].value;

	if (p->feedback)
		mistake(&b->reader, s->setting,
			"service \"%s\": vip is announced by every node, and pool \"%s\" has \"feedback\", by which their tables would differ; expected: no feedback",
			s->value.name, p->name);
	for (uint32_t i = p->first_backend; i < p->first_backend + p->n_backends; i++) {
		if (b->backends[i]->value.max_connections == 0)
			continue;
		mistake(&b->reader, s->setting,
			"service \"%s\": vip is announced by every node, and pool \"%s\" has \"max_connections\", by which their tables would differ; expected: no limit",
			s->value.name, p->name);
		return;
	}
}
