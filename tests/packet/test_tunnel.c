/* SPDX-License-Identifier: BSD-2-Clause */
/* test_tunnel.c: mode tunnel, a packet in and a packet out: every combination of families, IPIP and
 * GUE, byte for byte, and what is answered instead. What is expected is built by wire.c.
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

#include "bpf/hash.h"
#include "tests/packet/plane.h"
#include "tests/packet/wire.h"

enum { SLOTS = 251, OWNER = 1, GUE_PORT = 6080 };

static const uint8_t client4[16] = {[10] = 0xff, 0xff, 10, 1, 2, 3};
static const uint8_t client6[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 1, [15] = 7};
static const uint8_t vip4[16] = {[10] = 0xff, 0xff, 192, 0, 2, 10};
static const uint8_t vip6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 0x10};
static const uint8_t backend4[16] = {[10] = 0xff, 0xff, 198, 51, 100, 21};
static const uint8_t backend6[16] = {0x20, 0x01, 0x0d, 0xb8, 0xaa, [15] = 0x21};
static const uint8_t source4[16] = {[10] = 0xff, 0xff, 10, 9, 0, 0};
static const uint8_t source6[16] = {0xfd, 0x09};

struct row {
	const char *what;
	bool inner6, outer6, gue;
	int tags;
	uint8_t options, bits, tos;
	bool udp;
};

static const struct row rows[] = {
	{"4 in 4", .bits = 16},
	{"6 in 6", .inner6 = true, .outer6 = true, .bits = 64},
	{"4 in 6", .outer6 = true, .bits = 64},
	{"6 in 4", .inner6 = true, .bits = 16},
	{"4 in 4, GUE", .gue = true, .bits = 16},
	{"6 in 6, GUE", .gue = true, .inner6 = true, .outer6 = true, .bits = 64},
	{"4 in 6, GUE", .gue = true, .outer6 = true, .bits = 64},
	{"6 in 4, GUE", .gue = true, .inner6 = true, .bits = 16},
	{"the node's own address as source", .bits = 0},
	{"a prefix of 20 bits of host", .outer6 = true, .bits = 20},
	{"802.1Q", .tags = 1, .bits = 8},
	{"QinQ", .tags = 2, .bits = 8},
	{"QinQ, 6 in 6, GUE", .tags = 2, .gue = true, .inner6 = true, .outer6 = true, .bits = 8},
	{"802.1Q, 6 in 4", .tags = 1, .inner6 = true},
	{"802.1Q, 4 in 6", .tags = 1, .outer6 = true},
	{"IPv4 options", .options = 10, .bits = 8},
	{"UDP", .udp = true, .gue = true},
	{"TOS and ECN, 4 in 4", .tos = 0xb9},
	{"TOS and ECN, 6 in 4", .tos = 0xb9, .inner6 = true},
	{"TOS and ECN, 4 in 6", .tos = 0x03, .outer6 = true},
};

static int setup(void **state)
{
	struct plane *p = calloc(1, sizeof(*p));
	const struct plane_sizes sizes = {.slots = SLOTS, .flows = 64, .embryos = 1024};
	uint16_t owners[SLOTS], before[SLOTS];

	assert_int_equal(plane_open(&sizes, p), 0);
	for (int i = 0; i < SLOTS; i++) {
		owners[i] = OWNER;
		before[i] = BACKEND_NONE;
	}
	plane_table_set(p, 0, owners, before);
	plane_clock_set(p, 1000);
	for (int i = 0; i < 4; i++) {
		const struct service service = {.id = (uint16_t)(3 + i), .mode = FORWARD_TUNNEL};
		struct service_key key = {.port = htons(25),
					  .protocol = i % 2 ? IPPROTO_UDP : IPPROTO_TCP};

		memcpy(key.addr, i / 2 ? vip6 : vip4, 16);
		plane_record_set(p, &key, &service);
	}
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	plane_close(*state);
	free(*state);
	return 0;
}

static struct backend *backend_make(struct plane *p, bool outer6, bool gue, uint8_t bits)
{
	struct backend *b = &p->backends[OWNER];

	plane_backend_set(p, OWNER, 1);
	memcpy(b->addr, outer6 ? backend6 : backend4, 16);
	memcpy(b->tunnel_src, outer6 ? source6 : source4, 16);
	b->tunnel_port = gue ? htons(GUE_PORT) : 0;
	b->tunnel_mtu = 1500;
	b->tunnel_bits = bits;
	return b;
}

static struct wire_ip inner_of(const struct row *row)
{
	return (struct wire_ip){
		.ipv6 = row->inner6,
		.df = true,
		.ttl = 64,
		.tos = row->tos,
		.protocol = row->udp ? IPPROTO_UDP : IPPROTO_TCP,
		.options = row->options,
		.src = row->inner6 ? client6 : client4,
		.dst = row->inner6 ? vip6 : vip4,
	};
}

static const struct wire_tcp segment = {
	.sport = 40000, .dport = 25, .seq = 1000, .ack = 2000, .flags = TCP_ACK, .window = 500};

/* The packet from its IP header on. */
static void put_packet(struct wire *w, const struct wire_ip *ip, uint32_t payload)
{
	if (ip->protocol == IPPROTO_UDP) {
		wire_ip(w, ip, 8 + payload);
		wire_udp(w, ip, segment.sport, segment.dport, payload);
		return;
	}
	wire_ip(w, ip, 20 + payload);
	wire_tcp(w, ip, &segment, payload);
}

static void put_frame(struct wire *w, const struct wire_ip *ip, int tags, uint32_t payload)
{
	w->len = 0;
	wire_eth(w, frame_node_mac, frame_router_mac, tags, ip->ipv6);
	put_packet(w, ip, payload);
}

static uint64_t hash_of(const struct plane *p, const struct wire_ip *ip)
{
	struct tuple t = {.sport = htons(segment.sport),
			  .dport = htons(segment.dport),
			  .protocol = ip->protocol};

	memcpy(t.src, ip->src, 16);
	memcpy(t.dst, ip->dst, 16);
	return flow_hash((const __u64 *)p->key, &t);
}

/* The last @bits bits of @addr from @hash. */
static void fill(uint8_t addr[16], uint32_t bits, uint64_t hash)
{
	for (uint32_t i = 0; i < bits; i++) {
		uint8_t bit = (uint8_t)(1U << i % 8);

		addr[15 - i / 8] &= (uint8_t)~bit;
		if (hash >> i & 1)
			addr[15 - i / 8] |= bit;
	}
}

/* What is to come out when the packet is to travel. */
static void put_tunnelled(const struct plane *p, struct wire *w, struct wire_ip inner, int tags,
			  uint32_t payload)
{
	const struct backend *b = &p->backends[OWNER];
	bool outer6 = memcmp(b->addr, backend6, 16) == 0;
	uint64_t hash = hash_of(p, &inner);
	struct wire_ip outer = {.ipv6 = outer6,
				.df = true,
				.ttl = 64,
				.tos = inner.tos,
				.protocol = inner.ipv6 ? 41 : 4,
				.label = (uint32_t)(hash >> 32) & 0xfffff,
				.dst = b->addr};
	uint32_t protocol = outer.protocol;
	uint8_t src[16];
	struct wire inside = {0};

	inner.ttl--;
	put_packet(&inside, &inner, payload);
	memcpy(src, b->tunnel_src, 16);
	fill(src, b->tunnel_bits, hash);
	outer.src = src;
	w->len = 0;
	wire_eth(w, b->l2_dst, b->l2_src, tags, outer6);
	if (b->tunnel_port) {
		uint32_t port = 0xc000U | (hash >> 18 & 0x3fff), bytes = 12 + inside.len;
		const uint8_t gue[12] = {(uint8_t)(port >> 8),	 (uint8_t)port,
					 GUE_PORT >> 8,		 GUE_PORT & 0xff,
					 (uint8_t)(bytes >> 8),	 (uint8_t)bytes,
					 [9] = (uint8_t)protocol};

		outer.protocol = IPPROTO_UDP;
		wire_ip(w, &outer, bytes);
		wire_add(w, gue, sizeof(gue));
	} else {
		wire_ip(w, &outer, inside.len);
	}
	wire_add(w, inside.b, inside.len);
}

static void tunnels(struct plane *p, const char *what, const struct wire_ip *ip, int tags,
		    uint32_t payload)
{
	struct wire in, expected;

	put_frame(&in, ip, tags, payload);
	put_tunnelled(p, &expected, *ip, tags, payload);
	assert_int_equal(wire_run(p->fd, &in), XDP_TX);
	wire_assert_equal(what, &in, &expected);
}

static void test_packet_travels_in_another_one(void **state)
{
	struct plane *p = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct wire_ip ip = inner_of(row);

		backend_make(p, row->outer6, row->gue, row->bits);
		tunnels(p, row->what, &ip, row->tags, 100);
		tunnels(p, row->what, &ip, row->tags, 0);
		tunnels(p, row->what, &ip, row->tags, 1);
	}
}

static void test_backend_counts_what_was_received(void **state)
{
	struct plane *p = *state;
	struct wire_ip ip = inner_of(&rows[0]);
	struct backend_stats before, after;

	backend_make(p, false, false, 0);
	before = plane_backend_stats(p, OWNER);
	tunnels(p, "counted", &ip, 0, 100);
	after = plane_backend_stats(p, OWNER);
	assert_int_equal(after.packets - before.packets, 1);
	assert_int_equal(after.bytes - before.bytes, 14 + 20 + 20 + 100);
}

/* ---- fragments, ICMP errors ---- */

/* The last fragment of the packet of @ip, with @bytes of payload, in a frame that is not padded. */
static void last_fragment_travels(struct plane *p, struct wire_ip ip, int tags, uint32_t bytes)
{
	struct wire in = {0}, expected = {0}, inside = {0};
	struct wire_ip outer = {
		.df = true, .ttl = 64, .protocol = 4, .src = source4, .dst = backend4};

	ip.more = false;
	ip.offset = 10;
	wire_eth(&in, frame_node_mac, frame_router_mac, tags, false);
	wire_ip(&in, &ip, bytes);
	wire_fill(&in, bytes);
	ip.ttl--;
	wire_ip(&inside, &ip, bytes);
	wire_fill(&inside, bytes);
	wire_eth(&expected, p->backends[OWNER].l2_dst, p->backends[OWNER].l2_src, tags, false);
	wire_ip(&expected, &outer, inside.len);
	wire_add(&expected, inside.b, inside.len);
	assert_int_equal(wire_run(p->fd, &in), XDP_TX);
	wire_assert_equal("the last", &in, &expected);
}

static void test_fragments_travel_to_where_the_first_went_however_short(void **state)
{
	struct plane *p = *state;
	struct wire_ip ip = inner_of(&rows[0]);

	backend_make(p, false, false, 0);
	ip.df = false;
	ip.fragment = ip.more = true;
	tunnels(p, "the first", &ip, 0, 60);
	for (uint32_t bytes = 1; bytes <= 30; bytes++) {
		for (int tags = 0; tags <= 2; tags++)
			last_fragment_travels(p, ip, tags, bytes);
	}
}

static void test_icmp_error_travels(void **state)
{
	struct plane *p = *state;
	struct wire in = {0}, expected = {0}, inside = {0}, quote = {0};
	struct wire_ip ip = inner_of(&rows[0]), back = ip,
		       outer = {.df = true,
				.ttl = 64,
				.protocol = 4,
				.src = source4,
				.dst = backend4};

	backend_make(p, false, false, 0);
	back.src = vip4;
	back.dst = client4;
	wire_ip(&quote, &back, 20);
	wire_tcp(&quote, &back, &(struct wire_tcp){.sport = 25, .dport = 40000}, 0);
	ip.protocol = IPPROTO_ICMP;
	wire_eth(&in, frame_node_mac, frame_router_mac, 0, false);
	wire_ip(&in, &ip, 8 + quote.len);
	wire_icmp(&in, &ip, 3, 4, 1400, quote.b, quote.len);
	ip.ttl--;
	wire_ip(&inside, &ip, 8 + quote.len);
	wire_icmp(&inside, &ip, 3, 4, 1400, quote.b, quote.len);
	wire_eth(&expected, p->backends[OWNER].l2_dst, p->backends[OWNER].l2_src, 0, false);
	wire_ip(&expected, &outer, inside.len);
	wire_add(&expected, inside.b, inside.len);
	assert_int_equal(wire_run(p->fd, &in), XDP_TX);
	wire_assert_equal("ICMP error", &in, &expected);
}

/* ---- what does not fit, and what has gone too far ---- */

/* @w: the frame that came; it becomes the answer that is expected. */
static void put_error(struct wire *w, bool ipv6, int tags, uint8_t type, uint8_t code,
		      uint32_t value)
{
	uint32_t ip_at = 14 + 4 * (uint32_t)tags, quoted = w->len - ip_at;
	struct wire_ip ip = {.ipv6 = ipv6,
			     .df = true,
			     .ttl = 64,
			     .protocol = ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP,
			     .src = ipv6 ? vip6 : vip4,
			     .dst = ipv6 ? client6 : client4};
	struct wire out = {0};

	quoted = quoted > 256 ? 256 : quoted / 4 * 4;
	wire_eth(&out, frame_router_mac, frame_node_mac, tags, ipv6);
	wire_ip(&out, &ip, 8 + quoted);
	wire_icmp(&out, &ip, type, code, value, w->b + ip_at, quoted);
	*w = out;
}

static void answers(struct plane *p, const char *what, const struct wire_ip *ip, int tags,
		    uint32_t payload, uint8_t type, uint8_t code, uint32_t value,
		    enum reason reason)
{
	uint64_t before = plane_reason(p, reason);
	struct wire in, expected;

	put_frame(&in, ip, tags, payload);
	expected = in;
	put_error(&expected, ip->ipv6, tags, type, code, value);
	assert_int_equal(wire_run(p->fd, &in), XDP_TX);
	wire_assert_equal(what, &in, &expected);
	assert_int_equal(plane_reason(p, reason) - before, 1);
}

static void drops(struct plane *p, const struct wire_ip *ip, uint32_t payload, enum reason reason)
{
	uint64_t before = plane_reason(p, reason);
	struct wire in;

	put_frame(&in, ip, 0, payload);
	assert_int_equal(wire_run(p->fd, &in), XDP_DROP);
	assert_int_equal(plane_reason(p, reason) - before, 1);
}

static void test_packet_that_just_fits_travels_and_one_byte_more_is_answered(void **state)
{
	struct plane *p = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct wire_ip ip = inner_of(row);
		uint32_t most = 1500U - (row->outer6 ? 40 : 20) - (row->gue ? 12 : 0);
		uint32_t headers =
			(row->inner6 ? 40U : 20U) + row->options * 4U + (row->udp ? 8U : 20U);

		backend_make(p, row->outer6, row->gue, row->bits);
		tunnels(p, row->what, &ip, row->tags, most - headers);
		answers(p, row->what, &ip, row->tags, most - headers + 1, row->inner6 ? 2 : 3,
			row->inner6 ? 0 : 4, most, REASON_REPLY_TOO_BIG);
	}
}

/* RFC 8201: a sender need not go below 1280; it is never told to. */
static void test_ipv6_sender_is_never_told_less_than_1280(void **state)
{
	struct plane *p = *state;
	struct wire_ip ip = inner_of(&rows[1]);

	backend_make(p, true, false, 0)->tunnel_mtu = 1300;
	answers(p, "1281 bytes", &ip, 0, 1281 - 60, 2, 0, 1280, REASON_REPLY_TOO_BIG);
	drops(p, &ip, 1280 - 60, REASON_DROP_TOO_BIG);
	tunnels(p, "1260 bytes", &ip, 0, 1260 - 60);
}

static void test_packet_without_df_is_answered_too(void **state)
{
	struct plane *p = *state;
	struct wire_ip ip = inner_of(&rows[0]);

	backend_make(p, false, false, 0);
	ip.df = false;
	answers(p, "no DF", &ip, 0, 1460, 3, 4, 1480, REASON_REPLY_TOO_BIG);
}

static void test_last_hop_is_answered(void **state)
{
	struct plane *p = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct wire_ip ip = inner_of(row);

		backend_make(p, row->outer6, row->gue, row->bits);
		for (ip.ttl = 0; ip.ttl < 2; ip.ttl++)
			answers(p, row->what, &ip, row->tags, 33, row->inner6 ? 3 : 11, 0, 0,
				REASON_REPLY_TTL);
		tunnels(p, row->what, &ip, row->tags, 33); /* 2 */
	}
}

static void test_later_fragment_is_not_answered(void **state)
{
	struct plane *p = *state;
	struct wire_ip ip = inner_of(&rows[0]);
	struct wire in = {0};
	uint64_t before = plane_reason(p, REASON_DROP_TTL);

	backend_make(p, false, false, 0);
	ip.df = false;
	ip.fragment = ip.more = true;
	tunnels(p, "the first", &ip, 0, 60);
	ip.offset = 10;
	ip.ttl = 1;
	wire_eth(&in, frame_node_mac, frame_router_mac, 0, false);
	wire_ip(&in, &ip, 32);
	wire_fill(&in, 32);
	assert_int_equal(wire_run(p->fd, &in), XDP_DROP);
	assert_int_equal(plane_reason(p, REASON_DROP_TTL) - before, 1);
}

/* ---- the MSS of a SYN ---- */

struct mss_row {
	const char *what;
	uint8_t bytes, options[12];
	uint8_t clamped[12];
};

static const struct mss_row mss_rows[] = {
	{"first", 4, {2, 4, 0x05, 0xb4}, {2, 4, 0x05, 0xa0}},
	{"at an odd place", 8, {1, 2, 4, 0x05, 0xb4, 1, 1, 1}, {1, 2, 4, 0x05, 0xa0, 1, 1, 1}},
	{"behind others",
	 12,
	 {4, 2, 3, 3, 7, 2, 4, 0x23, 0x28, 1, 1, 0},
	 {4, 2, 3, 3, 7, 2, 4, 0x05, 0xa0, 1, 1, 0}},
	{"small enough", 4, {2, 4, 0x05, 0xa0}, {2, 4, 0x05, 0xa0}},
	{"none", 4, {1, 1, 1, 1}, {1, 1, 1, 1}},
	{"behind the end", 8, {0, 1, 2, 4, 0x05, 0xb4, 0, 0}, {0, 1, 2, 4, 0x05, 0xb4, 0, 0}},
	{"option of length 0", 8, {3, 0, 2, 4, 0x05, 0xb4, 0, 0}, {3, 0, 2, 4, 0x05, 0xb4, 0, 0}},
};

static void put_syn(struct wire *w, const struct wire_ip *ip, const uint8_t *options, uint8_t bytes)
{
	struct wire_tcp tcp = segment;

	tcp.flags = TCP_SYN;
	tcp.option_bytes = bytes;
	memcpy(tcp.options, options, bytes);
	wire_ip(w, ip, 20U + bytes);
	wire_tcp(w, ip, &tcp, 0);
}

static void test_mss_of_a_syn_is_lowered_when_asked_for(void **state)
{
	struct plane *p = *state;
	struct wire_ip ip = inner_of(&rows[0]);

	for (size_t i = 0; i < sizeof(mss_rows) / sizeof(mss_rows[0]); i++) {
		const struct mss_row *row = &mss_rows[i];

		for (int clamp = 0; clamp < 2; clamp++) {
			struct wire in = {0}, inside = {0}, is = {0};
			struct wire_ip after = ip;

			backend_make(p, false, false, 0)->tunnel_clamp = (uint8_t)clamp;
			wire_eth(&in, frame_node_mac, frame_router_mac, 0, false);
			put_syn(&in, &ip, row->options, row->bytes);
			after.ttl--;
			put_syn(&inside, &after, clamp ? row->clamped : row->options, row->bytes);
			assert_int_equal(wire_run(p->fd, &in), XDP_TX);
			wire_add(&is, in.b + 34, in.len - 34);
			wire_assert_equal(row->what, &is, &inside);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packet_travels_in_another_one),
		cmocka_unit_test(test_backend_counts_what_was_received),
		cmocka_unit_test(test_fragments_travel_to_where_the_first_went_however_short),
		cmocka_unit_test(test_icmp_error_travels),
		cmocka_unit_test(test_packet_that_just_fits_travels_and_one_byte_more_is_answered),
		cmocka_unit_test(test_ipv6_sender_is_never_told_less_than_1280),
		cmocka_unit_test(test_packet_without_df_is_answered_too),
		cmocka_unit_test(test_last_hop_is_answered),
		cmocka_unit_test(test_later_fragment_is_not_answered),
		cmocka_unit_test(test_mss_of_a_syn_is_lowered_when_asked_for),
	};

	if (!plane_permitted())
		return 77;
	return cmocka_run_group_tests(tests, setup, teardown);
}
