/* SPDX-License-Identifier: BSD-2-Clause */
/* veil.c: see veil.h. */
#include "healthcheck/veil.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

void veil_add(struct veil *veil, const char *secret, size_t n)
{
	size_t room = sizeof(veil->bytes) - veil->used;

	n = n < room ? n : room;
	if (n < VEIL_LEAST || veil->n == VEIL_SECRETS)
		return;
	memcpy(veil->bytes + veil->used, secret, n);
	veil->used += n;
	veil->len[veil->n++] = n;
}

/* How much of @text is the byte @c, in one of the forms that it may have; 0 = it is another. */
static size_t byte_match(const char *text, char c)
{
	bool printable = c >= 0x20 && c < 0x7f;
	char escaped[8];

	if (c == '\\' && text[0] == '\\' && text[1] == '\\')
		return 2;
	if (text[0] == c || (!printable && text[0] == '?'))
		return 1;
	if (printable || text[0] != '\\')
		return 0;
	snprintf(escaped, sizeof(escaped), "\\x%02x", (unsigned char)c);
	return strncmp(text, escaped, 4) == 0 ? 4 : 0;
}

/* How much of @text is the secret, 0 = it is not. @cut: the text was cut where it ends. */
static size_t secret_match(const char *text, const char *secret, size_t n, bool cut)
{
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		size_t m = text[at] ? byte_match(text + at, secret[i]) : 0;

		if (text[at] == '\0' && cut && i >= VEIL_LEAST)
			return at;
		if (m == 0)
			return 0;
		at += m;
	}
	return at;
}

static size_t longest_match(const struct veil *veil, const char *text, bool cut)
{
	const char *secret = veil->bytes;
	size_t most = 0;

	for (size_t i = 0; i < veil->n; secret += veil->len[i++]) {
		size_t m = secret_match(text, secret, veil->len[i], cut);

		most = m > most ? m : most;
	}
	return most;
}

/* Is all of @text the beginning of the secret? */
static bool secret_begins(const char *text, const char *secret, size_t n)
{
	for (size_t i = 0; i < n && *text; i++) {
		size_t m = byte_match(text, secret[i]);

		if (m == 0)
			return false;
		text += m;
	}
	return *text == '\0';
}

size_t veil_begun(const struct veil *veil, const char *text)
{
	for (; *text; text++) {
		const char *secret = veil->bytes;

		for (size_t i = 0; i < veil->n; secret += veil->len[i++]) {
			if (secret_begins(text, secret, veil->len[i]))
				return strlen(text);
		}
	}
	return 0;
}

void veil_cover(const struct veil *veil, char *text, size_t size)
{
	bool cut = strlen(text) + 6 > size; /* an escape sequence is not begun without room */

	for (char *at = text; *at && veil->n > 0; at++) {
		size_t m = longest_match(veil, at, cut);

		if (m < VEIL_LEAST)
			continue;
		memmove(at + 3, at + m, strlen(at + m) + 1);
		memcpy(at, "***", 3);
		at += 2;
	}
}
