/* SPDX-License-Identifier: BSD-2-Clause */
/* scale_server.c: ten thousand SMTP servers for bench_scale.py, and when each of them was asked.
 *
 *     scale_server FIRST-PORT PORTS
 *
 * Listens at the ports, on whatever addresses the machine has. Lines of standard input, each
 * answered by one of standard output:
 *
 *     serve      all answer
 *     hang N     10.80.0.1 and the N - 1 after it accept, and never greet
 *     refuse     nobody listens
 *     take FILE  into it what came since the last time: struct asked, as it is in memory
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PORTS_MOST = 64, ASKED_MOST = 8 << 20, FILES_MOST = 1 << 16, A_TURN = 64 };

struct asked {
	uint64_t at_us; /* CLOCK_MONOTONIC */
	uint32_t address, port;
};

static struct {
	int loop, listeners[PORTS_MOST];
	uint16_t first_port;
	int n_ports;
	uint32_t hang_first, hang_end;
	struct asked *asked;
	size_t n_asked;
	bool ended[FILES_MOST]; /* by descriptor: QUIT was said */
} self;

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void watch(int fd)
{
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

	if (epoll_ctl(self.loop, EPOLL_CTL_ADD, fd, &e) < 0)
		err(1, "epoll_ctl");
}

static void listen_all(void)
{
	for (int i = 0; i < self.n_ports; i++) {
		struct sockaddr_in at = {.sin_family = AF_INET,
					 .sin_port = htons((uint16_t)(self.first_port + i))};
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

		if (self.listeners[i] >= 0)
			continue;
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 16384) < 0)
			err(1, "listen");
		self.listeners[i] = fd;
		watch(fd);
	}
}

static void listen_no_more(void)
{
	for (int i = 0; i < self.n_ports; i++) {
		if (self.listeners[i] >= 0)
			close(self.listeners[i]);
		self.listeners[i] = -1;
	}
}

/* ---- conversations ---- */

static void say(int fd, const char *text)
{
	if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET)
		warn("send");
}

static void on_listener(int listener)
{
	for (int turn = 0; turn < A_TURN; turn++) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct sockaddr_in at = {0};
		socklen_t size = sizeof(at);
		uint32_t address;

		if (fd < 0)
			return;
		getsockname(fd, (struct sockaddr *)&at, &size);
		address = ntohl(at.sin_addr.s_addr);
		if (self.n_asked < ASKED_MOST)
			self.asked[self.n_asked++] =
				(struct asked){now_us(), address, ntohs(at.sin_port)};
		if (fd >= FILES_MOST) {
			close(fd);
			continue;
		}
		self.ended[fd] = false;
		watch(fd);
		if (address < self.hang_first || address >= self.hang_end)
			say(fd, "220 mx ESMTP\r\n");
	}
}

/* A probe sends a line at a time, or the last two together. */
static void on_client(int fd)
{
	char line[1024];
	ssize_t n = recv(fd, line, sizeof(line) - 1, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || self.ended[fd]) {
		close(fd);
		return;
	}
	line[n] = '\0';
	if (strstr(line, "EHLO") || strstr(line, "HELO"))
		say(fd, "250 mx\r\n");
	if (strstr(line, "QUIT")) {
		say(fd, "221 bye\r\n");
		shutdown(fd, SHUT_WR);
		self.ended[fd] = true;
	}
}

/* ---- orders ---- */

static void take(const char *path)
{
	FILE *f = fopen(path, "we");

	if (!f || fwrite(self.asked, sizeof(*self.asked), self.n_asked, f) != self.n_asked)
		err(1, "%s", path);
	fclose(f);
	self.n_asked = 0;
}

static bool on_order(void)
{
	char line[512];
	ssize_t n = read(STDIN_FILENO, line, sizeof(line) - 1);

	if (n <= 0)
		return false;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (strncmp(line, "take ", 5) == 0) {
		take(line + 5);
	} else if (strncmp(line, "hang ", 5) == 0) {
		self.hang_end = self.hang_first + (uint32_t)atoi(line + 5);
	} else if (strcmp(line, "refuse") == 0) {
		listen_no_more();
	} else {
		self.hang_end = self.hang_first;
		listen_all();
	}
	puts("done");
	fflush(stdout);
	return true;
}

static bool is_listener(int fd)
{
	for (int i = 0; i < self.n_ports; i++) {
		if (self.listeners[i] == fd)
			return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	struct rlimit limit;
	struct epoll_event events[A_TURN];
	bool goes_on = argc == 3;

	if (!goes_on)
		errx(2, "usage: scale_server FIRST-PORT PORTS");
	self.first_port = (uint16_t)atoi(argv[1]);
	self.n_ports = atoi(argv[2]) < PORTS_MOST ? atoi(argv[2]) : PORTS_MOST;
	self.hang_first = self.hang_end = ntohl(inet_addr("10.80.0.1"));
	self.asked = calloc(ASKED_MOST, sizeof(*self.asked));
	self.loop = epoll_create1(EPOLL_CLOEXEC);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	if (!self.asked || self.loop < 0 || setrlimit(RLIMIT_NOFILE, &limit) < 0)
		err(1, "start");
	memset(self.listeners, -1, sizeof(self.listeners));
	watch(STDIN_FILENO);
	listen_all();
	while (goes_on) {
		int n = epoll_wait(self.loop, events, A_TURN, -1);

		for (int i = 0; i < n && goes_on; i++) {
			int fd = events[i].data.fd;

			if (fd == STDIN_FILENO)
				goes_on = on_order();
			else if (is_listener(fd))
				on_listener(fd);
			else
				on_client(fd);
		}
	}
	return 0;
}
