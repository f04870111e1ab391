/* SPDX-License-Identifier: BSD-2-Clause */
/* via.c: see via.h. */
#include "healthcheck/via.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	GUE_BYTES = 12, /* UDP's header and its own */
	TCP_BYTES = 20,
	MSS_LEAST = 88, /* that the kernel takes */
};

struct vias {
	const struct config *config;
	uint32_t n;
	uint32_t services[]; /* sorted by pool and port, then as in the configuration */
};

static int compare(const struct config *c, uint32_t service, uint32_t pool, uint16_t port)
{
	const struct config_service *s = config_service(c, service);

	if (s->pool != pool)
		return s->pool < pool ? -1 : 1;
	return (s->port > port) - (s->port < port);
}

static int service_compare(const void *a, const void *b, void *config)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	const struct config_service *s = config_service(config, y);
	int r = compare(config, x, s->pool, s->port);

	return r ? r : (x > y) - (x < y);
}

int vias_new(const struct config *config, struct vias **ret_vias)
{
	struct vias *v = calloc(1, sizeof(*v) + config->n_services * sizeof(v->services[0]));

	if (!v)
		return -ENOMEM;
	v->config = config;
	for (uint32_t i = 0; i < config->n_services; i++) {
		if (config_service(config, i)->mark)
			v->services[v->n++] = i;
	}
	if (v->n)
		qsort_r(v->services, v->n, sizeof(v->services[0]), service_compare,
			(void *)(uintptr_t)config);
	*ret_vias = v;
	return 0;
}

void vias_free(struct vias *v)
{
	free(v);
}

/* The first one of a pool and port, in v->services; v->n when there is none. */
static uint32_t first_of(const struct vias *v, uint32_t pool, uint16_t port)
{
	uint32_t low = 0, high = v->n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (compare(v->config, v->services[middle], pool, port) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static const struct config_service *one_of(const struct vias *v, uint32_t at, uint32_t pool,
					   uint16_t port)
{
	if (at >= v->n || compare(v->config, v->services[at], pool, port) != 0)
		return NULL;
	return config_service(v->config, v->services[at]);
}

static uint16_t mss_of(const struct config_pool *pool, const struct config_backend *b,
		       const struct config_service *s)
{
	int outer = addr_is_ipv4(&b->addr) ? 20 : 40, inner = addr_is_ipv4(&s->vip) ? 20 : 40;
	int mss = pool->tunnel.mtu - outer - inner - TCP_BYTES;

	if (pool->mode != MODE_TUNNEL)
		return 0;
	if (pool->tunnel.type == TUNNEL_GUE)
		mss -= GUE_BYTES;
	return (uint16_t)(mss > MSS_LEAST ? mss : MSS_LEAST);
}

struct via via_next(const struct vias *v, const struct config_backend *b, uint16_t port,
		    struct via_turn *turn)
{
	uint32_t first = v ? first_of(v, b->pool, port) : 0;
	const struct config_service *s = v ? one_of(v, first, b->pool, port) : NULL, *next = s;

	for (uint32_t at = first; next; at++) {
		const struct config_service *one = one_of(v, at, b->pool, port);

		if (!one)
			break;
		if (memcmp(&one->vip, &turn->vip, sizeof(one->vip)) != 0)
			continue;
		next = turn->passed ? one_of(v, at + 1, b->pool, port) : one;
		if (next)
			s = next;
		break;
	}
	*turn = (struct via_turn){0};
	if (!s)
		return (struct via){0};
	turn->vip = s->vip;
	return (struct via){.mark = s->mark,
			    .vip = s->vip,
			    .mss = mss_of(config_pool(v->config, b->pool), b, s)};
}

void via_turn_end(struct via_turn *turn, enum verdict_word word)
{
	turn->passed = word == VERDICT_PASS;
}

const char *via_text(const struct via *via, char buf[static VIA_TEXT])
{
	static const char word[] = " via ";

	buf[0] = '\0';
	if (!via->mark)
		return buf;
	memcpy(buf, word, sizeof(word));
	addr_format(&via->vip, buf + sizeof(word) - 1);
	return buf;
}

void via_tell(const struct via *via, struct verdict *v)
{
	char text[VIA_TEXT];
	size_t n, used = strlen(v->text);

	if (!via->mark || v->word == VERDICT_PASS || v->word == VERDICT_UNABLE)
		return;
	n = strlen(via_text(via, text));
	if (used + n >= sizeof(v->text))
		used = sizeof(v->text) - 1 - n; /* the server's words give way */
	memcpy(v->text + used, text, n + 1);
}

void via_mark(const struct via *via, int fd)
{
	int mss = via->mss;

	if (!via->mark)
		return;
	setsockopt(fd, SOL_SOCKET, SO_MARK, &via->mark, sizeof(via->mark));
	if (mss)
		setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &mss, sizeof(mss));
}

int via_permitted(void)
{
	uint32_t mark = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	r = setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0 ? -errno : 0;
	close(fd);
	return r;
}
