/* SPDX-License-Identifier: BSD-2-Clause */
/* test_words.c: two nodes, one with the traffic, through drains, added backends and weight changes,
 * with words between them that are late or lost with their session: whoever gets the traffic, each
 * flow goes on where it lives. The tables and words are the real ones; the program is a model of
 * flow_pick(), for TCP.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lb/words.h"
#include "sync/packet.h"

enum { SLOTS = 251, BACKENDS = 6, FLOWS = 600, IDLE_S = 100, ROUNDS = 300, RECORDS = 256 };
enum { KEY_PRINT = 77, ANYWHERE = BACKEND_NONE };

/* ---- one node ---- */

struct node {
	struct table table;
	uint16_t known[FLOWS]; /* `flows`: the backend; BACKEND_NONE = not there */
	bool has[BACKENDS];    /* as it has heard of drains: who takes new ones */
	uint64_t keys[BACKEND_NONE + 1];
	uint16_t numbers[BACKENDS]; /* each node gives its own */
	struct words said, coming;
	bool traffic, swept;
	uint8_t foreign[SLOTS / 8 + 1];
	uint32_t swept_s;
};

struct record {
	uint8_t bytes[SYNC_RECORD_MOST];
	size_t n;
};

struct world {
	struct node nodes[2];
	uint16_t lives[FLOWS]; /* backend (not its number); ANYWHERE = it does not live */
	uint32_t slot[FLOWS];
	uint32_t now_s;
	struct record *records; /* on their way */
	uint32_t n_records;
	uint16_t told[FLOWS]; /* FLOWs on their way */
	unsigned seed;
};

static uint32_t chance(struct world *w, uint32_t n)
{
	w->seed = w->seed * 1103515245 + 12345;
	return (w->seed >> 8) % n;
}

static void node_init(struct node *n, uint16_t first)
{
	for (uint16_t b = 0; b < BACKENDS; b++) {
		uint8_t addr[16] = {(uint8_t)b};

		n->numbers[b] = (uint16_t)(first + b * 3 % 7);
		n->keys[n->numbers[b]] = word_key("pool", "mx", addr);
		n->has[b] = b < 4;
	}
	memset(n->known, 0xff, sizeof(n->known));
	for (uint32_t f = 0; f < FLOWS; f++)
		n->known[f] = BACKEND_NONE;
}

/* The same on each node: who of those that take new ones owns a slot. */
static uint16_t owner_of(const struct node *n, uint32_t slot)
{
	uint32_t best = 0;
	uint16_t owner = BACKEND_NONE;

	for (uint16_t b = 0; b < BACKENDS; b++) {
		uint32_t rank = (slot * 2654435761U ^ b * 0x9e3779b9U) * 2246822519U >> 8;

		if (n->has[b] && (owner == BACKEND_NONE || rank > best)) {
			best = rank;
			owner = b;
		}
	}
	return owner;
}

static void node_plan(struct node *n, uint32_t now_s)
{
	uint16_t owners[SLOTS], numbers[SLOTS], *words = NULL;
	uint8_t alive[BACKEND_NONE + 1];
	struct table_wish wish = {.n = SLOTS,
				  .owners = owners,
				  .numbers = n->numbers,
				  .alive = alive,
				  .idle_timeout_s = IDLE_S,
				  .now_s = now_s,
				  .foreign = n->swept ? n->foreign : NULL,
				  .swept_s = n->swept_s};
	struct table_change change;
	struct table next;

	memset(alive, 1, sizeof(alive));
	for (uint32_t i = 0; i < SLOTS; i++) {
		owners[i] = owner_of(n, i);
		numbers[i] = n->numbers[owners[i]];
	}
	if (!n->traffic && n->said.at &&
	    words_digest(numbers, SLOTS, n->keys, KEY_PRINT) == n->said.digest)
		assert_int_equal(words_previous(&n->said, n->keys, &words), 0);
	wish.words = words;
	assert_int_equal(table_next(&n->table, &wish, &next, &change), 0);
	table_fini(&n->table);
	n->table = next;
	free(words);
}

/* Where the program sends a packet that is no SYN. */
static uint16_t sends(const struct node *n, uint32_t flow, uint32_t slot)
{
	const struct slot *s = &n->table.slots[slot];

	if (!(s->owner & SLOT_TRANSITION))
		return s->owner;
	if (n->known[flow] != BACKEND_NONE)
		return n->known[flow];
	return s->previous == BACKEND_NONE ? s->owner & SLOT_BACKEND : s->previous;
}

static uint16_t backend_of(const struct node *n, uint16_t number)
{
	for (uint16_t b = 0; b < BACKENDS; b++) {
		if (n->numbers[b] == number)
			return b;
	}
	return BACKEND_NONE;
}

/* ---- between them ---- */

static int emit(void *owner, const uint8_t *bytes, size_t n)
{
	struct world *w = owner;

	assert_true(w->n_records < RECORDS && n <= SYNC_RECORD_MOST);
	memcpy(w->records[w->n_records].bytes, bytes, n);
	w->records[w->n_records++].n = n;
	return 0;
}

static void say(struct world *w, const struct node *from)
{
	size_t most = chance(w, 2) ? SYNC_RECORD_MOST : 40; /* in one record, or in many */

	w->n_records = 0; /* what is still on its way is late, and says less */
	assert_int_equal(words_say(&from->table, from->keys, word_pool_key("pool"),
				   words_digest_table(&from->table, from->keys, KEY_PRINT), most,
				   emit, w),
			 0);
}

static void hear(struct world *w, struct node *to)
{
	for (uint32_t i = 0; i < w->n_records; i++) {
		int r;

		assert_true(words_pool(w->records[i].bytes, w->records[i].n) ==
			    word_pool_key("pool"));
		r = words_hear(&to->coming, SLOTS, w->records[i].bytes, w->records[i].n);
		assert_int_equal(r, i + 1 == w->n_records);
		if (r != 1)
			continue;
		words_fini(&to->said);
		to->said = to->coming;
		to->coming = (struct words){0};
	}
	w->n_records = 0;
	for (uint32_t f = 0; f < FLOWS; f++) {
		if (w->told[f] != BACKEND_NONE)
			to->known[f] = to->numbers[w->told[f]];
		w->told[f] = BACKEND_NONE;
	}
}

/* ---- traffic ---- */

static void flow_open(struct world *w, struct node *n, uint32_t f)
{
	const struct slot *s = &n->table.slots[w->slot[f]];
	uint16_t owner = s->owner & SLOT_BACKEND;

	w->lives[f] = backend_of(n, owner);
	n->known[f] = owner;
	if (s->owner & SLOT_TRANSITION && owner != s->previous)
		w->told[f] = w->lives[f];
}

static void flow_end(struct world *w, uint32_t f)
{
	w->lives[f] = ANYWHERE;
	w->told[f] = BACKEND_NONE;
	for (int i = 0; i < 2; i++)
		w->nodes[i].known[f] = BACKEND_NONE;
}

/* The sweep: each flow had a packet since the last one. */
static void sweep(struct world *w, struct node *n)
{
	memset(n->foreign, 0, sizeof(n->foreign));
	n->swept = true;
	n->swept_s = w->now_s;
	for (uint32_t f = 0; f < FLOWS; f++) {
		if (w->lives[f] == ANYWHERE)
			continue;
		if (n->traffic)
			n->known[f] = n->numbers[w->lives[f]];
		if (n->known[f] != BACKEND_NONE &&
		    n->known[f] != (n->table.slots[w->slot[f]].owner & SLOT_BACKEND))
			n->foreign[w->slot[f] / 8] |= (uint8_t)(1U << w->slot[f] % 8);
	}
}

static void assert_alive(const struct world *w, const struct node *n, uint32_t round)
{
	for (uint32_t f = 0; f < FLOWS; f++) {
		uint16_t to;

		if (w->lives[f] == ANYWHERE)
			continue;
		to = backend_of(n, sends(n, f, w->slot[f]));
		if (to != w->lives[f])
			fail_msg("round %u: flow %u lives at %u, goes to %u", round, f, w->lives[f],
				 to);
	}
}

static void assert_same_slots(const struct node *a, const struct node *b)
{
	for (uint32_t i = 0; i < SLOTS; i++) {
		const struct slot *x = &a->table.slots[i], *y = &b->table.slots[i];

		assert_int_equal(backend_of(a, x->owner & SLOT_BACKEND),
				 backend_of(b, y->owner & SLOT_BACKEND));
		assert_int_equal(x->owner & SLOT_TRANSITION, y->owner & SLOT_TRANSITION);
		assert_int_equal(backend_of(a, x->previous), backend_of(b, y->previous));
	}
}

/* ---- the story ---- */

static void world_init(struct world *w, unsigned seed)
{
	memset(w, 0, sizeof(*w));
	w->seed = seed;
	w->now_s = 1000;
	w->records = calloc(RECORDS, sizeof(*w->records));
	assert_non_null(w->records);
	for (uint32_t f = 0; f < FLOWS; f++) {
		w->slot[f] = chance(w, SLOTS);
		w->lives[f] = ANYWHERE;
		w->told[f] = BACKEND_NONE;
	}
	node_init(&w->nodes[0], 0);
	node_init(&w->nodes[1], 100);
	w->nodes[0].traffic = true;
	for (int i = 0; i < 2; i++)
		node_plan(&w->nodes[i], w->now_s);
}

static void world_fini(struct world *w)
{
	for (int i = 0; i < 2; i++) {
		table_fini(&w->nodes[i].table);
		words_fini(&w->nodes[i].said);
		words_fini(&w->nodes[i].coming);
	}
	free(w->records);
}

static void change(struct world *w)
{
	uint32_t b = chance(w, BACKENDS);
	bool has = !w->nodes[0].has[b];

	for (int i = 0; i < 2; i++) {
		w->nodes[i].has[b] = has;
		if (owner_of(&w->nodes[i], 0) == BACKEND_NONE)
			w->nodes[i].has[b] = true;
	}
}

/* What the nodes do until each knows what the other does. @late: the backup's plan comes first */
static void settle_down(struct world *w, struct node *active, struct node *backup, bool late)
{
	if (late)
		node_plan(backup, w->now_s);
	node_plan(active, w->now_s);
	say(w, active);
	hear(w, backup);
	node_plan(backup, w->now_s);
}

static void traffic(struct world *w, struct node *n)
{
	for (int i = 0; i < 20; i++) {
		uint32_t f = chance(w, FLOWS);

		if (w->lives[f] == ANYWHERE)
			flow_open(w, n, f);
		else if (chance(w, 4) == 0)
			flow_end(w, f);
	}
}

static void test_flows_survive_whoever_gets_the_traffic(void **state)
{
	static struct world w;

	(void)state;
	for (unsigned seed = 1; seed <= 20; seed++) {
		int active = 0;

		world_init(&w, seed);
		for (uint32_t round = 0; round < ROUNDS; round++) {
			struct node *a = &w.nodes[active], *b = &w.nodes[!active];

			w.now_s += 1 + chance(&w, 40);
			if (chance(&w, 3) == 0)
				change(&w);
			/* messages that are late: the traffic goes on before the other hears */
			node_plan(a, w.now_s);
			traffic(&w, a);
			if (chance(&w, 2))
				node_plan(b, w.now_s);
			sweep(&w, a);
			sweep(&w, b);
			settle_down(&w, a, b, chance(&w, 2));
			assert_same_slots(a, b);
			assert_alive(&w, a, round);
			assert_alive(&w, b, round);
			if (chance(&w, 5) == 0) {
				a->traffic = false;
				b->traffic = true;
				active = !active;
				words_fini(&a->said);
			}
		}
		world_fini(&w);
	}
}

/* The other one was away: it saw none of the changes, and may have settled what has not. */
static void test_node_that_comes_back_is_told_every_slot(void **state)
{
	static struct world w;

	(void)state;
	for (unsigned seed = 1; seed <= 20; seed++) {
		struct node *a = &w.nodes[0], *b = &w.nodes[1];

		world_init(&w, seed);
		for (uint32_t round = 0; round < 40; round++) {
			w.now_s += 5;
			if (round % 8 == 0)
				change(&w);
			node_plan(a, w.now_s);
			traffic(&w, a);
			sweep(&w, a);
		}
		table_fini(&b->table); /* a cold start */
		for (uint32_t f = 0; f < FLOWS; f++)
			b->known[f] = BACKEND_NONE;
		node_plan(b, w.now_s);
		for (uint32_t f = 0; f < FLOWS; f++) {
			const struct slot *s = &a->table.slots[w.slot[f]];

			if (w.lives[f] != ANYWHERE && s->owner & SLOT_TRANSITION &&
			    s->previous != a->numbers[w.lives[f]])
				w.told[f] = w.lives[f];
		}
		settle_down(&w, a, b, false);
		assert_same_slots(a, b);
		assert_alive(&w, b, 0);
		world_fini(&w);
	}
}

/* A word about other owners than ours waits until they are the same. */
static void test_word_about_other_owners_counts_for_nothing(void **state)
{
	static struct world w;
	struct node *a = &w.nodes[0], *b = &w.nodes[1];

	(void)state;
	world_init(&w, 7);
	a->has[1] = false;
	node_plan(a, w.now_s);
	say(&w, a);
	hear(&w, b);
	node_plan(b, w.now_s);
	assert_int_equal(b->table.n_transition, 0);
	b->has[1] = false;
	node_plan(b, w.now_s);
	assert_int_equal(b->table.n_transition, a->table.n_transition);
	assert_true(a->table.n_transition > 0);
	assert_same_slots(a, b);
	world_fini(&w);
}

/* While its partner says so a slot stays in transition, however long that lasts; alone, it counts
 * the time from the last word.
 */
static void test_slot_by_word_settles_by_its_own_time_once_the_partner_is_gone(void **state)
{
	static struct world w;
	struct node *a = &w.nodes[0], *b = &w.nodes[1];

	(void)state;
	world_init(&w, 9);
	a->has[1] = b->has[1] = false;
	settle_down(&w, a, b, true);
	w.now_s += 10 * IDLE_S;
	sweep(&w, b);
	node_plan(b, w.now_s);
	assert_int_equal(b->table.n_transition, a->table.n_transition);
	words_fini(&b->said);
	w.now_s += IDLE_S - 1;
	sweep(&w, b);
	node_plan(b, w.now_s);
	assert_int_equal(b->table.n_transition, a->table.n_transition);
	w.now_s += 1;
	sweep(&w, b);
	node_plan(b, w.now_s);
	assert_int_equal(b->table.n_transition, 0);
	world_fini(&w);
}

/* As many backends as a pool may have, each of which had slots; some have two numbers. */
static void test_thousands_of_previous_owners_are_found(void **state)
{
	enum { MANY = 10000, OWNERS_SLOTS = 20011 };
	static uint64_t keys[BACKEND_NONE + 1];
	struct words w = {.n = OWNERS_SLOTS, .n_keys = MANY};
	uint16_t *previous = NULL;

	(void)state;
	w.keys = calloc(MANY, sizeof(*w.keys));
	w.at = calloc(OWNERS_SLOTS, sizeof(*w.at));
	for (uint32_t i = 0; i < MANY; i++)
		w.keys[i] = i % 100 == 7 ? 0 : i * 0x9e3779b97f4a7c15ULL;
	for (uint32_t i = 0; i < MANY; i++) {
		if (i % 3 > 0)
			keys[i] = i * 0x9e3779b97f4a7c15ULL; /* of each third we have none */
		if (i % 3 == 1)
			keys[20000 + i] = keys[i]; /* retired before, here again */
	}
	for (uint32_t i = 0; i < OWNERS_SLOTS; i++)
		w.at[i] = i < MANY ? (uint16_t)i : (uint16_t)WORD_SETTLED;
	assert_int_equal(words_previous(&w, keys, &previous), 0);
	for (uint32_t i = 0; i < MANY; i++) {
		uint32_t wanted = i % 3 == 1 ? 20000 + i : i;

		if (i % 3 == 0 || i % 100 == 7)
			wanted = BACKEND_NONE;
		assert_int_equal(previous[i], wanted);
	}
	assert_int_equal(previous[MANY], WORD_SETTLED);
	free(previous);
	words_fini(&w);
}

static void test_what_no_node_says_is_refused(void **state)
{
	struct {
		size_t n;
		uint8_t flags;
		uint8_t slots[6];
	} const rows[] = {
		{24, WORDS_FIRST, {0}},					/* no flags */
		{25, 0, {0}},						/* not begun */
		{26, WORDS_FIRST, {(SLOTS & 0x7f) | 0x80}},		/* half a number */
		{27, WORDS_FIRST, {(SLOTS & 0x7f) | 0x80, SLOTS >> 7}}, /* there is no such slot */
		{28, WORDS_FIRST, {0xfa, 0x01, 0}},			/* one behind the last */
		{30, WORDS_FIRST, {0xff, 0xff, 0xff, 0xff, 0x0f}},	/* beyond any */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t bytes[64] = {0};
		struct words w = {0};

		bytes[24] = rows[i].flags;
		memcpy(bytes + WORDS_HEADER, rows[i].slots, sizeof(rows[i].slots));
		if (words_hear(&w, SLOTS, bytes, rows[i].n) != -EPROTO)
			fail_msg("row %zu", i);
		assert_null(w.at);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flows_survive_whoever_gets_the_traffic),
		cmocka_unit_test(test_node_that_comes_back_is_told_every_slot),
		cmocka_unit_test(test_word_about_other_owners_counts_for_nothing),
		cmocka_unit_test(
			test_slot_by_word_settles_by_its_own_time_once_the_partner_is_gone),
		cmocka_unit_test(test_thousands_of_previous_owners_are_found),
		cmocka_unit_test(test_what_no_node_says_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
