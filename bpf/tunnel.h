/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tunnel.h: forward mode tunnel: the packet in a packet of the node's own, for backends behind
 * routers; they answer the client themselves.
 *
 * IPIP (RFC 2003, RFC 2473, RFC 4213: any of the two families in any) or GUE: UDP with the four
 * bytes of draft-ietf-intarea-gue-09 variant 0 before the inner packet, as Linux's fou devices take
 * it. The UDP checksum is 0, over IPv6 as RFC 6935 allows it for tunnels: the packet inside has one
 * of its own, and Linux's fou takes it. VLAN tags stay before the outer header.
 *
 * So that the receiver's queues share the work although it may look at addresses only, the low bits
 * of the outer source (and GUE's source port, and the flow label) are the flow's.
 *
 * The node is a router here: the inner packet's time to live goes down, and one that does not fit
 * is not fragmented. Its sender is told, with DF or without: without an answer its packets would
 * vanish, and a sender that would fragment can do so to the size that is named.
 *
 * The outer header: TOS as inside (RFC 6040 4.1: ECN too), DF, and any identification with it will
 * do (RFC 6864 4.1).
 */
#ifndef SLUICE_BPF_TUNNEL_H
#define SLUICE_BPF_TUNNEL_H

#include "bpf/maps.h"
#include "bpf/outer.h"
#include "bpf/parse.h"
#include "bpf/reply.h"

#define IPV6_MTU_LEAST	   1280U
#define TCP_OPTIONS_MOST   8 /* that are looked at: every known sender has its MSS first */
#define TCP_OPTION_MSS	   2
#define TCP_OPTION_NOP	   1
#define TCP_OPTION_MSS_LEN 4

/* ---- the MSS option of a SYN ---- */

/* mss_lower: at @option, whose value lies at @odd (0 or 1) of the header's 16-bit words. The
 * checksum follows (RFC 1624, equation 3).
 */
static __always_inline void mss_lower(struct tcphdr *tcp, __u8 *option, __u32 odd, __u32 most)
{
	__u32 mss = (__u32)option[2] << 8 | option[3];
	__u64 was = bpf_htons((__u16)mss), is = bpf_htons((__u16)most);

	if (mss <= most)
		return;
	if (odd) {
		was = (was & 0xff) << 8 | was >> 8;
		is = (is & 0xff) << 8 | is >> 8;
	}
	option[2] = (__u8)(most >> 8);
	option[3] = (__u8)most;
	tcp->check = checksum_fold((__u16)~tcp->check + (~was & 0xffff) + is);
}

/* tunnel_clamp_mss: lower a SYN's MSS to @most. Malformed options are the backend's to judge. */
__noinline int tunnel_clamp_mss(struct xdp_md *ctx, __u32 transport_at, __u32 most)
{
	void *frame = (void *)(long)ctx->data, *frame_end = (void *)(long)ctx->data_end;
	__u32 at = sizeof(struct tcphdr), header_bytes; /* at: below 64 */
	struct tcphdr *tcp;

	if (transport_at > TRANSPORT_AT_MOST)
		return 0;
	tcp = frame + transport_at;
	if ((void *)(tcp + 1) > frame_end)
		return 0;
	header_bytes = tcp->doff * 4U;
	for (int i = 0; i < TCP_OPTIONS_MOST && at + TCP_OPTION_MSS_LEN <= header_bytes; i++) {
		__u8 *option = (void *)tcp + at;

		if ((void *)(option + TCP_OPTION_MSS_LEN) > frame_end || option[0] == 0)
			return 0;
		if (option[0] == TCP_OPTION_NOP) {
			at = (at + 1) & 0x3f;
			continue;
		}
		if (option[0] == TCP_OPTION_MSS && option[1] == TCP_OPTION_MSS_LEN) {
			mss_lower(tcp, option, at & 1, most);
			return 1;
		}
		if (option[1] < 2)
			return 0;
		at = (at + option[1]) & 0x3f;
	}
	return 0;
}

/* ---- the inner header ---- */

/* tunnel_hop: one hop less, and *ret_tos. */
static __always_inline int tunnel_hop(void *ip, const void *frame_end, __u32 ipv6, __u32 *ret_tos)
{
	struct iphdr *four = ip;
	struct ipv6hdr *six = ip;
	__u32 check;

	if (ipv6) {
		if ((void *)(six + 1) > frame_end)
			return 0;
		*ret_tos = (bpf_ntohs(*(const __be16 *)six) >> 4) & 0xff;
		six->hop_limit--;
		return 1;
	}
	if ((void *)(four + 1) > frame_end)
		return 0;
	*ret_tos = four->tos;
	four->ttl--;
	check = four->check + (__u32)bpf_htons(0x0100);
	four->check = (__u16)(check + (check >= 0xffff));
	return 1;
}

static __always_inline int tunnel_hops_left(struct xdp_md *ctx, const struct place *at)
{
	const void *ip = (void *)(long)ctx->data + at->ip_at;

	if (at->ip_at > IP_AT_MOST || ip + sizeof(struct iphdr) > (void *)(long)ctx->data_end)
		return 0;
	if (at->ipv6)
		return ((const struct ipv6hdr *)ip)->hop_limit;
	return ((const struct iphdr *)ip)->ttl;
}

/* ---- the frame ---- */

/* tunnel_ethertype: it stands last before the IP header, which may be in three places. */
static __always_inline void tunnel_ethertype(void *frame, __u32 ip_at, __be16 ethertype)
{
	for (__u32 at = ETHERTYPE_AT; at < IP_AT_MOST; at += 4)
		if (ip_at == at + 2)
			*(__be16 *)(frame + at) = ethertype;
}

/* ---- the mode ---- */

/* tunnel_too_big: tell the sender what fits. An IPv6 sender need not go below 1280 bytes, and one
 * that is told less than that may not listen (RFC 8201 4).
 */
static __always_inline int tunnel_too_big(struct xdp_md *ctx, const struct place *at, __u32 most)
{
	if (at->ipv6 && most < IPV6_MTU_LEAST) {
		if (at->ip_bytes <= IPV6_MTU_LEAST)
			return REASON_DROP_TOO_BIG;
		most = IPV6_MTU_LEAST;
	}
	return reply_icmp(ctx, at, REASON_REPLY_TOO_BIG, most);
}

/* tunnel: put the packet into another one, to backend @to. NEXT: only the MACs are still to be
 * written; else what became of it.
 * @hash: of the flow
 */
__noinline int tunnel(struct xdp_md *ctx, const struct place *at, const struct backend *to,
		      __u64 hash)
{
	__u32 overhead, ip_at, tos = 0, most;
	void *frame, *frame_end;

	if (!at || !to)
		return REASON_DROP_INTERNAL;
	if (tunnel_hops_left(ctx, at) <= 1)
		return reply_icmp(ctx, at, REASON_REPLY_TTL, 0);
	overhead = tunnel_overhead(to);
	most = to->tunnel_mtu > overhead ? to->tunnel_mtu - overhead : 0;
	if (at->ip_bytes > most)
		return tunnel_too_big(ctx, at, most);
	if (to->tunnel_clamp && at->kind == PACKET_SYN && most > 60)
		tunnel_clamp_mss(ctx, at->transport_at, most - (at->ipv6 ? 60 : 40));

	ip_at = at->ip_at;
	if (bpf_xdp_adjust_head(ctx, -(int)overhead) || ip_at > IP_AT_MOST)
		return REASON_DROP_INTERNAL;
	frame = (void *)(long)ctx->data;
	frame_end = (void *)(long)ctx->data_end;
	if (frame + IP_AT_MOST > frame_end || frame + overhead + IP_AT_MOST > frame_end ||
	    !tunnel_hop(frame + ip_at + overhead, frame_end, at->ipv6, &tos))
		return REASON_DROP_INTERNAL;
	reply_tags(frame, frame + overhead);
	tunnel_ethertype(frame, ip_at, bpf_htons(tunnel_outer6(to) ? ETH_P_IPV6 : ETH_P_IP));
	if (!tunnel_write(frame + ip_at, frame_end, to, hash, tos, at->ip_bytes,
			  at->ipv6 ? IPPROTO_IPV6 : IPPROTO_IPIP))
		return REASON_DROP_INTERNAL;
	return NEXT;
}

#endif
