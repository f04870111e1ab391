/* SPDX-License-Identifier: BSD-2-Clause */
/* test_channel.c: what must hold of base/channel.h, over a real socketpair. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/channel.h"

struct end {
	struct event_base *loop;
	struct channel *channel;
	int peer; /* the other end, raw */
	int received, closed;
	uint32_t last_sequence;
	int last_fd;
	bool free_in_callback;
};

static void on_message(void *owner, enum message_type type, const void *payload, int fd)
{
	struct end *e = owner;

	e->received++;
	e->last_fd = fd;
	if (type == MESSAGE_PING)
		e->last_sequence = ((const struct message_ping *)payload)->sequence;
	if (e->free_in_callback) {
		channel_free(e->channel);
		e->channel = NULL;
	}
}

static void on_closed(void *owner)
{
	((struct end *)owner)->closed++;
}

static int setup(void **state)
{
	struct end *e = calloc(1, sizeof(*e));
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	e->loop = event_base_new();
	e->channel = channel_new(e->loop, pair[0], on_message, on_closed, e);
	e->peer = pair[1];
	e->last_fd = -1;
	*state = e;
	return 0;
}

static int teardown(void **state)
{
	struct end *e = *state;

	channel_free(e->channel);
	event_base_free(e->loop);
	if (e->peer >= 0)
		close(e->peer);
	free(e);
	return 0;
}

static struct channel *peer_channel(struct end *e, struct end *owner)
{
	struct channel *c;

	*owner = (struct end){.loop = e->loop, .last_fd = -1};
	c = channel_new(e->loop, e->peer, on_message, on_closed, owner);
	e->peer = -1;
	return c;
}

static void test_message_arrives_whole_with_its_descriptor(void **state)
{
	struct end *e = *state, other;
	struct channel *peer = peer_channel(e, &other);
	struct message_ping ping = {.sequence = 42};
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_int_equal(channel_send(peer, MESSAGE_PING, &ping, fd), 0);
	close(fd);
	event_base_loop(e->loop, EVLOOP_NONBLOCK);
	assert_int_equal(e->received, 1);
	assert_int_equal(e->last_sequence, 42);
	assert_true(e->last_fd >= 0);
	assert_int_equal(close(e->last_fd), 0);
	channel_free(peer);
}

static void test_order_is_kept_when_the_socket_is_full(void **state)
{
	enum { MANY = 5000 };
	struct end *e = *state, other;
	struct channel *peer = peer_channel(e, &other);
	struct message_reloaded big = {0};

	for (uint32_t i = 0; i < MANY; i++) {
		struct message_ping ping = {.sequence = i + 1};

		assert_int_equal(channel_send(peer, MESSAGE_PING, &ping, -1), 0);
		if (i % 10 == 0)
			assert_int_equal(channel_send(peer, MESSAGE_RELOADED, &big, -1), 0);
	}
	for (int turn = 0; turn < 10000 && e->received < MANY + MANY / 10; turn++) {
		uint32_t before = e->last_sequence;

		event_base_loop(e->loop, EVLOOP_ONCE);
		assert_true(e->last_sequence >= before);
	}
	assert_int_equal(e->received, MANY + MANY / 10);
	assert_int_equal(e->last_sequence, MANY);
	channel_free(peer);
}

static void test_queue_is_bounded(void **state)
{
	struct end *e = *state;
	struct message_reloaded big = {0};
	int r = 0;

	for (int i = 0; i < 2 * CHANNEL_QUEUE_BYTES / (int)sizeof(big) && r == 0; i++)
		r = channel_send(e->channel, MESSAGE_RELOADED, &big, -1);
	assert_int_equal(r, -ENOBUFS);
}

static void test_nonsense_closes_once_and_is_not_delivered(void **state)
{
	struct end *e = *state;
	struct {
		uint32_t type, size;
		char payload[64];
	} wrong[] = {{.type = 9999, .size = 4}, {.type = MESSAGE_PING, .size = 64}};

	assert_true(write(e->peer, &wrong[0], 12) == 12);
	assert_true(write(e->peer, &wrong[1], sizeof(wrong[1])) > 0);
	event_base_loop(e->loop, EVLOOP_NONBLOCK);
	event_base_loop(e->loop, EVLOOP_NONBLOCK);
	assert_int_equal(e->received, 0);
	assert_int_equal(e->closed, 1);
}

static void test_truncated_header_closes(void **state)
{
	struct end *e = *state;

	assert_true(write(e->peer, "abc", 3) == 3);
	event_base_loop(e->loop, EVLOOP_NONBLOCK);
	assert_int_equal(e->closed, 1);
}

static int lowest_free(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	close(fd);
	return fd;
}

static void test_two_descriptors_at_once_are_nonsense_and_leave_none_behind(void **state)
{
	struct end *e = *state;
	struct {
		uint32_t type, size;
		struct message_ping ping;
	} packet = {.type = MESSAGE_PING, .size = sizeof(packet.ping)};
	struct iovec iov = {.iov_base = &packet, .iov_len = sizeof(packet)};
	int fds[2] = {STDIN_FILENO, STDERR_FILENO}, before = lowest_free();
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(fds))];
	} control = {.header = {.cmsg_level = SOL_SOCKET,
				.cmsg_type = SCM_RIGHTS,
				.cmsg_len = CMSG_LEN(sizeof(fds))}};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control.bytes)};

	memcpy(CMSG_DATA(&control.header), fds, sizeof(fds));
	assert_int_equal(sendmsg(e->peer, &msg, 0), sizeof(packet));
	event_base_loop(e->loop, EVLOOP_NONBLOCK);
	assert_int_equal(e->received, 0);
	assert_int_equal(e->closed, 1);
	assert_int_equal(lowest_free(), before);
}

static void test_end_of_the_other_process_is_told(void **state)
{
	struct end *e = *state;
	struct message_ping ping = {0};

	close(e->peer);
	e->peer = -1;
	event_base_loop(e->loop, EVLOOP_NONBLOCK);
	assert_int_equal(e->closed, 1);
	assert_int_equal(channel_send(e->channel, MESSAGE_PING, &ping, -1), -EPIPE);
}

static void test_callback_may_free_the_channel(void **state)
{
	struct end *e = *state, other;
	struct channel *peer = peer_channel(e, &other);
	struct message_ping ping = {0};

	e->free_in_callback = true;
	channel_send(peer, MESSAGE_PING, &ping, -1);
	channel_send(peer, MESSAGE_PING, &ping, -1);
	event_base_loop(e->loop, EVLOOP_NONBLOCK);
	assert_int_equal(e->received, 1);
	channel_free(peer);
}

static void test_hear_takes_all_that_has_come(void **state)
{
	struct {
		uint32_t type, size_bytes;
		struct message_ping ping;
	} wire = {MESSAGE_PING, sizeof(struct message_ping), {0}};
	struct end *e = *state;

	for (wire.ping.sequence = 1; wire.ping.sequence <= 200; wire.ping.sequence++)
		assert_int_equal(send(e->peer, &wire, sizeof(wire), 0), sizeof(wire));
	channel_hear(e->channel);
	assert_int_equal(e->received, 200);
	assert_int_equal(e->last_sequence, 200);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_message_arrives_whole_with_its_descriptor),
		TEST(test_order_is_kept_when_the_socket_is_full),
		TEST(test_queue_is_bounded),
		TEST(test_nonsense_closes_once_and_is_not_delivered),
		TEST(test_truncated_header_closes),
		TEST(test_two_descriptors_at_once_are_nonsense_and_leave_none_behind),
		TEST(test_end_of_the_other_process_is_told),
		TEST(test_callback_may_free_the_channel),
		TEST(test_hear_takes_all_that_has_come),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
