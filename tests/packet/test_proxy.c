/* SPDX-License-Identifier: BSD-2-Clause */
/* test_proxy.c: the PROXY v2 header: what client and backend see of each other's numbers. Each
 * packet's checksum and lengths are computed anew by datagram.c.
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

enum { ISN = 1000, SERVER_ISN = 9000, BYTES4 = 28, BYTES6 = 52 };

static const struct datagram syn4 = {
	.src = SITE_CLIENT4,
	.dst = SITE_VIP4,
	.protocol = IPPROTO_TCP,
	.sport = 40000,
	.dport = 25,
	.seq = ISN,
	.flags = TCP_SYN,
	.window = 500,
};

/* One connection. */
struct talk {
	struct plane *p;
	struct datagram syn, seen; /* seen: by the backend */
	uint32_t bytes;		   /* of the header */
};

static int setup(void **state)
{
	struct plane *p = calloc(1, sizeof(*p));

	site_open(p, FORWARD_FULLNAT, SERVICE_PROXY_V2);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	plane_close(*state);
	free(*state);
	return 0;
}

static struct datagram in(struct talk *t, uint8_t flags, uint32_t seq, uint32_t ack,
			  const char *text)
{
	struct datagram d = t->syn, out;

	d.flags = flags;
	d.seq = seq;
	d.ack = ack;
	d.payload_bytes = (uint16_t)strlen(text);
	memcpy(d.payload, text, strlen(text));
	assert_int_equal(datagram_run(t->p, &d, &out), XDP_TX);
	assert_int_equal(out.ack, ack);
	assert_int_equal(out.flags, flags);
	return out;
}

static struct datagram back(struct talk *t, const struct datagram *d)
{
	struct datagram out;

	assert_int_equal(datagram_run(t->p, d, &out), XDP_REDIRECT);
	assert_int_equal(out.seq, d->seq);
	assert_string_equal(out.dst, t->syn.src);
	return out;
}

static uint32_t ack_back(struct talk *t, uint32_t ack)
{
	struct datagram d = site_answer(&t->seen, TCP_ACK, SERVER_ISN + 1, ack);

	return back(t, &d).ack;
}

/* Up to the SYN-ACK. */
static struct talk begin(struct plane *p, bool ipv6)
{
	struct talk t = {.p = p, .syn = ipv6 ? site_six(syn4) : syn4};
	struct datagram d;

	t.bytes = ipv6 ? BYTES6 : BYTES4;
	t.seen = in(&t, TCP_SYN, ISN, 0, "");
	d = site_answer(&t.seen, TCP_SYN | TCP_ACK, SERVER_ISN, ISN + 1);
	assert_int_equal(back(&t, &d).ack, ISN + 1);
	return t;
}

static void assert_header(const struct talk *t, const struct datagram *d, const char *text)
{
	static const uint8_t signature[12] = "\r\n\r\n\0\r\nQUIT\n";
	bool v6 = t->bytes == BYTES6;
	uint8_t want[BYTES6] = {0}, *at = want + 16;

	memcpy(want, signature, 12);
	want[12] = 0x21;
	want[13] = v6 ? 0x21 : 0x11;
	want[15] = (uint8_t)(t->bytes - 16);
	assert_int_equal(inet_pton(v6 ? AF_INET6 : AF_INET, t->syn.src, at), 1);
	at += v6 ? 16 : 4;
	assert_int_equal(inet_pton(v6 ? AF_INET6 : AF_INET, t->syn.dst, at), 1);
	at += v6 ? 16 : 4;
	memcpy(at, &(uint16_t){htons(40000)}, 2);
	memcpy(at + 2, &(uint16_t){htons(25)}, 2);
	assert_int_equal(d->seq, ISN + 1);
	assert_int_equal(d->payload_bytes, t->bytes + strlen(text));
	assert_memory_equal(d->payload, want, t->bytes);
	assert_memory_equal(d->payload + t->bytes, text, strlen(text));
}

static void test_header_comes_before_the_first_byte(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct talk t = begin(*state, v6);
		struct datagram d = in(&t, TCP_ACK | TCP_PSH, ISN + 1, SERVER_ISN + 1, "EHLO a\n");

		assert_header(&t, &d, "EHLO a\n");
	}
}

/* A server that speaks first waits for the header. */
static void test_header_comes_with_the_bare_ack(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct talk t = begin(*state, v6);
		struct datagram d = in(&t, TCP_ACK, ISN + 1, SERVER_ISN + 1, "");

		assert_header(&t, &d, "");
	}
}

static void test_header_comes_with_a_fin(void **state)
{
	struct talk t = begin(*state, false);
	struct datagram d;

	in(&t, TCP_ACK, ISN + 1, SERVER_ISN + 1, "");
	d = in(&t, TCP_ACK | TCP_FIN, ISN + 1, SERVER_ISN + 1, "");
	assert_header(&t, &d, "");
}

static void test_header_of_every_payload_length_has_the_right_checksum(void **state)
{
	struct talk t = begin(*state, false);
	char text[80] = "";

	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		struct datagram d = in(&t, TCP_ACK, ISN + 1, SERVER_ISN + 1, text);

		assert_header(&t, &d, text);
		text[i] = (char)(33 + i);
	}
}

static void test_header_is_repeated_until_it_is_acknowledged(void **state)
{
	struct talk t = begin(*state, false);
	struct datagram d = in(&t, TCP_ACK, ISN + 1, SERVER_ISN + 1, "");

	assert_header(&t, &d, "");
	d = in(&t, TCP_ACK, ISN + 1, SERVER_ISN + 1, "EHLO");
	assert_header(&t, &d, "EHLO");
	assert_int_equal(ack_back(&t, ISN + 1 + BYTES4), ISN + 1);
	d = in(&t, TCP_ACK, ISN + 1, SERVER_ISN + 1, "EHLO");
	assert_int_equal(d.seq, ISN + 1 + BYTES4);
	assert_int_equal(d.payload_bytes, 4);
}

static void test_later_bytes_are_behind_the_header(void **state)
{
	struct talk t = begin(*state, true);
	struct datagram d;

	in(&t, TCP_ACK, ISN + 1, SERVER_ISN + 1, "");
	d = in(&t, TCP_ACK, ISN + 5, SERVER_ISN + 1, "later"); /* the first ones were lost */
	assert_int_equal(d.seq, ISN + 5 + BYTES6);
	assert_int_equal(d.payload_bytes, 5);
}

/* From it, the node would count from another first byte. */
static void test_spoofed_syn_does_not_shift_a_live_flow(void **state)
{
	struct talk t = begin(*state, false);

	in(&t, TCP_ACK, ISN + 1, SERVER_ISN + 1, "");
	ack_back(&t, ISN + 1 + BYTES4);
	in(&t, TCP_SYN, ISN + 12345, 0, "");
	assert_int_equal(in(&t, TCP_ACK, ISN + 1, SERVER_ISN + 1, "more").seq, ISN + 1 + BYTES4);
	assert_int_equal(ack_back(&t, ISN + 1 + BYTES4 + 4), ISN + 5);
}

static void test_keepalive_before_the_first_byte_stays(void **state)
{
	struct talk t = begin(*state, false);

	in(&t, TCP_ACK, ISN + 1, SERVER_ISN + 1, "");
	assert_int_equal(in(&t, TCP_ACK, ISN, SERVER_ISN + 1, "").seq, ISN);
}

static void test_acknowledgements_are_the_clients_own(void **state)
{
	struct talk t = begin(*state, false);

	in(&t, TCP_ACK, ISN + 1, SERVER_ISN + 1, "");
	assert_int_equal(ack_back(&t, ISN + 1), ISN + 1);
	assert_int_equal(ack_back(&t, ISN + 2), ISN + 1);
	assert_int_equal(ack_back(&t, ISN + BYTES4), ISN + 1);
	assert_int_equal(ack_back(&t, ISN + 1 + BYTES4), ISN + 1);
	assert_int_equal(ack_back(&t, ISN + 2 + BYTES4), ISN + 2);
	assert_int_equal(ack_back(&t, ISN + 1 + BYTES4 + 100000), ISN + 1 + 100000);
}

static void test_numbers_may_wrap(void **state)
{
	struct talk t = {.p = *state, .syn = syn4, .bytes = BYTES4};
	struct datagram d;
	uint32_t isn = 0xfffffff0;

	t.seen = in(&t, TCP_SYN, isn, 0, "");
	d = site_answer(&t.seen, TCP_SYN | TCP_ACK, SERVER_ISN, isn + 1);
	back(&t, &d);
	in(&t, TCP_ACK, isn + 1, SERVER_ISN + 1, "");
	assert_int_equal(ack_back(&t, isn + 1 + BYTES4), isn + 1);
	assert_int_equal(ack_back(&t, isn + 21 + BYTES4), isn + 21);
	assert_int_equal(in(&t, TCP_ACK, isn + 21, SERVER_ISN + 1, "x").seq, isn + 21 + BYTES4);
}

static void put32(uint8_t *at, uint32_t v)
{
	memcpy(at, &(uint32_t){htonl(v)}, 4);
}

static uint32_t get32(const uint8_t *at)
{
	uint32_t v;

	memcpy(&v, at, 4);
	return ntohl(v);
}

/* Sequence numbers are compared within 2 GiB (RFC 9293 3.4); a connection goes on for longer. */
static void test_numbers_fit_wherever_the_stream_has_come_to(void **state)
{
	struct talk t = begin(*state, false);
	struct datagram d, out;

	in(&t, TCP_ACK, ISN + 1, SERVER_ISN + 1, "");
	for (uint64_t at = ISN + 1; at < 0x300000000U; at += 0x10000001U) {
		uint32_t seq = (uint32_t)at;

		assert_int_equal(ack_back(&t, seq + BYTES4), seq);
		assert_int_equal(in(&t, TCP_ACK, seq, SERVER_ISN + 1, "x").seq, seq + BYTES4);
		d = site_answer(&t.seen, TCP_ACK, SERVER_ISN + 1, seq + BYTES4);
		d.options_bytes = 12;
		memcpy(d.options, "\1\1\5\12", 4);
		put32(d.options + 4, seq + BYTES4 + 10);
		put32(d.options + 8, seq + BYTES4 + 20);
		out = back(&t, &d);
		assert_int_equal(out.ack, seq);
		assert_int_equal(get32(out.options + 4), seq + 10);
		assert_int_equal(get32(out.options + 8), seq + 20);
	}
}

/* The client did not get the acknowledgement of what it repeats, nor of what its keepalive asks. */
static void test_first_byte_again_and_keepalive_are_behind_the_acknowledged_header(void **state)
{
	struct talk t = begin(*state, false);
	struct datagram d;

	in(&t, TCP_ACK, ISN + 1, SERVER_ISN + 1, "E");
	ack_back(&t, ISN + 1 + BYTES4 + 1);
	d = in(&t, TCP_ACK, ISN + 1, SERVER_ISN + 1, "E");
	assert_int_equal(d.seq, ISN + 1 + BYTES4);
	assert_int_equal(d.payload_bytes, 1);
	assert_int_equal(in(&t, TCP_ACK, ISN, SERVER_ISN + 1, "").seq, ISN + BYTES4);
}

/* At each alignment, with other options before. */
static void test_sack_blocks_are_the_clients_own(void **state)
{
	struct talk t = begin(*state, false);

	in(&t, TCP_ACK, ISN + 1, SERVER_ISN + 1, "");
	for (uint8_t pad = 0; pad < 4; pad++) {
		struct datagram d = site_answer(&t.seen, TCP_ACK, SERVER_ISN + 1, ISN + 1), out;
		uint8_t *at = d.options + pad;

		memset(d.options, 1, sizeof(d.options));
		at[0] = 5;
		at[1] = 18;
		put32(at + 2, ISN + 1);
		put32(at + 6, ISN + 1 + BYTES4 + 10);
		put32(at + 10, ISN + 1 + BYTES4 + 500);
		put32(at + 14, ISN + 1 + BYTES4 + 900);
		d.options_bytes = 24;
		out = back(&t, &d);
		at = out.options + pad;
		assert_int_equal(at[0], 5);
		assert_int_equal(get32(at + 2), ISN + 1);
		assert_int_equal(get32(at + 6), ISN + 11);
		assert_int_equal(get32(at + 10), ISN + 501);
		assert_int_equal(get32(at + 14), ISN + 901);
	}
}

static uint32_t quoted_back(struct talk *t, const struct datagram *about)
{
	struct datagram e = {.protocol = IPPROTO_ICMP, .type = 3, .code = 4}, out, quoted;

	strcpy(e.src, "198.51.100.254");
	strcpy(e.dst, about->src);
	datagram_quote(about, 28, &e);
	assert_int_equal(datagram_run(t->p, &e, &out), XDP_REDIRECT);
	datagram_read_quoted(&out, &quoted);
	return quoted.seq;
}

/* Else the client takes it for no error of its own (RFC 5927 4.1). */
static void test_icmp_error_quotes_the_number_that_the_client_sent(void **state)
{
	struct talk t = begin(*state, false);
	struct datagram first = in(&t, TCP_ACK, ISN + 1, SERVER_ISN + 1, "E"), later;

	assert_int_equal(quoted_back(&t, &first), ISN + 1);
	later = in(&t, TCP_ACK, ISN + 2, SERVER_ISN + 1, "H");
	assert_int_equal(quoted_back(&t, &later), ISN + 2);
	ack_back(&t, ISN + 1 + BYTES4);
	assert_int_equal(quoted_back(&t, &later), ISN + 2);
}

static void test_full_segment_leaves_room_for_the_header(void **state)
{
	struct talk t = {.p = *state, .syn = syn4};
	struct datagram d, out;

	t.seen = in(&t, TCP_SYN, ISN, 0, "");
	d = site_answer(&t.seen, TCP_SYN | TCP_ACK, SERVER_ISN, ISN + 1);
	/* NOP, NOP, SACK permitted, MSS, window scale */
	memcpy(d.options, "\1\1\4\2\2\4\5\264\3\3\7", 11);
	d.options_bytes = 12;
	out = back(&t, &d);
	assert_int_equal(out.options[6] << 8 | out.options[7], 1460 - BYTES4);
	assert_int_equal(out.window, 60000 - BYTES4);
	assert_memory_equal(out.options, d.options, 6);
	assert_memory_equal(out.options + 8, d.options + 8, 4);
}

static void test_fast_open_is_declined(void **state)
{
	struct talk t = {.p = *state, .syn = syn4};
	struct datagram d, out;

	t.syn.options_bytes = 16;
	memcpy(t.syn.options, "\2\4\5\264\42\12abcdefgh\1\1", 16);
	out = in(&t, TCP_SYN, ISN, 0, "");
	assert_memory_equal(out.options, "\2\4\5\264\1\1\1\1\1\1\1\1\1\1\1\1", 16);
	d = t.syn;
	d.payload_bytes = 4;
	assert_int_equal(datagram_run(t.p, &d, &out), XDP_DROP);
}

static void test_reset_finds_the_backend_where_it_is(void **state)
{
	struct talk t = begin(*state, false);
	struct datagram d;

	in(&t, TCP_ACK, ISN + 1, SERVER_ISN + 1, "");
	d = in(&t, TCP_RST, ISN + 1, 0, "");
	assert_int_equal(d.seq, ISN + 1);
	assert_int_equal(d.payload_bytes, 0);
	ack_back(&t, ISN + 1 + BYTES4);
	assert_int_equal(in(&t, TCP_RST, ISN + 1, 0, "").seq, ISN + 1 + BYTES4);
}

static void test_urgent_data_stays_urgent(void **state)
{
	struct talk t = begin(*state, false);
	struct datagram d;

	t.syn.urgent = 3;
	d = in(&t, TCP_ACK | TCP_URG, ISN + 1, SERVER_ISN + 1, "abc");
	assert_int_equal(d.urgent, 3 + BYTES4);
}

static void test_timestamps_stay(void **state)
{
	struct talk t = begin(*state, false);
	struct datagram d;

	t.syn.options_bytes = 12;
	memcpy(t.syn.options, "\1\1\10\12abcdefgh", 12);
	d = in(&t, TCP_ACK, ISN + 1, SERVER_ISN + 1, "abc");
	assert_header(&t, &d, "abc");
	assert_memory_equal(d.options, t.syn.options, 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
		TEST(header_comes_before_the_first_byte),
		TEST(header_comes_with_the_bare_ack),
		TEST(header_comes_with_a_fin),
		TEST(header_of_every_payload_length_has_the_right_checksum),
		TEST(header_is_repeated_until_it_is_acknowledged),
		TEST(later_bytes_are_behind_the_header),
		TEST(spoofed_syn_does_not_shift_a_live_flow),
		TEST(keepalive_before_the_first_byte_stays),
		TEST(acknowledgements_are_the_clients_own),
		TEST(numbers_may_wrap),
		TEST(numbers_fit_wherever_the_stream_has_come_to),
		TEST(first_byte_again_and_keepalive_are_behind_the_acknowledged_header),
		TEST(sack_blocks_are_the_clients_own),
		TEST(icmp_error_quotes_the_number_that_the_client_sent),
		TEST(full_segment_leaves_room_for_the_header),
		TEST(fast_open_is_declined),
		TEST(reset_finds_the_backend_where_it_is),
		TEST(urgent_data_stays_urgent),
		TEST(timestamps_stay),
	};

	if (!plane_permitted())
		return 77;
	datagram_network();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
