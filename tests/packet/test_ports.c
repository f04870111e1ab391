/* SPDX-License-Identifier: BSD-2-Clause */
/* test_ports.c: source ports of fullnat, when few of them are left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "balancer.skel.h"
#include "tests/packet/nat_talk.h"

enum { FEW = 4, TIGHT = SITE_FLOWS * 5 / 4 };

static int setup_of(void **state, uint16_t ports)
{
	struct plane *p = calloc(1, sizeof(*p));

	site_open_ports(p, FORWARD_FULLNAT, 0, ports);
	*state = p;
	return 0;
}

static int setup_few(void **state)
{
	return setup_of(state, FEW);
}

static int setup_tight(void **state)
{
	return setup_of(state, TIGHT);
}

static int teardown(void **state)
{
	plane_close(*state);
	free(*state);
	return 0;
}

/* They lie anywhere in the range: in a row, they would crowd together. */
static void test_ports_are_found_when_four_fifths_are_in_use(void **state)
{
	uint8_t seen[65536] = {0};
	struct datagram syn = syn4;
	uint32_t neighbours = 0;

	for (int i = 0; i < SITE_FLOWS; i++) {
		uint16_t port;

		syn.sport++;
		port = open_flow(*state, &syn).sport;
		assert_int_equal(seen[port]++, 0);
	}
	for (int port = 1; port < 65536; port++)
		neighbours += seen[port] != seen[port - 1];
	assert_true(neighbours > SITE_FLOWS / 4);
	assert_int_equal(plane_reason(*state, REASON_DROP_NO_PORT), 0);
}

static void all_take(struct plane *p, struct datagram ret_syns[static FEW],
		     uint16_t ret_ports[static FEW])
{
	for (uint16_t i = 0; i < FEW; i++) {
		ret_syns[i] = syn4;
		ret_syns[i].sport = (uint16_t)(syn4.sport + i);
		ret_ports[i] = open_flow(p, &ret_syns[i]).sport;
		for (int j = 0; j < i; j++)
			assert_int_not_equal(ret_ports[i], ret_ports[j]);
	}
}

static void test_nobody_takes_the_port_of_a_live_connection(void **state)
{
	struct datagram syns[FEW], syn = syn4, d;
	struct plane *p = *state;
	uint16_t ports[FEW];

	all_take(p, syns, ports);
	syn.sport = 50000;
	lost(p, &syn, REASON_DROP_NO_PORT);
	for (int i = 0; i < FEW; i++) {
		d = segment_of(syns[i], TCP_ACK, CLIENT_ISN + 1, SERVER_ISN + 1);
		assert_int_equal(in(p, &d).sport, ports[i]);
	}
}

static void test_port_of_a_connection_that_has_ended_is_given_again(void **state)
{
	struct datagram syns[FEW], syn = syn4, d, seen;
	struct plane *p = *state;
	uint16_t ports[FEW];

	all_take(p, syns, ports);
	d = segment_of(syns[2], TCP_RST, CLIENT_ISN + 1, 0);
	in(p, &d);
	syn.sport = 50000;
	seen = open_flow(p, &syn);
	assert_int_equal(seen.sport, ports[2]);
	assert_int_equal(plane_reason(p, REASON_PORT_REUSED), 1);
	assert_int_equal(live(p, SITE_FOUR), FEW);
	lost(p, &d, REASON_DROP_NO_FLOW);
	d = site_answer(&seen, TCP_ACK, SERVER_ISN + 1, CLIENT_ISN + 1);
	back(p, &d, &syn);
	syn.sport++;
	lost(p, &syn, REASON_DROP_NO_PORT);
}

/* What a port's next connection is told of, the one before hears nothing of. */
static void test_client_whose_port_was_given_again_opens_anew(void **state)
{
	struct datagram syns[FEW], syn = syn4, d, seen;
	struct plane *p = *state;
	uint16_t ports[FEW];

	all_take(p, syns, ports);
	for (int i = 0; i < 2; i++) {
		d = segment_of(syns[i], TCP_RST, CLIENT_ISN + 1, 0);
		in(p, &d);
	}
	syn.sport = 50000;
	seen = open_flow(p, &syn);
	d = open_flow(p, &syns[0]);
	assert_int_not_equal(d.sport, seen.sport);
	assert_int_equal(live(p, SITE_FOUR), FEW);
	d = site_answer(&seen, TCP_ACK, SERVER_ISN + 1, CLIENT_ISN + 1);
	back(p, &d, &syn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ports_are_found_when_four_fifths_are_in_use,
						setup_tight, teardown),
		cmocka_unit_test_setup_teardown(test_nobody_takes_the_port_of_a_live_connection,
						setup_few, teardown),
		cmocka_unit_test_setup_teardown(
			test_port_of_a_connection_that_has_ended_is_given_again, setup_few,
			teardown),
		cmocka_unit_test_setup_teardown(test_client_whose_port_was_given_again_opens_anew,
						setup_few, teardown),
	};

	if (!plane_permitted())
		return 77;
	datagram_network();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
