/* SPDX-License-Identifier: BSD-2-Clause */
/* veil.h: keeps a conversation's secrets out of what is told of it. Pure.
 *
 * What we send is marked by the probe (buf_secret()) and never shown. But a server may say again
 * what it was told ("500 what is AUTH PLAIN AGE..?"): so every line of a dialogue and every
 * verdict's text is looked through for the secrets that were in use, in the form in which it was
 * made printable ('?' or \xHH). One of fewer than VEIL_LEAST bytes would hide half of the words.
 */
#ifndef SLUICE_HEALTHCHECK_VEIL_H
#define SLUICE_HEALTHCHECK_VEIL_H

#include <stddef.h>

enum { VEIL_SECRETS = 8, VEIL_BYTES = 1024, VEIL_LEAST = 4 };

struct veil {
	size_t n, used;
	size_t len[VEIL_SECRETS];
	char bytes[VEIL_BYTES]; /* one after the other */
};

/* veil_add: what does not fit is cut; the ninth is not known. */
void veil_add(struct veil *veil, const char *secret, size_t n);
/* veil_cover: put "***" in the place of every secret, and of the beginning of one at the end of a
 * text that fills its @size.
 */
void veil_cover(const struct veil *veil, char *text, size_t size);
/* veil_begun: how much of @text's end may be the beginning of a secret, which goes on elsewhere. */
size_t veil_begun(const struct veil *veil, const char *text);

#endif
