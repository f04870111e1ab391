/* SPDX-License-Identifier: BSD-2-Clause */
/* buf.h: a bounded buffer over memory of its owner. Never grows: what does not fit is refused. */
#ifndef SLUICE_HEALTHCHECK_BUF_H
#define SLUICE_HEALTHCHECK_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
	char *bytes; /* borrowed */
	size_t size;
	size_t start, end; /* what is in it */
	/* of `bytes`: what nobody may be shown; equal = nothing */
	size_t secret_start, secret_end;
};

static inline size_t buf_len(const struct buf *b)
{
	return b->end - b->start;
}

static inline const char *buf_head(const struct buf *b)
{
	return b->bytes + b->start;
}

/* buf_drop: forget the first @n bytes; @n <= buf_len(). They stay readable until bytes are added.
 */
void buf_drop(struct buf *b, size_t n);
/* buf_room: move what is in it to the front; the number of bytes that may be written at
 * buf_tail(), to be told by buf_grow().
 */
size_t buf_room(struct buf *b);
char *buf_tail(struct buf *b);
void buf_grow(struct buf *b, size_t n);
/* buf_add, buf_print: all of it, or false and nothing. */
bool buf_add(struct buf *b, const void *bytes, size_t n);
bool buf_print(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* buf_secret: as buf_add(), and marked as what nobody may be shown. What lies between two of them
 * is marked, too.
 */
bool buf_secret(struct buf *b, const void *bytes, size_t n);
/* buf_secret_find: the length of what is marked in the buffer, 0 = nothing; where, from its head.
 */
size_t buf_secret_find(const struct buf *b, size_t *ret_at);
void buf_secret_forget(struct buf *b);

#endif
