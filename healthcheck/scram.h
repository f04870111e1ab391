/* SPDX-License-Identifier: BSD-2-Clause */
/* scram.h: the client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding. Pure.
 *
 * The password is used as it is: SASLprep (RFC 4013) changes nothing in one of printable ASCII. The
 * server chooses how much work it is for us; it is not done beyond SCRAM_ITERATIONS (15 ms).
 */
#ifndef SLUICE_HEALTHCHECK_SCRAM_H
#define SLUICE_HEALTHCHECK_SCRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SCRAM_RANDOM = 18,   /* bytes of our nonce */
	SCRAM_MESSAGE = 512, /* the longest of each side, with its NUL */
	SCRAM_ITERATIONS = 32768
};

struct scram {
	uint8_t server_signature[32];
	char nonce[SCRAM_RANDOM * 4 / 3 + 1];
};

/* scram_first: our first message. */
void scram_first(struct scram *s, const uint8_t random[static SCRAM_RANDOM],
		 char ret_message[static SCRAM_MESSAGE]);
/* scram_final: the answer to the server's first message, of @n bytes; NULL and the answer, or what
 * is wrong with the server's.
 */
const char *scram_final(struct scram *s, const char *password, const char *server_first, size_t n,
			char ret_message[static SCRAM_MESSAGE]);
/* scram_proven: the server's last message shows that it knows the password, too. */
bool scram_proven(const struct scram *s, const char *server_final, size_t n);

#endif
