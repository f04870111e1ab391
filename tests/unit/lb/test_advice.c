/* SPDX-License-Identifier: BSD-2-Clause */
/* test_advice.c: what the operator is told about an interface's frames, on veths of a namespace. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lb/advice.h"

enum { SKIP = 77 };

static void shell(const char *command)
{
	if (system(command) != 0)
		fail_msg("%s", command);
}

static void test_native_without_merging_needs_no_advice(void **state)
{
	char text[ADVICE_TEXT];

	(void)state;
	advice_give("a0", ATTACH_NATIVE, text);
	assert_string_equal(text, "");
	advice_give("a0", ATTACH_NONE, text);
	assert_string_equal(text, "");
}

static void test_more_neighbours_than_the_kernel_keeps_are_told(void **state)
{
	char text[ADVICE_TEXT];

	(void)state;
	advice_neighbours(false, (struct neighbour_room){.wanted = 500}, 512, text);
	assert_string_equal(text, "");
	advice_neighbours(false, (struct neighbour_room){.wanted = 10000}, UINT32_MAX, text);
	assert_string_equal(text, "");
	advice_neighbours(false, (struct neighbour_room){.wanted = 10000}, 512, text);
	assert_string_equal(
		text,
		"10000 neighbours of IPv4, more than the kernel keeps; cure: sysctl net.ipv4.neigh.default.gc_thresh{1=32768,2=65536,3=131072}");
	advice_neighbours(true, (struct neighbour_room){.wanted = 3, .refused = true}, UINT32_MAX,
			  text);
	assert_non_null(strstr(text, "net.ipv6.neigh.default.gc_thresh{1=1024,2=2048,3=4096}"));
}

static void test_generic_behind_gro_is_told_to_turn_it_off(void **state)
{
	char text[ADVICE_TEXT];

	(void)state;
	shell("ethtool -K a0 gro on");
	advice_give("a0", ATTACH_GENERIC, text);
	assert_non_null(strstr(text, "ethtool -K a0 gro off"));
	shell("ethtool -K a0 gro off");
	advice_give("a0", ATTACH_GENERIC, text);
	assert_null(strstr(text, "gro off"));
	assert_non_null(strstr(text, "generic XDP is slower"));
}

static void test_generic_at_a_large_mtu_is_told_which_fits(void **state)
{
	char text[ADVICE_TEXT];

	(void)state;
	shell("ip link set a0 mtu 9000");
	assert_true(advice_long_frames("a0"));
	advice_give("a0", ATTACH_GENERIC, text);
	assert_non_null(strstr(text, "ip link set a0 mtu 3498, then sluice detach; sluice reload"));
	shell("ip link set a0 mtu 1500");
	assert_false(advice_long_frames("a0"));
}

static void test_interface_that_is_not_there_is_harmless(void **state)
{
	char text[ADVICE_TEXT];

	(void)state;
	assert_false(advice_long_frames("none9"));
	advice_give("none9", ATTACH_NATIVE, text);
	assert_string_equal(text, "");
}

static void test_forwarding_is_seen(void **state)
{
	(void)state;
	shell("sysctl -qw net.ipv4.conf.a0.forwarding=0 net.ipv6.conf.a0.forwarding=1");
	assert_false(advice_forwarding("a0", false));
	assert_true(advice_forwarding("a0", true));
	shell("sysctl -qw net.ipv4.conf.a0.forwarding=1");
	assert_true(advice_forwarding("a0", false));
	assert_true(advice_forwarding("none9", false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_more_neighbours_than_the_kernel_keeps_are_told),
		cmocka_unit_test(test_native_without_merging_needs_no_advice),
		cmocka_unit_test(test_generic_behind_gro_is_told_to_turn_it_off),
		cmocka_unit_test(test_generic_at_a_large_mtu_is_told_which_fits),
		cmocka_unit_test(test_interface_that_is_not_there_is_harmless),
		cmocka_unit_test(test_forwarding_is_seen),
	};

	if (unshare(CLONE_NEWNET) < 0) {
		puts("skipped: no network namespace can be made");
		return SKIP;
	}
	if (system("ip link add a0 type veth peer name a1 && ip link set a0 up") != 0)
		return EXIT_FAILURE;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
