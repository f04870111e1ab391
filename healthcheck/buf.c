/* SPDX-License-Identifier: BSD-2-Clause */
/* buf.c: see buf.h. */
#include "healthcheck/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void buf_drop(struct buf *b, size_t n)
{
	assert(n <= buf_len(b));
	b->start += n;
}

size_t buf_room(struct buf *b)
{
	if (b->start > 0) {
		memmove(b->bytes, buf_head(b), buf_len(b));
		b->end -= b->start;
		b->secret_start -= b->secret_start < b->start ? b->secret_start : b->start;
		b->secret_end -= b->secret_end < b->start ? b->secret_end : b->start;
		b->start = 0;
	}
	return b->size - b->end;
}

char *buf_tail(struct buf *b)
{
	return b->bytes + b->end;
}

void buf_grow(struct buf *b, size_t n)
{
	assert(n <= b->size - b->end);
	b->end += n;
}

bool buf_add(struct buf *b, const void *bytes, size_t n)
{
	if (n > buf_room(b))
		return false;
	memcpy(buf_tail(b), bytes, n);
	buf_grow(b, n);
	return true;
}

bool buf_print(struct buf *b, const char *format, ...)
{
	size_t room = buf_room(b);
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(buf_tail(b), room, format, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= room)
		return false;
	buf_grow(b, (size_t)n);
	return true;
}

bool buf_secret(struct buf *b, const void *bytes, size_t n)
{
	if (!buf_add(b, bytes, n))
		return false;
	if (b->secret_start == b->secret_end)
		b->secret_start = b->end - n;
	b->secret_end = b->end;
	return true;
}

size_t buf_secret_find(const struct buf *b, size_t *ret_at)
{
	size_t from = b->secret_start > b->start ? b->secret_start : b->start;

	if (b->secret_end <= from)
		return 0;
	*ret_at = from - b->start;
	return b->secret_end - from;
}

void buf_secret_forget(struct buf *b)
{
	b->secret_start = b->secret_end = 0;
}
