/* SPDX-License-Identifier: BSD-2-Clause */
/* test_tls.c: what must hold of the verification of certificates (tls.h) and of the contexts that
 * are made out of a configuration (tls_cache.h). The server is OpenSSL in memory; its certificates
 * are made here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "healthcheck/tls.h"
#include "healthcheck/tls_cache.h"

enum { DAY_S = 86400, FILES = 3 };

/* ---- certificates ---- */

struct identity {
	EVP_PKEY *key;
	X509 *cert;
};

static void extension_add(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	assert_non_null(e);
	assert_int_equal(X509_add_ext(cert, e, -1), 1);
	X509_EXTENSION_free(e);
}

/* @by: NULL = itself; @names: "DNS:mx1.example,IP:192.0.2.1", NULL = an authority */
static struct identity identity_new(const char *name, const struct identity *by, const char *names,
				    long expires_s)
{
	struct identity id = {.key = EVP_EC_gen("P-256"), .cert = X509_new()};

	assert_true(id.key && id.cert);
	X509_set_version(id.cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(id.cert), 7);
	X509_gmtime_adj(X509_getm_notBefore(id.cert), -10L * DAY_S);
	X509_gmtime_adj(X509_getm_notAfter(id.cert), expires_s);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(id.cert), "CN", MBSTRING_ASC,
				   (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(id.cert, X509_get_subject_name(by ? by->cert : id.cert));
	X509_set_pubkey(id.cert, id.key);
	extension_add(id.cert, NID_basic_constraints, names ? "CA:FALSE" : "critical,CA:TRUE");
	if (names)
		extension_add(id.cert, NID_subject_alt_name, names);
	assert_true(X509_sign(id.cert, by ? by->key : id.key, EVP_sha256()) > 0);
	return id;
}

static void identity_free(struct identity *id)
{
	EVP_PKEY_free(id->key);
	X509_free(id->cert);
}

/* ---- a configuration of files ---- */

struct files {
	struct config config;
	_Alignas(8) struct config_file files[FILES];
	char bytes[FILES][8192];
};

static void file_set(struct files *f, uint32_t file, BIO *bio)
{
	int n = BIO_read(bio, f->bytes[file - 1], sizeof(f->bytes[0]));

	assert_true(n > 0);
	f->files[file - 1] = (struct config_file){
		.at = (uint32_t)(offsetof(struct files, bytes) + (file - 1) * sizeof(f->bytes[0])),
		.size_bytes = (uint32_t)n};
	BIO_free(bio);
}

static void cert_set(struct files *f, uint32_t file, X509 *cert)
{
	BIO *bio = BIO_new(BIO_s_mem());

	PEM_write_bio_X509(bio, cert);
	file_set(f, file, bio);
}

static void key_set(struct files *f, uint32_t file, EVP_PKEY *key, const char *password)
{
	BIO *bio = BIO_new(BIO_s_mem());

	PEM_write_bio_PrivateKey(bio, key, password ? EVP_aes_128_cbc() : NULL, NULL, 0, NULL,
				 (void *)(uintptr_t)password);
	file_set(f, file, bio);
}

static struct files *files_new(void)
{
	struct files *f = calloc(1, sizeof(*f));

	f->config.size_bytes = sizeof(*f);
	f->config.n_files = FILES;
	f->config.files_at = offsetof(struct files, files);
	return f;
}

/* ---- a handshake ---- */

/* All that one side has for the other. */
static size_t server_take(SSL *server, struct tls *client)
{
	const char *bytes;
	size_t n = tls_wire(client, &bytes);

	if (n > 0)
		assert_int_equal(BIO_write(SSL_get_rbio(server), bytes, (int)n), n);
	tls_sent(client, n);
	return n;
}

static void client_take(SSL *server, struct tls *client)
{
	char bytes[16384];
	int n = BIO_read(SSL_get_wbio(server), bytes, sizeof(bytes));

	if (n > 0)
		assert_int_equal(tls_push(client, bytes, (size_t)n), 0);
}

/* 0, or what the client's side ended with. *@ret_server: 1 when the server's was happy, too. */
static int handshake(struct tls *client, SSL_CTX *server_context, int *ret_server)
{
	SSL *server = SSL_new(server_context);
	int r = -EAGAIN;

	SSL_set_bio(server, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_accept_state(server);
	*ret_server = 0;
	for (int turn = 0; turn < 10; turn++) {
		if (r == -EAGAIN)
			r = tls_handshake(client);
		server_take(server, client);
		*ret_server = SSL_do_handshake(server);
		client_take(server, client);
	}
	SSL_free(server);
	return r;
}

static SSL_CTX *server_of(const struct identity *id)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());

	assert_int_equal(SSL_CTX_use_certificate(context, id->cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(context, id->key), 1);
	return context;
}

struct bench {
	struct tls_cache *cache;
	struct identity ca;
	struct files *files; /* 1: the authority */
};

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	b->cache = tls_cache_new();
	assert_non_null(b->cache);
	b->ca = identity_new("Example CA", NULL, NULL, 1000L * DAY_S);
	b->files = files_new();
	cert_set(b->files, 1, b->ca.cert);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	tls_cache_free(b->cache);
	identity_free(&b->ca);
	free(b->files);
	free(b);
	return 0;
}

/* A probe's handshake with @id, whose certificate must be for @name; what the probe says, "" = all
 * is well.
 */
static const char *says(struct bench *b, const struct identity *id,
			const struct config_certificate *c, const char *name, int32_t *ret_days)
{
	static char text[VERDICT_TEXT];
	SSL_CTX *context, *server = server_of(id);
	struct tls tls;
	struct addr addr;
	int r, happy;

	addr_parse("192.0.2.21", &addr);
	assert_int_equal(tls_cache_get(b->cache, &b->files->config, c, &context), 0);
	assert_int_equal(tls_init(&tls, context, ""), 0);
	if (c->verify)
		assert_int_equal(tls_expect(&tls, name, &addr), 0);
	r = handshake(&tls, server, &happy);
	snprintf(text, sizeof(text), "%s", r == 0 ? "" : tls.error);
	if (ret_days)
		*ret_days = r == 0 ? tls_days(&tls) : TLS_DAYS_UNKNOWN;
	tls_fini(&tls);
	SSL_CTX_free(context);
	SSL_CTX_free(server);
	return text;
}

static const struct config_certificate by_ca = {.verify = true, .ca = 1};

static void test_certificate_must_be_for_the_name_or_the_address(void **state)
{
	static const char names[] = "DNS:mx1.example,DNS:*.in.example,IP:192.0.2.21,IP:2001:db8::1";
	static const struct {
		const char *name, *says;
	} rows[] = {
		{"mx1.example", ""},
		{"a.in.example", ""},
		{"192.0.2.21", ""},
		{"2001:db8::1", ""},
		{"", ""}, /* the backend's own address */
		{"mx2.example",
		 "certificate refused: hostname mismatch: it is not for mx2.example"},
		{"in.example", "certificate refused: hostname mismatch: it is not for in.example"},
		{"192.0.2.22",
		 "certificate refused: IP address mismatch: it is not for 192.0.2.22"},
	};
	struct bench *b = *state;
	struct identity id = identity_new("mx1", &b->ca, names, 100L * DAY_S);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(says(b, &id, &by_ca, rows[i].name, NULL), rows[i].says);
	identity_free(&id);
}

static void test_error_says_what_is_wrong_with_the_certificate(void **state)
{
	struct bench *b = *state;
	struct identity expired = identity_new("a", &b->ca, "DNS:a", -1L * DAY_S),
			own = identity_new("b", NULL, "DNS:a", DAY_S),
			other_ca = identity_new("Other CA", NULL, NULL, DAY_S),
			other = identity_new("c", &other_ca, "DNS:a", DAY_S);

	assert_string_equal(says(b, &expired, &by_ca, "a", NULL),
			    "certificate refused: certificate has expired");
	assert_string_equal(says(b, &own, &by_ca, "a", NULL),
			    "certificate refused: self-signed certificate");
	assert_string_equal(says(b, &other, &by_ca, "a", NULL),
			    "certificate refused: unable to get local issuer certificate");
	identity_free(&expired);
	identity_free(&own);
	identity_free(&other_ca);
	identity_free(&other);
}

static void test_without_ca_the_systems_authorities_decide(void **state)
{
	static const struct config_certificate by_system = {.verify = true};
	struct bench *b = *state;
	struct identity id = identity_new("a", &b->ca, "DNS:a", DAY_S);

	assert_string_equal(says(b, &id, &by_system, "a", NULL),
			    "certificate refused: unable to get local issuer certificate");
	identity_free(&id);
}

static void test_what_is_not_verified_passes_and_tells_its_days(void **state)
{
	static const struct config_certificate anything = {0};
	static const struct {
		long expires_s;
		int32_t days;
	} rows[] = {{20L * DAY_S + 60, 20}, {3600, 0}, {-3600, -1}, {-3L * DAY_S - 60, -3}};
	struct bench *b = *state;
	int32_t days;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct identity id = identity_new("a", NULL, "DNS:a", rows[i].expires_s);

		assert_string_equal(says(b, &id, &anything, "", &days), "");
		assert_int_equal(days, rows[i].days);
		identity_free(&id);
	}
}

static void test_own_certificate_is_shown_to_a_server_that_asks(void **state)
{
	static const struct config_certificate shown = {.own = 2, .key = 3}, none = {0};
	struct bench *b = *state;
	struct identity id = identity_new("mx1", &b->ca, "DNS:a", DAY_S),
			ours = identity_new("lb1", &b->ca, "DNS:lb1", DAY_S);
	SSL_CTX *server = server_of(&id), *context;
	struct tls tls;
	int happy;

	cert_set(b->files, 2, ours.cert);
	key_set(b->files, 3, ours.key, NULL);
	SSL_CTX_set_verify(server, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	X509_STORE_add_cert(SSL_CTX_get_cert_store(server), b->ca.cert);
	for (int with = 0; with < 2; with++) {
		assert_int_equal(
			tls_cache_get(b->cache, &b->files->config, with ? &shown : &none, &context),
			0);
		assert_int_equal(tls_init(&tls, context, ""), 0);
		handshake(&tls, server, &happy);
		assert_int_equal(happy == 1, with);
		tls_fini(&tls);
		SSL_CTX_free(context);
	}
	SSL_CTX_free(server);
	identity_free(&id);
	identity_free(&ours);
}

static void test_same_bytes_are_the_same_context_until_nobody_asks(void **state)
{
	static const struct config_certificate anything = {.warn_days = 5}, other = {.name = "x"};
	struct bench *b = *state;
	SSL_CTX *a, *c, *d;

	tls_cache_get(b->cache, &b->files->config, &anything, &a);
	tls_cache_get(b->cache, &b->files->config, &other, &c);
	assert_ptr_equal(a, c);
	SSL_CTX_free(c);
	tls_cache_get(b->cache, &b->files->config, &by_ca, &c);
	assert_ptr_not_equal(a, c);
	tls_cache_sweep(b->cache);
	tls_cache_get(b->cache, &b->files->config, &by_ca, &d);
	assert_ptr_equal(c, d);
	SSL_CTX_free(d);
	tls_cache_sweep(b->cache); /* the first was not asked for */
	tls_cache_get(b->cache, &b->files->config, &anything, &d);
	assert_ptr_not_equal(a, d);
	SSL_CTX_free(a);
	SSL_CTX_free(c);
	SSL_CTX_free(d);
}

static void test_files_that_hold_something_else_are_refused(void **state)
{
	static const struct config_certificate shown = {.own = 2, .key = 3},
					       bad_ca = {.verify = true, .ca = 3};
	struct bench *b = *state;
	struct identity ours = identity_new("lb1", &b->ca, "DNS:lb1", DAY_S);
	SSL_CTX *context;

	cert_set(b->files, 2, ours.cert);
	key_set(b->files, 3, b->ca.key, NULL); /* of another one */
	assert_int_equal(tls_cache_get(b->cache, &b->files->config, &shown, &context), -EINVAL);
	assert_int_equal(tls_cache_get(b->cache, &b->files->config, &bad_ca, &context), -EINVAL);
	key_set(b->files, 3, ours.key, "secret"); /* nobody is asked for a password */
	assert_int_equal(tls_cache_get(b->cache, &b->files->config, &shown, &context), -EINVAL);
	cert_set(b->files, 3, ours.cert);
	assert_int_equal(tls_cache_get(b->cache, &b->files->config, &shown, &context), -EINVAL);
	identity_free(&ours);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_certificate_must_be_for_the_name_or_the_address),
		TEST(test_error_says_what_is_wrong_with_the_certificate),
		TEST(test_without_ca_the_systems_authorities_decide),
		TEST(test_what_is_not_verified_passes_and_tells_its_days),
		TEST(test_own_certificate_is_shown_to_a_server_that_asks),
		TEST(test_same_bytes_are_the_same_context_until_nobody_asks),
		TEST(test_files_that_hold_something_else_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
