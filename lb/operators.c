/* SPDX-License-Identifier: BSD-2-Clause */
/* operators.c: the operator's words as inputs: said here (lb_set_operator), or on another node. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/channel.h"
#include "base/log.h"
#include "lb/operator.h"
#include "lb/partner.h"
#include "lb/partner_operator.h"
#include "lb/reconciler.h"

/* A minute: what a partner acknowledged is in its file then. */
enum { OPERATORS_TOLD_TURNS = 60000 / PARTNER_TICK_MS };

static struct operator_entry *operator_named(struct lb *lb, const char *pool, const char *backend)
{
	for (uint32_t k = 0; k < lb->n_operators; k++) {
		if (strcmp(lb->operators[k].backend, backend) == 0 &&
		    strcmp(lb->operators[k].pool, pool) == 0)
			return &lb->operators[k];
	}
	return NULL;
}

static bool is_configured(const struct lb *lb, const struct operator_entry *e)
{
	int pool = config_find_pool(lb->config, e->pool);

	return pool >= 0 && config_find_backend(lb->config, (uint32_t)pool, e->backend) >= 0;
}

/* Who can be missed most: an end, else what is said of a backend that is not there; of these the
 * oldest. NULL: none of them.
 */
static struct operator_entry *operator_missed(struct lb *lb)
{
	struct operator_entry *found = NULL;

	for (uint32_t k = 0; k < lb->n_operators; k++) {
		struct operator_entry *e = &lb->operators[k];
		bool end = operator_is_end(e);

		if (!end && ((found && operator_is_end(found)) || is_configured(lb, e)))
			continue;
		if (!found || (end && !operator_is_end(found)) || e->changed_ms < found->changed_ms)
			found = e;
	}
	return found;
}

static struct operator_entry *operator_added(struct lb *lb)
{
	struct operator_entry *more;

	if (lb->n_operators >= OPERATOR_ENTRIES_MOST)
		return operator_missed(lb);
	more = realloc(lb->operators, (lb->n_operators + 1) * sizeof(*more));
	if (!more)
		return NULL;
	lb->operators = more;
	return &more[lb->n_operators++];
}

/* operator_made: the one that is there, or a new one that says nothing; NULL: no room. */
static struct operator_entry *operator_made(struct lb *lb, const char *pool, const char *backend)
{
	struct operator_entry *e = operator_named(lb, pool, backend);

	if (e)
		return e;
	e = operator_added(lb);
	if (!e)
		return NULL;
	*e = (struct operator_entry){.weight = WEIGHT_NONE};
	memcpy(e->pool, pool, sizeof(e->pool));
	memcpy(e->backend, backend, sizeof(e->backend));
	return e;
}

static struct operator_entry *operator_find(struct lb *lb, uint32_t i)
{
	const struct config_backend *b = config_backend(lb->config, i);

	return operator_named(lb, config_pool(lb->config, b->pool)->name, b->name);
}

static void input_set(struct lb_backend *b, const struct operator_entry *e)
{
	b->by_operator = e ? e->state : OPERATOR_ENABLED;
	b->by_operator_since_s = e ? e->since_s : 0;
	b->weight = e ? e->weight : WEIGHT_NONE;
}

void operators_take(struct lb *lb)
{
	for (uint32_t i = 0; i < lb->config->n_backends; i++)
		input_set(&lb->backends[i], operator_find(lb, i));
}

/* operator_tell: programs heals nobody whom the operator holds. */
static void operator_tell(struct lb *lb, uint32_t i)
{
	const struct config_backend *b = config_backend(lb->config, i);
	struct message_operator m = {.held = lb->backends[i].by_operator != OPERATOR_ENABLED};

	memcpy(m.pool, config_pool(lb->config, b->pool)->name, sizeof(m.pool));
	memcpy(m.backend, b->name, sizeof(m.backend));
	if (lb->channel)
		channel_send(lb->channel, MESSAGE_OPERATOR, &m, -1);
}

void operators_tell(struct lb *lb)
{
	for (uint32_t i = 0; i < lb->config->n_backends; i++) {
		if (lb->backends[i].by_operator != OPERATOR_ENABLED)
			operator_tell(lb, i);
	}
}

int lb_set_operator(struct lb *lb, uint32_t i, enum operator_state state, int32_t weight)
{
	static const char *const names[] = OPERATOR_NAMES;
	const struct config_backend *b = config_backend(lb->config, i);
	struct operator_entry *e =
		operator_made(lb, config_pool(lb->config, b->pool)->name, b->name);
	struct operator_entry before;
	int r;

	if (!e)
		return -ENOMEM;
	before = *e;
	if (e->state != state)
		e->since_s = time(NULL);
	e->state = state;
	e->weight = weight;
	partner_operator_stamp(lb, e);
	r = operator_save(OPERATOR_FILE, lb->operators, lb->n_operators);
	if (r < 0) {
		*e = before;
		return r;
	}
	log_notice("operator: backend=%s pool=%s state=%s weight=%d", e->backend, e->pool,
		   names[state], weight);
	partner_operator_say(lb, PARTNER_ALL, e);
	input_set(&lb->backends[i], e);
	operator_tell(lb, i);
	return lb_reconcile_now(lb, "operator") < 0 ? 1 : 0;
}

bool operator_take(struct lb *lb, const struct operator_entry *said)
{
	struct operator_entry *e = operator_named(lb, said->pool, said->backend);
	int pool = config_find_pool(lb->config, said->pool), i;

	if (e && !partner_operator_wins(said, e))
		return false;
	if (!e)
		e = operator_made(lb, said->pool, said->backend);
	if (!e)
		return false;
	*e = *said;
	lb->operators_unkept = true;
	i = pool < 0 ? pool : config_find_backend(lb->config, (uint32_t)pool, said->backend);
	if (i < 0)
		return true;
	input_set(&lb->backends[i], e);
	operator_tell(lb, (uint32_t)i);
	lb_reconcile(lb, "operator");
	return true;
}

/* Nothing may go while somebody is being told all of them, row by row. */
static void operators_forget(struct lb *lb)
{
	uint32_t before = lb->n_operators;

	if (!partner_all_told(lb))
		lb->operators_told = 0;
	else if (lb->operators_told < OPERATORS_TOLD_TURNS)
		lb->operators_told++;
	if (partner_fills(lb))
		return;
	lb->n_operators = operator_forget(lb->operators, before, time(NULL),
					  lb->operators_told == OPERATORS_TOLD_TURNS);
	if (lb->n_operators != before)
		lb->operators_unkept = true;
}

void operators_keep(struct lb *lb)
{
	int r;

	operators_forget(lb);
	if (!lb->operators_unkept)
		return;
	r = operator_save(OPERATOR_FILE, lb->operators, lb->n_operators);
	if (r < 0 && !lb->operators_failing)
		log_err("operator's states not kept: file=%s error=%s", OPERATOR_FILE,
			strerror(-r));
	lb->operators_failing = r < 0;
	lb->operators_unkept = r < 0; /* it is tried again */
}

/* What was said before there were partners has to be later than nothing, and somebody's. */
void operators_stamp(struct lb *lb)
{
	for (uint32_t k = 0; k < lb->n_operators && lb->config->sync.n_links > 0; k++) {
		struct operator_entry *e = &lb->operators[k];

		if (e->node != 0 || operator_is_end(e))
			continue;
		if (e->changed_ms == 0)
			e->changed_ms = e->since_s * 1000;
		e->node = sync_node(lb->config->node.name);
		lb->operators_unkept = true;
	}
}
