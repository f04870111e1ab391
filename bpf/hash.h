/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* hash.h: the keyed hash of a flow; the same code in the XDP program and in user space.
 *
 * Strongly universal pair multiply-shift over 32-bit words (Dietzfelbinger 1996; Lemire and Kaser,
 * "Strongly universal string hashing is fast", 2014), then Murmur3's 64-bit finaliser to spread it
 * over all bits. Without the key nobody can aim flows at one slot. Both nodes have the same key and
 * therefore choose the same slot.
 */
#ifndef SLUICE_BPF_HASH_H
#define SLUICE_BPF_HASH_H

#include "bpf/abi.h"

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

static __always_inline __u64 hash_mix(__u64 h)
{
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdULL;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53ULL;
	h ^= h >> 33;
	return h;
}

static __always_inline __u64 hash_pair(__u64 k0, __u64 k1, __u32 a, __u32 b)
{
	return (k0 + a) * (k1 + b);
}

/* flow_hash_v4, flow_hash_v6: the hash of a flow; two multiplications, or five.
 * @key: HASH_KEY_WORDS secret words
 * @src, @dst: addresses, in words loaded as they lie in the packet
 * @ports: the first word of the TCP or UDP header, loaded likewise: source, then destination port
 */
static __always_inline __u64 flow_hash_v4(const volatile __u64 *key, __u32 src, __u32 dst,
					  __u32 ports, __u32 protocol)
{
	return hash_mix(key[0] + hash_pair(key[1], key[2], src, dst) +
			hash_pair(key[3], key[4], ports, protocol));
}

static __always_inline __u64 flow_hash_v6(const volatile __u64 *key, const __u32 *src,
					  const __u32 *dst, __u32 ports, __u32 protocol)
{
	return hash_mix(key[0] + hash_pair(key[1], key[2], src[0], src[1]) +
			hash_pair(key[3], key[4], src[2], src[3]) +
			hash_pair(key[5], key[6], dst[0], dst[1]) +
			hash_pair(key[7], key[8], dst[2], dst[3]) +
			hash_pair(key[9], key[10], ports, protocol));
}

/* flow_hash: the same hash, of a tuple. */
static __always_inline __u64 flow_hash(const volatile __u64 *key, const struct tuple *f)
{
	const __u32 mapped[3] = {0, 0, __builtin_bswap32(0xffff)};
	__u32 src[4], dst[4], ports;

	__builtin_memcpy(src, f->src, sizeof(src));
	__builtin_memcpy(dst, f->dst, sizeof(dst));
	ports = f->sport | (__u32)f->dport << 16;
	if (!__builtin_memcmp(dst, mapped, sizeof(mapped)))
		return flow_hash_v4(key, src[3], dst[3], ports, f->protocol);
	return flow_hash_v6(key, src, dst, ports, f->protocol);
}

/* service_line_v4, service_line_v6: the index of a service's line.
 * @port_protocol: the last word of its key
 */
static __always_inline __u32 service_line_v4(const volatile __u64 *key, __u32 addr,
					     __u32 port_protocol)
{
	__u64 h = hash_pair(key[1], key[3], addr, port_protocol);

	return (__u32)(h >> (64 - SERVICE_LINES_BITS));
}

static __always_inline __u32 service_line_v6(const volatile __u64 *key, const __u32 *addr,
					     __u32 port_protocol)
{
	__u64 h = hash_pair(key[1], key[3], addr[3], port_protocol) +
		  hash_pair(key[5], key[6], addr[0], addr[1]) + key[7] * addr[2];

	return (__u32)(h >> (64 - SERVICE_LINES_BITS));
}

/* service_line_of: the same, of a key. */
static __always_inline __u32 service_line_of(const volatile __u64 *key, const struct service_key *k)
{
	const __u32 mapped[3] = {0, 0, __builtin_bswap32(0xffff)};
	__u32 addr[4], port_protocol;

	__builtin_memcpy(addr, k->addr, sizeof(addr));
	port_protocol = k->port | (__u32)k->protocol << 16;
	if (!__builtin_memcmp(addr, mapped, sizeof(mapped)))
		return service_line_v4(key, addr[3], port_protocol);
	return service_line_v6(key, addr, port_protocol);
}

/* source_hash: of the first @bits bits of a source address: one user's connections, to whatever
 * service of a pool, have one slot. IPv4: @src has only word 3.
 */
static __always_inline __u64 source_hash(const volatile __u64 *key, const __u32 *src, __u32 ipv6,
					 __u32 bits)
{
	__u32 word[4] = {ipv6 ? src[0] : 0, ipv6 ? src[1] : 0, ipv6 ? src[2] : 0, src[3]};

	if (!ipv6)
		bits += 96;
	for (__u32 i = 0; i < 4; i++) {
		__u32 of_word = bits <= 32 * i ? 0 : bits - 32 * i;

		if (of_word < 32)
			word[i] &= __builtin_bswap32(~(__u32)(0xffffffffULL >> of_word));
	}
	return hash_mix(key[11] + hash_pair(key[5], key[6], word[0], word[1]) +
			hash_pair(key[7], key[8], word[2], word[3]));
}

/* slot_of_hash: which of @slots slots; uses the upper half of the hash. */
static __always_inline __u32 slot_of_hash(__u64 hash, __u32 slots)
{
	return (__u32)(((hash >> 32) * slots) >> 32);
}

/* flow_slot: the slot of a flow.
 * @source_bits: of its service
 */
static __always_inline __u32 flow_slot(const volatile __u64 *key, const struct tuple *f,
				       __u32 source_bits, __u32 slots)
{
	const __u32 mapped[3] = {0, 0, __builtin_bswap32(0xffff)};
	__u32 src[4];

	if (!source_bits)
		return slot_of_hash(flow_hash(key, f), slots);
	__builtin_memcpy(src, f->src, sizeof(src));
	return slot_of_hash(source_hash(key, src,
					__builtin_memcmp(src, mapped, sizeof(mapped)) != 0,
					source_bits),
			    slots);
}

#endif
