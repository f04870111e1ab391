/* SPDX-License-Identifier: BSD-2-Clause */
/* test_process.c: what must hold of the programs process as the parent sees it: a real one, forked,
 * confined to nobody. Its programs write into a folder of ours. Needs root, as the process does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/log.h"
#include "programs/programs.h"
#include "programs/scripts.h"
#include "tests/unit/programs/block.h"

enum { LONG_MS = 20000 };

struct bench {
	struct event_base *loop;
	struct channel *channel;
	struct block *block;
	char folder[32];
	pid_t pid;
	bool closed, ponged;
	uint32_t n_ran, n_again;
	struct message_ran ran;		 /* the last */
	struct message_tally hook, heal; /* likewise */
};

static void on_message(void *owner, enum message_type type, const void *payload, int fd)
{
	struct bench *b = owner;

	assert_int_equal(fd, -1);
	if (type == MESSAGE_PONG)
		b->ponged = true;
	if (type == MESSAGE_TALLY && ((const struct message_tally *)payload)->hook > 0)
		b->hook = *(const struct message_tally *)payload;
	else if (type == MESSAGE_TALLY)
		b->heal = *(const struct message_tally *)payload;
	if (type != MESSAGE_RAN)
		return;
	b->ran = *(const struct message_ran *)payload;
	b->n_ran++;
	b->n_again += b->ran.error == -EAGAIN;
}

static void on_closed(void *owner)
{
	((struct bench *)owner)->closed = true;
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	int pair[2];

	b->loop = event_base_new();
	b->block = block_new(false);
	strcpy(b->folder, "/tmp/sluice-test.XXXXXX");
	if (!mkdtemp(b->folder) || chmod(b->folder, 0777) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	b->pid = fork();
	if (b->pid == 0) {
		close(pair[0]);
		_exit(programs_child.run(pair[1]));
	}
	close(pair[1]);
	b->channel = channel_new(b->loop, pair[0], on_message, on_closed, b);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;
	char command[64];

	if (b->pid > 0) {
		kill(b->pid, SIGKILL);
		waitpid(b->pid, NULL, 0);
	}
	snprintf(command, sizeof(command), "rm -rf %s", b->folder);
	channel_free(b->channel);
	event_base_free(b->loop);
	free(b->block);
	free(b);
	return system(command);
}

static void config_send(struct bench *b)
{
	struct message_config m = {.generation = 1};
	struct message_ready ready = {.generation = 1};
	int fd = config_seal(&b->block->config);

	assert_true(fd >= 0);
	assert_int_equal(channel_send(b->channel, MESSAGE_CONFIG, &m, fd), 0);
	assert_int_equal(channel_send(b->channel, MESSAGE_READY, &ready, -1), 0);
	close(fd);
}

static void health_send(struct bench *b, const char *backend, enum health health, int64_t since_s)
{
	struct message_health m = {.pool = "mx", .health = health, .since_s = since_s};

	snprintf(m.backend, sizeof(m.backend), "%s", backend);
	snprintf(m.text, sizeof(m.text), "421 bye");
	assert_int_equal(channel_send(b->channel, MESSAGE_HEALTH, &m, -1), 0);
}

static void run_send(struct bench *b, uint32_t request)
{
	struct message_run m = {.request = request, .asker = 4, .pool = "mx", .backend = "mx1"};

	assert_int_equal(channel_send(b->channel, MESSAGE_RUN, &m, -1), 0);
}

static void turn(struct bench *b)
{
	event_base_loop(b->loop, EVLOOP_NONBLOCK);
	usleep(5000);
}

#define WAIT_FOR(b, condition)                                                                     \
	do {                                                                                       \
		uint64_t until_ms_ = clock_ms() + LONG_MS;                                         \
		while (!(condition) && clock_ms() < until_ms_)                                     \
			turn(b);                                                                   \
		assert_true(condition);                                                            \
	} while (0)

/* text_of: of a file in our folder; "" = it is not there. */
static const char *text_of(const struct bench *b, const char *name)
{
	static char text[4096];
	char path[64];
	ssize_t n = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", b->folder, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static uint32_t lines_of(const struct bench *b, const char *name)
{
	uint32_t n = 0;

	for (const char *c = text_of(b, name); *c; c++)
		n += *c == '\n';
	return n;
}

/* script: "... > FOLDER/..." for each %s. */
static const char *script(const struct bench *b, const char *format)
{
	static char text[512];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(text, sizeof(text), format, b->folder, b->folder, b->folder);
#pragma GCC diagnostic pop
	return text;
}

/* ---- script probes ---- */

static void test_probe_is_run_with_its_backend_and_answered_once(void **state)
{
	struct bench *b = *state;

	block_probe(b->block, "echo $SLUICE_POOL $SLUICE_BACKEND $SLUICE_ADDRESS $SLUICE_PORT "
			      "$SLUICE_VIP; exit 3");
	config_send(b);
	run_send(b, 77);
	WAIT_FOR(b, b->n_ran == 1);
	assert_int_equal(b->ran.request, 77);
	assert_int_equal(b->ran.asker, 4);
	assert_int_equal(b->ran.error, 0);
	assert_int_equal(b->ran.status, 3);
	assert_string_equal(b->ran.output, "mx mx1 192.0.2.1 25 192.0.2.10\n");
}

static void test_probe_runs_as_the_user_without_privileges_and_within_limits(void **state)
{
	struct bench *b = *state;

	block_probe(b->block,
		    "id -un; ulimit -p; grep -E '^(CapPrm|CapBnd|NoNewPrivs)' /proc/self/status; "
		    "cat /proc/$PPID/mem >/dev/null 2>&1 && echo readable");
	config_send(b);
	run_send(b, 1);
	WAIT_FOR(b, b->n_ran == 1);
	assert_string_equal(b->ran.output, "nobody\n512\nCapPrm:\t0000000000000000\n"
					   "CapBnd:\t0000000000000000\nNoNewPrivs:\t1\n");
}

static void test_probe_that_hangs_is_killed_and_delays_no_ping(void **state)
{
	struct bench *b = *state;
	struct message_ping ping = {.sequence = 1};

	b->block->pool.probe.timeout_ms = 1500;
	block_probe(b->block, "sleep 1000");
	config_send(b);
	run_send(b, 1);
	channel_send(b->channel, MESSAGE_PING, &ping, -1);
	WAIT_FOR(b, b->ponged);
	assert_int_equal(b->n_ran, 0);
	WAIT_FOR(b, b->n_ran == 1);
	assert_int_equal(b->ran.error, -ETIME);
}

static void test_too_many_probes_are_refused_and_each_is_answered(void **state)
{
	const uint32_t n = SCRIPTS_OF_A_POOL + SCRIPTS_WAITING + 10;
	struct bench *b = *state;

	b->block->pool.probe.timeout_ms = 1000;
	block_probe(b->block, "sleep 1000");
	config_send(b);
	for (uint32_t i = 0; i < n; i++)
		run_send(b, i);
	WAIT_FOR(b, b->n_ran == n);
	assert_true(b->n_again >= 10);
	assert_true(b->n_again < n);
}

static void test_pool_whose_probes_all_hang_delays_no_other_pool(void **state)
{
	struct bench *b = *state;
	struct message_run other = {.request = 4711, .pool = "web", .backend = "web1"};

	b->block->pool.probe.timeout_ms = LONG_MS;
	block_probe(b->block, "[ $SLUICE_POOL = web ] || sleep 1000");
	block_second_pool(b->block, "web", "web1");
	config_send(b);
	for (uint32_t i = 0; i < SCRIPTS_AT_ONCE + 10; i++)
		run_send(b, i);
	channel_send(b->channel, MESSAGE_RUN, &other, -1);
	WAIT_FOR(b, b->n_ran > 0);
	assert_int_equal(b->ran.request, 4711);
	assert_int_equal(b->ran.status, 0);
}

static void test_probe_of_an_unknown_backend_is_an_error(void **state)
{
	struct bench *b = *state;
	struct message_run m = {.request = 5, .pool = "mx", .backend = "other"};

	config_send(b);
	channel_send(b->channel, MESSAGE_RUN, &m, -1);
	WAIT_FOR(b, b->n_ran == 1);
	assert_int_equal(b->ran.error, -ENOENT);
}

/* ---- hooks ---- */

static struct config_hook *hook_add(struct bench *b, const char *format)
{
	struct config_hook *hook = &b->block->config.hooks[b->block->config.n_hooks++];

	block_command(&hook->command, script(b, format));
	return hook;
}

static void test_hook_is_told_each_change_in_order(void **state)
{
	struct bench *b = *state;

	hook_add(b, "echo $SLUICE_EVENT $SLUICE_NODE $SLUICE_POOL/$SLUICE_BACKEND "
		    "$SLUICE_FROM $SLUICE_TO $SLUICE_REASON >> %s/told");
	config_send(b);
	health_send(b, "mx1", HEALTH_UP, 1);
	health_send(b, "mx1", HEALTH_DOWN, 2);
	health_send(b, "mx1", HEALTH_DOWN, 2);
	health_send(b, "mx1", HEALTH_UP, 3);
	WAIT_FOR(b, lines_of(b, "told") == 2);
	assert_string_equal(text_of(b, "told"), "backend lb1 mx/mx1 up down 421 bye\n"
						"backend lb1 mx/mx1 down up 421 bye\n");
}

static void test_hook_that_fails_is_tried_again(void **state)
{
	struct bench *b = *state;

	hook_add(b, "echo x >> %s/told; [ $(wc -l < %s/told) -ge 2 ]");
	config_send(b);
	health_send(b, "mx1", HEALTH_DOWN, 2);
	WAIT_FOR(b, lines_of(b, "told") == 2);
}

static void test_hook_that_hangs_delays_no_other_hook(void **state)
{
	struct bench *b = *state;

	hook_add(b, "exec sleep 1000");
	hook_add(b, "echo x >> %s/told");
	config_send(b);
	health_send(b, "mx1", HEALTH_DOWN, 2);
	health_send(b, "mx2", HEALTH_DOWN, 2);
	WAIT_FOR(b, lines_of(b, "told") == 2);
}

/* listener: a socket of ours; its port in @ret_port. */
static int listener(uint16_t *ret_port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	socklen_t n = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
	*ret_port = ntohs(sa.sin_port);
	return fd;
}

/* post_serve: read one POST and answer it; the request is static. */
static const char *post_serve(struct bench *b, int listen_fd, const char *answer)
{
	static char text[4096];
	size_t n = 0;
	int fd = -1;

	WAIT_FOR(b, fd >= 0 || (fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0);
	while (n < sizeof(text) - 1 && (n == 0 || text[n - 1] != '\n' || !strstr(text, "}\n"))) {
		ssize_t got = read(fd, text + n, sizeof(text) - 1 - n);

		assert_true(got > 0);
		n += (size_t)got;
		text[n] = '\0';
	}
	assert_int_equal(write(fd, answer, strlen(answer)), strlen(answer));
	close(fd);
	return text;
}

static void test_webhook_is_posted_and_tried_again_after_503(void **state)
{
	struct bench *b = *state;
	struct config_hook *hook = &b->block->config.hooks[b->block->config.n_hooks++];
	uint16_t port;
	int fd = listener(&port);
	const char *text;

	snprintf(hook->url, sizeof(hook->url), "http://127.0.0.1:%u/hook?x=1", port);
	hook->command.timeout_ms = 5000;
	config_send(b);
	health_send(b, "mx1", HEALTH_DOWN, 2);
	text = post_serve(b, fd, "HTTP/1.1 503 Busy\r\n\r\n");
	assert_non_null(strstr(text, "POST /hook?x=1 HTTP/1.1\r\nHost: 127.0.0.1:"));
	text = post_serve(b, fd, "HTTP/1.1 204 No Content\r\n\r\n");
	assert_non_null(strstr(text, "\r\n\r\n{\"event\":\"backend\",\"node\":\"lb1\""));
	assert_non_null(
		strstr(text, "\"from\":\"unknown\",\"to\":\"down\",\"reason\":\"421 bye\""));
	close(fd);
}

/* ---- healing ---- */

static void heal_set(struct bench *b, uint32_t after_ms)
{
	block_command(&b->block->pool.heal.command,
		      script(b, "echo $SLUICE_BACKEND $SLUICE_ATTEMPT >> %s/healed"));
	b->block->pool.heal.after_ms = after_ms;
	b->block->pool.heal.again_ms = 1000;
}

static void test_backend_that_stays_down_is_healed_and_again(void **state)
{
	struct bench *b = *state;

	heal_set(b, 300);
	config_send(b);
	health_send(b, "mx1", HEALTH_DOWN, time(NULL));
	health_send(b, "mx2", HEALTH_UP, time(NULL));
	WAIT_FOR(b, lines_of(b, "healed") == 2);
	assert_string_equal(text_of(b, "healed"), "mx1 1\nmx1 2\n");
}

static void test_backend_that_comes_up_or_is_held_is_not_healed(void **state)
{
	struct bench *b = *state;
	struct message_operator held = {.pool = "mx", .backend = "mx2", .held = 1};
	uint64_t until_ms = clock_ms() + 1500;

	heal_set(b, 500);
	config_send(b);
	channel_send(b->channel, MESSAGE_OPERATOR, &held, -1);
	health_send(b, "mx1", HEALTH_DOWN, time(NULL));
	health_send(b, "mx2", HEALTH_DOWN, time(NULL));
	health_send(b, "mx1", HEALTH_UP, time(NULL));
	while (clock_ms() < until_ms)
		turn(b);
	assert_int_equal(lines_of(b, "healed"), 0);
	held.held = 0;
	channel_send(b->channel, MESSAGE_OPERATOR, &held, -1);
	WAIT_FOR(b, lines_of(b, "healed") > 0);
	assert_memory_equal(text_of(b, "healed"), "mx2 1\n", 6);
}

/* ---- counts ---- */

static void ping(struct bench *b)
{
	struct message_ping m = {.sequence = 1};

	channel_send(b->channel, MESSAGE_PING, &m, -1);
	turn(b);
}

static void test_what_became_of_hooks_and_heals_is_told_with_a_ping(void **state)
{
	struct bench *b = *state;

	heal_set(b, 100);
	hook_add(b, "echo x >> %s/told; [ $(wc -l < %s/told) -ge 2 ]");
	config_send(b);
	WAIT_FOR(b, b->hook.hook == 1 && strcmp(b->heal.pool, "mx") == 0);
	health_send(b, "mx1", HEALTH_DOWN, time(NULL));
	WAIT_FOR(b, (ping(b), b->hook.done == 1));
	assert_int_equal(b->hook.again, 1);
	assert_int_equal(b->hook.waiting + b->hook.failed + b->hook.dropped, 0);
	assert_int_equal(b->hook.failing, 0);
	WAIT_FOR(b, (ping(b), b->heal.done == 2));
	assert_int_equal(b->heal.waiting, 1);
	assert_int_equal(b->heal.again, 1);
	health_send(b, "mx1", HEALTH_UP, time(NULL));
	WAIT_FOR(b, (ping(b), b->heal.waiting == 0));
}

/* ---- its life ---- */

static void test_process_stops_when_told_after_what_it_began(void **state)
{
	struct bench *b = *state;
	struct message_stop stop = {0};
	int status = -1;

	hook_add(b, "touch %s/begun; sleep 0.5; echo x > %s/told");
	config_send(b);
	health_send(b, "mx1", HEALTH_DOWN, 2);
	WAIT_FOR(b, access(script(b, "%s/begun"), F_OK) == 0);
	channel_send(b->channel, MESSAGE_STOP, &stop, -1);
	WAIT_FOR(b, b->closed);
	assert_int_equal(waitpid(b->pid, &status, 0), b->pid);
	b->pid = 0;
	assert_int_equal(status, 0);
	assert_int_equal(lines_of(b, "told"), 1);
}

static void test_process_that_is_killed_takes_its_programs_along(void **state)
{
	struct bench *b = *state;
	pid_t pid;

	block_probe(b->block, script(b, "echo $$ > %s/pid; exec sleep 1000"));
	b->block->pool.probe.timeout_ms = LONG_MS;
	config_send(b);
	run_send(b, 1);
	WAIT_FOR(b, lines_of(b, "pid") == 1);
	pid = atoi(text_of(b, "pid"));
	kill(b->pid, SIGKILL);
	WAIT_FOR(b, kill(pid, 0) < 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_probe_is_run_with_its_backend_and_answered_once),
		TEST(test_probe_runs_as_the_user_without_privileges_and_within_limits),
		TEST(test_probe_that_hangs_is_killed_and_delays_no_ping),
		TEST(test_too_many_probes_are_refused_and_each_is_answered),
		TEST(test_pool_whose_probes_all_hang_delays_no_other_pool),
		TEST(test_probe_of_an_unknown_backend_is_an_error),
		TEST(test_hook_is_told_each_change_in_order),
		TEST(test_hook_that_fails_is_tried_again),
		TEST(test_hook_that_hangs_delays_no_other_hook),
		TEST(test_webhook_is_posted_and_tried_again_after_503),
		TEST(test_backend_that_stays_down_is_healed_and_again),
		TEST(test_backend_that_comes_up_or_is_held_is_not_healed),
		TEST(test_what_became_of_hooks_and_heals_is_told_with_a_ping),
		TEST(test_process_stops_when_told_after_what_it_began),
		TEST(test_process_that_is_killed_takes_its_programs_along),
	};

	signal(SIGPIPE, SIG_IGN);
	if (geteuid() != 0) {
		puts("needs root");
		return 77; /* meson: skipped */
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
