/* SPDX-License-Identifier: BSD-2-Clause */
/* returns.c: see returns.h. Both questions are answered by one sorted list of what each service's
 * backends answer from: neighbours in it that are equal are the ambiguous ones.
 */
#include "lb/returns.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

struct return_entry {
	struct service_key key; /* of the backend */
	struct return_to to;
	uint32_t service; /* whose */
	bool retired;	  /* the backend is */
};

struct return_list {
	struct return_entry *entries;
	size_t n, room;
};

static int entry_compare(const void *a, const void *b)
{
	const struct return_entry *x = a, *y = b;
	int r = memcmp(&x->key, &y->key, sizeof(x->key));

	if (r == 0)
		r = (x->service > y->service) - (x->service < y->service);
	return r ? r : x->retired - y->retired;
}

static int list_add(struct return_list *list, const struct return_entry *entry)
{
	if (list->n == list->room) {
		size_t room = list->room ? 2 * list->room : 64;
		struct return_entry *more = reallocarray(list->entries, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		list->entries = more;
		list->room = room;
	}
	list->entries[list->n++] = *entry;
	return 0;
}

static void list_sort(struct return_list *list)
{
	if (list->n)
		qsort(list->entries, list->n, sizeof(*list->entries), entry_compare);
}

static bool same_family(const void *a, const void *b)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	/* not addr_is_ipv4(): a key may lie anywhere */
	return !memcmp(a, mapped, sizeof(mapped)) == !memcmp(b, mapped, sizeof(mapped));
}

/* ---- of a configuration ---- */

static int pool_entries(const struct config *c, uint32_t i, const struct config_pool *pool,
			struct return_list *list)
{
	const struct config_service *s = config_service(c, i);
	int r = 0;

	for (uint32_t k = 0; r == 0 && pool->mode == MODE_NAT && k < pool->n_backends; k++) {
		const struct config_backend *b = config_backend(c, pool->first_backend + k);
		struct return_entry entry = {.service = i};

		if (!same_family(&b->addr, &s->vip))
			continue;
		memcpy(entry.key.addr, &b->addr, sizeof(entry.key.addr));
		entry.key.port = htons(b->port ? b->port : s->port);
		entry.key.protocol = s->protocol;
		r = list_add(list, &entry);
	}
	return r;
}

/* Those of its pool, and of that one's backup, whoever serves it now. */
static int config_entries(const struct config *c, uint32_t i, struct return_list *list)
{
	const struct config_pool *pool = config_pool(c, config_service(c, i)->pool);
	int r = pool_entries(c, i, pool, list);

	if (r == 0 && pool->backup_pool >= 0)
		r = pool_entries(c, i, config_pool(c, (uint32_t)pool->backup_pool), list);
	return r;
}

int returns_ambiguous(const struct config *c, uint8_t *ret_ambiguous)
{
	struct return_list list = {0};
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < c->n_services; i++)
		r = config_entries(c, i, &list);
	list_sort(&list);
	for (size_t i = 1; r == 0 && i < list.n; i++) {
		const struct return_entry *a = &list.entries[i - 1], *b = &list.entries[i];

		if (memcmp(&a->key, &b->key, sizeof(a->key)) == 0 && a->service != b->service)
			ret_ambiguous[a->service] = ret_ambiguous[b->service] = 1;
	}
	free(list.entries);
	return r;
}

/* ---- of what the data plane has ---- */

static bool is_translated(const struct current_service *s)
{
	return s->used && s->plane.mode >= FORWARD_NAT;
}

static bool is_tracked(const struct current_service *s)
{
	return s->plane.mode == FORWARD_FULLNAT || s->plane.flags & SERVICE_STATEFUL;
}

/* Connections of a pool that served it a moment ago go on. */
static bool may_serve(const struct current_service *s, uint32_t pool)
{
	return pool == s->plane.pool || pool == s->own_pool || pool == s->backup_pool;
}

static int pair_add(const struct current_service *s, const struct current_backend *b,
		    uint32_t number, struct return_list *list)
{
	struct return_entry entry = {.service = s->plane.id, .retired = b->retired};

	if (!b->used || !may_serve(s, b->plane.pool) || !same_family(b->plane.addr, s->key.addr))
		return 0;
	memcpy(entry.key.addr, b->plane.addr, sizeof(entry.key.addr));
	entry.key.port = b->plane.port ? b->plane.port : s->key.port;
	entry.key.protocol = s->key.protocol;
	memcpy(entry.to.vip, s->key.addr, sizeof(entry.to.vip));
	entry.to.port = s->key.port;
	entry.to.service = s->plane.id;
	entry.to.flags = is_tracked(s) ? RETURN_TRACKED : RETURN_ALONE;
	entry.to.backend = (uint16_t)number;
	return list_add(list, &entry);
}

static int current_entries(const struct current *c, const struct current_service *s,
			   struct return_list *list)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < CURRENT_BACKENDS; i++)
		r = pair_add(s, &c->backends[i], i, list);
	return r;
}

/* Several services' backend stays once, and is nobody's alone. */
static void list_merge(struct return_list *list)
{
	size_t n = 0;

	list_sort(list);
	for (size_t i = 0; i < list->n; i++) {
		struct return_entry *last = n ? &list->entries[n - 1] : NULL;

		if (last && memcmp(&last->key, &list->entries[i].key, sizeof(last->key)) == 0) {
			if (last->service != list->entries[i].service)
				last->to.flags = RETURN_TRACKED;
			continue;
		}
		list->entries[n++] = list->entries[i];
	}
	list->n = n;
}

static bool list_has(const struct return_list *list, const struct service_key *key)
{
	struct return_entry entry = {.key = *key};
	size_t low = 0, high = list->n;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int r = memcmp(&list->entries[middle].key, &entry.key, sizeof(entry.key));

		if (r == 0)
			return true;
		if (r < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

static void map_trim(int map, const struct return_list *list)
{
	struct service_key key, next;
	bool more = bpf_map_get_next_key(map, NULL, &next) == 0;

	while (more) {
		key = next; /* whose successor is asked for before it goes, or all would begin again
			     */
		more = bpf_map_get_next_key(map, &key, &next) == 0;
		if (!list_has(list, &key))
			bpf_map_delete_elem(map, &key);
	}
}

static int map_fill(int map, const struct return_list *list)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < list->n; i++) {
		const struct return_entry *e = &list->entries[i];
		struct return_to have;

		if (bpf_map_lookup_elem(map, &e->key, &have) < 0 ||
		    memcmp(&have, &e->to, sizeof(have)) != 0)
			r = bpf_map_update_elem(map, &e->key, &e->to, BPF_ANY);
	}
	return r;
}

/* An entry of another service stays, too: from then on it is nobody's alone. */
static int map_add(int map, const struct return_list *list)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < list->n; i++) {
		struct return_to to = list->entries[i].to, have;

		if (bpf_map_lookup_elem(map, &list->entries[i].key, &have) == 0 &&
		    have.service != to.service)
			to.flags = RETURN_TRACKED | (have.flags & RETURN_ALONE);
		r = bpf_map_update_elem(map, &list->entries[i].key, &to, BPF_ANY);
	}
	return r;
}

int plane_returns_add_service(struct plane *plane, const struct current *c,
			      const struct current_service *s)
{
	struct return_list list = {0};
	int r = is_translated(s) ? current_entries(c, s, &list) : 0;

	r = r < 0 ? r : map_add(plane->maps[MAP_RETURNS], &list);
	free(list.entries);
	return r;
}

int plane_returns_add_backend(struct plane *plane, const struct current *c, uint32_t number,
			      const struct current_backend *b)
{
	struct return_list list = {0};
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < SERVICE_MAX; i++) {
		if (is_translated(&c->services[i]))
			r = pair_add(&c->services[i], b, number, &list);
	}
	r = r < 0 ? r : map_add(plane->maps[MAP_RETURNS], &list);
	free(list.entries);
	return r;
}

int plane_returns_set(struct plane *plane, const struct current *c)
{
	struct return_list list = {0};
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < SERVICE_MAX; i++) {
		if (is_translated(&c->services[i]))
			r = current_entries(c, &c->services[i], &list);
	}
	list_merge(&list);
	if (r == 0 && list.n > RETURNS_MAX) {
		log_err("too many pairs of service and backend in nat and fullnat: pairs=%zu "
			"most=%u",
			list.n, RETURNS_MAX);
		r = -E2BIG;
	}
	if (r == 0) {
		map_trim(plane->maps[MAP_RETURNS], &list);
		r = map_fill(plane->maps[MAP_RETURNS], &list);
	}
	free(list.entries);
	return r;
}
