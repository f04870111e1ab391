/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_ecmp.c: a plan of many nodes: which share of the connections does an event break?
 *
 * A router spreads the flows over the nodes, each of which has the same tables (lb/maglev.h,
 * lb/table.h: the real ones) and sends each flow to a backend by the rules of doc/architecture.md.
 * Beside it, for the same flows: maglev: nodes that keep nothing, with plain Maglev built anew
 * after each change; resilient: no nodes: the router spreads over the backends, by 65,536 buckets
 * that it keeps; modulo: likewise, by hash % backends.
 *
 * A connection is broken when its packets reach another backend than before. Those whose own
 * backend dies are in "unavoidable", and in every other column as well. "exceptions" is what
 * sluice's nodes remember, and tell each other, after the event and as many new connections as
 * `--fresh` percent of the old ones. Prints a table and asserts nothing; needs no privileges.
 */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/hash.h"
#include "lb/maglev.h"
#include "lb/table.h"

enum {
	SLOTS = SLOTS_DEFAULT,
	BUCKETS = 65536,
	WEIGHT = 100,
	BACKENDS_MOST = 10000,
	NODES_MOST = 64,
	IDLE_TIMEOUT_S = 3600,
};

struct connection {
	uint32_t slot;	 /* at every node */
	uint32_t router; /* the router's own hash */
};

struct setting {
	uint32_t nodes, backends, flows, fresh_percent, rounds;
	bool json;
};

/* The pool: before, and after the event of its backend @which. */
struct pool {
	uint32_t n, which;
	struct maglev_backend backends[BACKENDS_MOST + 1];
	struct maglev_use uses[BACKENDS_MOST + 1];
	uint16_t numbers[BACKENDS_MOST + 1];
	uint8_t alive[BACKEND_MAX + 1];
	uint16_t base[SLOTS], owners[SLOTS], plain_before[SLOTS], plain[SLOTS];
	struct table before, after;
	uint16_t buckets_before[BUCKETS], buckets[BUCKETS];
	uint32_t turns_before, turns; /* modulo: entries in its list */
	uint16_t list_before[2 * BACKENDS_MOST + 2], list[2 * BACKENDS_MOST + 2];
};

enum event { DIES, DRAINED, ADDED, REWEIGHTED, EVENTS };

static const char *const event_names[EVENTS] = {
	[DIES] = "a backend dies",
	[DRAINED] = "a backend is drained",
	[ADDED] = "a backend is added",
	[REWEIGHTED] = "a backend has half of its weight",
};

static void *must(void *p)
{
	if (p)
		return p;
	fprintf(stderr, "bench_ecmp: out of memory\n");
	exit(EXIT_FAILURE);
}

static void good(int r)
{
	must(r < 0 ? NULL : "");
}

/* ---- flows ---- */

static uint64_t random_next(uint64_t *state)
{
	return hash_mix(*state += 0x9e3779b97f4a7c15ULL);
}

static struct connection *flows_new(uint32_t n, uint64_t seed)
{
	struct connection *flows = must(calloc(n, sizeof(*flows)));
	__u64 key[HASH_KEY_WORDS];
	uint64_t state = seed, own = 1;

	for (uint32_t i = 0; i < HASH_KEY_WORDS; i++)
		key[i] = random_next(&own);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t from = random_next(&state); /* address and port of a client */
		uint32_t src = (uint32_t)from, ports = (uint32_t)(from >> 32 & 0xffff) | 25U << 24;

		flows[i].slot = slot_of_hash(flow_hash_v4(key, src, 0x0a4d000aU, ports, 6), SLOTS);
		flows[i].router = (uint32_t)(hash_mix(from + seed) >> 32);
	}
	return flows;
}

/* The kernel's way: each has an equal part of the hash's range. */
static uint32_t node_of(const struct connection *flow, uint32_t nodes)
{
	return (uint32_t)((uint64_t)flow->router * nodes >> 32);
}

/* ---- what is before, and what an event makes of it ---- */

static void list_make(const struct pool *p, uint16_t *list, uint32_t *ret_turns)
{
	*ret_turns = 0;
	for (uint32_t i = 0; i < p->n; i++) {
		uint32_t weight = p->uses[i].share ? p->backends[i].weight : 0;

		for (uint32_t k = 0; k < weight / (WEIGHT / 2); k++)
			list[(*ret_turns)++] = (uint16_t)i;
	}
}

static uint32_t buckets_due(const struct pool *p, uint32_t i)
{
	uint32_t of_i = 0;

	for (uint32_t k = 0; k < p->turns; k++)
		of_i += p->list[k] == i;
	return of_i * BUCKETS / p->turns;
}

/* Only as many buckets change hands as must: those of the one that has too many, or for the new
 * one. */
static void buckets_move(struct pool *p)
{
	uint32_t i = p->which, due = buckets_due(p, i), has = 0, turn = 0;

	memcpy(p->buckets, p->buckets_before, sizeof(p->buckets));
	for (uint32_t b = 0; b < BUCKETS; b++)
		has += p->buckets[b] == i;
	for (uint32_t b = 0; b < BUCKETS && has > due; b++) {
		if (p->buckets[b] != i)
			continue;
		while (p->list[turn % p->turns] == i)
			turn++;
		p->buckets[b] = p->list[turn++ % p->turns];
		has--;
	}
	for (uint32_t b = 0; has < due; b += BUCKETS / due, has++)
		p->buckets[b % BUCKETS] = (uint16_t)i;
}

static void table_make(struct pool *p, const struct table *old, struct table *ret)
{
	const struct table_wish wish = {.n = SLOTS,
					.owners = p->owners,
					.numbers = p->numbers,
					.alive = p->alive,
					.idle_timeout_s = IDLE_TIMEOUT_S,
					.now_s = 1000,
					.unserved = old->n == 0};
	struct table_change change;

	good(maglev_build(p->backends, p->n, SLOTS, p->base));
	good(maglev_repair(p->backends, p->uses, p->n, SLOTS, p->base, p->owners));
	good(table_next(old, &wish, ret, &change));
}

static struct pool *pool_new(uint32_t n, uint32_t which)
{
	struct pool *p = must(calloc(1, sizeof(*p)));
	const struct table none = {0};
	char name[32];

	p->n = n;
	p->which = which;
	for (uint32_t i = 0; i <= n; i++) {
		snprintf(name, sizeof(name), "mx%u", i == n ? n + which : i);
		p->backends[i] = (struct maglev_backend){maglev_seed("mx", name), WEIGHT, false};
		p->uses[i].share = SHARE_ALL;
		p->numbers[i] = (uint16_t)i;
		p->alive[i] = 1;
	}
	table_make(p, &none, &p->before);
	memcpy(p->plain_before, p->base, sizeof(p->base));
	list_make(p, p->list_before, &p->turns_before);
	for (uint32_t b = 0; b < BUCKETS; b++)
		p->buckets_before[b] = p->list_before[b % p->turns_before];
	return p;
}

static void pool_free(struct pool *p)
{
	table_fini(&p->before);
	table_fini(&p->after);
	free(p);
}

static void event_do(struct pool *p, enum event event)
{
	uint32_t weight;

	if (event == ADDED)
		p->which = p->n++;
	else if (event == REWEIGHTED)
		p->backends[p->which].weight = WEIGHT / 2;
	else
		p->uses[p->which].share = 0;
	p->alive[p->which] = event != DIES;
	table_make(p, &p->before, &p->after);
	weight = p->backends[p->which].weight;
	if (p->uses[p->which].share == 0)
		p->backends[p->which].weight = 0;
	good(maglev_build(p->backends, p->n, SLOTS, p->plain));
	p->backends[p->which].weight = weight;
	list_make(p, p->list, &p->turns);
	buckets_move(p);
}

/* ---- where packets go ---- */

/* The data plane's rule for a packet that is no SYN. @known: where the node knows the flow to live
 */
static uint16_t way_of(const struct pool *p, const struct connection *flow, uint16_t known)
{
	const struct slot *slot = &p->after.slots[flow->slot];

	if (!(slot->owner & SLOT_TRANSITION))
		return slot->owner;
	if (known != BACKEND_NONE && p->alive[known])
		return known;
	if (slot->previous != BACKEND_NONE && p->alive[slot->previous])
		return slot->previous;
	return slot->owner & SLOT_BACKEND;
}

struct outcome { /* shares, in percent; NAN = does not apply */
	double unavoidable, sluice, maglev, resilient, modulo, exceptions;
};

static void shares_add(struct outcome *sum, const struct outcome *one, double rounds)
{
	sum->unavoidable += one->unavoidable / rounds;
	sum->sluice += one->sluice / rounds;
	sum->maglev += one->maglev / rounds;
	sum->resilient += one->resilient / rounds;
	sum->modulo += one->modulo / rounds;
	sum->exceptions += one->exceptions / rounds;
}

static struct outcome event_count(const struct pool *p, const struct connection *flows, uint32_t n,
				  const struct connection *fresh, uint32_t n_fresh)
{
	struct outcome o = {0};

	for (uint32_t i = 0; i < n; i++) {
		const struct connection *f = &flows[i];
		uint16_t lives = p->before.slots[f->slot].owner;
		uint32_t bucket = f->router % BUCKETS;

		o.unavoidable += !p->alive[lives];
		o.sluice += way_of(p, f, BACKEND_NONE) != lives;
		o.maglev += p->plain_before[f->slot] != p->plain[f->slot];
		o.resilient += p->buckets_before[bucket] != p->buckets[bucket];
		o.modulo += p->list_before[f->router % p->turns_before] !=
			    p->list[f->router % p->turns];
	}
	for (uint32_t i = 0; i < n_fresh; i++)
		o.exceptions += (p->after.slots[fresh[i].slot].owner & SLOT_TRANSITION) != 0;
	return o;
}

/* A node dies or is added while the slots are in transition: who was opened since the event lives
 * at the new owner, which only those know that saw it, or were told.
 */
static struct outcome node_count(const struct pool *p, const struct connection *fresh,
				 uint32_t n_fresh, uint32_t nodes, uint32_t nodes_after, bool told)
{
	struct outcome o = {.unavoidable = NAN, .resilient = NAN, .modulo = NAN};

	for (uint32_t i = 0; i < n_fresh; i++) {
		const struct connection *f = &fresh[i];
		uint16_t lives = p->after.slots[f->slot].owner & SLOT_BACKEND;
		bool knows = told || node_of(f, nodes) == node_of(f, nodes_after);

		o.sluice += way_of(p, f, knows ? lives : (uint16_t)BACKEND_NONE) != lives;
		o.exceptions += (p->after.slots[f->slot].owner & SLOT_TRANSITION) != 0;
	}
	return o;
}

/* ---- all of it ---- */

static void cell(const struct setting *s, const char *name, double value)
{
	if (s->json && isnan(value))
		printf(",\"%s\":null", name);
	else if (s->json)
		printf(",\"%s\":%.4f", name, value);
	else if (isnan(value))
		printf(" %12s", "-");
	else
		printf(" %12.4f", value);
}

static void row(const struct setting *s, const char *event, const struct outcome *o)
{
	static bool later;

	if (s->json)
		printf("%s{\"event\":\"%s\"", later ? ",\n" : "[", event);
	else
		printf("%-58s", event);
	cell(s, "unavoidable", o->unavoidable * 100 / s->flows);
	cell(s, "sluice", o->sluice * 100 / s->flows);
	cell(s, "maglev", o->maglev * 100 / s->flows);
	cell(s, "resilient", o->resilient * 100 / s->flows);
	cell(s, "modulo", o->modulo * 100 / s->flows);
	cell(s, "exceptions", o->exceptions * 100 / s->flows);
	printf(s->json ? "}" : "\n");
	later = true;
}

/* While nothing is in transition: every flow whose node changes is sent by a table that another
 * node has made.
 */
static void quiet_count(const struct setting *s, const struct connection *flows)
{
	struct outcome o = {.unavoidable = NAN, .resilient = NAN, .modulo = NAN};
	struct pool *here = pool_new(s->backends, 0), *there = pool_new(s->backends, 0);

	for (uint32_t i = 0; i < s->flows; i++) {
		const struct connection *f = &flows[i];

		if (node_of(f, s->nodes) == node_of(f, s->nodes - 1))
			continue;
		o.sluice += here->before.slots[f->slot].owner != there->before.slots[f->slot].owner;
		o.maglev += here->plain_before[f->slot] != there->plain_before[f->slot];
	}
	row(s, "a node dies, or is added", &o);
	pool_free(here);
	pool_free(there);
}

static void simulate(const struct setting *s)
{
	uint32_t n_fresh = (uint32_t)((uint64_t)s->flows * s->fresh_percent / 100);
	struct connection *flows = flows_new(s->flows, 1), *fresh = flows_new(n_fresh + 1, 2);
	struct outcome sums[EVENTS] = {0}, dies[2] = {0}, joins[2] = {0};

	for (uint32_t round = 0; round < s->rounds; round++) {
		uint32_t which = (uint32_t)((uint64_t)round * s->backends / s->rounds);

		for (int event = 0; event < EVENTS; event++) {
			struct pool *p = pool_new(s->backends, which);
			struct outcome o;

			event_do(p, (enum event)event);
			o = event_count(p, flows, s->flows, fresh, n_fresh);
			shares_add(&sums[event], &o, s->rounds);
			for (int told = 0; told < 2 && event == DRAINED; told++) {
				o = node_count(p, fresh, n_fresh, s->nodes, s->nodes - 1, told);
				shares_add(&dies[told], &o, s->rounds);
				o = node_count(p, fresh, n_fresh, s->nodes, s->nodes + 1, told);
				shares_add(&joins[told], &o, s->rounds);
			}
			pool_free(p);
		}
	}
	for (int event = 0; event < EVENTS; event++)
		row(s, event_names[event], &sums[event]);
	quiet_count(s, flows);
	row(s, "a node dies during a drain, exceptions synchronised", &dies[1]);
	row(s, "a node dies during a drain, exceptions not known", &dies[0]);
	row(s, "a node is added during a drain, exceptions synchronised", &joins[1]);
	row(s, "a node is added during a drain, exceptions not known", &joins[0]);
	free(flows);
	free(fresh);
}

static bool settings_parse(int argc, char **argv, struct setting *s)
{
	static const struct option names[] = {{"nodes", required_argument, NULL, 'n'},
					      {"backends", required_argument, NULL, 'b'},
					      {"flows", required_argument, NULL, 'f'},
					      {"fresh", required_argument, NULL, 'p'},
					      {"rounds", required_argument, NULL, 'r'},
					      {"json", no_argument, NULL, 'j'},
					      {0}};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		uint32_t n = optarg ? (uint32_t)strtoul(optarg, NULL, 10) : 0;

		switch (c) {
		case 'n':
			s->nodes = n;
			break;
		case 'b':
			s->backends = n;
			break;
		case 'f':
			s->flows = n;
			break;
		case 'p':
			s->fresh_percent = n;
			break;
		case 'r':
			s->rounds = n;
			break;
		case 'j':
			s->json = true;
			break;
		default:
			return false;
		}
	}
	return s->nodes >= 2 && s->nodes <= NODES_MOST && s->backends >= 2 &&
	       s->backends <= BACKENDS_MOST && s->flows && s->fresh_percent <= 100 && s->rounds;
}

int main(int argc, char **argv)
{
	struct setting s = {
		.nodes = 16, .backends = 1000, .flows = 10000000, .fresh_percent = 10, .rounds = 5};

	if (!settings_parse(argc, argv, &s)) {
		fprintf(stderr,
			"usage: bench_ecmp [--nodes N] [--backends N] [--flows N] [--fresh PERCENT] [--rounds N] [--json]\n");
		return 2;
	}
	if (!s.json)
		printf("connections that break, in percent of %u; %u nodes, %u backends; means of %u\n%-58s %12s %12s %12s %12s %12s %12s\n",
		       s.flows, s.nodes, s.backends, s.rounds, "", "unavoidable", "sluice",
		       "maglev", "resilient", "modulo", "exceptions");
	simulate(&s);
	if (s.json)
		printf("]\n");
	return EXIT_SUCCESS;
}
