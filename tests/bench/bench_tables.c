/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_tables.c: what a change of a pool moves, what a table takes to make, what memory it needs.
 *
 * moved: slots whose owner changes when a backend fails or is added, beside plain Maglev built
 * again; "beyond" is what moved without need: more than the slots of the one that failed, or than
 * those that the new one got. time: what lb/ does from a probe's result to the packets' new way, a
 * step at a time, with its own functions and the kernel's maps. memory: of each map, by the
 * kernel's own account. Prints one table each and asserts nothing. Needs root for the maps, which
 * are in a mount namespace of its own.
 */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/log.h"
#include "lb/maglev.h"
#include "lb/plane.h"

enum {
	SLOTS = SLOTS_DEFAULT,
	MOST = 10001, /* backends: 10,000 and the one that is added */
	ROUNDS_MOST = 101,
	WEIGHT = 100,
	FLOW_LIMIT = 1 << 20,
	IDLE_TIMEOUT_S = 3600,
};

static const uint32_t sizes[] = {10, 1000, 10000};
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };

struct setting {
	uint32_t rounds;
	bool json;
};

/* A pool and its tables: as it was, repaired, and plain Maglev. */
struct pool {
	struct maglev_backend backends[MOST];
	struct maglev_use uses[MOST];
	uint32_t n;
	uint16_t base[SLOTS], after[SLOTS], plain[SLOTS];
};

static int must(int r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "bench_tables: %s: %s\n", what, strerror(-r));
		exit(EXIT_FAILURE);
	}
	return r;
}

static struct pool *pool_new(void)
{
	struct pool *p = calloc(1, sizeof(*p));
	char name[32];

	must(p ? 0 : -ENOMEM, "pool");
	for (uint32_t i = 0; i < MOST; i++) {
		snprintf(name, sizeof(name), "mx%u", i + 1);
		p->backends[i] = (struct maglev_backend){maglev_seed("mx", name), WEIGHT, false};
		p->uses[i].share = SHARE_ALL;
	}
	return p;
}

static void build(struct pool *p, uint16_t *ret_owners)
{
	must(maglev_build(p->backends, p->n, SLOTS, ret_owners), "build");
}

static void repair(struct pool *p)
{
	must(maglev_repair(p->backends, p->uses, p->n, SLOTS, p->base, p->after), "repair");
}

/* ---- moved ---- */

/* Sums over the rounds, in slots. */
struct moved {
	uint64_t needed, sluice, plain;
	uint32_t fullest; /* slots of a backend that has most of them after the change */
};

static uint32_t differing(const uint16_t *a, const uint16_t *b)
{
	uint32_t n = 0;

	for (uint32_t s = 0; s < SLOTS; s++)
		n += a[s] != b[s];
	return n;
}

static uint32_t slots_of(const uint16_t *owners, uint32_t backend)
{
	uint32_t n = 0;

	for (uint32_t s = 0; s < SLOTS; s++)
		n += owners[s] == backend;
	return n;
}

static uint32_t fullest(const uint16_t *owners)
{
	static uint32_t owned[MOST];
	uint32_t most = 0;

	memset(owned, 0, sizeof(owned));
	for (uint32_t s = 0; s < SLOTS; s++) {
		if (++owned[owners[s]] > most)
			most = owned[owners[s]];
	}
	return most;
}

/* One after the other, spread over the pool. */
static uint32_t victim_of(const struct pool *p, uint32_t round, uint32_t rounds)
{
	return (uint32_t)((uint64_t)round * p->n / rounds) % p->n;
}

static void fail_one(struct pool *p, uint32_t victim, struct moved *m)
{
	p->uses[victim].share = 0;
	repair(p);
	p->uses[victim].share = SHARE_ALL;
	p->backends[victim].weight = 0;
	build(p, p->plain);
	p->backends[victim].weight = WEIGHT;
	m->needed += slots_of(p->base, victim);
	m->sluice += differing(p->base, p->after);
	m->plain += differing(p->base, p->plain);
	if (fullest(p->after) > m->fullest)
		m->fullest = fullest(p->after);
}

/* Another name each round; the configuration changes, so that this is Maglev built again. */
static void add_one(struct pool *p, uint32_t round, struct moved *m)
{
	char name[32];

	snprintf(name, sizeof(name), "new%u", round);
	p->backends[p->n].seed = maglev_seed("mx", name);
	p->n++;
	build(p, p->after);
	p->n--;
	m->needed += slots_of(p->after, p->n);
	m->sluice += differing(p->base, p->after);
	m->plain += differing(p->base, p->after);
	if (fullest(p->after) > m->fullest)
		m->fullest = fullest(p->after);
}

/* @backends: before the change; @left: who share the slots after it */
static void moved_print(const struct setting *s, const char *what, uint32_t backends, uint32_t left,
			const struct moved *m, bool first)
{
	double all = (double)s->rounds * SLOTS / 100, mean = (double)SLOTS / left;
	double needed = (double)m->needed / all, sluice = (double)m->sluice / all,
	       plain = (double)m->plain / all;

	if (s->json)
		printf("%s{\"backends\":%u,\"change\":\"%s\",\"needed_percent\":%.3f,"
		       "\"moved_percent\":%.3f,\"beyond_percent\":%.3f,\"maglev_percent\":%.3f,"
		       "\"maglev_beyond_percent\":%.3f,\"fullest_to_mean\":%.2f}",
		       first ? "" : ",\n", backends, what, needed, sluice, sluice - needed, plain,
		       plain - needed, m->fullest / mean);
	else
		printf("%8u  %-14s %8.3f %8.3f %8.3f %10.3f %8.3f %10.2f\n", backends, what, needed,
		       sluice, sluice - needed, plain, plain - needed, m->fullest / mean);
}

static void moved_measure(struct pool *p, const struct setting *s)
{
	if (!s->json)
		printf("slots that change their owner, in percent of %u; means of %u changes\n"
		       "%8s  %-14s %8s %8s %8s %10s %8s %10s\n",
		       SLOTS, s->rounds, "backends", "one of them", "needed", "moved", "beyond",
		       "maglev", "beyond", "most/mean");
	for (int i = 0; i < SIZES; i++) {
		struct moved failed = {0}, added = {0};

		p->n = sizes[i];
		build(p, p->base);
		for (uint32_t round = 0; round < s->rounds; round++) {
			fail_one(p, victim_of(p, round, s->rounds), &failed);
			add_one(p, round, &added);
		}
		moved_print(s, "fails", p->n, p->n - 1, &failed, i == 0);
		moved_print(s, "is added", p->n, p->n + 1, &added, false);
	}
}

/* ---- time ---- */

enum stage { BUILD, REPAIR, TRANSITION, WRITE, SWAP, STAGES };

static const char *const stage_names[STAGES] = {
	[BUILD] = "build, from scratch",
	[REPAIR] = "repair, one failed",
	[TRANSITION] = "transition (previous owners)",
	[WRITE] = "create and write the inner map",
	[SWAP] = "swap (waits for RCU)",
};

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* What plane_pool_set() does with a table, in its two parts. Packets go by the new one as soon as
 * the swap has stored it, long before the call is back.
 */
static void place(const struct plane *plane, const struct table *table, double ret_us[STAGES])
{
	uint32_t pool = 0;
	double start = now_us();
	int fd;

	must(plane_table_new(table, &fd), "inner map");
	ret_us[WRITE] = now_us() - start;
	start = now_us();
	must(bpf_map_update_elem(plane->maps[MAP_TABLES], &pool, &fd, BPF_ANY), "swap");
	ret_us[SWAP] = now_us() - start;
	close(fd);
}

static void time_round(struct pool *p, struct plane *plane, uint32_t victim,
		       const struct table *settled, double ret_us[STAGES])
{
	static uint16_t numbers[MOST];
	static uint8_t alive[BACKEND_MAX + 1];
	const struct table_wish wish = {.n = SLOTS,
					.owners = p->after,
					.numbers = numbers,
					.alive = alive,
					.idle_timeout_s = IDLE_TIMEOUT_S,
					.now_s = 1000};
	struct table_change change;
	struct table after;
	double start = now_us();

	build(p, p->plain);
	ret_us[BUILD] = now_us() - start;
	for (uint32_t i = 0; i < p->n; i++) {
		numbers[i] = (uint16_t)i;
		alive[i] = i != victim;
	}
	p->uses[victim].share = 0;
	start = now_us();
	repair(p);
	ret_us[REPAIR] = now_us() - start;
	p->uses[victim].share = SHARE_ALL;

	start = now_us();
	must(table_next(settled, &wish, &after, &change), "transition");
	ret_us[TRANSITION] = now_us() - start;
	place(plane, &after, ret_us);
	table_fini(&after);
}

static void time_size(struct pool *p, struct plane *plane, const struct setting *s, bool first)
{
	static double us[STAGES][ROUNDS_MOST];
	struct table none = {0}, settled;
	struct table_change change;
	uint16_t numbers[MOST];
	const struct table_wish wish = {
		.n = SLOTS, .owners = p->base, .numbers = numbers, .unserved = true};

	for (uint32_t i = 0; i < MOST; i++)
		numbers[i] = (uint16_t)i;
	build(p, p->base);
	must(table_next(&none, &wish, &settled, &change), "table");
	for (uint32_t round = 0; round < s->rounds; round++) {
		double of[STAGES];

		time_round(p, plane, victim_of(p, round, s->rounds), &settled, of);
		for (int k = 0; k < STAGES; k++)
			us[k][round] = of[k];
	}
	table_fini(&settled);
	for (int k = 0; k < STAGES; k++) {
		double median, least, most;

		qsort(us[k], s->rounds, sizeof(double), compare);
		median = us[k][s->rounds / 2];
		least = us[k][0];
		most = us[k][s->rounds - 1];
		if (s->json)
			printf("%s{\"backends\":%u,\"stage\":\"%s\",\"us\":%.0f,\"least\":%.0f,"
			       "\"most\":%.0f}",
			       first && k == 0 ? "" : ",\n", p->n, stage_names[k], median, least,
			       most);
		else
			printf("%8u  %-30s %8.0f  %8.0f..%-8.0f\n", p->n, stage_names[k], median,
			       least, most);
	}
}

static void time_measure(struct pool *p, struct plane *plane, const struct setting *s)
{
	if (!s->json)
		printf("\ntime for a table of %u slots; medians of %u rounds\n%8s  %-30s %8s  %s\n",
		       SLOTS, s->rounds, "backends", "stage", "us", "least..most");
	for (int i = 0; i < SIZES; i++) {
		p->n = sizes[i];
		time_size(p, plane, s, i == 0);
	}
}

/* ---- memory ---- */

static uint64_t memlock_of(int fd)
{
	unsigned long long bytes = 0;
	char path[64], line[128];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "memlock: %llu", &bytes) == 1)
			break;
	}
	if (f)
		fclose(f);
	return bytes;
}

static void memory_measure(const struct plane *plane, const struct setting *s)
{
	bool first = true;

	if (!s->json)
		printf("\nmemory, with room for %u flows (preallocated; the kernel's account)\n"
		       "%-16s %10s %12s %14s\n",
		       FLOW_LIMIT, "map", "entries", "KiB", "bytes/entry");
	for (int map = 0; map < MAP_COUNT; map++) {
		struct bpf_map_info info = {0};
		uint32_t size = sizeof(info);
		uint64_t bytes;

		if (plane->maps[map] < 0)
			continue;
		must(bpf_obj_get_info_by_fd(plane->maps[map], &info, &size), "map");
		bytes = memlock_of(plane->maps[map]);
		if (s->json)
			printf("%s{\"map\":\"%s\",\"entries\":%u,\"bytes\":%llu,\"per_entry\":%.1f}",
			       first ? "" : ",\n", plane_map_names[map], info.max_entries,
			       (unsigned long long)bytes, (double)bytes / info.max_entries);
		else
			printf("%-16s %10u %12llu %14.1f\n", plane_map_names[map], info.max_entries,
			       (unsigned long long)bytes / 1024, (double)bytes / info.max_entries);
		first = false;
	}
}

/* ---- all of it ---- */

static struct plane *plane_make(void)
{
	struct settings settings = {.slots = SLOTS, .flow_limit = FLOW_LIMIT, .key_print = 1};
	struct plane *plane;

	for (uint32_t i = 0; i < HASH_KEY_WORDS; i++)
		settings.hash_key[i] = 0x9e3779b97f4a7c15ULL * (2 * i + 1);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL) < 0)
		must(-errno, "a BPF file system");
	must(plane_open("/sys/fs/bpf/bench", &plane), "plane");
	must(plane_settings_set(plane, &settings), "maps");
	return plane;
}

int main(int argc, char **argv)
{
	static const struct option names[] = {
		{"rounds", required_argument, NULL, 'r'}, {"json", no_argument, NULL, 'j'}, {0}};
	struct setting s = {.rounds = 21};
	struct plane *plane;
	struct pool *p;
	int c;

	while ((c = getopt_long(argc, argv, "r:j", names, NULL)) != -1) {
		if (c == 'r')
			s.rounds = (uint32_t)atoi(optarg);
		else if (c == 'j')
			s.json = true;
		else
			return 2;
	}
	if (!s.rounds || s.rounds > ROUNDS_MOST) {
		fprintf(stderr, "bench_tables: --rounds 1 to %d\n", ROUNDS_MOST);
		return 2;
	}
	log_init("bench_tables", false);
	plane = plane_make();
	p = pool_new();
	if (s.json)
		printf("{\"moved\":[");
	moved_measure(p, &s);
	if (s.json)
		printf("],\n\"time\":[");
	time_measure(p, plane, &s);
	if (s.json)
		printf("],\n\"memory\":[");
	memory_measure(plane, &s);
	if (s.json)
		printf("]}\n");
	plane_remove(plane);
	plane_free(plane);
	free(p);
	return EXIT_SUCCESS;
}
