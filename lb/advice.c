/* SPDX-License-Identifier: BSD-2-Clause */
/* advice.c: see advice.h.
 *
 * Merged frames (LRO) are no packets of a wire: what is forwarded would not fit, and many drivers
 * refuse native XDP while they merge. Generic XDP comes behind GRO, which merges as well. A link
 * cannot change from generic to native: it has to be made anew.
 */
#include "lb/advice.h"

#include <inttypes.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MTU_ONE_BUFFER = 3498 }; /* of a page, less headroom, tailroom, two tags */

static int interface_ask(const char *name, unsigned long what, struct ifreq *request)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return -1;
	snprintf(request->ifr_name, sizeof(request->ifr_name), "%s", name);
	r = ioctl(fd, what, request);
	close(fd);
	return r;
}

/* A setting that the driver has, or not; false where it cannot say. */
static bool is_on(const char *name, uint32_t command, uint32_t bits)
{
	struct ethtool_value value = {.cmd = command};
	struct ifreq request = {.ifr_data = (void *)&value};

	return interface_ask(name, SIOCETHTOOL, &request) == 0 && (value.data & bits);
}

bool advice_long_frames(const char *interface)
{
	struct ifreq request = {0};

	return interface_ask(interface, SIOCGIFMTU, &request) == 0 &&
	       request.ifr_mtu > MTU_ONE_BUFFER;
}

static void advice_generic(const char *name, char *text)
{
	if (is_on(name, ETHTOOL_GFLAGS, ETH_FLAG_LRO))
		snprintf(
			text, ADVICE_TEXT,
			"generic XDP: LRO is on; cure: ethtool -K %s lro off, then sluice detach; sluice reload",
			name);
	else if (advice_long_frames(name))
		snprintf(
			text, ADVICE_TEXT,
			"generic XDP: the MTU is too large; cure: ip link set %s mtu %d, then sluice detach; sluice reload",
			name, MTU_ONE_BUFFER);
	else if (is_on(name, ETHTOOL_GGRO, 1))
		snprintf(
			text, ADVICE_TEXT,
			"generic XDP behind GRO merges packets; cure: ethtool -K %s gro off, or a driver with XDP (veth: a smaller MTU of its peer)",
			name);
	else
		snprintf(
			text, ADVICE_TEXT,
			"generic XDP is slower: a driver with XDP helps (veth: a smaller MTU of its peer)");
}

void advice_give(const char *interface, enum attach_mode mode, char ret_text[static ADVICE_TEXT])
{
	ret_text[0] = '\0';
	if (mode == ATTACH_GENERIC)
		advice_generic(interface, ret_text);
	else if (mode == ATTACH_NATIVE && is_on(interface, ETHTOOL_GFLAGS, ETH_FLAG_LRO))
		snprintf(
			ret_text, ADVICE_TEXT,
			"LRO is on: merged packets do not fit where they are sent on; cure: ethtool -K %s lro off",
			interface);
}

bool advice_forwarding(const char *interface, bool ipv6)
{
	char path[64 + IFNAMSIZ];
	char value = '1';
	FILE *f;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv%c/conf/%s/forwarding", ipv6 ? '6' : '4',
		 interface);
	f = fopen(path, "re");
	if (!f)
		return true;
	if (fread(&value, 1, 1, f) != 1)
		value = '1';
	fclose(f);
	return value != '0';
}

static bool number_read(const char *path, uint32_t *ret_number)
{
	FILE *f = fopen(path, "re");
	bool good = f && fscanf(f, "%" SCNu32, ret_number) == 1;

	if (f)
		fclose(f);
	return good;
}

uint32_t advice_neighbours_most(bool ipv6)
{
	uint32_t most;

	return number_read(ipv6 ? "/proc/sys/net/ipv6/neigh/default/gc_thresh2"
				: "/proc/sys/net/ipv4/neigh/default/gc_thresh2",
			   &most)
		       ? most
		       : UINT32_MAX;
}

void advice_neighbours(bool ipv6, struct neighbour_room room, uint32_t most,
		       char ret_text[static ADVICE_TEXT])
{
	uint32_t keep = 1024;

	ret_text[0] = '\0';
	if (room.wanted < most && !room.refused)
		return;
	while (keep < 2 * room.wanted && keep < 1U << 20)
		keep *= 2;
	snprintf(
		ret_text, ADVICE_TEXT,
		"%u neighbours of IPv%c, more than the kernel keeps; cure: sysctl net.ipv%c.neigh.default.gc_thresh{1=%u,2=%u,3=%u}",
		room.wanted, ipv6 ? '6' : '4', ipv6 ? '6' : '4', keep, 2 * keep, 4 * keep);
}
