/* SPDX-License-Identifier: BSD-2-Clause */
/* maglev.h: which backend owns which slot; pure.
 *
 * Both nodes of a pair compute the same table from the same names, weights and health: nothing here
 * depends on the machine, the order of backends or on what was before.
 */
#ifndef SLUICE_LB_MAGLEV_H
#define SLUICE_LB_MAGLEV_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"

struct maglev_backend {
	uint64_t seed;	 /* maglev_seed() of its names */
	uint32_t weight; /* 0 .. CONFIG_WEIGHT; 0 owns nothing */
};

uint64_t maglev_seed(const char *pool, const char *backend);

/* maglev_build: the table over all backends as configured.
 * @slots: a prime
 * @ret_owners: an index into @backends for each slot, or BACKEND_NONE when all weights are 0
 * 0 or -ENOMEM.
 */
int maglev_build(const struct maglev_backend *backends, uint32_t n, uint32_t slots,
		 uint16_t *ret_owners);

/* maglev_repair: give the slots of backends that take no new flows to those that do.
 * @takes_new: of each backend
 * @base: what maglev_build() gave
 * @ret_owners: the base where its owner takes new flows; elsewhere the backend that does, and ranks
 * highest for that slot (weighted rendezvous); BACKEND_NONE when nobody does
 * 0 or -ENOMEM.
 */
int maglev_repair(const struct maglev_backend *backends, const bool *takes_new, uint32_t n,
		  uint32_t slots, const uint16_t *base, uint16_t *ret_owners);

#endif
