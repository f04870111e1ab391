/* SPDX-License-Identifier: BSD-2-Clause */
/* test_process.c: what must hold of the healthcheck process as the parent sees it, and of what it
 * can still do when it is confined. The process is a real one, forked; the servers are ours.
 * Needs root, as the process does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/channel.h"
#include "healthcheck/confine.h"
#include "healthcheck/healthcheck.h"
#include "healthcheck/runner.h"
#include "healthcheck/tls.h"
#include "tests/unit/healthcheck/config_block.h"
#include "tests/unit/healthcheck/server.h"

enum { LONG_MS = 10000 };

struct bench {
	struct event_base *loop;
	struct server server;
	struct channel *channel;
	pid_t pid;
	bool up, ponged, ended, closed;
	struct message_dialogue last_line;
	uint32_t sequence;
};

static void on_message(void *owner, enum message_type type, const void *payload, int fd)
{
	struct bench *b = owner;

	assert_int_equal(fd, -1);
	if (type == MESSAGE_HEALTH) {
		b->up = ((const struct message_health *)payload)->health == HEALTH_UP;
	} else if (type == MESSAGE_PONG) {
		b->ponged = true;
		b->sequence = ((const struct message_ping *)payload)->sequence;
	} else if (type == MESSAGE_DIALOGUE) {
		b->last_line = *(const struct message_dialogue *)payload;
		b->ended = b->last_line.last;
	}
}

static void on_closed(void *owner)
{
	((struct bench *)owner)->closed = true;
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	int pair[2];

	b->loop = event_base_new();
	server_start(&b->server, b->loop, "127.0.0.1", &server_smtp_starttls);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	b->pid = fork();
	if (b->pid == 0) {
		close(pair[0]);
		_exit(healthcheck_child.run(pair[1]));
	}
	close(pair[1]);
	b->channel = channel_new(b->loop, pair[0], on_message, on_closed, b);
	*state = b;
	return 0;
}

/* process_end: it ends by itself, with this status. */
static void process_end(struct bench *b, int status)
{
	int got = -1;

	assert_int_equal(waitpid(b->pid, &got, 0), b->pid);
	b->pid = 0;
	assert_true(WIFEXITED(got));
	assert_int_equal(WEXITSTATUS(got), status);
}

static int teardown(void **state)
{
	struct bench *b = *state;

	if (b->pid > 0) {
		kill(b->pid, SIGKILL);
		waitpid(b->pid, NULL, 0);
	}
	channel_free(b->channel);
	server_stop(&b->server);
	event_base_free(b->loop);
	free(b);
	return 0;
}

static void config_send(struct bench *b, uint32_t generation)
{
	static const uint32_t timing[] = {100, LONG_MS, 1, 1};
	const struct message_config m = {.generation = generation};
	struct config_block *block = block_new();
	struct config_pool *pool = block_pool(block, "mx", "smtp", timing);
	int fd;

	pool->probe.tls = TLS_STARTTLS;
	block_backend(block, "mx1", "127.0.0.1", b->server.port);
	fd = config_seal(&block->config);
	assert_true(fd >= 0);
	assert_int_equal(channel_send(b->channel, MESSAGE_CONFIG, &m, fd), 0);
	close(fd);
	free(block);
}

static void test_process_probes_answers_pings_and_stops_when_told(void **state)
{
	struct bench *b = *state;
	const struct message_ping ping = {.sequence = 77};
	const struct message_probe ask = {.request = 5, .pool = "mx", .backend = "mx1"};
	const struct message_stop stop = {0};

	config_send(b, 1);
	assert_true(server_loop_until(b->loop, &b->up, LONG_MS));
	channel_send(b->channel, MESSAGE_PING, &ping, -1);
	assert_true(server_loop_until(b->loop, &b->ponged, LONG_MS));
	assert_int_equal(b->sequence, 77);
	channel_send(b->channel, MESSAGE_PROBE, &ask, -1);
	assert_true(server_loop_until(b->loop, &b->ended, LONG_MS));
	assert_int_equal(b->last_line.request, 5);
	assert_int_equal(b->last_line.passed, 1);
	b->up = false;
	config_send(b, 2); /* when it is confined already */
	assert_true(server_loop_until(b->loop, &b->up, LONG_MS));
	channel_send(b->channel, MESSAGE_STOP, &stop, -1);
	process_end(b, 0);
}

static void test_process_leaves_when_the_parent_is_gone(void **state)
{
	struct bench *b = *state;

	config_send(b, 1);
	assert_true(server_loop_until(b->loop, &b->up, LONG_MS));
	channel_free(b->channel);
	b->channel = NULL;
	process_end(b, 0);
}

static void test_process_has_no_user_one_capability_and_a_filter(void **state)
{
	struct bench *b = *state;
	char path[64], line[256];
	int seen = 0;
	FILE *f;

	config_send(b, 1);
	assert_true(server_loop_until(b->loop, &b->up, LONG_MS));
	snprintf(path, sizeof(path), "/proc/%d/status", (int)b->pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "Uid:", 4) == 0) {
			assert_int_not_equal(strtol(line + 4, NULL, 10), 0);
			seen++;
		}
		if (strncmp(line, "CapEff:", 7) == 0 || strncmp(line, "CapPrm:", 7) == 0 ||
		    strncmp(line, "CapBnd:", 7) == 0) {
			assert_int_equal(strtoull(line + 7, NULL, 16), 1 << CAP_NET_RAW);
			seen++;
		}
		if (strncmp(line, "Groups:", 7) == 0) {
			assert_null(strpbrk(line + 7, "0123456789"));
			seen++;
		}
		if (strcmp(line, "NoNewPrivs:\t1\n") == 0 || strcmp(line, "Seccomp:\t2\n") == 0)
			seen++;
	}
	fclose(f);
	assert_int_equal(seen, 7);
}

/* ---- what a confined process can and cannot do ---- */

struct confined {
	struct event_base *loop;
	struct runner *runner;
	bool done, passed;
};

static void on_done(void *owner, const struct verdict *v, uint32_t took_ms)
{
	struct confined *c = owner;

	(void)took_ms;
	c->done = true;
	c->passed = v->word == VERDICT_PASS;
	runner_free(c->runner);
}

/* FORBIDDEN(system call, its arguments): must fail with EPERM. */
#define FORBIDDEN(...)                                                                             \
	do {                                                                                       \
		errno = 0;                                                                         \
		if (syscall(__VA_ARGS__) != -1 || errno != EPERM)                                  \
			return __LINE__;                                                           \
	} while (0)

/* The line of the first that did not; 0 = all did. */
static int forbidden_try(void)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
	char *argv[] = {"/bin/true", NULL};

	FORBIDDEN(SYS_open, "/etc/passwd", O_RDONLY);
	FORBIDDEN(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);
	FORBIDDEN(SYS_openat2, AT_FDCWD, "/etc/passwd", NULL, 0);
	FORBIDDEN(SYS_unlink, "/nothing");
	FORBIDDEN(SYS_execve, argv[0], argv, NULL);
	FORBIDDEN(SYS_execveat, AT_FDCWD, argv[0], argv, NULL, 0);
	FORBIDDEN(SYS_fork);
	FORBIDDEN(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	FORBIDDEN(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr));
	FORBIDDEN(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
	FORBIDDEN(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0);
	FORBIDDEN(SYS_kill, getpid(), 0);
	FORBIDDEN(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	FORBIDDEN(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMP);
	FORBIDDEN(SYS_socket, AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMP);
	FORBIDDEN(SYS_socket, AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMPV6);
	FORBIDDEN(SYS_socket, AF_PACKET, SOCK_RAW, 0);
	FORBIDDEN(SYS_listen, 0, 1);
	FORBIDDEN(SYS_setsockopt, 0, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3);
	FORBIDDEN(SYS_setsockopt, 0, IPPROTO_TCP, TCP_ULP, "tls", 3);
	FORBIDDEN(SYS_setsockopt, 0, IPPROTO_TCP, TCP_REPAIR, "", 0);
	FORBIDDEN(SYS_mount, "a", "b", "c", 0, NULL);
	FORBIDDEN(SYS_unshare, CLONE_NEWUSER);
	FORBIDDEN(SYS_io_uring_setup, 1, NULL);
	FORBIDDEN(SYS_mprotect, &attr, 1, PROT_READ | PROT_WRITE | PROT_EXEC);
	FORBIDDEN(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return 0;
}

/* What other C libraries and processors have in the place of epoll_wait, poll and newfstatat, and
 * what a wire sets without looking whether it could. The line of the first that is forbidden; 0 =
 * none is.
 */
static int permitted_try(void)
{
	static const int options[][2] = {{IPPROTO_TCP, TCP_NODELAY},
					 {IPPROTO_TCP, TCP_QUICKACK},
					 {IPPROTO_TCP, TCP_MAXSEG},
					 {SOL_SOCKET, SO_LINGER},
					 {SOL_SOCKET, SO_MARK}};
	const struct timespec now = {0};
	struct stat st;

	if (syscall(SYS_epoll_pwait, -1, NULL, 1, 0, NULL, 0) != -1 || errno != EBADF)
		return __LINE__;
	if (syscall(SYS_ppoll, NULL, 0, &now, NULL, 0) != 0)
		return __LINE__;
	if (syscall(SYS_fstat, -1, &st) != -1 || errno != EBADF)
		return __LINE__;
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		if (setsockopt(-1, options[i][0], options[i][1], "", 1) != -1 || errno != EBADF)
			return __LINE__;
	}
	return 0;
}

/* A conversation with TLS, by somebody who is confined. 0 = it passed. */
static int confined_probe(struct confined *c, SSL_CTX *tls, const struct server *server)
{
	struct config_probe probe = {.tls = TLS_IMPLICIT, .timeout_ms = LONG_MS};
	struct runner_request request = {
		.loop = c->loop,
		.tls = tls,
		.ops = &probe_imap,
		.probe = &probe,
		.addr = server->addr,
		.port = server->port,
		.done = on_done,
		.owner = c,
	};

	if (runner_new(&request, &c->runner) < 0)
		return 100;
	while (!c->done)
		event_base_loop(c->loop, EVLOOP_ONCE);
	return c->passed ? 0 : 101;
}

static int confined_main(const struct server *server)
{
	static const int caps[] = {CAP_NET_RAW, -1};
	struct confined c = {.loop = event_base_new()};
	SSL_CTX *tls = tls_context_new();
	int r;

	if (!c.loop || !tls || child_confine("nobody", caps) < 0 || confine_filter() < 0)
		return 102;
	r = via_permitted();
	if (r < 0)
		fprintf(stderr, "may not mark packets: %s\n", strerror(-r));
	r = r < 0 ? r : forbidden_try();
	if (r > 0)
		fprintf(stderr, "line %d: not forbidden: %s\n", r, strerror(errno));
	if (r == 0 && (r = permitted_try()) > 0)
		fprintf(stderr, "line %d: not permitted: %s\n", r, strerror(errno));
	return r ? 103 : confined_probe(&c, tls, server);
}

static void test_confined_process_can_probe_by_tls_mark_packets_and_nothing_else(void **state)
{
	struct event_base *loop = event_base_new();
	struct server server;
	const bool never = false;
	int status = -1;
	pid_t pid;

	(void)state;
	server_start(&server, loop, "127.0.0.1", &server_imap_tls);
	pid = fork();
	if (pid == 0)
		_exit(confined_main(&server));
	for (int turn = 0; turn < 1000 && waitpid(pid, &status, WNOHANG) == 0; turn++)
		server_loop_until(loop, &never, 10);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	server_stop(&server);
	event_base_free(loop);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_process_probes_answers_pings_and_stops_when_told),
		TEST(test_process_leaves_when_the_parent_is_gone),
		TEST(test_process_has_no_user_one_capability_and_a_filter),
		cmocka_unit_test(
			test_confined_process_can_probe_by_tls_mark_packets_and_nothing_else),
	};

	signal(SIGPIPE, SIG_IGN);
	if (geteuid() != 0) {
		puts("needs root");
		return 77; /* meson: skipped */
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
