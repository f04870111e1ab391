/* SPDX-License-Identifier: BSD-2-Clause */
/* scram.c: see scram.h. */
#include "healthcheck/scram.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY = 32, SALT = 128, NO_CLIENT_NAME = 3 /* "n,,": the bare message is behind it */ };

static bool hmac(const uint8_t key[static KEY], const void *bytes, size_t n,
		 uint8_t ret_mac[static KEY])
{
	unsigned int size = KEY;

	return HMAC(EVP_sha256(), key, KEY, bytes, n, ret_mac, &size) && size == KEY;
}

/* PostgreSQL takes the name from its own startup message. */
void scram_first(struct scram *s, const uint8_t random[static SCRAM_RANDOM],
		 char ret_message[static SCRAM_MESSAGE])
{
	EVP_EncodeBlock((unsigned char *)s->nonce, random, SCRAM_RANDOM);
	snprintf(ret_message, SCRAM_MESSAGE, "n,,n=,r=%s", s->nonce);
}

/* base64_read: @n characters; how many bytes they are, or -1. */
static int base64_read(const char *text, size_t n, uint8_t *ret_bytes, size_t size)
{
	int bytes;

	if (n == 0 || n % 4 != 0 || n / 4 * 3 > size)
		return -1;
	bytes = EVP_DecodeBlock(ret_bytes, (const unsigned char *)text, (int)n);
	if (bytes > 0 && text[n - 1] == '=')
		bytes--;
	if (bytes > 0 && text[n - 2] == '=')
		bytes--;
	return bytes;
}

/* What the server chose. */
struct challenge {
	char text[SCRAM_MESSAGE]; /* the whole message */
	const char *nonce, *salt; /* in it */
	size_t nonce_len, salt_len;
	int iterations;
};

/* An attribute "x=value" at *at, up to a comma or the end; moves *at behind it. */
static bool attribute(const char **at, char name, const char **ret_value, size_t *ret_len)
{
	const char *c = *at;

	if (c[0] != name || c[1] != '=')
		return false;
	*ret_value = c + 2;
	*ret_len = strcspn(c + 2, ",");
	*at = c + 2 + *ret_len;
	if (**at == ',')
		(*at)++;
	return *ret_len > 0;
}

static const char *challenge_read(const struct scram *s, const char *message, size_t n,
				  struct challenge *c)
{
	const char *at = c->text, *count;
	size_t digits, nonce = strlen(s->nonce);

	if (n >= SCRAM_MESSAGE / 2 || memchr(message, '\0', n))
		return "its SCRAM challenge is too long";
	memcpy(c->text, message, n);
	c->text[n] = '\0';
	if (!attribute(&at, 'r', &c->nonce, &c->nonce_len) ||
	    !attribute(&at, 's', &c->salt, &c->salt_len) || !attribute(&at, 'i', &count, &digits))
		return "its SCRAM challenge is not understood";
	if (c->nonce_len <= nonce || memcmp(c->nonce, s->nonce, nonce) != 0)
		return "its SCRAM challenge is not for us";
	if (strspn(count, "0123456789") != digits || count[0] == '0')
		return "its SCRAM challenge is not understood";
	c->iterations = digits > 6 ? INT_MAX : atoi(count);
	return c->iterations > SCRAM_ITERATIONS ? "it wants more than 32768 iterations of SCRAM"
						: NULL;
}

/* proof_make: RFC 5802 3; also what the server will have to show. */
static bool proof_make(struct scram *s, const char *password, const struct challenge *c,
		       const char *auth_message, uint8_t ret_proof[static KEY])
{
	uint8_t salt[SALT], salted[KEY], client_key[KEY], server_key[KEY], stored[KEY];
	size_t n = strlen(auth_message);
	int salt_len = base64_read(c->salt, c->salt_len, salt, sizeof(salt));
	bool made;

	made = salt_len > 0 &&
	       PKCS5_PBKDF2_HMAC(password, (int)strlen(password), salt, salt_len, c->iterations,
				 EVP_sha256(), KEY, salted) == 1 &&
	       hmac(salted, "Client Key", 10, client_key) &&
	       hmac(salted, "Server Key", 10, server_key) &&
	       EVP_Digest(client_key, KEY, stored, NULL, EVP_sha256(), NULL) == 1 &&
	       hmac(stored, auth_message, n, ret_proof) &&
	       hmac(server_key, auth_message, n, s->server_signature);
	for (size_t i = 0; made && i < KEY; i++)
		ret_proof[i] ^= client_key[i];
	OPENSSL_cleanse(salted, sizeof(salted));
	OPENSSL_cleanse(client_key, sizeof(client_key));
	return made;
}

const char *scram_final(struct scram *s, const char *password, const char *server_first, size_t n,
			char ret_message[static SCRAM_MESSAGE])
{
	char first[SCRAM_MESSAGE], bare[SCRAM_MESSAGE], auth_message[3 * SCRAM_MESSAGE];
	char encoded[KEY * 4 / 3 + 5];
	struct challenge c;
	uint8_t proof[KEY];
	const char *wrong = challenge_read(s, server_first, n, &c);

	if (wrong)
		return wrong;
	snprintf(first, sizeof(first), "n,,n=,r=%s", s->nonce);
	snprintf(bare, sizeof(bare), "c=biws,r=%.*s", (int)c.nonce_len, c.nonce);
	snprintf(auth_message, sizeof(auth_message), "%s,%s,%s", first + NO_CLIENT_NAME, c.text,
		 bare);
	if (!proof_make(s, password, &c, auth_message, proof))
		return "its SCRAM salt is not understood";
	EVP_EncodeBlock((unsigned char *)encoded, proof, KEY);
	snprintf(ret_message, SCRAM_MESSAGE, "%.300s,p=%s", bare, encoded);
	return NULL;
}

bool scram_proven(const struct scram *s, const char *server_final, size_t n)
{
	uint8_t signature[KEY + 4];

	return n > 2 && server_final[0] == 'v' && server_final[1] == '=' &&
	       base64_read(server_final + 2, n - 2, signature, sizeof(signature)) == KEY &&
	       CRYPTO_memcmp(signature, s->server_signature, KEY) == 0;
}
