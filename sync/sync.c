/* SPDX-License-Identifier: BSD-2-Clause */
/* sync.c: see sync.h. */
#include "sync/sync.h"

#include <errno.h>
#include <event2/event.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

_Static_assert(STREAM_LINKS == (int)CONFIG_LINKS, "a stream has the links of a configuration");

enum {
	READS_A_TURN = 64,
	FILLS_A_TURN = 16,
	LOOK_MS = 1000,		/* at sockets that could not be made */
	BUFFER_BYTES = 4 << 20, /* of a socket: a whole window of each of some peers */
};

struct link {
	struct sync *sync;
	int fd;		  /* -1: none */
	uint32_t ifindex; /* that it is bound to */
	struct event *event;
	char problem[160];
};

struct peer {
	struct sync *sync;
	uint32_t node;
	struct stream *stream; /* NULL: this node itself */
	struct event *timer;
	bool filling, fill_begins;
	int64_t since_s;
	uint64_t key_ms, version_ms;
	struct sync_link_state links[CONFIG_LINKS]; /* sent, received, failed */
};

struct sync {
	struct event_base *loop;
	const struct sync_ops *ops;
	void *owner;
	struct event *look;
	uint32_t own, n_nodes;
	char nodes[CONFIG_NODES][NAME_SIZE];
	struct config_sync config;
	uint8_t keys[STREAM_KEYS][SYNC_KEY_BYTES];
	uint32_t n_keys;
	struct link links[CONFIG_LINKS];
	struct peer peers[CONFIG_NODES];
	uint64_t strangers;
};

static void due_in(struct event *timer, uint64_t ms)
{
	event_add(timer, &(struct timeval){.tv_sec = (time_t)(ms / 1000),
					   .tv_usec = (suseconds_t)(ms % 1000 * 1000)});
}

/* ---- a peer's stream ---- */

static void on_stream_send(void *owner, uint32_t link, const uint8_t *bytes, size_t n)
{
	struct peer *p = owner;
	struct sync *sync = p->sync;
	struct sockaddr_storage sa;
	socklen_t len =
		addr_sockaddr(&sync->config.links[link].addresses[p->node], sync->config.port, &sa);

	if (sync->links[link].fd < 0 ||
	    sendto(sync->links[link].fd, bytes, n, MSG_DONTWAIT, (struct sockaddr *)&sa, len) < 0)
		p->links[link].failed++;
	else
		p->links[link].sent++;
}

static void on_stream_record(void *owner, uint16_t type, const uint8_t *bytes, size_t n)
{
	struct peer *p = owner;

	p->sync->ops->record(p->sync->owner, p->node, type, bytes, n);
}

static void on_stream_up(void *owner)
{
	struct peer *p = owner;

	p->since_s = time(NULL);
	p->filling = p->fill_begins = true;
	p->sync->ops->up(p->sync->owner, p->node);
}

static void on_stream_down(void *owner)
{
	struct peer *p = owner;

	p->since_s = time(NULL);
	p->filling = false;
	p->sync->ops->down(p->sync->owner, p->node);
}

static uint64_t on_stream_chance(void *owner)
{
	uint64_t value = 0;

	(void)owner;
	/* So few bytes cannot fail once the kernel has its entropy. */
	if (getrandom(&value, sizeof(value), 0) != sizeof(value))
		abort();
	return value;
}

static const struct stream_ops stream_ops = {.send = on_stream_send,
					     .record = on_stream_record,
					     .up = on_stream_up,
					     .down = on_stream_down,
					     .chance = on_stream_chance};

static void peer_fill(struct peer *p)
{
	for (int i = 0; i < FILLS_A_TURN && p->filling; i++) {
		bool first = p->fill_begins;

		if (stream_room(p->stream) < SYNC_FILL_ROOM)
			return;
		p->fill_begins = false;
		p->filling = p->sync->ops->fill(p->sync->owner, p->node, first) || p->fill_begins;
	}
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;
	uint64_t now_ms = clock_ms(), due_ms;

	(void)fd;
	(void)what;
	peer_fill(p);
	due_ms = stream_tick(p->stream, now_ms);
	if (p->filling && stream_room(p->stream) >= SYNC_FILL_ROOM)
		due_ms = now_ms;
	due_in(p->timer, due_ms > now_ms ? due_ms - now_ms : 0);
}

static void peer_wake(struct peer *p)
{
	event_active(p->timer, EV_TIMEOUT, 0);
}

static struct stream_settings settings_of(const struct sync *sync, uint32_t node)
{
	struct stream_settings settings = {.own_node = sync_node(sync->nodes[sync->own]),
					   .other_node = sync_node(sync->nodes[node]),
					   .n_links = sync->config.n_links,
					   .rate_packets_s = sync->config.rate_packets_s,
					   .n_keys = sync->n_keys};

	memcpy(settings.keys, sync->keys, sizeof(settings.keys));
	return settings;
}

static void peer_fini(struct peer *p)
{
	bool was_up = p->stream && stream_up(p->stream);

	stream_free(p->stream);
	if (p->timer)
		event_free(p->timer);
	p->stream = NULL;
	p->timer = NULL;
	p->filling = false;
	if (was_up)
		p->sync->ops->down(p->sync->owner, p->node);
}

static int peer_init(struct sync *sync, uint32_t node)
{
	struct stream_settings settings = settings_of(sync, node);
	struct peer *p = &sync->peers[node];

	*p = (struct peer){.sync = sync, .node = node};
	p->stream = stream_new(&settings, &stream_ops, p, clock_ms());
	p->timer = event_new(sync->loop, -1, 0, on_timer, p);
	explicit_bzero(&settings, sizeof(settings));
	if (!p->stream || !p->timer) {
		peer_fini(p);
		return -ENOMEM;
	}
	peer_wake(p);
	return 0;
}

/* ---- links ---- */

static struct peer *peer_at(struct sync *sync, uint32_t link, const struct sockaddr_storage *sa)
{
	struct addr addr;
	uint16_t port;

	addr_from_sockaddr(sa, &addr, &port);
	for (uint32_t i = 0; i < sync->n_nodes; i++) {
		if (sync->peers[i].stream && port == sync->config.port &&
		    memcmp(&sync->config.links[link].addresses[i], &addr, sizeof(addr)) == 0)
			return &sync->peers[i];
	}
	return NULL;
}

static void packet_in(struct link *link, const struct sockaddr_storage *sa, const uint8_t *bytes,
		      size_t n)
{
	uint32_t i = (uint32_t)(link - link->sync->links);
	struct peer *p = peer_at(link->sync, i, sa);
	uint64_t now_ms = clock_ms();

	if (!p) {
		link->sync->strangers++;
		return;
	}
	switch (stream_receive(p->stream, i, bytes, n, now_ms)) {
	case SYNC_IS_GOOD:
		p->links[i].received++;
		break;
	case SYNC_IS_KEY:
		p->key_ms = now_ms;
		break;
	case SYNC_IS_VERSION:
		p->version_ms = now_ms;
		break;
	default:
		break;
	}
	peer_wake(p);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	uint8_t bytes[SYNC_PACKET_MOST + 1]; /* a longer one is seen to be too long */
	struct link *link = arg;

	(void)what;
	for (int i = 0; i < READS_A_TURN; i++) {
		struct sockaddr_storage sa = {0};
		socklen_t len = sizeof(sa);
		ssize_t n = recvfrom(fd, bytes, sizeof(bytes), MSG_DONTWAIT, (struct sockaddr *)&sa,
				     &len);

		if (n < 0 && errno != ECONNREFUSED)
			return;
		if (n >= 0)
			packet_in(link, &sa, bytes, (size_t)n);
	}
}

static void link_close(struct link *link)
{
	if (link->event)
		event_free(link->event);
	if (link->fd >= 0)
		close(link->fd);
	link->event = NULL;
	link->fd = -1;
	link->ifindex = 0;
}

/* The address may come later: until then nothing is sent from it. */
static int link_bind(int fd, const struct config_link *conf, uint32_t own, uint16_t port)
{
	const struct addr *addr = &conf->addresses[own];
	const int on = 1, bytes = BUFFER_BYTES;
	struct sockaddr_storage sa;
	socklen_t len = addr_sockaddr(addr, port, &sa);
	bool ipv4 = addr_is_ipv4(addr);

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
		log_debug("buffers of the sync socket stay small: error=%s", strerror(errno));
	if ((!ipv4 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
	    setsockopt(fd, ipv4 ? IPPROTO_IP : IPPROTO_IPV6, ipv4 ? IP_FREEBIND : IPV6_FREEBIND,
		       &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, conf->interface,
		       (socklen_t)strlen(conf->interface)) < 0 ||
	    bind(fd, (struct sockaddr *)&sa, len) < 0)
		return -errno;
	return 0;
}

static int link_open(struct link *link, const struct config_link *conf)
{
	struct sync *sync = link->sync;
	int family = addr_is_ipv4(&conf->addresses[sync->own]) ? AF_INET : AF_INET6, r;

	link->ifindex = if_nametoindex(conf->interface);
	if (link->ifindex == 0)
		return -ENODEV;
	link->fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	r = link->fd < 0 ? -errno : link_bind(link->fd, conf, sync->own, sync->config.port);
	if (r == 0)
		link->event =
			event_new(sync->loop, link->fd, EV_READ | EV_PERSIST, on_readable, link);
	if (r == 0 && (!link->event || event_add(link->event, NULL) < 0))
		r = -ENOMEM;
	if (r < 0)
		link_close(link);
	return r;
}

/* An interface that was removed and made again has another number: the old socket is deaf. */
static void link_look(struct sync *sync, uint32_t i)
{
	const struct config_link *conf = &sync->config.links[i];
	struct link *link = &sync->links[i];
	char before[sizeof(link->problem)];
	int r;

	if (link->fd >= 0 && if_nametoindex(conf->interface) == link->ifindex)
		return;
	memcpy(before, link->problem, sizeof(before));
	link_close(link);
	r = link_open(link, conf);
	snprintf(link->problem, sizeof(link->problem), "%s", r < 0 ? strerror(-r) : "");
	if (r < 0 && strcmp(before, link->problem) != 0)
		log_warning("sync link not usable: interface=%s error=\"%s\"", conf->interface,
			    link->problem);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct sync *sync = arg;

	(void)fd;
	(void)what;
	for (uint32_t i = 0; i < sync->config.n_links; i++)
		link_look(sync, i);
}

/* ---- life ---- */

struct sync *sync_new(struct event_base *loop, const struct sync_ops *ops, void *owner)
{
	struct sync *sync = calloc(1, sizeof(*sync));

	if (!sync)
		return NULL;
	sync->loop = loop;
	sync->ops = ops;
	sync->owner = owner;
	for (uint32_t i = 0; i < CONFIG_LINKS; i++)
		sync->links[i] = (struct link){.sync = sync, .fd = -1};
	sync->look = event_new(loop, -1, EV_PERSIST, on_look, sync);
	if (!sync->look) {
		free(sync);
		return NULL;
	}
	due_in(sync->look, LOOK_MS);
	return sync;
}

void sync_free(struct sync *sync)
{
	if (!sync)
		return;
	for (uint32_t i = 0; i < CONFIG_NODES; i++) {
		stream_free(sync->peers[i].stream);
		if (sync->peers[i].timer)
			event_free(sync->peers[i].timer);
	}
	for (uint32_t i = 0; i < CONFIG_LINKS; i++)
		link_close(&sync->links[i]);
	event_free(sync->look);
	explicit_bzero(sync->keys, sizeof(sync->keys));
	free(sync);
}

static int key_take(struct sync *sync, const uint8_t secret[static 32])
{
	static const uint8_t label[] = "sluice sync";
	uint8_t key[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (!HMAC(EVP_sha256(), secret, 32, label, sizeof(label) - 1, key, &n) ||
	    n != SYNC_KEY_BYTES)
		return -ENOMEM;
	if (sync->n_keys == 0 || memcmp(sync->keys[0], key, SYNC_KEY_BYTES) != 0) {
		memcpy(sync->keys[1], sync->keys[0], SYNC_KEY_BYTES);
		memcpy(sync->keys[0], key, SYNC_KEY_BYTES);
		if (sync->n_keys < STREAM_KEYS)
			sync->n_keys++;
	}
	explicit_bzero(key, sizeof(key));
	return 0;
}

static bool nodes_stay(const struct sync *sync, const struct config *config)
{
	if (sync->n_nodes != config->n_nodes || sync->own != config->node_index ||
	    (sync->config.n_links == 0) != (config->sync.n_links == 0))
		return false;
	for (uint32_t i = 0; i < sync->n_nodes; i++) {
		if (strcmp(sync->nodes[i], config->nodes[i]) != 0)
			return false;
	}
	return true;
}

static int peers_make(struct sync *sync, const struct config *config)
{
	for (uint32_t i = 0; i < CONFIG_NODES; i++)
		peer_fini(&sync->peers[i]);
	sync->own = config->node_index;
	sync->n_nodes = config->sync.n_links > 0 ? config->n_nodes : 0;
	memcpy(sync->nodes, config->nodes, sizeof(sync->nodes));
	for (uint32_t i = 0; i < sync->n_nodes; i++) {
		if (i != sync->own && peer_init(sync, i) < 0)
			return -ENOMEM;
	}
	return 0;
}

int sync_configure(struct sync *sync, const struct config *config, const uint8_t secret[static 32])
{
	bool stay = nodes_stay(sync, config);
	int r = key_take(sync, secret);

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < CONFIG_LINKS; i++) {
		if (memcmp(&sync->config.links[i], &config->sync.links[i],
			   sizeof(sync->config.links[i])) != 0 ||
		    sync->config.port != config->sync.port || !stay)
			link_close(&sync->links[i]);
	}
	sync->config = config->sync;
	if (!stay)
		r = peers_make(sync, config);
	for (uint32_t i = 0; i < sync->n_nodes && stay; i++) {
		struct stream_settings settings = settings_of(sync, i);

		if (sync->peers[i].stream)
			stream_settle(sync->peers[i].stream, &settings);
		explicit_bzero(&settings, sizeof(settings));
	}
	on_look(-1, 0, sync);
	return r;
}

/* ---- for the owner ---- */

static struct peer *peer_of(const struct sync *sync, uint32_t peer)
{
	return peer < CONFIG_NODES && sync->peers[peer].stream ? (struct peer *)&sync->peers[peer]
							       : NULL;
}

static int peer_send(struct peer *p, uint16_t type, const void *bytes, size_t n)
{
	int r = p ? stream_record(p->stream, type, bytes, n, clock_ms()) : -ENOTCONN;

	if (r == 0 || r == -ENOBUFS)
		peer_wake(p);
	return r;
}

int sync_send(struct sync *sync, uint32_t peer, uint16_t type, const void *bytes, size_t n)
{
	if (peer != SYNC_ALL)
		return peer_send(peer_of(sync, peer), type, bytes, n);
	for (uint32_t i = 0; i < sync->n_nodes; i++) {
		if (sync_up(sync, i))
			peer_send(&sync->peers[i], type, bytes, n);
	}
	return 0;
}

uint32_t sync_room(const struct sync *sync, uint32_t peer)
{
	const struct peer *p = peer_of(sync, peer);

	return p ? stream_room(p->stream) : 0;
}

void sync_fill(struct sync *sync, uint32_t peer)
{
	struct peer *p = peer_of(sync, peer);

	if (!p || !stream_up(p->stream))
		return;
	p->filling = p->fill_begins = true;
	peer_wake(p);
}

void sync_key_known(struct sync *sync, uint32_t peer)
{
	struct peer *p = peer_of(sync, peer);

	if (p)
		stream_key_known(p->stream);
}

bool sync_is_peer(const struct sync *sync, uint32_t peer)
{
	return peer_of(sync, peer) != NULL;
}

bool sync_up(const struct sync *sync, uint32_t peer)
{
	const struct peer *p = peer_of(sync, peer);

	return p && stream_up(p->stream);
}

void sync_peer_state(const struct sync *sync, uint32_t peer, struct sync_peer_state *ret_state)
{
	const struct peer *p = peer_of(sync, peer);

	*ret_state = (struct sync_peer_state){0};
	if (!p)
		return;
	*ret_state = (struct sync_peer_state){.up = stream_up(p->stream),
					      .filling = p->filling,
					      .since_s = p->since_s,
					      .lag_ms = stream_lag_ms(p->stream, clock_ms()),
					      .waiting = stream_waiting(p->stream),
					      .key_ms = p->key_ms,
					      .version_ms = p->version_ms,
					      .counts = *stream_counts(p->stream)};
}

void sync_link_state(const struct sync *sync, uint32_t peer, uint32_t link,
		     struct sync_link_state *ret_state)
{
	const struct peer *p = peer_of(sync, peer);

	*ret_state = (struct sync_link_state){0};
	if (!p || link >= CONFIG_LINKS)
		return;
	*ret_state = p->links[link];
	ret_state->up = stream_link_up(p->stream, link, clock_ms());
}

const char *sync_link_problem(const struct sync *sync, uint32_t link)
{
	return link < CONFIG_LINKS ? sync->links[link].problem : "";
}

uint64_t sync_strangers(const struct sync *sync)
{
	return sync->strangers;
}
