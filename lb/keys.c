/* SPDX-License-Identifier: BSD-2-Clause */
/* keys.c: see keys.h. */
#include "lb/keys.h"

#include <stdlib.h>

static int compare(const void *a, const void *b)
{
	const struct key_number *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

void keys_order(struct key_number *rows, uint32_t n)
{
	if (n > 0)
		qsort(rows, n, sizeof(*rows), compare);
}

uint32_t keys_find(const struct key_number *rows, uint32_t n, uint64_t key)
{
	uint32_t low = 0; /* as many are not above @key */

	while (n > 0) {
		uint32_t half = n / 2;

		if (rows[low + half].key <= key) {
			low += half + 1;
			n -= half + 1;
		} else {
			n = half;
		}
	}
	return low > 0 && rows[low - 1].key == key ? rows[low - 1].number : KEY_UNKNOWN;
}
