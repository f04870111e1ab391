/* SPDX-License-Identifier: BSD-2-Clause */
/* test_see.c: the operator's words for packets, the packet that explain builds, and the words for
 * what the program noted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "lb/see.h"

static void test_endpoints_are_an_address_and_a_port(void **state)
{
	static const struct {
		const char *text, *addr;
		uint16_t port;
	} good[] = {{"192.0.2.1:25", "192.0.2.1", 25},
		    {"192.0.2.1:0", "192.0.2.1", 0},
		    {"[2001:db8::1]:65535", "2001:db8::1", 65535}};
	static const char *const bad[] = {
		"",
		"192.0.2.1",
		"192.0.2.1:",
		"192.0.2.1:65536",
		"192.0.2.1:99999999999999999999",
		"192.0.2.1:-1",
		"192.0.2.1:25 ",
		"[192.0.2.1]:25",
		"2001:db8::1:25",
		"[2001:db8::1]",
		"[2001:db8::1]25",
		"[2001:db8::1]:",
		"[::ffff:192.0.2.1]:25",
		"mx1:25",
		":25",
		"[]:25",
		"[",
		"[0000000000000000000000000000000000000000000000000000::1]:25"};
	char text[INET6_ADDRSTRLEN];
	struct addr addr;
	uint16_t port;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(see_endpoint_parse(good[i].text, &addr, &port), 0);
		assert_string_equal(addr_format(&addr, text), good[i].addr);
		assert_int_equal(port, good[i].port);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(see_endpoint_parse(bad[i], &addr, &port), -EINVAL);
}

static bool is_within(const char *prefix, const char *address)
{
	uint32_t addr[4], mask[4], words[4];
	struct addr a;

	assert_int_equal(see_prefix_parse(prefix, addr, mask), 0);
	assert_int_equal(addr_parse(address, &a), 0);
	memcpy(words, &a, sizeof(words));
	for (int i = 0; i < 4; i++) {
		if ((words[i] ^ addr[i]) & mask[i])
			return false;
	}
	return true;
}

static void test_prefixes_cover_what_they_say(void **state)
{
	static const char *const bad[] = {"",		"/24",	  "192.0.2.0/33",
					  "192.0.2.0/", "::/129", "192.0.2.0/2x"};
	uint32_t addr[4], mask[4];

	(void)state;
	assert_true(is_within("192.0.2.0/24", "192.0.2.255"));
	assert_false(is_within("192.0.2.0/24", "192.0.3.0"));
	assert_true(is_within("192.0.2.128/25", "192.0.2.129"));
	assert_false(is_within("192.0.2.128/25", "192.0.2.127"));
	assert_true(is_within("192.0.2.1", "192.0.2.1"));
	assert_false(is_within("192.0.2.1", "192.0.2.2"));
	assert_true(is_within("0.0.0.0/0", "203.0.113.9"));
	assert_false(is_within("0.0.0.0/0", "2001:db8::1"));
	assert_true(is_within("::/0", "2001:db8::1"));
	assert_true(is_within("2001:db8::/33", "2001:db8:7fff::1"));
	assert_false(is_within("2001:db8::/33", "2001:db8:8000::1"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(see_prefix_parse(bad[i], addr, mask), -EINVAL);
}

static void test_other_words_are_read_or_refused(void **state)
{
	__u64 reasons;
	uint32_t sample;
	uint8_t byte;

	(void)state;
	assert_int_equal(see_flags_parse("syn", &byte), 0);
	assert_int_equal(byte, 0x02);
	assert_int_equal(see_flags_parse("psh|ack,fin", &byte), 0);
	assert_int_equal(byte, 0x19);
	assert_int_equal(see_flags_parse("none", &byte), 0);
	assert_int_equal(byte, 0);
	assert_int_equal(see_flags_parse("", &byte), -EINVAL);
	assert_int_equal(see_flags_parse("syn|", &byte), -EINVAL);
	assert_int_equal(see_flags_parse("synack", &byte), -EINVAL);
	assert_int_equal(see_flags_parse("SYN", &byte), -EINVAL);
	assert_int_equal(see_sample_parse("1/100", &sample), 0);
	assert_int_equal(sample, 100);
	assert_int_equal(see_sample_parse("7", &sample), 0);
	assert_int_equal(sample, 7);
	assert_int_equal(see_sample_parse("1/0", &sample), -EINVAL);
	assert_int_equal(see_sample_parse("2/3", &sample), -EINVAL);
	assert_int_equal(see_reason_parse("drop_bad_flags", &reasons), 0);
	assert_int_equal(reasons, 1ULL << REASON_DROP_BAD_FLAGS);
	assert_int_equal(see_reason_parse("bad_flags", &reasons), -EINVAL);
	assert_int_equal(see_verdict_parse("tx", &byte), 0);
	assert_int_equal(byte, 1U << XDP_TX | 1U << XDP_REDIRECT);
	assert_int_equal(see_verdict_parse("TX", &byte), -EINVAL);
	assert_int_equal(see_protocol_parse("udp", &byte), 0);
	assert_int_equal(byte, IPPROTO_UDP);
	assert_int_equal(see_protocol_parse("icmp", &byte), -EINVAL);
}

static uint32_t sum_of(const uint8_t *bytes, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (uint32_t)bytes[i] << (i % 2 ? 0 : 8);
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* A receiver adds everything up, checksums included: all ones is right (RFC 1071). */
static void test_packets_that_explain_builds_have_right_checksums(void **state)
{
	static const char *const pairs[][2] = {{"203.0.113.9", "198.51.100.10"},
					       {"2001:db8::9", "2001:db8:1::10"}};
	uint8_t frame[SEE_FRAME];

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct see_packet p = {.to_mac = {2, 0, 0, 0, 0, 7},
				       .sport = 40000,
				       .dport = 25,
				       .protocol = i & 2 ? IPPROTO_UDP : IPPROTO_TCP,
				       .tcp_flags = 0x12};
		bool ipv6 = i & 1;
		uint32_t header = ipv6 ? 40 : 20, n, addresses = ipv6 ? 32 : 8, payload;

		assert_int_equal(addr_parse(pairs[ipv6][0], &p.src), 0);
		assert_int_equal(addr_parse(pairs[ipv6][1], &p.dst), 0);
		n = see_frame_build(&p, frame);
		payload = n - 14 - header;
		assert_int_equal(payload, i & 2 ? 8 : 20);
		assert_memory_equal(frame, p.to_mac, 6);
		assert_int_equal(frame[14] >> 4, ipv6 ? 6 : 4);
		if (!ipv6)
			assert_int_equal(fold(sum_of(frame + 14, header)), 0xffff);
		assert_int_equal(fold(sum_of(frame + 14 + header - addresses, addresses) +
				      p.protocol + payload + sum_of(frame + 14 + header, payload)),
				 0xffff);
	}
}

/* ---- telling ---- */

static const char *found(const json_t *answer, const char *stage)
{
	json_t *row;
	size_t i;

	json_array_foreach(json_object_get(answer, "stages"), i, row)
	{
		if (strcmp(json_string_value(json_object_get(row, "stage")), stage) == 0)
			return json_string_value(json_object_get(row, "found"));
	}
	return NULL;
}

static struct current *node_new(void)
{
	struct current *c = current_new();

	assert_non_null(c);
	c->settings.slots = 251;
	c->services[4].used = c->pools[2].used = c->backends[7].used = c->backends[8].used = true;
	strcpy(c->services[4].name, "smtp");
	c->services[4].plane.pool = 2;
	strcpy(c->pools[2].name, "mx");
	strcpy(c->backends[7].pool_name, "mx");
	strcpy(c->backends[7].name, "mx7");
	strcpy(c->backends[8].pool_name, "mx");
	strcpy(c->backends[8].name, "mx8");
	return c;
}

static void test_each_stage_is_told_by_name(void **state)
{
	struct explanation e = {.stages = STAGE_PARSED | STAGE_SERVICE | STAGE_SLOT |
					  STAGE_PREVIOUS | STAGE_FLOWS | STAGE_FLOW | STAGE_END,
				.service = 4,
				.slot = 99,
				.owner = 7 | SLOT_TRANSITION,
				.previous = 8,
				.embryo = BACKEND_NONE,
				.flow_backend = 8,
				.flow_seen = FLOW_EPOCH(1000),
				.backend = 8,
				.verdict = XDP_TX,
				.reasons = 1,
				.tuple.protocol = IPPROTO_TCP,
				.len_bytes = 60};
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 8};
	const struct see_more more = {
		.interface = "eth0", .mac = mac, .out = "eth1", .now_s = 1000 + 2 * EPOCH_SECONDS};
	struct current *c = node_new();
	json_t *answer = see_explanation(c, &e, &more);

	(void)state;
	assert_string_equal(found(answer, "service"), "smtp, pool mx, mode dsr");
	assert_string_equal(found(answer, "slot"),
			    "99 of 251, in transition, owner mx/mx7, previous owner mx/mx8");
	assert_string_equal(found(answer, "flow"), "at mx/mx8, live, silent for 32 to 48 s");
	assert_string_equal(found(answer, "embryo"), "none");
	assert_string_equal(found(answer, "backend"), "mx/mx8: its flow lives there");
	assert_non_null(strstr(found(answer, "next hop"), "eth1, 02:00:00:00:00:08"));
	assert_string_equal(found(answer, "verdict"), "tx, forwarded: sent to the backend");
	json_decref(answer);
	current_free(c);
}

static void test_why_follows_from_what_was_noted(void **state)
{
	struct explanation e = {.stages = STAGE_PARSED | STAGE_SERVICE | STAGE_SLOT |
					  STAGE_STAMPED | STAGE_END,
				.backend = 7,
				.owner = 7,
				.embryo = BACKEND_NONE};

	(void)state;
	assert_non_null(strstr(see_why(&e), "refreshed in this epoch"));
	e.kind = PACKET_SYN;
	assert_non_null(strstr(see_why(&e), "new connection"));
	e.kind = PACKET_OTHER;
	e.stages |= STAGE_PREVIOUS | STAGE_FLOWS;
	assert_non_null(strstr(see_why(&e), "unknown flow: to the slot's owner"));
	e.embryo = 7;
	assert_non_null(strstr(see_why(&e), "embryo"));
	e.reasons = 1ULL << REASON_FLOW_PREVIOUS;
	assert_non_null(strstr(see_why(&e), "previous owner"));
	e.reasons = 1ULL << REASON_FLOW_MOVED;
	assert_non_null(strstr(see_why(&e), "is gone"));
	e.backend = BACKEND_NONE;
	e.reason = REASON_DROP_BAD_FLAGS;
	assert_string_equal(see_why(&e), see_reason_meaning(REASON_DROP_BAD_FLAGS));
}

/* The numbers come out of kernel maps: a number of nothing is told, not followed. */
static void test_numbers_of_nothing_are_harmless(void **state)
{
	struct current *c = node_new();
	struct explanation e;
	const struct see_more more = {.interface = "eth0"};
	json_t *answer;

	(void)state;
	memset(&e, 0xff, sizeof(e));
	answer = see_explanation(c, &e, &more);
	assert_non_null(answer);
	assert_string_equal(found(answer, "service"), "none");
	json_decref(answer);
	json_decref(see_event(c, &e, 0));
	e.backend = 9;
	answer = see_explanation(c, &e, &more);
	assert_non_null(strstr(found(answer, "backend"), "no backend's now"));
	json_decref(answer);
	current_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_endpoints_are_an_address_and_a_port),
		cmocka_unit_test(test_prefixes_cover_what_they_say),
		cmocka_unit_test(test_other_words_are_read_or_refused),
		cmocka_unit_test(test_packets_that_explain_builds_have_right_checksums),
		cmocka_unit_test(test_each_stage_is_told_by_name),
		cmocka_unit_test(test_why_follows_from_what_was_noted),
		cmocka_unit_test(test_numbers_of_nothing_are_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
