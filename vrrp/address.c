/* SPDX-License-Identifier: BSD-2-Clause */
/* address.c: an instance's virtual addresses put on an interface and taken off (link.h).
 *
 * All of them are one system call: the kernel carries the requests of a datagram out before it
 * returns, and says only what failed. For IPv6 they are added as deprecated, so that the node never
 * picks one as the source of its own connections. On a macvlan they make no route: the interface
 * has one to the same network.
 */
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/socket.h>
#include <string.h>
#include <sys/socket.h>

#include "vrrp/link.h"

enum { REQUEST_MOST = 96, ERRORS_MOST = 8192 };

struct batch {
	size_t n;
	uint32_t sequence;
	_Alignas(struct nlmsghdr) uint8_t bytes[(CONFIG_ADDRESSES + 1) * REQUEST_MOST];
};

static void *take_bytes(struct batch *b, size_t n)
{
	void *at = b->bytes + b->n;

	memset(at, 0, NLMSG_ALIGN(n));
	b->n += NLMSG_ALIGN(n);
	return at;
}

static struct nlmsghdr *request_begin(struct batch *b, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *h = take_bytes(b, sizeof(*h));

	h->nlmsg_type = type;
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	h->nlmsg_seq = ++b->sequence;
	return h;
}

static void request_end(struct batch *b, struct nlmsghdr *h)
{
	h->nlmsg_len = (uint32_t)(b->bytes + b->n - (uint8_t *)h);
}

static void attribute(struct batch *b, uint16_t type, const void *value, size_t n)
{
	struct rtattr *a = take_bytes(b, RTA_LENGTH(n));

	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(n);
	memcpy(RTA_DATA(a), value, n);
}

static void address_request(struct batch *b, bool add, const struct link *link,
			    const struct config_vip *vip)
{
	const struct ifa_cacheinfo deprecated = {.ifa_prefered = 0, .ifa_valid = UINT32_MAX};
	bool ipv4 = addr_is_ipv4(&vip->addr);
	struct nlmsghdr *h = request_begin(b, add ? RTM_NEWADDR : RTM_DELADDR,
					   add ? NLM_F_CREATE | NLM_F_REPLACE : 0);
	struct ifaddrmsg *m = take_bytes(b, sizeof(*m));
	uint32_t flags = (ipv4 ? 0 : IFA_F_NODAD) |
			 (link->holder == link->ifindex ? 0 : IFA_F_NOPREFIXROUTE);

	m->ifa_family = ipv4 ? AF_INET : AF_INET6;
	m->ifa_prefixlen = vip->prefix_len;
	m->ifa_index = (uint32_t)link->holder;
	attribute(b, IFA_LOCAL, vip->addr.in6.s6_addr + (ipv4 ? 12 : 0), ipv4 ? 4 : 16);
	if (add) {
		attribute(b, IFA_FLAGS, &flags, sizeof(flags));
		if (!ipv4)
			attribute(b, IFA_CACHEINFO, &deprecated, sizeof(deprecated));
	}
	request_end(b, h);
}

/* The macvlan is up while it has addresses. */
static void macvlan_request(struct batch *b, bool up, const struct link *link)
{
	struct nlmsghdr *h;
	struct ifinfomsg *m;

	if (link->holder == link->ifindex)
		return;
	h = request_begin(b, RTM_NEWLINK, 0);
	m = take_bytes(b, sizeof(*m));
	m->ifi_index = link->holder;
	m->ifi_flags = up ? IFF_UP : 0;
	m->ifi_change = IFF_UP;
	request_end(b, h);
}

/* What is there (or gone) already is fine. */
static int errors_read(int fd)
{
	_Alignas(struct nlmsghdr) uint8_t bytes[ERRORS_MOST];
	int failed = 0;
	ssize_t n;

	while ((n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
		size_t left = (size_t)n;

		for (const struct nlmsghdr *h = (const struct nlmsghdr *)bytes; NLMSG_OK(h, left);
		     h = NLMSG_NEXT(h, left)) {
			const struct nlmsgerr *e = NLMSG_DATA(h);

			if (h->nlmsg_type == NLMSG_ERROR && e->error != 0 && e->error != -EEXIST &&
			    e->error != -EADDRNOTAVAIL)
				failed = e->error;
		}
	}
	return failed;
}

static int batch_send(const struct batch *b, struct nl_sock *netlink)
{
	const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	int fd = nl_socket_get_fd(netlink);

	if (sendto(fd, b->bytes, b->n, 0, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	return errors_read(fd);
}

int link_add_addresses(struct nl_sock *netlink, const struct link *link,
		       const struct config_instance *config)
{
	struct batch b;

	b.n = b.sequence = 0;
	macvlan_request(&b, true, link);
	for (uint32_t i = 0; i < config->n_addresses; i++)
		address_request(&b, true, link, &config->addresses[i]);
	return batch_send(&b, netlink);
}

int link_remove_addresses(struct nl_sock *netlink, const struct link *link,
			  const struct config_instance *config)
{
	struct batch b;

	b.n = b.sequence = 0;
	for (uint32_t i = 0; i < config->n_addresses; i++)
		address_request(&b, false, link, &config->addresses[i]);
	macvlan_request(&b, false, link);
	return batch_send(&b, netlink);
}

int link_remove_address(struct nl_sock *netlink, const struct link *link,
			const struct config_vip *vip)
{
	struct batch b;

	b.n = b.sequence = 0;
	address_request(&b, false, link, vip);
	return batch_send(&b, netlink);
}
