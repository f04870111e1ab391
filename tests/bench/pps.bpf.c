// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* pps.bpf.c: the programs of bench_pps.c beside the one that is measured.
 *
 * generate: turns a page into the next packet of its stream and sends it (live frames keep what the
 * last user of their page left there, so all headers are written); count: the sink, and the ceiling
 * of the rig; rewrite: the least that a balancer could do.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define FRAME_BYTES 74 /* 20 of payload behind UDP, or 20 behind TCP */

/* The stream; written by user space before each round. */
struct {
	__u8 dst_mac[6], src_mac[6];
	__be32 vip;
	__u32 flows; /* 0: every packet is a SYN of a new flow; else of so many flows */
	__u32 udp;   /* of these; 0: TCP, established */
} stream = {};

__u64 sequence = 0; /* one generator, on one CPU */
__u64 salt = 0;	    /* other clients than in the round before */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} counted SEC(".maps");

static __always_inline __u16 ip_checksum(const struct iphdr *ip)
{
	const __u16 *word = (const void *)ip;
	__u32 sum = 0;

	for (int i = 0; i < 10; i++)
		sum += word[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16) ~((sum & 0xffff) + (sum >> 16));
}

SEC("xdp")
int generate(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	__u64 n = sequence++, client;

	if ((void *)eth + FRAME_BYTES > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	__builtin_memcpy(eth->h_dest, stream.dst_mac, 6);
	__builtin_memcpy(eth->h_source, stream.src_mac, 6);
	eth->h_proto = bpf_htons(ETH_P_IP);
	client = stream.flows ? n % stream.flows : (n + salt) * 0x9e3779b97f4a7c15ULL >> 24;
	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version = 4;
	ip->ihl = 5;
	ip->ttl = 64;
	ip->tot_len = bpf_htons(FRAME_BYTES - sizeof(*eth));
	ip->protocol = stream.udp ? IPPROTO_UDP : IPPROTO_TCP;
	ip->saddr = bpf_htonl(0x0a800000 | (client & 0x7fffff)); /* 10.128.0.0/9 */
	ip->daddr = stream.vip;
	ip->check = ip_checksum(ip);
	if (stream.udp) {
		udp->source = bpf_htons(1024 + client % 50000);
		udp->dest = bpf_htons(25);
		udp->len = bpf_htons(FRAME_BYTES - sizeof(*eth) - sizeof(*ip));
		udp->check = 0;
		return XDP_TX;
	}
	__builtin_memset(tcp, 0, sizeof(*tcp));
	tcp->source = bpf_htons(1024 + (stream.flows ? client : client >> 23) % 50000);
	tcp->dest = bpf_htons(25);
	tcp->seq = (__u32)n;
	tcp->doff = 5;
	tcp->syn = !stream.flows;
	tcp->ack = !tcp->syn;
	tcp->window = 0xffff;
	return XDP_TX;
}

SEC("xdp")
int count(struct xdp_md *ctx)
{
	__u32 zero = 0;
	__u64 *n = bpf_map_lookup_elem(&counted, &zero);

	(void)ctx;
	if (n)
		++*n;
	return XDP_DROP;
}

SEC("xdp")
int rewrite(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;

	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	__builtin_memcpy(eth->h_dest, stream.src_mac, 6);
	__builtin_memcpy(eth->h_source, stream.dst_mac, 6);
	return XDP_TX;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
