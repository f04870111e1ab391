/* SPDX-License-Identifier: BSD-2-Clause */
/* address.c: an instance's virtual addresses put on an interface and taken off (link.h).
 *
 * All of them are one system call: the kernel carries the requests of a datagram out before it
 * returns, and says only what failed. Each has our mark (IFA_PROTO), by which a vrrp that is
 * started anew knows them; one that was there already is not touched, and does not get it. For IPv6
 * they are added as deprecated, so that the node never picks one as the source of its own
 * connections. On a macvlan they make no route: the interface has one to the same network.
 */
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>
#include <netlink/route/link/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include "vrrp/link.h"

enum { REQUEST_MOST = 96, ERRORS_MOST = 8192, OUR_MARK = 205, INTERRUPTED_MOST = 3 };
/* Sequence numbers: by these an error names its address. */
enum { FIRST_ADDRESS = 1, OF_MACVLAN = FIRST_ADDRESS + CONFIG_ADDRESSES };

struct batch {
	size_t n;
	_Alignas(struct nlmsghdr) uint8_t bytes[(CONFIG_ADDRESSES + 1) * REQUEST_MOST];
};

static void *take_bytes(struct batch *b, size_t n)
{
	void *at = b->bytes + b->n;

	memset(at, 0, NLMSG_ALIGN(n));
	b->n += NLMSG_ALIGN(n);
	return at;
}

static struct nlmsghdr *request_begin(struct batch *b, uint16_t type, uint16_t flags,
				      uint32_t sequence)
{
	struct nlmsghdr *h = take_bytes(b, sizeof(*h));

	h->nlmsg_type = type;
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	h->nlmsg_seq = sequence;
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
			    const struct config_vip *vip, uint32_t number)
{
	const struct ifa_cacheinfo deprecated = {.ifa_prefered = 0, .ifa_valid = UINT32_MAX};
	bool ipv4 = addr_is_ipv4(&vip->addr);
	struct nlmsghdr *h =
		request_begin(b, add ? RTM_NEWADDR : RTM_DELADDR,
			      add ? NLM_F_CREATE | NLM_F_EXCL : 0, FIRST_ADDRESS + number);
	const uint8_t mark = OUR_MARK;
	struct ifaddrmsg *m = take_bytes(b, sizeof(*m));
	uint32_t flags = (ipv4 ? 0 : IFA_F_NODAD) |
			 (link->holder == link->ifindex ? 0 : IFA_F_NOPREFIXROUTE);

	m->ifa_family = ipv4 ? AF_INET : AF_INET6;
	m->ifa_prefixlen = vip->prefix_len;
	m->ifa_index = (uint32_t)link->holder;
	attribute(b, IFA_LOCAL, vip->addr.in6.s6_addr + (ipv4 ? 12 : 0), ipv4 ? 4 : 16);
	if (add) {
		attribute(b, IFA_FLAGS, &flags, sizeof(flags));
		attribute(b, IFA_PROTO, &mark, sizeof(mark));
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
	h = request_begin(b, RTM_NEWLINK, 0, OF_MACVLAN);
	m = take_bytes(b, sizeof(*m));
	m->ifi_index = link->holder;
	m->ifi_flags = up ? IFF_UP : 0;
	m->ifi_change = IFF_UP;
	request_end(b, h);
}

/* What is there (or gone) already is fine. *ret_refused: a bit for each address that was refused.
 */
static int errors_read(int fd, uint64_t *ret_refused)
{
	_Alignas(struct nlmsghdr) uint8_t bytes[ERRORS_MOST];
	int failed = 0;
	ssize_t n;

	*ret_refused = 0;
	while ((n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0 || errno == ENOBUFS) {
		size_t left = n > 0 ? (size_t)n : 0;

		if (n < 0) { /* some are lost: its address is taken as added */
			failed = -ENOBUFS;
			continue;
		}
		for (const struct nlmsghdr *h = (const struct nlmsghdr *)bytes; NLMSG_OK(h, left);
		     h = NLMSG_NEXT(h, left)) {
			const struct nlmsgerr *e = NLMSG_DATA(h);

			if (h->nlmsg_type != NLMSG_ERROR || e->error == 0)
				continue;
			if (e->error != -EEXIST && e->error != -EADDRNOTAVAIL)
				failed = e->error;
			if (h->nlmsg_seq >= FIRST_ADDRESS && h->nlmsg_seq < OF_MACVLAN)
				*ret_refused |= 1ULL << (h->nlmsg_seq - FIRST_ADDRESS);
		}
	}
	return failed;
}

static int batch_send(const struct batch *b, struct nl_sock *netlink, uint64_t *ret_refused)
{
	const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	int fd = nl_socket_get_fd(netlink);

	errors_read(fd, ret_refused); /* of something before: none of these requests' */
	*ret_refused = UINT64_MAX;
	if (b->n > 0 &&
	    sendto(fd, b->bytes, b->n, 0, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	return errors_read(fd, ret_refused);
}

int link_add_addresses(struct nl_sock *netlink, const struct link *link,
		       const struct config_instance *config, uint64_t *held)
{
	uint64_t wanted = 0, refused;
	struct batch b;
	int r;

	_Static_assert(CONFIG_ADDRESSES <= 64, "a bit for each");
	b.n = 0;
	macvlan_request(&b, true, link);
	for (uint32_t i = 0; i < config->n_addresses; i++) {
		address_request(&b, true, link, &config->addresses[i], i);
		wanted |= 1ULL << i;
	}
	r = batch_send(&b, netlink, &refused);
	*held |= wanted & ~refused;
	return r;
}

int link_remove_addresses(struct nl_sock *netlink, const struct link *link,
			  const struct config_instance *config, uint64_t *held)
{
	uint64_t refused;
	struct batch b;

	b.n = 0;
	/* The first of a network last: in its place the kernel would promote the next, each time.
	 */
	for (uint32_t i = config->n_addresses; i-- > 0;) {
		if (*held >> i & 1)
			address_request(&b, false, link, &config->addresses[i], i);
	}
	macvlan_request(&b, false, link);
	*held = 0;
	return batch_send(&b, netlink, &refused);
}

int link_remove_address(struct nl_sock *netlink, const struct link *link,
			const struct config_vip *vip)
{
	uint64_t refused;
	struct batch b;

	b.n = 0;
	address_request(&b, false, link, vip, 0);
	return batch_send(&b, netlink, &refused);
}

/* ---- what is there ---- */

static bool kernel_has_marks(void)
{
	struct utsname name;
	unsigned major = 0, minor = 0;

	return uname(&name) == 0 && sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 5 || (major == 5 && minor >= 18));
}

struct telling {
	void (*tell)(void *owner, const struct link_address *address);
	void *owner;
};

static int address_take(struct nl_msg *message, void *arg)
{
	struct link_address address = {.vip.addr.in6.s6_addr = {[10] = 0xff, [11] = 0xff}};
	const struct telling *t = arg;
	const struct ifaddrmsg *m = nlmsg_data(nlmsg_hdr(message));
	struct nlattr *attributes[IFA_MAX + 1], *at;
	uint32_t flags;

	if (nlmsg_parse(nlmsg_hdr(message), sizeof(*m), attributes, IFA_MAX, NULL) < 0)
		return NL_SKIP;
	at = attributes[IFA_LOCAL] ? attributes[IFA_LOCAL] : attributes[IFA_ADDRESS];
	if (!at || nla_len(at) != (m->ifa_family == AF_INET ? 4 : 16))
		return NL_SKIP;
	if (m->ifa_family == AF_INET)
		memcpy(address.vip.addr.in6.s6_addr + 12, nla_data(at), 4);
	else
		memcpy(address.vip.addr.in6.s6_addr, nla_data(at), 16);
	flags = attributes[IFA_FLAGS] ? nla_get_u32(attributes[IFA_FLAGS]) : m->ifa_flags;
	address.ifindex = (int)m->ifa_index;
	address.vip.prefix_len = m->ifa_prefixlen;
	address.ours = attributes[IFA_PROTO] && nla_get_u8(attributes[IFA_PROTO]) == OUR_MARK;
	address.waits =
		m->ifa_family == AF_INET6 && flags & IFA_F_TENTATIVE && !(flags & IFA_F_OPTIMISTIC);
	t->tell(t->owner, &address);
	return NL_OK;
}

int link_addresses(struct nl_sock *netlink,
		   void (*tell)(void *owner, const struct link_address *address), void *owner)
{
	struct ifaddrmsg all = {.ifa_family = AF_UNSPEC};
	struct telling t = {tell, owner};
	int r = -NLE_DUMP_INTR;

	nl_socket_modify_cb(netlink, NL_CB_VALID, NL_CB_CUSTOM, address_take, &t);
	for (int i = 0; r == -NLE_DUMP_INTR && i < INTERRUPTED_MOST; i++) {
		r = nl_send_simple(netlink, RTM_GETADDR, NLM_F_DUMP, &all, sizeof(all));
		r = r < 0 ? r : nl_recvmsgs_default(netlink);
	}
	if (r < 0)
		return -EIO;
	return kernel_has_marks() ? 0 : -EOPNOTSUPP;
}

void link_promote(struct nl_sock *netlink, const struct link *link)
{
	struct rtnl_link *which = rtnl_link_alloc(), *change = rtnl_link_alloc();

	if (which && change) {
		rtnl_link_set_ifindex(which, link->holder);
		rtnl_link_inet_set_conf(change, IPV4_DEVCONF_PROMOTE_SECONDARIES, 1);
		rtnl_link_change(netlink, which, change, 0);
	}
	rtnl_link_put(which);
	rtnl_link_put(change);
}
