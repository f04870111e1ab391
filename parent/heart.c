/* SPDX-License-Identifier: BSD-2-Clause */
/* heart.c: the socket of heartbeats, which the parent opens and keeps, and its key.
 *
 * The kernel answers a partner's question by whether somebody has it (bpf/guard.bpf.c): so it is
 * there as long as the parent or a vrrp lives, and while vrrp is started again. A reload that
 * changes the port makes a new one.
 */
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "bpf/abi_guard.h"
#include "parent/parent.h"

static const char label[] = "sluice heartbeat";

/* first_hears: of two that have the port, the older one hears all until it is closed. Else the
 * kernel would spread what comes over both, and a vrrp that is about to be replaced would take its
 * partner for dead.
 */
static int first_hears(int fd)
{
	struct sock_filter first = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog program = {.len = 1, .filter = &first};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program));
}

/* socket_open: of both families, with the priority by which the kernel's guard knows it. Another of
 * root's may have the port, too: the one of the parent that this one follows.
 */
static int socket_open(uint16_t port)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int off = 0, on = 1, priority = HEART_PRIORITY, r;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_PRIORITY, &priority, sizeof(priority)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0 &&
	    bind(fd, (const struct sockaddr *)&to, sizeof(to)) == 0 && first_hears(fd) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

void heart_take(struct parent *p)
{
	uint16_t port = p->config->sync.n_links > 0 ? (uint16_t)(p->config->sync.port + 1) : 0;

	if (p->heart_fd >= 0 && port == p->heart_port)
		return;
	if (p->heart_fd >= 0)
		close(p->heart_fd);
	p->heart_fd = port ? socket_open(port) : -1;
	p->heart_port = port;
	if (port && p->heart_fd < 0)
		log_err("no heartbeats: port=%u error=\"%s\"; partners are known by adverts alone",
			port, strerror(-p->heart_fd));
}

void heart_send(struct parent *p)
{
	struct message_heart m = {.port = p->heart_port};
	uint8_t key[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (p->heart_fd >= 0 && HMAC(EVP_sha256(), p->key, sizeof(p->key), (const uint8_t *)label,
				     sizeof(label) - 1, key, &n))
		memcpy(m.key, key, sizeof(m.key));
	supervisor_send(p, ROLE_VRRP, MESSAGE_HEART, &m, n > 0 ? p->heart_fd : -1);
	explicit_bzero(key, sizeof(key));
}
