/* SPDX-License-Identifier: BSD-2-Clause */
/* runner.c: see runner.h.
 *
 * CONNECTING -> (HANDSHAKE ->) TALKING (-> HANDSHAKE -> TALKING, by STARTTLS) -> ENDED. Bytes from
 * the socket go through TLS, if there is any, into `in`, to the probe; what the probe leaves in
 * `out` goes the other way. The verdict is delivered by the deadline's event, made active: so
 * nobody is called, and nothing freed, below a function that still needs the runner.
 */
#include "healthcheck/runner.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "healthcheck/tls.h"

enum { RUNNER_CHUNK = 16384 }; /* of one read from the socket */

enum runner_at { RUNNER_CONNECTING, RUNNER_HANDSHAKE, RUNNER_TALKING, RUNNER_ENDED };

struct runner {
	const struct probe_ops *ops;
	struct config_probe probe;
	struct addr addr;
	uint16_t port;
	struct via via;
	runner_done_fn *done;
	void *owner;
	enum runner_at at;
	bool started; /* the probe */
	int fd;
	struct tls tls;
	SSL_CTX *context;
	struct event *readable, *writable, *deadline;
	uint64_t started_ms;
	uint32_t took_ms;
	size_t received;
	struct verdict verdict;
	struct dialogue dialogue;
	void *talk;
	struct buf in, out;
	char in_bytes[PROBE_IN_BYTES], out_bytes[PROBE_OUT_BYTES];
};

static uint32_t elapsed_ms(const struct runner *r)
{
	return (uint32_t)(clock_ms() - r->started_ms);
}

static const char *waiting(const struct runner *r)
{
	if (r->at == RUNNER_CONNECTING)
		return "connection";
	if (r->at == RUNNER_HANDSHAKE || !r->ops->waiting)
		return "TLS handshake";
	return r->ops->waiting(r->talk);
}

/* ---- the end ---- */

/* The verdict is in r->verdict. The caller returns without touching the connection again. */
static void runner_end(struct runner *r)
{
	r->at = RUNNER_ENDED;
	r->took_ms = elapsed_ms(r);
	event_del(r->readable);
	event_del(r->writable);
	event_active(r->deadline, 0, 0);
}

static void connection_broken(struct runner *r, int error)
{
	enum verdict_word word = VERDICT_UNREACHABLE;

	switch (error) {
	case ECONNREFUSED:
		word = VERDICT_REFUSED;
		break;
	case ECONNRESET:
	case EPIPE:
		word = VERDICT_RESET;
		break;
	case ETIMEDOUT:
		word = VERDICT_TIMEOUT;
		break;
	case EMFILE: /* our own limits */
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case EADDRNOTAVAIL:
		word = VERDICT_UNABLE;
		break;
	}
	probe_end(&r->verdict, word, 0, "%s (no %s)", strerror(error), waiting(r));
	runner_end(r);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct runner *r = arg;
	struct verdict verdict;

	(void)fd;
	if (what & EV_TIMEOUT && r->at != RUNNER_ENDED) {
		probe_end(&r->verdict, VERDICT_TIMEOUT, 0, "no %s in %u ms", waiting(r),
			  r->probe.timeout_ms);
		runner_end(r);
		return;
	}
	event_del(r->deadline);
	dialogue_end(&r->dialogue, r->took_ms);
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
	verdict = r->verdict; /* done() may free the runner before it has read that */
	r->done(r->owner, &verdict, r->took_ms);
}

/* ---- bytes out ---- */

/* Send until it is all gone or the socket is full: 1 = something is left. */
static int wire_send(struct runner *r, const char *bytes, size_t n, size_t *ret_sent)
{
	size_t sent = 0;

	while (sent < n) {
		ssize_t m = send(r->fd, bytes + sent, n - sent, MSG_NOSIGNAL);

		if (m < 0)
			break; /* a broken connection shows when it is read */
		sent += (size_t)m;
	}
	*ret_sent = sent;
	return sent < n && (errno == EAGAIN || errno == EWOULDBLOCK);
}

static void flush(struct runner *r)
{
	size_t n, sent;
	const char *bytes;
	int left;

	if (r->tls.ssl && r->at != RUNNER_HANDSHAKE && buf_len(&r->out) > 0 &&
	    tls_write(&r->tls, buf_head(&r->out), buf_len(&r->out)) == 0)
		buf_drop(&r->out, buf_len(&r->out));
	if (r->tls.ssl) {
		n = tls_wire(&r->tls, &bytes);
		left = wire_send(r, bytes, n, &sent);
		tls_sent(&r->tls, sent);
	} else {
		left = wire_send(r, buf_head(&r->out), buf_len(&r->out), &sent);
		buf_drop(&r->out, sent);
	}
	if (left)
		event_add(r->writable, NULL);
}

/* What the probe has just written, into the dialogue and out. */
static void probe_said(struct runner *r, size_t before)
{
	dialogue_bytes(&r->dialogue, elapsed_ms(r), '>', buf_head(&r->out) + before,
		       buf_len(&r->out) - before);
	flush(r);
}

/* Leave politely, if the dialogue is in order. */
static void bye_say(struct runner *r)
{
	enum verdict_word word = r->verdict.word;
	size_t before = buf_len(&r->out);

	if (word != VERDICT_PASS && word != VERDICT_FAIL && word != VERDICT_LEAVING)
		return;
	if (r->ops->bye && buf_add(&r->out, r->ops->bye, strlen(r->ops->bye)))
		probe_said(r, before);
	if (r->tls.ssl) {
		tls_bye(&r->tls);
		flush(r);
	}
}

/* ---- the conversation ---- */

static void handshake_begin(struct runner *r);

static void step_take(struct runner *r, enum probe_step step, size_t before)
{
	probe_said(r, before);
	if (step == PROBE_START_TLS) {
		handshake_begin(r);
	} else if (step == PROBE_DONE) {
		bye_say(r);
		runner_end(r);
	}
}

/* The transport is there: plain, or as secure as it gets. */
static void talk_go_on(struct runner *r)
{
	size_t before = buf_len(&r->out);
	enum probe_step step;

	r->at = RUNNER_TALKING;
	if (r->started) {
		step = r->ops->secured(r->talk, r->probe.conf, &r->out, &r->verdict);
	} else {
		r->started = true;
		step = r->ops->start(r->talk, r->probe.conf, r->probe.tls, &r->out, &r->verdict);
	}
	step_take(r, step, before);
}

static void tls_broken(struct runner *r)
{
	probe_end(&r->verdict, VERDICT_TLS, 0, "%s (no %s)", r->tls.error, waiting(r));
	runner_end(r);
}

static void handshake_go_on(struct runner *r)
{
	int result = tls_handshake(&r->tls);

	flush(r);
	if (result == -EAGAIN)
		return;
	if (result < 0) {
		tls_broken(r);
		return;
	}
	dialogue_note(&r->dialogue, elapsed_ms(r), "TLS: %s %s", SSL_get_version(r->tls.ssl),
		      SSL_get_cipher_name(r->tls.ssl));
	talk_go_on(r);
}

static void handshake_begin(struct runner *r)
{
	const struct probe_common *common = (const void *)r->probe.conf;

	assert(!r->tls.ssl);
	if (tls_init(&r->tls, r->context, common->sni) < 0) {
		connection_broken(r, ENOMEM);
		return;
	}
	r->at = RUNNER_HANDSHAKE;
	handshake_go_on(r);
}

static void connected(struct runner *r)
{
	char text[INET6_ADDRSTRLEN], via[VIA_TEXT];

	dialogue_note(&r->dialogue, elapsed_ms(r), "connected to %s port %u%s in %u ms",
		      addr_format(&r->addr, text), r->port, via_text(&r->via, via), elapsed_ms(r));
	event_add(r->readable, NULL);
	if (r->probe.tls == TLS_IMPLICIT)
		handshake_begin(r);
	else
		talk_go_on(r);
}

/* ---- bytes in ---- */

/* `in` has new bytes, the last @n of it. */
static void probe_feed(struct runner *r, size_t n)
{
	size_t before = buf_len(&r->out);
	enum probe_step step;

	dialogue_bytes(&r->dialogue, elapsed_ms(r), '<', buf_tail(&r->in) - n, n);
	step = r->ops->feed(r->talk, r->probe.conf, &r->in, &r->out, &r->verdict);
	if (step == PROBE_MORE && buf_room(&r->in) == 0)
		step = probe_end(&r->verdict, VERDICT_GARBLED, 0, "an endless answer");
	step_take(r, step, before);
}

static void closed_by_server(struct runner *r)
{
	size_t before = buf_len(&r->out);

	if (r->at == RUNNER_TALKING && r->ops->closed &&
	    r->ops->closed(r->talk, r->probe.conf, &r->verdict) == PROBE_DONE) {
		step_take(r, PROBE_DONE, before);
		return;
	}
	probe_end(&r->verdict, r->at == RUNNER_HANDSHAKE ? VERDICT_TLS : VERDICT_CLOSED, 0,
		  "the server closed the connection (no %s)", waiting(r));
	runner_end(r);
}

static void plain_receive(struct runner *r, const char *bytes, size_t n)
{
	while (n > 0 && r->at == RUNNER_TALKING && !r->tls.ssl) {
		size_t room = buf_room(&r->in);
		size_t part = n < room ? n : room;

		buf_add(&r->in, bytes, part);
		bytes += part;
		n -= part;
		probe_feed(r, part);
	}
	if (n > 0 && r->at == RUNNER_HANDSHAKE) {
		probe_end(&r->verdict, VERDICT_GARBLED, 0,
			  "plain text after the go-ahead for TLS: someone may inject it");
		runner_end(r);
	}
}

static void tls_receive(struct runner *r, const char *bytes, size_t n)
{
	ssize_t m;

	if (tls_push(&r->tls, bytes, n) < 0) {
		connection_broken(r, ENOMEM);
		return;
	}
	if (r->at == RUNNER_HANDSHAKE)
		handshake_go_on(r);
	while (r->at == RUNNER_TALKING) {
		size_t room = buf_room(&r->in);

		m = tls_read(&r->tls, buf_tail(&r->in), room);
		flush(r);
		if (m == -EAGAIN)
			return;
		if (m == -EPIPE) {
			closed_by_server(r);
			return;
		}
		if (m < 0) {
			tls_broken(r);
			return;
		}
		buf_grow(&r->in, (size_t)m);
		probe_feed(r, (size_t)m);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct runner *r = arg;
	char chunk[RUNNER_CHUNK];
	ssize_t n = recv(fd, chunk, sizeof(chunk), 0);

	(void)what;
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			connection_broken(r, errno);
		return;
	}
	if (n == 0) {
		closed_by_server(r);
		return;
	}
	r->received += (size_t)n;
	if (r->received > RUNNER_BYTES) {
		probe_end(&r->verdict, VERDICT_GARBLED, 0, "an endless answer");
		runner_end(r);
	} else if (r->tls.ssl) {
		tls_receive(r, chunk, (size_t)n);
	} else {
		plain_receive(r, chunk, (size_t)n);
	}
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct runner *r = arg;
	socklen_t size = sizeof(int);
	int error = 0;

	(void)what;
	if (r->at != RUNNER_CONNECTING) {
		flush(r);
		return;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		error = errno;
	if (error != 0)
		connection_broken(r, error);
	else
		connected(r);
}

/* ---- the beginning ---- */

/* 0 when the connection is on its way, or -errno. */
static int connection_begin(struct runner *r, struct event_base *loop)
{
	struct sockaddr_storage sa;
	socklen_t size = addr_sockaddr(&r->addr, r->port, &sa);
	int on = 1;

	r->fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (r->fd < 0)
		return -errno;
	setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	via_mark(&r->via, r->fd);
	if (event_assign(r->readable, loop, r->fd, EV_READ | EV_PERSIST, on_readable, r) < 0 ||
	    event_assign(r->writable, loop, r->fd, EV_WRITE, on_writable, r) < 0)
		return -ENOMEM;
	if (connect(r->fd, (struct sockaddr *)&sa, size) < 0 && errno != EINPROGRESS)
		return -errno;
	return event_add(r->writable, NULL) < 0 ? -ENOMEM : 0;
}

static struct runner *runner_alloc(const struct runner_request *q)
{
	struct runner *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->fd = -1;
	r->talk = calloc(1, q->ops->talk_size ? q->ops->talk_size : 1);
	r->readable = event_new(q->loop, -1, 0, on_readable, r);
	r->writable = event_new(q->loop, -1, 0, on_writable, r);
	r->deadline = evtimer_new(q->loop, on_deadline, r);
	if (!r->talk || !r->readable || !r->writable || !r->deadline) {
		runner_free(r);
		return NULL;
	}
	return r;
}

int runner_new(const struct runner_request *q, struct runner **ret_runner)
{
	struct runner *r = runner_alloc(q);
	int result;

	if (!r)
		return -ENOMEM;
	r->ops = q->ops;
	r->probe = *q->probe;
	r->addr = q->addr;
	r->port = q->port;
	r->via = q->via;
	r->done = q->done;
	r->owner = q->owner;
	r->context = q->tls;
	r->dialogue.line = q->line;
	r->dialogue.owner = q->owner;
	r->in = (struct buf){.bytes = r->in_bytes, .size = sizeof(r->in_bytes)};
	r->out = (struct buf){.bytes = r->out_bytes, .size = sizeof(r->out_bytes)};
	r->verdict = (struct verdict){.weight = WEIGHT_UNSAID, .tls_days = TLS_DAYS_UNKNOWN};
	r->started_ms = clock_ms();
	if (event_add(r->deadline,
		      &(struct timeval){.tv_sec = r->probe.timeout_ms / 1000,
					.tv_usec = r->probe.timeout_ms % 1000 * 1000}) < 0) {
		runner_free(r);
		return -ENOMEM;
	}
	result = connection_begin(r, q->loop);
	if (result < 0)
		connection_broken(r, -result);
	*ret_runner = r;
	return 0;
}

void runner_free(struct runner *r)
{
	if (!r)
		return;
	if (r->readable)
		event_free(r->readable);
	if (r->writable)
		event_free(r->writable);
	if (r->deadline)
		event_free(r->deadline);
	tls_fini(&r->tls);
	if (r->fd >= 0)
		close(r->fd);
	free(r->talk);
	free(r);
}
