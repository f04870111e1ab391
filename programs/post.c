/* SPDX-License-Identifier: BSD-2-Clause */
/* post.c: see post.h. https verifies the server against the system's authorities and the URL's
 * host; there is no switch against that. Redirects are not followed: the operator wrote where it
 * goes.
 */
#include "programs/post.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_MOST = 4096, REQUEST_SIZE = 1024 + JSON_SIZE };

int post_answer(const char *bytes, size_t n)
{
	static const char version[] = "HTTP/1.";
	const size_t code_at = sizeof(version) + 1; /* behind the minor version and a blank */
	const char *end = memchr(bytes, '\n', n);
	const char *code = bytes + code_at;
	size_t known = n < sizeof(version) - 1 ? n : sizeof(version) - 1;

	if (memcmp(bytes, version, known) != 0)
		return -EPROTO;
	if (!end)
		return n < ANSWER_MOST ? -EAGAIN : -EPROTO;
	if ((size_t)(end - bytes) < code_at + 3 || bytes[code_at - 1] != ' ' || code[0] < '1' ||
	    code[0] > '5' || !isdigit((unsigned char)code[1]) || !isdigit((unsigned char)code[2]) ||
	    !strchr(" \r\n", code[3]))
		return -EPROTO;
	return (code[0] - '0') * 100 + (code[1] - '0') * 10 + (code[2] - '0');
}

/* ---- the connection ---- */

static uint32_t addresses_count(const struct addrinfo *all)
{
	uint32_t n = 0;

	for (; all; all = all->ai_next)
		n++;
	return n;
}

/* connect_one: within @limit_ms; the socket, or -1 with errno. */
static int connect_one(const struct addrinfo *a, uint32_t limit_ms)
{
	struct timeval limit = {.tv_sec = limit_ms / 1000, .tv_usec = limit_ms % 1000 * 1000};
	int error, fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)); /* connect's, too */
	if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
		return fd;
	error = errno == EINPROGRESS ? ETIMEDOUT : errno;
	close(fd);
	errno = error;
	return -1;
}

/* connect_any: the first of the host's addresses that answers; the socket, or -1 (told). Each has
 * its part of the time: one that swallows packets does not hide the next.
 */
static int connect_any(const struct url *url, uint32_t timeout_ms)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	struct addrinfo *all = NULL;
	uint32_t part_ms;
	char port[8];
	int r, fd = -1;

	snprintf(port, sizeof(port), "%u", url->port);
	r = getaddrinfo(url->host, port, &hints, &all);
	if (r != 0) {
		printf("host %s: %s\n", url->host, gai_strerror(r));
		return -1;
	}
	part_ms = timeout_ms / (addresses_count(all) + 1);
	for (const struct addrinfo *a = all; a && fd < 0; a = a->ai_next) {
		fd = connect_one(a, part_ms > 0 ? part_ms : 1);
		r = errno;
	}
	freeaddrinfo(all);
	if (fd < 0)
		printf("host %s port %u: %s\n", url->host, url->port, strerror(r));
	return fd;
}

static SSL *tls_new(const struct url *url)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	SSL *tls;
	struct in6_addr literal;
	bool is_name = inet_pton(AF_INET, url->host, &literal) != 1 &&
		       inet_pton(AF_INET6, url->host, &literal) != 1;

	if (!context)
		return NULL;
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	tls = SSL_CTX_set_default_verify_paths(context) == 1 ? SSL_new(context) : NULL;
	SSL_CTX_free(context);
	if (!tls)
		return NULL;
	if (is_name ? SSL_set1_host(tls, url->host) == 1 &&
			      SSL_set_tlsext_host_name(tls, url->host) == 1
		    : X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls), url->host) == 1)
		return tls;
	SSL_free(tls);
	return NULL;
}

/* tls_connect: NULL: told. */
static SSL *tls_connect(const struct url *url, int fd)
{
	SSL *tls = tls_new(url);
	long verified;

	if (tls && SSL_set_fd(tls, fd) == 1 && SSL_connect(tls) == 1)
		return tls;
	verified = tls ? SSL_get_verify_result(tls) : X509_V_OK;
	printf("host %s: TLS: %s\n", url->host,
	       verified != X509_V_OK ? X509_verify_cert_error_string(verified)
				     : ERR_reason_error_string(ERR_get_error()) ?: "no handshake");
	SSL_free(tls);
	return NULL;
}

static bool send_all(SSL *tls, int fd, const char *bytes, size_t n)
{
	while (n > 0) {
		ssize_t sent =
			tls ? SSL_write(tls, bytes, (int)n) : send(fd, bytes, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		bytes += sent;
		n -= (size_t)sent;
	}
	return true;
}

/* ---- the conversation ---- */

static size_t request_write(const struct post *post, char buf[static REQUEST_SIZE])
{
	char body[JSON_SIZE];
	size_t n = facts_json(post->facts, body);
	int r = snprintf(buf, REQUEST_SIZE,
			 "POST %s HTTP/1.1\r\n"
			 "Host: %s\r\n"
			 "User-Agent: sluice/" SLUICE_VERSION "\r\n"
			 "Content-Type: application/json\r\n"
			 "Content-Length: %zu\r\n"
			 "Connection: close\r\n\r\n%s",
			 post->url.path, post->url.authority, n, body);

	return r < 0 || r >= REQUEST_SIZE ? 0 : (size_t)r;
}

/* answer_code: as post_answer(), of the answer behind interim ones (1xx, RFC 9110 15.2), which are
 * taken out of @bytes.
 */
static int answer_code(char *bytes, size_t *n)
{
	int code;

	while ((code = post_answer(bytes, *n)) >= 100 && code <= 199) {
		const char *end = memmem(bytes, *n, "\r\n\r\n", 4);

		if (!end)
			return -EAGAIN;
		*n -= (size_t)(end + 4 - bytes);
		memmove(bytes, end + 4, *n);
	}
	return code;
}

/* answer_read: the status line's code, or -1 (told). */
static int answer_read(SSL *tls, int fd)
{
	char bytes[ANSWER_MOST];
	size_t n = 0;
	int code = -EAGAIN;

	while (code == -EAGAIN && n < sizeof(bytes)) {
		ssize_t got = tls ? SSL_read(tls, bytes + n, (int)(sizeof(bytes) - n))
				  : recv(fd, bytes + n, sizeof(bytes) - n, 0);

		if (got <= 0)
			break;
		n += (size_t)got;
		code = answer_code(bytes, &n);
	}
	if (code < 0) {
		printf("%s\n", code == -EAGAIN ? "no answer" : "the answer is no HTTP");
		return -1;
	}
	printf("%.*s\n", (int)strcspn(bytes, "\r\n"), bytes);
	return code;
}

static enum post_status status_of(int code)
{
	if (code >= 200 && code <= 299)
		return POST_DONE;
	if (code < 0 || code >= 500 || code == 408 || code == 429)
		return POST_FAILED;
	return POST_REFUSED;
}

int post_inside(const void *arg)
{
	const struct post *post = arg;
	enum post_status status = POST_FAILED;
	char request[REQUEST_SIZE];
	size_t n = request_write(post, request);
	int fd = connect_any(&post->url, post->timeout_ms);
	SSL *tls = NULL;

	signal(SIGPIPE, SIG_IGN); /* of a write by OpenSSL: it is told like any other end */
	if (fd >= 0 && post->url.tls)
		tls = tls_connect(&post->url, fd);
	if (fd >= 0 && (tls || !post->url.tls)) {
		if (send_all(tls, fd, request, n))
			status = status_of(answer_read(tls, fd));
		else
			printf("the connection was closed while it was sent\n");
	}
	SSL_free(tls);
	if (fd >= 0)
		close(fd);
	fflush(stdout);
	return status;
}
