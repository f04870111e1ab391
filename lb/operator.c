/* SPDX-License-Identifier: BSD-2-Clause */
/* operator.c: see operator.h. The file is JSON, so that it can be read, and mended, by hand:
 * {"version": 1, "backends": [{"pool": "mx", "backend": "mx2", "state": "drain", "weight": 50,
 * "since": 1700000000, "changed_ms": 1700000000123, "node": "1f0e2d3c4b5a6978"}]}
 * changed_ms and node: only where there are partners; an entry that ends something is kept there.
 */
#include "lb/operator.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

static const char *const state_names[] = OPERATOR_NAMES;

/* ---- reading ---- */

static bool name_read(const json_t *row, const char *key, char ret[static NAME_SIZE])
{
	const char *text = json_string_value(json_object_get(row, key));

	if (!text || !*text || strlen(text) >= NAME_SIZE)
		return false;
	strcpy(ret, text);
	return true;
}

static bool state_read(const json_t *row, enum operator_state *ret)
{
	const char *text = json_string_value(json_object_get(row, "state"));

	for (int i = 0; text && i <= OPERATOR_DISABLED; i++) {
		if (strcmp(text, state_names[i]) == 0) {
			*ret = (enum operator_state)i;
			return true;
		}
	}
	return false;
}

/* Of a version without partners: said when it began. */
static bool changed_read(const json_t *row, struct operator_entry *e)
{
	const json_t *changed = json_object_get(row, "changed_ms");
	const char *node = json_string_value(json_object_get(row, "node"));

	if (changed && (!json_is_integer(changed) || json_integer_value(changed) < 0))
		return false;
	e->changed_ms = changed ? json_integer_value(changed) : e->since_s * 1000;
	e->node = node ? strtoull(node, NULL, 16) : 0;
	return true;
}

static bool entry_read(const json_t *row, struct operator_entry *ret)
{
	const json_t *weight = json_object_get(row, "weight");
	const json_t *since = json_object_get(row, "since");
	struct operator_entry e = {.weight = WEIGHT_NONE};

	if (!name_read(row, "pool", e.pool) || !name_read(row, "backend", e.backend) ||
	    !state_read(row, &e.state))
		return false;
	if (weight) {
		if (!json_is_integer(weight) || json_integer_value(weight) < 0 ||
		    json_integer_value(weight) > CONFIG_WEIGHT)
			return false;
		e.weight = (int32_t)json_integer_value(weight);
	}
	if (since && (!json_is_integer(since) || json_integer_value(since) < 0))
		return false;
	e.since_s = json_integer_value(since);
	if (!changed_read(row, &e))
		return false;
	*ret = e;
	return true;
}

static int entries_read(const json_t *root, struct operator_entry **ret, uint32_t *ret_n)
{
	const json_t *rows = json_object_get(root, "backends");
	size_t n = json_array_size(rows);
	struct operator_entry *entries;

	if (!json_is_array(rows) || n > OPERATOR_ENTRIES_MOST)
		return -EINVAL;
	entries = calloc(n + 1, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (!entry_read(json_array_get(rows, i), &entries[i])) {
			free(entries);
			return -EINVAL;
		}
	}
	*ret = entries;
	*ret_n = (uint32_t)n;
	return 0;
}

static void set_aside(const char *path, const char *why)
{
	char aside[CONFIG_PATH_SIZE + 16];

	snprintf(aside, sizeof(aside), "%s.damaged", path);
	rename(path, aside);
	log_warning("operator's states lost: file=%s error=\"%s\" kept_as=%s", path, why, aside);
}

int operator_load(const char *path, struct operator_entry **ret_entries, uint32_t *ret_n)
{
	json_error_t error = {.text = "not what operator.json holds"};
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), r;
	struct stat st;
	json_t *root;

	if (fd < 0 && errno == ENOENT) {
		*ret_entries = NULL;
		*ret_n = 0;
		return 0;
	}
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > OPERATOR_FILE_MOST) {
		close(fd);
		set_aside(path, "not a file of that kind");
		return -EINVAL;
	}
	root = json_loadfd(fd, JSON_REJECT_DUPLICATES, &error);
	close(fd);
	r = root ? entries_read(root, ret_entries, ret_n) : -EINVAL;
	if (r == -EINVAL)
		set_aside(path, root ? "not what operator.json holds" : error.text);
	json_decref(root);
	return r;
}

/* ---- ends ---- */

bool operator_is_end(const struct operator_entry *e)
{
	return e->state == OPERATOR_ENABLED && e->weight == WEIGHT_NONE;
}

/* What is said first, then ends, the last one first. */
static int ends_last(const void *a, const void *b)
{
	const struct operator_entry *x = a, *y = b;
	bool x_end = operator_is_end(x), y_end = operator_is_end(y);

	if (x_end != y_end)
		return x_end ? 1 : -1;
	return (x->changed_ms < y->changed_ms) - (x->changed_ms > y->changed_ms);
}

uint32_t operator_forget(struct operator_entry *entries, uint32_t n, int64_t now_s, bool told)
{
	uint32_t kept = 0, ends = 0;

	for (uint32_t i = 0; i < n; i++) {
		bool end = operator_is_end(&entries[i]);

		if (end && (entries[i].node == 0 ||
			    (told && now_s - entries[i].changed_ms / 1000 >= OPERATOR_END_KEEP_S)))
			continue;
		ends += end;
		if (kept != i)
			entries[kept] = entries[i];
		kept++;
	}
	if (ends <= OPERATOR_ENDS_MOST)
		return kept;
	qsort(entries, kept, sizeof(*entries), ends_last);
	return kept - (ends - OPERATOR_ENDS_MOST);
}

/* ---- writing ---- */

static void changed_write(json_t *row, const struct operator_entry *e)
{
	char node[17];

	snprintf(node, sizeof(node), "%016llx", (unsigned long long)e->node);
	json_object_set_new(row, "changed_ms", json_integer(e->changed_ms));
	json_object_set_new(row, "node", json_string(node));
}

static json_t *entries_write(const struct operator_entry *entries, uint32_t n)
{
	json_t *rows = json_array();

	for (uint32_t i = 0; i < n; i++) {
		const struct operator_entry *e = &entries[i];
		json_t *row;

		if (operator_is_end(e) && e->node == 0)
			continue;
		row = json_pack("{s:s, s:s, s:s}", "pool", e->pool, "backend", e->backend, "state",
				state_names[e->state]);
		if (row && e->weight != WEIGHT_NONE)
			json_object_set_new(row, "weight", json_integer(e->weight));
		if (row && e->since_s > 0)
			json_object_set_new(row, "since", json_integer(e->since_s));
		if (row && e->node)
			changed_write(row, e);
		if (json_array_append_new(rows, row) < 0) {
			json_decref(rows);
			return NULL;
		}
	}
	return json_pack("{s:i, s:o}", "version", 1, "backends", rows);
}

int operator_save(const char *path, const struct operator_entry *entries, uint32_t n)
{
	char beside[CONFIG_PATH_SIZE + 16];
	json_t *root = entries_write(entries, n);
	int fd, r = 0;

	if (!root)
		return -ENOMEM;
	snprintf(beside, sizeof(beside), "%s.new", path);
	fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		r = -errno;
	} else {
		if (json_dumpfd(root, fd, JSON_INDENT(2)) < 0 || write(fd, "\n", 1) != 1)
			r = -EIO;
		else if (fsync(fd) < 0)
			r = -errno;
		close(fd);
		if (r == 0 && rename(beside, path) < 0)
			r = -errno;
		if (r < 0)
			unlink(beside);
	}
	json_decref(root);
	return r;
}
