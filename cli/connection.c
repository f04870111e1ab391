/* SPDX-License-Identifier: BSD-2-Clause */
/* connection.c: one request to the daemon, its answers. Plain blocking I/O: a command has nothing
 * else to do.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/cli.h"

enum {
	ANSWER_MOST = 64 << 20,
	SILENCE_S = 130, /* longer than any request may take */
	/* Nobody listens while the process that does is being replaced. */
	AGAIN_MOST = 40,
	AGAIN_US = 50000,
};

static enum cli_exit complain(const struct options *o)
{
	const char *socket_path = o->socket;

	if (o->quiet)
		return CLI_NO_DAEMON;
	if (errno == EACCES || errno == EPERM)
		fprintf(stderr, "sluice: %s: only root may speak to the daemon\n", socket_path);
	else
		fprintf(stderr,
			"sluice: the daemon does not answer at %s: %s; is sluiced running?\n",
			socket_path, strerror(errno));
	return CLI_NO_DAEMON;
}

static int connect_once(const char *path)
{
	const struct timeval limit = {.tv_sec = SILENCE_S};
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(sa.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(sa.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

static int daemon_connect(const char *path)
{
	int fd = connect_once(path);

	for (int i = 0; fd < 0 && errno == ECONNREFUSED && i < AGAIN_MOST; i++) {
		usleep(AGAIN_US);
		fd = connect_once(path);
	}
	return fd;
}

static bool request_send(int fd, json_t *request)
{
	char *text = json_dumps(request, JSON_COMPACT);
	size_t n = text ? strlen(text) : 0, sent = 0;

	if (text)
		text[n++] = '\n'; /* in the place of its NUL */
	while (text && sent < n) {
		ssize_t w = send(fd, text + sent, n - sent, MSG_NOSIGNAL);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			break;
		sent += (size_t)w;
	}
	free(text);
	return n > 0 && sent == n;
}

/* line_read: up to the newline, ANSWER_MOST bytes at most; its length, or -1. The caller frees. */
static ssize_t line_read(FILE *in, char **ret_line)
{
	size_t n = 0, room = 4096;
	char *line = malloc(room), *more;
	int c;

	while (line && (c = getc(in)) != EOF && c != '\n' && n < ANSWER_MOST) {
		line[n++] = (char)c;
		if (n < room)
			continue;
		room *= 2;
		more = realloc(line, room);
		if (!more)
			break;
		line = more;
	}
	*ret_line = line;
	return line && n > 0 ? (ssize_t)n : -1;
}

/* answer_read: a line of the daemon's, parsed; NULL: told why not. */
static json_t *answer_read(FILE *in, const struct options *o, enum cli_exit *ret_exit)
{
	char *line = NULL;
	ssize_t n = line_read(in, &line);
	json_error_t error;
	json_t *answer = NULL;

	if (n <= 0) {
		if (!o->quiet)
			fputs("sluice: the daemon closed the connection before it answered; try again\n",
			      stderr);
		*ret_exit = CLI_NO_DAEMON;
	} else if (n >= ANSWER_MOST || !(answer = json_loadb(line, (size_t)n, 0, &error)) ||
		   !json_is_object(answer) || !json_is_boolean(json_object_get(answer, "ok"))) {
		fputs("sluice: the daemon's answer is not understood; are sluice and sluiced of one version?\n",
		      stderr);
		json_decref(answer);
		answer = NULL;
		*ret_exit = CLI_REFUSED;
	}
	free(line);
	return answer;
}

static void error_tell(const json_t *answer)
{
	const char *error = json_string_value(json_object_get(answer, "error"));

	fflush(stdout);
	fputs("sluice: ", stderr);
	for (const char *c = error ? error : "refused, without a reason"; *c; c++)
		fputc(((unsigned char)*c < 0x20 && *c != '\n') || (unsigned char)*c >= 0x7f ? '?'
											    : *c,
		      stderr);
	if (!error || !*error || error[strlen(error) - 1] != '\n')
		fputc('\n', stderr);
}

static enum cli_exit answers_read(FILE *in, const struct options *o, answer_fn *more, void *owner,
				  json_t **ret_answer)
{
	enum cli_exit status = CLI_DONE;
	json_t *answer;

	while ((answer = answer_read(in, o, &status)) != NULL) {
		if (!json_is_true(json_object_get(answer, "more")))
			break;
		bool go_on = !more || more(owner, answer);

		json_decref(answer);
		if (!go_on)
			return CLI_REFUSED;
	}
	if (!answer)
		return status;
	*ret_answer = answer;
	if (json_is_true(json_object_get(answer, "ok")))
		return CLI_DONE;
	if (!o->json && !o->quiet)
		error_tell(answer);
	return CLI_REFUSED;
}

enum cli_exit ask(const struct options *o, json_t *request, answer_fn *more, void *owner,
		  json_t **ret_answer)
{
	int fd = daemon_connect(o->socket);
	enum cli_exit status;
	FILE *in;

	*ret_answer = NULL;
	if (fd < 0) {
		json_decref(request);
		return complain(o);
	}
	if (!request_send(fd, request) || !(in = fdopen(fd, "r"))) {
		json_decref(request);
		status = complain(o);
		close(fd);
		return status;
	}
	json_decref(request);
	status = answers_read(in, o, more, owner, ret_answer);
	fclose(in);
	return status;
}
