/* SPDX-License-Identifier: BSD-2-Clause */
/* tls.h: TLS 1.2 and later as a machine of bytes, by OpenSSL with memory BIOs; no socket.
 *
 * The runner pushes what came from the wire and sends what tls_wire() shows. OpenSSL never sees
 * more than was pushed, so that a server which sends handshake messages without end cannot keep it
 * busy. A certificate is verified only where the probe asks for that (tls_verify): the context,
 * which knows the authorities, comes from tls_cache.h then.
 */
#ifndef SLUICE_HEALTHCHECK_TLS_H
#define SLUICE_HEALTHCHECK_TLS_H

#include <openssl/ssl.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/message.h"

struct tls {
	SSL *ssl;	    /* NULL = no TLS */
	char expected[256]; /* whom the certificate must be for; "" = it is not verified */
	char error[VERDICT_TEXT];
};

/* tls_context_new: for conversations without verification; NULL = out of memory. Reads what OpenSSL
 * has in files.
 */
SSL_CTX *tls_context_new(void);

/* tls_init: a client's side. @sni: "" = none is sent. 0 or -ENOMEM. */
int tls_init(struct tls *t, SSL_CTX *context, const char *sni);
/* tls_expect: before the handshake, of a context that verifies: the certificate must be for @name,
 * a name or an address literal; "": for the address @addr. 0 or -ENOMEM.
 */
int tls_expect(struct tls *t, const char *name, const struct addr *addr);
/* tls_days: whole days until the server's certificate expires, after the handshake: negative = it
 * has; TLS_DAYS_UNKNOWN.
 */
int32_t tls_days(const struct tls *t);
void tls_fini(struct tls *t);

/* Bytes from the wire; 0 or -ENOMEM. */
int tls_push(struct tls *t, const char *bytes, size_t n);
/* Bytes for the wire: how many, and where, until the next call; tls_sent() takes n off. */
size_t tls_wire(struct tls *t, const char **ret_bytes);
void tls_sent(struct tls *t, size_t n);

/* tls_handshake: 0 done, -EAGAIN: more bytes are needed, -EPROTO: failed, t->error says why. */
int tls_handshake(struct tls *t);
/* tls_read: bytes, -EAGAIN, -EPIPE: the server has ended it, -EPROTO. */
ssize_t tls_read(struct tls *t, char *bytes, size_t size);
/* tls_write: all of it, 0; or -EPROTO. */
int tls_write(struct tls *t, const char *bytes, size_t n);
void tls_bye(struct tls *t);

#endif
