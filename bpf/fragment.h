/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fragment.h: fragments of IP packets. Only the first one has ports; where it went is remembered by
 * what all of them share, and the others follow.
 *
 * What comes before its first fragment, or after a flood has overwritten the entry, is dropped and
 * counted: it cannot be known whose it is. The table is direct-mapped, so a flood of fragments
 * touches nothing else.
 */
#ifndef SLUICE_BPF_FRAGMENT_H
#define SLUICE_BPF_FRAGMENT_H

#include "bpf/explain.h"
#include "bpf/maps.h"
#include "bpf/parse.h"
#include "bpf/service.h"

static __always_inline struct fragment *fragment_entry(__u64 hash)
{
	__u32 at = (__u32)hash & (FRAGMENTS - 1);

	return bpf_map_lookup_elem(&fragments, &at);
}

/* fragment_tag: read it, in order with what is read before and after.
 *
 * An entry is two words. Who writes it takes it by the tag, so that no two mix theirs; who reads it
 * reads the tag before and after the service. BPF has no barriers, but its atomic operations that
 * return a value are full ones, on every CPU.
 */
static __always_inline __u64 fragment_tag(struct fragment *f)
{
	return __sync_fetch_and_or(&f->tag, 0);
}

/* fragment_remember: the first fragment of a packet of @service went to @backend. */
static __noinline int fragment_remember(const struct packet *p, const struct service *service,
					__u32 backend)
{
	__u64 hash = fragment_hash(hash_key, p), was;
	struct fragment *f = fragment_entry(hash);

	if (!f || dry_run())
		return 0;
	was = fragment_tag(f);
	if (was == FRAGMENT_WRITING ||
	    __sync_val_compare_and_swap(&f->tag, was, FRAGMENT_WRITING) != was)
		return 0; /* another packet's: one of the two is lost in any case */
	*(volatile __u64 *)&f->service = *(const __u64 *)service;
	__sync_lock_test_and_set(&f->tag, FRAGMENT_TAG(hash) | backend);
	return 0;
}

/* fragment_find: where the first one went.
 * The service's record is that of its time: a copy, in which only id and mode are looked at.
 */
static __noinline enum reason fragment_find(const struct packet *p, struct service *ret_service,
					    __u32 *ret_backend)
{
	__u64 hash = fragment_hash(hash_key, p), tag;
	struct fragment *f = fragment_entry(hash);

	if (!f)
		return REASON_DROP_INTERNAL;
	tag = fragment_tag(f);
	*(__u64 *)ret_service = *(volatile __u64 *)&f->service;
	if (!tag || tag == FRAGMENT_WRITING || FRAGMENT_TAG(tag) != FRAGMENT_TAG(hash) ||
	    fragment_tag(f) != tag)
		return vip_find(p) ? REASON_DROP_FRAGMENT : REASON_PASS_FRAGMENT;
	*ret_backend = (__u32)tag & SLOT_BACKEND;
	return NEXT;
}

#endif
