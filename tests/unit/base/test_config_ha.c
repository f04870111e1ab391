/* SPDX-License-Identifier: BSD-2-Clause */
/* test_config_ha.c: what must hold of the settings that two nodes share: vrrp's beyond addresses
 * and priorities, track and sync.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/base/config_file.h"

#define TWO_NODES                                                                                  \
	"nodes = ( { name = \"lb1\"; interfaces = [ \"eth0\" ]; }, { name = \"lb2\"; interfaces = [ \"eth0\" ]; } );\n"
/* Line 2 on: what is inside of the instance. */
#define INSTANCE(inside)                                                                           \
	TWO_NODES "vrrp = ( { name = \"m\"; vrid = 1; priorities = { lb1 = 200; lb2 = 100; }; "    \
		  "addresses = [ \"192.0.2.10/24\" ];\n" inside " } );\n" GOOD_POOLS GOOD_SERVICES
#define TRACK(inside)                                                                              \
	GOOD_NODES GOOD_VRRP GOOD_POOLS GOOD_SERVICES "track = ( { name = \"t\";\n" inside " } );\n"
#define SYNC(inside)                                                                               \
	TWO_NODES "vrrp = ( { name = \"m\"; vrid = 1; priority = 100; "                            \
		  "addresses = [ \"192.0.2.10/24\" ]; } );\n" GOOD_POOLS GOOD_SERVICES             \
		  "sync = {\n" inside "\n};\n"
#define ANNOUNCE(inside)                                                                           \
	GOOD_NODES GOOD_POOLS GOOD_SERVICES "announce = { to = \"kernel\";\n" inside "\n};\n"
#define LINK                                                                                       \
	"links = ( { interface = \"eth1\"; addresses = { lb1 = \"10.0.0.1\"; lb2 = \"10.0.0.2\"; }; } );"

static const struct {
	const char *text, *error;
} rows[] = {
	{INSTANCE("version = 4;"), "f:3: \"version\" is 4, out of range; expected: 2 to 3\n"},
	{INSTANCE("version = 2; interval = \"1500ms\";"),
	 "f:3: \"interval\" is 1500ms; expected: whole seconds (version 2 counts these)\n"},
	{TWO_NODES
	 "vrrp = ( { name = \"m\"; vrid = 1; priority = 9; addresses = [ \"fe80::1/64\" ];\nversion = 2; } );\n",
	 "f:3: version 2 has no IPv6 (RFC 3768); expected: version = 3\n"},
	{TWO_NODES
	 "vrrp = ( { name = \"m\"; vrid = 1; priority = 9; addresses = [ \"fe80::1/64\",\n\"ff02::1/64\" ]; } );\n",
	 "f:3: address ff02::1/64 is a group's, or one that no node can have; a unicast address is expected\n"},
	{TWO_NODES
	 "vrrp = ( { name = \"m\"; vrid = 1; priority = 9; addresses = [ \"fe80::1/64\",\n\"::1\" ]; } );\n",
	 "f:3: address ::1 is a group's, or one that no node can have; a unicast address is expected\n"},
	{TWO_NODES
	 "vrrp = ( { name = \"m\"; vrid = 1; priority = 9; addresses = [ \"fe80::1/64\",\n\"::/64\" ]; } );\n",
	 "f:3: address ::/64 is a group's, or one that no node can have; a unicast address is expected\n"},
	{INSTANCE("authentication = \"password\"; password_file = \"/nonexistent\";"),
	 "f:3: version 3 has no passwords (RFC 9568 9); expected: authentication = \"sync\", or version = 2\n"},
	{INSTANCE("password_file = \"/etc/hostname\";"),
	 "f:3: \"password_file\" is not used; expected: authentication = \"password\"\n"},
	{INSTANCE("authentication = \"sync\";"),
	 "f:3: authentication \"sync\" needs the links of \"sync\", which is not given\n"},
	{INSTANCE("garp_count = 0;"),
	 "f:3: \"garp_count\" is 0, out of range; expected: 1 to 60\n"},
	{INSTANCE("unicast = { lb1 = \"192.0.2.2\"; };"),
	 "f:3: node \"lb2\" has no address here; each needs one\n"},
	{INSTANCE("unicast = { lb1 = \"192.0.2.2\"; lb3 = \"192.0.2.3\"; };"),
	 "f:3: node \"lb3\" is not in \"nodes\"; did you mean \"lb1\"?\n"},
	{INSTANCE("unicast = { lb1 = \"192.0.2.2\"; lb2 = \"192.0.2.2\"; };"),
	 "f:3: two nodes have the same address; each its own is expected\n"},
	{INSTANCE("unicast = { lb1 = \"fd00::2\"; lb2 = \"fd00::3\"; };"),
	 "f:3: \"unicast\" is of another family than \"addresses\"; one is expected\n"},
	{INSTANCE("unicast = { lb1 = \"192.0.2.2\"; lb2 = \"192.0.2.10\"; };"),
	 "f:3: the address of node \"lb2\" is a virtual one; one that stays with it is expected\n"},
	{INSTANCE("unicast = { lb1 = \"192.0.2.2\"; lb2 = \"mail\"; };"),
	 "f:3: \"mail\" is no address; IPv4 or IPv6 is expected\n"},
	{TRACK("weight = 10;"),
	 "f:5: \"type\" is not given; expected: interface, route, script, pool or plane\n"},
	{TRACK("type = \"pol\"; pool = \"mx\";"),
	 "f:6: type \"pol\" is not known; did you mean \"pool\"?\n"},
	{TRACK("type = \"pool\"; pool = \"my\";"),
	 "f:6: pool \"my\" is not there; did you mean \"mx\"?\n"},
	{TRACK("type = \"plane\"; pool = \"mx\";"),
	 "f:6: \"pool\" is not for a track of type \"plane\"\n"},
	{TRACK("type = \"pool\"; pool = \"mx\"; fewer = true;"),
	 "f:5: \"fewer\" needs a \"weight\": of two pools each node may see one better\n"},
	{TRACK("type = \"pool\"; pool = \"mx\"; fewer = true; weight = 9;"),
	 "f:5: \"fewer\" needs \"sync\": else no node says what it sees\n"},
	{TRACK("type = \"script\";"), "f:5: \"command\" is not given; type \"script\" needs it\n"},
	{TRACK("type = \"route\"; route = \"default\";"),
	 "f:6: \"default\" is no prefix; expected: as in \"0.0.0.0/0\"\n"},
	{TRACK("type = \"plane\"; instances = [ \"n\" ];"),
	 "f:6: vrrp instance \"n\" is not there; expected: the name of one of \"vrrp\"\n"},
	{TRACK("type = \"plane\"; weight = 254;"),
	 "f:6: \"weight\" is 254, out of range; expected: 0 to 253\n"},
	{SYNC("port = 9;"),
	 "f:5: \"links\" of \"sync\" is not given; expected: 1 to 4, as in ( { interface = \"eth1\"; addresses = { lb1 = \"10.0.0.1\"; lb2 = \"10.0.0.2\"; }; } )\n"},
	{SYNC(LINK "\nheartbeat = \"20ms\"; dead_after = \"60ms\";"),
	 "f:7: \"dead_after\" is 60ms, \"heartbeat\" 20ms; expected: 4 times as long at least\n"},
	{SYNC("links = ( { interface = \"eth0\"; addresses = { lb1 = \"192.0.2.10\"; lb2 = \"192.0.2.3\"; }; } );"),
	 "f:6: the address of node \"lb1\" is a virtual one; one that stays with it is expected\n"},
	{SYNC("links = ( { addresses = { lb1 = \"10.0.0.1\"; lb2 = \"10.0.0.2\"; }; } );"),
	 "f:6: \"interface\" is missing; see sluice.conf(5)\n"},
	{GOOD_NODES GOOD_POOLS GOOD_SERVICES "announce = {\ntable = 205; };\n",
	 "f:4: \"to\" is not given; expected: to = \"kernel\"\n"},
	{GOOD_NODES GOOD_POOLS GOOD_SERVICES "announce = \"bgp\";\n",
	 "f:4: announce \"bgp\" is not known; expected: \"kernel\"\n"},
	{GOOD_NODES GOOD_POOLS GOOD_SERVICES "announce = true;\n",
	 "f:4: \"announce\" is no group; expected: { to = \"kernel\"; }\n"},
	{ANNOUNCE("table = 255;"),
	 "f:5: \"table\" is 255, which is the kernel's own; expected: one of its own, as 205, or 254 (main)\n"},
	{ANNOUNCE("protocol = 2;"), "f:5: \"protocol\" is 2, out of range; expected: 5 to 255\n"},
	{ANNOUNCE("when = \"some\";"),
	 "f:5: when \"some\" is not known; expected: \"any\", \"all\"\n"},
	{ANNOUNCE("vip = \"192.0.2.10\";"), "f:5: \"vip\" is not known here; see sluice.conf(5)\n"},
	{GOOD_NODES
	 "pools = ( { name = \"mx\"; port = 25; feedback = true; backends = ( { name = \"b\"; address = \"192.0.2.21\"; } ); } );\n" GOOD_SERVICES
	 "announce = \"kernel\";\n",
	 "f:3: service \"s\": vip is announced by every node, and pool \"mx\" has \"feedback\", by which their tables would differ; expected: no feedback\n"},
	{GOOD_NODES
	 "pools = ( { name = \"mx\"; port = 25; max_connections = 9; backends = ( { name = \"b\"; address = \"192.0.2.21\"; } ); } );\n" GOOD_SERVICES
	 "announce = \"kernel\";\n",
	 "f:3: service \"s\": vip is announced by every node, and pool \"mx\" has \"max_connections\", by which their tables would differ; expected: no limit\n"},
	{GOOD_NODES GOOD_VRRP GOOD_POOLS GOOD_SERVICES
	 "sync = { links = ( { interface = \"eth1\"; addresses = { lb1 = \"10.0.0.1\"; }; } ); };\n",
	 "f:5: \"sync\" needs another node; \"nodes\" has 1\n"},
};

static void test_each_mistake_is_told_at_its_line(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_mistakes(rows[i].text, rows[i].error);
}

static void test_instance_without_options_is_as_the_rfc_has_it(void **state)
{
	struct config *c = config_good_load(GOOD_NODES GOOD_VRRP GOOD_POOLS GOOD_SERVICES, "lb1");
	const struct config_instance *i = config_instance(c, 0);

	(void)state;
	assert_true(i->version == 3 && i->accept && !i->virtual_mac && !i->unicast);
	assert_true(i->authentication == AUTHENTICATION_NONE && i->group[0] == '\0');
	assert_true(i->garp.count == 3 && i->garp.delay_ms == 1000 && i->garp.refresh_ms == 0);
	assert_true(c->sync.n_links == 0 && c->n_tracks == 0 && c->node_index == 0);
	config_free(c);
}

static void test_every_node_has_its_own_side_of_what_is_shared(void **state)
{
	static const char text[] = INSTANCE(
		"group = \"all\"; unicast = ( { node = \"lb1\"; address = \"192.0.2.2\"; }, { node = \"lb2\"; address = \"192.0.2.3\"; } );") "sync = { port = 7000; " LINK
																	      " };\n";
	struct config *c = config_good_load(text, "lb2");
	const struct config_instance *i = config_instance(c, 0);
	char buf[INET6_ADDRSTRLEN];

	(void)state;
	assert_int_equal(c->node_index, 1);
	assert_string_equal(c->nodes[0], "lb1");
	assert_string_equal(i->group, "all");
	assert_true(i->unicast && i->n_peers == 1);
	assert_string_equal(addr_format(&i->source, buf), "192.0.2.3");
	assert_string_equal(addr_format(&i->peers[0], buf), "192.0.2.2");
	assert_true(c->sync.n_links == 1 && c->sync.port == 7000);
	assert_true(c->sync.heartbeat_ms == 5 && c->sync.dead_after_ms == 40);
	assert_string_equal(addr_format(&c->sync.links[0].addresses[1], buf), "10.0.0.2");
	config_free(c);
}

static void test_announced_vips_need_no_vrrp(void **state)
{
	struct config *c = config_good_load(
		GOOD_NODES GOOD_POOLS GOOD_SERVICES "announce = \"kernel\";\n", "lb1");

	(void)state;
	assert_int_equal(c->n_instances, 0);
	assert_true(c->announce.on && c->announce.table == 205 && c->announce.protocol == 205);
	assert_true(c->announce.when == ANNOUNCE_ANY && c->announce.metric == 0);
	config_free(c);
	c = config_good_load(ANNOUNCE("table = 5405; protocol = 99; metric = 7; when = \"all\";"),
			     "lb1");
	assert_true(c->announce.table == 5405 && c->announce.protocol == 99);
	assert_true(c->announce.when == ANNOUNCE_ALL && c->announce.metric == 7);
	config_free(c);
}

static void test_tracks_name_what_they_watch_and_for_whom(void **state)
{
	static const char text[] = GOOD_NODES GOOD_VRRP GOOD_POOLS GOOD_SERVICES
		"track = ( { name = \"up\"; type = \"interface\"; interface = \"eth1\"; weight = 50; },\n"
		" { name = \"gw\"; type = \"route\"; route = \"0.0.0.0/0\"; },\n"
		" { name = \"ok\"; type = \"script\"; command = [ \"/bin/true\" ]; interval = \"1s\"; fall = 3; },\n"
		" { name = \"mx\"; type = \"pool\"; pool = \"mx\"; least = 50; instances = [ \"m\" ]; },\n"
		" { name = \"xdp\"; type = \"plane\"; } );\n";
	struct config *c = config_good_load(text, "lb1");

	(void)state;
	assert_int_equal(c->n_tracks, 5);
	assert_true(config_track(c, 0)->type == TRACK_INTERFACE &&
		    config_track(c, 0)->weight == 50);
	assert_string_equal(config_track(c, 0)->interface, "eth1");
	assert_true(config_track(c, 1)->type == TRACK_ROUTE && config_track(c, 1)->weight == 0);
	assert_int_equal(config_track(c, 1)->route.prefix_len, 0);
	assert_string_equal(config_track(c, 2)->command.words, "/bin/true");
	assert_true(config_track(c, 2)->interval_ms == 1000 && config_track(c, 2)->fall == 3);
	assert_int_equal(config_track(c, 3)->least_percent, 50);
	for (uint32_t i = 0; i < c->n_tracks; i++)
		assert_int_equal(config_track(c, i)->instances[0], 1);
	config_free(c);
}

/* From deeper on the stack: what is left on it from calls before, such as pointers, is other. */
static __attribute__((noinline)) struct config *loaded_at(const char *path, size_t depth)
{
	volatile char stack[depth];
	struct config *config = NULL;

	for (size_t i = 0; i < depth; i++)
		stack[i] = (char)(depth + i);
	assert_null(config_file_load(path, "lb1", &config));
	assert_int_equal(stack[0], (char)depth);
	return config;
}

/* Nodes tell each other a digest of it. */
static void test_same_file_has_the_same_bytes_whatever_was_in_memory(void **state)
{
	static const char text[] = TWO_NODES
		"vrrp = ( { name = \"m\"; vrid = 1; priorities = { lb1 = 200; lb2 = 100; };\n"
		"  unicast = { lb1 = \"10.0.0.1\"; lb2 = \"10.0.0.2\"; };\n"
		"  addresses = [ \"192.0.2.10/24\", \"192.0.2.11/24\" ]; } );\n"
		"pools = ( { name = \"mx\"; port = 25; probe = { type = \"smtp\"; }; mode = \"tunnel\";\n"
		"    tunnel = { type = \"gue\"; sources = [ \"10.9.0.0/16\" ]; };\n"
		"    backends = ( { name = \"b\"; address = \"192.0.2.21\"; } ); },\n"
		"  { name = \"in\"; port = 25; probe = \"none\"; mode = \"fullnat\"; nat_sources = [ \"192.0.2.11\" ];\n"
		"    backends = ( { name = \"c\"; address = \"192.0.2.22\"; weight = 3; } ); } );\n"
		"services = ( { name = \"s\"; vip = \"192.0.2.10\"; port = 25; pool = \"mx\"; },\n"
		"  { name = \"t\"; vip = \"192.0.2.11\"; port = 25; pool = \"in\"; } );\n"
		"track = ( { name = \"r\"; type = \"route\"; route = \"0.0.0.0/1\"; weight = 10; },\n"
		"  { name = \"i\"; type = \"interface\"; interface = \"eth0\"; } );\n"
		"sync = { " LINK " };\n";
	const char *path = config_file_write("f", text, strlen(text));
	struct config *a = loaded_at(path, 16), *b = loaded_at(path, 0x13570);

	(void)state;
	assert_int_equal(a->files_at, b->files_at);
	assert_memory_equal(a, b, a->files_at);
	config_free(a);
	config_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_mistake_is_told_at_its_line),
		cmocka_unit_test(test_instance_without_options_is_as_the_rfc_has_it),
		cmocka_unit_test(test_every_node_has_its_own_side_of_what_is_shared),
		cmocka_unit_test(test_announced_vips_need_no_vrrp),
		cmocka_unit_test(test_tracks_name_what_they_watch_and_for_whom),
		cmocka_unit_test(test_same_file_has_the_same_bytes_whatever_was_in_memory),
	};

	return cmocka_run_group_tests(tests, config_folder_make, config_folder_remove);
}
