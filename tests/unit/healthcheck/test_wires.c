/* SPDX-License-Identifier: BSD-2-Clause */
/* test_wires.c: what must hold of conversations that are no connection: UDP, ICMP, programs. */
#include "healthcheck/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "healthcheck/runner.h"
#include "tests/unit/healthcheck/server.h"

struct bench {
	struct event_base *loop;
	struct wires wires;
	struct config_probe probe;
	struct runner *runner;
	bool done;
	struct verdict verdict;
	uint32_t took_ms;
	/* a server of UDP */
	int fd;
	struct event *readable;
	int heard, silent; /* datagrams; how many of them it does not answer */
	bool forges;
	/* what was to be run */
	struct message_run run;
};

static void on_done(void *owner, const struct verdict *v, uint32_t took_ms)
{
	struct bench *b = owner;

	b->done = true;
	b->verdict = *v;
	b->took_ms = took_ms;
}

static void on_run(void *owner, const struct message_run *m)
{
	((struct bench *)owner)->run = *m;
}

static void bench_init(struct bench *b, uint32_t timeout_ms)
{
	*b = (struct bench){.fd = -1, .probe = {.timeout_ms = timeout_ms}};
	b->loop = event_base_new();
	assert_non_null(b->loop);
}

static void bench_begin(struct bench *b, const struct probe_ops *ops, const char *addr,
			uint16_t port)
{
	struct runner_request request = {.loop = b->loop,
					 .ops = ops,
					 .probe = &b->probe,
					 .wires = &b->wires,
					 .pool = "mx",
					 .backend = "mx1",
					 .port = port,
					 .done = on_done,
					 .owner = b};

	assert_int_equal(addr_parse(addr, &request.addr), 0);
	if (ops->schema.defaults)
		memcpy(b->probe.conf, ops->schema.defaults, ops->schema.conf_size);
	b->done = false;
	assert_int_equal(runner_new(&request, &b->runner), 0);
}

static void expect(struct bench *b, const char *word, const char *text)
{
	assert_true(server_loop_until(b->loop, &b->done, 10000));
	assert_string_equal(verdict_name(b->verdict.word), word);
	assert_string_equal(b->verdict.text, text);
	runner_free(b->runner);
}

static void bench_fini(struct bench *b)
{
	icmp_free(b->wires.icmp);
	programs_free(b->wires.programs);
	if (b->readable)
		event_free(b->readable);
	if (b->fd >= 0)
		close(b->fd);
	event_base_free(b->loop);
}

/* ---- UDP ---- */

static void on_question(evutil_socket_t fd, short what, void *arg)
{
	struct bench *b = arg;
	struct sockaddr_storage sa;
	socklen_t size = sizeof(sa);
	uint8_t bytes[512];
	ssize_t n = recvfrom(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&sa, &size);

	(void)what;
	b->heard++;
	if (n < 12 || b->heard <= b->silent)
		return;
	bytes[2] |= 0x80;
	if (b->forges) {
		bytes[0] ^= 1;
		sendto(fd, bytes, (size_t)n, 0, (struct sockaddr *)&sa, size);
		bytes[0] ^= 1;
	}
	sendto(fd, bytes, (size_t)n, 0, (struct sockaddr *)&sa, size);
}

static uint16_t udp_server(struct bench *b)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(sin);

	b->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(b->fd, (struct sockaddr *)&sin, size), 0);
	getsockname(b->fd, (struct sockaddr *)&sin, &size);
	b->readable = event_new(b->loop, b->fd, EV_READ | EV_PERSIST, on_question, b);
	event_add(b->readable, NULL);
	return ntohs(sin.sin_port);
}

static void test_lost_datagram_is_sent_again_after_a_third_of_the_timeout(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, 600);
	b.silent = 1;
	bench_begin(&b, &probe_dns, "127.0.0.1", udp_server(&b));
	expect(&b, "pass", "NOERROR, answers: 0");
	assert_int_equal(b.heard, 2);
	assert_in_range(b.took_ms, 150, 590);
	bench_fini(&b);
}

static void test_silent_udp_server_is_asked_three_times_at_most(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, 300);
	b.silent = 100;
	bench_begin(&b, &probe_dns, "127.0.0.1", udp_server(&b));
	expect(&b, "timeout", "no answer in 300 ms");
	assert_int_equal(b.heard, 3);
	bench_fini(&b);
}

static void test_forged_datagram_does_not_decide(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, 5000);
	b.forges = true;
	bench_begin(&b, &probe_dns, "127.0.0.1", udp_server(&b));
	expect(&b, "pass", "NOERROR, answers: 0");
	bench_fini(&b);
}

static void test_closed_udp_port_is_refused(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, 5000);
	bench_begin(&b, &probe_dns, "127.0.0.1", 1);
	expect(&b, "refused", "Connection refused (no answer)");
	bench_fini(&b);
}

/* ---- ICMP ---- */

static void test_echo_of_both_families_passes_and_many_are_told_apart(void **state)
{
	struct bench b[20], outer;

	(void)state;
	bench_init(&outer, 5000);
	outer.wires.icmp = icmp_new(outer.loop, UINT32_MAX - 5); /* so that the keys wrap */
	assert_non_null(outer.wires.icmp);
	for (int i = 0; i < 20; i++) {
		bench_init(&b[i], 5000);
		event_base_free(b[i].loop);
		b[i].loop = outer.loop;
		b[i].wires = outer.wires;
		bench_begin(&b[i], &probe_icmp, i % 2 ? "::1" : "127.0.0.1", 0);
	}
	for (int i = 0; i < 20; i++)
		expect(&b[i], "pass", "echo reply");
	bench_fini(&outer);
}

/* A network of our own, in which nobody answers; for good, so for the last test. */
static void network_silent(void)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd, sysctl;

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
	close(fd);
	sysctl = open("/proc/sys/net/ipv4/icmp_echo_ignore_all", O_WRONLY | O_CLOEXEC);
	assert_int_equal(write(sysctl, "1", 1), 1);
	close(sysctl);
}

static void test_ping_without_an_answer_times_out_and_leaves_nothing_behind(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, 200);
	b.wires.icmp = icmp_new(b.loop, 0);
	bench_begin(&b, &probe_icmp, "127.0.0.1", 0);
	runner_free(b.runner); /* given up: its answer comes to nobody */
	event_base_loop(b.loop, EVLOOP_NONBLOCK);
	icmp_free(b.wires.icmp);
	network_silent();
	b.wires.icmp = icmp_new(b.loop, 0);
	bench_begin(&b, &probe_icmp, "127.0.0.1", 0);
	expect(&b, "timeout", "no echo reply in 200 ms");
	bench_begin(&b, &probe_icmp, "192.0.2.1", 0);
	expect(&b, "unreachable", "Network is unreachable (no echo reply)");
	bench_fini(&b);
}

static void test_ping_without_a_socket_says_nothing_about_the_server(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, 200);
	bench_begin(&b, &probe_icmp, "127.0.0.1", 0);
	expect(&b, "unable", "No buffer space available (no connection)");
	bench_fini(&b);
}

/* ---- programs ---- */

static void test_program_is_asked_for_by_name_and_its_end_is_the_verdict(void **state)
{
	struct message_ran ran = {.status = 2, .output = "maintenance weight=30%\nmore"};
	struct bench b;

	(void)state;
	bench_init(&b, 5000);
	b.wires.programs = programs_new(on_run, &b);
	bench_begin(&b, &probe_script, "192.0.2.1", 0);
	assert_string_equal(b.run.pool, "mx");
	assert_string_equal(b.run.backend, "mx1");
	ran.request = b.run.request + 1; /* another's */
	programs_ran(b.wires.programs, &ran);
	event_base_loop(b.loop, EVLOOP_NONBLOCK);
	assert_false(b.done);
	ran.request = b.run.request;
	programs_ran(b.wires.programs, &ran);
	programs_ran(b.wires.programs, &ran); /* twice: not heard */
	expect(&b, "leaving", "maintenance weight=30%");
	assert_int_equal(b.verdict.weight, 30);
	bench_fini(&b);
}

/* The process that runs it has killed it at the probe's timeout, and says so a little later. */
static void test_program_that_does_not_end_times_out(void **state)
{
	struct message_ran killed = {.error = -ETIME};
	struct bench b;

	(void)state;
	bench_init(&b, 100);
	b.wires.programs = programs_new(on_run, &b);
	bench_begin(&b, &probe_script, "192.0.2.1", 0);
	event_base_loopexit(b.loop, &(struct timeval){.tv_usec = 200000});
	event_base_dispatch(b.loop);
	assert_false(b.done);
	killed.request = b.run.request;
	programs_ran(b.wires.programs, &killed);
	expect(&b, "timeout", "the program was killed: it took too long");
	bench_fini(&b);
}

/* That process is being restarted, say: no word about the server. */
static void test_program_of_which_nothing_is_heard_says_nothing_about_the_server(void **state)
{
	struct message_ran late = {.output = "late"};
	struct bench b;

	(void)state;
	bench_init(&b, 100);
	b.wires.programs = programs_new(on_run, &b);
	bench_begin(&b, &probe_script, "192.0.2.1", 0);
	expect(&b, "unable", "programs are not being run");
	late.request = b.run.request;
	programs_ran(b.wires.programs, &late);
	bench_fini(&b);
}

static void test_program_that_cannot_run_says_nothing_about_the_server(void **state)
{
	struct message_ran ran = {.error = -EAGAIN};
	struct bench b;

	(void)state;
	bench_init(&b, 5000);
	b.wires.programs = programs_new(on_run, &b);
	memset(ran.output, 'x', sizeof(ran.output)); /* without its NUL */
	bench_begin(&b, &probe_script, "192.0.2.1", 0);
	ran.request = b.run.request;
	programs_ran(b.wires.programs, &ran);
	expect(&b, "unable", "the program did not run: Resource temporarily unavailable");
	bench_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lost_datagram_is_sent_again_after_a_third_of_the_timeout),
		cmocka_unit_test(test_silent_udp_server_is_asked_three_times_at_most),
		cmocka_unit_test(test_forged_datagram_does_not_decide),
		cmocka_unit_test(test_closed_udp_port_is_refused),
		cmocka_unit_test(test_echo_of_both_families_passes_and_many_are_told_apart),
		cmocka_unit_test(test_ping_without_a_socket_says_nothing_about_the_server),
		cmocka_unit_test(test_program_is_asked_for_by_name_and_its_end_is_the_verdict),
		cmocka_unit_test(test_program_that_does_not_end_times_out),
		cmocka_unit_test(
			test_program_of_which_nothing_is_heard_says_nothing_about_the_server),
		cmocka_unit_test(test_program_that_cannot_run_says_nothing_about_the_server),
		cmocka_unit_test(test_ping_without_an_answer_times_out_and_leaves_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
