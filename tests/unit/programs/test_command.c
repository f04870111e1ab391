/* SPDX-License-Identifier: BSD-2-Clause */
/* test_command.c: what must hold of one run of a program, with real small scripts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "programs/command.h"
#include "tests/unit/programs/block.h"

enum { LONG_MS = 20000 };

struct bench {
	struct event_base *loop;
	bool done;
	struct command_end end;
};

static void on_done(void *owner, const struct command_end *end)
{
	struct bench *b = owner;

	b->done = true;
	b->end = *end;
	event_base_loopbreak(b->loop);
}

static int start(struct bench *b, const char *words, uint32_t timeout_ms, struct command **ret)
{
	struct environment e;
	struct facts f = {0};

	facts_add(&f, "backend", "mx1 $(touch /nothing)");
	environment_init(&e, "nobody", "/");
	environment_add(&e, &f);
	return command_start(&(struct command_request){.loop = b->loop,
						       .words = words,
						       .environment = &e,
						       .timeout_ms = timeout_ms,
						       .done = on_done,
						       .owner = b},
			     ret);
}

static void run_words(struct bench *b, const char *words, uint32_t timeout_ms)
{
	struct command *c;

	*b = (struct bench){.loop = event_base_new()};
	assert_int_equal(start(b, words, timeout_ms, &c), 0);
	event_base_dispatch(b->loop);
	assert_true(b->done);
	event_base_free(b->loop);
}

static void run(struct bench *b, const char *script, uint32_t timeout_ms)
{
	char words[CONFIG_LIST_SIZE];

	words_set(words, "/bin/sh", "-c", script);
	run_words(b, words, timeout_ms);
}

static void test_status_and_output_are_told(void **state)
{
	struct bench b;

	(void)state;
	run(&b, "echo out; echo err >&2; echo \"$SLUICE_BACKEND\"; exit 7", LONG_MS);
	assert_int_equal(b.end.error, 0);
	assert_int_equal(b.end.status, 7);
	assert_string_equal(b.end.output, "out\nerr\nmx1 $(touch /nothing)\n");
	run(&b, "kill -TERM $$", LONG_MS);
	assert_int_equal(b.end.status, 128 + SIGTERM);
}

static void test_every_word_of_a_long_command_arrives(void **state)
{
	enum { MANY = 300 };
	char words[CONFIG_LIST_SIZE] = {0};
	struct bench b;
	size_t n = 0;

	(void)state;
	n += (size_t)sprintf(words, "/bin/sh") + 1;
	n += (size_t)sprintf(words + n, "-c") + 1;
	n += (size_t)sprintf(words + n, "echo $#") + 1;
	for (int i = 0; i < MANY + 1; i++, n += 2)
		words[n] = 'x';
	run_words(&b, words, LONG_MS);
	assert_string_equal(b.end.output, "300\n");
}

static void test_program_that_is_not_there_is_an_error(void **state)
{
	char words[CONFIG_LIST_SIZE];
	struct bench b;

	(void)state;
	words_set(words, "/no/such/program", NULL, NULL);
	run_words(&b, words, LONG_MS);
	assert_int_equal(b.end.error, -ENOENT);
	words_set(words, "/etc/passwd", NULL, NULL);
	run_words(&b, words, LONG_MS);
	assert_int_equal(b.end.error, -EACCES);
}

static void test_program_has_no_descriptor_and_nothing_of_our_environment(void **state)
{
	int leak = open("/dev/null", O_RDONLY); /* without CLOEXEC */
	struct bench b;

	(void)state;
	setenv("SECRET_OF_OURS", "1", 1);
	run(&b,
	    "cd /proc/self/fd; for fd in *; do [ -e $fd ] && printf '%s ' $fd; done; "
	    "readlink 0; echo \"${SECRET_OF_OURS:-clean}\"; ulimit -c; pwd -P >/dev/null",
	    LONG_MS);
	assert_string_equal(b.end.output, "0 1 2 /dev/null\nclean\n0\n");
	close(leak);
}

/* alive: the process whose number is the output's first word. */
static bool alive(const char *output)
{
	return kill(atoi(output), 0) == 0;
}

static bool dies_soon(const char *output)
{
	for (int i = 0; i < 500 && alive(output); i++)
		usleep(10000);
	return !alive(output);
}

static void test_timeout_kills_the_whole_group(void **state)
{
	struct bench b;

	(void)state;
	run(&b, "sleep 1000 & echo $!; trap '' TERM; wait; sleep 1000", 200);
	assert_int_equal(b.end.error, -ETIME);
	assert_int_equal(b.end.status, 128 + SIGKILL);
	/* the loop's clock moves in ticks of up to 10 ms */
	assert_true(b.end.took_ms >= 190 && b.end.took_ms < LONG_MS);
	assert_true(atoi(b.end.output) > 1);
	assert_true(dies_soon(b.end.output));
}

static void test_what_it_leaves_behind_holds_nobody_and_is_killed(void **state)
{
	struct bench b;

	(void)state;
	run(&b, "sleep 1000 & echo $!", LONG_MS);
	assert_int_equal(b.end.error, 0);
	assert_int_equal(b.end.status, 0);
	assert_true(dies_soon(b.end.output));
}

static void test_daemon_that_it_starts_stays(void **state)
{
	struct bench b;

	(void)state;
	run(&b, "setsid sleep 1000 & sleep 0.2; echo $!", LONG_MS);
	assert_int_equal(b.end.error, 0);
	usleep(50000);
	assert_true(alive(b.end.output));
	kill(atoi(b.end.output), SIGKILL);
}

static void test_endless_output_is_cut_and_ends_the_program(void **state)
{
	struct bench b;

	(void)state;
	run(&b, "exec yes", LONG_MS);
	assert_int_equal(b.end.error, 0);
	assert_int_equal(b.end.status, 128 + SIGPIPE);
	assert_int_equal(strlen(b.end.output), RAN_OUTPUT - 1);
	run(&b, "head -c 40000 /dev/zero | tr '\\0' x; exit 3", LONG_MS); /* much, not too much */
	assert_int_equal(b.end.status, 3);
}

static void test_run_that_is_freed_is_killed_and_told_to_nobody(void **state)
{
	struct bench b = {.loop = event_base_new()};
	char words[CONFIG_LIST_SIZE];
	struct command *c;

	(void)state;
	words_set(words, "/bin/sleep", "1000", NULL);
	assert_int_equal(start(&b, words, LONG_MS, &c), 0);
	command_free(c);
	event_base_loop(b.loop, EVLOOP_NONBLOCK);
	assert_false(b.done);
	event_base_free(b.loop);
}

static int lowest_free(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	close(fd);
	return fd;
}

/* Without a hole among our descriptors: they are as many as the lowest free one says. */
static int descriptors_fill(void)
{
	struct rlimit limit = {.rlim_cur = 64, .rlim_max = 64};
	int fd, last = 0;

	setrlimit(RLIMIT_NOFILE, &limit);
	while ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		last = fd;
	for (fd = last - 7; fd <= last; fd++)
		close(fd);
	return last - 7;
}

/* exhausted: in a process of its own; 0, or the line that is wrong. Descriptor 3 is the channel to
 * the parent in the real one, and must not hear of it.
 */
static int exhausted(void)
{
	struct bench b = {0};
	char words[CONFIG_LIST_SIZE], byte;
	struct command *c;
	int pair[2], first;

	words_set(words, "/bin/true", NULL, NULL);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair) < 0 ||
	    (pair[0] != 3 && dup2(pair[0], 3) < 0))
		return __LINE__;
	b.loop = event_base_new();
	first = descriptors_fill();
	for (int more = 0; more < 4; more++) { /* not even the pipes */
		struct rlimit limit = {.rlim_cur = (rlim_t)(first + more), .rlim_max = 64};

		setrlimit(RLIMIT_NOFILE, &limit);
		if (start(&b, words, LONG_MS, &c) != -EMFILE)
			return __LINE__;
		limit.rlim_cur = 64;
		setrlimit(RLIMIT_NOFILE, &limit);
		if (lowest_free() != first)
			return __LINE__;
	}
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){.rlim_cur = (rlim_t)(first + 4), .rlim_max = 64});
	if (start(&b, words, LONG_MS, &c) < 0)
		return __LINE__;
	event_base_dispatch(b.loop);
	if (!b.done || b.end.error != -EMFILE)
		return __LINE__;
	return read(pair[1], &byte, 1) >= 0 ? __LINE__ : 0;
}

static void test_run_without_descriptors_is_an_error_and_leaves_none_behind(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		int line = exhausted();

		if (line)
			fprintf(stderr, "test_command.c:%d\n", line);
		_exit(line ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int inside(const void *arg)
{
	printf("%s", (const char *)arg);
	fflush(stdout);
	return 5;
}

static void test_function_can_run_inside_as_a_program_does(void **state)
{
	struct bench b = {.loop = event_base_new()};
	struct command *c;

	(void)state;
	assert_int_equal(command_start(&(struct command_request){.loop = b.loop,
								 .inside = inside,
								 .arg = "words",
								 .timeout_ms = LONG_MS,
								 .done = on_done,
								 .owner = &b},
				       &c),
			 0);
	event_base_dispatch(b.loop);
	assert_int_equal(b.end.error, 0);
	assert_int_equal(b.end.status, 5);
	assert_string_equal(b.end.output, "words");
	event_base_free(b.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status_and_output_are_told),
		cmocka_unit_test(test_every_word_of_a_long_command_arrives),
		cmocka_unit_test(test_program_that_is_not_there_is_an_error),
		cmocka_unit_test(test_program_has_no_descriptor_and_nothing_of_our_environment),
		cmocka_unit_test(test_timeout_kills_the_whole_group),
		cmocka_unit_test(test_what_it_leaves_behind_holds_nobody_and_is_killed),
		cmocka_unit_test(test_daemon_that_it_starts_stays),
		cmocka_unit_test(test_endless_output_is_cut_and_ends_the_program),
		cmocka_unit_test(test_run_that_is_freed_is_killed_and_told_to_nobody),
		cmocka_unit_test(test_run_without_descriptors_is_an_error_and_leaves_none_behind),
		cmocka_unit_test(test_function_can_run_inside_as_a_program_does),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
