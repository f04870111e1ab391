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
	bool backup;	 /* has no slots of its own, but takes those of others */
};

enum { SHARE_ALL = 65535 };

/* How a backend is used. All but a share of 0 or SHARE_ALL are in 65,535ths. */
struct maglev_use {
	uint16_t share;	 /* of its own slots it may have; 0 = takes no new flows */
	uint16_t gives;	 /* of these, it gives to those who claim */
	uint16_t claims; /* weight in who gets what is given; 0 = claims nothing */
};

uint64_t maglev_seed(const char *pool, const char *backend);

/* maglev_build: the table over all backends as configured.
 * @slots: a prime
 * @ret_owners: an index into @backends for each slot, or BACKEND_NONE when all weights are 0
 * 0 or -ENOMEM.
 */
int maglev_build(const struct maglev_backend *backends, uint32_t n, uint32_t slots,
		 uint16_t *ret_owners);

/* maglev_repair: give the slots of backends that take no new flows, or less than all, to others. A
 * larger share only gains slots, and who gives more only loses some: nothing else moves.
 * @uses: of each backend
 * @base: what maglev_build() gave
 * @ret_owners: the base where its owner keeps the slot; else the other backend that ranks highest
 * for that slot by rendezvous: of those who claim (weighted by weight, claims and share) where it
 * is given, of all that take new flows (by weight and share) elsewhere; BACKEND_NONE when nobody
 * takes any
 * 0 or -ENOMEM.
 */
int maglev_repair(const struct maglev_backend *backends, const struct maglev_use *uses, uint32_t n,
		  uint32_t slots, const uint16_t *base, uint16_t *ret_owners);

struct maglev_before {
	const struct maglev_use *uses;
	const uint16_t *owners; /* that a repair gave for these, of the same backends and base */
};

/* maglev_repair_again: the very same, but sooner: only what the difference to @before (NULL: none)
 * can have moved is ranked anew. Of ten thousand backends that fail one by one, each costs what it
 * had instead of a whole repair.
 */
int maglev_repair_again(const struct maglev_backend *backends, const struct maglev_use *uses,
			uint32_t n, uint32_t slots, const uint16_t *base,
			const struct maglev_before *before, uint16_t *ret_owners);

#endif
