/* SPDX-License-Identifier: BSD-2-Clause */
/* test_tracks.c: when a track by script fails, and what is said of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>

#include "programs/tracks.h"
#include "tests/unit/programs/block.h"

static void test_fall_and_rise_turn_it(void **state)
{
	const struct config_track config = {.rise = 2, .fall = 3};
	struct track_judge j = {0};

	(void)state;
	assert_true(track_judge(&j, &config, false)); /* the first is told: it does not fail yet */
	assert_false(j.failed);
	assert_false(track_judge(&j, &config, false));
	assert_false(track_judge(&j, &config, true));
	assert_false(track_judge(&j, &config, false));
	assert_false(track_judge(&j, &config, false));
	assert_true(track_judge(&j, &config, false) && j.failed);
	assert_false(track_judge(&j, &config, true));
	assert_false(track_judge(&j, &config, false));
	assert_false(track_judge(&j, &config, true));
	assert_true(track_judge(&j, &config, true) && !j.failed);
}

/* ---- with real programs ---- */

struct setting {
	struct config config;
	_Alignas(8) struct config_track tracks[2];
};

struct heard {
	struct event_base *loop;
	uint32_t n;
	struct message_track last;
};

static void hear(void *owner, const struct message_track *m)
{
	struct heard *h = owner;

	h->n++;
	h->last = *m;
	event_base_loopbreak(h->loop);
}

static void script_set(struct config_track *t, const char *name, const char *script)
{
	strcpy(t->name, name);
	t->type = TRACK_SCRIPT;
	t->interval_ms = 100;
	t->rise = t->fall = 1;
	block_command(&t->command, script);
	t->command.timeout_ms = 300;
}

static struct setting setting(const char *script)
{
	struct setting s = {.config = {.size_bytes = sizeof(s),
				       .n_tracks = 1,
				       .tracks_at = offsetof(struct setting, tracks)}};

	strcpy(s.config.node.name, "lb1");
	script_set(&s.tracks[0], "t", script);
	return s;
}

static void wait_for_one(struct heard *h)
{
	uint32_t before = h->n;
	const struct timeval most = {.tv_sec = 10};

	event_base_loopexit(h->loop, &most);
	while (h->n == before && event_base_dispatch(h->loop) == 0 && !event_base_got_exit(h->loop))
		;
	assert_int_equal(h->n, before + 1);
}

static void test_what_a_script_says_is_told_and_kept(void **state)
{
	struct setting good = setting("exit 0"),
		       bad = setting("printf 'no \\033 way\\nmore'; exit 3"),
		       slow = setting("sleep 60");
	struct heard h = {.loop = event_base_new()};
	struct track_runner *r = track_runner_new(h.loop, "nobody", "/", hear, &h);

	(void)state;
	assert_int_equal(track_runner_configure(r, &good.config), 0);
	assert_int_equal(h.n, 0); /* nothing is known */
	wait_for_one(&h);
	assert_string_equal(h.last.track, "t");
	assert_int_equal(h.last.failed, 0);
	assert_int_equal(track_runner_configure(r, &good.config), 0);
	assert_int_equal(h.n, 2); /* told again */
	assert_int_equal(track_runner_configure(r, &bad.config), 0);
	assert_int_equal(h.n, 3); /* another program: it does not fail until it was run */
	wait_for_one(&h);
	assert_int_equal(h.last.failed, 1);
	assert_string_equal(h.last.text, "exit 3: no ? way");
	assert_int_equal(track_runner_configure(r, &slow.config), 0);
	assert_int_equal(h.last.failed, 0);
	wait_for_one(&h);
	assert_int_equal(h.last.failed, 1);
	assert_string_equal(h.last.text, "killed after 300 ms");
	track_runner_free(r);
	event_base_free(h.loop);
}

/* A programs that comes back must not say that all is well before it knows. */
static void test_a_predecessors_word_holds_until_it_is_run(void **state)
{
	struct setting good = setting("exit 0");
	struct message_track recalled = {.track = "t", .failed = 1, .text = "exit 1"};
	struct heard h = {.loop = event_base_new()};
	struct track_runner *r = track_runner_new(h.loop, "nobody", "/", hear, &h);

	(void)state;
	good.tracks[0].rise = 2;
	assert_int_equal(track_runner_configure(r, &good.config), 0);
	track_runner_recall(r, &recalled);
	assert_int_equal(h.n, 0);
	wait_for_one(&h); /* after two runs */
	assert_int_equal(h.last.failed, 0);
	track_runner_recall(r, &recalled); /* we know better */
	assert_int_equal(track_runner_configure(r, &good.config), 0);
	assert_int_equal(h.last.failed, 0);
	track_runner_free(r);
	event_base_free(h.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fall_and_rise_turn_it),
		cmocka_unit_test(test_what_a_script_says_is_told_and_kept),
		cmocka_unit_test(test_a_predecessors_word_holds_until_it_is_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
