/* SPDX-License-Identifier: BSD-2-Clause */
/* channel.c: see channel.h. A packet on the wire is `struct wire`, then the payload; a descriptor
 * goes along as SCM_RIGHTS. What the socket refuses waits in `queue`, and a write event sends it.
 */
#include "base/channel.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	TURN_MESSAGES = 64,
	HEAR_TURNS = 1024, /* then it is one who says more all the time */
};

struct wire {
	uint32_t type; /* enum message_type */
	uint32_t size_bytes;
};

struct queued {
	STAILQ_ENTRY(queued) next;
	struct wire wire;
	int fd; /* ours, -1 = none */
	char payload[];
};

struct channel {
	int fd;
	struct event *readable, *writable;
	channel_message_fn *on_message;
	channel_closed_fn *on_closed;
	void *owner;
	STAILQ_HEAD(, queued) queue;
	size_t queue_bytes;
	bool *freed; /* set while a callback runs, so that it may free us */
};

static const size_t sizes[MESSAGE_COUNT] = {
#define MESSAGE_BYTES(name, payload) [MESSAGE_##name] = sizeof(payload),
	MESSAGES(MESSAGE_BYTES)
#undef MESSAGE_BYTES
};

static const char *const names[MESSAGE_COUNT] = {
#define MESSAGE_TEXT_OF(name, payload) [MESSAGE_##name] = #name,
	MESSAGES(MESSAGE_TEXT_OF)
#undef MESSAGE_TEXT_OF
};

union largest {
#define MESSAGE_MEMBER(name, payload) payload name;
	MESSAGES(MESSAGE_MEMBER)
#undef MESSAGE_MEMBER
};

size_t message_size(enum message_type type)
{
	return type < MESSAGE_COUNT ? sizes[type] : 0;
}

const char *message_name(enum message_type type)
{
	return type < MESSAGE_COUNT ? names[type] : "?";
}

/* 0, -EAGAIN, or another -errno: the channel is dead. */
static int packet_send(int sock, const struct wire *wire, const void *payload, int fd)
{
	struct iovec iov[2] = {
		{.iov_base = (void *)(uintptr_t)wire, .iov_len = sizeof(*wire)},
		{.iov_base = (void *)(uintptr_t)payload, .iov_len = wire->size_bytes},
	};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};

	if (fd >= 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	}
	while (sendmsg(sock, &msg, MSG_NOSIGNAL) < 0) {
		if (errno != EINTR)
			return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	}
	return 0;
}

static void queued_free(struct queued *q)
{
	if (q->fd >= 0)
		close(q->fd);
	free(q);
}

/* queue_drain: send what waits; 0 when nothing is left, -EAGAIN, or another -errno. */
static int queue_drain(struct channel *c)
{
	struct queued *q;

	while ((q = STAILQ_FIRST(&c->queue)) != NULL) {
		int r = packet_send(c->fd, &q->wire, q->payload, q->fd);

		if (r < 0)
			return r;
		STAILQ_REMOVE_HEAD(&c->queue, next);
		c->queue_bytes -= sizeof(*q) + q->wire.size_bytes;
		queued_free(q);
	}
	return 0;
}

static int queue_add(struct channel *c, const struct wire *wire, const void *payload, int fd)
{
	size_t bytes = sizeof(struct queued) + wire->size_bytes;
	struct queued *q;

	if (c->queue_bytes + bytes > CHANNEL_QUEUE_BYTES)
		return -ENOBUFS;
	q = malloc(bytes);
	if (!q)
		return -ENOBUFS;
	q->wire = *wire;
	memcpy(q->payload, payload, wire->size_bytes);
	q->fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (fd >= 0 && q->fd < 0) {
		free(q);
		return -ENOBUFS;
	}
	STAILQ_INSERT_TAIL(&c->queue, q, next);
	c->queue_bytes += bytes;
	event_add(c->writable, NULL);
	return 0;
}

int channel_send(struct channel *c, enum message_type type, const void *payload, int fd)
{
	struct wire wire = {.type = type, .size_bytes = (uint32_t)message_size(type)};
	int r = -EAGAIN;

	if (STAILQ_EMPTY(&c->queue))
		r = packet_send(c->fd, &wire, payload, fd);
	if (r == -EAGAIN)
		return queue_add(c, &wire, payload, fd);
	return r < 0 ? -EPIPE : 0;
}

int channel_flush(struct channel *c, int timeout_ms)
{
	struct pollfd p = {.fd = c->fd, .events = POLLOUT};
	int r;

	while ((r = queue_drain(c)) == -EAGAIN) {
		if (poll(&p, 1, timeout_ms) <= 0)
			return -EAGAIN;
	}
	return r;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct channel *c = arg;

	(void)fd;
	(void)what;
	if (queue_drain(c) == -EAGAIN)
		event_add(c->writable, NULL);
	/* any other error shows up as the end of file on the reading side */
}

/* descriptor_take: the one that came along, or -1. The room for one is room for two, and a child
 * that is not itself any more may fill it: then there is none, and the packet is nonsense (false).
 */
static bool descriptor_take(struct msghdr *msg, int *ret_fd)
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);
	size_t n;
	int fd;

	*ret_fd = -1;
	if (!cmsg || cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
		return true;
	n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(fd);
	for (size_t i = 0; i < n; i++) {
		memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(fd), sizeof(fd));
		if (n == 1)
			*ret_fd = fd;
		else
			close(fd);
	}
	return n <= 1;
}

/* packet_receive: one packet; its payload's size, 0 at the end of file, or -errno. */
static ssize_t packet_receive(int sock, struct wire *wire, union largest *payload, int *ret_fd)
{
	struct iovec iov[2] = {
		{.iov_base = wire, .iov_len = sizeof(*wire)},
		{.iov_base = payload, .iov_len = sizeof(*payload)},
	};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr msg = {.msg_iov = iov,
			     .msg_iovlen = 2,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control.bytes)};
	ssize_t n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);

	*ret_fd = -1;
	if (n < 0)
		return -errno;
	return descriptor_take(&msg, ret_fd) ? n : -EPROTO;
}

size_t channel_waiting(const struct channel *c)
{
	return c->queue_bytes;
}

void channel_pause(struct channel *c, bool pause)
{
	if (pause)
		event_del(c->readable);
	else
		event_add(c->readable, NULL);
}

static void channel_broken(struct channel *c)
{
	event_del(c->readable);
	c->on_closed(c->owner);
}

/* A bounded turn, so that a busy sender cannot keep the loop from its timers. True: there may be
 * more.
 */
static bool turn_read(struct channel *c)
{
	bool freed = false;

	for (int i = 0; i < TURN_MESSAGES; i++) {
		union largest payload;
		struct wire wire;
		int fd;
		ssize_t n = packet_receive(c->fd, &wire, &payload, &fd);

		if (n == -EAGAIN || n == -EINTR)
			return false;
		if (n < (ssize_t)sizeof(wire) || wire.type >= MESSAGE_COUNT ||
		    wire.size_bytes != sizes[wire.type] ||
		    (size_t)n != sizeof(wire) + wire.size_bytes) {
			if (fd >= 0)
				close(fd);
			channel_broken(c);
			return false;
		}
		c->freed = &freed;
		c->on_message(c->owner, wire.type, &payload, fd);
		if (freed)
			return false;
		c->freed = NULL;
	}
	return true;
}

static void on_readable(evutil_socket_t sock, short what, void *arg)
{
	(void)sock;
	(void)what;
	turn_read(arg);
}

void channel_hear(struct channel *c)
{
	for (int turn = 0; turn < HEAR_TURNS && turn_read(c); turn++)
		;
}

int channel_fd(const struct channel *c)
{
	return c->fd;
}

struct channel *channel_new(struct event_base *loop, int fd, channel_message_fn *on_message,
			    channel_closed_fn *on_closed, void *owner)
{
	struct channel *c = calloc(1, sizeof(*c));
	int buffer_bytes = 1 << 20;

	if (!c) {
		close(fd);
		return NULL;
	}
	*c = (struct channel){
		.fd = fd, .on_message = on_message, .on_closed = on_closed, .owner = owner};
	STAILQ_INIT(&c->queue);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof(buffer_bytes));
	evutil_make_socket_nonblocking(fd);
	c->readable = event_new(loop, fd, EV_READ | EV_PERSIST, on_readable, c);
	c->writable = event_new(loop, fd, EV_WRITE, on_writable, c);
	if (!c->readable || !c->writable || event_add(c->readable, NULL) < 0) {
		channel_free(c);
		errno = ENOMEM;
		return NULL;
	}
	return c;
}

void channel_free(struct channel *c)
{
	struct queued *q;

	if (!c)
		return;
	if (c->freed)
		*c->freed = true;
	while ((q = STAILQ_FIRST(&c->queue)) != NULL) {
		STAILQ_REMOVE_HEAD(&c->queue, next);
		queued_free(q);
	}
	if (c->readable)
		event_free(c->readable);
	if (c->writable)
		event_free(c->writable);
	close(c->fd);
	free(c);
}
