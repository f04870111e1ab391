/* SPDX-License-Identifier: BSD-2-Clause */
/* test_tell.c: which flows user space hears of, so that it can tell a partner (bpf/tell.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdlib.h>
#include <string.h>

#include "balancer.skel.h"
#include "tests/packet/dsr_site.h"
#include "tests/packet/nat_talk.h"

enum { MOST = 64 };

struct heard {
	uint32_t n;
	struct exception events[MOST];
};

static int on_event(void *owner, void *event, size_t bytes)
{
	struct heard *heard = owner;

	assert_int_equal(bytes, sizeof(struct exception));
	assert_true(heard->n < MOST);
	memcpy(&heard->events[heard->n++], event, sizeof(struct exception));
	return 0;
}

/* What was said since the last time. */
static struct heard hear(struct plane *p)
{
	struct heard heard = {0};
	struct ring_buffer *ring =
		ring_buffer__new(bpf_map__fd(p->skel->maps.exceptions), on_event, &heard, NULL);

	assert_non_null(ring);
	assert_true(ring_buffer__consume(ring) >= 0);
	ring_buffer__free(ring);
	return heard;
}

static uint32_t say(struct plane *p, struct frame_spec spec, uint8_t flags)
{
	struct frame frame;

	spec.tcp_flags = flags;
	frame_build(&spec, &frame);
	return dsr_forwarded(p, &frame);
}

static void test_flow_of_a_settled_slot_is_not_told(void **state)
{
	struct plane *p = *state;

	say(p, dsr_base4, TCP_SYN);
	say(p, dsr_base4, TCP_ACK);
	say(p, dsr_base4, TCP_FIN | TCP_ACK);
	assert_int_equal(hear(p).n, 0);
}

static void test_flow_that_began_in_transition_is_told_once_it_is_one(void **state)
{
	struct plane *p = *state;
	struct heard heard;
	struct flow_key key;

	dsr_table_fill(p, OWNER | SLOT_TRANSITION, PREVIOUS);
	assert_int_equal(say(p, dsr_base4, TCP_SYN), OWNER);
	heard = hear(p);
	assert_int_equal(heard.n, 1);
	assert_int_equal(heard.events[0].what, EXCEPTION_EMBRYO);
	assert_int_equal(heard.events[0].backend, OWNER);
	for (int i = 0; i < 3; i++)
		say(p, dsr_base4, TCP_ACK);
	heard = hear(p);
	assert_int_equal(heard.n, 1);
	frame_flow_key(&dsr_base4, DSR_SERVICE4, &key);
	assert_memory_equal(&heard.events[0].key, &key, sizeof(key));
	assert_int_equal(heard.events[0].what, EXCEPTION_FLOW);
}

static void test_flow_that_the_partner_sends_there_by_itself_is_not_told(void **state)
{
	struct plane *p = *state;

	dsr_table_fill(p, OWNER | SLOT_TRANSITION, PREVIOUS);
	assert_int_equal(say(p, dsr_base4, TCP_ACK), PREVIOUS);
	assert_int_equal(say(p, dsr_base4, TCP_ACK), PREVIOUS);
	assert_int_equal(hear(p).n, 0);
}

/* The partner may remember an older flow of the same ports elsewhere. */
static void test_flow_that_began_at_a_previous_owner_that_is_owner_again_is_told(void **state)
{
	struct plane *p = *state;
	struct heard heard;

	dsr_table_fill(p, OWNER | SLOT_TRANSITION, OWNER);
	say(p, dsr_base4, TCP_SYN);
	say(p, dsr_base4, TCP_ACK);
	heard = hear(p);
	assert_int_equal(heard.n, 1);
	assert_int_equal(heard.events[0].what, EXCEPTION_FLOW);
}

static void test_without_a_partner_nothing_is_told(void **state)
{
	const struct plane_sizes sizes = {.slots = DSR_SLOTS, .flows = 64, .embryos = 1024};
	struct plane p;

	(void)state;
	assert_int_equal(plane_open(&sizes, &p), 0);
	plane_service_set(&p, &dsr_base4, DSR_SERVICE4, 0);
	plane_backend_set(&p, OWNER, 1);
	plane_backend_set(&p, PREVIOUS, 1);
	plane_clock_set(&p, 1000);
	dsr_table_fill(&p, OWNER | SLOT_TRANSITION, PREVIOUS);
	say(&p, dsr_base4, TCP_SYN);
	say(&p, dsr_base4, TCP_ACK);
	assert_int_equal(plane_backend_stats(&p, OWNER).opened, 1);
	assert_int_equal(hear(&p).n, 0);
	plane_close(&p);
}

static void test_full_ring_is_counted_and_hinders_no_packet(void **state)
{
	struct plane *p = *state;
	uint64_t lost[512] = {0}, sum = 0;
	/* embryos and flows by turns, then flows alone */
	uint32_t zero = 0, n = EXCEPTIONS_BYTES / 32 - EMBRYOS_BYTES / 32 / 2 + 100;
	struct frame_spec spec = dsr_base4;
	int flows = bpf_map__fd(p->skel->maps.flows);

	dsr_table_fill(p, OWNER | SLOT_TRANSITION, PREVIOUS);
	for (uint32_t i = 0; i < n; i++) {
		struct flow_key key;

		spec.client = i;
		say(p, spec, TCP_SYN);
		say(p, spec, TCP_ACK);
		frame_flow_key(&spec, DSR_SERVICE4, &key);
		assert_int_equal(bpf_map_delete_elem(flows, &key), 0);
	}
	assert_int_equal(
		bpf_map_lookup_elem(bpf_map__fd(p->skel->maps.exceptions_lost), &zero, lost), 0);
	for (uint32_t i = 0; i < p->cpus; i++)
		sum += lost[i];
	assert_true(sum >= 100 && sum <= 200);
}

/* ---- translations ---- */

static int nat_setup(void **state)
{
	struct plane *p = calloc(1, sizeof(*p));

	site_open(p, FORWARD_FULLNAT, 0);
	*state = p;
	return 0;
}

static int nat_teardown(void **state)
{
	plane_close(*state);
	free(*state);
	return 0;
}

static void test_translation_is_told_when_it_is_confirmed_and_when_it_ends(void **state)
{
	struct plane *p = *state;
	struct datagram seen, d;
	struct heard heard;

	in(p, &syn4);
	assert_int_equal(hear(p).n, 0);
	seen = open_flow(p, &syn4);
	heard = hear(p);
	assert_int_equal(heard.n, 2);
	assert_int_equal(heard.events[0].what, EXCEPTION_NASCENT);
	assert_int_equal(heard.events[1].what, EXCEPTION_TRANSLATION);
	d = segment_of(syn4, TCP_ACK | TCP_FIN, CLIENT_ISN + 1, SERVER_ISN + 1);
	in(p, &d);
	assert_int_equal(hear(p).n, 0);
	d = site_answer(&seen, TCP_ACK | TCP_FIN, SERVER_ISN + 1, CLIENT_ISN + 2);
	back(p, &d, &syn4);
	assert_int_equal(hear(p).n, 1);
}

static void flags_add(struct plane *p, uint32_t flags)
{
	int map = bpf_map__fd(p->skel->maps.translations);
	struct translation t;
	struct flow_key key;

	assert_int_equal(bpf_map_get_next_key(map, NULL, &key), 0);
	assert_int_equal(bpf_map_lookup_elem(map, &key, &t), 0);
	t.flags |= flags;
	assert_int_equal(bpf_map_update_elem(map, &key, &t, BPF_EXIST), 0);
}

/* A partner's numbers are as old as what it said: this connection has gone on for 1 GiB. */
static void test_imported_translation_learns_its_numbers_from_the_backend(void **state)
{
	struct plane *p = *state;
	struct datagram seen = open_flow(p, &syn4), d;
	uint32_t far = 1U << 30;

	flags_add(p, TRANSLATION_IMPORTED);
	d = segment_of(syn4, TCP_ACK, CLIENT_ISN + far, SERVER_ISN + far);
	in(p, &d);
	d = site_answer(&seen, TCP_ACK, SERVER_ISN + far, CLIENT_ISN + far);
	back(p, &d, &syn4);
	d = segment_of(syn4, TCP_RST, CLIENT_ISN + 1, 0);
	in(p, &d);
	assert_int_equal(live(p, SITE_FOUR), 1);
	d = segment_of(syn4, TCP_RST, CLIENT_ISN + far, 0);
	in(p, &d);
	assert_int_equal(live(p, SITE_FOUR), 0);
}

static void test_imported_translation_ends_by_the_fins_of_both(void **state)
{
	struct plane *p = *state;
	struct datagram seen = open_flow(p, &syn4), d;
	uint32_t far = 1U << 30;

	flags_add(p, TRANSLATION_IMPORTED);
	d = segment_of(syn4, TCP_FIN | TCP_ACK, CLIENT_ISN + far, SERVER_ISN + far);
	in(p, &d);
	assert_int_equal(live(p, SITE_FOUR), 1);
	d = site_answer(&seen, TCP_FIN | TCP_ACK, SERVER_ISN + far, CLIENT_ISN + far + 1);
	back(p, &d, &syn4);
	assert_int_equal(live(p, SITE_FOUR), 0);
}

int main(void)
{
#define DSR(name) cmocka_unit_test_setup_teardown(name, dsr_setup, dsr_teardown)
#define NAT(name) cmocka_unit_test_setup_teardown(name, nat_setup, nat_teardown)
	const struct CMUnitTest tests[] = {
		DSR(test_flow_of_a_settled_slot_is_not_told),
		DSR(test_flow_that_began_in_transition_is_told_once_it_is_one),
		DSR(test_flow_that_the_partner_sends_there_by_itself_is_not_told),
		DSR(test_flow_that_began_at_a_previous_owner_that_is_owner_again_is_told),
		cmocka_unit_test(test_without_a_partner_nothing_is_told),
		DSR(test_full_ring_is_counted_and_hinders_no_packet),
		NAT(test_translation_is_told_when_it_is_confirmed_and_when_it_ends),
		NAT(test_imported_translation_learns_its_numbers_from_the_backend),
		NAT(test_imported_translation_ends_by_the_fins_of_both),
	};

	if (!plane_permitted())
		return 77;
	datagram_network();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
