/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_pps.c: packets a second through a veth, with one core for what is in the middle.
 *
 *	generator, sink ── veth ── the middle
 *
 * The generator (live frames of BPF_PROG_TEST_RUN) and the sink (an XDP program that counts and
 * drops) have one CPU, the NAPI thread of the middle's interface the other. What is in the middle
 * sends each packet back by the way it came. Every round measures all of them in turn and compares
 * them; what is printed are medians over the rounds. Needs two CPUs and root; everything is in two
 *network namespaces of its own. Asserts nothing.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "balancer.skel.h"
#include "pps.skel.h"
#include "tests/packet/plane.h"

enum { ROUNDS_MOST = 51, FRAME_BYTES = 74, BATCH = 1 << 18, BACKENDS = 100, CPU_MIDDLE = 1 };

#define MAC_SINK "02:00:00:00:00:fe"

struct setting {
	uint32_t rounds, ms;
	bool json;
};

struct rig {
	pid_t middle; /* holds its namespace */
	int middle_net, sink_net;
	int sink_ifindex, middle_ifindex;
	struct pps *pps;
	struct plane plane;
};

/* ---- commands ---- */

__attribute__((format(printf, 1, 2))) static int shell(const char *format, ...)
{
	char command[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	return system(command) == 0 ? 0 : -EIO;
}

#define MIDDLE "nsenter -t %d -n -m sh -c '"

static void net_enter(int net)
{
	if (setns(net, CLONE_NEWNET) < 0)
		abort();
}

/* ---- what can be in the middle ---- */

struct middle {
	const char *name;
	int (*start)(struct rig *rig);
	void (*stop)(struct rig *rig);
};

static int attach(struct rig *rig, int program)
{
	int r;

	net_enter(rig->middle_net);
	r = bpf_xdp_attach(rig->middle_ifindex, program, XDP_FLAGS_DRV_MODE, NULL);
	net_enter(rig->sink_net);
	return r;
}

static void detach(struct rig *rig)
{
	attach(rig, -1);
}

static int drop_start(struct rig *rig)
{
	return attach(rig, bpf_program__fd(rig->pps->progs.count));
}

static int rewrite_start(struct rig *rig)
{
	return attach(rig, bpf_program__fd(rig->pps->progs.rewrite));
}

static int sluice_start(struct rig *rig)
{
	return attach(rig, rig->plane.fd);
}

static int routing_start(struct rig *rig)
{
	return shell(MIDDLE "ip route replace 192.0.2.0/24 via 10.1.0.1 dev b0 && "
			    "ip route replace 192.0.3.0/24 via 10.1.0.1 dev b0'",
		     rig->middle);
}

static void routing_stop(struct rig *rig)
{
	shell(MIDDLE "ip route del 192.0.2.0/24 && ip route del 192.0.3.0/24'", rig->middle);
}

static int dnat_start(struct rig *rig)
{
	int r = routing_start(rig);

	return r < 0 ? r
		     : shell(MIDDLE
			     "nft \"table ip nat { chain pre { type nat hook prerouting "
			     "priority dstnat; ip daddr 192.0.2.10 dnat to 192.0.3.10; }; }\"'",
			     rig->middle);
}

static void dnat_stop(struct rig *rig)
{
	shell(MIDDLE "nft delete table ip nat; conntrack -F > /dev/null 2>&1; true'", rig->middle);
	routing_stop(rig);
}

static const struct middle middles[] = {
	{"XDP, count and drop (ceiling)", drop_start, detach},
	{"XDP, bare MAC rewriting", rewrite_start, detach},
	{"sluice, dsr", sluice_start, detach},
	{"kernel routing", routing_start, routing_stop},
	{"nftables DNAT", dnat_start, dnat_stop},
};

enum { DROP, REWRITE, SLUICE, ROUTING, DNAT, MIDDLES };

/* ---- the rig ---- */

/* A process that does nothing but have namespaces: network, and mounts with their own /sys. */
static pid_t holder_start(void)
{
	int ready[2];
	char byte;
	pid_t pid;

	if (pipe(ready) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNET | CLONE_NEWNS) == 0 &&
		    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
		    mount("sysfs", "/sys", "sysfs", 0, NULL) == 0 && write(ready[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	if (pid > 0 && read(ready[0], &byte, 1) != 1) {
		waitpid(pid, NULL, 0);
		pid = -1;
	}
	close(ready[0]);
	return pid;
}

static int net_open(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static int links_make(struct rig *rig)
{
	int r;

	r = shell("ip link add g0 address " MAC_SINK " type veth peer name b0 netns %d && "
		  "ip link set g0 up && ethtool -K g0 gro on",
		  rig->middle);
	if (r == 0)
		r = shell(MIDDLE
			  "ip link set b0 address 02:00:00:00:00:01 up && "
			  "ip addr add 10.1.0.2/24 dev b0 && "
			  "ip neigh add 10.1.0.1 lladdr " MAC_SINK " dev b0 nud permanent && "
			  "ethtool -K b0 gro on && sysctl -qw net.ipv4.ip_forward=1 "
			  "net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.b0.rp_filter=0 "
			  "net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.b0.send_redirects=0 && "
			  "ip route add 10.128.0.0/9 via 10.1.0.1 && "
			  "echo 1 > /sys/class/net/b0/threaded'",
			  rig->middle);
	if (r == 0) /* the table's thread comes up in time, or the figure shows it */
		r = shell("sleep 0.2; pgrep napi/b0 | xargs -n1 taskset -pc %d > /dev/null",
			  CPU_MIDDLE);
	rig->sink_ifindex = (int)if_nametoindex("g0");
	net_enter(rig->middle_net);
	rig->middle_ifindex = (int)if_nametoindex("b0");
	shell("sysctl -qw net.netfilter.nf_conntrack_checksum=0 2> /dev/null || true");
	net_enter(rig->sink_net);
	return r == 0 && rig->sink_ifindex && rig->middle_ifindex ? 0 : -EIO;
}

static int plane_fill(struct rig *rig)
{
	struct plane *plane = &rig->plane;
	const struct plane_sizes sizes = {
		.slots = SLOTS_DEFAULT, .flows = 1 << 20, .embryos = EMBRYOS_DEFAULT};
	struct frame_spec spec = {.protocol = IPPROTO_UDP, .dport = 25};
	uint16_t *previous;
	int r = plane_open(&sizes, plane);

	if (r < 0)
		return r;
	plane_service_set(plane, &spec, 0, 0);
	spec.protocol = IPPROTO_TCP;
	plane_service_set(plane, &spec, 1, 0);
	for (uint32_t b = 0; b < BACKENDS; b++)
		plane_backend_set(plane, b, 1);
	previous = calloc(plane->slots, sizeof(*previous));
	if (!previous)
		return -ENOMEM;
	for (uint32_t i = 0; i < plane->slots; i++) {
		plane->owners[i] = (uint16_t)(i * 2654435761U % BACKENDS);
		previous[i] = BACKEND_NONE;
	}
	plane_table_set(plane, 0, plane->owners, previous);
	plane_clock_set(plane, 1000);
	free(previous);
	return 0;
}

static int rig_start(struct rig *rig)
{
	static const uint8_t sink[6] = {0x02, 0, 0, 0, 0, 0xfe};
	cpu_set_t set;
	int r;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		return -errno;
	rig->middle = holder_start();
	if (rig->middle < 0 || unshare(CLONE_NEWNET) < 0)
		return -EPERM;
	rig->middle_net = net_open(rig->middle);
	rig->sink_net = net_open(getpid());
	rig->pps = pps__open_and_load();
	if (!rig->pps)
		return -errno;
	memcpy(rig->pps->bss->stream.dst_mac, frame_node_mac, 6);
	memcpy(rig->pps->bss->stream.src_mac, sink, 6);
	rig->pps->bss->stream.vip = inet_addr("192.0.2.10");
	r = links_make(rig);
	if (r == 0)
		r = plane_fill(rig);
	if (r == 0)
		r = bpf_xdp_attach(rig->sink_ifindex, bpf_program__fd(rig->pps->progs.count),
				   XDP_FLAGS_DRV_MODE, NULL);
	return r;
}

static void rig_stop(struct rig *rig)
{
	pps__destroy(rig->pps);
	plane_close(&rig->plane);
	if (rig->middle > 0) {
		kill(rig->middle, SIGKILL);
		waitpid(rig->middle, NULL, 0);
	}
}

/* ---- measuring ---- */

struct stream {
	const char *name;
	uint32_t flows, udp; /* as in pps.bpf.c */
};

static const struct stream streams[] = {
	{"TCP, 1,000 established flows", 1000, 0},
	{"UDP, 1,000 flows", 1000, 1},
	{"TCP, each packet a new flow", 0, 0},
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static uint64_t counted(const struct rig *rig)
{
	uint64_t values[CPU_MAX], sum = 0;
	uint32_t zero = 0;

	bpf_map_lookup_elem(bpf_map__fd(rig->pps->maps.counted), &zero, values);
	for (uint32_t i = 0; i < rig->plane.cpus; i++)
		sum += values[i];
	return sum;
}

/* Packets a second that came back (or, for the ceiling, that were dropped in the middle). */
static double rate(struct rig *rig, const struct stream *stream, uint32_t ms)
{
	uint8_t frame[FRAME_BYTES] = {0};
	struct xdp_md where = {.data_end = sizeof(frame),
			       .ingress_ifindex = (uint32_t)rig->sink_ifindex};
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = sizeof(frame),
		    .ctx_in = &where, .ctx_size_in = sizeof(where), .repeat = BATCH,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = 64);
	double start, end;
	uint64_t before;

	rig->pps->bss->stream.flows = stream->flows;
	rig->pps->bss->stream.udp = stream->udp;
	rig->pps->bss->salt += 1ULL << 40;
	if (bpf_prog_test_run_opts(bpf_program__fd(rig->pps->progs.generate), &run) < 0)
		return 0; /* the first also warms the caches */
	before = counted(rig);
	start = now();
	do
		bpf_prog_test_run_opts(bpf_program__fd(rig->pps->progs.generate), &run);
	while ((end = now()) < start + ms / 1000.0);
	return (double)(counted(rig) - before) / (end - start);
}

static int double_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* The median of what @m reached for each that @other reached in the same round. */
static double ratio(double rates[MIDDLES][ROUNDS_MOST], int m, int other, uint32_t rounds)
{
	double ratios[ROUNDS_MOST];

	for (uint32_t i = 0; i < rounds; i++)
		ratios[i] = rates[m][i] / rates[other][i];
	qsort(ratios, rounds, sizeof(double), double_compare);
	return ratios[rounds / 2];
}

static void print(const struct setting *s, const char *what, double rates[MIDDLES][ROUNDS_MOST],
		  bool first)
{
	double to_rewrite[MIDDLES], to_dnat[MIDDLES], median[MIDDLES];

	for (int m = 0; m < MIDDLES; m++) {
		to_rewrite[m] = ratio(rates, m, REWRITE, s->rounds);
		to_dnat[m] = ratio(rates, m, DNAT, s->rounds);
	}
	for (int m = 0; m < MIDDLES; m++) {
		qsort(rates[m], s->rounds, sizeof(double), double_compare);
		median[m] = rates[m][s->rounds / 2];
	}
	if (!s->json)
		printf("%s\n  %-32s %9s  %-15s %10s %10s\n", what, "in the middle", "M/s",
		       "least..most", "to rewrite", "to DNAT");
	for (int m = 0; m < MIDDLES; m++) {
		if (s->json)
			printf("%s{\"packets\":\"%s\",\"middle\":\"%s\",\"per_s\":%.0f,\"least\":%.0f,"
			       "\"most\":%.0f,\"to_rewrite\":%.2f,\"to_dnat\":%.2f}",
			       first && m == 0 ? "[" : ",\n", what, middles[m].name, median[m],
			       rates[m][0], rates[m][s->rounds - 1], to_rewrite[m], to_dnat[m]);
		else
			printf("  %-32s %9.2f  %6.2f..%-7.2f %10.2f %10.2f\n", middles[m].name,
			       median[m] / 1e6, rates[m][0] / 1e6, rates[m][s->rounds - 1] / 1e6,
			       to_rewrite[m], to_dnat[m]);
	}
}

static int measure(struct rig *rig, const struct setting *s, const struct stream *stream)
{
	static double rates[MIDDLES][ROUNDS_MOST];

	for (uint32_t round = 0; round < s->rounds; round++) {
		for (int m = 0; m < MIDDLES; m++) {
			int r = middles[m].start(rig);

			if (r < 0) {
				fprintf(stderr, "bench_pps: %s: %s\n", middles[m].name,
					strerror(-r));
				return r;
			}
			rates[m][round] = rate(rig, stream, s->ms);
			middles[m].stop(rig);
		}
	}
	print(s, stream->name, rates, stream == streams);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option names[] = {{"rounds", required_argument, NULL, 'r'},
					      {"ms", required_argument, NULL, 'm'},
					      {"json", no_argument, NULL, 'j'},
					      {0}};
	struct setting s = {.rounds = 5, .ms = 1000};
	struct rig rig = {0};
	int c, r;

	while ((c = getopt_long(argc, argv, "r:m:j", names, NULL)) != -1) {
		if (c == 'r')
			s.rounds = (uint32_t)atoi(optarg);
		else if (c == 'm')
			s.ms = (uint32_t)atoi(optarg);
		else if (c == 'j')
			s.json = true;
		else
			return 2;
	}
	if (!s.rounds || s.rounds > ROUNDS_MOST || !s.ms) {
		fprintf(stderr, "bench_pps: --rounds 1 to %d, --ms at least 1\n", ROUNDS_MOST);
		return 2;
	}
	r = rig_start(&rig);
	if (r == 0 && !s.json)
		printf("packets a second, one core for the middle; %u rounds of %u ms, medians\n",
		       s.rounds, s.ms);
	for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]) && r == 0; i++)
		r = measure(&rig, &s, &streams[i]);
	if (r == 0 && s.json)
		puts("]");
	if (r < 0)
		fprintf(stderr, "bench_pps: %s\n", strerror(-r));
	rig_stop(&rig);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
