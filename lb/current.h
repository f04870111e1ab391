/* SPDX-License-Identifier: BSD-2-Clause */
/* current.h: what the data plane has, by number. A plain value: plan.c compares it with what is
 * wanted, apply.c changes it together with the kernel's maps, plane_adopt.c reads it back from them
 * after a restart.
 *
 * A backend is who it is by pool, name and address: another address is another server, with another
 * number, and the old one is retired.
 */
#ifndef SLUICE_LB_CURRENT_H
#define SLUICE_LB_CURRENT_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi_nat.h"
#include "lb/probes.h"
#include "lb/state.h"
#include "lb/table.h"

enum { CURRENT_INTERFACES = 2 * CONFIG_INTERFACES }; /* those of before and those of now */

/* Backend numbers 0 .. CURRENT_BACKENDS - 1 are given out; BETWEEN_MANY must stay free. */
#define CURRENT_BACKENDS BETWEEN_MANY

struct current_backend {
	bool used;
	bool takes_new;
	bool retired;	    /* no longer in the configuration */
	uint32_t retired_s; /* since when (now_s); 0 after a restart */
	char pool_name[NAME_SIZE], name[NAME_SIZE];
	struct backend plane; /* as in the map: pool number, address, MACs, BACKEND_ALIVE */
};

struct current_pool {
	bool used;
	char name[NAME_SIZE];
	uint32_t idle_timeout_s;
	struct nat_pool nat; /* as in the map */
	uint64_t version;    /* of the wanted owners that the table was made from; 0 = not known */
	uint64_t words;	     /* words.serial of a partner's word that the table knows; 0 = none */
	bool unsettle;	     /* flows may have come to any slot: the next table has to say so */
	struct table table;
};

struct current_service {
	bool used;
	char name[NAME_SIZE];
	struct service_key key;
	struct service plane; /* as in the map: plane.pool is the pool that serves it now */
	uint32_t own_pool;    /* that it names */
	uint32_t backup_pool; /* of that; POOL_MAX = none */
};

struct current_interface {
	bool used;
	bool loaded; /* its program is of this process, with these settings */
	char name[IFNAMSIZ];
	uint32_t ifindex;
	uint8_t mac[6]; /* that its program has */
	uint32_t vrids[VRID_BITS /
		       32]; /* of the virtual routers whose MACs it takes for its own, too */
	enum attach_mode mode;
	bool probe_attached; /* tc egress has the program that sends probes through the VIPs */
	bool probe_loaded;   /* and it is of this process, with these settings */
};

/* What every program and table is made with. */
struct settings {
	uint32_t slots;
	uint32_t flow_limit;
	uint32_t features;   /* FEATURE_* */
	uint32_t vip_policy; /* VIP_* */
	uint16_t nat_port_first, nat_port_last;
	uint64_t hash_key[HASH_KEY_WORDS];
	uint64_t key_print; /* tells two hash keys apart; kept in the data plane */
};

struct current {
	struct settings settings; /* slots 0: there is nothing yet */
	uint32_t next_backend;	  /* where the search for a free number starts */
	uint32_t next_service;
	struct current_backend backends[CURRENT_BACKENDS];
	struct current_pool pools[POOL_MAX];
	struct current_service services[SERVICE_MAX];
	struct current_interface interfaces[CURRENT_INTERFACES];
	struct probe_list probes;
};

struct current *current_new(void);
void current_free(struct current *c);

/* current_find_pool, current_find_interface: the number, or -ENOENT. */
int current_find_pool(const struct current *c, const char *name);
int current_find_interface(const struct current *c, const char *name);
/* current_keys: word_key() of each backend, by number; 0 of those that are not used. */
void current_keys(const struct current *c, uint64_t *ret_keys);

/* The used backends, ordered by pool, name and address, to find one by those. */
struct current_index {
	uint16_t *numbers;
	uint32_t n;
};

int current_index_init(const struct current *c, struct current_index *ret_index); /* 0, -ENOMEM */
void current_index_fini(struct current_index *index);
/* current_index_find: the number, or BACKEND_NONE. */
uint32_t current_index_find(const struct current_index *index, const struct current *c,
			    const char *pool, const char *name, const struct addr *addr);

#endif
