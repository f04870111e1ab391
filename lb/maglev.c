/* SPDX-License-Identifier: BSD-2-Clause */
/* maglev.c: weighted Maglev hashing (Eisenbud et al., NSDI 2016, 3.4), and its repair.
 *
 * Building: each backend has its own order of the slots. They take turns, each taking the first
 * free slot of its order; whose turn it is goes by the weights (Sainte-Laguë: the next is the one
 * with the least (2 taken + 1) / weight), so that the shares are exact to one slot.
 *
 * Repairing: plain Maglev built again without one backend moves more slots than that one had. Here
 * only those move, each to the backend of the highest weighted rendezvous: the one with the least
 * -log2(u) / weight, u being a hash of slot and backend in (0, 1]. The logarithm is integer
 * arithmetic, so that every machine gets the same table.
 *
 * A backend that is to have less than its share (it warms up) keeps those of its slots for which a
 * hash of slot and backend is below the share, and counts for that much less in the rendezvous for
 * others' slots. Of what it keeps it may give a part to those who claim (they have too few
 * connections, it has enough), chosen likewise. Which slots these are depends on nothing else, so
 * that a share that grows takes slots back one by one and moves none between others.
 */
#include "lb/maglev.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/hash.h"

static uint64_t fnv1a(uint64_t h, const char *text)
{
	do {
		h = (h ^ (uint8_t)*text) * 0x100000001b3ULL;
	} while (*text++);
	return h;
}

uint64_t maglev_seed(const char *pool, const char *backend)
{
	return hash_mix(fnv1a(fnv1a(0xcbf29ce484222325ULL, pool), backend));
}

/* ---- building ---- */

struct turn { /* of one backend */
	uint64_t seed;
	uint32_t weight;
	uint32_t taken;	   /* slots so far */
	uint32_t at, skip; /* the next slot of its order, and the step to the one after */
	uint16_t index;
};

static bool turn_before(const struct turn *a, const struct turn *b)
{
	uint64_t x = (2ULL * a->taken + 1) * b->weight, y = (2ULL * b->taken + 1) * a->weight;

	if (x != y)
		return x < y;
	return a->seed != b->seed ? a->seed < b->seed : a->index < b->index;
}

/* Restore the heap's order below @i. */
static void heap_sink(struct turn *heap, uint32_t n, uint32_t i)
{
	struct turn moving = heap[i];

	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child >= n)
			break;
		if (child + 1 < n && turn_before(&heap[child + 1], &heap[child]))
			child++;
		if (!turn_before(&heap[child], &moving))
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = moving;
}

static uint32_t turns_init(const struct maglev_backend *backends, uint32_t n, uint32_t slots,
			   struct turn *ret_heap)
{
	uint32_t used = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t seed = backends[i].seed;

		if (backends[i].weight == 0 || backends[i].backup)
			continue;
		ret_heap[used++] = (struct turn){
			.seed = seed,
			.weight = backends[i].weight,
			.at = (uint32_t)(hash_mix(seed + 1) % slots),
			.skip = (uint32_t)(hash_mix(seed + 2) % (slots - 1)) + 1,
			.index = (uint16_t)i,
		};
	}
	for (uint32_t i = used / 2; i-- > 0;)
		heap_sink(ret_heap, used, i);
	return used;
}

static uint32_t order_next(struct turn *t, uint32_t slots)
{
	uint32_t slot = t->at;

	t->at += t->skip;
	if (t->at >= slots)
		t->at -= slots;
	return slot;
}

int maglev_build(const struct maglev_backend *backends, uint32_t n, uint32_t slots,
		 uint16_t *ret_owners)
{
	struct turn *heap = calloc(n ? n : 1, sizeof(*heap));
	uint32_t used;

	if (!heap)
		return -ENOMEM;
	for (uint32_t s = 0; s < slots; s++)
		ret_owners[s] = BACKEND_NONE;
	used = turns_init(backends, n, slots, heap);
	for (uint32_t filled = 0; used > 0 && filled < slots; filled++) {
		struct turn *t = &heap[0];
		uint32_t slot;

		do {
			slot = order_next(t, slots);
		} while (ret_owners[slot] != BACKEND_NONE);
		ret_owners[slot] = t->index;
		t->taken++;
		heap_sink(heap, used, 0);
	}
	free(heap);
	return 0;
}

/* ---- repairing ---- */

enum { LOG_BITS = 10, LOG_STEPS = 1 << LOG_BITS };

/* log2(1 + i / LOG_STEPS), in units of 2^-32. */
struct log_table {
	uint64_t at[LOG_STEPS + 1];
};

/* A bit at a time: squaring doubles the logarithm. */
static uint64_t log2_exact(uint32_t i)
{
	uint64_t y = (1ULL << 62) + ((uint64_t)i << (62 - LOG_BITS)), bits = 0;

	if (i == LOG_STEPS)
		return 1ULL << 32;
	for (int bit = 31; bit >= 0; bit--) {
		y = (uint64_t)(((unsigned __int128)y * y) >> 62);
		if (y >> 63) {
			bits |= 1ULL << bit;
			y >>= 1;
		}
	}
	return bits;
}

static void log_table_fill(struct log_table *t)
{
	for (uint32_t i = 0; i <= LOG_STEPS; i++)
		t->at[i] = log2_exact(i);
}

/* -log2(h / 2^64), in units of 2^-32; the error is below 2^-22. */
static uint64_t minus_log2(const struct log_table *t, uint64_t h)
{
	unsigned zeros = (unsigned)__builtin_clzll(h | 1);
	uint64_t y = (h | 1) << zeros; /* 1.m, its leading bit at 63 */
	uint32_t i = (uint32_t)(y >> (63 - LOG_BITS)) & (LOG_STEPS - 1);
	uint64_t rest = (y >> (31 - LOG_BITS)) & 0xffffffff;

	return ((uint64_t)(zeros + 1) << 32) - t->at[i] -
	       (((t->at[i + 1] - t->at[i]) * rest) >> 32);
}

struct candidate { /* takes new flows */
	uint64_t seed;
	uint32_t weight; /* times its share */
	uint16_t index;
};

static uint64_t slot_hash(uint64_t seed, uint32_t slot)
{
	return hash_mix(seed ^ hash_mix((uint64_t)slot + 1));
}

/* @except: not this one, unless there is no other.
 *
 * A larger hash has a smaller logarithm. One that is clearly smaller than the best one's, of a
 * candidate that weighs no more, needs none: so most are passed over without it. "Clearly", since
 * hashes that are next to each other may have the same logarithm here, and then the seeds decide.
 */
static uint16_t highest_ranked(const struct candidate *candidates, uint32_t n, uint32_t slot,
			       uint16_t except, const struct log_table *logs)
{
	uint64_t key = hash_mix((uint64_t)slot + 1), best_log = 0, clearly_less = 0;
	const struct candidate *best = NULL;

	for (uint32_t i = 0; i < n; i++) {
		const struct candidate *c = &candidates[i];
		uint64_t h = hash_mix(c->seed ^ key), log, x, y;

		if ((h < clearly_less && c->weight <= best->weight) ||
		    (c->index == except && n > 1))
			continue;
		log = minus_log2(logs, h);
		x = best ? log * best->weight : 0;
		y = best ? best_log * c->weight : 1;
		if (x < y || (x == y && c->seed < best->seed)) {
			best = c;
			best_log = log;
			clearly_less = h - (h >> 16);
		}
	}
	return best ? best->index : BACKEND_NONE;
}

enum slot_fate { SLOT_KEPT, SLOT_GIVEN, SLOT_LOST };

/* Two independent parts of one hash decide. */
static enum slot_fate slot_fate(const struct maglev_backend *owner, const struct maglev_use *use,
				uint32_t slot)
{
	uint64_t h;

	if (use->share == SHARE_ALL && use->gives == 0)
		return SLOT_KEPT;
	h = slot_hash(owner->seed, slot);
	if (use->share != SHARE_ALL && h >> 48 >= use->share)
		return SLOT_LOST;
	return (h & 0xffff) < use->gives ? SLOT_GIVEN : SLOT_KEPT;
}

/* Who may get slots; shares weigh below 2^26, so that they fit with a logarithm. */
struct candidates {
	struct candidate *all, *claim;
	uint32_t n_all, n_claim;
};

static int candidates_init(const struct maglev_backend *backends, const struct maglev_use *uses,
			   uint32_t n, struct candidates *ret)
{
	*ret = (struct candidates){.all = calloc(2 * (size_t)n + 1, sizeof(*ret->all))};
	if (!ret->all)
		return -ENOMEM;
	ret->claim = ret->all + n;
	for (uint32_t i = 0; i < n; i++) {
		const struct maglev_use *use = &uses[i];
		struct candidate c = {.seed = backends[i].seed,
				      .weight = backends[i].weight * use->share,
				      .index = (uint16_t)i};

		if (c.weight == 0)
			continue;
		ret->all[ret->n_all++] = c;
		c.weight = backends[i].weight * ((uint32_t)use->claims * use->share / SHARE_ALL);
		if (c.weight > 0)
			ret->claim[ret->n_claim++] = c;
	}
	return 0;
}

/* What a repair with other uses of the same backends tells about this one. */
struct again {
	const struct maglev_before *before;
	bool tells;	 /* there was, and is, a choice */
	uint8_t *shrunk; /* of each backend: it counts for less in the rendezvous */
	uint8_t *has_grown;
	struct candidate *grown; /* room for one more */
	uint32_t n_grown;
};

static void again_fini(struct again *again)
{
	free(again->shrunk);
	free(again->has_grown);
	free(again->grown);
}

static int again_init(const struct maglev_backend *backends, const struct maglev_use *uses,
		      uint32_t n, uint32_t n_all, const struct maglev_before *before,
		      struct again *ret)
{
	uint32_t n_before = 0;

	*ret = (struct again){.before = before};
	if (!before)
		return 0;
	ret->shrunk = calloc(n + 1, 1);
	ret->has_grown = calloc(n + 1, 1);
	ret->grown = calloc(n + 1, sizeof(*ret->grown));
	if (!ret->shrunk || !ret->has_grown || !ret->grown) {
		again_fini(ret);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < n; i++) {
		uint32_t was = backends[i].weight * before->uses[i].share;
		uint32_t is = backends[i].weight * uses[i].share;

		n_before += was > 0;
		ret->shrunk[i] = is < was;
		ret->has_grown[i] = is > was;
		if (is > was)
			ret->grown[ret->n_grown++] = (struct candidate){
				.seed = backends[i].seed, .weight = is, .index = (uint16_t)i};
	}
	ret->tells = n_before > 1 && n_all > 1;
	return 0;
}

/* Who had the slot, if it was lost before, and did not shrink, is beaten only by those who grew. */
static bool again_ranked(const struct again *again, const struct maglev_backend *backends,
			 const struct maglev_use *uses, uint32_t slot, uint16_t owner,
			 const struct log_table *logs, uint16_t *ret_owner)
{
	uint16_t had;
	uint32_t n = again->n_grown;

	if (!again->tells ||
	    (owner != BACKEND_NONE &&
	     slot_fate(&backends[owner], &again->before->uses[owner], slot) != SLOT_LOST))
		return false;
	had = again->before->owners[slot];
	if (again->shrunk[had])
		return false;
	if (!again->has_grown[had])
		again->grown[n++] =
			(struct candidate){.seed = backends[had].seed,
					   .weight = backends[had].weight * uses[had].share,
					   .index = had};
	*ret_owner = n > 1 ? highest_ranked(again->grown, n, slot, owner, logs) : had;
	return true;
}

int maglev_repair_again(const struct maglev_backend *backends, const struct maglev_use *uses,
			uint32_t n, uint32_t slots, const uint16_t *base,
			const struct maglev_before *before, uint16_t *ret_owners)
{
	struct log_table *logs = malloc(sizeof(*logs));
	struct candidates c = {0};
	struct again again = {0};

	if (!logs || candidates_init(backends, uses, n, &c) < 0 ||
	    again_init(backends, uses, n, c.n_all, before, &again) < 0) {
		free(c.all);
		free(logs);
		return -ENOMEM;
	}
	log_table_fill(logs);
	for (uint32_t s = 0; s < slots; s++) {
		uint16_t owner = base[s];
		enum slot_fate fate = SLOT_LOST;

		if (owner != BACKEND_NONE)
			fate = slot_fate(&backends[owner], &uses[owner], s);
		if (fate == SLOT_KEPT || (fate == SLOT_GIVEN && c.n_claim == 0))
			ret_owners[s] = owner;
		else if (fate == SLOT_GIVEN)
			ret_owners[s] = highest_ranked(c.claim, c.n_claim, s, owner, logs);
		else if (!again_ranked(&again, backends, uses, s, owner, logs, &ret_owners[s]))
			ret_owners[s] = highest_ranked(c.all, c.n_all, s, owner, logs);
	}
	again_fini(&again);
	free(logs);
	free(c.all);
	return 0;
}

int maglev_repair(const struct maglev_backend *backends, const struct maglev_use *uses, uint32_t n,
		  uint32_t slots, const uint16_t *base, uint16_t *ret_owners)
{
	return maglev_repair_again(backends, uses, n, slots, base, NULL, ret_owners);
}
