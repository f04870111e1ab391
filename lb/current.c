/* SPDX-License-Identifier: BSD-2-Clause */
/* current.c: looking things up in what the data plane has; see current.h. */
#include "lb/current.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lb/words.h"

struct current *current_new(void)
{
	return calloc(1, sizeof(struct current)); /* zero pages until they are used */
}

void current_free(struct current *c)
{
	if (!c)
		return;
	for (uint32_t i = 0; i < POOL_MAX; i++)
		table_fini(&c->pools[i].table);
	probe_list_fini(&c->probes);
	explicit_bzero(&c->settings, sizeof(c->settings));
	free(c);
}

int current_find_pool(const struct current *c, const char *name)
{
	for (int i = 0; i < (int)POOL_MAX; i++) {
		if (c->pools[i].used && strcmp(c->pools[i].name, name) == 0)
			return i;
	}
	return -ENOENT;
}

int current_find_interface(const struct current *c, const char *name)
{
	for (int i = 0; i < CURRENT_INTERFACES; i++) {
		if (c->interfaces[i].used && strcmp(c->interfaces[i].name, name) == 0)
			return i;
	}
	return -ENOENT;
}

static int backend_compare(const struct current_backend *b, const char *pool, const char *name,
			   const void *addr)
{
	int r = strcmp(b->pool_name, pool);

	if (r == 0)
		r = strcmp(b->name, name);
	return r ? r : memcmp(b->plane.addr, addr, sizeof(b->plane.addr));
}

static int number_compare(const void *a, const void *b, void *current)
{
	const struct current *c = current;
	const struct current_backend *x = &c->backends[*(const uint16_t *)a];
	const struct current_backend *y = &c->backends[*(const uint16_t *)b];

	return backend_compare(x, y->pool_name, y->name, y->plane.addr);
}

int current_index_init(const struct current *c, struct current_index *ret_index)
{
	struct current_index index = {0};

	for (uint32_t i = 0; i < CURRENT_BACKENDS; i++)
		index.n += c->backends[i].used;
	index.numbers = calloc(index.n ? index.n : 1, sizeof(*index.numbers));
	if (!index.numbers)
		return -ENOMEM;
	for (uint32_t i = 0, n = 0; i < CURRENT_BACKENDS; i++) {
		if (c->backends[i].used)
			index.numbers[n++] = (uint16_t)i;
	}
	qsort_r(index.numbers, index.n, sizeof(*index.numbers), number_compare,
		(void *)(uintptr_t)c);
	*ret_index = index;
	return 0;
}

void current_index_fini(struct current_index *index)
{
	free(index->numbers);
	*index = (struct current_index){0};
}

uint32_t current_index_find(const struct current_index *index, const struct current *c,
			    const char *pool, const char *name, const struct addr *addr)
{
	uint32_t low = 0, high = index->n;

	while (low < high) {
		uint32_t middle = (low + high) / 2, number = index->numbers[middle];
		int r = backend_compare(&c->backends[number], pool, name, &addr->in6);

		if (r == 0)
			return number;
		if (r < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return BACKEND_NONE;
}

void current_keys(const struct current *c, uint64_t *ret_keys)
{
	for (uint32_t i = 0; i < CURRENT_BACKENDS; i++) {
		const struct current_backend *b = &c->backends[i];

		ret_keys[i] = b->used ? word_key(b->pool_name, b->name, b->plane.addr) : 0;
	}
}
