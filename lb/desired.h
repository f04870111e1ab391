/* SPDX-License-Identifier: BSD-2-Clause */
/* desired.h: what is wanted of the data plane; a pure function of the inputs. */
#ifndef SLUICE_LB_DESIRED_H
#define SLUICE_LB_DESIRED_H

#include "lb/current.h"
#include "lb/maglev.h"
#include "lb/state.h"

struct desired_backend {
	const struct config_backend *conf;
	const struct config_pool *pool;
	bool takes_new; /* new connections come here */
	bool alive;	/* established ones go on; needs the MAC */
	struct maglev_use use;
	uint32_t ifindex;
	uint8_t mac[6], own_mac[6];
	struct addr source; /* the node's own, to it; all zeroes = none */
};

struct desired_pool {
	const struct config_pool *conf;
	const uint16_t *owners; /* of each slot: index into the pool's backends, or BACKEND_NONE */
	uint64_t version;	/* equal versions are equal owners */
	struct nat_pool nat;	/* as in the data plane */
	bool takes_new;		/* somebody in it does */
	uint32_t serving;	/* of the configuration: itself, or its backup */
};

struct desired_interface {
	char name[IFNAMSIZ];
	uint32_t ifindex;
	uint8_t mac[6];
	uint32_t vrids[VRID_BITS / 32]; /* of virtual routers with a MAC of their own there */
};

/* Borrows from the configuration and the cache. */
struct desired {
	const struct config *config;
	struct settings settings;
	struct desired_backend *backends; /* config->n_backends */
	struct desired_pool *pools;	  /* config->n_pools */
	uint8_t *ambiguous;		  /* config->n_services; see returns.h */
	uint32_t n_interfaces;
	struct desired_interface interfaces[CONFIG_INTERFACES];
	struct probe_list probes;
};

/* The last tables of each pool, by its name: a memo, so that only what changed is built again. */
struct table_cache;

/* table_cache_new: @first_version: below all versions that it gives; caches whose versions are
 * compared must not overlap.
 */
struct table_cache *table_cache_new(uint64_t first_version);
void table_cache_free(struct table_cache *cache);

struct inputs {
	const struct config *config;
	const struct lb_backend *backends;     /* config->n_backends */
	const struct lb_interface *interfaces; /* config->node.n_interfaces */
	uint64_t hash_key[HASH_KEY_WORDS];
	uint64_t key_print;
	bool detached; /* no interface is wanted */
	const struct settings
		*held; /* instead of the configuration's, which were refused; or NULL */
};

/* fate: what becomes of a backend. */
struct fate {
	bool takes_new, alive;
	uint16_t share; /* pool_fates(): 0 .. SHARE_ALL; 0 where it takes no new ones */
};

/* backend_health: as its probe has it; without one it is up. */
enum health backend_health(const struct config_pool *pool, const struct lb_backend *in);
/* backend_fate: by its own health, the operator and its neighbour, whatever its pool needs. */

struct fate backend_fate(const struct config_pool *pool, const struct config_backend *conf,
			 const struct lb_backend *in);

/* desired_build: 0 or -ENOMEM; the caller has *ret_desired to desired_fini(). */
int desired_build(const struct inputs *in, struct table_cache *cache, struct desired *ret_desired);
void desired_fini(struct desired *d);

#endif
