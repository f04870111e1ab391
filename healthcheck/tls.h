/* SPDX-License-Identifier: BSD-2-Clause */
/* tls.h: TLS 1.2 and later as a machine of bytes, by OpenSSL with memory BIOs; no socket.
 *
 * The runner pushes what came from the wire and sends what tls_wire() shows. OpenSSL never sees
 * more than was pushed, so that a server which sends handshake messages without end cannot keep it
 * busy. Certificates are not verified: a probe asks whether the server works, not who it is.
 */
#ifndef SLUICE_HEALTHCHECK_TLS_H
#define SLUICE_HEALTHCHECK_TLS_H

#include <openssl/ssl.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/message.h"

struct tls {
	SSL *ssl; /* NULL = no TLS */
	char error[VERDICT_TEXT];
};

/* tls_context_new: for all conversations; NULL = out of memory. Reads what OpenSSL has in files. */
SSL_CTX *tls_context_new(void);

/* tls_init: a client's side. @sni: "" = none is sent. 0 or -ENOMEM. */
int tls_init(struct tls *t, SSL_CTX *context, const char *sni);
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
