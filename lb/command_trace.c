/* SPDX-License-Identifier: BSD-2-Clause */
/* command_trace.c: `trace`: real packets, filtered and sampled in the kernel.
 *
 * While a trace runs, a tracing instance stands in the place of the program at each interface
 * (plane_seeing.c); the one in service is back when the count is reached, the time is over, or the
 * client goes away, and replaces it in any case when lb starts again. One trace at a time.
 *
 * Events are taken in small batches, some times a second, and at once when the ring fills; a client
 * that reads too slowly makes the ring overflow, which the kernel's side counts: nothing else
 * waits.
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "lb/control.h"
#include "lb/flows.h"
#include "lb/plane.h"
#include "lb/see.h"

enum {
	LOOK_MS = 20,
	BATCH = 256, /* events a turn */
	BACKLOG = 1 << 20,
	TELL_MS = 10000, /* that it is still there */
	FOR_MS = 300000,
	FOR_MOST_MS = 3600000,
};

struct trace {
	struct client *client;
	struct lb *lb;
	struct plane_trace plane;
	struct ring_buffer *ring;
	struct event *timer, *woken;
	json_t *events; /* of this turn */
	json_int_t seen, count;
	uint64_t until_ms, tell_ms;
	int64_t monotonic_to_real_us;
};

static uint64_t lost(const struct trace *t)
{
	return plane_trace_lost(&t->plane);
}

static void trace_free(void *owner)
{
	struct trace *t = owner;

	if (t->lb->trace == t)
		t->lb->trace = NULL;
	if (t->timer)
		event_free(t->timer);
	if (t->woken)
		event_free(t->woken);
	ring_buffer__free(t->ring);
	plane_trace_fini(t->lb->plane, &t->plane);
	json_decref(t->events);
	free(t);
}

/* ---- events ---- */

/* Negative ends the batch; what is left waits in the ring. */
static int on_event(void *owner, void *bytes, size_t n)
{
	struct trace *t = owner;
	struct explanation e;

	if (n < sizeof(e))
		return 0;
	memcpy(&e, bytes, sizeof(e));
	json_array_append_new(
		t->events,
		see_event(t->lb->current, &e, (int64_t)(e.at_ns / 1000) + t->monotonic_to_real_us));
	t->seen++;
	if (t->seen == t->count || json_array_size(t->events) == BATCH)
		return -ECANCELED;
	return 0;
}

static void events_tell(struct trace *t)
{
	uint64_t now_ms = clock_ms();

	ring_buffer__consume(t->ring);
	if (json_array_size(t->events) == 0 && now_ms < t->tell_ms)
		return;
	client_more(t->client,
		    json_pack("{s:O, s:I}", "events", t->events, "lost", (json_int_t)lost(t)));
	json_decref(t->events); /* the answer was printed */
	t->events = json_array();
	t->tell_ms = now_ms + TELL_MS;
}

/* The programs were replaced, by a reload: the new ones do not trace yet. */
static int programs_follow(struct trace *t)
{
	int r;

	if (t->plane.programs_version == t->lb->plane->programs_version)
		return 0;
	r = plane_trace_attach(t->lb->plane, t->lb->current, &t->plane);
	return r < 0 ? r : 0;
}

static void trace_end(struct trace *t, int error)
{
	struct client *client = t->client;
	json_t *end = json_pack("{s:I, s:I}", "seen", t->seen, "lost", (json_int_t)lost(t));

	trace_free(t);
	if (error == 0) {
		client_done(client, end);
		return;
	}
	json_decref(end);
	client_fail(client, "the trace cannot go on: %s", strerror(-error));
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct trace *t = arg;
	int r = programs_follow(t);

	(void)fd;
	(void)what;
	if (r == 0 && client_backlog(t->client) < BACKLOG)
		events_tell(t);
	if (r < 0 || t->seen == t->count || clock_ms() >= t->until_ms)
		trace_end(t, r);
}

/* ---- the request ---- */

static const char *text_of(const json_t *request, const char *key)
{
	return json_string_value(json_object_get(request, key));
}

/* One argument and what reads it; the words for who has got it wrong. */
static const char *filter_mistake(const json_t *request, struct trace_filter *f)
{
	const char *client = text_of(request, "client"), *vip = text_of(request, "vip");
	const char *protocol = text_of(request, "protocol"), *reason = text_of(request, "reason");
	const char *verdict = text_of(request, "verdict"), *sample = text_of(request, "sample");
	const json_t *port = json_object_get(request, "port");

	if (client && see_prefix_parse(client, f->client, f->client_mask) < 0)
		return "client is not an address or a prefix";
	if (vip && see_prefix_parse(vip, f->vip, f->vip_mask) < 0)
		return "vip is not an address or a prefix";
	if (protocol && see_protocol_parse(protocol, &f->protocol) < 0)
		return "protocol is not tcp or udp";
	if (reason && see_reason_parse(reason, &f->reasons) < 0)
		return "reason is not a counter's name; see: sluice show counters";
	if (verdict && see_verdict_parse(verdict, &f->verdicts) < 0)
		return "verdict is not pass, drop or tx";
	if (sample && see_sample_parse(sample, &f->sample) < 0)
		return "sample is not 1/N";
	if (port && (json_integer_value(port) < 1 || json_integer_value(port) > UINT16_MAX))
		return "port is not 1 to 65535";
	if (port)
		f->port = htons((uint16_t)json_integer_value(port));
	return NULL;
}

static const char *limits_mistake(const json_t *request, struct trace *t)
{
	const json_t *count = json_object_get(request, "count");
	const json_t *for_ms = json_object_get(request, "for_ms");
	json_int_t ms = for_ms ? json_integer_value(for_ms) : FOR_MS;

	t->count = count ? json_integer_value(count) : 0;
	if (count && t->count < 1)
		return "count is not 1 or more";
	if (!count)
		t->count = -1; /* is never reached */
	if (ms < 1 || ms > FOR_MOST_MS)
		return "a trace lasts up to 1h";
	t->until_ms = clock_ms() + (uint64_t)ms;
	return NULL;
}

static int64_t real_us_of_monotonic(void)
{
	struct timespec real, monotonic;

	clock_gettime(CLOCK_REALTIME, &real);
	clock_gettime(CLOCK_MONOTONIC, &monotonic);
	return (real.tv_sec - monotonic.tv_sec) * 1000000LL +
	       (real.tv_nsec - monotonic.tv_nsec) / 1000;
}

/* How many interfaces are traced, or -errno; *t is to be freed in any case. */
static int trace_begin(struct trace *t)
{
	struct event_base *loop = t->lb->loop;

	t->ring = ring_buffer__new(t->plane.events, on_event, t, NULL);
	t->timer = event_new(loop, -1, EV_PERSIST, on_look, t);
	if (t->ring)
		t->woken = event_new(loop, ring_buffer__epoll_fd(t->ring),
				     EV_READ | EV_PERSIST | EV_ET, on_look, t);
	t->events = json_array();
	if (!t->timer || !t->woken || !t->events)
		return -ENOMEM;
	t->monotonic_to_real_us = real_us_of_monotonic();
	t->tell_ms = clock_ms() + TELL_MS;
	return plane_trace_attach(t->lb->plane, t->lb->current, &t->plane);
}

static void trace_run(struct trace *t)
{
	struct client *client = t->client;
	int n = trace_begin(t);

	if (n <= 0) {
		trace_free(t);
		if (n == 0)
			client_fail(client,
				    "no interface has the program; see: sluice show config");
		else
			client_fail(client, "the trace cannot begin: %s", strerror(-n));
		return;
	}
	t->lb->trace = t;
	client_hold(client, trace_free, t);
	client_more(client, json_pack("{s:i}", "interfaces", n));
	event_add(t->woken, NULL);
	event_add(t->timer, &(struct timeval){.tv_usec = LOOK_MS * 1000});
}

void command_trace(struct client *client, const json_t *request)
{
	struct lb *lb = client_lb(client);
	struct trace *t = calloc(1, sizeof(*t));
	struct trace_filter filter = {0};
	const char *mistake = t ? filter_mistake(request, &filter) : "out of memory";
	int r;

	if (!mistake)
		mistake = limits_mistake(request, t);
	if (!mistake && lb->trace)
		mistake = "another trace is running; there is one at a time";
	if (mistake) {
		free(t);
		client_fail(client, "%s", mistake);
		return;
	}
	r = plane_trace_init(&filter, &t->plane);
	if (r < 0) {
		free(t);
		client_fail(client, "the trace cannot begin: %s", strerror(-r));
		return;
	}
	t->client = client;
	t->lb = lb;
	trace_run(t);
}
