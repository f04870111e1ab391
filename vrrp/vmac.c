/* SPDX-License-Identifier: BSD-2-Clause */
/* vmac.c: see vmac.h. What is done here at leisure, before a machine starts, may wait for the
 * kernel; vmac_send() may not.
 */
#include "vrrp/vmac.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/ip.h>
#include <linux/neighbour.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>
#include <netlink/route/link/inet.h>
#include <netlink/route/link/inet6.h>
#include <netlink/route/link/macvlan.h>
#include <netlink/route/neighbour.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "vrrp/packet.h"

void vmac_of(const struct config_instance *config, uint8_t mac[static 6])
{
	const uint8_t of[6] = {0x00, 0x00, 0x5e, 0x00, config->ipv6 ? 2 : 1, config->vrid};

	memcpy(mac, of, sizeof(of));
}

void vmac_name(const struct config_instance *config, int ifindex, char name[static IFNAMSIZ])
{
	snprintf(name, IFNAMSIZ, "sl%d.%u.%u", config->ipv6 ? 6 : 4, config->vrid,
		 (unsigned)ifindex % 10000000U);
}

/* ---- the macvlan ---- */

static int nl_errno(int r)
{
	switch (-r) {
	case 0:
		return 0;
	case NLE_EXIST:
		return -EEXIST;
	case NLE_PERM:
	case NLE_NOACCESS:
		return -EPERM;
	case NLE_BUSY:
		return -EBUSY;
	case NLE_NOMEM:
		return -ENOMEM;
	case NLE_OBJ_NOTFOUND:
	case NLE_NODEV:
		return -ENODEV;
	default:
		return -EOPNOTSUPP;
	}
}

static int macvlan_add(struct nl_sock *netlink, const char *name, const struct link *link)
{
	struct rtnl_link *wanted = rtnl_link_macvlan_alloc();
	struct nl_addr *mac = nl_addr_build(AF_LLC, link->mac, sizeof(link->mac));
	int r = -NLE_NOMEM;

	if (wanted && mac) {
		rtnl_link_set_name(wanted, name);
		rtnl_link_set_link(wanted, link->ifindex);
		rtnl_link_set_addr(wanted, mac);
		r = rtnl_link_macvlan_set_mode(wanted, MACVLAN_MODE_BRIDGE);
		r = r < 0 ? r : rtnl_link_add(netlink, wanted, NLM_F_CREATE | NLM_F_EXCL);
	}
	nl_addr_put(mac);
	rtnl_link_put(wanted);
	return nl_errno(r);
}

/* Is it what we would have made? */
static bool macvlan_is_ours(struct rtnl_link *found, const struct link *link)
{
	const struct nl_addr *mac = rtnl_link_get_addr(found);

	return rtnl_link_is_macvlan(found) && rtnl_link_get_link(found) == link->ifindex &&
	       rtnl_link_macvlan_get_mode(found) == MACVLAN_MODE_BRIDGE && mac &&
	       nl_addr_get_len(mac) == sizeof(link->mac) &&
	       memcmp(nl_addr_get_binary_addr(mac), link->mac, sizeof(link->mac)) == 0;
}

static int macvlan_find(struct nl_sock *netlink, const char *name, const struct link *link,
			int *ret_ifindex)
{
	struct rtnl_link *found = NULL;
	int r = rtnl_link_get_kernel(netlink, 0, name, &found);

	if (r < 0)
		return nl_errno(r);
	if (macvlan_is_ours(found, link))
		*ret_ifindex = rtnl_link_get_ifindex(found);
	else
		r = -EEXIST;
	rtnl_link_put(found);
	return r;
}

/* ---- what ARP, ND and routes make of it ---- */

static int link_conf(struct nl_sock *netlink, int ifindex, bool is_macvlan)
{
	struct rtnl_link *which = rtnl_link_alloc(), *change = rtnl_link_alloc();
	int r = -NLE_NOMEM;

	if (which && change) {
		rtnl_link_set_ifindex(which, ifindex);
		rtnl_link_inet_set_conf(change, IPV4_DEVCONF_ARP_IGNORE, 1);
		rtnl_link_inet_set_conf(change, IPV4_DEVCONF_ARP_ANNOUNCE, 2);
		/* The way back goes by the interface. Loose, also where "all" is strict: the
		 * greater of both counts.
		 */
		if (is_macvlan)
			rtnl_link_inet_set_conf(change, IPV4_DEVCONF_RP_FILTER, 2);
		r = rtnl_link_change(netlink, which, change, 0);
	}
	rtnl_link_put(which);
	rtnl_link_put(change);
	return nl_errno(r);
}

/* No address but ours: both nodes would make the same of the same MAC. */
static int addr_gen_none(struct nl_sock *netlink, int ifindex)
{
	struct rtnl_link *which = rtnl_link_alloc(), *change = rtnl_link_alloc();
	int r = -NLE_NOMEM;

	if (which && change) {
		rtnl_link_set_ifindex(which, ifindex);
		r = rtnl_link_inet6_set_addr_gen_mode(change,
						      rtnl_link_inet6_str2addrgenmode("none"));
		r = r < 0 ? r : rtnl_link_change(netlink, which, change, 0);
	}
	rtnl_link_put(which);
	rtnl_link_put(change);
	return nl_errno(r);
}

static void sysctl6(const char *name, const char *key, const char *value)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/%s", name, key);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, value, 1) < 0)
		log_notice("%s: not set to %s: error=\"%s\"", path, value, strerror(errno));
	close(fd);
}

static int settings_set(struct nl_sock *netlink, const struct config_instance *config,
			const char *name, const struct link *link)
{
	int r = link_conf(netlink, link->ifindex, false);

	r = r < 0 ? r : link_conf(netlink, link->holder, true);
	if (!config->ipv6) {
		sysctl6(name, "disable_ipv6", "1");
		return r;
	}
	sysctl6(name, "accept_ra", "0");
	sysctl6(name, "autoconf", "0");
	sysctl6(name, "accept_dad", "0");
	return r < 0 ? r : addr_gen_none(netlink, link->holder);
}

/* The interface takes frames for the MAC even while the macvlan is down. */
static int filter_set(struct nl_sock *netlink, const struct link *link, bool there)
{
	struct rtnl_neigh *entry = rtnl_neigh_alloc();
	struct nl_addr *mac = nl_addr_build(AF_LLC, link->mac, sizeof(link->mac));
	int r = -NLE_NOMEM;

	if (entry && mac) {
		rtnl_neigh_set_family(entry, AF_BRIDGE);
		rtnl_neigh_set_ifindex(entry, link->ifindex);
		rtnl_neigh_set_lladdr(entry, mac);
		rtnl_neigh_set_flags(entry, NTF_SELF);
		rtnl_neigh_set_state(entry, NUD_PERMANENT);
		r = there ? rtnl_neigh_add(netlink, entry, NLM_F_CREATE)
			  : rtnl_neigh_delete(netlink, entry, 0);
	}
	nl_addr_put(mac);
	rtnl_neigh_put(entry);
	return nl_errno(r);
}

int vmac_make(struct nl_sock *netlink, const struct config_instance *config, struct link *link)
{
	char name[IFNAMSIZ];
	int r, holder = 0;

	vmac_name(config, link->ifindex, name);
	r = macvlan_find(netlink, name, link, &holder);
	if (r == -ENODEV) {
		r = macvlan_add(netlink, name, link);
		r = r < 0 ? r : macvlan_find(netlink, name, link, &holder);
	}
	if (r < 0)
		return r;
	link->holder = holder;
	r = settings_set(netlink, config, name, link);
	if (r == 0 && filter_set(netlink, link, true) < 0)
		log_notice("vrrp %s: %s does not take frames for the virtual MAC as a backup",
			   config->name, config->interface);
	return r;
}

void vmac_remove(struct nl_sock *netlink, const struct config_instance *config, struct link *link)
{
	struct rtnl_link *gone = rtnl_link_alloc();

	if (gone && link->holder) {
		rtnl_link_set_ifindex(gone, link->holder);
		if (rtnl_link_delete(netlink, gone) < 0)
			log_notice("vrrp %s: its macvlan was not removed", config->name);
		filter_set(netlink, link, false);
	}
	link->holder = 0;
	rtnl_link_put(gone);
}

void vmac_remove_left(struct nl_sock *netlink, const char *name)
{
	struct config_instance config = {0};
	struct link link = {0};
	char same[IFNAMSIZ];
	unsigned family, vrid;

	if (sscanf(name, "sl%1u.%3u.%7d", &family, &vrid, &link.ifindex) != 3 || vrid > 255)
		return;
	snprintf(config.name, sizeof(config.name), "%s", name);
	config.vrid = (uint8_t)vrid;
	config.ipv6 = family == 6;
	vmac_name(&config, link.ifindex, same);
	vmac_of(&config, link.mac);
	if (strcmp(name, same) != 0 || macvlan_find(netlink, name, &link, &link.holder) < 0)
		return;
	log_notice("interface %s removed: no instance has this virtual MAC any more", name);
	vmac_remove(netlink, &config, &link);
}

/* ---- adverts ---- */

static uint16_t ipv4_checksum(const uint8_t *header)
{
	uint32_t sum = 0;

	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)header[i] << 8 | header[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static size_t headers_ipv4(const struct link *link, size_t n, uint8_t *frame)
{
	static const uint8_t group_mac[6] = {0x01, 0x00, 0x5e, 0x00, 0x00, 0x12};
	const uint16_t len = (uint16_t)(20 + n);
	uint8_t *ip = frame + 14;
	const uint8_t header[20] = {0x45,	0xc0,		(uint8_t)(len >> 8), (uint8_t)len,
				    [6] = 0x40, [8] = VRRP_TTL, [9] = VRRP_PROTOCOL, [16] = 224,
				    [19] = 18};
	uint16_t sum;

	memcpy(frame, group_mac, 6);
	frame[12] = 0x08;
	frame[13] = 0x00;
	memcpy(ip, header, sizeof(header));
	memcpy(ip + 12, link->primary.in6.s6_addr + 12, 4);
	sum = ipv4_checksum(ip);
	ip[10] = (uint8_t)(sum >> 8);
	ip[11] = (uint8_t)sum;
	return 14 + sizeof(header);
}

static size_t headers_ipv6(const struct link *link, size_t n, uint8_t *frame)
{
	static const uint8_t group_mac[6] = {0x33, 0x33, 0x00, 0x00, 0x00, 0x12};
	static const uint8_t group[16] = {0xff, 0x02, [15] = 0x12};
	uint8_t *ip = frame + 14;
	const uint8_t header[8] = {0x6c,       0x00,	      0x00,    0x00, (uint8_t)(n >> 8),
				   (uint8_t)n, VRRP_PROTOCOL, VRRP_TTL};

	memcpy(frame, group_mac, 6);
	frame[12] = 0x86;
	frame[13] = 0xdd;
	memcpy(ip, header, sizeof(header));
	memcpy(ip + 8, link->primary.in6.s6_addr, 16);
	memcpy(ip + 24, group, sizeof(group));
	return 14 + 40;
}

size_t vmac_frame(const struct config_instance *config, const struct link *link,
		  const uint8_t *vrrp, size_t n, uint8_t frame[static VMAC_FRAME_MOST])
{
	size_t at = config->ipv6 ? headers_ipv6(link, n, frame) : headers_ipv4(link, n, frame);

	memcpy(frame + 6, link->mac, sizeof(link->mac));
	memcpy(frame + at, vrrp, n);
	return at + n;
}

int vmac_send(int packet_socket, const struct config_instance *config, const struct link *link,
	      uint8_t priority)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET, .sll_ifindex = link->ifindex, .sll_halen = 6};
	struct vrrp_advert advert = {.src = link->primary};
	uint8_t bytes[VRRP_PACKET_MOST], frame[VMAC_FRAME_MOST];
	size_t n;

	addr_parse(config->ipv6 ? "ff02::12" : "224.0.0.18", &advert.dst);
	vrrp_advert_fill(config, priority, &advert);
	n = vmac_frame(config, link, bytes, vrrp_encode(&advert, config->checksum, bytes), frame);
	memcpy(to.sll_addr, frame, 6);
	return sendto(packet_socket, frame, n, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof(to)) < 0
		       ? -errno
		       : 0;
}
