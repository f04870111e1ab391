/* SPDX-License-Identifier: BSD-2-Clause */
/* routes.c: see routes.h. */
#include "lb/routes.h"

#include <errno.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/route/route.h>
#include <netlink/socket.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { IPV6_METRIC = 1024 }; /* what the kernel makes of 0 */

struct route {
	struct addr vip;
	uint32_t metric;
	bool kept;
};

struct routes {
	struct nl_sock *dump, *change;
	const struct config_announce *way; /* while one is read or written */
	struct route *found;
	uint32_t n, room;
	bool no_memory;
};

static struct nl_sock *socket_new(void)
{
	struct nl_sock *s = nl_socket_alloc();

	if (s && nl_connect(s, NETLINK_ROUTE) < 0) {
		nl_socket_free(s);
		s = NULL;
	}
	return s;
}

struct routes *routes_new(void)
{
	struct routes *r = calloc(1, sizeof(*r));
	int on = 1;

	if (!r)
		return NULL;
	r->dump = socket_new();
	r->change = socket_new();
	/* the kernel then gives the table that was asked for: others may hold a million routes */
	if (!r->dump || !r->change ||
	    setsockopt(nl_socket_get_fd(r->dump), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on,
		       sizeof(on)) < 0) {
		routes_free(r);
		errno = ENOTSUP;
		return NULL;
	}
	nl_socket_disable_auto_ack(r->dump);
	return r;
}

void routes_free(struct routes *r)
{
	if (!r)
		return;
	nl_socket_free(r->dump);
	nl_socket_free(r->change);
	free(r->found);
	free(r);
}

static int to_errno(int error)
{
	switch (-error) {
	case NLE_PERM:
		return -EPERM;
	case NLE_NOMEM:
		return -ENOMEM;
	case NLE_AF_NOSUPPORT:
		return -EAFNOSUPPORT;
	case NLE_OBJ_NOTFOUND:
		return -ENOENT;
	case NLE_EXIST:
		return -EEXIST;
	default:
		return -EIO;
	}
}

/* ---- reading ---- */

static uint32_t metric_of(const struct addr *vip, uint32_t metric)
{
	return metric || addr_is_ipv4(vip) ? metric : IPV6_METRIC;
}

static int route_compare(const void *a, const void *b)
{
	return memcmp(&((const struct route *)a)->vip, &((const struct route *)b)->vip,
		      sizeof(struct addr));
}

static void found_add(struct routes *r, struct rtnl_route *route)
{
	struct nl_addr *dst = rtnl_route_get_dst(route);
	unsigned bytes = dst ? nl_addr_get_len(dst) : 0;
	struct route new = {.metric = rtnl_route_get_priority(route)};

	if (rtnl_route_get_table(route) != r->way->table ||
	    rtnl_route_get_protocol(route) != r->way->protocol ||
	    rtnl_route_get_type(route) != RTN_BLACKHOLE || (bytes != 4 && bytes != 16) ||
	    nl_addr_get_prefixlen(dst) != 8 * bytes)
		return;
	new.vip = (struct addr){.in6.s6_addr = {[10] = 0xff, [11] = 0xff}};
	memcpy(new.vip.in6.s6_addr + 16 - bytes, nl_addr_get_binary_addr(dst), bytes);
	if (r->n == r->room) {
		uint32_t room = r->room ? 2 * r->room : 64;
		struct route *more = realloc(r->found, room * sizeof(*more));

		if (!more) {
			r->no_memory = true;
			return;
		}
		r->found = more;
		r->room = room;
	}
	r->found[r->n++] = new;
}

static int on_route(struct nl_msg *msg, void *arg)
{
	struct rtnl_route *route = NULL;

	if (rtnl_route_parse(nlmsg_hdr(msg), &route) == 0)
		found_add(arg, route);
	rtnl_route_put(route);
	return NL_OK;
}

/* family_read: append what is there; a table that nobody has put a route into is not there. */
static int family_read(struct routes *r, int family)
{
	struct rtmsg header = {.rtm_family = (unsigned char)family,
			       .rtm_table = r->way->table < 256 ? (unsigned char)r->way->table : 0,
			       .rtm_protocol = r->way->protocol};
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETROUTE, NLM_F_DUMP);
	struct nl_cb *cb = nl_cb_alloc(NL_CB_DEFAULT);
	int error = -NLE_NOMEM;

	if (msg && cb && nlmsg_append(msg, &header, sizeof(header), NLMSG_ALIGNTO) == 0 &&
	    nla_put_u32(msg, RTA_TABLE, r->way->table) == 0) {
		nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, on_route, r);
		error = nl_send_auto(r->dump, msg);
		error = error < 0 ? error : nl_recvmsgs(r->dump, cb);
	}
	nl_cb_put(cb);
	nlmsg_free(msg);
	return error == -NLE_OBJ_NOTFOUND || error >= 0 ? 0 : to_errno(error);
}

static int all_read(struct routes *r)
{
	int error;

	r->n = 0;
	r->no_memory = false;
	error = family_read(r, AF_INET);
	if (error == 0)
		error = family_read(r, AF_INET6);
	if (error == 0 && r->no_memory)
		error = -ENOMEM;
	if (error == 0 && r->n)
		qsort(r->found, r->n, sizeof(*r->found), route_compare);
	return error;
}

/* ---- writing ---- */

static int route_write(struct routes *r, const struct addr *vip, uint32_t metric, bool add)
{
	int bytes = addr_is_ipv4(vip) ? 4 : 16;
	struct nl_addr *dst = nl_addr_build(bytes == 4 ? AF_INET : AF_INET6,
					    vip->in6.s6_addr + 16 - bytes, (size_t)bytes);
	struct rtnl_route *route = rtnl_route_alloc();
	int error = -NLE_NOMEM;

	if (dst && route) {
		rtnl_route_set_family(route, (uint8_t)nl_addr_get_family(dst));
		rtnl_route_set_table(route, r->way->table);
		rtnl_route_set_protocol(route, r->way->protocol);
		rtnl_route_set_priority(route, metric);
		rtnl_route_set_scope(route, RT_SCOPE_UNIVERSE);
		rtnl_route_set_type(route, RTN_BLACKHOLE);
		rtnl_route_set_dst(route, dst);
		error = add ? rtnl_route_add(r->change, route, NLM_F_EXCL)
			    : rtnl_route_delete(r->change, route, 0);
	}
	rtnl_route_put(route);
	nl_addr_put(dst);
	if (error >= 0 || (!add && error == -NLE_OBJ_NOTFOUND))
		return 0;
	return to_errno(error);
}

/* One of the VIP may be there by another metric, too: good enough while none is added. */
static bool is_found(struct routes *r, const struct addr *vip, bool any_metric)
{
	const struct route key = {.vip = *vip};
	struct route *at = r->n ? bsearch(&key, r->found, r->n, sizeof(key), route_compare) : NULL;
	bool found = false;

	while (at && at > r->found && route_compare(at - 1, &key) == 0)
		at--;
	for (; at && at < r->found + r->n && route_compare(at, &key) == 0; at++) {
		at->kept = any_metric || at->metric == metric_of(vip, r->way->metric);
		found = found || at->kept;
	}
	return found;
}

int routes_set(struct routes *r, const struct config_announce *way, const struct addr *vips,
	       uint32_t n, bool only_remove, bool *ret_missing, uint32_t ret_n[static 2])
{
	int first;

	ret_n[0] = ret_n[1] = 0;
	r->way = way;
	first = all_read(r);
	if (first < 0)
		return first;
	for (uint32_t i = 0; i < n; i++)
		ret_missing[i] = !is_found(r, &vips[i], only_remove);
	for (uint32_t i = 0; i < n && !only_remove; i++) {
		int error;

		if (!ret_missing[i])
			continue;
		error = route_write(r, &vips[i], metric_of(&vips[i], way->metric), true);
		ret_missing[i] = error < 0;
		ret_n[0] += error == 0;
		first = first < 0 ? first : error;
	}
	for (uint32_t i = 0; i < r->n; i++) {
		int error;

		if (r->found[i].kept)
			continue;
		error = route_write(r, &r->found[i].vip, r->found[i].metric, false);
		ret_n[1] += error == 0;
		first = first < 0 ? first : error;
	}
	return first;
}
