/* SPDX-License-Identifier: BSD-2-Clause */
/* test_heart.c: what must hold of the socket of heartbeats while a parent follows another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/parent/stand_in.h"

enum { PORT = 5405, SENDERS = 64 };

static void network_make(void)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd;

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
	close(fd);
}

/* A datagram from each of many ports. */
static void send_many(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(PORT + 1),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	for (int i = 0; i < SENDERS; i++) {
		int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		assert_int_equal(sendto(fd, "?", 1, 0, (const struct sockaddr *)&to, sizeof(to)),
				 1);
		close(fd);
	}
}

static int heard(int fd)
{
	char byte;
	int n = 0;

	while (recv(fd, &byte, 1, MSG_DONTWAIT) == 1)
		n++;
	return n;
}

static void test_older_socket_hears_all_until_it_is_closed(void **state)
{
	struct config *config = calloc(1, sizeof(*config));
	struct parent before = {.config = config, .heart_fd = -1}, next = before;

	(void)state;
	network_make();
	config->sync.n_links = 1;
	config->sync.port = PORT;
	heart_take(&before);
	heart_take(&next);
	assert_true(before.heart_fd >= 0 && next.heart_fd >= 0);
	send_many();
	assert_int_equal(heard(before.heart_fd), SENDERS);
	assert_int_equal(heard(next.heart_fd), 0);
	close(before.heart_fd);
	send_many();
	assert_int_equal(heard(next.heart_fd), SENDERS);
	close(next.heart_fd);
	free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_older_socket_hears_all_until_it_is_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
