/* SPDX-License-Identifier: BSD-2-Clause */
/* command_health.c: `show health`: of each backend, who says what about it and since when - the
 * operator, its probe, its agent, the damping of flaps - and what its probes are like; and what
 * `status` says of all that.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lb/control.h"

#define I(value) json_integer((json_int_t)(value))

static const char *const health_names[] = HEALTH_NAMES;
static const char *const operator_names[] = OPERATOR_NAMES;
static const char *const sayer_names[] = SAYER_NAMES;

static const char *health_name(uint32_t health)
{
	return health_names[health <= HEALTH_LEAVING ? health : HEALTH_UNKNOWN];
}

/* "": it says nothing. */
static void said_columns(json_t *row, const struct message_health *m, enum sayer sayer)
{
	const struct said *said = &m->said[sayer];
	char key[32];

	json_object_set_new(
		row, sayer_names[sayer],
		json_string(said->health == HEALTH_UNKNOWN ? "" : health_name(said->health)));
	snprintf(key, sizeof(key), "%s_since", sayer_names[sayer]);
	json_object_set_new(row, key, I(said->health == HEALTH_UNKNOWN ? 0 : said->since_s));
}

static void probe_columns(json_t *row, const struct message_health *m)
{
	json_object_set_new(row, "weight", I(m->weight));
	json_object_set_new(row, "slow", json_boolean(m->slow));
	json_object_set_new(row, "p50_ms", I(m->p50_ms));
	json_object_set_new(row, "p99_ms", I(m->p99_ms));
	json_object_set_new(row, "tls_days",
			    m->health == HEALTH_UNKNOWN || m->tls_days == TLS_DAYS_UNKNOWN
				    ? json_null()
				    : I(m->tls_days));
	json_object_set_new(row, "passed", I(m->passed));
	json_object_set_new(row, "failed", I(m->failed));
	json_object_set_new(row, "leaving", I(m->left));
	json_object_set_new(row, "turns", I(m->turns));
	json_object_set_new(row, "text", json_string(m->text));
}

static json_t *health_row(const struct lb *lb, uint32_t i)
{
	const struct config_backend *config = config_backend(lb->config, i);
	const struct lb_backend *b = &lb->backends[i];
	const struct message_health *m = &b->health;
	json_t *row = json_object();

	json_object_set_new(row, "pool", json_string(config_pool(lb->config, config->pool)->name));
	json_object_set_new(row, "backend", json_string(config->name));
	json_object_set_new(row, "health", json_string(health_name(m->health)));
	json_object_set_new(row, "since", I(m->since_s));
	json_object_set_new(row, "operator", json_string(operator_names[b->by_operator]));
	json_object_set_new(row, "operator_since", I(b->by_operator_since_s));
	for (int sayer = 0; sayer < SAYERS; sayer++)
		said_columns(row, m, (enum sayer)sayer);
	json_object_set_new(row, "flap_until", I(m->said[SAYER_FLAP].until_s));
	probe_columns(row, m);
	return row;
}

json_t *health_rows(struct lb *lb)
{
	json_t *rows = json_array();

	for (uint32_t i = 0; i < lb->config->n_backends; i++)
		json_array_append_new(rows, health_row(lb, i));
	return rows;
}

/* ---- for status ---- */

static __attribute__((format(printf, 2, 3))) void problem(json_t *problems, const char *format, ...)
{
	char text[640];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	json_array_append_new(problems, json_string(text));
}

/* Does its certificate expire within the days that the pool wants to know of? */
static bool expires(const struct config_pool *pool, const struct message_health *m)
{
	return m->health != HEALTH_UNKNOWN && m->tls_days != TLS_DAYS_UNKNOWN &&
	       m->tls_days < (int64_t)pool->probe.certificate.warn_days;
}

uint32_t health_expiring(const struct lb *lb)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < lb->config->n_backends; i++)
		n += expires(config_pool(lb->config, config_backend(lb->config, i)->pool),
			     &lb->backends[i].health);
	return n;
}

static void certificate_problem(json_t *problems, const struct config_pool *pool,
				const char *backend, const struct message_health *m)
{
	if (!expires(pool, m))
		return;
	if (m->tls_days < 0)
		problem(problems, "certificate of backend %s of pool %s has expired; renew it",
			backend, pool->name);
	else
		problem(problems,
			"certificate of backend %s of pool %s expires in %d days; renew it",
			backend, pool->name, m->tls_days);
}

bool health_problems(json_t *problems, const struct lb *lb, uint32_t i)
{
	const struct config_backend *backend = config_backend(lb->config, i);
	const struct config_pool *pool = config_pool(lb->config, backend->pool);
	const struct message_health *m = &lb->backends[i].health;
	const struct said *flap = &m->said[SAYER_FLAP];
	char until[32] = "";
	time_t at = (time_t)flap->until_s;
	struct tm tm;

	certificate_problem(problems, pool, backend->name, m);
	if (m->slow && m->health != HEALTH_DOWN)
		problem(problems,
			"backend %s of pool %s is slow: its answers take more than slow_ms = %u (p50 %u ms, p99 %u ms); it gets %u %% of its weight",
			backend->name, pool->name, pool->probe.slow_ms, m->p50_ms, m->p99_ms,
			m->weight);
	if (flap->health != HEALTH_DOWN)
		return false;
	if (localtime_r(&at, &tm))
		strftime(until, sizeof(until), "%H:%M:%S", &tm);
	problem(problems, "backend %s of pool %s is held down until %s: %s", backend->name,
		pool->name, until, flap->text);
	return true;
}
