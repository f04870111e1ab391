/* SPDX-License-Identifier: BSD-2-Clause */
/* wire_udp.c: a connected socket of UDP (RFC 768): hears only the server that it asks, and that its
 * port is closed (ICMP port unreachable: "refused").
 */
#include <errno.h>
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
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		w->hooks->broken(w->owner, errno);
}

static int begin(struct wire *w)
{
	struct sockaddr_storage sa;
	socklen_t size = addr_sockaddr(&w->addr, w->port, &sa);

	w->fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (w->fd < 0)
		return -errno;
	if (connect(w->fd, (struct sockaddr *)&sa, size) < 0)
		return -errno;
	if (wire_events(w, on_readable, NULL) < 0 || event_add(w->readable, NULL) < 0)
		return -ENOMEM;
	w->hooks->ready(w->owner);
	return 0;
}

/* What does not go now is sent again later; an error shows when it is read. */
static size_t send_one(struct wire *w, const char *bytes, size_t n)
{
	ssize_t sent = send(w->fd, bytes, n, MSG_NOSIGNAL);

	(void)sent;
	wire_keep(w, bytes, n);
	return n;
}

const struct wire_ops wire_udp = {.name = "UDP", .begin = begin, .send = send_one};
