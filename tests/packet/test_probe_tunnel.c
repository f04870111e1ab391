/* SPDX-License-Identifier: BSD-2-Clause */
/* test_probe_tunnel.c: a probe through a VIP of mode tunnel goes the way of clients' packets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <string.h>

#include "tests/packet/nat_site.h"
#include "tests/packet/probe_site.h"

enum { GUE_PORT = 6080 };

struct outer {
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];
	uint32_t bytes; /* of its headers */
};

/* Take the outer headers off, and look at them. */
static struct outer uncover(struct frame *frame, bool gue, bool inner6)
{
	uint8_t *ip = frame->bytes + 14;
	bool six = *ip >> 4 == 6;
	uint32_t header = six ? 40 : 20, protocol = six ? ip[6] : ip[9];
	uint32_t total =
		six ? 40U + (uint32_t)(ip[4] << 8 | ip[5]) : (uint32_t)(ip[2] << 8 | ip[3]);
	struct outer o = {.bytes = header + (gue ? 12 : 0)};
	uint8_t *udp = ip + header;

	assert_int_equal(frame->bytes[12] << 8 | frame->bytes[13], six ? 0x86dd : 0x0800);
	assert_int_equal(total, frame->len_bytes - 14);
	inet_ntop(six ? AF_INET6 : AF_INET, ip + (six ? 8 : 12), o.src, sizeof(o.src));
	inet_ntop(six ? AF_INET6 : AF_INET, ip + (six ? 24 : 16), o.dst, sizeof(o.dst));
	if (gue) {
		assert_int_equal(protocol, IPPROTO_UDP);
		assert_int_equal(udp[2] << 8 | udp[3], GUE_PORT);
		assert_int_equal(udp[4] << 8 | udp[5], total - header);
		assert_int_equal(udp[6] | udp[7], 0);
		protocol = udp[9];
	}
	assert_int_equal(protocol, inner6 ? IPPROTO_IPV6 : IPPROTO_IPIP);
	memmove(ip, ip + o.bytes, frame->len_bytes - 14 - o.bytes);
	frame->len_bytes -= o.bytes;
	return o;
}

static void test_probe_goes_into_the_tunnel_that_clients_packets_go_into(void **state)
{
	struct probe_site *s = *state;

	for (size_t i = 0; i < 2 * FAMILIES; i++) {
		const char *backend = probe_ways[i / 2].backend, *vip = probe_ways[i / 2].vip;
		struct datagram sent = probe_of(backend, TCP_SYN), out, answer;
		bool gue = i % 2;
		struct frame frame;
		struct outer o;

		probe_vip_set(s, vip);
		s->vip.mode = FORWARD_TUNNEL;
		s->vip.tunnel_mtu = 1500;
		s->vip.tunnel_port = gue ? htons(GUE_PORT) : 0;
		probe_vip_put(s);
		datagram_build(&sent, &frame);
		assert_int_equal(probe_egress(s, MARK, &frame), TC_ACT_UNSPEC);
		o = uncover(&frame, gue, strchr(vip, ':') != NULL);
		assert_string_equal(o.src, sent.src); /* its own */
		assert_string_equal(o.dst, backend);
		datagram_read(&frame, &out);
		assert_string_equal(out.src, probe_ways[i / 2].node);
		assert_string_equal(out.dst, vip);
		assert_same_talk(&out, &sent);
		answer = probe_answer(&out, TCP_SYN | TCP_ACK);
		assert_comes_back(s, &answer, backend);
	}
}

static void test_outer_source_is_of_the_prefix_that_is_set(void **state)
{
	struct datagram sent = probe_of(BACKEND4, TCP_SYN);
	struct probe_site *s = *state;
	struct frame frame;
	struct outer o;

	probe_vip_set(s, VIP4);
	s->vip.mode = FORWARD_TUNNEL;
	s->vip.tunnel_mtu = 1500;
	site_addr(s->vip.tunnel_src4, "10.9.0.0");
	s->vip.tunnel_bits4 = 16;
	probe_vip_put(s);
	datagram_build(&sent, &frame);
	assert_int_equal(probe_egress(s, MARK, &frame), TC_ACT_UNSPEC);
	o = uncover(&frame, false, false);
	assert_int_equal(strncmp(o.src, "10.9.", 5), 0);
	assert_string_not_equal(o.src, "10.9.0.0");
}

static void test_probe_that_does_not_fit_the_tunnel_is_dropped(void **state)
{
	struct datagram sent = probe_of(BACKEND4, TCP_SYN);
	struct probe_site *s = *state;
	struct frame frame;

	probe_vip_set(s, VIP4);
	s->vip.mode = FORWARD_TUNNEL;
	s->vip.tunnel_mtu = 60;
	probe_vip_put(s);
	datagram_build(&sent, &frame);
	assert_int_equal(probe_egress(s, MARK, &frame), TC_ACT_SHOT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, probe_site_setup, probe_site_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_probe_goes_into_the_tunnel_that_clients_packets_go_into),
		TEST(test_outer_source_is_of_the_prefix_that_is_set),
		TEST(test_probe_that_does_not_fit_the_tunnel_is_dropped),
	};

	if (!plane_permitted())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
