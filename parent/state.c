/* SPDX-License-Identifier: BSD-2-Clause */
/* state.c: see state.h. What the memory holds is written and read by tables: a row for each field
 * of a message, by its name. A new field of a remembered message is a new row.
 */
#include "parent/state.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "parent/check.h"
#include "parent/memory.h"
#include "parent/parent.h"

enum field_type { FIELD_TEXT, FIELD_NUMBER, FIELD_ADDR };

struct field {
	const char *name;
	enum field_type type;
	bool is_signed;
	size_t offset, size;
};

#define FIELD(kind, type, member)                                                                  \
	{                                                                                          \
#member, kind, false, offsetof(struct type, member),                               \
			sizeof(((struct type *)NULL)->member)                                      \
	}
#define TEXT(type, member)    FIELD(FIELD_TEXT, type, member)
#define ADDRESS(type, member) FIELD(FIELD_ADDR, type, member)
#define NUMBER(type, member)                                                                       \
	{                                                                                          \
#member, FIELD_NUMBER, (__typeof__(((struct type *)NULL)->member))-1 < 1,          \
			offsetof(struct type, member), sizeof(((struct type *)NULL)->member)       \
	}
#define SAID(sayer)                                                                                \
	NUMBER(message_health, said[sayer].health), NUMBER(message_health, said[sayer].since_s),   \
		NUMBER(message_health, said[sayer].until_s),                                       \
		TEXT(message_health, said[sayer].text)

static const struct field health_fields[] = {TEXT(message_health, pool),
					     TEXT(message_health, backend),
					     NUMBER(message_health, health),
					     NUMBER(message_health, weight),
					     NUMBER(message_health, slow),
					     SAID(SAYER_PROBE),
					     SAID(SAYER_AGENT),
					     SAID(SAYER_FLAP),
					     NUMBER(message_health, p50_ms),
					     NUMBER(message_health, p99_ms),
					     NUMBER(message_health, tls_days),
					     NUMBER(message_health, passed),
					     NUMBER(message_health, failed),
					     NUMBER(message_health, left),
					     NUMBER(message_health, turns),
					     NUMBER(message_health, code),
					     NUMBER(message_health, took_ms),
					     NUMBER(message_health, agreeing),
					     NUMBER(message_health, needed),
					     NUMBER(message_health, since_s),
					     TEXT(message_health, verdict),
					     TEXT(message_health, text),
					     {0}};
static const struct field vrrp_fields[] = {TEXT(message_vrrp, instance),
					   NUMBER(message_vrrp, role),
					   NUMBER(message_vrrp, vrid),
					   NUMBER(message_vrrp, since_s),
					   NUMBER(message_vrrp, transitions),
					   NUMBER(message_vrrp, priority),
					   NUMBER(message_vrrp, partner_priority),
					   NUMBER(message_vrrp, yielding),
					   NUMBER(message_vrrp, marks),
					   NUMBER(message_vrrp, urgent),
					   ADDRESS(message_vrrp, partner),
					   NUMBER(message_vrrp, adverts_sent),
					   NUMBER(message_vrrp, adverts_received),
					   NUMBER(message_vrrp, adverts_bad),
					   NUMBER(message_vrrp, splits),
					   NUMBER(message_vrrp, split_ms),
					   NUMBER(message_vrrp, withheld),
					   TEXT(message_vrrp, reason),
					   {0}};
static const struct field turn_fields[] = {
	TEXT(message_turn, instance),	  NUMBER(message_turn, number),
	NUMBER(message_turn, from),	  NUMBER(message_turn, to),
	NUMBER(message_turn, priority),	  NUMBER(message_turn, at_ms),
	NUMBER(message_turn, silence_ms), NUMBER(message_turn, took_us),
	TEXT(message_turn, reason),	  {0}};
static const struct field held_fields[] = {TEXT(message_operator, pool),
					   TEXT(message_operator, backend),
					   NUMBER(message_operator, held),
					   {0}};
static const struct field track_fields[] = {
	TEXT(message_track, track), NUMBER(message_track, failed), TEXT(message_track, text), {0}};
static const struct field tally_fields[] = {NUMBER(message_tally, hook),
					    NUMBER(message_tally, waiting),
					    TEXT(message_tally, pool),
					    NUMBER(message_tally, done),
					    NUMBER(message_tally, failed),
					    NUMBER(message_tally, again),
					    NUMBER(message_tally, dropped),
					    NUMBER(message_tally, failing),
					    {0}};

static const struct kind {
	const char *name;
	size_t tree; /* in struct memory */
	size_t size;
	const struct field *fields;
	int (*compare)(const void *, const void *);
	bool (*good)(const void *); /* what is not is skipped */
} kinds[] = {
	{"health", offsetof(struct memory, health), sizeof(struct message_health), health_fields,
	 health_compare, health_good},
	{"vrrp", offsetof(struct memory, vrrp), sizeof(struct message_vrrp), vrrp_fields,
	 vrrp_compare, vrrp_good},
	{"turns", offsetof(struct memory, turns), sizeof(struct message_turn), turn_fields,
	 turn_compare, turn_good},
	{"held", offsetof(struct memory, held), sizeof(struct message_operator), held_fields,
	 held_compare, held_good},
	{"tracks", offsetof(struct memory, tracks), sizeof(struct message_track), track_fields,
	 track_compare, track_good},
	{"tally", offsetof(struct memory, tally), sizeof(struct message_tally), tally_fields,
	 tally_compare, tally_good},
	{"missed_health", offsetof(struct memory, missed_health), sizeof(struct message_health),
	 health_fields, health_compare, health_good},
	{"missed_vrrp", offsetof(struct memory, missed_vrrp), sizeof(struct message_vrrp),
	 vrrp_fields, vrrp_compare, vrrp_good},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static void **tree_of(struct memory *memory, const struct kind *kind)
{
	return (void **)((char *)memory + kind->tree);
}

/* ---- writing ---- */

static json_int_t number_get(const struct field *f, const char *at)
{
	uint64_t value = 0;
	unsigned shift = (unsigned)(8 * (sizeof(value) - f->size));

	memcpy(&value, at, f->size); /* little-endian, as every machine that runs us */
	value <<= shift;
	return (json_int_t)(f->is_signed ? (uint64_t)((int64_t)value >> shift) : value >> shift);
}

static json_t *field_write(const struct field *f, const char *at)
{
	char text[INET6_ADDRSTRLEN];

	if (f->type == FIELD_TEXT)
		return json_stringn(at, strnlen(at, f->size));
	if (f->type == FIELD_ADDR)
		return json_string(addr_format((const struct addr *)(const void *)at, text));
	return json_integer(number_get(f, at));
}

struct writing {
	const struct field *fields;
	json_t *rows;
};

static void row_write(const void *node, VISIT visit, void *arg)
{
	const struct writing *w = arg;
	const char *message = *(char *const *)node;
	json_t *row;

	if (visit != preorder && visit != leaf)
		return;
	row = json_object();
	for (const struct field *f = w->fields; f->name; f++)
		json_object_set_new(row, f->name, field_write(f, message + f->offset));
	json_array_append_new(w->rows, row);
}

static json_t *processes_write(const struct parent *p)
{
	json_t *rows = json_array();

	for (int role = 0; role < ROLE_COUNT; role++) {
		const struct process *c = &p->processes[role];
		bool stays = c->pid > 0 && c->channel;
		int pid = stays ? (int)c->pid : 0;
		int channel = stays ? channel_fd(c->channel) : -1;

		if (c->before_pid > 0) { /* it serves, until one that follows it does */
			pid = (int)c->before_pid;
			channel = c->before_fd;
		}
		json_array_append_new(rows, json_pack("{s:s, s:i, s:i, s:i}", "role",
						      c->child->role, "pid", pid, "channel",
						      channel, "restarts", (int)c->restarts));
	}
	return rows;
}

static json_t *kept_write(const struct parent *p)
{
	json_t *all = json_object();

	for (int i = 0; i < KEPT_MOST; i++) {
		if (p->kept[i].name[0])
			json_object_set_new(all, p->kept[i].name, json_integer(p->kept[i].fd));
	}
	return all;
}

int state_write(const struct parent *p)
{
	json_t *all =
		json_pack("{s:i, s:s, s:i, s:i, s:b, s:i}", "format", STATE_FORMAT, "version",
			  SLUICE_VERSION, "abi", (int)p->abi, "generation", (int)p->generation,
			  "lb_ready", (int)p->lb_ready, "in_sync", (int)p->memory->sync.in_sync);
	int fd = memfd_create("sluice-state", 0), r = 0;

	json_object_set_new(all, "processes", processes_write(p));
	json_object_set_new(all, "kept", kept_write(p));
	for (int i = 0; i < KINDS; i++) {
		struct writing w = {kinds[i].fields, json_array()};

		twalk_r(*tree_of(p->memory, &kinds[i]), row_write, &w);
		json_object_set_new(all, kinds[i].name, w.rows);
	}
	if (fd < 0)
		r = -errno;
	else if (!all || json_dumpfd(all, fd, JSON_COMPACT) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		r = -ENOMEM;
	json_decref(all);
	if (r < 0 && fd >= 0)
		close(fd);
	return r < 0 ? r : fd;
}

/* ---- reading ---- */

static void field_read(const struct field *f, const json_t *value, char *at)
{
	const char *text = json_string_value(value);
	json_int_t number = json_integer_value(value);

	if (f->type == FIELD_NUMBER)
		memcpy(at, &number, f->size);
	else if (f->type == FIELD_TEXT)
		snprintf(at, f->size, "%s", text ? text : "");
	else if (text)
		addr_parse(text, (struct addr *)(void *)at);
}

static void rows_read(const struct kind *kind, const json_t *rows, struct memory *memory)
{
	size_t i;
	json_t *row;

	json_array_foreach(rows, i, row)
	{
		char *message = calloc(1, kind->size);

		if (!message)
			return;
		for (const struct field *f = kind->fields; f->name; f++)
			field_read(f, json_object_get(row, f->name), message + f->offset);
		if (kind->good(message))
			remember(tree_of(memory, kind), message, kind->size, kind->compare);
		free(message);
	}
}

static int number_of(const json_t *object, const char *key)
{
	return (int)json_integer_value(json_object_get(object, key));
}

static void processes_read(struct parent *p, const json_t *rows)
{
	size_t i;
	json_t *row;

	json_array_foreach(rows, i, row)
	{
		const char *role = json_string_value(json_object_get(row, "role"));

		for (int k = 0; role && k < ROLE_COUNT; k++) {
			struct process *c = &p->processes[k];

			if (strcmp(c->child->role, role) != 0)
				continue;
			c->restarts = (uint32_t)number_of(row, "restarts");
			c->before_pid = number_of(row, "pid");
			c->before_fd = c->before_pid > 0 ? number_of(row, "channel") : -1;
		}
	}
}

static int refused(const json_t *all, const struct parent *p, char why[static STATE_WHY])
{
	const char *version = json_string_value(json_object_get(all, "version"));
	int format = number_of(all, "format"), abi = number_of(all, "abi");

	if (format < 1 || format > STATE_FORMAT)
		snprintf(why, STATE_WHY,
			 "%s is older than %s, which runs: it does not know what that remembers "
			 "(format %d, ours %d)",
			 SLUICE_VERSION, version ? version : "?", format, STATE_FORMAT);
	else if (abi > (int)p->abi)
		snprintf(why, STATE_WHY,
			 "%s is older than %s, which runs: it does not know that one's data plane "
			 "(abi %d, ours %d)",
			 SLUICE_VERSION, version ? version : "?", abi, (int)p->abi);
	else
		return 0;
	return -EPROTO;
}

int state_read(int fd, struct parent *p, char why[static STATE_WHY])
{
	json_error_t error;
	json_t *all = json_loadfd(fd, 0, &error);
	const char *name;
	json_t *kept;

	if (!json_is_object(all)) {
		snprintf(why, STATE_WHY, "what the one before us remembers cannot be read: %s",
			 error.text);
		json_decref(all);
		return -EPROTO;
	}
	if (refused(all, p, why) < 0) {
		json_decref(all);
		return -EPROTO;
	}
	p->generation = (uint32_t)number_of(all, "generation");
	p->lb_ready = json_is_true(json_object_get(all, "lb_ready"));
	p->memory->sync.in_sync = number_of(all, "in_sync") == 1;
	processes_read(p, json_object_get(all, "processes"));
	json_object_foreach(json_object_get(all, "kept"), name, kept)
	{
		parent_keep(p, name, (int)json_integer_value(kept));
	}
	for (int i = 0; i < KINDS; i++)
		rows_read(&kinds[i], json_object_get(all, kinds[i].name), p->memory);
	json_decref(all);
	return 0;
}
