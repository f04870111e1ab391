/* SPDX-License-Identifier: BSD-2-Clause */
/* test_fullnat.c: mode fullnat, and nat with state: conversations of a client and a backend through
 * the program, packet by packet. The VIP is also the source that the backend sees.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "balancer.skel.h"
#include "tests/packet/nat_talk.h"

static int setup(void **state)
{
	struct plane *p = calloc(1, sizeof(*p));

	site_open(p, FORWARD_FULLNAT, 0);
	*state = p;
	return 0;
}

static int setup_stateful_nat(void **state)
{
	struct plane *p = calloc(1, sizeof(*p));

	site_open(p, FORWARD_NAT, SERVICE_STATEFUL);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	plane_close(*state);
	free(*state);
	return 0;
}

static uint32_t entries(const struct bpf_map *map)
{
	uint8_t key[64], next[64];
	uint32_t n = 0;

	for (void *from = NULL; bpf_map_get_next_key(bpf_map__fd(map), from, next) == 0; n++) {
		memcpy(key, next, sizeof(key));
		from = key;
	}
	return n;
}

static void test_backend_sees_the_nodes_address_and_a_port_of_its_range(void **state)
{
	struct datagram syn6 = site_six(syn4), seen;

	seen = open_flow(*state, &syn4);
	assert_string_equal(seen.src, SITE_VIP4);
	assert_in_range(seen.sport, 1024, 32767);
	seen = open_flow(*state, &syn6);
	assert_string_equal(seen.src, SITE_VIP6);
}

static void test_source_addresses_of_the_pool_are_used(void **state)
{
	struct plane *p = *state;
	struct nat_pool sources = {.source4 = {{203, 0, 113, 1}, {203, 0, 113, 2}}, .n4 = 2};
	uint32_t pool = SITE_FOUR;
	struct datagram syn = syn4;
	int seen[3] = {0};

	assert_int_equal(
		bpf_map_update_elem(bpf_map__fd(p->skel->maps.nat_pools), &pool, &sources, 0), 0);
	for (int i = 0; i < 30; i++) {
		struct datagram out;

		syn.sport++;
		out = in(p, &syn);
		seen[strcmp(out.src, "203.0.113.1") == 0   ? 0
		     : strcmp(out.src, "203.0.113.2") == 0 ? 1
							   : 2]++;
	}
	assert_int_equal(seen[2], 0);
	assert_true(seen[0] > 0 && seen[1] > 0);
}

static void test_flow_counts_as_live_from_the_clients_first_ack(void **state)
{
	struct plane *p = *state;
	struct datagram seen = in(p, &syn4), synack;

	synack = site_answer(&seen, TCP_SYN | TCP_ACK, SERVER_ISN, CLIENT_ISN + 1);
	back(p, &synack, &syn4);
	assert_int_equal(live(p, SITE_FOUR), 0);
	assert_int_equal(entries(p->skel->maps.translations), 0);
	synack = segment_of(syn4, TCP_ACK, CLIENT_ISN + 1, SERVER_ISN + 1);
	in(p, &synack);
	assert_int_equal(live(p, SITE_FOUR), 1);
	assert_int_equal(entries(p->skel->maps.translations), 1);
	assert_int_equal(entries(p->skel->maps.reverse), 1);
	assert_int_equal(entries(p->skel->maps.flows), 1);
	assert_int_equal(entries(p->skel->maps.nascent), 0);
}

static void test_ack_that_does_not_know_the_backends_number_opens_nothing(void **state)
{
	struct plane *p = *state;
	struct datagram seen = in(p, &syn4), d;

	d = site_answer(&seen, TCP_SYN | TCP_ACK, SERVER_ISN, CLIENT_ISN + 1);
	back(p, &d, &syn4);
	d = segment_of(syn4, TCP_ACK, CLIENT_ISN + 1, SERVER_ISN - 1);
	lost(p, &d, REASON_DROP_NO_FLOW);
	assert_int_equal(live(p, SITE_FOUR), 0);
}

static void test_packet_of_an_unknown_flow_goes_nowhere(void **state)
{
	struct datagram d = segment_of(syn4, TCP_ACK, 1, 1);

	lost(*state, &d, REASON_DROP_NO_FLOW);
}

static const char *const bad4[] = {"0.1.2.3", "127.0.0.1", "224.0.0.1", "255.255.255.255",
				   SITE_VIP4};

static void test_source_that_is_no_host_opens_nothing(void **state)
{
	struct plane *p = *state;
	struct datagram d = syn4;

	for (size_t i = 0; i < sizeof(bad4) / sizeof(bad4[0]); i++) {
		strcpy(d.src, bad4[i]);
		lost(p, &d, REASON_DROP_BAD_ADDRESS);
	}
	d = site_udp(d);
	lost(p, &d, REASON_DROP_BAD_ADDRESS);
	d = site_six(syn4);
	strcpy(d.src, SITE_VIP6);
	lost(p, &d, REASON_DROP_BAD_ADDRESS);
	assert_int_equal(entries(p->skel->maps.nascent), 0);
}

static void test_unknown_flow_is_told_where_the_pool_says_so(void **state)
{
	struct datagram d = segment_of(syn4, TCP_ACK, 77, 88), out;

	site_flags(*state, FORWARD_FULLNAT, SERVICE_RESET);
	assert_int_equal(datagram_run(*state, &d, &out), XDP_TX);
	assert_int_equal(out.flags, TCP_RST);
	assert_int_equal(out.seq, 88);
	assert_string_equal(out.dst, SITE_CLIENT4);
}

static void test_spoofed_syn_does_not_disturb_a_live_flow(void **state)
{
	struct plane *p = *state;
	struct datagram seen = open_flow(p, &syn4), d = syn4;

	d.seq = 5;
	assert_int_equal(in(p, &d).sport, seen.sport); /* its server answers with a challenge */
	d = segment_of(syn4, TCP_ACK, CLIENT_ISN + 1, SERVER_ISN + 1);
	assert_int_equal(in(p, &d).sport, seen.sport);
	assert_int_equal(live(p, SITE_FOUR), 1);
}

static void test_repeated_syn_keeps_its_port(void **state)
{
	struct datagram first = in(*state, &syn4);

	assert_int_equal(in(*state, &syn4).sport, first.sport);
}

/* Answers to that port are the other flow's. */
static void test_flow_whose_port_was_taken_gets_another(void **state)
{
	struct plane *p = *state;
	struct datagram first = in(p, &syn4), other = syn4, d;
	struct flow_key key;
	struct tuple tuple;

	assert_int_equal(bpf_map_get_next_key(bpf_map__fd(p->skel->maps.claims), NULL, &tuple), 0);
	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(p->skel->maps.claims), &tuple, &key), 0);
	other.sport++;
	key.sport = htons(other.sport);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(p->skel->maps.claims), &tuple, &key, 0),
			 0);
	d = in(p, &syn4);
	assert_int_not_equal(d.sport, first.sport);
	d = open_flow(p, &syn4);
	assert_int_not_equal(d.sport, first.sport);
}

static void test_same_client_port_opens_anew_after_the_end(void **state)
{
	struct plane *p = *state;
	struct datagram seen = open_flow(p, &syn4), d;

	d = site_answer(&seen, TCP_RST, SERVER_ISN + 1, 0);
	back(p, &d, &syn4);
	d = syn4;
	d.seq = 70000;
	open_flow(p, &d);
	assert_int_equal(live(p, SITE_FOUR), 1);
	assert_int_equal(entries(p->skel->maps.translations), 1);
	assert_int_equal(entries(p->skel->maps.reverse), 1);
}

static void test_flow_of_a_dead_backend_is_forgotten(void **state)
{
	struct plane *p = *state;
	struct datagram d;

	open_flow(p, &syn4);
	p->backends[SITE_FOUR].flags = 0;
	d = segment_of(syn4, TCP_ACK, CLIENT_ISN + 1, SERVER_ISN + 1);
	lost(p, &d, REASON_DROP_NO_FLOW);
	assert_int_equal(live(p, SITE_FOUR), 0);
	assert_int_equal(entries(p->skel->maps.translations), 0);
	lost(p, &syn4, REASON_DROP_NO_BACKEND);
}

static void test_full_table_refuses_new_flows_and_keeps_the_old(void **state)
{
	struct plane *p = *state;
	struct datagram syn = syn4, seen, d;

	for (int i = 0; i < SITE_FLOWS; i++) {
		syn.sport++;
		open_flow(p, &syn);
	}
	syn.sport++;
	seen = in(p, &syn);
	d = site_answer(&seen, TCP_SYN | TCP_ACK, SERVER_ISN, CLIENT_ISN + 1);
	back(p, &d, &syn);
	d = segment_of(syn, TCP_ACK, CLIENT_ISN + 1, SERVER_ISN + 1);
	lost(p, &d, REASON_DROP_FLOWS_FULL);
	assert_int_equal(live(p, SITE_FOUR), SITE_FLOWS);
	d.sport--;
	in(p, &d);
}

/* Pairs of spoofed packets to a service of dsr fill `flows`. */
static void test_flows_of_other_services_keep_no_new_one_out(void **state)
{
	struct plane *p = *state;
	int flows = bpf_map__fd(p->skel->maps.flows);
	struct flow_key key = {.service = 99};
	const struct flow other = {.backend = SITE_SIX};
	struct datagram d;

	for (key.sport = 0; key.sport < SITE_FLOWS; key.sport++)
		assert_int_equal(bpf_map_update_elem(flows, &key, &other, 0), 0);
	open_flow(p, &syn4);
	assert_int_equal(live(p, SITE_FOUR), 0);
	assert_int_equal(plane_reason(p, REASON_FLOW_TABLE_FULL), 1);
	key.sport = 0;
	assert_int_equal(bpf_map_delete_elem(flows, &key), 0);
	plane_clock_set(p, 2000);
	d = segment_of(syn4, TCP_ACK, CLIENT_ISN + 1, SERVER_ISN + 1);
	in(p, &d);
	assert_int_equal(live(p, SITE_FOUR), 1);
}

/* Twenty times the size of what a flood may fill; the first connection stays. */
static void test_syn_flood_takes_no_port_and_no_flow(void **state)
{
	struct plane *p = *state;
	struct datagram syn = syn4, seen, d;

	seen = open_flow(p, &syn4);
	for (int i = 0; i < 100000; i++) {
		snprintf(syn.src, sizeof(syn.src), "10.%d.%d.9", i >> 8 & 255, i & 255);
		syn.sport = (uint16_t)(i * 7 + 1);
		in(p, &syn);
	}
	d = segment_of(syn4, TCP_ACK, CLIENT_ISN + 1, SERVER_ISN + 1);
	assert_int_equal(in(p, &d).sport, seen.sport);
	d = site_answer(&seen, TCP_ACK, SERVER_ISN + 1, CLIENT_ISN + 1);
	back(p, &d, &syn4);
	d = syn4;
	d.sport = 50000;
	open_flow(p, &d);
	assert_int_equal(live(p, SITE_FOUR), 2);
}

static void test_two_flows_never_share_a_port(void **state)
{
	struct plane *p = *state;
	struct datagram syn = syn4;
	uint8_t seen[65536] = {0};

	for (int i = 0; i < SITE_FLOWS; i++) {
		uint16_t port;

		syn.sport++;
		port = open_flow(p, &syn).sport;
		assert_int_equal(seen[port]++, 0);
	}
}

static void test_probes_answers_go_up_untouched(void **state)
{
	struct datagram d = {.src = SITE_BACKEND4,
			     .dst = SITE_VIP4,
			     .protocol = IPPROTO_TCP,
			     .sport = 2525,
			     .dport = 45000,
			     .flags = TCP_ACK},
			out;

	assert_int_equal(datagram_run(*state, &d, &out), XDP_PASS);
	assert_string_equal(out.src, SITE_BACKEND4);
	assert_int_equal(out.ttl, 64);
}

static void test_udp_flow_is_kept_from_its_second_packet(void **state)
{
	struct plane *p = *state;
	struct datagram ask = site_udp(syn4), seen = in(p, &ask), d;

	d = site_udp(site_answer(&seen, 0, 0, 0));
	back(p, &d, &ask);
	assert_int_equal(live(p, SITE_FOUR), 0);
	assert_int_equal(in(p, &ask).sport, seen.sport);
	assert_int_equal(live(p, SITE_FOUR), 1);
	back(p, &d, &ask);
}

static void test_icmp_error_about_either_direction_arrives(void **state)
{
	struct plane *p = *state;
	struct datagram seen = open_flow(p, &syn4), sent, e, out, quoted;

	/* about what the client got */
	sent = segment_of(syn4, TCP_ACK, 1, 1);
	sent = site_answer(&sent, TCP_ACK, SERVER_ISN + 1, CLIENT_ISN + 1);
	e = (struct datagram){.protocol = IPPROTO_ICMP, .type = 3, .code = 4};
	strcpy(e.src, "203.0.113.9");
	strcpy(e.dst, SITE_VIP4);
	datagram_quote(&sent, 28, &e);
	assert_int_equal(datagram_run(p, &e, &out), XDP_TX);
	datagram_read_quoted(&out, &quoted);
	assert_string_equal(out.dst, SITE_BACKEND4);
	assert_string_equal(quoted.src, SITE_BACKEND4);
	assert_string_equal(quoted.dst, SITE_VIP4);
	assert_int_equal(quoted.sport, 2525);
	assert_int_equal(quoted.dport, seen.sport);
	/* about what the backend got */
	sent = seen;
	datagram_quote(&sent, 28, &e);
	strcpy(e.dst, seen.src);
	assert_int_equal(datagram_run(p, &e, &out), XDP_REDIRECT);
	datagram_read_quoted(&out, &quoted);
	assert_string_equal(out.dst, SITE_CLIENT4);
	assert_string_equal(quoted.src, SITE_CLIENT4);
	assert_int_equal(quoted.sport, 40000);
	assert_string_equal(quoted.dst, SITE_VIP4);
	assert_int_equal(quoted.dport, 25);
}

/* The backend sent it to an address of the node's: the kernel would answer by a RST. */
static void test_node_itself_answers_what_cannot_go_back(void **state)
{
	struct plane *p = *state;
	struct datagram syn = syn4, d, out, quoted;

	strcpy(syn.src, "10.66.0.7");
	d = open_flow(p, &syn);
	d = site_answer(&d, TCP_ACK, SERVER_ISN + 1, CLIENT_ISN + 1);
	d.payload_bytes = 100;
	d.df = true;
	assert_int_equal(datagram_run(p, &d, &out), XDP_TX);
	assert_string_equal(out.dst, SITE_BACKEND4);
	assert_int_equal(out.type << 8 | out.code, 0x0304);
	assert_int_equal(plane_reason(p, REASON_REPLY_TOO_BIG), 1);
	datagram_read_quoted(&out, &quoted);
	assert_string_equal(quoted.src, SITE_BACKEND4);
	assert_int_equal(quoted.dport, d.dport);
	d.payload_bytes = 0;
	d.ttl = 1;
	assert_int_equal(datagram_run(p, &d, &out), XDP_TX);
	assert_string_equal(out.dst, SITE_BACKEND4);
	assert_int_equal(out.type << 8 | out.code, 0x0b00);
	assert_int_equal(plane_reason(p, REASON_REPLY_TTL), 1);
	d.ttl = 64;
	back(p, &d, &syn);
	/* no way at all */
	strcpy(syn.src, "10.77.0.7");
	d = in(p, &syn);
	d = site_answer(&d, TCP_SYN | TCP_ACK, SERVER_ISN, CLIENT_ISN + 1);
	lost(p, &d, REASON_DROP_NO_ROUTE);
}

/* Its source is the client: the kernel answers, and quotes what the backend sent. */
static void test_kernel_answers_what_cannot_go_back_to_the_clients_address(void **state)
{
	struct plane *p = *state;
	struct datagram seen = open_flow(p, &syn4), d, out;

	d = site_answer(&seen, TCP_ACK, SERVER_ISN + 1, CLIENT_ISN + 1);
	d.ttl = 1;
	assert_int_equal(datagram_run(p, &d, &out), XDP_PASS);
	assert_string_equal(out.src, SITE_BACKEND4);
	assert_string_equal(out.dst, SITE_CLIENT4);
	assert_int_equal(out.ttl, 1);
}

static void test_silent_flow_refreshes_its_age_with_its_next_packet(void **state)
{
	struct plane *p = *state;
	struct datagram d;
	struct flow_key key;
	struct flow f;

	open_flow(p, &syn4);
	plane_clock_set(p, 5000);
	d = segment_of(syn4, TCP_ACK, CLIENT_ISN + 1, SERVER_ISN + 1);
	in(p, &d);
	assert_int_equal(bpf_map_get_next_key(bpf_map__fd(p->skel->maps.flows), NULL, &key), 0);
	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(p->skel->maps.flows), &key, &f), 0);
	assert_int_equal(f.seen, FLOW_EPOCH(5000));
}

static void test_stateful_nat_keeps_the_clients_address_and_port(void **state)
{
	struct datagram syn6 = site_six(syn4), seen;

	seen = open_flow(*state, &syn4);
	assert_string_equal(seen.src, SITE_CLIENT4);
	assert_int_equal(seen.sport, 40000);
	seen = open_flow(*state, &syn6);
	assert_string_equal(seen.src, SITE_CLIENT6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
		TEST(backend_sees_the_nodes_address_and_a_port_of_its_range),
		TEST(source_addresses_of_the_pool_are_used),
		TEST(flow_counts_as_live_from_the_clients_first_ack),
		TEST(ack_that_does_not_know_the_backends_number_opens_nothing),
		TEST(packet_of_an_unknown_flow_goes_nowhere),
		TEST(source_that_is_no_host_opens_nothing),
		TEST(unknown_flow_is_told_where_the_pool_says_so),
		TEST(spoofed_syn_does_not_disturb_a_live_flow),
		TEST(repeated_syn_keeps_its_port),
		TEST(flow_whose_port_was_taken_gets_another),
		TEST(same_client_port_opens_anew_after_the_end),
		TEST(flow_of_a_dead_backend_is_forgotten),
		TEST(full_table_refuses_new_flows_and_keeps_the_old),
		TEST(flows_of_other_services_keep_no_new_one_out),
		TEST(syn_flood_takes_no_port_and_no_flow),
		TEST(two_flows_never_share_a_port),
		TEST(probes_answers_go_up_untouched),
		TEST(udp_flow_is_kept_from_its_second_packet),
		TEST(icmp_error_about_either_direction_arrives),
		TEST(node_itself_answers_what_cannot_go_back),
		TEST(silent_flow_refreshes_its_age_with_its_next_packet),
		cmocka_unit_test_setup_teardown(
			test_stateful_nat_keeps_the_clients_address_and_port, setup_stateful_nat,
			teardown),
		cmocka_unit_test_setup_teardown(
			test_kernel_answers_what_cannot_go_back_to_the_clients_address,
			setup_stateful_nat, teardown),
	};

	if (!plane_permitted())
		return 77;
	datagram_network();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
