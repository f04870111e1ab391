/* SPDX-License-Identifier: BSD-2-Clause */
/* plan_number.c: the numbers of what is wanted: those that it has, or free ones; and services,
 * whose records are made of such numbers.
 *
 * A backend's number that was used before comes back as late as possible: going round.
 */
#include "lb/mode.h"
#include "lb/plan_diff.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

uint32_t number_free(const uint8_t *taken, uint32_t most, uint32_t from)
{
	for (uint32_t i = 0; i < most; i++) {
		uint32_t number = (from + i) % most;

		if (!taken[number])
			return number;
	}
	return most;
}

static int backends_number(struct diff *d)
{
	const struct config *config = d->desired->config;
	uint32_t next = d->current->next_backend;
	struct current_index index;
	uint8_t *taken;
	int r = current_index_init(d->current, &index);

	if (r < 0)
		return r;
	taken = calloc(CURRENT_BACKENDS, 1);
	r = taken ? 0 : -ENOMEM;
	for (uint32_t i = 0; r == 0 && i < CURRENT_BACKENDS; i++)
		taken[i] = d->current->backends[i].used;
	for (uint32_t i = 0; r == 0 && i < config->n_backends; i++) {
		const struct desired_backend *b = &d->desired->backends[i];
		uint32_t number = current_index_find(&index, d->current, b->pool->name,
						     b->conf->name, &b->conf->addr);

		if (number == BACKEND_NONE) {
			number = number_free(taken, CURRENT_BACKENDS, next);
			next = number + 1;
		}
		if (number >= CURRENT_BACKENDS) {
			r = -ENOSPC;
			break;
		}
		taken[number] = 1;
		d->kept[number] = 1;
		d->plan->numbers[i] = (uint16_t)number;
	}
	free(taken);
	current_index_fini(&index);
	return r;
}

static int pools_number(struct diff *d)
{
	const struct config *config = d->desired->config;
	uint8_t taken[POOL_MAX] = {0};

	for (uint32_t i = 0; i < POOL_MAX; i++)
		taken[i] = d->current->pools[i].used;
	for (uint32_t i = 0; i < config->n_pools; i++) {
		int found = current_find_pool(d->current, config_pool(config, i)->name);
		uint32_t number = found >= 0 ? (uint32_t)found : number_free(taken, POOL_MAX, 0);

		if (number >= POOL_MAX)
			return -ENOSPC;
		taken[number] = 1;
		d->kept_pools[number] = 1;
		d->pools[i] = (uint16_t)number;
	}
	return 0;
}

struct service_key service_key_of(const struct config_service *s)
{
	struct service_key key = {.port = htons(s->port), .protocol = s->protocol};

	memcpy(key.addr, &s->vip.in6, sizeof(key.addr));
	return key;
}

struct keyed { /* a service of the data plane */
	struct service_key key;
	uint16_t id;
};

static int keyed_compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct service_key));
}

/* Services that are there keep their ids; new ones get ids that are free by then: removing comes
 * before adding.
 */
static int services_number(struct diff *d)
{
	const struct config *config = d->desired->config;
	struct keyed *keyed = calloc(SERVICE_MAX, sizeof(*keyed));
	uint32_t n = 0, next = d->current->next_service;

	if (!keyed)
		return -ENOMEM;
	for (uint32_t i = 0; i < SERVICE_MAX; i++) {
		if (d->current->services[i].used)
			keyed[n++] = (struct keyed){d->current->services[i].key, (uint16_t)i};
	}
	qsort(keyed, n, sizeof(*keyed), keyed_compare);
	for (uint32_t i = 0; i < config->n_services; i++) {
		struct service_key key = service_key_of(config_service(config, i));
		const struct keyed *found = bsearch(&key, keyed, n, sizeof(*keyed), keyed_compare);

		d->services[i] = found ? found->id : (uint16_t)SERVICE_MAX;
		if (found)
			d->kept_services[found->id] = 1;
	}
	free(keyed);
	for (uint32_t i = 0; i < config->n_services; i++) {
		uint32_t id = d->services[i];

		if (id < SERVICE_MAX)
			continue;
		id = number_free(d->kept_services, SERVICE_MAX, next);
		if (id >= SERVICE_MAX)
			return -ENOSPC;
		d->kept_services[id] = 1;
		d->services[i] = (uint16_t)id;
		next = id + 1;
	}
	return 0;
}

int diff_number(struct diff *d)
{
	int r = backends_number(d);

	if (r == 0)
		r = pools_number(d);
	return r == 0 ? services_number(d) : r;
}

struct current_service service_wanted(const struct diff *d, uint32_t i)
{
	const struct config_service *conf = config_service(d->desired->config, i);
	int32_t backup = config_pool(d->desired->config, conf->pool)->backup_pool;
	uint32_t serving = d->desired->pools[conf->pool].serving;
	struct current_service want = {.used = true,
				       .key = service_key_of(conf),
				       .own_pool = d->pools[conf->pool],
				       .backup_pool = backup < 0 ? POOL_MAX : d->pools[backup]};

	memcpy(want.name, conf->name, sizeof(want.name));
	want.plane = mode_service(d->desired->config, conf, serving);
	if (d->desired->ambiguous[i])
		want.plane.flags |= SERVICE_STATEFUL;
	if (want.plane.flags & SERVICE_COOKIES_OUT && d->facts->flooded &&
	    d->facts->flooded[d->services[i]])
		want.plane.flags |= SERVICE_SYN_COOKIES;
	/* a SYN that is answered cannot be rejected any more */
	if (want.plane.flags & SERVICE_REJECT && !d->desired->pools[serving].takes_new)
		want.plane.flags &= (uint8_t)~SERVICE_SYN_COOKIES;
	want.plane.id = d->services[i];
	want.plane.pool = d->pools[serving];
	return want;
}
