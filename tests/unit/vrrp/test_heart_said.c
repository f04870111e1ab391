/* SPDX-License-Identifier: BSD-2-Clause */
/* test_heart_said.c: how long a node that is active lives, by what was heard of it over two links,
 * of which eth0 is the instance's own interface.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "vrrp/heart_own.h"

#define MS 1000000ULL

enum { INSTANCE = 7, GOOD_FLAGS = HEART_SOCKET | HEART_LIVES };

static struct partner partner;
static struct hearts hearts;

static void answered(uint32_t link, uint64_t at_ns, uint8_t flags)
{
	static const struct heart_key key;
	static uint64_t nonce = 1;
	struct heart question = heart_question(&key, 1, 2, ++nonce);
	struct heart answer = heart_reply(&key, &question, flags, 0);

	heart_asked(&partner.heart, link, nonce, at_ns);
	assert_int_equal(heart_answered(&partner.heart, link, &answer, at_ns), HEART_IS_GOOD);
}

static void asked(uint32_t link, uint64_t from_ms, uint64_t to_ms)
{
	for (uint64_t at = from_ms; at <= to_ms; at += 5)
		heart_asked(&partner.heart, link, at, at * MS);
}

/* Both links were heard at 1000 ms; asked every 5 ms. */
static int setup(void **state)
{
	(void)state;
	partner = (struct partner){.life = PARTNER_ALIVE,
				   .n_records = 1,
				   .records = {{.instance = INSTANCE, .role = VRRP_ACTIVE}}};
	hearts = (struct hearts){.pace = {.dead_after_ns = 40 * MS},
				 .interfaces = {"eth0", "eth1"},
				 .n_links = 2,
				 .n_partners = 1,
				 .partners = &partner};
	partner.heart.n_links = 2;
	answered(0, 1000 * MS, GOOD_FLAGS);
	answered(1, 1000 * MS, GOOD_FLAGS);
	return 0;
}

static uint64_t lives_until_us(uint64_t overdue_ms, uint64_t now_ms)
{
	return said_lives_until_ns(&hearts, INSTANCE, "eth0", overdue_ms * MS, now_ms * MS) / 1000;
}

static void test_where_adverts_are_missing_too_less_silence_is_a_death(void **state)
{
	(void)state;
	asked(0, 1005, 1035);
	asked(1, 1005, 1035);
	assert_int_equal(lives_until_us(1025, 1026), 1030000);
	assert_int_equal(lives_until_us(1025, 1030), 0);
	assert_int_equal(lives_until_us(0, 1030), 1040000);
	assert_int_equal(lives_until_us(0, 1040), 0);
}

/* Adverts that are missing while the node is heard are no second opinion. */
static void test_what_was_heard_since_the_adverts_are_missing_speaks_against_them(void **state)
{
	(void)state;
	asked(0, 1005, 1035);
	asked(1, 1005, 1035);
	assert_int_equal(lives_until_us(999, 1030), 1040000);
	assert_int_equal(lives_until_us(1000, 1030), 0);
}

static void test_one_link_of_two_that_answers_is_life(void **state)
{
	(void)state;
	asked(0, 1005, 1035);
	answered(1, 1034 * MS, GOOD_FLAGS);
	assert_int_equal(lives_until_us(1035, 1036), 1040000); /* then eth0 is a partition */
	assert_int_equal(lives_until_us(1035, 1040), 0);
	setup(NULL);
	answered(0, 1034 * MS, GOOD_FLAGS);
	asked(1, 1005, 1035);
	assert_int_equal(lives_until_us(1035, 1036), 1054000);
}

static void test_who_is_not_active_or_not_alive_is_no_reason_to_wait(void **state)
{
	(void)state;
	assert_int_not_equal(lives_until_us(0, 1001), 0);
	partner.records[0].role = VRRP_BACKUP;
	assert_int_equal(lives_until_us(0, 1001), 0);
	partner.records[0].role = VRRP_ACTIVE;
	answered(0, 1001 * MS, HEART_SOCKET);
	assert_int_equal(lives_until_us(0, 1002), 0);
	answered(0, 1002 * MS, GOOD_FLAGS);
	assert_int_not_equal(lives_until_us(0, 1003), 0);
	heart_forget(&partner.heart);
	assert_int_equal(lives_until_us(0, 1003), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_where_adverts_are_missing_too_less_silence_is_a_death,
				       setup),
		cmocka_unit_test_setup(
			test_what_was_heard_since_the_adverts_are_missing_speaks_against_them,
			setup),
		cmocka_unit_test_setup(test_one_link_of_two_that_answers_is_life, setup),
		cmocka_unit_test_setup(test_who_is_not_active_or_not_alive_is_no_reason_to_wait,
				       setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
