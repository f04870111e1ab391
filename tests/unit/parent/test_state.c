/* SPDX-License-Identifier: BSD-2-Clause */
/* test_state.c: what a parent tells the one that takes its place: all of it arrives, and what
 * another build may not know is either skipped or refused in words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "parent/state.h"
#include "tests/unit/parent/stand_in.h"

static const struct child children[ROLE_COUNT] = {
	{.role = "lb"}, {.role = "healthcheck"}, {.role = "vrrp"}, {.role = "programs"}};

static void parent_make(struct parent *p)
{
	*p = (struct parent){.abi = 3, .memory = memory_new()};
	for (int role = 0; role < ROLE_COUNT; role++)
		p->processes[role] = (struct process){
			.parent = p, .child = &children[role], .role = (enum parent_role)role};
}

/* Text in a memfd, as state_read() gets it. */
static int memfd_of(const char *text)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static int read_text(const char *text, char why[static STATE_WHY])
{
	int fd = memfd_of(text), r;
	struct parent p;

	parent_make(&p);
	r = state_read(fd, &p, why);
	close(fd);
	memory_free(p.memory);
	return r;
}

static void test_all_that_is_remembered_arrives(void **state)
{
	struct message_health health = {.pool = "mx",
					.backend = "mx1",
					.health = HEALTH_LEAVING,
					.weight = 50,
					.slow = 1,
					.tls_days = -3,
					.code = 421,
					.passed = 1ULL << 40,
					.agreeing = 3,
					.needed = UINT16_MAX,
					.since_s = 1700000000,
					.verdict = "leaving",
					.text = "4.3.2 \"bye\" \\o/"};
	struct message_vrrp vrrp = {.instance = "v4",
				    .role = VRRP_ACTIVE,
				    .since_s = 1600000000,
				    .transitions = UINT32_MAX,
				    .yielding = 1,
				    .marks = 1,
				    .urgent = 1,
				    .reason = "started"};
	struct message_operator held = {.pool = "mx", .backend = "mx1", .held = 1};
	struct message_track track = {.track = "uplink", .failed = 1, .text = "down"};
	struct message_tally tally = {.hook = 2, .done = 7, .dropped = 1};
	struct parent from, to;
	char why[STATE_WHY];
	int fd;

	(void)state;
	health.said[SAYER_FLAP] =
		(struct said){.health = HEALTH_DOWN, .until_s = 1700000300, .text = "flaps"};
	addr_parse("192.0.2.3", &vrrp.partner);
	parent_make(&from);
	from.generation = 7;
	from.lb_ready = true;
	from.memory->sync.in_sync = 1;
	from.processes[ROLE_VRRP].restarts = 4;
	from.processes[ROLE_VRRP].before_pid = 77; /* the one that serves goes on to the next */
	from.processes[ROLE_VRRP].before_fd = 9;
	parent_keep(&from, "lock", 17);
	remember(&from.memory->health, &health, sizeof(health), health_compare);
	remember(&from.memory->missed_health, &health, sizeof(health), health_compare);
	remember(&from.memory->vrrp, &vrrp, sizeof(vrrp), vrrp_compare);
	remember(&from.memory->missed_vrrp, &vrrp, sizeof(vrrp), vrrp_compare);
	remember(&from.memory->held, &held, sizeof(held), held_compare);
	remember(&from.memory->tracks, &track, sizeof(track), track_compare);
	remember(&from.memory->tally, &tally, sizeof(tally), tally_compare);
	fd = state_write(&from);
	assert_true(fd >= 0);

	parent_make(&to);
	assert_int_equal(state_read(fd, &to, why), 0);
	close(fd);
	assert_int_equal(to.generation, 7);
	assert_true(to.lb_ready);
	assert_int_equal(to.memory->sync.in_sync, 1);
	assert_int_equal(to.processes[ROLE_VRRP].restarts, 4);
	assert_int_equal(to.processes[ROLE_VRRP].before_pid, 77);
	assert_int_equal(to.processes[ROLE_VRRP].before_fd, 9);
	assert_int_equal(to.processes[ROLE_LB].before_pid, 0);
	assert_int_equal(parent_kept(&to, "lock"), 17);
	assert_int_equal(parent_kept(&to, "other"), -1);
#define ARRIVED(tree, message, compare)                                                            \
	assert_memory_equal(*(void **)tfind(&(message), &to.memory->tree, compare), &(message),    \
			    sizeof(message))
	ARRIVED(health, health, health_compare);
	ARRIVED(missed_health, health, health_compare);
	ARRIVED(vrrp, vrrp, vrrp_compare);
	ARRIVED(missed_vrrp, vrrp, vrrp_compare);
	ARRIVED(held, held, held_compare);
	ARRIVED(tracks, track, track_compare);
	ARRIVED(tally, tally, tally_compare);
	memory_free(from.memory);
	memory_free(to.memory);
}

static void test_unknown_keys_are_skipped_and_missing_ones_are_nothing(void **state)
{
	char why[STATE_WHY] = "";

	(void)state;
	assert_int_equal(read_text("{\"format\":1,\"abi\":3,\"shoes\":[1],"
				   "\"health\":[{\"pool\":\"mx\",\"hat\":{}}],"
				   "\"processes\":[{\"role\":\"cook\",\"pid\":1}]}",
				   why),
			 0);
}

static void test_what_cannot_be_true_is_skipped(void **state)
{
	int fd = memfd_of(
		"{\"format\":1,\"abi\":3,"
		"\"health\":[{\"pool\":\"mx\",\"backend\":\"a\",\"health\":9,\"weight\":100},"
		"{\"pool\":\"mx\",\"backend\":\"b\",\"health\":1},"
		"{\"pool\":\"mx\",\"backend\":\"c\",\"health\":1,\"weight\":100,"
		"\"text\":\"\\u001b[2J\"}],"
		"\"vrrp\":[{\"instance\":\"v4\",\"role\":-1}],"
		"\"turns\":[{\"instance\":\"v4\",\"at_ms\":-9223372036854775808}],"
		"\"tracks\":[{\"track\":\"t\",\"failed\":2}],\"tally\":\"many\"}");
	char why[STATE_WHY];
	struct parent p;

	(void)state;
	parent_make(&p);
	assert_int_equal(state_read(fd, &p, why), 0);
	close(fd);
	assert_null(p.memory->health);
	assert_null(p.memory->vrrp);
	assert_null(p.memory->turns);
	assert_null(p.memory->tracks);
	assert_null(p.memory->tally);
	memory_free(p.memory);
}

static void test_an_older_build_refuses_in_words(void **state)
{
	char why[STATE_WHY];

	(void)state;
	assert_int_equal(read_text("{\"format\":1,\"abi\":4,\"version\":\"8.0\"}", why), -EPROTO);
	assert_non_null(strstr(why, "is older than 8.0"));
	assert_int_equal(read_text("{\"format\":2,\"abi\":3,\"version\":\"8.0\"}", why), -EPROTO);
	assert_non_null(strstr(why, "is older than 8.0"));
	assert_int_equal(read_text("{\"format\":1,\"abi\":2}", why), 0);
}

static void test_nonsense_is_refused(void **state)
{
	static const char *const texts[] = {"", "[]", "{", "{}", "{\"format\":0}", "\xff"};
	char why[STATE_WHY];

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(read_text(texts[i], why), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_that_is_remembered_arrives),
		cmocka_unit_test(test_unknown_keys_are_skipped_and_missing_ones_are_nothing),
		cmocka_unit_test(test_what_cannot_be_true_is_skipped),
		cmocka_unit_test(test_an_older_build_refuses_in_words),
		cmocka_unit_test(test_nonsense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
