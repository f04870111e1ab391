/* SPDX-License-Identifier: BSD-2-Clause */
/* test_reply.c: the node's own answers: RST and ICMP port unreachable, byte for byte, to whom there
 * is none, and how many there are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "balancer.skel.h"
#include "tests/packet/plane.h"
#include "tests/packet/wire.h"

enum { SLOTS = 251, OWNER = 1, PREVIOUS = 2, SERVICE = 3, NOW_S = 1000 };

static const uint8_t client4[16] = {[10] = 0xff, 0xff, 10, 1, 2, 3};
static const uint8_t client6[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 1, [15] = 7};
static const uint8_t vip4[16] = {[10] = 0xff, 0xff, 192, 0, 2, 10};
static const uint8_t vip6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 0x10};

static void vip_policy(struct plane *p, uint8_t policy)
{
	const struct service record = {.mode = policy};
	struct service_key key = {0};

	memcpy(key.addr, vip4, 16);
	plane_record_set(p, &key, &record);
	memcpy(key.addr, vip6, 16);
	plane_record_set(p, &key, &record);
}

static void table_fill(struct plane *p, uint16_t owner, uint16_t previous)
{
	uint16_t owners[SLOTS], before[SLOTS];

	for (int i = 0; i < SLOTS; i++) {
		owners[i] = owner;
		before[i] = previous;
	}
	plane_table_set(p, 0, owners, before);
}

/* Port 25 is served, by a service that resets flows of backends that are gone. */
static int setup(void **state)
{
	const struct service service = {.id = SERVICE, .mode = FORWARD_DSR, .flags = SERVICE_RESET};
	struct plane *p = calloc(1, sizeof(*p));
	const struct plane_sizes sizes = {
		.slots = SLOTS, .flows = 64, .embryos = 1024, .features = FEATURE_VIPS};
	struct service_key key = {.port = htons(25), .protocol = IPPROTO_TCP};

	assert_int_equal(plane_open(&sizes, p), 0);
	memcpy(key.addr, vip4, 16);
	plane_record_set(p, &key, &service);
	vip_policy(p, VIP_REJECT);
	plane_backend_set(p, OWNER, 1);
	table_fill(p, OWNER, BACKEND_NONE);
	plane_clock_set(p, NOW_S);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	plane_close(*state);
	free(*state);
	return 0;
}

static struct wire_ip question(bool ipv6, uint8_t protocol)
{
	return (struct wire_ip){.ipv6 = ipv6,
				.ttl = 50,
				.tos = 8,
				.protocol = protocol,
				.src = ipv6 ? client6 : client4,
				.dst = ipv6 ? vip6 : vip4};
}

static struct wire_ip answer(bool ipv6, uint8_t protocol)
{
	return (struct wire_ip){.ipv6 = ipv6,
				.df = true,
				.ttl = 64,
				.protocol = protocol,
				.src = ipv6 ? vip6 : vip4,
				.dst = ipv6 ? client6 : client4};
}

/* ---- RST ---- */

struct reset_row {
	const char *what;
	bool ipv6;
	int tags;
	uint8_t ip_options, tcp_options;
	uint32_t payload, seq, ack;
	uint8_t flags;
	uint32_t rst_seq, rst_ack;
	uint8_t rst_flags;
};

#define RST_ACK (TCP_RST | TCP_ACK)

static const struct reset_row resets[] = {
	{"SYN", .seq = 5, .flags = TCP_SYN, .rst_ack = 6, .rst_flags = RST_ACK},
	{"SYN at the numbers' end", .seq = 0xffffffff, .flags = TCP_SYN, .rst_flags = RST_ACK},
	{"SYN with data", .seq = 5, .payload = 10, .flags = TCP_SYN, .rst_ack = 16,
	 .rst_flags = RST_ACK},
	{"SYN with options", .seq = 5, .tcp_options = 40, .flags = TCP_SYN, .rst_ack = 6,
	 .rst_flags = RST_ACK},
	{"ACK", .seq = 5, .ack = 77, .flags = TCP_ACK, .rst_seq = 77, .rst_flags = TCP_RST},
	{"data", .seq = 5, .ack = 0xfffffffe, .payload = 1400, .flags = TCP_ACK | TCP_PSH,
	 .rst_seq = 0xfffffffe, .rst_flags = TCP_RST},
	{"SYN-ACK", .seq = 5, .ack = 9, .flags = TCP_SYN | TCP_ACK, .rst_seq = 9,
	 .rst_flags = TCP_RST},
	{"FIN without ACK", .seq = 5, .payload = 3, .flags = TCP_FIN, .rst_ack = 9,
	 .rst_flags = RST_ACK},
	{"IPv4 options", .ip_options = 10, .seq = 5, .payload = 3, .flags = TCP_SYN, .rst_ack = 9,
	 .rst_flags = RST_ACK},
	{"802.1Q", .tags = 1, .seq = 5, .flags = TCP_SYN, .rst_ack = 6, .rst_flags = RST_ACK},
	{"QinQ", .tags = 2, .seq = 5, .flags = TCP_SYN, .rst_ack = 6, .rst_flags = RST_ACK},
	{"IPv6", .ipv6 = true, .seq = 5, .flags = TCP_SYN, .rst_ack = 6, .rst_flags = RST_ACK},
	{"IPv6, QinQ, data", .ipv6 = true, .tags = 2, .ack = 77, .payload = 1400, .flags = TCP_ACK,
	 .rst_seq = 77, .rst_flags = TCP_RST},
};

static void put_segment(const struct reset_row *row, uint16_t port, struct wire *w)
{
	struct wire_ip ip = question(row->ipv6, IPPROTO_TCP);
	struct wire_tcp tcp = {.sport = 40000,
			       .dport = port,
			       .window = 500,
			       .seq = row->seq,
			       .ack = row->ack,
			       .flags = row->flags,
			       .option_bytes = row->tcp_options};

	memset(tcp.options, 1, sizeof(tcp.options));
	ip.options = row->ip_options;
	w->len = 0;
	wire_eth(w, frame_node_mac, frame_router_mac, row->tags, row->ipv6);
	wire_ip(w, &ip, 20U + row->tcp_options + row->payload);
	wire_tcp(w, &ip, &tcp, row->payload);
}

static void put_reset(const struct reset_row *row, uint16_t port, uint32_t came, struct wire *w)
{
	const struct wire_ip ip = answer(row->ipv6, IPPROTO_TCP);
	const struct wire_tcp tcp = {.sport = port,
				     .dport = 40000,
				     .seq = row->rst_seq,
				     .ack = row->rst_ack,
				     .flags = row->rst_flags};
	const uint8_t zeroes[6] = {0};

	w->len = 0;
	wire_eth(w, frame_router_mac, frame_node_mac, row->tags, row->ipv6);
	wire_ip(w, &ip, 20);
	wire_tcp(w, &ip, &tcp, 0);
	if (w->len < 60 && came >= 60)
		wire_add(w, zeroes, 60 - w->len);
}

static void resets_it(struct plane *p, const struct reset_row *row, uint16_t port)
{
	uint64_t before = plane_reason(p, REASON_REPLY_RESET);
	struct wire w, expected;

	put_segment(row, port, &w);
	put_reset(row, port, w.len, &expected);
	assert_int_equal(wire_run(p->fd, &w), XDP_TX);
	wire_assert_equal(row->what, &w, &expected);
	assert_int_equal(plane_reason(p, REASON_REPLY_RESET) - before, 1);
}

static void test_segment_to_nobody_is_reset_where_that_is_wanted(void **state)
{
	struct plane *p = *state;

	for (size_t i = 0; i < sizeof(resets) / sizeof(resets[0]); i++)
		resets_it(p, &resets[i], 26);
}

/* Behind destination options and the header of a packet that is its only fragment. */
static void test_segment_behind_extension_headers_is_reset(void **state)
{
	static const uint8_t options[8] = {44, 0, 1, 4}, fragment[8] = {IPPROTO_TCP, 0, 0, 0, 1};
	const struct reset_row row = {"options", .ipv6 = true, .rst_ack = 6 + 50,
				      .rst_flags = RST_ACK};
	const struct wire_tcp tcp = {.sport = 40000, .dport = 26, .seq = 5, .flags = TCP_SYN};
	struct wire_ip ip = question(true, IPPROTO_TCP);
	struct wire w = {0}, transport = {0}, expected;

	wire_tcp(&transport, &ip, &tcp, 50);
	ip.protocol = 60;
	wire_eth(&w, frame_node_mac, frame_router_mac, 0, true);
	wire_ip(&w, &ip, 16 + transport.len);
	wire_add(&w, options, sizeof(options));
	wire_add(&w, fragment, sizeof(fragment));
	wire_add(&w, transport.b, transport.len);
	put_reset(&row, 26, w.len, &expected);
	assert_int_equal(wire_run(((struct plane *)*state)->fd, &w), XDP_TX);
	wire_assert_equal(row.what, &w, &expected);
}

static void flow_put(struct plane *p, uint16_t backend)
{
	struct flow_key key = {.sport = htons(40000), .service = SERVICE};
	struct flow f = {.backend = backend, .seen = FLOW_EPOCH(NOW_S)};

	memcpy(key.src, client4, 16);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(p->skel->maps.flows), &key, &f, BPF_ANY),
			 0);
}

static void test_flow_whose_backend_is_gone_is_reset(void **state)
{
	struct plane *p = *state;
	const struct reset_row row = {"its data",	   .seq = 5,	     .ack = 77,
				      .payload = 30,	   .flags = TCP_ACK, .rst_seq = 77,
				      .rst_flags = TCP_RST};

	table_fill(p, OWNER | SLOT_TRANSITION, PREVIOUS);
	flow_put(p, PREVIOUS); /* which is not alive */
	resets_it(p, &row, 25);
}

/* ---- ICMP ---- */

static void unreachable(struct plane *p, bool ipv6, int tags, uint32_t payload)
{
	struct wire_ip ip = question(ipv6, IPPROTO_UDP);
	const struct wire_ip back = answer(ipv6, ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	uint32_t ip_at = 14 + 4 * (uint32_t)tags, quoted = (ipv6 ? 48 : 28) + payload;
	uint64_t before = plane_reason(p, REASON_REPLY_UNREACHABLE);
	struct wire w = {0}, expected = {0};

	quoted = quoted > 256 ? 256 : quoted / 4 * 4;
	wire_eth(&w, frame_node_mac, frame_router_mac, tags, ipv6);
	wire_ip(&w, &ip, 8 + payload);
	wire_udp(&w, &ip, 40000, 53, payload);
	wire_eth(&expected, frame_router_mac, frame_node_mac, tags, ipv6);
	wire_ip(&expected, &back, 8 + quoted);
	wire_icmp(&expected, &back, ipv6 ? 1 : 3, ipv6 ? 4 : 3, 0, w.b + ip_at, quoted);
	assert_int_equal(wire_run(p->fd, &w), XDP_TX);
	wire_assert_equal("port unreachable", &w, &expected);
	assert_int_equal(plane_reason(p, REASON_REPLY_UNREACHABLE) - before, 1);
}

static void test_udp_to_nobody_is_told_where_that_is_wanted(void **state)
{
	struct plane *p = *state;

	for (int tags = 0; tags <= 2; tags++) {
		for (uint32_t payload = 0; payload < 1200; payload += 1 + payload / 2) {
			unreachable(p, false, tags, payload);
			unreachable(p, true, tags, payload);
		}
	}
}

/* ---- to whom there is no answer ---- */

static void drops(struct plane *p, struct wire *w, enum reason reason)
{
	uint64_t before = plane_reason(p, reason);

	assert_int_equal(wire_run(p->fd, w), XDP_DROP);
	assert_int_equal(plane_reason(p, reason) - before, 1);
}

static void test_source_that_is_no_host_is_not_answered(void **state)
{
	static const uint8_t bad[][16] = {
		{[10] = 0xff, 0xff, 0, 1, 2, 3},
		{[10] = 0xff, 0xff, 127, 0, 0, 1},
		{[10] = 0xff, 0xff, 224, 0, 0, 1},
		{[10] = 0xff, 0xff, 240, 0, 0, 1},
		{[10] = 0xff, 0xff, 255, 255, 255, 255},
		{[10] = 0xff, 0xff, 192, 0, 2, 10}, /* the VIP itself: "land" */
		{0x20, 0x01, 0x0d, 0xb8, [15] = 0x10},
		{0},
		{[15] = 1},
		{0xff, 2, [15] = 1},
	};
	struct plane *p = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct wire_ip ip = question(bad[i][10] != 0xff, IPPROTO_UDP);
		struct wire w = {0};

		ip.src = bad[i];
		wire_eth(&w, frame_node_mac, frame_router_mac, 0, ip.ipv6);
		wire_ip(&w, &ip, 8);
		wire_udp(&w, &ip, 40000, 53, 0);
		drops(p, &w, REASON_DROP_BAD_ADDRESS);
	}
}

static void test_reset_is_not_answered(void **state)
{
	const struct reset_row row = {"RST", .seq = 5, .flags = TCP_RST};
	struct wire w;

	put_segment(&row, 26, &w);
	drops(*state, &w, REASON_DROP_NOT_SERVED);
}

static void test_icmp_error_is_not_answered(void **state)
{
	struct wire_ip ip = question(false, IPPROTO_ICMP), back = answer(false, IPPROTO_UDP);
	struct wire w = {0}, quote = {0};

	wire_ip(&quote, &back, 8);
	wire_udp(&quote, &back, 53, 40000, 0);
	wire_eth(&w, frame_node_mac, frame_router_mac, 0, false);
	wire_ip(&w, &ip, 8 + quote.len);
	wire_icmp(&w, &ip, 3, 3, 0, quote.b, quote.len);
	drops(*state, &w, REASON_DROP_NOT_SERVED);
}

static void test_policy_drop_answers_nothing_and_pass_leaves_it_to_the_kernel(void **state)
{
	const struct reset_row *row = &resets[0];
	struct wire w;

	vip_policy(*state, VIP_DROP);
	put_segment(row, 26, &w);
	drops(*state, &w, REASON_DROP_NOT_SERVED);
	vip_policy(*state, VIP_PASS);
	put_segment(row, 26, &w);
	assert_int_equal(wire_run(((struct plane *)*state)->fd, &w), XDP_PASS);
}

/* All of one CPU's: the test is tied to one by BPF_PROG_TEST_RUN's caller. */
static void test_answers_are_limited_in_each_second(void **state)
{
	struct plane *p = *state;
	uint32_t answered = 0, sent = p->cpus * 10000 + 1;
	uint64_t before = plane_reason(p, REASON_DROP_REPLY_LIMIT), limited;
	struct wire w;

	plane_clock_set(p, NOW_S + 1);
	for (uint32_t i = 0; i < sent; i++) {
		put_segment(&resets[0], 26, &w);
		answered += wire_run(p->fd, &w) == XDP_TX;
	}
	limited = plane_reason(p, REASON_DROP_REPLY_LIMIT) - before;
	assert_true(limited >= 1);
	assert_true(answered >= 10000);
	assert_int_equal(answered + limited, sent);
	plane_clock_set(p, NOW_S + 2);
	resets_it(p, &resets[0], 26);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_segment_to_nobody_is_reset_where_that_is_wanted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_segment_behind_extension_headers_is_reset,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_flow_whose_backend_is_gone_is_reset, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_udp_to_nobody_is_told_where_that_is_wanted,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_source_that_is_no_host_is_not_answered, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_reset_is_not_answered, setup, teardown),
		cmocka_unit_test_setup_teardown(test_icmp_error_is_not_answered, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_policy_drop_answers_nothing_and_pass_leaves_it_to_the_kernel, setup,
			teardown),
		cmocka_unit_test_setup_teardown(test_answers_are_limited_in_each_second, setup,
						teardown),
	};

	if (!plane_permitted())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
