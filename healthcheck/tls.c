/* SPDX-License-Identifier: BSD-2-Clause */
/* tls.c: see tls.h. */
#include "healthcheck/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

/* Without verification no chain is built, and no signature of it is worked out. */
static int verify_nothing(X509_STORE_CTX *store, void *arg)
{
	(void)store;
	(void)arg;
	return 1;
}

SSL_CTX *tls_context_new(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	if (!context)
		return NULL;
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_cert_verify_callback(context, verify_nothing, NULL);
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

int tls_expect(struct tls *t, const char *name, const struct addr *addr)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);
	char text[INET6_ADDRSTRLEN];
	struct addr literal;
	int r;

	if (*name == '\0')
		name = addr_format(addr, text);
	snprintf(t->expected, sizeof(t->expected), "%s", name);
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (addr_parse(name, &literal) == 0)
		r = X509_VERIFY_PARAM_set1_ip_asc(param, name);
	else
		r = X509_VERIFY_PARAM_set1_host(param, name, 0);
	return r == 1 ? 0 : -ENOMEM;
}

int32_t tls_days(const struct tls *t)
{
	const X509 *certificate = SSL_get0_peer_certificate(t->ssl);
	int days, seconds;

	if (!certificate || !ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate)))
		return TLS_DAYS_UNKNOWN;
	return days == 0 && seconds < 0 ? -1 : days;
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

/* What is wrong with the server's certificate: "certificate has expired", ... False: nothing. */
static bool certificate_refused(struct tls *t)
{
	long result = SSL_get_verify_result(t->ssl);
	bool name =
		result == X509_V_ERR_HOSTNAME_MISMATCH || result == X509_V_ERR_IP_ADDRESS_MISMATCH;

	if (!t->expected[0] || result == X509_V_OK)
		return false;
	snprintf(t->error, sizeof(t->error), "certificate refused: %s%s%.64s",
		 X509_verify_cert_error_string(result), name ? ": it is not for " : "",
		 name ? t->expected : "");
	return true;
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
	if (!certificate_refused(t))
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
