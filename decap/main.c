/* SPDX-License-Identifier: BSD-2-Clause */
/* main.c: sluice-decap: puts decap.bpf.c on an interface of a backend, and is gone. The program
 * stays by its pinned link; attaching again replaces it without a packet lost.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <getopt.h>
#include <ifaddrs.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/config.h"
#include "bpf/decap.h"
#include "decap.skel.h"

enum { PATH = 128, CPUS = 512 };

#define PIN_DIR "/sys/fs/bpf/sluice-decap"

struct options {
	const char *device;
	uint16_t gue_port;
	uint32_t n_own, n_from;
	struct decap_addr own[DECAP_OWN_MOST];
	struct decap_prefix from[DECAP_FROM_MOST];
};

static int usage(void)
{
	fprintf(stderr,
		"usage: sluice-decap attach [-a ADDRESS]... [-f PREFIX]... [-p PORT] DEVICE\n"
		"       sluice-decap detach DEVICE\n"
		"       sluice-decap show DEVICE\n");
	return 2;
}

static int refuse(const char *what, const char *value)
{
	fprintf(stderr, "sluice-decap: %s: %s\n", what, value);
	return -EINVAL;
}

/* ---- options ---- */

static int own_add(struct options *o, const char *text)
{
	struct addr addr;

	if (o->n_own == DECAP_OWN_MOST)
		return refuse("too many addresses", text);
	if (addr_parse(text, &addr) < 0)
		return refuse("not an address", text);
	memcpy(o->own[o->n_own++].addr, &addr, 16);
	return 0;
}

static int from_add(struct options *o, const char *text)
{
	char head[INET6_ADDRSTRLEN] = "", *end = "";
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	struct addr addr;
	unsigned long bits, most;

	if (o->n_from == DECAP_FROM_MOST)
		return refuse("too many prefixes", text);
	memcpy(head, text, n < sizeof(head) ? n : sizeof(head) - 1);
	if (addr_parse(head, &addr) < 0)
		return refuse("not a prefix", text);
	most = addr_is_ipv4(&addr) ? 32 : 128;
	bits = slash ? strtoul(slash + 1, &end, 10) : most;
	if (*end || bits > most || (slash && !slash[1]))
		return refuse("not a prefix", text);
	o->from[o->n_from].bits = (uint32_t)(bits + (128 - most));
	memcpy(o->from[o->n_from++].addr, &addr, 16);
	return 0;
}

static int port_set(struct options *o, const char *text)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);

	if (*end || port == 0 || port > 65535)
		return refuse("not a port", text);
	o->gue_port = (uint16_t)port;
	return 0;
}

/* Without -a: what the device has, but for link-local addresses. A VIP on lo is not among them. */
static int own_of_device(struct options *o)
{
	struct ifaddrs *all, *a;
	int r = 0;

	if (getifaddrs(&all) < 0)
		return -errno;
	for (a = all; a && r == 0; a = a->ifa_next) {
		char text[INET6_ADDRSTRLEN];
		const void *at;

		if (!a->ifa_addr || strcmp(a->ifa_name, o->device) != 0)
			continue;
		if (a->ifa_addr->sa_family == AF_INET)
			at = &((struct sockaddr_in *)(void *)a->ifa_addr)->sin_addr;
		else if (a->ifa_addr->sa_family == AF_INET6)
			at = &((struct sockaddr_in6 *)(void *)a->ifa_addr)->sin6_addr;
		else
			continue;
		if (a->ifa_addr->sa_family == AF_INET6 &&
		    IN6_IS_ADDR_LINKLOCAL((const struct in6_addr *)at))
			continue;
		r = own_add(o, inet_ntop(a->ifa_addr->sa_family, at, text, sizeof(text)));
	}
	freeifaddrs(all);
	return r == 0 && o->n_own == 0 ? refuse("no address on", o->device) : r;
}

static int options_read(int argc, char **argv, struct options *ret)
{
	int option, r = 0;

	while (r == 0 && (option = getopt(argc, argv, "a:f:p:")) != -1) {
		if (option == 'a')
			r = own_add(ret, optarg);
		else if (option == 'f')
			r = from_add(ret, optarg);
		else if (option == 'p')
			r = port_set(ret, optarg);
		else
			r = -EINVAL;
	}
	if (r == 0 && optind + 1 != argc)
		r = -EINVAL;
	if (r == 0)
		ret->device = argv[optind];
	return r;
}

/* ---- pins ---- */

/* bpffs refuses dots. */
static void pin_path(const char *what, const char *device, char ret_path[static PATH])
{
	int n = snprintf(ret_path, PATH, PIN_DIR "/%s_", what);
	char *at = ret_path + n;

	for (; *device; device++)
		at += sprintf(at, *device == '.' || *device == '%' ? "%%%02x" : "%c", *device);
}

static int pin(int fd, const char *what, const char *device)
{
	char path[PATH], fresh[PATH + 8];

	pin_path(what, device, path);
	snprintf(fresh, sizeof(fresh), "%s_new", path);
	unlink(fresh);
	if (bpf_obj_pin(fd, fresh) < 0)
		return -errno;
	return rename(fresh, path) < 0 ? -errno : 0;
}

/* ---- attach ---- */

static int maps_fill(const struct decap *skel, const struct options *o)
{
	const uint8_t yes = 1;
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < o->n_own; i++)
		r = bpf_map_update_elem(bpf_map__fd(skel->maps.own), &o->own[i], &yes, BPF_ANY);
	for (uint32_t i = 0; r == 0 && i < o->n_from; i++)
		r = bpf_map_update_elem(bpf_map__fd(skel->maps.from), &o->from[i], &yes, BPF_ANY);
	return r;
}

/* link_make: update the link that is pinned, or a new one, native or else generic. */
static int link_make(int program, uint32_t ifindex, const char *device)
{
	LIBBPF_OPTS(bpf_link_create_opts, native, .flags = XDP_FLAGS_DRV_MODE);
	LIBBPF_OPTS(bpf_link_create_opts, generic, .flags = XDP_FLAGS_SKB_MODE);
	struct bpf_link_info info = {0};
	uint32_t size = sizeof(info);
	char path[PATH];
	int fd, r;

	pin_path("link", device, path);
	fd = bpf_obj_get(path);
	if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &size) == 0 &&
	    info.xdp.ifindex == ifindex) {
		r = bpf_link_update(fd, program, NULL);
		close(fd);
		return r;
	}
	if (fd >= 0) /* of an interface that is gone */
		close(fd);
	fd = bpf_link_create(program, (int)ifindex, BPF_XDP, &native);
	if (fd < 0 && fd != -EBUSY && fd != -EEXIST)
		fd = bpf_link_create(program, (int)ifindex, BPF_XDP, &generic);
	if (fd < 0)
		return fd;
	r = pin(fd, "link", device);
	close(fd);
	return r;
}

static int attach(struct options *o)
{
	uint32_t ifindex = if_nametoindex(o->device);
	struct decap *skel;
	int r;

	if (!ifindex || strlen(o->device) >= IFNAMSIZ)
		return refuse("no such device", o->device);
	r = o->n_own ? 0 : own_of_device(o);
	if (r < 0)
		return r;
	if (mkdir(PIN_DIR, 0700) < 0 && errno != EEXIST)
		return -errno;
	skel = decap__open();
	if (!skel)
		return -errno;
	skel->rodata->gue_port = o->gue_port;
	skel->rodata->any_source = o->n_from == 0;
	r = decap__load(skel);
	if (r == 0)
		r = maps_fill(skel, o);
	if (r == 0)
		r = link_make(bpf_program__fd(skel->progs.decap), ifindex, o->device);
	if (r == 0)
		r = pin(bpf_map__fd(skel->maps.counters), "counters", o->device);
	decap__destroy(skel);
	return r;
}

static int detach(const char *device)
{
	char path[PATH];
	int r = 0;

	pin_path("link", device, path);
	if (unlink(path) < 0)
		r = -errno;
	pin_path("counters", device, path);
	unlink(path);
	rmdir(PIN_DIR);
	return r;
}

static int show(const char *device)
{
	static const char *const names[] = {
#define NAME(upper, lower, text) #lower,
		DECAP_COUNTERS(NAME)
#undef NAME
	};
	uint64_t values[CPUS];
	int cpus = libbpf_num_possible_cpus(), fd;
	char path[PATH];

	pin_path("counters", device, path);
	fd = bpf_obj_get(path);
	if (fd < 0 || cpus < 0 || cpus > CPUS)
		return fd < 0 ? fd : -E2BIG;
	for (uint32_t i = 0; i < DECAP_COUNTER_COUNT; i++) {
		uint64_t sum = 0;

		if (bpf_map_lookup_elem(fd, &i, values) == 0) {
			for (int cpu = 0; cpu < cpus; cpu++)
				sum += values[cpu];
		}
		printf("%-14s %llu\n", names[i], (unsigned long long)sum);
	}
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	struct options o = {0};
	const char *command = argc > 1 ? argv[1] : "";
	int r;

	if (argc < 3 || options_read(argc - 1, argv + 1, &o) < 0)
		return usage();
	if (strlen(o.device) >= IFNAMSIZ || strchr(o.device, '/'))
		return usage();
	if (strcmp(command, "attach") == 0)
		r = attach(&o);
	else if (strcmp(command, "detach") == 0)
		r = detach(o.device);
	else if (strcmp(command, "show") == 0)
		r = show(o.device);
	else
		return usage();
	if (r < 0)
		fprintf(stderr, "sluice-decap: %s %s: %s%s\n", command, o.device, strerror(-r),
			r == -EBUSY || r == -EEXIST ? " (another XDP program is attached)" : "");
	return r < 0;
}
