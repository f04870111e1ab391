/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_packet.c: any bytes as a frame, read by the stage of the XDP program that reads frames,
 * compiled natively. The frame lies in memory of its very size, for the sanitizer to see what is
 * beyond. What both ways of reading it say must agree, and lie within it.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/parse.h"

enum { FRAME_MOST = 9100 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void must(bool good)
{
	if (!good)
		abort();
}

/* What the other stages rely on. */
static void check(const struct packet *p, size_t frame_bytes)
{
	must(p->len_bytes == frame_bytes && p->kind <= PACKET_FRAGMENT);
	must(p->ip_at >= sizeof(struct ethhdr) &&
	     p->ip_at <= sizeof(struct ethhdr) + 4 * VLAN_TAGS_MOST);
	must((size_t)p->ip_at + p->ip_bytes <= frame_bytes);
	must(p->transport_at >= p->ip_at + (p->ipv6 ? 40 : 20));
	must(p->transport_at <= p->ip_at + p->ip_bytes);
	must(p->kind == PACKET_FRAGMENT || p->protocol == IPPROTO_TCP ||
	     p->protocol == IPPROTO_UDP);
	must(p->kind != PACKET_FRAGMENT || p->ports == 0);
	must(p->kind != PACKET_ICMP || (p->quoted_at >= p->transport_at + 8 + (p->ipv6 ? 40 : 20) &&
					p->quoted_at + 4U <= (__u32)p->ip_at + p->ip_bytes));
	source_bad(p);
}

/* The hash of what was read is that of the same tuple in user space. */
static void check_hash(const struct packet *p)
{
	static const __u64 key[HASH_KEY_WORDS] = {1, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37};
	struct tuple t = {.sport = (__be16)p->ports,
			  .dport = (__be16)(p->ports >> 16),
			  .protocol = (__u8)p->protocol};
	const __u32 prefix = MAPPED_PREFIX;

	if (p->ipv6) {
		memcpy(t.src, p->src, 16);
		memcpy(t.dst, p->dst, 16);
		if (!memcmp(t.dst, (const __u8[12]){[10] = 0xff, 0xff}, 12))
			return; /* such packets are for no service */
	} else {
		memcpy(t.src + 8, &prefix, 4);
		memcpy(t.dst + 8, &prefix, 4);
		memcpy(t.src + 12, &p->src[3], 4);
		memcpy(t.dst + 12, &p->dst[3], 4);
	}
	must(packet_hash(key, p) == flow_hash(key, &t));
	fragment_hash(key, p);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct packet quick, closely;
	enum reason by_quick, by_closely;
	uint64_t own_mac = 0;
	uint8_t *frame;

	if (n == 0 || n > FRAME_MOST)
		return 0;
	frame = malloc(n);
	if (!frame)
		return 0;
	memcpy(frame, bytes, n);
	if (n >= 6) /* it is for us: the rest is what is interesting */
		memcpy(&own_mac, frame, 6);
	memset(&quick, 0, sizeof(quick));
	by_quick =
		parse(frame, frame + n, (__u32)n, (const volatile __u64 *)&own_mac, NULL, &quick);
	by_closely = parse_closely(frame, frame + n, (__u32)n, &closely);
	if (by_closely == LOOK_INSIDE)
		by_closely = parse_quoted(frame, frame + n, &closely);
	must(by_quick == LOOK_CLOSER || by_quick == by_closely);
	if (by_closely == NEXT) {
		check(&closely, n);
		check_hash(&closely);
	}
	if (by_quick == NEXT) {
		check(&quick, n);
		must(quick.ports == closely.ports && quick.kind == closely.kind &&
		     quick.protocol == closely.protocol &&
		     quick.transport_at == closely.transport_at);
	}
	free(frame);
	return 0;
}
