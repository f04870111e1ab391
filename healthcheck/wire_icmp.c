/* SPDX-License-Identifier: BSD-2-Clause */
/* wire_icmp.c: echo requests (RFC 792, RFC 4443 4.1), by one raw socket for each family.
 *
 * The sockets are opened before the process is confined, and the kernel lets nothing but echo
 * replies through to them. An answer is known by its identifier and sequence number, 32 bits that
 * no two conversations of the same time share, and by the address that it comes from; the payload
 * is the probe's to check. A process that holds these sockets could send any ICMP message, and
 * nothing else.
 */
#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "healthcheck/wire.h"

/* After <net/if.h>, which it knows to live with. */
#include <linux/icmp.h>

enum {
	ICMP_BUCKETS = 4096,
	ICMP_AT_ONCE = 64,	    /* replies read in one turn of the loop */
	ICMP_QUEUE_BYTES = 1 << 20, /* that the kernel keeps for us */
	ECHO_HEAD = 8,		    /* bytes before the payload, in both families */
};

struct icmp {
	int fd4, fd6; /* -1 = none */
	struct event *readable4, *readable6;
	uint32_t next_key;
	struct wire *waiting[ICMP_BUCKETS]; /* by key */
};

struct echo { /* of both families; big endian but for the key's halves, which only we read */
	uint8_t type, code;
	uint8_t checksum[2];
	uint8_t key[4]; /* identifier and sequence number */
};

/* ---- replies ---- */

static struct wire **wire_find(struct icmp *icmp, uint32_t key)
{
	struct wire **at = &icmp->waiting[key % ICMP_BUCKETS];

	while (*at && (*at)->key != key)
		at = &(*at)->next;
	return at;
}

/* @bytes: an ICMP message. */
static void reply_take(struct icmp *icmp, const struct addr *from, uint8_t type, const char *bytes,
		       size_t n)
{
	struct echo echo;
	struct wire *w;
	uint32_t key;

	if (n <= ECHO_HEAD)
		return;
	memcpy(&echo, bytes, sizeof(echo));
	memcpy(&key, echo.key, sizeof(key));
	w = *wire_find(icmp, key);
	if (echo.type != type || echo.code != 0 || !w || memcmp(&w->addr, from, sizeof(*from)) != 0)
		return;
	w->hooks->received(w->owner, bytes + ECHO_HEAD, n - ECHO_HEAD);
}

/* A raw socket of IPv4 gives the packet, its header included. */
static void packet4_take(struct icmp *icmp, const struct sockaddr_storage *sa, const char *bytes,
			 size_t n)
{
	struct addr from = {.in6.s6_addr = {[10] = 0xff, [11] = 0xff}};
	size_t head = n > 0 ? (size_t)(bytes[0] & 15) * 4 : 0;

	if (head < sizeof(struct iphdr) || head > n)
		return;
	memcpy(&from.in6.s6_addr[12], &((const struct sockaddr_in *)sa)->sin_addr, 4);
	reply_take(icmp, &from, ICMP_ECHOREPLY, bytes + head, n - head);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct icmp *icmp = arg;
	char chunk[2048];

	(void)what;
	for (int i = 0; i < ICMP_AT_ONCE; i++) {
		struct sockaddr_storage sa = {0};
		socklen_t size = sizeof(sa);
		ssize_t n = recvfrom(fd, chunk, sizeof(chunk), MSG_DONTWAIT, (struct sockaddr *)&sa,
				     &size);

		if (n < 0)
			return;
		if (fd == icmp->fd4)
			packet4_take(icmp, &sa, chunk, (size_t)n);
		else
			reply_take(icmp, &(struct addr){((struct sockaddr_in6 *)&sa)->sin6_addr},
				   ICMP6_ECHO_REPLY, chunk, (size_t)n);
	}
}

/* ---- requests ---- */

static uint16_t checksum(const uint8_t *bytes, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static size_t send_echo(struct wire *w, const char *bytes, size_t n)
{
	bool ipv4 = addr_is_ipv4(&w->addr);
	uint8_t packet[ECHO_HEAD + WIRE_DATAGRAM] = {ipv4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST};
	const struct icmp *icmp = w->shared->icmp;
	struct sockaddr_storage sa;
	socklen_t size = addr_sockaddr(&w->addr, 0, &sa);
	uint16_t sum;

	wire_keep(w, bytes, n);
	memcpy(packet + 4, &w->key, sizeof(w->key));
	memcpy(packet + ECHO_HEAD, bytes, n);
	sum = checksum(packet, ECHO_HEAD + n); /* for IPv6 the kernel makes its own */
	packet[2] = (uint8_t)(sum >> 8);
	packet[3] = (uint8_t)sum;
	if (sendto(ipv4 ? icmp->fd4 : icmp->fd6, packet, ECHO_HEAD + n, MSG_NOSIGNAL | MSG_DONTWAIT,
		   (struct sockaddr *)&sa, size) < 0 &&
	    errno != EAGAIN && errno != ENOBUFS && errno != EINTR)
		w->hooks->broken(w->owner, errno);
	return n;
}

static int begin(struct wire *w)
{
	struct icmp *icmp = w->shared ? w->shared->icmp : NULL;
	struct wire **at;

	if (!icmp || (addr_is_ipv4(&w->addr) ? icmp->fd4 : icmp->fd6) < 0)
		return -ENOBUFS; /* ours: says nothing about the server */
	do {
		w->key = icmp->next_key++;
		at = wire_find(icmp, w->key);
	} while (*at);
	*at = w;
	w->hooks->ready(w->owner);
	return 0;
}

static void stop(struct wire *w)
{
	struct icmp *icmp = w->shared ? w->shared->icmp : NULL;
	struct wire **at = icmp ? wire_find(icmp, w->key) : NULL;

	if (at && *at == w) {
		*at = w->next;
		w->next = NULL;
	}
}

const struct wire_ops wire_icmp = {.name = "ICMP", .begin = begin, .send = send_echo, .stop = stop};

/* ---- the sockets ---- */

static int socket_open(int family, int protocol, struct event_base *loop, struct icmp *icmp,
		       struct event **ret_readable)
{
	struct icmp_filter only4 = {.data = ~(1U << ICMP_ECHOREPLY)};
	struct icmp6_filter only6;
	int queue = ICMP_QUEUE_BYTES, r;
	int fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);

	if (fd < 0) {
		log_warning("no icmp probes for IPv%d: error=%s", family == AF_INET ? 4 : 6,
			    strerror(errno));
		return -1;
	}
	ICMP6_FILTER_SETBLOCKALL(&only6);
	ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &only6);
	r = family == AF_INET ? setsockopt(fd, SOL_RAW, ICMP_FILTER, &only4, sizeof(only4))
			      : setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &only6, sizeof(only6));
	if (r < 0)
		log_warning("every ICMP message comes to the probes: error=%s", strerror(errno));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &queue, sizeof(queue)) < 0)
		log_debug("the kernel's queue for ICMP stays small: error=%s", strerror(errno));
	*ret_readable = event_new(loop, fd, EV_READ | EV_PERSIST, on_readable, icmp);
	if (!*ret_readable || event_add(*ret_readable, NULL) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

struct icmp *icmp_new(struct event_base *loop, uint32_t first_key)
{
	struct icmp *icmp = calloc(1, sizeof(*icmp));

	if (!icmp)
		return NULL;
	icmp->next_key = first_key;
	icmp->fd4 = socket_open(AF_INET, IPPROTO_ICMP, loop, icmp, &icmp->readable4);
	icmp->fd6 = socket_open(AF_INET6, IPPROTO_ICMPV6, loop, icmp, &icmp->readable6);
	return icmp;
}

void icmp_free(struct icmp *icmp)
{
	if (!icmp)
		return;
	if (icmp->readable4)
		event_free(icmp->readable4);
	if (icmp->readable6)
		event_free(icmp->readable6);
	if (icmp->fd4 >= 0)
		close(icmp->fd4);
	if (icmp->fd6 >= 0)
		close(icmp->fd6);
	free(icmp);
}
