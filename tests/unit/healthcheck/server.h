/* SPDX-License-Identifier: BSD-2-Clause */
/* server.h: a small server on loopback, on the test's own loop, for the tests of what has sockets.
 */
#ifndef SLUICE_TESTS_SERVER_H
#define SLUICE_TESTS_SERVER_H

#include <event2/event.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"

enum server_trick {
	SERVER_PLAYS_FAIR,
	SERVER_RESETS,	 /* as soon as it was connected to */
	SERVER_CLOSES,	 /* the same, but politely */
	SERVER_DRIBBLES, /* a byte of a line every few milliseconds */
	SERVER_FLOODS,	 /* bytes without end */
};

/* What it says to a line that begins with `to`; NULL ends the list. */
struct server_answer {
	const char *to, *say;
	bool then_tls; /* the next bytes are a handshake */
	bool then_close;
};

struct server_script {
	enum server_trick trick;
	bool tls;	      /* from the start */
	const char *greeting; /* NULL = it waits */
	struct server_answer answers[6];
};

struct server {
	struct event_base *loop;
	const struct server_script *script;
	struct addr addr;
	uint16_t port;
	int accepted, open, most_open;
	char heard[1024]; /* all that was said to it, one connection after the other */
	char sni[256];	  /* of the last handshake */
	/* private */
	SSL_CTX *tls;
	struct evconnlistener *listener;
	struct server_connection *connections;
};

void server_start(struct server *s, struct event_base *loop, const char *addr,
		  const struct server_script *script);
void server_stop(struct server *s);

/* server_port_closed: a port of 127.0.0.1 on which nobody listens. */
uint16_t server_port_closed(void);

/* Turn the loop until *flag, for at most @most_ms; whether it came. */
bool server_loop_until(struct event_base *loop, const bool *flag, uint32_t most_ms);

extern const struct server_script server_smtp, server_smtp_starttls, server_imap_tls, server_silent;

#endif
