/* SPDX-License-Identifier: BSD-2-Clause */
/* config_track.c: the list "track": what a node's right to be active depends on. */
#include <string.h>

#include "base/config_build.h"

enum { SCRIPT_MS = 5000 };

static const char *const track_keys[] = {"name",  "type",  "interface", "route",     "pool",
					 "least", "fewer", "command",	"timeout",   "interval",
					 "rise",  "fall",  "weight",	"instances", NULL};

/* Keys that only one type has, and must have. */
static const struct {
	const char *key;
	enum config_track_type type;
	bool required;
} own_keys[] = {
	{"interface", TRACK_INTERFACE, true}, {"route", TRACK_ROUTE, true},
	{"pool", TRACK_POOL, true},	      {"least", TRACK_POOL, false},
	{"fewer", TRACK_POOL, false},	      {"command", TRACK_SCRIPT, true},
	{"timeout", TRACK_SCRIPT, false},     {"interval", TRACK_SCRIPT, false},
	{"rise", TRACK_SCRIPT, false},	      {"fall", TRACK_SCRIPT, false},
};

static bool own_keys_check(struct builder *b, const config_setting_t *s,
			   enum config_track_type type)
{
	static const char *const names[] = CONFIG_TRACK_NAMES;
	bool good = true;

	for (size_t i = 0; i < sizeof(own_keys) / sizeof(own_keys[0]); i++) {
		const config_setting_t *member = config_setting_get_member(s, own_keys[i].key);

		if (member && own_keys[i].type != type)
			mistake(&b->reader, member, "\"%s\" is not for a track of type \"%s\"",
				own_keys[i].key, names[type]);
		if (!member && own_keys[i].type == type && own_keys[i].required) {
			mistake(&b->reader, s, "\"%s\" is not given; type \"%s\" needs it",
				own_keys[i].key, names[type]);
			good = false;
		}
	}
	return good;
}

static void route_build(struct builder *b, const config_setting_t *s, struct config_track *t)
{
	char text[NAME_SIZE];

	if (!get_string(&b->reader, s, "route", REQUIRED, text, sizeof(text)))
		return;
	if (strcmp(text, "0.0.0.0/0") == 0 || strcmp(text, "::/0") == 0) {
		addr_parse(text[0] == ':' ? "::" : "0.0.0.0", &t->route.addr);
		return; /* prefix_len 0: the default route */
	}
	if (!prefix_parse(text, &t->route))
		mistake(&b->reader, config_setting_get_member(s, "route"),
			"\"%s\" is no prefix; expected: as in \"0.0.0.0/0\"", text);
}

static void script_build(struct builder *b, const config_setting_t *s, struct config_track *t)
{
	int64_t rise = 2, fall = 2;

	build_command(b, s, REQUIRED, SCRIPT_MS, &t->command);
	t->interval_ms = 2000;
	get_duration(&b->reader, s, "interval", 100, 3600000, &t->interval_ms);
	get_int(&b->reader, s, "rise", OPTIONAL, 1, 100, &rise);
	get_int(&b->reader, s, "fall", OPTIONAL, 1, 100, &fall);
	t->rise = (uint8_t)rise;
	t->fall = (uint8_t)fall;
}

static void pool_build(struct builder *b, const config_setting_t *s, struct config_track *t)
{
	int64_t least = 1;
	int pool = pool_named(b, s, "pool");

	get_int(&b->reader, s, "least", OPTIONAL, 1, 100, &least);
	t->least_percent = (uint32_t)least;
	get_bool(&b->reader, s, "fewer", &t->fewer);
	if (t->fewer && t->weight == 0)
		mistake(&b->reader, s,
			"\"fewer\" needs a \"weight\": of two pools each node may see one better");
	else if (t->fewer && b->head.sync.n_links == 0)
		mistake(&b->reader, s, "\"fewer\" needs \"sync\": else no node says what it sees");
	t->pool = pool < 0 ? 0 : (uint32_t)pool;
}

/* instance_mark: the instances by that name. */
static bool instance_mark(const struct builder *b, const char *name, struct config_track *t)
{
	for (uint32_t i = 0; i < b->n_instances; i++) {
		if (!name || strcmp(b->instances[i].value.name, name) == 0) {
			t->instances[i / 64] |= 1ULL << (i % 64);
			if (name)
				return true;
		}
	}
	return !name;
}

static void instances_build(struct builder *b, const config_setting_t *s, struct config_track *t)
{
	const config_setting_t *list = config_setting_get_member(s, "instances");

	if (!list) {
		instance_mark(b, NULL, t);
		return;
	}
	if ((!config_setting_is_array(list) && !config_setting_is_list(list)) ||
	    config_setting_length(list) < 1) {
		mistake(&b->reader, list,
			"\"instances\" is no list of names; expected: as in [ \"mail\" ]");
		return;
	}
	for (int i = 0; i < config_setting_length(list); i++) {
		const config_setting_t *element = config_setting_get_elem(list, (unsigned)i);
		const char *name = element_string(&b->reader, element, "instances");

		if (name && !instance_mark(b, name, t))
			mistake(&b->reader, element,
				"vrrp instance \"%.64s\" is not there; expected: the name of one of \"vrrp\"",
				name);
	}
}

static void track_build(struct builder *b, const config_setting_t *s, struct config_track *t)
{
	static const char *const types[] = CONFIG_TRACK_NAMES;
	struct reader *r = &b->reader;
	int64_t weight = 0;
	int type;

	keys_check(r, s, track_keys);
	get_name(r, s, "name", t->name);
	for (uint32_t i = 0; i + 1 < b->n_tracks; i++) {
		if (t->name[0] && strcmp(b->tracks[i].name, t->name) == 0)
			mistake(r, s, "track \"%s\" is there twice", t->name);
	}
	get_int(r, s, "weight", OPTIONAL, 0, 253, &weight);
	t->weight = (uint8_t)weight;
	instances_build(b, s, t);
	if (!config_setting_get_member(s, "type")) {
		mistake(r, s,
			"\"type\" is not given; expected: interface, route, script, pool or plane");
		return;
	}
	if (!get_choice(r, s, "type", types, &type))
		return;
	t->type = (enum config_track_type)type;
	if (!own_keys_check(b, s, t->type))
		return;
	if (t->type == TRACK_INTERFACE)
		get_string(r, s, "interface", REQUIRED, t->interface, sizeof(t->interface));
	else if (t->type == TRACK_ROUTE)
		route_build(b, s, t);
	else if (t->type == TRACK_SCRIPT)
		script_build(b, s, t);
	else if (t->type == TRACK_POOL)
		pool_build(b, s, t);
}

void build_tracks(struct builder *b, const config_setting_t *root)
{
	const config_setting_t *list = list_of_groups(&b->reader, root, "track");

	for (int i = 0; list && i < config_setting_length(list); i++) {
		const config_setting_t *s = config_setting_get_elem(list, (unsigned)i);
		struct config_track *t;

		if (!config_setting_is_group(s))
			continue;
		if (b->n_tracks == CONFIG_TRACKS) {
			mistake(&b->reader, s, "too many of \"track\"; at most %d are expected",
				CONFIG_TRACKS);
			return;
		}
		t = array_grow(b, &b->tracks, &b->n_tracks, sizeof(*t));
		if (!t)
			return;
		track_build(b, s, t);
	}
}
