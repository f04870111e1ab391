/* SPDX-License-Identifier: BSD-2-Clause */
/* test_partner_node.c: nodes that read the same file say the same of it, and of another file
 * another thing (lb/partner_node.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lb/partner_kinds.h"

static const char text[] =
	"nodes = ( { name = \"lb1\"; interfaces = [ \"eth0\" ]; },"
	" { name = \"lb2\"; interfaces = [ \"eth1\" ]; } );\n"
	"vrrp = ( { name = \"a\"; vrid = 51; interface = \"eth0\"; priorities = { lb1 = 200; lb2 = 100; };"
	" addresses = [ \"192.0.2.10/24\", \"192.0.2.11/29\" ]; },"
	" { name = \"b\"; vrid = 51; priorities = { lb1 = 120; lb2 = 150; };"
	" addresses = [ \"fe80::51/64\", \"2001:db8::10/64\" ]; },"
	" { name = \"u\"; vrid = 53; unicast = { lb1 = \"192.0.2.2\"; lb2 = \"192.0.2.3\"; };"
	" priorities = { lb1 = 200; lb2 = 100; }; addresses = [ \"192.0.2.12/24\" ]; } );\n"
	"track = ( { name = \"uplink\"; type = \"route\"; route = \"10.99.0.0/16\"; weight = 50; },"
	" { name = \"check\"; type = \"script\"; command = [ \"/bin/true\" ]; weight = 50; } );\n"
	"sync = { links = ( { interface = \"eth0\";"
	" addresses = { lb1 = \"192.0.2.2\"; lb2 = \"192.0.2.3\"; }; } ); };\n"
	"pools = ( { name = \"mx\"; port = 25; mode = \"tunnel\"; probe = \"tcp\";"
	" tunnel = { type = \"gue\"; sources = [ \"10.9.0.0/16\" ]; };"
	" backends = ( { name = \"mx1\"; address = \"192.0.2.21\"; weight = %d; } ); } );\n"
	"services = ( { name = \"smtp\"; vip = \"192.0.2.10\"; port = 25; pool = \"mx\"; } );\n";

/* What the process did before it read its file is on the stack and the heap. */
static __attribute__((noinline)) void dirty(uint8_t with)
{
	volatile uint8_t stack[65536];
	void *heap[16];

	for (size_t i = 0; i < sizeof(stack); i++)
		stack[i] = (uint8_t)(with + i % 3);
	for (size_t i = 0; i < 16; i++) {
		heap[i] = malloc(512 << i % 8);
		assert_non_null(heap[i]);
		memset(heap[i], with, 512 << i % 8);
	}
	for (size_t i = 0; i < 16; i++)
		free(heap[i]);
}

static uint64_t print_of(const char *node, int weight, uint8_t with)
{
	static const struct probe_schema tcp = {.name = "tcp"};
	static const struct probe_schema *const schemas[] = {&tcp, NULL};
	static const uint8_t secret[32] = {1};
	char path[] = "/tmp/sluice-print.XXXXXX";
	struct config *config;
	int fd = mkstemp(path);
	uint64_t print;

	assert_true(fd >= 0);
	assert_true(dprintf(fd, text, weight) > 0);
	close(fd);
	dirty(with);
	assert_int_equal(config_load(path, node, schemas, stderr, &config), 0);
	unlink(path);
	print = partner_config_print(config, secret);
	config_free(config);
	return print;
}

static void test_nodes_with_one_file_say_the_same(void **state)
{
	uint64_t first = print_of("lb1", 100, 0);

	(void)state;
	assert_true(first != 0);
	for (uint8_t with = 1; with < 200; with += 37) {
		assert_true(print_of("lb1", 100, with) == first);
		assert_true(print_of("lb2", 100, with) == first);
	}
}

static void test_another_file_is_another(void **state)
{
	(void)state;
	assert_true(print_of("lb1", 100, 0) != print_of("lb2", 50, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nodes_with_one_file_say_the_same),
		cmocka_unit_test(test_another_file_is_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
