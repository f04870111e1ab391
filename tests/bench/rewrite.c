/* SPDX-License-Identifier: BSD-2-Clause */
/* rewrite.c: the bare MAC-rewriting program of pps.bpf.c at an interface, until the process is
 * ended: what no balancer can be cheaper than, for bench_connections.py.
 *
 * usage: bench_rewrite INTERFACE ITS-MAC MAC-OF-THE-SERVER
 */
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "pps.skel.h"

int main(int argc, char **argv)
{
	const struct ether_addr *mac;
	struct bpf_link *link;
	struct pps *pps;

	if (argc != 4) {
		fprintf(stderr, "usage: bench_rewrite INTERFACE ITS-MAC MAC-OF-THE-SERVER\n");
		return 2;
	}
	pps = pps__open_and_load();
	if (!pps)
		return EXIT_FAILURE;
	for (int i = 0; i < 2; i++) {
		mac = ether_aton(argv[2 + i]);
		if (!mac) {
			fprintf(stderr, "bench_rewrite: %s is no MAC\n", argv[2 + i]);
			return 2;
		}
		memcpy(i == 0 ? pps->bss->stream.dst_mac : pps->bss->stream.src_mac, mac, ETH_ALEN);
	}
	link = bpf_program__attach_xdp(pps->progs.rewrite, (int)if_nametoindex(argv[1]));
	if (!link)
		return EXIT_FAILURE;
	puts("attached");
	fflush(stdout);
	pause(); /* the link ends with us */
	return EXIT_SUCCESS;
}
