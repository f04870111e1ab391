/* SPDX-License-Identifier: BSD-2-Clause */
/* test_prod.c: the segment that makes a client speak. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <string.h>

#include "lb/prod.h"

static const struct tuple flow4 = {.src = {[10] = 0xff, 0xff, 198, 51, 100, 7},
				   .dst = {[10] = 0xff, 0xff, 192, 0, 2, 10},
				   .sport = 0x409c, /* 40000 on the wire */
				   .dport = 0x8f00, /* 143 */
				   .protocol = IPPROTO_TCP};
static const struct tuple flow6 = {.src = {0x20, 0x01, 0x0d, 0xb8, [15] = 7},
				   .dst = {0x20, 0x01, 0x0d, 0xb8, [15] = 0x10},
				   .sport = 0x409c,
				   .dport = 0x8f00,
				   .protocol = IPPROTO_TCP};

static uint32_t sum(uint32_t start, const uint8_t *at, size_t n)
{
	for (size_t i = 0; i < n; i += 2)
		start += (uint32_t)(at[i] << 8 | at[i + 1]);
	return start;
}

static uint16_t fold(uint32_t s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (uint16_t)s;
}

static void test_ipv4_segment_goes_from_the_vip_to_the_client(void **state)
{
	uint8_t p[PROD_BYTES];

	(void)state;
	assert_int_equal(prod_build(&flow4, 0x01020304, 0xa0b0c0d0, p), 40);
	assert_int_equal(p[0], 0x45);
	assert_memory_equal(p + 12, flow4.dst + 12, 4);
	assert_memory_equal(p + 16, flow4.src + 12, 4);
	assert_int_equal(p[20] << 8 | p[21], 143);
	assert_int_equal(p[22] << 8 | p[23], 40000);
	assert_int_equal(p[33], 0x10); /* ACK and nothing else: an RST would be refused */
	assert_int_equal(fold(sum(0, p, 20)), 0xffff);
	assert_int_equal(fold(sum(IPPROTO_TCP + 20, p + 12, 28)), 0xffff);
}

static void test_ipv6_segment_goes_from_the_vip_to_the_client(void **state)
{
	uint8_t p[PROD_BYTES];

	(void)state;
	assert_int_equal(prod_build(&flow6, 1, 2, p), 60);
	assert_int_equal(p[0], 0x60);
	assert_int_equal(p[5], 20);
	assert_memory_equal(p + 8, flow6.dst, 16);
	assert_memory_equal(p + 24, flow6.src, 16);
	assert_int_equal(fold(sum(IPPROTO_TCP + 20, p + 8, 52)), 0xffff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ipv4_segment_goes_from_the_vip_to_the_client),
		cmocka_unit_test(test_ipv6_segment_goes_from_the_vip_to_the_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
