/* SPDX-License-Identifier: BSD-2-Clause */
/* plan.c: what is, what is wanted, and the steps between.
 *
 * First everything wanted gets its number: the one it has, or a free one. Then each kind of element
 * is compared, in the order in which the steps are to be applied.
 */
#include "lb/mode.h"
#include "lb/plan_diff.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct step *step_add(struct diff *d, enum step_kind kind, uint32_t number)
{
	struct plan *p = d->plan;

	if (p->n == p->room) {
		size_t room = p->room ? 2 * p->room : 64;
		struct step *steps = reallocarray(p->steps, room, sizeof(*steps));

		if (!steps)
			return NULL;
		p->steps = steps;
		p->room = room;
	}
	p->steps[p->n] = (struct step){.kind = kind, .number = number};
	return &p->steps[p->n++];
}

static uint64_t live_of(const struct diff *d, uint32_t backend)
{
	return d->facts->live ? d->facts->live[backend] : 0;
}

/* ---- backends ---- */

static struct current_backend backend_wanted(const struct diff *d, uint32_t i)
{
	const struct desired_backend *b = &d->desired->backends[i];
	struct current_backend want = {.used = true, .takes_new = b->takes_new};

	memcpy(want.pool_name, b->pool->name, sizeof(want.pool_name));
	memcpy(want.name, b->conf->name, sizeof(want.name));
	memcpy(want.plane.l2_dst, b->mac, sizeof(want.plane.l2_dst));
	memcpy(want.plane.l2_src, b->own_mac, sizeof(want.plane.l2_src));
	memcpy(want.plane.addr, &b->conf->addr.in6, sizeof(want.plane.addr));
	want.plane.ifindex = b->ifindex;
	want.plane.flags = b->alive ? BACKEND_ALIVE : 0;
	want.plane.port = htons(b->conf->port);
	want.plane.pool = d->pools[b->conf->pool];
	mode_backend_fill(b, &want.plane);
	return want;
}

static bool backend_equal(const struct current_backend *a, const struct current_backend *b)
{
	if (a->used != b->used || a->takes_new != b->takes_new || a->retired != b->retired ||
	    a->plane.flags != b->plane.flags)
		return false;
	/* where a backend is that gets no packets does not matter */
	return !(a->plane.flags & BACKEND_ALIVE) ||
	       memcmp(&a->plane, &b->plane, sizeof(a->plane)) == 0;
}

static bool is_loss(const struct current_backend *have, const struct current_backend *want)
{
	bool dies = (have->plane.flags & BACKEND_ALIVE) && !(want->plane.flags & BACKEND_ALIVE);

	return dies || (have->takes_new && !want->takes_new);
}

/* Those that gain come before the tables that send packets to them, those that lose after. */
static int backends_compare(struct diff *d, bool losses)
{
	for (uint32_t i = 0; i < d->desired->config->n_backends; i++) {
		uint32_t number = d->plan->numbers[i];
		const struct current_backend *have = &d->current->backends[number];
		struct current_backend want = backend_wanted(d, i);
		enum step_kind kind = STEP_BACKEND_CHANGE;
		struct step *s;

		if (backend_equal(have, &want) || is_loss(have, &want) != losses)
			continue;
		if (losses)
			kind = STEP_BACKEND_LOSE;
		else if (!have->used)
			kind = STEP_BACKEND_ADD;
		s = step_add(d, kind, number);
		if (!s)
			return -ENOMEM;
		s->backend = want;
		s->live = live_of(d, number);
	}
	return 0;
}

static int backends_retire(struct diff *d)
{
	for (uint32_t i = 0; i < CURRENT_BACKENDS; i++) {
		const struct current_backend *have = &d->current->backends[i];
		struct step *s;

		if (!have->used || have->retired || d->kept[i])
			continue;
		s = step_add(d, STEP_BACKEND_RETIRE, i);
		if (!s)
			return -ENOMEM;
		s->backend = *have;
		s->backend.takes_new = false;
		s->backend.retired = true;
		s->backend.retired_s = d->facts->now_s;
		s->live = live_of(d, i);
	}
	return 0;
}

static void alive_fill(struct diff *d)
{
	for (uint32_t i = 0; i < CURRENT_BACKENDS; i++)
		d->alive[i] = d->current->backends[i].plane.flags & BACKEND_ALIVE;
	for (uint32_t i = 0; i < d->desired->config->n_backends; i++)
		d->alive[d->plan->numbers[i]] = d->desired->backends[i].alive;
}

/* ---- tables ---- */

/* Connections of the slots that move: each owner's, in proportion. */
static uint64_t live_moved(const struct diff *d, const struct table *old, const struct table *new)
{
	uint32_t *owned, *moved;
	uint64_t live = 0;

	if (!d->facts->live || old->n != new->n)
		return 0;
	owned = calloc(2 * (BACKEND_NONE + 1), sizeof(*owned));
	if (!owned)
		return 0;
	moved = owned + BACKEND_NONE + 1;
	for (uint32_t i = 0; i < old->n; i++) {
		uint32_t owner = old->slots[i].owner & SLOT_BACKEND;

		owned[owner]++;
		moved[owner] += owner != (new->slots[i].owner &SLOT_BACKEND);
	}
	for (uint32_t i = 0; i < CURRENT_BACKENDS; i++) {
		if (moved[i])
			live += d->facts->live[i] * moved[i] / owned[i];
	}
	free(owned);
	return live;
}

static uint64_t words_serial(const struct diff *d, uint32_t number)
{
	const struct words *words = pool_words(d, number);

	return words ? words->serial : 0;
}

static bool table_may_differ(const struct diff *d, const struct current_pool *have, uint32_t number,
			     const struct desired_pool *want)
{
	return memcmp(&have->nat, &want->nat, sizeof(want->nat)) != 0 || !have->used ||
	       d->slots_differ || d->unsettle[number] || have->version != want->version ||
	       have->table.n_transition > 0 || have->words != words_serial(d, number) ||
	       have->idle_timeout_s != want->conf->idle_timeout_s;
}

/* NULL when the sweep was of tables of another size. */
static const struct flow_facts *flow_facts_of(const struct diff *d)
{
	const struct flow_facts *flows = d->facts->flows;

	return flows && flows->slots == d->desired->settings.slots ? flows : NULL;
}

static int table_compare(struct diff *d, uint32_t i)
{
	const struct desired_pool *want = &d->desired->pools[i];
	const struct flow_facts *flows = flow_facts_of(d);
	uint32_t number = d->pools[i];
	const struct current_pool *have = &d->current->pools[number];
	struct table_wish wish = {.n = d->desired->settings.slots,
				  .owners = want->owners,
				  .numbers = d->plan->numbers + want->conf->first_backend,
				  .alive = d->alive,
				  .idle_timeout_s = want->conf->idle_timeout_s,
				  .now_s = d->facts->now_s,
				  .foreign = flows ? flows->foreign[number] : NULL,
				  .swept_s = flows ? flows->started_s : 0,
				  .unsettle = d->unsettle[number],
				  .unserved = d->facts->unserved};
	struct table_change change;
	struct table table;
	struct step *s;
	uint16_t *words;
	int r;

	if (!table_may_differ(d, have, number, want))
		return 0;
	r = words_apply(d, number, &wish, &words);
	if (r < 0)
		return r;
	wish.words = words;
	r = table_next(&have->table, &wish, &table, &change);
	free(words);
	if (r < 0)
		return r;
	s = step_add(d, have->used ? STEP_TABLE : STEP_POOL_ADD, number);
	if (!s) {
		table_fini(&table);
		return -ENOMEM;
	}
	s->pool = (struct current_pool){.used = true,
					.idle_timeout_s = want->conf->idle_timeout_s,
					.version = want->version,
					.words = words_serial(d, number),
					.nat = want->nat,
					.table = table};
	memcpy(s->pool.name, want->conf->name, sizeof(s->pool.name));
	s->differs = change.differs || d->slots_differ || have->unsettle;
	s->silent = have->used && !s->differs &&
		    memcmp(&have->nat, &want->nat, sizeof(want->nat)) == 0 &&
		    have->idle_timeout_s == s->pool.idle_timeout_s;
	s->settled = change.settled;
	s->moved = change.moved;
	s->live = change.moved > 0 ? live_moved(d, &have->table, &s->pool.table) : 0;
	d->plan->moved += have->used ? change.moved : 0;
	return 0;
}

static int tables_compare(struct diff *d)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < d->desired->config->n_pools; i++)
		r = table_compare(d, i);
	return r;
}

static int pools_remove(struct diff *d)
{
	for (uint32_t i = 0; i < POOL_MAX; i++) {
		if (!d->current->pools[i].used || d->kept_pools[i])
			continue;
		if (!step_add(d, STEP_POOL_REMOVE, i))
			return -ENOMEM;
	}
	return 0;
}

/* ---- services ---- */

static bool is_same_service(const struct current_service *have, const struct current_service *want)
{
	return have->used && memcmp(&have->key, &want->key, sizeof(want->key)) == 0;
}

static int services_remove(struct diff *d)
{
	uint8_t *stays = calloc(SERVICE_MAX, 1);

	if (!stays)
		return -ENOMEM;
	for (uint32_t i = 0; i < d->desired->config->n_services; i++) {
		struct current_service want = service_wanted(d, i);

		stays[d->services[i]] =
			is_same_service(&d->current->services[d->services[i]], &want);
	}
	for (uint32_t i = 0; i < SERVICE_MAX; i++) {
		if (!d->current->services[i].used || stays[i])
			continue;
		if (!step_add(d, STEP_SERVICE_REMOVE, i)) {
			free(stays);
			return -ENOMEM;
		}
	}
	free(stays);
	return 0;
}

/* Settings that were refused may have left the programs without what a service's mode needs: then
 * it stays as it is.
 */
static bool is_held_back(const struct diff *d, const struct current_service *want)
{
	return mode_needs(want->plane.mode) & ~d->desired->settings.features;
}

/* And with it the pool that it has. */
static void pools_keep(struct diff *d)
{
	for (uint32_t i = 0; i < d->desired->config->n_services; i++) {
		struct current_service want = service_wanted(d, i);
		const struct current_service *have = &d->current->services[d->services[i]];

		if (is_held_back(d, &want) && is_same_service(have, &want))
			d->kept_pools[have->plane.pool] = 1;
	}
}

/* A service that gets another pool brings flows of the old one to all slots of the new one; one
 * whose slots are chosen by something else, its own.
 */
static void unsettle_fill(struct diff *d)
{
	if (d->slots_differ && d->current->settings.slots != 0)
		memset(d->unsettle, 1, POOL_MAX);
	for (uint32_t i = 0; i < POOL_MAX; i++)
		d->unsettle[i] |= d->current->pools[i].unsettle;
	for (uint32_t i = 0; i < d->desired->config->n_services; i++) {
		struct current_service want = service_wanted(d, i);
		const struct current_service *have = &d->current->services[d->services[i]];

		if (is_same_service(have, &want) && !is_held_back(d, &want) &&
		    (have->plane.pool != want.plane.pool ||
		     have->plane.source_bits != want.plane.source_bits))
			d->unsettle[want.plane.pool] = 1;
	}
}

static int services_compare(struct diff *d)
{
	for (uint32_t i = 0; i < d->desired->config->n_services; i++) {
		struct current_service want = service_wanted(d, i);
		const struct current_service *have = &d->current->services[d->services[i]];
		bool same = is_same_service(have, &want);
		struct step *s;

		if (is_held_back(d, &want) ||
		    (same && memcmp(&have->plane, &want.plane, sizeof(want.plane)) == 0 &&
		     have->own_pool == want.own_pool && have->backup_pool == want.backup_pool &&
		     strcmp(have->name, want.name) == 0))
			continue;
		s = step_add(d, same ? STEP_SERVICE_CHANGE : STEP_SERVICE_ADD, d->services[i]);
		if (!s)
			return -ENOMEM;
		s->service = want;
	}
	return 0;
}

/* The table that pool @number will have. */
static const struct table *table_then(const struct diff *d, uint32_t number)
{
	for (size_t i = 0; i < d->plan->n; i++) {
		const struct step *s = &d->plan->steps[i];

		if ((s->kind == STEP_TABLE || s->kind == STEP_POOL_ADD) && s->number == number)
			return &s->pool.table;
	}
	return &d->current->pools[number].table;
}

/* Tables of another size are in a map of their own, which does not have the pools that go. A
 * service that leaves such a pool for another one still names it when the new programs come: until
 * the service is changed it finds the other one's table there.
 */
static int pools_stand_in(struct diff *d)
{
	if (d->current->settings.slots == d->desired->settings.slots)
		return 0;
	for (uint32_t i = 0; i < d->desired->config->n_services; i++) {
		struct current_service want = service_wanted(d, i);
		const struct current_service *have = &d->current->services[d->services[i]];
		uint32_t number = have->plane.pool;
		const struct table *table = table_then(d, want.plane.pool);
		struct table copy = {0};
		struct step *s;

		if (!is_same_service(have, &want) || d->kept_pools[number] || table->n == 0 ||
		    table_then(d, number)->n == d->desired->settings.slots)
			continue;
		if (table_copy(table, &copy) < 0)
			return -ENOMEM;
		s = step_add(d, STEP_TABLE, number);
		if (!s) {
			table_fini(&copy);
			return -ENOMEM;
		}
		s->pool = d->current->pools[number];
		s->pool.table = copy;
		s->silent = s->differs = true;
	}
	return 0;
}

/* ---- numbers that become free ---- */

/* No flow, since it was retired. */
static bool is_empty(const struct diff *d, uint32_t i)
{
	const struct current_backend *b = &d->current->backends[i];
	const struct flow_facts *flows = d->facts->flows;

	return b->used && b->retired && flows && !flows->has_flows[i] &&
	       flows->started_s > b->retired_s && !d->kept[i];
}

static int backends_free(struct diff *d)
{
	uint8_t *named = NULL;
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < CURRENT_BACKENDS; i++) {
		if (!is_empty(d, i))
			continue;
		if (!named) {
			named = calloc(BACKEND_NONE + 1, 1);
			if (!named)
				return -ENOMEM;
			for (uint32_t pool = 0; pool < POOL_MAX; pool++) {
				if (d->kept_pools[pool])
					table_mark(table_then(d, pool), named);
			}
		}
		if (!named[i] && !step_add(d, STEP_BACKEND_FREE, i))
			r = -ENOMEM;
	}
	free(named);
	return r;
}

/* ---- all of it ---- */

static int diff_init(struct diff *d)
{
	const struct config *config = d->desired->config;

	d->plan->numbers = calloc(config->n_backends + 1, sizeof(*d->plan->numbers));
	d->pools = calloc(config->n_pools + 1, sizeof(*d->pools));
	d->services = calloc(config->n_services + 1, sizeof(*d->services));
	d->kept = calloc(CURRENT_BACKENDS, 1);
	d->kept_pools = calloc(POOL_MAX, 1);
	d->kept_services = calloc(SERVICE_MAX, 1);
	d->alive = calloc(BACKEND_NONE + 1, 1);
	d->unsettle = calloc(POOL_MAX, 1);
	if (!d->plan->numbers || !d->pools || !d->services || !d->kept || !d->kept_pools ||
	    !d->kept_services || !d->alive || !d->unsettle)
		return -ENOMEM;
	return 0;
}

static void diff_fini(struct diff *d)
{
	free(d->pools);
	free(d->services);
	free(d->kept);
	free(d->kept_pools);
	free(d->kept_services);
	free(d->alive);
	free(d->unsettle);
	free(d->keys);
}

static int backends_gain(struct diff *d)
{
	return backends_compare(d, false);
}

static int backends_lose(struct diff *d)
{
	return backends_compare(d, true);
}

int plan_build(const struct current *current, const struct desired *desired,
	       const struct plan_facts *facts, struct plan *ret_plan)
{
	static int (*const stages[])(struct diff *) = {
		probes_detach,	  interfaces_detach, settings_widen,	services_remove,
		backends_gain,	  tables_compare,    pools_stand_in,	programs_widen,
		services_compare, backends_lose,     backends_retire,	settings_narrow,
		programs_narrow,  probes_compare,    interfaces_attach, probes_attach,
		pools_remove,	  backends_free};
	struct plan plan = {0};
	struct diff d = {.current = current, .desired = desired, .facts = facts, .plan = &plan};
	int r = diff_init(&d);

	if (r == 0)
		r = diff_number(&d);
	if (r == 0)
		alive_fill(&d);
	if (r == 0) {
		settings_compare(&d);
		pools_keep(&d);
		unsettle_fill(&d);
	}
	for (size_t i = 0; r == 0 && i < sizeof(stages) / sizeof(stages[0]); i++)
		r = stages[i](&d);
	diff_fini(&d);
	if (r < 0) {
		plan_fini(&plan);
		return r;
	}
	*ret_plan = plan;
	return 0;
}

static void pool_commit(struct step *s, struct current_pool *pool)
{
	table_fini(&pool->table);
	*pool = s->pool;
	s->pool.table = (struct table){0};
}

/* Another number of slots or another key: flows lie in other slots than they did, in every pool,
 * until its next table says so; whatever becomes of the plan.
 */
static void settings_commit(const struct settings *settings, struct current *c)
{
	bool moves = c->settings.slots != 0 && (c->settings.slots != settings->slots ||
						c->settings.key_print != settings->key_print);

	for (uint32_t i = 0; i < POOL_MAX; i++)
		c->pools[i].unsettle |= moves && c->pools[i].used;
	for (uint32_t i = 0; i < CURRENT_INTERFACES; i++)
		c->interfaces[i].loaded = c->interfaces[i].probe_loaded = false;
	c->settings = *settings;
}

void step_commit(struct step *s, struct current *c)
{
	switch (s->kind) {
	case STEP_SETTINGS:
		settings_commit(&s->settings, c);
		break;
	case STEP_BACKEND_ADD:
		c->next_backend = (s->number + 1) % CURRENT_BACKENDS;
		c->backends[s->number] = s->backend;
		break;
	case STEP_BACKEND_CHANGE:
	case STEP_BACKEND_LOSE:
	case STEP_BACKEND_RETIRE:
	case STEP_BACKEND_FREE:
		c->backends[s->number] = s->backend;
		break;
	case STEP_POOL_ADD:
	case STEP_TABLE:
	case STEP_POOL_REMOVE:
		pool_commit(s, &c->pools[s->number]);
		break;
	case STEP_SERVICE_ADD:
		c->next_service = (s->number + 1) % SERVICE_MAX;
		c->services[s->number] = s->service;
		break;
	case STEP_SERVICE_CHANGE:
	case STEP_SERVICE_REMOVE:
		c->services[s->number] = s->service;
		break;
	case STEP_PROGRAM:
	case STEP_ATTACH:
	case STEP_DETACH:
	case STEP_PROBE_DETACH:
		c->interfaces[s->number] = s->interface;
		break;
	case STEP_PROBE_ATTACH: /* the rest of it may have come by an earlier step */
		c->interfaces[s->number].probe_attached = true;
		c->interfaces[s->number].probe_loaded = true;
		break;
	case STEP_PROBE_VIPS:
		probe_list_fini(&c->probes);
		c->probes = s->probes;
		s->probes = (struct probe_list){0};
		break;
	}
}

void plan_fini(struct plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		if (plan->steps[i].kind == STEP_TABLE || plan->steps[i].kind == STEP_POOL_ADD)
			table_fini(&plan->steps[i].pool.table);
		if (plan->steps[i].kind == STEP_PROBE_VIPS)
			probe_list_fini(&plan->steps[i].probes);
	}
	free(plan->steps);
	free(plan->numbers);
	*plan = (struct plan){0};
}
