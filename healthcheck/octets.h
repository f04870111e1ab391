/* SPDX-License-Identifier: BSD-2-Clause */
/* octets.h: reading and writing what is no text: numbers of either byte order, bounded. Pure.
 *
 * Reading beyond the end gives zeroes and sets `bad`, for good: a parser reads all that it wants
 * and asks once.
 */
#ifndef SLUICE_HEALTHCHECK_OCTETS_H
#define SLUICE_HEALTHCHECK_OCTETS_H

#include <stdint.h>

#include "healthcheck/buf.h"

struct octets {
	const uint8_t *at; /* borrowed */
	size_t left;
	bool bad;
};

struct octets octets_of(const void *bytes, size_t n);
/* octets_le, octets_be: a number of @n bytes, 1 .. 4. */
uint32_t octets_le(struct octets *o, size_t n);
uint32_t octets_be(struct octets *o, size_t n);
/* octets_take: the next @n bytes, or none of them. */
struct octets octets_take(struct octets *o, size_t n);
/* octets_text: up to the next NUL, which is taken, too; without one it is bad. */
struct octets octets_text(struct octets *o);
bool octets_are(const struct octets *o, const char *text);

/* put_le, put_be: a number of @n bytes; put_text: with its NUL. Like buf_add(): all or false. */
bool put_le(struct buf *out, uint32_t value, size_t n);
bool put_be(struct buf *out, uint32_t value, size_t n);
bool put_text(struct buf *out, const char *text);

#endif
