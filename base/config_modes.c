/* SPDX-License-Identifier: BSD-2-Clause */
/* config_modes.c: how a pool's packets are forwarded and its connections balanced: "mode" and the
 * settings that belong to one mode only, the options of balancing, and the node's share of the
 * ports that fullnat sends from. A setting that its pool's mode has no use for is a mistake, unless
 * it says what holds anyway ("none", "never").
 */
#include <string.h>

#include "base/config_build.h"

/* The kernel's own connections, such as probes, leave from here upwards (ip_local_port_range). */
enum { LOCAL_PORTS_FIRST = 32768, NAT_PORTS_FIRST = 1024, SYN_RATE_MOST = 100000000 };

static const char *const mode_names[] = CONFIG_MODE_NAMES;

/* "mode" is not among @modes (bits), and @key is there: told. */
static void mode_check(struct builder *b, const config_setting_t *s, const struct built_pool *pool,
		       const char *key, unsigned modes)
{
	const config_setting_t *member = config_setting_get_member(s, key);
	const char *first = "", *second = "";

	if (!member || pool->mode_unread || modes >> pool->value.mode & 1)
		return;
	for (int i = 0; mode_names[i]; i++) {
		if (!(modes >> i & 1))
			continue;
		if (*first)
			second = mode_names[i];
		else
			first = mode_names[i];
	}
	mistake(&b->reader, member,
		"pool \"%s\": \"%s\" is not for mode %s; expected: mode = \"%s\"%s%s%s",
		pool->value.name, key, mode_names[pool->value.mode], first, *second ? " or \"" : "",
		second, *second ? "\"" : "");
}

/* The elements of an array that may be absent; -1 when it is no array, or has too many (told). */
static int array_length(struct builder *b, const config_setting_t *list, const char *key, int most,
			const char *example)
{
	if (!list)
		return 0;
	if ((config_setting_is_array(list) || config_setting_is_list(list)) &&
	    config_setting_length(list) <= most)
		return config_setting_length(list);
	mistake(&b->reader, list, "\"%s\" is not as it should be; expected: up to %d, as in [ %s ]",
		key, most, example);
	return -1;
}

/* ---- tunnel ---- */

static bool is_network(const struct config_vip *prefix)
{
	unsigned from = prefix->prefix_len + (addr_is_ipv4(&prefix->addr) ? 96U : 0U);

	for (unsigned bit = from; bit < 128; bit++) {
		if (prefix->addr.in6.s6_addr[bit / 8] >> (7 - bit % 8) & 1)
			return false;
	}
	return true;
}

static void source_add(struct builder *b, const config_setting_t *s, struct config_tunnel *tunnel)
{
	const char *text = element_string(&b->reader, s, "sources");
	struct config_vip prefix, *mine;

	if (!text)
		return;
	if (!prefix_parse(text, &prefix) || !is_network(&prefix)) {
		mistake(&b->reader, s,
			"\"%.64s\" is not a prefix; expected: as in \"10.9.0.0/16\", with no bit set beyond its length",
			text);
		return;
	}
	mine = &tunnel->sources[addr_is_ipv4(&prefix.addr) ? 0 : 1];
	if (mine->prefix_len > 0)
		mistake(&b->reader, s,
			"\"%.64s\" is the second of its family; expected: one prefix for IPv4 and one for IPv6",
			text);
	*mine = prefix;
}

static void tunnel_group(struct builder *b, const config_setting_t *s, struct config_tunnel *tunnel)
{
	static const char *const keys[] = {"type", "port", "mtu", "clamp_mss", "sources", NULL};
	static const char *const types[] = {"ipip", "gue", NULL};
	const config_setting_t *sources = config_setting_get_member(s, "sources");
	const config_setting_t *port = config_setting_get_member(s, "port");
	struct reader *r = &b->reader;
	bool typed = !config_setting_get_member(s, "type");
	int64_t n;
	int choice;

	keys_check(r, s, keys);
	if (get_choice(r, s, "type", types, &choice)) {
		tunnel->type = (enum config_tunnel_type)choice;
		typed = true;
	}
	if (get_int(r, s, "port", OPTIONAL, 1, 65535, &n))
		tunnel->port = (uint16_t)n;
	if (port && typed && tunnel->type != TUNNEL_GUE)
		mistake(r, port, "a tunnel of type \"%s\" has no port; expected: type = \"gue\"",
			types[tunnel->type]);
	if (get_int(r, s, "mtu", OPTIONAL, 576, 9000, &n))
		tunnel->mtu = (uint16_t)n;
	get_bool(r, s, "clamp_mss", &tunnel->clamp_mss);
	choice = array_length(b, sources, "sources", 2, "\"10.9.0.0/16\", \"fd09::/64\"");
	for (int i = 0; i < choice; i++)
		source_add(b, config_setting_get_elem(sources, (unsigned)i), tunnel);
}

static void tunnel_build(struct builder *b, const config_setting_t *s, struct built_pool *pool)
{
	const config_setting_t *group = config_setting_get_member(s, "tunnel");

	pool->value.tunnel.port = 6080;
	pool->value.tunnel.mtu = 1500;
	if (!group)
		return;
	mode_check(b, s, pool, "tunnel", 1U << MODE_TUNNEL);
	if (config_setting_is_group(group))
		tunnel_group(b, group, &pool->value.tunnel);
	else
		mistake(&b->reader, group,
			"\"tunnel\" is not a group; expected: { type = \"ipip\"; mtu = 1500; }");
}

/* ---- nat and fullnat ---- */

static void nat_source_add(struct builder *b, const config_setting_t *s, struct config_pool *pool)
{
	const char *text = element_string(&b->reader, s, "nat_sources");
	struct addr addr;

	if (!text)
		return;
	if (addr_parse(text, &addr) < 0 || IN6_IS_ADDR_UNSPECIFIED(&addr.in6)) {
		mistake(&b->reader, s,
			"\"nat_sources\" has \"%.64s\"; an IPv4 or IPv6 address is expected", text);
		return;
	}
	for (uint32_t i = 0; i < pool->n_nat_sources; i++) {
		if (memcmp(&pool->nat_sources[i], &addr, sizeof(addr)) == 0)
			mistake(&b->reader, s, "address %.64s is there twice; once is expected",
				text);
	}
	pool->nat_sources[pool->n_nat_sources++] = addr;
}

static void nat_build(struct builder *b, const config_setting_t *s, struct built_pool *pool)
{
	static const char *const proxies[] = {"none", "v2", NULL};
	static const char *const cookies[] = {"never", "auto", "always", NULL};
	const config_setting_t *sources = config_setting_get_member(s, "nat_sources");
	const config_setting_t *rate = config_setting_get_member(s, "syn_rate");
	struct reader *r = &b->reader;
	bool cookies_read = !config_setting_get_member(s, "syn_cookies");
	int64_t n;
	int choice;

	if (get_choice(r, s, "proxy", proxies, &choice) && choice == 1) {
		pool->value.proxy_v2 = true;
		mode_check(b, s, pool, "proxy", 1U << MODE_FULLNAT);
	}
	mode_check(b, s, pool, "nat_sources", 1U << MODE_FULLNAT);
	choice = array_length(b, sources, "nat_sources", NAT_SOURCES, "\"192.0.2.10\"");
	for (int i = 0; i < choice; i++)
		nat_source_add(b, config_setting_get_elem(sources, (unsigned)i), &pool->value);
	if (get_choice(r, s, "syn_cookies", cookies, &choice)) {
		pool->value.syn_cookies = (enum config_syn_cookies)choice;
		cookies_read = true;
		if (choice != SYN_COOKIES_NEVER)
			mode_check(b, s, pool, "syn_cookies", 1U << MODE_NAT | 1U << MODE_FULLNAT);
	}
	pool->value.syn_rate = 10000;
	if (get_int(r, s, "syn_rate", OPTIONAL, 1, SYN_RATE_MOST, &n))
		pool->value.syn_rate = (uint32_t)n;
	if (rate && cookies_read && pool->value.syn_cookies != SYN_COOKIES_AUTO)
		mistake(r, rate,
			"pool \"%s\": \"syn_rate\" is not used; expected: syn_cookies = \"auto\"",
			pool->value.name);
}

void build_mode(struct builder *b, const config_setting_t *s, struct built_pool *pool)
{
	int choice;

	if (get_choice(&b->reader, s, "mode", mode_names, &choice))
		pool->value.mode = (enum config_mode)choice;
	else
		pool->mode_unread = config_setting_get_member(s, "mode");
	tunnel_build(b, s, pool);
	nat_build(b, s, pool);
}

/* ---- balancing ---- */

static void persistence_build(struct builder *b, const config_setting_t *s, struct config_pool *p)
{
	static const char *const kinds[] = {"none", "source", NULL};
	static const char *const lengths[] = {"source_prefix", "source_prefix6"};
	static const int most[] = {32, 128};
	int64_t bits[] = {32, 64};
	int kind = 0;
	bool read = get_choice(&b->reader, s, "persistence", kinds, &kind) ||
		    !config_setting_get_member(s, "persistence");

	for (int i = 0; i < 2; i++) {
		const config_setting_t *length = config_setting_get_member(s, lengths[i]);

		get_int(&b->reader, s, lengths[i], OPTIONAL, 1, most[i], &bits[i]);
		if (length && read && kind == 0)
			mistake(&b->reader, length,
				"pool \"%s\": \"%s\" is not used; expected: persistence = \"source\"",
				p->name, lengths[i]);
	}
	if (kind == 0)
		return;
	p->persist_bits4 = (uint8_t)bits[0];
	p->persist_bits6 = (uint8_t)bits[1];
}

static void min_build(struct builder *b, const config_setting_t *s, struct config_pool *p)
{
	static const char *const below[] = {"backup", "all", "reject", NULL};
	const config_setting_t *min = config_setting_get_member(s, "min_backends");
	int64_t n = 0;
	int choice;

	if (get_int(&b->reader, s, "min_backends", OPTIONAL, 0, CONFIG_BACKENDS, &n))
		p->min_backends = (uint32_t)n;
	if (!get_choice(&b->reader, s, "below_min", below, &choice))
		return;
	p->below_min = (enum config_below_min)choice;
	if (!min || (config_setting_type(min) == CONFIG_TYPE_INT && n == 0))
		mistake(&b->reader, config_setting_get_member(s, "below_min"),
			"pool \"%s\": \"below_min\" is not used; expected: min_backends = 1 or more",
			p->name);
}

void build_balancing(struct builder *b, const config_setting_t *s, struct built_pool *pool)
{
	static const char *const on_down[] = {"reset", "keep", NULL};
	static const char *const no_backend[] = {"drop", "reject", NULL};
	struct config_pool *p = &pool->value;
	struct reader *r = &b->reader;
	int64_t n;
	int choice;

	persistence_build(b, s, p);
	min_build(b, s, p);
	if (get_count(r, s, "max_connections", 0, CONFIG_CONNECTIONS, &n))
		pool->max_connections = (uint32_t)n;
	get_duration(r, s, "slow_start", 0, 3600000, &p->slow_start_ms);
	get_bool(r, s, "feedback", &p->feedback);
	if (get_choice(r, s, "on_down", on_down, &choice))
		p->on_down = (enum config_on_down)choice;
	if (get_int(r, s, "panic_threshold", OPTIONAL, 0, 100, &n))
		p->panic_percent = (uint32_t)n;
	if (get_choice(r, s, "no_backend", no_backend, &choice))
		p->no_backend = (enum config_no_backend)choice;
	p->backup_pool = -1;
}

/* ---- with the backends ---- */

/* The sources that packets to this backend get are of its family, and not its own address. */
static void nat_sources_check(struct builder *b, const struct built_pool *pool,
			      const struct config_backend *backend)
{
	const config_setting_t *sources = config_setting_get_member(pool->setting, "nat_sources");
	char text[INET6_ADDRSTRLEN];

	for (uint32_t i = 0; i < pool->value.n_nat_sources; i++) {
		const struct addr *source = &pool->value.nat_sources[i];

		if (addr_is_ipv4(source) != addr_is_ipv4(&backend->addr))
			mistake(&b->reader, sources,
				"nat source %s and backend \"%s\" are of different families; expected: addresses of the backends' family",
				addr_format(source, text), backend->name);
		else if (memcmp(source, &backend->addr, sizeof(*source)) == 0)
			mistake(&b->reader, sources,
				"nat source %s is backend \"%s\"; expected: an address that is brought to the nodes",
				addr_format(source, text), backend->name);
	}
}

void build_modes_check(struct builder *b, const struct built_pool *pool)
{
	const config_setting_t *tunnel = config_setting_get_member(pool->setting, "tunnel");
	const struct config_pool *p = &pool->value;
	uint32_t n_backup = 0;

	for (uint32_t i = p->first_backend; i < p->first_backend + p->n_backends; i++) {
		const struct config_backend *backend = &b->backends[i]->value;

		n_backup += backend->backup;
		if (IN6_IS_ADDR_UNSPECIFIED(&backend->addr.in6))
			continue; /* told where it was read */
		nat_sources_check(b, pool, backend);
		if (tunnel && p->tunnel.mtu < 1280 && !addr_is_ipv4(&backend->addr))
			mistake(&b->reader, config_setting_get_member(tunnel, "mtu"),
				"\"mtu\" is %u, and backend \"%s\" is reached over IPv6; expected: 1280 to 9000",
				p->tunnel.mtu, backend->name);
	}
	if (p->n_backends > 0 && n_backup == p->n_backends)
		mistake(&b->reader, config_setting_get_member(pool->setting, "backends"),
			"pool \"%s\" has only backups; expected: a backend without backup = true",
			p->name);
	if (p->n_backends > 0 && p->min_backends > p->n_backends - n_backup)
		mistake(&b->reader, config_setting_get_member(pool->setting, "min_backends"),
			"\"min_backends\" is %u, of %u that are no backups; expected: not more",
			p->min_backends, p->n_backends - n_backup);
}

/* ---- ports of fullnat ---- */

void build_nat_ports(struct builder *b, const config_setting_t *root)
{
	static const char *const keys[] = {"first", "last", NULL};
	const config_setting_t *s = config_setting_get_member(root, "nat_ports");
	int64_t first = NAT_PORTS_FIRST, last = LOCAL_PORTS_FIRST - 1, share;
	uint32_t i = 0;

	if (s && !config_setting_is_group(s)) {
		mistake(&b->reader, s,
			"\"nat_ports\" is not a group; expected: { first = 1024; last = 32767; }");
		return;
	}
	if (s) {
		keys_check(&b->reader, s, keys);
		if ((config_setting_get_member(s, "first") &&
		     !get_int(&b->reader, s, "first", OPTIONAL, 1, 65535, &first)) ||
		    (config_setting_get_member(s, "last") &&
		     !get_int(&b->reader, s, "last", OPTIONAL, 1, 65535, &last)))
			return;
	}
	while (b->nodes[i] && strcmp(b->nodes[i], b->node) != 0)
		i++;
	if (!b->nodes[i])
		return; /* told: this node is none of them */
	share = (last - first + 1) / (int64_t)b->head.n_nodes;
	if (last >= LOCAL_PORTS_FIRST)
		mistake(&b->reader, s,
			"\"nat_ports\" reaches to %lld: from %d on are the node's own connections, such as probes; expected: last = %d at most",
			(long long)last, LOCAL_PORTS_FIRST, LOCAL_PORTS_FIRST - 1);
	else if (share < NAT_PORTS_LEAST)
		mistake(&b->reader, s,
			"\"nat_ports\" has %lld for each of %u nodes; expected: %d at least",
			(long long)(share > 0 ? share : 0), b->head.n_nodes, NAT_PORTS_LEAST);
	b->head.nat_port_first = (uint16_t)(first + i * share);
	b->head.nat_port_last = (uint16_t)(first + (i + 1) * share - 1);
}
