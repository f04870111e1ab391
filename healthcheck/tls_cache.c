/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_cache.c: see tls_cache.h. */
#include "healthcheck/tls_cache.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "healthcheck/tls.h"

struct entry {
	uint8_t print[32]; /* of all that it was made from */
	SSL_CTX *context;
	bool wanted; /* since the last sweep */
	struct entry *next;
};

struct tls_cache {
	X509_STORE *system; /* authorities; empty where the system has none */
	struct entry *entries;
};

/* ---- what it is made from ---- */

static bool print_file(EVP_MD_CTX *digest, const struct config *config, uint32_t file)
{
	uint64_t size = 0;
	size_t n = 0;
	const char *bytes = config_file(config, file, &n);

	if (bytes)
		size = n;
	return EVP_DigestUpdate(digest, &size, sizeof(size)) == 1 &&
	       (!bytes || EVP_DigestUpdate(digest, bytes, n) == 1);
}

static int print_make(const struct config *config, const struct config_certificate *c,
		      uint8_t ret[static 32])
{
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	uint8_t verify = c->verify;
	bool made = digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
		    EVP_DigestUpdate(digest, &verify, 1) == 1 &&
		    print_file(digest, config, c->ca) && print_file(digest, config, c->own) &&
		    print_file(digest, config, c->key) &&
		    EVP_DigestFinal_ex(digest, ret, NULL) == 1;

	EVP_MD_CTX_free(digest);
	return made ? 0 : -ENOMEM;
}

static BIO *file_bio(const struct config *config, uint32_t file)
{
	size_t n = 0;
	const char *bytes = config_file(config, file, &n);

	return bytes ? BIO_new_mem_buf(bytes, (int)n) : NULL;
}

/* ---- a context ---- */

/* A key that wants a password has none. */
static int no_password(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

static X509 *certificate_next(BIO *bio)
{
	return PEM_read_bio_X509(bio, NULL, no_password, NULL);
}

/* All certificates of @file. */
static int authorities_add(X509_STORE *store, const struct config *config, uint32_t file)
{
	BIO *bio = file_bio(config, file);
	int n = 0;
	X509 *x;

	while (bio && (x = certificate_next(bio))) {
		n += X509_STORE_add_cert(store, x) == 1;
		X509_free(x);
	}
	BIO_free(bio);
	ERR_clear_error();
	return n > 0 ? 0 : -EINVAL;
}

static int context_verify(SSL_CTX *context, const struct tls_cache *cache,
			  const struct config *config, const struct config_certificate *c)
{
	X509_STORE *own;
	int r;

	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(context, NULL, NULL);
	if (!c->ca) {
		SSL_CTX_set1_cert_store(context, cache->system);
		return 0;
	}
	own = X509_STORE_new();
	if (!own)
		return -ENOMEM;
	r = authorities_add(own, config, c->ca);
	SSL_CTX_set_cert_store(context, own);
	return r;
}

/* Our own certificate, the rest of its chain behind it, and its key. */
static int context_own(SSL_CTX *context, const struct config *config,
		       const struct config_certificate *c)
{
	BIO *bio = file_bio(config, c->own), *key_bio = file_bio(config, c->key);
	EVP_PKEY *key = key_bio ? PEM_read_bio_PrivateKey(key_bio, NULL, no_password, NULL) : NULL;
	X509 *x = bio ? certificate_next(bio) : NULL;
	bool good = x && key && SSL_CTX_use_certificate(context, x) == 1 &&
		    SSL_CTX_use_PrivateKey(context, key) == 1;

	X509_free(x);
	EVP_PKEY_free(key);
	while (good && (x = certificate_next(bio))) {
		good = SSL_CTX_add1_chain_cert(context, x) == 1;
		X509_free(x);
	}
	BIO_free(bio);
	BIO_free(key_bio);
	ERR_clear_error();
	return good ? 0 : -EINVAL;
}

static int context_make(const struct tls_cache *cache, const struct config *config,
			const struct config_certificate *c, SSL_CTX **ret_context)
{
	SSL_CTX *context = tls_context_new();
	int r = context ? 0 : -ENOMEM;

	if (r == 0 && c->verify)
		r = context_verify(context, cache, config, c);
	if (r == 0 && c->own)
		r = context_own(context, config, c);
	if (r < 0) {
		SSL_CTX_free(context);
		return r;
	}
	*ret_context = context;
	return 0;
}

/* ---- the cache ---- */

int tls_cache_get(struct tls_cache *cache, const struct config *config,
		  const struct config_certificate *certificate, SSL_CTX **ret_context)
{
	uint8_t print[32];
	struct entry *e;
	int r = print_make(config, certificate, print);

	if (r < 0)
		return r;
	for (e = cache->entries; e && memcmp(e->print, print, sizeof(print)) != 0; e = e->next)
		;
	if (!e) {
		e = calloc(1, sizeof(*e));
		if (!e)
			return -ENOMEM;
		r = context_make(cache, config, certificate, &e->context);
		if (r < 0) {
			free(e);
			return r;
		}
		memcpy(e->print, print, sizeof(print));
		e->next = cache->entries;
		cache->entries = e;
	}
	e->wanted = true;
	SSL_CTX_up_ref(e->context);
	*ret_context = e->context;
	return 0;
}

void tls_cache_sweep(struct tls_cache *cache)
{
	struct entry **at = &cache->entries, *e;

	while ((e = *at)) {
		if (e->wanted) {
			e->wanted = false;
			at = &e->next;
			continue;
		}
		*at = e->next;
		SSL_CTX_free(e->context);
		free(e);
	}
}

/* In one file, as a folder of them would be read when a certificate is verified. */
static void system_read(X509_STORE *store)
{
	const char *named = getenv(X509_get_default_cert_file_env());
	const char *const files[] = {named ? named : X509_get_default_cert_file(),
				     "/etc/ssl/certs/ca-certificates.crt",
				     "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (X509_STORE_load_file(store, files[i]) == 1)
			break;
		if (named) {
			log_warning("authorities not read: file=%s", named);
			break;
		}
	}
	ERR_clear_error();
}

struct tls_cache *tls_cache_new(void)
{
	struct tls_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return NULL;
	cache->system = X509_STORE_new();
	if (!cache->system) {
		free(cache);
		return NULL;
	}
	system_read(cache->system);
	return cache;
}

void tls_cache_free(struct tls_cache *cache)
{
	if (!cache)
		return;
	tls_cache_sweep(cache);
	tls_cache_sweep(cache); /* what was still wanted, now no longer */
	X509_STORE_free(cache->system);
	free(cache);
}
