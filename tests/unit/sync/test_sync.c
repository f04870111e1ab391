/* SPDX-License-Identifier: BSD-2-Clause */
/* test_sync.c: what must hold of up to three nodes, and of whoever is between them (lab.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/unit/sync/lab.h"

enum { SKIP = 77, WAIT_MS = 15000 };

#define WAIT_UNTIL(condition)                                                                      \
	do {                                                                                       \
		uint64_t until_ms = clock_ms() + WAIT_MS;                                          \
		while (!(condition) && clock_ms() < until_ms)                                      \
			lab_pass(1);                                                               \
		assert_true(condition);                                                            \
	} while (0)
static void test_each_is_given_everything_and_told_what_changes(void **state)
{
	(void)state;
	lab_start(2, 1000);
	WAIT_UNTIL(all_know());
	value_set(0, 7, 1);
	value_set(1, 8, 2);
	WAIT_UNTIL(all_know());
	assert_int_equal(state_of(0, 1).counts.overruns, 0);
	assert_false(sync_is_peer(lab.nodes[0].sync, 0));
	assert_false(sync_is_peer(lab.nodes[0].sync, 2));
}

static void test_much_is_given_at_the_rate_without_beginning_anew(void **state)
{
	(void)state;
	lab_start(2, THINGS);
	for (uint32_t turn = 0; !all_know(); turn++) {
		assert_true(turn < 3000);
		value_set(0, turn % 100, turn);
		lab_pass(5);
	}
	assert_int_equal(state_of(0, 1).counts.overruns + state_of(1, 0).counts.overruns, 0);
	assert_true(lab.nodes[0].ups[1] == 1 && lab.nodes[0].downs[1] == 0);
}

static void test_loss_repetition_and_disorder_change_nothing(void **state)
{
	(void)state;
	lab.loss_percent = lab.twice_percent = lab.late_percent = 15;
	lab_start(2, 3000);
	WAIT_UNTIL(all_know());
	for (uint32_t i = 0; i < 300; i++) {
		value_set(0, i * 7 % 3000, i);
		value_set(1, i * 11 % 3000, i);
		lab_pass(2);
	}
	WAIT_UNTIL(all_know());
	assert_true(state_of(0, 1).counts.resent > 0);
	assert_true(state_of(0, 1).counts.refused[SYNC_IS_SEQUENCE] > 0);
	assert_true(lab.nodes[0].downs[1] == 0 && lab.nodes[1].downs[0] == 0);
}

static void test_dead_link_is_told_and_gone_round(void **state)
{
	struct sync_link_state link;

	(void)state;
	lab_start(2, 100);
	WAIT_UNTIL(all_know());
	for (uint32_t dead = 0; dead < LINKS; dead++) {
		lab.dead_link[dead] = true;
		for (uint32_t i = 0; i < 20; i++) {
			value_set(0, i, 77 + i + dead);
			lab_pass(100);
		}
		WAIT_UNTIL(all_know());
		sync_link_state(lab.nodes[1].sync, 0, dead, &link);
		assert_false(link.up);
		sync_link_state(lab.nodes[1].sync, 0, 1 - dead, &link);
		assert_true(link.up && link.received > 0);
		lab.dead_link[dead] = false;
		lab_pass(500);
		sync_link_state(lab.nodes[1].sync, 0, dead, &link);
		assert_true(link.up);
	}
	assert_true(lab.nodes[0].downs[1] == 0 && lab.nodes[1].downs[0] == 0);
}

static void test_partner_that_was_away_is_given_everything_that_changed(void **state)
{
	(void)state;
	lab_start(2, 5000);
	WAIT_UNTIL(all_know());
	lab.cut[1] = true;
	WAIT_UNTIL(!is_up(0, 1) && !is_up(1, 0));
	for (uint32_t i = 0; i < 5000; i++)
		value_set(0, i, 3 * i);
	lab_pass(200);
	lab.cut[1] = false;
	WAIT_UNTIL(all_know());
	assert_true(lab.nodes[0].ups[1] == 2 && lab.nodes[0].downs[1] == 1);
}

static void test_node_that_starts_again_and_again_is_given_everything_each_time(void **state)
{
	(void)state;
	lab_start(2, 500);
	WAIT_UNTIL(all_know());
	for (uint32_t i = 0; i < 20; i++) {
		node_stop(1);
		memset(lab.nodes[1].heard[0], 0, THINGS * sizeof(uint32_t));
		value_set(0, i, 5000 + i);
		node_start(1);
		WAIT_UNTIL(all_know());
	}
	assert_int_equal(lab.nodes[0].ups[1], 21);
}

static void test_three_nodes_know_each_other_and_one_that_dies_is_missed_by_both(void **state)
{
	(void)state;
	lab.loss_percent = 5;
	lab_start(3, 500);
	WAIT_UNTIL(all_know());
	node_stop(2);
	WAIT_UNTIL(!is_up(0, 2) && !is_up(1, 2));
	value_set(0, 3, 4);
	WAIT_UNTIL(knows(1, 0) && knows(0, 1));
	assert_true(lab.nodes[0].downs[1] == 0 && lab.nodes[1].downs[0] == 0);
	memset(lab.nodes[2].heard[0], 0, THINGS * sizeof(uint32_t));
	memset(lab.nodes[2].heard[1], 0, THINGS * sizeof(uint32_t));
	node_start(2);
	WAIT_UNTIL(all_know());
}

static void test_other_secret_is_refused_and_told_until_it_is_the_same(void **state)
{
	(void)state;
	lab.secret[1][0] = 8;
	lab_start(2, 100);
	lab_pass(1000);
	assert_false(is_up(0, 1) || is_up(1, 0));
	assert_true(state_of(0, 1).key_ms > 0 && state_of(0, 1).counts.refused[SYNC_IS_KEY] > 0);
	assert_int_equal(state_of(0, 1).counts.received, 0);
	lab.secret[1][0] = 9;
	node_configure(1);
	WAIT_UNTIL(all_know());
}

static void test_secret_changes_on_one_node_after_the_other_of_three(void **state)
{
	(void)state;
	lab_start(3, 200);
	WAIT_UNTIL(all_know());
	for (uint32_t i = 0; i < 3; i++) {
		lab.secret[i][0] = 10;
		node_configure(i);
		for (uint32_t k = 0; k < i; k++) { /* as partner.c does, of those that said so */
			sync_key_known(lab.nodes[i].sync, k);
			sync_key_known(lab.nodes[k].sync, i);
		}
		value_set(i, 5, 600 + i);
		lab_pass(200);
		WAIT_UNTIL(all_know());
	}
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(lab.nodes[i].downs[(i + 1) % 3], 0);
}

static void other_version(uint8_t *bytes, size_t *n)
{
	(void)n;
	bytes[4]++;
}

static void cut_short(uint8_t *bytes, size_t *n)
{
	(void)bytes;
	*n -= 1 + *n / 3;
}

static void bit_changed(uint8_t *bytes, size_t *n)
{
	bytes[5 + lab_chance((uint32_t)*n - 5)] ^= (uint8_t)(1U << lab_chance(8));
}

static void test_what_was_changed_on_the_way_is_counted_by_kind_and_believed_by_nobody(void **state)
{
	static const struct {
		void (*change)(uint8_t *bytes, size_t *n);
		enum sync_verdict verdict;
	} changes[] = {{other_version, SYNC_IS_VERSION},
		       {cut_short, SYNC_IS_SHORT},
		       {bit_changed, SYNC_IS_KEY}};

	(void)state;
	lab_start(2, 100);
	WAIT_UNTIL(all_know());
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		uint64_t received;

		lab.change = changes[i].change;
		lab_pass(100); /* what is on its way */
		received = state_of(0, 1).counts.received;
		value_set(1, 9, 900 + (uint32_t)i);
		lab_pass(300);
		assert_int_not_equal(lab.nodes[0].heard[1][9], 900 + (uint32_t)i);
		assert_int_equal(state_of(0, 1).counts.received, received);
		assert_true(state_of(0, 1).counts.refused[changes[i].verdict] > 0);
		lab.change = NULL;
		WAIT_UNTIL(all_know());
	}
	assert_true(state_of(0, 1).version_ms > 0);
	assert_int_equal(lab.nodes[0].downs[1], 0);
}

/* All that was ever said, to whom it was said, to another, and back to who said it. */
static void replay(void)
{
	for (uint32_t i = 0; i < lab.n_noted; i++) {
		struct noted p = lab.noted[i];

		lab_deliver(&p);
		p.to = 3 - p.from - p.to; /* the third one */
		lab_deliver(&p);
		p = lab.noted[i];
		p.to = p.from;
		p.from = lab.noted[i].to;
		lab_deliver(&p);
		if (i % 16 == 0)
			lab_pass(1);
	}
	lab_pass(100);
}

static void test_replayed_and_reflected_packets_change_nothing(void **state)
{
	uint32_t ups[NODES][NODES];

	(void)state;
	lab.notes = true;
	lab_start(3, 200);
	WAIT_UNTIL(all_know());
	value_set(0, 5, 1);
	value_set(1, 6, 1);
	WAIT_UNTIL(all_know());
	lab.notes = false;
	value_set(0, 5, 2);
	value_set(1, 6, 2);
	WAIT_UNTIL(all_know());
	for (uint32_t i = 0; i < 3; i++)
		memcpy(ups[i], lab.nodes[i].ups, sizeof(ups[i]));
	replay();
	assert_true(all_know());
	for (uint32_t i = 0; i < 3; i++) {
		assert_memory_equal(ups[i], lab.nodes[i].ups, sizeof(ups[i]));
		assert_true(state_of(i, (i + 1) % 3).counts.refused[SYNC_IS_STRANGER] > 0);
		assert_true(state_of(i, (i + 1) % 3).counts.refused[SYNC_IS_SEQUENCE] > 0);
	}
	/* and of nodes that are gone: they are not there for that */
	node_stop(1);
	node_stop(2);
	WAIT_UNTIL(!is_up(0, 1) && !is_up(0, 2));
	for (int i = 0; i < 3; i++) {
		replay();
		assert_false(is_up(0, 1) || is_up(0, 2));
	}
	assert_true(state_of(0, 1).counts.refused[SYNC_IS_SESSION] > 0);
	for (uint32_t k = 1; k < 3; k++)
		node_start(k);
	WAIT_UNTIL(all_know());
}

static void test_flood_is_counted_and_nothing_else_suffers(void **state)
{
	struct noted junk = {.from = 1, .to = 0, .n = SYNC_PACKET_MOST};
	struct addr addr = node_addr(0, 0), from = lab_addr(0, 200);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_storage sa;
	socklen_t len;

	(void)state;
	len = addr_sockaddr(&from, PORT, &sa);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	len = addr_sockaddr(&addr, PORT, &sa);
	lab_start(2, 1000);
	WAIT_UNTIL(all_know());
	lab.notes = true;
	value_set(1, 1, 1);
	WAIT_UNTIL(all_know() && lab.n_noted > 0);
	memcpy(junk.bytes, lab.noted[0].bytes, SYNC_HEADER); /* the right beginning */
	sync_put16(junk.bytes + 6, SYNC_RECORDS_MOST);
	for (uint32_t turn = 0; turn < 100; turn++) {
		for (uint32_t i = 0; i < 100; i++) {
			lab_deliver(&junk);
			(void)!sendto(fd, junk.bytes, junk.n, MSG_DONTWAIT, (struct sockaddr *)&sa,
				      len);
		}
		value_set(0, turn, 7000 + turn);
		value_set(1, turn, 8000 + turn);
		lab_pass(5);
	}
	close(fd);
	WAIT_UNTIL(all_know());
	assert_true(state_of(0, 1).counts.refused[SYNC_IS_KEY] > 1000);
	assert_true(sync_strangers(lab.nodes[0].sync) > 1000);
	assert_int_equal(lab.nodes[0].downs[1], 0);
}

/* Nobody acknowledges: a window and no more is kept, then it begins anew when somebody does. */
static void test_too_much_for_one_that_is_deaf_is_given_up_and_begins_anew(void **state)
{
	(void)state;
	lab_start(2, 2000);
	WAIT_UNTIL(all_know());
	lab.cut[1] = true;
	for (uint32_t i = 0; i < 2 * STREAM_WINDOW * SYNC_RECORDS_MOST / 12; i++) {
		value_set(0, i % 2000, i);
		assert_true(state_of(0, 1).waiting <= STREAM_WINDOW);
	}
	assert_int_equal(sync_room(lab.nodes[0].sync, 1), 0);
	lab_pass(10);
	assert_int_equal(state_of(0, 1).counts.overruns, 1);
	assert_false(is_up(0, 1));
	lab.cut[1] = false;
	WAIT_UNTIL(all_know());
	assert_int_equal(lab.nodes[0].ups[1], 2);
}

static void test_node_that_leaves_the_configuration_is_no_peer(void **state)
{
	(void)state;
	lab_start(3, 100);
	WAIT_UNTIL(all_know());
	lab.n_nodes = 2;
	node_configure(0);
	node_configure(1);
	assert_false(sync_is_peer(lab.nodes[0].sync, 2));
	WAIT_UNTIL(all_know());
	assert_int_equal(sync_send(lab.nodes[0].sync, 2, VALUE, "12345678", 8), -ENOTCONN);
	lab_pass(300);
	assert_true(sync_strangers(lab.nodes[0].sync) > 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, lab_set_up, lab_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_each_is_given_everything_and_told_what_changes),
		TEST(test_much_is_given_at_the_rate_without_beginning_anew),
		TEST(test_loss_repetition_and_disorder_change_nothing),
		TEST(test_dead_link_is_told_and_gone_round),
		TEST(test_partner_that_was_away_is_given_everything_that_changed),
		TEST(test_node_that_starts_again_and_again_is_given_everything_each_time),
		TEST(test_three_nodes_know_each_other_and_one_that_dies_is_missed_by_both),
		TEST(test_other_secret_is_refused_and_told_until_it_is_the_same),
		TEST(test_secret_changes_on_one_node_after_the_other_of_three),
		TEST(test_what_was_changed_on_the_way_is_counted_by_kind_and_believed_by_nobody),
		TEST(test_replayed_and_reflected_packets_change_nothing),
		TEST(test_flood_is_counted_and_nothing_else_suffers),
		TEST(test_too_much_for_one_that_is_deaf_is_given_up_and_begins_anew),
		TEST(test_node_that_leaves_the_configuration_is_no_peer),
	};

	if (unshare(CLONE_NEWNET) < 0 || !lab_lo_up()) {
		printf("a network namespace cannot be made (not root?)\n");
		return SKIP;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
