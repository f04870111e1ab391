/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* proxy.h: a PROXY protocol v2 header before the first byte of a connection.
 *
 * The backend's stream has `n` bytes more than the client sent: the header lies between the
 * client's ISN and its first byte. So, from the client's SYN on:
 *
 * | from the client, number     | becomes                                                       |
 * | before ISN + 1 (keepalive)  | as it is                                                      |
 * | ISN + 1                     | the header is put before its data, also of a bare ACK (a      |
 * |                             | server that speaks first waits for it), and in repetitions    |
 * | behind                      | n more                                                        |
 *
 * | from the backend, ACK, SACK | becomes                                                       |
 * | up to ISN + 1               | as it is                                                      |
 * | within the header           | ISN + 1                                                       |
 * | behind                      | n less; from then on, the header is acknowledged              |
 *
 * Once the header is acknowledged nothing is compared any more, as 2 GiB later "behind" would be
 * "before" (RFC 9293 3.4): every number of the client's becomes n more, of the backend's n less.
 *
 * The header has no state but these numbers: lost, it is sent again with the client's repetition,
 * which the client makes because what it sent is not acknowledged, or because the backend repeats
 * its SYN-ACK. So that a full segment has room for it, the MSS that the backend names is lowered.
 * A client's Fast Open is declined: its data would come before there is a header.
 */
#ifndef SLUICE_BPF_PROXY_H
#define SLUICE_BPF_PROXY_H

#include "bpf/tcp.h"

#define PROXY_BYTES4 28U
#define PROXY_BYTES6 52U

static __always_inline __u32 proxy_bytes(const struct scratch *s)
{
	return s->p.ipv6 ? PROXY_BYTES6 : PROXY_BYTES4;
}

/* proxy_down: a number of the client's stream as the backend counts, as the client counts. */
static __always_inline __u32 proxy_down(const struct scratch *s, const struct translation *t,
					__u32 n)
{
	__u32 less = proxy_bytes(s);

	return t->flags & TRANSLATION_ACKNOWLEDGED ? n - less
						   : number_down(n, t->client_isn + 1, less);
}

/* proxy_quoted: what is to be added to the number that an ICMP error quotes of what the backend was
 * sent. The segment that began with the header had the client's own number.
 */
static __always_inline __u32 proxy_quoted(struct xdp_md *ctx, const struct scratch *s,
					  const struct translation *t)
{
	__u32 at = s->p.transport_at + ICMP_BYTES, n;
	const struct iphdr *ip = packet_at(ctx, at, sizeof(*ip));
	const __be32 *seq;

	if (!ip)
		return 0;
	at += s->p.ipv6 ? (__u32)sizeof(struct ipv6hdr) : ip->ihl * 4U;
	seq = packet_at(ctx, at + 4, 4);
	if (!seq)
		return 0;
	n = bpf_ntohl(*seq);
	return proxy_down(s, t, n) - n;
}

/* proxy_text: the header, in s->front at @at; its sum. */
static __always_inline __u64 proxy_text(struct scratch *s, const struct translation *t)
{
	__be32 *word = (__be32 *)s->proxy;
	const __u32 *client = (const __u32 *)s->key.src, *vip = (const __u32 *)t->vip;

	word[0] = bpf_htonl(0x0d0a0d0a);
	word[1] = bpf_htonl(0x000d0a51);
	word[2] = bpf_htonl(0x5549540a);
	if (s->p.ipv6) {
		word[3] = bpf_htonl(0x21210000 | (PROXY_BYTES6 - 16));
		addr_put(word + 4, client);
		addr_put(word + 8, vip);
		word[12] = s->key.sport | (__u32)t->vip_port << 16;
		return sum_words(0, word, PROXY_BYTES6 / 4);
	}
	word[3] = bpf_htonl(0x21110000 | (PROXY_BYTES4 - 16));
	word[4] = client[3];
	word[5] = vip[3];
	word[6] = s->key.sport | (__u32)t->vip_port << 16;
	return sum_words(0, word, PROXY_BYTES4 / 4);
}

/* proxy_room: move the headers, so that there is room behind them, and fill it. */
static __always_inline int proxy_room(struct xdp_md *ctx, struct scratch *s, __u32 front_bytes)
{
	if (front_bytes < 1 || front_bytes > FRONT_MOST ||
	    bpf_xdp_load_bytes(ctx, 0, s->front, front_bytes) ||
	    bpf_xdp_adjust_head(ctx, -(int)proxy_bytes(s)) ||
	    bpf_xdp_store_bytes(ctx, 0, s->front, front_bytes))
		return 0;
	return !(s->p.ipv6 ? bpf_xdp_store_bytes(ctx, front_bytes, s->proxy, PROXY_BYTES6)
			   : bpf_xdp_store_bytes(ctx, front_bytes, s->proxy, PROXY_BYTES4));
}

/* proxy_insert: the header comes before the segment's data. */
__noinline int proxy_insert(struct xdp_md *ctx, struct scratch *s, const struct translation *t)
{
	struct tcphdr *tcp;
	__u64 change;
	__u16 urgent;
	__u32 bytes;

	if (!s || !t)
		return 0;
	change = proxy_text(s, t);
	bytes = proxy_bytes(s);
	if (!proxy_room(ctx, s, s->p.transport_at + s->header_bytes))
		return 0;
	if (!ip_resize(ctx, s, s->p.ip_bytes + bytes, 0))
		return 0;
	tcp = packet_at(ctx, s->p.transport_at, sizeof(*tcp));
	if (!tcp)
		return 0;
	/* the length is a word of the pseudo-header */
	change += bpf_htons((__u16)bytes);
	if (s->flags & 0x20) {
		urgent = bpf_htons((__u16)(bpf_ntohs(tcp->urg_ptr) + bytes));
		change = sum_replace(change, tcp->urg_ptr, urgent);
		tcp->urg_ptr = urgent;
	}
	tcp->check = checksum_update(tcp->check, change);
	return 1;
}

/* proxy_syn: no Fast Open, no data. */
static __always_inline int proxy_syn(struct xdp_md *ctx, struct scratch *s)
{
	const struct options_change change = {.no_fast_open = 1};

	return s->payload_bytes ? 0 : options_edit(ctx, s, &change);
}

/* proxy_in: a client's segment, before its ends are translated. */
__noinline int proxy_in(struct xdp_md *ctx, struct scratch *s, const struct translation *t)
{
	__s32 behind;

	if (!s || !t)
		return 0;
	if (s->p.kind == PACKET_SYN)
		return proxy_syn(ctx, s);
	behind = (__s32)(s->seq - t->client_isn - 1);
	if (behind > 0 || t->flags & TRANSLATION_ACKNOWLEDGED)
		return segment_patch(ctx, s, s->seq + proxy_bytes(s), s->ack);
	if (behind < 0 || s->p.kind == PACKET_RST)
		return 1;
	return proxy_insert(ctx, s, t);
}

/* proxy_window: of a SYN-ACK: what it offers is for the header, too. */
static __always_inline int proxy_window(struct xdp_md *ctx, struct scratch *s)
{
	struct tcphdr *tcp = packet_at(ctx, s->p.transport_at, sizeof(*tcp));
	__u32 less = proxy_bytes(s);
	__be16 window;

	if (!tcp)
		return 0;
	if (s->window <= less)
		return 1;
	window = bpf_htons((__u16)(s->window - less));
	tcp->check = checksum_update(tcp->check, sum_replace(0, tcp->window, window));
	tcp->window = window;
	return 1;
}

/* proxy_back: a backend's segment, likewise. */
__noinline int proxy_back(struct xdp_md *ctx, struct scratch *s, struct translation *t)
{
	struct options_change change = {0};
	__u32 first, less;

	if (!s || !t)
		return 0;
	first = t->client_isn + 1;
	less = proxy_bytes(s);
	if (s->flags & TCP_FLAG_SYN) {
		change.mss_less = less;
		return proxy_window(ctx, s) && options_edit(ctx, s, &change);
	}
	if (!(s->flags & TCP_FLAG_ACK))
		return 1;
	change.sack_first = first;
	change.sack_less = less;
	change.sack_all = t->flags & TRANSLATION_ACKNOWLEDGED;
	if (!segment_patch(ctx, s, s->seq, proxy_down(s, t, s->ack)))
		return 0;
	if (!change.sack_all && (__s32)(s->ack - first - less) >= 0 && !dry_run()) {
		__sync_fetch_and_or(&t->flags, TRANSLATION_ACKNOWLEDGED);
		exception_tell(&s->key, EXCEPTION_TRANSLATION);
	}
	return options_edit(ctx, s, &change);
}

#endif
