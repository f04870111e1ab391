/* SPDX-License-Identifier: BSD-2-Clause */
/* seer.c: see seer.h. */
#include "tests/packet/seer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "balancer.skel.h"

static bool is_its_own(const struct bpf_map *map)
{
	static const char *const own[] = {"explanation", "programs", "replies", "scratch"};
	const char *name = bpf_map__name(map);

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		if (strcmp(name, own[i]) == 0)
			return true;
	}
	return strncmp(name, "trace_", 6) == 0 || bpf_map__is_internal(map);
}

void seer_open(const struct plane *plane, uint32_t seeing, struct seer *ret_seer)
{
	struct balancer *skel = balancer__open();
	struct bpf_map *map;

	assert_non_null(skel);
	memcpy((void *)skel->rodata, (const void *)plane->skel->rodata, sizeof(*skel->rodata));
	skel->rodata->seeing = seeing;
	bpf_object__for_each_map(map, skel->obj)
	{
		struct bpf_map *of_plane =
			bpf_object__find_map_by_name(plane->skel->obj, bpf_map__name(map));

		if (!is_its_own(map))
			assert_int_equal(bpf_map__reuse_fd(map, bpf_map__fd(of_plane)), 0);
	}
	assert_int_equal(balancer__load(skel), 0);
	*ret_seer = (struct seer){plane, skel, bpf_program__fd(skel->progs.balancer)};
}

void seer_close(struct seer *seer)
{
	balancer__destroy(seer->skel);
}

void seer_stay_on_one_cpu(void)
{
	cpu_set_t all, one;

	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	CPU_ZERO(&one);
	for (size_t i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++) {
		if (CPU_ISSET(i, &all))
			CPU_SET(i, &one);
	}
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
}

/* ---- what all maps hold, as one number ---- */

static uint64_t digest(uint64_t h, const void *bytes, size_t n)
{
	const uint8_t *b = bytes;
	uint64_t word;

	for (; n >= sizeof(word); n -= sizeof(word), b += sizeof(word)) {
		memcpy(&word, b, sizeof(word));
		h = (h ^ word) * 0x100000001b3ULL;
	}
	for (; n > 0; n--)
		h = (h ^ *b++) * 0x100000001b3ULL;
	return h;
}

/* The kernel's walk of a map; @ret_entries: how many it has. */
static uint64_t map_digest(const struct plane *plane, int fd, uint64_t h, uint32_t *ret_entries)
{
	struct bpf_map_info info = {0};
	uint32_t size = sizeof(info), position, n;
	size_t value;
	void *keys, *values;
	int r = 0;

	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &size), 0);
	value = info.value_size;
	if (info.type == BPF_MAP_TYPE_PERCPU_ARRAY)
		value = (value + 7) / 8 * 8 * plane->cpus;
	keys = calloc(info.max_entries, info.key_size);
	values = calloc(info.max_entries, value);
	assert_true(keys && values);
	n = info.max_entries;
	r = bpf_map_lookup_batch(fd, NULL, &position, keys, values, &n, NULL);
	assert_true(r == 0 || r == -ENOENT);
	h = digest(h, keys, (size_t)n * info.key_size);
	h = digest(h, values, n * value);
	free(keys);
	free(values);
	*ret_entries = n;
	return h;
}

/* How much was ever put into a ring. */
static uint64_t ring_digest(int fd, uint64_t h)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *producer = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, (off_t)page);

	assert_true(producer != MAP_FAILED);
	h = digest(h, producer, sizeof(uint64_t));
	munmap(producer, page);
	return h;
}

static uint64_t table_digest(const struct plane *plane, uint64_t h)
{
	uint32_t id, n;
	int fd;

	for (uint32_t pool = 0; pool < POOL_MAX; pool++) {
		if (bpf_map_lookup_elem(bpf_map__fd(plane->skel->maps.tables), &pool, &id) < 0)
			continue;
		fd = bpf_map_get_fd_by_id(id);
		assert_true(fd >= 0);
		h = map_digest(plane, fd, digest(h, &id, sizeof(id)), &n);
		assert_int_equal(n, 2 * SLOTS_WORDS(plane->slots));
		close(fd);
	}
	return h;
}

uint64_t seer_digest(const struct seer *seer)
{
	const struct plane *plane = seer->plane;
	uint64_t h = 0xcbf29ce484222325ULL;
	struct bpf_map *map;
	uint32_t n, maps = 0;

	bpf_object__for_each_map(map, plane->skel->obj)
	{
		if (is_its_own(map))
			continue;
		maps++;
		if (map == plane->skel->maps.tables)
			h = table_digest(plane, h);
		else if (bpf_map__type(map) == BPF_MAP_TYPE_RINGBUF)
			h = ring_digest(bpf_map__fd(map), h);
		else
			h = map_digest(plane, bpf_map__fd(map), h, &n);
	}
	assert_true(maps >= 12);
	return h;
}

/* ---- the dry run ---- */

static struct explanation record_get(const struct seer *seer)
{
	struct explanation records[CPU_MAX], found = {0};
	uint32_t zero = 0, n = 0;

	assert_int_equal(
		bpf_map_lookup_elem(bpf_map__fd(seer->skel->maps.explanation), &zero, records), 0);
	for (uint32_t i = 0; i < seer->plane->cpus; i++) {
		if (records[i].stages & STAGE_END) {
			found = records[i];
			n++;
		}
	}
	assert_int_equal(n, 1);
	return found;
}

struct explanation seer_explain(const struct seer *seer, struct frame *frame, int *ret_verdict)
{
	struct explanation none[CPU_MAX] = {0};
	uint32_t zero = 0;

	assert_int_equal(bpf_map_update_elem(bpf_map__fd(seer->skel->maps.explanation), &zero, none,
					     BPF_ANY),
			 0);
	*ret_verdict = plane_run(seer->fd, frame, NULL);
	return record_get(seer);
}
