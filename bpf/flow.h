/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* flow.h: the stage that picks a packet's backend, and what is remembered of flows.
 *
 * flow_pick() hashes the packet to a slot and reads the slot's owner. In a settled slot most
 * packets end here: a SYN, whose embryo is written, and a packet whose bucket was stamped in this
 * epoch. The rest goes to flow_follow(), which looks the flow up; doc/architecture.md has the table
 * of the cases.
 *
 * `live` of a backend is opened - closed, so both must be exact whatever two CPUs do to one flow:
 * opened is counted by whoever's insert succeeded, closed by whoever's atomic or set FLOW_CLOSING.
 */
#ifndef SLUICE_BPF_FLOW_H
#define SLUICE_BPF_FLOW_H

#include "bpf/count.h"
#include "bpf/embryo.h"
#include "bpf/handover.h"
#include "bpf/maps.h"
#include "bpf/parse.h"
#include "bpf/tell.h"

#define FLOW_EXISTS -17 /* -EEXIST of an insert: another CPU was first */
#define FLOW_FULL   -7	/* -E2BIG */

#define BACKEND_GONE   0x8000U	/* instead of a backend's number: the client is to be told by RST */
#define BACKEND_HANDED 0x10000U /* beside it: the partner may know better */

/* What the stage knows of a packet. */
struct pick {
	__u64 hash;
	__u32 service;	/* its id */
	__u32 owner;	/* of the slot; may be BACKEND_NONE */
	__u32 previous; /* owner; only in transition */
	__u32 transition;
	__u32 resets; /* the flow of a backend that is gone is answered by RST */
	struct embryo_set embryos;
	__u8 *stamp; /* of its bucket */
	const struct clock *clock;
};

static __always_inline int backend_alive(__u32 number)
{
	const struct backend *b = bpf_map_lookup_elem(&backends, &number);

	return b && (b->flags & BACKEND_ALIVE);
}

static __always_inline void flow_key_make(const struct packet *p, __u32 service,
					  struct flow_key *ret_key)
{
	__u32 *src = (__u32 *)ret_key->src;

	if (p->ipv6) {
		__builtin_memcpy(src, p->src, 12);
	} else {
		src[0] = src[1] = 0;
		src[2] = MAPPED_PREFIX;
	}
	src[3] = p->src[3];
	ret_key->sport = (__be16)p->ports;
	ret_key->service = (__u16)service;
}

/* flow_close: it is live no longer; counted by the first who says so. */
static __always_inline void flow_close(struct flow *f)
{
	if (dry_run())
		return;
	if (!(__sync_fetch_and_or(&f->flags, FLOW_CLOSING) & FLOW_CLOSING))
		count_closed(f->backend);
}

static __always_inline void flow_forget(const struct flow_key *key, struct flow *f)
{
	if (dry_run())
		return;
	flow_close(f);
	bpf_map_delete_elem(&flows, key);
}

/* embryo_backend: of the embryo of this very flow, else BACKEND_NONE. */
static __always_inline __u32 embryo_backend(const struct pick *k)
{
	__u64 tag = embryo_tag(&k->embryos, k->hash);

	if (!tag || tag & EMBRYO_KNOWN)
		return BACKEND_NONE;
	return (__u32)tag & 0xffff;
}

static __always_inline void stamp_write(__u8 *at, __u8 stamp)
{
	if (!dry_run())
		*at = stamp;
}

/* usable: may a known flow or embryo go on at this backend? In a settled slot only its owner may
 * have any; in transition whoever is alive.
 */
static __always_inline int usable(const struct pick *k, __u32 backend)
{
	return k->transition ? backend_alive(backend) : backend == k->owner;
}

/* flow_insert: an embryo of @backend becomes a flow. Of TCP its next packet is looked at, too, and
 * stamps the bucket: others that share it may be in their handshakes at this moment, and a flow
 * whose packets are not looked at is not known, for as long as it is silent afterwards.
 *
 * A partner is told of what it would send elsewhere by its table alone; and where a flow can begin
 * at the previous owner, as that is the owner again, of each: it may remember an older one of the
 * same ports.
 */
static __always_inline void flow_insert(const struct pick *k, const struct flow_key *key,
					__u32 backend)
{
	struct flow f = {
		.backend = (__u16)backend,
		.seen = FLOW_EPOCH(k->clock->now_s),
	};
	long error;

	if (dry_run())
		return;
	error = bpf_map_update_elem(&flows, key, &f, BPF_NOEXIST);
	if (!error) {
		embryo_clear(&k->embryos, k->hash);
		count_opened(k->service, backend);
		if (k->transition && (backend != k->previous || backend == k->owner))
			exception_tell(key, EXCEPTION_FLOW);
	} else if (error != FLOW_EXISTS) {
		count_reason(REASON_FLOW_TABLE_FULL);
	}
}

/* unknown_backend: where a packet other than a SYN goes whose flow is not known. */
static __always_inline __u32 unknown_backend(const struct pick *k, const struct packet *p)
{
	if (!k->transition || p->protocol != IPPROTO_TCP || !backend_alive(k->previous))
		return k->owner;
	count_reason(REASON_FLOW_PREVIOUS);
	return k->previous;
}

/* looked_at: not again in this epoch. */
static __always_inline void looked_at(const struct pick *k, const struct packet *p)
{
	if (p->protocol == IPPROTO_TCP)
		stamp_write(k->stamp, k->clock->stamp);
	else
		embryo_put(&k->embryos, EMBRYO_KNOWN_AT(k->hash, k->clock->now_s));
}

/* flow_begin: a SYN goes to @backend, and so does what follows it. */
static __always_inline __u32 flow_begin(const struct pick *k, __u32 backend)
{
	embryo_write(&k->embryos, k->hash, backend);
	stamp_write(k->stamp, 0);
	return backend;
}

/* flow_unknown: a packet whose flow is not in `flows`. */
static __always_inline __u32 flow_unknown(const struct pick *k, const struct packet *p,
					  const struct flow_key *key, __u32 embryo)
{
	__u32 backend;

	if (p->kind == PACKET_SYN) {
		if (k->transition && k->owner != k->previous)
			embryo_tell(key, k->owner);
		return flow_begin(k, k->owner);
	}
	if (embryo != BACKEND_NONE && usable(k, embryo)) {
		if (p->kind == PACKET_OTHER) {
			flow_insert(k, key, embryo);
			if (p->protocol != IPPROTO_TCP)
				looked_at(k, p);
		}
		return embryo;
	}
	if (k->transition && p->protocol == IPPROTO_TCP && handover_now())
		return BACKEND_HANDED | (backend_alive(k->previous) ? k->previous : k->owner);
	backend = unknown_backend(k, p);
	if (p->kind == PACKET_OTHER)
		embryo_write(&k->embryos, k->hash, backend);
	return backend;
}

/* flow_known: a packet whose flow is in `flows`, at a backend that it may go on at. */
static __always_inline __u32 flow_known(const struct pick *k, const struct packet *p,
					const struct flow_key *key, struct flow *f)
{
	__u32 backend = f->backend;

	if (p->kind == PACKET_RST) {
		flow_forget(key, f);
		return backend;
	}
	if (p->kind == PACKET_FIN)
		flow_close(f);
	if (f->seen != FLOW_EPOCH(k->clock->now_s) && !dry_run())
		f->seen = FLOW_EPOCH(k->clock->now_s);
	if (!k->transition && p->kind == PACKET_OTHER)
		looked_at(k, p);
	return backend;
}

/* flow_follow: look the flow up and go where it lives.
 *
 * A closing flow that an embryo stands beside was followed by a new SYN from the same port: it is
 * forgotten and the embryo is what counts. That SYN went where the flow was, if it still could:
 * anybody can send a FIN and a SYN, and a flow that did not end at all must not be moved by them.
 *
 * A flow that is somewhere else than it may be is over, where an embryo says that another has its
 * ports, or its backend lives: then the slot would not be settled. A partner may have seen its end,
 * which is not told; but it tells of the next one, and that replaces it.
 */
static __always_inline __u32 flow_follow(const struct pick *k, const struct packet *p)
{
	__u32 embryo = embryo_backend(k);
	struct flow_key key;
	struct flow *f;
	int over;

	flow_key_make(p, k->service, &key);
	f = bpf_map_lookup_elem(&flows, &key);
	note_flow(f);
	if (!f)
		return flow_unknown(k, p, &key, embryo);
	if (f->flags & FLOW_CLOSING) {
		if (p->kind == PACKET_SYN)
			return flow_begin(k, usable(k, f->backend) ? f->backend : k->owner);
		if (embryo != BACKEND_NONE) {
			flow_forget(&key, f);
			return flow_unknown(k, p, &key, embryo);
		}
	}
	if (usable(k, f->backend))
		return flow_known(k, p, &key, f);

	over = (embryo != BACKEND_NONE && usable(k, embryo)) || backend_alive(f->backend);
	flow_forget(&key, f);
	count_reason(REASON_FLOW_MOVED);
	if (p->kind == PACKET_SYN || over)
		return flow_unknown(k, p, &key, embryo);
	if (k->resets && p->protocol == IPPROTO_TCP && p->kind != PACKET_RST)
		return BACKEND_GONE;
	return k->owner;
}

/* flow_peek: where a packet about a flow (an ICMP error) goes; nothing is changed. */
static __always_inline __u32 flow_peek(const struct pick *k, const struct packet *p)
{
	__u32 embryo = embryo_backend(k);
	struct flow_key key;
	struct flow *f;

	if (!k->transition)
		return k->owner;
	flow_key_make(p, k->service, &key);
	f = bpf_map_lookup_elem(&flows, &key);
	note_flow(f);
	if (f && backend_alive(f->backend))
		return f->backend;
	if (embryo != BACKEND_NONE && backend_alive(embryo))
		return embryo;
	return unknown_backend(k, p);
}

/* bucket_stamp: the stamp of a flow's bucket, in this CPU's region. */
static __always_inline __u8 *bucket_stamp(__u64 hash, const struct clock *clock)
{
	__u32 bucket = (__u32)((hash * clock->bucket_multiplier) >> (64 - RECENT_BITS));
	__u32 line = bpf_get_smp_processor_id() * RECENT_LINES + bucket / 64;
	struct recent64 *region = bpf_map_lookup_elem(&recent, &line);

	return region ? &region->stamp[bucket % 64] : NULL;
}

static __always_inline __u32 slot_read(const struct slots4 *word, __u32 slot)
{
	return word->slot[slot % 4];
}

/* flow_look: of a packet that cannot just go to its slot's owner; a backend, BACKEND_NONE,
 * BACKEND_GONE, or one with BACKEND_HANDED. A function of its own, so that the way of most packets
 * keeps its values in registers.
 */
static __noinline __u32 flow_look(struct pick *k, const struct packet *p)
{
	__u64 tag = embryo_tag(&k->embryos, k->hash);
	__u32 backend;

	k->transition = k->owner & SLOT_TRANSITION;
	k->owner &= SLOT_BACKEND;
	note_previous(k->transition ? k->previous : BACKEND_NONE, tag);
	if (p->kind == PACKET_ICMP)
		return flow_peek(k, p);
	backend = flow_follow(k, p);
	if (p->kind == PACKET_SYN) /* beside a flow that lives, no embryo is written */
		count_syn(backend,
			  tag == (EMBRYO_TAG(k->hash) | backend) || embryo_backend(k) != backend);
	if (p->kind == PACKET_RST && !(backend & BACKEND_HANDED))
		count_reset(backend);
	return backend;
}

/* flow_pick: the backend for a packet of @service; BACKEND_NONE when there is none.
 * REASON_HANDED_OVER: it is to be handed over (handover.h), and goes there if that cannot be.
 */
static __always_inline enum reason flow_pick(const struct packet *p, const struct service *service,
					     __u32 *ret_backend)
{
	__u32 pool = service->pool, zero = 0, at, slot, owner;
	__u64 hash = packet_hash(hash_key, p);
	void *table = bpf_map_lookup_elem(&tables, &pool);
	const struct clock *now = bpf_map_lookup_elem(&clock, &zero);
	const struct slots4 *word;
	struct embryo_set set;
	__u64 tag;
	__u8 *stamp;

	if (unlikely(!table || !now))
		return REASON_DROP_INTERNAL;
	stamp = bucket_stamp(hash, now);
	slot = slot_of_hash(hash, slots);
	if (unlikely(service->source_bits))
		slot = slot_of_hash(source_hash(hash_key, p->src, p->ipv6, service->source_bits),
				    slots);
	at = slot / 4;
	word = bpf_map_lookup_elem(table, &at);
	if (unlikely(!word || !stamp))
		return REASON_DROP_INTERNAL;
	owner = slot_read(word, slot);
	*ret_backend = owner;
	note_slot(hash, slot, owner, stamp, now);
	/* UDP has no use for the stamp: do not even read it */
	if (likely(p->protocol == IPPROTO_TCP && p->kind == PACKET_OTHER &&
		   !(owner & SLOT_TRANSITION) && *stamp == now->stamp))
		return NEXT;

	if (unlikely(!embryo_set_find(hash, &set)))
		return REASON_DROP_INTERNAL;
	tag = embryo_tag(&set, hash);
	if (tag == EMBRYO_KNOWN_AT(hash, now->now_s) && p->kind == PACKET_OTHER &&
	    !(owner & SLOT_TRANSITION))
		return NEXT;
	/* here only: a flow that was let in needs not be asked again */
	if (unlikely(source_bad(p)))
		return REASON_DROP_BAD_ADDRESS;
	if (p->kind == PACKET_SYN && !(owner & SLOT_TRANSITION)) {
		count_syn(owner, tag == (EMBRYO_TAG(hash) | owner));
		embryo_write(&set, hash, owner);
		stamp_write(stamp, 0);
		return NEXT;
	}
	at = SLOTS_WORDS(slots) + slot / 4;
	word = bpf_map_lookup_elem(table, &at);
	if (unlikely(!word))
		return REASON_DROP_INTERNAL;
	struct pick k = {.hash = hash,
			 .service = service->id,
			 .resets = service->flags & SERVICE_RESET,
			 .owner = owner,
			 .previous = slot_read(word, slot),
			 .embryos = set,
			 .stamp = stamp,
			 .clock = now};

	*ret_backend = flow_look(&k, p);
	if (unlikely(*ret_backend & BACKEND_HANDED)) {
		*ret_backend &= SLOT_BACKEND;
		return REASON_HANDED_OVER;
	}
	return unlikely(*ret_backend == BACKEND_GONE) ? REASON_REPLY_RESET : NEXT;
}

#endif
