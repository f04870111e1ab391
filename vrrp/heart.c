/* SPDX-License-Identifier: BSD-2-Clause */
/* heart.c: see heart.h. */
#include "vrrp/heart_own.h"

#include <errno.h>
#include <event2/event.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "bpf/siphash.h"

enum { READS = 256 };

uint64_t heart_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

/* ---- out ---- */

static bool send_by(const struct hearts *h, const struct partner *p, uint32_t link,
		    const void *bytes, size_t n)
{
	struct sockaddr_in6 to = p->to[link];
	struct in6_pktinfo info = {.ipi6_addr = h->own[link].in6, .ipi6_ifindex = h->ifindex[link]};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(info))];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = n};
	struct msghdr msg = {.msg_name = &to,
			     .msg_namelen = sizeof(to),
			     .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	if (IN6_IS_ADDR_LINKLOCAL(&to.sin6_addr))
		to.sin6_scope_id = h->ifindex[link];
	c->cmsg_level = IPPROTO_IPV6;
	c->cmsg_type = IPV6_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	return h->ifindex[link] && sendmsg(h->fd, &msg, MSG_DONTWAIT) == (ssize_t)n;
}

static uint64_t nonce_next(struct hearts *h)
{
	__u64 n = ++h->nonces;

	return siphash(h->nonce_key[0], h->nonce_key[1], &n, 1) | 1; /* 0 is none */
}

/* A question that could not leave is none: it says nothing of the partner. */
static void ask(struct hearts *h, struct partner *p, uint64_t at_ns)
{
	for (uint32_t i = 0; i < h->n_links; i++) {
		struct heart q = heart_question(&h->key, h->node, p->node, nonce_next(h));

		if (send_by(h, p, i, &q, sizeof(q)))
			heart_asked(&p->heart, i, q.nonce, at_ns);
		else
			heart_unasked(&p->heart, i);
	}
	p->ask_ns = at_ns + (p->fast ? h->pace_ns : HEART_SLOW_MS * 1000000ULL);
}

static void state_send(struct hearts *h, uint32_t first, uint32_t n, uint8_t flags)
{
	struct heart_state s = {.flags = flags, .from = h->node, .session = h->session};

	s.n_records = (uint8_t)n;
	s.sequence = ++h->sequence;
	for (uint32_t i = 0; i < n; i++)
		s.records[i] = h->ours[first + i].record;
	for (uint32_t i = 0; i < h->n_partners; i++) {
		struct partner *p = &h->partners[i];
		size_t bytes;

		s.to = p->node;
		s.to_session = heart_to_session(&p->heart);
		bytes = heart_state_seal(&h->key, &s);
		for (uint32_t link = 0; link < h->n_links; link++)
			send_by(h, p, link, &s, bytes);
	}
}

void heart_tell(struct hearts *h)
{
	uint32_t at = 0;

	if (!h->speaks || h->fd < 0)
		return;
	said_look(h);
	do {
		uint32_t n = h->n_ours - at;

		n = n < HEART_RECORDS ? n : HEART_RECORDS;
		state_send(h, at, n, 0);
		at += n;
	} while (at < h->n_ours);
	h->state_ns = heart_now_ns() + HEART_STATE_MS * 1000000ULL;
}

void heart_speak(struct hearts *h)
{
	if (!h->speaks) {
		h->speaks = true;
		heart_tell(h);
	}
}

/* ---- in ---- */

static void bad_note(struct hearts *h, enum heart_verdict verdict, const struct addr *from)
{
	char text[INET6_ADDRSTRLEN];

	h->bad[verdict]++;
	if (h->bad_logged & 1U << verdict)
		return; /* once a kind: a flood must not fill the log */
	h->bad_logged |= 1U << verdict;
	addr_format(from, text);
	if (verdict == HEART_IS_OLD) /* what a partner that was restarted says at first */
		log_info("heartbeat ignored: from=%s why=\"%s\"", text,
			 heart_verdict_text(verdict));
	else
		log_warning("heartbeat ignored: from=%s why=\"%s\"", text,
			    heart_verdict_text(verdict));
}

static void state_take(struct hearts *h, struct partner *p, uint32_t link,
		       const struct heart_state *s, const struct addr *from, uint64_t at_ns)
{
	bool new = false, asked = false;
	enum heart_verdict verdict = heart_stated(&p->heart, link, s, h->session, at_ns, &new);

	if (verdict != HEART_IS_GOOD)
		bad_note(h, verdict, from);
	if (!new)
		return;
	if (s->flags & HEART_FAREWELL) {
		heart_forget(&p->heart);
		p->n_records = 0;
	}
	said_look(h);
	for (uint32_t i = 0; i < s->n_records; i++)
		asked |= said_record(h, p, &s->records[i]);
	if (asked)
		heart_tell(h);
	if (!p->fast && said_fast(h, p)) {
		p->fast = true;
		p->ask_ns = 0;
		event_active(h->timer, EV_TIMEOUT, 0);
	}
}

/* Where the guard is not, or was taken away. */
static void question_answer(struct hearts *h, struct partner *p, uint32_t link,
			    const struct heart *question)
{
	struct heart answer = heart_reply(&h->key, question, HEART_SOCKET | HEART_LIVES, 0);

	send_by(h, p, link, &answer, sizeof(answer));
}

static void packet_take(struct hearts *h, const struct addr *from, const void *bytes, size_t n)
{
	enum heart_verdict verdict = HEART_IS_STRANGER;
	struct partner *p = NULL;
	union heart_any any;
	uint32_t link = 0;
	uint64_t at_ns = heart_now_ns();

	for (uint32_t i = 0; !p && i < h->n_partners; i++) {
		for (uint32_t k = 0; !p && k < h->n_links; k++) {
			if (memcmp(&h->partners[i].at[k], from, sizeof(*from)) == 0) {
				p = &h->partners[i];
				link = k;
			}
		}
	}
	if (p)
		verdict = heart_open(&h->key, bytes, n, p->node, h->node, &any);
	if (verdict == HEART_IS_GOOD && any.heart.kind == HEART_ANSWER)
		verdict = heart_answered(&p->heart, link, &any.heart, at_ns);
	if (verdict != HEART_IS_GOOD)
		bad_note(h, verdict, from);
	else if (any.heart.kind == HEART_REQUEST)
		question_answer(h, p, link, &any.heart);
	else if (any.heart.kind == HEART_STATE)
		state_take(h, p, link, &any.state, from, at_ns);
}

void heart_read(struct hearts *h)
{
	struct sockaddr_in6 sender = {0};
	uint8_t bytes[HEART_MOST + 1];

	for (int turn = 0; h->fd >= 0 && turn < READS; turn++) {
		socklen_t size = sizeof(sender);
		ssize_t n = recvfrom(h->fd, bytes, sizeof(bytes), MSG_DONTWAIT,
				     (struct sockaddr *)&sender, &size);
		struct addr from = {.in6 = sender.sin6_addr};

		if (n < 0)
			return;
		packet_take(h, &from, bytes, (size_t)n);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	heart_read(arg);
}

/* ---- who lives ---- */

/* Nothing of what it said holds any more. Silence proves its death only where it would have been
 * heard: by a link on the instance's own interface, too.
 */
static void partner_lost(struct hearts *h, struct partner *p)
{
	const bool gone = p->life == PARTNER_GONE;

	for (uint32_t i = 0; i < p->n_records; i++) {
		struct heart_record *r = &p->records[i];
		const struct heart_instance *ours = said_find(h, r->instance);
		bool was_active = r->role == VRRP_ACTIVE;

		r->role = VRRP_INIT;
		if (was_active && ours && (gone || said_link(h, p, ours->interface)) &&
		    !heart_other_active(h, r->instance))
			said_event(h, p, gone ? VRRP_PARTNER_GONE : VRRP_PARTNER_DEAD, r);
	}
}

static void partner_judge(struct hearts *h, struct partner *p, uint64_t at_ns)
{
	static const char *const names[] = PARTNER_LIFE_NAMES;
	enum partner_life life = heart_judge(&p->heart, &h->pace, at_ns), before = p->life;

	p->life = life;
	if (life != before && (life == PARTNER_DEAD || life == PARTNER_GONE))
		partner_lost(h, p);
	if (life != before)
		log_notice("partner %s %s: was=%s", p->name, names[life], names[before]);
	p->fast = said_fast(h, p);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct hearts *h = arg;
	uint64_t at_ns, wait_ns = HEART_SLOW_MS * 1000000ULL;

	(void)fd;
	(void)what;
	heart_read(h); /* first of all: what slept with us is no silence */
	h->ops->turn(h->owner);
	at_ns = heart_now_ns();
	said_look(h);
	for (uint32_t i = 0; i < h->n_partners; i++)
		partner_judge(h, &h->partners[i], at_ns);
	for (uint32_t i = 0; i < h->n_partners; i++) {
		struct partner *p = &h->partners[i];

		if (at_ns >= p->ask_ns)
			ask(h, p, at_ns);
		if (p->fast)
			wait_ns = h->pace_ns;
	}
	if (at_ns >= h->state_ns)
		heart_tell(h);
	event_add(h->timer, &(struct timeval){.tv_sec = (time_t)(wait_ns / 1000000000ULL),
					      .tv_usec = (suseconds_t)(wait_ns / 1000 % 1000000)});
}

/* ---- configuration ---- */

void heart_socket(struct hearts *h, int fd, const struct message_heart *m)
{
	uint8_t bytes[1];

	/* Partners that have the old key and port would hear a death. Twice: one may be lost. */
	for (int i = 0; i < 2 && h->fd >= 0 &&
			(m->port != h->port || memcmp(h->key.word, m->key, sizeof(m->key)) != 0);
	     i++)
		state_send(h, 0, 0, HEART_FAREWELL);
	if (h->readable)
		event_free(h->readable);
	h->readable = NULL;
	if (h->fd >= 0)
		close(h->fd);
	h->fd = fd;
	h->port = (uint16_t)m->port;
	memcpy(h->key.word, m->key, sizeof(h->key.word));
	if (fd < 0)
		return;
	/* For whoever had it before. */
	for (int turn = 0; turn < 1 << 16 && recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) >= 0;)
		turn++;
	h->readable = event_new(event_get_base(h->timer), fd, EV_READ | EV_PERSIST, on_readable, h);
	if (h->readable)
		event_add(h->readable, NULL);
}

static void partner_set(struct hearts *h, struct partner *p, const struct config *c, uint32_t node)
{
	const struct partner was = *p;

	*p = (struct partner){.node = heart_name(&h->key, c->nodes[node])};
	memcpy(p->name, c->nodes[node], sizeof(p->name));
	p->heart.n_links = h->n_links;
	for (uint32_t i = 0; i < h->n_links; i++) {
		p->at[i] = c->sync.links[i].addresses[node];
		p->to[i] = (struct sockaddr_in6){.sin6_family = AF_INET6,
						 .sin6_port = htons(h->port),
						 .sin6_addr = p->at[i].in6};
	}
	if (was.node != p->node || memcmp(was.at, p->at, sizeof(p->at)) != 0)
		return;
	*p = was;
	for (uint32_t i = 0; i < h->n_links; i++)
		p->to[i].sin6_port = htons(h->port);
}

static void guard_tell(const struct hearts *h)
{
	struct guard_settings set = {.key = {h->key.word[0], h->key.word[1]},
				     .node = h->node,
				     .port = h->fd < 0 ? 0 : htons(h->port)};
	struct guard_partner pairs[CONFIG_NODES * CONFIG_LINKS];
	uint32_t n = 0;

	for (uint32_t i = 0; i < h->n_partners; i++) {
		for (uint32_t k = 0; k < h->n_links; k++) {
			memcpy(pairs[n].pair.partner, &h->partners[i].at[k], 16);
			memcpy(pairs[n].pair.own, &h->own[k], 16);
			pairs[n++].node = h->partners[i].node;
		}
	}
	guard_set(h->guard, &set);
	guard_partners(h->guard, pairs, n);
}

void heart_config(struct hearts *h, const struct config *c)
{
	const struct config_sync *sync = &c->sync;
	uint32_t n = 0;

	h->node = heart_name(&h->key, c->node.name);
	h->n_links = h->fd < 0 ? 0 : sync->n_links;
	h->pace_ns = sync->heartbeat_ms * 1000000ULL;
	h->pace.dead_after_ns = sync->dead_after_ms * 1000000ULL;
	for (uint32_t i = 0; i < h->n_links; i++) {
		memcpy(h->interfaces[i], sync->links[i].interface, sizeof(h->interfaces[i]));
		h->own[i] = sync->links[i].addresses[c->node_index];
		h->ifindex[i] = if_nametoindex(h->interfaces[i]);
	}
	for (uint32_t i = 0; h->n_links > 0 && i < c->n_nodes; i++) {
		if (i != c->node_index)
			partner_set(h, &h->partners[n++], c, i);
	}
	h->n_partners = n;
	guard_tell(h);
	event_active(h->timer, EV_TIMEOUT, 0);
}

void heart_look(struct hearts *h)
{
	for (uint32_t i = 0; i < h->n_links; i++)
		h->ifindex[i] = if_nametoindex(h->interfaces[i]);
}

/* ---- shown ---- */

void heart_show(const struct hearts *h, void (*tell)(void *owner, const struct message_partner *m))
{
	for (uint32_t i = 0; i < h->n_partners; i++) {
		const struct partner *p = &h->partners[i];

		for (uint32_t k = 0; k < h->n_links; k++) {
			const struct heart_link *l = &p->heart.links[k];
			struct message_partner m = {
				.life = p->life,
				.fresh = heart_link_fresh(l, &h->pace, heart_now_ns()),
				.rtt_us = l->rtt_us,
				.link = k,
				.asked = l->asked,
				.answered = l->answered};

			memcpy(m.node, p->name, sizeof(m.node));
			memcpy(m.interface, h->interfaces[k], sizeof(m.interface));
			memcpy(m.bad, h->bad, sizeof(m.bad));
			for (int n = 0; n < GUARD_KINDS_BAD; n++)
				m.guard[n] = guard_count(h->guard, n);
			tell(h->owner, &m);
		}
	}
}

/* ---- life ---- */

struct hearts *heart_new(struct event_base *loop, struct guard *guard, const struct heart_ops *ops,
			 void *owner)
{
	struct hearts *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->fd = -1;
	h->ops = ops;
	h->owner = owner;
	h->guard = guard;
	h->partners = calloc(CONFIG_NODES, sizeof(*h->partners));
	h->timer = event_new(loop, -1, 0, on_timer, h);
	if (!h->partners || !h->timer ||
	    getrandom(&h->session, sizeof(h->session), 0) != sizeof(h->session) ||
	    getrandom(h->nonce_key, sizeof(h->nonce_key), 0) != sizeof(h->nonce_key)) {
		heart_free(h);
		return NULL;
	}
	return h;
}

void heart_free(struct hearts *h)
{
	if (!h)
		return;
	if (h->readable)
		event_free(h->readable);
	if (h->timer)
		event_free(h->timer);
	if (h->fd >= 0)
		close(h->fd);
	free(h->partners);
	explicit_bzero(&h->key, sizeof(h->key));
	free(h);
}
