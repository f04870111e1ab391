/* SPDX-License-Identifier: BSD-2-Clause */
/* wire.c: what the kinds of wires share; see wire.h. */
#include "healthcheck/wire.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

const struct wire_ops *wire_kind(enum probe_transport transport)
{
	static const struct wire_ops *const kinds[] = {
		[TRANSPORT_TCP] = &wire_tcp,
		[TRANSPORT_UDP] = &wire_udp,
		[TRANSPORT_ICMP] = &wire_icmp,
		[TRANSPORT_PROGRAM] = &wire_program,
	};

	return kinds[transport];
}

int wire_begin(struct wire *w)
{
	return w->ops->begin(w);
}

size_t wire_send(struct wire *w, const char *bytes, size_t n)
{
	return n > 0 ? w->ops->send(w, bytes, n) : 0;
}

void wire_look(struct wire *w)
{
	if (w->ops->look)
		w->ops->look(w);
}

enum verdict_word wire_verdict(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return VERDICT_REFUSED;
	case ECONNRESET:
	case EPIPE:
		return VERDICT_RESET;
	case ETIMEDOUT:
		return VERDICT_TIMEOUT;
	case EMFILE: /* our own limits */
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case EADDRNOTAVAIL:
		return VERDICT_UNABLE;
	}
	return VERDICT_UNREACHABLE;
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	struct wire *w = arg;

	(void)fd;
	(void)what;
	if (w->said_len > 0)
		w->ops->send(w, w->said, w->said_len);
}

void wire_keep(struct wire *w, const char *bytes, size_t n)
{
	uint32_t third_ms = w->timeout_ms / 3 + 1;

	assert(n <= sizeof(w->said));
	if (bytes == w->said)
		return;
	memcpy(w->said, bytes, n);
	w->said_len = n;
	if (!w->again)
		w->again = event_new(w->loop, -1, EV_PERSIST, on_again, w);
	if (w->again) /* without memory it is sent only once */
		event_add(w->again, &(struct timeval){.tv_sec = third_ms / 1000,
						      .tv_usec = third_ms % 1000 * 1000});
}

int wire_events(struct wire *w, event_callback_fn readable, event_callback_fn writable)
{
	w->readable = event_new(w->loop, w->fd, EV_READ | EV_PERSIST, readable, w);
	if (writable)
		w->writable = event_new(w->loop, w->fd, EV_WRITE, writable, w);
	return w->readable && (w->writable || !writable) ? 0 : -ENOMEM;
}

void wire_stop(struct wire *w)
{
	if (w->readable)
		event_del(w->readable);
	if (w->writable)
		event_del(w->writable);
	if (w->again)
		event_del(w->again);
	if (w->ops && w->ops->stop)
		w->ops->stop(w);
}

static void event_end(struct event **event)
{
	if (*event)
		event_free(*event);
	*event = NULL;
}

void wire_fini(struct wire *w)
{
	wire_stop(w);
	event_end(&w->readable);
	event_end(&w->writable);
	event_end(&w->again);
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}
