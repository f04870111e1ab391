/* SPDX-License-Identifier: BSD-2-Clause */
/* heartbeat.c: see heartbeat.h. */
#include "vrrp/heartbeat.h"

#include <stddef.h>
#include <string.h>

#include "bpf/siphash.h"

enum { STATE_HEADER = offsetof(struct heart_state, records), ANSWER_PARTS = 4, SECOND_PARTS = 2 };

static uint64_t hash(const struct heart_key *key, const void *bytes, size_t n_bytes)
{
	uint64_t words[sizeof(struct heart_state) / 8] = {0};

	memcpy(words, bytes, n_bytes);
	return siphash(key->word[0], key->word[1], (const __u64 *)words,
		       (uint32_t)((n_bytes + 7) / 8));
}

uint64_t heart_name(const struct heart_key *key, const char *name)
{
	char padded[NAME_SIZE] = {0};

	memcpy(padded, name, strnlen(name, sizeof(padded) - 1));
	return hash(key, padded, sizeof(padded));
}

const char *heart_verdict_text(enum heart_verdict verdict)
{
	static const char *const texts[] = {
#define HEART_VERDICT_TEXT(name, text) text,
		HEART_VERDICTS(HEART_VERDICT_TEXT)
#undef HEART_VERDICT_TEXT
	};

	return texts[verdict];
}

/* ---- bytes ---- */

static void heart_seal(const struct heart_key *key, struct heart *h)
{
	h->hash = hash(key, h, offsetof(struct heart, hash));
}

struct heart heart_question(const struct heart_key *key, uint64_t from, uint64_t to, uint64_t nonce)
{
	struct heart h = {.magic = HEART_MAGIC,
			  .version = HEART_VERSION,
			  .kind = HEART_REQUEST,
			  .from = from,
			  .to = to,
			  .nonce = nonce};

	heart_seal(key, &h);
	return h;
}

struct heart heart_reply(const struct heart_key *key, const struct heart *question, uint8_t flags,
			 uint32_t left_ms)
{
	struct heart h = *question;

	h.kind = HEART_ANSWER;
	h.flags = flags;
	h.from = question->to;
	h.to = question->from;
	h.left_ms = left_ms;
	heart_seal(key, &h);
	return h;
}

size_t heart_state_seal(const struct heart_key *key, struct heart_state *state)
{
	size_t n = STATE_HEADER + state->n_records * sizeof(struct heart_record);
	uint64_t word;

	state->magic = HEART_MAGIC;
	state->version = HEART_VERSION;
	state->kind = HEART_STATE;
	word = hash(key, state, n);
	memcpy((uint8_t *)state + n, &word, sizeof(word));
	return n + sizeof(word);
}

/* The length that it says it has, its hash included; 0: it says nothing of the kind. */
static size_t length_of(const struct heart *h)
{
	if (h->kind == HEART_REQUEST || h->kind == HEART_ANSWER)
		return sizeof(*h);
	if (h->kind == HEART_STATE && ((const struct heart_state *)h)->n_records <= HEART_RECORDS)
		return STATE_HEADER + sizeof(h->hash) +
		       ((const struct heart_state *)h)->n_records * sizeof(struct heart_record);
	return 0;
}

static bool records_good(const struct heart_state *s)
{
	for (uint32_t i = 0; i < s->n_records; i++) {
		if (s->records[i].role > VRRP_ACTIVE)
			return false;
	}
	return true;
}

enum heart_verdict heart_open(const struct heart_key *key, const void *bytes, size_t n_bytes,
			      uint64_t from, uint64_t to, union heart_any *ret)
{
	union heart_any any = {0};
	uint64_t word;
	size_t n;

	if (n_bytes < sizeof(struct heart) || n_bytes > sizeof(any))
		return HEART_IS_SHORT;
	memcpy(&any, bytes, n_bytes);
	n = length_of(&any.heart);
	if (any.heart.magic != HEART_MAGIC || any.heart.version != HEART_VERSION || n == 0)
		return HEART_IS_FOREIGN;
	if (n != n_bytes)
		return HEART_IS_SHORT;
	n -= sizeof(word);
	memcpy(&word, (const uint8_t *)&any + n, sizeof(word));
	if (word != hash(key, &any, n))
		return HEART_IS_FORGED;
	if (any.heart.from != from || any.heart.to != to)
		return HEART_IS_STRANGER;
	if (any.heart.kind == HEART_STATE && !records_good(&any.state))
		return HEART_IS_FOREIGN;
	*ret = any;
	return HEART_IS_GOOD;
}

/* ---- a partner ---- */

static void link_heard(struct heart_link *link, uint64_t now_ns)
{
	link->heard = true;
	link->heard_ns = now_ns;
}

void heart_asked(struct heart_partner *p, uint32_t link, uint64_t nonce, uint64_t now_ns)
{
	struct heart_link *l = &p->links[link];

	l->open[l->next].nonce = nonce;
	l->open[l->next].sent_ns = now_ns;
	l->next = (l->next + 1) % HEART_ASKED;
	l->asked++;
	l->blind = false;
}

void heart_unasked(struct heart_partner *p, uint32_t link)
{
	p->links[link].blind = true;
}

enum heart_verdict heart_answered(struct heart_partner *p, uint32_t link, const struct heart *h,
				  uint64_t now_ns)
{
	struct heart_link *l = &p->links[link];
	uint32_t i = 0;

	while (i < HEART_ASKED && l->open[i].nonce != h->nonce)
		i++;
	if (i == HEART_ASKED || h->nonce == 0)
		return HEART_IS_UNASKED;
	l->open[i].nonce = 0;
	l->rtt_us = (uint32_t)((now_ns - l->open[i].sent_ns) / 1000);
	l->answered++;
	l->flags = p->flags = h->flags;
	link_heard(l, now_ns);
	return HEART_IS_GOOD;
}

uint64_t heart_to_session(const struct heart_partner *p)
{
	return p->session ? p->session : p->candidate;
}

enum heart_verdict heart_stated(struct heart_partner *p, uint32_t link, const struct heart_state *s,
				uint64_t own, uint64_t now_ns, bool *ret_new)
{
	struct heart_link *l = &p->links[link];

	if (s->to_session != own) {
		if (s->session == p->session && p->session)
			return HEART_IS_OLD;
		p->candidate = s->session;
		/* A process that has just begun does not know us yet: it is no replay. */
		return s->to_session == 0 ? HEART_IS_GOOD : HEART_IS_OLD;
	}
	if (s->session != p->session) {
		p->session = s->session;
		p->sequence = 0;
		for (uint32_t i = 0; i < p->n_links; i++)
			p->links[i].sequence = 0;
	}
	if (s->sequence <= l->sequence)
		return HEART_IS_OLD;
	l->sequence = s->sequence;
	link_heard(l, now_ns);
	*ret_new = s->sequence > p->sequence;
	if (*ret_new)
		p->sequence = s->sequence;
	return HEART_IS_GOOD;
}

void heart_forget(struct heart_partner *p)
{
	for (uint32_t i = 0; i < p->n_links; i++)
		p->links[i].heard = false;
}

/* missed_ns: when the first HEART_MISSES questions since the last word have had time enough to be
 * answered; those that are not asked yet would be so at @now_ns.
 */
static uint64_t missed_ns(const struct heart_link *l, uint64_t answer_ns, uint64_t now_ns)
{
	uint32_t misses = 0;

	for (uint32_t i = 0; i < HEART_ASKED; i++) { /* the oldest first */
		uint32_t at = (l->next + i) % HEART_ASKED;

		misses += l->open[at].nonce && l->open[at].sent_ns >= l->heard_ns;
		if (misses == HEART_MISSES)
			return l->open[at].sent_ns + answer_ns;
	}
	return now_ns + answer_ns;
}

uint64_t heart_link_fresh_until_ns(const struct heart_link *link, const struct heart_pace *pace,
				   uint64_t now_ns)
{
	bool second = pace->second && !link->blind;
	uint64_t silent_ns = link->heard_ns + pace->dead_after_ns / (second ? SECOND_PARTS : 1);
	uint64_t missed;

	if (!link->heard)
		return 0;
	if (now_ns < silent_ns || link->blind)
		return silent_ns;
	missed = missed_ns(link, pace->dead_after_ns / ANSWER_PARTS, now_ns);
	return missed > silent_ns ? missed : silent_ns;
}

bool heart_link_fresh(const struct heart_link *link, const struct heart_pace *pace, uint64_t now_ns)
{
	return heart_link_fresh_until_ns(link, pace, now_ns) > now_ns;
}

enum partner_life heart_judge(const struct heart_partner *p, const struct heart_pace *pace,
			      uint64_t now_ns)
{
	bool proof = false, fresh = false;

	for (uint32_t i = 0; i < p->n_links; i++) {
		proof |= p->links[i].heard && !p->links[i].blind;
		fresh |= heart_link_fresh(&p->links[i], pace, now_ns);
	}
	if (!fresh)
		return proof ? PARTNER_DEAD : PARTNER_UNKNOWN;
	/* Heard by its process alone: its kernel has not been asked yet. */
	for (uint32_t i = 0; i < p->n_links; i++) {
		if (p->links[i].answered)
			return (p->flags & HEART_SOCKET) && (p->flags & HEART_LIVES) ? PARTNER_ALIVE
										     : PARTNER_GONE;
	}
	return PARTNER_ALIVE;
}
