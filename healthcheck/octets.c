/* SPDX-License-Identifier: BSD-2-Clause */
/* octets.c: see octets.h. */
#include "healthcheck/octets.h"

#include <string.h>

struct octets octets_of(const void *bytes, size_t n)
{
	return (struct octets){.at = bytes, .left = n};
}

struct octets octets_take(struct octets *o, size_t n)
{
	struct octets taken = {.at = o->at, .left = n};

	if (o->bad || n > o->left) {
		o->bad = true;
		o->left = 0;
		taken.left = 0;
		taken.bad = true;
		return taken;
	}
	o->at += n;
	o->left -= n;
	return taken;
}

uint32_t octets_le(struct octets *o, size_t n)
{
	struct octets taken = octets_take(o, n);
	uint32_t value = 0;

	for (size_t i = taken.left; i > 0; i--)
		value = value << 8 | taken.at[i - 1];
	return value;
}

uint32_t octets_be(struct octets *o, size_t n)
{
	struct octets taken = octets_take(o, n);
	uint32_t value = 0;

	for (size_t i = 0; i < taken.left; i++)
		value = value << 8 | taken.at[i];
	return value;
}

struct octets octets_text(struct octets *o)
{
	const uint8_t *end = o->left > 0 ? memchr(o->at, '\0', o->left) : NULL;
	struct octets text = octets_take(o, end ? (size_t)(end - o->at) : o->left + 1);

	octets_take(o, 1);
	return text;
}

bool octets_are(const struct octets *o, const char *text)
{
	size_t n = strlen(text);

	return !o->bad && o->left == n && memcmp(o->at, text, n) == 0;
}

bool put_le(struct buf *out, uint32_t value, size_t n)
{
	uint8_t bytes[4];

	for (size_t i = 0; i < n; i++, value >>= 8)
		bytes[i] = (uint8_t)value;
	return buf_add(out, bytes, n);
}

bool put_be(struct buf *out, uint32_t value, size_t n)
{
	uint8_t bytes[4];

	for (size_t i = n; i > 0; i--, value >>= 8)
		bytes[i - 1] = (uint8_t)value;
	return buf_add(out, bytes, n);
}

bool put_text(struct buf *out, const char *text)
{
	return buf_add(out, text, strlen(text) + 1);
}
