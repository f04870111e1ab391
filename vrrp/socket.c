/* SPDX-License-Identifier: BSD-2-Clause */
/* socket.c: see socket.h. */
#include "vrrp/socket.h"

#include <errno.h>
#include <netinet/ip.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TOS_CS6 = 0xc0, IPV4_HEADER_LEAST = 20 };

static const struct addr *group(bool ipv6)
{
	static const struct addr groups[] = {
		{.in6.s6_addr = {[10] = 0xff, [11] = 0xff, 224, 0, 0, 18}},
		{.in6.s6_addr = {0xff, 0x02, [15] = 0x12}},
	};

	return &groups[ipv6];
}

static int set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int options_ipv4(int fd, const struct link *link)
{
	struct ip_mreqn mreq = {.imr_ifindex = link->ifindex};
	int r;

	memcpy(&mreq.imr_multiaddr, group(false)->in6.s6_addr + 12, 4);
	if (setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &mreq, sizeof(mreq)) < 0)
		return -errno;
	memcpy(&mreq.imr_address, link->primary.in6.s6_addr + 12, 4);
	if (setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &mreq, sizeof(mreq)) < 0)
		return -errno;
	r = set(fd, IPPROTO_IP, IP_MULTICAST_TTL, VRRP_TTL);
	r = r ? r : set(fd, IPPROTO_IP, IP_MULTICAST_LOOP, 0);
	return r ? r : set(fd, IPPROTO_IP, IP_TOS, TOS_CS6);
}

static int options_ipv6(int fd, const struct link *link)
{
	struct ipv6_mreq mreq = {.ipv6mr_multiaddr = group(true)->in6,
				 .ipv6mr_interface = (unsigned)link->ifindex};
	int r;

	if (setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &mreq, sizeof(mreq)) < 0)
		return -errno;
	r = set(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, link->ifindex);
	r = r ? r : set(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, VRRP_TTL);
	r = r ? r : set(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0);
	r = r ? r : set(fd, IPPROTO_IPV6, IPV6_TCLASS, TOS_CS6);
	r = r ? r : set(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
	r = r ? r : set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	return r;
}

int vrrp_socket_open(const struct config_instance *config, const struct link *link)
{
	int fd = socket(config->ipv6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
			VRRP_PROTOCOL);
	int r;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, config->interface,
		       (socklen_t)strlen(config->interface)) < 0)
		r = -errno;
	else
		r = config->ipv6 ? options_ipv6(fd, link) : options_ipv4(fd, link);
	if (r == 0)
		r = set(fd, SOL_SOCKET, SO_PRIORITY, 6);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

/* ---- in ---- */

/* What RFC 3542 tells of an IPv6 packet. */
static void control_read(struct msghdr *msg, struct vrrp_advert *advert)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		struct in6_pktinfo info;
		int hops;

		if (c->cmsg_level != IPPROTO_IPV6)
			continue;
		if (c->cmsg_type == IPV6_HOPLIMIT && c->cmsg_len == CMSG_LEN(sizeof(hops))) {
			memcpy(&hops, CMSG_DATA(c), sizeof(hops));
			advert->ttl = (uint8_t)hops;
		} else if (c->cmsg_type == IPV6_PKTINFO && c->cmsg_len == CMSG_LEN(sizeof(info))) {
			memcpy(&info, CMSG_DATA(c), sizeof(info));
			advert->dst.in6 = info.ipi6_addr;
		}
	}
}

/* The IPv4 header stands before the message; its length, 0 = not whole. */
static size_t ipv4_header_read(const uint8_t *bytes, size_t n, struct vrrp_advert *advert)
{
	static const struct addr mapped = {.in6.s6_addr = {[10] = 0xff, [11] = 0xff}};
	size_t header;

	if (n < IPV4_HEADER_LEAST)
		return 0;
	header = (bytes[0] & 0xfU) * 4U;
	if (header < IPV4_HEADER_LEAST || header > n)
		return 0;
	advert->ttl = bytes[8];
	advert->src = advert->dst = mapped;
	memcpy(advert->src.in6.s6_addr + 12, bytes + 12, 4);
	memcpy(advert->dst.in6.s6_addr + 12, bytes + 16, 4);
	return header;
}

int vrrp_socket_receive(int fd, bool ipv6, uint8_t vrid, struct vrrp_advert *ret_advert,
			enum vrrp_verdict *ret_verdict)
{
	uint8_t bytes[VRRP_PACKET_MOST + 64];
	struct sockaddr_in6 from = {0};
	_Alignas(struct cmsghdr) char control[256];
	struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
	struct msghdr msg = {.msg_name = &from,
			     .msg_namelen = sizeof(from),
			     .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(fd, &msg, 0);
	size_t header = 0;

	if (n < 0)
		return -errno;
	ret_advert->ipv6 = ipv6;
	ret_advert->ttl = 0;
	if (ipv6) {
		ret_advert->src.in6 = from.sin6_addr;
		ret_advert->dst = *group(true);
		control_read(&msg, ret_advert);
	} else {
		header = ipv4_header_read(bytes, (size_t)n, ret_advert);
	}
	if ((ipv6 || header > 0) && !vrrp_is_for(bytes + header, (size_t)n - header, vrid))
		return -ENOMSG;
	*ret_verdict = !ipv6 && header == 0
			       ? VRRP_SHORT
			       : vrrp_decode(bytes + header, (size_t)n - header, ret_advert);
	return 0;
}

/* ---- out ---- */

int vrrp_socket_send(int fd, const struct config_instance *config, const struct link *link,
		     uint8_t priority)
{
	struct vrrp_advert advert = {.src = link->primary,
				     .dst = *group(config->ipv6),
				     .ipv6 = config->ipv6,
				     .vrid = config->vrid,
				     .priority = priority,
				     .advert_cs = config->advert_cs,
				     .n_addresses = (uint8_t)config->n_addresses};
	uint8_t bytes[VRRP_PACKET_MOST];
	struct sockaddr_storage to;
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	} control = {0};
	struct iovec iov = {.iov_base = bytes};
	struct msghdr msg = {.msg_name = &to, .msg_iov = &iov, .msg_iovlen = 1};

	for (uint32_t i = 0; i < config->n_addresses; i++)
		advert.addresses[i] = config->addresses[i].addr;
	iov.iov_len = vrrp_encode(&advert, config->checksum, bytes);
	msg.msg_namelen = addr_sockaddr(&advert.dst, 0, &to);
	if (config->ipv6) {
		struct in6_pktinfo info = {.ipi6_addr = link->primary.in6,
					   .ipi6_ifindex = (unsigned)link->ifindex};

		((struct sockaddr_in6 *)&to)->sin6_scope_id = (uint32_t)link->ifindex;
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

		c->cmsg_level = IPPROTO_IPV6;
		c->cmsg_type = IPV6_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
	}
	return sendmsg(fd, &msg, MSG_DONTWAIT) < 0 ? -errno : 0;
}
