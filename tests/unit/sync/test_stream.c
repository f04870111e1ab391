/* SPDX-License-Identifier: BSD-2-Clause */
/* test_stream.c: what must hold of two ends of a stream, over links that lose, repeat and delay.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "sync/stream.h"

enum { FLYING = 8192, NOTED = 4096 };

struct end {
	struct stream *stream;
	uint32_t next; /* the number that the next record has to have */
	uint32_t ups, downs;
};

struct flying {
	int to;
	uint32_t link;
	uint64_t at_ms;
	size_t n;
	uint8_t bytes[SYNC_PACKET_MOST];
};

static struct end ends[2];
static struct flying *flying, *noted; /* noted: every packet that was ever sent to end 1 */
static size_t n_flying, n_noted;
static uint64_t now_ms, random_state;
static int loss_percent;
static uint32_t dead_link, deaf_link; /* deaf: for what end 1 says */
static bool answers;

static uint64_t chance(void *owner)
{
	(void)owner;
	random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return random_state ^ random_state >> 29;
}

static void on_send(void *owner, uint32_t link, const uint8_t *bytes, size_t n)
{
	struct end *from = owner;
	struct flying *f;

	if (from == &ends[0] && n_noted < NOTED) {
		noted[n_noted] = (struct flying){.n = n};
		memcpy(noted[n_noted++].bytes, bytes, n);
	}
	if (link == dead_link || (link == deaf_link && from == &ends[1]) ||
	    (int)(chance(NULL) >> 33) % 100 < loss_percent || n_flying == FLYING)
		return;
	f = &flying[n_flying++];
	*f = (struct flying){.to = from == &ends[0], .link = link, .n = n};
	f->at_ms = now_ms + 1 + (loss_percent ? (chance(NULL) >> 40) % 7 : 0);
	memcpy(f->bytes, bytes, n);
}

static void on_record(void *owner, uint16_t type, const uint8_t *bytes, size_t n)
{
	struct end *e = owner;

	assert_true(type == 3 && n == 4);
	assert_int_equal(sync_get32(bytes), e->next);
	e->next++;
	for (uint32_t i = 0; answers && e == &ends[1] && i < 2; i++) {
		uint8_t answer[4];

		sync_put32(answer, 2 * sync_get32(bytes) + i);
		assert_int_equal(stream_record(e->stream, 3, answer, 4, now_ms), 0);
	}
}

static void on_up(void *owner)
{
	struct end *e = owner;

	e->ups++;
	e->next = 0;
}

static void on_down(void *owner)
{
	((struct end *)owner)->downs++;
}

static const struct stream_ops ops = {
	.send = on_send, .record = on_record, .up = on_up, .down = on_down, .chance = chance};

static void end_start(int i)
{
	const struct stream_settings settings = {.own_node = sync_node(i ? "lb2" : "lb1"),
						 .other_node = sync_node(i ? "lb1" : "lb2"),
						 .n_links = 2,
						 .rate_packets_s = 100000,
						 .keys = {{9}},
						 .n_keys = 1};

	stream_free(ends[i].stream);
	ends[i] = (struct end){0};
	ends[i].stream = stream_new(&settings, &ops, &ends[i], now_ms);
	assert_non_null(ends[i].stream);
}

static void pass(uint32_t ms)
{
	for (uint64_t until = now_ms + ms; now_ms < until; now_ms++) {
		for (size_t i = 0; i < n_flying;) {
			struct flying f = flying[i];

			if (f.at_ms > now_ms) {
				i++;
				continue;
			}
			memmove(&flying[i], &flying[i + 1], (--n_flying - i) * sizeof(*flying));
			stream_receive(ends[f.to].stream, f.link, f.bytes, f.n, now_ms);
		}
		stream_tick(ends[0].stream, now_ms);
		stream_tick(ends[1].stream, now_ms);
	}
}

static int start(void **state)
{
	(void)state;
	flying = calloc(FLYING, sizeof(*flying));
	noted = calloc(NOTED, sizeof(*noted));
	n_flying = n_noted = 0;
	now_ms = 1000;
	random_state = 4711;
	loss_percent = 0;
	dead_link = deaf_link = 99;
	answers = false;
	end_start(0);
	end_start(1);
	return flying && noted ? 0 : -1;
}

static int stop(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		stream_free(ends[i].stream);
		ends[i].stream = NULL;
	}
	free(flying);
	free(noted);
	return 0;
}

/* say: records from 0 on, number by number; how many were taken. */
static uint32_t say(uint32_t from, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint8_t bytes[4];

		sync_put32(bytes, from + i);
		if (stream_record(ends[0].stream, 3, bytes, 4, now_ms) < 0)
			return i;
	}
	return n;
}

static void test_two_ends_find_each_other_and_records_come_in_order(void **state)
{
	(void)state;
	assert_int_equal(say(0, 1), 0); /* nobody there yet */
	pass(500);
	assert_true(stream_up(ends[0].stream) && stream_up(ends[1].stream));
	assert_true(ends[0].ups == 1 && ends[1].ups == 1);
	assert_int_equal(say(0, 5000), 5000);
	pass(100);
	assert_int_equal(ends[1].next, 5000);
	assert_int_equal(stream_waiting(ends[0].stream), 0);
	pass(20000);
	assert_true(ends[0].ups == 1 && ends[0].downs == 0);
}

static void test_loss_repetition_and_disorder_lose_nothing(void **state)
{
	uint32_t said = 0;

	(void)state;
	pass(500);
	loss_percent = 20;
	for (int i = 0; i < 300; i++) {
		said += say(said, 100);
		pass(10);
	}
	pass(5000);
	assert_int_equal(said, 30000);
	assert_int_equal(ends[1].next, 30000);
	assert_int_equal(ends[1].downs, 0);
	assert_true(stream_counts(ends[0].stream)->resent > 0);
}

static void test_link_that_dies_is_gone_round(void **state)
{
	(void)state;
	pass(500);
	dead_link = 0;
	say(0, 1000);
	pass(300);
	assert_int_equal(ends[1].next, 1000);
	assert_int_equal(ends[1].downs, 0);
}

/* Who is busy for a second has everything in its socket already. */
static void test_end_that_is_busy_is_not_sent_everything_again_and_again(void **state)
{
	uint64_t sent;

	(void)state;
	pass(500);
	say(0, 100000);
	for (uint64_t until = now_ms + 1000; now_ms < until; now_ms++)
		stream_tick(ends[0].stream, now_ms);
	sent = stream_counts(ends[0].stream)->sent;
	assert_in_range(stream_counts(ends[0].stream)->resent, 1, 10);
	pass(500);
	assert_int_equal(ends[1].next, 100000);
	assert_in_range(stream_counts(ends[0].stream)->sent - sent, 1, 1500);
	assert_int_equal(ends[0].downs, 0);
}

static void test_too_much_begins_anew_instead_of_growing(void **state)
{
	uint32_t taken;

	(void)state;
	pass(500);
	loss_percent = 100;
	taken = say(0, 10000000);
	assert_true(taken > 100000 && taken < 10000000);
	loss_percent = 0;
	pass(1000);
	assert_int_equal(stream_counts(ends[0].stream)->overruns, 1);
	assert_true(ends[0].ups == 2 && ends[1].ups == 2);
	assert_int_equal(say(0, 10), 10);
	pass(100);
	assert_int_equal(ends[1].next, 10);
}

static void test_end_that_was_restarted_is_known_anew_and_silence_is_told(void **state)
{
	(void)state;
	pass(500);
	say(0, 100);
	pass(100);
	end_start(1);
	pass(1000);
	assert_true(stream_up(ends[1].stream) && ends[0].ups == 2);
	say(0, 7);
	pass(100);
	assert_int_equal(ends[1].next, 7);
	loss_percent = 100;
	pass(STREAM_SILENT_MS + 1500);
	assert_false(stream_up(ends[0].stream));
	assert_false(stream_up(ends[1].stream));
}

/* Everything that was ever said to the end, again, in this session and after a restart. */
static void test_replayed_packets_change_nothing(void **state)
{
	(void)state;
	pass(500);
	say(0, 200);
	pass(2500);
	for (int round = 0; round < 2; round++) {
		uint32_t next, ups;

		if (round == 1) {
			end_start(0);
			pass(1000);
			say(0, 3);
			pass(100);
		}
		next = ends[1].next;
		ups = ends[1].ups;
		for (size_t i = 0, n = n_noted; i < n; i++)
			stream_receive(ends[1].stream, 0, noted[i].bytes, noted[i].n, now_ms);
		assert_int_equal(ends[1].next, next);
		assert_int_equal(ends[1].ups, ups);
		pass(3000);
		assert_int_equal(ends[1].ups, ups);
		assert_int_equal(say(next, 5), 5);
		pass(100);
		assert_int_equal(ends[1].next, next + 5);
	}
}

/* One's own packets, sent back by somebody in the middle. */
static void test_reflected_packets_are_a_strangers(void **state)
{
	(void)state;
	pass(500);
	for (size_t i = 0, n = n_noted; i < n; i++)
		assert_int_equal(
			stream_receive(ends[0].stream, 0, noted[i].bytes, noted[i].n, now_ms),
			SYNC_IS_STRANGER);
}

static void test_rate_is_kept(void **state)
{
	struct stream_settings slow = {.own_node = sync_node("lb1"),
				       .other_node = sync_node("lb2"),
				       .n_links = 2,
				       .rate_packets_s = 1000,
				       .keys = {{9}},
				       .n_keys = 1};
	uint64_t sent;

	(void)state;
	pass(500);
	stream_settle(ends[0].stream, &slow);
	say(0, 100000);
	sent = stream_counts(ends[0].stream)->sent;
	pass(200);
	sent = stream_counts(ends[0].stream)->sent - sent;
	assert_in_range(sent, 100, 260);
	pass(3000);
	assert_int_equal(ends[1].next, 100000);
}

static struct stream_settings keyed(int i, uint8_t now, uint8_t before)
{
	return (struct stream_settings){.own_node = sync_node(i ? "lb2" : "lb1"),
					.other_node = sync_node(i ? "lb1" : "lb2"),
					.n_links = 2,
					.rate_packets_s = 100000,
					.keys = {{now}, {before}},
					.n_keys = before ? 2 : 1};
}

static void settle(int i, uint8_t now, uint8_t before)
{
	const struct stream_settings settings = keyed(i, now, before);

	stream_settle(ends[i].stream, &settings);
}

static void test_key_changes_at_one_end_after_the_other_without_an_end(void **state)
{
	(void)state;
	pass(500);
	settle(0, 10, 9);
	say(0, 5);
	pass(3000);
	assert_int_equal(ends[1].next, 5);
	settle(1, 10, 9);
	stream_key_known(ends[1].stream); /* end 0 said so */
	say(5, 5);
	pass(3000);
	assert_int_equal(ends[1].next, 10);
	assert_true(ends[0].ups == 1 && ends[1].ups == 1);
}

/* One end was restarted with the new key, and the other had it, too, but sealed with the old. */
static void test_key_that_the_other_seals_with_is_taken(void **state)
{
	(void)state;
	pass(500);
	settle(0, 10, 9);
	pass(1000);
	end_start(1);
	settle(1, 10, 0);
	pass(1000);
	assert_true(stream_up(ends[0].stream) && stream_up(ends[1].stream));
}

/* What the first of its keys sealed once proves nothing of the next. */
static void test_key_is_changed_twice(void **state)
{
	(void)state;
	settle(0, 10, 0);
	settle(1, 11, 0);
	pass(1000);
	assert_false(stream_up(ends[0].stream));
	settle(1, 10, 11);
	pass(1000);
	assert_true(stream_up(ends[0].stream) && stream_up(ends[1].stream));
}

/* All nodes have one key: what the new one has sealed, but not the other node has said. */
static void test_new_key_in_anothers_packet_does_not_end_the_old_one(void **state)
{
	static const uint8_t new_key[SYNC_KEY_BYTES] = {10};
	struct sync_header third = {
		.kind = SYNC_HELLO, .from_node = sync_node("lb3"), .to_node = sync_node("lb1")};
	uint8_t bytes[SYNC_PACKET_MOST];
	size_t n = sync_seal(&third, new_key, 0, bytes);

	(void)state;
	pass(500);
	settle(0, 10, 9); /* end 1 has not read it yet */
	assert_int_equal(stream_receive(ends[0].stream, 0, bytes, n, now_ms), SYNC_IS_STRANGER);
	third.from_node = sync_node("lb1"); /* one's own, reflected */
	third.to_node = sync_node("lb3");
	n = sync_seal(&third, new_key, 0, bytes);
	assert_int_equal(stream_receive(ends[0].stream, 0, bytes, n, now_ms), SYNC_IS_STRANGER);
	say(0, 5);
	pass(2 * STREAM_SILENT_MS);
	assert_int_equal(ends[1].next, 5);
	assert_true(ends[0].downs == 0 && ends[1].downs == 0);
}

/* A recorded packet of this very session is no sign of life. */
static void test_replay_does_not_keep_a_dead_one_alive(void **state)
{
	(void)state;
	pass(500);
	say(0, 10);
	pass(1500);
	stream_free(ends[0].stream);
	ends[0].stream = NULL;
	for (int i = 0; i < 40; i++) {
		for (size_t k = 0; k < n_noted; k++)
			stream_receive(ends[1].stream, 0, noted[k].bytes, noted[k].n, now_ms);
		for (uint64_t until = now_ms + 100; now_ms < until; now_ms++)
			stream_tick(ends[1].stream, now_ms);
	}
	assert_false(stream_up(ends[1].stream));
	end_start(0);
}

/* Somebody sends an old HELLO before each of ours. */
static void test_replay_does_not_keep_two_apart(void **state)
{
	size_t old;

	(void)state;
	pass(1000);
	old = n_noted;
	end_start(0);
	end_start(1);
	for (int i = 0; i < 50; i++) {
		for (size_t k = 0; k < old; k++)
			stream_receive(ends[1].stream, 0, noted[k].bytes, noted[k].n, now_ms);
		pass(20);
	}
	assert_true(stream_up(ends[0].stream) && stream_up(ends[1].stream));
}

/* What end 1 says is lost on link 0, what end 0 says is not. */
static void test_loss_in_one_direction_of_a_link_is_gone_round(void **state)
{
	(void)state;
	pass(500);
	deaf_link = 0;
	for (uint32_t i = 0; i < 100; i++) {
		say(i * 10, 10);
		pass(50);
	}
	pass(500);
	assert_int_equal(ends[1].next, 1000);
	assert_true(ends[0].downs == 0 && ends[1].downs == 0);
	assert_int_equal(stream_waiting(ends[0].stream), 0);
}

static void test_end_that_only_speaks_is_missed(void **state)
{
	(void)state;
	pass(500);
	deaf_link = 0;
	dead_link = 1;
	pass(2 * STREAM_SILENT_MS + 1500);
	assert_false(stream_up(ends[0].stream));
	assert_false(stream_up(ends[1].stream));
	deaf_link = dead_link = 99;
	pass(1000);
	assert_true(stream_up(ends[0].stream) && stream_up(ends[1].stream));
}

/* Each record is answered by two, from inside of the call. */
static void test_records_may_be_said_while_one_is_heard(void **state)
{
	(void)state;
	pass(500);
	answers = true;
	assert_int_equal(say(0, 1000), 1000);
	pass(500);
	assert_int_equal(ends[1].next, 1000);
	assert_int_equal(ends[0].next, 2000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(test_two_ends_find_each_other_and_records_come_in_order),
		TEST(test_loss_repetition_and_disorder_lose_nothing),
		TEST(test_link_that_dies_is_gone_round),
		TEST(test_end_that_is_busy_is_not_sent_everything_again_and_again),
		TEST(test_too_much_begins_anew_instead_of_growing),
		TEST(test_end_that_was_restarted_is_known_anew_and_silence_is_told),
		TEST(test_replayed_packets_change_nothing),
		TEST(test_reflected_packets_are_a_strangers),
		TEST(test_rate_is_kept),
		TEST(test_key_changes_at_one_end_after_the_other_without_an_end),
		TEST(test_key_that_the_other_seals_with_is_taken),
		TEST(test_key_is_changed_twice),
		TEST(test_new_key_in_anothers_packet_does_not_end_the_old_one),
		TEST(test_replay_does_not_keep_a_dead_one_alive),
		TEST(test_replay_does_not_keep_two_apart),
		TEST(test_loss_in_one_direction_of_a_link_is_gone_round),
		TEST(test_end_that_only_speaks_is_missed),
		TEST(test_records_may_be_said_while_one_is_heard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
