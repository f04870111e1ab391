/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* track.h: the translations of flows: made, kept, refreshed, closed, forgotten. fullnat.h says
 * when.
 *
 * A source port is free when no other flow has the same backward tuple: from that backend to that
 * source address and port. It is claimed by an insert that must be the first. PORT_TRIES ports are
 * tried, at random: tried in a row, those that are in use would crowd together, and many in a row
 * would not be free long before most are taken. Of as many others one is then taken from a flow
 * that is not confirmed yet, so that a flood does not keep honest connections out, or from one that
 * has ended, so that only those that live count.
 */
#ifndef SLUICE_BPF_TRACK_H
#define SLUICE_BPF_TRACK_H

#include "bpf/tcp.h"
#include "bpf/tell.h"

#define PORT_TRIES	 16
#define PORT_NEXT	 6364136223846793005ULL /* Knuth's MMIX, TAOCP 2, 3.3.4 */
#define CONFIRM_WINDOW	 (1U << 20) /* bytes that a server may have sent before the first ACK */
#define SEGMENT_WINDOW	 (1U << 24) /* how far from what is acknowledged a segment may be */
#define RESET_WINDOW	 (1U << 18) /* how far behind it a RST that may be right */
#define TRANSLATION_FINS (TRANSLATION_CLIENT_FIN | TRANSLATION_BACKEND_FIN)

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024); /* as flows */
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct flow_key);
	__type(value, struct translation);
} translations SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024); /* as flows */
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct tuple);
	__type(value, struct flow_key);
} reverse SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, NASCENT_DEFAULT);
	__type(key, struct flow_key);
	__type(value, struct translation);
} nascent SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, NASCENT_DEFAULT);
	__type(key, struct tuple);
	__type(value, struct flow_key);
} claims SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, POOL_MAX);
	__type(key, __u32);
	__type(value, struct nat_pool);
} nat_pools SEC(".maps");

static __always_inline __u32 track_now(void)
{
	__u32 zero = 0;
	const struct clock *now = bpf_map_lookup_elem(&clock, &zero);

	return now ? FLOW_EPOCH(now->now_s) : 0;
}

/* track_tuple: of a packet. */
static __always_inline void track_tuple(const struct packet *p, struct tuple *ret_tuple)
{
	__u32 *src = (__u32 *)ret_tuple->src, *dst = (__u32 *)ret_tuple->dst;

	__builtin_memset(ret_tuple, 0, sizeof(*ret_tuple));
	addr_put(src, p->src);
	addr_put(dst, p->dst);
	if (!p->ipv6)
		src[2] = dst[2] = MAPPED_PREFIX;
	ret_tuple->sport = (__be16)p->ports;
	ret_tuple->dport = (__be16)(p->ports >> 16);
	ret_tuple->protocol = (__u8)p->protocol;
}

static __always_inline int track_same(const struct tuple *a, const struct tuple *b)
{
	const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4]));
}

/* track_backend_good: it lives, and its number is still that backend's. */
static __always_inline int track_backend_good(const struct translation *t)
{
	__u32 number = t->backend;
	const struct backend *b = bpf_map_lookup_elem(&backends, &number);

	return b && b->flags & BACKEND_ALIVE && addr_same(b->addr, (const __u32 *)t->back.src);
}

/* ---- life ---- */

/* track_count: a translation into `flows`. That may be full of other modes' flows, which anybody
 * can open: then it goes on uncounted, and is counted when there is room.
 */
static __always_inline void track_count(struct scratch *s, struct translation *t)
{
	const struct flow fresh = {.backend = t->backend, .seen = (__u16)track_now()};
	struct flow *f = bpf_map_lookup_elem(&flows, &s->key);
	long error;

	if (f) { /* of the connection before */
		flow_forget(&s->key, f);
	}
	error = bpf_map_update_elem(&flows, &s->key, &fresh, BPF_NOEXIST);
	if (!error)
		count_opened(t->service, t->backend);
	if (!error || error == FLOW_EXISTS) {
		__sync_fetch_and_and(&t->flags, ~TRANSLATION_UNCOUNTED);
		return;
	}
	__sync_fetch_and_or(&t->flags, TRANSLATION_UNCOUNTED);
	count_reason(REASON_FLOW_TABLE_FULL);
}

/* track_is_kept: is it confirmed? */
static __always_inline int track_is_kept(const struct scratch *s, const struct translation *t)
{
	return bpf_map_lookup_elem(&translations, &s->key) == t;
}

/* track_refresh: once an epoch; a flow that lb/ has just given up is put back, and one that goes on
 * behind a RST which was not believed.
 */
static __always_inline void track_refresh(struct scratch *s, struct translation *t)
{
	__u32 now = track_now();
	struct flow *f;

	if (t->seen == now)
		return;
	t->seen = (__u16)now;
	f = bpf_map_lookup_elem(&flows, &s->key);
	if (f && (!(f->flags & FLOW_CLOSING) || t->flags & TRANSLATION_CLOSING))
		f->seen = (__u16)now;
	else if (!(t->flags & TRANSLATION_CLOSING) && track_is_kept(s, t))
		track_count(s, t);
}

/* track_unlive: it is live no longer, as far as can be seen. */
static __always_inline void track_unlive(struct scratch *s, const struct translation *t)
{
	struct flow *f = bpf_map_lookup_elem(&flows, &s->key);

	if (f && track_is_kept(s, t))
		flow_close(f);
}

/* track_close: it has ended. */
static __always_inline void track_close(struct scratch *s, struct translation *t)
{
	if (__sync_fetch_and_or(&t->flags, TRANSLATION_CLOSING) & TRANSLATION_CLOSING)
		return;
	track_unlive(s, t);
	if (track_is_kept(s, t))
		exception_tell(&s->key, EXCEPTION_TRANSLATION);
}

/* track_near: may a segment with the number @n be of the connection? @next: what the other side
 * has acknowledged. Anybody can send one with any number.
 */
static __always_inline int track_near(__u32 n, __u32 next)
{
	return n - next + SEGMENT_WINDOW < 2 * SEGMENT_WINDOW;
}

/* track_reset: a RST is believed if it has the very number that is expected (RFC 5961 3.2). One a
 * little behind it may follow data that is not acknowledged yet: it only stops counting as live.
 */
static __always_inline void track_reset(struct scratch *s, struct translation *t, __u32 next)
{
	if (s->seq == next)
		track_close(s, t);
	else if (s->seq - next < RESET_WINDOW)
		track_unlive(s, t);
}

/* track_fin: of one side; the second one ends it. What a partner knew of the numbers may be old. */
static __always_inline void track_fin(struct scratch *s, struct translation *t, __u32 fin,
				      __u32 next)
{
	if (track_near(s->seq, next) || t->flags & TRANSLATION_IMPORTED)
		__sync_fetch_and_or(&t->flags, fin);
	if ((t->flags & TRANSLATION_FINS) == TRANSLATION_FINS)
		track_close(s, t);
}

/* key_forget: the flow, and its translation by @back. Neither may be in a map. */
static __always_inline void key_forget(const struct flow_key *key, const struct tuple *back)
{
	struct flow *f = bpf_map_lookup_elem(&flows, key);

	if (f)
		flow_forget(key, f);
	if (dry_run())
		return;
	bpf_map_delete_elem(&reverse, back);
	bpf_map_delete_elem(&translations, key);
}

static __always_inline void track_forget(struct scratch *s, const struct translation *t)
{
	s->back = t->back;
	key_forget(&s->key, &s->back);
}

/* track_owned: is the tuple s->back claimed for s->key? */
static __always_inline int track_owned(const struct scratch *s)
{
	const struct flow_key *claim = bpf_map_lookup_elem(&claims, &s->back);

	return claim && claim->sport == s->key.sport && claim->service == s->key.service &&
	       addr_same(claim->src, (const __u32 *)s->key.src);
}

/* track_keep: s->fresh, which has a claim, becomes one that nothing evicts. */
__noinline int track_keep(struct scratch *s)
{
	struct translation *t;

	if (!s)
		return REASON_DROP_INTERNAL;
	s->back = s->fresh.back;
	s->fresh.seen = (__u16)track_now();
	if (dry_run())
		return NEXT;
	if (!track_owned(s))
		return REASON_DROP_NO_FLOW; /* another flow took its port */
	if (bpf_map_update_elem(&reverse, &s->back, &s->key, BPF_NOEXIST))
		return REASON_DROP_FLOWS_FULL;
	if (bpf_map_update_elem(&translations, &s->key, &s->fresh, BPF_NOEXIST)) {
		bpf_map_delete_elem(&reverse, &s->back);
		return REASON_DROP_FLOWS_FULL;
	}
	t = bpf_map_lookup_elem(&translations, &s->key);
	if (t)
		track_count(s, t);
	exception_tell(&s->key, EXCEPTION_TRANSLATION);
	bpf_map_delete_elem(&nascent, &s->key);
	bpf_map_delete_elem(&claims, &s->back);
	return NEXT;
}

/* track_kept: what track_keep() has kept; in a dry run, what it would have. */
static __always_inline struct translation *track_kept(struct scratch *s)
{
	return dry_run() ? &s->fresh : bpf_map_lookup_elem(&translations, &s->key);
}

/* ---- a new one ---- */

/* track_owner: the backend that takes this new flow. */
static __always_inline __u32 track_owner(const struct packet *p, const struct service *service,
					 __u64 hash)
{
	__u32 pool = service->pool, slot = slot_of_hash(hash, slots), at;
	void *table = bpf_map_lookup_elem(&tables, &pool);
	const struct slots4 *word;

	if (!table)
		return BACKEND_NONE;
	if (service->source_bits)
		slot = slot_of_hash(source_hash(hash_key, p->src, p->ipv6, service->source_bits),
				    slots);
	at = slot / 4;
	word = bpf_map_lookup_elem(table, &at);
	if (!word)
		return BACKEND_NONE;
	if (unlikely(seeing))
		note_slot_of(hash, slot, word->slot[slot % 4], 0);
	return word->slot[slot % 4] & SLOT_BACKEND;
}

/* source_index: below @n, which is NAT_SOURCES_MOST at most; so that the verifier sees it, too. */
static __always_inline __u32 source_index(__u64 hash, __u32 n)
{
	__u32 i = (__u32)hash % n;

	__asm__ __volatile__("" : "+r"(i));
	return i & (NAT_SOURCES_MOST - 1);
}

/* track_source: the address that the backend is to see, into s->back.dst. */
static __always_inline void track_source(struct scratch *s, __u64 hash)
{
	__u32 pool = s->service.pool, *to = (__u32 *)s->back.dst, i;
	const struct nat_pool *sources = bpf_map_lookup_elem(&nat_pools, &pool);

	addr_put(to, s->service.mode == FORWARD_NAT ? s->p.src : s->p.dst);
	if (!s->p.ipv6)
		to[2] = MAPPED_PREFIX;
	if (s->service.mode == FORWARD_NAT || !sources)
		return;
	if (s->p.ipv6 && sources->n6 && sources->n6 <= NAT_SOURCES_MOST) {
		i = source_index(hash, sources->n6);
		addr_get(to, sources->source6[i]);
	} else if (!s->p.ipv6 && sources->n4 && sources->n4 <= NAT_SOURCES_MOST) {
		i = source_index(hash, sources->n4);
		to[3] = *(const __u32 *)sources->source4[i];
	}
}

/* port_release: s->back is nobody's, or was of a flow that has ended, which is forgotten. Its
 * server may still be in TIME-WAIT; most take a SYN there (RFC 6191), others are asked again a
 * second later.
 */
static __always_inline int port_release(struct scratch *s)
{
	const struct translation *t;
	const struct flow_key *other;
	struct flow_key key;

	other = bpf_map_lookup_elem(&reverse, &s->back);
	if (!other)
		return 1;
	key = *other;
	t = bpf_map_lookup_elem(&translations, &key);
	if (!t || !(t->flags & TRANSLATION_CLOSING))
		return 0;
	key_forget(&key, &s->back);
	count_reason(REASON_PORT_REUSED);
	return 1;
}

/* port_claim: @port in host order, for s->key; fails when it is a service's, or another's. @taken:
 * but for one that is not confirmed, or has ended.
 */
static __always_inline int port_claim(struct scratch *s, __u32 port, int taken)
{
	struct service_key key = {.port = bpf_htons((__u16)port), .protocol = s->back.protocol};

	s->back.dport = key.port;
	__builtin_memcpy(key.addr, s->back.dst, sizeof(key.addr));
	if (bpf_map_lookup_elem(&services, &key))
		return 0;
	if (taken ? !port_release(s) : bpf_map_lookup_elem(&reverse, &s->back) != NULL)
		return 0;
	if (dry_run())
		return taken || !bpf_map_lookup_elem(&claims, &s->back);
	return !bpf_map_update_elem(&claims, &s->back, &s->key, taken ? BPF_ANY : BPF_NOEXIST);
}

/* track_port: a source port for s->back. nat keeps the client's if it can. */
__noinline int track_port(struct scratch *s, __u64 hash)
{
	__u32 first = nat_port_first, n = (__u32)nat_port_last - nat_port_first + 1;

	if (!s || nat_port_last < nat_port_first)
		return REASON_DROP_NO_PORT;
	if (s->service.mode == FORWARD_NAT && port_claim(s, bpf_ntohs(s->key.sport), 0))
		return NEXT;
	for (int i = 0; i < 2 * PORT_TRIES; i++) {
		hash = hash * PORT_NEXT + 1;
		if (port_claim(s, first + (__u32)(hash >> 32) % n, i >= PORT_TRIES))
			return NEXT;
	}
	return REASON_DROP_NO_PORT;
}

/* track_new: a translation for s->p, in `nascent` and s->fresh; s->fresh.flags is added to. */
__noinline int track_new(struct scratch *s)
{
	const struct backend *to;
	enum reason reason;
	__u32 number;
	__u64 hash;

	if (!s)
		return REASON_DROP_INTERNAL;
	hash = packet_hash(hash_key, &s->p);
	number = track_owner(&s->p, &s->service, hash);
	to = bpf_map_lookup_elem(&backends, &number);
	if (!to || !(to->flags & BACKEND_ALIVE))
		return REASON_DROP_NO_BACKEND;
	__builtin_memset(&s->back, 0, sizeof(s->back));
	__builtin_memcpy(s->back.src, to->addr, sizeof(s->back.src));
	s->back.sport = to->port ? to->port : (__be16)(s->p.ports >> 16);
	s->back.protocol = (__u8)s->p.protocol;
	track_source(s, hash);
	reason = (enum reason)track_port(s, hash);
	if (reason != NEXT)
		return (int)reason;
	__builtin_memset(&s->fresh, 0, sizeof(s->fresh));
	s->fresh.back = s->back;
	addr_put(s->fresh.vip, s->p.dst);
	if (!s->p.ipv6)
		((__u32 *)s->fresh.vip)[2] = MAPPED_PREFIX;
	s->fresh.vip_port = (__be16)(s->p.ports >> 16);
	s->fresh.backend = (__u16)number;
	s->fresh.service = s->service.id;
	s->fresh.seen = (__u16)track_now();
	s->fresh.client_isn = s->seq;
	s->fresh.client_next = s->seq + 1;
	if (s->service.flags & SERVICE_PROXY_V2 && s->p.protocol == IPPROTO_TCP)
		s->fresh.flags = TRANSLATION_PROXY;
	if (!dry_run() && bpf_map_update_elem(&nascent, &s->key, &s->fresh, BPF_ANY))
		return REASON_DROP_INTERNAL;
	s->opens = 1;
	return NEXT;
}

#endif
