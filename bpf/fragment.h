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

/* fragment_remember: the first fragment of a packet of @service went to @backend. */
static __noinline int fragment_remember(const struct packet *p, const struct service *service,
					__u32 backend)
{
	__u64 hash = fragment_hash(hash_key, p);
	struct fragment *f = fragment_entry(hash);

	if (!f || dry_run())
		return 0;
	f->tag = 0;
	__asm__ __volatile__("" ::: "memory");
	*(volatile __u64 *)&f->service = *(const __u64 *)service;
	__asm__ __volatile__("" ::: "memory");
	f->tag = FRAGMENT_TAG(hash) | backend;
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
	tag = *(volatile __u64 *)&f->tag;
	*(__u64 *)ret_service = *(volatile __u64 *)&f->service;
	if (!tag || FRAGMENT_TAG(tag) != FRAGMENT_TAG(hash) || *(volatile __u64 *)&f->tag != tag)
		return vip_find(p) ? REASON_DROP_FRAGMENT : REASON_PASS_FRAGMENT;
	*ret_backend = (__u32)tag & SLOT_BACKEND;
	return NEXT;
}

#endif
