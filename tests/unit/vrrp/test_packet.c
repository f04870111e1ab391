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

/* The same in version 2 (RFC 3768 5.1), 1 s, without authentication: 0x2133 + 0xc801 + 0x0001 +
 * 0xc000 + 0x020a = 0x1ab3f -> 0xab40 -> ~ = 0x54bf.
 */
static const uint8_t version2[] = {0x21, 51, 200, 1, 0, 1, 0x54, 0xbf, 192, 0,
				   2,	 10, 0,	  0, 0, 0, 0,	 0,    0,   0};

static struct vrrp_advert header4(void)
{
	struct vrrp_advert a = {.ttl = 255, .version = 3};

	addr_parse("192.0.2.1", &a.src);
	addr_parse("224.0.0.18", &a.dst);
	return a;
}

static struct vrrp_advert header6(void)
{
	struct vrrp_advert a = {.ttl = 255, .ipv6 = true, .version = 3};

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
	static const uint8_t other[] = {0x21, 7, 100, 1, 0, 1, 0, 0};

	(void)state;
	assert_true(vrrp_is_for(advert4, sizeof(advert4), 51));
	assert_false(vrrp_is_for(advert4, sizeof(advert4), 52));
	assert_false(vrrp_is_for(other, sizeof(other), 51));
	assert_true(vrrp_is_for(other, 1, 51)); /* too short to tell: counted as bad */
}

static struct vrrp_advert header2(void)
{
	struct vrrp_advert a = header4();

	a.version = 2;
	return a;
}

static struct config_instance instance2(void)
{
	struct config_instance c = {
		.vrid = 51, .version = 2, .priority = 100, .advert_cs = 100, .n_addresses = 1};

	addr_parse("192.0.2.10", &c.addresses[0].addr);
	return c;
}

static void test_version_2_is_read_and_written(void **state)
{
	struct config_instance c = instance2();
	struct vrrp_advert a = header2(), b = header2();
	uint8_t bytes[VRRP_PACKET_MOST];

	(void)state;
	assert_int_equal(vrrp_decode(version2, sizeof(version2), &a), VRRP_GOOD);
	assert_true(a.vrid == 51 && a.priority == 200 && a.advert_cs == 100 && a.n_addresses == 1);
	assert_int_equal(vrrp_judge(&a, &c), VRRP_GOOD);
	vrrp_advert_fill(&c, 200, &b);
	for (int checksum = CHECKSUM_RFC9568; checksum <= CHECKSUM_RFC5798; checksum++) {
		assert_int_equal(vrrp_encode(&b, (enum config_checksum)checksum, bytes),
				 sizeof(version2));
		assert_memory_equal(bytes, version2, sizeof(version2));
	}
}

static void test_version_2_password_is_compared_whole(void **state)
{
	static const struct {
		const char *ours, *theirs; /* NULL = no authentication */
		enum vrrp_verdict verdict;
	} rows[] = {
		{"secret", "secret", VRRP_GOOD},
		{"12345678", "12345678", VRRP_GOOD},
		{"secret", "secre", VRRP_PASSWORD},
		{"secret", "secrets", VRRP_PASSWORD},
		{"12345678", "12345679", VRRP_PASSWORD},
		{"secret", "", VRRP_PASSWORD},
		{"secret", NULL, VRRP_AUTH_TYPE},
		{NULL, "secret", VRRP_AUTH_TYPE},
		{NULL, NULL, VRRP_GOOD},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct config_instance c[2] = {instance2(), instance2()};
		struct vrrp_advert a = header2(), b = header2();
		uint8_t bytes[VRRP_PACKET_MOST];
		const char *words[] = {rows[i].ours, rows[i].theirs};
		size_t n;

		for (int k = 0; k < 2; k++) {
			if (!words[k])
				continue;
			c[k].authentication = AUTHENTICATION_PASSWORD;
			strcpy(c[k].password, words[k]);
		}
		vrrp_advert_fill(&c[1], 100, &a);
		n = vrrp_encode(&a, CHECKSUM_RFC9568, bytes);
		assert_int_equal(n, 20);
		assert_int_equal(vrrp_decode(bytes, n, &b), VRRP_GOOD);
		assert_int_equal(vrrp_judge(&b, &c[0]), rows[i].verdict);
	}
}

static void test_wrong_version_2_packets_are_refused_by_their_kind(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
		size_t len;
		enum vrrp_verdict verdict;
	} rows[] = {
		{0, 0x31, 20, VRRP_VERSION}, {0, 0x22, 20, VRRP_TYPE},	{2, 201, 20, VRRP_CHECKSUM},
		{19, 1, 20, VRRP_CHECKSUM},  {0, 0x21, 19, VRRP_SHORT}, {0, 0x21, 12, VRRP_SHORT},
		{3, 2, 20, VRRP_SHORT},	     {0, 0x21, 7, VRRP_SHORT},
	};
	uint8_t zero[] = {0x21, 51, 200, 1, 0, 0, 0x54, 0xc0, 192, 0,
			  2,	10, 0,	 0, 0, 0, 0,	0,    0,   0};
	struct vrrp_advert v3 = header4(), v2 = header2();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vrrp_advert a = header2();
		uint8_t bytes[sizeof(version2)];

		memcpy(bytes, version2, sizeof(bytes));
		bytes[rows[i].at] = rows[i].value;
		assert_int_equal(vrrp_decode(bytes, rows[i].len, &a), rows[i].verdict);
	}
	assert_int_equal(vrrp_decode(zero, sizeof(zero), &v2), VRRP_INTERVAL);
	assert_int_equal(vrrp_decode(version2, sizeof(version2), &v3), VRRP_VERSION);
	assert_int_equal(vrrp_decode(advert4, sizeof(advert4), &v2), VRRP_VERSION);
}

/* RFC 3768 has no pseudo-header: what RFC 5798 adds is wrong there. */
static void test_version_2_with_a_pseudo_header_is_refused(void **state)
{
	struct vrrp_advert a = header2();
	uint8_t bytes[sizeof(version2)];
	uint32_t sum = 0x54bf;

	(void)state;
	sum += 0xffff & ~(0xc000U + 0x0201); /* 192.0.2.1; any other sum would do */
	memcpy(bytes, version2, sizeof(bytes));
	bytes[6] = (uint8_t)(sum >> 8), bytes[7] = (uint8_t)sum;
	assert_int_equal(vrrp_decode(bytes, sizeof(bytes), &a), VRRP_CHECKSUM);
}

static void test_advert_is_judged_by_what_the_instance_is(void **state)
{
	static const struct {
		bool unicast;
		const char *src, *dst, *address;
		uint8_t n_addresses;
		uint16_t advert_cs;
		enum vrrp_verdict verdict;
	} rows[] = {
		{false, "192.0.2.1", "224.0.0.18", "192.0.2.10", 1, 100, VRRP_GOOD},
		{false, "192.0.2.1", "192.0.2.9", "192.0.2.10", 1, 100, VRRP_DESTINATION},
		{true, "192.0.2.1", "192.0.2.9", "192.0.2.10", 1, 100, VRRP_GOOD},
		{true, "192.0.2.2", "192.0.2.9", "192.0.2.10", 1, 100, VRRP_STRANGER},
		{true, "192.0.2.1", "224.0.0.18", "192.0.2.10", 1, 100, VRRP_DESTINATION},
		{false, "192.0.2.1", "224.0.0.18", "192.0.2.11", 1, 100, VRRP_ADDRESSES_DIFFER},
		{false, "192.0.2.1", "224.0.0.18", "192.0.2.10", 2, 100, VRRP_ADDRESSES_DIFFER},
		{false, "192.0.2.1", "224.0.0.18", "192.0.2.10", 1, 200, VRRP_INTERVAL_DIFFERS},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct config_instance c = instance2();
		struct vrrp_advert a = header2();

		vrrp_advert_fill(&c, 200, &a);
		c.unicast = rows[i].unicast;
		c.n_peers = 1;
		addr_parse("192.0.2.1", &c.peers[0]);
		addr_parse(rows[i].src, &a.src);
		addr_parse(rows[i].dst, &a.dst);
		addr_parse(rows[i].address, &a.addresses[0]);
		a.addresses[1] = a.addresses[0];
		a.n_addresses = rows[i].n_addresses;
		a.advert_cs = rows[i].advert_cs;
		assert_int_equal(vrrp_judge(&a, &c), rows[i].verdict);
		a.version = 3; /* there a backup adopts the interval */
		if (rows[i].verdict == VRRP_INTERVAL_DIFFERS)
			assert_int_equal(vrrp_judge(&a, &c), VRRP_GOOD);
	}
}

static void test_order_of_the_addresses_does_not_matter(void **state)
{
	struct config_instance c = instance2();
	struct vrrp_advert a = header2();

	(void)state;
	c.n_addresses = 2;
	addr_parse("192.0.2.11", &c.addresses[1].addr);
	vrrp_advert_fill(&c, 200, &a);
	a.addresses[0] = c.addresses[1].addr;
	a.addresses[1] = c.addresses[0].addr;
	assert_int_equal(vrrp_judge(&a, &c), VRRP_GOOD);
	a.addresses[1] = a.addresses[0];
	assert_int_equal(vrrp_judge(&a, &c), VRRP_ADDRESSES_DIFFER);
}

/* RFC 9568 5.1.2.1: multicast comes from a link-local address; unicast may come from any. */
static void test_ipv6_source_is_link_local_unless_unicast(void **state)
{
	struct config_instance c = {.ipv6 = true, .version = 3, .advert_cs = 100, .n_addresses = 1};
	struct vrrp_advert a = header6();

	(void)state;
	addr_parse("fe80::9", &c.addresses[0].addr);
	vrrp_advert_fill(&c, 100, &a);
	assert_int_equal(vrrp_judge(&a, &c), VRRP_GOOD);
	addr_parse("2001:db8::1", &a.src);
	assert_int_equal(vrrp_judge(&a, &c), VRRP_NOT_LINK_LOCAL);
	c.unicast = true;
	c.n_peers = 1;
	c.peers[0] = a.src;
	addr_parse("2001:db8::2", &a.dst);
	assert_int_equal(vrrp_judge(&a, &c), VRRP_GOOD);
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
		cmocka_unit_test(test_version_2_is_read_and_written),
		cmocka_unit_test(test_version_2_password_is_compared_whole),
		cmocka_unit_test(test_wrong_version_2_packets_are_refused_by_their_kind),
		cmocka_unit_test(test_version_2_with_a_pseudo_header_is_refused),
		cmocka_unit_test(test_advert_is_judged_by_what_the_instance_is),
		cmocka_unit_test(test_order_of_the_addresses_does_not_matter),
		cmocka_unit_test(test_ipv6_source_is_link_local_unless_unicast),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
