// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* flood.bpf.c: one packet of a flood; run over live frames, whose pages keep what their last user
 * left there, so all headers are written each time. Sources are 172.16.0.0/12, at random.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "tests/e2e/flood/flood.h"

struct flood flood = {};
__u64 sent = 0;

static __always_inline __u16 ip_checksum(const struct iphdr *ip)
{
	const __u16 *word = (const void *)ip;
	__u32 sum = 0;

	for (int i = 0; i < 10; i++)
		sum += word[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16) ~((sum & 0xffff) + (sum >> 16));
}

static __always_inline void put_tcp(struct tcphdr *tcp, __u32 sport, __u32 random)
{
	__builtin_memset(tcp, 0, sizeof(*tcp));
	tcp->source = bpf_htons((__u16)sport);
	tcp->dest = flood.port;
	tcp->seq = random;
	tcp->ack_seq = flood.kind == FLOOD_SYN ? 0 : ~random;
	tcp->doff = 5;
	tcp->syn = flood.kind == FLOOD_SYN;
	tcp->ack = flood.kind != FLOOD_SYN;
	tcp->window = 0xffff;
}

static __always_inline void put_udp(struct udphdr *udp, __u32 sport)
{
	udp->source = bpf_htons((__u16)sport);
	udp->dest = flood.port;
	udp->len = bpf_htons(FLOOD_BYTES - sizeof(struct ethhdr) - sizeof(struct iphdr));
	udp->check = 0;
}

SEC("xdp")
int generate(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	__u64 n = sent++, flow = n;
	__u32 random;

	if ((void *)eth + FLOOD_BYTES > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	if (flood.kind == FLOOD_ACKS) /* each flow sends several: they fill the flow table */
		flow = n / FLOOD_ACKS_EACH;
	flow = (flow + flood.salt) * 0x9e3779b97f4a7c15ULL;
	random = (__u32)(flow >> 16);
	__builtin_memcpy(eth->h_dest, flood.dst_mac, 6);
	__builtin_memcpy(eth->h_source, flood.src_mac, 6);
	eth->h_proto = bpf_htons(ETH_P_IP);
	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version = 4;
	ip->ihl = 5;
	ip->ttl = 64;
	ip->tot_len = bpf_htons(FLOOD_BYTES - sizeof(*eth));
	ip->saddr = bpf_htonl(0xac100000 | (random & 0xfffff));
	ip->daddr = flood.vip;
	ip->protocol = flood.kind == FLOOD_UDP || flood.kind == FLOOD_FRAGMENTS ? IPPROTO_UDP
										: IPPROTO_TCP;
	if (flood.kind == FLOOD_FRAGMENTS) { /* first ones and others, of packets never whole */
		ip->id = (__be16)n;
		ip->frag_off = bpf_htons(n & 1 ? 0x2000 : 0x2005);
	}
	ip->check = ip_checksum(ip);
	if (ip->protocol == IPPROTO_UDP)
		put_udp((void *)(ip + 1), 1024 + (__u32)(flow >> 40) % 60000);
	else
		put_tcp((void *)(ip + 1), 1024 + (__u32)(flow >> 40) % 60000, random);
	return XDP_TX;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
