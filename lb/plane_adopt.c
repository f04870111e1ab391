/* SPDX-License-Identifier: BSD-2-Clause */
/* plane_adopt.c: read what a process before us left in the pinned maps.
 *
 * `names` says which numbers are in use; a number without a name is half-made and is wiped. Nothing
 * that is read is trusted further than the bounds of the arrays it goes to.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "lb/plane.h"

static bool is_terminated(const struct name_record *record)
{
	return memchr(record->pool, '\0', sizeof(record->pool)) &&
	       memchr(record->name, '\0', sizeof(record->name));
}

/* ---- names: backends, pools, settings ---- */

static void backend_adopt(const struct plane *plane, uint32_t number,
			  const struct name_record *record, struct current *c)
{
	struct current_backend *b = &c->backends[number];

	b->used = true;
	memcpy(b->pool_name, record->pool, sizeof(b->pool_name));
	memcpy(b->name, record->name, sizeof(b->name));
	b->plane = plane->backends[number];
	if (number >= c->next_backend)
		c->next_backend = (number + 1) % CURRENT_BACKENDS;
}

static void name_adopt(const struct plane *plane, uint32_t key, const struct name_record *record,
		       struct current *c)
{
	uint32_t number = key & 0xffff;

	switch (key >> 16) {
	case NAME_BACKEND:
		if (number < CURRENT_BACKENDS)
			backend_adopt(plane, number, record, c);
		break;
	case NAME_POOL:
		if (number >= POOL_MAX)
			break;
		c->pools[number].used = true;
		c->pools[number].idle_timeout_s = record->idle_timeout_s;
		bpf_map_lookup_elem(plane->maps[MAP_NAT_POOLS], &number, &c->pools[number].nat);
		memcpy(c->pools[number].name, record->name, sizeof(record->name));
		break;
	case NAME_SERVICE: /* used is said by the map `services` */
		if (number < SERVICE_MAX)
			memcpy(c->services[number].name, record->name, sizeof(record->name));
		break;
	case NAME_SETTINGS:
		if (record->slots < SLOTS_LEAST || record->slots > SLOTS_MOST)
			break;
		c->settings.slots = record->slots;
		c->settings.key_print = record->key_print;
		c->settings.nat_port_first = record->nat_port_first;
		c->settings.nat_port_last = record->nat_port_last;
		break;
	}
}

static void names_adopt(const struct plane *plane, struct current *c)
{
	uint32_t key, next;
	const uint32_t *from = NULL;
	struct name_record record;

	while (bpf_map_get_next_key(plane->maps[MAP_NAMES], from, &next) == 0) {
		key = next;
		from = &key;
		if (bpf_map_lookup_elem(plane->maps[MAP_NAMES], &key, &record) == 0 &&
		    is_terminated(&record))
			name_adopt(plane, key, &record, c);
	}
	for (uint32_t i = 0; i < BACKEND_MAX; i++) {
		if (i >= CURRENT_BACKENDS || !c->backends[i].used)
			memset(&plane->backends[i], 0, sizeof(plane->backends[i]));
	}
}

/* ---- services ---- */

static void services_adopt(const struct plane *plane, struct current *c)
{
	struct service_key key, next, *from = NULL;
	struct service value;

	while (bpf_map_get_next_key(plane->maps[MAP_SERVICES], from, &next) == 0) {
		key = next;
		from = &key;
		if (bpf_map_lookup_elem(plane->maps[MAP_SERVICES], &key, &value) < 0 ||
		    key.protocol == 0 || value.id >= SERVICE_MAX || c->services[value.id].used)
			continue;
		c->services[value.id].used = true;
		c->services[value.id].key = key;
		c->services[value.id].plane = value;
		c->services[value.id].own_pool = value.pool; /* as far as one can see */
		c->services[value.id].backup_pool = POOL_MAX;
		if (value.id >= c->next_service)
			c->next_service = (value.id + 1) % SERVICE_MAX;
	}
}

/* ---- tables ---- */

static int words_read(int fd, uint32_t n, struct slots4 *ret_words)
{
	uint32_t *keys = calloc(n, sizeof(*keys)), position, count = n;
	int r = -ENOMEM;

	if (keys)
		r = bpf_map_lookup_batch(fd, NULL, &position, keys, ret_words, &count, NULL);
	free(keys);
	if (r < 0 && r != -ENOENT)
		return r;
	return count == n ? 0 : -EPROTO;
}

/* The inner map of a pool, by the id that user space sees in its place; the fd or -errno. */
static int inner_open(const struct plane *plane, uint32_t pool, uint32_t entries)
{
	struct bpf_map_info info = {0};
	uint32_t id, size = sizeof(info);
	int fd, r = bpf_map_lookup_elem(plane->maps[MAP_TABLES], &pool, &id);

	if (r < 0)
		return r;
	fd = bpf_map_get_fd_by_id(id);
	if (fd < 0)
		return fd;
	r = bpf_obj_get_info_by_fd(fd, &info, &size);
	if (r == 0 && (info.max_entries != entries || info.value_size != sizeof(struct slots4)))
		r = -EPROTO;
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

static int table_read(struct plane *plane, uint32_t pool, uint32_t now_s, struct current *c)
{
	uint32_t slots = c->settings.slots, n = 2 * SLOTS_WORDS(slots);
	struct slots4 *words = calloc(n, sizeof(*words));
	int fd = words ? inner_open(plane, pool, n) : -ENOMEM;
	int r = fd < 0 ? fd : words_read(fd, n, words);

	if (fd >= 0 && r < 0)
		close(fd);
	else if (fd >= 0)
		plane->tables[pool] = fd; /* that could not be opened later */
	if (r == 0)
		r = table_adopt(words, slots, c->pools[pool].idle_timeout_s, now_s,
				&c->pools[pool].table);
	free(words);
	return r;
}

/* A backend that owns a slot was taking new connections. */
static void owners_mark(const struct table *t, struct current *c)
{
	for (uint32_t i = 0; i < t->n; i++) {
		uint32_t owner = t->slots[i].owner & SLOT_BACKEND;

		if (owner < CURRENT_BACKENDS && c->backends[owner].used)
			c->backends[owner].takes_new = true;
	}
}

static int tables_adopt(struct plane *plane, uint32_t now_s, struct current *c)
{
	for (uint32_t i = 0; i < POOL_MAX; i++) {
		int r;

		if (!c->pools[i].used)
			continue;
		r = table_read(plane, i, now_s, c);
		if (r == -ENOENT || r == -EPROTO)
			log_warning("table not adopted, building it anew: pool=%s error=%s",
				    c->pools[i].name, strerror(-r));
		else if (r < 0)
			return r;
		c->pools[i].unsettle = r < 0; /* its flows are there all the same */
		owners_mark(&c->pools[i].table, c);
	}
	return 0;
}

/* ---- links ---- */

/* The interface's name from that of the pin; false when it is none. */
static bool name_unescape(const char *pin, char ret_name[static IFNAMSIZ])
{
	size_t n = 0;

	if (strncmp(pin, "link_", 5) != 0)
		return false;
	for (pin += 5; *pin && n < IFNAMSIZ - 1; pin++) {
		unsigned byte = (uint8_t)*pin;

		if (*pin == '%') {
			if (sscanf(pin + 1, "%2x", &byte) != 1)
				return false;
			pin += 2;
		}
		ret_name[n++] = (char)byte;
	}
	ret_name[n] = '\0';
	return n > 0 && *pin == '\0';
}

static enum attach_mode mode_of(uint32_t ifindex)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, opts);

	if (bpf_xdp_query((int)ifindex, 0, &opts) < 0)
		return ATTACH_NONE;
	return opts.attach_mode == XDP_ATTACHED_SKB ? ATTACH_GENERIC : ATTACH_NATIVE;
}

static void link_adopt(struct plane *plane, uint32_t number, const char *pin, struct current *c)
{
	struct current_interface *interface = &c->interfaces[number];
	struct bpf_link_info info = {0};
	uint32_t size = sizeof(info);
	char path[2 * PLANE_PATH];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", plane->dir, pin);
	fd = bpf_obj_get(path);
	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size) < 0 ||
	    info.type != BPF_LINK_TYPE_XDP || info.xdp.ifindex == 0 ||
	    !name_unescape(pin, interface->name)) {
		log_warning("link not adopted, removing its pin: path=%s", path);
		unlink(path);
		if (fd >= 0)
			close(fd);
		return;
	}
	interface->used = true;
	interface->ifindex = info.xdp.ifindex;
	interface->mode = mode_of(info.xdp.ifindex);
	interface->probe_attached = plane_probe_attached(info.xdp.ifindex);
	plane->links[number] = fd;
}

static uint32_t links_adopt(struct plane *plane, struct current *c)
{
	DIR *dir = opendir(plane->dir);
	struct dirent *e;
	uint32_t n = 0;

	while (dir && n < CURRENT_INTERFACES && (e = readdir(dir)) != NULL) {
		if (strncmp(e->d_name, "link_", 5) != 0)
			continue;
		link_adopt(plane, n, e->d_name, c);
		n += c->interfaces[n].used;
	}
	if (dir)
		closedir(dir);
	return n;
}

int plane_adopt(struct plane *plane, uint32_t now_s, struct current *c)
{
	struct bpf_map_info info = {0};
	uint32_t size = sizeof(info), links;
	int r = 0;

	links = links_adopt(plane, c);
	if (plane->maps[MAP_NAMES] < 0 || plane->maps[MAP_SERVICES] < 0 ||
	    plane->maps[MAP_TABLES] < 0 || plane->maps[MAP_BACKENDS] < 0)
		return links > 0;
	names_adopt(plane, c);
	if (c->settings.slots == 0) {
		memset(c->pools, 0, sizeof(c->pools));
		return links > 0;
	}
	plane->settings.slots = c->settings.slots;
	if (bpf_obj_get_info_by_fd(plane->maps[MAP_FLOWS], &info, &size) == 0)
		c->settings.flow_limit = info.max_entries;
	services_adopt(plane, c);
	plane_probes_adopt(plane, &c->probes);
	r = tables_adopt(plane, now_s, c);
	return r < 0 ? r : 1;
}
