/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* embryo.h: the embryo of a flow: where the one packet went that was seen of it.
 *
 * A flow has two places (a set of a two-way cache). What is written takes the first, and what
 * was there the second: it takes two others, within one handshake, to lose one that is needed. They
 * need no ages, for what nobody comes back for is pushed out.
 *
 * Two CPUs may write at once: then one of the two embryos is lost.
 */
#ifndef SLUICE_BPF_EMBRYO_H
#define SLUICE_BPF_EMBRYO_H

#include "bpf/explain.h"
#include "bpf/maps.h"

struct embryo_set {
	struct embryo *younger, *older;
};

/* embryo_set_find: 0 when there is none, which no hash brings about. */
static __always_inline int embryo_set_find(__u64 hash, struct embryo_set *ret)
{
	__u32 at = (__u32)hash & embryo_mask & ~1U;

	ret->younger = bpf_map_lookup_elem(&embryos, &at);
	at |= 1;
	ret->older = bpf_map_lookup_elem(&embryos, &at);
	return ret->younger && ret->older;
}

static __always_inline int embryo_of(__u64 tag, __u64 hash)
{
	return EMBRYO_TAG(tag) == EMBRYO_TAG(hash);
}

/* embryo_tag: the tag of this flow's, else 0. */
static __always_inline __u64 embryo_tag(const struct embryo_set *set, __u64 hash)
{
	__u64 tag = set->younger->tag;

	if (embryo_of(tag, hash))
		return tag;
	tag = set->older->tag;
	return embryo_of(tag, hash) ? tag : 0;
}

static __always_inline void embryo_put(const struct embryo_set *set, __u64 tag)
{
	if (dry_run())
		return;
	if (!embryo_of(set->younger->tag, tag))
		set->older->tag = set->younger->tag;
	set->younger->tag = tag;
}

/* embryo_write: the flow's packet went to @backend. */
static __always_inline void embryo_write(const struct embryo_set *set, __u64 hash, __u32 backend)
{
	if (backend != BACKEND_NONE)
		embryo_put(set, EMBRYO_TAG(hash) | backend);
}

/* embryo_clear: so that a later one proves a later SYN. */
static __always_inline void embryo_clear(const struct embryo_set *set, __u64 hash)
{
	if (dry_run())
		return;
	if (embryo_of(set->younger->tag, hash))
		set->younger->tag = 0;
	if (embryo_of(set->older->tag, hash))
		set->older->tag = 0;
}

#endif
