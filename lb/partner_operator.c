/* SPDX-License-Identifier: BSD-2-Clause */
/* partner_operator.c: OPERATOR: what the operator wants of a backend, said on any node, is done on
 * all. The last word wins: the greatest (changed_ms, node). changed_ms is the clock's, but later
 * than every word known on the node where it is said: so whoever sees a state and changes it wins,
 * however wrong the nodes' clocks are; what is said on two nodes at once ends the same on both.
 *
 *   0  changed_ms (8)  node (8)  since_s (8)  weight (4)  state (4)  pool (64)  backend (64)
 */
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "lb/operator.h"
#include "lb/partner_kinds.h"
#include "lb/partner_operator.h"
#include "lb/reconciler.h"

enum { OPERATOR_BYTES = 160, POOL_AT = 32, BACKEND_AT = 96, ROWS_A_PART = 1000 };

/* Later than that no clock is; adding one to it stays a number. */
#define CHANGED_MOST (INT64_MAX / 2)

_Static_assert(NAME_SIZE == 64, "the record's names have 64 bytes");

void partner_operator_stamp(struct lb *lb, struct operator_entry *e)
{
	struct timespec now;
	int64_t last_ms = 0;

	for (uint32_t i = 0; i < lb->n_operators; i++) {
		if (lb->operators[i].changed_ms > last_ms)
			last_ms = lb->operators[i].changed_ms;
	}
	e->changed_ms = 0;
	e->node = 0;
	if (lb->config->sync.n_links == 0)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	e->changed_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	if (e->changed_ms <= last_ms)
		e->changed_ms = last_ms + 1;
	e->node = sync_node(lb->config->node.name);
}

void partner_operator_say(struct lb *lb, uint32_t peer, const struct operator_entry *e)
{
	uint8_t bytes[OPERATOR_BYTES];

	sync_put64(bytes, (uint64_t)e->changed_ms);
	sync_put64(bytes + 8, e->node);
	sync_put64(bytes + 16, (uint64_t)e->since_s);
	sync_put32(bytes + 24, (uint32_t)e->weight);
	sync_put32(bytes + 28, (uint32_t)e->state);
	memcpy(bytes + POOL_AT, e->pool, NAME_SIZE);
	memcpy(bytes + BACKEND_AT, e->backend, NAME_SIZE);
	partner_send(lb, peer, PARTNER_OPERATOR, bytes, sizeof(bytes));
}

static bool fill(struct lb *lb, uint32_t peer, uint64_t *cursor)
{
	uint64_t until = *cursor + ROWS_A_PART;

	for (; *cursor < lb->n_operators && *cursor < until; ++*cursor)
		partner_operator_say(lb, peer, &lb->operators[*cursor]);
	return *cursor < lb->n_operators;
}

/* ---- what the others say ---- */

static bool name_good(const char name[static NAME_SIZE])
{
	size_t n = strnlen(name, NAME_SIZE);

	for (size_t i = 0; i < n; i++) {
		if (name[i] <= ' ' || name[i] > '~')
			return false;
	}
	return n > 0 && n < NAME_SIZE;
}

bool partner_operator_read(const uint8_t *bytes, size_t n, struct operator_entry *ret)
{
	struct operator_entry e = {0};
	uint32_t state;

	if (n < OPERATOR_BYTES)
		return false;
	e.changed_ms = (int64_t)sync_get64(bytes);
	e.node = sync_get64(bytes + 8);
	e.since_s = (int64_t)sync_get64(bytes + 16);
	e.weight = (int32_t)sync_get32(bytes + 24);
	state = sync_get32(bytes + 28);
	memcpy(e.pool, bytes + POOL_AT, NAME_SIZE);
	memcpy(e.backend, bytes + BACKEND_AT, NAME_SIZE);
	if (e.changed_ms < 0 || e.changed_ms > CHANGED_MOST || e.since_s < 0 ||
	    e.weight < WEIGHT_NONE || e.weight > CONFIG_WEIGHT || state > OPERATOR_DISABLED ||
	    !name_good(e.pool) || !name_good(e.backend))
		return false;
	e.state = (enum operator_state)state;
	*ret = e;
	return true;
}

bool partner_operator_wins(const struct operator_entry *a, const struct operator_entry *b)
{
	return a->changed_ms != b->changed_ms ? a->changed_ms > b->changed_ms : a->node > b->node;
}

static void on_operator(struct lb *lb, uint32_t peer, const uint8_t *bytes, size_t n)
{
	static const char *const names[] = OPERATOR_NAMES;
	struct operator_entry said;

	if (!partner_operator_read(bytes, n, &said) || !operator_take(lb, &said))
		return;
	log_notice("operator: backend=%s pool=%s state=%s weight=%d node=%s", said.backend,
		   said.pool, names[said.state], said.weight, lb->config->nodes[peer]);
}

const struct partner_kind partner_operator = {.type = PARTNER_OPERATOR,
					      .record = on_operator,
					      .fill = fill,
					      .tick = operators_keep,
					      .configure = operators_stamp};
