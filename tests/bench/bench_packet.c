/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_packet.c: nanoseconds a packet over an empty XDP_TX program, by BPF_PROG_TEST_RUN.
 *
 * The program and its maps are as in service: 100 backends, tables of 65,537 slots, a flow table
 * for a million flows, the clock ticking at its true rate. Every call gets a fresh packet. A round
 * of each program is run in turn (empty, ours, the LRU yardstick), the medians over the rounds are
 * compared: a ratio of one run counts, an absolute time does not. Asserts nothing.
 */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "balancer.skel.h"
#include "lru.skel.h"
#include "tests/packet/plane.h"

enum { BACKENDS = 100, ROUNDS_MOST = 101 };

struct setting {
	uint32_t calls, rounds;
	bool json;
};

/* One row: which packets, and what Katran took for them on a machine of this kind (0 = not
 * measured). */
struct workload {
	const char *name;
	uint32_t flows; /* 0 = each packet a new one */
	bool ipv6;
	uint8_t tcp_flags;
	uint16_t dport;
	uint32_t katran_low, katran_high;
};

static const struct workload workloads[] = {
	{"established TCP, 1 flow", 1, false, TCP_ACK, 25, 99, 109},
	{"established TCP, 1,000 flows", 1000, false, TCP_ACK, 25, 116, 169},
	{"established TCP, 100,000 flows", 100000, false, TCP_ACK, 25, 287, 423},
	{"established TCP, 1,000,000 flows", 1000000, false, TCP_ACK, 25, 338, 459},
	{"established TCP, IPv6, 1,000 flows", 1000, true, TCP_ACK, 25, 175, 244},
	{"SYN, each a new flow", 0, false, TCP_SYN, 25, 121, 640},
	{"no service", 1000, false, TCP_ACK, 26, 35, 70},
};

struct result {
	double least, median, most; /* ns over the empty program */
};

static struct frame_spec spec_of(const struct workload *w, uint32_t flow)
{
	return (struct frame_spec){.ipv6 = w->ipv6,
				   .protocol = IPPROTO_TCP,
				   .tcp_flags = w->tcp_flags,
				   .client = flow & 0xffffff,
				   .sport = (uint16_t)(1024 + flow % 50000),
				   .dport = w->dport};
}

static uint32_t now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint32_t)ts.tv_sec;
}

/* A flow's order must not be the table's: an odd multiplier walks through them all. */
static uint32_t flow_of(const struct workload *w, uint32_t i)
{
	return w->flows ? (uint32_t)((uint64_t)i * 7368787 % w->flows) : i;
}

/* One round: the mean, in ns. */
static double round_run(struct plane *plane, const struct workload *w, int program, uint32_t first,
			uint32_t calls)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < calls; i++) {
		struct frame_spec spec = spec_of(w, flow_of(w, first + i));
		struct frame frame;
		uint32_t ns;

		frame_build(&spec, &frame);
		plane_run(program, &frame, &ns);
		sum += ns;
		if (i % 4096 == 0)
			plane_clock_set(plane, now_s());
	}
	return (double)sum / calls;
}

/* Every flow is established: its SYN, then two packets. */
static void establish(struct plane *plane, const struct workload *w, int program)
{
	static const uint8_t flags[] = {TCP_SYN, TCP_ACK, TCP_ACK};

	if (!w->flows || w->dport != 25)
		return;
	plane_clock_set(plane, now_s());
	for (uint32_t i = 0; i < w->flows; i++) {
		for (size_t k = 0; k < sizeof(flags); k++) {
			struct frame_spec spec = spec_of(w, i);
			struct frame frame;

			spec.tcp_flags = flags[k];
			frame_build(&spec, &frame);
			plane_run(program, &frame, NULL);
		}
	}
}

static int double_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static struct result result_of(double *values, uint32_t n)
{
	qsort(values, n, sizeof(*values), double_compare);
	return (struct result){values[0], values[n / 2], values[n - 1]};
}

static void measure(struct plane *plane, const struct workload *w, const int programs[3],
		    const struct setting *s, struct result ret[static 2])
{
	double over[2][ROUNDS_MOST];
	uint32_t first = 0;

	establish(plane, w, programs[1]);
	establish(plane, w, programs[2]);
	for (uint32_t round = 0; round < s->rounds; round++, first += s->calls) {
		double empty = round_run(plane, w, programs[0], first, s->calls);

		for (int k = 0; k < 2; k++)
			over[k][round] =
				round_run(plane, w, programs[1 + k], first, s->calls) - empty;
	}
	ret[0] = result_of(over[0], s->rounds);
	ret[1] = result_of(over[1], s->rounds);
}

static void print(const struct workload *w, const struct result r[static 2], bool json, bool first)
{
	if (json) {
		printf("%s{\"packets\":\"%s\",\"ns\":%.1f,\"least\":%.1f,\"most\":%.1f,\"lru_ns\":%.1f,"
		       "\"to_lru\":%.2f,\"katran_low\":%u,\"katran_high\":%u,\"to_katran_low\":%.2f}",
		       first ? "[" : ",\n", w->name, r[0].median, r[0].least, r[0].most,
		       r[1].median, r[0].median / r[1].median, w->katran_low, w->katran_high,
		       r[0].median / w->katran_low);
		return;
	}
	printf("%-36s %6.1f  %6.1f..%-6.1f %8.1f %6.2f   %4u - %-4u %6.2f\n", w->name, r[0].median,
	       r[0].least, r[0].most, r[1].median, r[0].median / r[1].median, w->katran_low,
	       w->katran_high, r[0].median / w->katran_low);
	fflush(stdout);
}

/* ---- the programs ---- */

static int lru_open(const struct plane *plane, struct lru **ret)
{
	struct lru *skel = lru__open();
	struct bpf_map *map;
	int error = skel ? 0 : -errno;

	if (!skel)
		return error;
	memcpy((void *)skel->rodata, plane->skel->rodata, sizeof(*skel->rodata));
	bpf_object__for_each_map(map, skel->obj)
	{
		const struct bpf_map *same =
			bpf_object__find_map_by_name(plane->skel->obj, bpf_map__name(map));

		if (same && !strchr(bpf_map__name(map), '.') && !error)
			error = bpf_map__reuse_fd(map, bpf_map__fd(same));
	}
	error = error ? error : lru__load(skel);
	for (uint32_t cpu = 0; !error && cpu < plane->cpus; cpu++) {
		int fd = bpf_map_create(BPF_MAP_TYPE_LRU_HASH, "lru", sizeof(struct flow_key), 8,
					1 << 20, NULL);

		error = fd < 0 ? fd
			       : bpf_map_update_elem(bpf_map__fd(skel->maps.lrus), &cpu, &fd, 0);
		if (fd >= 0)
			close(fd);
	}
	if (error) {
		lru__destroy(skel);
		return error;
	}
	*ret = skel;
	return 0;
}

static void backends_set(struct plane *plane)
{
	uint16_t *owners = calloc(plane->slots, sizeof(*owners));
	uint16_t *previous = calloc(plane->slots, sizeof(*previous));

	for (uint32_t b = 0; b < BACKENDS; b++)
		plane_backend_set(plane, b, 1);
	for (uint32_t i = 0; owners && previous && i < plane->slots; i++) {
		owners[i] = (uint16_t)(i * 2654435761U % BACKENDS);
		previous[i] = BACKEND_NONE;
	}
	plane_table_set(plane, 0, owners, previous);
	free(owners);
	free(previous);
}

static int run(const struct setting *s)
{
	const struct plane_sizes sizes = {
		.slots = SLOTS_DEFAULT, .flows = 1200000, .embryos = EMBRYOS_DEFAULT};
	struct lru *lru = NULL;
	struct plane plane;
	int error = plane_open(&sizes, &plane);

	if (error)
		return error;
	error = lru_open(&plane, &lru);
	if (error) {
		plane_close(&plane);
		return error;
	}
	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		struct frame_spec spec = {.ipv6 = ipv6, .protocol = IPPROTO_TCP, .dport = 25};

		plane_service_set(&plane, &spec, 0, 0);
	}
	backends_set(&plane);
	if (!s->json)
		printf("ns a packet over an empty XDP_TX program; %u calls a round, %u rounds, medians\n"
		       "%-36s %6s  %-14s %8s %6s   %-11s %6s\n",
		       s->calls, s->rounds, "packets", "sluice", "least..most", "LRU*", "ratio",
		       "Katran**", "ratio");
	for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++) {
		const int programs[] = {bpf_program__fd(lru->progs.empty), plane.fd,
					bpf_program__fd(lru->progs.lru_balancer)};
		struct result results[2];

		measure(&plane, &workloads[i], programs, s, results);
		print(&workloads[i], results, s->json, i == 0);
	}
	puts(s->json ? "]"
		     : "*  the same program with a look-up in an LRU flow table for each packet, in this run\n"
		       "** measured earlier on a machine of this kind; the ratio is to its lower figure");
	lru__destroy(lru);
	plane_close(&plane);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option names[] = {{"calls", required_argument, NULL, 'c'},
					      {"rounds", required_argument, NULL, 'r'},
					      {"json", no_argument, NULL, 'j'},
					      {0}};
	struct setting s = {.calls = 50000, .rounds = 15};
	int c, error;

	while ((c = getopt_long(argc, argv, "c:r:j", names, NULL)) != -1) {
		if (c == 'c')
			s.calls = (uint32_t)atoi(optarg);
		else if (c == 'r')
			s.rounds = (uint32_t)atoi(optarg);
		else if (c == 'j')
			s.json = true;
		else
			return 2;
	}
	if (!s.calls || !s.rounds || s.rounds > ROUNDS_MOST) {
		fprintf(stderr, "bench_packet: --calls at least 1, --rounds 1 to %d\n",
			ROUNDS_MOST);
		return 2;
	}
	error = run(&s);
	if (error)
		fprintf(stderr, "bench_packet: %s\n", strerror(-error));
	return error ? EXIT_FAILURE : EXIT_SUCCESS;
}
