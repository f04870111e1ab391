/* SPDX-License-Identifier: BSD-2-Clause */
/* test_vmac.c: the macvlan of a virtual MAC, its addresses and its adverts, in a network namespace
 * of our own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netlink/netlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "vrrp/packet.h"
#include "vrrp/vmac.h"

static struct nl_sock *netlink;

static void sh(const char *command)
{
	if (system(command) != 0)
		fail_msg("%s", command);
}

static bool says(const char *command, const char *word)
{
	char text[4096];
	FILE *f = popen(command, "r");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	if (f)
		pclose(f);
	text[n] = 0;
	return strstr(text, word) != NULL;
}

static bool nobody_is_virtual(void *owner, const struct addr *addr)
{
	(void)owner;
	(void)addr;
	return false;
}

static struct config_instance config(bool ipv6, uint32_t n)
{
	struct config_instance c = {.name = "v",
				    .interface = "eth0",
				    .vrid = 51,
				    .version = 3,
				    .ipv6 = ipv6,
				    .virtual_mac = true,
				    .advert_cs = 100,
				    .n_addresses = n};

	for (uint32_t i = 0; i < n; i++) {
		char text[32];

		snprintf(text, sizeof(text), ipv6 ? "fe80::51:%x" : "192.0.2.%u", i + 10);
		addr_parse(text, &c.addresses[i].addr);
		c.addresses[i].prefix_len = ipv6 ? 64 : 24;
	}
	return c;
}

static struct link look(const struct config_instance *c)
{
	struct ifaddrs *all = link_snapshot(nobody_is_virtual, NULL);
	struct link link = {0};

	assert_non_null(all);
	link_read(all, c, &link);
	freeifaddrs(all);
	return link;
}

static int setup(void **state)
{
	(void)state;
	sh("ip link add eth0 type veth peer name peer && ip link set peer up && ip link set eth0 up && "
	   "ip addr add 192.0.2.2/24 dev eth0 && ip -6 addr add fe80::2/64 dev eth0 nodad");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sh("ip link del eth0");
	return 0;
}

static void test_macvlan_is_made_once_and_removed(void **state)
{
	struct config_instance c = config(false, 1);
	struct link link = look(&c), again;
	char name[IFNAMSIZ];

	(void)state;
	assert_int_equal(link.holder, 0);
	assert_int_equal(vmac_make(netlink, &c, &link), 0);
	vmac_name(&c, link.ifindex, name);
	assert_int_equal(if_nametoindex(name), link.holder);
	assert_true(says("ip -d link show type macvlan", "00:00:5e:00:01:33"));
	assert_true(says("bridge fdb show dev eth0", "00:00:5e:00:01:33"));
	again = look(&c);
	assert_int_equal(again.holder, link.holder);
	assert_int_equal(vmac_make(netlink, &c, &again), 0);
	assert_int_equal(again.holder, link.holder);
	vmac_remove(netlink, &c, &again);
	assert_int_equal(look(&c).holder, 0);
	assert_false(says("bridge fdb show dev eth0", "00:00:5e:00:01:33"));
}

static void test_name_fits_whatever_the_index(void **state)
{
	struct config_instance c = config(true, 1);
	char name[IFNAMSIZ];

	(void)state;
	c.vrid = 255;
	vmac_name(&c, 9999999, name);
	assert_string_equal(name, "sl6.255.9999999");
}

static void test_interface_with_its_name_is_left_alone(void **state)
{
	struct config_instance c = config(false, 1);
	struct link link = look(&c);
	char name[IFNAMSIZ], command[128];

	(void)state;
	vmac_name(&c, link.ifindex, name);
	snprintf(command, sizeof(command), "ip link add %s link eth0 type macvlan mode private",
		 name);
	sh(command);
	assert_int_equal(look(&c).holder, 0);
	assert_int_equal(vmac_make(netlink, &c, &link), -EEXIST);
	assert_int_equal(link.holder, 0);
	assert_true(says("ip -d link show type macvlan", "private"));
}

static void test_addresses_come_and_go_with_the_macvlan_up_and_down(void **state)
{
	(void)state;
	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		struct config_instance c = config(ipv6, CONFIG_ADDRESSES);
		struct link link = look(&c);
		assert_int_equal(vmac_make(netlink, &c, &link), 0);
		assert_int_equal(link_add_addresses(netlink, &link, &c), 0);
		assert_int_equal(link_add_addresses(netlink, &link, &c), 0);
		assert_true(says("ip -o addr show type macvlan | wc -l", "64\n"));
		assert_true(says("ip -o link show type macvlan", ",UP"));
		assert_false(says("ip route; ip -6 route", "sl"));
		assert_int_equal(link_remove_addresses(netlink, &link, &c), 0);
		assert_int_equal(link_remove_addresses(netlink, &link, &c), 0);
		assert_false(says("ip addr show type macvlan", "inet"));
		assert_false(says("ip -o link show type macvlan", ",UP"));
		vmac_remove(netlink, &c, &link);
	}
}

static void test_address_that_cannot_be_added_is_an_error_and_the_rest_is_there(void **state)
{
	struct config_instance c = config(false, 3);
	struct link link = look(&c);

	(void)state;
	c.virtual_mac = false;
	link.holder = link.ifindex;
	c.addresses[1].prefix_len = 99;
	assert_int_equal(link_add_addresses(netlink, &link, &c), -EINVAL);
	assert_true(says("ip addr show dev eth0", "192.0.2.10/24"));
	assert_true(says("ip addr show dev eth0", "192.0.2.12/24"));
}

/* A fresh packet, as whoever listens reads it. */
static void test_advert_is_a_frame_from_the_virtual_mac(void **state)
{
	static const uint8_t source[6] = {0, 0, 0x5e, 0, 1, 51}, group[6] = {1, 0, 0x5e, 0, 0, 18};
	static const uint8_t group6[6] = {0x33, 0x33, 0, 0, 0, 18};
	const uint8_t vrrp[12] = {0x31, 51};
	uint8_t frame[VMAC_FRAME_MOST];

	(void)state;
	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		struct config_instance c = config(ipv6, 1);
		struct link link = look(&c);
		size_t n = vmac_frame(&c, &link, vrrp, sizeof(vrrp), frame);
		uint32_t sum = 0;

		assert_int_equal(n, 14U + (ipv6 ? 40U : 20U) + sizeof(vrrp));
		assert_memory_equal(frame, ipv6 ? group6 : group, 6);
		assert_memory_equal(frame + 6, source, 4);
		assert_int_equal(frame[10], ipv6 ? 2 : 1);
		assert_int_equal(frame[11], 51);
		assert_memory_equal(frame + n - sizeof(vrrp), vrrp, sizeof(vrrp));
		assert_int_equal(frame[ipv6 ? 21 : 22], VRRP_TTL);
		assert_int_equal(frame[ipv6 ? 20 : 23], VRRP_PROTOCOL);
		if (ipv6) {
			assert_int_equal(frame[19], sizeof(vrrp));
			assert_memory_equal(frame + 22, link.primary.in6.s6_addr, 16);
			continue;
		}
		for (int i = 14; i < 34; i += 2)
			sum += (uint32_t)frame[i] << 8 | frame[i + 1];
		assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
		assert_int_equal(frame[17], 20 + sizeof(vrrp));
		assert_memory_equal(frame + 26, link.primary.in6.s6_addr + 12, 4);
	}
}

int main(void)
{
#define LINK_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_name_fits_whatever_the_index),
		LINK_TEST(test_macvlan_is_made_once_and_removed),
		LINK_TEST(test_interface_with_its_name_is_left_alone),
		LINK_TEST(test_addresses_come_and_go_with_the_macvlan_up_and_down),
		LINK_TEST(test_address_that_cannot_be_added_is_an_error_and_the_rest_is_there),
		LINK_TEST(test_advert_is_a_frame_from_the_virtual_mac),
	};
	int failed;

	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0) {
		print_message("skipped: namespaces are not permitted (not root?)\n");
		return 77;
	}
	mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	netlink = nl_socket_alloc();
	if (!netlink || nl_connect(netlink, NETLINK_ROUTE) < 0)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	nl_socket_free(netlink);
	return failed;
}
