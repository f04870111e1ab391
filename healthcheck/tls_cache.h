/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_cache.h: the TLS contexts of the probes, each made once for all that ask for the same.
 *
 * What one needs - authorities, our own certificate and key - comes out of the configuration, or
 * was read by tls_cache_new(): the process has no files later. A context is the same as long as the
 * bytes are: a reload that changes nothing of it keeps it.
 */
#ifndef SLUICE_HEALTHCHECK_TLS_CACHE_H
#define SLUICE_HEALTHCHECK_TLS_CACHE_H

#include <openssl/ssl.h>

#include "base/config.h"

struct tls_cache;

/* tls_cache_new: reads the system's authorities, if it has any; NULL = out of memory. */
struct tls_cache *tls_cache_new(void);
void tls_cache_free(struct tls_cache *cache);

/* tls_cache_get: the context for probes with @certificate, of @config. 0; -EINVAL: what is in its
 * files is no certificate or key; or -ENOMEM. The caller frees *ret_context by SSL_CTX_free().
 */
int tls_cache_get(struct tls_cache *cache, const struct config *config,
		  const struct config_certificate *certificate, SSL_CTX **ret_context);

/* tls_cache_sweep: forget those that were not asked for since the last sweep. */
void tls_cache_sweep(struct tls_cache *cache);

#endif
