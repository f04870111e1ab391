/* SPDX-License-Identifier: BSD-2-Clause */
/* config_build.h: the configuration while it is being built, shared by config_*.c only.
 *
 * Each list of the file is read by one file into an array here; config_load.c then lays them out in
 * one block. A thing keeps the setting that it came from, so that a later check can name the place.
 */
#ifndef SLUICE_BASE_CONFIG_BUILD_H
#define SLUICE_BASE_CONFIG_BUILD_H

#include "base/config_read.h"

struct built_pool {
	struct config_pool value;
	const config_setting_t *setting;
	bool used;		  /* by a service */
	bool portless;		  /* its probe asks no port */
	bool port_served;	  /* a service of it has the port that the probe asks */
	bool mode_unread;	  /* "mode" was no mode: what depends on it is not told */
	uint16_t port;		  /* of the pool; 0 = none */
	uint32_t max_connections; /* of its backends, unless they have their own */
};

struct built_backend {
	struct config_backend value;
	const config_setting_t *setting;
};

struct built_file {
	char path[CONFIG_PATH_SIZE];
	char *bytes;
	size_t size_bytes;
};

struct built_service {
	struct config_service value;
	const config_setting_t *setting;
};

struct built_instance {
	struct config_instance value;
	const config_setting_t *setting;
};

struct builder {
	struct reader reader;
	const char *node; /* the name asked for */
	const struct probe_schema *const *schemas;
	struct config head; /* without the arrays */
	const char *nodes[CONFIG_NODES + 1];
	struct built_pool *pools;
	struct built_backend **backends; /* pointers: the trees below hold them */
	struct built_service **services;
	struct built_instance *instances;
	struct config_track *tracks;
	struct built_file *files;
	uint32_t n_pools, n_backends, n_services, n_instances, n_tracks, n_files;
	void *backend_names, *backend_addresses; /* tsearch trees: duplicates in a pool */
	void *service_keys;
	bool vip_unread; /* an address of "vrrp" was no address: it may be the one missed later */
};

/* nodes, and which of them is this one. */
void build_nodes(struct builder *b, const config_setting_t *root);
void build_vrrp(struct builder *b, const config_setting_t *root);
/* build_tracks: "track"; after build_vrrp(), build_pools() and build_sync(). */
void build_tracks(struct builder *b, const config_setting_t *root);
/* build_sync: "sync": what the nodes tell each other, over which links; after build_nodes(). */
void build_sync(struct builder *b, const config_setting_t *root);
/* build_announce: "announce". build_announce_check: may the service's vip be announced by every
 * node at once?
 */
void build_announce(struct builder *b, const config_setting_t *root);
void build_announce_check(struct builder *b, const struct built_service *s);
/* vip_taken: is it a virtual address of an instance that was read? */
bool vip_taken(const struct builder *b, const struct addr *addr);
/* node_named: the index of a node of the file, or -1 (told at @s). */
int node_named(struct builder *b, const config_setting_t *s, const char *name);
/* node_addresses: member @key of @group, an address for each node:
 * { lb1 = "192.0.2.2"; lb2 = "192.0.2.3"; } or ( { node = "lb-1"; address = "192.0.2.2"; }, ... );
 * all of one family. True when *ret_addresses, by the nodes' order, was set.
 */
bool node_addresses(struct builder *b, const config_setting_t *group, const char *key,
		    struct addr ret_addresses[static CONFIG_NODES]);
void build_pools(struct builder *b, const config_setting_t *root);
void build_services(struct builder *b, const config_setting_t *root);
/* build_probe, build_agent, build_heal: how a pool's backends are asked, and healed. */
void build_probe(struct builder *b, const config_setting_t *pool, struct built_pool *p);
void build_agent(struct builder *b, const config_setting_t *pool, struct built_pool *p);
void build_heal(struct builder *b, const config_setting_t *pool, struct built_pool *p);
/* build_hooks: "on_change". */
void build_hooks(struct builder *b, const config_setting_t *root);
/* build_file: the file whose path is the value of @key, to be held by the configuration; its
 * number for config_file(), 0 = there is no such key, or the mistake was told.
 */
uint32_t build_file(struct builder *b, const config_setting_t *group, const char *key);
/* build_pem_check: do the files hold what "tls_ca", "tls_cert" and "tls_key" must be? Else told. */
void build_pem_check(struct builder *b, const config_setting_t *group,
		     const struct config_certificate *c);
/* build_secret: as KEY_SECRET; a file that others may read is a mistake. */
void build_secret(struct builder *b, const config_setting_t *group, const char *key, enum need need,
		  char *ret, size_t size);
/* build_list: as KEY_LIST; true when *ret was set. */
bool build_list(struct builder *b, const config_setting_t *group, const char *key, enum need need,
		char *ret, size_t size);
/* build_command: "command" (@need) and "timeout" of a group. */
void build_command(struct builder *b, const config_setting_t *group, enum need need,
		   uint32_t default_ms, struct config_command *ret);
/* build_mode, build_balancing: a pool's forward mode with its settings, and its options; before its
 * backends. build_modes_check: what these and the backends say together.
 */
void build_mode(struct builder *b, const config_setting_t *s, struct built_pool *pool);
void build_balancing(struct builder *b, const config_setting_t *s, struct built_pool *pool);
void build_modes_check(struct builder *b, const struct built_pool *pool);
/* build_backup_pools: "backup_pool" of each pool; when all of them were read. */
void build_backup_pools(struct builder *b);
/* pool_named: the index, or -1 (told at the member @key of @s). */
int pool_named(struct builder *b, const config_setting_t *s, const char *key);
/* build_nat_ports: this node's share of fullnat's source ports; after build_nodes(). */
void build_nat_ports(struct builder *b, const config_setting_t *root);
/* build_check: what can only be said when everything was read. */
void build_check(struct builder *b);

/* array_grow: one more zeroed element; NULL when out of memory (told). */
void *array_grow(struct builder *b, void *array_pointer, uint32_t *n, size_t element);

#endif
