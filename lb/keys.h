/* SPDX-License-Identifier: BSD-2-Clause */
/* keys.h: whose number is whose: by the 64-bit keys (words.h) that nodes name backends by; pure. */
#ifndef SLUICE_LB_KEYS_H
#define SLUICE_LB_KEYS_H

#include <stdint.h>

struct key_number {
	uint64_t key;
	uint32_t number;
};

enum { KEY_UNKNOWN = UINT32_MAX };

void keys_order(struct key_number *rows, uint32_t n);
/* keys_find: among rows in order: the number, the highest one of several; KEY_UNKNOWN: nobody's. */
uint32_t keys_find(const struct key_number *rows, uint32_t n, uint64_t key);

#endif
