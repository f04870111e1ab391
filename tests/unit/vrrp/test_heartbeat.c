/* SPDX-License-Identifier: BSD-2-Clause */
/* test_heartbeat.c: what is believed of heartbeats, and who is taken as dead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "bpf/siphash.h"
#include "vrrp/heartbeat.h"

#define MS 1000000ULL

static const struct heart_key key = {{1, 2}}, other_key = {{1, 3}};
static const struct heart_pace pace = {.dead_after_ns = 40 * MS};
static const struct heart_pace second = {.dead_after_ns = 40 * MS, .second = true};

/* The paper's vectors, appendix A: key 00 .. 0f, message 00, 01, ...; of whole words. */
static void test_siphash_is_that_of_the_paper(void **state)
{
	static const uint64_t words[] = {0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL,
					 0x1716151413121110ULL};
	static const uint64_t expected[] = {0x726fdb47dd0e0e31ULL, 0x93f5f5799a932462ULL,
					    0x3f2acc7f57c29bdbULL};

	(void)state;
	for (uint32_t n = 0; n < 3; n++)
		assert_int_equal(siphash(0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL,
					 (const __u64 *)words, n),
				 expected[n]);
}

static void test_what_is_wrong_is_told_by_kind(void **state)
{
	struct heart good = heart_question(&key, 11, 22, 5), h;
	uint8_t long_one[HEART_MOST + 1] = {0};
	union heart_any any;

	(void)state;
	assert_int_equal(heart_open(&key, &good, sizeof(good), 11, 22, &any), HEART_IS_GOOD);
	assert_int_equal(any.heart.nonce, 5);
	for (size_t n = 0; n < sizeof(good); n++)
		assert_int_equal(heart_open(&key, &good, n, 11, 22, &any), HEART_IS_SHORT);
	memcpy(long_one, &good, sizeof(good));
	assert_int_equal(heart_open(&key, long_one, sizeof(good) + 1, 11, 22, &any),
			 HEART_IS_SHORT);
	assert_int_equal(heart_open(&key, long_one, sizeof(long_one), 11, 22, &any),
			 HEART_IS_SHORT);
	assert_int_equal(heart_open(&other_key, &good, sizeof(good), 11, 22, &any),
			 HEART_IS_FORGED);
	assert_int_equal(heart_open(&key, &good, sizeof(good), 22, 11, &any), HEART_IS_STRANGER);
	assert_int_equal(heart_open(&key, &good, sizeof(good), 11, 23, &any), HEART_IS_STRANGER);
	h = good;
	h.version++;
	assert_int_equal(heart_open(&key, &h, sizeof(h), 11, 22, &any), HEART_IS_FOREIGN);
	h = good;
	h.magic++;
	assert_int_equal(heart_open(&key, &h, sizeof(h), 11, 22, &any), HEART_IS_FOREIGN);
	for (size_t bit = 0; bit < 8 * sizeof(h); bit++) {
		h = good;
		((uint8_t *)&h)[bit / 8] ^= (uint8_t)(1U << bit % 8);
		assert_int_not_equal(heart_open(&key, &h, sizeof(h), 11, 22, &any), HEART_IS_GOOD);
	}
}

static struct heart_state state_of(uint64_t session, uint64_t to_session, uint64_t sequence)
{
	return (struct heart_state){.from = 11,
				    .to = 22,
				    .session = session,
				    .to_session = to_session,
				    .sequence = sequence};
}

static void test_a_state_is_read_as_it_was_written(void **state)
{
	struct heart_state s = state_of(1, 2, 3);
	union heart_any any;
	size_t n;

	(void)state;
	for (uint8_t records = 0; records <= HEART_RECORDS; records += 8) {
		s.n_records = records;
		for (uint32_t i = 0; i < records; i++)
			s.records[i] = (struct heart_record){.instance = i, .role = VRRP_BACKUP};
		n = heart_state_seal(&key, &s);
		assert_int_equal(heart_open(&key, &s, n, 11, 22, &any), HEART_IS_GOOD);
		assert_memory_equal(&any, &s, n);
		assert_int_equal(heart_open(&key, &s, n - 8, 11, 22, &any), HEART_IS_SHORT);
	}
	s.records[3].role = VRRP_ACTIVE + 1;
	n = heart_state_seal(&key, &s);
	assert_int_equal(heart_open(&key, &s, n, 11, 22, &any), HEART_IS_FOREIGN);
}

/* ---- who is believed ---- */

static enum heart_verdict answer(struct heart_partner *p, uint32_t link, uint64_t nonce,
				 uint8_t flags, uint64_t now_ns)
{
	struct heart q = heart_question(&key, 22, 11, nonce), a = heart_reply(&key, &q, flags, 0);

	return heart_answered(p, link, &a, now_ns);
}

enum { GOOD_FLAGS = HEART_SOCKET | HEART_LIVES };

static void test_an_answer_counts_once_and_only_when_asked_for(void **state)
{
	struct heart_partner p = {.n_links = 2};

	(void)state;
	heart_asked(&p, 0, 7, 1000 * MS);
	assert_int_equal(answer(&p, 1, 7, GOOD_FLAGS, 1001 * MS), HEART_IS_UNASKED);
	assert_int_equal(answer(&p, 0, 8, GOOD_FLAGS, 1001 * MS), HEART_IS_UNASKED);
	assert_int_equal(answer(&p, 0, 0, GOOD_FLAGS, 1001 * MS), HEART_IS_UNASKED);
	assert_int_equal(answer(&p, 0, 7, GOOD_FLAGS, 1001 * MS), HEART_IS_GOOD);
	assert_int_equal(p.links[0].rtt_us, 1000);
	assert_int_equal(answer(&p, 0, 7, GOOD_FLAGS, 1002 * MS), HEART_IS_UNASKED);
}

static enum heart_verdict stated(struct heart_partner *p, uint32_t link, uint64_t session,
				 uint64_t to_session, uint64_t sequence, bool *ret_new)
{
	struct heart_state s = state_of(session, to_session, sequence);

	*ret_new = false;
	return heart_stated(p, link, &s, 500, 1000 * MS, ret_new);
}

static void test_a_state_counts_once_forward_and_only_of_a_process_that_knows_us(void **state)
{
	struct heart_partner p = {.n_links = 2};
	bool new;

	(void)state;
	assert_int_equal(stated(&p, 0, 70, 0, 1, &new), HEART_IS_GOOD); /* it has just begun */
	assert_false(new);
	assert_false(p.links[0].heard);
	assert_int_equal(heart_to_session(&p), 70);
	assert_int_equal(stated(&p, 0, 60, 499, 9, &new), HEART_IS_OLD); /* recorded long ago */
	assert_false(new);
	assert_int_equal(stated(&p, 0, 70, 500, 2, &new), HEART_IS_GOOD);
	assert_true(new);
	assert_int_equal(stated(&p, 1, 70, 500, 2, &new), HEART_IS_GOOD);
	assert_false(new); /* the same by the other link */
	assert_int_equal(stated(&p, 1, 70, 500, 2, &new), HEART_IS_OLD);
	assert_int_equal(stated(&p, 0, 70, 500, 1, &new), HEART_IS_OLD);
	assert_int_equal(stated(&p, 0, 60, 499, 9, &new), HEART_IS_OLD);
	assert_int_equal(heart_to_session(&p), 70);			  /* no replay moves it */
	assert_int_equal(stated(&p, 0, 80, 500, 1, &new), HEART_IS_GOOD); /* it was restarted */
	assert_true(new);
	assert_int_equal(heart_to_session(&p), 80);
}

/* ---- who lives ---- */

static struct heart_partner heard_at(uint64_t now_ns, uint8_t flags)
{
	struct heart_partner p = {.n_links = 2};

	for (uint32_t i = 0; i < 2; i++) {
		heart_asked(&p, i, 100 + i, now_ns - MS);
		assert_int_equal(answer(&p, i, 100 + i, flags, now_ns), HEART_IS_GOOD);
	}
	return p;
}

static void test_a_partner_that_was_never_heard_is_not_dead(void **state)
{
	struct heart_partner p = {.n_links = 2};

	(void)state;
	for (uint64_t i = 0; i < 100; i++)
		heart_asked(&p, 0, i + 1, i * 5 * MS);
	assert_int_equal(heart_judge(&p, &pace, 10000 * MS), PARTNER_UNKNOWN);
}

static void test_silence_of_every_link_is_a_death_after_its_time_and_not_before(void **state)
{
	struct heart_partner p = heard_at(1000 * MS, GOOD_FLAGS);
	uint64_t at = 1000;

	(void)state;
	while (heart_judge(&p, &pace, at * MS) == PARTNER_ALIVE && at < 2000) {
		for (uint32_t i = 0; i < 2 && at % 5 == 0; i++)
			heart_asked(&p, i, at * 2 + i, at * MS);
		at++;
	}
	assert_int_equal(at, 1040);
	assert_int_equal(heart_judge(&p, &pace, at * MS), PARTNER_DEAD);
	assert_int_equal(answer(&p, 1, 1035 * 2 + 1, GOOD_FLAGS, 1041 * MS), HEART_IS_GOOD);
	assert_int_equal(heart_judge(&p, &pace, 1041 * MS), PARTNER_ALIVE);
}

static void test_one_link_that_answers_is_life(void **state)
{
	struct heart_partner p = heard_at(1000 * MS, GOOD_FLAGS);

	(void)state;
	for (uint64_t at = 1005; at < 3000; at += 5) {
		heart_asked(&p, 0, at * 2, at * MS);
		heart_asked(&p, 1, at * 2 + 1, at * MS);
		assert_int_equal(answer(&p, 1, at * 2 + 1, GOOD_FLAGS, at * MS + 1), HEART_IS_GOOD);
		assert_int_equal(heart_judge(&p, &pace, at * MS), PARTNER_ALIVE);
	}
	assert_false(heart_link_fresh(&p.links[0], &pace, 3000 * MS));
}

static void test_a_link_of_ours_that_is_down_says_nothing(void **state)
{
	struct heart_partner p = heard_at(1000 * MS, GOOD_FLAGS), q = p;

	(void)state;
	for (uint64_t at = 1005; at < 1100; at += 5) {
		heart_asked(&p, 0, at, at * MS);
		heart_unasked(&p, 1);
		heart_unasked(&q, 0);
		heart_unasked(&q, 1);
	}
	assert_int_equal(heart_judge(&p, &pace, 1100 * MS), PARTNER_DEAD);
	assert_int_equal(heart_judge(&q, &pace, 1100 * MS), PARTNER_UNKNOWN);
}

static void test_a_partner_that_took_its_leave_is_not_dead(void **state)
{
	struct heart_partner p = heard_at(1000 * MS, GOOD_FLAGS);

	(void)state;
	heart_forget(&p);
	for (uint64_t at = 1005; at < 1100; at += 5) {
		heart_asked(&p, 0, at, at * MS);
		heart_asked(&p, 1, at, at * MS);
		assert_int_equal(heart_judge(&p, &pace, at * MS), PARTNER_UNKNOWN);
	}
}

static void test_our_own_sleep_is_no_death(void **state)
{
	struct heart_partner p = heard_at(1000 * MS, GOOD_FLAGS);

	(void)state;
	assert_int_equal(heart_judge(&p, &pace, 61000 * MS), PARTNER_ALIVE);
	for (uint32_t n = 1; n <= HEART_MISSES; n++) { /* awake again: it is asked, and judged */
		heart_asked(&p, 0, n, (61000 + 5 * n) * MS);
		heart_asked(&p, 1, n, (61000 + 5 * n) * MS);
		assert_int_equal(heart_judge(&p, &pace, (61000 + 5 * n) * MS), PARTNER_ALIVE);
	}
	assert_int_equal(heart_judge(&p, &pace, 61100 * MS), PARTNER_DEAD);
}

static void test_a_kernel_without_its_processes_is_gone(void **state)
{
	static const uint8_t flags[] = {0, HEART_SOCKET, HEART_LIVES};

	(void)state;
	for (size_t i = 0; i < sizeof(flags); i++) {
		struct heart_partner p = heard_at(1000 * MS, flags[i]);

		assert_int_equal(heart_judge(&p, &pace, 1001 * MS), PARTNER_GONE);
	}
}

/* 20 ms of silence, and four questions of which each had 10 ms: the fourth is asked at 15. */
static void test_a_second_opinion_needs_half_the_silence_and_all_the_questions(void **state)
{
	struct heart_partner p = heard_at(1000 * MS, GOOD_FLAGS);
	uint64_t at = 1000;

	(void)state;
	while (heart_judge(&p, &second, at * MS) == PARTNER_ALIVE && at < 2000) {
		for (uint32_t i = 0; i < 2 && at % 5 == 0; i++)
			heart_asked(&p, i, at * 2 + i, at * MS);
		at++;
	}
	assert_int_equal(at, 1025);
	assert_int_equal(heart_judge(&p, &second, at * MS), PARTNER_DEAD);
	assert_int_equal(heart_judge(&p, &pace, at * MS), PARTNER_ALIVE);
}

static void test_it_is_known_until_when_a_link_is_fresh(void **state)
{
	struct heart_partner p = heard_at(1000 * MS, GOOD_FLAGS);
	struct heart_link *link = &p.links[0];

	(void)state;
	assert_int_equal(heart_link_fresh_until_ns(link, &second, 1001 * MS), 1020 * MS);
	assert_int_equal(heart_link_fresh_until_ns(link, &pace, 1001 * MS), 1040 * MS);
	for (uint64_t n = 1; n < HEART_MISSES; n++)
		heart_asked(&p, 0, n, (1000 + 5 * n) * MS);
	/* The one that lacks may be asked just now. */
	assert_int_equal(heart_link_fresh_until_ns(link, &second, 1021 * MS), 1031 * MS);
	heart_asked(&p, 0, HEART_MISSES, 1024 * MS);
	assert_int_equal(heart_link_fresh_until_ns(link, &second, 1025 * MS), 1034 * MS);
	for (uint64_t n = 5; n < 200; n++) /* more than can be open */
		heart_asked(&p, 0, n, (1000 + 5 * n) * MS);
	assert_true(heart_link_fresh_until_ns(link, &second, 2000 * MS) < 2000 * MS);
	assert_int_equal(heart_link_fresh_until_ns(&(struct heart_link){0}, &second, 1 * MS), 0);
}

static void test_a_second_opinion_is_none_after_our_own_sleep(void **state)
{
	struct heart_partner p = heard_at(1000 * MS, GOOD_FLAGS);

	(void)state;
	for (uint32_t n = 1; n <= HEART_MISSES; n++) {
		assert_int_equal(heart_judge(&p, &second, (1030 + 5 * n) * MS), PARTNER_ALIVE);
		heart_asked(&p, 0, n, (1030 + 5 * n) * MS);
		heart_asked(&p, 1, n, (1030 + 5 * n) * MS);
	}
	assert_int_equal(heart_judge(&p, &second, 1060 * MS - 1), PARTNER_ALIVE);
	assert_int_equal(heart_judge(&p, &second, 1060 * MS), PARTNER_DEAD);
}

static void test_a_blind_link_has_no_second_opinion(void **state)
{
	struct heart_partner p = heard_at(1000 * MS, GOOD_FLAGS);

	(void)state;
	for (uint64_t at = 1005; at < 1040; at += 5) {
		heart_asked(&p, 0, at, at * MS);
		heart_unasked(&p, 1);
		assert_int_equal(heart_judge(&p, &second, (at + 4) * MS), PARTNER_ALIVE);
	}
	assert_int_equal(heart_judge(&p, &second, 1040 * MS), PARTNER_DEAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_siphash_is_that_of_the_paper),
		cmocka_unit_test(test_what_is_wrong_is_told_by_kind),
		cmocka_unit_test(test_a_state_is_read_as_it_was_written),
		cmocka_unit_test(test_an_answer_counts_once_and_only_when_asked_for),
		cmocka_unit_test(
			test_a_state_counts_once_forward_and_only_of_a_process_that_knows_us),
		cmocka_unit_test(test_a_partner_that_was_never_heard_is_not_dead),
		cmocka_unit_test(
			test_silence_of_every_link_is_a_death_after_its_time_and_not_before),
		cmocka_unit_test(test_one_link_that_answers_is_life),
		cmocka_unit_test(test_a_link_of_ours_that_is_down_says_nothing),
		cmocka_unit_test(test_a_partner_that_took_its_leave_is_not_dead),
		cmocka_unit_test(test_our_own_sleep_is_no_death),
		cmocka_unit_test(test_a_kernel_without_its_processes_is_gone),
		cmocka_unit_test(
			test_a_second_opinion_needs_half_the_silence_and_all_the_questions),
		cmocka_unit_test(test_it_is_known_until_when_a_link_is_fresh),
		cmocka_unit_test(test_a_second_opinion_is_none_after_our_own_sleep),
		cmocka_unit_test(test_a_blind_link_has_no_second_opinion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
