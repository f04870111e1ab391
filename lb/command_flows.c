/* SPDX-License-Identifier: BSD-2-Clause */
/* command_flows.c: `show flows`: a walk through the flow table, a batch a turn of the event loop,
 * so that nothing else waits however many entries there are. Rows go out as they are found, up to
 * the limit; after it the walk only counts. What comes and goes meanwhile may be there or not.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lb/control.h"
#include "lb/flows.h"
#include "lb/plane.h"
#include "lb/see.h"

enum { BATCH = 2048, BATCH_MOST = 1 << 16, LIMIT = 1000, LIMIT_MOST = 100000, BACKLOG = 4 << 20 };

struct walk {
	struct client *client;
	struct event *timer;
	int fd; /* of the table; ours: it may be replaced meanwhile */
	bool begun;
	uint32_t position; /* of the kernel's walk */
	struct {
		uint32_t addr[4], mask[4];
		const char *backend, *pool; /* in `words`; NULL = all */
		const char *service;
		char words[3 * NAME_SIZE];
	} filter;
	json_int_t limit, matched, total, shown;
	uint32_t batch; /* size of the arrays */
	struct flow_key *keys;
	struct flow *flows;
};

static void walk_free(void *owner)
{
	struct walk *w = owner;

	if (w->timer)
		event_free(w->timer);
	if (w->fd >= 0)
		close(w->fd);
	free(w->keys);
	free(w->flows);
	free(w);
}

/* ---- one entry ---- */

static const struct current_service *service_of(const struct current *c, const struct flow_key *key)
{
	const struct current_service *s =
		key->service < SERVICE_MAX ? &c->services[key->service] : NULL;

	return s && s->used ? s : NULL;
}

static bool is_wanted(const struct walk *w, const struct current *c, const struct flow_key *key,
		      const struct flow *f)
{
	const struct current_service *s = service_of(c, key);
	const struct current_backend *b =
		f->backend < CURRENT_BACKENDS ? &c->backends[f->backend] : NULL;
	uint32_t src[4];

	memcpy(src, key->src, sizeof(src));
	for (int i = 0; i < 4; i++) {
		if ((src[i] ^ w->filter.addr[i]) & w->filter.mask[i])
			return false;
	}
	if (w->filter.service && (!s || strcmp(s->name, w->filter.service) != 0))
		return false;
	if (w->filter.backend && (!b || !b->used || strcmp(b->name, w->filter.backend) != 0))
		return false;
	return !w->filter.pool || (b && strcmp(b->pool_name, w->filter.pool) == 0);
}

static json_t *flow_row(const struct current *c, const struct flow_key *key, const struct flow *f,
			uint32_t now_s)
{
	const struct current_service *s = service_of(c, key);
	char client[SEE_ADDR], vip[SEE_ADDR] = "", backend[2 * NAME_SIZE];

	if (s)
		see_endpoint(s->key.addr, s->key.port, vip);
	return json_pack("{s:s, s:s, s:s, s:s, s:i, s:s}", "client",
			 see_endpoint(key->src, key->sport, client), "vip", vip, "service",
			 s ? s->name : "removed", "backend", see_backend(c, f->backend, backend),
			 "silent_s", (int)flow_silent_s(f, now_s), "state",
			 f->flags & FLOW_CLOSING ? "closing" : "live");
}

/* ---- the walk ---- */

static void batch_tell(struct walk *w, uint32_t n)
{
	const struct current *c = client_lb(w->client)->current;
	uint32_t now_s = clock_now_s();
	json_t *rows = json_array();

	for (uint32_t i = 0; i < n; i++) {
		w->total++;
		if (!is_wanted(w, c, &w->keys[i], &w->flows[i]))
			continue;
		w->matched++;
		if (w->shown == w->limit)
			continue;
		w->shown++;
		json_array_append_new(rows, flow_row(c, &w->keys[i], &w->flows[i], now_s));
	}
	if (json_array_size(rows) > 0)
		client_more(w->client, json_pack("{s:o}", "flows", rows));
	else
		json_decref(rows);
}

/* A bucket that is larger than a batch cannot be read in part. */
static int batch_grow(struct walk *w, uint32_t size)
{
	struct flow_key *keys = reallocarray(w->keys, size, sizeof(*keys));
	struct flow *flows;

	if (!keys)
		return -ENOMEM;
	w->keys = keys;
	flows = reallocarray(w->flows, size, sizeof(*flows));
	if (!flows)
		return -ENOMEM;
	w->flows = flows;
	w->batch = size;
	return 0;
}

/* 0: go on; 1: that was the last; or -errno. */
static int batch_read(struct walk *w)
{
	uint32_t n = w->batch, next = w->position;
	int r = bpf_map_lookup_batch(w->fd, w->begun ? &w->position : NULL, &next, w->keys,
				     w->flows, &n, NULL);

	if (r == -ENOSPC && w->batch < BATCH_MOST)
		return batch_grow(w, 2 * w->batch);
	if (r < 0 && r != -ENOENT)
		return r;
	w->begun = true;
	w->position = next;
	batch_tell(w, n);
	return r == -ENOENT;
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct walk *w = arg;
	struct client *client = w->client;
	json_t *end;
	int r;

	(void)fd;
	(void)what;
	if (client_backlog(client) > BACKLOG) { /* it reads more slowly than we find */
		event_add(w->timer, &(struct timeval){.tv_usec = 20000});
		return;
	}
	r = batch_read(w);
	if (r == 0) {
		event_add(w->timer, &(struct timeval){.tv_usec = 1000});
		return;
	}
	end = json_pack("{s:I, s:I, s:I}", "shown", w->shown, "matched", w->matched, "total",
			w->total);
	walk_free(w);
	if (r > 0) {
		client_done(client, end);
		return;
	}
	json_decref(end);
	client_fail(client, "the flow table cannot be read: %s", strerror(-r));
}

/* ---- the request ---- */

static const char *word_keep(char **at, const char *word)
{
	char *kept = *at;

	if (!word)
		return NULL;
	strcpy(kept, word);
	*at += strlen(word) + 1;
	return kept;
}

static bool filter_read(struct walk *w, const json_t *request)
{
	const char *backend = json_string_value(json_object_get(request, "backend"));
	const char *service = json_string_value(json_object_get(request, "service"));
	const char *from = json_string_value(json_object_get(request, "client"));
	const json_t *limit = json_object_get(request, "limit");
	char *at = w->filter.words, *slash;

	w->limit = limit ? json_integer_value(limit) : LIMIT;
	if (w->limit < 0 || w->limit > LIMIT_MOST) {
		client_fail(w->client, "limit is 0 to %d", LIMIT_MOST);
		return false;
	}
	if (from && see_prefix_parse(from, w->filter.addr, w->filter.mask) < 0) {
		client_fail(w->client, "\"%.64s\" is not an address or a prefix", from);
		return false;
	}
	if ((backend && strlen(backend) >= 2 * NAME_SIZE) ||
	    (service && strlen(service) >= NAME_SIZE)) {
		client_fail(w->client, "there is no such name; see: sluice show backends");
		return false;
	}
	w->filter.service = word_keep(&at, service);
	w->filter.backend = word_keep(&at, backend);
	slash = backend ? strchr(w->filter.backend, '/') : NULL;
	if (slash) {
		*slash = '\0';
		w->filter.pool = w->filter.backend;
		w->filter.backend = slash + 1;
	}
	return true;
}

void show_flows(struct client *client, const json_t *request)
{
	struct lb *lb = client_lb(client);
	struct walk *w = calloc(1, sizeof(*w));

	if (!w) {
		client_fail(client, "out of memory");
		return;
	}
	w->client = client;
	w->fd = -1;
	if (!filter_read(w, request)) {
		walk_free(w);
		return;
	}
	w->fd = fcntl(lb->plane->maps[MAP_FLOWS], F_DUPFD_CLOEXEC, 3);
	w->timer = event_new(lb->loop, -1, 0, on_turn, w);
	if (w->fd < 0 || !w->timer || batch_grow(w, BATCH) < 0) {
		walk_free(w);
		client_fail(client, "there is no flow table yet, or no memory; try again");
		return;
	}
	client_hold(client, walk_free, w);
	event_add(w->timer, &(struct timeval){0});
}
