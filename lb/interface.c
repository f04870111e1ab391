/* SPDX-License-Identifier: BSD-2-Clause */
/* interface.c: see interface.h. */
#include "lb/interface.h"

#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

void interface_read(struct lb_interface *interface)
{
	struct ifreq request = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	interface->ifindex = if_nametoindex(interface->name);
	interface->up = false;
	memset(interface->mac, 0, sizeof(interface->mac));
	memcpy(request.ifr_name, interface->name, sizeof(request.ifr_name));
	if (interface->ifindex && ioctl(fd, SIOCGIFHWADDR, &request) == 0)
		memcpy(interface->mac, request.ifr_hwaddr.sa_data, sizeof(interface->mac));
	if (interface->ifindex && ioctl(fd, SIOCGIFFLAGS, &request) == 0)
		interface->up = request.ifr_flags & IFF_RUNNING;
	if (fd >= 0)
		close(fd);
}

bool interface_mac(uint32_t ifindex, uint8_t ret_mac[static 6])
{
	struct ifreq request = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool good = if_indextoname(ifindex, request.ifr_name) &&
		    ioctl(fd, SIOCGIFHWADDR, &request) == 0 &&
		    request.ifr_hwaddr.sa_family == ARPHRD_ETHER;

	if (good)
		memcpy(ret_mac, request.ifr_hwaddr.sa_data, 6);
	if (fd >= 0)
		close(fd);
	return good;
}
