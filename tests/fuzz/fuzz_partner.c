/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_partner.c: any bytes as records that a node with our secret sends: NODE, OPERATOR, LIVE,
 * SLOTS, FLOW and TRANSLATION, into a whole lb with real maps where they can be made (else FLOW and
 * TRANSLATION get no further than their look-ups). Of each: a byte that chooses the kind and the
 * peer, one for the length. As numbers that name backends, pools and services could not be guessed,
 * the first bytes of a record may be such names: they are chosen by a byte, too.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "lb/flows.h"
#include "lb/partner_flows.h"
#include "lb/partner_kinds.h"
#include "lb/partner_operator.h"
#include "lb/reconciler.h"
#include "lb/words.h"
#include "tests/unit/lb/nodes.h"

enum { ROOM = 32, BACKENDS = 4, SMTP = 3 };

static const struct partner_kind *const kinds[] = {&partner_node_kind, &partner_operator,
						   &partner_live,      &partner_slots_kind,
						   &partner_flow_kind, &partner_translation_kind};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]), PEERS = 3 };

static void map_make(struct plane *plane, enum plane_map map, enum bpf_map_type type, uint32_t key,
		     uint32_t value)
{
	plane->maps[map] = bpf_map_create(type, "fuzz", key, value, ROOM, NULL);
}

static void maps_make(struct plane *plane)
{
	const uint32_t key = sizeof(struct flow_key), value = sizeof(struct translation);

	map_make(plane, MAP_FLOWS, BPF_MAP_TYPE_HASH, key, sizeof(struct flow));
	map_make(plane, MAP_TRANSLATIONS, BPF_MAP_TYPE_HASH, key, value);
	map_make(plane, MAP_REVERSE, BPF_MAP_TYPE_HASH, sizeof(struct tuple), key);
	map_make(plane, MAP_NASCENT, BPF_MAP_TYPE_LRU_HASH, key, value);
	map_make(plane, MAP_CLAIMS, BPF_MAP_TYPE_LRU_HASH, sizeof(struct tuple), key);
	map_make(plane, MAP_SERVICES, BPF_MAP_TYPE_HASH, sizeof(struct service_key),
		 sizeof(struct service));
}

static struct service_key service_key(uint16_t port)
{
	struct service_key key = {.port = htons(port), .protocol = IPPROTO_TCP};

	key.addr[10] = key.addr[11] = 0xff;
	memcpy(key.addr + 12, (uint8_t[]){192, 0, 2, 10}, 4);
	return key;
}

static void current_make(struct node *node)
{
	struct current *current = node->lb.current;

	current->settings.slots = node->lb.config->slots;
	current->pools[0].used = true;
	strcpy(current->pools[0].name, "mx");
	for (uint32_t i = 0; i < BACKENDS; i++) {
		const struct config_backend *b = config_backend(node->lb.config, i);
		struct current_backend *c = &current->backends[i];

		c->used = true;
		strcpy(c->pool_name, config_pool(node->lb.config, b->pool)->name);
		strcpy(c->name, b->name);
		memcpy(c->plane.addr, &b->addr, sizeof(c->plane.addr));
	}
	for (uint16_t port = 25; port < 27; port++) {
		struct service_key key = service_key(port);
		struct service service = {.id = (uint16_t)(SMTP + port),
					  .mode = port == 25 ? FORWARD_DSR : FORWARD_FULLNAT};

		bpf_map_update_elem(node->plane.maps[MAP_SERVICES], &key, &service, BPF_ANY);
	}
	partner_flows_applied(&node->lb);
}

static struct node *node_made(void)
{
	struct event_base *loop;
	struct node *node;

	if (unshare(CLONE_NEWNET) == 0)
		nodes_lo_up();
	loop = event_base_new();
	node = loop ? node_new(loop, "lb1", true) : NULL;
	if (!node)
		abort();
	maps_make(&node->plane);
	current_make(node);
	return node;
}

/* names_put: what only a node that has our configuration can say. */
static void names_put(const struct node *node, uint32_t kind, uint8_t how, uint8_t *bytes, size_t n)
{
	const struct current_backend *c = &node->lb.current->backends[how % BACKENDS];
	const struct service_key key = service_key(25 + how / 16 % 2);

	if (kind == 2 && n >= 8)
		sync_put64(bytes, partner_backend_key(&node->lb, how % BACKENDS));
	if (kind == 3 && n >= 8)
		sync_put64(bytes, word_pool_key("mx"));
	if (kind < 4 || n < 46)
		return;
	memcpy(bytes + 16, key.addr, 16);
	memcpy(bytes + 34, &key.port, 2);
	bytes[36] = key.protocol;
	sync_put64(bytes + 38, word_key(c->pool_name, c->name, c->plane.addr));
}

/* As partner_operator.c does, which logs each word that is the later one. */
static void operator_hear(struct lb *lb, const uint8_t *bytes, size_t n)
{
	struct operator_entry said;

	if (partner_operator_read(bytes, n, &said))
		operator_take(lb, &said);
}

static void record_say(struct node *node, uint8_t choice, const uint8_t *bytes, size_t n)
{
	uint32_t kind = choice % KINDS;
	uint8_t *copy = malloc(n ? n : 1); /* of its very size, for the sanitizer */

	if (!copy)
		return;
	memcpy(copy, bytes, n);
	if (n > 0 && choice & 0x80)
		names_put(node, kind, copy[n - 1], copy, n);
	node->lb.instances[0].vrrp.role = choice & 0x40 ? VRRP_ACTIVE : VRRP_BACKUP;
	if (kinds[kind] == &partner_operator)
		operator_hear(&node->lb, copy, n);
	else
		kinds[kind]->record(&node->lb, 1 + choice / KINDS % (PEERS - 1), copy, n);
	free(copy);
}

/* invariants: what no record may break. */
static void invariants_check(const struct node *node)
{
	const struct words *words = partner_slots_words((struct lb *)(uintptr_t)&node->lb);

	for (uint32_t i = 0; i < BACKENDS; i++) {
		const struct lb_backend *b = &node->lb.backends[i];

		if (b->by_operator > OPERATOR_DISABLED || b->weight > CONFIG_WEIGHT)
			abort();
	}
	if (words[0].at && words[0].n != node->lb.current->settings.slots)
		abort();
	for (uint32_t i = 0; words[0].at && i < words[0].n; i++) {
		if (words[0].at[i] != (uint16_t)WORD_SETTLED && words[0].at[i] >= words[0].n_keys)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static struct node *node; /* one for all inputs: making it takes longest */

	if (!node)
		node = node_made();
	while (n >= 2) {
		size_t len = bytes[1] < n - 2 ? bytes[1] : n - 2;

		record_say(node, bytes[0], bytes + 2, len);
		bytes += 2 + len;
		n -= 2 + len;
	}
	partner_live.tick(&node->lb);
	for (uint32_t peer = 1; peer < PEERS; peer++) {
		partner_live.down(&node->lb, peer);
		invariants_check(node);
		partner_slots_kind.down(&node->lb, peer);
	}
	node->lb.n_operators = 0;
	node->lb.operators_unkept = false;
	return 0;
}
