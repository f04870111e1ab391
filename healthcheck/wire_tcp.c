/* SPDX-License-Identifier: BSD-2-Clause */
/* wire_tcp.c: a connection of TCP, made without blocking, with as few packets and turns of the loop
 * as will do, by who speaks first (RFC 9293 3.5 to 3.8 leave us the choice):
 * - we: the handshake's last ACK waits for the first bytes and goes with them;
 * - the server: nothing has to be done before it has spoken, so the loop waits for that alone;
 * - nobody: the SYN-ACK was the answer, and is answered by a RST. The server's program never hears
 *   of the connection, and logs nothing.
 * The last bytes and the FIN are one segment.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "healthcheck/wire.h"

static void connected(struct wire *w)
{
	w->connecting = false;
	event_add(w->readable, NULL);
	w->hooks->ready(w->owner);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct wire *w = arg;
	char chunk[WIRE_CHUNK];
	ssize_t n = recv(fd, chunk, sizeof(chunk), 0);
	int error = n < 0 ? errno : 0;

	(void)what;
	if (error == EAGAIN || error == EINTR)
		return;
	if (w->connecting && (n >= 0 || error == ECONNRESET)) {
		connected(w);
		if (!event_pending(w->readable, EV_READ, NULL))
			return; /* stopped */
	}
	if (n > 0)
		w->hooks->received(w->owner, chunk, (size_t)n);
	else if (n == 0)
		w->hooks->closed(w->owner);
	else
		w->hooks->broken(w->owner, error);
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
	if (error != 0)
		w->hooks->broken(w->owner, error);
	else
		connected(w);
}

static void look(struct wire *w)
{
	struct tcp_info now = {0};
	socklen_t size = sizeof(now);

	if (w->connecting && getsockopt(w->fd, IPPROTO_TCP, TCP_INFO, &now, &size) == 0 &&
	    now.tcpi_state == TCP_ESTABLISHED)
		connected(w);
}

/* What cannot be set costs packets, nothing else. */
static void socket_prepare(const struct wire *w)
{
	static const struct linger reset = {.l_onoff = 1};
	static const int on = 1, off = 0;

	if (w->prompt)
		setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (w->opening == OPENING_OURS || w->opening == OPENING_NOBODYS)
		setsockopt(w->fd, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof(off));
	if (w->opening == OPENING_NOBODYS)
		setsockopt(w->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	via_mark(&w->via, w->fd);
}

static int begin(struct wire *w)
{
	struct sockaddr_storage sa;
	socklen_t size = addr_sockaddr(&w->addr, w->port, &sa);

	w->fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (w->fd < 0)
		return -errno;
	socket_prepare(w);
	if (wire_events(w, on_readable, on_writable) < 0)
		return -ENOMEM;
	w->connecting = true;
	if (connect(w->fd, (struct sockaddr *)&sa, size) < 0 && errno != EINPROGRESS)
		return -errno;
	return event_add(w->unseen ? w->readable : w->writable, NULL) < 0 ? -ENOMEM : 0;
}

/* Until it is all gone or the socket is full. A broken connection shows when it is read. */
static size_t send_some(struct wire *w, const char *bytes, size_t n)
{
	int flags = MSG_NOSIGNAL | (w->last ? MSG_MORE : 0);
	size_t sent = 0;
	ssize_t m = 0;

	while (sent < n && (m = send(w->fd, bytes + sent, n - sent, flags)) >= 0)
		sent += (size_t)m;
	if (sent < n && (errno == EAGAIN || errno == EWOULDBLOCK))
		event_add(w->writable, NULL);
	return sent;
}

const struct wire_ops wire_tcp = {
	.stream = true, .name = "TCP", .begin = begin, .send = send_some, .look = look};
