/* SPDX-License-Identifier: BSD-2-Clause */
/* login.c: see login.h. */
#include "healthcheck/login.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

enum { PLAIN_BYTES = 2 * LOGIN_SIZE };

const char *login_check_user(const char *value)
{
	for (const unsigned char *c = (const unsigned char *)value; *c; c++) {
		if (*c < 0x20 || *c == 0x7f)
			return "has a control character; expected: a login's name";
	}
	return NULL;
}

const char *login_check(const struct login_conf *login)
{
	return !login->user[0] == !login->password[0]
		       ? NULL
		       : "has only one of \"user\" and \"password_file\"; expected: both, or none";
}

/* @n: up to PLAIN_BYTES. */
static void base64_add(const char *bytes, size_t n, bool secret, struct buf *out)
{
	char text[(PLAIN_BYTES + 2) / 3 * 4 + 1];
	int len = EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)bytes, (int)n);

	if (secret)
		buf_secret(out, text, (size_t)len);
	else
		buf_add(out, text, (size_t)len);
	OPENSSL_cleanse(text, sizeof(text));
}

void login_plain(const struct login_conf *login, struct buf *out)
{
	size_t user = strlen(login->user), password = strlen(login->password);
	char bytes[PLAIN_BYTES] = {0};

	memcpy(bytes + 1, login->user, user);
	memcpy(bytes + 1 + user + 1, login->password, password);
	base64_add(bytes, 1 + user + 1 + password, true, out);
	OPENSSL_cleanse(bytes, sizeof(bytes));
}

void login_base64(const char *text, bool secret, struct buf *out)
{
	base64_add(text, strlen(text), secret, out);
}
