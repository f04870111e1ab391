/* SPDX-License-Identifier: BSD-2-Clause */
/* table.c: a slot's way from owner to owner.
 *
 * `previous` is the owner of the time when the slot was last settled: flows that nobody remembers
 * belong to it. Flows of owners since then are in the flow table, so they need no word in the slot;
 * but while one of them may be alive the slot must stay in transition, so that flows are looked up.
 *
 * After the pool's idle_timeout every flow that still lives has been seen and is in the flow table.
 * The slot settles when a sweep that began after that finds none of its flows elsewhere: a session
 * of many hours on a drained backend keeps its slot in transition for as long.
 */
#include "lb/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool gone(uint16_t backend, uint16_t owner, const uint8_t *alive)
{
	return backend == BACKEND_NONE || backend == owner ||
	       (backend != BETWEEN_MANY && !alive[backend]);
}

static bool bit_is_set(const uint8_t *bits, uint32_t i)
{
	return bits[i / 8] >> (i % 8) & 1;
}

/* Nobody but the owner can have flows in slot @i any more. */
static bool is_over(const struct slot *s, uint32_t i, uint16_t owner, const struct table_wish *wish)
{
	if (wish->foreign && wish->swept_s >= s->since_s + wish->idle_timeout_s &&
	    !bit_is_set(wish->foreign, i))
		return true;
	return gone(s->previous, owner, wish->alive) && gone(s->between, owner, wish->alive);
}

static uint16_t between_add(const struct slot *s, uint16_t owner)
{
	if (owner == BACKEND_NONE || owner == s->previous || owner == s->between)
		return s->between;
	return s->between == BACKEND_NONE ? owner : BETWEEN_MANY;
}

static struct slot slot_next(struct slot s, uint32_t i, uint16_t owner,
			     const struct table_wish *wish)
{
	uint16_t old_owner = s.owner & SLOT_BACKEND;
	bool transition = s.owner & SLOT_TRANSITION;

	if (!transition && (owner != old_owner || wish->unsettle)) {
		s.previous = old_owner;
		s.between = BACKEND_NONE;
	}
	if (owner != old_owner) {
		if (transition)
			s.between = between_add(&s, old_owner);
		s.since_s = wish->now_s;
		transition = true;
	}
	if (wish->unsettle) {
		s.between = BETWEEN_MANY;
		s.since_s = wish->now_s;
		transition = true;
	}
	if (!transition || wish->unserved || is_over(&s, i, owner, wish))
		return (struct slot){
			.owner = owner, .previous = BACKEND_NONE, .between = BACKEND_NONE};
	s.owner = owner | SLOT_TRANSITION;
	return s;
}

/* By a partner's word. While that holds the time of the transition does not begin to pass: the
 * flows of previous owners were seen there, not here.
 */
static struct slot slot_by_word(struct slot s, uint16_t word, uint32_t now_s)
{
	bool known = s.owner & SLOT_TRANSITION && s.previous == word;

	if (word == WORD_SETTLED)
		return (struct slot){.owner = s.owner & SLOT_BACKEND,
				     .previous = BACKEND_NONE,
				     .between = BACKEND_NONE};
	s.owner |= SLOT_TRANSITION;
	s.previous = word;
	s.between = known ? s.between : BETWEEN_MANY;
	s.since_s = now_s;
	return s;
}

static void table_count(struct table *t, uint32_t idle_timeout_s)
{
	uint32_t settles_s;

	t->n_transition = 0;
	t->settles_s = 0;
	for (uint32_t i = 0; i < t->n; i++) {
		if (!(t->slots[i].owner & SLOT_TRANSITION))
			continue;
		settles_s = t->slots[i].since_s + idle_timeout_s;
		if (t->n_transition++ == 0 || settles_s < t->settles_s)
			t->settles_s = settles_s;
	}
}

int table_next(const struct table *old, const struct table_wish *wish, struct table *ret_table,
	       struct table_change *ret_change)
{
	struct table t = {.n = wish->n, .slots = malloc(wish->n * sizeof(*t.slots))};
	struct table_change change = {.differs = old->n != wish->n};
	bool fresh = old->n != wish->n;

	if (!t.slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < t.n; i++) {
		uint16_t owner = wish->owners[i] == BACKEND_NONE ? (uint16_t)BACKEND_NONE
								 : wish->numbers[wish->owners[i]];
		struct slot was = {.owner = owner, .previous = BACKEND_NONE};

		if (!fresh)
			was = old->slots[i];
		if (!fresh && was.owner == owner && !wish->unsettle &&
		    (!wish->words || wish->words[i] == WORD_SETTLED)) {
			t.slots[i] = was; /* settled, and stays: nearly all of them */
			continue;
		}
		t.slots[i] = slot_next(was, i, owner, wish);
		if (wish->words)
			t.slots[i] = slot_by_word(t.slots[i], wish->words[i], wish->now_s);
		if (fresh || owner != (was.owner & SLOT_BACKEND))
			change.moved++;
		else if (was.owner != t.slots[i].owner)
			change.settled += !(t.slots[i].owner & SLOT_TRANSITION);
		change.differs |=
			was.owner != t.slots[i].owner || was.previous != t.slots[i].previous;
	}
	table_count(&t, wish->idle_timeout_s);
	*ret_table = t;
	*ret_change = change;
	return 0;
}

bool table_unsettle(struct table *t, uint32_t slot, uint16_t backend, uint32_t idle_timeout_s,
		    uint32_t now_s)
{
	struct slot *s = &t->slots[slot];

	if (s->owner & SLOT_TRANSITION || s->owner == backend)
		return false;
	*s = (struct slot){.owner = s->owner | SLOT_TRANSITION,
			   .previous = s->owner,
			   .between = backend,
			   .since_s = now_s};
	if (t->n_transition++ == 0)
		t->settles_s = now_s + idle_timeout_s;
	return true;
}

int table_adopt(const struct slots4 *words, uint32_t slots, uint32_t idle_timeout_s, uint32_t now_s,
		struct table *ret_table)
{
	struct table t = {.n = slots, .slots = calloc(slots, sizeof(*t.slots))};
	const struct slots4 *previous = words + SLOTS_WORDS(slots);

	if (!t.slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < slots; i++) {
		struct slot *s = &t.slots[i];

		s->owner = words[i / 4].slot[i % 4];
		s->previous = s->between = BACKEND_NONE;
		if (!(s->owner & SLOT_TRANSITION))
			continue;
		s->previous = previous[i / 4].slot[i % 4] & SLOT_BACKEND;
		s->between = BETWEEN_MANY;
		s->since_s = now_s;
	}
	table_count(&t, idle_timeout_s);
	*ret_table = t;
	return 0;
}

void table_write(const struct table *t, struct slots4 *ret_words)
{
	struct slots4 *previous = ret_words + SLOTS_WORDS(t->n);

	memset(ret_words, 0, 2 * SLOTS_WORDS(t->n) * sizeof(*ret_words));
	for (uint32_t i = 0; i < t->n; i++) {
		ret_words[i / 4].slot[i % 4] = t->slots[i].owner;
		previous[i / 4].slot[i % 4] = t->slots[i].previous;
	}
}

void table_mark(const struct table *t, uint8_t *ret_used)
{
	for (uint32_t i = 0; i < t->n; i++) {
		ret_used[t->slots[i].owner & SLOT_BACKEND] = 1;
		ret_used[t->slots[i].previous] = 1;
		ret_used[t->slots[i].between] = 1;
	}
}

int table_copy(const struct table *t, struct table *ret_table)
{
	struct table copy = *t;

	copy.slots = calloc(t->n ? t->n : 1, sizeof(*copy.slots));
	if (!copy.slots)
		return -ENOMEM;
	memcpy(copy.slots, t->slots, t->n * sizeof(*copy.slots));
	*ret_table = copy;
	return 0;
}

void table_fini(struct table *t)
{
	free(t->slots);
	*t = (struct table){0};
}
