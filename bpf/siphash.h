/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* siphash.h: SipHash-2-4 (Aumasson, Bernstein 2012): a keyed hash of short messages of whole 64-bit
 * words; the same code in a BPF program and in user space. Words are the host's: that is the
 * paper's own order on little-endian machines, and nodes of a pair are of one kind.
 */
#ifndef SLUICE_BPF_SIPHASH_H
#define SLUICE_BPF_SIPHASH_H

#include <linux/types.h>

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

static __always_inline __u64 siphash_rotate(__u64 x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static __always_inline void siphash_round(__u64 v[static 4])
{
	v[0] += v[1];
	v[1] = siphash_rotate(v[1], 13) ^ v[0];
	v[0] = siphash_rotate(v[0], 32);
	v[2] += v[3];
	v[3] = siphash_rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = siphash_rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = siphash_rotate(v[1], 17) ^ v[2];
	v[2] = siphash_rotate(v[2], 32);
}

static __always_inline void siphash_word(__u64 v[static 4], __u64 word)
{
	v[3] ^= word;
	siphash_round(v);
	siphash_round(v);
	v[0] ^= word;
}

/* siphash: of @n words. */
static __always_inline __u64 siphash(__u64 key0, __u64 key1, const __u64 *words, __u32 n)
{
	__u64 v[4] = {key0 ^ 0x736f6d6570736575ULL, key1 ^ 0x646f72616e646f6dULL,
		      key0 ^ 0x6c7967656e657261ULL, key1 ^ 0x7465646279746573ULL};

	for (__u32 i = 0; i < n; i++)
		siphash_word(v, words[i]);
	siphash_word(v, (__u64)n * 8 << 56); /* the last word: the length, and no bytes left */
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		siphash_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
