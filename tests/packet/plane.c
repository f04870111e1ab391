/* SPDX-License-Identifier: BSD-2-Clause */
/* plane.c: see plane.h. */
#include "tests/packet/plane.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "balancer.skel.h"
#include "bpf/hash.h"

enum { OWN_IFINDEX = 1 };

static void must(int result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "plane: %s: %s\n", what, strerror(-result));
	abort();
}

bool plane_permitted(void)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "probe", 4, 4, 1, NULL);

	if (fd >= 0)
		close(fd);
	/* without an inner map it is refused, but by whoever may create one */
	if (fd >= 0 || (fd != -EPERM && fd != -ENOSYS))
		return true;
	puts(fd == -EPERM ? "BPF is not permitted (not root?)" : "the kernel has no BPF");
	return false;
}

static int table_create(uint32_t slots)
{
	return bpf_map_create(BPF_MAP_TYPE_ARRAY, "slots", sizeof(uint32_t), sizeof(struct slots4),
			      2 * SLOTS_WORDS(slots), NULL);
}

static int sizes_set(struct plane *plane, const struct plane_sizes *sizes)
{
	struct balancer *skel = plane->skel;
	int error;

	memcpy((void *)skel->rodata->own_mac, frame_node_mac, sizeof(frame_node_mac));
	if (sizes->features & FEATURE_VMAC)
		memcpy((void *)skel->rodata->vrids, sizes->vrids, sizeof(sizes->vrids));
	if (sizes->nat_ports)
		skel->rodata->nat_port_last =
			(uint16_t)(skel->rodata->nat_port_first + sizes->nat_ports - 1);
	skel->rodata->ifindex = OWN_IFINDEX;
	skel->rodata->slots = sizes->slots;
	skel->rodata->embryo_mask = sizes->embryos - 1;
	skel->rodata->features = sizes->features;
	for (uint32_t i = 0; i < HASH_KEY_WORDS; i++)
		plane->key[i] = 0x9e3779b97f4a7c15ULL * (2 * i + 1);
	memcpy((void *)skel->rodata->hash_key, plane->key, sizeof(plane->key));

	/* libbpf 1.1 cannot size the declared inner map: the template is a map of our own. */
	plane->template_fd = table_create(sizes->slots);
	if (plane->template_fd < 0)
		return plane->template_fd;
	error = bpf_map__set_inner_map_fd(skel->maps.tables, plane->template_fd);
	if (!error)
		error = bpf_map__set_max_entries(skel->maps.flows, sizes->flows);
	if (!error)
		error = bpf_map__set_max_entries(skel->maps.translations, sizes->flows);
	if (!error)
		error = bpf_map__set_max_entries(skel->maps.reverse, sizes->flows);
	if (!error)
		error = bpf_map__set_max_entries(skel->maps.probe_returns,
						 sizes->features & FEATURE_PROBES ? 1024 : 1);
	if (!error)
		error = bpf_map__set_max_entries(skel->maps.embryos, sizes->embryos);
	if (!error)
		error = bpf_map__set_max_entries(skel->maps.recent, plane->cpus * RECENT_LINES);
	return error;
}

static size_t page_round(size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) / page * page;
}

static void *map_mmap(const struct bpf_map *map)
{
	size_t bytes = page_round(bpf_map__max_entries(map) * bpf_map__value_size(map));
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	return at == MAP_FAILED ? NULL : at;
}

static void map_munmap(const struct bpf_map *map, void *at)
{
	if (at)
		munmap(at, page_round(bpf_map__max_entries(map) * bpf_map__value_size(map)));
}

int plane_open(const struct plane_sizes *sizes, struct plane *ret_plane)
{
	struct plane plane = {.slots = sizes->slots, .template_fd = -1};
	int cpus = libbpf_num_possible_cpus();
	int error;

	if (cpus < 0)
		return cpus;
	plane.cpus = (uint32_t)cpus;
	plane.skel = balancer__open();
	if (!plane.skel)
		return -errno;
	error = sizes_set(&plane, sizes);
	if (!error)
		error = balancer__load(plane.skel);
	if (!error) {
		plane.fd = bpf_program__fd(plane.skel->progs.balancer);
		plane.backends = map_mmap(plane.skel->maps.backends);
		plane.clock = map_mmap(plane.skel->maps.clock);
		plane.lines = map_mmap(plane.skel->maps.service_lines);
		if (!plane.backends || !plane.clock || !plane.lines)
			error = -errno;
	}
	if (!error && !(plane.owners = calloc(plane.slots, sizeof(*plane.owners))))
		error = -ENOMEM;
	if (error) {
		plane_close(&plane);
		return error;
	}
	*ret_plane = plane;
	return 0;
}

void plane_close(struct plane *plane)
{
	if (!plane->skel)
		return;
	map_munmap(plane->skel->maps.backends, plane->backends);
	map_munmap(plane->skel->maps.clock, plane->clock);
	map_munmap(plane->skel->maps.service_lines, plane->lines);
	balancer__destroy(plane->skel);
	free(plane->owners);
	if (plane->template_fd >= 0)
		close(plane->template_fd);
	plane->skel = NULL;
}

/* What lb/ does: the first of a line is in it, with two the map itself is asked. */
static void line_set(struct plane *plane, const struct service_key *key,
		     const struct service *service)
{
	struct service_line *line = &plane->lines[service_line_of((const __u64 *)plane->key, key)];

	if (line->state != LINE_EMPTY) {
		line->state = LINE_ASK;
		return;
	}
	memcpy(line->addr, key->addr, sizeof(line->addr));
	line->port_protocol = key->port | (uint32_t)key->protocol << 16;
	line->service = *service;
	line->state = LINE_KEY;
}

void plane_record_set(struct plane *plane, const struct service_key *key,
		      const struct service *service)
{
	must(bpf_map_update_elem(bpf_map__fd(plane->skel->maps.services), key, service, BPF_ANY),
	     "service");
	line_set(plane, key, service);
}

void plane_service_set(struct plane *plane, const struct frame_spec *spec, uint16_t id,
		       uint16_t pool)
{
	struct service service = {.id = id, .pool = pool, .mode = FORWARD_DSR};
	struct service_key key;

	frame_service_key(spec, &key);
	plane_record_set(plane, &key, &service);
}

void plane_backend_set(struct plane *plane, uint32_t number, uint32_t ifindex)
{
	plane->backends[number] = (struct backend){
		.l2_dst = {0x02, 0, 0, 0xb, (uint8_t)(number >> 8), (uint8_t)number},
		.l2_src = {0x02, 0, 0, 0, 0, (uint8_t)ifindex},
		.ifindex = ifindex,
		.flags = BACKEND_ALIVE,
	};
}

void plane_table_set(struct plane *plane, uint32_t pool, const uint16_t *owners,
		     const uint16_t *previous)
{
	uint32_t words = SLOTS_WORDS(plane->slots);
	struct slots4 *table = calloc(2 * words, sizeof(*table));
	int fd = table_create(plane->slots);

	must(fd, "slots");
	must(table ? 0 : -ENOMEM, "slots");
	for (uint32_t i = 0; i < plane->slots; i++) {
		table[i / 4].slot[i % 4] = owners[i];
		table[words + i / 4].slot[i % 4] = previous[i];
	}
	for (uint32_t i = 0; i < 2 * words; i++)
		must(bpf_map_update_elem(fd, &i, &table[i], BPF_ANY), "slots");
	must(bpf_map_update_elem(bpf_map__fd(plane->skel->maps.tables), &pool, &fd, BPF_ANY),
	     "tables");
	close(fd);
	free(table);
}

void plane_clock_set(struct plane *plane, uint32_t now_s)
{
	uint32_t epoch = now_s / EPOCH_SECONDS;

	plane->clock->bucket_multiplier = 0x9e3779b97f4a7c15ULL * (2ULL * epoch + 1);
	plane->clock->now_s = now_s;
	plane->clock->stamp = (uint8_t)(epoch % 255 + 1);
}

int plane_stamp_all(const struct plane *plane)
{
	struct recent64 all;
	int r = 0;

	memset(all.stamp, plane->clock->stamp, sizeof(all.stamp));
	for (uint32_t line = 0; line < RECENT_LINES * plane->cpus && r == 0; line++)
		r = bpf_map_update_elem(bpf_map__fd(plane->skel->maps.recent), &line, &all,
					BPF_ANY);
	return r;
}

int plane_run(int program_fd, struct frame *frame, uint32_t *ret_ns)
{
	uint8_t out[FRAME_SIZE];
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame->bytes,
		    .data_size_in = frame->len_bytes, .data_out = out, .data_size_out = sizeof(out),
		    .repeat = 1);

	must(bpf_prog_test_run_opts(program_fd, &run), "test run");
	memcpy(frame->bytes, out, run.data_size_out);
	frame->len_bytes = run.data_size_out;
	if (ret_ns)
		*ret_ns = run.duration;
	return (int)run.retval;
}

uint64_t plane_reason(const struct plane *plane, enum reason reason)
{
	uint64_t values[CPU_MAX], sum = 0;
	uint32_t key = reason;

	must(bpf_map_lookup_elem(bpf_map__fd(plane->skel->maps.reasons), &key, values), "reasons");
	for (uint32_t i = 0; i < plane->cpus; i++)
		sum += values[i];
	return sum;
}

struct service_stats plane_service_stats(const struct plane *plane, uint32_t id)
{
	struct service_stats values[CPU_MAX], sum = {0};

	must(bpf_map_lookup_elem(bpf_map__fd(plane->skel->maps.service_stats), &id, values),
	     "service_stats");
	for (uint32_t i = 0; i < plane->cpus; i++) {
		sum.packets += values[i].packets;
		sum.bytes += values[i].bytes;
		sum.syns += values[i].syns;
		sum.flows += values[i].flows;
	}
	return sum;
}

struct backend_stats plane_backend_stats(const struct plane *plane, uint32_t number)
{
	struct backend_stats values[CPU_MAX], sum = {0};

	must(bpf_map_lookup_elem(bpf_map__fd(plane->skel->maps.backend_stats), &number, values),
	     "backend_stats");
	for (uint32_t i = 0; i < plane->cpus; i++) {
		sum.packets += values[i].packets;
		sum.bytes += values[i].bytes;
		sum.opened += values[i].opened;
		sum.closed += values[i].closed;
		sum.syns += values[i].syns;
		sum.again += values[i].again;
		sum.resets += values[i].resets;
		sum.waiting += values[i].waiting;
	}
	return sum;
}
