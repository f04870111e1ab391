/* SPDX-License-Identifier: BSD-2-Clause */
/* test_config_modes.c: what must hold of the settings of forward modes and of balancing: their
 * values, and the line that tells each mistake.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/base/config_file.h"

#define TUNNEL(inside)	POOL("mode = \"tunnel\"; tunnel = { " inside " };\n")
#define FULLNAT(inside) POOL("mode = \"fullnat\"; " inside "\n")

/* The pool of a service, and another one. */
#define TWO_POOLS(first, second)                                                                   \
	GOOD_NODES GOOD_VRRP                                                                       \
		"pools = ( { name = \"mx\"; port = 25;\n" first "\n"                               \
		" backends = ( { name = \"b\"; address = \"192.0.2.21\"; } ); },\n"                \
		" { name = \"spare\"; " second                                                     \
		" backends = ( { name = \"z\"; address = \"192.0.2.9\"; } ); } );\n" GOOD_SERVICES

static const struct {
	const char *text, *error;
} rows[] = {
	{POOL("tunnel = { };\n"),
	 "f:4: pool \"mx\": \"tunnel\" is not for mode dsr; expected: mode = \"tunnel\"\n"},
	{POOL("mode = \"tunnel\";\ntunnel = \"gue\";\n"),
	 "f:5: \"tunnel\" is not a group; expected: { type = \"ipip\"; mtu = 1500; }\n"},
	{TUNNEL("type = \"gre\";"), "f:4: type \"gre\" is not known; did you mean \"gue\"?\n"},
	{TUNNEL("port = 6080;"),
	 "f:4: a tunnel of type \"ipip\" has no port; expected: type = \"gue\"\n"},
	{TUNNEL("type = \"gue\"; port = 0;"),
	 "f:4: \"port\" is 0, out of range; expected: 1 to 65535\n"},
	{TUNNEL("mtu = 9001;"), "f:4: \"mtu\" is 9001, out of range; expected: 576 to 9000\n"},
	{TUNNEL("nmtu = 1500;"), "f:4: \"nmtu\" is not known here; did you mean \"mtu\"?\n"},
	{TUNNEL("sources = \"10.9.0.0/16\";"),
	 "f:4: \"sources\" is not as it should be; expected: up to 2, as in [ \"10.9.0.0/16\", \"fd09::/64\" ]\n"},
	{TUNNEL("sources = [ \"10.9.0.1/16\" ];"),
	 "f:4: \"10.9.0.1/16\" is not a prefix; expected: as in \"10.9.0.0/16\", with no bit set beyond its length\n"},
	{TUNNEL("sources = [ \"fd09::1/64\" ];"),
	 "f:4: \"fd09::1/64\" is not a prefix; expected: as in \"10.9.0.0/16\", with no bit set beyond its length\n"},
	{TUNNEL("sources = [ \"10.9.0.0/16\", \"10.8.0.0/16\" ];"),
	 "f:4: \"10.8.0.0/16\" is the second of its family; expected: one prefix for IPv4 and one for IPv6\n"},
	{GOOD_NODES GOOD_VRRP
	 "pools = ( { name = \"mx\"; port = 25; mode = \"tunnel\"; tunnel = {\nmtu = 1279; };\n"
	 "backends = ( { name = \"b\"; address = \"2001:db8::1\"; } ); } );\n" GOOD_SERVICES,
	 "f:4: \"mtu\" is 1279, and backend \"b\" is reached over IPv6; expected: 1280 to 9000\n"},
	{POOL("proxy = \"v2\";\n"),
	 "f:4: pool \"mx\": \"proxy\" is not for mode dsr; expected: mode = \"fullnat\"\n"},
	{POOL("mode = \"fullnat\"; proxy = \"v1\";\n"),
	 "f:4: proxy \"v1\" is not known; did you mean \"v2\"?\n"},
	{POOL("mode = \"nat\"; nat_sources = [ \"192.0.2.10\" ];\n"),
	 "f:4: pool \"mx\": \"nat_sources\" is not for mode nat; expected: mode = \"fullnat\"\n"},
	{FULLNAT("nat_sources = [ \"192.0.2.10/24\" ];"),
	 "f:4: \"nat_sources\" has \"192.0.2.10/24\"; an IPv4 or IPv6 address is expected\n"},
	{FULLNAT("nat_sources = [ \"192.0.2.10\",\n\"192.0.2.10\" ];"),
	 "f:5: address 192.0.2.10 is there twice; once is expected\n"},
	{FULLNAT("nat_sources = [ \"fd00::1\" ];"),
	 "f:4: nat source fd00::1 and backend \"b\" are of different families; expected: addresses of the backends' family\n"},
	{FULLNAT("nat_sources = [ \"192.0.2.21\" ];"),
	 "f:4: nat source 192.0.2.21 is backend \"b\"; expected: an address that is brought to the nodes\n"},
	{FULLNAT("nat_sources = [ \"10.0.0.1\", \"10.0.0.2\", \"10.0.0.3\", \"10.0.0.4\", \"10.0.0.5\", "
		 "\"10.0.0.6\", \"10.0.0.7\", \"10.0.0.8\", \"10.0.0.9\" ];"),
	 "f:4: \"nat_sources\" is not as it should be; expected: up to 8, as in [ \"192.0.2.10\" ]\n"},
	{POOL("mode = \"tunnel\"; syn_cookies = \"always\";\n"),
	 "f:4: pool \"mx\": \"syn_cookies\" is not for mode tunnel; expected: mode = \"nat\" or \"fullnat\"\n"},
	{POOL("mode = \"nat\"; syn_cookies = \"always\";\nsyn_rate = 5;\n"),
	 "f:5: pool \"mx\": \"syn_rate\" is not used; expected: syn_cookies = \"auto\"\n"},
	{POOL("source_prefix = 24;\n"),
	 "f:4: pool \"mx\": \"source_prefix\" is not used; expected: persistence = \"source\"\n"},
	{POOL("persistence = \"source\"; source_prefix = 33;\n"),
	 "f:4: \"source_prefix\" is 33, out of range; expected: 1 to 32\n"},
	{POOL("persistence = \"cookie\";\nsource_prefix6 = 56;\n"),
	 "f:4: persistence \"cookie\" is not known; expected: \"none\", \"source\"\n"},
	{POOL("below_min = \"all\";\n"),
	 "f:4: pool \"mx\": \"below_min\" is not used; expected: min_backends = 1 or more\n"},
	{POOL("min_backends = 2;\n"),
	 "f:4: \"min_backends\" is 2, of 1 that are no backups; expected: not more\n"},
	{POOL("max_connections = -1;\n"),
	 "f:4: \"max_connections\" is -1, out of range; expected: 0 to 67108864\n"},
	{POOL("slow_start = 60;\n"),
	 "f:4: \"slow_start\" is an integer; a duration is expected, a string with a unit: \"500ms\", \"2s\", \"5m\", \"1h\"\n"},
	{POOL("feedback = \"yes\";\n"),
	 "f:4: \"feedback\" is a string; true or false is expected\n"},
	{POOL("on_down = \"rst\";\n"),
	 "f:4: on_down \"rst\" is not known; did you mean \"reset\"?\n"},
	{POOL("panic_threshold = 101;\n"),
	 "f:4: \"panic_threshold\" is 101, out of range; expected: 0 to 100\n"},
	{POOL("no_backend = \"refuse\";\n"),
	 "f:4: no_backend \"refuse\" is not known; expected: \"drop\", \"reject\"\n"},
	{POOL("backup_pool = \"others\";\n"),
	 "f:4: pool \"others\" is not there; expected: the name of one of \"pools\"\n"},
	{POOL("backup_pool = \"mx\";\n"),
	 "f:4: pool \"mx\" is its own backup; expected: another pool's name\n"},
	{TWO_POOLS("backup_pool = \"spar\";", "port = 25;"),
	 "f:4: pool \"spar\" is not there; did you mean \"spare\"?\n"},
	{TWO_POOLS("backup_pool = \"spare\";", "backup_pool = \"mx\"; port = 25;"),
	 "f:4: pool \"mx\": its backup \"spare\" has a \"backup_pool\", too; expected: a pool without one\n"
	 "f:6: pool \"spare\": its backup \"mx\" has a \"backup_pool\", too; expected: a pool without one\n"},
	{TWO_POOLS("backup_pool = \"spare\";", "mode = \"tunnel\"; port = 25;"),
	 "f:4: pool \"mx\" has mode dsr and its backup \"spare\" mode tunnel; expected: the same\n"},
	{TWO_POOLS("backup_pool = \"spare\";", "port = 26;"),
	 "f:6: pool \"spare\": no service of it has port 26, and mode dsr does not translate ports; expected: the services' port, or a port in the probe\n"},
	{BACKENDS("{ name = \"a\"; address = \"192.0.2.21\"; backup = true; }\n"),
	 "f:3: pool \"mx\" has only backups; expected: a backend without backup = true\n"},
	{BACKENDS("{ name = \"a\"; address = \"192.0.2.21\"; max_connections = 1.5; }\n"),
	 "f:4: \"max_connections\" is a number with a fraction; an integer is expected, 0 to 67108864\n"},
	{"no_service = \"refuse\";\n" GOOD_NODES,
	 "f:1: no_service \"refuse\" is not known; expected: \"pass\", \"reject\", \"drop\"\n"},
	{GOOD_NODES "nat_ports = [ 1024, 2048 ];\n",
	 "f:2: \"nat_ports\" is not a group; expected: { first = 1024; last = 32767; }\n"},
	{GOOD_NODES "nat_ports = { last = 40000; };\n",
	 "f:2: \"nat_ports\" reaches to 40000: from 32768 on are the node's own connections, such as probes; expected: last = 32767 at most\n"},
	{GOOD_NODES "nat_ports = { first = 30000; last = 31022; };\n",
	 "f:2: \"nat_ports\" has 1023 for each of 1 nodes; expected: 1024 at least\n"},
	{GOOD_NODES "nat_ports = { first = 30000; last = 20000; };\n",
	 "f:2: \"nat_ports\" has 0 for each of 1 nodes; expected: 1024 at least\n"},
	{GOOD_NODES GOOD_VRRP
	 "pools = ( { name = \"mx\"; port = 25; mode = \"fullnat\"; backends = (\n"
	 "{ name = \"a\"; address = \"2001:db8::1\"; } ); } );\n" GOOD_SERVICES,
	 "f:5: service \"s\": vip and backend \"a\" are of different families, which mode fullnat cannot serve; expected: a pool for each family\n"},
	{GOOD_NODES GOOD_VRRP
	 "pools = ( { name = \"mx\"; port = 25; mode = \"fullnat\"; proxy = \"v2\";\n"
	 "backends = ( { name = \"a\"; address = \"192.0.2.21\"; } ); } );\n"
	 "services = ( { name = \"s\"; vip = \"192.0.2.10\"; protocol = \"udp\"; port = 25; pool = \"mx\"; } );\n",
	 "f:5: service \"s\": pool \"mx\" has proxy \"v2\", which is for tcp; expected: a pool without it\n"},
	{GOOD_NODES GOOD_VRRP
	 "pools = ( { name = \"mx\"; port = 26; mode = \"tunnel\";\n"
	 "backends = ( { name = \"a\"; address = \"192.0.2.21\"; } ); } );\n" GOOD_SERVICES,
	 "f:3: pool \"mx\": no service of it has port 26, and mode tunnel does not translate ports; expected: the services' port, or a port in the probe\n"},
};

static void test_each_setting_that_its_pool_has_no_use_for_is_told(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_mistakes(rows[i].text, rows[i].error);
}

static void test_pool_without_options_is_dsr_and_has_none(void **state)
{
	struct config *c = config_good_load(GOOD_NODES GOOD_VRRP GOOD_POOLS GOOD_SERVICES, "lb1");
	const struct config_pool *p = config_pool(c, 0);

	(void)state;
	assert_int_equal(c->no_service, NO_SERVICE_PASS);
	assert_true(c->nat_port_first == 1024 && c->nat_port_last == 32767);
	assert_int_equal(p->mode, MODE_DSR);
	assert_true(!p->proxy_v2 && p->n_nat_sources == 0 && p->syn_rate == 10000);
	assert_int_equal(p->syn_cookies, SYN_COOKIES_NEVER);
	assert_true(p->persist_bits4 == 0 && p->persist_bits6 == 0);
	assert_true(p->min_backends == 0 && p->below_min == BELOW_MIN_BACKUP);
	assert_true(p->slow_start_ms == 0 && !p->feedback && p->on_down == ON_DOWN_RESET);
	assert_true(p->panic_percent == 0 && p->backup_pool == -1);
	assert_int_equal(p->no_backend, NO_BACKEND_DROP);
	assert_true(!config_backend(c, 0)->backup && config_backend(c, 0)->max_connections == 0);
	config_free(c);
}

static void test_tunnel_has_its_settings_and_serves_the_other_family(void **state)
{
	static const char text[] = GOOD_NODES GOOD_VRRP
		"pools = ( { name = \"mx\"; port = 25; mode = \"tunnel\"; syn_cookies = \"never\"; proxy = \"none\";\n"
		" tunnel = { type = \"gue\"; port = 5555; mtu = 1280; clamp_mss = true;\n"
		"  sources = [ \"fd09::/64\", \"10.9.0.0/16\" ]; };\n"
		" backends = ( { name = \"b\"; address = \"2001:db8::21\"; }, { name = \"c\"; address = \"192.0.2.22\"; } ); },\n"
		" { name = \"spare\"; mode = \"tunnel\"; probe = \"none\"; port = 26;\n"
		"  backends = ( { name = \"z\"; address = \"192.0.2.9\"; } ); } );\n" GOOD_SERVICES;
	struct config *c = config_good_load(text, "lb1");
	const struct config_tunnel *t = &config_pool(c, 0)->tunnel;
	char buf[INET6_ADDRSTRLEN];

	(void)state;
	assert_int_equal(config_pool(c, 0)->mode, MODE_TUNNEL);
	assert_true(t->type == TUNNEL_GUE && t->port == 5555 && t->mtu == 1280 && t->clamp_mss);
	assert_string_equal(addr_format(&t->sources[0].addr, buf), "10.9.0.0");
	assert_string_equal(addr_format(&t->sources[1].addr, buf), "fd09::");
	assert_true(t->sources[0].prefix_len == 16 && t->sources[1].prefix_len == 64);
	t = &config_pool(c, 1)->tunnel;
	assert_true(t->type == TUNNEL_IPIP && t->port == 6080 && t->mtu == 1500 && !t->clamp_mss);
	assert_true(t->sources[0].prefix_len == 0 && t->sources[1].prefix_len == 0);
	config_free(c);
}

static void test_nat_and_fullnat_translate_ports_and_have_their_settings(void **state)
{
	static const char text[] =
		"no_service = \"reject\";\n" GOOD_NODES GOOD_VRRP
		"pools = ( { name = \"mx\"; port = 2525; mode = \"fullnat\"; proxy = \"v2\"; syn_cookies = \"auto\"; syn_rate = 7;\n"
		" nat_sources = ( \"192.0.2.10\", \"192.0.2.11\" );\n"
		" backends = ( { name = \"b\"; address = \"192.0.2.21\"; }, { name = \"c\"; address = \"192.0.2.21\"; port = 2526; } ); },\n"
		" { name = \"in\"; mode = \"nat\"; syn_cookies = \"always\"; probe = { type = \"tcp\"; port = 26; };\n"
		"  backends = ( { name = \"z\"; address = \"192.0.2.9\"; } ); } );\n"
		"services = ( { name = \"s\"; vip = \"192.0.2.10\"; ports = [ 25, 26 ]; pool = \"mx\"; },\n"
		" { name = \"t\"; vip = \"192.0.2.10\"; ports = [ 143 ]; pool = \"in\"; } );\n";
	struct config *c = config_good_load(text, "lb1");
	const struct config_pool *p = config_pool(c, 0);
	char buf[INET6_ADDRSTRLEN];

	(void)state;
	assert_int_equal(c->no_service, NO_SERVICE_REJECT);
	assert_true(p->mode == MODE_FULLNAT && p->proxy_v2 && p->syn_rate == 7);
	assert_int_equal(p->syn_cookies, SYN_COOKIES_AUTO);
	assert_int_equal(p->n_nat_sources, 2);
	assert_string_equal(addr_format(&p->nat_sources[1], buf), "192.0.2.11");
	assert_int_equal(config_backend(c, 1)->port, 2526);
	p = config_pool(c, 1);
	assert_true(p->mode == MODE_NAT && p->syn_cookies == SYN_COOKIES_ALWAYS);
	assert_int_equal(config_backend(c, 2)->port, 0);
	config_free(c);
}

static void test_balancing_options_are_read(void **state)
{
	static const char text[] = GOOD_NODES GOOD_VRRP
		"pools = ( { name = \"mx\"; port = 25; persistence = \"source\"; source_prefix = 24;\n"
		" min_backends = 1; below_min = \"reject\"; max_connections = \"2K\"; slow_start = \"90s\"; feedback = true; on_down = \"keep\";\n"
		" backends = ( { name = \"b\"; address = \"192.0.2.21\"; },\n"
		"  { name = \"c\"; address = \"192.0.2.22\"; backup = true; max_connections = 0; } ); } );\n" GOOD_SERVICES;
	struct config *c = config_good_load(text, "lb1");
	const struct config_pool *p = config_pool(c, 0);

	(void)state;
	assert_true(p->persist_bits4 == 24 && p->persist_bits6 == 64);
	assert_true(p->min_backends == 1 && p->below_min == BELOW_MIN_REJECT);
	assert_true(p->slow_start_ms == 90000 && p->feedback && p->on_down == ON_DOWN_KEEP);
	assert_true(!config_backend(c, 0)->backup && config_backend(c, 1)->backup);
	assert_int_equal(config_backend(c, 0)->max_connections, 2048);
	assert_int_equal(config_backend(c, 1)->max_connections, 0);
	config_free(c);
}

static void test_pool_names_the_one_that_serves_instead(void **state)
{
	struct config *c = config_good_load(
		TWO_POOLS("panic_threshold = 40; no_backend = \"reject\"; backup_pool = \"spare\";",
			  "port = 25;"),
		"lb1");
	const struct config_pool *p = config_pool(c, 0);

	(void)state;
	assert_true(p->panic_percent == 40 && p->no_backend == NO_BACKEND_REJECT);
	assert_int_equal(p->backup_pool, 1);
	assert_int_equal(config_pool(c, 1)->backup_pool, -1);
	config_free(c);
}

static void test_nodes_share_the_ports_of_fullnat_and_never_collide(void **state)
{
	static const char text[] =
		"nat_ports = { first = 2000; last = 8001; };\n"
		"nodes = ( { name = \"lb1\"; interfaces = [ \"e\" ]; }, { name = \"lb2\"; interfaces = [ \"e\" ]; },\n"
		" { name = \"lb3\"; interfaces = [ \"e\" ]; } );\n";
	static const uint16_t first[] = {2000, 4000, 6000};

	(void)state;
	for (int i = 0; i < 3; i++) {
		const char node[] = {'l', 'b', (char)('1' + i), '\0'};
		struct config *c = config_good_load(text, node);

		assert_int_equal(c->nat_port_first, first[i]);
		assert_int_equal(c->nat_port_last, first[i] + 1999);
		config_free(c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_setting_that_its_pool_has_no_use_for_is_told),
		cmocka_unit_test(test_pool_without_options_is_dsr_and_has_none),
		cmocka_unit_test(test_tunnel_has_its_settings_and_serves_the_other_family),
		cmocka_unit_test(test_nat_and_fullnat_translate_ports_and_have_their_settings),
		cmocka_unit_test(test_balancing_options_are_read),
		cmocka_unit_test(test_pool_names_the_one_that_serves_instead),
		cmocka_unit_test(test_nodes_share_the_ports_of_fullnat_and_never_collide),
	};

	return cmocka_run_group_tests(tests, config_folder_make, config_folder_remove);
}
