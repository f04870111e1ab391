/* SPDX-License-Identifier: BSD-2-Clause */
/* test_supervisor.c: what must hold of the children's lives. The children are this program, started
 * again as the supervisor does: a healthcheck that a stranger took over, and a slow lb.
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
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/unit/parent/stand_in.h"
#include "tests/unit/programs/block.h"

enum { PING_MS = 200, FLOOD_MS = 4000, LB_SLOW_US = 200, LONG_MS = 20000 };

/* ---- the children ---- */

struct stand {
	struct event_base *loop;
	struct channel *channel;
	bool lb, floods, talks_nonsense, deaf;
};

static void on_message(void *owner, enum message_type type, const void *payload, int fd)
{
	struct stand *s = owner;

	(void)fd;
	if (type == MESSAGE_PING && !s->deaf)
		channel_send(s->channel, MESSAGE_PONG, payload, -1);
	if (s->lb && type == MESSAGE_HEALTH)
		usleep(LB_SLOW_US);
}

static void on_closed(void *owner)
{
	(void)owner;
	_exit(0);
}

static void flood(evutil_socket_t fd, short what, void *arg)
{
	struct message_health m = {
		.pool = "mx", .backend = "mx1", .weight = 100, .health = HEALTH_UP};
	struct message_reload not_allowed = {0};
	struct stand *s = arg;

	(void)fd;
	(void)what;
	for (int i = 0; i < 5000 && channel_waiting(s->channel) < 1 << 20; i++) {
		m.since_s++;
		if (s->floods)
			channel_send(s->channel, MESSAGE_HEALTH, &m, -1);
		if (s->talks_nonsense)
			channel_send(s->channel, MESSAGE_RELOAD, &not_allowed, -1);
	}
}

static int child_main(const char *role)
{
	struct stand s = {.loop = event_base_new(),
			  .lb = strcmp(role, "lb") == 0,
			  .floods = strcmp(role, "floods") == 0,
			  .talks_nonsense = strcmp(role, "nonsense") == 0,
			  .deaf = strcmp(role, "deaf") == 0};
	struct event *now;

	s.channel = channel_new(s.loop, CHILD_CHANNEL_FD, on_message, on_closed, &s);
	now = event_new(s.loop, -1, EV_PERSIST, flood, &s);
	event_add(now, &(struct timeval){.tv_usec = 1000});
	return event_base_dispatch(s.loop);
}

/* ---- the parent ---- */

static void on_child(evutil_socket_t signal_number, short what, void *arg)
{
	(void)signal_number;
	(void)what;
	supervisor_reap(arg);
}

static void on_ping(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	supervisor_ping(arg);
}

struct bench {
	struct parent parent;
	struct event *child, *ping;
	struct block *block;
};

static void prepare(struct bench *b, const struct child *healthcheck)
{
	static const struct child lb = {.role = "lb"}, other = {.role = "other"};
	const struct child *const children[ROLE_COUNT] = {&lb, healthcheck, &other, &other};
	struct parent *p = &b->parent;

	*b = (struct bench){.block = block_new(true)};
	p->config = &b->block->config;
	p->loop = event_base_new();
	p->memory = memory_new();
	for (int role = 0; role < ROLE_COUNT; role++)
		p->processes[role] = (struct process){
			.parent = p, .child = children[role], .role = (enum parent_role)role};
	b->child = evsignal_new(p->loop, SIGCHLD, on_child, p);
	b->ping = event_new(p->loop, -1, EV_PERSIST, on_ping, p);
	event_add(b->child, NULL);
	event_add(b->ping, &(struct timeval){.tv_usec = PING_MS * 1000});
}

static void begin(struct bench *b, const struct child *healthcheck)
{
	prepare(b, healthcheck);
	assert_int_equal(supervisor_start(&b->parent), 0);
}

static void end(struct bench *b)
{
	for (int role = 0; role < ROLE_COUNT; role++) {
		if (b->parent.processes[role].pid > 0)
			kill(b->parent.processes[role].pid, SIGKILL);
	}
	supervisor_stop(&b->parent);
	event_free(b->child);
	event_free(b->ping);
	event_base_free(b->parent.loop);
	memory_free(b->parent.memory);
	free(b->block);
}

static void turns(struct bench *b, uint32_t for_ms, const uint32_t *until)
{
	uint64_t end_ms = clock_ms() + for_ms;

	while (clock_ms() < end_ms && !(until && *until))
		event_base_loop(b->parent.loop, EVLOOP_ONCE);
}

static void test_child_that_floods_ends_nobody_else(void **state)
{
	static const struct child floods = {.role = "floods"};
	struct bench b;

	(void)state;
	begin(&b, &floods);
	turns(&b, FLOOD_MS, NULL);
	assert_int_equal(b.parent.processes[ROLE_LB].restarts, 0);
	assert_int_equal(b.parent.processes[ROLE_VRRP].restarts, 0);
	assert_int_equal(b.parent.processes[ROLE_PROGRAMS].restarts, 0);
	end(&b);
}

static void test_child_that_goes_on_saying_what_it_may_not_is_started_anew(void **state)
{
	static const struct child nonsense = {.role = "nonsense"};
	struct bench b;

	(void)state;
	begin(&b, &nonsense);
	turns(&b, LONG_MS, &b.parent.processes[ROLE_HEALTHCHECK].restarts);
	assert_true(b.parent.processes[ROLE_HEALTHCHECK].restarts > 0);
	assert_int_equal(b.parent.processes[ROLE_LB].restarts, 0);
	end(&b);
}

/* How many messages the one before can say before nobody takes them. */
static int say_all(int fd)
{
	const char message[400] = {0};
	int n = 0;

	while (send(fd, message, sizeof(message), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		n++;
	assert_int_equal(errno, EAGAIN);
	return n;
}

static void test_the_one_before_is_not_read_and_its_end_is_seen(void **state)
{
	static const struct child deaf = {.role = "deaf"};
	struct process *c;
	struct bench b;
	int pair[2], n;

	(void)state;
	prepare(&b, &deaf);
	c = &b.parent.processes[ROLE_HEALTHCHECK];
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	c->before_fd = pair[0];
	c->before_pid = getpid(); /* would end the test, were it killed */
	assert_int_equal(supervisor_start(&b.parent), 0);
	n = say_all(pair[1]);
	assert_true(n > 0);
	turns(&b, 2 * PING_MS, NULL);
	assert_int_equal(say_all(pair[1]), n);
	assert_int_equal(c->before_pid, getpid());
	close(pair[1]);
	turns(&b, 2 * PING_MS, NULL);
	assert_int_equal(c->before_pid, 0);
	assert_int_equal(c->before_fd, -1);
	assert_true(c->pid > 0);
	end(&b);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_one_before_is_not_read_and_its_end_is_seen),
		cmocka_unit_test(test_child_that_floods_ends_nobody_else),
		cmocka_unit_test(test_child_that_goes_on_saying_what_it_may_not_is_started_anew),
	};

	signal(SIGPIPE, SIG_IGN);
	if (argc > 2 && strcmp(argv[1], "--child") == 0)
		return child_main(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
