/* SPDX-License-Identifier: BSD-2-Clause */
/* stream.c: see stream.h. */
#include "sync/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { ACK_WAIT_MS = 5, TOKENS_MOST_US = 50000, EARLY = 64 };

struct parcel { /* records that wait in a packet */
	size_t n;
	uint32_t records;
	uint64_t since_ms; /* when it was closed */
	uint8_t bytes[SYNC_RECORDS_MOST];
};

struct stream {
	struct stream_settings settings;
	const struct stream_ops *ops;
	void *owner;
	/* the session */
	uint64_t session, challenge; /* ours */
	uint64_t other, answer;	     /* the other's session (0 = none), its challenge */
	bool up, overrun;
	uint64_t heard_ms, hello_ms,
		said_ms;		/* the last: sign of life, HELLO sent, anything sent */
	uint64_t link_ms[STREAM_LINKS]; /* anything good came over it; 0 = never */
	uint32_t seal;			/* which key seals */
	/* out */
	struct parcel *window; /* STREAM_WINDOW; packet number k is at k % STREAM_WINDOW */
	uint64_t first;	       /* the oldest that is not acknowledged */
	uint64_t open;	       /* the one that is being filled; all before it are closed */
	uint64_t next;	       /* to be sent for the first time, or again */
	uint64_t sent;	       /* the greatest that was sent */
	uint64_t resend_ms;    /* when `first` is due again; 0 = never */
	bool asks;	       /* `first` was sent again: it goes on once that is acknowledged */
	uint32_t resend_wait_ms;
	uint32_t link;
	uint64_t paid_us; /* the rate: paid up to here */
	/* in */
	uint64_t expected;
	struct parcel *early; /* EARLY: number k, if it came too early, is at k % EARLY; n 0: no */
	uint64_t ack_ms;      /* an ACK is due; 0 = no */
	struct stream_counts counts;
};

static void session_begin(struct stream *s)
{
	s->first = s->open = s->next = 1;
	s->sent = 0;
	s->expected = 1;
	s->resend_ms = s->ack_ms = 0;
	s->asks = false;
	s->resend_wait_ms = STREAM_RESEND_LEAST_MS;
	memset(&s->window[s->open % STREAM_WINDOW], 0, sizeof(*s->window));
	for (size_t i = 0; i < EARLY; i++)
		s->early[i].n = 0;
}

/* session_end: nothing of it is believed any more; another begins with the next HELLO. */
static void session_end(struct stream *s)
{
	bool was_up = s->up;

	s->session = s->ops->chance(s->owner);
	s->challenge = s->ops->chance(s->owner);
	s->other = 0;
	s->up = s->overrun = false;
	s->hello_ms = 0;
	session_begin(s);
	if (was_up)
		s->ops->down(s->owner);
}

struct stream *stream_new(const struct stream_settings *settings, const struct stream_ops *ops,
			  void *owner, uint64_t now_ms)
{
	struct stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->window = calloc(STREAM_WINDOW, sizeof(*s->window));
	s->early = calloc(EARLY, sizeof(*s->early));
	if (!s->window || !s->early) {
		stream_free(s);
		return NULL;
	}
	s->settings = *settings;
	s->ops = ops;
	s->owner = owner;
	s->said_ms = now_ms;
	s->paid_us = now_ms * 1000;
	session_end(s);
	return s;
}

void stream_free(struct stream *s)
{
	if (!s)
		return;
	free(s->window);
	free(s->early);
	explicit_bzero(&s->settings, sizeof(s->settings));
	free(s);
}

void stream_settle(struct stream *s, const struct stream_settings *settings)
{
	/* what it was told by the old key is still on its way */
	if (memcmp(s->settings.keys[0], settings->keys[0], SYNC_KEY_BYTES) != 0)
		s->seal = settings->n_keys - 1;
	s->settings = *settings;
	s->link %= settings->n_links;
	if (s->seal == 0)
		s->settings.n_keys = 1;
}

void stream_key_known(struct stream *s)
{
	s->seal = 0;
	s->settings.n_keys = 1;
	explicit_bzero(s->settings.keys[1], SYNC_KEY_BYTES);
}

/* ---- out ---- */

/* @number: DATA: which; HELLO: the challenge that it answers */
static void packet_send(struct stream *s, enum sync_kind kind, uint64_t number, uint32_t link,
			uint64_t now_ms)
{
	bool greets = kind == SYNC_HELLO || kind == SYNC_REPLY;
	const struct parcel *parcel = kind == SYNC_DATA ? &s->window[number % STREAM_WINDOW] : NULL;
	struct sync_header h = {.kind = kind,
				.from_node = s->settings.own_node,
				.from_session = s->session,
				.to_node = s->settings.other_node,
				.to_session = s->other,
				.sequence = kind == SYNC_DATA ? number : 0,
				.acknowledged = s->expected - 1,
				.challenge = greets ? s->challenge : 0,
				.answer = greets ? number : 0};
	uint8_t bytes[SYNC_PACKET_MOST];
	size_t n = 0;

	if (parcel) {
		n = parcel->n;
		memcpy(bytes + SYNC_HEADER, parcel->bytes, n);
	}
	n = sync_seal(&h, s->settings.keys[s->seal], n, bytes);
	if (!greets)
		s->ack_ms = 0;
	s->said_ms = now_ms;
	s->counts.sent++;
	s->ops->send(s->owner, link, bytes, n);
}

/* A HELLO and an ACK go over every link: whoever is up to hear it, hears it. */
static void packet_send_all(struct stream *s, enum sync_kind kind, uint64_t now_ms)
{
	for (uint32_t link = 0; link < s->settings.n_links; link++)
		packet_send(s, kind, kind == SYNC_HELLO ? s->answer : 0, link, now_ms);
}

/* token_take: may one more packet be sent now? Time that was not used is kept for TOKENS_MOST_US.
 */
static bool token_take(struct stream *s, uint64_t now_ms, uint32_t *sent)
{
	uint64_t cost_us = 1000000 / s->settings.rate_packets_s, now_us = now_ms * 1000;

	if (s->paid_us + TOKENS_MOST_US < now_us)
		s->paid_us = now_us - TOKENS_MOST_US;
	if (*sent >= STREAM_BURST || s->paid_us + cost_us > now_us)
		return false;
	s->paid_us += cost_us;
	++*sent;
	return true;
}

/* parcel_close: the packet that is being filled is whole; the next one is opened. */
static void parcel_close(struct stream *s, uint64_t now_ms)
{
	struct parcel *open = &s->window[s->open % STREAM_WINDOW];

	if (open->n == 0 || s->open - s->first + 1 >= STREAM_WINDOW)
		return;
	open->since_ms = now_ms;
	s->open++;
	memset(&s->window[s->open % STREAM_WINDOW], 0, offsetof(struct parcel, bytes));
}

static void window_send(struct stream *s, uint64_t now_ms)
{
	uint32_t sent = 0;

	while (s->next < (s->asks ? s->first + 1 : s->open) && token_take(s, now_ms, &sent)) {
		packet_send(s, SYNC_DATA, s->next, s->link, now_ms);
		if (s->next > s->sent)
			s->sent = s->next;
		else
			s->counts.resent++;
		if (s->resend_ms == 0)
			s->resend_ms = now_ms + s->resend_wait_ms;
		s->next++;
	}
}

/* The next one that lives; the next one, if none does. */
static uint32_t link_next(const struct stream *s, uint64_t now_ms)
{
	for (uint32_t k = 1; k <= s->settings.n_links; k++) {
		uint32_t link = (s->link + k) % s->settings.n_links;

		if (stream_link_up(s, link, now_ms))
			return link;
	}
	return (s->link + 1) % s->settings.n_links;
}

/* What was sent is not acknowledged in time: the first again, over the next link, and what follows
 * once that is answered: who is busy gets a window's worth of packets once, not again and again.
 */
static void window_resend(struct stream *s, uint64_t now_ms)
{
	s->next = s->first;
	s->asks = true;
	s->link = link_next(s, now_ms);
	s->resend_wait_ms *= 2;
	if (s->resend_wait_ms > STREAM_RESEND_MOST_MS)
		s->resend_wait_ms = STREAM_RESEND_MOST_MS;
	s->resend_ms = now_ms + s->resend_wait_ms;
}

int stream_record(struct stream *s, uint16_t type, const void *bytes, size_t n_bytes,
		  uint64_t now_ms)
{
	struct parcel *open = &s->window[s->open % STREAM_WINDOW];

	if (!s->up)
		return -ENOTCONN;
	if (s->overrun)
		return -ENOBUFS;
	if (!sync_record_put(open->bytes, &open->n, type, bytes, n_bytes)) {
		parcel_close(s, now_ms);
		open = &s->window[s->open % STREAM_WINDOW];
		if (open->n > 0) {
			s->overrun = true;
			return -ENOBUFS;
		}
		if (!sync_record_put(open->bytes, &open->n, type, bytes, n_bytes))
			return -EMSGSIZE;
	}
	open->records++;
	s->counts.records_sent++;
	return 0;
}

uint32_t stream_room(const struct stream *s)
{
	return s->up && !s->overrun ? STREAM_WINDOW - 1 - (uint32_t)(s->open - s->first) : 0;
}

/* ---- in ---- */

static void acknowledged(struct stream *s, uint64_t until, uint64_t now_ms)
{
	if (until < s->first || until > s->sent)
		return;
	s->heard_ms = now_ms;
	s->first = until + 1;
	s->asks = false;
	if (s->next < s->first)
		s->next = s->first;
	s->resend_wait_ms = STREAM_RESEND_LEAST_MS;
	s->resend_ms = s->first < s->next ? now_ms + s->resend_wait_ms : 0;
}

/* A HELLO that may be an old one changes nothing but that it is answered: by its own challenge, and
 * where it came from.
 */
static enum sync_verdict hello(struct stream *s, uint32_t link, const struct sync_header *h,
			       uint64_t now_ms)
{
	bool fresh = h->answer == s->challenge;

	if (fresh) {
		s->challenge = s->ops->chance(s->owner);
		s->answer = h->challenge;
		s->heard_ms = now_ms;
	}
	if (fresh && (!s->up || h->from_session != s->other)) {
		if (s->up)
			s->ops->down(s->owner);
		session_begin(s);
		s->other = h->from_session;
		s->up = true;
		s->overrun = false;
		packet_send_all(s, SYNC_HELLO, now_ms);
		s->hello_ms = now_ms;
		s->ops->up(s->owner);
	} else if (fresh ? h->to_session != s->session : h->kind == SYNC_HELLO) {
		packet_send(s, SYNC_REPLY, h->challenge, link, now_ms);
	}
	return SYNC_IS_GOOD;
}

static void records_tell(struct stream *s, const uint8_t *records, size_t n)
{
	const uint8_t *record;
	size_t at = 0, n_bytes;
	uint16_t type;

	while ((record = sync_record_next(records, n, &at, &type, &n_bytes))) {
		s->counts.records_received++;
		s->ops->record(s->owner, type, record, n_bytes);
	}
}

static enum sync_verdict packet_take(struct stream *s, uint32_t link, const struct sync_header *h,
				     const uint8_t *records, size_t n_records, uint64_t now_ms)
{
	struct parcel *early;

	if (h->from_node != s->settings.other_node || h->to_node != s->settings.own_node)
		return SYNC_IS_STRANGER;
	/* Only now: all nodes seal with one key, and a packet of any of them may be replayed. */
	if (h->key == 0 && s->settings.n_keys > 1)
		stream_key_known(s);
	if (h->kind == SYNC_HELLO || h->kind == SYNC_REPLY)
		return hello(s, link, h, now_ms);
	if (!s->up || h->from_session != s->other || h->to_session != s->session)
		return SYNC_IS_SESSION;
	acknowledged(s, h->acknowledged, now_ms);
	if (h->kind == SYNC_ACK)
		return SYNC_IS_GOOD;
	if (s->ack_ms == 0)
		s->ack_ms = now_ms + ACK_WAIT_MS;
	early = &s->early[h->sequence % EARLY];
	if (h->sequence < s->expected || h->sequence >= s->expected + EARLY || early->n > 0)
		return SYNC_IS_SEQUENCE;
	s->heard_ms = now_ms;
	early->n = n_records;
	memcpy(early->bytes, records, n_records);
	for (; (early = &s->early[s->expected % EARLY])->n > 0; s->expected++) {
		n_records = early->n;
		records_tell(s, early->bytes, n_records);
		early->n = 0;
	}
	return SYNC_IS_GOOD;
}

enum sync_verdict stream_receive(struct stream *s, uint32_t link, const uint8_t *bytes,
				 size_t n_bytes, uint64_t now_ms)
{
	enum sync_verdict verdict;
	struct sync_header h;
	size_t n_records = 0;

	verdict = sync_open(bytes, n_bytes, (const uint8_t(*)[SYNC_KEY_BYTES])s->settings.keys,
			    s->settings.n_keys, &h, &n_records);
	if (verdict == SYNC_IS_GOOD)
		verdict = packet_take(s, link, &h, bytes + SYNC_HEADER, n_records, now_ms);
	if (verdict == SYNC_IS_GOOD)
		s->counts.received++;
	else
		s->counts.refused[verdict]++;
	if (verdict == SYNC_IS_GOOD && link < STREAM_LINKS)
		s->link_ms[link] = now_ms;
	return verdict;
}

/* ---- time ---- */

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return b && b < a ? b : a;
}

uint64_t stream_tick(struct stream *s, uint64_t now_ms)
{
	uint64_t due_ms;

	if (s->up && now_ms - s->heard_ms >= STREAM_SILENT_MS)
		session_end(s);
	if (s->overrun) {
		s->counts.overruns++;
		session_end(s);
	}
	/* Also while it is up: a partner that began anew needs one to be known again. */
	if (now_ms - s->hello_ms >= (s->up ? 2 * STREAM_HELLO_MS : STREAM_HELLO_MS)) {
		packet_send_all(s, SYNC_HELLO, now_ms);
		s->hello_ms = now_ms;
	}
	if (!s->up)
		return s->hello_ms + STREAM_HELLO_MS;
	parcel_close(s, now_ms);
	if (s->resend_ms && now_ms >= s->resend_ms)
		window_resend(s, now_ms);
	window_send(s, now_ms);
	if ((s->ack_ms && now_ms >= s->ack_ms) || now_ms - s->said_ms >= STREAM_IDLE_MS)
		packet_send_all(s, SYNC_ACK, now_ms);
	due_ms = sooner(s->said_ms + STREAM_IDLE_MS, s->hello_ms + 2 * STREAM_HELLO_MS);
	due_ms = sooner(sooner(due_ms, s->ack_ms), s->resend_ms);
	return s->next < s->open && !s->asks ? now_ms + 1 : due_ms;
}

/* ---- what is shown ---- */

bool stream_up(const struct stream *s)
{
	return s->up;
}

bool stream_link_up(const struct stream *s, uint32_t link, uint64_t now_ms)
{
	return s->link_ms[link] && now_ms - s->link_ms[link] < STREAM_LINK_SILENT_MS;
}

uint32_t stream_lag_ms(const struct stream *s, uint64_t now_ms)
{
	if (s->first == s->open)
		return 0;
	return (uint32_t)(now_ms - s->window[s->first % STREAM_WINDOW].since_ms);
}

uint32_t stream_waiting(const struct stream *s)
{
	return (uint32_t)(s->open - s->first) + (s->window[s->open % STREAM_WINDOW].n > 0);
}

const struct stream_counts *stream_counts(const struct stream *s)
{
	return &s->counts;
}
