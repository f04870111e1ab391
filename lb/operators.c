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

static struct operator_entry *operator_named(struct lb *lb, const char *pool, const char *backend)
{
	for (uint32_t k = 0; k < lb->n_operators; k++) {
		if (strcmp(lb->operators[k].backend, backend) == 0 &&
		    strcmp(lb->operators[k].pool, pool) == 0)
			return &lb->operators[k];
	}
	return NULL;
}

/* operator_made: the one that is there, or a new one that says nothing; NULL: no room. */
static struct operator_entry *operator_made(struct lb *lb, const char *pool, const char *backend)
{
	struct operator_entry *e = operator_named(lb, pool, backend), *more;

	if (e || lb->n_operators >= OPERATOR_ENTRIES_MOST)
		return e;
	more = realloc(lb->operators, (lb->n_operators + 1) * sizeof(*more));
	if (!more)
		return NULL;
	lb->operators = more;
	e = &more[lb->n_operators++];
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
	struct operator_entry *e = operator_made(lb, said->pool, said->backend);
	int pool = config_find_pool(lb->config, said->pool), i;

	if (!e || !partner_operator_wins(said, e))
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

void operators_keep(struct lb *lb)
{
	int r;

	if (!lb->operators_unkept)
		return;
	r = operator_save(OPERATOR_FILE, lb->operators, lb->n_operators);
	if (r < 0)
		log_err("operator's states not kept: file=%s error=%s", OPERATOR_FILE,
			strerror(-r));
	lb->operators_unkept = false; /* the partner says it again at the next start */
}
