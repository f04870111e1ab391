/* SPDX-License-Identifier: BSD-2-Clause */
/* table.h: a pool's slots over time: who owns each, and who owned it before; pure.
 *
 * A slot whose owner changes is in transition: its established flows live elsewhere, and each of
 * its packets is looked up (doc/architecture.md). It settles when that cannot matter any more.
 */
#ifndef SLUICE_LB_TABLE_H
#define SLUICE_LB_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"

/* More than one backend owned the slot between the previous owner and the present one, or it is not
 * known who did. Never in the data plane.
 */
#define BETWEEN_MANY 0x7ffeU
_Static_assert(BACKEND_MAX <= 0x7fff && BETWEEN_MANY >= BACKEND_MAX - 1, "BETWEEN_MANY");

struct slot {
	uint16_t owner;	   /* backend number or BACKEND_NONE, | SLOT_TRANSITION; as in the ABI */
	uint16_t previous; /* owner when it was last settled; BACKEND_NONE in a settled slot */
	uint16_t between;  /* who else owned it since then: BACKEND_NONE, a number, BETWEEN_MANY */
	uint16_t pad;
	uint32_t since_s; /* of the last change, while in transition */
};

struct table {
	uint32_t n; /* slots; 0 = there is no table */
	uint32_t n_transition;
	uint32_t settles_s; /* the earliest that a slot settles by time; 0 = none */
	struct slot *slots;
};

/* A partner's word about a slot: it is settled there; else the previous owner there. */
#define WORD_SETTLED 0xffffU

/* What a table is to become. */
struct table_wish {
	uint32_t n;
	const uint16_t *owners; /* index into `numbers`, or BACKEND_NONE */
	const uint16_t *numbers;
	const uint8_t *alive;	 /* by backend number: may established flows go on there */
	uint32_t idle_timeout_s; /* of the pool */
	uint32_t now_s;
	/* A bit for each slot of which a flow lives elsewhere than at its owner, as the sweep of
	 * the flow table saw it that began at swept_s. NULL = not known: then no slot settles by
	 * time.
	 */
	const uint8_t *foreign;
	uint32_t swept_s;
	/* Flows of other tables may arrive at any slot: take all of them into transition. */
	bool unsettle;
	/* No flow can have come by this table yet (a node that never served): all of it is settled.
	 * A slot in transition would send flows that the partner began to whom it once meant for a
	 * moment.
	 */
	bool unserved;
	/* The word of a partner that has the traffic, and whose owners are the same, about each
	 * slot: it knows which flows there are, we do not. NULL = none.
	 */
	const uint16_t *words;
};

struct table_change {
	uint32_t moved;	  /* slots with another owner */
	uint32_t settled; /* slots that left the transition */
	bool differs;	  /* is there anything to write? */
};

/* table_next: the table after @old; @old may have no slots (n = 0) or another number of them.
 * 0 or -ENOMEM; the caller owns ret_table.
 */
int table_next(const struct table *old, const struct table_wish *wish, struct table *ret_table,
	       struct table_change *ret_change);

/* table_adopt: from the words of the data plane. When a slot changed, and who owned it in between
 * is not known after a restart: it counts as changed just now, by many.
 * @words: 2 * SLOTS_WORDS(slots) of them
 */
int table_adopt(const struct slots4 *words, uint32_t slots, uint32_t idle_timeout_s, uint32_t now_s,
		struct table *ret_table);

/* table_unsettle: a flow of the slot is known to live at @backend, and its owner is another: its
 * packets are to be looked up, until the table's next change of it. False: they are already, or
 * live where they would be sent.
 */
bool table_unsettle(struct table *t, uint32_t slot, uint16_t backend, uint32_t idle_timeout_s,
		    uint32_t now_s);

/* table_write: into the words of the data plane, 2 * SLOTS_WORDS(n) of them. */
void table_write(const struct table *t, struct slots4 *ret_words);

/* table_mark: set ret_used[number] for every backend that a slot still names. */
void table_mark(const struct table *t, uint8_t *ret_used);

int table_copy(const struct table *t, struct table *ret_table); /* 0 or -ENOMEM */
void table_fini(struct table *t);

#endif
