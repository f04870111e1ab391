/* SPDX-License-Identifier: BSD-2-Clause */
/* route.c: see route.h. */
#include "vrrp/route.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

enum { READ_BYTES = 32 << 10, READS_A_TURN = 8, AGAIN_MS = 1000 };

struct route_watch {
	struct event_base *loop;
	route_fn *tell;
	void *owner;
	int fd; /* -1 while nothing is watched */
	struct event *readable, *again;
	uint32_t n;
	struct config_vip prefixes[CONFIG_TRACKS];
	bool seen[CONFIG_TRACKS]; /* in the list that is being read */
	uint32_t sequence;	  /* of its request */
	bool listing, stale;	  /* stale: another one is needed after it */
};

/* ---- one message ---- */

static bool hop_works(uint32_t flags)
{
	return !(flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN));
}

static bool any_hop_works(const struct nlattr *multipath)
{
	const struct rtnexthop *hop = nla_data(multipath);
	int left = nla_len(multipath);

	while (left >= (int)sizeof(*hop) && hop->rtnh_len >= sizeof(*hop) &&
	       hop->rtnh_len <= left) {
		if (hop_works(hop->rtnh_flags))
			return true;
		left -= (int)RTNH_ALIGN(hop->rtnh_len);
		hop = RTNH_NEXT(hop);
	}
	return false;
}

static bool destination_is(const struct nlattr *attribute, const struct config_vip *prefix)
{
	bool ipv4 = addr_is_ipv4(&prefix->addr);
	const uint8_t *wanted = prefix->addr.in6.s6_addr + (ipv4 ? 12 : 0);
	int n = ipv4 ? 4 : 16;

	if (prefix->prefix_len == 0)
		return true; /* there is no other */
	return attribute && nla_len(attribute) == n &&
	       memcmp(nla_data(attribute), wanted, (size_t)n) == 0;
}

bool route_is(const struct nlmsghdr *message, const struct config_vip *prefix, bool *ret_usable)
{
	struct nlmsghdr *m = (struct nlmsghdr *)(uintptr_t)message; /* libnl has no const */
	struct nlattr *attributes[RTA_MAX + 1];
	const struct rtmsg *route;
	uint32_t table;

	if ((m->nlmsg_type != RTM_NEWROUTE && m->nlmsg_type != RTM_DELROUTE) ||
	    nlmsg_parse(m, sizeof(*route), attributes, RTA_MAX, NULL) < 0)
		return false;
	route = nlmsg_data(m);
	table = attributes[RTA_TABLE] && nla_len(attributes[RTA_TABLE]) >= 4
			? nla_get_u32(attributes[RTA_TABLE])
			: route->rtm_table;
	if (route->rtm_family != (addr_is_ipv4(&prefix->addr) ? AF_INET : AF_INET6) ||
	    route->rtm_dst_len != prefix->prefix_len || table != RT_TABLE_MAIN ||
	    route->rtm_flags & RTM_F_CLONED || !destination_is(attributes[RTA_DST], prefix))
		return false;
	*ret_usable = route->rtm_type == RTN_UNICAST &&
		      (attributes[RTA_MULTIPATH] ? any_hop_works(attributes[RTA_MULTIPATH])
						 : hop_works(route->rtm_flags));
	return true;
}

/* ---- the table ---- */

static void later(struct route_watch *w)
{
	event_add(w->again, &(struct timeval){.tv_sec = AGAIN_MS / 1000});
}

static void list(struct route_watch *w)
{
	const struct {
		struct nlmsghdr header;
		struct rtmsg route;
	} request = {
		.header = {.nlmsg_len = sizeof(request),
			   .nlmsg_type = RTM_GETROUTE,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
			   .nlmsg_seq = ++w->sequence},
		.route = {.rtm_family = AF_UNSPEC},
	};

	w->listing = w->stale = false;
	memset(w->seen, 0, sizeof(w->seen));
	if (send(w->fd, &request, sizeof(request), MSG_DONTWAIT) < 0)
		later(w);
	else
		w->listing = true;
}

static void list_anew(struct route_watch *w)
{
	if (w->listing)
		w->stale = true;
	else
		list(w);
}

/* And a second time: a link's event may come before its routes are gone. */
void route_watch_list(struct route_watch *w)
{
	if (w->fd < 0)
		return;
	list_anew(w);
	later(w);
}

static void listed(struct route_watch *w)
{
	bool stale = w->stale;

	w->listing = false;
	for (uint32_t i = 0; i < w->n; i++)
		if (!stale || w->seen[i])
			w->tell(w->owner, i, w->seen[i]);
	if (stale)
		list(w);
}

static void hear(struct route_watch *w, const struct nlmsghdr *m)
{
	bool usable, ours = w->listing && m->nlmsg_seq == w->sequence;

	if (ours && m->nlmsg_type == NLMSG_DONE) {
		listed(w);
		return;
	}
	if (ours && m->nlmsg_type == NLMSG_ERROR) {
		w->listing = false;
		later(w);
		return;
	}
	if (ours && m->nlmsg_flags & NLM_F_DUMP_INTR)
		w->stale = true;
	for (uint32_t i = 0; i < w->n; i++) {
		if (!route_is(m, &w->prefixes[i], &usable))
			continue;
		w->seen[i] |= usable && m->nlmsg_type == RTM_NEWROUTE;
		if (m->nlmsg_seq == w->sequence && w->listing)
			continue; /* told at the list's end */
		if (usable && m->nlmsg_type == RTM_NEWROUTE)
			w->tell(w->owner, i, true);
		else
			list_anew(w);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	static _Alignas(NLMSG_ALIGNTO) char bytes[READ_BYTES];
	struct route_watch *w = arg;

	(void)what;
	for (int turn = 0; turn < READS_A_TURN; turn++) {
		ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		int left = (int)n;

		if (n < 0 && errno == ENOBUFS) {
			w->stale = true;
			if (!w->listing)
				later(w); /* a flood of changes: not at once */
			continue;
		}
		if (n <= 0)
			return;
		for (struct nlmsghdr *m = (struct nlmsghdr *)bytes; nlmsg_ok(m, left);
		     m = nlmsg_next(m, &left))
			hear(w, m);
	}
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	list_anew(arg);
}

/* ---- life ---- */

static void unwatch(struct route_watch *w)
{
	if (w->readable)
		event_free(w->readable);
	w->readable = NULL;
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	w->listing = w->stale = false;
	event_del(w->again);
}

static int watch(struct route_watch *w)
{
	static const int groups[] = {RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE};

	w->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	for (int i = 0; i < 2; i++) {
		if (w->fd < 0 || setsockopt(w->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i],
					    sizeof(groups[i])) < 0)
			return -errno;
	}
	w->readable = event_new(w->loop, w->fd, EV_READ | EV_PERSIST, on_readable, w);
	return w->readable && event_add(w->readable, NULL) == 0 ? 0 : -ENOMEM;
}

void route_watch_want(struct route_watch *w, const struct config_vip *prefixes, uint32_t n)
{
	int r;

	unwatch(w);
	w->n = n;
	memcpy(w->prefixes, prefixes, n * sizeof(*prefixes));
	r = n > 0 ? watch(w) : 0;
	if (r < 0) {
		unwatch(w);
		log_err("routes not tracked: error=\"%s\"", strerror(-r));
	} else if (n > 0) {
		list(w);
	}
}

struct route_watch *route_watch_new(struct event_base *loop, route_fn *tell, void *owner)
{
	struct route_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	*w = (struct route_watch){.loop = loop, .tell = tell, .owner = owner, .fd = -1};
	w->again = event_new(loop, -1, 0, on_again, w);
	if (!w->again) {
		free(w);
		return NULL;
	}
	return w;
}

void route_watch_free(struct route_watch *w)
{
	if (!w)
		return;
	unwatch(w);
	event_free(w->again);
	free(w);
}
