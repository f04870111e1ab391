/* SPDX-License-Identifier: BSD-2-Clause */
/* socket.c: see socket.h. */
#include "vrrp/socket.h"

#include <errno.h>
#include <linux/filter.h>
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

static int group_ipv4(int fd, const struct link *link)
{
	struct ip_mreqn mreq = {.imr_ifindex = link->ifindex};

	memcpy(&mreq.imr_multiaddr, group(false)->in6.s6_addr + 12, 4);
	if (setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &mreq, sizeof(mreq)) < 0)
		return -errno;
	memcpy(&mreq.imr_address, link->primary.in6.s6_addr + 12, 4);
	if (setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &mreq, sizeof(mreq)) < 0)
		return -errno;
	return set(fd, IPPROTO_IP, IP_MULTICAST_LOOP, 0);
}

static int options_ipv4(int fd)
{
	int r = set(fd, IPPROTO_IP, IP_MULTICAST_TTL, VRRP_TTL);

	r = r ? r : set(fd, IPPROTO_IP, IP_TTL, VRRP_TTL);
	return r ? r : set(fd, IPPROTO_IP, IP_TOS, TOS_CS6);
}

static int group_ipv6(int fd, const struct link *link)
{
	struct ipv6_mreq mreq = {.ipv6mr_multiaddr = group(true)->in6,
				 .ipv6mr_interface = (unsigned)link->ifindex};
	int r;

	if (setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &mreq, sizeof(mreq)) < 0)
		return -errno;
	r = set(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, link->ifindex);
	return r ? r : set(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0);
}

static int options_ipv6(int fd)
{
	int r = set(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, VRRP_TTL);

	r = r ? r : set(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, VRRP_TTL);
	r = r ? r : set(fd, IPPROTO_IPV6, IPV6_TCLASS, TOS_CS6);
	r = r ? r : set(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
	return r ? r : set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
}

/* Packets of one vrid, and what is too short to have one. Otherwise each of many instances on a
 * link would be woken by the adverts of all. An IPv4 raw socket sees the IP header, an IPv6 one
 * does not.
 */
static int filter_vrid(int fd, bool ipv6, uint8_t vrid)
{
	struct sock_filter code[] = {
		ipv6 ? (struct sock_filter)BPF_STMT(BPF_LDX | BPF_IMM, 0)
		     : (struct sock_filter)BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
		BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
		BPF_STMT(BPF_ALU | BPF_SUB | BPF_X, 0),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 2, 0, 2),
		BPF_STMT(BPF_LD | BPF_B | BPF_IND, 1),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, vrid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno
											   : 0;
}

static int bind_source(int fd, const struct link *link)
{
	struct sockaddr_storage from;
	socklen_t n = addr_sockaddr(&link->primary, 0, &from);

	if (from.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&from)->sin6_scope_id = (uint32_t)link->ifindex;
	return bind(fd, (struct sockaddr *)&from, n) < 0 ? -errno : 0;
}

/* What came before the socket was bound may be another interface's. */
static void drain(int fd)
{
	uint8_t byte;

	while (recv(fd, &byte, 1, MSG_DONTWAIT) >= 0)
		;
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
		r = filter_vrid(fd, config->ipv6, config->vrid);
	r = r ? r : config->ipv6 ? options_ipv6(fd) : options_ipv4(fd);
	if (r == 0 && config->unicast)
		r = bind_source(fd, link);
	else if (r == 0)
		r = config->ipv6 ? group_ipv6(fd, link) : group_ipv4(fd, link);
	r = r ? r : set(fd, SOL_SOCKET, SO_PRIORITY, 6);
	if (r < 0) {
		close(fd);
		return r;
	}
	drain(fd);
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

int vrrp_socket_receive(int fd, const struct config_instance *config,
			struct vrrp_advert *ret_advert, enum vrrp_verdict *ret_verdict)
{
	const bool ipv6 = config->ipv6;
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
	ret_advert->version = config->version;
	ret_advert->ttl = 0;
	if (ipv6) {
		ret_advert->src.in6 = from.sin6_addr;
		ret_advert->dst = *group(true);
		control_read(&msg, ret_advert);
	} else {
		header = ipv4_header_read(bytes, (size_t)n, ret_advert);
	}
	if (!ipv6 && header == 0) {
		*ret_verdict = VRRP_SHORT;
		return 0;
	}
	if (!vrrp_is_for(bytes + header, (size_t)n - header, config->vrid))
		return -ENOMSG;
	*ret_verdict = vrrp_decode(bytes + header, (size_t)n - header, ret_advert);
	if (*ret_verdict == VRRP_GOOD)
		*ret_verdict = vrrp_judge(ret_advert, config);
	return 0;
}

/* ---- out ---- */

static int send_to(int fd, const struct config_instance *config, const struct link *link,
		   const struct vrrp_advert *advert)
{
	uint8_t bytes[VRRP_PACKET_MOST];
	struct sockaddr_storage to;
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	} control = {0};
	struct iovec iov = {.iov_base = bytes,
			    .iov_len = vrrp_encode(advert, config->checksum, bytes)};
	struct msghdr msg = {.msg_name = &to,
			     .msg_namelen = addr_sockaddr(&advert->dst, 0, &to),
			     .msg_iov = &iov,
			     .msg_iovlen = 1};

	if (config->ipv6) {
		struct in6_pktinfo info = {.ipi6_addr = link->primary.in6,
					   .ipi6_ifindex = (unsigned)link->ifindex};
		struct cmsghdr *c;

		((struct sockaddr_in6 *)&to)->sin6_scope_id = (uint32_t)link->ifindex;
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = IPPROTO_IPV6;
		c->cmsg_type = IPV6_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
	}
	return sendmsg(fd, &msg, MSG_DONTWAIT) < 0 ? -errno : 0;
}

int vrrp_socket_send(int fd, const struct config_instance *config, const struct link *link,
		     uint8_t priority)
{
	struct vrrp_advert advert = {.src = link->primary, .dst = *group(config->ipv6)};
	int failed = 0;

	vrrp_advert_fill(config, priority, &advert);
	if (!config->unicast)
		return send_to(fd, config, link, &advert);
	for (uint32_t i = 0; i < config->n_peers; i++) {
		int r;

		advert.dst = config->peers[i];
		r = send_to(fd, config, link, &advert);
		failed = r < 0 ? r : failed;
	}
	return failed;
}
