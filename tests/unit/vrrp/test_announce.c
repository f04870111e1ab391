/* SPDX-License-Identifier: BSD-2-Clause */
/* test_announce.c: the frames that tell a link where an address is, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "vrrp/link.h"

static const uint8_t mac[6] = {0x00, 0x00, 0x5e, 0x00, 0x01, 0x33};

/* RFC 5227 3: a broadcast request, in which sender and target are the address. */
static void test_gratuitous_arp_is_that_of_the_rfc(void **state)
{
	static const uint8_t wanted[42] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x5e, 0x00, 0x01, 0x33, 0x08, 0x06,
		0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x01, 0x00, 0x00, 0x5e, 0x00, 0x01, 0x33,
		192,  0,    2,	  10,	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 192,  0,	2,    10,
	};
	uint8_t frame[ANNOUNCE_BYTES];
	struct addr vip;

	(void)state;
	addr_parse("192.0.2.10", &vip);
	assert_int_equal(announce_arp(mac, &vip, frame), sizeof(wanted));
	assert_memory_equal(frame, wanted, sizeof(wanted));
}

/* The sum over pseudo-header and message is all ones, if the checksum in it is right. */
static uint32_t icmp6_sum(const uint8_t *ip6)
{
	uint32_t sum = 32 + 58;

	for (int i = 8; i < 40 + 32; i += 2)
		sum += (uint32_t)ip6[i] << 8 | ip6[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* RFC 4861 4.4, 7.2.6: to all nodes, not solicited, override, with the MAC; router as we are. */
static void test_neighbour_advertisement_is_that_of_the_rfc(void **state)
{
	static const uint8_t lead[22] = {
		0x33, 0x33, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x5e, 0x00, 0x01,
		0x33, 0x86, 0xdd, 0x60, 0x00, 0x00, 0x00, 0x00, 32,   58,   255,
	};
	uint8_t frame[ANNOUNCE_BYTES];
	struct addr vip, all_nodes;

	(void)state;
	addr_parse("2001:db8::10", &vip);
	addr_parse("ff02::1", &all_nodes);
	for (int router = 0; router < 2; router++) {
		const uint8_t kind[2] = {136, 0}, flags[4] = {router ? 0xa0 : 0x20};

		assert_int_equal(announce_na(mac, &vip, router, frame), 14 + 40 + 32);
		assert_memory_equal(frame, lead, sizeof(lead));
		assert_memory_equal(frame + 22, &vip, 16);
		assert_memory_equal(frame + 38, &all_nodes, 16);
		assert_memory_equal(frame + 54, kind, 2);
		assert_memory_equal(frame + 58, flags, 4);
		assert_memory_equal(frame + 62, &vip, 16);
		assert_int_equal(frame[78], 2); /* target link-layer address, of 8 bytes */
		assert_int_equal(frame[79], 1);
		assert_memory_equal(frame + 80, mac, 6);
		assert_int_equal(icmp6_sum(frame + 14), 0xffff);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gratuitous_arp_is_that_of_the_rfc),
		cmocka_unit_test(test_neighbour_advertisement_is_that_of_the_rfc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
