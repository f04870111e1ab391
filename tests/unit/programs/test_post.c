/* SPDX-License-Identifier: BSD-2-Clause */
/* test_post.c: what must hold of a webhook, whatever the server does: a process of its own with a
 * server of ours behind 127.0.0.1.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "programs/command.h"
#include "programs/post.h"

enum { LONG_MS = 20000 };

struct bench {
	struct event_base *loop;
	int listener;
	uint16_t port;
	pid_t server;
	bool done;
	struct command_end end;
};

static int listener_new(const char *address, uint16_t port, uint16_t *ret_port)
{
	struct sockaddr_storage sa;
	struct sockaddr_in *sin = (struct sockaddr_in *)&sa;
	socklen_t n = sizeof(sa);
	struct addr addr;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(addr_parse(address, &addr), 0);
	n = addr_sockaddr(&addr, port, &sa);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, n), 0);
	assert_int_equal(listen(fd, 0), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
	*ret_port = ntohs(sin->sin_port);
	return fd;
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	b->loop = event_base_new();
	b->listener = listener_new("127.0.0.1", 0, &b->port);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	if (b->server > 0) {
		kill(b->server, SIGKILL);
		waitpid(b->server, NULL, 0);
	}
	close(b->listener);
	event_base_free(b->loop);
	free(b);
	return 0;
}

/* serve: read the request, send @answer, then @more again and again, @pause_us after each. */
static void serve(struct bench *b, const char *answer, const char *more, useconds_t pause_us)
{
	char request[65536];
	int fd;

	b->server = fork();
	if (b->server != 0)
		return;
	while ((fd = accept(b->listener, NULL, NULL)) >= 0) {
		if (read(fd, request, sizeof(request)) <= 0)
			_exit(1);
		if (write(fd, answer, strlen(answer)) < 0)
			_exit(1);
		while (*more && send(fd, more, strlen(more), MSG_NOSIGNAL) > 0)
			usleep(pause_us);
		close(fd);
	}
	_exit(0);
}

static void on_done(void *owner, const struct command_end *end)
{
	struct bench *b = owner;

	b->done = true;
	b->end = *end;
	event_base_loopbreak(b->loop);
}

static void post(struct bench *b, const char *scheme, const char *host, uint32_t timeout_ms)
{
	struct facts facts = {0};
	struct post p = {.facts = &facts, .timeout_ms = timeout_ms};
	struct command *c;
	char url[128];

	facts_add(&facts, "event", "backend");
	snprintf(url, sizeof(url), "%s://%s:%u/x", scheme, host, b->port);
	assert_int_equal(url_parse(url, &p.url), 0);
	assert_int_equal(command_start(&(struct command_request){.loop = b->loop,
								 .inside = post_inside,
								 .arg = &p,
								 .timeout_ms = timeout_ms,
								 .done = on_done,
								 .owner = b},
				       &c),
			 0);
	event_base_dispatch(b->loop);
	assert_true(b->done);
}

static void test_interim_answer_is_not_the_answer(void **state)
{
	struct bench *b = *state;

	serve(b,
	      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
	      "HTTP/1.1 204 No Content\r\n\r\n",
	      "", 0);
	post(b, "http", "127.0.0.1", LONG_MS);
	assert_int_equal(b->end.error, 0);
	assert_int_equal(b->end.status, POST_DONE);
	assert_string_equal(b->end.output, "HTTP/1.1 204 No Content\n");
}

static void test_redirect_is_not_followed_and_not_tried_again(void **state)
{
	struct bench *b = *state;

	serve(b, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", "", 0);
	post(b, "http", "127.0.0.1", LONG_MS);
	assert_int_equal(b->end.status, POST_REFUSED);
}

static void test_server_that_trickles_is_left_at_the_timeout(void **state)
{
	struct bench *b = *state;

	serve(b, "HTTP/1.1", " ", 20000);
	post(b, "http", "127.0.0.1", 500);
	assert_int_equal(b->end.error, -ETIME);
	assert_true(b->end.took_ms >= 500 && b->end.took_ms < LONG_MS);
}

static void test_endless_answer_is_read_to_its_limit_only(void **state)
{
	struct bench *b = *state;

	serve(b, "HTTP/1.1 100 Continue\r\n", "X: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n", 0);
	post(b, "http", "127.0.0.1", LONG_MS);
	assert_int_equal(b->end.error, 0);
	assert_int_equal(b->end.status, POST_FAILED);
}

static void test_server_without_tls_is_told_as_such(void **state)
{
	struct bench *b = *state;

	serve(b, "HTTP/1.1 400 Bad Request\r\n\r\n", "", 0);
	post(b, "https", "127.0.0.1", LONG_MS);
	assert_int_equal(b->end.status, POST_FAILED);
	assert_non_null(strstr(b->end.output, "TLS: "));
}

/* /etc/hosts of this process alone, in a mount namespace: "dual" has both addresses. */
static int dual_host(void)
{
	char path[] = "/tmp/sluice-hosts.XXXXXX";
	static const char text[] = "127.0.0.2 dual\n127.0.0.3 dual\n";
	int r, fd = mkstemp(path);

	r = fd < 0 || write(fd, text, strlen(text)) < 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(path, "/etc/hosts", NULL, MS_BIND, NULL) < 0;
	close(fd);
	unlink(path);
	return r ? -errno : 0;
}

/* swallow: an address that answers no SYN: a listener whose queue is full. */
static void swallow(const char *address, uint16_t port, int fds[static 3])
{
	struct sockaddr_storage sa;
	struct addr addr;
	socklen_t n;

	fds[0] = listener_new(address, port, &port);
	assert_int_equal(addr_parse(address, &addr), 0);
	n = addr_sockaddr(&addr, port, &sa);
	for (int i = 1; i < 3; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		connect(fds[i], (struct sockaddr *)&sa, n);
	}
}

static void test_address_that_swallows_packets_does_not_hide_the_next(void **state)
{
	struct bench *b = *state;
	int fds[3];

	if (geteuid() != 0 || dual_host() < 0) {
		skip();
		return;
	}
	swallow("127.0.0.2", b->port, fds);
	close(b->listener);
	b->listener = listener_new("127.0.0.3", b->port, &b->port);
	serve(b, "HTTP/1.1 200 OK\r\n\r\n", "", 0);
	post(b, "http", "dual", 3000);
	assert_int_equal(b->end.error, 0);
	assert_int_equal(b->end.status, POST_DONE);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

static void test_connection_that_closes_while_it_is_sent_ends_nobody(void **state)
{
	struct bench *b = *state;
	struct facts facts = {0};
	struct post p = {.facts = &facts, .timeout_ms = LONG_MS};
	int status = 0;
	pid_t pid = fork();

	(void)b;
	if (pid == 0) {
		signal(SIGPIPE, SIG_DFL);
		if (url_parse("http://127.0.0.1:1/", &p.url) < 0)
			_exit(99);
		status = post_inside(&p);
		raise(SIGPIPE); /* as OpenSSL's write() would */
		_exit(status);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), POST_FAILED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_interim_answer_is_not_the_answer),
		TEST(test_redirect_is_not_followed_and_not_tried_again),
		TEST(test_server_that_trickles_is_left_at_the_timeout),
		TEST(test_endless_answer_is_read_to_its_limit_only),
		TEST(test_server_without_tls_is_told_as_such),
		TEST(test_address_that_swallows_packets_does_not_hide_the_next),
		TEST(test_connection_that_closes_while_it_is_sent_ends_nobody),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
