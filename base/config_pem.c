/* SPDX-License-Identifier: BSD-2-Clause */
/* config_pem.c: what is in the certificates and keys that sluice.conf names: a mistake in them is
 * told when the file is read, and not when a process without files finds out.
 */
#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/config_build.h"

/* A key that wants a password has none. */
static int no_password(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

static BIO *file_bio(const struct builder *b, uint32_t file)
{
	const struct built_file *f = &b->files[file - 1];

	return BIO_new_mem_buf(f->bytes, (int)f->size_bytes);
}

static X509 *certificate_read(const struct builder *b, uint32_t file)
{
	BIO *bio = file_bio(b, file);
	X509 *x = bio ? PEM_read_bio_X509(bio, NULL, no_password, NULL) : NULL;

	BIO_free(bio);
	return x;
}

static EVP_PKEY *key_read(const struct builder *b, uint32_t file)
{
	BIO *bio = file_bio(b, file);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;

	BIO_free(bio);
	return key;
}

static void no_certificate(struct builder *b, const config_setting_t *group, const char *key)
{
	mistake(&b->reader, config_setting_get_member(group, key),
		"\"%s\" names a file without a certificate; expected: one in PEM, BEGIN CERTIFICATE",
		key);
}

void build_pem_check(struct builder *b, const config_setting_t *group,
		     const struct config_certificate *c)
{
	X509 *ca = c->ca ? certificate_read(b, c->ca) : NULL;
	X509 *own = c->own ? certificate_read(b, c->own) : NULL;
	EVP_PKEY *key = c->key ? key_read(b, c->key) : NULL;

	if (c->ca && !ca)
		no_certificate(b, group, "tls_ca");
	if (c->own && !own)
		no_certificate(b, group, "tls_cert");
	if (c->key && !key)
		mistake(&b->reader, config_setting_get_member(group, "tls_key"),
			"\"tls_key\" names a file without a key, or with one that has a password; expected: one in PEM, without");
	else if (own && key && X509_check_private_key(own, key) != 1)
		mistake(&b->reader, config_setting_get_member(group, "tls_key"),
			"\"tls_key\" is not the key of \"tls_cert\"");
	X509_free(ca);
	X509_free(own);
	EVP_PKEY_free(key);
	ERR_clear_error();
}
