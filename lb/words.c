/* SPDX-License-Identifier: BSD-2-Clause */
/* words.c: see words.h. */
#include "lb/words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lb/keys.h"
#include "sync/packet.h"

static uint64_t fnv(uint64_t h, const void *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3ULL;
	return h;
}

uint64_t word_key(const char *pool, const char *name, const uint8_t addr[static 16])
{
	uint64_t h = fnv(0xcbf29ce484222325ULL, pool, strlen(pool) + 1);

	return fnv(fnv(h, name, strlen(name) + 1), addr, 16);
}

uint64_t word_pool_key(const char *pool)
{
	static const uint8_t none[16];

	return word_key(pool, "", none);
}

/* ---- whose owners ---- */

static uint64_t mix(uint64_t key, uint32_t slot)
{
	uint64_t x = key + (slot + 1) * 0x9e3779b97f4a7c15ULL;

	x = (x ^ x >> 32) * 0xd6e8feb86659fd93ULL;
	return x ^ x >> 32;
}

uint64_t words_digest(const uint16_t *owners, uint32_t n, const uint64_t *keys, uint64_t key_print)
{
	uint64_t digest = mix(key_print, n);

	for (uint32_t i = 0; i < n; i++)
		digest += mix(keys[owners[i]], i);
	return digest | 1;
}

uint64_t words_digest_table(const struct table *t, const uint64_t *keys, uint64_t key_print)
{
	uint64_t digest = mix(key_print, t->n);

	for (uint32_t i = 0; i < t->n; i++)
		digest += mix(keys[t->slots[i].owner & SLOT_BACKEND], i);
	return digest | 1;
}

/* ---- saying ---- */

struct saying {
	uint8_t *bytes;
	size_t n, most;
	uint8_t flags;
	uint32_t next; /* slot that a distance of 0 is */
	words_emit_fn *emit;
	void *owner;
};

static int saying_emit(struct saying *s, uint8_t flags)
{
	int r;

	s->bytes[24] = s->flags | flags;
	r = s->emit(s->owner, s->bytes, s->n);
	s->n = WORDS_HEADER;
	s->flags = 0;
	s->next = 0;
	return r;
}

static int saying_slot(struct saying *s, uint32_t slot)
{
	uint32_t distance;
	int r = 0;

	if (s->n + 5 > s->most)
		r = saying_emit(s, 0);
	for (distance = slot - s->next; distance >= 0x80; distance >>= 7)
		s->bytes[s->n++] = (uint8_t)(distance | 0x80);
	s->bytes[s->n++] = (uint8_t)distance;
	s->next = slot + 1;
	return r;
}

/* Slots in transition, ordered by who had them; ret_first: by number, and one more. */
static void transition_sort(const struct table *t, uint32_t *ret_first, uint32_t *ret_slots)
{
	for (uint32_t i = 0; i < t->n; i++) {
		if (t->slots[i].owner & SLOT_TRANSITION)
			ret_first[t->slots[i].previous + 2]++;
	}
	for (uint32_t b = 1; b < BACKEND_NONE + 3; b++)
		ret_first[b] += ret_first[b - 1];
	for (uint32_t i = 0; i < t->n; i++) {
		if (t->slots[i].owner & SLOT_TRANSITION)
			ret_slots[ret_first[t->slots[i].previous + 1]++] = i;
	}
}

int words_say(const struct table *t, const uint64_t *keys, uint64_t pool, uint64_t digest,
	      size_t most, words_emit_fn *emit, void *owner)
{
	uint32_t *first = calloc(BACKEND_NONE + 3, sizeof(*first));
	uint32_t *slots = calloc(t->n + 1, sizeof(*slots));
	struct saying s = {.bytes = calloc(1, most),
			   .n = WORDS_HEADER,
			   .most = most,
			   .flags = WORDS_FIRST,
			   .emit = emit,
			   .owner = owner};
	int r = first && slots && s.bytes ? 0 : -ENOMEM;

	if (r == 0) {
		transition_sort(t, first, slots);
		sync_put64(s.bytes, pool);
		sync_put64(s.bytes + 8, digest);
	}
	for (uint32_t b = 0; r == 0 && b <= BACKEND_NONE; b++) {
		if (first[b] == first[b + 1])
			continue;
		if (s.n > WORDS_HEADER)
			r = saying_emit(&s, 0);
		sync_put64(s.bytes + 16, keys[b]);
		for (uint32_t i = first[b]; r == 0 && i < first[b + 1]; i++)
			r = saying_slot(&s, slots[i]);
	}
	if (r == 0)
		r = saying_emit(&s, WORDS_LAST);
	free(first);
	free(slots);
	free(s.bytes);
	return r;
}

/* ---- hearing ---- */

void words_fini(struct words *w)
{
	free(w->keys);
	free(w->at);
	*w = (struct words){0};
}

static int words_begin(struct words *w, uint32_t slots, uint64_t digest)
{
	words_fini(w);
	w->at = calloc(slots, sizeof(*w->at));
	if (!w->at)
		return -ENOMEM;
	memset(w->at, 0xff, slots * sizeof(*w->at)); /* WORD_SETTLED */
	w->n = slots;
	w->digest = digest;
	return 0;
}

static int key_add(struct words *w, uint64_t key)
{
	if (w->n_keys > 0 && w->keys[w->n_keys - 1] == key)
		return 0;
	if (w->n_keys == w->room) {
		uint32_t room = w->room ? 2 * w->room : 8;
		uint64_t *keys = reallocarray(w->keys, room, sizeof(*keys));

		if (!keys)
			return -ENOMEM;
		w->keys = keys;
		w->room = room;
	}
	w->keys[w->n_keys++] = key;
	return 0;
}

static int slots_hear(struct words *w, const uint8_t *bytes, size_t n)
{
	uint32_t slot = 0, distance = 0, shift = 0;

	for (size_t i = 0; i < n; i++) {
		distance |= (uint32_t)(bytes[i] & 0x7f) << shift;
		shift += 7;
		if (bytes[i] & 0x80 && shift <= 21)
			continue;
		if (bytes[i] & 0x80 || distance >= w->n || slot >= w->n - distance)
			return -EPROTO;
		slot += distance;
		w->at[slot++] = (uint16_t)(w->n_keys - 1);
		distance = shift = 0;
	}
	return shift == 0 ? 0 : -EPROTO;
}

int words_hear(struct words *w, uint32_t slots, const uint8_t *bytes, size_t n)
{
	uint8_t flags = n < WORDS_HEADER ? 0 : bytes[24];
	int r = n < WORDS_HEADER ? -EPROTO : 0;

	if (r == 0 && flags & WORDS_FIRST)
		r = words_begin(w, slots, sync_get64(bytes + 8));
	if (r == 0 && (!w->at || w->n != slots || w->digest != sync_get64(bytes + 8)))
		r = -EPROTO;
	if (r == 0 && n > WORDS_HEADER)
		r = w->n_keys < BACKEND_NONE ? key_add(w, sync_get64(bytes + 16)) : -EPROTO;
	if (r == 0 && n > WORDS_HEADER)
		r = slots_hear(w, bytes + WORDS_HEADER, n - WORDS_HEADER);
	if (r < 0)
		words_fini(w);
	return r < 0 ? r : !!(flags & WORDS_LAST);
}

uint64_t words_pool(const uint8_t *bytes, size_t n)
{
	return n < WORDS_HEADER ? 0 : sync_get64(bytes);
}

/* The numbers of the keys of @w: thousands of each, so that comparing each with each takes long. */
static int numbers_find(const struct words *w, const uint64_t *keys, uint16_t *ret_numbers)
{
	struct key_number *all = calloc(BETWEEN_MANY, sizeof(*all));
	uint32_t n = 0;

	if (!all)
		return -ENOMEM;
	for (uint32_t b = 0; b < BETWEEN_MANY; b++) {
		if (keys[b])
			all[n++] = (struct key_number){keys[b], b};
	}
	keys_order(all, n);
	for (uint32_t k = 0; k < w->n_keys; k++) {
		uint32_t number = keys_find(all, n, w->keys[k]);

		ret_numbers[k] = number == KEY_UNKNOWN ? BACKEND_NONE : (uint16_t)number;
	}
	free(all);
	return 0;
}

int words_previous(const struct words *w, const uint64_t *keys, uint16_t **ret_words)
{
	uint16_t *numbers = calloc(w->n_keys + 1, sizeof(*numbers));
	uint16_t *words = calloc(w->n + 1, sizeof(*words));

	if (!numbers || !words || numbers_find(w, keys, numbers) < 0) {
		free(numbers);
		free(words);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < w->n; i++)
		words[i] = w->at[i] == WORD_SETTLED ? (uint16_t)WORD_SETTLED : numbers[w->at[i]];
	free(numbers);
	*ret_words = words;
	return 0;
}
