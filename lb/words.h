/* SPDX-License-Identifier: BSD-2-Clause */
/* words.h: what the node that has the traffic says of a pool's slots; pure.
 *
 * A statement is a run of records: which owners it is about, as a digest that is the same on every
 * node, and for each previous owner the slots that are in transition from it. All others are
 * settled. It counts where the wanted owners have the same digest, and as long as nothing else is
 * said: see struct table_wish.
 *
 *   0  pool (8)  digest (8)  previous owner (8)  WORDS_FIRST, WORDS_LAST (1)
 *  25  slots, ascending: each the distance from the last, 7 bits a byte, the lowest first
 */
#ifndef SLUICE_LB_WORDS_H
#define SLUICE_LB_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "lb/table.h"

enum { WORDS_FIRST = 1, WORDS_LAST = 2, WORDS_HEADER = 25 };

/* word_key: who a backend is, on every node; of a pool: with name "" and no address. */
uint64_t word_key(const char *pool, const char *name, const uint8_t addr[static 16]);
uint64_t word_pool_key(const char *pool);

/* words_digest: of @n owners; 0 only of none.
 * @owners: backend numbers; @keys: by number, BACKEND_NONE + 1 of them
 * @key_print: of the hash that chooses slots
 */
uint64_t words_digest(const uint16_t *owners, uint32_t n, const uint64_t *keys, uint64_t key_print);
/* words_digest_table: of a table's owners. */
uint64_t words_digest_table(const struct table *t, const uint64_t *keys, uint64_t key_print);

/* words_say: a table as records of @most bytes. 0, -ENOMEM, or what @emit returned. */
typedef int words_emit_fn(void *owner, const uint8_t *bytes, size_t n);
int words_say(const struct table *t, const uint64_t *keys, uint64_t pool, uint64_t digest,
	      size_t most, words_emit_fn *emit, void *owner);

/* What was heard of one pool. */
struct words {
	uint64_t serial; /* tells statements apart; whoever keeps them sets it */
	uint64_t digest;
	uint32_t n; /* slots */
	uint32_t n_keys, room;
	uint64_t *keys; /* of previous owners */
	uint16_t *at;	/* by slot: which of them, or WORD_SETTLED; NULL = nothing was said */
};

/* words_hear: a record of @pool. 1 when it ends a statement, which is in *w then; 0; -EPROTO for
 * what no node says, or which does not fit the one before; -ENOMEM.
 * @n: slots of our tables
 */
int words_hear(struct words *w, uint32_t slots, const uint8_t *bytes, size_t n);
uint64_t words_pool(const uint8_t *bytes, size_t n); /* whom a record is about; 0 = nobody */
void words_fini(struct words *w);

/* words_previous: by slot, for struct table_wish; 0 or -ENOMEM. Whom we do not have is nobody. */
int words_previous(const struct words *w, const uint64_t *keys, uint16_t **ret_words);

#endif
