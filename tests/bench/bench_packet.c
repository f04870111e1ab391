/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_packet.c: nanoseconds a packet over an empty XDP_TX program, by BPF_PROG_TEST_RUN.
 *
 * The program and its maps are as in service: tables of 65,537 slots, a flow table that holds every
 * flow, 100 backends unless a row says otherwise. Every call gets a fresh packet. A round of each
 * program is run in turn (empty, ours, the LRU yardstick), the medians over the rounds are
 * compared: a ratio of one run counts, an absolute time does not. Asserts nothing.
 *
 * The clock of the maps follows the packets as if PACKETS_PER_SECOND of them came: a test run is
 * slower than a wire by far, and with the true time it would show mostly what happens once an
 * epoch. What that costs has a row of its own, in which every packet meets a new epoch.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "balancer.skel.h"
#include "bpf/abi_nat.h"
#include "bpf/hash.h"
#include "lru.skel.h"
#include "tests/packet/plane.h"

enum { BACKENDS = 100, ROUNDS_MOST = 101, PACKETS_PER_SECOND = 1000000, FILL_BATCH = 4096 };

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
	uint16_t dport; /* of the first service */
	uint32_t katran_low, katran_high;
	uint32_t services; /* over which the packets are spread; 0 = 1 */
	uint32_t backends; /* 0 = BACKENDS */
	bool epochs;	   /* every packet is the first of its bucket in an epoch */
	uint8_t mode;	   /* enum forward_mode */
	bool gue;	   /* of mode tunnel */
};

enum { PORT = 25, PORT_UNSERVED = 20 };

static const struct workload workloads[] = {
	{"established TCP, 1 flow", 1, false, TCP_ACK, PORT, 99, 109, 0, 0, false, 0, false},
	{"established TCP, 1,000 flows", 1000, false, TCP_ACK, PORT, 116, 169, 0, 0, false, 0,
	 false},
	{"established TCP, 100,000 flows", 100000, false, TCP_ACK, PORT, 287, 423, 0, 0, false, 0,
	 false},
	{"established TCP, 1,000,000 flows", 1000000, false, TCP_ACK, PORT, 338, 459, 0, 0, false,
	 0, false},
	{"established TCP, 10,000,000 flows", 10000000, false, TCP_ACK, PORT, 0, 0, 0, 0, false, 0,
	 false},
	{"the same, first in an epoch", 10000000, false, TCP_ACK, PORT, 0, 0, 0, 0, true, 0, false},
	{"established TCP, IPv6, 1,000 flows", 1000, true, TCP_ACK, PORT, 175, 244, 0, 0, false, 0,
	 false},
	{"SYN, each a new flow", 0, false, TCP_SYN, PORT, 121, 640, 0, 0, false, 0, false},
	{"no service", 1000, false, TCP_ACK, PORT_UNSERVED, 35, 70, 0, 0, false, 0, false},
	{"1,000 flows, 100 services", 1000, false, TCP_ACK, PORT, 0, 0, 100, 0, false, 0, false},
	{"1,000 flows, 10,000 services", 1000, false, TCP_ACK, PORT, 0, 0, 10000, 0, false, 0,
	 false},
	{"1,000 flows, 10 backends", 1000, false, TCP_ACK, PORT, 0, 0, 0, 10, false, 0, false},
	{"1,000 flows, 1,000 backends", 1000, false, TCP_ACK, PORT, 0, 0, 0, 1000, false, 0, false},
	{"1,000 flows, 10,000 backends", 1000, false, TCP_ACK, PORT, 0, 0, 0, 10000, false, 0,
	 false},
	{.name = "tunnel, IPIP, 1,000 flows",
	 .flows = 1000,
	 .tcp_flags = TCP_ACK,
	 .dport = PORT,
	 .katran_low = 116,
	 .katran_high = 169,
	 .mode = FORWARD_TUNNEL},
	{.name = "tunnel, GUE, 1,000 flows",
	 .flows = 1000,
	 .tcp_flags = TCP_ACK,
	 .dport = PORT,
	 .katran_low = 116,
	 .katran_high = 169,
	 .mode = FORWARD_TUNNEL,
	 .gue = true},
	{.name = "nat, 1,000 flows",
	 .flows = 1000,
	 .tcp_flags = TCP_ACK,
	 .dport = PORT,
	 .mode = FORWARD_NAT},
	{.name = "fullnat, 1,000 flows",
	 .flows = 1000,
	 .tcp_flags = TCP_ACK,
	 .dport = PORT,
	 .mode = FORWARD_FULLNAT},
};

struct result {
	double least, median, most; /* ns over the empty program */
};

static struct frame_spec spec_of(const struct workload *w, uint32_t flow)
{
	uint32_t service = w->services ? flow % w->services : 0;

	return (struct frame_spec){.ipv6 = w->ipv6,
				   .protocol = IPPROTO_TCP,
				   .tcp_flags = w->tcp_flags,
				   .client = flow & 0xffffff,
				   .sport = (uint16_t)(1024 + flow % 50000),
				   .dport = (uint16_t)(w->dport + service)};
}

/* A flow's order must not be the table's: an odd multiplier walks through them all. */
static uint32_t flow_of(const struct workload *w, uint32_t i)
{
	return w->flows ? (uint32_t)((uint64_t)i * 7368787 % w->flows) : i;
}

/* One round: the mean, in ns. @sent: packets before this round, by which the clock goes */
static double round_run(struct plane *plane, const struct workload *w, int program, uint32_t sent,
			uint32_t calls)
{
	uint64_t sum = 0;

	plane_clock_set(plane, 1000 + sent / PACKETS_PER_SECOND);
	for (uint32_t i = 0; i < calls; i++) {
		struct frame_spec spec = spec_of(w, flow_of(w, sent + i));
		struct frame frame;
		uint32_t ns;

		frame_build(&spec, &frame);
		if (w->epochs)
			plane_clock_set(plane, 1000 + (sent + i) * EPOCH_SECONDS);
		plane_run(program, &frame, &ns);
		sum += ns;
	}
	return (double)sum / calls;
}

/* The flows are put into the flow table as the program would have; packets by the million would
 * take minutes.
 */
static void flows_fill(struct plane *plane, const struct workload *w)
{
	int map = bpf_map__fd(plane->skel->maps.flows);
	struct flow_key *keys = calloc(FILL_BATCH, sizeof(*keys));
	struct flow *flows = calloc(FILL_BATCH, sizeof(*flows));

	for (uint32_t at = 0; keys && flows && at < w->flows; at += FILL_BATCH) {
		uint32_t n = w->flows - at < FILL_BATCH ? w->flows - at : FILL_BATCH;

		for (uint32_t i = 0; i < n; i++) {
			struct frame_spec spec = spec_of(w, at + i);
			struct tuple tuple;
			uint32_t slot;

			frame_flow_key(&spec, (uint16_t)(spec.dport - w->dport), &keys[i]);
			frame_tuple(&spec, &tuple);
			slot = flow_slot((const __u64 *)plane->key, &tuple, 0, plane->slots);
			flows[i] = (struct flow){.backend = plane->owners[slot],
						 .seen = FLOW_EPOCH(1000)};
		}
		if (bpf_map_update_batch(map, keys, flows, &n, NULL) < 0)
			break;
	}
	free(keys);
	free(flows);
}

/* Mode fullnat: the translations of established flows, in both maps. */
static void translations_fill(struct plane *plane, const struct workload *w)
{
	for (uint32_t i = 0; w->mode == FORWARD_FULLNAT && i < w->flows; i++) {
		struct frame_spec spec = spec_of(w, i);
		struct translation t = {.vip_port = htons(w->dport),
					.seen = FLOW_EPOCH(1000),
					.flags = TRANSLATION_ANSWERED};
		struct flow_key key;
		struct tuple tuple;

		frame_flow_key(&spec, 0, &key);
		frame_tuple(&spec, &tuple);
		t.backend = plane->owners[flow_slot((const __u64 *)plane->key, &tuple, 0,
						    plane->slots)];
		memcpy(t.vip, tuple.dst, sizeof(t.vip));
		t.back = (struct tuple){.sport = htons(25),
					.dport = htons((uint16_t)(1024 + i)),
					.protocol = IPPROTO_TCP};
		memcpy(t.back.src, plane->backends[t.backend].addr, sizeof(t.back.src));
		memcpy(t.back.dst, tuple.dst, sizeof(t.back.dst));
		bpf_map_update_elem(bpf_map__fd(plane->skel->maps.translations), &key, &t, 0);
		bpf_map_update_elem(bpf_map__fd(plane->skel->maps.reverse), &t.back, &key, 0);
	}
}

/* Two packets of each flow, or of so many that every bucket is stamped. */
static void warm(struct plane *plane, const struct workload *w, int program)
{
	uint32_t packets = w->flows < 500000 ? 2 * w->flows : 1000000;

	plane_clock_set(plane, 1000);
	for (uint32_t i = 0; i < packets; i++) {
		struct frame_spec spec = spec_of(w, flow_of(w, i));
		struct frame frame;

		frame_build(&spec, &frame);
		plane_run(program, &frame, NULL);
	}
}

static void establish(struct plane *plane, const struct workload *w, const int programs[3])
{
	if (!w->flows || w->dport == PORT_UNSERVED)
		return;
	flows_fill(plane, w);
	translations_fill(plane, w);
	warm(plane, w, programs[1]);
	warm(plane, w, programs[2]);
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
	uint32_t first = 1000000;

	establish(plane, w, programs);
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
		       "\"to_lru\":%.2f,\"katran_low\":%u,\"katran_high\":%u}",
		       first ? "[" : ",\n", w->name, r[0].median, r[0].least, r[0].most,
		       r[1].median, r[0].median / r[1].median, w->katran_low, w->katran_high);
		return;
	}
	printf("%-36s %6.1f  %6.1f..%-6.1f", w->name, r[0].median, r[0].least, r[0].most);
	if (w->mode < FORWARD_NAT) /* the yardstick knows no translation */
		printf(" %8.1f %6.2f", r[1].median, r[0].median / r[1].median);
	if (w->katran_low)
		printf("   %4u - %-4u %6.2f", w->katran_low, w->katran_high,
		       r[0].median / w->katran_low);
	putchar('\n');
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
		int fd = bpf_map_create(BPF_MAP_TYPE_LRU_HASH, "lru", sizeof(struct tuple), 8,
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

static int backends_set(struct plane *plane, uint32_t backends)
{
	uint16_t *previous = calloc(plane->slots, sizeof(*previous));

	if (!previous)
		return -ENOMEM;
	for (uint32_t b = 0; b < backends; b++)
		plane_backend_set(plane, b, 1);
	for (uint32_t i = 0; i < plane->slots; i++) {
		plane->owners[i] = (uint16_t)(i * 2654435761U % backends);
		previous[i] = BACKEND_NONE;
	}
	plane_table_set(plane, 0, plane->owners, previous);
	free(previous);
	return 0;
}

/* What the modes other than dsr look at. */
static void backends_address(struct plane *plane, const struct workload *w, uint32_t backends)
{
	for (uint32_t b = 0; b < backends; b++) {
		struct backend *to = &plane->backends[b];
		const uint8_t addr[16] = {[10] = 0xff,	     0xff,	198, 18,
					  (uint8_t)(b >> 8), (uint8_t)b};
		const uint8_t source[16] = {[10] = 0xff, 0xff, 10, 9, 0, 0};

		memcpy(to->addr, addr, sizeof(addr));
		memcpy(to->tunnel_src, source, sizeof(source));
		to->port = htons(25);
		to->tunnel_mtu = 1500;
		to->tunnel_bits = 16;
		to->tunnel_port = w->gue ? htons(6080) : 0;
	}
}

static void service_make(struct plane *plane, const struct workload *w, uint32_t i)
{
	const struct service service = {.id = (uint16_t)i, .mode = w->mode};
	struct frame_spec spec = {
		.ipv6 = w->ipv6, .protocol = IPPROTO_TCP, .dport = (uint16_t)(PORT + i)};
	struct service_key key;

	frame_service_key(&spec, &key);
	plane_record_set(plane, &key, &service);
}

/* A row has a plane of its own: nothing of another row is in its maps. */
static int workload_run(const struct workload *w, const struct setting *s, bool first)
{
	const struct plane_sizes sizes = {.slots = SLOTS_DEFAULT,
					  .flows = w->flows < 900000 ? 1000000 : w->flows / 8 * 9,
					  .embryos = EMBRYOS_DEFAULT,
					  .features = w->mode >= FORWARD_NAT ? FEATURE_RETURN : 0};
	struct result results[2];
	struct lru *lru = NULL;
	struct plane plane;
	int error = plane_open(&sizes, &plane);

	if (error)
		return error;
	error = lru_open(&plane, &lru);
	if (!error)
		error = backends_set(&plane, w->backends ? w->backends : BACKENDS);
	if (!error)
		backends_address(&plane, w, w->backends ? w->backends : BACKENDS);
	for (uint32_t i = 0; !error && i < (w->services ? w->services : 1); i++)
		service_make(&plane, w, i);
	if (!error) {
		const int programs[] = {bpf_program__fd(lru->progs.empty), plane.fd,
					bpf_program__fd(lru->progs.lru_balancer)};

		measure(&plane, w, programs, s, results);
		print(w, results, s->json, first);
	}
	lru__destroy(lru);
	plane_close(&plane);
	return error;
}

static int run(const struct setting *s)
{
	int error = 0;

	if (!s->json)
		printf("ns a packet over an empty XDP_TX program; %u calls a round, %u rounds, medians\n"
		       "%-36s %6s  %-14s %8s %6s   %-11s %6s\n",
		       s->calls, s->rounds, "packets", "sluice", "least..most", "LRU*", "ratio",
		       "Katran**", "ratio");
	for (size_t i = 0; !error && i < sizeof(workloads) / sizeof(workloads[0]); i++)
		error = workload_run(&workloads[i], s, i == 0);
	puts(s->json ? "]"
		     : "*  the same program with a look-up in an LRU flow table (1 Mi entries) for each packet, in this run\n"
		       "** measured earlier on a machine of this kind; the ratio is to its lower figure");
	return error;
}

/* What was refreshed in an epoch is known by each CPU for itself. */
static bool stay_on_one_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)sched_getcpu(), &set);
	return sched_setaffinity(0, sizeof(set), &set) == 0;
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
	error = stay_on_one_cpu() ? run(&s) : -errno;
	if (error)
		fprintf(stderr, "bench_packet: %s\n", strerror(-error));
	return error ? EXIT_FAILURE : EXIT_SUCCESS;
}
