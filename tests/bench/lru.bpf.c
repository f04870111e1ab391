// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* lru.bpf.c: the yardstick: the same node, but every packet is looked up in an LRU flow table of
 * its CPU, as Katran's design does, and what is not found is hashed to a slot and remembered.
 *
 * parse, service, forward and count are the balancer's own, so that only the idea differs; the maps
 * are shared with it. `empty` is the program that both are measured over.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "bpf/count.h"
#include "bpf/flow.h"
#include "bpf/forward.h"
#include "bpf/maps.h"
#include "bpf/parse.h"
#include "bpf/service.h"

#define LRU_FLOWS (1U << 20) /* of each CPU */

struct lru_map {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, LRU_FLOWS);
	__uint(key_size, sizeof(struct tuple));
	__uint(value_size, sizeof(__u64)); /* the backend */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, CPU_MAX);
	__type(key, __u32);
	__array(values, struct lru_map);
} lrus SEC(".maps");

/* The whole 5-tuple, as such tables have it. */
static __always_inline void tuple_make(const struct packet *p, struct tuple *ret)
{
	__u32 *src = (__u32 *)ret->src, *dst = (__u32 *)ret->dst;

	__builtin_memset(ret, 0, sizeof(*ret));
	if (p->ipv6) {
		__builtin_memcpy(src, p->src, 12);
		__builtin_memcpy(dst, p->dst, 12);
	} else {
		src[2] = dst[2] = MAPPED_PREFIX;
	}
	src[3] = p->src[3];
	dst[3] = p->dst[3];
	ret->sport = (__be16)p->ports;
	ret->dport = (__be16)(p->ports >> 16);
	ret->protocol = (__u8)p->protocol;
}

static __always_inline enum reason lru_pick(const struct packet *p, const struct service *service,
					    __u32 *ret_backend)
{
	__u32 cpu = bpf_get_smp_processor_id(), pool = service->pool, slot, at;
	void *lru = bpf_map_lookup_elem(&lrus, &cpu);
	const struct slots4 *word;
	struct tuple key;
	__u64 *known, backend;
	void *table;

	if (!lru)
		return REASON_DROP_INTERNAL;
	tuple_make(p, &key);
	if (p->kind != PACKET_SYN) {
		known = bpf_map_lookup_elem(lru, &key);
		if (known) {
			*ret_backend = (__u32)*known;
			return NEXT;
		}
	}
	table = bpf_map_lookup_elem(&tables, &pool);
	if (!table)
		return REASON_DROP_INTERNAL;
	slot = slot_of_hash(packet_hash(hash_key, p), slots);
	at = slot / 4;
	word = bpf_map_lookup_elem(table, &at);
	if (!word)
		return REASON_DROP_INTERNAL;
	backend = slot_read(word, slot) & SLOT_BACKEND;
	bpf_map_update_elem(lru, &key, &backend, BPF_ANY);
	*ret_backend = (__u32)backend;
	return NEXT;
}

SEC("xdp")
int lru_balancer(struct xdp_md *ctx)
{
	const struct service *service;
	struct packet p;
	__u32 backend = BACKEND_NONE;
	int verdict = XDP_DROP;

	if (parse((void *)(long)ctx->data, (void *)(long)ctx->data_end,
		  (__u32)(ctx->data_end - ctx->data), (const volatile __u64 *)own_mac, 0,
		  &p) != NEXT)
		return XDP_PASS;
	service = service_find(&p);
	if (!service) {
		count_reason(REASON_PASS_NO_SERVICE);
		return XDP_PASS;
	}
	count_service(&p, service->id);
	if (lru_pick(&p, service, &backend) != NEXT ||
	    forward(ctx, service, &p, backend, &verdict) != NEXT)
		return XDP_DROP;
	count_backend(&p, backend);
	return verdict;
}

SEC("xdp")
int empty(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_TX;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
