/* SPDX-License-Identifier: BSD-2-Clause */
/* dialogue.h: a conversation as lines for people: "> EHLO lb1", "< 250 ok", "* TLSv1.3". Pure.
 *
 * What is not printable ASCII is written as \xHH, long lines go on in the next one, and after
 * DIALOGUE_LINES no more are told.
 */
#ifndef SLUICE_HEALTHCHECK_DIALOGUE_H
#define SLUICE_HEALTHCHECK_DIALOGUE_H

#include <stddef.h>
#include <stdint.h>

#include "base/message.h"
#include "healthcheck/veil.h"

enum { DIALOGUE_LINES = 500 };

typedef void dialogue_line_fn(void *owner, uint32_t at_ms, const char *text);

struct dialogue {
	dialogue_line_fn *line; /* NULL: nobody listens, nothing is done */
	void *owner;
	const struct veil *veil; /* over every line; NULL = nothing is secret */
	uint32_t lines;
	char open;   /* '<' or '>' of the line that has begun, 0 = none */
	size_t used; /* of text */
	char text[MESSAGE_LINE];
};

/* dialogue_note: a line of our own, "* ...". */
void dialogue_note(struct dialogue *d, uint32_t at_ms, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* dialogue_bytes: that the server ('<') or we ('>') sent. */
void dialogue_bytes(struct dialogue *d, uint32_t at_ms, char from, const char *bytes, size_t n);
/* dialogue_end: tell the line that has not ended. */
void dialogue_end(struct dialogue *d, uint32_t at_ms);

#endif
