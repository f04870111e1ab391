/* SPDX-License-Identifier: BSD-2-Clause */
/* confine.c: see confine.h. */
#include "healthcheck/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* System calls with any arguments. */
static const int calls[] = {
	/* the loop: libevent on epoll, and channel_flush() */
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait), /* in its place on arm64; likewise ppoll */
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(restart_syscall),
	/* conversations */
	SCMP_SYS(connect),
	SCMP_SYS(getsockopt),
	SCMP_SYS(getsockname), /* for a PROXY header */
	SCMP_SYS(recvfrom),
	SCMP_SYS(sendto),
	SCMP_SYS(close),
	/* the channel, the log */
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendmsg),
	SCMP_SYS(write),
	/* another configuration: the size of its memfd */
	SCMP_SYS(newfstatat),
	SCMP_SYS(fstat), /* of glibc after 2.38 */
	/* memory */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(futex),
	/* time and randomness, where the vDSO cannot help; OpenSSL asks whether it was forked */
	SCMP_SYS(clock_gettime),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(getrandom),
	SCMP_SYS(getpid),
	/* the end */
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(exit_group),
#ifdef __SANITIZE_ADDRESS__ /* what its runtime adds */
	SCMP_SYS(sched_yield),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(gettid),
#endif
};

enum {
	TCP_SOCKET = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	UDP_SOCKET = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
};

#define SOCKET_RULE(family, kind)                                                                  \
	{                                                                                          \
		.call = SCMP_SYS(socket), .n_args = 3, .args = {                                   \
			SCMP_A0(SCMP_CMP_EQ, (family)),                                            \
			SCMP_A1(SCMP_CMP_EQ, (kind)),                                              \
			SCMP_A2(SCMP_CMP_EQ, 0)                                                    \
		}                                                                                  \
	}

/* System calls with these arguments only. */
static const struct rule {
	int call;
	unsigned int n_args;
	struct scmp_arg_cmp args[3];
} rules[] = {
	SOCKET_RULE(AF_INET, TCP_SOCKET),
	SOCKET_RULE(AF_INET6, TCP_SOCKET),
	SOCKET_RULE(AF_INET, UDP_SOCKET),
	SOCKET_RULE(AF_INET6, UDP_SOCKET),
	{.call = SCMP_SYS(setsockopt),
	 .n_args = 2,
	 .args = {SCMP_A1(SCMP_CMP_EQ, IPPROTO_TCP), SCMP_A2(SCMP_CMP_EQ, TCP_NODELAY)}},
	{.call = SCMP_SYS(setsockopt),
	 .n_args = 2,
	 .args = {SCMP_A1(SCMP_CMP_EQ, IPPROTO_TCP), SCMP_A2(SCMP_CMP_EQ, TCP_MAXSEG)}},
	{.call = SCMP_SYS(setsockopt),
	 .n_args = 2,
	 .args = {SCMP_A1(SCMP_CMP_EQ, IPPROTO_TCP), SCMP_A2(SCMP_CMP_EQ, TCP_QUICKACK)}},
	{.call = SCMP_SYS(setsockopt),
	 .n_args = 2,
	 .args = {SCMP_A1(SCMP_CMP_EQ, SOL_SOCKET), SCMP_A2(SCMP_CMP_EQ, SO_MARK)}},
	{.call = SCMP_SYS(setsockopt),
	 .n_args = 2,
	 .args = {SCMP_A1(SCMP_CMP_EQ, SOL_SOCKET), SCMP_A2(SCMP_CMP_EQ, SO_LINGER)}},
	{.call = SCMP_SYS(fcntl), .n_args = 1, .args = {SCMP_A1(SCMP_CMP_EQ, F_GET_SEALS)}},
	/* memory that is not, and does not become, executable */
	{.call = SCMP_SYS(mmap), .n_args = 1, .args = {SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)}},
	{.call = SCMP_SYS(mprotect),
	 .n_args = 1,
	 .args = {SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)}},
};

int confine_filter(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r = filter ? 0 : -ENOMEM;

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]) && r == 0; i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]) && r == 0; i++)
		r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, rules[i].call, rules[i].n_args,
					   rules[i].args);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}

uint32_t confine_limits(uint32_t want)
{
	struct rlimit limit = {.rlim_cur = want, .rlim_max = want};

	if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
		return want;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 256;
	limit.rlim_cur = limit.rlim_max < want ? limit.rlim_max : want;
	setrlimit(RLIMIT_NOFILE, &limit);
	return (uint32_t)limit.rlim_cur;
}
