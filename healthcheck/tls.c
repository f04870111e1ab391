/* SPDX-License-Identifier: BSD-2-Clause */
/* tls.c: see tls.h. */
#include "healthcheck/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

SSL_CTX *tls_context_new(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	if (!context)
		return NULL;
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	return context;
}

int tls_init(struct tls *t, SSL_CTX *context, const char *sni)
{
	SSL *ssl = SSL_new(context);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());

	if (!ssl || !in || !out || (*sni && !SSL_set_tlsext_host_name(ssl, sni))) {
		SSL_free(ssl);
		BIO_free(in);
		BIO_free(out);
		return -ENOMEM;
	}
	SSL_set_bio(ssl, in, out);
	SSL_set_connect_state(ssl);
	*t = (struct tls){.ssl = ssl};
	return 0;
}

void tls_fini(struct tls *t)
{
	SSL_free(t->ssl);
	t->ssl = NULL;
}

int tls_push(struct tls *t, const char *bytes, size_t n)
{
	return BIO_write(SSL_get_rbio(t->ssl), bytes, (int)n) == (int)n ? 0 : -ENOMEM;
}

size_t tls_wire(struct tls *t, const char **ret_bytes)
{
	char *bytes;
	long n = BIO_get_mem_data(SSL_get_wbio(t->ssl), &bytes);

	*ret_bytes = bytes;
	return n > 0 ? (size_t)n : 0;
}

void tls_sent(struct tls *t, size_t n)
{
	char scratch[4096];

	while (n > 0) {
		int size = (int)(n < sizeof(scratch) ? n : sizeof(scratch));

		if (BIO_read(SSL_get_wbio(t->ssl), scratch, size) != size)
			return;
		n -= (size_t)size;
	}
}

/* tls_result: of an OpenSSL call that returned r <= 0. */
static int tls_result(struct tls *t, int r)
{
	int error = SSL_get_error(t->ssl, r);
	const char *reason;

	if (error == SSL_ERROR_WANT_READ)
		return -EAGAIN;
	if (error == SSL_ERROR_ZERO_RETURN)
		return -EPIPE;
	reason = ERR_reason_error_string(ERR_peek_error());
	snprintf(t->error, sizeof(t->error), "%s", reason ? reason : "broken TLS");
	ERR_clear_error();
	return -EPROTO;
}

int tls_handshake(struct tls *t)
{
	int r;

	ERR_clear_error();
	r = SSL_do_handshake(t->ssl);
	if (r == 1)
		return 0;
	r = tls_result(t, r);
	return r == -EPIPE ? -EPROTO : r;
}

ssize_t tls_read(struct tls *t, char *bytes, size_t size)
{
	int r;

	ERR_clear_error();
	r = SSL_read(t->ssl, bytes, (int)size);
	return r > 0 ? r : tls_result(t, r);
}

int tls_write(struct tls *t, const char *bytes, size_t n)
{
	int r;

	ERR_clear_error();
	r = SSL_write(t->ssl, bytes, (int)n);
	if (r == (int)n)
		return 0;
	tls_result(t, r);
	return -EPROTO;
}

void tls_bye(struct tls *t)
{
	SSL_shutdown(t->ssl);
	ERR_clear_error();
}
