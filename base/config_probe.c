/* SPDX-License-Identifier: BSD-2-Clause */
/* config_probe.c: how a pool's backends are asked ("probe", "agent") and healed ("heal"). */
#include <stdlib.h>
#include <string.h>

#include "base/config_build.h"

enum { PROBE_KEYS_MOST = 60, SCHEMAS_MOST = 32, FALLING_LEAST_MS = 250 };

static const char *const common_keys[] = {
	"type",		 "tls",	    "port",	  "interval",	 "interval_down",
	"timeout",	 "rise",    "fall",	  "slow_ms",	 "interval_rising",
	"proxy",	 "via",	    "tls_verify", "tls_name",	 "interval_falling",
	"tls_cert",	 "tls_key", "flap_limit", "flap_period", "flap_hold",
	"tls_warn_days", "tls_ca",  NULL};

static const struct probe_schema none = {.name = "none", .no_port = true};

static const struct probe_schema *schema_find(struct builder *b, const config_setting_t *at,
					      const char *what, const char *type)
{
	const char *names[SCHEMAS_MOST] = {none.name};
	const char *meant;
	int n = 1;

	if (strcmp(type, none.name) == 0)
		return &none;
	for (const struct probe_schema *const *s = b->schemas; *s && n < SCHEMAS_MOST - 1; s++) {
		if (strcmp((*s)->name, type) == 0)
			return *s;
		names[n++] = (*s)->name;
	}
	meant = nearest(type, names);
	if (meant)
		mistake(&b->reader, at,
			"%s: probe type \"%.32s\" is not known; did you mean \"%s\"?", what, type,
			meant);
	else
		mistake(&b->reader, at, "%s: probe type \"%.32s\" is not known; see sluice.conf(5)",
			what, type);
	return NULL;
}

/* A probe's group may have the common keys and those of its type. */
static void probe_keys_check(struct builder *b, const config_setting_t *s,
			     const struct probe_schema *schema)
{
	const char *keys[PROBE_KEYS_MOST + 1] = {NULL};
	int n = 0;

	for (; common_keys[n]; n++)
		keys[n] = common_keys[n];
	for (const struct config_key *k = schema->keys; k && k->name && n < PROBE_KEYS_MOST; k++)
		keys[n++] = k->name;
	keys_check(&b->reader, s, keys);
}

static void own_check(struct builder *b, const config_setting_t *s, const struct config_key *k,
		      const uint8_t *conf)
{
	const char *wrong = k->check ? k->check((const char *)conf + k->offset) : NULL;

	if (wrong)
		mistake(&b->reader, config_setting_get_member(s, k->name), "\"%s\" %s", k->name,
			wrong);
}

static void own_key(struct builder *b, const config_setting_t *s, const struct config_key *k,
		    uint8_t *conf)
{
	enum need need = k->required ? REQUIRED : OPTIONAL;
	char *text = (char *)conf + k->offset;
	bool flag;
	int64_t n;

	switch (k->type) {
	case KEY_STRING:
		if (get_string(&b->reader, s, k->name, need, text, k->size))
			own_check(b, s, k, conf);
		return;
	case KEY_BOOL:
		if (get_bool(&b->reader, s, k->name, &flag))
			memcpy(conf + k->offset, &flag, sizeof(flag));
		return;
	case KEY_INT:
		if (get_int(&b->reader, s, k->name, need, k->least, k->most, &n)) {
			int32_t value = (int32_t)n;

			memcpy(conf + k->offset, &value, sizeof(value));
		}
		return;
	case KEY_SECRET:
		build_secret(b, s, k->name, need, text, k->size);
		return;
	case KEY_LIST:
		if (build_list(b, s, k->name, need, text, k->size))
			own_check(b, s, k, conf);
		return;
	}
}

static void own_keys(struct builder *b, const config_setting_t *s,
		     const struct probe_schema *schema, struct config_probe *p)
{
	size_t before = b->reader.n_mistakes;
	const char *wrong;

	for (const struct config_key *k = schema->keys; k && k->name; k++) {
		own_key(b, s, k, p->conf);
		if (k->type == KEY_LIST && k->size == CONFIG_LIST_SIZE &&
		    strcmp(k->name, "command") == 0)
			p->command_at = (uint16_t)k->offset;
	}
	if (!schema->check || b->reader.n_mistakes > before)
		return;
	wrong = schema->check(p);
	if (wrong)
		mistake(&b->reader, s, "a probe of type \"%s\" %s", schema->name, wrong);
}

/* ---- TLS ---- */

static void certificate_build(struct builder *b, const config_setting_t *s, struct config_probe *p)
{
	struct config_certificate *c = &p->certificate;
	int64_t n;

	get_bool(&b->reader, s, "tls_verify", &c->verify);
	get_string(&b->reader, s, "tls_name", OPTIONAL, c->name, sizeof(c->name));
	c->ca = build_file(b, s, "tls_ca");
	c->own = build_file(b, s, "tls_cert");
	c->key = build_file(b, s, "tls_key");
	if (get_int(&b->reader, s, "tls_warn_days", OPTIONAL, 0, 3650, &n))
		c->warn_days = (uint32_t)n;
	if ((config_setting_get_member(s, "tls_ca") || config_setting_get_member(s, "tls_name")) &&
	    !c->verify)
		mistake(&b->reader, s, "\"tls_ca\" and \"tls_name\" need tls_verify = true;");
	if (!config_setting_get_member(s, "tls_cert") != !config_setting_get_member(s, "tls_key"))
		mistake(&b->reader, s, "\"tls_cert\" and \"tls_key\" go together");
	build_pem_check(b, s, c);
}

static void tls_build(struct builder *b, const config_setting_t *s,
		      const struct probe_schema *schema, struct config_probe *p)
{
	static const char *const tls[] = {"none", "starttls", "implicit", NULL};
	int choice;

	if (get_choice(&b->reader, s, "tls", tls, &choice)) {
		p->tls = (enum config_tls)choice;
		if ((p->tls == TLS_STARTTLS && !schema->can_starttls) ||
		    (p->tls == TLS_IMPLICIT && !schema->can_tls) ||
		    (p->tls == TLS_NONE && schema->must_tls))
			mistake(&b->reader, config_setting_get_member(s, "tls"),
				"a probe of type \"%s\" has no tls \"%s\"; expected: %s%s%s",
				schema->name, tls[choice], schema->must_tls ? "" : "\"none\"",
				schema->can_starttls ? ", \"starttls\"" : "",
				schema->can_tls ? ", \"implicit\"" : "");
	}
	certificate_build(b, s, p);
	if (p->tls == TLS_NONE && (p->certificate.verify || p->certificate.own))
		mistake(&b->reader, s,
			"the probe verifies or shows a certificate, but speaks no TLS; expected: tls = \"implicit\"%s",
			schema->can_starttls ? " or \"starttls\"" : "");
}

/* ---- when, and what its results do ---- */

/* Unless told otherwise: what refuses, or says that it leaves, is out after little more than one
 * interval. A quicker eye than a quarter of a second would see one stumble `fall` times.
 */
static uint32_t falling_default(const struct config_probe *p)
{
	uint32_t quarter_ms = p->interval_ms / 4;
	uint32_t ms = quarter_ms > FALLING_LEAST_MS ? quarter_ms : FALLING_LEAST_MS;

	if (ms > p->interval_ms)
		ms = p->interval_ms;
	return ms < p->interval_rising_ms ? ms : p->interval_rising_ms;
}

static void times_build(struct builder *b, const config_setting_t *s, struct config_probe *p)
{
	struct reader *r = &b->reader;
	int64_t n;

	get_duration(r, s, "interval", 100, 3600000, &p->interval_ms);
	/* unless told otherwise: a hanging server is down after fall x timeout */
	p->timeout_ms = p->interval_down_ms = p->interval_rising_ms = p->interval_ms;
	get_duration(r, s, "interval_down", 100, 3600000, &p->interval_down_ms);
	get_duration(r, s, "interval_rising", 100, 3600000, &p->interval_rising_ms);
	p->interval_falling_ms = falling_default(p);
	get_duration(r, s, "interval_falling", 100, 3600000, &p->interval_falling_ms);
	get_duration(r, s, "timeout", 50, 600000, &p->timeout_ms);
	get_duration(r, s, "flap_period", 1000, 86400000, &p->flap_period_ms);
	get_duration(r, s, "flap_hold", 0, 86400000, &p->flap_hold_ms);
	if (get_int(r, s, "flap_limit", OPTIONAL, 0, 100, &n))
		p->flap_limit = (uint8_t)n;
	if (get_int(r, s, "slow_ms", OPTIONAL, 0, 600000, &n))
		p->slow_ms = (uint32_t)n;
	if (get_int(r, s, "rise", OPTIONAL, 1, 100, &n))
		p->rise = (uint8_t)n;
	if (get_int(r, s, "fall", OPTIONAL, 1, 100, &n))
		p->fall = (uint8_t)n;
}

/* ---- the whole ---- */

static void probe_group(struct builder *b, const config_setting_t *s, const struct built_pool *pool,
			const struct probe_schema *schema, struct config_probe *p)
{
	static const char *const proxy[] = {"none", "v1", "v2", NULL};
	static const char *const via[] = {"address", "vip", NULL};
	bool transparent = pool->value.mode == MODE_DSR || pool->value.mode == MODE_TUNNEL;
	int choice;
	int64_t n;

	probe_keys_check(b, s, schema);
	tls_build(b, s, schema, p);
	times_build(b, s, p);
	if (get_int(&b->reader, s, "port", OPTIONAL, 1, 65535, &n))
		p->port = (uint16_t)n;
	if (get_choice(&b->reader, s, "proxy", proxy, &choice))
		p->proxy = (enum config_proxy)choice;
	if (schema->no_stream && p->proxy != PROXY_NONE)
		mistake(&b->reader, config_setting_get_member(s, "proxy"),
			"a probe of type \"%s\" has no connection to send a header on",
			schema->name);
	if (get_choice(&b->reader, s, "via", via, &choice)) {
		p->via = (enum config_via)choice;
		if (p->via == VIA_VIP && (!transparent || schema->no_stream))
			mistake(&b->reader, config_setting_get_member(s, "via"),
				"via \"vip\" is for modes dsr and tunnel, and for probes that connect");
	}
	own_keys(b, s, schema, p);
}

static const struct config_probe probe_defaults = {
	.interval_ms = 2000,
	.interval_down_ms = 2000,
	.interval_rising_ms = 2000,
	.interval_falling_ms = 500,
	.timeout_ms = 2000,
	.rise = 2,
	.fall = 3,
	.flap_limit = 5,
	.flap_period_ms = 600000,
	.flap_hold_ms = 300000,
	.certificate = {.warn_days = 14},
};

/* probe_begin: as the schema has it, before the file's keys. */
static void probe_begin(const struct built_pool *pool, const struct probe_schema *schema,
			struct config_probe *p)
{
	bool transparent = pool->value.mode == MODE_DSR || pool->value.mode == MODE_TUNNEL;

	*p = probe_defaults;
	snprintf(p->type, sizeof(p->type), "%s", schema->name);
	p->tls = schema->must_tls ? TLS_IMPLICIT : schema->wants_starttls ? TLS_STARTTLS : TLS_NONE;
	p->via = transparent && !schema->no_stream && !schema->no_port ? VIA_VIP : VIA_ADDRESS;
	if (schema->defaults)
		memcpy(p->conf, schema->defaults,
		       schema->conf_size < PROBE_CONF_SIZE ? schema->conf_size : PROBE_CONF_SIZE);
}

void build_probe(struct builder *b, const config_setting_t *pool, struct built_pool *built)
{
	config_setting_t *s = config_setting_get_member(pool, "probe");
	const struct probe_schema *schema;
	char what[NAME_SIZE + 16];
	char type[64] = "tcp";

	built->value.probe = probe_defaults;
	snprintf(what, sizeof(what), "pool \"%s\"", built->value.name);
	if (s && config_setting_is_group(s)) {
		if (!get_string(&b->reader, s, "type", REQUIRED, type, sizeof(type)))
			return;
	} else if (s) {
		if (!get_string(&b->reader, pool, "probe", OPTIONAL, type, sizeof(type)))
			return;
	}
	schema = schema_find(b, s ? s : pool, what, type);
	if (!schema)
		return;
	built->portless = schema->no_port;
	probe_begin(built, schema, &built->value.probe);
	if (s && config_setting_is_group(s))
		probe_group(b, s, built, schema, &built->value.probe);
}

void build_agent(struct builder *b, const config_setting_t *pool, struct built_pool *built)
{
	config_setting_t *s = config_setting_get_member(pool, "agent");
	const struct probe_schema *schema;

	if (!s)
		return;
	if (!config_setting_is_group(s)) {
		mistake(&b->reader, s, "\"agent\" is no group; expected: { port = 9777; }");
		return;
	}
	schema = schema_find(b, s, "agent", "agent");
	if (!schema)
		return;
	probe_begin(built, schema, &built->value.agent);
	built->value.agent.via = VIA_ADDRESS;
	probe_group(b, s, built, schema, &built->value.agent);
	if (built->value.agent.port == 0 && !config_setting_get_member(s, "port"))
		mistake(&b->reader, s, "\"agent\" has no port; expected: port = 9777;");
}

void build_heal(struct builder *b, const config_setting_t *pool, struct built_pool *built)
{
	static const char *const keys[] = {"command", "timeout", "after", "again", NULL};
	config_setting_t *s = config_setting_get_member(pool, "heal");
	struct config_heal *heal = &built->value.heal;

	heal->after_ms = 60000;
	heal->again_ms = 600000;
	if (!s)
		return;
	if (!config_setting_is_group(s)) {
		mistake(&b->reader, s,
			"\"heal\" is no group; expected: { command = [ \"/...\" ]; }");
		return;
	}
	keys_check(&b->reader, s, keys);
	build_command(b, s, REQUIRED, 60000, &heal->command);
	get_duration(&b->reader, s, "after", 0, 86400000, &heal->after_ms);
	get_duration(&b->reader, s, "again", 1000, 86400000, &heal->again_ms);
}
