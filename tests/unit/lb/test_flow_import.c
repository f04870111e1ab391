/* SPDX-License-Identifier: BSD-2-Clause */
/* test_flow_import.c: what must hold of a partner's flows and translations on their way into our
 * maps, which are real ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <cmocka.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "lb/flow_import.h"
#include "lb/partner_flows.h"
#include "lb/partner_kinds.h"
#include "lb/words.h"
#include "tests/unit/lb/nodes.h"

enum { SKIP = 77, ROOM = 64, MX1 = 1, MX2 = 2, SMTP = 7, FLOW_BYTES = 50, TRANSLATION_BYTES = 94 };

static struct event_base *loop;
static struct node *node;
static struct plane *plane;
static struct flow_sweep *sweep;

static void map_make(enum plane_map map, enum bpf_map_type type, uint32_t key, uint32_t value)
{
	plane->maps[map] = bpf_map_create(type, "test", key, value, ROOM, NULL);
	assert_true(plane->maps[map] >= 0);
}

static void backend_put(uint32_t number, const char *name, uint8_t last)
{
	struct current_backend *b = &node->lb.current->backends[number];

	*b = (struct current_backend){.used = true, .pool_name = "mx"};
	snprintf(b->name, sizeof(b->name), "%s", name);
	b->plane.addr[10] = b->plane.addr[11] = 0xff;
	memcpy(b->plane.addr + 12, (uint8_t[]){192, 0, 2, last}, 4);
}

static int set_up(void **state)
{
	(void)state;
	loop = event_base_new();
	node = node_new(loop, "lb1", true);
	plane = &node->plane;
	sweep = node->lb.sweep;
	map_make(MAP_FLOWS, BPF_MAP_TYPE_HASH, sizeof(struct flow_key), sizeof(struct flow));
	map_make(MAP_TRANSLATIONS, BPF_MAP_TYPE_HASH, sizeof(struct flow_key),
		 sizeof(struct translation));
	map_make(MAP_REVERSE, BPF_MAP_TYPE_HASH, sizeof(struct tuple), sizeof(struct flow_key));
	map_make(MAP_NASCENT, BPF_MAP_TYPE_LRU_HASH, sizeof(struct flow_key),
		 sizeof(struct translation));
	map_make(MAP_CLAIMS, BPF_MAP_TYPE_LRU_HASH, sizeof(struct tuple), sizeof(struct flow_key));
	map_make(MAP_SERVICES, BPF_MAP_TYPE_HASH, sizeof(struct service_key),
		 sizeof(struct service));
	backend_put(MX1, "mx1", 21);
	backend_put(MX2, "mx2", 22);
	partner_flows_applied(&node->lb);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (int i = 0; i < MAP_COUNT; i++) {
		if (plane->maps[i] >= 0)
			close(plane->maps[i]);
	}
	node_free(node);
	event_base_free(loop);
	return 0;
}

static struct flow_key key_of(uint16_t port)
{
	return (struct flow_key){.src = {1}, .sport = port, .service = SMTP};
}

static struct flow flow_of(uint16_t backend, uint16_t seen, uint8_t flags)
{
	return (struct flow){.backend = backend, .seen = seen, .flags = flags};
}

static int take(uint16_t port, struct flow f, bool ours)
{
	const struct flow_key key = key_of(port);

	return flow_import(plane, sweep, &key, &f, ours);
}

static struct flow known(uint16_t port)
{
	const struct flow_key key = key_of(port);
	struct flow f = {.backend = BACKEND_NONE};

	bpf_map_lookup_elem(plane->maps[MAP_FLOWS], &key, &f);
	return f;
}

static void test_flow_is_taken_counted_and_only_becomes_younger(void **state)
{
	(void)state;
	assert_int_equal(take(1, flow_of(MX1, 100, 0), false), 0);
	assert_int_equal(known(1).backend, MX1);
	assert_int_equal(flow_sweep_live(sweep, MX1), 1);
	assert_int_equal(take(1, flow_of(MX1, 90, 0), false), 1);
	assert_int_equal(known(1).seen, 100);
	assert_int_equal(take(1, flow_of(MX1, 101, 0), false), 0);
	assert_int_equal(known(1).seen, 101);
	assert_int_equal(take(2, flow_of(MX1, 65530, 0), false), 0);
	assert_int_equal(take(2, flow_of(MX1, 5, 0), false), 0); /* epochs begin anew */
	assert_int_equal(known(2).seen, 5);
	assert_int_equal(flow_sweep_live(sweep, MX1), 2);
	assert_int_equal(take(1, flow_of(MX1, 102, FLOW_CLOSING), false), 0);
	assert_int_equal(flow_sweep_live(sweep, MX1), 1);
	assert_int_equal(take(1, flow_of(MX2, 103, 0), false), 0); /* it lives elsewhere */
	assert_int_equal(known(1).backend, MX2);
	assert_true(flow_sweep_live(sweep, MX1) == 1 && flow_sweep_live(sweep, MX2) == 1);
}

static void test_who_has_the_traffic_only_takes_what_it_does_not_know(void **state)
{
	(void)state;
	assert_int_equal(take(1, flow_of(MX1, 100, 0), true), 0);
	assert_int_equal(take(1, flow_of(MX2, 200, FLOW_CLOSING), true), 1);
	assert_true(known(1).backend == MX1 && known(1).seen == 100 && !known(1).flags);
	assert_int_equal(flow_sweep_live(sweep, MX1), 1);
}

static void test_full_table_evicts_nobody(void **state)
{
	(void)state;
	for (uint16_t i = 0; i < ROOM; i++)
		assert_int_equal(take(i, flow_of(MX1, 100, 0), false), 0);
	assert_int_equal(take(ROOM, flow_of(MX1, 100, 0), false), -E2BIG);
	assert_int_equal(known(0).backend, MX1);
	assert_int_equal(flow_sweep_live(sweep, MX1), ROOM);
}

/* ---- translations ---- */

static struct translation translation_of(uint16_t back_port, uint16_t seen, uint32_t flags)
{
	return (struct translation){.back = {.dport = back_port, .protocol = IPPROTO_TCP},
				    .backend = MX1,
				    .service = SMTP,
				    .seen = seen,
				    .flags = flags};
}

static int translation_take(uint16_t port, uint16_t back_port, uint16_t seen, bool ours)
{
	const struct translation t = translation_of(back_port, seen, 0);
	const struct flow_key key = key_of(port);

	return translation_import(plane, sweep, &key, &t, ours);
}

/* As the program makes one. */
static void translation_put(uint16_t port, uint16_t back_port, uint32_t flags)
{
	const struct translation t = translation_of(back_port, 100, flags);
	const struct flow_key key = key_of(port);
	const struct flow f = flow_of(MX1, 100, 0);

	assert_int_equal(bpf_map_update_elem(plane->maps[MAP_REVERSE], &t.back, &key, 0), 0);
	assert_int_equal(bpf_map_update_elem(plane->maps[MAP_TRANSLATIONS], &key, &t, 0), 0);
	assert_int_equal(bpf_map_update_elem(plane->maps[MAP_FLOWS], &key, &f, 0), 0);
}

static bool translated(uint16_t port, struct translation *ret)
{
	const struct flow_key key = key_of(port);

	return bpf_map_lookup_elem(plane->maps[MAP_TRANSLATIONS], &key, ret) == 0;
}

/* Whose is the way back? */
static int back_of(uint16_t back_port)
{
	const struct translation t = translation_of(back_port, 0, 0);
	struct flow_key key;

	return bpf_map_lookup_elem(plane->maps[MAP_REVERSE], &t.back, &key) == 0 ? key.sport : -1;
}

static void test_translation_is_taken_with_its_flow_and_its_way_back(void **state)
{
	struct translation t;

	(void)state;
	assert_int_equal(translation_take(1, 501, 100, false), 0);
	assert_true(translated(1, &t) && t.flags & TRANSLATION_IMPORTED);
	assert_int_equal(back_of(501), 1);
	assert_int_equal(known(1).backend, MX1);
	assert_int_equal(translation_take(1, 502, 101, false), 0); /* it began anew */
	assert_true(back_of(501) == -1 && back_of(502) == 1);
	assert_int_equal(translation_take(1, 502, 90, false), 0);
	assert_true(translated(1, &t) && t.seen == 101);
	assert_int_equal(flow_sweep_live(sweep, MX1), 1);
}

static void test_port_that_the_partner_gave_again_is_the_new_flows(void **state)
{
	struct translation t;

	(void)state;
	assert_int_equal(translation_take(1, 501, 100, false), 0);
	assert_int_equal(translation_take(2, 501, 101, false), 0);
	assert_true(!translated(1, &t) && translated(2, &t));
	assert_int_equal(back_of(501), 2);
	assert_int_equal(flow_sweep_live(sweep, MX1), 1);
	/* also when the traffic has just come here, and nothing of the old one came with it */
	assert_int_equal(translation_take(3, 501, 102, true), 0);
	assert_true(!translated(2, &t) && translated(3, &t));
}

static void test_flow_that_goes_on_here_keeps_its_port(void **state)
{
	struct translation t;

	(void)state;
	translation_put(1, 501, TRANSLATION_ANSWERED);
	assert_int_equal(translation_take(2, 501, 101, true), 1);
	assert_true(translated(1, &t) && !translated(2, &t));
	assert_int_equal(back_of(501), 1);
	assert_int_equal(known(2).backend, BACKEND_NONE);
	assert_int_equal(translation_take(1, 777, 101, true), 1); /* and its translation */
	assert_true(back_of(501) == 1 && back_of(777) == -1);
}

static void test_translations_that_are_full_leave_no_half(void **state)
{
	(void)state;
	for (uint16_t i = 0; i < ROOM; i++) {
		const struct translation t = translation_of(i, 100, 0);
		const struct flow_key key = key_of(i);

		assert_int_equal(bpf_map_update_elem(plane->maps[MAP_TRANSLATIONS], &key, &t, 0),
				 0);
	}
	assert_int_equal(translation_take(1000, 501, 100, false), -E2BIG);
	assert_int_equal(back_of(501), -1);
	assert_int_equal(known(1000).backend, BACKEND_NONE);
	assert_int_equal(flow_sweep_live(sweep, MX1), 0);
}

static void test_full_flow_table_leaves_the_translation_uncounted(void **state)
{
	struct translation t;

	(void)state;
	for (uint16_t i = 0; i < ROOM; i++)
		assert_int_equal(take(i, flow_of(MX2, 100, 0), false), 0);
	assert_int_equal(translation_take(1000, 501, 100, false), 0);
	assert_true(translated(1000, &t) && t.flags & TRANSLATION_UNCOUNTED);
	assert_int_equal(flow_sweep_live(sweep, MX1), 0);
}

static void test_handshake_of_the_partner_takes_no_port_of_ours(void **state)
{
	const struct translation t = translation_of(501, 100, 0);
	const struct flow_key one = key_of(1), two = key_of(2);
	struct flow_key key;

	(void)state;
	assert_int_equal(nascent_import(plane, sweep, &one, &t, true), 0);
	assert_int_equal(nascent_import(plane, sweep, &two, &t, true), 1);
	assert_int_equal(bpf_map_lookup_elem(plane->maps[MAP_CLAIMS], &t.back, &key), 0);
	assert_int_equal(key.sport, 1);
	assert_int_equal(nascent_import(plane, sweep, &two, &t, false), 0);
	assert_int_equal(bpf_map_lookup_elem(plane->maps[MAP_CLAIMS], &t.back, &key), 0);
	assert_int_equal(key.sport, 2);
}

/* A node that was away remembers who had that port before. */
static void test_handshake_of_the_partner_ends_what_had_its_port(void **state)
{
	const struct translation t = translation_of(501, 100, 0);
	const struct flow_key two = key_of(2);
	struct translation ended;
	struct flow_key key;

	(void)state;
	assert_int_equal(translation_take(1, 501, 100, false), 0);
	assert_int_equal(nascent_import(plane, sweep, &two, &t, false), 0);
	assert_int_equal(bpf_map_lookup_elem(plane->maps[MAP_REVERSE], &t.back, &key), -ENOENT);
	assert_false(translated(1, &ended));
	assert_int_equal(flow_sweep_live(sweep, MX1), 0);
}

/* Its ports begin anew, by another way: what comes from the client must not go by the old one. */
static void test_handshake_of_the_partner_ends_what_had_its_ports(void **state)
{
	const struct translation t = translation_of(502, 101, 0),
				 same = translation_of(501, 101, 0);
	const struct flow_key key = key_of(1);
	struct translation have;
	struct flow_key other;

	(void)state;
	assert_int_equal(translation_take(1, 501, 100, false), 0);
	assert_int_equal(nascent_import(plane, sweep, &key, &same, false), 0);
	assert_true(translated(1, &have)); /* it is that handshake's, and told twice */
	assert_int_equal(nascent_import(plane, sweep, &key, &t, false), 0);
	assert_false(translated(1, &have));
	assert_int_equal(bpf_map_lookup_elem(plane->maps[MAP_REVERSE], &same.back, &other),
			 -ENOENT);
	assert_int_equal(flow_sweep_live(sweep, MX1), 0);
}

static void test_handshake_of_the_partner_ends_no_flow_of_ours(void **state)
{
	const struct translation t = translation_of(502, 101, 0);
	const struct flow_key key = key_of(1);
	struct translation have;

	(void)state;
	assert_int_equal(translation_take(1, 501, 100, false), 0);
	assert_true(translated(1, &have));
	have.flags &= ~TRANSLATION_IMPORTED; /* its backend has spoken here */
	assert_int_equal(bpf_map_update_elem(plane->maps[MAP_TRANSLATIONS], &key, &have, 0), 0);
	assert_int_equal(nascent_import(plane, sweep, &key, &t, true), 1);
	assert_true(translated(1, &have));
	assert_int_equal(flow_sweep_live(sweep, MX1), 1);
}

/* ---- records ---- */

static void service_put(uint8_t mode)
{
	struct service_key key = {.port = htons(25), .protocol = IPPROTO_TCP};
	struct service service = {.id = SMTP, .mode = mode};

	key.addr[10] = key.addr[11] = 0xff;
	memcpy(key.addr + 12, (uint8_t[]){192, 0, 2, 10}, 4);
	assert_int_equal(bpf_map_update_elem(plane->maps[MAP_SERVICES], &key, &service, 0), 0);
}

static void record_put(uint8_t *bytes, uint32_t backend, uint16_t client_port, uint32_t silent_s)
{
	const struct current_backend *b = &node->lb.current->backends[backend];

	memset(bytes, 0, TRANSLATION_BYTES);
	bytes[0] = 1;
	bytes[26] = bytes[27] = 0xff;
	memcpy(bytes + 28, (uint8_t[]){192, 0, 2, 10}, 4);
	memcpy(bytes + 32, &client_port, 2);
	sync_put16(bytes + 34, 25);
	bytes[36] = IPPROTO_TCP;
	sync_put64(bytes + 38, word_key(b->pool_name, b->name, b->plane.addr));
	sync_put32(bytes + 46, silent_s);
	sync_put16(bytes + 66, 501);
	sync_put16(bytes + 68, 25);
}

static const struct partner_flows_heard *heard(void)
{
	return &partner_flows_counts(&node->lb)->heard[1];
}

static uint16_t age_of(const struct flow *f)
{
	return (uint16_t)(FLOW_EPOCH(clock_now_s()) - f->seen);
}

/* A record says for how long a flow was silent, as each machine's clock began at its own time. */
static void test_flow_is_as_old_as_at_the_partner(void **state)
{
	uint8_t bytes[TRANSLATION_BYTES];
	struct flow f;

	(void)state;
	service_put(FORWARD_DSR);
	record_put(bytes, MX2, 9, 10 * EPOCH_SECONDS);
	partner_flow_kind.record(&node->lb, 1, bytes, FLOW_BYTES);
	f = known(9);
	assert_int_equal(f.backend, MX2);
	assert_in_range(age_of(&f), 10, 11);
	record_put(bytes, MX2, 10, UINT32_MAX);
	partner_flow_kind.record(&node->lb, 1, bytes, FLOW_BYTES);
	f = known(10);
	assert_in_range(age_of(&f), INT16_MAX - 1, INT16_MAX);
	assert_int_equal(heard()->taken, 2);
}

static void test_what_is_not_here_is_counted_and_passed_over(void **state)
{
	uint8_t bytes[TRANSLATION_BYTES];

	(void)state;
	service_put(FORWARD_DSR);
	record_put(bytes, MX2, 9, 0);
	for (size_t n = 0; n < FLOW_BYTES; n++)
		partner_flow_kind.record(&node->lb, 1, bytes, n);
	partner_translation_kind.record(&node->lb, 1, bytes, sizeof(bytes)); /* of dsr: none */
	sync_put16(bytes + 34, 26);
	partner_flow_kind.record(&node->lb, 1, bytes, FLOW_BYTES);
	sync_put16(bytes + 34, 0);
	partner_flow_kind.record(&node->lb, 1, bytes, FLOW_BYTES);
	record_put(bytes, MX2, 9, 0);
	sync_put64(bytes + 38, 4711);
	partner_flow_kind.record(&node->lb, 1, bytes, FLOW_BYTES);
	sync_put64(bytes + 38, 0);
	partner_flow_kind.record(&node->lb, 1, bytes, FLOW_BYTES);
	assert_int_equal(heard()->unknown, 5);
	assert_int_equal(heard()->taken, 0);
	assert_int_equal(known(9).backend, BACKEND_NONE);
	service_put(FORWARD_FULLNAT);
	record_put(bytes, MX2, 9, 0);
	partner_flow_kind.record(&node->lb, 1, bytes, FLOW_BYTES); /* not without a translation */
	assert_int_equal(heard()->unknown, 6);
	partner_translation_kind.record(&node->lb, 1, bytes, sizeof(bytes));
	assert_int_equal(heard()->taken, 1);
	assert_int_equal(known(9).backend, MX2);
	assert_int_equal(back_of(htons(501)), -1); /* it is told by the backend's address, too */
}

/* ---- a table that is not yet as the partner's ---- */

enum { SLOTS = 4 };

static void table_put(uint16_t owner)
{
	struct current_pool *pool = &node->lb.current->pools[0];
	struct current_service *s = &node->lb.current->services[SMTP];

	pool->idle_timeout_s = 100;
	pool->table = (struct table){.n = SLOTS, .slots = calloc(SLOTS, sizeof(struct slot))};
	assert_non_null(pool->table.slots);
	for (uint32_t i = 0; i < SLOTS; i++)
		pool->table.slots[i] = (struct slot){
			.owner = owner, .previous = BACKEND_NONE, .between = BACKEND_NONE};
	node->lb.current->settings.slots = SLOTS;
	*s = (struct current_service){.used = true,
				      .key = {.port = htons(25), .protocol = IPPROTO_TCP}};
	s->key.addr[10] = s->key.addr[11] = 0xff;
	memcpy(s->key.addr + 12, (uint8_t[]){192, 0, 2, 10}, 4);
	plane->tables[0] = plane_slots_create(SLOTS);
	assert_true(plane->tables[0] >= 0);
}

/* How many slots of the data plane look their packets up; and where others go meanwhile. */
static uint32_t in_transition(uint16_t *ret_previous)
{
	struct slots4 owners, previous;
	uint32_t zero = 0, one = 1, n = 0;

	assert_int_equal(bpf_map_lookup_elem(plane->tables[0], &zero, &owners), 0);
	assert_int_equal(bpf_map_lookup_elem(plane->tables[0], &one, &previous), 0);
	for (uint32_t i = 0; i < SLOTS; i++) {
		if (owners.slot[i] & SLOT_TRANSITION) {
			*ret_previous = previous.slot[i];
			n++;
		}
	}
	return n;
}

static void table_end(void)
{
	close(plane->tables[0]);
	plane->tables[0] = -1;
}

static void test_flow_elsewhere_than_its_slot_has_its_slot_looked_up(void **state)
{
	uint8_t bytes[TRANSLATION_BYTES];
	uint16_t previous = BACKEND_NONE;

	(void)state;
	service_put(FORWARD_DSR);
	table_put(MX1);
	record_put(bytes, MX1, 9, 0);
	partner_flow_kind.record(&node->lb, 1, bytes, FLOW_BYTES);
	assert_int_equal(in_transition(&previous), 0);
	record_put(bytes, MX2, 9, 0);
	partner_flow_kind.record(&node->lb, 1, bytes, FLOW_BYTES);
	partner_flow_kind.record(&node->lb, 1, bytes, FLOW_BYTES);
	assert_int_equal(in_transition(&previous), 1);
	assert_int_equal(previous, MX1);
	assert_int_equal(node->lb.current->pools[0].table.n_transition, 1);
	table_end();
}

static void embryos_create(void)
{
	plane->maps[MAP_EMBRYOS] = bpf_map_create(BPF_MAP_TYPE_ARRAY, "test", sizeof(uint32_t),
						  sizeof(struct embryo), EMBRYOS_DEFAULT, NULL);
	assert_true(plane->maps[MAP_EMBRYOS] >= 0);
}

static void test_handshake_elsewhere_than_its_slot_does_too(void **state)
{
	uint8_t bytes[TRANSLATION_BYTES];
	uint16_t previous = BACKEND_NONE;

	(void)state;
	embryos_create();
	service_put(FORWARD_DSR);
	table_put(MX1);
	record_put(bytes, MX2, 9, 0);
	partner_embryo_kind.record(&node->lb, 1, bytes, FLOW_BYTES);
	assert_int_equal(in_transition(&previous), 1);
	assert_int_equal(previous, MX1);
	table_end();
}

static uint64_t embryo_at(uint32_t at)
{
	struct embryo e;

	assert_int_equal(bpf_map_lookup_elem(plane->maps[MAP_EMBRYOS], &at, &e), 0);
	return e.tag;
}

/* As the data plane does it (bpf/embryo.h): the younger one at the even place. */
static void test_handshakes_at_the_same_place_do_not_lose_each_other(void **state)
{
	const uint64_t a = 0x11100000 | 7, b = 0x22200000 | 6, c = 0x33300000 | 6;

	(void)state;
	embryos_create();
	embryo_import(plane, a, MX1, false);
	assert_int_equal(embryo_at(6), 0x11100000 | MX1);
	embryo_import(plane, b, MX2, false);
	assert_int_equal(embryo_at(6), 0x22200000 | MX2);
	assert_int_equal(embryo_at(7), 0x11100000 | MX1);
	assert_int_equal(embryo_import(plane, a, MX2, true), 1); /* we know better */
	assert_int_equal(embryo_at(7), 0x11100000 | MX1);
	embryo_import(plane, a, MX2, false);
	assert_int_equal(embryo_at(6), 0x11100000 | MX2);
	assert_int_equal(embryo_at(7), 0x22200000 | MX2);
	embryo_import(plane, c, MX1, false);
	assert_int_equal(embryo_at(6), 0x33300000 | MX1);
	assert_int_equal(embryo_at(7), 0x11100000 | MX2);
	embryo_forget(plane, b);
	assert_int_equal(embryo_at(7), 0x11100000 | MX2);
	embryo_forget(plane, a);
	assert_int_equal(embryo_at(7), 0);
	assert_int_equal(embryo_at(6), 0x33300000 | MX1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_flow_is_taken_counted_and_only_becomes_younger),
		TEST(test_who_has_the_traffic_only_takes_what_it_does_not_know),
		TEST(test_full_table_evicts_nobody),
		TEST(test_translation_is_taken_with_its_flow_and_its_way_back),
		TEST(test_port_that_the_partner_gave_again_is_the_new_flows),
		TEST(test_flow_that_goes_on_here_keeps_its_port),
		TEST(test_translations_that_are_full_leave_no_half),
		TEST(test_full_flow_table_leaves_the_translation_uncounted),
		TEST(test_handshake_of_the_partner_takes_no_port_of_ours),
		TEST(test_handshake_of_the_partner_ends_what_had_its_port),
		TEST(test_handshake_of_the_partner_ends_what_had_its_ports),
		TEST(test_handshake_of_the_partner_ends_no_flow_of_ours),
		TEST(test_flow_is_as_old_as_at_the_partner),
		TEST(test_what_is_not_here_is_counted_and_passed_over),
		TEST(test_flow_elsewhere_than_its_slot_has_its_slot_looked_up),
		TEST(test_handshake_elsewhere_than_its_slot_does_too),
		TEST(test_handshakes_at_the_same_place_do_not_lose_each_other),
	};
	int fd = bpf_map_create(BPF_MAP_TYPE_HASH, "test", 4, 4, 1, NULL);

	if (fd < 0 || unshare(CLONE_NEWNET) < 0 || !nodes_lo_up()) {
		printf("maps or a network namespace cannot be made (not root?)\n");
		return SKIP;
	}
	close(fd);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
