/* SPDX-License-Identifier: BSD-2-Clause */
/* inputs.c: see inputs.h. */
#include "lb/inputs.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "lb/advice.h"
#include "lb/current.h"
#include "lb/interface.h"
#include "lb/mode.h"
#include "lb/partner_flows.h"
#include "lb/reconciler.h"

/* ---- the configuration ---- */

/* The index in the old configuration, or -1. A server at another address is another server. */
static int backend_before(const struct lb *lb, const struct config *config, uint32_t i)
{
	const struct config_backend *b = config_backend(config, i);
	int pool, old;

	if (!lb->config)
		return -1;
	pool = config_find_pool(lb->config, config_pool(config, b->pool)->name);
	old = pool < 0 ? -1 : config_find_backend(lb->config, (uint32_t)pool, b->name);
	if (old < 0 || memcmp(&config_backend(lb->config, (uint32_t)old)->addr, &b->addr,
			      sizeof(b->addr)) != 0)
		return -1;
	return old;
}

/* What the data plane did with the backend, by a process before us or in a configuration before
 * this one, holds until there is a result.
 */
static void backend_adopt(const struct lb *lb, const struct current_index *index,
			  const struct config *config, uint32_t i, struct lb_backend *b)
{
	const struct config_backend *conf = config_backend(config, i);
	uint32_t number = current_index_find(
		index, lb->current, config_pool(config, conf->pool)->name, conf->name, &conf->addr);
	const struct current_backend *c;

	b->fresh = number >= CURRENT_BACKENDS;
	if (b->fresh)
		return;
	c = &lb->current->backends[number];
	b->kept_takes_new = c->takes_new;
	b->kept_alive = c->plane.flags & BACKEND_ALIVE;
	if (!b->kept_alive)
		return;
	/* until the kernel has resolved it again, established flows go where they went */
	b->neighbour.was_known = true;
	b->neighbour.ifindex = c->plane.ifindex;
	memcpy(b->neighbour.mac, c->plane.l2_dst, sizeof(b->neighbour.mac));
	memcpy(b->neighbour.own_mac, c->plane.l2_src, sizeof(b->neighbour.own_mac));
	if (c->plane.tunnel_bits == 0)
		memcpy(&b->neighbour.source, c->plane.tunnel_src, sizeof(b->neighbour.source));
}

static struct lb_backend *backends_new(struct lb *lb, const struct config *config)
{
	struct lb_backend *backends = calloc(config->n_backends + 1, sizeof(*backends));
	struct current_index index;

	if (!backends || current_index_init(lb->current, &index) < 0) {
		free(backends);
		return NULL;
	}
	for (uint32_t i = 0; i < config->n_backends; i++) {
		int old = backend_before(lb, config, i);

		backends[i].number = BACKEND_NONE;
		backends[i].weight = WEIGHT_NONE;
		if (old >= 0)
			backends[i] = lb->backends[old];
		else
			backend_adopt(lb, &index, config, i, &backends[i]);
	}
	current_index_fini(&index);
	return backends;
}

static struct lb_instance *instances_new(const struct lb *lb, const struct config *config)
{
	struct lb_instance *instances = calloc(config->n_instances + 1, sizeof(*instances));

	for (uint32_t i = 0; instances && lb->config && i < config->n_instances; i++) {
		for (uint32_t k = 0; k < lb->config->n_instances; k++) {
			if (strcmp(config_instance(config, i)->name,
				   config_instance(lb->config, k)->name) == 0)
				instances[i] = lb->instances[k];
		}
	}
	return instances;
}

/* What is known of an interface that stays goes on to be known. */
static void interfaces_new(struct lb *lb, const struct config *config)
{
	struct lb_interface before[CONFIG_INTERFACES];

	memcpy(before, lb->interfaces, sizeof(before));
	memset(lb->interfaces, 0, sizeof(lb->interfaces));
	for (uint32_t i = 0; i < config->node.n_interfaces; i++) {
		struct lb_interface *in = &lb->interfaces[i];

		memcpy(in->name, config->node.interfaces[i], sizeof(in->name));
		for (uint32_t k = 0; k < CONFIG_INTERFACES; k++) {
			if (strcmp(before[k].name, in->name) == 0)
				*in = before[k];
		}
	}
}

/* What nat and fullnat send back goes by the default route, mostly. A node that becomes active with
 * its next hop not resolved would keep all of that waiting; so it is asked for, as long as we run,
 * by the way to a host that is nowhere near (RFC 5737, RFC 3849).
 */
static uint32_t clients_want(const struct lb *lb, struct addr *ret_addrs)
{
	static const struct addr far[2] = {
		{.in6.s6_addr = {[10] = 0xff, [11] = 0xff, [12] = 203, [14] = 113, [15] = 1}},
		{.in6.s6_addr = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}}};

	for (uint32_t i = 0; i < lb->config->n_pools; i++) {
		if (config_pool(lb->config, i)->mode < MODE_NAT)
			continue;
		memcpy(ret_addrs, far, sizeof(far));
		return 2;
	}
	return 0;
}

static int ways_want(struct lb *lb)
{
	uint32_t n = lb->config->n_backends;
	struct addr *addrs = calloc(n + 2, sizeof(*addrs));
	int r;

	if (!addrs)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		addrs[i] = config_backend(lb->config, i)->addr;
	n += clients_want(lb, addrs + n);
	r = neighbours_want(lb->neighbours, addrs, n);
	free(addrs);
	return r;
}

int inputs_config(struct lb *lb, const struct config *config)
{
	struct lb_backend *backends = backends_new(lb, config);
	struct lb_instance *instances = instances_new(lb, config);
	struct message_tally *heals = calloc(config->n_pools + 1, sizeof(*heals));

	if (!backends || !instances || !heals) {
		free(backends);
		free(instances);
		free(heals);
		return -ENOMEM;
	}
	free(lb->backends);
	free(lb->instances);
	free(lb->heals);
	config_unmap(lb->config);
	lb->config = config;
	lb->backends = backends;
	lb->instances = instances;
	lb->heals = heals;
	memset(lb->hooks, 0, sizeof(lb->hooks)); /* told again, with the new numbers */
	lb->configured_ms = clock_ms();
	lb->ready = false;
	lb->detached = false;
	interfaces_new(lb, config);
	operators_take(lb);
	operators_tell(lb);
	if (ways_want(lb) < 0)
		log_err("neighbours not looked up: out of memory");
	inputs_ways(lb);
	return 0;
}

int inputs_key(struct lb *lb, const uint8_t key[static 32])
{
	static const uint8_t label[] = "sluice flow hash 1";
	uint8_t words[EVP_MAX_MD_SIZE], block[sizeof(label) + 1];
	uint8_t bytes[HASH_KEY_WORDS * 8];
	uint64_t mark = 0;
	unsigned n;

	memcpy(block, label, sizeof(label));
	for (uint8_t k = 0; k < HASH_KEY_WORDS / 4 + 1; k++) {
		block[sizeof(label)] = k;
		if (!HMAC(EVP_sha256(), key, 32, block, sizeof(block), words, &n) || n != 32)
			return -ENOMEM;
		if (k < HASH_KEY_WORDS / 4)
			memcpy(bytes + 32 * k, words, 32);
		else
			memcpy(&mark, words,
			       sizeof(mark)); /* tells keys apart, and nothing of them */
	}
	memcpy(lb->hash_key, bytes, sizeof(lb->hash_key));
	explicit_bzero(bytes, sizeof(bytes));
	reconciler_key(lb->reconciler, mark);
	return 0;
}

/* ---- health ---- */

void inputs_health(struct lb *lb, const struct message_health *m)
{
	int pool = lb->config ? config_find_pool(lb->config, m->pool) : -ENOENT;
	int i = pool < 0 ? pool : config_find_backend(lb->config, (uint32_t)pool, m->backend);
	struct lb_backend *b;
	bool turned;

	if (i < 0 || m->health > HEALTH_LEAVING)
		return;
	b = &lb->backends[i];
	turned = b->health.health != m->health || b->health.weight != m->weight;
	b->health = *m;
	if (!turned)
		return;
	if (m->health == HEALTH_DOWN)
		neighbours_probe(lb->neighbours, &config_backend(lb->config, (uint32_t)i)->addr);
	lb_reconcile(lb, "health");
}

/* ---- what is shown, and decides who announces ---- */

void inputs_vrrp(struct lb *lb, const struct message_vrrp *m)
{
	for (uint32_t i = 0; lb->config && i < lb->config->n_instances; i++) {
		if (strcmp(config_instance(lb->config, i)->name, m->instance) == 0) {
			if (lb->config->announce.on && lb->instances[i].vrrp.role != m->role)
				lb_reconcile(lb, "role");
			lb->instances[i].vrrp = *m;
			lb->instances[i].heard = true;
			partner_handover_role(lb, i);
		}
	}
}

void inputs_turn(struct lb *lb, const struct message_turn *m)
{
	for (uint32_t i = 0; lb->config && i < lb->config->n_instances; i++) {
		if (strcmp(config_instance(lb->config, i)->name, m->instance) == 0)
			lb->instances[i].turns[m->number % TURNS] = *m;
	}
}

void inputs_tally(struct lb *lb, const struct message_tally *m)
{
	int pool = lb->config && m->hook == 0 ? config_find_pool(lb->config, m->pool) : -ENOENT;

	if (pool >= 0)
		lb->heals[pool] = *m;
	else if (lb->config && m->hook > 0 && m->hook <= lb->config->n_hooks)
		lb->hooks[m->hook - 1] = *m;
}

void inputs_process(struct lb *lb, const struct message_child *m)
{
	for (int i = 0; i < LB_PROCESSES; i++) {
		struct message_child *child = &lb->processes[i].child;

		if (child->role[0] && strcmp(child->role, m->role) != 0)
			continue;
		*child = *m;
		return;
	}
}

/* ---- neighbours and interfaces ---- */

static bool neighbour_equal(const struct neighbour *a, const struct neighbour *b)
{
	return a->status == b->status && a->ifindex == b->ifindex && a->was_known == b->was_known &&
	       memcmp(a->mac, b->mac, sizeof(a->mac)) == 0 &&
	       memcmp(a->own_mac, b->own_mac, sizeof(a->own_mac)) == 0 &&
	       memcmp(&a->source, &b->source, sizeof(a->source)) == 0;
}

/* Its MAC comes from the data plane of a process before us, and nothing newer is known. */
static bool neighbour_is_adopted(const struct neighbour *n, uint32_t ifindex)
{
	return n->status == NEIGHBOUR_UNKNOWN && n->was_known && n->ifindex == ifindex;
}

static void room_tell(struct lb *lb, bool ipv6)
{
	char *told = lb->neighbour_problem[ipv6], text[ADVICE_TEXT];

	advice_neighbours(ipv6, neighbours_room(lb->neighbours, ipv6), advice_neighbours_most(ipv6),
			  text);
	if (strcmp(told, text) == 0)
		return;
	snprintf(told, sizeof(lb->neighbour_problem[0]), "%s", text);
	if (text[0])
		log_warning("%s", text);
}

bool inputs_ways(struct lb *lb)
{
	bool changed = false;

	room_tell(lb, false);
	room_tell(lb, true);

	for (uint32_t i = 0; lb->config && i < lb->config->n_backends; i++) {
		const struct config_backend *conf = config_backend(lb->config, i);
		const struct neighbour *n =
			neighbours_find(lb->neighbours, &conf->addr,
					mode_is_routed(config_pool(lb->config, conf->pool)->mode));
		struct neighbour *mine = &lb->backends[i].neighbour;

		if (!n || neighbour_equal(n, mine) ||
		    (n->status == NEIGHBOUR_UNKNOWN && !n->was_known &&
		     neighbour_is_adopted(mine, n->ifindex)))
			continue;
		*mine = *n;
		changed = true;
	}
	for (uint32_t i = 0; lb->config && i < lb->config->node.n_interfaces; i++) {
		struct lb_interface before = lb->interfaces[i];

		interface_read(&lb->interfaces[i]);
		interface_own(lb->config, &lb->interfaces[i]);
		if (!lb->interfaces[i].ifindex)
			snprintf(lb->interfaces[i].problem, sizeof(lb->interfaces[i].problem),
				 "there is no such interface");
		changed = changed || memcmp(&before, &lb->interfaces[i], sizeof(before)) != 0;
	}
	return changed;
}

/* ---- ready ---- */

/* Is there a result to wait for: of its first probe, or of its neighbour where it is up? */
static bool is_unsettled(const struct config_pool *p, const struct lb_backend *b)
{
	if (strcmp(p->probe.type, "none") != 0 && b->health.health == HEALTH_UNKNOWN)
		return true;
	return b->health.health != HEALTH_DOWN && b->neighbour.status == NEIGHBOUR_UNKNOWN;
}

bool inputs_complete(const struct lb *lb)
{
	uint64_t waited_ms = clock_ms() - lb->configured_ms;

	for (uint32_t i = 0; i < lb->config->n_backends; i++) {
		const struct config_pool *p =
			config_pool(lb->config, config_backend(lb->config, i)->pool);

		if (is_unsettled(p, &lb->backends[i]) &&
		    waited_ms < (uint64_t)p->probe.interval_ms + p->probe.timeout_ms)
			return false;
	}
	return true;
}
