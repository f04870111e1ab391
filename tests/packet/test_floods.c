/* SPDX-License-Identifier: BSD-2-Clause */
/* test_floods.c: no flood and no silence loses an established flow, by BPF_PROG_TEST_RUN on the
 * real program and maps.
 *
 * Eight backends share a table of the usual size; a "change" moves every slot to the next backend,
 * as if all were drained in a circle, so that every known flow lives elsewhere than its slot says.
 * The clock is a map: 30 minutes pass in as many steps as it has epochs.
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
#include "bpf/hash.h"
#include "tests/packet/plane.h"

enum {
	SILENT = 100000,
	ROOM = 20000, /* of the flow table, beside the silent ones */
	FLOWS = SILENT + ROOM,
	EMBRYOS = 1 << 14,
	BACKENDS = 8,
	BEGIN_S = 160000,
	SILENCE_S = 30 * 60,
	STEPS = SILENCE_S / EPOCH_SECONDS + 1,
	CHURN = 5 * FLOWS, /* connections that come and go */
	FLOOD = 200000,	   /* packets, each of a flow of its own */
	OWN_IFINDEX = 1
};

/* Clients of different kinds never share an address. */
enum {
	CLIENT_SILENT = 0,
	CLIENT_CHURN = 0x400000,
	CLIENT_FLOOD = 0x800000,
	CLIENT_FULL = 0xc00000
};

enum { SERVICE_TCP = 3, SERVICE_UDP = 4 };

/* ---- the plane ---- */

static uint16_t owner_at(uint32_t slot)
{
	return (uint16_t)(1 + slot % BACKENDS);
}

static uint16_t next_owner(uint16_t owner)
{
	return (uint16_t)(1 + owner % BACKENDS);
}

static void table_fill(struct plane *p, bool changed)
{
	uint16_t *previous = calloc(p->slots, sizeof(*previous));

	assert_non_null(previous);
	for (uint32_t i = 0; i < p->slots; i++) {
		p->owners[i] = owner_at(i);
		previous[i] = BACKEND_NONE;
		if (changed) {
			previous[i] = owner_at(i);
			p->owners[i] = next_owner(owner_at(i)) | SLOT_TRANSITION;
		}
	}
	plane_table_set(p, 0, p->owners, previous);
	free(previous);
}

static struct frame_spec client(uint8_t protocol, uint32_t kind, uint32_t i)
{
	return (struct frame_spec){.protocol = protocol,
				   .tcp_flags = TCP_ACK,
				   .client = kind + i / 16 + 1,
				   .sport = (uint16_t)(20000 + i % 16 * 1000),
				   .dport = 25};
}

static int setup(void **state)
{
	const struct plane_sizes sizes = {
		.slots = SLOTS_DEFAULT, .flows = FLOWS, .embryos = EMBRYOS};
	const struct frame_spec tcp = client(IPPROTO_TCP, 0, 0), udp = client(IPPROTO_UDP, 0, 0);
	struct plane *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	assert_int_equal(plane_open(&sizes, p), 0);
	plane_service_set(p, &tcp, SERVICE_TCP, 0);
	plane_service_set(p, &udp, SERVICE_UDP, 0);
	for (uint32_t b = 1; b <= BACKENDS; b++)
		plane_backend_set(p, b, OWN_IFINDEX);
	plane_clock_set(p, BEGIN_S);
	table_fill(p, false);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	plane_close(*state);
	free(*state);
	return 0;
}

static uint16_t slot_owner(const struct plane *p, const struct frame_spec *spec)
{
	struct tuple t;

	frame_tuple(spec, &t);
	return p->owners[flow_slot((const __u64 *)p->key, &t, 0, p->slots)] & SLOT_BACKEND;
}

/* The backend that a packet goes to. */
static uint16_t sent_to(const struct plane *p, struct frame_spec spec, uint8_t flags)
{
	struct frame frame;

	spec.tcp_flags = flags;
	frame_build(&spec, &frame);
	assert_int_equal(plane_run(p->fd, &frame, NULL), XDP_TX);
	return (uint16_t)(frame.bytes[4] << 8 | frame.bytes[5]);
}

/* ---- what the flow table has ---- */

/* BACKEND_NONE: it is not there. */
static uint16_t flow_backend(const struct plane *p, const struct frame_spec *spec)
{
	struct flow_key key;
	struct flow f;

	frame_flow_key(spec, spec->protocol == IPPROTO_UDP ? SERVICE_UDP : SERVICE_TCP, &key);
	if (bpf_map_lookup_elem(bpf_map__fd(p->skel->maps.flows), &key, &f) < 0)
		return BACKEND_NONE;
	return f.backend;
}

static uint32_t flow_count(const struct plane *p)
{
	struct flow_key key, next, *from = NULL;
	uint32_t n = 0;

	for (; bpf_map_get_next_key(bpf_map__fd(p->skel->maps.flows), from, &next) == 0; n++) {
		key = next;
		from = &key;
	}
	return n;
}

static uint64_t opened(const struct plane *p)
{
	uint64_t sum = 0;

	for (uint32_t b = 1; b <= BACKENDS; b++)
		sum += plane_backend_stats(p, b).opened;
	return sum;
}

/* ---- established flows ---- */

static void silent_establish(const struct plane *p)
{
	for (uint32_t i = 0; i < SILENT; i++) {
		struct frame_spec s = client(IPPROTO_TCP, CLIENT_SILENT, i);
		uint16_t owner = slot_owner(p, &s);

		assert_int_equal(sent_to(p, s, TCP_SYN), owner);
		assert_int_equal(sent_to(p, s, TCP_ACK), owner);
		assert_int_equal(flow_backend(p, &s), owner);
	}
	assert_int_equal(flow_count(p), SILENT);
}

/* Each is in the table, and its next packet goes where it always went: to the owner that its slot
 * had when it was established.
 */
static void silent_assert_all_there(const struct plane *p, const uint16_t *owners_then)
{
	uint32_t lost = 0, moved = 0;

	for (uint32_t i = 0; i < SILENT; i++) {
		struct frame_spec s = client(IPPROTO_TCP, CLIENT_SILENT, i);

		lost += flow_backend(p, &s) != owners_then[i];
		moved += sent_to(p, s, TCP_ACK | TCP_PSH) != owners_then[i];
	}
	assert_int_equal(lost, 0);
	assert_int_equal(moved, 0);
	assert_int_equal(plane_reason(p, REASON_FLOW_MOVED), 0);
}

static uint16_t *silent_owners(const struct plane *p)
{
	uint16_t *owners = calloc(SILENT, sizeof(*owners));

	assert_non_null(owners);
	for (uint32_t i = 0; i < SILENT; i++) {
		struct frame_spec s = client(IPPROTO_TCP, CLIENT_SILENT, i);

		owners[i] = slot_owner(p, &s);
	}
	return owners;
}

/* ---- what goes on beside them ---- */

/* A whole connection: all of its packets go to the owner of its slot. */
static void connection_run(const struct plane *p, uint32_t kind, uint32_t i)
{
	static const uint8_t life[] = {TCP_SYN, TCP_ACK, TCP_ACK | TCP_PSH, TCP_RST};
	struct frame_spec s = client(IPPROTO_TCP, kind, i);
	uint16_t owner = slot_owner(p, &s);

	for (size_t k = 0; k < sizeof(life); k++)
		assert_int_equal(sent_to(p, s, life[k]), owner);
}

/* Half an hour of connections that come and go, and of SYNs that nothing follows. */
static void churn(struct plane *p)
{
	uint32_t n = 0, syns = 0;

	for (uint32_t step = 1; step <= STEPS; step++) {
		plane_clock_set(p, BEGIN_S + step * EPOCH_SECONDS);
		for (; n < CHURN / STEPS * step; n++)
			connection_run(p, CLIENT_CHURN, n);
		for (; syns < FLOOD / STEPS * step; syns++)
			sent_to(p, client(IPPROTO_TCP, CLIENT_FLOOD, syns), TCP_SYN);
	}
	assert_true(n > 4 * FLOWS && n > 20 * EMBRYOS);
	assert_int_equal(plane_reason(p, REASON_FLOW_TABLE_FULL), 0);
}

static void test_flows_silent_for_30_minutes_are_all_there(void **state)
{
	struct plane *p = *state;
	uint16_t *owners = silent_owners(p);

	silent_establish(p);
	churn(p);
	silent_assert_all_there(p, owners);
	assert_int_equal(flow_count(p), SILENT);
	free(owners);
}

static void test_flows_silent_since_before_a_change_are_all_there(void **state)
{
	struct plane *p = *state;
	uint16_t *owners = silent_owners(p);

	silent_establish(p);
	table_fill(p, true);
	churn(p);
	silent_assert_all_there(p, owners);
	assert_int_equal(flow_count(p), SILENT);
	assert_int_equal(plane_reason(p, REASON_FLOW_PREVIOUS), 0); /* every one was found */
	free(owners);
}

/* ---- floods ---- */

/* @sources: a number of its own for each flood: two packets of a tuple would be a flow. */
static void flood(const struct plane *p, uint32_t sources, uint8_t protocol, uint8_t flags)
{
	uint64_t before = opened(p);

	for (uint32_t i = 0; i < FLOOD; i++)
		sent_to(p, client(protocol, CLIENT_FLOOD + (sources << 16), i), flags);
	assert_int_equal(opened(p), before);
	assert_int_equal(plane_reason(p, REASON_FLOW_TABLE_FULL), 0);
}

_Static_assert(FLOOD > FLOWS && FLOOD > 10 * EMBRYOS, "more than any table could hold");

static void floods_leave_established_flows_alone(struct plane *p, bool changed)
{
	uint16_t *owners = silent_owners(p);

	silent_establish(p);
	if (changed)
		table_fill(p, true);
	flood(p, 0, IPPROTO_TCP, TCP_SYN);
	flood(p, 1, IPPROTO_TCP, TCP_ACK);
	flood(p, 2, IPPROTO_UDP, 0);
	assert_int_equal(flow_count(p), SILENT);
	silent_assert_all_there(p, owners);
	free(owners);
}

static void test_floods_in_settled_slots_churn_embryos_only(void **state)
{
	floods_leave_established_flows_alone(*state, false);
}

static void test_floods_in_slots_in_transition_churn_embryos_only(void **state)
{
	floods_leave_established_flows_alone(*state, true);
}

/* Two packets of each make it a flow: an attacker can fill the table, and gains nothing by it. */
static void table_exhaust(const struct plane *p)
{
	for (uint32_t i = 0; i < 2 * ROOM; i++) {
		struct frame_spec s = client(IPPROTO_TCP, CLIENT_FLOOD, i);

		sent_to(p, s, TCP_SYN);
		sent_to(p, s, TCP_ACK);
	}
	assert_int_equal(flow_count(p), FLOWS);
	assert_true(plane_reason(p, REASON_FLOW_TABLE_FULL) > 0);
}

static void test_full_table_keeps_its_flows_and_new_ones_are_forwarded_and_counted(void **state)
{
	struct plane *p = *state;
	uint16_t *owners = silent_owners(p);

	silent_establish(p);
	for (int changed = 0; changed < 2; changed++) {
		uint64_t full;

		table_fill(p, changed);
		if (!changed)
			table_exhaust(p);
		full = plane_reason(p, REASON_FLOW_TABLE_FULL);
		for (uint32_t i = 0; i < 1000; i++)
			connection_run(p, CLIENT_FULL, i);
		assert_true(plane_reason(p, REASON_FLOW_TABLE_FULL) >= full + 900);
		assert_int_equal(flow_count(p), FLOWS);
		silent_assert_all_there(p, owners);
	}
	free(owners);
}

/* ---- who may steer ---- */

/* The kernel hashes the keys of `flows` with a seed of its own, unless it was told not to. */
static void test_flow_table_has_a_seed_of_its_own(void **state)
{
	struct plane *p = *state;
	struct bpf_map_info info = {0};
	uint32_t size = sizeof(info);

	assert_int_equal(bpf_obj_get_info_by_fd(bpf_map__fd(p->skel->maps.flows), &info, &size), 0);
	assert_int_equal(info.type, BPF_MAP_TYPE_HASH);
	assert_int_equal(info.map_flags & BPF_F_ZERO_SEED, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_flows_silent_for_30_minutes_are_all_there),
		TEST(test_flows_silent_since_before_a_change_are_all_there),
		TEST(test_floods_in_settled_slots_churn_embryos_only),
		TEST(test_floods_in_slots_in_transition_churn_embryos_only),
		TEST(test_full_table_keeps_its_flows_and_new_ones_are_forwarded_and_counted),
		TEST(test_flow_table_has_a_seed_of_its_own),
	};

	if (!plane_permitted())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
