/* SPDX-License-Identifier: BSD-2-Clause */
/* test_vmac.c: the macvlan of a virtual MAC, addresses and adverts, in a network namespace of our
 * own.
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
	struct ifaddrs *all = NULL;
	struct link link = {0};

	assert_int_equal(getifaddrs(&all), 0);
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
		uint64_t held = 0, others = 0;

		assert_int_equal(vmac_make(netlink, &c, &link), 0);
		assert_int_equal(link_add_addresses(netlink, &link, &c, &held), 0);
		assert_true(held == UINT64_MAX);
		assert_int_equal(link_add_addresses(netlink, &link, &c, &held), 0);
		assert_true(held == UINT64_MAX);
		assert_int_equal(link_add_addresses(netlink, &link, &c, &others), 0);
		assert_true(others == 0);
		assert_true(says("ip -o addr show type macvlan | wc -l", "64\n"));
		assert_true(says("ip -o link show type macvlan", ",UP"));
		assert_false(says("ip route; ip -6 route", "sl"));
		assert_int_equal(link_remove_addresses(netlink, &link, &c, &held), 0);
		held = UINT64_MAX; /* gone already is fine */
		assert_int_equal(link_remove_addresses(netlink, &link, &c, &held), 0);
		assert_true(held == 0);
		assert_false(says("ip addr show type macvlan", "inet"));
		assert_false(says("ip -o link show type macvlan", ",UP"));
		vmac_remove(netlink, &c, &link);
	}
}

static void test_address_that_cannot_be_added_is_an_error_and_the_rest_is_there(void **state)
{
	struct config_instance c = config(false, 3);
	struct link link = look(&c);
	uint64_t held = 0;

	(void)state;
	c.virtual_mac = false;
	link.holder = link.ifindex;
	c.addresses[1].prefix_len = 99;
	assert_int_equal(link_add_addresses(netlink, &link, &c, &held), -EINVAL);
	assert_true(says("ip addr show dev eth0", "192.0.2.10/24"));
	assert_true(says("ip addr show dev eth0", "192.0.2.12/24"));
	assert_true(held == 5);
}

static void marks_take(void *owner, const struct link_address *address)
{
	struct config_instance *c = owner;

	for (uint32_t i = 0; i < c->n_addresses; i++) {
		if (address->ours &&
		    memcmp(&address->vip.addr, &c->addresses[i].addr, sizeof(struct addr)) == 0)
			c->vrid |= (uint8_t)(1 << i);
	}
}

static void test_address_of_somebody_else_is_left_to_him(void **state)
{
	(void)state;
	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		struct config_instance c = config(ipv6, 3);
		struct link link = look(&c);
		struct nl_sock *s = nl_socket_alloc();
		uint64_t held = 0;

		link.holder = link.ifindex;
		sh(ipv6 ? "ip addr add fe80::51:b/64 dev eth0 nodad"
			: "ip addr add 192.0.2.11/24 dev eth0");
		assert_int_equal(link_add_addresses(netlink, &link, &c, &held), 0);
		assert_true(held == 5);
		assert_int_equal(nl_connect(s, NETLINK_ROUTE), 0);
		c.vrid = 0;
		assert_int_equal(link_addresses(s, marks_take, &c), 0);
		assert_int_equal(c.vrid, 5); /* so a vrrp that is started anew knows it as well */
		nl_socket_free(s);
		assert_int_equal(link_remove_addresses(netlink, &link, &c, &held), 0);
		assert_true(says("ip addr show dev eth0", ipv6 ? "fe80::51:b/" : "192.0.2.11/"));
		assert_false(says("ip addr show dev eth0", ipv6 ? "fe80::51:a/" : "192.0.2.10/"));
		assert_false(says("ip addr show dev eth0", ipv6 ? "fe80::51:c/" : "192.0.2.12/"));
	}
}

static void test_an_address_that_goes_leaves_its_network_to_the_next(void **state)
{
	struct config_instance first = config(false, 1), second = config(false, 1);
	struct link link = look(&first);
	uint64_t held = 0, held2 = 0;

	(void)state;
	link.holder = link.ifindex;
	addr_parse("198.51.100.1", &first.addresses[0].addr);
	addr_parse("198.51.100.2", &second.addresses[0].addr);
	link_promote(netlink, &link);
	assert_int_equal(link_add_addresses(netlink, &link, &first, &held), 0);
	assert_int_equal(link_add_addresses(netlink, &link, &second, &held2), 0);
	assert_int_equal(link_remove_addresses(netlink, &link, &first, &held), 0);
	assert_true(says("ip addr show dev eth0", "198.51.100.2/24"));
}

static void test_macvlan_that_was_left_is_removed_and_no_other(void **state)
{
	struct config_instance c = config(true, 1);
	struct link link = look(&c);
	char name[IFNAMSIZ];

	(void)state;
	assert_int_equal(vmac_make(netlink, &c, &link), 0);
	vmac_name(&c, link.ifindex, name);
	sh("ip link add sl4.51.7 link eth0 type macvlan mode private && ip link add sl4.7 type bridge");
	vmac_remove_left(netlink, "eth0");
	vmac_remove_left(netlink, "sl4.51.7");
	vmac_remove_left(netlink, "sl4.7");
	assert_true(says("ip link", "sl4.51.7") && says("ip link", "sl4.7:"));
	vmac_remove_left(netlink, name);
	assert_int_equal(look(&c).holder, 0);
	assert_false(says("bridge fdb show dev eth0", "00:00:5e:00:02:33"));
	sh("ip link del sl4.7");
}

static enum link_source owned_sources(void *owner, const char *interface, const struct addr *addr)
{
	const struct addr *hidden = owner;

	(void)interface;
	return memcmp(addr, hidden, sizeof(*addr)) == 0 ? LINK_NO_SOURCE : LINK_OWNED;
}

static void test_owner_sends_from_its_own_address_when_it_has_no_other(void **state)
{
	struct config_instance c = config(false, 1);
	struct addr hidden, own;

	(void)state;
	addr_parse("192.0.2.99", &hidden);
	addr_parse("192.0.2.2", &own);
	c.virtual_mac = false;
	c.addresses[0].addr = own;
	for (int row = 0; row < 3; row++) {
		struct ifaddrs *all = NULL;
		struct link link = {0};

		assert_int_equal(getifaddrs(&all), 0);
		link_sources(all, owned_sources, row == 2 ? &own : &hidden);
		c.priority = row == 0 ? 200 : 255;
		link_read(all, &c, &link);
		freeifaddrs(all);
		assert_true(link.up);
		assert_int_equal(IN6_IS_ADDR_UNSPECIFIED(&link.primary.in6), row != 1);
	}
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
		LINK_TEST(test_address_of_somebody_else_is_left_to_him),
		LINK_TEST(test_an_address_that_goes_leaves_its_network_to_the_next),
		LINK_TEST(test_macvlan_that_was_left_is_removed_and_no_other),
		LINK_TEST(test_owner_sends_from_its_own_address_when_it_has_no_other),
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
