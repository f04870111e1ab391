/* SPDX-License-Identifier: BSD-2-Clause */
/* server.c: see server.h. */
#include "tests/unit/healthcheck/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

enum { DRIBBLE_MS = 5 };

struct server_connection {
	struct server *server;
	struct server_connection *next;
	struct bufferevent *bev;
	struct event *dribble;
};

const struct server_script server_smtp = {
	.greeting = "220-mx1.example\r\n220 mx1.example ESMTP\r\n",
	.answers = {{.to = "EHLO", .say = "250-mx1.example\r\n250 SIZE\r\n"}},
};

const struct server_script server_smtp_starttls = {
	.greeting = "220 mx1.example ESMTP\r\n",
	.answers = {{.to = "EHLO", .say = "250-mx1.example\r\n250 STARTTLS\r\n"},
		    {.to = "STARTTLS", .say = "220 go\r\n", .then_tls = true}},
};

const struct server_script server_imap_tls = {
	.tls = true,
	.greeting = "* OK ready\r\n",
	.answers = {{.to = "a1 CAPABILITY", .say = "* CAPABILITY IMAP4rev1\r\na1 OK done\r\n"}},
};

const struct server_script server_silent = {0};

/* ---- a certificate that nobody has signed ---- */

static int on_sni(SSL *ssl, int *alert, void *arg)
{
	struct server *s = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	(void)alert;
	snprintf(s->sni, sizeof(s->sni), "%s", name ? name : "");
	return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *tls_server_new(struct server *s)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();

	assert_true(context && key && cert);
	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
				   (const unsigned char *)"mx1.example", -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	X509_set_pubkey(cert, key);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	assert_int_equal(SSL_CTX_use_certificate(context, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(context, key), 1);
	SSL_CTX_set_tlsext_servername_callback(context, on_sni);
	SSL_CTX_set_tlsext_servername_arg(context, s);
	X509_free(cert);
	EVP_PKEY_free(key);
	return context;
}

/* ---- connections ---- */

static void connection_free(struct server_connection *c)
{
	struct server_connection **at = &c->server->connections;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	c->server->open--;
	bufferevent_free(c->bev);
	if (c->dribble)
		event_free(c->dribble);
	free(c);
}

static void connection_tls(struct server_connection *c);

/* Plain text at once, so that nothing of it waits when TLS begins or the connection ends. */
static void say(struct server_connection *c, const char *words)
{
	ssize_t n = (ssize_t)strlen(words);

	if (bufferevent_openssl_get_ssl(c->bev))
		bufferevent_write(c->bev, words, (size_t)n);
	else
		assert_int_equal(send(bufferevent_getfd(c->bev), words, (size_t)n, MSG_NOSIGNAL),
				 n);
}

static void on_line(struct server_connection *c, const char *line)
{
	const struct server_answer *a = c->server->script->answers;
	size_t used = strlen(c->server->heard);

	snprintf(c->server->heard + used, sizeof(c->server->heard) - used, "%s\n", line);
	for (; a->to; a++) {
		if (strncmp(line, a->to, strlen(a->to)) != 0)
			continue;
		say(c, a->say);
		if (a->then_tls)
			connection_tls(c);
		else if (a->then_close)
			shutdown(bufferevent_getfd(c->bev), SHUT_WR);
		return;
	}
}

static void on_read(struct bufferevent *bev, void *arg)
{
	char *line;

	while (bev == ((struct server_connection *)arg)->bev &&
	       (line = evbuffer_readln(bufferevent_get_input(bev), NULL, EVBUFFER_EOL_CRLF))) {
		on_line(arg, line);
		free(line);
	}
}

static void on_flooded(struct bufferevent *bev, void *arg)
{
	static const char more[4096] = {[0 ... 4095] = 'x'};

	if (((struct server_connection *)arg)->server->script->trick == SERVER_FLOODS)
		bufferevent_write(bev, more, sizeof(more));
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
		connection_free(arg);
}

/* From here on TLS. */
static void connection_tls(struct server_connection *c)
{
	evutil_socket_t fd = bufferevent_getfd(c->bev);
	struct bufferevent *plain = c->bev;

	bufferevent_disable(plain, EV_READ | EV_WRITE);
	bufferevent_setfd(plain, -1);
	c->bev = bufferevent_openssl_socket_new(c->server->loop, fd, SSL_new(c->server->tls),
						BUFFEREVENT_SSL_ACCEPTING,
						BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	bufferevent_openssl_set_allow_dirty_shutdown(c->bev, 1);
	bufferevent_setcb(c->bev, on_read, on_flooded, on_event, c);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
	bufferevent_free(plain);
}

static void on_dribble(evutil_socket_t fd, short what, void *arg)
{
	struct server_connection *c = arg;

	(void)fd;
	(void)what;
	bufferevent_write(c->bev, "2", 1);
	event_add(c->dribble, &(struct timeval){.tv_usec = DRIBBLE_MS * 1000});
}

static void connection_play(struct server_connection *c)
{
	const struct server_script *script = c->server->script;

	if (script->tls)
		connection_tls(c);
	if (script->greeting)
		say(c, script->greeting);
	if (script->trick == SERVER_DRIBBLES) {
		c->dribble = evtimer_new(c->server->loop, on_dribble, c);
		on_dribble(-1, 0, c);
	} else if (script->trick == SERVER_FLOODS) {
		on_flooded(c->bev, c);
	}
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *sa,
		      int size, void *arg)
{
	struct server *s = arg;
	struct linger reset = {.l_onoff = 1};
	struct server_connection *c;

	(void)listener;
	(void)sa;
	(void)size;
	s->accepted++;
	if (s->script->trick == SERVER_RESETS || s->script->trick == SERVER_CLOSES) {
		if (s->script->trick == SERVER_RESETS)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
		return;
	}
	s->open++;
	if (s->open > s->most_open)
		s->most_open = s->open;
	c = calloc(1, sizeof(*c));
	c->server = s;
	c->next = s->connections;
	s->connections = c;
	c->bev = bufferevent_socket_new(s->loop, fd, BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(c->bev, on_read, on_flooded, on_event, c);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
	connection_play(c);
}

/* ---- the server ---- */

void server_start(struct server *s, struct event_base *loop, const char *addr,
		  const struct server_script *script)
{
	struct sockaddr_storage sa;
	socklen_t size;

	*s = (struct server){.loop = loop, .script = script};
	assert_int_equal(addr_parse(addr, &s->addr), 0);
	size = addr_sockaddr(&s->addr, 0, &sa);
	s->tls = tls_server_new(s);
	s->listener = evconnlistener_new_bind(loop, on_accept, s,
					      LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 256,
					      (struct sockaddr *)&sa, (int)size);
	assert_non_null(s->listener);
	size = sizeof(sa);
	getsockname(evconnlistener_get_fd(s->listener), (struct sockaddr *)&sa, &size);
	s->port = ntohs(sa.ss_family == AF_INET ? ((struct sockaddr_in *)&sa)->sin_port
						: ((struct sockaddr_in6 *)&sa)->sin6_port);
}

void server_stop(struct server *s)
{
	while (s->connections)
		connection_free(s->connections);
	evconnlistener_free(s->listener);
	SSL_CTX_free(s->tls);
}

uint16_t server_port_closed(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, size), 0);
	getsockname(fd, (struct sockaddr *)&sin, &size);
	close(fd);
	return ntohs(sin.sin_port);
}

static void on_most(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	*(bool *)arg = true;
}

bool server_loop_until(struct event_base *loop, const bool *flag, uint32_t most_ms)
{
	bool over = false;
	struct event *most = evtimer_new(loop, on_most, &over);

	event_add(most,
		  &(struct timeval){.tv_sec = most_ms / 1000, .tv_usec = most_ms % 1000 * 1000});
	while (!*flag && !over)
		event_base_loop(loop, EVLOOP_ONCE);
	event_free(most);
	return *flag;
}
