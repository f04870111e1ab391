// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* guard.bpf.c: tc ingress (and egress): who may answer for a VIP, and an answer to the partner's
 * question whether this node lives. It sees what XDP passes up, so services pay nothing for it.
 *
 * - An ARP request or neighbour solicitation for a guarded VIP is dropped unless the instance's
 *   lease runs and, where there are heartbeats, a process of ours holds their socket: the kernel of
 *   a node whose processes are dead has the VIP still, and would go on answering. Nor does anything
 *   leave then that says where the VIP is: a dead node's kernel asks for its neighbours' MACs in
 * the VIP's name, and announces it when its cable comes back or the machine is moved
 * (NOTIFY_PEERS).
 * - Whatever else is sent to a closed VIP (accept = false; RFC 9568 6.1) is dropped while its lease
 *   runs, that is while this node is active; neighbour discovery is not (RFC 9568 6.1: IPv6).
 *   Services do not get here. A backup may have to route such packets.
 * - A REQUEST between two configured addresses, of the right node and key, is sent back as ANSWER:
 *   of the same size, at once, whatever runs in user space. Anything else of the heartbeats' port
 *   goes up to the socket.
 *
 * Only helpers read and write: a program with direct accesses would make the kernel copy headers.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/abi_guard.h"
#include "bpf/siphash.h"

#define IP_AT	      ((__u32)sizeof(struct ethhdr))
#define MAPPED	      bpf_htonl(0xffff)
#define FRAGMENT_BITS 0x3fff
#define ND_FIRST      133
#define ND_SOLICIT    135
#define ND_ADVERTISE  136
#define ND_LAST	      137
#define ARP_REQUEST   1
#define VLAN_ID	      0x0fff
#define NEXT	      TC_ACT_UNSPEC

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LEASES);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
} leases SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, GUARDED_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct guard_vip_key);
	__type(value, __u32);
} guarded SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, GUARD_PAIRS);
	__type(key, struct guard_pair);
	__type(value, __u64);
} pairs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct guard_settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, GUARD_COUNTS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

static __always_inline int counted(__u32 what, int verdict)
{
	__u64 *count = bpf_map_lookup_elem(&counts, &what);

	if (count)
		__sync_fetch_and_add(count, 1);
	return verdict;
}

static __always_inline void map_address(__u32 addr[static 4], __be32 four)
{
	addr[0] = addr[1] = 0;
	addr[2] = MAPPED;
	addr[3] = four;
}

/* ---- the lease ---- */

static __always_inline const struct guard_settings *settings_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&settings, &zero);
}

static __always_inline __u64 lease_left_ns(__u32 lease)
{
	__u64 now_ns = bpf_ktime_get_ns();
	const __u64 *until = bpf_map_lookup_elem(&leases, &lease);

	return until && *until > now_ns ? *until - now_ns : 0;
}

/* socket_held: by a process of ours. The kernel closes it when the last of them is gone. */
static __always_inline int socket_held(struct __sk_buff *skb, __be16 port)
{
	struct bpf_sock_tuple tuple = {.ipv4 = {.saddr = bpf_htonl(INADDR_LOOPBACK),
						.daddr = bpf_htonl(INADDR_LOOPBACK),
						.sport = port,
						.dport = port}};
	struct bpf_sock *sk =
		bpf_sk_lookup_udp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	int held;

	if (!sk)
		return 0;
	held = sk->priority == HEART_PRIORITY;
	bpf_sk_release(sk);
	return held;
}

/* may_answer: for this address. */
static __always_inline int may_answer(struct __sk_buff *skb, const __u32 vip[static 4])
{
	const __u32 *lease = bpf_map_lookup_elem(&guarded, vip);
	const struct guard_settings *set = settings_get();

	if (!lease || !set)
		return 1;
	return lease_left_ns(*lease & ~GUARDED_CLOSED) > 0 &&
	       (!set->port || socket_held(skb, set->port));
}

/* is_closed: does this node have the address, for services alone? */
static __always_inline int is_closed(const __u32 vip[static 4])
{
	const __u32 *lease = bpf_map_lookup_elem(&guarded, vip);

	return lease && *lease & GUARDED_CLOSED && lease_left_ns(*lease & ~GUARDED_CLOSED) > 0;
}

struct arp {
	__be16 hardware, protocol;
	__u8 hardware_bytes, protocol_bytes;
	__be16 operation;
	__u8 sender_mac[6], sender[4], target_mac[6], target[4];
} __attribute__((packed));

static __always_inline int arp_read(struct __sk_buff *skb, struct arp *a)
{
	return !bpf_skb_load_bytes(skb, IP_AT, a, sizeof(*a)) &&
	       a->protocol == bpf_htons(ETH_P_IP) && a->protocol_bytes == 4 &&
	       a->hardware_bytes == 6;
}

static __always_inline int arp_judge(struct __sk_buff *skb, const __u8 addr[static 4])
{
	__u32 vip[4];
	__be32 four;

	__builtin_memcpy(&four, addr, 4);
	map_address(vip, four);
	return may_answer(skb, vip) ? NEXT : counted(GUARD_ARP, TC_ACT_SHOT);
}

/* arp_in: who asks for a VIP. Gratuitous requests tell, nobody answers. */
static __always_inline int arp_in(struct __sk_buff *skb)
{
	struct arp a;

	if (!arp_read(skb, &a) || a.operation != bpf_htons(ARP_REQUEST) ||
	    !__builtin_memcmp(a.sender, a.target, 4))
		return NEXT;
	return arp_judge(skb, a.target);
}

/* arp_out: whatever it is, who hears it learns where its sender is. */
static __always_inline int arp_out(struct __sk_buff *skb)
{
	struct arp a;

	return arp_read(skb, &a) ? arp_judge(skb, a.sender) : NEXT;
}

struct nd {
	__u8 type, code;
	__u16 checksum;
	__u32 reserved;
	__u32 target[4];
};

static __always_inline int nd_judge(struct __sk_buff *skb, const __u32 vip[static 4])
{
	return may_answer(skb, vip) ? NEXT : counted(GUARD_ND, TC_ACT_SHOT);
}

static __always_inline int solicitation(struct __sk_buff *skb, __u32 at)
{
	struct nd s;

	if (bpf_skb_load_bytes(skb, at, &s, sizeof(s)) || s.type != ND_SOLICIT || s.code != 0)
		return NEXT;
	return nd_judge(skb, s.target);
}

/* nd_out: an advertisement says where its target is, the others where their source is. */
static __always_inline int nd_out(struct __sk_buff *skb)
{
	struct ipv6hdr ip;
	__u32 vip[4];
	__u8 type;

	if (bpf_skb_load_bytes(skb, IP_AT, &ip, sizeof(ip)) || ip.nexthdr != IPPROTO_ICMPV6 ||
	    bpf_skb_load_bytes(skb, IP_AT + sizeof(ip), &type, sizeof(type)) || type < ND_FIRST ||
	    type > ND_LAST)
		return NEXT;
	__builtin_memcpy(vip, &ip.saddr, sizeof(vip));
	if (type == ND_ADVERTISE &&
	    bpf_skb_load_bytes(skb, IP_AT + sizeof(ip) + offsetof(struct nd, target), vip,
			       sizeof(vip)))
		return NEXT;
	return nd_judge(skb, vip);
}

/* ---- heartbeats ---- */

/* question: is it a REQUEST for us? The count of what is wrong with it; GUARD_ANSWERED: nothing. */
static __always_inline int question_judge(const struct heart *h, const struct guard_settings *set,
					  __u64 partner)
{
	if (h->version != HEART_VERSION)
		return GUARD_FOREIGN;
	if (h->hash != siphash(set->key[0], set->key[1], (const __u64 *)h, HEART_HASHED_WORDS))
		return GUARD_FORGED;
	return h->from == partner && h->to == set->node ? GUARD_ANSWERED : GUARD_STRANGER;
}

static __always_inline void answer_make(struct __sk_buff *skb, struct heart *h,
					const struct guard_settings *set)
{
	__u64 left_ns = lease_left_ns(LEASE_LIFE);

	h->kind = HEART_ANSWER;
	h->flags = (left_ns ? HEART_LIVES : 0) | (socket_held(skb, set->port) ? HEART_SOCKET : 0);
	h->to = h->from;
	h->from = set->node;
	h->left_ms = (__u32)(left_ns / 1000000);
	h->hash = siphash(set->key[0], set->key[1], (const __u64 *)h, HEART_HASHED_WORDS);
}

/* answer_write: @before becomes @h; the checksum follows, unless the sender left it to others. */
static __always_inline int answer_write(struct __sk_buff *skb, __u32 udp_at, struct heart *before,
					struct heart *h)
{
	__u32 at = udp_at + sizeof(struct udphdr);
	__s64 diff = bpf_csum_diff((__be32 *)before, sizeof(*before), (__be32 *)h, sizeof(*h), 0);

	return bpf_skb_store_bytes(skb, at, h, sizeof(*h), 0) ||
	       bpf_l4_csum_replace(skb, udp_at + offsetof(struct udphdr, check), 0, (__u64)diff,
				   BPF_F_MARK_MANGLED_0);
}

static __always_inline int turn_round(struct __sk_buff *skb, __u32 src_at, __u32 addr_bytes,
				      __u32 udp_at)
{
	__u8 mac[12], addr[32], port[4];
	int failed;

	failed = bpf_skb_load_bytes(skb, 0, mac, sizeof(mac)) ||
		 bpf_skb_load_bytes(skb, udp_at, port, sizeof(port));
	if (addr_bytes == 4)
		failed = failed || bpf_skb_load_bytes(skb, src_at, addr, 8) ||
			 bpf_skb_store_bytes(skb, src_at, addr + 4, 4, 0) ||
			 bpf_skb_store_bytes(skb, src_at + 4, addr, 4, 0);
	else
		failed = failed || bpf_skb_load_bytes(skb, src_at, addr, 32) ||
			 bpf_skb_store_bytes(skb, src_at, addr + 16, 16, 0) ||
			 bpf_skb_store_bytes(skb, src_at + 16, addr, 16, 0);
	return failed || bpf_skb_store_bytes(skb, 0, mac + 6, 6, 0) ||
	       bpf_skb_store_bytes(skb, 6, mac, 6, 0) ||
	       bpf_skb_store_bytes(skb, udp_at, port + 2, 2, 0) ||
	       bpf_skb_store_bytes(skb, udp_at + 2, port, 2, 0);
}

static __always_inline int heartbeat(struct __sk_buff *skb, const struct guard_pair *pair,
				     __u32 src_at, __u32 addr_bytes, __u32 udp_at)
{
	const struct guard_settings *set = settings_get();
	struct heart h, before;
	struct udphdr udp;
	const __u64 *partner;
	int wrong;

	if (!set || !set->port || bpf_skb_load_bytes(skb, udp_at, &udp, sizeof(udp)) ||
	    udp.dest != set->port)
		return NEXT;
	partner = bpf_map_lookup_elem(&pairs, pair);
	if (!partner)
		return NEXT; /* no partner's: the socket counts it, if it is for this node at all */
	if (bpf_skb_load_bytes(skb, udp_at + sizeof(udp), &h, sizeof(h)) ||
	    h.magic != HEART_MAGIC || h.kind != HEART_REQUEST)
		return NEXT;
	if (udp.len != bpf_htons(sizeof(udp) + sizeof(h)))
		return counted(GUARD_SHORT, TC_ACT_SHOT);
	wrong = question_judge(&h, set, *partner);
	if (wrong != GUARD_ANSWERED)
		return counted(wrong, TC_ACT_SHOT);
	before = h;
	answer_make(skb, &h, set);
	if (answer_write(skb, udp_at, &before, &h) || turn_round(skb, src_at, addr_bytes, udp_at))
		return counted(GUARD_UNSENT, TC_ACT_SHOT);
	counted(GUARD_ANSWERED, 0);
	return (int)bpf_redirect(skb->ifindex, 0);
}

/* ---- the program ---- */

static __always_inline int ipv4(struct __sk_buff *skb)
{
	struct guard_pair pair;
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, IP_AT, &ip, sizeof(ip)))
		return NEXT;
	map_address((__u32 *)pair.partner, ip.saddr);
	map_address((__u32 *)pair.own, ip.daddr);
	if (is_closed((__u32 *)pair.own))
		return counted(GUARD_CLOSED, TC_ACT_SHOT);
	if (ip.protocol != IPPROTO_UDP || ip.ihl != 5 || ip.frag_off & bpf_htons(FRAGMENT_BITS))
		return NEXT;
	return heartbeat(skb, &pair, IP_AT + offsetof(struct iphdr, saddr), 4, IP_AT + sizeof(ip));
}

static __always_inline int ipv6(struct __sk_buff *skb)
{
	struct guard_pair pair;
	struct ipv6hdr ip;
	__u8 type;

	if (bpf_skb_load_bytes(skb, IP_AT, &ip, sizeof(ip)))
		return NEXT;
	__builtin_memcpy(pair.partner, &ip.saddr, 16);
	__builtin_memcpy(pair.own, &ip.daddr, 16);
	if (ip.nexthdr == IPPROTO_ICMPV6 && ip.hop_limit == 255 &&
	    !bpf_skb_load_bytes(skb, IP_AT + sizeof(ip), &type, sizeof(type)) && type >= ND_FIRST &&
	    type <= ND_LAST)
		return solicitation(skb, IP_AT + sizeof(ip));
	if (is_closed((__u32 *)pair.own))
		return counted(GUARD_CLOSED, TC_ACT_SHOT);
	if (ip.nexthdr != IPPROTO_UDP)
		return NEXT;
	return heartbeat(skb, &pair, IP_AT + offsetof(struct ipv6hdr, saddr), 16,
			 IP_AT + sizeof(ip));
}

SEC("tc")
int guard(struct __sk_buff *skb)
{
	/* Of an interface above this one; but the kernel takes VLAN 0, a priority alone, as ours.
	 */
	if (skb->vlan_present && skb->vlan_tci & VLAN_ID)
		return NEXT;
	switch (skb->protocol) {
	case bpf_htons(ETH_P_ARP):
		return arp_in(skb);
	case bpf_htons(ETH_P_IP):
		return ipv4(skb);
	case bpf_htons(ETH_P_IPV6):
		return ipv6(skb);
	default:
		return NEXT;
	}
}

/* guard_out: tc egress. What vrrp itself announces goes by here, too: its lease runs. */
SEC("tc")
int guard_out(struct __sk_buff *skb)
{
	switch (skb->protocol) {
	case bpf_htons(ETH_P_ARP):
		return arp_out(skb);
	case bpf_htons(ETH_P_IPV6):
		return nd_out(skb);
	default:
		return NEXT;
	}
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
