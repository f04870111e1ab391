/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* checksum.h: the Internet checksum (RFC 1071), changed along with what it covers (RFC 1624).
 *
 * A sum is that of 16-bit words in ones' complement, kept in 64 bits and fed with 32-bit words as
 * they lie in the packet: neither the byte order nor the carries matter before it is folded.
 * Compiles natively, too.
 */
#ifndef SLUICE_BPF_CHECKSUM_H
#define SLUICE_BPF_CHECKSUM_H

#include "bpf/hash.h"

/* sum_replace: a word of @from that became @to. */
static __always_inline __u64 sum_replace(__u64 sum, __u32 from, __u32 to)
{
	return sum + (__u32)~from + to;
}

/* sum_words: of @n words more. */
static __always_inline __u64 sum_words(__u64 sum, const __u32 *word, __u32 n)
{
	for (__u32 i = 0; i < n; i++)
		sum += word[i];
	return sum;
}

/* sum_fold: to 16 bits. */
static __always_inline __u32 sum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u32)sum;
}

/* checksum_of: the field of what has this sum. */
static __always_inline __u16 checksum_of(__u64 sum)
{
	return (__u16)~sum_fold(sum);
}

/* checksum_update: the field, after what it covers changed by @change (RFC 1624, equation 3). */
static __always_inline __u16 checksum_update(__u16 check, __u64 change)
{
	return (__u16)~sum_fold((__u64)(__u16)~check + change);
}

/* checksum_update_udp: 0 says that there is none (RFC 768); one that comes out as 0 is sent as
 * its other zero.
 */
static __always_inline __u16 checksum_update_udp(__u16 check, __u64 change)
{
	__u16 updated;

	if (!check)
		return 0;
	updated = checksum_update(check, change);
	return updated ? updated : 0xffff;
}

#endif
