/* SPDX-License-Identifier: BSD-2-Clause */
/* flood.c: flood KIND INTERFACE MAC VIP PORT SECONDS PACKETS_A_SECOND
 *
 * Sends packets from spoofed sources out of the interface, to that MAC, by BPF_PROG_TEST_RUN over
 * live frames: for so long, not faster than that. Prints how many it sent. For the namespaces of
 * tests: it refuses an interface that is not a veth.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "tests/e2e/flood/flood.h"

#include "flood.skel.h"

enum { TICK_MS = 20, SECONDS_MOST = 120, RATE_MOST = 20000000 };

static const char *const kinds[] = {[FLOOD_SYN] = "syn",
				    [FLOOD_ACK] = "ack",
				    [FLOOD_ACKS] = "acks",
				    [FLOOD_UDP] = "udp",
				    [FLOOD_FRAGMENTS] = "fragments"};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int is_veth(const char *interface)
{
	char command[128];

	snprintf(command, sizeof(command), "ip -d link show dev %.15s | grep -qw veth", interface);
	return strspn(interface, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(interface) &&
	       system(command) == 0;
}

static int own_mac(const char *interface, __u8 ret_mac[static 6])
{
	struct ifreq request = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r;

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
	r = ioctl(fd, SIOCGIFHWADDR, &request);
	memcpy(ret_mac, request.ifr_hwaddr.sa_data, 6);
	close(fd);
	return r;
}

static int arguments(char **argv, struct flood *ret)
{
	struct timespec ts;
	unsigned mac[6];
	int kind = -1;

	for (int i = 0; i < (int)(sizeof(kinds) / sizeof(kinds[0])); i++) {
		if (strcmp(argv[1], kinds[i]) == 0)
			kind = i;
	}
	if (kind < 0 || !is_veth(argv[2]) || own_mac(argv[2], ret->src_mac) < 0 ||
	    inet_pton(AF_INET, argv[4], &ret->vip) != 1 ||
	    sscanf(argv[3], "%x:%x:%x:%x:%x:%x", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4],
		   &mac[5]) != 6)
		return -1;
	for (int i = 0; i < 6; i++)
		ret->dst_mac[i] = (__u8)mac[i];
	clock_gettime(CLOCK_REALTIME, &ts);
	ret->kind = (__u32)kind;
	ret->port = htons((uint16_t)atoi(argv[5]));
	ret->salt = (__u64)ts.tv_nsec << 32 ^ (__u64)ts.tv_sec << 20;
	return 0;
}

/* Bursts, one each tick; late ones are not made up for. */
static int send_all(int program, int ifindex, double seconds, double rate)
{
	__u8 frame[FLOOD_BYTES] = {0};
	struct xdp_md where = {.data_end = sizeof(frame), .ingress_ifindex = (__u32)ifindex};
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = sizeof(frame),
		    .ctx_in = &where, .ctx_size_in = sizeof(where), .batch_size = 64,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES);
	double end = now() + seconds, next = now();
	int r = 0;

	run.repeat = (int)(rate * TICK_MS / 1000) + 1;
	while (r == 0 && now() < end) {
		r = bpf_prog_test_run_opts(program, &run);
		next += TICK_MS / 1000.0;
		if (next > now())
			usleep((useconds_t)((next - now()) * 1e6));
		else
			next = now();
	}
	return r;
}

int main(int argc, char **argv)
{
	struct flood_bpf *skel;
	struct flood flood = {0};
	double began, seconds, rate;
	int r;

	if (argc != 8 || arguments(argv, &flood) < 0) {
		fprintf(stderr, "usage: flood syn|ack|acks|udp|fragments VETH MAC VIP PORT SECONDS "
				"PACKETS_A_SECOND\n");
		return 2;
	}
	seconds = atof(argv[6]);
	rate = atof(argv[7]);
	if (!(seconds > 0 && seconds <= SECONDS_MOST && rate >= 1 && rate <= RATE_MOST))
		return 2;
	skel = flood_bpf__open_and_load();
	if (!skel) {
		fprintf(stderr, "flood: %s\n", strerror(errno));
		return 1;
	}
	skel->bss->flood = flood;
	began = now();
	r = send_all(bpf_program__fd(skel->progs.generate), (int)if_nametoindex(argv[2]), seconds,
		     rate);
	printf("%llu packets in %.1f s\n", (unsigned long long)skel->bss->sent, now() - began);
	if (r < 0)
		fprintf(stderr, "flood: %s\n", strerror(-r));
	flood_bpf__destroy(skel);
	return r < 0;
}
