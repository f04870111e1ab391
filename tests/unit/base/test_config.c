/* SPDX-License-Identifier: BSD-2-Clause */
/* test_config.c: what must hold of config_load(): a good file's values, and for each kind of
 * mistake the line that tells it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/base/config_file.h"

static const struct {
	const char *text, *error;
} rows[] = {
	{POOL("prob = \"smtp\";\n"), "f:4: \"prob\" is not known here; did you mean \"probe\"?\n"},
	{POOL("zzzzz = 1;\n"), "f:4: \"zzzzz\" is not known here; see sluice.conf(5)\n"},
	{POOL("probe = \"smpt\";\n"),
	 "f:4: pool \"mx\": probe type \"smpt\" is not known; did you mean \"smtp\"?\n"},
	{POOL("probe = { type = \"smtp\"; code = 4294967521; };\n"),
	 "f:4: 4294967521 is beyond 32 bits; expected: an integer up to 2147483647\n"},
	{POOL("probe = { type = \"smtp\"; code = 0xffffffffff; };\n"),
	 "f:4: 0xffffffffff is beyond 32 bits; expected: an integer up to 2147483647\n"},
	{POOL("probe = { type = \"smtp\"; code = 220.0; };\n"),
	 "f:4: \"code\" is a number with a fraction; an integer is expected, 200 to 299\n"},
	{POOL("probe = { type = \"smtp\"; code = 300; };\n"),
	 "f:4: \"code\" is 300, out of range; expected: 200 to 299\n"},
	{POOL("probe = { type = \"smtp\"; ehlo = \"a b\"; };\n"),
	 "f:4: \"ehlo\" has a space; none is expected\n"},
	{POOL("probe = { type = \"smtp\"; deep = 1; };\n"),
	 "f:4: \"deep\" is an integer; true or false is expected\n"},
	{POOL("probe = { type = \"smtp\"; elho = \"x\"; };\n"),
	 "f:4: \"elho\" is not known here; did you mean \"ehlo\"?\n"},
	{POOL("probe = { type = \"imap\"; tls = \"starttls\"; };\n"),
	 "f:4: a probe of type \"imap\" has no tls \"starttls\"; expected: \"none\", \"implicit\"\n"},
	{POOL("probe = { type = \"post\"; tls = \"implicit\"; };\n"),
	 "f:4: a probe of type \"post\" has no such TLS; expected: another\n"},
	{POOL("probe = { type = \"smtp\"; interval = 2; };\n"),
	 "f:4: \"interval\" is an integer; a duration is expected, a string with a unit: \"500ms\", \"2s\", \"5m\", \"1h\"\n"},
	{POOL("probe = { type = \"smtp\"; interval = \"2\"; };\n"),
	 "f:4: \"interval\" is \"2\", not a duration; expected: a number and a unit, as in \"500ms\", \"2s\", \"5m\", \"1h\"\n"},
	{POOL("probe = { type = \"smtp\"; interval = \"1ms\"; };\n"),
	 "f:4: \"interval\" is 1ms, out of range; expected: 100ms to 1h\n"},
	{POOL("mode = \"bridge\";\n"),
	 "f:4: mode \"bridge\" is not known; expected: \"dsr\", \"tunnel\", \"nat\", \"fullnat\"\n"},
	{POOL("mode = \"natt\";\ntunnel = { };\nsyn_cookies = \"auto\";\n"),
	 "f:4: mode \"natt\" is not known; did you mean \"nat\"?\n"},
	{POOL("weight = 1001;\n"), "f:4: \"weight\" is 1001, out of range; expected: 0 to 1000\n"},
	{BACKENDS(""),
	 "f:3: pool \"mx\" has no backends; expected: backends = ( { name = \"mx1\"; address = \"192.0.2.21\"; } )\n"},
	{BACKENDS(
		 "{ name = \"a\"; address = \"192.0.2.21\"; },\n{ name = \"a\"; address = \"192.0.2.22\"; }\n"),
	 "f:5: backend \"a\" is in pool \"mx\" twice, at line 4 too; another name is expected\n"},
	{BACKENDS(
		 "{ name = \"a\"; address = \"192.0.2.21\"; },\n{ name = \"b\"; address = \"192.0.2.21\"; }\n"),
	 "f:5: backend \"b\" has the address and port of \"a\"; a server is expected once in a pool\n"},
	{BACKENDS("{ name = \"a\"; address = \"mx1.example\"; }\n"),
	 "f:4: \"address\" is \"mx1.example\"; an IPv4 or IPv6 address is expected\n"},
	{BACKENDS("{ name = \"a\"; }\n"), "f:4: \"address\" is missing; see sluice.conf(5)\n"},
	{BACKENDS("{ name = \"a\"; address = \"192.0.2.21\"; port = 65536; }\n"),
	 "f:4: \"port\" is 65536, out of range; expected: 1 to 65535\n"},
	{BACKENDS("{ name = \"a\"; address = \"192.0.2.21\"; port = \"25\"; }\n"),
	 "f:4: \"port\" is a string; an integer is expected, 1 to 65535\n"},
	{BACKENDS("{ name = \"a/b\"; address = \"192.0.2.21\"; }\n"),
	 "f:4: \"a/b\" is not a name; expected: letters, digits, \".\", \"_\", \"-\", a letter or digit first, at most 63 bytes\n"},
	{BACKENDS("{ name = \"a\"; address = \"192.0.2.10\"; }\n"),
	 "f:4: backend \"a\" has the address of a vip; expected: the server's own address\n"},
	{BACKENDS("{ name = \"a\"; address = \"2001:db8::1\"; }\n"),
	 "f:6: service \"s\": vip and backend \"a\" are of different families, which mode dsr cannot serve; expected: a pool for each family\n"},
	{BACKENDS("5\n"),
	 "f:4: an element of \"backends\" is an integer; a group is expected: { ... }\n"},
	{VRRP("vrid = 0; addresses = [ \"192.0.2.10/24\" ];\n"),
	 "f:3: \"vrid\" is 0, out of range; expected: 1 to 255\n"},
	{VRRP("vrid = 1;\naddresses = [ \"192.0.2.10/33\" ];\n"),
	 "f:4: \"192.0.2.10/33\" is not an address; expected: address/prefix length, as in \"192.0.2.10/24\"\n"},
	{VRRP("vrid = 1; addresses = [\n\"192.0.2.10/24\",\n\"2001:db8::1/64\" ];\n"),
	 "f:5: address 2001:db8::1/64 is of another family than the instance's first; expected: an instance for each family\n"},
	{VRRP("vrid = 1; addresses = [\n\"192.0.2.10/24\",\n\"192.0.2.10/32\" ];\n"),
	 "f:5: address 192.0.2.10/32 is there twice; one instance owns it\n"},
	{VRRP("vrid = 1;\naddresses = [ \"192.0.2.10\", \"224.0.0.18/24\" ];\n"),
	 "f:4: address 224.0.0.18/24 is a group's, or one that no node can have; a unicast address is expected\n"},
	{VRRP("vrid = 1;\naddresses = [ \"192.0.2.10\", \"127.0.0.1/8\" ];\n"),
	 "f:4: address 127.0.0.1/8 is a group's, or one that no node can have; a unicast address is expected\n"},
	{VRRP("vrid = 1;\naddresses = [ \"192.0.2.10\", \"255.255.255.255\" ];\n"),
	 "f:4: address 255.255.255.255 is a group's, or one that no node can have; a unicast address is expected\n"},
	{VRRP("vrid = 1;\naddresses = [ \"192.0.2.10\", \"0.0.0.1/8\" ];\n"),
	 "f:4: address 0.0.0.1/8 is a group's, or one that no node can have; a unicast address is expected\n"},
	{VRRP("vrid = 1; interval = \"15ms\"; addresses = [ \"192.0.2.10\" ];\n"),
	 "f:3: \"interval\" is 15ms; expected: a multiple of 10ms (RFC 9568 counts centiseconds)\n"},
	{GOOD_NODES
	 "vrrp = ( { name = \"m\"; vrid = 1;\npriorities = { lb9 = 200; }; addresses = [ \"192.0.2.10\" ]; } );\n" GOOD_POOLS
		 GOOD_SERVICES,
	 "f:3: node \"lb9\" is not in \"nodes\"; did you mean \"lb1\"?\n"},
	{SERVICES("{ name = \"s\"; vip = \"192.0.2.10\"; port = 25; pool = \"mxx\"; }\n"),
	 "f:5: pool \"mxx\" is not there; did you mean \"mx\"?\n"},
	{SERVICES("{ name = \"s\"; vip = \"192.0.2.99\"; port = 25; pool = \"mx\"; }\n"),
	 "f:5: service \"s\": vip 192.0.2.99 is in no vrrp instance; expected: one of their addresses, or \"announce\"\n"},
	{SERVICES(
		 "{ name = \"s\"; vip = \"192.0.2.10\"; port = 25; pool = \"mx\"; },\n{ name = \"t\"; vip = \"192.0.2.10\"; ports = [ 25 ]; pool = \"mx\"; }\n"),
	 "f:6: service \"t\": 192.0.2.10 port 25 is served by \"s\" already (line 5); one service is expected\n"},
	{SERVICES("{ name = \"s\"; vip = \"192.0.2.10\"; port = 26; pool = \"mx\"; }\n"),
	 "f:3: pool \"mx\": no service of it has port 25, and mode dsr does not translate ports; expected: the services' port, or a port in the probe\n"},
	{SERVICES("{ name = \"s\"; vip = \"192.0.2.10\"; pool = \"mx\"; }\n"),
	 "f:5: service \"s\" has no port; expected: port = 25; or ports = [ 25, 587 ];\n"},
	{"slots = 65536;\n" GOOD_NODES,
	 "f:1: \"slots\" is 65536, not a prime; expected: a prime, as 65537 or 251\n"},
	{GOOD_NODES "pools = 5;\n",
	 "f:2: \"pools\" is an integer; a list is expected: ( { ... }, { ... } )\n"},
	{"nodes = ( { name = \"lb2\"; interfaces = [ \"eth0\" ]; } );\n",
	 "f:1: this node, \"lb1\", is not in \"nodes\"; expected: one of its names, or sluiced -n NAME\n"},
	{"",
	 "f:0: \"nodes\" has no node; expected: ( { name = \"lb1\"; interfaces = [ \"eth0\" ]; } )\n"},
	{GOOD_NODES "pools = (\n",
	 "f:3: syntax error; expected: libconfig's syntax, key = value;\n"},
};

static void test_each_mistake_is_told_with_its_line(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_mistakes(rows[i].text, rows[i].error);
}

static void test_ten_mistakes_are_ten_lines_in_order(void **state)
{
	static const char text[] =
		"on_stop = \"kep\";\n"
		"slots = 65536;\n"
		"flow_limit = 12;\n" GOOD_NODES
		"vrrp = ( { name = \"m\"; priorities = { lb1 = 200; };\n"
		"  vrid = 256; addresses = [ \"192.0.2.10/24\" ]; } );\n"
		"pools = ( { name = \"mx\"; port = 25; \n"
		"  probe = \"smpt\";\n"
		"  wieght = 5;\n"
		"  backends = ( { name = \"b\"; address = \"192.0.2.256\"; },\n"
		"    { name = \"c\"; address = \"192.0.2.22\"; weight = 1.5; } ); } );\n"
		"services = ( { name = \"s\"; vip = \"192.0.2.11\"; port = 25;\n"
		"  pool = \"mx\"; },\n"
		"  { name = \"t\"; vip = \"192.0.2.10\"; port = 70000; pool = \"mx\"; } );\n";
	char *errors = config_file_load(config_file_write("f", text, strlen(text)), "lb1", NULL);
	unsigned line = 0, n = 0;

	(void)state;
	assert_non_null(errors);
	for (char *save, *l = strtok_r(errors, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		unsigned at = 0;

		assert_int_equal(sscanf(l, "f:%u:", &at), 1);
		assert_true(at > line);
		line = at;
		n++;
	}
	assert_int_equal(n, 10);
	free(errors);
}

static void test_good_file_gives_its_values(void **state)
{
	static const char text[] =
		"on_stop = \"detach\"; slots = 251; flow_limit = \"64K\"; user = \"nobody\";\n"
		"secret_file = \"/x\";\n" GOOD_NODES
		"vrrp = ( { name = \"m\"; interface = \"eth1\"; vrid = 7; interval = \"100ms\"; preempt = false;\n"
		" preempt_delay = \"30s\"; checksum = \"rfc5798\"; priorities = ( { node = \"lb1\"; priority = 99; } );\n"
		" addresses = ( \"fe80::1/64\", \"2001:db8::10\" ); } );\n"
		"pools = ( { name = \"mx\"; port = 25; idle_timeout = \"30m\"; weight = 7;\n"
		" probe = { type = \"smtp\"; tls = \"starttls\"; port = 26; interval = \"500ms\"; timeout = \"1s\"; rise = 1; fall = 5; ehlo = \"me\"; };\n"
		" backends = ( { name = \"a\"; address = \"2001:db8::21\"; }, { name = \"b\"; address = \"2001:db8::22\"; weight = 0; } ); },\n"
		" { name = \"spare\"; probe = \"none\"; backends = ( { name = \"z\"; address = \"192.0.2.9\"; port = 1; } ); } );\n"
		"services = ( { name = \"s\"; vip = \"2001:db8::10\"; protocol = \"udp\"; ports = [ 25, 0x35 ]; pool = \"mx\"; } );\n";
	struct config *c = NULL;
	char *errors = config_file_load(config_file_write("f", text, strlen(text)), "lb1", &c);
	const struct config_instance *i;
	const struct config_pool *p;

	(void)state;
	if (errors)
		fail_msg("%s", errors);
	i = config_instance(c, 0);
	p = config_pool(c, 0);
	assert_string_equal(c->node.interfaces[0], "eth0");
	assert_string_equal(c->secret_file, "/x");
	assert_int_equal(c->on_stop, ON_STOP_DETACH);
	assert_int_equal(c->flow_limit, 65536);
	assert_true(i->ipv6 && !i->preempt && i->vrid == 7 && i->priority == 99);
	assert_true(i->advert_cs == 10 && i->preempt_delay_ms == 30000 && i->n_addresses == 2);
	assert_int_equal(i->addresses[1].prefix_len, 128);
	assert_int_equal(i->checksum, CHECKSUM_RFC5798);
	assert_string_equal(i->interface, "eth1");
	assert_true(p->n_backends == 2 && p->idle_timeout_s == 1800);
	assert_true(p->probe.interval_ms == 500 && p->probe.rise == 1 && p->probe.fall == 5);
	assert_int_equal(p->probe.tls, TLS_STARTTLS);
	assert_string_equal(((const struct smtp_conf *)p->probe.conf)->ehlo, "me");
	assert_int_equal(((const struct smtp_conf *)p->probe.conf)->code, 220);
	assert_int_equal(config_backend(c, 0)->weight, 7);
	assert_int_equal(config_backend(c, 1)->weight, 0);
	assert_int_equal(config_find_backend(c, 1, "z"), 2);
	assert_int_equal(config_find_pool(c, "nope"), -ENOENT);
	assert_int_equal(c->n_services, 2);
	assert_int_equal(config_service(c, 1)->port, 53);
	assert_int_equal(config_service(c, 1)->protocol, IPPROTO_UDP);
	config_free(c);
}

static void test_backends_are_found_by_name_in_their_pool(void **state)
{
	enum { MANY = 300 };
	char *text = NULL, name[NAME_SIZE];
	size_t size;
	FILE *f = open_memstream(&text, &size);
	struct config *c;

	(void)state;
	assert_non_null(f);
	fputs(GOOD_NODES GOOD_VRRP "pools = ( ", f);
	for (int pool = 0; pool < 2; pool++) {
		fprintf(f, "%s{ name = \"p%d\"; port = %d; backends = ( ", pool ? ", " : "", pool,
			25 + pool);
		for (int i = MANY; i-- > 0;) /* in no order of names */
			fprintf(f, "{ name = \"mx%d\"; address = \"10.0.%d.%d\"; }%s", 2 * i + pool,
				i / 200, 1 + i % 200, i ? ", " : "");
		fputs("); }", f);
	}
	fputs(" );\nservices = ( ", f);
	for (int pool = 0; pool < 2; pool++)
		fprintf(f, "%s{ name = \"s%d\"; vip = \"192.0.2.10\"; port = %d; pool = \"p%d\"; }",
			pool ? ", " : "", pool, 25 + pool, pool);
	fputs(" );\n", f);
	fclose(f);
	assert_null(config_file_load(config_file_write("f", text, size), "lb1", &c));
	for (uint32_t i = 0; i < 2 * MANY; i++) {
		int found;

		snprintf(name, sizeof(name), "mx%u", i);
		found = config_find_backend(c, i % 2, name);
		assert_int_equal(found, i % 2 * MANY + (MANY - 1) - i / 2);
		assert_string_equal(config_backend(c, (uint32_t)found)->name, name);
		assert_int_equal(config_find_backend(c, 1 - i % 2, name), -ENOENT);
	}
	config_free(c);
	free(text);
}

static void test_hooks_and_heal_have_their_commands(void **state)
{
	static const char text[] = POOL(
		"heal = { command = [ \"/bin/heal\", \"-x\" ]; after = \"2s\"; };") "programs_user = \"mailops\";\n"
										    "on_change = ( { command = [ \"/bin/tell\" ]; timeout = \"3s\"; },\n"
										    "  { url = \"https://a.example/x?y\"; } );\n";
	struct config *config;
	char *mistakes =
		config_file_load(config_file_write("f", text, strlen(text)), "lb1", &config);

	(void)state;
	assert_null(mistakes);
	assert_string_equal(config->programs_user, "mailops");
	assert_int_equal(config->n_hooks, 2);
	assert_string_equal(config->hooks[0].command.words, "/bin/tell");
	assert_int_equal(config->hooks[0].command.timeout_ms, 3000);
	assert_string_equal(config->hooks[1].url, "https://a.example/x?y");
	assert_int_equal(config->hooks[1].command.timeout_ms, 10000);
	assert_memory_equal(config_pool(config, 0)->heal.command.words, "/bin/heal\0-x\0", 14);
	assert_int_equal(config_pool(config, 0)->heal.after_ms, 2000);
	assert_int_equal(config_pool(config, 0)->heal.again_ms, 600000);
	assert_null(config_probe_command(&config_pool(config, 0)->probe));
	config_free(config);
	assert_mistakes(
		POOL("heal = { command = [ \"heal\" ]; };") "on_change = ( { url = \"ftp://a\"; },\n"
							    "  { timeout = \"3s\"; } );\n",
		"f:4: \"command\" begins with \"heal\"; expected: the path of a program, with /\n"
		"f:6: \"url\" is \"ftp://a\"; expected: http:// or https://, a host, no user and no blanks\n"
		"f:7: an element of \"on_change\" has either \"command\" or \"url\"\n");
}

static void test_include_is_read_and_its_mistakes_have_its_name(void **state)
{
	static const char text[] = GOOD_NODES GOOD_VRRP "@include \"pools.conf\"\n" GOOD_SERVICES;
	static const char bad[] =
		"\npools = ( { nane = \"mx\"; name = \"mx\"; port = 25;\n weight = 99999999999; backends = ( { name = \"b\"; address = \"192.0.2.21\"; } ); } );\n";
	char *errors;

	(void)state;
	config_file_write("pools.conf", GOOD_POOLS, strlen(GOOD_POOLS));
	assert_null(config_file_load(config_file_write("f", text, strlen(text)), "lb1", NULL));
	config_file_write("pools.conf", bad, strlen(bad));
	errors = config_file_load(config_file_write("f", text, strlen(text)), "lb1", NULL);
	assert_string_equal(
		errors,
		"pools.conf:2: \"nane\" is not known here; did you mean \"name\"?\n"
		"pools.conf:3: 99999999999 is beyond 32 bits; expected: an integer up to 2147483647\n");
	free(errors);
}

static void test_hostile_files_are_refused_in_words(void **state)
{
	static const struct {
		const char *text;
		size_t n;
	} hostile[] = {
		{"nodes = (\0);", 12},	  {"@include \"f\"\n", 13},
		{"@include \"/\"\n", 13}, {"@include \"missing\"\n", 19},
		{"\xff\xfe{{{{", 6},	  {"a = \"unterminated", 17},
		{"/* unterminated", 15},  {"((((((((((((((((((((((((((((((((", 32},
	};
	size_t n = 4 << 20;
	char *big = malloc(n), *errors;

	(void)state;
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		errors = config_file_load(config_file_write("f", hostile[i].text, hostile[i].n),
					  "lb1", NULL);
		assert_non_null(errors);
		free(errors);
	}
	memset(big, 'a', n);
	errors = config_file_load(config_file_write("f", big, n), "lb1", NULL);
	assert_non_null(errors);
	free(errors);
	free(big);
	errors = config_file_load(config_folder, "lb1", NULL);
	assert_non_null(strstr(errors, "cannot be read: Is a directory"));
	free(errors);
	errors = config_file_load("/nonexistent", "lb1", NULL);
	assert_non_null(strstr(errors, "cannot be read: No such file or directory"));
	free(errors);
}

static void test_example_is_good_for_both_nodes_within_40_lines(void **state)
{
	unsigned lines = 0;
	FILE *f = fopen(EXAMPLE, "r");
	int c;

	(void)state;
	assert_non_null(f);
	while ((c = fgetc(f)) != EOF)
		lines += c == '\n';
	fclose(f);
	assert_true(lines <= 40);
	for (int i = 1; i <= 2; i++) {
		const char *node = i == 1 ? "lb1" : "lb2";
		struct config *config = NULL;
		char *errors = config_file_load(EXAMPLE, node, &config);

		if (errors)
			fail_msg("%s", errors);
		assert_string_equal(config->node.name, node);
		assert_int_equal(config_instance(config, 0)->priority, i == 1 ? 200 : 100);
		config_free(config);
	}
}

static void test_sealed_value_is_the_same_and_cannot_be_changed(void **state)
{
	struct config *c = NULL;
	const struct config *mapped = NULL;
	int fd;

	(void)state;
	assert_null(config_file_load(EXAMPLE, "lb1", &c));
	fd = config_seal(c);
	assert_true(fd >= 0);
	assert_int_equal(config_map(fd, &mapped), 0);
	assert_memory_equal(mapped, c, c->size_bytes);
	assert_true(write(fd, "x", 1) < 0);
	assert_true(ftruncate(fd, 0) < 0);
	assert_ptr_equal(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	config_unmap(mapped);
	close(fd);
	fd = memfd_create("x", 0);
	assert_int_equal(config_map(fd, &mapped), -EPROTO);
	close(fd);
	config_free(c);
}

static void test_secret_that_others_may_read_is_refused(void **state)
{
	const char *path = config_file_write("secret", "0123456789abcdef0123", 20);
	uint8_t key[32] = {0}, other[32] = {0};

	(void)state;
	chmod(path, 0644);
	assert_int_equal(config_secret_load(path, key), -EPERM);
	chmod(path, 0600);
	assert_int_equal(config_secret_load(path, key), 0);
	assert_memory_not_equal(key, other, sizeof(key));
	path = config_file_write("secret", "short", 5);
	assert_int_equal(config_secret_load(path, key), -ERANGE);
	assert_int_equal(config_secret_load("/nonexistent", key), -ENOENT);
	assert_int_equal(config_secret_load("/tmp", key), -EINVAL);
}

static void test_probe_that_wants_starttls_has_it_unless_told_otherwise(void **state)
{
	static const struct {
		const char *text;
		enum config_tls tls;
	} probes[] = {
		{POOL("probe = \"post\";\n"), TLS_STARTTLS},
		{POOL("probe = { type = \"post\"; interval = \"1s\"; };\n"), TLS_STARTTLS},
		{POOL("probe = { type = \"post\"; tls = \"none\"; };\n"), TLS_NONE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++) {
		const char *text = probes[i].text;
		struct config *c;

		assert_null(
			config_file_load(config_file_write("f", text, strlen(text)), "lb1", &c));
		assert_int_equal(config_pool(c, 0)->probe.tls, probes[i].tls);
		config_free(c);
	}
}

static void test_backend_in_doubt_is_asked_sooner_unless_told_otherwise(void **state)
{
	static const struct {
		const char *text;
		uint32_t falling_ms;
	} probes[] = {
		{POOL("probe = \"smtp\";\n"), 500},
		{POOL("probe = { type = \"smtp\"; interval = \"10s\"; };\n"), 2500},
		{POOL("probe = { type = \"smtp\"; interval = \"600ms\"; };\n"), 250},
		{POOL("probe = { type = \"smtp\"; interval = \"200ms\"; };\n"), 200},
		{POOL("probe = { type = \"smtp\"; interval = \"10s\"; interval_rising = \"1s\"; };\n"),
		 1000},
		{POOL("probe = { type = \"smtp\"; interval_falling = \"3s\"; };\n"), 3000},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++) {
		const char *text = probes[i].text;
		struct config *c;

		assert_null(
			config_file_load(config_file_write("f", text, strlen(text)), "lb1", &c));
		assert_int_equal(config_pool(c, 0)->probe.interval_falling_ms,
				 probes[i].falling_ms);
		config_free(c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_probe_that_wants_starttls_has_it_unless_told_otherwise),
		cmocka_unit_test(test_backend_in_doubt_is_asked_sooner_unless_told_otherwise),
		cmocka_unit_test(test_each_mistake_is_told_with_its_line),
		cmocka_unit_test(test_ten_mistakes_are_ten_lines_in_order),
		cmocka_unit_test(test_good_file_gives_its_values),
		cmocka_unit_test(test_backends_are_found_by_name_in_their_pool),
		cmocka_unit_test(test_hooks_and_heal_have_their_commands),
		cmocka_unit_test(test_include_is_read_and_its_mistakes_have_its_name),
		cmocka_unit_test(test_hostile_files_are_refused_in_words),
		cmocka_unit_test(test_example_is_good_for_both_nodes_within_40_lines),
		cmocka_unit_test(test_sealed_value_is_the_same_and_cannot_be_changed),
		cmocka_unit_test(test_secret_that_others_may_read_is_refused),
	};

	return cmocka_run_group_tests(tests, config_folder_make, config_folder_remove);
}
