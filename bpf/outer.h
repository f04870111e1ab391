/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* outer.h: the headers that mode tunnel puts before a packet, written into memory; tunnel.h says
 * what they are. Shared by the XDP program and by probe.bpf.c, so that a probe goes as clients'
 * packets do. No maps, no frame.
 */
#ifndef SLUICE_BPF_OUTER_H
#define SLUICE_BPF_OUTER_H

#include "bpf/checksum.h"
#include "bpf/parse.h"

#define TUNNEL_TTL	 64
#define GUE_BYTES	 12U /* UDP's header and its own */
#define GUE_SOURCE_PORTS 0xc000U

/* addr_is_mapped: is it an IPv4 address? */
static __always_inline int addr_is_mapped(const __u8 addr[static 16])
{
	const __u32 *word = (const __u32 *)addr;

	return !(word[0] | word[1]) && word[2] == MAPPED_PREFIX;
}

static __always_inline int tunnel_outer6(const struct backend *to)
{
	return !addr_is_mapped(to->addr);
}

static __always_inline __u32 tunnel_overhead(const struct backend *to)
{
	return (tunnel_outer6(to) ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) +
	       (to->tunnel_port ? GUE_BYTES : 0);
}

static __always_inline __u64 tunnel_source_bits(const struct backend *to, __u64 hash, __u64 fixed)
{
	__u64 mask = to->tunnel_bits >= 64 ? ~0ULL : (1ULL << to->tunnel_bits) - 1;

	return (fixed & ~mask) | (hash & mask);
}

static __always_inline void tunnel_ip4(__be32 *ip, const struct backend *to, __u64 hash, __u32 tos,
				       __u32 bytes, __u32 protocol)
{
	const __be32 *src = (const __be32 *)to->tunnel_src, *dst = (const __be32 *)to->addr;

	ip[0] = bpf_htonl(0x45000000 | tos << 16 | bytes);
	ip[1] = bpf_htonl(IP_DONT_FRAGMENT);
	ip[2] = bpf_htonl(TUNNEL_TTL << 24 | protocol << 16);
	ip[3] = bpf_htonl((__u32)tunnel_source_bits(to, hash, bpf_ntohl(src[3])));
	ip[4] = dst[3];
	((struct iphdr *)ip)->check = checksum_of(sum_words(0, (const __u32 *)ip, 5));
}

static __always_inline void tunnel_ip6(__be32 *ip, const struct backend *to, __u64 hash, __u32 tos,
				       __u32 bytes, __u32 protocol)
{
	const __be64 *src = (const __be64 *)to->tunnel_src, *dst = (const __be64 *)to->addr;
	__be64 *addr = (__be64 *)(ip + 2);

	ip[0] = bpf_htonl(0x60000000 | tos << 20 | (__u32)(hash >> 32 & 0xfffff));
	ip[1] = bpf_htonl((bytes - (__u32)sizeof(struct ipv6hdr)) << 16 | protocol << 8 |
			  TUNNEL_TTL);
	addr[0] = src[0];
	addr[1] = bpf_cpu_to_be64(tunnel_source_bits(to, hash, bpf_be64_to_cpu(src[1])));
	addr[2] = dst[0];
	addr[3] = dst[1];
}

/* @protocol: of the inner packet; GUE's header is that alone: variant 0, no options, no flags. */
static __always_inline void tunnel_gue(__be32 *udp, const struct backend *to, __u64 hash,
				       __u32 bytes, __u32 protocol)
{
	__u32 port = GUE_SOURCE_PORTS | (__u32)(hash >> 18 & (0xffff & ~GUE_SOURCE_PORTS));

	udp[0] = bpf_htonl(port << 16 | bpf_ntohs(to->tunnel_port));
	udp[1] = bpf_htonl(bytes << 16);
	udp[2] = bpf_htonl(protocol << 16);
}

/* tunnel_write: into the room that was made before the inner packet. */
static __always_inline int tunnel_write(void *ip, const void *frame_end, const struct backend *to,
					__u64 hash, __u32 tos, __u32 inner_bytes, __u32 inner)
{
	__u32 gue_bytes = to->tunnel_port ? GUE_BYTES : 0;
	__u32 protocol = to->tunnel_port ? IPPROTO_UDP : inner;
	void *udp;

	if (tunnel_outer6(to)) {
		udp = ip + sizeof(struct ipv6hdr);
		if (udp + GUE_BYTES > frame_end)
			return 0;
		tunnel_ip6(ip, to, hash, tos,
			   inner_bytes + gue_bytes + (__u32)sizeof(struct ipv6hdr), protocol);
	} else {
		udp = ip + sizeof(struct iphdr);
		if (udp + GUE_BYTES > frame_end)
			return 0;
		tunnel_ip4(ip, to, hash, tos, inner_bytes + gue_bytes + (__u32)sizeof(struct iphdr),
			   protocol);
	}
	if (to->tunnel_port)
		tunnel_gue(udp, to, hash, inner_bytes + gue_bytes, inner);
	return 1;
}

#endif
