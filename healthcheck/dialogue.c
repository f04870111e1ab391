/* SPDX-License-Identifier: BSD-2-Clause */
/* dialogue.c: see dialogue.h. */
#include "healthcheck/dialogue.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void line_tell(struct dialogue *d, uint32_t at_ms, char *text, size_t size)
{
	if (d->veil)
		veil_cover(d->veil, text, size);
	d->lines++;
	if (d->lines < DIALOGUE_LINES)
		d->line(d->owner, at_ms, text);
	else if (d->lines == DIALOGUE_LINES)
		d->line(d->owner, at_ms, "* more of it is not shown");
}

void dialogue_end(struct dialogue *d, uint32_t at_ms)
{
	if (!d->line || !d->open)
		return;
	d->text[d->used] = '\0';
	d->open = 0;
	line_tell(d, at_ms, d->text, sizeof(d->text));
}

void dialogue_note(struct dialogue *d, uint32_t at_ms, const char *format, ...)
{
	char text[MESSAGE_LINE];
	va_list ap;

	if (!d->line)
		return;
	dialogue_end(d, at_ms);
	text[0] = '*';
	text[1] = ' ';
	va_start(ap, format);
	vsnprintf(text + 2, sizeof(text) - 2, format, ap);
	va_end(ap);
	for (char *c = text; *c; c++) { /* a name out of the configuration may have any bytes */
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
	line_tell(d, at_ms, text, sizeof(text));
}

static void byte_add(struct dialogue *d, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";

	if (c >= 0x20 && c < 0x7f && c != '\\') {
		d->text[d->used++] = (char)c;
		return;
	}
	d->text[d->used++] = '\\';
	if (c == '\\') {
		d->text[d->used++] = '\\';
		return;
	}
	d->text[d->used++] = 'x';
	d->text[d->used++] = hex[c >> 4];
	d->text[d->used++] = hex[c & 15];
}

static void line_begin(struct dialogue *d, char from)
{
	d->open = d->text[0] = from;
	d->text[1] = ' ';
	d->used = 2;
}

/* The line is full. What may be the beginning of a secret goes to the next one: told in two halves,
 * it would not be known.
 */
static void line_break(struct dialogue *d, uint32_t at_ms)
{
	char from = d->open, kept[MESSAGE_LINE];
	size_t n;

	d->text[d->used] = '\0';
	n = d->veil ? veil_begun(d->veil, d->text + 2) : 0;
	if (n + 2 == d->used)
		n = 0; /* a secret longer than a line */
	d->used -= n;
	memcpy(kept, d->text + d->used, n);
	dialogue_end(d, at_ms);
	if (n == 0)
		return;
	line_begin(d, from);
	memcpy(d->text + d->used, kept, n);
	d->used += n;
}

void dialogue_bytes(struct dialogue *d, uint32_t at_ms, char from, const char *bytes, size_t n)
{
	if (!d->line)
		return;
	if (d->open != from)
		dialogue_end(d, at_ms);
	for (size_t i = 0; i < n; i++) {
		if (!d->open)
			line_begin(d, from);
		if (bytes[i] == '\r' && (i + 1 == n || bytes[i + 1] == '\n'))
			continue;
		if (bytes[i] != '\n')
			byte_add(d, (unsigned char)bytes[i]);
		if (bytes[i] == '\n')
			dialogue_end(d, at_ms);
		else if (d->used + 5 > sizeof(d->text))
			line_break(d, at_ms);
	}
}
