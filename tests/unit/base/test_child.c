/* SPDX-License-Identifier: BSD-2-Clause */
/* test_child.c: a child that waits for a CPU is told from one that hangs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/log.h"

/* One that never sleeps, on the first CPU that is ours. */
static pid_t spinner_start(void)
{
	pid_t pid = fork();
	cpu_set_t all, one;

	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	sched_getaffinity(0, sizeof(all), &all);
	CPU_ZERO(&one);
	for (size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++) {
		if (CPU_ISSET(cpu, &all))
			CPU_SET(cpu, &one);
	}
	sched_setaffinity(0, sizeof(one), &one);
	alarm(30);
	for (;;)
		;
}

static void test_waiting_for_a_cpu_is_counted_and_being_stopped_is_not(void **state)
{
	pid_t a = spinner_start(), b = spinner_start();
	uint64_t until = clock_ms() + 10000, waited;

	(void)state;
	while (clock_ms() < until && (child_waited_ms(a) < 100 || child_waited_ms(b) < 100))
		usleep(20000);
	assert_true(child_waited_ms(a) >= 100 && child_waited_ms(b) >= 100);
	kill(a, SIGSTOP);
	assert_int_equal(waitpid(a, NULL, WUNTRACED), a);
	waited = child_waited_ms(a);
	usleep(300000);
	assert_int_equal(child_waited_ms(a), waited);
	kill(a, SIGKILL);
	kill(b, SIGKILL);
	waitpid(a, NULL, 0);
	waitpid(b, NULL, 0);
	assert_int_equal(child_waited_ms(a), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waiting_for_a_cpu_is_counted_and_being_stopped_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
