/* SPDX-License-Identifier: BSD-2-Clause */
/* lab.c: see lab.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/unit/sync/lab.h"

enum { A_PART = 2000 };

struct lab lab;

static int said(struct node *node, uint32_t peer, uint32_t thing)
{
	uint8_t bytes[8];

	sync_put32(bytes, thing);
	sync_put32(bytes + 4, node->own[thing]);
	return sync_send(node->sync, peer, VALUE, bytes, sizeof(bytes));
}

void value_set(uint32_t i, uint32_t thing, uint32_t value)
{
	lab.nodes[i].own[thing] = value;
	said(&lab.nodes[i], SYNC_ALL, thing);
}

static void on_record(void *owner, uint32_t peer, uint16_t type, const uint8_t *bytes, size_t n)
{
	struct node *node = owner;

	assert_true(type == VALUE && n == 8 && sync_get32(bytes) < THINGS);
	node->heard[peer][sync_get32(bytes)] = sync_get32(bytes + 4);
}

static bool on_fill(void *owner, uint32_t peer, bool first)
{
	struct node *node = owner;

	assert_true(sync_room(node->sync, peer) >= SYNC_FILL_ROOM);
	if (first)
		node->cursor[peer] = 0;
	for (uint32_t i = 0; i < A_PART && node->cursor[peer] < node->n_things; i++) {
		if (said(node, peer, node->cursor[peer]) < 0)
			return false;
		node->cursor[peer]++;
	}
	return node->cursor[peer] < node->n_things;
}

static void on_up(void *owner, uint32_t peer)
{
	struct node *node = owner;

	node->ups[peer]++;
	memset(node->heard[peer], 0, THINGS * sizeof(uint32_t));
}

static void on_down(void *owner, uint32_t peer)
{
	((struct node *)owner)->downs[peer]++;
}

/* ---- the relay ---- */

uint32_t lab_chance(uint32_t n)
{
	lab.seed = lab.seed * 1103515245 + 12345;
	return (lab.seed >> 8) % n;
}

struct addr lab_addr(uint32_t link, uint32_t last)
{
	struct addr addr;
	char text[32];

	snprintf(text, sizeof(text), "127.0.%u.%u", link + 1, last);
	assert_int_equal(addr_parse(text, &addr), 0);
	return addr;
}

struct addr node_addr(uint32_t link, uint32_t node)
{
	return lab_addr(link, node + 1);
}

/* As which @to is known to @from. */
static struct addr relay_addr(uint32_t link, uint32_t to, uint32_t from)
{
	return lab_addr(link, 16 * (from + 1) + to);
}

void lab_deliver(const struct noted *p)
{
	struct addr addr = node_addr(p->link, p->to);
	struct sockaddr_storage sa;
	socklen_t len = addr_sockaddr(&addr, PORT, &sa);

	/* from where its receiver knows the sender */
	(void)!sendto(lab.sockets[p->link][p->from][p->to], p->bytes, p->n, MSG_DONTWAIT,
		      (struct sockaddr *)&sa, len);
}

static void pass_on(struct noted *p)
{
	if (lab.notes && lab.n_noted < NOTED)
		lab.noted[lab.n_noted++] = *p;
	if (lab.dead_link[p->link] || lab.cut[p->from] || lab.cut[p->to] ||
	    lab_chance(100) < lab.loss_percent)
		return;
	if (lab.change)
		lab.change(p->bytes, &p->n);
	if (lab.late.n == 0 && lab_chance(100) < lab.late_percent) {
		lab.late = *p;
		return;
	}
	lab_deliver(p);
	if (lab_chance(100) < lab.twice_percent)
		lab_deliver(p);
	if (lab.late.n > 0 && lab_chance(4) == 0) {
		lab_deliver(&lab.late);
		lab.late.n = 0;
	}
}

static void on_packet(evutil_socket_t fd, short what, void *arg)
{
	uint32_t where = (uint32_t)((int *)arg - &lab.sockets[0][0][0]);
	struct noted p = {
		.link = where / NODES / NODES, .to = where / NODES % NODES, .from = where % NODES};

	(void)what;
	for (int i = 0; i < 256; i++) {
		ssize_t n = recv(fd, p.bytes, sizeof(p.bytes), MSG_DONTWAIT);

		if (n < 0)
			return;
		p.n = (size_t)n;
		pass_on(&p);
	}
}

static void relay_open(uint32_t link, uint32_t to, uint32_t from)
{
	int *fd = &lab.sockets[link][to][from], bytes = 8 << 20;
	struct addr addr = relay_addr(link, to, from);
	struct sockaddr_storage sa;
	socklen_t len = addr_sockaddr(&addr, PORT, &sa);

	*fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(setsockopt(*fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)), 0);
	assert_int_equal(bind(*fd, (struct sockaddr *)&sa, len), 0);
	lab.events[link][to][from] = event_new(lab.loop, *fd, EV_READ | EV_PERSIST, on_packet, fd);
	event_add(lab.events[link][to][from], NULL);
}

/* ---- starting and waiting ---- */

void node_configure(uint32_t i)
{
	static const char *const names[NODES] = {"lb1", "lb2", "lb3"};
	struct config *config = calloc(1, sizeof(*config));

	assert_non_null(config);
	config->n_nodes = lab.n_nodes;
	config->node_index = i;
	config->sync.port = PORT;
	config->sync.rate_packets_s = lab.rate;
	config->sync.n_links = LINKS;
	for (uint32_t k = 0; k < lab.n_nodes; k++)
		snprintf(config->nodes[k], NAME_SIZE, "%s", names[k]);
	for (uint32_t link = 0; link < LINKS; link++) {
		struct config_link *l = &config->sync.links[link];

		snprintf(l->interface, sizeof(l->interface), "lo");
		for (uint32_t k = 0; k < lab.n_nodes; k++)
			l->addresses[k] = k == i ? node_addr(link, i) : relay_addr(link, k, i);
	}
	assert_int_equal(sync_configure(lab.nodes[i].sync, config, lab.secret[i]), 0);
	free(config);
}

void node_start(uint32_t i)
{
	static const struct sync_ops ops = {
		.record = on_record, .fill = on_fill, .up = on_up, .down = on_down};

	lab.nodes[i].sync = sync_new(lab.loop, &ops, &lab.nodes[i]);
	assert_non_null(lab.nodes[i].sync);
	node_configure(i);
	for (uint32_t link = 0; link < LINKS; link++)
		assert_string_equal(sync_link_problem(lab.nodes[i].sync, link), "");
}

void node_stop(uint32_t i)
{
	sync_free(lab.nodes[i].sync);
	lab.nodes[i].sync = NULL;
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(arg);
}

void lab_pass(uint32_t ms)
{
	struct event *end = event_new(lab.loop, -1, 0, on_turn, lab.loop);
	uint64_t until_ms = clock_ms() + ms;

	while (clock_ms() < until_ms) {
		event_add(end, &(struct timeval){.tv_usec = 2000});
		event_base_dispatch(lab.loop);
	}
	event_free(end);
}

bool is_up(uint32_t i, uint32_t peer)
{
	return lab.nodes[i].sync && sync_up(lab.nodes[i].sync, peer);
}

/* Does @i know all that @peer has to say? */
bool knows(uint32_t i, uint32_t peer)
{
	const struct node *from = &lab.nodes[peer];

	return is_up(i, peer) &&
	       memcmp(lab.nodes[i].heard[peer], from->own, from->n_things * sizeof(uint32_t)) == 0;
}

bool all_know(void)
{
	bool all = true;

	for (uint32_t i = 0; i < lab.n_nodes; i++) {
		for (uint32_t k = 0; k < lab.n_nodes; k++)
			all = all && (i == k || knows(i, k));
	}
	return all;
}

struct sync_peer_state state_of(uint32_t i, uint32_t peer)
{
	struct sync_peer_state state;

	sync_peer_state(lab.nodes[i].sync, peer, &state);
	return state;
}

bool lab_lo_up(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool up = ioctl(fd, SIOCSIFFLAGS, &request) == 0;

	close(fd);
	return up;
}

void lab_start(uint32_t n_nodes, uint32_t n_things)
{
	lab.n_nodes = n_nodes;
	for (uint32_t i = 0; i < n_nodes; i++) {
		lab.nodes[i].i = i;
		lab.nodes[i].n_things = n_things;
		for (uint32_t k = 0; k < n_things; k++)
			lab.nodes[i].own[k] = 1000 * (i + 1) + k;
		node_start(i);
	}
}

int lab_set_up(void **state)
{
	(void)state;
	memset(&lab, 0, sizeof(lab));
	lab.seed = 4711;
	lab.rate = 20000;
	lab.loop = event_base_new();
	lab.noted = calloc(NOTED, sizeof(*lab.noted));
	for (uint32_t i = 0; i < NODES; i++) {
		lab.secret[i][0] = 9;
		lab.nodes[i].own = calloc(THINGS, sizeof(uint32_t));
		for (uint32_t k = 0; k < NODES; k++) {
			lab.nodes[i].heard[k] = calloc(THINGS, sizeof(uint32_t));
			for (uint32_t link = 0; link < LINKS && i != k; link++)
				relay_open(link, i, k);
		}
	}
	return 0;
}

int lab_tear_down(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < NODES; i++) {
		node_stop(i);
		free(lab.nodes[i].own);
		for (uint32_t k = 0; k < NODES; k++) {
			free(lab.nodes[i].heard[k]);
			for (uint32_t link = 0; link < LINKS && i != k; link++) {
				event_free(lab.events[link][i][k]);
				close(lab.sockets[link][i][k]);
			}
		}
	}
	free(lab.noted);
	event_base_free(lab.loop);
	return 0;
}
