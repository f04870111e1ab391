/* SPDX-License-Identifier: BSD-2-Clause */
/* test_config_tls.c: what must hold of the certificates and keys that a configuration names: they
 * travel in it, and what they are not is told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/base/config_file.h"

static void bio_write(const char *name, BIO *bio)
{
	char *bytes;
	long n = BIO_get_mem_data(bio, &bytes);

	config_file_write(name, bytes, (size_t)n);
	BIO_free(bio);
}

/* NAME.pem, NAME.key, and NAME.locked: the key with a password. */
static void identity_write(const char *name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	char file[64];
	BIO *bio;

	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	snprintf(file, sizeof(file), "%s.pem", name);
	PEM_write_bio_X509(bio = BIO_new(BIO_s_mem()), x);
	bio_write(file, bio);
	snprintf(file, sizeof(file), "%s.key", name);
	PEM_write_bio_PrivateKey(bio = BIO_new(BIO_s_mem()), key, NULL, NULL, 0, NULL, NULL);
	bio_write(file, bio);
	snprintf(file, sizeof(file), "%s.locked", name);
	PEM_write_bio_PrivateKey(bio = BIO_new(BIO_s_mem()), key, EVP_aes_128_cbc(), NULL, 0, NULL,
				 (void *)(uintptr_t) "secret");
	bio_write(file, bio);
	X509_free(x);
	EVP_PKEY_free(key);
}

static int files_make(void **state)
{
	static const char garbage[] =
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

	if (config_folder_make(state) < 0)
		return -1;
	identity_write("a");
	identity_write("b");
	config_file_write("garbage", garbage, sizeof(garbage) - 1);
	config_file_write("empty", "", 0);
	return 0;
}

/* @keys: with FOLDER/ for config_folder; a probe of type imap with TLS that verifies. */
static char *probe_load(const char *keys, struct config **ret_config)
{
	char inside[1024] = "", text[4096];
	const char *at;

	while ((at = strstr(keys, "FOLDER"))) {
		snprintf(inside + strlen(inside), sizeof(inside) - strlen(inside), "%.*s%s",
			 (int)(at - keys), keys, config_folder);
		keys = at + 6;
	}
	snprintf(
		text, sizeof(text),
		POOL("probe = { type = \"imap\"; tls = \"implicit\"; tls_verify = true; %s%s };\n"),
		inside, keys);
	return config_file_load(config_file_write("f", text, strlen(text)), "lb1", ret_config);
}

static void test_files_travel_in_the_configuration_once_each(void **state)
{
	const struct config_certificate *c;
	struct config *config;
	char *errors;
	size_t n = 0;

	(void)state;
	errors = probe_load("tls_ca = \"FOLDER/a.pem\"; tls_cert = \"FOLDER/a.pem\"; "
			    "tls_key = \"FOLDER/a.key\";",
			    &config);
	assert_null(errors);
	assert_int_equal(config->n_files, 2);
	c = &config_pool(config, 0)->probe.certificate;
	assert_int_equal(c->ca, c->own);
	assert_memory_equal(config_file(config, c->key, &n), "-----BEGIN ", 11);
	assert_true(n > 100);
	config_free(config);
}

static void test_file_that_is_no_certificate_or_key_is_told(void **state)
{
	static const struct {
		const char *keys, *error;
	} rows[] = {
		{"tls_ca = \"FOLDER/garbage\";",
		 "f:4: \"tls_ca\" names a file without a certificate; expected: one in PEM, BEGIN CERTIFICATE\n"},
		{"tls_ca = \"FOLDER/a.key\";",
		 "f:4: \"tls_ca\" names a file without a certificate; expected: one in PEM, BEGIN CERTIFICATE\n"},
		{"tls_ca = \"FOLDER/empty\";",
		 "f:4: \"tls_ca\" cannot be used: empty: it is empty\n"},
		{"tls_cert = \"FOLDER/garbage\"; tls_key = \"FOLDER/a.key\";",
		 "f:4: \"tls_cert\" names a file without a certificate; expected: one in PEM, BEGIN CERTIFICATE\n"},
		{"tls_cert = \"FOLDER/a.pem\"; tls_key = \"FOLDER/a.pem\";",
		 "f:4: \"tls_key\" names a file without a key, or with one that has a password; expected: one in PEM, without\n"},
		{"tls_cert = \"FOLDER/a.pem\"; tls_key = \"FOLDER/a.locked\";",
		 "f:4: \"tls_key\" names a file without a key, or with one that has a password; expected: one in PEM, without\n"},
		{"tls_cert = \"FOLDER/a.pem\"; tls_key = \"FOLDER/b.key\";",
		 "f:4: \"tls_key\" is not the key of \"tls_cert\"\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *errors = probe_load(rows[i].keys, NULL);

		assert_non_null(errors);
		assert_string_equal(errors, rows[i].error);
		free(errors);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files_travel_in_the_configuration_once_each),
		cmocka_unit_test(test_file_that_is_no_certificate_or_key_is_told),
	};

	return cmocka_run_group_tests(tests, files_make, config_folder_remove);
}
