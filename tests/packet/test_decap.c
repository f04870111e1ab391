/* SPDX-License-Identifier: BSD-2-Clause */
/* test_decap.c: sluice-decap's program, a packet in and a packet out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/decap.h"
#include "decap.skel.h"
#include "tests/packet/plane.h"
#include "tests/packet/wire.h"

enum { GUE_PORT = 6080 };

static const uint8_t client4[16] = {[10] = 0xff, 0xff, 10, 1, 2, 3};
static const uint8_t client6[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 1, [15] = 7};
static const uint8_t vip4[16] = {[10] = 0xff, 0xff, 192, 0, 2, 10};
static const uint8_t vip6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 0x10};
static const uint8_t backend4[16] = {[10] = 0xff, 0xff, 198, 51, 100, 21};
static const uint8_t backend6[16] = {0x20, 0x01, 0x0d, 0xb8, 0xaa, [15] = 0x21};
static const uint8_t other4[16] = {[10] = 0xff, 0xff, 198, 51, 100, 22};
static const uint8_t node4[16] = {[10] = 0xff, 0xff, 10, 9, 7, 7};
static const uint8_t node6[16] = {0xfd, 0x09, [15] = 9};
static const uint8_t stranger4[16] = {[10] = 0xff, 0xff, 10, 8, 7, 7};

struct row {
	const char *what;
	bool inner6, outer6, gue;
	int tags;
	uint8_t options, gue_words, inner_tos, outer_tos, expected_tos;
};

static const struct row rows[] = {
	{.what = "4 in 4"},
	{"6 in 6", .inner6 = true, .outer6 = true},
	{"4 in 6", .outer6 = true},
	{"6 in 4", .inner6 = true},
	{"4 in 4, GUE", .gue = true},
	{"6 in 6, GUE", .gue = true, .inner6 = true, .outer6 = true},
	{"4 in 6, GUE", .gue = true, .outer6 = true},
	{"6 in 4, GUE", .gue = true, .inner6 = true},
	{"GUE with options", .gue = true, .gue_words = 31},
	{"802.1Q", .tags = 1},
	{"QinQ", .tags = 2},
	{"QinQ, 6 in 6, GUE", .tags = 2, .gue = true, .inner6 = true, .outer6 = true},
	{"802.1Q, 6 in 4", .tags = 1, .inner6 = true},
	{"outer options", .options = 10},
	{"congestion outside, ECT(0)", .inner_tos = 2, .outer_tos = 3, .expected_tos = 3},
	{"congestion outside, ECT(1)", .inner_tos = 0xb9, .outer_tos = 3, .expected_tos = 0xbb},
	{"congestion outside, inside too", .inner_tos = 3, .outer_tos = 3, .expected_tos = 3},
	{"congestion outside, IPv6", .inner6 = true, .inner_tos = 0xb9, .outer6 = true,
	 .outer_tos = 0xbb, .expected_tos = 0xbb},
	{"outer class is not taken", .inner_tos = 4, .outer_tos = 0xb8, .expected_tos = 4},
};

static struct decap *program(uint16_t port, bool any)
{
	const struct decap_prefix from4 = {.bits = 96 + 16, .addr = {[10] = 0xff, 0xff, 10, 9}},
				  from6 = {.bits = 64, .addr = {0xfd, 0x09}};
	const uint8_t yes = 1;
	struct decap *skel = decap__open();

	assert_non_null(skel);
	skel->rodata->gue_port = port;
	skel->rodata->any_source = any;
	assert_int_equal(decap__load(skel), 0);
	bpf_map_update_elem(bpf_map__fd(skel->maps.own), backend4, &yes, BPF_ANY);
	bpf_map_update_elem(bpf_map__fd(skel->maps.own), backend6, &yes, BPF_ANY);
	bpf_map_update_elem(bpf_map__fd(skel->maps.from), &from4, &yes, BPF_ANY);
	bpf_map_update_elem(bpf_map__fd(skel->maps.from), &from6, &yes, BPF_ANY);
	return skel;
}

static int setup(void **state)
{
	*state = program(GUE_PORT, false);
	return 0;
}

static int teardown(void **state)
{
	decap__destroy(*state);
	return 0;
}

static int run(const struct decap *skel, struct wire *w)
{
	return wire_run(bpf_program__fd(skel->progs.decap), w);
}

static uint64_t counter(const struct decap *skel, uint32_t key)
{
	uint64_t values[CPU_MAX], sum = 0;
	int cpus = libbpf_num_possible_cpus();

	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(skel->maps.counters), &key, values), 0);
	for (int i = 0; i < cpus; i++)
		sum += values[i];
	return sum;
}

static void put_inner(struct wire *w, const struct row *row, uint8_t tos)
{
	const struct wire_ip ip = {.ipv6 = row->inner6,
				   .ttl = 60,
				   .tos = tos,
				   .protocol = IPPROTO_TCP,
				   .src = row->inner6 ? client6 : client4,
				   .dst = row->inner6 ? vip6 : vip4};
	const struct wire_tcp tcp = {.sport = 4000, .dport = 25, .seq = 1, .flags = TCP_ACK};

	wire_ip(w, &ip, 20 + 99);
	wire_tcp(w, &ip, &tcp, 99);
}

static void put_outer(struct wire *w, const struct row *row, const uint8_t *src, const uint8_t *dst)
{
	struct wire_ip ip = {.ipv6 = row->outer6,
			     .df = true,
			     .ttl = 64,
			     .tos = row->outer_tos,
			     .protocol = row->inner6 ? 41 : 4,
			     .options = row->options,
			     .src = src,
			     .dst = dst};
	struct wire inside = {0};
	uint8_t gue[12 + 4 * 31] = {0xc1, 0x23, GUE_PORT >> 8, GUE_PORT & 0xff};
	uint32_t gue_bytes = 12 + row->gue_words * 4U;

	put_inner(&inside, row, row->inner_tos);
	w->len = 0;
	wire_eth(w, frame_node_mac, frame_router_mac, row->tags, row->outer6);
	if (!row->gue) {
		wire_ip(w, &ip, inside.len);
	} else {
		gue[5] = (uint8_t)(gue_bytes + inside.len);
		gue[4] = (uint8_t)((gue_bytes + inside.len) >> 8);
		gue[8] = row->gue_words;
		gue[9] = ip.protocol;
		ip.protocol = IPPROTO_UDP;
		wire_ip(w, &ip, gue_bytes + inside.len);
		wire_add(w, gue, gue_bytes);
	}
	wire_add(w, inside.b, inside.len);
}

static void put_frame(struct wire *w, const struct row *row)
{
	put_outer(w, row, row->outer6 ? node6 : node4, row->outer6 ? backend6 : backend4);
}

static void test_packet_is_taken_out_of_its_tunnel(void **state)
{
	const struct decap *skel = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		uint64_t before = counter(skel, DECAP_TAKEN);
		struct wire w, expected = {0};

		put_frame(&w, row);
		wire_eth(&expected, frame_node_mac, frame_router_mac, row->tags, row->inner6);
		put_inner(&expected, row, row->expected_tos);
		assert_int_equal(run(skel, &w), XDP_PASS);
		wire_assert_equal(row->what, &w, &expected);
		assert_int_equal(counter(skel, DECAP_TAKEN) - before, 1);
	}
}

/* Passed or dropped as it came, and counted, or DECAP_COUNTER_COUNT. */
static void stays(const struct decap *skel, struct wire *w, int verdict, uint32_t key)
{
	uint64_t before = key < DECAP_COUNTER_COUNT ? counter(skel, key) : 0;
	uint64_t taken = counter(skel, DECAP_TAKEN);
	const struct wire was = *w;

	assert_int_equal(run(skel, w), verdict);
	wire_assert_equal("stays", w, &was);
	assert_int_equal(counter(skel, DECAP_TAKEN), taken);
	if (key < DECAP_COUNTER_COUNT)
		assert_int_equal(counter(skel, key) - before, 1);
}

static void test_packet_to_another_address_passes(void **state)
{
	struct wire w;

	put_outer(&w, &rows[0], node4, other4);
	stays(*state, &w, XDP_PASS, DECAP_COUNTER_COUNT);
}

static void test_packet_from_a_stranger_is_dropped(void **state)
{
	struct decap *open;
	struct wire w;

	put_outer(&w, &rows[0], stranger4, backend4);
	stays(*state, &w, XDP_DROP, DECAP_DROP_SOURCE);
	open = program(0, true);
	assert_int_equal(run(open, &w), XDP_PASS);
	assert_int_equal(counter(open, DECAP_TAKEN), 1);
	decap__destroy(open);
}

static void test_packet_without_a_tunnel_passes(void **state)
{
	struct wire w = {0};

	wire_eth(&w, frame_node_mac, frame_router_mac, 0, false);
	put_inner(&w, &rows[0], 0);
	stays(*state, &w, XDP_PASS, DECAP_COUNTER_COUNT);
	put_frame(&w, &rows[4]);
	w.b[37]++; /* another UDP port */
	stays(*state, &w, XDP_PASS, DECAP_COUNTER_COUNT);
}

static void test_gue_is_left_alone_unless_asked_for(void **state)
{
	struct decap *skel = program(0, true);
	struct wire w;

	(void)state;
	put_frame(&w, &rows[4]);
	stays(skel, &w, XDP_PASS, DECAP_COUNTER_COUNT);
	decap__destroy(skel);
}

static void test_nonsense_is_dropped(void **state)
{
	static const struct {
		int row;
		uint32_t at;
		uint8_t value;
	} edits[] = {
		{0, 34, 0x65}, /* inner version 6 behind protocol 4 */
		{0, 34, 0x44}, /* inner ihl 4 */
		{0, 36, 0x08}, /* inner longer than the outer one holds */
		{3, 34, 0x40}, /* inner version 4 behind protocol 41 */
		{3, 38, 0x08}, /* inner longer */
		{4, 42, 0x40}, /* GUE variant 1 */
		{4, 42, 0x20}, /* GUE control */
		{4, 43, 6},    /* GUE with TCP in it */
		{4, 42, 0x1f}, /* GUE options that are not there */
		{0, 17, 10},   /* outer length below its header */
	};

	for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
		struct wire w;

		put_frame(&w, &rows[edits[i].row]);
		w.b[edits[i].at] = edits[i].value;
		if (edits[i].at == 17)
			w.b[16] = 0;
		stays(*state, &w, XDP_DROP, DECAP_DROP_BAD);
	}
}

static void test_congestion_that_cannot_be_told_drops(void **state)
{
	static const struct row lost[] = {{"4", .outer_tos = 3},
					  {"6", .inner6 = true, .outer_tos = 3}};
	struct wire w;

	for (int i = 0; i < 2; i++) {
		put_frame(&w, &lost[i]);
		stays(*state, &w, XDP_DROP, DECAP_DROP_ECN);
	}
}

static void test_fragment_of_an_outer_packet_passes(void **state)
{
	struct wire w;

	put_frame(&w, &rows[0]);
	w.b[20] = 0x20;
	stays(*state, &w, XDP_PASS, DECAP_PASS_FRAGMENT);
}

static void test_no_prefix_of_a_frame_is_taken_for_more(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct wire whole, w;

		put_frame(&whole, &rows[i]);
		for (uint32_t n = 14; n < 100; n++) {
			w = whole;
			w.len = n;
			run(*state, &w); /* the verifier's bounds hold: nothing is read behind */
			assert_true(w.len <= n);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packet_is_taken_out_of_its_tunnel),
		cmocka_unit_test(test_packet_to_another_address_passes),
		cmocka_unit_test(test_packet_from_a_stranger_is_dropped),
		cmocka_unit_test(test_packet_without_a_tunnel_passes),
		cmocka_unit_test(test_gue_is_left_alone_unless_asked_for),
		cmocka_unit_test(test_nonsense_is_dropped),
		cmocka_unit_test(test_congestion_that_cannot_be_told_drops),
		cmocka_unit_test(test_fragment_of_an_outer_packet_passes),
		cmocka_unit_test(test_no_prefix_of_a_frame_is_taken_for_more),
	};

	if (!plane_permitted())
		return 77;
	return cmocka_run_group_tests(tests, setup, teardown);
}
