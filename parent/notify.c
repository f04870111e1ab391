/* SPDX-License-Identifier: BSD-2-Clause */
/* notify.c: see notify.h. */
#include "parent/notify.h"

#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { FIRST_STORED = 3 };

/* A datagram to $NOTIFY_SOCKET ("@": an abstract one), with @fd unless it is -1. */
static bool tell(const char *text, int fd)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr msg = {.msg_name = &to, .msg_iov = &iov, .msg_iovlen = 1};
	bool told;
	int sock;

	if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(to.sun_path))
		return false;
	strcpy(to.sun_path, path);
	if (path[0] == '@')
		to.sun_path[0] = '\0';
	msg.msg_namelen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	if (fd >= 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	}
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	told = sock >= 0 && sendmsg(sock, &msg, MSG_NOSIGNAL) >= 0;
	if (sock >= 0)
		close(sock);
	return told;
}

bool notify(const char *text)
{
	return tell(text, -1);
}

bool notify_store(const char *name, int fd)
{
	char text[64];

	snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s", name);
	return tell(text, fd);
}

/* The other end is closed when the datagram, and so all before it, was taken. */
bool notify_wait(int limit_ms)
{
	struct pollfd end = {.events = 0};
	bool taken;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return false;
	taken = tell("BARRIER=1", ends[1]);
	close(ends[1]);
	end.fd = ends[0];
	taken = taken && poll(&end, 1, limit_ms) > 0;
	close(ends[0]);
	return taken;
}

int notify_stored(struct stored *ret_stored, int most)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	const char *names = getenv("LISTEN_FDNAMES");
	int n = pid && count && names && atoi(pid) == getpid() ? atoi(count) : 0, found = 0;

	for (int i = 0; i < n; i++) {
		struct stored *s = &ret_stored[found];
		size_t length = strcspn(names, ":");
		char text[64];

		fcntl(FIRST_STORED + i, F_SETFD, FD_CLOEXEC);
		if (found < most) {
			snprintf(s->name, sizeof(s->name), "%.*s", (int)length, names);
			s->fd = FIRST_STORED + i;
			found++;
			snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", s->name);
			notify(text);
		}
		names += length + (names[length] == ':');
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return found;
}
