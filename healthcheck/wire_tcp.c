/* SPDX-License-Identifier: BSD-2-Clause */
/* wire_tcp.c: a connection of TCP, made without blocking. */
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "healthcheck/wire.h"

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct wire *w = arg;
	char chunk[WIRE_CHUNK];
	ssize_t n = recv(fd, chunk, sizeof(chunk), 0);

	(void)what;
	if (n > 0)
		w->hooks->received(w->owner, chunk, (size_t)n);
	else if (n == 0)
		w->hooks->closed(w->owner);
	else if (errno != EAGAIN && errno != EINTR)
		w->hooks->broken(w->owner, errno);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct wire *w = arg;
	socklen_t size = sizeof(int);
	int error = 0;

	(void)what;
	if (!w->connecting) {
		w->hooks->writable(w->owner);
		return;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		error = errno;
	if (error != 0) {
		w->hooks->broken(w->owner, error);
		return;
	}
	w->connecting = false;
	event_add(w->readable, NULL);
	w->hooks->ready(w->owner);
}

static int begin(struct wire *w)
{
	struct sockaddr_storage sa;
	socklen_t size = addr_sockaddr(&w->addr, w->port, &sa);
	int on = 1;

	w->fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (w->fd < 0)
		return -errno;
	setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	via_mark(&w->via, w->fd);
	if (wire_events(w, on_readable, on_writable) < 0)
		return -ENOMEM;
	w->connecting = true;
	if (connect(w->fd, (struct sockaddr *)&sa, size) < 0 && errno != EINPROGRESS)
		return -errno;
	return event_add(w->writable, NULL) < 0 ? -ENOMEM : 0;
}

/* Until it is all gone or the socket is full. A broken connection shows when it is read. */
static size_t send_some(struct wire *w, const char *bytes, size_t n)
{
	size_t sent = 0;
	ssize_t m = 0;

	while (sent < n && (m = send(w->fd, bytes + sent, n - sent, MSG_NOSIGNAL)) >= 0)
		sent += (size_t)m;
	if (sent < n && (errno == EAGAIN || errno == EWOULDBLOCK))
		event_add(w->writable, NULL);
	return sent;
}

const struct wire_ops wire_tcp = {.stream = true, .name = "TCP", .begin = begin, .send = send_some};
