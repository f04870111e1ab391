/* SPDX-License-Identifier: BSD-2-Clause */
/* test_nat.c: mode nat: packet in, packet out. The VIP 192.0.2.10:25 (2001:db8::10) is served by
 * 198.51.100.1:2525 (2001:db8:2::1); each checksum is computed anew by datagram.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "tests/packet/nat_site.h"

static const struct datagram from4 = {
	.src = "10.0.0.7",
	.dst = "192.0.2.10",
	.protocol = IPPROTO_TCP,
	.sport = 40000,
	.dport = 25,
	.seq = 1000,
	.ack = 2000,
	.flags = TCP_ACK | TCP_PSH,
	.window = 500,
	.payload_bytes = 7,
	.payload = "EHLO a\n",
};

static const struct datagram back4 = {
	.src = "198.51.100.1",
	.dst = "10.0.0.7",
	.protocol = IPPROTO_TCP,
	.sport = 2525,
	.dport = 40000,
	.seq = 2000,
	.ack = 1007,
	.flags = TCP_ACK | TCP_PSH,
	.payload_bytes = 5,
	.payload = "250 a",
};

static int setup(void **state)
{
	struct plane *p = calloc(1, sizeof(*p));

	site_open(p, FORWARD_NAT, 0);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	plane_close(*state);
	free(*state);
	return 0;
}

/* What comes out is what went in, but for these. */
static void assert_translated(struct plane *p, const struct datagram *in, int verdict,
			      const char *src, uint16_t sport, const char *dst, uint16_t dport,
			      uint8_t ttl)
{
	struct datagram want = *in, out;

	assert_int_equal(datagram_run(p, in, &out), verdict);
	strcpy(want.src, src);
	strcpy(want.dst, dst);
	want.sport = sport;
	want.dport = dport;
	want.ttl = ttl;
	assert_string_equal(out.src, want.src);
	assert_string_equal(out.dst, want.dst);
	memset(want.src, 0, sizeof(want.src));
	memset(want.dst, 0, sizeof(want.dst));
	memset(out.src, 0, sizeof(out.src));
	memset(out.dst, 0, sizeof(out.dst));
	assert_memory_equal(&out, &want, sizeof(want));
}

static void in_is_right(struct plane *p, const struct datagram *w)
{
	bool v6 = strchr(w->src, ':');

	assert_translated(p, w, XDP_TX, w->src, w->sport, v6 ? "2001:db8:2::1" : "198.51.100.1",
			  w->offset ? 0 : 2525, 63);
}

static void back_is_right(struct plane *p, const struct datagram *w)
{
	bool v6 = strchr(w->src, ':');

	assert_translated(p, w, XDP_REDIRECT, v6 ? "2001:db8::10" : "192.0.2.10",
			  w->offset ? 0 : 25, w->dst, w->dport, 63);
}

static void test_client_packet_gets_the_backends_address_and_port(void **state)
{
	struct datagram w6 = site_six(from4), u4 = site_udp(from4), u6 = site_six(site_udp(from4));

	in_is_right(*state, &from4);
	in_is_right(*state, &w6);
	in_is_right(*state, &u4);
	in_is_right(*state, &u6);
}

static void test_answer_gets_the_vips_address_and_port(void **state)
{
	struct datagram w6 = site_six(back4), u4 = site_udp(back4), u6 = site_six(site_udp(back4));
	struct plane *p = *state;

	back_is_right(p, &back4);
	back_is_right(p, &w6);
	back_is_right(p, &u4);
	back_is_right(p, &u6);
	assert_int_equal(plane_reason(p, REASON_RETURNED), 4);
}

static void test_answer_leaves_by_the_route_to_the_client(void **state)
{
	struct frame frame;

	datagram_build(&back4, &frame);
	assert_int_equal(plane_run(((struct plane *)*state)->fd, &frame, NULL), XDP_REDIRECT);
	assert_memory_equal(frame.bytes, datagram_client_mac, 6);
}

static void test_packet_goes_to_the_backends_mac(void **state)
{
	struct plane *p = *state;
	struct frame frame;

	datagram_build(&from4, &frame);
	assert_int_equal(plane_run(p->fd, &frame, NULL), XDP_TX);
	assert_memory_equal(frame.bytes, p->backends[SITE_FOUR].l2_dst, 12);
}

static void test_every_payload_length_keeps_its_checksum(void **state)
{
	struct datagram w = from4;

	memset(w.payload, 0, sizeof(w.payload));
	for (uint16_t i = 0; i < 60; i++) {
		w.payload_bytes = (uint16_t)(i + 1);
		w.payload[i] = (uint8_t)(i * 37 + 11);
		w.sport = (uint16_t)(i * 1009);
		in_is_right(*state, &w);
	}
}

static void test_udp_without_checksum_stays_without(void **state)
{
	struct datagram w = site_udp(from4);

	w.no_checksum = true;
	in_is_right(*state, &w);
}

static void test_service_without_another_port_keeps_the_port(void **state)
{
	struct plane *p = *state;

	p->backends[SITE_FOUR].port = 0;
	assert_translated(p, &from4, XDP_TX, "10.0.0.7", 40000, "198.51.100.1", 25, 63);
}

static void test_time_to_live_ends(void **state)
{
	struct datagram w = from4, out;
	struct plane *p = *state;

	w.ttl = 1;
	assert_int_equal(datagram_run(p, &w, &out), XDP_TX);
	assert_string_equal(out.dst, SITE_CLIENT4);
	assert_int_equal(out.type, 11);
	w = site_six(w);
	assert_int_equal(datagram_run(p, &w, &out), XDP_TX);
	assert_string_equal(out.dst, SITE_CLIENT6);
	assert_int_equal(out.type, 3);
	assert_int_equal(plane_reason(p, REASON_REPLY_TTL), 2);
	w.ttl = 2;
	assert_translated(p, &w, XDP_TX, w.src, w.sport, "2001:db8:2::1", 2525, 1);
}

/* The kernel answers it: it must see the packet as it came. */
static void test_answer_without_time_left_goes_up_untouched(void **state)
{
	struct datagram w = back4;

	w.ttl = 1;
	assert_translated(*state, &w, XDP_PASS, w.src, w.sport, w.dst, w.dport, 1);
}

static void test_answer_to_unresolved_client_goes_up_translated(void **state)
{
	struct datagram w = back4;

	strcpy(w.dst, "10.0.0.8");
	assert_translated(*state, &w, XDP_PASS, "192.0.2.10", 25, w.dst, w.dport, 64);
}

static void test_answer_to_the_node_itself_goes_up_untouched(void **state)
{
	struct datagram w = back4;

	strcpy(w.dst, "192.0.2.1");
	assert_translated(*state, &w, XDP_PASS, w.src, w.sport, w.dst, w.dport, 64);
}

/* The kernel then looks no route up, and the packet may well be for the node. */
static void test_answer_to_the_node_itself_goes_up_without_forwarding(void **state)
{
	struct datagram w = back4;

	strcpy(w.dst, "192.0.2.1");
	datagram_forwarding(false);
	assert_translated(*state, &w, XDP_PASS, w.src, w.sport, w.dst, w.dport, 64);
	datagram_forwarding(true);
}

static void test_other_packets_of_a_backend_go_up_untouched(void **state)
{
	struct datagram w = back4;

	w.sport = 2526;
	assert_translated(*state, &w, XDP_PASS, w.src, w.sport, w.dst, w.dport, 64);
	assert_int_equal(plane_reason(*state, REASON_PASS_NO_SERVICE), 1);
}

static void test_dead_backend_gets_nothing(void **state)
{
	struct plane *p = *state;
	struct datagram out;

	p->backends[SITE_FOUR].flags = 0;
	assert_int_equal(datagram_run(p, &from4, &out), XDP_DROP);
	assert_int_equal(plane_reason(p, REASON_DROP_NO_BACKEND), 1);
}

/* ---- ICMP ---- */

/* An error from a router to @to, about @about. */
static struct datagram error_about(const struct datagram *about, const char *to, uint16_t bytes)
{
	bool v6 = strchr(about->src, ':');
	struct datagram w = {.protocol = v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP,
			     .type = v6 ? 2 : 3,
			     .code = v6 ? 0 : 4};

	strcpy(w.src, v6 ? "2001:db8:9::9" : "203.0.113.9");
	strcpy(w.dst, to);
	datagram_quote(about, bytes, &w);
	return w;
}

/* The packet that the client got of @back, or that the backend got of @from. */
static struct datagram as_sent(struct datagram w)
{
	bool v6 = strchr(w.src, ':');

	if (w.sport == 2525) {
		strcpy(w.src, v6 ? "2001:db8::10" : "192.0.2.10");
		w.sport = 25;
	} else {
		strcpy(w.dst, v6 ? "2001:db8:2::1" : "198.51.100.1");
		w.dport = 2525;
	}
	return w;
}

static void error_reaches(struct plane *p, const struct datagram *error, int verdict,
			  const struct datagram *about)
{
	struct datagram out, quoted;

	assert_int_equal(datagram_run(p, error, &out), verdict);
	assert_string_equal(out.src, error->src);
	assert_string_equal(out.dst, about->src);
	datagram_read_quoted(&out, &quoted);
	assert_string_equal(quoted.src, about->src);
	assert_string_equal(quoted.dst, about->dst);
	assert_int_equal(quoted.sport, about->sport);
	assert_int_equal(quoted.dport, about->dport);
}

static void test_icmp_error_reaches_the_backend_about_its_own_packet(void **state)
{
	struct datagram packets[] = {back4, site_six(back4), site_udp(back4),
				     site_six(site_udp(back4))};

	for (int i = 0; i < 4; i++) {
		struct datagram sent = as_sent(packets[i]);
		uint16_t ip = i % 2 ? 40 : 20;
		uint16_t whole = (uint16_t)(ip + (i < 2 ? 20 : 8) + sent.payload_bytes);
		struct datagram e = error_about(&sent, sent.src, whole);

		error_reaches(*state, &e, XDP_TX, &packets[i]);
		e = error_about(&sent, sent.src, (uint16_t)(ip + 8));
		error_reaches(*state, &e, XDP_TX, &packets[i]);
	}
}

/* Behind a quoted IPv6 header of @error comes @x, or is taken away again. */
static void quoted_insert(struct datagram *error, const uint8_t x[8])
{
	uint8_t *ip = error->payload;

	memmove(ip + 48, ip + 40, error->payload_bytes - 40U);
	memcpy(ip + 40, x, 8);
	ip[40] = ip[6];
	ip[6] = 44;
	ip[5] += 8;
	error->payload_bytes += 8;
}

static void quoted_remove(struct datagram *error)
{
	uint8_t *ip = error->payload;

	ip[6] = ip[40];
	ip[5] -= 8;
	error->payload_bytes -= 8;
	memmove(ip + 40, ip + 48, error->payload_bytes - 40U);
}

static void test_icmp_error_about_a_first_fragment_of_ipv6_is_translated(void **state)
{
	static const uint8_t fragment[8] = {0, 0, 0, 1, 0, 0, 0, 9};
	struct datagram packets[] = {site_six(back4), site_six(site_udp(back4))};

	for (int i = 0; i < 2; i++) {
		struct datagram sent = as_sent(packets[i]), out, quoted;
		uint16_t whole = (uint16_t)(40 + (i ? 8 : 20) + sent.payload_bytes);
		struct datagram e = error_about(&sent, sent.src, whole);

		quoted_insert(&e, fragment);
		assert_int_equal(datagram_run(*state, &e, &out), XDP_TX);
		assert_string_equal(out.dst, packets[i].src);
		assert_memory_equal(out.payload + 41, fragment + 1, 7);
		quoted_remove(&out);
		datagram_read_quoted(&out, &quoted);
		assert_string_equal(quoted.src, packets[i].src);
		assert_int_equal(quoted.sport, packets[i].sport);
		assert_int_equal(quoted.dport, packets[i].dport);
	}
}

static void test_icmp_error_of_the_backends_side_reaches_the_client(void **state)
{
	struct datagram packets[] = {from4, site_six(from4), site_udp(from4),
				     site_six(site_udp(from4))};

	for (int i = 0; i < 4; i++) {
		struct datagram sent = as_sent(packets[i]);
		uint16_t ip = i % 2 ? 40 : 20;
		uint16_t whole = (uint16_t)(ip + (i < 2 ? 20 : 8) + sent.payload_bytes);
		struct datagram e = error_about(&sent, sent.src, whole);

		error_reaches(*state, &e, XDP_REDIRECT, &packets[i]);
	}
}

static void test_icmp_error_of_the_backend_itself_comes_from_the_vip(void **state)
{
	struct datagram sent = as_sent(site_udp(from4)), sent6 = as_sent(site_six(site_udp(from4))),
			e, out;

	e = error_about(&sent, sent.src, 28);
	strcpy(e.src, "198.51.100.1");
	assert_int_equal(datagram_run(*state, &e, &out), XDP_REDIRECT);
	assert_string_equal(out.src, "192.0.2.10");
	e = error_about(&sent6, sent6.src, 48);
	strcpy(e.src, "2001:db8:2::1");
	assert_int_equal(datagram_run(*state, &e, &out), XDP_REDIRECT);
	assert_string_equal(out.src, "2001:db8::10");
}

/* ---- fragments ---- */

/* Checksums of fragments cover what the others hold: the first one is not read by datagram_read().
 */
static void first_sent(struct plane *p, struct datagram w, const char *addr, uint32_t addr_at)
{
	struct frame frame;
	uint8_t want[16];

	w.more = true;
	datagram_build(&w, &frame);
	assert_in_range(plane_run(p->fd, &frame, NULL), XDP_TX, XDP_REDIRECT);
	assert_int_equal(inet_pton(strchr(addr, ':') ? AF_INET6 : AF_INET, addr, want), 1);
	assert_memory_equal(frame.bytes + addr_at, want, strchr(addr, ':') ? 16 : 4);
}

static struct datagram later_of(struct datagram w)
{
	w.offset = 64;
	w.sport = w.dport = 0;
	w.seq = w.ack = 0;
	w.flags = 0;
	w.window = 0;
	return w;
}

static struct datagram whole_words(struct datagram w)
{
	w.payload_bytes = 16;
	w.id = 77;
	return w;
}

static void test_fragments_are_translated_in_both_directions(void **state)
{
	struct datagram in4 = whole_words(site_udp(from4)),
			in6 = whole_words(site_six(site_udp(from4)));
	struct datagram out4 = whole_words(site_udp(back4)),
			out6 = whole_words(site_six(site_udp(back4)));
	struct datagram later, out;
	struct plane *p = *state;

	later = later_of(in4);
	assert_int_equal(datagram_run(p, &later, &out), XDP_PASS); /* its first one never came */
	first_sent(p, in4, "198.51.100.1", 30);
	in_is_right(p, &later);
	first_sent(p, in6, "2001:db8:2::1", 38);
	later = later_of(in6);
	later.id = 0; /* not read back */
	first_sent(p, out4, "192.0.2.10", 26);
	later = later_of(out4);
	back_is_right(p, &later);
	first_sent(p, out6, "2001:db8::10", 22);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
		TEST(client_packet_gets_the_backends_address_and_port),
		TEST(answer_gets_the_vips_address_and_port),
		TEST(answer_leaves_by_the_route_to_the_client),
		TEST(packet_goes_to_the_backends_mac),
		TEST(every_payload_length_keeps_its_checksum),
		TEST(udp_without_checksum_stays_without),
		TEST(service_without_another_port_keeps_the_port),
		TEST(time_to_live_ends),
		TEST(answer_without_time_left_goes_up_untouched),
		TEST(answer_to_unresolved_client_goes_up_translated),
		TEST(answer_to_the_node_itself_goes_up_untouched),
		TEST(answer_to_the_node_itself_goes_up_without_forwarding),
		TEST(other_packets_of_a_backend_go_up_untouched),
		TEST(dead_backend_gets_nothing),
		TEST(icmp_error_reaches_the_backend_about_its_own_packet),
		TEST(icmp_error_about_a_first_fragment_of_ipv6_is_translated),
		TEST(icmp_error_of_the_backends_side_reaches_the_client),
		TEST(icmp_error_of_the_backend_itself_comes_from_the_vip),
		TEST(fragments_are_translated_in_both_directions),
	};

	if (!plane_permitted())
		return 77;
	datagram_network();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
