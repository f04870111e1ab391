/* SPDX-License-Identifier: BSD-2-Clause */
/* neighbour.c: see neighbour.h.
 *
 * Routes are looked up again when links, addresses or routes change, and the neighbour table is
 * read with them; what changes of a neighbour is taken from its event: ten thousand that the kernel
 * keeps fresh change all the time. Both wait SETTLE_MS, so that a burst costs one look. That one is
 * gone may be old news of an entry that was made anew since, and to make that once more would end
 * its resolution: the table is read.
 *
 * A kernel that has no room for more neighbours (gc_thresh3) is asked again every FULL_MS only.
 *
 * An entry that the operator made permanent is used and otherwise left alone: asking the kernel to
 * manage it would make it an ordinary one.
 */
#include "lb/neighbour.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netlink/netlink.h>
#include <netlink/route/neighbour.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "lb/interface.h"

enum { SETTLE_MS = 50, FULL_MS = 2000, EVENT_BYTES = 32768 };

/* What the neighbour table has for a way. */
enum entry { ENTRY_NONE, ENTRY_UNUSABLE, ENTRY_USABLE, ENTRY_FIXED };

struct way {
	struct addr addr;
	struct addr hop; /* the address itself, or the gateway's: whose MAC is asked for */
	struct neighbour neighbour;
	enum entry entry; /* as last read */
	bool ours;	  /* we asked the kernel to manage it */
};

struct neighbours {
	neighbours_changed_fn *changed;
	void *owner;
	struct nl_sock *query, *routes, *events; /* routes: asks without wanting an ACK */
	struct event *readable, *settled, *again;
	struct way *ways; /* ordered by address */
	struct way **by_hop;
	uint32_t n_ways;
	bool routes_stale, table_stale;
	bool differs;	     /* from what `changed` was told last */
	bool full[2];	     /* by is_ipv6: the kernel refused one at the last look */
	uint64_t full_ms[2]; /* CLOCK_MONOTONIC: when that was */
	bool unmanaged;	     /* the kernel is older than 5.16 */
};

/* ---- addresses as netlink has them ---- */

static int family_of(const struct addr *addr)
{
	return addr_is_ipv4(addr) ? AF_INET : AF_INET6;
}

static int put_address(struct nl_msg *msg, int attribute, const struct addr *addr)
{
	return addr_is_ipv4(addr) ? nla_put(msg, attribute, 4, addr->in6.s6_addr + 12)
				  : nla_put(msg, attribute, 16, addr->in6.s6_addr);
}

static bool addr_from(struct nl_addr *from, struct addr *ret)
{
	struct addr addr = {.in6.s6_addr = {[10] = 0xff, [11] = 0xff}};

	if (!from)
		return false;
	if (nl_addr_get_len(from) == 4)
		memcpy(addr.in6.s6_addr + 12, nl_addr_get_binary_addr(from), 4);
	else if (nl_addr_get_len(from) == 16)
		memcpy(addr.in6.s6_addr, nl_addr_get_binary_addr(from), 16);
	else
		return false;
	*ret = addr;
	return true;
}

static int way_compare(const void *a, const void *b)
{
	return memcmp(&((const struct way *)a)->addr, &((const struct way *)b)->addr,
		      sizeof(struct addr));
}

static int hop_compare(const void *a, const void *b)
{
	return memcmp(&(*(struct way *const *)a)->hop, &(*(struct way *const *)b)->hop,
		      sizeof(struct addr));
}

static bool is_routed(const struct way *way)
{
	return memcmp(&way->addr, &way->hop, sizeof(way->addr)) != 0;
}

static struct way *way_find(const struct neighbours *n, const struct addr *addr)
{
	const struct way key = {.addr = *addr};

	return n->n_ways ? bsearch(&key, n->ways, n->n_ways, sizeof(key), way_compare) : NULL;
}

/* ---- routes ---- */

static int on_route(struct nl_msg *msg, void *arg)
{
	struct rtnl_route **route = arg;

	if (!*route && rtnl_route_parse(nlmsg_hdr(msg), route) < 0)
		*route = NULL;
	return NL_OK;
}

/* route_look: the kernel's route to the address; NULL = none. The caller puts it. */
static struct rtnl_route *route_look(struct neighbours *n, const struct addr *addr)
{
	struct rtmsg header = {.rtm_family = (unsigned char)family_of(addr),
			       .rtm_dst_len = addr_is_ipv4(addr) ? 32 : 128};
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETROUTE, 0);
	struct nl_cb *cb = nl_cb_alloc(NL_CB_DEFAULT);
	struct rtnl_route *route = NULL;

	if (msg && cb && nlmsg_append(msg, &header, sizeof(header), NLMSG_ALIGNTO) == 0 &&
	    put_address(msg, RTA_DST, addr) == 0) {
		nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, on_route, &route);
		if (nl_send_auto(n->routes, msg) >= 0)
			nl_recvmsgs(n->routes, cb); /* one answer: the route, or an error */
	}
	nl_cb_put(cb);
	nlmsg_free(msg);
	return route;
}

static enum neighbour_status status_of(struct rtnl_route *route, uint32_t *ret_ifindex,
				       struct addr *ret_hop)
{
	struct rtnl_nexthop *hop = route ? rtnl_route_nexthop_n(route, 0) : NULL;

	if (route && rtnl_route_get_type(route) == RTN_LOCAL)
		return NEIGHBOUR_OUR_OWN;
	if (!hop || rtnl_route_get_type(route) != RTN_UNICAST)
		return NEIGHBOUR_NO_ROUTE;
	if (rtnl_route_nh_get_gateway(hop) && !addr_from(rtnl_route_nh_get_gateway(hop), ret_hop))
		return NEIGHBOUR_GATEWAY;
	if (rtnl_route_nh_get_via(hop))
		return NEIGHBOUR_GATEWAY; /* of the other family */
	*ret_ifindex = (uint32_t)rtnl_route_nh_get_ifindex(hop);
	return NEIGHBOUR_UNKNOWN;
}

/* ---- the kernel's entries ---- */

/* entry_send: RTM_NEWNEIGH or RTM_DELNEIGH; 0 or libnl's error. */
static int entry_send(struct neighbours *n, int type, int flags, const struct way *way,
		      uint16_t state)
{
	struct ndmsg header = {.ndm_family = (uint8_t)family_of(&way->hop),
			       .ndm_ifindex = (int)way->neighbour.ifindex,
			       .ndm_state = state,
			       .ndm_flags = n->unmanaged && type == RTM_NEWNEIGH ? NTF_USE : 0};
	struct nl_msg *msg = nlmsg_alloc_simple(type, flags);
	int r = -NLE_NOMEM;

	if (msg && nlmsg_append(msg, &header, sizeof(header), NLMSG_ALIGNTO) == 0 &&
	    put_address(msg, NDA_DST, &way->hop) == 0 &&
	    (n->unmanaged || type != RTM_NEWNEIGH ||
	     nla_put_u32(msg, NDA_FLAGS_EXT, NTF_EXT_MANAGED) == 0))
		return nl_send_sync(n->query, msg); /* frees it */
	nlmsg_free(msg);
	return r;
}

static bool is_ipv6(const struct way *way)
{
	return family_of(&way->hop) == AF_INET6;
}

static void full_set(struct neighbours *n, bool ipv6, bool full)
{
	const struct timeval wait = {FULL_MS / 1000, SETTLE_MS * 1000L}; /* timers may be early */

	n->differs = n->differs || n->full[ipv6] != full;
	n->full[ipv6] = full;
	n->full_ms[ipv6] = clock_ms();
	if (full)
		event_add(n->again, &wait);
}

static void entry_keep(struct neighbours *n, struct way *way)
{
	int r = entry_send(n, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, way, NUD_NONE);

	if (r == -NLE_INVAL && !n->unmanaged) {
		n->unmanaged = true;
		log_notice("no managed neighbour entries in this kernel (5.16 has them): backends' "
			   "MACs are refreshed by their probes only");
		r = entry_send(n, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, way, NUD_NONE);
	}
	way->ours = r >= 0;
	if (r == -NLE_NOMEM) /* ENOBUFS */
		full_set(n, is_ipv6(way), true);
}

/* A gateway's stays: other ways, and the kernel's own packets, go there. */
static void entry_drop(struct neighbours *n, struct way *way)
{
	if (way->ours && !is_routed(way))
		entry_send(n, RTM_DELNEIGH, 0, way, NUD_NONE);
	way->ours = false;
}

/* A state of NUD_PROBE would be ignored for a managed entry: made anew, it is broadcast for. */
void neighbours_probe(struct neighbours *n, const struct addr *addr)
{
	struct way *way = way_find(n, addr);

	if (!way || !way->neighbour.ifindex || way->entry == ENTRY_FIXED || is_routed(way) ||
	    n->full[is_ipv6(way)])
		return;
	entry_drop(n, way);
	entry_keep(n, way);
}

static void way_look(struct neighbours *n, struct way *way)
{
	struct rtnl_route *route = route_look(n, &way->addr);
	struct way old = *way;
	struct neighbour *now = &way->neighbour;

	now->ifindex = 0;
	way->hop = way->addr;
	now->source = (struct addr){0};
	now->status = status_of(route, &now->ifindex, &way->hop);
	if (route)
		addr_from(rtnl_route_get_pref_src(route), &now->source);
	rtnl_route_put(route);
	if (now->ifindex && !interface_mac(now->ifindex, now->own_mac)) {
		now->status = NEIGHBOUR_NO_DEVICE;
		now->ifindex = 0;
	}
	if (now->ifindex == old.neighbour.ifindex &&
	    memcmp(&way->hop, &old.hop, sizeof(way->hop)) == 0) {
		if (now->ifindex)
			now->status = old.neighbour.status;
		return;
	}
	if (old.neighbour.ifindex) {
		entry_drop(n, &old);
		way->ours = false;
		/* by another gateway: until that is resolved, the old one is all there is */
		if (now->ifindex != old.neighbour.ifindex)
			now->was_known = false;
	}
}

/* ---- the neighbour table ---- */

static void entry_take_for(struct neighbours *n, struct way *way, struct rtnl_neigh *entry)
{
	const int fixed = NUD_PERMANENT | NUD_NOARP;
	const int usable = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | fixed;
	struct nl_addr *lladdr = rtnl_neigh_get_lladdr(entry);
	int state = rtnl_neigh_get_state(entry);

	if (way->neighbour.ifindex != (uint32_t)rtnl_neigh_get_ifindex(entry))
		return;
	way->entry = ENTRY_UNUSABLE;
	if (state < 0 || !(state & usable) || !lladdr || nl_addr_get_len(lladdr) != 6)
		return;
	way->entry = state & fixed ? ENTRY_FIXED : ENTRY_USABLE;
	n->differs = n->differs || way->neighbour.status != NEIGHBOUR_KNOWN ||
		     memcmp(way->neighbour.mac, nl_addr_get_binary_addr(lladdr), 6) != 0;
	memcpy(way->neighbour.mac, nl_addr_get_binary_addr(lladdr), 6);
	way->neighbour.status = NEIGHBOUR_KNOWN;
	way->neighbour.was_known = true;
}

/* hop_first: of the ways by this next hop, in by_hop; n_ways or another's when there is none. */
static uint32_t hop_first(const struct neighbours *n, const struct addr *hop)
{
	uint32_t low = 0, high = n->n_ways;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (memcmp(&n->by_hop[middle]->hop, hop, sizeof(*hop)) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* @gone: it was removed, or had been */
static void entry_take(struct neighbours *n, struct rtnl_neigh *entry, bool gone)
{
	struct addr addr;

	if (!addr_from(rtnl_neigh_get_dst(entry), &addr))
		return;
	for (uint32_t i = hop_first(n, &addr);
	     i < n->n_ways && memcmp(&n->by_hop[i]->hop, &addr, sizeof(addr)) == 0; i++) {
		struct way *way = n->by_hop[i];

		if (!gone)
			entry_take_for(n, way, entry);
		else if (way->neighbour.ifindex == (uint32_t)rtnl_neigh_get_ifindex(entry))
			n->table_stale = true;
	}
}

static void table_read(struct neighbours *n)
{
	struct nl_cache *cache = NULL;

	if (rtnl_neigh_alloc_cache(n->query, &cache) < 0)
		return;
	for (uint32_t i = 0; i < n->n_ways; i++)
		n->ways[i].entry = ENTRY_NONE;
	for (struct nl_object *o = nl_cache_get_first(cache); o; o = nl_cache_get_next(o))
		entry_take(n, (struct rtnl_neigh *)o, false);
	nl_cache_free(cache);
}

/* What is not there was never asked for, or was flushed: ask. */
static void entries_tend(struct neighbours *n)
{
	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		if (n->full[ipv6] && clock_ms() - n->full_ms[ipv6] >= FULL_MS)
			full_set(n, ipv6, false);
	}
	for (uint32_t i = 0; i < n->n_ways; i++) {
		struct way *way = &n->ways[i];

		if (way->entry < ENTRY_USABLE && way->neighbour.status == NEIGHBOUR_KNOWN) {
			way->neighbour.status = NEIGHBOUR_UNKNOWN;
			n->differs = true;
		}
		if (way->neighbour.ifindex && way->entry != ENTRY_FIXED && !n->full[is_ipv6(way)] &&
		    (way->entry == ENTRY_NONE || !way->ours)) {
			entry_keep(n, way);
			way->entry =
				way->ours && way->entry == ENTRY_NONE ? ENTRY_UNUSABLE : way->entry;
		}
	}
}

static void look(struct neighbours *n)
{
	for (uint32_t i = 0; n->routes_stale && i < n->n_ways; i++)
		way_look(n, &n->ways[i]);
	if (n->routes_stale) {
		if (n->n_ways)
			qsort(n->by_hop, n->n_ways, sizeof(struct way *), hop_compare);
		n->table_stale = n->differs = true;
	}
	if (n->table_stale)
		table_read(n);
	n->routes_stale = n->table_stale = false;
	entries_tend(n);
}

int neighbours_want(struct neighbours *n, const struct addr *addrs, uint32_t n_addrs)
{
	struct way *ways = calloc(n_addrs + 1, sizeof(*ways));
	struct way **by_hop = calloc(n_addrs + 1, sizeof(struct way *));
	uint32_t unique = 0;

	if (!ways || !by_hop) {
		free(ways);
		free(by_hop);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < n_addrs; i++)
		ways[i].addr = addrs[i];
	qsort(ways, n_addrs, sizeof(*ways), way_compare);
	for (uint32_t i = 0; i < n_addrs; i++) {
		const struct way fresh = {.addr = ways[i].addr, .hop = ways[i].addr};
		const struct way *known = way_find(n, &fresh.addr);

		if (unique && way_compare(&ways[unique - 1], &fresh) == 0)
			continue;
		ways[unique++] = known ? *known : fresh;
	}
	for (uint32_t i = 0; i < n->n_ways; i++) {
		struct way *old = &n->ways[i];

		if (!unique || !bsearch(old, ways, unique, sizeof(*ways), way_compare))
			entry_drop(n, old);
	}
	for (uint32_t i = 0; i < unique; i++)
		by_hop[i] = &ways[i];
	free(n->ways);
	free(n->by_hop);
	n->ways = ways;
	n->by_hop = by_hop;
	n->n_ways = unique;
	n->routes_stale = true;
	look(n);
	n->differs = false; /* the caller asks by itself */
	return 0;
}

struct neighbour_room neighbours_room(const struct neighbours *n, bool ipv6)
{
	struct neighbour_room room = {.refused = n->full[ipv6]};
	const struct way *last = NULL;

	for (uint32_t i = 0; i < n->n_ways; i++) {
		const struct way *way = n->by_hop[i];

		if (!way->neighbour.ifindex || is_ipv6(way) != ipv6)
			continue;
		room.wanted += !last || memcmp(&last->hop, &way->hop, sizeof(way->hop)) != 0;
		last = way;
	}
	return room;
}

const struct neighbour *neighbours_find(const struct neighbours *n, const struct addr *addr,
					bool routed)
{
	static const struct neighbour gateway = {.status = NEIGHBOUR_GATEWAY};
	const struct way *way = way_find(n, addr);

	if (way && !routed && is_routed(way))
		return &gateway;
	return way ? &way->neighbour : NULL;
}

/* ---- events ---- */

static void on_settled(evutil_socket_t fd, short what, void *arg)
{
	struct neighbours *n = arg;

	(void)fd;
	(void)what;
	look(n);
	if (n->differs)
		n->changed(n->owner);
	n->differs = false;
}

/* A link, an address or a route; not a neighbour, nor what is of tc. */
static bool is_of_routes(unsigned type)
{
	return type < RTM_NEWNEIGH;
}

static void event_take(struct neighbours *n, struct nlmsghdr *h)
{
	const struct ndmsg *entry = nlmsg_data(h);
	struct rtnl_neigh *neigh = NULL;

	if (h->nlmsg_type != RTM_NEWNEIGH && h->nlmsg_type != RTM_DELNEIGH) {
		if (is_of_routes(h->nlmsg_type))
			n->routes_stale = true;
		else
			n->differs = true; /* of tc: the owner looks by itself */
		return;
	}
	if (!nlmsg_valid_hdr(h, sizeof(*entry)) || entry->ndm_flags & NTF_PROXY ||
	    (entry->ndm_family != AF_INET && entry->ndm_family != AF_INET6))
		return;
	if (rtnl_neigh_parse(h, &neigh) < 0) {
		n->routes_stale = true;
		return;
	}
	entry_take(n, neigh, h->nlmsg_type == RTM_DELNEIGH);
	rtnl_neigh_put(neigh);
}

/* Of links, addresses and routes it only counts that something changed. An overflow (ENOBUFS) means
 * all of it.
 */
static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	_Alignas(struct nlmsghdr) char bytes[EVENT_BYTES];
	struct neighbours *n = arg;

	(void)what;
	for (int turn = 0; turn < 64; turn++) {
		ssize_t got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		unsigned left = got > 0 ? (unsigned)got : 0;

		if (got < 0 && errno != ENOBUFS)
			break;
		n->routes_stale = n->routes_stale || got < 0;
		for (struct nlmsghdr *h = (struct nlmsghdr *)bytes; NLMSG_OK(h, left);
		     h = NLMSG_NEXT(h, left))
			event_take(n, h);
	}
	if (!event_pending(n->settled, EV_TIMEOUT, NULL))
		event_add(n->settled, &(struct timeval){.tv_usec = SETTLE_MS * 1000});
}

static struct nl_sock *socket_new(void)
{
	struct nl_sock *s = nl_socket_alloc();

	if (s && nl_connect(s, NETLINK_ROUTE) < 0) {
		nl_socket_free(s);
		s = NULL;
	}
	return s;
}

struct neighbours *neighbours_new(struct event_base *loop, neighbours_changed_fn *changed,
				  void *owner)
{
	struct neighbours *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->changed = changed;
	n->owner = owner;
	n->query = socket_new();
	n->routes = socket_new();
	n->events = socket_new();
	if (n->routes)
		nl_socket_disable_auto_ack(n->routes);
	if (n->query && n->routes && n->events && nl_socket_set_nonblocking(n->events) == 0 &&
	    nl_socket_set_buffer_size(n->events, 4 << 20, 0) == 0 &&
	    nl_socket_add_memberships(n->events, RTNLGRP_NEIGH, RTNLGRP_LINK, RTNLGRP_IPV4_ROUTE,
				      RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
				      RTNLGRP_TC, 0) == 0) {
		n->readable = event_new(loop, nl_socket_get_fd(n->events), EV_READ | EV_PERSIST,
					on_readable, n);
		n->settled = event_new(loop, -1, 0, on_settled, n);
		n->again = event_new(loop, -1, 0, on_settled, n);
	}
	if (!n->readable || !n->settled || !n->again) {
		neighbours_free(n);
		errno = ENOMEM;
		return NULL;
	}
	event_add(n->readable, NULL);
	return n;
}

void neighbours_free(struct neighbours *n)
{
	if (!n)
		return;
	if (n->readable)
		event_free(n->readable);
	if (n->settled)
		event_free(n->settled);
	if (n->again)
		event_free(n->again);
	nl_socket_free(n->query);
	nl_socket_free(n->routes);
	nl_socket_free(n->events);
	free(n->ways);
	free(n->by_hop);
	free(n);
}
