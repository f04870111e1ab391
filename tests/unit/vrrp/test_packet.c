/* SPDX-License-Identifier: BSD-2-Clause */
/* test_packet.c: what must hold of vrrp/packet.h. The bytes are written by hand from RFC 9568 5.2.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "vrrp/packet.h"

/* vrid 51, priority 200, one address 192.0.2.10, 100 cs, from 192.0.2.1. Without the pseudo-header:
 * 0x3133 + 0xc801 + 0x0064 + 0xc000 + 0x020a = 0x1bba2 -> 0xbba3 -> ~ = 0x445c.
 */
static const uint8_t advert4[] = {0x31, 51, 200, 1, 0, 100, 0x44, 0x5c, 192, 0, 2, 10};

static struct vrrp_advert header4(void)
{
	struct vrrp_advert a = {.ttl = 255};

	addr_parse("192.0.2.1", &a.src);
	addr_parse("224.0.0.18", &a.dst);
	return a;
}

static struct vrrp_advert header6(void)
{
	struct vrrp_advert a = {.ttl = 255, .ipv6 = true};

	addr_parse("fe80::1", &a.src);
	addr_parse("ff02::12", &a.dst);
	return a;
}

static void test_advert_from_the_rfc_is_read(void **state)
{
	struct vrrp_advert a = header4();
	char text[INET6_ADDRSTRLEN];

	(void)state;
	assert_int_equal(vrrp_decode(advert4, sizeof(advert4), &a), VRRP_GOOD);
	assert_true(a.vrid == 51 && a.priority == 200 && a.advert_cs == 100 && a.n_addresses == 1);
	assert_string_equal(addr_format(&a.addresses[0], text), "192.0.2.10");
}

static void test_both_checksums_over_ipv4_are_accepted(void **state)
{
	struct vrrp_advert a = header4(), b = header4();
	uint8_t bytes[VRRP_PACKET_MOST], other[VRRP_PACKET_MOST];

	(void)state;
	assert_int_equal(vrrp_decode(advert4, sizeof(advert4), &a), VRRP_GOOD);
	assert_int_equal(vrrp_encode(&a, CHECKSUM_RFC9568, bytes), sizeof(advert4));
	assert_memory_equal(bytes, advert4, sizeof(advert4));
	assert_int_equal(vrrp_encode(&a, CHECKSUM_RFC5798, other), sizeof(advert4));
	assert_memory_not_equal(bytes, other, sizeof(advert4));
	assert_int_equal(vrrp_decode(other, sizeof(advert4), &b), VRRP_GOOD);
}

static void test_every_wrong_packet_is_refused_by_its_kind(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
		size_t len;
		enum vrrp_verdict verdict;
	} rows[] = {
		{0, 0x21, 12, VRRP_VERSION},  {0, 0x41, 12, VRRP_VERSION},
		{0, 0x32, 12, VRRP_TYPE},     {2, 201, 12, VRRP_CHECKSUM},
		{6, 0x45, 12, VRRP_CHECKSUM}, {11, 11, 12, VRRP_CHECKSUM},
		{3, 2, 12, VRRP_SHORT},	      {3, 255, 12, VRRP_SHORT},
		{0, 0x31, 11, VRRP_SHORT},    {0, 0x31, 7, VRRP_SHORT},
		{0, 0x31, 0, VRRP_SHORT},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vrrp_advert a = header4();
		uint8_t bytes[sizeof(advert4)];

		memcpy(bytes, advert4, sizeof(bytes));
		bytes[rows[i].at] = rows[i].value;
		assert_int_equal(vrrp_decode(bytes, rows[i].len, &a), rows[i].verdict);
	}
}

/* What a checksum does not catch because it is right. */
static void test_wellformed_nonsense_is_refused(void **state)
{
	struct vrrp_advert a = header4();
	uint8_t bytes[VRRP_PACKET_MOST + 4] = {0};
	size_t n;

	(void)state;
	a.ttl = 254;
	assert_int_equal(vrrp_decode(advert4, sizeof(advert4), &a), VRRP_BAD_TTL);
	a = header4();
	a.vrid = 0, a.priority = 1, a.advert_cs = 1, a.n_addresses = 1;
	n = vrrp_encode(&a, CHECKSUM_RFC9568, bytes);
	assert_int_equal(vrrp_decode(bytes, n, &a), VRRP_VRID);
	a.vrid = 1, a.advert_cs = 0;
	n = vrrp_encode(&a, CHECKSUM_RFC9568, bytes);
	assert_int_equal(vrrp_decode(bytes, n, &a), VRRP_INTERVAL);
	a.advert_cs = 1, a.n_addresses = 0;
	n = vrrp_encode(&a, CHECKSUM_RFC9568, bytes);
	assert_int_equal(vrrp_decode(bytes, n, &a), VRRP_ADDRESSES);
	a.n_addresses = 1;
	n = vrrp_encode(&a, CHECKSUM_RFC9568, bytes);
	memset(bytes + n, 0, 4);
	assert_int_equal(vrrp_decode(bytes, n + 4, &a), VRRP_ADDRESSES);
	a = header6();
	a.vrid = 1, a.advert_cs = 1, a.n_addresses = 1;
	addr_parse("2001:db8::1", &a.addresses[0]);
	n = vrrp_encode(&a, CHECKSUM_RFC9568, bytes);
	assert_int_equal(vrrp_decode(bytes, n, &a), VRRP_NOT_LINK_LOCAL);
}

static void test_full_list_of_either_family_survives_the_way(void **state)
{
	(void)state;
	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		struct vrrp_advert a = ipv6 ? header6() : header4(), b = a;
		uint8_t bytes[VRRP_PACKET_MOST];
		size_t n;

		a.vrid = 255, a.priority = 255, a.advert_cs = 4095, a.n_addresses = 255;
		for (int i = 0; i < 255; i++) {
			addr_parse(ipv6 ? "fe80::" : "192.0.2.0", &a.addresses[i]);
			a.addresses[i].in6.s6_addr[15] = (uint8_t)i;
		}
		n = vrrp_encode(&a, CHECKSUM_RFC9568, bytes);
		assert_int_equal(n, ipv6 ? VRRP_PACKET_MOST : 8 + 255 * 4);
		assert_int_equal(vrrp_decode(bytes, n, &b), VRRP_GOOD);
		assert_memory_equal(&a, &b, sizeof(a));
	}
}

/* RFC 8200 8.1: over IPv6 the pseudo-header is never left out. */
static void test_ipv6_without_pseudo_header_is_refused(void **state)
{
	struct vrrp_advert a = header6();
	uint8_t bytes[VRRP_PACKET_MOST];
	size_t n;

	(void)state;
	a.vrid = 1, a.advert_cs = 1, a.n_addresses = 1;
	addr_parse("fe80::9", &a.addresses[0]);
	n = vrrp_encode(&a, CHECKSUM_RFC9568, bytes);
	a.dst.in6.s6_addr[15] ^= 1; /* the sum must cover the header */
	assert_int_equal(vrrp_decode(bytes, n, &a), VRRP_CHECKSUM);
}

/* Others share the segment, perhaps with another version: their packets are none of our business.
 */
static void test_packet_of_another_vrid_is_not_ours(void **state)
{
	static const uint8_t version2[] = {0x21, 7, 100, 1, 0, 1, 0, 0};

	(void)state;
	assert_true(vrrp_is_for(advert4, sizeof(advert4), 51));
	assert_false(vrrp_is_for(advert4, sizeof(advert4), 52));
	assert_false(vrrp_is_for(version2, sizeof(version2), 51));
	assert_true(vrrp_is_for(version2, 1, 51)); /* too short to tell: counted as bad */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_advert_from_the_rfc_is_read),
		cmocka_unit_test(test_both_checksums_over_ipv4_are_accepted),
		cmocka_unit_test(test_every_wrong_packet_is_refused_by_its_kind),
		cmocka_unit_test(test_wellformed_nonsense_is_refused),
		cmocka_unit_test(test_full_list_of_either_family_survives_the_way),
		cmocka_unit_test(test_ipv6_without_pseudo_header_is_refused),
		cmocka_unit_test(test_packet_of_another_vrid_is_not_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
