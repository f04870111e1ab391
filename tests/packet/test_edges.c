/* SPDX-License-Identifier: BSD-2-Clause */
/* test_edges.c: packets that are not plain TCP or UDP in a plain IP packet in a plain frame, in
 * mode dsr: VLAN tags, options, extension headers, fragments, contradictions. ICMP errors:
 * test_icmp.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "balancer.skel.h"
#include "tests/packet/dsr_site.h"

/* ---- VLAN ---- */

static void tag(struct frame *f, uint32_t ethertype, uint32_t vlan)
{
	uint8_t bytes[4];

	put16(bytes, ethertype);
	put16(bytes + 2, vlan);
	bytes_insert(f, 12, bytes, 4);
}

static void test_vlan_tags_are_kept(void **state)
{
	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		struct frame f;

		frame_build(ipv6 ? &dsr_base6 : &dsr_base4, &f);
		tag(&f, 0x8100, 0xe123);
		assert_int_equal(dsr_forwarded(*state, &f), OWNER);
		tag(&f, 0x88a8, 7);
		assert_int_equal(dsr_forwarded(*state, &f), OWNER);
		tag(&f, 0x88a8, 8);
		dsr_stopped(*state, &f, XDP_PASS, REASON_PASS_NOT_OURS, "three tags");
	}
}

static void test_frame_that_ends_in_a_tag_is_dropped(void **state)
{
	struct frame f;

	frame_build(&dsr_base4, &f);
	tag(&f, 0x8100, 1);
	for (uint32_t len = 14; len < 18; len++) {
		f.len_bytes = len;
		dsr_stopped(*state, &f, XDP_DROP, REASON_DROP_TRUNCATED, "tag");
	}
}

/* ---- IPv6 extension headers ---- */

enum { HOPS = 0, ROUTING = 43, FRAGMENT = 44, AUTH = 51, OPTIONS = 60 };

/* Put extension headers, first to last, before the transport header; @bytes behind the first two.
 */
static void extend(struct frame *f, const uint8_t *headers, int n, const uint8_t third_fourth[2])
{
	for (int i = n - 1; i >= 0; i--) {
		uint8_t x[24] = {f->bytes[20], headers[i] == AUTH ? 4 : 0};
		uint32_t bytes = headers[i] == AUTH ? 24 : 8;

		if (third_fourth)
			memcpy(x + 2, third_fourth, 2);
		bytes_insert(f, IP4_AT + L4_IN_IP6, x, bytes);
		f->bytes[20] = headers[i];
		put16(f->bytes + 18, get16(f->bytes + 18) + bytes);
	}
}

static void test_extension_headers_are_walked_to_a_bound(void **state)
{
	static const uint8_t all[] = {HOPS, OPTIONS, ROUTING, AUTH, OPTIONS, FRAGMENT};
	static const uint8_t many[] = {HOPS, OPTIONS, OPTIONS, OPTIONS, OPTIONS, OPTIONS, OPTIONS};

	for (int n = 0; n <= 6; n++) {
		struct frame f;

		frame_build(&dsr_base6, &f);
		extend(&f, all, n, NULL); /* an atomic fragment (RFC 6946) is a whole packet */
		assert_int_equal(dsr_forwarded(*state, &f), OWNER);
		frame_build(&dsr_base6, &f);
		extend(&f, many, n, NULL);
		assert_int_equal(dsr_forwarded(*state, &f), OWNER);
	}
	struct frame f;

	frame_build(&dsr_base6, &f);
	extend(&f, many, 7, NULL);
	dsr_stopped(*state, &f, XDP_DROP, REASON_DROP_EXTENSIONS, "seven");
}

static void test_flow_is_the_same_with_and_without_extension_headers(void **state)
{
	static const uint8_t one[] = {OPTIONS};
	struct plane *p = *state;
	struct frame f;

	frame_build(&dsr_base6, &f);
	dsr_forwarded(p, &f);
	extend(&f, one, 1, NULL);
	dsr_forwarded(p, &f);
	assert_int_equal(plane_backend_stats(p, OWNER).opened, 1); /* the second packet of one */
}

static void test_routing_header_with_a_way_to_go_is_not_for_us(void **state)
{
	static const uint8_t one[] = {ROUTING};
	struct frame f;

	frame_build(&dsr_base6, &f);
	extend(&f, one, 1, (const uint8_t[]){0, 1});
	dsr_stopped(*state, &f, XDP_DROP, REASON_DROP_EXTENSIONS, "type 0 (RFC 5095)");
	frame_build(&dsr_base6, &f);
	extend(&f, one, 1, (const uint8_t[]){4, 1});
	dsr_stopped(*state, &f, XDP_PASS, REASON_PASS_PROTOCOL, "type 4");
}

static void test_extension_header_longer_than_the_packet_is_dropped(void **state)
{
	static const uint8_t one[] = {OPTIONS};
	struct frame f;

	frame_build(&dsr_base6, &f);
	extend(&f, one, 1, NULL);
	f.bytes[IP4_AT + L4_IN_IP6 + 1] = 255;
	dsr_stopped(*state, &f, XDP_DROP, REASON_DROP_TRUNCATED, "option");
	for (uint32_t payload = 0; payload < 28; payload++) {
		frame_build(&dsr_base6, &f);
		extend(&f, one, 1, NULL);
		put16(f.bytes + 18, payload);
		dsr_stopped(*state, &f, XDP_DROP, REASON_DROP_TRUNCATED, "payload length");
	}
}

/* ---- fragments ---- */

/* @offset: bytes; @bytes: of payload, 0 = as built */
static void fragment4(struct frame *f, uint16_t id, uint32_t offset, bool more, uint32_t bytes)
{
	put16(f->bytes + 18, id);
	put16(f->bytes + 20, (more ? 0x2000U : 0) | offset / 8);
	if (bytes)
		put16(f->bytes + 16, 20 + bytes);
}

static void fragment6(struct frame *f, uint32_t id, uint32_t offset, bool more)
{
	uint8_t x[8] = {f->bytes[20]};
	uint32_t word = htonl(id);

	put16(x + 2, offset | more);
	memcpy(x + 4, &word, 4);
	bytes_insert(f, IP4_AT + L4_IN_IP6, x, 8);
	f->bytes[20] = FRAGMENT;
	put16(f->bytes + 18, get16(f->bytes + 18) + 8);
}

static struct frame fragment(bool ipv6, uint16_t id, uint32_t offset, bool more)
{
	struct frame f;

	frame_build(ipv6 ? &dsr_base6 : &dsr_base4, &f);
	if (ipv6)
		fragment6(&f, id, offset, more);
	else
		fragment4(&f, id, offset, more, 0);
	return f;
}

static void test_all_fragments_of_a_packet_go_to_one_backend(void **state)
{
	struct plane *p = *state;

	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		struct frame first = fragment(ipv6, 77, 0, true);
		struct frame second = fragment(ipv6, 77, 40, true);
		struct frame last = fragment(ipv6, 77, 80, false);
		struct frame other = fragment(ipv6, 78, 40, false);

		dsr_table_fill(p, OWNER, BACKEND_NONE);
		assert_int_equal(dsr_forwarded(p, &first), OWNER);
		assert_int_equal(dsr_forwarded(p, &last), OWNER);
		dsr_table_fill(p, THIRD, BACKEND_NONE); /* a change in the middle of a packet */
		assert_int_equal(dsr_forwarded(p, &second), OWNER);
		tag(&second, 0x8100, 9);
		assert_int_equal(dsr_forwarded(p, &second), OWNER);
		dsr_stopped(p, &other, XDP_DROP, REASON_DROP_FRAGMENT, "first not seen");
	}
}

static void test_fragment_for_no_vip_is_passed(void **state)
{
	struct frame f = fragment(false, 1, 40, false);

	f.bytes[33] = 99;
	dsr_stopped(*state, &f, XDP_PASS, REASON_PASS_FRAGMENT, "not the VIP");
}

static void test_fragments_of_a_dead_backend_are_dropped(void **state)
{
	struct plane *p = *state;
	struct frame first = fragment(false, 5, 0, true), last = fragment(false, 5, 40, false);

	dsr_forwarded(p, &first);
	p->backends[OWNER].flags = 0;
	dsr_stopped(p, &last, XDP_DROP, REASON_DROP_NO_BACKEND, "dead");
}

/* Two CPUs must not make one entry of two. */
static void test_fragment_entry_that_another_packet_writes_is_left_alone(void **state)
{
	struct plane *p = *state;
	struct frame first = fragment(false, 5, 0, true), last = fragment(false, 5, 40, false);
	int fd = bpf_map__fd(p->skel->maps.fragments);
	struct fragment entry = {0};
	uint32_t at = 0;

	dsr_forwarded(p, &first);
	for (; at < FRAGMENTS && entry.tag == 0; at++)
		assert_int_equal(bpf_map_lookup_elem(fd, &at, &entry), 0);
	assert_in_range(at--, 1, FRAGMENTS);
	entry.tag = FRAGMENT_WRITING;
	assert_int_equal(bpf_map_update_elem(fd, &at, &entry, BPF_ANY), 0);
	dsr_forwarded(p, &first);
	assert_int_equal(bpf_map_lookup_elem(fd, &at, &entry), 0);
	assert_true(entry.tag == FRAGMENT_WRITING);
	dsr_stopped(p, &last, XDP_DROP, REASON_DROP_FRAGMENT, "being written");
}

static void test_fragments_that_no_receiver_accepts_are_dropped(void **state)
{
	static const struct {
		const char *what;
		uint32_t offset, bytes;
		bool more;
	} rows[] = {
		{"tiny first (RFC 1858)", 0, 8, true},
		{"ports only", 0, 16, true},
		{"overlaps the TCP header (RFC 3128)", 8, 40, false},
		{"overlaps its end", 16, 40, false},
		{"beyond 65,535", 65528, 40, false},
		{"not a multiple of 8", 0, 33, true},
		{"nothing", 40, 0xffff, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct frame f;

		frame_build(&dsr_base4, &f);
		fragment4(&f, 3, rows[i].offset, rows[i].more, rows[i].bytes);
		if (rows[i].bytes == 0xffff)
			put16(f.bytes + 16, 20);
		dsr_stopped(*state, &f, XDP_DROP, REASON_DROP_BAD_FRAGMENT, rows[i].what);
	}
}

static void test_first_fragment_of_a_long_datagram_is_taken(void **state)
{
	struct frame_spec udp = dsr_base4;
	struct frame f;

	udp.protocol = IPPROTO_UDP;
	frame_build(&udp, &f);
	put16(f.bytes + IP4_AT + L4_IN_IP4 + 4, 4000);
	fragment4(&f, 9, 0, true, 24);
	assert_int_equal(dsr_forwarded(*state, &f), OWNER);
	fragment4(&f, 9, 0, false, 24); /* the same, but whole: it claims more than it has */
	dsr_stopped(*state, &f, XDP_DROP, REASON_DROP_TRUNCATED, "whole");
}

/* ---- contradictions ---- */

static void test_tcp_flags_that_contradict_each_other_are_dropped(void **state)
{
	static const uint8_t bad[] = {0,
				      TCP_PSH,
				      TCP_SYN | TCP_FIN,
				      TCP_SYN | TCP_RST,
				      TCP_SYN | TCP_RST | TCP_ACK,
				      TCP_SYN | TCP_FIN | TCP_ACK,
				      TCP_SYN | TCP_FIN | TCP_RST | TCP_PSH | TCP_ACK};
	static const uint8_t good[] = {
		TCP_ACK,	   TCP_SYN,	      TCP_SYN | TCP_ACK,	  TCP_RST,
		TCP_RST | TCP_ACK, TCP_FIN | TCP_ACK, TCP_FIN | TCP_PSH | TCP_ACK};
	struct frame_spec s = dsr_base4;
	struct frame f;

	for (size_t i = 0; i < sizeof(bad); i++) {
		s.tcp_flags = bad[i];
		frame_build(&s, &f);
		dsr_stopped(*state, &f, XDP_DROP, REASON_DROP_BAD_FLAGS, "flags");
	}
	for (size_t i = 0; i < sizeof(good); i++) {
		s.tcp_flags = good[i];
		frame_build(&s, &f);
		assert_int_equal(dsr_forwarded(*state, &f), OWNER);
	}
}

static void test_sources_that_no_packet_on_a_wire_has_begin_no_flow(void **state)
{
	static const uint8_t four[][4] = {{0, 1, 2, 3},	  {127, 0, 0, 1},	{224, 0, 0, 1},
					  {240, 0, 0, 1}, {255, 255, 255, 255}, {192, 0, 2, 10}};
	static const uint8_t six[][16] = {
		{0}, {[15] = 1}, {0xff, 2, [15] = 1}, {0x20, 1, 0x0d, 0xb8, [15] = 0x10}};
	struct frame_spec s = dsr_base4;
	struct frame f;

	for (int i = 0; i < 10; i++) {
		s = i < 6 ? dsr_base4 : dsr_base6;
		s.tcp_flags = i % 2 ? TCP_SYN : TCP_ACK;
		frame_build(&s, &f);
		if (i < 6)
			memcpy(f.bytes + IP4_AT + 12, four[i], 4);
		else
			memcpy(f.bytes + IP4_AT + 8, six[i - 6], 16);
		dsr_stopped(*state, &f, XDP_DROP, REASON_DROP_BAD_ADDRESS, "source");
	}
}

/* ---- no service ---- */

static void test_what_no_service_wants_is_passed_or_dropped_by_choice(void **state)
{
	struct plane *p = *state;
	struct frame_spec s = dsr_base4;
	struct frame f, elsewhere;

	s.dport = 22;
	frame_build(&s, &f);
	dsr_stopped(p, &f, XDP_PASS, REASON_PASS_NO_SERVICE, "pass");
	elsewhere = f;
	elsewhere.bytes[33] = 99;
	for (uint32_t i = 0; i < SERVICE_LINES; i++) {
		if (p->lines[i].state == LINE_KEY && p->lines[i].port_protocol == 0)
			p->lines[i].service.mode = VIP_DROP;
	}
	dsr_stopped(p, &f, XDP_DROP, REASON_DROP_NOT_SERVED, "drop");
	dsr_stopped(p, &elsewhere, XDP_PASS, REASON_PASS_NO_SERVICE, "another address");
}

/* ---- persistence ---- */

static void test_connections_of_one_source_go_to_one_backend(void **state)
{
	struct plane *p = *state;
	uint16_t owners[DSR_SLOTS], before[DSR_SLOTS];

	for (uint16_t i = 0; i < DSR_SLOTS; i++) {
		owners[i] = (uint16_t)(100 + i);
		before[i] = BACKEND_NONE;
		plane_backend_set(p, owners[i], 1);
	}
	plane_table_set(p, 0, owners, before);
	for (uint32_t i = 0; i < SERVICE_LINES; i++) {
		if (p->lines[i].state == LINE_KEY && p->lines[i].port_protocol != 0)
			p->lines[i].service.source_bits = 24;
	}
	for (uint32_t net = 0; net < 50; net++) {
		uint32_t one = 0;

		for (uint32_t k = 0; k < 20; k++) {
			struct frame_spec s = dsr_base4;
			struct frame f;

			s.client = net << 8 | k; /* 10.0.net.k: one /24 */
			s.sport = (uint16_t)(1000 + k * 77);
			s.protocol = k % 2 ? IPPROTO_UDP : IPPROTO_TCP; /* another service */
			frame_build(&s, &f);
			if (k == 0)
				one = dsr_forwarded(p, &f);
			else
				assert_int_equal(dsr_forwarded(p, &f), one);
		}
	}
}

#define EDGE(test) cmocka_unit_test_setup_teardown(test, dsr_setup, dsr_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EDGE(test_vlan_tags_are_kept),
		EDGE(test_frame_that_ends_in_a_tag_is_dropped),
		EDGE(test_extension_headers_are_walked_to_a_bound),
		EDGE(test_flow_is_the_same_with_and_without_extension_headers),
		EDGE(test_routing_header_with_a_way_to_go_is_not_for_us),
		EDGE(test_extension_header_longer_than_the_packet_is_dropped),
		EDGE(test_all_fragments_of_a_packet_go_to_one_backend),
		EDGE(test_fragment_for_no_vip_is_passed),
		EDGE(test_fragments_of_a_dead_backend_are_dropped),
		EDGE(test_fragment_entry_that_another_packet_writes_is_left_alone),
		EDGE(test_fragments_that_no_receiver_accepts_are_dropped),
		EDGE(test_first_fragment_of_a_long_datagram_is_taken),
		EDGE(test_tcp_flags_that_contradict_each_other_are_dropped),
		EDGE(test_sources_that_no_packet_on_a_wire_has_begin_no_flow),
		EDGE(test_what_no_service_wants_is_passed_or_dropped_by_choice),
		EDGE(test_connections_of_one_source_go_to_one_backend),
	};

	if (!plane_permitted())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
