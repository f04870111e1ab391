/* SPDX-License-Identifier: BSD-2-Clause */
/* runner.c: see runner.h.
 *
 * CONNECTING -> (HANDSHAKE ->) TALKING (-> HANDSHAKE -> TALKING, by STARTTLS) -> ENDED. Bytes from
 * the wire (wire.h) go through TLS, if there is any, into `in`, to the probe; what the probe leaves
 * in `out` goes the other way. The verdict is delivered by the deadline's event, made active: so
 * nobody is called, and nothing freed, below a function that still needs the runner.
 */
#include "healthcheck/runner.h"

#include <assert.h>
#include <errno.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "healthcheck/proxy.h"
#include "healthcheck/tls.h"
#include "healthcheck/wire.h"

enum runner_at { RUNNER_CONNECTING, RUNNER_HANDSHAKE, RUNNER_TALKING, RUNNER_ENDED };

struct runner {
	const struct probe_ops *ops;
	struct config_probe probe;
	runner_done_fn *done;
	void *owner;
	enum runner_at at;
	bool started; /* the probe */
	struct wire wire;
	struct tls tls;
	SSL_CTX *context;
	struct event *deadline;
	uint64_t started_ms;
	struct patience patience;
	uint32_t waits_ms; /* for what it is waiting for now */
	uint32_t took_ms;
	size_t received;
	struct verdict verdict;
	struct dialogue dialogue;
	struct veil veil; /* over what was secret in this conversation */
	void *talk;
	struct buf in, out;
	char in_bytes[PROBE_IN_BYTES], out_bytes[PROBE_OUT_BYTES]; /* last: not zeroed */
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

/* A program is timed by the process that runs it, which has a little longer to say so. */
static uint32_t whole_ms(const struct runner *r)
{
	return r->probe.timeout_ms + (r->wire.ops == &wire_program ? RAN_GRACE_MS : 0);
}

/* It has @waits_ms since @from_ms of its own time, and never longer than the whole; 0 = the whole.
 * 0 or -1.
 */
static int deadline_set(struct runner *r, uint32_t from_ms, uint32_t waits_ms)
{
	uint32_t gone_ms = elapsed_ms(r), at_ms = whole_ms(r), left_ms;
	bool less = waits_ms > 0 && r->wire.ops->stream && from_ms + waits_ms < at_ms;

	if (less)
		at_ms = from_ms + waits_ms;
	r->waits_ms = less ? waits_ms : r->probe.timeout_ms;
	left_ms = at_ms > gone_ms ? at_ms - gone_ms : 0;
	return event_add(r->deadline, &(struct timeval){.tv_sec = left_ms / 1000,
							.tv_usec = left_ms % 1000 * 1000});
}

/* ---- the end ---- */

/* The verdict is in r->verdict. The caller returns without touching the connection again. */
static void runner_end(struct runner *r)
{
	r->at = RUNNER_ENDED;
	veil_cover(&r->veil, r->verdict.text, sizeof(r->verdict.text));
	r->took_ms = elapsed_ms(r);
	wire_stop(&r->wire);
	event_active(r->deadline, 0, 0);
}

static void connection_broken(struct runner *r, int error)
{
	probe_end(&r->verdict, wire_verdict(error), 0, "%s (no %s)", strerror(error), waiting(r));
	runner_end(r);
}

/* It may be connected, unnoticed: then it has the time of the whole, if this was the connection's.
 */
static bool connecting_is_late(struct runner *r)
{
	bool hurried = r->patience.connect_ms > 0;

	wire_look(&r->wire);
	return r->at == RUNNER_CONNECTING || (r->at != RUNNER_ENDED && !hurried);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct runner *r = arg;
	struct verdict verdict;

	(void)fd;
	if (what & EV_TIMEOUT && r->at == RUNNER_CONNECTING && !connecting_is_late(r))
		return;
	if (what & EV_TIMEOUT && r->at != RUNNER_ENDED && r->wire.ops == &wire_program) {
		probe_end(&r->verdict, VERDICT_UNABLE, 0, "programs are not being run");
		runner_end(r);
		return;
	}
	if (what & EV_TIMEOUT && r->at != RUNNER_ENDED) {
		probe_end(&r->verdict, VERDICT_TIMEOUT, 0, "no %s in %u ms", waiting(r),
			  r->waits_ms);
		runner_end(r);
		return;
	}
	event_del(r->deadline);
	dialogue_end(&r->dialogue, r->took_ms);
	wire_fini(&r->wire);
	verdict = r->verdict; /* done() may free the runner before it has read that */
	r->done(r->owner, &verdict, r->took_ms);
}

/* ---- bytes out ---- */

static void flush(struct runner *r)
{
	size_t n;
	const char *bytes;

	if (r->tls.ssl && r->at != RUNNER_HANDSHAKE && buf_len(&r->out) > 0 &&
	    tls_write(&r->tls, buf_head(&r->out), buf_len(&r->out)) == 0)
		buf_drop(&r->out, buf_len(&r->out));
	if (r->tls.ssl) {
		n = tls_wire(&r->tls, &bytes);
		tls_sent(&r->tls, wire_send(&r->wire, bytes, n));
	} else {
		buf_drop(&r->out, wire_send(&r->wire, buf_head(&r->out), buf_len(&r->out)));
	}
}

/* What the probe has just written, into the dialogue, but for what is secret. */
static void probe_said_tell(struct runner *r, size_t before)
{
	size_t n = buf_len(&r->out), at = n, secret = buf_secret_find(&r->out, &at);
	const char *said = buf_head(&r->out);
	uint32_t at_ms = elapsed_ms(r);

	if (n > before && r->ops->hides && r->ops->hides(r->talk)) {
		dialogue_bytes(&r->dialogue, at_ms, '>', "***\n", 4);
		return;
	}
	dialogue_bytes(&r->dialogue, at_ms, '>', said + before, at - before);
	if (secret == 0)
		return;
	veil_add(&r->veil, said + at, secret);
	dialogue_bytes(&r->dialogue, at_ms, '>', "***", 3);
	dialogue_bytes(&r->dialogue, at_ms, '>', said + at + secret, n - at - secret);
	buf_secret_forget(&r->out);
}

static void probe_said(struct runner *r, size_t before)
{
	probe_said_tell(r, before);
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
	r->wire.last = step == PROBE_DONE;
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

static void certificate_note(struct runner *r)
{
	if (r->verdict.tls_days != TLS_DAYS_UNKNOWN)
		dialogue_note(&r->dialogue, elapsed_ms(r), "certificate: %s%s, expires in %d days",
			      r->tls.expected[0] ? "good for " : "not verified", r->tls.expected,
			      r->verdict.tls_days);
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
	r->verdict.tls_days = tls_days(&r->tls);
	dialogue_note(&r->dialogue, elapsed_ms(r), "TLS: %s %s", SSL_get_version(r->tls.ssl),
		      SSL_get_cipher_name(r->tls.ssl));
	certificate_note(r);
	talk_go_on(r);
}

static void handshake_begin(struct runner *r)
{
	const struct probe_common *common = (const void *)r->probe.conf;
	const struct config_certificate *certificate = &r->probe.certificate;
	const char *name = certificate->name[0] ? certificate->name : common->sni;

	assert(!r->tls.ssl);
	if (tls_init(&r->tls, r->context, common->sni) < 0 ||
	    (certificate->verify && tls_expect(&r->tls, name, &r->wire.addr) < 0)) {
		connection_broken(r, ENOMEM);
		return;
	}
	r->at = RUNNER_HANDSHAKE;
	handshake_go_on(r);
}

/* A new socket has room for it. 0 or -errno. */
static int proxy_send(struct runner *r)
{
	struct sockaddr_storage sa;
	socklen_t size = sizeof(sa);
	char header[PROXY_HEADER_SIZE];
	struct addr from;
	uint16_t port;
	ssize_t n, sent;

	if (getsockname(r->wire.fd, (struct sockaddr *)&sa, &size) < 0)
		return -errno;
	addr_from_sockaddr(&sa, &from, &port);
	n = (ssize_t)proxy_header(r->probe.proxy, &from, port, &r->wire.addr, r->wire.port, header);
	dialogue_bytes(&r->dialogue, elapsed_ms(r), '>', header, (size_t)n);
	dialogue_end(&r->dialogue, elapsed_ms(r));
	sent = send(r->wire.fd, header, (size_t)n, MSG_NOSIGNAL);
	if (sent < 0)
		return -errno;
	return sent == n ? 0 : -ENOBUFS;
}

static void on_ready(void *owner)
{
	struct runner *r = owner;
	const struct wire *w = &r->wire;
	char text[INET6_ADDRSTRLEN], via[VIA_TEXT];
	int result;

	if (r->dialogue.line && w->ops->stream)
		dialogue_note(&r->dialogue, elapsed_ms(r), "connected to %s port %u%s in %u ms",
			      addr_format(&w->addr, text), w->port, via_text(&w->via, via),
			      elapsed_ms(r));
	else if (r->dialogue.line)
		dialogue_note(&r->dialogue, elapsed_ms(r), "asking %s: %s",
			      addr_format(&w->addr, text), w->ops->name);
	if (r->patience.connect_ms || r->patience.silence_ms)
		deadline_set(r, elapsed_ms(r), r->patience.silence_ms);
	result = r->probe.proxy == PROXY_NONE ? 0 : proxy_send(r);
	if (result < 0)
		connection_broken(r, -result);
	else if (r->probe.tls == TLS_IMPLICIT)
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
	if (step == PROBE_MORE && r->wire.ops->stream && buf_room(&r->in) == 0)
		step = probe_end(&r->verdict, VERDICT_GARBLED, 0, "an endless answer");
	step_take(r, step, before);
}

static void on_closed(void *owner)
{
	struct runner *r = owner;
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
			on_closed(r);
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

/* One datagram, whole, alone. */
static void datagram_receive(struct runner *r, const char *bytes, size_t n)
{
	buf_drop(&r->in, buf_len(&r->in));
	if (buf_add(&r->in, bytes, n)) {
		probe_feed(r, n);
		return;
	}
	probe_end(&r->verdict, VERDICT_GARBLED, 0, "an answer of %zu bytes", n);
	runner_end(r);
}

static void on_received(void *owner, const char *bytes, size_t n)
{
	struct runner *r = owner;

	r->received += n;
	if (r->patience.silence_ms)
		deadline_set(r, elapsed_ms(r), r->patience.silence_ms);
	if (r->received > RUNNER_BYTES) {
		probe_end(&r->verdict, VERDICT_GARBLED, 0, "an endless answer");
		runner_end(r);
	} else if (!r->wire.ops->stream) {
		datagram_receive(r, bytes, n);
	} else if (r->tls.ssl) {
		tls_receive(r, bytes, n);
	} else {
		plain_receive(r, bytes, n);
	}
}

static void on_writable(void *owner)
{
	flush(owner);
}

static void on_broken(void *owner, int error)
{
	struct runner *r = owner;

	if (r->at != RUNNER_ENDED) /* a datagram may break it while the probe ends */
		connection_broken(r, error);
}

/* ---- the beginning ---- */

/* The secrets of the configuration: some servers say again what they were told. */
static void veil_begin(struct runner *r)
{
	for (const struct config_key *key = r->ops->schema.keys; key && key->name; key++) {
		const char *secret = (const char *)r->probe.conf + key->offset;

		if (key->type == KEY_SECRET)
			veil_add(&r->veil, secret, strnlen(secret, key->size));
	}
	r->dialogue.veil = &r->veil;
}

static struct runner *runner_alloc(const struct runner_request *q)
{
	struct runner *r = malloc(sizeof(*r));

	if (!r)
		return NULL;
	memset(r, 0, offsetof(struct runner, in_bytes));
	r->wire.fd = -1;
	r->talk = calloc(1, q->ops->talk_size ? q->ops->talk_size : 1);
	r->deadline = evtimer_new(q->loop, on_deadline, r);
	if (!r->talk || !r->deadline) {
		runner_free(r);
		return NULL;
	}
	return r;
}

/* With a PROXY header or TLS it is ours, but for the price of one packet a server that closes at
 * once is told from one that resets: it must not find our bytes, unread.
 */
static enum probe_opening opening_of(const struct runner *r)
{
	bool plain = r->probe.tls != TLS_IMPLICIT && r->probe.proxy == PROXY_NONE;

	return plain ? r->ops->opening : OPENING_UNSAID;
}

static void wire_set_up(struct runner *r, const struct runner_request *q)
{
	static const struct wire_hooks hooks = {.ready = on_ready,
						.writable = on_writable,
						.received = on_received,
						.closed = on_closed,
						.broken = on_broken};

	r->wire = (struct wire){
		.ops = wire_kind(probe_transport_of(q->ops, &r->probe)),
		.hooks = &hooks,
		.owner = r,
		.loop = q->loop,
		.shared = q->wires,
		.pool = q->pool,
		.backend = q->backend,
		.addr = q->addr,
		.port = q->port,
		.timeout_ms = q->probe->timeout_ms,
		.via = q->via,
		.opening = opening_of(r),
		.prompt = r->probe.tls != TLS_NONE || r->probe.proxy != PROXY_NONE,
		.unseen = opening_of(r) == OPENING_SERVERS && !q->line && !q->patience.connect_ms,
		.fd = -1,
	};
}

/* The bytes of the talk that the probe has asked to be random. */
static int talk_begin(struct runner *r)
{
	size_t n = r->ops->random_bytes;

	return n == 0 || RAND_bytes(r->talk, (int)n) == 1 ? 0 : -ENOMEM;
}

int runner_new(const struct runner_request *q, struct runner **ret_runner)
{
	struct runner *r = runner_alloc(q);
	int result;

	if (!r)
		return -ENOMEM;
	r->ops = q->ops;
	r->probe = *q->probe;
	r->done = q->done;
	r->owner = q->owner;
	r->context = q->tls;
	r->dialogue.line = q->line;
	r->dialogue.owner = q->owner;
	veil_begin(r);
	r->in = (struct buf){.bytes = r->in_bytes, .size = sizeof(r->in_bytes)};
	r->out = (struct buf){.bytes = r->out_bytes, .size = sizeof(r->out_bytes)};
	r->verdict = (struct verdict){.weight = WEIGHT_UNSAID, .tls_days = TLS_DAYS_UNKNOWN};
	r->started_ms = clock_ms();
	r->patience = q->patience;
	wire_set_up(r, q);
	if (deadline_set(r, 0, r->patience.connect_ms) < 0) {
		runner_free(r);
		return -ENOMEM;
	}
	result = talk_begin(r);
	if (result == 0)
		result = wire_begin(&r->wire);
	if (result < 0)
		connection_broken(r, -result);
	*ret_runner = r;
	return 0;
}

void runner_hurry(struct runner *r, const struct patience *patience)
{
	if (r->at == RUNNER_ENDED)
		return;
	if (r->at == RUNNER_CONNECTING && !r->patience.connect_ms)
		deadline_set(r, 0, patience->connect_ms);
	else if (r->at != RUNNER_CONNECTING && !r->patience.silence_ms)
		deadline_set(r, elapsed_ms(r), patience->silence_ms);
	r->patience.connect_ms = patience->connect_ms;
	if (patience->silence_ms)
		r->patience.silence_ms = patience->silence_ms;
}

void runner_free(struct runner *r)
{
	if (!r)
		return;
	wire_fini(&r->wire);
	if (r->deadline)
		event_free(r->deadline);
	tls_fini(&r->tls);
	free(r->talk);
	free(r);
}
